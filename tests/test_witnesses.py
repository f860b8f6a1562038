"""Curves, attributions and joint edits: numbers against plain ones, answers worked out by hand, and what must hold of every model."""
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from isaac.attribution import (
    PERTURBING,
    Settings,
    asked_by,
    attribute,
    attribution_plan,
    credited,
    integrated_gradients,
    membership_auroc,
    plan_attributions,
    top_shares,
    windows,
    witness_table,
)
from isaac.chemistry import DrugReading, smarts_prior
from isaac.cli import app
from isaac.core import InputError, IsaacError
from isaac.curves import METRICS, curves, weighted_concordance, weighted_metrics
from isaac.drug_plan import DrugDesign, drug_plan
from isaac.engine import respond
from isaac.joint import JOINT, crossed, effects, joint_plan, joint_tables
from isaac.metrics import regression_metrics
from isaac.models import TAPB, DeepConvDTI, DeepDTA, untrained
from isaac.plan import Design, make_plan
from isaac.predictors import FunctionPredictor
from isaac.priors import prior_from_table
from isaac.scan import scan

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def frame(sequences, drugs=("C", "CC")):
    rows = [(f"d{j}", f"t{i}", d, s) for i, s in enumerate(sequences) for j, d in enumerate(drugs)]
    return pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"]).rename_axis("pair_id").reset_index()


def marked(pairs, positions):
    targets = pairs[["target_id", "sequence"]].drop_duplicates()
    rows = [(t, p) for t in targets["target_id"] for p in positions]
    return prior_from_table(pd.DataFrame(rows, columns=["target_id", "position"]), targets, base=0)


def random_sequences(n, length, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS), length)) for _ in range(n)]


# Curves

@profile(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)), min_size=4, max_size=30), st.integers(1, 3))
def test_a_weighted_metric_is_that_of_a_table_with_copies(rows, block):
    y, f, weights = np.array(rows, float).T
    copies = weights.astype(int)
    found = weighted_metrics(y, f[None], weights[None], 2.0)[:, 0]
    if not copies.any(): return
    plain = regression_metrics(np.repeat(y, copies), np.repeat(f, copies), 2.0)
    assert np.allclose(found, [plain[m] for m in METRICS], atol=1e-5, equal_nan=True)
    assert np.isclose(weighted_concordance(y, f[None], weights[None], rows=block)[0], plain["ci"], atol=1e-5, equal_nan=True)


def test_curves_do_not_depend_on_the_order_of_pairs_and_begin_at_the_plain_metrics():
    pairs = frame(random_sequences(5, 90), ("C", "CC", "CCO"))
    pairs["affinity"] = np.random.default_rng(1).normal(6, 1, len(pairs)).round(2)
    model = lambda smiles, sequences: np.array([len(d) / 3 + s[20:60].count("K") - s.count("X") / 9 for d, s in zip(smiles, sequences, strict=True)])
    prior = marked(pairs, range(40, 48))
    options = dict(matchings=("geometry", "composition"), shares=("30%", "100%"), flank=1, min_prior=3, threshold=6.0)
    plan, found = curves(model, pairs, prior, **options, draws=50)
    _, again = curves(model, pairs.sample(frac=1, random_state=0), prior, **options, draws=50)
    for name, table in found.tables().items(): pd.testing.assert_frame_equal(table, again.tables()[name])
    plain = regression_metrics(pairs["affinity"], model(pairs["smiles"], pairs["sequence"]), 6.0)
    start = found.points.query("share == 0")
    assert len(start) == 2 * 4 * 4 and all(np.isclose(rows["value"], plain[metric]).all() for metric, rows in start.groupby("metric"))
    masked = plan.edits.merge(plan.cells).query("operator == 'mask' and pair_id == 0").assign(
        places=lambda e: plan.variants["positions"].to_numpy()[e["target_variant"]])
    own = masked[masked["arm"].eq("mechanistic")].set_index(["dose", "repeat"])["places"]
    for row in masked[masked["arm"].eq("control")].itertuples():
        there = own[row.dose, row.repeat]
        assert len(there) == len(row.places) and (row.matching != "geometry" or len(set(row.places - there)) == 1) # a translation, share by share


# Attribution

