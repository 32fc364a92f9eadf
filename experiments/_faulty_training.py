"""Training with one line that can be exchanged: what `mistakes.py` trains, and how."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import _faults as faults
import torch
from _compare import reference
from _faults import FAULTS
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    DDPMConfig,
    Drawn,
    TrainingConfig,
    UNetConfig,
    make_accelerator,
    to_bytes,
    update_ema,
)
from ddpm_tutorial.algorithms.training_state import TrainingState

STEPS, BATCH, DROPOUT = 800, 128, 0.1

RIGHT = {  # place: the right function
    "scale": faults.scale,
    "draw_t": faults.draw_t,
    "draw_noise": faults.draw_noise,
    "make_noisy": faults.make_noisy,
}


@dataclass(frozen=True)
class Training:
    """What is trained: by the right lines, but for those of `wrong`."""

    wrong: dict[str, Callable[..., Any]] = field(default_factory=dict)
    parameterisation: str = "v"
    dropout: float = 0.0


# A guess of the noise is where one expects harm of the last step: there its error counts most.
TRAININGS = {"right-trained": Training(), "right-eps": Training(parameterisation="eps")}
TRAININGS |= {
    fault.name: Training(
        {fault.place: fault.code}, "eps" if fault.name == "last-step-never-trained" else "v"
    )
    for fault in FAULTS
    if fault.place in RIGHT
}
TRAININGS["right-dropout"] = Training(dropout=DROPOUT)


def train(training: Training, seed: int, name: str) -> tuple[dict[str, DDPM], float]:
    """Algorithm 1 with the right lines, or those of `training.wrong` in their place.

    Returns the averaged model, beside it two that were averaged wrongly, and the loss as this code
    prints it: the mean of the last 100 steps.
    """
    line, accelerator = RIGHT | training.wrong, make_accelerator()
    torch.manual_seed(seed)
    network = UNetConfig(dropout=training.dropout)
    model = DDPMConfig(parameterisation=training.parameterisation, network=network).build()
    config = TrainingConfig(steps=STEPS, batch_size=BATCH, seed=seed)
    state = TrainingState(model, config, accelerator.device)
    schedule, device = model.schedule, accelerator.device
    # The noise has a generator of its own: nothing that is done to it changes the images or t.
    batches, noise = (torch.Generator(device).manual_seed(10 * seed + k) for k in (0, 1))
    levels = to_bytes(reference().train.to(device))
    averages = {"right": state.ema}
    averages |= {name: copy.deepcopy(state.ema) for name in ("ema-cold-start", "ema-before-step")}
    losses = []
    for step in tqdm(range(STEPS), f"{name}, seed {seed}", mininterval=10):
        index = torch.randint(len(levels), (BATCH,), generator=batches, device=device)
        x0 = line["scale"](levels[index])
        t = line["draw_t"](schedule.T, BATCH, batches)
        eps = line["draw_noise"](tuple(x0.shape), noise)
        x_t = line["make_noisy"](schedule, x0, t, eps)
        with accelerator.autocast():
            output = model.network(x_t, t)
        drawn = Drawn(schedule, x0, t, eps, x_t)
        loss = model.parameterisation.loss(drawn, output.float(), None, None).total.mean()
        for optimizer in state.optimizers:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.parameters, config.max_gradient_norm)
        warmup = min(1.0, (step + 1) / config.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = warmup * cosine * optimizer.defaults["lr"]
        update_ema(averages["ema-before-step"], model, config.ema_decay, step)
        for optimizer in state.optimizers:
            optimizer.step()
        update_ema(averages["right"], model, config.ema_decay, step)
        faults.ema_cold_start(averages["ema-cold-start"], model, config.ema_decay, step)
        losses.append(loss.detach())
    return averages, float(torch.stack(losses[-100:]).mean())
