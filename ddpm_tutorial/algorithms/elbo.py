"""The evidence lower bound of a diffusion model, by terms, in nats and in bits per dimension."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import (
    filled_like,
    posterior_kl,
    q_marginal,
    q_sample,
    q_transition,
    standard_normal,
)
from ddpm_tutorial.mathematics.gaussian import kl_normal, normal_log_prob, to_bits_per_dim
from ddpm_tutorial.models.denoiser import Denoiser, HasDenoiser, as_denoiser, p_reverse

__all__ = [
    "RANGES_OF_T",
    "BoundFigures",
    "ElboTerms",
    "Estimate",
    "ThreeTermElbo",
    "denoising_term",
    "elbo_terms",
    "full_float32",
    "measure_bound",
    "prior_term",
    "three_term_elbo",
]

RANGES_OF_T = 10  #: into so many ranges of t the denoising terms are gathered


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


@torch.no_grad()
@full_float32()
def elbo_terms(
    model: HasDenoiser | Denoiser,
    x0: Tensor,
    generator: torch.Generator | None = None,
    eps: Tensor | None = None,
    progress: bool = False,
) -> ElboTerms:
    """The terms of the bound at each x0 (B, ...), from one draw of x_t for each t.

    `model` is a model or a denoiser; with one that was told labels, the bound is on
    ln p(x_0 | label). Takes T network evaluations; `progress` shows a bar. The noise comes from
    `generator`, or is given as `eps`, of a shape that broadcasts to (T, *x0.shape), where
    eps[t - 1] is used at t.
    For a trained model, x0 must be images on 256 levels in [-1, 1], or its decoder's probabilities
    mean nothing: ValueError otherwise.
    Source: Ho et al. (2020), equation 5.
    """
    denoiser = as_denoiser(model)
    schedule = denoiser.schedule
    denoiser.check_data(x0)
    if eps is not None:
        eps = eps.expand(schedule.T, *x0.shape)
    denoising = []
    reconstruction = torch.empty(0)
    for step in tqdm(range(1, schedule.T + 1), unit="step", disable=not progress):
        t = filled_like(x0, step)
        noise = standard_normal(x0.shape, x0, generator) if eps is None else eps[step - 1]
        if step == 1:
            reconstruction = denoiser.decoder_log_prob(x0, q_sample(schedule, x0, t, noise))
        else:
            denoising.append(denoising_term(denoiser, x0, t, noise))
    return ElboTerms(
        prior_term(denoiser, x0), _side_by_side(denoising, x0), reconstruction, x0[0].numel()
    )


@torch.no_grad()
def denoising_term(denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """One term of the sum over t, at the x_t that `eps` makes of x0, in nats, (B,); t in 2..T.

    Source: Ho et al. (2020), equation 5, L_{t-1}.
    """
    x_t = q_sample(denoiser.schedule, x0, t, eps)
    mean, log_variance = p_reverse(denoiser, x_t, t)
    return posterior_kl(denoiser.schedule, x0, x_t, t, mean, log_variance)


def prior_term(denoiser: Denoiser, x0: Tensor) -> Tensor:
    """KL(q(x_T | x_0) || p(x_T)), in nats, (B,). Source: Ho et al. (2020), equation 5, L_T."""
    T = filled_like(x0, denoiser.schedule.T)
    mean, variance = q_marginal(denoiser.schedule, x0, T)
    return kl_normal(mean, variance.log(), *denoiser.prior(x0)).flatten(1).sum(1)


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
    model: HasDenoiser | Denoiser, x0: Tensor, generator: torch.Generator | None = None
) -> ThreeTermElbo:
    """The bound in the form whose terms vary most, from one path x_1..x_T for each x0 (B, ...).

    The same expectation as `elbo_terms`, but each term has far more spread (their sum
    need not: along one path the errors cancel). A consistency term is
    ln p(x_t | x_{t+1}) - ln q(x_t | x_{t-1}) along the path. The average of such a term over the
    path is often written as -KL(q(x_t | x_{t-1}) || p(x_t | x_{t+1})); that would hold only if x_t
    were independent of x_{t+1} given x_{t-1}, which it is not, so the logarithms stand here as
    they are. Source: Sohl-Dickstein et al. (2015), before their equation 13.
    """
    denoiser = as_denoiser(model)
    schedule = denoiser.schedule
    denoiser.check_data(x0)
    consistency = []
    reconstruction = torch.empty(0)
    x_t, log_q = x0, torch.empty(0)
    for step in range(1, schedule.T + 1):
        t = filled_like(x0, step)
        q_mean, q_variance = q_transition(schedule, x_t, t)
        x_next = q_mean + q_variance.sqrt() * standard_normal(x0.shape, x0, generator)
        if step == 1:
            reconstruction = denoiser.decoder_log_prob(x0, x_next)
        else:
            mean, log_variance = p_reverse(denoiser, x_next, t)
            log_p = normal_log_prob(x_t, mean, log_variance).flatten(1).sum(1)
            consistency.append(log_p - log_q)
        log_q = normal_log_prob(x_next, q_mean, q_variance.log()).flatten(1).sum(1)
        x_t = x_next
    prior_matching = -kl_normal(q_mean, q_variance.log(), *denoiser.prior(x_t)).flatten(1).sum(1)
    return ThreeTermElbo(reconstruction, prior_matching, _side_by_side(consistency, x0))


@dataclass(frozen=True)
class Estimate:
    """A mean over examples, with its standard error; nan where there is only one example."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class BoundFigures:
    """The bound and its terms in bits per dimension, as code lengths: smaller is better.

    `total` is the sum of `prior`, `denoising` and `reconstruction`. `by_t` splits `denoising`
    into the shares of ranges of t, as (first t, last t, share): a sum over t, so the shares add
    up to `denoising`.
    """

    total: Estimate
    prior: Estimate
    denoising: Estimate
    reconstruction: Estimate
    by_t: list[tuple[int, int, Estimate]]

    def __str__(self) -> str:
        def row(name: str, estimate: Estimate) -> str:
            return f"  {name:20} {estimate.mean:8.4f} ± {estimate.standard_error:.4f}"

        return "\n".join(
            [
                row("total", self.total),
                row("prior", self.prior),
                row("denoising", self.denoising),
                *(row(f"  t = {low}..{high}", share) for low, high, share in self.by_t),
                row("reconstruction", self.reconstruction),
            ]
        )


