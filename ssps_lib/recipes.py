"""The paper's hyper-parameters as `RunConfig`s, at three sizes (Sections IV-C and IV-D).

`paper` is the published recipe on VoxCeleb. `mini` keeps its proportions on the simulated corpus at
the size of a laptop, `smoke` keeps only its mechanisms, for tests.
"""

from ssps_lib.training.config import RunConfig

PRESETS = ("smoke", "mini", "paper")
FRAMEWORKS = ("simclr", "moco", "swav", "vicreg", "dino", "supervised")
POSITIVES = ("ssl", "supervised", "ssps-nn", "ssps-clustering", "ssps-clustering-c")

ENCODERS = {
    "paper": {"fast_resnet34": {}, "ecapa_tdnn": {}},
    "mini": {
        "fast_resnet34": {"channels": 8, "dim": 128},
        "ecapa_tdnn": {"channels": 64, "dim": 128, "attention": 32, "se": 32},
    },
    "smoke": {
        "fast_resnet34": {"channels": 8, "dim": 32},
        "ecapa_tdnn": {"channels": 16, "dim": 32, "attention": 8, "se": 8},
    },
}

# Everything but framework, encoder and positives.
COMMON = {
    "paper": {
        "epochs": 100, "batch_size": 256, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 5,
        "crop": 2.0, "reference_crop": 4.0, "augmentation": "reverb+noise",
    },
    "mini": {
        "corpus_options": {"speakers": 256, "recordings": 12, "utterances": 2},
        "epochs": 14, "batch_size": 32, "learning_rate": 1e-3, "decay": 0.95, "decay_every": 1,
        "crop": 1.5, "reference_crop": 4.0, "augmentation": "reverb+noise",
        "average_last": 3, "observe_every": 3,
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

# What a framework changes (IV-C1 to IV-C5).
FRAMEWORK = {
    "paper": {
        "dino": {
            "epochs": 80, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.2,
            "schedule": "cosine", "warmup_epochs": 10, "weight_decay": 5e-5, "clip_norm": 3.0,
            "augmentation": "dino",
        },
    },
    "mini": {},
    "smoke": {},
}  # fmt: skip

# Epochs that a run with other positives adds to the SSL run (IV-D), by encoder for the paper.
EXTRA_EPOCHS = {"smoke": 1, "mini": 6, "paper": 20}

# K and M by size: about four clusters for each speaker, and one neighbour.
CLUSTERS = {"smoke": 48, "mini": 1024, "paper": 25_000}
NEAREST = {"smoke": 3, "mini": 5, "paper": 50}


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
    comparison. The supervised framework is trained from its first epoch with labels.

    Args:
        changes: fields of `RunConfig` that replace the recipe's. Clusters, window, candidates,
            positive queue and augmentation of a continued run leave its SSL training as it is
            (Table V: the published runs without augmentation start from an augmented one); all
            others concern the SSL training as well.

    Raises:
        ValueError: an unknown framework, positives, encoder, preset or field.
    """
    _check("preset", preset, PRESETS)
    _check("framework", framework, FRAMEWORKS)
    _check("positives", positives, (*POSITIVES, "ssl-continued"))
    _check("encoder", encoder, tuple(ENCODERS[preset]))
    unknown = set(changes) - set(RunConfig.__dataclass_fields__)
    if unknown:
        raise ValueError(f"a run has no option '{sorted(unknown)[0]}': check the spelling")
    late = {"clusters", "window", "candidates", "positive_queue"}
    if positives != "ssl":
        late.add("augmentation")
    early = {key: value for key, value in changes.items() if key not in late}
    base = {
        **COMMON[preset],
        **FRAMEWORK[preset].get(framework, {}),
        "framework": framework,
        "encoder": encoder,
        "encoder_options": ENCODERS[preset][encoder],
    }
    if early.get("corpus", "simulated") != "simulated":
        base.pop("corpus_options", None)  # proportions of the simulated corpus
    ssl = RunConfig(**{**base, **early})
    if positives == "ssl":
        return ssl
    chosen = {}
    if positives.startswith("ssps-clustering"):
        chosen = {"clusters": CLUSTERS[preset], "window": 1}
        if preset == "paper":
            chosen["positive_queue"] = CLUSTERS[preset]  # |Q'| = K (Section IV-D)
    elif positives == "ssps-nn":
        chosen = {"window": NEAREST[preset]}
    continued = {
        **chosen,
        "positives": "ssl" if positives == "ssl-continued" else positives,
        "epochs": EXTRA_EPOCHS[preset],
        "start_from": ssl,
    }
    return ssl.with_(**{**continued, **{k: v for k, v in changes.items() if k in late}})


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{what} '{value}' is unknown; choose one of {', '.join(known)}")
