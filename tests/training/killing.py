"""Train in processes of their own, which are killed or signalled at a chosen moment.

The processes come from a server that has imported the library, so that each starts in no time.
"""

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
LIBRARY = ["ssps_lib.training.loop", "ssps_lib.training.run"]
CONTEXT.set_forkserver_preload(  # and what it imports later, for scores and for two processes
    [*LIBRARY, "sklearn.manifold", "sklearn.metrics", "torch._dynamo"]
)


def arm(place: str, calls: int, number: int) -> None:
    """Send this process the signal `number` at the `calls`-th call of `module:name.name`."""
    module, names = place.split(":")
    *owners, name = names.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, left = getattr(owner, name), [calls]

    def counted(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def kill_after(calls: int) -> None:
    """Kill this process at its `calls`-th call of any Python function."""
    left = [calls]

    def count(frame, event, argument):
        left[0] -= event == "call"
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def train(config, environment: dict, notes: Path, moment: tuple | int | None) -> None:
    """Train here; what happens is noted in `notes`, a line each.

    Args:
        moment: (place, calls, signal) of `arm`, a number of function calls until SIGKILL, or None.
    """
    os.environ.update(environment)
    import torch

    from ssps_lib import training
    from ssps_lib.training import loop

    torch.set_num_threads(1)
    if isinstance(moment, tuple):
        arm(*moment)
    elif moment is not None:
        kill_after(moment)
    iteration = loop.iteration

    def note(what: object) -> None:
        with open(notes, "a") as file:
            file.write(f"{what}\n")

    def noted(*arguments):
        note("iteration")
        return iteration(*arguments)

    loop.iteration = noted
    warnings.showwarning = lambda message, *rest: note(message)
    try:
        note(f"eer {training.run(config).eer}")
    except BaseException as error:
        note(f"{type(error).__name__}: {error}")
        if not isinstance(error, (SystemExit, KeyboardInterrupt)):
            note(traceback.format_exc())
        raise SystemExit(1) from None


def start(config, home: Path, notes: Path, moment=None, **environment):
    """The process that trains `config` in the cache `home`."""
    settings = {"SSPS_HOME": str(home), "SSPS_RECORDS": str(home / "records"), **environment}
    process = CONTEXT.Process(target=train, args=(config, settings, notes, moment))
    process.start()
    return process


PATIENCE = 900.0  # seconds until a process counts as hanging; nothing is timed


def until_killed(config, home: Path, notes: Path, moment, **environment) -> int:
    """Train and wait; returns the exit status, minus the signal's number if one ended it."""
    process = start(config, home, notes, moment, **environment)
    process.join(PATIENCE)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def take_part(config, environment: dict, moment: tuple | None) -> None:
    """Be one rank of a gloo group that trains `config`, after the runs that it starts from."""
    os.environ.update(environment)
    import torch

    from ssps_lib.training.__main__ import run_all

    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the trace of a rank whose partner was killed
    if moment is not None:
        arm(*moment)
    run_all(config, int(environment["WORLD_SIZE"]))


def ranks(config, home: Path, moments: list[tuple | None]) -> list[int]:
    """Train as so many ranks, as a launcher starts them, each killed at its moment or never.

    A rank whose partner died ends by itself, or is ended, as a launcher does, after the others.

    Returns:
        The exit status of each rank, minus the signal's number if one ended it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "SSPS_HOME": str(home), "SSPS_RECORDS": str(home / "records"), "MASTER_PORT": str(port),
        "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": str(len(moments)), "ACCELERATE_USE_CPU": "true",
        "SSPS_CHECKPOINT_MINUTES": "0",
    }  # fmt: skip
    group = [
        CONTEXT.Process(
            target=take_part,
            args=(config, settings | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, moment),
        )
        for rank, moment in enumerate(moments)
    ]
    for process in group:
        process.start()
    wait_for(lambda: all(p.exitcode is not None for p in group) or any(p.exitcode for p in group))
    for process in group:
        if any(moments) and process.exitcode is None:
            process.terminate()
        process.join(PATIENCE)
        assert process.exitcode is not None, "a rank hangs"
    return [process.exitcode for process in group]


def wait_for(condition) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
