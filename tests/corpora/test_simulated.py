"""Simulated voices: reproducible, at a sane level, with the pitch and resonances of their score."""

import numpy as np
import pytest
import torch

from ssps_lib.corpora import open_corpus
from ssps_lib.corpora.sessions import make_channel
from ssps_lib.corpora.simulated import Size, open_simulated, render
from ssps_lib.corpora.synthesis import FRAME, HOP, SAMPLE_RATE, Score, make_voice, speak

TINY = {
    "speakers": 3, "recordings": 2, "utterances": 2, "seconds": 1.0,
    "dev_speakers": 2, "test_speakers": 2, "test_recordings": 2,
}  # fmt: skip
PLAN = [(s, r, u) for s in range(3) for r in range(2) for u in range(2)]


def rendered(plan=PLAN, batch=32, **changes):
    batches = list(render(Size(**{**TINY, **changes}), plan, batch=batch))
    return dict(zip(plan, np.concatenate(batches).astype(int), strict=True))


@pytest.fixture(scope="module")
def corpus():
    return rendered()


def test_the_same_plan_gives_the_same_bytes(corpus):
    again = rendered()
    assert all(np.array_equal(again[key], corpus[key]) for key in PLAN)


@pytest.mark.parametrize("batch", [1, 5])
def test_an_utterance_does_not_depend_on_its_batch(corpus, batch):
    """Up to the last bit: vector units round the ends of an array in another way."""
    other = rendered(PLAN[::-1], batch)
    for key in PLAN:
        difference = np.abs(other[key] - corpus[key])
        assert difference.max() <= 1 and difference.mean() < 0.02


def test_seeds_speakers_recordings_and_utterances_differ(corpus):
    def alike(a, b):
        return np.corrcoef(a, b)[0, 1]

    assert alike(corpus[0, 0, 0], rendered([(0, 0, 0)], seed=2)[0, 0, 0]) < 0.5
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert alike(corpus[0, 0, 0], corpus[other]) < 0.5


def test_level_is_sane_and_clipping_rare(corpus):
    samples = np.stack(list(corpus.values())) / 32768
    level = np.sqrt((samples**2).mean(1))
    assert (level > 0.12).all() and (level < 0.18).all()
    assert (np.abs(samples) >= 32767 / 32768).mean() < 2e-3


def test_splits_and_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path))
    splits = open_corpus("simulated", **TINY)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [12, 8, 8]
    assert splits.train.speakers.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert splits.train.recordings.tolist() == np.repeat(np.arange(6), 2).tolist()
    speakers = [
        {key.split("/")[0] for key in part.keys} for part in (splits.train, splits.dev, splits.test)
    ]
    assert len(set.union(*speakers)) == 7 == sum(map(len, speakers))
    expected = rendered()[1, 1, 0]
    index = list(splits.train.keys).index("s0001/r01/u00.wav")
    assert np.abs(splits.train.audio(index) - expected).max() <= 1
    for part, trials in ((splits.dev, splits.dev_trials), (splits.test, splits.test_trials)):
        target = trials.labels == 1
        a, b = trials.first[target], trials.second[target]
        assert (part.speakers[a] == part.speakers[b]).all()
        assert (part.recordings[a] != part.recordings[b]).all()
    monkeypatch.setattr("ssps_lib.corpora.simulated.render", None)  # rendering again would fail
    assert np.array_equal(open_simulated(**TINY).test.samples, splits.test.samples)
    assert len(list((tmp_path / "corpora").iterdir())) == 1


def test_an_unknown_proportion_is_refused_by_name():
    with pytest.raises(ValueError, match="no proportion 'speaker'; known are speakers, "):
        open_simulated(speaker=3)


@pytest.mark.parametrize(("name", "value"), [("dev_speakers", 1), ("seconds", 0.1)])
def test_proportions_without_trials_or_phones_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}, expected greater than"):
        open_simulated(**{**TINY, name: value})


# -- voices -------------------------------------------------------------------------------------


def sustained(pitch, resonances, seconds=1.0, breath=0.0):
    """One vowel held at one pitch, as samples (T,)."""
    samples = int(seconds * SAMPLE_RATE)
    frames = samples // HOP + 1
    held = np.ones(frames)
    score = Score(
        resonances=np.array(resonances[:3], float)[:, None] * held,
        upper=np.array(resonances[3:], float),
        bandwidths=np.array([70.0, 90.0, 130.0, 200.0, 280.0]),
        nasal=0 * held,
        friction=np.array([5000.0, 1000.0])[:, None] * held,
        voicing=held,
        noise=breath * held,
        pitch=pitch * held,
        tilt=-3.0,
    )
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    return speak([score], noise)[0].double().numpy()


