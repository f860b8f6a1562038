"""Run tutorials from the top, each in a fresh kernel and in its own folder, as a reader would; nothing is written.

    python .ci/tutorials.py [NAME …]   # names of notebooks in nbs/tutorials and nbs/pages; all of them by default
"""
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

NBS = Path(__file__).resolve().parents[1] / "nbs"


def chosen(names: list[str]) -> list[Path]:
    "The notebooks of these names; an unknown one ends the program."
    known = {path.stem: path for folder in ("tutorials", "pages") for path in sorted((NBS / folder).glob("*.ipynb"))}
    if unknown := [name for name in names if name not in known]: sys.exit(f"no tutorial {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def run(path: Path) -> str: # what went wrong; empty if nothing did
    "Run one notebook."
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code": cell.outputs = []
    try: NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error: return str(error) or type(error).__name__
    return ""


if __name__ == "__main__":
    failed, notebooks = {}, chosen(sys.argv[1:])
    for path in notebooks:
        start = time.monotonic()
        if wrong := run(path): failed[path.name] = wrong
        print(f"{path.parent.name}/{path.name}: {'FAILED' if wrong else 'ran'} in {time.monotonic() - start:.0f} s", flush=True)
    for name, wrong in failed.items(): print(f"\n{name}\n{wrong}", file=sys.stderr)
    sys.exit(f"{len(failed)} of {len(notebooks)} failed" if failed else 0)
