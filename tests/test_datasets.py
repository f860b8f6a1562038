"""Datasets: what the published files hold, what is repaired, who may sit on which side of a split, and every kind of bad input."""
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaac.core import AMINO_ACIDS, InputError, content_hash
from isaac.datasets import (
    DRAWN_KINDS,
    MUTANT_KINDS,
    PANEL_NAMES,
    DTIDataset,
    apply_changes,
    load_davis,
    load_kiba,
    named_changes,
    numbering_shift,
    seen_in_training,
    sequence_problem,
    smiles_problem,
)


@pytest.fixture(scope="module")
def davis(mirror): return load_davis()


@pytest.fixture(scope="module")
def corrected(mirror): return load_davis("corrected")


# Davis and KIBA as published

def test_davis_is_what_the_literature_says(davis):
    assert (len(davis.drugs), len(davis.targets), len(davis.pairs)) == (68, 442, 30_056)
    assert davis.targets.sequence.nunique() == 379
    affinity = davis.pairs.affinity
    assert affinity.min() == 5 and round(affinity.max(), 2) == 10.80
    assert davis.pairs.censored.sum() == affinity.eq(5).sum() == 20_931
    assert affinity.ge(7).sum() == 2_502 and affinity.gt(9 - np.log10(30)).sum() == 1_506
    lengths = davis.targets.sequence.str.len()
    assert (lengths.min(), lengths.max(), lengths.median(), lengths.gt(1000).sum(), lengths.gt(1200).sum()) == (244, 2549, 707, 115, 61)
    assert davis.drugs.smiles.str.len().max() == 92
    assert davis.frame.query("drug_id == '11314340' and target_id == 'AAK1'").affinity.item() == 9 - np.log10(43)


def test_the_report_counts_the_known_defects(davis, corrected):
    counts = davis.report().set_index("finding")["count"]
    assert counts["distinct sequences"] == 379 and counts["test inputs that are also in training"] == 929
    assert counts["defect: mutation not in the sequence"] == 55 and counts["sequences longer than 1,000"] == 115
    assert counts["defect: kinase domain absent"] == 9 and counts["defect: kinase domain incomplete"] == 2
    assert "labels up to 4.75 apart" in set(davis.report().note)
    after = corrected.report().set_index("finding")["count"]
    assert after["distinct sequences"] == 427 and after["test inputs that are also in training"] == 288
    assert after["repair: mutation applied"] == 54 and after["repair: canonical sequence instead of a fragment"] == 11
    assert after["defect: ITD not applied, no residues named"] == 1 and not any("kinase domain" in finding for finding in after.index)


def test_seen_test_pairs_are_found_one_by_one(davis):
    split = davis.split("warm")
    training = pd.concat([split.train.frame, split.valid.frame])
    known = set(zip(training.smiles, training.sequence, strict=True))
    test = split.test.frame
    assert seen_in_training(split).tolist() == [pair in known for pair in zip(test.smiles, test.sequence, strict=True)]


def test_isomeric_smiles_differ_only_in_the_drugs(davis):
    isomeric = load_davis(isomeric=True)
    assert isomeric.pairs.equals(davis.pairs) and isomeric.drugs.drug_id.equals(davis.drugs.drug_id)
    assert isomeric.drugs.smiles.str.contains("@").any() and not davis.drugs.smiles.str.contains("@").any()


def test_all_published_molecules_and_sequences_pass_validation(davis):
    kiba = load_kiba()
    assert (len(kiba.drugs), len(kiba.targets), len(kiba.pairs)) == (2_111, 229, 118_254)
    assert len(kiba.test.pairs) == 19_709 and kiba.pairs.fold.ne("").all() and kiba.pairs.affinity.notna().all()
    for data in (davis, kiba):
        assert not any(map(smiles_problem, data.drugs.smiles)) and not any(map(sequence_problem, data.targets.sequence))


# Repairs

def test_missense_repairs_change_the_named_letters_and_no_other(davis, corrected):
    before, after = davis.targets.set_index("target_id"), corrected.targets.set_index("target_id")
    checked = 0
    for name, row in after[after.repair.eq("mutation applied") & ~after.mutation.str.contains("del")].iterrows():
        old = before.sequence[name]
        different = {(a, b) for a, b in zip(old, row.sequence, strict=True) if a != b}
        assert different == {(c.first, c.new) for c in named_changes(row.mutation)}, name
        assert sum(a != b for a, b in zip(old, row.sequence, strict=True)) == len(named_changes(row.mutation))
        checked += 1
    assert checked == 46 # 49 missense entries, of which RET's 3 also had their domain repaired


