"""Real voices: public collections, as they are downloaded, made one corpus of short utterances.

`cut` makes pieces of 3 s of what each speaker says, and `join` makes of two pieces an utterance of
6 s, one to a recording, which `open_folder(..., sessions="simulated")` reads. Book page on voices.
"""

import argparse
import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ssps_lib import files
from ssps_lib.corpora import SAMPLE_RATE, listed, make_trials, read_audio, walk
from ssps_lib.corpora.layouts import read_table
from ssps_lib.corpora.lists import COLUMNS
from ssps_lib.corpora.packer import in_order
from ssps_lib.corpora.table import Entry, held_out

FRAME, SILENCE, PAUSE = 320, 10**-3.5, 0.2  # samples, of the loudest power (-35 dB), seconds
PIECE, FEWEST, MOST = 3 * SAMPLE_RATE, 4, 12  # samples, and pieces of a speaker
SHARES = {"test": 0.16, "dev": 0.08}  # of the speakers, and of those that are left
SMALLEST = 4  # speakers of a collection, of which at least two are held out
TARGETS, SEED = 40, 1  # trials of a held-out speaker, and which ones
LAYOUTS = {  # by collection: how its files end, where (...) is the speaker, and how to say it
    "gsc": (r"([0-9a-f]+)_nohash_\d+\.wav", "<word>/<speaker>_nohash_<n>.wav"),
    "so762": (r"SPEAKER(\w+)/\w+\.wav", "WAVE/SPEAKER<speaker>/<utterance>.WAV"),
    "coswara": (r"([^/]+)/(?:counting|vowel)-\w+\.wav", "<date>/<speaker>/counting-normal.wav"),
    "dsp20": (r"(\d+)-\d\d-\d\d\.wav", "<speaker>/<speaker>-<word>-<n>.wav"),
    "arabic": (r"(\d+)_NO_\d+\.wav", "dataset/<word>/<speaker>_NO_<n>.wav"),
}
OPTIONS = {  # of the command, and which collections may lie in its folders
    "speech-commands": ("gsc",),
    "speechocean762": ("so762",),
    "coswara": ("coswara",),
    "commands": ("dsp20", "arabic"),
}
Speakers = dict[str, list[Path]]  # files of each speaker, in order


