"""A latent-space model: which corpora bootstrap, without audio and in seconds.

A representation is the sum of three independent Gaussian components in subspaces of their own,

    y = normalize(speaker + recording + utterance),

and the encoder is the energy that it gives to each dimension. Our samplers run on these rows as on
real ones, so that the accuracy of their pseudo-positives (Figure 4), the EER and the balance of
speaker and recording information (Figure 7) follow from a few proportions of the corpus.

What it leaves out: real voices share directions with their channels, an encoder is not linear, and
batches are finite. It tells where SSPS can start and which way it goes, not the EER where it ends.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.analysis import PositiveObserver, nmi_ratio
from ssps_lib.positives import Clustering, PositiveSampler, Queue
from ssps_lib.positives.kmeans import blocks
from ssps_lib.scorer import eer


@dataclass(frozen=True)
class LatentCorpus:
    """Proportions of a corpus and of the representations that a trained encoder gives it.

    A scale is the root of the mean energy of a component, whatever its number of dimensions.

    >>> LatentCorpus(speakers=3, recordings=2, utterances=2).labels()[1]
    tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    """

    speakers: int = 300
    recordings: float = 12  # per speaker, on average
    utterances: float = 2  # per recording, on average
    speaker_dims: int = 24  # independent traits of a voice
    recording_dims: int = 24
    utterance_dims: int = 24
    speaker_scale: float = 1.0
    recording_scale: float = 0.7  # channel strength
    utterance_scale: float = 0.4
    unevenness: float = 0.0  # 0: equal counts; 1: as spread as an exponential distribution
    seed: int = 0

    def __post_init__(self) -> None:
        if self.speakers < 2 or self.recordings < 1 or self.utterances < 1:
            raise ValueError(
                "A latent corpus needs at least 2 speakers, 1 recording each and 1 utterance each, "
                f"got {self.speakers}, {self.recordings} and {self.utterances}."
            )

    @property
    def dims(self) -> tuple[int, int, int]:
        """Dimensions of the speaker, recording and utterance components."""
        return self.speaker_dims, self.recording_dims, self.utterance_dims

    def labels(self) -> tuple[Tensor, Tensor]:
        """Speaker and recording of each utterance, both (N,) int64, in ascending order."""
        rng = np.random.default_rng(self.seed)
        per_speaker = _counts(self.speakers, self.recordings, 2, self.unevenness, rng)
        per_recording = _counts(per_speaker.sum(), self.utterances, 1, self.unevenness, rng)
        speaker = np.repeat(np.arange(self.speakers), per_speaker)
        recording = np.repeat(np.arange(len(speaker)), per_recording)
        return torch.from_numpy(speaker[recording]), torch.from_numpy(recording)

    def energies(self) -> Tensor:
        """Mean energy of each dimension of the representations, (D,): what the encoder keeps."""
        scales = (self.speaker_scale, self.recording_scale, self.utterance_scale)
        pairs = zip(scales, self.dims, strict=True)
        return torch.cat([torch.full((dims,), scale**2 / dims) for scale, dims in pairs])


#: VoxCeleb2 (Section IV-A): 1,092,009 utterances of 5,994 speakers in 145,569 recordings.
VOXCELEB2 = LatentCorpus(
    speakers=5_994,
    recordings=145_569 / 5_994,
    utterances=1_092_009 / 145_569,
    unevenness=0.5,
)


@dataclass(frozen=True)
class Prediction:
    """What the model says of a corpus; accuracies over the anchors that got a pseudo-positive."""

    eer: float  # percent, held-out speakers, trials across recordings
    speaker_accuracy: float
    recording_accuracy: float
    coverage: float  # share of anchors with a pseudo-positive
    nmi_ratio: float  # NMI(speaker) / NMI(recording) of k-means with one cluster per speaker


class Space:
    """The rows of a latent corpus on a device: fixed components, seen through an encoder.

    Args:
        corpus: the proportions.
        device: where the rows live; N = 1,092,009 with 72 dimensions takes 0.3 GB.
    """

    def __init__(self, corpus: LatentCorpus, device: torch.device | str = "cpu") -> None:
        self.corpus, self.device = corpus, torch.device(device)
        self.speakers, self.recordings = (label.to(device) for label in corpus.labels())
        generator = torch.Generator().manual_seed(corpus.seed)
        sizes = (corpus.speakers, int(self.recordings[-1]) + 1, len(self.speakers))
        shapes = zip(sizes, corpus.dims, strict=True)
        self._parts = [torch.randn(*shape, generator=generator).to(device) for shape in shapes]
        n = len(self.speakers)
        self.reference = Queue(n, (sum(corpus.dims),), device=device)
        self.look(corpus.energies())

    def look(self, energies: Tensor) -> None:
        """Fill the reference queue Q-hat with the rows of an encoder with these energies (D,)."""
        every = torch.arange(len(self.speakers), device=self.device)
        gains = energies.to(self.device).sqrt()
        for block in blocks(len(every), self.reference.shape[0], self.device):
            speaker, recording, utterance = self._parts
            rows = [
                speaker[self.speakers[block]],
                recording[self.recordings[block]],
                utterance[block],
            ]
            rows = F.normalize(torch.cat(rows, dim=1) * gains, dim=1)
            self.reference[every[block]] = rows

    def nmi_ratio(self) -> float:
        """NMI(speaker) / NMI(recording) of k-means with as many clusters as speakers."""
        generator = torch.Generator().manual_seed(self.corpus.seed)
        rows = self.reference.values
        return nmi_ratio(rows, self.speakers, self.recordings, self.corpus.speakers, generator)

    def draw(
        self, sampler: PositiveSampler, queue_size: int | None = None, anchors: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Anchors and their pos(i), both (A,): what one epoch of `sampler` would pair.

        Args:
            queue_size: |Q'|, of random utterances; None for all.
            anchors: number A of random anchors; None for all N.
        """
        n = len(self.speakers)
        generator = torch.Generator().manual_seed(self.corpus.seed + 1)
        sampler.refresh(self.reference, generator)
        queue = None
        if queue_size is not None:
            queue = Queue(n, (), queue_size, device=self.device)
            held = torch.randperm(n, generator=generator)[:queue_size]
            queue[held] = torch.zeros(queue_size)
        index = torch.randperm(n, generator=generator)[:anchors].to(self.device)
        uniform = torch.rand(len(index), 2, generator=generator).to(self.device)
        pairs = zip(index.split(4096), uniform.split(4096), strict=True)
        return index, torch.cat([sampler.sample(i, queue, u) for i, u in pairs])

    def accuracies(self, index: Tensor, pos: Tensor) -> dict[str, float]:
        """Speaker and recording accuracy (of the found) and coverage, as fractions."""
        observer = PositiveObserver(self.speakers, self.recordings)
        observer.update(index, pos)
        return observer.result()


