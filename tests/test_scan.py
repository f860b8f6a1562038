"""Single residues, asked one at a time: every one once, in any company, and with the answer that is known beforehand."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaac.core import InputError
from isaac.predictors import FunctionPredictor
from isaac.priors import prior_from_table
from isaac.scan import interactions, scan, scan_plan

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def frame(sequences):
    rows = [(f"{d}{i}", d, f"t{i}", s, q) for i, q in enumerate(sequences) for d, s in (("d", "C"), ("e", "CC"))]
    return pd.DataFrame(rows, columns=["pair_id", "drug_id", "target_id", "smiles", "sequence"])


def marked(pairs, positions):
    return prior_from_table(pd.DataFrame([(t, p) for t in pairs["target_id"].unique() for p in positions], columns=["target_id", "position"]),
                            pairs[["target_id", "sequence"]].drop_duplicates(), base=0)


@given(st.lists(st.text(LETTERS, min_size=3, max_size=30), min_size=1, max_size=4))
def test_every_residue_of_every_pair_is_asked_once(sequences):
    pairs = frame(sequences)
    weights = np.random.default_rng(0).normal(size=30)
    table = scan(lambda smiles, targets: [sum(w for w, c in zip(weights, t, strict=False) if c != "X") for t in targets], pairs)
    assert len(table) == 2 * sum(map(len, sequences)) and not table.duplicated(["pair_id", "position"]).any()
    assert np.allclose(table["change"], -weights[table["position"]]) and np.allclose(table["magnitude"], np.abs(table["change"]))
    assert [pairs.set_index("pair_id")["sequence"][p][i] for p, i in zip(table["pair_id"], table["position"], strict=True)] == list(table["letter"])


def test_a_scan_does_not_depend_on_order_or_company():
    pairs = frame(["ACDEFGHIKL", "LKIHGFEDCAAA", "WWWACDKKKY"])
    model = lambda smiles, targets: [sum(ord(c) * (i + 1) for i, c in enumerate(t)) % 97 for t in targets]
    whole = scan(model, pairs, operator="substitute", repeats=3)
    mixed = scan(model, pairs.sample(frac=1, random_state=1), operator="substitute", repeats=3)
    pd.testing.assert_frame_equal(whole, mixed)
    alone = scan(model, pairs[pairs["target_id"].eq("t1")], operator="substitute", repeats=3)
    pd.testing.assert_frame_equal(whole[whole["target_id"].eq("t1")].reset_index(drop=True), alone.reset_index(drop=True))
    assert not whole["change"].abs().equals(whole["magnitude"]) # a mean over draws that go both ways


def test_only_what_the_model_reads_is_scanned():
    pairs = frame(["ACDEFGHIKL"])
    left = FunctionPredictor(lambda s, t: [len(x[:4]) for x in t], max_target_length=4)
    right = FunctionPredictor(lambda s, t: [len(x[-4:]) for x in t], max_target_length=4, truncation="left")
    assert scan(left, pairs)["position"].unique().tolist() == [0, 1, 2, 3] and scan(right, pairs)["position"].unique().tolist() == [6, 7, 8, 9]


def test_pairs_of_residues_interact_where_the_model_says_so():
    pairs = frame(["ACDEFGHIKL"])
    prior = marked(pairs, [2, 4, 7])
    both = lambda smiles, targets: [(t[2] != "X") + (t[4] != "X") * (t[7] != "X") for t in targets]
    single, double = scan(both, pairs, prior, residues="prior"), scan(both, pairs, prior, residues="prior", together=2)
    found = interactions(single, double).set_index(["pair_id", "position", "other"])["interaction"]
    assert len(double) == 2 * 3 and found["d0"].to_dict() == {(2, 4): 0, (2, 7): 0, (4, 7): 1}
    assert double["letter"].tolist() == ["D", "D", "F"] * 2 and double["other_letter"].tolist() == ["F", "I", "I"] * 2
    with pytest.raises(InputError, match="scanned by itself"): interactions(single[single["position"].ne(7)], double)


def test_marks_of_a_drug_of_its_own_replace_the_common_ones():
    pairs = frame(["ACDEFGHIKL"])
    table = pd.DataFrame({"target_id": "t0", "drug_id": [None, "e"], "position": [1, 5], "label": ["every", "own"]})
    found = scan(lambda s, t: [0.0] * len(t), pairs, prior_from_table(table, pairs[["target_id", "sequence"]].drop_duplicates(), base=0))
    assert found.loc[found["in_prior"], ["drug_id", "position", "label"]].values.tolist() == [["d", 1, "every"], ["e", 5, "own"]]


def test_what_cannot_be_scanned_is_named():
    pairs = frame(["ACDEFGHIKL"])
    with pytest.raises(InputError) as error: scan(lambda s, t: [0.0] * len(t), pairs, operator="shuffle", residues="some", together=2, repeats=0)
    assert [part for part in ("operator 'shuffle'", "residues 'some'", "repeats 0") if part not in str(error.value)] == []
    with pytest.raises(InputError, match="without a prior"): scan_plan(pairs, residues="prior")
    with pytest.raises(InputError, match="too many"): scan_plan(pairs, together=2)
    with pytest.raises(InputError, match="residues outside|does not fit"):
        scan(lambda s, t: [0.0] * len(t), pairs, marked(frame(["A" * 40]), [30]))
    bare = scan_plan(frame(["ACDEFGHIKL", "AAAA"]), marked(pairs, [1, 2]), residues="prior")
    assert bare.unauditable[["target_id", "pairs"]].values.tolist() == [["t1", 2]]


def test_a_prior_may_know_more_targets_than_are_scanned():
    pairs = frame(["ACDEFGHIKL", "LKIHGFEDCA"])
    prior = marked(pairs, [2, 4])
    prior = replace(prior, others=pd.DataFrame({"target_id": ["t0", "t1"], "position": [7, 8]}))
    table = scan(lambda smiles, targets: [t.count("K") for t in targets], pairs[pairs["target_id"].eq("t0")], prior)
    assert len(table) == 2 * 10 and table["in_prior"].sum() == 2 * 2
    other = replace(prior, others=pd.DataFrame({"target_id": pd.Series(["t1"], dtype="str"), "position": [8]})) # none of those scanned
    pd.testing.assert_frame_equal(table, scan(lambda smiles, targets: [t.count("K") for t in targets], pairs[pairs["target_id"].eq("t0")], other))
