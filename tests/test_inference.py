"""The bootstrap's independence of order and blocks, and tests with answers worked out by hand or by another library."""
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind_from_stats
from sklearn.metrics import roc_auc_score

from isaac import inference
from isaac.core import InputError
from isaac.engine import respond
from isaac.inference import (
    adjusted,
    auroc_bootstrap,
    bootstrap,
    bootstrap_error,
    calibrated,
    combined_error,
    combined_interval,
    differences,
    equivalence,
    icc21,
    null_test,
    pair_weights,
    percentile_interval,
    placebo_test,
    poisson_weights,
    score_interval,
    sign_flip,
    specific_scores,
    variance_components,
    weighted_auroc,
)
from isaac.plan import Design, make_plan
from isaac.priors import prior_from_table
from isaac.scores import SCORES, Contrast, reasoning_score


@pytest.fixture(scope="module")
def crossed():
    g = np.random.default_rng(3)
    drug, target = (x.ravel().astype(str) for x in np.meshgrid(np.arange(8), np.arange(11)))
    return Contrast(g.normal(size=(88, 2)), g.normal(size=(88, 2)), 1e-6, g.random(88) < 0.5), drug, target


def test_bootstrap_does_not_depend_on_order_or_slab(crossed):
    c, drug, target = crossed
    draws = bootstrap([c], drug, target, draws=60, seed=5)
    assert np.array_equal(draws, bootstrap([c], drug, target, draws=60, seed=5), equal_nan=True)
    assert np.allclose(draws, bootstrap([c], drug, target, draws=60, seed=5, slab=7), equal_nan=True)
    order = np.random.default_rng(0).permutation(88)
    moved = Contrast(c.mechanistic[order], c.control[order], c.noise, c.binder[order])
    assert np.allclose(draws, bootstrap([moved], drug[order], target[order], draws=60, seed=5), equal_nan=True)
    assert not np.allclose(draws, bootstrap([c], drug, target, draws=60, seed=6), equal_nan=True)


def test_bootstrap_is_the_score_of_weighted_pairs_however_it_is_cut(crossed, monkeypatch):
    c, drug, target = crossed
    others = [c, Contrast(c.control * 2, c.mechanistic, c.noise, c.binder), Contrast(c.control - 1, c.control, c.noise)]
    whole = bootstrap(others, drug, target, draws=40, seed=1)
    weights = np.vstack(list(pair_weights(drug, target, np.arange(40), 1)))
    for values, one in zip(whole, others, strict=True):
        for row, score in zip(values, SCORES.values(), strict=True): assert np.allclose(row, score(one, weights), equal_nan=True), score.name
    monkeypatch.setattr(inference, "PAIR_BLOCK", 9)
    monkeypatch.setattr(inference, "FEATURE_ROWS", 2 * 88)
    assert np.allclose(whole, bootstrap(iter(others), drug, target, draws=40, seed=1), equal_nan=True)


def test_nothing_to_resample_gives_nothing():
    empty = Contrast(np.empty((0, 2)), np.empty((0, 2)), binder=np.empty(0, bool))
    assert np.isnan(bootstrap([empty], np.array([], str), np.array([], str), draws=5)).all()
    assert bootstrap([], np.array(["d"]), np.array(["t"]), draws=5).shape == (0, len(SCORES), 5)


def test_weights_of_a_pair_do_not_depend_on_the_other_pairs(crossed):
    _, drug, target = crossed
    every = next(pair_weights(drug, target, np.arange(30)))
    assert np.array_equal(next(pair_weights(drug[:13], target[:13], np.arange(30))), every[:, :13])


def test_families_take_the_place_of_their_sequences(crossed):
    c, drug, target = crossed
    family = np.where(target.astype(int) < 4, "TK", "CMGC")
    draws = bootstrap([c], drug, target, draws=50, clusters=family)
    weights = np.vstack(list(pair_weights(drug, target, np.arange(50), clusters=family)))
    by_hand = poisson_weights(["TK", "CMGC"], np.arange(50), "cluster")[:, (family == "CMGC").astype(int)]
    by_hand = by_hand * poisson_weights(list(drug), np.arange(50), "drug")
    assert np.array_equal(weights, by_hand) and np.allclose(draws[0, 0], reasoning_score(c, by_hand), equal_nan=True)
    kept = np.vstack(list(pair_weights(drug, target, np.arange(50), fixed=("sequence",), clusters=family)))
    assert np.array_equal(kept, poisson_weights(list(drug), np.arange(50), "drug"))
    with pytest.raises(InputError) as refused: bootstrap([c], drug, target, draws=5, clusters=np.where(np.arange(88) == 0, "TK", "CMGC"))
    assert [(p.value, p.reason) for p in refused.value.problems] == [("0", "in 2 clusters")]


