"""How large an audit one machine can plan, ask and score: time and peak memory of a million pairs, and how fast a million edited targets are planned.

    python benchmarks/scale.py            # 1,000 drugs × 1,000 targets; a million edited targets: two minutes
    python benchmarks/scale.py --quick    # 200 × 200; a hundred thousand
    python benchmarks/scale.py --json     # the JSON alone
    python benchmarks/scale.py --curve    # time and memory of 10² to 10⁶ pairs, in memory and from disk, and 10⁷ from disk: half an hour

Drugs and targets are made up, the model is two counts per target, so that what is measured is the package. Each part runs in a process of its
own. Ends with exit code 1 where the million pairs take more than 2 GiB, or the million edited targets more than 5 s to plan.
"""
import argparse
import json
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from isaac.audit import AuditConfig, score_table
from isaac.engine import respond
from isaac.large import audit_large
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


ASKED = {"operators": ("substitute",), "matchings": ("uniform",), "doses": (10,), "repeats": 1, "intervention_seeds": 2}


def many_pairs(side: int) -> dict:
    "side × side pairs from the plan to the scores."
    watch = Stopwatch()
    pairs, prior = made_up(side, side, 300)
    watch.stop("data")
    design = ASKED
    plan = make_plan(pairs, prior, design=Design(**design))
    watch.stop("plan")
    responses = respond(plan, Counts())
    watch.stop("engine")
    scores = score_table(plan, response_matrix(plan, responses), responses.noise, AuditConfig(**design))
    watch.stop("scores")
    rs = scores[scores["score"].eq("RS") & scores["support"].eq("common")].iloc[0]
    return {"pairs": len(pairs), "predictions": len(plan.edits), "RS": rs["value"], "low": rs["low"], "high": rs["high"], "stages": watch.stages}


def on_disk(side: int) -> dict:
    "side × side pairs from a table on disk to the scores; the table is made some drugs at a time."
    import pyarrow as pa
    import pyarrow.parquet as pq
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        grid, prior = made_up(1, side, 300)
        with ExitStack() as stack:
            writer = None
            for i in range(side):
                some = grid[["target_id", "sequence"]].assign(drug_id=f"D{i:05}", smiles="C" * (1 + i % 40) + "N" * (1 + i // 40))
                table = pa.Table.from_pandas(some, preserve_index=False)
                writer = writer or stack.enter_context(pq.ParquetWriter(Path(folder, "pairs.parquet"), table.schema))
                writer.write_table(table)
        watch.stop("data")
        found = audit_large(Counts(), Path(folder, "pairs.parquet"), prior, Path(folder, "run"), progress=False, **ASKED)
        watch.stop("audit")
    rs = found.scores[found.scores["endpoint"].eq("primary")].iloc[0]
    return {"pairs": side**2, "predictions": int(found.manifest["account"]["asked"]), "RS": rs["value"], "low": rs["low"], "high": rs["high"],
            "parts": found.manifest["account"]["parts"], "stages": watch.stages}


def curve(sides: list[int], most_in_memory: int = 1_000) -> list[dict]:
    "Time and peak memory of ever more pairs, both ways."
    rows = []
    for side in sides:
        for way, what in (("in memory", many_pairs), ("from disk", on_disk)):
            if way == "in memory" and side > most_in_memory: continue
            found = alone(what, side)
            stages = [x for name, x in found["stages"].items() if name != "data"]
            rows.append({"way": way, "parts": found.get("parts", 1), **{name: found[name] for name in ("pairs", "RS", "low", "high")},
                         "seconds": sum(x["seconds"] for x in stages), "peak_gib": stages[-1]["peak_gib"]})
            r = rows[-1]
            print(f"{r['pairs']:12,} pairs {way}, {r['parts']:3d} parts: {r['seconds']:7.1f} s, peak {r['peak_gib']:.2f} GiB, "
                  f"RS {r['RS']:.4f} ({r['low']:.4f} to {r['high']:.4f})", file=sys.stderr, flush=True)
    return rows


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
    parser.add_argument("--curve", nargs="*", type=int, metavar="SIDE", help="time and memory of SIDE × SIDE pairs each, instead")
    options = parser.parse_args()
    if options.curve is not None: return print(json.dumps(curve(options.curve or [10, 32, 100, 316, 1_000, 3_162]), indent=2))
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
