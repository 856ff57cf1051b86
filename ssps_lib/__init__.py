"""Self-supervised speaker verification with bootstrapped positive sampling (SSPS)."""

from ssps_lib.encoders.checkpoints import load_encoder

__version__ = "0.1.0"
__all__ = ["__version__", "load_encoder"]
