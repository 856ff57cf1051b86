"""A folder of recordings as a corpus: packed once as int16, from then on it opens in seconds."""

import hashlib
import shutil
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ssps_lib import files
from ssps_lib.corpora.checking import check_table
from ssps_lib.corpora.corpus import Corpus, Splits
from ssps_lib.corpora.faults import counted
from ssps_lib.corpora.layouts import read_splits
from ssps_lib.corpora.packed import is_packed, make_splits, open_packed, read_info, read_packed
from ssps_lib.corpora.packer import PLAN, SKIPPED, Simulate, kept_trials, pack_table, refused
from ssps_lib.corpora.table import DEV, Table, missing_trials

VERSION = 3  # of the packing: raise it when the same files are packed in another way
SESSIONS = ("as-is", "simulated")


def open_folder(
    path: str | Path,
    layout: str | None = None,
    sessions: str = "as-is",
    blocks: int | None = None,
    channel: float = 1.0,
    seed: int = 1,
    skip_faulty: bool = False,
    dev_share: float = 0.1,
    trials: str | None = None,
    subsets: tuple[str, ...] | None = None,
    workers: int | None = None,
) -> Splits:
    """Open a folder of recordings; the first time, check and pack all of it.

    Without lists, test and development speakers are chosen by a hash of their names (`dev_share`
    of the speakers each, at most 100) and trials are made. `train.csv` and `test.csv` (columns
    file, speaker, recording) decide the test speakers instead, and `trials.txt` (VoxCeleb's format)
    the test trials; `dev.csv` and `dev_trials.txt` do so for the development speakers, who come
    from the training speakers otherwise.

    Args:
        path: the folder; audio of the kinds of `walk.EXTENSIONS`, of any rate and channels.
        layout: "folder", "voxceleb" or "librispeech"; None to tell by the names in the folder.
        sessions: "as-is", or "simulated": every recording passes one simulated channel.
        blocks: cut the utterances of each speaker into so many recordings. Recordings then differ
            from those of `trials.txt`, and trials are made across the new ones.
        channel, seed: strength and seed of simulated sessions; `seed` also chooses made trials.
        skip_faulty: leave out faulty audio files, with a warning, in place of the error.
        dev_share: share of the speakers held out for each of development and test.
        trials: name of the test trial list where there are several ("O", "E", "H").
        subsets: which parts of LibriSpeech, by default all that are there.
        workers: threads that pack, by default one for each core.

    Raises:
        ValueError: everything that is wrong with the folder, all at once: missing root, no audio,
            wrong depth, files that are missing, unreadable, truncated, too short or no speech,
            faults of the lists with their lines, too few speakers, held-out speakers without
            trials. Nothing is left on the disk then.
    """
    _check_options(sessions, seed, dev_share, workers)
    table = read_splits(path, layout, subsets, blocks, dev_share)
    if trials is not None:
        if trials not in table.test_lists and not table.faults:
            known = ", ".join(table.test_lists) or "made trials"
            raise ValueError(f"'{path}' has no trial list '{trials}', only {known}")
        table.lists = {name: rows for name, rows in table.lists.items() if name in (trials, DEV)}
    simulate, settings, threads = _simulation(sessions, channel, seed)
    _require_trials(table)
    folder = _place(table, plan := digest(table, settings))
    if fresh := not is_packed(folder):
        with threads():
            pack_table(table, folder, plan, simulate, skip_faulty, workers)
    elif not skip_faulty and (skipped := (folder / SKIPPED).read_text(encoding="utf-8")):
        advice = "; skip_faulty=True leaves faulty files out"
        raise refused(table, skipped.splitlines(), advice)
    try:
        return _open(table, folder, seed)
    except ValueError:
        if fresh:  # so many files were left out that nothing can be scored
            shutil.rmtree(folder)
        raise


