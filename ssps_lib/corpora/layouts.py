"""The layouts that are read as they unpack: lists, VoxCeleb, LibriSpeech, and any plain tree."""

import re
from pathlib import Path

from ssps_lib.corpora.lists import label
from ssps_lib.corpora.table import (
    DEPTH,
    Entry,
    Table,
    cut_blocks,
    decide_splits,
    duplicates,
    read_csv,
)
from ssps_lib.corpora.voxceleb import is_voxceleb, read_voxceleb
from ssps_lib.corpora.walker import EXTENSIONS, Walk, walk

LAYOUTS = ("folder", "voxceleb", "librispeech")
LISTS = ("train.csv", "dev.csv", "test.csv")
SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
SUBSETS = ("train-clean-100", "test-clean")
CHAPTER = "<subset>/<speaker>/<chapter>/<utterance>"


def layout_of(root: Path) -> str:
    """ "folder", "voxceleb" or "librispeech", as the names in a folder tell; lists come first."""
    if any((root / name).is_file() for name in LISTS):
        return "folder"
    if librispeech_in(root) is not None:
        return "librispeech"
    return "voxceleb" if is_voxceleb(root) else "folder"


def read_table(
    root: Path, layout: str | None = None, subsets: tuple[str, ...] | None = None
) -> Table:
    """The utterances of a folder, and whatever is wrong with its lists and names.

    Raises:
        ValueError: the root is missing or holds no audio at all, an unknown layout or subset.
    """
    if not root.is_dir():
        raise ValueError(f"corpus '{root}' is not an existing folder: check the path")
    if layout not in (None, *LAYOUTS):
        raise ValueError(f"layout is '{layout}', expected one of {', '.join(LAYOUTS)}")
    found = layout or ("librispeech" if subsets else layout_of(root))
    if found == "librispeech":
        table = read_librispeech(root, subsets)
    else:
        table = read_voxceleb(root) if found == "voxceleb" else read_folder(root)
    if not (table.entries or table.faults or table.misplaced):
        text = f"; {table.notes[-1]}" if table.notes else ""
        raise ValueError(
            f"corpus '{root}' holds no audio: expected {DEPTH} with one of "
            f"{', '.join(EXTENSIONS)}, or train.csv with columns file, speaker, recording{text}"
        )
    table.guessed = layout is None and subsets is None
    return table


def read_splits(
    root: str | Path,
    layout: str | None = None,
    subsets: tuple[str, ...] | None = None,
    blocks: int | None = None,
    dev_share: float = 0.1,
) -> Table:
    """`read_table` with all splits decided and the trial lists read; see `folder.open_folder`."""
    table = read_table(Path(root), layout, subsets)
    if blocks is not None:
        table.entries = cut_blocks(table.entries, blocks)
    decide_splits(table, dev_share)
    if blocks is not None:
        table.lists = {}
    return table


def read_folder(root: Path) -> Table:
    """The utterances of train.csv (and dev.csv, test.csv), or else of the tree itself."""
    table = Table(root)
    lists = [name for name in LISTS if (root / name).is_file()]
    if lists and lists[0] != "train.csv":
        table.faults.append(f"{lists[0]}: there is no train.csv beside it")
    for name in lists:
        read_csv(table, name, name.removesuffix(".csv") if len(lists) > 1 else "")
    if not lists:
        found = walk(root)
        found.passed_over = [file for file in found.passed_over if file != "trials.txt"]
        _read_tree(table, found, "", DEPTH)
    table.faults += duplicates((entry.key, entry.file) for entry in table.entries)
    return table


def _read_tree(table: Table, found: Walk, head: str, expected: str, split: str = "") -> None:
    """Add the files of a walk at `<speaker>/<recording>/<utterance>` below `head`."""
    for file in table.take(found):
        parts = file.split("/")
        if len(parts) == 3:
            table.entries.append(Entry(head + file, label(parts[0]), label(parts[1]), split))
        else:
            table.misplaced.append(f"{head}{file}: wrong depth, expected {expected}")


# -- LibriSpeech --------------------------------------------------------------------------------


def librispeech_in(root: Path) -> Path | None:
    """The folder that holds subsets of LibriSpeech: the root, or its folder LibriSpeech."""
    return next(filter(_subsets, (root, root / "LibriSpeech")), None)


def _subsets(folder: Path) -> list[str]:
    """The subsets of LibriSpeech that lie in a folder."""
    places = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in places if SUBSET.fullmatch(path.name) and path.is_dir())


def read_librispeech(root: Path, subsets: tuple[str, ...] | None = None) -> Table:
    """The utterances of some or all subsets, whose chapters are recordings.

    Test speakers are those of the `test-` subsets; the others train, less development speakers.
    """
    folder = librispeech_in(root) or root
    table, names = Table(folder, "librispeech"), _subsets(folder)
    absent = sorted(set(subsets or ()) - set(names))
    if absent:
        known = ", ".join(names) or "no subset of LibriSpeech"
        raise ValueError(f"'{root}' has no subset '{absent[0]}', it holds {known}")
    for name in subsets or names:
        split = "test" if name.startswith("test") else "train"
        _read_tree(table, walk(folder / name), f"{name}/", CHAPTER, split)
    return table


def download(folder: Path, subsets: tuple[str, ...] = SUBSETS) -> Path:
    """Fetch the subsets that are not in `folder` yet, by torchaudio; returns where they are."""
    wrong = [name for name in subsets if not SUBSET.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"LibriSpeech has no subset '{wrong[0]}': choose some like "
            "train-clean-100, dev-clean, test-other"
        )
    from torchaudio.datasets import LIBRISPEECH

    folder.mkdir(parents=True, exist_ok=True)
    for name in subsets:
        if not (folder / "LibriSpeech" / name).is_dir():
            LIBRISPEECH(folder, name, download=True)
    return folder / "LibriSpeech"
