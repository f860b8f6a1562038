"""Build the documentation site: nbdev prepares the pages in _proc/, Quarto renders them into _docs/.

nbdev's own `nbdev_docs` and `nbdev_proc_nbs` try to install Quarto when it is missing; the steps called here never do.
`--prepare` stops before Quarto, which is what the tests run. What nbdev leaves out is put back here: the prose under a title, which
it would drop, descriptions of figures, a sidebar in reading order, an index of the interface, and `llms.txt`.
"""
import ast
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n*", re.S)

# Sections of the sidebar and their pages in reading order; what a pattern finds is sorted, and belongs where it is found first.
# A section below another is written "above/below"; the first page of one that has sections below it is what its title leads to.
SIDEBAR = {
    "Start here": ["index.ipynb", "tutorials/quickstart.ipynb", "tutorials/reading_a_report.ipynb", "tutorials/own_model.ipynb"],
    "Tutorials": ["tutorials/davis.ipynb", "tutorials/controls.ipynb", "tutorials/one_pair.ipynb", "tutorials/*.ipynb"],
    "Method and evidence": ["pages/method.ipynb", "pages/data.ipynb", "pages/comparison.qmd", "pages/faq.qmd", "pages/glossary.qmd", "pages/*"],
    "Reference": ["api.qmd"],
    "Reference/Data and priors": ["0*.ipynb"],
    "Reference/Interventions": ["1[0-2]*.ipynb"],
    "Reference/Asking a model": ["13*.ipynb", "14*.ipynb", "models/encoders.ipynb", "models/training.ipynb", "models/*.ipynb"],
    "Reference/Scores and inference": ["1[5-7]*.ipynb"],
    "Reference/Results and studies": ["18*.ipynb", "19*.ipynb", "2*.ipynb"],
    "About": ["changelog.qmd", "contributing.qmd", "citation.qmd"],
}


def pages_of(folder: Path) -> list[Path]: # relative to `folder`
    "Every page that Quarto will render."
    return sorted(path.relative_to(folder) for kind in ("ipynb", "qmd") for path in folder.rglob(f"*.{kind}")
                  if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts))


def sidebar(pages: list[Path]) -> dict[str, list[str]]: # section → pages
    "All pages in reading order; a page that no section takes is an error."
    left, sections = list(pages), {}
    for section, patterns in SIDEBAR.items():
        for pattern in patterns:
            found = [page for page in left if page.match(pattern) and len(page.parts) == len(Path(pattern).parts)]
            sections.setdefault(section, []).extend(map(str, found))
            left = [page for page in left if page not in found]
    if left: sys.exit(f"no section of the sidebar takes {', '.join(map(str, left))}: see SIDEBAR in .ci/docs.py")
    return {section: found for section, found in sections.items() if found}


def as_contents(sections: dict[str, list[str]]) -> list[dict]: # as Quarto's sidebar wants them
    "The sections, those below others inside them."
    made = {}
    for name, pages in sections.items():
        above, _, title = name.rpartition("/")
        made[name] = {"section": title, "contents": pages}
        if not above: continue
        upper = made[above]
        if "href" not in upper: upper |= {"href": upper["contents"][0], "contents": []}
        upper["contents"].append(made[name])
    return [entry for name, entry in made.items() if "/" not in name]


def front_matter(page: Path) -> dict:
    "What stands between the first two lines of dashes."
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb": text = "".join(json.loads(text)["cells"][0]["source"])
    return yaml.safe_load(FRONT_MATTER.match(text)[1])


def address(page: Path) -> str: # of `page`, which is relative to the site
    "Where Quarto puts a page; nbdev takes the numbers out of the names of notebooks."
    stem = re.sub(r"^\d+[a-zA-Z0-9]*_", "", page.stem) if page.suffix == ".ipynb" else page.stem
    return (page.parent / f"{stem}.html").as_posix()


def write_page(path: Path, text: str, **about) -> None:
    "A page of prose under a front matter."
    header = yaml.safe_dump(about | {"output-file": f"{path.stem}.html"}, allow_unicode=True, sort_keys=False)
    path.write_text(f"---\n{header}---\n\n{text.strip()}\n", encoding="utf-8")


