"""One process trains a run, others that ask for it wait: a lock with an owner in the run's folder.

The operating system's lock on the file tells whether the owner lives, also after SIGKILL. Where it
does not reach from machine to machine (some network file systems), the owner shows that it lives by
touching the file.
"""

import contextlib
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from ssps_lib.training.ranks import RefusedError

FILE = "lock.json"
BEAT, SILENCE, POLL = 30.0, 300.0, 1.0  # seconds: between touches, until death, between looks

_held: set[Path] = set()  # by this process


@contextlib.contextmanager
def held(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a run's folder inside the block; a process may hold it several times.

    Args:
        wait: until the owner has released it or died; otherwise it is an error.

    Raises:
        RefusedError: another process holds the lock, and `wait` is False.
    """
    path = folder.resolve() / FILE
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path, wait)
    _held.add(path)
    ended = threading.Event()
    beat = threading.Thread(target=_touch, args=(path, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _held.discard(path)
        path.unlink(missing_ok=True)
        os.close(handle)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # where nothing was written, nothing is left


def _acquire(path: Path, wait: bool) -> int:
    told = False
    while True:
        handle, owner = _try(path)
        if handle is not None:
            if owner:
                warnings.warn(
                    f"the lock of run {path.parent.name} was left by {_words(owner)}, which ended "
                    "without releasing it: it is taken over",
                    stacklevel=4,
                )
            _sign(handle)
            return handle
        if owner and not wait:
            raise RefusedError(
                f"run {path.parent.name} is being trained by {_words(owner)}: wait for it, or stop "
                "that process first"
            )
        if owner and not told:
            warnings.warn(
                f"run {path.parent.name} is being trained by {_words(owner)}: waiting for it",
                stacklevel=4,
            )
            told = True
        time.sleep(POLL if owner else 0.01)


def _try(path: Path) -> tuple[int | None, dict | None]:
    """The locked file (None while its owner lives) and the owner that it names."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _same_file(handle, path):  # released and removed while we opened it
            os.close(handle)
            return None, None
    except BlockingIOError:
        owner = _owner(handle)
        os.close(handle)
        return None, owner
    owner = _owner(handle)
    far = owner is not None and owner["host"] != socket.gethostname()
    if far and time.time() - os.fstat(handle).st_mtime < SILENCE:
        os.close(handle)
        return None, owner
    return handle, owner


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == os.stat(path).st_ino
    except FileNotFoundError:
        return False


def _owner(handle: int) -> dict | None:
    """Who signed the file: host, pid and when it started; None where nobody did."""
    try:
        owner = json.loads(os.pread(handle, 4096, 0))
        return {name: owner[name] for name in ("host", "pid", "started")}
    except (ValueError, KeyError, TypeError):
        return None


def _sign(handle: int) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": now}
    os.truncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode(), 0)


def _words(owner: dict) -> str:
    return f"process {owner['pid']} on {owner['host']} since {owner['started']}"


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
