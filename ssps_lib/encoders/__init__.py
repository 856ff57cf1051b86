"""Encoders: waveform (B, T) -> representation (B, dim) (Section IV-C)."""

from typing import Any

from ssps_lib.encoders.base import Encoder
from ssps_lib.encoders.ecapa_tdnn import ECAPATDNN
from ssps_lib.encoders.fast_resnet34 import FastResNet34

ENCODERS: dict[str, type[Encoder]] = {cls.name: cls for cls in (FastResNet34, ECAPATDNN)}

__all__ = ["ECAPATDNN", "ENCODERS", "Encoder", "FastResNet34", "build"]


def build(name: str, **options: Any) -> Encoder:
    """The encoder of that name with the options of its constructor.

    >>> build("fast_resnet34", dim=64, channels=8).config["dim"]
    64
    """
    if not isinstance(name, str) or name not in ENCODERS:
        raise ValueError(f"encoder is {name!r}, expected one of {sorted(ENCODERS)}.")
    return ENCODERS[name](**options)
