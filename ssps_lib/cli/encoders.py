"""`ssps embed`, `verify`, `score` and `export`: parsed arguments in, the exit status out."""

import argparse
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssps_lib import corpora, load_encoder, pretrained, scorer
from ssps_lib.cli.corpora import opened
from ssps_lib.cli.output import output
from ssps_lib.corpora import Corpus, Trials
from ssps_lib.corpora.faults import counted
from ssps_lib.encoders import Encoder, save_encoder


def embed(arguments: argparse.Namespace) -> int:
    """Representations as an .npz file, or as lines."""
    files = audio_files(arguments.files)
    with output(arguments.out, ".npz") as partial:
        encoder, device = _encoder(arguments)
        y = embed_files(encoder, files, device).numpy()
        if partial:
            np.savez(partial, keys=np.array(list(map(str, files))), embeddings=y)
            print(f"{arguments.out}: {counted(len(y), 'utterance')} of {y.shape[1]} dimensions")
            return 0
    for file, row in zip(files, y, strict=True):
        print(file, *(f"{value:.6g}" for value in row), sep="\t")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """The cosine, and what it is compared with; 1 below."""
    threshold, origin = arguments.threshold, "given"
    if threshold is not None and not -1 <= threshold <= 1:
        raise ValueError(f"--threshold is {threshold}, expected a cosine between -1 and 1")
    encoder, device = _encoder(arguments)
    y = embed_files(encoder, [arguments.first, arguments.second], device)
    cosine = float(scorer.score(y, Trials(*np.array([[1], [0], [1]])))[0])
    print(f"cosine {cosine:.4f}")
    if arguments.encoder is None:
        known = pretrained.calibration()
        miss, false_alarm = known.rates(cosine)
        print(
            f"of {known.trials:,} trials of {known.test_speakers} real speakers in simulated "
            f"sessions, {100 * miss:.1f} % of those of one speaker scored lower and "
            f"{100 * false_alarm:.1f} % of those of two speakers as high"
        )
        if threshold is None:
            threshold = known.threshold
            origin = f"equal error {known.eer:.1f} % in SIMULATED sessions"
    if threshold is None:
        print("no threshold is known for this encoder: give one with --threshold")
        return 0
    accepted = cosine >= threshold
    print(f"{'accepted' if accepted else 'rejected'}: threshold {threshold:g} ({origin})")
    return int(not accepted)


def score(arguments: argparse.Namespace) -> int:
    """EER and minDCF of each list, and the score of each trial if asked."""
    asked = _files if Path(arguments.of).is_file() else _corpus
    with output(arguments.out) as partial:
        for name, trials, keys, y in asked(arguments, *_encoder(arguments)):
            scores = scorer.score(y, trials)
            print(f"{name}{_rates(scores, trials)}")
            if partial:
                pairs = zip(scores, trials.first, trials.second, strict=True)
                lines = (f"{value:.6f} {keys[a]} {keys[b]}\n" for value, a, b in pairs)
                partial.write_text("".join(lines), encoding="utf-8")
    return 0


Asked = tuple[str, Trials, Sequence[str], Tensor]  # list, its trials, names and representations


def _files(arguments, encoder: Encoder, device: str) -> Iterator[Asked]:
    """The trials of a list of files."""
    path = Path(arguments.of)
    if arguments.trials:
        raise ValueError(f"--trials chooses lists of a corpus, but '{path}' is one list")
    trials = corpora.read_trials(path)
    root = arguments.root or path.parent
    yield "", trials, trials.keys, embed_files(encoder, [root / key for key in trials.keys], device)


def _corpus(arguments, encoder: Encoder, device: str) -> Iterator[Asked]:
    """The lists of a corpus; those of the same utterances share their representations."""
    if arguments.root:
        raise ValueError(f"--root is for a list of files, but '{arguments.of}' is a corpus")
    lists = arguments.trials or corpora.trial_lists(arguments.of, arguments.layout)
    if arguments.out and len(lists) > 1:
        raise ValueError(f"--out takes one of the lists {', '.join(lists)}: choose with --trials")
    before = None  # the first utterance and their number
    for name, splits in opened(arguments.of, arguments.layout, lists):
        test = splits.test
        if before != (str(test.keys[0]), len(test)):
            y, before = scorer.embed(encoder, test, device), (str(test.keys[0]), len(test))
        yield f"{name}: ", splits.test_trials, test.keys, y


def _rates(scores: np.ndarray, trials: Trials) -> str:
    """A line on the scores of a list."""
    named = len({*trials.first, *trials.second})
    counts = f"{counted(len(trials), 'trial')} of {counted(named, 'utterance')}"
    if len(set(trials.labels)) < 2:
        return f"{counts}, all of one class: EER needs both"
    rates = scorer.error_rates(scores, trials.labels)
    if rates["eer"] > 50:
        warnings.warn("EER above 50 %: are the labels reversed? 1 is one speaker", stacklevel=2)
    return f"EER {rates['eer']:.2f} %, minDCF {rates['min_dcf']:.4f} ({counts}, cosine)"


def export(arguments: argparse.Namespace) -> int:
    """The encoder as another kind of file, or as a folder of huggingface_hub."""
    from ssps_lib.export import to_onnx, to_program

    out, encoder = arguments.out, load_encoder(arguments.encoder)
    if out.is_dir() or not out.suffix:
        encoder.save_pretrained(out)
    else:
        with output(out, ".onnx", ".pt2", ".safetensors") as partial:
            if out.suffix == ".onnx":
                to_onnx(encoder, partial)
            elif out.suffix == ".pt2":
                torch.export.save(to_program(encoder), partial)
            else:
                save_encoder(encoder, partial)
    print(f"{out}: {encoder.name} of {encoder.dim} dimensions")
    return 0


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


def audio_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and all audio files below the folders named, each once.

    Warns of what was passed over: files of other kinds, and names that no list can hold.

    Raises:
        ValueError: a folder without audio.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        inside = corpora.walk(place)
        if not inside.files:
            raise ValueError(f"'{place}' holds no audio file ({str(inside) or 'it is empty'})")
        for passed in filter(None, [*inside.faults, str(inside)]):
            warnings.warn(f"'{place}': {passed}", stacklevel=2)
        found += [place / file for file in inside.files]
    return list(dict.fromkeys(found))


def embed_files(encoder: Encoder, files: Sequence[Path], device: str = "cpu") -> Tensor:
    """Representations of whole files, (N, D) float32 on the CPU, in the order of the files.

    One file is held at a time. Once one is faulty, the others are only checked.

    Raises:
        ValueError: all files that cannot be read or are no speech, each with the reason; an encoder
            that has diverged.
    """
    faults, rows = [], []
    for file in files:
        try:
            samples = corpora.to_int16(corpora.read_audio(file))
        except ValueError as error:
            faults.append(f"'{file}' {error}")
            continue
        if not faults:
            none = np.zeros(1, np.int64)  # of speaker and recording nothing is known
            ends, key = np.array([0, len(samples)]), np.array([str(file)])
            one = Corpus(f"'{file}'", samples, ends, none, none, key)
            rows.append(scorer.embed(encoder, one, device).cpu())
    if faults:
        many = len(faults) > 1
        raise ValueError(f"{len(faults)} files:\n{corpora.listed(faults)}" if many else faults[0])
    y = torch.cat(rows)
    if not y.isfinite().all():
        raise ValueError("the encoder gives numbers that are not finite: did its training diverge?")
    return y
