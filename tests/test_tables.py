"""Tables of the user's own: conversions worked out by hand, round trips through every format, and every bad input with its message."""
import gzip
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from typer.testing import CliRunner

from isaac.cli import app
from isaac.core import AMINO_ACIDS, InputError, IsaacError
from isaac.tables import (
    TableNote,
    TableOptions,
    is_table,
    preview,
    read_dataset,
    read_fasta,
    read_sdf,
    recognise,
    to_affinity,
    understand,
    unit_of,
)

GOOD = pd.DataFrame({"smiles": ["CCO", "CCN", "CCC"], "sequence": ["MKT", "MRT", "MKV"], "affinity": [5., 6.5, 8.]})


def write(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def read(path, **options):
    "Read with warnings aside: (dataset, what was noted)."
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        return read_dataset(path, **options), [str(w.message) for w in told if w.category is TableNote]


def refused(function, *arguments, **options) -> InputError:
    with pytest.raises(InputError) as error: function(*arguments, **options)
    return error.value


def column(folder: Path, values: list, **options):
    "A table whose affinities are `values`, read."
    sequences = ["M" + "K" * i for i in range(len(values))]
    frame = pd.DataFrame({"smiles": "CCO", "sequence": sequences, "affinity": values})
    frame.to_csv(folder / "column.csv", index=False)
    return read(folder / "column.csv", **options)


# Conversions

# By hand: −log₁₀ of 1e-9 M is 9; 10 µM = 1e-5 M is 5; 500 pM = 5e-10 M is 10 − log₁₀ 5 = 9.30103; 2 mM = 2e-3 M is 3 − log₁₀ 2 = 2.69897.
@pytest.mark.parametrize(("unit", "value", "expected"), [
    ("nM", 1, 9), ("nM", 10_000, 5), ("uM", 10, 5), ("µM", 10, 5), ("μM", 0.001, 9), ("M", 1e-9, 9), ("pM", 500, 9.30103), ("mM", 2, 2.69897),
    ("pKd", 7.25, 7.25), ("pIC50", -1, -1), ("KIBA", 12.1, 12.1)])
def test_units_worked_out_by_hand(tmp_path, unit, value, expected):
    data, _ = column(tmp_path, [value], unit=unit)
    assert data.pairs.affinity.item() == pytest.approx(expected, abs=1e-5)


# By hand: RT ln 10 at 298.15 K is 8.314462618 × 298.15 × 2.302585093 = 2478.957 × 2.302585093 = 5708.01 J/mol; in kcal 5708.01/4184 = 1.364247.
# −12.27 / 1.364247 = −8.99397, and 9 × 5.70801 = 51.3721 kJ/mol. At 310.15 K the same energy is worth 298.15/310.15 as much.
@pytest.mark.parametrize(("unit", "energy", "temperature", "expected"), [
    ("kcal/mol", -12.27, 298.15, 8.99397), ("kJ/mol", -51.3721, 298.15, 9), ("kcal/mol", -12.27, 310.15, 8.64599), ("kcal/mol", 0, 298.15, 0)])
def test_binding_energies_worked_out_by_hand(tmp_path, unit, energy, temperature, expected):
    data, notes = column(tmp_path, [energy, energy], unit=unit, temperature=temperature)
    assert data.pairs.affinity.tolist() == pytest.approx([expected] * 2, abs=2e-5) and data.scale == "pKd"
    assert any(f"at {temperature:g} K" in note for note in notes)


@pytest.mark.parametrize(("options", "header", "scale"), [
    ({"unit": "nM"}, "affinity", "pAffinity"), ({"unit": "nM", "measure": "Ki"}, "affinity", "pKi"), ({}, "IC50 (nM)", "pIC50"), ({}, "Kd_uM", "pKd"),
    ({"unit": "uM"}, "EC50", "pEC50"), ({}, "pKi", "pKi"), ({"unit": "KIBA"}, "Y", "KIBA"), ({}, "Label", "affinity"),
    ({"unit": "binary"}, "y", "binary"),
    ({"unit": "kcal/mol"}, "dG", "pKd"), ({}, "delta G (kJ/mol)", "pKd"), ({"unit": "nM", "measure": "IC50"}, "Kd", "pIC50")])
def test_the_scale_says_what_was_measured(options, header, scale): assert unit_of(header, **options).scale == scale


@pytest.mark.parametrize(("header", "options", "says"), [
    ("Kd", {}, "needed for a concentration"), ("y", {"measure": "Ki"}, "needed for a concentration"), ("dG", {}, "needed"),
    ("y", {"unit": "nm"}, "looks like a unit"), ("y", {"unit": "nmol/l"}, "looks like a unit"), ("y", {"unit": "PKD"}, "looks like a unit"),
    ("y", {"unit": "kcal"}, "looks like a unit"), ("y", {"unit": "pKd", "measure": "Ki"}, "cannot be that of a Ki"),
    ("y", {"unit": "binary", "measure": "Ki"}, "cannot be")])
def test_units_that_are_not_clear(header, options, says):
    error = refused(unit_of, header, **options)
    assert says in str(error) and "kcal/mol" in error.advice


@given(st.sampled_from(["M", "mM", "uM", "nM", "pM", "kcal/mol", "kJ/mol"]), st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9))
def test_conversions_turn_the_order_round_and_back(unit, values):
    values = np.sort(values)
    assert (np.diff(to_affinity(values, unit_of("y", unit))) <= 0).all()
    if unit == "nM": assert np.allclose(10 ** (9 - to_affinity(values, unit_of("y", unit))), values, rtol=1e-9)


