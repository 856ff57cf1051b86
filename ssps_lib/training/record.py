"""Run records: the small, committed memory of a finished run.

A record holds the config, the curves, the final scores, versions, duration and machine class as
JSON, and beside it the few arrays that figures need. Chapters read records where the run itself is
absent.
"""

import json
import math
import platform
import subprocess
import zipfile
import zlib
from pathlib import Path

import accelerate
import numpy as np
import torch
import torchaudio

import ssps_lib
from ssps_lib import analysis, files, scorer
from ssps_lib.corpora import Corpus, Splits

FORMAT = 1
BINS = np.linspace(-1, 1, 101)  # of cosine histograms
EMBEDDED = 20_000  # training utterances, at most, among which pairs are drawn
MAPPED = 2_000  # utterances, at most, of a map


def machine(device: torch.device, processes: int) -> str:
    """The class of machine in words, without its name."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads() * processes} threads, {platform.machine()}"


def commit(folder: Path) -> str:
    """The commit that last changed the files of a folder, with "changed" where they differ from it.

    Empty where git does not keep them, as after an installation.
    """
    git = ["git", "--no-optional-locks", "-C", str(folder)]
    try:
        last, changes = (
            subprocess.run([*git, *asked, "."], capture_output=True, text=True).stdout
            for asked in (("log", "-1", "--format=%h"), ("status", "--porcelain"))
        )
    except OSError:  # there is no git
        return ""
    return last.strip() + (".changed" if last and changes else "")


COMMIT = commit(Path(ssps_lib.__file__).parent)  # now, and not when a long run has ended


def versions() -> dict[str, str]:
    """Versions that a number may depend on; that of the library with its commit, if known."""
    return {
        "ssps_lib": ssps_lib.__version__ + (f"+{COMMIT}" if COMMIT else ""),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "torchaudio": torchaudio.__version__.split("+")[0],
        "accelerate": accelerate.__version__,
        "numpy": np.__version__,
    }


def histogram(values: np.ndarray) -> np.ndarray:
    """Share of cosines in each of the 100 bins between -1 and 1."""
    counts = np.histogram(np.clip(values, -1, 1), BINS)[0]
    return (counts / max(counts.sum(), 1)).astype(np.float32)


def evaluate(encoder: torch.nn.Module, splits: Splits, device: torch.device) -> tuple[dict, dict]:
    """Score the test speakers once; returns (scores, arrays) of a finished encoder."""
    corpus, trials = splits.test, splits.test_trials
    embeddings = scorer.embed(encoder, corpus, device)
    cosines = np.asarray(scorer.score(embeddings, trials))
    first, second = corpus.speakers[trials.first], corpus.speakers[trials.second]
    low, high = scorer.bootstrap_eer(cosines, trials.labels, first, second, seed=0)
    scores = {
        "eer": float(scorer.eer(cosines, trials.labels)),
        "eer_low": float(low),
        "eer_high": float(high),
        "min_dcf": float(scorer.min_dcf(cosines, trials.labels)),
        "trials": len(trials),
        "test_speakers": len(np.unique(corpus.speakers)),
        "protocol": "full-length utterances, cosine, targets across recordings",
    }
    fpr, fnr, _ = scorer.det_curve(cosines, trials.labels)
    thin = np.unique(np.linspace(0, len(fpr) - 1, 200).astype(int))
    train = splits.train.part(0, min(len(splits.train), EMBEDDED), splits.train.name)
    arrays = {
        "det_fpr": np.asarray(fpr)[thin].astype(np.float32),
        "det_fnr": np.asarray(fnr)[thin].astype(np.float32),
        "target_scores": histogram(cosines[trials.labels == 1]),
        "nontarget_scores": histogram(cosines[trials.labels == 0]),
        **similarities("test", embeddings, corpus),
        **similarities("train", scorer.embed(encoder, train, device), train),
        **embedded(embeddings, corpus),
    }
    return scores, arrays


def similarities(split: str, embeddings: torch.Tensor, corpus: Corpus) -> dict[str, np.ndarray]:
    """Histograms of cosines of a speaker's recordings and of different speakers (Figure 5), as far
    as there are such pairs."""
    speakers, recordings = corpus.speakers, corpus.recordings
    found = {}
    if len(np.unique(recordings)) > len(np.unique(speakers)):
        same = analysis.intra_speaker_similarity(embeddings, speakers, recordings)
        found[f"{split}_same_speaker"] = histogram(same)
    if len(np.unique(speakers)) > 1:
        different = analysis.inter_speaker_similarity(embeddings, speakers)
        found[f"{split}_different_speaker"] = histogram(different)
    return found


def embedded(embeddings: torch.Tensor, corpus: Corpus) -> dict[str, np.ndarray]:
    """A 2-D map of the utterances of ten test speakers (Figure 6)."""
    keep = np.flatnonzero(corpus.speakers < 10)
    keep = keep[:: -(-len(keep) // MAPPED)]
    points = analysis.tsne(np.asarray(embeddings.cpu())[keep], seed=0)
    return {
        "tsne": points.astype(np.float16),
        "tsne_speaker": corpus.speakers[keep].astype(np.int16),
        "tsne_recording": corpus.recordings[keep].astype(np.int16),
    }


def write(target: Path, record: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write `<target>.json` and `<target>.npz`, each whole or not at all."""
    with files.whole(target.with_name(target.name + ".npz")) as partial:
        np.savez_compressed(partial, **arrays)
    with files.whole(target.with_name(target.name + ".json")) as partial:
        partial.write_text(json.dumps(rounded(record), indent=1, allow_nan=False) + "\n")


def rounded(value):
    """Floats with six significant digits: enough for any figure, and stable in a diff.

    What is not finite becomes None: JSON has null, and no NaN.
    """
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def read(target: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Read what `write` wrote.

    Raises:
        FileNotFoundError: it has no JSON or no arrays.
        ValueError: the record is damaged or has another format.
    """
    try:
        record = json.loads(target.with_name(target.name + ".json").read_text())
        with np.load(target.with_name(target.name + ".npz"), allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"the record {target} is damaged ({error}): delete it and train the run again"
        ) from error
    if record["format"] != FORMAT:
        raise ValueError(
            f"the record {target} has format {record['format']}, this library reads {FORMAT}: "
            "delete it and train the run again"
        )
    return record, arrays
