"""`accelerate launch -m ssps_lib.training --config run.json`: train one run."""

import argparse
import json
import os
from pathlib import Path

from accelerate import PartialState

from ssps_lib.training.config import from_dict
from ssps_lib.training.run import is_complete, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="ssps_lib.training", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="RunConfig as JSON")
    parser.add_argument(
        "--processes", type=int, default=int(os.environ.get("WORLD_SIZE", "1")),
        help="number of processes that must take part (default: WORLD_SIZE)",
    )  # fmt: skip
    arguments = parser.parse_args()
    config = from_dict(json.loads(arguments.config.read_text()))
    chain = [config]
    while chain[-1].start_from is not None:
        chain.append(chain[-1].start_from)
    missing = [one for one in reversed(chain) if not is_complete(one)]  # seen alike by all ranks
    for one in missing:
        train(one, arguments.processes)
    PartialState().destroy_process_group()  # only now: a group cannot be formed twice


if __name__ == "__main__":
    main()
