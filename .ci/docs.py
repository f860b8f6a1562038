"""Build the documentation site: nbdev prepares the pages in _proc/, Quarto renders them into _docs/.

nbdev's own `nbdev_docs` and `nbdev_proc_nbs` try to install Quarto when it is missing; the steps called here never do.
`--prepare` stops before Quarto, which is what the tests run.
"""
import shutil
import subprocess
import sys
from pathlib import Path


def prepare(workers: int = 2) -> Path:
    "Process every notebook, with its API tables, sidebar and settings; returns the folder to render."
    from nbdev.config import get_config
    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
    from nbdev.serve import proc_nbs
    refresh_quarto_yml()
    _build_modidx()
    nbdev_sidebar.__wrapped__(path=get_config().nbs_path)
    return Path(proc_nbs(n_workers=workers, force=True))


def render(folder: Path) -> Path:
    "Let Quarto render `folder` and put the site where settings.ini says."
    from nbdev.config import get_config
    site = get_config().doc_path
    subprocess.run(["quarto", "render", "--no-cache"], cwd=folder, check=True)
    shutil.rmtree(site, ignore_errors=True)
    return Path(shutil.move(folder / site.name, site))


if __name__ == "__main__":
    folder = prepare()
    if "--prepare" in sys.argv[1:]: print(f"prepared the pages in {folder.name}/")
    elif shutil.which("quarto"): print(f"the site is in {render(folder).name}/index.html")
    else: sys.exit(f"The pages are prepared in {folder.name}/, but rendering them needs the program Quarto, "
                   "which is not installed here: get it from quarto.org, then run `make docs` again.")
