"""Measure training and sampling speed of the default model on this machine.

    python benchmarks/speed.py

prints a table; quote it together with the machine.
"""

import platform
import time

import torch

from ddpm_tutorial import DDPMConfig, TrainingConfig, load_bundled, sample, train
from ddpm_tutorial.training import make_accelerator

WARMUP, STEPS = 10, 60


def main() -> None:
    accelerator = make_accelerator()
    images = load_bundled("train").images
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {accelerator.device}, {accelerator.mixed_precision}"
    )
    print("| batch size | training, images/s | sampling, network evaluations/s |")
    print("| ---: | ---: | ---: |")
    for batch_size in (32, 64, 128):
        torch.manual_seed(0)
        model = DDPMConfig().build()
        config = TrainingConfig(steps=WARMUP + STEPS, batch_size=batch_size)
        for record in train(model, images, config, accelerator=accelerator):
            if record.step == WARMUP:
                started = record.seconds
        training = batch_size * STEPS / (record.seconds - started)

        with accelerator.autocast():
            sample(record.ema, batch_size, "ddim", steps=WARMUP)
            began = time.perf_counter()
            sample(record.ema, batch_size, "ddim", steps=STEPS)
            sampling = batch_size * STEPS / (time.perf_counter() - began)
        print(f"| {batch_size} | {training:.0f} | {sampling:.0f} |")


if __name__ == "__main__":
    main()
