"""What a command writes: refused before the work where it cannot be written, and whole."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssps_lib import files


@contextmanager
def output(path: Path | None, *endings: str) -> Iterator[Path | None]:
    """A file to fill, which becomes `path` when the block ends well; None where none is asked for.

    Raises:
        ValueError: another ending than these, no file, or a place that cannot be written.
    """
    if path is None:
        yield None
        return
    if (path.exists() and not path.is_file()) or (endings and path.suffix not in endings):
        ends = f" that ends in {' or '.join(endings)}" if endings else ""
        raise ValueError(f"the output is '{path}', expected a file{ends}")
    require_place(path)
    with files.whole(path.resolve()) as partial:
        yield partial


def require_place(path: Path) -> None:
    """ValueError where no file can be written to the folder in which `path` is to be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ValueError(f"'{path}' cannot be written ({error.strerror})") from None