@torch.no_grad()
@full_float32()
def measure_bound(
    model: HasDenoiser | Denoiser,
    images: Tensor,
    generator: torch.Generator | None = None,
    terms_per_image: int | None = None,
    batch_size: int = 100,
    progress: bool = False,
) -> BoundFigures:
    """The bound over images (N, 1, 28, 28), averaged, with standard errors.

    `model` is a model or a denoiser; one that was told the labels of the images measures the bound
    on each given its label.
    The denoising terms of an image are T - 1 in number. With `terms_per_image` = K, only K of
    them are measured: one t at random in each of K equal stretches of 2..T, so that each t is as
    likely as any other and (T - 1) / K times their sum has the right mean. None measures all.
    Takes K + 1 network evaluations for each image. Raises ValueError for images that are not on 256
    levels, a number out of range, not one label for each image, or a bound that is not finite.
    """
    denoiser = as_denoiser(model)
    T = denoiser.schedule.T
    count = T - 1 if terms_per_image is None else terms_per_image
    if terms_per_image is not None and not 1 <= count <= T - 1:
        raise ValueError(f"terms_per_image = {count}: choose 1..{T - 1}")
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: it must be at least 1")
    denoiser.check_data(images)

    edges = [round(2 + (T - 1) * k / RANGES_OF_T) for k in range(RANGES_OF_T + 1)]
    ranges = [(low, high - 1) for low, high in itertools.pairwise(edges) if low < high]
    source = "cpu" if generator is None else generator.device
    rows: dict[str, list[Tensor]] = {"prior": [], "shares": [], "reconstruction": []}
    starts = range(0, len(images), batch_size)
    with tqdm(total=len(starts) * (count + 1), unit="step", disable=not progress) as bar:
        for start in starts:
            x0 = images[start : start + batch_size]
            part = denoiser.rows(start, start + len(x0))
            rows["prior"].append(prior_term(part, x0))
            eps = standard_normal(x0.shape, x0, generator)
            x_1 = q_sample(part.schedule, x0, filled_like(x0, 1), eps)
            rows["reconstruction"].append(-part.decoder_log_prob(x0, x_1))
            bar.update()
            shares = x0.new_zeros(len(x0), len(ranges))
            for stretch in range(count):
                u = torch.rand(len(x0), generator=generator, device=source, dtype=torch.float64)
                t = 2 + ((stretch + u) * ((T - 1) / count)).floor().long().clamp(max=T - 2)
                t = t.to(x0.device)
                eps = standard_normal(x0.shape, x0, generator)
                term = (T - 1) / count * denoising_term(part, x0, t, eps)
                for column, (low, high) in enumerate(ranges):
                    shares[:, column] += torch.where((low <= t) & (t <= high), term, 0)
                bar.update()
            rows["shares"].append(shares)

    dimensions = images[0].numel()
    prior, shares, reconstruction = (
        to_bits_per_dim(torch.cat(rows[name]).cpu().double(), dimensions)
        for name in ("prior", "shares", "reconstruction")
    )
    denoising = shares.sum(1)
    check_finite("the bound", prior + denoising + reconstruction)
    return BoundFigures(
        total=_estimate(prior + denoising + reconstruction),
        prior=_estimate(prior),
        denoising=_estimate(denoising),
        reconstruction=_estimate(reconstruction),
        by_t=[
            (low, high, _estimate(shares[:, column])) for column, (low, high) in enumerate(ranges)
        ],
    )


def _side_by_side(terms: list[Tensor], x0: Tensor) -> Tensor:
    """One column for each term, (B, len(terms)); with T = 1 there is none."""
    return torch.stack(terms, 1) if terms else x0.new_zeros(len(x0), 0)


def _estimate(values: Tensor) -> Estimate:
    count = len(values)
    error = float(values.std() / math.sqrt(count)) if count > 1 else math.nan
    return Estimate(float(values.mean()), error)