@pytest.mark.parametrize(("name", "place", "letters"), [
    ("EGFR(T790M)", 790, "M"), ("EGFR(L858RT790M)", 858, "R"), ("BRAF(V600E)", 600, "E"), ("RET(V804M)", 804, "M"), ("RET(M918T)", 918, "T"),
    ("ABL1(T315I)p", 315 + 37, "I"), ("FGFR3(G697C)", 697 - 326, "C"), ("PIK3CA(H1047L)", 1047 + 1, "L"), ("GCN2(KinDom2S808G)", 808, "G"),
    ("KIT(V559D-T670I)", 670, "I"), ("EGFR", 742, "VAIKELREATSPKANKEILDE"), ("EGFR(E746A750del)", 742, "VAIKTSPKANKEILDE"),
    ("EGFR(L747E749del)", 742, "VAIKEPTSPKANKEILDE"), ("EGFR(L747S752del)", 742, "VAIKESKANKEILDE"),
    ("EGFR(L747T751del)", 742, "VAIKESSPKANKEILDE"), ("EGFR(S752I759del)", 742, "VAIKELREATLDE")])
def test_repaired_places(corrected, name, place, letters):
    sequence = corrected.targets.set_index("target_id").sequence[name]
    assert sequence[place - 1:place - 1 + len(letters)] == letters


def test_names_and_states_of_the_constructs(davis):
    targets = davis.targets.set_index("target_id")
    assert targets.state["ABL1"] == "nonphosphorylated" and targets.state["ABL1p"] == "phosphorylated"
    assert targets.state[["ABL1(E255K)", "ABL1(M351T)", "ABL1(Y253F)"]].eq("phosphorylated").all()
    assert targets.state.eq("nonphosphorylated").sum() == 6 and set(PANEL_NAMES) <= set(targets.index)
    assert targets.organism.ne("Homo sapiens").sum() == 3 and targets.gene["EGFR(L747E749del)"] == "EGFR"
    assert targets.mutation["EGFR(L747E749del)"] == "L747-E749del A750P"
    assert not targets.mutation[targets.domain.str.startswith("JH")].any()


def test_wrong_wild_type_letters_and_uncertain_numbering_are_errors():
    with pytest.raises(InputError, match="K expected at 2") as error: apply_changes("MTTWW", named_changes("K2R") + named_changes("K4R"))
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match="not certain"): numbering_shift("MKTKAA", named_changes("K2R"))
    with pytest.raises(InputError, match="'yesterday'"): load_davis("yesterday")


# Splits

def dataset(drugs, targets, affinities=None, order=None):
    "The full grid of these SMILES and sequences, its rows in the given order."
    rows = [{"drug_id": f"d{i}", "target_id": f"t{j}"} for i in range(len(drugs)) for j in range(len(targets))]
    pairs = pd.DataFrame(rows).assign(pair_id=range(len(rows)), affinity=affinities or 5., censored=False, fold="")
    pairs = pairs if order is None else pairs.iloc[order]
    return DTIDataset("made", pd.DataFrame({"drug_id": [f"d{i}" for i in range(len(drugs))], "smiles": drugs}),
                      pd.DataFrame({"target_id": [f"t{j}" for j in range(len(targets))], "sequence": targets}), pairs, "pKd", 7.)


molecules = st.lists(st.integers(1, 12).map(lambda n: "C" * n), min_size=6, max_size=12).filter(lambda s: len(set(s)) >= 4)
proteins = st.lists(st.text(AMINO_ACIDS, min_size=1, max_size=6), min_size=6, max_size=12).filter(lambda s: len(set(s)) >= 4)


@settings(max_examples=30)
@given(molecules, proteins, st.sampled_from(DRAWN_KINDS), st.integers(0, 2**40))
def test_splits_keep_their_promise(drugs, targets, kind, seed):
    data = dataset(drugs, targets)
    split = data.split(kind, seed, valid_fraction=0.25, test_fraction=0.25)
    ids = [set(part.pairs.pair_id) for part in split]
    assert sum(map(len, ids)) == len(set.union(*ids)) == len(data.pairs) - split.dropped
    assert all(ids) and (split.dropped > 0) == (kind == "cold-pair")
    frames = [part.frame for part in split]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        if kind in ("cold-drug", "cold-pair"): assert not set(frames[a].smiles) & set(frames[b].smiles)
        if kind in ("cold-target", "cold-pair"): assert not set(frames[a].sequence) & set(frames[b].sequence)
        if kind == "warm": assert not set(frames[a].smiles + "|" + frames[a].sequence) & set(frames[b].smiles + "|" + frames[b].sequence)
    assert not seen_in_training(split).any()


