"""An audit with nulls and requirements: what is asked, what is tested, and that nothing of it is lost between two runs."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy import motif_data

from isaac.audit import AuditConfig, AuditResult, Endpoint, audit, fact_names
from isaac.core import InputError
from isaac.inference import null_test
from isaac.models import DeepDTA, untrained
from isaac.nulls import EXCESS, NETWORKS, RANK, SWAPPED, ask_nulls
from isaac.plan import validated
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import prior_from_table

SMALL = dict(channels=[4, 4, 4], embedding=4, hidden=[8, 4])
OPTIONS = dict(operators=["substitute", "mask"], matchings=["geometry", "uniform"], doses=[4, "100%"], repeats=1, intervention_seeds=2, min_prior=4,
               bootstrap_draws=100, primary={"operator": "substitute", "matching": "geometry", "dose": 4}, progress=False)
ASKED = OPTIONS | dict(placebos=6, initialisations=3, family=[{"operator": "mask", "matching": "geometry", "dose": "100%"}, OPTIONS["primary"]])


@pytest.fixture(scope="module")
def data(): return motif_data(drugs=3, targets=8)


@pytest.fixture(scope="module")
def prior(data):
    rows = [(t, p) for t in data.targets["target_id"] for p in range(10, 16)]
    return prior_from_table(pd.DataFrame(rows, columns=["target_id", "position"]), data.targets)


@pytest.fixture(scope="module")
def model(): return untrained(DeepDTA(**SMALL), seed=7)


@pytest.fixture(scope="module")
def result(data, prior, model, one_thread): return audit(model, data, prior, **ASKED)


def test_every_declared_condition_is_tested_and_no_other(result):
    tests = result.tests()
    assert tests["test"].tolist() == [SWAPPED, RANK, NETWORKS, EXCESS] * 2
    assert tests["endpoint"].tolist() == ["primary"] * 4 + ["exploratory"] * 4
    assert set(zip(tests["operator"], tests["dose"], strict=True)) == {("substitute", "4"), ("mask", "100%")}
    networks = result.nulls.networks
    assert networks.groupby(["operator", "dose"]).size().tolist() == [3, 3] and networks.notna().all(axis=None)
    assert result.nulls.placebo.groupby(["operator", "target"])["placement"].max().between(1, 6).all()


def test_tests_are_those_of_the_networks_they_name(result):
    tests = result.tests()
    for e in result.config.tested:
        here = tests[tests["operator"].eq(e.operator) & tests["dose"].eq(str(e.dose))].set_index("test")
        rows = result.scores("common").set_index(["score", "operator", "matching", "dose"])["value"]
        score = rows["log_odds", e.operator, e.matching, str(e.dose)]
        assert here.loc[NETWORKS, "value"] == score
        assert here.loc[NETWORKS, "p"] == null_test(score, result.nulls.of(e)["log_odds"])[1]
        assert here.loc[EXCESS, "value"] == result.nulls.sums(e).excess
    assert tests["p"].isna().eq(tests["test"].isin([SWAPPED, RANK])).all() # these describe
    for _, family in tests.dropna(subset="p").groupby("test"):
        assert np.allclose(family["p_holm"].min(), min(1, 2 * family["p"].min())) and (family["q"] >= family["p"]).all()


def test_an_untrained_copy_asked_as_the_model_gives_the_score_that_the_audit_gives(result, data, prior, model):
    "The nulls ask what the audit asks: the same edits of the same pairs."
    e = result.config.endpoint
    pairs = result.plan.pairs.drop(columns="site")
    again = ask_nulls(model, [model], pairs, prior, Reading(max_target_length=model.max_target_length), result.config, [e])
    score = result.scores("common").query("score == 'log_odds' and operator == 'substitute' and matching == 'geometry' and dose == '4'")
    assert again.networks["log_odds"].item() == pytest.approx(score["value"].item(), abs=1e-6) and again.networks["excess"].isna().all()


def test_a_saved_audit_keeps_its_nulls_and_its_requirements(data, prior, model, result, tmp_path):
    require = ["RS.low > 0.99", "warn: |SMD| < 0.001", "pairs > 1", "beats 1 % of placebo priors"]
    config = result.config
    made = audit(model, data, prior, config, require=require, out=tmp_path / "run", progress=False)
    assert made.verdicts()["verdict"].tolist()[:3] == ["FAIL", "WARN", "PASS"] and made.verdicts()["found"].notna().all()
    kept = AuditResult.load(tmp_path / "run")
    pd.testing.assert_frame_equal(kept.tests(), result.tests())
    pd.testing.assert_frame_equal(kept.verdicts(), made.verdicts())
    assert "Verdict: FAIL" in (tmp_path / "run" / "report.html").read_text()
    fewer = audit(model, data, prior, config, require=["pairs > 1"], out=tmp_path / "run", progress=False) # changes no number: read back
    assert fewer.verdicts()["verdict"].tolist() == ["PASS"] and "Verdict: PASS" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["required"] == ["pairs > 1"]


def test_networks_are_asked_the_same_also_where_edits_come_from_homologues(prior, one_thread):
    "One target is outside common support, and is a homologue of the others all the same."
    g = np.random.default_rng(0)
    family = "".join(g.choice(list("ACDEFGHIKLMNPQRSTVWY"), 120))
    change = lambda s: "".join(a if keep else b for a, b, keep in zip(s, g.choice(list("ADEFGKLV"), len(s)), g.random(len(s)) < 0.7, strict=True))
    frame = pd.DataFrame({"smiles": "CCO", "target_id": [f"T{i}" for i in range(8)], "sequence": [family[:40], *(change(family) for _ in range(7))]})
    placed = prior_from_table(pd.DataFrame([(t, p) for t in frame["target_id"] for p in range(10, 26)], columns=["target_id", "position"]), frame)
    model = untrained(DeepDTA(**SMALL), seed=3)
    made = audit(model, frame, placed, **OPTIONS | dict(operators=["homolog"], matchings=["geometry"], doses=[8], min_prior=8,
                 primary={"operator": "homolog", "matching": "geometry", "dose": 8}))
    pairs, e = made.plan.pairs, made.config.endpoint
    common = pairs[pairs["target_id"].ne("T0")].drop(columns="site")
    again = ask_nulls(model, [model], common, placed, made.plan.reading, made.config, [e], pool=pairs["sequence"])
    score = made.scores("common").query("score == 'log_odds'")
    assert score["pairs"].item() == 7 and again.networks["log_odds"].item() == pytest.approx(score["value"].item(), abs=1e-6)


def test_what_was_not_asked_fails_its_requirement_with_the_reason(data, prior, model, one_thread):
    plain = audit(model, data, prior, require=["q < 0.05", "placebo > 0.95", "auroc > 0.5"], **OPTIONS)
    assert plain.verdicts()["verdict"].tolist() == ["FAIL"] * 3 and plain.verdicts()["found"].isna().all()
    assert plain.verdicts()["reason"].tolist() == ["no untrained networks were asked", "no placebo priors were asked", "not known of this model"]
    assert plain.tests()["test"].tolist() == [SWAPPED] and len(plain.calibrated()) == 0
    assert set(plain.facts()) == set(fact_names(plain.config))


def test_necessity_and_sufficiency_are_asked_where_they_are_wanted(data, prior, model, tmp_path, one_thread):
    made = audit(model, data, prior, **OPTIONS, sufficiency=True, out=tmp_path / "run")
    assert set(made.sufficiency["question"]) == {"necessity", "sufficiency"} and made.sufficiency["ci"].between(0, 1).all()
    pd.testing.assert_frame_equal(AuditResult.load(tmp_path / "run").sufficiency, made.sufficiency)
    assert "is it enough?" in (tmp_path / "run" / "report.html").read_text()
    assert audit(model, data, prior, **OPTIONS).sufficiency.empty


def test_mistakes_are_named_before_the_model_is_asked(data, prior):
    def never(smiles, sequences): raise AssertionError("the model was asked")
    misplaced = {"operator": "alanine", "matching": "geometry", "dose": 4}
    for options, said in [({"require": ["RS.lo > 0.5"]}, "RS.lo"), ({"require": ["RS is high"]}, "RS is high"), ({"initialisations": 2}, "untrained"),
                          ({"initialisations": 1}, "0 or several"), ({"placebos": -1}, "0 or several"),
                          ({"family": [misplaced]}, "family operator 'alanine'"), ({"sufficiency": True}, "no pair has a measured affinity"),
                          ({"matchings": ["strict"], "primary": None, "placebos": 5}, "strict has no placebo priors"),
                          ({"family": [OPTIONS["primary"] | {"score": "C_sep"}]}, "C_sep cannot be tested")]:
        unmeasured = data.frame.drop(columns="affinity")
        with pytest.raises(InputError, match=said): audit(never, unmeasured, prior, **OPTIONS | options)


def test_another_model_may_say_how_it_is_initialised(data, prior):
    class Weighing(FunctionPredictor):
        def untrained(self, seed):
            weight = np.random.default_rng(seed).normal(size=128)
            return FunctionPredictor(lambda smiles, sequences: np.array([weight[list(t.encode())].sum() for t in sequences]))
    made = audit(Weighing(lambda smiles, sequences: [t.count("W") + len(t) / 9 + t.count("K") for t in sequences]), data, prior,
                 **OPTIONS | dict(initialisations=4))
    tested = made.tests().set_index("test").loc[NETWORKS]
    assert tested["n"] == 4 and 0 < tested["p"] < 1 and RANK not in made.tests()["test"].tolist()


def test_calibrated_scores_are_the_scores_moved_by_what_untrained_networks_score(result):
    moved = result.calibrated().set_index("operator")
    assert moved.index.tolist() == ["substitute", "mask"] and moved["networks"].eq(3).all()
    logit = lambda share: np.log(share / (1 - share))
    assert np.allclose(logit(moved["calibrated"]), logit(moved["RS"]) - logit(moved["null_RS"]))
    assert (moved["low"] < moved["calibrated"]).all() and (moved["calibrated"] < moved["high"]).all()


def test_only_a_grid_shows_what_is_specific_to_the_drug(data, prior, model, tmp_path, one_thread):
    sparse = audit(model, data, prior, **OPTIONS)
    with pytest.raises(InputError, match="missing"): sparse.specific()
    full = audit(model, data.crossed(), prior, **OPTIONS, out=tmp_path / "run")
    assert len(full.plan.pairs) == 24 > len(sparse.plan.pairs) and full.specific()["status"].eq("ok").all()
    assert (tmp_path / "run" / "specific.csv").is_file() and "specific to the drug" in (tmp_path / "run" / "report.html").read_text()
    additive = audit(lambda smiles, sequences: [len(s) + t.count("W") + t.count("A") for s, t in zip(smiles, sequences, strict=True)], data.crossed(),
                     prior, **OPTIONS)
    assert additive.specific()["status"].eq("no response").all() and additive.primary["status"] == "ok"


def test_what_is_not_asked_leaves_no_trace_in_the_configuration():
    "Audits made before there were nulls keep their identity."
    assert not {"family", "placebos", "initialisations", "sufficiency"} & set(AuditConfig().model_dump())
    config = validated(AuditConfig, placebos=5, family=[Endpoint(operator="mask", matching="geometry", dose=20)])
    assert config.model_dump()["placebos"] == 5 and len(config.tested) == 1 and AuditConfig(**config.model_dump()) == config


def test_an_audit_of_nothing_auditable_is_saved_all_the_same(data, prior, model, tmp_path, one_thread):
    options = OPTIONS | dict(min_prior=7, sufficiency=True, placebos=3, initialisations=2)
    nothing = audit(model, data.crossed(), prior, **options, out=tmp_path / "run")
    assert nothing.primary["status"] == "not auditable" and nothing.balance()["n"].eq(0).all() and "specific" not in nothing.tables()
    assert nothing.verdicts(["q < 0.05"])["reason"].item() == "not auditable" and AuditResult.load(tmp_path / "run").tests().empty
    assert any("sufficiency is not known" in warning for warning in nothing.manifest["warnings"])


def test_copies_that_do_not_differ_test_nothing(data, prior):
    class Stubborn(FunctionPredictor):
        def untrained(self, seed): return FunctionPredictor(lambda smiles, sequences: [float(t.count("K")) for t in sequences])
    model = Stubborn(lambda smiles, sequences: [t.count("W") + t.count("K") / 2 for t in sequences])
    made = audit(model, data, prior, **OPTIONS | dict(initialisations=3))
    row = made.tests().set_index("test").loc[NETWORKS]
    assert np.isnan(row["p"]) and row["note"] == "the untrained networks do not differ" == made.facts()["q"] and made.calibrated().empty


def test_the_family_counts_conditions_that_do_not_respond(result):
    "Two conditions were declared; where only one has a p, Holm still doubles it."
    silent = replace(result.nulls, networks=result.nulls.networks[result.nulls.networks["operator"].eq("substitute")])
    table = replace(result, nulls=silent).tests().set_index(["test", "operator"])
    assert table.loc[(NETWORKS, "substitute"), "p_holm"] == pytest.approx(min(1, 2 * table.loc[(NETWORKS, "substitute"), "p"]))
    assert (NETWORKS, "mask") not in table.index
