"""Studies: what is finished is kept, what differs is refused, and the same file gives the same tables."""
import json
import shutil

import pytest
from toy import write_toy

from isaac import studies
from isaac.audit import audit
from isaac.core import InputError
from isaac.datasets import load_davis
from isaac.models import DeepDTA
from isaac.plan import Design
from isaac.priors import KlifsPocket

TABLES = ("scores.csv", "summary.csv")


@pytest.fixture(scope="module")
def toy(tmp_path_factory): return write_toy(tmp_path_factory.mktemp("toy"), seeds=(0, 1))


@pytest.fixture(scope="module")
def result(toy): return studies.run_study(studies.load_study(toy), toy.parent / "runs", device="cpu", progress=False)


def tables(folder): return {name: (folder / name).read_bytes() for name in TABLES}


def times(folder): return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.name in ("model.safetensors", "responses.parquet")}


def test_a_second_run_trains_and_asks_nothing_and_gives_the_same_tables(toy, result):
    before, made = tables(result.out), times(result.out)
    again = studies.run_study(studies.load_study(toy), result.out, device="cpu", progress=False)
    assert tables(again.out) == before and times(again.out) == made and len(made) == 4
    assert list(again.summary["run"]) == ["deepdta-seed0", "deepdta-seed1"] and all(path.is_file() for path in again.reports)


def test_a_study_made_anew_elsewhere_gives_the_same_tables(toy, result):
    other = studies.run_study(studies.load_study(toy), toy.parent / "elsewhere", device="cpu", progress=False)
    assert tables(other.out) == tables(result.out)


def test_an_interrupted_study_goes_on_with_what_is_missing(toy, result):
    cut = toy.parent / "cut"
    shutil.copytree(result.out, cut)
    shutil.rmtree(cut / "checkpoints" / "deepdta" / "seed1")
    shutil.rmtree(cut / "audits" / "deepdta-seed1")
    manifest = cut / "audits" / "deepdta-seed0" / "manifest.json" # as it is before the model has answered
    started = {k: v for k, v in json.loads(manifest.read_text()).items() if k not in ("noise", "account", "warnings")}
    manifest.write_text(json.dumps(started))
    kept = (cut / "checkpoints" / "deepdta" / "seed0" / "model.safetensors").stat().st_mtime_ns
    again = studies.run_study(studies.load_study(toy), cut, device="cpu", progress=False)
    assert tables(again.out) == tables(result.out)
    assert (cut / "checkpoints" / "deepdta" / "seed0" / "model.safetensors").stat().st_mtime_ns == kept


def test_the_summary_puts_accuracy_beside_the_primary_endpoint(result):
    row = result.summary.iloc[0]
    scores = result.scores
    primary = scores[scores["run"].eq("deepdta-seed0") & scores["endpoint"].eq("primary")].iloc[0]
    assert row["mse"] == result.checkpoints["deepdta-seed0"].metrics["test"]["mse"] and row["value"] == primary["value"]
    assert (row["operator"], row["matching"], row["dose"], row["score"]) == ("substitute", "geometry", "5", "RS")
    manifest = result.audits["deepdta-seed0"].manifest
    assert manifest["metrics"]["test"]["mse"] == row["mse"] and "MSE" in result.reports[0].read_text()


def test_a_checkpoint_trained_otherwise_is_refused_and_the_difference_named(toy, result):
    longer = studies.load_study(write_toy(toy.parent, seeds=(0, 1), epochs=2))
    write_toy(toy.parent, seeds=(0, 1))
    with pytest.raises(InputError, match="holds another checkpoint") as refused:
        studies.run_study(longer, result.out, device="cpu", progress=False)
    assert [(p.field, p.value, p.reason) for p in refused.value.problems] == [("training.epochs", 1, "now 2")]


def test_an_audit_with_other_settings_is_refused(toy, result):
    config = studies.load_study(toy)
    config = config.model_copy(update={"audit": config.audit.model_copy(update={"repeats": 2})})
    with pytest.raises(InputError, match="holds another audit"): studies.run_study(config, result.out, device="cpu", progress=False)


def test_reports_are_made_again_from_saved_answers(result):
    before = [path.read_bytes() for path in result.reports]
    for path in result.reports: path.unlink()
    assert studies.remake_reports(result.out) == result.reports and [path.read_bytes() for path in result.reports] == before
    with pytest.raises(InputError): studies.remake_reports(result.out / "checkpoints")


def test_auditing_pairs_the_model_was_trained_on_warns_with_their_number(toy, result):
    data, checkpoint = studies.load_dataset(result.config.dataset), result.checkpoints["deepdta-seed0"]
    split = data.split()
    prior = studies.load_prior(result.config.prior, data.targets)
    everything = audit(checkpoint.model, data, prior, result.config.audit, progress=False)
    trained = len(split.train.pairs) + len(split.valid.pairs)
    assert any(f"{trained} of {len(data.pairs)} audited pairs" in w for w in everything.manifest["warnings"])
    assert not any("trained on" in w for w in result.audits["deepdta-seed0"].manifest["warnings"])


def test_every_unusable_key_of_a_study_is_named_at_once(tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('titel = "x"\n[dataset]\nname = "davis"\nsequence = "corrected"\n[[models]]\narchitecture = "resnet"\nseeds = [0, 0]\n'
                     'training = { epochs = 0, epoch = 3 }\n[audit]\ndoses = [5, "lots"]\n')
    with pytest.raises(InputError) as refused: studies.load_study(wrong)
    assert {p.field for p in refused.value.problems} >= {
        "titel", "title", "dataset.sequence", "models.0.architecture", "models.0.seeds", "models.0.training.epoch", "audit.doses"}
    wrong.write_text("title = ")
    with pytest.raises(InputError, match="not valid TOML"): studies.load_study(wrong)


def test_the_packaged_study_asks_what_the_main_job_promises():
    config = studies.load_study("davis-deepdta")
    assert set(config.audit.operators) == {"mask", "substitute"} and set(config.audit.matchings) == {"uniform", "domain", "geometry"}
    assert config.audit.doses == (5, 20, "100%") and config.audit.intervention_seeds >= 2 and config.audit.primary is not None
    assert (config.dataset.name, config.split.kind, config.models[0].architecture) == ("davis", "warm", "deepdta")


@pytest.mark.slow
def test_untrained_networks_score_one_half_under_geometry(mirror):
    "Ten networks, every target, one draw; `benchmarks/untrained.py` gives both operators and the spread."
    davis, test = load_davis(), load_davis().test
    prior = KlifsPocket().annotate(davis.targets)
    design = Design(operators=["substitute"], matchings=["geometry"], doses=[20], repeats=1, intervention_seeds=1)
    null = studies.untrained_null(DeepDTA, test, prior, n=10, design=design)
    assert abs(null["RS"].mean() - 0.5) <= 0.02 and 0.005 < null["RS"].std() < 0.05 and (null["pairs"] > 4_000).all()
