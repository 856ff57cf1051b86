"""Which run is which: two corpora of one name, noise banks, corpora that are not here; waiting."""

import sys
import warnings

import numpy as np
import pytest
import soundfile as sf
from killing import PATIENCE, start, wait_for
from small_runs import new_home, outcome, tiny

from ssps_lib import files, training
from ssps_lib.augmentation import write_bank
from ssps_lib.corpora import locate, open_corpus
from ssps_lib.noises import generated_bank
from ssps_lib.training import record, run_name
from ssps_lib.training.build import open_bank, open_splits

QUICK = tiny(epochs=1, average_last=1)


def speech(folder, speakers, first, louder=1.0):
    """Speakers with two recordings of two utterances: `shared/cases/01` as a function."""
    for s in range(speakers):
        for r in range(2):
            for u in range(2):
                rng = np.random.default_rng([first, s, r, u])
                t = np.arange(16_000) / 16_000
                pitch = 2 * np.pi * (90 + 13 * s + first)
                x = sum(np.sin(pitch * k * t + rng.uniform(0, 6)) / k for k in range(1, 20))
                file = folder / f"p{first + s}" / f"rec{r}" / f"u{u}.wav"
                file.parent.mkdir(parents=True, exist_ok=True)
                noise = 0.002 * rng.standard_normal(len(t))
                sf.write(file, louder * (0.05 * x + noise), 16_000)
    return folder


def on(folder, **changes):
    return tiny(corpus=str(folder), corpus_options={}, epochs=1, average_last=1, **changes)


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A home that shares no corpora."""
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "own"))
    return tmp_path / "own"


def test_two_folders_of_one_name_are_two_runs(own_home, tmp_path):
    a, b = (on(speech(tmp_path / n / "wav", 8, first)) for n, first in (("A", 0), ("B", 100)))
    assert a.name == b.name and run_name(a) != run_name(b)
    one = training.run(a)
    assert training.load(b) is None
    other = training.run(b)
    assert one.name != other.name and training.load(a).record == one.record


def test_the_place_of_a_corpus_names_no_run_and_a_start_from_another_does(own_home, tmp_path):
    a, again = (on(speech(tmp_path / name / "wav", 8, 0)) for name in "AB")
    assert run_name(a) == run_name(again)
    other = on(speech(tmp_path / "C" / "wav", 8, 50))
    continued = [a.with_(start_from=parent) for parent in (again, other)]
    assert continued[0].name == continued[1].name
    assert run_name(continued[0]) != run_name(continued[1])


def test_the_simulated_corpus_adds_nothing_to_a_name():
    assert run_name(QUICK.with_(start_from=QUICK)) == QUICK.with_(start_from=QUICK).name


def test_a_record_stands_in_for_a_run_whose_corpus_is_not_here(own_home, tmp_path):
    here = on(speech(tmp_path / "A" / "wav", 8, 0))
    done = training.run(here)
    record.write(tmp_path / "records" / done.name, done.record, done.arrays)
    away = here.with_(corpus="/nowhere/wav")
    assert training.load(away, tmp_path / "records").folder == done.folder  # an equal config
    done.folder.rename(tmp_path / "elsewhere")
    assert training.load(away, tmp_path / "records").record == done.record
    assert training.load(away.with_(seed=9), tmp_path / "records") is None


def test_the_noise_bank_is_part_of_the_name_and_never_taken_unasked(own_home, tmp_path):
    made = on(speech(tmp_path / "A" / "wav", 8, 0), augmentation="reverb+noise")
    asked = made.with_(noises="bank")
    with pytest.raises(ValueError, match=r"noises is 'bank' but the corpus .* without MUSAN"):
        training.run(asked)
    splits = open_splits(made)
    (packed,) = (p for p in (own_home / "corpora").glob("wav-*") if p.is_dir())
    assert splits.bank is None and locate(packed.name) == packed


def test_a_bank_of_the_corpus_is_read_only_where_it_is_asked_for(own_home, tmp_path, monkeypatch):
    splits = open_corpus("simulated", **QUICK.corpus_options)
    bank = generated_bank(splits.train, seed=5, size=2, seconds=1.0, rooms=3)
    splits.bank = tmp_path / "bank.safetensors"
    write_bank(bank, splits.bank)
    config = QUICK.with_(augmentation="reverb+noise")
    assert len(open_bank(config, splits).noises) > len(bank.noises)
    assert len(open_bank(config.with_(noises="bank"), splits).noises) == len(bank.noises)
    names = []
    for seed in (5, 6):
        write_bank(generated_bank(splits.train, seed, size=2, seconds=1.0, rooms=3), splits.bank)
        room = sys.modules["ssps_lib.training.run"]
        monkeypatch.setattr(room, "open_splits", lambda config: splits)
        names.append(run_name(config.with_(corpus="packed", noises="bank")))
    assert names[0] != names[1]


def test_two_askers_train_once_and_other_runs_are_not_held_up(home, tmp_path):
    notes = [tmp_path / name for name in ("one", "two", "other")]
    configs = [QUICK, QUICK, QUICK.with_(seed=5)]
    processes = []
    for config, note in zip(configs, notes, strict=True):
        processes.append(start(config, home, note))
        wait_for((files.home() / "locks" / f"{config.name}.lock").exists)
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    one, two, other = (note.read_text().splitlines() for note in notes)
    assert sorted([one.count("iteration"), two.count("iteration")]) == [0, 4]
    assert one[-1] == two[-1] and one[-1].startswith("eer ")
    waiting = [line for line in one + two if "another process works on run" in line]
    assert len(waiting) <= 1 and all(line.endswith(": waiting for it") for line in waiting)
    assert other.count("iteration") == 4 and "another process" not in "".join(other)
    together = outcome(configs[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(new_home(tmp_path / "alone", home)))
        training.run(configs[2])
        assert outcome(configs[2]) == together


def test_a_run_that_was_killed_is_taken_up_without_a_word(home, tmp_path):
    """The operating system released its lock."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (files.home() / "locks").mkdir()
        (files.home() / "locks" / f"{QUICK.name}.lock").touch()
        training.run(QUICK)
