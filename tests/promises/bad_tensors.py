"""Bad tensors: losses, analysis, samplers, queues, k-means, encoders, frameworks."""

import torch
from bad_rows import Row
from torch import nn

from ssps_lib import analysis, encoders, frameworks, losses
from ssps_lib.augmentation import Augmentation
from ssps_lib.features import LogMel
from ssps_lib.frameworks.momentum import enqueue
from ssps_lib.positives import Clustering, NearestNeighbors, Queue, build
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


def diverged() -> torch.Tensor:
    return torch.tensor([[1.0, 0.0], [NAN, 0.0], [0.0, 1.0]])


ANALYSIS = {
    "more clusters than rows": row(
        lambda: analysis.nmi_ratio(Z, LABELS, LABELS, 4), "K=4", "<= 3, the number of rows"
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
    "an unknown network": row(
        lambda: encoders.build("resnet18"), "encoder is 'resnet18'", "one of ['ecapa"
    ),
    "channels that eight does not divide": row(
        lambda: encoders.build("ecapa_tdnn", channels=12), "channels is 12", "multiple of 8"
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
}


def network() -> nn.Module:
    return encoders.build("fast_resnet34", dim=8, channels=8)


ROWS = LOSSES | ANALYSIS | POSITIVES | NETWORKS
