"""What every test may rely on: the public data's mirror, a cache of its own, and the same examples in every run."""
import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("isaac", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("isaac")

BESIDE_THE_REPOSITORY = Path(__file__).parents[2] / "shared" / "data" / "mirror"


def find_mirror() -> Path | None:
    "The mirror directory: `ISAAC_MIRROR`, else the one beside the repository, else none."
    named = os.environ.get("ISAAC_MIRROR")
    candidate = Path(named) if named else BESIDE_THE_REPOSITORY
    return candidate.resolve() if candidate.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def settings_of_the_session(tmp_path_factory):
    "Every run starts with an empty cache, takes public files from the mirror if there is one, and opens no window."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISAAC_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLBACKEND", "Agg")
        if found := find_mirror(): patch.setenv("ISAAC_MIRROR", str(found))
        yield


@pytest.fixture(scope="session")
def mirror(settings_of_the_session) -> Path:
    "A directory with the public files, laid out as after the host name of their addresses; downloaded where no mirror is given."
    if found := find_mirror(): return found
    from isaac.core import DownloadError, cache_dir
    from isaac.sources import fetch_group
    try:
        for group in ("davis", "kiba", "klifs"): fetch_group(group)
    except DownloadError as error:
        pytest.skip(f"the public data cannot be had: set ISAAC_MIRROR to a directory that holds hkmztrk/, choderalab/ and volkamerlab/ ({error})")
    return cache_dir()


@pytest.fixture(scope="module")
def one_thread():
    "Models this small gain nothing from more, and lose much when the tests run beside others."
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
