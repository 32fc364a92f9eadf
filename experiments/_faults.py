"""The faults of the chapter on common mistakes: each puts one wrong line in place of a right one.

The file is read from top to bottom. First come the right lines of training, as functions with
names; then the faults, each a small function that takes the place of one of them, a sampler, a walk
or a model that takes the place of the package's own, or a function that computes both sides by
itself; then the list, with the two lines as text. A `right` line whose `source` is named stands
there in the package. `mistakes.py` runs them all.
"""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    Denoiser,
    DigitClassifier,
    ElboTerms,
    GaussianMixture,
    Here,
    ModelDenoiser,
    NoiseSchedule,
    Pairs,
    Prediction,
    SamplePath,
    Sampler,
    TrainingConfig,
    classify,
    elbo_terms,
    eps_from_x0,
    filled_like,
    frechet_distance,
    from_bytes,
    kl_normal,
    load_bundled,
    load_classifier,
    load_pretrained,
    log_posterior_variance,
    match,
    measure_bound,
    p_reverse,
    posterior_variance,
    prior_term,
    q_marginal,
    q_sample,
    sample,
    standard_normal,
    step_features,
    to_bits_per_dim,
    to_bytes,
    update_ema,
)
from ddpm_tutorial import discretized_normal_log_prob as log_prob_of_bins

MISSING = "(this line is missing)"


@dataclass(frozen=True)
class Fault:
    """One wrong line.

    `place` says what `code` takes the place of: a right function by its name, the "walk", or the
    "sampler"; "model" where `code` makes the wrong model of a right one. Where it computes the
    figures of both lines by itself, the place is "exact" if it draws nothing and takes no argument,
    and "draws" if it takes the seed of what it draws. `source` is the file of the package in
    which the right line stands, without its ending; None where it stands in the reader's own code.
    """

    name: str
    group: str
    wrong: str
    right: str
    source: str | None
    place: str
    code: Callable[..., Any]


# The right lines of training ----------------------------------------------------------------------


def scale(levels: Tensor) -> Tensor:
    return levels.float() / 127.5 - 1


def stratified_integers(low: int, high: int, count: int, generator: torch.Generator) -> Tensor:
    """As the package's, but from a uniform number: a range one shorter moves each t by two at most.

    An integer drawn at random is another one altogether where its range is another.
    """
    first = (torch.rand(1, generator=generator, device=generator.device) * (high - low)).long()
    steps = torch.arange(count, device=generator.device) * (high - low) // count
    return low + (first + steps) % (high - low)


def draw_t(T: int, batch: int, generator: torch.Generator) -> Tensor:
    return stratified_integers(1, T + 1, batch, generator)


