"""Lists that people write: encodings, forms, names, and whether they make sense."""

import warnings

import numpy as np
import pytest
from sounds import make_tree

from ssps_lib.corpora import check, open_corpus, read_trials
from ssps_lib.corpora.layouts import read_table

pytestmark = pytest.mark.usefixtures("home")

ROWS = ["file,speaker,recording"]
SPEAKERS = ("Renée", "Renèe", "José", "Josè", *"abcd")
ROWS += [f"{s}/r{r}/u.wav,{s},r{r}" for s in SPEAKERS for r in (0, 1)]
TEXT = "\n".join(ROWS) + "\n"


def table_of(folder, content):
    (folder / "train.csv").write_bytes(content)
    return read_table(folder)


ENCODINGS = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with its mark": TEXT.encode("utf-8-sig"),
    "UTF-16, little": TEXT.encode("utf-16"),
    "UTF-16, big": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "lines of Windows": TEXT.replace("\n", "\r\n").encode(),
    "lines of an old Mac": TEXT.replace("\n", "\r").encode(),
    "blanks around names": TEXT.replace(",", " , ").encode(),
    "more columns, in another order": "\n".join(
        ",".join(("x", *row.split(",")[::-1])) for row in ROWS
    ).encode(),
    "quotes": "\n".join(",".join(f'"{x}"' for x in row.split(",")) for row in ROWS).encode(),
    "paths from the folder": TEXT.replace("\nR", "\n./R").encode(),
    "paths of Windows": TEXT.replace("/", "\\").encode(),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_eight_speakers_are_read_from_any_sound_encoding(case, tmp_path):
    table = table_of(tmp_path, ENCODINGS[case])
    assert table.faults == []
    assert {entry.speaker for entry in table.entries} == set(SPEAKERS)
    assert {entry.file for entry in table.entries} == {row.split(",")[0] for row in ROWS[1:]}


def test_composed_and_decomposed_letters_are_one_name(tmp_path):
    table = table_of(
        tmp_path, "file,speaker,recording\n1.wav,Rene\u0301e,r\n2.wav,Renée,r".encode()
    )
    assert len({entry.speaker for entry in table.entries}) == 1


