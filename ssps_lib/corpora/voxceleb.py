"""VoxCeleb 1 and 2 in the folders that their archives unpack to (Section IV-A).

Any number of folders may lie above `<speaker>/<video>/<utterance>`; a speaker's id tells the
corpus, and an archive's folder `dev` or `test` its part. Training utterances are VoxCeleb2's
development part, test utterances those of VoxCeleb1's forty test speakers; the trials of E and H
name all of VoxCeleb1. Videos are the recordings.
"""

import os
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from ssps_lib.corpora.table import Entry, Table, duplicates, held_out, in_order
from ssps_lib.corpora.walker import walk

COUNTS = {  # utterances, speakers, recordings, as published
    "VoxCeleb2 dev": (1_092_009, 5_994, 145_569),
    "VoxCeleb2 test": (36_237, 118, 4_911),
    "VoxCeleb1 dev": (148_642, 1_211, 21_819),
    "VoxCeleb1 test": (4_874, 40, 677),
}
LISTS = {  # by name: the file and how many trials it holds
    "O": ("veri_test2.txt", 37_611),
    "E": ("list_test_all2.txt", 579_818),
    "H": ("list_test_hard2.txt", 550_894),
    "O-original": ("veri_test.txt", 37_720),
    "E-original": ("list_test_all.txt", 581_480),
    "H-original": ("list_test_hard.txt", 552_536),
}
TEST_SPEAKERS = range(10_270, 10_310)  # of VoxCeleb1
DEV_SPEAKERS = 40  # whose trials are observed during training
SPEAKER = re.compile(r"id[01]\d{4}")
UTTERANCE = re.compile(r"[\w-]{11}/\d{5,7}\.\w+")  # in the folder of its video
PART = re.compile(r"(?:^|[/_-])(dev|train|test)(?:[/_-]|$)")
TRAINED_ON_1 = "it names training speakers, as VoxCeleb2 is not here"


def is_voxceleb(root: Path, levels: int = 4) -> bool:
    """Whether `<id00000>/<video of 11 letters>/<00000>.<audio>` lies within so many levels.

    Other corpora name their speakers so, too. At most twenty folders of a level are entered: an
    archive has few, and speakers come below.
    """
    if levels == 0:
        return False
    folders = sorted(path for path in root.iterdir() if path.is_dir())[:20]
    for folder in folders:
        if SPEAKER.fullmatch(folder.name):
            below = (f"{file.parent.name}/{file.name}" for file in folder.glob("*/*"))
            return any(UTTERANCE.fullmatch(name) for name in below)
    return any(is_voxceleb(folder, levels - 1) for folder in folders)


def read_voxceleb(root: Path) -> Table:
    """The utterances of VoxCeleb with their splits, trial lists and whatever is wrong with them.

    Development trials come from 40 speakers of VoxCeleb2's test part; where that is absent, of
    VoxCeleb1 (whose E and H trials name them too), or else of the training speakers. Without
    VoxCeleb2, VoxCeleb1's other speakers are trained on, and E and H are left aside.
    """
    table = Table(root, "voxceleb")
    found, known = walk(root), {file for file, _ in LISTS.values()}
    lists = {os.path.basename(file): file for file in found.passed_over}
    found.passed_over = [file for file in found.passed_over if os.path.basename(file) not in known]
    parts = _parts(table, table.take(found))
    table.notes += _differences(parts)
    _decide(table, parts)
    stems = [_stem(entry) for entry in table.entries]
    files = [entry.file for entry in table.entries]
    table.faults += duplicates(zip(stems, files, strict=True))
    if not table.faults:
        _read_lists(table, lists, stems, parts)
    return table


def _stem(entry: Entry) -> str:
    return entry.key.rsplit(".", 1)[0]


