"""Train six models that differ in one choice each, three times, and measure them alike.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/variants.py

What is predicted (noise, data or v), the schedule (linear or cosine), the weight of the loss
(min-SNR or none) and the variance (small or learned) vary. The network but for its last layer, the
data (complete MNIST), the optimiser and the number of steps do not, and all models of one seed get
the same images, t and noise. For each model: the bound by terms on test images, in float32, and
the FID of samples from five starts. The one with a learned variance is also measured with the small
and the large one in its place, and samples in few ancestral steps.

Each variant is compared with the one that differs from it in one choice, seed by seed.

What is done is kept under runs/variants, so that a second call goes on, and calls side by side
share the work. Takes a minute or less for each of the 18 models on a GPU, and hours in all on a
CPU. Writes book/results/variants.json, and variants.png (a row of samples for each variant), from
what there is.
"""

import dataclasses
import functools
import statistics
from typing import Any

import torch
from _compare import draw, keep_picture, kept_picture, paired_difference, reference
from _results import (
    RESULTS,
    SAMPLES,
    SEEDS,
    STARTS,
    floor_for,
    name_of_precision,
    share_work,
    shared_work,
    with_spread,
    write_work,
)
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    Ancestral,
    DDPMConfig,
    LargeVariance,
    LearnedVariance,
    SmallVariance,
    TrainingConfig,
    filled_like,
    make_accelerator,
    measure_bound,
    q_sample,
    standard_normal,
    train,
)
from ddpm_tutorial.plotting import save_sheet

STEPS, BATCH = 1_000, 192
IMAGES, TERMS = 1_000, 10  # for the bound
SAMPLING_STEPS = 50  # of DDIM, for the FID
FEW = (10, 20)  # ancestral steps
PLACES = (2, 5, 10, 20, 50, 100, 200, 400, 700, 950)  # t at which the variance is looked at
SHOWN = 8  # samples in a row of the sheet
LEARNED = "v, cosine, learned variance"
VARIANTS = {
    "v, cosine": DDPMConfig("cosine"),
    LEARNED: DDPMConfig("cosine", reverse_variance="learned"),
    "v, cosine, min-SNR": DDPMConfig("cosine", min_snr=5.0),
    "x0, cosine": DDPMConfig("cosine", parameterisation="x0"),
    "eps, cosine": DDPMConfig("cosine", parameterisation="eps"),
    "eps, linear": DDPMConfig("linear", parameterisation="eps"),
}
# Which differs from which in one choice.
COMPARED = dict.fromkeys(list(VARIANTS)[1:], "v, cosine") | {"eps, linear": "eps, cosine"}
PARTS = {f"{name} {seed}": (name, seed) for seed in SEEDS for name in VARIANTS}


class SmallInstead(SmallVariance):
    """For a network with an output for its variance, which is not looked at."""

    outputs = LearnedVariance.outputs


class LargeInstead(LargeVariance):
    """Likewise."""

    outputs = LearnedVariance.outputs


def main() -> None:
    """Train and measure what nobody has yet and nobody else is at; write all that is there."""
    torch.set_num_threads(1)
    share_work("variants", {part: functools.partial(measured, *PARTS[part]) for part in PARTS})
    found = shared_work("variants", PARTS)
    precisions = {record["figures"]["precision"] for record in found.values()}
    write_work(
        "variants",
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=f"{' and '.join(precisions)}; the bound in float32",
        machine_of=next(iter(found)),
    )
    rows = [kept_picture("variants", name) for name in VARIANTS]
    shown = torch.cat([row for row in rows if row is not None])
    save_sheet(RESULTS / "variants.png", shown, zoom=2, columns=SHOWN)


def measured(name: str, seed: int) -> dict[str, Any]:
    """Train one model, and measure it."""
    model = trained(VARIANTS[name], seed, f"{name}, seed {seed}")
    first, *others = (draw(model, start, "ddim", SAMPLING_STEPS) for start in STARTS)
    if seed == SEEDS[0]:
        keep_picture("variants", name, first[:SHOWN])
    fid = reference().fid
    figures: dict[str, Any] = {
        "fid": [fid(images) for images in (first, *others)],
        "bound": bound(model),
        "precision": name_of_precision(make_accelerator()),
    }
    if name == LEARNED:
        figures["few_steps"] = {
            str(steps): {
                variance: [fid(draw(model, start, Ancestral(variance), steps)) for start in STARTS]
                for variance in ("small", "large", "learned")
            }
            for steps in FEW
        }
        figures["bound_with"] = {
            variance.name: bound(
                DDPM(model.network, model.schedule, model.parameterisation, variance)
            )
            for variance in (SmallInstead(), LargeInstead())
        }
        figures["place"] = place(model)
    return figures


