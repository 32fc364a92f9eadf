"""Train the network with one part left out at a time, and a transformer that costs as much.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/network.py

The default U-Net, the same without one of its parts, and a transformer on patches whose training
takes as many operations: each is trained three times on the first 50,000 training images of MNIST,
with the default settings of `train` but for batch and number of steps. Runs with one seed see the
same images, t and noise in the same order. The last 10,000 are held out: on them the loss is taken,
always at the same t and noise, as a whole and by tenths of 1..T; and with them the samples are
compared, from the same five starts x_T for all. The learning rate is that of the default settings,
which experiments/optimizers.py chose for the U-Net.

Where a part is left out, what stands around it stays: a skip connection that is cut carries zeros,
so that shapes are the same. A U-Net without the fold, half as wide, is trained once only; it stands
under `one_run`, outside the comparison.

Besides, what the shipped model attends to, over many images: how far away, and by how many heads.

What is done is kept under runs/network, so that a second call goes on, and calls side by side share
the work: a run takes some ten seconds of a GPU, and an hour of one core of a CPU. Training and
sampling are in the precision of the machine, the loss in float32. Writes book/results/network.json
and network.png, a row of samples for each network, from what there is; --collect only does that.
"""

import argparse
import functools
import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from _compare import draw, keep_picture, kept_picture, read
from _networks import ONE_RUN, VARIANTS, WHOLE, WITHOUT_FOLD
from _results import (
    RESULTS,
    SAMPLES,
    SEEDS,
    STARTS,
    complete_mnist,
    floor_for,
    name_of_precision,
    share_work,
    shared_work,
    with_spread,
    write_work,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    DigitClassifier,
    NoiseSchedule,
    TrainingConfig,
    TrainingDiverged,
    attention_weights,
    filled_like,
    frechet_distance,
    full_float32,
    load_classifier,
    load_pretrained,
    make_accelerator,
    q_sample,
    stratified_integers,
    train,
)
from ddpm_tutorial.plotting import save_sheet

STEPS, BATCH = 800, 128
HELD_OUT, LOSS_IMAGES, BINS = 10_000, 5_000, 10
SAMPLING_STEPS = 25
SHOWN = 10  # samples in a row of the sheet
TIMES = (50, 200, 400, 600, 800, 950)  # t at which attention is looked at
MAP_TIMES = (50, 400, 800)
ATTENTION_IMAGES = 2_000
# Of the 7 x 7 positions that attend to each other: the middle, above it, and the corner.
QUERIES = {"middle": 24, "above the middle": 10, "corner": 0}
ATTENTION = "attention of the shipped model"
PARTS = {f"{name} {seed}": (name, seed) for name in VARIANTS for seed in SEEDS}
PARTS[f"{ONE_RUN} {SEEDS[0]}"] = (ONE_RUN, SEEDS[0])
BUILDERS = VARIANTS | WITHOUT_FOLD


