"""Put in every fault of `_faults.py`, one at a time, and measure what it does.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/mistakes.py

A fault in training is put into three trainings, with as many seeds, and is compared seed by seed
with the same training without it: the same first weights, images, t and noise. They are short, but
their samples can be read. A fault in sampling needs none: there the shipped model draws, from five
starts, and is compared start by start. The other faults compute both sides by themselves, those
that draw something five times.

Each difference has a mean, a spread, and `visible`, the least mean that could be told from 0 with
so many pairs: what is above it is seen, what is below it is not, for all faults alike.

What is done is kept under runs/mistakes, so that a second call goes on, and calls side by side
share the work. Takes some minutes on a GPU, and hours on a CPU. Writes book/results/mistakes.json
from what there is, and a strip of eight samples of each fault that can be seen, under
book/results/mistakes/.
"""

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import _faults as faults
import torch
from _compare import keep_picture, kept_picture, paired_difference, reference
from _faults import FAULTS
from _faulty_training import BATCH, DROPOUT, STEPS, TRAININGS, train
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
from torch import Tensor

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    Pairs,
    SamplePath,
    Sampler,
    full_float32,
    load_pretrained,
    make_accelerator,
    measure_bound,
    standard_normal,
    timestep_pairs,
    to_bytes,
    walk,
)
from ddpm_tutorial.plotting import save_sheet

ETA = 0.2
# Of the noise, a guess leaves most to do at the first steps: such models get more of them.
EVALUATIONS, ANCESTRAL_EVALUATIONS, EPS_EVALUATIONS = 10, 20, 25
LOSS_IMAGES, BOUND_IMAGES, TERMS = 2_000, 500, 10
SHOWN = 8

Noise = Callable[[tuple[int, ...], torch.Generator], Tensor]

# What is not right in sampling: arguments of `draw`, and `change`, which is made to the model.
LINES: dict[str, dict[str, Any]] = {
    "right-ddim": {},
    "right-ancestral": {"sampler": Ancestral()},
    "right-large": {"sampler": Ancestral("large")},
    "right-eta": {"sampler": DDIM(ETA)},
    "right-linear": {"change": functools.partial(faults.linear_at_another_T, right=True)},
    "step-off-by-one": {"change": faults.step_off_by_one},
    # A walk whose last step is like the others looks up alpha_bar at 0; `walk` does not.
    "index-off-by-one": {"change": faults.index_off_by_one, "walk": faults.noise_at_last_step},
    "linear-at-another-T": {"change": faults.linear_at_another_T},
    "noise-at-last-step": {"sampler": Ancestral(), "walk": faults.noise_at_last_step},
    "noise-at-last-step-large": {
        "sampler": Ancestral("large"),
        "walk": faults.noise_at_last_step,
    },
    "beta-for-root-beta": {"sampler": faults.BetaForRootBeta()},
    "eta-under-the-root": {"sampler": faults.EtaUnderTheRoot(ETA)},
    "clip-without-eps": {"change": faults.clip_without_eps},
    "sequence-skips-T": {"choose_pairs": faults.sequence_skips_T},
    "sequence-stops-short": {"choose_pairs": faults.sequence_stops_short},
    "puzzle-a": {"change": faults.puzzle_step_as_fraction},
    "puzzle-b": {"sampler": faults.PuzzleDirection()},
    "puzzle-c": {"draw_noise": faults.puzzle_start},
}

# Which right line each wrong one is compared with; all others in training with "right-trained",
# all others in sampling with "right-ddim".
COMPARED = {
    "last-step-never-trained": "right-eps",
    "clip-without-eps-of-noise": "right-eps",
    "dropout-while-sampling": "right-dropout",
    "noise-at-last-step": "right-ancestral",
    "beta-for-root-beta": "right-ancestral",
    "noise-at-last-step-large": "right-large",
    "eta-under-the-root": "right-eta",
    "linear-at-another-T": "right-linear",
}


