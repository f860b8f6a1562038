"""Frozen references: what is kept of a study, that it is enough to place a model among its own, and the one that comes with the package."""
import json
from functools import partial
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weigher import OPTIONS as USUAL
from weigher import Weigher, letter_pairs, pocket_of

from isaac.audit import METRICS, audit, prepare
from isaac.comparison import Comparison, compare, freeze
from isaac.core import InputError
from isaac.datasets import load_davis
from isaac.frozen import COMPARED, packed, read_reference, reference_names, unpacked
from isaac.priors import KlifsPocket, prior_from_table
from isaac.scores import KEYS, SCORES, condition_of, conditions

OPTIONS = USUAL | {"bootstrap_draws": 300}
varied = partial(Weigher, by_target=True)


@pytest.fixture(scope="module")
def data(): return letter_pairs()


@pytest.fixture(scope="module")
def prior(data): return pocket_of(data)


@pytest.fixture(scope="module")
def ask(data, prior): return lambda model, name, **given: audit(model, data, prior, name=name, **(OPTIONS | given))


@pytest.fixture(scope="module")
def study(ask):
    "One model trained three times, and another once."
    made = [ask(varied(share, training_seed=seed, metrics={"test": {"auroc": a, "auprc": 0.8, "ci": 0.9, "mse": 0.3}}), "steady")
            for seed, share, a in ((0, 0.6, 0.90), (1, 0.7, 0.93), (2, 0.8, 0.96))]
    return [*made, ask(varied(0.4), "other")]


@pytest.fixture(scope="module")
def mine(ask): return ask(varied(0.5), "a new one")


@pytest.fixture(scope="module")
def path(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("frozen") / "letters.json"
    freeze(study, path, "Two weighers", command="isaac study letters", audit="isaac audit MODEL --dataset letters.csv")
    return path


# What is kept

@given(st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(float("nan"))), min_size=1, max_size=50))
def test_draws_are_kept_to_a_two_hundredth_of_their_spread(values):
    draws = np.array(values)
    again, known = unpacked(json.loads(json.dumps(packed(draws)))), ~np.isnan(draws)
    assert np.array_equal(np.isnan(again), ~known)
    if known.any(): assert np.abs(again - draws)[known].max() <= np.ptp(draws[known]) / 254 + 1e-5 * np.abs(draws[known]).max()


def test_a_reference_says_what_the_comparison_says(study, path):
    content, whole = json.loads(path.read_text(encoding="utf-8")), compare(study)
    assert list(content["models"]) == ["other", "steady"] and content["made_by"]["command"] == "isaac study letters"
    rows = whole.scores.set_index(["model", *KEYS, "score"])
    for model, kept in content["models"].items():
        assert [(c["operator"], c["matching"], c["dose"], c["pairs"], c["status"]) for c in kept["conditions"]] == [
            ("mask", "uniform", "5", 48, "ok"), ("mask", "geometry", "5", 48, "ok")]
        for c in kept["conditions"]:
            for name, score in c["scores"].items():
                row = rows.loc[(model, c["operator"], c["matching"], c["dose"], name)]
                for part in ("value", "low", "high", "se_pairs", "se_seeds"):
                    assert np.isclose(np.nan if score[part] is None else score[part], row[part], rtol=1e-5, atol=1e-9, equal_nan=True), (name, part)
    steady = content["models"]["steady"]
    assert steady["seeds"] == [0, 1, 2] and steady["metrics"]["auroc"] == [0.9, 0.93, 0.96] and content["models"]["other"]["metrics"]["mse"] == [None]
    assert np.isclose(steady["conditions"][0]["scores"]["RS"]["value"], np.mean(steady["conditions"][0]["scores"]["RS"]["seeds"]), atol=1e-6)


def test_the_same_study_gives_the_same_bytes(study, path, tmp_path):
    again = tmp_path / "letters.json"
    freeze(study[::-1], again, "Two weighers", command="isaac study letters", audit="isaac audit MODEL --dataset letters.csv")
    assert again.read_bytes() == path.read_bytes()


# Placed among them

