"""The VAEs that stand beside the samplers in chapter 12."""

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from tqdm import tqdm

from ddpm_tutorial import VAE, train_vae

VAE_STEPS, TOY_STEPS = 2000, 2000
# The toy of the chapter: weights, means and variances.
TOY = ([0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])


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


def toy_vae(seed: int) -> dict[str, float]:
    """A VAE of the toy, whose draws are rounded to the 256 levels that the decoder knows.

    Its samples are draws of the decoder's normal distribution, not its means.
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
        z = torch.randn(20_000, 2, generator=generator)
        mean, log_variance = vae.decoder[0](z)
        noise = torch.randn(mean.shape, generator=generator)
        drawn = (mean + (0.5 * log_variance).exp() * noise).double()[:, 0]
    upper, lower = (truth.cdf(held_out.double() + side / 255)[:, 0] for side in (1, -1))
    order = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    quantiles = torch.searchsorted(truth.cdf(order), (torch.arange(20_000) + 0.5) / 20_000)
    return {
        "wasserstein": float((drawn.sort().values - order[quantiles]).abs().mean()),
        "gap": float(((upper - lower).log() - bound).mean()),
    }


def root_mean_square(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())