@given(st.integers(1, 400), st.integers(1, 30))
def test_windows_are_of_one_width_give_or_take_one(residues, width):
    sizes = np.bincount(windows(residues, width))
    assert sizes.sum() == residues and np.ptp(sizes) <= 1 and sizes.min() >= 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 12))
def test_the_strongest_share_their_places(sizes, k):
    shares = top_shares(np.array(sizes, float), k)
    assert np.isclose(shares.sum(), min(k, len(sizes))) and shares.min() >= 0 and shares.max() <= 1 + 1e-12
    assert all(np.ptp(shares[np.array(sizes) == s]) < 1e-12 for s in set(sizes))


@given(st.lists(st.integers(0, 5), min_size=4, max_size=30), st.data())
def test_membership_is_ranked_as_scikit_learn_ranks_it(sizes, data):
    members = data.draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1, max_size=len(sizes) - 1))
    expected = roc_auc_score(np.isin(np.arange(len(sizes)), list(members)), sizes)
    assert np.isclose(membership_auroc(np.array(sizes), np.array([sorted(members)]))[0], expected)


@profile(max_examples=15)
@given(st.integers(2, 7), st.integers(0, 10**6))
def test_shapley_shares_out_the_whole_difference_and_sobol_is_a_share(players, seed):
    table = np.random.default_rng(seed).normal(size=2**players)
    game = lambda masked: table[(~masked @ (2 ** np.arange(players)))][:, None]
    settings = Settings(permutations=3, samples=32)
    for name in ("shapley", "sobol"):
        credit = PERTURBING[name](players, settings, np.uint64(seed))
        questions = asked_by(credit, players)
        assert (questions == asked_by(credit, players)).all() # Captum asks the same again
        found = credited(credit, game(questions))[0]
        if name == "shapley": assert np.isclose(found.sum(), table[-1] - table[0])
        else: assert found.min() >= 0


def test_occlusion_of_single_residues_is_the_scan():
    pairs = frame(random_sequences(3, 40))
    weights = np.random.default_rng(3).normal(size=(40, 256))
    of = lambda text: np.tanh(sum(weights[i, ord(c)] for i, c in enumerate(text)))
    model = lambda smiles, sequences: [len(d) * of(s) for d, s in zip(smiles, sequences, strict=True)]
    settings = Settings(occluded=1)
    plan = attribution_plan(pairs, methods=("occlusion",), settings=settings)
    found = plan_attributions(plan, respond(plan, model), settings).merge(scan(model, pairs), on=["pair_id", "position"])
    assert len(found) == 6 * 40 and np.allclose(found["occlusion"], -found["change"])


def test_attributions_do_not_depend_on_order_or_company():
    pairs = frame(random_sequences(4, 50))
    model = lambda smiles, sequences: [sum(ord(c) * (i % 7) for i, c in enumerate(s)) % 101 + len(d) for d, s in zip(smiles, sequences, strict=True)]
    settings, key = Settings(permutations=2, samples=4), ["pair_id", "position"]
    def ask(some):
        plan = attribution_plan(some, settings=settings)
        return plan_attributions(plan, respond(plan, model), settings).sort_values(key, ignore_index=True)
    whole = ask(pairs)
    pd.testing.assert_frame_equal(whole, ask(pairs.sample(frac=1, random_state=1)))
    alone = ask(pairs[pairs["target_id"].eq("t2")])
    pd.testing.assert_frame_equal(whole[whole["pair_id"].isin(alone["pair_id"])].reset_index(drop=True), alone)


