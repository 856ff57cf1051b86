"""What runs say of a claim: effects, their intervals over the seeds, and the verdict (chapter 1).

A claim is a list of *effects*, numbers that are positive where the claim is right. Its verdict
follows from their intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssps_book.averages import mean_interval

SEEDS = 3  # an effect needs at least
WORDS = ("reproduced", "contradicted", "not shown", "not run")


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

    @property
    def lacks_runs(self) -> bool:
        """Whether only runs are missing: every effect with `SEEDS` of them lies above zero.

        >>> Verdict("a", "V", 5, (Effect("b", (1.0, 1.1, 1.2)), Effect("c", ()))).lacks_runs
        True
        """
        full = [effect.interval[0] for effect in self.effects if len(effect.values) >= SEEDS]
        return self.verdict == "not shown" and len(full) > 0 and min(full) > 0


def headline(decided: Sequence[Verdict]) -> str:
    """What the verdicts say together, in Markdown: how many of each, then the claims by verdict.

    >>> text = headline([Verdict("It works", "V", 1, (Effect("x", ()),))])
    >>> text.splitlines()[-1]
    '- **Not run**: It works.'
    """
    by_word = {
        word: [v.claim + " (for lack of runs)" * v.lacks_runs for v in decided if v.verdict == word]
        for word in WORDS
    }
    counts = [f"{len(claims)} **{word}**" for word, claims in by_word.items()]
    first = len(by_word[WORDS[0]])
    counts[0] = f"{first} {'is' if first == 1 else 'are'} **{WORDS[0]}**"
    lines = [f"- **{w.capitalize()}**: {'; '.join(c)}." for w, c in by_word.items() if c]
    return "\n".join([f"Of {len(decided)} claims of the paper, {', '.join(counts)}.", "", *lines])
