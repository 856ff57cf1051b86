"""The counts that the book prints are those of the tests as they are."""

import json
import runpy
from pathlib import Path

from test_bad_input_table import BAD_FILES, ROWS
from test_fuzz import CASES

TESTS = Path(__file__).parents[1]


def test_the_stored_counts_are_those_of_the_tables():
    stored = json.loads((TESTS.parent / "book" / "records" / "tests.json").read_text())
    assert stored["promises"]["bad inputs"] == len(ROWS), "run python tests/count.py"
    assert stored["promises"]["bad inputs of commands and chapters"] == len(BAD_FILES) + 3
    assert stored["mutated files"] == CASES
    assert stored["tests"] == sum(stored["rooms"].values()) > len(ROWS)


def test_cases_are_counted_by_the_names_of_their_tests():
    count = runpy.run_path(str(TESTS / "count.py"))["count"]
    names = [
        "tests/training/test_kills.py::test_killed_at_a_chosen_moment[inside k-means]",
        "tests/promises/test_bad_input_table.py::test_each_has_a_sentence[runs: epochs 0]",
        "ssps_lib/losses.py::ssps_lib.losses.cosines",
    ]
    found = count(names)
    assert found["rooms"] == {
        "ssps_lib/losses.py": 1, "tests/promises": 1, "tests/training": 1,
    }  # fmt: skip
    assert found["promises"]["bad inputs"] == found["promises"]["kills at chosen moments"] == 1
    assert sum(found["promises"].values()) == 2
    assert found["kills at random moments"] > 0
