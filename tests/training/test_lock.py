"""Two that ask for the same run train it once; two different runs do not meet."""

import fcntl
import json
import os
import signal
import socket
import time

import pytest
from killing import PATIENCE, start, until_killed, wait_for
from test_resume import outcome

from conftest import new_home, tiny
from ssps_lib import training
from ssps_lib.training import launch, lock, run_folder

QUICK = tiny(epochs=2, average_last=1)


def test_two_askers_train_once_and_other_runs_are_not_held_up(home, tmp_path):
    notes = [tmp_path / name for name in ("one", "two", "other")]
    configs = [QUICK, QUICK, QUICK.with_(seed=5)]
    processes = []
    for config, note in zip(configs, notes, strict=True):
        processes.append(start(config, home, note))
        wait_for((run_folder(config) / lock.FILE).exists)
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    one, two, other = (note.read_text().splitlines() for note in notes)
    assert sorted([one.count("iteration"), two.count("iteration")]) == [0, 8]
    assert one[-1] == two[-1] and one[-1].startswith("eer ")
    waiting = [line for line in one + two if "is being trained by process" in line]
    assert len(waiting) == 1 and waiting[0].endswith(": waiting for it")
    assert other.count("iteration") == 8 and "trained by" not in "".join(other)
    assert not list(home.glob(f"runs/*/{lock.FILE}"))
    together = outcome(configs[2])
    alone = new_home(tmp_path / "alone", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(alone))
        training.run(configs[2])
        assert outcome(configs[2]) == together


def test_the_lock_of_a_killed_process_is_taken_over_with_a_message(home, tmp_path):
    moment = ("ssps_lib.training.loop:Trainer.iteration", 2, signal.SIGKILL)
    assert until_killed(QUICK, home, tmp_path / "notes", moment) == -signal.SIGKILL
    owner = json.loads((run_folder(QUICK) / lock.FILE).read_text())
    assert set(owner) == {"host", "pid", "started"}
    message = rf"lock of run {QUICK.name} was left by process {owner['pid']} on .* taken over"
    with pytest.warns(UserWarning, match=message):
        training.run(QUICK)


def sign(path, host: str, age: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": host, "pid": 1, "started": "2026-01-01T00:00:00+00:00"}))
    os.utime(path, (time.time() - age,) * 2)


def test_an_owner_on_another_machine_lives_while_it_touches_the_file(tmp_path):
    sign(tmp_path / lock.FILE, "elsewhere", age=10)
    with (
        pytest.raises(RuntimeError, match=r"trained by process 1 on elsewhere since .*wait for it"),
        lock.held(tmp_path, wait=False),
    ):
        raise AssertionError("two hold the lock")
    sign(tmp_path / lock.FILE, "elsewhere", age=2 * lock.SILENCE)
    with pytest.warns(UserWarning, match="left by process 1 on elsewhere"), lock.held(tmp_path):
        owner = json.loads((tmp_path / lock.FILE).read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        with open(tmp_path / lock.FILE) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_owner_touches_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.held(tmp_path / "run"):
        os.utime(tmp_path / "run" / lock.FILE, (0, 0))
        wait_for(lambda: (tmp_path / "run" / lock.FILE).stat().st_mtime > 0)


def test_a_lock_is_reentrant_and_leaves_nothing(tmp_path):
    folder = tmp_path / "runs" / "one"
    with lock.held(folder), lock.held(folder):
        assert (folder / lock.FILE).exists()
    assert os.listdir(folder.parent) == []
    folder.mkdir()
    (folder / lock.FILE).write_text("no JSON")  # as after a crash of the machine
    with lock.held(folder):
        pass
    assert os.listdir(folder.parent) == []


def test_each_launch_finds_a_port_of_its_own(tmp_path):
    command = launch.command(tmp_path / "run.json", 2, "no")
    assert command[command.index("--main_process_port") + 1] == "0"
