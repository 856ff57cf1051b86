"""The training loop: epochs, what is observed after each, and when it stops."""

import json
import math
import os
import time
from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from ssps_lib import analysis, scorer
from ssps_lib.encoders import save_encoder
from ssps_lib.frameworks import collapse
from ssps_lib.training import signals, state, tracking
from ssps_lib.training.build import Parts
from ssps_lib.training.config import learning_rate
from ssps_lib.training.data import Batch
from ssps_lib.training.health import DivergedError, Watch
from ssps_lib.training.step import iteration, schedule

MINUTES = 30.0  # between checkpoints within an epoch
ASK = {"cuda": 10}  # iterations from one look at signals and clock to the next, each waits for it
EMBEDDED = 20_000  # training utterances, at most, that are encoded to observe them


def train(run: Parts) -> None:
    """Train what is left, with a checkpoint after each epoch and every few minutes within.

    Raises:
        SystemExit, KeyboardInterrupt: SIGTERM or SIGINT came; a checkpoint was written.
        DivergedError: a loss or an embedding is not finite.
    """
    minutes = checkpoint_minutes()
    position, config = run.position, run.config
    with signals.noticed() as notice, tracking.tracked(run.accelerator, position.metrics):
        if (position.epoch, position.step) == (config.first_epoch, 0):
            fill(run, notice)
        while position.epoch < config.last_epoch:
            values = train_epoch(run, notice, minutes) | observe(run)
            if run.accelerator.is_main_process:
                collapse.warn(values, position.epoch + 1)
            position.next_epoch({k: v if math.isfinite(v) else None for k, v in values.items()})
            save_epoch(run)
            tracking.track(run.accelerator, position.metrics[-1])
            if asked(run, notice.number is not None):
                raise notice.error(f"after epoch {position.epoch}", "a checkpoint was written")


def checkpoint_minutes() -> float:
    """Minutes between checkpoints within an epoch: `$SSPS_CHECKPOINT_MINUTES`, 0 for every step.

    It is no part of a `RunConfig`, since no result depends on it.
    """
    text = os.environ.get("SSPS_CHECKPOINT_MINUTES") or str(MINUTES)
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not minutes >= 0:
        raise ValueError(
            f"SSPS_CHECKPOINT_MINUTES is '{text}', a number of minutes of 0 or more is needed: it "
            "is the time between checkpoints within an epoch"
        )
    return minutes


def fill(run: Parts, notice: signals.Notice | None = None) -> None:
    """Fill the memory queues before the first SSPS epoch; without SSPS there are none."""

    def batches() -> Iterator[Batch]:
        for step, batch in enumerate(run.data.batches(max(run.position.epoch - 1, 0))):
            look = notice is not None and step % ASK.get(run.device.type, 1) == 0
            if look and asked(run, notice.number is not None):
                raise notice.error("while the queues were filled", "no epoch had begun")
            yield batch

    run.ssps.fill(batches())


def train_epoch(run: Parts, notice: signals.Notice, minutes: float = MINUTES) -> dict[str, float]:
    """One pass over the training utterances; returns the means of what was observed."""
    position, config = run.position, run.config
    epoch, first = position.epoch, position.step
    started = time.perf_counter() - position.seconds
    run.framework.train()
    if first == 0:
        run.ssps.start_epoch(config.seed + epoch)  # Algorithm 1
    order = run.data.order(epoch)
    watch = Watch()
    left = tqdm(
        run.data.batches(epoch, first), f"epoch {epoch + 1}", len(order), initial=first,
        disable=None if run.accelerator.is_main_process else True, leave=False,
    )  # fmt: skip
    for step, batch in enumerate(left, first):
        schedule(run, epoch, step, len(order))
        observed = iteration(run, batch)  # Algorithm 2
        if watch.note(step, observed):
            look(run, watch)
        position.add(observed)
        position.seconds = time.perf_counter() - started
        if position.step < len(order):
            pause(run, notice, watch, minutes)
    look(run, watch)
    position.seconds = time.perf_counter() - started  # the device has finished by now
    return {
        **position.means(),
        **run.ssps.metrics(),
        "learning_rate": learning_rate(config, epoch + (len(order) - 1) / len(order)),
        "seconds": position.seconds,
        "utterances_per_second": len(order) * config.batch_size / position.seconds,
    }


