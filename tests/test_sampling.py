import itertools
import re
from collections.abc import Callable, Iterator

import diffusers
import pytest
import torch
from chains import WithNoise
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import labelled, unlabelled
from torch import Tensor, nn

from ddpm_tutorial import (
    DDIM,
    DDPM,
    SAMPLERS,
    Ancestral,
    Denoiser,
    DPMSolver,
    GaussianMixture,
    Here,
    Heun,
    LargeVariance,
    NoiseSchedule,
    Sampler,
    UNet,
    UNetConfig,
    ddim_invert,
    eps_from_x0,
    filled_like,
    pairs_of,
    sample,
    sample_path,
    timestep_pairs,
    walk,
)

T = 48
SCHEDULES = {"linear": NoiseSchedule.linear(T, 1e-3, 0.3), "cosine": NoiseSchedule.cosine(T)}
VIEWS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}  # our word -> diffusers' word
SHAPE = (2, 3, 4)
EVERY_SAMPLER = ["ddpm", Ancestral("large"), "ddim", DDIM(0.4), DDIM(1.0), "dpm++", "heun"]
every_sampler = pytest.mark.parametrize("sampler", EVERY_SAMPLER, ids=str)


class Wave(nn.Module):
    """Some smooth network in float64; `variance` doubles the channels of its answer."""

    num_classes = 0

    def __init__(self, variance: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.variance = variance

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        t = t[:, None, None, None]
        answer = 0.9 * torch.sin(self.weight * x_t + 0.3 * x_t.roll(1, -1) + t / 9)
        fraction = torch.tanh(x_t + t / 30)
        return torch.cat([answer, fraction], dim=1) if self.variance else answer


def wave(schedule: str = "cosine", view: str = "v", variance: str = "small") -> DDPM:
    return DDPM(Wave(variance == "learned"), SCHEDULES[schedule], view, variance, SHAPE)


def tiny_unet(**config: object) -> DDPM:
    torch.manual_seed(0)
    unet = UNet(UNetConfig(**{"image_size": 4, "channels": (8,), "blocks": 1, **config}))
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return DDPM(unet, SCHEDULES["cosine"], shape=(1, 4, 4))


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trajectory(
    model: DDPM | Denoiser,
    n: int = 3,
    sampler: str | Sampler = "ddpm",
    steps: int | list[tuple[int, int]] | None = None,
) -> tuple[list[int], Tensor, Tensor]:
    """The times, all x_t and all x0_hat of one run."""
    times, x, x0_hat = zip(*sample_path(model, n, sampler, steps, seeded()), strict=True)
    return list(times), torch.stack(x), torch.stack(x0_hat)


# Against diffusers. Its k = 0..T - 1 is our t = k + 1. Its tables are float32: they are replaced
# by float64 ones, made from the same beta, so that both sides can be compared to rounding.


def prepare(scheduler: object, schedule: NoiseSchedule, times: list[int]) -> None:
    """Float64 tables, and a look that diffusers walks the steps that we walk."""
    assert (scheduler.timesteps + 1).tolist() == times
    scheduler.alphas_cumprod = torch.cumprod(1 - schedule.beta[1:], dim=0)


def their_path(
    scheduler: object, model: DDPM, n: int = 3, **step: object
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yields what `sample_path` yields, (x_t, x0_hat), with diffusers' own step."""
    generator = seeded()
    x = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    for k in scheduler.timesteps:
        with torch.no_grad():
            output = model.network(x, filled_like(x, int(k) + 1))
        result = scheduler.step(output, int(k), x, generator=generator, **step)
        yield x, result.get("pred_original_sample")
        x = result.prev_sample
    yield x, x


def assert_same_path(ours: tuple[list[int], Tensor, Tensor], theirs: list, scale: float) -> None:
    """Every x_t and x0_hat, element by element, to `scale` times their size."""
    for x_t, x0_hat, (their_x, their_x0_hat) in zip(ours[1], ours[2], theirs, strict=True):
        torch.testing.assert_close(x_t, their_x, rtol=scale, atol=scale)
        if their_x0_hat is not None:
            torch.testing.assert_close(x0_hat, their_x0_hat, rtol=scale, atol=scale)


def for_every_model(test: Callable) -> Callable:
    """Both schedules, the three views, clipped and not."""
    cases = list(itertools.product(SCHEDULES, VIEWS, [False, True]))
    return pytest.mark.parametrize(("schedule", "view", "clip"), cases)(test)


@for_every_model
@pytest.mark.parametrize(
    ("variance", "steps", "spacing"),
    [
        # Where the last step does not start at t = 1, diffusers adds noise to x_0 unless the
        # variance is small; quadratic spacing ends with the step from 1 to 0.
        ("small", T, "trailing"),
        ("small", 7, "trailing"),
        ("small", 1, "trailing"),
        ("small", 9, "quadratic"),
        ("large", T, "trailing"),
        ("large", 9, "quadratic"),
        ("learned", T, "trailing"),
        ("learned", 9, "quadratic"),
    ],
)
def test_ancestral_sampling_equals_diffusers(
    schedule: str, view: str, clip: bool, variance: str, steps: int, spacing: str
) -> None:
    model = wave(schedule, view, variance)
    pairs = timestep_pairs(T, steps, spacing)
    ours = trajectory(model.denoiser(clip=clip), steps=pairs)
    scheduler = diffusers.DDPMScheduler(
        T,
        trained_betas=model.schedule.beta[1:].tolist(),
        variance_type={"learned": "learned_range"}.get(variance, f"fixed_{variance}"),
        clip_sample=clip,
        prediction_type=VIEWS[view],
    )
    scheduler.set_timesteps(timesteps=[t - 1 for t in ours[0][:-1]])
    prepare(scheduler, model.schedule, ours[0][:-1])
    # 1e-8: diffusers adds noise of standard deviation 1e-10 where the variance is 0.
    assert_same_path(ours, their_path(scheduler, model), 1e-8)


@for_every_model
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", [T, 6, 1])  # diffusers rounds strides down: T / steps is whole
def test_ddim_equals_diffusers(
    schedule: str, view: str, clip: bool, eta: float, steps: int
) -> None:
    model = wave(schedule, view)
    ours = trajectory(model.denoiser(clip=clip), sampler=DDIM(eta), steps=steps)
    scheduler = diffusers.DDIMScheduler(
        T,
        trained_betas=model.schedule.beta[1:].tolist(),
        clip_sample=clip,
        set_alpha_to_one=True,
        prediction_type=VIEWS[view],
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    prepare(scheduler, model.schedule, ours[0][:-1])
    theirs = their_path(scheduler, model, eta=eta, use_clipped_model_output=clip)
    assert_same_path(ours, theirs, 1e-10)


@for_every_model
@pytest.mark.parametrize("steps", [T, 20, 7, 2, 1])
def test_dpm_solver_equals_diffusers(schedule: str, view: str, clip: bool, steps: int) -> None:
    model = wave(schedule, view)
    ours = trajectory(model.denoiser(clip=clip), sampler="dpm++", steps=steps)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        T,
        trained_betas=model.schedule.beta[1:].tolist(),
        prediction_type=VIEWS[view],
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        lower_order_final=True,
        timestep_spacing="trailing",
        # A threshold that may not exceed 1 is a clip to [-1, 1].
        thresholding=clip,
        sample_max_value=1.0,
    )
    scheduler.set_timesteps(steps)
    prepare(scheduler, model.schedule, ours[0][:-1])
    noise_to_signal = (1 / scheduler.alphas_cumprod - 1).sqrt()[scheduler.timesteps]
    scheduler.sigmas = torch.cat([noise_to_signal, torch.zeros(1, dtype=torch.float64)])
    # 1e-4: diffusers rounds x_t to float32 at every step, which eps at small signal amplifies.
    assert_same_path(ours, their_path(scheduler, model), 1e-4)


def textbook_heun(
    denoiser: Denoiser, x_T: Tensor, pairs: list[tuple[int, int]], along: str
) -> list[Tensor]:
    """Algorithm 1 of Karras et al. (2022) without churn, in the path's own variables."""
    schedule = denoiser.schedule
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    scale = signal if along == "edm" else signal + noise
    level = noise / scale

    def slope(point: Tensor, t: int) -> Tensor:
        return (point - denoiser(scale[t] * point, filled_like(point, t)).x0_hat) / level[t]

    point, path = x_T / scale[pairs[0][0]], [x_T]
    for t, s in pairs:
        d = slope(point, t)
        end = point + (level[s] - level[t]) * d
        if level[s] != 0:
            end = point + (level[s] - level[t]) * (d / 2 + slope(end, s) / 2)
        path.append(scale[s] * (point := end))
    return path


@for_every_model
@pytest.mark.parametrize("along", ["straight", "edm"])
@pytest.mark.parametrize(("steps", "spacing"), [(T, "trailing"), (6, "karras"), (1, "trailing")])
def test_heun_equals_the_textbook(
    schedule: str, view: str, clip: bool, along: str, steps: int, spacing: str
) -> None:
    denoiser = wave(schedule, view).denoiser(clip=clip)
    pairs = timestep_pairs(denoiser.schedule, steps, spacing)
    ours = trajectory(denoiser, sampler=Heun(along), steps=pairs)[1]
    theirs = torch.stack(textbook_heun(denoiser, ours[0], pairs, along))
    # Points of the path of EDM are up to 1000 times as large as x_t: as many digits are lost.
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@for_every_model
@pytest.mark.parametrize("steps", [T, 6, 1])
def test_heun_on_the_path_of_edm_equals_diffusers(
    schedule: str, view: str, clip: bool, steps: int
) -> None:
    denoiser = wave(schedule, view).denoiser(clip=clip)
    times, ours, _ = trajectory(denoiser, sampler=Heun("edm"), steps=steps)
    theirs = diffusers.HeunDiscreteScheduler(
        T, trained_betas=denoiser.schedule.beta[1:].tolist(), timestep_spacing="trailing"
    )
    theirs.set_timesteps(steps)
    sigmas = (1 / denoiser.schedule.alpha_bar - 1).sqrt()[times]
    theirs.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    y = ours[0] / denoiser.schedule.alpha_bar[T].sqrt()
    for k in theirs.timesteps:
        t = int(k) + 1
        x_t = y * denoiser.schedule.alpha_bar[t].sqrt()
        y = theirs.step(denoiser(x_t, filled_like(x_t, t)).eps_hat, k, y).prev_sample
    torch.testing.assert_close(ours[-1], y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("steps", [T, 6, 1])
def test_euler_on_the_flow_of_flow_matching_is_ddim(steps: int) -> None:
    """Diffusers walks the straight path with the network's velocity, and knows no alpha_bar."""
    schedule = NoiseSchedule.straight(T)
    model = DDPM(Wave(), schedule, "velocity", shape=SHAPE)
    times, ours, _ = trajectory(model.denoiser(clip=False), sampler="ddim", steps=steps)
    scale = (schedule.alpha_bar.sqrt() + (1 - schedule.alpha_bar).sqrt())[times]
    share = ((1 - schedule.alpha_bar).sqrt()[times] / scale).tolist()
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(T, shift=1.0)
    theirs.set_timesteps(sigmas=share[:-1])
    z = ours[0] / scale[0]
    for here, t, x_t, k in zip(scale, times, ours, theirs.timesteps, strict=False):
        torch.testing.assert_close(here * z, x_t, rtol=1e-5, atol=1e-5)  # theirs is float32
        with torch.no_grad():
            velocity = model.network(here * z, filled_like(z, t))
        z = theirs.step(velocity, k, z).prev_sample.double()
    torch.testing.assert_close(z, ours[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("along", ["straight", "edm"])
def test_heun_is_of_second_order(along: str) -> None:
    """Gaussian data: the exact curve keeps the number of standard deviations."""
    schedule = NoiseSchedule.log_snr(1000, 6.0, -6.0)
    mixture = GaussianMixture(schedule, [1.0], [0.3], [0.25])
    x_T = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    spread = (schedule.alpha_bar * 0.25 + 1 - schedule.alpha_bar).sqrt()
    centre = 0.3 * schedule.alpha_bar.sqrt()
    errors = []
    for stride in (37, 27, 9):  # whole strides over t = 1..1000, so that h is even
        times = [*range(1000, 0, -stride)]
        path = walk(mixture, x_T, [*itertools.pairwise(times), (times[-1], 0)], Heun(along))
        *_, (t, x_t, _), _ = path
        exact = centre[t] + spread[t] * (x_T - centre[1000]) / spread[1000]
        errors.append(float((x_t - exact).abs().max()) / (37 / stride) ** -2)
    assert errors[1] == pytest.approx(errors[0], rel=0.2)
    assert errors[2] == pytest.approx(errors[0], rel=0.2)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_heun_takes_two_evaluations_a_step_and_one_for_the_last(steps: int) -> None:
    asked = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        return x_t

    sample(DDPM(unlabelled(network), SCHEDULES["cosine"], shape=SHAPE), 2, "heun", steps)
    pairs = timestep_pairs(T, steps)
    assert asked == [at for pair in pairs for at in pair][:-1]


# Golden values


def golden_denoiser(kind: str) -> Denoiser:
    """The best denoiser of data N(0.3, 0.25): exact, or that of a model with the best network."""
    schedule = NoiseSchedule.linear(T=1000)
    mixture = GaussianMixture(schedule, [1.0], [0.3], [0.25])
    if kind == "mixture":
        return mixture

    def predict_noise(x_t: Tensor, t: Tensor) -> Tensor:
        return eps_from_x0(schedule, x_t, t, mixture(x_t, t).x0_hat)

    model = DDPM(unlabelled(predict_noise), schedule, "eps", "small", shape=(1,))
    return model.denoiser(clip=False)


def golden_variance(denoiser: Denoiser, sampler: Sampler) -> float:
    """The variance of x_0 for data N(0.3, 0.25) and the best noise predictor, exactly.

    Every step is affine, x_s = slope x_t + shift + sigma z; three starting points reveal it.
    """
    x_t = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    z = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    mean, variance = 0.0, 1.0  # of x_T
    for pair in timestep_pairs(1000):
        *_, (_, x_s, _) = walk(denoiser, x_t, [pair], WithNoise(sampler, lambda _: z))
        shift, slope, sigma = float(x_s[0]), float(x_s[1] - x_s[0]), float(x_s[2] - x_s[0])
        mean, variance = slope * mean + shift, slope**2 * variance + sigma**2
    assert mean == pytest.approx(0.3, abs=0.01)
    return variance


@pytest.mark.parametrize("kind", ["model", "mixture"])
@pytest.mark.parametrize(
    ("sampler", "variance"),
    [(Ancestral("small"), 0.24613), (DDIM(), 0.24850)],
    ids=["ddpm", "ddim"],
)
def test_golden_variance_of_gaussian_data(sampler: Sampler, variance: float, kind: str) -> None:
    found = golden_variance(golden_denoiser(kind), sampler)
    assert found == pytest.approx(variance, abs=5e-6)


# Properties of the samplers


@given(steps=st.integers(1, T), spacing=st.sampled_from(["trailing", "quadratic"]))
@settings(max_examples=15)
@every_sampler
def test_a_perfect_predictor_recovers_the_data_with_any_number_of_steps(
    sampler: str | Sampler, steps: int, spacing: str
) -> None:
    x0 = torch.rand(3, *SHAPE, generator=seeded(1)) * 2 - 1
    for view in ("x0", "eps"):

        def network(x_t: Tensor, t: Tensor, view: str = view) -> Tensor:
            return x0 if view == "x0" else eps_from_x0(SCHEDULES["cosine"], x_t, t, x0)

        model = DDPM(unlabelled(network), SCHEDULES["cosine"], view, shape=SHAPE)
        pairs = timestep_pairs(T, steps, spacing)
        times, x, _ = trajectory(model, sampler=sampler, steps=pairs)
        assert times == [T] + [s for _, s in pairs]
        # Float32: x0 is hidden in x_T, below 1e-3 of it, for the eps view.
        torch.testing.assert_close(x[-1], x0, rtol=0, atol=1e-6 if view == "x0" else 2e-3)


@given(steps=st.integers(1, T), clip=st.booleans())
@settings(max_examples=15)
def test_ddim_with_eta_1_is_ancestral_sampling_with_the_small_variance(
    steps: int, clip: bool
) -> None:
    for schedule in SCHEDULES:
        denoiser = wave(schedule).denoiser(clip=clip)
        ddim = trajectory(denoiser, sampler=DDIM(1.0), steps=steps)
        ddpm = trajectory(denoiser, sampler=Ancestral("small"), steps=steps)
        for one, other in zip(ddim, ddpm, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@every_sampler
@pytest.mark.parametrize("steps", [T, 5, 1])
def test_the_last_step_adds_no_noise_and_lands_on_the_last_prediction(
    sampler: str | Sampler, steps: int
) -> None:
    times, x, x0_hat = trajectory(wave(), sampler=sampler, steps=steps)
    assert times[-1] == 0
    torch.testing.assert_close(x[-1], x0_hat[-2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x[-1], x0_hat[-1], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("sampler", "count"),
    [(Ancestral("large"), 5), (DDIM(0.5), 5), (DDIM(), 0), (DPMSolver(), 0), (Heun(), 0)],
    ids=str,
)
def test_noise_is_drawn_once_for_each_step_but_the_last_and_never_without_eta(
    sampler: Sampler, count: int
) -> None:
    denoiser, x_T = wave().denoiser(), torch.zeros(1, *SHAPE, dtype=torch.float64)
    drawn = []

    def draw(x_t: Tensor) -> Tensor:
        drawn.append(1)
        return torch.zeros_like(x_t)

    pairs, generator = timestep_pairs(T, 6), seeded()
    before = generator.get_state()
    assert len(list(walk(denoiser, x_T, pairs, WithNoise(sampler, draw), generator))) == 7
    assert len(drawn) == count
    torch.testing.assert_close(generator.get_state(), before, rtol=0, atol=0)
    # Without a stand-in for the noise, the generator moves on by as much.
    list(walk(denoiser, x_T, pairs, sampler, generator))
    expected = seeded()
    for _ in range(count):
        torch.randn(x_T.shape, generator=expected, dtype=x_T.dtype)
    torch.testing.assert_close(generator.get_state(), expected.get_state(), rtol=0, atol=0)


@every_sampler
@pytest.mark.parametrize("clip", [False, True])
def test_clip_keeps_every_x0_hat_in_range(sampler: str | Sampler, clip: bool) -> None:
    denoiser = wave(view="eps").denoiser(clip=clip)
    _, x, x0_hat = trajectory(denoiser, sampler=sampler, steps=9)
    assert (x0_hat.abs().max() <= 1) == clip
    assert (x[-1].abs().max() <= 1) == clip


@every_sampler
def test_the_last_item_of_the_path_is_the_sample(sampler: str | Sampler) -> None:
    model = wave()
    _, x, _ = trajectory(model, sampler=sampler, steps=9)
    images = sample(model, 3, sampler, 9, seeded())
    torch.testing.assert_close(images, x[-1], rtol=0, atol=0)
    assert images.shape == (3, *SHAPE)
    assert images.dtype == torch.float64


@every_sampler
def test_a_generator_makes_samples_reproducible_whatever_the_global_seed(
    sampler: str | Sampler,
) -> None:
    model = wave()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = sample(model, 3, sampler, 5, seeded())
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    torch.manual_seed(2)
    again = sample(model, 3, sampler, 5, seeded())
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    other = sample(model, 3, sampler, 5, seeded(6))
    assert (other - first).abs().max() > 1e-3


def test_without_a_generator_the_global_seed_decides() -> None:
    torch.manual_seed(1)
    first = sample(wave(), 2, steps=5)
    torch.manual_seed(1)
    torch.testing.assert_close(sample(wave(), 2, steps=5), first, rtol=0, atol=0)
    assert (sample(wave(), 2, steps=5) - first).abs().max() > 1e-3


def test_the_noise_is_standard_normal() -> None:
    """Moments 1 to 4 of x_T, each to 4 standard errors; uniform noise has a fourth of 1.8."""
    model = DDPM(unlabelled(lambda x_t, t: x_t), SCHEDULES["cosine"], shape=(1, 100, 100))
    _, x_T, _ = next(sample_path(model, 10, generator=seeded()))
    for power, (moment, spread) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        error = (x_T.double() ** power).mean() - moment
        assert abs(float(error)) < 4 * (spread / 1e5) ** 0.5


@given(n=st.integers(1, 6), batch_size=st.integers(6, 50))
@settings(max_examples=10)
def test_a_batch_size_of_n_or_more_changes_nothing(n: int, batch_size: int) -> None:
    model = wave()
    whole = sample(model, n, steps=4, generator=seeded())
    batched = sample(model, n, steps=4, generator=seeded(), batch_size=batch_size)
    torch.testing.assert_close(batched, whole, rtol=0, atol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_batches_give_every_sample_its_own_label_and_different_noise(batch_size: int) -> None:
    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        assert len(x_t) <= batch_size
        return torch.cat([x_t[:, :1].sin(), x_t[:, :1] * 0 + label[:, None, None, None] / 10], 1)

    label = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    model = DDPM(labelled(network, 10), SCHEDULES["cosine"], "x0", shape=SHAPE)
    denoiser = model.denoiser(label)
    images = sample(denoiser, 7, steps=3, generator=seeded(), batch_size=batch_size)
    torch.testing.assert_close(
        images[:, 1], (label / 10)[:, None, None].expand(-1, 3, 4), rtol=1e-5, atol=1e-6
    )
    assert len(images[:, 0].flatten(1).unique(dim=0)) == 7


def test_the_bar_counts_every_step_of_every_batch_and_is_off_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample(wave(), 3, steps=4)
    assert capsys.readouterr().err == ""
    sample(wave(), 3, steps=4, batch_size=2, progress=True)
    assert "8/8" in capsys.readouterr().err


# What sampling does to its surroundings


@every_sampler
def test_dropout_is_off_while_sampling_and_training_goes_on_afterwards(
    sampler: str | Sampler,
) -> None:
    model = tiny_unet(dropout=0.5)
    model.eval()
    expected = sample(model, 2, sampler, 4, seeded())
    assert not model.training
    model.train()
    path = []
    for _, x_t, _ in sample_path(model, 2, sampler, 4, seeded()):
        assert all(module.training for module in model.modules())  # also between two steps
        path.append(x_t)
    torch.testing.assert_close(path[-1], expected, rtol=0, atol=0)


def test_a_network_that_fails_leaves_the_model_in_training_mode() -> None:
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    model = DDPM(unlabelled(network), SCHEDULES["cosine"], shape=SHAPE).train()
    with pytest.raises(RuntimeError, match="out of memory"):
        sample(model, 1)
    assert model.training


@every_sampler
def test_gradients_are_off_inside_and_on_for_the_caller_between_the_steps(
    sampler: str | Sampler,
) -> None:
    model = wave()
    for _, x_t, x0_hat in sample_path(model, 1, sampler, 4):
        assert torch.is_grad_enabled()
        assert not x_t.requires_grad
        assert not x0_hat.requires_grad
    assert torch.is_grad_enabled()
    with torch.no_grad():
        for _ in sample_path(model, 1, sampler, 4):
            assert not torch.is_grad_enabled()


def test_the_label_reaches_the_network_at_every_step() -> None:
    model, label = tiny_unet(num_classes=3), torch.tensor([0, 1])
    one = trajectory(model.denoiser(label), 2, steps=4)[2]
    other = trajectory(model.denoiser(torch.tensor([0, 2])), 2, steps=4)[2]
    torch.testing.assert_close(one[:, 0], other[:, 0], rtol=1e-5, atol=1e-6)
    assert ((one[:, 1] - other[:, 1]).abs().amax((1, 2, 3)) > 1e-5).all()
    with pytest.raises(ValueError, match="pass label"):
        sample(model, 2, steps=4)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_guidance_reaches_every_step_of_every_sampler(sampler: str) -> None:
    model, label = tiny_unet(num_classes=3), torch.tensor([0, 1])
    denoiser = model.denoiser(label, guidance=4.0)
    plain = list(sample_path(model.denoiser(label), 2, sampler, 3, seeded()))
    guided = list(sample_path(denoiser, 2, sampler, 3, seeded()))
    for (t, x_t, x0_hat), (_, x_t_plain, _) in zip(guided[:-1], plain[:-1], strict=True):
        expected = denoiser(x_t, torch.full((2,), t)).x0_hat
        torch.testing.assert_close(x0_hat, expected, rtol=1e-5, atol=1e-5)
        assert t == model.schedule.T or (x_t - x_t_plain).abs().max() > 1e-6
    whole = sample(denoiser, 2, sampler, 3, seeded())
    torch.testing.assert_close(whole, guided[-1][1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [2, 5, 250])
def test_samples_start_from_the_noise_that_is_given(batch_size: int) -> None:
    model = tiny_unet()
    x_T = torch.randn(5, *model.shape, generator=seeded())
    drawn = sample(model, 5, "ddim", 3, generator=seeded())
    given = sample(model, 5, "ddim", 3, x_T=x_T, batch_size=batch_size)
    torch.testing.assert_close(given, drawn, rtol=1e-5, atol=1e-5)
    _, start, _ = next(sample_path(model, 5, "ddim", 3, x_T=x_T))
    torch.testing.assert_close(start, x_T, rtol=0, atol=0)


# Words, objects and pairs


def test_a_word_stands_for_the_sampler_of_that_name() -> None:
    assert list(SAMPLERS) == ["ddpm", "ddim", "dpm++", "heun"]
    for word, sampler in SAMPLERS.items():
        assert sampler.name == word
        ours, theirs = (trajectory(wave(), sampler=one, steps=5) for one in (word, sampler))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_word_for_a_variance_and_the_variance_itself_sample_alike() -> None:
    model = wave(variance="learned")
    runs = [
        trajectory(model, sampler=sampler, steps=5)[1]
        for sampler in (Ancestral("large"), Ancestral(LargeVariance()), Ancestral(), "ddpm")
    ]
    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=0)
    torch.testing.assert_close(runs[2], runs[3], rtol=0, atol=0)
    assert (runs[0] - runs[2]).abs().max() > 1e-3


def test_the_variance_of_ancestral_sampling_is_the_denoisers_own_unless_another_is_named() -> None:
    """The matched variance of a mixture is the wider: it adds what x_0, unknown, does."""
    mixture = GaussianMixture(SCHEDULES["cosine"], [1.0], [0.3], [0.25])
    usual, own, matched, small = (
        float(sample(mixture, 20_000, sampler, 6, seeded(), batch_size=20_000).var())
        for sampler in ("ddpm", Ancestral(), Ancestral("matched"), Ancestral("small"))
    )
    assert usual == own == pytest.approx(matched, rel=1e-9)
    assert small < own - 0.02


def test_a_sampler_is_told_where_it_stands_and_where_it_stood_one_step_earlier() -> None:
    class Listening(DDIM):
        def step(self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable) -> Tensor:
            steps.append((here, s))
            return super().step(denoiser, here, s, noise)

    steps: list[tuple[Here, Tensor]] = []
    denoiser, pairs = wave().denoiser(), timestep_pairs(T, 5)
    path = list(sample_path(denoiser, 2, Listening(), pairs, seeded()))
    assert [(int(here.t[0]), int(s[0])) for here, s in steps] == pairs[:-1]  # not the step to 0
    for (here, s), (_, x_t, x0_hat) in zip(steps, path, strict=False):
        assert here.t.shape == s.shape == (2,)
        assert here.x_t is x_t
        assert here.seen.x0_hat is x0_hat
    assert steps[0][0].before is None
    for (earlier, _), (here, _) in itertools.pairwise(steps):
        assert here.before.x_t is earlier.x_t
        assert here.before.seen is earlier.seen
        assert here.before.before is None  # or all that was ever seen would stay in memory


@pytest.mark.parametrize("spacing", ["trailing", "quadratic"])
@every_sampler
def test_steps_may_be_the_pairs_themselves(sampler: str | Sampler, spacing: str) -> None:
    pairs = timestep_pairs(T, 7, spacing)
    times, x, _ = trajectory(wave(), sampler=sampler, steps=pairs)
    assert times == [t for t, _ in pairs] + [0]
    images = sample(wave(), 3, sampler, pairs, seeded())
    torch.testing.assert_close(images, x[-1], rtol=0, atol=0)
    if spacing == "trailing":
        numbered = sample(wave(), 3, sampler, 7, seeded())
        torch.testing.assert_close(images, numbered, rtol=0, atol=0)


def test_pairs_are_those_that_are_given_or_so_many_of_them() -> None:
    denoiser = wave().denoiser()
    assert pairs_of(denoiser, None) == timestep_pairs(T)
    assert pairs_of(denoiser, 5) == timestep_pairs(T, 5)
    for given_pairs in ([(T, 0)], [(T, 5), (5, 4), (4, 0)], timestep_pairs(T, 9, "quadratic")):
        assert pairs_of(denoiser, given_pairs) == given_pairs


BAD_PAIRS = {
    "none": [],
    "starts late": [(T - 1, 4), (4, 0)],
    "starts early": [(T + 1, 4), (4, 0)],
    "ends early": [(T, 4), (4, 1)],
    "a gap": [(T, 20), (19, 0)],
    "an overlap": [(T, 20), (21, 0)],
    "upwards": [(T, 20), (20, 30), (30, 0)],
    "a standstill": [(T, 20), (20, 20), (20, 0)],
    "the wrong way round": [(0, T)],
    "below the data": [(T, -1), (-1, 0)],
}


@pytest.mark.parametrize("pairs", BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_pairs_that_do_not_lead_from_T_down_to_0_are_refused(pairs: list) -> None:
    message = re.escape(f"pairs = {pairs}: they must lead down from (T, .) to (., 0) with T = {T}")
    for function in (sample, sample_path):
        with pytest.raises(ValueError, match=message):
            function(wave(), 2, steps=pairs)
    with pytest.raises(ValueError, match=message):
        ddim_invert(wave(), torch.zeros(2, *SHAPE), pairs)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_labels_than_of_samples_is_refused(count: int) -> None:
    denoiser = tiny_unet(num_classes=3).denoiser(torch.zeros(count, dtype=torch.int64))
    message = f"the denoiser holds labels for {count} samples, and there are 2: give one for each"
    for function in (sample, sample_path):
        with pytest.raises(ValueError, match=message):
            function(denoiser, 2, steps=3)
    with pytest.raises(ValueError, match=message):  # a surplus, of which a batch would hide it
        sample(denoiser, 2, steps=3, batch_size=1)
    with pytest.raises(ValueError, match=message):
        ddim_invert(denoiser, torch.zeros(2, 1, 4, 4), 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x_T": torch.zeros(3, 1, 4, 4)}, "shape (3, 1, 4, 4): give one for each of 2 samples"),
        ({"n": 0}, "n = 0: ask for at least 1 sample"),
        ({"n": -3}, "n = -3: ask for at least 1 sample"),
        ({"sampler": "euler"}, 'sampler = "euler": choose one of ddpm, ddim, dpm++'),
        ({"steps": 0}, f"steps = 0: choose between 1 and T = {T}"),
        ({"steps": T + 1}, f"steps = {T + 1}: choose between 1 and T = {T}"),
    ],
    ids=str,
)
def test_a_value_out_of_range_is_refused_with_a_remedy(settings: dict, message: str) -> None:
    for function in (sample_path, sample):
        with pytest.raises(ValueError, match=re.escape(message)):
            function(wave(), **{"n": 2, **settings})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(1.5), "eta = 1.5: it must lie in [0, 1]"),
        (lambda: DDIM(-0.1), "eta = -0.1: it must lie in [0, 1]"),
        (lambda: DDIM(float("nan")), "eta = nan: it must lie in [0, 1]"),
        (lambda: Heun("t"), 'path = "t": choose one of straight, edm'),
        (lambda: Ancestral("medium"), 'variance = "medium": choose one of small, large, learned'),
    ],
    ids=["above", "below", "nan", "path", "medium"],
)
def test_a_sampler_refuses_an_option_out_of_range(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("variance", ["learned", "matched"])
def test_a_variance_that_the_model_says_nothing_of_is_refused(variance: str) -> None:
    with pytest.raises(ValueError, match=f'the variance "{variance}" needs a'):
        sample(wave(), 2, Ancestral(variance), 3)


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size = 0: it must be at least 1"):
        sample(wave(), 2, batch_size=0)


# Up from the data, and down again.


@given(
    steps=st.integers(1, T),
    spacing=st.sampled_from(["trailing", "quadratic"]),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    seed=st.integers(0, 99),
)
def test_inversion_is_exact_where_the_noise_found_is_everywhere_the_same(
    steps: int, spacing: str, schedule: str, seed: int
) -> None:
    x0, eps = torch.randn(2, 3, *SHAPE, generator=seeded(seed), dtype=torch.float64)
    model = DDPM(unlabelled(lambda x_t, t: eps), SCHEDULES[schedule], "eps", shape=SHAPE)
    denoiser, pairs = model.denoiser(clip=False), timestep_pairs(T, steps, spacing)
    x_T = ddim_invert(denoiser, x0, pairs)
    alpha_bar = model.schedule.alpha_bar[T]
    expected = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
    torch.testing.assert_close(x_T, expected, rtol=1e-10, atol=1e-10)
    silent = WithNoise(DDIM(), lambda _: pytest.fail("DDIM at eta = 0 drew noise"))
    path = walk(denoiser, x_T, pairs, silent)
    *_, (_, back, _) = path
    # Coming back divides by sqrt(alpha_bar_T), which the cosine makes small.
    scale = 1e-14 / float(alpha_bar.sqrt())
    torch.testing.assert_close(back, x0, rtol=scale, atol=scale)


@for_every_model
@pytest.mark.parametrize("steps", [1, 3, 8, T])
def test_inversion_against_diffusers(schedule: str, view: str, clip: bool, steps: int) -> None:
    """Step by step; the guess is ours, since diffusers leaves to its caller where to take it."""
    model = wave(schedule, view)
    denoiser = model.denoiser(clip=clip)
    theirs = diffusers.DDIMInverseScheduler(
        T,
        trained_betas=model.schedule.beta[1:].numpy(),
        prediction_type="epsilon",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(steps)
    theirs.alphas_cumprod = torch.cumprod(1 - model.schedule.beta[1:], dim=0)
    theirs.initial_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    x0 = x = torch.randn(3, *SHAPE, generator=seeded(), dtype=torch.float64).clamp(-1, 1)
    s = 0
    for k in theirs.timesteps:
        with torch.no_grad():
            eps_hat = denoiser(x, filled_like(x, max(s, 1))).eps_hat
        x, s = theirs.step(eps_hat, int(k), x).prev_sample, int(k) + 1
    assert s == T
    ours = ddim_invert(denoiser, x0, steps)
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spacing", ["trailing", "quadratic"])
def test_inversion_asks_the_network_at_the_times_of_its_spacing(
    spacing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(t.tolist())
        return x_t

    model = DDPM(unlabelled(network), SCHEDULES["cosine"], shape=SHAPE)
    pairs = timestep_pairs(T, 5, spacing)
    ddim_invert(model, torch.zeros(2, *SHAPE), pairs)
    assert asked == [2 * [max(s, 1)] for _, s in reversed(pairs)]
    assert not capsys.readouterr().err
    ddim_invert(model, torch.zeros(2, *SHAPE), pairs, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_with_the_exact_guess_inversion_keeps_the_quantile_ever_better() -> None:
    """The curve from data to noise is known in one dimension: it keeps the quantile."""
    schedule = NoiseSchedule.log_snr(800, 12.0, -12.0)
    mixture = GaussianMixture(schedule, [0.3, 0.7], [-0.6, 0.5], [0.04, 0.09])

    def quantile(x: Tensor, alpha_bar: float) -> Tensor:
        spread = (alpha_bar * mixture.variances + 1 - alpha_bar).sqrt()
        at = torch.special.ndtr((x - alpha_bar**0.5 * mixture.means) / spread)
        return (mixture.weights * at).sum(-1)

    x0 = torch.linspace(-1.2, 1.2, 25, dtype=torch.float64)[:, None]
    errors, round_trips = [], []
    for steps in (50, 100, 200, 400):
        x_T = ddim_invert(mixture, x0, steps)
        found = quantile(x_T, float(schedule.alpha_bar[-1]))
        errors.append(float((found - quantile(x0, 1.0)).abs().max()))
        back = sample(mixture, 25, "ddim", steps, x_T=x_T)
        round_trips.append(float((back - x0).abs().max()))
    for values in (errors, round_trips):
        ratios = [coarse / fine for coarse, fine in itertools.pairwise(values)]
        assert all(1.7 < ratio < 2.3 for ratio in ratios), values  # halved: first order
    assert errors[-1] < 3e-3
    assert round_trips[-1] < 3e-2


def test_inversion_hands_the_labels_on_and_leaves_the_model_in_training_mode() -> None:
    model = tiny_unet(num_classes=3, dropout=0.5)
    x0 = torch.randn(2, *model.shape, generator=seeded())
    ones, twos = torch.tensor([1, 1]), torch.tensor([2, 2])
    expected = ddim_invert(model.eval().denoiser(ones), x0, 3)
    model.train()
    torch.testing.assert_close(ddim_invert(model.denoiser(ones), x0, 3), expected)
    assert model.training
    assert (ddim_invert(model.denoiser(twos), x0, 3) - expected).abs().max() > 1e-4
    assert not expected.requires_grad


@pytest.mark.parametrize(
    ("x0", "settings", "message"),
    [
        (torch.zeros(2, 1, 28, 28), {}, "shape (2, 1, 28, 28): give one for each of 2 samples"),
        (torch.zeros(2, *SHAPE), {"steps": 0}, f"steps = 0: choose between 1 and T = {T}"),
    ],
    ids=str,
)
def test_inversion_refuses_a_value_out_of_range(x0: Tensor, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ddim_invert(wave(), x0, **settings)
