"""Mutated files: every case is read or refused; no crash, no hang, no way out of the root."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ssps_lib

CASES = {"audio": 1000, "lists": 1000}  # of each kind, the same for one seed
SEED = 8
PATIENCE = 1800  # seconds until the readers count as hanging; nothing is timed


@pytest.mark.parametrize("kind", CASES)
def test_every_mutated_file_is_read_or_refused(kind, tmp_path):
    root = str(Path(ssps_lib.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [Path(__file__).with_name("fuzzing.py"), tmp_path, kind, CASES[kind], SEED]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["wrong"] == []
    assert counts["refused"] > CASES[kind] // 4  # mutations that matter ...
    assert counts["read"] > CASES[kind] // 50  # ... and some that do not
