"""Answers survive whatever kills the process that collects them, and are the same from any number of workers."""
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaac import shards
from isaac.audit import audit, find_runs
from isaac.core import InputError, IsaacError, write_json
from isaac.engine import cut, distinct_questions, respond
from isaac.models import DeepDTA
from isaac.models.encoders import untrained
from isaac.plan import Design, make_plan
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import prior_from_table
from isaac.shards import Interrupted, Shards, kept_answers, shard_bounds, sharing

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

    def encode_drugs(self, smiles): return np.array([[len(s)] for s in smiles], float)

    def encode_targets(self, sequences):
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


MOMENTS = [("manifest.json", 1, "before"), ("manifest.json", 1, "after"), ("0*.parquet", 1, "before"), ("0*.parquet", 7, "after"),
           ("0*.parquet", 20, "before"), ("0*.parquet", 20, "after"), ("responses.parquet", 1, "before"), ("scores.csv", 1, "after"),
           ("report.html", 1, "after"), ("manifest.json", 1, "before"), ("manifest.json", 1, "after")] # in the last two, it becomes finished


def killed_at(moment, audited):
    "Run an audit in a process that kills itself when the n-th file of that name gets its final name."
    (pattern, nth, when), replaced, count = moment, os.replace, [0]
    def replace(source, target):
        count[0] += Path(target).match(pattern)
        now = count[0] == nth and Path(target).match(pattern)
        if not (now and when == "before"): replaced(source, target)
        if now: os.kill(os.getpid(), signal.SIGKILL)
    def child():
        os.replace = replace
        audited()
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_an_audit_killed_at_any_moment_ends_as_if_it_had_not_been(pairs, prior, tmp_path):
    audited = lambda **how: audit(Weighing(), pairs, prior, **OPTIONS, **how)
    whole, kept = audited(), []
    for i, moment in enumerate(MOMENTS):
        if i < len(MOMENTS) - 2: killed_at(moment, lambda: audited(out=tmp_path / "run"))
        else: # the manifest that ends it is the second one of a new audit, and the first of one that goes on
            killed_at((moment[0], 2 if not (tmp_path / f"other{i}").exists() else 1, moment[2]), lambda i=i: audited(out=tmp_path / f"other{i}"))
        if (tmp_path / "run" / "manifest.json").exists(): kept.append(find_runs(tmp_path / "run")["state"][0])
    answers = [int(state.split()[1]) for state in kept[:5]]
    shard = answers[2] // 7
    assert shard > 0 and answers == [0, 0, 7 * shard, 26 * shard, 46 * shard] # what was answered is kept to the shard, and counted on
    for run in ("run", f"other{len(MOMENTS) - 2}", f"other{len(MOMENTS) - 1}"):
        result = audited(out=tmp_path / run)
        pd.testing.assert_frame_equal(result.responses.table, whole.responses.table)
        pd.testing.assert_frame_equal(result.scores(), whole.scores())
        assert not (tmp_path / run / "answers").exists() and find_runs(tmp_path / run)["state"].tolist() == ["finished"]


def test_what_is_kept_is_not_asked_again(plan, tmp_path):
    whole, first = respond(plan, Weighing(), chunk=4), respond(plan, Weighing(), chunk=4, keep=tmp_path)
    again = respond(plan, Weighing(), chunk=4, keep=tmp_path)
    assert first.account["kept"] == 0 and again.account["kept"] == again.account["predicted"]
    assert first.table.equals(whole.table) and again.table.equals(whole.table)
    other_steps = respond(plan, Weighing(), chunk=5, keep=tmp_path)
    assert other_steps.account["kept"] == 0 and other_steps.table.equals(whole.table)


def lysines(weight, broken=()): # a function is known by its name alone
    def named(smiles, sequences): return [float("nan") if t in broken else weight * t.count("K") for t in sequences]
    return FunctionPredictor(named)


def test_answers_of_another_model_of_the_same_name_are_refused(plan, tmp_path):
    respond(plan, lysines(1.0), chunk=1, keep=tmp_path)
    files = sorted(tmp_path.glob("*/0*.parquet"))
    for path in files[1:]: path.unlink() # one shard is enough to tell
    with pytest.raises(Interrupted, match="holds answers of another model"): respond(plan, lysines(2.0), chunk=1, keep=tmp_path)


@pytest.mark.parametrize("workers", [None, 2])
def test_what_was_no_number_is_asked_again(plan, workers, tmp_path):
    some = plan.variants.query("side == 'target'")["string"].tolist()[40:42]
    with sharing(workers):
        with pytest.raises(InputError, match="no finite number"): respond(plan, lysines(1.0, some), chunk=1, keep=tmp_path)
        mended = respond(plan, lysines(1.0), chunk=1, keep=tmp_path)
    assert 0 < mended.account["kept"] < mended.account["predicted"] and mended.table.equals(respond(plan, lysines(1.0), chunk=1).table)


class Untrained(Weighing):
    "Known by its name alone, as its copies are."
    seed = 0
    def untrained(self, seed):
        copy = Untrained()
        copy.weights = np.random.default_rng(seed + 2).normal(size=(256, 60))
        return copy


