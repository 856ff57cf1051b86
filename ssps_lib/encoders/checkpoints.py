"""Encoders on disk: our own checkpoints, and the paper authors' released ones (`released`)."""

import json
import os
from pathlib import Path

import safetensors
import safetensors.torch

from ssps_lib import encoders
from ssps_lib.encoders.base import Encoder
from ssps_lib.encoders.released import read_released
from ssps_lib.encoders.state import fill

FILE = "encoder.safetensors"
"""Name of the encoder's file in a directory."""


def save_encoder(encoder: Encoder, path: str | os.PathLike[str]) -> Path:
    """Write the encoder, features and configuration included; return the file written.

    Args:
        encoder: on any device.
        path: a `.safetensors` file, or a directory in which `encoder.safetensors` is written. What
            was there is replaced at once or, on failure, left as it was.

    Raises:
        OSError: the file cannot be written (disk full, no permission).

    >>> import tempfile
    >>> from ssps_lib import encoders, load_encoder
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = save_encoder(encoders.build("fast_resnet34", channels=8), directory)
    ...     load_encoder(path).config["channels"]
    8
    """
    path = Path(path)
    path = path if path.suffix == ".safetensors" else path / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    content = safetensors.torch.save(state, {"encoder": json.dumps(encoder.config)})
    try:
        _replace(path, content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the {len(content)} bytes of the encoder could not be written ({error.strerror}); "
            "is the disk full or the directory read-only?",
            str(path),
        ) from error
    return path


def _replace(path: Path, content: bytes) -> None:
    """Write all of `content` to `path`, or nothing."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
    """The encoder of a checkpoint, on the CPU, in eval mode.

    Args:
        path: a `.safetensors` file of `save_encoder` or the directory that holds it, or a released
            `.pt` file of the paper's authors (`model_latest.pt`, `model_avg.pt`, ...), of which
            widths, mel bands and window are read off the tensors. A released DINO checkpoint gives
            its teacher, as in the paper.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no path; the file is damaged or holds something else: the message says what.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"the checkpoint of an encoder is {path!r:.60}, expected a path as text.")
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at '{path}', expected a .safetensors or .pt file.")
    encoder = _read_own(path) if path.suffix == ".safetensors" else read_released(path)
    return encoder.eval()


def _read_own(path: Path) -> Encoder:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(
            f"'{path}' is no readable safetensors file ({error}); was it cut off in a copy?"
        ) from error
    if "encoder" not in metadata:
        raise ValueError(
            f"'{path}' lacks the metadata key 'encoder' (the encoder's configuration); "
            "was it written by something else than save_encoder?"
        )
    try:
        encoder = encoders.build(**json.loads(metadata["encoder"]))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' has the encoder configuration {metadata['encoder']!r}, which this version "
            f"cannot build: {error}"
        ) from error
    return fill(encoder, state, path)
