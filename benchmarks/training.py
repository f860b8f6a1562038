"""What block-grid training saves: each architecture against a plain loop of the same model, one encoding per pair, padded as published.

    python benchmarks/training.py                    # times, then both trained for the same wall-clock time (--minutes, default 4)
    python benchmarks/training.py --epochs 3         # times, then all trained for the same number of epochs
    python benchmarks/training.py --epochs 3 --seeds 3 # likewise, three trainings of each
    python benchmarks/training.py --quick            # times alone, from a random sample of batches; within a minute
    python benchmarks/training.py --json             # the JSON alone; it is also written to --out
    python benchmarks/training.py --models deepdta   # some of deepdta, deepconv, tapb

The plain loop draws batches of the published size at random, encodes the drug and the target of every pair, pads every text to the
published length and lets the textbook layers run over it: embedding, convolutions, attention with masks. Weights, loss, optimiser and
schedule are those of the package; the blocks' best epoch is chosen on the validation part, the plain loop's is its last. Blocks come in two
kinds: the `grid` of the package's recipes, which encodes least and wants many epochs, and `dealt`, in which every target has random drugs of
its own (`drugs_per_target`), with as many pairs to a step as are published or fewer, which learns as much per epoch as random batches do.

Seconds per epoch are a mean over sampled batches or blocks times their number, forward and backward; the ratio's interval is a percentile
bootstrap of the two samples. Times are of one process with all threads; run it on a machine that does nothing else. With --epochs the random
batches pass through the package's layers, without padding, since only learning is compared. Ends with exit code 1 where a ratio is below
the one that is wanted, and, with --epochs, where dealt blocks are worse than random batches in MSE or AUROC by more than two standard
errors over three seeds or more (of fewer it says no more than the numbers).
"""
import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
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
DEALT = {"deepdta": {"drugs_per_target": 8, "targets_per_block": 23}, "deepconv": {"drugs_per_target": 8, "targets_per_block": 4},
         "tapb": {"drugs_per_target": 6, "targets_per_block": 10}}


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


def batches(grid: Grid, size: int, seed: int, epoch: int) -> list[np.ndarray]:
    "All pairs in random order, in batches."
    order = np.argsort(random_uniform(stream_key("plain", seed, epoch), np.arange(len(grid.drug))))
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


def ready(kind: str, split: Split, seed: int = 0) -> TwoTowerModel:
    "A new model in training mode, in the unit of the data."
    model = untrained(MODELS[kind][0], seed).train()
    model.standardize(model.labels(split.train.pairs.affinity, split.train.threshold))
    return model


def settings(kind: str, **given) -> dict[str, TrainingConfig]:
    "How both kinds of blocks are trained."
    return {"grid": TrainingConfig.of(MODELS[kind][0], **given), "dealt": TrainingConfig.of(MODELS[kind][0], **DEALT[kind], **given)}


def measure_times(kind: str, split: Split, seconds: float) -> dict:
    "Seconds per epoch of all, forward and backward; how many times faster than the plain loop blocks are, with a 95 % interval."
    grid, threshold, model, times = Grid.of(split.train), split.train.threshold, ready(kind, split), {}
    with deterministic(torch.device("cpu")):
        for name, config in settings(kind).items():
            blocks = GridTraining(model, split.train, split.valid, 0, config).plan[0]
            times[name] = sampled(lambda pairs: block_loss(model, grid, pairs, threshold).backward(), blocks, seconds) * len(blocks)
        rows = batches(grid, MODELS[kind][2], 0, 0)
        times["plain"] = sampled(lambda pairs: plain_loss(kind, model, grid, pairs, threshold).backward(), rows, seconds) * len(rows)
    rng, found = np.random.default_rng(1), {}
    means = {name: rng.choice(t, (2_000, len(t))).mean(1) for name, t in times.items()}
    for name, t in times.items():
        low, high = np.quantile(means["plain"] / means[name], [0.025, 0.975])
        found[name] = {"s_per_epoch": float(t.mean()), "sampled": len(t)} | ({} if name == "plain" else {
            "ratio": float(times["plain"].mean() / t.mean()), "low": float(low), "high": float(high), "wanted": THRESHOLDS[kind]})
    return found


