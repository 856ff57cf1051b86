"""The frameworks of Section II; any runs with any positive sampler."""

from typing import Any

from torch import nn

from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.dino import DINO
from ssps_lib.frameworks.moco import MoCo
from ssps_lib.frameworks.options import check_options
from ssps_lib.frameworks.simclr import SimCLR
from ssps_lib.frameworks.supervised import Supervised
from ssps_lib.frameworks.swav import SwAV
from ssps_lib.frameworks.vicreg import VICReg

FRAMEWORKS: dict[str, type[Framework]] = {
    c.name: c for c in (SimCLR, MoCo, SwAV, VICReg, DINO, Supervised)
}

__all__ = ["DINO", "FRAMEWORKS", "Framework", "MoCo", "SimCLR", "Supervised", "SwAV", "VICReg",
           "build"]  # fmt: skip


def build(name: str, encoder: nn.Module, **options: Any) -> Framework:
    """The framework of that name around an encoder, with the options of its constructor.

    Raises:
        ValueError: an unknown name or option, or a value out of range.
    """
    if name not in FRAMEWORKS:
        raise ValueError(f"framework is {name!r}, expected one of {sorted(FRAMEWORKS)}.")
    check_options(FRAMEWORKS[name], name, options)
    return FRAMEWORKS[name](encoder, **options)
