"""What Lightning costs: the package's training loop against a plain loop over the same blocks, interleaved in one process.

    python benchmarks/lightning_overhead.py            # a Davis-sized grid, three repeats of three epochs
    python benchmarks/lightning_overhead.py --quick    # a small grid; within a minute
    python benchmarks/lightning_overhead.py --json     # the JSON alone

The issue's rule is that Lightning stays unless it costs more than 10 % of the epoch time. Wall-clock and processor time are both
given; on a machine that does other work the second is the one to read.
"""
import argparse
import json
import os
import statistics
import time

import numpy as np
import pandas as pd
import torch

from isaac.datasets import DTIDataset
from isaac.models.deepdta import DeepDTA
from isaac.models.encoders import untrained
from isaac.models.training import GridTraining, TrainingConfig, fit


def made_up_split(drugs: int, targets: int, seed: int = 0):
    "A full grid with sequence lengths like Davis' (median about 700) and SMILES of 30 to 90 characters."
    rng = np.random.default_rng(seed)
    smiles = ["C" * rng.integers(30, 90) + "O" * (i + 1) for i in range(drugs)]
    lengths = np.exp(rng.normal(np.log(700), 0.5, targets)).clip(244, 2_549).astype(int)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]
    rows = [{"smiles": d, "sequence": t, "affinity": rng.uniform(5, 10)} for d in smiles for t in sequences]
    return DTIDataset.from_frame(pd.DataFrame(rows), threshold=7.0).split("warm")


def plain_loop(training: GridTraining) -> None:
    "The same steps without Lightning."
    parts = training.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    for blocks in training.plan:
        training.on_train_epoch_start()
        for number, pairs in enumerate(blocks):
            loss = training.training_step(training.grid.take(pairs), number)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(training.model.parameters(), training.config.gradient_clip)
            optimizer.step()
            schedule.step()
        training.on_train_epoch_end()


def seconds(loop, split, config: TrainingConfig) -> tuple[float, float, float]:
    "Wall-clock and processor seconds per epoch, setting up included, and the last training loss."
    training = GridTraining(untrained(DeepDTA, 0), split.train, split.valid, 0, config)
    wall, processor = time.perf_counter(), time.process_time()
    loop(training)
    taken = time.perf_counter() - wall, time.process_time() - processor
    return taken[0] / config.epochs, taken[1] / config.epochs, training.history[-1]["train_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small grid")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    split = made_up_split(*((24, 48) if options.quick else (68, 379)))
    config, device = TrainingConfig(epochs=3), torch.device("cpu")
    loops = {"plain": plain_loop, "lightning": lambda training: fit(training, device)}
    times = {name: [] for name in loops}
    for name in [*loops] * 4: times[name].append(seconds(loops[name], split, config))
    times = {name: rows[1:] for name, rows in times.items()}  # the first of each warms up
    result = {name: {"wall_s": statistics.median(r[0] for r in rows), "processor_s": statistics.median(r[1] for r in rows),
                     "train_loss": rows[0][2]} for name, rows in times.items()}
    result["overhead"] = {k: result["lightning"][k] / result["plain"][k] - 1 for k in ("wall_s", "processor_s")}
    result |= {"training_pairs": len(split.train.pairs), "repeats": len(rows := times["plain"]), "threads": torch.get_num_threads(),
               "processors": os.cpu_count(), "load_1min": os.getloadavg()[0], "torch": torch.__version__, "quick": options.quick}
    assert rows and all(np.isfinite(r).all() for r in times["lightning"])
    if options.json: print(json.dumps(result, indent=2))
    else:
        for name in loops: print(f"{name:10s} {result[name]['wall_s']:7.2f} s wall {result[name]['processor_s']:7.2f} s processor per epoch")
        print(f"overhead   {result['overhead']['wall_s']:+7.1%}        {result['overhead']['processor_s']:+7.1%}")


if __name__ == "__main__": main()
