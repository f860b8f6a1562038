"""Placebo priors, necessity and sufficiency: what may be touched, that all places are asked alike, and answers worked out by hand."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaac.core import InputError
from isaac.engine import respond
from isaac.inference import placebo_test
from isaac.matching import MATCHINGS, make_site, translations
from isaac.placebo import expected_cost, moved, placebo_plan, placebo_sums, placements
from isaac.plan import Design
from isaac.predictors import Reading
from isaac.sufficiency import COLUMNS, flanked, sufficiency_plan, sufficiency_table

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
DRUGS = {"ethanol": "CCO", "urea": "NC(=O)N"}
ASKED_ALIKE = [name for name in MATCHINGS if name != "strict"]


def protein(length: int, seed: int) -> str: return "".join(np.random.default_rng([seed, length]).choice(LETTERS, length))


def prior_of(table: list[tuple]) -> SimpleNamespace: # (target_id, drug_id or None, position)
    return SimpleNamespace(table=pd.DataFrame(table, columns=["target_id", "drug_id", "position"]),
                           others=pd.DataFrame(columns=["target_id", "position"]), coverage=pd.DataFrame(columns=["target_id", "status", "note"]))


def study(targets: int, length: int = 120, pocket: tuple[int, ...] = (50, 51, 52, 55, 58, 59)) -> tuple[pd.DataFrame, SimpleNamespace]:
    "Pairs of two drugs with random targets that have a pocket at the same place."
    rows = [(d, f"t{i}", s, protein(length, i)) for d, s in DRUGS.items() for i in range(targets)]
    pairs = pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"])
    return pairs.assign(pair_id=pairs.index), prior_of([(f"t{i}", None, p) for i in range(targets) for p in pocket])


def changed(pairs: pd.DataFrame, weights: dict[int, float], other: float = 1.0):
    "A model that loses a weight for every changed residue; sequences are recognised by what is unchanged."
    bodies = pairs["sequence"].unique()
    def predict(smiles, sequences):
        lost = []
        for s in sequences:
            body = max(bodies, key=lambda b: sum(x == y for x, y in zip(b, s, strict=True)))
            lost.append(sum(weights.get(i, other) for i, (x, y) in enumerate(zip(body, s, strict=True)) if x != y))
        return -np.array(lost, dtype=float)
    return predict


@st.composite
def sites(draw):
    length = draw(st.integers(20, 120))
    prior = draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=8, unique=True))
    others = draw(st.lists(st.integers(0, length - 1), max_size=4))
    return make_site(protein(length, 0), np.array(prior), np.array(others, dtype=int), (0, draw(st.integers(15, length))))


@given(sites(), st.integers(1, 60), st.integers(0, 5))
def test_placements_are_distinct_untouched_and_nested(site, most, seed):
    if len(site.prior) == 0: return
    offsets = placements(site, most, seed)
    assert len(set(offsets)) == len(offsets) == min(most, len(translations(site))) and set(offsets) <= set(translations(site))
    assert np.array_equal(offsets, placements(site, 1000, seed)[:most])
    for o in offsets:
        there = moved(site, o)
        assert site.usable[there.prior].all() and not there.usable[there.prior].any() and not there.usable[site.prior].any()
        assert there.usable.sum() == site.usable.sum() - len(site.prior)


@pytest.mark.parametrize("matching", ASKED_ALIKE)
def test_all_places_are_asked_alike_and_no_control_touches_placement_or_pocket(matching):
    pairs, prior = study(3)
    design = Design(operators=("substitute",), matchings=(matching,), doses=(4,), min_prior=3)
    plan = placebo_plan(pairs, prior, design=design, most=15)
    pocket, asked = set(prior.table["position"]), plan.edits.merge(plan.cells).query("arm != 'none'")
    assert asked["pair_id"].nunique() == (0 if matching == "conservation" else 6) # random sequences have no homologues
    for (_, repeat), arms in asked.groupby(["pair_id", "repeat"]):
        mechanistic, control = (set(plan.variants["positions"][v]) for v in arms.sort_values("arm", ascending=False)["target_variant"])
        assert len(mechanistic) == len(control) == 4 and not control & (mechanistic | pocket)
        assert mechanistic <= pocket if repeat == 0 else not mechanistic & pocket
    shapes = {tuple(np.diff(sorted(plan.variants["positions"][v]))) for v in asked.query("arm == 'mechanistic' and pair_id == 0")["target_variant"]}
    assert len(shapes) <= 1 # the same residues of the pattern everywhere


def test_a_place_has_the_same_letters_as_prior_and_as_control():
    "So that every place is one question, whatever it serves as."
    pairs, prior = study(2)
    plan = placebo_plan(pairs, prior, design=Design(operators=("radical",), matchings=("geometry",), doses=("100%",), min_prior=3), most=200)
    edited = plan.variants[plan.variants["side"].eq("target") & plan.variants["letters"].ne("")]
    assert not edited.assign(place=edited["positions"].map(tuple)).duplicated(["parent_id", "place"]).any()
    offsets = len(translations(make_site(pairs["sequence"][0], np.array(sorted(set(prior.table["position"]))))))
    assert expected_cost(plan) == {"predictions": 2 * 2 * (2 + offsets), "encodings": 2 * (2 + offsets)} # unedited, pocket and placements


@settings(max_examples=10, deadline=None)
@given(st.floats(0.25, 8).map(lambda x: round(x, 2)), st.integers(1, 4))
def test_excess_is_the_log_of_the_pockets_weight(weight, targets):
    "Whatever the weight of the background; and the rank is the first or the last of all, or that of ties."
    pairs, prior = study(targets)
    plan = placebo_plan(pairs, prior, design=Design(operators=("substitute",), matchings=("uniform",), doses=(3,), min_prior=3), most=6)
    sums = placebo_sums(plan, respond(plan, changed(pairs, dict.fromkeys(set(prior.table["position"]), weight))))
    assert np.isclose(sums.observed, np.log(weight), atol=1e-6) and np.isclose(sums.excess, np.log(weight), atol=1e-6)
    assert np.allclose(sums.m, 3 * 2) and np.allclose(sums.s, 3 * 2) and np.allclose(sums.observed_m, 6 * weight)
    if abs(np.log(weight)) > 0.01:
        p = placebo_test(sums.m, sums.s, sums.observed_m, sums.observed_s, sums.names, draws=400).p
        assert p < 2 * 7.0 ** -targets + 0.02 if weight > 1 else p == 1


def test_pairs_count_and_targets_are_told_apart():
    "A target with a drug-specific prior is two sites; sums are over the pairs of each."
    pairs, _ = study(1)
    prior = prior_of([("t0", "ethanol", p) for p in range(10, 16)] + [("t0", None, p) for p in range(50, 56)])
    plan = placebo_plan(pairs, prior, design=Design(operators=("mask",), matchings=("geometry",), doses=(2,), min_prior=3), most=5)
    sums = placebo_sums(plan, respond(plan, changed(pairs, {})))
    assert sums.names.tolist() == ["t0, pair 0", "t0, pair 1"] and np.allclose(sums.m, 2) and sums.m.shape == (2, 5)


def test_what_cannot_be_asked_is_named():
    pairs, prior = study(2, length=16, pocket=(0, 5, 14))
    plan = placebo_plan(pairs, prior, Reading(max_target_length=15), Design(operators=("mask",), matchings=("geometry",), doses=(2,), min_prior=3))
    assert plan.unauditable["reason"].str.contains("no room to translate").all() and len(plan.unauditable) == 2
    with pytest.raises(InputError, match="no placebo priors"): placebo_sums(plan, respond(plan, lambda smiles, sequences: np.zeros(len(smiles))))
    large = placebo_plan(pairs, prior, design=Design(operators=("mask",), matchings=("uniform",), doses=(4,), min_prior=3))
    assert large.unauditable["reason"].eq("3 visible prior residues for a dose of 4").all() and len(large.edits) == len(pairs)
    orphans = placebo_plan(*study(2), design=Design(operators=("homolog",), matchings=("uniform",), doses=(2,), min_prior=3))
    assert orphans.unauditable["reason"].tolist() == ["the sequence has no homologue here"] * 2


@given(sites(), st.integers(0, 6))
def test_flanks_stay_visible_and_unusable(site, flank):
    if len(site.prior) == 0: return
    last = int(np.flatnonzero(site.usable).max(initial=site.prior.max())) + 1
    wide = flanked(site, flank, (0, last))
    near = np.abs(wide.prior[:, None] - site.prior).min(axis=1)
    assert set(site.prior) <= set(wide.prior) and near.max() <= flank and wide.prior.max() < last and not wide.usable[wide.prior].any()


def test_keep_and_mask_are_complements_within_what_is_read():
    pairs, prior = study(1)
    plan = sufficiency_plan(pairs, prior, Reading(max_target_length=100), Design(matchings=("geometry", "uniform"), repeats=2, min_prior=3), flank=0)
    asked = plan.edits.merge(plan.cells).query("arm == 'mechanistic' and pair_id == 0")
    masked = {operator: set(plan.variants["positions"][rows["target_variant"].iloc[0]]) for operator, rows in asked.groupby("operator")}
    assert masked["mask"] == set(prior.table["position"]) and masked["keep"] == set(range(100)) - masked["mask"]
    controls = plan.edits.merge(plan.cells).query("arm == 'control' and operator == 'keep'")["target_variant"].unique()
    assert all(len(plan.variants["positions"][v]) == 94 and masked["mask"] <= set(plan.variants["positions"][v]) for v in controls)


def test_accuracy_without_and_with_nothing_but_the_pocket():
    "A model that reads the pocket alone, and one that reads the rest alone: each is the other's mirror."
    pairs, prior = study(4)
    pairs["affinity"] = np.arange(8.0)
    pocket, design = sorted(set(prior.table["position"])), Design(matchings=("uniform",), repeats=1, intervention_seeds=1, min_prior=3)
    known = dict(zip(zip(pairs["smiles"], pairs["sequence"], strict=True), pairs["affinity"], strict=True))
    plan = sufficiency_plan(pairs, prior, design=design, flank=0)
    def reader(places):
        cut = lambda s: "".join(s[i] for i in places)
        table = {(d, cut(s)): a for (d, s), a in known.items()}
        return lambda smiles, sequences: np.array([table.get((d, cut(s)), -1.0) for d, s in zip(smiles, sequences, strict=True)])
    rest = [i for i in range(120) if i not in pocket]
    for places, unharmed in ((pocket, {("necessity", "control"), ("sufficiency", "mechanistic")}), (rest, {("necessity", "mechanistic")})):
        table = sufficiency_table(plan, respond(plan, reader(places)), threshold=4.0).set_index(["question", "arm"])
        for where, row in table.iterrows():
            whole = where in unharmed or where[1] == "none"
            assert (row["mse"], row["auroc"]) == ((0, 1) if whole else (np.mean((np.arange(8) + 1) ** 2), 0.5)), where
        assert table["masked"].tolist() == [0, 6, 6, 0, 114, 114] and (table["pairs"] == 8).all()


def test_each_question_and_matching_stands_on_its_own_pairs():
    "Five targets; of one the affinity is not known. Flanked, the pocket of eight residues fits within its span ± 20 in none."
    pairs, prior = study(5)
    pairs["affinity"] = np.arange(10.0)
    pairs.loc[pairs["target_id"].eq("t4"), "affinity"] = np.nan
    design = Design(matchings=("geometry", "uniform", "domain"), repeats=1, intervention_seeds=1, min_prior=3)
    plan = sufficiency_plan(pairs, prior, design=design, flank=20)
    assert ("domain" in set(plan.unauditable["matching"])) and ("uniform" not in set(plan.unauditable["matching"]))
    table = sufficiency_table(plan, respond(plan, changed(pairs, {})))
    assert list(table) == COLUMNS and len(table) == 2 * 3 * 3
    count = table.set_index(["question", "matching", "arm"])["pairs"].unstack()
    assert (count.loc["necessity"] == 8).all(axis=None) and (count.loc[("sufficiency", "uniform")] == 8).all()
    assert (count.loc[("sufficiency", "domain")] == 0).all()
    assert table.query("pairs == 0")[["masked", "mse", "ci", "auroc", "auprc"]].isna().all(axis=None)
    alone = sufficiency_plan(pairs, prior, design=design.model_copy(update={"matchings": ("uniform",)}), flank=20)
    expected = sufficiency_table(alone, respond(alone, changed(pairs, {})))
    pd.testing.assert_frame_equal(table.query("matching == 'uniform'").reset_index(drop=True), expected)


def test_where_the_flanks_take_in_everything_only_necessity_is_asked():
    pairs, prior = study(2, length=20, pocket=(8, 9, 10))
    plan = sufficiency_plan(pairs.assign(affinity=np.arange(4.0)), prior, design=Design(matchings=("uniform",), repeats=1, min_prior=3), flank=12)
    assert plan.unauditable["reason"].tolist() == ["keep, flank 12: nothing else is visible"] * 2
    table = sufficiency_table(plan, respond(plan, changed(pairs, {})))
    assert table.groupby("question")["pairs"].unique().map(list).to_dict() == {"necessity": [4], "sufficiency": [0]}
