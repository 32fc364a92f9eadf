"""Record one training run of the command line, for chapter 9: its loss, its bits, its samples.

    python experiments/run.py [STEPS]

It is `ddpm-tutorial train --out runs/record --steps STEPS` (5000) with its default settings, on
complete MNIST, and keeps the weights at a few moments beside; an interrupted run goes on where it
was saved. Then it measures these weights on held-out test images, and writes book/results/run.json
and book/results/run-samples.png: one row for each moment drawn, one column for each of six noises.
5,000 steps take some twenty minutes on one CPU core that has nothing else to do.
"""

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _results import RESULTS, name_of_precision, write_results
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    Run,
    TrainingRecord,
    filled_like,
    load_mnist,
    load_model,
    make_accelerator,
    q_sample,
    sample,
    save_model,
    to_bits_per_dim,
)
from ddpm_tutorial.cli.train import Train, settings_of
from ddpm_tutorial.plotting import save_sheet

FOLDER = Path(__file__).parent.parent / "runs" / "record"
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
MEASURED = [STEPS * percent // 100 for percent in (5, 10, 20, 40, 60, 80, 100)]
DRAWN = [STEPS * percent // 100 for percent in (5, 10, 20, 40, 60, 100)]
MEAN_OVER = 25  # steps in one entry of the thinned log
LOSS_IMAGES, BITS_IMAGES = 400, 50
TIMES = (2, 3, 4, 6, 9, 14, 20, 30, 45, 70, 110, 160, 230, 330, 450, 600, 750, 900, 960, 1000)
SEED = 0


class RecordedTrain(Train):
    """The command `train`, which also keeps both sets of weights at the moments to measure."""

    def _show(self, bar: "tqdm[Any]", record: TrainingRecord) -> None:
        super()._show(bar, record)
        if record.step in {*MEASURED, *DRAWN}:
            config, _ = self._configs()
            for kind, model in (("ema", record.ema), ("raw", record.state.model)):
                save_model(FOLDER / f"{kind}-{record.step}.safetensors", model, config, {})


def main() -> None:
    """Train unless that is done, measure, and write the results."""
    started = time.monotonic()
    FOLDER.parent.mkdir(exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    run = Run(FOLDER)
    command = RecordedTrain(run.folder, steps=STEPS, resume=run.state.exists(), seed=SEED)
    command.run()
    accelerator = make_accelerator()

    rows = []
    with accelerator.autocast():
        for step in DRAWN:
            model = load_model(FOLDER / f"ema-{step}.safetensors")
            generator = torch.Generator().manual_seed(SEED)
            rows.append(sample(model, 6, "ddim", 50, generator))
    save_sheet(RESULTS / "run-samples.png", torch.cat(rows), columns=6)

    images = load_mnist("test").images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    moments = []
    for step in tqdm(MEASURED, desc="moments"):
        kept = FOLDER / f"measured-{step}.json"  # a measurement that is done is not done again
        if not kept.exists():
            ema, raw = (
                load_model(FOLDER / f"{kind}-{step}.safetensors") for kind in ("ema", "raw")
            )
            moment = {
                "step": step,
                "loss_ema": held_out_loss(ema, images[order[:LOSS_IMAGES]]),
                "loss_raw": held_out_loss(raw, images[order[:LOSS_IMAGES]]),
                **errors_by_t(ema, images[order[:BITS_IMAGES]]),
            }
            kept.write_text(json.dumps(moment))
        moments.append(json.loads(kept.read_text()))

    figures = {
        "settings": settings_of(command),
        "log": thinned_log(run.log),
        "moments": moments,
        "times": TIMES,
        "loss_images": LOSS_IMAGES,
        "bits_images": BITS_IMAGES,
        "drawn_at": DRAWN,
    }
    precision = f"measured in float32, trained and drawn in {name_of_precision(accelerator)}"
    write_results("run", figures, seed=SEED, started=started, precision=precision)


@torch.no_grad()
def held_out_loss(model: DDPM, images: torch.Tensor) -> float:
    """The training loss on images that were not trained on, with t spread evenly over 1..T."""
    generator = torch.Generator().manual_seed(SEED)
    t = 1 + torch.arange(len(images)) * model.schedule.T // len(images)
    eps = torch.randn(images.shape, generator=generator)
    parts = [part.split(100) for part in (images, t, eps)]
    losses = [model(x0, at, noise).simple for x0, at, noise in zip(*parts, strict=True)]
    return round(float(torch.cat(losses).mean()), 5)


@torch.no_grad()
def errors_by_t(model: DDPM, images: torch.Tensor) -> dict[str, Any]:
    """The squared error of the noise at each of TIMES, and the bits of the last step."""
    denoiser, generator = model.denoiser(), torch.Generator().manual_seed(SEED)
    errors = []
    for step in TIMES:
        t = filled_like(images, step)
        eps = torch.randn(images.shape, generator=generator)
        eps_hat = denoiser(q_sample(model.schedule, images, t, eps), t).eps_hat
        errors.append(float(f"{float((eps - eps_hat).square().mean()):.4g}"))
    eps = torch.randn(images.shape, generator=generator)
    x_1 = q_sample(model.schedule, images, filled_like(images, 1), eps)
    nats = -denoiser.decoder_log_prob(images, x_1)
    bits = float(to_bits_per_dim(nats, images[0].numel()).mean())
    return {"error_eps": errors, "reconstruction_bits": round(bits, 4)}


def thinned_log(path: Path) -> dict[str, list[float]]:
    """The log by groups of MEAN_OVER steps: their last step and second, the means of the rest."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = [rows[i : i + MEAN_OVER] for i in range(0, len(rows), MEAN_OVER)]

    def means(name: str) -> list[float]:
        return [
            float(f"{sum(float(row[name]) for row in group) / len(group):.4g}") for group in groups
        ]

    return {
        "step": [int(group[-1]["step"]) for group in groups],
        "seconds": [round(float(group[-1]["seconds"]), 1) for group in groups],
        "loss": means("loss"),
        "gradient_norm": means("gradient_norm"),
    }


if __name__ == "__main__":
    main()
