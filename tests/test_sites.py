"""Priors from UniProt, structures, motifs and attributions, against answers worked out by hand; audits in other alphabets."""
import json
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from biotite.structure import Atom, array
from biotite.structure.info import one_letter_code
from biotite.structure.io import pdb, pdbx
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from isaac.audit import AuditConfig, audit
from isaac.cli import app
from isaac.core import AMINO_ACIDS, DNA, PROTEIN, RNA, Alphabet, InputError, alphabet_of, reverse_complement, stream_key
from isaac.datasets import load_davis
from isaac.operators import OPERATORS, edit_letters, to_strings, unsuited
from isaac.plan import Design, load_plan, make_plan, save_plan, validated
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import KlifsPocket, prior_from_table
from isaac.sites import (
    GRID,
    Motif,
    counterparts,
    motif_from_frame,
    motif_matches,
    named_prior,
    on_both_strands,
    pattern_matches,
    prior_from_attribution,
    prior_from_complex,
    prior_from_motif,
    prior_from_uniprot,
    read_features,
    read_motifs,
    window_scores,
)

QUIET = {"progress": False, "bootstrap_draws": 100}


def frame(**sequences): return pd.DataFrame({"target_id": list(sequences), "sequence": list(sequences.values())})


def row(prior, target): return prior.coverage.set_index("target_id").loc[target]


# ---- a table of residues

def test_a_table_says_where_it_counts_from():
    targets = frame(a="MKTAY", b="MKT")
    expected = {"a": [1, 2], "b": [0]}
    for base, numbers in {None: [1, 2, 0], 0: [1, 2, 0], 1: [2, 3, 1], 38: [39, 40, 38]}.items():
        table = pd.DataFrame({"target_id": ["a", "a", "b"], "position": numbers})
        prior = prior_from_table(table, targets, base=base)
        assert {t: p.tolist() for t, p in prior.positions.items()} == expected
        checked = prior_from_table(table.assign(letter=["K", "T", "M"]), targets, base=base or 0)
        assert checked.hash == prior.hash and checked.coverage.exact.tolist() == [2, 1]


def test_every_wrong_letter_is_named_and_a_shift_by_one_recognised():
    targets = frame(a="MKTAY", b="MKT")
    with pytest.raises(InputError, match="number 0: pass base=0") as caught:
        prior_from_table(pd.DataFrame({"target_id": ["a", "a", "b"], "residue": ["K1", "T2", "M0"]}), targets)
    assert [(p.value, p.reason) for p in caught.value.problems] == [
        ("K1", "the sequence has M there"), ("T2", "the sequence has K there"), ("M0", "the sequence has no residue there")]
    with pytest.raises(InputError, match="pass base=2"): prior_from_table(pd.DataFrame({"target_id": ["a"], "residue": ["K3"]}), targets)
    with pytest.raises(InputError, match="another isoform"): prior_from_table(pd.DataFrame({"target_id": ["a"], "residue": ["W3"]}), targets)
    with pytest.raises(InputError, match="position 0 – not a whole number ≥ 1 .positions are 1-based"):
        prior_from_table(pd.DataFrame({"target_id": ["a", "a"], "position": [0, 1]}), targets, base=1)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_is_read_from_its_file(tmp_path, form):
    table, targets, path = pd.DataFrame({"target_id": ["007"], "position": [3]}), frame(**{"007": "MKT"}), tmp_path / f"own.{form}"
    table.to_csv(path, index=False) if form == "csv" else table.to_parquet(path)
    assert prior_from_table(path, targets, base=1).positions["007"].tolist() == [2]
    assert named_prior(f"{path}:1", targets).hash == prior_from_table(path, targets, "own", base=1).hash
    with pytest.raises(InputError, match="outside its sequence"): named_prior(str(path), targets)
    with pytest.raises(InputError, match="cannot be read.*nowhere"): prior_from_table(tmp_path / f"nowhere.{form}", targets)


# ---- counterparts

@settings(max_examples=30)
@given(st.text(AMINO_ACIDS, min_size=40, max_size=90), st.text("ACDEF", max_size=15), st.text("GHIKL", max_size=15))
def test_a_flanked_sequence_finds_itself(sequence, before, after):
    c = counterparts(sequence, before + sequence + after)
    assert c.identity == 1 and c.coverage == 1
    assert all((before + sequence + after)[p] == a for p, a in zip(c.positions, sequence, strict=True)) and (np.diff(c.positions) > 0).all()


def test_rare_and_unknown_letters_align(): assert counterparts("MKTUAYIJAKQRO", "MKTUAYIJAKQRO").positions.tolist() == list(range(13))


# ---- UniProt

CANONICAL = "MSTAVLENPGLGRKLSDFGQETSYIEDNCNQNGAISLIFSLKEEVGALAK"


def feature(kind, start, end, **more):
    ends = {"start": {"value": start, "modifier": "EXACT"}, "end": {"value": end, "modifier": "EXACT"}}
    return {"type": kind, "location": ends} | more


ENTRY = {"primaryAccession": "Q00001", "secondaryAccessions": ["Q99999"], "sequence": {"value": CANONICAL}, "features": [
    feature("Chain", 1, 50), feature("Active site", 17, 17, description="Proton acceptor", evidences=[{"evidenceCode": "ECO:0000255", "id": "PRU1"}]),
    feature("Binding site", 10, 13, ligand={"name": "ATP"}), feature("Binding site", 13, 14), feature("Metal binding", 45, 45),
    {"type": "Binding site", "location": {"start": {"value": None, "modifier": "UNKNOWN"}, "end": {"value": 20, "modifier": "EXACT"}}}]}
