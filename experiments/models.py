"""VAE, hierarchical VAE and DDPM by one measure, on one test set: what chapter 13 draws.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/models.py [--runs]

- mnist, mnist-bound: the shipped models, 2,000 samples (50 steps of DDIM) from each of five starts
  x_T, which are the same for both. Of mnist also how near its samples come to training images, and
  the FID of the same samples in smaller sets.
- vae, hierarchical: trained here on MNIST's 60,000 training images, with three seeds each. Of each
  the bound on all 10,000 test images, and five times 2,000 samples: once drawn to the end, pixels
  too, and once the decoder's means.
- training: five disjoint sets of 2,000 training images in the place of samples.

The FID is that from all test images; precision and recall are taken beside 2,000 of them, other
ones for each start. The bounds of the shipped models are not measured here: `ddpm-tutorial
evaluate` has done it, and benchmarks/mnist.json and benchmarks/mnist-bound.json hold them.

--runs samples, trains and measures. What is done is kept under runs/models, so that a second call
goes on, and calls side by side share the work: some 90 minutes of one core, where a call without it
takes no time. Both write book/results/models.json and the sheets of samples beside it, with as many
starts of the shipped models as are done, and says how many.
"""

import argparse
import functools
import hashlib
import statistics
from typing import Any

import torch
from _compare import keep_picture, kept_picture, paired_difference, reference
from _results import (
    RESULTS,
    SAMPLES,
    SEEDS,
    STARTS,
    all_work,
    floor_for,
    share_work,
    shared_work,
    with_spread,
    write_work,
)
from _samples import Bench, spread_of_each, start_of
from _vaes import bound_of, draw
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    ASSETS,
    VAE,
    frechet_distance,
    load_pretrained,
    nearest_neighbours,
    precision_recall,
    sample,
    train_vae,
)
from ddpm_tutorial.plotting import save_sheet

NAME, DDIM_STEPS, BATCH = "models", 50, 100
VAE_STEPS = 2500
TRAINING, DDPMS = "training", ("mnist", "mnist-bound")
VAES = {"vae": (32,), "hierarchical": (32, 16, 8)}
FIGURES = ("fid", "precision", "recall", "chi_square", "confidence")
COUNTS = (250, 500, 1000, 2000)
PERCENT = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 100)
SHOWN = 16


def of_start(name: str, start: int) -> str:
    return f"{name}, start {start}"


def of_seed(name: str, seed: int) -> str:
    return f"{name}, seed {seed}"


TRAINED = {of_seed(name, seed): (name, seed) for seed in SEEDS for name in VAES}
SAMPLED = {of_start(name, start): (name, start) for start in STARTS for name in DDPMS}
# What is kept of each model under runs/models, until the sheets are drawn.
SHEETS = [*DDPMS, *VAES, *(f"{name}-drawn" for name in VAES), "nearest"]


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="sample, train and measure")
    if parser.parse_args().runs:
        torch.set_num_threads(1)
        share_work(
            NAME,
            {TRAINING: training_images}
            | {part: functools.partial(one_vae, *TRAINED[part]) for part in TRAINED}
            | {part: functools.partial(one_start, *SAMPLED[part]) for part in SAMPLED},
        )
    found = all_work(NAME, [TRAINING, *TRAINED, first := of_start(DDPMS[0], STARTS[0])])
    found |= shared_work(NAME, SAMPLED)
    write_work(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=f"float32; samples of the DDPMs {found[first]['figures']['computed_in']}",
        machine_of=first,
    )
    for name in SHEETS:
        images = kept_picture(NAME, name)
        if images is not None:
            columns = 10 if name == "nearest" else 8
            save_sheet(RESULTS / f"{NAME}-{name}.png", images, zoom=1, columns=columns)


@functools.cache
def fifths() -> tuple[Tensor, ...]:
    """The indices of disjoint sets of SAMPLES test images, in random order."""
    order = torch.randperm(len(reference().test), generator=torch.Generator().manual_seed(0))
    return order.split(SAMPLES)


