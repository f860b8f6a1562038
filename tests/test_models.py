"""Models and training: what a prediction may depend on, what a gradient reaches, what a checkpoint keeps, what a training may see."""
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import MOTIF_DRUGS as DRUGS
from toy import motif_data as toy

from isaac.core import InputError, IsaacError
from isaac.datasets import load_davis
from isaac.models.deepdta import DeepDTA
from isaac.models.encoders import PROTEIN, SMILES, ConvTower, convolve_tokens, encode_texts, length_batches, untrained
from isaac.models.training import Grid, GridTraining, TrainingConfig, device_of, fit, grid_blocks, target_blocks, train
from isaac.predictors import Predictor, TwoTower, reading

pytestmark = pytest.mark.usefixtures("one_thread")

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
RECEPTIVE = 1 + 3 * (8 - 1)
TOWER = untrained(DeepDTA, 0).target_tower
SMALL = {"channels": (8, 12, 16), "embedding": 12, "hidden": (32, 32, 16)}


@pytest.fixture(scope="module")
def model() -> DeepDTA: return untrained(DeepDTA, seed=3)


def protein(length: int, seed: int = 0, letters: str = PROTEIN.symbols) -> str:
    return "".join(np.random.default_rng([seed, length]).choice(list(letters), length))


# ---- tokens and batches

@given(st.lists(st.text(PROTEIN.symbols, min_size=1, max_size=40), min_size=1, max_size=8), st.integers(1, 30))
def test_tokens_are_the_letters(texts, limit):
    tokens = PROTEIN.tokenize(texts, limit)
    batch = tokens.batch(np.arange(len(texts)), width=5)
    assert ["".join((PROTEIN.symbols + "·")[t] for t in row).rstrip("·") for row in batch] == [t[:limit] for t in texts]
    assert batch.shape[1] == max(5, tokens.lengths.max())


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 5000))
def test_length_batches_are_a_partition_within_the_budget(lengths, budget):
    lengths = np.array(lengths, int)
    batches = length_batches(lengths, budget)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= budget for b in batches)


def test_unreadable_texts_are_all_named():
    with pytest.raises(InputError) as caught: SMILES.tokenize(["CCO", "C€C", "", None, "C{C}"])
    assert caught.value.table["where"].tolist() == ["item 1", "item 2", "item 3", "item 4"]
    assert "'€'" in str(caught.value) and "'{' '}'" in str(caught.value)
    with pytest.raises(InputError, match="'j'"): PROTEIN.tokenize(["MKV" * 10 + "j"], max_length=5)


def test_every_letter_of_both_charsets_is_read(model):
    codes = model.encode_targets([letter * 30 for letter in PROTEIN.symbols])
    assert len(torch.unique(codes, dim=0)) == 25
    assert len(torch.unique(model.encode_drugs([c * 30 for c in SMILES.symbols]), dim=0)) == 64


# ---- towers

@pytest.mark.parametrize("symbols", [1, 26, 256, 257, 900]) # a table, then vectors of residues' own
def test_tokens_are_convolved_as_their_vectors_are(symbols):
    generator = torch.Generator().manual_seed(0)
    vectors, weight = torch.randn(symbols, 6, generator=generator), torch.randn(4, 6, 5, generator=generator)
    tokens = torch.randint(symbols, (40,), generator=generator)
    asked = vectors.requires_grad_(), weight.requires_grad_()
    found = convolve_tokens(tokens.unfold(0, 5, 1), *asked)
    expected = torch.nn.functional.conv1d(vectors[tokens].T, weight).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(*(torch.autograd.grad(h.square().sum(), asked) for h in (found, expected)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("channels", [(7,), (4, 6), (4, 6, 8, 5)])
@pytest.mark.parametrize("kernel", [1, 4, 9])
def test_tower_equals_the_textbook_convolution(channels, kernel):
    torch.manual_seed(0)
    tower = ConvTower(25, kernel, channels, embedding=10)
    for length in (tower.receptive_field, tower.receptive_field + 1, 3 * tower.receptive_field + 5):
        tokens = torch.from_numpy(PROTEIN.tokenize([protein(length)]).flat.astype(int))[None]
        h = tower.embedding(tokens).transpose(1, 2)
        for convolution in tower.convolutions: h = torch.relu(convolution(h))
        assert torch.allclose(tower(tokens, torch.tensor([length])), h.amax(2), atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 1300), min_size=1, max_size=5), st.integers(1, 20_000), st.integers(0, 200))