GFF = """##gff-version 3
##sequence-region Q00001 1 50
Q00001\tUniProtKB\tChain\t1\t50\t.\t.\t.\tID=PRO_1
Q00001\tUniProtKB\tActive site\t17\t17\t.\t.\t.\tNote=Proton%20acceptor;evidence=ECO:0000255|PROSITE-ProRule:PRU1\t
Q00001\tUniProtKB\tBinding site\t10\t13\t.\t.\t.\tligand=ATP
Q00001\tUniProtKB\tBinding site\t13\t14\t.\t.\t.\tNote=x
Q00001\tUniProtKB\tMetal binding\t45\t45\t.\t.\t.\t
Q00001\tUniProtKB\tBinding site\t?\t20\t.\t.\t.\tNote=y
"""
SITES = [9, 10, 11, 12, 13, 16, 44] # residues 10–14, 17 and 45


@pytest.fixture
def uniprot(tmp_path):
    "The same entry as a single one, as a list, as a search result, and as GFF3."
    forms = {"one.json": json.dumps(ENTRY), "list.json": json.dumps([ENTRY]), "search.json": json.dumps({"results": [ENTRY]}), "entry.gff": GFF}
    for name, text in forms.items(): (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("form", ["one.json", "list.json", "search.json", "entry.gff"])
def test_all_forms_of_an_entry_give_the_same_residues(uniprot, form):
    prior = prior_from_uniprot(uniprot / form, frame(Q00001=CANONICAL))
    assert prior.positions["Q00001"].tolist() == SITES
    table, covered = prior.table.set_index("position"), row(prior, "Q00001")
    assert table.label.tolist() == ["10", "11", "12", "13", "14", "17", "45"] and table.segment[16] == "active site"
    assert "Proton acceptor, ECO:0000255" in table.source[16] and "ATP" in table.source[12]
    assert covered.note == "binding site without a certain position"
    assert (covered.status, covered.exact) == ("placed", 0 if form.endswith("gff") else 7)
    assert ("same length" if form.endswith("gff") else "same sequence") in covered.method
    assert named_prior(f"uniprot:{uniprot / form}", frame(Q00001=CANONICAL)).hash == prior.hash


def test_targets_are_matched_by_letters_and_what_is_not_placed_is_named(uniprot):
    mutant = CANONICAL[:10] + "W" + CANONICAL[11:]             # L11W, inside the binding site
    targets = frame(mutant=mutant, construct="GG" + CANONICAL[5:40], isoform=CANONICAL, unknown="MKT", wrong="W" * 60)
    targets["uniprot"] = ["Q99999", "Q00001", "Q00001-2", "P1", "Q00001"]
    prior = prior_from_uniprot(uniprot / "one.json", targets)
    assert prior.positions["mutant"].tolist() == [9, 11, 12, 13, 16, 44] and row(prior, "mutant").note.endswith("not in this sequence: L11")
    assert prior.positions["construct"].tolist() == [p - 3 for p in SITES[:-1]] and "V45" in row(prior, "construct").note
    assert [row(prior, t).status for t in targets.target_id] == ["partial", "partial", "placed", "unknown accession", "another sequence"]
    assert row(prior, "construct")[["placed", "exact", "gaps"]].tolist() == [6, 6, 1]
    without = prior_from_uniprot(uniprot / "entry.gff", targets)
    assert [row(without, t).status for t in targets.target_id] == [
        "unknown accession", "another sequence", "isoform", "unknown accession", "another sequence"]
    assert "50 residues, the target 37" in row(without, "construct").note and "Q00001-2 is an isoform" in row(without, "isoform").note


def test_the_sequence_may_come_from_another_file(uniprot):
    (uniprot / "bare.json").write_text(json.dumps(ENTRY | {"features": []}))
    both = read_features([uniprot / "entry.gff", uniprot / "list.json"])
    assert len(both.table) == len(ENTRY["features"]) and both.sequences == {"Q00001": CANONICAL}
    prior = prior_from_uniprot([uniprot / "entry.gff", uniprot / "bare.json"], frame(Q00001="GG" + CANONICAL), types=["Active site"])
    assert prior.positions["Q00001"].tolist() == [18]


def test_bad_features_are_refused(uniprot):
    targets = frame(Q00001=CANONICAL)
    with pytest.raises(InputError, match="'Turret' – not in the files.*active site, binding site"):
        prior_from_uniprot(uniprot / "one.json", targets, types=["Turret"])
    broken = {"{": "not valid JSON", "[{}]": "not a UniProt entry", "<xml>": "neither JSON nor", "##gff-version 3\na b": "1 of 9"}
    for text, message in broken.items():
        (uniprot / "bad").write_text(text)
        with pytest.raises(InputError, match=message): prior_from_uniprot(uniprot / "bad", targets)
    with pytest.raises(InputError, match="cannot be read"): prior_from_uniprot(uniprot / "missing.gff", targets)
    with pytest.raises(InputError, match="not letters of protein: 1"): prior_from_uniprot(uniprot / "one.json", frame(a="MK1"))


# ---- complexes

THREE = {one_letter_code(n): n for n in "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR".split()}
CHAIN = "MSTAVLENPGLGRKLSDFGQETSYIEDNCNQNGAISLIFSLKEEVGALAKWHRYPMCDTE"
TOUCHED = [5, 6, 12, 30, 31, 45]


def residues(sequence, chain="A", first=1, y=0.0, hetero=False, names=THREE, skip=()):
    "A straight chain along x, 3.8 Å apart; its Cβ point towards positive y."
    return [Atom([3.8 * i, y + h, 0], chain_id=chain, res_id=i + first, res_name=names[a], atom_name=atom, element="C", hetero=hetero, occupancy=1.0)
            for i, a in enumerate(sequence) if i not in skip for atom, h in (("CA", 0), ("CB", 1.5))]


def ligand(at, name="INH", chain="A", number=901, y=5.5, **more):
    "One residue with an atom 4 Å above the Cβ of each of these places, 5.52 Å from the next."
    return [Atom([3.8 * i, y, 0], chain_id=chain, res_id=number, res_name=name, atom_name=f"C{n}", element="C", hetero=True, occupancy=1.0, **more)
            for n, i in enumerate(at)]


def written(atoms, path):
    "A structure in the form that the name of the file says."
    structure = array(atoms)
    if path.suffix == ".pdb":
        file = pdb.PDBFile()
        file.set_structure(structure)
    else:
        file = pdbx.CIFFile() if path.suffix == ".cif" else pdbx.BinaryCIFFile()
        pdbx.set_structure(file, structure)
    file.write(str(path))
    return path


@pytest.mark.parametrize("form", ["pdb", "cif", "bcif"])
def test_contacts_are_those_within_the_cutoff(tmp_path, form):
    also = {"chain_id": "A", "hetero": True, "occupancy": 1.0}
    hydrogen = Atom([3.8 * 25, 2, 0], res_id=901, res_name="INH", atom_name="H1", element="H", **also)
    water = Atom([3.8 * 20, 3, 0], res_id=950, res_name="HOH", atom_name="O", element="O", **also)
    path = written([*residues(CHAIN, first=100), *ligand(TOUCHED), hydrogen, water], tmp_path / f"complex.{form}")
    targets = frame(same=CHAIN, headed="MG" + CHAIN, stranger="WYWYPPGGHHCC" * 4)
    prior = prior_from_complex(path, "INH", targets)
    assert prior.positions["same"].tolist() == TOUCHED and prior.positions["headed"].tolist() == [p + 2 for p in TOUCHED]
    assert prior.table.label[:2].tolist() == ["105", "106"] and prior.table.segment[:2].tolist() == ["L", "E"]
    assert prior.table.source[0] == "INH/A/901 at 5 Å, chain A"
    assert row(prior, "same")[["placed", "exact", "gaps", "status"]].tolist() == [6, 6, 0, "placed"]
    assert row(prior, "stranger").status == "no relative" and "needed are 80, over 50%" in row(prior, "stranger").note
    wider = sorted({q for p in TOUCHED for q in (p - 1, p, p + 1)})
    assert prior_from_complex(path, "INH", targets, cutoff=5.53).positions["same"].tolist() == wider # √(3.8² + 4²) = 5.517
    assert prior_from_complex(path, "INH", targets, cutoff=5.51).positions["same"].tolist() == TOUCHED
    assert named_prior(f"complex:{path}:INH/A:5.53", targets).positions["same"].tolist() == wider
    assert named_prior(f"complex:{path}:INH", targets).hash == prior.hash


def test_unresolved_mutated_and_missing_residues():
    "Six unresolved residues between the contacts, one mutation in a contact, and a target that lacks another."
    structure = array(residues(CHAIN, skip=range(15, 21)) + ligand(TOUCHED))
    targets = frame(whole=CHAIN, mutant=CHAIN[:12] + "W" + CHAIN[13:], short=CHAIN[8:])
    prior = prior_from_complex(structure, "INH", targets)
    assert prior.positions["whole"].tolist() == prior.positions["mutant"].tolist() == TOUCHED
    assert row(prior, "mutant")[["placed", "exact"]].tolist() == [6, 5]
    assert prior.positions["short"].tolist() == [p - 8 for p in TOUCHED[2:]]
    assert row(prior, "short").status == "partial" and "no counterpart of L6, E7" in row(prior, "short").note and row(prior, "short").gaps == 2


def test_modified_residues_insertion_codes_and_amino_acids_as_ligands():
    chain = residues(CHAIN, names=THREE | {"M": "MSE", "S": "SEP"})
    for atom in chain:
        if atom.res_id == 31: atom.res_id, atom.ins_code = 30, "A"  # residue 30 is followed by 30A
        if atom.res_name in ("MSE", "SEP"): atom.hetero = True
    prior = prior_from_complex(array(chain + ligand(TOUCHED, name="GLU")), "GLU", frame(same=CHAIN))
    assert row(prior, "same").method.endswith("(100% identical over 100%)") and prior.positions["same"].tolist() == TOUCHED
    assert prior.table.label.tolist() == ["6", "7", "13", "30A", "32", "46"]


def test_only_the_first_model_and_the_fuller_place_of_a_disordered_atom_count(tmp_path):
    places = [(0.3, "A", 5), (0.7, "B", 30)]
    atoms = residues(CHAIN) + [Atom([3.8 * at, 5.5, 0], chain_id="A", res_id=901, res_name="INH", atom_name="C1", element="C", hetero=True,
                                    occupancy=occupancy) for occupancy, _, at in places]
    file = pdb.PDBFile()
    file.set_structure(array(atoms))
    lines = [str(line) for line in file.lines]
    for (_, letter, _), i in zip(places, [i for i, line in enumerate(lines) if " INH " in line], strict=True):
        lines[i] = lines[i][:16] + letter + lines[i][17:]
    second = [line[:38] + "  99.000" + line[46:] if line.startswith(("ATOM", "HETATM")) else line for line in lines]
    (tmp_path / "models.pdb").write_text("\n".join(["MODEL        1", *lines, "ENDMDL", "MODEL        2", *second, "ENDMDL", "END"]))
    assert prior_from_complex(tmp_path / "models.pdb", "INH", frame(same=CHAIN)).positions["same"].tolist() == [30]


def test_several_ligands_and_several_chains():
    "Chain B lies above the ligands, its Cα 4.5 Å away: as many contacts as chain A has, and the first of equals is taken."
    ligands = ligand(TOUCHED) + ligand([2, 3], chain="B", number=902) + ligand([8], "ZN", number=903)
    structure, targets = array(residues(CHAIN) + residues(CHAIN[::-1], "B", y=10) + ligands), frame(a=CHAIN, b=CHAIN[::-1])
    with pytest.raises(InputError, match="more than once.*INH/A/901, INH/B/902"): prior_from_complex(structure, "INH", targets)
    with pytest.raises(InputError, match="no such ligand.*INH/A/901, INH/B/902, ZN/A/903"): prior_from_complex(structure, "STI", targets)
    prior = prior_from_complex(structure, "INH/A", targets)
    assert prior.positions["a"].tolist() == TOUCHED and row(prior, "b").status == "no relative"
    assert row(prior, "a").note == "other chains touch it too: " + ", ".join(f"B/{CHAIN[::-1][p]}{p + 1}" for p in TOUCHED)
    assert {t: p.tolist() for t, p in prior_from_complex(structure, "INH/A/901", targets, chain="B").positions.items()} == {"b": TOUCHED}
    with pytest.raises(InputError, match="Protein chains: A, B"): prior_from_complex(structure, "ZN", targets, chain="C")
    with pytest.raises(InputError, match="the closest residue is 4.0 Å away"): prior_from_complex(structure, "ZN", targets, cutoff=2)


def test_bad_structures_are_refused(tmp_path):
    targets = frame(a=CHAIN)
    for form, message in {"txt": "Unknown kind", "cif": "cannot be read", "bcif": "cannot be read", "pdb": "cannot be read"}.items():
        (tmp_path / f"x.{form}").write_text("nothing")
        with pytest.raises(InputError, match=message): prior_from_complex(tmp_path / f"x.{form}", "INH", targets)
    with pytest.raises(InputError, match="cannot be read"): prior_from_complex(tmp_path / "missing.cif", "INH", targets)
    with pytest.raises(InputError, match="cutoff -1 – not above 0"): prior_from_complex(tmp_path / "x.pdb", "INH", targets, cutoff=-1)


def test_a_structures_site_lands_where_klifs_has_it(mirror):
    "The KLIFS pocket of one kinase, taken for the contacts of a structure of its domain, against the pockets of sixty others."
    targets = load_davis().targets.drop_duplicates("sequence").set_index("target_id", drop=False)
    targets = targets.loc[["ABL2", *targets.target_id.iloc[::6]]].drop_duplicates("target_id").reset_index(drop=True)
    klifs = KlifsPocket().annotate(targets)
    pocket = klifs.table[klifs.table.target_id == "ABL2"]
    first, last = pocket.position.min() - 12, pocket.position.max() + 60
    structure = array(residues(targets.sequence[0][first:last]) + ligand(pocket.position - first))
    found = prior_from_complex(structure, "INH", targets).table
    names = dict(zip((pocket.position - first + 1).astype(str), pocket.label, strict=True))
    both = found.assign(label=found.label.map(names)).merge(klifs.table, on=["target_id", "label"])
    assert both.target_id.nunique() > 50 and (both.position_x == both.position_y).mean() > 0.9


def test_a_protease_family_end_to_end(tmp_path):
    "A user's CSV, a structure of one member, and models that read the site, everything else, or all of it."
    rng = np.random.default_rng(3)
    body = "".join(rng.choice(list(AMINO_ACIDS), 140))
    def relative():
        changed = (rng.choice(list(AMINO_ACIDS)) if rng.random() < 0.25 else a for a in body)
        return "".join([*rng.choice(list("GSN"), rng.integers(0, 9)), *changed])
    family = {f"P{i}": relative() if i else body for i in range(8)}
    site = [20, 21, 24, 50, 51, 52, 80, 81, 82, 83, 100, 101]
    pd.DataFrame([(d, t, s, 6.0) for t, s in family.items() for d in ("CCO", "CCN")], columns=["smiles", "target_id", "sequence", "affinity"]
                 ).to_csv(tmp_path / "proteases.csv", index=False)
    pairs = pd.read_csv(tmp_path / "proteases.csv")
    prior = prior_from_complex(written(residues(body, first=16) + ligand(site), tmp_path / "protease.cif"), "INH", frame(**family))
    assert all(prior.positions[t].tolist() == [len(s) - 140 + p for p in site] for t, s in family.items())
    value = dict(zip(AMINO_ACIDS, rng.permutation(20) / 10, strict=True))
    def reads(places): return lambda smiles, sequences: np.array([5 + sum(value[s[p - 140]] for p in places) for s in sequences])
    how = QUIET | {"operators": ["substitute"], "matchings": ["domain"], "doses": [1, "100%"], "repeats": 10}
    def rs(places): return audit(reads(places), pairs, prior, **how).scores("common").query("score == 'RS'").set_index("dose").value
    assert rs(site).tolist() == [1, 1] and rs(sorted(set(range(140)) - set(site))).tolist() == [0, 0]
    assert abs(rs(range(140))["1"] - 0.5) < 0.05 # one letter is worth as much wherever it is


# ---- expressions

patterns = st.sampled_from(["A", "AC", "A+", "A*", "(?:CA)+", "[AC]C?", "A(?=C)", "^A", "A$", "", "C.", "A|AC", "AC|A"])


@given(patterns, st.text("ACG", max_size=30))
def test_matches_are_those_of_finditer(pattern, sequence):
    expected = [list(range(*m.span())) for m in re.finditer(pattern, sequence) if m[0]]
    assert [m.positions.tolist() for m in pattern_matches(re.compile(pattern), sequence)] == expected
    everywhere = [m.positions.tolist() for m in pattern_matches(re.compile(pattern), sequence, overlapping=True)]
    assert everywhere == [list(range(*m.span())) for i in range(len(sequence)) if (m := re.compile(pattern).match(sequence, i)) and m[0]]


def test_groups_are_what_counts():
    prior = prior_from_motif(frame(a="AGHEAAHGG", b="MKT"), r"(H)E(A)?.{1,3}?(H)")
    assert prior.positions["a"].tolist() == [2, 4, 6] and prior.table.label.tolist() == ["1", "2", "3"]
    assert row(prior, "a")[["note", "status"]].tolist() == ["1 match: 3–7", "placed"]
    assert row(prior, "b")[["placed", "status"]].tolist() == [0, "no match"]


@settings(max_examples=40)
@given(st.text("ACGTN", min_size=1, max_size=40), st.sampled_from(["GAT", "G.T", "CA+", "TATA"]))
def test_the_other_strand_is_the_same_search_from_the_other_end(sequence, pattern):
    prior, flipped = (prior_from_motif(frame(t=s), pattern, "dna", overlapping=True) for s in (sequence, reverse_complement(sequence)))
    positions, mirrored = (p.positions.get("t", np.array([], int)) for p in (prior, flipped))
    assert positions.tolist() == sorted(len(sequence) - 1 - mirrored)
    assert reverse_complement(reverse_complement(sequence)) == sequence
    one = prior_from_motif(frame(t=sequence), pattern, "dna", both_strands=False, overlapping=True)
    assert set(one.positions.get("t", ())) <= set(positions)


# ---- matrices

@st.composite
def matrices(draw, letters="ACGT", width=4):
    rows = draw(st.lists(st.lists(st.floats(0.01, 1), min_size=len(letters), max_size=len(letters)), min_size=1, max_size=width))
    background = np.array(draw(st.lists(st.floats(0.05, 1), min_size=len(letters), max_size=len(letters))))
    rows = np.array(rows)
    return Motif("drawn", DNA if letters == "ACGT" else alphabet_of(f"{letters}/X"), rows / rows.sum(1, keepdims=True), background / background.sum())


def every_window(motif):
    "Score (thousandths) and probability of every possible window."
    width, size = motif.scores.shape
    windows = np.array(list(product(range(size), repeat=width)))
    return motif.scores[np.arange(width), windows].sum(1), motif.background[windows].prod(1)


@settings(max_examples=60)
@given(st.one_of(matrices(), matrices("HP", 8)), st.floats(1e-3, 0.9))
def test_p_values_are_exact(motif, p_value):
    scores, shares = every_window(motif)
    for score in np.unique(scores)[:: max(1, len(np.unique(scores)) // 20)]:
        assert motif.p_value(score / GRID) == pytest.approx(shares[scores >= score].sum(), abs=1e-12)
    possible = [s for s in np.unique(scores) if motif.tail[s - motif.scores.min(1).sum()] <= p_value]
    if not possible:
        with pytest.raises(InputError, match="too weak"): motif.threshold(p_value)
        return
    threshold = motif.threshold(p_value)
    assert motif.p_value(threshold) <= p_value and {*possible} == {s for s in scores if s >= round(threshold * GRID)}


def test_a_matrix_worked_out_by_hand():
    "Probability 1/2 for one letter and 1/6 for the others: log2 2 = 1 and log2 2/3 = −0.585 bits."
    motif = motif_from_frame(pd.DataFrame({"A": [1, 0], "C": [0, 1], "G": [0, 0], "T": [0, 0]}), pseudocount=2, sites=1)
    assert np.allclose(motif.probabilities[0], [1.5 / 3, .5 / 3, .5 / 3, .5 / 3])
    assert motif.scores.tolist() == [[1000, -585, -585, -585], [-585, 1000, -585, -585]]
    assert motif.p_value(2) == 1 / 16 and motif.p_value(0.415) == 7 / 16 and motif.p_value(-1.17) == 1 and motif.p_value(2.001) == 0
    assert window_scores(motif, "ACNAC").tolist() == [2, -np.inf, -np.inf, 2]
    assert window_scores(motif, "A").size == window_scores(motif, "").size == 0
    prior = prior_from_motif(frame(t="TTACTTGTTT"), motif, threshold=2)
    assert prior.positions["t"].tolist() == [2, 3, 6, 7] and row(prior, "t").note == "2 matches: 3–4 (+), 7–8 (-)"
    table = prior.table.set_index("position")
    assert table.segment.tolist() == ["+", "+", "-", "-"] and table.label.tolist() == ["1", "2", "2", "1"] and "2.00 bits" in table.source[2]
    assert row(prior, "t").method == "score ≥ 2.000 bits (p ≤ 0.062)"


@settings(max_examples=30)
@given(matrices(), st.text("ACGTN", max_size=30), st.floats(-3, 3))
def test_matches_of_a_matrix_are_the_windows_that_score(motif, sequence, threshold):
    width = len(motif.scores)
    index = {a: i for i, a in enumerate("ACGT")}
    expected = [s for s in range(len(sequence) - width + 1) if "N" not in sequence[s:s + width] and
                sum(motif.scores[i, index[a]] for i, a in enumerate(sequence[s:s + width])) >= threshold * GRID]
    assert [m.positions[0] for m in motif_matches(motif, sequence, threshold)] == expected
    def find(s): return motif_matches(motif, s, threshold)
    def found(s): return sorted((m.strand, *sorted(m.positions)) for m in on_both_strands(find, s, DNA))
    both, mirrored = found(sequence), found(reverse_complement(sequence))
    swapped = sorted(("+-"[m[0] == "+"], *sorted(len(sequence) - 1 - p for p in m[1:])) for m in mirrored)
    assert both == swapped


def test_matrices_are_read_from_jaspar_and_meme(tmp_path):
    jaspar = ">MA0001.1 first\nA [ 4 0 ]\nC [ 0 4 ]\nG [ 0 0 ]\nT [ 0 0 ]\n>MA0002.1 second\nA 1 1 1\nC 1 1 1\nG 1 1 1\nT 1 1 7\n"
    meme = ("MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies (from uniform):\nA 0.3 C 0.2 G 0.2 T 0.3\n\n"
            "MOTIF first one\nletter-probability matrix: alength= 4 w= 2 nsites= 4 E= 1e-3\n 1.0\t0.0 0.0 0.0\n 0 1.0 0 0\n\nURL none\n"
            "MOTIF second\nletter-probability matrix: alength= 4 w= 1\n0.25 0.25 0.25 0.25\n")
    for name, text in (("j", jaspar), ("m", meme)): (tmp_path / name).write_text(text)
    counted, stated = read_motifs(tmp_path / "j"), read_motifs(tmp_path / "m")
    assert list(counted) == ["MA0001.1", "MA0002.1"] and list(stated) == ["first", "second"]
    assert np.allclose(counted["MA0001.1"].probabilities, np.array([[4.25, .25, .25, .25], [.25, 4.25, .25, .25]]) / 5)
    assert np.allclose(counted["MA0002.1"].probabilities[2], np.array([1.25, 1.25, 1.25, 7.25]) / 11)
    assert np.allclose(stated["first"].probabilities, np.array([[4.3, .2, .2, .3], [.3, 4.2, .2, .3]]) / 5)
    assert np.allclose(stated["second"].background, [.3, .2, .2, .3]) and len(stated["second"].probabilities) == 1


@pytest.mark.parametrize("text, message", [
    ("", "holds no motifs"), (">", "not equally many"), ("MOTIF\nletter-probability matrix: w= 1\n", "motif letter-probability rows 0"),
    (">a\nA 1 2\nC 1\nG 1 2\nT 1 2", "not equally many"), (">a\nA 1\nC 1\nG 1", "'T' – missing"),
    (">a\nA x\nC 1\nG 1\nT 1", "place 1 numbers"), ("MOTIF a\nletter-probability matrix: w= 2\n.25 .25 .25 .25\n", "rows 1 – expected w = 2"),
    ("MOTIF a\nletter-probability matrix: w= 1\n.5 .5\n", "each of 4 numbers"),
    (">a\nA 1 0\nC 1 0\nG 1 0\nT 1 0", "place 2 numbers"), (">a\nA -1\nC 1\nG 1\nT 1", "not all 0 or more")])
def test_bad_matrices_are_refused(tmp_path, text, message):
    (tmp_path / "motifs").write_text(text)
    with pytest.raises(InputError, match=message): read_motifs(tmp_path / "motifs")


def test_what_cannot_be_looked_for_is_named():
    flat, targets = motif_from_frame(pd.DataFrame(np.full((2, 4), .25), columns=list("ACGT"))), frame(t="ACGT")
    for options, message in [({"motif": "A("}, "no regular expression"), ({"motif": "A", "p_value": .1}, "an expression has no score"),
                             ({"motif": flat, "p_value": .1, "threshold": 1}, "one of the two"),
                             ({"motif": flat, "p_value": 2}, "not between 0 and 1"),
                             ({"motif": flat, "alphabet": "protein"}, "the motif's is dna"), ({"motif": flat}, "too weak"),
                             ({"motif": "A", "both_strands": True}, "have no complements"), ({"motif": "A", "alphabet": "DNA"}, "Unknown alphabet")]:
        with pytest.raises(InputError, match=message): prior_from_motif(targets, **options)
    with pytest.raises(InputError, match="not letters of dna: UX"): prior_from_motif(frame(t="ACGUX"), flat, threshold=0)
    with pytest.raises(InputError, match="expected .places, 4"): Motif("bad", DNA, np.ones((2, 3)) / 3, np.full(4, .25))
    with pytest.raises(InputError, match="place 2 probabilities"): Motif("bad", DNA, np.array([[.25] * 4, [.5, .5, 0, 0]]), np.full(4, .25))


# ---- attributions

@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 40))
def test_the_highest_scores_first_and_of_equal_ones_the_first(scores, top):
    targets = frame(t="A" * len(scores))
    chosen = prior_from_attribution(lambda s: scores, targets, top=top).positions["t"]
    expected = sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top])
    assert chosen.tolist() == expected
    above = prior_from_attribution(lambda s: scores, targets, threshold=2)
    assert above.positions.get("t", np.array([])).tolist() == [i for i, v in enumerate(scores) if v >= 2]
    assert row(above, "t").status == ("placed" if max(scores) >= 2 else "none above the threshold")


