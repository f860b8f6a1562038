"""Comparisons of models whose reasoning scores are known on paper: what varies over pairs, what over trainings, and what is common to all."""
import numpy as np
import pandas as pd
import pytest
from weigher import OPTIONS, Weigher, letter_pairs, pocket_of

from isaac.audit import audit
from isaac.comparison import Comparison, compare
from isaac.core import InputError
from isaac.inference import pair_weights
from isaac.priors import prior_from_table
from isaac.scores import SCORES, contrast


@pytest.fixture(scope="module")
def data(): return letter_pairs()


@pytest.fixture(scope="module")
def prior(data): return pocket_of(data)


@pytest.fixture(scope="module")
def ask(data, prior): return lambda model, name, **given: audit(model, data, prior, name=name, **(OPTIONS | given))


@pytest.fixture(scope="module")
def steady(ask):
    "Trainings with RS 0.6, 0.7 and 0.8 on every pair, and their test metrics."
    return [ask(Weigher(share, {"test": {"auroc": a, "auprc": 0.8, "ci": 0.9, "mse": 0.3}}, seed), "steady")
            for seed, share, a in ((0, 0.6, 0.90), (1, 0.7, 0.93), (2, 0.8, 0.96))]


@pytest.fixture(scope="module")
def other(ask): return ask(Weigher(0.5, {"test": {"auroc": 0.9, "auprc": 0.7, "ci": 0.8}}), "other")


def at(frame, score="RS", matching="uniform"): return frame[frame["score"].eq(score) & frame["matching"].eq(matching)]


def test_values_and_seed_intervals_are_those_worked_out_by_hand(steady, other):
    found = compare([*steady, other])
    row = found.models.set_index("model").loc["steady"]
    assert np.allclose(row[["RS", "RS_low", "RS_high"]].astype(float), [0.7, 0.7 - 4.302653 * 0.1 / 3**0.5, 0.7 + 4.302653 * 0.1 / 3**0.5])
    odds = np.log([6 / 4, 7 / 3, 8 / 2])
    assert np.isclose(row["log_odds"], odds.mean()) and np.isclose(row["log_odds_high"] - odds.mean(), 4.302653 * odds.std(ddof=1) / 3**0.5)
    assert np.allclose(row[["auroc", "auroc_sd", "mse", "mse_sd"]].astype(float), [0.93, 0.03, 0.3, 0])
    alone = at(found.scores).set_index("model").loc["other"]
    assert alone["seeds"] == 1 and np.isnan(alone["se_seeds"]) and np.isclose(alone["value"], 0.5) and alone["high"] - alone["low"] < 1e-9
    lone = found.models.set_index("model").loc["other"]
    assert np.isnan(lone["mse"]) and np.isnan(lone["auroc_sd"]) and (row["seeds"], lone["seeds"]) == (3, 1)
    assert at(found.runs).query("model == 'steady'")["value"].round(9).tolist() == [0.6, 0.7, 0.8]


def test_differences_ranges_and_their_joint_intervals_by_hand(ask, steady, other):
    third = ask(Weigher(0.9, {"test": {"auroc": 0.95}}), "third")
    found = compare([other, third, *steady])
    gap = at(found.differences).set_index(["model", "other"])
    assert list(gap.index) == [("other", "steady"), ("other", "third"), ("steady", "third")]
    assert np.allclose(gap["value"], [-0.2, -0.4, -0.2]) and np.allclose(gap["auroc"], [-0.03, -0.05, -0.02])
    half = gap.loc[("other", "steady"), "high"] + 0.2, gap.loc[("other", "steady"), "high_joint"] + 0.2
    assert np.allclose(half, np.array([4.302653, 7.648872]) * 0.1 / 3**0.5) # t with 2 degrees at 0.975 and at 1 − 0.05/6
    assert np.isclose(gap.loc[("other", "steady"), "se_seeds"], 0.1 / 3**0.5) and np.isnan(gap.loc[("other", "third"), "se_seeds"])
    primary = found.relative_range.set_index("endpoint").loc["primary"]
    assert np.allclose([primary["RS"], primary["auroc"]], [0.4 / 0.5, 0.05 / 0.9])
    assert (primary["min_model"], primary["max_model"]) == ("other", "third")


def test_the_pair_part_is_the_bootstrap_of_the_seed_mean(ask):
    shares = (0.5, 0.7)
    results = [ask(Weigher(share, training_seed=i, by_target=True), "varied") for i, share in enumerate(shares)]
    row = at(compare(results).scores).iloc[0]
    pairs, drawn = results[0].plan.pairs, []
    arms = [contrast(r.plan, r._matrix, "mask", "uniform", 5) for r in results]
    for weights in np.vstack(list(pair_weights(pairs["smiles"], pairs["sequence"], np.arange(200), 0))):
        if weights.any(): drawn.append(np.mean([(weights @ c.m) / (weights @ (c.m + c.s)) for c in arms])) # of four drugs all may be left out
    assert np.isclose(row["se_pairs"], np.std(drawn, ddof=1)) and row["se_pairs"] > 0.01 and len(drawn) > 190
    assert np.isclose(row["value"], np.mean([float(SCORES["RS"](c)) for c in arms])) and row["pairs"] == len(pairs) == 48


def test_what_pairs_do_to_both_models_cancels_in_their_difference(ask):
    one, two = (ask(Weigher(0.5, by_target=True, boost=boost), name) for boost, name in ((1, "one"), (2, "two")))
    found = compare([one, two])
    gap, own = at(found.differences, "log_odds").iloc[0], at(found.scores, "log_odds")
    assert np.isclose(gap["value"], -np.log(2)) and gap["se_pairs"] < 1e-9 and (own["se_pairs"] > 0.05).all()
    same = compare({"first": [one], "second": [one]}).differences
    assert (same[["value", "low", "high", "low_joint", "high_joint", "se_pairs"]] == 0).all().all()


