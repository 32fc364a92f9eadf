"""One layer of latents against a chain of three, and what is done to keep the upper layers in use.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/hierarchical.py [SEED ...]

Trains each of five models on MNIST's 60,000 training images, once for each seed (0 to 4 unless
others are named), and measures its bound on all 10,000 test images, with one draw of the latents
for each. Nothing is chosen by the test images. The models:

- one: a VAE with one layer of 32 numbers.
- chain: three layers of 32, 16 and 8 numbers, as in chapter 3; the encoder climbs.
- one, warm-up and chain, warm-up: the same, but the cost of the latents counts by a factor that
  rises from 0 to 1 in the first steps.
- top-down, warm-up: with warm-up, and with the encoder of Sønderby et al. (2016), without their
  batch normalisation.

Writes book/results/hierarchical.json after each model, and goes on from there when it is started
again. Some ten minutes on one core.
"""

import sys
import time

import torch
import torch.nn.functional as F
from _results import complete_mnist, figures_so_far, write_results
from torch import Tensor, nn
from tqdm import tqdm

from ddpm_tutorial import (
    LOWEST_LOG_VARIANCE,
    VAE,
    NormalLayer,
    VAETerms,
    discretized_normal_log_prob,
    kl_normal,
    standard_normal,
)

NAME, SEEDS = "hierarchical", [0, 1, 2, 3, 4]
LATENTS, WIDTH = (32, 16, 8), 256
STEPS, WARM_UP, BATCH, LEARNING_RATE = 600, 200, 100, 2e-3


class TopDownVAE(VAE):
    """The model of `VAE`, with an encoder that comes down beside the decoder.

    Features climb from the image, without noise. Then each layer, from the last to the first,
    multiplies what the decoder expects given the layer above with what the features say of it. Each
    cost is a divergence, KL(q(z_t | z_{t+1}, x) || p(z_t | z_{t+1})).
    Source: Sønderby et al. (2016), the precision-weighted encoder of their section on the ladder.
    """

    def __init__(self, latents: tuple[int, ...], width: int = WIDTH) -> None:
        super().__init__(latents, width)
        inputs = [784, *[width] * (len(latents) - 1)]
        self.encoder = nn.ModuleList(
            NormalLayer(below, size, width) for below, size in zip(inputs, latents, strict=True)
        )

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VAETerms:
        """As `VAE.forward`."""
        features, said = x.flatten(1), []
        for layer in self.encoder:
            features = layer.network[:-1](features)
            mean, log_variance = layer.network[-1](features).chunk(2, dim=1)
            floor = LOWEST_LOG_VARIANCE
            said.append((mean, floor + F.softplus(log_variance - floor)))
        zero = torch.zeros_like(said[-1][0])
        costs, q, p = [], said[-1], (zero, zero)
        for t in range(len(said), 0, -1):
            costs.append(kl_normal(*q, *p).sum(1))
            z = q[0] + (0.5 * q[1]).exp() * standard_normal(q[0].shape, q[0], generator)
            if t > 1:
                p = self.decoder[t - 1](z)
                q = product(p, said[t - 2])
        pixels = self.decoder[0](z)
        reconstruction = discretized_normal_log_prob(x.flatten(1), *pixels).sum(1)
        return VAETerms(reconstruction, torch.stack(costs[::-1], 1), 784)


def product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two normal densities multiplied, each given and returned by mean and log-variance."""
    log_precision = torch.logaddexp(-a[1], -b[1])
    share = (-a[1] - log_precision).exp()
    return share * a[0] + (1 - share) * b[0], -log_precision


MODELS = {
    "one": (VAE, LATENTS[:1], 0),
    "chain": (VAE, LATENTS, 0),
    "top-down, warm-up": (TopDownVAE, LATENTS, WARM_UP),
    "chain, warm-up": (VAE, LATENTS, WARM_UP),
    "one, warm-up": (VAE, LATENTS[:1], WARM_UP),
}


def main() -> None:
    started = time.monotonic()
    seeds = [int(word) for word in sys.argv[1:]] or SEEDS
    train, test = complete_mnist()
    settings = {
        "latents": list(LATENTS),
        "steps": STEPS,
        "warm_up": WARM_UP,
        "batch": BATCH,
        "training_images": len(train.images),
        "test_images": len(test.images),
    }
    figures = figures_so_far(NAME, settings)
    models = {name: figures.get("models", {}).get(name, {}) for name in MODELS}
    figures["models"] = models
    for name, (kind, latents, warm_up) in MODELS.items():
        for seed in seeds:
            if str(seed) in models[name]:
                continue
            torch.manual_seed(seed)
            vae = kind(latents, WIDTH)
            begun = time.process_time()
            fit(vae, train.images, warm_up, seed, f"{name}, seed {seed}")
            models[name][str(seed)] = measure(vae, test.images, seed)
            spent = figures.get("cpu_seconds", 0) + time.process_time() - begun
            figures["cpu_seconds"] = round(spent, 1)
            figures["n"] = min(len(found) for found in models.values())
            write_results(NAME, figures, seed=0, started=started)


def fit(vae: VAE, images: Tensor, warm_up: int, seed: int, name: str) -> None:
    """As `train_vae`, but the cost of the latents counts fully from step `warm_up` on only."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE, fused=True)
    for step in tqdm(range(STEPS), desc=name, mininterval=10):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        index = torch.randint(len(images), (BATCH,), generator=generator)
        terms = vae(images[index], generator)
        weight = min(1.0, step / warm_up) if warm_up else 1.0
        loss = (weight * terms.layers.sum(1) - terms.reconstruction).mean() / 784
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def measure(vae: VAE, images: Tensor, seed: int) -> dict:
    """The bound in bits per dimension, and in bits an image the cost of each layer."""
    generator = torch.Generator().manual_seed(1000 + seed)
    terms = [vae(batch, generator) for batch in images.split(1000)]
    bound = torch.cat([part.bits_per_dim() for part in terms]).double()
    layers = torch.cat([part.layers for part in terms]).double() / torch.tensor(2.0).log()
    return {
        "bits_per_dim": round(float(bound.mean()), 5),
        "layers": [round(bits, 3) for bits in layers.mean(0).tolist()],
    }


if __name__ == "__main__":
    main()