def test_bounds_keep_their_direction(tmp_path):
    values = [">10000", "<1", "≤ 1", ">=10000", "10", "=10"]
    concentrations, _ = column(tmp_path, values, unit="nM", measure="Kd")
    assert concentrations.pairs.affinity.tolist() == [5, 9, 9, 5, 8, 8]
    assert concentrations.pairs.censored.tolist() == [True] * 4 + [False] * 2
    assert concentrations.pairs.at_least.tolist() == [False, True, True, False, False, False]
    energies, _ = column(tmp_path, [">-5", "<-12"], unit="kcal/mol")
    assert energies.pairs.at_least.tolist() == [False, True]
    straight, _ = column(tmp_path, [">9", "<5", "7"], unit="pKd")
    assert straight.pairs.at_least.tolist() == [True, False, False] and straight.pairs.censored.tolist() == [True, True, False]
    assert "at_least" not in column(tmp_path, [">10000", "3"], unit="nM")[0].pairs


def test_a_censored_column_adds_to_the_signs(tmp_path):
    path = write(tmp_path, "smiles,sequence,affinity,censored\nCC,MK,5,TRUE\nCC,MR,<4,0\nCC,MT,9,False\n")
    assert read(path)[0].pairs.censored.tolist() == [True, True, False]
    assert "neither True nor False" in str(refused(read, write(tmp_path, "smiles,sequence,affinity,censored\nCC,MK,5,perhaps\n")))


@pytest.mark.parametrize(("unit", "value", "reason"), [
    ("nM", "0", "not a positive concentration"), ("nM", "-5", "not a positive concentration"), ("nM", "7,5", "write 7.5, or 7500"),
    ("nM", "1,000", "write 7.5, or 7500"), ("nM", "5 nM", "name the unit once"), ("nM", "5nM", "name the unit once"), ("pKd", "~7", "not a number"),
    ("pKd", "nan", "not a finite number"), ("pKd", "-inf", "not a finite number"), ("pKd", "1e999", "not a finite number"),
    ("pKd", "strong", "not a number"), ("pKd", "", "missing"), ("pKd", "NA", "not a number"), ("binary", "2", "neither 0 nor 1"),
    ("binary", ">0", "neither 0 nor 1"), ("pKd", "0x1A", "more than a number"), ("pKd", "1_0", "not a number"), ("pKd", "5-7", "not a number")])
def test_values_that_are_no_affinity(tmp_path, unit, value, reason):
    problem, = refused(column, tmp_path, ["1", value], unit=unit).problems
    assert problem.where == "row 3" and problem.field == "affinity" and reason in problem.reason
    assert problem.value == value or value == ""


def test_binary_labels(tmp_path):
    data, _ = column(tmp_path, ["1", "0", "true", "False", "1.0"], unit="binary")
    assert data.pairs.affinity.tolist() == [1, 0, 1, 0, 1] and data.threshold == 0.5 and data.scale == "binary"


# Formats

WRITERS = {"csv": lambda f, p: f.to_csv(p, index=False), "tsv": lambda f, p: f.to_csv(p, index=False, sep="\t"),
           "csv.gz": lambda f, p: f.to_csv(p, index=False), "parquet": lambda f, p: f.to_parquet(p), "xlsx": lambda f, p: f.to_excel(p, index=False)}
