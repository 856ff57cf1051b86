"""Encoders as folders that others can load: `save_pretrained` and `from_pretrained`.

The folder holds `model.safetensors`, `config.json` and a model card, the layout of huggingface_hub.
Nothing here needs a network unless the name of a repository is given instead of a folder.
"""

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download

FILE = "model.safetensors"
"""Name of the weights in a folder of `save_pretrained`."""

CARD = """---
{{ card_data }}
---

# A speaker encoder

It maps a waveform (B, T) in [-1, 1] at 16 kHz to a representation (B, D); two utterances are
compared by the cosine of theirs. Features are part of it.

```python
from ssps_lib.encoders import Encoder

encoder = Encoder.from_pretrained("this folder")
y = encoder(waveform)
```

{{ note | default("What it was trained on, and how well it verifies: not stated.", true) }}
"""


class Pretrained(  # type: ignore[call-arg]
    PyTorchModelHubMixin,
    library_name="ssps_lib",
    tags=["speaker-verification", "self-supervised-learning"],
    paper_url="https://arxiv.org/abs/2501.17772",
    model_card_template=CARD,
):
    """Adds `save_pretrained`, `from_pretrained` and `push_to_hub` of huggingface_hub to an encoder.

    The weights file is that of `save_encoder`, features and configuration included, so that
    `load_encoder` reads it too. `from_pretrained` of `Encoder` gives whatever encoder the folder
    holds; of a class such as `ECAPATDNN`, that class only.

    >>> import tempfile
    >>> from ssps_lib.encoders import Encoder, FastResNet34
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     FastResNet34(dim=64, channels=8).save_pretrained(folder)
    ...     Encoder.from_pretrained(folder).config["dim"]
    64
    """

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **options: Any
    ) -> "Pretrained":
        """The encoder of a folder of `save_pretrained`, or of a repository, in eval mode on CPU.

        Args:
            pretrained_model_name_or_path: the folder, or `owner/name` of a repository.
            options: `revision`, `cache_dir`, `token`, `local_files_only`, ... of huggingface_hub.

        Raises:
            FileNotFoundError: a path that is no folder, or a folder without `model.safetensors`.
            ValueError: the file is damaged, holds another architecture than this class, or
                disagrees with `config.json` or with a size among the options.
        """
        name = os.fspath(pretrained_model_name_or_path)
        is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or os.path.isfile(name)
        if is_path and not os.path.isdir(name):
            raise FileNotFoundError(
                f"'{name}' is not a folder, expected one that save_pretrained wrote; a single "
                "checkpoint is read by ssps_lib.load_encoder."
            )
        return super().from_pretrained(name, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        from ssps_lib.encoders.checkpoints import save_encoder  # lies above this module

        save_encoder(self, save_directory / FILE)
        (save_directory / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> "Pretrained":
        from ssps_lib.encoders.checkpoints import load_encoder

        for name in ("proxies", "resume_download"):  # huggingface_hub before 1.0 passes them
            options.pop(name, None)
        path = os.path.join(model_id, FILE)
        if not os.path.isdir(model_id):
            path = hf_hub_download(
                model_id, FILE, revision=revision, cache_dir=cache_dir, token=token,
                force_download=force_download, local_files_only=local_files_only,
            )  # fmt: skip
        encoder = load_encoder(path)
        if not isinstance(encoder, cls):
            raise ValueError(
                f"'{model_id}' holds the encoder {encoder.name}, expected {cls.__name__}: "
                "Encoder.from_pretrained reads any."
            )
        _check_sizes(encoder.config, (config or {}) | options, model_id)
        return encoder


def _check_sizes(own: dict[str, Any], asked: dict[str, Any], model_id: str) -> None:
    """ValueError where config.json or the caller asks for what the weights are not."""
    for name, value in asked.items():
        if name not in own or own[name] != value:
            raise ValueError(
                f"the weights of '{model_id}' have {name} = {own.get(name)!r}, but config.json or "
                f"the call says {value!r}: trained weights fit one configuration only."
            )
