"""Training: `run(config)` trains, resumes or loads (Sections IV-C and IV-D)."""

from ssps_lib.training.config import RunConfig, from_dict
from ssps_lib.training.run import Run, load, run, run_folder

__all__ = ["Run", "RunConfig", "from_dict", "load", "run", "run_folder"]
