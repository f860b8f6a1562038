"""What block-grid training saves: each architecture against a plain loop of the same model, one encoding per pair, padded as published.

    python benchmarks/training.py                    # times, then both trained for the same wall-clock time (--minutes, default 4)
    python benchmarks/training.py --epochs 3 --seeds 3 --workers 3 # times, then all trained for so many epochs, three times, side by side
    python benchmarks/training.py --quick            # times alone, from a random sample of batches; within a minute
    python benchmarks/training.py --json             # the JSON alone; it is also written to --out
    python benchmarks/training.py --models deepdta   # some of deepdta, deepconv, tapb

The plain loop draws batches of the published size at random, encodes the drug and the target of every pair, pads every text to the
published length and lets the textbook layers run over it: embedding, convolutions, attention with masks. Weights, loss, optimiser and
schedule are those of the package. Blocks come in two kinds: the `grid` of the package's recipes, which encodes least and wants many epochs,
and `dealt`, in which every target has random drugs of its own (`drugs_per_target`), with as many pairs to a step as are published or fewer;
their sizes were chosen by AUROC on the validation part.

Seconds per epoch are a mean over sampled steps, optimiser included, times their number; the steps of all ways take turns. The ratio's interval
is a percentile bootstrap of the two samples. Run it on a machine that does nothing else.

With --epochs the random batches of the plain loop pass through the package's layers, as `random`: tests/test_architectures.py shows that both
compute the same in training, and without pads it takes less long. The best epoch of each is chosen on the validation part; what is compared
are test metrics, seed by seed. With --minutes the plain loop ends wherever the time does.

Ends with exit code 1 where a ratio is below the one that is wanted and, of three seeds or more, where dealt blocks are worse than random
batches by more than 0.01 on average, or by anything that a 95 % t interval over seeds tells from nothing.
"""
import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from plain import MODELS
from scipy import stats

from isaac.core import write_json
from isaac.datasets import Split, load_davis
from isaac.models.encoders import TwoTowerModel, untrained
from isaac.models.training import Grid, GridTraining, TrainingConfig, deterministic, fit_stages, metrics_of, one_cycle

THRESHOLDS = {"deepdta": 10, "deepconv": 8, "tapb": 4} # how many times faster than the plain loop the issue wants each
DEALT = {"deepdta": {"drugs_per_target": 6, "targets_per_block": 30}, "deepconv": {"drugs_per_target": 4, "targets_per_block": 8},
         "tapb": {"drugs_per_target": 6, "targets_per_block": 10}}
MARGIN = 0.01 # of the mean difference in AUROC or squared error, above which dealt blocks are worse than random batches
CPU = torch.device("cpu")


def plain_loss(kind: str, model: TwoTowerModel, grid: Grid, pairs: np.ndarray, threshold: float) -> torch.Tensor:
    "The model's own loss with predictions of the plain forward pass."
    forward, block = MODELS[kind][1], ([grid.smiles[i] for i in grid.drug[pairs]], [grid.sequences[i] for i in grid.target[pairs]])
    rows, labels = np.arange(len(pairs)), torch.from_numpy(model.labels(grid.affinity[pairs], threshold))
    model.forward = lambda smiles, sequences, drug, target: forward(model, smiles, sequences)
    try: return model.loss(*block, rows, rows, labels)
    finally: del model.forward


def block_loss(kind: str, model: TwoTowerModel, grid: Grid, pairs: np.ndarray, threshold: float) -> torch.Tensor:
    "The model's own loss, each text of the pairs encoded once."
    block = grid.take(pairs)
    return model.loss(block.smiles, block.sequences, block.drug, block.target, torch.from_numpy(model.labels(block.affinity, threshold)))


def ready(kind: str, split: Split, seed: int = 0) -> TwoTowerModel:
    "A new model in training mode, in the unit of the data."
    model = untrained(MODELS[kind][0], seed).train()
    model.standardize(model.labels(split.train.pairs.affinity, split.train.threshold))
    return model


