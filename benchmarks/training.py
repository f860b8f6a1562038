"""What block-grid training saves: each architecture against a plain loop of the same model, one encoding per pair, padded as published.

    python benchmarks/training.py                    # times, then both trained for the same wall-clock time (--minutes, default 4)
    python benchmarks/training.py --epochs 3         # times, then both trained for the same number of epochs
    python benchmarks/training.py --quick            # times alone, from a random sample of batches; within a minute
    python benchmarks/training.py --json             # the JSON alone; it is also written to --out
    python benchmarks/training.py --models deepdta   # some of deepdta, deepconv, tapb

The plain loop draws batches of the published size at random, encodes the drug and the target of every pair, pads every text to the
published length and lets the textbook layers run over it: embedding, convolutions, attention with masks. Weights, loss, optimiser and
schedule are those of the package; the blocks' best epoch is chosen on the validation part, the plain loop's is its last. Seconds per epoch
are a mean over sampled batches or blocks times their number, forward and backward; the ratio's interval is a percentile bootstrap of the
two samples. Times are of one process with all threads; run it on a machine that does nothing else. With --epochs the random batches pass
through the package's layers, without padding, since only learning is compared. Ends with exit code 1 where a ratio is below the one that is
wanted.
"""
import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from plain import MODELS

from isaac.core import random_uniform, stream_key, write_json
from isaac.datasets import Split, load_davis
from isaac.models.encoders import TwoTowerModel, untrained
from isaac.models.training import Grid, GridTraining, TrainingConfig, deterministic, fit_stages, metrics_of, one_cycle

THRESHOLDS = {"deepdta": 10, "deepconv": 8, "tapb": 4} # how many times faster than the plain loop the issue wants each


def plain_loss(kind: str, model: TwoTowerModel, grid: Grid, pairs: np.ndarray, threshold: float) -> torch.Tensor:
    "The model's own loss with predictions of the plain forward pass."
    forward, block = MODELS[kind][1], ([grid.smiles[i] for i in grid.drug[pairs]], [grid.sequences[i] for i in grid.target[pairs]])
    rows, labels = np.arange(len(pairs)), torch.from_numpy(model.labels(grid.affinity[pairs], threshold))
    model.forward = lambda smiles, sequences, drug, target: forward(model, smiles, sequences)
    try: return model.loss(*block, rows, rows, labels)
    finally: del model.forward


def block_loss(model: TwoTowerModel, grid: Grid, pairs: np.ndarray, threshold: float) -> torch.Tensor:
    "The model's own loss, each text of the pairs encoded once."
    block = grid.take(pairs)
    return model.loss(block.smiles, block.sequences, block.drug, block.target, torch.from_numpy(model.labels(block.affinity, threshold)))


