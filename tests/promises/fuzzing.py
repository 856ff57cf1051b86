"""Mutated audio files and lists for the readers, in a process of its own (see `test_fuzz`).

Run as `python fuzzing.py FOLDER KIND CASES SEED`: prints counts and what went wrong as JSON. A
decoder that crashes or hangs takes this process with it, and not the tests.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from ssps_lib.corpora.audio import peek, read_audio
from ssps_lib.corpora.layouts import read_splits
from ssps_lib.corpora.trials import parse_trials

FORMATS = ("wav", "flac", "ogg", "mp3")
RATE = 16_000
WORDS = [
    b"../outside/secret.wav", b"/etc/passwd", b"s0/../../outside/secret.wav", b"..", b".", b"~",
    b"\0", b"\xff\xfe", b",", b'"', b"\n", b"\r", b";", b"/", b"//", b"a/" * 40, b"1e9", b"-1",
    b"s0/r0/u.wav", b"link/secret.wav", b"nan", b" ", b"\t", "\u202e".encode(),
]  # fmt: skip


def mutate(content: bytes, dice: random.Random, words: list[bytes]) -> bytes:
    """One to six changes: flipped, missing, doubled and foreign bytes, and a cut."""
    out = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(out) + 1)
        at = min(at, dice.choice([12, 48, 200, len(out)]))  # headers more often than samples
        match dice.choice(["flip", "drop", "double", "word", "cut", "number"]):
            case "flip" if at < len(out):
                out[at] ^= 1 << dice.randrange(8)
            case "drop":
                del out[at : at + dice.randint(1, 40)]
            case "double":
                out[at:at] = out[at : at + dice.randint(1, 40)]
            case "word":
                out[at:at] = dice.choice(words)
            case "cut":
                del out[dice.randint(at, len(out)) :]
            case "number":
                out[at : at + 4] = dice.randrange(2**32).to_bytes(4, "little")
    return bytes(out)


def fuzz_audio(folder: Path, cases: int, seed: int) -> dict:
    """Every case is read as samples that are sound, or refused with one sentence."""
    dice = random.Random(seed)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(RATE * 7 // 10)
    whole = {}
    for kind in FORMATS:
        soundfile.write(folder / f"whole.{kind}", noise, RATE)
        whole[kind] = (folder / f"whole.{kind}").read_bytes()
    words = [b"RIFF", b"data", b"fmt ", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", bytes(8)]
    counts = {"read": 0, "refused": 0, "wrong": []}
    for case in range(cases):
        kind = FORMATS[case % len(FORMATS)]
        file = folder / f"case.{kind}"
        file.write_bytes(mutate(whole[kind], dice, words))
        for read in (peek, read_audio):
            judge(counts, f"{case} {kind} {read.__name__}", lambda r=read, f=file: sound(r(f)))
    return counts


def sound(result: object) -> str | None:
    """What is wrong with what a reader of audio returned."""
    if isinstance(result, tuple):
        return None if min(result) >= 1 else f"header {result}"
    x = result
    fits = x.ndim == 1 and x.dtype == np.float32 and len(x) >= RATE // 2 - 1
    return None if fits and np.isfinite(x).all() else f"samples {x.shape} {x.dtype}"


def judge(counts: dict, case: str, attempt: Callable[[], str | None]) -> None:
    """Count a case that was read, or refused by a ValueError, and note any other."""
    try:
        wrong = attempt()
    except ValueError as error:
        counts["refused"] += 1
        wrong = None if len(str(error)) > 0 else "no reason"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    else:
        counts["read"] += 1
    if wrong:
        counts["wrong"].append(f"{case}: {wrong[:200]}")


def fuzz_lists(folder: Path, cases: int, seed: int) -> dict:
    """Every case gives utterances below the root, or faults; nothing outside is opened."""
    dice = random.Random(seed)
    root, outside = folder / "root", folder / "outside"
    outside.mkdir()
    rows = [(f"s{s}/r{r}/u.wav", f"s{s}", f"r{r}") for s in range(8) for r in range(2)]
    for file in [*(root / row[0] for row in rows), outside / "secret.wav"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    lines = "".join(f"{','.join(row)}\n" for row in rows)
    whole = {
        "train.csv": f"file,speaker,recording\n{lines}".encode(),
        "trials.txt": b"1 s0/r0/u.wav s0/r1/u.wav\n0 s0/r0/u.wav s1/r0/u.wav\n",
    }
    opened: list[str] = []
    sys.addaudithook(lambda event, values: event == "open" and opened.append(str(values[0])))
    counts = {"read": 0, "refused": 0, "wrong": []}
    for case in range(cases):
        for name, content in whole.items():
            changed = (name == "train.csv") == bool(case % 2)
            (root / name).write_bytes(mutate(content, dice, WORDS) if changed else content)
        opened.clear()
        judge(counts, str(case), lambda: inside(root))
        if any("secret" in name or "passwd" in name for name in opened):
            counts["wrong"].append(f"{case}: opened a file outside of the root")
    return counts


def inside(root: Path) -> str | None:
    """What is wrong with the table of a folder; ValueError where it has faults."""
    table = read_splits(root)
    for entry in table.entries:
        if not (root / entry.file).resolve().is_relative_to(root.resolve()):
            return f"'{entry.file}' lies outside"
        if not (entry.speaker and entry.recording):
            return f"'{entry.file}' has no label"
    files = [entry.file for entry in table.entries]
    rows = parse_trials(root / "trials.txt", files).rows
    if len(rows) and not (rows[:, 1:].min() >= 0 and rows[:, 1:].max() < len(files)):
        return "a trial of no utterance"
    if table.faults:
        raise ValueError(table.faults[0])
    return None


if __name__ == "__main__":
    where, kind, number, first = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
    fuzz = {"audio": fuzz_audio, "lists": fuzz_lists}[kind]
    print(json.dumps(fuzz(where, number, first)))