def settings(kind: str, **given) -> dict[str, TrainingConfig]:
    "How blocks of both kinds and random batches are trained on; a batch is a block in which every target has one drug."
    of = partial(TrainingConfig.of, MODELS[kind][0], **given)
    return {"grid": of(), "dealt": of(**DEALT[kind]), "random": of(drugs_per_target=1, targets_per_block=MODELS[kind][2])}


def plan(kind: str, split: Split, seed: int, config: TrainingConfig) -> list[list[np.ndarray]]: # rows of the training part, by epoch and step
    "The pairs of every step."
    return GridTraining(ready(kind, split), split.train, split.valid, seed, config).plan


def stepper(kind: str, split: Split, seed: int, steps: int, loss: Callable) -> tuple[TwoTowerModel, Callable]: # a model, and what moves it
    "A new model, and a function that makes one of so many steps with it, given the pairs."
    model, grid, config = ready(kind, split, seed), Grid.of(split.train), TrainingConfig.of(MODELS[kind][0])
    optimizer, cycle = one_cycle(model, config, steps)
    def step(pairs: np.ndarray) -> None:
        optimizer.zero_grad()
        loss(kind, model, grid, pairs, split.train.threshold).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        cycle.step()
    return model, step


def timed(kind: str, split: Split, config: TrainingConfig, loss: Callable) -> Iterator[float]:
    "Make a random step of the first epoch at a time; yields its seconds, times the steps of the epoch."
    items = plan(kind, split, 0, config)[0]
    _, step = stepper(kind, split, 0, len(items), loss)
    for i in np.random.default_rng(0).permutation(len(items)):
        started = time.perf_counter()
        step(items[i])
        yield (time.perf_counter() - started) * len(items)


def measure_times(kind: str, split: Split, seconds: float) -> dict:
    """Seconds per epoch of all; how many times faster than the plain loop blocks are, with a 95 % interval.

    Each gets the same time, and at least two steps beside one that warms up. They take turns: a machine that slows down slows all."""
    loops = {"plain" if name == "random" else name: timed(kind, split, config, plain_loss if name == "random" else block_loss)
             for name, config in settings(kind, epochs=1).items()}
    taken, spent, waiting = {name: [] for name in loops}, dict.fromkeys(loops, 0.0), list(loops)
    with deterministic(CPU):
        for loop in loops.values(): next(loop)
        while waiting:
            name, started = min(waiting, key=spent.get), time.perf_counter()
            if (step := next(loops[name], None)) is not None: taken[name].append(step)
            spent[name] += time.perf_counter() - started
            if step is None or (spent[name] > seconds and len(taken[name]) > 1): waiting.remove(name)
    times = {name: np.array(t) for name, t in taken.items()}
    rng, found = np.random.default_rng(1), {}
    means = {name: rng.choice(t, (2_000, len(t))).mean(1) for name, t in times.items()}
    for name, t in times.items():
        low, high = np.quantile(means["plain"] / means[name], [0.025, 0.975])
        found[name] = {"s_per_epoch": float(t.mean()), "sampled": len(t)} | ({} if name == "plain" else {
            "ratio": float(times["plain"].mean() / t.mean()), "low": float(low), "high": float(high), "wanted": THRESHOLDS[kind]})
    return found


def train_plain(kind: str, split: Split, seed: int, epochs: float) -> TwoTowerModel:
    "The plain loop, for part of an epoch or many."
    batches = [pairs for epoch in plan(kind, split, seed, settings(kind, epochs=int(np.ceil(epochs)))["random"]) for pairs in epoch]
    steps = max(1, round(len(batches) * epochs / np.ceil(epochs)))
    model, step = stepper(kind, split, seed, steps, plain_loss)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for pairs in batches[:steps]: step(pairs)
    return model.eval()


def trained(kind: str, split: Split, seed: int, config: TrainingConfig) -> dict:
    "Test metrics of one training, and those that its epoch was chosen by."
    started = time.perf_counter()
    model, history, best = fit_stages(ready(kind, split, seed), split, seed, config, CPU)
    chosen = history.iloc[best["best_epoch"] - 1].filter(like="valid_").to_dict()
    return metrics_of(model, split.test) | chosen | {"epochs": config.epochs, "seconds": time.perf_counter() - started}


