"""Models from elsewhere: every route gives the same numbers, secrets go nowhere else, and what fails says why. Servers and programs are real."""
import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from toy import DRUGS, write_toy
from typer.testing import CliRunner
from urllib3.response import HTTPResponse

from isaac.cli import app
from isaac.core import InputError, IsaacError, content_hash
from isaac.engine import respond
from isaac.plan import Design, make_plan
from isaac.predictors import (
    Composition,
    Features,
    FunctionPredictor,
    HuggingFacePredictor,
    Morgan,
    Reading,
    SklearnPredictor,
    TorchPredictor,
    contents,
    identity,
    load_predictor,
    model_hash,
    reading,
    spaced_target_then_drug,
)
from isaac.priors import prior_from_table
from isaac.remote import HTTPPredictor, SubprocessPredictor, connect, patient, serving

ROOT = Path(__file__).resolve().parents[1]
SEQUENCES = {f"T{i}": "".join(np.random.default_rng(i).choice(list("ACDEFGHIKLMNPQRSTVWY"), 80)) for i in range(6)}
PAIRS = pd.DataFrame([{"drug_id": d, "smiles": s, "target_id": t, "sequence": q} for d, s in list(DRUGS.items())[:3] for t, q in SEQUENCES.items()])
BOTH = PAIRS["smiles"].tolist(), PAIRS["sequence"].tolist()
FEATURES = Features(Morgan(size=64), Composition((1, 2)))
AFFINITY = PAIRS["sequence"].str.count("K") + PAIRS["smiles"].str.len() / 7


def forest(seed: int = 0) -> SklearnPredictor:
    return SklearnPredictor(RandomForestRegressor(10, random_state=seed).fit(FEATURES(*BOTH), AFFINITY), FEATURES)


def boosted() -> SklearnPredictor:
    trees = HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=2, random_state=0)
    return SklearnPredictor(trees.fit(FEATURES(*BOTH), AFFINITY > AFFINITY.median()), FEATURES)


def network() -> TorchPredictor:
    import torch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(64 + 420, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)) # left in training mode
    return TorchPredictor(module, lambda smiles, sequences: torch.from_numpy(FEATURES(smiles, sequences)))


def awkward(smiles, sequences): return [np.sin(hash_of(d + t)) / 3 for d, t in zip(smiles, sequences, strict=True)]
def hash_of(text: str) -> int: return sum(i * ord(c) for i, c in enumerate(text, 1))
def lysines(smiles, sequences): return [t.count("K") for t in sequences]


def plan_for(model):
    "Edits of a pocket of twelve residues and of controls, for what the model declares."
    pocket = pd.DataFrame([{"target_id": t, "residue": f"{q[i]}{i + 1}"} for t, q in SEQUENCES.items() for i in range(30, 42)])
    targets = pd.DataFrame({"target_id": SEQUENCES.keys(), "sequence": SEQUENCES.values()})
    design = Design(operators=("mask", "substitute"), matchings=("uniform",), doses=(5,), repeats=1, intervention_seeds=1)
    return make_plan(PAIRS.assign(pair_id=range(len(PAIRS))), prior_from_table(pocket, targets), reading(model), design)


# Programs that answer from a table of predictions; each notes the process it runs in.
LINES = """
import json, os, sys
table = json.load(open(sys.argv[1]))
print(os.getpid(), file=open(sys.argv[1] + ".pids", "a"))
batch = []
for line in sys.stdin:
    if line.strip(): batch.append(json.loads(line))
    else:
        for pair in batch: print(json.dumps({"value": table[pair["smiles"] + " " + pair["sequence"]]}))
        print(flush=True); batch = []
"""
TABLE = """
import csv, json, os, sys
table = json.load(open(sys.argv[1]))
print(os.getpid(), file=open(sys.argv[1] + ".pids", "a"))
print("value")
for pair in csv.DictReader(sys.stdin): print(table[pair["smiles"] + " " + pair["sequence"]])
"""


