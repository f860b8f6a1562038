"""Fair controls: what each matching promises, homologues, and the balance table against a plain reckoning."""

import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaac.balance import COVARIATES, HYDROPATHY, balance_table, lowered_doses, mask_note
from isaac.core import AMINO_ACIDS, InputError, blosum62, stream_key
from isaac.homologues import LEAST, SAME_PROTEIN, candidates, conservation, homologue_profiles, words_of
from isaac.matching import ALIKE, APART, CLASSES, IN_COMMON, MATCHINGS, make_site, mechanistic_residues, runs_of
from isaac.operators import OPERATORS, to_letters, to_strings
from isaac.plan import Design, load_plan, make_cells, make_plan, save_plan
from isaac.predictors import Reading

letters = st.sampled_from(AMINO_ACIDS)


def relatives(n, length=110, kept=0.6, seed=0):
    "Descendants of one ancestor that keep a share of its residues."
    generator = np.random.default_rng(seed)
    ancestor = generator.choice(list(AMINO_ACIDS), length)
    return ["".join(np.where(generator.random(length) < kept, ancestor, generator.choice(list(AMINO_ACIDS), length))) for _ in range(n)]


def prior_of(positions):
    table = pd.DataFrame([(t, None, p) for t, ps in positions.items() for p in ps], columns=["target_id", "drug_id", "position"])
    return SimpleNamespace(table=table, others=pd.DataFrame(columns=["target_id", "position"]),
                           coverage=pd.DataFrame(columns=["target_id", "status", "note"]))


def targets_of(sequences):
    names = [f"t{i}" for i in range(len(sequences))]
    return pd.DataFrame({"pair_id": range(len(names)), "drug_id": "d", "target_id": names, "smiles": "C", "sequence": sequences})


@st.composite
def sites(draw):
    "A protein with a prior, other pockets and a made-up profile of homologues."
    sequence = draw(st.text(alphabet="ACDEKLW" + "X", min_size=60, max_size=120))
    prior = sorted(draw(st.sets(st.integers(20, 45), min_size=3, max_size=14)))
    counts = np.random.default_rng(draw(st.integers(0, 999))).integers(0, 4, (len(sequence), 20)).astype(np.float32)
    counts[draw(st.integers(50, len(sequence))):] = 0
    return make_site(sequence, prior, others=sorted(draw(st.sets(st.integers(50, 59), max_size=3))), profile=counts)


def drawn(site, matching, seed, draws=4):
    keys = stream_key(seed, np.arange(draws))
    mechanistic = mechanistic_residues(site, len(site.prior), keys)
    return mechanistic, MATCHINGS[matching](site, mechanistic, keys)


@given(sites(), st.integers(0, 2**60))
def test_composition_keeps_the_types_the_background_has(site, seed):
    mechanistic, controls = drawn(site, "composition", seed)
    assert controls.positions.shape == mechanistic.shape       # the background is larger than the prior
    have = pd.Series(list(site.sequence)).iloc[site.background].value_counts()
    for row, chosen in zip(mechanistic, controls.positions, strict=True):
        assert site.usable[chosen].all() and len(set(chosen)) == len(chosen)
        wanted, got = (pd.Series([site.sequence[p] for p in ps]).value_counts() for ps in (row, chosen))
        if all(have.get(a, 0) >= n for a, n in wanted.items()): assert got.to_dict() == wanted.to_dict()


@given(sites(), st.integers(0, 2**60))
def test_conservation_pairs_like_with_like(site, seed):
    mechanistic, controls = drawn(site, "conservation", seed)
    partners = mechanistic[:, :controls.positions.shape[1]]
    assert site.usable[controls.positions].all() and all(len(set(row)) == len(row) for row in controls.positions.tolist())
    assert (np.abs(site.conservation[partners] - site.conservation[controls.positions]) <= ALIKE + 1e-6).all()
    assert bool(controls.reason) == (partners.shape != mechanistic.shape)


