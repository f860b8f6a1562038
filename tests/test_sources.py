"""Public files and the KLIFS service, over real connections to a server on this machine's loopback."""
import json
import os
import pickle
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isaac import sources
from isaac.core import DownloadError, InputError
from isaac.sources import SOURCES, fetch, fetch_group, klifs_kinases, klifs_structures, load_pickled_array

NAME = "davis/ligands_can.txt"
PATH = SOURCES[NAME].path


class Handler(BaseHTTPRequestHandler):
    "Gives the request's path to the server's `answer`, which returns (status, body, promised length, delay in seconds)."
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body, promised, delay = self.server.answer(self.path)
        time.sleep(delay)
        self.send_response(status)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        try: self.wfile.write(body)
        except OSError: pass # the client gave up waiting, as one test wants

    def log_message(self, *args): pass


@contextmanager
def serving(answer):
    "A server on a free loopback port; yields (its address, the list of paths it was asked for)."
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answer, server.asked = answer, []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try: yield f"http://127.0.0.1:{server.server_port}", server.asked
        finally: server.shutdown()


def body(content: bytes, status: int = 200, promised: int | None = None, delay: float = 0):
    return status, content, len(content) if promised is None else promised, delay


@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache, and no proxy between this process and its own server."
    monkeypatch.setenv("ISAAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def closed_port():
    "An address at which nobody listens."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}"


def files_in(folder): return sorted(p.name for p in folder.rglob("*") if p.is_file())


# Mirrors

def test_directory_mirror_is_used_in_place(mirror, cache, monkeypatch):
    monkeypatch.setenv("ISAAC_MIRROR", str(mirror))
    assert fetch(NAME) == mirror / PATH
    assert files_in(cache) == []


def test_http_mirror_is_downloaded_once(mirror, cache, monkeypatch):
    with serving(lambda path: body((mirror / path.lstrip("/")).read_bytes())) as (address, asked):
        monkeypatch.setenv("ISAAC_MIRROR", address + "/")
        first = fetch_group("davis")
        second = fetch_group("davis")
    assert first == second and len(asked) == len(first) == 6
    for name, path in first.items(): assert path.read_bytes() == (mirror / SOURCES[name].path).read_bytes()


def test_a_spoiled_cache_is_mended(mirror, cache, monkeypatch):
    with serving(lambda path: body((mirror / path.lstrip("/")).read_bytes())) as (address, asked):
        monkeypatch.setenv("ISAAC_MIRROR", address)
        fetch(NAME).write_text("spoiled")
        assert fetch(NAME).read_bytes() == (mirror / PATH).read_bytes()
    assert len(asked) == 2


def test_a_busy_server_is_asked_again(mirror, cache, monkeypatch):
    answers = [body(b"busy", 503), body((mirror / PATH).read_bytes())]
    with serving(lambda path: answers.pop(0)) as (address, asked):
        monkeypatch.setenv("ISAAC_MIRROR", address)
        assert fetch(NAME).read_bytes() == (mirror / PATH).read_bytes()


# Files that are not what they should be

def spoiled(mirror, how):
    whole = (mirror / PATH).read_bytes()
    return {"html": body(b"<!DOCTYPE html><html><title>Sign in to the network</title></html>"),
            "short": body(whole[:-1]),
            "altered": body(b"x" + whole[1:]),
            "cut off": body(whole[:1000], promised=len(whole)),
            "not found": body(b"<html><title>404</title></html>", 404)}[how]


@pytest.mark.parametrize(("how", "words"), [("html", "an HTML page titled 'Sign in to the network'"),
                                            ("short", "a file cut short of 5,305 bytes"), ("altered", "an altered file of 5,306 bytes"),
                                            ("cut off", "IncompleteRead"), ("not found", "404")])
