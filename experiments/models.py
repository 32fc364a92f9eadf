"""VAE, hierarchical VAE and DDPM by one measure, on one test set: what chapter 13 draws.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/models.py [PART ...]

The parts, all of them by default:

- training: training images in the place of samples, the floor of every figure.
- mnist, mnist-bound: samples of the shipped models (50 steps of DDIM); of the first also the
  nearest training images.
- vae, hierarchical: trained here on MNIST's 60,000 training images, their bound measured on all
  10,000 test images.

Samples are 500 in number, and are compared with the test images. Writes book/results/models.json
after each part, which keeps the parts that it has, and sheets of samples beside it. The part
mnist-bound alone takes some twelve minutes on one core.
"""

import sys
import time
from typing import Any

import torch
from _results import RESULTS, complete_mnist, name_of_precision, read_figures, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    VAE,
    classify,
    frechet_distance,
    from_bytes,
    load_classifier,
    load_pretrained,
    make_accelerator,
    nearest_neighbours,
    precision_recall,
    sample,
    to_bits_per_dim,
    to_bytes,
    train_vae,
)
from ddpm_tutorial.plotting import save_sheet

SEED, SAMPLES, DDIM_STEPS = 0, 500, 50
VAE_STEPS, DRAWS = 2500, 10
DDPMS = ("mnist", "mnist-bound")
VAES = {"vae": (32,), "hierarchical": (32, 16, 8)}
COUNTS = [100, 250, 500]


def main() -> None:
    parts = sys.argv[1:] or ["training", "mnist", *VAES, "mnist-bound"]
    if unknown := set(parts) - {"training", *DDPMS, *VAES}:
        raise SystemExit(f"no such part: {unknown}")
    started = time.monotonic()
    train, test = complete_mnist()
    accelerator = make_accelerator()
    classifier = load_classifier()
    test_features, test_probabilities = classify(classifier, test.images, progress=True)
    order = torch.randperm(len(train.images), generator=torch.Generator().manual_seed(SEED))
    # For precision and recall, which need sets of one size, and as what no model has seen.
    few = torch.randperm(len(test.images), generator=torch.Generator().manual_seed(SEED))[:SAMPLES]

    figures: dict[str, Any] = {
        "samples": SAMPLES,
        "counts": COUNTS,
        "train_classes": train.labels.bincount().tolist(),
        "test_classes": test.labels.bincount().tolist(),
        "confidence_unseen": float(test_probabilities.amax(1).mean()),
        "models": {},
    }

    def record(name: str, **found: Any) -> None:
        figures["models"] = read_figures("models").get("models", {}) | {name: found}
        precision = f"float32; samples of the DDPMs {name_of_precision(accelerator)}"
        write_results("models", figures, seed=SEED, started=started, precision=precision)

    def against_test(images: Tensor) -> dict[str, Any]:
        features, probabilities = classify(classifier, images, progress=True)
        by_count = [
            [frechet_distance(part, test_features) for part in features.split(count)]
            for count in COUNTS
        ]
        return {
            "fid": by_count[-1][0],
            "fid_by_count": by_count,
            **precision_recall(test_features[few], features)._asdict(),
            "classes": probabilities.argmax(1).bincount(minlength=10).tolist(),
            "confidence": float(probabilities.amax(1).mean()),
        }

    for part in parts:
        if part == "training":
            record(part, **against_test(train.images[order[:SAMPLES]]))
        elif part in VAES:
            vae = train_on(train.images, VAES[part])
            generator = torch.Generator().manual_seed(SEED + 1)
            means, drawn = vae.sample(SAMPLES, generator), draw(vae, SAMPLES, generator)
            record(
                part,
                latents=list(VAES[part]),
                weights=sum(p.numel() for p in vae.parameters()),
                steps=VAE_STEPS,
                bits_per_dim=bound_of(vae, test.images, generator),
                decoder_means=against_test(means),
                **against_test(drawn),
            )
            save_sheet(RESULTS / f"models-{part}-drawn.png", drawn[:16], zoom=1, columns=8)
            save_sheet(RESULTS / f"models-{part}.png", means[:16], zoom=1, columns=8)
        else:
            model = load_pretrained(part).to(accelerator.device)
            generator = torch.Generator().manual_seed(SEED)
            with accelerator.autocast():
                images = sample(model, SAMPLES, "ddim", DDIM_STEPS, generator, progress=True)
            images = images.float().cpu()
            found = {"weights": sum(p.numel() for p in model.parameters()), **against_test(images)}
            save_sheet(RESULTS / f"models-{part}.png", images[:16], zoom=1, columns=8)
            if part == "mnist":
                digit = classify(classifier, images)[1].argmax(1)
                unseen = (test.images[few], test_probabilities[few].argmax(1))
                found["nearest"] = remembered((images, digit), unseen, train.images)
            record(part, **found)