@pytest.mark.parametrize("pitch", [90.0, 147.3, 260.0])
def test_pitch_is_the_one_of_the_score(pitch):
    x = sustained(pitch, [500, 1500, 2500, 3500, 4500])[2000:14_000]
    correlation = np.correlate(x, x, "full")[len(x) - 1 :]
    lags = np.arange(SAMPLE_RATE // 400, SAMPLE_RATE // 60)
    best = lags[np.argmax(correlation[lags] / (len(x) - lags))]
    periods = best * pitch / SAMPLE_RATE  # a multiple of the period is as good a match
    assert round(periods) >= 1 and periods == pytest.approx(round(periods), abs=0.02)
    harmonics = np.abs(np.fft.rfft(x * np.hanning(len(x)), 2**17))
    hertz = np.arange(len(harmonics)) * SAMPLE_RATE / 2**17
    near = (hertz > 0.8 * pitch) & (hertz < 1.2 * pitch)
    assert hertz[near][np.argmax(harmonics[near])] == pytest.approx(pitch, rel=0.01)


@pytest.mark.parametrize("resonances", [[300, 2200, 3000], [700, 1200, 2600]])
def test_spectrum_peaks_where_the_formants_are(resonances):
    x = sustained(100.0, [*resonances, 3700, 4700])[1000:15_000]
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP] * np.hanning(FRAME)
    level = np.log(np.abs(np.fft.rfft(frames, 4096)).mean(0))
    hertz = np.arange(len(level)) * SAMPLE_RATE / 4096
    for formant in resonances:
        near = np.abs(hertz - formant) < 250
        assert abs(hertz[near][np.argmax(level[near])] - formant) < 80  # harmonics lie 100 Hz apart


def test_breath_fills_the_gaps_between_harmonics():
    def gap(x):
        spectrum = np.abs(np.fft.rfft(x[:16_000] * np.hanning(16_000)))
        return spectrum[1450] / spectrum[1500]

    resonances = [500, 1500, 2500, 3500, 4500]
    assert gap(sustained(100.0, resonances, breath=0.3)) > 5 * gap(sustained(100.0, resonances))


def test_traits_spread_the_voices():
    def pitches(spread):
        return [make_voice(np.random.default_rng(s), spread).pitch for s in range(50)]

    assert np.std(pitches(0.0)) == 0
    assert np.std(np.log(pitches(2.0))) == pytest.approx(2 * np.std(np.log(pitches(1.0))))


# -- channels -----------------------------------------------------------------------------------


def test_channels_have_unit_energy_and_strength_zero_is_dry():
    for seed in range(5):
        channel = make_channel(np.random.default_rng(seed), 1.0)
        assert np.sum(channel.response.astype(float) ** 2) == pytest.approx(1)
        assert 0 <= channel.modulation < 1
    dry = make_channel(np.random.default_rng(0), 0.0)
    assert dry.snr > 35 and dry.drive == 0
    assert np.sum(dry.response[:8].astype(float) ** 2) > 0.99


def spectrum(x):
    """Long-term spectrum in 64 bands, in dB about its mean."""
    power = np.abs(np.fft.rfft(x.astype(float))) ** 2
    bands = 10 * np.log10(power[1:].reshape(64, -1).mean(1))
    return bands - bands.mean()


def test_without_channels_recordings_of_a_speaker_are_as_alike_as_utterances():
    plan = [(s, r, u) for s in range(4) for r in range(2) for u in range(2)]

    def ratio(channel):
        """Distance across the recordings of a speaker, relative to the one within them."""
        audio = rendered(plan, channel=channel, drift=0.0, seconds=2.0, seed=2)
        x = {key: spectrum(samples) for key, samples in audio.items()}
        within = [np.abs(x[s, r, 0] - x[s, r, 1]).mean() for s in range(4) for r in range(2)]
        across = [
            np.abs(x[s, 0, u] - x[s, 1, v]).mean()
            for s in range(4) for u in range(2) for v in range(2)
        ]  # fmt: skip
        return np.mean(across) / np.mean(within)

    assert ratio(0.0) < 1.1
    assert ratio(1.0) > 1.2