@given(sites(), st.integers(0, 2**60))
def test_strict_moves_whole_runs_to_like_windows_of_the_domain(site, seed):
    mechanistic, controls = drawn(site, "strict", seed)
    if controls.reason: return
    for row, chosen in zip(mechanistic, controls.positions, strict=True):
        partner = dict(zip(row.tolist(), chosen.tolist(), strict=True))
        windows = []
        for first, length in runs_of(np.sort(row)):
            moved = [partner[p] for p in range(first, first + length)]
            if moved[0] < 0:
                assert set(moved) == {-1}      # a run is matched as a whole or not at all
                continue
            assert np.diff(moved).tolist() == [1] * (length - 1)
            run, window = np.arange(first, first + length), np.array(moved)
            assert site.usable[window].all() and site.domain[window].all() and abs(moved[0] - first) <= APART * len(site.sequence)
            kinds = [[sum(site.sequence[p] in c for p in ps) / length for c in CLASSES] for ps in (run, window)]
            assert np.minimum(*kinds).sum() >= IN_COMMON
            known = [site.conservation[ps][~np.isnan(site.conservation[ps])] for ps in (run, window)]
            assert len(known[0]) == len(known[1]) == 0 or abs(known[0].mean() - known[1].mean()) <= ALIKE + 1e-5
            windows.append((moved[0], moved[-1]))
        assert windows and all(b[0] - a[1] > 1 for a, b in pairwise(sorted(windows)))   # neither overlapping nor touching


@given(sites(), st.integers(0, 2**60))
def test_geometry_in_domain_is_a_short_shift(site, seed):
    mechanistic, controls = drawn(site, "geometry_in_domain", seed)
    if controls.reason: return
    shift = controls.positions - mechanistic
    assert (shift == shift[:, :1]).all() and (np.abs(shift) <= 20).all()
    assert site.usable[controls.positions].all() and site.domain[controls.positions].all()


def test_every_control_of_a_small_background_is_equally_likely():
    site = make_site("WAAW" * 10, [8, 9, 10], profile=np.tile(np.eye(20, dtype=np.float32)[0] * 9, (40, 1)))
    for matching, pool in (("composition", [p for p in site.background if site.sequence[p] == "W"]),
                           ("strict", [p for p in site.background if site.sequence[p] == "W" and site.domain[p] and abs(p - 8) <= 10])):
        keys = stream_key(5, np.arange(4000))
        only = mechanistic_residues(site, 3, keys)
        first = np.where(only == 8)[1]
        if matching == "strict": only, first = np.full((4000, 1), 8), np.zeros(4000, int)
        found = np.bincount(MATCHINGS[matching](site, only, keys).positions[np.arange(4000), first], minlength=40)
        assert set(np.flatnonzero(found)) == set(pool) and abs(found[pool] - 4000 / len(pool)).max() < 4.5 * np.sqrt(4000 / len(pool))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 500), st.permutations(range(9)))
def test_profiles_do_not_depend_on_order_or_company_and_never_count_oneself(seed, order):
    family = relatives(9, seed=seed)
    profiles = homologue_profiles(family)
    again = homologue_profiles([family[i] for i in order[:4]], pool=[family[i] for i in order] * 2)
    for sequence, counts in again.items(): assert np.array_equal(counts, profiles[sequence])
    assert max(p.sum(axis=1).max() for p in profiles.values()) <= 8


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text("ACD", max_size=30), max_size=150), st.lists(st.text("ACDX", max_size=30), max_size=40), st.integers(1, 30))
def test_candidates_are_those_of_a_full_comparison(mine, pool, most):
    "Few letters and short texts: many ties, versions of one text, and sequences without a word."
    mine, pool = ([words_of(s) for s in texts] for texts in (mine, pool))
    found = candidates(mine, pool, most)
    assert len(found) == len(mine)
    for one, rows in zip(mine, found, strict=True):
        shared = np.array([len(set(one.codes) & set(other.codes)) for other in pool])
        sizes = np.array([max(len(other.codes), 1) for other in pool])
        near = np.where(shared > SAME_PROTEIN * np.minimum(max(len(one.codes), 1), sizes), 0, shared / np.sqrt(max(len(one.codes), 1) * sizes))
        assert rows.tolist() == [i for i in sorted(range(len(pool)), key=lambda i: -near[i]) if near[i] > 0][:most] # noqa: B023


def test_memory_of_candidates_grows_with_the_list_not_with_its_square():
    words, peaks = [words_of("".join(np.random.default_rng(i).choice(list(AMINO_ACIDS), 100))) for i in range(2000)], []
    for n in (500, 2000):
        tracemalloc.start()
        candidates(words[:n], words[:n])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0] and peaks[1] < 2000 ** 2 * 4 # four times as long; not even one dense float32 table


def test_a_profile_counts_what_stands_opposite():
    "Relatives without gaps: a position's letters are those of the others."
    family = relatives(8, kept=0.85, seed=3)
    counts = homologue_profiles(family)[family[0]]
    aligned = counts[20:90]
    assert (aligned.sum(axis=1) == 7).all()
    for p in range(20, 90):
        assert {AMINO_ACIDS[i]: int(n) for i, n in enumerate(counts[p]) if n} == pd.Series([s[p] for s in family[1:]]).value_counts().to_dict()
    same = conservation(family[0], counts)
    assert np.allclose(same[20:90], [np.mean([s[p] == family[0][p] for s in family[1:]]) for p in range(20, 90)])
    few = homologue_profiles(family[:LEAST])[family[0]]     # itself and four others
    assert few.any() and np.isnan(conservation(family[0], few)).all()


