"""The small encoder that comes with the library, and what its scores meant where it was tested.

It is the encoder of one finished run of the book, trained without labels on real voices in
simulated sessions, with which the commands `ssps embed`, `verify` and `score` run at once.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssps_lib.encoders import Encoder

FOLDER = Path(__file__).parent
"""A folder of `save_pretrained`, with `calibration.json` beside the weights.

:meta hide-value:
"""

NOTE = (
    "trained and tested on real voices in simulated rooms; elsewhere its error rates are not known"
)


@dataclass(frozen=True)
class Calibration:
    """Error rates of the shipped encoder on the test trials of its run's record.

    Attributes:
        record: name of the run, and of its record in the book.
        train_speakers: whom it has heard.
        trials, test_speakers: what was tested: real voices, simulated sessions.
        eer: in percent.
        threshold: the score of equal error.
        scores, miss, false_alarm: (P,) thresholds, and the shares of target trials below and of
            non-target trials at or above each.
    """

    record: str
    train_speakers: int
    trials: int
    test_speakers: int
    eer: float
    threshold: float
    scores: tuple[float, ...]
    miss: tuple[float, ...]
    false_alarm: tuple[float, ...]

    def rates(self, score: float) -> tuple[float, float]:
        """(miss, false alarm) of a threshold at this score, linear between the stored ones.

        >>> miss, false_alarm = calibration().rates(calibration().threshold)
        >>> abs(miss - false_alarm) < 1e-3
        True
        """
        miss = np.interp(score, self.scores, self.miss)
        return float(miss), float(np.interp(score, self.scores, self.false_alarm))


def encoder() -> Encoder:
    """The encoder, on the CPU, in eval mode: waveform (B, T) -> (B, 128)."""
    return Encoder.from_pretrained(FOLDER)


def calibration() -> Calibration:
    """What was measured with it."""
    return Calibration(**json.loads((FOLDER / "calibration.json").read_text()))
