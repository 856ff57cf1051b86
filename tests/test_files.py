"""Files appear whole or not at all, and one process at a time holds a lock."""

import os
import subprocess
import sys

import pytest

from ssps_lib import files

HOLD = """
import sys, pathlib
from ssps_lib import files
with files.alone(pathlib.Path(sys.argv[1]), "the pack"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_appears_whole(tmp_path):
    with files.whole(tmp_path / "new" / "a.json") as path:
        path.write_text("{}")
        assert path.suffix == ".json" and not (tmp_path / "new" / "a.json").exists()
    assert os.listdir(tmp_path / "new") == ["a.json"]


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(OSError, match="disk"), files.whole(tmp_path / "a.json") as path:
        path.write_text("half")
        raise OSError("the disk is full")
    assert os.listdir(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    yield other
    other.kill()
    other.wait()


def test_another_process_is_refused_or_waited_for(holder, tmp_path):
    with (
        pytest.raises(files.RefusedError, match="another process works on the pack"),
        files.alone(tmp_path / "lock", "the pack", wait=False),
    ):
        pass
    holder.stdin.close()
    with files.alone(tmp_path / "lock", "the pack"), files.alone(tmp_path / "lock", "the pack"):
        pass


def test_a_killed_process_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    with files.alone(tmp_path / "lock", "the pack", wait=False):
        pass


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("SSPS_HOME", "~/somewhere")
    monkeypatch.setenv("HOME", "/nowhere")
    assert str(files.home()) == "/nowhere/somewhere"


def test_a_lock_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(files.RefusedError, match=r"nothing can be written to .*file \(.+\): choose"),
        files.alone(tmp_path / "file" / "lock", "the pack"),
    ):
        pass