def make_page(path: Path, title: str, description: str, text: str) -> None:
    "A page that no file of the repository holds, so that it cannot lead to one."
    write_page(path, text, title=title, description=description, **{"repo-actions": False})


def described(cell: dict) -> dict:
    "The cell with the description that its chart carries as alternative text, if it does not have its own."
    drawn = "".join(part for output in cell.get("outputs", []) for part in output.get("data", {}).get("image/svg+xml", ""))
    label = re.search(r'<svg[^>]*? aria-label="([^"]*)"', drawn)
    source = "".join(cell["source"])
    if label and "#| fig-alt:" not in source:
        cell["source"] = f"#| fig-alt: {json.dumps(html.unescape(label[1]), ensure_ascii=False)}\n{source}"
    return cell


def finish_notebook(source: Path, page: Path, linkify) -> None:
    "Put back the prose that stands under the title, and describe the figures."
    first = next(cell for cell in json.loads(source.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown")
    prose = re.sub(r"\A\s*# .*\n+(>.*\n?)*", "", "".join(first["source"])).strip()
    notebook = json.loads(page.read_text(encoding="utf-8"))
    notebook["cells"] = [described(cell) if cell["cell_type"] == "code" else cell for cell in notebook["cells"]]
    if prose: notebook["cells"].insert(1, {"cell_type": "markdown", "id": "prose", "metadata": {}, "source": linkify(prose)})
    page.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), encoding="utf-8")


def first_lines(module: Path) -> dict[str, str]: # name → first line of its docstring
    "What the functions and classes of a module say of themselves."
    told = {node.name: ast.get_docstring(node) for node in ast.parse(module.read_text(encoding="utf-8")).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return {name: text.split("\n")[0].replace("|", r"\|") for name, text in told.items() if text}


def api_index(folder: Path) -> str:
    "Every public function and class with its first sentence and a link to its documentation, module by module."
    written, pages, parts = {}, {address(page): page for page in pages_of(folder)}, {}
    exec((ROOT / "isaac" / "_modidx.py").read_text(encoding="utf-8"), written)
    for module, symbols in written["d"]["syms"].items():
        links = {name.removeprefix(f"{module}."): link for name, (link, _) in symbols.items()}
        page = next((pages[link.split("#")[0]] for link in links.values()), None)
        if page is None: continue
        told, shown = first_lines(ROOT / f"{module.replace('.', '/')}.py"), set(re.findall(r"^### (\w+)$", markdown_of(folder / page), re.M))
        rows = [f"| [`{name}`]({page}#{link.split('#')[1]}) | {told[name]} |" for name, link in links.items() if name in told and name in shown]
        about = front_matter(folder / page)
        heading = f"## {about['title']}\n\n[`{module}`]({page}): {about['description']}\n"
        parts[page] = "\n".join([heading, "| name | what it does |", "|---|---|", *rows])
    return "\n\n".join(parts[page] for page in sorted(parts))


def markdown_of(page: Path) -> str:
    "The Markdown of a prepared notebook, its outputs included."
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return "\n".join(texts + ["".join(output["data"]["text/markdown"]) for cell in cells for output in cell.get("outputs", [])
                              if "text/markdown" in output.get("data", {})])


def citation() -> str:
    "CITATION.cff as people paste it."
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cff["references"][0]
    names = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    number = paper["url"].rsplit("/", 1)[-1]
    return f"""{cff['message']}

## The software

```bibtex
@software{{isaac,
  title   = {{{cff['title']}}},
  author  = {{{{{cff['authors'][0]['name']}}}}},
  version = {{{cff['version']}}},
  license = {{{cff['license']}}},
  url     = {{{cff['repository-code']}}}
}}
```

## The paper whose idea it implements

```bibtex
@article{{tarantino{paper['year']}isaac,
  title         = {{{paper['title']}}},
  author        = {{{names}}},
  year          = {{{paper['year']}}},
  eprint        = {{{number}}},
  archivePrefix = {{arXiv}},
  url           = {{{paper['url']}}}
}}
```

This is an independent implementation: the paper's formulas are not public, and the definitions here are ours ([method](pages/method.ipynb)). Cite the
sources of the [data](pages/data.ipynb), too.
"""


def without_title(name: str) -> str:
    "A Markdown file of the repository without its title; what it links in the repository is linked on GitHub."
    from nbdev.config import get_config
    text = re.sub(r"\A# .*\n", "", (ROOT / name).read_text(encoding="utf-8"))
    return re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", rf"]({get_config().git_url}/blob/{get_config().branch}/\1)", text)