def test_a_predicted_prior_says_so():
    def attention(sequence): return np.arange(len(sequence))
    prior = prior_from_attribution(attention, frame(t="MKTAYIAKQR"), top="20%")
    assert prior.name == "attention" and row(prior, "t").method == "predicted by attention"
    assert row(prior, "t").note == "scores from 8; the highest left out is 7"
    assert prior.table[["position", "label", "source"]].values.tolist() == [[8, "2", "predicted: attention"], [9, "1", "predicted: attention"]]


def test_bad_attributions_name_every_target():
    targets = frame(a="MKT", b="MK", c="MKTA")
    def broken(sequence): return {"MKT": [1, np.nan, np.inf], "MK": [1, 2, 3], "MKTA": [1, 2, 3, 4]}[sequence]
    with pytest.raises(InputError) as caught: prior_from_attribution(broken, targets, top=1)
    assert [(p.where, p.field) for p in caught.value.problems] == [("target a", "score of K2"), ("target a", "score of T3"), ("target b", "scores")]
    for options in ({}, {"top": 1, "threshold": 0.5}):
        with pytest.raises(InputError, match="one of the two"): prior_from_attribution(broken, targets, **options)
    for top in (0, "0%", "101%", "few", 1.5, True):
        with pytest.raises(InputError, match="neither a count"): prior_from_attribution(lambda s: np.ones(len(s)), targets, top=top)