def test_the_interval_contains_the_estimate_and_widens_with_level(crossed):
    c, drug, target = crossed
    draws = bootstrap([c], drug, target, draws=400)[0, 0]
    narrow, wide = (percentile_interval(draws, level) for level in (0.5, 0.95))
    assert wide[0] < narrow[0] < reasoning_score(c) < narrow[1] < wide[1]


def test_no_interval_leaves_its_bounds(crossed):
    c, drug, target = crossed
    for score, draws in zip(SCORES.values(), bootstrap([c], drug, target, draws=200)[0], strict=True):
        low, high = score_interval(score, float(score(c)), draws)
        assert score.bounds[0] <= low <= high <= score.bounds[1], score.name


ranked = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=25)

@given(ranked)
def test_weighted_auroc_is_that_of_repeated_pairs(rows):
    f, binds, weights = (np.array(x) for x in zip(*rows, strict=True))
    found, repeated = weighted_auroc(f.astype(float), binds, weights.astype(float)), np.repeat(binds, weights)
    if repeated.any() and not repeated.all(): assert np.isclose(found, roc_auc_score(repeated, np.repeat(f, weights)))
    else: assert np.isnan(found)


def test_auroc_is_drawn_on_the_worlds_of_the_scores(crossed):
    c, drug, target = crossed
    f = np.stack([c.mechanistic[:, 0], c.control[:, 0]])
    draws = auroc_bootstrap(f, c.binder, drug, target, draws=60, seed=2)
    weights = np.vstack(list(pair_weights(drug, target, np.arange(60), 2)))
    assert np.allclose(draws, [weighted_auroc(x, c.binder, weights) for x in f], equal_nan=True)
    order = np.random.default_rng(0).permutation(88)
    assert np.allclose(draws, auroc_bootstrap(f[:, order], c.binder[order], drug[order], target[order], draws=60, seed=2), equal_nan=True)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=12), st.integers(0, 99))
def test_adjusted_p_values(p, seed):
    p = np.array(p)
    holm, q = adjusted(p)
    known = ~np.isnan(p)
    assert (np.isnan(holm) == ~known).all() and (np.isnan(q) == ~known).all()
    assert (p[known] <= q[known] + 1e-12).all() and (q[known] <= holm[known] + 1e-12).all() and (holm[known] <= 1).all()
    order = np.random.default_rng(seed).permutation(len(p))
    for whole, moved in zip((holm, q), adjusted(p[order]), strict=True): assert np.allclose(whole[order], moved, equal_nan=True)


def test_adjusted_by_hand():
    "Holm: 4·0.01, 3·0.02, then 2·0.03 and 0.05, not below the one before. Benjamini–Hochberg: 4·0.01, 2·0.02, 4/3·0.03, 0.05."
    holm, q = adjusted([[0.01, 0.02], [0.03, 0.05]])
    assert np.allclose(holm, [[0.04, 0.06], [0.06, 0.06]]) and np.allclose(q, [[0.04, 0.04], [0.04, 0.05]])


def test_the_t_of_one_more_network_is_that_of_scipy():
    nulls = np.random.default_rng(0).normal(size=20)
    expected = ttest_ind_from_stats(1.3, 0, 1, nulls.mean(), nulls.std(ddof=1), 20, alternative="greater")
    assert np.allclose(null_test(1.3, nulls), (expected.statistic, expected.pvalue))
    assert np.isnan(null_test(1.3, nulls[:1])).all()


def test_equivalence_needs_both_sides():
    "With standard error 0.01 and margin 0.03, a difference of ±0.0135 is just equivalent at 5 %: 0.0165 is 1.645 standard errors."
    for value in (0.01355, -0.01355): assert np.isclose(equivalence(value, 0.01, np.inf), 0.05, atol=1e-3)
    assert equivalence(0.0, 0.0, np.inf) == 0 and equivalence(0.2, 0.01, 8) > 0.99 and np.isnan(equivalence(np.nan, 0.01, 8))


def test_differences_do_not_depend_on_the_order_of_models():
    g = np.random.default_rng(1)
    names, value, draws = np.array(list("ABCD")), g.normal(size=4), g.normal(size=(4, 300))
    se, seeds = np.array([0.1, 0.2, np.nan, np.nan]), [5, 3, 1, 1]
    table = differences(names, value, draws, se, seeds, margin=0.5)
    assert len(table) == 6 and (table["low_joint"] < table["low"]).all() and (table["p_holm"] >= table["p"]).all()
    back = differences(names[::-1], value[::-1], draws[::-1], se[::-1], seeds[::-1], margin=0.5)
    back = back.set_index(["other", "model"]).loc[list(zip(table["model"], table["other"], strict=True))].reset_index()
    assert np.allclose(table["value"], -back["value"]) and np.allclose(table["low_joint"], -back["high_joint"])
    for column in ("p", "p_holm", "p_equivalent", "se_pairs"): assert np.allclose(table[column], back[column]), column
    row = table.iloc[0]
    low, high = combined_interval(row["value"], bootstrap_error(draws[0] - draws[1]), [0.1, 0.2], [5, 3])
    assert np.allclose(row[["low", "high"]].astype(float), (low, high))
    low, high = combined_interval(row["value"], row["se_pairs"], [0.1, 0.2], [5, 3], 1 - 0.05 / 6)
    assert np.allclose(row[["low_joint", "high_joint"]].astype(float), (low, high))
    assert np.isnan(table["se_seeds"].iloc[-1]) and "p_equivalent" not in differences(names, value, draws, se, seeds)
    assert differences(["A"], value[:1], draws[:1], se[:1], seeds[:1]).empty