def figures_of(features: Tensor, probabilities: Tensor, start: int) -> dict[str, float]:
    """The figures of SAMPLES images, which the classifier has read."""
    unseen = reference().features
    return {
        "fid": frechet_distance(features, unseen),
        **precision_recall(unseen[fifths()[start]], features)._asdict(),
        "chi_square": chi_square(probabilities.argmax(1)),
        "confidence": float(probabilities.amax(1).mean()),
    }


def chi_square(digits: Tensor) -> float:
    """How far the counts of the ten digits are from the shares of the training set."""
    shares = reference().train_labels.bincount(minlength=10).double()
    expected = shares * (len(digits) / shares.sum())
    return float(((digits.bincount(minlength=10) - expected) ** 2 / expected).sum())


def training_images() -> dict[str, Any]:
    """What as many training images score, and the shares of the digits."""
    known = reference()
    order = torch.randperm(len(known.train), generator=torch.Generator().manual_seed(0))
    sets = order.split(SAMPLES)
    return {
        "sets": [figures_of(*known.read(known.train[sets[start]]), start) for start in STARTS],
        "train_classes": known.train_labels.bincount().tolist(),
        "test_classes": known.test_labels.bincount().tolist(),
    }


def one_start(name: str, start: int) -> dict[str, Any]:
    """The samples of a shipped model from a start."""
    bench, known = Bench(name), reference()
    with bench.accelerator.autocast():
        images = sample(
            bench.model, SAMPLES, "ddim", DDIM_STEPS, x_T=start_of(start), batch_size=BATCH
        )
    images = images.float().cpu()
    features, probabilities = known.read(images)
    found = {"computed_in": bench.precision, **figures_of(features, probabilities, start)}
    if start == STARTS[0]:
        keep_picture(NAME, name, images[:SHOWN])
    if name == "mnist":
        sets = {count: features.split(count) for count in COUNTS}
        found["by_count"] = {
            str(count): statistics.mean(frechet_distance(part, known.features) for part in parts)
            for count, parts in sets.items()
        }
        found["nearest"] = remembered(images, probabilities.argmax(1), start)
    return found


def remembered(images: Tensor, digits: Tensor, start: int) -> dict[str, list[float]]:
    """Quantiles of the distance, by pixels, to the nearest training image.

    Of samples, read as these digits, and of as many test images. From the first start also keeps
    the sample of each digit whose neighbour is nearest, that neighbour, and the same of the test
    images.
    """
    known = reference()
    fifth = fifths()[start]
    quantiles, rows = {}, []
    for name, (made, digit) in {
        "samples": (images, digits),
        "unseen": (known.test[fifth].cpu(), known.test_labels[fifth]),
    }.items():
        distance, index = nearest_neighbours(made.flatten(1), known.train.flatten(1))
        first = closest(digit, distance)
        rows += [made[first], known.train[index[first]]]
        quantiles[name] = distance.quantile(torch.tensor(PERCENT) / 100).tolist()
    if start == STARTS[0]:
        keep_picture(NAME, "nearest", torch.cat(rows))
    return quantiles


def closest(digit: Tensor, distance: Tensor) -> Tensor:
    """Of each digit, 0..9, the index of the image whose neighbour is nearest."""
    far = torch.full_like(distance, torch.inf)
    return torch.stack([distance.where(digit == k, far).argmin() for k in range(10)])


