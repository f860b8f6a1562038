"""The report as a page: what a browser, a screen reader and a hostile name would make of it."""
import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pandas as pd
import pytest

from isaac.core import InputError
from isaac.plots import arm_distributions, dose_response, forest, overview, target_ranking, to_svg
from isaac.report import FRAMES, render_report, write_report

HOSTILE = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</svg></style><b>", "{{ 7 * 7 }}", "$\\frac{", "a\x00b\x1b",
           "名前", "x" * 500]
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    "The elements of a page with their attributes, the text of each, and whether tags nest."

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text, self.faults = [], [], Counter(), []
        self.headings, self.words = [], []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID: self.open.append(tag)
        if re.fullmatch("h[1-6]", tag): self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attributes): self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"): self.words.append(data)

    def all(self, tag: str) -> list[dict]: return [a for t, a in self.elements if t == tag]


def make_content(names=("EGFR", "ABL1"), models=("deepdta",), primary="RS", status="ok", repeats=1) -> dict:
    "Frames and manifest of an invented audit whose targets, drugs, model and data bear `names`."
    g = np.random.default_rng(0)
    conditions = list(product(models, ("common", "own"), ("mask", "substitute"), ("geometry", "uniform"), ("5", "20", "100%")))
    rows = [(*condition, score, value if status == "ok" else np.nan, value - 0.03, value + 0.03, 0.001, 400, 20, 30, status,
             "primary" if condition[1:] == ("common", "mask", "geometry", "20") and score == primary else "exploratory")
            for condition in conditions for score, value in zip(("RS", "log_odds", "C_sep", "OVL"), g.random(4), strict=True)]
    arms = [pd.DataFrame({"operator": o, "matching": m, "dose": d, "arm": a, "pair_id": np.arange(50), "magnitude": g.lognormal(size=50)})
            for o, m, d, a in product(("mask", "substitute"), ("geometry", "uniform"), ("5", "20", "100%"), ("mechanistic", "control"))]
    share = np.linspace(0.9, 0.2, len(names) * repeats)
    targets = pd.DataFrame({"target_id": list(names) * repeats, "pairs": 9, "m": share, "s": 1 - share, "RS": share,
                            "log_odds": np.log(share / (1 - share))})
    return {
        "scores": pd.DataFrame(rows, columns=FRAMES["scores"]), "arms": pd.concat(arms), "targets": targets,
        "residues": pd.DataFrame({"drug_id": names, "target_id": names, "residues": "T790 · GK45", "operator": "mask", "dose": "5",
                                  "response": -0.5}),
        "unauditable": pd.DataFrame({"target_id": names, "pairs": 3, "matching": "all", "dose": "all",
                                     "reason": [f"no prior: {n}" for n in names]}),
        "manifest": {"isaac": "0", "model": {"name": names[0], "class": "DeepDTA", "hash": "ab" * 32, "scale": "affinity"},
                     "plan_hash": "cd" * 32, "data": {"name": names[-1], "pairs": 500, "drugs": 20, "targets": 40, "scale": "pKd"},
                     "prior": {"name": names[0]},
                     "config": {"level": 0.95, "primary": {"operator": "mask", "matching": "geometry", "dose": 20, "score": primary}},
                     "account": {}, "noise": 1e-7, "versions": {"numpy": "2"}, "warnings": list(names),
                     "metrics": {"test": {"mse": 0.26, "ci": np.nan}}},
    }


def make_extras(text: str) -> dict: # what only some audits have; `text` wherever a user's words may stand
    "Frames of an audit with balance, nulls, requirements and a look at the layer before the last."
    where = {"operator": "mask", "matching": "geometry", "dose": "20"}
    balance = [where | {"covariate": c, "mechanistic": 1.0, "control": 0.5, "smd": smd, "flag": abs(smd) > 0.1, "inherent": False, "n": 40}
               for c, smd in (("run length", 0.0), ("conservation", np.inf), (text, 0.4))]
    test = {"test": text, "score": "log_odds", "value": 0.4, "null": 0.0, "p": 0.01, "p_holm": 0.02, "q": 0.01, "n": 20, "note": text}
    far = {"pairs": 40, "natural": 7.0, "mechanistic": 9.0, "control": 8.0, "auroc_arms": 0.7, "stranger": text}
    return {"balance": pd.DataFrame(balance), "tests": pd.DataFrame([where | test | {"endpoint": "primary"}]),
            "verdicts": pd.DataFrame({"verdict": ["FAIL"], "requirement": [text], "found": [np.nan], "reason": [text]}),
            "manifold": pd.DataFrame([where | far])}


NAMES = [f"KINASE{i}" for i in range(40)]
PAGES = {
    "usual": make_content(NAMES), "hostile": make_content(HOSTILE), "two models": make_content(models=("a", "b")),
    "log odds": make_content(primary="log_odds"),
    "silent": make_content(status="no response"), "one target": make_content(("EGFR",)),
    "nothing": make_content(status="not auditable") | {"arms": pd.DataFrame(), "targets": pd.DataFrame(), "residues": pd.DataFrame()},
    "all auditable": make_content() | {"unauditable": pd.DataFrame()},
    "tested": make_content(HOSTILE) | make_extras(HOSTILE[0]), "tested, quoted": make_content(HOSTILE) | make_extras(HOSTILE[1]),
}