def test_degrees_of_freedom_lie_between_the_smallest_group_and_all_together():
    se, degrees = combined_error(0.0, [0.1, 0.1], [3, 5])
    assert np.isclose(se, 0.1 * 2**0.5) and np.isclose(degrees, 4 / (1 / 2 + 1 / 4))
    assert combined_error(0.2, [np.nan], [1]) == (0.2, np.inf)


def test_calibration_removes_what_nulls_score():
    draws, nulls = np.random.default_rng(0).normal(0.4, 0.1, 500), np.random.default_rng(1).normal(-0.2, 0.05, 20)
    value, low, high = calibrated(0.4, nulls, draws)
    assert np.isclose(np.log(value / (1 - value)), 0.4 - nulls.mean()) and low < value < high
    assert np.allclose(calibrated(1.4, nulls + 1, draws), (value, low, high))
    assert calibrated(0.4, nulls, draws, se_seeds=0.1, seeds=5)[1] < low


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_the_placebo_rank_is_that_of_all_combinations(seed):
    "Two targets with three and two placements: twelve combinations, the true pockets among them."
    g = np.random.default_rng(seed)
    m, s = g.lognormal(size=(2, 2, 4))
    m[1, 1] = s[1, 1] = np.nan # a gap, not at the end
    test = placebo_test(m[:, 1:], s[:, 1:], m[:, 0], s[:, 0], ["A", "B"], draws=4_000)
    every = [np.log(m[0, i] + m[1, j]) - np.log(s[0, i] + s[1, j]) for i, j in product(range(4), (0, 2, 3))]
    assert np.isclose(test.observed, every[0]) and set(test.null.round(9)) == set(np.round(every, 9))
    assert abs(test.p - np.mean(np.array(every) >= every[0])) < 0.05 and abs(test.beaten - (1 - test.p)) < 0.1
    other = placebo_test(m[::-1, 1:], s[::-1, 1:], m[::-1, 0], s[::-1, 0], ["B", "A"], draws=4_000)
    assert np.allclose(test.null, other.null) and test.p == other.p


def test_placebo_sums_that_cannot_be_used_are_named():
    m = np.array([[1.0, np.nan], [1.0, 2.0]])
    with pytest.raises(InputError) as refused: placebo_test(m, np.ones((2, 2)), [1.0, np.nan], [1.0, 1.0], ["A", "B"])
    assert {(p.where, p.field) for p in refused.value.problems} == {("target A", "placement"), ("target B", "observed")}
    with pytest.raises(InputError, match="'A' – 2 times"): placebo_test(m, m, [1.0, 1.0], [1.0, 1.0], ["A", "A"])


def test_a_target_without_placements_stays_in_both():
    "It can only be its true pocket, so it shifts the observed score and all placebo priors alike."
    test = placebo_test([[1.0], [np.nan]], [[2.0], [np.nan]], [3.0, 5.0], [2.0, 2.0], ["A", "B"], draws=200)
    assert set(np.exp(test.null).round(9)) == {2.0, 1.5} and np.isclose(test.observed, np.log(2))


def test_sign_flips_by_hand_and_in_any_order(crossed):
    c, _, target = crossed
    test, order = sign_flip(c, target, 500), np.random.default_rng(0).permutation(88)
    moved = sign_flip(Contrast(c.mechanistic[order], c.control[order]), target[order], 500)
    assert np.allclose(test.null, moved.null) and test.p == moved.p
    sums = [(c.m - c.s)[target == level].sum() for level in sorted(set(target))]
    exact = np.mean([abs(np.dot(signs, sums)) >= abs(np.sum(sums)) - 1e-12 for signs in product((-1, 1), repeat=11)])
    assert abs(sign_flip(c, target).p - exact) < 0.02
    assert sign_flip(c, ["one"] * 88, 100).p == 1


