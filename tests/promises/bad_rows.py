"""What a row of the table of bad input is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One bad input.

    Attributes:
        call: gets an empty folder, outside the cache, in which it may prepare what it needs.
        value: part of the message that says what was given.
        expected: part of the message that says what was expected, or the likely cause.
        error: its type.
    """

    call: Callable[[Path], object]
    value: str
    expected: str
    error: type[Exception] = ValueError
