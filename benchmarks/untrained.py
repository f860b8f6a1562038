"""What networks that know nothing score: RS of re-initialised DeepDTAs on the published test fold of Davis, under `geometry`, dose 20.

    python benchmarks/untrained.py            # ten networks, mask and substitute, two repeats
    python benchmarks/untrained.py --quick    # five networks, substitute, one repeat
    python benchmarks/untrained.py --json     # the JSON alone

The reasoning score of a trained network is to be read against this distribution, not against 0.5.
"""
import argparse
import json
import time

from isaac.datasets import load_davis
from isaac.models import DeepDTA
from isaac.plan import Design
from isaac.priors import KlifsPocket
from isaac.studies import untrained_null


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five networks, substitute, one repeat")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    davis, repeats = load_davis(), 1 if options.quick else 2
    networks, operators = (5, ["substitute"]) if options.quick else (10, ["mask", "substitute"])
    design = Design(operators=operators, matchings=["geometry"], doses=[20], repeats=repeats, intervention_seeds=1)
    prior, started = KlifsPocket().annotate(davis.targets), time.perf_counter()
    null = untrained_null(DeepDTA, davis.test, prior, networks, design)
    figures = {operator: rs.agg(["mean", "std", "min", "max"]).rename({"std": "sd"}).to_dict() for operator, rs in null.groupby("operator")["RS"]}
    result = {"networks": networks, "pairs": int(null["pairs"].iloc[0]), "repeats": repeats,
              "seconds": time.perf_counter() - started, "RS": figures}
    if options.json: return print(json.dumps(result, indent=2))
    print(f"{result['networks']} untrained DeepDTAs, {result['pairs']:,} pairs, {result['seconds']:.0f} s")
    for operator, f in figures.items():
        print(f"{operator:10}  mean {f['mean']:.4f}  sd {f['sd']:.4f}  min {f['min']:.4f}  max {f['max']:.4f}")


if __name__ == "__main__": main()
