"""The audits beyond the pocket, asked of trained models: each puts the model that learnt the planted law before the one that learnt another."""
import pytest

from isaac.drug_audit import audit_drugs, planted_atom_prior
from isaac.joint import joint
from isaac.models import TrainingConfig
from isaac.models.training import train
from isaac.mutants import BASELINES, mutants
from isaac.planted import PlantedOptions, plant, planted_mutants, true_drug_reliance, true_interaction, true_reliance
from isaac.studies import load_study

LAWS = {"usual": {}, "other": {"scaffold": 1.0, "shortcut": 1.0}, "sum": {"additive": 1.0}} # "other": neither pharmacophore nor pocket matter


@pytest.fixture(scope="module")
def models():
    "A small DeepDTA of the packaged study, trained on each law; with the planted data, and test pairs to ask about."
    choice, made = load_study("quickstart").models[0], {}
    config = TrainingConfig(**vars(choice.config()) | {"epochs": 24, "targets_per_block": 8})
    for name, law in LAWS.items():
        planted = plant(PlantedOptions(targets=128, drugs=24, **law))
        split = planted.dataset.split("cold-target")
        test = split.test.pairs
        few = split.test.select(test.pair_id[test.target_id.isin(sorted(test.target_id.unique())[:10])])
        made[name] = train(choice.example(), split, 0, config, progress=False, device="cpu").model, planted, few
    return made


def truth(of, model, planted, few): return of(model, planted, few, draws=2, worlds=50)


def test_the_drug_side_score_finds_the_planted_pharmacophore(models):
    found, true = {}, {}
    for name in ("usual", "other"):
        model, planted, few = models[name]
        found[name] = audit_drugs(model, few, planted_atom_prior(few.drugs), operators=("swap",), matchings=("uniform",), doses=("100%",), repeats=2,
                                  intervention_seeds=1, bootstrap_draws=200).primary
        true[name] = truth(true_drug_reliance, model, planted, few)
    assert true["usual"].low > 0.8 and true["other"].high < 0.6
    assert found["usual"]["low"] > found["other"]["high"] and found["other"]["high"] < 0.5


def test_the_joint_audit_finds_the_planted_interaction_by_its_relative_size_and_not_by_its_share(models):
    found, true = {}, {}
    for name in ("usual", "sum"):
        model, planted, few = models[name]
        atoms = planted_atom_prior(few.drugs)
        found[name] = joint(model, few, planted.prior, atoms, operator="substitute", drug_operator="delete", repeats=1, draws=200)
        true[name] = truth(true_interaction, model, planted, few)
    size = {name: f.arms.query("target_arm == drug_arm == 'mechanistic' and measure == 'relative'").iloc[0] for name, f in found.items()}
    share = {name: f.scores.query("against == 'mechanistic × control' and score == 'interaction'").iloc[0] for name, f in found.items()}
    assert true["usual"].low > 0.05 and true["sum"].high < 0.005
    assert size["usual"]["low"] > size["sum"]["high"] and size["sum"]["high"] < 0.03
    assert share["sum"]["value"] > 0.5 and share["usual"]["low"] < share["sum"]["high"] # what a sum lacks in size it may well have in share


def test_the_mutant_analysis_finds_the_planted_mutations(models):
    nature, scores = models["usual"][1], {}
    for name in ("usual", "other"):
        model, planted, few = models[name]
        assert (truth(true_reliance, model, planted, few).value > 0.9) == (name == "usual")
        scores[name] = mutants(model, planted_mutants(nature, 16), name, draws=200).scores.set_index(["predictor", "measure"])
    usual, other = (scores[name].loc[name] for name in scores)
    for measure in ("sign", "slope", "correlation"): assert usual.loc[measure, "low"] > other.loc[measure, "high"]
    baselines = scores["usual"].loc[list(BASELINES)]["value"].unstack()
    assert usual.loc["error", "high"] < other.loc["error", "low"] and usual.loc["error", "value"] < baselines["error"]["always zero"]
    assert usual.loc["sign", "value"] > baselines["sign"].max()
