"""Do 95 % intervals cover what they promise? Simulated audits with effects of drugs, sequences and training seeds.

    python benchmarks/coverage.py            # 1,000 experiments; AUROC on every fourth
    python benchmarks/coverage.py --quick    # 100 experiments
    python benchmarks/coverage.py --json     # the JSON alone

Each experiment is three models of five training seeds on 4,791 pairs of 68 drugs and 379 sequences, the size of a Davis audit. The truth is
known: the log odds of a pair are 0.4 plus effects of its drug and sequence (partly common to all models), of the training seed, of
the seed on the sequence, and of the pair; and some drugs and sequences respond more than others, in both arms. All three models are equal
in truth, so every difference that is found is an error.

Differences of AUROC are shown beside, and only have to cover *at least* 92 %: of two like models only the noise of single pairs differs, and
product weights count that three times (variance 3 instead of 1), which makes their intervals wide and the equivalence test cautious.
"""
import argparse
import json
import time
from itertools import combinations

import numpy as np

from isaac.inference import auroc_bootstrap, bootstrap, bootstrap_error, combined_error, combined_interval, differences, equivalence, score_interval
from isaac.scores import SCORES, Contrast

DRUGS, SEQUENCES, PAIRS, MODELS, SEEDS = 68, 379, 4_791, 3, 5
TRUTH, WORLDS = 0.4, 1_000
SCORED = (SCORES["log_odds"], SCORES["RS"])
DRUG, SEQUENCE = np.divmod(np.sort(np.random.default_rng(0).choice(DRUGS * SEQUENCES, PAIRS, replace=False)), SEQUENCES)
SPREAD = {"drug": 0.15, "model's drug": 0.1, "sequence": 0.4, "model's sequence": 0.2, "seed": 0.05, "seed's sequence": 0.3, "pair": 0.5}


def crossed(g: np.random.Generator, *shape: int, drug: float, sequence: float) -> np.ndarray: # shape (*shape, pairs)
    "Normal effects of the drug and of the sequence, with these standard deviations."
    return drug * g.normal(size=(*shape, DRUGS))[..., DRUG] + sequence * g.normal(size=(*shape, SEQUENCES))[..., SEQUENCE]


def log_odds(g: np.random.Generator) -> tuple[np.ndarray, np.ndarray]: # shape (models, seeds, pairs); the seeds' own, shape (models, seeds)
    "What each training of each model makes of each pair, around `TRUTH`."
    of_seed = SPREAD["seed"] * g.normal(size=(MODELS, SEEDS))
    shared = crossed(g, drug=SPREAD["drug"], sequence=SPREAD["sequence"])
    own = crossed(g, MODELS, 1, drug=SPREAD["model's drug"], sequence=SPREAD["model's sequence"])
    seeds = crossed(g, MODELS, SEEDS, drug=0, sequence=SPREAD["seed's sequence"])
    return TRUTH + shared + own + seeds + of_seed[..., None] + SPREAD["pair"] * g.normal(size=(MODELS, SEEDS, PAIRS)), TRUTH + of_seed


def max_t(draws: np.ndarray, se_seeds: np.ndarray, g: np.random.Generator, level: float = 0.95) -> float: # critical value
    "The level's quantile of the largest studentised difference: bootstrap over pairs, normal errors and χ² variances over seeds."
    error = draws - draws.mean(axis=1, keepdims=True) + se_seeds[:, None] * g.normal(size=draws.shape)
    variance = se_seeds[:, None]**2 * g.chisquare(SEEDS - 1, draws.shape) / (SEEDS - 1)
    t = [np.abs(error[a] - error[b]) / np.sqrt(bootstrap_error(draws[a] - draws[b])**2 + variance[a] + variance[b])
         for a, b in combinations(range(MODELS), 2)]
    return float(np.quantile(np.max(t, axis=0), level))


