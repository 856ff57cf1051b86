"""What chapter 17 counts, by the very function that it prints."""

from math import prod

import nbformat
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from execute import BOOK
from ssps_lib.positives.kmeans import kmeans


@pytest.mark.parametrize("rounds", [1, 4])
def test_operations_of_kmeans_are_those_of_the_formula(rounds):
    """One product of all rows with all centroids in each round, and one to assign them."""
    notebook = nbformat.read(BOOK / "17_cost.ipynb", as_version=4)
    (cell,) = [c.source for c in notebook.cells if "def counted_kmeans(" in c.source]
    names = {"FlopCounterMode": FlopCounterMode, "kmeans": kmeans, "prod": prod, "seed": 0}
    names["torch"] = torch
    exec(cell[cell.index("def counted_kmeans(") : cell.index("per_second =")], names)
    assert names["counted_kmeans"](rounds=rounds) == 1
