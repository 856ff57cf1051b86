"""Collections as they are downloaded, cut to pieces and joined to a corpus."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssps_book import voices
from ssps_lib.corpora import check, open_folder, read_audio

RATE = 16_000
REAL = Path(__file__).parents[3] / "shared" / "data" / "voices"
NAMES = {  # of the i-th file of a speaker, by the option of the command
    "speech-commands": "SpeechCommands/speech_commands_v0.02/{word}/{who:08x}_nohash_{i}.wav",
    "speechocean762": "WAVE/SPEAKER{who:04d}/{who:05d}{i:04d}.WAV",
    "coswara": "Extracted_data/20200413/id{who}/{word}-{i}.wav",
    "commands": "speech_data/{who}/{who}-{i:02d}-01.wav",
}
LANGUAGES = ("fa", "ta")


def speech(who, i, seconds, rate=RATE, kind=""):
    """Noise of a file's own, a pause of 1 s, a tone of the speaker's own."""
    half = int(seconds * rate / 2)
    noise = np.random.default_rng([who, i, *kind.encode()]).uniform(-0.4, 0.4, half)
    tone = 0.3 * np.sin(2 * np.pi * (200 + 20 * who) * np.arange(half) / rate)
    return np.concatenate([noise, np.zeros(rate), tone])


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


def write_collection(root, option, speakers=6, number=4, seconds=3.2):
    """Speakers with as many files each, in the names that the public collection has."""
    for who in range(1, speakers + 1):
        for i in range(number):
            word = ("counting", "vowel")[i % 2]
            write(
                root / NAMES[option].format(who=who, i=i, word=word),
                speech(who, i, seconds, kind=option),
            )
    return root


def write_common_voice(root, speakers=6, first=1):
    """A release with two languages, whose lists name the clips in another order than they came."""
    for number, language in enumerate(LANGUAGES):
        rows = ["client_id\tpath\tsentence"]
        for who in range(first + number, first + speakers, 2):
            for i in (10, 9, 100, 8):  # the last is the first in order of upload
                name = f"common_voice_{language}_{who}{i:03d}.mp3"
                rows.append(f'client{who}\t{name}\tone "quote')
                write(
                    root / language / "clips" / name, speech(who, i, 3.2, 24_000, language), 24_000
                )
        (root / language / "validated.tsv").write_text("\n".join(rows), encoding="utf-8")
    return root


def rows_of(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What the command makes of two releases and every other collection."""
    root = tmp_path_factory.mktemp("voices")
    arguments = [str(root / "voices"), "--common-voice"]
    for name, first in (("cv-corpus-6.1", 1), ("cv-corpus-13.0", 3)):  # four speakers in both
        arguments.append(str(write_common_voice(root / name, 6, first)))
    for option in NAMES:
        arguments += [f"--{option}", str(write_collection(root / option, option))]
    voices.main(arguments)
    return root


def test_every_collection_is_found_in_its_public_layout(built):
    speakers = {path.name for path in (built / "voices-pieces").iterdir() if path.is_dir()}
    assert sorted({name.split("-")[0] for name in speakers}) == [
        "coswara", "cv1", "cv2", "dsp20", "gsc", "so762",
    ]  # fmt: skip
    assert len(speakers) == 5 * 6 + 2  # of the second release, who is not in the first


def test_pieces_last_three_seconds_have_no_long_pause_and_a_peak_of_their_own(built):
    pieces = sorted((built / "voices-pieces").rglob("*.flac"))
    for piece in pieces[::9]:
        samples = read_audio(piece)
        assert len(samples) == 3 * RATE
        loud = np.abs(samples).reshape(-1, 320).max(1) > 0.02
        quiet = max(map(len, "".join(map(str, loud.astype(int))).split("1")))
        assert quiet <= 10  # frames of 20 ms
        assert np.abs(samples).max() == pytest.approx(0.7, abs=1e-3)
    blocks = {piece.parent.name for piece in pieces}
    assert blocks == {"p00", "p01"} and {piece.stem for piece in pieces} == {"00", "01", "02", "03"}


def test_a_speaker_is_whole_in_one_split_and_trials_stay_in_their_collection(built):
    for folder, what in (("voices-pieces", 4), ("voices", 2)):
        rows = {name: rows_of(built / folder / f"{name}.csv") for name in ("train", "dev", "test")}
        speakers = {name: {row["speaker"] for row in rows[name]} for name in rows}
        assert sum(map(len, speakers.values())) == len(set().union(*speakers.values())) == 32
        assert sum(map(len, rows.values())) == 32 * what
        for name in ("dev", "test"):
            collections = [speaker.split("-")[0] for speaker in sorted(speakers[name])]
            assert collections == sorted(2 * ["coswara", "cv1", "dsp20", "gsc", "so762"])
    for name, split in (("trials.txt", "test"), ("dev_trials.txt", "dev")):
        for line in (built / "voices" / name).read_text().splitlines():
            label, *sides = line.split()
            (one, p, _), (other, q, _) = (side.split("/") for side in sides)
            assert one.split("-")[0] == other.split("-")[0]
            assert {one, other} <= speakers[split]
            assert (one == other) == (label == "1") and (one != other or p != q)


