"""Do the audits beyond the pocket find what was planted, in models that were trained like any others?

    python benchmarks/planted_beyond.py            # five laws of each kind, two trainings of each
    python benchmarks/planted_beyond.py --quick    # the two ends of each dial, one training
    python benchmarks/planted_beyond.py --json     # the JSON alone
    python benchmarks/planted_beyond.py --out FOLDER # tables, too

The models are those of `isaac study quickstart`, on half as many targets; the truth is the generator's (`isaac.planted`), which shares neither
operators nor controls with the audits. Three questions are asked of the same trained model that an audit is asked of:

drug     does the drug-side RS fall as a drug's scaffold takes the say from its pharmacophore?
joint    does the joint audit's interaction fall as the law becomes a sum of what target and drug bring?
mutants  do effects of planted mutations get worse as the model leans on a shortcut of which these mutations know nothing – where the shortcut
         is of no use for the measured affinities, and where it is redundant with the pocket, so that all models predict equally well?

A statistic finds the planted law if over all models it ranks as the truth does (Spearman's correlation of 0.9 at least), and tells the ends of the
dial apart if no interval of one end meets one of the other.
"""
import argparse
import json
import time
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from isaac.controls import reinitialised
from isaac.datasets import DTIDataset
from isaac.drug_audit import audit_drugs, planted_atom_prior, untrained_test
from isaac.joint import joint
from isaac.metrics import auroc
from isaac.models.training import train
from isaac.mutants import BASELINES, mutants
from isaac.planted import BINDS, Planted, PlantedOptions, plant, planted_mutants, true_drug_reliance, true_interaction, true_reliance
from isaac.studies import load_study

TARGETS, ASKED, WILD_TYPES = 320, 24, 48 # planted; of the test part that audits ask about; with three mutants each
NETWORKS = 10                            # untrained copies of a model
FINDS = 0.9                              # Spearman's correlation with the truth from which on a statistic is said to find it
REDUNDANT = 0.9                          # correlation of shortcut and pocket where both predict equally well
COLUMNS = ["question", "level", "seed", "auroc", "truth", "truth_low", "truth_high", "statistic", "value", "low", "high"]


@cache
def world(options: PlantedOptions) -> Planted: return plant(options)


@cache
def trained(options: PlantedOptions, seed: int):
    "A model of the packaged study, trained on a planted law, and the test pairs that audits ask about."
    choice = load_study("quickstart").models[0]
    split = world(options).dataset.split("cold-target", seed=0)
    test = split.test.pairs
    few = split.test.select(test.pair_id[test.target_id.isin(np.sort(test.target_id.unique())[:ASKED])])
    return train(choice.example(), split, seed, choice.config(), progress=False, device="cpu").model, few


def accuracy(model, data: DTIDataset) -> float: # AUROC
    frame = data.frame
    return auroc(frame.affinity.to_numpy(), model.predict(frame.smiles.tolist(), frame.sequence.tolist()), BINDS)


def drug_side(level: float, seed: int) -> Iterator[tuple]: # rows as in `COLUMNS` from auroc on
    options = PlantedOptions(targets=TARGETS, scaffold=level)
    model, few = trained(options, seed)
    truth = true_drug_reliance(model, world(options), few, draws=8)
    about = accuracy(model, few), truth.value, truth.low, truth.high
    found = audit_drugs(model, few, planted_atom_prior(few.drugs), operators=("swap", "delete", "exchange"), repeats=2, intervention_seeds=1,
                        bootstrap_draws=1000, initialisations=NETWORKS)
    for r in found.scores("own").query("score == 'RS'").itertuples():
        yield *about, f"RS {r.operator}/{r.matching}/{r.dose}", r.value, r.low, r.high
    null = untrained_test(found).iloc[0]
    yield *about, "log odds less those of untrained copies", null["value"] - null["null"], np.nan, np.nan
    yield *about, "p against untrained copies", null["p"], np.nan, np.nan


def of_joint(model, made: Planted, few: DTIDataset) -> Iterator[tuple[str, float, float, float]]: # statistic, value, low, high
    found = joint(model, few, made.prior, planted_atom_prior(few.drugs), operator="substitute", drug_operator="delete", repeats=2, draws=1000)
    for r in found.arms.query("target_arm == drug_arm == 'mechanistic' and measure in ('interaction', 'relative')").itertuples():
        yield {"interaction": "size of the interaction", "relative": "relative size"}[r.measure], r.value, r.low, r.high
    for r in found.scores.itertuples(): yield f"share, {r.score}, against {r.against.replace('mechanistic', 'prior')}", r.value, r.low, r.high


