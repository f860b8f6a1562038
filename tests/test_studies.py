"""Studies: what is finished is kept, what differs is refused, and the same file gives the same tables."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import SECOND, write_toy

from isaac import studies
from isaac.audit import audit
from isaac.core import InputError
from isaac.datasets import load_davis
from isaac.models import DeepDTA, TrainingConfig
from isaac.plan import Design, validated
from isaac.priors import KlifsPocket

COMPARED = {f"{name}.csv" for name in ("models", "comparison", "differences", "auroc_differences", "relative_range", "variance", "reliability",
                                       "seeds")}
SMALL = {"channels": [8, 8, 8], "embedding": 16, "hidden": [32, 16]}


@pytest.fixture(scope="module")
def toy(tmp_path_factory): return write_toy(tmp_path_factory.mktemp("toy"), seeds=(0, 1), more=SECOND)


@pytest.fixture(scope="module")
def result(toy): return studies.run_study(studies.load_study(toy), toy.parent / "runs", device="cpu", progress=False)


def tables(folder): return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def times(folder):
    "When each finished checkpoint and audit was written, and as which file."
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.name in ("model.safetensors", "responses.parquet")}


def test_a_second_run_trains_and_asks_nothing_and_gives_the_same_tables(toy, result):
    before, made = tables(result.out), times(result.out)
    again = studies.run_study(studies.load_study(toy), result.out, device="cpu", progress=False)
    assert tables(again.out) == before and times(again.out) == made and len(made) == 8
    assert set(before) == COMPARED | {"scores.csv", "summary.csv"}
    assert list(again.summary["run"]) == ["deepdta-seed0", "deepdta-seed1", "binding-seed0", "binding-seed1"]
    assert all(path.is_file() for path in again.reports)


@pytest.mark.parametrize("sharing", [{"workers": 0}, {"workers": 2, "backend": "slurm"}, {"backend": "dask"}])
def test_workers_that_cannot_be_had_are_known_before_training(toy, tmp_path, sharing):
    with pytest.raises(InputError, match="cannot be shared out"):
        studies.run_study(studies.load_study(toy), tmp_path / "runs", device="cpu", progress=False, **sharing)
    assert not (tmp_path / "runs").exists()


def stop_at(line: str, toy: Path, out: Path) -> str:
    "Run a study in a process of its own and kill it without warning when it says `line`; gives what it had said."
    code = ("import sys; from isaac import studies; studies.run_study(studies.load_study(sys.argv[1]), sys.argv[2], device='cpu')")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    study = subprocess.Popen([sys.executable, "-c", code, str(toy), str(out)], stderr=subprocess.PIPE, text=True, env=environment)
    said = []
    try:
        for said_now in study.stderr:
            said.append(said_now)
            if line in said_now: study.kill()
    finally: study.kill()
    assert study.wait() == -signal.SIGKILL, "".join(said)
    return "".join(said)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_study_goes_on_with_the_unfinished_checkpoints_and_audits_only(toy, result, tmp_path):
    stop_at("Checkpoint binding-seed0", toy, tmp_path / "runs")
    first = times(tmp_path / "runs")
    assert {p.parent.name for p in first} == {"seed0", "seed1"} and {p.parent.parent.name for p in first} == {"deepdta"}
    stop_at("Audit binding-seed0", toy, tmp_path / "runs")
    second = times(tmp_path / "runs")
    assert first.items() <= second.items() and len(second) == 6 and not (tmp_path / "runs" / "report.html").exists()
    studies.run_study(studies.load_study(toy), tmp_path / "runs", device="cpu", progress=False)
    last = times(tmp_path / "runs")
    assert second.items() <= last.items() and len(last) == 8
    assert tables(tmp_path / "runs") == tables(result.out)


def test_a_study_of_several_models_ends_with_their_comparison(result):
    "The frames are those of `compare`, and the page leads to every run."
    found, models = result.comparison, result.comparison.models.set_index("model")
    assert list(models.index) == ["DeepDTA", "DeepDTA (classification) [binding]"] and (models["seeds"] == 2).all()
    errors = [result.checkpoints[f"deepdta-seed{s}"].metrics["test"]["mse"] for s in (0, 1)]
    assert np.allclose(models.loc["DeepDTA", ["mse", "mse_sd"]].astype(float), [np.mean(errors), np.std(errors, ddof=1)])
    assert np.isnan(models.loc["DeepDTA (classification) [binding]", "mse"]) and "mse" not in result.checkpoints["binding-seed0"].metrics["test"]
    assert {(a.label, a.training_seed) for a in result.audits.values()} == {(m, s) for m in models.index for s in (0, 1)}
    page = (result.out / "report.html").read_text()
    assert [run for run in result.audits if f'href="audits/{run}/report.html"' not in page] == [] and "<h1>Toy</h1>" in page
    assert len(found.differences) == 2 * 4 and set(found.differences["status"]) == {"ok"}


def test_models_of_one_label_are_told_apart_by_their_names_and_one_more_changes_none(toy, tmp_path):
    config = studies.load_study(toy)
    twin = [{"architecture": "deepdta", "name": name, "settings": SMALL, "training": {"epochs": 1, "learning_rate": rate}}
            for name, rate in (("slow", 1e-4), ("fast", 1e-3))]
    choices = tuple(studies.ModelChoice(**choice) for choice in twin)
    studies.run_study(config.model_copy(update={"models": choices[:1]}), tmp_path / "runs", device="cpu", progress=False)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.parquet")}
    both = studies.run_study(config.model_copy(update={"models": choices}), tmp_path / "runs", device="cpu", progress=False)
    assert kept and {path: path.stat().st_mtime_ns for path in kept} == kept
    assert list(both.comparison.models["model"]) == ["DeepDTA [fast]", "DeepDTA [slow]"] and set(both.audits) == {"slow-seed0", "fast-seed0"}
    settings = both.checkpoints["slow-seed0"].model.config
    assert {name: settings[name] for name in SMALL} == SMALL
    assert both.checkpoints["slow-seed0"].provenance["training"]["learning_rate"] == 1e-4


def test_what_is_wrong_with_the_last_model_is_known_before_the_first_is_trained(toy, tmp_path):
    config = studies.load_study(toy)
    for wrong, message in (({"settings": {"dropout": 2.0}}, "dropout"), ({"training": {"second_stage": 2}}, "trained in one stage")):
        with pytest.raises(InputError, match=message):
            models = (config.models[0], validated(studies.ModelChoice, architecture="deepdta", name="other", **wrong))
            studies.run_study(config.model_copy(update={"models": models}), tmp_path / "runs", device="cpu", progress=False)
    with pytest.raises(InputError, match="abacus"): studies.run_study(config, tmp_path / "runs", device="abacus", progress=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kind", ["cold-drug", "cold-target", "cold-pair"])
def test_a_study_on_a_cold_split_audits_what_was_unseen(toy, tmp_path, kind):
    cold = tmp_path / "cold.toml"
    cold.write_text(f'extends = "{toy.as_posix()}"\ntitle = "Cold"\n[split]\nkind = "{kind}"\n[[models]]\narchitecture = "deepdta"\n'
                    f'settings = {{ channels = [8, 8, 8], embedding = 16, hidden = [32, 16] }}\ntraining = {{ epochs = 1 }}\n')
    result = studies.run_study(studies.load_study(cold), tmp_path / "runs", device="cpu", progress=False)
    data, (audited,) = studies.load_dataset(result.config.dataset), result.audits.values()
    learnt, asked = data.split(kind).train.frame, audited.plan.pairs
    column = {"cold-drug": ["smiles"], "cold-target": ["sequence"], "cold-pair": ["smiles", "sequence"]}[kind]
    assert len(asked) and all(set(learnt[c]).isdisjoint(asked[c]) for c in column)
    assert result.comparison is None and (tmp_path / "runs" / "report.html").is_file()


def test_the_summary_puts_accuracy_beside_the_primary_endpoint(result):
    row = result.summary.iloc[0]
    scores = result.scores
    primary = scores[scores["run"].eq("deepdta-seed0") & scores["endpoint"].eq("primary")].iloc[0]
    assert row["mse"] == result.checkpoints["deepdta-seed0"].metrics["test"]["mse"] and row["value"] == primary["value"]
    assert (row["operator"], row["matching"], row["dose"], row["score"]) == ("substitute", "geometry", "5", "RS")
    manifest = result.audits["deepdta-seed0"].manifest
    assert manifest["metrics"]["test"]["mse"] == row["mse"] and "MSE" in result.reports[0].read_text()


def test_a_checkpoint_trained_otherwise_is_refused_and_the_difference_named(toy, result):
    longer = studies.load_study(write_toy(toy.parent, seeds=(0, 1), epochs=2, more=SECOND))
    write_toy(toy.parent, seeds=(0, 1), more=SECOND)
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
    (result.out / "report.html").unlink()
    assert set(studies.remake_reports(result.out)) == set(result.reports) and (result.out / "report.html").is_file()
    assert [path.read_bytes() for path in result.reports] == before
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


@pytest.mark.parametrize("model, field, says", [
    ({"settings": {"kernel": 3, "dropout": "much"}}, "models.0.settings.kernel", ["kernel 3", "dropout 'much'", "smiles_kernel"]),
    ({"training": {"second_stage": 3.5, "stages": 2}}, "models.0.training.stages", ["second_stage 3.5", "stages 2"]),
    ({"training": {"epochs": 0, "precision": "8"}}, "models.0.training.epochs", ["epochs 0", "precision '8'", "bf16"]),
    ({"name": "../up"}, "models.0.name", ["../up"]), ({"seeds": []}, "models.0.seeds", ["distinct seeds"])])
def test_a_model_that_cannot_be_is_named_with_what_is_wrong(model, field, says):
    with pytest.raises(InputError) as refused:
        validated(studies.StudyConfig, title="x", dataset={"name": "davis"}, models=[{"architecture": "deepdta"} | model])
    assert field in {p.field for p in refused.value.problems} and [word for word in says if word not in str(refused.value)] == []


def test_models_need_names_of_their_own():
    twice = {"title": "x", "dataset": {"name": "davis"}, "models": [{"architecture": "deepdta"}, {"architecture": "deepconv", "name": "DeepDTA"}]}
    with pytest.raises(InputError, match="a name of its own"): validated(studies.StudyConfig, **twice)


def test_what_a_file_leaves_out_is_as_the_architecture_wants_it():
    for name in studies.ARCHITECTURES:
        kind = studies.architecture(name)
        assert studies.ModelChoice(architecture=name).config() == TrainingConfig.of(kind)
        assert studies.ModelChoice(architecture=name, training={"epochs": 3}).config() == TrainingConfig.of(kind, epochs=3)


def test_a_study_extends_another_key_by_key(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "davis"\ntitle = "Mine"\n[audit]\ndoses = [20]\n[audit.primary]\nscore = "log_odds"\n')
    mine, davis = studies.load_study(tmp_path / "mine.toml"), studies.load_study("davis")
    assert mine.audit.doses == (20,) and mine.audit.primary.model_dump() == davis.audit.primary.model_dump() | {"score": "log_odds"}
    assert mine.model_copy(update={"title": davis.title, "audit": davis.audit}) == davis
    for base, says in (('"davies"', "davies.*neither a file nor one of davis"), ('"mine.toml"', "extends itself"), ("3", "not a name")):
        (tmp_path / "mine.toml").write_text(f"extends = {base}\n")
        with pytest.raises(InputError, match=says): studies.load_study(tmp_path / "mine.toml")


def test_the_packaged_studies_train_three_architectures_five_times_on_every_split():
    assert set(studies.study_names()) == {"quickstart", "davis-deepdta", "davis", "davis-cold-drug", "davis-cold-target", "davis-cold-pair"}
    davis = studies.load_study("davis")
    assert [(c.name, c.seeds) for c in davis.models] == [(name, (0, 1, 2, 3, 4)) for name in ("deepdta", "deepconv", "tapb")]
    assert davis.audit.primary == studies.load_study("davis-deepdta").audit.primary and davis.split.kind == "warm"
    for kind in ("cold-drug", "cold-target", "cold-pair"):
        cold = studies.load_study(f"davis-{kind}")
        assert cold.split.kind == kind and cold.title != davis.title
        assert cold.model_copy(update={"title": davis.title, "split": davis.split}) == davis


def test_the_packaged_study_asks_what_the_main_job_promises():
    config = studies.load_study("davis-deepdta")
    assert set(config.audit.operators) == {"mask", "substitute"} and set(config.audit.matchings) == {"uniform", "domain", "geometry"}
    assert config.audit.doses == (5, 20, "100%") and config.audit.intervention_seeds >= 2 and config.audit.primary is not None
    assert (config.dataset.name, config.split.kind, config.models[0].architecture) == ("davis", "warm", "deepdta")


def test_the_quickstart_needs_nothing_from_elsewhere_and_teaches_one_shortcut_after_the_other():
    config = studies.load_study("quickstart")
    shortcuts = [config.learnt_by(choice).shortcut for choice in config.models]
    assert config.dataset.name == config.prior.name == "planted" and config.audit.endpoint.matching == "geometry"
    assert len(shortcuts) >= 5 and shortcuts == sorted(set(shortcuts)) and (shortcuts[0], shortcuts[-1]) == (0, 1)
    first = config.models[0]
    assert all((c.settings, c.training, c.seeds) == (first.settings, first.training, first.seeds) for c in config.models)


PLANTED = """
title = "Planted"
[dataset]
name = "planted"
targets = 40
drugs = 6
families = 2
[split]
kind = "cold-target"
[every_model]
architecture = "deepdta"
settings = { channels = [8], embedding = 8, hidden = [16] }
training = { epochs = 1 }
[[models]]
name = "pocket"
[[models]]
name = "shortcut"
dataset = { shortcut = 1.0 }
[prior]
name = "planted"
[audit]
operators = ["substitute"]
matchings = ["geometry", "uniform"]
doses = [20]
repeats = 1
intervention_seeds = 2
bootstrap_draws = 100
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory, one_thread):
    folder = tmp_path_factory.mktemp("planted")
    (folder / "planted.toml").write_text(PLANTED)
    return studies.run_study(studies.load_study(folder / "planted.toml"), folder / "runs", device="cpu", progress=False)