def llms(folder: Path, sections: dict[str, list[str]]) -> str:
    "What the site holds, for programs that read it: each page with its promise."
    from nbdev.config import get_config
    config = get_config()
    home = f"{config.doc_host}{config.doc_baseurl}"
    parts = [f"# {config.title}\n\n> {config.description}", f"The text of all pages but those of the modules: {home}/llms-full.txt"]
    for section, pages in sections.items():
        told = [(front_matter(folder / page), address(Path(page))) for page in pages]
        lines = [f"- [{about['title']}]({home}/{where}): {about['description']}" for about, where in told]
        parts.append(f"## {section.replace('/', ': ')}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def shown(cell: dict) -> str: # Markdown
    "A cell as plain text: code, what it printed, and the description of what it drew."
    text = "".join(cell["source"])
    if cell["cell_type"] != "code": return "" if cell["cell_type"] == "raw" else text
    alt = re.search(r"^#\| fig-alt: (.+)$", text, re.M)
    code = re.sub(r"^#\|.*\n?", "", text, flags=re.M).strip()
    parts = [f"```python\n{code}\n```"] if code and "#| echo: false" not in text else []
    for output in cell.get("outputs", []):
        data = output.get("data", {"text/plain": output.get("text", "")})
        if any(kind.startswith("image/") for kind in data): parts.append(f"*Figure: {yaml.safe_load(alt[1]) if alt else 'not described'}*")
        elif "text/markdown" in data: parts.append("".join(data["text/markdown"]))
        elif plain := "".join(data.get("text/plain", "")).strip(): parts.append(f"```\n{plain}\n```")
    return "\n\n".join(parts)


def llms_full(folder: Path, sections: dict[str, list[str]]) -> str:
    "The text of every page that is no module's, one after the other."
    texts = []
    for page in (Path(page) for section, pages in sections.items() if "/" not in section for page in pages):
        text, about = (folder / page).read_text(encoding="utf-8"), front_matter(folder / page)
        body = "\n\n".join(filter(None, map(shown, json.loads(text)["cells"]))) if page.suffix == ".ipynb" else FRONT_MATTER.sub("", text)
        texts.append(f"# {about['title']} ({address(page)})\n\n> {about['description']}\n\n{body.strip()}")
    return "\n\n".join(texts) + "\n"


def prepare(workers: int = 2) -> Path:
    "Process every notebook, and make the pages that are made; returns the folder to render."
    from nbdev.config import get_config
    from nbdev.doclinks import NbdevLookup, _build_modidx
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    refresh_quarto_yml()
    _build_modidx()
    folder, source = Path(proc_nbs(n_workers=workers, force=True)), get_config().nbs_path
    link = NbdevLookup().linkify
    for page in pages_of(folder):
        if page.suffix == ".ipynb": finish_notebook(source / page, folder / page, link)
        else:
            about, text = front_matter(folder / page), (folder / page).read_text(encoding="utf-8")
            write_page(folder / page, link(re.sub(FRONT_MATTER, "", text)), **about)
    make_page(folder / "api.qmd", "Reference", "Every public function and class, module by module.", api_index(folder))
    make_page(folder / "changelog.qmd", "Changelog", "What has changed, and which published numbers with it.", without_title("CHANGELOG.md"))
    make_page(folder / "contributing.qmd", "Contributing", "How the house is built, and how to change it.", without_title("CONTRIBUTING.md"))
    make_page(folder / "citation.qmd", "How to cite", "The software, and the paper whose idea it implements.", citation())
    sections = sidebar(pages_of(folder))
    entries = {"website": {"sidebar": {"contents": as_contents(sections)}}}
    (folder / "sidebar.yml").write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
    for name, text in (("llms.txt", llms), ("llms-full.txt", llms_full)): (folder / name).write_text(text(folder, sections), encoding="utf-8")
    return folder


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
