"""`ssps check`, `pack`, `trials` and `score` of a corpus, as a reader types them."""

import numpy as np
import pytest
import soundfile
import torch
from sounds import make_tree, make_voxceleb, write

from ssps_lib import encoders, scorer
from ssps_lib.augmentation import read_bank
from ssps_lib.corpora import open_corpus, read_trials
from ssps_lib.noises import GENERATED


@pytest.fixture
def voxceleb(tmp_path):
    return make_voxceleb(tmp_path / "voxceleb")


@pytest.fixture
def noises(tmp_path, monkeypatch):
    """One noise and one room; the rest is generated, little of it."""
    monkeypatch.setitem(GENERATED, "sounds", 2)
    write(tmp_path / "musan", "noise/free-sound/noise-0", seconds=8.5)
    folder = tmp_path / "RIRS_NOISES" / "simulated_rirs" / "smallroom"
    folder.mkdir(parents=True)
    soundfile.write(folder / "room.wav", np.eye(1, 4000)[0], 16_000)
    return tmp_path / "musan", tmp_path / "RIRS_NOISES"


def test_check_decodes_when_asked(command, tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    soundfile.write(root / "s1/r1/nan.wav", np.full(16_000, np.nan), 16_000, "FLOAT")
    write(root, "s2/r0/slow", rate=8_000, channels=2)
    status, out, _ = command("check", root)
    assert status == 0
    assert "1 file will be resampled to 16000 Hz" in out
    assert "1 file will be mixed down to one channel" in out
    status, out, _ = command("check", root, "--decode")
    assert status == 1 and "fault: s1/r1/nan.wav: holds samples that are not finite" in out


def test_voxceleb_is_packed_listed_and_scored(command, voxceleb, noises, home, tmp_path):
    status, out, err = command("pack", voxceleb, "--workers", 1, "--noises", *noises)
    assert status == 0, err
    folder = home / "corpora" / "voxceleb"
    assert f"{folder}: 36 utterances" in out and "open_corpus('voxceleb')" in out
    assert "2 of speech, 2 of music, 1 of noise; 1 room\n" in out

    splits = open_corpus("voxceleb")
    assert splits.bank == folder / "bank.safetensors"
    assert read_bank(splits.bank).responses.shape == (1, 4000)
    for part, size in ((splits.train, 12), (splits.dev, 8), (splits.test, 8)):
        assert len(part) == size
    assert command("check", folder)[0] == 0

    status, out, _ = command("trials", "voxceleb")
    assert status == 0 and out.splitlines() == [
        "O: 2 trials, 1 of one speaker (1 across recordings), 3 utterances of 2 speakers",
        "E: 3 trials, 2 of one speaker (2 across recordings), 5 utterances of 3 speakers",
        "H: 2 trials, 1 of one speaker (1 across recordings), 4 utterances of 3 speakers",
    ]
    written = tmp_path / "written.txt"
    assert command("trials", "voxceleb", "--trials", "H", "--out", written)[0] == 0
    hard = open_corpus("voxceleb", trials="H")
    again = read_trials(written, hard.test.keys)
    assert (again.first == hard.test_trials.first).all()
    assert written.read_text() == (voxceleb / "list_test_hard2.txt").read_text()

    torch.manual_seed(0)
    encoder = encoders.ECAPATDNN(channels=16, dim=16, attention=8, se=8).eval()
    encoders.save_encoder(encoder, tmp_path / "encoder.safetensors")
    words = ["score", "voxceleb", "--encoder", tmp_path / "encoder.safetensors"]
    status, out, _ = command(*words)
    assert status == 0
    for name, line in zip("OEH", out.splitlines(), strict=True):
        splits = open_corpus("voxceleb", trials=name)
        scores = scorer.score(scorer.embed(encoder, splits.test), splits.test_trials)
        rates = scorer.error_rates(scores, splits.test_trials.labels)
        assert line.startswith(f"{name}: EER {rates['eer']:.2f} %, minDCF {rates['min_dcf']:.4f}")
    status, out, _ = command(*words, "--trials", "E")
    assert status == 0 and out.startswith("E: EER") and out.count("\n") == 1
    status, _, err = command(*words, "--out", tmp_path / "scores.txt")
    assert status == 2 and "--out takes one of the lists O, E, H: choose with --trials" in err
    assert command(*words, "--out", tmp_path / "scores.txt", "--trials", "H")[0] == 0
    rows = (tmp_path / "scores.txt").read_text().split()[2::3]
    assert rows == (voxceleb / "list_test_hard2.txt").read_text().split()[2::3]


def test_packing_leaves_faulty_files_out_and_says_so(command, tmp_path):
    root = make_tree(tmp_path / "voices", speakers=7)
    (root / "s2/r0/u1.wav").write_bytes(b"")
    status, out, err = command("pack", root, "--out", tmp_path / "packed")
    assert status == 0 and "27 utterances" in out and "open_corpus('" in out
    assert "warning: 1 faulty file of" in err and "s2/r0/u1.wav: is empty" in err


def test_a_layout_can_be_overruled(command, tmp_path):
    root = make_tree(tmp_path / "voices", speakers=6)
    for s in range(6):
        (root / f"s{s}").rename(root / f"id0000{s}")  # as CN-Celeb names its speakers
    for words in (["check", root], ["trials", root], ["pack", root]):
        status, out, err = command(*words, "--layout", "folder")
        assert status == 0 and ("24 utterances" in out or "16 trials" in out), err
        status, _, err = command(*words, "--layout", "cnceleb")
        assert status == 2 and "layout is 'cnceleb', expected one of folder, voxceleb" in err


def test_errors_of_commands(command, voxceleb, tmp_path):
    root = make_tree(tmp_path / "voices", speakers=6)
    (tmp_path / "taken").mkdir()
    status, _, err = command("pack", root, "--out", tmp_path / "taken")
    assert status == 2 and "exists and is not a packed corpus: choose another --out" in err
    status, _, err = command("pack", root, "--noises", tmp_path / "nowhere")
    assert status == 2 and "is not an existing folder: check the path" in err
    status, _, err = command("trials", "nowhere")
    assert status == 2 and err.startswith("error: corpus 'nowhere' is")
    assert command("pack", voxceleb, "--workers", 1)[0] == 0
    status, _, err = command("trials", "voxceleb", "--trials", "X")
    assert status == 2 and "has no trial list 'X', only O, E, H" in err
    status, _, err = command("score", "voxceleb", tmp_path / "no.safetensors")
    assert status == 2 and "no.safetensors" in err
    (tmp_path / "home/corpora/voxceleb/audio.int16").write_bytes(b"")
    status, _, err = command("check", "voxceleb")
    assert status == 2 and "0 bytes" in err
