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

NAN, INF = float("nan"), float("inf")
Z = torch.eye(3)
MORE, WIDER, WHOLE = torch.eye(4)[:, :3], torch.ones(3, 4), torch.ones(3, 3, dtype=torch.int64)
LABELS = torch.tensor([0, 1, 2])


def row(call, value: str, expected: str, error: type[Exception] = ValueError) -> Row:
    """A row that needs no folder."""
    return Row(lambda _: call(), value, expected, error)


LOSSES = {
    "NT-Xent of other sizes": row(
        lambda: losses.nt_xent(Z, MORE, 0.1), "(4, 3)", "the same (B, D)"
    ),
    "NT-Xent of lists": row(
        lambda: losses.nt_xent([[1.0]], [[1.0]], 0.1), "nt_xent was given [[1.0]]", "torch.as_tens"
    ),
    "VICReg of arrays": row(
        lambda: losses.vicreg(Z.numpy(), Z.numpy()), "vicreg was given array", "expected tensors"
    ),
    "MoCo without a queue": row(
        lambda: losses.moco(Z, Z, None, 0.1), "moco was given None", "expected tensors"
    ),
    "iterations in words": row(
        lambda: losses.sinkhorn(Z, iterations="3"), "iterations is '3'", "at least 1 (published: 3)"
    ),
    "a margin in words": row(
        lambda: losses.aam_softmax(Z, LABELS, margin="wide"), "margin is 'wide'", "radians"
    ),
    "NT-Xent of one utterance": row(
        lambda: losses.nt_xent(Z[:1], Z[:1], 0.1), "1 row", "at least 2"
    ),
    "NT-Xent of whole numbers": row(
        lambda: losses.nt_xent(WHOLE, Z, 0.1), "int64", "floating point"
    ),
    "a temperature below 0": row(
        lambda: losses.nt_xent(Z, Z, -0.03), "-0.03", "finite number above"
    ),
    "a temperature of NaN": row(
        lambda: losses.nt_xent(Z, Z, NAN), "is nan", "finite number above 0"
    ),
    "an infinite temperature": row(lambda: losses.moco(Z, Z, Z, INF), "is inf", "a finite number"),
    "a temperature as text": row(
        lambda: losses.moco(Z, Z, Z, "0.1"), "is '0.1'", "a finite number"
    ),
    "keys of another dimension": row(
        lambda: losses.moco(Z, WIDER, Z, 0.1), "(3, 4)", "query and key"
    ),
    "an empty queue of negatives": row(
        lambda: losses.moco(Z, Z, Z[:0], 0.1), "(0, 3)", "(Q, 3) with Q >= 1"
    ),
    "a queue of another dimension": row(
        lambda: losses.moco(Z, Z, WIDER, 0.1),
        "queue has shape (3, 4)",
        "dimensions of the embeddings",
    ),
    "prototypes of another dimension": row(
        lambda: losses.cosines(Z, WIDER), "(3, 3) and (3, 4)", "(B, D) and (K, D)"
    ),
    "codes of one sample": row(lambda: losses.sinkhorn(Z[:1]), "(1, 3)", "(N, K) with N >= 2"),
    "codes of a vector": row(lambda: losses.sinkhorn(Z[0]), "(3,)", "one sample alone"),
    "an epsilon of 0": row(lambda: losses.sinkhorn(Z, epsilon=0.0), "epsilon is 0.0", "above 0"),
    "no Sinkhorn iteration": row(
        lambda: losses.sinkhorn(Z, iterations=0), "iterations is 0", "at least 1 (published: 3)"
    ),
    "codes of other prototypes": row(
        lambda: losses.swav(Z, Z, WIDER, Z, 0.1), "scores_1 and codes_1", "(3, 3) and (3, 4)"
    ),
    "a SwAV temperature of 0": row(
        lambda: losses.swav(Z, Z, Z, Z, 0), "temperature is 0,", "above 0"
    ),
    "VICReg of one utterance": row(
        lambda: losses.vicreg(Z[:0], Z[:0]), "has 0 row(s)", "compares utterances with each other"
    ),
    "a negative weight": row(lambda: losses.vicreg(Z, Z, -1.0), "invariance is -1.0", "0 or more"),
    "a weight of NaN": row(
        lambda: losses.vicreg(Z, Z, covariance=NAN), "covariance is nan", "a finite number"
    ),
    "an unknown reduction": row(
        lambda: losses.vicreg(Z, Z, reduction="max"), "'max'", "'mean' (published) or 'sum'"
    ),
    "views without a batch": row(lambda: losses.dino(Z, Z[None], Z[0]), "(3, 3)", "views first"),
    "a single student view": row(
        lambda: losses.dino(Z[None], Z[None], Z[0]), "1 student and 1 teacher", "at least 2 and 1"
    ),
    "a centre of another size": row(
        lambda: losses.dino(torch.ones(2, 2, 3), torch.ones(1, 2, 3), torch.ones(4)),
        "center has shape (4,)",
        "expected (3,)",
    ),
    "a teacher temperature of 0": row(
        lambda: losses.dino(*DINO, teacher_temperature=0.0), "teacher_temperature is 0.0", "above 0"
    ),
    "a label beyond the classes": row(
        lambda: losses.aam_softmax(Z, LABELS + 1), "from 1 to 3", "expected [0, 3)"
    ),
    "labels that are floats": row(
        lambda: losses.aam_softmax(Z, LABELS.float()), "torch.float32", "(B,) torch.int64"
    ),
    "a margin in degrees": row(
        lambda: losses.aam_softmax(Z, LABELS, margin=11.5), "margin is 11.5", "radians in [0, pi/2]"
    ),
    "a scale of 0": row(lambda: losses.aam_softmax(Z, LABELS, scale=0), "scale is 0,", "above 0"),
}
DINO = torch.ones(2, 2, 3), torch.ones(1, 2, 3), torch.ones(3)

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
    "labels of other lengths": row(
        lambda: analysis.nmi([0, 1], [0]), "2 and 1 items", "one length"
    ),
    "no labels": row(lambda: analysis.nmi([], []), "0 and 0 items", "one length above 0"),
    "labels that are nothing": row(
        lambda: analysis.nmi(None, None), "labels are array(None", "a vector of shape (N,)"
    ),
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
    "speakers of another corpus": row(
        lambda: analysis.intra_speaker_similarity(Z, [0, 0]), "there are 2 labels", "(N, D) and N"
    ),
    "similarities of NaN": row(
        lambda: analysis.inter_speaker_similarity(diverged(), LABELS), "of 3 embeddings", "diverge?"
    ),
    "no pairs": row(
        lambda: analysis.inter_speaker_similarity(Z, LABELS, pairs=0), "pairs is 0", "at least 1"
    ),
    "half a pair": row(
        lambda: analysis.inter_speaker_similarity(Z, LABELS, pairs=0.5), "pairs is 0.5", "a whole"
    ),
    "a map of two points": row(lambda: analysis.tsne(Z[:2]), "got 2 embeddings", "at least 4"),
    "MFCC of a batch of none": row(
        lambda: analysis.mfcc_embedding(torch.ones(16_000)), "(16000,)", "expected (B, T)"
    ),
    "MFCC of a list": row(
        lambda: analysis.mfcc_embedding([[0.1, 0.2]]), "waveform is [[0.1, 0.2]]", "a tensor (B, T)"
    ),
    "MFCC of a click": row(
        lambda: analysis.mfcc_embedding(torch.ones(1, 50)), "(1, 50)", "more than 256 samples"
    ),
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


