"""How much of an audit's arithmetic the engine saves: edited pairs per second against a plain loop, batched predictions, Captum and the limit.

    python benchmarks/engine.py                    # all models, 24 targets: half an hour
    python benchmarks/engine.py --quick            # DeepDTA, 3 targets, few batches of the baselines: a minute
    python benchmarks/engine.py --json             # the JSON alone; it is also written to --out, with a figure beside it
    python benchmarks/engine.py --models deepdta   # some of deepdta, deepconv, tapb
    python benchmarks/engine.py --pairs grid       # the test fold's pairs, or the grid of all drugs
    python benchmarks/engine.py --curves           # what more doses, repeats, drugs and targets cost: a minute for DeepDTA
    python benchmarks/engine.py --estimate         # what `plan.estimate` says of runs of a minute or two, and what they take
    pip install captum                             # is needed, and is no part of the package

The plan is {mask, substitute} × {geometry, domain, uniform} × {5, 20, 100 %} × 20 draws, of a random sample of Davis' targets: with the drugs
that the published test fold pairs them with, and with all 68. Time per target does not depend on how many targets there are, so the sample
stands for all. Baselines are timed on random batches of its edits.

    plain      one encoding per edited pair, padded to the published length, textbook layers (benchmarks/plain.py)
    captum     FeatureAblation of the plain model at its best perturbations_per_eval; a feature is a draw of the plan, masked
    predict    the package's `predict` on batches of 4,096 edited pairs, condition by condition
    padded     the engine, every target padded to the published length and encoded as a whole
    whole      the engine, every target encoded as a whole, every pair met by itself
    own arms   the same, with a mechanistic arm for each matching by itself (and a self-check)
    windows    the engine, edited targets encoded from their parents where that is worth it, every pair met by itself
    engine     the engine as it is: the head leaves out what is silent for all targets of a drug, too
    bf16       the same, target encoders in bfloat16, with the largest difference of a response

The limit is the arithmetic that is left – the floating-point operations of encoding every distinct edited target once, as a whole and without
padding, and of meeting every distinct pair once – at the rate of a large matrix product in the same process; where the engine reuses what
parents left, more than 100 % is possible. Intervals are percentile bootstraps over batches, or over groups of targets; these are few, and
such an interval is little more than their range. Ends with exit code 1 where a ratio is below the one that is wanted.
"""
import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from plain import MODELS
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from isaac.core import write_json
from isaac.datasets import DTIDataset, load_davis
from isaac.engine import CHUNK, Responses, cost, distinct_questions, respond
from isaac.models.encoders import PROTEIN, TwoTowerModel, predicting, untrained
from isaac.plan import Design, Plan, make_plan
from isaac.predictors import reading
from isaac.priors import KlifsPocket, Prior
from isaac.scan import scan_plan

OPERATORS, MATCHINGS, DOSES = ("mask", "substitute"), ("geometry", "domain", "uniform"), (5, 20, "100%")
WANTED = {("deepdta", "test fold"): 20, ("deepdta", "grid"): 60, ("deepconv", "test fold"): 15, ("tapb", "test fold"): 4} # times the plain loop
TARGETS = {"deepdta": 24, "deepconv": 24, "tapb": 4}
Rates = np.ndarray # shape (batches, 2): edited pairs, seconds