def python(code: str, *arguments) -> list[str]: return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.mark.parametrize("make", [forest, boosted, network, lambda: FunctionPredictor(awkward)], ids=["forest", "boosted", "torch", "function"])
def test_the_same_predictions_give_identical_responses_by_every_route(make, tmp_path, one_thread):
    "What a model answers is noted, then given again by a function, a server and two kinds of programs."
    model, table = make(), {}
    plan = plan_for(model)
    def noted(smiles, sequences):
        values = model.predict(smiles, sequences)
        table.update(zip(map(" ".join, zip(smiles, sequences, strict=True)), values.tolist(), strict=True))
        return values
    expected = respond(plan, FunctionPredictor(noted, scale=model.scale))
    (tmp_path / "table.json").write_text(json.dumps(table))
    known = FunctionPredictor(lambda smiles, sequences: [table[f"{d} {t}"] for d, t in zip(smiles, sequences, strict=True)], scale=model.scale)
    by_lines = SubprocessPredictor(python(LINES, tmp_path / "table.json"), scale=model.scale)
    by_table = SubprocessPredictor(python(TABLE, tmp_path / "table.json"), "csv", scale=model.scale)
    with serving(known) as address, contextlib.closing(by_lines):
        routes = {"itself": model, "function": known, "server": connect(address), "lines": by_lines, "table": by_table}
        found = {name: respond(plan, route) for name, route in routes.items()}
    differ = [name for name, answer in found.items() if not answer.table.equals(expected.table)]
    assert differ == [] and expected.table["value"].nunique() >= 8


def test_torch_by_predict_and_by_towers():
    from isaac.models import DeepDTA, untrained
    model = untrained(DeepDTA, 0).train()
    def each(smiles, sequences): return list(smiles), list(sequences), np.arange(len(smiles)), np.arange(len(smiles))
    plan = plan_for(model)
    towers, predict = respond(plan, model), respond(plan, TorchPredictor(model, each, max_target_length=model.max_target_length))
    assert (towers.account["route"], predict.account["route"], model.training) == ("towers", "predict", True)
    assert (towers.table["value"] - predict.table["value"]).abs().max() <= 1e-5 < towers.table["value"].std()


def test_probabilities_become_log_odds_once_and_clipped_ones_are_counted():
    sure = FunctionPredictor(lambda smiles, sequences: [1.0 if "X" in t else 0.25 for t in sequences], scale="probability")
    answers = respond(plan_for(sure), sure)
    assert set(answers.table["value"].round(6)) == {round(np.log(1 / 3), 6), round(np.log(1e7 - 1), 6)}
    assert answers.account["clipped"] == 3 * 6 * 2 # drugs × targets × arms under the mask, each asked once


# What a model is known by

IN_A_NEW_PROCESS = "from test_adapters import boosted, forest, model_hash; print(model_hash(forest()), model_hash(boosted()))"

def test_a_model_has_one_hash_in_every_process_and_another_if_fitted_otherwise():
    around = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "PYTHONHASHSEED": "7"}
    done = subprocess.run(python(IN_A_NEW_PROCESS), env=around, capture_output=True, text=True)
    assert done.stdout.split() == [model_hash(forest()), model_hash(boosted())], done.stderr
    other = Features(Morgan(size=64), Composition((1,)))
    models = [forest(), forest(1), boosted(), replace(boosted(), scale="logit"), replace(forest(), featurize=other),
              network(), FunctionPredictor(awkward), FunctionPredictor(awkward, version="2"), HTTPPredictor("http://a"), HTTPPredictor("http://b"),
              HTTPPredictor("http://b", version="2"), SubprocessPredictor(["a"]), SubprocessPredictor(["a"], version="2")]
    assert len({model_hash(m) for m in models}) == len(models)
    assert [identity(m).by for m in models] == ["content"] * 6 + ["name"] * 7


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
                      lambda v: st.lists(v) | st.dictionaries(st.text(), v) | st.frozensets(st.text() | st.integers()), max_leaves=20)

@given(values)
def test_contents_survive_pickling(value):
    assert content_hash(contents(pickle.loads(pickle.dumps(value)))) == content_hash(contents(value))


@given(st.text("ACDX", max_size=12), st.integers(1, 3))
def test_composition_is_what_counting_by_hand_gives(sequence, k):
    places = [sequence[i:i + k] for i in range(len(sequence) - k + 1)]
    shares = dict(zip(map("".join, product("ACD", repeat=k)), Composition((k,), "ACD")([sequence])[0].tolist(), strict=True))
    assert shares == pytest.approx({word: places.count(word) / max(len(places), 1) for word in shares})


