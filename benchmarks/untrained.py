"""What networks that know nothing score: RS of re-initialised DeepDTA, DeepConv-DTI and TAPB (conv) on the published test fold of Davis, dose 20.

    python benchmarks/untrained.py                        # ten networks of each, mask and substitute, three draws; TAPB takes longest
    python benchmarks/untrained.py --matchings geometry   # some of the matchings
    python benchmarks/untrained.py --quick                # three networks of each, substitute, one draw, 40 targets and 8 drugs: no verdict
    python benchmarks/untrained.py --json                 # the JSON alone

The reasoning score of a trained network is to be read against this distribution, not against 0.5. Under `geometry` the mean of |RS − 0.5| should be
at most 0.02 for every architecture; `strict` and `uniform` are reported whatever they give. It has two parts: the bias, |mean RS − 0.5|, which is
that of the controls, and the spread of networks, each of which likes some letters better than others by chance.
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

MODELS = {"deepdta": DeepDTA, "deepconv": DeepConvDTI, "tapb": TAPB}
MARGIN = 0.02 # of the mean |RS − 0.5| over networks, under geometry


def spread(null: pd.DataFrame) -> pd.DataFrame: # one row per matching and operator
    "How far networks score from one half on average, and how they spread."
    rs = null.assign(distance=null["RS"].sub(0.5).abs()).groupby(["matching", "operator"], sort=False)
    table = rs.agg(distance=("distance", "mean"), mean=("RS", "mean"), sd=("RS", "std"), min=("RS", "min"), max=("RS", "max")).reset_index()
    return table.assign(bias=table["mean"].sub(0.5).abs())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three networks, substitute, one draw, 40 targets and 8 drugs")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--matchings", nargs="+", default=["geometry", "strict", "uniform"])
    options = parser.parse_args()
    davis = load_davis()
    prior = KlifsPocket().annotate(davis.targets)
    pairs = small_grid(davis.test, prior, drugs=8, targets=40) if options.quick else davis.test
    networks, operators, repeats = (3, ["substitute"], 1) if options.quick else (10, ["mask", "substitute"], 3)
    design = Design(operators=operators, matchings=options.matchings, doses=[20], repeats=repeats, intervention_seeds=1)
    result = {"networks": networks, "repeats": repeats, "margin": MARGIN, "models": {}}
    for model in map(MODELS.get, options.models):
        started = time.perf_counter()
        null = untrained_null(model, pairs, prior, networks, design)
        table = spread(null)
        judged = table.loc[table["matching"].eq("geometry"), "distance"]
        within = None if options.quick or judged.empty else bool(judged.le(MARGIN).all())
        result["models"][model.__name__] = {"pairs": int(null["pairs"].iloc[0]), "seconds": time.perf_counter() - started,
                                            "geometry_within_margin": within, "RS": table.to_dict("records")}
        if options.json: continue
        verdict = "" if within is None else f"; mean |RS − 0.5| under geometry {'at most' if within else 'above'} {MARGIN}"
        print(f"{networks} untrained {model.__name__}s, {null['pairs'].iloc[0]:,} pairs, {time.perf_counter() - started:.0f} s{verdict}\n"
              f"{table.round(4).to_string(index=False)}\n", flush=True)
    if options.json: print(json.dumps(result, indent=2))


if __name__ == "__main__": main()
