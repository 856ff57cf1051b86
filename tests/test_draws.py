"""Draws belong to (seed, epoch, stream, training index), whatever the order of the visits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssps_lib import draws

EVERY = draws.uniform(7, 2, np.arange(100), 4, stream=3)


@given(st.lists(st.integers(0, 99), max_size=20))
def test_a_draw_does_not_depend_on_its_batch(index):
    """Any batch, in any order and with repetitions, sees the rows of the whole corpus."""
    batch = draws.uniform(7, 2, np.array(index, np.int64), 4, stream=3)
    assert batch.shape == (len(index), 4)
    assert (batch == EVERY[index]).all()


def test_more_columns_leave_the_first_ones_as_they_are():
    assert (draws.uniform(7, 2, np.arange(100), 9, stream=3)[:, :4] == EVERY).all()


@pytest.mark.parametrize("change", [{"seed": 8}, {"epoch": 3}, {"stream": 4}])
def test_seeds_epochs_and_streams_are_uncorrelated(change):
    index = np.arange(10_000)
    where = {"seed": 7, "epoch": 2, "stream": 3}
    a = draws.uniform(index=index, columns=1, **where)[:, 0]
    b = draws.uniform(index=index, columns=1, **{**where, **change})[:, 0]
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.04  # four standard deviations
    assert (a == b).mean() < 0.001


def test_seed_and_epoch_are_not_exchangeable():
    assert (draws.uniform(1, 2, np.arange(50), 1) != draws.uniform(2, 1, np.arange(50), 1)).all()


@pytest.mark.parametrize("axis", ["index", "columns", "epoch"])
def test_uniform_along_every_axis(axis):
    n = 5_000 if axis == "epoch" else 20_000
    if axis == "index":
        values = draws.uniform(3, 5, np.arange(n), 1)
    elif axis == "columns":
        values = draws.uniform(3, 5, np.array([11]), n)
    else:
        values = np.stack([draws.uniform(3, epoch, np.array([11]), 1) for epoch in range(n)])
    assert values.dtype == np.float32 and values.min() >= 0 and values.max() < 1
    counts = np.bincount((values.ravel() * 50).astype(int), minlength=50)
    chi_square = ((counts - n / 50) ** 2 / (n / 50)).sum()
    assert 20 < chi_square < 86  # 49 degrees of freedom, p = 0.001 on the right


def test_neighbouring_indices_are_uncorrelated():
    values = draws.uniform(0, 0, np.arange(20_001), 1)[:, 0]
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_permutations_visit_everything_once_and_change_with_the_epoch():
    first, again, other = (draws.permutation(1, epoch, 200) for epoch in (0, 0, 1))
    assert sorted(first) == list(range(200))
    assert (first == again).all() and (first != other).any()
    assert (first != draws.permutation(2, 0, 200)).any()
