"""Known answers, worked out by hand and for random plans; and that a battery fails when it should."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy import write_toy
from typer.testing import CliRunner

from isaac.cli import app
from isaac.controls import (
    background_only,
    battery,
    combined,
    contrasts,
    drug_only,
    drug_specific,
    exact_checks,
    hide,
    label_shuffled,
    mixture,
    mixture_errors,
    null_check,
    null_scores,
    one_drug,
    pocket_identity,
    prior_only,
    responding,
    reversal_errors,
    small_grid,
)
from isaac.core import InputError, stream_key
from isaac.datasets import DTIDataset
from isaac.engine import distinct_questions, respond
from isaac.models import DeepDTA, TrainingConfig
from isaac.models.encoders import untrained
from isaac.plan import Design, make_plan
from isaac.predictors import Reading, reading
from isaac.priors import Prior
from isaac.scores import reasoning_score
from isaac.studies import untrained_null

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"channels": [8, 8, 8], "embedding": 16, "hidden": [32, 16]}


def prior_of(residues: dict) -> Prior: # (target, drug or None) → positions
    rows = [(t, d, p) for (t, d), positions in residues.items() for p in positions]
    table = pd.DataFrame(rows, columns=["target_id", "drug_id", "position"])
    return Prior("made up", table.assign(label="", segment="", source=""))


def dataset(drugs: dict, targets: dict, **more) -> DTIDataset:
    tables = [pd.DataFrame(d.items(), columns=c) for d, c in ((drugs, ["drug_id", "smiles"]), (targets, ["target_id", "sequence"]))]
    pairs = tables[0][["drug_id"]].merge(tables[1][["target_id"]], how="cross").assign(affinity=5.0, censored=False, fold="", **more)
    return DTIDataset("toy", *tables, pairs.rename_axis("pair_id").reset_index(), "pKd", 7.0)


def lysines(smiles, sequences): return [float(t.count("K") * len(d)) for d, t in zip(smiles, sequences, strict=True)]


def hashed(smiles, sequences):
    "Any two questions get different answers."
    return [float(stream_key(d, t) >> np.uint64(40)) * 2.0**-24 for d, t in zip(smiles, sequences, strict=True)]


# ---- worked out by hand

HAND = dataset({"d": "CC"}, {"t": "AAKKKA" + "K" * 20})
HAND_PRIOR = prior_of({("t", None): (1, 2, 3, 4)})
HAND_PLAN = make_plan(HAND.frame, HAND_PRIOR, design=Design(operators=("mask",), matchings=("geometry",), doses=("100%",), repeats=3,
                                                             intervention_seeds=1, min_prior=1))


def answers(plan=HAND_PLAN, prior=HAND_PRIOR, model=lysines):
    return [respond(p, model) for p in (plan, prior_only(plan, prior), background_only(plan, prior), drug_only(plan))]


def rs(plan, responses): return list(responding(contrasts(plan, responses)).values())


def test_a_pocket_with_three_lysines_against_four_in_every_control():
    "Masking the pocket costs 3 × 2, masking any control 4 × 2."
    whole, inside, outside, nothing = answers()
    assert rs(HAND_PLAN, whole) == [3 / 7] and rs(HAND_PLAN, inside) == [1] and rs(HAND_PLAN, outside) == [0] and rs(HAND_PLAN, nothing) == []
    arm, = contrasts(HAND_PLAN, inside).values()
    assert arm.mechanistic.tolist() == [[-6] * 3] and not arm.control.any()
    arm, = contrasts(HAND_PLAN, outside).values()
    assert arm.control.tolist() == [[-8] * 3] and not arm.mechanistic.any()
    assert rs(HAND_PLAN, mixture(0.25, inside, outside)) == [1.5 / (1.5 + 6)]
    assert mixture_errors(HAND_PLAN, inside, outside, shares=(0.0, 1.0)) == {("mask", "geometry", "100%"): 0}


def test_a_sum_of_models_adds_values_and_noise():
    whole, inside, *_ = answers()
    total = combined((2.0, whole), (-1.0, inside))
    assert np.array_equal(total.table["value"], 2 * whole.table["value"] - inside.table["value"])
    assert total.noise == 2 * whole.noise + inside.noise


def test_the_sign_reversed_model_has_the_same_score_and_rises_where_the_other_falls():
    whole, *_ = answers()
    reversed_ = combined((-1.0, whole))
    assert rs(HAND_PLAN, reversed_) == [3 / 7] and set(reversal_errors(HAND_PLAN, whole).values()) == {0}
    (a,), (b,) = (contrasts(HAND_PLAN, r).values() for r in (whole, reversed_))
    assert (a.mechanistic == -6).all() and (b.mechanistic == 6).all()


# ---- for any plan

@st.composite
def audits(draw):
    "Two drugs, up to three targets of which two may share a sequence, priors that may differ per drug, and what the model reads."
    letters, runs = st.sampled_from("ACDEFGHIKLMNPQRSTVWY"), {}
    targets = {f"t{i}": "".join(draw(st.lists(letters, min_size=24, max_size=40))) for i in range(draw(st.integers(2, 3)))}
    if draw(st.booleans()): targets["t1"] = targets["t0"]
    positions = st.lists(st.integers(0, 23), min_size=2, max_size=6, unique=True)
    for t in targets:
        runs[t, None] = draw(positions)
        if draw(st.booleans()): runs[t, "d1"] = draw(positions)
    how = Reading(max_target_length=draw(st.sampled_from([None, 20, 30])), truncation=draw(st.sampled_from(["right", "left"])))
    design = Design(operators=("mask", "substitute"), matchings=(draw(st.sampled_from(["uniform", "domain", "geometry", "composition", "strict"])),),
                    doses=(1, "100%"), repeats=2, intervention_seeds=1, min_prior=1)
    data, prior = dataset({"d0": "CO", "d1": "CN"}, targets), prior_of(runs)
    return make_plan(data.frame, prior, how, design), prior


@settings(max_examples=20)
@given(audits())
def test_known_answers_hold_for_every_plan(case):
    plan, prior = case
    arms = contrasts(plan, respond(plan, hashed))
    assume(any(arm.responds for arm in arms.values()))
    wrong = [k for k in exact_checks(plan, prior, hashed) if k.passed is False]
    assert wrong == []


@settings(max_examples=20)
@given(audits())
def test_each_pair_sees_its_own_prior_and_nothing_else(case):
    plan, prior = case
    asked = {name: p.variants["string"].to_numpy()[p.edits["target_variant"]] for name, p in
             (("whole", plan), ("inside", prior_only(plan, prior)), ("outside", background_only(plan, prior)))}
    own = {(r.target_id, d): set() for r in prior.table.itertuples() for d in ("d0", "d1")}
    for d in ("d0", "d1"):
        for t in {t for t, _ in own}:
            mine = prior.table[prior.table["target_id"].eq(t)]
            specific = mine[mine["drug_id"].eq(d)]
            own[t, d] = set(specific["position"] if len(specific) else mine[mine["drug_id"].isna()]["position"])
    pairs = plan.pairs.set_index("pair_id").loc[plan.edits["pair_id"]]
    for drug, target, whole, inside, outside in zip(pairs["drug_id"], pairs["target_id"], *asked.values(), strict=True):
        n, length = len(whole), plan.reading.max_target_length or len(whole)
        visible = range(min(n, length)) if plan.reading.truncation == "right" else range(max(0, n - length), n)
        prior_here = own[target, drug] & set(visible)
        assert inside == "".join(a if i in prior_here else "X" for i, a in enumerate(whole))
        assert outside == "".join("X" if i in prior_here else a for i, a in enumerate(whole))


def test_the_rewritten_plan_does_not_depend_on_the_order_of_pairs():
    data = dataset({"d0": "CO", "d1": "CN"}, {"t0": "ACDEFGHIKL" * 4, "t1": "LKIHGFEDCA" * 4})
    prior, design = prior_of({("t0", None): (3, 4, 9), ("t1", None): (5, 6, 7), ("t1", "d1"): (20, 21)}), Design(min_prior=1, doses=(1, "100%"))
    plans = [make_plan(frame, prior, design=design) for frame in (data.frame, data.frame[::-1])]
    for rewrite in (prior_only, background_only):
        one, other = (rewrite(p, prior) for p in plans)
        assert one.hash == other.hash != plans[0].hash and one.variants["variant_id"].is_unique
        questions = distinct_questions(one)
        assert len(questions) < len(distinct_questions(plans[0])) and len(questions.answer) == len(one.edits)


def test_other_alphabets_are_masked_by_their_own_letter():
    data, prior = dataset({"d": "C"}, {"t": "GATTACA" * 5}), prior_of({("t", None): (7, 8, 9)})
    plan = make_plan(data.frame, prior, Reading(mask_token="N"), Design(operators=("mask",), doses=(2,), min_prior=1, alphabet="dna"))
    seen = prior_only(plan, prior).variants.query("side == 'target'")["string"]
    assert seen.iloc[0] == "N" * 7 + "GAT" + "N" * 25


def test_hiding_nothing_asks_the_same_questions():
    again = hide(HAND_PLAN, [np.array([], dtype=int)])
    for plan in (HAND_PLAN, again): assert len(distinct_questions(plan)) == len(distinct_questions(HAND_PLAN))
    assert respond(again, lysines).table.equals(respond(HAND_PLAN, lysines).table)


def test_another_prior_and_other_questions_are_refused():
    for other in ((1, 2, 3), (2, 3, 4, 5)):
        with pytest.raises(InputError, match="not the one that the plan was made with.*target t"):
            prior_only(HAND_PLAN, prior_of({("t", None): other}))
    whole = respond(HAND_PLAN, lysines)
    with pytest.raises(InputError, match="different questions"): combined((1.0, whole), (1.0, replace(whole, table=whole.table[::-1])))


# ---- drug-specific reliance

def test_a_name_badge_is_no_drug_specific_response_but_an_interaction_is():
    data = dataset({f"d{n}": "C" * (n + 1) for n in range(3)}, {t: t * 8 for t in ("ACDEF", "GHACD", "FEDCA")})
    prior = toy_prior(data, (10, 11, 12, 20, 21))
    plan = make_plan(data.frame, prior, design=Design(matchings=("uniform",), doses=(2,), repeats=2, intervention_seeds=1, min_prior=1))
    badge = pocket_identity(*(respond(p, hashed) for p in (one_drug(prior_only(plan, prior)), drug_only(plan))))
    assert rs(plan, badge) == [1.0, 1.0] and responding(drug_specific(plan, badge)) == {}
    assert len(responding(drug_specific(plan, respond(prior_only(plan, prior), hashed)))) == 2


def test_targets_whose_drugs_have_pockets_of_their_own_are_left_out():
    data = dataset({"d0": "C", "d1": "CC"}, {f"t{i}": "ACDEFGHIKL"[i:] * 5 for i in range(3)})
    residues = {(f"t{i}", None): (10, 11, 12) for i in range(3)}
    def arms(*with_another):
        prior = prior_of(residues | {(t, "d1"): (20, 21, 22) for t in with_another})
        plan = make_plan(data.frame, prior, design=Design(doses=(2,), min_prior=1))
        return drug_specific(plan, respond(plan, hashed))
    assert {len(arm.m) for arm in arms("t1").values()} == {4} and arms("t1", "t2") == {}


# ---- batteries

def toy_prior(data, residues): return prior_of({(t, None): residues for t in data.targets["target_id"]})


@pytest.fixture(scope="module")
def toy(tmp_path_factory): return write_toy(tmp_path_factory.mktemp("controls"))


@pytest.fixture(scope="module")
def toy_data(toy): return DTIDataset.from_frame(pd.read_csv(toy.parent / "pairs.csv"), threshold=6.5)


def test_a_model_that_ignores_the_target_can_show_nothing(toy_data):
    found = battery(lambda smiles, sequences: [len(d) for d in smiles], toy_data, toy_prior(toy_data, range(40, 60)), targets=4).set_index("check")
    assert found["passed"].map({True: "pass", False: "fail", None: "unknown"}).to_dict() == {
        "prior only": "unknown", "background only": "unknown", "mixtures of the two": "unknown", "constant": "pass", "drug only": "pass",
        "pocket as a name badge": "unknown", "the same, drug-specific": "pass", "sign reversed": "unknown"}


def test_doses_that_some_targets_do_not_have_are_asked_of_the_others(toy_data):
    first, *others = toy_data.targets["target_id"]
    prior = prior_of({(first, None): range(40, 60)} | {(t, None): range(40, 52) for t in others})
    design = Design(operators=("mask",), matchings=("uniform",), doses=(5, 20), repeats=1, intervention_seeds=1)
    plan = make_plan(toy_data.frame, prior, design=design)
    own, common = (contrasts(plan, respond(plan, hashed), common) for common in (False, True))
    assert [len(arm.m) for arm in own.values()] == [120, 6] and [len(arm.m) for arm in common.values()] == [6, 6]
    assert {k.passed for k in exact_checks(plan, prior, hashed)} == {True}


def test_where_nothing_is_auditable_nothing_is_right(toy_data):
    found = battery(lysines, toy_data, toy_prior(toy_data, range(40, 45)), targets=4)
    assert found["passed"].isna().all() and len(found) == 8


def test_without_a_prior_there_is_no_battery(toy_data):
    with pytest.raises(InputError, match="None of the targets"): battery(lysines, toy_data, prior_of({("elsewhere", None): (1, 2)}))


def test_small_grids_ignore_order_and_repeated_content(toy_data):
    prior = toy_prior(toy_data, range(40, 60))
    one = small_grid(toy_data, prior, drugs=3, targets=5)
    turned = replace(toy_data, drugs=toy_data.drugs[::-1], targets=toy_data.targets[::-1], pairs=toy_data.pairs[::-1])
    twins = toy_data.targets.assign(target_id="z" + toy_data.targets["target_id"])
    doubled = replace(toy_data, targets=pd.concat([toy_data.targets, twins]))
    assert len(one.pairs) == 15 and one.hash == small_grid(turned, prior, 3, 5).hash == small_grid(doubled, prior, 3, 5).hash


def test_null_scores_are_those_of_untrained_null(toy_data):
    design = Design(operators=("substitute",), matchings=("geometry", "uniform"), doses=(5,), repeats=1, intervention_seeds=1)
    prior, example = toy_prior(toy_data, range(40, 60)), DeepDTA(**SMALL)
    plan = make_plan(toy_data.frame, prior, reading(example), design)
    null = null_scores((untrained(example, seed) for seed in range(2)), plan)
    assert np.array_equal(null["RS"], untrained_null(example, toy_data, prior, 2, design)["RS"])
    alone = contrasts(plan, respond(plan, untrained(example, 1)))
    assert null.query("network == 1")["RS"].tolist() == [float(reasoning_score(arm)) for arm in alone.values()]


def test_networks_that_answer_rounding_have_no_score(toy_data):
    "Answers that differ in the last digit of single precision alone: by a sixteenth, at a million."
    design = Design(operators=("mask",), matchings=("uniform",), doses=(5,), repeats=2, intervention_seeds=1)
    plan = make_plan(toy_data.frame, toy_prior(toy_data, range(40, 60)), design=design)
    def rounding(smiles, sequences): return (1e6 + np.round(hashed(smiles, sequences)) / 16).astype(np.float32)
    arm, = contrasts(plan, respond(plan, rounding)).values()
    assert (arm.m + arm.s).max() == 1 / 8 and 0 < float(reasoning_score(arm)) < 1 # a number, but of nothing
    null = null_scores([rounding, lambda smiles, sequences: np.zeros(len(smiles)), hashed], plan)
    assert np.isnan(null["RS"]).tolist() == [True, True, False] and (null["pairs"] == len(toy_data.pairs)).all()
    assert null_check("deaf", null.query("network < 2")).passed is None


def scores_of(**by_operator):
    return pd.DataFrame([{"network": i, "operator": o, "matching": "geometry", "dose": "20", "RS": rs, "pairs": 9}
                         for o, many in by_operator.items() for i, rs in enumerate(many)])


quiet, two, one = [0.47, 0.53, 0.5, 0.48, 0.52] * 2, [0.90, 0.95], [0.5]

@pytest.mark.parametrize("scores,passed", [
    ({"mask": quiet}, True), ({"mask": two}, None), ({"mask": one}, None), ({"mask": [0.1]}, None),
    ({"mask": np.add(quiet, 0.2)}, False), ({"mask": np.subtract(quiet, 0.2)}, False), ({"mask": np.add(quiet, 0.04)}, None),
    ({"mask": [0.2, 0.8, 0.5]}, None), ({"mask": quiet, "substitute": two}, None), ({"mask": two, "substitute": np.add(quiet, 0.2)}, False),
    ({"mask": [*quiet, np.nan]}, True), ({"mask": quiet, "substitute": [np.nan] * 10}, None)])
def test_nulls_pass_only_if_their_interval_is_near_one_half(scores, passed):
    found = null_check("null", scores_of(**scores))
    assert found.passed is passed and (("too few networks" in found.found) == (passed is None))


@given(st.floats(0.3, 0.7), st.floats(0.001, 0.2), st.integers(2, 30))
def test_fewer_or_noisier_networks_never_pass_more_easily(mean, sd, n):
    spread = lambda n, sd: scores_of(mask=mean + sd * (z := np.tile([-1, 1], n)) / z.std(ddof=1))
    fewer, noisier, better = (null_check("null", spread(*how)).passed for how in ((n // 2, sd), (n, 2 * sd), (n, sd)))
    assert better is True or (fewer is not True and noisier is not True)


def test_trainings_on_shuffled_labels_see_the_same_pairs_and_learn_something_else(toy_data):
    split, config = toy_data.split("cold-target"), TrainingConfig.of(DeepDTA, epochs=1)
    one, two = label_shuffled(DeepDTA(**SMALL), split, 2, config, "cpu")
    assert np.array_equal(np.sort(one.trained_on), np.sort(two.trained_on)) and len(one.trained_on) == len(split.train.pairs) + len(split.valid.pairs)
    assert not torch.equal(*(next(m.parameters()) for m in (one, two)))


# ---- the command

@pytest.fixture(scope="module")
def arguments(toy):
    "A trained checkpoint, and the questions to it."
    data, out = ["--dataset", str(toy.parent / "pairs.csv"), "--threshold", "6.5"], str(toy.parent / "seed0")
    made = CliRunner().invoke(app, ["train", "deepdta", *data, "--epochs", "1", "--device", "cpu", "--out", out, "--quiet"])
    assert made.exit_code == 0, made.output
    return [out, *data, "--doses", "5", "--matchings", "geometry,uniform", "--targets", "6", "--quiet"]


def call(*arguments): return CliRunner().invoke(app, ["controls", *map(str, arguments)])


def test_the_command_prints_the_battery_of_a_checkpoint(arguments, toy):
    done = call(*arguments, "--prior", toy.parent / "pocket.csv", "--networks", 3, "--shuffled", 1, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    checks = [row["check"] for row in answer["checks"]]
    assert answer["passed"] and len(checks) == 10 and checks[-2:] == ["re-initialised", "label-shuffled"]
    shown = call(*arguments, "--prior", toy.parent / "pocket.csv", "--networks", 0)
    assert shown.exit_code == 0 and "8 of 8 known answers are right" in shown.stdout and "pass" in shown.stdout


def test_the_command_fails_where_an_answer_is_wrong(arguments, toy_data, tmp_path):
    "At the end of a chain fewer windows of a convolution hold a residue, so untrained networks are moved less there than elsewhere."
    ends = pd.DataFrame([(t, p) for t in toy_data.targets["target_id"] for p in range(10)], columns=["target_id", "position"])
    ends.to_csv(tmp_path / "ends.csv", index=False)
    done = call(*arguments, "--prior", tmp_path / "ends.csv", "--networks", 8)
    assert done.exit_code == 1 and "FAIL" in done.stdout and "8 of 9 known answers are right" in done.stdout


def test_the_command_shuffles_labels_of_its_own_checkpoints_only(arguments, toy):
    done = call("isaac.controls:constant", *arguments[1:], "--prior", toy.parent / "pocket.csv", "--shuffled", 1)
    assert done.exit_code == 2 and "shuffled" in done.stderr
