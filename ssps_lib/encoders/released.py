"""The checkpoints released by the paper's authors, read into our encoders.

A released file is a pickled plain dict with the keys epoch, best_metric, model and optimizer; model
is a flat state dict of the whole framework. Our names of parameters are theirs but for `_our_name`.
"""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssps_lib.encoders.ecapa_tdnn import ECAPATDNN
from ssps_lib.encoders.encoder import Encoder, agree, fill, plain_name, unreadable
from ssps_lib.encoders.fast_resnet34 import FastResNet34
from ssps_lib.features import WINDOWS


def is_pickle(path: Path) -> bool:
    """Whether the content of a file, whatever its name, is what torch.save writes."""
    with open(path, "rb") as file:
        head = file.read(9)
    return head.startswith((b"PK", b"\x80")) and head[8:] != b"{"  # {: header of safetensors


def read_released(path: Path) -> Encoder:
    """The encoder of a released file (DINO: the teacher's); ValueError says what a file lacks."""
    state = {_our_name(key): value for key, value in _encoder_state(path).items()}
    if "mfa.conv.weight" in state:
        kind, options = ECAPATDNN, _ecapa_options
    elif "pooling.attention" in state:
        kind, options = FastResNet34, _resnet_options
    else:
        raise ValueError(
            f"the encoder in '{path}' lacks both 'mfa' (ECAPA-TDNN) and 'pooling.attention' "
            "(Fast ResNet-34); it is of an architecture that the paper does not use."
        )
    try:
        encoder = kind(**options(state), **_feature_options(state))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"the sizes of {kind.name} cannot be read off '{path}' ({error}); it lacks a tensor, "
            "or one has an odd shape."
        ) from error
    return fill(encoder, state, path)


def _load(path: Path) -> object:
    # The best metric may be a NumPy scalar, whose pickled name depends on NumPy's version.
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    harmless = [np.dtype, *{type(np.dtype(code)) for code in "fd"}, *((scalar, n) for n in names)]
    mapped = zipfile.is_zipfile(path)  # the queues of an SSPS run are gigabytes that nobody reads
    try:
        with torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damaged bytes make the unpickler raise almost anything
        raise unreadable(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    """The object that was refused, or the first sentence of PyTorch's long messages."""
    if refused := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return f"it pickles an object of {refused[1]}"
    return re.split(r"\n|\. ", str(error))[0] or type(error).__name__


def _encoder_state(path: Path) -> dict[str, Tensor]:
    """The part of a released state dict that belongs to the encoder of the representation."""
    content = _load(path)
    if not (isinstance(content, dict) and isinstance(content.get("model"), dict)):
        raise ValueError(
            f"'{path}' lacks the key 'model' with a state dict; a released checkpoint is a dict "
            "with epoch, best_metric, model and optimizer."
        )
    model = {plain_name(k): v for k, v in content["model"].items() if isinstance(v, Tensor)}
    # MoCo has a momentum encoder too, but there it only makes the keys; DINO is known by its head.
    is_dino = any(key.startswith("head.last_layer.") for key in model)
    prefix = "encoder_momentum." if is_dino else "encoder."
    state = {key[len(prefix) :]: model[key] for key in model if key.startswith(prefix)}
    if not state:
        found = sorted({key.partition(".")[0] for key in model})
        raise ValueError(f"'{path}' lacks tensors named '{prefix}*'; it holds only {found}.")
    return state


def _our_name(key: str) -> str:
    """Their ECAPA-TDNN wraps each convolution, and their features sit in a list."""
    key = key.replace("features_extractor.0.", "features.mel.", 1)
    return re.sub(r"(^|\.)(conv\d?|fc)\.conv\.", r"\1\2.", key)


def _ecapa_options(state: dict[str, Tensor]) -> dict[str, Any]:
    channels, n_mels, _ = state["blocks.0.conv.weight"].shape
    return {
        "dim": state["fc.weight"].shape[0],
        "n_mels": n_mels,
        "channels": channels,
        "mfa": state["mfa.conv.weight"].shape[0],
        "attention": state["asp.tdnn.conv.weight"].shape[0],
        "se": state["blocks.1.se_block.conv1.weight"].shape[0],
    }


def _resnet_options(state: dict[str, Tensor]) -> dict[str, Any]:
    options = {"dim": state["fc.weight"].shape[0], "channels": state["conv.weight"].shape[0]}
    if "features.mel.mel_scale.fb" in state:
        options["n_mels"] = state["features.mel.mel_scale.fb"].shape[1]
    return options


def _feature_options(state: dict[str, Tensor]) -> dict[str, Any]:
    """The window's name, if the file stores the window."""
    stored = state.get("features.mel.spectrogram.window")
    if stored is None:
        return {}
    for name, make in WINDOWS.items():
        if agree(make(len(stored)), stored):
            return {"window": name}
    raise ValueError(f"the window is none of {sorted(WINDOWS)}")
