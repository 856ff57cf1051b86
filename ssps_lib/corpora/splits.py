"""Training, development and test utterances as ranges of one packed corpus, with their trials."""

from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import Corpus, Splits
from ssps_lib.corpora.packed import read_info, read_packed
from ssps_lib.corpora.trials import Trials, make_trials

TARGETS_PER_SPEAKER = 60  # as in the simulated corpus
Bounds = dict[str, tuple[int, int]]  # where each split begins and ends


def open_packed(folder: Path, trials: str | None = None, seed: int = 1) -> Splits:
    """Open what `python -m ssps_lib.corpora pack` wrote; the original files are not needed.

    Args:
        folder: the packed folder.
        trials: name of the test trial list ("O", ...); by default the first, or made trials where
            there is none.
        seed: chooses made trials.

    Raises:
        ValueError: a list that the folder does not have; damage (see `read_packed`).
    """
    if not isinstance(folder, (str, Path)):
        raise ValueError(f"the packed corpus is {folder!r:.60}, expected the path of a folder")
    folder = Path(folder)
    bounds = read_info(folder).get("splits")
    if bounds is None:
        raise ValueError(f"'{folder}' is one packed split, not a whole corpus: open its parent")
    rows = read_rows(folder, trials)
    splits = make_splits(read_packed(folder), bounds, rows, seed)
    bank = folder / "bank.safetensors"
    splits.bank = bank if bank.exists() else None
    return splits


def trial_lists(folder: Path) -> list[str]:
    """Names of the trial lists of a packed folder, VoxCeleb's in the order O, E, H."""
    names = (file.stem for file in (Path(folder) / "trials").glob("*.npy"))
    return sorted(names, key=lambda name: ("OEH".find(name[0]), name))


def read_rows(folder: Path, trials: str | None) -> np.ndarray | None:
    """Rows (label, first, second) of a trial list; None where nothing was asked for nor is there.

    Raises:
        ValueError: a list that the folder does not have.
    """
    known = trial_lists(folder)
    if trials is None and not known:
        return None
    name = known[0] if trials is None else trials
    if name not in known:
        raise ValueError(
            f"'{folder}' has no trial list '{name}', only {', '.join(known) or 'made trials'}: "
            "lists are found when the corpus is packed"
        )
    return np.load(Path(folder) / "trials" / f"{name}.npy")


def make_splits(packed: Corpus, bounds: Bounds, rows: np.ndarray | None, seed: int) -> Splits:
    """Cut a packed corpus into splits.

    Args:
        rows: (T, 3) test trials, positions in `packed`, or None to make trials. Where they reach
            beyond the test split (VoxCeleb1-E and -H), the test utterances do so as well.

    Raises:
        ValueError: an empty split; no speaker of a held-out split has two recordings; trials of
            one kind only.
    """
    empty = [split for split in ("train", "dev", "test") if bounds[split][0] == bounds[split][1]]
    if empty:
        raise ValueError(f"no {empty[0]} utterance of '{packed.name}' is left: mend its files")
    begin, end = bounds["test"]
    if rows is not None:
        kinds = len(set(rows[:, 0]))
        if kinds < 2:
            raise ValueError(
                f"the {len(rows):,} trials of '{packed.name}' that are left have {kinds} of the "
                "labels 0 and 1, both are needed: mend the files that were left out"
            )
        begin, end = min(begin, rows[:, 1:].min()), max(end, rows[:, 1:].max() + 1)
    test = packed.part(begin, end, f"{packed.name} test")
    train, dev = (
        packed.part(*bounds[split], f"{packed.name} {split}") for split in ("train", "dev")
    )
    if rows is None:
        test_trials = _make_trials(test, seed)
    else:
        test_trials = Trials(rows[:, 0], rows[:, 1] - begin, rows[:, 2] - begin)
    return Splits(train, dev, test, _make_trials(dev, seed), test_trials)


def _make_trials(part: Corpus, seed: int) -> Trials:
    try:
        return make_trials(part.speakers, part.recordings, TARGETS_PER_SPEAKER, seed)
    except ValueError as error:
        raise ValueError(
            f"{part.name}: {error}; blocks=4 with sessions='simulated' makes recordings"
        ) from None