@pytest.mark.parametrize("kind", [DeepDTA, DeepConvDTI, TAPB])
def test_gradients_reach_every_residue_of_each_model(kind, one_thread):
    "A lent table gives the model's own predictions and, with steps enough, the whole difference; no row is left without a gradient."
    from isaac.attribution import _codes_of_vectors, _tower
    from isaac.models.encoders import PROTEIN
    model, pairs = untrained(kind, 3), frame(random_sequences(2, 60), ("CC(=O)Oc1ccccc1C(=O)O",))
    for row in pairs.itertuples():
        tokens = torch.from_numpy(PROTEIN.tokenize([row.sequence]).flat.astype(np.int64))
        vectors = _tower(model).embedding(tokens)[None].detach().repeat(2, 1, 1).requires_grad_()
        codes = _codes_of_vectors(model, vectors)
        value = model.output(model.drug_codes([row.smiles])[np.zeros(2, np.int64)], codes)
        assert np.allclose(value.detach(), model.predict([row.smiles], [row.sequence])[0], atol=1e-5)
        gradient = torch.autograd.grad(value.sum(), vectors)[0]
        assert torch.allclose(gradient[0], gradient[1], atol=1e-6) and gradient.isfinite().all()
        if kind is TAPB: assert (gradient.abs().sum(-1) > 0).all() # each residue has a state of its own
    found = integrated_gradients(model, pairs, Settings(steps=64))
    base = model.predict(pairs["smiles"], ["X" * 60] * 2)
    whole = model.predict(pairs["smiles"], pairs["sequence"]) - base
    assert found["incomplete"].max() < 0.2 # the maximum over windows has kinks
    assert np.allclose(found.groupby("pair_id")["integrated_gradients"].sum(), whole, atol=0.2 * np.abs(whole).max() + 1e-5)


def test_what_the_model_does_not_read_is_not_asked():
    pairs = frame(random_sequences(2, 30))
    model = FunctionPredictor(lambda smiles, sequences: [s[:20].count("K") + 0.1 * s[:20].count("A") for s in sequences], max_target_length=20)
    found = attribute(model, pairs, marked(pairs, (3, 7, 9)), ("occlusion",), Settings(occluded=3), min_prior=3)
    assert found.residues.groupby("pair_id")["position"].max().eq(19).all()
    table = witness_table(found, k=3, draws=20)
    assert table.query("measure == 'chance'")["value"].eq(3 / 20).all()


def test_a_missing_captum_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(IsaacError, match=r"captum.*isaac-audit\[attribution\]"): attribution_plan(frame(["ACDEFGHIKL"]), methods=("shapley",))


# Joint edits

TEXT = DrugReading("smiles", None, "*")
DRUGS = ("CSCCCOC", "COCCCSCC")
CROSS = dict(matching="uniform", drug_operator="mask", drug_matching="uniform", min_prior=2, how=TEXT, repeats=2)


def both_sides():
    pairs = frame(random_sequences(3, 40), DRUGS)
    return pairs, marked(pairs, (5, 11, 12)), smarts_prior(pairs[["drug_id", "smiles"]].drop_duplicates(), "[S,O]", "polar")


@profile(max_examples=5)
@given(st.integers(0, 10**6))
def test_sums_do_not_interact_and_products_do_as_products_must(seed):
    pairs, prior, atoms = both_sides()
    weights = np.random.default_rng(seed).normal(size=(2, 60, 128))
    of = lambda side, text: sum(weights[side, i, ord(c)] for i, c in enumerate(text))
    sums = lambda smiles, sequences: [of(0, d) + of(1, s) for d, s in zip(smiles, sequences, strict=True)]
    products = lambda smiles, sequences: [of(0, d) * of(1, s) for d, s in zip(smiles, sequences, strict=True)]
    plan = joint_plan(sums, pairs, prior, atoms, **CROSS)
    apart, together = (effects(plan, respond(plan, model)) for model in (sums, products))
    drug, target = (np.array([of(side, text) for text in plan.pairs[name]]) for side, name in ((0, "smiles"), (1, "sequence")))
    for arms in JOINT:
        assert np.abs(apart[arms]["interaction"]).max() < 1e-9
        moved = together[arms]["pocket"] / drug[:, None], together[arms]["drug"] / target[:, None] # h(t') − h(t), g(d') − g(d)
        assert np.allclose(together[arms]["interaction"], moved[0] * moved[1])
    assert joint_tables(plan, respond(plan, sums), draws=20).scores["status"].eq("no response").all()


