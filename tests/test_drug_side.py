"""The drug side: atoms and characters agree, every edit is a molecule, no control touches the prior, and what was planted is found."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from typer.testing import CliRunner

from isaac.audit import AuditResult, find_runs
from isaac.chemistry import (
    ATOM_COLUMNS,
    DRUG_OPERATORS,
    KEEPS_LENGTH,
    AtomPrior,
    DrugReading,
    agrees,
    atom_keys,
    atom_prior_from_table,
    drug_units,
    hinge_prior,
    main_part,
    named_atom_prior,
    objection,
    pharmacophore_prior,
    read_text,
    rewritten,
    scaffold_prior,
    smarts_prior,
    spliced,
)
from isaac.cli import app
from isaac.core import InputError, stream_key
from isaac.drug_audit import (
    ATOM_COVARIATES,
    DrugAudit,
    DrugAuditConfig,
    audit_drugs,
    drug_tables,
    headline,
    planted_atom_prior,
    representation_spread,
    respellings,
)
from isaac.drug_plan import DrugDesign, drug_draws, drug_plan, drug_reading, two_arms
from isaac.engine import respond
from isaac.models import TAPB, DeepConvDTI, DeepDTA, untrained
from isaac.plan import load_plan
from isaac.planted import PlantedOptions, Reader, plant
from isaac.scores import contrast, response_matrix
from isaac.sources import fetch

IMATINIB = "CC1=C(C=C(C=C1)NC(=O)C2=CC=C(C=C2)CN3CCN(CC3)C)NC4=NC=CC(=N4)C5=CN=CC=C5"
DRUGS = [IMATINIB, "CN1CCN(CC1)CCCOC2=C(C=C3C(=C2)N=CC(=C3NC4=CC(=C(C=C4Cl)Cl)OC)C#N)OC", "C[C@H](O)c1cn(C)cc1-c1ccccc1C(F)(F)F",
         "CC(C)(C)C1=CC(=NO1)NC(=O)NC2=CC=C(C=C2)S(=O)(=O)N", "Clc1ccc(C[N+](C)(C)C)cc1C([O-])=O.[Na+]", "OC(=O)C/C=C/C1CC1Br"]
READS = DrugReading("smiles", None, "*")


def texts(name: str) -> dict[str, str]: return json.loads(fetch(name).read_text())


def frame(*smiles: str) -> pd.DataFrame:
    return pd.DataFrame({"drug_id": [f"d{i}" for i in range(len(smiles))], "smiles": smiles})


def crossed(drugs: pd.DataFrame, targets=("MKVAKLW", "MKWAK")) -> pd.DataFrame:
    pairs = drugs.merge(pd.DataFrame({"target_id": [f"t{i}" for i in range(len(targets))], "sequence": targets}), how="cross")
    return pairs.assign(pair_id=np.arange(len(pairs)))


@pytest.mark.parametrize("name", ["davis/ligands_can.txt", "davis/ligands_iso.txt", "kiba/ligands_can.txt", "kiba/ligands_iso.txt"])
def test_token_and_atom_indices_agree_for_every_molecule(mirror, name):
    assert [drug for drug, smiles in texts(name).items() if not agrees(read_text(smiles))] == []


@pytest.mark.parametrize("smiles", ["[13CH3][C@@H]([NH3+])C([O-])=O", "C%12CC=CC/%12", "[H]/N=C/C", "C1CC1.Cl", "O=[N+]([O-])c1ccc[nH]1",
                                    "C(C)(C)(C)C", "*c1ccccc1", "[Fe+2].[Cl-].[Cl-]", "C1CC1C2CC2C1CC1", "[se]1cccc1", "N->[Cu]"])
def test_unusual_spellings_are_read(smiles):
    text = read_text(smiles)
    assert agrees(text) and (text.start <= text.symbol[:, 0]).all() and (text.symbol[:, 1] <= text.stop).all() and (text.end >= text.stop).all()


def test_ten_thousand_edits_are_molecules_keep_their_length_and_can_be_taken_back(mirror):
    made = 0
    for smiles in [*texts("davis/ligands_can.txt").values(), *list(texts("kiba/ligands_can.txt").values())[::35]]:
        for operator in DRUG_OPERATORS:
            for edit in (e for u in drug_units(smiles, operator, READS).units for e in u.edits):
                text = spliced(smiles, [edit])
                canonical = Chem.MolToSmiles(Chem.MolFromSmiles(text))
                assert Chem.MolToSmiles(Chem.MolFromSmiles(canonical)) == canonical
                made += 1
                if operator not in KEEPS_LENGTH: continue
                (first, last, _), = edit.splices
                assert len(text) == len(smiles) and text[:first] + smiles[first:last] + text[last:] == smiles
                assert text[:first] + text[last:] == smiles[:first] + smiles[last:]
    assert made >= 10_000


@settings(max_examples=15)
@given(st.sampled_from(DRUGS), st.data())
def test_no_control_touches_a_prior_atom(smiles, data):
    heavy = main_part(smiles).tolist()
    prior = sorted(data.draw(st.sets(st.sampled_from(heavy), min_size=1, max_size=len(heavy) - 1)))
    operators = tuple(data.draw(st.lists(st.sampled_from(sorted(DRUG_OPERATORS)), min_size=1, max_size=2, unique=True)))
    read = data.draw(st.integers(8, len(smiles)))
    how = DrugReading("smiles", read, "*")
    table = pd.DataFrame({"drug_id": "d0", "atom": prior})
    design = DrugDesign(operators=operators, doses=(1, "50%", "100%"), repeats=2, intervention_seeds=1, seed=data.draw(st.integers(0, 99)))
    found = drug_plan(crossed(frame(smiles)), atom_prior_from_table(table, frame(smiles)), how, design=design)
    edits = found.edits.drop_duplicates("cell_id").merge(found.cells)
    spans = [range(*read_text(smiles).symbol[a]) for a in prior]
    for unit in (u for operator in operators for u in two_arms(drug_units(smiles, operator, how).units, np.array(prior))[1]):
        assert not [s for edit in unit.edits for s in edit.splices for span in spans if s[0] < span.stop and span.start < s[1]]
    for (operator, matching, *_), rows in edits[edits["arm"].ne("none")].groupby(["operator", "matching", "dose", "repeat"]):
        atoms = {r.arm: found.variants["positions"][r.drug_variant] for r in rows.itertuples()}
        strings = {r.arm: found.variants["string"][r.drug_variant] for r in rows.itertuples()}
        assert not set(atoms["control"]) & set(prior) and set(atoms["mechanistic"]) & set(prior)
        assert all(len(set(a)) == len(a) for a in atoms.values())
        if operator in KEEPS_LENGTH:
            assert len(atoms["control"]) == len(atoms["mechanistic"]) and set(atoms["mechanistic"]) <= set(prior)
            assert all(read_text(smiles).atoms_within(read)[a].all() for a in atoms.values())
            assert {len(s) for s in strings.values()} == {len(smiles)}
        if matching == "matched" and operator in KEEPS_LENGTH: # the default caliper: the same elements in both arms
            assert sorted(atom_keys(smiles)[i][0] for i in atoms["control"]) == sorted(atom_keys(smiles)[i][0] for i in atoms["mechanistic"])
        assert not [s for s in strings.values() if objection(smiles, s, operator, "*")]


def test_a_small_dose_is_the_beginning_of_a_larger_one():
    drugs = frame(IMATINIB)
    design = DrugDesign(operators=("swap",), doses=(1, 2, "100%"), repeats=3, intervention_seeds=1)
    table = drug_draws(drugs, hinge_prior(drugs), READS, design).table
    atoms = table.assign(size=table["atoms"].map(len)).merge(drug_plan(crossed(drugs), hinge_prior(drugs), READS, design=design).cells)
    for _, rows in atoms.groupby(["arm", "matching", "repeat"]):
        one, two, every = (set(a) for a in rows.sort_values("size")["atoms"])
        assert one < two <= every and (len(one), len(two)) == (1, 2)


def test_a_plan_does_not_depend_on_order_or_company():
    drugs, design = frame(*DRUGS[:3]), DrugDesign(operators=("swap", "delete"), doses=(1, "50%"), repeats=2, intervention_seeds=1)
    whole = drug_draws(drugs, scaffold_prior(drugs), READS, design).table
    mixed = drug_draws(drugs[::-1], scaffold_prior(drugs), READS, design).table
    key = ["drug_id", "cell_id"]
    pd.testing.assert_frame_equal(whole.sort_values(key, ignore_index=True), mixed.sort_values(key, ignore_index=True))
    alone = drug_draws(drugs[:1], scaffold_prior(drugs[:1]), READS, design).table
    pd.testing.assert_frame_equal(whole[whole["drug_id"].eq("d0")].reset_index(drop=True), alone)
    assert drug_draws(drugs, scaffold_prior(drugs), READS, design.model_copy(update={"seed": 1})).table["string"].ne(whole["string"]).any()


def test_the_caliper_decides_what_is_left_out():
    drugs = frame("c1ccccc1CCN") # the only nitrogen: a control of the same element there is none
    prior = smarts_prior(drugs, "[NX3]")
    of = lambda caliper: drug_draws(drugs, prior, READS, DrugDesign(operators=("mask",), matchings=("matched",), caliper=caliper))
    assert of(2).table.empty and of(2).refused["reason"].tolist() == ["no control within the caliper"] and of(3).table.empty
    both = frame("Oc1ccccc1CCN") # with an oxygen, which is no carbon either
    loose = DrugDesign(operators=("mask",), matchings=("matched",), caliper=3)
    assert len(drug_draws(both, smarts_prior(both, "[NX3]"), READS, loose).table) == 2 * 2 * 9 # arms, doses, draws


def test_what_is_not_read_belongs_to_neither_arm():
    drugs = frame("NCCCCCCCCCCCCCCN")
    design = DrugDesign(operators=("mask", "delete"), matchings=("uniform",))
    hidden = drug_draws(drugs, smarts_prior(drugs, "[NX3]"), DrugReading("smiles", 10, "*"), design)
    assert hidden.matches.set_index("operator")["units"]["mask"] == 1 and max(max(a) for a in hidden.table["atoms"]) < 10
    assert "would bring others into view" in hidden.refused.query("operator == 'delete'")["reason"].iloc[0]
    salt = frame("NCCc1ccccc1.NCC")
    assert smarts_prior(salt, "[NX3]").atoms["d0"].tolist() == [0] # the counter-ion is another molecule
    assert max(max(a) for a in drug_draws(salt, smarts_prior(salt, "[NX3]"), READS).table["atoms"]) < 9


def test_how_a_model_reads_drugs_is_asked_or_declared():
    pairs = crossed(frame(*DRUGS[:4]))
    assert drug_reading(untrained(DeepDTA, 0), pairs) == DrugReading("smiles", 100)
    assert drug_reading(untrained(TAPB, 0), pairs, "*") == DrugReading("smiles", None, "*")
    conv = untrained(DeepConvDTI, 0)
    assert drug_reading(conv, pairs) == DrugReading("molecule")
    with pytest.raises(InputError, match="cannot be used"): drug_reading(untrained(DeepDTA, 0), pairs, "*")
    plan = drug_plan(pairs, hinge_prior(pairs.drop_duplicates("drug_id")), drug_reading(conv, pairs), design=DrugDesign(operators=("mask", "swap")))
    assert set(plan.unauditable.query("operator == 'mask'")["reason"]) == {"the model reads molecules, in which there is no token to mask"}
    assert len(respond(plan, conv).table) == len(plan.edits)
    spelling = [representation_spread(model, pairs, n=3, draws=50).overall["moved"] for model in (conv, untrained(DeepDTA, 0))]
    assert spelling[0] == 0 < spelling[1]


def test_the_plan_is_answered_as_the_model_would():
    pairs = crossed(frame(*DRUGS[:3]))
    model = lambda smiles, targets: [s.count("N") + 0.1 * len(s) + t.count("K") for s, t in zip(smiles, targets, strict=True)]
    drugs = pairs.drop_duplicates("drug_id")
    plan = drug_plan(pairs, pharmacophore_prior(drugs), READS, design=DrugDesign(operators=("swap", "delete"), repeats=2, intervention_seeds=1))
    found, strings = respond(plan, model).table["value"].to_numpy(), plan.variants["string"].to_numpy()
    assert np.allclose(found, model(strings[plan.edits["drug_variant"]], strings[plan.edits["target_variant"]]))
    arms = contrast(plan, response_matrix(plan, respond(plan, model)), "swap", "matched", 1)
    assert arms.mechanistic.shape == arms.control.shape and arms.mechanistic.shape[1] == 2


def test_the_drug_side_score_finds_the_planted_pharmacophore():
    planted = plant(PlantedOptions(targets=4, families=2, drugs=12))
    prior = planted_atom_prior(planted.dataset.drugs)
    config = DrugAuditConfig(operators=("swap", "delete"), repeats=2, intervention_seeds=1, bootstrap_draws=100)
    law = audit_drugs(Reader(planted.words), planted.dataset, prior, config)
    assert law.scores("own").query("score == 'RS'")["value"].eq(1).all() and law.primary["low"] == 1
    ring = lambda smiles, targets: [s.count("c") + s.startswith("c") for s in smiles]
    other = headline(audit_drugs(ring, planted.dataset, prior, config))
    assert other["RS"].dropna().eq(0).all() and set(other.loc[other["RS"].isna(), "operator"]) == {"delete"}
    half = lambda smiles, targets: Reader(planted.words).predict(smiles, targets) + 0.2 * np.array(ring(smiles, targets))
    mixed = audit_drugs(half, planted.dataset, prior, config).primary["value"]
    assert 0 < mixed < 1
    drugs = planted.dataset.drugs
    others = [(d, a, "", "", "") for d, s in zip(drugs["drug_id"], drugs["smiles"], strict=True) for a in main_part(s) if a not in prior.atoms[d]]
    wrong = AtomPrior("all but", pd.DataFrame(others, columns=ATOM_COLUMNS))
    assert audit_drugs(Reader(planted.words), planted.dataset, wrong, config).primary["value"] == 0


def test_tables_of_an_audit_hang_together():
    pairs = crossed(frame(*DRUGS[:4])).assign(affinity=np.linspace(5, 9, 8))
    config = DrugAuditConfig(operators=("swap",), repeats=2, intervention_seeds=2, bootstrap_draws=100, initialisations=2, binder_threshold=7)
    found = audit_drugs(untrained(DeepDTA, 0), pairs, "pharmacophore", config)
    tables = drug_tables(found)
    assert len(tables["headline"]) == 4 and tables["headline"]["endpoint"].eq("primary").sum() == 1
    assert set(tables["balance"]["covariate"]) == set(ATOM_COVARIATES)
    m, s = tables["drugs"]["m"].sum(), tables["drugs"]["s"].sum()
    assert np.isclose(m / (m + s), tables["headline"].query("endpoint == 'primary'")["RS"].iloc[0]) and len(found.networks) == 2
    assert tables["tests"]["networks"].tolist() == [2] and (tables["matches"]["edited"] <= tables["matches"]["units"]).all()


def test_respellings_are_other_texts_of_the_same_molecule_that_fit():
    for smiles in DRUGS[::2]:
        found, long = respellings(smiles, 5, DrugReading("smiles", len(smiles)))
        assert len(set(found) | {smiles}) == len(found) + 1 and all(len(s) <= len(smiles) for s in found) and (found or long)
        same = {Chem.MolToSmiles(Chem.MolFromSmiles(s)) for s in (*found, *(rewritten(smiles, stream_key(i)) for i in range(3)))}
        assert same == {Chem.MolToSmiles(Chem.MolFromSmiles(smiles))}
    assert not any(c in rewritten(IMATINIB, stream_key(1)) for c in "cn") # double bonds of rings stay written out


def test_what_cannot_be_used_is_named(tmp_path):
    drugs = frame("CCO", "C1CC")
    with pytest.raises(InputError, match="C1CC"): scaffold_prior(drugs)
    with pytest.raises(InputError, match="outside its 3 atoms"): atom_prior_from_table(pd.DataFrame({"drug_id": ["d0"], "atom": [3]}), drugs[:1])
    with pytest.raises(InputError, match="not a whole number"): atom_prior_from_table(pd.DataFrame({"drug_id": ["d0"], "atom": [0.5]}), drugs[:1])
    with pytest.raises(InputError, match="lacks columns"): atom_prior_from_table(pd.DataFrame({"drug": ["d0"], "atom": [0]}), drugs[:1])
    with pytest.raises(InputError, match="no pattern"): named_atom_prior("smarts:((", drugs[:1])
    silent, fine = (lambda s, t: [0.0] * len(s)), frame("CCO", "CCN")
    with pytest.raises(InputError, match="fewer than 2"): representation_spread(silent, crossed(fine), n=1)
    with pytest.raises(InputError, match="occurs twice"): drug_plan(crossed(fine).assign(pair_id=0), scaffold_prior(fine))
    with pytest.raises(InputError, match="beside a config"): audit_drugs(silent, crossed(fine), "hinge", DrugAuditConfig(), repeats=2)
    file = tmp_path / "atoms.csv"
    file.write_text("drug_id,atom\nd0,2\n")
    assert named_atom_prior(str(file), drugs[:1]).atoms == {"d0": np.array([2])}


def test_the_command_prints_json_and_writes_tables(tmp_path):
    rows = crossed(frame(*DRUGS[:2])).assign(affinity=[5.0, 6.0, 7.0, 8.0])
    rows.drop(columns="pair_id").to_csv(tmp_path / "pairs.csv", index=False)
    arguments = ["drug-audit", "isaac.controls:constant", "--dataset", str(tmp_path / "pairs.csv"), "--threshold", "7", "--operators", "swap",
                 "--repeats", "1", "--seeds", "1", "--spellings", "2", "--quiet"]
    done = CliRunner().invoke(app, [*arguments, "--json", "--out", str(tmp_path / "out")])
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and "no response" in found["summary"] and {r["status"] for r in found["headline"]} == {"no response"}
    assert len(pd.read_csv(tmp_path / "out" / "headline.csv")) == 4 and (tmp_path / "out" / "spelling.csv").is_file()
    read_back = CliRunner().invoke(app, [*arguments, "--json", "--out", str(tmp_path / "out")])
    assert read_back.exit_code == 0 and json.loads(read_back.stdout) == found
    another = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--caliper", "1"])
    assert another.exit_code == 2 and "another audit" in another.stderr
    refused = CliRunner().invoke(app, [*arguments, "--prior", "sticky"])
    assert refused.exit_code == 2 and "sticky" in refused.stderr


def test_a_prior_is_checked_against_the_drugs_it_is_used_on():
    drugs = frame(IMATINIB)
    elsewhere = replace(hinge_prior(drugs), table=hinge_prior(drugs).table.assign(atom=99))
    with pytest.raises(InputError, match="outside its 37 atoms"): drug_plan(crossed(drugs), elsewhere)


# A folder of an audit

def test_a_saved_audit_is_read_back_whole_and_another_is_refused(tmp_path):
    planted = plant(PlantedOptions(targets=4, drugs=4, families=2))
    asked = {"operators": ("swap", "mask"), "matchings": ("uniform",), "repeats": 1, "intervention_seeds": 1, "bootstrap_draws": 100, "seed": 3}
    model, out, prior = Counting(), tmp_path / "run", planted_atom_prior(planted.dataset.drugs)
    ask = lambda predictor=model, **other: audit_drugs(predictor, planted.dataset, prior, mask_token="*", out=out, name="counts", **asked | other)
    first = ask(initialisations=2)
    again = DrugAudit.load(out)
    for name, table in drug_tables(first).items(): pd.testing.assert_frame_equal(drug_tables(again)[name], table, check_dtype=False)
    assert (again.networks, again.plan.hash, again.prior.hash, again.plan.how) == (first.networks, first.plan.hash, first.prior.hash, first.plan.how)
    assert (again.binder == first.binder).all() and again.summary() == first.summary() and again.config.seed == 3
    assert pd.read_csv(out / "headline.csv")["RS"].round(6).tolist() == headline(first)["RS"].round(6).tolist() and not (out / "answers").exists()
    asks = Counting.asked
    assert ask(initialisations=2).scores().equals(first.scores()) and Counting.asked - asks <= 64 # recognised by some pairs, not asked again
    assert find_runs(tmp_path)["state"].tolist() == ["finished"]
    with pytest.raises(InputError, match="another audit.*config"): ask(initialisations=3)
    with pytest.raises(InputError, match="another audit.*model"): ask(lambda smiles, sequences: [len(s) for s in smiles], initialisations=2)
    with pytest.raises(InputError, match="edits drugs.*DrugAudit.load"): AuditResult.load(out)
    with pytest.raises(InputError, match="DrugPlan"): load_plan(out / "plan")
    (out / "prior.parquet").unlink()
    with pytest.raises(InputError, match="prior.parquet"): DrugAudit.load(out)
    with pytest.raises(InputError, match="finished"): DrugAudit.load(tmp_path / "nowhere")


class Counting:
    "Reads characters, remembers how much it was asked, and has untrained copies."
    scale, asked = "affinity", 0

    def __init__(self, seed=0): self.weight = np.random.default_rng(seed).normal(1, 0.1, 128)

    def untrained(self, seed): return Counting(seed + 1)

    def predict(self, smiles, sequences):
        Counting.asked += len(smiles)
        return np.array([self.weight[[ord(c) for c in s]].sum() + t.count("K") for s, t in zip(smiles, sequences, strict=True)])


def test_an_interrupted_audit_goes_on_with_the_answers_there_are(tmp_path, monkeypatch):
    planted = plant(PlantedOptions(targets=40, drugs=4, families=2))
    asked = {"operators": ("swap",), "matchings": ("uniform",), "repeats": 1, "intervention_seeds": 1, "bootstrap_draws": 100}
    ask = lambda out: audit_drugs(Counting(), planted.dataset, planted_atom_prior(planted.dataset.drugs), out=out, name="counts", **asked)
    whole, answer, calls = ask(tmp_path / "whole"), Counting.predict, []
    def tiring(self, smiles, sequences):
        calls.append(len(smiles))
        if len(calls) == 22: raise KeyboardInterrupt
        return answer(self, smiles, sequences)
    monkeypatch.setattr(Counting, "predict", tiring)
    with pytest.raises(KeyboardInterrupt): ask(tmp_path / "run")
    assert find_runs(tmp_path / "run")["state"].str.startswith("unfinished").all() and (tmp_path / "run" / "answers").exists()
    before = len(calls)
    resumed = ask(tmp_path / "run")
    assert resumed.scores().equals(whole.scores()) and resumed.responses.table.equals(whole.responses.table) and len(calls) > before
