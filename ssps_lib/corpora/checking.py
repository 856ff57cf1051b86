"""What is wrong with a folder of recordings, all of it at once, before anything is packed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ssps_lib.corpora.audio import SHORTEST, decode, peek
from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.faults import counted
from ssps_lib.corpora.layouts import read_splits
from ssps_lib.corpora.packed import is_packed, locate, read_packed, verify
from ssps_lib.corpora.packer import in_order
from ssps_lib.corpora.table import Table, missing_trials
from ssps_lib.corpora.walker import walk


@dataclass
class Report:
    """What a check found.

    Attributes:
        title: what there is, in one line.
        faults: everything that has to be mended or left out, with file and line.
        notes: differences from what was expected that are not in the way.
    """

    title: str
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """
        >>> print(Report("a: folder", ["1.wav: is empty"], ["2 trials repeated"]))
        a: folder
        note: 2 trials repeated
        fault: 1.wav: is empty
        1 fault
        """
        lines = [self.title, *(f"note: {note}" for note in self.notes)]
        lines += [f"fault: {fault}" for fault in self.faults]
        return "\n".join([*lines, counted(len(self.faults), "fault")])


def check(
    root: str | Path,
    layout: str | None = None,
    decode: bool = False,
    noises: Sequence[str | Path] | None = None,
) -> Report:
    """Look at every list and every file of a corpus; of a packed one, at its checksums.

    Args:
        root: a folder, or a name that `open_corpus` knows.
        layout: "folder", "voxceleb" or "librispeech"; None to tell by the names in the folder.
        decode: decode all audio; otherwise only headers are read.
        noises: folders of noises and rooms, whose files are looked at as well.

    Raises:
        ValueError: a missing root, a tree without audio.
        RefusedError: AAC, and nothing here that decodes it.
    """
    root = locate(root) or Path(root)
    if is_packed(root):
        packed = read_packed(root)
        title = f"{root}: packed, {counted(len(packed), 'utterance')}, {packed.hours:,.1f} hours"
        report = Report(title, list(verify(root)))
    else:
        report = check_table(read_splits(root, layout), decode)
    for folder in map(Path, noises or ()):
        found = walk(folder)
        report.faults += found.faults
        report.notes.append(f"noises {folder}: {counted(len(found.files), 'file')}")
        report.notes += [text] if (text := str(found)) else []
        _look(report, folder, found.files, decode, speech=False)
    return report


def check_table(table: Table, decode: bool = False) -> Report:
    """What is wrong with the lists of a table and the files that it names."""
    report = Report(_title(table), [*table.faults, *table.misplaced], list(table.notes))
    report.notes[:0] = [f"trials {name}: {len(rows):,}" for name, rows in table.lists.items()]
    report.faults += [] if table.faults else missing_trials(table)
    _look(report, table.root, [entry.file for entry in table.entries], decode)
    return report


def _title(table: Table) -> str:
    speakers = len({entry.speaker for entry in table.entries})
    recordings = len({(entry.speaker, entry.recording) for entry in table.entries})
    counts = ""
    if table.entries and all(entry.split for entry in table.entries):
        sizes = ((split, end - begin) for split, (begin, end) in table.bounds().items())
        counts = f" ({', '.join(f'{size:,} {split}' for split, size in sizes)})"
    return (
        f"{table.root}: {table.kind}, {counted(len(table.entries), 'utterance')} of "
        f"{counted(speakers, 'speaker')} in {counted(recordings, 'recording')}{counts}"
    )


def _look(
    report: Report, root: Path, files: Sequence[str], whole: bool, speech: bool = True
) -> None:
    """Add the faults of some files, and how many of them are to be resampled and mixed down."""
    shortest = SHORTEST if speech else 0.0
    formats: list[tuple[int, int]] = []

    def look(file: str) -> tuple[int, int] | str:
        """Rate in Hz and channels of a file, or its fault."""
        try:
            path = root / file
            return decode(path, shortest, speech)[1:] if whole else peek(path, shortest)
        except ValueError as error:
            return f"{file}: {error}"

    for found in tqdm(in_order(look, files), f"checking {root.name}", len(files), disable=None):
        (report.faults if isinstance(found, str) else formats).append(found)
    if resampled := sum(rate != SAMPLE_RATE for rate, _ in formats):
        report.notes.append(f"{counted(resampled, 'file')} will be resampled to {SAMPLE_RATE} Hz")
    if mixed := sum(channels > 1 for _, channels in formats):
        report.notes.append(f"{counted(mixed, 'file')} will be mixed down to one channel")
