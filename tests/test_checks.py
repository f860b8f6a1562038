"""Models broken on purpose, each in one way: the check that was made for it fails, no other does, and it says what the audit would suffer."""
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from typer.testing import CliRunner

from isaac.checks import CHECKS, LENGTHS, MOLECULES, Subject, _twins, check_predictor, held_numbers, last_true, made_up, reach
from isaac.cli import app
from isaac.core import DNA, PROTEIN, InputError
from isaac.engine import respond
from isaac.models import DeepDTA
from isaac.models.encoders import untrained
from isaac.plan import Design, make_plan
from isaac.predictors import FunctionPredictor, reading
from isaac.priors import prior_from_table


class Lysines:
    "Lysines of the target and a tenth of the drug's carbons: a model without a fault."
    def read(self, sequence): return sequence.upper()
    def predict(self, smiles, sequences):
        return np.array([self.read(t).count("K") + d.upper().count("C") / 10 for d, t in zip(smiles, sequences, strict=True)])


class Towers(Lysines):
    def encode_drugs(self, smiles): return np.array([[d.upper().count("C") / 10] for d in smiles])
    def encode_targets(self, sequences): return np.array([[self.read(t).count("K")] for t in sequences], float)
    def score(self, drug_codes, target_codes): return (drug_codes + target_codes)[:, 0]


class Learning(Lysines):
    weights = None
    def predict(self, smiles, sequences):
        self.weights = np.zeros(3) if self.weights is None else self.weights + 1e-3
        return super().predict(smiles, sequences) + self.weights.sum()


class Sorting(Lysines):
    def predict(self, smiles, sequences):
        values = super().predict(smiles, sequences)
        sequences.sort()
        return values


class Cached(Lysines):
    "Counts the lysines of a target only where its key is new."
    def __init__(self, key): self.key, self.counts = key, {}
    def predict(self, smiles, sequences):
        counts = [self.counts.setdefault(self.key(i, d, t, sequences), super(Cached, self).predict([d], [t])[0])
                  for i, (d, t) in enumerate(zip(smiles, sequences, strict=True))]
        return np.array(counts)


def network(training: bool) -> FunctionPredictor:
    "Two layers with dropout between them, held by a function."
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 1)).train(training)
    def predict(smiles, sequences):
        with torch.no_grad(): return net(torch.tensor([[t.upper().count("K"), d.count("C")] for d, t in zip(smiles, sequences, strict=True)]).float())
    return FunctionPredictor(predict)


def variant(base=Lysines, **members): return type("Variant", (base,), members)()


def after(change, base=Lysines):
    "A model whose answers are changed: `change(values, smiles, sequences)`."
    return variant(base, predict=lambda self, d, t: change(base.predict(self, d, t), d, t))


def reading_only(part, **declared): return variant(read=lambda self, t: t.upper()[part], **declared)


KNOWN = {made_up(n, "target", 0): "KKK" for n in LENGTHS} # embeddings computed beforehand


def refuse(self, sequence: str) -> str:
    if "X" in sequence: raise ValueError("X is no residue")
    return sequence.upper()


