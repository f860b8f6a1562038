"""The pages in a real browser: what Chromium runs, asks the network for, sorts, prints and refuses."""
import os
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_report import HOSTILE, NAMES, make_content, make_extras

from isaac.datasets import DTIDataset
from isaac.explain import explain_pair, write_explanation
from isaac.priors import prior_from_table
from isaac.report import write_comparison, write_report

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    "Debian's Chromium, driven by Playwright."
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    if not CHROMIUM: pytest.skip("there is no chromium: apt-get install chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def explained(path: Path, drug: str, target: str) -> Path:
    "A pair explained, by a model of nitrogens and of a few residues."
    sequence = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 240))
    data = DTIDataset.from_frame(pd.DataFrame({"drug_id": [drug], "smiles": "CC(=O)Nc1ccc(O)cc1", "target_id": [target], "sequence": [sequence],
                                               "affinity": [7.5]}))
    pocket = prior_from_table(pd.DataFrame({"target_id": target, "position": range(40, 60), "segment": "GK", "label": [str(i) for i in range(20)]}),
                              data.targets)
    def model(smiles, sequences): return [5.0 + s.count("N") - s.count("O") / 4 + t[45:55].count("L") / 3 - t[200:210].count("X") / 9
                                          for s, t in zip(smiles, sequences, strict=True)]
    return write_explanation(explain_pair(model, drug, target, data, pocket), path)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    "A usual report, one with a script for every name, a comparison of two models, and two pairs explained."
    folder, hostile = tmp_path_factory.mktemp("pages"), make_content(HOSTILE) | make_extras(HOSTILE[1])
    two = make_content(models=("deepdta", HOSTILE[0]))["scores"]
    tables = {"Reliance": pd.DataFrame({"model": ["tapb", "deepdta", HOSTILE[1]], "RS": ["0.61 ± 0.01", "–", "0.70 ± 0.02"]})}
    return {"usual": write_report(folder / "usual.html", **make_content(NAMES), title="Usual"),
            "hostile": write_report(folder / "hostile.html", **hostile),
            "comparison": write_comparison(folder / "comparison.html", title=HOSTILE[0], tables=tables, scores=two, summary=HOSTILE[1],
                                           links={HOSTILE[0]: "usual.html"}),
            "pair": explained(folder / "pair.html", "paracetamol", "KINASE"),
            "hostile pair": explained(folder / "hostile-pair.html", *HOSTILE[:2])}


