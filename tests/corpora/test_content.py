"""What name, header and content of a file say: a table of whole, cut and odd files."""

import io

import numpy as np
import pytest
import soundfile
from sounds import RATE
from test_audio import write_m4a

from ssps_lib.corpora import audio, read_audio
from ssps_lib.corpora.audio import peek

SPEECH = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)


def sound(kind="WAV", subtype=None, samples=SPEECH, rate=RATE, **options):
    """The content of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=kind, **options)
    return file.getvalue()


def patched(content, offset, value):
    """A header with another number of 32 bits at an offset, or from behind the name of a chunk."""
    if isinstance(offset, bytes):
        offset = content.index(offset) + 4
    return content[:offset] + (value % 2**32).to_bytes(4, "little") + content[offset + 4 :]


def without_xing():
    """Two seconds of noise, then of silence, in MP3 frames of different size and no count."""
    quiet = np.concatenate([SPEECH, SPEECH / 1e4])
    content = sound("MP3", None, quiet, bitrate_mode="VARIABLE", compression_level=0.5)
    return content[content.index(content[:2], 40) :]


WAV = sound()
SIZE = len(WAV) - 44
LIST = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf58.29.100\0"
WHOLE = {  # content, and seconds
    "as it should be": (WAV, 3),
    "RIFF size counts its header": (patched(WAV, 4, SIZE + 44), 3),
    "data size counts the header": (patched(WAV, b"data", SIZE + 44), 3),
    "data size is 8 too small": (patched(WAV, b"data", SIZE - 8), 3),
    "data size was never written": (patched(WAV, b"data", 0), 3),
    "both sizes were never written": (patched(patched(WAV, 4, 0), b"data", 0), 3),
    "streamed, with INT32_MAX": (patched(WAV, b"data", 2**31 - 1), 3),
    "streamed, with UINT32_MAX": (patched(patched(WAV, 4, -1), b"data", -1), 3),
    "data size of the first second": (patched(WAV, b"data", 2 * RATE), 3),
    "a pad byte is counted but not there": (sound(subtype="PCM_U8", samples=SPEECH[:-1]), 3),
    "a chunk behind the samples": (patched(WAV, 4, SIZE + 36 + len(LIST)) + LIST, 3),
    "that chunk is cut": (patched(WAV, 4, SIZE + 36 + len(LIST)) + LIST[:20], 3),
    "MP3 without a Xing frame": (without_xing(), 6),
    "two MP3 files, one after the other": (2 * sound("MP3"), 6),
    "FLAC of unknown length": (None, 3),
    "Ogg without its last page": (None, 3),
    "GSM, which cannot be sought": (sound(subtype="GSM610", rate=8000, samples=SPEECH[::2]), 3),
    "a NIST sphere file": (sound("NIST"), 3),
    "W64": (sound("W64"), 3),
    "a-law in AU": (sound("AU", "ALAW"), 3),
    "AIFF of 24 bits": (sound("AIFF", "PCM_24"), 3),
    "opus": (sound("OGG", "OPUS", SPEECH, 48_000), 1),
}


def flac_of_unknown_length():
    content = bytearray(sound("FLAC"))
    content[21] &= 0xF0  # 36 bits of the STREAMINFO block
    content[22:26] = bytes(4)
    return bytes(content)


def ogg_without_its_last_page():
    content = sound("OGG", samples=np.tile(SPEECH, 3))
    return content[: content.rindex(b"OggS")]


WHOLE["FLAC of unknown length"] = (flac_of_unknown_length(), 3)
WHOLE["Ogg without its last page"] = (ogg_without_its_last_page(), 8.5)


@pytest.mark.parametrize("name", ["u.wav", "u.mp3", "u"])
@pytest.mark.parametrize("case", WHOLE)
def test_whole_files_are_read_to_the_end_whatever_name_and_header_say(case, name, tmp_path):
    content, seconds = WHOLE[case]
    (tmp_path / name).write_bytes(content)
    assert len(read_audio(tmp_path / name)) / RATE == pytest.approx(seconds, abs=0.6)
    assert peek(tmp_path / name)[1] == 1


@pytest.mark.parametrize("name", ["u.wav", "u.m4a", "u.mp3"])
def test_aac_under_any_name(name, tmp_path):
    path = write_m4a(tmp_path / "u.m4a", seconds=2.0).rename(tmp_path / name)
    assert peek(path) == (RATE, 1)
    assert len(read_audio(path)) / RATE == pytest.approx(2, abs=0.2)


def test_repaired_headers_change_no_sample(tmp_path):
    (tmp_path / "right.wav").write_bytes(WAV)
    for case in ("data size of the first second", "data size was never written"):
        (tmp_path / "wrong.wav").write_bytes(WHOLE[case][0])
        assert np.array_equal(
            read_audio(tmp_path / "wrong.wav"), read_audio(tmp_path / "right.wav")
        )


CUT = ["WAV", "AIFF", "AU", "W64", "RF64", "NIST", "FLAC", "OGG", "MP3", "CAF"]


@pytest.mark.parametrize("kind", CUT)
def test_half_a_file_is_a_fault(kind, tmp_path):
    content = sound(kind)
    (tmp_path / "u.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"is truncated|damaged|lost sync"):
        read_audio(tmp_path / "u.wav")


def test_of_two_ogg_streams_the_second_is_not_dropped_without_a_word(tmp_path):
    (tmp_path / "u.ogg").write_bytes(2 * sound("OGG"))
    for look in (peek, read_audio):
        with pytest.raises(ValueError, match="holds 2 streams one after the other"):
            look(tmp_path / "u.ogg")


STEREO = np.stack([SPEECH, -SPEECH], 1)
CLICK = np.zeros(RATE)
CLICK[100] = 0.9
NO_SPEECH = {  # content, and what is said of it
    "digital silence": (sound(samples=0 * SPEECH), "is silent: all its samples are zero"),
    "silence of 8 bits": (sound(subtype="PCM_U8", samples=0 * SPEECH), "is silent"),
    "antiphase": (sound(samples=STEREO), "its channels cancel; keep one of them"),
    "16 bits in 32": (sound(subtype="PCM_32", samples=SPEECH / 65536), "multiplied by 65536"),
    "rounded silence": (sound(samples=np.sign(SPEECH) / 32768), "is silent (peak 3.1e-05"),
    "a constant": (sound(samples=0 * SPEECH + 0.3), "a constant, or a click"),
    "a click": (sound(samples=CLICK), "a constant, or a click"),
    "int16 range": (sound(subtype="FLOAT", samples=32768 * SPEECH), "100 % of its samples beyond"),
    "int16 range of 64 bits": (sound(subtype="DOUBLE", samples=9000 * SPEECH), "by 32768"),
    "24 bits": (sound(subtype="FLOAT", samples=2**23 * SPEECH), "beyond full scale (peak"),
    "clipped far too loud": (sound(subtype="FLOAT", samples=8 * SPEECH), "of its samples beyond"),
    "NaN": (sound(subtype="FLOAT", samples=SPEECH * np.nan), "are not finite"),
    "half a second less a sample": (sound(samples=SPEECH[:7999]), "lasts 0.499 s, at least 0.5 s"),
}


@pytest.mark.parametrize("case", NO_SPEECH)
def test_what_is_no_speech_is_a_fault_with_its_likely_cause(case, tmp_path):
    content, cause = NO_SPEECH[case]
    (tmp_path / "u.wav").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_audio(tmp_path / "u.wav")
    assert cause in str(caught.value)


SOUND = {
    "quiet": SPEECH / 300,
    "a channel that is silent": np.stack([SPEECH, 0 * SPEECH], 1),
    "a few clipped peaks": 4 * SPEECH,
    "with a constant": SPEECH + 0.5,
    "much silence, then speech": np.concatenate([np.zeros(20 * RATE), SPEECH]),
}


@pytest.mark.parametrize("case", SOUND)
def test_odd_speech_is_read(case, tmp_path):
    (tmp_path / "u.wav").write_bytes(sound(subtype="FLOAT", samples=SOUND[case]))
    assert len(read_audio(tmp_path / "u.wav")) == len(SOUND[case])


def test_noises_and_rooms_need_not_be_speech(tmp_path):
    (tmp_path / "room.wav").write_bytes(sound(samples=np.eye(1, 4000)[0]))
    assert len(read_audio(tmp_path / "room.wav", shortest=0.01, speech=False)) == 4000


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 22_050])
def test_a_long_file_is_resampled_in_pieces_without_a_seam(rate, tmp_path, monkeypatch):
    long = 0.1 * np.random.default_rng(1).standard_normal(7 * rate + 123)
    (tmp_path / "u.wav").write_bytes(sound(samples=long, rate=rate))
    whole = read_audio(tmp_path / "u.wav")
    monkeypatch.setattr(audio, "PIECE", 2)
    pieces = read_audio(tmp_path / "u.wav")
    assert len(pieces) == len(whole) and np.abs(pieces - whole).max() < 1e-5
