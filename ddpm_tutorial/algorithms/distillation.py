"""Distillation: a student learns to do in one step what its teacher does in two."""

import copy

import torch
from torch import Tensor, nn

from ddpm_tutorial.errors import check_whole
from ddpm_tutorial.mathematics.forward import eps_from_x0, q_sample, x0_of_step
from ddpm_tutorial.mathematics.schedule import timestep_pairs
from ddpm_tutorial.models.ddpm import DDPM
from ddpm_tutorial.models.denoiser import Denoiser
from ddpm_tutorial.models.network import Network
from ddpm_tutorial.models.parameterisation import Drawn, LossTerms

__all__ = [
    "Distillation",
    "two_steps",
]


class Distillation(nn.Module):
    """A teacher, and a student that begins as its copy and is to take `steps` steps of DDIM.

    The teacher takes twice as many. `train` trains the student as it trains a `DDPM`, and
    `record.ema.student` is the one to sample from, to save, and to teach the next student. It
    draws well with sample(student, n, "ddim", steps), and with no other number of steps.

    Raises ValueError unless steps lies in 1..T/2, or for a teacher that learned its variance or
    predicts levels.
    Source: Salimans and Ho (2022), Algorithm 2.
    """

    times: Tensor

    def __init__(self, teacher: DDPM, steps: int) -> None:
        super().__init__()
        T = teacher.schedule.T
        if not 1 <= check_whole("steps", steps) <= T // 2:
            raise ValueError(
                f"steps = {steps}: choose 1..{T // 2}, for the teacher takes two steps of its "
                f"{T} for each of the student's"
            )
        if teacher.reverse_variance.learned or teacher.parameterisation.gives_distribution:
            raise ValueError(
                f'the teacher predicts "{teacher.parameterisation.name}" with the reverse variance '
                f'"{teacher.reverse_variance.name}": a student learns a guess alone, so take a '
                f"teacher that makes one and has a variance that is not learned"
            )
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.student = copy.deepcopy(teacher).requires_grad_(True)
        self.schedule, self.shape = teacher.schedule, teacher.shape
        self.num_classes = teacher.num_classes
        pairs = timestep_pairs(T, 2 * steps)
        self.register_buffer("times", torch.tensor([0, *(t for t, _ in reversed(pairs))]))

    @property
    def network(self) -> Network:
        """The student's: the one that is trained."""
        return self.student.network

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> LossTerms:
        """The loss of Algorithm 1, with the x_0 that stands for two steps of the teacher.

        Shapes: x0 and eps (B, ...), t and label int64 (B,), t in 1..T, from which it goes up to the
        nearest step that the student will stand on.
        """
        schedule = self.schedule
        t, middle, s = self.strides(t)
        x_t = q_sample(schedule, x0, t, eps)
        with torch.no_grad():
            target = self.target(x_t, t, middle, s, label)
        drawn = Drawn(schedule, target, t, eps_from_x0(schedule, x_t, t, target), x_t)
        output, _ = self.student.run_network(x_t, t, label)
        return self.student.parameterisation.loss(drawn, output, self.student.min_snr, None)

    def target(
        self, x_t: Tensor, t: Tensor, middle: Tensor, s: Tensor, label: Tensor | None
    ) -> Tensor:
        """The x_0 (B, ...) with which the student arrives where the teacher does."""
        x_s = two_steps(self.teacher.denoiser(label), x_t, t, middle, s)
        return x0_of_step(self.schedule, x_t, t, x_s, s)

    def strides(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The student's step that holds t: its start, its middle and its end, int64 (B,)."""
        step = torch.bucketize(t, self.times[2::2].contiguous())
        return self.times[2 * step + 2], self.times[2 * step + 1], self.times[2 * step]


def two_steps(denoiser: Denoiser, x_t: Tensor, t: Tensor, middle: Tensor, s: Tensor) -> Tensor:
    """x_s, two steps of DDIM from x_t: from t to `middle`, and on to s. All int64 (B,)."""
    seen = denoiser(x_t, t)
    x_middle = q_sample(denoiser.schedule, seen.x0_hat, middle, seen.eps_hat)
    seen = denoiser(x_middle, middle)
    return q_sample(denoiser.schedule, seen.x0_hat, s, seen.eps_hat)
