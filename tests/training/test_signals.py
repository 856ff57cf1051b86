"""SIGTERM and SIGINT: the iteration ends, a checkpoint is written, and nobody is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from killing import PATIENCE, until_killed, wait_for
from small_runs import new_home, outcome, tiny
from test_frameworks_samplers import config_of

from ssps_lib import training
from ssps_lib.training import run_folder, state
from ssps_lib.training.signals import STARTER_LIVES, noticed

QUICK = tiny(epochs=2, average_last=1)


def position(config) -> tuple[int, int]:
    found, _ = state.read(state.find(run_folder(config) / "checkpoint"))
    return found["epoch"], found["step"]


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, "SystemExit"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_a_signal_ends_the_iteration_and_leaves_a_checkpoint(home, tmp_path, number, kind):
    moment = ("ssps_lib.training.loop:iteration", 6, number)
    assert until_killed(QUICK, home, tmp_path / "notes", moment) == 1
    notes = (tmp_path / "notes").read_text().splitlines()
    name = signal.Signals(number).name
    assert notes[:-1] == ["iteration"] * 6  # the sixth was finished, no other begun
    assert notes[-1].startswith(f"{kind}: {name} stopped the training in epoch 2 after step 2 of 4")
    assert notes[-1].endswith("start the same run again and it continues from there")
    assert position(QUICK) == (1, 2)
    assert until_killed(QUICK, home, tmp_path / "notes", None) == 0
    assert (tmp_path / "notes").read_text().split().count("iteration") == 8
    resumed = outcome(QUICK)
    new_home(tmp_path / "other", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(tmp_path / "other"))
        training.run(QUICK)
        assert outcome(QUICK) == resumed


def test_a_signal_while_the_queues_are_filled_claims_no_checkpoint(home, tmp_path):
    config = config_of("simclr", "ssps-clustering")
    moment = ("ssps_lib.training.ssps:SSPS.insert", 2, signal.SIGTERM)
    assert until_killed(config, home, tmp_path / "notes", moment) == 1
    last = (tmp_path / "notes").read_text().splitlines()[-1]
    assert "SIGTERM stopped the training while the queues were filled; no epoch had begun" in last
    assert "checkpoint" not in last
    assert not (run_folder(config) / "checkpoint").exists()


@pytest.fixture
def interruptible():
    """SIGINT as a terminal has it; a shell's background process would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_does_not_wait(interruptible):
    with pytest.raises(KeyboardInterrupt), noticed() as notice:
        os.kill(os.getpid(), signal.SIGINT)
        assert notice.number == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # and the handler of before is back
        os.kill(os.getpid(), signal.SIGINT)


def environment(home: Path) -> dict[str, str]:
    root = str(Path(training.__file__).parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return os.environ | {"SSPS_HOME": str(home), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def test_the_command_line_says_how_to_go_on(home, tmp_path):
    """`python -m ssps_lib.training`, told to end from outside as SLURM does."""
    config = tiny(epochs=500)
    (tmp_path / "run.json").write_text(json.dumps(asdict(config)))
    process = subprocess.Popen(
        [sys.executable, "-m", "ssps_lib.training", "--config", tmp_path / "run.json"],
        env=environment(home) | {"ACCELERATE_USE_CPU": "true"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for((run_folder(config) / "checkpoint").exists)
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert re.match("SIGTERM stopped the training (in|after) epoch", last)
    assert state.find(run_folder(config) / "checkpoint") is not None


FOLLOWER = """
import sys, time
from ssps_lib.training.signals import follow_starter
follow_starter()
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize(("seconds", "status"), [("0.5", 0), ("3600", -signal.SIGTERM)])
def test_a_process_ends_with_its_starter_or_before_it_as_it_likes(tmp_path, seconds, status):
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, seconds],
        env=environment(tmp_path) | {STARTER_LIVES: "1"}, stdin=subprocess.PIPE,
    )  # fmt: skip
    if status != 0:
        process.stdin.close()  # as when the starter is gone
    assert process.wait(PATIENCE) == status


CHAPTER = """
import sys
from ssps_lib import training
from ssps_lib.training import from_dict
import json
training.run(from_dict(json.loads(sys.argv[1])), num_processes=2)
"""


def ranks_of(config) -> list[psutil.Process]:
    """All processes on this machine that the launch of a run started."""
    mark = str(run_folder(config) / "launch.json")
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.two_processes
def test_two_processes_end_with_the_one_that_started_them_and_go_on(home, tmp_path, monkeypatch):
    """Shuffled norms differ between the processes; SSPS has clusters, queues and observers."""
    corpus = tiny().corpus_options | {"utterances": 4}  # 16 steps an epoch
    config = config_of(
        "moco", "ssps-clustering", epochs=2, batch_size=4, corpus_options=corpus, average_last=1,
        framework_options={"queue_size": 16, "momentum": 0.9, "shuffled_norms": True},
    )  # fmt: skip
    training.run(config, num_processes=2)
    expected = outcome(config)

    other = new_home(tmp_path / "other", home)
    monkeypatch.setenv("SSPS_HOME", str(other))
    command = [sys.executable, "-c", CHAPTER, json.dumps(asdict(config))]
    settings = environment(other) | {"SSPS_CHECKPOINT_MINUTES": "0"}
    chapter = subprocess.Popen(command, env=settings)
    wait_for((run_folder(config) / "checkpoint").exists)
    assert len(ranks_of(config)) == 3  # the launcher and two ranks
    chapter.kill()
    chapter.wait()
    wait_for(lambda: not ranks_of(config))
    assert training.load(config) is None
    assert (0, 0) < position(config) < (2, 0)
    training.run(config, num_processes=2)
    assert outcome(config) == expected