def test_the_order_of_the_audits_changes_nothing(steady, other):
    tables = [compare(order) for order in ([*steady, other], [other, steady[2], steady[0], steady[1]], {"other": [other], "steady": steady[::-1]})]
    for name in ("models", "scores", "differences", "relative_range", "runs"):
        for found in tables[1:]: pd.testing.assert_frame_equal(getattr(found, name), getattr(tables[0], name))


def test_models_are_compared_where_all_can_be_asked(data, prior):
    "The pocket of the later half of the proteins lies where the short-sighted model cannot see it."
    late = data.targets["target_id"].iloc[6:]
    table = prior.table.assign(position=prior.table["position"] + 40 * prior.table["target_id"].isin(late))[["target_id", "position"]]
    asked = {"prior": prior_from_table(table, data.targets, "two places"), **OPTIONS}
    wide, short = (audit(Weigher(0.6, max_target_length=n, by_target=True), data, name=str(n), **asked) for n in (None, 60))
    found = at(compare([wide, short]).scores).set_index("model")
    both = np.flatnonzero(~wide.plan.pairs["target_id"].isin(late))
    assert (found["pairs"] == 24).all() and wide.primary["pairs"] == 48 and short.primary["pairs"] == 24
    assert found.loc["None", "value"] == SCORES["RS"](contrast(wide.plan, wide._matrix, "mask", "uniform", 5, both)) != wide.primary["value"]
    assert found.loc["60", "value"] == short.primary["value"]


def test_where_nothing_is_common_nothing_is_compared(ask):
    blind, sighted = (ask(Weigher(0.5, max_target_length=n), str(n)) for n in (35, 120))
    found = compare([blind, sighted])
    assert set(found.scores["status"]) == {"not auditable"} and found.scores["value"].isna().all() and "not auditable" in found._repr_html_()


def test_a_silent_training_is_not_left_out(ask, other):
    "One of two trainings never moves: the model has no score, and the status says why."
    class Silent(Weigher):
        def _one(self, smiles, sequence): return float(len(smiles))
    half = [ask(Weigher(0.6, training_seed=0), "half"), ask(Silent(0.6, training_seed=1), "half")]
    found = compare([*half, other])
    rows = at(found.scores).set_index("model")
    assert rows.loc["half", "status"] == "no response in 1 of 2 seeds" and np.isnan(rows.loc["half", "value"]) and rows.loc["other", "status"] == "ok"
    assert "half: no response" in at(found.differences)["status"].iloc[0] and "no response in 1 of 2 seeds" in found._repr_html_()


def test_what_cannot_be_compared_is_refused_and_every_difference_named(data, prior, ask, steady, other):
    with pytest.raises(InputError, match="two audits or more; there is one"): compare([other])
    with pytest.raises(InputError, match="there are none"): compare({})
    with pytest.raises(InputError, match="cannot be told apart.*steady training seed 1 – twice"): compare([*steady, steady[1]])
    with pytest.raises(InputError, match="not known for all"): compare([*steady, ask(Weigher(0.5), "steady")])
    with pytest.raises(InputError) as refused: compare([other, ask(Weigher(0.5), "else", repeats=2, level=0.9), *steady])
    assert {(p.where, p.field) for p in refused.value.problems} == {(w, f) for w in ("other", *(f"steady, seed {i}" for i in range(3)))
                                                                   for f in ("repeats", "level")}
    fewer = audit(Weigher(0.5), data.select(data.pairs["pair_id"][:40]), prior, name="fewer", **OPTIONS)
    with pytest.raises(InputError, match="other data 'letters"): compare([fewer, other])
    moved = prior_from_table(prior.table.assign(position=prior.table["position"] + 3)[["target_id", "position"]], data.targets, "moved")
    with pytest.raises(InputError, match="prior 'moved"): compare([audit(Weigher(0.5), data, moved, name="x", **OPTIONS), other][::-1])


def test_trainings_of_one_model_can_be_summarised_alone(steady):
    found = compare(steady)
    assert found.differences.empty and "value" in found.differences and len(found.models) == 1
    assert list(found.tables()) == ["Accuracy on the test part, mean ± sd over training seeds",
                                    "Reliance on the prior (95% interval); primary: RS, the rest exploratory",
                                    "RS under every condition", "Agreement of trainings on sequences; exploratory"]
    assert found.reliability["icc"].between(-1, 1).all() and found.variance.empty # one model has no variance between models


def test_a_comparison_is_written_as_tables_and_one_page(steady, other, tmp_path):
    found: Comparison = compare([*steady, other])
    assert all(path.is_file() for path in found.save(tmp_path))
    kept = Comparison.load(tmp_path)
    for name in ("models", "scores", "differences", "relative_range", "runs"):
        pd.testing.assert_frame_equal(getattr(kept, name), getattr(found, name), check_dtype=False)
    assert (kept.endpoint, kept.level, kept.summary()) == (found.endpoint, found.level, found.summary())
    for name in ("seeds.csv", "comparison.json"): (tmp_path / name).unlink()
    with pytest.raises(InputError, match="(?s)seeds.csv.*comparison.json"): Comparison.load(tmp_path)
    page = found.to_html(tmp_path / "report.html", "Two & more", {"steady-seed0": "audits/steady-seed0/report.html"}).read_text()
    assert "<h1>Two &amp; more</h1>" in page and 'href="audits/steady-seed0/report.html"' in page and "0.930 ± 0.030" in page
    assert "4 conditions" in page and page.count("<script") == 1 and "there is one training of other" in page
