"""The paper's hyper-parameters as `RunConfig`s, at three sizes (Sections IV-C and IV-D).

`paper` is the published recipe on VoxCeleb. `mini` keeps its proportions on the simulated corpus at
the size of a laptop, `smoke` keeps only its mechanisms, for tests. The real voices that the book
collects, the corpus "voices", have proportions of their own at `mini`.
"""

from pathlib import Path
from typing import Any

from ssps_lib.training.config import RunConfig

PRESETS = ("smoke", "mini", "paper")
FRAMEWORKS = ("simclr", "moco", "swav", "vicreg", "dino", "supervised")
POSITIVES = ("ssl", "supervised", "ssps-nn", "ssps-clustering", "ssps-clustering-c")

ENCODERS: dict[str, dict[str, dict]] = {
    "paper": {"fast_resnet34": {}, "ecapa_tdnn": {}},
    "mini": {
        "fast_resnet34": {"channels": 8, "dim": 128, "hop_length": 320},
        "ecapa_tdnn": {"channels": 64, "dim": 128, "attention": 32, "se": 32, "hop_length": 320},
    },
    "smoke": {
        "fast_resnet34": {"channels": 8, "dim": 32},
        "ecapa_tdnn": {"channels": 16, "dim": 32, "attention": 8, "se": 8},
    },
}

# Everything but framework, encoder and positives.
COMMON: dict[str, dict[str, Any]] = {
    "paper": {
        "epochs": 100, "batch_size": 256, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 5,
        "crop": 2.0, "reference_crop": 4.0, "augmentation": "reverb+noise", "noises": "bank",
    },
    "mini": {
        "corpus_options": {
            "speakers": 256, "recordings": 12, "utterances": 2, "channel": 1.4, "seed": 2,
        },
        "epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 1,
        "crop": 1.5, "reference_crop": 4.0, "augmentation": "reverb+noise",
        "average_last": 3, "observe_every": 4,
    },
    "voices": {  # 690 training speakers, 3,147 utterances of 6 s, one to a recording
        "corpus_options": {"sessions": "simulated", "channel": 0.2},
        "epochs": 30, "batch_size": 32, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 1,
        "crop": 1.5, "reference_crop": 6.0, "augmentation": "reverb+noise",
        "average_last": 3, "observe_every": 4,
    },
    "smoke": {
        "corpus_options": {
            "speakers": 24, "recordings": 3, "utterances": 2, "seconds": 2.0,
            "dev_speakers": 6, "test_speakers": 10, "test_recordings": 3,
        },
        "epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 1,
        "crop": 1.0, "reference_crop": 1.5, "augmentation": "reverb+noise",
        "average_last": 2, "observe_every": 1,
    },
}  # fmt: skip

# What a framework changes (IV-C1 to IV-C5). The paper's options are the defaults of the classes,
# but for MoCo's norms, with which a model depends on the number of processes.
# `mini` and `smoke` were scaled down by four rules: (1) projector and head are as wide for their
# representation as the paper's for 512; (2) prototypes and DINO's outputs are as many for each
# speaker, and SwAV's queue as long for each prototype; (3) memories of the past, MoCo's queue and
# the momenta, reach as far back in an epoch; (4) spans of epochs are the same part of the training,
# at least one epoch. Learning rates, temperatures, weights and the clipped norm stay.
# At `mini` SwAV, VICReg and DINO depart from the rules, by which they learnt too little of a voice.
# What they have was found on development speakers (appendix A1; `book/search.py`).
# DINO's frames last 1, its global ones 2 `crop`. Paper: 40 Hamming-windowed bands for all; the
# published DINO runs have encoder_options={"n_mels": 80, "window": "hann"}.
DINO = {
    "optimizer": "sgd", "learning_rate": 0.2, "schedule": "cosine", "weight_decay": 5e-5,
    "clip_norm": 3.0, "augmentation": "dino",
}  # fmt: skip
FRAMEWORK: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "moco": {"framework_options": {"shuffled_norms": True}},
        "dino": {**DINO, "epochs": 80, "batch_size": 128, "warmup_epochs": 10},
    },
    "mini": {
        "moco": {"framework_options": {"queue_size": 384, "momentum": 0.978}},
        "swav": {
            "learning_rate": 2.5e-4,
            "framework_options": {
                "prototypes": 1024, "epsilon": 0.02, "hidden": 512, "dim": 128,
                "queue_size": 160, "queue_start": 2,
            },
        },
        "vicreg": {
            "learning_rate": 5e-4,
            "framework_options": {"hidden": 512, "dim": 128, "covariance": 1.0},
        },
        "dino": {
            **DINO, "epochs": 12, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 2,
            "crop": 1.5, "augmentation": "reverb+noise",
            "framework_options": {
                "hidden": 512, "bottleneck": 64, "outputs": 2816, "momentum": 0.99,
                "teacher_temperature": 0.07,
            },
        },
    },
    "smoke": {
        "moco": {"framework_options": {"queue_size": 32, "momentum": 0.9}},
        "swav": {
            "framework_options": {
                "prototypes": 12, "hidden": 128, "dim": 32, "queue_size": 16, "queue_start": 1,
            },
        },
        "vicreg": {"framework_options": {"hidden": 128, "dim": 32}},
        "dino": {
            **DINO, "batch_size": 8, "warmup_epochs": 1, "crop": 0.75,
            "framework_options": {
                "hidden": 128, "bottleneck": 16, "outputs": 256, "momentum": 0.9,
            },
        },
    },
}  # fmt: skip

