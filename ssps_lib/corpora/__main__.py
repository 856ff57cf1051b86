"""Prepare a corpus: check what is there, pack it once, look at its trials, score an encoder.

A corpus is a folder of recordings (<speaker>/<recording>/<utterance>, or train.csv with columns
file, speaker, recording), VoxCeleb or LibriSpeech as they unpack, or a packed folder. Errors are
one sentence on the standard error, with exit status 1; `check` exits with 1 where it found faults.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ssps_lib import files
from ssps_lib.corpora import Splits, open_corpus
from ssps_lib.corpora.check import check
from ssps_lib.corpora.folder import VERSION, digest, require_trials
from ssps_lib.corpora.packed import is_packed, read_packed, verify
from ssps_lib.corpora.packer import PLAN, pack
from ssps_lib.corpora.sources import layout_of, read_splits
from ssps_lib.corpora.splits import open_packed, trial_lists

EXAMPLES = """examples:
  python -m ssps_lib.corpora check /data/voxceleb
  python -m ssps_lib.corpora pack /data/voxceleb --noises /data/musan /data/RIRS_NOISES
  python -m ssps_lib.corpora trials voxceleb
  python -m ssps_lib.corpora score voxceleb encoder.safetensors --trials O E H
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(
        "python -m ssps_lib.corpora",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(required=True, metavar="check | pack | trials | score")
    workers: dict[str, Any] = {
        "type": int,
        "metavar": "N",
        "help": "processes (default: as many as cores)",
    }

    one = commands.add_parser(
        "check", help="list everything that is wrong with a corpus",
        description="List counts, differences from the published counts, and all faults of lists "
        "and files at once. Of a packed corpus, compare every file with its checksum.",
    )  # fmt: skip
    one.add_argument("corpus", help="folder of recordings, or packed corpus")
    one.add_argument("--decode", action="store_true", help="decode all audio, not only its headers")
    one.add_argument("--workers", **workers)
    one.set_defaults(run=run_check)

    one = commands.add_parser(
        "pack", help="write a corpus once as int16 shards, to be memory-mapped",
        description="Decode all audio to 16 kHz, mono, int16, in parallel. Faulty files are left "
        "out and listed (skipped.txt). Interrupted, it goes on where it stopped. The result needs "
        "32 kB for each second of audio, and opens without the original files.",
    )  # fmt: skip
    one.add_argument("corpus", help="folder of recordings")
    one.add_argument(
        "--out", type=Path,
        help="folder to write; by default one that open_corpus finds by the name it prints",
    )  # fmt: skip
    one.add_argument("--workers", **workers)
    one.add_argument(
        "--noises", nargs="+", type=Path, default=[], metavar="FOLDER",
        help="MUSAN and RIRS_NOISES, for augmentation (default: generated noises and rooms)",
    )  # fmt: skip
    one.add_argument(
        "--most", type=int, metavar="N",
        help="at most N noises of each kind, of 8 s, and N rooms (default: all; all of MUSAN takes "
        "12.6 GB of the memory of each device that trains)",
    )  # fmt: skip
    one.set_defaults(run=run_pack)

    one = commands.add_parser("trials", help="show the trial lists of a corpus",
        description="Show the test trial lists of a corpus, or write one in VoxCeleb's format.",
    )  # fmt: skip
    one.add_argument("corpus", help="packed corpus, its name, or a folder of recordings")
    one.add_argument("--trials", metavar="LIST", help="only this list")
    one.add_argument("--write", type=Path, metavar="FILE", help="write the (first) list")
    one.set_defaults(run=run_trials)

    one = commands.add_parser("score", help="EER and minDCF of an encoder on trial lists",
        description="Score trial lists of a corpus by the cosine of whole utterances.",
    )  # fmt: skip
    one.add_argument("corpus", help="packed corpus, its name, or a folder of recordings")
    one.add_argument("encoder", type=Path, help="checkpoint: a run's encoder.safetensors")
    one.add_argument("--trials", nargs="+", metavar="LIST", help="O, E, H, ... (default: all)")
    one.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    one.set_defaults(run=run_score)
    return main


def run_check(arguments: argparse.Namespace) -> int:
    """`check`: print the report; 1 where there are faults."""
    folder = _packed_folder(arguments.corpus)
    if folder is not None:
        packed, faults = read_packed(folder), list(verify(folder))
        print(f"{folder}: {len(packed):,} utterances, {packed.hours:,.1f} hours")
        print(*(f"fault: {fault}" for fault in faults), f"{len(faults)} faults", sep="\n")
        return int(bool(faults))
    report = check(Path(arguments.corpus), arguments.decode, arguments.workers)
    print(*report.lines(), sep="\n")
    return int(bool(report.faults))


def run_pack(arguments: argparse.Namespace) -> int:
    """`pack`: write the packed folder, or what an earlier call left to do of it."""
    root = Path(arguments.corpus)
    layout = layout_of(root)
    name = root.resolve().name if layout == "folder" else layout
    out = arguments.out or files.home() / "corpora" / name
    if out.exists() and not is_packed(out):
        raise ValueError(f"'{out}' exists and is not a packed corpus: choose another --out")
    table = read_splits(root)
    require_trials(table)
    plan = digest(table, [VERSION])
    if out.exists():
        _require_plan(out, plan)
    else:
        print(*(f"difference: {note}" for note in table.notes), sep="\n", file=sys.stderr)
        pack(table, out, out.name, plan, skip_faulty=True, workers=arguments.workers)
    if arguments.noises:
        _pack_bank(arguments, out)
    packed = read_packed(out)
    print(f"{out}: {len(packed):,} utterances, {packed.hours:,.1f} hours")
    where = out.name if arguments.out is None else out
    print(f"open it with open_corpus('{where}'), or -p corpus {where} of a chapter")
    return 0


def _require_plan(out: Path, plan: str) -> None:
    """ValueError where `out` was packed from files that have changed since, or from others."""
    note = out / PLAN
    if note.is_file() and note.read_text() != plan:
        raise ValueError(
            f"'{out}' was packed from other files, or some have changed since: delete it to pack "
            "again, or choose another --out"
        )


def _pack_bank(arguments: argparse.Namespace, out: Path) -> None:
    from ssps_lib.augmentation import write_bank
    from ssps_lib.noises import folder_bank

    bank = folder_bank(arguments.noises, open_packed(out).train, most=arguments.most)
    write_bank(bank, out / "bank.safetensors")
    kinds = ", ".join(f"{end - begin:,} of {kind}" for kind, (begin, end) in bank.kinds.items())
    print(f"noises of 8 s: {kinds}; {len(bank.responses):,} rooms")


def run_trials(arguments: argparse.Namespace) -> int:
    """`trials`: what each list asks."""
    for name in [arguments.trials] if arguments.trials else _lists(arguments.corpus):
        splits = _open(arguments.corpus, name)
        test, trials = splits.test, splits.test_trials
        target = trials.labels == 1
        across = test.recordings[trials.first] != test.recordings[trials.second]
        named = np.unique([trials.first, trials.second])
        print(
            f"{name or 'made'}: {len(trials):,} trials, {target.sum():,} of one speaker "
            f"({(target & across).sum():,} across recordings), {len(named):,} utterances of "
            f"{len(np.unique(test.speakers[named])):,} speakers"
        )
        if arguments.write:
            trials.write(arguments.write, test.keys)
            break
    return 0


def run_score(arguments: argparse.Namespace) -> int:
    """`score`: EER and minDCF on each list; lists of the same utterances share their embeddings."""
    import torch

    from ssps_lib import scorer
    from ssps_lib.encoders import load_encoder

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    encoder = load_encoder(arguments.encoder).to(device).eval()
    embedded = {}  # by the first utterance and their number
    for name in arguments.trials or _lists(arguments.corpus):
        splits = _open(arguments.corpus, name)
        test, trials = splits.test, splits.test_trials
        which = (str(test.keys[0]), len(test))
        if which not in embedded:
            embedded = {which: scorer.embed(encoder, test, device)}
        rates = scorer.error_rates(scorer.score(embedded[which], trials), trials.labels)
        print(
            f"{name or 'made'}: EER {rates['eer']:.2f} %, minDCF {rates['min_dcf']:.4f} "
            f"({len(trials):,} trials, whole utterances, cosine)"
        )
    return 0


def _packed_folder(corpus: str) -> Path | None:
    folders = (Path(corpus), files.home() / "corpora" / corpus)
    return next((folder for folder in folders if is_packed(folder)), None)


def _lists(corpus: str) -> list[str | None]:
    """Names of a corpus's trial lists, [None] where trials are made."""
    folder = _packed_folder(corpus)
    names = trial_lists(folder) if folder else list(read_splits(Path(corpus)).lists)
    return names or [None]


def _open(corpus: str, trials: str | None) -> Splits:
    return open_corpus(corpus, trials=trials)


def main(words: list[str] | None = None) -> int:
    """Run one command, by default that of the command line; returns the exit status."""
    arguments = parser().parse_args(words)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]
            return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _show(message: Warning, *_, **__) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
