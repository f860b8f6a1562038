"""What an audit will cost is what it asks; what its interval will be comes near what it is."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isaac.core import InputError
from isaac.engine import cost, distinct_questions, duration, respond
from isaac.estimate import Precision, estimate, pilot_plan, precision, supported
from isaac.inference import bootstrap, bootstrap_error
from isaac.plan import Design, make_plan
from isaac.priors import prior_from_table
from isaac.scan import scan_plan
from isaac.scores import SCORES, Contrast, contrast, response_matrix

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


class Counting:
    "How often K and W occur, K twice in the pocket, as each drug likes them; and each pair has a taste of its own. Counts what it was asked."
    def __init__(self): self.asked = 0
    def predict(self, smiles, sequences):
        self.asked += len(smiles)
        taste = [np.random.default_rng([len(d), ord(d[-1]), *s[140:].encode()]).lognormal(size=2) for d, s in zip(smiles, sequences, strict=True)]
        return np.array([len(d) * (s.count("K") + a * s[40:70].count("K") + 0.3 * b * s.count("W"))
                         for d, s, (a, b) in zip(smiles, sequences, taste, strict=True)], float)


def planned(targets: int = 60, lacking: int = 0, **design):
    "Two of three pairs of four drugs; the first `lacking` targets have a pocket that is too small."
    rng = np.random.default_rng(0)
    sequences = {f"T{i:03}": "".join(rng.choice(LETTERS, 150)) for i in range(targets)}
    rows = [(d, t, d, s) for i, d in enumerate(("CCO", "CCN", "CCCCC", "CCCl")) for j, (t, s) in enumerate(sequences.items()) if (i + j) % 3]
    pairs = pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"]).rename_axis("pair_id").reset_index()
    pocket = [(t, p) for i, t in enumerate(sequences) for p in [*range(40, 46), *range(60, 68)][:5 if i < lacking else None]]
    options = {"operators": ("substitute",), "matchings": ("uniform", "domain"), "doses": (5, 10), "repeats": 4, "intervention_seeds": 2} | design
    prior = prior_from_table(pd.DataFrame(pocket, columns=["target_id", "position"]), pairs.drop_duplicates("target_id"))
    return make_plan(pairs, prior, design=Design(**options))


def test_cost_is_what_will_be_asked():
    plan, model = planned(), Counting()
    q, found = distinct_questions(plan), cost(plan, model)
    assert (found.predictions, found.targets, found.drugs) == (len(q), len(q.targets), len(q.drugs)) and found.seconds > 0
    assert 0 < model.asked < 0.06 * len(q) # a small part
    assert f"{len(q):,} predictions" in str(found)
    edits = len(plan.edits) * 20
    assert edits < found.memory < 100 * edits


def test_cost_of_a_plan_of_one_target(): assert cost(planned(1), Counting()).targets == len(distinct_questions(planned(1)).targets)


def test_memory_grows_with_the_plan():
    small, large = cost(planned(20), Counting()).memory, cost(planned(60), Counting()).memory
    assert 2.5 < large / small < 3.5


@pytest.mark.parametrize("seconds, said", [(0.2, "a second"), (12.4, "12 seconds"), (119, "2 minutes"), (7_199, "120 minutes"), (9_000, "2.5 hours")])
def test_duration(seconds, said): assert duration(seconds) == said


def test_a_pilot_asks_only_what_the_plan_asks():
    plan, condition = planned(), ("substitute", "domain", 5)
    part = pilot_plan(plan, condition, 10)
    text = lambda plan, side: plan.variants["string"].iloc[plan.edits[f"{side}_variant"]]
    questions = lambda plan: set(zip(plan.edits["cell_id"], plan.edits["pair_id"], text(plan, "target"), text(plan, "drug"), strict=True))
    assert questions(part) < questions(plan) and part.pairs["sequence"].nunique() == 10
    assert len(distinct_questions(part).targets) == part.edits["target_variant"].nunique() # nothing that is not asked about
    assert set(part.cells["matching"].iloc[part.edits["cell_id"].unique()]) == {"none", "domain"}
    assert len(part.edits) == len(part.pairs) * (1 + 2 * 8)
    assert pilot_plan(plan, condition, 1_000).pairs["sequence"].nunique() == 60


def test_expected_width_by_hand():
    parts = Precision(drugs=0.0001, sequences=0.0003, draws=0.0012)
    assert parts.width(4) == pytest.approx(2 * 1.959964 * np.sqrt(0.0007), rel=1e-6)
    assert parts.draws_for(2 * 1.959964 * np.sqrt(0.0007) + 1e-9) == 4 and parts.draws_for(10.0) == 1
    assert parts.draws_for(2 * 1.95 * np.sqrt(0.0004)) is None
    assert parts.width(np.array([1, 2])).shape == (2,) and replace(parts, level=0.5).width(4) < parts.width(4)


def real_width(plan, condition, fixed=()):
    "Of the interval that an audit of the whole plan has."
    answers = respond(plan, Counting())
    arms = contrast(plan, response_matrix(plan, answers), *condition)
    pairs = supported(plan, condition)
    assert len(pairs) == len(arms.m)
    return 3.92 * bootstrap_error(bootstrap([arms], pairs["smiles"], pairs["sequence"], 400, fixed=fixed, scores=(SCORES["RS"],))[0, 0])


@pytest.mark.parametrize("lacking, fixed", [(0, ()), (0, ("drug",)), (0, ("sequence",)), (40, ())])
def test_estimated_width_comes_near_that_of_the_audit(lacking, fixed):
    plan, condition = planned(60 + lacking, lacking), ("substitute", "uniform", 10)
    found = estimate(plan, Counting(), width=0.02, condition=condition, sequences=30, fixed=fixed)
    assert 0.7 < found.precision.width(found.draws) / real_width(plan, condition, fixed) < 1.4
    assert "RS (substitute / uniform / 10)" in str(found) and "8 draws" in str(found)
    assert (found.precision.drugs == 0) or "drug" not in fixed


def test_pairs_that_are_unlike_are_not_taken_for_unlike_drugs():
    "A pilot has few pairs, an audit many; what is particular to pairs becomes small."
    g = np.random.default_rng(0)
    def world(n):
        d, s = np.divmod(np.sort(g.choice(60 * n, 12 * n, replace=False)), n)
        return Contrast(*np.exp(1.5 * g.normal(size=(2, len(d), 4)).mean(axis=2, keepdims=True) + np.zeros((1, 1, 4)))), d.astype(str), s.astype(str)
    expected = np.median([precision(*world(40), 400).width(4) for _ in range(5)])
    arms, d, s = world(400)
    real = 3.92 * bootstrap_error(bootstrap([arms], d, s, 400, scores=(SCORES["RS"],))[0, 0])
    assert 0.75 < expected / real < 1.35


def test_what_cannot_be_estimated():
    plan = planned(12)
    with pytest.raises(InputError, match="no such interval") as caught: estimate(plan, Counting(), 0.1, ("mask", "uniform", 5))
    assert "substitute / uniform / 5" in str(caught.value)
    for options in ({"score": "accuracy"}, {"width": 0.0}, {"width": float("nan")}):
        with pytest.raises(InputError, match="no such interval"): estimate(plan, Counting(), **{"width": 0.1} | options)
    with pytest.raises(InputError, match="several draws"): estimate(planned(12, repeats=1, intervention_seeds=1), Counting(), 0.1)
    with pytest.raises(InputError, match="1 sequences"): estimate(planned(1), Counting(), 0.1)
    with pytest.raises(InputError, match="has no falls_control"): estimate(plan, Counting(), 0.1, score="falls_control") # nobody is known to bind
    inside = planned(12, matchings=("uniform", "geometry_in_domain"), doses=(10,))
    if (inside.unauditable["matching"] == "geometry_in_domain").sum() == 12:
        with pytest.raises(InputError, match="0 sequences"): estimate(inside, Counting(), 0.1, ("substitute", "geometry_in_domain", 10))
    with pytest.raises(InputError, match="without arms"): estimate(scan_plan(plan.pairs), Counting(), 0.1)
    with pytest.raises(InputError, match="does not respond"): estimate(plan, lambda smiles, sequences: np.zeros(len(smiles)), 0.1)
