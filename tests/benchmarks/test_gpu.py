"""The run of a GPU on a CPU, with tiny sizes and without the packages that a GPU machine lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("gpu.py")


def run(folder: Path, *arguments: str) -> tuple[int, str, dict]:
    """Exit status, first line and file of the script."""
    for name in ("pydantic", "soundfile"):
        (folder / f"{name}.py").write_text("raise ImportError('as on a GPU machine')")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--json", folder / "gpu.json", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder), "TORCHDYNAMO_DISABLE": "1"},  # no compiler
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    written = json.loads((folder / "gpu.json").read_text())
    return done.returncode, done.stdout.splitlines()[0], written


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """All parts."""
    status, first, written = run(tmp_path_factory.mktemp("gpu"))
    assert first == "missing: pydantic, soundfile"
    assert {name: part["error"] for name, part in written["parts"].items() if part["error"]} == {}
    assert status == 0
    return {name: part["rows"] for name, part in written["parts"].items()}, written


def test_every_number_says_where_and_how_it_was_computed(found):
    for part in found[1]["parts"].values():
        assert {"machine", "instructions", "torch", "seconds"} <= part.keys()
        assert part["rows"] and all("dtype" in row for row in part["rows"])


@pytest.mark.rounding
def test_a_cpu_agrees_with_itself(found):
    rows = found[0]
    for row in rows["steps"] + rows["norms"]:
        exact = row["dtype"] != "bfloat16"
        assert row["loss_error"] < (1e-4 if exact else 0.1)
        assert row["gradient_cosine"] > (0.99 if exact else 0.5)
    assert len({(row["framework"], row["positives"]) for row in rows["steps"]}) == 3
    assert all("after step" in row["stopped"] and row["same_bits"] for row in rows["resume"])
    assert all(row["same_losses"] for row in rows["resume"])


def test_speed_and_scores_are_there(found):
    rows = found[0]
    assert [row["compiler"] for row in rows["recipe"] + rows["compiler"]] == [
        "no",
        "no",
        "inductor",
    ]
    assert all(row["operations"] > 0 and row["fed_seconds"] > 0 for row in rows["recipe"])
    assert rows["mini"][0]["utterances"] == 48
    assert [row["positives"] for row in rows["mini"][1:3]] == ["ssl", "ssps-clustering"]
    assert all(0 <= row["scores"]["eer"] <= 100 for row in rows["mini"][1:])


def test_a_part_without_time_is_written_down_and_the_next_begins(tmp_path):
    status, _, written = run(tmp_path, "norms", "kmeans", "--minutes", "0")
    assert status == 0
    errors = [part["error"] for part in written["parts"].values()]
    assert errors == ["TimeoutError: its time was over"] * 2
