"""The command line as people and scripts meet it: streams, exit codes, and a whole job in real processes."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
    assert done.exit_code == 0 and done.stdout.count("\n  isaac ") == 3 and "isaac study davis-deepdta" in done.stdout
    assert call("--version").stdout == f"isaac {isaac.__version__}\n"


@pytest.mark.parametrize("name", ["fetch", "train", "audit", "study", "report"])
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
    (["audit", "nowhere"], ["nowhere", "no such folder", "isaac train"]),
    (["audit", "nowhere", "--operators", "mask,scramble", "--doses", "0"], ["scramble", "substitute", "alanine", "dose 0"]),
    (["audit", "nowhere", "--primary", "mask"], ["primary", "operator/matching/dose"]),
    (["audit", "nowhere", "--primary", "mask/geometry/7"], ["dose 7", "5, 20, 100%"]),
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
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "Error: " in done.stderr and "set ISAAC_MIRROR to a directory, or an http(s) address" in done.stderr
    assert not (tmp_path / "runs").exists()


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
                                env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
