"""Bad tensors: losses, scorer, analysis, samplers, queues, k-means, encoders, frameworks."""

import numpy as np
import torch
from bad_rows import Row
from torch import nn

from ssps_book.latent import LatentCorpus
from ssps_lib import analysis, encoders, frameworks, losses, scorer
from ssps_lib.augmentation import Augmentation
from ssps_lib.corpora import Corpus, Trials
from ssps_lib.features import LogMel
from ssps_lib.frameworks.momentum import enqueue
from ssps_lib.positives import Clustering, NearestNeighbors, Queue, Supervised, build
from ssps_lib.positives.kmeans import kmeans

NAN = float("nan")
Z = torch.eye(3)
MORE, WIDER = torch.eye(4)[:, :3], torch.ones(3, 4)
LABELS = torch.tensor([0, 1, 2])


def row(call, value: str, expected: str, error: type[Exception] = ValueError) -> Row:
    """A row that needs no folder."""
    return Row(lambda _: call(), value, expected, error)


LOSSES = {
    "NT-Xent of other sizes": row(
        lambda: losses.nt_xent(Z, MORE, 0.1), "(4, 3)", "the same (B, D)"
    ),
    "a batch of one utterance": row(
        lambda: losses.vicreg(Z[:1], Z[:1]), "(1, 3)", "with B of at least 2"
    ),
    "an empty queue of negatives": row(
        lambda: losses.moco(Z, Z, Z[:0], 0.1), "queue is empty", "fill it first"
    ),
}

SCORES, TRUTH = [0.9, 0.8, 0.3], [1, 0, 0]
PAIRS = Trials(np.array([1, 0]), np.array([0, 0]), np.array([1, 2]))


def between(*indices: float) -> Trials:
    """Trials of utterance 0 with these."""
    zeros = np.zeros(len(indices), int)
    return Trials(zeros, zeros, np.array(indices))


def corpus(utterances: int = 3) -> Corpus:
    """So many utterances of 100 samples."""
    zeros = np.zeros(utterances, int)
    ends = 100 * np.arange(utterances + 1)
    return Corpus("three", np.ones(ends[-1], np.int16), ends, zeros, zeros, np.array(["k"] * 3))


def diverged() -> torch.Tensor:
    return torch.tensor([[1.0, 0.0], [NAN, 0.0], [0.0, 1.0]])


