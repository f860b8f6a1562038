"""Answers survive whatever kills the process that collects them, and are the same from any number of workers."""
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaac import shards
from isaac.audit import audit, find_runs
from isaac.core import InputError, IsaacError
from isaac.engine import respond
from isaac.models import DeepDTA
from isaac.models.encoders import untrained
from isaac.plan import Design, make_plan
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import prior_from_table
from isaac.shards import Shards, shard_bounds, sharing

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
OPTIONS = dict(operators=["substitute"], matchings=["uniform"], doses=[4], repeats=4, intervention_seeds=2, bootstrap_draws=100, chunk=4,
               progress=False)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    rows = [(3 * i + j, f"d{j}", f"t{i}", "C" * (1 + j), "".join(rng.choice(list(LETTERS), 60))) for i in range(12) for j in range(3)]
    frame = pd.DataFrame(rows, columns=["pair_id", "drug_id", "target_id", "smiles", "sequence"])
    return frame.assign(sequence=frame.groupby("target_id")["sequence"].transform("first"))


@pytest.fixture(scope="module")
def prior(pairs):
    table = pd.DataFrame([(t, p) for t in pairs["target_id"].unique() for p in range(20, 32)], columns=["target_id", "position"])
    return prior_from_table(table, pairs[["target_id", "sequence"]].drop_duplicates(), base=0)


@pytest.fixture(scope="module")
def plan(pairs, prior): return make_plan(pairs, prior, Reading(), Design(operators=("substitute",), doses=(4,), repeats=4, intervention_seeds=2))


class Weighing:
    "Weighs residues by place; a predictor whose answers are worth comparing to the last bit."
    weights = np.random.default_rng(1).normal(size=(256, 60))
    pause = 0.0 # seconds per step

    def encode_drugs(self, smiles): return np.array([[len(s)] for s in smiles], float)

    def encode_targets(self, sequences):
        time.sleep(self.pause)
        return np.array([[sum(self.weights[ord(c), i] for i, c in enumerate(t))] for t in sequences])

    def score(self, drug_codes, target_codes): return (drug_codes * target_codes)[:, 0]
    def predict(self, smiles, sequences): return self.score(self.encode_drugs(smiles), self.encode_targets(sequences))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 40))
def test_shards_are_whole_steps_and_cover_every_question_once(sizes, most):
    steps = np.concatenate([[0], np.cumsum(sizes)])
    cut = shard_bounds(steps, most)
    assert len(cut) <= most and all(np.isin(b, steps).all() for b in cut)
    assert [b[0] for b in cut] == [0, *(b[-1] for b in cut[:-1])] and cut[-1][-1] == steps[-1]
    assert sum(len(b) - 1 for b in cut) == len(sizes)


def test_an_audit_killed_at_ten_moments_ends_as_if_it_had_not_been(pairs, prior, tmp_path):
    whole, model = audit(Weighing(), pairs, prior, **OPTIONS), Weighing()
    model.pause = 0.02
    child = lambda: audit(model, pairs, prior, out=tmp_path / "run", **OPTIONS)
    for seconds in np.random.default_rng(2).uniform(0.05, 0.6, 10):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    before = find_runs(tmp_path).iloc[0]
    assert before["state"].startswith("unfinished, ") and before["pairs"] == len(pairs) and np.isnan(before["value"])
    result = audit(Weighing(), pairs, prior, out=tmp_path / "run", **OPTIONS)
    assert find_runs(tmp_path)[["run", "state"]].values.tolist() == [[str(tmp_path / "run"), "finished"]]
    pd.testing.assert_frame_equal(result.responses.table, whole.responses.table)
    pd.testing.assert_frame_equal(result.scores(), whole.scores())
    assert not (tmp_path / "run" / "answers").exists()


def test_what_is_kept_is_not_asked_again(plan, tmp_path):
    whole, first = respond(plan, Weighing(), chunk=4), respond(plan, Weighing(), chunk=4, keep=tmp_path)
    again = respond(plan, Weighing(), chunk=4, keep=tmp_path)
    assert first.account["kept"] == 0 and again.account["kept"] == again.account["predicted"]
    assert first.table.equals(whole.table) and again.table.equals(whole.table)
    other_steps = respond(plan, Weighing(), chunk=5, keep=tmp_path)
    assert other_steps.account["kept"] == 0 and other_steps.table.equals(whole.table)