def _parts(table: Table, files: list[str]) -> dict[str, list[Entry]]:
    """The entries of the four parts of VoxCeleb; files elsewhere are misplaced."""
    parts = defaultdict(list)
    names: dict[str, str] = {}  # one string for a speaker or video that comes a hundred times
    for file in files:
        *above, speaker, recording, _ = ("", "", *file.split("/"))
        if SPEAKER.fullmatch(speaker):
            speaker, recording = (names.setdefault(x, x) for x in (speaker, recording))
            part = _part_of(speaker, "/".join(above).lower())
            parts[part].append(Entry(file, speaker, recording))
        else:
            table.misplaced.append(f"{file}: wrong depth, expected <id00000>/<video>/<utterance>")
    unknown = parts.pop("VoxCeleb2", [])  # its test archive, unpacked beside dev, or all there is
    parts["VoxCeleb2 test" if parts["VoxCeleb2 dev"] else "VoxCeleb2 dev"] += unknown
    return parts


def _part_of(speaker: str, above: str) -> str:
    if speaker.startswith("id1"):
        return "VoxCeleb1 test" if int(speaker[2:]) in TEST_SPEAKERS else "VoxCeleb1 dev"
    known = PART.search(above)
    return "VoxCeleb2" if known is None else f"VoxCeleb2 {known[1].replace('train', 'dev')}"


def _differences(parts: dict[str, list[Entry]]) -> list[str]:
    """Where a part differs from its published counts, one text each."""
    notes = []
    for part, expected in COUNTS.items():
        entries = parts[part]
        speakers = len({entry.speaker for entry in entries})
        recordings = len({(entry.speaker, entry.recording) for entry in entries})
        counts = (len(entries), speakers, recordings)
        kinds = zip(("utterances", "speakers", "recordings"), counts, expected, strict=True)
        different = [f"{n:,} of {whole:,} {kind}" for kind, n, whole in kinds if n != whole]
        if different:
            notes.append(f"{part}: {', '.join(different)}" if entries else f"{part}: absent")
    return notes


def _decide(table: Table, parts: dict[str, list[Entry]]) -> None:
    """Give the entries their splits; see `read_voxceleb`."""
    train, dev = parts["VoxCeleb2 dev"], parts["VoxCeleb2 test"]
    train, rest = (train, parts["VoxCeleb1 dev"]) if train else (parts["VoxCeleb1 dev"], [])
    if not parts["VoxCeleb1 test"]:
        table.faults.append("the test speakers id10270 to id10309 of VoxCeleb1 are missing")
    source = dev or rest or train
    chosen = held_out(source, 1.0, DEV_SPEAKERS) if source else set()
    if len({entry.speaker for entry in train} - chosen) < 2:
        table.faults.append("training speakers are missing: VoxCeleb2 dev, or VoxCeleb1 dev")
    splits = {"train": train, "dev": dev, "test": parts["VoxCeleb1 test"], "rest": rest}
    table.entries = in_order(
        replace(entry, split="dev" if entry.speaker in chosen else split)
        for split, entries in splits.items()
        for entry in entries
        if split != "dev" or entry.speaker in chosen
    )


def _read_lists(table: Table, lists: dict[str, str], stems: list[str], parts: dict) -> None:
    """Read the trial lists that were found by their names, where their speakers are here."""
    begin = table.bounds()["dev"][0]  # E and H may name development speakers
    names = [f"{stem}.wav" for stem in stems[begin:]]
    for name, (file, count) in LISTS.items():
        if file not in lists:
            continue
        if name[0] != "O" and not (parts["VoxCeleb1 dev"] and parts["VoxCeleb2 dev"]):
            without = "VoxCeleb1 dev is not here" if parts["VoxCeleb2 dev"] else TRAINED_ON_1
            table.notes.append(f"{lists[file]}: left aside, {without}")
            continue
        table.read_list(table.root / lists[file], name, names, begin)
        if len(table.lists[name]) != count:
            table.notes.append(f"{lists[file]}: {len(table.lists[name]):,} of {count:,} trials")
    if not any(name.startswith("O") for name in table.lists):
        table.notes.append("no trial list veri_test2.txt: trials of the test speakers are made")
