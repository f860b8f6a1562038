"""Planted data: valid, reproducible, with the redundancy and the mechanism that were asked for; and a truth that is right where it is known."""
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaac.audit import audit
from isaac.core import InputError, stream_key
from isaac.metrics import auroc
from isaac.planted import (
    BINDS,
    CARRIED,
    MOST_DRUGS,
    PHARMACOPHORE,
    SITE,
    SITES,
    PlantedOptions,
    Reader,
    draw_states,
    drug_say,
    flip_effects,
    follow,
    grow_drugs,
    information,
    lay_out,
    mixed_signal,
    plant,
    planted_prior,
    rank_correlation,
    reliance_chart,
    rewrite,
    rewrite_drugs,
    true_drug_reliance,
    true_interaction,
    true_reliance,
)

SMALL = {"targets": 60, "drugs": 12, "families": 5}


@pytest.fixture(scope="module")
def planted(): return plant(PlantedOptions(**SMALL))


def test_golden_tables():
    "What is planted for a few options, bit for bit: a change here makes every published benchmark irreproducible."
    golden = pd.read_csv(Path(__file__).parent / "golden" / "planted.csv", dtype={"hash": str, "prior": str})
    for row in golden.itertuples():
        made = plant(PlantedOptions(**SMALL, shortcut=row.shortcut, redundancy=row.redundancy, seed=row.seed))
        assert (made.dataset.hash[:16], made.prior.hash[:16]) == (row.hash, row.prior), row
    assert golden["hash"].nunique() == len(golden) and golden["prior"].nunique() == golden["seed"].nunique()


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.integers(2, 40), st.integers(1, 6), st.floats(0, 1), st.floats(0, 0.99))
def test_whatever_is_asked_for_is_a_sound_data_set(seed, targets, families, shortcut, redundancy):
    made = plant(PlantedOptions(seed=seed, targets=targets, families=min(families, targets), drugs=4, shortcut=shortcut, redundancy=redundancy))
    frame, sequences = made.dataset.frame, made.dataset.targets.sequence
    assert len(frame) == 4 * targets == frame[["drug_id", "target_id"]].drop_duplicates().shape[0] and np.isfinite(frame.affinity).all()
    assert abs(frame.affinity.mean() - 6.5) < 1e-3 and abs(frame.affinity.std(ddof=0) - 1) < 1e-3
    for sequence, (pocket, other) in zip(sequences, made.places, strict=True):
        assert len(set(pocket) | set(other)) == 2 * len(SITE) and max(*pocket, *other) < len(sequence) and 130 <= len(sequence) <= 300
    assert [len(made.prior.positions[t]) for t in made.dataset.targets.target_id] == [len(SITE)] * targets


@settings(max_examples=5)
@given(st.integers(0, 2**40))
def test_drugs_are_valid_distinct_and_carry_what_they_say(seed):
    from rdkit import Chem
    drugs = grow_drugs(MOST_DRUGS, seed)
    molecules = [Chem.MolFromSmiles(s) for s in drugs.smiles]
    assert None not in molecules and len({Chem.MolToSmiles(m) for m in molecules}) == MOST_DRUGS
    for name, group in PHARMACOPHORE.items():
        assert [m.HasSubstructMatch(Chem.MolFromSmiles(group)) for m in molecules] == drugs[name].tolist()
    assert {tuple(np.flatnonzero(row)) for row in drugs[list(PHARMACOPHORE)].to_numpy()} == set(CARRIED)


def test_nothing_but_the_affinities_depends_on_the_shortcut(planted):
    other = plant(PlantedOptions(**SMALL, shortcut=0.7))
    pd.testing.assert_frame_equal(planted.dataset.targets, other.dataset.targets)
    pd.testing.assert_frame_equal(planted.dataset.drugs, other.dataset.drugs)
    columns = ["pair_id", "drug_id", "target_id"]
    pd.testing.assert_frame_equal(planted.dataset.pairs[columns], other.dataset.pairs[columns])
    assert planted.prior.hash == other.prior.hash and planted.dataset.hash != other.dataset.hash
    first, second = (made.dataset.split("cold-target").test.pairs.pair_id for made in (planted, other))
    assert first.tolist() == second.tolist()