def train_plain(kind: str, split: Split, seed: int, steps: int, loss: Callable) -> TwoTowerModel: # loss: `plain_loss` or `block_loss`
    "Random batches for so many steps, one cycle of the package's optimiser."
    model, grid, config, done = ready(kind, split, seed), Grid.of(split.train), TrainingConfig.of(MODELS[kind][0]), 0
    optimizer, cycle = one_cycle(model, config, steps)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        while done < steps:
            for pairs in batches(grid, MODELS[kind][2], seed, done)[:steps - done]:
                optimizer.zero_grad()
                loss(model, grid, pairs, split.train.threshold).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
                optimizer.step()
                cycle.step()
                done += 1
    return model.eval()


def measure_accuracy(kind: str, split: Split, seed: int, times: dict, minutes: float | None, epochs: int | None) -> dict:
    "Test metrics of one training of each, after the same wall-clock time as the recipe's blocks, or the same number of epochs."
    count = epochs or max(1, int(60 * minutes // times["grid"]["s_per_epoch"]))
    in_time = {name: count if epochs else max(1, round(count * times["grid"]["s_per_epoch"] / t["s_per_epoch"])) for name, t in times.items()}
    steps, out = -(-len(Grid.of(split.train).drug) // MODELS[kind][2]), {}
    for name, config in settings(kind, second_stage=0).items():
        started = time.perf_counter()
        model, _, _ = fit_stages(ready(kind, split, seed), split, seed, replace(config, epochs=in_time[name]), torch.device("cpu"))
        out[name] = metrics_of(model, split.test) | {"epochs": in_time[name], "seconds": time.perf_counter() - started}
    total = count * steps if epochs else max(1, int(out["grid"]["seconds"] / times["plain"]["s_per_epoch"] * steps))
    started = time.perf_counter()
    loss = block_loss if epochs else partial(plain_loss, kind)
    model = train_plain(kind, split, seed, total, loss)
    out["plain"] = metrics_of(model, split.test) | {"epochs": total / steps, "seconds": time.perf_counter() - started}
    return out


def gap(trainings: list[dict], metric: str) -> dict: # value, standard error; above 0 where dealt blocks are better
    "The mean difference between dealt blocks and random batches over seeds."
    better = np.array([t["dealt"][metric] - t["plain"][metric] for t in trainings]) * (-1 if metric == "mse" else 1)
    return {"better_by": float(better.mean()), "se": float(better.std(ddof=1) / np.sqrt(len(better))) if len(better) > 1 else None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="times alone, from few batches")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=4, help="wall-clock time of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/training.json"), help="where the JSON is written")
    parser.add_argument("--epochs", type=int, help="epochs of each training, instead of --minutes")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    options = parser.parse_args()
    split, result, failed = load_davis().split("warm", 0), {}, False
    say = (lambda *_: None) if options.json else partial(print, flush=True)
    for kind in options.models:
        times = measure_times(kind, split, 3 if options.quick else 30)
        result[kind] = {"times": times}
        say(f"{kind:9s} {times['plain']['s_per_epoch']:8.1f} s per epoch plain")
        for name in ("grid", "dealt"):
            t = times[name]
            failed |= t["ratio"] < t["wanted"]
            say(f"          {t['s_per_epoch']:8.1f} s in blocks ({name}): {t['ratio']:.1f} times faster "
                f"({t['low']:.1f} to {t['high']:.1f}; wanted {t['wanted']})")
        if options.quick: continue
        trainings = result[kind]["trainings"] = []
        for seed in range(options.seeds):
            trainings.append(measure_accuracy(kind, split, seed, times, options.minutes, options.epochs))
            for name, t in trainings[-1].items():
                say(f"          seed {seed}, {name:5s} after {t['epochs']:.2f} epochs, {t['seconds']:.0f} s: "
                    + ", ".join(f"{m} {t[m]:.4f}" for m in ("mse", "ci", "auroc", "auprc") if m in t))
        if not options.epochs: continue
        gaps = result[kind]["dealt_against_plain"] = {m: gap(trainings, m) for m in ("mse", "auroc") if m in trainings[0]["plain"]}
        for metric, g in gaps.items():
            say(f"          dealt blocks are better by {g['better_by']:+.4f} in {metric}" + (f" ± {g['se']:.4f} (se)" if g["se"] is not None else ""))
            failed |= options.seeds > 2 and g["better_by"] < -2 * g["se"]
    result["machine"] = {"processors": os.cpu_count(), "threads": torch.get_num_threads(), "load_1min": os.getloadavg()[0],
                         "torch": torch.__version__, "python": platform.python_version(), "quick": options.quick}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    if options.json: print(json.dumps(result, indent=2))
    sys.exit(failed)


if __name__ == "__main__": main()