@pytest.fixture
def visit(browser, pages):
    "Opens a page; what it says to the console, asks the network for and pops up is kept beside it."
    contexts = []
    def opened(name: str, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.heard = []
        page.on("console", lambda message: page.heard.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (page.heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        def note(route):
            if route.request.url == pages[name].as_uri(): return route.continue_()
            page.heard.append(f"request: {route.request.url}")
            route.abort()
        page.route("**/*", note)
        page.goto(pages[name].as_uri())
        return page
    yield opened
    for context in contexts: context.close()


def column(page, table: str, n: int) -> list[str]:
    "The texts of a column, the headings of groups left out; `table` is the id of its caption."
    return page.eval_on_selector(f"table:has(#{table})", """(t, n) => [...t.tBodies].flatMap(b => [...b.rows])
        .filter(r => r.cells[0].scope !== "rowgroup").map(r => r.cells[n].textContent)""", n)


def heading(page, table: str, n: int): return page.locator(f"table:has(#{table}) thead th").nth(n)


FIGURES = {"usual": 5, "hostile": 5, "comparison": 1, "pair": 2, "hostile pair": 2} # page → at least so many

@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_silently_and_shows_every_figure(visit, name, scheme):
    page = visit(name, color_scheme=scheme)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert page.heard == []
    boxes = page.eval_on_selector_all("figure svg", "all => all.map(s => [s.getBoundingClientRect(), s.querySelectorAll('path, use, text').length])")
    assert len(boxes) >= FIGURES[name]
    assert all(box["width"] > 300 and box["height"] > 80 and marks > 5 for box, marks in boxes)
    assert page.eval_on_selector_all("img, image", "all => all.filter(i => i.tagName === 'IMG' && !i.naturalWidth).length") == 0


@pytest.mark.parametrize("name", ["hostile", "hostile pair"])
def test_names_are_inert(visit, name):
    page = visit(name)
    assert page.evaluate("document.scripts.length") == 1 and page.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
    shown = page.inner_text("body")
    assert HOSTILE[0] in shown and HOSTILE[1] in shown and page.heard == []


@pytest.mark.parametrize("name", ["usual", "pair"])
def test_the_browser_itself_refuses_a_script_that_is_not_the_page_s(visit, name):
    page = visit(name)
    page.evaluate("""() => { const s = document.createElement("script"); s.textContent = "window.ran = 1"; document.body.append(s);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 2'>") }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in heard for heard in page.heard)


def test_a_click_sorts_and_the_third_restores(visit):
    page = visit("usual")
    page.locator("details", has=page.locator("#t-targets")).locator("summary").click()
    before, button = column(page, "t-targets", 1), heading(page, "t-targets", 1).get_by_role("button")
    assert before == sorted(before, key=float, reverse=True)
    for order, rows in (("ascending", before[::-1]), ("descending", before), (None, before), ("ascending", before[::-1])):
        button.click()
        assert column(page, "t-targets", 1) == rows and heading(page, "t-targets", 1).get_attribute("aria-sort") == order
    heading(page, "t-targets", 0).get_by_role("button").click()
    assert column(page, "t-targets", 0) == [f"KINASE{i}" for i in range(40)]   # KINASE2 before KINASE10
    assert page.locator("table:has(#t-targets) [aria-sort]").count() == 1


def test_the_keyboard_sorts_too(visit):
    page = visit("comparison")
    first, second = (heading(page, "t-0", n).get_by_role("button") for n in (0, 1))
    first.focus()
    page.keyboard.press("Enter")
    assert column(page, "t-0", 0)[1:] == ["deepdta", "tapb"]
    page.keyboard.press("Tab")
    assert second.evaluate("b => b === document.activeElement")
    page.keyboard.press("Space")
    assert column(page, "t-0", 1) == ["0.61 ± 0.01", "0.70 ± 0.02", "–"]       # what is missing comes last
    page.keyboard.press("Space")
    assert column(page, "t-0", 1) == ["0.70 ± 0.02", "0.61 ± 0.01", "–"]


def test_groups_of_rows_stay_together(visit):
    page = visit("usual")
    groups = lambda: page.eval_on_selector_all("table:has(#t-headline) tbody", "all => all.map(b => [b.rows[0].textContent.trim(), b.rows.length])")
    before = groups()
    assert before[0] == ["Primary endpoint", 2] and len(before) == 3
    for n in (3, 0, 2):
        heading(page, "t-headline", n).get_by_role("button").click()
        assert groups() == before


@pytest.mark.parametrize("name, tables", [("usual", 6), ("pair", 2)])
def test_reads_without_scripts(visit, name, tables):
    page = visit(name, java_script_enabled=False)
    assert page.heard == [] and page.get_by_role("button").count() == 0
    assert page.locator("table").count() >= tables and page.locator(".sorting").is_hidden()


@pytest.mark.parametrize("name", ["usual", "pair"])
def test_prints(visit, name):
    page = visit(name)
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden() and page.locator("figure svg").first.is_visible()
    ink, paper = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.documentElement).backgroundColor]")
    assert (ink, paper) == ("rgb(31, 41, 51)", "rgb(255, 255, 255)")
    cut = """all => all.filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible").length"""
    assert page.eval_on_selector_all(".scroll", cut) == 0                       # nothing hides behind a scroll bar
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


@pytest.mark.parametrize("name", ["hostile", "hostile pair"])
def test_fits_a_phone(visit, name):
    page = visit(name, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 391


def test_contrast_is_enough(visit):
    "WCAG 2.2, 1.4.3: text and its ground differ by 4.5 to 1 or more, by day and by night."
    luminance = """e => {
        const linear = x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
        const of = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(x => linear(x / 255)); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
        let ground = e; while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        const [a, b] = [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor].map(of);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }"""
    everywhere = ("h1", "h2", "p", "a", "td", "th", "caption", "figcaption", "thead button")
    own = {"hostile": ("dt", "small", "summary", ".warnings li", ".tag"), "pair": (".lead", "li", ".kind")}
    for scheme, name in product(("light", "dark"), own):
        page = visit(name, color_scheme=scheme)
        for selector in everywhere + own[name]:
            ratio = page.locator(selector).first.evaluate(luminance)
            assert ratio >= 4.5, (name, scheme, selector, ratio)


def test_the_changes_of_a_pair_sort_and_have_units(visit):
    page = visit("pair")
    caption = page.locator("caption[id^=residue-table]").get_attribute("id")
    assert [heading(page, caption, n).inner_text() for n in (0, 1)] == ["Residue", "Change (affinity)"]
    before = column(page, caption, 1)
    heading(page, caption, 1).get_by_role("button").click()
    after = column(page, caption, 1)
    assert sorted(before) == sorted(after) and after == sorted(after, key=lambda text: float(text.replace("−", "-")))


def test_a_molecule_is_described_and_keeps_its_ink_at_night(visit):
    page = visit("pair", color_scheme="dark")
    molecule = page.locator("figure svg").first
    assert "Strongest: N4" in molecule.get_attribute("aria-label")
    assert molecule.locator("path.bond-0").first.evaluate("e => getComputedStyle(e).stroke") == "rgb(228, 232, 236)"


def test_what_is_below_a_bound_sorts_below_it(visit):
    assert visit("usual").evaluate("[amount('<0.001') < amount('0.001'), amount('<0.001') > 0, amount('−2.5') < amount('1,000')]") == [True] * 3