def test_code_depends_on_neither_padding_nor_company(lengths, budget, extra):
    tower = TOWER
    texts = [protein(n, seed=i) for i, n in enumerate(lengths)]
    tokens = PROTEIN.tokenize(texts, 1_200)
    with torch.inference_mode():
        together = encode_texts(tower, tokens, budget)
        padded = tower(tokens.batch(np.arange(len(texts)), max(lengths) + RECEPTIVE + extra), torch.from_numpy(tokens.lengths))
        alone = torch.cat([encode_texts(tower, PROTEIN.tokenize([t], 1_200)) for t in texts])
    assert torch.allclose(together, alone, atol=1e-5) and torch.allclose(padded, alone, atol=1e-5)


def test_a_short_text_has_one_window_and_differs_from_its_extension(model):
    short = protein(RECEPTIVE - 5)
    codes = model.encode_targets([short, short + "X", short[:-1]])
    assert len(torch.unique(codes, dim=0)) == 3


def test_gradients_reach_every_parameter(model):
    copy = untrained(model, 3).train()
    drug, target = np.divmod(np.arange(12), 3)
    copy(DRUGS, [protein(300, letters="ACDEFGHIKLMNPQRSTVWY"), protein(10), protein(1_500)], drug, target).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in copy.parameters())


def test_batch_with_gradient_equals_prediction(model):
    drug, target = np.divmod(np.arange(8), 2)
    texts = [protein(250), protein(90)]
    block = model(DRUGS, texts, drug, target).detach().numpy()
    assert block == pytest.approx(model.predict([DRUGS[i] for i in drug], [texts[i] for i in target]), abs=1e-5)


# ---- DeepDTA as a predictor

def test_deepdta_is_a_two_tower_predictor(model):
    assert isinstance(model, Predictor) and isinstance(model, TwoTower)
    assert vars(reading(model)) == {"scale": "affinity", "max_target_length": 1_200, "truncation": "right", "mask_token": "X"}


def test_prediction_is_score_of_codes_and_rows_stay_in_place(model):
    sequences = [protein(n) for n in (400, 15, 1_300, 700, 22)]
    drug, target = np.random.default_rng(0).integers(0, 4, 50), np.random.default_rng(1).integers(0, 5, 50)
    predicted = model.predict([DRUGS[i] for i in drug], [sequences[i] for i in target])
    codes = model.encode_drugs(DRUGS), model.encode_targets(sequences)
    assert predicted.shape == (50,) and predicted.dtype == np.float32
    assert predicted == pytest.approx(model.score(codes[0][drug], codes[1][target]), abs=1e-6)
    assert predicted == pytest.approx(model.score(*(c.numpy()[i] for c, i in zip(codes, (drug, target), strict=True))), abs=1e-6)
    order = np.random.default_rng(2).permutation(50)
    assert model.predict([DRUGS[i] for i in drug[order]], [sequences[i] for i in target[order]]) == pytest.approx(predicted[order], abs=1e-5)


def test_what_is_cut_is_not_read_and_what_is_read_matters(model):
    long = protein(1_300)
    predicted = [model.predict(DRUGS[:1], [t])[0] for t in (long, long[:1_200], long[:1_200] + protein(400, 9))]
    assert len(set(predicted)) == 1
    long_drug = "C" * 99 + "NOOOOO"
    assert np.array_equal(model.encode_drugs([long_drug]), model.encode_drugs([long_drug[:100]]))
    assert not np.array_equal(model.encode_drugs([long_drug]), model.encode_drugs([long_drug[:99]]))


def test_training_mode_changes_no_prediction_and_is_kept(model):
    copy = untrained(model, 3)
    expected = copy.predict(DRUGS, [protein(200)] * 4)
    copy.train()
    assert np.array_equal(copy.predict(DRUGS, [protein(200)] * 4), expected) and copy.training and copy.head.training


@pytest.mark.parametrize(("smiles", "sequences", "message"), [
    (["CCO"], ["MKV", "MKV"], "1 SMILES for 2 sequences"),
    ("CCO", ["MKV"], "expected a sequence of texts"),
    (["CCO"], ["mkv"], "unknown characters 'k' 'm' 'v'"),
    (["CCO"], [""], "not a non-empty text"),
    ([None], ["MKV"], "not a non-empty text"),
])
def test_unusable_pairs_are_refused(model, smiles, sequences, message):
    with pytest.raises(InputError, match=message): model.predict(smiles, sequences)


