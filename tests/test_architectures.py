"""What every architecture owes an audit, asked of each in the same words; and what only one of them has."""
import importlib.util
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import MOTIF_DRUGS as DRUGS
from toy import motif_data

from isaac.core import InputError, IsaacError, cache_dir
from isaac.datasets import load_davis
from isaac.engine import respond
from isaac.models import TAPB, DeepConvDTI, DeepDTA, TrainingConfig, train
from isaac.models.deepconv import morgan
from isaac.models.encoders import PROTEIN, untrained
from isaac.models.tapb import SMILES_TOKENS, _kept_residues, by_length, tokenize_smiles
from isaac.models.training import Grid
from isaac.plan import Design, make_plan
from isaac.predictors import TwoTower, model_hash, reading
from isaac.priors import prior_from_table

pytestmark = pytest.mark.usefixtures("one_thread")
toy = partial(motif_data, lengths=9) # no target longer than the small models read

SMALL = {
    DeepDTA: {"channels": (8, 12, 16), "embedding": 12, "hidden": (32, 32, 16), "target_kernel": 4, "max_target_length": 60},
    DeepConvDTI: {"bits": 64, "drug_hidden": (16, 8), "embedding": 6, "kernels": (3, 6), "filters": 8, "target_hidden": 8, "hidden": 8,
                  "max_target_length": 60},
    TAPB: {"width": 16, "heads": 2, "layers": 2, "confounders": 3, "max_target_length": 60},
}
QUICK = {"epochs": 2, "drugs_per_block": 4, "targets_per_block": 7}


def small(kind, **settings): return kind(**SMALL[kind] | settings)
def protein(length: int, seed: int = 0) -> str: return "".join(np.random.default_rng([seed, length]).choice(list(PROTEIN.symbols), length))


kinds = pytest.mark.parametrize("kind", list(SMALL), ids=lambda k: k.__name__)
objectives = pytest.mark.parametrize("objective", ["regression", "classification"])
MODELS = {kind: untrained(small(kind), 3) for kind in SMALL}


# ---- what a prediction may depend on

@kinds
def test_published_settings_are_the_defaults(kind):
    model = untrained(kind, 0)
    assert isinstance(model, TwoTower) and model.predict(DRUGS, [protein(300)] * 4).shape == (4,)
    expected = {DeepDTA: ("affinity", 1_200), DeepConvDTI: ("logit", 2_500), TAPB: ("logit", 2_000)}[kind]
    assert (reading(model).scale, reading(model).max_target_length) == expected and reading(model).mask_token == "X"
    published = {
        DeepDTA: {"channels": [32, 64, 96], "embedding": 128, "hidden": [1024, 1024, 512], "dropout": 0.1, "max_smiles_length": 100},
        DeepConvDTI: {"radius": 2, "bits": 2048, "drug_hidden": [512, 128], "embedding": 20, "kernels": [10, 15, 20, 25, 30], "filters": 128,
                      "target_hidden": 128, "hidden": 128, "dropout": 0.2},
        TAPB: {"target_encoder": "conv", "esm": "facebook/esm2_t33_650M_UR50D", "width": 128, "heads": 8, "layers": 3, "dropout": 0.1,
               "dropped_residues": 0.7, "masked_tokens": 0.15, "masked_weight": 0.1, "confounders": 8}}[kind]
    assert {name: model.config[name] for name in published} == published


@kinds
@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_a_pair_gets_the_same_number_in_any_company(kind, lengths, seed):
    model, rng = MODELS[kind], np.random.default_rng(seed)
    smiles, sequences = [DRUGS[i] for i in rng.integers(0, 4, len(lengths))], [protein(n, i) for i, n in enumerate(lengths)]
    together = model.predict(smiles, sequences)
    assert together.dtype == np.float32
    alone = np.concatenate([model.predict([d], [t]) for d, t in zip(smiles, sequences, strict=True)])
    assert together == pytest.approx(alone, abs=1e-5)
    order = rng.permutation(len(lengths))
    assert model.predict([smiles[i] for i in order], [sequences[i] for i in order]) == pytest.approx(together[order], abs=1e-5)


