"""Which files of a folder are audio: one rule for corpora, noises and commands."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ssps_lib.corpora.faults import counted

# of an utterance in two formats, the first is taken; the last ones need PyAV or ffmpeg
EXTENSIONS = (
    ".wav", ".wave", ".rf64", ".w64", ".flac", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf",
    ".sph", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".m4b", ".aac", ".mp4", ".3gp", ".webm",
    ".mka", ".wma", ".amr",
)  # fmt: skip
DEEPEST = 8  # levels, as links may run in a circle


@dataclass
class Walk:
    """The files below a folder, relative to it; hidden ones (`._x.wav` of macOS) do not count.

    Attributes:
        files: audio by its name, in sorted order.
        passed_over: all other files.
        faults: files whose names are no UTF-8, which no list can name.
    """

    files: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """How many files were passed over, by their kind; empty where none was.

        >>> str(Walk(passed_over=["a/README", "a/1.txt", "b/2.txt"]))
        'passed over 3 files of other kinds: 2 .txt, 1 without extension'
        """
        kinds = Counter(Path(file).suffix.lower() for file in self.passed_over)
        texts = [f"{n:,} {kind or 'without extension'}" for kind, n in kinds.most_common()]
        head = f"passed over {counted(len(self.passed_over), 'file')} of other kinds: "
        return head + ", ".join(texts) if texts else ""


def walk(folder: Path) -> Walk:
    """All files below a folder, links included.

    Raises:
        ValueError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"'{folder}' is not an existing folder: check the path")
    found = Walk()

    def unreadable(error: OSError) -> None:
        found.faults.append(f"{error.filename}: cannot be read ({error.strerror})")

    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        parts = Path(place).relative_to(folder).parts
        folders[:] = [name for name in folders if name[0] != "." and len(parts) < DEEPEST]
        for file in ("/".join((*parts, name)) for name in files if name[0] != "."):
            try:
                file.encode()
            except UnicodeEncodeError:
                escaped = file.encode(errors="backslashreplace").decode()
                found.faults.append(f"'{escaped}': the name is no UTF-8; rename it")
                continue
            audio = file.lower().endswith(EXTENSIONS)
            (found.files if audio else found.passed_over).append(file)
    found.files.sort()
    return found


def first_of_formats(files: list[str]) -> tuple[list[str], list[str]]:
    """The files without those that another format of the same name stands for, which come second.

    >>> first_of_formats(["a/1.flac", "a/1.wav", "a/2.mp3"])
    (['a/1.wav', 'a/2.mp3'], ['a/1.flac'])
    """
    first: dict[str, str] = {}
    for file in sorted(files, key=lambda file: EXTENSIONS.index(Path(file).suffix.lower())):
        first.setdefault(os.path.splitext(file)[0], file)
    kept = set(first.values())
    return sorted(kept), [file for file in files if file not in kept]