@given(st.text(alphabet=AMINO_ACIDS + "XU", min_size=1, max_size=30), st.integers(0, 2**60))
def test_homolog_writes_only_what_homologues_have(sequence, seed):
    counts = np.random.default_rng(seed % 2**32).integers(0, 3, (len(sequence), 20)) * (np.arange(len(sequence)) % 3 > 0)[:, None]
    spots = np.tile(np.arange(len(sequence)), (5, 1))
    for new in to_strings(OPERATORS["homolog"](to_letters(sequence)[spots], spots, stream_key(seed, np.arange(5)), profile=counts)):
        for old, letter, seen in zip(sequence, new, counts, strict=True):
            others = {a for a, n in zip(AMINO_ACIDS, seen, strict=True) if n and a != old}
            assert letter in others if others else letter == old


def test_homolog_without_homologues_is_refused_not_replaced():
    with pytest.raises(InputError, match="needs the letters of homologues"):
        OPERATORS["homolog"](to_letters("AC")[None], np.array([[0, 1]]), stream_key(np.arange(1)))
    pairs = targets_of([*relatives(7), "".join(np.random.default_rng(9).choice(list(AMINO_ACIDS), 110))])
    design = Design(operators=("mask", "homolog"), matchings=("uniform",), doses=(3,), repeats=2, intervention_seeds=1)
    plan = make_plan(pairs, prior_of({t: range(30, 42) for t in pairs["target_id"]}), design=design)
    refused = plan.unauditable.iloc[0]
    assert len(plan.unauditable) == 1 and refused["target_id"] == "t7" and refused["dose"] == "3" and "no homologue here" in refused["reason"]
    asked = plan.edits.merge(plan.cells).query("pair_id == 7")
    assert set(asked["operator"]) == {"none", "mask"}
    assert len(make_plan(pairs, prior_of({"t7": range(30, 42)}), design=design, pool=[*relatives(7), pairs["sequence"][7]]).unauditable) == 8


def test_adding_strict_changes_no_existing_cell():
    design = Design(matchings=("geometry", "uniform"))
    old, new = make_cells(design), make_cells(design.model_copy(update={"matchings": ("geometry", "uniform", "strict")}))
    pd.testing.assert_frame_equal(new.head(len(old)), old)
    added = new.iloc[len(old):]
    assert added.groupby("arm", sort=False).size().to_dict() == {"control": 54, "mechanistic": 54} and set(added["matching"]) == {"strict"}


# The table, against a reckoning of one set of edits at a time

def plainly(sequence, prior, positions, written, profile):
    "All covariates of one set of edits, by their definitions."
    chosen = sorted(positions)
    runs = 1 + sum(b - a > 1 for a, b in pairwise(chosen))
    kept = conservation(sequence, profile)
    types = lambda ps: [sequence[p] for p in ps if sequence[p] in AMINO_ACIDS]
    p, q = ({a: types(ps).count(a) / len(types(ps)) for a in types(ps)} for ps in (chosen, prior))
    bits = lambda x: sum(n * np.log2(n / ((p.get(a, 0) + q.get(a, 0)) / 2)) for a, n in x.items()) / 2
    scored = [blosum62()[AMINO_ACIDS.index(sequence[i]), AMINO_ACIDS.index(w)] for i, w in zip(positions, written, strict=True)
              if sequence[i] in AMINO_ACIDS and w in AMINO_ACIDS]
    mean = lambda values: np.mean(values) if len(values) else np.nan
    changed = sum(sequence[i] != w for i, w in zip(positions, written, strict=True))
    return {"residues": len(chosen), "changed": changed, "blosum62": mean(scored), "run length": len(chosen) / runs,
            "spacing": (chosen[-1] - chosen[0]) / (len(chosen) - 1) if len(chosen) > 1 else np.nan,
            "place": np.mean([(i + 0.5) / len(sequence) for i in chosen]),
            "distance": np.mean([min(abs(i - j) for j in prior if j != i) for i in chosen]),
            "divergence": bits(p) + bits(q) if p else np.nan, "conservation": mean([k for k in kept[chosen] if not np.isnan(k)]),
            "hydrophobicity": mean([HYDROPATHY[sequence[i]] for i in chosen if sequence[i] in HYDROPATHY]),
            "domain": np.mean([min(prior) - 20 <= i <= max(prior) + 20 for i in chosen])}