@kinds
def test_towers_blocks_and_slices_of_pairs_agree(kind):
    model = untrained(small(kind), 3)
    sequences, rng = [protein(n) for n in (40, 5, 90, 60)], np.random.default_rng(0)
    drug, target = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    expected = model.predict([DRUGS[i] for i in drug], [sequences[i] for i in target])
    assert model(DRUGS, sequences, drug, target).detach().numpy() == pytest.approx(expected, abs=1e-5)
    model.pairs_at_once = 7
    assert model.score(model.encode_drugs(DRUGS)[drug], model.encode_targets(sequences)[target]) == pytest.approx(expected, abs=1e-5)
    assert model.predict([], []).shape == (0,)


@kinds
def test_what_is_cut_is_not_read_and_every_visible_residue_is(kind):
    model, wild = untrained(small(kind), 3), protein(60).replace("X", "A").replace("W", "A")
    assert model.predict(DRUGS[:1], [wild + protein(40)]) == pytest.approx(model.predict(DRUGS[:1], [wild]), abs=1e-6)
    for i in (0, 30, 59):
        edits = [wild[:max(i - 2, 0)] + letter * 3 + wild[max(i - 2, 0) + 3:] for letter in PROTEIN.symbols]
        assert np.ptp(model.predict(DRUGS[:1] * 25, edits)) > 0


@kinds
def test_every_letter_of_the_charset_is_read_and_others_are_refused(kind):
    model = MODELS[kind]
    assert len(np.unique(model.predict(DRUGS[:1] * 25, [letter * 30 for letter in PROTEIN.symbols]))) == 25
    for smiles, sequences, message in [(["CCO"], ["MKV"] * 2, "1 SMILES for 2"), (["CCO"], ["mkv"], "unknown characters 'k' 'm' 'v'"),
                                       (["CCO"], [""], "not a non-empty text"), (["CCO", "C€C", ""], ["MKV"] * 3, "item 1")]:
        with pytest.raises(InputError, match=message): model.predict(smiles, sequences)


@kinds
def test_untrained_models_are_keyed(kind):
    one, same, other = (untrained(small(kind), seed) for seed in (5, 5, 6))
    assert model_hash(one) == model_hash(same) != model_hash(other)


# ---- learning

