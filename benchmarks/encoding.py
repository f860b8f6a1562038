"""How fast targets are encoded: the package's tower against the textbook reading of the same weights, in one process.

    python benchmarks/encoding.py            # 379 sequences, five repeats
    python benchmarks/encoding.py --quick    # 60 sequences, three repeats
    python benchmarks/encoding.py --json     # the JSON alone

`as_published`: embedding lookup and Conv1d on batches padded to 1,200 residues. `bucketed`: the same operations on the package's batches by length.
`isaac`: those batches with the first layer as a table and channels last. Scoring is the dense head on pairs of codes.
"""
import argparse
import json
import os
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F

from isaac.models.deepdta import DeepDTA
from isaac.models.encoders import PROTEIN, encode_texts, length_batches, untrained


def made_up_sequences(n: int, seed: int = 0) -> list[str]:
    "Sequence lengths like Davis' (median about 700, 244 to 2,549)."
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal(np.log(700), 0.5, n)).clip(244, 2_549).astype(int)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for length in lengths]


def textbook(tower, tokens, batches, width: int) -> torch.Tensor:
    "Embedding, Conv1d and ReLU in the usual layout, maximum over real windows."
    weight, codes = F.pad(tower.embedding.weight, (0, 0, 0, 1)), torch.empty(len(tokens.lengths), tower.code_length)
    for rows in batches:
        h = weight[tokens.batch(rows, width)].transpose(1, 2)
        for convolution in tower.convolutions: h = F.relu(convolution(h))
        windows = torch.from_numpy(tokens.lengths[rows] - tower.receptive_field + 1)
        codes[rows] = h.masked_fill((torch.arange(h.shape[2]) >= windows[:, None])[:, None], 0).amax(2)
    return codes


def rate(run, items: int, repeats: int) -> float:
    "Items per second, median of the repeats after one to warm up."
    def once():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    return items / statistics.median([once() for _ in range(repeats + 1)][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 sequences and three repeats")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    n, repeats = (60, 3) if options.quick else (379, 5)
    model = untrained(DeepDTA, 0)
    tower, tokens = model.target_tower, PROTEIN.tokenize(made_up_sequences(n), model.max_target_length)
    by_length, as_given = length_batches(tokens.lengths), np.array_split(np.arange(n), -(-n // 16))
    ways = {"as_published": lambda: textbook(tower, tokens, as_given, model.max_target_length),
            "bucketed": lambda: textbook(tower, tokens, by_length, 0),
            "isaac": lambda: encode_texts(tower, tokens)}
    codes, pairs = torch.rand(16_384, tower.code_length), 16_384
    with torch.inference_mode():
        reference = ways["as_published"]()
        difference = {name: float((way() - reference).abs().max()) for name, way in ways.items()}
        encoded = {name: rate(way, n, repeats) for name, way in ways.items()}
    result = {"targets_per_s": encoded, "largest_difference": difference,
              "speedup": {name: encoded["isaac"] / value for name, value in encoded.items()},
              "pairs_scored_per_s": rate(lambda: model.score(codes, codes), pairs, repeats),
              "mean_residues": float(tokens.lengths.mean()), "targets": n, "repeats": repeats, "threads": torch.get_num_threads(),
              "processors": os.cpu_count(), "load_1min": os.getloadavg()[0], "torch": torch.__version__, "quick": options.quick}
    if options.json: print(json.dumps(result, indent=2))
    else:
        for name in ways: print(f"{name:13s} {encoded[name]:8.0f} targets/s   largest difference {difference[name]:.1e}")
        print(f"score         {result['pairs_scored_per_s']:8.0f} pairs/s")


if __name__ == "__main__": main()