def pack(
    root: str | Path,
    out: str | Path | None = None,
    layout: str | None = None,
    noises: Callable[[Corpus, Path], None] | None = None,
    workers: int | None = None,
    skip_faulty: bool = False,
) -> Path:
    """Pack a folder under a name by which `open_corpus` finds it; returns the packed folder.

    Interrupted, it goes on. What `open_folder` has packed is taken over, and the other way round.
    The result needs 32 kB for each second of audio, and opens without the original files.

    Args:
        out: the folder to write, by default in the home folder under the name of the corpus.
        layout: "folder", "voxceleb" or "librispeech"; None to tell by the names in the folder.
        noises: writes noises and rooms for training utterances to a file, which belongs to the
            corpus from then on: `noises(train, file)`.
        skip_faulty: leave faulty files out, with a warning and a list in `skipped.txt`.

    Raises:
        ValueError: as `open_folder`; `out` exists and is something else.
    """
    table = read_splits(root, layout)
    plan = digest(table, [VERSION])
    folder = Path(out or files.home() / "corpora" / table.name)
    if folder.exists() and not is_packed(folder):
        raise ValueError(f"'{folder}' exists and is not a packed corpus: choose another --out")
    _require_trials(table)
    if not folder.exists() and out is None and is_packed(opened := _place(table, plan)):
        opened.rename(folder)
    elif not folder.exists():
        pack_table(table, folder, plan, None, skip_faulty, workers)
    elif _plan_of(folder) != plan:
        raise ValueError(
            f"'{folder}' was packed from other files, or some have changed since: delete it "
            "to pack again, or choose another --out"
        )
    if noises:
        noises(open_packed(folder).train, folder / "bank.safetensors")
    return folder


def _place(table: Table, plan: str) -> Path:
    """Where a folder is packed: under the name that `pack` gave it, or beside it."""
    named = files.home() / "corpora" / table.name
    return named if _plan_of(named) == plan else named.with_name(f"{named.name}-{plan}")


def _plan_of(folder: Path) -> str:
    note = folder / PLAN
    return note.read_text() if note.is_file() else ""


def _open(table: Table, folder: Path, seed: int) -> Splits:
    """The splits of what was kept of a table, with the first of its trial lists."""
    lists = kept_trials(table, read_packed(folder).keys)
    dev_rows = lists.pop(DEV, None)
    rows = next(iter(lists.values()), None)
    if rows is not None and (lost := len(next(iter(table.test_lists.values()))) - len(rows)):
        many = counted(lost, "trial")
        warnings.warn(f"{many} of '{table.root}' left out, as the files are", stacklevel=3)
    return make_splits(folder, read_info(folder)["splits"], rows, seed, dev_rows)


def _check_options(sessions: str, seed: object, share: object, workers: object) -> None:
    """ValueError for an option of another kind, before the folder is read."""
    if sessions not in SESSIONS:
        raise ValueError(f"sessions is '{sessions}', expected one of {', '.join(SESSIONS)}")
    if isinstance(seed, bool) or not (isinstance(seed, int) and seed >= 0):
        raise ValueError(f"seed is {seed!r}, a whole number from 0 on is needed")
    if not (isinstance(share, (int, float)) and 0 < share <= 0.4):
        raise ValueError(f"dev_share is {share!r}, a share above 0 and up to 0.4 is needed")
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ValueError(f"workers is {workers!r}, at least 1 is needed")


def _simulation(
    sessions: str, channel: float, seed: int
) -> tuple[Simulate | None, list, Callable[[], AbstractContextManager]]:
    """What every utterance passes, the settings that decide the packed samples, and a context in
    which to pack them."""
    if sessions == "as-is":
        return None, [VERSION], nullcontext
    from ssps_lib.corpora import simulated  # PyTorch: seconds
    from ssps_lib.corpora.sessions import Sessions, one_thread

    settings = [VERSION, simulated.VERSION, channel, seed]
    return Sessions(channel, seed), settings, one_thread


def _require_trials(table: Table) -> None:
    """ValueError for faulty lists, with all files whose headers are, and where nothing could be
    scored, before hours of packing."""
    faults = check_table(table).faults if table.faults else missing_trials(table)
    if faults:
        raise refused(table, faults)


def digest(table: Table, settings: list) -> str:
    """Twelve hexadecimal digits of the files and the settings of the packing.

    A file counts as another one when its size or its time changes: sound that was edited in place
    often keeps its size.
    """
    value = hashlib.sha256(repr((settings, table.misplaced)).encode())
    for entry in table.entries:
        file = table.root / entry.file
        found = file.stat() if file.is_file() else None
        value.update(repr((entry, found and (found.st_size, found.st_mtime_ns))).encode())
    return value.hexdigest()[:12]
