"""Where runs and packed corpora are kept on this machine."""

import os
from pathlib import Path


def home() -> Path:
    """The cache folder: `$SSPS_HOME`, or `~/.cache/ssps`."""
    return Path(os.environ.get("SSPS_HOME") or Path.home() / ".cache" / "ssps")
