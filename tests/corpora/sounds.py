"""Small sound files for tests of corpora."""

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
