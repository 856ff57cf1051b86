"""Training: `run(config)` trains, resumes or loads (Sections IV-C and IV-D)."""

from ssps_lib.training.config import RunConfig, from_dict, learning_rate, with_seed
from ssps_lib.training.run import Run, is_complete, load, replicate, run, run_folder, run_name

__all__ = [
    "Run",
    "RunConfig",
    "from_dict",
    "is_complete",
    "learning_rate",
    "load",
    "replicate",
    "run",
    "run_folder",
    "run_name",
    "with_seed",
]
