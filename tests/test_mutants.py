"""Mutants: who is compared with whom, what a bound allows, scores worked out by hand, and mutations that were planted."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from isaac.cli import app
from isaac.core import InputError
from isaac.datasets import DTIDataset, load_davis
from isaac.mutants import BASELINES, affinity_range, blosum_loss, compared_pairs, difference_range, learnt, mutant_scores, mutants, with_baselines
from isaac.planted import PlantedOptions, Reader, plant, planted_mutants
from isaac.predictors import FunctionPredictor, Reading

SEQUENCES = {"wild": "MTKWAA", "wild-p": "MTKWAA", "T2I": "MIKWAA", "T2I-p": "MIKWAA", "K3del": "MTWAA", "none": "MTKWAA", "lone": "MKK"}
MUTATION = {"T2I": "T2I", "T2I-p": "T2I", "K3del": "K3del", "none": "ITD", "lone": "T2K"}


def small(values=None, censored=(), drugs=("d1", "d2")):
    "A gene with phosphorylated and other entries, a mutant without a wild type, and one whose mutation names no residue."
    targets = pd.DataFrame({"target_id": list(SEQUENCES), "sequence": list(SEQUENCES.values())})
    targets["gene"] = np.where(targets["target_id"].eq("lone"), "H", "G")
    targets["mutation"] = targets["target_id"].map(MUTATION).fillna("")
    targets["state"] = np.where(targets["target_id"].str.endswith("-p"), "phosphorylated", "")
    pairs = pd.MultiIndex.from_product([drugs, SEQUENCES], names=["drug_id", "target_id"]).to_frame(index=False)
    pairs = pairs.assign(pair_id=range(len(pairs)), affinity=6.0, censored=False, fold="")
    for key, value in (values or {}).items(): pairs.loc[pairs["drug_id"].eq(key[0]) & pairs["target_id"].eq(key[1]), "affinity"] = value
    for drug, target in censored: pairs.loc[pairs["drug_id"].eq(drug) & pairs["target_id"].eq(target), "censored"] = True
    smiles = pd.DataFrame({"drug_id": drugs, "smiles": [f"{'C' * (i + 1)}O" for i in range(len(drugs))]})
    return DTIDataset("small", smiles, targets, pairs, "pKd", 7.0)


def test_like_is_compared_with_like_and_the_rest_is_named():
    table, left_out = compared_pairs(small())
    assert set(zip(table["target_id"], table["wild_type"], strict=True)) == {("T2I", "wild"), ("T2I-p", "wild-p"), ("K3del", "wild")}
    assert dict(zip(left_out["target_id"], left_out["reason"], strict=True)) == {
        "none": "not applied: its sequence is the wild type's", "lone": "no wild type of the same gene, state and domain"}
    assert left_out["pairs"].eq(2).all() and len(table) == 6


def test_what_the_model_does_not_read_is_invisible_and_named():
    _, left = compared_pairs(small(), Reading(max_target_length=2))
    assert left.set_index("target_id")["reason"]["K3del"] == "invisible: of both the model reads the same 2 residues"
    with pytest.raises(InputError, match="No mutant can be compared.*same 1 residues"): compared_pairs(small(), Reading(max_target_length=1))
    table, _ = compared_pairs(small(), Reading(max_target_length=4, truncation="left"))
    assert "K3del" in set(table["target_id"]) and "T2I" not in set(table["target_id"])


def test_several_wild_types_missing_measurements_and_repeated_pairs():
    data = small()
    twins = replace(data, targets=data.targets.assign(state=""))
    with pytest.raises(InputError, match="several wild types: wild, wild-p"): compared_pairs(twins)
    holes = replace(data, pairs=data.pairs[~(data.pairs["drug_id"].eq("d2") & data.pairs["target_id"].eq("wild"))])
    table, left_out = compared_pairs(holes)
    assert left_out.set_index("target_id").loc[["T2I", "K3del"], "reason"].eq("the wild type was not measured with the same drug").all()
    assert table.groupby("target_id").size().to_dict() == {"K3del": 1, "T2I": 1, "T2I-p": 2}
    unlabelled = replace(data, pairs=data.pairs.assign(affinity=data.pairs["affinity"].where(data.pairs["target_id"].ne("T2I"))))
    assert "T2I" not in set(compared_pairs(unlabelled)[0]["target_id"])
    again = replace(data, pairs=pd.concat([data.pairs, data.pairs.iloc[:1].assign(pair_id=99)]))
    with pytest.raises(InputError, match="more than once: pair 99"): compared_pairs(again)
    with pytest.raises(InputError, match="no target names one"): compared_pairs(replace(data, targets=data.targets.drop(columns="mutation")))


bounds = st.tuples(st.floats(4, 10), st.sampled_from(["exact", "at most", "at least"]))


@given(st.lists(st.tuples(bounds, bounds, st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=20))
def test_a_difference_lies_in_its_range_whatever_the_bounds_hide(rows):
    "The truth behind a bound lies anywhere beyond it; the range of the difference must hold it, and be a point only if both are known."
    sides = [pd.DataFrame({"affinity": [r[i][0] for r in rows], "censored": [r[i][1] != "exact" for r in rows],
                           "at_least": [r[i][1] == "at least" for r in rows]}) for i in (0, 1)]
    truth = [np.array([r[i][0] + {"exact": 0, "at most": -1, "at least": 1}[r[i][1]] * r[2 + i] for r in rows]) for i in (0, 1)]
    found = difference_range(*map(affinity_range, sides))
    change = truth[0] - truth[1]
    assert (found["low"] <= change + 1e-9).all() and (change - 1e-9 <= found["high"]).all()
    assert found["low"].eq(found["high"]).tolist() == [a[1] == b[1] == "exact" for a, b, *_ in rows]


def test_scores_by_hand():
    table = pd.DataFrame({"measured": [2.0, -1.0, 0.2, np.nan, np.nan], "low": [2, -1, 0.2, -np.inf, -np.inf], "high": [2, -1, 0.2, -3, np.inf],
                          "predicted": [1.0, 0.0, -0.2, -4.0, 9.0], "gene": list("aabbc"), "drug_id": list("CNOPS"), "target_id": list("ACDEF")})
    found = mutant_scores(table, {"predicted": "m"}, draws=100).set_index("measure")
    assert found["n"].to_dict() == {"error": 4, "gain": 4, "sign": 2, "slope": 3, "correlation": 3} and found["genes"]["sign"] == 1
    assert np.isclose(found["value"]["error"], (1 + 1 + 0.4 + 0) / 4) and np.isclose(found["value"]["gain"], 1 - 2.4 / (2 + 1 + 0.2 + 3))
    assert np.isclose(found["value"]["sign"], (1 + 0.5) / 2) and np.isclose(found["value"]["slope"], (2 - 0.04) / (4 + 1 + 0.04))
    assert np.isclose(found["value"]["correlation"], np.corrcoef([2, -1, 0.2], [1, 0, -0.2])[0, 1])


def test_clusters_widen_the_interval_and_nothing_known_is_no_number():
    rng = np.random.default_rng(0)
    of_gene = np.repeat(rng.normal(0, 1, 8), 30)
    table = pd.DataFrame({"measured": of_gene, "low": of_gene, "high": of_gene, "predicted": 0.0, "gene": np.repeat(list("abcdefgh"), 30),
                          "drug_id": [f"D{i % 30}" for i in range(240)], "target_id": [f"T{i // 5}" for i in range(240)]})
    width = lambda t: (lambda r: r["high"] - r["low"])(mutant_scores(t, {"predicted": "m"}, draws=300).set_index("measure").loc["error"])
    assert width(table) > 1.5 * width(table.assign(gene=table["target_id"]))
    unknown = table.assign(measured=np.nan, low=-np.inf, high=np.inf)
    assert mutant_scores(unknown, {"predicted": "m"}, draws=20)[["value", "low", "high"]].isna().all().all()


@given(st.text("ACDEFGHIKLMNPQRSTVWYX", min_size=1, max_size=12), st.text("ACDEFGHIKLMNPQRSTVWYX", max_size=4), st.integers(0, 12), st.integers(0, 3))
def test_what_blosum_loses_is_symmetric_positive_and_sees_only_the_difference(wild, new, start, removed):
    mutant = wild[:start] + new + wild[start + removed:]
    loss = blosum_loss(wild, mutant)
    assert loss >= 0 and (loss == 0) <= (set(wild + mutant) >= {"X"} or wild == mutant) and blosum_loss("WW" + wild, "WW" + mutant) >= 0
    if len(mutant) != len(wild): assert loss == blosum_loss(mutant, wild)


def test_baselines_know_no_more_than_they_may():
    values = {("d1", "T2I"): 8.0, ("d2", "T2I"): 7.0}
    one = with_baselines(compared_pairs(small(values))[0])
    assert one["always zero"].eq(0).all() and one["BLOSUM62"].eq(0).all() # there is no other gene to learn a slope from
    nearest = one.set_index(["target_id", "drug_id"])["nearest drug"]
    assert nearest["T2I", "d1"] == 1 and nearest["T2I", "d2"] == 2 # each has the other's
    bounded = with_baselines(compared_pairs(small(values, [("d2", "T2I")]))[0]).set_index(["target_id", "drug_id"])["nearest drug"]
    assert bounded["T2I", "d1"] == 0 # a bound is no neighbour


def test_a_model_is_asked_for_sequences_as_they_are():
    count = FunctionPredictor(lambda smiles, sequences: [len(t) + 0.5 * t.count("I") for t in sequences])
    found = mutants(count, small({("d1", "T2I"): 7.0, ("d2", "K3del"): 4.0}), draws=50)
    predicted = found.table.groupby("target_id")["predicted"].first()
    assert predicted.to_dict() == {"K3del": -1, "T2I": 0.5, "T2I-p": 0.5} and set(found.tables()) == {"scores", "table", "left_out"}
    assert found.scores.query("predictor == 'model' and measure == 'sign'")["value"].item() == 1
    assert list(found.summary.index) == ["model", *BASELINES] and not found.notes


def test_notes_say_what_was_learnt_what_does_not_move_and_what_has_no_unit():
    data = small({("d1", "T2I"): 7.0})
    still = FunctionPredictor(lambda smiles, sequences: np.zeros(len(sequences)), scale="logit")
    trained = data.pairs[data.pairs["target_id"].eq("T2I")]
    found = mutants(still, data, training_pairs=trained, draws=50)
    assert found.notes[0].startswith("2 of 6 mutants' pairs were in training") and found.notes[1].startswith("6 of 6") and "logit" in found.notes[2]
    assert set(found.scores[found.scores["predictor"].eq("model")]["measure"]) == {"sign", "slope", "correlation"}
    compared, _ = compared_pairs(data)
    assert not learnt(compared, data.pairs[data.pairs["target_id"].eq("wild")]).any()


def test_of_davis_what_can_be_compared(mirror):
    table, left_out = compared_pairs(load_davis("corrected"))
    assert (len(table), table["target_id"].nunique(), table["measured"].notna().sum()) == (3_604, 53, 1_477)
    assert set(left_out["target_id"]) == {"GCN2(KinDom2S808G)", "FLT3(ITD)"}
    wild = dict(zip(table["target_id"], table["wild_type"], strict=True))
    assert wild["ABL1(T315I)p"] == wild["ABL1(E255K)"] == "ABL1p" and wild["ABL1(T315I)"] == "ABL1" and wild["EGFR(L747E749del)"] == "EGFR"
    with pytest.raises(InputError, match="not applied"): compared_pairs(load_davis())


@pytest.mark.parametrize(("rho", "found"), [(0.0, "pocket"), (1.0, "shortcut")])
def test_planted_mutations_are_found_by_the_model_that_reads_them(rho, found):
    planted = plant(PlantedOptions(shortcut=rho, targets=200, families=8))
    data = planted_mutants(planted, 20)
    scores = {name: mutants(Reader(planted.words, r), data, name, draws=100).scores.query("predictor == @name").set_index("measure")["value"]
              for name, r in (("pocket", 0.0), ("shortcut", 1.0))}
    other = next(name for name in scores if name != found)
    assert scores[found]["sign"] > 0.95 and scores[found]["correlation"] > 0.9
    assert scores[other]["sign"] == 0.5 and abs(scores[other]["slope"]) < 0.05


def test_the_command_names_everything_that_is_not_compared(mirror, tmp_path, monkeypatch):
    (tmp_path / "mutant_models.py").write_text("def alanines(smiles, sequences): return [t.count('A') for t in sequences]\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, "mutants mutant_models:alanines --max-target-length 1200 --draws 20 --json --quiet".split())
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {row["target_id"] for row in found["left_out"]} == {"GCN2(KinDom2S808G)", "FLT3(ITD)", "LRRK2(G2019S)", "MET(M1250T)", "MET(Y1235D)"}
    assert len(found["table"]) == 50 * 68 and {row["predictor"] for row in found["scores"]} == {"mutant_models:alanines", *BASELINES}
    refused = CliRunner().invoke(app, "mutants mutant_models:alanines --sequences as_distributed --quiet".split())
    assert refused.exit_code == 2 and "not applied: its sequence is the wild type's" in refused.stderr
