"""The faults of the chapter on common mistakes: all there, measured, shown, and truly one line."""

import importlib.util
import inspect
import json
import math
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

import ddpm_tutorial
from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    GaussianMixture,
    NoiseSchedule,
    from_bytes,
    load_pretrained,
    q_sample,
    timestep_pairs,
    walk,
)

ROOT = Path(__file__).parent.parent
PACKAGE = Path(ddpm_tutorial.__file__).parent
RESULTS = ROOT / "book" / "results"


def experiment(name):
    path = ROOT / "experiments" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


faults = experiment("_faults")
FAULTS = {fault.name: fault for fault in faults.FAULTS}
KNOWN = """
covariance-root index-off-by-one step-off-by-one last-step-never-trained noise-at-last-step
data-in-0-1 uniform-noise beta-for-root-beta transition-for-marginal eta-under-the-root
variance-for-log-variance cosine-unclipped log-of-zero-variance clip-without-eps linear-at-another-T
float32-product ema-without-buffers ema-cold-start ema-before-step dropout-while-sampling
sequence-skips-T sequence-stops-short decoder-floor decoder-on-resized bytes-truncated mean-over-t
no-grad-leaks guidance-sign label-mask-inverted fid-alone signed-sum
"""
EVERY = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


def figures():
    return json.loads((RESULTS / "mistakes.json").read_text(encoding="utf-8"))["figures"]


def findings():
    return figures()["findings"]


def chapter():
    cells = nbformat.read(ROOT / "book" / "15-common-mistakes.ipynb", as_version=4).cells
    return "\n".join(cell.source for cell in cells)


def without_spaces(text):
    return "".join(text.split())


def test_every_known_mistake_has_its_fault():
    assert sorted(FAULTS) == sorted(KNOWN.split())
    assert len(faults.FAULTS) == len(FAULTS)


@EVERY
def test_a_right_line_stands_in_the_package_where_it_is_said_to(fault):
    if fault.source is not None:
        source = (PACKAGE / f"{fault.source}.py").read_text(encoding="utf-8")
        assert without_spaces(fault.right) in without_spaces(source)
    assert fault.wrong != fault.right


@EVERY
def test_a_wrong_line_is_the_one_that_runs(fault):
    """It stands above the list, in a function."""
    if fault.wrong != faults.MISSING and fault.place != "order":
        functions, _ = inspect.getsource(faults).split("# The list ---")
        assert without_spaces(fault.wrong) in without_spaces(functions)


def test_the_average_that_comes_too_early_does():
    text = (ROOT / "experiments" / "_faulty_training.py").read_text(encoding="utf-8")
    early, step, right = (
        text.index(line)
        for line in (
            'update_ema(averages["ema-before-step"]',
            "optimizer.step()",
            'update_ema(averages["right"]',
        )
    )
    assert early < step < right


@EVERY
def test_every_fault_was_measured(fault):
    found = figures()["exact" if fault.place == "exact" else "findings"]
    assert fault.name in found
    assert not lacking(found[fault.name], fault.place)


def test_the_samples_of_every_fault_are_many_enough():
    found = figures()
    assert found["samples"] >= 2_000
    assert len(found["seeds"]) >= 3
    assert found["starts"] >= 5


def lacking(found, place):
    """What the figures of a fault lack, in words."""
    if place == "exact":
        return [
            f"{key} is not finite"
            for key, value in found.items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
    fewest = {"runs": 5, "starts": 5, "seeds": 3}
    over = [name for name in fewest if found.get(name, 0) >= fewest[name]]
    if not over:
        return ["too few runs, starts or seeds"]
    spreads = {key: value for key, value in found.items() if isinstance(value, dict)}
    differences = spreads.pop("difference", {})
    missing = []
    if place != "draws" and not (differences and "against" in found):
        missing.append("no difference from the right line")
    for key, value in (
        spreads | {f"difference/{key}": d for key, d in differences.items()}
    ).items():
        values = value.get("values", [])
        if len(values) != found[over[0]] or not all(math.isfinite(one) for one in values):
            missing.append(f"{key}: not a value for each")
        elif value.get("standard_deviation") is None:
            missing.append(f"{key}: no spread")
        if key.startswith("difference/") and not value.get("visible", -1) >= 0:
            missing.append(f"{key}: it does not say what could be seen")
    return missing


SPREAD = {"mean": 2.0, "standard_deviation": 1.0, "values": [1.0, 2.0, 3.0]}
COMPLETE = {"seeds": 3, "fid": SPREAD, "against": "right", "difference": {}}
COMPLETE["difference"] = {"fid": SPREAD | {"visible": 2.48}}


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({}, []),
        ({"seeds": 2}, ["too few runs, starts or seeds"]),
        ({"difference": {}}, ["no difference from the right line"]),
        ({"fid": SPREAD | {"values": [1.0]}}, ["fid: not a value for each"]),
        ({"fid": SPREAD | {"values": [1.0, 2.0, math.nan]}}, ["fid: not a value for each"]),
        ({"fid": SPREAD | {"standard_deviation": None}}, ["fid: no spread"]),
        ({"difference": {"fid": SPREAD}}, ["difference/fid: it does not say what could be seen"]),
    ],
)
def test_a_finding_that_lacks_something_is_noticed(change, lacks):
    assert lacking(COMPLETE | change, "sampler") == lacks


@EVERY
def test_the_chapter_shows_both_lines_in_a_section_of_their_own(fault):
    text = without_spaces(chapter())
    assert f"(mistake-{fault.name})=###" in text
    for line in (fault.wrong, fault.right):
        assert without_spaces(line).removeprefix("(").removesuffix(")") in text


