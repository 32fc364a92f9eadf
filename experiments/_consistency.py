"""A consistency model: trained along its teacher's path, sampled by jumps to its end."""

import torch
from torch import Tensor

from ddpm_tutorial import DDPM, Distillation, filled_like, q_sample, timestep_pairs


class Consistency(Distillation):
    """A student that is to see, from everywhere on a path of its teacher, where the path ends.

    What it is taught is what it sees itself, one step of the teacher later; at the end, what the
    teacher sees. Source: Song et al. (2023), Algorithm 2, with the student as its own target.
    """

    def target(
        self, x_t: Tensor, t: Tensor, middle: Tensor, s: Tensor, label: Tensor | None
    ) -> Tensor:
        """The x_0 (B, ...) that the student sees at the end of the teacher's step from t to s."""
        seen = self.teacher.denoiser(label)(x_t, t)
        x_s = q_sample(self.schedule, seen.x0_hat, s, seen.eps_hat)
        later = self.student.denoiser(label)(x_s, s.clamp(min=1)).x0_hat
        return torch.where((s == 0).view(-1, 1, 1, 1), seen.x0_hat, later)


@torch.no_grad()
def jumped(model: DDPM, x_T: Tensor, label: Tensor, steps: int, start: int) -> Tensor:
    """What a consistency model draws. Source: Song et al. (2023), Algorithm 1."""
    generator = torch.Generator().manual_seed(2000 + start)
    ends = []
    for x, told in zip(x_T.split(250), label.split(250), strict=True):
        for t, s in timestep_pairs(model.schedule.T, steps):
            x0 = model.denoiser(told)(x, filled_like(x, t)).x0_hat
            noise = torch.randn(x.shape, generator=generator)
            x = q_sample(model.schedule, x0, filled_like(x, s), noise)  # at s = 0 it adds none
        ends.append(x.float())
    return torch.cat(ends)
