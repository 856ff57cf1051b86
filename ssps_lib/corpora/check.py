"""What is wrong with a folder of recordings, all of it at once, before anything is packed."""

from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ssps_lib.corpora.audio import peek, read_audio, require_decoders
from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.sources import layout_of, read_splits
from ssps_lib.corpora.table import Table, missing_trials
from ssps_lib.corpora.workers import DIED, in_order, workers_for

BATCH = 512  # files that a worker looks at between two reports


@dataclass
class Report:
    """What a check found.

    Attributes:
        layout: "folder", "voxceleb" or "librispeech".
        table: utterances, splits, trial lists, and differences from what was expected (`notes`).
        faults: everything that has to be mended or left out, with file and line.
        resampled, mixed: files of another rate, or with several channels, which are converted.
    """

    layout: str
    table: Table
    faults: list[str] = field(default_factory=list)
    resampled: int = 0
    mixed: int = 0

    def lines(self) -> list[str]:
        """The report as text."""
        table = self.table
        bounds = table.bounds() if all(entry.split for entry in table.entries) else {}
        counts = [f"{bounds[split][1] - bounds[split][0]:,} {split}" for split in bounds]
        speakers = len({entry.speaker for entry in table.entries})
        recordings = len({(entry.speaker, entry.recording) for entry in table.entries})
        lines = [
            f"{table.root}: {self.layout}, {len(table.entries):,} utterances of {speakers:,} "
            f"speakers in {recordings:,} recordings" + f" ({', '.join(counts)})" * bool(counts)
        ]
        lines += [f"trials {name}: {len(rows):,}" for name, rows in table.lists.items()]
        lines += [f"difference: {note}" for note in table.notes]
        if self.resampled:
            lines.append(f"{self.resampled:,} files will be resampled to {SAMPLE_RATE} Hz")
        if self.mixed:
            lines.append(f"{self.mixed:,} files will be mixed down to one channel")
        lines += [f"fault: {fault}" for fault in self.faults]
        return [*lines, f"{len(self.faults):,} faults"]


def check(root: Path, decode: bool = False, workers: int | None = None) -> Report:
    """Look at every list and every file of a corpus.

    Args:
        decode: decode all audio; otherwise only headers are read.
        workers: processes; by default as many as pay, at most one for each core.

    Raises:
        ValueError: a missing root, a tree without audio, a decoder that is missing.
        OSError: a process died.
    """
    table = read_splits(Path(root))
    report = Report(layout_of(Path(root)), table, [*table.faults, *table.misplaced])
    report.faults += [] if table.faults else missing_trials(table)
    files = [entry.file for entry in table.entries]
    if decode:
        require_decoders(files)
    batches = [(table.root, files[b : b + BATCH], decode) for b in range(0, len(files), BATCH)]
    seen = in_order(_look, batches, workers_for(len(batches), workers))
    with tqdm(total=len(files), desc=f"checking {table.root.name}", disable=None) as progress:
        try:
            for (_, batch, _), (faults, resampled, mixed) in zip(batches, seen, strict=True):
                report.faults += faults
                report.resampled += resampled
                report.mixed += mixed
                progress.update(len(batch))
        except BrokenProcessPool as error:
            raise OSError(f"the check stopped: {DIED}; give it fewer workers") from error
    return report


def _look(batch: tuple[Path, list[str], bool]) -> tuple[list[str], int, int]:
    """Faults of some files, and how many of them are to be resampled and mixed down."""
    root, files, decode = batch
    faults, resampled, mixed = [], 0, 0
    for file in files:
        try:
            if decode:
                audio = read_audio(root / file)
                rate, channels = audio.rate, audio.channels
            else:
                rate, channels = peek(root / file)
        except ValueError as error:
            faults.append(f"{file}: {error}")
            continue
        resampled += rate != SAMPLE_RATE
        mixed += channels > 1
    return faults, resampled, mixed
