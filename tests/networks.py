"""Small networks, what Algorithm 1 would draw for them, and what they say, by hand."""

from collections.abc import Callable

import numpy as np
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from ddpm_tutorial import NoiseSchedule

T = 20
SCHEDULE = NoiseSchedule.cosine(T)
SHAPE = (1, 3, 4)
VIEWS = ("eps", "x0", "v", "velocity")
# For networks that weigh levels.
LEVELS = np.arange(256) / 127.5 - 1
LEVEL_SCHEDULE = NoiseSchedule.log_snr(T)
LEVEL_SHAPE = (1, 2, 3)


def labelled(function: Callable[..., Tensor], num_classes: int) -> Callable[..., Tensor]:
    """The same function, as a network that tells so many classes apart."""
    function.num_classes = num_classes
    return function


def unlabelled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function, as a network that takes no label."""
    return labelled(function, 0)


def move(network: torch.nn.Module, by: float = 0.05) -> None:
    """Take the zero-initialised layers off 0, as training does."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(by * torch.randn_like(parameter))


def draws(batch: int, seed: int = 0, shape: tuple = SHAPE) -> tuple[Tensor, Tensor, Tensor]:
    """x0 on 256 levels, eps, and one t for each: 1, 2, ... , in float64."""
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randint(0, 256, (batch, *shape), generator=generator).double() / 127.5 - 1
    eps = torch.randn(batch, *shape, generator=generator, dtype=torch.float64)
    return x0, eps, torch.arange(batch) % T + 1


def scales(t: Tensor, schedule: NoiseSchedule = SCHEDULE) -> tuple[Tensor, Tensor]:
    """Signal and sigma at t, straight from the table, shaped for images."""
    alpha_bar = schedule.alpha_bar[t][:, None, None, None]
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


@unlabelled
def wiggle(x_t: Tensor, t: Tensor) -> Tensor:
    """Some network: smooth, different at every t, and its entries beyond [-1, 1] as x0."""
    return 2.5 * torch.sin(x_t + t[:, None, None, None] / 7) + 0.3 * x_t.flip(-1)


def wiggle_with_variance(fraction: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The same, with a second output that puts the variance there between small and large."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.cat([wiggle(x_t, t), torch.full_like(x_t, 2 * fraction - 1)], dim=1)

    return unlabelled(network)


def wiggle_of(num_classes: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Some network that answers otherwise for each label, the null token included."""

    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return wiggle(x_t, t) * (1 + label[:, None, None, None] / 10)

    return labelled(network, num_classes)


@unlabelled
def log_weights(x_t: Tensor, t: Tensor) -> Tensor:
    """Some log-weights, different for every pixel, level and t, (B, 256, 2, 3)."""
    level = torch.arange(256, dtype=x_t.dtype)[:, None, None]
    return 3 * torch.sin(level / 9 + x_t + t[:, None, None, None] / 5) - level / 90


def level_probabilities(x_t: Tensor, t: Tensor) -> np.ndarray:
    """p(x_0 = level | x_t) of each pixel, (B, 1, 2, 3, 256), from `log_weights` with scipy."""
    weights = log_weights(x_t, t).numpy()[:, None].transpose(0, 1, 3, 4, 2)
    alpha_bar = LEVEL_SCHEDULE.alpha_bar[t].numpy()[:, None, None, None, None]
    likelihood = scipy.stats.norm.logpdf(
        x_t.numpy()[..., None], np.sqrt(alpha_bar) * LEVELS, np.sqrt(1 - alpha_bar)
    )
    return scipy.special.softmax(weights + likelihood, axis=-1)
