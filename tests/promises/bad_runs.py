"""Bad configurations, runs, launches, checkpoints, encoders and records."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_rows import Row
from filelock import FileLock
from safetensors.torch import save_file
from torch import nn

from ssps_book import notebook
from ssps_lib import encoders, files, training
from ssps_lib.encoders import load_encoder, save_encoder
from ssps_lib.recipes import recipe
from ssps_lib.training import RunConfig, from_dict, record, state
from ssps_lib.training.__main__ import read_config

NAN, INF = float("nan"), float("inf")
CORPUS = {
    "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
    "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
}  # fmt: skip
NARROW = {"channels": 8, "dim": 8, "attention": 8, "se": 8}
SSPS = {"positives": "ssps-clustering", "clusters": 5, "window": 1}


def tiny(**changes) -> RunConfig:
    """A run on 32 utterances of 1 s that are in the cache already."""
    base = {
        "corpus_options": CORPUS, "crop": 0.5, "reference_crop": 0.8, "batch_size": 8,
        "encoder_options": NARROW, "epochs": 1, "average_last": 1, "augmentation": "none",
    }  # fmt: skip
    return RunConfig(**(base | changes))


def field(name: str, value: object, expected: str) -> tuple[str, Row]:
    """A row for one field of a `RunConfig`, whose message names the field and the value."""
    shown = f"{name} is {value!r}, expected "
    return f"{name} {value!r}"[:40], Row(lambda _: RunConfig(**{name: value}), shown, expected)


def run(changes: dict, value: str, expected: str) -> Row:
    """A row whose run is refused when it is to start, before anything is written."""
    return Row(lambda _: training.run(tiny(**changes)), value, expected)


FIELDS = dict(
    [
        field("epochs", 0, "greater than 0"),
        field("epochs", 2.5, "a valid integer"),
        field("epochs", "ten", "a valid integer"),
        field("epochs", True, "a valid integer"),
        field("batch_size", 1, "greater than or equal to 2"),
        field("average_last", None, "a valid integer"),
        field("seed", -1, "greater than or equal to 0"),
        field("crop", NAN, "a finite number"),
        field("crop", "2 s", "a valid number"),
        field("reference_crop", -4.0, "greater than 0"),
        field("learning_rate", INF, "a finite number"),
        field("clip_norm", 0.0, "greater than 0"),
        field("weight_decay", -0.1, "greater than or equal to 0"),
        field("optimizer", "lamb", "'adam' or 'sgd'"),
        field("noises", "musan", "'made' or 'bank'"),
        field("corpus", "", "at least 1 character"),
        field("corpus", 7, "a valid string"),
        field("corpus_options", [1], "a valid dictionary"),
        field("framework_options", {"temperature": NAN}, "plain finite values"),
        field("encoder_options", {"dim": {1, 2}}, "that JSON can hold"),
        field("framework", ["simclr"], "a valid string"),
        field("positives", None, "a valid string"),
        field("start_from", "the SSL run", "an instance of RunConfig"),
    ]
)

TOGETHER = {
    "a schedule that ends before the training": Row(
        lambda _: RunConfig(epochs=5, schedule_epochs=4), "schedule_epochs is 4", "at least the tr"
    ),
    "SSPS without K": Row(
        lambda _: RunConfig(positives="ssps-clustering", window=1), "clusters is None", "give a num"
    ),
    "SSPS without M": Row(
        lambda _: RunConfig(positives="ssps-nn"), "window is None", "take the paper's"
    ),
    "positives of the supervised framework": Row(
        lambda _: RunConfig(framework="supervised", positives="supervised"),
        "positives 'supervised'",
        "leave positives at 'ssl'",
    ),
    "centroids behind a projector": Row(
        lambda _: RunConfig(framework="dino", positives="ssps-clustering-c", clusters=5, window=1),
        "were asked of 'dino'",
        "only in SimCLR and MoCo",
    ),
    "another framework than before": Row(
        lambda _: RunConfig(framework="moco", start_from=RunConfig()),
        "framework is 'moco'",
        "goes on with the weights",
    ),
    "another encoder than before": Row(
        lambda _: RunConfig(encoder="fast_resnet34", start_from=RunConfig()),
        "encoder is 'fast_resnet34'",
        "goes on with the weights",
    ),
    "another optimiser than before": Row(
        lambda _: RunConfig(optimizer="sgd", start_from=RunConfig()),
        "optimizer is 'sgd'",
        "the optimiser's state",
    ),
    "options by number": Row(
        lambda _: RunConfig(encoder_options={8: 1}), "encoder_options (at 8)", "a valid string"
    ),
    "a run of a list": Row(lambda _: from_dict([1, 2]), "a run is [1, 2]", "expected a dictionary"),
    "an unknown field to change": Row(
        lambda _: RunConfig().with_(rate=3), "no option 'rate'", "check the spelling"
    ),
    "an unknown field": Row(lambda _: from_dict({"epoch": 3}), "'epoch'", "check the spelling"),
    "an unknown field of the run before": Row(
        lambda _: from_dict({"start_from": {"lr": 3}}), "'lr'", "check the spelling"
    ),
}

RECIPES = {
    "unknown preset": Row(lambda _: recipe(preset="large"), "preset 'large'", "one of smoke, mini"),
    "unknown framework": Row(lambda _: recipe("byol"), "framework 'byol'", "one of simclr, moco"),
    "unknown positives": Row(lambda _: recipe(positives="knn"), "positives 'knn'", "one of ssl"),
    "unknown encoder": Row(
        lambda _: recipe(encoder="vgg"), "encoder 'vgg'", "one of fast_resnet34"
    ),
    "unknown option": Row(lambda _: recipe(batch=3), "no option 'batch'", "check the spelling"),
    "a negative number of epochs": Row(
        lambda _: recipe(epochs=-1), "epochs is -1", "greater than 0"
    ),
    "options as text": Row(
        lambda _: recipe(framework_options="tau=1"), "framework_options is 'tau=1'", "a valid dic"
    ),
    "options as a list": Row(
        lambda _: recipe("dino", framework_options=[1]),
        "framework_options is [1]",
        "a valid dictionary",
    ),
    "options that are nothing": Row(
        lambda _: recipe("swav", framework_options=None),
        "framework_options is None",
        "a valid dictionary",
    ),
    "a framework in a list": Row(
        lambda _: recipe(["simclr"]), "framework '['simclr']' is unknown", "choose one of"
    ),
    "a preset that is nothing": Row(lambda _: recipe(preset=None), "preset 'None'", "one of smoke"),
    "a corpus that is nothing": Row(
        lambda _: recipe(corpus=None), "corpus is None", "a valid string"
    ),
    "proportions as text": Row(
        lambda _: recipe(corpus_options="speakers=3"), "corpus_options is 'speakers=3'", "a valid"
    ),
    "K that is text": Row(
        lambda _: recipe(positives="ssps-clustering", clusters="25k"),
        "clusters is '25k'",
        "a valid integer",
    ),
}

RUNS = {
    "unknown framework of a run": run({"framework": "byol"}, "framework is 'byol'", "one of ['d"),
    "unknown encoder of a run": run({"encoder": "vgg"}, "encoder is 'vgg'", "expected one of"),
    "unknown positives of a run": run({"positives": "knn"}, "positives 'knn'", "one of ssl"),
    "unknown augmentation": run({"augmentation": "echo"}, "augmentation is 'echo'", "or 'dino'"),
    "unknown framework option": run(
        {"framework_options": {"tau": 1.0}}, "has no option 'tau'", "expected some of t"
    ),
    "unknown encoder option": run(
        {"encoder_options": {"width": 8}}, "has no option 'width'", "'ecapa_tdnn'"
    ),
    "no such corpus": run({"corpus": "/nowhere", "corpus_options": {}}, "'/nowhere'", "the path"),
    "unknown proportion": run({"corpus_options": {"voices": 3}}, "'voices'", "known are speakers"),
    "too few speakers": run({"corpus_options": {"speakers": 0}}, "speakers is 0", "greater than 0"),
    "batch above N": run({"batch_size": 33}, "batch_size is 33", "choose a smaller batch"),
    "K above N": run(
        SSPS | {"clusters": 33}, "K is 33 clusters", "32 training utterances: lower K"
    ),
    "M as large as K": run(SSPS | {"window": 5}, "M=5 neighbouring clusters", "lower M"),
    "M above N": run({"positives": "ssps-nn", "window": 32}, "M is 32 neighbours", "lower M"),
    "queue above N": run(SSPS | {"positive_queue": 33}, "positive_queue is 33", "lower it"),
    "long crop": run({"crop": 1.5}, "crop is 1.5 s", "choose a shorter crop"),
    "long distorted reference": run(
        {"reference_crop": 9.0, "reference_augmentation": True},
        "reference_crop is 9.0 s",
        "choose a shorter reference_crop",
    ),
    "short crop": run({"crop": 0.01}, "has 160 samples", "expected more than 256"),
    "a temperature of 0": run({"framework_options": {"temperature": 0.0}}, "is 0.0", "above 0"),
    "a temperature in words": run(
        {"framework_options": {"temperature": "warm"}}, "temperature is 'warm'", "above 0"
    ),
    "a queue of negatives below the batch": run(
        {"framework": "moco", "framework_options": {"queue_size": 4}},
        "a queue of 4",
        "at least the batch of all processes",
    ),
    "no process": Row(lambda _: training.run(tiny(), 0), "num_processes is 0", "at least 1"),
    "a batch that cannot be shared": Row(
        lambda _: training.run(tiny(), 3), "batch_size is 8", "a multiple of 3"
    ),
    "a launch inside a launch": Row(
        lambda _: with_environment({"WORLD_SIZE": "2"}, lambda: training.run(tiny(), 1)),
        "already one of several",
        "`-p num_processes N`",
        RuntimeError,
    ),
    "no seed to replicate": Row(
        lambda _: training.replicate(tiny(), 0), "seeds is 0", "at least 1"
    ),
    "a run that starts from nothing": Row(
        lambda _: training.run.__globals__["train"](tiny(start_from=tiny())),
        tiny().name,
        "train it first",
        FileNotFoundError,
    ),
    "time between checkpoints in words": Row(
        lambda _: with_environment({"SSPS_CHECKPOINT_MINUTES": "often"}, lambda: start(seed=2)),
        "SSPS_CHECKPOINT_MINUTES is 'often'",
        "a valid number",
    ),
    "deterministic mode in words": Row(
        lambda _: with_environment({"SSPS_DETERMINISTIC": "so"}, lambda: start(seed=3)),
        "SSPS_DETERMINISTIC is 'so'",
        "a valid boolean",
    ),
    "a run that another process trains": Row(
        lambda at: locked_elsewhere(at / "run.lock"), "works on run x", "wait for it", RuntimeError
    ),
    "a run's file that is missing": Row(
        lambda at: read_config(at / "no.json"), "no.json'", "No such file", FileNotFoundError
    ),
    "a run's file that is no JSON": Row(
        lambda at: read_config(text(at / "run.json", "epochs: 3")),
        "run.json' is not the JSON",
        "line",
    ),
    "a run's file with a bad value": Row(
        lambda at: read_config(text(at / "run.json", '{"crop": -2}')),
        "crop is -2",
        "greater than 0",
    ),
}


def start(**changes) -> None:
    training.run(tiny(**changes))


def with_environment(changes: dict, call) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        call()


def text(file: Path, content: str) -> Path:
    file.write_text(content)
    return file


def locked_elsewhere(path: Path) -> None:
    holder = FileLock(path)  # as another process's: `files.alone` has its own
    with holder, files.alone(path, "run x", wait=False):
        pass


def saved(at: Path, **changes) -> Path:
    """A checkpoint of a small network."""
    weights = nn.Linear(3, 2).state_dict()
    state.write(at / "c", {"framework": weights, "optimizer": weights}, {"epoch": 1, **changes})
    return at / "c"


def with_state(folder: Path, **changes) -> Path:
    file = folder / "state.json"
    text(file, json.dumps(json.loads(file.read_text()) | changes))
    return folder


def cut(file: Path) -> Path:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


def flipped(file: Path) -> Path:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return file


def without(file: Path) -> Path:
    file.unlink()
    return file


CHECKPOINTS = {
    "a checkpoint cut in two": Row(
        lambda at: state.find(cut(saved(at) / "framework.safetensors").parent),
        "framework.safetensors does not have the checksum",
        "delete the run's folder",
    ),
    "a checkpoint with one bit flipped": Row(
        lambda at: state.find(flipped(saved(at) / "optimizer.safetensors").parent),
        "optimizer.safetensors does not have the checksum",
        "starts from the beginning",
    ),
    "a checkpoint without a file": Row(
        lambda at: state.find(without(saved(at) / "framework.safetensors").parent),
        "No such file",
        "delete the run's folder",
    ),
    "a checkpoint whose state was edited": Row(
        lambda at: state.find(with_state(saved(at), epoch=7)),
        "state.json does not have the checksum",
        "delete the run's folder",
    ),
    "a checkpoint without a state": Row(
        lambda at: state.find(without(saved(at) / "state.json").parent),
        "state.json cannot be read",
        "delete the run's folder",
    ),
    "a checkpoint whose state is no JSON": Row(
        lambda at: state.find(text(saved(at) / "state.json", "{").parent),
        "state.json cannot be read: Expecting",
        "delete the run's folder",
    ),
    "a checkpoint whose state is a list": Row(
        lambda at: state.find(text(saved(at) / "state.json", "[1]").parent),
        "state.json cannot be read: list",
        "delete the run's folder",
    ),
    "a checkpoint of a newer library": Row(
        lambda at: state.read(with_state(saved(at), format=99)),
        "checkpoint format 99",
        "written by another version",
    ),
    "no encoder": Row(
        lambda at: load_encoder(at / "none.safetensors"), "none.safetensors", "expected a", OSError
    ),
    "a folder without encoder": Row(
        lambda at: load_encoder(at), "encoder.safetensors", "or .pt file", FileNotFoundError
    ),
    "an encoder cut in two": Row(
        lambda at: load_encoder(cut(save_encoder(encoders.build("ecapa_tdnn", **NARROW), at))),
        "is no checkpoint that can be read",
        "cut off in a copy",
    ),
    "tensors without an encoder's configuration": Row(
        lambda at: load_encoder(tensors(at / "other.safetensors", None)),
        "other.safetensors",
        "lacks the metadata key 'encoder'",
    ),
    "an encoder of an unknown kind": Row(
        lambda at: load_encoder(tensors(at / "new.safetensors", {"name": "conformer"})),
        "encoder is 'conformer'",
        "this version cannot build",
    ),
    "an encoder whose tensors do not fit": Row(
        lambda at: load_encoder(tensors(at / "x.safetensors", {"name": "ecapa_tdnn", **NARROW})),
        "x.safetensors' does not fit ecapa_tdnn (Missing",
        "another architecture or version",
    ),
    "an encoder that is text": Row(
        lambda at: load_encoder(text(at / "model.pt", "weights")), "model.pt", "something else"
    ),
    "a pickle that would run code": Row(
        lambda at: load_encoder(pickled(at / "evil.pt")), "it pickles an object of", "can be read"
    ),
    "no record": Row(
        lambda at: record.read(at / "run"), "run.json'", "No such file", FileNotFoundError
    ),
    "a record without arrays": Row(
        lambda at: record.read(without(recorded(at).with_suffix(".npz")).with_suffix("")),
        "run.npz'",
        "No such file",
        FileNotFoundError,
    ),
    "a record of another format": Row(
        lambda at: record.read(recorded(at, format=9)), "has format 9", "delete it and train"
    ),
    "a record that is no JSON": Row(
        lambda at: record.read(cut(recorded(at).with_suffix(".json")).with_suffix("")),
        "is damaged",
        "delete it and train",
    ),
    "a record whose arrays are cut": Row(
        lambda at: record.read(cut(recorded(at).with_suffix(".npz")).with_suffix("")),
        "File is not a zip file",
        "delete it and train",
    ),
}


def tensors(file: Path, config: dict | None) -> Path:
    metadata = None if config is None else {"encoder": json.dumps(config)}
    save_file({"weight": torch.zeros(2)}, str(file), metadata)
    return file


def pickled(file: Path) -> Path:
    torch.save({"model": {"encoder.x": Path(file)}}, file)
    return file


def recorded(at: Path, **changes) -> Path:
    values = {"format": record.FORMAT, "config": asdict(RunConfig())} | changes
    record.write(at / "run", values, {"x": np.zeros(3)})
    return at / "run"


KINDS = {"preset": str, "seed": int, "num_processes": int, "corpus": str}
GIVEN = {"preset": "smoke", "seed": 1, "num_processes": 1, "corpus": "simulated"}


def parameter(name: str, value: object, expected: str) -> Row:
    """A parameter of a chapter, as papermill would inject it."""
    given = {"__annotations__": KINDS} | GIVEN | {name: value}
    return Row(lambda _: notebook.check(given), repr(value) if name in KINDS else name, expected)


PARAMETERS = {
    "a misspelt parameter": parameter("sead", 2, "this chapter has preset, seed"),
    "a seed in words": parameter("seed", "one", "should be a int"),
    "a seed with a fraction": parameter("seed", 1.5, "a float, and should be a int"),
    "a seed that is a truth value": parameter("seed", True, "a bool, and should be a int"),
    "an unknown size": parameter("preset", "medium", "expected one of smoke, mini, paper"),
    "a chapter without processes": parameter("num_processes", 0, "expected at least 1"),
    "a corpus that is a number": parameter("corpus", 3, "should be a str"),
    "the published recipe on a toy": parameter("preset", "paper", "-p corpus voxceleb"),
}

ROWS = FIELDS | TOGETHER | RECIPES | RUNS | CHECKPOINTS | PARAMETERS
