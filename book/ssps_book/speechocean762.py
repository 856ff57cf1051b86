"""The archive of speechocean762 (OpenSLR 101) as a tree that `open_corpus` reads.

The archive keeps `WAVE/SPEAKER<id>/<utterance>.WAV` and, in `train/` and `test/`, Kaldi's `wav.scp`
with its own split of the speakers. It names no sessions. Book chapter 14.
"""

import csv
import os
import shutil
from pathlib import Path

import numpy as np

from ssps_lib import files
from ssps_lib.corpora.faults import listed


def arrange(archive: str | Path, folder: str | Path | None = None, blocks: int = 4) -> Path:
    """Lay the unpacked archive out as `s<speaker>/p<block>/<utterance>.wav` with its two lists.

    A speaker's utterances, in the order of their names, are cut into `blocks` pseudo-recordings as
    even as they can be. They are not sessions: `open_folder(..., sessions="simulated")` makes
    them differ. Files are linked where the file system allows it, and copied elsewhere.

    Args:
        archive: the unpacked archive, with WAVE, train and test in it.
        folder: the new tree, which may exist already; by default where
            `open_corpus("speechocean762")` finds it.

    Raises:
        FileNotFoundError: a list or files that it names are missing.
    """
    folder = Path(folder or files.home() / "corpora" / "speechocean762")
    for split in ("train", "test"):
        rows = [("file", "speaker", "recording")]
        for speaker, sounds in _utterances(Path(archive), split).items():
            for block, part in enumerate(np.array_split(sounds, blocks)):
                for sound in part:
                    rows.append((f"{speaker}/p{block}/{sound.stem}.wav", speaker, f"p{block}"))
                    _place(sound, folder / rows[-1][0])
        with open(folder / f"{split}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def _utterances(archive: Path, split: str) -> dict[str, list[Path]]:
    """The files of each speaker's directory that the split's list names, in order."""
    scp = archive / split / "wav.scp"
    if not scp.is_file():
        raise FileNotFoundError(
            f"'{scp}' is missing: expected the unpacked archive of OpenSLR 101, with WAVE, train "
            "and test in it"
        )
    files = [archive / line.split(maxsplit=1)[1] for line in scp.read_text().splitlines() if line]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"'{scp}' names {len(missing)} missing files:\n{listed(missing)}")
    speakers: dict[str, list[Path]] = {}
    for file in sorted(files):
        speakers.setdefault(file.parent.name.replace("SPEAKER", "s"), []).append(file)
    return speakers


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # another file system
        shutil.copyfile(source, target)
