"""Training: `run(config)` trains, resumes or loads (Sections IV-C and IV-D)."""

from ssps_lib.training.config import RunConfig, from_dict, with_seed
from ssps_lib.training.run import Run, load, replicate, run, run_folder

__all__ = ["Run", "RunConfig", "from_dict", "load", "replicate", "run", "run_folder", "with_seed"]
