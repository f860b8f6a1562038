"""The command line as people and scripts meet it: streams, exit codes, and a whole job in real processes."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy import write_toy
from typer.testing import CliRunner

import isaac
from isaac.cli import app

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments) -> list[str]: return [sys.executable, "-c", "from isaac.cli import app; app(prog_name='isaac')", *map(str, arguments)]


def surroundings(**changes) -> dict[str, str]:
    "The environment of a process that imports this tree; None takes a variable away."
    kept = os.environ | {"PYTHONPATH": str(ROOT)} | changes
    return {name: value for name, value in kept.items() if value is not None}


def process(*arguments, cwd=None, **changes) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), cwd=cwd, env=surroundings(**changes), capture_output=True, text=True)


def call(*arguments): return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def toy(tmp_path_factory): return write_toy(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def data(toy): return ["--dataset", toy.parent / "pairs.csv", "--threshold", 6.5]


@pytest.fixture(scope="module")
def checkpoint(toy, data):
    "Trained by the command, in this process."
    out = toy.parent / "seed0"
    done = call("train", "deepdta", *data, "--epochs", 1, "--device", "cpu", "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    return out


def test_isaac_alone_says_what_to_do_next():
    done = call()
    assert done.exit_code == 0 and done.stdout.count("\n  isaac ") == 7 and "isaac study quickstart" in done.stdout
    assert call("--version").stdout == f"isaac {isaac.__version__}\n"


@pytest.mark.parametrize("name", ["fetch", "train", "audit", "check", "controls", "plan", "score", "validate", "study", "compare", "publish",
                                  "report"])
def test_every_command_has_help_with_an_example(name):
    done = call(name, "--help")
    assert done.exit_code == 0 and f"Example: isaac {name}" in done.stdout and "--json" in done.stdout


def test_help_needs_none_of_the_heavy_libraries():
    code = "import sys\nfrom isaac.cli import app\ntry: app(['--help'])\nexcept SystemExit: print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=surroundings(), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "typer" in loaded and loaded & {"torch", "pandas", "numpy", "rdkit", "lightning", "matplotlib", "pydantic"} == set()


@pytest.mark.parametrize("arguments, says", [
    (["train", "resnet"], ["resnet", "deepdta"]),
    (["train", "deepdta", "--dataset", "davies"], ["davies", "davis, kiba"]),
    (["train", "deepdta", "--dataset", "absent.csv", "--threshold", "7"], ["absent.csv", "does not exist"]),
    (["train", "deepdta", "--split", "lukewarm"], ["lukewarm", "cold-target"]),
    (["train", "deepdta", "--epochs", "0"], ["epochs", "whole number from 1"]),
    (["train", "deepdta", "--seed", "1", "--seeds", "2"], ["seed 1", "--seeds 2"]),
    (["train", "deepdta", "--seeds", "0"], ["seeds 0", "1 or more"]),
    (["train", "deepdta", "--objective", "ranking"], ["ranking", "regression or classification"]),
    (["train", "deepdta", "--set", "kernel=3", "--set", "dropout=much"], ["kernel 3", "dropout 'much'", "target_kernel"]),
    (["train", "deepdta", "--set", "dropout", "--set", "objective=regression", "--objective", "regression"], ["not KEY=VALUE", "given before"]),
    (["train", "deepdta", "--set", "epochs=2", "--epochs", "3"], ["epochs=3", "given before"]),
    (["train", "deepdta", "--set", "drugs_per_target=2", "--set", "drugs_per_block=2"], ["training.drugs_per_block 2", "drugs_per_target"]),
    (["train", "deepdta", "--precision", "8"], ["precision '8'", "bf16"]),
    (["train", "tapb", "--set", "target_encoder=lstm"], ["target_encoder 'lstm'", "conv or esm2"]),
    (["compare", "nowhere"], ["nowhere", "no audit and no study"]),
    (["audit", "nowhere"], ["nowhere", "no such folder", "isaac train"]),
    (["audit", "nowhere", "--operators", "mask,scramble", "--doses", "0"], ["scramble", "substitute", "alanine", "dose 0"]),
    (["audit", "nowhere", "--primary", "mask"], ["primary", "operator/matching/dose"]),
    (["audit", "nowhere", "--primary", "mask/geometry/7"], ["dose 7", "5, 20, 100%"]),
    (["plan", "--out", "x", "--scale", "percent", "--max-target-length", "0"], ["scale 'percent'", "max_target_length 0"]),
    (["plan", "--out", "x", "--pairs", "some"], ["pairs 'some'", "test or all"]),
    (["score", "nowhere", "p.csv", "--name", "mine"], ["nowhere holds no plan", "isaac plan"]),
    (["study", "davies"], ["davies", "davis-deepdta"]),
    (["report", "nowhere"], ["nowhere", "finished audit"]),
    (["fetch", "davis", "chembl"], ["chembl", "davis, kiba, klifs"]),
])
def test_mistakes_end_in_exit_code_2_and_name_what_would_do(arguments, says):
    done = call(*arguments)
    assert done.exit_code == 2 and done.stdout == "" and done.stderr.count("Error: ") == 1 and "Traceback" not in done.stderr
    assert [word for word in says if word not in done.stderr] == []


@pytest.mark.parametrize("arguments", [["train"], ["audit", "x", "--repeats", "many"], ["nonsense"]])
def test_bad_usage_ends_in_exit_code_2(arguments):
    done = call(*arguments)
    assert done.exit_code == 2 and done.stdout == "" and "Usage:" in done.stderr


def test_without_network_and_mirror_a_study_says_what_to_set(tmp_path):
    "A proxy that refuses every connection stands for a machine without network."
    refused = "http://127.0.0.1:9"
    done = process("study", "davis-deepdta", cwd=tmp_path, ISAAC_MIRROR=None, ISAAC_CACHE=str(tmp_path / "cache"),
                   HTTPS_PROXY=refused, https_proxy=refused, NO_PROXY=None, no_proxy=None)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "Error: " in done.stderr and "set ISAAC_MIRROR to a directory, or an http(s) address" in done.stderr
    assert not (tmp_path / "runs").exists()


PAIRS = "smiles,sequence,affinity\n" + "".join(f"{smiles},{'MKTAYIAKQR' * 4}{last},{5 + i}\n"
                                               for i, smiles in enumerate(("CCO", "CCN", "c1ccccc1O")) for last in "ACDE")
ASKED = ["--dataset", "pairs.csv", "--threshold", "6"]

FIRST_MINUTES = {
    "columns of other names": (["validate", "other.csv"], ["smiles", "sequence", "mol, prot, val", "--column smiles="]),
    "nothing in a file": (["validate", "empty.csv"], ["empty.csv", "is empty"]),
    "a header alone": (["validate", "header.csv"], ["nothing below the header"]),
    "semicolons": (["validate", "semicolons.csv"], ["--delimiter ';'"]),
    "semicolons, a mark and decimal commas, as Excel writes": (["validate", "excel.csv"], ["--delimiter ';'"]),
    "UTF-16": (["validate", "wide.csv"], ['encoding="utf-16"']),
    "no file": (["validate", "absent.csv"], ["absent.csv", "does not exist"]),
    "no threshold": (["audit", "faulty:model", "--dataset", "pairs.csv"], ["--threshold 7"]),
    "no such device": (["train", "deepdta", *ASKED, "--device", "gpu"], ["'gpu'", "Use auto, cpu"]),
    "a misspelt matching": (["audit", "nowhere", "--matchings", "geometri"], ["geometri", "geometry"]),
    "a misspelt option": (["audit", "nowhere", "--opertors", "mask"], ["--operators"]),
    "a misspelt command": (["audti", "nowhere"], ["Did you mean 'audit'?"]),
    "a folder that is no checkpoint": (["audit", "folder"], ["model.safetensors", "isaac train deepdta"]),
    "a model that fails": (["audit", "faulty:model", *ASKED, "--prior", "motif:K", "--min-prior", "1", "--doses", "1"],
                           ["ZeroDivisionError", "faulty.py, line 1", "isaac check"]),
    "a model with a missing import": (["audit", "needs:model", *ASKED], ["no_such_package", "Importing needs failed"]),
}

@pytest.mark.parametrize("what", FIRST_MINUTES)
def test_what_goes_wrong_in_the_first_minutes_says_the_next_step(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "folder").mkdir()
    for name, content in {"pairs.csv": PAIRS, "other.csv": PAIRS.replace("smiles,sequence,affinity", "mol,prot,val"), "empty.csv": "",
                          "header.csv": "smiles,sequence,affinity\n", "semicolons.csv": PAIRS.replace(",", ";"),
                          "excel.csv": "\ufeff" + PAIRS.replace(",", ";").replace("\n", ",5\r\n").replace("affinity,5", "affinity"),
                          "faulty.py": "def model(smiles, sequences): return 1 / 0\n", "needs.py": "import no_such_package\n"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    (tmp_path / "wide.csv").write_text(PAIRS, encoding="utf-16")
    arguments, says = FIRST_MINUTES[what]
    done = call(*arguments)
    assert done.exit_code == 2 and "Traceback" not in done.output and (done.exception is None or isinstance(done.exception, SystemExit))
    assert [word for word in says if word not in done.output] == []
    for name in ("faulty", "needs"): sys.modules.pop(name, None)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_the_same_with_other_line_ends_and_a_byte_order_mark(tmp_path, ends, mark):
    (tmp_path / "pairs.csv").write_text(mark + PAIRS.replace("\n", ends), encoding="utf-8", newline="")
    look = json.loads(call("validate", tmp_path / "pairs.csv", "--json").stdout)
    assert look["counts"][0]["count"] == 12 and look["problems"] == [] and look["columns"]["smiles"] == "smiles"


def test_a_cache_that_cannot_be_written_is_named_and_is_not_called_a_missing_network(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ISAAC_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("ISAAC_MIRROR", raising=False)
    done = call("fetch", "davis")
    assert done.exit_code == 2 and "Set ISAAC_CACHE to a directory that can be written" in done.stderr and "internet" not in done.stderr


def test_no_p_value_is_printed_as_zero(capsys):
    import pandas as pd

    from isaac.cli import print_table
    print_table(pd.DataFrame({"test": ["untrained networks"], "value": [-0.25], "p": [2e-6], "q": [0.0004], "p_holm": [0.04], "se": [float("nan")]}))
    said = capsys.readouterr().out
    assert said.count("<0.001") == 2 and " 0.040" in said and "-0.250" in said and "0.000" not in said and "–" in said


def test_fetch_lists_checked_files(mirror):
    done = call("fetch", "davis", "klifs", "--json", "--quiet")
    files = json.loads(done.stdout)
    assert done.exit_code == 0 and {row["file"].split("/")[0] for row in files} == {"davis", "klifs"}
    assert all(Path(row["path"]).stat().st_size == row["bytes"] for row in files)


def test_training_again_keeps_the_checkpoint_and_refuses_another(checkpoint, data):
    again = call("train", "deepdta", *data, "--epochs", 1, "--out", checkpoint, "--json", "--quiet")
    answer = json.loads(again.stdout)
    assert again.exit_code == 0 and answer["checkpoint"] == str(checkpoint) and set(answer["metrics"]["test"]) == {"mse", "ci", "auroc", "auprc"}
    other = call("train", "deepdta", *data, "--epochs", 1, "--seed", 1, "--out", checkpoint, "--quiet")
    assert other.exit_code == 2 and "seed 0 – now 1" in other.stderr


def test_several_seeds_are_trained_and_all_of_them_reported(data, tmp_path):
    asked = ["train", "deepdta", *data, "--seeds", 3, "--epochs", 1, "--device", "cpu", "--objective", "classification",
             "--set", "channels=[8, 8, 8]", "--set", "hidden=[16, 8]", "--set", "drugs_per_target=2", "--out", tmp_path, "--quiet"]
    people, scripts = call(*asked), call(*asked, "--json")
    assert people.exit_code == 0, people.output
    rows = [line.split() for line in people.stdout.splitlines() if line[1:2].isdigit() or line.startswith((" mean", " sd"))]
    answer = json.loads(scripts.stdout)
    assert [row[0] for row in rows] == ["0", "1", "2", "mean", "sd"] == [row["seed"] for row in answer["test"]]
    auroc = [c["metrics"]["test"]["auroc"] for c in answer["checkpoints"]]
    assert [row["auroc"] for row in answer["test"]] == pytest.approx([*auroc, np.mean(auroc), np.std(auroc, ddof=1)])
    assert [c["checkpoint"] for c in answer["checkpoints"]] == [str(tmp_path / f"seed{s}") for s in range(3)]
    assert "DeepDTA (classification), test part" in people.stdout and "mse" not in people.stdout
    kept = answer["checkpoints"][2]["provenance"]
    assert kept["seed"] == 2 and kept["config"]["channels"] == [8, 8, 8] and kept["config"]["objective"] == "classification"
    assert kept["training"]["drugs_per_target"] == 2 and kept["training"]["epochs"] == 1


def test_audits_are_compared_on_the_command_line(toy, data, checkpoint, tmp_path):
    other = call("train", "deepdta", *data, "--epochs", 1, "--objective", "classification", "--device", "cpu", "--out", tmp_path / "b", "--quiet")
    assert other.exit_code == 0, other.output
    for trained, name in ((checkpoint, "one"), (tmp_path / "b", "two")):
        asked = call("audit", trained, *data, "--prior", toy.parent / "pocket.csv", "--operators", "mask", "--matchings", "geometry",
                     "--doses", "5", "--repeats", 1, "--seeds", 1, "--out", tmp_path / name, "--quiet")
        assert asked.exit_code == 0, asked.output
    people = call("compare", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "both")
    assert people.exit_code == 0 and max(map(len, people.stdout.splitlines()[:-1])) < 240
    assert "Model minus other" in people.stdout and "(max − min)/min" in people.stdout
    assert {p.name for p in (tmp_path / "both").iterdir()} == {f"{name}.csv" for name in (
        "models", "comparison", "differences", "auroc_differences", "relative_range", "variance", "reliability", "seeds")} | {
        "comparison.json", "report.html"}
    answer = json.loads(call("compare", tmp_path / "two", tmp_path / "one", "--json").stdout)
    assert [row["model"] for row in answer["models"]] == ["DeepDTA", "DeepDTA (classification)"] and answer["models"][1]["mse"] is None
    gap = next(row for row in answer["differences"] if row["score"] == "RS")
    assert gap["value"] == pytest.approx(answer["models"][0]["RS"] - answer["models"][1]["RS"]) and gap["low"] < gap["value"] < gap["high"]
    alone = call("compare", tmp_path / "one")
    assert alone.exit_code == 2 and "two audits or more" in alone.stderr


def test_audits_are_frozen_and_others_placed_beside_them(toy, data, checkpoint, tmp_path):
    asked = ["--prior", toy.parent / "pocket.csv", "--operators", "mask", "--matchings", "geometry", "--doses", "5", "--seeds", 1, "--quiet"]
    for name, repeats in (("one", 1), ("two", 2)):
        assert call("audit", checkpoint, *data, *asked, "--repeats", repeats, "--out", tmp_path / name).exit_code == 0
    frozen = call("compare", tmp_path / "one", "--freeze", tmp_path / "ours.json", "--json")
    assert json.loads(frozen.stdout) == {"written": str(tmp_path / "ours.json"), "models": ["DeepDTA"], "pairs": 20}
    people = call("compare", tmp_path / "one", "--reference", tmp_path / "ours.json", "--out", tmp_path / "placed")
    assert people.exit_code == 0 and "DeepDTA [ours]" in people.stdout and "p of Δ RS (Holm)" in people.stdout
    answer = json.loads(call("compare", tmp_path / "one", "--reference", tmp_path / "ours.json", "--json").stdout)
    assert [row["model"] for row in answer["models"]] == ["DeepDTA", "DeepDTA [ours]"] and abs(answer["differences"][0]["value"]) < 1e-5
    other = call("compare", tmp_path / "two", "--reference", tmp_path / "ours.json")
    assert other.exit_code == 2 and "repeats 2" in other.stderr and "1 in ours" in other.stderr
    unknown = call("compare", tmp_path / "one", "--reference", "kiba")
    assert unknown.exit_code == 2 and "davis" in unknown.stderr
    both = call("compare", tmp_path / "one", "--reference", "davis", "--freeze", tmp_path / "x.json")
    assert both.exit_code == 2 and "beside --freeze" in both.stderr and not (tmp_path / "x.json").exists()


def test_an_audit_is_published_once(toy, data, checkpoint, tmp_path):
    assert call("audit", checkpoint, *data, "--prior", toy.parent / "pocket.csv", "--operators", "mask", "--matchings", "geometry", "--doses", "5",
                "--repeats", 1, "--seeds", 2, "--out", tmp_path / "run", "--quiet").exit_code == 0
    people = call("publish", tmp_path / "run", tmp_path / "paper")
    assert people.exit_code == 0 and str(tmp_path / "paper") in people.stdout and "supplement.tex" in people.stdout
    names = {p.name for p in (tmp_path / "paper").iterdir()}
    assert {"methods.md", "methods.tex", "checklist.md", "supplement.tex", "scores.csv", "scores.tex", "forest.svg", "forest.pdf"} <= names
    again = call("publish", tmp_path / "run", tmp_path / "paper")
    assert again.exit_code == 2 and "not an empty folder" in again.stderr and {p.name for p in (tmp_path / "paper").iterdir()} == names
    answer = json.loads(call("publish", tmp_path / "run", tmp_path / "second", "--json").stdout)
    assert answer == {"out": str(tmp_path / "second"), "files": sorted(names)}
    nowhere = call("publish", tmp_path / "nowhere", tmp_path / "third")
    assert nowhere.exit_code == 2 and "nowhere" in nowhere.stderr and not (tmp_path / "third").exists()


def test_audit_prints_a_table_for_people_and_json_for_scripts(toy, checkpoint, data, tmp_path):
    asked = ["audit", checkpoint, *data, "--prior", toy.parent / "pocket.csv", "--operators", "alanine", "--operators", "mask",
             "--matchings", "geometry", "--doses", "5", "--repeats", 1, "--seeds", 2, "--primary", "mask/geometry/5", "--out", tmp_path / "run"]
    people = call(*asked, "--quiet")
    assert people.exit_code == 0, people.output
    assert "alanine" in people.stdout and "Primary endpoint: RS" in people.stdout and str(tmp_path / "run" / "report.html") in people.stdout
    scripts = call(*asked, "--json")
    answer = json.loads(scripts.stdout)
    assert answer["primary"]["operator"] == "mask" and {row["operator"] for row in answer["scores"]} == {"alanine", "mask"}
    (tmp_path / "run" / "report.html").unlink()
    assert json.loads(call("report", tmp_path / "run", "--json").stdout) == {"reports": [str(tmp_path / "run" / "report.html")]}
    assert (tmp_path / "run" / "report.html").is_file()


def test_workers_give_what_one_process_gives_and_runs_lists_both(toy, checkpoint, data, tmp_path):
    asked = ["audit", checkpoint, *data, "--prior", toy.parent / "pocket.csv", "--operators", "mask", "--matchings", "uniform", "--doses", "5",
             "--repeats", 1, "--seeds", 2, "--json", "--quiet"]
    one, two = (json.loads(call(*asked, "--workers", n, "--out", tmp_path / str(n)).stdout)["scores"] for n in (1, 2))
    assert one == two
    listed = json.loads(call("runs", tmp_path, "--json").stdout)
    assert [(row["run"], row["state"]) for row in listed] == [(str(tmp_path / n), "finished") for n in "12"]
    assert "mask/uniform/5/RS" in call("runs", tmp_path).stdout and call("runs", tmp_path / "nowhere").exit_code == 2
    refused = call(*asked, "--backend", "dask", "--out", tmp_path / "3")
    assert refused.exit_code == 2 and "without a number of workers" in refused.stderr and not (tmp_path / "3").exists()


def test_what_an_audit_costs_is_said_without_doing_it(toy, checkpoint, data, tmp_path):
    asked = ["audit", checkpoint, *data, "--prior", toy.parent / "pocket.csv", "--operators", "substitute", "--matchings", "geometry,uniform",
             "--doses", "5,10", "--repeats", 2, "--seeds", 2, "--primary", "substitute/uniform/10", "--out", tmp_path / "run", "--quiet"]
    people, scripts = call(*asked, "--estimate", "--width", 0.2), call(*asked, "--estimate", "--width", 0.2, "--json")
    assert people.exit_code == 0 and "predictions for" in people.stdout and "RS (substitute / uniform / 10)" in people.stdout, people.output
    answer = json.loads(scripts.stdout)
    assert (answer["draws"], answer["matching"], answer["score"]) == (4, "uniform", "RS") and 0 < answer["expected"] < 1
    assert f"{answer['predictions']:,} predictions" in people.stdout and answer["seconds"] > 0
    assert "width" not in json.loads(call(*asked, "--estimate", "--json").stdout) and not (tmp_path / "run").exists()
    refused = call(*asked, "--width", 0.2)
    assert refused.exit_code == 2 and "without --estimate" in refused.stderr
    done = json.loads(call(*asked, "--json").stdout)
    assert answer["predictions"] == json.loads((tmp_path / "run" / "manifest.json").read_text())["account"]["predicted"] and done["scores"]


def test_an_audit_guards_a_pipeline(toy, checkpoint, data, tmp_path):
    asked = ["audit", checkpoint, *data, "--prior", toy.parent / "pocket.csv", "--operators", "mask", "--matchings", "geometry", "--doses", "5,10",
             "--repeats", 1, "--seeds", 2, "--primary", "mask/geometry/5", "--family", "mask/geometry/10", "--placebos", 3, "--initialisations", 3,
             "--grid", "--out", tmp_path / "run", "--quiet"]
    holds, warns = ["--require", "pairs > 10"], ["--require", "warn: RS > 2"]
    fails = ["--require", "beats 100 % of placebo priors", "--require", "RS > 2"]
    done = call(*asked, *holds, *warns)
    assert done.exit_code == 0 and "PASS" in done.stdout and "WARN" in done.stdout and (tmp_path / "run" / "specific.csv").is_file()
    assert [text for text in ("placebo priors", "untrained networks", "RS_specific") if text not in done.stdout] == []
    assert call(*asked, *warns, "--fail-on", "warn").exit_code == 1 and call(*asked, *fails).exit_code == 1
    assert call(*asked, *fails, "--fail-on", "never").exit_code == 0
    answer = json.loads(call(*asked, *fails, "--json").stdout)
    assert [row["verdict"] for row in answer["verdicts"]][1] == "FAIL" and {row["dose"] for row in answer["tests"]} == {"5", "10"}
    assert call(*asked, "--require", "RS.lo > 0.5").exit_code == 2 and call(*asked, "--fail-on", "always").exit_code == 2
    assert "option family" in call(*asked, "--family", "mask").stderr


def test_a_folder_with_checkpoints_is_no_checkpoint_and_lists_them(checkpoint):
    done = call("audit", checkpoint.parent)
    assert done.exit_code == 2 and str(checkpoint) in done.stderr


def test_a_study_in_its_own_process_prints_json_alone_and_twice_the_same(toy, tmp_path):
    first = process("study", toy, "--device", "cpu", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert answer["out"] == str(Path("runs", "toy")) and [row["run"] for row in answer["summary"]] == ["deepdta-seed0"]
    assert all((tmp_path / path).is_file() for path in answer["reports"]) and (tmp_path / "runs" / "toy" / "report.html").is_file()
    second = process("study", toy, "--device", "cpu", cwd=tmp_path)
    assert second.returncode == 0 and second.stdout.splitlines()[-1].startswith("Report: ")
    assert json.loads(process("study", toy, "--json", "--quiet", cwd=tmp_path).stdout) == answer


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_in_130_and_leaves_nothing_half_done(toy, data, tmp_path):
    training = subprocess.Popen(command("train", "deepdta", *data, "--epochs", 5000, "--device", "cpu", "--out", tmp_path / "seed0"),
                                env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a background job is born deaf to it
    try:
        shown = b""
        while b"epoch=" not in shown: # the bar has shown the first epochs
            shown += os.read(training.stderr.fileno(), 4096)
            assert training.poll() is None, shown.decode()
        time.sleep(0.2)
        training.send_signal(signal.SIGINT)
        out, rest = training.communicate(timeout=60)
    finally: training.kill()
    assert training.returncode == 130 and out == b"" and b"Traceback" not in rest and b"goes on from there" in rest
    assert list(tmp_path.iterdir()) == []
