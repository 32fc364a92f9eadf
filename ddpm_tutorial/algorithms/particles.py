"""Sequential Monte Carlo: many guided chains, weighted and selected so that nothing is left out.

Guidance alone samples something near the posterior. With the weights of this file it samples the
posterior of the model itself, in the limit of many chains.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_tutorial.algorithms.inverse import PosteriorGuidance, Twisted
from ddpm_tutorial.algorithms.sampling import Pairs, pairs_of
from ddpm_tutorial.mathematics.forward import Prediction, filled_like, standard_normal
from ddpm_tutorial.mathematics.gaussian import normal_log_prob

__all__ = [
    "Particles",
    "effective_sample_size",
    "particle_filter",
    "systematic_resample",
]


class Particles(NamedTuple):
    """A weighted sample at step t: x (n, ...), and ln of the weights (n,), which sum to 1.

    `log_evidence` () is the estimate of ln p(y) so far: at t = 0, that of the model itself, whose
    exponential is right on average for any n.
    """

    t: int
    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """One over the sum of the squared weights, (): n for n equal ones, 1 where one has it all.

    Source: Kong et al. (1994).
    """
    return (-(2 * log_weights.log_softmax(0)).logsumexp(0)).exp()


def systematic_resample(log_weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Whom to keep, and how often: n indices, int64 (n,), each on average n times its weight.

    One uniform number places a comb of n equal teeth on the summed weights. Source: Kitagawa
    (1996).
    """
    n, source = len(log_weights), log_weights.device if generator is None else generator.device
    u = torch.rand((), generator=generator, device=source, dtype=log_weights.dtype)
    teeth = (torch.arange(n, device=log_weights.device) + u.to(log_weights.device)) / n
    return torch.searchsorted(log_weights.softmax(0).cumsum(0), teeth).clamp(max=n - 1)


@torch.no_grad()
def particle_filter(
    guidance: PosteriorGuidance,
    n: int,
    steps: int | Pairs | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Particles]:
    """Samples of the model's own posterior: n chains that ancestral sampling guides and weighs.

    A chain proposes the guided step, and its weight makes up for what guidance left out. Where the
    effective sample size falls below n / 2, chains are drawn anew in proportion to their weights.
    The step to s = 0 goes to x0_hat, as in every sampler, and is not guided. Yields at every t, and
    last at t = 0. `steps` is as in `sample_path`. Raises ValueError for n < 1, and where samples
    have labels or measurements of their own: all chains answer one question.

    Source: Wu et al. (2023), algorithm 1, with systematic resampling when needed.
    """
    if n < 1 or guidance.count is not None:
        raise ValueError(
            f"n = {n} chains, and values for {guidance.count} samples: ask for at least 1 chain, "
            f"with one question for all"
        )
    pairs = pairs_of(guidance, steps)
    x = standard_normal((n, *guidance.shape), guidance.like, generator)
    here = guidance.look(x, filled_like(x, pairs[0][0]))
    log_weights, log_evidence = _normalised(here.log_likelihood - math.log(n))
    for t, s in pairs:
        yield Particles(t, x, log_weights, log_evidence)
        few = effective_sample_size(log_weights) < n / 2  # no `if`: it would wait for the device
        kept = systematic_resample(log_weights, generator)
        kept = torch.where(few, kept, torch.arange(n, device=x.device))
        log_weights = torch.where(few, -math.log(n), log_weights)
        x, here = x[kept], _rows(here, kept)
        noise = standard_normal(x.shape, x, generator)
        x, log_ratio, there = _step(guidance, x, here, (t, s), noise)
        gained = log_ratio + there.log_likelihood - here.log_likelihood
        log_weights, total = _normalised(log_weights + gained)
        log_evidence, here = log_evidence + total, there
    yield Particles(0, x, log_weights, log_evidence)


def _step(
    guidance: PosteriorGuidance, x: Tensor, here: Twisted, pair: tuple[int, int], noise: Tensor
) -> tuple[Tensor, Tensor, Twisted]:
    """The guided step; ln of how much likelier the model's own step is to lead there, (n,)."""
    at_t, at_s = (filled_like(x, at) for at in pair)
    if pair[1] == 0:
        x0_hat = here.seen.x0_hat
        there = here._replace(log_likelihood=guidance.likelihood(x0_hat))
        return x0_hat, torch.zeros_like(there.log_likelihood), there
    (mean, log_variance), (mean_guided, log_variance_guided) = (
        guidance.denoiser.reverse_given(seen, x, at_t, at_s) for seen in (here.seen, here.guided)
    )
    x_s = mean_guided + torch.exp(0.5 * log_variance_guided) * noise
    log_model = normal_log_prob(x_s, mean, log_variance)
    log_proposal = normal_log_prob(x_s, mean_guided, log_variance_guided)
    log_ratio = (log_model - log_proposal).flatten(1).sum(1)
    return x_s, log_ratio, guidance.look(x_s, at_s)


def _normalised(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    total = log_weights.logsumexp(0)
    return log_weights - total, total


def _rows(here: Twisted, kept: Tensor) -> Twisted:
    def of(seen: Prediction) -> Prediction:
        return Prediction._make(None if part is None else part[kept] for part in seen)

    return Twisted(of(here.seen), here.log_likelihood[kept], of(here.guided))