def test_differences_are_those_of_all_audits_together(study, mine, path):
    placed, whole = compare(mine, reference=path), compare([mine, *study])
    assert list(placed.models["model"]) == ["a new one", "other [letters]", "steady [letters]"] and placed.variance.empty
    keys, gap = ["other", *KEYS, "score"], placed.differences
    here = gap.assign(other=gap["other"].str.removesuffix(" [letters]")).set_index(keys)
    there = whole.differences.query("model == 'a new one'").set_index(keys).loc[here.index]
    assert len(here) == 2 * 2 * len(COMPARED) and (gap["model"] == "a new one").all()
    for column in ("value", "se_seeds"): assert np.allclose(here[column], there[column], atol=1e-5, equal_nan=True), column
    for column in ("low", "high"): assert np.allclose(here[column], there[column], atol=3e-3), column # a byte cannot say that nothing varies
    assert np.allclose(here["se_pairs"], there["se_pairs"], rtol=0.02, atol=2e-3) # and not √(a² + b²), which is far more:
    own = whole.scores.set_index(["model", *KEYS, "score"])["se_pairs"]
    where = ("mask", "uniform", "5", "log_odds")
    apart = np.hypot(own[("a new one", *where)], own[("other", *where)])
    assert here.loc[("other", *where), "se_pairs"] < 0.1 * apart
    auroc = placed.auroc_differences.assign(other=placed.auroc_differences["other"].str.removesuffix(" [letters]")).set_index("other")
    assert np.allclose(auroc["value"], whole.auroc_differences.query("model == 'a new one'").set_index("other")["value"].loc[auroc.index], atol=1e-5)


def test_the_family_is_that_of_ones_own_models(ask, mine, path):
    second = ask(varied(0.9), "b second")
    gap = compare({"mine": mine, "second": [second]}, reference=path).differences.query("matching == 'uniform' and score == 'RS'")
    theirs = ["other [letters]", "steady [letters]"]
    assert gap["model"].tolist() == ["mine"] * 3 + ["second"] * 2 and gap["other"].tolist() == ["second", *theirs, *theirs]
    p = gap["p"].to_numpy()
    assert gap["p_holm"].to_numpy()[p.argmin()] == min(1, 5 * p.min()) and (gap["p_holm"] >= p).all()


