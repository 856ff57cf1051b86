"""After a run nothing is left: no files, threads, processes, and no memory of its parts."""

import gc
import os
import signal
import sys
import threading
import time

import psutil
import pytest
import torch
from bad_runs import SSPS, tiny

from ssps_lib import training
from ssps_lib.training import launch
from ssps_lib.training.build import Parts

PATIENCE = 900.0  # seconds; nothing is timed


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, and one thread."""
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path / "records"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "home"
    torch.set_num_threads(threads)


def held() -> dict[str, int]:
    """Open files, threads and children of this process, and parts of runs in its memory."""
    gc.collect()
    process = psutil.Process()
    return {
        "files": process.num_fds(),
        "threads": threading.active_count(),
        "children": len(process.children(recursive=True)),
        "parts": sum(isinstance(thing, Parts) for thing in gc.get_objects()),
    }


def test_sixty_iterations_leave_what_one_run_leaves():
    """The first run opens the corpus, the second must give back all that it took."""
    training.run(tiny())
    before = held()
    assert before["parts"] == 0
    run = training.run(tiny(**SSPS, epochs=15, seed=2))
    assert run.metrics["epoch"].tolist() == list(range(1, 16))  # of four iterations each
    assert held() == before


@pytest.mark.two_processes
def test_interrupting_a_cell_stops_what_it_started(monkeypatch):
    """A launcher that would go on for ever, and the stop button of a notebook."""
    forever = [sys.executable, "-c", "import time; time.sleep(3600)"]
    monkeypatch.setattr(launch, "command", lambda *arguments: forever)
    started = []

    def press_stop() -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not started:
            children = psutil.Process().children()
            started.extend(c for c in children if c.cmdline()[-1:] == forever[-1:])
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press_stop)
    finger.start()
    with pytest.raises(KeyboardInterrupt, match="SIGINT stopped the training of simclr-ssl"):
        training.run(tiny(seed=3), num_processes=2)
    finger.join()
    assert len(started) == 1 and not started[0].is_running()
