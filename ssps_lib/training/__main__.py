"""`accelerate launch -m ssps_lib.training --config run.json`: train one run.

Errors are one sentence on the standard error, with exit status 1.
"""

import argparse
import json
import os
from contextlib import ExitStack
from pathlib import Path

from accelerate import PartialState

from ssps_lib.files import RefusedError
from ssps_lib.training import signals
from ssps_lib.training.build import PATIENCE
from ssps_lib.training.config import RunConfig, from_dict
from ssps_lib.training.environment import on_gpu
from ssps_lib.training.launch import check_gpus
from ssps_lib.training.run import alone, check_chain, is_complete, train


def read_config(file: Path) -> RunConfig:
    """The run that a JSON file describes; OSError or ValueError where it does not."""
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"'{file}' is not the JSON of a run ({error})") from error
    return from_dict(values)


def main() -> None:
    signals.follow_starter()
    parser = argparse.ArgumentParser(prog="ssps_lib.training", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="RunConfig as JSON")
    parser.add_argument(
        "--processes", type=int, default=int(os.environ.get("WORLD_SIZE", "1")),
        help="number of processes that must take part (default: WORLD_SIZE)",
    )  # fmt: skip
    arguments = parser.parse_args()
    try:
        run_all(read_config(arguments.config), arguments.processes)
    except KeyboardInterrupt as error:
        raise SystemExit(str(error) or "interrupted") from None
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError, RefusedError) as error:
        raise SystemExit(f"error: {error}") from None


def run_all(config: RunConfig, processes: int) -> None:
    """Train a run, after those that it starts from, as far as they are not complete."""
    check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    here = PartialState(cpu=not on_gpu(), timeout=PATIENCE)
    with here.main_process_first():  # which packs the corpus
        check_chain(config)
        missing = [one for one in config.chain if not is_complete(one)]
    here.wait_for_everyone()  # nobody trains before all have seen what is missing
    main = here.is_main_process
    with ExitStack() as locks:
        if main and os.environ.get(signals.STARTER_LIVES) != "1":
            for one in missing:  # a starting process holds the locks itself
                locks.enter_context(alone(one, wait=False))
        for one in missing:
            if main:
                print(f"training {one.name} in {processes} process(es)", flush=True)
            train(one, processes)
    PartialState().destroy_process_group()  # only now: a group cannot be formed twice


if __name__ == "__main__":
    main()
