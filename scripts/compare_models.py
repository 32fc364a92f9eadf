"""VAE, hierarchical VAE and DDPM by one measure, on one test set: what chapter 11 draws.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python scripts/compare_models.py

First the Frechet distance of real digits against their number: training images in disjoint sets of N
beside all 10,000 test images, for several N; this writes book/results/fid.json. Then 1,000 samples of
each shipped DDPM (50 steps of DDIM) and of two VAEs, which are trained here on MNIST's 60,000
training images and whose bound is measured on all 10,000 test images. Samples are compared with the
test images, beside 1,000 training images. Writes book/results/models.json after each part, and sheets
of samples and of nearest neighbours beside it. Some twelve minutes on one core.
"""

import time
from typing import Any

import torch
from results import RESULTS, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import VAE, load_mnist, load_pretrained, sample, train_vae
from ddpm_tutorial.checkpoint import load_classifier
from ddpm_tutorial.classifier import classify
from ddpm_tutorial.data import from_bytes, to_bytes
from ddpm_tutorial.elbo import to_bits_per_dim
from ddpm_tutorial.evaluation import frechet_distance, nearest_neighbours, precision_recall
from ddpm_tutorial.plotting import save_sheet
from ddpm_tutorial.training import make_accelerator

SEED, SAMPLES, DDIM_STEPS = 0, 1000, 50
VAE_STEPS, DRAWS = 5000, 10
VAES = {"vae": (32,), "hierarchical": (32, 16, 8)}
REAL_COUNTS, MOST_SETS = [100, 200, 500, 1000, 2000, 5000, 10_000], 10
COUNTS = [100, 200, 500, 1000]


def main() -> None:
    started = time.monotonic()
    train, test = (load_mnist(split) for split in ("train", "test"))
    if len(train.images) != 60_000:
        raise SystemExit("this needs the complete MNIST: name its folder in DDPM_TUTORIAL_DATA")
    accelerator = make_accelerator()
    classifier = load_classifier()
    test_features, test_probabilities = classify(classifier, test.images, progress=True)
    train_features, _ = classify(classifier, train.images, progress=True)
    order = torch.randperm(len(train.images), generator=torch.Generator().manual_seed(SEED))
    measured = real_against_real(train_features[order], test_features)
    write_results("fid", measured, seed=SEED, started=started)

    # For precision and recall, which need sets of one size, and as what no model has seen.
    few = torch.randperm(len(test.images), generator=torch.Generator().manual_seed(SEED))[:SAMPLES]

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

    figures: dict[str, Any] = {
        "samples": SAMPLES,
        "counts": COUNTS,
        "train_classes": train.labels.bincount().tolist(),
        "test_classes": test.labels.bincount().tolist(),
        "confidence_unseen": float(test_probabilities.amax(1).mean()),
        "models": {},
    }

    def record(name: str, **parts: Any) -> None:
        figures["models"].setdefault(name, {}).update(parts)
        precision = f"float32; samples of the DDPMs {accelerator.mixed_precision}"
        write_results("models", figures, seed=SEED, started=started, precision=precision)

    def sample_ddpm(name: str) -> Tensor:
        model, generator = load_pretrained(name), torch.Generator().manual_seed(SEED)
        with accelerator.autocast():
            images = sample(model, SAMPLES, "ddim", DDIM_STEPS, generator=generator, progress=True)
        images = images.float()
        record(name, weights=sum(p.numel() for p in model.parameters()), **against_test(images))
        save_sheet(RESULTS / f"models-{name}.png", images[:16], zoom=1, columns=8)
        return images

    record("training images", **against_test(train.images[order[:SAMPLES]]))
    images = sample_ddpm("mnist")
    features, probabilities = classify(classifier, images)
    spaces = {
        "pixels": tuple(x.flatten(1) for x in (images, test.images[few], train.images)),
        "features": (features, test_features[few], train_features),
    }
    found = {
        space: [nearest_neighbours(queries, among, progress=True) for queries in (made, unseen)]
        for space, (made, unseen, among) in spaces.items()
    }
    percent = torch.linspace(0, 1, 101)
    record(
        "mnist",
        nearest={
            space: {
                "samples": found[space][0][0].quantile(percent).tolist(),
                "unseen": found[space][1][0].quantile(percent).tolist(),
            }
            for space in spaces
        },
    )
    (made_near, by_pixels), (unseen_near, unseen_by_pixels) = found["pixels"]
    made = closest(probabilities.argmax(1), made_near)
    unseen = closest(test_probabilities[few].argmax(1), unseen_near)
    rows = [
        images[made],
        train.images[by_pixels[made]],
        train.images[found["features"][0][1][made]],
        test.images[few][unseen],
        train.images[unseen_by_pixels[unseen]],
    ]
    save_sheet(RESULTS / "models-nearest.png", torch.cat(rows), zoom=1, columns=10)

    for name, latents in VAES.items():
        vae = train_on(train.images, latents)
        generator = torch.Generator().manual_seed(SEED + 1)
        means = vae.sample(SAMPLES, generator)
        images = draw(vae, SAMPLES, generator)
        record(
            name,
            latents=list(latents),
            weights=sum(p.numel() for p in vae.parameters()),
            steps=VAE_STEPS,
            bits_per_dim=bound_of(vae, test.images, generator),
            decoder_means=against_test(means),
            **against_test(images),
        )
        save_sheet(RESULTS / f"models-{name}-drawn.png", images[:16], zoom=1, columns=8)
        save_sheet(RESULTS / f"models-{name}.png", means[:16], zoom=1, columns=8)

    sample_ddpm("mnist-bound")


def real_against_real(train: Tensor, test: Tensor) -> dict[str, Any]:
    """The distance of disjoint sets of N training images from the test images, from features."""
    rows = []
    for count in tqdm(REAL_COUNTS, unit="N"):
        sets = train.split(count)[: min(MOST_SETS, len(train) // count)]
        apart = [float((part.mean(0) - test.mean(0)).square().sum()) for part in sets]
        rows.append(
            {
                "n": count,
                "fid": [frechet_distance(part, test) for part in sets],
                "means": apart,  # the squared distance of the means, a part of it
                "rank": int(torch.linalg.matrix_rank(sets[0].double().T.cov())),
            }
        )
    return {
        "references": len(test),
        "features": train.shape[1],
        "trace": float(train.var(0).sum()),  # of the covariance of all training images
        "trace_references": float(test.var(0).sum()),
        "rows": rows,
    }


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
    """Draws of p(x) on the 256 levels, the pixels drawn too, where `VAE.sample` takes their mean."""
    z = torch.randn(n, vae.latents[-1], generator=generator)
    for layer in reversed(vae.decoder):
        mean, log_variance = layer(z)
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    return from_bytes(to_bytes(z)).view(n, *vae.shape)


if __name__ == "__main__":
    main()
