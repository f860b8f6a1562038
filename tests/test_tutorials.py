"""What is asked of every tutorial, and the program behind `make tutorials`. That they run is tested by `make test-notebooks`."""
import importlib.util
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from test_house import NOTEBOOKS, ROOT, TRACKED, cells_of, name_of

SPEC = importlib.util.spec_from_file_location("tutorials", ROOT / ".ci" / "tutorials.py")
tutorials = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tutorials)
TUTORIALS = [path for path in NOTEBOOKS if path.parent.name == "tutorials"]
PLAIN_TAPB = re.compile(r"TAPB(?! \(conv)") # no trained model has this name: all of ours have a learned encoder of the target


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=name_of)
def test_a_tutorial_opens_with_its_question_and_the_time_it_takes(tutorial):
    opening = "\n".join(cell["text"] for cell in cells_of(tutorial, "markdown")[:3])
    assert "**The question.**" in opening and "**The time it takes.**" in opening


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=name_of)
def test_a_tutorial_shows_and_asserts(tutorial):
    code = cells_of(tutorial, "code")
    assert any(cell["outputs"] for cell in code) and any("assert" in cell["text"] for cell in code)


def shown_by(cell: dict) -> str:
    "What a code cell shows, and the description of its figure."
    texts = re.findall(r"^#\|\s*fig-alt:.*", cell["text"], re.M)
    for output in cell["outputs"]:
        texts += output.get("text", [])
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/") or kind == "image/svg+xml": texts += data
    return "".join(texts)


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=name_of)
def test_results_of_tapb_say_that_its_encoder_is_learned(tutorial):
    assert [cell["text"] for cell in cells_of(tutorial, "code") if PLAIN_TAPB.search(shown_by(cell))] == []


def test_tables_of_results_say_that_the_encoder_of_tapb_is_learned():
    folder = ROOT / "nbs" / "tutorials"
    tables = [path for path in TRACKED if path.is_relative_to(folder) and path.suffix in (".csv", ".json")]
    assert any("TAPB (conv)" in path.read_text(encoding="utf-8") for path in tables)
    assert [name_of(path) for path in tables if PLAIN_TAPB.search(path.read_text(encoding="utf-8"))] == []
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| TAPB")]
    assert rows and [row for row in rows if PLAIN_TAPB.search(row)] == []
    names = {name_of(path): re.findall(r'"TAPB[^"\n]*"', path.read_text(encoding="utf-8")) for path in (ROOT / "benchmarks").glob("*.py")}
    assert [(where, name) for where, found in names.items() for name in found if PLAIN_TAPB.search(name)] == []


def test_all_of_them_are_run_by_default():
    assert {path.stem for path in TUTORIALS} <= {path.stem for path in tutorials.chosen([])}
    assert [path.name for path in tutorials.chosen(["quickstart"])] == ["quickstart.ipynb"]
    with pytest.raises(SystemExit, match="no tutorial slowstart; there are .*quickstart"): tutorials.chosen(["slowstart"])


def test_a_notebook_is_run_from_the_top_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    def written(name, *sources) -> Path:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / name)
        return tmp_path / name
    good = written("good.ipynb", "import os; place = os.getcwd()", f"assert place == {str(tmp_path)!r}")
    before = good.read_bytes()
    assert tutorials.run(good) == "" and good.read_bytes() == before
    assert "assert 7 == 8" in tutorials.run(written("bad.ipynb", "assert 7 == 8"))
