"""LibriSpeech's subsets as splits, its chapters as recordings, and its download."""

import pytest
from sounds import write

from ssps_lib.corpora import open_corpus
from ssps_lib.corpora.layouts import layout_of, librispeech_in, read_splits

pytestmark = pytest.mark.usefixtures("home")

SUBSETS = {"train-clean-100": range(100, 106), "dev-other": (200, 201), "test-clean": (300, 301)}


def make(root, *subsets):
    """Each speaker reads two chapters, of two utterances each."""
    for subset in subsets:
        for speaker in SUBSETS[subset]:
            for chapter in (f"{speaker}1", f"{speaker}2"):
                for u in range(2):
                    write(root, f"{subset}/{speaker}/{chapter}/{speaker}-{chapter}-{u:04d}", "flac")
    return root


def speakers(part):
    return {int(key.split("/")[0]) for key in part.keys}


def test_chapters_are_recordings_and_subsets_decide_the_test_speakers(tmp_path):
    root = make(tmp_path / "LibriSpeech", *SUBSETS)
    (root / "SPEAKERS.TXT").write_text("; comments")
    assert layout_of(root) == "librispeech"
    table = read_splits(root)
    assert not table.faults and not table.misplaced and len(table.entries) == 40
    assert {entry.recording for entry in table.entries if entry.speaker == "300"} == {
        "3001", "3002",
    }  # fmt: skip
    by_split = {s: {int(e.speaker) for e in table.of_split(s)} for s in ("train", "dev", "test")}
    assert by_split["test"] == set(SUBSETS["test-clean"])
    assert len(by_split["dev"]) == 2
    others = set(SUBSETS["train-clean-100"]) | set(SUBSETS["dev-other"])
    assert by_split["train"] | by_split["dev"] == others


def test_chosen_subsets_open_with_trials_across_chapters(tmp_path):
    root = make(tmp_path / "LibriSpeech", *SUBSETS)
    splits = open_corpus(str(root), subsets=("train-clean-100", "test-clean"))
    assert speakers(splits.train) | speakers(splits.dev) == set(SUBSETS["train-clean-100"])
    test, trials = splits.test, splits.test_trials
    target = trials.labels == 1
    first, second = trials.first[target], trials.second[target]
    assert target.sum() == 8  # four pairs of two chapters, two speakers
    assert (test.speakers[first] == test.speakers[second]).all()
    assert (test.recordings[first] != test.recordings[second]).all()


def test_faults_name_the_subset(tmp_path):
    root = make(tmp_path / "LibriSpeech", "train-clean-100")
    write(root, "train-clean-100/100/stray", "flac")
    table = read_splits(root)
    assert table.misplaced == [
        "train-clean-100/100/stray.flac: wrong depth, expected "
        "<subset>/<speaker>/<chapter>/<utterance>"
    ]
    with pytest.raises(ValueError, match="has no subset 'test-other', it holds train-clean-100"):
        open_corpus(str(root), subsets=("train-clean-100", "test-other"))
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="has no subset 'dev-clean', it holds no subset"):
        open_corpus(str(tmp_path / "other"), subsets=("dev-clean",))
    assert librispeech_in(tmp_path / "nowhere") is None


def test_torchaudio_downloads_what_is_missing(home, monkeypatch):
    fetched = []

    def archive(folder, name, download):
        assert download
        fetched.append(name)
        make(folder / "LibriSpeech", name)

    monkeypatch.setattr("torchaudio.datasets.LIBRISPEECH", archive)
    make(home / "downloads" / "LibriSpeech", "test-clean")
    splits = open_corpus("librispeech")
    assert fetched == ["train-clean-100"]
    assert speakers(splits.test) == set(SUBSETS["test-clean"])
    open_corpus("librispeech")
    assert fetched == ["train-clean-100"]
    with pytest.raises(ValueError, match="LibriSpeech has no subset 'train-clean-360-x'"):
        open_corpus("librispeech", subsets=("train-clean-360-x",))
