"""What names a run: every choice, and nothing of the machine."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from ssps_lib.recipes import recipe
from ssps_lib.training import RunConfig, config, from_dict, with_seed

OTHER = {
    "corpus": "other", "corpus_options": {"speakers": 9}, "crop": 1.0, "reference_crop": 3.0,
    "augmentation": "none", "noises": "bank", "reference_augmentation": True,
    "framework": "moco", "framework_options": {"temperature": 0.1},
    "encoder": "fast_resnet34", "encoder_options": {"channels": 8}, "positives": "supervised",
    "clusters": 7, "window": 3, "candidates": "cluster", "positive_queue": 5, "epochs": 3,
    "queue_precision": "fp16", "kmeans_precision": "bf16", "compiler": "inductor",
    "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1, "decay": 0.5, "decay_every": 2,
    "warmup_epochs": 1, "schedule": "cosine", "schedule_epochs": 200,
    "final_learning_rate": 1e-6, "weight_decay": 0.1, "clip_norm": 1.0, "precision": "bf16",
    "seed": 2, "average_last": 3, "observe_every": 4, "start_from": RunConfig(epochs=1),
}  # fmt: skip

RECORDS = Path(__file__).parents[2] / "book" / "records"
HASH = "40b5ded1a5d2"  # of RunConfig() at VERSION 1


@pytest.mark.parametrize("name", [f.name for f in fields(RunConfig)])
def test_every_field_changes_the_hash(name):
    assert RunConfig(**{name: OTHER[name]}).hash != RunConfig().hash


def test_fields_that_came_later_leave_the_names_of_older_runs():
    """The hash of a config as the first version of the library had it."""
    assert RunConfig().hash == HASH
    values = RunConfig().to_dict()
    assert not set(config.LATER) & set(values)
    assert from_dict(values) == RunConfig()


def test_every_stored_record_is_still_found_by_its_config():
    """The names that older versions of the library gave them."""
    found = {file.stem: json.loads(file.read_text()) for file in RECORDS.glob("*.json")}
    configs = {name: from_dict(values["config"]) for name, values in found.items()
               if "config" in values}  # fmt: skip
    for name, one in configs.items():
        held = "" if one.corpus == "simulated" else "(-[0-9a-f]{8})?"  # by a corpus in files
        assert re.fullmatch(one.name + held, name)
    for framework in ("simclr", "moco", "swav", "vicreg", "dino"):
        for kind in ("ssl", "ssl-continued", "ssps-clustering"):
            assert recipe(framework, kind, preset="mini").name in configs


@pytest.mark.parametrize(("values", "sentence"), [
    ({"epochs": 0}, "epochs is 0, expected greater than 0"),
    ({"epochs": True}, "epochs is True, expected a valid integer"),
    ({"optimizer": "lamb"}, "optimizer is 'lamb', expected 'adam' or 'sgd'"),
    ({"corpus": ""}, "corpus is '', expected at least 1 character"),
    ({"encoder_options": {8: 1}}, "encoder_options (at 8) is 8, expected a valid string"),
    ({"crop": 0.0, "epochs": 0}, "crop is 0.0, expected greater than 0"),
])  # fmt: skip
def test_a_refusal_is_one_sentence(values, sentence):
    with pytest.raises(ValueError) as caught:
        RunConfig(**values)
    assert str(caught.value) == sentence


def test_a_number_may_be_written_without_its_point():
    assert RunConfig(crop=2).hash == RunConfig(crop=2.0).hash


def test_the_seed_of_the_parent_changes_the_hash():
    child = RunConfig(start_from=RunConfig())
    assert child.hash != child.with_(start_from=RunConfig(seed=2)).hash
    assert with_seed(child, 2).start_from.seed == with_seed(child, 2).seed == 2


def test_the_order_of_fields_and_options_does_not_matter():
    a = RunConfig(seed=3, corpus_options={"speakers": 4, "seconds": 2.0})
    b = RunConfig(corpus_options={"seconds": 2.0, "speakers": 4}, seed=3)
    assert a.hash == b.hash
    assert from_dict(dict(reversed(asdict(a).items()))).hash == a.hash


def test_the_place_of_a_corpus_does_not_matter():
    a, b = RunConfig(corpus="/here/speech"), RunConfig(corpus="/there/on/disk/speech/")
    assert a.name == b.name
    assert "here" not in json.dumps(a.to_dict())
    assert RunConfig(corpus="/here/other").hash != a.hash
    nested = [RunConfig(start_from=parent) for parent in (a, b)]
    assert nested[0].hash == nested[1].hash


def test_new_training_semantics_name_other_runs(monkeypatch):
    before = RunConfig().hash
    monkeypatch.setattr(config, "VERSION", config.VERSION + 1)
    assert RunConfig().hash != before


def test_configs_survive_json():
    same = {"framework": "moco", "encoder": "fast_resnet34", "optimizer": "sgd"}
    parent = RunConfig(epochs=1, **same)
    changes = {"positives": "ssps-nn", "epochs": 100, "start_from": parent}
    child = RunConfig(**(OTHER | changes))
    assert from_dict(json.loads(json.dumps(asdict(child)))) == child
    assert from_dict(json.loads(json.dumps(child.to_dict()))).hash == child.hash


def test_epochs_add_up_over_what_came_before():
    first = RunConfig(epochs=5)
    third = RunConfig(epochs=1, start_from=RunConfig(epochs=2, start_from=first))
    assert (third.first_epoch, third.last_epoch) == (7, 8)
