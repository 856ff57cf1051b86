"""For all tests: a profile of property tests (a busy machine is no failure), an order, a home."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

NO_TEXT = ("image/svg+xml", "stderr")  # of a chapter under nbval: neither is compared
LONGEST = ("test_papermill.py", "test_browser.py", "test_processes.py")


def pytest_configure(config: pytest.Config) -> None:
    """`pytest --nbval CHAPTER` needs no more: this Python, and addresses of objects may differ."""
    option = config.option
    if hasattr(option, "nbval"):
        option.nbval_current_env |= option.nbval_kernel_name is None
        addresses = f"{config.rootpath}/tests/nbval.cfg"
        option.nbval_sanitize_with = option.nbval_sanitize_with or addresses


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for chapter in {item.parent for item in items if hasattr(item.parent, "skip_compare")}:
        chapter.skip_compare += NO_TEXT


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder for runs and corpora."""
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Two processes share the CPU, but not a GPU."""
    if item.get_closest_marker("two_processes") and torch.cuda.device_count() == 1:
        pytest.skip("two processes need two GPUs, or none")