SCORER = {
    "scores of another list": row(
        lambda: scorer.eer(SCORES, [1, 0]), "(3,) and labels (2,)", "list"
    ),
    "scores in a matrix": row(lambda: scorer.eer(Z, Z), "(3, 3)", "vectors of one length"),
    "no trial": row(lambda: scorer.eer([], []), "no trial", "the trial list is empty"),
    "scores that are NaN": row(
        lambda: scorer.eer([NAN, 0.1, NAN], TRUTH), "2 of 3 scores are NaN", "may have diverged"
    ),
    "scores as text": row(lambda: scorer.eer(["a", "b", "c"], TRUTH), "<U1", "expected numbers"),
    "speaker labels": row(lambda: scorer.eer(SCORES, [1, 0, 7]), "got 7", "speaker labels?"),
    "labels that are NaN": row(lambda: scorer.eer(SCORES, [1, 0, NAN]), "got nan", "or 0 (non-t"),
    "targets only": row(
        lambda: scorer.eer(SCORES, [1, 1, 1]), "3 trials are targets", "both classes"
    ),
    "non-targets only": row(
        lambda: scorer.min_dcf(SCORES, [0, 0, 0]), "3 trials are non-targets", "both classes"
    ),
    "an unknown convention": row(
        lambda: scorer.eer(SCORES, TRUTH, "rocch"), "convention 'rocch'", "expected one of"
    ),
    "a prior in percent": row(
        lambda: scorer.min_dcf(SCORES, TRUTH, p_target=5), "p_target = 5", "(not percent)"
    ),
    "a cost of 0": row(lambda: scorer.min_dcf(SCORES, TRUTH, c_fa=0), "c_fa = 0", "positive costs"),
    "a DET curve of nothing": row(
        lambda: scorer.det_curve(SCORES, TRUTH[:1]), "labels (1,)", "of one length"
    ),
    "speakers of another list": row(
        lambda: scorer.bootstrap_eer(SCORES, TRUTH, [0, 1], [0, 1]),
        "2 speaker labels",
        "for 3 trials",
    ),
    "a prior in words": row(
        lambda: scorer.min_dcf(SCORES, TRUTH, p_target="rare"), "p_target = 'rare'", "a probability"
    ),
    "a cost of nothing": row(
        lambda: scorer.min_dcf(SCORES, TRUTH, c_miss=None), "c_miss = None", "positive costs"
    ),
    "a cost of NaN": row(
        lambda: scorer.min_dcf(SCORES, TRUTH, c_fa=NAN), "c_fa = nan", "positive costs"
    ),
    "a confidence in words": row(
        lambda: scorer.bootstrap_eer(SCORES, TRUTH, [0] * 3, [0, 1, 2], confidence="high"),
        "confidence 'high'",
        "between 0 and 1",
    ),
    "half a resample": row(
        lambda: scorer.bootstrap_eer(SCORES, TRUTH, [0] * 3, [0, 1, 2], resamples=2.5),
        "2.5 resamples",
        "at least 2 speakers, 2 resamples",
    ),
    "a bootstrap of one speaker": row(
        lambda: scorer.bootstrap_eer(SCORES, TRUTH, [0] * 3, [0] * 3), "1 speakers", "at least 2"
    ),
    "a confidence in percent": row(
        lambda: scorer.bootstrap_eer(SCORES, TRUTH, [0] * 3, [0, 1, 2], confidence=95),
        "confidence 95",
        "between 0 and 1",
    ),
    "a trial beyond the corpus": row(
        lambda: scorer.score(Z, between(1, 3)), "utterance 3", "another"
    ),
    "a trial before the corpus": row(
        lambda: scorer.score(Z, between(1, -1)), "utterance -1", "list"
    ),
    "a trial with one side": row(
        lambda: scorer.score(Z, Trials(PAIRS.labels, PAIRS.first, PAIRS.second[:1])),
        "2 first and 1 second",
        "one of each",
    ),
    "trials that are nothing": row(
        lambda: scorer.score(Z, None), "trials are None", "see corpora.read_trials"
    ),
    "trials of halves": row(
        lambda: scorer.score(Z, between(1.5)), "torch.float64", "are they scores?"
    ),
    "an embedding of zeros": row(
        lambda: scorer.score(Z * 0, PAIRS), "3 of 3 embeddings", "collapsed"
    ),
    "an embedding of NaN": row(
        lambda: scorer.score(diverged(), PAIRS), "1 of 3 emb", "or diverged"
    ),
    "a single vector": row(lambda: scorer.score(Z[0], PAIRS), "(3,)", "expected (N, D)"),
    "no crop": row(
        lambda: scorer.embed(nn.Identity(), corpus(), crops=0), "crops = 0", "at least 1"
    ),
    "crops in words": row(
        lambda: scorer.embed(nn.Identity(), corpus(), crops="1"), "crops = '1'", "None (whole utt"
    ),
    "batches in words": row(
        lambda: scorer.embed(nn.Identity(), corpus(), batch_seconds="60"), "'60'", "durations above"
    ),
    "crops without duration": row(
        lambda: scorer.embed(nn.Identity(), corpus(), crops=1, crop_seconds=0), "= 0 and", "above 0"
    ),
    "a corpus of nothing": row(
        lambda: scorer.embed(nn.Identity(), corpus(0)), "'three'", "no utterance to embed"
    ),
    "no weights to average": row(
        lambda: scorer.average_weights([]), "no weights", "not finished an"
    ),
    "weights that are numbers": row(
        lambda: scorer.average_weights([3]), "average are 3", "a state_dict of each"
    ),
    "weights of other networks": row(
        lambda: scorer.average_weights([{"w": Z}, {"v": Z}]), "'v'", "different architectures"
    ),
    "weights of other widths": row(
        lambda: scorer.average_weights([{"w": Z}, {"w": WIDER}]), "'w'", "different architectures"
    ),
}

