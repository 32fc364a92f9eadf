"""The evidence lower bound of a diffusion model, by terms, in nats and in bits per dimension."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.ddpm import DDPM, posterior_kl
from ddpm_tutorial.forward import q_marginal, q_sample, q_transition, standard_normal
from ddpm_tutorial.gaussian import is_on_256_levels, kl_normal, normal_log_prob
from ddpm_tutorial.schedule import NoiseSchedule


class ReverseProcess(Protocol):
    """What the bound needs to know of a model; `DDPM` and the models of `exact` have it."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of q."""

    def p_reverse(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_{t-1} | x_t)."""

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T)."""

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        """Ln p(x_0 | x_1) in nats, (B,)."""


@dataclass(frozen=True)
class WithLabels:
    """A class-conditional model that knows the label of each example: a `ReverseProcess`.

    `labels` is int64 (B,), for the B examples whose bound is asked for. The bound is then one on
    ln p(x_0 | label).
    """

    model: DDPM
    labels: Tensor

    @property
    def schedule(self) -> NoiseSchedule:
        """That of the model."""
        return self.model.schedule

    def p_reverse(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_{t-1} | x_t, label)."""
        return self.model.p_reverse(x_t, t, label=self.labels)

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T), which does not depend on the label."""
        return self.model.prior(x_T)

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        """Ln p(x_0 | x_1, label) in nats, (B,)."""
        return self.model.decoder_log_prob(x0, x_1, self.labels)


