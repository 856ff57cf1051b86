"""Runs: trained once, then loaded; records stand in where the run is absent."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_runs import new_home, tiny

from ssps_lib import training
from ssps_lib.training import loop, record, run_folder

QUICK = tiny(epochs=2, average_last=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, shared_home):
    """A home with one finished run, and the run."""
    home = new_home(tmp_path_factory.mktemp("finished") / "home", shared_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(home))
        return home, training.run(QUICK)


@pytest.fixture
def no_training(monkeypatch):
    """Fails where anything is trained."""

    def refuse(*arguments, **options):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(loop, "train", refuse)


def test_a_finished_run_is_loaded(finished, monkeypatch, no_training):
    home, run = finished
    monkeypatch.setenv("SSPS_HOME", str(home))
    again = training.run(QUICK)
    assert again.record == run.record
    assert again.folder == run_folder(QUICK)
    assert again.eer == again.scores["eer"] == run.eer
    with pytest.raises(AssertionError, match="trained again"):
        training.run(QUICK.with_(seed=3))


def test_what_a_run_tells(finished):
    _, run = finished
    assert list(run.metrics["epoch"]) == [1, 2]
    for name in ("loss", "dev_eer", "nmi_ratio", "embedding_std", "learning_rate", "seconds"):
        assert np.isfinite(run.metrics[name]).all(), name
    assert 0 <= run.scores["eer_low"] <= run.eer <= run.scores["eer_high"] <= 100
    assert 0 < run.scores["min_dcf"] <= 1
    assert run.scores["test_speakers"] == 4
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert sorted(os.listdir(run.folder)) == [
        "checkpoint", "config.json", "encoder.safetensors", "metrics.jsonl", "record.json",
        "record.npz",
    ]  # fmt: skip


def test_the_encoder_has_the_average_of_the_last_epochs(home):
    config = QUICK.with_(seed=5)
    states = []

    save_epoch = loop.save_epoch

    def spied(parts):
        save_epoch(parts)
        weights = parts.framework.encoder.state_dict()
        states.append({key: value.clone() for key, value in weights.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_epoch", spied)
        run = training.run(config)
    assert len(states) == 2
    for name, value in run.encoder().named_parameters():
        torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2)


def test_the_record_stands_in_for_the_run(finished, home, monkeypatch, no_training):
    _, run = finished
    target = home / "records" / run.config.name
    record.write(target, run.record, run.arrays)
    names = [f"{target.name}.json", f"{target.name}.npz"]
    assert sorted(os.listdir(target.parent)) == names
    assert sum((target.parent / name).stat().st_size for name in names) < 300_000

    alone = training.run(QUICK, records=target.parent)
    assert alone.folder is None
    assert alone.record == run.record
    assert set(alone.arrays) == set(run.arrays)
    for name, values in run.arrays.items():
        np.testing.assert_array_equal(alone.arrays[name], values)
    with pytest.raises(FileNotFoundError, match=r"only its record: train it with training\.run"):
        alone.encoder()
    assert training.load(QUICK) is None
    monkeypatch.setattr(training.config, "VERSION", training.config.VERSION + 1)
    assert training.load(QUICK) is None  # of other training semantics


def test_records_hold_the_config_and_no_path(finished):
    home, run = finished
    assert training.from_dict(run.record["config"]) == QUICK
    text = json.dumps(run.record)
    assert str(home) not in text
    assert not any(f"/{part}/" in text for part in ("home", "tmp", "root"))
    assert {"torch", "python", "ssps_lib"} <= set(run.record["versions"])
    assert run.record["seconds"] > 0


def test_a_version_names_the_commit_of_the_library(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # nobody's signatures and hooks
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "a")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "a")
    kept, other, installed = (tmp_path / name for name in ("kept", "other", "installed"))

    def git(*arguments):
        done = subprocess.run(["git", "-C", tmp_path, *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / ".gitignore").write_text("installed\n")
    for folder in (kept, other, installed):
        folder.mkdir()
        (folder / "step.py").write_text("1")
        git("add", ".")
        git("commit", "-m", folder.name)
    first = git("rev-parse", "--short", "HEAD~1")  # of three; the last had nothing to commit
    assert record.commit(kept) == first and record.commit(other) != first
    (other / "step.py").write_text("2")
    assert record.commit(kept) == first
    assert record.commit(other) == git("rev-parse", "--short", "HEAD") + ".changed"
    assert record.commit(installed) == ""
    monkeypatch.setenv("PATH", "")
    assert record.commit(kept) == ""


def test_the_arrays_are_what_figures_need(finished):
    arrays = finished[1].arrays
    for name in ("target_scores", "nontarget_scores", "test_same_speaker", "train_same_speaker"):
        assert arrays[name].shape == (100,)
        assert arrays[name].sum() == pytest.approx(1, abs=1e-5)
    assert arrays["tsne"].shape == (len(arrays["tsne_speaker"]), 2)
    rising = (np.diff(arrays["det_fnr"]) * np.diff(arrays["det_fpr"])).max()
    assert rising <= 0  # one error falls where the other rises


@pytest.mark.parametrize("values", [[0.5], [-1.0, 1.0], [1.0000001, 1.0]])
def test_histograms_count_all_cosines(values):
    shares = record.histogram(np.array(values))
    assert shares.sum() == pytest.approx(1)
    assert record.BINS.shape == (101,)


def test_numbers_are_stored_with_six_digits():
    assert record.rounded({"a": [1 / 3, 2, "x"], "b": 123456789.0}) == {
        "a": [0.333333, 2, "x"],
        "b": 123457000.0,
    }


def test_what_is_no_number_is_null_in_a_record_and_nan_in_a_curve(finished, tmp_path):
    """JSON has no NaN; accuracies are none where no anchor found a pseudo-positive."""
    values = finished[1].record | {
        "metrics": [{"epoch": 1, "speaker_accuracy": float("nan")}, {"epoch": 2}]
    }
    record.write(tmp_path / "x", values, {})
    assert "NaN" not in (tmp_path / "x.json").read_text()
    again = training.Run(QUICK, *record.read(tmp_path / "x"), None)
    assert again.record["metrics"][0]["speaker_accuracy"] is None
    assert np.isnan(again.metrics["speaker_accuracy"]).all()


def test_replicates_have_consecutive_seeds(monkeypatch):
    seen = []
    room = sys.modules["ssps_lib.training.run"]
    monkeypatch.setattr(room, "run", lambda config, *rest: seen.append(config))
    training.replicate(QUICK.with_(start_from=QUICK), 3)
    first = QUICK.seed
    assert [config.seed for config in seen] == [first, first + 1, first + 2]
    assert [config.start_from.seed for config in seen] == [first, first + 1, first + 2]
    assert dataclasses.replace(seen[0], start_from=None) == QUICK
