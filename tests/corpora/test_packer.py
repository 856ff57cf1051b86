"""Packing: the same bytes however it is done, after a kill and after a full disk."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import make_tree

from ssps_lib.corpora import open_packed, packer, read_packed
from ssps_lib.corpora.layouts import read_splits
from ssps_lib.corpora.packed import verify
from ssps_lib.corpora.packer import in_order, pack_table

FILES = 24

KILLED = """
import os, signal, sys
from pathlib import Path
from ssps_lib.corpora import packer
from ssps_lib.corpora.layouts import read_splits

def killed(path):
    read.append(path)
    if len(read) == 17:
        os.kill(os.getpid(), signal.SIGKILL)  # when sixteen are packed
    return whole(path)

whole, read = packer.decode, []
packer.decode = killed
packer.pack_table(read_splits(Path(sys.argv[1])), Path(sys.argv[2]), "plan", workers=1)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Six speakers of two recordings of two utterances."""
    return make_tree(tmp_path_factory.mktemp("sounds") / "tree", speakers=6)


def pack_tree(root, folder, plan="plan", **options):
    pack_table(read_splits(Path(root)), folder, plan, **({"workers": 1} | options))


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


@pytest.fixture(scope="module")
def expected(tree, tmp_path_factory):
    """What one uninterrupted process writes."""
    folder = tmp_path_factory.mktemp("once") / "packed"
    pack_tree(tree, folder)
    return contents(folder)


def partial_of(folder):
    return folder.with_name(f"{folder.name}.partial")


def noted(folder):
    """How many files are packed."""
    return len((partial_of(folder) / "notes.jsonl").read_text().splitlines())


@pytest.fixture
def read_files(monkeypatch):
    """The files that are decoded from here on."""
    whole, read = packer.decode, []

    def decode(path):
        read.append(path)
        return whole(path)

    monkeypatch.setattr(packer, "decode", decode)
    return read


# -- what is written ----------------------------------------------------------------------------


def test_a_pack_holds_the_files_and_their_labels(tree, tmp_path):
    pack_tree(tree, tmp_path / "packed")
    packed = read_packed(tmp_path / "packed")
    assert len(packed) == FILES
    for i in np.random.default_rng(0).permutation(FILES):
        sound = soundfile.read(tree / packed.keys[i], dtype="int16")[0]
        assert np.array_equal(packed.audio(i), sound)
    head = [key.split("/")[:2] for key in packed.keys]
    assert packed.speakers.tolist() == [int(speaker[1:]) for speaker, _ in head]
    assert packed.recordings.tolist() == [2 * int(s[1:]) + int(r[1:]) for s, r in head]
    splits = open_packed(tmp_path / "packed")
    assert sum(map(len, (splits.train, splits.dev, splits.test))) == FILES


def test_several_threads_write_what_one_writes(tree, tmp_path, expected):
    pack_tree(tree, tmp_path / "packed", workers=3)
    assert contents(tmp_path / "packed") == expected


# -- interruptions ------------------------------------------------------------------------------


def test_a_killed_pack_goes_on_where_it_was(tree, tmp_path, expected, read_files):
    folder = tmp_path / "packed"
    done = subprocess.run([sys.executable, "-c", KILLED, str(tree), str(folder)])
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists() and noted(folder) == 16
    pack_tree(tree, folder)
    assert len(read_files) == FILES - 16 and contents(folder) == expected


def test_a_full_disk_keeps_what_was_packed(tree, tmp_path, expected, monkeypatch, read_files):
    folder, whole = tmp_path / "packed", packer.in_order

    def in_order(*arguments):
        yield from itertools.islice(whole(*arguments), 14)
        with open(partial_of(folder) / "audio.int16", "ab") as file:
            file.write(b"the first part of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packer, "in_order", in_order)
    with pytest.raises(OSError) as caught:
        pack_tree(tree, folder)
    assert caught.value.errno == errno.ENOSPC
    message = str(caught.value)
    assert "the disk is full" in message and "GB are free" in message
    assert f"14 files are packed and kept in '{partial_of(folder)}'" in message
    assert noted(folder) == 14 and not folder.exists()

    read_files.clear()
    monkeypatch.setattr(packer, "in_order", whole)
    pack_tree(tree, folder)
    assert len(read_files) == FILES - 14
    assert contents(folder) == expected


@pytest.mark.parametrize("whole", [0, 7, 23])
def test_what_was_torn_is_written_again(tree, tmp_path, expected, monkeypatch, whole):
    """The samples behind so many files, and the last line of the notes."""
    folder = tmp_path / "packed"
    monkeypatch.setattr(packer, "_finish", lambda *_: 1 / 0)  # an error after all files
    with pytest.raises(ZeroDivisionError):
        pack_tree(tree, folder)
    monkeypatch.undo()
    os.truncate(partial_of(folder) / "audio.int16", 2 * 9600 * whole + 2)
    with open(partial_of(folder) / "notes.jsonl", "r+") as notes:
        notes.truncate(notes.seek(0, os.SEEK_END) - 5)
    pack_tree(tree, folder)
    assert contents(folder) == expected


def test_a_full_disk_at_the_start_or_the_end(tree, tmp_path, expected, monkeypatch):
    folder = tmp_path / "packed"
    partial_of(folder).mkdir()
    (partial_of(folder) / "plan.txt").write_text("")  # all that went onto the disk

    def write_index(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packer, "write_index", write_index)
    with pytest.raises(OSError, match=r"the disk is full: .*; 24 files are packed"):
        pack_tree(tree, folder)
    monkeypatch.undo()
    pack_tree(tree, folder)
    assert contents(folder) == expected


def test_two_that_pack_one_folder_pack_it_once(tree, tmp_path, expected, monkeypatch, read_files):
    folder, begun, whole = tmp_path / "packed", threading.Event(), packer.in_order

    def in_order(*arguments):
        begun.set()
        time.sleep(0.2)  # in which the other comes
        return whole(*arguments)

    monkeypatch.setattr(packer, "in_order", in_order)
    first = threading.Thread(target=pack_tree, args=(tree, folder))
    first.start()
    assert begun.wait(900)
    with pytest.warns(UserWarning, match="another process works on the packing of 'packed'"):
        pack_tree(tree, folder)
    first.join()
    assert len(read_files) == FILES
    assert contents(tmp_path) == {f"packed/{name}": data for name, data in expected.items()}


def test_results_come_in_order_and_an_error_ends_all():
    def wait(number):
        time.sleep(0.01 * (number % 3))
        if number == 20:
            raise OSError("stop")
        asked.append(number)
        return number

    asked = []
    found = []
    with pytest.raises(OSError, match="stop"):
        for number in in_order(wait, range(1000), 3):
            found.append(number)
    assert found == list(range(20)) and max(asked) < 40


PLAIN = """
import sys
from ssps_lib.corpora import open_corpus
print(len(open_corpus(sys.argv[1], workers=3).train))
"""


def test_a_script_without_a_main_guard_packs(tree, tmp_path):
    """Processes that were started afresh would run it again, and wait for each other."""
    (tmp_path / "script.py").write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tree], capture_output=True, text=True,
        env=os.environ | {"SSPS_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "8\n"


def test_a_partial_folder_of_other_settings_is_refused(tree, tmp_path):
    folder = tmp_path / "packed"
    partial_of(folder).mkdir()
    (partial_of(folder) / "plan.txt").write_text("another plan")
    with pytest.raises(ValueError, match="was begun from other files or settings: delete it"):
        pack_tree(tree, folder)
    assert (partial_of(folder) / "plan.txt").read_text() == "another plan"


# -- reports ------------------------------------------------------------------------------------


def test_nothing_moves_where_files_are_left_out(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    (root / "s1/r0/u1.wav").write_bytes(b"")
    (root / "s4/r1/u0.wav").write_bytes(b"no sound" * 99)
    (root / "stray.wav").write_bytes((root / "s0/r0/u0.wav").read_bytes())
    with pytest.raises(ValueError, match="has 3 faults; skip_faulty=True"):
        pack_tree(root, tmp_path / "packed")
    assert not partial_of(tmp_path / "packed").exists()
    with pytest.warns(UserWarning, match="3 faulty files"):
        pack_tree(root, tmp_path / "packed", skip_faulty=True)
    kept = read_packed(tmp_path / "packed")
    assert len(kept) == FILES - 2 and "s1/r0/u1.wav" not in kept.keys
    for i, key in enumerate(kept.keys):
        assert np.array_equal(kept.audio(i), soundfile.read(root / key, dtype="int16")[0])


def test_checksums_find_a_changed_byte_and_a_missing_file(tree, tmp_path):
    folder = tmp_path / "packed"
    pack_tree(tree, folder)
    assert list(verify(folder)) == []
    content = bytearray((folder / "audio.int16").read_bytes())
    content[2 * 9600 * 14 + 1000] ^= 1
    (folder / "audio.int16").write_bytes(content)
    (fault,) = verify(folder)
    assert fault.startswith(f"{read_packed(folder).keys[14]}: differs from what was written")
    (folder / "audio.int16").unlink()
    with pytest.raises(ValueError, match=r"is damaged .*audio.int16.*pack the corpus again"):
        list(verify(folder))