@pytest.fixture(scope="module", params=PAGES)
def rendered(request) -> tuple[str, dict, str]:
    "One page: its name, what it was made from, and its HTML."
    return request.param, PAGES[request.param], render_report(**PAGES[request.param])


def test_tags_nest_and_ids_are_unique(rendered):
    page = Page(rendered[2])
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert not page.faults
    assert not [i for i, n in ids.items() if n > 1]
    pointed = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    pointed += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert pointed and set(pointed) <= set(ids)
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', rendered[2])) <= set(ids)


def test_needs_no_network_and_names_its_one_script_by_hash(rendered):
    page = Page(rendered[2])
    tags = {tag for tag, _ in page.elements}
    assert page.all("script") == [{}]
    digest = b64encode(sha256(re.search("<script>(.*?)</script>", rendered[2], re.DOTALL)[1].encode()).digest()).decode()
    assert [a["content"] for a in page.all("meta") if "http-equiv" in a][0].count(f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
                                                                                  f"script-src 'sha256-{digest}'") == 1
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.elements:
        assert not [a for a in attributes if a in ("src", "srcset", "data", "action") or a.startswith("on")], tag
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#") or (tag == "a" and attributes[name].startswith("https://arxiv.org/"))
    assert not re.search(r"@import|url\((?!#)", rendered[2])


def test_is_accessible(rendered):
    page = Page(rendered[2])
    assert page.all("html")[0]["lang"] == "en" and page.all("meta")[1]["name"] == "viewport"
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    figures = 6 if "balance" in rendered[1] else 5
    assert len(page.all("svg")) == figures and all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table")) and all(a.get("scope") for a in page.all("th"))
    assert len(page.all("figcaption")) == len(page.all("figure")) == figures


@pytest.mark.parametrize("rendered", ["usual"], indirect=True)
def test_rendering_again_gives_the_same_bytes(rendered):
    assert render_report(**make_content(NAMES)) == rendered[2]


def test_no_missing_value_is_dressed_up(rendered):
    words = [w.strip().lower() for w in Page(rendered[2]).words]
    assert not {"nan", "nat", "inf", "<na>", "none"} & set(" ".join(words).split())
    if rendered[0] in ("silent", "nothing"):
        said = "no response" if rendered[0] == "silent" else "not auditable"
        assert sum(w == said for w in words) > 12
        assert not [a for _, a in Page(rendered[2]).elements if a.get("class") == "mark"]   # no place on the scale


def test_stays_small(rendered): assert len(rendered[2].encode()) < 2_000_000


@pytest.mark.parametrize("rendered", ["hostile"], indirect=True)
def test_hostile_names_are_shown_and_inert(rendered):
    html = rendered[2]
    page = Page(html)
    shown = "".join(page.words)
    assert all(name in shown for name in HOSTILE if "\x00" not in name)
    assert "<b>" not in html.split("</style>", 1)[1] and "{{ 7 * 7 }}" in shown and " 49 " not in shown
    assert html.count("<style") - html.count("<style type") == 1


def test_figures_are_only_as_large_as_they_need_to_be():
    content = make_content(NAMES, repeats=200)
    content["arms"] = pd.concat([content["arms"].assign(pair_id=i) for i in range(400)])   # 480,000 rows
    html = render_report(**content)
    assert len(html) < 2_000_000 and "All 8,000 targets" in html


def test_missing_columns_are_all_named():
    content = make_content()
    with pytest.raises(InputError) as caught:
        render_report(**content | {"scores": content["scores"].drop(columns=["low", "high"]),
                                   "targets": content["targets"].drop(columns="RS")})
    named = list(caught.value.table[["where", "value"]].itertuples(index=False, name=None))
    assert named == [("scores", "low"), ("scores", "high"), ("targets", "RS")]


def test_a_score_frame_without_primary_endpoint_is_refused():
    content = make_content()
    content["scores"] = content["scores"].assign(endpoint="exploratory")
    with pytest.raises(InputError, match="no primary endpoint"): render_report(**content)


@pytest.mark.parametrize("rendered", ["usual"], indirect=True)
def test_the_primary_numbers_on_the_page_are_the_frame_s(rendered):
    row = rendered[1]["scores"].query("endpoint == 'primary'").iloc[0]
    assert f"(reasoning score {row['value']:.3f}, 95 % interval {row['low']:.3f} to {row['high']:.3f})" in rendered[2]
    assert f"left:{round(100 * row['value'], 2)}%" in rendered[2]


def test_written_whole_or_not_at_all(tmp_path):
    content = make_content()
    path = write_report(tmp_path / "new" / "report.html", **content, title="Mine")
    text = path.read_text(encoding="utf-8")
    assert text.count("<h1>Mine</h1>") == 1 and text.rstrip().endswith("</html>")
    with pytest.raises(InputError): write_report(path, **content | {"targets": pd.DataFrame({"x": [1]})})
    assert path.read_text(encoding="utf-8") == text and len(list(path.parent.iterdir())) == 1


def test_figures_leave_matplotlib_as_it_was():
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    before, content = dict(mpl.rcParams), make_content(HOSTILE)
    charts = [forest(content["scores"]), dose_response(content["scores"], "C_sep"), arm_distributions(content["arms"], "mask", 20),
              target_ranking(content["targets"]), overview(content["scores"], content["arms"])]
    assert all(to_svg(c).count("<svg") == 1 and c.alt for c in charts)
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []
