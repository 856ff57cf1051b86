"""The run of a GPU on a CPU, with tiny sizes and without the packages that a GPU machine lacks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu
import pytest


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the script writes, all parts at tiny sizes."""
    folder = tmp_path_factory.mktemp("gpu")
    lines = "import sys; sys.modules |= dict.fromkeys(['pydantic', 'soundfile'])"
    (folder / "sitecustomize.py").write_text(lines)  # neither can be imported
    done = subprocess.run(
        [sys.executable, Path(gpu.__file__), "--tiny", "--json", folder / "gpu.json"],
        env=os.environ | {"PYTHONPATH": str(folder), "TORCHDYNAMO_DISABLE": "1"},  # no compiler
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    written = json.loads((folder / "gpu.json").read_text())
    assert {name: part["error"] for name, part in written["parts"].items() if part["error"]} == {}
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "missing: pydantic, soundfile"
    return written["parts"]


def test_every_number_says_where_and_how_it_was_computed(found):
    for part in found.values():
        assert {"machine", "instructions", "torch", "seconds"} <= part.keys()
        assert part["rows"] and all("dtype" in row for row in part["rows"])


def test_a_cpu_agrees_with_itself(found):
    steps, norms, resume = (found[name]["rows"] for name in ("steps", "norms", "resume"))
    for row in steps + norms:
        exact = row["dtype"] != "bfloat16"
        assert row["loss_error"] < (1e-4 if exact else 0.1)
        assert row["gradient_cosine"] > (0.99 if exact else 0.5)
    assert len({(row["framework"], row["positives"]) for row in steps}) == 3
    for row in resume:
        assert "after step" in row["stopped"]
        assert row["same_bits"] and row["same_losses"]


def test_speed_and_scores_are_there(found):
    recipe, compiler, mini = (found[name]["rows"] for name in ("recipe", "compiler", "mini"))
    assert [row["compiler"] for row in recipe + compiler] == ["no", "no", "inductor"]
    assert all(row["operations"] > 0 and row["fed_seconds"] > 0 for row in recipe)
    assert mini[0]["utterances"] == 48
    assert [row["positives"] for row in mini[1:3]] == ["ssl", "ssps-clustering"]
    assert all(0 <= row["scores"]["eer"] <= 100 for row in mini[1:])


def test_a_part_that_fails_keeps_its_rows():
    def rows():
        yield {"first": 1}
        raise ValueError("too large")

    part, stored = {}, []
    gpu.attempt(rows(), 60, part, stored.append)
    assert (part["rows"], part["error"]) == ([{"first": 1}], "ValueError: too large")
    assert stored[0] == {"first": 1}


def test_a_part_that_takes_too_long_is_cut_off():
    def rows():
        while True:
            time.sleep(0.001)
        yield

    part = {}
    gpu.attempt(rows(), 0, part, lambda _: None)
    assert (part["rows"], part["error"]) == ([], "CutOff: after 0 s")
