"""The VAEs that stand beside diffusion models in chapters 12 and 13."""

from typing import Any

import torch
from _results import STARTS
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from tqdm import tqdm

from ddpm_tutorial import VAE, from_bytes, to_bits_per_dim, to_bytes, train_vae

VAE_STEPS, TOY_STEPS = 2000, 2000
DRAWS = 10  # of the latents for each image, where a bound is reported
# The toy of the chapter: weights, means and variances.
TOY = ([0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
TOY_SAMPLES = 4_000  # from each start, as the chapter draws them with the other samplers


def trained_vae(train: Tensor, seed: int) -> VAE:
    """A VAE as in chapter 2."""
    torch.manual_seed(seed)
    vae = VAE(latents=(16,))
    generator = torch.Generator().manual_seed(seed)
    for _ in tqdm(train_vae(vae, train, VAE_STEPS, generator), total=VAE_STEPS, mininterval=10):
        pass
    return vae


@torch.no_grad()
def vae_on_test_images(vae: VAE, test: Tensor, round_trips: int, seed: int) -> dict[str, float]:
    """The bound, and what comes back of the digits by which the other models are measured."""
    generator = torch.Generator().manual_seed(seed)
    bits = torch.cat([vae(images, generator).bits_per_dim() for images in test.split(500)])
    digits = test[:round_trips]
    (z,) = vae.encode(digits, generator)
    restored = vae.decode(z, layer=1)
    return {"bits_per_dim": float(bits.mean()), "round_trip": root_mean_square(restored - digits)}


@torch.no_grad()
def bound_of(vae: VAE, images: Tensor, seed: int) -> dict[str, Any]:
    """The bound, its standard error over images, and what each layer costs, in bits/dimension."""
    generator = torch.Generator().manual_seed(seed)
    totals, layers = [], []
    for batch in images.split(1000):
        terms = [vae(batch, generator) for _ in range(DRAWS)]
        totals.append(torch.stack([t.bits_per_dim() for t in terms]).double().mean(0))
        cost = torch.stack([t.layers for t in terms]).double().mean(0)
        layers.append(to_bits_per_dim(cost, images[0].numel()))
    total, layer = torch.cat(totals), torch.cat(layers)
    return {
        "bits_per_dim": float(total.mean()),
        "standard_error": float(total.std() / len(total) ** 0.5),
        "layers": layer.mean(0).tolist(),
    }


@torch.no_grad()
def draw(vae: VAE, n: int, generator: torch.Generator) -> Tensor:
    """Draws of p(x) on the 256 levels: the pixels too, where `VAE.sample` takes their mean."""
    z = torch.randn(n, vae.latents[-1], generator=generator)
    for layer in reversed(vae.decoder):
        mean, log_variance = layer(z)
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    return from_bytes(to_bytes(z)).view(n, *vae.shape)


def toy_vae(seed: int) -> dict[str, float]:
    """A VAE of the toy, whose draws are rounded to the 256 levels that the decoder knows.

    Its samples are draws of the decoder's normal distribution, not its means. `wasserstein` is the
    mean over five starts.
    """
    torch.manual_seed(seed)
    weights, means, variances = (torch.tensor(v, dtype=torch.float64) for v in TOY)
    truth = MixtureSameFamily(Categorical(weights), Normal(means, variances.sqrt()))
    data = (truth.sample((60_000, 1)).clamp(-1, 1) * 127.5).add(127.5).round().float() / 127.5 - 1
    vae = VAE(latents=(2,), width=64, shape=(1,))
    generator = torch.Generator().manual_seed(seed)
    for _ in tqdm(train_vae(vae, data[10_000:], TOY_STEPS, generator), total=TOY_STEPS):
        pass
    held_out = data[:10_000]
    with torch.no_grad():
        bound = vae(held_out, generator).bound()
        z = torch.randn(len(STARTS) * TOY_SAMPLES, 2, generator=generator)
        mean, log_variance = vae.decoder[0](z)
        noise = torch.randn(mean.shape, generator=generator)
        drawn = (mean + (0.5 * log_variance).exp() * noise).double()[:, 0]
    upper, lower = (truth.cdf(held_out.double() + side / 255)[:, 0] for side in (1, -1))
    order = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    shares = (torch.arange(TOY_SAMPLES) + 0.5) / TOY_SAMPLES
    quantiles = order[torch.searchsorted(truth.cdf(order), shares)]
    in_order = drawn.view(len(STARTS), TOY_SAMPLES).sort(1).values
    return {
        "wasserstein": float((in_order - quantiles).abs().mean()),
        "gap": float(((upper - lower).log() - bound).mean()),
    }


def root_mean_square(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())
