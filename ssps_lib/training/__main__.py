"""`accelerate launch -m ssps_lib.training --config run.json`: train one run.

Errors are one sentence on the standard error, with exit status 1.
"""

import argparse
import json
import os
from contextlib import ExitStack
from pathlib import Path

from accelerate import PartialState

from ssps_lib.training import lock, signals
from ssps_lib.training.config import RunConfig, from_dict
from ssps_lib.training.ranks import RefusedError, check_gpus
from ssps_lib.training.run import is_complete, run_folder, train


def read_config(file: Path) -> RunConfig:
    """The run that a JSON file describes.

    Raises:
        ValueError: it is missing, no JSON, or no run.
    """
    try:
        return from_dict(json.loads(file.read_text()))
    except OSError as error:
        raise ValueError(
            f"the run's file '{file}' cannot be read ({error.strerror}): check the path"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{file}' is not the JSON of a run ({error})") from error


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
    chain = [config]
    while chain[-1].start_from is not None:
        chain.append(chain[-1].start_from)
    missing = [one for one in reversed(chain) if not is_complete(one)]  # seen alike by all ranks
    with ExitStack() as locks:
        if os.environ.get("RANK", "0") == "0" and os.environ.get(signals.STARTER_LIVES) != "1":
            for one in missing:  # a starting process holds the locks itself
                locks.enter_context(lock.held(run_folder(one), wait=False))
        for one in missing:
            if os.environ.get("RANK", "0") == "0":
                print(f"training {one.name} in {processes} process(es)", flush=True)
            train(one, processes)
    PartialState().destroy_process_group()  # only now: a group cannot be formed twice


if __name__ == "__main__":
    main()