molecules = st.sampled_from(["CCO", "c1ccccc1", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "N#N", "F/C=C/F"])
rows = st.lists(st.tuples(molecules, st.text(AMINO_ACIDS + "X", min_size=1, max_size=12), st.floats(-50, 50).map(lambda v: v + 0.0),
                          st.text("aé 7,;\"'|-", min_size=1, max_size=5).map(lambda s: f"id{s}x"), st.booleans(),
                          st.sampled_from(["", "test", "train0"])), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=15)
@given(rows)
def test_every_format_gives_back_what_was_written(tmp_path_factory, kind, table):
    frame = pd.DataFrame(table, columns=["smiles", "sequence", "affinity", "drug_id", "censored", "fold"])
    frame["drug_id"] += frame.smiles # an id stands for one molecule
    path = tmp_path_factory.getbasetemp() / f"table.{kind}"
    WRITERS[kind](frame, path)
    data = read_dataset(path, duplicates="keep")
    assert data.pairs.pair_id.tolist() == list(range(2, len(frame) + 2))
    for name in ("smiles", "sequence", "drug_id", "censored", "fold"): assert data.frame[name].tolist() == frame[name].tolist()
    assert data.pairs.affinity.tolist() == (pytest.approx(frame.affinity.tolist(), rel=1e-14) if kind == "xlsx" else frame.affinity.tolist())
    assert data.pairs.affinity.dtype == float and data.pairs.censored.dtype == bool


@pytest.mark.parametrize("kind", WRITERS)
def test_a_bad_row_has_one_number_in_every_format(tmp_path, kind):
    WRITERS[kind](GOOD.assign(smiles=["CCO", "C1CC", "CCC"]), tmp_path / f"t.{kind}")
    error = refused(read_dataset, tmp_path / f"t.{kind}")
    assert [p.where for p in error.problems] == ["row 3"] and "as in a spreadsheet: the header is row 1" in error.advice


def test_bytes_order_marks_blank_rows_and_quoted_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('smiles,sequence,affinity\r\nCC,"MK\r\nTT",5\r\n,,\r\n\r\nC1C,MK,6\r\n\r\n'.encode("utf-8-sig"))
    error = refused(read, path)
    assert [p.where for p in error.problems] == ["row 5"] # the quoted break is inside row 2, as in a spreadsheet
    data, notes = read(path, on_error="skip", rejected=tmp_path / "rejected.csv")
    assert data.frame.sequence.tolist() == ["MKTT"] and any("2 blank rows passed over" in note for note in notes)
    assert any("blanks or line breaks taken out of the sequence of 1 row (2)" in note for note in notes)


