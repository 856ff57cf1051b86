"""Which layout a folder of recordings has, and its table."""

from pathlib import Path

from ssps_lib.corpora.librispeech import is_librispeech, read_librispeech
from ssps_lib.corpora.table import Table, decide_splits, read_table
from ssps_lib.corpora.voxceleb import is_voxceleb, read_voxceleb

LISTS = ("train.csv", "test.csv")


def layout_of(root: Path) -> str:
    """ "folder", "voxceleb" or "librispeech"; a folder with lists is read by its lists.

    Raises:
        ValueError: the root is missing.
    """
    if not root.is_dir():
        raise ValueError(f"corpus '{root}' is not an existing folder: check the path")
    if any((root / name).is_file() for name in LISTS):
        return "folder"
    if is_librispeech(root):
        return "librispeech"
    return "voxceleb" if is_voxceleb(root) else "folder"


def read_source(root: Path) -> Table:
    """The utterances of any layout; those of VoxCeleb have their splits.

    Raises:
        ValueError: the root is missing or holds no audio at all.
    """
    readers = {"folder": read_table, "voxceleb": read_voxceleb, "librispeech": read_librispeech}
    return readers[layout_of(root)](root)


def read_splits(root: Path, dev_share: float = 0.1) -> Table:
    """The utterances of any layout with their splits decided and their trial lists read."""
    table = read_source(root)
    if not table.decided:
        decide_splits(table, dev_share)
    return table