def main() -> None:
    """Do what nobody has done yet and nobody else is at; write all that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect", action="store_true", help="only write what is there")
    if not parser.parse_args().collect:
        run_all()
    found = shared_work("network", [ATTENTION, *PARTS])
    figures = {
        "seeds": list(SEEDS),
        "starts": len(STARTS),
        "samples": SAMPLES,
        "floor": floor_for(SAMPLES),
        "training_steps": STEPS,
        "batch_size": BATCH,
        "sampler": "ddim",
        "sampling_steps": SAMPLING_STEPS,
        "held_out": HELD_OUT,
        "loss_images": LOSS_IMAGES,
        "shown": SHOWN,
        "networks": collected(found),
        "one_run": {ONE_RUN: found.get(f"{ONE_RUN} {SEEDS[0]}", {}).get("figures")},
        "counted": {name: counted(build()) for name, build in WITHOUT_FOLD.items()},
        "attention": found.get(ATTENTION, {}).get("figures"),
    }
    run = next(part for part in PARTS if part in found)
    precision = f"{found[run]['figures']['precision']}; the loss in float32"
    write_work("network", figures, found, precision=precision, machine_of=run)
    rows = [kept_picture("network", f"{name} {SEEDS[0]}") for name in VARIANTS]
    shown = torch.cat([row for row in rows if row is not None])
    save_sheet(RESULTS / "network.png", shown, zoom=1, columns=SHOWN)


def run_all() -> None:
    """Train and measure, on one thread and on the GPU where there is one."""
    torch.set_num_threads(1)
    train_digits, test_digits = complete_mnist()
    seen, held_out = train_digits.images[:-HELD_OUT], train_digits.images[-HELD_OUT:]
    classifier = load_classifier().to(make_accelerator().device)
    features, _ = read(classifier, held_out)
    precision = name_of_precision(make_accelerator())

    def measured(name: str, seed: int) -> dict[str, Any]:
        try:
            model = trained(BUILDERS[name], seed, seen, f"{name}, seed {seed}")
            losses = held_out_losses(model, held_out[:LOSS_IMAGES])
            fids = [fid(model, start, classifier, features, f"{name} {seed}") for start in STARTS]
        except (TrainingDiverged, ValueError) as error:  # of values that are not finite
            return {"precision": precision, "failed": str(error)}
        return {"precision": precision, "losses": losses, "fid": fids}

    attention = {ATTENTION: functools.partial(attention_of_the_shipped, test_digits.images)}
    runs = {part: functools.partial(measured, *PARTS[part]) for part in PARTS}
    share_work("network", attention | runs)


def trained(build: Callable[[], nn.Module], seed: int, images: Tensor, name: str) -> DDPM:
    """The averaged model."""
    torch.manual_seed(seed)
    model = DDPM(build(), NoiseSchedule.cosine(1000))
    config = TrainingConfig(steps=STEPS, batch_size=BATCH, seed=seed)
    records = train(model, images, config, accelerator=make_accelerator())
    *_, record = tqdm(records, name, STEPS, mininterval=10)
    ema: DDPM = record.ema
    return ema


@torch.no_grad()
def held_out_losses(model: DDPM, images: Tensor) -> list[float]:
    """The training loss on images that were not trained on, by tenths of 1..T."""
    generator, device = torch.Generator().manual_seed(0), next(model.parameters()).device
    steps, losses = [], []
    for x0 in images.split(500):
        t = stratified_integers(1, model.schedule.T + 1, len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator)
        with full_float32():
            losses.append(model(*(each.to(device) for each in (x0, t, eps))).total.cpu())
        steps.append(t)
    tenth = (torch.cat(steps) - 1) * BINS // model.schedule.T
    loss = torch.cat(losses)
    return [float(loss[tenth == each].mean()) for each in range(BINS)]


def fid(model: DDPM, start: int, classifier: DigitClassifier, features: Tensor, part: str) -> float:
    """The distance of samples from the held-out images; all models get the same starts.

    The first samples of the first start are kept for the sheet.
    """
    samples = draw(model, start, "ddim", SAMPLING_STEPS)
    if start == STARTS[0]:
        keep_picture("network", part, samples[:SHOWN])
    return frechet_distance(read(classifier, samples)[0], features)


@torch.no_grad()
def attention_of_the_shipped(images: Tensor) -> dict[str, Any]:
    """By t and head: how far away and by how many positions it looks, and where from some.

    `distance` is the mean distance of what is attended to, in positions of the 7 x 7; `positions`
    the exponential of the entropy, 49 for even attention; each with a mean over images and over
    queries, and the spread over images. `maps` holds the mean weights over images, by t, query and
    head.
    """
    device = make_accelerator().device
    model, images = load_pretrained().to(device), images[:ATTENTION_IMAGES].to(device)
    layer, kept = model.network.attention, []
    layer.query_key_value.register_forward_hook(lambda *called: kept.append(called[-1]))
    side = math.isqrt(49)
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).to(device).float()
    apart = torch.cdist(places, places)
    found: dict[str, Any] = {
        "t": list(TIMES),
        "t_of_maps": list(MAP_TIMES),
        "images": len(images),
        "queries": QUERIES,
        "distance_if_even": round(float(apart.mean()), 4),
        **{name: [] for name in ("distance", "positions", "maps")},
    }
    for step in TIMES:
        eps = torch.randn(images.shape, generator=torch.Generator().manual_seed(step)).to(device)
        t = filled_like(images, step)
        kept.clear()
        with full_float32():
            model.denoiser()(q_sample(model.schedule, images, t, eps), t)
        query, key, _ = kept[0].chunk(3, dim=-1)
        weights = attention_weights(query, key, layer.heads)
        distance = (weights * apart).sum(-1).mean(-1)
        positions = torch.special.entr(weights).sum(-1).exp().mean(-1)
        for name, values in (("distance", distance), ("positions", positions)):
            found[name].append([with_spread_over_images(head) for head in values.T])
        if step in MAP_TIMES:
            mean = weights.mean(0).double().cpu().mul(1000).round().div(1000)
            found["maps"].append({q: mean[:, at].tolist() for q, at in QUERIES.items()})
    return found


def with_spread_over_images(values: Tensor) -> dict[str, float]:
    """Mean and standard deviation."""
    spread = round(float(values.std()), 4)
    return {"mean": round(float(values.mean()), 4), "standard_deviation": spread}


def collected(found: dict[str, Any]) -> dict[str, Any]:
    """For each network cost, mean and spread over its seeds, and over those of the differences.

    A difference (`loss_more`, `loss_more_by_tenth`, `fid_more`) is to the whole U-Net of the same
    seed. Runs whose values stopped being finite are counted as `failed`.
    """
    figures = {part: each["figures"] for part, each in found.items()}
    networks = {}
    for name, build in VARIANTS.items():
        runs = {seed: figures[f"{name} {seed}"] for seed in SEEDS if f"{name} {seed}" in figures}
        ended = {seed: run for seed, run in runs.items() if "failed" not in run}
        row: dict[str, Any] = counted(build())
        row |= {"runs": len(ended), "failed": len(runs) - len(ended)}
        if ended:
            row |= spreads(list(ended.values()))
        pairs = [
            (run, figures[f"{WHOLE} {seed}"])
            for seed, run in ended.items()
            if f"{WHOLE} {seed}" in figures
        ]
        if pairs and name != WHOLE:
            row |= differences(pairs)
        networks[name] = row
    return networks


def differences(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """By how much each run exceeds its partner: loss, loss by tenths of 1..T, and FID."""

    def more(key: str) -> dict[str, Any]:
        return with_spread([statistics.mean(a[key]) - statistics.mean(b[key]) for a, b in pairs])

    tenths = [[a["losses"][at] - b["losses"][at] for a, b in pairs] for at in range(BINS)]
    by_tenth = [with_spread(values) for values in tenths]
    return {"loss_more": more("losses"), "loss_more_by_tenth": by_tenth, "fid_more": more("fid")}


def spreads(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of the figures over runs; and how far one model's FID moves by the start."""
    return {
        "loss": with_spread([statistics.mean(run["losses"]) for run in runs]),
        "loss_by_tenth": [
            with_spread([run["losses"][tenth] for run in runs]) for tenth in range(BINS)
        ],
        "fid": with_spread([statistics.mean(run["fid"]) for run in runs]),
        "fid_over_starts": round(statistics.mean(statistics.stdev(run["fid"]) for run in runs), 5),
    }


def counted(network: nn.Module) -> dict[str, int]:
    """Weights, and FLOP of one image: forward, and in training; as `unet_cost` counts them."""
    network = network.to("meta")
    x_t, t = torch.zeros(1, 1, 28, 28, device="meta"), torch.ones(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        output = network(x_t, t.to("meta"))
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    forward = counter.get_total_flops()
    return {
        "weights": sum(weight.numel() for weight in network.parameters()),
        "forward": forward,
        "training": forward + backward.get_total_flops(),
    }


if __name__ == "__main__":
    main()
