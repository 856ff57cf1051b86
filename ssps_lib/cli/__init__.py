"""The command `ssps`: prepare a corpus, and use an encoder on files, trials and corpora.

A corpus is a folder of recordings (<speaker>/<recording>/<utterance>, or train.csv with columns
file, speaker, recording), VoxCeleb or LibriSpeech as they unpack, or a packed folder. Without
--encoder, the small encoder that comes with the library is used. It has heard SIMULATED VOICES
ONLY, in training and in testing: it shows how the commands work and verifies nobody.
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
CORPUS: dict[str, Any] = {"help": "folder of recordings, packed corpus, or its name"}
LAYOUT: dict[str, Any] = {
    "help": "folder, voxceleb or librispeech, where the names in the folder mislead"
}
LISTS: dict[str, Any] = {
    "nargs": "+", "metavar": "LIST", "help": "lists of the corpus: O, E, H, ... (default: all)",
}  # fmt: skip
NOISES: dict[str, Any] = {
    "nargs": "+", "type": Path, "metavar": "FOLDER",
    "help": "MUSAN and RIRS_NOISES, for augmentation (default: generated noises and rooms)",
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(
        "ssps",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(required=True, metavar="COMMAND")
    _add_corpora(commands)
    _add_encoders(commands)
    return main


def _command(commands: Any, name: str, module: str, text: str, more: str = "", **options) -> Any:
    """A command that is the function of its name in a module of this package."""
    one = commands.add_parser(name, help=text, description=f"{text}. {more}", **options)
    one.set_defaults(run=(f"ssps_lib.cli.{module}", name))
    return one.add_argument


def _add_corpora(commands: Any) -> None:
    add = _command(
        commands, "check", "corpora", "List everything that is wrong with a corpus",
        "Counts, differences from the published counts, and all faults of lists and files at once. "
        "Of a packed corpus, every file is compared with its checksum.",
    )  # fmt: skip
    add("corpus", **CORPUS)
    add("--layout", **LAYOUT)
    add("--noises", **NOISES)
    add("--decode", action="store_true", help="decode all audio, not only its headers")
    add = _command(
        commands, "pack", "corpora", "Write a corpus once, to be memory-mapped",
        "All audio is decoded to 16 kHz, mono, int16, in parallel. Faulty files are left out and "
        "listed (skipped.txt). Interrupted, it goes on where it stopped. The result needs 32 kB "
        "for each second of audio, and opens without the original files.",
    )  # fmt: skip
    add("corpus", help="folder of recordings")
    add("--layout", **LAYOUT)
    add("--noises", **NOISES)
    add(
        "--most", type=int, metavar="N",
        help="at most N noises of each kind, of 8 s, and N rooms (default: all; all of MUSAN takes "
        "12.6 GB of the memory of each device that trains)",
    )  # fmt: skip
    add("--workers", type=int, metavar="N", help="decoders at a time (default: one for each core)")
    add("--out", type=Path, help="folder to write (default: one that is found by its name)")
    add = _command(commands, "trials", "corpora", "Show the trial lists of a corpus, or write one")
    add("corpus", **CORPUS)
    add("--layout", **LAYOUT)
    add("--trials", **LISTS)
    add("--out", type=Path, metavar="FILE", help="write the (first) list in VoxCeleb's format")


def _add_encoders(commands: Any) -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--encoder", type=Path, metavar="PATH",
        help="checkpoint of a run (encoder.safetensors), released .pt file, or folder of "
        "save_pretrained (default: the shipped encoder, simulated voices only)",
    )  # fmt: skip
    common.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    add = _command(
        commands, "embed", "encoders", "One representation for each file",
        "Whole utterances, any sampling rate and usual format. Without --out: a line for each "
        "file, its path and the numbers, separated by tabs.", parents=[common],
    )  # fmt: skip
    add("files", nargs="+", type=Path, metavar="FILES", help="audio files or folders")
    add("--out", type=Path, metavar="FILE", help=".npz file: keys (N,), embeddings (N, D) float32")
    add = _command(
        commands, "verify", "encoders", "The cosine of two files",
        "The shipped encoder is told the threshold of equal error of its SIMULATED test trials, "
        "and the error rates that were measured there; of another encoder no threshold is known "
        "unless --threshold gives one. Exit status 1 below the threshold.", parents=[common],
    )  # fmt: skip
    add("first", type=Path, metavar="A", help="audio file")
    add("second", type=Path, metavar="B", help="audio file")
    add("--threshold", type=float, help="cosine from which on A and B are accepted")
    add = _command(
        commands, "score", "encoders", "EER and minDCF of an encoder on trials",
        "By the cosine of whole utterances; EER in percent, minDCF at P_target 0.01.",
        parents=[common],
    )  # fmt: skip
    add("of", metavar="TRIALS", help="file of lines '1|0 fileA fileB', or a corpus with its lists")
    add("--root", type=Path, metavar="FOLDER", help="of the files named (default: the list's)")
    add("--trials", **LISTS)
    add("--layout", **LAYOUT)
    add("--out", type=Path, metavar="FILE", help="write 'score fileA fileB' lines")
    add = _command(
        commands, "export", "encoders", "Write an encoder for other programs",
        "By its ending: .onnx, .pt2 (torch.export), .safetensors; a folder for from_pretrained.",
    )  # fmt: skip
    add("encoder", type=Path, metavar="PATH", help="checkpoint, as --encoder of the others")
    add("out", type=Path, metavar="OUT", help="file or folder to write")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the command line; returns the exit status."""
    arguments = parser().parse_args(words)
    module, name = arguments.run
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]
            return getattr(importlib.import_module(module), name)(arguments)  # torch: seconds
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
    except ModuleNotFoundError as error:
        print(f"error: {error}; is the package {error.name} installed?", file=sys.stderr)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 2


def _show(message: Warning | str, *_, **__) -> None:
    print(f"warning: {message}", file=sys.stderr)