def test_no_pairs_give_no_predictions(model): assert model.predict([], []).shape == (0,)


def test_untrained_is_keyed_and_touches_no_global_state():
    state = torch.random.get_rng_state()
    one, same, other = untrained(DeepDTA, 5), untrained(DeepDTA(**SMALL).__class__, 5), untrained(DeepDTA, 6)
    small = untrained(DeepDTA(**SMALL), 5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head[0].weight, other.head[0].weight) and small.head[0].weight.shape == (32, 32)
    torch.random.set_rng_state(state)
    untrained(DeepDTA, 7)
    assert torch.equal(torch.random.get_rng_state(), state)


# ---- checkpoints

def test_checkpoint_keeps_every_prediction_and_no_pickle(tmp_path):
    model = untrained(DeepDTA(**SMALL, target_kernel=5, max_target_length=300), 1)
    model.standardize(np.array([5.0, 6.0, 9.0]))
    model.save_pretrained(tmp_path / "m")
    loaded = DeepDTA.from_pretrained(tmp_path / "m")
    sequences = [protein(n) for n in (400, 15, 90, 200)]
    assert np.array_equal(loaded.predict(DRUGS, sequences), model.predict(DRUGS, sequences))
    assert loaded.config == model.config and loaded.max_target_length == 300 and not loaded.training
    assert {p.suffix for p in (tmp_path / "m").iterdir()} == {".json", ".safetensors", ".md"}


def test_unfit_checkpoints_are_refused(tmp_path, capsys):
    model = untrained(DeepDTA(**SMALL), 1)
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(model.config | {"hidden": [32, 32, 8]}))
    with pytest.raises(IsaacError, match="holds no DeepDTA that can be read"): DeepDTA.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(IsaacError, match="holds no DeepDTA that can be read"): DeepDTA.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(IsaacError, match="holds no DeepDTA that can be read"): DeepDTA.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    for source in (tmp_path, tmp_path / "absent", "absent"):
        with pytest.raises(InputError, match="There is no checkpoint"): DeepDTA.from_pretrained(source)
    assert capsys.readouterr().out == ""


# ---- training

CONFIG = TrainingConfig(epochs=3, drugs_per_block=4, targets_per_block=7)


GRID = Grid.of(toy())


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31))
def test_blocks_hold_every_training_pair_once_and_are_no_larger_than_asked(drugs, targets, seed):
    grid = GRID
    blocks = grid_blocks(grid, replace(CONFIG, drugs_per_block=drugs, targets_per_block=targets), np.uint64(seed))
    assert sorted(np.concatenate(blocks)) == list(range(len(grid.affinity)))
    for block in map(grid.take, blocks):
        assert len(block.smiles) <= drugs and len(block.sequences) <= targets
        assert len(set(zip(block.drug, block.target, strict=True))) == len(block.affinity)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31))
def test_targets_meet_random_drugs_of_their_own(drugs, targets, seed):
    config = replace(CONFIG, drugs_per_target=drugs, targets_per_block=targets)
    blocks = target_blocks(GRID, config, np.uint64(seed))
    assert sorted(np.concatenate(blocks)) == list(range(len(GRID.affinity)))
    groups = int(np.ceil(np.bincount(GRID.target) / drugs).sum())
    assert len(blocks) == math.ceil(groups / targets)
    assert all(len(np.unique(GRID.target[b])) <= targets and len(b) <= drugs * targets for b in blocks)


@pytest.mark.parametrize("cut", [grid_blocks, target_blocks])
def test_blocks_are_the_pairs_they_stand_for(cut):
    data = toy()
    frame, grid = data.frame, Grid.of(data)
    for pairs in cut(grid, replace(CONFIG, drugs_per_target=3), np.uint64(1)):
        block = grid.take(pairs)
        assert [block.smiles[i] for i in block.drug] == frame.smiles[pairs].tolist()
        assert [block.sequences[i] for i in block.target] == frame.sequence[pairs].tolist()
        assert block.affinity == pytest.approx(frame.affinity[pairs])


