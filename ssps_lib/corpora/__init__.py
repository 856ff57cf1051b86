"""Corpora: utterances with speaker and recording labels, and verification trials (Section IV-A)."""

from pathlib import Path

from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus, Splits, read_packed, write_packed
from ssps_lib.corpora.trials import Trials, make_trials, read_trials

__all__ = [
    "SAMPLE_RATE",
    "Corpus",
    "Splits",
    "Trials",
    "make_trials",
    "open_corpus",
    "read_packed",
    "read_trials",
    "write_packed",
]


def open_corpus(name: str = "simulated", device: str = "cpu", **options) -> Splits:
    """Open a corpus by name ("simulated") or by the path of a folder of recordings.

    Args:
        device: where a simulated corpus is rendered.
        options: proportions of the simulated corpus, or options of the folder.

    Raises:
        ValueError: neither a known name nor an existing folder.
    """
    if name == "simulated":
        from ssps_lib.corpora.simulated import open_simulated

        return open_simulated(device, **options)
    if Path(name).is_dir():
        from ssps_lib.corpora.folder import open_folder

        return open_folder(name, **options)
    raise ValueError(
        f"corpus '{name}' is neither 'simulated' nor an existing folder "
        "<speaker>/<recording>/<utterance>: check the path"
    )
