"""Which layout a folder has, how it is overruled, and which files are walked over."""

import pytest
from sounds import make_tree, write

from ssps_lib.corpora import check, open_corpus, walk
from ssps_lib.corpora.layouts import layout_of, read_splits, read_table

pytestmark = pytest.mark.usefixtures("home")

VIDEO = "5ssVY9a5X-M"


def touch(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    return root


TREES = {  # one file of each, and what its names tell
    "VoxCeleb2 as it unpacks": (f"dev/aac/id00012/{VIDEO}/00001.m4a", "voxceleb"),
    "VoxCeleb1 as it unpacks": (f"wav/id10270/{VIDEO}/00003.wav", "voxceleb"),
    "VoxCeleb, converted to flac": (f"x/y/z/id10270/{VIDEO}/00003.flac", "voxceleb"),
    "CN-Celeb in the plain layout": ("id00000/singing-01/001.wav", "folder"),
    "CN-Celeb as it unpacks": ("data/id00000/singing-01-001.flac", "folder"),
    "eleven letters, but words": ("id00000/interview01/hello.wav", "folder"),
    "ids of another length": (f"id1/{VIDEO}/00001.wav", "folder"),
    "LibriSpeech": ("train-clean-100/103/1240/103-1240-0000.flac", "librispeech"),
    "LibriSpeech one level down": ("LibriSpeech/dev-clean/84/1/84-1-0000.flac", "librispeech"),
    "one subset of LibriSpeech": ("103/1240/103-1240-0000.flac", "folder"),
    "a subset with a file as its name": ("test-clean.tar", "folder"),
}


@pytest.mark.parametrize("case", TREES)
def test_the_layout_is_told_by_more_than_one_name(case, tmp_path):
    file, layout = TREES[case]
    assert layout_of(touch(tmp_path, file)) == layout


def test_a_wrong_guess_can_be_overruled_and_says_so(tmp_path):
    root = tmp_path / "cn"
    for s in range(8):
        for video in ("interview-a", "interview-b"):
            write(root, f"id{s:05d}/{video}/00001")
    wrong = check(root)
    assert "voxceleb by the names in it (layout='folder' if it is none)" in str(wrong)
    assert wrong.faults == ["the test speakers id10270 to id10309 of VoxCeleb1 are missing"]
    with pytest.raises(ValueError, match=r"layout='folder' if it is none"):
        open_corpus(root)
    right = check(root, layout="folder")
    assert right.faults == [] and "folder, 16 utterances of 8 speakers" in str(right)
    assert len(open_corpus(root, layout="folder").train) == 8
    with pytest.raises(ValueError, match="layout is 'cnceleb', expected one of folder, voxceleb"):
        check(root, layout="cnceleb")


def test_librispeech_one_level_down_is_read(tmp_path):
    for s in range(6):
        for chapter in "12":
            touch(tmp_path, f"LibriSpeech/dev-clean/{s}/{chapter}/{s}-{chapter}-0000.flac")
    touch(tmp_path, "LibriSpeech/dev-clean/1/1/1-1.trans.txt")
    table = read_splits(tmp_path)
    assert len(table.entries) == 12 and not table.faults and not table.misplaced
    assert table.notes == ["passed over 1 file of other kinds: 1 .txt"]


def test_one_utterance_in_two_formats_is_one_with_a_note(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    touch(root, "s0/r0/u0.mp3", "s0/r0/u0.m4a", "s1/r0/u0.flac")
    table = read_table(root)
    assert len(table.entries) == 24 and all(entry.file.endswith(".wav") for entry in table.entries)
    assert table.notes == ["3 files left aside, second formats such as s0/r0/u0.m4a"]
    assert check(root).faults == []


@pytest.mark.parametrize("extension", ["opus", "aiff", "w64", "sph", "oga", "caf", "WAV", "Flac"])
def test_any_audio_counts_by_its_name(extension, tmp_path):
    touch(tmp_path, f"a/r/u.{extension}")
    assert walk(tmp_path).files == [f"a/r/u.{extension}"]


def test_a_walk_says_what_it_passed_over(tmp_path):
    touch(tmp_path, "a/r/u.wav", "a/r/._u.wav", ".DS_Store", ".hidden/v.wav", "README", "a/n.TXT")
    touch(tmp_path, "a/r/u.wav.part", "a/r/u.pcm")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    found = walk(tmp_path)
    assert {"a/r/u.wav", "b/r/u.wav"} <= set(found.files) and found.files == sorted(found.files)
    assert not any("._u" in file or ".DS" in file or ".hidden" in file for file in found.files)
    assert {"README", "a/n.TXT", "a/r/u.wav.part", "a/r/u.pcm"} <= set(found.passed_over)
    assert ".DS_Store" not in found.passed_over
    assert str(found).startswith("passed over") and "1 without extension" in str(found)
    with pytest.raises(ValueError, match="is not an existing folder: check the path"):
        walk(tmp_path / "nowhere")


def test_a_folder_of_other_files_says_which_were_there(tmp_path):
    touch(tmp_path, "a/r/u.pcm", "a/r/v.pcm")
    with pytest.raises(ValueError, match=r"holds no audio: .*; passed over 2 files .* 2 .pcm"):
        read_table(tmp_path)
