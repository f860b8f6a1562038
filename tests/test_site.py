"""The documentation site as far as it can be built without Quarto: the pages prepared, everything they link there, every figure described.

Quarto then only turns these pages into HTML; what it is told is in _quarto.yml, nbdev.yml and sidebar.yml, which are read here.
"""
import importlib.util
import inspect
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import mistune
import pytest
import yaml
from bs4 import BeautifulSoup
from test_house import NOTEBOOKS, ROOT, SETTINGS, TRACKED, cells_of, contents, name_of, run

SITE = f"{SETTINGS['doc_host']}{SETTINGS['doc_baseurl']}/"
SPEC = importlib.util.spec_from_file_location("docs", ROOT / ".ci" / "docs.py")
docs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs)
to_html = mistune.create_markdown(escape=False, plugins=["table", "math", "def_list"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    "What `make docs` hands to Quarto, made from a copy of the tracked files."
    tree = tmp_path_factory.mktemp("site")
    for path in TRACKED:
        (tree / name_of(path)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, tree / name_of(path), follow_symlinks=False)
    before = contents(tree)
    run([sys.executable, ".ci/docs.py", "--prepare"], tree)
    after = contents(tree)
    assert [name for name in before if after[name] != before[name]] == [], "preparing the site must not touch tracked files"
    return tree / "_proc"


@pytest.fixture(scope="module")
def pages(prepared) -> dict[str, BeautifulSoup]: # address → content
    "Every page as a reader gets it, without the frame."
    def content(page):
        text = docs.markdown_of(prepared / page) if page.suffix == ".ipynb" else (prepared / page).read_text(encoding="utf-8")
        return BeautifulSoup(to_html(docs.FRONT_MATTER.sub("", text)), "html.parser")
    return {docs.address(page): content(page) for page in docs.pages_of(prepared)}


def anchor(heading: str) -> str:
    "The identifier that Pandoc gives a heading."
    if explicit := re.search(r"\{[^}]*#([\w.-]+)[^}]*\}\s*$", heading): return explicit[1]
    kept = re.sub(r"[^\w\s.-]", "", re.sub(r"\{[^}]*\}\s*$", "", heading)).strip().lower()
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", kept)) or "section"


@pytest.mark.parametrize("heading, expected", [("Does the audit itself work?", "does-the-audit-itself-work"), ("The paper, ISAAC", "the-paper-isaac"),
                                               ("I-SAFE", "i-safe"), ("DTIDataset.select", "dtidataset.select"), ("2. The score", "the-score"),
                                               ("0.1.0 (unreleased)", "unreleased"), ("Named {#other}", "other"), ("3", "section")])
def test_anchors_are_those_of_pandoc(heading, expected): assert anchor(heading) == expected


def leads_of(prepared: Path, pages: dict) -> list[tuple[str, str, str, str]]: # page, link, address within the site, anchor
    "Every link that stays on the site."
    address = {name.as_posix(): docs.address(name) for name in docs.pages_of(prepared)}
    found = []
    for page, content in pages.items():
        here = next(name for name, where in address.items() if where == page)
        for link in content.find_all("a", href=True):
            target = link["href"].removeprefix(SITE) if link["href"].startswith(SITE) else urljoin(here, link["href"])
            parts = urlsplit(target)
            if not parts.scheme: found.append((page, link["href"], address.get(unquote(parts.path), parts.path), unquote(parts.fragment)))
    return found


def test_every_link_within_the_site_leads_to_a_page(prepared, pages):
    leads = leads_of(prepared, pages)
    assert len(leads) > 500
    assert sorted({(page, link) for page, link, target, _ in leads if target not in pages and not (prepared / target).is_file()}) == []


def test_every_anchor_exists(prepared, pages):
    known = {page: {anchor(h.get_text()) for h in content.find_all(re.compile("^h[1-6]$"))} for page, content in pages.items()}
    assert "content_hash" in known["core.html"] and "ice-faithfulness" in known["pages/comparison.html"]
    leads = leads_of(prepared, pages)
    assert sorted({(page, link) for page, link, target, name in leads if name and target in pages and name not in known[target]}) == []


def test_every_image_is_there_and_described(prepared, pages):
    folder = {docs.address(name): (prepared / name).parent for name in docs.pages_of(prepared)}
    images = [(page, image) for page, content in pages.items() for image in content.find_all("img")]
    local = [(page, image) for page, image in images if not urlsplit(image["src"]).scheme]
    assert [(page, image["src"]) for page, image in local if not (folder[page] / image["src"]).is_file()] == []
    assert [(page, image["src"]) for page, image in images if len(image.get("alt", "")) < 20] == []


def figures_of(notebook: Path) -> list[dict]: # cells
    return [cell for cell in cells_of(notebook, "code")
            if any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {}))]


def test_every_figure_is_described(prepared):
    "Charts bring their description along; cells with other figures say it in `#| fig-alt:`."
    notebooks = [name for name in docs.pages_of(prepared) if name.suffix == ".ipynb"]
    figures = [(str(name), cell["text"]) for name in notebooks for cell in figures_of(prepared / name)]
    told = [(name, re.search(r"^#\| fig-alt: (.+)$", text, re.M), text) for name, text in figures]
    assert len(figures) > 20 and [(name, text[:80]) for name, alt, text in told if not alt] == []
    assert [(name, alt[1]) for name, alt, _ in told if len(yaml.safe_load(alt[1])) < 40] == []


def entries_of(contents: list) -> list[str]:
    "Every page of a sidebar, in order."
    def pages(entry):
        if isinstance(entry, str): return [entry]
        return [*([entry["href"]] if "href" in entry else []), *(page for inner in entry.get("contents", []) for page in pages(inner))]
    return [page for entry in contents for page in pages(entry)]


