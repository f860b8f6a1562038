"""Codes of edited targets from those of their parents are the codes of the targets, whatever is edited."""
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isaac.core import IsaacError
from isaac.engine import Respondent, cut, distinct_questions, respond, steps
from isaac.models import TAPB, DeepConvDTI, DeepDTA, untrained
from isaac.models.encoders import Tokens
from isaac.models.reuse import Runs, maxima, met, others, runs_that_see
from isaac.scan import scan_plan

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWYX"))


@given(st.integers(1, 12), st.integers(0, 60), st.lists(st.lists(st.integers(0, 70), max_size=6), min_size=1, max_size=5))
def test_runs_and_the_others_are_all_windows_once(window, more, places):
    tokens = window + more
    edited = np.zeros((len(places), tokens), bool)
    for row, mine in enumerate(places): edited[row, [p for p in mine if p < tokens]] = True
    runs = runs_that_see(edited, window)
    rest, windows = others(runs, len(places), more + 1), np.zeros((len(places), more + 1), int)
    for kind, stretch in ((1, runs), (2, rest)):
        for text, first, last in zip(stretch.text, stretch.first, stretch.last, strict=True): windows[text, first:last] += kind
    assert np.isin(windows, (1, 2)).all() # each is in one, and in one alone
    seen = np.stack([edited[:, j:j + window].any(axis=1) for j in range(more + 1)], axis=1)
    assert (windows[seen] == 1).all()
    same = runs.text[1:] == runs.text[:-1]
    assert (runs.first[1:] - runs.last[:-1])[same].min(initial=window) >= window - 1 # nearer ones are one
    for text in range(len(places)): # and what joins two runs is not longer than that
        idle = np.flatnonzero((windows[text] == 1) & ~seen[text])
        assert len(idle) == 0 or max(map(len, np.split(idle, np.flatnonzero(np.diff(idle) > 1) + 1))) < window - 1


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_maxima_of_every_stretch(n, seed):
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 2)))
    first, last = np.triu_indices(n + 1, 1)
    found = maxima(values, Runs(np.zeros_like(first), first, last))
    assert all(torch.equal(found[i], values[a:b].amax(0)) for i, (a, b) in enumerate(zip(first, last, strict=True)))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 3), st.integers(0, 3))
def test_padded_tokens(lengths, before, after):
    lengths = np.array(lengths)
    tokens = Tokens(np.arange(lengths.sum(), dtype=np.uint8), lengths, 99)
    texts = np.split(tokens.flat, np.cumsum(lengths)[:-1])
    padded = tokens.padded(before, after)
    assert np.array_equal(padded.flat, np.concatenate([np.pad(t, (before, after), constant_values=99) for t in texts]))
    assert np.array_equal(padded.lengths, lengths + before + after)


