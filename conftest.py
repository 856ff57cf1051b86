"""One profile for all property tests (a busy machine is no failure), and who needs two GPUs."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Two processes share the CPU, but not a GPU."""
    if item.get_closest_marker("two_processes") and torch.cuda.device_count() == 1:
        pytest.skip("two processes need two GPUs, or none")