def test_the_signal_by_hand():
    "Two drugs, two targets: an acid and a base, of which site one gains from the first."
    carried = np.array([[True, False, False, False], [False, True, False, False]])
    states = np.array([[[1, 0, 0, 0], [0, 1, 0, 0]], [[0, 1, 0, 0], [1, 0, 0, 0]]], bool) # targets × (pocket, shortcut) × sites
    pocket, shortcut = (mixed_signal(carried, states, rho) for rho in (0.0, 1.0))
    assert (pocket == [[1, -1], [-1, 1]]).all() and (shortcut == -pocket).all()


@pytest.mark.parametrize("redundancy", [0.0, 0.4, 0.8])
def test_redundancy_is_the_correlation_of_the_states(redundancy):
    states = draw_states(30_000, redundancy)
    pairs = np.corrcoef(np.c_[states[:, 0], states[:, 1]].T)
    assert np.allclose(np.diag(pairs[:SITES, SITES:]), redundancy, atol=0.02)
    assert np.abs(pairs - np.diag(np.diag(pairs)) - redundancy * np.eye(2 * SITES, k=SITES) - redundancy * np.eye(2 * SITES, k=-SITES)).max() < 0.03
    table = np.array([[np.mean((states[:, 0] == a) & (states[:, 1] == b)) for a in (0, 1)] for b in (0, 1)])
    bits = SITES * np.sum(table * np.log2(table / 0.25))
    assert abs(bits - information(redundancy)) < 0.02


def test_following_is_symmetric():
    "Drawing the shortcut from the pocket, and the pocket from that shortcut, leaves the pocket's law and the correlation as they were."
    u = lambda name: (stream_key(name, np.arange(40_000)) >> np.uint64(11)) * 2.0**-53
    pocket = u("a") < 0.5
    shortcut = follow(pocket, 0.6, u("b"))
    again = follow(shortcut, 0.6, u("c"))
    assert abs(again.mean() - 0.5) < 0.01 and abs(np.corrcoef(again, shortcut)[0, 1] - 0.6) < 0.02


