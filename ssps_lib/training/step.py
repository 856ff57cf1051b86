"""Algorithm 2: one training iteration."""

from torch import Tensor

from ssps_lib.training.build import Parts
from ssps_lib.training.config import learning_rate
from ssps_lib.training.data import Batch


def iteration(run: Parts, batch: Batch) -> dict[str, Tensor]:
    """Algorithm 2 on a mini-batch; returns what is observed, 0-d tensors on the device.

    As in the published code Y-hat is computed before the optimiser's step.
    """
    y = run.ssps.reference(batch)  # Y-hat
    chosen = run.ssps.choose(batch)  # pos(i)
    with run.accelerator.autocast():
        z, z_pos = run.model(batch.views, positive_gradient=not chosen.all_replaced)
        z_ssps = run.ssps.positives(chosen, z_pos)  # line 2
        loss = run.framework.loss(z, z_ssps, batch.labels)
    optimise(run, loss, batch.epoch)  # line 3
    z, z_ssps, z_pos = z.detach(), z_ssps.detach(), z_pos.detach()
    monitors = run.framework.monitors(z, z_ssps)
    run.framework.after_step(z, z_ssps, z_pos)  # teachers and the framework's own queues
    run.ssps.insert(batch, y, z_pos)  # lines 4-5
    return {"loss": loss.detach(), **monitors}


def optimise(run: Parts, loss: Tensor, epoch: int) -> None:
    """One step of the optimiser, without the gradients of what is frozen in this epoch."""
    run.optimizer.zero_grad()
    run.accelerator.backward(loss)
    run.framework.after_backward(epoch)
    if run.config.clip_norm is not None:
        run.accelerator.clip_grad_norm_(run.framework.parameters(), run.config.clip_norm)
    run.optimizer.step()


def schedule(run: Parts, epoch: int, step: int, steps: int) -> None:
    """Learning rate and the framework's own schedules of an iteration."""
    now = epoch + step / steps
    rate = learning_rate(run.config, now)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.framework.before_step(epoch, now / run.config.schedule_end)
