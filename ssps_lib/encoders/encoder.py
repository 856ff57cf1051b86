"""What every encoder is (Section II), and how it is kept: weights and configuration in one file."""

import json
import os
import re
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import safetensors
import safetensors.torch
import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from torch import Tensor, nn

from ssps_lib import files
from ssps_lib.features import LogMel

FILE = "encoder.safetensors"  # in the folder of a run
HUB_FILE = "model.safetensors"  # in a folder of `save_pretrained`

CARD = """---
{{ card_data }}
---

# A speaker encoder

`ssps_lib.encoders.Encoder.from_pretrained("this folder")` maps a waveform (B, T) in [-1, 1] at 16
kHz to a representation (B, D); two utterances are compared by the cosine of theirs.

What it was trained on, and how well it verifies: not stated.
"""


class Encoder(  # type: ignore[call-arg]
    nn.Module,
    PyTorchModelHubMixin,
    library_name="ssps_lib",
    tags=["speaker-verification", "self-supervised-learning"],
    paper_url="https://arxiv.org/abs/2501.17772",
    model_card_template=CARD,
):
    """Waveform (B, T) in [-1, 1] at 16 kHz -> representation (B, dim) in float32.

    The features are part of the encoder, so that a checkpoint carries them. A subclass gives its
    `name` and implements `represent`. `save_pretrained` and `push_to_hub` are those of
    huggingface_hub.

    Attributes:
        dim: dimension of the representation.
        features: the `LogMel` in front of the network.
        config: name and options; `encoders.build(**encoder.config)` makes such an encoder again.
    """

    name: ClassVar[str]
    kinds: ClassVar[dict[str, type["Encoder"]]] = {}  # by name: `encoders.ENCODERS`
    _hub_mixin_config: dict[str, Any]  # what the constructor was given, as the mixin notes it

    def __init__(self, dim: int, n_mels: int, window: str, hop_length: int = 160) -> None:
        super().__init__()
        self.dim = dim
        self.features = LogMel(n_mels, window, hop_length)
        self.config = self._hub_mixin_config = {"name": self.name, **self._hub_mixin_config}

    def forward(self, waveform: Tensor) -> Tensor:
        return self.represent(self.features(waveform)).float()

    def represent(self, features: Tensor) -> Tensor:
        """Features (B, n_mels, frames) -> representation (B, dim)."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> "Encoder":
        """The encoder of a folder of `save_pretrained`, or of a repository, in eval mode on CPU.

        Args:
            pretrained_model_name_or_path: the folder, or `owner/name` of a repository, which alone
                needs a network.
            options: `revision`, `cache_dir`, `token`, `local_files_only`, ... of huggingface_hub.

        Raises:
            FileNotFoundError: no such folder, or one without `model.safetensors`.
            ValueError: the file is damaged, holds another architecture than this class (`Encoder`
                takes any), or disagrees with `config.json` or with a size among the options.
        """
        name = os.fspath(pretrained_model_name_or_path)
        is_repository = re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", name) and not os.path.isfile(name)
        if not (os.path.isdir(name) or is_repository):
            raise FileNotFoundError(
                f"'{name}' is not a folder, expected one that save_pretrained wrote; a single "
                "checkpoint is read by ssps_lib.load_encoder."
            )
        return super().from_pretrained(name, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_encoder(self, save_directory / HUB_FILE)

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, config: dict[str, Any] | None = None, **options: Any
    ) -> "Encoder":
        where = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        where = {key: options.pop(key) for key in where}
        sizes = {**(config or {}), **options}
        for name in ("proxies", "resume_download"):  # huggingface_hub before 1.0 passes them
            sizes.pop(name, None)
        local = Path(model_id, HUB_FILE)
        path = local if local.parent.is_dir() else hf_hub_download(model_id, HUB_FILE, **where)
        encoder = read_encoder(Path(path))
        if not isinstance(encoder, cls):
            raise ValueError(
                f"'{model_id}' holds the encoder {encoder.name}, expected {cls.__name__}: "
                "Encoder.from_pretrained reads any."
            )
        for name, value in sizes.items():
            if encoder.config.get(name) != value:
                raise ValueError(
                    f"the weights of '{model_id}' have {name} = {encoder.config.get(name)!r}, but "
                    f"config.json or the call says {value!r}: they fit one configuration only."
                )
        return encoder


def build(name: str, **options: Any) -> Encoder:
    """The encoder of that name with the options of its constructor; ValueError if unknown.

    >>> build("fast_resnet34", dim=64, channels=8).config["dim"]
    64
    """
    if name not in Encoder.kinds:
        raise ValueError(f"encoder is {name!r}, expected one of {sorted(Encoder.kinds)}.")
    kind: Any = Encoder.kinds[name]
    _, *known = signature(kind.__init__).parameters  # the class's own is the hub mixin's
    for option in options:
        if option not in known:
            raise ValueError(
                f"'{name}' has no option '{option}', expected some of {', '.join(known)}."
            )
    return kind(**options)


def require_multiple_of_8(channels: int) -> None:
    """ValueError for a width that the encoders cannot divide."""
    if channels < 8 or channels % 8:
        raise ValueError(
            f"channels is {channels!r}, expected a positive multiple of 8; squeeze-and-excitation "
            "(ResNet) and Res2Net (ECAPA) divide it by eight."
        )


def save_encoder(encoder: Encoder, path: str | os.PathLike[str]) -> Path:
    """Write the encoder, features and configuration included; return the file written.

    Args:
        encoder: on any device, compiled or not.
        path: a `.safetensors` file, or a folder in which `encoder.safetensors` is written. What
            was there is replaced at once or, on failure (OSError), left as it was.

    >>> import tempfile
    >>> from ssps_lib.encoders import build, load_encoder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_encoder(build("fast_resnet34", channels=8), folder)
    ...     load_encoder(path).config["channels"]
    8
    """
    path = Path(path)
    path = path if path.suffix == ".safetensors" else path / FILE
    state = {plain_name(k): v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    content = safetensors.torch.save(state, {"encoder": json.dumps(encoder.config)})
    with files.whole(path) as partial:
        partial.write_bytes(content)
    return path


def read_encoder(path: Path) -> Encoder:
    """The encoder of a file of `save_encoder`; for the errors see `load_encoder`."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at '{path}', expected a .safetensors or .pt file.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {plain_name(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise unreadable(path, str(error)) from error
    if "encoder" not in metadata:
        raise ValueError(
            f"'{path}' lacks the metadata key 'encoder' (the encoder's configuration); "
            "was it written by something else than save_encoder?"
        )
    try:
        encoder = build(**json.loads(metadata["encoder"]))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' has the encoder configuration {metadata['encoder']!r}, which this version "
            f"cannot build: {error}"
        ) from error
    return fill(encoder, state, path)


