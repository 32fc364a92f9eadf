"""Measure predictors with and without Langevin correctors, annealed Langevin, and a VAE, on MNIST.

    python experiments/correctors.py --data FOLDER_WITH_MNIST

writes book/results/correctors.json. For the shipped model `mnist`, and for each sampler at equal
numbers of network evaluations, it holds the Frechet distance of 500 samples from the 10,000 test
images, on the features of the shipped classifier. All start from the same noise. Beside them stand
the floor, which is the same distance of 500 training images (mean and standard deviation over 20
draws); a VAE trained for 2,000 steps on the 60,000 training images, with its bound on the test
images; a VAE of the toy mixture of chapter 12; and, for each kind of model, how far 20 test digits
are from what comes back after a way to the latent and back.

Some 6 minutes on one core. It writes after every part, and when it is called again with the same
settings it goes on from there.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from _results import complete_mnist, figures_so_far, floor_of_fid, name_of_precision, write_results
from accelerate import Accelerator
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from tqdm import tqdm

from ddpm_tutorial import (
    DDIM,
    DDPM,
    VAE,
    Ancestral,
    Corrected,
    Denoiser,
    SamplePath,
    Sampler,
    annealed_langevin,
    classify,
    ddim_invert,
    filled_like,
    frechet_distance,
    load_classifier,
    load_pretrained,
    make_accelerator,
    q_sample,
    sample,
    timestep_pairs,
    train_vae,
    walk,
)

NAME, SEED, SAMPLES, BATCH, DRAWS_OF_FLOOR, ROUND_TRIPS = "correctors", 0, 500, 125, 20, 20
# Name of a run: sampler and steps of it. Each takes 49 network evaluations: a correction is one
# more in every step but the last. None stands for annealed Langevin dynamics.
RUNS: dict[str, tuple[Sampler | None, int]] = {
    "ddpm-0-49": (Ancestral("small"), 49),
    "ddpm-0.3-49": (Corrected(Ancestral("small"), 0.3), 25),
    "ddim-0-49": (DDIM(), 49),
    "ddim-0.3-49": (Corrected(DDIM(), 0.3), 25),
    "langevin-0.5-49": (None, 48),
}
LANGEVIN_STEP = 0.5
VAE_STEPS, TOY_STEPS = 2000, 2000
# The toy of the chapter: weights, means and variances.
TOY = ([0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    train, test = (digits.images for digits in complete_mnist(parser.parse_args().data))
    accelerator = make_accelerator()
    precision = name_of_precision(accelerator)
    settings = {
        "samples": SAMPLES,
        "references": len(test),
        "round_trips": ROUND_TRIPS,
        "precision": precision,
        "vae_steps": VAE_STEPS,
    }
    classifier = load_classifier()

    @functools.cache
    def reference() -> Tensor:
        return classify(classifier, test, progress=True)[0]

    def compare(images: Tensor) -> dict[str, float]:
        features, probabilities = classify(classifier, images)
        return {
            "fid": frechet_distance(features, reference()),
            "confidence": float(probabilities.amax(1).mean()),
        }

    def floor() -> dict[str, float]:
        mean, spread = floor_of_fid(
            classifier, train, reference(), samples=SAMPLES, draws=DRAWS_OF_FLOOR, seed=SEED
        )
        return {"fid": mean, "spread": spread}

    def measure(name: str, part: Callable[[], dict[str, Any]]) -> None:
        if name not in figures_so_far(NAME, settings):
            started = time.monotonic()
            found = part()
            found["seconds"] = round(time.monotonic() - started, 1)
            # Read again: another call may have written in the meantime.
            figures = figures_so_far(NAME, settings) | {name: found}
            seconds = sum(v["seconds"] for v in figures.values() if "seconds" in v)
            write_results(
                NAME, figures, seed=SEED, started=time.monotonic() - seconds, precision=precision
            )

    measure("toy_vae", measure_toy_vae)
    measure("vae", lambda: measure_vae(train, test, compare))
    measure("floor", floor)
    model = load_pretrained("mnist").to(accelerator.device)
    noise = torch.randn(SAMPLES, *model.shape, generator=torch.Generator().manual_seed(SEED))
    for name in tqdm(RUNS, unit="run"):
        measure(name, lambda name=name: compare(draw(model, noise, name, accelerator)))
    measure("round_trip", lambda: measure_round_trips(model, test, accelerator))


def path_of(denoiser: Denoiser, x_T: Tensor, name: str, generator: torch.Generator) -> SamplePath:
    """The path from x_T to x_0 of a run."""
    sampler, steps = RUNS[name]
    pairs = timestep_pairs(denoiser.schedule.T, steps)
    if sampler is None:
        return annealed_langevin(denoiser, x_T, pairs, LANGEVIN_STEP, generator=generator)
    return walk(denoiser, x_T, pairs, sampler, generator)


def draw(model: DDPM, noise: Tensor, name: str, accelerator: Accelerator) -> Tensor:
    """The images that a run makes of the noise, batch by batch."""
    generator = torch.Generator().manual_seed(SEED + 1)
    batches = []
    with accelerator.autocast():
        for x_T in noise.to(accelerator.device).split(BATCH):
            path = path_of(model.denoiser(), x_T, name, generator)
            for _, x_t, _ in tqdm(path, unit="step", leave=False):  # noqa: B007
                pass
            batches.append(x_t.float().cpu())
    return torch.cat(batches)


def measure_vae(
    train: Tensor, test: Tensor, compare: Callable[[Tensor], dict[str, float]]
) -> dict[str, float]:
    """A VAE as in chapter 2: its samples, its bound, and what it restores."""
    torch.manual_seed(SEED)
    vae = VAE(latents=(16,))
    generator = torch.Generator().manual_seed(SEED)
    for _ in tqdm(train_vae(vae, train, VAE_STEPS, generator), total=VAE_STEPS, unit="step"):
        pass
    digits = test[:ROUND_TRIPS]
    with torch.no_grad():
        bits = torch.cat([vae(images, generator).bits_per_dim() for images in test.split(500)])
        (z,) = vae.encode(digits, generator)
        restored = vae.decode(z, layer=1)
    return {
        **compare(vae.sample(SAMPLES, generator)),
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std() / len(bits) ** 0.5),
        "round_trip": root_mean_square(restored - digits),
    }


def measure_toy_vae() -> dict[str, float]:
    """A VAE of the toy, whose draws are rounded to the 256 levels that the decoder knows.

    Its samples are draws of the decoder's normal distribution, not its means.
    """
    torch.manual_seed(SEED)
    weights, means, variances = (torch.tensor(v, dtype=torch.float64) for v in TOY)
    truth = MixtureSameFamily(Categorical(weights), Normal(means, variances.sqrt()))
    data = (truth.sample((60_000, 1)).clamp(-1, 1) * 127.5).add(127.5).round().float() / 127.5 - 1
    vae = VAE(latents=(2,), width=64, shape=(1,))
    generator = torch.Generator().manual_seed(SEED)
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
    gap = (upper - lower).log() - bound
    order = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    quantiles = torch.searchsorted(truth.cdf(order), (torch.arange(20_000) + 0.5) / 20_000)
    return {
        "wasserstein": float((drawn.sort().values - order[quantiles]).abs().mean()),
        "gap": float(gap.mean()),
        "standard_error": float(gap.std() / len(gap) ** 0.5),
    }


def measure_round_trips(model: DDPM, test: Tensor, accelerator: Accelerator) -> dict[str, float]:
    """How far, per pixel, digits are from what comes back from x_T; 49 evaluations each way."""
    digits = test[:ROUND_TRIPS].to(accelerator.device)
    denoiser = model.denoiser(clip=False)
    with accelerator.autocast():
        found = ddim_invert(denoiser, digits, 49)
        images = sample(denoiser, len(digits), "ddim", 49, x_T=found)
    back = {"ddim": images.float().cpu()}
    noise = torch.randn(digits.shape, generator=torch.Generator().manual_seed(SEED))
    T = filled_like(digits, model.schedule.T)
    x_T = q_sample(model.schedule, digits, T, noise.to(digits))
    for name in ("ddpm-0-49", "langevin-0.5-49"):
        back[name.partition("-")[0]] = draw(model, x_T, name, accelerator)
    return {name: root_mean_square(images - digits.cpu()) for name, images in back.items()}


def root_mean_square(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


if __name__ == "__main__":
    main()
