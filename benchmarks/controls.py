"""What does each control say about the same models? One training each of the Davis study, asked again under all controls and against all nulls.

    python benchmarks/controls.py                  # audits what is missing (an hour and a half on two cores), writes the tables of the tutorial
    python benchmarks/controls.py --workers 2      # with two processes
    python benchmarks/controls.py --quick          # gathers what is there, asks nothing
    python benchmarks/controls.py --json           # the RS of every model and control as JSON

It takes the checkpoints of `isaac study davis`, seed 0, and runs `isaac audit` on each in four parts, because the nulls cost more than the rest: six
controls at dose 20 with placebo priors, all seven at dose 5, the full grid of drugs and targets, and ten untrained networks.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from isaac.audit import AuditResult

MODELS = ("deepdta", "deepconv", "tapb")
SIX = "geometry,domain,uniform,composition,conservation,strict"
PARTS = {"controls": ["--matchings", SIX, "--doses", "20", "--placebos", "20"],
         "small": ["--matchings", f"{SIX},geometry_in_domain", "--doses", "5"],
         "grid": ["--grid", "--matchings", "geometry", "--doses", "20"],
         "networks": ["--matchings", "geometry", "--doses", "20", "--initialisations", "10"]}
PLACEBOS = {"deepdta": ["--placebos", "40"]} # beside its networks; ten networks of the others take hours with placebos
SCORES = ("RS", "log_odds", "falls_mechanistic", "falls_control", "signed_mechanistic", "signed_control")


def options(model: str, part: str) -> list[str]:
    "Of `isaac audit`."
    return ["--operators", "substitute", "--repeats", "1", "--seeds", "2", *PARTS[part], *(PLACEBOS.get(model, []) if part == "networks" else [])]


def ask(study: Path, out: Path, workers: int | None) -> None:
    "Every audit that is not finished."
    for model in MODELS:
        for part in PARTS:
            command = ["audit", str(study / "checkpoints" / model / "seed0"), *options(model, part), "--fail-on", "never", "--out",
                       str(out / f"{model}-{part}"), "--quiet", *(["--workers", str(workers)] if workers else [])]
            print("isaac", *command, flush=True)
            subprocess.run([sys.executable, "-c", "from isaac.cli import app; app()", *command], check=True)


def gather(out: Path) -> dict[str, pd.DataFrame]:
    "The tables of all audits, by kind."
    found = {name: [] for name in ("scores", "balance", "tests", "calibrated", "specific")}
    for model in MODELS:
        for part in PARTS:
            result = AuditResult.load(out / f"{model}-{part}")
            tables = result.tables() | {"scores": result.scores().query("score in @SCORES")}
            for name, kept in found.items():
                table = tables.get(name, pd.DataFrame()).drop(columns="model", errors="ignore")
                if len(table): kept.append(table.assign(model=result.label, part=part))
    return {name: pd.concat(kept, ignore_index=True) for name, kept in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ask nothing")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--workers", type=int, help="processes that ask models")
    parser.add_argument("--study", type=Path, default=Path("runs/davis"), help="where the Davis study is")
    parser.add_argument("--out", type=Path, default=Path("runs/davis-controls"), help="where the audits are, or will be")
    parser.add_argument("--tables", type=Path, default=Path("nbs/tutorials/controls"), help="where the tables are written")
    options = parser.parse_args()
    if not options.quick: ask(options.study, options.out, options.workers)
    tables = gather(options.out)
    options.tables.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items(): table.to_csv(options.tables / f"{name}.csv", index=False, float_format="%.6g")
    rows = tables["scores"].query("score == 'RS' and part in ('controls', 'small')")
    rows = rows[["model", "support", "matching", "dose", "value", "low", "high", "pairs", "status"]]
    print(json.dumps(rows.to_dict("records"), indent=2) if options.json else rows.round(3).to_string(index=False))


if __name__ == "__main__": main()
