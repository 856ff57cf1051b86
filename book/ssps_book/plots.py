"""The book's figures: one style, one colour for each positive sampling, plain arrays in.

Functions draw into `ax`, or a new figure, and return it; nothing here trains, scores or reads a
record. Figures are drawn on a light card of their own, so that they stay legible when
the page is dark. Colour-blind readers can tell the colours apart (Okabe and Ito's set). Importing
this module sets the style of all figures that follow, and makes a notebook store vector graphics.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

Array: TypeAlias = np.ndarray | Sequence[float]

CARD = "#fbfaf7"
INK = "#2b2b2b"
GRID = "#dedbd3"
# Positive sampling -> colour, line style, name in legends.
STYLES = {
    "ssl": ("#7a7a7a", "-", "SSL"),
    "ssl-continued": ("#a8a8a8", "--", "SSL continued"),
    "ssps-clustering": ("#0072b2", "-", "SSPS"),
    "ssps-nn": ("#e69f00", "-", "SSPS-NN"),
    "ssps-clustering-c": ("#cc79a7", "-.", "SSPS (C)"),
    "supervised": ("#009e73", "-", "Supervised"),
}
OTHERS = ("#56b4e9", "#d55e00", "#8c6bb1", "#5b5b2f")  # keys that are no positive sampling
SPEAKERS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7a7a7a",
    "#b8a900", "#5b3a1e",
)  # fmt: skip
MARKERS = "osD^vPX<>*"


sns.set_theme(
    context="notebook",
    style="whitegrid",
    palette=[colour for colour, *_ in STYLES.values()],
    rc={
        "figure.facecolor": CARD, "axes.facecolor": CARD, "savefig.facecolor": CARD,
        "figure.figsize": (6.4, 4.0), "figure.dpi": 110, "savefig.bbox": "tight",
        "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.edgecolor": INK, "grid.color": GRID, "grid.linewidth": 0.8,
        "axes.titlesize": 12, "axes.labelsize": 11, "legend.fontsize": 10,
        "xtick.labelsize": 10, "ytick.labelsize": 10, "lines.linewidth": 2.0,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "font.family": "sans-serif", "figure.constrained_layout.use": True,
        "svg.hashsalt": "ssps",  # the same figure gives the same file
    },
)  # fmt: skip


def _set_vector_output() -> None:
    """In a notebook, store figures as SVG, without a date."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from matplotlib_inline.config import InlineBackend

        inline = InlineBackend.instance(parent=shell)
        inline.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Date": None}}
        inline.figure_formats = {"svg"}


_set_vector_output()


def style(key: str, position: int = 0) -> dict[str, object]:
    """`color`, `linestyle` and `label` of a positive sampling, or of any other series.

    A key may carry a suffix: "ssps-clustering without augmentation" is the colour of SSPS, dashed.

    >>> style("ssps-clustering") == {"color": "#0072b2", "linestyle": "-", "label": "SSPS"}
    True
    >>> style("ssl without augmentation")["label"]
    'SSL without augmentation'
    """
    name, _, suffix = key.partition(" ")
    if name not in STYLES:
        return {"color": OTHERS[position % len(OTHERS)], "linestyle": "-", "label": key}
    color, linestyle, label = STYLES[name]
    if suffix:
        linestyle, label = ":", f"{label} {suffix}"
    return {"color": color, "linestyle": linestyle, "label": label}


