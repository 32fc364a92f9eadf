"""Algorithm 1: training, as a generator that yields after every step."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ddpm_tutorial.algorithms.processes import make_accelerator
from ddpm_tutorial.algorithms.training_state import TrainingConfig, TrainingState
from ddpm_tutorial.errors import TutorialError, check_finite
from ddpm_tutorial.mathematics.forward import standard_normal
from ddpm_tutorial.models.ddpm import DDPM
from ddpm_tutorial.models.network import check_labels

if TYPE_CHECKING:  # at run time, who has an Accelerator has imported it
    from accelerate import Accelerator

__all__ = [
    "TrainingDiverged",
    "TrainingRecord",
    "gradient_step",
    "stratified_integers",
    "train",
    "uniform_integers",
    "update_ema",
]


class TrainingDiverged(TutorialError):
    """The loss or its gradient stopped being finite."""


@dataclass(frozen=True)
class TrainingRecord:
    """One finished step. `state` is the whole training state, after the optimiser and the EMA."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    progress: float
    seconds: float
    state: TrainingState

    @property
    def ema(self) -> DDPM:
        """The averaged model: the one to sample from and to keep."""
        return self.state.ema


def train(
    model: DDPM,
    data: Tensor,
    config: TrainingConfig,
    *,
    labels: Tensor | None = None,
    accelerator: "Accelerator | None" = None,
    resume: dict[str, Tensor] | None = None,
) -> Iterator[TrainingRecord]:
    """Train `model` in place on `data` (N, *shape) in [-1, 1], optionally with `labels`.

    A model that tells classes apart needs `labels` int64 (N,), 0..num_classes - 1; no other takes
    them. A generator: it yields a `TrainingRecord` after every step, so that the caller can plot,
    save or stop. `resume` takes `record.state.tensors()` of an earlier run of the same
    configuration. Raises ValueError for data or labels that are not as the model takes them, or a
    batch that the processes cannot share, and `TrainingDiverged` at the first step whose loss or
    gradient is not finite; the averaged model is then still that of the step before.
    Source: Ho et al. (2020), Algorithm 1, plus the usual averaging of weights.
    """
    accelerator = make_accelerator() if accelerator is None else accelerator
    _check_data(model, data, labels)
    processes, rank = accelerator.num_processes, accelerator.process_index
    if config.batch_size % processes:
        raise ValueError(
            f"batch_size = {config.batch_size} cannot be shared by {processes} processes: "
            f"use a multiple of {processes}"
        )
    # Every process draws the whole batch and keeps its share, so that the number of processes
    # changes no random number and the averaged gradient is that of one process.
    batch, share = config.batch_size, config.batch_size // processes
    mine = slice(rank * share, (rank + 1) * share)

    device = accelerator.device
    data = data.to(device)
    labels = None if labels is None else labels.to(device)
    state = TrainingState(model, config, device)
    if resume is not None:
        state.restore(resume)
    generator, T = state.generator, model.schedule.T
    loss_of, *optimizers = accelerator.prepare(state.model, *state.optimizers)

    seconds_before, started = state.seconds, time.monotonic()
    progress = _progress(config, state, accelerator)
    try:
        while progress < 1:
            share = _share_of_rate(config, state.step, progress)

            # Algorithm 1; the numbers are its lines. 1: repeat
            index = uniform_integers(0, len(data), batch, generator).to(device)[mine]
            x0 = data[index]  # 2: x_0 ~ q(x_0)
            if config.stratified:  # 3: t ~ Uniform{1..T}, all of a batch together or each alone
                t = stratified_integers(1, T + 1, batch, generator)
            else:
                t = uniform_integers(1, T + 1, batch, generator)
            t = t.to(device)[mine]
            eps = standard_normal((batch, *x0.shape[1:]), x0, generator)[mine]  # 4: N(0, I)
            label = None
            if labels is not None:
                dropped = torch.rand(batch, generator=generator, device=generator.device)
                untold = (dropped < config.label_dropout).to(device)[mine]
                label = torch.where(untold, model.num_classes, labels[index])
            loss = loss_of(x0, t, eps, label).total.mean()  # 5: || eps - eps_theta(x_t, t) ||^2
            gradient_norm = gradient_step(  # 5: take a gradient step on it
                loss, state.parameters, optimizers, share, config, accelerator
            )

            values = _finite(state.step + 1, loss, gradient_norm, accelerator)
            update_ema(state.ema, state.model, config.ema_decay, state.step)
            state.step += 1
            state.seconds = seconds_before + time.monotonic() - started
            progress = _progress(config, state, accelerator)
            rate = config.learning_rate * share
            yield TrainingRecord(
                state.step, *values, rate, progress, state.seconds, state
            )  # 6: until converged
    finally:
        # Undo the wrapping of model.forward that mixed precision brought.
        accelerator.unwrap_model(loss_of, keep_fp32_wrapper=False)