def test_training_sees_no_validation_or_test_pair(monkeypatch):
    split, seen = toy().split("warm", seed=1), set()
    forward = DeepDTA.forward

    def watched(self, smiles, sequences, drug, target):
        seen.update((smiles[d], sequences[t]) for d, t in zip(drug, target, strict=True))
        return forward(self, smiles, sequences, drug, target)

    monkeypatch.setattr(DeepDTA, "forward", watched)
    train(DeepDTA(**SMALL), split, config=CONFIG, progress=False, device="cpu")
    parts = [set(zip(part.frame.smiles, part.frame.sequence, strict=True)) for part in split]
    assert seen == parts[0] and not seen & (parts[1] | parts[2])


def test_test_labels_change_nothing_but_the_test_metrics():
    split = toy().split("warm", seed=1)
    changed = replace(split, test=replace(split.test, pairs=split.test.pairs.assign(affinity=split.test.pairs.affinity[::-1].to_numpy())))
    one, other = (train(DeepDTA(**SMALL), s, config=CONFIG, progress=False, device="cpu") for s in (split, changed))
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    assert one.metrics["valid"] == other.metrics["valid"] and one.metrics["test"] != other.metrics["test"]


def test_same_seed_same_model_and_another_seed_another(tmp_path):
    split = toy().split("warm", seed=0)
    one = train(DeepDTA(**SMALL), split, seed=4, config=CONFIG, out=tmp_path / "a", progress=False, device="cpu")
    torch.rand(7)
    same = train(DeepDTA(**SMALL), split, seed=4, config=CONFIG, out=tmp_path / "b", progress=False, device="cpu")
    other = train(DeepDTA(**SMALL), split, seed=5, config=CONFIG, progress=False, device="cpu")
    frame = split.test.frame
    predictions = [r.model.predict(frame.smiles, frame.sequence) for r in (one, same, other)]
    assert np.array_equal(predictions[0], predictions[1]) and not np.array_equal(predictions[0], predictions[2])
    for name in ("config.json", "model.safetensors", "provenance.json", "training_pairs.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_checkpoint_holds_metrics_provenance_and_pairs(tmp_path):
    split = toy().split("cold-target", seed=2)
    result = train(DeepDTA(**SMALL), split, seed=1, config=CONFIG, out=tmp_path / "run", progress=False, device="cpu")
    metrics, provenance = (json.loads((tmp_path / "run" / f"{n}.json").read_text()) for n in ("metrics", "provenance"))
    assert set(metrics["test"]) == set(metrics["valid"]) == {"mse", "ci", "auroc", "auprc"}
    assert provenance["split"] == {"kind": "cold-target", "seed": 2, "hash": split.hash}
    assert provenance["hashes"] == {part: getattr(split, part).hash for part in ("train", "valid", "test")}
    assert provenance["seed"] == 1 and provenance["training"]["epochs"] == 3 and 1 <= provenance["best_epoch"] <= 3
    best = result.history.set_index("epoch").valid_mse
    assert best.idxmin() == metrics["best_epoch"] and best.min() == pytest.approx(metrics["valid"]["mse"], rel=1e-6)
    pairs = pd.read_csv(tmp_path / "run" / "training_pairs.csv")
    assert set(pairs.pair_id[pairs.part == "train"]) == set(split.train.pairs.pair_id)
    loaded = DeepDTA.from_pretrained(tmp_path / "run")
    assert np.array_equal(loaded.predict(DRUGS, [protein(50)] * 4), result.model.predict(DRUGS, [protein(50)] * 4))


def test_interrupted_training_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("isaac.models.training.write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        train(DeepDTA(**SMALL), toy().split("warm"), config=CONFIG, out=tmp_path / "run", progress=False, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_refused_before_training(tmp_path):
    (tmp_path / "keep").touch()
    with pytest.raises(InputError, match="not empty"): train(DeepDTA, toy().split("warm"), out=tmp_path, progress=False)


@pytest.mark.parametrize("blocks", [{"drugs_per_block": 4}, {"drugs_per_target": 4}])
def test_deepdta_learns_what_can_be_learnt(blocks):
    split = toy(8, 40).split("warm", seed=0)
    config = TrainingConfig(epochs=20, learning_rate=3e-3, targets_per_block=10, **blocks)
    result = train(DeepDTA(channels=(16, 16, 32), hidden=(64, 64, 32), target_kernel=4), split, config=config, progress=False, device="cpu")
    assert result.metrics["test"]["mse"] < 0.1 * split.test.pairs.affinity.var()
    assert result.history.train_loss.iloc[-1] < 0.1 * split.train.pairs.affinity.var()


def test_unusable_splits_settings_and_devices_are_refused():
    split = toy().split("warm")
    missing = split.train.pairs.assign(affinity=split.train.pairs.affinity.mask(split.train.pairs.index < 2))
    with pytest.raises(InputError, match="not a finite number") as caught:
        train(DeepDTA, replace(split, train=replace(split.train, pairs=missing)), progress=False)
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="train and test"): train(DeepDTA, replace(split, test=split.train), progress=False)
    with pytest.raises(InputError, match="there are none"): train(DeepDTA, replace(split, valid=split.valid.select([])), progress=False)
    with pytest.raises(InputError, match="targets_per_block"): TrainingConfig(targets_per_block=0)
    with pytest.raises(InputError, match="drugs_per_target"): TrainingConfig(drugs_per_target=-1)
    with pytest.raises(InputError, match="device"): device_of("abacus")


def test_a_loss_that_is_not_a_number_stops_the_training():
    split, model = toy().split("warm"), untrained(DeepDTA(**SMALL), 0)
    torch.nn.init.constant_(model.head[-1].bias, torch.nan)
    with pytest.raises(IsaacError, match="loss became nan in block 1 of epoch 1"):
        fit(GridTraining(model, split.train, split.valid, 0, CONFIG), torch.device("cpu"))


def test_dropout_is_on_in_training_and_off_afterwards(monkeypatch):
    modes, forward = [], DeepDTA.forward
    monkeypatch.setattr(DeepDTA, "forward", lambda self, *block: modes.append(self.head.training) or forward(self, *block))
    model = train(DeepDTA(**SMALL), toy().split("warm"), config=CONFIG, progress=False, device="cpu").model
    assert len(modes) > 3 and all(modes) and not model.head.training


@pytest.mark.parametrize("progress", [False, True])
def test_training_says_nothing_but_the_bar(tmp_path, progress):
    toy().frame.drop(columns=["drug_id", "target_id"]).to_csv(tmp_path / "toy.csv", index=False)
    code = f"""if True:
        import pandas as pd
        from isaac.datasets import DTIDataset
        from isaac.models import DeepDTA, TrainingConfig, train
        split = DTIDataset.from_frame(pd.read_csv("toy.csv")[["smiles", "sequence", "affinity"]], threshold=7.0).split("warm")
        train(DeepDTA(**{SMALL}), split, config=TrainingConfig(epochs=1), progress={progress}, device="cpu")"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert run.stdout == "" and ("valid_mse=" in run.stderr) == progress and "ightning" not in run.stderr
    assert progress or run.stderr == ""
    assert [p.name for p in tmp_path.iterdir()] == ["toy.csv"]


def test_models_are_imported_only_when_asked_for():
    code = "import sys, isaac.models; assert 'torch' not in sys.modules; isaac.models.DeepDTA; assert 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


# ---- Davis

def test_davis_split_trains_on_its_training_folds_only(mirror):
    davis = load_davis()
    split, frame = davis.split("warm", seed=0), davis.pairs.set_index("pair_id")
    assert set(frame.fold[split.test.pairs.pair_id]) == {"test"} and len(split.test.pairs) == 5_010
    assert not (frame.fold[np.concatenate([split.train.pairs.pair_id, split.valid.pairs.pair_id])] == "test").any()
    grid = Grid.of(split.train)
    assert len(grid.sequences) == 379 and len(grid.smiles) == 68
    SMILES.tokenize(davis.drugs.smiles.tolist(), 100)
    PROTEIN.tokenize(davis.targets.sequence.tolist(), 1_200)


def test_training_uses_deterministic_algorithms_and_leaves_the_setting_alone():
    "Several threads add up gradients in a varying order unless told not to; the race is too rare to be caught by training twice."
    def settings() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    seen, before = [], settings()
    class Spy(DeepDTA):
        def forward(self, *block):
            seen.append(settings())
            return super().forward(*block)
    train(Spy(**SMALL), toy().split("warm", seed=0), config=CONFIG, progress=False, device="cpu")
    assert set(seen) == {(True, False)} and settings() == before == (False, True)
