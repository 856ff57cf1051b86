"""The claims of the paper: its evidence, ours, and a verdict from finished runs (chapter 1).

A claim is a list of *effects*, numbers that are positive where the claim is right. Its verdict
follows from their intervals over the seeds. Runs are read where they are at hand, never trained.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssps_book import grid, paper, records
from ssps_book.averages import mean_interval
from ssps_book.paper.tables import Result
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

SEEDS = 3  # an effect needs at least
WORDS = ("reproduced", "contradicted", "not shown", "not run")

Runs = Mapping[tuple[str, str], Mapping[int, Run]]  # framework, kind -> seed -> run


@dataclass(frozen=True)
class Effect:
    """One comparison of a claim.

    Attributes:
        of: what is compared, in a few words.
        values: one for each seed, positive where the claim is right; empty where runs are missing.
        paper: the published value, None where none is printed.
        unit: "%" or nothing.
    """

    of: str
    values: tuple[float, ...]
    paper: float | None = None
    unit: str = "%"

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the 95 % interval of the mean (Student's t); infinite below `SEEDS` seeds.

        >>> low, high = Effect("EER", (1.0, 2.0, 3.0)).interval
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)
        """
        if len(self.values) < SEEDS:
            return -np.inf, np.inf
        mean, half = mean_interval(self.values)
        return mean - half, mean + half

    def written(self) -> str:
        """Mean, interval and number of seeds, in words."""
        if not self.values:
            return f"{self.of}: not run"
        mean, half = mean_interval(self.values)
        spread = "" if np.isnan(half) else f" ± {self._write(half, '')}"
        seeds = f"{len(self.values)} seed{'s' if len(self.values) > 1 else ''}"
        return f"{self.of}: {self._write(mean)}{spread} ({seeds})"

    def published(self) -> str:
        """The paper's number in words; a dash where it has none."""
        return f"{self.of}: {'–' if self.paper is None else self._write(self.paper)}"

    def _write(self, value: float, sign: str = "+") -> str:
        if self.unit == "%":
            return f"{round(value):{sign}} %"
        return f"{value:{sign}.3f}"


@dataclass(frozen=True)
class Verdict:
    """A claim of the paper and what the runs say of it.

    Attributes:
        claim: in our words.
        source: section and table or figure.
        chapter: of this book.
        effects: all of them positive, if the claim is right.

    >>> surely, hardly = Effect("b", (1.0, 1.1, 1.2)), Effect("c", (-1.0, 1.0, 2.0))
    >>> Verdict("a", "Section V", 5, (surely,)).verdict
    'reproduced'
    >>> Verdict("a", "Section V", 5, (surely, hardly)).verdict
    'not shown'
    """

    claim: str
    source: str
    chapter: int
    effects: tuple[Effect, ...]

    @property
    def verdict(self) -> str:
        """Which of `WORDS` the effects deserve.

        "contradicted": the interval of one lies below zero; "reproduced": those of all lie above;
        "not run": nothing was measured; "not shown": anything else.
        """
        if not any(effect.values for effect in self.effects):
            return "not run"
        intervals = [effect.interval for effect in self.effects]
        if any(high < 0 for _, high in intervals):
            return "contradicted"
        return "reproduced" if all(low > 0 for low, _ in intervals) else "not shown"


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


def headline(decided: Sequence[Verdict]) -> str:
    """What the verdicts say together, in Markdown: how many of each, then the claims by verdict.

    >>> text = headline([Verdict("It works", "V", 1, (Effect("x", ()),))])
    >>> text.splitlines()[-1]
    '- **Not run**: It works.'
    """
    by_word = {word: [v.claim for v in decided if v.verdict == word] for word in WORDS}
    counts = [f"{len(claims)} **{word}**" for word, claims in by_word.items()]
    first = len(by_word[WORDS[0]])
    counts[0] = f"{first} {'is' if first == 1 else 'are'} **{WORDS[0]}**"
    lines = [f"- **{w.capitalize()}**: {'; '.join(c)}." for w, c in by_word.items() if c]
    return "\n".join([f"Of {len(decided)} claims of the paper, {', '.join(counts)}.", "", *lines])


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
