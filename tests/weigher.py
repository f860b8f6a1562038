"""A made-up audit whose scores are known on paper: four drugs, twelve proteins, a pocket of twenty residues and a model of known reliance on it."""
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isaac.datasets import DTIDataset
from isaac.priors import Prior, prior_from_table

POCKET = np.arange(30, 50)
OPTIONS = dict(operators=["mask"], matchings=["uniform", "geometry"], doses=[5], repeats=1, intervention_seeds=2, bootstrap_draws=200,
               primary={"operator": "mask", "matching": "uniform", "dose": 5}, progress=False)


def letter_pairs() -> DTIDataset:
    "Four drugs × twelve proteins; the first residue of a protein, A to M, says which it is."
    g = np.random.default_rng(0)
    sequences = [letter + "".join(g.choice(list("DEFHIKL"), 119)) for letter in "ACDEFGHIKLMN"]
    drugs = {"a": "CCO", "b": "CCN", "c": "c1ccccc1", "d": "CNC"}
    rows = [(d, f"T{i:02}", s, q, 5 + i / 4) for d, s in drugs.items() for i, q in enumerate(sequences)]
    frame = pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence", "affinity"])
    return DTIDataset.from_frame(frame, name="letters", scale="pKd", threshold=7.0)


def pocket_of(data: DTIDataset) -> Prior:
    "The same pocket in every protein."
    rows = [(t, p) for t in data.targets["target_id"] for p in POCKET]
    return prior_from_table(pd.DataFrame(rows, columns=["target_id", "position"]), data.targets)


@dataclass
class Weigher:
    "Falls by `share` for every masked residue of the pocket and by 1 − `share` for every other: RS is `share`, whatever the pair."
    share: float
    metrics: dict | None = None
    training_seed: int | None = None
    max_target_length: int | None = None
    by_target: bool = False # the pocket counts in proportion to the first letter's place in the alphabet
    boost: float = 1.0      # of the pocket
    scale = "affinity"

    def predict(self, smiles, sequences):
        return np.array([self._one(s, t[:self.max_target_length]) for s, t in zip(smiles, sequences, strict=True)])

    def _one(self, smiles, sequence):
        inside = sequence[POCKET[0]:POCKET[-1] + 1].count("X")
        factor = (ord(sequence[0]) - 64) / 5 if self.by_target else 1
        return 7 - len(smiles) * (self.boost * factor * self.share * inside + (1 - self.share) * (sequence.count("X") - inside))