def test_a_study_of_planted_data_ends_with_the_truth(planted):
    truth = pd.read_csv(planted.out / "truth.csv")
    pd.testing.assert_frame_equal(truth, planted.truth)
    assert list(truth["run"]) == ["pocket-seed0", "shortcut-seed0"] and truth["shortcut"].tolist() == [0, 1]
    for row in truth.itertuples():
        audited, checkpoint = planted.audits[row.run], planted.checkpoints[row.run]
        assert (row.RS, row.RS_low, row.RS_high) == tuple(audited.primary[["value", "low", "high"]])
        assert row.true_low <= row.true_reliance <= row.true_high
        assert row.auroc == checkpoint.metrics["test"]["auroc"]
    assert studies.truth_table(truth)["ρ"].tolist() == ["0", "1"]


def test_models_of_one_study_learn_their_own_affinities_and_are_asked_the_same(planted):
    first, second = planted.checkpoints.values()
    assert first.provenance["hashes"] != second.provenance["hashes"] and first.provenance["split"]["kind"] == "cold-target"
    asked = [audited.plan.pairs for audited in planted.audits.values()]
    pd.testing.assert_frame_equal(*asked)
    learnt = [pd.read_csv(checkpoint.path / "training_pairs.csv") for checkpoint in (first, second)]
    pd.testing.assert_frame_equal(*learnt)
    assert set(learnt[0]["pair_id"]).isdisjoint(asked[0]["pair_id"]) and not set(learnt[0]["target_id"]) & set(asked[0]["target_id"])
    again = studies.run_study(planted.config, planted.out, device="cpu", progress=False)
    pd.testing.assert_frame_equal(again.truth, planted.truth)


