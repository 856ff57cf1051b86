"""The runner of the book's runs: what it plans, what it sees, and training in a second process."""

import json
import subprocess
import sys

import pytest

import runs
from execute import BOOK
from ssps_lib import recipes, training
from ssps_lib.training import record


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache without records."""
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path / "records"))
    return tmp_path


def test_plan_holds_what_chapters_11_and_12_compare():
    wanted = [recipes.recipe("simclr", name, preset="mini") for name in runs.BOOK]
    wanted += [
        recipes.recipe("simclr", name, preset="mini", augmentation="none") for name in runs.PLAIN
    ]
    planned = runs.plan("mini", 1)
    assert {one.config.name for one in planned} == {config.name for config in wanted}
    assert len(planned) == len(wanted)


def test_what_others_start_from_comes_first_then_the_longest():
    planned = runs.plan("mini", 2, wide=True)
    names = [one.config.name for one in planned]
    for place, one in enumerate(planned):
        if one.config.start_from is not None:
            assert one.config.start_from.name in names[:place]
    half = len(planned) // 2
    assert [one.config.seed for one in planned] == [1717] * half + [1718] * half
    costs = [runs.cost(p.config) for p in planned[:half] if p.config.start_from is not None]
    assert costs == sorted(costs, reverse=True)


def test_states_of_a_run(home):
    one = runs.plan("smoke", 1)[0]
    folder = training.run_folder(one.config)
    assert (one.state, one.kind) == ("missing", "simclr, ssl")
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    assert one.state == "epoch 1 of 2"
    (folder / "record.json").write_text("{}")
    assert one.state == "finished"


def test_the_published_recipe_wants_a_corpus(capsys):
    assert runs.main(["--preset", "paper", "--list"]) == 1
    assert "name it by --corpus" in capsys.readouterr().err


def test_unknown_kind_is_refused(capsys):
    assert runs.main(["--list", "--only", "simclr, none"]) == 1
    assert "no run is called simclr, none" in capsys.readouterr().err


def test_a_run_that_another_process_trained_is_listed_and_not_trained_again(home, capsys):
    options = ["--preset", "smoke", "--only", "simclr, ssl"]
    command = [sys.executable, BOOK / "runs.py", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained = done.stdout.splitlines()
    announced = ["1 left: simclr, ssl, seed 1717", "K and M at the start of SSPS, seed 1717"]
    assert trained[:2] == announced
    grid, run = files = sorted((home / "records").glob("*.json"))
    assert (grid.name.split("-")[0], run.name.split("-")[0]) == ("grid", "simclr")
    assert "record" in trained[2]
    assert f"{json.loads(run.read_text())['scores']['eer']:.2f} %" in trained[2]
    assert trained[-1] == "1 of 1 runs have a record; 0 left"
    times = [file.stat().st_mtime_ns for file in files]
    for again in ([*options, "--list"], options):
        assert runs.main(again) == 0
        assert capsys.readouterr().out.splitlines() == trained[2:]
    assert [file.stat().st_mtime_ns for file in files] == times


HOLD = """
import sys
from ssps_lib import recipes
from ssps_lib.training.run import alone
with alone(recipes.recipe(preset="smoke")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_another_process_trains_is_not_free_nor_what_starts_from_it(home):
    ssl, other = recipes.recipe(preset="smoke"), recipes.recipe("moco", preset="smoke")
    continued = recipes.recipe(positives="supervised", preset="smoke")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert [runs.free(config) for config in (ssl, continued, other)] == [False, False, True]
        process.stdin.close()
        process.wait()
    assert runs.free(continued)


def test_hours_that_are_left_come_from_the_runs_that_are_recorded(home):
    planned = runs.plan("mini", 1)
    assert runs.left(planned) == f"{len(planned)} left"
    ssl = planned[0].config
    rows = {"format": 1, "seconds": 3600.0, "metrics": []}
    (home / "records").mkdir()
    record.write(home / "records" / ssl.name, rows, {})
    hours = sum(runs.cost(one.config) for one in planned[1:]) / runs.cost(ssl)
    said = "{} left, about {:.1f} hours of one process".format
    assert runs.left(planned) == said(len(planned) - 1, hours)
    slow = recipes.recipe("dino", preset="mini")  # an epoch of which takes longer
    record.write(home / "records" / slow.name, rows | {"seconds": 36_000.0}, {})
    again = recipes.recipe("dino", preset="mini", seed=1718)
    wide = [*planned, *(runs.Planned(config, "dino, ssl") for config in (slow, again))]
    assert runs.left(wide) == said(len(planned), hours + 10)
