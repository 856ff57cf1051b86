"""`save_pretrained` and `from_pretrained`, and the encoder that is shipped in such a folder."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssps_lib import encoders, load_encoder, pretrained, scorer
from ssps_lib.corpora import Corpus, make_trials, simulated
from ssps_lib.encoders import ECAPATDNN, Encoder, FastResNet34
from ssps_lib.training import record

SMALL = {"channels": 8, "dim": 12}
RECORDS = Path(__file__).parents[2] / "book" / "records"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test may reach a network: sockets are refused."""

    def refuse(*_, **__):
        raise AssertionError("something asked for a network connection")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = ECAPATDNN(**SMALL, attention=4, se=4)
    encoder(torch.randn(4, 8_000))  # moves the running statistics
    return encoder


@pytest.mark.parametrize("reader", [Encoder.from_pretrained, ECAPATDNN.from_pretrained])
def test_a_folder_gives_the_same_encoder_again(encoder, reader, tmp_path):
    encoder.save_pretrained(tmp_path / "new" / "folder")
    loaded, waveform = reader(tmp_path / "new" / "folder"), torch.randn(2, 9_000)
    assert type(loaded) is ECAPATDNN and not loaded.training
    assert loaded.config == encoder.config
    torch.testing.assert_close(loaded(waveform), encoder.eval()(waveform), atol=0, rtol=0)


def test_the_folder_is_one_that_hubs_know(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "README.md", "config.json", "model.safetensors",
    }  # fmt: skip
    assert json.loads((tmp_path / "config.json").read_text()) == encoder.config
    card = (tmp_path / "README.md").read_text()
    assert "library_name: ssps_lib" in card and "speaker-verification" in card
    assert load_encoder(tmp_path / "model.safetensors").config == encoder.config


def test_the_mixin_changes_neither_weights_nor_copies(encoder):
    names = set(encoder.state_dict())
    assert names == set(copy.deepcopy(encoder).state_dict())
    assert not any("hub" in name for name in names)
    assert encoders.build(**encoder.config).config == encoder.config


def test_what_does_not_fit_is_refused(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds the encoder ecapa_tdnn, expected FastResNet34"):
        FastResNet34.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"have dim = 12, but config\.json or the call says 16"):
        Encoder.from_pretrained(tmp_path, dim=16)
    (tmp_path / "config.json").write_text(json.dumps(encoder.config | {"channels": 16}))
    with pytest.raises(ValueError, match=r"have channels = 8, but config\.json"):
        Encoder.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="no checkpoint that can be read"):
        Encoder.from_pretrained(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none' is not a folder, expected one that save"):
        Encoder.from_pretrained(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        Encoder.from_pretrained(tmp_path / "empty")


# -- the shipped encoder ------------------------------------------------------------------------


def test_the_shipped_folder_is_small_and_loads():
    assert sum(file.stat().st_size for file in pretrained.FOLDER.glob("*.*")) < 2_000_000
    encoder = pretrained.encoder()
    assert not encoder.training and encoder(torch.randn(1, 16_000)).shape == (1, 128)
    known, page = pretrained.calibration(), (pretrained.FOLDER / "README.md").read_text()
    assert f"| {known.trials:,} | {known.eer:.2f} % |" in page
    assert f"on {known.train_speakers} real speakers" in page
    assert "simulated" in page and "simulated" in pretrained.NOTE


def test_calibration_follows_from_the_record_of_the_run():
    known = pretrained.calibration()
    stored, arrays = record.read(RECORDS / known.record)
    assert (known.eer, known.trials) == (stored["scores"]["eer"], stored["scores"]["trials"])
    assert known.test_speakers == stored["scores"]["test_speakers"]
    config = stored["config"]
    assert config["corpus"] == "voices" and config["positives"] != "supervised"
    assert config["encoder_options"].items() <= pretrained.encoder().config.items()
    miss = np.append(0, np.cumsum(arrays["target_scores"]))
    false_alarm = 1 - np.append(0, np.cumsum(arrays["nontarget_scores"]))
    assert known.threshold == pytest.approx(np.interp(0, miss - false_alarm, record.BINS), abs=1e-3)
    bins = np.array(known.scores) != known.threshold
    place = np.rint((np.array(known.scores)[bins] + 1) / 0.02).astype(int)
    np.testing.assert_allclose(np.array(known.miss)[bins], miss[place], atol=1e-5)
    np.testing.assert_allclose(np.array(known.false_alarm)[bins], false_alarm[place], atol=1e-5)
    assert (np.diff(known.miss) >= 0).all() and (np.diff(known.false_alarm) <= 0).all()
    assert 100 * np.mean(known.rates(known.threshold)) == pytest.approx(known.eer, abs=1e-3)


def test_the_shipped_encoder_tells_new_voices_apart():
    size = simulated.Size(channel=1.4, traits=1.6)
    plan = [(400 + s, r, 0) for s in range(8) for r in range(3)]  # nobody it has heard
    audio = np.concatenate(list(simulated.render(size, plan)))
    speakers = np.arange(24) // 3
    offsets = np.arange(25) * audio.shape[1]
    keys = np.array([f"{s}/{r}/{u}" for s, r, u in plan])
    corpus = Corpus("new voices", audio.reshape(-1), offsets, speakers, np.arange(24), keys)
    trials = make_trials(speakers, corpus.recordings, 3, seed=0)
    scores = scorer.score(scorer.embed(pretrained.encoder(), corpus), trials)
    assert scorer.eer(scores, trials.labels) < 30


@pytest.mark.parametrize(
    "folder", sorted(RECORDS.parent.glob("encoders/*/")), ids=lambda folder: folder.name
)
def test_encoders_of_the_book_load_and_name_a_record(folder):
    encoder = Encoder.from_pretrained(folder)
    assert encoder(torch.randn(1, 16_000)).shape == (1, encoder.dim)
    page = (folder.parent / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{folder.name}`")]
    stored, _ = record.read(RECORDS / row.split("`")[3])
    assert stored["config"]["encoder_options"].items() <= encoder.config.items()


def test_encoders_of_the_book_are_small():
    sizes = [file.stat().st_size for file in RECORDS.parent.glob("encoders/*/*")]
    assert len(sizes) >= 8 and sum(sizes) < 10_000_000
