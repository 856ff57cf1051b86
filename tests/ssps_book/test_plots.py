"""Figures show the numbers they are given; how they look was judged by eye."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex, to_rgb

from ssps_book import paper, plots
from ssps_lib import scorer


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(figure):
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0


def luminance(color):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return np.dot(channels, [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_style_is_legible_and_distinct():
    colors = [color for color, *_ in plots.STYLES.values()] + list(plots.OTHERS)
    assert len(set(colors)) == len(colors)
    assert contrast(plots.INK, plots.CARD) > 7  # text
    assert min(contrast(c, plots.CARD) for c in colors) > 2  # lines
    assert mpl.rcParams["figure.facecolor"] == plots.CARD
    assert set(paper.POSITIVES) <= set(plots.STYLES)


def test_styles_by_name():
    assert plots.style("supervised")["color"] == "#009e73"
    without = plots.style("ssps-clustering without augmentation")
    assert without["color"] == plots.style("ssps-clustering")["color"]
    assert without["linestyle"] != plots.style("ssps-clustering")["linestyle"]
    assert plots.style("floor", 1) != plots.style("floor", 0)


def test_curves():
    epochs = np.arange(1, 6)
    series = {"ssl": (epochs, 10.0 - epochs), "ssps-clustering": (epochs[2:], epochs[2:] + 1.0)}
    band = {"ssl": (9.0 - epochs, 11.0 - epochs)}
    ax = plots.curves(series, "EER (%)", intervals=band, start=3)
    for line, (x, y) in zip(ax.lines, series.values(), strict=False):
        np.testing.assert_array_equal(line.get_xydata().T, [x, y])
    assert legend(ax) == ["SSL", "SSPS"]
    assert len(ax.collections) == 1 and list(ax.lines[2].get_xdata()) == [3, 3]
    assert ax.get_ylabel() == "EER (%)"
    drawn(ax.figure)


def test_det_of_gaussian_scores_is_straight_and_crosses_the_diagonal_at_the_eer():
    rng = np.random.default_rng(0)
    labels = (np.arange(40_000) % 2).astype(int)
    scores = rng.normal(size=40_000) + 2 * labels
    fpr, fnr, _ = scorer.det_curve(scores, labels)
    eer = scorer.eer(scores, labels)
    ax = plots.det({"ssl": (fpr, fnr)}, {"ssl": eer}, plt.subplots()[1])
    x, y = ax.lines[0].get_xydata().T
    middle = np.abs(x) < 1.5
    slope, _ = np.polyfit(x[middle], y[middle], 1)
    assert slope == pytest.approx(-1, abs=0.05)
    crossing = np.abs(x - y).argmin()
    place = np.interp(x[crossing], ax.get_xticks(), plots.RATES)
    assert place == pytest.approx(eer, rel=0.1)
    assert legend(ax) == [f"SSL, EER {eer:.1f} %"]
    drawn(ax.figure)


def areas(ax):
    for patch in ax.patches[::2]:
        x, y = patch.get_xy().T
        yield np.abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def test_histograms_can_be_drawn_from_the_shares_of_bins():
    rng = np.random.default_rng(0)
    edges = np.linspace(-1, 1, 101)
    targets, others = rng.normal(0.5, 0.1, 900), rng.normal(0, 0.1, 900)
    shares = [np.histogram(x, edges, density=False)[0] / 900 for x in (targets, others)]
    ax = plots.score_histogram(*shares, edges=edges, ax=plt.subplots()[1])
    assert legend(ax) == ["different speakers", "same speaker"]
    assert list(areas(ax)) == pytest.approx([1, 1])
    x, y = ax.patches[2].get_xy().T  # of the targets
    assert x[y.argmax()] == pytest.approx(0.5, abs=0.1)
    assert y.max() == pytest.approx(shares[0].max() / 0.02)
    ax = plots.similarity_distributions({"ssl": shares[0]}, edges=edges)
    assert ax.lines[0].get_xdata()[0] == pytest.approx(np.median(targets), abs=0.02)
    drawn(ax.figure)


def test_similarities_show_medians():
    rng = np.random.default_rng(0)
    values = {"ssl": rng.normal(0.3, 0.1, 300), "ssps-clustering": rng.normal(0.6, 0.1, 301)}
    ax = plots.similarity_distributions(values)
    medians = [np.median(v) for v in values.values()]
    assert legend(ax) == [f"SSL, median {medians[0]:.2f}", f"SSPS, median {medians[1]:.2f}"]
    marked = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
    assert marked == pytest.approx(medians)
    drawn(ax.figure)


def test_speaker_map_shows_every_point_once_in_its_speakers_colour():
    rng = np.random.default_rng(0)
    points, speakers = rng.normal(size=(30, 2)), rng.integers(4, size=30)
    ax = plots.speaker_map(points, speakers, rng.integers(3, size=30), "SSL")
    shown = {}
    for group in ax.collections:
        for xy in group.get_offsets():
            shown[tuple(np.round(xy, 9))] = to_hex(group.get_facecolor()[0])
    expected = {tuple(np.round(p, 9)): plots.SPEAKERS[s] for p, s in zip(points, speakers,
                                                                        strict=True)}  # fmt: skip
    assert shown == expected
    drawn(ax.figure)


def test_latent_space_joins_the_anchor_to_its_positives():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 2))
    labels = np.repeat([0, 1, 2], 4)
    positives = {"ssl": [0], "ssps-clustering": [5, 6]}
    ax = plt.subplots()[1]
    plots.latent_space(points, labels, np.arange(12) % 2, points[:3], 0, positives, ax=ax)
    ends = [line.get_xydata() for line in ax.lines]
    for line, j in zip(ends, (0, 5, 6), strict=True):
        np.testing.assert_array_equal(line, points[[0, j]])
    assert legend(ax) == ["centroid", "SSL", "SSPS", "anchor"]
    drawn(ax.figure)


def test_spectrograms_share_one_scale():
    images = {name: np.full((40, 50), value) for name, value in zip("abc", (0.0, 1.0, 9.0),
                                                                    strict=True)}  # fmt: skip
    figure = plots.spectrograms(images)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["a", "b", "c"]
    assert len({ax.images[0].get_clim() for ax in shown}) == 1
    assert shown[0].images[0].get_extent() == [0, 0.5, 0, 40]
    drawn(figure)


def test_comparison_writes_both_numbers():
    rows = [("SimCLR, SSL", 6.30, 12.4), ("SimCLR, SSPS", 2.57, None), ("MoCo, SSPS", None, 9.0)]
    ax = plots.comparison(rows, intervals=[(11.0, 13.0), None, None])
    texts = [t.get_text() for t in ax.texts]
    for expected in ("6.30", "12.40", "2.57", "–", "9.00"):
        assert expected in texts
    assert [t.get_text() for t in ax.get_yticklabels()] == [name for name, *_ in rows]
    drawn(ax.figure)


def test_training_does_not_import_figures():
    code = "import sys, ssps_lib.scorer, ssps_lib.analysis, ssps_book.paper, ssps_lib.training;"
    code += "sys.exit('matplotlib' in sys.modules or 'seaborn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
