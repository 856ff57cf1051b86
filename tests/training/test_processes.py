"""Two real processes, started as a chapter starts them, give the model of one."""

import json
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

import pytest
import torch
from small_runs import CORPUS, bootstrapped, new_home, tiny
from steps import assert_same_steps, still
from test_frameworks_samplers import config_of

from ssps_lib import training
from ssps_lib.training import launch
from ssps_lib.training.__main__ import run_all


@pytest.mark.rounding
@pytest.mark.two_processes
def test_two_processes_train_the_same_model(tmp_path, shared_home, monkeypatch):
    """The SSL run, and then the SSPS run that continues it."""
    config = bootstrapped(start_from=tiny(**still()), **still("ssps-clustering"))
    chain = [config.start_from, config]
    training.run(config, num_processes=2)
    two = [training.load(c) for c in chain]
    monkeypatch.setenv("SSPS_HOME", str(new_home(tmp_path / "one", shared_home)))
    training.run(config)
    one = [training.load(c) for c in chain]
    for a, b in zip(one, two, strict=True):
        assert_same_steps(b, a)
    assert one[1].metrics["coverage"] == [1]
    assert two[1].record["config"] == one[1].record["config"]
    assert two[1].record["scores"].keys() == one[1].record["scores"].keys()


@pytest.mark.rounding
@pytest.mark.two_processes
@pytest.mark.parametrize("framework", ["moco", "swav", "vicreg", "dino", "supervised"])
def test_two_processes_give_the_losses_of_one_in_every_framework(
    framework, tmp_path, shared_home, monkeypatch
):
    """An epoch of SSPS, with gathered negatives, batch statistics and queues."""
    positives = "ssl" if framework == "supervised" else "ssps-clustering"
    config = config_of(framework, positives, **still(positives))
    two = training.run(config, num_processes=2)
    monkeypatch.setenv("SSPS_HOME", str(new_home(tmp_path / "one", shared_home)))
    assert_same_steps(two, training.run(config))


