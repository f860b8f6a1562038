"""Write README.md from nbs/index.ipynb, without Quarto. `--check` only says whether it is up to date."""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parents[1]
NOTE = "<!-- Made from nbs/index.ipynb by `make readme`; edit that. -->\n\n"


def shown(cell) -> bool:
    "Does the cell belong on the page?"
    return not re.search(r"^#\|\s*(hide|default_exp|export|exporti)\b", cell.source, re.M)


def from_the_root(link: re.Match) -> str:
    "A link relative to nbs/, made relative to the repository."
    opening, target = link.groups()
    return link[0] if re.match(r"[a-z]+:|#|/", target) else f"{opening}nbs/{target}"


def readme(notebook: Path = root / "nbs" / "index.ipynb") -> str:
    "The page as GitHub's Markdown; images in outputs are refused, because a README cannot carry them."
    page = nbformat.read(notebook, as_version=4)
    page.cells = [cell for cell in page.cells if shown(cell)]
    page.metadata["language_info"] = {"name": "python"} # nbdev_clean strips it; the code blocks are coloured by it
    for cell in page.cells:
        if cell.cell_type == "code": cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip()
        else: cell.source = re.sub(r"(\]\()([^)\s]+)", from_the_root, cell.source)
    text, resources = MarkdownExporter().from_notebook_node(page)
    if resources["outputs"]:
        raise SystemExit(f"{notebook.name} has {len(resources['outputs'])} image outputs: save them under nbs/images and link them instead")
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return NOTE + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


if __name__ == "__main__":
    target = root / "README.md"
    if "--check" in sys.argv[1:]:
        if target.read_text(encoding="utf-8") != readme(): sys.exit("README.md is not what nbs/index.ipynb gives: run `make readme`")
    else:
        target.write_text(readme(), encoding="utf-8")
        print(f"wrote {target.name}")
