"""One pair explained: the residues and atoms that move a model worked out by hand, and pages that do nothing."""
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isaac.remote
from isaac.chemistry import molecule
from isaac.core import InputError, IsaacError, write_json, write_text
from isaac.datasets import DTIDataset
from isaac.explain import (
    atom_effects,
    explain_pair,
    explanation_html,
    find_drug,
    find_target,
    molecule_svg,
    read_explanation,
    residues_in_structure,
    view_structure,
    write_explanation,
)
from isaac.predictors import FunctionPredictor
from isaac.priors import prior_from_table

SEQUENCE = "ACDEKGHIKLMNPQRSTVWYACDEFGHIKLMNPQ"
THREE = dict(zip("ACDEFGHIKLMNPQRSTVWY", "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR".split(), strict=True))


def by_hand(smiles, sequences): return [5.0 + s.count("N") * (t[4] == "K") - 2 * (t[0] == "X") for s, t in zip(smiles, sequences, strict=True)]


def data(drug="amine", target="t", affinity=7.5):
    return DTIDataset.from_frame(pd.DataFrame({"drug_id": [drug], "target_id": [target], "smiles": ["CCN"], "sequence": [SEQUENCE],
                                               "affinity": [affinity]}))


def gate(d): return prior_from_table(pd.DataFrame({"target_id": ["t"], "residue": ["K5"], "segment": ["GK"], "label": ["45"]}), d.targets)


def test_the_answer_is_what_the_model_was_made_of():
    d = data()
    touches = prior_from_table(pd.DataFrame({"target_id": ["t"], "drug_id": ["amine"], "residue": ["K5"]}), d.targets)
    why = explain_pair(by_hand, "amine", "t", d, gate(d), touches)
    assert (why.prediction, why.affinity, why.censored) == (6, 7.5, False)
    assert why.top()[["residue", "change", "in_prior", "touches"]].values.tolist() == [["A1", -2, False, False], ["K5 · GK45", -1, True, True]]
    assert len(why.residues) == len(SEQUENCE) and why.strongest_atoms(1)["atom"].tolist() == ["N3"] and "1 of 3 atoms" in why.notes[-1]
    assert any("1 of the 10 strongest residues are in it" in note for note in why.notes) and "Measured" in why.says


def test_drugs_and_targets_of_your_own_are_explained_too():
    d = data()
    why = explain_pair(by_hand, "NCCCN", SEQUENCE[:31], d)
    assert why.prediction == 7 and np.isnan(why.affinity) and "no measurement" in why.says and why.residues["touches"].isna().all()
    short = explain_pair(FunctionPredictor(by_hand, max_target_length=10), "amine", "t", d)
    assert len(short.residues) == 10 and any("reads residues 1 to 10" in note for note in short.notes)


@pytest.mark.parametrize("call, says", [
    (lambda d: find_drug(d, "amin"), "amine"), (lambda d: find_drug(d, ""), "no SMILES"), (lambda d: find_target(d, "T2"), "no sequence"),
    (lambda d: find_target(d, "acdefghiklmnpqrstvwyacdefghikl"), "capital")])
def test_unknown_names_are_answered_with_what_is_like_them(call, says):
    with pytest.raises(InputError, match=says): call(data())


def test_names_in_brackets_and_in_any_case_are_names():
    names = {"amine": "quizartinib (AC220)"}
    assert all(find_drug(data(), text, names)[0] == "amine" for text in ("amine", "AC220", "Quizartinib")) and find_target(data(), "T")[0] == "t"


