"""Players on a page: what is heard is what was given, and little of it."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from ssps_book import sounds
from ssps_lib.corpora import SAMPLE_RATE

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)


def heard(html):
    inside = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', html)[1]
    return soundfile.read(io.BytesIO(base64.b64decode(inside)))


def peak(sound):
    return np.abs(np.fft.rfft(sound)).argmax() * SAMPLE_RATE / len(sound)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_the_sound_is_kept(dtype):
    given = (TONE * 32768).astype(dtype) if dtype is np.int16 else TONE.astype(dtype)
    sound, rate = heard(sounds.player(given, "a tone", seconds=1.0))
    assert rate == SAMPLE_RATE
    assert len(sound) == pytest.approx(SAMPLE_RATE, rel=0.2)  # MP3 comes in whole frames
    assert peak(sound) == pytest.approx(440, abs=3)
    assert np.std(sound[2000:12000]) == pytest.approx(np.std(TONE), rel=0.1)


def test_a_player_is_a_third_of_its_samples_at_most():
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE)
    assert len(sounds.player(noise, "noise")) < 2 * len(noise) / 3 * 4 / 3


def test_a_table_names_every_player_and_leaves_gaps():
    rows = {"anchor <1>": {"before": (TONE, "same voice"), "after": (TONE, "")},
            "anchor 2": {"after": (TONE, "other voice")}}  # fmt: skip
    html = sounds.table(rows, seconds=0.5)
    labels = re.findall(r'aria-label="([^"]*)"', html)
    assert labels == ["anchor &lt;1&gt;, before, same voice", "anchor &lt;1&gt;, after",
                      "anchor 2, after, other voice"]  # fmt: skip
    assert html.count("<td>–</td>") == 1
    assert html.count('scope="col"') == html.count('scope="row"') == 2