@settings(max_examples=30)
@given(molecules, proteins, st.sampled_from(DRAWN_KINDS), st.randoms(use_true_random=False))
def test_splits_and_hashes_do_not_depend_on_the_order_of_rows(drugs, targets, kind, random):
    order = list(range(len(drugs) * len(targets)))
    random.shuffle(order)
    one, other = dataset(drugs, targets), dataset(drugs, targets, order=order)
    assert one.hash == other.hash and one.split(kind, 1).hash == other.split(kind, 1).hash
    for a, b in zip(one.split(kind, 1), other.split(kind, 1), strict=True): assert set(a.pairs.pair_id) == set(b.pairs.pair_id)


def test_the_lot_is_drawn_by_content_not_by_id():
    drugs, targets = ["C" * i for i in range(1, 9)], ["M" * i for i in range(1, 9)]
    one, other = dataset(drugs, targets), dataset(drugs[::-1], targets[::-1])
    for kind in DRAWN_KINDS:
        assert set(one.split(kind).test.frame.smiles + one.split(kind).test.frame.sequence) == set(
            other.split(kind).test.frame.smiles + other.split(kind).test.frame.sequence)


def test_the_published_test_fold_never_moves(davis):
    splits = [davis.split("warm", seed) for seed in range(3)]
    test = set(davis.pairs.pair_id[davis.pairs.fold.eq("test")])
    assert all(set(split.test.pairs.pair_id) == test and not test & set(split.valid.pairs.pair_id) for split in splits)
    assert len({split.hash for split in splits}) == 3 and splits[0].hash == davis.split("warm", 0).hash


def test_cold_splits_of_davis(davis):
    for kind in DRAWN_KINDS[1:]:
        train, valid, test = split = davis.split(kind, seed=5)
        seen = pd.concat([train.frame, valid.frame])
        if kind != "cold-drug": assert not set(test.frame.sequence) & set(seen.sequence)
        if kind != "cold-target": assert not set(test.frame.smiles) & set(seen.smiles)
        assert (split.dropped > 0) == (kind == "cold-pair")


GOLDEN = {"warm": "cc84e3f3b56478e4", "cold-drug": "ed5e93ec630d14cc", "cold-target": "b0e8e28e87c4f2d6", "cold-pair": "4f3109ce756bb689"}


def test_golden_splits_of_davis(davis):
    "Were one of these to change, results under the same name and seed would no longer be comparable."
    golden = {kind: content_hash(*[sorted(part.pairs.pair_id.tolist()) for part in davis.split(kind, seed=0)])[:16] for kind in DRAWN_KINDS}
    assert golden == GOLDEN


@given(st.lists(st.sampled_from(["", "K2R"]), min_size=6, max_size=6), st.sampled_from(MUTANT_KINDS), st.integers(0, 2**40))
def test_mutants_are_held_out_by_name(mutations, kind, seed):
    data = dataset(["C", "CC", "CCC"], ["MK" + "A" * i for i in range(6)])
    genes = [f"g{i // 2}" for i in range(6)]
    data = replace(data, targets=data.targets.assign(gene=genes, mutation=mutations))
    out = {g for g, m in zip(genes, mutations, strict=True) if m}
    mutants = {f"t{i}" for i, m in enumerate(mutations) if m}
    expected = mutants if kind == "mutants" else {f"t{i}" for i, g in enumerate(genes) if g in out}
    if not mutants:
        with pytest.raises(InputError, match="no target of a pair names one"): data.split(kind, seed)
    elif len(expected) < 6:
        train, valid, test = split = data.split(kind, seed)
        assert set(test.pairs.target_id) == expected and split.dropped == 0
        assert not expected & {*train.pairs.target_id, *valid.pairs.target_id}
        assert len(valid.pairs) == max(1, round((len(train.pairs) + len(valid.pairs)) / 10))