def draw_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def make_noisy(schedule: NoiseSchedule, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return q_sample(schedule, x0, t, eps)


def choose_untold(dropped: Tensor, config: TrainingConfig) -> Tensor:
    return dropped < config.label_dropout


# Faults in the data -------------------------------------------------------------------------------


def data_in_0_1(levels: Tensor) -> Tensor:
    return levels.float() / 255


def bytes_truncated() -> dict[str, Any]:
    images = load_bundled("test").images
    right = to_bytes(images)
    wrong = ((images.float() + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    return {
        "changed_in_a_round_trip": float((wrong != right).double().mean()),
        "of_the_ink": float((wrong != right)[(right > 0) & (right < 255)].double().mean()),
    }


# Faults in training -------------------------------------------------------------------------------


def covariance_root(schedule: NoiseSchedule, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    alpha_bar = schedule.alpha_bar_at(t)
    signal, sigma = match(alpha_bar.sqrt(), x), match((1 - alpha_bar).sqrt().sqrt(), x)
    return signal * x + sigma * eps


def transition_for_marginal(schedule: NoiseSchedule, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    t = t.cpu()
    alpha_bar = schedule.alpha[t].to(x.device)
    return match(alpha_bar.sqrt(), x) * x + match((1 - alpha_bar).sqrt(), x) * eps


def uniform_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def last_step_never_trained(T: int, batch: int, generator: torch.Generator) -> Tensor:
    return stratified_integers(1, T, batch, generator)


def inverted(dropped: Tensor, config: TrainingConfig) -> Tensor:
    return dropped > config.label_dropout


def label_mask_inverted(seed: int) -> dict[str, Any]:
    """A tiny network that learns ten classes of numbers, told the label by either line."""
    figures = {}
    for line, choose in (("right", choose_untold), ("wrong", inverted)):
        loss, told = train_ten_classes(choose, seed)
        figures[f"{line}_loss"] = loss
        figures[f"{line}_in_class"] = told
    return figures


class TenClasses(nn.Module):
    """A network for numbers of ten classes."""

    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(44, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(128, 1))

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """Maps x_t (B, 1), t and label (B,) to (B, 1)."""
        told = F.one_hot(label, self.num_classes + 1).float()
        return self.layers(torch.cat([x_t, step_features(t, 32), told], dim=1))


def train_ten_classes(
    choose: Callable[[Tensor, TrainingConfig], Tensor], seed: int
) -> tuple[float, float]:
    """The loss at the end, and how many samples fall into the class that was asked for."""
    generator, centres = seeded(seed), torch.linspace(-0.9, 0.9, 10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DDPM(TenClasses(), NoiseSchedule.cosine(1000), shape=(1,))
    config = TrainingConfig(steps=1000)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    losses = []
    for _ in range(1000):
        label = torch.randint(10, (128,), generator=generator)
        x0 = centres[label][:, None] + 0.03 * torch.randn(128, 1, generator=generator)
        t = draw_t(model.schedule.T, 128, generator)
        eps = draw_noise((128, 1), generator)
        untold = choose(torch.rand(128, generator=generator), config)
        loss = model(x0, t, eps, torch.where(untold, 10, label)).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    label = torch.arange(1000) % 10
    denoiser = model.denoiser(label, clip=False)
    x_0 = sample(denoiser, 1000, "ddim", 50, generator, batch_size=1000)
    nearest = (x_0 - centres).abs().argmin(1)
    return sum(losses[-100:]) / 100, float((nearest == label).double().mean())


@torch.no_grad()
def ema_cold_start(ema: DDPM, model: DDPM, decay: float, step: int) -> None:
    """As `update_ema`, without the line that lowers the decay of the first steps."""
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)


def ema_without_buffers() -> dict[str, Any]:
    """The average of a network with batch normalisation, with and without its buffers."""
    digits, trained = load_bundled("test"), load_classifier()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        average = DigitClassifier().eval().requires_grad_(False)
    for mine, current in zip(average.parameters(), trained.parameters(), strict=True):
        mine.copy_(current)
    figures = {"wrong": accuracy(average, digits.images, digits.labels)}
    for mine, current in zip(average.buffers(), trained.buffers(), strict=True):
        mine.copy_(current)
    figures["right"] = accuracy(average, digits.images, digits.labels)
    return figures


# Faults in the schedule ---------------------------------------------------------------------------


class TableOffByOne(NoiseSchedule):
    """Looks up t - 1 for t; in Python, index -1 is the last entry."""

    def alpha_bar_at(self, t: Tensor) -> Tensor:
        """The entry at t - 1."""
        device, t = t.device, t.cpu()
        return self.alpha_bar[t - 1].to(device)


def index_off_by_one(model: DDPM) -> DDPM:
    return DDPM(model.network, TableOffByOne(model.schedule.beta))


def linear_at_another_T(model: DDPM, right: bool = False) -> DDPM:
    """The same network on 100 linear steps, told at each the t of its own schedule.

    It stands in for a network trained on that schedule: v means the same at the same alpha_bar.
    """
    if right:
        schedule = NoiseSchedule.linear(T=100, beta_1=1e-3, beta_T=0.2)
    else:
        schedule = NoiseSchedule.linear(T=100)
    own = (model.schedule.alpha_bar[1:] - schedule.alpha_bar[:, None]).abs().argmin(1) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DDPM says what is wrong
        return DDPM(
            Asked(model, lambda network, x_t, t: network(x_t, own.to(t.device)[t])), schedule
        )


def cosine_unclipped() -> dict[str, Any]:
    right = NoiseSchedule.cosine(1000)
    u = torch.arange(1001, dtype=torch.float64) / 1000
    levels = ((u + 0.008) / 1.008 * torch.pi / 2).cos().square().tolist()
    T = 1000
    beta = [1 - levels[t] / levels[t - 1] for t in range(1, T + 1)]
    alpha_bar = (1 - torch.tensor(beta, dtype=torch.float64)).cumprod(0)
    x_T, eps_hat = torch.zeros(1), torch.zeros(1)
    x0_hat = (x_T - eps_hat) / alpha_bar[-1].sqrt().float()
    return {
        "alpha_bar_T_wrong": float(alpha_bar[-1]),
        "alpha_bar_T_right": float(right.alpha_bar[T]),
        "x0_hat_is_nan": bool(x0_hat.isnan()),
    }


def float32_product() -> dict[str, Any]:
    schedule = NoiseSchedule.linear(1000)
    beta = torch.as_tensor(schedule.beta, dtype=torch.float32)
    alpha_bar = torch.cumprod(1 - beta, dim=0).double()
    error = ((1 - alpha_bar[1:]) / (1 - schedule.alpha_bar[1:]) - 1).abs()
    return {
        "at_1": float(error[0]),
        "at_10": float(error[9]),
        "at_100": float(error[99]),
        "alpha_bar_T": float((alpha_bar[-1] / schedule.alpha_bar[-1] - 1).abs()),
    }


# Faults in sampling -------------------------------------------------------------------------------


def step_off_by_one(model: DDPM) -> DDPM:
    return DDPM(Asked(model, lambda network, x_t, t: network(x_t, t - 1)), model.schedule)


@torch.no_grad()
def noise_at_last_step(
    denoiser: Denoiser,
    x_T: Tensor,
    pairs: Pairs,
    sampler: Sampler,
    generator: torch.Generator | None = None,
) -> SamplePath:
    """As `walk`, with the sampler's own step to s = 0 too: ancestral sampling adds noise there."""
    x_t = x_T
    for t, s in pairs:
        at_t = filled_like(x_t, t)
        here = Here(x_t, at_t, denoiser(x_t, at_t))
        yield t, x_t, here.seen.x0_hat
        noise = partial(standard_normal, x_t.shape, x_t, generator)
        x_t = sampler.step(denoiser, here, filled_like(x_t, s), noise)
    yield 0, x_t, x_t


class BetaForRootBeta(Ancestral):
    """Takes the variance of the noise for its standard deviation."""

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """As `Ancestral`, but for the last line."""
        mean, log_variance = denoiser.reverse_given(here.seen, here.x_t, here.t, s)
        return mean + torch.exp(log_variance) * noise()


class EtaUnderTheRoot(DDIM):
    """Multiplies the variance of the noise by eta, not its standard deviation."""

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """As `DDIM`, but for the line of sigma."""
        x_t, t, (x0_hat, eps_hat, *_), _ = here
        alpha_bar_s = denoiser.schedule.alpha_bar_at(s)
        sigma = (self.eta * posterior_variance(denoiser.schedule, t, s)).sqrt()
        direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0).sqrt()
        x_s = match(alpha_bar_s.sqrt(), x_t) * x0_hat + match(direction, x_t) * eps_hat
        return x_s + match(sigma, x_t) * noise()


def clip_without_eps(model: DDPM) -> DDPM:
    """Clips what is read as the data, and not what is read as the noise."""

    class ClipWithoutEps(type(model.parameterisation)):
        def read(self, schedule, output, x_t, t, clip=True):
            x0_hat, eps_hat, *_ = super().read(schedule, output, x_t, t, clip=False)
            return Prediction(x0_hat.clamp(-1, 1), eps_hat)

    return DDPM(model.network, model.schedule, ClipWithoutEps())


def sequence_skips_T(T: int, steps: int) -> list[tuple[int, int]]:
    times = [*reversed(range(1, T, T // steps)), 0]
    return list(itertools.pairwise(times))


def sequence_stops_short(T: int, steps: int) -> list[tuple[int, int]]:
    times = [round(T * k / steps) for k in range(steps, 0, -1)]
    return list(itertools.pairwise(times))


def dropout_while_sampling(model: DDPM) -> DDPM:
    """In training mode, whoever calls its `eval`: as if no line did."""
    model.eval = lambda: model
    return model.train()


class Guided(GaussianMixture):
    """The best guess for numbers of one class, guided away from that for two classes."""

    guidance = 2.0

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Guided at each call."""
        two_classes = GaussianMixture(self.schedule, [0.5, 0.5], [-0.6, 0.6], [0.04, 0.04])
        x0_hat = self.guide(super().__call__(x_t, t).x0_hat, two_classes(x_t, t).x0_hat)
        return Prediction(x0_hat, eps_from_x0(self.schedule, x_t, t, x0_hat))

    def guide(self, output: Tensor, output_untold: Tensor) -> Tensor:
        """The right line."""
        output = output + self.guidance * (output - output_untold)
        return output


class GuidedTheWrongWay(Guided):
    """Guided towards the guess for two classes, and beyond."""

    def guide(self, output: Tensor, output_untold: Tensor) -> Tensor:
        """The wrong line."""
        output = output + self.guidance * (output_untold - output)
        return output


def guidance_sign(seed: int) -> dict[str, Any]:
    """Guidance on numbers from two classes, where the best guesses are known exactly."""
    figures = {}
    for line, kind in (("right", Guided), ("wrong", GuidedTheWrongWay)):
        one_class = kind(NoiseSchedule.cosine(1000), [1.0], [0.6], [0.04])
        x_0 = sample(one_class, 2000, "ddim", 50, seeded(seed), batch_size=2000)
        figures[f"{line}_in_class"] = float((x_0 > 0).double().mean())
        figures[f"{line}_mean"] = float(x_0.mean())
    return figures


def no_grad_leaks() -> dict[str, Any]:
    def wrong():
        with torch.no_grad():
            yield 1

    @torch.no_grad()
    def right():
        yield 1

    def enabled(steps):
        next(steps)
        seen = torch.is_grad_enabled()
        steps.close()
        return seen

    return {"gradients_wrong": enabled(wrong()), "gradients_right": enabled(right())}


# Faults in the bound ------------------------------------------------------------------------------


def variance_for_log_variance() -> dict[str, Any]:
    denoiser, x0 = load_pretrained().denoiser(), load_bundled("test").images[:100]
    mean, variance = q_marginal(denoiser.schedule, x0, filled_like(x0, denoiser.schedule.T))
    wrong = kl_normal(mean, variance, *denoiser.prior(x0)).flatten(1).sum(1)
    return {
        "wrong": float(to_bits_per_dim(wrong, 784).mean()),
        "right": float(to_bits_per_dim(prior_term(denoiser, x0), 784).mean()),
    }


def log_of_zero_variance() -> dict[str, Any]:
    schedule, x_t = NoiseSchedule.cosine(1000), torch.zeros(1, 1)
    t, s = torch.tensor([1]), torch.tensor([0])
    wrong = posterior_variance(schedule, t, s).log()
    right = log_posterior_variance(schedule, x_t, t, s)
    kl = kl_normal(x_t, wrong[:, None], x_t, wrong[:, None])
    return {
        "log_variance_wrong": str(float(wrong)),
        "log_variance_right": float(right),
        "kl_is_nan": bool(kl.isnan()),
    }


def bound_by_mean(self: ElboTerms) -> Tensor:
    return self.reconstruction - self.prior - self.denoising.mean(1)


def mean_over_t(seed: int) -> dict[str, Any]:
    model, x0 = load_pretrained(), load_bundled("test").images[:2]
    terms = elbo_terms(model, x0, seeded(seed))
    wrong = bound_by_mean(terms)
    return {
        "wrong": float(to_bits_per_dim(-wrong, 784).mean()),
        "right": float(terms.bits_per_dim().mean()),
        "denoising_wrong": float(to_bits_per_dim(terms.denoising.mean(1), 784).mean()),
        "denoising_right": float(to_bits_per_dim(terms.denoising.sum(1), 784).mean()),
    }


def floored_log_prob(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The decoder as it is often written: no probability is smaller than 1e-12."""
    inverse_sigma = torch.exp(-0.5 * log_variance)
    upper = torch.special.ndtr((x - mean + 1 / 255) * inverse_sigma)
    lower = torch.special.ndtr((x - mean - 1 / 255) * inverse_sigma)
    upper = torch.where(x > 1 - 1 / 255, torch.ones_like(upper), upper)
    lower = torch.where(x < -1 + 1 / 255, torch.zeros_like(lower), lower)
    log_inside = torch.log((upper - lower).clamp(min=1e-12))
    return log_inside


def decoder_floor(seed: int) -> dict[str, Any]:
    """The reconstruction term, right and floored, of the shipped model and of a bad one."""
    model, x0 = load_pretrained(), load_bundled("test").images[:100]
    t = filled_like(x0, 1)
    x_1 = q_sample(model.schedule, x0, t, torch.randn(x0.shape, generator=seeded(seed)))
    with torch.no_grad():
        mean, log_variance = p_reverse(model.denoiser(), x_1, t)
    figures = {}
    for name, shift in (("shipped", 0.0), ("ten_levels_off", 10 / 127.5)):
        moved = (mean + shift).clamp(-1, 1)
        for line, log_prob in (("wrong", floored_log_prob), ("right", log_prob_of_bins)):
            nats = log_prob(x0, moved, log_variance).flatten(1).sum(1)
            figures[f"{name}_{line}"] = float(to_bits_per_dim(-nats, 784).mean())
    return figures


class Unchecked(ModelDenoiser):
    """A denoiser whose bound is measured on whatever it is given."""

    def check_data(self, x0: Tensor) -> None:
        """Without the line that looks at the levels."""


def decoder_on_resized(seed: int) -> dict[str, Any]:
    """The bound of digits, and of the same digits scaled down and up again."""
    x0 = load_bundled("test").images[:40]
    small = F.interpolate(x0, size=(20, 20), mode="bilinear", antialias=True)
    resized = F.interpolate(small, size=(28, 28), mode="bilinear").clamp(-1, 1)
    images = {"wrong": resized, "on_levels_again": from_bytes(to_bytes(resized)), "right": x0}
    denoiser = Unchecked(load_pretrained())
    return {
        name: measure_bound(denoiser, some, seeded(seed), terms_per_image=5).total.mean
        for name, some in images.items()
    }


# Faults in the evaluation -------------------------------------------------------------------------


def fid_alone(seed: int) -> dict[str, Any]:
    """The distance of real digits to real digits, by their number."""
    classifier = load_classifier()
    train, _ = classify(classifier, load_bundled("train").images)
    test, _ = classify(classifier, load_bundled("test").images)
    order = torch.randperm(len(train), generator=seeded(seed))
    return {str(n): frechet_distance(train[order[:n]], test) for n in (50, 100, 200, 500, 1000)}


def signed_sum() -> dict[str, Any]:
    right_image = load_bundled("test").images[:1]
    wrong_image = right_image.flip(3)
    return {
        "signed_sum": float((wrong_image - right_image).double().sum().abs()),
        "largest": float((wrong_image - right_image).abs().max()),
    }


# Three for the exercises --------------------------------------------------------------------------


def puzzle_step_as_fraction(model: DDPM) -> DDPM:
    T = model.schedule.T
    return DDPM(Asked(model, lambda network, x_t, t: network(x_t, t / T)), model.schedule)


class PuzzleDirection(DDIM):
    """One of its roots is missing."""

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """As `DDIM`, but for the line of the direction."""
        x_t, t, (x0_hat, eps_hat, *_), _ = here
        alpha_bar_s = denoiser.schedule.alpha_bar_at(s)
        sigma = self.eta * posterior_variance(denoiser.schedule, t, s).sqrt()
        direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0)
        x_s = match(alpha_bar_s.sqrt(), x_t) * x0_hat + match(direction, x_t) * eps_hat
        return x_s + match(sigma, x_t) * noise()


def puzzle_start(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


# Tools of the above -------------------------------------------------------------------------------


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def accuracy(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    _, probabilities = classify(classifier, images)
    return float((probabilities.argmax(1) == labels).double().mean())


class Asked(nn.Module):
    """The network of a model, asked in another way."""

    num_classes = 0

    def __init__(self, model: DDPM, ask: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.ask = model.network, ask

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """As it is asked."""
        return self.ask(self.network, x_t, t)


# The list -----------------------------------------------------------------------------------------

FAULTS = [
    Fault(
        name="data-in-0-1",
        group="data",
        wrong="levels.float() / 255",
        right="levels.float() / 127.5 - 1",
        source="io/data",
        place="scale",
        code=data_in_0_1,
    ),
    Fault(
        name="bytes-truncated",
        group="data",
        wrong="((images.float() + 1) * 127.5).clamp(0, 255).to(torch.uint8)",
        right="((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)",
        source="io/data",
        place="exact",
        code=bytes_truncated,
    ),
    Fault(
        name="covariance-root",
        group="training",
        wrong="match(alpha_bar.sqrt(), x), match((1 - alpha_bar).sqrt().sqrt(), x)",
        right="match(alpha_bar.sqrt(), x), match((1 - alpha_bar).sqrt(), x)",
        source="mathematics/forward",
        place="make_noisy",
        code=covariance_root,
    ),
    Fault(
        name="transition-for-marginal",
        group="training",
        wrong="alpha_bar = schedule.alpha[t]",
        right="alpha_bar = schedule.alpha_bar_at(t)",
        source="mathematics/forward",
        place="make_noisy",
        code=transition_for_marginal,
    ),
    Fault(
        name="uniform-noise",
        group="training",
        wrong="torch.rand(shape, generator=generator",
        right="torch.randn(shape, generator=generator",
        source="mathematics/forward",
        place="draw_noise",
        code=uniform_noise,
    ),
    Fault(
        name="last-step-never-trained",
        group="training",
        wrong="stratified_integers(1, T, batch, generator)",
        right="stratified_integers(1, T + 1, batch, generator)",
        source="algorithms/training",
        place="draw_t",
        code=last_step_never_trained,
    ),
    Fault(
        name="label-mask-inverted",
        group="training",
        wrong="dropped > config.label_dropout",
        right="dropped < config.label_dropout",
        source="algorithms/training",
        place="draws",
        code=label_mask_inverted,
    ),
    Fault(
        name="ema-cold-start",
        group="training",
        wrong=MISSING,
        right="decay = min(decay, (1 + step) / (10 + step))",
        source="algorithms/training",
        place="average",
        code=ema_cold_start,
    ),
    Fault(
        name="ema-before-step",
        group="training",
        wrong="above optimizer.step()\n"
        "update_ema(state.ema, state.model, config.ema_decay, state.step)",
        right="update_ema(state.ema, state.model, config.ema_decay, state.step)",
        source="algorithms/training",
        place="order",
        code=update_ema,
    ),
    Fault(
        name="ema-without-buffers",
        group="training",
        wrong=MISSING,
        right="average.copy_(current)",
        source="algorithms/training",
        place="exact",
        code=ema_without_buffers,
    ),
    Fault(
        name="index-off-by-one",
        group="schedule",
        wrong="self.alpha_bar[t - 1]",
        right="schedule.alpha_bar_at(t)",
        source="mathematics/forward",
        place="model",
        code=index_off_by_one,
    ),
    Fault(
        name="linear-at-another-T",
        group="schedule",
        wrong="NoiseSchedule.linear(T=100)",
        right="NoiseSchedule.linear(T=100, beta_1=1e-3, beta_T=0.2)",
        source=None,
        place="model",
        code=linear_at_another_T,
    ),
    Fault(
        name="cosine-unclipped",
        group="schedule",
        wrong="beta = [1 - levels[t] / levels[t - 1] for t in range(1, T + 1)]",
        right="beta = [min(1 - levels[t] / levels[t - 1], beta_max) for t in range(1, T + 1)]",
        source="mathematics/schedule",
        place="exact",
        code=cosine_unclipped,
    ),
    Fault(
        name="float32-product",
        group="schedule",
        wrong="torch.as_tensor(schedule.beta, dtype=torch.float32)",
        right="torch.as_tensor(self.beta, dtype=torch.float64)",
        source="mathematics/schedule",
        place="exact",
        code=float32_product,
    ),
    Fault(
        name="step-off-by-one",
        group="sampling",
        wrong="network(x_t, t - 1)",
        right="network(x_t, t)",
        source="models/ddpm",
        place="model",
        code=step_off_by_one,
    ),
    Fault(
        name="noise-at-last-step",
        group="sampling",
        wrong="x_t = sampler.step(denoiser, here, filled_like(x_t, s), noise)",
        right="x_t = here.seen.x0_hat",
        source="algorithms/sampling",
        place="walk",
        code=noise_at_last_step,
    ),
    Fault(
        name="beta-for-root-beta",
        group="sampling",
        wrong="return mean + torch.exp(log_variance) * noise()",
        right="return mean + torch.exp(0.5 * log_variance) * noise()",
        source="algorithms/sampling",
        place="sampler",
        code=BetaForRootBeta,
    ),
    Fault(
        name="eta-under-the-root",
        group="sampling",
        wrong="sigma = (self.eta * posterior_variance(denoiser.schedule, t, s)).sqrt()",
        right="sigma = self.eta * posterior_variance(denoiser.schedule, t, s).sqrt()",
        source="algorithms/sampling",
        place="sampler",
        code=EtaUnderTheRoot,
    ),
    Fault(
        name="clip-without-eps",
        group="sampling",
        wrong="Prediction(x0_hat.clamp(-1, 1), eps_hat)",
        right="Prediction(x0_hat, eps_from_x0(schedule, x_t, t, x0_hat))",
        source="models/parameterisation",
        place="model",
        code=clip_without_eps,
    ),
    Fault(
        name="sequence-skips-T",
        group="sampling",
        wrong="times = [*reversed(range(1, T, T // steps)), 0]",
        right="times = [round(T * k / steps) for k in range(steps, -1, -1)]",
        source="mathematics/schedule",
        place="choose_pairs",
        code=sequence_skips_T,
    ),
    Fault(
        name="sequence-stops-short",
        group="sampling",
        wrong="times = [round(T * k / steps) for k in range(steps, 0, -1)]",
        right="times = [round(T * k / steps) for k in range(steps, -1, -1)]",
        source="mathematics/schedule",
        place="choose_pairs",
        code=sequence_stops_short,
    ),
    Fault(
        name="dropout-while-sampling",
        group="sampling",
        wrong=MISSING,
        right="model.eval()",
        source="models/ddpm",
        place="model",
        code=dropout_while_sampling,
    ),
    Fault(
        name="guidance-sign",
        group="sampling",
        wrong="output = output + self.guidance * (output_untold - output)",
        right="output = output + self.guidance * (output - output_untold)",
        source="models/ddpm",
        place="draws",
        code=guidance_sign,
    ),
    Fault(
        name="no-grad-leaks",
        group="sampling",
        wrong="with torch.no_grad():",
        right="@torch.no_grad()",
        source="algorithms/sampling",
        place="exact",
        code=no_grad_leaks,
    ),
    Fault(
        name="variance-for-log-variance",
        group="bound",
        wrong="kl_normal(mean, variance, *denoiser.prior(x0)).flatten(1).sum(1)",
        right="kl_normal(mean, variance.log(), *denoiser.prior(x0)).flatten(1).sum(1)",
        source="algorithms/elbo",
        place="exact",
        code=variance_for_log_variance,
    ),
    Fault(
        name="log-of-zero-variance",
        group="bound",
        wrong="posterior_variance(schedule, t, s)",
        right="posterior_variance(schedule, t.clamp(min=2), s.clamp(min=1))",
        source="mathematics/forward",
        place="exact",
        code=log_of_zero_variance,
    ),
    Fault(
        name="mean-over-t",
        group="bound",
        wrong="self.reconstruction - self.prior - self.denoising.mean(1)",
        right="self.reconstruction - self.prior - self.denoising.sum(1)",
        source="algorithms/elbo",
        place="draws",
        code=mean_over_t,
    ),
    Fault(
        name="decoder-floor",
        group="bound",
        wrong="log_inside = torch.log((upper - lower).clamp(min=1e-12))",
        right="log_inside = log_upper + torch.log(-torch.expm1(gap))",
        source="mathematics/gaussian",
        place="draws",
        code=decoder_floor,
    ),
    Fault(
        name="decoder-on-resized",
        group="bound",
        wrong=MISSING,
        right="if not is_on_256_levels(x0):",
        source="models/denoiser",
        place="draws",
        code=decoder_on_resized,
    ),
    Fault(
        name="fid-alone",
        group="evaluation",
        wrong=MISSING,
        right="fid_floor=frechet_distance(train_features[drawn], unseen_features)",
        source="algorithms/evaluation",
        place="draws",
        code=fid_alone,
    ),
    Fault(
        name="signed-sum",
        group="evaluation",
        wrong="(wrong_image - right_image).double().sum().abs()",
        right="(wrong_image - right_image).abs().max()",
        source=None,
        place="exact",
        code=signed_sum,
    ),
]

PUZZLES = [
    Fault(
        name="puzzle-a",
        group="puzzle",
        wrong="network(x_t, t / T)",
        right="network(x_t, t)",
        source="models/ddpm",
        place="model",
        code=puzzle_step_as_fraction,
    ),
    Fault(
        name="puzzle-b",
        group="puzzle",
        wrong="direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0)",
        right="direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0).sqrt()",
        source="algorithms/sampling",
        place="sampler",
        code=PuzzleDirection,
    ),
    Fault(
        name="puzzle-c",
        group="puzzle",
        wrong="torch.rand(shape, generator=generator",
        right="torch.randn(shape, generator=generator",
        source="mathematics/forward",
        place="draw_noise",
        code=puzzle_start,
    ),
]
