"""What people install: built as a release is, put into an environment of its own, and tried from an empty folder.

The environment borrows the packages that ISAAC needs from the one that runs the tests, since installing them takes minutes; it borrows
nothing of ISAAC. With all its dependencies the wheel is installed by hand before a release (CONTRIBUTING.md).
"""
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from test_house import ROOT, SETTINGS, TRACKED, name_of, run

LEFT_OUT = {".gitignore"}
EXTRAS = {key.removesuffix("_requirements"): value.split() for key, value in SETTINGS.items() if key.endswith("_requirements")}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path: # a folder
    "The sdist, made from the tracked files, and the wheel, made from the sdist."
    folder = tmp_path_factory.mktemp("built")
    for path in TRACKED:
        copy = folder / "tree" / name_of(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink(): copy.symlink_to(os.readlink(path))
        else: copy.write_bytes(path.read_bytes())
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", "."], folder / "tree")
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built) -> Path: return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path: # its folder of programs
    "An environment with the wheel, and the packages of this one but ISAAC."
    home = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", "--without-pip", home], home)
    python, = home.glob("bin/python")
    run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel], home)
    site = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True,
                               check=True).stdout.strip())
    (site / "borrowed.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}), encoding="utf-8")
    return python.parent


def outside(command: list, folder: Path, **settings) -> subprocess.CompletedProcess:
    "A command run where nothing of the repository is in reach."
    free = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "IN_TEST")}
    return subprocess.run([str(part) for part in command], cwd=folder, env=free | settings, capture_output=True, text=True)


def test_the_sdist_holds_the_repository(built):
    archive, = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar: names = {member.name.split("/", 1)[-1] for member in tar.getmembers() if not member.isdir()}
    tracked = {name_of(path) for path in TRACKED} - LEFT_OUT
    made = {name for name in names - tracked if not re.match(r"PKG-INFO$|setup\.cfg$|isaac_audit\.egg-info/", name)}
    assert tracked - names == set() and made == set()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive: names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name_of(path) for path in TRACKED if path.is_relative_to(ROOT / "isaac")}
    kinds = {Path(name).suffix for name in names}
    assert kinds >= {".py", ".toml", ".jinja", ".css"} and any(name.startswith("isaac/configs/") for name in names)


def test_the_metadata_are_those_of_settings_ini(wheel):
    with zipfile.ZipFile(wheel) as archive:
        read = {Path(name).name: archive.read(name) for name in archive.namelist() if ".dist-info/" in name}
    told = message_from_bytes(read["METADATA"])
    assert told["Name"] == SETTINGS["lib_name"] and told["Version"] == SETTINGS["version"] and "LICENSE" in read
    assert told["Requires-Python"] == f">={SETTINGS['min_python']}" and "isaac = isaac.cli:app" in read["entry_points.txt"].decode()
    assert set(told.get_all("Provides-Extra")) == set(EXTRAS) >= {"esm", "excel", "server", "dask", "ray", "dev"}
    without = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(without) == len(SETTINGS["requirements"].split())
    assert [f"Programming Language :: Python :: 3.{minor}" in told.get_all("Classifier") for minor in (10, 11, 12, 13)] == [True] * 4


def test_extras_are_documented():
    "Each has a row on the page of questions."
    rows = re.findall(r"^\| (`.+?`) \|", (ROOT / "nbs" / "pages" / "faq.qmd").read_text(encoding="utf-8"), re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(EXTRAS)


def test_extras_of_users_are_among_those_of_contributors():
    assert {one for extra, needs in EXTRAS.items() if extra != "dev" for one in needs} - set(EXTRAS["dev"]) == set()


def test_the_programs_start_from_the_wheel(installed, tmp_path):
    where = outside([installed / "python", "-c", "import isaac; print(isaac.__file__)"], tmp_path).stdout
    assert Path(where.strip()).is_relative_to(installed.parent)
    for arguments, expected in ((["--help"], "Commands"), (["--version"], SETTINGS["version"]), (["study", "quickstart", "--help"], "study")):
        done = outside([installed / "isaac", *arguments], tmp_path, COLUMNS="120")
        assert done.returncode == 0 and expected in done.stdout, done.stderr


def test_what_the_package_reads_is_in_the_wheel(installed, tmp_path):
    "Studies, templates and tables are found where the package is, not where the repository is."
    code = ("from importlib.resources import files\n"
            "here = files('isaac')\n"
            "print(*(f.relative_to(here) for f in here.rglob('*') if f.is_file() and f.suffix not in ('.py', '.pyc')))")
    data = {name_of(path).removeprefix("isaac/") for path in TRACKED if path.is_relative_to(ROOT / "isaac") and path.suffix != ".py"}
    assert set(outside([installed / "python", "-c", code], tmp_path).stdout.split()) == data


QUICKSTART = """
title = "The quickstart, smaller"
extends = "quickstart"
every_model = { training = { epochs = 1 } }
dataset = { targets = 48, drugs = 8, families = 2 }
audit = { bootstrap_draws = 100, doses = [5], primary = { dose = 5 } }
models = [{ name = "pocket" }, { name = "shortcut", dataset = { shortcut = 1.0 } }]
"""

@pytest.mark.slow
def test_the_quickstart_runs_from_the_wheel(installed, tmp_path):
    "All of it: data made, models trained, audits, comparison, reports; with fewer and smaller of each."
    (tmp_path / "smaller.toml").write_text(QUICKSTART, encoding="utf-8")
    done = outside([installed / "isaac", "study", "smaller.toml", "--out", "run"], tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-2000:]
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<style>" in report and len(list((tmp_path / "run" / "audits").glob("*/report.html"))) == 2


# The first minutes

def test_a_missing_package_is_named_with_what_to_do(installed, tmp_path):
    "As where ISAAC was installed without its dependencies."
    code = "import sys; sys.modules['torch'] = None; from isaac.cli import app; app(['study', 'quickstart'])"
    done = outside([installed / "python", "-c", code], tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the package torch is missing" in done.stderr and "-m pip install isaac-audit" in done.stderr and str(installed.parent) in done.stderr


FIRST_MINUTES = """
import json, os
from typer.testing import CliRunner
from isaac.cli import app
def tried(**settings):
    os.environ.update(settings)
    done = CliRunner().invoke(app, ["study", "davis-deepdta"])
    return done.exit_code, done.stderr
nobody = "http://127.0.0.1:9" # where nothing listens
print(json.dumps({"no network": tried(ISAAC_MIRROR="", ISAAC_CACHE="cache", HTTPS_PROXY=nobody, https_proxy=nobody),
                  "no mirror": tried(ISAAC_MIRROR="nowhere"), "empty mirror": tried(ISAAC_MIRROR=".")}))
"""

def test_without_data_the_message_says_why_and_what_to_do(installed, tmp_path):
    "No network, a mirror that is not there, and one that is empty are told apart; what works without data is named."
    done = outside([installed / "python", "-c", FIRST_MINUTES], tmp_path)
    said = json.loads(done.stdout)
    assert {code for code, _ in said.values()} == {2} and "Traceback" not in done.stderr
    (_, offline), (_, nowhere), (_, empty) = said.values()
    assert "no connection" in offline and "set ISAAC_MIRROR to a directory" in offline and "isaac study quickstart" in offline
    assert "neither an existing directory nor" in nowhere and "unset it to download" in nowhere
    assert "see that it holds these files" in empty and "unset it to download" in empty and "isaac study quickstart" in empty
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "a broken download must not lie anywhere"
