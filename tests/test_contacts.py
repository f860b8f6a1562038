"""What is known of drugs in crystals, and comparisons within the pocket whose answers are known beforehand."""
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaac.contacts import (
    contact_pairs,
    differing,
    entry_weights,
    klifs_contacts,
    ligand_keys,
    match_ligands,
    merged_contacts,
    pocket_letters,
    read_fingerprints,
)
from isaac.core import InputError
from isaac.datasets import DTIDataset, load_davis
from isaac.modes import MODES, binding_modes, cited_entries, read_modes
from isaac.plan import Design
from isaac.priors import SEGMENT_OF, prior_from_table
from isaac.regions import (
    ALIGNED,
    CONTACT_DESIGN,
    REST,
    SWAPPED,
    Region,
    contact_audit,
    exclusive,
    region_plan,
    segment_audit,
    segment_figure,
    usual_labels,
)

ONE_DRAW = CONTACT_DESIGN.only(operators=("mask",), matchings=("uniform",), repeats=1)


@pytest.fixture(scope="module")
def davis(mirror): return load_davis()


@pytest.fixture(scope="module")
def some(davis):
    "Contacts of all drugs in a few targets, mutants of one among them."
    few = davis.targets[davis.targets["target_id"].isin(["ABL1", "ABL1p", "ABL1(T315I)", "SRC", "MET", "BTK", "AAK1"])]
    return few, klifs_contacts(davis.drugs, few)


def test_every_davis_drug_has_a_known_mode_and_a_source(davis):
    modes = binding_modes()
    assert len(modes) == 68 and sorted(modes["drug_id"]) == sorted(davis.drugs["drug_id"]) and modes["name"].is_unique
    assert modes["mode"].isin(MODES).all() and modes["source"].str.strip().ne("").all()
    without = modes["source"].eq("no structure or statement known to us")
    assert modes.loc[without, "mode"].eq("unknown").all() and set(modes["mode"]) == set(MODES) and len(cited_entries(modes)) > 50


def test_modes_of_your_own_are_checked_whole(tmp_path):
    table = tmp_path / "modes.csv"
    table.write_text("drug_id,name,mode,source\na,A,I,here\na,B,III,\n")
    with pytest.raises(InputError) as caught: read_modes(table)
    assert [(p.field, p.value) for p in caught.value.problems] == [("drug_id", "a"), ("mode", "III"), ("source", "")]
    with pytest.raises(InputError, match="cannot be read"): read_modes(tmp_path / "none.csv")
    with pytest.raises(InputError, match="source.*missing"): binding_modes(pd.DataFrame({"drug_id": [], "name": [], "mode": []}))


def test_ligands_are_matched_by_structure_and_by_stereochemistry_where_it_is_given():
    flat, right = "CC1CCN(CC1N(C)C2=NC=NC3=C2C=CN3)C(=O)CC#N", "C[C@@H]1CCN(C[C@@H]1N(C)C2=NC=NC3=C2C=CN3)C(=O)CC#N"
    found = match_ligands(pd.DataFrame({"drug_id": ["flat", "right", "salt", "none"], "smiles": [flat, right, flat + ".Cl", "CCO"]}))
    expected = [["flat", "MI1", "skeleton"], ["right", "MI1", "InChIKey"], ["salt", "MI1", "skeleton"]]
    assert found[["drug_id", "code", "match"]].values.tolist() == expected
    with pytest.raises(InputError) as caught: match_ligands(pd.DataFrame({"drug_id": ["a", "b", "c"], "smiles": ["C1CC", "C", ""]}))
    assert [p.where for p in caught.value.problems] == ["drug a", "drug c"]


def test_keys_of_ligands_are_those_of_the_dictionary():
    from biotite.interface.rdkit import to_mol
    from biotite.structure.info import residue
    from rdkit import Chem
    keys = ligand_keys().query("form == ''").set_index("code")["inchikey"]
    assert keys.index.is_unique and len(keys) > 3_500
    for code in ("STI", "DB8", "MI1", "0WN"):
        mol = to_mol(residue(code))
        Chem.SanitizeMol(mol)
        assert Chem.MolToInchiKey(Chem.RemoveHs(mol))[:14] == keys[code][:14]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_every_entry_counts_once(entries):
    weights = pd.Series(entry_weights(entries)).groupby(pd.Series(entries)).sum()
    assert np.allclose(weights, 1 / len(weights))


def test_merging_keeps_what_at_least_half_of_the_entries_show():
    bits = np.zeros((3, 85, 7), dtype=bool)
    bits[:, 44, 0], bits[0, 46, 3], bits[2, 80, 4] = True, True, True
    found = merged_contacts(bits, ["x", "x", "y"])
    assert found["label"].tolist() == ["45", "81"] and found["share"].tolist() == [1, 0.5] and found["entries"].eq(2).all()
    assert merged_contacts(bits, ["x", "x", "y"], at_least=0.2)["label"].tolist() == ["45", "47", "81"]


