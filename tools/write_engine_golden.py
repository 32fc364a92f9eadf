"""Write what the network and the samplers give in Python, for the live views to be compared with.

    python tools/write_engine_golden.py

writes book/_live/engine/golden.json: the network at three steps, told a label and told nothing, and
the path of each sampler in four steps with guidance, and a step of replacement, taken three times.
Numbers are float32, as base64.
"""

import base64
import json
from pathlib import Path

import torch
from torch import Tensor

from ddpm_tutorial import (
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
MODEL, LABEL, GUIDANCE, STEPS, TIMES = "mnist-labels", 3, 1.5, 4, 3
SHAPE = (1, 1, 28, 28)


def packed(numbers: Tensor) -> str:
    return base64.b64encode(numbers.float().numpy().astype("<f4").tobytes()).decode()


@torch.no_grad()
def golden() -> dict:
    """Everything that is written."""
    model = load_pretrained(MODEL)
    draws = torch.Generator().manual_seed(0)
    t, label = torch.tensor([15, 480, 990]), torch.tensor([3, 7, 10])
    x0 = torch.linspace(-1, 1, 28).mul(3).sin().expand(3, 1, 28, 28)  # stripes serve as well
    x_t = q_sample(model.schedule, x0, t, standard_normal(x0.shape, x0, draws))
    network = {"x_t": packed(x_t), "t": t.tolist(), "label": label.tolist()}
    network["output"] = packed(model.network(x_t, t, label))

    x_T = standard_normal(SHAPE, x_t, draws)
    fresh = torch.Generator().manual_seed(1)
    noise = torch.cat([standard_normal(SHAPE, x_t, fresh) for _ in range(STEPS - 1)])
    denoiser = model.denoiser(torch.tensor([LABEL]), GUIDANCE)
    paths = {}
    for name in SAMPLERS:
        fresh = torch.Generator().manual_seed(1)
        path = list(sample_path(denoiser, 1, name, STEPS, fresh, x_T))
        paths[name] = {
            "t": [t for t, _, _ in path],
            "x_t": packed(torch.cat([x_t for _, x_t, _ in path[1:]])),
            "x0_hat": packed(path[0][2]),
        }
    settings = {"label": LABEL, "guidance": GUIDANCE, "steps": STEPS}
    walks = {**settings, "x_T": packed(x_T), "noise": packed(noise), "paths": paths}

    upper = torch.zeros(SHAPE[1:], dtype=torch.bool)
    upper[:, :14] = True
    told_nothing = model.denoiser(torch.tensor([model.num_classes]))
    asked = Replacement(told_nothing, Measurement(Mask(upper)(x0[:1]), Mask(upper), 1 / 255))
    fresh = torch.Generator().manual_seed(2)
    path = sample_path(asked, 1, Resampled(Ancestral(), TIMES), 2, fresh, x_T)
    (_, _, x0_hat), (_, x_t, _), _ = path
    fresh = torch.Generator().manual_seed(2)
    noise = torch.cat([standard_normal(SHAPE, x_t, fresh) for _ in range(2 * TIMES - 1)])
    inverse = {
        "known": packed(torch.where(upper, x0[:1], torch.nan)),
        "noise": packed(noise),
        "steps": 2,
        "times": TIMES,
        "x0_hat": packed(x0_hat),
        "x_t": packed(x_t),
    }
    return {"model": MODEL, "network": network, "walks": walks, "inverse": inverse}


def main() -> None:
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
