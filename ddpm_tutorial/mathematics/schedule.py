"""Noise schedules: how much of the data is left at each step t = 0..T."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = [
    "HIGHEST_NOISE",
    "SCHEDULES",
    "NoiseSchedule",
    "check_pairs",
    "timestep_pairs",
]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The tables of a forward process, float64, of length T + 1, indexed by t itself.

    t = 0 is the data: `beta[0] = 0`, `alpha_bar[0] = 1`, `snr[0] = inf`. Build one with
    `linear`, `cosine`, `sigmoid`, `log_snr` or `straight`, or from any `beta` (T + 1,) with
    `beta[0] = 0` and `beta[1:]` strictly between 0 and 1; anything else raises ValueError, and so
    does a schedule that leaves too little of the data for a float32 to hold.
    """

    beta: Tensor
    alpha: Tensor = field(init=False)
    alpha_bar: Tensor = field(init=False)
    snr: Tensor = field(init=False)
    _alpha_bar_on: dict[torch.device, Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        beta = torch.as_tensor(self.beta, dtype=torch.float64)
        if beta.ndim != 1 or len(beta) < 2:
            raise ValueError(
                f"beta has shape {tuple(beta.shape)}: give T + 1 values, for t = 0..T with T >= 1"
            )
        if beta[0] != 0 or not bool(((beta[1:] > 0) & (beta[1:] < 1)).all()):
            raise ValueError(
                f"beta[0] = {beta[0]:g} and beta[1:] runs from {beta[1:].min():g} to "
                f"{beta[1:].max():g}: beta[0] must be 0 (t = 0 is the data) and the others must "
                f"lie strictly between 0 and 1"
            )
        tables = {"beta": beta, "alpha": 1 - beta}
        if bool((tables["alpha"][1:] == 1).any()):
            raise ValueError(
                f"beta is as small as {beta[1:].min():g}: 1 - beta rounds to 1, and such a step "
                f"would add no noise; every beta must be at least 2e-16"
            )
        tables["alpha_bar"] = torch.cumprod(tables["alpha"], dim=0)
        lost = tables["alpha_bar"].sqrt() < torch.finfo(torch.float32).tiny
        if bool(lost.any()):
            raise ValueError(
                f"alpha_bar[{int(lost.nonzero()[0])}] = "
                f"{tables['alpha_bar'][lost][0]:g}, and T = {len(beta) - 1}: so little of the data "
                f"is left that its share sqrt(alpha_bar) is 0 in float32, by which samplers divide;"
                f" use smaller values of beta, or fewer steps"
            )
        tables["snr"] = tables["alpha_bar"] / (1 - tables["alpha_bar"])
        for name, table in tables.items():
            object.__setattr__(self, name, table)

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.beta) - 1

    @classmethod
    def linear(cls, T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> "NoiseSchedule":
        """beta_t rises linearly from beta_1 to beta_T. Source: Ho et al. (2020), section 4.

        The end points are meant for T = 1000. With T = 100 they leave alpha_bar_T = 0.364:
        look at `alpha_bar[T]` before you change T.
        """
        _check_number_of_steps(T)
        if not 0 < beta_1 <= beta_T < 1:
            raise ValueError(
                f"beta_1 = {beta_1}, beta_T = {beta_T}: they must satisfy 0 < beta_1 <= beta_T < 1"
            )
        return cls._from_steps(torch.linspace(beta_1, beta_T, T, dtype=torch.float64))

    @classmethod
    def cosine(cls, T: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> "NoiseSchedule":
        """alpha_bar follows a squared cosine. Source: Nichol and Dhariwal (2021), equation 17.

        beta is clipped to beta_max < 1, since the cosine reaches 0 at t = T; alpha_bar is then
        computed again from the clipped beta.
        """
        if s < 0:
            raise ValueError(f"s = {s}: the offset must be 0 or more")

        def signal(u: float) -> float:
            return math.cos((u + s) / (1 + s) * math.pi / 2) ** 2

        return cls._from_signal(T, signal, beta_max)

    @classmethod
    def sigmoid(cls, T: int = 1000) -> "NoiseSchedule":
        """alpha_bar falls along a sigmoid from -3 to 3, scaled to run from 1 to 0.

        Source: Jabri et al. (2023), section on noise schedules, with temperature 1. beta is
        clipped to 0.999, as for the cosine.
        """

        def signal(u: float) -> float:
            # sigmoid(3) - sigmoid(6 u - 3), up to a factor that the ratio of neighbours cancels.
            return math.tanh(1.5) - math.tanh(3 * u - 1.5)

        return cls._from_signal(T, signal, beta_max=0.999)

    @classmethod
    def log_snr(
        cls, T: int = 1000, log_snr_1: float = 7.0, log_snr_T: float = -7.0
    ) -> "NoiseSchedule":
        """ln(snr_t) falls linearly from log_snr_1 at t = 1 to log_snr_T at t = T.

        The terms of the bound are then of like size, so a network trained on a t drawn uniformly
        sees little noise in their sum. At log_snr_1 = 7 the noise is 3.9 grey levels. Needs T >= 2.
        Source: Kingma et al. (2021), where it is one of the noise schedules compared.
        """
        if T < 2:
            raise ValueError(f"T = {T}: from log_snr_1 to log_snr_T takes at least 2 steps")
        if not -math.inf < log_snr_T < log_snr_1 < math.inf:
            raise ValueError(
                f"log_snr_1 = {log_snr_1}, log_snr_T = {log_snr_T}: the first must be the larger, "
                f"and both finite"
            )
        signal = torch.linspace(log_snr_1, log_snr_T, T, dtype=torch.float64).sigmoid()
        before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
        return cls._from_steps(1 - signal / before)

    @classmethod
    def straight(cls, T: int = 1000) -> "NoiseSchedule":
        """The schedule of flow matching: (1 - u) x_0 + u eps with u = t / T, up to a factor.

        That path has the signal-to-noise ratio ((1 - u) / u)^2; divided by the root of
        (1 - u)^2 + u^2 its variances add up to 1, as those of a chain do. It ends in pure noise, so
        beta is clipped to 0.999, as for the cosine. Source: Liu et al. (2023), equation 1; Lipman
        et al. (2023), section 4.1, example II, with sigma_min = 0.
        """

        def signal(u: float) -> float:
            return (1 - u) ** 2 / ((1 - u) ** 2 + u**2)

        return cls._from_signal(T, signal, beta_max=0.999)

    def shifted(self, factor: float) -> "NoiseSchedule":
        """The schedule whose signal-to-noise ratio is that of this one divided by factor^2.

        For images `factor` times as large on each side: averaged back to the old size, they then
        carry as much noise at each t as this schedule gives. Raises ValueError unless factor > 0.
        Source: Hoogeboom et al. (2023), section 3.1.
        """
        if not 0 < factor < math.inf:
            raise ValueError(f"factor = {factor}: it must be greater than 0, and finite")
        # 1 - alpha_bar'[t] / alpha_bar'[t - 1], with no difference of two numbers near 1.
        beta = factor**2 * self.beta / (self.alpha_bar + factor**2 * (1 - self.alpha_bar))
        return self._from_steps(beta[1:])

    @classmethod
    def _from_signal(
        cls, T: int, signal: Callable[[float], float], beta_max: float
    ) -> "NoiseSchedule":
        """From alpha_bar as a function of u = t / T, up to a constant factor."""
        _check_number_of_steps(T)
        if not 0 < beta_max < 1:
            raise ValueError(
                f"beta_max = {beta_max}: it must lie strictly between 0 and 1, "
                f"or alpha_bar reaches 0 and later divisions fail"
            )
        levels = [signal(t / T) for t in range(T + 1)]
        beta = [min(1 - levels[t] / levels[t - 1], beta_max) for t in range(1, T + 1)]
        return cls._from_steps(torch.tensor(beta, dtype=torch.float64))

    @classmethod
    def _from_steps(cls, beta: Tensor) -> "NoiseSchedule":
        """From beta_1..beta_T: puts beta_0 = 0 in front."""
        return cls(torch.cat([torch.zeros(1, dtype=torch.float64), beta]))

    def alpha_bar_at(self, t: Tensor) -> Tensor:
        """alpha_bar at each entry of t (any shape, int64, 0..T), in float64.

        The table is copied to a device once. MPS has no float64: there the look-up happens on
        the CPU, and the few numbers are moved after they have been turned into coefficients.
        Raises ValueError for a t outside 0..T; on a GPU, where that would stall it, t > T fails
        in the look-up itself.
        """
        if t.device.type == "cpu" and bool(((t < 0) | (t > self.T)).any()):
            raise ValueError(
                f"t must lie in 0..{self.T}, got values from {int(t.min())} to {int(t.max())}"
            )
        device = torch.device("cpu") if t.device.type == "mps" else t.device
        if device not in self._alpha_bar_on:
            self._alpha_bar_on[device] = self.alpha_bar.to(device)
        return self._alpha_bar_on[device][t.to(device)]


#: The schedules by their words; each is called with T.
SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {
    "linear": NoiseSchedule.linear,
    "cosine": NoiseSchedule.cosine,
    "sigmoid": NoiseSchedule.sigmoid,
    "log-snr": NoiseSchedule.log_snr,
    "straight": NoiseSchedule.straight,
}

#: Spacings of steps by noise level start no higher than this: at 80 the data is drowned already,
#: and a schedule that is clipped may end far beyond. Source: Karras et al. (2022), table 1.
HIGHEST_NOISE = 80.0


def _check_number_of_steps(T: int) -> None:
    if T < 1:
        raise ValueError(f"T = {T}: a schedule needs at least 1 step")


def timestep_pairs(
    over: int | NoiseSchedule, steps: int | None = None, spacing: str = "trailing"
) -> list[tuple[int, int]]:
    """The pairs (t, s), s < t, that a sampler walks: from (T, .) down to (., 0).

    `over` is T, or the schedule itself. `steps` is the number of pairs, 1..T; None means all T.
    `spacing` is "trailing" (even strides, counted back from T; Lin et al., 2024, table 2) or
    "quadratic" (strides that shrink towards t = 0; Song et al., 2021, appendix D.2). Two go by the
    noise level sqrt((1 - alpha_bar) / alpha_bar) of data at full strength, from where t = T stands
    for no more than 80 down to that of t = 1, and then to 0: "log-snr" (even in its logarithm; Lu
    et al., 2022, DPM-Solver, section 3.4) and "karras" (even in its seventh root; Karras et al.,
    2022, equation 5); they need the schedule. None ever skips T or 0. Raises ValueError otherwise.
    """
    schedule = over if isinstance(over, NoiseSchedule) else None
    T = over.T if isinstance(over, NoiseSchedule) else over
    _check_number_of_steps(T)
    steps = T if steps is None else steps
    if not 1 <= steps <= T:
        raise ValueError(f"steps = {steps}: choose between 1 and T = {T}")
    if spacing == "trailing":
        times = [round(T * k / steps) for k in range(steps, -1, -1)]
    elif spacing == "quadratic":
        # max(., k) keeps neighbours apart near 0, where the squares lie closer than 1.
        times = [max(math.floor(T * (k / steps) ** 2 + 0.5), k) for k in range(steps, -1, -1)]
    elif spacing in _EVEN_IN:
        if schedule is None:
            raise ValueError(
                f'spacing = "{spacing}" goes by noise levels: give the schedule, not T = {T}'
            )
        times = _times_by_noise(schedule, steps, *_EVEN_IN[spacing])
    else:
        raise ValueError(
            f'spacing = "{spacing}": choose one of trailing, quadratic, {", ".join(_EVEN_IN)}'
        )
    return list(itertools.pairwise(times))


# Spacings by noise level: the function of it in which steps are even, and its inverse.
_EVEN_IN: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "log-snr": (torch.log, torch.exp),
    "karras": (lambda level: level ** (1 / 7), lambda root: root**7),
}


def _times_by_noise(
    schedule: NoiseSchedule,
    steps: int,
    to_even: Callable[[Tensor], Tensor],
    from_even: Callable[[Tensor], Tensor],
) -> list[int]:
    """T, ..., 0: the times whose noise levels are nearest to `steps` levels in an even row."""
    noise = schedule.snr[1:].rsqrt()
    low, high = to_even(noise[0]), to_even(noise[-1].clamp(max=HIGHEST_NOISE))
    wanted = from_even(torch.linspace(float(low), float(high), steps, dtype=torch.float64))
    nearest = 1 + (noise.log()[None] - wanted.log()[:, None]).abs().argmin(1)
    times = [schedule.T]
    for k in range(steps - 1, 0, -1):
        # One t for each step, and k of them left below: levels may lie closer than the table's.
        times.append(max(min(int(nearest[k - 1]), times[-1] - 1), k))
    return [*times, 0]


def check_pairs(T: int, pairs: Sequence[tuple[int, int]]) -> None:
    """Raise ValueError unless the pairs (t, s) lead down from T to 0, each on from the last."""
    if any(not hasattr(pair, "__len__") or len(pair) != 2 for pair in pairs):
        raise ValueError(f"pairs = {pairs}: give pairs (t, s), see timestep_pairs")
    starts, ends = [t for t, _ in pairs], [s for _, s in pairs]
    if [*starts, 0] != [T, *ends] or any(s >= t for t, s in pairs):
        raise ValueError(
            f"pairs = {pairs}: they must lead down from (T, .) to (., 0) with T = {T}, each on "
            f"from where the one before it ended; see timestep_pairs"
        )
