"""What inference costs: the drug × sequence bootstrap of every score, and placebo recombination, at Davis' size and at a hundred times that.

    python benchmarks/inference.py            # both sizes: minutes
    python benchmarks/inference.py --quick    # Davis' size, and 2 of the 60 conditions at 100×
    python benchmarks/inference.py --json     # the JSON alone

Responses are made up: their values change no cost. Each part runs in a process of its own, so that its peak memory can be told; wall-clock and
processor time are both given, because on a machine that does other work the second is the one to read. The last part contracts drug × sequence
weights sequence by sequence, without forming a weight per pair, as the alternative to the plain product.
"""
import argparse
import json
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from isaac.inference import bootstrap, pair_weights, placebo_test, poisson_weights
from isaac.scores import Contrast

DRUGS, SEQUENCES, PAIRS, CONDITIONS, WORLDS = 68, 379, 4_791, 60, 2_000


def grid(scale: int) -> tuple[np.ndarray, np.ndarray]:
    "Drug and sequence of each pair: `scale` times Davis' pairs among √scale times its drugs and sequences, sorted by sequence."
    side = round(scale**0.5)
    cells = np.sort(np.random.default_rng(0).choice(DRUGS * SEQUENCES * side**2, PAIRS * scale, replace=False))
    return tuple(x.astype(str) for x in divmod(cells, DRUGS * side)[::-1])


def contrasts(pairs: int, conditions: int):
    "Made-up responses of three draws, one condition at a time."
    for seed in range(conditions):
        g = np.random.default_rng(seed)
        yield Contrast(2 * g.normal(size=(pairs, 3)), g.normal(size=(pairs, 3)), 1e-6, g.random(pairs) < 0.1)


def bootstrapped(scale: int, conditions: int) -> dict:
    drugs, sequences = grid(scale)
    shape = bootstrap(contrasts(len(drugs), conditions), drugs, sequences, WORLDS).shape
    return {"pairs": len(drugs), "conditions": shape[0], "scores": shape[1], "draws": shape[2]}


def recombined(scale: int) -> dict:
    targets, placements, g = SEQUENCES * scale, 200, np.random.default_rng(0)
    m, s = g.lognormal(size=(2, targets, placements))
    test = placebo_test(m, s, m[:, 0], s[:, 0], [str(i) for i in range(targets)], draws=10_000)
    return {"targets": targets, "placements": placements, "recombinations": len(test.null)}


def contracted(features: int) -> dict:
    "500 draws of both routes, one thread's processor seconds; the weights of the plain route are counted in."
    drugs, sequences = grid(1)
    values, draws = np.random.default_rng(0).random((len(drugs), features)), np.arange(500)
    codes = [np.unique(x, return_inverse=True) for x in (drugs, sequences)]
    drug, sequence = (poisson_weights(names, draws, "x") for names, _ in codes)
    started = time.process_time()
    plain = next(pair_weights(drugs, sequences, draws, slab=500)) @ values
    between = time.process_time()
    order = np.argsort(codes[1][1], kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[1][1][order])) + 1)
    total = sum(sequence[:, [i]] * (drug[:, codes[0][1][rows]] @ values[rows]) for i, rows in enumerate(parts))
    ended = time.process_time()
    assert plain.shape == total.shape
    return {"features": features, "plain_s": between - started, "contraction_s": ended - between}


def measured(part, *options) -> dict:
    "Run one part; time and peak memory beside what it says of itself."
    idle, wall, processor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    found = part(*options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor, "memory_mb": (peak - idle) / 1024}


def alone(part, *options) -> dict:
    "The same in a fresh process."
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool: return pool.submit(measured, part, *options).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 of the 60 conditions at 100×")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    result = {"bootstrap": alone(bootstrapped, 1, CONDITIONS), "bootstrap, 100×": alone(bootstrapped, 100, 2 if options.quick else CONDITIONS),
              "placebo": alone(recombined, 1), "placebo, 100×": alone(recombined, 100),
              "contraction, 2 features": alone(contracted, 2), "contraction, 320 features": alone(contracted, 320)}
    result |= {"processors": os.cpu_count(), "load_1min": os.getloadavg()[0], "threads": os.environ.get("OMP_NUM_THREADS"), "quick": options.quick}
    if options.json: return print(json.dumps(result, indent=2, ensure_ascii=False))
    for name, part in result.items():
        if not isinstance(part, dict): continue
        size = ", ".join(f"{v:,} {k}" for k, v in part.items() if not k.endswith(("_s", "_mb")))
        cost = ", ".join(f"{k.removesuffix('_s')} {part[k]:.2f} s" for k in part if k.endswith("_s"))
        print(f"{name:26} {size:60} {cost}, {part['memory_mb']:,.0f} MB")


if __name__ == "__main__": main()
