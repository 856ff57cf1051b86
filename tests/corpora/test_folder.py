"""Folders of recordings: small trees made here, every fault, and sessions."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from sounds import hertz, make_tree, pitch, tone, write

from ssps_lib.corpora import open_corpus, pack, read_packed, trial_lists
from ssps_lib.corpora.audio import read_audio, to_int16
from ssps_lib.corpora.folder import open_folder
from ssps_lib.corpora.table import Entry, cut_blocks, held_out

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def tree(tmp_path):
    """Ten speakers, two recordings each, two utterances each."""
    return make_tree(tmp_path / "tree")


def faults_of(root, **options):
    with pytest.raises(ValueError) as caught:
        open_folder(root, **options)
    return str(caught.value)


def assert_no_pack(home):
    assert [path for path in (home / "corpora").glob("*") if path.suffix != ".lock"] == []


def speakers_of(part):
    return {key.split("/")[0] for key in part.keys}


# -- what a sound folder gives ------------------------------------------------------------------


def test_splits_are_disjoint_complete_and_labelled(tree):
    splits = open_corpus(str(tree))
    parts = (splits.train, splits.dev, splits.test)
    assert [len(speakers_of(part)) for part in parts] == [6, 2, 2]
    assert len(set().union(*map(speakers_of, parts))) == 10
    assert sum(map(len, parts)) == 40
    for part in parts:
        names = [key.split("/")[0] for key in part.keys]
        assert part.speakers.tolist() == [sorted(set(names)).index(name) for name in names]
        assert len(set(part.recordings.tolist())) == 2 * len(set(names))


def test_audio_is_the_files(tree):
    splits = open_folder(tree)
    for part in (splits.train, splits.dev, splits.test):
        for i in (len(part) - 1, 0):
            expected = soundfile.read(tree / part.keys[i], dtype="int16")[0]
            assert np.array_equal(part.audio(i), expected)


def test_made_trials_cross_recordings(tree):
    splits = open_folder(tree)
    for part, trials in ((splits.dev, splits.dev_trials), (splits.test, splits.test_trials)):
        target = trials.labels == 1
        a, b = trials.first[target], trials.second[target]
        assert (part.speakers[a] == part.speakers[b]).all()
        assert (part.recordings[a] != part.recordings[b]).all()
        a, b = trials.first[~target], trials.second[~target]
        assert (part.speakers[a] != part.speakers[b]).all() and len(a) == len(b) == 8


def test_packed_once_then_opened_without_the_decoder(tree, home, monkeypatch):
    first = open_folder(tree)
    monkeypatch.setattr("ssps_lib.corpora.packer.decode", None)  # a second pass would fail
    again = open_folder(tree)
    assert list(again.test.keys) == list(first.test.keys)
    assert (again.test_trials.first == first.test_trials.first).all()
    folders = [path for path in (home / "corpora").iterdir() if path.is_dir()]
    assert len(folders) == 1 and folders[0].name.startswith("tree-")
    assert len(read_packed(folders[0])) == 40


def test_a_changed_folder_is_packed_again(tree):
    before = open_folder(tree)
    write(tree, "s0/r0/u0", seconds=0.9)
    after = open_folder(tree)
    total = [sum(part.offsets[-1] for part in (s.train, s.dev, s.test)) for s in (before, after)]
    assert total[1] - total[0] == round(0.3 * 16_000)


def test_a_file_edited_in_place_is_packed_again(tree):
    """Its size stays, as when a recording is denoised or made louder."""
    before = open_folder(tree)
    file = tree / before.train.keys[0]
    sound, rate = soundfile.read(file)
    soundfile.write(file, 0.5 * sound, rate)
    after = open_folder(tree)
    assert np.abs(after.train.audio(0) - 0.5 * before.train.audio(0)).max() <= 1


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_other_formats(tmp_path, extension):
    path = write(tmp_path, "s/r/u", extension)
    samples = read_audio(path)
    assert len(samples) == pytest.approx(9600, abs=2400)  # mp3 pads
    assert pitch(samples[2000:8000]) == pytest.approx(hertz("s/r/u"), abs=4)


def test_other_rates_and_channels_are_converted_with_one_warning(tree):
    write(tree, "s0/r0/u0", rate=8_000)
    write(tree, "s1/r0/u0", rate=44_100, channels=2)
    with pytest.warns(UserWarning, match="2 were resampled to 16000 Hz and 1 were mixed down"):
        splits = open_folder(tree)
    for part in (splits.train, splits.dev, splits.test):
        for i, key in enumerate(part.keys):
            if key in ("s0/r0/u0.wav", "s1/r0/u0.wav"):
                assert len(part.audio(i)) == 9600
                middle = part.audio(i)[500:-500].astype(float) / 32768
                expected = tone(key.removesuffix(".wav"))[500:-500, 0]
                assert np.abs(middle - expected).max() < 0.01


def test_sixteen_bits_survive():
    every = np.arange(-32768, 32768, dtype=np.int16)
    assert np.array_equal(to_int16(every.astype(np.float32) / 32768), every)
    assert to_int16(np.array([1.5, -1.5], np.float32)).tolist() == [32767, -32768]


# -- lists --------------------------------------------------------------------------------------


@pytest.fixture
def lists(tree):
    for name, speakers in (("train", range(7)), ("test", range(7, 10))):
        rows = [
            f"s{s}/r{r}/u{u}.wav,s{s},r{r}" for s in speakers for r in range(2) for u in range(2)
        ]
        (tree / f"{name}.csv").write_text("\n".join(["file,speaker,recording", *rows]) + "\n")
    (tree / "trials.txt").write_text(
        "1 s7/r0/u0.wav s7/r1/u1.wav\n0 s8/r1/u0.wav s9/r0/u1.wav\n0 s9/r0/u0.wav s7/r0/u0.wav\n"
    )
    return tree


def append(file, text):
    file.write_text(file.read_text() + text)


def test_lists_decide_splits_and_trials(lists):
    splits = open_folder(lists)
    assert speakers_of(splits.test) == {"s7", "s8", "s9"}
    assert speakers_of(splits.train) | speakers_of(splits.dev) == {f"s{s}" for s in range(7)}
    assert not speakers_of(splits.train) & speakers_of(splits.dev)
    trials, keys = splits.test_trials, splits.test.keys
    rows = zip(trials.labels, keys[trials.first], keys[trials.second], strict=True)
    assert [f"{label} {a} {b}" for label, a, b in rows] == (
        (lists / "trials.txt").read_text().splitlines()
    )


def test_a_trial_list_alone_decides_the_test_speakers(lists):
    (lists / "train.csv").unlink()
    (lists / "test.csv").unlink()
    splits = open_folder(lists)
    assert speakers_of(splits.test) == {"s7", "s8", "s9"} and len(splits.test_trials) == 3


def test_development_speakers_and_their_trials_from_lists(lists, tmp_path):
    head, *rows = (lists / "train.csv").read_text().splitlines()
    for name, last in (("train", False), ("dev", True)):
        chosen = [row for row in rows if row.startswith(("s5", "s6")) == last]
        (lists / f"{name}.csv").write_text("\n".join([head, *chosen]))
    trials = "1 s5/r0/u0.wav s5/r1/u1.wav\n0 s6/r1/u0.wav s5/r0/u1.wav\n"
    (lists / "dev_trials.txt").write_text(trials)
    pack(lists, tmp_path / "packed")
    for splits in (open_folder(lists), open_corpus(tmp_path / "packed")):
        assert speakers_of(splits.train) == {f"s{s}" for s in range(5)}
        assert speakers_of(splits.dev) == {"s5", "s6"} and len(splits.test_trials) == 3
        found, keys = splits.dev_trials, splits.dev.keys
        rows = zip(found.labels, keys[found.first], keys[found.second], strict=True)
        assert "".join(f"{label} {a} {b}\n" for label, a, b in rows) == trials
    assert trial_lists(lists) == trial_lists(tmp_path / "packed") == ["trials"]
    append(lists / "dev.csv", "\ns7/r0/u0.wav,s7,r0")
    assert "speaker 's7' is in dev.csv as well" in faults_of(lists)


def test_a_list_may_name_files_of_any_layout(tmp_path):
    rows = ["file,speaker,recording,age"]
    for s in range(6):
        for r in range(2):
            write(tmp_path / "flat", f"{s}-{r}")
            rows.append(f"{s}-{r}.wav,speaker{s},day{r},{20 + s}")
    (tmp_path / "flat" / "train.csv").write_text("\n".join(rows))
    splits = open_folder(tmp_path / "flat")
    parts = (splits.train, splits.dev, splits.test)
    assert [len(speakers_of(part)) for part in parts] == [2, 2, 2]
    assert all(key.split("/")[1] in ("day0", "day1") for part in parts for key in part.keys)


def test_all_faults_of_the_lists_and_files_are_reported_at_once(lists, home):
    (lists / "s2" / "r0" / "u0.wav").write_bytes(b"")
    append(
        lists / "train.csv",
        "s0/r0/u0.wav,s0,r0\n../other/x.wav,s0,r0\n/etc/x.wav,s0,r0\ns0/r0/none.wav,s0,r0\n"
        "s0/r1/u9.wav,,r1\n",
    )
    append(lists / "test.csv", "s0/r9/u0.wav,s0,r9\n")
    append(lists / "trials.txt", "1 s7/r0/u0.wav s7/r1/no.wav\n1 s7/r0/u0.wav\n")
    message = faults_of(lists)
    for fault in (
        "train.csv, line 30: 's0/r0/u0.wav' was listed before, in train.csv, line 2",
        "train.csv, line 31: '../other/x.wav' lies outside the corpus folder",
        "train.csv, line 32: '/etc/x.wav' lies outside the corpus folder",
        "train.csv, line 34: one of file, speaker, recording is empty",
        "test.csv, line 14: speaker 's0' is in train.csv as well",
        "trials.txt, line 4: 's7/r1/no.wav' is not in the corpus",
        "trials.txt, line 5: '1 s7/r0/u0.wav' is not '1|0 fileA fileB'",
        "s0/r0/none.wav: does not exist",
        "s2/r0/u0.wav: is empty",
    ):
        assert fault in message
    assert "has 9 faults" in message
    assert_no_pack(home)


def test_faulty_lists_are_reported_although_the_audio_is_packed(lists):
    open_folder(lists)
    append(lists / "trials.txt", "1 s7/r0/u0.wav elsewhere.wav\n")
    assert "trials.txt, line 4: 'elsewhere.wav' is not in the corpus" in faults_of(lists)


def test_one_utterance_in_two_places_is_a_fault(tmp_path):
    root = make_tree(tmp_path / "tree")
    rows = [file.relative_to(root).as_posix() for file in sorted(root.rglob("*.wav"))]
    write(root, "copy/s3/r1/u0")
    rows.append("copy/s3/r1/u0.wav")
    lines = [f"{row},{row.split('/')[-3]},{row.split('/')[-2]}" for row in rows]
    (root / "train.csv").write_text("\n".join(["file,speaker,recording", *lines]))
    message = faults_of(root)
    assert "copy/s3/r1/u0.wav: is utterance 's3/r1/u0.wav' a second time" in message
    assert "beside s3/r1/u0.wav" in message and "has 1 fault:" in message


# -- faulty folders -----------------------------------------------------------------------------


def damage(tree):
    """One fault of each kind of audio file; returns (file, reason) pairs."""
    (tree / "s0/r0/u0.wav").write_bytes(b"")
    (tree / "s1/r0/u0.wav").write_bytes(b"this is not audio" * 100)
    whole = (tree / "s2/r0/u0.wav").read_bytes()
    (tree / "s2/r0/u0.wav").write_bytes(whole[: len(whole) - 100])
    write(tree, "s3/r0/u0", seconds=0.3)
    for extension in ("flac", "ogg", "mp3"):
        path = write(tree, f"s4/r0/{extension}", extension, seconds=3.0)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    soundfile.write(tree / "s5/r0/nan.wav", np.full(16_000, np.nan), 16_000, "FLOAT")
    soundfile.write(tree / "s5/r0/none.wav", np.zeros(0), 16_000)  # a header without samples
    write(tree, "stray")
    write(tree, "s6/deep/er/u")
    return [
        ("s0/r0/u0.wav", "is empty (0 bytes)"),
        ("s1/r0/u0.wav", "cannot be read: damaged, or not audio"),
        ("s2/r0/u0.wav", "is truncated"),
        ("s3/r0/u0.wav", "lasts 0.3 s, at least 0.5 s are needed"),
        ("s4/r0/flac.flac", ""),
        ("s4/r0/ogg.ogg", "is truncated"),
        ("s4/r0/mp3.mp3", "is truncated"),
        ("s5/r0/nan.wav", "holds samples that are not finite"),
        ("s5/r0/none.wav", "lasts 0 s"),
        ("stray.wav", "wrong depth, expected <speaker>/<recording>/<utterance>"),
        ("s6/deep/er/u.wav", "wrong depth"),
    ]


def test_every_faulty_file_is_reported_at_once(tree, home):
    expected = damage(tree)
    message = faults_of(tree)
    for file, reason in expected:
        assert f"{file}: {reason}" in message
    assert f"has {len(expected)} faults" in message and "skip_faulty=True" in message
    assert_no_pack(home)


def test_faulty_files_can_be_left_out(tree):
    expected = damage(tree)
    with pytest.warns(UserWarning) as caught:
        splits = open_folder(tree, skip_faulty=True)
    text = "\n".join(str(warning.message) for warning in caught)
    assert f"{len(expected)} faulty files" in text
    keys = [key for part in (splits.train, splits.dev, splits.test) for key in part.keys]
    assert len(keys) == 36 and not set(keys) & {file for file, _ in expected}
    assert len(open_folder(tree, skip_faulty=True).train) == len(splits.train)


def test_trials_of_files_left_out_are_dropped(lists):
    (lists / "s9/r0/u1.wav").write_bytes(b"")
    with pytest.warns(UserWarning) as caught:
        splits = open_folder(lists, skip_faulty=True)
    assert "1 faulty file " in str(caught[0].message)
    assert "1 trial " in str(caught[1].message) and "left out" in str(caught[1].message)
    trials, keys = splits.test_trials, splits.test.keys
    assert keys[trials.first].tolist() == ["s7/r0/u0.wav", "s9/r0/u0.wav"]
    assert keys[trials.second].tolist() == ["s7/r1/u1.wav", "s7/r0/u0.wav"]


def test_long_reports_are_shortened(tree):
    for s in range(10):
        for u in range(4):
            (tree / f"s{s}/r0/empty{u}.wav").write_bytes(b"")
    message = faults_of(tree)
    assert "has 40 faults" in message and message.endswith("and 20 more")
    assert message.count("is empty") == 20


def test_too_few_speakers(tree):
    for s in range(5):
        shutil.rmtree(tree / f"s{s}")
    assert "5 speakers are too few: at least 6 are needed" in faults_of(tree)
    write(tree, "stray")
    assert "5 speakers are too few" in faults_of(tree, skip_faulty=True)
    assert "wrong depth" in faults_of(tree)


def test_one_recording_each_cannot_make_trials(tree, home):
    for s in range(10):
        shutil.rmtree(tree / f"s{s}/r1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ssps_lib.corpora.packer.decode", None)  # before anything is packed
        message = faults_of(tree)
    assert "tree dev: no speaker has two recordings" in message
    assert "tree test: no speaker has two recordings" in message
    assert not home.exists()
    blocks = open_folder(tree, blocks=2)
    assert len(blocks.test_trials) > 0


def test_one_test_speaker_without_a_list_cannot_make_trials(lists, home):
    (lists / "trials.txt").unlink()
    rows = (lists / "test.csv").read_text().splitlines()
    (lists / "test.csv").write_text("\n".join(row for row in rows if "s8" not in row))
    assert len(open_folder(lists).test_trials) > 0
    shutil.rmtree(home)
    (lists / "test.csv").write_text("\n".join(rows[:5]))  # s7 alone
    assert "tree test: all utterances are of one speaker" in faults_of(lists)
    assert not home.exists()


def test_a_list_of_targets_only_is_a_fault(lists):
    (lists / "trials.txt").write_text("1 s7/r0/u0.wav s7/r1/u1.wav\n" * 2)
    assert "trials.txt: all 2 trials have label 1, both are needed" in faults_of(lists)


def test_a_pack_that_cannot_be_scored_is_removed(lists, home):
    (lists / "s7/r1/u1.wav").write_bytes(b"")  # of the only target
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"2 trials .* have 1 of the"):
        open_folder(lists, skip_faulty=True)
    assert_no_pack(home)


def test_a_folder_without_any_sound_file_leaves_nothing(tree, home):
    for file in tree.rglob("*.wav"):
        file.write_bytes(b"")
    assert "has 40 faults" in faults_of(tree, skip_faulty=True)
    assert_no_pack(home)


# -- tables -------------------------------------------------------------------------------------


def test_blocks_cut_neighbouring_files():
    entries = [Entry(f"a/p{i // 5}/{i:02d}.wav", "a", f"p{i // 5}") for i in range(10)]
    entries += [Entry("b/p0/0.wav", "b", "p0")]
    cut = cut_blocks(reversed(entries), 4)
    assert [(e.file[-6:-4], e.recording) for e in cut if e.speaker == "a"] == [
        (f"{i:02d}", block)
        for i, block in enumerate(["b00"] * 3 + ["b01"] * 3 + ["b02"] * 2 + ["b03"] * 2)
    ]
    assert [e.key for e in cut if e.speaker == "b"] == ["b/b00/b/p0/0.wav"]
    assert len({e.key for e in cut}) == 11


def test_held_out_speakers_do_not_depend_on_the_order():
    entries = [Entry(f"{s}/{r}/0.wav", f"s{s}", f"r{r}") for s in range(60) for r in range(2)]
    chosen = held_out(entries, 0.1)
    assert len(chosen) == 6 and held_out(entries[::-1], 0.1) == chosen
    assert len(held_out(entries, 0.5, most=7)) == 7


def test_held_out_takes_half_of_the_speakers_with_several_recordings():
    entries = [Entry(f"{s}/0/0.wav", f"s{s}", "r0") for s in range(60)]
    entries += [Entry(f"{s}/1/0.wav", f"s{s}", "r1") for s in range(8)]
    chosen = held_out(entries, 0.1)
    assert len(chosen) == 6
    assert len(chosen & {f"s{s}" for s in range(8)}) == 4


# -- sessions -----------------------------------------------------------------------------------


def by_key(splits):
    parts = (splits.train, splits.dev, splits.test)
    return {key: part.audio(i) for part in parts for i, key in enumerate(part.keys)}


def test_simulated_sessions_are_the_same_from_a_seed_and_keep_lengths(tree, monkeypatch, tmp_path):
    plain = by_key(open_folder(tree))
    first = by_key(open_folder(tree, sessions="simulated"))
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "other home"))
    again = by_key(open_folder(tree, sessions="simulated", workers=1))
    other = by_key(open_folder(tree, sessions="simulated", seed=2))
    for key, audio in first.items():
        assert np.array_equal(audio, again[key])
        assert len(audio) == len(plain[key]) == len(other[key])
        assert not np.array_equal(audio, other[key]) and not np.array_equal(audio, plain[key])
        assert np.abs(audio).max() < 32767


def test_simulated_sessions_do_not_depend_on_the_threads_of_torch(tree, monkeypatch, tmp_path):
    threads, found = torch.get_num_threads(), []
    for number in (1, 2):
        monkeypatch.setenv("SSPS_HOME", str(tmp_path / f"home {number}"))
        torch.set_num_threads(number)
        found.append(by_key(open_folder(tree, sessions="simulated")))
        assert torch.get_num_threads() == number
    torch.set_num_threads(threads)
    assert all(np.array_equal(audio, found[1][key]) for key, audio in found[0].items())


def residue(audio, centre):
    """Spectrum of what a channel added beside the tone, in dB, smoothed."""
    power = np.abs(np.fft.rfft(audio[1600:8000] * np.hanning(6400))) ** 2
    frequency = np.fft.rfftfreq(6400, 1 / 16_000)
    power[np.abs(frequency - centre) < 60] = np.nan
    bands = power[: 3200 // 40 * 40].reshape(-1, 40)
    return 10 * np.log10(np.nanmean(bands, 1) + 1e-9)


def test_a_recording_has_one_channel(tree):
    """Noise spectra agree within a recording and differ between the recordings of a speaker."""
    audio = by_key(open_folder(tree, sessions="simulated"))
    within, across = [], []
    for s in range(10):
        spectrum = {
            name: residue(audio[f"s{s}/{name}.wav"].astype(float), hertz(f"s{s}/{name}"))
            for name in ("r0/u0", "r0/u1", "r1/u0")
        }
        spectrum = {name: x - x.mean() for name, x in spectrum.items()}
        within.append(np.abs(spectrum["r0/u0"] - spectrum["r0/u1"]).mean())
        across.append(np.abs(spectrum["r0/u0"] - spectrum["r1/u0"]).mean())
    assert np.mean(within) < 0.6 * np.mean(across)


def test_blocks_make_new_recordings_and_new_trials(lists):
    splits = open_folder(lists, sessions="simulated", blocks=4)
    test, trials = splits.test, splits.test_trials
    assert len(set(test.recordings.tolist())) == 12
    target = trials.labels == 1
    assert len(trials) == 36 and target.sum() == 18  # six pairs of four blocks, three speakers
    assert (test.recordings[trials.first[target]] != test.recordings[trials.second[target]]).all()
    assert speakers_of(test) == {"s7", "s8", "s9"}
    assert all(key.split("/")[1].startswith("b0") for key in test.keys)
