"""The folder for a paper: LaTeX that parses, numbers that are the audit's, and nothing half written."""
import numpy as np
import pandas as pd
import pytest

from isaac import publish
from isaac.audit import audit
from isaac.core import InputError
from isaac.datasets import DTIDataset
from isaac.priors import prior_from_table

ODD = "a_b & 50% \\end{table} $x$ #1 ~^ {"


@pytest.fixture(scope="module")
def result():
    "An audit of a model that counts aromatic residues, on data whose names mean something to LaTeX."
    g = np.random.default_rng(1)
    sequences = ["".join(g.choice(list("ACDEFGHIKLMNPQRSTVWY"), 120)) for _ in range(6)]
    rows = [(s, f"{ODD}{t}", q, 6 + 2 * g.random()) for s in ("CCO", "CCN", "CCS") for t, q in enumerate(sequences)]
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
        kinds = [n.environmentname for n in nodes if n.isNodeType(walker.LatexEnvironmentNode)]
        assert kinds == ([] if name == "methods.tex" else ["table"])
        if name == "methods.tex": continue
        frame = pd.read_csv(folder / name.replace(".tex", ".csv"))
        body = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
        assert len(body) == len(frame) and all(line.replace("\\&", "").count("&") == len(frame.columns) - 1 for line in body)


def test_every_parameter_is_in_the_paragraph(result, folder):
    said = (folder / "methods.md").read_text(encoding="utf-8")
    assert result.summary() in said and ODD in said
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
