"""What the three commands do; each takes the parsed arguments and returns the exit status."""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from ssps_lib import load_encoder, pretrained, scorer
from ssps_lib.cli.files import audio_files, embed_files
from ssps_lib.corpora import Trials
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.trials import parse_trials
from ssps_lib.encoders import Encoder


def embed(arguments: argparse.Namespace) -> int:
    """`ssps embed`: representations as an .npz file, or as lines."""
    if arguments.out is not None and arguments.out.suffix != ".npz":
        raise ValueError(f"--out is '{arguments.out}', expected a file that ends in .npz")
    files = audio_files(arguments.files)
    encoder, device = _encoder(arguments)
    y = embed_files(encoder, files, device).numpy()
    keys = [str(file) for file in files]
    if arguments.out is not None:
        np.savez(arguments.out, keys=np.array(keys), embeddings=y)
        print(f"{arguments.out}: {len(y)} utterances of {y.shape[1]} dimensions")
        return 0
    for key, row in zip(keys, y, strict=True):
        print(key, *(f"{value:.6g}" for value in row), sep="\t")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """`ssps verify`: the cosine, and what it is compared with."""
    given = arguments.threshold
    if given is not None and not -1 <= given <= 1:
        raise ValueError(f"--threshold is {given}, expected a cosine between -1 and 1")
    encoder, device = _encoder(arguments)
    y = embed_files(encoder, [arguments.first, arguments.second], device)
    one = Trials(*np.array([[1], [0], [1]]))
    cosine = float(scorer.score(y, one)[0])
    print(f"cosine {cosine:.4f}")
    threshold, origin = given, "given"
    if arguments.encoder is None:
        threshold, origin = _tell_calibration(cosine, given)
    if threshold is None:
        print("no threshold is known for this encoder: give one with --threshold")
        return 0
    accepted = cosine >= threshold
    print(f"{'accepted' if accepted else 'rejected'}: threshold {threshold:g} ({origin})")
    return int(not accepted)


def _tell_calibration(cosine: float, given: float | None) -> tuple[float, str]:
    """Print what the shipped encoder's scores meant; returns the threshold and its origin."""
    known = pretrained.calibration()
    miss, false_alarm = known.rates(cosine)
    print(
        f"of {known.trials:,} trials of {known.test_speakers} simulated speakers, "
        f"{100 * miss:.1f} % of those of one speaker scored lower and {100 * false_alarm:.1f} % of "
        "those of two speakers as high"
    )
    if given is not None:
        return given, "given"
    return known.threshold, f"equal error {known.eer:.1f} % on SIMULATED voices"


def score(arguments: argparse.Namespace) -> int:
    """`ssps score`: EER and minDCF, and the score of each trial if asked."""
    names = _named(arguments.trials)
    rows, faults = parse_trials(arguments.trials, names)
    if faults:
        raise ValueError(f"'{arguments.trials}' has {len(faults)} faults:\n{listed(faults)}")
    trials = Trials(*rows.T)
    root = arguments.root or arguments.trials.parent
    encoder, device = _encoder(arguments)
    y = embed_files(encoder, [root / name for name in names], device)
    scores = scorer.score(y, trials)
    if arguments.out is not None:
        pairs = zip(scores, trials.first, trials.second, strict=True)
        lines = (f"{value:.6f} {names[a]} {names[b]}\n" for value, a, b in pairs)
        arguments.out.write_text("".join(lines))
    if len(np.unique(trials.labels)) < 2:
        print(f"{len(trials):,} trials, all of one class: EER needs both")
        return 0
    rates = scorer.error_rates(scores, trials.labels)
    print(
        f"EER {rates['eer']:.2f} %, minDCF {rates['min_dcf']:.4f} ({len(trials):,} trials of "
        f"{len(names):,} utterances, cosine)"
    )
    return 0


def _named(path: Path) -> list[str]:
    """The files that a trial list names, in order of appearance."""
    if not path.is_file():
        raise ValueError(f"'{path}' is not a file, expected a list of trials '1|0 fileA fileB'")
    lines = (line.split() for line in path.read_text(errors="replace").splitlines())
    return list(dict.fromkeys(name for parts in lines if len(parts) == 3 for name in parts[1:]))


def _encoder(arguments: argparse.Namespace) -> tuple[Encoder, str]:
    """The encoder asked for, on its device; the shipped one with a word of warning."""
    gpu = torch.cuda.is_available()
    device = arguments.device or ("cuda" if gpu else "cpu")
    if device != "cpu" and not (gpu and device.startswith("cuda")):
        raise ValueError(f"--device is '{device}', expected cpu, or cuda where there is a GPU")
    if arguments.encoder is None:
        print(f"note: the shipped encoder is used; {pretrained.NOTE}", file=sys.stderr)
        return pretrained.encoder().to(device), device
    return load_encoder(arguments.encoder).to(device), device
