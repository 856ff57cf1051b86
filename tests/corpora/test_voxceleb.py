"""VoxCeleb's layouts, counts and trial lists, on trees of empty files: only names are read."""

import pytest

from ssps_lib.corpora import voxceleb
from ssps_lib.corpora.layouts import layout_of
from ssps_lib.corpora.layouts import read_table as read_source

PARTS = {  # name: first speaker's number, and the extension as it is distributed
    "VoxCeleb2 dev": (12, "m4a"),
    "VoxCeleb2 test": (9_300, "m4a"),
    "VoxCeleb1 dev": (10_001, "wav"),
    "VoxCeleb1 test": (10_270, "wav"),
}
VIDEOS = ("-0_kpcJlKZs", "5ssVY9a5X-M")
SPEAKERS = 5  # of each part, with two videos of two utterances each
WHOLE = (4 * SPEAKERS, SPEAKERS, 2 * SPEAKERS)

LAYOUTS = {  # where the archives of the four parts unpack to
    "a folder for each": ("vox2/dev/aac", "vox2/test/aac", "vox1/dev/wav", "vox1/test/wav"),
    "named archives": ("vox2_dev_aac", "vox2_test_aac", "vox1_dev_wav/wav", "vox1_test_wav/wav"),
    "all in one": ("dev/aac", "aac", "wav", "wav"),
    "converted": ("train/wav", "test/wav", "wav", "wav"),
}


def names(part, speakers=SPEAKERS):
    """`<speaker>/<video>/<utterance>` of a part, without extension."""
    first = PARTS[part][0]
    return [
        f"id{first + s:05d}/{video}/{u:05d}"
        for s in range(speakers)
        for video in VIDEOS
        for u in (1, 2)
    ]


