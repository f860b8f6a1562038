"""Invariants of the edits, on random proteins, priors and designs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaac.core import AMINO_ACIDS, InputError
from isaac.matching import MATCHINGS, make_site, mechanistic_residues, translations
from isaac.operators import OPERATORS
from isaac.plan import Design, dose_size, make_plan
from isaac.predictors import Reading

sequences = st.text(alphabet=AMINO_ACIDS + "X", min_size=60, max_size=160)


@st.composite
def problems(draw):
    "Two proteins with priors, two drugs, a visible length and a small design."
    targets = {"a": draw(sequences), "b": draw(sequences)}
    positions = {t: sorted(draw(st.sets(st.integers(5, 55), min_size=4, max_size=16))) for t in targets}
    design = Design(operators=tuple(OPERATORS), matchings=tuple(MATCHINGS), doses=(1, 3, "100%"), repeats=2, intervention_seeds=2,
                    seed=draw(st.integers(0, 2**40)), min_prior=3)
    pairs = pd.DataFrame([(2 * i + j, d, t, s, targets[t]) for i, (d, s) in enumerate((("x", "CCO"), ("y", "CCN"))) for j, t in enumerate(targets)],
                         columns=["pair_id", "drug_id", "target_id", "smiles", "sequence"])
    return pairs, prior_of(positions), Reading(max_target_length=draw(st.integers(50, 170))), design


def prior_of(positions, others=()):
    table = pd.DataFrame([(t, None, p) for t, ps in positions.items() for p in ps], columns=["target_id", "drug_id", "position"])
    return SimpleNamespace(table=table, others=pd.DataFrame(others, columns=["target_id", "position"]),
                           coverage=pd.DataFrame(columns=["target_id", "status", "note"]))


def one_pair(sequence):
    return pd.DataFrame({"pair_id": [0], "drug_id": ["d"], "target_id": ["t"], "smiles": ["CCO"], "sequence": [sequence]})


def asked(plan):
    "Every edit with its condition, its target and what was changed."
    variants = plan.variants[["string", "positions", "letters"]].rename_axis("target_variant").reset_index()
    pairs = plan.pairs[["pair_id", "target_id", "sequence"]]
    return plan.edits.merge(plan.cells, on="cell_id").merge(pairs, on="pair_id").merge(variants, on="target_variant")


@settings(max_examples=40)
@given(problems())
def test_edits_keep_their_promises(problem):
    pairs, prior, reading, design = problem
    plan = make_plan(pairs, prior, reading, design)
    priors = prior.table.groupby("target_id")["position"].apply(set).to_dict()
    for row in asked(plan).itertuples():
        assert len(row.string) == len(row.sequence)
        if row.arm == "none":
            assert row.string == row.sequence
            continue
        seen = {p for p in priors[row.target_id] if p < reading.max_target_length}
        positions = set(row.positions)
        asked_for = dose_size("100%" if row.dose == "100%" else int(row.dose), len(seen))
        assert len(positions) == len(row.positions) == asked_for or (row.matching == "strict" and 1 <= len(row.positions) < asked_for)
        assert max(positions) < reading.max_target_length
        assert positions <= seen if row.arm == "mechanistic" else not positions & priors[row.target_id]
        assert all(row.string[p] == letter for p, letter in zip(row.positions, row.letters, strict=True))
        assert all(a == b for i, (a, b) in enumerate(zip(row.string, row.sequence, strict=True)) if i not in positions)
        if row.operator == "mask": assert set(row.letters) == {"X"}
        if row.operator in ("substitute", "conservative", "radical", "alanine"):
            assert all(row.sequence[p] != letter for p, letter in zip(row.positions, row.letters, strict=True))
        if row.operator == "shuffle": assert sorted(row.letters) == sorted(row.sequence[p] for p in row.positions)


@settings(max_examples=25)
@given(problems())
def test_doses_are_nested_and_operators_share_positions(problem):
    plan = make_plan(*problem)
    for _, same in asked(plan).query("arm != 'none' and matching != 'strict'").groupby(["pair_id", "arm", "matching", "repeat", "seed"]):
        by_dose = {dose: {frozenset(p) for p in rows["positions"]} for dose, rows in same.groupby("dose")}
        assert all(len(sets) == 1 for sets in by_dose.values())
        chain = [next(iter(by_dose[d])) for d in ("1", "3", "100%") if d in by_dose]
        assert all(small <= large for small, large in zip(chain, chain[1:], strict=False))


@settings(max_examples=8)
@given(problems())
def test_mechanistic_arm_does_not_depend_on_matching_order_or_company(problem):
    pairs, prior, reading, design = problem
    design = design.model_copy(update={"operators": ("mask", "substitute", "homolog")})
    def strings(plan, arm):
        rows = asked(plan).query("arm == @arm").sort_values(["matching", "operator", "dose", "seed", "repeat", "pair_id"])
        return rows[["pair_id", "matching", "operator", "dose", "string"]].reset_index(drop=True)
    plan = make_plan(pairs, prior, reading, design)
    for matching in MATCHINGS:
        alone = make_plan(pairs, prior, reading, design.model_copy(update={"matchings": (matching,)}))
        shared = strings(plan, "mechanistic").query("matching in ('none', @matching)").reset_index(drop=True)
        assert strings(alone, "mechanistic").equals(shared)
        assert strings(alone, "control").equals(strings(plan, "control").query("matching == @matching").reset_index(drop=True))
    assert make_plan(pairs.sample(frac=1, random_state=1), prior, reading, design).hash == plan.hash
    one = make_plan(pairs.query("target_id == 'a'"), prior, reading, design, pool=pairs["sequence"])
    assert strings(one, "control").equals(strings(plan, "control").query("pair_id in @one.pairs.pair_id").reset_index(drop=True))


@given(st.sets(st.integers(10, 90), min_size=1, max_size=30), st.integers(0, 2**60))
def test_geometry_keeps_runs_and_spacing(prior, seed):
    from isaac.core import stream_key
    site = make_site("ACDEFGHIKLMNPQRSTVWY" * 10, sorted(prior), others=[150, 151])
    keys = stream_key(seed, np.arange(3))
    mechanistic = mechanistic_residues(site, len(prior), keys)
    moved = MATCHINGS["geometry"](site, mechanistic, keys)
    if not len(translations(site)):
        assert moved.reason and moved.positions.shape[1] == 0
        return
    shift = moved.positions - mechanistic
    assert (shift == shift[:, :1]).all()
    assert site.usable[moved.positions].all() and not np.isin(moved.positions, [*prior, 150, 151]).any()


def test_golden_edits():
    "The exact edits of a small design: a change here makes every published audit irreproducible."
    pairs = one_pair("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRV")
    design = Design(operators=("mask", "substitute", "conservative", "radical", "alanine", "shuffle"), matchings=("uniform", "domain", "geometry"),
                    doses=(2, "100%"), repeats=1, intervention_seeds=1, seed=7, min_prior=2)
    plan = make_plan(pairs, prior_of({"t": [3, 4, 5, 9, 10]}), Reading(), design)
    found = asked(plan)[["arm", "operator", "matching", "dose", "string"]]
    golden = pd.read_csv(Path(__file__).parent / "golden" / "edits.csv", dtype=str)
    pd.testing.assert_frame_equal(found.astype(object), golden.astype(object), check_dtype=False)


def test_other_pockets_are_no_controls():
    plan = make_plan(one_pair("A" * 40), prior_of({"t": [0, 1, 2]}, others=[("t", p) for p in range(3, 30)]), Reading(),
                     Design(matchings=("uniform",), operators=("mask",), doses=("100%",), repeats=8, intervention_seeds=1, min_prior=3))
    controls = np.concatenate(asked(plan).query("arm == 'control'")["positions"].to_list())
    assert controls.min() >= 30


def test_per_drug_priors_are_rows_not_code():
    sequence = "ACDEFGHIKLMNPQRSTVWY" * 3
    pairs = pd.DataFrame({"pair_id": [0, 1], "drug_id": ["d", "e"], "target_id": "t", "smiles": ["C", "N"], "sequence": sequence})
    prior = prior_of({"t": [1, 2, 3]})
    prior.table = pd.concat([prior.table, pd.DataFrame({"target_id": "t", "drug_id": "e", "position": [30, 31, 32]})])
    design = Design(operators=("mask",), matchings=("uniform",), doses=("100%",), repeats=1, intervention_seeds=1, min_prior=3)
    edits = asked(make_plan(pairs, prior, Reading(), design))
    positions = edits.query("arm == 'mechanistic'").set_index("pair_id")["positions"]
    assert list(positions[0]) == [1, 2, 3] and list(positions[1]) == [30, 31, 32]


def test_what_cannot_be_audited_is_listed_with_its_reason():
    pairs = pd.DataFrame({"pair_id": range(4), "drug_id": "d", "target_id": ["none", "hidden", "tight", "small"], "smiles": "C",
                          "sequence": ["A" * 50, "C" * 50, "D" * 30, "E" * 50]})
    prior = prior_of({"hidden": range(38, 50), "tight": range(2, 24), "small": range(5)})
    design = Design(operators=("mask",), doses=(12, "100%"), repeats=1, intervention_seeds=1, min_prior=5)
    plan = make_plan(pairs, prior, Reading(max_target_length=40), design)
    reasons = plan.unauditable.set_index(["target_id", "matching", "dose"])["reason"]
    assert reasons["none", "all", "all"] == "no prior for this target"
    assert "10 of 12 lie beyond" in reasons["hidden", "all", "all"]
    assert "no room" in reasons["tight", "geometry", "12"] and "8 control residues" in reasons["tight", "uniform", "12"]
    assert reasons["small", "all", "12"] == "5 visible prior residues for a dose of 12"
    assert set(asked(plan).query("arm != 'none'")["target_id"]) <= {"tight", "small"}


def test_bad_designs_and_tables_name_every_offender():
    pairs = pd.DataFrame({"pair_id": [3, 3], "drug_id": "d", "target_id": "t", "smiles": "C", "sequence": "ACDEF"})
    with pytest.raises(InputError, match="row 1 pair_id 3 – occurs twice"): make_plan(pairs, prior_of({}))
    with pytest.raises(InputError, match="position 9.*position 12"): make_plan(pairs.assign(pair_id=[1, 2]), prior_of({"t": [1, 9, 12]}))
