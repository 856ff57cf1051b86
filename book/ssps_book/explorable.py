"""Figures to explore: numbers that a page's script draws in the place of a static figure.

Each function returns HTML that shows nothing by itself. On a page of the book `explore.js` finds it
and draws the same numbers, with sliders, in the place of the named figure or above it; without
scripts, on paper and in Jupyter the static figure is what is seen.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssps_book.plots import OTHERS, SPEAKERS, STYLES

KINDS = ("maps", "grid")  # functions of explore.js


@dataclass(frozen=True)
class Explorable:
    """Numbers for the page's script; a notebook shows it as HTML.

    >>> Explorable({"kind": "grid", "figure": "fig-a"})._repr_html_().startswith("<div class=")
    True
    """

    data: Mapping[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        numbers = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")
        script = f'<script type="application/json">{numbers}</script>'
        return f'<div class="explorable" hidden>{script}</div>'


def maps(
    figure: str,
    frames: Mapping[str, tuple[str, np.ndarray]],
    speakers: np.ndarray,
    recordings: np.ndarray,
    start: int = 0,
    pairs: Sequence[Sequence[int]] = (),
) -> Explorable:
    """Maps of the same utterances, from one of which to the next a slider leads (Figure 6).

    A map has no direction of its own, so each is turned and mirrored to lie nearest to the one
    before it: what then moves has moved against its neighbours.

    Args:
        figure: name of the static figure whose place it takes.
        frames: title -> (a few words about it, points (N, 2)).
        speakers, recordings: (N,) labels, the same for all maps.
        start: position of the map that is shown first.
        pairs: for each map, (N,) places of the utterances to which a line leads; a negative number
            is a line to nowhere. With them the maps play one after the other.
    """
    speaker = np.unique(speakers, return_inverse=True)[1]
    recording = np.zeros_like(speaker)
    for own in (speaker == one for one in np.unique(speaker)):
        recording[own] = np.unique(np.asarray(recordings)[own], return_inverse=True)[1]
    shown: list[dict[str, Any]] = []
    before = None
    for title, (note, points) in frames.items():
        before = turned(points, before)
        rows = ((before + 1) / 2).round(3).tolist()
        shown.append({"title": title, "note": note, "points": rows})
    return Explorable({
        "kind": "maps", "figure": figure, "start": start, "frames": shown,
        "pairs": [list(map(int, own)) for own in pairs],
        "speakers": speaker.tolist(), "recordings": recording.tolist(),
        "names": [str(one + 1) for one in np.unique(speaker)], "colors": SPEAKERS,
    })  # fmt: skip


def turned(points: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Points (N, 2) centred, within [-1, 1], and turned or mirrored to lie nearest to `before`."""
    moved = np.asarray(points, float)
    moved = moved - moved.mean(axis=0)
    if before is not None:
        left, _, right = np.linalg.svd(moved.T @ before)
        moved = moved @ left @ right
    return moved / np.abs(moved).max()


def grid(
    figure: str,
    rows: Sequence[Mapping[str, float]],
    series: Mapping[str, str],
    start: tuple[int, int],
) -> Explorable:
    """Curves over K for a chosen M, with the values at a chosen K read out (Figure 4).

    Args:
        figure: name of the static figure above which it stands.
        rows: each has `k`, `m` and the values; pairs that occur several times are averaged.
        series: name of a value in the rows -> how it is called on the page.
        start: (K, M) that is shown first.
    """
    found: dict[tuple[int, int], list[Mapping[str, float]]] = {}
    for row in rows:
        found.setdefault((int(row["k"]), int(row["m"])), []).append(row)
    ks, ms = (sorted({pair[i] for pair in found}) for i in (0, 1))

    def mean(k: int, m: int, name: str) -> float | None:
        middle = np.mean([row[name] for row in found.get((k, m), [])] or [math.nan])
        return None if math.isnan(middle) else round(float(middle), 3)

    looks = ((STYLES["ssps-clustering"][0], ""), (OTHERS[1], "7 3"), (OTHERS[3], "2 3"))
    curves = [
        {"name": label, "color": color, "dash": dash,
         "values": [[mean(k, m, name) for k in ks] for m in ms]}
        for (name, label), (color, dash) in zip(series.items(), looks, strict=False)
    ]  # fmt: skip
    place = [ks.index(start[0]), ms.index(start[1])]
    return Explorable({
        "kind": "grid", "figure": figure, "keep": True, "k": ks, "m": ms, "start": place,
        "series": curves,
    })  # fmt: skip