@given(st.lists(st.tuples(st.text("CNO", min_size=1), st.text("AKV", min_size=1))), st.integers(1, 5) | st.none())
def test_batches_change_nothing(pairs, size):
    smiles, sequences = [d for d, _ in pairs], [t for _, t in pairs]
    model = FunctionPredictor(awkward, batch_size=size)
    assert model.predict(smiles, sequences).tolist() == [float(v) for v in awkward(smiles, sequences)]


def test_unequal_lists_and_empty_batches_are_refused():
    with pytest.raises(InputError, match="2 SMILES for 1 sequences"): forest().predict(["C", "C"], ["MK"])
    with pytest.raises(InputError, match="batch_size 0"): FunctionPredictor(awkward, batch_size=0)
    with pytest.raises(IsaacError, match=r"shape \(18, 8\) for 18 pairs"): TorchPredictor(network().module[:1], network().encode).predict(*BOTH)


# Hugging Face

@pytest.fixture(scope="module")
def language_model(tmp_path_factory) -> Path:
    "A network of one layer with random weights, saved where the real loading code finds it."
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    import torch
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"ACDEFGHIKLMNPQRSTVWYX", *"()=#123cno"]
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([tokenizers.pre_tokenizers.WhitespaceSplit(),
                                                                tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")])
    letters.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=letters, model_max_length=96, pad_token="[PAD]", unk_token="[UNK]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                                         max_position_embeddings=96, num_labels=1, initializer_range=0.5)
        model = transformers.BertForSequenceClassification(config)
    folder = tmp_path_factory.mktemp("bert")
    for part in (model, tokenizer): part.save_pretrained(folder)
    return folder


def loaded(folder: Path, **options) -> HuggingFacePredictor:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    return HuggingFacePredictor(AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), **options)


def test_a_language_model_is_asked_as_its_own_library_would(language_model, tmp_path):
    import torch
    model = loaded(language_model, drug_tokens=33)
    assert (model.scale, model.max_target_length, identity(model).by) == ("affinity", 96 - 3 - 33, "content")
    with torch.no_grad():
        own = [model.model.eval()(**model.tokenizer(t[:60], d, return_tensors="pt")).logits.item() for d, t in zip(*BOTH, strict=True)]
    assert np.allclose(model.predict(*BOTH), own, atol=1e-5) and np.std(own) > 1e-3
    spaced = loaded(language_model, drug_tokens=33, template=spaced_target_then_drug)
    assert np.allclose(spaced.predict(*BOTH), own, atol=1e-5) # this tokenizer drops spaces
    elsewhere = shutil.copytree(language_model, tmp_path / "copy")
    assert model_hash(loaded(elsewhere, drug_tokens=33)) == model_hash(model) != model_hash(spaced)


def test_what_a_language_model_cannot_read_is_named(language_model):
    model = loaded(language_model, drug_tokens=10, truncation="left")
    assert reading(model).max_target_length == 83
    with pytest.raises(InputError, match=r"1 pairs are too long.*CC\(=O\)Oc1ccccc1C\(=O\)O.*of 96"):
        model.predict([DRUGS["aspirin"], "CCO"], ["K" * 90] * 2)
    for options, why in [({"drug_tokens": 93}, "leaves no room"), ({"scale": "probability"}, "not what it gives"),
                         ({"drug_tokens": 10, "max_target_length": 84}, "more than the 83")]:
        with pytest.raises(InputError, match=why): loaded(language_model, **options)
    model.tokenizer.model_max_length = 10**30
    with pytest.raises(InputError, match="does not say how many tokens"): HuggingFacePredictor(model.model, model.tokenizer)


# The client: small real servers that can do what a good one never would

class Scripted(BaseHTTPRequestHandler):
    "Answers as its server's `script(number of the request, questions)` says: (status, headers, body), or None to hang up."
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, dict(self.headers)))
        answer = self.server.script(len(self.server.seen), json.loads(body) if body else {})
        if answer is None:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        status, headers, text = answer
        self.send_response(status)
        for name, value in {"Content-Length": len(text.encode()), **headers}.items(): self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError): self.wfile.write(text.encode())

    do_GET = do_CONNECT = do_POST
    def log_message(self, *_): pass


