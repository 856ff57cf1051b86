"""Count the tests, for the book's chapter on its status.

    python tests/count.py

asks pytest what it collects, without running it, and writes `book/records/tests.json`.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "book" / "records" / "tests.json"
PROMISES = {  # what the chapter tells, by the tests that are one case each
    "bad inputs": r"test_bad_input_table.py::test_each_has",
    "bad inputs of commands and chapters": r"test_bad_input_table.py::test_(the_command|papermill)",
    "kills at chosen moments": r"test_kills.py::test_killed_at_a_chosen_moment",
    "frameworks and samplers resumed within an epoch": r"test_kills.py::test_each_framework_goes",
    "frameworks killed": r"test_kills_frameworks.py::test_killed",
    "frameworks killed at two processes": r"test_kills_frameworks.py::test_ranks",
    "properties": r"test_properties.py::",
    "signals": r"test_signals.py::",
    "locks and launches": r"test_(lock|processes).py::",
    "numbers that are not finite": r"test_health.py::",
    "checkpoints": r"test_(training_)?checkpoints.py::",
}


def collected() -> list[str]:
    """Names `file::test[case]` of all tests, examples in docstrings included."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the tests cannot be collected:\n{done.stdout[-2000:]}")
    return [line for line in done.stdout.splitlines() if "::" in line]


def constant(file: str, name: str) -> object:
    """A number or dictionary that a test file gives a name, without importing it."""
    text = (ROOT / "tests" / file).read_text()
    found = re.search(rf"^{name} = (.+?)(?:  #.*)?$", text, re.M)
    return json.loads(found[1])


def count(names: list[str]) -> dict:
    """Tests by room, and the cases of each promise."""
    rooms = Counter("/".join(name.split("::")[0].split("/")[:2]) for name in names)
    return {
        "tests": len(names),
        "rooms": dict(sorted(rooms.items())),
        "promises": {
            promise: sum(bool(re.search(pattern, name)) for name in names)
            for promise, pattern in PROMISES.items()
        },
        "mutated files": constant("promises/test_fuzz.py", "CASES"),
        "kills at random moments": constant("training/test_kills.py", "RANDOM_KILLS"),
    }


if __name__ == "__main__":
    result = count(collected())
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['tests']} tests")