def test_fingerprints_are_read_whole_or_not_at_all():
    with pytest.raises(InputError) as caught: read_fingerprints(["0" * 595, "0" * 594, "0" * 594 + "7"], ["a", "b", "c"])
    assert [p.where for p in caught.value.problems] == ["structure b", "structure c"]


def test_a_structure_of_a_mutant_does_not_speak_for_the_wild_type():
    own, touched = "T" * 85, np.arange(85) == 44
    assert differing("T" * 44 + "I" + "T" * 40, own, touched) == "GK45 T→I" and differing("I" + "T" * 84, own, touched) == ""
    assert differing("_" * 85, own, touched) == "" and differing("A" * 4 + "T" * 81, own, touched).count("→") == 4


def test_davis_has_at_least_130_pairs_of_wild_type_targets_with_contacts(davis):
    found = klifs_contacts(davis.drugs, davis.targets)
    wild = davis.targets.loc[davis.targets["mutation"].eq(""), ["target_id", "sequence"]]
    assert len(found.pairs.merge(wild, on="target_id").drop_duplicates(["drug_id", "sequence"])) >= 130
    assert found.drugs["drug_id"].tolist() == davis.drugs["drug_id"].tolist() and found.drugs["status"].ne("").all()
    assert (found.drugs["targets"].gt(0) == found.drugs["status"].eq("contacts")).all() and found.refused["reason"].str.len().gt(10).all()
    inside = found.table.merge(found.pocket.table[["target_id", "position", "label"]], on=["target_id", "position"], how="left")
    assert (inside["label_x"] == inside["label_y"]).all() and (found.table["segment"] == SEGMENT_OF[found.table["label"].astype(int) - 1]).all()


def test_contacts_are_what_a_crystallographer_expects(some):
    few, found = some
    touch = lambda drug, target: set(found.table.query("drug_id == @drug and target_id == @target")["label"].astype(int))
    imatinib, dasatinib = touch("5291", "ABL1"), touch("3062316", "ABL1")
    assert {45, 81} <= imatinib and 45 in dasatinib and len(imatinib - dasatinib) > len(dasatinib - imatinib)
    letters = pocket_letters(found.pocket, few).set_index("target_id")
    assert letters.loc["ABL1", "letters"][44] == "T" and letters.loc["ABL1", "kinase"] == "ABL1" and len(found.prior.table) == len(found.table)
    with pytest.raises(InputError, match="at_least"): klifs_contacts(few.assign(smiles="C", drug_id="d"), few, at_least=0)


def test_corrected_mutants_take_structures_of_their_own_letters_only(davis):
    corrected = load_davis("corrected").targets.query("target_id == 'ABL1(T315I)'")
    found = klifs_contacts(davis.drugs[davis.drugs["drug_id"].isin(["5291", "6450551"])], corrected)
    assert set(found.table["drug_id"]) == {"6450551"} and found.refused.query("drug_id == '5291'")["reason"].str.contains("GK45 I→T").any()


@given(st.sets(st.integers(0, 40), max_size=12), st.sets(st.integers(0, 40), max_size=12))
def test_swaps_are_fair_and_the_same_both_ways(a, b):
    a, b = (np.array(sorted(x), dtype=np.int64) for x in (a, b))
    own, other = exclusive(a, b, "ACDEFGH")
    assert len(own) == len(other) == min(len(np.setdiff1d(a, b)), len(np.setdiff1d(b, a)))
    assert set(own) <= set(a) - set(b) and set(other) <= set(b) - set(a)
    assert [x.tolist() for x in exclusive(b, a, "ACDEFGH")] == [other.tolist(), own.tolist()]


SEQUENCE = "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY"

def tiny():
    "Two drugs in one target and a third in another, contacts and pocket by hand."
    rows = [("a", "t", "C"), ("b", "t", "CC"), ("c", "u", "CCC")]
    data = DTIDataset.from_frame(pd.DataFrame([(d, t, s, SEQUENCE if t == "t" else SEQUENCE[::-1], 7.0) for d, t, s in rows],
                                              columns=["drug_id", "target_id", "smiles", "sequence", "affinity"]))
    sets = {("a", "t"): [2, 3, 4, 5], ("b", "t"): [4, 5, 6, 7], ("c", "u"): [2, 3, 9, 11]}
    contacts = prior_from_table(pd.DataFrame([(d, t, p, str(p)) for (d, t), x in sets.items() for p in x],
                                             columns=["drug_id", "target_id", "position", "label"]), data.targets, base=0)
    pocket = prior_from_table(pd.DataFrame([(t, p, str(p), "x" if p < 6 else "y") for t, p in product("tu", range(2, 14))],
                                           columns=["target_id", "position", "label", "segment"]), data.targets, base=0)
    return data, contacts, pocket


