"""Corpora: utterances with speaker and recording labels, and verification trials (Section IV-A)."""

from inspect import signature
from pathlib import Path

from ssps_lib import files
from ssps_lib.corpora.audio import read_audio, to_int16
from ssps_lib.corpora.checking import Report, check
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus, Splits
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.folder import open_folder, pack
from ssps_lib.corpora.layouts import SUBSETS, download, read_splits
from ssps_lib.corpora.packed import (
    is_packed,
    locate,
    open_packed,
    packed_lists,
    read_packed,
    write_packed,
)
from ssps_lib.corpora.trials import Trials, make_trials, read_trials, write_trials
from ssps_lib.corpora.walker import Walk, walk

__all__ = [
    "SAMPLE_RATE",
    "Corpus",
    "Report",
    "Splits",
    "Trials",
    "Walk",
    "check",
    "listed",
    "locate",
    "make_trials",
    "open_corpus",
    "open_folder",
    "open_packed",
    "pack",
    "read_audio",
    "read_packed",
    "read_trials",
    "to_int16",
    "trial_lists",
    "walk",
    "write_packed",
    "write_trials",
]


def trial_lists(corpus: str | Path, layout: str | None = None) -> list[str]:
    """Names of the test trial lists of a corpus, none where trials are made."""
    folder = locate(corpus)
    if folder is None:
        raise _unknown(corpus)
    if is_packed(folder):
        return packed_lists(folder)
    return list(read_splits(folder, layout).test_lists)


def open_corpus(name: str | Path = "simulated", device: str = "cpu", **options) -> Splits:
    """Open a corpus by its name or by the path of a folder.

    Args:
        name: "simulated"; the path of a folder of recordings, of VoxCeleb or of LibriSpeech as they
            unpack, or of a packed corpus; the name of one of these in the cache's folder `corpora`
            ("voxceleb" once it was packed);
            "librispeech", which is downloaded where it was not packed.
        device: where a simulated corpus is rendered.
        options: proportions of the simulated corpus (`simulated.Size`), or options of a folder
            (`folder.open_folder`), of a packed corpus (`packed.open_packed`) or of LibriSpeech
            (`subsets`, and those of a folder).

    Raises:
        ValueError: neither a known name nor an existing folder; whatever is wrong with the folder.
    """
    if name == "simulated":
        from ssps_lib.corpora.simulated import open_simulated

        return open_simulated(device, **options)
    folder = locate(name)
    if folder is None and name != "librispeech":
        raise _unknown(name)
    packed = folder is not None and is_packed(folder)
    opener, what = (
        (open_packed, "packed corpus") if packed else (open_folder, "folder of recordings")
    )
    _, *known = signature(opener).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"a {what} has no option '{unknown[0]}'; known are {', '.join(known)}")
    if folder is None:
        options["subsets"] = tuple(options.get("subsets") or SUBSETS)
        folder = download(files.home() / "downloads", options["subsets"])
    return opener(folder, **options)


def _unknown(corpus: str | Path) -> ValueError:
    return ValueError(
        f"corpus '{corpus}' is neither 'simulated', 'librispeech', a packed corpus nor an existing "
        "folder: check the path, or pack it with `ssps pack FOLDER`"
    )