@pytest.mark.parametrize("shortcut", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("redundancy", [0.0, 0.9])
def test_every_shortcut_is_equally_hard_to_predict(shortcut, redundancy):
    made = plant(PlantedOptions(targets=300, drugs=20, shortcut=shortcut, redundancy=redundancy))
    signal = mixed_signal(made.dataset.drugs[list(PHARMACOPHORE)].to_numpy(), made.states, shortcut)
    assert abs(auroc(made.dataset.pairs.affinity.to_numpy(), signal.ravel(), BINDS) - made.options.ceiling) < 2e-3
    assert abs((made.dataset.pairs.affinity >= BINDS).mean() - 0.2) < 0.03


def test_the_pocket_is_in_the_domain_and_the_shortcut_is_not():
    for family in range(50):
        layout = lay_out(family, seed=3)
        inside = np.arange(*layout.domain)
        assert np.isin(layout.places[0], inside).all() and not np.isin(layout.places[1], inside).any()


def test_rewriting_changes_one_region_alone_whatever_is_asked_beside_it(planted):
    rows = np.arange(60)
    for region in (0, 1):
        new = rewrite(planted, rows, region, draw=3)
        for i, (before, after) in enumerate(zip(planted.dataset.targets.sequence, new, strict=True)):
            changed = np.flatnonzero([a != b for a, b in zip(before, after, strict=True)])
            assert np.isin(changed, planted.places[i, region]).all()
        assert sum(a != b for a, b in zip(planted.dataset.targets.sequence, new, strict=True)) > 50
        assert rewrite(planted, rows[[7, 2]], region, draw=3) == [new[7], new[2]]
    redundant = plant(PlantedOptions(**SMALL, redundancy=0.95))
    pockets = np.array([Reader(redundant.words).states(s)[0] for s in rewrite(redundant, rows, 0, draw=0)])
    assert (pockets == np.where(redundant.states[:, 1], 1, -1)).mean() > 0.9


@pytest.mark.parametrize("redundancy", [0.0, 0.8])
@pytest.mark.parametrize("shortcut", [0.0, 0.2, 0.5, 1.0])
def test_true_reliance_of_a_known_model(shortcut, redundancy):
    "A model that mixes the two parts with variances 1 − ρ and ρ relies on them in that proportion, whatever its own labels or the redundancy."
    made = plant(PlantedOptions(**SMALL, redundancy=redundancy, shortcut=0.3))
    found = true_reliance(Reader(made.words, shortcut), made, draws=24, worlds=200)
    assert abs(found.value - (1 - shortcut)) < 0.04 and found.low <= found.value <= found.high
    if redundancy == 0: assert abs(found.prior + found.other - 1) < 0.1


def test_true_reliance_does_not_depend_on_the_order_of_pairs_or_the_scale(planted):
    model = Reader(planted.words, 0.4)
    some = planted.dataset.select(planted.dataset.pairs.pair_id[:240])
    first = true_reliance(model, planted, some, draws=3, worlds=100)
    mixed = true_reliance(model, planted, planted.dataset.select(some.pairs.pair_id.sample(frac=1, random_state=1)), draws=3, worlds=100)
    assert np.allclose([first.value, first.low, first.high, first.prior], [mixed.value, mixed.low, mixed.high, mixed.prior])
    stretched = true_reliance(lambda smiles, sequences: 3 - 7 * model.predict(smiles, sequences), planted, some, draws=3, worlds=100)
    assert np.allclose([first.value, first.prior, first.other], [stretched.value, stretched.prior, stretched.other])


def test_what_cannot_be_is_refused_by_name(planted):
    with pytest.raises(InputError) as refused: PlantedOptions(shortcut=-0.1, redundancy=1.0, targets=1, drugs=1, families=0, ceiling=1.0)
    assert {p.field for p in refused.value.problems} == {"shortcut", "redundancy", "targets", "drugs", "families", "ceiling"}
    with pytest.raises(InputError, match="not planted"): true_reliance(Reader(planted.words), plant(PlantedOptions(**SMALL, seed=1)), planted.dataset)
    with pytest.raises(InputError, match="pocket"): planted_prior(planted.dataset.targets[["target_id", "sequence"]])


def test_a_model_that_never_moves_relies_on_nothing(planted):
    still = true_reliance(lambda smiles, sequences: np.ones(len(smiles)), planted, draws=2, worlds=100)
    assert np.isnan([still.value, still.low, still.high, still.prior, still.other]).all()
    drug_only = true_reliance(lambda smiles, sequences: np.array([len(s) for s in smiles]), planted, draws=2, worlds=100)
    assert np.isnan(drug_only.value) and (drug_only.prior, drug_only.other) == (0, 0)


def test_rs_of_known_models_falls_with_true_reliance(planted):
    "The audit's own questions to models that need no training: 0 with the shortcut alone, and with the pocket alone 1, but for slips."
    few = planted.dataset.select(planted.dataset.pairs.pair_id[planted.dataset.pairs.target_id < "T0030"])
    asked = {"operators": ["substitute"], "matchings": ["geometry"], "doses": [20], "repeats": 2, "intervention_seeds": 1, "bootstrap_draws": 100}
    rs = [audit(Reader(planted.words, rho), few, planted.prior, progress=False, name="reader", **asked).primary["value"]
          for rho in (0, 0.25, 0.5, 0.75, 1)]
    assert (np.diff(rs) < 0).all() and rs[0] > 0.97 and rs[-1] < 0.05


def test_the_figure_says_in_words_what_it_shows():
    truth = pd.DataFrame({"run": ["a", "b", "c"], "shortcut": [0, 0.5, 1], "true_reliance": [0.9, 0.5, 0.1], "true_low": [0.85, 0.45, 0.05],
                          "true_high": [0.95, 0.55, 0.15], "RS": [0.8, 0.6, 0.3], "RS_low": [0.7, 0.5, 0.2], "RS_high": [0.9, 0.7, 0.4],
                          "auroc": [0.85, 0.86, 0.84]})
    chart = reliance_chart(truth)
    assert "b: true reliance 0.50, RS 0.60, AUROC 0.860" in chart.alt
    assert (rank_correlation(truth), rank_correlation(truth, "auroc")) == (1, 0.5)
    assert [axes.get_title(loc="left") for axes in chart.axes] == ["Reasoning score: Spearman 1.00", "AUROC: all within 0.020"]


# Beyond the pocket: what a drug says, and what target and drug say together

def test_the_dials_beyond_the_pocket_change_affinities_alone_and_are_off_by_default(planted):
    for dial in ("scaffold", "additive"):
        other = plant(PlantedOptions(**SMALL, **{dial: 0.6}))
        pd.testing.assert_frame_equal(planted.dataset.targets, other.dataset.targets)
        pd.testing.assert_frame_equal(planted.dataset.drugs, other.dataset.drugs)
        assert not np.allclose(planted.dataset.pairs.affinity, other.dataset.pairs.affinity) and f"{dial} 0.6" in other.dataset.name
        with pytest.raises(InputError, match=dial): PlantedOptions(**{dial: 1.1})
    assert planted.dataset.name == "planted (shortcut 0, redundancy 0)" and (planted.say == planted.dataset.drugs[list(PHARMACOPHORE)]).all(axis=None)


@pytest.mark.parametrize("additive", [0.0, 0.5, 1.0])
def test_a_sum_has_no_double_differences(additive):
    "Of any two drugs and any two targets; the usual law has them, and a mixture in proportion."
    made = plant(PlantedOptions(**SMALL, additive=additive))
    signal = mixed_signal(made.say, made.states, 0.0, additive)
    double = signal - signal.mean(axis=0) - signal.mean(axis=1, keepdims=True) + signal.mean()
    share = double.var() / signal.var()
    assert share < 1e-20 if additive == 1 else 0.5 * (1 - additive) < share / 0.6 < 1.5 * (1 - additive)
    part = mixed_signal(made.say, made.states[5:9], 0.3, additive, like=made.states)
    np.testing.assert_allclose(part, mixed_signal(made.say, made.states, 0.3, additive)[:, 5:9])


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.floats(0, 1))
def test_what_a_drug_says_is_its_groups_and_its_scaffold_in_proportion(seed, sigma):
    carried = grow_drugs(MOST_DRUGS, seed)[list(PHARMACOPHORE)].to_numpy()
    say, groups, own = (drug_say(carried, x, seed) for x in (sigma, 0.0, 1.0))
    np.testing.assert_allclose(say, np.sqrt(1 - sigma) * groups + np.sqrt(sigma) * own)
    assert (groups == carried).all() and set(np.unique(own)) == {0, 1} and (own[:195] == own[15:]).all()
    assert abs(np.cov(carried.T, own.T)[:SITES, SITES:]).max() < 1e-12


