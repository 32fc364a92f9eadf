"""Write what the network and the samplers give in Python, for the live views to be compared with.

    python tools/write_engine_golden.py

writes book/_live/engine/golden.json: for the model with labels the network at three steps, told a
label and told nothing, the path of each sampler in four steps with guidance, and a step of
replacement, taken three times; for its student the network at the one step where it stands, and
the digit that it draws. Numbers are float32, as base64.
"""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial import (
    DDPM,
    SAMPLERS,
    Ancestral,
    Mask,
    Measurement,
    Replacement,
    Resampled,
    load_pretrained,
    q_sample,
    sample_path,
)
from ddpm_tutorial.mathematics.forward import standard_normal

GOLDEN = Path(__file__).parent.parent / "book" / "_live" / "engine" / "golden.json"
TEACHER, STUDENT = "mnist-labels", "mnist-one-step"
LABEL, GUIDANCE, STEPS, TIMES = 3, 1.5, 4, 3
SHAPE = (1, 1, 28, 28)


def packed(numbers: Tensor) -> str:
    return base64.b64encode(numbers.float().numpy().astype("<f4").tobytes()).decode()


def at_three_steps(model: DDPM, t: list[int], draws: torch.Generator) -> tuple[Tensor, dict]:
    """Noisy pictures, and what the network says of them, told two labels and told nothing."""
    steps, label = torch.tensor(t), torch.tensor([3, 7, model.num_classes])
    x0 = torch.linspace(-1, 1, 28).mul(3).sin().expand(3, 1, 28, 28)  # stripes serve as well
    x_t = q_sample(model.schedule, x0, steps, standard_normal(x0.shape, x0, draws))
    network = {"x_t": packed(x_t), "t": t, "label": label.tolist()}
    return x0, network | {"output": packed(model.network(x_t, steps, label))}


def paths(
    model: DDPM, x_T: Tensor, guidance: float, steps: int, samplers: Iterable[str]
) -> dict[str, Any]:
    """The path of each sampler from x_T, with the noise that it meets on the way."""
    fresh = torch.Generator().manual_seed(1)
    noise = [standard_normal(SHAPE, x_T, fresh) for _ in range(steps - 1)]
    denoiser = model.denoiser(torch.tensor([LABEL]), guidance)
    found = {}
    for name in samplers:
        fresh = torch.Generator().manual_seed(1)
        path = list(sample_path(denoiser, 1, name, steps, fresh, x_T))
        found[name] = {
            "t": [t for t, _, _ in path],
            "x_t": packed(torch.cat([x_t for _, x_t, _ in path[1:]])),
            "x0_hat": packed(path[0][2]),
        }
    settings = {"label": LABEL, "guidance": guidance, "steps": steps}
    given = {"x_T": packed(x_T), "noise": packed(torch.cat(noise)) if noise else ""}
    return {**settings, **given, "paths": found}


def replacement(model: DDPM, x0: Tensor, x_T: Tensor) -> dict[str, Any]:
    """A step of replacement, taken three times, with the upper half known."""
    upper = torch.zeros(SHAPE[1:], dtype=torch.bool)
    upper[:, :14] = True
    told_nothing = model.denoiser(torch.tensor([model.num_classes]))
    asked = Replacement(told_nothing, Measurement(Mask(upper)(x0[:1]), Mask(upper), 1 / 255))
    fresh = torch.Generator().manual_seed(2)
    path = sample_path(asked, 1, Resampled(Ancestral(), TIMES), 2, fresh, x_T)
    (_, _, x0_hat), (_, x_t, _), _ = path
    fresh = torch.Generator().manual_seed(2)
    noise = torch.cat([standard_normal(SHAPE, x_t, fresh) for _ in range(2 * TIMES - 1)])
    return {
        "known": packed(torch.where(upper, x0[:1], torch.nan)),
        "noise": packed(noise),
        "steps": 2,
        "times": TIMES,
        "x0_hat": packed(x0_hat),
        "x_t": packed(x_t),
    }


@torch.no_grad()
def golden() -> dict[str, Any]:
    """Everything that is written, by the name of the model."""
    teacher, student = load_pretrained(TEACHER), load_pretrained(STUDENT)
    draws = torch.Generator().manual_seed(0)
    x0, network = at_three_steps(teacher, [15, 480, 990], draws)
    x_T = standard_normal(SHAPE, x0, draws)
    T = student.schedule.T
    return {
        TEACHER: {
            "network": network,
            "walks": paths(teacher, x_T, GUIDANCE, STEPS, SAMPLERS),
            "inverse": replacement(teacher, x0, x_T),
        },
        STUDENT: {
            "network": at_three_steps(student, [T, T, T], draws)[1],
            "walks": paths(student, x_T, 0, 1, ["ddim"]),
        },
    }


def main() -> None:
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
