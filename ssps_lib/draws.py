"""Random numbers that belong to a training utterance, not to the order in which it is visited.

Every crop, augmentation and choice of pos(i) is a function of (seed, epoch, training index). The
draws are the same whatever the batch size, the number of workers or of processes, and nothing has
to be stored to resume an epoch.
"""

import numpy as np

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    """Avalanche of 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed: int, epoch: int, index: np.ndarray, columns: int, stream: int = 0) -> np.ndarray:
    """Uniform numbers in [0, 1) for each training index, shape (B, columns), float32.

    `stream` separates uses that must be independent (crops, augmentation, positives).

    >>> a = uniform(0, 3, np.array([5, 8]), 2)
    >>> b = uniform(0, 3, np.array([8]), 2)
    >>> bool((a[1] == b[0]).all()), a.shape
    (True, (2, 2))
    """
    with np.errstate(over="ignore"):
        state = np.uint64(0)  # grows to (B, 1) and (B, columns) on the way
        parts = (seed, epoch, stream, np.asarray(index)[:, None], np.arange(columns)[None, :])
        for part in parts:
            state = _mix((state ^ np.asarray(part).astype(np.uint64)) + _INCREMENT)
    return (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order in which an epoch visits the training indices, shape (n,), int64."""
    return np.random.default_rng([seed, epoch]).permutation(n)
