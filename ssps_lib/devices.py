"""From the host to the device without waiting."""

import numpy as np
import torch
from torch import Tensor


def to_device(x: Tensor | np.ndarray, device: torch.device | str) -> Tensor:
    """A tensor on `device`; a GPU fetches it when it gets there, while this process goes on.

    A plain copy to a GPU waits until all work that was given to it is done. This one goes by memory
    that the GPU reads by itself.

    >>> to_device(np.arange(3), "cpu")
    tensor([0, 1, 2])
    """
    x = torch.as_tensor(x)
    if torch.device(device).type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
