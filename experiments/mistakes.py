"""Put in every fault of `_faults.py`, one at a time, and measure what it does.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/mistakes.py [--only NAME ...]

needs the complete MNIST and takes some minutes on one CPU core. It writes
book/results/mistakes.json and a strip of eight samples of each fault that can be seen, under
book/results/mistakes/. It writes after each fault, and leaves out what is already there;
with --only, these faults are measured anew.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import _faults as faults
import torch
import torch.nn.functional as F
from _faults import FAULTS, Fault
from _results import RESULTS, complete_mnist, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    DDPMConfig,
    Pairs,
    SamplePath,
    Sampler,
    UNetConfig,
    classify,
    frechet_distance,
    from_bytes,
    has_fast_bfloat16,
    load_classifier,
    load_pretrained,
    measure_bound,
    q_sample,
    timestep_pairs,
    to_bytes,
    update_ema,
    v_from_x0_and_eps,
    walk,
)
from ddpm_tutorial.plotting import save_sheet

SEED = 0
STEPS, BATCH, LEARNING_RATE, WARMUP, EMA_DECAY = 500, 32, 3e-3, 40, 0.999
DROPOUT, ETA = 0.1, 0.2
SAMPLES, EVALUATIONS, ANCESTRAL_EVALUATIONS = 100, 10, 20
REFERENCES = 2_000

Noise = Callable[[tuple[int, ...], torch.Generator], Tensor]
RIGHT = {  # place: the right function
    "scale": faults.scale,
    "draw_t": faults.draw_t,
    "draw_noise": faults.draw_noise,
    "make_noisy": faults.make_noisy,
}


def autocast() -> Any:
    return torch.autocast("cpu", torch.bfloat16) if has_fast_bfloat16() else nullcontext()


def train(levels: Tensor, dropout: float = 0.0, **wrong: Any) -> tuple[dict[str, DDPM], float]:
    """Algorithm 1 with the right lines, or those of `wrong` in their place.

    Returns the averaged model, beside it two that were averaged wrongly, and the loss as this code
    prints it: the mean of the last 100 steps.
    """
    line = RIGHT | wrong
    torch.manual_seed(SEED)
    network = UNetConfig(image_size=14, channels=(32,), blocks=1, dropout=dropout)
    model = DDPMConfig(network=network).build().train()
    schedule, generator = model.schedule, faults.seeded(SEED)
    averages = {
        name: copy.deepcopy(model).eval().requires_grad_(False)
        for name in ("right", "ema-cold-start", "ema-before-step")
    }
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    losses = []
    for step in tqdm(range(STEPS), desc="train", mininterval=10):
        index = torch.randint(len(levels), (BATCH,), generator=generator)
        x0 = line["scale"](levels[index])
        t = line["draw_t"](schedule.T, BATCH, generator)
        eps = line["draw_noise"](tuple(x0.shape), generator)
        x_t = line["make_noisy"](schedule, x0, t, eps)
        v_hat = model.network(x_t, t)
        loss = (v_hat - v_from_x0_and_eps(schedule, t, x0, eps)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warmup = min(1.0, (step + 1) / WARMUP)
        cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / STEPS)).item())
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * warmup * cosine
        update_ema(averages["ema-before-step"], model, EMA_DECAY, step)
        optimizer.step()
        update_ema(averages["right"], model, EMA_DECAY, step)
        faults.ema_cold_start(averages["ema-cold-start"], model, EMA_DECAY, step)
        losses.append(loss.item())
    return averages, sum(losses[-100:]) / 100


def draw(
    model: DDPM,
    sampler: Sampler | None = None,
    walk: Callable[..., SamplePath] = walk,
    choose_pairs: Callable[[int, int], Pairs] = timestep_pairs,
    draw_noise: Noise = faults.draw_noise,
) -> Tensor:
    """SAMPLES images, by DDIM unless a sampler is given; each part is right unless it is given."""
    sampler = sampler or DDIM()
    generator = faults.seeded(SEED)
    x_T = draw_noise((SAMPLES, *model.shape), generator)
    steps = ANCESTRAL_EVALUATIONS if isinstance(sampler, Ancestral) else EVALUATIONS
    pairs = choose_pairs(model.schedule.T, steps)
    path = walk(model.denoiser(), x_T, pairs, sampler, generator)
    with autocast():
        *_, (_, x_0, _) = tqdm(path, desc="draw", mininterval=10)
    return x_0


def small(images: Tensor) -> Tensor:
    """Digits of 14 x 14 pixels, each the mean of four, on 256 levels."""
    return from_bytes(to_bytes(F.avg_pool2d(images, 2)))


class Judge:
    """The figures of samples and of weights, by right code."""

    def __init__(self) -> None:
        train_digits, test_digits = (digits.images for digits in complete_mnist())
        self.levels = to_bytes(small(train_digits))
        self.test = test_digits[:REFERENCES]
        self.classifier = load_classifier()
        self.features = {28: self.read(self.test)[0], 14: self.read(small(self.test))[0]}
        order = torch.randperm(60_000, generator=faults.seeded(SEED))[:SAMPLES]
        self.real = train_digits[order]

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities; small digits are enlarged for the classifier."""
        return classify(self.classifier, F.interpolate(images, size=(28, 28), mode="bilinear"))

    def samples(self, name: str, images: Tensor) -> dict[str, Any]:
        """How like digits the samples are; saves a strip of the first eight."""
        size = images.shape[-1]
        save_sheet(RESULTS / "mistakes" / f"{name}.png", images[:8], zoom=28 // size, columns=8)
        images = images.clamp(-1, 1)
        features, probabilities = self.read(images)
        grey = to_bytes(images).double()
        frame = torch.ones(size, size, dtype=torch.bool)
        edge = size // 14
        frame[edge:-edge, edge:-edge] = False
        return {
            "fid": frechet_distance(features, self.features[size]),
            "confidence": float(probabilities.amax(1).mean()),
            "background": float(grey[:, 0, frame].mean()),
            "mean_grey": float(grey.mean()),
        }

    @torch.no_grad()
    def weights(self, model: DDPM) -> dict[str, Any]:
        """The loss on test images, t evenly spread over 1..T, and the bound."""
        x0 = self.test[:500] if model.shape[-1] == 28 else small(self.test[:500])
        few = 100 if model.shape[-1] == 28 else 500
        x0, t = x0[:few], 1 + torch.arange(few) * (1000 // few)
        eps = torch.randn(x0.shape, generator=faults.seeded(SEED))
        x_t = q_sample(model.schedule, x0, t, eps)
        error = (model.network(x_t, t) - v_from_x0_and_eps(model.schedule, t, x0, eps)).square()
        bound = measure_bound(model, x0[:50], faults.seeded(SEED), terms_per_image=10)
        return {
            "held_out": float(error.mean()),
            "bits_per_dim": bound.total.mean,
            "bits_error": bound.total.standard_error,
        }


def measure(judge: Judge, wanted: Callable[[str], bool], keep: Callable[[str, Any], None]) -> None:
    """Measure what is `wanted` and hand each finding to `keep`."""
    by_place: dict[str, list[Fault]] = {}
    for fault in FAULTS:
        by_place.setdefault(fault.place, []).append(fault)

    for fault in by_place["figures"]:
        if wanted(fault.name):
            keep(fault.name, fault.code())

    if wanted("real"):
        keep("real", judge.samples("real", judge.real))
        keep("real-small", judge.samples("real-small", small(judge.real)))

    def examine(name: str, model: DDPM, loss: float) -> None:
        keep(name, {"loss": loss} | judge.weights(model) | judge.samples(name, draw(model)))

    if any(wanted(name) for name in ("right-trained", "ema-cold-start", "ema-before-step")):
        averages, loss = train(judge.levels)
        for name, model in averages.items():
            examine("right-trained" if name == "right" else name, model, loss)
    for place in RIGHT:
        for fault in by_place[place]:
            if wanted(fault.name):
                averages, loss = train(judge.levels, **{place: fault.code})
                examine(fault.name, averages["right"], loss)

    shipped = load_pretrained()

    def look(name: str, model: DDPM = shipped, **lines: Any) -> None:
        if wanted(name):
            keep(name, judge.samples(name, draw(model, **lines)))

    look("right-ddim")
    look("right-ancestral", sampler=Ancestral())
    look("right-eta", sampler=DDIM(ETA))
    look("right-linear", faults.linear_at_another_T(shipped, right=True))
    # A walk whose last step is like the others looks up alpha_bar at 0; `walk` does not.
    look("index-off-by-one", faults.index_off_by_one(shipped), walk=faults.noise_at_last_step)
    look("linear-at-another-T", faults.linear_at_another_T(shipped))
    look("noise-at-last-step", sampler=Ancestral(), walk=faults.noise_at_last_step)
    look("beta-for-root-beta", sampler=faults.BetaForRootBeta())
    look("right-large", sampler=Ancestral("large"))
    look("noise-at-last-step-large", sampler=Ancestral("large"), walk=faults.noise_at_last_step)
    look("eta-under-the-root", sampler=faults.EtaUnderTheRoot(ETA))
    look("clip-without-eps", faults.clip_without_eps(shipped))
    look("sequence-skips-T", choose_pairs=faults.sequence_skips_T)
    look("sequence-stops-short", choose_pairs=faults.sequence_stops_short)
    look("puzzle-a", faults.puzzle_step_as_fraction(shipped))
    look("puzzle-b", sampler=faults.PuzzleDirection())
    look("puzzle-c", draw_noise=faults.puzzle_start)
    if wanted("step-off-by-one"):
        told_less = faults.step_off_by_one(shipped)
        figures = judge.samples("step-off-by-one", draw(told_less))
        keep("step-off-by-one", figures | judge.weights(told_less))
    if wanted("right-shipped"):
        keep("right-shipped", judge.weights(shipped))

    if wanted("right-dropout") or wanted("dropout-while-sampling"):
        averages, loss = train(judge.levels, dropout=DROPOUT)
        examine("right-dropout", averages["right"].eval(), loss)
        torch.manual_seed(SEED)
        dropping = faults.dropout_while_sampling(averages["right"])
        examine("dropout-while-sampling", dropping, loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[])
    only = parser.parse_args().only
    sys.argv = sys.argv[:1]  # the file holds what the command without --only measures
    path, findings, seconds = RESULTS / "mistakes.json", {}, 0.0
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        findings, seconds = before["figures"]["findings"], before["seconds"]
    started = time.monotonic() - seconds
    settings = {
        "training_steps": STEPS,
        "batch": BATCH,
        "channels": [32],
        "image_size": 14,
        "blocks": 1,
        "samples": SAMPLES,
        "evaluations": EVALUATIONS,
        "ancestral_evaluations": ANCESTRAL_EVALUATIONS,
        "eta": ETA,
        "dropout": DROPOUT,
        "references": REFERENCES,
    }

    def keep(name: str, figures: Any) -> None:
        if path.exists():  # another run may have written meanwhile
            findings.update(json.loads(path.read_text(encoding="utf-8"))["figures"]["findings"])
        findings[name] = figures
        precision = "bfloat16 to sample, float32 for the rest"
        write_results(
            "mistakes",
            {"settings": settings, "findings": findings},
            seed=SEED,
            started=started,
            precision=precision if has_fast_bfloat16() else "float32",
        )

    def wanted(name: str) -> bool:
        return name in only if only else name not in findings

    (RESULTS / "mistakes").mkdir(parents=True, exist_ok=True)
    measure(Judge(), wanted, keep)


if __name__ == "__main__":
    main()