def test_other_affinities_come_from_any_table_of_the_same_pairs(toy, tmp_path):
    pairs = pd.read_csv(toy.parent / "pairs.csv")
    pairs.assign(affinity=pairs["affinity"].to_numpy()[::-1]).to_csv(tmp_path / "other.csv", index=False)
    pairs.assign(smiles=pairs["smiles"].replace("CCO", "CCCO")).to_csv(tmp_path / "strange.csv", index=False)
    config = studies.load_study(toy)
    split = studies.load_dataset(config.dataset).split()
    choice = config.models[0].model_copy(update={"dataset": {"name": str(tmp_path / "other.csv")}})
    own = studies.learnt_split(config, choice, split)
    there = pairs.assign(affinity=pairs["affinity"].to_numpy()[::-1]).set_index(["drug_id", "target_id"])["affinity"]
    assert own.test.pairs["affinity"].tolist() == [there[key] for key in zip(own.test.pairs["drug_id"], own.test.pairs["target_id"], strict=True)]
    assert [list(part.pairs["pair_id"]) for part in own] == [list(part.pairs["pair_id"]) for part in split]
    strange = config.models[0].model_copy(update={"dataset": {"name": str(tmp_path / "strange.csv")}})
    with pytest.raises(InputError, match="other pairs") as refused: studies.learnt_split(config, strange, split)
    assert {p.field for p in refused.value.problems} == {"smiles"} and {p.value for p in refused.value.problems} == {"CCCO"}


@pytest.mark.slow
def test_untrained_networks_score_one_half_under_geometry(mirror):
    "Ten networks, every target, one draw; `benchmarks/untrained.py` gives both operators and the spread."
    davis, test = load_davis(), load_davis().test
    prior = KlifsPocket().annotate(davis.targets)
    design = Design(operators=["substitute"], matchings=["geometry"], doses=[20], repeats=1, intervention_seeds=1)
    null = studies.untrained_null(DeepDTA, test, prior, n=10, design=design)
    assert abs(null["RS"].mean() - 0.5) <= 0.02 and 0.005 < null["RS"].std() < 0.05 and (null["pairs"] > 4_000).all()