FAMILY = [s[:70] + "X" + s[71:] for s in relatives(8, seed=4)]


def family_plan(order=slice(None)):
    pairs = targets_of([*FAMILY, FAMILY[0], FAMILY[1]])
    pockets = {t: [*range(30, 38), 41, 44, 45, 60] for t in pairs["target_id"]}
    pockets["t9"] = range(50, 64)                         # t8 is t0 again; t9 is t1 with another pocket
    design = Design(operators=("mask", "homolog", "shuffle"), matchings=("geometry", "strict"), doses=(1, "100%"), repeats=2, intervention_seeds=2)
    return make_plan(pairs.iloc[order], prior_of(pockets), Reading(max_target_length=105), design), prior_of(pockets).table


def test_the_table_equals_a_plain_reckoning():
    plan, table = family_plan()
    profiles, priors = homologue_profiles(plan.pairs["sequence"]), table.groupby("target_id")["position"].apply(list)
    one = plan.pairs.drop_duplicates("site")
    assert len(one) == 9 and len(plan.pairs) == 10
    edits = plan.edits.merge(plan.cells, on="cell_id").merge(one[["pair_id", "target_id", "sequence"]], on="pair_id").query("arm != 'none'")
    variants = plan.variants.iloc[edits["target_variant"]]
    rows = [plainly(s, priors[t], p, w, profiles[s]) for s, t, p, w in
            zip(edits["sequence"], edits["target_id"], variants["positions"], variants["letters"], strict=True)]
    units = pd.concat([edits.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    balance = balance_table(plan, table, profiles).set_index(["operator", "matching", "dose", "covariate"])
    draw = ["pair_id", "repeat", "seed"]
    for (operator, matching, dose), control in units[units["arm"].eq("control")].groupby(["operator", "matching", "dose"]):
        shared = units[units["arm"].eq("mechanistic") & units["operator"].eq(operator) & units["dose"].eq(dose)]
        own = shared[shared["matching"].eq("strict" if matching == "strict" else "none")]
        both = own[[*draw, *COVARIATES]].merge(control[[*draw, *COVARIATES]], on=draw, suffixes=("_m", "_c"))
        for name in COVARIATES:
            pair = both[[f"{name}_m", f"{name}_c"]].dropna()
            found = balance.loc[(operator, matching, dose, name)]
            assert found["n"] == len(pair)
            if pair.empty: assert np.isnan(found["smd"]) and not found["flag"]; continue
            m, c = pair.mean()
            assert np.allclose([found["mechanistic"], found["control"]], [m, c]), name
            pooled = np.sqrt(pair.var().mean())
            expected = 0 if np.isclose(m, c) else (m - c) / pooled if pooled > 1e-9 else np.copysign(np.inf, m - c)
            assert np.isclose(found["smd"], expected, atol=1e-6) and found["flag"] == (abs(expected) > 0.1 and name != "distance"), name


def test_the_table_does_not_depend_on_rows_or_on_having_been_saved(tmp_path):
    plan, table = family_plan()
    balance = balance_table(plan, table)
    other, _ = family_plan(slice(None, None, -1))
    pd.testing.assert_frame_equal(balance_table(other, table.iloc[::-1]), balance)
    pd.testing.assert_frame_equal(balance_table(load_plan(save_plan(plan, tmp_path / "plan")), table), balance)
    without = balance_table(plan, table, {})
    assert without.query("covariate == 'conservation'")["n"].eq(0).all()
    pd.testing.assert_frame_equal(without.query("covariate != 'conservation'"), balance.query("covariate != 'conservation'"))


def test_lowered_doses_are_counted():
    plan, _ = family_plan()
    lowered = lowered_doses(plan).set_index("dose")
    assert lowered.loc["1", "asked"] == lowered.loc["1", "edited"] == 1 and lowered.loc["1", "targets"] == 0
    assert lowered.loc["100%", "asked"] > lowered.loc["100%", "edited"] and 0 < lowered.loc["100%", "targets"] <= 9
    assert lowered_doses(make_plan(plan.pairs.drop(columns="site"), prior_of({"t0": range(30, 45)}), design=Design(doses=(1,), repeats=1))).empty


def test_the_note_on_the_mask_token_counts_distinct_sequences():
    plan, _ = family_plan()
    assert mask_note(plan).startswith("The mask token X makes up 9,090.9 per million residues") and "novelty" not in mask_note(plan)   # 8 of 8 × 110
    assert "0.0 per million residues of the training sequences. A model" in mask_note(plan, ["ACD"])