def edited(parent: str, rng: np.random.Generator) -> list[str]:
    "The parent itself, single residues at both ends and anywhere, neighbours, scattered ones, and a longer and a shorter sequence."
    n = len(parent)
    sets = [[], [0], [n - 1], rng.integers(n, size=1), np.arange(n // 3, min(n // 3 + 3, n)), rng.integers(n, size=max(1, n // 3)), np.arange(n),
            *rng.integers(n, size=(20, 1))]
    made = []
    for where in sets:
        letters = np.array(list(parent))
        letters[np.asarray(where, int)] = rng.choice(LETTERS, len(where))
        made.append("".join(letters))
    return [*made, parent + "K", parent[1:] or parent]


SMALL = {DeepDTA: {"max_target_length": 150, "channels": [4, 6, 8], "embedding": 8, "hidden": [16]},
         DeepConvDTI: {"max_target_length": 150, "kernels": [4, 7, 10], "filters": 6, "drug_hidden": [8], "target_hidden": 8, "hidden": 8},
         TAPB: {"max_target_length": 150, "width": 16, "heads": 2, "layers": 1}}


def small(kind, seed: int = 0):
    "A small network with weights of both signs everywhere."
    torch.manual_seed(seed)
    model = kind(**SMALL[kind]).eval()
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if values.is_floating_point() and not name.startswith("output"): values.normal_().abs_() if "running_var" in name else values.normal_()
    return model


@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("kind", [DeepDTA, DeepConvDTI])
@given(length=st.sampled_from([1, 9, 10, 21, 22, 23, 60, 149, 150, 151, 300]), seed=st.integers(0, 10**6))
def test_codes_are_the_same(kind, length, seed):
    rng, model = np.random.default_rng(seed), small(kind)
    parents = ["".join(rng.choice(LETTERS, length)) for _ in range(2)]
    texts = [(t, p) for p in parents for t in edited(p, rng)] + [(parents[0], None)]
    rng.shuffle(texts)
    made, of = zip(*texts, strict=True)
    with torch.inference_mode():
        whole, near = model.target_codes(made), model.edited_target_codes(made, of)
        assert torch.allclose(near, whole, rtol=1e-4, atol=1e-4)
        assert torch.allclose(model.edited_target_codes(made, [None] * len(made)), whole, rtol=1e-6, atol=1e-6)


def test_models_without_windows_encode_as_always():
    model, texts = untrained(TAPB, 0), ["ACDEFGHIKL", "ACDEFGHIKV"]
    assert torch.equal(model.encode_edited(texts, [texts[0]] * 2).states, model.encode_targets(texts).states)


def test_a_scan_reads_few_residues(monkeypatch):
    rng = np.random.default_rng(0)
    targets = {f"T{i}": "".join(rng.choice(LETTERS[:20], 400)) for i in range(2)}
    pairs = pd.DataFrame([(i, d, t, d, s) for i, (d, (t, s)) in enumerate((d, item) for d in ("CCO", "CCN") for item in targets.items())],
                         columns=["pair_id", "drug_id", "target_id", "smiles", "sequence"])
    model, read = untrained(DeepDTA, 0), []
    plan, first_layer = scan_plan(pairs), model.target_tower.first_layer
    monkeypatch.setattr(model.target_tower, "first_layer", lambda tokens: read.append(tokens.numel()) or first_layer(tokens))
    found = respond(plan, model)
    asked_again, of_edits = 3 * 48 + 16, len(plan.variants) # by the self-check, of whole sequences
    assert sum(read) < 400 * asked_again + 60 * of_edits < 400 * of_edits
    monkeypatch.setattr(type(model), "edited_target_codes", lambda self, sequences, parents: self.target_codes(sequences))
    assert np.allclose(respond(plan, model).table["value"], found.table["value"], atol=1e-5)
    assert found.account["self_check"] < 1e-5


def test_answers_do_not_depend_on_how_steps_are_handed_out():
    "A worker gets some steps by themselves; what it knows of parents must be the same."
    rng = np.random.default_rng(0)
    targets = {f"T{i}": "".join(rng.choice(LETTERS[:20], 60 + i)) for i in range(4)}
    pairs = pd.DataFrame([(i, "d", t, "CCO", s) for i, (t, s) in enumerate(targets.items())],
                         columns=["pair_id", "drug_id", "target_id", "smiles", "sequence"])
    for model in (untrained(DeepDTA, 0), untrained(DeepConvDTI, 0)):
        q = distinct_questions(scan_plan(pairs))
        who, bounds = Respondent.of(model, q.drugs), steps(q, 16, True)
        whole = who(cut(q, bounds))
        parts = [who(cut(q, bounds[i:i + 4])) for i in range(0, len(bounds) - 1, 3)]
        assert np.array_equal(np.concatenate(parts), whole)
        with torch.inference_mode(): plain = who.by_predict(q, np.arange(len(q)))
        assert np.abs(plain - whole).max() <= 1e-5


def test_codes_that_are_not_those_of_the_parents_targets_are_found_out():
    class Wrong(DeepDTA):
        def edited_target_codes(self, sequences, parents):
            return super().edited_target_codes(sequences, parents) + (0.1 if len(set(parents)) < len(parents) else 0)
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"pair_id": [0], "drug_id": "d", "target_id": "t", "smiles": "CCO", "sequence": "".join(rng.choice(LETTERS[:20], 300))})
    with pytest.raises(IsaacError, match="encode_edited"): respond(scan_plan(pairs), untrained(Wrong, 0))


@settings(max_examples=30, deadline=None)
@given(drugs=st.integers(1, 4), pairs=st.integers(1, 150), hidden=st.sampled_from([(8,), (16, 8), (16, 8, 4)]), at_once=st.sampled_from([7, 4_096]),
       seed=st.integers(0, 10**6))
def test_a_head_without_its_silent_units_says_the_same(drugs, pairs, hidden, at_once, seed):
    torch.manual_seed(seed)
    rng, widths = np.random.default_rng(seed), (7, *hidden)
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.5))]
    head = nn.Sequential(*layers, nn.Linear(widths[-1], 2)).eval()
    codes = torch.randn(drugs, 3), torch.randn(50, 4)
    drug, target = rng.integers(drugs, size=pairs), rng.integers(50, size=pairs)
    with torch.inference_mode():
        usual = head(torch.cat([codes[0][drug], codes[1][target]], 1))
        assert torch.allclose(met(head, *codes, drug, target, at_once), usual, atol=1e-5)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_broken_head_is_not_mended(broken):
    model = untrained(DeepDTA, 0)
    with torch.no_grad(): model.head[0].weight[:] = broken
    codes, where = (model.encode_drugs(["CCO"]), model.encode_targets(["ACDEFGHIKL" * 3])), np.zeros(30, int)
    assert not np.isfinite(model.score(codes[0][where], codes[1][where])).any()
    assert not np.isfinite(model.score_crossed(*codes, where, where)).any()


def test_scores_of_all_pairs_of_a_drug_that_are_not_those_of_each_are_found_out():
    class Wrong(DeepDTA):
        def score_crossed(self, drug_codes, target_codes, drug, target):
            return super().score_crossed(drug_codes, target_codes, drug, target) + (0.1 if len(target) > 20 and len(set(drug)) == 1 else 0)
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"pair_id": [0], "drug_id": "d", "target_id": "t", "smiles": "CCO", "sequence": "".join(rng.choice(LETTERS[:20], 300))})
    with pytest.raises(IsaacError, match="score_crossed"): respond(scan_plan(pairs), untrained(Wrong, 0))
