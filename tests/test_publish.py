"""The folder for a paper: LaTeX that parses, numbers that are the audit's, and nothing half written."""
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from isaac import publish
from isaac.audit import audit
from isaac.core import InputError
from isaac.datasets import DTIDataset
from isaac.priors import prior_from_table

ODD = "a_b & 50% \\end{table} $x$ #1 ~^ {"
NAMES = "[*] Müller_&_Co_<script> |ρ ≥ −½ µM| “Å”…\u0000" # accents, signs, quotation marks, and what follows a line break in LaTeX


@pytest.fixture(scope="module")
def result():
    "An audit of a model that counts aromatic residues, on data whose names mean something to LaTeX."
    g = np.random.default_rng(1)
    sequences = ["".join(g.choice(list("ACDEFGHIKLMNPQRSTVWY"), 120)) for _ in range(6)]
    rows = [(s, f"{NAMES}{t}", q, 6 + 2 * g.random()) for s in ("CCO", "CCN", "CCS") for t, q in enumerate(sequences)]
    data = DTIDataset.from_frame(pd.DataFrame(rows, columns=["smiles", "target_id", "sequence", "affinity"]), name=ODD, scale="pKd", threshold=7.0)
    residues = pd.DataFrame([(t, p) for t in data.targets["target_id"] for p in range(40, 55)], columns=["target_id", "position"])
    counts = lambda smiles, targets: [sum(map(t.count, "FWY")) for _, t in zip(smiles, targets, strict=True)]
    return audit(counts, data, prior_from_table(residues, data.targets), name=ODD, operators=["mask"], doses=[5], repeats=2,
                 bootstrap_draws=100, progress=False)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory): return result.publish(tmp_path_factory.mktemp("out") / "paper")


def test_latex_parses_and_says_what_the_tables_say(result, folder):
    walker = pytest.importorskip("pylatexenc.latexwalker")
    texts = {p.name: p.read_text(encoding="utf-8") for p in folder.glob("*.tex")}
    assert {"scores.tex", "targets.tex", "methods.tex"} <= set(texts)
    for name, text in texts.items():
        nodes, _, read = walker.LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
        assert read == len(text)
        if name in ("methods.tex", "supplement.tex"): continue
        frame = pd.read_csv(folder / name.replace(".tex", ".csv"))
        long, wide = len(frame) > publish.ROWS or len(frame.columns) > publish.COLUMNS, len(frame.columns) > publish.COLUMNS
        within = environments(nodes, walker.LatexEnvironmentNode)
        assert within == (["landscape"] if wide else []) + (["longtable"] if long else ["table", "tabular"])
        body = text.split("\\endfoot\n" if long else "\\midrule\n")[1].split("\\end{longtable}" if long else "\\bottomrule")[0].splitlines()
        assert len(body) == len(frame) and all(line.replace("\\&", "").count("&") == len(frame.columns) - 1 for line in body)
        assert not any(line.startswith(("[", "*")) for line in body) and not set("<>|ρ≥−½µ“”…\u0000") & set("".join(body))


def environments(nodes, kind) -> list[str]:
    "The names of all environments, outer ones first."
    found = []
    for node in nodes or []:
        if node.isNodeType(kind): found.append(node.environmentname)
        found += environments(getattr(node, "nodelist", None), kind)
    return found


def test_what_a_name_becomes_reads_as_the_name(folder):
    text = pytest.importorskip("pylatexenc.latex2text").LatexNodes2Text()
    assert text.latex_to_text(publish.latex(ODD)).replace("ˆ", "^") == ODD
    assert text.latex_to_text(publish.latex("[*] Müller_&_Co_ ρ ≥ “x”")) == "[*] Müller_&_Co_ ρ ≥ “x”"
    assert "[*] Müller\\_\\&\\_Co\\_\\textless{}script" in (folder / "targets.tex").read_text(encoding="utf-8")


def test_a_table_of_many_rows_has_its_heads_on_every_page():
    many = publish.latex_table(pd.DataFrame({"target": [f"T{i}" for i in range(90)], "RS": np.linspace(-1, 1, 90)}), "Many", "many")
    assert many.count("target & RS") == 2 and many.index("\\endfirsthead") < many.index("\\endhead") < many.index("T0 &")
    assert "\\ensuremath{-}1.000" in many and "\\begin{table}" not in many


def test_the_supplement_holds_everything(folder):
    text = (folder / "supplement.tex").read_text(encoding="utf-8")
    inputs = {line[len("\\input{"):-1] for line in text.splitlines() if line.startswith("\\input{")}
    assert inputs == {p.stem for p in folder.glob("*.tex")} - {"supplement"}
    assert all(f"{{{p.name}}}" in text for p in folder.glob("*.pdf")) and all(f"{{{name}}}" in text for name in publish.PACKAGES)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here; that the LaTeX parses is tested above")
def test_the_supplement_compiles(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "paper")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "supplement.tex"], cwd=copy, capture_output=True, text=True,
                          errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (copy / "supplement.pdf").read_bytes().startswith(b"%PDF")


def test_every_parameter_is_in_the_paragraph(result, folder):
    said = (folder / "methods.md").read_text(encoding="utf-8")
    assert result.summary() in said and ODD in said and "reads whole sequences" in said and "Software: python 3." in said
    assert all(f"{name} = " in said for name in result.manifest["config"] if name != "primary") and "primary.dose = 5" in said


def test_figures_are_whole(folder):
    svg, pdf = sorted(folder.glob("*.svg")), sorted(folder.glob("*.pdf"))
    assert [p.stem for p in svg] == [p.stem for p in pdf] and len(svg) >= 5
    assert all(p.read_bytes().rstrip().endswith(b"</svg>") for p in svg) and all(p.read_bytes().rstrip().endswith(b"%%EOF") for p in pdf)


def test_the_checklist_leaves_open_what_only_authors_know(folder):
    text = (folder / "checklist.md").read_text(encoding="utf-8")
    assert "- [x] Primary endpoint" in text and "- [ ] Placebo priors" in text and "- [ ] Several trainings" in text


def test_nothing_is_overwritten_and_nothing_half_written(result, folder, tmp_path, monkeypatch):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match="not an empty folder"): result.publish(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    def fails(result): raise RuntimeError("the disk is full")
    monkeypatch.setattr(publish, "checklist", fails)
    with pytest.raises(RuntimeError): result.publish(tmp_path / "paper")
    assert list(tmp_path.iterdir()) == []