def test_each_side_alone_is_asked_as_by_its_own_plan():
    pairs, prior, atoms = both_sides()
    model = lambda smiles, sequences: [len(set(d)) * s.count("K") + s.count("A") for d, s in zip(smiles, sequences, strict=True)]
    draws = dict(repeats=2, intervention_seeds=1)
    target = make_plan(pairs, prior, design=Design(operators=("mask",), matchings=("uniform",), doses=("100%",), min_prior=2, **draws))
    drug = drug_plan(pairs, atoms, TEXT, design=DrugDesign(operators=("mask",), matchings=("uniform",), doses=("100%",), **draws))
    plan = crossed(target, drug)
    assert plan.hash == joint_plan(model, pairs, prior, atoms, **CROSS).hash
    edited = lambda p, column: p.edits.assign(text=p.variants["string"].to_numpy()[p.edits[column]]).merge(p.cells, on="cell_id")
    for part, column, name in ((target, "target_variant", "{} × none"), (drug, "drug_variant", "none × {}")):
        alone, within = edited(part, column), edited(plan, column)
        for arm in ("mechanistic", "control"):
            mine, theirs = alone[alone["arm"].eq(arm)], within[within["arm"].eq(name.format(arm))]
            assert sorted(zip(mine["pair_id"], mine["text"], strict=True)) == sorted(zip(theirs["pair_id"], theirs["text"], strict=True))
    with pytest.raises(InputError, match="numbers of draws"):
        crossed(target, drug_plan(pairs, atoms, TEXT, design=DrugDesign(operators=("mask",), matchings=("uniform",), doses=("100%",), repeats=3,
                                                                      intervention_seeds=1)))


# The command line

MODEL = '''
def count(smiles, sequences):
    return [6 + (("S" in d) + 1) * s[10:20].count("K") / 4 - s.count("X") / 50 for d, s in zip(smiles, sequences, strict=True)]
'''


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("witnesses")
    pairs = frame(["GA" * 5 + s[:10].replace(s[3], "K") + s for s in random_sequences(4, 60)], DRUGS)
    pairs["affinity"] = np.random.default_rng(0).normal(7, 1, len(pairs)).round(2)
    pairs.drop(columns="pair_id").to_csv(folder / "pairs.csv", index=False)
    pocket = [(t, p) for t in pairs["target_id"].unique() for p in range(10, 20)]
    pd.DataFrame(pocket, columns=["target_id", "position"]).to_csv(folder / "pocket.csv", index=False)
    (folder / "counting.py").write_text(MODEL)
    return folder


@pytest.mark.parametrize("command, options, tables", [
    ("curves", ["--shares", "50%,100%", "--matchings", "uniform", "--flank", "0", "--draws", "20"], {"points", "areas", "unauditable"}),
    ("attribute", ["--witnesses", "occlusion,sobol", "--samples", "2", "--targets", "2"], {"witnesses", "segments", "disagreements", "unauditable"}),
    ("joint", ["--matching", "uniform", "--drug-matching", "uniform", "--atoms", "smarts:[S,O]"], {"scores", "arms", "unauditable"}),
])
def test_commands_print_and_write_their_tables(command, options, tables, study, monkeypatch):
    monkeypatch.chdir(study)
    monkeypatch.syspath_prepend(str(study))
    given = [command, "counting:count", "--dataset", "pairs.csv", "--unit", "pKd", "--threshold", "7", "--prior", "pocket.csv:0", *options, "--quiet"]
    done = CliRunner().invoke(app, [*given, "--json", "--out", command])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == tables and all((study / command / f"{name}.csv").exists() for name in tables)
    assert (study / command / "figure.svg").read_text().startswith("<svg")
    assert f"Example: isaac {command}" in CliRunner().invoke(app, [command, "--help"]).stdout


def test_commands_refuse_what_they_cannot_ask(study, monkeypatch):
    monkeypatch.chdir(study)
    monkeypatch.syspath_prepend(str(study))
    given = ["counting:count", "--dataset", "pairs.csv", "--unit", "pKd", "--threshold", "7", "--prior", "pocket.csv:0", "--quiet"]
    for command, options, says in (("curves", ["--shares", "7"], "not a percentage"), ("attribute", ["--witnesses", "astrology"], "astrology"),
                                   ("attribute", ["--witnesses", "integrated_gradients"], "embedding"), ("joint", ["--atoms", "warhead"], "warhead")):
        done = CliRunner().invoke(app, [command, *given, *options])
        assert done.exit_code == 2 and says in done.stderr, done.output
