"""Faults of a corpus, reported together so that they can be mended together."""

from collections.abc import Sequence

LIMIT = 20  # faults that a report spells out


def listed(faults: Sequence[str], limit: int = LIMIT) -> str:
    """The faults one a line; those beyond `limit` are only counted.

    >>> print(listed(["a.wav: empty", "b.wav: empty", "c.wav: empty"], limit=2))
      a.wav: empty
      b.wav: empty
      and 1 more
    """
    lines = list(faults[:limit])
    if len(faults) > limit:
        lines.append(f"and {len(faults) - limit} more")
    return "\n".join(f"  {line}" for line in lines)


def counted(number: int, what: str) -> str:
    """
    >>> counted(1, "fault"), counted(2_000, "fault"), counted(0, "file")
    ('1 fault', '2,000 faults', '0 files')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