def broken() -> dict:
    "Name → (model, check that fails, words of what was found)."
    dice = np.random.default_rng(0)
    joined = variant(read=lambda self, t: t.upper()[:400] + t.upper()[400:][-400:])
    return {
        "a class": (Lysines, "declarations", "Pass an instance"),
        "no such scale": (variant(scale="pIC50"), "declarations", "pIC50"),
        "wrong length": (after(lambda v, d, t: v[1:]), "one number per pair", "returned shape (11,) for 12 pairs"),
        "one number": (after(lambda v, d, t: float(v.sum())), "one number per pair", "returned shape ()"),
        "text": (after(lambda v, d, t: np.array(["strong"] * len(v))), "one number per pair", "not numbers"),
        "raises": (after(lambda v, d, t: 1 / 0), "one number per pair", "raises ZeroDivisionError"),
        "NaN": (after(lambda v, d, t: np.where([len(q) > 300 for q in t], np.nan, v)), "finite numbers", "nan for"),
        "precomputed": (variant(read=lambda self, t: KNOWN[t]), "unseen sequences", "raises KeyError"),
        "mutates its input": (Sorting(), "inputs left alone", "predict changed its sequences"),
        "training mode": (network(training=True), "evaluation mode", "in training mode: Dropout"),
        "learns": (Learning(), "weights left alone", "model.weights"),
        "dice": (after(lambda v, d, t: v + dice.normal(size=len(v))), "same answer twice", "asked again: answers differ"),
        "cached by length": (Cached(lambda i, d, t, ts: (d, len(t))), "targets cached", "same answers"),
        "cached by beginning": (Cached(lambda i, d, t, ts: (d, t[:20])), "targets cached", "same answers"),
        "cached by row": (Cached(lambda i, d, t, ts: (d, i, len(ts))), "targets cached", "same answers"),
        "cached by id of the list": (Cached(lambda i, d, t, ts: (d, i, id(ts))), "targets cached", "same answers"),
        "drugs cached by length": (Cached(lambda i, d, t, ts: (len(d), t)), "drugs cached", "edited drugs"),
        "place": (after(lambda v, d, t: v + np.arange(len(v))), "order of the pairs", "answers differ by up to"),
        "squeezed": (after(lambda v, d, t: np.squeeze(v)), "a single pair", "returned shape ()"),
        "batch statistics": (after(lambda v, d, t: v - np.sum(v) / max(len(v), 1)), "size of the batch", "one at a time"),
        "empty": (after(lambda v, d, t: v + 0 * max(map(len, t))), "no pairs", "raises ValueError"),
        "NaN on short": (after(lambda v, d, t: np.where([len(q) < 8 for q in t], np.nan, v)), "short sequences", "5 residues: not a finite"),
        "NaN on long": (after(lambda v, d, t: np.where([len(q) > 4_000 for q in t], np.nan, v)), "long sequences", "5,000 residues: not a finite"),
        "NaN in lower case": (after(lambda v, d, t: np.where([q.islower() for q in t], np.nan, v)), "lower-case letters", "lower case: not a finite"),
        "NaN for selenocysteine": (after(lambda v, d, t: np.where(["U" in q for q in t], np.nan, v)), "unusual letters", "U: not a finite"),
        "no probabilities": (variant(scale="probability"), "scale", "declares probabilities and returns numbers from"),
        "towers apart": (variant(Towers, score=lambda self, d, t: (d + t)[:, 0] * 1.01), "towers", "by towers: answers differ"),
        "constant": (after(lambda v, d, t: np.ones(len(v))), "target reaches the output", "all targets are one to it"),
        "length of the target": (after(lambda v, d, t: np.array([len(q) for q in t], float)), "target reaches the output", "know"),
        "mask refused": (variant(read=refuse), "mask token", "raises ValueError: X is no residue"),
        "undeclared truncation": (reading_only(slice(1_000)), "residues read", "reads residues 1 to 1,000 of 5,000; declared are 1 to 5,000"),
        "reads less than declared": (reading_only(slice(1_000), max_target_length=1_200), "residues read", "declared are 1 to 1,200"),
        "cut on the other side": (reading_only(slice(-1_000, None), max_target_length=1_000), "residues read", "reads residues 4,001 to 5,000"),
        "middle dropped": (joined, "residues read", "not 626 to 4,375"),
    }


BROKEN = broken()


def statuses(report) -> dict[str, str]: return dict(zip(report.frame["check"], report.frame["status"], strict=True))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_fails_the_one_check_made_for_it(name):
    model, expected, words = BROKEN[name]
    report = check_predictor(model)
    failed = report.frame[report.frame["status"].eq("fail")]
    assert failed["check"].tolist() == [expected] and not report.passed
    found, consequence = failed.iloc[0][["found", "consequence"]]
    assert words in found and consequence == next(c.consequence for c in CHECKS if c.name == expected)
    with pytest.raises(InputError, match=f"fails 1 of {len(CHECKS)} checks") as caught: report.raise_for_failures()
    assert found in str(caught.value) and consequence in str(caught.value)
    assert set(report.frame["found"].str.extract("rests on “(.*)”")[0].dropna()) <= {expected}


@pytest.mark.parametrize("model", [Lysines(), Towers(), Lysines().predict, network(training=False), Cached(lambda i, d, t, ts: (d, t))],
                         ids=["class", "towers", "method", "network", "cached by text"])
