"""How large an audit one machine can plan, ask and score: time and peak memory of a million pairs, and how fast a million edited targets are planned.

    python benchmarks/scale.py            # 1,000 drugs × 1,000 targets; a million edited targets: two minutes
    python benchmarks/scale.py --quick    # 200 × 200; a hundred thousand
    python benchmarks/scale.py --json     # the JSON alone

Drugs and targets are made up, the model is two counts per target, so that what is measured is the package. Each part runs in a process of its
own. Ends with exit code 1 where the million pairs take more than 2 GiB, or the million edited targets more than 5 s to plan.
"""
import argparse
import json
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd

from isaac.audit import AuditConfig, score_table
from isaac.engine import respond
from isaac.plan import Design, make_plan
from isaac.priors import Prior, prior_from_table
from isaac.scores import response_matrix

MEMORY, SECONDS = 2.0, 5.0 # GiB of the pairs, seconds of planning


class Counts:
    "A cheap two-tower model: how often K and W occur, times the length of the SMILES."
    def predict(self, smiles, sequences): return self.score(self.encode_drugs(smiles), self.encode_targets(sequences))
    def encode_drugs(self, smiles): return np.array([len(s) for s in smiles], float)
    def encode_targets(self, sequences): return np.array([(s.count("K"), s.count("W", 40, 70)) for s in sequences], float)
    def score(self, drugs, targets): return drugs * targets[:, 0] + targets[:, 1]


def made_up(drugs: int, targets: int, length: int) -> tuple[pd.DataFrame, Prior]:
    "Every drug with every target, and a pocket of 14 residues."
    rng, letters = np.random.default_rng(0), np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    sequences = {f"T{i:05}": "".join(rng.choice(letters, length)) for i in range(targets)}
    smiles = {f"D{i:05}": "C" * (1 + i % 40) + "N" * (1 + i // 40) for i in range(drugs)}
    pairs = pd.DataFrame({"drug_id": np.repeat(list(smiles), targets), "target_id": np.tile(list(sequences), drugs)})
    pairs = pairs.assign(pair_id=np.arange(len(pairs)), smiles=pairs["drug_id"].map(smiles), sequence=pairs["target_id"].map(sequences))
    pocket = pd.DataFrame([(t, p) for t in sequences for p in [*range(40, 46), *range(60, 68)]], columns=["target_id", "position"])
    return pairs, prior_from_table(pocket, pairs.drop_duplicates("target_id"))


class Stopwatch:
    "Seconds of each stage, and the peak memory of the process after it."
    def __init__(self): self.stages, self.last = {}, time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        self.stages[stage] = {"seconds": now - self.last, "peak_gib": peak}
        self.last = now


def many_pairs(side: int) -> dict:
    "side × side pairs from the plan to the scores."
    watch = Stopwatch()
    pairs, prior = made_up(side, side, 300)
    watch.stop("data")
    design = {"operators": ("substitute",), "matchings": ("uniform",), "doses": (10,), "repeats": 1, "intervention_seeds": 2}
    plan = make_plan(pairs, prior, design=Design(**design))
    watch.stop("plan")
    responses = respond(plan, Counts())
    watch.stop("engine")
    scores = score_table(plan, response_matrix(plan, responses), responses.noise, AuditConfig(**design))
    watch.stop("scores")
    rs = scores[scores["score"].eq("RS") & scores["support"].eq("common")].iloc[0]
    return {"pairs": len(pairs), "predictions": len(plan.edits), "RS": rs["value"], "low": rs["low"], "high": rs["high"], "stages": watch.stages}


def many_edits(edits: int) -> dict:
    "About so many edited targets of 400 sequences, one drug."
    pairs, prior = made_up(1, 400, 700)
    design = Design(operators=("substitute",), matchings=("geometry", "domain", "uniform"), doses=(10,), repeats=edits // 1_600, intervention_seeds=1)
    watch = Stopwatch()
    plan = make_plan(pairs, prior, design=design)
    watch.stop("plan")
    return {"edited_targets": len(plan.edits) - len(pairs), "distinct": len(plan.variants), "stages": watch.stages}


def alone(what, size: int) -> dict:
    "In a fresh process, whose memory is its own."
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool: return pool.submit(what, size).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a twenty-fifth of the pairs, a tenth of the edits")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    result = {"pairs": alone(many_pairs, 200 if options.quick else 1_000), "edits": alone(many_edits, 100_000 if options.quick else 1_000_000)}
    if options.json: print(json.dumps(result, indent=2))
    else:
        found = result["pairs"]
        print(f"{found['pairs']:,} pairs, {found['predictions']:,} predictions: RS {found['RS']:.3f} ({found['low']:.3f} to {found['high']:.3f})")
        for stage, x in found["stages"].items(): print(f"    {stage:7s} {x['seconds']:6.1f} s, peak {x['peak_gib']:.2f} GiB")
        planned = result["edits"]
        print(f"{planned['edited_targets']:,} edited targets planned in {planned['stages']['plan']['seconds']:.1f} s")
    if options.quick: return
    sys.exit(max(x["peak_gib"] for x in result["pairs"]["stages"].values()) > MEMORY or result["edits"]["stages"]["plan"]["seconds"] > SECONDS)


if __name__ == "__main__": main()
