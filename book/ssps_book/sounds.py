"""Sounds on a page: small compressed players with the sound inside, so that no file is fetched."""

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np

from ssps_lib.corpora import SAMPLE_RATE


def player(waveform: np.ndarray, label: str, seconds: float | None = None) -> str:
    """An HTML audio player with an MP3 of one channel inside.

    Args:
        waveform: (T,) at 16 kHz, int16 or floats in [-1, 1]; what exceeds them is cut off.
        label: what is heard, read out by screen readers.
        seconds: how much of it is kept; all if None.
    """
    import soundfile

    sound = np.asarray(waveform)
    sound = sound[: None if seconds is None else int(seconds * SAMPLE_RATE)]
    floats = sound / 32768 if sound.dtype == np.int16 else sound.astype(np.float64)
    file = io.BytesIO()
    soundfile.write(file, floats.clip(-1, 1), SAMPLE_RATE, format="MP3")
    inside = base64.b64encode(file.getvalue()).decode()
    return (
        f'<audio controls preload="metadata" aria-label="{escape(label)}" '
        f'src="data:audio/mpeg;base64,{inside}"></audio>'
    )


def table(rows: Mapping[str, Mapping[str, tuple[np.ndarray, str]]], seconds: float = 2.0) -> str:
    """An HTML table of players: title of the row -> title of the column -> (waveform, words).

    The words stand below the player.
    """
    titles = list(dict.fromkeys(title for cells in rows.values() for title in cells))
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = ""
    for row, cells in rows.items():
        body += f'<tr><th scope="row">{escape(row)}</th>'
        for title in titles:
            if title in cells:
                waveform, words = cells[title]
                heard = player(waveform, ", ".join(filter(None, (row, title, words))), seconds)
                body += f"<td>{heard}<br>{escape(words)}</td>"
            else:
                body += "<td>–</td>"
        body += "</tr>"
    head = f"<thead><tr><td></td>{head}</tr></thead>"
    return f'<table class="players">{head}<tbody>{body}</tbody></table>'