def test_a_broken_download_is_refused_and_leaves_nothing(mirror, cache, monkeypatch, how, words):
    with serving(lambda path: spoiled(mirror, how)) as (address, asked):
        monkeypatch.setenv("ISAAC_MIRROR", address)
        with pytest.raises(DownloadError) as error: fetch(NAME)
    message = str(error.value)
    assert words in message and address in message and PATH in message
    if how in ("html", "short", "altered"): assert f"expected 5,306 bytes with sha256 {SOURCES[NAME].sha256}" in message
    assert len(asked) == 3 and files_in(cache) == []


def test_altered_files_of_a_directory_mirror_are_all_named(mirror, cache, tmp_path, monkeypatch):
    copy = tmp_path / "mirror"
    shutil.copytree(mirror / "hkmztrk", copy / "hkmztrk", copy_function=shutil.copyfile)
    for path in copy.rglob("*"): path.chmod(0o755)
    (copy / PATH).write_text("<html><title>Oops</title>")
    (copy / SOURCES["davis/Y"].path).unlink()
    monkeypatch.setenv("ISAAC_MIRROR", str(copy))
    with pytest.raises(DownloadError) as error: fetch_group("davis")
    assert "2 of 6 files" in str(error.value) and "'Oops'" in str(error.value) and "davis/Y" in str(error.value)
    assert str(copy) in str(error.value) and len(fetch_group("kiba")) == 6


# No connection

def test_without_network_and_mirror_one_message_says_what_to_set(cache, monkeypatch, closed_port):
    monkeypatch.delenv("ISAAC_MIRROR", raising=False)
    monkeypatch.setattr(sources, "ORIGIN", closed_port + "/")
    with pytest.raises(DownloadError) as error: fetch_group("davis")
    message = str(error.value)
    assert "6 of 6 files" in message and "set ISAAC_MIRROR to a directory" in message and "no connection" in message
    assert all(source.path in message for source in SOURCES.values() if source.group == "davis")


def test_without_network_the_cache_still_serves(mirror, cache, monkeypatch, closed_port):
    kept = SOURCES["davis/proteins.txt"]
    (cache / kept.path).parent.mkdir(parents=True)
    shutil.copyfile(mirror / kept.path, cache / kept.path)
    monkeypatch.setenv("ISAAC_MIRROR", closed_port)
    assert fetch(kept.name) == cache / kept.path
    with pytest.raises(DownloadError, match="5 of 6 files") as error: fetch_group("davis")
    assert kept.path not in str(error.value)


def test_unknown_names_and_places(monkeypatch):
    with pytest.raises(InputError, match="davis/Z"): fetch("davis/Z")
    with pytest.raises(InputError, match="Known: davis, kiba, klifs"): fetch_group("bindingdb")
    monkeypatch.setenv("ISAAC_MIRROR", "ftp://nowhere")
    with pytest.raises(DownloadError, match=r"neither an existing directory nor an http\(s\) address"): fetch(NAME)


# Pickles

@given(arrays.arrays(st.sampled_from([np.float64, np.float32, np.int64]), arrays.array_shapes(max_dims=3)), st.sampled_from([3, 4]))
def test_arrays_survive_the_restricted_reader(tmp_path_factory, array, protocol):
    path = tmp_path_factory.mktemp("pickle") / "Y"
    path.write_bytes(pickle.dumps(array, protocol=protocol))
    read = load_pickled_array(path)
    assert read.dtype == array.dtype and np.array_equal(read, array, equal_nan=True)


class Command:
    def __init__(self, path): self.path = str(path)
    def __reduce__(self): return os.system, (f"touch {self.path}",)