def test_a_good_model_passes_everything(model):
    report = check_predictor(model)
    assert set(statuses(report).values()) <= {"pass", "skipped"} and report.raise_for_failures() is report
    assert report.reads == (0, 5_000) and 0 < report.noise < 1e-4 and "consequence" in report.frame and report.frame["consequence"].eq("").all()


def test_the_reference_architecture_passes_and_reads_what_it_declares(one_thread):
    model = untrained(DeepDTA(channels=[8, 8, 16], embedding=16, hidden=[32, 16], max_target_length=700)).train()
    before = held_numbers(model)
    report = check_predictor(model, long=1_500)
    assert report.passed and report.reads == (0, 700) and statuses(report)["evaluation mode"] == statuses(report)["towers"] == "pass"
    assert held_numbers(model) == before and model.training


def test_the_noise_is_what_the_engine_measures():
    "A model that answers single pairs a little higher."
    model = after(lambda v, d, t: v + 3e-5 * (len(v) == 1))
    targets = pd.DataFrame({"target_id": ["t"], "sequence": [made_up(200, "noise")]})
    prior = prior_from_table(pd.DataFrame({"target_id": "t", "position": range(20, 50)}), targets)
    pairs = targets.assign(pair_id=0, drug_id="d", smiles="CCO")
    engine = respond(make_plan(pairs, prior, reading(model), Design(repeats=2, intervention_seeds=1, operators=("substitute",))), model).noise
    assert engine == pytest.approx(3e-5) and check_predictor(model).noise == pytest.approx(engine)


@given(st.integers(1, 400), st.integers(0, 400), st.integers(-2, 402))
def test_bisection_finds_the_last_number_whatever_is_guessed(size, last, guess):
    assert last_true(lambda i: i <= last, size, guess) == min(last, size - 1)


@given(st.integers(1, 300), st.sampled_from(["right", "left"]), st.none() | st.integers(1, 300))
def test_the_residues_that_are_read_are_found_exactly(kept, side, declared):
    part = slice(kept) if side == "right" else slice(-kept, None)
    found = reach(Subject(reading_only(part, max_target_length=declared, truncation=side)), 300)
    assert (found.first, found.end) == ((0, kept) if side == "right" else (300 - kept, 300))
    assert found.step == 0 and found.holes == ()


class Percent(Lysines):
    "The share of lysines in whole percent: 50 of 5,000 residues make a step."
    def predict(self, smiles, sequences):
        read = [self.read(t) for t in sequences]
        return np.array([round(100 * t.count("K") / len(t) - 0.25) + d.upper().count("C") for d, t in zip(smiles, read, strict=True)], float)


def test_a_model_of_steps_is_not_taken_for_a_truncated_one():
    report = check_predictor(Percent())
    assert report.passed and report.reads == (0, 5_000) and "give or take" in report.frame["found"].iloc[-2]
    cut = check_predictor(variant(Percent, read=lambda self, t: t.upper()[:2_500]))
    assert statuses(cut)["residues read"] == "fail" and abs(cut.reads[1] - 2_500) <= 25


def test_targets_whose_prior_is_not_read_are_named():
    proteins = {"KIT": made_up(976, "kit"), "MTOR": made_up(2_549, "mtor"), "TTN": made_up(3_000, "ttn")}
    start = {"KIT": 580, "MTOR": 2_100, "TTN": 1_000}
    table = pd.DataFrame([(t, p) for t, first in start.items() for p in range(first, first + 85)], columns=["target_id", "position"])
    targets = pd.DataFrame(proteins.items(), columns=["target_id", "sequence"])
    prior = prior_from_table(table, targets)
    undeclared = check_predictor(reading_only(slice(1_000)), sequences=targets, prior=prior).frame.set_index("check").loc["prior reaches the output"]
    assert undeclared["status"] == "fail"
    assert undeclared["found"] == "not on 2 of 3 targets: MTOR (residues 2,101 to 2,185 of 2,549), TTN (residues 1,001 to 1,085 of 3,000)"
    declared = check_predictor(reading_only(slice(1_000), max_target_length=1_000), sequences=targets, prior=prior)
    assert declared.passed and declared.frame["found"].iloc[-1] == "on all 1 targets; 2 more have no residue within what is declared visible"


