"""The small encoder that comes with the library, and what its scores meant where it was tested.

It is the encoder of one finished run of the book, trained and tested on *simulated* voices, with
which the commands `ssps embed`, `verify` and `score` run at once.
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

NOTE = "it was trained and tested on simulated voices only; nothing was measured on human speech"


@dataclass(frozen=True)
class Calibration:
    """Error rates of the shipped encoder on the test trials of its run's record.

    Attributes:
        record: name of the run, and of its record in the book.
        trials, test_speakers: what was tested, all simulated.
        eer: in percent.
        threshold: the score of equal error, to 0.02.
        scores, miss, false_alarm: (P,) thresholds, and the shares of target trials below and of
            non-target trials at or above each.
    """

    record: str
    trained_on: str
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
        >>> round(miss, 4), round(false_alarm, 4)
        (0.0833, 0.0844)
        """
        miss = np.interp(score, self.scores, self.miss)
        return float(miss), float(np.interp(score, self.scores, self.false_alarm))


def encoder() -> Encoder:
    """The encoder, on the CPU, in eval mode: waveform (B, T) -> (B, 128)."""
    return Encoder.from_pretrained(FOLDER)


def calibration() -> Calibration:
    """What was measured with it, on simulated voices.

    >>> calibration().eer
    8.375
    """
    return Calibration(**json.loads((FOLDER / "calibration.json").read_text()))
