"""The archive of OpenSLR 101 laid out as a tree of speakers."""

import csv

import numpy as np
import pytest
import soundfile

from ssps_book.speechocean762 import arrange
from ssps_lib.corpora import open_corpus


@pytest.fixture
def archive(tmp_path):
    """Two speakers of five utterances, one to train and one to test, as the archive keeps them."""
    root = tmp_path / "speechocean762"
    for split, speaker in (("train", "0001"), ("test", "0003")):
        folder = root / "WAVE" / f"SPEAKER{speaker}"
        folder.mkdir(parents=True)
        (root / split).mkdir()
        lines = []
        for i in (30, 11, 24, 42, 5):
            name = f"{speaker}{i:04d}"
            soundfile.write(folder / f"{name}.WAV", np.zeros(160) + i / 100, 16_000)
            lines.append(f"{name}\tWAVE/SPEAKER{speaker}/{name}.WAV\n")
        (root / split / "wav.scp").write_text("".join(lines))
    return root


def test_a_speakers_utterances_are_cut_into_blocks_in_the_order_of_their_names(archive, tmp_path):
    folder = arrange(archive, tmp_path / "tree", blocks=2)
    with open(folder / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["recording"] for row in rows] == ["p0"] * 3 + ["p1"] * 2
    assert [row["file"][-8:-4] for row in rows] == ["0005", "0011", "0024", "0030", "0042"]
    assert {row["speaker"] for row in rows} == {"s0001"}
    for row in rows:  # the sound is still that of its name
        samples, _ = soundfile.read(folder / row["file"])
        assert samples.mean() == pytest.approx(int(row["file"][-8:-4]) / 100, abs=1e-4)


def test_the_tree_is_opened_by_its_name(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    arrange(archive, blocks=5)
    with pytest.raises(ValueError, match="speakers"):  # two of them are found, which are too few
        open_corpus("speechocean762")


def test_arranging_twice_changes_nothing(archive, tmp_path):
    folder = arrange(archive, tmp_path / "tree")
    before = sorted(folder.rglob("*"))
    assert sorted(arrange(archive, folder).rglob("*")) == before


def test_a_missing_list_or_file_is_named(archive, tmp_path):
    next(archive.glob("WAVE/SPEAKER0003/*0042.WAV")).unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)1 missing files.*SPEAKER0003/00030042\.WAV"):
        arrange(archive, tmp_path / "tree")
    with pytest.raises(FileNotFoundError, match=r"train/wav.scp' is missing: expected"):
        arrange(tmp_path / "nothing", tmp_path / "tree")
