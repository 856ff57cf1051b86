"""A folder of recordings as a corpus: any `<speaker>/<recording>/<utterance>` tree of audio files.

The folder is read once and packed as int16 in the cache; from then on it opens in seconds. Book
chapter on real speech.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ssps_lib import paths
from ssps_lib.corpora import simulated
from ssps_lib.corpora.audio import Audio, read_audio, to_int16
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus, Splits, labels, read_packed, write_packed
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.sessions import Sessions
from ssps_lib.corpora.table import SPLITS, Entry, Table, cut_blocks, decide_splits, read_table
from ssps_lib.corpora.trials import Trials, make_trials

VERSION = 1  # of the packing: raise it when the same files give other samples
BATCH = 64  # files decoded between two writes
TARGETS_PER_SPEAKER = 60  # as in the simulated corpus


def open_folder(
    path: str | Path,
    sessions: str = "as-is",
    blocks: int | None = None,
    channel: float = 1.0,
    seed: int = 1,
    skip_faulty: bool = False,
    dev_share: float = 0.1,
) -> Splits:
    """Open a folder of recordings; the first time, check and pack all of it.

    Without lists, test and development speakers are chosen by a hash of their names (`dev_share`
    of the speakers each, at most 100) and trials are made. `train.csv` and `test.csv` (columns
    file, speaker, recording) decide the test speakers instead, and `trials.txt` (VoxCeleb's format)
    the test trials. Development speakers always come from the training speakers.

    Args:
        path: the folder; audio is wav, flac, ogg or mp3 at any rate, in any number of channels.
        sessions: "as-is", or "simulated": every recording passes one simulated channel.
        blocks: cut the utterances of each speaker into so many recordings. Recordings then differ
            from those of `trials.txt`, and trials are made across the new ones.
        channel, seed: strength and seed of simulated sessions; `seed` also chooses made trials.
        skip_faulty: leave out faulty audio files, with a warning, in place of the error.
        dev_share: share of the speakers held out for each of development and test.

    Raises:
        ValueError: everything that is wrong with the folder, all at once: missing root, no audio,
            wrong depth, files that are missing, empty, unreadable, truncated or shorter than half
            a second, faults of the lists with their lines, too few speakers.
    """
    if sessions not in ("as-is", "simulated"):
        raise ValueError(f"sessions '{sessions}' is unknown; choose 'as-is' or 'simulated'")
    if not 0 < dev_share <= 0.4:
        raise ValueError(f"dev_share is {dev_share}, a share above 0 and up to 0.4 is needed")
    table = read_table(Path(path))
    if blocks is not None:
        table.entries = cut_blocks(table.entries, blocks)
    decide_splits(table, dev_share)
    simulate = Sessions(channel, seed) if sessions == "simulated" else None
    settings = [VERSION, skip_faulty]
    if simulate:
        settings += [simulated.VERSION, channel, seed]
    name = table.root.resolve().name
    folder = paths.home() / "corpora" / f"{name}-{_digest(table, settings)}"
    if not folder.exists() or table.faults:
        _Packer(table, simulate, skip_faulty).pack(folder, name)
    return _splits(table, read_packed(folder), seed, use_list=blocks is None)


def _digest(table: Table, settings: list) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for entry in table.entries:
        file = table.root / entry.file
        size = file.stat().st_size if file.is_file() else -1
        digest.update(repr((entry, size)).encode())
    digest.update(repr(table.misplaced).encode())
    return digest.hexdigest()[:12]


class _Packer:
    """Reads all files of a table, writes the sound ones and remembers what was wrong."""

    def __init__(self, table: Table, simulate: Sessions | None, skip_faulty: bool) -> None:
        self.table, self.simulate, self.skip_faulty = table, simulate, skip_faulty
        self.faulty = list(table.misplaced)
        self.keys: list[str] = []  # of the files that were written
        self.resampled = self.mixed = 0

    def pack(self, folder: Path, name: str) -> None:
        """Write the corpus, or raise the ValueError that lists all faults and write nothing."""
        write_packed(folder, name, self._batches(), self.keys)
        if self.faulty:
            warnings.warn(
                f"{len(self.faulty)} faulty files of '{self.table.root}' were left out:\n"
                + listed(self.faulty),
                stacklevel=4,
            )
        if self.resampled or self.mixed:
            warnings.warn(
                f"of {len(self.keys)} files in '{self.table.root}', {self.resampled} were "
                f"resampled to {SAMPLE_RATE} Hz and {self.mixed} were mixed down to one channel",
                stacklevel=4,
            )

    def _batches(self) -> Iterator[list[np.ndarray]]:
        entries = self.table.entries
        progress = tqdm(total=len(entries), desc=f"packing {self.table.root.name}", disable=None)
        with progress, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for begin in range(0, len(entries), BATCH):
                batch = entries[begin : begin + BATCH]
                yield [x for x in map(self._note, batch, pool.map(self._read, batch)) if len(x)]
                progress.update(len(batch))
        self._raise_faults()

    def _read(self, entry: Entry) -> Audio | str:
        try:
            audio = read_audio(self.table.root / entry.file)
        except ValueError as error:
            return str(error)
        if self.simulate:
            audio.samples = self.simulate(audio.samples, entry.key)
        return audio

    def _note(self, entry: Entry, audio: Audio | str) -> np.ndarray:
        """The samples to write, none of a faulty file."""
        if isinstance(audio, str):
            self.faulty.append(f"{entry.file}: {audio}")
            return np.empty(0, np.int16)
        self.keys.append(entry.key)
        self.resampled += audio.rate != SAMPLE_RATE
        self.mixed += audio.channels > 1
        return to_int16(audio.samples)

    def _raise_faults(self) -> None:
        faults = self.table.faults + ([] if self.skip_faulty else sorted(self.faulty))
        if faults:
            advice = "" if self.table.faults else "; skip_faulty=True leaves faulty files out"
            raise ValueError(
                f"corpus '{self.table.root}' has {len(faults)} faults{advice}:\n{listed(faults)}"
            )


def _splits(table: Table, packed: Corpus, seed: int, use_list: bool) -> Splits:
    split_of = {entry.key: SPLITS.index(entry.split) for entry in table.entries}
    bounds = np.searchsorted([split_of[key] for key in packed.keys], range(len(SPLITS) + 1))
    for split, begin, end in zip(SPLITS, bounds[:-1], bounds[1:], strict=True):
        if begin == end:
            raise ValueError(f"no {split} utterance of '{table.root}' is left: mend its files")
    train, dev, test = (
        _part(packed, begin, end, f"{packed.name} {split}")
        for split, begin, end in zip(SPLITS, bounds[:-1], bounds[1:], strict=True)
    )
    if use_list and table.trials is not None:
        test_trials = _listed_trials(table, test)
    else:
        test_trials = _make_trials(test, seed)
    return Splits(train, dev, test, _make_trials(dev, seed), test_trials)


def _part(packed: Corpus, begin: int, end: int, name: str) -> Corpus:
    """Utterances `begin` to `end`, still on disk, with labels from 0."""
    offsets = packed.offsets[begin : end + 1]
    return Corpus(
        name,
        packed.samples[offsets[0] : offsets[-1]],
        offsets - offsets[0],
        labels(packed.speakers[begin:end]),
        labels(packed.recordings[begin:end]),
        packed.keys[begin:end],
    )


def _make_trials(part: Corpus, seed: int) -> Trials:
    try:
        return make_trials(part.speakers, part.recordings, TARGETS_PER_SPEAKER, seed)
    except ValueError as error:
        raise ValueError(
            f"{part.name}: {error}; blocks=4 with sessions='simulated' makes recordings"
        ) from None


def _listed_trials(table: Table, test: Corpus) -> Trials:
    """The rows of trials.txt as trials of `test`, less those of files that were left out."""
    position = {key: i for i, key in enumerate(test.keys)}
    index = np.array([position.get(entry.key, -1) for entry in table.of_split("test")])
    label, first, second = table.trials.T
    first, second = index[first], index[second]
    kept = (first >= 0) & (second >= 0)
    if not kept.all():
        warnings.warn(
            f"{(~kept).sum()} trials of '{table.root}' name files that were left out",
            stacklevel=4,
        )
    return Trials(label[kept], first[kept], second[kept])
