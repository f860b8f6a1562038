"""Grafts: what corresponds, which letters are written where, models whose pocket share is known exactly, and everything that cannot be grafted."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from isaac.cli import app
from isaac.core import InputError
from isaac.datasets import DTIDataset, load_davis
from isaac.engine import respond
from isaac.graft import graft, graft_chart, graft_curve, graft_plan, graft_scores, graft_table, label_positions, paired_between
from isaac.matching import DOMAIN_FLANK
from isaac.planted import PlantedOptions, Reader, plant
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import KlifsPocket, Prior, prior_from_table

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
POCKET = np.arange(25, 85, 3)


def made(n=6, length=110, seed=0, drugs=("C", "CC")):
    "Unrelated targets with their pockets in the same places, and a prior that says so."
    sequences = ["".join(row) for row in np.random.default_rng(seed).choice(LETTERS, (n, length))]
    targets = pd.DataFrame({"target_id": [f"t{i}" for i in range(n)], "sequence": sequences})
    rows = targets.merge(pd.DataFrame({"drug_id": [f"d{i}" for i in range(len(drugs))], "smiles": drugs}), how="cross").assign(affinity=6.0)
    table = pd.DataFrame([(t, p, f"{i:02}") for t in targets["target_id"] for i, p in enumerate(POCKET)], columns=["target_id", "position", "label"])
    return DTIDataset.from_frame(rows, threshold=7.0), prior_from_table(table, targets, base=0)


def reads(places, seed=1):
    "A model of the letters at these places, with an interaction of drug and letters."
    weight = np.random.default_rng(seed).normal(size=(200, 128))
    return lambda smiles, sequences: [len(s) * sum(weight[p, ord(t[p])] for p in places) for s, t in zip(smiles, sequences, strict=True)]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=8), st.integers(0, 30), st.integers(0, 30))
def test_what_is_paired_lies_between_the_same_anchors_in_order_and_once(steps, front, back):
    a, b = (np.cumsum([front] + [s[i] for s in steps]) for i in (0, 1))
    ends = int(a[-1]) + 1 + back, int(b[-1]) + 1
    found = paired_between(a, b, ends)
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(found)
    assert ((found >= 0) & (found < ends)).all() and not np.isin(found[:, 0], a).any() and not np.isin(found[:, 1], b).any()
    assert (np.searchsorted(a, found[:, 0]) == np.searchsorted(b, found[:, 1])).all()
    assert (np.diff(found[np.argsort(found[:, 0]), 1]) > 0).all()
    between = sum(min(s) - 1 for s in steps)
    assert len(found) == between + min(a[0], b[0], DOMAIN_FLANK) + min(ends[0] - 1 - a[-1], ends[1] - 1 - b[-1], DOMAIN_FLANK)


@pytest.mark.parametrize("drugs", [("C",), ("C", "CC", "CCC")])
def test_the_pocket_share_of_a_pocket_reader_is_one_and_of_a_background_reader_zero(drugs):
    data, prior = made(drugs=drugs)
    pocket = graft(reads(POCKET), data, prior, draws=100).scores.set_index("arm")["value"]
    assert pocket.tolist() == [1, 0, 1]
    others = graft(reads(np.setdiff1d(np.arange(110), POCKET)), data, prior, draws=100).scores.set_index("arm")["value"]
    assert others["pocket"] == 0 and others["control"] > 0


def test_a_mixture_has_the_share_of_its_parts_on_the_same_differences():
    data, prior = made(n=5)
    parts = [reads(POCKET), reads(np.setdiff1d(np.arange(110), POCKET), seed=2)]
    mixed = lambda smiles, sequences: 0.3 * np.array(parts[0](smiles, sequences)) + 0.7 * np.array(parts[1](smiles, sequences))
    table, whole = (graft(model, data, prior, draws=20).table for model in (mixed, parts[0]))
    assert np.allclose(table["graft"], 0.3 * whole["graft"])
    x = table["gap"].where(table["gap"].abs() > 0.5, 0)
    assert np.isclose(graft_scores(table, draws=20)["value"][0], (x * table["graft"]).sum() / (x * x).sum())


def test_letters_are_the_donors_at_the_same_labels_and_as_many_elsewhere():
    data, prior = made()
    asked = graft_plan(data.frame, prior, partners=2, repeats=3)
    sequence = data.targets.set_index("target_id")["sequence"]
    cells, site = asked.plan.cells.set_index("cell_id"), asked.plan.pairs.set_index("pair_id")
    assert len(asked.grafts) == 12 and asked.grafts.groupby("acceptor").size().eq(2).all()
    for edit in asked.plan.edits[asked.plan.edits["cell_id"].gt(0)].itertuples():
        acceptor = site.at[edit.pair_id, "target_id"]
        first = (edit.cell_id - 1) // 4 * 4 + 1
        row = asked.grafts[asked.grafts["acceptor"].eq(acceptor) & asked.grafts["first_cell"].eq(first)].iloc[0]
        new, old, donor = asked.plan.variants["string"][edit.target_variant], sequence[acceptor], sequence[row["donor"]]
        changed = [i for i in range(len(old)) if new[i] != old[i]]
        assert len(changed) == row["differing"] and all(new[i] == donor[i] for i in changed)
        in_pocket = np.isin(changed, POCKET)
        assert in_pocket.all() if cells.at[edit.cell_id, "arm"] == "mechanistic" else not in_pocket.any()


def test_targets_with_one_sequence_do_not_disturb_each_other():
    data, prior = made(n=4)
    sequence = data.targets["sequence"].tolist()
    twins = replace(data, targets=data.targets.assign(sequence=[sequence[0], sequence[0], *sequence[2:]]))
    model, lots = reads(POCKET), [("t0", "t2"), ("t1", "t3"), ("t1", "t2")]
    both = graft(model, twins, prior, named=lots, draws=20).table
    assert np.allclose(both["graft"], both["gap"]) and len(both) == 2 * len(lots)
    alone = pd.concat([graft(model, twins, prior, named=[lot], draws=20).table for lot in lots])
    pd.testing.assert_frame_equal(both, alone.sort_values(["drug_id", "acceptor", "donor"], ignore_index=True))


def test_gaps_shift_nothing_and_are_listed():
    data, prior = made()
    table = prior.table[~(prior.table["target_id"].eq("t1") & prior.table["label"].eq("03"))]
    table = table.assign(position=np.where(table["target_id"].eq("t2"), table["position"] + 4, table["position"]))
    asked = graft_plan(data.frame, Prior("holes", table), named=[("t0", "t1"), ("t0", "t2")])
    rows = asked.grafts.set_index("donor")
    assert rows.loc["t1", "gaps"] == "03" and rows.loc["t1", "shared"] == len(POCKET) - 1 and rows.loc["t2", "gaps"] == ""
    strings = dict(zip(asked.plan.edits["cell_id"], asked.plan.variants["string"][asked.plan.edits["target_variant"]], strict=True))
    sequence = data.targets.set_index("target_id")["sequence"]
    new = strings[rows.loc["t2", "first_cell"]]
    assert "".join(new[p] for p in POCKET) == "".join(sequence["t2"][p + 4] for p in POCKET)
    assert strings[rows.loc["t1", "first_cell"]][POCKET[3]] == sequence["t0"][POCKET[3]]


def test_lots_depend_on_content_not_on_order_or_ids():
    data, prior = made(n=8)
    one = graft(reads(POCKET), data, prior, draws=20)
    mixed = replace(data, pairs=data.pairs.sample(frac=1, random_state=0), targets=data.targets.iloc[::-1].reset_index(drop=True))
    pd.testing.assert_frame_equal(one.table, graft(reads(POCKET), mixed, prior, draws=20).table)
    names = {f"t{i}": f"s{7 - i}" for i in range(8)}
    renamed = replace(data, pairs=data.pairs.assign(target_id=data.pairs["target_id"].map(names)),
                      targets=data.targets.assign(target_id=data.targets["target_id"].map(names)))
    other = graft(reads(POCKET), renamed, Prior("renamed", prior.table.assign(target_id=prior.table["target_id"].map(names))), draws=20)
    assert {(names[a], names[b]) for a, b in zip(one.grafts["acceptor"], one.grafts["donor"], strict=True)} == set(
        zip(other.grafts["acceptor"], other.grafts["donor"], strict=True))
    assert graft_plan(data.frame, prior, seed=1).plan.hash != graft_plan(data.frame, prior).plan.hash


def test_what_cannot_be_grafted_is_named():
    data, prior = made()
    cut = graft_plan(data.frame, Prior("some", prior.table[prior.table["target_id"].ne("t3") | prior.table["label"].lt("10")]))
    assert cut.ungrafted.values.tolist() == [["t3", "", "10 of 20 pocket residues are there and read by the model, fewer than 18"]]
    assert "t3" not in {*cut.grafts["acceptor"], *cut.grafts["donor"]}
    blind = Reading(max_target_length=60)
    with pytest.raises(InputError, match="Nothing can be grafted.*read by the model"): graft_plan(data.frame, prior, blind)
    sequence = data.targets["sequence"][0]
    twin = sequence[:-1] + ("C" if sequence[-1] == "A" else "A")
    like = replace(data, targets=data.targets.assign(sequence=[sequence, twin, *data.targets["sequence"][2:]]))
    named = graft_plan(like.frame, prior, named=[("t0", "t1"), ("t0", "t2")])
    assert named.ungrafted.values.tolist() == [["t0", "t1", "0 differing pocket residues, fewer than 10"]]
    assert named.grafts["donor"].tolist() == ["t2"]


def test_bad_input_is_named():
    data, prior = made()
    bad = [(dict(partners=0), "partners 0"), (dict(repeats=0), "repeats 0"), (dict(named=[("t0", "x")]), "'x' – not in the data"),
           (dict(named=[("t0", "t0")]), "the acceptor itself")]
    for options, message in bad:
        with pytest.raises(InputError, match=message): graft_plan(data.frame, prior, **options)
    with pytest.raises(InputError, match="full grid"): graft_plan(data.frame.iloc[1:], prior)
    with pytest.raises(InputError, match="which residues of two targets correspond.*t0"):
        label_positions(Prior("twice", prior.table.assign(label="7")), ["t0", "t1"])


def test_a_model_that_hardly_differs_has_no_share_and_says_so():
    data, prior = made()
    flat = graft(FunctionPredictor(lambda smiles, sequences: np.zeros(len(smiles))), data, prior, draws=20)
    assert flat.scores["n"].eq(0).all() and flat.scores[["value", "low", "high"]].isna().all().all()


def test_planted_readers_of_pocket_and_shortcut():
    planted = plant(PlantedOptions(targets=60, drugs=4, families=6))
    found = {name: graft(Reader(planted.words, r), planted.dataset, planted.prior, partners=1, draws=50) for name, r in (("p", 0.0), ("s", 1.0))}
    assert found["p"].scores["value"].tolist() == [1, 0, 1] and found["s"].scores["value"].tolist() == [0, 0, 0]
    chart = graft_chart({name: graft_curve(result.table) for name, result in found.items()})
    assert chart.alt.endswith("p, s.") and set(found["p"].tables()) == {"scores", "table", "grafts", "ungrafted"}


def test_kinases_of_davis_are_aligned_by_their_klifs_positions(mirror):
    davis = load_davis()
    some = davis.select(davis.pairs[davis.pairs["target_id"].isin(["ABL1", "SRC", "EGFR"])]["pair_id"])
    asked = graft_plan(some.frame, KlifsPocket().annotate(some.targets[some.targets["target_id"].isin(["ABL1", "SRC", "EGFR"])]))
    abl = asked.grafts[asked.grafts["acceptor"].eq("ABL1")].set_index("donor")
    assert abl.loc["SRC", ["shared", "gaps", "differing"]].tolist() == [85, "", 34]
    parent = some.targets.set_index("target_id")["sequence"]["ABL1"]
    edits = asked.plan.variants[asked.plan.variants["string"].str.len().eq(len(parent)) & asked.plan.variants["parent_id"].eq("ABL1")]
    gatekeeper = 315 + 37 - 1 # T315 in the protein's own numbering; SRC and EGFR have threonine there, too
    assert parent[gatekeeper] == "T" and set(edits["string"].str[gatekeeper]) == {"T"} and edits["string"].nunique() > 4


def test_the_answers_are_read_as_they_were_asked():
    data, prior = made(n=4)
    asked = graft_plan(data.frame, prior, partners=1, repeats=2)
    table = graft_table(asked, respond(asked.plan, reads(np.arange(110))))
    model, sequence = reads(np.arange(110)), data.targets.set_index("target_id")["sequence"]
    strings = asked.plan.variants["string"]
    for row in table.itertuples():
        first = asked.grafts.set_index("acceptor").at[row.acceptor, "first_cell"]
        pairs = asked.plan.pairs.query("drug_id == @row.drug_id and target_id == @row.acceptor")
        edits = asked.plan.edits[asked.plan.edits["pair_id"].isin(pairs["pair_id"])].set_index("cell_id")["target_variant"]
        ask = lambda text, smiles=pairs["smiles"].item(): model([smiles], [text])[0]
        assert np.isclose(row.A, ask(sequence[row.acceptor])) and np.isclose(row.B, ask(sequence[row.donor])) and np.isclose(row.gap, row.B - row.A)
        assert np.isclose(row.graft, ask(strings[edits[first]]) - row.A)
        assert np.isclose(row.control, np.mean([ask(strings[edits[first + 1 + i]]) for i in range(2)]) - row.A)


def test_the_command_reads_a_table_and_a_prior_with_labels(tmp_path, monkeypatch):
    data, prior = made(n=4)
    data.frame[["drug_id", "target_id", "smiles", "sequence", "affinity"]].to_csv(tmp_path / "pairs.csv", index=False)
    prior.table[["target_id", "position", "label"]].to_csv(tmp_path / "prior.csv", index=False)
    (tmp_path / "grafted_models.py").write_text("def alanines(smiles, sequences): return [t[25:85].count('A') for t in sequences]\n")
    monkeypatch.chdir(tmp_path)
    command = "graft grafted_models:alanines --dataset pairs.csv --threshold 7 --prior prior.csv --json --quiet --draws 20".split()
    done = CliRunner().invoke(app, [*command, "--pair", "t0:t1", "--out", "found"])
    assert done.exit_code == 0, done.output
    assert [(row["drug_id"], row["acceptor"], row["donor"]) for row in json.loads(done.stdout)["table"]] == [("d0", "t0", "t1"), ("d1", "t0", "t1")]
    assert {p.name for p in Path("found").iterdir()} == {"scores.csv", "table.csv", "grafts.csv", "ungrafted.csv", "figure.svg"}
    for wrong, message in (("--pair=t0", "not ACCEPTOR:DONOR"), ("--pair=t0:t9", "not in the data"), ("--drug=d9", "not in the data")):
        refused = CliRunner().invoke(app, [*command, wrong])
        assert refused.exit_code == 2 and message in refused.stderr
