"""Tables as the pages show them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ssps_book.averages import mean_interval


def words(rows: Sequence, columns: Sequence[str], name: str, nowrap: bool = False) -> Styler:
    """A table of words: left-aligned, smaller, without its index.

    Args:
        rows: lists of cells, or dictionaries by column.
        name: of the table on its page, so that its outputs repeat.
        nowrap: a line for each row, and the rest by scrolling.
    """
    left = [("text-align", "left"), ("vertical-align", "top")]
    left += [("white-space", "nowrap")] if nowrap else []
    css = [
        {"selector": "th, td", "props": left},
        {"selector": "", "props": [("font-size", "0.85em")]},
    ]
    table = pd.DataFrame(rows, columns=columns).style.hide(axis="index")
    return table.set_uuid(name).set_table_styles(css)


def interval(values: Sequence[float], digits: int = 2) -> str:
    """The mean of a few runs with the half-width of its 95 % interval, in words.

    >>> interval([1.0, 2.0, 3.0]), interval([1.0])
    ('2.00 ± 2.48', '1.00')
    """
    mean, half = mean_interval(values)
    return f"{mean:.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")
