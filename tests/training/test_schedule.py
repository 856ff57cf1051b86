"""Learning rates against values by hand."""

import math

import pytest

from ssps_lib.training import RunConfig, learning_rate


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 1e-3), (4.99, 1e-3), (5, 0.95e-3), (9.9, 0.95e-3), (10, 0.9025e-3), (99, 3.7735e-4)],
)
def test_steps_of_five_percent_every_five_epochs(epoch, expected):
    config = RunConfig(learning_rate=1e-3, decay=0.95, decay_every=5)
    assert learning_rate(config, epoch) == pytest.approx(expected, rel=1e-4)


def test_the_continued_run_goes_on_at_the_rate_of_its_epoch():
    """The paper: 3.6e-4 when SSPS starts after 100 epochs."""
    config = RunConfig(epochs=20, start_from=RunConfig(epochs=100))
    assert learning_rate(config, config.first_epoch) == pytest.approx(1e-3 * 0.95**20)
    assert learning_rate(config, config.first_epoch) == pytest.approx(3.6e-4, rel=0.01)


COSINE = {
    "schedule": "cosine", "learning_rate": 0.2, "warmup_epochs": 10, "epochs": 80,
    "final_learning_rate": 1e-5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, 0.0),
        (5, 0.1),
        (10, 0.2),
        (45, (0.2 + 1e-5) / 2),
        (27.5, 1e-5 + (0.2 - 1e-5) * (1 + math.sqrt(0.5)) / 2),
        (80, 1e-5),
    ],
)
def test_the_cosine_warms_up_and_really_ends_at_the_final_rate(epoch, expected):
    assert learning_rate(RunConfig(**COSINE), epoch) == pytest.approx(expected, abs=1e-12)


def test_one_cosine_spans_a_run_and_its_continuation():
    ssl = RunConfig(**COSINE, schedule_epochs=100)
    child = ssl.with_(epochs=20, start_from=ssl)
    assert learning_rate(ssl, 80) == pytest.approx(learning_rate(child, 80))
    assert learning_rate(child, 100) == pytest.approx(1e-5)
    assert learning_rate(ssl, 80) == pytest.approx(0.0234, abs=1e-4)
