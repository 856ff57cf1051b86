"""Put tensors read from a file into an encoder, or say in one sentence why they do not fit."""

from pathlib import Path

from torch import Tensor

from ssps_lib.encoders.base import Encoder


def fill(encoder: Encoder, state: dict[str, Tensor], path: Path) -> Encoder:
    """Load `state`, whose names and shapes must agree; the features' buffers may be absent."""
    own = encoder.state_dict()
    needed = {key for key in own if not key.startswith("features.")}
    if missing := sorted(needed - state.keys()):
        raise ValueError(_misfit(path, encoder, "lacks", missing))
    if unknown := sorted(state.keys() - own.keys()):
        raise ValueError(_misfit(path, encoder, "has unknown", unknown))
    if wrong := [key for key in state if state[key].shape != own[key].shape]:
        shapes = f"{tuple(state[wrong[0]].shape)} instead of {tuple(own[wrong[0]].shape)}"
        raise ValueError(_misfit(path, encoder, f"has the shape {shapes} for", wrong))
    encoder.load_state_dict(state, strict=False)
    return encoder


def _misfit(path: Path, encoder: Encoder, what: str, keys: list[str]) -> str:
    others = f" and {len(keys) - 1} more tensors" if len(keys) > 1 else ""
    return (
        f"'{path}' {what} '{keys[0]}'{others} (as {encoder.name} names them); "
        "is it of another architecture or version?"
    )
