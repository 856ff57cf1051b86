"""Trials against an enumeration of all pairs, and trial lists with their faults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssps_lib.corpora import Trials, make_trials, read_trials, write_trials

KEYS = np.array(["a/r1/1.wav", "a/r2/2.wav", "b/r1/3.wav"])


@given(
    labels=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=25),
    most=st.integers(1, 40),
    seed=st.integers(0, 100),
)
def test_agrees_with_all_pairs(labels, most, seed):
    """Trials are distinct pairs of their kind; when all are asked for, all are there."""
    speakers = np.array([s for s, _ in labels])
    recordings = np.array([3 * s + r for s, r in labels])
    n = len(labels)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    across = {
        p for p in pairs if labels[p[0]][0] == labels[p[1]][0] and labels[p[0]] != labels[p[1]]
    }
    others = {p for p in pairs if labels[p[0]][0] != labels[p[1]][0]}
    if not across:
        with pytest.raises(ValueError, match="no speaker has two recordings"):
            make_trials(speakers, recordings, most, seed)
        return
    if not others:
        with pytest.raises(ValueError, match="all utterances are of one speaker"):
            make_trials(speakers, recordings, most, seed)
        return
    trials = make_trials(speakers, recordings, most, seed)
    rows = list(zip(trials.first.tolist(), trials.second.tolist(), strict=True))
    targets = {p for p, label in zip(rows, trials.labels, strict=True) if label == 1}
    nontargets = {p for p, label in zip(rows, trials.labels, strict=True) if label == 0}
    assert len(targets) + len(nontargets) == len(rows)  # no pair twice
    assert targets <= across and nontargets <= others
    for speaker in set(speakers.tolist()):
        possible = sum(speakers[i] == speaker for i, _ in across)
        assert sum(speakers[i] == speaker for i, _ in targets) == min(most, possible)
    assert len(nontargets) == min(len(targets), len(others))


def test_every_nontarget_pair_is_as_likely():
    speakers, recordings = np.array([0, 1, 0, 2, 1]), np.arange(5)
    counts = np.zeros((5, 5))
    for seed in range(800):
        trials = make_trials(speakers, recordings, 1, seed)
        other = trials.labels == 0
        counts[trials.first[other], trials.second[other]] += 1
    drawn = counts[counts > 0]
    assert len(drawn) == 8  # ten pairs less the two of one speaker
    expected = drawn.sum() / 8
    assert ((drawn - expected) ** 2 / expected).sum() < 24.3  # chi-square, 7 degrees, p = 0.001


def test_a_seed_decides_the_trials():
    speakers, recordings = np.repeat(np.arange(6), 8), np.arange(48) // 2

    def draw(seed):
        trials = make_trials(speakers, recordings, 5, seed)
        return trials.first.tolist(), trials.second.tolist()

    assert draw(1) == draw(1) != draw(2)


def test_round_trip_in_voxceleb_format(tmp_path):
    trials = Trials(np.array([1, 0]), np.array([0, 2]), np.array([1, 0]))
    write_trials(tmp_path / "trials.txt", trials, KEYS)
    assert (tmp_path / "trials.txt").read_text() == (
        "1 a/r1/1.wav a/r2/2.wav\n0 b/r1/3.wav a/r1/1.wav\n"
    )
    again = read_trials(tmp_path / "trials.txt", KEYS)
    assert len(again) == 2
    for name in ("labels", "first", "second"):
        assert getattr(again, name).tolist() == getattr(trials, name).tolist()


def test_all_faults_of_a_list_come_with_their_lines(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("1 a/r1/1.wav a/r2/2.wav\n\n2 a/r1/1.wav b/r1/3.wav\n0 a/r1/1.wav c/r1/9.wav\n")
    with pytest.raises(ValueError) as caught:
        read_trials(file, KEYS)
    message = str(caught.value)
    assert "has 2 faults" in message
    assert "line 3: '2 a/r1/1.wav b/r1/3.wav' is not '1|0 fileA fileB'" in message
    assert "line 4: 'c/r1/9.wav' is not in the corpus" in message
