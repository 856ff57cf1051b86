"""Curves of runs that continue others begin where these end."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from ssps_book import curves


def run(first_epoch=0, **metrics):
    metrics = {name: np.array(values, float) for name, values in metrics.items()}
    return SimpleNamespace(metrics=metrics, config=SimpleNamespace(first_epoch=first_epoch))


RUNS = {
    "ssl": [run(epoch=[1, 2], eer=[20, 10]), run(epoch=[1, 2], eer=[22, 12])],
    "ssps-nn": [run(2, epoch=[3], eer=[8], speaker=[0.5]), run(2, epoch=[3], eer=[6], speaker=[1])],
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_continuation_begins_at_the_last_mean_of_what_it_continues():
    ssl, nn = curves.draw(RUNS, "eer", "EER (%)").lines[:2]
    assert ssl.get_xydata().tolist() == [[1, 21], [2, 11]]
    assert nn.get_xydata().tolist() == [[2, 11], [3, 7]]


def test_a_metric_of_the_continuation_alone_stands_by_itself():
    (nn,) = curves.draw(RUNS, "speaker", "speaker accuracy").lines
    assert nn.get_xydata().tolist() == [[3, 0.75]]
