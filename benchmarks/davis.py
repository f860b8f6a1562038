"""Is DeepDTA trained well enough to be worth auditing? The main study's accuracy beside the published one, with limits.

    python benchmarks/davis.py [RUN]     # RUN defaults to runs/davis-deepdta; what is finished there is read, the rest is made
    python benchmarks/davis.py --json    # the JSON alone

Published on the same test fold: MSE 0.261, CI 0.878 (Öztürk et al. 2018). Ends with exit code 1 where a limit is missed.
"""
import argparse
import json
import sys

from isaac.studies import load_study, run_study

LIMITS = {"mse": ("at most", 0.28, 0.261), "ci": ("at least", 0.878, 0.878), "auroc": ("at least", 0.94, None)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="runs/davis-deepdta", help="directory of the study")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    row = run_study(load_study("davis-deepdta"), options.run, progress=not options.json).summary.iloc[0]
    met = {name: bool(row[name] <= limit if how == "at most" else row[name] >= limit) for name, (how, limit, _) in LIMITS.items()}
    if options.json:
        found = {name: {"value": float(row[name]), how.replace(" ", "_"): limit, "published": published, "met": met[name]}
                 for name, (how, limit, published) in LIMITS.items()}
        print(json.dumps(found | {"RS": {name: float(row[name]) for name in ("value", "low", "high")}}, indent=2))
    else:
        for name, (how, limit, published) in LIMITS.items():
            print(f"{name:6} {row[name]:.4f}   {how} {limit}   published {published or '–'}   {'met' if met[name] else 'MISSED'}")
        print(f"RS     {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}), {row['operator']}/{row['matching']}/{row['dose']}")
    sys.exit(not all(met.values()))


if __name__ == "__main__": main()
