"""The search for small recipes: its trials are runs of their own, and its rows are found again."""

import pytest

import search
from ssps_book import records
from ssps_lib import files, recipes

TRIALS = [(name, label) for name, trials in search.TRIALS.items() for label in trials]


def test_no_two_trials_are_the_same_run():
    names = {search.path(*trial) for trial in TRIALS}
    assert len(names) == len(TRIALS)
    assert all(len(trials) <= 30 for trials in search.TRIALS.values())


def test_a_trial_is_trained_once_and_listed(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path))
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    trained = []

    def trial(framework, label):
        trained.append(label)
        return {"dev_eer": 12.5, "start": {"ssps-nn, M = 1": 0.4}}

    monkeypatch.setattr(search, "trial", trial)
    for _ in range(2):
        search.main(["--only", "moco"])
    assert trained == list(search.TRIALS["moco"])
    assert "12.50 %  0.400" in capsys.readouterr().out
    assert records.load_values(search.path("moco", trained[0]))["dev_eer"] == 12.5


def test_what_another_process_trains_is_left_to_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path))
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))

    def alone(*_, **__):
        raise files.RefusedError("another process works on this trial")

    monkeypatch.setattr(files, "alone", alone)
    monkeypatch.setattr(search, "trial", lambda *_: pytest.fail("it was trained twice"))
    search.main(["--only", "swav"])


def test_rows_are_listed_with_the_recipe_first_and_the_best_last(monkeypatch, tmp_path):
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path))
    for label, eer in (("b", 9.0), ("the scaled recipe", 5.0), ("a", 12.0)):
        row = {"framework": "swav", "label": label, "dev_eer": eer}
        records.save_values(f"search-{label}", row)
    records.save_values("search-other", {"framework": "dino", "label": "a", "dev_eer": 1.0})
    assert [row["label"] for row in records.searched("swav")] == ["the scaled recipe", "a", "b"]


def test_stored_rows_are_the_runs_that_the_trials_describe():
    stored = {file.stem for file in records.folder().glob("search-*.json")}
    assert stored and stored <= {search.path(*trial) for trial in TRIALS}


@pytest.mark.parametrize("framework", ["simclr", "moco", "swav", "vicreg", "dino"])
def test_the_recipe_is_the_one_that_was_written_down_before_test_speakers_were_scored(framework):
    written = records.load_values("targets")["simulated"]["recipe"]
    shared = dict(written["all"])
    made = recipes.recipe(framework, "ssps-clustering", preset="mini")
    assert made.encoder_options["hop_length"] == shared.pop("hop_length")
    late = {name: shared.pop(name) for name in ("clusters", "window", "positive_queue")}
    assert {name: getattr(made, name) for name in late} == late
    wanted = shared | written.get(framework, {})
    options = wanted.pop("framework_options", {})
    if made.schedule == "cosine":  # which has no steps
        del wanted["decay"]
    assert {name: getattr(made.start_from, name) for name in wanted} == wanted
    assert options.items() <= made.framework_options.items()