def clustered() -> Clustering:
    sampler = Clustering(2, 1)
    sampler.refresh(filled())
    return sampler


INDEX = torch.tensor([0, 1])

POSITIVES = {
    "an unknown sampler": row(lambda: build("ssps"), "'ssps'", "expected one of ssl, supervised"),
    "a sampler in a list": row(lambda: build(["ssl"]), "positives ['ssl']", "expected one of ssl"),
    "a queue for utterances in words": row(
        lambda: Queue("8", (2,), size=2), "for 8 utterances", "needs 1 to 8 slots, got size=2"
    ),
    "a queue of rows without a shape": row(
        lambda: Queue(8, 2), "rows of shape 2", "a tuple like (512,)"
    ),
    "rows that are a list": row(
        lambda: filled().__setitem__(INDEX, [[1.0, 2.0]]), "[[1.0, 2.0]]", "a tensor of rows"
    ),
    "indices that are a list": row(
        lambda: filled()[[0, 1]], "indices are [0, 1]", "expected a tensor"
    ),
    "a queue without slots": row(lambda: Queue(4, (2,), size=0), "size=0", "needs 1 to 4 slots"),
    "a queue beyond the corpus": row(lambda: Queue(4, (2,), size=5), "size=5", "1 to 4 slots"),
    "a queue of half a slot": row(lambda: Queue(4, (2,), size=2.5), "size=2.5", "1 to 4 slots"),
    "rows of another shape": row(
        lambda: filled().__setitem__(INDEX, Z), "(3, 3)", "rows of shape (2,)"
    ),
    "an index beyond the corpus": row(
        lambda: filled().__setitem__(INDEX + 5, Z[:2, :2]), "5 to 6", "another corpus?"
    ),
    "a negative index": row(
        lambda: filled().__setitem__(INDEX - 2, Z[:2, :2]), "-2 to -1", "must lie in [0, 6)"
    ),
    "an index that wraps around": row(lambda: filled()[INDEX - 3], "-3 to -2", "in [-1, 6)"),
    "an index that is no whole number": row(
        lambda: filled()[INDEX.float()], "torch.float32", "torch.int64 of shape (B,)"
    ),
    "a row that is not there": row(lambda: filled(6, 3)[INDEX + 2], "(first: 3)", "fill it first"),
    "a stored queue of another size": row(
        lambda: filled().load_state_dict(filled(5, 5).state_dict()), "(5, 2)", "another corpus?"
    ),
    "more clusters than k-means has rows": row(lambda: kmeans(Z, 5), "K=5", "1 <= K <= 3"),
    "no cluster": row(lambda: kmeans(Z, 0), "K=0", "1 <= K <= 3"),
    "half a cluster": row(lambda: kmeans(Z, 2.5), "K=2.5", "1 <= K <= 3"),
    "k-means of a vector": row(lambda: kmeans(Z[0], 1), "(3,)", "expected (N, D)"),
    "k-means of NaN": row(
        lambda: kmeans(diverged(), 2), "in 1 of 2 clusters", "training diverged?"
    ),
    "k-means that never moves, of NaN": row(
        lambda: kmeans(diverged(), 3, 0, initial=Z[:, :2]),
        "in 1 of 3 clusters",
        "has training diverged?",
    ),
    "centroids of NaN": row(
        lambda: kmeans(Z, 1, initial=Z[:1] * NAN), "centroids that are not finite", "diverged?"
    ),
    "centroids of another shape": row(
        lambda: kmeans(Z, 2, initial=Z), "got (3, 3)", "must have shape (2, 3)"
    ),
    "k-means of a list": row(
        lambda: kmeans([[1.0, 0.0]], 1), "k-means got [[1.0, 0.0]]", "rows as a tensor"
    ),
    "iterations of k-means in words": row(
        lambda: kmeans(Z, 1, "3"), "iterations is '3'", "at least 0 (the paper: 10)"
    ),
    "k-means backwards": row(lambda: kmeans(Z, 2, -1), "iterations is -1", "at least 0"),
    "M as large as K": row(lambda: Clustering(4, 4), "M=4", "no neighbour of itself"),
    "M in words": row(lambda: Clustering(3, "1"), "M='1'", "expected whole numbers"),
    "K in words": row(lambda: Clustering("3", 1), "K='3'", "expected whole numbers"),
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
    "an anchor beyond the clusters": row(
        lambda: clustered().sample(INDEX + 6), "6 to 7", "must lie in [0, 6)"
    ),
    "numbers of another shape": row(
        lambda: clustered().sample(INDEX, uniform=Z), "got (3, 3)", "of shape (2, 2)"
    ),
    "numbers beyond one": row(
        lambda: clustered().sample(INDEX, uniform=2 * torch.ones(2, 2)), "2.0 to 2.0", "[0, 1)"
    ),
    "numbers that are NaN": row(
        lambda: clustered().sample(INDEX, uniform=NAN * torch.ones(2, 2)), "nan to nan", "[0, 1)"
    ),
    "no neighbour": row(lambda: NearestNeighbors(0), "got 0", "at least 1 neighbour"),
    "neighbours in words": row(lambda: NearestNeighbors("3"), "got '3'", "at least 1 neighbour"),
    "neighbours of nothing": row(
        lambda: NearestNeighbors(2).sample(INDEX), "has no reference", "call refresh", RuntimeError
    ),
    "more neighbours than references": row(
        lambda: NearestNeighbors(3).refresh(filled(6, 3)), "M=3", "holds 3: fill it, or lower M"
    ),
    "recordings of another corpus": row(
        lambda: Supervised(LABELS, LABELS[:2]),
        "3 speakers and 2 recordings",
        "Each utterance needs",
    ),
    "speakers that are nothing": row(
        lambda: Supervised(None), "corpus are None", "a vector of shape (N,)"
    ),
    "an anchor without label": row(
        lambda: Supervised(LABELS).sample(INDEX + 3), "3 to 4", "must lie in [0, 3)"
    ),
}

