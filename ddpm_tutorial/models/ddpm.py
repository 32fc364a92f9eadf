"""DDPM: a noise schedule, a network, what its output means, and a reverse variance."""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ddpm_tutorial.errors import choose
from ddpm_tutorial.mathematics.forward import (
    Prediction,
    filled_like,
    posterior_kl,
    q_posterior,
    q_sample,
)
from ddpm_tutorial.mathematics.schedule import NoiseSchedule
from ddpm_tutorial.models.denoiser import Denoiser
from ddpm_tutorial.models.network import Network, check_labels, num_classes_of
from ddpm_tutorial.models.parameterisation import (
    PARAMETERISATIONS,
    Drawn,
    LossTerms,
    Parameterisation,
)
from ddpm_tutorial.models.reverse_variance import REVERSE_VARIANCES, ReverseVariance

__all__ = [
    "DDPM",
    "ModelDenoiser",
    "in_eval_mode",
    "meaning_of",
]


class DDPM(nn.Module):
    """A denoising diffusion model p(x_0:T) = p(x_T) prod_t p(x_{t-1} | x_t), with p(x_T) = N(0, I).

    `network` keeps the contract of a `Network`. `parameterisation` says what its output means: an
    object, or the word for one ("eps", "x0", "v", "velocity", "levels"); `reverse_variance`
    likewise ("small", "large", "learned", "matched"; None takes the one that usually goes with the
    parameterisation). Together they say how many output channels it must have for each of the
    image: the sum of their `outputs`. `shape` is the shape of one example. `min_snr` (gamma > 0)
    weighs the squared error of x_0 by min(snr, gamma) (Hang et al., 2023, equation 8); None weighs
    what is predicted by 1.

    Called with what Algorithm 1 draws, it gives the training loss; `denoiser` gives what to sample
    from and to measure. Raises ValueError for an unknown word, things that do not go together, or
    a schedule with T < 2; warns where the schedule leaves so much data in x_T that N(0, I) is a
    poor start.
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        parameterisation: str | Parameterisation = "v",
        reverse_variance: str | ReverseVariance | None = None,
        shape: tuple[int, ...] = (1, 28, 28),
        min_snr: float | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes_of(network)
        self.parameterisation, self.reverse_variance = meaning_of(
            parameterisation, reverse_variance, min_snr
        )
        if schedule.T < 2:
            raise ValueError(f"the schedule has T = {schedule.T}: a DDPM needs at least 2 steps")
        signal_left = float(schedule.alpha_bar[schedule.T])
        if signal_left > 0.01:
            warnings.warn(
                f"alpha_bar[T] = {signal_left:.3f} at T = {schedule.T}: x_T still holds part of "
                f"the data, but sampling starts from N(0, I). Use the cosine schedule, or scale "
                f"beta by 1000 / T",
                stacklevel=2,
            )
        self.network = network
        self.schedule = schedule
        self.shape = tuple(shape)  # JSON holds it as a list
        self.min_snr = min_snr

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> LossTerms:
        """The training loss at the drawn t and eps: Algorithm 1, line 5, of Ho et al. (2020).

        Shapes: x0 and eps (B, ...), t and label int64 (B,), t in 1..T. What the loss consists of is
        the parameterisation's to say; a variance that has to be learned adds the bound.
        """
        drawn = Drawn(self.schedule, x0, t, eps, q_sample(self.schedule, x0, t, eps))
        output, variance_output = self.run_network(drawn.x_t, t, label)

        def bound(seen: Prediction, decoder_log_prob: Tensor | None) -> Tensor:
            seen = seen._replace(variance_output=variance_output)
            return self._variational(drawn, seen, decoder_log_prob)

        asked_for = bound if self.reverse_variance.learned else None
        return self.parameterisation.loss(drawn, output, self.min_snr, asked_for)

    def denoiser(
        self, label: Tensor | None = None, guidance: float = 0.0, clip: bool = True
    ) -> "ModelDenoiser":
        """What the model sees in x_t, as a `Denoiser`; dropout is off whenever it is called.

        `label` int64 (n,) is told to a class-conditional model, one for each of n samples.
        `guidance` is w in (1 + w) output(label) - w output(null token): 0 for none, more for
        samples that show their label more plainly and vary less; each evaluation then costs two.
        Source: Ho and Salimans (2022), equation 6. With `clip`, x0_hat is cut to [-1, 1].
        Raises ValueError for a value outside its range, or guidance where there is nothing to guide
        towards.
        """
        if not 0 <= guidance < math.inf:
            raise ValueError(f"guidance = {guidance}: it must be 0 or more, and finite")
        if guidance and (label is None or not self.num_classes):
            raise ValueError(
                f"guidance = {guidance} needs a label for each sample, and a model trained with "
                f"labels"
            )
        if label is not None:
            if not self.num_classes:
                raise ValueError("this model takes no label: leave label out")
            check_labels(label, self.num_classes)
            if label.ndim != 1:
                raise ValueError(
                    f"label has shape {tuple(label.shape)}: give one for each sample, in all (n,)"
                )
        return ModelDenoiser(self, label, guidance, clip)

    def run_network(
        self, x_t: Tensor, t: Tensor, label: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The output that is read as x_0 and, where there is one, that for the variance."""
        output = self.network(x_t, t) if label is None else self.network(x_t, t, label)
        outputs = self.parameterisation.outputs + self.reverse_variance.outputs
        wanted = (len(x_t), outputs * x_t.shape[1], *x_t.shape[2:])
        if output.shape != wanted:  # or it would be broadcast to something that nobody meant
            raise ValueError(
                f"the network gave {tuple(output.shape)} for x_t of shape {tuple(x_t.shape)}: "
                f'"{self.parameterisation.name}" with reverse variance '
                f'"{self.reverse_variance.name}" needs {wanted}'
            )
        if not self.reverse_variance.outputs:
            return output, None
        channels = x_t.shape[1] * self.parameterisation.outputs
        return output[:, :channels], output[:, channels:]

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_s | x_t), default s = t - 1, from what is seen in x_t.

        Both broadcast to (B, ...). The mean is that of q(x_s | x_t, x0_hat).
        """
        s = t - 1 if s is None else s
        mean, _ = q_posterior(self.schedule, prediction.x0_hat, x_t, t, s)
        log_variance = self.reverse_variance.log_variance
        return mean, log_variance(self.schedule, prediction, x_t, t, s)

    def _variational(
        self, drawn: Drawn, seen: Prediction, decoder_log_prob: Tensor | None
    ) -> Tensor:
        """The term of the bound at t, in nats per dimension, times T, (B,).

        `decoder_log_prob` (B,), ln p(x_0 | x_1) in nats, is worked out where it is not given.
        """
        _, x0, t, _, x_t = drawn
        mean, log_variance = self.reverse_given(seen, x_t, t)
        if decoder_log_prob is None:
            decoder_log_prob = self.parameterisation.decoder_log_prob(x0, seen, mean, log_variance)
        kl = posterior_kl(self.schedule, x0, x_t, t, mean, log_variance)
        return self.schedule.T / x0[0].numel() * torch.where(t == 1, -decoder_log_prob, kl)


@dataclass(frozen=True, eq=False)  # tensors have no one answer to ==
class ModelDenoiser(Denoiser):
    """What a `DDPM` sees in x_t, told a label or not, with guidance or without, clipped or not.

    `DDPM.denoiser` makes one and says what the fields are.
    """

    model: DDPM
    label: Tensor | None = None
    guidance: float = 0.0
    clip: bool = True

    @property
    def schedule(self) -> NoiseSchedule:
        """That of the model."""
        return self.model.schedule

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the model."""
        return self.model.shape

    @property
    def like(self) -> Tensor:
        """A weight of the model, if it has any."""
        return next(self.model.parameters(), torch.empty(0))

    @property
    def count(self) -> int | None:
        """The number of labels."""
        return None if self.label is None else len(self.label)

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Runs the network, with guidance on twice the batch, and reads its output."""
        with in_eval_mode(self.model):
            if self.guidance:
                output, variance_output = self._run_guided(x_t, t)
            else:
                output, variance_output = self.model.run_network(x_t, t, self.label)
        parameterisation = self.model.parameterisation
        seen = parameterisation.read(self.schedule, output, x_t, t, self.clip)
        return seen._replace(variance_output=variance_output)

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """With the reverse variance of the model."""
        return self.model.reverse_given(prediction, x_t, t, s)

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        """Ln p(x_0 | x_1, label) in nats, (B,): as the parameterisation has it."""
        t = filled_like(x_1, 1)
        seen = self(x_1, t)
        mean, log_variance = self.reverse_given(seen, x_1, t)
        return self.model.parameterisation.decoder_log_prob(x0, seen, mean, log_variance)

    def rows(self, start: int, stop: int) -> "ModelDenoiser":
        """With the labels start..stop - 1 alone."""
        label = None if self.label is None else self.label[start:stop]
        return dataclasses.replace(self, label=label)

    def unclipped(self) -> "ModelDenoiser":
        """Without clipping."""
        return dataclasses.replace(self, clip=False)

    def _run_guided(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        assert self.label is not None  # the model asked for one
        untold = torch.full_like(self.label, self.model.num_classes)
        outputs, variance_outputs = self.model.run_network(
            torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([self.label, untold])
        )
        output, output_untold = outputs.chunk(2)
        output = output + self.guidance * (output - output_untold)
        return output, None if variance_outputs is None else variance_outputs[: len(x_t)]


def meaning_of(
    parameterisation: str | Parameterisation,
    reverse_variance: str | ReverseVariance | None,
    min_snr: float | None,
) -> tuple[Parameterisation, ReverseVariance]:
    """The objects that words stand for. Raises ValueError for what does not go together."""
    meaning = choose("parameterisation", parameterisation, PARAMETERISATIONS)
    variance = choose(
        "reverse_variance", reverse_variance or meaning.usual_variance, REVERSE_VARIANCES
    )
    if meaning.gives_distribution != variance.needs_distribution:
        raise ValueError(
            f'parameterisation = "{meaning.name}" with reverse_variance = "{variance.name}": a '
            f"distribution of x_0 goes with a variance that is matched to it, and a guess with one "
            f"that is not"
        )
    if min_snr is not None:
        if not 0 < min_snr < math.inf:
            raise ValueError(f"min_snr = {min_snr}: it must be greater than 0, and finite")
        if meaning.gives_distribution:
            raise ValueError(
                f'min_snr = {min_snr} weighs a squared error, and "{meaning.name}" has none'
            )
    return meaning, variance


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off for one call; whoever trains the model finds it in training mode again."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