def asked(run: Parts, own: bool) -> bool:
    """Whether any process asks for something; all of them must ask at the same moment."""
    if own:
        run.accelerator.set_trigger()
    return run.accelerator.check_trigger()


def pause(run: Parts, notice: signals.Notice, watch: Watch, minutes: float) -> None:
    """Between two iterations: write a checkpoint if it is time, stop if a signal came."""
    position = run.position
    if position.step % ASK.get(run.device.type, 1):
        return
    stop = notice.number is not None
    if not asked(run, stop or time.perf_counter() - run.saved >= 60 * minutes):
        return
    look(run, watch)
    state.save(run)
    if asked(run, stop):
        where = f"in epoch {position.epoch + 1} after step {position.step}"
        steps = len(run.data.order(position.epoch))
        raise notice.error(f"{where} of {steps}", "a checkpoint was written")


def look(run: Parts, watch: Watch) -> None:
    """DivergedError if an iteration since the last look was not finite."""
    found = watch.first_fault()
    if found is not None:
        step, what = found
        epoch = run.position.epoch
        index = run.data.order(epoch)[step]
        raise DivergedError(what, epoch + 1, step + 1, index, cause(run, index))


def cause(run: Parts, index: np.ndarray) -> str:
    """Why this mini-batch may have diverged: its frames are drawn once more."""
    batch = run.data.batch(run.position.epoch, index)
    sound = torch.stack([view.isfinite().all(dim=1).cpu() for view in batch.views]).all(dim=0)
    if not sound.all():
        key = run.data.corpus.keys[batch.own[int((~sound).nonzero()[0])]]
        return f"the frames of '{key}' are not finite, look at its audio and the augmentation"
    rate = run.config.learning_rate
    return f"lower the learning rate ({rate}) or clip the gradient (clip_norm)"


def observe(run: Parts) -> dict[str, float]:
    """EER of the development speakers and, now and then, NMI of the training utterances."""
    values = {}
    if run.accelerator.is_main_process:
        embeddings = scorer.embed(run.framework.representation_encoder, run.splits.dev, run.device)
        trials = run.splits.dev_trials
        values["dev_eer"] = scorer.eer(scorer.score(embeddings, trials), trials.labels)
        done = run.position.epoch + 1
        if done == run.config.last_epoch or done % run.config.observe_every == 0:
            values["nmi_ratio"] = nmi_ratio(run)
    run.accelerator.wait_for_everyone()
    return values


def nmi_ratio(run: Parts) -> float:
    """NMI with speakers over NMI with recordings (V-E): of all training utterances where they are
    few; else of the references that Q-hat holds, or of the first ones where there is no Q-hat."""
    corpus, known = run.data.corpus, run.ssps.known()
    index, y = torch.arange(min(len(corpus), EMBEDDED)), None
    if len(corpus) > EMBEDDED and known is not None:
        index, y = known
    else:
        part = corpus.part(0, len(index), corpus.name)
        y = scorer.embed(run.framework.representation_encoder, part, run.device)
    speakers = corpus.speakers[index.numpy()]
    generator = torch.Generator().manual_seed(0)
    return analysis.nmi_ratio(
        y, speakers, corpus.recordings[index.numpy()], len(np.unique(speakers)), generator
    )


def save_epoch(run: Parts) -> None:
    """What an epoch leaves: its weights for the average, a checkpoint, the curves."""
    if run.accelerator.is_main_process:
        epochs = run.folder / "epochs"
        epochs.mkdir(parents=True, exist_ok=True)
        encoder = run.framework.representation_encoder
        save_encoder(encoder, epochs / f"{run.position.epoch:04d}.safetensors")
        for old in sorted(epochs.glob("*.safetensors"))[: -run.config.average_last]:
            old.unlink()
    state.save(run)
    if run.accelerator.is_main_process:
        lines = "".join(json.dumps(row) + "\n" for row in run.position.metrics)
        (run.folder / "metrics.jsonl").write_text(lines)
    run.accelerator.wait_for_everyone()
