"""Measure what the answers to two exercises quote, one of chapter 2 and one of chapter 3.

    python experiments/exercises.py

writes book/results/exercises.json. All models are trained on the bundled digits, as the two
chapters do it, with three seeds each, and measured on the 1,000 bundled digits that are held out.

- latents: a VAE with 1, 2, 16 and 64 latent numbers. Its bits per dimension; what the latent costs,
  in nats for an image; and how many of its entries cost less than 0.05 nats on average.
- swapped: the chain with latents of 32, 16 and 8 numbers. For each layer t, by how many bits for an
  image ln p(z_{t-1} | z_t) falls when z_t is that of another digit (z_0 is the image).

Some five minutes on one core.
"""

import time

import torch
from _results import SEEDS, with_spread, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    VAE,
    discretized_normal_log_prob,
    kl_normal,
    load_bundled,
    normal_log_prob,
    train_vae,
)

NAME, SEED = "exercises", 0
SIZES, STEPS = (1, 2, 16, 64), 600
CHAIN, STEPS_OF_CHAIN = (32, 16, 8), 500
IDLE = 0.05  # nats


def main() -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    latents = {str(size): [measure_one(size, seed) for seed in SEEDS] for size in SIZES}
    swapped = torch.stack([measure_swaps(seed) for seed in SEEDS])
    figures = {
        "settings": {"steps": STEPS, "steps_of_chain": STEPS_OF_CHAIN, "idle_below_nats": IDLE},
        "seeds": list(SEEDS),
        "n": len(load_bundled("test").images),
        "latents": {
            size: {name: with_spread([run[name] for run in runs], 4) for name in runs[0]}
            for size, runs in latents.items()
        },
        "swapped": {f"z_{t}": with_spread(bits, 1) for t, bits in enumerate(swapped.T.tolist(), 1)},
    }
    write_results(NAME, figures, seed=SEED, started=started)


def trained(latents: tuple[int, ...], steps: int, seed: int) -> VAE:
    """A VAE as chapters 2 and 3 train it, but with this seed."""
    torch.manual_seed(seed)
    vae = VAE(latents=latents)
    images, generator = load_bundled("train").images, torch.Generator().manual_seed(seed)
    for _ in tqdm(train_vae(vae, images, steps, generator), f"{latents}", total=steps):
        pass
    return vae.requires_grad_(False)


def measure_one(size: int, seed: int) -> dict[str, float]:
    vae, images = trained((size,), STEPS, seed), load_bundled("test").images
    terms = vae(images, torch.Generator().manual_seed(seed))
    mean, log_variance = vae.encoder[0](images.flatten(1))
    zero = torch.zeros_like(mean)
    of_entries = kl_normal(mean, log_variance, zero, zero).mean(0)
    return {
        "bits_per_dim": float(terms.bits_per_dim().mean()),
        "cost": float(terms.layers.sum(1).mean()),
        "idle": int((of_entries < IDLE).sum()),
    }


def measure_swaps(seed: int) -> Tensor:
    """For each layer, the bits for an image that are lost when its latent is another image's."""
    chain, images = trained(CHAIN, STEPS_OF_CHAIN, seed), load_bundled("test").images
    path = [images.flatten(1), *chain.encode(images, torch.Generator().manual_seed(seed))]

    def log_p(t: int, z: Tensor) -> Tensor:
        kind = normal_log_prob if t > 1 else discretized_normal_log_prob
        return kind(path[t - 1], *chain.decoder[t - 1](z)).sum(1)

    lost = [log_p(t, path[t]) - log_p(t, path[t].roll(1, 0)) for t in range(1, len(path))]
    return torch.stack(lost).mean(1) / torch.tensor(2.0).log()


if __name__ == "__main__":
    main()
