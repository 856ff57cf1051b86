"""The embedded corpus: source-filter speech, rendered from a seed, no download.

A *speaker* is a `synthesis.Voice`, a *recording* a `sessions.Channel` and that voice on another
day, an *utterance* a `synthesis.Score`. Everything is batched torch and runs on CPU or GPU; all
random numbers come from generators keyed by (seed, speaker, recording, utterance), so an utterance
does not depend on the batch in which it is rendered, save for the rounding of the last bit.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from ssps_lib import files
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus, Splits
from ssps_lib.corpora.packed import read_packed, write_packed
from ssps_lib.corpora.sessions import Channel, make_channel, one_thread, record
from ssps_lib.corpora.synthesis import HOP, Voice, drifted, make_score, make_voice, speak
from ssps_lib.corpora.trials import make_trials

VERSION = 2  # of the rendering: raise it when the same proportions sound different

Factor = Annotated[float, Field(ge=0)]


@pydantic.dataclasses.dataclass(
    frozen=True, config={"strict": True, "extra": "forbid", "allow_inf_nan": False}
)
@dataclass(frozen=True)
class Size:
    """Proportions of a simulated corpus (book chapter 2).

    `recordings` of each training speaker hold `utterances` of `seconds` each; development and test
    speakers have `test_recordings`. Three factors without unit set the difficulty: `traits` how far
    apart voices lie (1 = adults), `channel` how strongly a recording marks its utterances (0 = not
    at all), `drift` how much a voice varies from one recording to the next (0 = not at all).
    """

    speakers: PositiveInt = 320
    recordings: PositiveInt = 12
    utterances: PositiveInt = 2
    seconds: Annotated[float, Field(ge=0.5)] = 4.0
    dev_speakers: Annotated[int, Field(ge=2)] = 60
    test_speakers: Annotated[int, Field(ge=2)] = 80
    test_recordings: Annotated[int, Field(ge=2)] = 6
    traits: Factor = 1.6
    channel: Factor = 1.2
    drift: Factor = 0.1
    seed: NonNegativeInt = 1


def _rng(size: Size, *key: int) -> np.random.Generator:
    return np.random.default_rng([size.seed, *key])


@lru_cache(maxsize=64)
def _session(size: Size, speaker: int, recording: int) -> tuple[Voice, Channel]:
    """A voice as it is on the day of a recording, and what it passes there."""
    voice = make_voice(_rng(size, 0, speaker), size.traits)
    channel = make_channel(_rng(size, 2, speaker, recording), size.channel)
    return drifted(voice, _rng(size, 1, speaker, recording), size.drift), channel


def _rendered(size: Size, places: list[tuple[int, int, int]], device: str) -> np.ndarray:
    """One batch of utterances, (B, T) int16."""
    samples = int(size.seconds * SAMPLE_RATE)
    scores, channels, noises, sways = [], [], [], []
    for place in places:
        voice, channel = _session(size, *place[:2])
        channels.append(channel)
        draw = _rng(size, 3, *place)
        scores.append(make_score(voice, draw, samples // HOP + 1))
        noises.append(draw.standard_normal((2, samples), np.float32))
        sways.append(draw.standard_normal(int(3 * size.seconds) + 2, np.float32))
    white, sway = (torch.from_numpy(np.stack(x)).to(device) for x in (noises, sways))
    waveform = record(speak(scores, white[:, 0]), channels, white[:, 1], sway)
    return (waveform.clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()


def render(
    size: Size, plan: list[tuple[int, int, int]], device: str = "cpu", batch: int = 4
) -> Iterator[np.ndarray]:
    """Render utterances, in batches of (B, T) int16 with T = `size.seconds` at 16 kHz.

    On a CPU as many threads as PyTorch has render a batch each.

    Args:
        plan: (speaker, recording, utterance) of each; speakers and recordings in order are fastest.
        device: where the synthesis runs; random numbers are always drawn on the CPU.
        batch: B; a small one stays in a processor's cache, a GPU wants more.
    """
    workers = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
    with one_thread(), ThreadPoolExecutor(workers, "render") as pool:
        batches = (plan[begin : begin + batch] for begin in range(0, len(plan), batch))
        yield from pool.map(lambda places: _rendered(size, places, device), batches)


def open_simulated(device: str = "cpu", **proportions) -> Splits:
    """The simulated corpus of these proportions, rendered at the first call and cached on disk.

    Args:
        device: where to render ("cpu" or "cuda").
        proportions: fields of `Size`.

    Raises:
        ValueError: an unknown proportion, or one that is too small.
    """
    size = _size(proportions)
    name = hashlib.sha256(json.dumps([VERSION, asdict(size)]).encode()).hexdigest()[:12]
    root = files.home() / "corpora" / f"simulated-{name}"
    known = size.speakers + size.dev_speakers
    train = _part(size, root / "train", 0, size.speakers, size.recordings, device)
    dev = _part(size, root / "dev", size.speakers, known, size.test_recordings, device)
    last = known + size.test_speakers
    test = _part(size, root / "test", known, last, size.test_recordings, device)
    dev_trials, test_trials = (
        make_trials(part.speakers, part.recordings, 60, size.seed) for part in (dev, test)
    )
    return Splits(train, dev, test, dev_trials, test_trials)


def _size(proportions: dict) -> Size:
    """The proportions that a user gave; ValueError in one line for the first that cannot be."""
    try:
        return Size(**proportions)
    except pydantic.ValidationError as error:
        found = error.errors()[0]
    name, expected = found["loc"][0], found["msg"].removeprefix("Input should be ")
    if name not in Size.__dataclass_fields__:
        known = ", ".join(Size.__dataclass_fields__)
        raise ValueError(f"the simulated corpus has no proportion '{name}'; known are {known}")
    raise ValueError(f"{name} is {found['input']!r}, expected {expected}")


def _part(size: Size, folder: Path, first: int, last: int, recordings: int, device: str) -> Corpus:
    """The utterances of speakers `first` to `last` - 1 as a packed corpus."""
    if not folder.exists():
        plan = list(product(range(first, last), range(recordings), range(size.utterances)))
        keys = [f"s{s:04d}/r{r:02d}/u{u:02d}.wav" for s, r, u in plan]
        write_packed(folder, f"simulated {folder.name}", render(size, plan, device), keys)
    return read_packed(folder)
