"""How many edited drugs per second: proposed in the text of a molecule, read and judged by RDKit.

    python benchmarks/drug_edits.py            # 10,000 proposals, all four operators
    python benchmarks/drug_edits.py --quick    # 1,500
    python benchmarks/drug_edits.py --json     # the JSON alone

The drugs are scaffolds with substituents, put together here; nothing is downloaded. Every proposal counts, accepted by RDKit or not. Accepted ones
are then checked apart from the clock: each parses, masks and swaps keep the number of characters, and what RDKit writes for it is the same molecule.
"""
import argparse
import json
import os
import time
from collections import Counter
from itertools import product

from rdkit import Chem, rdBase

from isaac.chemistry import DRUG_OPERATORS, KEEPS_LENGTH, DrugReading, drug_units, spliced

CORES = ("c1ccc({})cc1{}", "c1cc({})nc({})c1", "c1ccc2c(c1)nc({})nc2{}", "CC1=C({})C=CC(=C1){}", "c1c({})[nH]c2ccc({})cc12",
         "O=C(Nc1ccc({})cc1)c1ccc({})cn1", "CN1CCN(CC1)Cc1ccc({})cc1NC(=O)c1cc({})ccn1", "C1CN({})CCN1c1ncc(s1){}")
GROUPS = ("C", "OC", "N", "O", "C(F)(F)F", "C(=O)O", "N(C)C", "C#N", "S(=O)(=O)C", "Br", "c2ccccc2", "OCCN2CCOCC2")
HOW = DrugReading("smiles", None, "*")


def drugs() -> list[str]:
    "Molecules of 8 to 35 heavy atoms."
    texts = [core.format(first, second.replace("2", "3")) for core, first, second in product(CORES, GROUPS, GROUPS)]
    with rdBase.BlockLogs(): return [s for s in texts if Chem.MolFromSmiles(s)]


def propose(smiles: list[str], most: int) -> tuple[dict[str, int], Counter, list[tuple[str, str, str]], float]: # accepted, rejected, texts, seconds
    "Edit drugs until there are enough proposals."
    accepted, rejected, made, start = Counter(), Counter(), [], time.perf_counter()
    for drug in smiles:
        for operator in DRUG_OPERATORS:
            units = drug_units(drug, operator, HOW)
            texts = [(operator, drug, spliced(drug, [edit])) for unit in units.units for edit in unit.edits]
            made, rejected = [*made, *texts], rejected + units.rejected
            accepted[operator] += len(texts)
        if len(made) + rejected.total() >= most: break
    return dict(accepted), rejected, made, time.perf_counter() - start


def faults(made: list[tuple[str, str, str]]) -> dict[str, int]:
    "How many accepted edits break a promise."
    found = Counter(parses=0, length=0, round_trip=0)
    for operator, drug, text in made:
        molecule = Chem.MolFromSmiles(text)
        found["parses"] += molecule is None
        found["length"] += operator in KEEPS_LENGTH and len(text) != len(drug)
        if molecule is None: continue
        again = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
        found["round_trip"] += again is None or Chem.MolToSmiles(again) != Chem.MolToSmiles(molecule)
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,500 proposals")
    parser.add_argument("--json", action="store_true", help="print the JSON alone")
    options = parser.parse_args()
    cpu, most = time.process_time(), 1_500 if options.quick else 10_000
    accepted, rejected, made, seconds = propose(drugs(), most)
    cpu, proposals = time.process_time() - cpu, len(made) + rejected.total()
    result = {"edits_per_s": proposals / seconds, "edits_per_cpu_s": proposals / cpu, "proposals": proposals, "accepted": accepted,
              "rejected": dict(rejected), "broken_promises": faults(made), "drugs": len({drug for _, drug, _ in made}), "processors": os.cpu_count(),
              "load_1min": os.getloadavg()[0], "rdkit": rdBase.rdkitVersion, "quick": options.quick}
    if options.json: print(json.dumps(result, indent=2))
    else:
        print(f"{proposals:,} proposals for {result['drugs']} drugs in {seconds:.1f} s: {result['edits_per_s']:,.0f} per second "
              f"({result['edits_per_cpu_s']:,.0f} per second of processor time)")
        print("accepted  ", ", ".join(f"{name} {n:,}" for name, n in accepted.items()))
        print("rejected  ", ", ".join(f"{reason} {n:,}" for reason, n in rejected.most_common()))
        print("broken promises", result["broken_promises"])


if __name__ == "__main__": main()