def predict(
    corpus: LatentCorpus,
    sampler: PositiveSampler,
    queue_size: int | None = None,
    anchors: int | None = 20_000,
    device: torch.device | str = "cpu",
    nmi: bool = True,
) -> Prediction:
    """Run a sampler on a latent corpus (see `Space.draw` for the sizes).

    Args:
        nmi: False skips the second k-means and leaves `nmi_ratio` NaN.

    >>> easy = LatentCorpus(speakers=20, recordings=6, utterances=2, recording_scale=0.2)
    >>> predict(easy, Clustering(clusters=80, window=1)).speaker_accuracy > 0.9
    True
    """
    space = Space(corpus, device)
    accuracies = space.accuracies(*space.draw(sampler, queue_size, anchors))
    ratio = space.nmi_ratio() if nmi else math.nan
    return Prediction(model_eer(corpus), nmi_ratio=ratio, **accuracies)


def model_eer(corpus: LatentCorpus, energies: Tensor | None = None, trials: int = 40_000) -> float:
    """EER (percent) of trials between recordings of held-out speakers, each trial its own pair.

    Args:
        energies: (D,) of the encoder; None for those of the corpus.
        trials: half of them are targets.
    """
    gains = (corpus.energies() if energies is None else energies.cpu()).sqrt()
    first, second = _trials(trials, len(gains), corpus.speaker_dims, corpus.seed)
    scores = F.cosine_similarity(first * gains, second * gains)
    return eer(scores, torch.arange(trials) < trials // 2)


@lru_cache(maxsize=1)  # bisection looks at the same trials again and again
def _trials(trials: int, dim: int, speaker_dims: int, seed: int) -> Tensor:
    """Both sides of each trial, (2, trials, D); the first half shares its speaker."""
    sides = torch.randn(2, trials, dim, generator=torch.Generator().manual_seed(seed + 2))
    sides[1, : trials // 2, :speaker_dims] = sides[0, : trials // 2, :speaker_dims]
    return sides


def calibrate(
    corpus: LatentCorpus,
    eer: float,
    nmi_ratio: float | None = None,
    device: torch.device | str = "cpu",
) -> LatentCorpus:
    """The same corpus with the channel strength that gives an EER (percent), by bisection.

    Args:
        nmi_ratio: wanted as well. The utterance scale is then bisected too: at equal EER, more
            variation within a recording and less between recordings raises the ratio.
        device: of the k-means behind the NMI ratio.

    Raises:
        ValueError: if no strength reaches the EER or the ratio.
    """

    def channel(utterance_scale: float) -> LatentCorpus:
        found = replace(corpus, utterance_scale=utterance_scale)

        def eer_of(scale: float) -> float:
            return model_eer(replace(found, recording_scale=scale))

        scale = _bisect(eer_of, eer, 8 * corpus.speaker_scale, "recording_scale", "EER")
        return replace(found, recording_scale=scale)

    if nmi_ratio is None:
        return channel(corpus.utterance_scale)

    def eer_without_channel(scale: float) -> float:
        return model_eer(replace(corpus, utterance_scale=scale, recording_scale=0.0))

    def ratio_of(scale: float) -> float:
        return Space(channel(scale), device).nmi_ratio()

    most = _bisect(eer_without_channel, eer, 8 * corpus.speaker_scale, "utterance_scale", "EER")
    return channel(_bisect(ratio_of, nmi_ratio, 0.95 * most, "utterance_scale", "NMI ratio", 8))


def sweep(
    corpus: LatentCorpus,
    clusters: Sequence[float] = (4,),
    window: Sequence[int] = (1,),
    eer: float | None = None,
    device: torch.device | str = "cpu",
    nmi: bool = True,
    **proportions: Sequence,
) -> Iterator[dict]:
    """Predictions for all combinations, as flat dictionaries (rows of a table).

    Args:
        clusters: K per speaker.
        window: M.
        eer: if given, each corpus is first calibrated to this EER (percent).
        proportions: values for fields of `LatentCorpus`.
    """
    for values in itertools.product(*proportions.values()):
        found = replace(corpus, **dict(zip(proportions, values, strict=True)))
        found = found if eer is None else calibrate(found, eer)
        for k, m in itertools.product(clusters, window):
            sampler = Clustering(round(k * found.speakers), m)
            prediction = predict(found, sampler, device=device, nmi=nmi)
            yield asdict(found) | {"clusters": k, "window": m} | asdict(prediction)


def bootstrap(
    corpus: LatentCorpus,
    sampler: PositiveSampler,
    epochs: int = 20,
    rate: float = 1.0,
    queue_size: int | None = None,
    device: torch.device | str = "cpu",
) -> list[Prediction]:
    """The dynamics of SSPS: one pull-together step of the encoder per epoch.

    Each epoch pairs every utterance with its pseudo-positive. Training pulls the two together and
    holds the total energy, so the encoder gives more energy to dimensions on which the pairs agree
    and less to those on which they differ: e_d <- e_d exp(rate * agreement_d), renormalised. No
    label enters. Where the pairs agree on the speaker more than on the recording the next
    pseudo-positives are better (bootstrapping), else they are worse (collapse onto recordings).

    Returns:
        The prediction before each epoch and after the last, `epochs` + 1 (without NMI ratios).
    """
    space, energies, history = Space(corpus, device), corpus.energies().to(device), []
    for epoch in range(epochs + 1):
        space.look(energies)
        index, pos = space.draw(sampler, queue_size)
        accuracies = space.accuracies(index, pos)
        history.append(Prediction(model_eer(corpus, energies), nmi_ratio=math.nan, **accuracies))
        if epoch < epochs:
            found = pos >= 0
            agreement = _agreement(space.reference, index[found], pos[found])
            grown = energies * (rate * agreement).exp()
            energies = grown * (energies.sum() / grown.sum())
    return history


def _agreement(reference: Queue, first: Tensor, second: Tensor) -> Tensor:
    """Correlation (D,) of each dimension over the pairs; 0 for a dimension without energy."""
    moments = torch.zeros(2, *reference.shape, device=reference.device)
    for block in blocks(len(first), reference.shape[0], reference.device):
        a, b = reference.rows(first[block]), reference.rows(second[block])
        moments += torch.stack([(a * b).sum(0), (a.square() + b.square()).sum(0) / 2])
    return moments[0] / moments[1].clamp(min=1e-12)


def _bisect(
    value: Callable[[float], float],
    wanted: float,
    high: float,
    name: str,
    unit: str,
    steps: int = 12,
) -> float:
    """Where a rising function of a scale in [0, high] takes the wanted value."""
    low, reach = 0.0, (value(0.0), value(high))
    if not reach[0] <= wanted <= reach[1]:
        raise ValueError(
            f"No {name} gives an {unit} of {wanted}, only {reach[0]:.3g} to {reach[1]:.3g}: change "
            "the dimensions or the other scales of the corpus."
        )
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < wanted else (low, middle)
    return (low + high) / 2


def _counts(
    groups: int, mean: float, least: int, unevenness: float, rng: np.random.Generator
) -> np.ndarray:
    """Sizes (groups,) with a given mean, at least `least` where the mean allows it."""
    total, least = round(groups * mean), min(least, int(mean))
    shares = np.full(groups, 1 / groups)
    if unevenness > 0:
        shares = rng.gamma(1 / unevenness**2, size=groups)
        shares /= shares.sum()
    ends = np.floor(np.cumsum(shares) * (total - groups * least) + 0.5).astype(np.int64)
    return least + np.diff(ends, prepend=0)