class Buffer:
    "An array made by calling ndarray itself, with arguments of the attacker's choice."
    def __reduce__(self): return np.ndarray, ((1,), np.dtype("f8"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_a_pickle_is_run(tmp_path, protocol):
    target = tmp_path / "touched"
    for content in (Command(target), np.array([Command(target)], dtype=object), Buffer(), {"Y": 1}):
        (tmp_path / "Y").write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(InputError, match="Not a pickled array of numbers"): load_pickled_array(tmp_path / "Y")
    assert not target.exists()


def test_every_truncation_of_a_pickle_is_refused(tmp_path):
    whole = pickle.dumps(np.arange(4.), protocol=3)
    for end in range(len(whole)):
        (tmp_path / "Y").write_bytes(whole[:end])
        with pytest.raises(InputError): load_pickled_array(tmp_path / "Y")


# The KLIFS service

RECORD = {"kinase_ID": 392, "name": "ABL1", "gene_name": "ABL1", "family": "Abl", "group": "TK", "subfamily": "", "species": "Human",
          "full_name": "made up", "uniprot": "P00519", "iuphar": "1923", "pocket": "HKLGG" * 17}


def as_json(value): return body(json.dumps(value).encode())


def test_live_kinases_from_a_recorded_answer(mirror, cache):
    recorded = mirror.parent / "klifs_api" / "kinase_information.json"
    if not recorded.exists(): pytest.skip("no recorded answer of the KLIFS service beside the mirror")
    with serving(lambda path: body(recorded.read_bytes())) as (address, asked):
        live = klifs_kinases("live", url=f"{address}/api_v2/")
    assert asked == ["/api_v2/kinase_information?species=Human"]
    snapshot = klifs_kinases()
    assert len(live) == 549 and live.pocket.ne("").sum() == 519 and list(live) == list(snapshot)
    assert {"JAK1-b", "PIK3C2B"} <= set(live.name) - set(snapshot.name)
    shared = snapshot[snapshot.pocket.ne("")].merge(live, on="kinase_id")
    assert (shared.pocket_x == shared.pocket_y).all() and len(shared) == 487


def test_live_kinases_after_two_failures(cache):
    answers = [body(b"", 500), body(b"", 502), as_json([RECORD])]
    with serving(lambda path: answers.pop(0)) as (address, asked): kinases = klifs_kinases("live", url=address)
    assert kinases.iloc[0].to_dict() == {"kinase_id": 392} | {c: RECORD[c] for c in sources.KINASE_COLUMNS[1:]}


@pytest.mark.parametrize(("answer", "words"), [
    (body(b"", 500), "status 500 after up to 1 retries"), (body(b"", 404), "status 404"),
    (body(b"<html><title>Down</title>"), "an HTML page titled 'Down'"), (body(b"{]"), "2 bytes starting with b'{]'"),
    (as_json([]), "JSON list of kinases"), (as_json([400, "unknown species"]), "unknown species"), (as_json({"a": 1}), "JSON list of kinases"),
    (as_json([{k: v for k, v in RECORD.items() if k != "pocket"}]), "['pocket']"),
    (as_json([RECORD | {"name": f"K{i}", "pocket": "HKL"} for i in range(30)]), "30 unusable entries"),
    (as_json([RECORD | {"kinase_ID": "abl"}]), "not a number"), (body(b"[", promised=100), "does not answer"),
    (body(b"[]", delay=2), "does not answer")])
def test_a_service_that_misbehaves_is_described(cache, answer, words):
    with serving(lambda path: answer) as (address, asked), pytest.raises(DownloadError) as error:
        klifs_kinases("live", url=address, timeout=0.5, retries=1)
    assert words in str(error.value) and address in str(error.value) and len(asked) <= 2


def test_no_service_at_all(closed_port, cache):
    with pytest.raises(DownloadError, match="does not answer"): klifs_kinases("live", url=closed_port, retries=0)
    with pytest.raises(InputError, match="'yesterday'"): klifs_kinases("yesterday")


def test_structures_keep_every_row_and_the_fingerprints_text(mirror):
    structures = klifs_structures()
    assert len(structures) == 11_592 and structures.pdb.notna().all()
    some = structures[structures.ifp != ""].ifp
    assert some.str.fullmatch("[01]{595}").all() and structures.resolution.dtype == float
