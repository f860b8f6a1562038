"""A made-up study that takes seconds: six drugs, twenty sequences, a prior of twenty residues and a network of the real architecture."""
from pathlib import Path

import numpy as np
import pandas as pd

from isaac.datasets import DTIDataset

DRUGS = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "phenol": "Oc1ccccc1", "ethanol": "CCO",
         "toluene": "Cc1ccccc1", "urea": "NC(=O)N"}

MOTIF_DRUGS = ["CCO", "c1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"]


def motif_data(drugs: int = 8, targets: int = 30, lengths: int = 10**6) -> DTIDataset: # lengths: how many different ones
    "Affinities that depend on a drug's oxygen and on one motif of the target; a third of the cells are missing."
    smiles = ["C" * (1 + i) + ("O" if i % 2 else "N") for i in range(drugs)]
    sequences = ["".join(np.random.default_rng(i).choice(list("ADEFGKLV"), 40 + i % lengths)) + ("WCWCHW" * (i % 3 == 0)) for i in range(targets)]
    rows = [{"smiles": d, "sequence": t, "affinity": 5.0 + 2 * ("O" in d) * ("WCWC" in t) + ("O" in d)}
            for i, d in enumerate(smiles) for j, t in enumerate(sequences) if (i + j) % 3]
    return DTIDataset.from_frame(pd.DataFrame(rows), name="toy", threshold=7.0)


STUDY = """
title = "Toy"
dataset = {{ name = "{folder}/pairs.csv", threshold = 6.5 }}
prior = {{ name = "{folder}/pocket.csv" }}

[[models]]
architecture = "deepdta"
seeds = {seeds}
training = {{ epochs = {epochs} }}
{more}
[audit]
operators = ["substitute"]
matchings = ["geometry", "uniform"]
doses = [5, "100%"]
repeats = 1
intervention_seeds = 2
bootstrap_draws = 100
primary = {{ operator = "substitute", matching = "geometry", dose = 5 }}
"""


SECOND = """
[[models]]
architecture = "deepdta"
name = "binding"
settings = { objective = "classification", channels = [8, 8, 8], embedding = 16, hidden = [32, 16] }
seeds = [0, 1]
training = { epochs = 2 }
""" # another model for the same study


def write_toy(folder: Path, seeds: tuple[int, ...] = (0,), epochs: int = 1, more: str = "") -> Path:
    "Write pairs.csv, pocket.csv and toy.toml into `folder`, with `more` models; gives the path of the study."
    rng = np.random.default_rng(0)
    sequences = {f"T{i:02}": "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 150)) for i in range(20)}
    pairs = pd.DataFrame([{"drug_id": d, "smiles": s, "target_id": t, "sequence": q, "affinity": 5 + q[40:60].count("K") + (d < "d")}
                          for d, s in DRUGS.items() for t, q in sequences.items()])
    pocket = pd.DataFrame([{"target_id": t, "residue": f"{q[i]}{i + 1}"} for t, q in sequences.items() for i in range(40, 60)])
    pairs.to_csv(folder / "pairs.csv", index=False)
    pocket.to_csv(folder / "pocket.csv", index=False)
    study = folder / "toy.toml"
    study.write_text(STUDY.format(folder=folder.as_posix(), seeds=list(seeds), epochs=epochs, more=more))
    return study
