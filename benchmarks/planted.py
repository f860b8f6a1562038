"""Does the reasoning score rank models by what they truly rely on? Trained models on planted data, at rising redundancy of pocket and shortcut.

    python benchmarks/planted.py            # nine models at each of five redundancies
    python benchmarks/planted.py --quick    # five models, no redundancy
    python benchmarks/planted.py --json     # the JSON alone

The models are those of `isaac study quickstart`. True reliance is the generator's (`isaac.planted.true_reliance`): no operator and no control of
the audit has part in it. A score that ranks models as it does has a Spearman correlation of 1 with it; below 0.9 it is said to fail.
"""
import argparse
import json
import tempfile
import time

import numpy as np

from isaac.planted import information
from isaac.studies import StudyConfig, load_study, run_study

FAILS = 0.9 # Spearman's correlation below which RS does not rank models by true reliance


def with_shortcuts(redundancy: float, shortcuts: np.ndarray) -> StudyConfig:
    "The packaged study with other shortcuts, at one redundancy."
    quick = load_study("quickstart")
    models = tuple(quick.models[0].model_copy(update={"name": f"shortcut-{rho:g}", "dataset": {"shortcut": float(rho)}}) for rho in shortcuts)
    return quick.model_copy(update={"dataset": quick.dataset.model_copy(update={"redundancy": redundancy}), "models": models})


def measured(config: StudyConfig) -> dict:
    "Run a study; how well RS under each matching ranks its models at the primary operator and dose, and how alike their AUROCs are."
    with tempfile.TemporaryDirectory() as folder:
        study = run_study(config, folder, device="cpu", progress=False)
    truth, scores, primary = study.truth, study.scores, config.audit.endpoint
    scores = scores[scores[["support", "operator", "dose", "score"]].eq(["common", primary.operator, str(primary.dose), "RS"]).all(axis=1)]
    rs = scores.pivot(index="run", columns="matching", values="value")
    spearman = rs.corrwith(truth.set_index("run")["true_reliance"], method="spearman")
    return {"redundancy": config.dataset.redundancy, "bits": information(config.dataset.redundancy), "spearman": spearman.to_dict(),
            "fails": bool(spearman[primary.matching] < FAILS), "auroc_range": float(np.ptp(truth["auroc"])),
            "models": truth.round(4).to_dict("records")}


def report(level: dict) -> None:
    "One redundancy, for people."
    ranked = ", ".join(f"{matching} {value:.3f}" for matching, value in level["spearman"].items())
    print(f"redundancy {level['redundancy']:g} ({level['bits']:.2f} bits): Spearman of RS and true reliance: {ranked}; "
          f"AUROC within {level['auroc_range']:.3f}")
    for m in level["models"]:
        print(f"  shortcut {m['shortcut']:<6g} true reliance {m['true_reliance']:.3f} ({m['true_low']:.3f} to {m['true_high']:.3f})  "
              f"RS {m['RS']:.3f} ({m['RS_low']:.3f} to {m['RS_high']:.3f})  AUROC {m['auroc']:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five models, no redundancy")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    redundancies, models = ((0.0,), 5) if options.quick else ((0.0, 0.5, 0.9, 0.99, 0.999), 9)
    started, cpu, levels = time.perf_counter(), time.process_time(), []
    for redundancy in redundancies:
        levels.append(measured(with_shortcuts(redundancy, np.linspace(0, 1, models))))
        if not options.json: report(levels[-1])
    fails = min((level["redundancy"] for level in levels if level["fails"]), default=None)
    result = {"levels": levels, "fails_from": fails, "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    if options.json: return print(json.dumps(result, indent=2))
    print("RS ranks models at every redundancy tried" if fails is None else f"RS fails from redundancy {fails:g} on", end="")
    print(f"; {result['seconds']:.0f} s, {result['cpu_seconds']:.0f} s of one core")


if __name__ == "__main__": main()