def test_the_sidebar_holds_every_page_once(prepared):
    sidebar = yaml.safe_load((prepared / "sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]
    entries = entries_of(sidebar["contents"])
    assert sorted(entries) == sorted(map(str, docs.pages_of(prepared))) and entries[0] == "index.ipynb"
    assert {name_of(path).removeprefix("nbs/") for path in NOTEBOOKS} <= set(entries)


def test_quarto_is_told_what_exists(prepared):
    told = yaml.safe_load((prepared / "_quarto.yml").read_text(encoding="utf-8"))
    site, form = told["website"], told["format"]["html"]
    assert set(form["theme"]) == {"light", "dark"} and (prepared / form["css"]).is_file() and site["search"]
    assert [name for name in told["metadata-files"] if not (prepared / name).is_file()] == []
    named = [entry["href"] for entry in [*site["navbar"]["left"], *site["page-footer"]["right"]]] + told["project"]["resources"]
    assert [name for name in [*named, site["favicon"], site["navbar"]["logo"]] if not (prepared / name).is_file()] == []
    own = yaml.safe_load((prepared / "nbdev.yml").read_text(encoding="utf-8"))
    assert f"{own['website']['site-url']}/" == SITE and own["website"]["repo-url"] == SETTINGS["git_url"]
    assert (ROOT / "nbs" / "_quarto.yml").is_symlink() and (ROOT / "nbs" / "_quarto.yml").resolve() == ROOT / "_quarto.yml"


def test_every_page_has_a_title_and_a_description(prepared):
    about = {str(page): docs.front_matter(prepared / page) for page in docs.pages_of(prepared)}
    assert [page for page, told in about.items() if not told.get("title") or len(told.get("description", "")) < 20] == []
    assert [page for page, told in about.items() if told["output-file"] != Path(docs.address(Path(page))).name] == []
    assert len({docs.address(Path(page)) for page in about}) == len(about), "two pages at one address"


def test_no_prose_of_a_notebook_is_lost(prepared):
    "nbdev makes the first cell the title, and would drop what else stands in it."
    def words(text): return " ".join(re.findall(r"\w+", re.sub(r"\]\([^)]*\)", "", text)))
    for notebook in NOTEBOOKS:
        prose = re.sub(r"\A# .*\n+(>.*\n?)*", "", cells_of(notebook, "markdown")[0]["text"])
        page = prepared / name_of(notebook).removeprefix("nbs/")
        assert words(prose) in words(docs.markdown_of(page)), notebook.name


def test_llms_txt_names_every_page(prepared):
    text = (prepared / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith(f"# {SETTINGS['title']}\n\n> {SETTINGS['description']}\n") and f"{SITE}llms-full.txt" in text
    linked = set(re.findall(rf"\]\({re.escape(SITE)}(\S+?)\): \S", text))
    assert linked == {docs.address(page) for page in docs.pages_of(prepared)}


def test_llms_full_txt_is_the_text_of_the_pages(prepared):
    text = (prepared / "llms-full.txt").read_text(encoding="utf-8")
    own = [page for page in docs.pages_of(prepared) if len(page.parts) > 1 and page.parts[0] in ("tutorials", "pages")]
    assert [str(page) for page in own if f"({docs.address(page)})\n" not in text] == [] and len(own) >= 8
    assert "base64" not in text and "*Figure: not described*" not in text and "*Figure: Forest plot" in text
    assert "> Two models predict equally well." in text and "design = dict(operators=" in text and "[`content_hash`]" in text


def test_the_reference_names_the_public_functions(prepared, pages):
    import isaac.all as everything
    listed = {code.get_text() for code in pages["api.html"].find_all("code")}
    things = {name: getattr(everything, name) for name in everything.__all__}
    own = {name for name, thing in things.items() if getattr(thing, "__module__", "").startswith("isaac.")
           and (inspect.isclass(thing) or inspect.isfunction(thing) and "self" not in inspect.signature(thing).parameters)}
    assert len(own) > 60 and sorted(own - listed) == []


def test_a_page_that_no_section_takes_is_refused():
    with pytest.raises(SystemExit, match="strange/page.qmd"): docs.sidebar([Path("index.ipynb"), Path("strange/page.qmd")])
    assert docs.sidebar([Path("tutorials/z.ipynb"), Path("tutorials/davis.ipynb"), Path("index.ipynb")]) == {
        "Start here": ["index.ipynb"], "Tutorials": ["tutorials/davis.ipynb", "tutorials/z.ipynb"]}


def test_a_chart_describes_its_figure():
    svg = '<svg role="img" aria-label="RS &lt; 1: &quot;a&quot;">'
    drawn = {"cell_type": "code", "source": "chart", "outputs": [{"data": {"image/svg+xml": [svg]}}]}
    assert docs.described(drawn)["source"] == '#| fig-alt: "RS < 1: \\"a\\""\nchart'
    own = drawn | {"source": "#| fig-alt: mine\nchart"}
    assert docs.described(own)["source"] == "#| fig-alt: mine\nchart"
    assert docs.described({"cell_type": "code", "source": "1", "outputs": []})["source"] == "1"


def test_the_workflow_publishes_what_make_docs_builds():
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))["jobs"]["publish"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make docs"]
    published = next(step["with"]["publish_dir"] for step in steps if "publish_dir" in step.get("with", {}))
    assert Path(published) == Path(SETTINGS["doc_path"]) and any("quarto" in step.get("uses", "") for step in steps)
