"""One function of many items in several processes, and one process at a time for a folder."""

import contextlib
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
DIED = "a process died, of too little memory or in a script without its main guard"


def workers_for(jobs: int, wanted: int | None = None) -> int:
    """How many processes to start: by default one for each two jobs, at most one for each core."""
    if wanted is None:
        return max(1, min(jobs // 2, os.cpu_count() or 1))
    if wanted < 1:
        raise ValueError(f"workers is {wanted}, at least 1 process is needed")
    return wanted


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """`map(function, items)` by so many processes; one means this process itself.

    Processes are started afresh, since a fork would copy the locks of threads; a script therefore
    needs the usual `if __name__ == "__main__":`. They end with this process, even if it is killed.

    Raises:
        BrokenProcessPool: a process died, of too little memory or for want of the main guard.
    """
    if workers == 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """One thread for sums; another waits for the end of the starting process, and ends this one."""
    threading.Thread(target=_follow, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # which PyTorch reads when it is imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _follow() -> None:
    starter = multiprocessing.parent_process()
    if starter is not None:
        starter.join()
        os._exit(1)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have a folder that is being written to oneself inside the block.

    The operating system's lock on `<folder>.lock` ends with its process, also by SIGKILL.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path) -> int:
    import fcntl  # which not every system has

    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = path.name.removesuffix(".partial.lock")
            warnings.warn(f"'{name}' is being packed by another process: waiting", stacklevel=5)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)  # released, and removed, while this process waited