NETWORKS = {
    "an unknown window": row(
        lambda: LogMel(window="blackman"), "'blackman'", "['hamming', 'hann']"
    ),
    "no mel band": row(lambda: LogMel(n_mels=0), "n_mels is 0", "at least one mel band"),
    "a hop of 0": row(lambda: LogMel(hop_length=0), "hop_length is 0", "1 to 400 samples"),
    "a hop in ms": row(lambda: LogMel(hop_length=0.02), "hop_length is 0.02", "160 are 10 ms"),
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
    "an objective in a list": row(
        lambda: frameworks.build(["simclr"], network()), "framework is ['simclr']", "one of ['dino'"
    ),
    "an objective that is nothing": row(
        lambda: frameworks.build(None, network()), "framework is None", "expected one of"
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
    "a queue of no negative": row(
        lambda: frameworks.build("moco", network(), queue_size=0), "queue_size is 0", "at least 1"
    ),
    "a momentum above one": row(
        lambda: frameworks.build("moco", network(), momentum=1.5), "momentum 1.5", "in [0, 1]"
    ),
    "one prototype": row(
        lambda: frameworks.build("swav", network(), prototypes=1), "prototypes is 1", "at least 2"
    ),
    "a projector without width": row(
        lambda: frameworks.build("vicreg", network(), hidden=0), "(8, 0, 0, 512)", "at least 1 each"
    ),
    "a negative number of crops": row(
        lambda: frameworks.build("dino", network(), local_crops=-1),
        "local_crops is -1",
        "at least 0",
    ),
    "one output of DINO": row(
        lambda: frameworks.build("dino", network(), outputs=1), "1 prototypes or outputs", "least 2"
    ),
    "an unknown queue of DINO": row(
        lambda: frameworks.build("dino", network(), queue="none"), "'none'", "'bottleneck' or 'log"
    ),
    "a centre that runs away": row(
        lambda: frameworks.build("dino", network(), center_momentum=-1),
        "center_momentum -1",
        "[0, 1]",
    ),
    "one training speaker": row(
        lambda: frameworks.build("supervised", network(), classes=1), "classes is 1", "at least 2"
    ),
    "a supervised loss without labels": row(
        lambda: frameworks.build("supervised", network(), classes=3).loss(Z, Z),
        "None",
        "(B,) classes",
    ),
    "one view": row(
        lambda: frameworks.build("simclr", network()).check([torch.ones(2, 9)]),
        "(2, 9)",
        "expected 2",
    ),
    "views of other batches": row(
        lambda: frameworks.build("simclr", network()).check([torch.ones(2, 9), torch.ones(3, 9)]),
        "(3, 9)",
        "with one B",
    ),
    "a pseudo-positive of another space": row(
        lambda: frameworks.build("simclr", network()).substitute(Z, WIDER, LABELS > 0),
        "(3, 4)",
        "where there is no projector",
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
