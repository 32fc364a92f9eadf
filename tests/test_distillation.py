"""Distillation: what the student is asked for is what two steps of the teacher come to."""

import copy

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from networks import SHAPE, T, draws, labelled, move, wiggle
from torch import nn

from ddpm_tutorial import (
    DDPM,
    SCHEDULES,
    DDPMConfig,
    Distillation,
    TrainingConfig,
    UNetConfig,
    filled_like,
    load_model,
    q_sample,
    sample_path,
    save_model,
    timestep_pairs,
    train,
    two_steps,
    x0_of_step,
)

SCHEDULE = SCHEDULES["cosine"](T)
TINY = DDPMConfig(T=T, network=UNetConfig(channels=(8, 16), blocks=1, num_classes=3))


class Shifted(nn.Module):
    """The network `wiggle`, plus a weight to learn; as many classes as asked for, all alike."""

    def __init__(self, num_classes=0):
        super().__init__()
        self.num_classes = num_classes
        self.shift = nn.Parameter(torch.zeros(SHAPE))

    def forward(self, x_t, t, label=None):
        return wiggle(x_t, t) + self.shift


def teacher(parameterisation="x0"):
    return DDPM(Shifted(), SCHEDULE, parameterisation, shape=SHAPE).eval()


def tiny(seed=0):
    torch.manual_seed(seed)
    model = TINY.build()
    move(model)
    return model.eval()


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 1000), st.data())
def test_with_the_x0_of_a_step_ddim_makes_that_step(schedule, t, data):
    schedule = SCHEDULES[schedule](1000)
    s = data.draw(st.integers(0, t - 1))
    x_t, x_s, _ = draws(3)
    at, to = filled_like(x_t, t), filled_like(x_t, s)
    x0 = x0_of_step(schedule, x_t, at, x_s, to)
    denoiser = DDPM(labelled(lambda x, t: x0, 0), schedule, "x0", shape=SHAPE).denoiser(clip=False)
    seen = denoiser(x_t, at)
    arrived = q_sample(schedule, seen.x0_hat, to, seen.eps_hat)
    assert torch.allclose(arrived, x_s, rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10])
def test_every_t_goes_up_to_a_step_of_the_student_and_the_teacher_stops_half_way(steps):
    distillation = Distillation(teacher(), steps)
    start, middle, end = distillation.strides(torch.arange(1, T + 1))
    student, of_teacher = (timestep_pairs(T, n) for n in (steps, 2 * steps))
    for t in range(1, T + 1):
        pair = int(start[t - 1]), int(end[t - 1])
        assert pair in student
        assert pair[0] >= t > pair[1]
        assert (pair[0], int(middle[t - 1])) in of_teacher
        assert (int(middle[t - 1]), pair[1]) in of_teacher


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_two_steps_again_and_again_are_the_walk_of_ddim(steps):
    denoiser = teacher().double().denoiser()
    x = draws(3)[1]
    *_, (_, wanted, _) = sample_path(denoiser, 3, "ddim", 2 * steps, x_T=x)
    times = [t for t, _ in timestep_pairs(T, 2 * steps)] + [0]
    for t, middle, s in zip(times[::2], times[1::2], times[2::2], strict=False):
        x = two_steps(denoiser, x, *(filled_like(x, at) for at in (t, middle, s)))
    assert torch.allclose(x, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("parameterisation", ["x0", "v", "velocity"])
def test_a_student_that_says_what_is_asked_for_has_no_loss_and_lands_where_the_teacher_does(
    parameterisation,
):
    distillation = Distillation(teacher(parameterisation), 4)
    x0, eps, t = draws(5)
    start, middle, s = distillation.strides(t)
    x_t = q_sample(SCHEDULE, x0, start, eps)
    x_s = two_steps(distillation.teacher.denoiser(), x_t, start, middle, s)
    perfect = DDPM(
        labelled(lambda x, t: x0_of_step(SCHEDULE, x_t, start, x_s, s), 0),
        SCHEDULE,
        "x0",
        shape=SHAPE,
    )
    assert distillation(x0, t, eps).total.min() > 1e-3
    distillation.student = perfect
    assert distillation(x0, t, eps).total.abs().max() < 1e-12


def test_a_teacher_who_sees_one_point_only_has_nothing_to_add():
    """Where x0_hat is the same everywhere, the two steps of the teacher are one."""
    point = DDPM(labelled(lambda x, t: torch.full_like(x, 0.3), 0), SCHEDULE, "x0", shape=SHAPE)
    x0, eps, t = draws(4)
    assert Distillation(point, 2)(x0, t, eps).total.abs().max() < 1e-12


def test_labels_are_told_to_both():
    heard = []

    def listening(x, t, label=None):
        heard.append(label)
        return torch.zeros_like(x)

    model = DDPM(labelled(listening, 3), SCHEDULE, "x0", shape=SHAPE)
    x0, eps, t = draws(2)
    Distillation(model, 2)(x0, t, eps, torch.tensor([2, 0]))
    assert [label.tolist() for label in heard] == [[2, 0]] * 3


def test_training_changes_the_student_alone_and_brings_it_to_the_teachers_two_steps():
    distillation = Distillation(DDPM(Shifted(), SCHEDULE, "x0", shape=SHAPE), 1)
    before = copy.deepcopy(distillation.teacher.state_dict())
    data = torch.tanh(draws(64)[1]).float()
    config = TrainingConfig(steps=200, batch_size=16, learning_rate=0.05, ema_decay=0.9)
    *_, last = train(distillation, data, config, accelerator=Accelerator(cpu=True))
    for name, value in distillation.teacher.state_dict().items():
        assert torch.equal(value, before[name])
    student = last.ema.student
    assert isinstance(student, DDPM)
    x_T = draws(500, seed=1)[1].float()
    at = [filled_like(x_T, t) for t in (T, T // 2, 0)]
    wanted = two_steps(distillation.teacher.denoiser(), x_T, *at).mean(0)
    found, one_step = (
        model.denoiser(clip=False)(x_T, at[0]).x0_hat.mean(0)
        for model in (student, distillation.teacher)
    )
    assert (found - wanted).abs().mean() < 0.2 * (one_step - wanted).abs().mean()


def test_a_student_is_saved_and_read_and_taught_like_any_model(tmp_path):
    model = tiny()
    data, labels = torch.tanh(torch.randn(8, 1, 28, 28)), torch.arange(8) % 3
    config = TrainingConfig(steps=1, batch_size=2)
    (record,) = train(
        Distillation(model, 4), data, config, labels=labels, accelerator=Accelerator(cpu=True)
    )
    save_model(tmp_path / "student.safetensors", record.ema.student, TINY, {})
    student = load_model(tmp_path / "student.safetensors")
    for name, value in record.ema.student.state_dict().items():
        assert torch.equal(value, student.state_dict()[name])
    assert not student.training
    Distillation(student, 2)


@pytest.mark.parametrize("steps", [0, -1, T // 2 + 1])
def test_a_number_of_steps_that_cannot_be_doubled_is_refused(steps):
    with pytest.raises(ValueError, match=rf"steps = {steps}: choose 1..{T // 2}"):
        Distillation(teacher(), steps)


def test_a_teacher_with_more_to_say_than_a_guess_is_refused():
    for words in ({"reverse_variance": "learned"}, {"parameterisation": "levels"}):
        model = DDPMConfig(T=T, network=UNetConfig(channels=(8, 16), blocks=1), **words).build()
        with pytest.raises(ValueError, match="a student learns a guess"):
            Distillation(model, 2)