def test_a_model_that_ignores_the_target_is_told_so_once():
    report = check_predictor(lambda d, t: [x.count("C") for x in d])
    assert report.frame.query("status == 'fail'")["check"].tolist() == ["target reaches the output"]
    assert np.isfinite(report.noise) and report.reads is None
    assert report.frame["found"].str.startswith("rests on “target reaches the output”").sum() == 3


def test_a_model_without_drugs_warns():
    report = check_predictor(lambda d, t: [q.upper().count("K") for q in t])
    assert report.passed and statuses(report)["drug reaches the output"] == "warn"


def test_a_cache_outside_the_model_is_at_least_suspected():
    counts = {}
    def remembering(smiles, sequences): return [counts.setdefault(len(t), t.count("K")) + len(d) for d, t in zip(smiles, sequences, strict=True)]
    report = check_predictor(remembering)
    assert report.frame.query("status == 'fail'")["found"].tolist() == [
        "none of 24 edits moves the answer; it knows targets by their length, or by a key under which it keeps them"]


@pytest.mark.parametrize("layer, status", [(torch.nn.Dropout(0.1), "fail"), (torch.nn.BatchNorm1d(4), "fail"), (torch.nn.ReLU(), "warn")])
def test_training_mode_is_seen_while_it_computes(layer, status):
    "Wherever the module is kept, and not where it rests in training mode and predicts in evaluation mode."
    torch.manual_seed(0)
    hidden = [torch.nn.Sequential(torch.nn.Linear(1, 4), layer, torch.nn.Linear(4, 1)).train()]
    def predict(smiles, sequences):
        with torch.no_grad(): return hidden[0](torch.tensor([[float(t.upper().count("K"))] for t in sequences]))
    def careful(smiles, sequences):
        hidden[0].eval()
        try: return predict(smiles, sequences)
        finally: hidden[0].train()
    assert statuses(check_predictor(predict, long=200))["evaluation mode"] == status
    assert statuses(check_predictor(careful, long=200))["evaluation mode"] == "pass"


def test_towers_that_change_their_lists_are_named():
    def shortening(self, smiles):
        codes = Towers.encode_drugs(self, smiles)
        smiles[0] = "C"
        return codes
    found = check_predictor(variant(Towers, encode_drugs=shortening)).frame.set_index("check")["found"]
    assert found["inputs left alone"] == "encode_drugs changed its smiles"


def test_weights_are_found_wherever_they_are_kept():
    class Holder:
        def __init__(self): self.parts = {"head": [np.zeros(2), torch.ones(3, dtype=torch.bfloat16)]}
    holder = Holder()
    before = held_numbers(holder)
    holder.parts["head"][1][0] = 2
    after_ = held_numbers(holder)
    assert [path for path in before if before[path] != after_[path]] == ["model.parts.head.1"] and set(before) == set(after_)
    assert held_numbers(lambda: holder).keys() == {"model.holder.parts.head.0", "model.holder.parts.head.1"}


def test_made_up_input_is_valid():
    texts = [t for first in (0, 4, 8) for group in _twins(Subject(Lysines()), "drug", first) for t in group]
    assert all(Chem.MolFromSmiles(t) for t in [*MOLECULES.values(), *texts]) and len(set(texts)) == len(texts)
    assert set(made_up(2_000, "x", alphabet=DNA)) == set("ACGT") and set(made_up(2_000, "x")) == set(PROTEIN.letters)


def test_other_alphabets():
    gc = variant(mask_token="N", predict=lambda self, d, t: np.array([q.upper().count("G") + len(x) for x, q in zip(d, t, strict=True)], float))
    report = check_predictor(gc, alphabet="dna")
    assert report.passed and report.reads == (0, 5_000) and "N: finite" in report.frame["found"].tolist()


def test_the_users_own_pairs_are_asked():
    asked = set()
    class Listening(Lysines):
        def predict(self, smiles, sequences):
            asked.update(sequences)
            return super().predict(smiles, sequences)
    own = {f"t{i}": made_up(100 + i, "own") for i in range(30)}
    check_predictor(Listening(), ["CCO", "CCN", "CCC"], own, long=300)
    assert len(asked & set(own.values())) == 12 and {own["t0"], own["t29"]} <= asked


