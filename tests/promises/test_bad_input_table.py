"""What the library is given by mistake: each case has its own sentence, and the disk stays."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import bad_data
import bad_runs
import bad_tensors
import pytest
import torch

from ssps_lib import training

ROWS = {
    f"{part.__name__.removeprefix('bad_')}: {name}": row
    for part in (bad_runs, bad_tensors, bad_data)
    for name, row in part.ROWS.items()
}
ROOT = Path(training.__file__).parents[2]
MOST = 400  # characters of a sentence without the paths in it


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache with a tiny corpus, which no case may change."""
    from ssps_lib.corpora import open_corpus

    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(folder))
        patch.setenv("SSPS_RECORDS", str(folder / "records"))
        patch.setenv("ACCELERATE_USE_CPU", "true")
        open_corpus("simulated", **bad_runs.CORPUS)
        (folder / "runs").mkdir()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def told():
    """The messages so far and the cases that they belong to."""
    return {}


def contents(folder: Path) -> dict[str, tuple]:
    """Every file and folder with its size and time, but for the locks, which are empty."""
    found = {}
    for path in folder.rglob("*"):
        if path.name == "locks" or path.suffix == ".lock":
            continue
        status = path.stat()
        size = (status.st_size, status.st_mtime_ns) if path.is_file() else ()
        found[str(path.relative_to(folder))] = size
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ROWS)
def test_each_has_a_sentence_of_its_own_and_leaves_the_disk_as_it_was(case, home, told, tmp_path):
    row = ROWS[case]
    before = contents(home)
    with pytest.raises(row.error) as caught:
        row.call(tmp_path)
    message = str(caught.value).replace(str(tmp_path), "")
    assert row.value in message
    assert row.expected in message or re.search(row.expected, message)
    assert len(message) < MOST
    assert told.setdefault(message, case) == case
    assert contents(home) == before


def environment(home: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"SSPS_HOME": str(home), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


BAD_FILES = {
    "a bad value": (json.dumps({"epochs": 0}), "error: epochs is 0, expected greater than 0"),
    "an unknown field": (json.dumps({"epoch": 1}), "error: a run has no option 'epoch'"),
    "no JSON": ("epochs: 3", "is not the JSON of a run"),
    "no such corpus": (json.dumps({"corpus": "/nowhere"}), "error: corpus '/nowhere' is neither"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_the_command_line_ends_with_one_sentence(case, home, tmp_path):
    content, sentence = BAD_FILES[case]
    (tmp_path / "run.json").write_text(content)
    before = contents(home)
    done = subprocess.run(
        [sys.executable, "-m", "ssps_lib.training", "--config", tmp_path / "run.json"],
        env=environment(home), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1]
    assert contents(home) == before


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("preset", "large", "preset is 'large', expected one of smoke, mini, paper"),
        ("num_processes", "0", "num_processes is 0, expected at least 1"),
        ("corpus", "/nowhere", "corpus '/nowhere' is neither"),
    ],
)
def test_papermill_fails_with_the_sentence(name, value, sentence, home, tmp_path):
    papermill = Path(sys.executable).with_name("papermill")
    chapter = ROOT / "book" / "07_bottleneck.ipynb"
    before = contents(home)
    done = subprocess.run(
        [papermill, chapter, tmp_path / "out.ipynb", "-p", "preset", "smoke", "-p", name, value],
        env=environment(home), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert sentence in done.stderr
    assert contents(home) == before