def test_answers_of_another_model_of_the_same_name_are_refused(plan, tmp_path):
    def named(weight): return FunctionPredictor(lambda smiles, sequences: [weight * t.count("K") for t in sequences])
    respond(plan, named(1.0), keep=tmp_path)
    with pytest.raises(IsaacError, match="holds answers of another model"): respond(plan, named(2.0), keep=tmp_path)


def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path):
    kept = Shards(tmp_path)
    kept.write(0, np.zeros(4))
    (tmp_path / f"{0:012d}-{4:012d}.parquet").rename(tmp_path / f"{0:012d}-{5:012d}.parquet")
    with pytest.raises(InputError, match="not what its name says"): kept.read(8)
    (tmp_path / f"{0:012d}-{5:012d}.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"): kept.read(8)


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_neither_workers_nor_shards_change_a_bit(plan, most, monkeypatch, one_thread):
    monkeypatch.setattr("isaac.engine.shard_bounds", lambda steps: shard_bounds(steps, most))
    model = untrained(DeepDTA, 0)
    whole = respond(plan, model, chunk=16)
    for workers in (1, 2, 4) if most == 3 else (2,):
        with sharing(workers): assert respond(plan, model, chunk=16).table.equals(whole.table)


class Mortal(Weighing):
    "Kills its worker once: when it first encodes a whole step in another process."
    def __init__(self, mark: Path): self.mark, self.home = mark, os.getpid()

    def encode_targets(self, sequences):
        if os.getpid() != self.home and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_targets(sequences)


def test_a_dead_worker_costs_its_shard_and_no_number(plan, tmp_path):
    with sharing(2):
        found = respond(plan, Mortal(tmp_path / "died"), chunk=4, keep=tmp_path / "answers")
    assert (tmp_path / "died").exists() and found.table.equals(respond(plan, Weighing(), chunk=4).table)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_clusters_give_the_same_bits_though_a_worker_dies(plan, backend, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__]) # a cluster does not see this file
    with sharing(2, backend): found = respond(plan, Mortal(tmp_path / "died"), chunk=4, keep=tmp_path / "answers")
    assert (tmp_path / "died").exists() and found.table.equals(respond(plan, Weighing(), chunk=4).table)


def test_what_a_model_raises_in_a_worker_is_raised_as_it_is(plan):
    home = os.getpid()
    def fails(smiles, sequences):
        if os.getpid() != home: raise ArithmeticError("so it says")
        return [t.count("K") for t in sequences]
    with sharing(2), pytest.raises(Exception, match="so it says"): respond(plan, fails)


def test_unknown_backends_and_no_workers_are_refused():
    with pytest.raises(InputError, match="(?s)workers 0 – not 1 or more.*backend 'slurm' – not one of loky, dask, ray"):
        with sharing(0, "slurm"): pass


def test_a_model_that_cannot_travel_is_audited_here_or_not_at_all(plan):
    lock = threading.Lock()
    predictor = FunctionPredictor(lambda smiles, sequences, lock=lock: [t.count("K") for t in sequences])
    assert len(respond(plan, predictor).table) == len(plan.edits)
    with sharing(2), pytest.raises(IsaacError, match="cannot be sent to workers"): respond(plan, predictor)


def test_a_full_disk_says_so_and_keeps_what_is_there(plan, tmp_path, monkeypatch):
    written = shards.write_table
    def full(path, table):
        if len(list(path.parent.glob("0*.parquet"))) == 2: raise OSError(28, "No space left on device")
        return written(path, table)
    monkeypatch.setattr(shards, "write_table", full)
    with pytest.raises(IsaacError, match="No space left on device.*make room"): respond(plan, Weighing(), chunk=4, keep=tmp_path)
    monkeypatch.undo()
    again = respond(plan, Weighing(), chunk=4, keep=tmp_path)
    assert again.account["kept"] > 0 and again.table.equals(respond(plan, Weighing(), chunk=4).table)
    assert not [p for p in tmp_path.glob("*/.*")]
