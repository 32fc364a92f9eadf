"""Measure what the shipped model pays at every t, and the spread of both forms of the bound.

    python experiments/terms.py --data FOLDER_WITH_MNIST

writes book/results/terms.json. For the shipped model `mnist` and the 10,000 test images it holds
two things. `eps_error` is, for each seed and each t = 1..T, the mean squared error of the noise,
for each pixel, over digits drawn for that t. `forms` holds, for a few digits, several draws of
the bound in each of its two forms, in bits per pixel.

Some 10 minutes on one core.
"""

import argparse
import time

import torch
from _results import complete_mnist, write_results

from ddpm_tutorial import (
    DDPM,
    elbo_terms,
    filled_like,
    full_float32,
    load_pretrained,
    make_accelerator,
    q_sample,
    standard_normal,
    three_term_elbo,
    to_bits_per_dim,
)

NAME, SEED = "terms", 0
SEEDS = [0, 1, 2, 3, 4]
# Up to `NEAR`, where the terms are large, each t gets more digits than above it.
NEAR, DIGITS_NEAR, DIGITS_FAR = 100, 40, 8
DIGITS, DRAWS = 4, 6  # of which both forms are drawn, and how often each


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    _, test = complete_mnist(parser.parse_args().data)
    device = make_accelerator().device
    model, digits = load_pretrained().to(device), test.images.to(device)
    settings = {
        "digits_up_to_100": DIGITS_NEAR,
        "digits_above_100": DIGITS_FAR,
        "draws_of_each_form": DRAWS,
        "references": len(test.images),
    }
    images = digits[:DIGITS].repeat_interleave(DRAWS, 0)
    forms = {}
    for name, measure in (("kl_form", elbo_terms), ("three_terms", three_term_elbo)):
        generator = torch.Generator().manual_seed(SEED)
        nats = -measure(model, images, generator).bound()
        forms[name] = rounded(to_bits_per_dim(nats, 784).view(DIGITS, DRAWS), 5)
    with full_float32():
        errors = [errors_of_noise(model, digits, seed) for seed in SEEDS]
    figures = {"settings": settings, "seeds": SEEDS, "forms": forms, "eps_error": errors}
    write_results(NAME, figures, seed=SEED, started=started)


@torch.no_grad()
def errors_of_noise(model: DDPM, images: torch.Tensor, seed: int) -> list[float]:
    """The mean squared error of the noise at t = 1..T, for each pixel, over digits of each t."""
    denoiser, generator = model.denoiser(), torch.Generator().manual_seed(seed)
    errors = []
    for step in range(1, model.schedule.T + 1):
        count = DIGITS_NEAR if step <= NEAR else DIGITS_FAR
        x0 = images[torch.randint(len(images), (count,), generator=generator)]
        t = filled_like(x0, step)
        eps = standard_normal(x0.shape, x0, generator)
        eps_hat = denoiser(q_sample(model.schedule, x0, t, eps), t).eps_hat
        errors.append((eps - eps_hat).square().mean())
    return rounded(torch.stack(errors), 6)


def rounded(values: torch.Tensor, digits: int) -> list:
    """Nested lists of the values, to so many digits after the point."""
    return torch.round(values.double(), decimals=digits).tolist()


if __name__ == "__main__":
    main()