FAULTS = {  # content, and part of the one fault
    "cp1252": (TEXT.encode("cp1252"), "train.csv, line 2: is no UTF-8 text (byte 0xe9): save"),
    "latin-1 in the last row": (
        (TEXT + "x.wav,").encode() + b"Jos\xe9,r", "line 18: is no UTF-8 text"
    ),
    "UTF-16 without its mark": (TEXT.encode("utf-16-le"), "is no UTF-8 text"),
    "ASCII in UTF-16 without its mark": ("file,speaker".encode("utf-16-le"), "holds a zero byte"),
    "half of UTF-16": (TEXT.encode("utf-16")[:-1], "is no UTF-16 text"),
    "semicolons": (TEXT.replace(",", ";").encode(), "no column 'file' among 'file;speaker;record"),
    "tabs": (TEXT.replace(",", "\t").encode(), "separated by commas"),
    "no head": ("\n".join(ROWS[1:]).encode(), "no column 'file' among 'Renée/r0/u.wav', 'Renée'"),
    "nothing": (b"", "no column 'file' among none"),
    "only a head": (ROWS[0].encode(), "train.csv: names no file; fill it, or delete it"),
    "a comma in a name": ((TEXT + "x.wav,Doe, Jane,r").encode(), "line 18: more fields than the 3"),
    "a blank speaker": ((TEXT + "x.wav, ,r").encode(), "line 18: one of file, speaker, recording"),
    "the folder itself": ((TEXT + "..,a,r0").encode(), "line 18: '..' lies outside"),
    "twice, once with ./": ((TEXT + "./a/r0/u.wav,a,r0").encode(), "'a/r0/u.wav' was listed"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_one_fault_with_its_line(case, tmp_path):
    content, part = FAULTS[case]
    (fault,) = table_of(tmp_path, content).faults
    assert part in fault


def test_an_empty_test_list_is_not_ignored(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    rows = [f.relative_to(root).as_posix() for f in sorted(root.rglob("*.wav"))]
    lines = [f"{row},{row.split('/')[0]},{row.split('/')[1]}" for row in rows]
    (root / "train.csv").write_text("\n".join([ROWS[0], *lines]))
    (root / "test.csv").write_text(ROWS[0])
    assert check(root).faults == ["test.csv: names no file; fill it, or delete it"]


# -- trials -------------------------------------------------------------------------------------

KEYS = np.array([f"{s}/r{r}/u.wav" for s in "abc" for r in (0, 1)])
A, A1, B, B1, C = KEYS[:5]
SOUND = f"1 {A} {A1}\n0 {A} {B}\n1 {B} {B1}\n0 {C} {B}\n"


@pytest.mark.parametrize(
    "content",
    [
        SOUND.encode(),
        SOUND.encode("utf-8-sig"),
        SOUND.encode("utf-16"),
        SOUND.replace("\n", "\r\n").encode(),
        SOUND.replace(" ", "\t").encode(),
        SOUND.replace(" a/", " ./a/").replace("c/", "c//").encode(),
        f"\n{SOUND}\n\n".encode(),
    ],
)
def test_trials_in_any_sound_form(content, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    for keys in (KEYS, None):
        trials = read_trials(tmp_path / "list.txt", keys)
        pairs = [
            (trials.keys[a], trials.keys[b])
            for a, b in zip(trials.first, trials.second, strict=True)
        ]
        assert trials.labels.tolist() == [1, 0, 1, 0]
        assert pairs == [(A, A1), (A, B), (B, B1), (C, B)]


REVERSED = f"0 {A} {A1}\n1 {A} {B}\n0 {B} {B1}\n1 {C} {B}\n"
SENSE = {  # content, and part of a fault
    "Kaldi's form": (f"{A} {A1} target\n", "it has Kaldi's form 'fileA fileB target|nontarget'"),
    "the label last": (f"{A} {A1} 1\n", "its label comes last: put it in front"),
    "a word first": (f"nontarget {A} {B}\n", "its label is a word: write 1 for target"),
    "semicolons": (f"1;{A};{A1}\n", "its columns are separated by ';'"),
    "commas": (f"1,{A},{A1}\n", "its columns are separated by ','"),
    "a head": (f"label first second\n{SOUND}", "line 1: 'label first second' is not '1|0"),
    "a blank in a name": (f"1 my {A} {A1}\n", "it has 4 columns: are there blanks in names?"),
    "scores": (f"1 {A} {A1} 0.73\n", "it has 4 columns"),
    "labels of -1": (f"-1 {A} {B}\n", "is not '1|0 fileA fileB'"),
    "both labels": (f"1 {A} {A1}\n0 {A} {B}\n0 {A1} {A}\n", "have label 0 here and 1 in line 1"),
    "reversed": (REVERSED, "4 of 4 labels contradict the speakers of the corpus"),
    "one wrong label": (f"{SOUND}1 {A1} {C}\n", "line 5: label 1, but the files are of"),
    "a file and itself": (f"{SOUND}1 {A} ./{A}\n", "line 5: 'a/r0/u.wav' twice"),
    "cp1252": (b"1 Jos\xe9/r0/u.wav b\n", "line 1: is no UTF-8 text"),
    "an unknown file": (f"{SOUND}0 {A} d/r0/u.wav\n", "line 5: 'd/r0/u.wav' is not in the corpus"),
}  # fmt: skip


@pytest.mark.parametrize("case", SENSE)
def test_a_list_that_makes_no_sense_says_what_was_seen(case, tmp_path):
    content, part = SENSE[case]
    file = tmp_path / "list.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as caught:
        read_trials(file, KEYS)
    assert part in str(caught.value)
    assert str(caught.value).count("list.txt, line") <= 1 + (case == "both labels")


def test_repeated_trials_are_a_note(tmp_path):
    (tmp_path / "list.txt").write_text(SOUND + f"0 {B} {A}\n1 {A} {A1}\n")
    with pytest.warns(UserWarning, match=r"list.txt: 2 trials repeated"):
        trials = read_trials(tmp_path / "list.txt", KEYS)
    assert len(trials) == 6
    (tmp_path / "list.txt").write_text(SOUND)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_trials(tmp_path / "list.txt", KEYS)


def test_labels_are_held_against_the_speakers_of_the_folder(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=8)
    (root / "trials.txt").write_text(
        "1 s0/r0/u0.wav s0/r1/u0.wav\n0 s0/r0/u0.wav s1/r0/u0.wav\n1 s0/r0/u1.wav s1/r0/u0.wav\n"
    )
    assert check(root).faults == [
        "trials.txt, line 3: label 1, but the files are of speakers 's0' and 's1'"
    ]


# -- names of files -----------------------------------------------------------------------------


def test_a_name_that_is_no_utf8_is_one_fault_and_the_report_goes_on(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    try:
        (root / "s0/r0" / b"Jos\xe9.wav".decode("utf-8", "surrogateescape")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    (root / "s1/r0/u0.wav").write_bytes(b"")
    report = check(root)
    assert len(report.faults) == 2
    assert "Jos" in report.faults[0] and "the name is no UTF-8; rename it" in report.faults[0]
    assert "s1/r0/u0.wav: is empty" in report.faults[1]
    str(report).encode()


# -- fingerprints -------------------------------------------------------------------------------


def test_fingerprints_are_the_audio_and_not_the_place(tmp_path):
    root, other = (make_tree(tmp_path / place / "tree", speakers=6) for place in "ab")
    before = open_corpus(root).train
    assert open_corpus(other).train.fingerprint == before.fingerprint
    file = root / before.keys[0]
    content = bytearray(file.read_bytes())
    content[1000] ^= 4
    file.write_bytes(content)
    after = open_corpus(root).train
    assert list(after.keys) == list(before.keys) and list(after.lengths) == list(before.lengths)
    assert after.fingerprint != before.fingerprint
    copied = after.part(0, len(after), "copy")
    copied.checksums = None  # from the samples, where no checksum was stored
    assert copied.fingerprint == after.fingerprint