def remembered(
    made: tuple[Tensor, Tensor], unseen: tuple[Tensor, Tensor], train: Tensor
) -> dict[str, Any]:
    """Distances by pixels of samples, and of test images, to their nearest training images.

    `made` and `unseen` are images and what the classifier reads them as. Also draws a sheet of the
    sample of each digit whose neighbour is nearest, with that neighbour below, and the same for
    the test images.
    """
    rows, quantiles = [], {}
    for name, (images, digit) in {"samples": made, "unseen": unseen}.items():
        distance, index = nearest_neighbours(images.flatten(1), train.flatten(1), progress=True)
        first = closest(digit, distance)
        rows += [images[first], train[index[first]]]
        quantiles[name] = distance.quantile(torch.linspace(0, 1, 101)).tolist()
    save_sheet(RESULTS / "models-nearest.png", torch.cat(rows), zoom=1, columns=10)
    return quantiles


def closest(digit: Tensor, distance: Tensor) -> Tensor:
    """Of each digit, 0..9, the index of the image whose neighbour is nearest."""
    far = torch.full_like(distance, torch.inf)
    return torch.stack([distance.where(digit == k, far).argmin() for k in range(10)])


def train_on(images: Tensor, latents: tuple[int, ...]) -> VAE:
    torch.manual_seed(SEED)
    vae = VAE(latents)
    generator = torch.Generator().manual_seed(SEED)
    bar = tqdm(train_vae(vae, images, VAE_STEPS, generator), total=VAE_STEPS, desc=f"{latents}")
    for bits in bar:
        bar.set_postfix_str(f"{bits:.2f} bits/dim", refresh=False)
    return vae.eval()


@torch.no_grad()
def bound_of(vae: VAE, images: Tensor, generator: torch.Generator) -> dict[str, Any]:
    """The bound, and what each layer costs, in bits per dimension, with standard errors."""
    totals, layers = [], []
    for batch in images.split(1000):
        terms = [vae(batch, generator) for _ in range(DRAWS)]
        totals.append(torch.stack([t.bits_per_dim() for t in terms]).double().mean(0))
        cost = torch.stack([t.layers for t in terms]).double().mean(0)
        layers.append(to_bits_per_dim(cost, images[0].numel()))
    total, layer = torch.cat(totals), torch.cat(layers)
    return {
        "mean": float(total.mean()),
        "standard_error": float(total.std() / len(total) ** 0.5),
        "layers": layer.mean(0).tolist(),
        "draws_per_image": DRAWS,
    }


@torch.no_grad()
def draw(vae: VAE, n: int, generator: torch.Generator) -> Tensor:
    """Draws of p(x) on the 256 levels: the pixels too, where `VAE.sample` takes their mean."""
    z = torch.randn(n, vae.latents[-1], generator=generator)
    for layer in reversed(vae.decoder):
        mean, log_variance = layer(z)
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    return from_bytes(to_bytes(z)).view(n, *vae.shape)


if __name__ == "__main__":
    main()
