"""The command `ssps`: embed audio files, compare two of them, score a list of trials.

Without --encoder, the small encoder that comes with the library is used. It has heard SIMULATED
VOICES ONLY, in training and in testing: it shows how the commands work and verifies nobody.
Errors are one sentence on the standard error, with exit status 2.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """examples:
  ssps embed recordings/ --out embeddings.npz
  ssps verify enrolment.wav test.wav
  ssps verify enrolment.wav test.wav --encoder run/encoder.safetensors --threshold 0.42
  ssps score trials.txt --root wav/ --out scores.txt
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(
        "ssps",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(required=True, metavar="embed | verify | score")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--encoder", type=Path, metavar="PATH",
        help="checkpoint of a run (encoder.safetensors), released .pt file, or folder of "
        "save_pretrained (default: the shipped encoder, simulated voices only)",
    )  # fmt: skip
    common.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")

    one = commands.add_parser(
        "embed", help="one representation for each file", parents=[common],
        description="Write the representation of each file, whole utterances, any sampling rate "
        "(wav, flac, ogg, mp3, m4a). Without --out: a line for each file, its path and the "
        "numbers, separated by tabs.",
    )  # fmt: skip
    one.add_argument("files", nargs="+", type=Path, metavar="FILES", help="audio files or folders")
    one.add_argument(
        "--out", type=Path, metavar="FILE",
        help=".npz file to write: keys (N,) and embeddings (N, D) float32",
    )  # fmt: skip
    one.set_defaults(run="embed")

    one = commands.add_parser(
        "verify", help="the cosine of two files", parents=[common],
        description="Print the cosine of two utterances. With the shipped encoder, compare it with "
        "the threshold of equal error of its SIMULATED test trials, and tell the error rates that "
        "were measured there; for another encoder no threshold is known unless --threshold gives "
        "one. Exit status: 0 at or above the threshold or without one, 1 below, 2 for an error.",
    )  # fmt: skip
    one.add_argument("first", type=Path, metavar="A", help="audio file")
    one.add_argument("second", type=Path, metavar="B", help="audio file")
    one.add_argument("--threshold", type=float, help="cosine from which on A and B are accepted")
    one.set_defaults(run="verify")

    one = commands.add_parser(
        "score", help="EER and minDCF of a list of trials", parents=[common],
        description="Score trials in VoxCeleb's format, lines '1|0 fileA fileB' with 1 for the "
        "same speaker, by the cosine of whole utterances; print EER (percent) and minDCF "
        "(P_target 0.01).",
    )  # fmt: skip
    one.add_argument("trials", type=Path, metavar="TRIALS", help="text file, a trial a line")
    one.add_argument(
        "--root", type=Path, metavar="FOLDER",
        help="where the files of the list lie (default: the folder of the list)",
    )  # fmt: skip
    one.add_argument("--out", type=Path, metavar="FILE", help="write 'score fileA fileB' lines")
    one.set_defaults(run="score")
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parsed = parser().parse_args(arguments)
    from ssps_lib.cli import commands  # after the parser, so that --help does not wait for torch

    try:
        return getattr(commands, parsed.run)(parsed)
    except ModuleNotFoundError as error:
        print(f"error: {error}; is the package {error.name} installed?", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has seen enough
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 2
