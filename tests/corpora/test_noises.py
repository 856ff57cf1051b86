"""Noises and rooms by the layouts of MUSAN and of the simulated room responses."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import hertz, pitch, write

from ssps_lib.augmentation import SNR_DB, read_bank, write_bank
from ssps_lib.corpora import Corpus
from ssps_lib.noises import GENERATED, folder_bank

REAL = Path(__file__).parents[3] / "shared" / "data" / "noise-mini"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Little is generated for what no folder holds."""
    monkeypatch.setitem(GENERATED, "sounds", 3)
    monkeypatch.setitem(GENERATED, "rooms", 5)


@pytest.fixture
def corpus():
    samples = np.random.default_rng(0).integers(-9000, 9000, 32_000, np.int16)
    labels = np.arange(2)
    return Corpus("two", samples, np.array([0, 16_000, 32_000]), labels, labels, labels.astype(str))


@pytest.fixture
def musan(tmp_path):
    """A short and a long file of each kind, where MUSAN has them."""
    for kind, below in (("speech", "librivox"), ("music", "fma"), ("noise", "free-sound")):
        write(tmp_path / "musan", f"{kind}/{below}/{kind}-{below}-0000", seconds=0.6)
        write(tmp_path / "musan", f"{kind}/{below}/{kind}-{below}-0001", seconds=2.5)
    (tmp_path / "musan" / "README").write_text("text beside the sounds")
    return tmp_path / "musan"


def response(delay, samples):
    """A direct sound and one echo."""
    x = np.zeros(samples)
    x[10], x[10 + delay] = 0.8, 0.4
    return x


@pytest.fixture
def rirs(tmp_path):
    for room, (delay, samples) in {"smallroom": (100, 8_000), "largeroom": (900, 40_000)}.items():
        folder = tmp_path / "RIRS_NOISES" / "simulated_rirs" / room / "Room001"
        folder.mkdir(parents=True)
        soundfile.write(folder / "Room001-00001.wav", response(delay, samples), 16_000)
    return tmp_path / "RIRS_NOISES"


def pitches(bank, kind):
    begin, end = bank.kinds[kind]
    return [pitch(sound.numpy().astype(float)) for sound in bank.noises[begin:end]]


def test_sounds_are_cut_into_pieces_of_their_kind(musan, rirs, corpus):
    bank = folder_bank([musan, rirs], corpus, seconds=1.0)
    assert bank.noises.shape == (9, 16_000)
    assert bank.kinds == {"speech": (0, 3), "music": (3, 6), "noise": (6, 9)}
    for kind, below in (("speech", "librivox"), ("music", "fma"), ("noise", "free-sound")):
        short, long = (hertz(f"{kind}/{below}/{kind}-{below}-000{i}") for i in (0, 1))
        assert pitches(bank, kind)[1:] == pytest.approx([long, long], abs=2)  # 2 of 2.5 s
        assert pitches(bank, kind)[0] == pytest.approx(short, abs=4)  # repeated


def test_responses_have_unit_energy_and_their_echo(musan, rirs, corpus):
    bank = folder_bank([rirs, musan], corpus, seconds=1.0)
    rooms = bank.responses.float().numpy()
    assert rooms.shape == (2, 16_000)  # a second of the longer one
    np.testing.assert_allclose(np.linalg.norm(rooms, axis=1), 1, atol=1e-3)
    for room, delay in zip(rooms, (900, 100), strict=True):  # largeroom comes first
        assert np.flatnonzero(np.abs(room) > 1e-3).tolist() == [10, 10 + delay]
        assert room[10 + delay] / room[10] == pytest.approx(0.5, abs=1e-2)


def test_the_folder_above_them_serves_as_well(musan, rirs, corpus):
    above = folder_bank([musan.parent], corpus, seconds=1.0)
    each = folder_bank([musan, rirs], corpus, seconds=1.0)
    assert above.kinds == each.kinds
    assert (above.noises == each.noises).all() and (above.responses == each.responses).all()


def test_at_most_so_many_of_each(musan, rirs, corpus):
    bank = folder_bank([musan, rirs], corpus, seconds=1.0, most=2)
    assert bank.kinds == {"speech": (0, 2), "music": (2, 4), "noise": (4, 6)}
    assert len(folder_bank([rirs], corpus, seconds=1.0, most=1).responses) == 1


def test_what_is_absent_is_generated(musan, rirs, corpus):
    rooms = folder_bank([rirs], corpus, seconds=1.0)
    assert rooms.kinds == {"speech": (0, 3), "music": (3, 6), "noise": (6, 9)}
    assert len(rooms.responses) == 2
    sounds = folder_bank([musan], corpus, seconds=1.0)
    assert len(sounds.responses) == 5 and len(sounds.noises) == 9
    again = folder_bank([musan], corpus, seconds=1.0)
    assert (sounds.responses == again.responses).all()


def test_a_bank_of_folders_survives_its_file(musan, rirs, corpus, tmp_path):
    bank = folder_bank([musan, rirs], corpus, seconds=1.0)
    write_bank(bank, tmp_path / "bank.safetensors")
    again = read_bank(tmp_path / "bank.safetensors")
    assert list(again.kinds) == list(SNR_DB) and again.kinds == bank.kinds
    assert (again.noises == bank.noises).all() and (again.responses == bank.responses).all()


def test_faulty_folders_and_all_faulty_files_are_named(musan, corpus, tmp_path):
    with pytest.raises(ValueError, match="are not an existing folder: check the path"):
        folder_bank([tmp_path / "nowhere"], corpus)
    (tmp_path / "empty" / "music").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no audio in speech, music, noise"):
        folder_bank([musan, tmp_path / "empty"], corpus)
    (musan / "music/fma/music-fma-0000.wav").write_bytes(b"")
    (musan / "music/fma/music-fma-0001.wav").write_bytes(b"no sound" * 99)
    with pytest.raises(ValueError) as caught:
        folder_bank([musan], corpus)
    message = str(caught.value)
    assert message.startswith("2 noises or rooms are faulty")
    assert "music-fma-0000.wav: is empty" in message
    assert "music-fma-0001.wav: cannot be read" in message


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real noises are not at {REAL}")
def test_real_noises(corpus):
    bank = folder_bank([REAL], corpus, seconds=1.0, most=4)
    assert bank.kinds == {"speech": (0, 3), "music": (3, 7), "noise": (7, 11)}
    assert len(bank.responses) == 4 and bank.noises.float().square().mean(1).min() > 0
