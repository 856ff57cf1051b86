"""A packed corpus of many utterances opens without reading it: memory is measured in a process.

`python tests/corpora/test_scale.py FOLDER 1092009` measures VoxCeleb2's number of utterances.
"""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ssps_lib.corpora.packed import write_index

PER_SPEAKER, PER_VIDEO, SAMPLES = 180, 8, 125_000

OPEN = """
import json, sys, time
import numpy as np
from ssps_lib.corpora import open_corpus

def megabytes():
    text = open("/proc/self/status").read()  # the peak of this program, not of its parent
    return int(text.split("VmHWM:")[1].split()[0]) / 1024

before, started = megabytes(), time.perf_counter()
splits = open_corpus(sys.argv[1])
seconds = time.perf_counter() - started
index = np.linspace(0, len(splits.train) - 1, 256).astype(int)
crops = splits.train.crops(index, np.full(256, 0.5), 32_000)
print(json.dumps({
    "utterances": sum(map(len, (splits.train, splits.dev, splits.test))), "seconds": seconds,
    "before": before, "after": megabytes(), "speakers": int(splits.train.speakers.max()) + 1,
    "crops": crops.shape, "trials": len(splits.test_trials),
}))
"""


def write_table(folder: Path, utterances: int) -> None:
    """A packed folder in VoxCeleb's proportions whose samples are a hole in a file."""
    number = np.arange(utterances)
    speakers, recordings = number // PER_SPEAKER, number // PER_VIDEO
    keys = [
        f"id{s:05d}/video{r:06d}/{u:05d}.m4a"
        for s, r, u in zip(speakers, recordings, number, strict=True)
    ]
    folder.mkdir()
    with open(folder / "audio.int16", "wb") as file:
        file.truncate(2 * SAMPLES * utterances)
    held_out = 40 * PER_SPEAKER
    edges = [0, utterances - 2 * held_out, utterances - held_out, utterances, utterances]
    pairs = pairwise(edges)
    splits = dict(zip(("train", "dev", "test", "rest"), pairs, strict=True))
    write_index(folder, "many", keys, [SAMPLES] * utterances, [0] * utterances, splits=splits)


def measure(folder: Path) -> dict:
    """Open the folder in a process of its own; see `OPEN`."""
    command = [sys.executable, "-c", OPEN, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_memory_of_an_open_corpus_is_a_small_part_of_its_table(tmp_path):
    utterances = 200_000
    write_table(tmp_path / "packed", utterances)
    found = measure(tmp_path / "packed")
    assert found["utterances"] == utterances and found["crops"] == [256, 32_000]
    assert found["speakers"] == (utterances - 80 * PER_SPEAKER) // PER_SPEAKER + 1
    grown = found["after"] - found["before"]
    pages = 256 * 2 * 32_000 / 2**20 * 2  # of the crops, and in the memory map
    assert grown - pages < 80  # megabytes, of which made trials take 30


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(measure(Path(sys.argv[1]))))
