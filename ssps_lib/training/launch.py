"""Start training in several processes, from a chapter or a shell.

A chapter's kernel must not become one of the ranks: it starts `accelerate launch` as a subprocess
with a clean environment and reads the result from the run's folder.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from ssps_lib.files import RefusedError
from ssps_lib.training import signals
from ssps_lib.training.config import RunConfig
from ssps_lib.training.environment import on_gpu

MARKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK",
         "MASTER_", "TORCHELASTIC", "ACCELERATE_")  # fmt: skip
GRACE = 45  # seconds to finish an iteration and write a checkpoint; the ranks themselves get 30


def check_processes(config: RunConfig, processes: int) -> None:
    """Whether so many processes may train a run here.

    Raises:
        ValueError: no number of processes, a batch that they cannot share out evenly with two
            utterances at least for each, or more of them than GPUs.
        RefusedError: this process was itself started with others, each of which would wait for the
            run that another one trains.
    """
    if processes < 1:
        raise ValueError(f"num_processes is {processes}, at least 1 is needed")
    size = config.batch_size
    if size % processes or size // processes < 2:
        raise ValueError(
            f"batch_size is {size}, a multiple of {processes} processes and at least 2 utterances "
            "for each of them are needed: choose another batch"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RefusedError(
            "this process is already one of several: run the chapter with plain papermill and "
            "`-p num_processes N`, which starts the ranks itself"
        )
    check_gpus(processes)


def check_gpus(processes: int) -> None:
    """ValueError where this machine trains on GPUs and has fewer of them than processes."""
    if on_gpu() and processes > torch.cuda.device_count():
        raise ValueError(
            f"{processes} processes were asked for, but this machine has "
            f"{torch.cuda.device_count()} GPU(s): lower num_processes"
        )


def settings(num_processes: int, precision: str) -> dict[str, object]:
    """All that accelerate would otherwise look up in the reader's own `accelerate config`."""
    return {
        "compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU",
        "num_machines": 1, "machine_rank": 0, "num_processes": num_processes, "gpu_ids": "all",
        "main_process_port": 0, "mixed_precision": precision, "use_cpu": False, "debug": False,
    }  # fmt: skip


def command(folder: Path, num_processes: int) -> list[str]:
    """The command that trains what `folder` describes with processes on this machine."""
    return [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(folder / "accelerate.json"), "-m", "ssps_lib.training",
        "--config", str(folder / "launch.json"), "--processes", str(num_processes),
    ]  # fmt: skip


def environment(num_processes: int) -> dict[str, str]:
    """This process's environment without the marks of another launch."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(MARKS)}
    root = str(Path(__file__).parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    env[signals.STARTER_LIVES] = "1"
    if not on_gpu():
        env["ACCELERATE_USE_CPU"] = "true"
        env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // num_processes))
    return env


def launch(config: RunConfig, folder: Path, num_processes: int) -> None:
    """Train `config` in `folder` with `num_processes` processes and wait for them.

    When this process is interrupted, terminated or killed, they write a checkpoint and end too.

    Raises:
        RuntimeError: the training failed (with its last lines, which name the rank).
        SystemExit, KeyboardInterrupt: SIGTERM or SIGINT came.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "launch.json").write_text(json.dumps(asdict(config), indent=1))
    chosen = json.dumps(settings(num_processes, config.precision), indent=1)
    (folder / "accelerate.json").write_text(chosen)
    with open(folder / "log.txt", "ab") as log, signals.raised(f"the training of {config.name}"):
        process = subprocess.Popen(
            command(folder, num_processes),
            env=environment(num_processes), stdout=log, stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE, start_new_session=True,  # signals reach it from here only
        )  # fmt: skip
        try:
            code = process.wait()
        finally:
            _stop(process)
    if code != 0:
        said = (folder / "log.txt").read_text(errors="replace").splitlines()
        tail = "\n".join(said[-40:])
        raise RuntimeError(
            f"training {config.name} in {num_processes} processes failed (exit status {code}), the "
            f"run resumes when it is started again. Its last lines:\n{tail}"
        )


def _stop(process: subprocess.Popen) -> None:
    """End the launcher, which ends its ranks, if it still runs; by force if it takes too long."""
    process.stdin.close()  # the ranks take its end for the end of this process
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