ANALYSIS = {
    "more clusters than rows": row(
        lambda: analysis.nmi_ratio(Z, LABELS, LABELS, 4), "K=4", "<= 3, the number of rows"
    ),
    "an observer of two corpora": row(
        lambda: analysis.PositiveObserver(LABELS, LABELS[:2]), "3 speakers and 2 recordings", "both"
    ),
    "one utterance for each speaker": row(
        lambda: analysis.intra_speaker_similarity(Z, LABELS),
        "none of 3 speakers",
        "there is no pair",
    ),
    "one recording for each speaker": row(
        lambda: analysis.intra_speaker_similarity(Z, [0, 0, 1], [0, 0, 1]),
        "no speaker has two recordings",
        "cross recordings",
    ),
    "one speaker": row(
        lambda: analysis.inter_speaker_similarity(Z, [0, 0, 0]),
        "have one speaker",
        "cross speakers",
    ),
    "a map of two points": row(lambda: analysis.tsne(Z[:2]), "got 2 embeddings", "at least 4"),
    "one row to standardise": row(
        lambda: analysis.standardise(Z[:1]), "1 embeddings have no deviation", "at least 2"
    ),
    "the mean of no run": row(lambda: analysis.mean_interval([]), "mean of 0 runs", "at least 1"),
    "a curve that a run lacks": row(
        lambda: analysis.mean_curve([{"epoch": LABELS}], "nmi"),
        "'nmi' was observed by 0",
        "all are",
    ),
    "curves of other lengths": row(
        lambda: analysis.mean_curve([{"loss": [1.0]}, {"loss": [1.0, 2.0]}], "loss"),
        "[1, 2] epochs",
        "of one recipe?",
    ),
}


def filled(n: int = 6, held: int = 6) -> Queue:
    queue = Queue(n, (2,))
    queue[torch.arange(held)] = torch.randn(held, 2)
    return queue


INDEX = torch.tensor([0, 1])

POSITIVES = {
    "an unknown sampler": row(lambda: build("ssps"), "'ssps'", "expected one of ssl, supervised"),
    "a queue without slots": row(lambda: Queue(4, (2,), size=0), "size=0", "needs 1 to 4 slots"),
    "a queue beyond the corpus": row(lambda: Queue(4, (2,), size=5), "size=5", "1 to 4 slots"),
    "rows of another shape": row(
        lambda: filled().__setitem__(INDEX, Z), "(3, 3)", "rows of shape (2,)"
    ),
    "an index beyond the corpus": row(
        lambda: filled().__setitem__(INDEX + 5, Z[:2, :2]), "5 to 6", "another corpus?"
    ),
    "a negative index": row(
        lambda: filled().__setitem__(INDEX - 2, Z[:2, :2]), "-2 to -1", "expected [0, 6)"
    ),
    "a row that is not there": row(lambda: filled(6, 3)[INDEX + 2], "(first: 3)", "fill it first"),
    "a stored queue of another size": row(
        lambda: filled().load_state_dict(filled(5, 5).state_dict()), "(5, 2)", "another corpus?"
    ),
    "more clusters than k-means has rows": row(lambda: kmeans(Z, 5), "K=5", "1 <= K <= 3"),
    "no cluster": row(lambda: kmeans(Z, 0), "K=0", "1 <= K <= 3"),
    "k-means of NaN": row(
        lambda: kmeans(diverged(), 2), "in 1 of 2 clusters", "training diverged?"
    ),
    "M as large as K": row(lambda: Clustering(4, 4), "M=4", "no neighbour of itself"),
    "a negative M": row(lambda: Clustering(4, -1), "M=-1", "must lie in [0, 3]"),
    "unknown candidates": row(
        lambda: Clustering(4, 1, candidates="all"), "'all'", '"queue" or "cluster"'
    ),
    "clusters that were never made": row(
        lambda: Clustering(4).sample(INDEX), "has no clusters", "call refresh first", RuntimeError
    ),
    "fewer references than clusters": row(
        lambda: Clustering(5).refresh(filled(6, 3)), "holds 3", "fill it, or lower K"
    ),
    "no neighbour": row(lambda: NearestNeighbors(0), "got 0", "at least 1 neighbour"),
    "neighbours of nothing": row(
        lambda: NearestNeighbors(2).sample(INDEX), "has no reference", "call refresh", RuntimeError
    ),
    "more neighbours than references": row(
        lambda: NearestNeighbors(3).refresh(filled(6, 3)), "M=3", "holds 3: fill it, or lower M"
    ),
    "references of other lengths": row(
        lambda: NearestNeighbors(2).refresh(filled()), "rows of length", "expected 1: normalise"
    ),
    "recordings of another corpus": row(
        lambda: Supervised(LABELS, LABELS[:2]),
        "3 speakers and 2 recordings",
        "Each utterance needs",
    ),
}

