"""Self-supervised speaker verification with bootstrapped positive sampling (SSPS)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssps_lib.encoders import load_encoder

__version__ = "0.1.0"
__all__ = ["__version__", "load_encoder"]


def __getattr__(name: str) -> object:
    """`load_encoder`, imported when it is used: commands on corpora start without PyTorch."""
    if name == "load_encoder":
        from ssps_lib.encoders import load_encoder

        return load_encoder
    raise AttributeError(f"module 'ssps_lib' has no attribute '{name}'")