def curves(
    series: Mapping[str, tuple[Array, Array]],
    ylabel: str,
    xlabel: str = "epoch",
    intervals: Mapping[str, tuple[Array, Array]] | None = None,
    start: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Values over epochs (Figures 7 and 8).

    Args:
        series: name -> (epochs, values).
        intervals: name -> (low, high) drawn as a band.
        start: epoch at which SSPS begins, marked by a line.
    """
    ax = ax or plt.subplots()[1]
    for i, (key, (x, y)) in enumerate(series.items()):
        look = style(key, i)
        ax.plot(x, y, marker="o" if len(x) < 25 else None, markersize=4, **look)
        if intervals and key in intervals:
            ax.fill_between(x, *intervals[key], color=look["color"], alpha=0.18, linewidth=0)
    if start is not None:
        ax.axvline(start, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        ax.annotate("SSPS starts", (start, 0.98), xycoords=("data", "axes fraction"), va="top",
                    xytext=(4, 0), textcoords="offset points", fontsize=9)  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if xlabel == "epoch":
        whole = mpl.ticker.MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
        ax.xaxis.set_major_locator(whole)
    ax.legend()
    return ax


RATES = np.array([0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80])  # percent, ticks of a DET plot


def _probit(rate: Array) -> np.ndarray:
    """Normal deviates: Gaussian scores give straight lines."""
    return ndtri(np.clip(np.asarray(rate, float), 1e-4, 1 - 1e-4))


def det(
    operating_points: Mapping[str, tuple[Array, Array]], eers: Mapping[str, float], ax: Axes
) -> Axes:
    """Detection error trade-off on normal-deviate axes.

    Args:
        operating_points: name -> (fpr, fnr) as fractions, from `scorer.det_curve`.
        eers: name -> EER in percent, for the legend.
    """
    for i, (key, (fpr, fnr)) in enumerate(operating_points.items()):
        look = style(key, i)
        look["label"] = f"{look['label']}, EER {eers[key]:.1f} %"
        ax.plot(_probit(fpr), _probit(fnr), **look)
    ticks, limits = _probit(RATES / 100), _probit([0.002, 0.7])
    ax.plot(limits, limits, color=GRID, linewidth=1, zorder=0)
    names = [f"{rate:g}" for rate in RATES]
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    ax.set(xlim=limits, ylim=limits, aspect="equal",
           xlabel="false alarms (%)", ylabel="misses (%)")  # fmt: skip
    ax.legend(loc="upper right")
    return ax


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    middle = np.searchsorted(reached, 0.5), np.searchsorted(reached, 0.5, side="right")
    return float(np.mean([values[order][min(i, len(values) - 1)] for i in middle]))


def score_histogram(targets: Array, others: Array, edges: Array, ax: Axes) -> Axes:
    """Cosines of target and non-target trials, each normalised to its own area.

    Args:
        targets, others: share of each bin (n,).
        edges: of the bins (n + 1,).
    """
    edges = np.asarray(edges)
    used = np.flatnonzero(np.add(targets, others))
    bins = edges[used[0] : used[-1] + 2]
    classes = ((others, OTHERS[1], "different speakers"), (targets, OTHERS[0], "same speaker"))
    for shares, color, label in classes:
        shown = {"x": (edges[1:] + edges[:-1]) / 2, "weights": shares, "color": color}
        ax.hist(**shown, bins=bins, density=True, alpha=0.3, histtype="stepfilled")
        ax.hist(**shown, bins=bins, density=True, histtype="step", linewidth=1.6, label=label)
    ax.set(xlabel="cosine", ylabel="density")
    ax.grid(axis="x", visible=False)
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def similarity_distributions(
    similarities: Mapping[str, Array],
    xlabel: str = "cosine of same-speaker pairs",
    edges: Array | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Density of each group's cosines with its median marked (Figure 5).

    Args:
        similarities: name -> cosines; or, with the `edges` (n + 1,) of bins, shares of the bins.
    """
    ax = ax or plt.subplots()[1]
    for i, (key, values) in enumerate(similarities.items()):
        values = np.asarray(values, float)
        weights = np.ones_like(values)
        if edges is not None:
            values, weights = (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2, values
        values, weights = values[weights > 0], weights[weights > 0]
        look, median = style(key, i), _median(values, weights)
        look["label"] = f"{look['label']}, median {median:.2f}"
        smoothing = 1.0 if edges is None else 0.4  # bins are few, but each holds many cosines
        sns.kdeplot(x=values, weights=weights, ax=ax, fill=True, alpha=0.15, linewidth=2,
                    clip=(-1, 1), bw_adjust=smoothing, **look)  # fmt: skip
        ax.axvline(median, color=look["color"], linewidth=1.2, linestyle="--")
    ax.set(xlabel=xlabel, ylabel="density")
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper left")
    return ax


def speaker_map(
    points: np.ndarray,
    speakers: Array,
    recordings: Array,
    title: str = "",
    ax: Axes | None = None,
    colors: Sequence[str] = SPEAKERS,
) -> Axes:
    """t-SNE map (N, 2) (Figure 6): a colour for each speaker, a marker for each of its recordings.

    `colors`: of the speakers, in the order of their labels; by default there are 10.
    """
    ax = ax or plt.subplots()[1]
    speakers, recordings = np.asarray(speakers), np.asarray(recordings)
    for i, speaker in enumerate(np.unique(speakers)):
        own = speakers == speaker
        for j, recording in enumerate(np.unique(recordings[own])):
            rows = own & (recordings == recording)
            marker, color = MARKERS[j % len(MARKERS)], colors[i % len(colors)]
            ax.scatter(*points[rows].T, s=34, marker=marker, color=color, alpha=0.85,
                       edgecolor=CARD, linewidth=0.6, rasterized=len(points) > 2000)  # fmt: skip
    ax.set(title=title, xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    sns.despine(ax=ax, left=True, bottom=True)
    return ax


def latent_space(
    points: np.ndarray,
    speakers: Array,
    recordings: Array,
    centroids: np.ndarray | None = None,
    anchor: int | None = None,
    positives: Mapping[str, Array] | None = None,
    *,
    ax: Axes,
) -> Axes:
    """A two-dimensional latent space with an anchor and what may become its positive (Figure 1).

    Args:
        points: (N, 2) representations; speakers (colour) and recordings (marker) are (N,) labels.
        centroids: (K, 2), drawn as crosses.
        anchor: index of the anchor, circled.
        positives: sampling -> indices that it may choose, joined to the anchor by lines (a disc
            where that is the anchor itself). Speakers have colours that no sampling has.
    """
    speaker_map(points, speakers, recordings, ax=ax, colors=OTHERS)
    if centroids is not None:
        ax.scatter(*np.asarray(centroids).T, marker="x", s=60, color=INK, linewidth=1.6,
                   label="centroid", zorder=3)  # fmt: skip
    for i, (key, indices) in enumerate((positives or {}).items()):
        look = style(key, i)
        for n, j in enumerate(np.asarray(indices)):
            ax.plot(*points[[anchor, j]].T, color=look["color"], linewidth=1.8, alpha=0.8,
                    marker="o" if j == anchor else None, markersize=9,
                    label=look["label"] if n == 0 else None, zorder=1)  # fmt: skip
    if anchor is not None:
        ax.scatter(*points[anchor], s=190, facecolor="none", edgecolor=INK, linewidth=2,
                   label="anchor", zorder=4)  # fmt: skip
    ax.legend(loc="best")
    return ax


def spectrograms(images: Mapping[str, np.ndarray], columns: int = 2) -> Figure:
    """Log-mel spectrograms (bands, frames of 10 ms) by title, on one colour scale."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (3.6 * columns + 0.8, 2.2 * rows + 0.4)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    values = np.concatenate([np.ravel(image) for image in images.values()])
    low, high = np.percentile(values, [1, 99.5])
    for ax, (title, image) in zip(axes.flat, images.items(), strict=False):
        extent = (0, image.shape[1] * 0.01, 0, image.shape[0])
        drawn = ax.imshow(image, origin="lower", aspect="auto", cmap="mako", vmin=low, vmax=high,
                          extent=extent)  # fmt: skip
        ax.set_title(title)
        ax.grid(visible=False)
    for ax in axes.flat[len(images) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("mel band")
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    fig.colorbar(drawn, ax=axes, label="log energy")
    return fig


def comparison(
    rows: Sequence[tuple[str, float | None, float | None]],
    intervals: Sequence[tuple[float, float] | None],
) -> Axes:
    """The paper's EER (%) beside ours, one line for each system: a table that can be seen.

    The two are measured on different corpora; what can be compared is the order within a column
    and the distance between its rows.

    Args:
        rows: (system, paper's value, ours); None where there is none.
        intervals: (low, high) of ours.
    """
    _, ax = plt.subplots(figsize=(7.2, 0.45 * len(rows) + 1.2))
    kinds = (("paper", STYLES["ssl"][0], "D", 1.08),
             ("ours", STYLES["ssps-clustering"][0], "o", 1.24))  # fmt: skip
    written = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center",
               "fontsize": 10}  # fmt: skip
    for name, color, _, column in kinds:
        ax.text(column, -0.75, name, color=color, weight="bold", **written)
    for y, (_, *values) in enumerate(rows):
        if None not in values:
            ax.plot(values, [y, y], color=GRID, linewidth=3, zorder=1)
        if intervals[y] is not None:
            ax.plot(intervals[y], [y, y], color=kinds[1][1], linewidth=1.6, zorder=2)
        for value, (_, color, marker, column) in zip(values, kinds, strict=True):
            if value is not None:
                ax.scatter(value, y, color=color, marker=marker, s=52, zorder=3)
            text = "–" if value is None else f"{value:.2f}"
            ax.text(column, y, text, color=INK, **written)
    ax.set_yticks(range(len(rows)), [system for system, *_ in rows])
    ax.set(xlabel="EER (%)", ylim=(len(rows) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    return ax