# ---- by name

@pytest.mark.parametrize("text", ["", "KLIFS", "pocket.txt", "uniprot:", "complex:a.cif", "motif:", "csv", "klifs:live"])
def test_other_names_are_refused(text):
    with pytest.raises(InputError, match="Unknown prior.*complex:FILE:LIGAND"): named_prior(text, frame(t="MKT"))


def test_a_distance_that_is_none_is_refused():
    with pytest.raises(InputError, match="'near' is no distance"): named_prior("complex:a.cif:INH:near", frame(t="MKT"))


def test_the_command_line_takes_every_prior(tmp_path, uniprot):
    written(residues(CANONICAL) + ligand(range(3, 15)), tmp_path / "complex.cif")
    pd.DataFrame({"target_id": "Q00001", "position": range(4, 16)}).to_csv(tmp_path / "own.csv", index=False)
    pairs = pd.DataFrame({"target_id": "Q00001", "sequence": CANONICAL, "smiles": ["CCO", "CCN"], "affinity": [6.0, 7.0]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    pairs.assign(sequence="ACGTTACC" * 6).to_csv(tmp_path / "dna.csv", index=False)
    def asked(prior, data, *options):
        out = tmp_path / f"plan{len(list(tmp_path.iterdir()))}"
        common = "--threshold 7 --scale affinity --json --doses 1 --repeats 1 --seeds 1 --matchings uniform --min-prior 5".split()
        said = CliRunner().invoke(app, ["plan", "--dataset", str(tmp_path / data), "--prior", prior, "--out", str(out), *common, *options])
        assert said.exit_code == 0, said.output
        return json.loads(said.output)
    for prior in (f"complex:{tmp_path / 'complex.cif'}:INH", f"{tmp_path / 'own.csv'}:1", f"uniprot:{uniprot / 'entry.gff'}", "motif:LENPGL"):
        plan = asked(prior, "pairs.csv", "--operators", "mask")
        assert plan["unauditable"] == [] and plan["questions"] == 6 # each of two drugs: unedited, edited in the site, edited elsewhere
    plan = asked("motif:ACGTT", "dna.csv", "--operators", "mask,substitute", "--alphabet", "dna", "--mask-token", "N")
    assert plan["unauditable"] == [] and plan["questions"] == 10


# ---- alphabets

alphabets = st.sampled_from([PROTEIN, DNA, RNA, alphabet_of("HP/X"), alphabet_of("ACGT/-")])


@settings(max_examples=30)
@given(alphabets, st.data(), st.integers(0, 2**40))
def test_edits_stay_in_the_alphabet_and_keep_the_length(alphabet, data, seed):
    sequence = data.draw(st.text(alphabet.letters + alphabet.unknown, min_size=30, max_size=60))
    positions = sorted(data.draw(st.sets(st.integers(2, 20), min_size=3, max_size=8)))
    operators = tuple(name for name in OPERATORS if not unsuited(name, alphabet))
    assert set(operators) == set(OPERATORS) if alphabet is PROTEIN else set(operators) == {"mask", "substitute", "shuffle"}
    pairs = pd.DataFrame({"pair_id": [0], "drug_id": "d", "target_id": "t", "smiles": "C", "sequence": sequence})
    prior = prior_from_table(pd.DataFrame({"target_id": "t", "position": positions}), pairs)
    design = Design(operators=operators, doses=(2, "100%"), repeats=2, intervention_seeds=1, seed=seed, min_prior=2, alphabet=alphabet.name)
    plan = make_plan(pairs, prior, Reading(mask_token=alphabet.unknown), design)
    edited = plan.variants.query("side == 'target'")
    assert set(edited["string"].str.len()) == {len(sequence)} and set("".join(edited["string"])) <= set(alphabet.letters + alphabet.unknown)
    written = plan.edits.merge(plan.cells).query("operator == 'substitute'")["target_variant"]
    for v in plan.variants.loc[written].itertuples(): assert all(sequence[p] != a for p, a in zip(v.positions, v.letters, strict=True))


def test_substitution_reaches_every_other_letter_alike():
    draws = 6000
    new = to_strings(edit_letters("substitute", "G", np.zeros((draws, 1), int), stream_key(5, np.arange(draws)), "N", DNA))
    letters, counts = np.unique(new, return_counts=True)
    assert letters.tolist() == ["A", "C", "T"] and abs(counts - draws / 3).max() < 160 # 4.4 standard deviations


@pytest.mark.parametrize("operator, reason", [("conservative", "no substitution scores"), ("radical", "no substitution scores"),
                                              ("alanine", "a residue of proteins")])
def test_operators_of_proteins_are_refused_elsewhere(operator, reason):
    with pytest.raises(InputError, match=f"operator {operator}: .*{reason}"): validated(Design, operators=["mask", operator], alphabet="dna")
    with pytest.raises(InputError, match=reason): edit_letters(operator, "ACGT", np.zeros((1, 1), int), stream_key(np.arange(1)), "N", DNA)


def test_an_alphabet_is_declared_and_checked():
    pairs = pd.DataFrame({"pair_id": [0, 1], "drug_id": "d", "target_id": ["t", "u"], "smiles": "C", "sequence": ["ACGTACGTAC", "ACGUX"]})
    prior = prior_from_table(pd.DataFrame({"target_id": "t", "position": [1, 2]}), pairs)
    with pytest.raises(InputError, match="target u sequence.*not letters of dna: UX.*mask_token 'X' – the letter of dna for unknown is N"):
        make_plan(pairs, prior, Reading(), Design(alphabet="dna"))
    with pytest.raises(InputError, match="alphabet 'Dna'.*not protein, dna"): validated(Design, alphabet="Dna")
    for letters in ("A/N", "ACCG/N", "ACGT/A", "ACGT/", "AC GT/N"):
        with pytest.raises(InputError, match="needs two or more different letters"): alphabet_of(letters)
    assert alphabet_of("ACGT/-") == Alphabet("ACGT/-", "ACGT", "-") and validated(Design, alphabet="ACGT/-").alphabet == "ACGT/-"


def test_a_design_for_proteins_is_written_as_it_always_was(tmp_path):
    assert "alphabet" not in Design().model_dump() and "alphabet" not in AuditConfig().model_dump(mode="json")
    dna = Design(alphabet="dna", doses=(1,), min_prior=1, repeats=1, intervention_seeds=1)
    assert Design(**json.loads(dna.model_dump_json())) == dna != Design(**dna.model_dump() | {"alphabet": "protein"})
    pairs = pd.DataFrame({"pair_id": [0], "drug_id": "d", "target_id": "t", "smiles": "C", "sequence": "ACGTACGTAC"})
    plan = make_plan(pairs, prior_from_table(pd.DataFrame({"target_id": "t", "position": [1]}), pairs), Reading(mask_token="N"), dna)
    assert load_plan(save_plan(plan, tmp_path)).design == dna


def test_transcription_factor_sites():
    "A model that reads the planted motif, one that reads what is left of it under the mask, and one that only counts G and C."
    rng = np.random.default_rng(11)
    favourite = rng.choice(4, 19, p=[.15, .35, .35, .15])
    motif = motif_from_frame(pd.DataFrame(np.where(np.arange(4) == favourite[:, None], 91, 3), columns=list("ACGT")), "CTCF-like")
    sequences = {}
    for i in range(30):
        letters, instance = rng.choice(list("ACGT"), 100), "".join(rng.choice(list("ACGT"), p=p) for p in motif.probabilities)
        start = rng.integers(0, 82)
        letters[start:start + 19] = list(instance if i % 2 else reverse_complement(instance))
        sequences[f"s{i:02} {start}"] = "".join(letters)
    prior = prior_from_motif(frame(**sequences), motif, p_value=1e-5)
    starts = {t: int(t.split()[1]) for t in prior.positions}
    assert len(starts) >= 28 and all(prior.positions[t].tolist() == list(range(s, s + 19)) for t, s in starts.items())
    strands = prior.table.groupby("target_id").segment.unique()
    assert all(strands[t].tolist() == (["+"] if int(t[1:3]) % 2 else ["-"]) for t in starts)
    by_letter = np.vstack([motif.scores.T / GRID, np.zeros(19)])                  # an N tells nothing, and costs nothing
    def best(sequence):
        windows = np.lib.stride_tricks.sliding_window_view(["ACGTN".index(a) for a in sequence], 19)
        return by_letter[windows, np.arange(19)].sum(1).max()
    def reads_motif(smiles, sequences): return np.array([max(best(s), best(reverse_complement(s))) for s in sequences])
    def reads_content(smiles, sequences): return np.array([float(s.count("G") + s.count("C")) for s in sequences])
    pairs = frame(**sequences).assign(smiles="O", affinity=1.0)
    def rs(model, operators, doses, **more):
        result = audit(FunctionPredictor(model, mask_token="N"), pairs, prior, operators=operators, doses=doses, matchings=["uniform"],
                       alphabet="dna", **QUIET, **more)
        return result.scores("common").query("score == 'RS'").value
    assert rs(reads_motif, ["mask", "substitute"], [5, "100%"]).gt(0.95).all()
    assert abs(rs(reads_content, ["substitute"], [1], repeats=20).item() - 0.5) < 0.03 # replacing a letter changes the content with probability 2/3
