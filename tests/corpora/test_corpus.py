"""Packed corpora: crops against slices by hand, round trips, and damage that must be noticed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssps_lib.corpora import Corpus, write_packed
from ssps_lib.corpora.corpus import labels

KEYS = ["b/r1/x.wav", "a/r1/y.wav", "a/r2/z.wav", "b/r1/w.wav"]


def utterances(*lengths):
    return [np.arange(n, dtype=np.int16) + 1000 * i for i, n in enumerate(lengths)]


def in_memory(*lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    zeros = np.zeros(len(lengths), np.int64)
    keys = np.array([f"s/r/{i}" for i in range(len(lengths))])
    samples = np.concatenate(utterances(*lengths))
    return Corpus("memory", samples, offsets, zeros, zeros, keys)


@pytest.fixture
def packed(tmp_path):
    audio = utterances(5, 3, 7, 4)
    return write_packed(tmp_path / "corpus", "four", [audio[:3], audio[3:]], KEYS)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    picks=st.lists(
        st.tuples(st.integers(0, 4), st.floats(0, 1, exclude_max=True, width=32)), max_size=6
    ),
    samples=st.integers(1, 40),
)
def test_crops_equal_slices_by_hand(lengths, picks, samples):
    corpus = in_memory(*lengths)
    index = np.array([i % len(lengths) for i, _ in picks], np.int64)
    crops = corpus.crops(index, np.array([u for _, u in picks]), samples)
    assert crops.shape == (len(picks), samples) and crops.dtype == np.int16
    for row, i, (_, u) in zip(crops, index, picks, strict=True):
        whole = list(utterances(*lengths)[i])
        if len(whole) < samples:  # repeated from its beginning
            expected = [whole[t % len(whole)] for t in range(samples)]
        else:
            start = int(u * (len(whole) - samples + 1))
            expected = whole[start : start + samples]
        assert row.tolist() == expected


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    wrong=st.one_of(st.integers(-9, -1), st.integers(5, 20)),
    samples=st.integers(1, 40),
)
def test_no_crop_of_an_utterance_that_is_not_there(lengths, wrong, samples):
    corpus = in_memory(*lengths)
    with pytest.raises(ValueError, match=f"they must lie in .0, {len(lengths)}"):
        corpus.crops(np.array([0, wrong]), np.zeros(2), samples)
    with pytest.raises(ValueError, match="must lie in"):
        corpus.audio(wrong)


def test_every_position_of_a_crop_is_as_likely():
    corpus = in_memory(10)
    uniform = (np.arange(700) + 0.5) / 700
    starts = corpus.crops(np.zeros(700, np.int64), uniform, 4)[:, 0]
    assert np.bincount(starts).tolist() == [100] * 7


def test_packed_round_trip(packed):
    assert len(packed) == 4 and packed.name == "four"
    assert packed.lengths.tolist() == [5, 3, 7, 4] and list(packed.keys) == KEYS
    for i in (3, 0, 2, 1):  # random access
        assert packed.audio(i).tolist() == utterances(5, 3, 7, 4)[i].tolist()
    assert packed.speakers.tolist() == [1, 0, 0, 1]
    assert packed.recordings.tolist() == [2, 0, 1, 2]  # a/r1 and b/r1 are two recordings
    assert isinstance(packed.samples, np.memmap)
    assert packed.hours == pytest.approx(19 / 16_000 / 3600)


def test_a_part_shares_audio_and_renumbers_labels(packed):
    part = packed.part(2, 4, "two")
    assert part.name == "two" and list(part.keys) == KEYS[2:]
    assert part.audio(0).tolist() == packed.audio(2).tolist()
    assert part.audio(1).tolist() == packed.audio(3).tolist()
    assert part.speakers.tolist() == [0, 1] and part.recordings.tolist() == [0, 1]


def test_labels_follow_the_sorted_names():
    assert labels(["b", "a", "c", "a"]).tolist() == [1, 0, 2, 0]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def batches():
        yield utterances(5, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_packed(tmp_path / "corpus", "broken", batches(), KEYS)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_number_of_keys_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="2 utterances were given for 4 keys"):
        write_packed(tmp_path / "corpus", "broken", [utterances(5, 3)], KEYS)
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_wins(packed, tmp_path):
    again = write_packed(tmp_path / "corpus", "late", [utterances(1)], ["s/r/u"])
    assert again.name == "four" and len(again) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