def test_nulls_are_the_same_where_answers_are_kept(pairs, prior, tmp_path):
    config = OPTIONS | dict(initialisations=3, placebos=5, matchings=["geometry"])
    one, other = audit(Untrained(), pairs, prior, **config), audit(Untrained(), pairs, prior, out=tmp_path / "run", **config)
    assert len(one.nulls.networks) == 3 and one.nulls.networks["log_odds"].nunique() == 3
    pd.testing.assert_frame_equal(one.nulls.networks, other.nulls.networks)
    pd.testing.assert_frame_equal(one.nulls.placebo, other.nulls.placebo)


def test_an_accident_among_the_nulls_leaves_the_audit_unfinished(pairs, prior, tmp_path, monkeypatch):
    config, written = OPTIONS | dict(initialisations=2, matchings=["geometry"]), shards.write_table
    def full(path, table):
        if "network1" in str(path): raise OSError(28, "No space left on device")
        return written(path, table)
    monkeypatch.setattr(shards, "write_table", full)
    with pytest.raises(Interrupted, match="No space left"): audit(Untrained(), pairs, prior, out=tmp_path / "run", **config)
    assert find_runs(tmp_path)["state"][0].startswith("unfinished")
    monkeypatch.undo()
    assert len(audit(Untrained(), pairs, prior, out=tmp_path / "run", **config).nulls.networks) == 2


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


class Peculiar(Exception):
    "Does not survive pickling."
    def __init__(self, one, two): super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("kind,given,raised,text", [(ArithmeticError, ["so it says"], ArithmeticError, "so it says"),
                                                    (Peculiar, ["this", "that"], IsaacError, "Peculiar: this and that")])
def test_what_a_model_raises_in_a_worker_is_raised_here(plan, kind, given, raised, text):
    home = os.getpid()
    def fails(smiles, sequences):
        if os.getpid() != home: raise kind(*given)
        return [t.count("K") for t in sequences]
    with sharing(2), pytest.raises(raised, match=f"^{text}$") as caught: respond(plan, fails)
    assert "in fails" in str(caught.value.__cause__) # where in the model's code


def test_one_deadly_shard_does_not_cost_a_round_for_every_other(tmp_path, monkeypatch):
    rounds, once = [], shards._round
    monkeypatch.setattr(shards, "_round", lambda *given: (rounds.append(1), once(*given)))
    def deadly(): return lambda questions: os.kill(os.getpid(), signal.SIGKILL) if questions == 0 else np.zeros(1)
    todo = [np.array([i, i + 1]) for i in range(60)]
    with sharing(2), pytest.raises(Interrupted, match="Workers die of the same questions"):
        shards.share_out(deadly, todo, lambda bounds: int(bounds[0]), Shards(tmp_path))
    assert len(rounds) <= 8 and kept_answers(tmp_path) >= 55


def test_a_shard_takes_along_no_drugs(plan):
    q = distinct_questions(plan)
    assert cut(q, np.array([0, 10]))[0].drugs == [] and len(cloudpickle.dumps(cut(q, np.array([0, 10])))) < 3_000


def test_workers_find_the_folder_from_wherever_they_run(plan, tmp_path, monkeypatch):
    with sharing(2):
        respond(plan, Weighing(), chunk=4) # they start where the tests run
        monkeypatch.chdir(tmp_path)
        found = respond(plan, Weighing(), chunk=4, keep="answers")
    assert found.table.equals(respond(plan, Weighing(), chunk=4).table) and kept_answers(tmp_path / "answers") == found.account["predicted"]


def test_unknown_backends_and_no_workers_are_refused():
    with pytest.raises(InputError, match="(?s)workers 0 – not 1 or more.*backend 'slurm' – not one of loky, dask, ray"):
        with sharing(0, "slurm"): pass
    with pytest.raises(InputError, match="backend 'dask' – without a number of workers"):
        with sharing(None, "dask"): pass


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
    with pytest.raises(Interrupted, match="No space left on device.*make room"): respond(plan, Weighing(), chunk=4, keep=tmp_path)
    monkeypatch.undo()
    again = respond(plan, Weighing(), chunk=4, keep=tmp_path)
    assert again.account["kept"] > 0 and again.table.equals(respond(plan, Weighing(), chunk=4).table)
    assert not [p for p in tmp_path.glob("*/.*")]


def test_a_tuned_step_is_noted_and_kept(tmp_path, plan):
    with pytest.raises(InputError, match="chunk.*'best'.*neither 1 or more nor 'tuned'"): respond(plan, Weighing(), chunk="best")
    first = respond(plan, Weighing(), chunk="tuned", keep=tmp_path)
    assert first.account["chunk"] == 256 and first.table.equals(respond(plan, Weighing()).table) # too few targets to tune for
    note, = tmp_path.glob("*.json")
    write_json(note, {"chunk": 7}) # as another machine may have found
    other = respond(plan, Weighing(), chunk="tuned", keep=tmp_path)
    assert other.account["chunk"] == 7 and other.account["kept"] == 0
    assert respond(plan, Weighing(), chunk="tuned", keep=tmp_path).account["kept"] == other.account["predicted"]
