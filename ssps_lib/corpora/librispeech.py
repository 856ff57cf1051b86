"""LibriSpeech: read speech whose chapters are recordings, each of them a session of its own.

torchaudio downloads and checks the archives. Test speakers are those of the `test-` subsets; the
others train, less development speakers chosen by a hash of their names.
"""

import re
from pathlib import Path

from ssps_lib.corpora.table import Entry, Table, audio_files

SUBSETS = ("train-clean-100", "test-clean")
SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
LAYOUT = "<subset>/<speaker>/<chapter>/<utterance>"


def download(folder: Path, subsets: tuple[str, ...] = SUBSETS) -> Path:
    """Fetch the subsets that are not in `folder` yet; returns the folder that holds them.

    Raises:
        ValueError: a subset that LibriSpeech does not have.
    """
    wrong = [name for name in subsets if not SUBSET.fullmatch(name)]
    if wrong or not subsets:
        raise ValueError(
            f"LibriSpeech has no subset '{wrong[0] if wrong else ''}': choose some like "
            "train-clean-100, dev-clean, test-other"
        )
    from torchaudio.datasets import LIBRISPEECH

    folder.mkdir(parents=True, exist_ok=True)
    for name in subsets:
        if not (folder / "LibriSpeech" / name).is_dir():
            LIBRISPEECH(folder, name, download=True)
    return folder / "LibriSpeech"


def is_librispeech(root: Path) -> bool:
    """Whether the folder holds subsets of LibriSpeech."""
    return any(SUBSET.fullmatch(path.name) for path in root.iterdir() if path.is_dir())


def read_librispeech(root: Path, subsets: tuple[str, ...] | None = None) -> Table:
    """The utterances of some or all subsets, those of `test-` subsets marked for testing.

    Raises:
        ValueError: a subset that is not in the folder.
    """
    table = Table(root)
    names = sorted(path.name for path in root.iterdir() if SUBSET.fullmatch(path.name))
    absent = sorted(set(subsets or ()) - set(names))
    if absent:
        known = ", ".join(names) or "no subset of LibriSpeech"
        raise ValueError(f"'{root}' has no subset '{absent[0]}', it holds {known}")
    for name in subsets or names:
        split = "test" if name.startswith("test") else "train"
        for file in sorted(audio_files(root / name)):
            parts = file.split("/")
            if len(parts) == 3:
                table.entries.append(Entry(f"{name}/{file}", parts[0], parts[1], split))
            else:
                table.misplaced.append(f"{name}/{file}: wrong depth, expected {LAYOUT}")
    return table
