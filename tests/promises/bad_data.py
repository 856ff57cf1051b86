"""Bad audio, corpora, trial lists, and commands that prepare them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from bad_rows import Row

from ssps_lib.corpora import (
    check,
    make_trials,
    open_corpus,
    open_folder,
    open_packed,
    pack,
    read_audio,
    read_packed,
    read_trials,
    write_packed,
)
from ssps_lib.corpora.audio import peek
from ssps_lib.corpora.layouts import download
from ssps_lib.corpora.sessions import Sessions
from ssps_lib.noises import folder_bank

RATE = 16_000


def wav(file: Path, seconds: float = 0.6, **kind) -> Path:
    """A quiet noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.01 * np.random.default_rng(0).standard_normal(int(seconds * RATE))
    soundfile.write(file, kind.get("samples", noise), RATE, kind.get("subtype"))
    return file


def text(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def cut(file: Path, share: float = 0.5) -> Path:
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    return file


def tree(root: Path, speakers: int = 6, recordings: int = 2) -> Path:
    """A folder of recordings, one utterance each."""
    for s in range(speakers):
        for r in range(recordings):
            wav(root / f"s{s}" / f"r{r}" / "u.wav")
    return root


AUDIO = {
    "no file": Row(lambda at: read_audio(at / "no.wav"), "does not exist", "^does not exist$"),
    "an empty file": Row(lambda at: read_audio(text(at / "x.wav", "")), "0 bytes", "is empty"),
    "a file of text": Row(
        lambda at: read_audio(text(at / "x.wav", "not audio" * 99)), "Format not", "damaged, or not"
    ),
    "a recording that was cut": Row(
        lambda at: read_audio(cut(wav(at / "x.wav"))), "is truncated", "copy it again"
    ),
    "a recording of 0.3 s": Row(
        lambda at: read_audio(wav(at / "x.wav", 0.3)), "lasts 0.3 s", "at least 0.5 s"
    ),
    "a recording of nothing": Row(
        lambda at: read_audio(wav(at / "x.wav", 0.0)), "lasts 0 s", "at least 0.5 s are needed"
    ),
    "samples that are not finite": Row(
        lambda at: read_audio(wav(at / "x.wav", samples=np.full(RATE, np.nan), subtype="FLOAT")),
        "not finite",
        "holds samples",
    ),
    "a header that announces 0.2 s": Row(
        lambda at: peek(wav(at / "x.wav", 0.2)), "lasts 0.2 s", "at least 0.5 s are needed"
    ),
}


def lists(at: Path, extra: str = "", columns: str = "file,speaker,recording") -> Path:
    """A tree with train.csv, to which a row is added."""
    root = tree(at / "root")
    rows = "".join(f"s{s}/r{r}/u.wav,s{s},r{r}\n" for s in range(6) for r in range(2))
    text(root / "train.csv", f"{columns}\n{rows}{extra}")
    return root


def with_file(root: Path, file: str, content: str | bytes = "") -> Path:
    text(root / file, content)
    return root


CORPORA = {
    "no corpus": Row(lambda at: open_corpus(str(at / "no")), "no' is neither", "check the path"),
    "no folder": Row(lambda at: open_folder(at / "no"), "no' is not an existing", "check the path"),
    "a folder without audio": Row(
        lambda at: open_folder(text(at / "r" / "a.txt", "x").parent),
        "r' holds no audio",
        "train.csv",
    ),
    "a corpus that is a number": Row(
        lambda _: open_corpus(3), "corpus is 3", "a name or a path as text"
    ),
    "an option that a folder lacks": Row(
        lambda at: open_corpus(str(at), speakers=3),
        "no option 'speakers'",
        "known are layout",
    ),
    "an option that a packed corpus lacks": Row(
        lambda at: open_corpus(str(packed(at)), blocks=4), "no option 'blocks'", "known are trials"
    ),
    "a proportion in words": Row(
        lambda _: open_corpus("simulated", speakers="many"), "speakers is 'many'", "a valid integer"
    ),
    "half a speaker": Row(
        lambda _: open_corpus("simulated", speakers=2.5), "speakers is 2.5", "a valid integer"
    ),
    "a duration that is NaN": Row(
        lambda _: open_corpus("simulated", seconds=float("nan")), "seconds is nan", "a finite num"
    ),
    "a channel below nothing": Row(
        lambda _: open_corpus("simulated", channel=-1.0), "channel is -1.0", "or equal to 0"
    ),
    "a seed of sessions below 0": Row(
        lambda at: open_folder(at, seed=-1), "seed is -1", "a whole number from 0 on"
    ),
    "a share in words": Row(
        lambda at: open_folder(at, dev_share="0.1"), "dev_share is '0.1'", "above 0 and up to 0.4"
    ),
    "workers in words": Row(
        lambda at: open_folder(at, workers="2"), "workers is '2'", "at least 1 is needed"
    ),
    "no worker": Row(
        lambda at: open_folder(tree(at / "r"), workers=0), "workers is 0", "at least 1 is needed"
    ),
    "one recording for each speaker of a folder": Row(
        lambda at: open_folder(tree(at / "r", 6, recordings=1)),
        "r dev: no speaker has two recordings",
        "blocks=4",
    ),
    "a folder that is no packed corpus": Row(
        lambda at: read_packed(at), "it has no corpus.json", "check the path"
    ),
    "a packed corpus without its lengths": Row(
        lambda at: read_packed(without(packed(at) / "lengths.npy").parent),
        "lengths.npy",
        "pack the corpus again",
    ),
    "a packed corpus whose note is cut": Row(
        lambda at: read_packed(cut(packed(at) / "corpus.json").parent),
        "corpus.json' is damaged",
        "pack the corpus again",
    ),
    "samples between -1 and 1 to pack": Row(
        lambda at: write_packed(at / "p", "p", [[np.zeros(9)]], ["a/b/c"]),
        "samples are float64",
        "expected int16",
    ),
    "an utterance before the first": Row(
        lambda at: read_packed(packed(at)).audio(-1), "from -1 to -1", "must lie in [0, 1)"
    ),
    "a crop of an utterance beyond the last": Row(
        lambda at: crop(at, index=[1]), "from 1 to 1", "do they belong to another corpus"
    ),
    "unknown sessions": Row(
        lambda at: open_folder(at, sessions="real"), "sessions is 'real'", "expected one of as-is"
    ),
    "one block": Row(
        lambda at: open_folder(tree(at / "r"), blocks=1), "blocks is 1", "at least 2 are needed"
    ),
    "half of the speakers held out": Row(
        lambda at: open_folder(at, dev_share=0.5), "dev_share is 0.5", "above 0 and up to 0.4"
    ),
    "a negative channel": Row(lambda _: Sessions(-1.0), "channel is -1.0", "0 or more"),
    "five speakers": Row(
        lambda at: open_folder(tree(at / "r", 5)), "5 speakers are too few", "at least 6"
    ),
    "a file at another depth": Row(
        lambda at: open_folder(wav(tree(at / "r") / "stray.wav").parent),
        "stray.wav: wrong",
        "depth",
    ),
    "an empty file in a corpus": Row(
        lambda at: open_folder(with_file(tree(at / "r"), "s0/r0/u.wav")),
        "s0/r0/u.wav: is e",
        "skip_",
    ),
    "a list without a column": Row(
        lambda at: open_folder(lists(at, columns="path,speaker,recording")),
        "no column 'file'",
        "are needed",
    ),
    "a row without a speaker": Row(
        lambda at: open_folder(lists(at, "x.wav,,r0\n")), "line 14: one of", "is empty"
    ),
    "a row outside the folder": Row(
        lambda at: open_folder(lists(at, "../x.wav,s0,r0\n")), "'../x.wav'", "outside the corpus"
    ),
    "a row with an absolute path": Row(
        lambda at: open_folder(lists(at, "/etc/x.wav,s0,r0\n")),
        "'/etc/x.wav'",
        "outside the corpus",
    ),
    "a row that comes twice": Row(
        lambda at: open_folder(lists(at, "s0/r0/u.wav,s0,r0\n")),
        "'s0/r0/u.wav' was",
        "listed before",
    ),
    "a row of a missing file": Row(
        lambda at: open_folder(lists(at, "s0/r0/v.wav,s0,r0\n")), "s0/r0/v.wav: does not", "exist"
    ),
    "a recording's name with a slash": Row(
        lambda at: open_folder(lists(at, "s0/r0/v.wav,s0,r/0\n")), "line 14: '/'", "in the name"
    ),
    "a test list without a training list": Row(
        lambda at: open_folder(with_file(tree(at / "r"), "test.csv", "file,speaker,recording\n")),
        "test.csv: there is no",
        "train.csv beside it",
    ),
    "a trial of an unknown file": Row(
        lambda at: open_folder(with_file(tree(at / "r", 8), "trials.txt", TRIAL + "1 a b\n")),
        "line 2: 'a' is not",
        "in the corpus",
    ),
    "a trial list that is not there": Row(
        lambda at: open_folder(tree(at / "r"), trials="O"), "no trial list 'O'", "only made trials"
    ),
    "a subset that LibriSpeech lacks": Row(
        lambda at: download(at, ("train-clear",)), "'train-clear'", "train-clean-100"
    ),
    "a packed corpus that was cut": Row(
        lambda at: read_packed(cut(packed(at) / "audio.int16").parent),
        "have 9600 bytes",
        "truncated",
    ),
    "a packed corpus with keys of another": Row(
        lambda at: write_packed(at / "p", "p", [[np.zeros(9, np.int16)]], ["a/b/c", "a/b/d"]),
        "1 utterances were given for 2",
        "keys",
    ),
    "a packed split opened as a corpus": Row(
        lambda at: open_packed(packed(at)), "packed' is one packed split", "open its parent"
    ),
    "noises that are not there": Row(
        lambda at: folder_bank([at / "musan"], None), "musan' are not an existing", "check the path"
    ),
    "noises of an unknown layout": Row(
        lambda at: folder_bank([at], None), "holds no audio in speech, music", "MUSAN"
    ),
    "a noise that cannot be read": Row(
        lambda at: folder_bank([text(at / "m" / "speech" / "x.wav", "").parents[1]], None),
        "1 noises or rooms are faulty",
        "x.wav: is empty",
    ),
}
TRIAL = "1 s0/r0/u.wav s0/r1/u.wav\n"


def without(file: Path) -> Path:
    file.unlink()
    return file


def crop(at: Path, index: list[int]) -> np.ndarray:
    """Crops of a corpus of one utterance."""
    return read_packed(packed(at)).crops(np.array(index), np.zeros(len(index)), 9)


def packed(at: Path) -> Path:
    write_packed(at / "packed", "p", [[np.ones(9600, np.int16)]], ["a/b/c"])
    return at / "packed"


LABELS = np.array([0, 0, 1]), np.array([0, 1, 2])
KEYS = np.array(["a/1/x", "a/2/x", "b/1/x"])


def trials(content: str) -> Callable[[Path], object]:
    return lambda at: read_trials(text(at / "list.txt", content), KEYS)


TRIALS = {
    "a trial with two fields": Row(trials("1 a/1/x\n"), "line 1: '1 a/1/x'", "it has 2 columns"),
    "a trial with a label of 2": Row(trials("2 a/1/x a/2/x\n"), "'2 a/1/x a/2/x'", "1|0 fileA"),
    "a trial of a stranger": Row(trials("1 a/1/x c/1/x\n"), "'c/1/x'", "is not in the corpus"),
    "a trial of a file and itself": Row(
        trials("1 a/1/x a/1/x\n"), "line 1: 'a/1/x' twice", "a trial is of two files"
    ),
    "a list without trials": Row(trials("\n"), "list.txt holds no trial", "expected lines"),
    "a list of bytes": Row(trials("\0\1\2"), "line 1: holds a zero", "save the list as UTF-8"),
    "no trial list": Row(
        lambda at: read_trials(at / "no.txt", KEYS), "no.txt' is not an existing", "check the path"
    ),
    "a list of targets only": Row(
        lambda at: open_folder(with_file(tree(at / "r", 8), "trials.txt", TRIAL)),
        "trials.txt: all 1 trials have label 1",
        "both are needed",
    ),
    "trials of one speaker": Row(
        lambda _: make_trials(0 * LABELS[0], LABELS[1], 5, 0), "of one speaker", "no non-target"
    ),
    "trials of single recordings": Row(
        lambda _: make_trials(np.array([0, 1]), np.array([0, 1]), 5, 0), "two recordings", "cross"
    ),
}


COMMANDS = {
    "check of an unknown layout": Row(
        lambda at: check(at, layout="kaldi"), "layout is 'kaldi'", "expected one of folder"
    ),
    "pack of nothing": Row(lambda at: pack(at / "none"), "none' is not an", "check the path"),
    "pack over something": Row(
        lambda at: pack(tree(at / "r"), at), "exists and is not a packed corpus", "another --out"
    ),
}

ROWS = AUDIO | CORPORA | TRIALS | COMMANDS
