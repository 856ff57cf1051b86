"""Make a finished run's encoder the one that ships with the library (`ssps_lib.pretrained`).

    python book/ship.py ssps-nn            # of the runs on real voices, first seed

Weights, what they were trained on, and the error rates of the run's record: nothing is scored here.
"""

import argparse
import json

import numpy as np

from ssps_book import records
from ssps_lib import corpora, encoders, pretrained, recipes, training
from ssps_lib.training import record

README = """---
library_name: ssps_lib
license: mit
tags:
- model_hub_mixin
- pytorch_model_hub_mixin
- self-supervised-learning
- speaker-verification
---

# A small speaker encoder, trained without labels on {train_speakers} real speakers

A narrow ECAPA-TDNN ({channels} channels, {dim} dimensions, {kib} KiB), trained by SimCLR in the run
`{run}` of the book; the mean of the weights of its last
{averaged} epochs. Training and test voices are real and come from the same public collections; the
rooms, microphones and noises that tell their recordings apart are simulated.

| measured on | trials | EER |
|---|---|---|
| {test_speakers} speakers that it had not heard, within a collection | {trials:,} | {eer:.2f} % |

The threshold in `calibration.json` is that of equal error on these trials. Other microphones, rooms
and languages have other error rates, and seven hours of speech are little: use it to try the
library out, not to verify anybody.

```python
from ssps_lib import pretrained

encoder = pretrained.encoder()
y = encoder(waveform)  # (B, T) in [-1, 1] at 16 kHz -> (B, {dim})
```

Heard in training: Common Voice 6.1 and deltas (CC0), speechocean762, Speech Commands 0.02, Coswara
and Arabic Speech Commands (CC BY 4.0), DSPSpeech-20 (MIT).
"""


def calibration(run: training.Run) -> dict:
    """What `pretrained.Calibration` holds, from the histograms of a record."""
    miss = np.append(0, np.cumsum(run.arrays["target_scores"]))
    false_alarm = 1 - np.append(0, np.cumsum(run.arrays["nontarget_scores"]))
    shown = np.flatnonzero((miss > 0) | (false_alarm < 1))
    shown = shown[: np.flatnonzero(miss[shown] >= 1 - 1e-6)[0] + 1]
    scores, config = run.record["scores"], run.config
    threshold = round(float(np.interp(0, miss - false_alarm, record.BINS)), 3)
    points = [(record.BINS[i].round(2), miss[i], false_alarm[i]) for i in shown]
    points.append((threshold, scores["eer"] / 100, scores["eer"] / 100))  # finer than a bin
    table = np.array(sorted(points)).T.clip(0).round(6).tolist()
    heard = corpora.open_corpus(config.corpus, **config.corpus_options).train
    return {
        "record": run.record["name"],
        "train_speakers": len(np.unique(heard.speakers)),
        "trials": scores["trials"],
        "test_speakers": scores["test_speakers"],
        "eer": scores["eer"],
        "threshold": threshold,
        **dict(zip(("scores", "miss", "false_alarm"), table, strict=True)),
    }


def ship(run: training.Run) -> None:
    """Replace the folder's files."""
    encoder, known = run.encoder().eval(), calibration(run)
    encoder.save_pretrained(pretrained.FOLDER)
    target = pretrained.FOLDER / "calibration.json"
    target.write_text(json.dumps(known, indent=1) + "\n")
    weights = (pretrained.FOLDER / encoders.encoder.HUB_FILE).stat().st_size
    (pretrained.FOLDER / "README.md").write_text(README.format(
        channels=encoder.config["channels"], dim=encoder.dim, kib=weights // 1024,
        run=known["record"], averaged=run.config.average_last,
        **{name: known[name] for name in ("train_speakers", "test_speakers", "trials", "eer")},
    ))  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Ship the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("positives", choices=(*recipes.POSITIVES, "ssl-continued"))
    parser.add_argument("--seed", type=int, default=1717)
    options = parser.parse_args(arguments)
    config = recipes.recipe(positives=options.positives, corpus="voices", seed=options.seed)
    run = training.run(config)
    records.export(run)
    ship(run)


if __name__ == "__main__":
    main()
