"""Corpora: utterances with speaker and recording labels, and verification trials (Section IV-A)."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path

from ssps_lib import files
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus, Splits
from ssps_lib.corpora.packed import is_packed, read_packed, write_packed
from ssps_lib.corpora.splits import open_packed
from ssps_lib.corpora.trials import Trials, make_trials, read_trials

__all__ = [
    "SAMPLE_RATE",
    "Corpus",
    "Splits",
    "Trials",
    "locate",
    "make_trials",
    "open_corpus",
    "open_packed",
    "read_packed",
    "read_trials",
    "write_packed",
]


def locate(name: str) -> Path | None:
    """The folder that `open_corpus` reads for a path or a name; None where there is none."""
    if not isinstance(name, (str, Path)):
        raise ValueError(f"corpus is {name!r}, expected a name or a path as text")
    places = (Path(name), files.home() / "corpora" / name)
    return next((place for place in places if name and place.is_dir()), None)


def _check_options(what: str, opener: Callable, options: dict) -> None:
    """ValueError for an option that the opener does not have."""
    _, *known = signature(opener).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{what} has no option '{unknown[0]}'; known are {', '.join(known)}")


def open_corpus(name: str = "simulated", device: str = "cpu", **options) -> Splits:
    """Open a corpus by its name or by the path of a folder.

    Args:
        name: "simulated"; the path of a folder of recordings, of VoxCeleb or of LibriSpeech as they
            unpack, or of a packed corpus; the name of one of these in the cache's folder `corpora`
            ("voxceleb" once it was packed);
            "librispeech", which is downloaded where it was not packed.
        device: where a simulated corpus is rendered.
        options: proportions of the simulated corpus (`simulated.Size`), or options of a folder
            (`folder.open_folder`), of a packed corpus (`splits.open_packed`) or of LibriSpeech
            (`subsets`, and those of a folder).

    Raises:
        ValueError: neither a known name nor an existing folder; whatever is wrong with the folder.
    """
    folder = locate(name)
    if name == "simulated":
        from ssps_lib.corpora.simulated import open_simulated

        return open_simulated(device, **options)
    if folder is not None and is_packed(folder):
        _check_options("a packed corpus", open_packed, options)
        return open_packed(folder, **options)
    if folder is not None or name == "librispeech":
        from ssps_lib.corpora.folder import open_folder

        _check_options("a folder of recordings", open_folder, options)
        subsets = options.pop("subsets", None)
        if folder is None:
            from ssps_lib.corpora.librispeech import SUBSETS, download

            subsets = tuple(subsets or SUBSETS)
            folder = download(files.home() / "downloads", subsets)
        return open_folder(folder, subsets=subsets, **options)
    raise ValueError(
        f"corpus '{name}' is neither 'simulated', 'librispeech', a packed corpus nor an existing "
        "folder: check the path, or pack it with `python -m ssps_lib.corpora pack FOLDER`"
    )
