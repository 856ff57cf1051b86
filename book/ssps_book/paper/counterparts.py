"""Which run of the book stands beside which published row (appendix A2)."""

import math
from collections.abc import Mapping

from .readings import reading
from .tables import Result

NEAR = 0.1  # difference of positions of K that still counts as the same choice


def counterpart(row: Result, config: Mapping) -> bool:
    """Whether a run is the book's counterpart of a published row, whatever its size.

    Framework, positives and augmentation must be the row's. For SSPS-Clustering M must be the
    row's too, and K as far on the way from the speakers (0) to the recordings (1), by logarithms
    and within a tenth. SSPS-NN has no such rule: its runs stand beside the paper's default M. A row
    with SSL positives stands beside the run that *continues* SSL, the comparison at equal budgets.
    Encoder and corpus are not compared, and there is one test set: rows on VoxCeleb1-E and -H, and
    systems of other groups, have no counterpart.

    Args:
        row: of `paper.TABLES`.
        config: the run's, as `RunConfig.to_dict` gives it.

    >>> from ssps_book.paper import TABLE_2, find
    >>> row = find(TABLE_2, k=25_000, m=1, positives="ssps-clustering")
    >>> run = {"framework": "simclr", "positives": "ssps-clustering", "clusters": 400, "window": 1,
    ...        "augmentation": "reverb+noise",
    ...        "corpus_options": {"speakers": 100, "recordings": 16}}
    >>> counterpart(row, run), counterpart(row, run | {"clusters": 100})
    (True, False)
    """
    if row.benchmark != "VoxCeleb1-O" or row.framework != config["framework"]:
        return False
    if row.augmentation != (config["augmentation"] != "none"):
        return False
    if row.positives is None:  # the supervised framework samples no positives
        return True
    if row.positives != config["positives"]:
        return False
    if row.positives == "ssl":
        return config["start_from"] is not None
    if row.positives == "ssps-nn":
        return row.m == reading("SSPS-NN default M")
    if row.k is None:
        return True
    options = config["corpus_options"]
    if row.m != config["window"] or "speakers" not in options:
        return False
    theirs = (reading("training speakers"), reading("training recordings"))
    ours = (options["speakers"], options["speakers"] * options["recordings"])
    return abs(position(row.k, *theirs) - position(config["clusters"], *ours)) <= NEAR


def position(k: float, speakers: float, recordings: float) -> float:
    """Where K lies on the way from the speakers (0) to the recordings (1), logarithmically.

    >>> position(200, 100, 400)
    0.5
    """
    return math.log(k / speakers) / math.log(recordings / speakers)
