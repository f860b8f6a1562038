"""How often placebo priors call a network significant that knows nothing: untrained DeepDTAs on the published test fold of Davis, `mask`, dose 20.

    python benchmarks/placebo.py                     # 200 networks, geometry: 45 minutes on one core
    python benchmarks/placebo.py --matching uniform  # another matching
    python benchmarks/placebo.py --quick             # 24 networks, every third target: a minute
    python benchmarks/placebo.py --json              # the JSON alone

Two one-sided tests at 5 %. The *rank* of the true pocket among recombined placebo priors takes targets for independent, which the pockets of kinases
are not quite; `spread` is the standard deviation, over networks, of the true pocket's distance from its placebo priors in theirs: 1 if they were.
The other test compares the *excess* over the mean placebo prior with that of 20 other networks.
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


def in_random_order(n: int, *stream: int | str) -> np.ndarray: return np.argsort(random_bits(stream_key(*stream), np.arange(n)))


def some(sums: PlaceboSums, targets: int) -> PlaceboSums:
    "The sums of so many targets, always the same."
    rows = in_random_order(len(sums.names), "targets")[:targets]
    return PlaceboSums(*(getattr(sums, part)[rows] for part in ("m", "s", "observed_m", "observed_s", "names")))


def false_positives(networks: list[PlaceboSums], draws: int) -> dict[str, float]:
    "Share of networks that either test calls significant at 5 %, and the spread of what they look at."
    tests = [placebo_test(s.m, s.s, s.observed_m, s.observed_s, s.names, draws) for s in networks]
    excess = np.array([s.excess for s in networks])
    others = [[j for j in in_random_order(len(excess), "copies", i) if j != i][:COPIES] for i in range(len(excess))]
    against = [null_test(x, excess[rows])[1] for x, rows in zip(excess, others, strict=True)]
    return {"rank": float(np.mean([t.p <= 0.05 for t in tests])), "copies": float(np.mean(np.array(against) <= 0.05)),
            "spread": float(np.std([(t.observed - t.null.mean()) / t.null.std() for t in tests])),
            "excess_mean": float(excess.mean()), "excess_sd": float(excess.std(ddof=1))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matching", default="geometry", help="the scheme of the controls")
    parser.add_argument("--quick", action="store_true", help="24 networks, every third target")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    networks, draws, most = (24, 2_000, 6) if options.quick else (200, 10_000, 12)
    davis, started = load_davis(), time.process_time()
    pairs, prior = davis.test.frame, KlifsPocket().annotate(davis.targets)
    if options.quick: pairs = pairs[pairs["target_id"].isin(sorted(davis.targets["target_id"])[::3])]
    design = Design(operators=("mask",), matchings=(options.matching,), doses=(20,))
    plan = placebo_plan(pairs, prior, reading(untrained(DeepDTA)), design, most=most)
    sums = [placebo_sums(plan, respond(plan, untrained(DeepDTA, seed))) for seed in range(networks)]
    sizes = sorted({min(n, len(sums[0].names)) for n in (30, 100, len(sums[0].names))})
    found = {n: false_positives([some(s, n) for s in sums], draws) for n in sizes}
    result = {"networks": networks, "matching": options.matching, "placements": most, "cpu_seconds": time.process_time() - started,
              **expected_cost(plan), "targets": found}
    if options.json: return print(json.dumps(result, indent=2))
    print(f"{networks} untrained DeepDTAs, {options.matching}, up to {most} placements per target, {result['cpu_seconds']:.0f} CPU seconds")
    for n, f in found.items():
        print(f"{n:>4} targets  false positives at 5 %: rank {f['rank']:.1%} (spread {f['spread']:.2f}), against copies {f['copies']:.1%}; "
              f"excess {f['excess_mean']:+.3f} ± {f['excess_sd']:.3f}")


if __name__ == "__main__": main()
