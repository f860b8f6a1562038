"""Symmetries and bounds that every score keeps on any responses; what is left of them on a grid, and what they do to outputs and accuracy."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isaac.core import InputError
from isaac.metrics import regression_metrics
from isaac.scores import (
    SCORES,
    Contrast,
    arm_metrics,
    coherence,
    contrast,
    distribution_shift,
    dominance,
    falls_control,
    falls_mechanistic,
    level_sums,
    log_odds,
    reasoning_score,
    rs_pair,
    separation,
    specific,
)

values = st.floats(-5, 5).map(lambda x: round(x, 3))
responses = hnp.arrays(float, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=values)


@st.composite
def contrasts(draw):
    mechanistic = draw(responses)
    control = draw(hnp.arrays(float, mechanistic.shape, elements=values))
    return Contrast(mechanistic, control, 1e-4, draw(hnp.arrays(bool, len(mechanistic))))


def swapped(c): return Contrast(c.control, c.mechanistic, c.noise, c.binder)


@given(contrasts())
def test_swapping_the_arms_mirrors_every_score(c):
    if not c.responds: return
    assert np.isclose(reasoning_score(c) + reasoning_score(swapped(c)), 1)
    assert np.isclose(rs_pair(c) + rs_pair(swapped(c)), 1)
    assert np.isclose(dominance(c) + dominance(swapped(c)), 1)
    if c.m.any() and c.s.any(): assert np.isclose(log_odds(c), -log_odds(swapped(c)))
    assert np.isclose(separation(c), -separation(swapped(c)), equal_nan=True) or np.isinf(separation(c))
    for name in ("OVL", "entanglement", "collapse", "instability"):
        assert np.isclose(SCORES[name](c), SCORES[name](swapped(c)), equal_nan=True), name


@given(contrasts(), st.integers(0, 1000))
def test_order_of_pairs_and_sign_do_not_matter(c, seed):
    order = np.random.default_rng(seed).permutation(len(c.mechanistic))
    other = Contrast(c.mechanistic[order], c.control[order], c.noise, c.binder[order])
    for name, score in SCORES.items(): assert np.isclose(score(c, None), score(other, None), equal_nan=True), name
    mirrored = Contrast(-c.mechanistic, -c.control, c.noise, c.binder)
    for name in ("RS", "rs_pair", "dominance", "C_sep", "OVL", "collapse", "instability"):
        assert np.isclose(SCORES[name](c, None), SCORES[name](mirrored, None), equal_nan=True), name


@given(contrasts())
def test_bounds(c):
    for name, score in SCORES.items():
        low, high = score.bounds
        assert np.isnan(score(c)) or low - 1e-12 <= score(c) <= high + 1e-12, name
    assert [name for name, score in SCORES.items() if score.bounds != (0, 1)] == ["log_odds", "C_sep", "signed_mechanistic", "signed_control"]


@given(contrasts(), st.floats(0.1, 100))
def test_units_do_not_matter_to_shares(c, factor):
    scaled = Contrast(c.mechanistic * factor, c.control * factor, c.noise * factor, c.binder)
    for name in ("RS", "rs_pair", "C_sep", "collapse", "instability"):
        assert np.isclose(SCORES[name](c, None), SCORES[name](scaled, None), equal_nan=True), name


def test_by_hand():
    c = Contrast(np.array([[-2.0], [-1.0], [0.5]]), np.array([[1.0], [-1.0], [0.25]]), 0.01, np.array([True, False, True]))
    assert reasoning_score(c) == 3.5 / 5.75
    assert np.isclose(log_odds(c), np.log(3.5 / 2.25))
    assert np.isclose(rs_pair(c), (2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert np.isclose(dominance(c), (1 + 0.5 + 1) / 3)
    assert falls_mechanistic(c) == 0.5 and falls_control(c) == 0


def test_a_matching_with_mechanistic_cells_of_its_own_is_contrasted_with_them():
    arms = [("none", "none"), ("mechanistic", "none"), ("control", "uniform"), ("control", "strict"), ("mechanistic", "strict")]
    cells = pd.DataFrame(arms, columns=["arm", "matching"]).assign(operator=["none"] + ["mask"] * 4, dose=["0"] + ["5"] * 4)
    plan, matrix = SimpleNamespace(cells=cells.assign(cell_id=range(5), repeat=0, seed=0)), np.array([[0.0], [1.0], [2.0], [3.0], [np.nan]])
    c = contrast(plan, matrix, "mask", "uniform", 5)
    assert (c.mechanistic, c.control) == (1, 2)
    assert len(contrast(plan, matrix, "mask", "strict", 5).mechanistic) == 0 # its own cell was not asked
    matrix[4] = 4
    c = contrast(plan, matrix, "mask", "strict", 5)
    assert (c.mechanistic, c.control) == (4, 3)


@st.composite
def grids(draw):
    "A full grid in random order, with its drugs and targets."
    drugs, targets, draws = draw(st.integers(2, 5)), draw(st.integers(2, 6)), draw(st.integers(1, 3))
    g = np.random.default_rng(draw(st.integers(0, 999)))
    order = g.permutation(drugs * targets)
    values = g.normal(size=(2, drugs * targets, draws))
    labels = np.repeat([f"d{i}" for i in range(drugs)], targets), np.tile([f"t{i}" for i in range(targets)], drugs)
    return Contrast(*values, 1e-9), *(x[order] for x in labels)


@given(grids())
def test_nothing_of_drug_or_target_is_left_in_specific_responses(grid):
    c, drugs, targets = grid
    left = specific(c, drugs, targets)
    for side in (drugs, targets):
        sums = pd.DataFrame(np.hstack([left.mechanistic, left.control])).groupby(side).sum()
        assert np.allclose(sums, 0)
    effects = np.array([int(d[1:]) ** 2 + 3 * int(t[1:]) for d, t in zip(drugs, targets, strict=True)])[:, None]
    moved = specific(Contrast(c.mechanistic + effects, c.control - effects), drugs, targets)
    assert np.allclose(moved.mechanistic, left.mechanistic) and np.allclose(moved.control, left.control)
    additive = specific(Contrast(effects * 1.0, effects * 0.1, 1e-6), drugs, targets)
    assert not additive.responds and left.noise == 1e-9


@given(grids(), st.data())
def test_every_missing_and_repeated_cell_of_a_grid_is_named(grid, data):
    c, drugs, targets = grid
    i, j = data.draw(st.permutations(range(len(drugs))))[:2]
    rows = np.arange(len(drugs))
    rows[i] = j # cell i is missing now, cell j there twice
    if {drugs[i], targets[i]} <= {*drugs[rows], *targets[rows]}:
        with pytest.raises(InputError) as refused: specific(Contrast(c.mechanistic[rows], c.control[rows]), drugs[rows], targets[rows])
        assert {(p.where, p.value) for p in refused.value.problems} == {(f"{drugs[i]} × {targets[i]}", 0), (f"{drugs[j]} × {targets[j]}", 2)}


def test_one_drug_is_no_grid():
    with pytest.raises(InputError, match="two drugs and two targets; the grid is 1 × 3"):
        specific(Contrast(np.ones((3, 1)), np.ones((3, 1))), ["d"] * 3, list("abc"))


@given(contrasts())
def test_sums_of_levels_are_those_of_the_whole(c):
    table = level_sums(c, np.arange(len(c.m)) % 3)
    assert np.allclose(table[["m", "s"]].sum(), [c.m.sum(), c.s.sum()]) and table["pairs"].sum() == len(c.m)
    alone = level_sums(c, ["one"] * len(c.m))
    assert np.isclose(alone["log_odds"][0], log_odds(c), equal_nan=True)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=30))
def test_distances_of_distributions_are_those_of_scipy(outputs):
    from scipy.stats import wasserstein_distance
    x, y = np.array(outputs).T
    found = distribution_shift(x, y)
    assert np.isclose(found["W1"], wasserstein_distance(x, y)) and np.isclose(found["W1_centred"], wasserstein_distance(x - x.mean(), y - y.mean()))
    assert np.isclose(found["shift_q50"], np.median(x) - np.median(y))


def test_coherence_of_no_pairs_is_unknown():
    nothing = np.empty((0, 2))
    assert coherence(np.empty(0), Contrast(nothing, nothing)).drop(columns=["distribution", "reference"]).isna().all().all()


def test_accuracy_after_the_edits_is_the_mean_over_draws():
    g = np.random.default_rng(0)
    y, base, c = g.normal(6, 1, 30), g.normal(6, 1, 30), Contrast(g.normal(size=(30, 2)), g.normal(size=(30, 2)))
    y[[3, 7]] = np.nan
    known = ~np.isnan(y)
    table = arm_metrics(y, base, c, threshold=6.0).set_index("arm")
    by_draw = [regression_metrics(y[known], (base + c.control[:, r])[known], 6.0) for r in range(2)]
    for name in ("mse", "ci", "auroc", "auprc"):
        assert np.isclose(table.loc["control", name], np.mean([m[name] for m in by_draw])), name
        assert np.isclose(table.loc["none", name], regression_metrics(y[known], base[known], 6.0)[name]), name
    assert (table["pairs"] == 28).all()
    other = arm_metrics(y, base, c, same_scale=False)
    assert other[["mse", "auroc", "auprc"]].isna().all().all() and other["ci"].notna().all()
    unknown = arm_metrics(np.full(30, np.nan), base, c, 6.0)
    assert (unknown["pairs"] == 0).all() and unknown[["mse", "ci", "auroc", "auprc"]].isna().all().all()