def trained(config: DDPMConfig, seed: int, name: str) -> DDPM:
    """The averaged model of a run of STEPS steps."""
    torch.manual_seed(seed)
    settings = TrainingConfig(steps=STEPS, batch_size=BATCH, seed=seed)
    records = train(config.build(), reference().train, settings, accelerator=make_accelerator())
    for record in tqdm(records, name, STEPS, mininterval=10):
        ema: DDPM = record.ema
    return ema


def bound(model: DDPM) -> dict[str, Any]:
    """The bound by terms, in bits per dimension; the same images, t and noise for each model."""
    generator = torch.Generator().manual_seed(0)
    found = measure_bound(model, reference().test[:IMAGES], generator, TERMS, batch_size=500)
    return dataclasses.asdict(found)


@torch.no_grad()
def place(model: DDPM) -> dict[str, list[float]]:
    """Where the learned variance lies between small (0) and large (1), by t, over pixels."""
    found: dict[str, list[float]] = {"low": [], "median": [], "high": []}
    x0 = reference().test[:IMAGES]
    for step in PLACES:
        t = filled_like(x0, step)
        eps = standard_normal(x0.shape, x0, torch.Generator().manual_seed(0))
        seen = model.denoiser()(q_sample(model.schedule, x0, t, eps), t)
        fraction = LearnedVariance().fraction(seen).flatten().sort().values
        for name, share in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
            found[name].append(float(fraction[int(share * (len(fraction) - 1))]))
    return found


def collected(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All figures by variant, with mean and spread over the seeds; without what lacks."""
    by_name = {
        name: [runs[part] for part in PARTS if PARTS[part][0] == name and part in runs]
        for name in VARIANTS
    }
    models = {name: of_variant(some) for name, some in by_name.items() if some}
    for name, other in COMPARED.items():
        if len(by_name[name]) == len(by_name[other]) == len(SEEDS):
            mine, its = models[name], models[other]
            mine["against"] = other
            mine["difference"] = {
                "fid": paired_difference(mine["fid"]["values"], its["fid"]["values"]),
                "bits_per_dim": paired_difference(
                    mine["bound"]["total"]["values"], its["bound"]["total"]["values"]
                ),
            }
    return {
        "training_steps": STEPS,
        "batch_size": BATCH,
        "seeds": list(SEEDS),
        "starts": len(STARTS),
        "samples": SAMPLES,
        "sampling_steps": SAMPLING_STEPS,
        "images": IMAGES,
        "terms": TERMS,
        "floor": floor_for(SAMPLES),
        "steps": list(FEW),
        "places": list(PLACES),
        "models": models,
    }


def of_variant(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one variant, of a run for each seed."""
    found: dict[str, Any] = {
        "seeds": len(runs),
        "fid": with_spread([statistics.mean(run["fid"]) for run in runs]),
        # How far the figure of one model moves from start to start.
        "fid_over_starts": statistics.mean(statistics.stdev(run["fid"]) for run in runs),
        "bound": terms_of([run["bound"] for run in runs]),
    }
    if "place" in runs[0]:
        found["place"] = {
            name: [
                with_spread([run["place"][name][index] for run in runs])
                for index in range(len(PLACES))
            ]
            for name in ("low", "median", "high")
        }
        found |= learned_figures(runs)
    return found


def learned_figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One network with three variances: each beside the learned one, seed by seed."""
    bounds = {name: [run["bound_with"][name] for run in runs] for name in ("small", "large")}
    bounds["learned"] = [run["bound"] for run in runs]
    with_each = {name: terms_of(some) for name, some in bounds.items()}
    totals = {name: terms["total"]["values"] for name, terms in with_each.items()}
    for name, terms in with_each.items():
        terms["learned_less_this"] = paired_difference(totals["learned"], totals[name])
    found: dict[str, Any] = {"bound_with": with_each, "few_steps": {}}
    for steps in map(str, FEW):
        fids = {
            name: [statistics.mean(run["few_steps"][steps][name]) for run in runs]
            for name in ("small", "large", "learned")
        }
        found["few_steps"][steps] = {
            name: {
                "fid": with_spread(values),
                "learned_less_this": paired_difference(fids["learned"], values),
            }
            for name, values in fids.items()
        }
    return found


def terms_of(bounds: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each term over the seeds, with its standard error over the images, on average.

    `first_tenth` is the share of `denoising` up to t = 101.
    """
    split = [one | {"first_tenth": one["by_t"][0][2]} for one in bounds]
    return {
        term: with_spread([one[term]["mean"] for one in split])
        | {"standard_error": statistics.mean(one[term]["standard_error"] for one in split)}
        for term in ("total", "prior", "denoising", "first_tenth", "reconstruction")
    }


if __name__ == "__main__":
    main()
