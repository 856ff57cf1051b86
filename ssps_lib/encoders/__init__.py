"""Encoders: waveform (B, T) -> representation (B, dim) (Section IV-C)."""

import os
from pathlib import Path

from ssps_lib.encoders.ecapa_tdnn import ECAPATDNN
from ssps_lib.encoders.encoder import FILE, HUB_FILE, Encoder, build, read_encoder, save_encoder
from ssps_lib.encoders.fast_resnet34 import FastResNet34
from ssps_lib.encoders.released import is_pickle, read_released

ENCODERS: dict[str, type[Encoder]] = Encoder.kinds
ENCODERS.update({cls.name: cls for cls in (FastResNet34, ECAPATDNN)})

__all__ = ["ECAPATDNN", "ENCODERS", "Encoder", "FastResNet34", "build", "load_encoder",
           "save_encoder"]  # fmt: skip


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
    """The encoder of a checkpoint, on the CPU, in eval mode.

    Args:
        path: a file of `save_encoder`, the folder of a run or of `save_pretrained` that holds one,
            or a released `.pt` file of the paper's authors (`model_latest.pt`, `model_avg.pt`,
            ...), of which widths, mel bands and window are read off the tensors. A released DINO
            checkpoint gives its teacher, as in the paper.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds something else: the message says what.
    """
    path = Path(path)
    if path.is_dir():
        path = path / (HUB_FILE if (path / HUB_FILE).is_file() else FILE)
    return read_released(path) if path.is_file() and is_pickle(path) else read_encoder(path)
