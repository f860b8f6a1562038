"""What is asked of every tutorial, and the program behind `make tutorials`. That they run is tested by `make test-notebooks`."""
import importlib.util
import os
import sys
from pathlib import Path

import nbformat
import pytest
from test_house import NOTEBOOKS, ROOT, cells_of, name_of

SPEC = importlib.util.spec_from_file_location("tutorials", ROOT / ".ci" / "tutorials.py")
tutorials = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tutorials)
TUTORIALS = [path for path in NOTEBOOKS if path.parent.name == "tutorials"]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=name_of)
def test_a_tutorial_opens_with_its_question_and_the_time_it_takes(tutorial):
    opening = "\n".join(cell["text"] for cell in cells_of(tutorial, "markdown")[:3])
    assert "**The question.**" in opening and "**The time it takes.**" in opening


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=name_of)
def test_a_tutorial_shows_and_asserts(tutorial):
    code = cells_of(tutorial, "code")
    assert any(cell["outputs"] for cell in code) and any("assert" in cell["text"] for cell in code)


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