def one_vae(name: str, seed: int) -> dict[str, Any]:
    """A VAE that is trained with a seed: its bound, and its samples from each start."""
    known = reference()
    torch.manual_seed(seed)
    vae = VAE(VAES[name])
    steps = train_vae(vae, known.train, VAE_STEPS, torch.Generator().manual_seed(seed))
    for _ in tqdm(steps, of_seed(name, seed), total=VAE_STEPS, mininterval=10):
        pass
    vae.eval()
    found: dict[str, Any] = {**bound_of(vae, known.test.cpu(), seed), "draws": [], "means": []}
    for start in STARTS:
        generator = torch.Generator().manual_seed(1000 + start)
        drawn, means = draw(vae, SAMPLES, generator), vae.sample(SAMPLES, generator)
        found["draws"].append(figures_of(*known.read(drawn), start))
        found["means"].append(figures_of(*known.read(means), start))
        if seed == SEEDS[0] and start == STARTS[0]:
            keep_picture(NAME, f"{name}-drawn", drawn[:SHOWN])
            keep_picture(NAME, name, means[:SHOWN])
    return found


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of all that there is: over starts, of the VAEs over seeds of training.

    What comes of the shipped models says from how many starts.
    """
    training = found[TRAINING]
    ddpms = {
        name: [found[part] for part, (of, _) in SAMPLED.items() if of == name and part in found]
        for name in DDPMS
    }
    vaes = {name: [found[of_seed(name, seed)] for seed in SEEDS] for name in VAES}
    mnist = ddpms["mnist"]
    both = list(zip(ddpms["mnist-bound"], mnist, strict=False))  # the same starts in both
    chain, vae = (vaes[name] for name in ("hierarchical", "vae"))
    return {
        "settings": {
            "sampler": "ddim",
            "steps": DDIM_STEPS,
            "references": 10_000,
            "vae_steps": VAE_STEPS,
            "counts": list(COUNTS),
            "percent": list(PERCENT),
            "weights": {
                name: hashlib.sha256((ASSETS / f"{name}.safetensors").read_bytes()).hexdigest()[:12]
                for name in DDPMS
            },
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "seeds": list(SEEDS),
        "floor": floor_for(SAMPLES),
        "train_classes": training["train_classes"],
        "test_classes": training["test_classes"],
        "models": {
            TRAINING: spread_of_each(training["sets"], FIGURES),
            **{
                name: {"starts": len(runs), "weights": weights_of(load_pretrained(name))}
                | spread_of_each(runs, FIGURES)
                for name, runs in ddpms.items()
                if runs
            },
            **{name: row_of_vae(name, vaes[name]) for name in VAES},
        },
        "differences": {
            "mnist-bound-minus-mnist": {"starts": len(both)}
            | {
                name: paired_difference(*zip(*((a[name], b[name]) for a, b in both), strict=True))
                for name in FIGURES
                if both
            },
            "hierarchical-minus-vae": {
                "seeds": list(SEEDS),
                "bits_per_dim": paired_difference(
                    [run["bits_per_dim"] for run in chain], [run["bits_per_dim"] for run in vae]
                ),
                **{
                    kind: {
                        name: paired_difference(
                            *(of_seeds(runs, kind, name) for runs in (chain, vae))
                        )
                        for name in FIGURES
                    }
                    for kind in ("draws", "means")
                },
            },
        },
        "by_count": {"starts": len(mnist)}
        | {str(n): with_spread([run["by_count"][str(n)] for run in mnist]) for n in COUNTS},
        "nearest": {"starts": len(mnist)}
        | {
            name: [
                with_spread([run["nearest"][name][place] for run in mnist])
                for place in range(len(PERCENT))
            ]
            for name in ("samples", "unseen")
        },
    }


def row_of_vae(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over seeds; what a seed scores is the mean over its starts.

    `first_seed` has the spread over these for one of the seeds.
    """
    error = statistics.mean(run["standard_error"] for run in runs)
    return {
        "seeds": list(SEEDS),
        "latents": list(VAES[name]),
        "weights": weights_of(VAE(VAES[name])),
        "bits_per_dim": with_spread([run["bits_per_dim"] for run in runs])
        | {"standard_error_over_images": round(error, 5)},
        "layers": [
            with_spread(list(bits)) for bits in zip(*(run["layers"] for run in runs), strict=True)
        ],
        **{
            kind: {figure: with_spread(of_seeds(runs, kind, figure)) for figure in FIGURES}
            | {"first_seed": spread_of_each(runs[0][kind], FIGURES)}
            for kind in ("draws", "means")
        },
    }


def of_seeds(runs: list[dict[str, Any]], kind: str, figure: str) -> list[float]:
    """Of each seed the mean of a figure over the starts."""
    return [statistics.mean(start[figure] for start in run[kind]) for run in runs]


def weights_of(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


if __name__ == "__main__":
    main()