def after_epochs(kind: str, split: Split, seed: int, epochs: int) -> dict:
    "Metrics of blocks of both kinds and of random batches."
    return {name: trained(kind, split, seed, config) for name, config in settings(kind, epochs=epochs, second_stage=0).items()}


def after_time(kind: str, split: Split, seed: int, times: dict, minutes: float) -> dict:
    "Metrics of blocks of both kinds and of the plain loop, which gets the time that the grid took."
    out = {}
    for name in ("grid", "dealt"):
        epochs = max(1, round(60 * minutes / times[name]["s_per_epoch"]))
        out[name] = trained(kind, split, seed, settings(kind, epochs=epochs, second_stage=0)[name])
    epochs, started = out["grid"]["seconds"] / times["plain"]["s_per_epoch"], time.perf_counter()
    model = train_plain(kind, split, seed, epochs)
    return out | {"plain": metrics_of(model, split.test) | {"epochs": epochs, "seconds": time.perf_counter() - started}}


def gap(trainings: list[dict], metric: str) -> dict: # above 0 where dealt blocks are better
    "The mean difference between dealt blocks and random batches, seed by seed, with its 95 % t interval."
    better = np.array([t["dealt"][metric] - t["random"][metric] for t in trainings]) * (-1 if metric == "mse" else 1)
    low, high = stats.ttest_1samp(better, 0).confidence_interval() if len(better) > 1 else (None, None)
    return {"better_by": float(better.mean()), "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="times alone, from few batches")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=4, help="wall-clock time of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/training.json"), help="where the JSON is written")
    parser.add_argument("--epochs", type=int, help="epochs of each training, instead of --minutes")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    parser.add_argument("--workers", type=int, default=1, help="seeds that are trained side by side; with --epochs only")
    options = parser.parse_args()
    if options.workers > 1 and not options.epochs: parser.error("--workers needs --epochs: trainings of equal time must not slow each other down")
    split, result, failed = load_davis().split("warm", 0), {}, False
    say = (lambda *_: None) if options.json else partial(print, flush=True)
    for kind in options.models:
        times = measure_times(kind, split, 1 if options.quick else 30)
        result[kind] = {"times": times}
        say(f"{kind:9s} {times['plain']['s_per_epoch']:8.1f} s per epoch plain")
        for name in ("grid", "dealt"):
            t = times[name]
            failed |= t["ratio"] < t["wanted"]
            say(f"          {t['s_per_epoch']:8.1f} s in blocks ({name}): {t['ratio']:.1f} times faster "
                f"({t['low']:.1f} to {t['high']:.1f}; wanted {t['wanted']})")
        if options.quick: continue
        trainings = result[kind]["trainings"] = []
        jobs = (delayed(after_epochs)(kind, split, seed, options.epochs) if options.epochs else
                delayed(after_time)(kind, split, seed, times, options.minutes) for seed in range(options.seeds))
        for seed, training in enumerate(Parallel(options.workers, return_as="generator")(jobs)):
            trainings.append(training)
            for name, t in training.items():
                say(f"          seed {seed}, {name:5s} after {t['epochs']:.2f} epochs, {t['seconds']:.0f} s: "
                    + ", ".join(f"{m} {t[m]:.4f}" for m in ("mse", "ci", "auroc", "auprc") if m in t))
        if not options.epochs: continue
        gaps = result[kind]["dealt_against_random"] = {m: gap(trainings, m) for m in ("mse", "auroc") if m in trainings[0]["random"]}
        for metric, g in gaps.items():
            interval = f" ({g['low']:+.4f} to {g['high']:+.4f})" if options.seeds > 1 else ""
            say(f"          dealt blocks are better by {g['better_by']:+.4f} in {metric}{interval}")
            failed |= options.seeds > 2 and (g["better_by"] < -MARGIN or g["high"] < 0)
    result["machine"] = {"processors": os.cpu_count(), "threads": torch.get_num_threads(), "load_1min": os.getloadavg()[0],
                         "torch": torch.__version__, "python": platform.python_version(), "quick": options.quick}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    if options.json: print(json.dumps(result, indent=2))
    sys.exit(int(failed))


if __name__ == "__main__": main()
