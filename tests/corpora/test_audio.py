"""VoxCeleb2's m4a files: decoded by PyAV or ffmpeg, and what is said where neither is."""

import shutil
import sys

import numpy as np
import pytest
from sounds import RATE, hertz, make_tree, pitch, tone

from ssps_lib.corpora import decoders
from ssps_lib.corpora.audio import decode, peek, read_audio
from ssps_lib.corpora.checking import check
from ssps_lib.corpora.folder import open_folder
from ssps_lib.files import RefusedError

pytestmark = pytest.mark.usefixtures("home")


def write_m4a(path, seconds=1.0, rate=RATE, channels=1):
    """The tone of the file's name as AAC, as VoxCeleb2 is distributed."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.ascontiguousarray(tone(path.stem, seconds, rate, channels).T, np.float32)
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2)])
def test_m4a_by_pyav(tmp_path, rate, channels):
    path = write_m4a(tmp_path / "00001.m4a", rate=rate, channels=channels)
    samples, *found = decode(path)
    assert found == [rate, channels]
    assert len(samples) == pytest.approx(RATE, abs=2200)  # AAC fills up whole blocks
    middle = samples[3000:13_000]
    assert pitch(middle) == pytest.approx(hertz("00001"), abs=3)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_damaged_m4a(tmp_path):
    path = write_m4a(tmp_path / "00001.m4a", seconds=3.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot be read: damaged|is truncated"):
        read_audio(path)
    path.write_bytes(b"this is not audio" * 100)
    for look in (read_audio, peek):
        with pytest.raises(ValueError, match="cannot be read: damaged, or not audio"):
            look(path)
    path.write_bytes(b"")
    for look in (read_audio, peek):
        with pytest.raises(ValueError, match=r"is empty \(0 bytes\)"):
            look(path)


def test_a_tree_of_m4a_opens(tmp_path):
    for s in range(6):
        for r in range(2):
            write_m4a(tmp_path / "tree" / f"s{s}/r{r}/{s}{r}.m4a")
    splits = open_folder(tmp_path / "tree")
    for part in (splits.train, splits.dev, splits.test):
        for i, key in enumerate(part.keys):
            name = key.split("/")[-1].removesuffix(".m4a")
            found = pitch(part.audio(i)[3000:13_000].astype(float))
            assert found == pytest.approx(hertz(name), abs=3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not here")
def test_m4a_by_ffmpeg(tmp_path, monkeypatch):
    path = write_m4a(tmp_path / "00001.m4a", rate=44_100, channels=2)
    by_pyav = read_audio(path)
    monkeypatch.setattr(decoders, "has_pyav", lambda: False)
    samples, *found = decode(path)
    assert found == [RATE, 1]
    assert pitch(samples[3000:13_000]) == pytest.approx(pitch(by_pyav[3000:13_000]), abs=2)
    path.write_bytes(b"this is not audio" * 100)
    with pytest.raises(ValueError, match="cannot be read: damaged, or not audio"):
        read_audio(path)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program called ffmpeg that runs the given Python code, and no PyAV."""

    def install(code):
        file = tmp_path / "bin" / "ffmpeg"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{sys.executable} -S\nimport struct, sys\n{code}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(file.parent))
        monkeypatch.setattr(decoders, "has_pyav", lambda: False)
        path = tmp_path / "00001.m4a"
        path.write_bytes(b"\0\0\0 ftypM4A ")
        return path

    return install


def test_ffmpeg_is_asked_for_16_khz_mono(program):
    path = program(
        "at = sys.argv.index\n"
        "rate, channels = int(sys.argv[at('-ar') + 1]), int(sys.argv[at('-ac') + 1])\n"
        "assert sys.argv[at('-i') + 1].endswith('.m4a') and sys.argv[at('-f') + 1] == 'f32le'\n"
        "out = struct.pack(f'<{rate}f', *[0.25, -0.25] * (rate // 2)) * channels\n"
        "sys.stdout.buffer.write(out)"
    )
    samples, *found = decode(path)
    assert (len(samples), *found) == (16_000, 16_000, 1)
    assert (np.abs(samples) == 0.25).all()


def test_what_ffmpeg_complains_of_is_passed_on(program):
    path = program("sys.exit('first line\\nInvalid data found when processing input')")
    with pytest.raises(ValueError, match=r"damaged, or not audio \(Invalid data found when"):
        read_audio(path)


def test_without_a_decoder_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "has_pyav", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    root = make_tree(tmp_path / "tree", speakers=6)
    (root / "s3/r0/u9.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    for read in (open_folder, lambda folder: check(folder, decode=True)):
        with pytest.raises(RefusedError, match=r"s3/r0/u9.m4a' is AAC .* which needs PyAV \(pip"):
            read(root)
    (root / "s3/r0/u9.m4a").unlink()
    assert len(open_folder(root).train) > 0
