"""Are the models trained well enough to be worth auditing? Means over training seeds on the test part, beside limits.

    python benchmarks/davis.py                            # trains what the study davis misses (hours), then compares with the limits
    python benchmarks/davis.py --study davis-cold-target  # the same for sequences that were not in training
    python benchmarks/davis.py --quick                    # reads the checkpoints that are there, trains nothing
    python benchmarks/davis.py --out runs/davis           # where the study is, or will be
    python benchmarks/davis.py --json                     # the JSON alone

Published for DeepDTA on the fold of the study davis: MSE 0.261, CI 0.878 (Öztürk et al. 2018). Ends with exit code 1 where a limit is missed or a
checkpoint is missing.
"""
import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from isaac.core import read_json
from isaac.studies import load_dataset, load_study, obtain_checkpoint

LIMITS = { # study → architecture, metric, at least (1) or at most (-1), limit
    "davis": [("deepdta", "mse", -1, 0.275), ("deepdta", "ci", 1, 0.880), ("deepdta", "auroc", 1, 0.945), ("deepconv", "auroc", 1, 0.925),
              ("tapb", "auroc", 1, 0.92)],
    "davis-cold-target": [("deepdta", "auroc", 1, 0.88)]}
SPREAD = 0.035 # largest difference of mean AUROC between architectures
METRICS = ("mse", "ci", "auroc", "auprc")


def accuracy(name: str, out: Path, train: bool, progress: bool) -> pd.DataFrame: # one row per checkpoint
    "The test metrics of every checkpoint of a study that has a limit; NaN where one is missing."
    study, limited, rows = load_study(name), {model for model, *_ in LIMITS[name]}, []
    split = load_dataset(study.dataset).split(study.split.kind, study.split.seed) if train else None
    for choice in [c for c in study.models if c.name in limited]:
        for seed in choice.seeds:
            folder = out / "checkpoints" / choice.name / f"seed{seed}"
            if train: obtain_checkpoint(folder, choice.example(), split, seed, choice.config(), progress=progress)
            found = read_json(folder / "metrics.json")["test"] if (folder / "metrics.json").is_file() else {}
            rows.append({"model": choice.name, "seed": seed} | {m: found.get(m) for m in METRICS})
    return pd.DataFrame(rows).astype({m: float for m in METRICS})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="read what is there, train nothing")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--study", choices=LIMITS, default="davis", help="which study")
    parser.add_argument("--out", type=Path, help="directory of the study; runs/STUDY unless given")
    options = parser.parse_args()
    table = accuracy(options.study, options.out or Path("runs", options.study), not options.quick, not options.json)
    groups = table.groupby("model", sort=False)
    there, mean, sd = groups["auroc"].count(), groups[[*METRICS]].mean(), groups[[*METRICS]].std()
    checks = [{"model": model, "metric": metric, "mean": mean.loc[model, metric], "sd": sd.loc[model, metric], "seeds": int(there[model]),
               "of": len(groups.get_group(model)), "limit": limit, "kind": "at least" if way > 0 else "at most",
               "met": bool(there[model] == len(groups.get_group(model)) and way * mean.loc[model, metric] >= way * limit)}
              for model, metric, way, limit in LIMITS[options.study]]
    spread = float(mean["auroc"].max() - mean["auroc"].min())
    if len(groups) > 1:
        checks.append({"model": "all", "metric": "auroc spread", "mean": spread, "sd": None, "seeds": int(there.sum()), "of": len(table),
                       "limit": SPREAD, "kind": "at most", "met": bool(there.sum() == len(table) and spread <= SPREAD)})
    if options.json: print(json.dumps({"checks": checks, "checkpoints": json.loads(table.to_json(orient="records"))}, indent=2))
    else:
        print(table.to_string(index=False, float_format="{:.4f}".format), end="\n\n")
        for c in checks:
            print(f"{c['model']:9} {c['metric']:13} {c['mean']:.4f}" + (f" ± {c['sd']:.4f}" if c["sd"] is not None else " " * 9)
                  + f"   {c['kind']} {c['limit']:<6} {c['seeds']} of {c['of']} checkpoints   {'met' if c['met'] else 'MISSED'}")
    sys.exit(not all(c["met"] for c in checks))


if __name__ == "__main__": main()