@pytest.mark.parametrize(("name", "content", "options", "says"), [
    ("t.csv", "smiles,sequence,affinity\nCC,M\xe9,5\n".encode("latin-1"), {}, ["line 2", "not utf-8", "cp1252"]),
    ("t.csv", "smiles,sequence\nCC,MK\n".encode("utf-16"), {}, ["line 1", "utf-16"]),
    ("t.csv", b"smiles;sequence;affinity\nCC;MK;5\n", {}, ["one column", "delimiter=';'"]),
    ("t.tsv", b"smiles,sequence,affinity\nCC,MK,5\n", {}, ["one column", "delimiter=','"]),
    ("t.csv", b"smiles;y\nCC;7,5\n", {}, ["Expected 1 fields in line 2", "delimiter=';'"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\nCC,MR,5,6\n", {}, ["Expected 3 fields in line 3, saw 4"]),
    ("t.csv", b'smiles,sequence,affinity\nCC,MK,5\n"CC,MR,5\n', {}, ["quotation mark in row 3"]),
    ("t.csv", b"", {}, ["is empty"]),
    ("t.csv", b"smiles,sequence,affinity,smiles\nCC,MK,5,CC\n", {}, ["'smiles' \u2013 more than once"]),
    ("t.csv", b"PK\x03\x04zip", {}, ["an Excel workbook or another zip archive, not text"]),
    ("t.csv", b"PAR1", {}, ["it is Parquet, not text"]),
    ("t.csv.gz", b"smiles,sequence,affinity\n", {}, ["it is text, not compressed"]),
    ("t.csv.gz", gzip.compress(b"smiles,sequence,affinity\nCC,MK,5\n" * 99, mtime=0)[:60], {}, ["cannot be read"]),
    ("t.parquet", b"smiles,sequence", {}, ["it is text, not Parquet"]),
    ("t.parquet", b"PAR1" + b"\0" * 40, {}, ["cannot be read"]),
    ("t.xlsx", b"\xd0\xcf\x11\xe0old", {}, ["an old Excel workbook"]),
    ("t.xlsx", b"PK\x03\x04broken", {}, ["no Excel workbook"]),
    ("t.json", b"{}", {}, ["not a .csv, .tsv, .txt, .parquet or .xlsx file"]),
    ("t.csv", b"smiles,sequence,affinity\n", {}, ["The table is empty"]),
    ("t.csv", b"smiles,sequence\nCC,MK\n", {}, ["affinity", "no such column", "--column smiles="]),
    ("t.csv", b"Drug,Ligand,sequence,Kd (nM),Ki (nM)\nCC,CC,MK,5,6\n", {}, ["'Drug, Ligand'", "'Kd (nM), Ki (nM)'", "more than one column"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\n", {"columns": {"smiles": "SMI"}}, ["'SMI'", "no such column"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\n", {"duplicates": "first"}, ["'first'", "raise, keep, mean, median"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\n", {"on_error": "ignore"}, ["'ignore'"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\n", {"temperature": -3, "measure": "IC90", "sdf_id": "name"}, ["-3", "'IC90'", "no SDF file"]),
    ("t.csv", b"smiles,sequence,affinity\nCC,MK,5\n", {"sdf": "d.sdf", "fasta": "t.fasta", "columns": {"smiles": "smiles", "sequence": "sequence"}},
     ["column of SMILES too", "column of sequences too"]),
])
def test_files_and_options_that_cannot_be_used(tmp_path, name, content, options, says):
    (tmp_path / name).write_bytes(content)
    error = refused(read, tmp_path / name, **options)
    assert [word for word in says if word not in str(error)] == []


def test_columns_of_the_same_name_and_codes_in_a_parquet_file(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array(["CC"])] * 3, names=["smiles", "y", "y"]), tmp_path / "twice.parquet")
    assert "'y' – more than once" in str(refused(read_dataset, tmp_path / "twice.parquet"))
    frame = pd.DataFrame({"smiles": pd.Categorical(["CC", "CC"]), "sequence": ["MK", "MR"], "affinity": [5, None], "drug_id": [7, 7]})
    frame.set_index("drug_id").to_parquet(tmp_path / "coded.parquet")
    problem, = refused(read_dataset, tmp_path / "coded.parquet").problems
    assert str(problem) == "row 3 affinity nan – missing"


def test_a_stated_encoding_and_delimiter_are_used(tmp_path):
    (tmp_path / "t.csv").write_bytes("drug_id;smiles;sequence;affinity\nMüller;CC;MK;5\n".encode("cp1252"))
    assert read(tmp_path / "t.csv", encoding="cp1252", delimiter=";")[0].drugs.drug_id.tolist() == ["Müller"]


def test_sheets_of_a_workbook(tmp_path):
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        GOOD.to_excel(book, sheet_name="pairs", index=False)
        GOOD.iloc[:1].to_excel(book, sheet_name="more", index=False)
    data, notes = read(path)
    assert len(data.pairs) == 3 and any("sheet 'pairs' of 'pairs', 'more' was read" in note for note in notes)
    assert len(read(path, sheet="more")[0].pairs) == 1 and read(path, sheet="more")[1] == []
    assert "no sheet 'last'" in str(refused(read, path, sheet="last")) and "pairs, more" in str(refused(read, path, sheet="last"))


def test_excel_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    GOOD.to_excel(tmp_path / "t.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(IsaacError, match=r"pip install 'isaac-audit\[excel\]'"): read_dataset(tmp_path / "t.xlsx")


def test_a_table_is_known_by_its_name():
    assert all(map(is_table, ["a.csv", "A.TSV", "a.txt", "a.csv.gz", "a.parquet", "a.xlsx"]))
    assert not any(map(is_table, ["davis", "a.xls", "a.gz", "csv", "a.xlsx.gz"]))


# Columns

def test_columns_of_well_known_tables_are_recognised(tmp_path):
    assert recognise(["Drug_ID", "Drug", "Target_ID", "Target", "Y"], TableOptions(columns={"sequence": "Target"}))["smiles"] == "Drug"
    assert recognise(["Ligand SMILES", "BindingDB Target Chain Sequence", "Ki (nM)"]) == {
        "smiles": "Ligand SMILES", "sequence": "BindingDB Target Chain Sequence", "affinity": "Ki (nM)"}
    assert recognise(["compound_iso_smiles", "target_sequence", "affinity"])["smiles"] == "compound_iso_smiles"
    assert "sequence" in str(refused(recognise, ["Drug", "Target", "Y"])), "names of targets may be letters of residues"
    _, notes = read(write(tmp_path, "SMILES,FASTA,pKd\nCC,MK,5\n"))
    assert notes[0] == "pairs.csv: recognised by name: smiles in 'SMILES', sequence in 'FASTA', affinity in 'pKd'"


def test_stated_columns_are_not_announced_and_may_be_absent(tmp_path):
    path = write(tmp_path, "a,b\nCC,MK\n")
    data, notes = read(path, columns={"smiles": "a", "sequence": "b", "affinity": None})
    assert notes == [] and data.pairs.affinity.isna().all() and data.scale == "affinity"
    assert read(write(tmp_path, "smiles,drug,sequence,affinity\nCC,x,MK,5\n"))[0].drugs.drug_id.tolist() == ["x"]


@given(st.permutations(["smiles", "sequence", "affinity", "drug_id", "target_id", "censored", "fold", "note"]), st.randoms(use_true_random=False))
def test_recognition_does_not_depend_on_order_or_capitals(names, random):
    theirs = [n.upper() if random.random() < 0.5 else n.title() for n in names]
    assert {ours: name.lower() for ours, name in recognise(theirs).items()} == {n: n for n in names if n != "note"}


# Molecules and sequences beside the table

def sdf_record(title: str, smiles: str, **properties) -> str:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    return title + Chem.MolToMolBlock(mol, kekulize=False) + "".join(f">  <{k}>\n{v}\n\n" for k, v in properties.items()) + "$$$$\n"


@pytest.fixture
def libraries(tmp_path) -> dict:
    write(tmp_path, "".join(sdf_record(*r, code=i) for i, r in enumerate([("ethanol", "CCO"), ("alanine", "CC(N)C(=O)O"), ("odd", "CC(C)(C)(C)C"),
                                                                         ("twice", "CC"), ("twice", "CCC"), ("", "CCCC")])), "d.sdf")
    write(tmp_path, ">sp|P00519|ABL1_HUMAN Tyrosine kinase\nMLE\nICL\n>plain one\nmktx\n>bad\nMK1\n>none\n>twice\nMA\n>twice\nMC\n"
                    ">same\nMV\n>same\nMV\n", "t.fasta")
    return {"sdf": tmp_path / "d.sdf", "fasta": tmp_path / "t.fasta"}


def test_structures_are_looked_up_by_id(tmp_path, libraries):
    path = write(tmp_path, "drug,target,pKd\nethanol,P00519,5\nalanine,sp|P00519|ABL1_HUMAN,6\nethanol,plain,7\nethanol,same,8\n")
    data, notes = read(path, **libraries)
    assert data.frame.smiles.tolist() == ["CCO", "CC(N)C(=O)O", "CCO", "CCO"]
    assert data.frame.sequence.tolist() == ["MLEICL", "MLEICL", "MKTX", "MV"]
    assert data.pairs.target_id.tolist() == ["P00519", "sp|P00519|ABL1_HUMAN", "plain", "same"]
    assert any("lower case made capitals in the sequence of 1 entry of t.fasta (plain)" in note for note in notes)
    assert any("unusable in d.sdf: record 6 – has no id; odd – Explicit valence" in note for note in notes)
    numbered, _ = read(write(tmp_path, "drug_id,sequence,affinity\n5,MK,5\n"), sdf=libraries["sdf"], sdf_id="code")
    assert numbered.drugs.smiles.tolist() == ["CCCC"]


def test_ids_without_a_usable_structure_are_offenders(tmp_path, libraries):
    path = write(tmp_path, "drug_id,target_id,affinity\nodd,P00519,5\ntwice,bad,5\nmethane,none,5\nethanol,twice,5\n,Q1,5\nethanol,,5\n")
    found = [(p.where, p.field, p.reason.split(",")[0]) for p in refused(read, path, **libraries).problems]
    assert found == [("row 2", "drug_id", "Explicit valence for atom # 1 C"), ("row 3", "drug_id", "2 different records have this id"),
                     ("row 3", "target_id", "no amino acid: '1' at 3"), ("row 4", "drug_id", "not in d.sdf"), ("row 4", "target_id", "empty"),
                     ("row 5", "target_id", "2 different records have this id"), ("row 6", "target_id", "not in t.fasta"),
                     ("row 6", "drug_id", "missing"), ("row 7", "target_id", "missing")]


def test_libraries_that_are_none(tmp_path):
    for text in ("MKT", ""): assert "no FASTA" in str(refused(read_fasta, write(tmp_path, text, "t.fasta")))
    assert "no records" in str(refused(read_sdf, write(tmp_path, "CCO ethanol\n", "d.sdf")))
    for function in (read_fasta, read_sdf): assert "does not exist" in str(refused(function, tmp_path / "absent"))
    broken = read_sdf(write(tmp_path, "x\n\n\nnonsense\n$$$$\n" + sdf_record("good", "CC"), "e.sdf"))
    assert broken.entries == {"good": "CC"} and broken.broken == {"x": "RDKit cannot read the record"}
    (tmp_path / "t.fa.gz").write_bytes(gzip.compress(b">a\nMK\n"))
    assert read_fasta(tmp_path / "t.fa.gz").entries == {"a": "MK"}


def test_stereochemistry_survives_an_sdf_file(tmp_path):
    mol = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    assert read_sdf(write(tmp_path, "L" + Chem.MolToMolBlock(mol) + "$$$$\n", "d.sdf")).entries["L"] == Chem.MolToSmiles(mol)


# Sequences, offenders, duplicates

def test_sequences_are_put_right_only_visibly(tmp_path):
    data, notes = read(write(tmp_path, "smiles,sequence,affinity\nCC,mkt,5\nCC, M K V ,6\nCC,MKX,7\n"))
    assert data.frame.sequence.tolist() == ["MKT", "MKV", "MKX"]
    assert notes == ["pairs.csv: blanks or line breaks taken out of the sequence of 1 row (3)",
                     "pairs.csv: lower case made capitals in the sequence of 1 row (2)"]
    error = refused(read, write(tmp_path, "smiles,sequence,affinity\nCC,MK*,5\nCC,M-K,6\n CC,MK,7\n"))
    assert [(p.where, p.field) for p in error.problems] == [("row 2", "sequence"), ("row 3", "sequence"), ("row 4", "smiles")]


def test_skipping_keeps_the_rest_under_its_numbers(tmp_path):
    path = write(tmp_path, "Drug,sequence,Kd (nM)\nCC,MK,1\nC1C,MK1,-1\nCCC,MK,>10\n")
    given = {"columns": {"smiles": "Drug", "affinity": "Kd (nM)"}, "unit": "nM"} # so that nothing else needs to be said
    with pytest.warns(UserWarning, match="1 of 3 rows are unusable: dropped"):
        data = read_dataset(path, on_error="skip", rejected=tmp_path / "rejected.csv", threshold=8, name="mine", **given)
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert rejected.row.tolist() == [3, 3, 3] and rejected.field.tolist() == ["Drug", "sequence", "Kd (nM)"]
    assert data.pairs.pair_id.tolist() == [2, 4] and data.name == "mine" and data.threshold == 8
    assert read_dataset(write(tmp_path, "smiles,sequence,affinity\nCC,MK,1\n")).name == "pairs"


REPEATED = "smiles,sequence,affinity\nCC,MK,5\nCO,MK,6\nCC,MK,7\nCC,MK,9\nCO,MK,6\n"


def test_pairs_that_disagree_are_the_users_choice(tmp_path):
    path = write(tmp_path, REPEATED)
    error = refused(read_dataset, path)
    assert [(p.where, p.value) for p in error.problems] == [("row 4", "7"), ("row 5", "9")]
    assert 'duplicates="keep" leaves rows that disagree, "mean" or "median" merges them' in error.advice
    assert all("row 2 says 5 for the same drug and sequence" in p.reason for p in error.problems)
    assert refused(read_dataset, path, on_error="skip", rejected=tmp_path / "r.csv").problems == error.problems
    assert read_dataset(path, duplicates="keep").pairs.affinity.tolist() == [5, 6, 7, 9, 6]
    for how, expected in (("mean", 7), ("median", 7)):
        assert read_dataset(path, duplicates=how).pairs.set_index("pair_id").affinity.to_dict() == {2: expected, 3: 6}
    bad = refused(read_dataset, write(tmp_path, REPEATED + "C1C,MK,7\n"))
    assert [p.where for p in bad.problems] == ["row 4", "row 5", "row 7"], "all offenders at once"


def test_merged_bounds(tmp_path):
    path = write(tmp_path, "smiles,sequence,Kd (nM)\nCC,MK,>10000\nCC,MK,100\n")
    assert "row 2 says ≤ 5" in str(refused(read, path))
    merged = read(path, duplicates="mean")[0].pairs
    assert merged.affinity.tolist() == [6] and merged.censored.tolist() == [True] and "at_least" not in merged
    both = write(tmp_path, "smiles,sequence,Kd (nM)\nCC,MK,>10000\nCC,MK,<1\nCC,MR,<1\n")
    error = refused(read, both, duplicates="median")
    assert [p.where for p in error.problems] == ["row 2", "row 3"] and "bounds of one drug and sequence have no median" in str(error)
    assert preview(both, duplicates="median").problems == error.problems and preview(both, duplicates="keep").problems == ()


@settings(max_examples=20)
@given(st.lists(st.tuples(molecules, st.sampled_from(["MK", "MR"]), st.integers(0, 9)), min_size=1, max_size=20))
def test_merging_leaves_one_row_per_question(tmp_path_factory, table):
    frame = pd.DataFrame(table, columns=["smiles", "sequence", "affinity"])
    path = tmp_path_factory.getbasetemp() / "merge.csv"
    frame.to_csv(path, index=False)
    data = read_dataset(path, duplicates="mean").frame
    expected = frame.groupby(["smiles", "sequence"]).affinity.mean()
    assert len(data) == len(expected) and np.allclose(data.affinity, [expected[s, q] for s, q in zip(data.smiles, data.sequence, strict=True)])


# Doubts and the preview

@pytest.mark.parametrize(("values", "unit", "says"), [
    ([5.2, 7.1, 11], "nM", "as pKd do, but the unit is nM"), ([120, 5000], "pKd", "as concentrations in nM do, but the scale is pKd"),
    ([120, 5000], None, "the scale is affinity"), ([9.1, 7.5], "kcal/mol", "those of binding are negative"),
    ([250, 1e5], "M", "is the unit really M"),
    ([-40, -50], "kcal/mol", "is the unit really kcal/mol"), ([1e-9, 2e-8], "nM", "is the unit really nM"),
    ([1, 1], "binary", "all 2 labels are 1")])
def test_units_that_can_hardly_be_meant_are_doubted(tmp_path, values, unit, says):
    _, notes = column(tmp_path, values, unit=unit)
    assert any(says in note for note in notes)


@pytest.mark.parametrize(("values", "options"), [
    ([3, 250, 10_000], {"unit": "nM", "measure": "Kd"}), ([5.1, 9.3], {"unit": "pKd"}), ([-9.1, -7.5], {"unit": "kcal/mol"}),
    ([-45, -30], {"unit": "kJ/mol"}), ([0.2, 30], {"unit": "µM", "columns": {"affinity": "Kd_uM"}}),
    ([0, 1], {"unit": "binary"}), ([11.2], {"unit": "KIBA"})])
def test_sound_units_are_not_doubted(tmp_path, values, options):
    sequences = ["M" + "K" * i for i in range(len(values))]
    name = options.get("columns", {}).get("affinity", "affinity")
    pd.DataFrame({"smiles": "CC", "sequence": sequences, name: values}).to_csv(tmp_path / "t.csv", index=False)
    assert understand(tmp_path / "t.csv", TableOptions(**options)).doubts == []


@pytest.mark.parametrize("kind", WRITERS)
def test_a_preview_reads_the_first_rows_only(tmp_path, kind):
    frame = pd.concat([GOOD] * 4, ignore_index=True).assign(affinity=range(12))
    frame.loc[9, "smiles"] = "C1CC"
    WRITERS[kind](frame, tmp_path / f"t.{kind}")
    look = preview(tmp_path / f"t.{kind}", rows=3)
    assert look.problems == () and not look.complete and preview(tmp_path / f"t.{kind}", rows=13).complete
    assert look.counts.set_index("what")["count"]["rows"] == 3
    whole = preview(tmp_path / f"t.{kind}", rows=None)
    assert whole.complete and [p.where for p in whole.problems if p.field == "smiles"] == ["row 11"] and len(whole.table) == len(whole.problems) == 9
    counts = whole.counts.set_index("what")["count"]
    assert counts.to_dict() == {"rows": 12, "usable rows": 11, "distinct SMILES": 3, "distinct sequences": 3, "upper bounds": 0, "lower bounds": 0,
                                "repeated pairs": 8, "rows that disagree": 8}
    assert preview(tmp_path / f"t.{kind}", rows=None, duplicates="keep").counts.equals(whole.counts)
    spread = whole.distributions.set_index("of")
    assert spread.loc["sequence length"].tolist() == [3] * 5 and spread.loc["affinity", "maximum"] == 11


# The command

def call(*arguments): return CliRunner().invoke(app, ["validate", *map(str, arguments)])


def test_validate_says_what_it_found(tmp_path):
    done = call(write(tmp_path, "Drug,sequence,Kd (nM)\nCC,MK,120\nCCO,MK,>10000\n"))
    assert done.exit_code == 0 and "No problems" in done.stdout and "Recognised by name: smiles in 'Drug'" in done.stdout and "pKd" in done.stdout


def test_validate_lists_every_problem_and_ends_in_2(tmp_path):
    path = write(tmp_path, "mol,sequence,value\nC1C,MK,120\nCCO,MK1,0\nCCO,MR,3\n")
    said = [path, "--column", "smiles=mol", "--column", "affinity=value", "--unit", "nM", "--measure", "Ki"]
    done = call(*said)
    assert done.exit_code == 2 and done.stdout.count("row 3") == 2
    assert "unclosed ring" in done.stdout and "not a positive concentration" in done.stdout
    answer = json.loads(call(*said, "--json").stdout)
    assert [p["where"] for p in answer["problems"]] == ["row 2", "row 3", "row 3"] and answer["scale"] == "pKi" and answer["complete"]
    assert answer["columns"]["smiles"] == "mol"


def test_validate_looks_structures_up(tmp_path, libraries):
    path = write(tmp_path, "drug,target,pKd\nethanol,P00519,5\n")
    assert call(path, "--sdf", libraries["sdf"], "--fasta", libraries["fasta"]).exit_code == 0
    done = call(write(tmp_path, REPEATED), "--duplicates", "keep")
    assert done.exit_code == 0 and call(tmp_path / "pairs.csv").exit_code == 2


@pytest.mark.parametrize("arguments", [["absent.csv"], ["--column", "smiles"], ["--unit", "nm"], ["--column", "molecule=x"]])
def test_validate_refuses_what_it_cannot_read(tmp_path, arguments):
    path = [] if arguments == ["absent.csv"] else [write(tmp_path, "smiles,sequence,affinity\nCC,MK,5\n")]
    done = call(*path, *arguments)
    assert done.exit_code == 2 and done.stderr.startswith("Error: ") and done.stdout == ""
def test_training_reads_a_file_as_validate_does(tmp_path):
    "Named columns, units, bounds and sequences beside the table; what was understood goes to standard error before the work."
    rng = np.random.default_rng(0)
    names = [f"T{i}" for i in range(20)]
    write(tmp_path, "".join(f">{n}\n{''.join(rng.choice(list(AMINO_ACIDS), 60))}\n" for n in names), "t.fasta")
    drugs = ["C" * n + "O" for n in range(1, 7)]
    rows = [f"{d},{n},{'>' if i + j == 7 else ''}{10 ** (1 + (i + j) % 4)}" for i, d in enumerate(drugs) for j, n in enumerate(names)]
    path = write(tmp_path, "\n".join(["Drug,Target,Kd (nM)", *rows]) + "\n")
    said = ["--column", "target_id=Target", "--fasta", tmp_path / "t.fasta"]
    out = tmp_path / "model"
    trained = CliRunner().invoke(app, [*map(str, ["train", "deepdta", "--dataset", path, "--threshold", 7, *said, "--epochs", 1, "--device", "cpu",
                                                  "--out", out])])
    assert trained.exit_code == 0, trained.output
    assert "Recognised by name: smiles in 'Drug', affinity in 'Kd (nM)'" in trained.stderr and "usable rows" in trained.stderr
    assert json.loads((out / "provenance.json").read_text())["scale"] == "pKd"
    bad = CliRunner().invoke(app, [*map(str, ["audit", out, "--dataset", write(tmp_path, "smiles,sequence,Kd\nCC,MK,1\n"), "--threshold", 7])])
    assert bad.exit_code == 2 and "unit of column 'Kd' is not clear" in bad.stderr