@kinds
@objectives
def test_gradients_reach_every_weight(kind, objective):
    model = untrained(small(kind, objective=objective), 1).train()
    drug, target = np.divmod(np.arange(12), 3)
    labels = model.labels(np.linspace(5, 9, 12), threshold=7.0)
    model.standardize(labels)
    torch.manual_seed(0)
    model.loss(DRUGS, [protein(50), protein(10), protein(80)], drug, target, torch.from_numpy(labels)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@kinds
@objectives
def test_checkpoints_keep_predictions_scale_and_record(kind, objective, tmp_path):
    split = toy().split("warm", seed=0)
    config = TrainingConfig.of(kind, **QUICK | ({"second_stage": 1} if kind is TAPB else {}))
    result = train(small(kind, objective=objective), split, seed=1, config=config, out=tmp_path / "run", progress=False, device="cpu")
    loaded, frame = kind.from_pretrained(tmp_path / "run"), split.test.frame
    assert np.array_equal(loaded.predict(frame.smiles, frame.sequence), result.model.predict(frame.smiles, frame.sequence))
    assert loaded.scale == {"regression": "affinity", "classification": "logit"}[objective] and model_hash(loaded) == model_hash(result.model)
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["label"] == result.model.label and provenance["config"] == loaded.config
    criterion = "mse" if objective == "regression" else "auroc"
    last = result.history[result.history.stage == result.history.stage.max()].set_index("epoch")[f"valid_{criterion}"]
    assert (last.idxmin() if criterion == "mse" else last.idxmax()) == result.metrics["best_epoch"]
    assert ("mse" in result.metrics["test"]) == (objective == "regression") and loaded.metrics["test"] == result.metrics["test"]


@kinds
def test_one_seed_is_one_model(kind, tmp_path):
    split, config = toy().split("warm", seed=0), TrainingConfig.of(kind, **QUICK | ({"second_stage": 1} if kind is TAPB else {}))
    runs = []
    for seed in (4, 4, 5):
        torch.rand(seed + len(runs))
        runs.append(model_hash(train(small(kind), split, seed=seed, config=config, progress=False, device="cpu").model))
    assert runs[0] == runs[1] != runs[2]


@kinds
def test_what_can_be_learnt_is_learnt(kind):
    split = toy(8, 45).split("warm", seed=0)
    config = TrainingConfig.of(kind, epochs=12, learning_rate=5e-3, drugs_per_block=4, targets_per_block=6, second_stage=4 if kind is TAPB else 0)
    model = small(kind, objective="classification", **{"dropped_residues": 0.2} if kind is TAPB else {})
    result = train(model, split, config=config, progress=False, device="cpu")
    assert result.metrics["test"]["auroc"] > 0.95


@kinds
def test_a_block_may_hold_one_drug_or_one_target(kind):
    split = toy().split("warm", seed=0)
    for shape in ({"drugs_per_block": 1}, {"targets_per_block": 1}):
        config = TrainingConfig.of(kind, **QUICK | {"epochs": 1, "second_stage": 0} | shape)
        result = train(small(kind), split, config=config, progress=False, device="cpu")
        assert np.isfinite(result.history.train_loss).all()


@kinds
def test_training_in_mixed_precision_gives_a_model_in_full_precision(kind):
    split = toy().split("warm", seed=0)
    config = TrainingConfig.of(kind, **QUICK | {"precision": "bf16"} | ({"second_stage": 1} if kind is TAPB else {}))
    result = train(small(kind, objective="regression"), split, config=config, progress=False, device="cpu")
    kept = result.metrics["best_epoch"], f"{config.second_stage or config.epochs}{' of stage 2' if kind is TAPB else ''}"
    assert repr(result) == f"TrainingResult of {result.model.label}: epoch {kept[0]} of {kept[1]} was kept" and result.provenance["device"] == "cpu"
    assert np.isfinite(result.history.train_loss).all() and {p.dtype for p in result.model.parameters()} == {torch.float32}
    values = result.model.predict(split.test.frame.smiles, split.test.frame.sequence)
    assert len(np.unique(values)) > 5 and not np.array_equal(values, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(("kind", "wrong"), [
    (DeepDTA, {"dropout": 2, "target_kernel": 0, "channels": []}), (DeepConvDTI, {"kernels": [0], "drug_hidden": [], "dropout": -0.1, "radius": 0}),
    (TAPB, {"max_target_length": -5, "layers": 0, "dropped_residues": 1.5, "masked_tokens": 3.0, "confounders": 0}), (TAPB, {"heads": 7})])
def test_impossible_settings_are_all_named(kind, wrong):
    with pytest.raises(InputError) as caught: kind(**wrong)
    assert set(caught.value.table["field"]) == set(wrong)


def test_a_classifier_needs_binders_and_others_in_training_and_validation():
    split = toy().split("warm", seed=0)
    for part, message in (("train", "nothing to learn"), ("valid", "choose the epoch")):
        frame = getattr(split, part)
        alike = replace(split, **{part: replace(frame, pairs=frame.pairs.assign(affinity=5.0))})
        with pytest.raises(InputError, match=message):
            train(small(DeepConvDTI), alike, config=TrainingConfig.of(DeepConvDTI, **QUICK), progress=False, device="cpu")


def test_settings_are_checked_against_the_architecture():
    with pytest.raises(InputError, match="trained in one stage"):
        train(small(DeepDTA), toy().split("warm"), config=TrainingConfig(epochs=1, second_stage=1), progress=False, device="cpu")
    with pytest.raises(InputError, match="ranking"): DeepConvDTI(objective="ranking")
    with pytest.raises(InputError, match="prottrans"): TAPB(target_encoder="prottrans")
    wrong = {"precision": ["32"], "learning_rate": "x", "warmup": None, "epochs": 1.5, "drugs_per_target": True, "weight_decay": float("nan"),
             "gradient_clip": 0}
    with pytest.raises(InputError) as caught: TrainingConfig(**wrong)
    assert set(caught.value.table["field"]) == set(wrong)
    with pytest.raises(InputError, match="precision '8'"): TrainingConfig(precision="8")
    with pytest.raises(InputError, match="a processor has bf16 only"):
        train(small(DeepDTA), toy().split("warm"), config=TrainingConfig(epochs=1, precision="16"), progress=False, device="cpu")
    with pytest.raises(InputError, match="drugs_per_block 2 .* beside drugs_per_target"):
        TrainingConfig.of(DeepDTA, drugs_per_target=3, drugs_per_block=2)
    assert TrainingConfig(epochs=np.int64(2)).epochs == 2
    with pytest.raises(InputError) as caught: TrainingConfig.of(TAPB, epoch=3, steps=9)
    assert caught.value.table["field"].tolist() == ["epoch", "steps"]
    assert TrainingConfig.of(TAPB).second_stage > 0 and TrainingConfig.of(TAPB, second_stage=0).second_stage == 0


def test_reported_names_say_what_was_trained():
    labels = [small(kind, objective=o).label for kind in SMALL for o in ("regression", "classification")]
    assert labels == ["DeepDTA", "DeepDTA (classification)", "DeepConvDTI (regression)", "DeepConvDTI", "TAPB (conv, regression)", "TAPB (conv)"]


@kinds
def test_the_textbook_forward_pass_of_the_benchmark_gives_the_same_numbers_and_gradients(kind):
    spec = importlib.util.spec_from_file_location("plain", Path(__file__).parents[1] / "benchmarks" / "plain.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    plain, model = next(forward for model, forward, _ in benchmark.MODELS.values() if model is kind), untrained(kind, 2)
    sequences = [protein(n, i) for i, n in enumerate((300, 8, 1_500, 2_600))]
    with torch.inference_mode(): expected = plain(model, DRUGS[:4], sequences).numpy()
    assert model.predict(DRUGS[:4], sequences) == pytest.approx(expected, abs=1e-5)
    gradients, rows = [], np.arange(4)
    for forward in (plain, lambda model, smiles, sequences: model(smiles, sequences, rows, rows)):
        model = untrained(kind(dropout=0.0, **{"dropped_residues": 0.0} if kind is TAPB else {}), 3).train()
        forward(model, DRUGS[:4], sequences).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 5
    for name, g in gradients[0].items(): torch.testing.assert_close(gradients[1][name], g, atol=1e-4, rtol=1e-3) # those before a normalisation vanish


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@kinds
def test_a_gpu_predicts_what_the_processor_does_and_trains(kind):
    split, model = toy().split("warm", seed=0), untrained(small(kind), 3)
    asked = split.test.frame.smiles, split.test.frame.sequence
    expected = model.predict(*asked)
    assert model.to("cuda").predict(*asked) == pytest.approx(expected, abs=1e-5)
    for precision in ("32", "16"):
        config = TrainingConfig.of(kind, **QUICK | {"precision": precision})
        result = train(small(kind), split, config=config, progress=False, device="cuda")
        assert np.isfinite(result.history.train_loss).all() and result.provenance["device"] == torch.cuda.get_device_name()


# ---- DeepConv-DTI

def test_fingerprints_are_those_of_the_molecule():
    from rdkit import Chem
    from rdkit.Chem import AllChem
    expected = np.array(AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(DRUGS[3]), 2, 2048), np.float32)
    assert np.array_equal(morgan(DRUGS)[3], expected) and np.array_equal(morgan(["OCC"]), morgan(["CCO"]))
    with pytest.raises(InputError) as caught: morgan(["CCO", "C1CC", None])
    assert caught.value.table["where"].tolist() == ["item 1", "item 2"]


def test_normalisation_is_over_the_block_and_is_remembered():
    model = untrained(small(DeepConvDTI), 0)
    before = model.target_tower.norms[0].running_mean.clone()
    model.train()
    lone, paired = (model.target_codes([protein(40), *more])[0] for more in ([], [protein(50)]))
    assert not torch.allclose(lone, paired) and not torch.equal(model.target_tower.norms[0].running_mean, before)


# ---- TAPB

def test_every_davis_drug_is_spelt_without_loss(mirror):
    drugs = load_davis().drugs.smiles.tolist() + ["[13CH3][N+](C)(C)C.[Br-]", "C[Si](C)(C)[Se]c1cc[te]c1", "F/C=C\\F", "C%12CC%12"]
    with pytest.raises(InputError, match="unknown tokens"): tokenize_smiles(["CC\nO"])
    tokens = tokenize_smiles(drugs)
    texts = np.split(tokens.flat, np.cumsum(tokens.lengths)[:-1])
    assert ["".join(SMILES_TOKENS[t] for t in text) for text in texts] == drugs
    assert len(SMILES_TOKENS) == len(set(SMILES_TOKENS)) < 256


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_sorting_by_length_is_undone(lengths):
    order = by_length(np.array(lengths), "cpu")
    tokens = torch.arange(sum(lengths))
    assert torch.equal(tokens[order.there][order.back], tokens) and sum(n for n, _, _ in order.blocks) == sum(lengths)
    assert sorted(lengths) == [n // count for n, _, count in order.blocks for _ in range(count)]


def test_the_decoder_sees_thirty_per_cent_of_the_states_in_training_and_all_in_use():
    model = untrained(small(TAPB, max_target_length=500), 0).train()
    sequences = [protein(n) for n in (400, 3, 100)]
    torch.manual_seed(0)
    first, second = (model.target_codes(sequences) for _ in range(2))
    assert first.lengths.tolist() == second.lengths.tolist() == [120, 1, 30] and not torch.equal(first.states, second.states)
    assert model.encode_targets(sequences).lengths.tolist() == [400, 3, 100]


def test_states_that_training_drops_need_not_be_computed():
    model, sequences, lengths = untrained(small(TAPB, max_target_length=500), 0).train(), [protein(n) for n in (300, 4, 90)], np.array([300, 4, 90])
    torch.manual_seed(0)
    some = model.target_codes(sequences).states
    torch.manual_seed(0)
    kept = torch.from_numpy(_kept_residues(lengths, model.dropped_residues))
    model.dropped_residues = 0.0
    chosen = model.target_codes(sequences).states[kept]
    torch.testing.assert_close(some, chosen)
    weights = list(model.residues.parameters())
    for mine, theirs in zip(*(torch.autograd.grad(states.pow(3).sum(), weights) for states in (some, chosen)), strict=True):
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_the_second_stage_sees_a_pair_through_the_dictionary_alone():
    split = toy().split("warm", seed=0)
    model = train(small(TAPB), split, config=TrainingConfig.of(TAPB, **QUICK | {"second_stage": 1}), progress=False, device="cpu").model
    assert bool(model.adjusted) and len(torch.unique(model.dictionary, dim=0)) == 3
    with torch.inference_mode():
        model.dictionary[:] = model.dictionary[0].clone()
        assert np.ptp(model.predict(DRUGS, [protein(50)] * 4)) < 1e-6
    again = untrained(small(TAPB), 0)
    again.begin_second_stage(Grid.of(split.train), seed=0)
    vectors = again.fuse(again.encode_drugs(DRUGS), again.encode_targets([protein(50)] * 4)[np.arange(4)])
    assert vectors.shape == (4, 16)


@pytest.fixture(scope="module")
def esm(tmp_path_factory) -> Path:
    "A tiny ESM-2 with random weights, saved where the real loading code finds it."
    from transformers import EsmConfig, EsmModel, EsmTokenizer
    folder = tmp_path_factory.mktemp("esm2")
    torch.manual_seed(0)
    EsmModel(EsmConfig(vocab_size=33, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, pad_token_id=1,
                       mask_token_id=32, position_embedding_type="rotary", token_dropout=False), add_pooling_layer=False).save_pretrained(folder)
    words = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split()
    (folder / "vocab.txt").write_text("\n".join(words))
    EsmTokenizer(folder / "vocab.txt").save_pretrained(folder)
    return folder


def test_states_are_those_of_esm_and_edits_reach_them(esm):
    from transformers import AutoTokenizer, EsmModel
    model, sequence = untrained(small(TAPB, target_encoder="esm2", esm=str(esm)), 0), protein(40).replace("X", "A")
    tokens = AutoTokenizer.from_pretrained(esm)(sequence, return_tensors="pt")
    with torch.inference_mode(): expected = EsmModel.from_pretrained(esm, add_pooling_layer=False).eval()(**tokens).last_hidden_state[0, 1:-1]
    assert torch.allclose(model.esm_states([sequence])[0], expected, atol=1e-5) and expected.shape == (40, 8)
    edited = sequence[:20] + "X" + sequence[21:]
    assert model.predict(DRUGS[:1], [sequence])[0] != model.predict(DRUGS[:1], [edited])[0] and model.label == "TAPB"


def test_only_unedited_sequences_are_kept_on_disk(esm, tmp_path):
    split = toy().split("warm", seed=0)
    config = TrainingConfig.of(TAPB, **QUICK | {"second_stage": 1})
    result = train(small(TAPB, target_encoder="esm2", esm=str(esm)), split, config=config, out=tmp_path / "run", progress=False, device="cpu")
    kept = sorted((cache_dir() / "esm").rglob("*.npy"))
    known = set(pd.concat([part.frame for part in split]).sequence)
    assert len(kept) == len(known)
    frame, changed = split.test.frame, split.test.frame.sequence.str.replace("A", "X", n=1)
    loaded = TAPB.from_pretrained(tmp_path / "run")
    assert not np.array_equal(loaded.predict(frame.smiles, changed), loaded.predict(frame.smiles, frame.sequence))
    assert sorted((cache_dir() / "esm").rglob("*.npy")) == kept
    assert np.array_equal(loaded.predict(frame.smiles, frame.sequence), result.model.predict(frame.smiles, frame.sequence))
    kept[0].unlink()
    assert loaded.predict(frame.smiles, frame.sequence) == pytest.approx(result.model.predict(frame.smiles, frame.sequence), abs=1e-5)


def test_another_language_model_under_the_same_name_is_refused(esm, tmp_path):
    model = untrained(small(TAPB, target_encoder="esm2", esm=str(esm)), 0)
    model.esm_fingerprint[0] ^= 1
    with pytest.raises(IsaacError, match="other weights"): model.predict(DRUGS[:1], ["MKV"])
    with pytest.raises(IsaacError, match="cannot be read"): TAPB("esm2", esm=str(tmp_path))


def test_a_long_audit_says_so_first(capsys, monkeypatch):
    data, model = toy(4, 60), untrained(small(TAPB), 0)
    residues = pd.DataFrame([{"target_id": t, "position": p} for t in data.targets.target_id for p in range(5, 20)])
    design = Design(operators=["substitute"], matchings=["uniform"], doses=[5], repeats=1, intervention_seeds=1)
    plan = make_plan(data.frame, prior_from_table(residues, data.targets, "toy"), reading(model), design)
    respond(plan, model, progress=True)
    assert "about" not in capsys.readouterr().err
    clock = iter(range(0, 10**6, 20))
    monkeypatch.setattr("isaac.engine.time.perf_counter", lambda: next(clock)) # every look at the clock finds it 20 seconds later
    targets = respond(plan, model, progress=True).account["targets"]
    assert f"{targets} distinct targets and 4 drugs: about {round(20 * targets / 2 / 60)} minutes" in capsys.readouterr().err # two are asked


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(IsaacError, match=r"isaac-audit\[esm\]"): TAPB("esm2", esm="no/such")
