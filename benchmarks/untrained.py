"""What networks that know nothing score: RS of re-initialised DeepDTA, DeepConv-DTI and TAPB (conv) on the published test fold of Davis, dose 20.

    python benchmarks/untrained.py            # ten networks of each, mask and substitute, one draw; TAPB takes longest
    python benchmarks/untrained.py --quick    # three networks of each, substitute, 40 targets and 8 drugs: too few for a verdict
    python benchmarks/untrained.py --json     # the JSON alone

The reasoning score of a trained network is to be read against this distribution, not against 0.5. Under `geometry` the mean of |RS − 0.5| should be
at most 0.02 for every architecture; `strict` and `uniform` are reported whatever they give.
"""
import argparse
import json
import time

import pandas as pd

from isaac.controls import small_grid
from isaac.datasets import load_davis
from isaac.models import TAPB, DeepConvDTI, DeepDTA
from isaac.plan import Design
from isaac.priors import KlifsPocket
from isaac.studies import untrained_null

MARGIN = 0.02 # of the mean |RS − 0.5| over networks, under geometry


def spread(null: pd.DataFrame) -> pd.DataFrame: # one row per matching and operator
    "How far networks score from one half on average, and how they spread."
    rs = null.assign(distance=null["RS"].sub(0.5).abs()).groupby(["matching", "operator"], sort=False)
    return rs.agg(distance=("distance", "mean"), mean=("RS", "mean"), sd=("RS", "std"), min=("RS", "min"), max=("RS", "max")).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three networks, substitute, 40 targets and 8 drugs")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    davis = load_davis()
    prior = KlifsPocket().annotate(davis.targets)
    pairs = small_grid(davis.test, prior, drugs=8, targets=40) if options.quick else davis.test
    networks, operators = (3, ["substitute"]) if options.quick else (10, ["mask", "substitute"])
    design = Design(operators=operators, matchings=["geometry", "strict", "uniform"], doses=[20], repeats=1, intervention_seeds=1)
    result = {"networks": networks, "margin": MARGIN, "models": {}}
    for model in (DeepDTA, DeepConvDTI, TAPB):
        started = time.perf_counter()
        null = untrained_null(model, pairs, prior, networks, design)
        table = spread(null)
        within = None if options.quick else bool(table.loc[table["matching"].eq("geometry"), "distance"].le(MARGIN).all())
        result["models"][model.__name__] = {"pairs": int(null["pairs"].iloc[0]), "seconds": time.perf_counter() - started,
                                            "geometry_within_margin": within, "RS": table.to_dict("records")}
        if options.json: continue
        verdict = "" if within is None else f"; mean |RS − 0.5| under geometry {'at most' if within else 'above'} {MARGIN}"
        print(f"{networks} untrained {model.__name__}s, {null['pairs'].iloc[0]:,} pairs, {time.perf_counter() - started:.0f} s{verdict}\n"
              f"{table.round(4).to_string(index=False)}\n", flush=True)
    if options.json: print(json.dumps(result, indent=2))


if __name__ == "__main__": main()
