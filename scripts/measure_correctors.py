"""Measure predictors with and without Langevin correctors, annealed Langevin, and a VAE, on MNIST.

    python scripts/measure_correctors.py --data FOLDER_WITH_MNIST

writes book/results/correctors.json. For the shipped model `mnist`, and for each sampler at equal
numbers of network evaluations, it holds the Frechet distance of 500 samples from the 10,000 test
images, on the features of the shipped classifier. All start from the same noise. Beside them stand
the floor, which is the same distance of 500 training images (mean and standard deviation over 20
draws); a VAE trained for 2,000 steps on the 60,000 training images, with its bound on the test
images; a VAE of the toy mixture of chapter 10; and, for each kind of model, how far 20 test digits
are from what comes back after a way to the latent and back.

Some 6 minutes on one core. It writes after every part, and when it is called again with the same
settings it goes on from there.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from accelerate import Accelerator
from results import figures_so_far, write_results
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    VAE,
    ddim_invert,
    load_mnist,
    load_pretrained,
    q_sample,
    sample,
    timestep_pairs,
)
from ddpm_tutorial.checkpoint import load_classifier
from ddpm_tutorial.classifier import classify
from ddpm_tutorial.evaluation import frechet_distance
from ddpm_tutorial.sampling import Path, filled_like
from ddpm_tutorial.score import annealed_langevin, predictor_corrector_path
from ddpm_tutorial.training import make_accelerator
from ddpm_tutorial.vae import train_vae

NAME, SEED, SAMPLES, BATCH, DRAWS_OF_FLOOR, ROUND_TRIPS = "correctors", 0, 500, 125, 20, 20
# Predictor, relative step of the corrector (0: no corrector), network evaluations; the ones that
# the chapter cannot do without come first.
RUNS = [
    ("ddpm", 0, 49),
    ("ddpm", 0.3, 49),
    ("ddim", 0, 49),
    ("ddim", 0.3, 49),
    ("langevin", 0.5, 49),
]
VAE_STEPS, TOY_STEPS = 2000, 2000
# The toy of the chapter: weights, means and variances.
TOY = ([0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    train, test = (
        load_mnist(split, parser.parse_args().data).images for split in ("train", "test")
    )
    if len(train) != 60_000:
        raise SystemExit("this needs the complete MNIST: name its folder with --data")
    accelerator = make_accelerator()
    precision = "bfloat16" if accelerator.mixed_precision == "bf16" else "float32"
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
    measure("floor", lambda: measure_floor(train, compare))
    model = load_pretrained("mnist").to(accelerator.device)
    noise = torch.randn(SAMPLES, *model.shape, generator=torch.Generator().manual_seed(SEED))
    for predictor, step, evaluations in tqdm(RUNS, unit="run"):
        name = f"{predictor}-{step}-{evaluations}"

        def run(
            predictor: str = predictor, step: float = step, evaluations: int = evaluations
        ) -> dict[str, Any]:
            return compare(draw(model, noise, predictor, step, evaluations, accelerator))

        measure(name, run)
        if name == "langevin-0.5-49":
            measure("round_trip", lambda: measure_round_trips(model, test, accelerator))


def path_of(
    model: DDPM,
    x_T: Tensor,
    predictor: str,
    step: float,
    evaluations: int,
    generator: torch.Generator,
) -> Path:
    """The path from x_T to x_0 that takes so many network evaluations."""
    T = model.schedule.T
    if predictor == "langevin":
        return annealed_langevin(
            model, x_T, timestep_pairs(T, evaluations - 1), step, generator=generator
        )
    corrections = int(step > 0)
    pairs = timestep_pairs(T, (evaluations + 1) // 2 if corrections else evaluations)
    way: Literal["ddpm", "ddim"] = "ddpm" if predictor == "ddpm" else "ddim"
    return predictor_corrector_path(model, x_T, pairs, way, step, corrections, generator)


def draw(
    model: DDPM,
    noise: Tensor,
    predictor: str,
    step: float,
    evaluations: int,
    accelerator: Accelerator,
) -> Tensor:
    """The images that a path makes of the noise, batch by batch."""
    generator = torch.Generator().manual_seed(SEED + 1)
    batches = []
    with accelerator.autocast():
        for x_T in noise.to(accelerator.device).split(BATCH):
            path = path_of(model, x_T, predictor, step, evaluations, generator)
            for _, x_t, _ in tqdm(path, unit="step", leave=False):  # noqa: B007
                pass
            batches.append(x_t.float().cpu())
    return torch.cat(batches)


def measure_floor(train: Tensor, compare: Callable[[Tensor], dict[str, float]]) -> dict[str, float]:
    """The distance of as many training images as there are samples, over several draws."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SEED))
    draws = train[order[: DRAWS_OF_FLOOR * SAMPLES]].split(SAMPLES)
    distances = torch.tensor([compare(images)["fid"] for images in draws])
    return {"fid": float(distances.mean()), "spread": float(distances.std())}


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
    generator = torch.Generator().manual_seed(SEED)
    T = model.schedule.T
    with accelerator.autocast():
        found = ddim_invert(model, digits, 49, clip=False)
        images = sample(model, len(digits), "ddim", 49, x_T=found, clip=False)
    back = {"ddim": images.float().cpu()}
    noise = torch.randn(digits.shape, generator=generator)
    x_T = q_sample(model.schedule, digits, filled_like(digits, T), noise.to(digits))
    for predictor, step in (("ddpm", 0), ("langevin", 0.5)):
        back[predictor] = draw(model, x_T, predictor, step, 49, accelerator)
    return {name: root_mean_square(images - digits.cpu()) for name, images in back.items()}


def root_mean_square(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


if __name__ == "__main__":
    main()