NETWORKS = {
    "an unknown window": row(
        lambda: LogMel(window="blackman"), "'blackman'", "['hamming', 'hann']"
    ),
    "no mel band": row(lambda: LogMel(n_mels=0), "n_mels is 0", "at least one mel band"),
    "a window beyond the transform": row(
        lambda: LogMel(win_length=600), "win_length is 600", "1 to n_fft = 512"
    ),
    "a hop of 0": row(lambda: LogMel(hop_length=0), "hop_length 0", "at least 1"),
    "a waveform without batch": row(
        lambda: LogMel()(torch.ones(16_000)), "shape (16000,)", "needs a batch axis"
    ),
    "a waveform of 16-bit samples": row(
        lambda: LogMel()(torch.ones(1, 16_000, dtype=torch.int16)),
        "torch.int16",
        "divided by 32768",
    ),
    "a waveform in seconds": row(
        lambda: LogMel()(torch.ones(1, 2)), "has 2 samples", "its length was given in seconds"
    ),
    "a network in a list": row(
        lambda: encoders.build(["ecapa_tdnn"]), "encoder is ['ecapa_tdnn']", "expected one of"
    ),
    "an unknown network": row(
        lambda: encoders.build("resnet18"), "encoder is 'resnet18'", "one of ['ecapa"
    ),
    "channels that eight does not divide": row(
        lambda: encoders.build("ecapa_tdnn", channels=12), "channels is 12", "multiple of 8"
    ),
    "channels in words": row(
        lambda: encoders.build("fast_resnet34", channels="16"), "channels is '16'", "multiple of 8"
    ),
    "a representation without dimension": row(
        lambda: encoders.build("fast_resnet34", dim=0, channels=8), "dim is 0", "at least 1"
    ),
    "attention without dimension": row(
        lambda: encoders.build("ecapa_tdnn", channels=8, attention=0),
        "attention is 0",
        "at least 1",
    ),
    "a waveform shorter than a kernel": row(
        lambda: encoders.build("ecapa_tdnn", channels=8)(torch.ones(1, 500)), "gives 4 frames", "5"
    ),
    "an unknown objective": row(
        lambda: frameworks.build("barlow", network()), "framework is 'barlow'", "expected one of"
    ),
    "a momentum above one": row(
        lambda: frameworks.build("moco", network(), momentum=1.5), "momentum is 1.5", "in [0, 1]"
    ),
    "a batch beyond the queue of negatives": row(
        lambda: enqueue(torch.zeros(1, 2, 3), torch.tensor(0), Z[:, None]),
        "queue of 2",
        "queue_size",
    ),
    "an unknown augmentation policy": row(
        lambda: Augmentation(None, "babble"), "augmentation 'babble'", "choose one of"
    ),
    "an augmentation without noises": row(
        lambda: Augmentation(None, "reverb+noise"), "'reverb+noise'", "needs a bank"
    ),
    "a latent corpus of one speaker": row(
        lambda: LatentCorpus(speakers=1), "got 1,", "at least 2 speakers"
    ),
}


def network() -> nn.Module:
    return encoders.build("fast_resnet34", dim=8, channels=8)


ROWS = LOSSES | SCORER | ANALYSIS | POSITIVES | NETWORKS