def fill(encoder: Encoder, state: dict[str, Tensor], path: Path) -> Encoder:
    """Load `state`, whose names and shapes must agree (else ValueError), and set eval mode.

    Features may be absent. Where they are in half precision and agree to that, the encoder's own
    are kept: rounded windows and bands would be other features.
    """
    own = {k: v for k, v in encoder.state_dict().items() if k.startswith("features.")}
    for key in own.keys() & state.keys():
        if state[key].element_size() < 4 and agree(own[key], state[key]):
            del state[key]
    try:
        encoder.load_state_dict(own | state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()  # a line of torch's for each kind of misfit
        raise ValueError(
            f"'{path}' does not fit {encoder.name} ({first:.200}); is it of another architecture "
            "or version?"
        ) from None
    return encoder.eval()


def agree(own: Tensor, stored: Tensor) -> bool:
    """Whether values up to 1 are equal to the precision in which they are stored, at most 1e-4."""
    precision = max(1e-4, torch.finfo(stored.dtype).eps)
    same_shape = own.shape == stored.shape
    return same_shape and torch.allclose(own, stored.float(), rtol=0, atol=precision)


def plain_name(key: str) -> str:
    """The name of a tensor without what DDP, FSDP and torch.compile put before it.

    >>> plain_name("module.encoder._orig_mod.fc.weight")
    'encoder.fc.weight'
    """
    return re.sub(r"\b(module|_orig_mod|_fsdp_wrapped_module)\.", "", key)


NO_CHECKPOINTS = {
    rb"version https://git-lfs": "it is a pointer of Git LFS, fetch the file: git lfs pull",
    rb"<": "it is a web page, saved in place of the file: see there what the site wants (a login, "
    "a quota), and download it again",
    rb"\{": "it is an answer in JSON, saved in place of the file: read it, and download it again",
    rb"\x1f\x8b": "it is a gzip archive, unpack it first",
    rb"$": "it is empty, was it cut off in a copy?",
}
"""How a file may begin that is no checkpoint -> what it is then, and what to do."""


def unreadable(path: Path, reason: str) -> ValueError:
    """The error for a file that is no checkpoint: what its first bytes tell, else the reason."""
    with open(path, "rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    known = [what for start, what in NO_CHECKPOINTS.items() if re.match(start, head)]
    cause = known[0] if known else f"{reason}; was it cut off in a copy, or is it something else?"
    return ValueError(f"'{path}' is no checkpoint that can be read: {cause}")