def test_it_prints_is_drawn_saved_and_read_like_any_other(mine, path, tmp_path):
    found = compare([mine], reference=path)
    assert "models marked [letters] are a frozen reference (Two weighers, isaac study letters, ISAAC" in found.summary()
    assert "steady [letters]" in repr(found) and "steady [letters]" in found._repr_html_()
    assert "steady [letters]" in found.plot().alt
    found.save(tmp_path)
    again = Comparison.load(tmp_path)
    assert again.summary() == found.summary() and again._repr_html_() == found._repr_html_()
    assert "other [letters]" in found.to_html(tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_that_sees_less_is_compared_where_it_can_be_and_that_is_said(data, prior, tmp_path):
    late = data.targets["target_id"].iloc[6:]
    table = prior.table.assign(position=prior.table["position"] + 40 * prior.table["target_id"].isin(late))[["target_id", "position"]]
    places = prior_from_table(table, data.targets, "two places")
    wide, short = (audit(varied(0.6, max_target_length=n), data, places, name=str(n), **OPTIONS) for n in (None, 60))
    freeze(wide, tmp_path / "wide.json")
    found = compare(short, reference=tmp_path / "wide.json")
    assert dict(zip(found.models["model"], found.models["pairs"], strict=True)) == {"60": 24, "None [wide]": 48}
    assert "these were compared on 48 pairs, the others on the 24 of them" in found.summary() and set(found.differences["pairs"]) == {24}
    assert "pairs" in next(t for title, t in found.tables().items() if title.startswith("Reliance"))
    freeze(short, tmp_path / "short.json")
    narrow = compare(wide, reference=tmp_path / "short.json")
    assert set(narrow.models["pairs"]) == {24} and "of them" not in narrow.summary()
    assert np.ptp(narrow.scores.query("score == 'RS' and matching == 'uniform'")["value"]) < 1e-5 # the same model, on the same pairs


def test_whatever_does_not_match_is_named_with_both_values_and_what_to_do(data, prior, ask, mine, path):
    with pytest.raises(InputError) as refused: compare(ask(varied(0.5), "else", repeats=2, level=0.9, bootstrap_draws=200), reference=path)
    assert {(p.where, p.field, p.value, p.reason) for p in refused.value.problems} == {
        ("else", "repeats", 2, "1 in letters"), ("else", "level", 0.9, "0.95 in letters"), ("else", "bootstrap_draws", 200, "300 in letters")}
    assert "isaac audit MODEL --dataset letters.csv" in str(refused.value) and 'read_reference("letters").config' in str(refused.value)
    fewer = audit(varied(0.5), data.select(data.pairs["pair_id"][:40]), prior, name="fewer", **OPTIONS)
    moved = prior_from_table(prior.table.assign(position=prior.table["position"] + 3)[["target_id", "position"]], data.targets, "moved")
    for audited, field in ((fewer, "data"), (audit(varied(0.5), data, moved, name="moved", **OPTIONS), "prior")):
        with pytest.raises(InputError) as refused: compare(audited, reference=path)
        assert [p.field for p in refused.value.problems] == [field]
    with pytest.raises(InputError, match="is that of a model of letters"): compare({"other [letters]": mine}, reference=path)
    with pytest.raises(InputError, match="an audit or more; there are none"): compare([], reference=path)
    with pytest.raises(InputError, match="two audits or more; there is one"): compare(mine)


def test_the_advised_configuration_is_one_that_can_be_compared(data, prior, path):
    again = audit(varied(0.5), data, prior, read_reference(path).config, name="advised", progress=False)
    assert compare(again, reference=path).summary()


def test_what_is_no_reference_is_refused(path, tmp_path):
    with pytest.raises(InputError, match="neither a file nor one of davis"): read_reference("kiba")
    content = json.loads(path.read_text(encoding="utf-8"))
    first = next(iter(content["models"]))
    later = content | {"schema_version": 2}
    part = content | {"models": {first: content["models"][first] | {"conditions": content["models"][first]["conditions"][::-1]}}}
    for broken, says in ((later, "schema version 2"), ({k: v for k, v in content.items() if k != "config"}, "config"), ([], "no frozen reference"),
                         (part, "condition 1 is not mask / uniform / 5")):
        (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(InputError, match=says): read_reference(tmp_path / "broken.json")
    (tmp_path / "broken.json").write_text(path.read_text(encoding="utf-8")[:500], encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"): read_reference(tmp_path / "broken.json")


def test_an_infinite_score_is_kept_without_an_error(ask, mine, tmp_path):
    freeze(ask(varied(1.0), "sure"), tmp_path / "sure.json")
    gap = compare(mine, reference=tmp_path / "sure.json").differences.query("score == 'log_odds'")
    assert np.isneginf(gap["value"]).all() and gap["se_pairs"].isna().all() and gap["p"].isna().all()


# The reference that comes with the package

@pytest.fixture(scope="module")
def davis(): return read_reference("davis")


def test_the_davis_reference_is_whole_and_small(davis):
    text = (files("isaac") / "reference" / "davis.json").read_text(encoding="utf-8")
    assert reference_names() == ["davis"] and len(text.encode()) <= 300_000
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found, asked = davis.found, davis.config
    assert found.models == ["DeepConvDTI (regression)", "DeepDTA", "TAPB (conv, regression)"] and found.seeds == [5, 5, 5] and found.pairs == 4484
    assert len(davis.record["made_by"]["weights"]) == 15 and davis.record["data"]["name"] == "Davis" and davis.record["data"]["threshold"] == 7
    assert list(found.at) == conditions(asked) and len(found.at) == 18
    assert np.isfinite(found.metrics[list(METRICS)]).all().all() and found.reliability["icc"].between(0, 1).all()
    for at in found.at.values():
        assert at.status == ["ok"] * 3 and at.pairs == [4484] * 3 and at.draws.shape == (3, len(COMPARED), 1000)
        assert all(np.isfinite(x).all() for x in (at.single, at.value, at.se_pairs, at.se_seeds, at.draws))
        means = np.array([at.single[found.of(m)].mean(axis=0) for m in found.models])
        assert np.allclose(at.value, means, rtol=1e-4) and ((at.value[:, 0] > 0.45) & (at.value[:, 0] < 0.8)).all()
    primary, rs = found.at[condition_of(asked.endpoint)], list(SCORES).index("RS")
    assert np.allclose(primary.draws[:, COMPARED.index("RS")].std(axis=1, ddof=1), primary.se_pairs[:, rs], rtol=0.06) # of 1,000 draws, and of 2,000
    assert primary.value[found.models.index("DeepDTA"), rs] == primary.value[:, rs].min() and (found.auroc.value > 0.9).all()


def test_a_fresh_preparation_of_davis_has_the_hashes_of_the_reference(davis, mirror):
    data = load_davis()
    fresh = prepare(data.test, KlifsPocket().annotate(data.targets), operators=["mask"], matchings=["uniform"], doses=[5], repeats=1)
    assert fresh.record["data"] == davis.record["data"] and fresh.record["prior"] == davis.record["prior"]


def test_the_study_that_made_it_is_the_packaged_one_and_its_command_asks_the_same(davis):
    from isaac.cli import _design
    from isaac.studies import audit_command, load_study
    study, made = load_study("davis"), davis.record["made_by"]
    assert made["command"] == "isaac study davis" and davis.title == study.title and study.audit == davis.config
    assert made["audit"] == audit_command(study)
    words = made["audit"].split()
    said = dict(zip(words[3::2], words[4::2], strict=True))
    assert (said["--dataset"], said["--pairs"]) == ("davis", "test")
    config = _design(*([said[f"--{name}"]] for name in ("operators", "matchings", "doses")), int(said["--repeats"]), int(said["--seeds"]),
                     said["--primary"])
    assert config == davis.config