def test_no_response_has_no_p_and_one_arm_alone_has_one():
    zero, one = np.zeros((3, 2)), np.ones((3, 2))
    silent = sign_flip(Contrast(zero, zero), list("ABC"), 50)
    assert np.isnan(silent.observed) and np.isnan(silent.p)
    assert sign_flip(Contrast(one, zero), ["A"] * 3, 50).p == 1
    assert np.isnan(placebo_test([[0.0]], [[0.0]], [0.0], [0.0], ["A"], draws=50).p)
    infinite = placebo_test([[1.0], [1.0]], [[0.0], [0.0]], [1.0, 1.0], [0.0, 0.0], ["A", "B"], draws=50)
    assert infinite.observed == np.inf and infinite.p == 1


def test_variance_components_of_tables_made_by_hand():
    "A table that only differs between models, seeds or sequences shows that variance and no other."
    base, zero = np.zeros((2, 3, 4)), [0, 0, 0, 0, 0]
    for place, effect, variance in ((0, np.array([1.0, 3.0])[:, None, None], 2.0), (2, np.array([1.0, 2.0, 3.0, 4.0]), 5 / 3)):
        expected = np.array(zero, dtype=float)
        expected[place] = variance
        assert np.allclose(variance_components(base + effect)["variance"], expected)
    seeds = variance_components(base + np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])[:, :, None])
    assert np.allclose(seeds["variance"], [-1 / 3, 1, 0, 0, 0]) and np.allclose(seeds["share"], [0, 1, 0, 0, 0]) # the models' means are equal
    assert seeds["df"].tolist() == [1, 4, 3, 3, 12] and np.isnan(variance_components(base)["share"]).all()


def test_variance_components_ignore_names_and_levels():
    g = np.random.default_rng(0)
    y = g.normal(size=(3, 4, 6))
    table = variance_components(y)
    assert np.isclose((table["mean_square"] * table["df"]).sum(), ((y - y.mean())**2).sum()) and table["df"].sum() == y.size - 1
    moved = variance_components(7 - y[g.permutation(3)][:, g.permutation(4)][:, :, g.permutation(6)])
    assert np.allclose(table["variance"], moved["variance"])


def test_tables_with_holes_are_refused():
    y = np.zeros((2, 3, 4))
    y[1, 2, 3] = np.inf
    with pytest.raises(InputError, match="model 1, seed 2, sequence 3 log odds inf"): variance_components(y)
    with pytest.raises(InputError, match="two or more model, seed, sequence each"): variance_components(y[:1])
    with pytest.raises(InputError, match="sequence, training each"): icc21(np.zeros((5, 1)))


def test_icc_of_trainings_that_differ_by_a_constant():
    "Absolute agreement: sequences 0, 2 and 4 with a rater 2 higher. Between 8·2/2 = 8, raters 6, error 0: 8 / (8 + 0 + 2·6/3)."
    y = np.array([0.0, 2.0, 4.0])[:, None] + np.array([0.0, 2.0])
    assert np.isclose(icc21(y), 8 / (8 + 4)) and icc21(np.array([0.0, 2.0, 4.0])[:, None] + np.zeros(2)) == 1


@pytest.fixture(scope="module")
def grid():
    "Two drugs × two sequences, one of them under two names, and the model that multiplies drug length and pocket lysines."
    sequences = {"P": "ACDEFGHIKLMN" * 4, "P again": "ACDEFGHIKLMN" * 4, "Q": "ACDEFGHLMN" * 4 + "K"}
    pairs = pd.DataFrame([(d, t, d, q) for d in ("CC", "CCCC") for t, q in sequences.items()], columns=["drug_id", "target_id", "smiles", "sequence"])
    pairs = pairs.assign(pair_id=range(6))
    targets = pairs[["target_id", "sequence"]].drop_duplicates()
    prior = prior_from_table(pd.DataFrame([(t, p) for t in sequences for p in (7, 8, 9)], columns=["target_id", "position"]), targets)
    design = Design(operators=["mask"], matchings=["uniform"], doses=["100%"], repeats=2, intervention_seeds=1, min_prior=3)
    def ask(pairs):
        plan = make_plan(pairs, prior, design=design)
        return plan, respond(plan, lambda s, t: [len(a) * (b[8] == "K") for a, b in zip(s, t, strict=True)])
    return pairs, ask


def test_sequences_under_two_names_count_once_on_a_grid(grid):
    "P's lysine is worth 2 to one drug and 4 to the other, Q has none: ±½ is left of each of the four responses, a third of their sum."
    pairs, ask = grid
    row = specific_scores(*ask(pairs), draws=50).iloc[0]
    assert (row["pairs"], row["RS"], row["RS_specific"], row["low"], row["high"], row["status"]) == (4, 1, 1, 1, 1, "ok")
    assert np.isclose(row["movement"], 2 / 6)


def test_a_hole_in_the_grid_is_named(grid):
    pairs, ask = grid
    with pytest.raises(InputError, match="CCCC × ACDEFGHLMN.* missing"): specific_scores(*ask(pairs.iloc[:5]))