@dataclass(frozen=True)
class ElboTerms:
    """The bound in its low-variance form: ln p(x_0) >= reconstruction - prior - denoising.

    `prior` (B,) is KL(q(x_T | x_0) || p(x_T)); `denoising` (B, T - 1) holds the KL terms of
    t = 2..T, in this order; `reconstruction` (B,) is ln p(x_0 | x_1). All in nats, for one draw of
    each x_t, summed over dimensions. `dimensions` is the number of entries of one x_0.
    Source: Ho et al. (2020), equation 5.
    """

    prior: Tensor
    denoising: Tensor
    reconstruction: Tensor
    dimensions: int

    def bound(self) -> Tensor:
        """The bound on ln p(x_0), in nats, (B,). A sum over t, not a mean."""
        return self.reconstruction - self.prior - self.denoising.sum(1)

    def bits_per_dim(self) -> Tensor:
        """The bound as a code length, in bits per dimension, (B,); smaller is better."""
        return to_bits_per_dim(-self.bound(), self.dimensions)


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, a GPU computes float32 as float32; after it, as it did before.

    TF32 keeps 10 bits of each factor, which would show in the bound; for convolutions it is
    torch's default.
    """
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    conv = getattr(cudnn, "conv", None)  # where there is one, the older settings must be left alone
    name, exact = ("allow_tf32", False) if conv is None else ("fp32_precision", "ieee")
    places = (cuda.matmul, cudnn if conv is None else conv)
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, exact)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def to_bits_per_dim(nats: Tensor, dimensions: int) -> Tensor:
    """Nats for a whole example to bits for each of its `dimensions`."""
    return nats / (dimensions * math.log(2))


@torch.no_grad()
@full_float32()
def elbo_terms(
    model: ReverseProcess,
    x0: Tensor,
    generator: torch.Generator | None = None,
    eps: Tensor | None = None,
    progress: bool = False,
) -> ElboTerms:
    """The terms of the bound at each x0 (B, ...), from one draw of x_t for each t.

    Takes T network evaluations; `progress` shows a bar. The noise comes from `generator`, or is
    given as `eps`, of a shape that broadcasts to (T, *x0.shape), where eps[t - 1] is used at t.
    For a `DDPM`, x0 must be images on 256 levels in [-1, 1], or its decoder's probabilities mean
    nothing: ValueError otherwise.
    Source: Ho et al. (2020), equation 5.
    """
    schedule = model.schedule
    check_levels(model, x0)
    if eps is not None:
        eps = eps.expand(schedule.T, *x0.shape)
    denoising = []
    reconstruction = torch.empty(0)
    for step in tqdm(range(1, schedule.T + 1), unit="step", disable=not progress):
        t = torch.full((len(x0),), step, dtype=torch.int64, device=x0.device)
        noise = standard_normal(x0.shape, x0, generator) if eps is None else eps[step - 1]
        if step == 1:
            reconstruction = model.decoder_log_prob(x0, q_sample(schedule, x0, t, noise))
        else:
            denoising.append(denoising_term(model, x0, t, noise))
    return ElboTerms(
        prior_term(model, x0), _side_by_side(denoising, x0), reconstruction, x0[0].numel()
    )


@torch.no_grad()
def denoising_term(model: ReverseProcess, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """One term of the sum over t, at the x_t that `eps` makes of x0, in nats, (B,); t in 2..T.

    Source: Ho et al. (2020), equation 5, L_{t-1}.
    """
    x_t = q_sample(model.schedule, x0, t, eps)
    mean, log_variance = model.p_reverse(x_t, t)
    return posterior_kl(model.schedule, x0, x_t, t, mean, log_variance)


def prior_term(model: ReverseProcess, x0: Tensor) -> Tensor:
    """KL(q(x_T | x_0) || p(x_T)), in nats, (B,). Source: Ho et al. (2020), equation 5, L_T."""
    T = torch.full((len(x0),), model.schedule.T, dtype=torch.int64, device=x0.device)
    mean, variance = q_marginal(model.schedule, x0, T)
    return kl_normal(mean, variance.log(), *model.prior(x0)).flatten(1).sum(1)


@dataclass(frozen=True)
class ThreeTermElbo:
    """The bound as reconstruction, prior matching and consistency: their sum, in nats, (B,) each.

    `consistency` is (B, T - 1), one entry for each t = 1..T-1.
    """

    reconstruction: Tensor
    prior_matching: Tensor
    consistency: Tensor

    def bound(self) -> Tensor:
        """The bound on ln p(x_0), in nats, (B,)."""
        return self.reconstruction + self.prior_matching + self.consistency.sum(1)


@torch.no_grad()
@full_float32()
def three_term_elbo(
    model: ReverseProcess, x0: Tensor, generator: torch.Generator | None = None
) -> ThreeTermElbo:
    """The bound in the form whose terms vary most, from one path x_1..x_T for each x0 (B, ...).

    The same expectation as `elbo_terms`, but each term has far more spread (their sum
    need not: along one path the errors cancel). A consistency term is
    ln p(x_t | x_{t+1}) - ln q(x_t | x_{t-1}) along the path. The average of such a term over the
    path is often written as -KL(q(x_t | x_{t-1}) || p(x_t | x_{t+1})); that would hold only if x_t
    were independent of x_{t+1} given x_{t-1}, which it is not, so the logarithms stand here as
    they are. Source: Sohl-Dickstein et al. (2015), before their equation 13.
    """
    schedule = model.schedule
    check_levels(model, x0)
    consistency = []
    reconstruction = torch.empty(0)
    x_t, log_q = x0, torch.empty(0)
    for step in range(1, schedule.T + 1):
        t = torch.full((len(x0),), step, dtype=torch.int64, device=x0.device)
        q_mean, q_variance = q_transition(schedule, x_t, t)
        x_next = q_mean + q_variance.sqrt() * standard_normal(x0.shape, x0, generator)
        if step == 1:
            reconstruction = model.decoder_log_prob(x0, x_next)
        else:
            mean, log_variance = model.p_reverse(x_next, t)
            log_p = normal_log_prob(x_t, mean, log_variance).flatten(1).sum(1)
            consistency.append(log_p - log_q)
        log_q = normal_log_prob(x_next, q_mean, q_variance.log()).flatten(1).sum(1)
        x_t = x_next
    prior_matching = -kl_normal(q_mean, q_variance.log(), *model.prior(x_t)).flatten(1).sum(1)
    return ThreeTermElbo(reconstruction, prior_matching, _side_by_side(consistency, x0))


def _side_by_side(terms: list[Tensor], x0: Tensor) -> Tensor:
    """One column for each term, (B, len(terms)); with T = 1 there is none."""
    return torch.stack(terms, 1) if terms else x0.new_zeros(len(x0), 0)


def check_levels(model: ReverseProcess, x0: Tensor) -> None:
    """Raise ValueError if the model reads images and x0 is not on 256 levels."""
    if isinstance(model, DDPM | WithLabels) and not is_on_256_levels(x0):
        raise ValueError(
            f"x0 (from {float(x0.min()):g} to {float(x0.max()):g}) is not on the 256 levels -1, "
            f"-1 + 2/255, ..., 1: the bound of resized, noisy or unscaled images means nothing"
        )
