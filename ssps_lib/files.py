"""Where files are kept on this machine, and how they are written: whole, and by one process."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class RefusedError(RuntimeError):
    """What cannot be done here and now, through no fault of its configuration."""


def home() -> Path:
    """Runs, packed corpora and noise banks: `$SSPS_HOME`, or `~/.cache/ssps`.

    Raises:
        ValueError: the user has no home folder and `$SSPS_HOME` is not set.
    """
    try:
        return Path(os.environ.get("SSPS_HOME") or "~/.cache/ssps").expanduser()
    except RuntimeError as error:
        raise ValueError(
            "there is no home folder to keep runs and corpora in: set SSPS_HOME to a folder"
        ) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends well and is gone if it fails.

    The name in between is this process's own, and keeps the suffix of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def alone(path: Path, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path` inside the block; a process may hold it several times.

    The operating system releases it when the process ends, however that happens.

    Args:
        what: is locked, as the sentence says it.
        wait: until another process has released it; otherwise it is an error.

    Raises:
        RefusedError: another process holds the lock, and `wait` is False; or the folder cannot be
            written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # the lock itself would try for ever
    except OSError as error:
        raise RefusedError(
            f"nothing can be written to {path.parent} ({error.strerror}): choose another folder"
        ) from error
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            sentence = f"another process works on {what}: wait for it, or stop that process"
            raise RefusedError(sentence) from None
        warnings.warn(f"another process works on {what}: waiting for it", stacklevel=3)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