# Epochs that a run with other positives adds to the SSL run (IV-D). The paper's hyper-parameter
# search, which is its only use of Fast ResNet-34 with SSPS, adds 10.
EXTRA_EPOCHS = {"smoke": 1, "mini": 8, "voices": 15, "paper": 20}
SEARCH_EPOCHS = 10

# K and M by size: between the speakers and the recordings, and one neighbour.
CLUSTERS = {"smoke": 48, "mini": 896, "voices": 1474, "paper": 25_000}
NEAREST = {"smoke": 3, "mini": 5, "voices": 1, "paper": 50}

ENCODERS["voices"], FRAMEWORK["voices"] = ENCODERS["mini"], FRAMEWORK["mini"]

LATE = (  # no matter of the SSL training
    "clusters", "window", "candidates", "positive_queue", "reference_crop",
    "reference_augmentation",
)  # fmt: skip


def recipe(
    framework: str = "simclr",
    positives: str = "ssl",
    encoder: str = "ecapa_tdnn",
    preset: str = "mini",
    **changes,
) -> RunConfig:
    """The run that the paper would train, at the size of `preset`.

    A run with positives "ssl" is the SSL training itself. Any other run continues it by
    `EXTRA_EPOCHS`, and `positives="ssl-continued"` continues it with the same positives, the fair
    comparison. The supervised framework is trained with labels from its first epoch, without
    positives.

    Learning rate and momentum of DINO follow one schedule over the SSL training and its
    continuation, as in the published runs (80 + 20 epochs): a cosine that really ends at 1e-5 with
    the last of the 100. The SSL run stops before that, at 0.0234.

    Args:
        changes: fields of `RunConfig` that replace the recipe's (`framework_options` are added to
            them). `LATE` ones and the augmentation of a continued run leave its SSL training as it
            is (Table V: the published runs without augmentation start from an augmented one); all
            others concern both.

    Raises:
        ValueError: an unknown name or field, or what `RunConfig` refuses.
    """
    check("preset", preset, PRESETS)
    check("framework", framework, FRAMEWORKS)
    check("positives", positives, (*POSITIVES, "ssl-continued"))
    check("encoder", encoder, tuple(ENCODERS[preset]))
    size = size_of(preset, changes.get("corpus", "simulated"))
    search = preset == "paper" and encoder == "fast_resnet34"
    extra = SEARCH_EPOCHS if search else EXTRA_EPOCHS[size]
    late = LATE if positives == "ssl" else (*LATE, "augmentation")
    shared = {name: value for name, value in changes.items() if name not in late}
    ssl = _ssl(framework, encoder, size, shared)
    if ssl.schedule == "cosine" and ssl.schedule_epochs is None:
        ssl = ssl.with_(schedule_epochs=ssl.epochs + extra)
    if positives == "ssl":
        return ssl
    chosen = _clusters(positives, size, changes)
    chosen |= {name: changes[name] for name in late if name in changes}
    kind = "ssl" if positives == "ssl-continued" else positives
    return ssl.with_(positives=kind, epochs=extra, start_from=ssl, **chosen)


def size_of(preset: str, corpus: str) -> str:
    """The rows of the tables above that hold: those of "voices" for that corpus at `mini`."""
    return "voices" if (preset, Path(str(corpus)).name) == ("mini", "voices") else preset


def _ssl(framework: str, encoder: str, size: str, changes: dict[str, Any]) -> RunConfig:
    """The SSL training of a recipe."""
    base = {**COMMON[size], **FRAMEWORK[size].get(framework, {})}
    if size != "voices" and changes.get("corpus", "simulated") != "simulated":
        base.pop("corpus_options", None)  # proportions of the simulated corpus
    own = {"framework": framework, "encoder": encoder, "encoder_options": ENCODERS[size][encoder]}
    options = changes.get("framework_options", {})
    if isinstance(options, dict):  # anything else `RunConfig` refuses
        options = {**base.get("framework_options", {}), **options}
    return RunConfig(**{**base, **own, **changes, "framework_options": options})


def _clusters(positives: str, size: str, changes: dict[str, Any]) -> dict[str, Any]:
    """K, M and |Q'|: N for SSPS-NN, K for SSPS-Clustering (IV-D); N where N is small."""
    if positives == "ssps-nn":
        return {"window": NEAREST[size]}
    if not positives.startswith("ssps-clustering"):
        return {}
    clusters = changes.get("clusters", CLUSTERS[size])
    queue = {"positive_queue": clusters} if size != "smoke" else {}
    return {"clusters": clusters, "window": 1, **queue}


def check(what: str, value: str, known: tuple[str, ...]) -> None:
    """ValueError for a name that is not one of those known."""
    if value not in known:
        raise ValueError(f"{what} '{value}' is unknown; choose one of {', '.join(known)}")