def test_flipping_a_site_twice_is_nothing_and_the_law_is_kept(planted):
    rows, sites = np.arange(20), np.arange(20) % SITES
    there = flip_effects(planted, rows, np.zeros(20, int), sites)
    assert (there[~planted.say[:, sites].astype(bool)] == 0).all() and np.ptp(np.abs(there[there != 0])) < 1e-12
    flipped = replace(planted, states=planted.states.copy())
    flipped.states[rows, 0, sites] ^= True
    back = flip_effects(flipped, rows, np.zeros(20, int), sites)
    assert (np.sign(back) == -np.sign(there)).all()


def test_redrawn_drugs_keep_one_part_and_are_molecules(planted):
    from rdkit import Chem
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
    rows, drugs = np.arange(12), planted.dataset.drugs
    carried, bare = lambda texts: [[g in s for g in PHARMACOPHORE.values()] for s in texts], lambda texts: [MurckoScaffoldSmiles(s) for s in texts]
    groups, scaffolds = (rewrite_drugs(planted, rows, part, draw=5) for part in (0, 1))
    assert all(Chem.MolFromSmiles(s) for s in groups + scaffolds)
    assert bare(groups) == bare(drugs.smiles) != bare(scaffolds) and carried(scaffolds) == carried(drugs.smiles) != carried(groups)
    assert rewrite_drugs(planted, rows[[7, 2]], 0, draw=5) == [groups[7], groups[2]] != rewrite_drugs(planted, rows[[7, 2]], 0, draw=6)


def test_true_drug_reliance_and_interaction_of_known_models(planted):
    reader = Reader(planted.words)
    some = planted.dataset.select(planted.dataset.pairs.pair_id[planted.dataset.pairs.target_id < "T0010"])
    groups = true_drug_reliance(reader, planted, some, draws=4, worlds=50)
    rings = true_drug_reliance(lambda smiles, sequences: np.array([s.count("c") for s in smiles]), planted, some, draws=4, worlds=50)
    assert (groups.value, groups.other) == (1, 0) and groups.prior > 0.3 and rings.value == 0 and rings.other > 0.3
    pocket_only = lambda smiles, sequences: np.array([reader.states(s)[0].sum() for s in sequences])
    none, both = (true_interaction(model, planted, some, draws=4, worlds=50) for model in (pocket_only, reader))
    assert none.value == 0 < none.either and 0.3 < both.value < 0.65 and both.low < both.value < both.high
    still = true_interaction(lambda smiles, sequences: np.ones(len(smiles)), planted, some, draws=2, worlds=50)
    assert np.isnan([still.value, still.low, still.either]).all()
