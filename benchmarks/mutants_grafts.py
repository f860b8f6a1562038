"""What do three models say of real mutations and of grafted pockets? Everything that the tutorial on mutants and grafts shows.

    python benchmarks/mutants_grafts.py          # trains and asks what is missing (two hours on two cores), writes the tables of the tutorial
    python benchmarks/mutants_grafts.py --list   # says which commands that takes
    python benchmarks/mutants_grafts.py --quick  # gathers what is there, asks nothing

Mutants are asked of models that are trained on corrected sequences without them, and of models that have not seen their wild types either;
grafts of the checkpoints of `isaac study davis`, seed 0.
"""
import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from isaac.core import InputError, Problem
from isaac.graft import graft_curve
from isaac.mutants import BASELINES

MODELS = {"deepdta": "DeepDTA", "deepconv": "DeepConv-DTI", "tapb": "TAPB (conv)"}
SETTINGS = {"deepdta": [], "deepconv": ["--set", "objective=regression", "--set", "dropout=0.0"],
            "tapb": ["--set", "objective=regression", "--set", "target_encoder=conv"]}
SPLITS = {"mutants": "", "mutants-and-wild-types": "-unseen"} # what training leaves out → ending of the folder of answers
IMATINIB = ["--pair", "ABL1:SRC", "--pair", "SRC:ABL1", "--drug", "5291"]
KEYS = ["drug_id", "target_id", "wild_type", "gene", "mutation", "measured", "low", "high", *BASELINES]


def commands(runs: Path, study: Path) -> Iterator[tuple[Path, list[str]]]: # what it writes, options of `isaac`
    "Every command, in order."
    for model, settings in SETTINGS.items():
        for split, ending in SPLITS.items():
            trained, asked = runs / "mutants" / split / model, runs / "mutants" / f"{model}{ending}"
            yield trained / "metrics.json", ["train", model, "--sequences", "corrected", "--split", split, *settings, "--out", str(trained)]
            yield asked / "scores.csv", ["mutants", str(trained), "--out", str(asked)]
        for options, name in (([], model), (IMATINIB, f"{model}-imatinib")):
            out = runs / "graft" / name
            yield out / "scores.csv", ["graft", str(study / "checkpoints" / model / "seed0"), *options, "--out", str(out)]


def read(folder: Path, kind: str, suffix: str = "") -> dict[str, pd.DataFrame]: # name of a model → table
    "Tables of one kind, of the models that were asked. Raises `InputError` where none was."
    paths = {name: folder / f"{model}{suffix}" / f"{kind}.csv" for model, name in MODELS.items()}
    missing = {name: Problem("runs", "file", str(path), "missing") for name, path in paths.items() if not path.is_file()}
    if len(missing) == len(paths): raise InputError("There are no answers", missing.values(), "Run this without --quick")
    for problem in missing.values(): print(problem, file=sys.stderr)
    return {name: pd.read_csv(path, dtype={"drug_id": str}) for name, path in paths.items() if name not in missing}


def mutant_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame: # `KEYS` and one column per model, empty where it does not see the mutation
    "All models' predicted differences beside one another."
    whole = max(tables.values(), key=len)[KEYS] # of the model that sees most
    for name, table in tables.items():
        whole = whole.merge(table[["drug_id", "target_id", "predicted"]].rename(columns={"predicted": name}), how="left")
    return whole.sort_values(["target_id", "drug_id"])


def gather(runs: Path) -> dict[str, pd.DataFrame]:
    "The tables of the tutorial, by name."
    mutants, graft = runs / "mutants", runs / "graft"
    together = lambda tables: pd.concat(tables, names=["model"]).reset_index("model")
    curves = {name: graft_curve(table) for name, table in read(graft, "table").items()}
    return {"mutants": mutant_table(read(mutants, "table")), "left_out": together(read(mutants, "left_out")),
            "mutant_scores": together(read(mutants, "scores")), "unseen_scores": together(read(mutants, "scores", SPLITS["mutants-and-wild-types"])),
            "graft_scores": together(read(graft, "scores")), "graft_curves": together(curves),
            "grafts": together(read(graft, "grafts"))[["model", "shared", "differing", "available"]].groupby("model").mean().reset_index(),
            "imatinib": together(read(graft, "table", "-imatinib"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/beyond"), help="where the answers are, or will be")
    parser.add_argument("--study", type=Path, default=Path("runs/davis"), help="of isaac study davis")
    parser.add_argument("--out", type=Path, default=Path("nbs/tutorials/mutants_grafts"), help="of the tables")
    parser.add_argument("--quick", action="store_true", help="ask nothing")
    parser.add_argument("--list", action="store_true", help="print the commands and stop")
    chosen = parser.parse_args()
    for written, options in commands(chosen.runs, chosen.study):
        if chosen.list: print("isaac", *options)
        elif not chosen.quick and not written.is_file():
            subprocess.run([sys.executable, "-c", "from isaac.cli import app; app()", *options, "--quiet"], check=True)
    if chosen.list: return
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, table in gather(chosen.runs).items(): table.round(4).to_csv(chosen.out / f"{name}.csv", index=False)


if __name__ == "__main__": main()