def batches(grid: Grid, size: int, epoch: int) -> list[np.ndarray]:
    "All pairs in random order, in batches."
    order = np.argsort(random_uniform(stream_key("plain", epoch), np.arange(len(grid.drug))))
    return np.array_split(order, -(-len(order) // size))


def sampled(step, items: list, seconds: float) -> np.ndarray: # seconds of each sampled step
    "Time random steps until the time is up, at least three; the first warms up and is not counted."
    times, started, order = [], time.perf_counter(), np.random.default_rng(0).permutation(len(items))
    for i in order:
        before = time.perf_counter()
        step(items[i])
        times.append(time.perf_counter() - before)
        if len(times) > 3 and time.perf_counter() - started > seconds: break
    return np.array(times[1:])


def ready(kind: str, split: Split) -> TwoTowerModel:
    "A new model in training mode, in the unit of the data."
    model = untrained(MODELS[kind][0], 0).train()
    model.standardize(model.labels(split.train.pairs.affinity, split.train.threshold))
    return model


def measure_times(kind: str, split: Split, seconds: float) -> dict:
    "Seconds per epoch of both, forward and backward, and their ratio with a 95 % interval."
    grid, threshold, config, times = Grid.of(split.train), split.train.threshold, TrainingConfig.of(MODELS[kind][0]), {}
    plain, model = ready(kind, split), ready(kind, split)
    blocks, rows = GridTraining(model, split.train, split.valid, 0, config).plan[0], batches(grid, MODELS[kind][2], 0)

    with deterministic(torch.device("cpu")):
        times["grid"] = sampled(lambda pairs: block_loss(model, grid, pairs, threshold).backward(), blocks, seconds) * len(blocks)
        times["plain"] = sampled(lambda pairs: plain_loss(kind, plain, grid, pairs, threshold).backward(), rows, seconds) * len(rows)
    rng = np.random.default_rng(1)
    means = {name: rng.choice(t, (2_000, len(t))).mean(1) for name, t in times.items()}
    low, high = np.quantile(means["plain"] / means["grid"], [0.025, 0.975])
    return {name: {"s_per_epoch": float(t.mean()), "sampled": len(t)} for name, t in times.items()} | {
        "ratio": float(times["plain"].mean() / times["grid"].mean()), "low": float(low), "high": float(high), "wanted": THRESHOLDS[kind]}


def train_plain(kind: str, split: Split, steps: int, loss: Callable) -> TwoTowerModel: # loss: `plain_loss` or `block_loss`
    "Random batches for so many steps, one cycle of the package's optimiser."
    model, grid, config, done = ready(kind, split), Grid.of(split.train), TrainingConfig.of(MODELS[kind][0]), 0
    optimizer, cycle = one_cycle(model, config, steps)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        while done < steps:
            for pairs in batches(grid, MODELS[kind][2], done)[:steps - done]:
                optimizer.zero_grad()
                loss(model, grid, pairs, split.train.threshold).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
                optimizer.step()
                cycle.step()
                done += 1
    return model.eval()


def measure_accuracy(kind: str, split: Split, times: dict, minutes: float | None, epochs: int | None) -> dict:
    "Test metrics of both after the same wall-clock time, or the same number of epochs."
    per_epoch = {name: times[name]["s_per_epoch"] for name in ("grid", "plain")}
    count = epochs or max(1, int(60 * minutes // per_epoch["grid"]))
    steps = -(-len(Grid.of(split.train).drug) // MODELS[kind][2])
    config = TrainingConfig.of(MODELS[kind][0], epochs=count, second_stage=0)
    out, started = {}, time.perf_counter()
    model, _, _ = fit_stages(ready(kind, split), split, 0, config, torch.device("cpu"))
    out["grid"] = metrics_of(model, split.test) | {"epochs": count, "seconds": time.perf_counter() - started}
    total = count * steps if epochs else max(1, int(out["grid"]["seconds"] / per_epoch["plain"] * steps))
    started = time.perf_counter()
    loss = block_loss if epochs else partial(plain_loss, kind)
    out["plain"] = metrics_of(train_plain(kind, split, total, loss), split.test) | {"epochs": total / steps, "seconds": time.perf_counter() - started}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="times alone, from few batches")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=4, help="wall-clock time of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/training.json"), help="where the JSON is written")
    parser.add_argument("--epochs", type=int, help="epochs of each training, instead of --minutes")
    options = parser.parse_args()
    split, result = load_davis().split("warm", 0), {}
    for kind in options.models:
        times = result[kind] = measure_times(kind, split, 5 if options.quick else 30)
        if not options.json:
            print(f"{kind:9s} {times['grid']['s_per_epoch']:8.1f} s per epoch in blocks, {times['plain']['s_per_epoch']:8.1f} s plain: "
                  f"{times['ratio']:.1f} times faster ({times['low']:.1f} to {times['high']:.1f}; wanted {times['wanted']})", flush=True)
        if options.quick: continue
        reached = measure_accuracy(kind, split, times, options.minutes, options.epochs)
        result[kind] = {k: v | reached[k] if k in reached else v for k, v in times.items()}
        if not options.json:
            for name in ("grid", "plain"):
                print(f"          {name:5s} after {result[kind][name]['epochs']:.2f} epochs, {result[kind][name]['seconds']:.0f} s: "
                      + ", ".join(f"{m} {result[kind][name][m]:.3f}" for m in ("mse", "ci", "auroc", "auprc") if m in result[kind][name]), flush=True)
    result["machine"] = {"processors": os.cpu_count(), "threads": torch.get_num_threads(), "load_1min": os.getloadavg()[0],
                         "torch": torch.__version__, "python": platform.python_version(), "quick": options.quick}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    if options.json: print(json.dumps(result, indent=2))
    sys.exit(any(result[kind]["ratio"] < result[kind]["wanted"] for kind in options.models))


if __name__ == "__main__": main()
