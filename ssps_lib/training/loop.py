"""The training loop: epochs, what is observed after each, and when it stops."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from tqdm import tqdm

from ssps_lib import analysis, scorer
from ssps_lib.encoders import save_encoder
from ssps_lib.frameworks import collapse
from ssps_lib.training import signals, state
from ssps_lib.training.build import Parts
from ssps_lib.training.config import learning_rate
from ssps_lib.training.environment import environment
from ssps_lib.training.step import iteration, schedule

ASK = {"cuda": 10}  # iterations from one look at losses, signals and clock to the next; each waits
WATCHED = {"loss": "the loss", "embedding_std": "the embeddings' spread"}
EMBEDDED = 20_000  # training utterances, at most, that are encoded to observe them


def train(run: Parts) -> None:
    """Train what is left, with a checkpoint after each epoch and every few minutes within.

    Raises:
        SystemExit, KeyboardInterrupt: SIGTERM or SIGINT came; a checkpoint was written.
        FloatingPointError: a loss or an embedding is not finite.
    """
    position, config = run.position, run.config
    if (position.epoch, position.step) == (config.first_epoch, 0):
        with signals.raised("the training while the queues were filled; no epoch had begun"):
            fill(run)
    with signals.noticed() as notice, tracked(run):
        while position.epoch < config.last_epoch:
            values = train_epoch(run, notice) | observe(run)
            if run.accelerator.is_main_process:
                collapse.warn(values, position.epoch + 1)
            position.next_epoch({k: v if math.isfinite(v) else None for k, v in values.items()})
            save_epoch(run)
            track(run, position.metrics[-1])
            if asked(run, notice.number is not None):
                raise stopped(run, notice, f"after epoch {position.epoch}")


def fill(run: Parts) -> None:
    """Fill the memory queues before the first SSPS epoch; without SSPS there are none."""
    run.ssps.fill(run.data.batches(max(run.position.epoch - 1, 0)))


def train_epoch(run: Parts, notice: signals.Notice) -> dict[str, float]:
    """One pass over the training utterances; returns the means of what was observed."""
    position, config = run.position, run.config
    epoch, first = position.epoch, position.step
    started = time.perf_counter() - position.seconds
    run.framework.train()
    if first == 0:
        run.ssps.start_epoch(config.seed + epoch)  # Algorithm 1
    steps = len(run.data.order(epoch))
    left = tqdm(
        run.data.batches(epoch, first), f"epoch {epoch + 1}", steps, initial=first,
        disable=None if run.accelerator.is_main_process else True, leave=False,
    )  # fmt: skip
    for step, batch in enumerate(left, first):
        schedule(run, epoch, step, steps)
        position.add(iteration(run, batch))  # Algorithm 2
        position.seconds = time.perf_counter() - started
        if position.step < steps and position.step % ASK.get(run.device.type, 1) == 0:
            pause(run, notice)
    look(run)
    position.seconds = time.perf_counter() - started  # the device has finished by now
    return {
        **position.means(),
        **run.ssps.metrics(),
        "learning_rate": learning_rate(config, epoch + (steps - 1) / steps),
        "seconds": position.seconds,
        "utterances_per_second": steps * config.batch_size / position.seconds,
    }


def asked(run: Parts, own: bool) -> bool:
    """Whether any process asks for something; all of them must ask at the same moment."""
    if own:
        run.accelerator.set_trigger()
    return run.accelerator.check_trigger()


def pause(run: Parts, notice: signals.Notice) -> None:
    """Between two iterations: write a checkpoint if it is time, stop if a signal came."""
    look(run)
    stop = notice.number is not None
    if asked(run, stop or time.perf_counter() - run.saved >= 60 * environment().minutes):
        state.save(run)
        if asked(run, stop):
            epoch, step = run.position.epoch, run.position.step
            steps = len(run.data.order(epoch))
            raise stopped(run, notice, f"in epoch {epoch + 1} after step {step} of {steps}")


def stopped(run: Parts, notice: signals.Notice, where: str) -> BaseException:
    """What ends a training whose checkpoint was written."""
    return signals.stopped(notice.number, f"the training {where}; a checkpoint was written")


def look(run: Parts) -> None:
    """FloatingPointError if the sums over the epoch, and so an iteration of it, are not finite."""
    position = run.position
    for name, what in WATCHED.items():
        total = float(position.totals.get(name, 0.0))  # waits for the device
        if not math.isfinite(total):
            raise FloatingPointError(
                f"{what} became {total} in epoch {position.epoch + 1}, seen at step "
                f"{position.step}: lower the learning rate ({run.config.learning_rate}) or clip "
                "the gradient (clip_norm); the last good checkpoint is kept"
            )


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
    corpus = run.data.corpus
    known = run.ssps.known() if len(corpus) > EMBEDDED else None
    if known is None:
        part = corpus.part(0, min(len(corpus), EMBEDDED), corpus.name)
        y = scorer.embed(run.framework.representation_encoder, part, run.device)
        known = torch.arange(len(part)), y
    rows, y = known[0].numpy(), known[1]
    speakers, generator = corpus.speakers[rows], torch.Generator().manual_seed(0)
    clusters = len(np.unique(speakers))
    return analysis.nmi_ratio(y, speakers, corpus.recordings[rows], clusters, generator)


def save_epoch(run: Parts) -> None:
    """What an epoch leaves: its weights for the average, a checkpoint, the curves."""
    epochs, position = run.folder / "epochs", run.position
    if run.accelerator.is_main_process:
        encoder = run.framework.representation_encoder
        save_encoder(encoder, epochs / f"{position.epoch:04d}.safetensors")
        for old in sorted(epochs.glob("*.safetensors"))[: -run.config.average_last]:
            old.unlink()
    state.save(run)
    if run.accelerator.is_main_process:
        lines = "".join(json.dumps(row) + "\n" for row in position.metrics)
        (run.folder / "metrics.jsonl").write_text(lines)
    run.accelerator.wait_for_everyone()


@contextmanager
def tracked(run: Parts) -> Iterator[None]:
    """Keep the tracker that `$SSPS_TRACKER` names open inside the block.

    The epochs that a resumed run has behind it are written once more in place of what an earlier
    process wrote, so that a curve has each epoch once, whatever was interrupted.
    """
    run.accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": 0}})
    try:
        for row in run.position.metrics:
            track(run, row)
        yield
    finally:  # not `end_training`, which also ends the process group
        for tracker in run.accelerator.trackers:
            tracker.finish()


def track(run: Parts, row: dict[str, float | None]) -> None:
    """Write the metrics of an epoch, from the main process; nothing without a tracker."""
    values = {k: v for k, v in row.items() if k != "epoch" and v is not None}
    run.accelerator.log(values, step=int(row["epoch"]))