@given(st.sampled_from(["CCN", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "O=C(C)Oc1ccccc1C(=O)O", "CN1CCN(CC1)Cc1ccccc1", "ClC=Cc1ccsc1"]))
def test_every_atom_has_a_row_and_a_drawing_has_every_atom(smiles):
    frame = pd.DataFrame({"pair_id": [0], "drug_id": ["d"], "target_id": ["t"], "smiles": [smiles], "sequence": [SEQUENCE]})
    weight = lambda texts, sequences: [float(sum(a.GetAtomicNum() for a in molecule(s).GetAtoms())) for s in texts]
    table, prediction = atom_effects(weight, frame)
    assert table["atom"].tolist() == list(range(molecule(smiles).GetNumAtoms())) and prediction == weight([smiles], [""])[0]
    asked = table.dropna(subset="change")
    assert len(asked) and asked["change"].ne(0).any() and table.loc[table["change"].isna(), "edits"].eq("").all()
    picture = molecule_svg(smiles, table["change"])
    assert picture == molecule_svg(smiles, table["change"]) and picture.startswith('<svg role="img"') and picture.rstrip().endswith("</svg>")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.handlers, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or (value or "").strip().lower().startswith("javascript:")]

    def handle_data(self, text): self.text.append(text)


LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S"))

@settings(max_examples=4)
@given(st.text(LETTERS, min_size=1, max_size=30).map(lambda s: f"<script>{s}</script>\"'><img onerror=x>"))
def test_names_do_nothing_on_the_page(name):
    d = data(drug=name)
    why = explain_pair(by_hand, name, "t", d, gate(d))
    for page, scripts in ((explanation_html(why), 1), (why._repr_html_(), 0)): # the one that sorts tables
        seen = Page()
        seen.feed(page)
        assert not {"img", "iframe", "object"} & set(seen.tags) and seen.handlers == [] and name in "".join(seen.text)
        assert seen.tags.count("script") == scripts


def test_a_page_stands_alone_and_record_is_plain(tmp_path):
    d = data()
    why = explain_pair(by_hand, "amine", "t", d, gate(d))
    text = write_explanation(why, tmp_path / "why.html").read_text()
    outside = [url for url in re.findall(r'(?:src|href)="([^"]+)"', text) if not url.startswith("#")]
    assert text.startswith("<!DOCTYPE html>") and outside == [] and "K5 · GK45" in text and "Content-Security-Policy" in text
    assert read_explanation(write_json(tmp_path / "why.json", why.record())).top().equals(why.top())
    with pytest.raises(InputError, match="holds no explanation"): read_explanation(write_json(tmp_path / "not.json", {"drug": "a"}))
    record = why.record(1)
    assert record["prediction"] == 6 and len(record["residues"]) == 1 and len(record["atoms"]) == 3 and "K5 · GK45" in repr(why)


def structure(folder, sequence, first=100, chain="A"):
    rows = [f"ATOM  {i + 1:5d}  CA  {THREE[a]} {chain}{first + i:4d}    {i * 1.5:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00           C"
            for i, a in enumerate(sequence)]
    return write_text(folder / f"{chain}.pdb", "\n".join([*rows, "END", ""]))


def test_residues_are_found_in_a_structure_by_alignment(tmp_path):
    path = structure(tmp_path, SEQUENCE[2:12] + "W" + SEQUENCE[13:30])
    found = residues_in_structure(path, SEQUENCE)
    assert found["position"].tolist() == list(range(2, 30)) and found["number"].iloc[0] == "100" and found["same"].sum() == 27
    with pytest.raises(InputError, match="protein chains: A"): residues_in_structure(path, SEQUENCE, chain="B")
    with pytest.raises(InputError, match="another protein"): residues_in_structure(path, "W" * 40)
    with pytest.raises(InputError, match="Unknown kind"): residues_in_structure(tmp_path / "x.doc", SEQUENCE)


def test_a_view_shows_the_strongest_residues_or_says_what_to_install(tmp_path, monkeypatch):
    d, path = data(), structure(tmp_path, SEQUENCE)
    why = explain_pair(by_hand, "amine", "t", d, gate(d))
    pytest.importorskip("py3Dmol")
    page = view_structure(why, path)._make_html()
    assert '"resi": "104"' in page and "K5" in page
    def missing(name): raise ImportError(name)
    monkeypatch.setattr(isaac.remote.importlib, "import_module", missing)
    with pytest.raises(IsaacError, match=r"isaac-audit\[view\]"): view_structure(why, path)
