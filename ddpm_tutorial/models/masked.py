"""Masked diffusion: the chain of latents, with a noise that hides entries instead of blurring them.

An entry of x_0 is one of K symbols: the 256 grey levels, letters, anything. A symbol is written as
one of K numbers spread evenly over [-1, 1], so that a picture is its own spelling.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_tutorial.errors import check_whole
from ddpm_tutorial.mathematics.forward import match
from ddpm_tutorial.mathematics.gaussian import to_bits_per_dim
from ddpm_tutorial.mathematics.schedule import NoiseSchedule
from ddpm_tutorial.models.ddpm import in_eval_mode
from ddpm_tutorial.models.network import Network, num_classes_of
from ddpm_tutorial.models.parameterisation import LossTerms

__all__ = [
    "MaskedDiffusion",
    "from_symbols",
    "is_masked",
    "to_symbols",
    "unmasking_share",
]


def to_symbols(x: Tensor, symbols: int) -> Tensor:
    """Which of the K = `symbols` symbols, 0..K-1, stands at each entry of x: int64, shaped like x.

    Raises ValueError where an entry is none of the K numbers -1, -1 + 2/(K-1), ..., 1; on a GPU,
    where looking would stall it, their values are taken on trust.
    """
    place = (x + 1) * (0.5 * (symbols - 1))
    index = place.round()
    if x.device.type == "cpu":
        off = ((place - index).abs() > 1e-2) | (index < 0) | (index >= symbols)
        if bool(off.any()):
            raise ValueError(
                f"x0 holds {float(x[off][0]):g}, which is none of the {symbols} numbers spread "
                f"evenly over [-1, 1]: write symbols k = 0..{symbols - 1} as from_symbols(k, "
                f"{symbols})"
            )
    return index.long()


def from_symbols(index: Tensor, symbols: int) -> Tensor:
    """The number that stands for each of the K = `symbols` symbols, 0..K-1: float32, like `index`.

    For K = 256 these are the grey levels of a picture in [-1, 1].
    """
    return index / (0.5 * (symbols - 1)) - 1


def is_masked(schedule: NoiseSchedule, t: Tensor, eps: Tensor) -> Tensor:
    """Which entries are masked in x_t ~ q(x_t | x_0): bool, shaped like `eps`.

    `eps` (B, ...) is standard normal, t int64 (B,) in 0..T. An entry is masked with probability
    1 - alpha_bar_t: where Phi(eps), which is uniform on [0, 1], exceeds alpha_bar_t. The same eps
    at every t makes a path of the chain, on which what is masked stays masked.
    Source: Austin et al. (2021), the chain with an absorbing state.
    """
    return eps > match(torch.special.ndtri(schedule.alpha_bar_at(t)), eps)


def unmasking_share(schedule: NoiseSchedule, t: Tensor, s: Tensor | None = None) -> Tensor:
    """The probability that an entry masked at t is visible at s < t, default s = t - 1: (B,).

        q(x_s = x_0 | x_t = mask, x_0) = (alpha_bar_s - alpha_bar_t) / (1 - alpha_bar_t)

    That is all that is random in the posterior of the chain: an entry visible at t is visible at s.
    float64; 1 at s = 0.
    Source: Sahoo et al. (2024).
    """
    alpha_bar_t = schedule.alpha_bar_at(t)
    alpha_bar_s = schedule.alpha_bar_at(t - 1 if s is None else s)
    return (alpha_bar_s - alpha_bar_t) / (1 - alpha_bar_t)


class MaskedDiffusion(nn.Module):
    """A diffusion model whose forward process masks entries, one after the other, until all are.

    `schedule.alpha_bar[t]` is the probability that an entry is still visible at t. `shape` (C, ...)
    is that of one x_0, and `symbols` is K. `network` keeps the contract of a `Network`, without
    labels: it sees (B, 2C, ...), the entries (0 where masked) and then the mask (1 where masked),
    and gives (B, K C, ...), for each entry log-weights of the K symbols, all channels of symbol 0
    first. It is not told t, which what is visible makes superfluous: it is called with t = 1.

    `train` trains it as it trains a `DDPM`. Raises ValueError for fewer than 2 symbols, or a
    network that takes labels.
    Source: Sahoo et al. (2024); Shi et al. (2024).
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        shape: tuple[int, ...] = (1, 28, 28),
        symbols: int = 256,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes_of(network)
        if self.num_classes:
            raise ValueError(
                f"the network tells {self.num_classes} classes apart: give one with "
                f"num_classes = 0, as this model takes no labels"
            )
        if check_whole("symbols", symbols) < 2:
            raise ValueError(f"symbols = {symbols}: there must be at least 2")
        self.network = network
        self.schedule = schedule
        self.shape = tuple(shape)
        self.symbols = symbols

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: None = None) -> LossTerms:
        """The term of the bound at the drawn t and eps, which is what is minimised.

        Shapes: x0 and eps (B, ...), t int64 (B,) in 1..T. `simple` is the mean cross-entropy of the
        masked entries, in nats; `variational` and `total` are the term of the bound, in nats per
        dimension, times T. There is no label to give.
        Source: Sahoo et al. (2024).
        """
        masked = is_masked(self.schedule, t, eps)
        cost = self.surprise(x0, masked).flatten(1).sum(1)
        share = match(unmasking_share(self.schedule, t), cost)
        bound = self.schedule.T / x0[0].numel() * share * cost
        return LossTerms(cost / masked.flatten(1).sum(1).clamp(min=1), bound, bound)

    def log_weights(self, x0: Tensor, masked: Tensor) -> Tensor:
        """What the network says of each entry, (B, K, C, ...), seeing those not `masked` only.

        Raises ValueError where the network gives another shape than (B, K C, ...).
        """
        seen = torch.cat([x0.masked_fill(masked, 0), masked.to(x0.dtype)], dim=1)
        output = self.network(seen, torch.ones(len(x0), dtype=torch.int64, device=x0.device))
        wanted = (len(x0), self.symbols * x0.shape[1], *x0.shape[2:])
        if output.shape != wanted:
            raise ValueError(
                f"the network gave {tuple(output.shape)} for an input of shape "
                f"{tuple(seen.shape)}: {self.symbols} symbols need {wanted}"
            )
        weights: Tensor = output.unflatten(1, (self.symbols, x0.shape[1]))
        return weights

    def surprise(self, x0: Tensor, masked: Tensor) -> Tensor:
        """How little the visible entries foretell each masked one: -ln p of its symbol, in nats.

        x0 and `masked`, bool, are (B, ...), and so is the result: 0 where an entry is visible.
        """
        log_weights = self.log_weights(x0, masked)
        nats = F.cross_entropy(log_weights, to_symbols(x0, self.symbols), reduction="none")
        return nats * masked

    @torch.no_grad()
    def bits_per_dim(
        self, x0: Tensor, generator: torch.Generator | None = None, terms: int = 10
    ) -> Tensor:
        """An unbiased estimate of the bound in continuous time, in bits per dimension, (B,).

        The bound is the mean over n = 1..D, the number of entries, of the surprise of a masked
        entry where n of them are masked at random. Of these D means `terms` are taken, one n at
        random in each of as many equal stretches. Raises ValueError unless 1 <= terms <= D.
        Source: Hoogeboom et al. (2022).
        """
        D = x0[0].numel()
        if not 1 <= check_whole("terms", terms) <= D:
            raise ValueError(f"terms = {terms}: choose 1..{D}, the number of entries")
        total = torch.zeros(len(x0), device=x0.device)
        for stretch in range(terms):
            u = _uniform((len(x0),), x0, generator)
            n = 1 + ((stretch + u) * (D / terms)).long().clamp(max=D - 1)
            masked = _ranks(x0, generator) < match(n, x0)
            with in_eval_mode(self):
                total += self.surprise(x0, masked).flatten(1).sum(1) / n
        return to_bits_per_dim(total / terms, 1)

    @torch.no_grad()
    def sample_path(
        self, n: int, steps: int | None = None, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Sample n examples; yield what is drawn so far and what is still masked, both (n, ...).

        First everything is masked. Each of the `steps` (None: one for each entry) reveals as many
        entries of each example, in random order: together, each drawn from its own distribution
        given the visible ones. Raises ValueError for n < 1, or unless steps lies in 1..D.
        """
        like = next(self.parameters(), torch.empty(0))
        D = torch.Size(self.shape).numel()
        steps = D if steps is None else check_whole("steps", steps)
        if n < 1:
            raise ValueError(f"n = {n}: ask for at least 1 sample")
        if not 1 <= steps <= D:
            raise ValueError(f"steps = {steps}: choose 1..{D}, the number of entries")
        x = torch.zeros(n, *self.shape, device=like.device)
        rank = _ranks(x, generator)
        masked = torch.ones_like(x, dtype=torch.bool)
        yield x.clone(), masked
        for step in range(1, steps + 1):
            left = rank >= round(D * step / steps)
            now = masked & ~left
            x[now] = self._draw(x, masked, now, generator)
            masked = left
            yield x.clone(), masked

    def sample(
        self, n: int, steps: int | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """The end of `sample_path`: n examples (n, *shape), whose entries are symbols."""
        *_, (x, _) = self.sample_path(n, steps, generator)
        return x

    def _draw(
        self, x: Tensor, masked: Tensor, now: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Values for the entries `now`, each from its own distribution, (entries,)."""
        with in_eval_mode(self):
            probabilities = self.log_weights(x, masked).movedim(1, -1)[now].softmax(-1)
        u = _uniform((len(probabilities), 1), x, generator)
        symbol = (probabilities.cumsum(-1) < u).sum(-1).clamp(max=self.symbols - 1)
        return from_symbols(symbol, self.symbols)


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform on [0, 1), drawn where the generator is, as `standard_normal` draws."""
    source = like.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=source).to(like.device)


def _ranks(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """For each example of `like` (B, ...) its D entries in random order: 0..D-1, (B, ...)."""
    order = _uniform(tuple(like.flatten(1).shape), like, generator).argsort(1)
    return order.argsort(1).view(like.shape)