def rate(times: Rates) -> dict[str, float]: # with a 95 % interval
    "Edited pairs per second."
    drawn = times[np.random.default_rng(0).integers(len(times), size=(2_000, len(times)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    pairs, seconds = times.sum(axis=0)
    return {"rate": pairs / seconds, "low": low, "high": high, "batches": len(times)}


def ratio(ours: Rates, theirs: Rates) -> dict[str, float]: # with a 95 % interval
    "How many times as many edited pairs per second."
    rng = np.random.default_rng(1)
    drawn = [t[rng.integers(len(t), size=(2_000, len(t)))].sum(axis=1) for t in (ours, theirs)]
    quotients = drawn[0][:, 0] / drawn[0][:, 1] / (drawn[1][:, 0] / drawn[1][:, 1])
    each = [t[:, 0].sum() / t[:, 1].sum() for t in (ours, theirs)]
    return dict(zip(("times", "low", "high"), (each[0] / each[1], *np.quantile(quotients, [0.025, 0.975])), strict=True))


def timed(steps: Iterator[tuple[int, Callable[[], object]]], seconds: float) -> Rates:
    "Time steps until the time is up, at least four; the first warms up and is not counted."
    times, started = [], time.perf_counter()
    for pairs, step in steps:
        before = time.perf_counter()
        step()
        times.append((pairs, time.perf_counter() - before))
        if len(times) > 4 and time.perf_counter() - started > seconds: break
    return np.array(times[1:])


def groups_of_targets(davis: DTIDataset, prior: Prior, targets: int, groups: int) -> list[list[str]]:
    "Random targets with a pocket, each sequence once."
    known = davis.targets[davis.targets["target_id"].isin(prior.positions)].drop_duplicates("sequence")["target_id"]
    return [list(part) for part in np.array_split(known.sample(targets, random_state=0).to_numpy(), groups)]


def pairs_of(davis: DTIDataset, targets: list[str], where: str) -> pd.DataFrame:
    "The test fold's pairs of some targets, or those with every drug."
    if where == "grid": return davis.crossed(davis.drugs["drug_id"], targets).frame
    return davis.test.frame[lambda pairs: pairs["target_id"].isin(targets)]


def strings(plan: Plan, rows: np.ndarray) -> tuple[list[str], list[str]]:
    "SMILES and sequences of edits."
    edits, texts = plan.edits.iloc[rows], plan.variants["string"].to_numpy()
    return list(texts[edits["drug_variant"]]), list(texts[edits["target_variant"]])


def plain_steps(kind: str, model: TwoTowerModel, plan: Plan) -> Iterator[tuple[int, Callable]]:
    "Random batches of the published size, one encoding per pair."
    rng, (_, forward, size) = np.random.default_rng(0), MODELS[kind]
    while True:
        rows = rng.choice(len(plan.edits), size)
        def step(texts=strings(plan, rows)):
            with predicting(model): return forward(model, *texts).numpy()
        yield size, step


def predict_steps(model: TwoTowerModel, plan: Plan, size: int = 4_096) -> Iterator[tuple[int, Callable]]:
    "Random batches of consecutive edits."
    rng = np.random.default_rng(0)
    while True:
        first = int(rng.integers(max(1, len(plan.edits) - size)))
        rows = np.arange(first, min(first + size, len(plan.edits)))
        yield len(rows), lambda texts=strings(plan, rows): model.predict(*texts)


def captum_steps(kind: str, model: TwoTowerModel, questions: list[tuple[str, list[str]]], at_once: int) -> Iterator[tuple[int, Callable]]:
    "FeatureAblation of the plain model, for pairs of a drug and the unedited and edited forms of a target: every edit is a feature."
    from captum.attr import FeatureAblation
    forward = MODELS[kind][1]
    def answer(present: torch.Tensor, smiles: str, forms: list[str]) -> torch.Tensor: # which edits are not made, shape (rows, edits)
        chosen = [forms[0] if row.all() else forms[1 + int(row.argmin())] for row in present.byte()]
        return forward(model, [smiles] * len(chosen), chosen)
    ablation = FeatureAblation(answer)
    for smiles, forms in questions:
        def step(smiles=smiles, forms=forms):
            with predicting(model):
                return ablation.attribute(torch.ones(1, len(forms) - 1), additional_forward_args=(smiles, forms), perturbations_per_eval=at_once)
        yield len(forms) - 1, step


def captum(kind: str, model: TwoTowerModel, plan: Plan, seconds: float) -> tuple[Rates, int]: # and perturbations_per_eval
    "Captum at its best, on random pairs of a plan."
    texts, edited = plan.variants["string"].to_numpy(), plan.edits[plan.edits["cell_id"] > 0]
    chosen = plan.pairs.sample(min(len(plan.pairs), 40), random_state=0)
    edits = edited[edited["pair_id"].isin(chosen["pair_id"])].groupby("pair_id")["target_variant"]
    questions = [(p.smiles, [p.sequence, *texts[edits.get_group(p.pair_id)]]) for p in chosen.itertuples()]
    few = [(smiles, forms[:65]) for smiles, forms in questions[:5]]
    tried = {n: timed(captum_steps(kind, model, few, n), 0) for n in (1, 8, 32, 64)}
    best = max(tried, key=lambda n: tried[n][:, 0].sum() / tried[n][:, 1].sum())
    return timed(captum_steps(kind, model, questions, best), seconds), best


class Clock:
    "Seconds spent in methods of a model."
    def __init__(self, model: TwoTowerModel, *names: str):
        self.seconds = dict.fromkeys(names, 0.0)
        for name in names: setattr(model, name, self.wrapped(name, getattr(model, name)))

    def wrapped(self, name: str, method: Callable) -> Callable:
        def timed(*given):
            before = time.perf_counter()
            try: return method(*given)
            finally: self.seconds[name] += time.perf_counter() - before
        return timed


class Whole:
    "A model that encodes every target as a whole."
    def __init__(self, model: TwoTowerModel): self.model, self.max_target_length = model, model.max_target_length
    def predict(self, smiles, sequences): return self.model.predict(smiles, sequences)
    def encode_drugs(self, smiles): return self.model.encode_drugs(smiles)
    def encode_targets(self, sequences): return self.model.encode_targets(sequences)
    def score(self, drugs, targets): return self.model.score(drugs, targets)


class Windows(Whole):
    "A model that encodes edited targets from their parents."
    def encode_edited(self, sequences, parents): return self.model.encode_edited(sequences, parents)


class Padded(Whole):
    "DeepDTA with every target padded to the published length."
    def encode_targets(self, sequences):
        tokens, width = PROTEIN.tokenize(sequences, 1_200), 1_200
        parts = np.array_split(np.arange(len(sequences)), -(-len(sequences) * width // 16_384))
        with predicting(self.model):
            return torch.cat([self.model.target_tower(tokens.batch(rows, width), torch.from_numpy(tokens.lengths[rows])) for rows in parts])


class Bfloat(Whole):
    "A model whose target encoders compute in bfloat16, in its predictions too."
    def predict(self, smiles, sequences): return self.score(self.encode_drugs(smiles), self.encode_targets(sequences))
    def score_crossed(self, drugs, targets, drug, target): return self.model.score_crossed(drugs, targets, drug, target)
    def encode_targets(self, sequences):
        with torch.autocast("cpu", torch.bfloat16): return self.model.encode_targets(sequences).float()
    def encode_edited(self, sequences, parents):
        with torch.autocast("cpu", torch.bfloat16): return self.model.encode_edited(sequences, parents).float()


def engine_rates(model: object, plans: list[list[Plan]], asked: list[int], chunk: int = CHUNK) -> tuple[Rates, list[list[Responses]]]:
    "Time of answering each group of targets, be it in one plan or several; and the answers."
    times, found = [], []
    for group, pairs in zip(plans, asked, strict=True):
        before = time.perf_counter()
        found.append([respond(plan, model, chunk) for plan in group])
        times.append((pairs, time.perf_counter() - before))
    return np.array(times), found


def arithmetic(model: TwoTowerModel, plan: Plan) -> dict[str, float]: # floating-point operations
    "What is left to do where every distinct target is encoded once, without padding, and every distinct pair meets once."
    q = distinct_questions(plan)
    lengths = np.minimum(np.array(list(map(len, q.targets))), model.max_target_length)
    few = np.random.default_rng(0).choice(len(q.targets), min(len(q.targets), 8), replace=False)
    rows = np.flatnonzero(np.isin(q.target, few)) # with all their drugs, which share what is made of a target
    def count(run: Callable) -> int:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter: run() # in matrix products, which are counted
        return counter.get_total_flops()
    short, long = (count(lambda t=t: model.target_codes([t])) for t in (q.targets[0], q.targets[-1]))
    a, b = lengths[0], lengths[-1]
    encoding = len(lengths) * short if a == b else (short + (lengths - a) * (long - short) / (b - a)).sum()
    wanted, local = np.unique(q.target[rows], return_inverse=True)
    with torch.no_grad(): drugs, targets = model.drug_codes(q.drugs), model.target_codes([q.targets[i] for i in wanted])
    head = count(lambda: model.output(drugs[q.drug[rows]], targets[local]))
    return {"encoders": float(encoding), "head": head / len(rows) * len(q)}


def matrix_rate(n: int = 2_048) -> float: # floating-point operations per second
    "The best of some large matrix products."
    a, b = torch.rand(n, n), torch.rand(n, n)
    def once():
        before = time.perf_counter()
        a @ b
        return time.perf_counter() - before
    return 2 * n**3 / min(once() for _ in range(8))


def largest_difference(ours: list[list[Responses]], others: list[list[Responses]]) -> float:
    "Between responses to the same plans, relative to max(1, |value|)."
    both = [(a, b) for x, y in zip(ours, others, strict=True) for a, b in zip(x, y, strict=True)]
    pairs = [(a.table["value"].to_numpy(), b.table["value"].to_numpy()) for a, b in both]
    return max(float((np.abs(a - b) / np.maximum(1, np.abs(b))).max()) for a, b in pairs)


def agreement(kind: str, model: TwoTowerModel, plan: Plan, responses: Responses) -> float:
    "The largest difference between the engine and the plain loop on 64 random edits, relative to max(1, |value|)."
    rows = np.random.default_rng(2).choice(len(plan.edits), 64, replace=False)
    with predicting(model): plain = np.concatenate([MODELS[kind][1](model, *strings(plan, some)).numpy() for some in np.array_split(rows, 4)])
    return float((np.abs(responses.table["value"].to_numpy()[rows] - plain) / np.maximum(1, np.abs(plain))).max())


def measure(kind: str, where: str, davis: DTIDataset, prior: Prior, targets: int, groups: int, seconds: float) -> dict:
    "Everything about one model and one set of pairs."
    model, design = untrained(MODELS[kind][0], 0), Design(operators=OPERATORS, matchings=MATCHINGS, doses=DOSES, repeats=20, intervention_seeds=1)
    frames = [pairs_of(davis, group, where) for group in groups_of_targets(davis, prior, targets, groups)]
    together = pd.concat(frames).assign(pair_id=range(sum(map(len, frames))))
    plan_of = lambda frame, **changes: make_plan(frame, prior, reading(model), design.model_copy(update=changes))
    started = time.perf_counter()
    plans = [plan_of(frame) for frame in frames]
    planning, asked, whole = time.perf_counter() - started, [len(plan.edits) for plan in plans], plan_of(together)
    clock = Clock(model, "encode_edited", "score_crossed")
    ours, answers = engine_rates(model, [[plan] for plan in plans], asked)
    spent = dict(clock.seconds)
    work = [arithmetic(model, plan) for plan in plans]
    least = {part: sum(w[part] for w in work) / matrix_rate() for part in ("encoders", "head")}
    times = {"plain": timed(plain_steps(kind, model, whole), seconds), "predict": timed(predict_steps(model, whole), seconds), "engine": ours}
    times["whole"], _ = engine_rates(Whole(model), [[plan] for plan in plans], asked)
    times["own arms"], _ = engine_rates(Whole(model), [[plan_of(frame, matchings=(m,)) for m in MATCHINGS] for frame in frames], asked)
    if kind != "tapb": times["windows"], _ = engine_rates(Windows(model), [[plan] for plan in plans], asked)
    if kind == "deepdta": times["padded"], _ = engine_rates(Padded(model), [[plan] for plan in plans], asked)
    result = {"rates": {}, "planning_s": planning, "agreement": agreement(kind, model, plans[0], answers[0][0])}
    if kind != "tapb":
        times["bf16"], halved = engine_rates(Bfloat(model), [[plan] for plan in plans], asked)
        result["bf16_difference"] = largest_difference(halved, answers)
    masked = [plan_of(frame, operators=("mask",)) for frame in frames]
    times["engine, mask"], _ = engine_rates(model, [[plan] for plan in masked], [len(plan.edits) for plan in masked])
    times["captum, mask"], result["perturbations_per_eval"] = captum(kind, model, plan_of(together, operators=("mask",)), seconds)
    result["rates"] = {name: rate(t) for name, t in times.items()}
    result["against"] = {"plain": ratio(ours, times["plain"]), "predict": ratio(ours, times["predict"]),
                         "captum": ratio(times["engine, mask"], times["captum, mask"])}
    distinct = [distinct_questions(plan) for plan in plans]
    result["questions"] = {"asked": sum(asked), "distinct": sum(map(len, distinct)), "targets": sum(len(q.targets) for q in distinct)}
    result["limit"] = {"seconds": least,
                       "spent": {"encoders": spent["encode_edited"], "head": spent["score_crossed"], "all": float(ours[:, 1].sum())},
                       "encoders_at": least["encoders"] / spent["encode_edited"], "head_share": spent["score_crossed"] / float(ours[:, 1].sum()),
                       "all_at": sum(least.values()) / float(ours[:, 1].sum())}
    return result


def measure_scan(kind: str, davis: DTIDataset, prior: Prior, targets: int, seconds: float) -> dict:
    "Every single residue of some targets masked, for all 68 drugs, 1,024 edited targets per step: the engine against Captum."
    model = untrained(MODELS[kind][0], 0)
    frames = [davis.crossed(davis.drugs["drug_id"], group).frame for group in groups_of_targets(davis, prior, targets, targets)]
    plans = [scan_plan(frame, prior, reading(model)) for frame in frames]
    ours, _ = engine_rates(model, [[plan] for plan in plans], [len(plan.edits) for plan in plans], 1_024)
    anew, _ = engine_rates(Whole(model), [[plan] for plan in plans], [len(plan.edits) for plan in plans], 1_024)
    theirs, best = captum(kind, model, plans[0], seconds)
    return {"rates": {"engine": rate(ours), "whole": rate(anew), "captum": rate(theirs)}, "perturbations_per_eval": best,
            "against": {"captum": ratio(ours, theirs), "whole": ratio(ours, anew)}}


SIZES = {"doses": (1, 2, 3), "repeats": (1, 3, 10, 30), "drugs": (2, 8, 32, 68), "targets": (2, 6, 18, 54)}


def curves(kind: str, davis: DTIDataset, prior: Prior) -> list[dict]:
    "What an audit of 6 targets with 12 drugs costs where one thing is changed."
    model, rows = untrained(MODELS[kind][0], 0), []
    known, = groups_of_targets(davis, prior, max(SIZES["targets"]), 1)
    drugs = davis.drugs["drug_id"].sample(frac=1, random_state=0)
    for what, sizes in SIZES.items():
        for size in sizes:
            n = {"doses": 3, "repeats": 5, "drugs": 12, "targets": 6} | {what: size}
            design = Design(operators=OPERATORS, matchings=MATCHINGS, doses=DOSES[:n["doses"]], repeats=n["repeats"], intervention_seeds=1)
            plan = make_plan(davis.crossed(drugs[:n["drugs"]], known[:n["targets"]]).frame, prior, reading(model), design)
            account = respond(plan, model).account
            rows.append({"changed": what, "size": size, "pairs": len(plan.pairs),
                         **{name: account[name] for name in ("asked", "predicted", "targets", "seconds")}})
    return rows


LONG = {"deepdta": 379, "deepconv": 60, "tapb": 5} # targets whose test pairs take a minute or two


def estimates(kind: str, davis: DTIDataset, prior: Prior) -> list[dict]:
    "What a run of a minute or two takes, and what was said beforehand."
    model, design = untrained(MODELS[kind][0], 0), Design(operators=OPERATORS, matchings=MATCHINGS, doses=DOSES, repeats=20, intervention_seeds=1)
    known = davis.targets[davis.targets["target_id"].isin(prior.positions)].drop_duplicates("sequence")["target_id"]
    plan = make_plan(pairs_of(davis, list(known.sample(min(LONG[kind], len(known)), random_state=1)), "test fold"), prior, reading(model), design)
    started = time.perf_counter()
    expected = cost(plan, model).seconds
    asking, account = time.perf_counter() - started, respond(plan, model).account
    return [{"pairs": len(plan.pairs), "predicted": account["predicted"], "targets": account["targets"], "expected": expected,
             "seconds": account["seconds"], "expected / seconds": expected / account["seconds"], "to say so": asking}]


def draw(result: dict, path: Path) -> None:
    "Edited pairs per second of every way."
    rows = [{"pairs": f"{kind}, {where}", "way": name, "rate": r["rate"]} for kind, parts in result["models"].items()
            for where, part in parts.items() for name, r in part["rates"].items()]
    chart = sns.catplot(pd.DataFrame(rows), x="rate", y="way", col="pairs", col_wrap=2, kind="bar", height=2.6, aspect=1.6, color="C0", sharey=False)
    chart.set(xscale="log").set_axis_labels("edited pairs per second", "")
    chart.savefig(path, dpi=120)
    plt.close(chart.figure)


def keep_rows(found: dict[str, list[dict]], path: Path, as_json: bool) -> None:
    "Print rows and write them, curves with a figure beside."
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    table = pd.concat([pd.DataFrame(rows).assign(model=kind) for kind, rows in found.items()])
    print(json.dumps(found, indent=2) if as_json else table.round(2).to_string(index=False))
    if "changed" not in table: return
    chart = sns.relplot(table, x="size", y="seconds", hue="model", col="changed", kind="line", marker="o", height=2.8, facet_kws={"sharex": False})
    chart.set(xscale="log", yscale="log").savefig(path.with_suffix(".png"), dpi=120)
    plt.close(chart.figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="DeepDTA, three targets, few batches")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--pairs", nargs="+", choices=["test fold", "grid"], default=["test fold", "grid"])
    parser.add_argument("--curves", action="store_true", help="what more of everything costs, instead")
    parser.add_argument("--estimate", action="store_true", help="what runs of a minute take and were said to take, instead")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/engine.json"), help="where the JSON is written")
    options = parser.parse_args()
    davis = load_davis()
    prior, result, short = KlifsPocket().annotate(davis.targets), {"models": {}, "scan": {}}, []
    for wanted, what in ((options.curves, curves), (options.estimate, estimates)):
        if not wanted: continue
        rows = {kind: what(kind, davis, prior) for kind in options.models}
        return keep_rows(rows, options.out.with_stem(f"{options.out.stem}_{what.__name__}"), options.json)
    for kind in ["deepdta"] if options.quick else options.models:
        parts = result["models"][kind] = {}
        for where in ("test fold",) if kind == "tapb" or options.quick else options.pairs:
            targets, groups = (3, 3) if options.quick else (TARGETS[kind], 4)
            found = parts[where] = measure(kind, where, davis, prior, targets, groups, 5 if options.quick else 25)
            times, wanted = found["against"]["plain"], WANTED.get((kind, where))
            if wanted and times["times"] < wanted: short.append((kind, where))
            if options.json: continue
            print(f"{kind}, {where}: {found['questions']['asked']:,} edited pairs, {found['questions']['targets']:,} distinct targets\n"
                  + "".join(f"    {name:13s} {r['rate']:9,.0f} pairs/s ({r['low']:,.0f} to {r['high']:,.0f})\n" for name, r in found["rates"].items())
                  + "".join(f"    {r['times']:.1f} times {name} ({r['low']:.1f} to {r['high']:.1f})"
                            + (f", wanted {wanted}\n" if name == "plain" and wanted else "\n") for name, r in found["against"].items())
                  + f"    encoders at {found['limit']['encoders_at']:.0%} of the limit, head {found['limit']['head_share']:.0%} of the time, "
                  f"all at {found['limit']['all_at']:.0%}; differs from the plain loop by {found['agreement']:.1e}"
                  + (f", bf16 from float32 by {found['bf16_difference']:.1e}" if "bf16_difference" in found else ""), flush=True)
        if kind == "tapb": continue
        scanned = result["scan"][kind] = measure_scan(kind, davis, prior, 1 if options.quick else 4, 5 if options.quick else 25)
        if not options.json:
            print(f"{kind}, scan, 68 drugs: " + ", ".join(f"{name} {r['rate']:,.0f} pairs/s" for name, r in scanned["rates"].items())
                  + "; " + ", ".join(f"{r['times']:.1f} times {name} ({r['low']:.1f} to {r['high']:.1f})" for name, r in scanned["against"].items()),
                  flush=True)
    result["machine"] = {"processors": os.cpu_count(), "threads": torch.get_num_threads(), "load_1min": os.getloadavg()[0],
                         "torch": torch.__version__,
                         "matrix_gflops": matrix_rate() / 1e9, "python": platform.python_version(), "quick": options.quick}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    draw(result, options.out.with_suffix(".png"))
    if options.json: print(json.dumps(result, indent=2))
    sys.exit(bool(short))


if __name__ == "__main__": main()
