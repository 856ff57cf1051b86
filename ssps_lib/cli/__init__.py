"""The command `ssps`: prepare a corpus, and use an encoder on files, trials and corpora.

A corpus is a folder of recordings (<speaker>/<recording>/<utterance>, or train.csv with columns
file, speaker, recording), VoxCeleb or LibriSpeech as they unpack, or a packed folder. Without
--encoder, the small encoder that comes with the library is used. It was trained and tested on real
voices in SIMULATED sessions: it shows how the commands work and verifies nobody.
Exit status: 0; 1 where faults are found or a trial is rejected; 2 for an error, which is one
sentence on the standard error.
"""

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  ssps check /data/voxceleb --noises /data/musan /data/RIRS_NOISES
  ssps pack /data/voxceleb --noises /data/musan /data/RIRS_NOISES
  ssps trials voxceleb
  ssps score voxceleb --encoder run/encoder.safetensors --trials O E H
  ssps score trials.txt --root wav/ --out scores.txt
  ssps embed recordings/ --out embeddings.npz
  ssps verify enrolment.wav test.wav --encoder run/encoder.safetensors --threshold 0.42
  ssps export model_latest.pt encoder.onnx
"""


def _option(name: str, text: str, kind: type = str, **more: Any) -> tuple[str, dict[str, Any]]:
    return name, {"help": text, "type": kind, **more}


CORPUS = _option("corpus", "folder of recordings, packed corpus, or its name")
LAYOUT = _option("--layout", "folder, voxceleb or librispeech, where the names in it mislead")
LISTS = _option("--trials", "lists of the corpus: O, E, H, ... (default: all)", nargs="+")
NOISES = _option(
    "--noises", "MUSAN and RIRS_NOISES, for augmentation (default: generated noises and rooms)",
    Path, nargs="+", metavar="FOLDER",
)  # fmt: skip
ENCODER = _option(
    "--encoder", "checkpoint of a run (encoder.safetensors), released .pt file, or folder of "
    "save_pretrained (default: the shipped encoder)", Path,
)  # fmt: skip
DEVICE = _option("--device", "cpu or cuda (default: cuda where there is one)")

# Function -> its module, what it does, more about it, and its arguments.
COMMANDS: dict[str, tuple] = {
    "check": (
        "corpora", "List everything that is wrong with a corpus",
        "Counts, differences from the published counts, and all faults of lists and files at once. "
        "Of a packed corpus, every file is compared with its checksum.",
        CORPUS, LAYOUT, NOISES,
        ("--decode", {"help": "decode all audio, not only its headers", "action": "store_true"}),
    ),
    "pack": (
        "corpora", "Write a corpus once, to be memory-mapped",
        "All audio is decoded to 16 kHz, mono, int16, in parallel. Faulty files are left out and "
        "listed (skipped.txt). Interrupted, it goes on where it stopped. The result needs 32 kB "
        "for each second of audio, and opens without the original files.",
        _option("corpus", "folder of recordings"), LAYOUT, NOISES,
        _option("--most", "at most N noises of each kind, of 8 s, and N rooms (default: all; all "
                "of MUSAN takes 12.6 GB of the memory of each device that trains)", int),
        _option("--workers", "decoders at a time (default: one for each core)", int),
        _option("--out", "folder to write (default: one that is found by its name)", Path),
    ),
    "trials": (
        "corpora", "Show the trial lists of a corpus, or write one", "",
        CORPUS, LAYOUT, LISTS,
        _option("--out", "write the (first) list in VoxCeleb's format", Path),
    ),
    "embed": (
        "encoders", "One representation for each file",
        "Whole utterances, any sampling rate and usual format. Without --out: a line for each "
        "file, its path and the numbers, separated by tabs.",
        _option("files", "audio files or folders", Path, nargs="+"),
        _option("--out", ".npz file: keys (N,), embeddings (N, D) float32", Path),
        ENCODER, DEVICE,
    ),
    "verify": (
        "encoders", "The cosine of two files",
        "The shipped encoder is told the threshold of equal error of its test trials in SIMULATED "
        "sessions, and the error rates that were measured there; of another encoder no threshold "
        "is known unless --threshold gives one. Exit status 1 below the threshold.",
        _option("first", "audio file", Path),
        _option("second", "audio file", Path),
        _option("--threshold", "cosine from which on A and B are accepted", float),
        ENCODER, DEVICE,
    ),
    "score": (
        "encoders", "EER and minDCF of an encoder on trials",
        "By the cosine of whole utterances; EER in percent, minDCF at P_target 0.01.",
        _option("of", "file of lines '1|0 fileA fileB', or a corpus with its lists",
                metavar="TRIALS"),
        _option("--root", "of the files named (default: the list's)", Path),
        LISTS, LAYOUT, _option("--out", "write 'score fileA fileB' lines", Path),
        ENCODER, DEVICE,
    ),
    "export": (
        "encoders", "Write an encoder for other programs",
        "By its ending: .onnx, .pt2 (torch.export), .safetensors; a folder for from_pretrained.",
        _option("encoder", "checkpoint, as --encoder of the others", Path),
        _option("out", "file or folder to write", Path),
    ),
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    main = argparse.ArgumentParser(
        "ssps", description=__doc__, epilog=EXAMPLES, formatter_class=raw
    )
    commands = main.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, (_, text, more, *options) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text}. {more}")
        for option, how in options:
            command.add_argument(option, **how)
    return main


def main(words: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the command line; returns the exit status."""
    arguments = parser().parse_args(words)
    module = f"ssps_lib.cli.{COMMANDS[arguments.command][0]}"  # imported late: torch takes seconds
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]
            return getattr(importlib.import_module(module), arguments.command)(arguments)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
    except ModuleNotFoundError as error:
        print(f"error: {error}; is the package {error.name} installed?", file=sys.stderr)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 2


def _show(message: Warning | str, *_, **__) -> None:
    print(f"warning: {message}", file=sys.stderr)