@pytest.mark.two_processes
def test_a_rank_that_fails_stops_the_others_and_is_named(tmp_path, monkeypatch):
    broken = 'import os\nif os.environ.get("RANK") == "1":\n    raise SystemExit("no disk here")\n'
    (tmp_path / "sitecustomize.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"2 processes failed.*") as caught:
        training.run(tiny(), num_processes=2)
    assert "rank      : 1" in str(caught.value) or "no disk here" in str(caught.value)
    assert training.load(tiny()) is None


DIES = """
import os, signal, threading, time
from pathlib import Path

def end():
    while not list(Path(os.environ["SSPS_HOME"]).glob("runs/*/checkpoint/state.json")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("RANK") == "1":
    threading.Thread(target=end, daemon=True).start()
"""


@pytest.mark.two_processes
def test_a_rank_that_dies_is_named_and_the_run_resumes(tmp_path, monkeypatch):
    """It resumes although another program has the port that launchers take by default."""
    config = tiny(epochs=3)
    (tmp_path / "sitecustomize.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"(?s)rank +: 1.*SIGKILL"):
        training.run(config, num_processes=2)
    assert training.load(config) is None
    state = json.loads((training.run_folder(config) / "checkpoint" / "state.json").read_text())
    assert 1 <= state["epoch"] < 3
    monkeypatch.delenv("PYTHONPATH")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else has it: as good
            other.bind(("127.0.0.1", 29500))
            other.listen()
        resumed = training.run(config, num_processes=2)
    assert len(resumed.metrics["loss"]) == 3
    done = state["metrics"][0]["seconds"]  # as it was measured before the end: not trained again
    assert resumed.metrics["seconds"][0] == pytest.approx(done, rel=1e-5)


def by_hand(config_file, *flags):
    """`accelerate launch ... -m ssps_lib.training`, as one machine types it."""
    return subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
         "--mixed_precision", "no", "--dynamo_backend", "no", *flags,
         "-m", "ssps_lib.training", "--config", str(config_file)],
        env=launch.environment(2) | {launch.signals.STARTER_LIVES: "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(asdict(tiny(epochs=1))))
    return file


def free_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return other.getsockname()[1]


ONE_DEVICE = pytest.mark.skipif(torch.cuda.is_available(), reason="both take the first GPU")


@ONE_DEVICE
def test_two_machines_started_by_hand_train_one_run(config_file):
    """Each is told how many there are, which one it is, and where the first one listens."""
    where = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port())]
    machines = [
        by_hand(config_file, "--num_machines", "2", "--machine_rank", str(rank), *where)
        for rank in (0, 1)
    ]
    said = [machine.communicate()[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "training simclr-ssl-" in said[0] and "in 2 process(es)" in said[0]
    run = training.load(tiny(epochs=1))
    assert run.record["machine"].startswith("CPU, 2 threads")


def test_a_port_in_use_is_named(config_file):
    """One machine alone takes another port; the first of several cannot, and says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        where = ["--main_process_ip", "127.0.0.1", "--main_process_port", port]
        machine = by_hand(config_file, "--num_machines", "2", "--machine_rank", "0", *where)
        said = machine.communicate()[0]
    assert machine.returncode != 0
    assert f"`{port}`" in said and "another process is utilizing it" in said


def test_another_number_of_processes_is_refused():
    from ssps_lib.training.run import train

    with pytest.raises(RuntimeError, match=r"1 process\(es\) found each other where 2 were asked"):
        train(tiny(), processes=2)


def test_by_hand_another_number_is_one_sentence(config_file):
    command = [sys.executable, "-m", "ssps_lib.training", "--config", str(config_file)]
    done = subprocess.run(
        [*command, "--processes", "2"], capture_output=True, text=True,
        env=launch.environment(1) | {launch.signals.STARTER_LIVES: "0"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: 1 process(es) found each other where 2")
    assert "Traceback" not in done.stderr


def test_more_processes_than_gpus_are_refused(monkeypatch, home):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    before = sorted(home.rglob("*"))
    with pytest.raises(ValueError, match=r"4 processes were asked for, but .* has 1 GPU"):
        training.run(bootstrapped(corpus_options=CORPUS | {"seconds": 0.9}), num_processes=4)
    assert sorted(home.rglob("*")) == before
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes were asked for, but .* has 1 GPU"):
        run_all(tiny(), 4)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    launch.check_gpus(4)
    assert launch.environment(4)["ACCELERATE_USE_CPU"] == "true"  # and by those that it starts


def test_the_gpus_of_a_reader_s_own_configuration_are_not_taken(tmp_path, monkeypatch):
    """`accelerate config` keeps a choice of GPUs, which is another launch's, and keys that another
    version of accelerate wrote."""
    home = tmp_path / "accelerate"
    home.mkdir()
    kept = "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\ngpu_ids: 0,1\n"
    (home / "default_config.yaml").write_text(kept + "num_processes: 2\nkey_of_tomorrow: 1\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    seen = tmp_path / "seen"
    look = f"import os\nopen({str(seen)!r}, 'w').write(os.environ.get('CUDA_VISIBLE_DEVICES', '-'))"
    (tmp_path / "looking.py").write_text(look)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "accelerate.json").write_text(json.dumps(launch.settings(4, "no")))
    command = launch.command(tmp_path, 4)
    command = [*command[: command.index("ssps_lib.training")], "looking"]
    subprocess.run(command, env=launch.environment(4), check=True, capture_output=True)
    assert seen.read_text() == "-"


def test_the_child_inherits_no_launch(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.setenv(name, "1")
    child = launch.environment(2)
    assert not {"RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"} & set(child)
    assert "ACCELERATE_MIXED_PRECISION" not in child
    if not torch.cuda.is_available():
        assert child["ACCELERATE_USE_CPU"] == "true"