def both_sides(level: float, seed: int) -> Iterator[tuple]: # as from `drug_side`
    options = PlantedOptions(targets=TARGETS, additive=level)
    model, few = trained(options, seed)
    truth = true_interaction(model, world(options), few, draws=8)
    about = accuracy(model, few), truth.value, truth.low, truth.high
    for row in of_joint(model, world(options), few): yield *about, *row
    if level or seed: return
    sizes = [dict((row[0], row[1]) for row in of_joint(copy, world(options), few)) for copy in reinitialised(model, NETWORKS)]
    for name in ("relative size", "share, relative, against prior × control"):
        values = [s[name] for s in sizes]
        yield *about, f"{name}, untrained copies", float(np.mean(values)), min(values), max(values)


def mutations(level: float, seed: int, redundancy: float) -> Iterator[tuple]: # as from `drug_side`
    "Models trained with a shortcut are asked of mutants, and of affinities, to which it does not matter."
    nature = world(PlantedOptions(targets=TARGETS, redundancy=redundancy))
    model, few = trained(PlantedOptions(targets=TARGETS, shortcut=level, redundancy=redundancy), seed)
    measured = nature.dataset.select(few.pairs.pair_id)
    truth = true_reliance(model, nature, measured, draws=8)
    found = mutants(model, planted_mutants(nature, WILD_TYPES), "model", draws=1000)
    for r in found.scores.itertuples():
        if r.predictor == "model" or (r.predictor in BASELINES and level == seed == 0):
            name = r.measure if r.predictor == "model" else f"{r.measure}, {r.predictor}"
            yield accuracy(model, measured), truth.value, truth.low, truth.high, name, r.value, r.low, r.high


QUESTIONS = {"drug": drug_side, "joint": both_sides, "mutants": lambda level, seed: mutations(level, seed, 0.0),
             "mutants, redundant": lambda level, seed: mutations(level, seed, REDUNDANT)}


def answers(levels: np.ndarray, seeds: range) -> pd.DataFrame: # `COLUMNS`
    "Every question of every model."
    rows = []
    for (name, ask), level, seed in product(QUESTIONS.items(), map(float, levels), seeds): rows += [(name, level, seed, *r) for r in ask(level, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def summary(table: pd.DataFrame) -> pd.DataFrame: # question, statistic, first, first_low, first_high, last, …, spearman, finds, apart
    "Every statistic at both ends of its dial, and how it ranks all models; intervals are the widest of the trainings'."
    rows = []
    for (question, statistic), t in table.groupby(["question", "statistic"], sort=False):
        ends = [t[t["level"].eq(level)] for level in (t["level"].min(), t["level"].max())]
        if t["level"].nunique() == 1: continue
        (a, b), spans = (e["value"].mean() for e in ends), [(e["low"].min(), e["high"].max()) for e in ends]
        spearman = t["value"].corr(t["truth"], method="spearman") if t["value"].nunique() > 1 else np.nan
        apart = bool(spans[0][0] > spans[1][1] or spans[1][0] > spans[0][1])
        rows.append((question, statistic, a, *spans[0], b, *spans[1], len(t), spearman, bool(abs(spearman) >= FINDS), apart))
    return pd.DataFrame(rows, columns=["question", "statistic", "first", "first_low", "first_high", "last", "last_low", "last_high", "models",
                                       "spearman", "finds", "apart"])


def report(table: pd.DataFrame, found: pd.DataFrame) -> None:
    "For people."
    for question, models in table.groupby("question", sort=False):
        print(f"\n{question}")
        for r in models.drop_duplicates(["level", "seed"]).itertuples():
            print(f"  dial {r.level:g}, training {r.seed}: truth {r.truth:.3f} ({r.truth_low:.3f} to {r.truth_high:.3f}), AUROC {r.auroc:.3f}")
        for r in found[found["question"].eq(question)].itertuples():
            print(f"  {r.statistic}: {r.first:.3f} ({r.first_low:.3f} to {r.first_high:.3f}) at one end, {r.last:.3f} ({r.last_low:.3f} to "
                  f"{r.last_high:.3f}) at the other{', apart' if r.apart else ''}; Spearman with the truth {r.spearman:.3f}")
        rest = models[~models["statistic"].isin(found["statistic"])]
        for r in rest.itertuples(): print(f"  {r.statistic}: {r.value:.3f} ({r.low:.3f} to {r.high:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the ends of each dial, one training")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--out", type=Path, help="folder of the tables models.csv and summary.csv")
    options = parser.parse_args()
    started, cpu = time.perf_counter(), time.process_time()
    table = answers(np.linspace(0, 1, 2 if options.quick else 5), range(1 if options.quick else 2))
    found = summary(table)
    taken = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, frame in (("models", table), ("summary", found)): frame.round(4).to_csv(options.out / f"{name}.csv", index=False)
    if options.json: return print(json.dumps({"summary": json.loads(found.to_json(orient="records")),
                                              "models": json.loads(table.to_json(orient="records"))} | taken, indent=2))
    report(table, found)
    print(f"\n{taken['seconds']:.0f} s, {taken['cpu_seconds']:.0f} s of one core")


if __name__ == "__main__": main()
