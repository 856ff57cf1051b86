"""The claims of the paper: its evidence, ours, and a verdict from finished runs (chapter 1).

A claim is a list of *effects*, numbers that are positive where the claim is right. Its verdict
follows from their intervals over the seeds. Runs are read where they are at hand, never trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssps_book import grid, paper, records
from ssps_lib import recipes
from ssps_lib.analysis import mean_interval
from ssps_lib.training import Run, RunConfig
from ssps_lib.training.record import BINS

FRAMEWORKS = ("simclr", "moco", "swav", "vicreg", "dino")
# Kinds of runs, by their names here.
Recipe = tuple[str, dict]  # positives, and what is changed in their recipe
KINDS: dict[str, Recipe] = {name: (name, {}) for name in (
    "ssl", "ssl-continued", "ssps-nn", "ssps-clustering", "ssps-clustering-c", "supervised",
)}  # fmt: skip
PLAIN: dict[str, Recipe] = {f"{name}, plain": (name, {"augmentation": "none"}) for name in
         ("ssl-continued", "ssps-clustering")}  # fmt: skip

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


def configs(preset: str, seed: int = 1717, **changes) -> dict[tuple[str, str], RunConfig]:
    """The runs that the claims compare, by framework and kind; `changes` go to `recipe`."""
    wanted = {(name, kind): KINDS[kind] for name in FRAMEWORKS for kind in
              ("ssl", "ssl-continued", "ssps-clustering", "supervised")}  # fmt: skip
    simclr = KINDS | PLAIN | {grid.name(*cell): _cell(cell, preset) for cell in grid.TRAINED}
    wanted |= {("simclr", kind): how for kind, how in simclr.items()}
    return {
        key: recipes.recipe(key[0], positives, preset=preset, seed=seed, **{**changes, **more})
        for key, (positives, more) in wanted.items()
    }


def _cell(cell: tuple[int, int], preset: str) -> Recipe:
    k, m = cell
    return "ssps-clustering", {"clusters": grid.own_clusters(k, preset), "window": m}


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
        for claim, source, chapter, effects in (
            ("Supervised positives lower the EER of every framework", "V-A, Table I", 7, _labels),
            ("SSPS lowers the EER of every framework", "V-C, Table III", 9, _ssps),
            ("SSPS-Clustering beats SSPS-NN", "V-B, Table II", 8, _nearest),
            ("A neighbouring cluster beats the anchor's own", "V-B, Table II", 8, _neighbour),
            ("Centroids fail as positives", "V-B, Table II", 8, _centroids),
            ("The best K lies between speakers and recordings", "V-B, Table II", 8, _between),
            ("Clusters leave the recording and keep the speaker", "V-B, Figure 4", 5, _pairs),
            ("The NMI ratio of speaker and recording rises", "V-E, Figure 7", 11, _nmi),
            ("A speaker's recordings move together", "V-E, Figure 5", 11, _similarity),
            ("SSPS hardly needs augmentation", "V-F, Table V", 12, _augmentation),
            ("SimCLR, behind DINO, catches up by SSPS", "V-C, Table III", 9, _dino),
            ("Supervised positives bound SSPS", "V-C, Table III", 9, _bound),
        )
    ]


def headline(decided: Sequence[Verdict]) -> str:
    """What the verdicts say together, in Markdown: how many of each, then the claims by verdict.

    >>> text = headline([Verdict("It works", "V", 1, (Effect("x", ()),))])
    >>> text.splitlines()[-1]
    '- **Not run**: It works.'
    """
    by_word = {word: [v.claim for v in decided if v.verdict == word] for word in WORDS}
    counts = [f"{len(claims)} **{word}**" for word, claims in by_word.items()]
    counts[0] = f"{len(by_word[WORDS[0]])} are **{WORDS[0]}**"
    lines = [f"- **{w.capitalize()}**: {'; '.join(c)}." for w, c in by_word.items() if c]
    return "\n".join([f"Of {len(decided)} claims of the paper, {', '.join(counts)}.", "", *lines])


def _nearest(runs: Runs) -> Iterator[Effect]:
    yield _search(runs, "EER", "ssps-nn", "ssps-clustering")


def _neighbour(runs: Runs) -> Iterator[Effect]:
    yield _search(runs, "EER", grid.name(25_000, 0), "ssps-clustering")


def _centroids(runs: Runs) -> Iterator[Effect]:
    found = _search(runs, "EER, rise above SSL", "ssl-continued", "ssps-clustering-c")
    rise = tuple(-value for value in found.values)
    yield Effect(found.of, rise, None if found.paper is None else -found.paper)


def _between(runs: Runs) -> Iterator[Effect]:
    for of, k, m in (("K = speakers, M = 0", 6_000, 0), ("K = recordings, M = 1", 150_000, 1)):
        yield _search(runs, f"EER, below {of}", grid.name(k, m), "ssps-clustering")


def _pairs(runs: Runs) -> Iterator[Effect]:
    def rise(metric: str) -> tuple[float, ...]:
        kinds = ("simclr", "ssps-nn"), ("simclr", "ssps-clustering")
        return _compare(runs, lambda nn, own: _mean(own, metric) - _mean(nn, metric), *kinds)

    fall = tuple(-value for value in rise("recording_accuracy"))
    yield Effect("fall of recording accuracy", fall, unit="")
    yield Effect("rise of speaker accuracy", rise("speaker_accuracy"), unit="")


def _nmi(runs: Runs) -> Iterator[Effect]:
    def rise(before: Run, after: Run) -> float:
        return -paper.reduction(_last(before, "nmi_ratio"), _last(after, "nmi_ratio"))

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
    values = _compare(runs, lambda *made: needed(*(run.eer for run in made)), *kinds)
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
        values = _compare(runs, lambda *made, f=measure: f(*(run.eer for run in made)), *needed)
        yield Effect(of, values, measure(*(_table_3(*key) for key in needed)))


def _falls(
    runs: Runs, name: str, before: str, after: str, table: Callable[[str, str], float | None]
) -> Effect:
    """The relative reduction of the EER from one kind to another, within a framework."""
    printed = [table(name, kind) for kind in (before, after)]
    theirs = None if None in printed else paper.reduction(*printed)
    keys = (name, before), (name, after)
    values = _compare(runs, lambda one, two: paper.reduction(one.eer, two.eer), *keys)
    return Effect(paper.FRAMEWORKS[name], values, theirs)


def _search(runs: Runs, of: str, before: str, after: str) -> Effect:
    """As `_falls` for SimCLR beside Table II."""
    found = _falls(runs, "simclr", before, after, _table_2)
    return Effect(of, found.values, found.paper)


def _compare(
    runs: Runs, measure: Callable[..., float], *keys: tuple[str, str]
) -> tuple[float, ...]:
    """A measure of several kinds of runs, for each seed that has them all."""
    made = [runs.get(key, {}) for key in keys]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in made)))
    return tuple(float(measure(*(by_seed[one] for by_seed in made))) for one in seeds)


def _table_1(framework: str, kind: str) -> float:
    positives = kind.removesuffix("-continued")
    return paper.find(paper.TABLE_1, framework=framework, positives=positives).eer


def _table_2(framework: str, kind: str) -> float:
    """EER of the search (Fast ResNet-34), with the M and K that the book trains."""
    positives, k, m = {
        "ssl-continued": ("ssl", None, None),
        "ssps-nn": ("ssps-nn", None, int(paper.reading("SSPS-NN default M"))),
        "ssps-clustering": ("ssps-clustering", 25_000, 1),
        "ssps-clustering-c": ("ssps-clustering-c", 25_000, 1),
        **{grid.name(*cell): ("ssps-clustering", *cell) for cell in grid.TRAINED},
    }[kind]
    return paper.find(paper.TABLE_2, framework=framework, positives=positives, k=k, m=m).eer


def _table_3(framework: str, kind: str) -> float | None:
    """EER on VoxCeleb1-O; None for MoCo, which the table lacks."""
    if framework == "moco":
        return None
    positives = kind.removesuffix("-continued")
    k = 25_000 if positives == "ssps-clustering" else None
    fields = {"framework": framework, "positives": positives, "benchmark": "VoxCeleb1-O"}
    return paper.find(paper.TABLE_3, k=k, **fields).eer


def _everywhere(
    before: str, after: str, table: Callable[[str, str], float | None]
) -> Callable[[Runs], list[Effect]]:
    """The reduction of the EER from one kind to another, in every framework."""
    return lambda runs: [_falls(runs, name, before, after, table) for name in FRAMEWORKS]


_labels = _everywhere("ssl-continued", "supervised", _table_1)
_ssps = _everywhere("ssl-continued", "ssps-clustering", _table_3)
_bound = _everywhere("ssps-clustering", "supervised", _table_3)


def median(shares: np.ndarray) -> float:
    """The median of a histogram of cosines (100 shares between -1 and 1), linear within a bin.

    >>> median(np.eye(100)[75])
    0.51
    """
    reached = np.concatenate([[0.0], np.cumsum(shares, dtype=float)])
    return round(float(np.interp(reached[-1] / 2, reached, BINS)), 6)


def observed(run: Run, name: str) -> np.ndarray:
    """The epochs at which a metric was observed, or a NaN if it never was."""
    values = np.asarray(run.metrics.get(name, [np.nan]), float)
    values = values[~np.isnan(values)]
    return values if len(values) else np.array([np.nan])


def _last(run: Run, metric: str) -> float:
    return float(observed(run, metric)[-1])


def _mean(run: Run, metric: str) -> float:
    return float(observed(run, metric).mean())
