"""The frameworks of Section II; any runs with any positive sampler."""

from typing import Any

from torch import nn

from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.simclr import SimCLR
from ssps_lib.frameworks.supervised import Supervised

FRAMEWORKS: dict[str, type[Framework]] = {c.name: c for c in (SimCLR, Supervised)}

__all__ = ["FRAMEWORKS", "Framework", "SimCLR", "Supervised", "build"]


def build(name: str, encoder: nn.Module, **options: Any) -> Framework:
    """The framework of that name around an encoder, with the options of its constructor."""
    if name not in FRAMEWORKS:
        raise ValueError(f"framework is {name!r}, expected one of {sorted(FRAMEWORKS)}.")
    return FRAMEWORKS[name](encoder, **options)
