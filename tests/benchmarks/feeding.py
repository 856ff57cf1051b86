"""CPU time to feed one utterance: two views of 2 s and a reference of 4 s, on one core.

    python tests/benchmarks/feeding.py

compares the data of training (packed samples, cropped as int16; augmentation is batched on the
training device) with the usual loader (each file read whole, each view reverberated and made noisy
on the CPU, responses and noises read from files as well). Prints milliseconds as JSON; `augmented`
is the library with its augmentation on the CPU, for those who train there. With `--json` they are
also stored.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import soundfile
import torch

from ssps_lib.augmentation import Augmentation, Bank
from ssps_lib.corpora import write_packed
from ssps_lib.training import record
from ssps_lib.training.data import Data

RATE = 16_000
VIEW, REFERENCE = 2 * RATE, 4 * RATE


def milliseconds(work: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> float:
    """CPU milliseconds of an utterance (this process, all threads), after a batch to warm up."""
    work(batches[0])
    started = time.process_time()
    for batch in batches:
        work(batch)
    return 1000 * (time.process_time() - started) / sum(map(len, batches))


def one_at_a_time(folder: Path, rng: np.random.Generator) -> Callable[[np.ndarray], None]:
    """The usual loader, on the wav files of `folder`."""

    def view(audio: np.ndarray) -> np.ndarray:
        start = rng.integers(len(audio) - VIEW)
        response = soundfile.read(folder / f"room{rng.integers(8)}.wav", dtype="float32")[0]
        noise = soundfile.read(folder / f"noise{rng.integers(8)}.wav", dtype="float32")[0][:VIEW]
        size = VIEW + len(response)
        spectrum = np.fft.rfft(audio[start : start + VIEW], size) * np.fft.rfft(response, size)
        wet = np.fft.irfft(spectrum, size)[:VIEW]
        gain = np.sqrt(np.mean(wet**2) / np.mean(noise**2) * 10 ** (-rng.uniform(0, 2)))
        return (wet + gain * noise).astype(np.float32)

    def load(batch: np.ndarray) -> None:
        for i in batch:
            audio = soundfile.read(folder / f"{i}.wav", dtype="float32")[0]
            view(audio), view(audio)
            start = rng.integers(len(audio) - REFERENCE)
            np.array(audio[start : start + REFERENCE])

    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=8.0, help="of an utterance")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the result here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    n, size = arguments.utterances, int(arguments.seconds * RATE)
    audio = rng.integers(-9000, 9000, (n, size), np.int16)
    order = rng.permutation(n)
    batches = [order[b : b + arguments.batch] for b in range(0, n, arguments.batch)]
    kinds = {"speech": (0, 2), "music": (2, 4), "noise": (4, 8)}
    bank = Bank(torch.rand(8, RATE // 2), torch.randn(8, 8 * RATE).half(), kinds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = [f"s/r/{i}" for i in range(n)]
        corpus = write_packed(folder / "packed", "noise", [audio], keys)
        for i, samples in enumerate(audio):
            soundfile.write(folder / f"{i}.wav", samples, RATE)
        for i in range(8):
            soundfile.write(folder / f"room{i}.wav", bank.responses[i].numpy(), RATE)
            soundfile.write(folder / f"noise{i}.wav", 0.1 * bank.noises[i].float().numpy(), RATE)

        def feed(policy: str) -> Callable[[np.ndarray], object]:
            source = Data(corpus, (2.0, 2.0), 4.0, Augmentation(bank, policy), arguments.batch, 0)
            return lambda batch: source.batch(0, batch)

        def crops(batch: np.ndarray) -> None:
            place = rng.random(len(batch))
            for samples in (VIEW, VIEW, REFERENCE):
                corpus.crops(batch, place, samples)

        result = {
            "cropped": milliseconds(crops, batches),
            "cropped_and_converted": milliseconds(feed("none"), batches),
            "augmented": milliseconds(feed("reverb+noise"), batches),
            "one_at_a_time": milliseconds(one_at_a_time(folder, rng), batches),
        }
    result = {name: round(value, 4) for name, value in result.items()}
    result["ratio"] = round(result["one_at_a_time"] / result["cropped"], 1)
    print(json.dumps(result))
    if arguments.json:
        about = {
            "format": 1, "name": "feeding", "date": date.today().isoformat(),
            "machine": record.machine(torch.device("cpu"), 1), "versions": record.versions(),
        }  # fmt: skip
        arguments.json.write_text(json.dumps(about | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
