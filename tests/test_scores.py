"""Symmetries and bounds that every score keeps on any responses; the bootstrap's independence of order and slab."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isaac.inference import bootstrap, pair_weights, percentile_interval
from isaac.scores import SCORES, Contrast, dominance, falls_control, falls_mechanistic, log_odds, overlap, reasoning_score, rs_pair, separation

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
    assert np.isclose(overlap(c), overlap(swapped(c)))


@given(contrasts(), st.integers(0, 1000))
def test_order_of_pairs_and_sign_do_not_matter(c, seed):
    order = np.random.default_rng(seed).permutation(len(c.mechanistic))
    other = Contrast(c.mechanistic[order], c.control[order], c.noise, c.binder[order])
    for name, score in SCORES.items(): assert np.isclose(score(c, None), score(other, None), equal_nan=True), name
    mirrored = Contrast(-c.mechanistic, -c.control, c.noise, c.binder)
    for name in ("RS", "rs_pair", "dominance", "C_sep", "OVL"):
        assert np.isclose(SCORES[name](c, None), SCORES[name](mirrored, None), equal_nan=True), name


@given(contrasts())
def test_bounds(c):
    for name in ("RS", "rs_pair", "dominance", "OVL", "falls_mechanistic", "falls_control"):
        value = SCORES[name](c, None)
        assert np.isnan(value) or -1e-12 <= value <= 1 + 1e-12, name


@given(contrasts(), st.floats(0.1, 100))
def test_units_do_not_matter_to_shares(c, factor):
    scaled = Contrast(c.mechanistic * factor, c.control * factor, c.noise * factor, c.binder)
    for name in ("RS", "rs_pair", "C_sep"): assert np.isclose(SCORES[name](c, None), SCORES[name](scaled, None), equal_nan=True), name


def test_by_hand():
    c = Contrast(np.array([[-2.0], [-1.0], [0.5]]), np.array([[1.0], [-1.0], [0.25]]), 0.01, np.array([True, False, True]))
    assert reasoning_score(c) == 3.5 / 5.75
    assert np.isclose(log_odds(c), np.log(3.5 / 2.25))
    assert np.isclose(rs_pair(c), (2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert np.isclose(dominance(c), (1 + 0.5 + 1) / 3)
    assert falls_mechanistic(c) == 0.5 and falls_control(c) == 0


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


def test_weights_of_a_pair_do_not_depend_on_the_other_pairs(crossed):
    _, drug, target = crossed
    every = next(pair_weights(drug, target, np.arange(30)))
    assert np.array_equal(next(pair_weights(drug[:13], target[:13], np.arange(30))), every[:, :13])


def test_the_interval_contains_the_estimate_and_widens_with_level(crossed):
    c, drug, target = crossed
    draws = bootstrap([c], drug, target, draws=400)[0, 0]
    narrow, wide = (percentile_interval(draws, level) for level in (0.5, 0.95))
    assert wide[0] < narrow[0] < reasoning_score(c) < narrow[1] < wide[1]
