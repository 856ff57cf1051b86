"""Small sound files for tests of corpora, alone and in trees."""

import numpy as np
import soundfile

RATE = 16_000


def tone(name, seconds=0.6, rate=RATE, channels=1):
    """A tone (T, channels) whose pitch follows from the name, so that files can be told apart."""
    x = 0.3 * np.sin(2 * np.pi * hertz(name) * np.arange(int(seconds * rate)) / rate)
    return np.repeat(x[:, None], channels, 1)


def hertz(name):
    """The pitch of a name's tone."""
    return 200 + sum(name.encode()) % 800


def pitch(samples):
    """Frequency in Hz of the strongest partial of samples (T,) at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * RATE / len(samples)


def write(root, file, extension="wav", **kind):
    """Write the tone of `file` below the root; returns its path."""
    path = root / f"{file}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(file, **kind), kind.get("rate", RATE))
    return path


def make_tree(root, speakers=10, recordings=2, utterances=2):
    """`<speaker>/<recording>/<utterance>` with a tone in each file; returns the root."""
    for s in range(speakers):
        for r in range(recordings):
            for u in range(utterances):
                write(root, f"s{s}/r{r}/u{u}")
    return root


def make_voxceleb(root):
    """Two speakers of each part of VoxCeleb, more where speakers are held out, and O, E, H."""
    parts = {"vox2/dev": (12, 3), "vox2/test": (9300, 3), "vox1/dev": (10001, 2)}
    for part, (first, speakers) in (parts | {"vox1/test": (10270, 2)}).items():
        for s in range(speakers):
            for video in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
                for u in (1, 2):
                    write(root, f"{part}/wav/id{first + s:05d}/{video}/{u:05d}")
    test = [f"id10270/{video}/00001.wav" for video in ("aaaaaaaaaaa", "bbbbbbbbbbb")]
    trials = f"1 {test[0]} {test[1]}\n0 {test[0]} id10271/aaaaaaaaaaa/00002.wav\n"
    (root / "veri_test2.txt").write_text(trials)
    further = "1 id10001/aaaaaaaaaaa/00001.wav id10001/bbbbbbbbbbb/00002.wav\n"
    (root / "list_test_all2.txt").write_text(trials + further)
    (root / "list_test_hard2.txt").write_text(
        further + f"0 {test[1]} id10002/bbbbbbbbbbb/00001.wav\n"
    )
    return root
