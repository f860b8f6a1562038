"""Off-manifold check: distances by another library, symmetry of the arms, and what the shipped architectures show of themselves."""
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from isaac.core import InputError, IsaacError
from isaac.manifold import Cloud, features_of, in_random_order, manifold_notes, off_manifold
from isaac.models import TAPB, DeepConvDTI, DeepDTA, untrained
from isaac.plan import Design, make_plan

pytestmark = pytest.mark.usefixtures("one_thread")

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
SEQUENCES = ["".join(np.random.default_rng(i).choice(LETTERS, 70)) for i in range(24)]
DRUGS = {"ethanol": "CCO", "urea": "NC(=O)N"}
SMALL = {DeepDTA: {"channels": (8, 8, 8), "hidden": (32, 16)}, DeepConvDTI: {"filters": 8, "hidden": 16}, TAPB: {"width": 16, "heads": 2}}


@pytest.fixture(scope="module")
def plan():
    rows = [(d, f"t{i:02}", s, q) for d, s in DRUGS.items() for i, q in enumerate(SEQUENCES)]
    pairs = pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"])
    table = pd.DataFrame([(f"t{i:02}", None, p) for i in range(24) for p in range(20, 32)], columns=["target_id", "drug_id", "position"])
    prior = SimpleNamespace(table=table, others=pd.DataFrame(columns=["target_id", "position"]),
                            coverage=pd.DataFrame(columns=["target_id", "status", "note"]))
    design = Design(operators=("mask", "substitute"), matchings=("geometry", "uniform"), doses=(4, "100%"), repeats=2, intervention_seeds=1)
    return make_plan(pairs.assign(pair_id=pairs.index), prior, design=design)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 40), st.integers(1, 6), st.integers(0, 100))
def test_distances_are_those_of_scipy_with_the_covariance_of_scikit_learn(pairs, features, seed):
    rng = np.random.default_rng(seed)
    natural, edited = rng.normal(size=(pairs, features)) * rng.uniform(0.1, 9, features), rng.normal(size=(5, features))
    fitted = LedoitWolf().fit(natural)
    expected = [mahalanobis(x, fitted.location_, np.linalg.inv(fitted.covariance_)) for x in edited]
    assert np.allclose(Cloud.of(natural).distance(edited), expected)


def test_features_that_say_nothing_are_refused():
    with pytest.raises(InputError, match="do not vary"): Cloud.of(np.ones((5, 3)))
    with pytest.raises(InputError, match="does not show what its last layer sees"): features_of(lambda smiles, sequences: None, ["C"], ["M"])
    for returned, reason in ((np.zeros(1), r"shape \(1,\)"), (np.full((1, 2), np.inf), "2 numbers that are not finite")):
        with pytest.raises(IsaacError, match=reason): features_of(SimpleNamespace(penultimate=lambda s, t, r=returned: r), ["C"], ["M"])


@pytest.mark.parametrize("kind", SMALL, ids=lambda k: k.__name__)
def test_the_last_layer_makes_the_prediction_of_what_it_is_shown(kind):
    model = untrained(kind(**SMALL[kind]), 1)
    smiles, sequences = [list(DRUGS.values())[i % 2] for i in range(6)], [SEQUENCES[i // 2][:20 + 9 * i] for i in range(6)]
    shown = model.penultimate(smiles, sequences)
    with torch.no_grad(): made = model.last(torch.from_numpy(shown))[:, 0] * model.output_sd + model.output_mean
    assert np.allclose(made.numpy(), model.predict(smiles, sequences), atol=1e-6)
    assert np.allclose(shown[[4]], model.penultimate(smiles[4:5], sequences[4:5]), atol=1e-5)
    with pytest.raises(InputError): model.penultimate(smiles, sequences[1:])


def test_the_order_of_a_sample_depends_on_the_texts_alone():
    texts = pd.Series(SEQUENCES)
    assert in_random_order(texts, 1) == in_random_order(texts[::-1], 1) != in_random_order(texts, 2)


class Masks:
    "Features: letters that were masked within and outside the pocket, beside differences between natural targets of a known size."
    def __init__(self, inside: float, outside: float): self.inside, self.outside = inside, outside

    def penultimate(self, smiles, sequences):
        own = np.array([[s.count("A"), s.count("C") + len(d)] for d, s in zip(smiles, sequences, strict=True)], dtype=float)
        masked = [[s[20:32].count("X") * self.inside, (s[:20] + s[32:]).count("X") * self.outside] for s in sequences]
        return own + masked


@pytest.mark.parametrize("inside, outside, stranger", [(9.0, 0.0, "mechanistic"), (0.0, 9.0, "control")])
def test_the_arm_that_leads_farther_is_named_and_only_where_it_does(plan, inside, outside, stranger):
    table = off_manifold(plan, Masks(inside, outside), sequences=10)
    masks = table["operator"].eq("mask")
    assert len(table) == 8 and (table.loc[masks, "stranger"] == stranger).all() and (table.loc[~masks, "stranger"] == "").all()
    assert (table["pairs"] == 20).all() and table[["auroc_mechanistic", "auroc_control", "auroc_arms"]].stack().between(0, 1).all()
    assert any(f"mask: the {stranger} edits are stranger" in note for note in manifold_notes(table))


def test_other_natural_pairs_can_be_the_reference_but_never_those_that_are_edited(plan):
    "With every sequence of the plan among the reference, only those that are not looked at are fitted."
    model, mine = Masks(1.0, 1.0), plan.pairs[["smiles", "sequence"]]
    assert off_manifold(plan, model, sequences=10).equals(off_manifold(plan, model, mine.iloc[::-1], sequences=10))
    others = pd.DataFrame({"smiles": "CCO", "sequence": ["".join(np.random.default_rng([9, i]).choice(LETTERS, 70)) for i in range(30)]})
    assert not off_manifold(plan, model, others, sequences=10).equals(off_manifold(plan, model, sequences=10))
    with pytest.raises(InputError, match="do not vary"): off_manifold(plan, model, others[:1])


def test_a_plan_that_cannot_be_looked_at_is_refused(plan):
    with pytest.raises(InputError, match="no other sequences"): off_manifold(plan, Masks(1.0, 1.0), plan.pairs[:0])
    with pytest.raises(InputError, match="nothing was edited"): off_manifold(replace(plan, edits=plan.edits.query("cell_id == 0")), Masks(1.0, 1.0))