def test_of_davis_every_mutant_is_held_out_and_nothing_like_it_is_learnt(corrected):
    train, valid, test = split = corrected.split("mutants")
    mutant = corrected.targets.target_id[corrected.targets.mutation.ne("")]
    assert set(test.pairs.target_id) == set(mutant) and len(test.pairs) == 55 * 68 and split.dropped == 0
    known = set(train.frame.sequence) | set(valid.frame.sequence)
    assert {t for t, s in zip(test.frame.target_id, test.frame.sequence, strict=True) if s in known} == {"FLT3(ITD)"}
    wider = corrected.split("mutants-and-wild-types")
    assert set(wider.test.pairs.target_id) - set(mutant) == {"ABL1", "ABL1p", "BRAF", "EGFR", "FGFR3", "FLT3", "KIT", "LRRK2", "MET", "PIK3CA", "RET"}
    assert not set(wider.test.frame.sequence) & set(wider.train.frame.sequence)


def test_a_selection_keeps_ids_order_and_tables(davis):
    some = davis.select([29_000, 7, 123])
    assert some.pairs.pair_id.tolist() == [29_000, 7, 123] and some.drugs is davis.drugs and some.targets is davis.targets
    assert some.frame.equals(davis.frame.set_index("pair_id", drop=False).loc[[29_000, 7, 123]].reset_index(drop=True))
    with pytest.raises(InputError, match="2 pairs are not in Davis.*-1.*99999"): davis.select([7, -1, 99_999])
    with pytest.raises(InputError, match="more than once"): davis.select([7, 7])


def test_impossible_splits_are_errors(davis):
    with pytest.raises(InputError, match="'random'"): davis.split("random")
    with pytest.raises(InputError, match="test_fraction"): davis.split("cold-drug", test_fraction=1)
    with pytest.raises(InputError, match="Too few"): dataset(["C"], ["M", "K", "R"]).split("cold-drug")
    assert len(dataset(["C", "CC", "CCC"], ["M", "K"]).split("cold-drug", valid_fraction=0).valid.pairs) == 0


# Bad input

GOOD = pd.DataFrame({"smiles": ["CCO", "CCN", "CCC", "CCO"], "sequence": ["MKT", "MRT", "MKT", "MKV"], "affinity": [5., 6.5, 7., 8.]})
BAD = {"smiles": ["C1CC", "", "CCO oops", None, "C(C)(C)(C)(C)C", 3.5], "sequence": ["", "MK1", "mkt", "MK T", None, "MKJ"],
       "affinity": [np.nan, np.inf, -np.inf, None, "7 nM", "strong"]}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(sorted(BAD)), st.integers(0, 5), st.integers(0, 9)), max_size=6))
