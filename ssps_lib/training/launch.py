"""Start training in several processes, from a chapter or a shell.

A chapter's kernel must not become one of the ranks: it starts `accelerate launch` as a subprocess
with a clean environment and reads the result from the run's folder.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import torch

from ssps_lib.training import lock, signals
from ssps_lib.training.config import RunConfig
from ssps_lib.training.fields import check_batch
from ssps_lib.training.ranks import check_gpus, check_not_launched
from ssps_lib.training.run import is_complete, run_folder

INHERITED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK")
PREFIXES = ("MASTER_", "TORCHELASTIC", "ACCELERATE_")
GRACE = 45  # seconds to finish an iteration and write a checkpoint; the ranks themselves get 30
FAILED = re.compile(r"Root Cause.*?rank +: (\d+).*?exitcode +: (-?\d+)", re.S)  # torch's summary


def command(config_file: Path, num_processes: int, precision: str) -> list[str]:
    """The command that trains `config_file` with `num_processes` processes on this machine."""
    # Without --gpu_ids a reader's own `accelerate config` would hide some of the GPUs.
    several = ["--multi_gpu", "--gpu_ids", "all", "--main_process_port", "0"]
    flags = several if num_processes > 1 else []
    if num_processes == 1 and not torch.cuda.is_available():
        flags = ["--cpu"]
    return [
        sys.executable, "-m", "accelerate.commands.launch",
        "--num_processes", str(num_processes), "--num_machines", "1",
        "--mixed_precision", precision, "--dynamo_backend", "no", *flags,
        "-m", "ssps_lib.training",
        "--config", str(config_file), "--processes", str(num_processes),
    ]  # fmt: skip


def environment(num_processes: int) -> dict[str, str]:
    """This process's environment without the marks of another launch."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in INHERITED and not key.startswith(PREFIXES)
    }
    root = str(Path(__file__).parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    env[signals.STARTER_LIVES] = "1"
    if not torch.cuda.is_available():
        env["ACCELERATE_USE_CPU"] = "true"
        env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // num_processes))
    return env


def launch(config: RunConfig, num_processes: int) -> None:
    """Train `config` with `num_processes` processes and wait for them.

    When this process is interrupted, terminated or killed, they write a checkpoint and end too.

    Raises:
        RuntimeError: called inside another launch, or the training failed (with its last lines).
        ValueError: more processes than GPUs.
        SystemExit, KeyboardInterrupt: SIGTERM or SIGINT came.
    """
    check_batch(config.batch_size, num_processes)
    check_not_launched()
    check_gpus(num_processes)
    with ExitStack() as locks:
        chain = [config]
        while chain[-1].start_from is not None and not is_complete(chain[-1].start_from):
            chain.append(chain[-1].start_from)
        for one in reversed(chain):
            locks.enter_context(lock.held(run_folder(one)))
        _launch(config, num_processes)


def _launch(config: RunConfig, num_processes: int) -> None:
    folder = run_folder(config)
    config_file = folder / "launch.json"
    config_file.write_text(json.dumps(asdict(config), indent=1))
    with open(folder / "log.txt", "ab+") as log, signals.raised(f"the training of {config.name}"):
        before = log.seek(0, os.SEEK_END)  # of earlier launches
        process = subprocess.Popen(
            command(config_file, num_processes, config.precision),
            env=environment(num_processes), stdout=log, stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE, start_new_session=True,  # signals reach it from here only
        )  # fmt: skip
        try:
            code = process.wait()
        finally:
            _stop(process)
    if code != 0:
        said = (folder / "log.txt").read_bytes()[before:].decode(errors="replace")
        tail = "\n".join(said.splitlines()[-15:])
        raise RuntimeError(
            f"training {config.name} in {num_processes} processes failed (exit status {code})"
            f"{first_to_fail(said)}; the run resumes when it is started again. Its last lines:\n"
            f"{tail}"
        )


def first_to_fail(log: str) -> str:
    """Which rank ended first and how, as part of a sentence; empty where the log does not say.

    >>> first_to_fail("Root Cause:\\n  rank      : 1 (local_rank: 1)\\n  exitcode  : -9 (pid: 77)")
    ': rank 1 was killed by SIGKILL (is the memory used up?), and the others were stopped'
    """
    found = FAILED.findall(log)
    if not found:
        return ""
    rank, code = (int(text) for text in found[-1])
    how = f"ended with status {code}"
    if code < 0:
        name = signal.Signals(-code).name
        how = f"was killed by {name}" + (" (is the memory used up?)" if name == "SIGKILL" else "")
    return f": rank {rank} {how}, and the others were stopped"


def _stop(process: subprocess.Popen) -> None:
    """End the launcher, which ends its ranks, if it still runs; by force if it takes too long."""
    with suppress(OSError):
        process.stdin.close()  # the ranks take its end for the end of this process
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
