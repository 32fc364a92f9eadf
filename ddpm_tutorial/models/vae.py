"""Variational autoencoders, with one layer of latents or a chain of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import standard_normal
from ddpm_tutorial.mathematics.gaussian import (
    discretized_normal_log_prob,
    is_on_256_levels,
    kl_normal,
    normal_log_prob,
    to_bits_per_dim,
)

__all__ = [
    "LOWEST_LOG_VARIANCE",
    "VAE",
    "NormalLayer",
    "VAETerms",
    "train_vae",
]

#: The least that a decoder says: a standard deviation under a grey level, whose step is 2 / 255.
LOWEST_LOG_VARIANCE = -10.0


@dataclass(frozen=True)
class VAETerms:
    """The bound by terms, in nats, at one draw of the latents: reconstruction - sum of the layers.

    `reconstruction` (B,) is ln p(x | z_1). `layers` (B, T) is what each layer of latents costs: for
    t < T it is ln q(z_t | z_{t-1}) - ln p(z_t | z_{t+1}), and for the last one
    KL(q(z_T | z_{T-1}) || p(z_T)), where z_0 is x. With one layer, T = 1, only that divergence is
    left. `dimensions` is the number of pixels.
    Source: Kingma and Welling (2014), equation 3; for a chain, Sønderby et al. (2016), equation 6.
    """

    reconstruction: Tensor
    layers: Tensor
    dimensions: int

    def bound(self) -> Tensor:
        """The bound on ln p(x), in nats, (B,)."""
        return self.reconstruction - self.layers.sum(1)

    def bits_per_dim(self) -> Tensor:
        """The bound as a code length, in bits per dimension, (B,); smaller is better."""
        return to_bits_per_dim(-self.bound(), self.dimensions)


class NormalLayer(nn.Module):
    """A normal distribution whose mean and log-variance a small network reads off its input."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(inputs, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * outputs),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (B, outputs), given x (B, inputs)."""
        mean, log_variance = self.network(x).chunk(2, dim=1)
        # A smooth floor: a variance that shrinks to nothing would end the training.
        return mean, LOWEST_LOG_VARIANCE + F.softplus(log_variance - LOWEST_LOG_VARIANCE)


class VAE(nn.Module):
    """A chain of latents z_1, ..., z_T over an image x, with the encoder learned too.

    `latents` holds the number of entries of z_1, ..., z_T: one number for the plain VAE (Kingma and
    Welling, 2014), more for a hierarchical one (Sønderby et al., 2016). `shape` is that of one
    image, and `width` that of the networks' inner layers. The prior p(z_T) is N(0, I); the decoder
    p(x | z_1) is a normal cut into the 256 grey levels. Raises ValueError without a latent.
    """

    def __init__(
        self,
        latents: tuple[int, ...] = (16,),
        width: int = 256,
        shape: tuple[int, ...] = (1, 28, 28),
    ) -> None:
        super().__init__()
        if not latents or min(latents) < 1:
            raise ValueError(f"latents = {latents}: give the size of each layer, at least 1")
        self.latents = latents
        self.shape = shape
        sizes = [torch.Size(shape).numel(), *latents]
        pairs = list(pairwise(sizes))
        self.encoder = nn.ModuleList(NormalLayer(below, above, width) for below, above in pairs)
        self.decoder = nn.ModuleList(NormalLayer(above, below, width) for below, above in pairs)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VAETerms:
        """The terms of the bound at images x (B, ...) on 256 levels, with one draw of the latents.

        Raises ValueError for images on other levels, whose bound would mean nothing.
        """
        if not is_on_256_levels(x):
            raise ValueError(
                f"x (from {float(x.min()):g} to {float(x.max()):g}) is not on the 256 levels -1, "
                f"-1 + 2/255, ..., 1: scale images to [-1, 1] (bytes: x / 127.5 - 1)"
            )
        x = x.flatten(1)
        z, q = self._encode(x, generator)
        reconstruction = discretized_normal_log_prob(x, *self.decoder[0](z[0])).sum(1)
        layers = [
            (normal_log_prob(z[t], *q[t]) - normal_log_prob(z[t], *self.decoder[t + 1](z[t + 1])))
            for t in range(len(z) - 1)
        ]
        zero = torch.zeros_like(z[-1])
        layers.append(kl_normal(*q[-1], zero, zero))
        return VAETerms(reconstruction, torch.stack([c.sum(1) for c in layers], 1), x.shape[1])

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        """One draw of z_1, ..., z_T given images x (B, ...): tensors (B, latents[t - 1])."""
        return self._encode(x.flatten(1), generator)[0]

    def decode(self, z: Tensor, layer: int, generator: torch.Generator | None = None) -> Tensor:
        """The image (B, *shape) in [-1, 1] that z (B, latents[layer - 1]) of layer 1..T stands for.

        Latents further down are drawn; the image is the mean of p(x | z_1).
        """
        for t in range(layer, 1, -1):
            mean, log_variance = self.decoder[t - 1](z)
            z = _draw(mean, log_variance, generator)
        mean, _ = self.decoder[0](z)
        images: Tensor = mean.clamp(-1, 1).unflatten(1, self.shape)
        return images

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Decode n draws of the prior: (n, *shape) in [-1, 1].

        Raises ValueError for n < 1, or where an image comes out with values that are not finite.
        """
        if n < 1:
            raise ValueError(f"n = {n}: ask for at least 1 sample")
        like = next(self.parameters())
        z = standard_normal((n, self.latents[-1]), like, generator)
        images = self.decode(z, len(self.latents), generator)
        check_finite("samples", images)
        return images

    def _encode(
        self, x: Tensor, generator: torch.Generator | None
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Draws of the latents, and mean and log-variance of the distribution of each."""
        z, q = [x], []
        for layer in self.encoder:
            mean, log_variance = layer(z[-1])
            q.append((mean, log_variance))
            z.append(_draw(mean, log_variance, generator))
        return z[1:], q


def train_vae(
    model: VAE,
    data: Tensor,
    steps: int,
    generator: torch.Generator,
    batch_size: int = 100,
    learning_rate: float = 2e-3,
) -> Iterator[float]:
    """Raise the bound of `model` on `data` (N, ...), in place; yields each step's bits/dimension.

    A generator, as `train` is: it yields after every step. The learning rate falls to 0 linearly.
    Raises ValueError for data that are not on 256 levels, or none, and at the first step whose loss
    is not finite.
    """
    if not len(data):
        raise ValueError("there are 0 images: give at least 1")
    check_finite("data", data)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for step in range(steps):
        index = torch.randint(len(data), (batch_size,), generator=generator)
        loss = model(data[index], generator).bits_per_dim().mean()
        check_finite(f"the loss of step {step + 1}", loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
        yield loss.item()


def _draw(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Mean + sigma * noise, so that gradients reach both (the reparameterisation trick)."""
    return mean + torch.exp(0.5 * log_variance) * standard_normal(mean.shape, mean, generator)