def common_voice(releases: Iterable[str | Path]) -> dict[str, Speakers]:
    """Releases of Common Voice as collections `cv1`, `cv2`, ..., each with one language or many.

    A speaker is a `client_id` of `<language>/validated.tsv`, of the first release that has it; the
    clips stand in the order of their numbers, which is that of their upload.

    Raises:
        ValueError: a release without any `validated.tsv`.
    """
    collections: dict[str, Speakers] = {}
    for number, release in enumerate(map(Path, releases), 1):
        known = {client for speakers in collections.values() for client in speakers}
        speakers = defaultdict(list)
        for table in sorted(release.rglob("validated.tsv")):
            with open(table, newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                    if row["client_id"] not in known:
                        speakers[row["client_id"]].append(table.parent / "clips" / row["path"])
        if not speakers:
            raise ValueError(f"'{release}' has no <language>/validated.tsv of new speakers")
        for clips in speakers.values():
            clips.sort(key=lambda clip: int(re.findall(r"\d+", clip.stem)[-1]))
        collections[f"cv{number}"] = speakers
    return collections


def find(folder: str | Path, names: Sequence[str]) -> dict[str, Speakers]:
    """Those of the collections `names` (of `LAYOUTS`) that lie in a folder, however deep.

    Raises:
        ValueError: the folder is missing, or holds none of them.
    """
    collections: dict[str, Speakers] = defaultdict(lambda: defaultdict(list))
    for file, name in product(walk(Path(folder)).files, names):
        if match := re.search(f"(?:^|/){LAYOUTS[name][0]}$", file, re.IGNORECASE):
            collections[name][match[1]].append(Path(folder) / file)
    if not collections:
        forms = " or ".join(LAYOUTS[name][1] for name in names)
        raise ValueError(f"'{folder}' holds no {forms}: check the path")
    return collections


def cut(collections: dict[str, Speakers], folder: str | Path, most: int = 350) -> Path:
    """Write pieces of 3 s as `<collection>-<number>/p<block>/<piece>.flac`, with lists and trials.

    A block is two neighbouring pieces. Speakers with less than 12 s of speech are left out.

    Args:
        most: speakers of each collection, the first by their names, which are random mostly.

    Raises:
        ValueError: a collection in which nobody speaks for 12 s.
    """
    folder, entries, heard = Path(folder), list[Entry](), set[bytes]()
    for collection, speakers in collections.items():
        before = len(entries)
        names = tqdm(sorted(speakers), collection, disable=None)
        found = (_pieces(speakers[name], heard) for name in names)
        enough = islice((pieces for pieces in found if len(pieces) >= FEWEST), most)
        for number, pieces in enumerate(enough, 1):
            for i, piece in enumerate(pieces):
                speaker, block = f"{collection}-{number:04d}", f"p{i // 2:02d}"
                entries.append(Entry(f"{speaker}/{block}/{i:02d}.flac", speaker, block))
                _write(folder / entries[-1].file, piece)
        if len(entries) == before:
            seconds = f"{FEWEST * PIECE // SAMPLE_RATE} s of speech: are all files there?"
            raise ValueError(f"no speaker of {collection} ({len(speakers):,}) has {seconds}")
    _write_lists(folder, entries)
    return folder


def join(source: str | Path, folder: str | Path) -> Path:
    """Write the two pieces of each block as one utterance of 6 s, with lists and trials.

    Blocks of one piece are left out. Speakers whom lists of the source hold out stay held out;
    where it names no development speakers, some of the training speakers become them.

    Raises:
        ValueError: the source is missing, or its lists have faults.
    """
    source, folder = Path(source), Path(folder)
    table = read_table(source, "folder")
    if table.faults:
        raise ValueError(f"'{source}' cannot be joined:\n{listed(table.faults)}")
    blocks = defaultdict(list)
    for entry in sorted(table.entries, key=lambda entry: entry.file):
        blocks[entry.speaker, entry.recording].append(entry)
    pairs = [entries for entries in blocks.values() if len(entries) > 1]

    def write(pair: list[Entry]) -> Entry:
        first = pair[0]
        name = f"{first.speaker}/{first.recording}/{Path(first.file).stem}.flac"
        _write(folder / name, np.concatenate([read_audio(source / e.file) for e in pair]))
        return replace(first, file=name)

    joined = list(tqdm(in_order(write, pairs), "joining", len(pairs), disable=None))
    _write_lists(folder, joined)
    return folder


def _pieces(sources: Iterable[Path], heard: set[bytes]) -> np.ndarray:
    """The first pieces (n, PIECE) of a speaker's files, joined; no sound is heard twice."""
    sound = np.empty(0, np.float32)
    for file in sources:
        try:
            samples = read_audio(file, shortest=0.25)
        except ValueError:  # missing, damaged, silent or too short
            continue
        digest = hashlib.sha256(samples.tobytes()).digest()
        if digest not in heard:
            heard.add(digest)
            sound = np.append(sound, _without_pauses(samples))
        if len(sound) >= MOST * PIECE:
            break
    count = min(len(sound) // PIECE, MOST)
    return sound[: count * PIECE].reshape(count, PIECE)


def _without_pauses(samples: np.ndarray) -> np.ndarray:
    """Samples (T,) with a peak of 0.7, whose pauses longer than `PAUSE` are cut to that."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames).mean(1)
    reach = round(PAUSE / 2 * SAMPLE_RATE / FRAME)  # frames around each loud one
    near = np.convolve(power > SILENCE * power.max(), np.ones(2 * reach + 1), "same") > 0.5
    kept = frames[near].ravel()
    return 0.7 / np.abs(kept).max() * kept


def _write(path: Path, samples: np.ndarray) -> None:
    with files.whole(path) as partial:
        soundfile.write(partial, samples, SAMPLE_RATE)


def _by_collection(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    groups = defaultdict(list)
    for entry in entries:
        groups[entry.speaker.rsplit("-", 1)[0]].append(entry)
    return groups


def _hold_out(entries: list[Entry]) -> list[Entry]:
    """Every entry with a split: those that no list has chosen are, in proportion by collection."""
    for split, share in SHARES.items():
        if not any(entry.split == split for entry in entries):
            rest = [entry for entry in entries if entry.split not in SHARES]
            chosen = set[str]()
            for group in _by_collection(rest).values():
                if len({entry.speaker for entry in group}) >= SMALLEST:
                    chosen |= held_out(group, share)
            entries = [replace(e, split=split) if e.speaker in chosen else e for e in entries]
    return entries


def _write_lists(folder: Path, entries: list[Entry]) -> None:
    entries = _hold_out(entries)
    for split in ("train", "dev", "test"):
        part = [entry for entry in entries if (entry.split or "train") == split]
        if not part:  # too few speakers
            continue
        with open(folder / f"{split}.csv", "w", newline="") as file:
            rows = ((entry.file, entry.speaker, entry.recording) for entry in part)
            csv.writer(file).writerows([COLUMNS, *rows])
        if split != "train":
            name = "trials.txt" if split == "test" else "dev_trials.txt"
            (folder / name).write_text("".join(_trials(part)))


def _trials(entries: list[Entry]) -> Iterator[str]:
    """Lines of a trial list, whose two sides are of one collection."""
    for group in _by_collection(entries).values():
        speakers, blocks = np.array([(entry.speaker, entry.recording) for entry in group]).T
        trials = make_trials(speakers, blocks, TARGETS, SEED)
        for label, a, b in zip(trials.labels, trials.first, trials.second, strict=True):
            yield f"{label} {group[a].file} {group[b].file}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: cut the collections that are given, and join the pieces."""
    parser = argparse.ArgumentParser(prog="python -m ssps_book.voices", description=__doc__)
    default = files.home() / "corpora" / "voices"
    add = parser.add_argument
    add("destination", type=Path, nargs="?", default=default, help=f"by default {default}")
    text = "pieces that were cut before, or where to keep them (by default beside the destination)"
    add("--pieces", type=Path, metavar="FOLDER", help=text)
    form = "<language>/validated.tsv and clips/"
    add("--common-voice", nargs="+", default=[], metavar="RELEASE", help=form)
    for option, names in OPTIONS.items():
        form = " or ".join(LAYOUTS[name][1] for name in names)
        several = "+" if len(names) > 1 else 1
        add(f"--{option}", nargs=several, default=[], metavar="FOLDER", help=form)
    add("--most", type=int, default=350, help="speakers of a collection (350)")
    given = vars(parser.parse_args(arguments))
    try:
        collections = common_voice(given["common_voice"])
        for option, names in OPTIONS.items():
            for folder in given[option.replace("-", "_")]:
                collections |= find(folder, names)
        pieces, destination = given["pieces"], given["destination"]
        if collections:
            pieces = pieces or destination.with_name(f"{destination.name}-pieces")
            cut(collections, pieces, given["most"])
        elif pieces is None:
            parser.error("name a collection, such as --speechocean762 FOLDER, or --pieces FOLDER")
        print(f"{join(pieces, destination)}: train with corpus='{destination}'")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
