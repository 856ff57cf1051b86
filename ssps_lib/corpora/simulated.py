"""The embedded corpus: source-filter speech, rendered from a seed, no download.

A *speaker* is a `synthesis.Voice`, a *recording* a `sessions.Channel` and that voice on another
day, an *utterance* a `synthesis.Score`. Everything is batched torch and runs on CPU or GPU; all
random numbers come from generators keyed by (seed, speaker, recording, utterance), so an utterance
does not depend on the batch in which it is rendered, save for the rounding of the last bit.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ssps_lib import files
from ssps_lib.corpora.corpus import SAMPLE_RATE, Splits
from ssps_lib.corpora.packed import read_packed, write_packed
from ssps_lib.corpora.sessions import Channel, make_channel, record
from ssps_lib.corpora.synthesis import HOP, Voice, drifted, make_score, make_voice, speak
from ssps_lib.corpora.trials import make_trials


@dataclass(frozen=True)
class Size:
    """Proportions of a simulated corpus (book chapter on data).

    `recordings` of each training speaker hold `utterances` of `seconds` each; development and test
    speakers have `test_recordings`. Three factors without unit set the difficulty: `traits` how far
    apart voices lie (1 = adults), `channel` how strongly a recording marks its utterances (0 = not
    at all), `drift` how much a voice varies from one recording to the next (0 = not at all).
    """

    speakers: int = 320
    recordings: int = 12
    utterances: int = 2
    seconds: float = 4.0
    dev_speakers: int = 60
    test_speakers: int = 80
    test_recordings: int = 6
    traits: float = 1.6
    channel: float = 1.2
    drift: float = 0.1
    seed: int = 1


def render(
    size: Size, plan: list[tuple[int, int, int]], device: str = "cpu", batch: int = 32
) -> Iterator[np.ndarray]:
    """Render utterances, in batches of (B, T) int16 with T = `size.seconds` at 16 kHz.

    Args:
        plan: (speaker, recording, utterance) of each; speakers and recordings in order are fastest.
        device: where the synthesis runs; random numbers are always drawn on the CPU.
        batch: B, which bounds the memory.
    """
    samples = int(size.seconds * SAMPLE_RATE)
    frames = samples // HOP + 1

    def rng(*key: int) -> np.random.Generator:
        return np.random.default_rng([size.seed, *key])

    @lru_cache(maxsize=4)  # a plan visits speakers and recordings in order
    def voice_of(s: int) -> Voice:
        return make_voice(rng(0, s), size.traits)

    @lru_cache(maxsize=4)
    def session(s: int, r: int) -> tuple[Voice, Channel]:
        return drifted(voice_of(s), rng(1, s, r), size.drift), make_channel(
            rng(2, s, r), size.channel
        )

    for begin in range(0, len(plan), batch):
        scores, channels, noises, sways = [], [], [], []
        for s, r, u in plan[begin : begin + batch]:
            voice, channel = session(s, r)
            channels.append(channel)
            draw = rng(3, s, r, u)
            scores.append(make_score(voice, draw, frames))
            noises.append(draw.standard_normal((2, samples), np.float32))
            sways.append(draw.standard_normal(int(3 * size.seconds) + 2, np.float32))
        white = torch.from_numpy(np.stack(noises)).to(device)
        sway = torch.from_numpy(np.stack(sways)).to(device)
        waveform = record(speak(scores, white[:, 0]), channels, white[:, 1], sway)
        yield (waveform.clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()


def open_simulated(device: str = "cpu", **proportions) -> Splits:
    """The simulated corpus of these proportions, rendered at the first call and cached on disk.

    Args:
        device: where to render ("cpu" or "cuda").
        proportions: fields of `Size`.

    Raises:
        ValueError: an unknown proportion, or one that is too small.
    """
    unknown = set(proportions) - set(Size.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"the simulated corpus has no proportion '{sorted(unknown)[0]}'; "
            f"known are {', '.join(Size.__dataclass_fields__)}"
        )
    for proportion, value in proportions.items():
        kind = type(getattr(Size, proportion))
        plain = isinstance(value, (kind, int)) and not isinstance(value, bool)
        if not (plain and math.isfinite(value)):
            kinds = {int: "a whole number", float: "a finite number"}
            raise ValueError(f"{proportion} is {value!r}, {kinds[kind]} is needed")
    size = Size(**proportions)
    for proportion, least in LEAST.items():
        if getattr(size, proportion) < least:
            raise ValueError(
                f"{proportion} is {getattr(size, proportion)}, at least {least} is needed"
            )
    name = hashlib.sha256(json.dumps([VERSION, asdict(size)]).encode()).hexdigest()[:12]
    root = files.home() / "corpora" / f"simulated-{name}"
    parts = {
        "train": (0, size.speakers, size.recordings),
        "dev": (size.speakers, size.dev_speakers, size.test_recordings),
        "test": (size.speakers + size.dev_speakers, size.test_speakers, size.test_recordings),
    }
    return Splits(*_open_parts(size, root, parts, device))


LEAST = {
    "speakers": 1, "recordings": 1, "utterances": 1, "seconds": 0.5,
    "dev_speakers": 2, "test_speakers": 2, "test_recordings": 2,
    "traits": 0, "channel": 0, "drift": 0, "seed": 0,
}  # fmt: skip
VERSION = 1  # of the rendering: raise it when the same proportions sound different


def _open_parts(size: Size, root: Path, parts: dict, device: str) -> list:
    corpora, trials = [], []
    for split, (first, count, recordings) in parts.items():
        plan = [
            (s, r, u)
            for s in range(first, first + count)
            for r in range(recordings)
            for u in range(size.utterances)
        ]
        keys = [f"s{s:04d}/r{r:02d}/u{u:02d}.wav" for s, r, u in plan]
        folder = root / split
        if not folder.exists():
            write_packed(folder, f"simulated {split}", render(size, plan, device), keys)
        corpora.append(read_packed(folder))
        if split != "train":
            made = make_trials(corpora[-1].speakers, corpora[-1].recordings, 60, size.seed)
            if not (root / f"{split}_trials.txt").exists():
                made.write(root / f"{split}_trials.txt", corpora[-1].keys)
            trials.append(made)
    return [*corpora, *trials]