def test_an_oracle_of_contacts_scores_one_and_one_blind_to_the_drug_one_half():
    data, contacts, pocket = tiny()
    touched = {("C", "t"): {2, 3, 4, 5}, ("CC", "t"): {4, 5, 6, 7}, ("CCC", "u"): {2, 3, 9, 11}}
    edited = lambda s: next((t, {i for i, (x, y) in enumerate(zip(s, o, strict=True)) if x != y}) for t, o in (("t", SEQUENCE), ("u", SEQUENCE[::-1]))
                            if sum(map(str.__ne__, s, o)) < 10)
    def oracle(smiles, sequences):
        return [-float(len(e & touched.get((d, t), set()))) for d, (t, e) in zip(smiles, map(edited, sequences), strict=True)]
    def blind(smiles, sequences): return [-float(sum((i * 7) % 5 for i in e)) for _, e in map(edited, sequences)]
    scores = {f.__name__: contact_audit(f, data, contacts, pocket, ONE_DRAW, draws=50).scores.set_index("kind")["RS"] for f in (oracle, blind)}
    assert scores["oracle"].to_dict() == {REST: 1, SWAPPED: 1, ALIGNED: 1} and scores["blind"][SWAPPED] == 0.5


def test_comparisons_stay_within_the_pocket_and_do_not_depend_on_order():
    data, contacts, pocket = tiny()
    count = lambda smiles, sequences: [float(s.count("X")) for s in sequences]
    audit = contact_audit(count, data, contacts, pocket, CONTACT_DESIGN.only(operators=("mask",)), draws=50)
    edited = np.concatenate(audit.plan.variants["positions"].to_list())
    kinds = audit.pairs["kind"].value_counts().to_dict() # one partner for each of a and b, two for c
    assert set(edited) <= set(range(2, 14)) and kinds == {REST: 3, SWAPPED: 2, ALIGNED: 4}
    assert audit.scores["RS"].dropna().eq(0.5).all() # both arms mask equally many
    other = DTIDataset(data.name, data.drugs, data.targets, data.pairs[::-1].reset_index(drop=True), data.scale, data.threshold)
    again = contact_audit(count, other, contacts, pocket, CONTACT_DESIGN.only(operators=("mask",)), draws=50)
    pd.testing.assert_frame_equal(again.scores, audit.scores)


def test_what_cannot_be_compared_is_refused_or_listed():
    data, contacts, pocket = tiny()
    frame = data.frame
    design = Design(operators=("mask",), matchings=("uniform",), doses=("100%",), repeats=1, intervention_seeds=1, min_prior=1)
    with pytest.raises(InputError, match="its own control"): region_plan(frame, [Region(0, "k", "r", np.array([1]), np.array([1, 2]))], design=design)
    with pytest.raises(InputError, match="name of its own"):
        region_plan(frame, [Region(0, "k", "r", np.array([1]), np.array([2])), Region(1, "k", "r", np.array([1]), np.array([3]))], design=design)
    with pytest.raises(InputError, match="without a pair"): region_plan(frame, [Region(9, "k", "r", np.array([1]), np.array([2]))], design=design)
    plan = region_plan(frame, [Region(0, "k", "r", np.array([], int), np.array([2]))], design=design)
    assert plan.unauditable["reason"].str.contains("nothing to compare").all()
    with pytest.raises(InputError, match="No pair"): contact_pairs(data, pocket)
    with pytest.raises(InputError, match="without a binding mode"): segment_audit(len, data, pocket, pd.DataFrame({"drug_id": ["a"], "mode": ["I"]}))


def test_segments_tell_drugs_of_one_mode_from_those_of_another():
    data, _, pocket = tiny()
    modes = pd.DataFrame({"drug_id": ["a", "b", "c"], "mode": ["I", "II", "unknown"]})
    def model(smiles, sequences): # drugs of type I read residues 2 to 5, others 6 to 13
        return [-float(s[2:6].count("X") if d == "C" else s[6:14].count("X")) for d, s in zip(smiles, sequences, strict=True)]
    found = segment_audit(model, data, pocket, modes, ONE_DRAW, draws=50).scores.set_index(["region", "mode"])
    assert found.loc[("x", "I"), "RS"] == 1 and found.loc[("y", "I"), "status"] == "nothing asked" # eight residues of one segment against four
    assert found.loc[("x", "II"), "RS"] == 0
    assert "RS of" in segment_figure(found.reset_index()).alt


def test_usual_labels_are_those_of_half_the_targets():
    table = pd.DataFrame([("a", "t", "1"), ("a", "t", "2"), ("a", "u", "2"), ("b", "t", "5")], columns=["drug_id", "target_id", "label"])
    assert usual_labels(table).to_dict() == {"a": {"1", "2"}, "b": {"5"}} and usual_labels(table, skip="t").to_dict() == {"a": {"2"}}


def test_tables_of_facts_are_in_the_package():
    from importlib import resources
    folder = resources.files("isaac") / "data"
    assert {f.name for f in folder.iterdir()} >= {"ligands.csv", "ligand_forms.csv", "binding_modes.csv"}