def uniform_integers(low: int, high: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` integers, uniform on low..high - 1, int64 (count,), on the generator's device."""
    return torch.randint(low, high, (count,), generator=generator, device=generator.device)


def stratified_integers(low: int, high: int, count: int, generator: torch.Generator) -> Tensor:
    """As `uniform_integers`, but spread evenly: each is uniform, and together they leave no gap.

    One is drawn, the others follow it at equal distances, and at high - 1 it goes on with low. A
    mean over them varies less. Source: the low-discrepancy sampler of Kingma et al. (2021).
    """
    first = uniform_integers(0, high - low, 1, generator)
    steps = torch.arange(count, device=generator.device) * (high - low) // count
    return low + (first + steps) % (high - low)


def gradient_step(
    loss: Tensor,
    parameters: list[torch.nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    share: float,
    config: TrainingConfig,
    accelerator: "Accelerator",
) -> Tensor:
    """One optimiser step down the gradient of `loss`, clipped; returns its norm before clipping.

    `share` is that of its highest learning rate that each optimiser takes. Nothing here waits for
    the device.
    """
    for optimizer in optimizers:
        optimizer.zero_grad()
    accelerator.backward(loss)
    gradient_norm: Tensor = accelerator.clip_grad_norm_(parameters, config.max_gradient_norm)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * optimizer.defaults["lr"]
        optimizer.step()
    return gradient_norm


@torch.no_grad()
def update_ema(ema: DDPM, model: DDPM, decay: float, step: int) -> None:
    """Move `ema` towards `model`, after optimiser step number `step` (0 for the first).

    The average starts warm: early on the decay is (1 + step) / (10 + step), so that the random
    initial weights are forgotten quickly. Buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
    for average, current in zip(ema.buffers(), model.buffers(), strict=True):
        average.copy_(current)


def _share_of_rate(config: TrainingConfig, step: int, progress: float) -> float:
    """The share of the highest learning rate: it warms up, then falls along half a cosine."""
    warmup = min(1.0, (step + 1) / config.warmup_steps)
    return warmup * 0.5 * (1 + math.cos(math.pi * progress))


def _progress(config: TrainingConfig, state: TrainingState, accelerator: "Accelerator") -> float:
    """How much of the run is done, 0..1; the same number in every process."""
    if config.steps is not None:
        return min(1.0, state.step / config.steps)
    assert config.minutes is not None
    seconds = state.seconds
    if accelerator.num_processes > 1:  # clocks differ, and one process must not stop alone
        from accelerate.utils import broadcast

        seconds = float(broadcast(torch.tensor(seconds, device=accelerator.device)))
    return min(1.0, seconds / (60 * config.minutes))


def _finite(
    step: int, loss: Tensor, gradient_norm: Tensor, accelerator: "Accelerator"
) -> tuple[float, float]:
    """Loss and gradient norm as numbers; the one place in a step that waits for the device."""
    values = float(accelerator.reduce(loss.detach(), "mean")), float(gradient_norm)
    if not all(math.isfinite(value) for value in values):
        raise TrainingDiverged(
            f"step {step}: the loss is {values[0]} and its gradient has norm {values[1]}. What "
            f"was saved before is intact. Lower the learning rate, or look for bad values in "
            f"the data"
        )
    return values


def _check_data(model: DDPM, data: Tensor, labels: Tensor | None) -> None:
    if not isinstance(data, Tensor):
        raise ValueError(f"the data are a {type(data).__name__}: give a tensor (N, ...)")
    if data.shape[1:] != model.shape or not len(data):
        raise ValueError(
            f"the data have shape {tuple(data.shape)}, and the model is one of {model.shape}: give "
            f"(N, {', '.join(map(str, model.shape))}), with N at least 1"
        )
    check_finite("data", data)
    low, high = float(data.min()), float(data.max())
    if not (-1 <= low < 0 and high <= 1):
        raise ValueError(
            f"the data run from {low:.7g} to {high:.7g}: scale images to [-1, 1] (bytes: "
            f"x / 127.5 - 1)"
        )
    if (labels is None) != (model.num_classes == 0):
        raise ValueError(
            f"the model tells {model.num_classes} classes apart, and there are "
            f"{'no' if labels is None else len(labels)} labels: give labels to a model with "
            f"classes, and to no other"
        )
    if labels is not None:
        if labels.shape != (len(data),):
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}: give one for each of the {len(data)} "
                f"images"
            )
        check_labels(labels, model.num_classes - 1)
