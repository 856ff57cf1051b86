"""The claims of the paper, its evidence and ours (chapter 1).

Runs are read where they are at hand, never trained. What their effects amount to is the business of
`verdicts`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from ssps_book import grid, paper, records
from ssps_book.paper.tables import Result
from ssps_book.verdicts import Effect, Verdict
from ssps_lib import recipes
from ssps_lib.training import Run, RunConfig
from ssps_lib.training.record import BINS

FRAMEWORKS = ("simclr", "moco", "swav", "vicreg", "dino")
# Kinds of runs by their names here: positives, and what is changed in their recipe.
KINDS: dict[str, tuple[str, dict]] = {
    name: (name, {}) for name in
    ("ssl", "ssl-continued", "ssps-nn", "ssps-clustering", "ssps-clustering-c", "supervised")
}  # fmt: skip
PLAIN = {
    f"{name}, plain": (name, {"augmentation": "none"})
    for name in ("ssl-continued", "ssps-clustering")
}

Runs = Mapping[tuple[str, str], Mapping[int, Run]]  # framework, kind -> seed -> run


def configs(
    preset: str, seed: int = 1717, corpus: str = "simulated", **changes
) -> dict[tuple[str, str], RunConfig]:
    """The runs that the claims compare, by framework and kind; `changes` go to `recipe`."""
    changes = {"preset": preset, "seed": seed, "corpus": corpus, **changes}
    common = ("ssl", "ssl-continued", "ssps-clustering", "supervised")
    wanted = {(name, kind): KINDS[kind] for name in FRAMEWORKS for kind in common}
    cells = {
        grid.name(k, m): (
            "ssps-clustering", {"clusters": grid.own_clusters(k, preset, corpus), "window": m},
        )
        for k, m in grid.TRAINED
    }  # fmt: skip
    wanted |= {("simclr", kind): how for kind, how in (KINDS | PLAIN | cells).items()}
    return {
        (name, kind): recipes.recipe(name, positives, **changes | more)
        for (name, kind), (positives, more) in wanted.items()
    }


def gather(preset: str, seeds: int, seed: int = 1717, **changes) -> Runs:
    """Finished runs of consecutive seeds, from this machine or from the records."""
    found: dict[tuple[str, str], dict[int, Run]] = {}
    for one in range(seed, seed + seeds):
        for key, config in configs(preset, one, **changes).items():
            run = records.load(config)
            if run is not None:
                found.setdefault(key, {})[one] = run
    return found


def decide(runs: Runs) -> list[Verdict]:
    """The paper's claims in its order.

    Args:
        runs: by framework and kind (see `configs`), then by seed. An effect is computed from the
            seeds that have all its runs.
    """
    return [
        Verdict(claim, source, chapter, tuple(effects(runs)))
        for claim, source, chapter, effects in CLAIMS
    ]


Effects = Callable[[Runs], Iterable[Effect]]
Table = tuple[Result, ...]


def _compare(
    runs: Runs, measure: Callable[..., float], *keys: tuple[str, str]
) -> tuple[float, ...]:
    """A measure of several kinds of runs, for each seed that has them all."""
    made = [runs.get(key, {}) for key in keys]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in made)))
    return tuple(float(measure(*(by_seed[one] for by_seed in made))) for one in seeds)


def _of_eers(measure: Callable[..., float]) -> Callable[..., float]:
    return lambda *made: measure(*(run.eer for run in made))


def _falls(runs: Runs, of: str, name: str, before: str, after: str, table: Table) -> Effect:
    """The relative reduction of the EER from one kind to another, within a framework."""
    printed = [_published(table, name, kind) for kind in (before, after)]
    theirs = None if None in printed else paper.reduction(*printed)
    keys = (name, before), (name, after)
    return Effect(of, _compare(runs, _of_eers(paper.reduction), *keys), theirs)


def _everywhere(before: str, after: str, table: Table) -> Effects:
    """The reduction of the EER from one kind to another, in every framework."""
    return lambda runs: [
        _falls(runs, paper.FRAMEWORKS[name], name, before, after, table) for name in FRAMEWORKS
    ]


def _search(*below: tuple[str, str]) -> Effects:
    """SimCLR with SSPS-Clustering below other kinds, beside Table II: words and kind of each."""
    return lambda runs: [
        _falls(runs, of, "simclr", kind, "ssps-clustering", paper.TABLE_2) for of, kind in below
    ]


def _centroids(runs: Runs) -> Iterator[Effect]:
    of, kinds = "EER, rise above SSL", ("ssl-continued", "ssps-clustering-c")
    fall = _falls(runs, of, "simclr", *kinds, paper.TABLE_2)
    yield Effect(of, tuple(-value for value in fall.values), -fall.paper)


def _pairs(runs: Runs) -> Iterator[Effect]:
    kinds = ("simclr", "ssps-nn"), ("simclr", "ssps-clustering")

    def fall(nn: Run, own: Run) -> float:
        return _mean(nn, "recording_accuracy") - _mean(own, "recording_accuracy")

    def rise(nn: Run, own: Run) -> float:
        return _mean(own, "speaker_accuracy") - _mean(nn, "speaker_accuracy")

    yield Effect("fall of recording accuracy", _compare(runs, fall, *kinds), unit="")
    yield Effect("rise of speaker accuracy", _compare(runs, rise, *kinds), unit="")


def _nmi(runs: Runs) -> Iterator[Effect]:
    def rise(before: Run, after: Run) -> float:
        return -paper.reduction(*(_observed(run, "nmi_ratio")[-1] for run in (before, after)))

    values = _compare(runs, rise, ("simclr", "ssl"), ("simclr", "ssps-clustering"))
    yield Effect("ratio", values, paper.reading("NMI ratio gain"))


def _similarity(runs: Runs) -> Iterator[Effect]:
    kinds = ("simclr", "ssl-continued"), ("simclr", "ssps-clustering")
    for split in ("train", "test"):

        def rise(before: Run, after: Run, name: str = f"{split}_same_speaker") -> float:
            return median(after.arrays[name]) - median(before.arrays[name])

        values = _compare(runs, rise, *kinds)
        yield Effect(f"median cosine, {split} speakers", values, unit="")


def _augmentation(runs: Runs) -> Iterator[Effect]:
    def needed(ssl: float, ssl_plain: float, ssps: float, ssps_plain: float) -> float:
        return paper.reduction(ssps, ssps_plain) - paper.reduction(ssl, ssl_plain)

    printed = [paper.find(paper.TABLE_5, positives=positives, augmentation=on).eer
               for positives in ("ssl", "ssps-clustering") for on in (True, False)]  # fmt: skip
    kinds = [("simclr", kind + plain) for kind in ("ssl-continued", "ssps-clustering")
             for plain in ("", ", plain")]  # fmt: skip
    values = _compare(runs, _of_eers(needed), *kinds)
    yield Effect("EER lost without it, SSL less SSPS", values, needed(*printed))


def _dino(runs: Runs) -> Iterator[Effect]:
    kinds = "ssl-continued", "ssps-clustering"
    keys = [(name, kind) for name in ("simclr", "dino") for kind in kinds]

    def further(*eers: float) -> float:
        return paper.reduction(*eers[:2]) - paper.reduction(*eers[2:])

    for of, measure, needed in (
        ("DINO below SimCLR, SSL", paper.reduction, keys[::2]),
        ("reduction by SSPS, SimCLR less DINO", further, keys),
    ):
        printed = measure(*(_published(paper.TABLE_3, *key) for key in needed))
        yield Effect(of, _compare(runs, _of_eers(measure), *needed), printed)


# Positives, K and M of the row that stands beside a kind of runs.
ROWS = {
    "ssl-continued": ("ssl", None, None),
    "ssps-nn": ("ssps-nn", None, int(paper.reading("SSPS-NN default M"))),
    "ssps-clustering": ("ssps-clustering", *grid.RECIPE),
    "ssps-clustering-c": ("ssps-clustering-c", *grid.RECIPE),
    "supervised": ("supervised", None, None),
    **{grid.name(*cell): ("ssps-clustering", *cell) for cell in grid.TRAINED},
}


def _published(table: Table, framework: str, kind: str) -> float | None:
    """EER on VoxCeleb1-O; None for MoCo with SSPS, which has no row."""
    wanted = (framework, *ROWS[kind], "VoxCeleb1-O")
    rows = {(r.framework, r.positives, r.k, r.m, r.benchmark): r.eer for r in table}
    return rows.get(wanted)


def median(shares: np.ndarray) -> float:
    """The median of a histogram of cosines (100 shares between -1 and 1), linear within a bin.

    >>> median(np.eye(100)[75])
    0.51
    """
    reached = np.concatenate([[0.0], np.cumsum(shares, dtype=float)])
    return round(float(np.interp(reached[-1] / 2, reached, BINS)), 6)


def _observed(run: Run, name: str) -> np.ndarray:
    """The epochs at which a metric was observed, or a NaN if it never was."""
    values = np.asarray(run.metrics.get(name, [np.nan]), float)
    values = values[~np.isnan(values)]
    return values if len(values) else np.array([np.nan])


def _mean(run: Run, name: str) -> float:
    return float(_observed(run, name).mean())


CLAIMS: tuple[tuple[str, str, int, Effects], ...] = (
    ("Supervised positives lower the EER of every framework", "V-A, Table I", 7,
     _everywhere("ssl-continued", "supervised", paper.TABLE_1)),
    ("SSPS lowers the EER of every framework", "V-C, Table III", 9,
     _everywhere("ssl-continued", "ssps-clustering", paper.TABLE_3)),
    ("SSPS-Clustering beats SSPS-NN", "V-B, Table II", 8, _search(("EER", "ssps-nn"))),
    ("A neighbouring cluster beats the anchor's own", "V-B, Table II", 8,
     _search(("EER", grid.name(25_000, 0)))),
    ("Centroids fail as positives", "V-B, Table II", 8, _centroids),
    ("K between speakers and recordings, with a neighbour, is best", "V-B, Table II", 8,
     _search(("EER, below K = speakers, M = 0", grid.name(6_000, 0)),
             ("EER, below K = recordings, M = 1", grid.name(150_000, 1)))),
    ("Clusters leave the recording and find the speaker more often", "V-B, Figure 4", 5, _pairs),
    ("The NMI ratio of speaker and recording rises", "V-E, Figure 7", 11, _nmi),
    ("A speaker's recordings move together", "V-E, Figure 5", 11, _similarity),
    ("SSPS needs augmentation less than SSL", "V-F, Table V", 12, _augmentation),
    ("SimCLR, behind DINO, gains more from SSPS", "V-C, Table III", 9, _dino),
    ("Supervised positives bound SSPS", "V-C, Table III", 9,
     _everywhere("ssps-clustering", "supervised", paper.TABLE_3)),
)  # fmt: skip
