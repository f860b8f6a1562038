"""What people see of every result: one line at a prompt, short tables in a notebook, and names that stay names."""
import importlib
import inspect
import re
from dataclasses import is_dataclass
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isaac.all as everything
from isaac.attribution import attribute
from isaac.audit import audit, prepare
from isaac.checks import check_predictor
from isaac.chemistry import scaffold_prior
from isaac.comparison import compare
from isaac.curves import curves
from isaac.datasets import DTIDataset
from isaac.display import ROWS, Shown, as_text, p_value, table_html
from isaac.drug_audit import audit_drugs, representation_spread
from isaac.engine import cost
from isaac.estimate import estimate
from isaac.exchange import questionnaire
from isaac.explain import explain_pair
from isaac.graft import graft
from isaac.joint import joint
from isaac.mutants import MutantResult
from isaac.predictors import Reading
from isaac.priors import Prior

NAME = "<script>alert(1)</script>"
DRUGS = {f"{NAME}{i}": s for i, s in enumerate(["CC(=O)Nc1ccc(O)cc1", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "Oc1ccncc1", "NC1CCCCC1"])}
WAYS = {"operators": ["mask"], "matchings": ["uniform"], "doses": [2, 5], "repeats": 2, "intervention_seeds": 2, "bootstrap_draws": 100}


def by_letters(smiles, sequences):
    return [s.count("N") + 0.1 * t.count("K") + 0.3 * t[20:40].count("L") for s, t in zip(smiles, sequences, strict=True)]


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    "One of everything, of few pairs whose names are scripts."
    rng = np.random.default_rng(0)
    sequences = {f"{NAME}T{i}": "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 90)) for i in range(20)}
    data = DTIDataset.from_frame(pd.DataFrame([(d, s, t, q, by_letters([s], [q])[0] + 5) for d, s in DRUGS.items() for t, q in sequences.items()],
                                              columns=["drug_id", "smiles", "target_id", "sequence", "affinity"]), name=NAME, threshold=6)
    residues = pd.DataFrame([(t, None, p, str(p), "s", NAME) for t in sequences for p in range(20, 40)],
                            columns=["target_id", "drug_id", "position", "label", "segment", "source"])
    prior, atoms = Prior(NAME, residues, pd.DataFrame({"target_id": list(sequences), "placed": 20, "exact": 20, "gaps": 0, "method": "m",
                                                       "status": NAME, "note": ""})), scaffold_prior(data.drugs)
    one, other = (audit(by_letters, data, prior, name=f"{NAME}{n}", progress=False, placebos=2 * (n == 0), **WAYS) for n in range(2))
    drugs = audit_drugs(by_letters, data, atoms, name=NAME, operators=["swap"], doses=[1], repeats=1, intervention_seeds=2, bootstrap_draws=100)
    prepared = prepare(data, prior, Reading(), one.config)
    mutants = pd.DataFrame({"predictor": [NAME], "measure": "sign", "value": 0.5, "low": 0.4, "high": 0.6})
    return {"data": data, "split": data.split(), "prior": prior, "atoms": atoms, "plan": one.plan, "prepared": prepared, "result": one,
            "questionnaire": questionnaire(prepared), "responses": one.responses, "nulls": one.nulls, "comparison": compare([one, other]),
            "cost": cost(one.plan, by_letters), "estimate": estimate(one.plan, by_letters), "check": check_predictor(by_letters),
            "drug audit": drugs, "drug plan": drugs.plan, "spread": representation_spread(by_letters, data, 3, draws=20),
            "graft": graft(by_letters, data, prior, NAME, draws=20),
            "curves": curves(by_letters, data, prior, ["uniform"], ["50%", "100%"], repeats=1, draws=20)[1],
            "joint": joint(by_letters, data, prior, atoms, draws=20, matching="uniform", repeats=1),
            "attributions": attribute(by_letters, data.select(range(6)), prior, ["occlusion"]),
            "mutants": MutantResult(NAME, pd.DataFrame({"target_id": [NAME]}), pd.DataFrame({"target_id": [NAME], "pairs": [1], "reason": [NAME]}),
                                    mutants, (NAME,)),
            "explanation": explain_pair(by_letters, f"{NAME}0", f"{NAME}T0", data, prior)}


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes


def test_a_result_says_itself_in_one_line(results):
    for name, result in results.items():
        line = repr(result)
        assert "\n" not in line and 10 < len(line) < 420 and not re.search(r"DataFrame|array\(|object at 0x|Columns: \[", line), (name, line)


def test_a_result_shows_itself_in_a_notebook_whatever_its_names_are(results):
    for name, result in results.items():
        html, seen = result._repr_html_(), Seen()
        seen.feed(html)
        assert {"script", "img"} & set(seen.tags) == set(), name
        assert [a for a, _ in seen.attributes if a.startswith("on")] == [], name
        if name != "explanation": assert not re.search(r"color|background|<svg", html), name # readable on any ground


def test_tables_are_short_and_have_headings(results):
    for name, result in results.items():
        tables = re.findall(r"<table.*?</table>", result._repr_html_(), re.DOTALL)
        assert tables or name in ("cost", "estimate", "nulls"), name
        for table in tables:
            assert table.count("<tr") <= 1 + ROWS and 'scope="col"' in table, name
            assert re.search(r"<caption[^>]*>[^<]{3,}", table), (name, table[:200])


def test_every_public_result_shows_itself():
    "A dataclass with frames that leaves its display to Python prints all of them."
    classes = [thing for thing in vars(everything).values() if inspect.isclass(thing) and is_dataclass(thing)]
    with_frames = [c for c in classes if any("DataFrame" in str(field.type) for field in c.__dataclass_fields__.values())]
    assert [c.__name__ for c in with_frames if "_repr_html_" not in {name for k in c.__mro__ for name in vars(k)}] == []
    assert [c.__name__ for c in classes if issubclass(c, Shown) and c.__repr__ is not Shown.__repr__] == [] and len(with_frames) >= 12


def test_completion_shows_only_what_is_meant(results):
    "Behind a dot come fields and methods with a docstring, and no module or private thing that leaked in."
    for name, result in results.items():
        fields = set(getattr(type(result), "__dataclass_fields__", ()))
        for attribute_name in (a for a in dir(result) if not a.startswith("_") and a not in fields):
            meant = inspect.getattr_static(type(result), attribute_name, None)
            meant = getattr(meant, "__func__", getattr(meant, "fget", getattr(meant, "func", meant)))
            assert callable(meant) and not inspect.isclass(meant), (name, attribute_name)
    assert [n for n in everything.__all__ if inspect.ismodule(getattr(everything, n)) or n.startswith("_")] == []
    assert all(getattr(importlib.import_module("isaac.all"), n) is not None for n in everything.__all__)


@given(st.floats(0, 1))
def test_no_p_value_is_printed_as_zero(p):
    text = p_value(p)
    assert text == as_text(p, "q") and (text == "<0.001") == (p < 0.001) and text != "0.000"


@given(st.lists(st.text(), min_size=1, max_size=3), st.integers(0, 40))
def test_tables_escape_everything_and_say_how_long_they_are(texts, n):
    html = table_html(pd.DataFrame({f"<b>{i}": [text] * n for i, text in enumerate(texts)}), "<i>caption</i>")
    seen = Seen()
    seen.feed(html)
    assert set(seen.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"} and seen.tags.count("tr") == 1 + min(n, ROWS)
    assert (f"of {n} rows" in html) == (n > ROWS)
