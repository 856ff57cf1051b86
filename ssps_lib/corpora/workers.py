"""One function of many items in several processes."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
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
