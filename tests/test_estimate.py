"""What an audit will cost is what it asks; what its interval will be comes near what it is."""
import numpy as np
import pandas as pd
import pytest

from isaac.core import InputError
from isaac.engine import cost, distinct_questions, duration, respond
from isaac.estimate import Precision, estimate, pilot_plan
from isaac.plan import Design, make_plan
from isaac.priors import prior_from_table

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


class Counting:
    "A drug's taste times how often K and W occur, K twice in the pocket; counts what it was asked."
    def __init__(self): self.asked = 0
    def predict(self, smiles, sequences):
        self.asked += len(smiles)
        return np.array([len(d) * (s.count("K") + s[40:70].count("K") + 0.3 * s.count("W")) for d, s in zip(smiles, sequences, strict=True)], float)


def planned(targets: int = 60, **design):
    rng = np.random.default_rng(0)
    sequences = {f"T{i:03}": "".join(rng.choice(LETTERS, 150)) for i in range(targets)}
    rows = [(d, t, d, s) for d in ("CCO", "CCN", "CCCCC", "CCCl") for t, s in sequences.items()]
    pairs = pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"]).rename_axis("pair_id").reset_index()
    pocket = pd.DataFrame([(t, p) for t in sequences for p in [*range(40, 46), *range(60, 68)]], columns=["target_id", "position"])
    options = {"operators": ("substitute",), "matchings": ("uniform", "domain"), "doses": (5, 10), "repeats": 4, "intervention_seeds": 2} | design
    return make_plan(pairs, prior_from_table(pocket, pairs.drop_duplicates("target_id")), design=Design(**options))


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


@pytest.mark.parametrize("seconds, said", [(12.4, "12 seconds"), (119, "2 minutes"), (7_199, "120 minutes"), (9_000, "2.5 hours")])
def test_duration(seconds, said): assert duration(seconds) == said


def test_a_pilot_asks_only_what_the_plan_asks():
    plan, condition = planned(), ("substitute", "domain", 5)
    part = pilot_plan(plan, condition, 10)
    questions = lambda plan: set(zip(*(plan.edits[c] for c in ("cell_id", "pair_id", "target_variant", "drug_variant")), strict=True))
    assert questions(part) < questions(plan) and part.pairs["sequence"].nunique() == 10
    assert set(part.cells["matching"].iloc[part.edits["cell_id"].unique()]) == {"none", "domain"}
    assert len(part.edits) == len(part.pairs) * (1 + 2 * 8)
    assert pilot_plan(plan, condition, 1_000).pairs["sequence"].nunique() == 60


def test_expected_width_by_hand():
    parts = Precision(drugs=0.0001, sequences=0.0003, draws=0.0012)
    assert parts.width(4) == pytest.approx(2 * 1.959964 * np.sqrt(0.0007), rel=1e-6)
    assert parts.draws_for(2 * 1.959964 * np.sqrt(0.0007) + 1e-9) == 4 and parts.draws_for(10.0) == 1
    assert parts.draws_for(2 * 1.95 * np.sqrt(0.0004)) is None
    assert parts.width(np.array([1, 2])).shape == (2,) and parts.width(4, level=0.5) < parts.width(4)


def test_estimated_width_comes_near_that_of_the_audit():
    from isaac.inference import bootstrap, bootstrap_error
    from isaac.scores import SCORES, contrast, response_matrix
    plan, model, condition = planned(), Counting(), ("substitute", "uniform", 10)
    found = estimate(plan, model, width=0.02, condition=condition, sequences=30)
    arms = contrast(plan, response_matrix(plan, respond(plan, model)), *condition)
    error = bootstrap_error(bootstrap([arms], plan.pairs["smiles"], plan.pairs["sequence"], 400, scores=(SCORES["RS"],))[0, 0])
    assert 0.7 < found.precision.width(found.draws) / (3.92 * error) < 1.4
    assert "RS (substitute / uniform / 10)" in str(found) and "8 draws" in str(found)
    assert str(estimate(plan, model)) .startswith(str(found.cost).split(" about ")[0])


def test_what_cannot_be_estimated():
    plan = planned(12)
    with pytest.raises(InputError, match="no such interval") as caught: estimate(plan, Counting(), 0.1, ("mask", "uniform", 5))
    assert "substitute / uniform / 5" in str(caught.value)
    for options in ({"score": "accuracy"}, {"width": 0.0}, {"width": float("nan")}):
        with pytest.raises(InputError, match="no such interval"): estimate(plan, Counting(), **{"width": 0.1} | options)
    with pytest.raises(InputError, match="several draws"): estimate(planned(12, repeats=1, intervention_seeds=1), Counting(), 0.1)
    with pytest.raises(InputError, match="1 sequences"): estimate(planned(1), Counting(), 0.1)
    with pytest.raises(InputError, match="does not respond"): estimate(plan, lambda smiles, sequences: np.zeros(len(smiles)), 0.1)
