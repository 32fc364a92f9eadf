"""Samplers: Algorithm 2 (ancestral DDPM), DDIM and DPM-Solver++(2M), side by side.

Each walks the same list of pairs (t, s), and yields (t, x_t, x0_hat) before it moves from t to s.
They differ only in how they move.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.ddpm import DDPM, Prediction
from ddpm_tutorial.forward import match, posterior_variance, signal_and_sigma, standard_normal
from ddpm_tutorial.schedule import timestep_pairs

Sampler = Literal["ddpm", "ddim", "dpm++"]
Path = Iterator[tuple[int, Tensor, Tensor]]


# no_grad as a decorator: `with no_grad()` around a yield would reach into the caller.
@torch.no_grad()
def ddpm_path(
    predict: Callable[[Tensor, Tensor], Prediction],
    model: DDPM,
    x_t: Tensor,
    pairs: list[tuple[int, int]],
    noise: Callable[[], Tensor],
    variance: Literal["small", "large"] | None,
) -> Path:
    """Ancestral sampling. Source: Ho et al. (2020), Algorithm 2, for any stride t - s."""
    for t, s in pairs:
        at_t, at_s = filled_like(x_t, t), filled_like(x_t, s)
        prediction = predict(x_t, at_t)
        yield t, x_t, prediction.x0_hat
        mean, log_variance = model.reverse_given(prediction, x_t, at_t, at_s, variance)
        # The last step adds no noise: x_0 is the mean.
        x_t = mean + torch.exp(0.5 * log_variance) * noise() if s > 0 else mean
    yield 0, x_t, x_t


@torch.no_grad()
def ddim_path(
    predict: Callable[[Tensor, Tensor], Prediction],
    model: DDPM,
    x_t: Tensor,
    pairs: list[tuple[int, int]],
    noise: Callable[[], Tensor],
    eta: float,
) -> Path:
    """DDIM: deterministic at eta = 0, ancestral at eta = 1. Source: Song et al. (2021), eq. 12."""
    for t, s in pairs:
        at_t, at_s = filled_like(x_t, t), filled_like(x_t, s)
        prediction = predict(x_t, at_t)
        x0_hat, eps_hat = prediction.x0_hat, prediction.eps_hat
        yield t, x_t, x0_hat
        alpha_bar_s = model.schedule.alpha_bar_at(at_s)
        sigma = eta * posterior_variance(model.schedule, at_t, at_s).sqrt()
        direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0).sqrt()
        x_t = match(alpha_bar_s.sqrt(), x_t) * x0_hat + match(direction, x_t) * eps_hat
        if eta > 0 and s > 0:
            x_t = x_t + match(sigma, x_t) * noise()
    yield 0, x_t, x_t


@torch.no_grad()
def dpm_solver_path(
    predict: Callable[[Tensor, Tensor], Prediction],
    model: DDPM,
    x_t: Tensor,
    pairs: list[tuple[int, int]],
) -> Path:
    """DPM-Solver++(2M): second order in the log-SNR. Source: Lu et al. (2022), Algorithm 2."""
    before: tuple[Tensor, Tensor] | None = None
    for t, s in pairs:
        at_t, at_s = filled_like(x_t, t), filled_like(x_t, s)
        x0_hat = predict(x_t, at_t).x0_hat
        yield t, x_t, x0_hat
        if s == 0:  # the log-SNR is infinite there, and the step becomes x_0 = x0_hat
            x_t = x0_hat
            break
        half_log_snr_t, half_log_snr_s = (
            0.5 * model.schedule.alpha_bar_at(at).logit() for at in (at_t, at_s)
        )
        h = half_log_snr_s - half_log_snr_t
        target = x0_hat
        if before is not None:  # extrapolate along the line through the last two predictions
            half_log_snr_before, x0_hat_before = before
            slope = 0.5 * h / (half_log_snr_t - half_log_snr_before)
            target = x0_hat + match(slope, x_t) * (x0_hat - x0_hat_before)
        _, sigma_t = signal_and_sigma(model.schedule, at_t, x_t)
        signal_s, sigma_s = signal_and_sigma(model.schedule, at_s, x_t)
        x_t = sigma_s / sigma_t * x_t - signal_s * match(torch.expm1(-h), x_t) * target
        before = half_log_snr_t, x0_hat
    yield 0, x_t, x_t


def sample_path(
    model: DDPM,
    n: int,
    sampler: Sampler = "ddpm",
    steps: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    *,
    label: Tensor | None = None,
    guidance: float = 0.0,
    clip: bool = True,
    variance: Literal["small", "large"] | None = None,
    spacing: str = "trailing",
    x_T: Tensor | None = None,
) -> Path:
    """Sample n examples and yield (t, x_t, x0_hat) at every step, last (0, x_0, x_0).

    `sampler` is "ddpm" (with the `variance` of the reverse step; None keeps the model's), "ddim"
    (with `eta` in [0, 1]) or "dpm++". `steps`, 1..T, is the number of network evaluations (None:
    all T) and `spacing` how they are placed (see `timestep_pairs`). `label` int64 (n,) for a
    class-conditional model, `guidance` >= 0 how far to go beyond what the label alone asks for (see
    `DDPM.predict`; each evaluation then costs two). `clip` cuts x0_hat to [-1, 1] at each step.
    `x_T` (n, ...) is the noise to start from; None draws it. Dropout is always off.
    Raises ValueError for a value outside its range, or one that the sampler does not use.
    """
    if n < 1:
        raise ValueError(f"n = {n}: ask for at least 1 sample")
    if sampler not in ("ddpm", "ddim", "dpm++"):
        raise ValueError(f'sampler = "{sampler}": choose "ddpm", "ddim" or "dpm++"')
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta}: it must lie in [0, 1]")
    if eta and sampler != "ddim":
        raise ValueError(f'eta = {eta} goes with sampler = "ddim", not "{sampler}"')
    if variance is not None and sampler != "ddpm":
        raise ValueError(f'variance = "{variance}" goes with sampler = "ddpm", not "{sampler}"')
    if variance not in (None, "small", "large"):
        raise ValueError(f'variance = "{variance}": choose "small" or "large"')
    _check_for_each("label", label, (n,))
    _check_for_each("x_T", x_T, (n, *model.shape))
    _check_guidance(guidance, model, label)
    pairs = timestep_pairs(model.schedule.T, steps, spacing)

    def predict(x_t: Tensor, t: Tensor) -> Prediction:
        with in_eval_mode(model):
            return model.predict(x_t, t, label, clip, guidance)

    def noise() -> Tensor:
        return standard_normal((n, *model.shape), like, generator)

    like = next(model.parameters(), torch.empty(0))
    x_T = noise() if x_T is None else x_T.to(like)
    if sampler == "ddpm":
        return ddpm_path(predict, model, x_T, pairs, noise, variance)
    if sampler == "ddim":
        return ddim_path(predict, model, x_T, pairs, noise, eta)
    return dpm_solver_path(predict, model, x_T, pairs)


def sample(
    model: DDPM,
    n: int,
    sampler: Sampler = "ddpm",
    steps: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    *,
    batch_size: int = 250,
    progress: bool = False,
    label: Tensor | None = None,
    guidance: float = 0.0,
    clip: bool = True,
    variance: Literal["small", "large"] | None = None,
    spacing: str = "trailing",
    x_T: Tensor | None = None,
) -> Tensor:
    """Sample n examples, (n, *model.shape): (n, 1, 28, 28) in [-1, 1] for digits.

    Drawn `batch_size` at a time; `progress` shows a bar. The other arguments and the errors are
    those of `sample_path`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: it must be at least 1")
    # Before they are cut into batches, which would hide a surplus.
    _check_for_each("label", label, (n,))
    _check_for_each("x_T", x_T, (n, *model.shape))
    batches = []
    starts = range(0, max(n, 1), batch_size)  # sample_path refuses n < 1
    evaluations = model.schedule.T if steps is None else steps
    with tqdm(total=evaluations * len(starts), unit="step", disable=not progress) as bar:
        for start in starts:
            stop = min(start + batch_size, n)
            path = sample_path(
                model,
                stop - start,
                sampler,
                steps,
                eta,
                generator,
                label=None if label is None else label[start:stop],
                guidance=guidance,
                clip=clip,
                variance=variance,
                spacing=spacing,
                x_T=None if x_T is None else x_T[start:stop],
            )
            for t, x_t, _ in path:  # noqa: B007
                bar.update(t > 0)
            batches.append(x_t)
    return torch.cat(batches)


@torch.no_grad()
def ddim_invert(
    model: DDPM,
    x0: Tensor,
    steps: int | None = None,
    *,
    label: Tensor | None = None,
    clip: bool = True,
    spacing: str = "trailing",
    progress: bool = False,
) -> Tensor:
    """The noise x_T, shaped like x0, from which DDIM at eta = 0 comes back to about x0.

    Walks the pairs (t, s) of `timestep_pairs` upwards, one network evaluation each. DDIM comes down
    from t on the noise found in x_t; on the way up x_t is not known yet, and the noise found in x_s
    stands in (at s = 0, for which there is no network, that of t = 1). The way back is exact where
    the two agree, and the nearer to it the shorter the steps. x0 (n, ...) in [-1, 1], `label` int64
    (n,); the other arguments and the errors are those of `sample_path`. Source: Song et al. (2021),
    section 4.3 and equation 13.
    """
    _check_for_each("x0", x0, (len(x0), *model.shape))
    _check_for_each("label", label, (len(x0),))
    pairs = timestep_pairs(model.schedule.T, steps, spacing)
    x = x0
    with in_eval_mode(model):
        for t, s in tqdm(pairs[::-1], unit="step", disable=not progress):
            at_t, at_s = filled_like(x, t), filled_like(x, s)
            eps_hat = model.predict(x, at_s.clamp(min=1), label, clip).eps_hat
            signal_t, sigma_t = signal_and_sigma(model.schedule, at_t, x)
            signal_s, sigma_s = signal_and_sigma(model.schedule, at_s, x)
            x = signal_t / signal_s * (x - sigma_s * eps_hat) + sigma_t * eps_hat
    return x


def filled_like(x_t: Tensor, t: int) -> Tensor:
    """The step index t, once for each example of x_t: int64 (B,)."""
    return torch.full((len(x_t),), t, dtype=torch.int64, device=x_t.device)


def _check_for_each(name: str, value: Tensor | None, shape: tuple[int, ...]) -> None:
    if value is not None and value.shape != shape:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: give one for each of {shape[0]} samples, in "
            f"all {shape}"
        )


def _check_guidance(guidance: float, model: DDPM, label: Tensor | None) -> None:
    if not 0 <= guidance < math.inf:
        raise ValueError(f"guidance = {guidance}: it must be 0 or more, and finite")
    if guidance and (label is None or not model.num_classes):
        raise ValueError(
            f"guidance = {guidance} needs a label for each sample, and a model trained with labels"
        )


@contextmanager
def in_eval_mode(model: DDPM) -> Iterator[None]:
    """Dropout off for one call; whoever trains the model finds it in training mode again."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