@EVERY
def test_the_table_by_symptom_leads_to_every_fault(fault):
    table = chapter().split("## Find your symptom")[1].split("\n## ")[0]
    assert f"<mistake-{fault.name}>" in table


def test_the_strips_are_small_and_of_faults_that_were_measured():
    strips = list((RESULTS / "mistakes").glob("*.png"))
    assert strips
    assert all(strip.stat().st_size < 10_000 for strip in strips)
    assert {strip.stem for strip in strips} <= findings().keys()


def test_right_lines_are_right():
    """The functions that the faults replace do what the package does."""
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(faults.scale(levels), from_bytes(levels))
    drawn = faults.draw_t(4, 10_000, faults.seeded(0))
    assert sorted(set(drawn.tolist())) == [1, 2, 3, 4]
    x0, t, eps = torch.ones(3, 1), torch.tensor([1, 5, 10]), torch.full((3, 1), 0.5)
    schedule = NoiseSchedule.cosine(10)
    assert torch.equal(faults.make_noisy(schedule, x0, t, eps), q_sample(schedule, x0, t, eps))


def test_the_last_step_left_out_changes_nothing_else_that_is_drawn():
    right, wrong = (faults.seeded(3) for _ in range(2))
    t = torch.cat([faults.draw_t(1000, 128, right) for _ in range(100)])
    other = torch.cat([faults.last_step_never_trained(1000, 128, wrong) for _ in range(100)])
    moved = (t - other).remainder(999)  # 1000 has nowhere to go but to the other end
    assert torch.minimum(moved, 999 - moved).max() <= 2
    assert t.max() == 1000
    assert other.max() == 999
    assert torch.equal(right.get_state(), wrong.get_state())


@pytest.mark.parametrize("view", ["v", "eps"])
def test_clipping_leaves_a_guess_of_the_noise_as_it_was_in_each_view(view):
    """Far from the data, where the data that were guessed lie outside [-1, 1]."""
    schedule = NoiseSchedule.cosine(1000)
    network = nn.Conv2d(1, 1, 1)
    network.forward, network.num_classes = lambda x_t, t: -0.5 * x_t, 0
    model = DDPM(network, schedule, view, shape=(1, 1, 1))
    x_t, t = torch.tensor([-3.0, 0.1, 3.0]).view(3, 1, 1, 1), torch.tensor([700, 700, 700])
    wrong = faults.clip_without_eps(model).denoiser()(x_t, t)
    right, raw = model.denoiser()(x_t, t), model.denoiser(clip=False)(x_t, t)
    assert torch.equal(wrong.x0_hat, right.x0_hat)
    assert torch.equal(wrong.eps_hat, raw.eps_hat)
    assert not torch.allclose(wrong.eps_hat, right.eps_hat)


def test_a_wrong_sampler_or_walk_differs_from_the_right_one_in_its_line_only():
    """Where the two lines mean the same, so do the two samplers."""
    toy = GaussianMixture(NoiseSchedule.cosine(100), [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
    x_T = torch.randn(50, 1, generator=faults.seeded(0), dtype=torch.float64)

    def end(sampler, walk=walk):
        *_, (_, x_0, _) = walk(toy, x_T, timestep_pairs(100, 5), sampler, faults.seeded(1))
        return x_0

    assert torch.equal(end(faults.EtaUnderTheRoot(1.0)), end(DDIM(1.0)))
    assert not torch.equal(end(faults.EtaUnderTheRoot(0.2)), end(DDIM(0.2)))
    assert torch.equal(end(DDIM(), faults.noise_at_last_step), end(DDIM()))
    small = Ancestral("small")
    assert not torch.equal(end(small, faults.noise_at_last_step), end(small))
    assert not torch.equal(end(faults.BetaForRootBeta()), end(Ancestral()))
    assert not torch.equal(end(faults.PuzzleDirection()), end(DDIM()))


def test_dropout_stays_on_where_the_right_line_is_missing():
    model = faults.dropout_while_sampling(load_pretrained())
    seen = []
    model.network.register_forward_pre_hook(lambda network, _: seen.append(network.training))
    model.denoiser()(torch.zeros(1, 1, 28, 28), torch.tensor([500]))
    assert seen == [True]


def test_the_sequences_are_wrong_in_the_way_that_is_said():
    skips = faults.sequence_skips_T(1000, 10)
    assert skips[0][0] < 1000
    assert skips[-1][1] == 0
    stops = faults.sequence_stops_short(1000, 10)
    assert stops[0][0] == 1000
    assert stops[-1][1] > 0


def test_the_second_puzzle_loses_all_variance_with_more_steps_and_the_right_line_loses_none():
    """As its solution says, of data of variance 1."""
    toy = GaussianMixture(NoiseSchedule.cosine(1000), [1.0], [0.0], [1.0])
    one = torch.ones(1, 1, dtype=torch.float64)  # each sampler multiplies it by a number

    def variance(sampler, steps):
        *_, (_, x_0, _) = walk(toy, one, timestep_pairs(1000, steps), sampler)
        return x_0.item() ** 2

    puzzle = faults.PuzzleDirection()
    assert variance(puzzle, 10) == pytest.approx(0.107, abs=1e-3)
    assert variance(puzzle, 100) < 1e-6
    assert variance(DDIM(), 10) == pytest.approx(0.78, abs=1e-2)
    assert variance(DDIM(), 100) == pytest.approx(0.976, abs=1e-3)
