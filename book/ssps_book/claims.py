"""The paper's claims as targets, decided by finished runs (book chapter 5).

Every target was fixed before the runs. A claim is one number for each seed and the bounds it must
lie in; it holds when the number of every seed does, so that a good mean cannot hide a bad run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssps_book import paper
from ssps_lib.analysis import mean_interval
from ssps_lib.training import Run

NEEDED = ("ssl", "ssl-continued", "ssps-nn", "ssps-clustering", "supervised")
PLAIN = tuple(f"{name} without augmentation" for name in ("ssl-continued", "ssps-clustering"))


@dataclass(frozen=True)
class Claim:
    """A number that the paper claims something about, measured with several seeds.

    Attributes:
        letter: of the claim that it belongs to.
        text: what the number is.
        unit: "%" or nothing.
        values: one for each seed.
        low, high: the bounds of the target.
        paper: the published value, None where none is printed.

    >>> claim = Claim("a", "EER", "%", (9.0, 11.0, 16.0), low=5, high=15, paper=6.3)
    >>> claim.target, claim.met, claim.holds
    ('5 to 15', (True, True, False), False)
    """

    letter: str
    text: str
    unit: str
    values: tuple[float, ...]
    low: float = -math.inf
    high: float = math.inf
    paper: float | None = None

    @property
    def met(self) -> tuple[bool, ...]:
        """For each seed, whether its value lies within the bounds (a NaN does not)."""
        return tuple(bool(self.low <= value <= self.high) for value in self.values)

    @property
    def holds(self) -> bool:
        """Whether every seed meets the target."""
        return all(self.met)

    @property
    def target(self) -> str:
        """The bounds as they are written."""
        if math.isinf(self.high):
            return f"≥ {self.low:g}"
        if math.isinf(self.low):
            return f"≤ {self.high:g}"
        return f"{self.low:g} to {self.high:g}"

    def row(self) -> dict[str, str]:
        """The claim as a line of a table, all in words."""
        mean, half = mean_interval(self.values)
        spread = "" if math.isnan(half) else f" ± {self._write(half)}"
        return {
            "claim": f"({self.letter})",
            "measure": f"{self.text} ({self.unit})" if self.unit else self.text,
            "paper": "–" if self.paper is None else self._write(self.paper),
            "target": self.target,
            "ours": self._write(mean) + spread,
            "seeds": f"{sum(self.met)} of {len(self.met)}",
            "verdict": "holds" if self.holds else "does not hold",
        }

    def _write(self, value: float) -> str:
        return f"{value:.1f}" if self.unit == "%" else f"{value:.2f}"


def decide(runs: Mapping[str, Sequence[Run]]) -> list[Claim]:
    """The claims (a) to (h) of the book, from its runs.

    Args:
        runs: for each name in `NEEDED`, the runs of the same seeds in the same order; (g) is
            decided where those in `PLAIN` are given too.

    Raises:
        ValueError: runs are missing, or their numbers of seeds differ.
    """
    missing = [name for name in NEEDED if not runs.get(name)]
    if missing:
        raise ValueError(f"no runs of {', '.join(missing)}: the claims compare {len(NEEDED)} kinds")
    names = [*NEEDED, *(PLAIN if all(runs.get(name) for name in PLAIN) else ())]
    counts = {name: len(runs[name]) for name in names}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"kinds of runs with different numbers of seeds cannot be paired: {counts}"
        )
    eer = {name: np.array([run.eer for run in runs[name]]) for name in names}
    plain = _augmentation(eer) if PLAIN[0] in eer else []
    gains = _gains(runs, eer)
    return [*_levels(runs, eer), *_bootstrap(runs), *gains, *plain, *_neighbours(runs, eer)]


def _levels(runs: Mapping, eer: Mapping) -> list[Claim]:
    """(a) to (c): what SSPS starts from, and what perfect pairs would give."""
    ratio = _last(runs["ssl"], "nmi_ratio")
    published = {name: _published(name) for name in ("ssl", "supervised")}
    cut = paper.reduction(eer["ssl-continued"], eer["supervised"])
    printed = paper.reduction(published["ssl"], published["supervised"])
    before = paper.reading("NMI ratio before SSPS")
    return [
        Claim("a", "EER of SSL", "%", _seeds(eer["ssl"]), 5, 15, published["ssl"]),
        Claim("b", "supervised below SSL continued", "%", _seeds(cut), 50, paper=printed),
        Claim("c", "NMI ratio of SSL", "", _seeds(ratio), 0.9, 1.1, before),
    ]


def _bootstrap(runs: Mapping) -> list[Claim]:
    """(d): SSPS-Clustering starts with enough right positives and gets more."""
    ssps = runs["ssps-clustering"]
    speaker, recording = _first(ssps, "speaker_accuracy"), _first(ssps, "recording_accuracy")
    gain = _last(ssps, "speaker_accuracy") - speaker
    return [
        Claim("d", "speaker accuracy, first epoch", "", _seeds(speaker), 0.4),
        Claim("d", "recording accuracy, first epoch", "", _seeds(recording), high=0.1),
        Claim("d", "rise of speaker accuracy", "", _seeds(gain), 0.1),
    ]


def _gains(runs: Mapping, eer: Mapping) -> list[Claim]:
    """(e) and (f): SSPS beats SSL and forgets recordings."""
    cut = paper.reduction(eer["ssl-continued"], eer["ssps-clustering"])
    before, after = _last(runs["ssl"], "nmi_ratio"), _last(runs["ssps-clustering"], "nmi_ratio")
    return [
        Claim("e", "SSPS below SSL continued", "%", _seeds(cut), 15,
              paper=paper.reduction(_published("ssl"), _published("ssps-clustering", 25_000))),
        Claim("f", "rise of the NMI ratio by SSPS", "%", _seeds(_rise(before, after)), 5,
              paper=paper.reading("NMI ratio gain")),
    ]  # fmt: skip


def _augmentation(eer: Mapping) -> list[Claim]:
    """(g): SSPS needs augmentation less than SSL."""
    lost = [_rise(eer[name], eer[plain]) for name, plain in zip(
        ("ssl-continued", "ssps-clustering"), PLAIN, strict=True
    )]  # fmt: skip
    printed = [
        _rise(*(paper.find(paper.TABLE_5, positives=name, augmentation=kept).eer
                for kept in (True, False)))
        for name in ("ssl", "ssps-clustering")
    ]  # fmt: skip
    return [
        Claim("g", "EER lost without augmentation, SSL less SSPS", "%", _seeds(lost[0] - lost[1]),
              10, paper=printed[0] - printed[1]),
    ]  # fmt: skip


def _neighbours(runs: Mapping, eer: Mapping) -> list[Claim]:
    """(h): SSPS-NN lies between SSL and clustering, and stays in the anchor's recording."""
    ssl, nearest = eer["ssl-continued"], eer["ssps-nn"]
    ssps = eer["ssps-clustering"]
    table = [
        paper.find(paper.TABLE_2, **fields).eer
        for fields in (
            {"positives": "ssl"},
            {"positives": "ssps-nn", "m": 50},
            {"positives": "ssps-clustering", "k": 25_000, "m": 1},
        )
    ]
    stays = [_mean(runs[name], "recording_accuracy") for name in ("ssps-nn", "ssps-clustering")]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = stays[0] / stays[1]
    return [
        Claim("h", "SSPS-NN below SSL continued", "%", _seeds(paper.reduction(ssl, nearest)), 0,
              paper=paper.reduction(*table[:2])),
        Claim("h", "SSPS below SSPS-NN", "%", _seeds(paper.reduction(nearest, ssps)), 0,
              paper=paper.reduction(*table[1:])),
        Claim("h", "recording accuracy, SSPS-NN over SSPS", "", _seeds(times), 2),
    ]  # fmt: skip


def _published(positives: str, k: int | None = None) -> float:
    """EER of SimCLR on VoxCeleb1-O with ECAPA-TDNN (Table III)."""
    fields = {"framework": "simclr", "positives": positives, "benchmark": "VoxCeleb1-O"}
    return paper.find(paper.TABLE_3, k=k, **fields).eer


def _rise(before: float | np.ndarray, after: float | np.ndarray) -> float | np.ndarray:
    """Relative rise in percent."""
    return -paper.reduction(before, after)


def observed(run: Run, name: str) -> np.ndarray:
    """The epochs at which a metric was observed, or a NaN if it never was."""
    values = np.asarray(run.metrics.get(name, [np.nan]), float)
    values = values[~np.isnan(values)]
    return values if len(values) else np.array([np.nan])


def _first(runs: Sequence[Run], name: str) -> np.ndarray:
    return np.array([observed(run, name)[0] for run in runs])


def _last(runs: Sequence[Run], name: str) -> np.ndarray:
    return np.array([observed(run, name)[-1] for run in runs])


def _mean(runs: Sequence[Run], name: str) -> np.ndarray:
    return np.array([observed(run, name).mean() for run in runs])


def _seeds(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
