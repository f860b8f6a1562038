"""The audit on real kinases with a real (untrained) network: exact reuse, and independence of order, batches and company."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isaac.audit import AuditConfig, AuditResult, Endpoint, audit
from isaac.comparison import compare
from isaac.core import InputError, IsaacError
from isaac.datasets import load_davis
from isaac.engine import respond
from isaac.models import DeepDTA
from isaac.models.encoders import untrained
from isaac.plan import validated
from isaac.predictors import FunctionPredictor
from isaac.priors import KlifsPocket

KINASES = ["ABL1(T315I)-nonphosphorylated", "ABL1-phosphorylated", "EGFR", "JAK1(JH1domain-catalytic)", "JAK1(JH2domain-pseudokinase)",
           "AURKA", "MTOR", "SRC", "ROCK2", "TRPM6"]
OPTIONS = dict(operators=["substitute"], doses=[5, "100%"], repeats=1, intervention_seeds=2, bootstrap_draws=200, progress=False)


@pytest.fixture(scope="module")
def davis(mirror):
    data = load_davis()
    return data.select(data.pairs["pair_id"][data.pairs["target_id"].isin(KINASES) & data.pairs["drug_id"].isin(data.drugs["drug_id"][:6])])


@pytest.fixture(scope="module")
def prior(davis): return KlifsPocket().annotate(davis.targets[davis.targets["target_id"].isin(KINASES)])


@pytest.fixture(scope="module")
def model(): return untrained(DeepDTA, seed=0)


@pytest.fixture(scope="module")
def result(davis, prior, model): return audit(model, davis, prior, **OPTIONS)


def test_towers_plain_predict_and_other_batches_agree(result, model):
    plain = FunctionPredictor(model.predict, max_target_length=model.max_target_length)
    for other in (respond(result.plan, plain), respond(result.plan, model, chunk=5)):
        assert np.abs(other.table["value"] - result.responses.table["value"]).max() <= 1e-5
    assert result.responses.account["route"] == "towers" and result.responses.account["predicted"] < result.responses.account["asked"]


def test_the_same_audit_twice_and_with_rows_permuted_is_identical(result, davis, prior, model):
    pd.testing.assert_frame_equal(audit(model, davis, prior, **OPTIONS).scores(), result.scores())
    mixed = davis.select(davis.pairs["pair_id"].sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(audit(model, mixed, prior, **OPTIONS).scores(), result.scores())


def test_a_saved_audit_is_scored_the_same_years_later(result, tmp_path):
    kept = AuditResult.load(result.save(tmp_path / "run"))
    pd.testing.assert_frame_equal(kept.scores(), result.scores())
    pd.testing.assert_frame_equal(kept.targets(), result.targets())
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["config"]["primary"] == {"operator": "substitute", "matching": "geometry", "dose": 5, "score": "RS"}
    result.save(tmp_path / "run")
    with pytest.raises(InputError, match="does not hold a finished audit.*responses.parquet"): AuditResult.load(tmp_path)


def test_the_manifest_is_there_before_the_model_is_asked(davis, prior, tmp_path):
    def broken(smiles, sequences):
        assert (tmp_path / "run" / "manifest.json").exists()
        return np.full(len(smiles), np.nan)
    with pytest.raises(InputError, match="no finite number"): audit(broken, davis, prior, out=tmp_path / "run", **OPTIONS)
    assert "primary" in json.loads((tmp_path / "run" / "manifest.json").read_text())["config"]


def test_a_finished_audit_is_read_and_not_run_again(davis, prior, model, tmp_path):
    first = audit(model, davis, prior, out=tmp_path / "run", **OPTIONS)
    written = (tmp_path / "run" / "responses.parquet").stat().st_mtime_ns
    again = audit(model, davis, prior, out=tmp_path / "run", **OPTIONS)
    pd.testing.assert_frame_equal(again.scores(), first.scores())
    assert (tmp_path / "run" / "responses.parquet").stat().st_mtime_ns == written


def test_an_interrupted_audit_is_run_to_its_end(davis, prior, model, tmp_path):
    def asked_once(smiles, sequences): raise KeyboardInterrupt
    asked_once.__qualname__ = asked_once.__name__ = "kinase_model"
    def kinase_model(smiles, sequences): return np.array([float(len(t)) for t in sequences])
    kinase_model.__qualname__ = "kinase_model"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".manifest.json.k1ll3d.json").touch() # as of a process that was killed while it wrote
    with pytest.raises(KeyboardInterrupt): audit(asked_once, davis, prior, out=tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="finished"): AuditResult.load(tmp_path / "run")
    audit(kinase_model, davis, prior, out=tmp_path / "run", **OPTIONS)
    assert AuditResult.load(tmp_path / "run").manifest["account"]["predicted"] > 0


def test_a_function_that_changed_its_mind_is_not_mistaken_for_the_one_audited(davis, prior, tmp_path):
    def make(letter): return lambda smiles, sequences: np.array([t.count(letter) for t in sequences], float)
    audit(make("K"), davis, prior, out=tmp_path / "run", **OPTIONS)
    audit(make("K"), davis, prior, out=tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="audit of another model"): audit(make("L"), davis, prior, out=tmp_path / "run", **OPTIONS)


@pytest.mark.parametrize("spoil, said", [
    (lambda f: f.drop(columns="smiles"), "no such column"),
    (lambda f: f.assign(smiles=["C1CC", *f.smiles[1:]]), "row 0 smiles 'C1CC'.*ring"),
    (lambda f: f.assign(sequence=[None, "mkv", *f.sequence[2:]]), "row 0 sequence.*missing.*row 1 sequence 'mkv'"),
    (lambda f: f.assign(sequence=["MKÅ", *f.sequence[1:]]), "no amino acid"),
    (lambda f: f.assign(affinity=[np.nan, np.inf, *f.affinity[2:]]), "row 0 affinity.*row 1 affinity"),
    (lambda f: f.assign(target_id="same"), "different values of sequence"),
    (lambda f: f.iloc[:0], "empty")])
def test_a_users_table_is_checked_before_the_model_is_asked(davis, prior, spoil, said):
    def never(smiles, sequences): raise AssertionError("asked")
    with pytest.raises(InputError, match=said): audit(never, spoil(davis.frame.drop(columns="fold")), prior, **OPTIONS)


def test_a_dataset_made_by_hand_is_checked_too(davis, prior, model):
    wrong = replace(davis, drugs=davis.drugs.assign(smiles="not a molecule"))
    with pytest.raises(InputError, match="not a molecule"): audit(model, wrong, prior, **OPTIONS)


def test_every_unfinite_prediction_is_named_with_its_pair_and_edit(davis, prior):
    def fails_on_masks(smiles, sequences): return np.array([np.nan if t.count("X") > 4 else 1.0 + len(t) for t in sequences])
    with pytest.raises(InputError, match=r"imatinib|pair \d+ \(") as error:
        audit(fails_on_masks, davis, prior, **OPTIONS | {"operators": ["mask"]})
    assert len(error.value.problems) > 48 and all("mechanistic mask" in p.where or "control mask" in p.where for p in error.value.problems)


def test_another_audit_is_never_overwritten(davis, prior, model, tmp_path):
    audit(model, davis, prior, out=tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="holds another audit.*model"):
        audit(untrained(DeepDTA, seed=1), davis, prior, out=tmp_path / "run", **OPTIONS)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"): audit(model, davis, prior, out=tmp_path / "thesis", **OPTIONS)


def test_common_support_is_what_all_conditions_share(result):
    common, own = result.scores("common"), result.scores("own")
    assert common["pairs"].nunique() == 1 and (own["pairs"].to_numpy() >= common["pairs"].to_numpy()).all()
    assert (result.scores()["endpoint"] == "primary").sum() == 1
    listed = set(result.plan.unauditable["target_id"])
    assert {"ROCK2", "TRPM6"} <= listed and result.plan.unauditable["reason"].str.len().min() > 10


def test_a_condition_that_suits_no_pair_takes_nothing_from_the_others(davis, prior, model, tmp_path):
    impossible = Endpoint(operator="substitute", matching="geometry_in_domain", dose=5)
    options = OPTIONS | {"doses": [5], "placebos": 4, "initialisations": 2, "family": [impossible]}
    with_it = audit(model, davis, prior, matchings=["geometry", "geometry_in_domain", "domain"], out=tmp_path / "run", **options)
    without = audit(model, davis, prior, matchings=["geometry", "domain"], **options | {"family": []})
    rows, empty = with_it.scores("common"), with_it.scores("common")["matching"].eq("geometry_in_domain")
    assert rows.loc[empty, "status"].eq("not auditable").all() and rows.loc[empty, "pairs"].eq(0).all()
    pd.testing.assert_frame_equal(rows[~empty].reset_index(drop=True), without.scores("common"))
    assert any("no pair can be asked about under substitute / geometry_in_domain / 5;" in w for w in with_it.manifest["warnings"])
    assert not any("no pair can be asked" in w for w in without.manifest["warnings"])
    assert set(with_it.arms()["matching"]) == set(with_it.coherence()["matching"]) - {"geometry_in_domain"} == {"geometry", "domain"}
    assert set(with_it.tests()["matching"]) == {"geometry"} == set(with_it.calibrated()["matching"])
    assert with_it.balance().query("matching == 'geometry_in_domain'")["smd"].isna().all()
    pd.testing.assert_frame_equal(AuditResult.load(tmp_path / "run").scores(), with_it.scores())
    both = compare({"one": [with_it], "other": [with_it]})
    assert both.scores.groupby("matching")["pairs"].first().to_dict() == {"geometry": rows["pairs"].max(), "domain": rows["pairs"].max(),
                                                                          "geometry_in_domain": 0}
    assert "not auditable" in set(both.scores["status"]) and both.summary()


def test_two_domains_of_one_sequence_are_different_sites(result):
    pairs = result.plan.pairs.drop_duplicates("target_id").set_index("target_id")
    one, two = pairs.loc["JAK1(JH1domain-catalytic)"], pairs.loc["JAK1(JH2domain-pseudokinase)"]
    assert one["sequence"] == two["sequence"] and one["site"] != two["site"]


def test_residues_are_named_as_a_chemist_writes_them(result):
    names = result.strongest(20)["residues"].str.cat(sep=", ")
    assert all(pd.Series(names.split(", ")).str.fullmatch(r"[A-Z]\d+ · [^\d].*\d+"))
    gatekeeper = result.prior.query("target_id == 'EGFR' and label == '45'")
    assert gatekeeper["position"].item() == 789


def test_a_wrong_model_or_prior_is_named(davis, prior, model):
    class Liar(DeepDTA):
        def score(self, drug_codes, target_codes): return super().score(drug_codes, target_codes) + 0.01
        def predict(self, smiles, sequences): return super().predict(smiles, sequences) + 1
    with pytest.raises(IsaacError, match="towers and its predict disagree"): audit(untrained(Liar, seed=0), davis, prior, **OPTIONS)
    with pytest.raises(IsaacError, match=r"shape \(1,\)"): audit(lambda s, t: [1.0], davis, prior, **OPTIONS)
    short = davis.frame.assign(sequence=davis.frame["sequence"].str[:50])
    with pytest.raises(InputError, match="does not fit the targets") as error: audit(model, short, prior, **OPTIONS)
    assert any("EGFR" in p.where and p.value == 789 for p in error.value.problems)


def test_configurations_report_every_mistake():
    with pytest.raises(InputError) as error: validated(AuditConfig, operatos=["mask"], repeats=0, matchings=["nearby"])
    assert {p.field for p in error.value.problems} == {"operatos", "repeats", "matchings"}
    with pytest.raises(InputError, match="config or options"): audit(None, None, None, AuditConfig(), repeats=3)