def experiment(run: int) -> dict[str, float]:
    "Whether each interval holds the truth, and how wide the joint ones are."
    g = np.random.default_rng(run)
    tilt, of_seed = log_odds(g)
    size = crossed(g, drug=0.4, sequence=0.4) + 0.5 * g.normal(size=PAIRS)
    arms = [Contrast(np.exp(size + x / 2)[:, None], np.exp(size - x / 2)[:, None]) for x in tilt.reshape(-1, PAIRS)]
    draws = bootstrap(arms, DRUG, SEQUENCE, WORLDS, run, scores=SCORED).reshape(MODELS, SEEDS, len(SCORED), WORLDS)
    value = np.array([[float(score(c)) for score in SCORED] for c in arms]).reshape(MODELS, SEEDS, len(SCORED))
    se_seeds, seeds = value.std(axis=1, ddof=1) / SEEDS**0.5, [SEEDS] * MODELS
    found = {}
    for j, score in enumerate(SCORED):
        true = (lambda x: x) if score.name == "log_odds" else lambda x: 1 / (1 + np.exp(-x))
        low, high = score_interval(score, value[0, 0, j], draws[0, 0, j])
        found[f"{score.name}, one training"] = low <= true(of_seed[0, 0]) <= high
        low, high = combined_interval(value[0, :, j].mean(), bootstrap_error(draws[0, :, j].mean(axis=0)), se_seeds[0, [j]], [SEEDS])
        found[f"{score.name}, mean of five"] = low <= true(TRUTH) <= high
    mean, drawn, errors = value[..., 0].mean(axis=1), draws[:, :, 0].mean(axis=1), se_seeds[:, 0]
    gaps = differences(list("123"), mean, drawn, errors, seeds)
    found["difference of two"] = gaps["low"][0] <= 0 <= gaps["high"][0]
    found["family of three, Bonferroni"] = bool(((gaps["low_joint"] <= 0) & (gaps["high_joint"] >= 0)).all())
    found["family of three, Holm's p"] = bool((gaps["p_holm"] > 0.05).all())
    half = max_t(drawn, errors, g) * np.hypot(gaps["se_pairs"], gaps["se_seeds"])
    found["family of three, max-t"] = bool((np.abs(gaps["value"]) <= half).all())
    found["width, max-t / Bonferroni"] = float((half / (gaps["high_joint"] - gaps["value"])).mean())
    return found


def accuracy(run: int) -> dict[str, float]:
    "The same for AUROC, where predictions are the affinity plus errors; and models that were 0.03 apart must not be called equivalent."
    g = np.random.default_rng((run, 1))
    affinity = crossed(g, drug=0.5, sequence=0.6) + 0.8 * g.normal(size=PAIRS)
    own, seeds = crossed(g, MODELS, 1, drug=0.15, sequence=0.2), crossed(g, MODELS, SEEDS, drug=0, sequence=0.2)
    predictions, binds = affinity + own + seeds + 0.4 * g.normal(size=(MODELS, SEEDS, PAIRS)), affinity > 1.5
    draws = auroc_bootstrap(predictions.reshape(-1, PAIRS), binds, DRUG, SEQUENCE, 400, run).reshape(MODELS, SEEDS, -1)
    order = np.argsort(predictions, axis=-1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(1, PAIRS + 1), order.shape), axis=-1)
    positives = binds.sum()
    value = (rank[..., binds].sum(axis=-1) - positives * (positives + 1) / 2) / (positives * (PAIRS - positives))
    se_seeds = value.std(axis=1, ddof=1) / SEEDS**0.5
    gaps = differences(list("123"), value.mean(axis=1), draws.mean(axis=1), se_seeds, [SEEDS] * MODELS, margin=0.03)
    se, degrees = combined_error(gaps["se_pairs"], np.column_stack([se_seeds[[0, 0, 1]], se_seeds[[1, 2, 2]]]), [SEEDS, SEEDS])
    return {"AUROC difference of two": gaps["low"][0] <= 0 <= gaps["high"][0],
            "AUROC family of three, Bonferroni": bool(((gaps["low_joint"] <= 0) & (gaps["high_joint"] >= 0)).all()),
            "AUROC equivalent within 0.03": bool(gaps["p_equivalent"][0] < 0.05),
            "AUROC 0.03 apart, yet called equivalent": bool(equivalence(gaps["value"][0] + 0.03, se[0], degrees[0]) < 0.05)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 experiments")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    runs, started = 100 if options.quick else 1_000, time.process_time()
    scored, ranked = [experiment(run) for run in range(runs)], [accuracy(run) for run in range(runs // 4)]
    shares = {name: float(np.mean([x[name] for x in rows])) for rows in (scored, ranked) for name in rows[0]}
    families = [1 - v for k, v in shares.items() if "family" in k and "max-t" not in k]
    intervals = [v for k, v in shares.items() if k.endswith(("training", "five", "difference of two")) and "AUROC" not in k]
    verdict = {"intervals of scores cover 92–98 %": all(0.92 <= v <= 0.98 for v in intervals), "familywise error ≤ 6 %": max(families) <= 0.06,
               "differences of AUROC cover 92 % or more": shares["AUROC difference of two"] >= 0.92}
    result = {"experiments": runs, "of AUROC": len(ranked), "shares": shares, "verdict": verdict, "processor_s": time.process_time() - started}
    if options.json: return print(json.dumps(result, indent=2, ensure_ascii=False))
    print(f"{runs:,} experiments, AUROC on {len(ranked)}; share that hold the truth unless it says otherwise, ± {0.95**0.5 * (0.05 / runs)**0.5:.3f}")
    for name, share in shares.items(): print(f"{name:42} {share:.3f}")
    for name, passed in verdict.items(): print(f"{'PASS' if passed else 'FAIL'}  {name}")


if __name__ == "__main__": main()