@contextlib.contextmanager
def scripted(script):
    "A real server on a free port; `.url` is its address, `.seen` the requests it has had."
    running = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    running.script, running.seen, running.url = script, [], f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try: yield running
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def good(n, question): return 200, {}, json.dumps({"schema": 1, "values": [7.5] * len(question.get("pairs", []))})
def fast(url, **options) -> HTTPPredictor: return HTTPPredictor(url, **{"backoff": 0, "timeout": 20} | options)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status):
    with scripted(good) as other, scripted(lambda n, q: (status, {"Location": f"{other.url}/predict"}, "")) as first:
        with pytest.raises(IsaacError, match=f"redirects to {other.url}/predict, where nothing was sent"): fast(first.url).predict(["CCO"], ["MKV"])
        with pytest.raises(IsaacError, match="redirects to"): connect(first.url)
    assert other.seen == [] and [path for path, _ in first.seen] == ["/predict", "/reading"]


def test_proxies_and_passwords_of_the_environment_are_ignored(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with scripted(good) as proxy, scripted(good) as first:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"): monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"): monkeypatch.delenv(name, raising=False)
        assert requests.post(f"{first.url}/predict").ok and len(proxy.seen) == 1 # what a client without such care does
        assert fast(first.url, headers={"X-Key": "mine"}).predict(["CCO"], ["MKV"]).tolist() == [7.5]
    assert len(proxy.seen) == 1 and len(first.seen) == 1
    assert "Authorization" not in first.seen[0][1] and first.seen[0][1]["X-Key"] == "mine"


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://", "http://me:secret@host", "http://host/?key=1"])
def test_addresses_that_cannot_be_used(url):
    with pytest.raises(InputError, match="The address cannot be used") as refused: HTTPPredictor(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("failure", [503, 502, 504, None])
def test_what_may_pass_is_asked_again_but_not_for_ever(failure):
    def busy(n, q): return failure and (failure, {"Retry-After": "0"}, json.dumps({"detail": "the model is being loaded"}))
    with scripted(lambda n, q: busy(n, q) if n < 3 else good(n, q)) as server:
        assert fast(server.url, retries=2).predict(["C"], ["MK"]).tolist() == [7.5] and len(server.seen) == 3
    with scripted(busy) as server, pytest.raises(IsaacError, match="the model is being loaded" if failure else "asked 3 times") as refused:
        fast(server.url, retries=2).predict(["C"], ["MK"])
    assert len(server.seen) == 3 and "object at 0x" not in str(refused.value)


@pytest.mark.parametrize("status", [400, 413, 429, 500])
def test_what_will_not_pass_is_asked_once_and_repeated_in_the_servers_words(status):
    with scripted(lambda n, q: (status, {"Retry-After": "0"}, "out of memory")) as server:
        with pytest.raises(IsaacError, match=f"{status} .*out of memory"): fast(server.url).predict(["C"], ["MK"])
    assert len(server.seen) == 1


def test_pauses_double_and_a_server_cannot_ask_for_hours():
    again, pauses = patient(retries=4, backoff=0.5), []
    for _ in range(4):
        again = again.increment("POST", "/predict", HTTPResponse(status=503))
        pauses.append(again.get_backoff_time())
    assert pauses == [0, 1, 2, 4] # the first repetition is immediate
    assert [again.get_retry_after(HTTPResponse(headers=h)) for h in ({}, {"Retry-After": "7"}, {"Retry-After": "86400"})] == [None, 7, 120]


def test_nobody_at_the_address():
    with scripted(good) as server: url = server.url
    with pytest.raises(IsaacError, match=r"/predict cannot be reached, asked 3 times: .*refused"): fast(url, retries=2).predict(["C"], ["MK"])


def test_a_silent_server_is_given_up_and_not_asked_again():
    answered = threading.Event()
    def silent(n, q): answered.wait(30); return good(n, q)
    with scripted(silent) as server:
        with pytest.raises(IsaacError, match=r"was silent for 0.2 s.*batch_size"): fast(server.url, timeout=0.2).predict(["C"], ["MK"])
        answered.set()
    assert len(server.seen) == 1


@pytest.mark.parametrize("text, why", [
    ("<html>", "did not answer with JSON but with '<html>'"), ("[1]", "schema 1"), ('{"schema": 2, "values": [1]}', "schema 1"),
    ('{"schema": 1}', "NoneType, not with a list"), ('{"schema": 1, "values": [1, 2]}', "2 values to 1 pairs"),
    ('{"schema": 1, "values": ["7.5"]}', "'7.5' to pair 0, not a number"), ('{"schema": 1, "values": [true]}', "True to pair 0, not a number"),
])
def test_an_answer_outside_the_schema_is_refused(text, why):
    with scripted(lambda n, q: (200, {}, text)) as server, pytest.raises(IsaacError, match=re.escape(why)): fast(server.url).predict(["C"], ["MK"])


def test_a_server_that_does_not_say_how_it_reads_needs_a_declared_scale():
    with scripted(lambda n, q: (404, {}, "not found")) as server:
        with pytest.raises(InputError, match="Declare the scale"): connect(server.url)
        assert reading(load_predictor(server.url, scale="logit", max_target_length=900)) == Reading("logit", 900)


# The server

@pytest.fixture(scope="module")
def service():
    "A model that has limits, and fails for one drug."
    def predict(smiles, sequences):
        if "C#N" in smiles: raise RuntimeError("CUDA out of memory")
        if "C#C" in smiles: raise InputError("the model reads no alkynes")
        return [] if "C=C" in smiles else lysines(smiles, sequences)
    with serving(FunctionPredictor(predict, scale="logit", max_target_length=50), max_body=20_000, max_pairs=10) as address: yield address


def posted(address: str, body, **options) -> tuple[int, str]: # status, detail
    answer = requests.post(f"{address}/predict", data=body, headers={"Content-Type": "application/json"}, timeout=20, **options)
    assert "Traceback" not in answer.text and ".py" not in answer.text
    return answer.status_code, answer.json().get("detail", "")


def question(*pairs) -> str: return json.dumps({"schema": 1, "pairs": [{"smiles": d, "sequence": t} for d, t in pairs]})


@pytest.mark.parametrize("body, why", [
    ("{", "JSON"), ("", "required"), ("[]", "valid dictionary"), ("{}", "schema: Field required; pairs: Field required"),
    ('{"schema": 2, "pairs": []}', "schema: Input should be 1"), ('{"schema": 1, "pairs": [{"smiles": "C"}]}', "pairs.0.sequence: Field required"),
    ('{"schema": 1, "pairs": [{"smiles": 7, "sequence": "MK"}]}', "pairs.0.smiles: Input should be a valid string"),
    ('{"schema": 1, "pairs": [{"smiles": "C", "sequence": "MK", "dose": 1}]}', "pairs.0.dose: Extra inputs"),
    (question(*[("C", "MK")] * 11), "11 pairs are more than the 10 of one question"),
    (question(("C", "")), "pairs.0.sequence: String should have at least 1"),
    (json.dumps({"schema": 1, "pairs": [{}] * 10}), "and 10 more"), (question(("C#C", "MK")), "the model reads no alkynes"),
])
def test_a_malformed_question_is_told_why(service, body, why):
    status, said = posted(service, body)
    assert status == 422 and why in said


@pytest.mark.parametrize("smiles, why", [("C#N", "RuntimeError: CUDA out of memory"), ("C=C", "returned shape (0,) for 1 pairs")])
def test_a_failing_model_says_so_without_a_traceback(service, smiles, why):
    status, said = posted(service, question((smiles, "MK")))
    assert status == 500 and why in said
    with pytest.raises(IsaacError, match=re.escape(why)): connect(service).predict([smiles], ["MK"])


@pytest.mark.parametrize("size", [20_001, 3_000_000])
def test_large_bodies_are_refused_whether_or_not_their_length_is_known(service, size):
    def pieces():
        for start in range(0, size, 1_000): yield b"x" * min(1_000, size - start)
    for body in (b"x" * size, pieces()):
        status, said = posted(service, body)
        assert status == 413 and "larger than 20,000 bytes" in said
    assert posted(service, question(("C", "MK")))[0] == 200


def test_batches_fit_the_server_and_no_two_reach_the_model_at_once():
    inside, together = threading.Semaphore(1), []
    def predict(smiles, sequences):
        alone = inside.acquire(blocking=False)
        together.append((alone, len(smiles)))
        threading.Event().wait(0.01)
        if alone: inside.release()
        return lysines(smiles, sequences)
    with serving(predict, max_pairs=10) as address:
        model = connect(address, batch_size=10)
        askers = [threading.Thread(target=model.predict, args=(["C"] * 25, ["MKK"] * 25)) for _ in range(4)]
        for asker in askers: asker.start()
        for asker in askers: asker.join()
    assert len(together) == 12 and all(alone for alone, _ in together) and {n for _, n in together} == {10, 5}


# Programs

def test_lines_go_through_one_process_and_tables_through_one_each(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps({"C MK": 0.1 + 0.2, "C MV": float("nan")}))
    for code, form, processes in ((LINES, "jsonl", 1), (TABLE, "csv", 3)):
        model = SubprocessPredictor(python(code, tmp_path / "table.json"), form, batch_size=1)
        assert np.array_equal(model.predict(["C"] * 3, ["MK", "MV", "MK"]), [0.1 + 0.2, np.nan, 0.1 + 0.2], equal_nan=True)
        model.close()
        assert len(set((tmp_path / "table.json.pids").read_text().split())) == processes
        (tmp_path / "table.json.pids").unlink()


def test_a_program_may_answer_while_it_is_still_being_asked():
    "Far more than a pipe holds, in both directions; what it writes to its standard error does not block it either."
    code = "import sys\nfor line in sys.stdin: sys.stderr.write(line); print(len(line) * 1.0 if line.strip() else '')\nsys.stdout.flush()"
    model = SubprocessPredictor([sys.executable, "-u", "-c", code], timeout=60, batch_size=None)
    line = json.dumps({"smiles": "C", "sequence": "K" * 500}) + "\n"
    with contextlib.closing(model): assert set(model.predict(["C"] * 2_000, ["K" * 500] * 2_000)) == {len(line)}


DIES = "import sys; sys.stdin.readline(); print(1); sys.stderr.write('loading\\nno GPU found\\n'); sys.exit(3)"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("code, says", [(DIES, ["exit code 3", "no GPU found"]), (KILLED, ["exit code -9", "it wrote nothing"])])
def test_a_program_that_ends_says_why(form, code, says):
    with pytest.raises(IsaacError) as failed: SubprocessPredictor(python(code), form).predict(["C", "C"], ["MK", "MK"])
    assert [word for word in says if word not in str(failed.value)] == []


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_program_that_hangs_is_ended_with_all_it_started(form, tmp_path):
    code = "import os, subprocess, sys\nsys.stderr.write('waiting\\n'); sys.stderr.flush()\n" \
           "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" \
           "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}'); child.wait()"
    model = SubprocessPredictor(python(code, tmp_path / "pids"), form, timeout=1.5)
    with pytest.raises(IsaacError, match=r"not finished .*after 1.5 s; it last wrote:\s+waiting"): model.predict(["C"], ["MK"])
    for pid in map(int, (tmp_path / "pids").read_text().split()): gone(pid)


def gone(pid: int) -> None:
    "Wait until a process has ended; a test that hangs here has found one that did not."
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z": time.sleep(0.01)


@pytest.mark.parametrize("form, prints, why", [
    ("jsonl", "1\\n2\\n", "2 values to 1 pairs"), ("jsonl", "strong\\n", "'strong' to pair 0, not a number"), ("jsonl", "[1]\\n", "[1] to pair 0"),
    ("jsonl", '{"score": 1}\\n', "score"), ("csv", "value\\n1\\n2\\n", "2 values to 1 pairs"), ("csv", "score\\n1\\n", "no column `value`"),
    ("csv", "", "no column `value`"), ("csv", "value\\nNA\\n", "'NA' to pair 0, not a number"),
])
def test_an_answer_outside_the_protocol_is_refused(form, prints, why):
    code = f"import sys; print('''{prints}''', flush=True); sys.stdin.readline()" if form == "jsonl" else f"print('''{prints}''', end='')"
    with pytest.raises(IsaacError, match=re.escape(why)): SubprocessPredictor(python(code), form).predict(["C"], ["MK"])


def test_no_shell_is_involved(tmp_path):
    arguments = ["; touch hacked", "$(touch hacked)", "| cat"]
    code = "import json, sys\nprint('value')\nfor _ in range(1): print(int(sys.argv[1:] == json.loads('" + json.dumps(arguments) + "')))"
    assert SubprocessPredictor(python(code, *arguments), "csv").predict(["C"], ["MK"]).tolist() == [1]
    with pytest.raises(InputError, match="not a list of the program"): SubprocessPredictor("python model.py")
    with pytest.raises(InputError, match="no-such-program.*No such file"): SubprocessPredictor(["no-such-program"]).predict(["C"], ["MK"])


# The command line

MODELS = """
import numpy as np

def lysines(smiles, sequences): return np.array([t.count("K") + len(d) / 7 for d, t in zip(smiles, sequences)], float)

class Model:
    scale, max_target_length, made = "affinity", 140, 0
    def __init__(self): Model.made += 1
    def predict(self, smiles, sequences): return lysines(smiles, sequences)

"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    "The working directory, with data and a module of its own name."
    write_toy(tmp_path)
    (tmp_path / f"models_of_{tmp_path.name}.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    return tmp_path


def audited(model: str, out: str, *options):
    asked = "--dataset pairs.csv --threshold 6.5 --prior pocket.csv --operators mask --matchings geometry --doses 5 --repeats 1 --seeds 1"
    return CliRunner().invoke(app, ["audit", model, *asked.split(), "--out", out, "--json", "--quiet", *options])


def test_objects_and_addresses_are_audited_on_the_command_line(folder):
    module = f"models_of_{folder.name}"
    by_function = audited(f"{module}:lysines", "function")
    by_class = audited(f"{module}:Model", "class", "--mask-token", "A", "--max-target-length", "150")
    assert by_function.exit_code == by_class.exit_code == 0, by_function.output + by_class.output
    assert sys.modules[module].Model.made == 1
    with serving(sys.modules[module].lysines) as address: by_address = audited(address, "address")
    done = (by_function, by_class, by_address) # a count of lysines does not care which letter stands in their place
    scores = [[row | {"model": ""} for row in json.loads(d.stdout)["scores"]] for d in done]
    assert scores[0] == scores[1] == scores[2]
    said = [json.loads((folder / name / "manifest.json").read_text()) for name in ("function", "class", "address")]
    assert [m["model"]["name"] for m in said] == [f"{module}:lysines", f"{module}:Model", address]
    assert [m["model"][name] for m in said[1:2] for name in ("max_target_length", "mask_token")] == [150, "A"]
    assert [m["data"]["pairs"] for m in said] == [120, 120, 120]


def test_a_served_model_is_heard_of_by_name_and_ends_with_ctrl_c(folder):
    "The command in a process of its own, on a port that is free."
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    asked = ["serve", f"models_of_{folder.name}:Model", "--port", "0", "--scale", "logit", "--max-pairs", "2"]
    serving_ = subprocess.Popen(python("from isaac.cli import app; app(prog_name='isaac')", *asked), env=around, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while not (found := re.search(r"running on (http://[\d.:]+)", said)):
            line = serving_.stderr.readline()
            assert line, said
            said += line
        model = load_predictor(found[1])
        assert reading(model) == Reading("logit", 140)
        assert replace(model, batch_size=2).predict(["C" * 7] * 5, ["MKK"] * 5).tolist() == [3] * 5
        with pytest.raises(IsaacError, match="422 .*5 pairs are more than the 2 of one question"): model.predict(["C"] * 5, ["MKK"] * 5)
        serving_.send_signal(signal.SIGINT)
        assert "Traceback" not in serving_.communicate(timeout=60)[1]
    finally: serving_.kill()


def test_models_that_cannot_be_found_are_refused_with_what_there_is(folder):
    module = f"models_of_{folder.name}"
    (folder / "needs_something.py").write_text("import no_such_package")
    for spec, why in [("nowhere:model", "no module 'nowhere'"), (f"{module}:absent", "It has: np, lysines, Model"),
                      (f"{module}:np", "of type module"), ("textwrap:dedent", "it takes (text)"), ("math:pi", "of type float")]:
        done = audited(spec, "out")
        assert done.exit_code == 2 and why in done.stderr and "Traceback" not in done.stderr, done.stderr
    with pytest.raises(IsaacError, match="Importing needs_something failed: ModuleNotFoundError: No module named 'no_such_package'"):
        load_predictor("needs_something:model")
    wrong = audited(f"{module}:lysines", "out", "--scale", "percent", "--mask-token", "MASK")
    assert wrong.exit_code == 2 and "scale 'percent'" in wrong.stderr and "mask_token 'MASK'" in wrong.stderr