def test_every_bad_value_is_named_and_skipping_keeps_the_rest(tmp_path_factory, spoil):
    frame = pd.concat([GOOD] * 5, ignore_index=True).astype(object).iloc[:14]
    for column, which, row in spoil: frame.loc[row, column] = BAD[column][which]
    spoiled = {(row, column) for column, _, row in spoil}
    path = tmp_path_factory.mktemp("skip") / "rejected.csv"
    if spoiled:
        with pytest.raises(InputError) as error: DTIDataset.from_frame(frame)
        assert {(p.where, p.field) for p in error.value.problems} == {(f"row {row}", column) for row, column in spoiled}
        assert all(p.reason for p in error.value.problems) and 'on_error="skip"' in str(error.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DTIDataset.from_frame(frame, on_error="skip", rejected=path)
    assert {tuple(row) for row in pd.read_csv(path)[["row", "field"]].itertuples(index=False)} == spoiled
    good = [i for i in range(14) if i not in {row for row, _ in spoiled}]
    assert data.pairs.pair_id.tolist() == good and data.frame.smiles.tolist() == frame.smiles[good].tolist()
    assert data.pairs.affinity.tolist() == frame.affinity[good].tolist()


def test_bad_concentrations_and_conflicting_ids():
    frame = GOOD.assign(affinity=[10, 0, -5, 1e4], drug_id=["a", "b", "c", "d"], target_id=["x", "x", "y", "z"])
    with pytest.raises(InputError) as error: DTIDataset.from_frame(frame, unit="nM")
    table = error.value.table
    assert list(zip(table["where"], table.field, strict=True)) == [("row 0", "target_id"), ("row 1", "affinity"), ("row 1", "target_id"),
                                                                   ("row 2", "affinity")]
    assert "stands for 2 different values of sequence" in str(error.value) and "not a positive concentration" in str(error.value)


def test_units_ids_and_flags():
    frame = GOOD.assign(affinity=[10, 1, 1e4, 3], censored=[0, False, True, 0], fold=["train0", "test", "", "train1"])
    data = DTIDataset.from_frame(frame, unit="nM", scale="pKd", threshold=8, name="mine")
    assert data.pairs.affinity.round(9).tolist() == [8, 9, 5, round(9 - np.log10(3), 9)]
    assert data.pairs.censored.tolist() == [False, False, True, False]
    assert data.pairs.drug_id[0] == data.pairs.drug_id[3] and len(data.drugs) == 3 and len(data.targets) == 3
    assert data.split("warm", valid_fraction=0.5).dropped == 1 and "mine: 3 drugs" in repr(data)
    with pytest.raises(InputError, match="neither True nor False"): DTIDataset.from_frame(frame.assign(censored=["no", "yes", "no", "no"]))
    with pytest.raises(InputError, match="'validation'"): DTIDataset.from_frame(frame.assign(fold=["validation", "test", "", "train"]))
    with pytest.raises(InputError, match="'ng/l'"): DTIDataset.from_frame(frame, unit="ng/l")


def test_data_without_affinities_must_be_asked_for():
    frame = GOOD.drop(columns="affinity")
    with pytest.raises(InputError, match="no such column"): DTIDataset.from_frame(frame)
    data = DTIDataset.from_frame(frame, columns={"affinity": None})
    assert data.pairs.affinity.isna().all() and len(data.pairs) == 4 and len(data.report()) > 3
    with pytest.raises(InputError, match="'kinase'.*unknown|unknown.*kinase"): DTIDataset.from_frame(GOOD, columns={"target": "kinase"})


def test_nothing_usable_is_an_error_even_when_skipping(tmp_path):
    with pytest.warns(UserWarning, match="4 of 4 rows"), pytest.raises(InputError, match="No usable row"):
        DTIDataset.from_frame(GOOD.assign(smiles="C1CC"), on_error="skip", rejected=tmp_path / "rejected.csv")
    with pytest.raises(InputError, match="The table is empty"): DTIDataset.from_frame(GOOD.iloc[:0])
    assert len(pd.read_csv(tmp_path / "rejected.csv")) == 4


def test_permuted_input_is_the_same_dataset():
    permuted = GOOD.iloc[[2, 0, 3, 1]]
    assert DTIDataset.from_frame(permuted).hash == DTIDataset.from_frame(GOOD).hash != DTIDataset.from_frame(GOOD.assign(affinity=5.)).hash


def test_thousands_of_bad_rows_are_all_listed():
    frame = pd.DataFrame({"smiles": ["C1CC"] * 5_000, "sequence": "MK", "affinity": 5.})
    with pytest.raises(InputError, match="5,000 of 5,000 rows are unusable.*and 4,980 more") as error: DTIDataset.from_frame(frame)
    assert len(error.value.table) == 5_000


def test_tables_that_contradict_one_another(davis):
    with pytest.raises(InputError, match="'AAK1' – not in the table"):
        DTIDataset("half", davis.drugs, davis.targets.iloc[1:], davis.pairs, "pKd", 7.)
    with pytest.raises(InputError, match="sequence"):
        DTIDataset("half", davis.drugs, davis.targets[["target_id"]], davis.pairs, "pKd", 7.)


def test_every_drug_with_every_target_keeps_what_was_measured():
    frame = pd.DataFrame({"smiles": ["C", "C", "CC", "CCO"], "sequence": ["MK", "MKA", "MK", "MKW"], "affinity": [5., 6., 7., 8.],
                          "drug_id": list("aabc"), "target_id": list("stsu")})
    data = DTIDataset.from_frame(frame, name="toy", threshold=6.5)
    grid = data.crossed()
    assert grid.pairs["pair_id"].tolist() == list(range(9)) and not grid.pairs.duplicated(["drug_id", "target_id"]).any()
    known = grid.pairs.dropna(subset="affinity").set_index(["drug_id", "target_id"])["affinity"]
    assert known.to_dict() == {("a", "s"): 5, ("a", "t"): 6, ("b", "s"): 7, ("c", "u"): 8} and not grid.pairs["censored"].any()
    assert data.select([3, 1, 0, 2]).crossed().pairs.equals(grid.pairs)
    assert data.crossed(["a"], ["u", "s"]).frame[["smiles", "sequence"]].to_numpy().tolist() == [["C", "MK"], ["C", "MKW"]]
