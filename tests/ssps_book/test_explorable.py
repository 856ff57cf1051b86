"""Numbers for figures to explore: the same as those of the static figure, and safe in a page."""

import json
import re

import numpy as np

from ssps_book import explorable

SPEAKERS, RECORDINGS = np.array([4, 4, 7, 7]), np.array([40, 41, 70, 70])


def numbers(made):
    html = made._repr_html_()
    return json.loads(re.fullmatch(r"<div.*?<script[^>]*>(.*)</script></div>", html)[1])


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_a_turned_map_keeps_its_distances_and_lies_on_the_one_before():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 2))
    first = explorable.turned(points)
    turn = np.array([[0.6, -0.8], [-0.8, -0.6]])  # a rotation and a mirror
    again = explorable.turned(5 + 3 * points @ turn, first)
    scale = np.abs(again).max() / np.abs(first).max()
    np.testing.assert_allclose(again, first * scale, atol=1e-9)
    ratio = distances(first)[0, 1:] / distances(points)[0, 1:]
    np.testing.assert_allclose(ratio, ratio[0])
    assert np.abs(first).max() == 1


def test_maps_number_speakers_and_their_recordings_from_zero():
    points = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    made = explorable.maps("fig-a", {"x": ("ten", points)}, SPEAKERS, RECORDINGS)
    read = numbers(made)
    assert read["speakers"] == [0, 0, 1, 1]
    assert read["recordings"] == [0, 1, 0, 0]
    assert read["names"] == ["1", "2"]
    assert (read["frames"][0]["title"], read["frames"][0]["note"]) == ("x", "ten")
    assert np.shape(read["frames"][0]["points"]) == (4, 2)
    assert 0 <= np.min(read["frames"][0]["points"]) <= np.max(read["frames"][0]["points"]) <= 1


def test_grid_averages_seeds_and_leaves_gaps():
    rows = [{"k": 8, "m": 0, "a": 0.2}, {"k": 8, "m": 0, "a": 0.4}, {"k": 16, "m": 1, "a": 0.9}]
    read = numbers(explorable.grid("fig-b", rows, {"a": "accuracy"}, start=(16, 1)))
    assert (read["k"], read["m"], read["start"]) == ([8, 16], [0, 1], [1, 1])
    assert read["series"][0]["values"] == [[0.3, None], [None, 0.9]]


def test_no_text_can_end_the_script():
    html = explorable.Explorable({"kind": "grid", "figure": "</script><b>"})._repr_html_()
    assert html.count("</script>") == 1
    assert numbers(explorable.Explorable({"figure": "</script><b>"})) == {"figure": "</script><b>"}