def parts() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every piece of work; each gives figures by name of the fault or of the right line."""
    work: dict[str, Callable[[], dict[str, Any]]] = {"real": real}
    work |= {name: functools.partial(sampled, name) for name in LINES}
    for seed in SEEDS:
        for name in TRAININGS:
            work[f"{name} {seed}"] = functools.partial(trained, name, seed)
    for fault in FAULTS:
        if fault.place == "exact":
            work[fault.name] = fault.code
        if fault.place == "draws":
            work[fault.name] = functools.partial(drawn, fault.code)
    return work


def main() -> None:
    """Measure what nobody has yet and nobody else is at; write all that is there."""
    torch.set_num_threads(1)
    work = parts()
    share_work("mistakes", work)
    found = shared_work("mistakes", work)
    precisions = {part["figures"].get("precision") for part in found.values()} - {None}
    done = {part: record["figures"] for part, record in found.items()}
    findings = collected(done)
    settings = {
        "training_steps": STEPS,
        "batch": BATCH,
        "evaluations": EVALUATIONS,
        "ancestral_evaluations": ANCESTRAL_EVALUATIONS,
        "eps_evaluations": EPS_EVALUATIONS,
        "eta": ETA,
        "dropout": DROPOUT,
        "references": len(reference().test),
        "loss_images": LOSS_IMAGES,
        "bound_images": BOUND_IMAGES,
        "draws_measured_on": found[of_place("draws")[0]]["measured_on"]["cpu"],
    }
    figures = {
        "samples": SAMPLES,
        "starts": len(STARTS),
        "seeds": list(SEEDS),
        "floor": floor_for(SAMPLES),
        "settings": settings,
        "findings": findings,
        "exact": {name: done[name] for name in of_place("exact") if name in done},
    }
    write_work(
        "mistakes",
        figures,
        found,
        precision=f"{' and '.join(precisions)} to train and to sample, float32 for the rest",
        machine_of=next(iter(found)),
    )
    for name in findings:
        strip = kept_picture("mistakes", name)
        if strip is not None:
            save_sheet(RESULTS / "mistakes" / f"{name}.png", strip, zoom=2, columns=SHOWN)


def of_place(place: str) -> list[str]:
    """The names of the faults of this place."""
    return [fault.name for fault in FAULTS if fault.place == place]


def drawn(code: Callable[[int], dict[str, float]]) -> dict[str, list[float]]:
    """The figures of a fault that computes both sides by itself, one for each of five seeds."""
    runs = [code(seed) for seed in STARTS]
    return {key: [run[key] for run in runs] for key in runs[0]}


def trained(name: str, seed: int) -> dict[str, dict[str, Any]]:
    """Train once, and measure it and whatever else needs the same training."""
    training = TRAININGS[name]
    averages, loss = train(training, seed, name)
    right = averages["right"]
    steps = EPS_EVALUATIONS if training.parameterisation == "eps" else EVALUATIONS
    models = {name: right}
    if name == "right-trained":
        models |= {other: averages[other] for other in ("ema-cold-start", "ema-before-step")}
    if name == "right-eps":
        models["clip-without-eps-of-noise"] = faults.clip_without_eps(right)
    found = {}
    for which, model in models.items():
        found[which] = weights(model) | samples(which, model, seed, steps=steps)
    if name == "right-dropout":  # last, since that model stays in training mode
        torch.manual_seed(seed)
        dropping = faults.dropout_while_sampling(right)
        found["dropout-while-sampling"] = weights(dropping) | samples(
            "dropout-while-sampling", dropping, seed, steps=steps
        )
    return {which: figures | {"loss": loss} for which, figures in found.items()}


def sampled(name: str) -> dict[str, Any]:
    """What the shipped model draws by the lines of this name, and in which precision."""
    shipped = load_pretrained().to(make_accelerator().device)
    lines = dict(LINES[name])
    model = lines.pop("change", lambda model: model)(shipped)
    figures = samples(name, model, **lines)
    if name in ("right-ddim", "step-off-by-one"):  # as many draws of its loss and of its bound
        draws = [weights(model, start) for start in STARTS]
        figures |= {key: [draw[key] for draw in draws] for key in ("held_out", "bits_per_dim")}
    return {name: figures, "precision": name_of_precision(make_accelerator())}


def draw(
    model: DDPM,
    start: int,
    sampler: Sampler | None = None,
    walk: Callable[..., SamplePath] = walk,
    choose_pairs: Callable[[int, int], Pairs] = timestep_pairs,
    draw_noise: Noise = faults.draw_noise,
    steps: int = EVALUATIONS,
) -> Tensor:
    """SAMPLES images, by DDIM unless a sampler is given; each part is right unless it is given."""
    accelerator, sampler = make_accelerator(), sampler or DDIM()
    generator = faults.seeded(1000 + start)
    x_T = draw_noise((SAMPLES, *model.shape), generator).to(accelerator.device)
    steps = ANCESTRAL_EVALUATIONS if isinstance(sampler, Ancestral) else steps
    pairs = choose_pairs(model.schedule.T, steps)
    with accelerator.autocast():
        *_, (_, x_0, _) = walk(model.denoiser(), x_T, pairs, sampler, generator)
    return x_0


def samples(name: str, model: DDPM, seed: int = SEEDS[0], **lines: Any) -> dict[str, Any]:
    """How like digits the samples are, from each start; keeps the first of them."""
    found: dict[str, list[float]] = {}
    for start in STARTS:
        images = draw(model, start, **lines)
        if seed == SEEDS[0] and start == STARTS[0]:
            keep_picture("mistakes", name, images[:SHOWN])
        for key, value in of_images(images).items():
            found.setdefault(key, []).append(value)
    return found


def of_images(images: Tensor) -> dict[str, float]:
    """The figures of some images; the frame is two pixels wide, and black in real digits."""
    images = images.clamp(-1, 1)
    features, probabilities = reference().read(images)
    grey = to_bytes(images).double()
    frame = torch.ones(images.shape[-2:], dtype=torch.bool, device=images.device)
    frame[2:-2, 2:-2] = False
    return {
        "fid": faults.frechet_distance(features, reference().features),
        "confidence": float(probabilities.amax(1).mean()),
        "background": float(grey[:, 0, frame].mean()),
        "mean_grey": float(grey.mean()),
    }


def real() -> dict[str, dict[str, Any]]:
    """As many real digits, five times."""
    order = torch.randperm(len(reference().train), generator=faults.seeded(0))
    drawn = [reference().train[some] for some in order.split(SAMPLES)[: len(STARTS)]]
    keep_picture("mistakes", "real", drawn[0][:SHOWN])
    figures = [of_images(images) for images in drawn]
    return {"real": {key: [one[key] for one in figures] for key in figures[0]}}


@torch.no_grad()
def weights(model: DDPM, seed: int = 0) -> dict[str, float]:
    """The loss on test images, t evenly spread over 1..T, and the bound; both by right code."""
    images = reference().test
    x0, generator = images[:LOSS_IMAGES], faults.seeded(seed)
    t = 1 + torch.arange(len(x0), device=x0.device) * model.schedule.T // len(x0)
    eps = standard_normal(x0.shape, x0, generator)
    with full_float32():
        loss = model(x0, t, eps).total.mean()
    bound = measure_bound(model, images[:BOUND_IMAGES], generator, TERMS, batch_size=500)
    return {
        "held_out": float(loss),
        "bits_per_dim": bound.total.mean,
        "bits_error": bound.total.standard_error,
    }


def collected(done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By fault and right line: the figures, with their spread, and how they differ."""
    findings: dict[str, Any] = {}
    for name in of_place("draws"):
        if name in done:
            spreads = {key: with_spread(some) for key, some in done[name].items()}
            findings[name] = {"runs": len(STARTS), **spreads}
    values = measured_values(done)
    for name, figures in values.items():
        over = "starts" if name in (*LINES, "real") else "seeds"
        findings[name] = {over: len(figures["fid"])}
        findings[name] |= {key: with_spread(some) for key, some in figures.items()}
        other = COMPARED.get(name, "right-ddim" if name in LINES else "right-trained")
        if name.startswith(("right-", "real")) or other not in values:
            continue
        if len(figures["fid"]) != len(values[other]["fid"]):  # not all seeds are there yet
            continue
        right = values[other]
        findings[name]["against"] = other
        findings[name]["difference"] = {
            key: paired_difference(figures[key], right[key])
            for key in figures
            if key in right and key != "bits_error"
        }
    return findings


def measured_values(done: dict[str, dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """By name and figure: a value for each seed, a mean over its starts; or for each start."""
    values: dict[str, dict[str, list[float]]] = {}
    for name in (*LINES, "real"):
        if name in done:
            values[name] = done[name][name]
    for seed in SEEDS:
        for training in TRAININGS:
            for name, figures in done.get(f"{training} {seed}", {}).items():
                for key, value in figures.items():
                    mean = statistics.mean(value) if isinstance(value, Sequence) else value
                    values.setdefault(name, {}).setdefault(key, []).append(mean)
    return values


if __name__ == "__main__":
    main()