def test_two_pieces_are_joined_and_the_library_opens_them(built):
    assert check(built / "voices").faults == []
    splits = open_folder(built / "voices", sessions="simulated")
    for part in (splits.train, splits.dev, splits.test):
        assert set(part.lengths.tolist()) == {6 * RATE}
        assert len(set(part.recordings.tolist())) == len(part)
    assert len(splits.test_trials) == len((built / "voices/trials.txt").read_text().split("\n")) - 1
    pieces = [read_audio(built / f"voices-pieces/gsc-0001/p01/0{i}.flac") for i in (2, 3)]
    joined = read_audio(built / "voices/gsc-0001/p01/02.flac")
    assert np.abs(joined - np.concatenate(pieces)).max() < 1e-3


def test_the_same_files_give_the_same_lists(built, tmp_path):
    again = voices.join(built / "voices-pieces", tmp_path / "again")
    for name in ("train.csv", "dev.csv", "test.csv", "trials.txt", "dev_trials.txt"):
        assert (again / name).read_bytes() == (built / "voices" / name).read_bytes()


def test_clips_stand_in_the_order_of_their_numbers(tmp_path):
    found = voices.common_voice([write_common_voice(tmp_path / "release", 2)])["cv1"]
    assert [clip.stem[-3:] for clip in found["client1"]] == ["008", "009", "010", "100"]


def test_sound_that_was_heard_is_left_out_and_so_is_silence(tmp_path):
    root = write_collection(tmp_path / "so762", "speechocean762", speakers=1, number=5)
    first = root / NAMES["speechocean762"].format(who=1, i=0)
    for i in (5, 6):  # a copy, and silence
        samples = soundfile.read(first)[0] if i == 5 else np.zeros(8 * RATE)
        write(root / NAMES["speechocean762"].format(who=1, i=i), samples)
    write(root / NAMES["speechocean762"].format(who=2, i=0), speech(2, 0, 16))
    write(root / NAMES["speechocean762"].format(who=3, i=0), soundfile.read(first)[0])
    pieces = voices.cut(voices.find(root, ["so762"]), tmp_path / "pieces")
    assert len(rows_of(pieces / "train.csv")) == 5 + 5  # five times 3.4 s, and 16.2 s
    rows = rows_of(voices.join(pieces, tmp_path / "joined") / "train.csv")
    assert [row["recording"] for row in rows] == 2 * ["p00", "p01"]  # the odd piece is left out


def test_what_is_not_there_is_said(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match=r"holds no .*<word>-<n>.wav or dataset/<word>/<speaker>_NO_"
    ):
        voices.find(tmp_path / "empty", ["dsp20", "arabic"])
    with pytest.raises(ValueError, match=r"has no <language>/validated.tsv"):
        voices.common_voice([tmp_path / "empty"])
    root = write_collection(tmp_path / "short", "coswara", speakers=2, number=2)
    with pytest.raises(ValueError, match=r"no speaker of coswara \(2\) has 12 s of speech"):
        voices.cut(voices.find(root, ["coswara"]), tmp_path / "pieces")
    for arguments, text in (
        ([], "name a collection"),
        (["--coswara", "nowhere"], "not an existing"),
    ):
        with pytest.raises(SystemExit):
            voices.main([str(tmp_path / "out"), *arguments])
        assert text in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real voices are not at {REAL}")
def test_the_real_pieces_are_joined(tmp_path):
    """Speakers of two collections, with the lists cut down to them."""
    root = tmp_path / "voices"
    root.mkdir()
    for name, count in (("train", 9), ("test", 2)):
        head, *rows = (REAL / f"{name}.csv").read_text().splitlines()
        known = sorted({row.split(",")[1] for row in rows})
        chosen = [s for c in ("arabic", "so762") for s in [k for k in known if c in k][:count]]
        rows = [row for row in rows if row.split(",")[1] in chosen]
        (root / f"{name}.csv").write_text("\n".join([head, *rows]))
        for speaker in chosen:
            (root / speaker).symlink_to(REAL / speaker)
    splits = open_folder(voices.join(root, tmp_path / "joined"), sessions="simulated", channel=0.4)
    counts = [len(set(part.speakers.tolist())) for part in (splits.train, splits.dev, splits.test)]
    assert counts == [14, 4, 4] and set(splits.train.lengths.tolist()) == {6 * RATE}
    assert 0 < splits.dev_trials.labels.mean() < 1
