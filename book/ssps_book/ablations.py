"""Single choices of SSPS changed, and which half of a pair matters (book chapters 7, 8 and 13).

Each is SimCLR with SSPS-Clustering by the recipe, with one change. Three need labels, which the
samplers of the library never get: they are registered here, under names of their own.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from ssps_book import plots, records
from ssps_lib import positives, recipes
from ssps_lib.positives import Clustering, Queue, Supervised
from ssps_lib.training import Run, RunConfig, build

CHANGES: dict[str, dict] = {  # what the recipe has is not listed
    "|Q'| = N": {"positive_queue": None},
    "reference frames of 1 s": {"reference_crop": 1.0},
    "reference frames of 2 s": {"reference_crop": 2.0},
    "distorted reference frames": {"reference_augmentation": True},
}
STARTS = (4, 2)  # SSPS begins after this part of the SSL training and replaces the rest
HALVES = {  # label: the name of the positives
    "right pairs only": "ssps-clustering-right",
    "wrong pairs only": "ssps-clustering-wrong",
    "same recording": "same-recording",
}


class Filtered(Clustering):
    """SSPS-Clustering that is told which of its pairs have one speaker, and uses only these, or
    only the others; the anchors of the rest keep their own positive."""

    def __init__(self, *arguments, speakers: Tensor, right: bool, **options) -> None:
        super().__init__(*arguments, **options)
        self._speakers, self._right = speakers, right

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`."""
        pos = super().sample(index, queue, uniform)
        same = (self._speakers[pos.cpu()] == self._speakers[index.cpu()]).to(pos.device)
        return torch.where((pos >= 0) & (same == self._right), pos, -1)


def configs(preset: str, seed: int = 1717, corpus: str = "simulated") -> dict[str, RunConfig]:
    """The ablations by their labels."""
    common: dict[str, Any] = {"preset": preset, "seed": seed, "corpus": corpus}
    whole = recipes.recipe("simclr", "ssps-clustering", **common)
    found = {
        label: recipes.recipe("simclr", "ssps-clustering", **common, **change)
        for label, change in CHANGES.items()
    }
    for part in STARTS:
        begun = max(1, (whole.first_epoch // part))
        early = recipes.recipe("simclr", "ssps-clustering", **common, epochs=begun)
        found[f"SSPS after 1/{part} of SSL"] = early.with_(epochs=whole.last_epoch - begun)
    both = {**whole.framework_options, "symmetric_positives": True}
    found["symmetric positives"] = whole.with_(framework_options=both)
    return found | {label: whole.with_(positives=name) for label, name in HALVES.items()}


def register(config: RunConfig) -> None:
    """Make the samplers of `HALVES` known, with the labels of the training utterances of a run."""
    if config.positives not in HALVES.values():
        return
    train = build.open_splits(config).train
    speakers = torch.from_numpy(train.speakers)
    for name, right in (("ssps-clustering-right", True), ("ssps-clustering-wrong", False)):
        positives.SAMPLERS[name] = partial(Filtered, speakers=speakers, right=right)
    positives.SAMPLERS["same-recording"] = partial(Supervised, speakers=train.recordings)


def finished(
    ends: dict[str, str], preset: str, seeds: Iterable[int], corpus: str = "simulated"
) -> dict[str, list[Run]]:
    """The runs at hand, one for each seed: those of `ends` (label: recipe) and the ablations."""
    found: dict[str, list[Run]] = {}
    for seed in seeds:
        how: dict[str, Any] = {"preset": preset, "seed": seed, "corpus": corpus}
        wanted = {label: recipes.recipe("simclr", name, **how) for label, name in ends.items()}
        wanted |= configs(**how) if corpus == "simulated" else {}
        for label, config in wanted.items():
            run = records.load(config)
            if run is not None:
                found.setdefault(label, []).append(run)
    return found


def draw(
    runs: dict[str, list[Run]],
    said: dict[str, str],
    axis: str,
    styles: dict[str, str] | None = None,
) -> plt.Figure:
    """Error rates of runs, a line for each label of `said`: a dot for each seed, a bar at the mean.

    Args:
        runs: by label, as `finished` gives them.
        said: what to write for a label, in the order of the lines; those without runs are left out.
        axis: what to write below.
        styles: keys of `plots.style` for labels that are none themselves.
    """
    keys = styles or {}
    lines = [label for label in said if label in runs]
    figure, ax = plt.subplots(figsize=(8.2, 0.42 * len(lines) + 1.0))
    for y, label in enumerate(lines):
        eers = [run.eer for run in runs[label]]
        color = plots.style(keys.get(label, label))["color"]
        ax.scatter(eers, [y] * len(eers), s=40, color=color, alpha=0.6, zorder=3)
        ax.plot([np.mean(eers)] * 2, [y - 0.28, y + 0.28], color=color, linewidth=2)
        ax.annotate(
            f"{np.mean(eers):.1f}", (max(eers), y), (8, 0), fontsize=9, va="center",
            textcoords="offset points",
        )  # fmt: skip
    ax.set_yticks(range(len(lines)), [said[label] for label in lines])
    ax.set(xlabel=axis, ylim=(len(lines) - 0.5, -0.6))
    ax.margins(x=0.08)
    ax.grid(axis="y", visible=False)
    return figure
