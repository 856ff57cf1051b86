"""A home of its own for each test of training, with the corpus rendered once."""

import pytest
import torch
from small_runs import new_home


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory):
    """The corpus and its bank, rendered once."""
    return tmp_path_factory.mktemp("ssps")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """For what a module shares, too: bits depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def home(shared_home, tmp_path, monkeypatch):
    """An empty cache whose corpora and banks are the shared ones, and no records."""
    folder = new_home(tmp_path / "home", shared_home)
    monkeypatch.setenv("SSPS_HOME", str(folder))
    monkeypatch.setenv("SSPS_RECORDS", str(folder / "records"))
    return folder