def touch(root, files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def make(root, layout="a folder for each", parts=tuple(PARTS), extension=None):
    for part, head in zip(PARTS, LAYOUTS[layout], strict=True):
        if part in parts:
            ending = extension or PARTS[part][1]
            touch(root, [f"{head}/{name}.{ending}" for name in names(part)])
    return root


def write_lists(root, kinds=tuple(voxceleb.LISTS), folder="meta"):
    """Each list with one target, across videos, and one non-target of its own."""
    (root / folder).mkdir(exist_ok=True)
    one, two = names("VoxCeleb1 test"), names("VoxCeleb1 dev")
    for i, kind in enumerate(kinds):
        other = (one if kind.startswith("O") else two)[4 + i % 6]
        text = f"1 {one[0]}.wav {one[2]}.wav\n0 {other}.wav {one[i % 4]}.wav\n"
        (root / folder / voxceleb.LISTS[kind][0]).write_text(text)


def of_split(table, split):
    return [entry.key.rsplit(".", 1)[0] for entry in table.of_split(split)]


# -- layouts and counts -------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_splits(tmp_path, layout):
    root = make(tmp_path, layout, extension="wav" if layout == "converted" else None)
    assert layout_of(root) == "voxceleb"
    table = read_source(root)
    assert not table.faults and not table.misplaced
    assert of_split(table, "train") == names("VoxCeleb2 dev")
    assert of_split(table, "test") == names("VoxCeleb1 test")
    assert of_split(table, "rest") == names("VoxCeleb1 dev")
    held_out = of_split(table, "dev")
    assert set(held_out) <= set(names("VoxCeleb2 test")) and len(held_out) == 4 * 3
    assert list(table.bounds().values()) == [(0, 20), (20, 32), (32, 52), (52, 72)]


def test_forty_speakers_are_development_speakers(tmp_path):
    make(tmp_path, parts=("VoxCeleb2 dev", "VoxCeleb1 test"))
    touch(tmp_path, [f"vox2/test/aac/{name}.m4a" for name in names("VoxCeleb2 test", 118)])
    table = read_source(tmp_path)
    assert len({entry.speaker for entry in table.of_split("dev")}) == 40
    assert len(table.entries) == (5 + 40 + 5) * 4  # the other 78 are left aside


def test_differences_from_the_published_counts_are_listed(tmp_path):
    table = read_source(make(tmp_path, parts=("VoxCeleb2 dev", "VoxCeleb1 dev", "VoxCeleb1 test")))
    assert table.notes[:2] == [
        "VoxCeleb2 dev: 20 of 1,092,009 utterances, 5 of 5,994 speakers, 10 of 145,569 recordings",
        "VoxCeleb2 test: absent",
    ]
    assert {entry.split for entry in table.entries} == {"train", "dev", "test", "rest"}
    assert set(of_split(table, "dev")) <= set(names("VoxCeleb1 dev"))


def test_a_complete_corpus_has_no_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(voxceleb, "COUNTS", dict.fromkeys(PARTS, WHOLE))
    two = {kind: (file, 2) for kind, (file, _) in voxceleb.LISTS.items()}
    monkeypatch.setattr(voxceleb, "LISTS", two)
    write_lists(make(tmp_path))
    assert read_source(tmp_path).notes == []
    (tmp_path / "vox2/dev/aac" / f"{names('VoxCeleb2 dev')[0]}.m4a").unlink()
    assert read_source(tmp_path).notes == ["VoxCeleb2 dev: 19 of 20 utterances"]


def test_without_voxceleb2_voxceleb1_trains(tmp_path):
    write_lists(make(tmp_path, parts=("VoxCeleb1 dev", "VoxCeleb1 test")))
    table = read_source(tmp_path)
    train, dev = of_split(table, "train"), of_split(table, "dev")
    assert sorted(train + dev) == names("VoxCeleb1 dev") and len(dev) == 12
    assert list(table.lists) == ["O", "O-original"]
    aside = "meta/list_test_hard.txt: left aside, it names training speakers"
    assert any(note.startswith(aside) for note in table.notes)
    assert not table.faults


def test_a_folder_of_other_names_is_no_voxceleb(tmp_path):
    touch(tmp_path, ["id1/video/1.wav", "id300000/video/1.wav", "speaker/r/1.wav"])
    assert layout_of(tmp_path) == "folder"


# -- trial lists --------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [None, "wav", "flac"])
def test_six_lists_are_found_by_their_names(tmp_path, extension):
    write_lists(make(tmp_path, extension=extension))
    table = read_source(tmp_path)
    assert list(table.lists) == list(voxceleb.LISTS) and not table.faults
    for kind, rows in table.lists.items():
        lines = (tmp_path / "meta" / voxceleb.LISTS[kind][0]).read_text().splitlines()
        stems = [entry.key.rsplit(".", 1)[0] for entry in table.entries]
        read = [f"{label} {stems[a]}.wav {stems[b]}.wav" for label, a, b in rows]
        assert read == lines
        first, second = (table.entries[i] for i in rows[1, 1:])
        other = {first.split, second.split}
        assert other == ({"test"} if kind.startswith("O") else {"test", "rest"})
    assert "meta/list_test_all2.txt: 2 of 579,818 trials" in table.notes


def test_lists_that_are_absent_are_noted(tmp_path):
    write_lists(make(tmp_path), kinds=("H",))
    table = read_source(tmp_path)
    assert list(table.lists) == ["H"]
    assert "no trial list veri_test2.txt: trials of the test speakers are made" in table.notes


def test_a_list_without_its_speakers_is_left_aside(tmp_path):
    write_lists(make(tmp_path, parts=("VoxCeleb2 dev", "VoxCeleb1 test")))
    table = read_source(tmp_path)
    assert list(table.lists) == ["O", "O-original"] and not table.faults
    assert "meta/list_test_all2.txt: left aside, VoxCeleb1 dev is not here" in table.notes


# -- faults -------------------------------------------------------------------------------------


def test_all_faults_are_collected_with_their_places(tmp_path):
    write_lists(make(tmp_path), kinds=("O", "E"))
    for name in ("veri_test2.txt", "list_test_all2.txt"):
        file = tmp_path / "meta" / name
        file.write_text(file.read_text() + "1 id10270/none/00001.wav\n")
    (tmp_path / "meta" / "veri_test2.txt").write_text("0 id99999/x/00001.wav id10270/y/1.wav\n")
    touch(tmp_path, ["vox2/dev/aac/00001.m4a", "vox2/dev/aac/id00012/00001.m4a"])
    table = read_source(tmp_path)
    assert table.faults == [
        "veri_test2.txt, line 1: 'id99999/x/00001.wav' is not in the corpus",
        "veri_test2.txt, line 1: 'id10270/y/1.wav' is not in the corpus",
        "list_test_all2.txt, line 3: '1 id10270/none/00001.wav' is not '1|0 fileA fileB', it has 2 "
        "columns",
    ]
    expected = "wrong depth, expected <id00000>/<video>/<utterance>"
    assert table.misplaced == [
        f"vox2/dev/aac/00001.m4a: {expected}",
        f"vox2/dev/aac/id00012/00001.m4a: {expected}",
    ]


def test_an_utterance_in_two_places_is_a_fault(tmp_path):
    name = names("VoxCeleb1 test")[3]
    touch(make(tmp_path), [f"copy/wav/{name}.flac"])
    (fault,) = read_source(tmp_path).faults
    assert f"vox1/test/wav/{name}.wav: is utterance '{name}' a second time, beside copy" in fault


def test_missing_speakers_are_faults(tmp_path):
    table = read_source(make(tmp_path / "no test", parts=("VoxCeleb2 dev", "VoxCeleb1 dev")))
    assert table.faults == ["the test speakers id10270 to id10309 of VoxCeleb1 are missing"]
    table = read_source(make(tmp_path / "no train", parts=("VoxCeleb1 test",)))
    assert table.faults == ["training speakers are missing: VoxCeleb2 dev, or VoxCeleb1 dev"]
