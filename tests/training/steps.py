"""What two runs owe each other that differ by rounding: the same steps from the same weights.

Rounding may choose between unlike results: the side of its kink on which a ReLU of the encoder lies
(a single one changed a gradient by 2 % and, a step later, a loss by 1e-4), the sign of an Adam step
whose gradient is rounding alone, a cluster at a tie, the order of two trials in an EER. So the
weights stand still, no tie decides pos(i), and continuous values are compared.
"""

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ssps_lib.training import Run


def still(positives: str = "ssl") -> dict:
    """Changes of a config: no step moves its weights, and one cluster has every utterance."""
    one_cluster = {"clusters": 1, "window": 0} if positives != "ssl" else {}
    return {"learning_rate": 1e-12, **one_cluster}


def assert_same_steps(run: Run, other: Run) -> None:
    """Losses, accuracies of pos(i), statistics, queues and gradients of runs that stand still."""
    assert run.metrics.keys() == other.metrics.keys()
    np.testing.assert_allclose(run.metrics["loss"], other.metrics["loss"], rtol=1e-5)
    for name in run.metrics.keys() & {"coverage", "speaker_accuracy", "recording_accuracy"}:
        np.testing.assert_array_equal(run.metrics[name], other.metrics[name])
    bounds = {"rtol": 1e-4, "atol": 1e-5}
    ours, theirs = run.encoder().state_dict(), other.encoder().state_dict()
    torch.testing.assert_close(ours, theirs, **bounds)  # running statistics of the norms
    queues = [file.name for file in checkpoint(other).glob("*_queue.safetensors")]
    assert len(queues) == (2 if "coverage" in run.metrics else 0)
    for name in queues:
        ours, theirs = (load_file(checkpoint(one) / name) for one in (run, other))
        torch.testing.assert_close(ours, theirs, **bounds)  # integers, the places, are equal
    ours, theirs = mean_gradient(run), mean_gradient(other)
    assert theirs.norm() > 0 and (ours - theirs).norm() < 0.1 * theirs.norm()  # see above: ReLU


def checkpoint(run: Run):
    """The folder of a run's last checkpoint."""
    return run.folder / "checkpoint"


def mean_gradient(run: Run) -> Tensor:
    """Adam's running mean of all gradients, (P,)."""
    state = load_file(checkpoint(run) / "optimizer.safetensors")
    return torch.cat([state[key].flatten() for key in sorted(state) if key.endswith("exp_avg")])