@pytest.mark.parametrize("arguments, says", [
    ({"sequences": "MKV"}, "a list of targets, got one text"), ({"smiles": []}, "one or more"),
    ({"sequences": ["MKV", "", None]}, "target 1 sequence '' – not a non-empty text; target 2 sequence None"),
    ({"smiles": pd.DataFrame({"SMILES": ["C"]})}, "drugs column 'drug_id' – missing; drugs column 'smiles'"),
    ({"alphabet": "klingon"}, "klingon"),
])
def test_bad_input_is_no_verdict_on_the_model(arguments, says):
    with pytest.raises(InputError) as caught: check_predictor(Lysines(), **arguments)
    assert says in str(caught.value)


def test_a_prior_must_fit():
    targets = pd.DataFrame({"target_id": ["a"], "sequence": [made_up(50, "a")]})
    prior = prior_from_table(pd.DataFrame({"target_id": "a", "position": [40]}), targets)
    with pytest.raises(InputError, match="target a position 40 – outside its sequence of 30 residues"):
        check_predictor(Lysines(), sequences={"a": "M" * 30}, prior=prior)
    with pytest.raises(InputError, match="does not fit the targets"): check_predictor(Lysines(), prior=prior)


def test_the_report_in_a_notebook_escapes_what_the_model_says():
    def rude(smiles, sequences): raise ValueError("<script>")
    html = check_predictor(rude)._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html and "predictions in" in html


MODULE = """
def lysines(smiles, sequences): return [t.upper().count("K") + d.upper().count("C") / 10 for d, t in zip(smiles, sequences)]
def cut(smiles, sequences): return lysines(smiles, [t[:1000] for t in sequences])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "models_to_check.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("models_to_check", None)


def call(*arguments): return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_the_command_says_what_is_wrong_and_how_it_ended(folder):
    good, cut = call("models_to_check:lysines"), call("models_to_check:cut")
    assert good.exit_code == 0 and "lysines: 24 passed, 2 skipped; asked" in good.stdout
    assert cut.exit_code == 1 and "reads residues 1 to 1,000 of 5,000" in cut.stdout and "pocket and controls no longer compare" in cut.stdout
    assert call("models_to_check:cut", "--max-target-length", 1_000).exit_code == 0
    assert call("models_to_check:missing").exit_code == call("models_to_check:lysines", "--prior", "klifs").exit_code == 2


def test_the_command_for_scripts(folder):
    found = json.loads(call("models_to_check:cut", "--json", "--long", 3_000).stdout)
    assert found["passed"] is False and found["reads"] == [0, 1_000] and found["noise"] > 0 and found["predictions"] > 100
    assert [c["check"] for c in found["checks"]] == [c.name for c in CHECKS]


def test_the_command_takes_data_and_a_prior(folder):
    pairs = pd.DataFrame([{"drug_id": d, "smiles": s, "target_id": t, "sequence": q, "affinity": 5.0 + len(s)}
                          for d, s in {"a": "CCO", "b": "CCN"}.items() for t, q in {"near": made_up(300, "n"), "far": made_up(1_500, "f")}.items()])
    pairs.to_csv("pairs.csv", index=False)
    pd.DataFrame({"target_id": ["near", "far"], "position": [20, 1_200]}).to_csv("pocket.csv", index=False)
    done = call("models_to_check:cut", "--dataset", "pairs.csv", "--threshold", 6, "--prior", "pocket.csv", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["checks"][-1]["found"] == "not on 1 of 2 targets: far (residues 1,201 to 1,201 of 1,500)"


def test_the_command_takes_a_checkpoint(folder, one_thread):
    untrained(DeepDTA(channels=[8, 8, 8], embedding=16, hidden=[16, 16])).save_pretrained(folder / "seed0")
    (folder / "seed0" / "metrics.json").write_text('{"n": {}}')
    (folder / "seed0" / "provenance.json").write_text('{"model": "DeepDTA", "seed": 0}')
    (folder / "seed0" / "training_pairs.csv").write_text("key\n1\n")
    done = call(folder / "seed0", "--device", "cpu", "--long", 1_500, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reads"] == [0, 1_200]
