"""How often placebo priors call a network significant that knows nothing: untrained DeepDTAs on the published test fold of Davis.

    python benchmarks/placebo.py            # 200 networks, geometry and uniform, dose 20
    python benchmarks/placebo.py --quick    # 24 networks, geometry, every third target
    python benchmarks/placebo.py --json     # the JSON alone

Two tests at 5 %, one-sided. The *rank* of the true pocket among recombined placebo priors takes targets for independent, which the pockets of kinases
are not: its false positives grow with the number of targets. The *excess* over the mean placebo prior is compared with that of 20 other networks.
"""
import argparse
import json
import time

import numpy as np

from isaac.core import random_bits, stream_key
from isaac.datasets import load_davis
from isaac.engine import respond
from isaac.inference import null_test, placebo_test
from isaac.models import DeepDTA, untrained
from isaac.placebo import PlaceboSums, expected_cost, placebo_plan, placebo_sums
from isaac.plan import Design
from isaac.predictors import reading
from isaac.priors import KlifsPocket

COPIES = 20 # networks that one network's excess is compared with


def some(sums: PlaceboSums, targets: int) -> PlaceboSums:
    "The sums of so many targets, always the same."
    rows = np.argsort(random_bits(stream_key("targets"), np.arange(len(sums.names))))[:targets]
    return PlaceboSums(*(getattr(sums, part)[rows] for part in ("m", "s", "observed_m", "observed_s", "names")))


def false_positives(all_sums: list[PlaceboSums], draws: int) -> dict:
    "Share of networks that either test calls significant, and the spread of their excess."
    ranks = [placebo_test(s.m, s.s, s.observed_m, s.observed_s, s.names, draws).p for s in all_sums]
    excess = np.array([s.excess for s in all_sums])
    order = [np.argsort(random_bits(stream_key("copies", i), np.arange(len(excess)))) for i in range(len(excess))]
    copies = [null_test(x, excess[o[o != i][:COPIES]])[1] for i, (x, o) in enumerate(zip(excess, order, strict=True))]
    return {"rank": float(np.mean(np.array(ranks) <= 0.05)), "copies": float(np.mean(np.array(copies) <= 0.05)),
            "excess": {"mean": float(excess.mean()), "sd": float(excess.std(ddof=1))}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 networks, geometry, every third target")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    networks, matchings, draws, most = (24, ("geometry",), 2_000, 6) if options.quick else (200, ("geometry", "uniform"), 10_000, 12)
    davis, started, figures = load_davis(), time.process_time(), {}
    pairs, prior = davis.test.frame, KlifsPocket().annotate(davis.targets)
    if options.quick: pairs = pairs[pairs["target_id"].isin(sorted(davis.targets["target_id"])[::3])]
    for matching in matchings:
        plan = placebo_plan(pairs, prior, reading(untrained(DeepDTA)), Design(operators=("mask",), matchings=(matching,), doses=(20,)), most=most)
        sums = [placebo_sums(plan, respond(plan, untrained(DeepDTA, seed))) for seed in range(networks)]
        targets = len(sums[0].names)
        figures[matching] = expected_cost(plan) | {"false positives": {str(n): false_positives([some(s, n) for s in sums], draws)
                                                                        for n in sorted({min(n, targets) for n in (30, 100, targets)})}}
    result = {"networks": networks, "placements": most, "cpu_seconds": time.process_time() - started, "matchings": figures}
    if options.json: return print(json.dumps(result, indent=2))
    print(f"{networks} untrained DeepDTAs, up to {most} placements per target, {result['cpu_seconds']:.0f} CPU seconds")
    for matching, found in figures.items():
        for targets, f in found["false positives"].items():
            print(f"{matching:10} {targets:>4} targets  false positives at 5 %: rank {f['rank']:.1%}, against copies {f['copies']:.1%}; "
                  f"excess {f['excess']['mean']:+.3f} ± {f['excess']['sd']:.3f}")


if __name__ == "__main__": main()
