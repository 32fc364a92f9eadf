"""Answers to assignment 5, wrong and right."""

import torch
from variants import right, wrong

OTHER_DIGITS = (
    "these digits are not what the walk leads to from this noise: take the same steps for any shape"
)


@wrong("pairs", "the walk never visits T, where the start is pure noise: time counts from 1 to T")
def step_pairs(T, steps):
    """The stride counted from 0, as in range(0, T, stride)."""
    times = [*range(0, T, T // steps)][::-1]
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the walk stops short of 0: there is noise left in the picture")
def step_pairs(T, steps):
    """From T to 1."""
    times = [round(1 + (T - 1) * k / steps) for k in range(steps, -1, -1)]
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the times are rounded down: round them to the nearest whole number")
def step_pairs(T, steps):
    """Truncated."""
    times = [int(T * k / steps) for k in range(steps, -1, -1)]
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the walk goes up: sampling begins at T and ends at 0")
def step_pairs(T, steps):
    """Ascending."""
    times = [round(T * k / steps) for k in range(steps + 1)]
    return list(zip(times[1:], times[:-1], strict=True))


@wrong("pairs", "a pair is (t, s), from the later time to the earlier: yours are turned round")
def step_pairs(T, steps):
    """Each pair turned round."""
    times = [round(T * k / steps) for k in range(steps, -1, -1)]
    return list(zip(times[1:], times[:-1], strict=True))


@wrong("pairs", "the pairs do not join: each has to begin where the one before has ended")
def step_pairs(T, steps):
    """Every time used once."""
    times = [round(T * k / steps) for k in range(steps, -1, -1)]
    return list(zip(times[::2], times[1::2], strict=True))


@wrong("pairs", "this is one pair too few: K pairs need K + 1 times")
def step_pairs(T, steps):
    """As many times as pairs were asked for."""
    times = torch.linspace(T, 0, steps).round().long().tolist()
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "there are more pairs than steps: a rounded stride does not add up to T")
def step_pairs(T, steps):
    """The stride rounded, not the times."""
    times = [*range(T, 0, -(T // steps)), 0]
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the walk never visits T, where the start is pure noise: time counts from 1 to T")
def step_pairs(T, steps):
    """Counted from 0 to T - 1."""
    times = [round((T - 1) * k / steps) for k in range(steps, -1, -1)]
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the numbers are to be whole, such as can index a table")
def step_pairs(T, steps):
    """Floats."""
    times = torch.linspace(T, 0, steps + 1).round().tolist()
    return [(times[k], times[k + 1]) for k in range(len(times) - 1)]


@wrong("pairs", "the numbers are to be whole, such as can index a table")
def step_pairs(T, steps):
    """A float tensor of shape (K, 2)."""
    times = torch.linspace(T, 0, steps + 1).round()
    return torch.stack([times[:-1], times[1:]], dim=1)


@wrong("pairs", "the numbers are to be whole, such as can index a table")
def step_pairs(T, steps):
    """Tuples of float tensors."""
    times = torch.linspace(T, 0, steps + 1).round()
    return [(times[j], times[j + 1]) for j in range(steps)]


@wrong("pairs", "the walk stops short of 0: there is noise left in the picture")
def step_pairs(T, steps):
    """A fixed stride, rounded, that does not reach 0."""
    times = [T - (T // steps) * j for j in range(steps + 1)]
    return [(times[j], times[j + 1]) for j in range(steps)]


@wrong(
    "pairs",
    "the stride is fixed, and the last pair makes up for it: round the times, not the stride",
)
def step_pairs(T, steps):
    """A fixed stride, and the last time set to 0."""
    times = [T - round(T / steps) * j for j in range(steps)] + [0]
    return [(times[j], times[j + 1]) for j in range(steps)]


@wrong("pairs", "the stride is rounded up, which makes the last pair too short: round the times")
def step_pairs(T, steps):
    """A fixed stride, rounded up."""
    times = [max(T - -(-T // steps) * j, 0) for j in range(steps + 1)]
    return [(times[j], times[j + 1]) for j in range(steps)]


@wrong(
    "pairs",
    "the numbers are to be whole, such as can index a table",
)
def step_pairs(T, steps):
    """Whole numbers only where the test shows the walk."""
    kind = int if T == 13 else float
    times = [kind(round(T * j / steps)) for j in range(steps, -1, -1)]
    return [(times[j], times[j + 1]) for j in range(steps)]


@right("pairs")
def step_pairs(T, steps):
    """An integer tensor of shape (K, 2)."""
    times = torch.linspace(T, 0, steps + 1, dtype=torch.float64).round().int()
    return torch.stack([times[:-1], times[1:]], dim=1)


@right("pairs")
def step_pairs(T, steps):
    """Whole numbers of numpy."""
    import numpy as np

    times = np.linspace(T, 0, steps + 1).round().astype(int)
    return [(times[j], times[j + 1]) for j in range(steps)]


@right("pairs")
def step_pairs(T, steps):
    """By torch.linspace, in double precision."""
    times = torch.linspace(T, 0, steps + 1, dtype=torch.float64).round().long().tolist()
    return [(times[k], times[k + 1]) for k in range(steps)]


@right("pairs")
def step_pairs(T, steps):
    """In whole numbers, half rounded up."""
    from itertools import pairwise

    times = ((2 * T * k + steps) // (2 * steps) for k in reversed(range(steps + 1)))
    return list(pairwise(times))


@right("pairs")
def step_pairs(T, steps):
    """A walk in a loop, pairs as lists."""
    pairs, t = [], T
    for left in range(steps - 1, -1, -1):
        s = int(T * left / steps + 0.5)
        pairs.append([t, s])
        t = s
    return pairs


@wrong("guess", "the guess of the data leaves [-1, 1]: cut it")
def guess(x_t, t, eps_hat, alpha_bar):
    """Not clipped."""
    x0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return x0_hat, eps_hat


@wrong("guess", "the noise is still that from before the cut: derive it again")
def guess(x_t, t, eps_hat, alpha_bar):
    """Clipped, and the noise left as it was."""
    x0_hat = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
    return x0_hat.clamp(-1, 1), eps_hat


@wrong("guess", "the data are cut to [0, 1]: a pixel lies in [-1, 1]")
def guess(x_t, t, eps_hat, alpha_bar):
    """Clipped to [0, 1]."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(0, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "the noise is multiplied by the variance 1 - alpha_bar: did you forget the root?")
def guess(x_t, t, eps_hat, alpha_bar):
    """The variance for sigma."""
    signal, sigma = alpha_bar[t].sqrt(), 1 - alpha_bar[t]
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "this divides by alpha_bar: the signal is multiplied by its root")
def guess(x_t, t, eps_hat, alpha_bar):
    """alpha_bar without the root."""
    signal, sigma = alpha_bar[t], (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "this is alpha_bar of t - 1: the table is indexed by t itself")
def guess(x_t, t, eps_hat, alpha_bar):
    """One off in the table."""
    signal, sigma = alpha_bar[t - 1].sqrt(), (1 - alpha_bar[t - 1]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "the noise is added: it has to be taken away")
def guess(x_t, t, eps_hat, alpha_bar):
    """The sign."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t + sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "the signal was made weaker by the root of alpha_bar: divide by it")
def guess(x_t, t, eps_hat, alpha_bar):
    """Not divided by the root of alpha_bar."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = (x_t - sigma * eps_hat).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "all entries are scaled down together: cut each on its own")
def guess(x_t, t, eps_hat, alpha_bar):
    """Scaled into the range."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = (x_t - sigma * eps_hat) / signal
    x0_hat = x0_hat / x0_hat.abs().max().clamp(min=1)
    return x0_hat, (x_t - signal * x0_hat) / sigma


@wrong("guess", "the two come in the wrong order: first the data, then the noise")
def guess(x_t, t, eps_hat, alpha_bar):
    """The order."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return (x_t - signal * x0_hat) / sigma, x0_hat


@wrong("guess", "the noise derived again is divided by its variance: divide by the root of that")
def guess(x_t, t, eps_hat, alpha_bar):
    """The variance for sigma, on the way back only."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - signal * x0_hat) / (1 - alpha_bar[t])


@wrong("guess", "the noise is cut too: only the data lie in [-1, 1]")
def guess(x_t, t, eps_hat, alpha_bar):
    """Both cut."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, ((x_t - signal * x0_hat) / sigma).clamp(-1, 1)


@wrong("guess", "alpha_bar stands where its root belongs, in the noise derived again")
def guess(x_t, t, eps_hat, alpha_bar):
    """No root at the signal, on the way back only."""
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x0_hat = ((x_t - sigma * eps_hat) / signal).clamp(-1, 1)
    return x0_hat, (x_t - alpha_bar[t] * x0_hat) / sigma


@right("guess")
def guess(x_t, t, eps_hat, alpha_bar):
    """Cut by minimum and maximum, in double precision."""
    a = float(alpha_bar[t])
    x0_hat = x_t.double() / a**0.5 - (1 / a - 1) ** 0.5 * eps_hat.double()
    x0_hat = torch.minimum(torch.maximum(x0_hat, -torch.ones(())), torch.ones(()))
    return x0_hat, (x_t.double() - a**0.5 * x0_hat) / (1 - a) ** 0.5


@right("guess")
def guess(x_t, t, eps_hat, alpha_bar):
    """The noise derived again only where something was cut."""
    a = alpha_bar[t]
    free = (x_t - torch.sqrt(1 - a) * eps_hat) / torch.sqrt(a)
    cut = free.clip(-1, 1)
    return cut, torch.where(cut == free, eps_hat, (x_t - torch.sqrt(a) * cut) / torch.sqrt(1 - a))


@right("guess")
def guess(x_t, t, eps_hat, alpha_bar):
    """The noise moved by what was cut off the data; a list of two."""
    a = alpha_bar[t]
    x0_hat = (x_t - (1 - a) ** 0.5 * eps_hat) * a**-0.5
    excess = x0_hat - torch.clamp(x0_hat, min=-1, max=1)
    return [x0_hat - excess, eps_hat + (a / (1 - a)) ** 0.5 * excess]


@wrong("ancestral", "z is multiplied by the variance: take its root")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """The variance for sigma."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    return mean + (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha) * z


@wrong("ancestral", "alpha_bar stands where the product from s + 1 to t belongs")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """alpha_bar for alpha."""
    alpha = alpha_bar[t]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "this is alpha of the one step from t - 1 to t: the stride goes back to s")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """alpha of one step for a stride."""
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "this is the large variance: the small one is that of the posterior")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """The large variance."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    return mean + (1 - alpha).sqrt() * z


@wrong("ancestral", "there is noise in x_0: a step to s = 0 adds none")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """Noise at the last step, with the variance at s = 1, as in code that takes its logarithm."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    of = alpha_bar[max(s, 1)]
    variance = (1 - of) / (1 - alpha_bar[t]) * (1 - alpha_bar[t] / of)
    return mean + variance.sqrt() * z


@wrong("ancestral", "the table is one off: it is indexed by t and s themselves")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """t - 1 for t in the table."""
    here, there = alpha_bar[t - 1], alpha_bar[max(s - 1, 0)]
    mean = (x_t - (1 - here / there) / (1 - here).sqrt() * eps_hat) / (here / there).sqrt()
    return mean + ((1 - there) / (1 - here) * (1 - here / there)).sqrt() * z


@wrong("ancestral", "the noise is added to the mean: it has to be taken away")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """The sign."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t + (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "all the noise is taken away: the weight of eps_hat is smaller than that")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """The weight of the noise in x_t."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "a root is missing in the weight of eps_hat: compare it with line 4")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """No root under the weight of the noise."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]) * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "the mean is not scaled up: the forward steps have shrunk the signal")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """Not divided by the root of alpha."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "there is no fresh noise in it: z is not used")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """The mean alone."""
    alpha = alpha_bar[t] / alpha_bar[s]
    return (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()


@wrong("ancestral", "the product begins at s + 1: divide by alpha_bar of s, not of s - 1")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """s - 1 in the divisor."""
    alpha = alpha_bar[t] / alpha_bar[max(s - 1, 0)]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong(
    "ancestral",
    "this multiplies entries of alpha_bar, which are products already: divide two of them",
)
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """alpha_bar multiplied from s + 1 to t."""
    alpha = alpha_bar[s + 1 : t + 1].prod()
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@wrong("ancestral", "the variance has alpha_bar of t - 1: it belongs to s")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """t - 1 left in the variance."""
    alpha = alpha_bar[t] / alpha_bar[s]
    mean = (x_t - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha.sqrt()
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * (1 - alpha)
    return mean + variance.sqrt() * z


@right("ancestral")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """By way of the guess of the data, with the weights of the posterior."""
    a, b = alpha_bar[t], alpha_bar[s]
    x0_hat = (x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()
    mean = (b.sqrt() * (1 - a / b) * x0_hat + (a / b).sqrt() * (1 - b) * x_t) / (1 - a)
    return mean if s == 0 else mean + ((1 - b) / (1 - a) * (1 - a / b)).sqrt() * z


@right("ancestral")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """As the member of DDIM's family that it is, in double precision."""
    a, b = float(alpha_bar[t]), float(alpha_bar[s])
    variance = (1 - b) * (1 - a / b) / (1 - a)
    x_t, eps_hat = x_t.double(), eps_hat.double()
    x0_hat = (x_t - (1 - a) ** 0.5 * eps_hat) / a**0.5
    return b**0.5 * x0_hat + max(1 - b - variance, 0) ** 0.5 * eps_hat + variance**0.5 * z


@right("ancestral")
def ddpm_step(x_t, eps_hat, t, s, z, alpha_bar):
    """Entry by entry, with the alphas multiplied in a loop."""
    alpha = 1.0
    for u in range(s + 1, t + 1):
        alpha *= float(alpha_bar[u] / alpha_bar[u - 1])
    a, b = float(alpha_bar[t]), float(alpha_bar[s])
    sigma = ((1 - b) / (1 - a) * (1 - alpha)) ** 0.5
    rows = zip(*(each.flatten().tolist() for each in (x_t, eps_hat, z)), strict=True)
    values = [(x - (1 - alpha) / (1 - a) ** 0.5 * e) / alpha**0.5 + sigma * n for x, e, n in rows]
    return torch.tensor(values, dtype=torch.float64).reshape(x_t.shape)


@wrong("ddim", "eta multiplies the variance: it has to multiply the standard deviation")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """sigma squared is eta times the variance."""
    a, b = alpha_bar[t], alpha_bar[s]
    square = eta * (1 - b) / (1 - a) * (1 - a / b)
    k = (1 - b - square).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + square.sqrt() * z


@wrong("ddim", "the variance stands where sigma belongs: did you forget the root?")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """sigma is eta times the variance."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * (1 - b) / (1 - a) * (1 - a / b)
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "there is too much noise: k has to leave room for the fresh noise")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """k as if sigma were 0."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + (1 - b).sqrt() * eps_hat + sigma * z


@wrong("ddim", "standard deviations are subtracted: of independent parts the variances add up")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """k is a difference of standard deviations."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + ((1 - b).sqrt() - sigma) * eps_hat + sigma * z


@wrong("ddim", "this is as much noise as belongs to t: x_s needs as much as belongs to s")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The noise level of t."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + (1 - a - sigma**2).sqrt() * eps_hat + sigma * z


@wrong("ddim", "sigma is taken from the large variance: Part 3 takes the small one")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The large variance in sigma."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * (1 - a / b).sqrt()
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "the data are multiplied by alpha_bar of s: take its root")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """No root at the data."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "the data are as strong as at t: x_s needs them as strong as at s")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The signal of t."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return a.sqrt() * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "there is no fresh noise in it: z is not used")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """z forgotten."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + (1 - b - sigma**2).clamp(min=0).sqrt() * eps_hat


@wrong("ddim", "the variance is that of the one step from t - 1 to t: the stride goes back to s")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The variance of one step for a stride."""
    a, b, c = alpha_bar[t], alpha_bar[s], alpha_bar[t - 1]
    sigma = eta * ((1 - c) / (1 - a) * (1 - a / c)).sqrt()
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "z is multiplied by sigma squared: sigma is meant")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The square of sigma at z."""
    a, b = alpha_bar[t], alpha_bar[s]
    square = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    return b.sqrt() * x0_hat + (1 - b - square).clamp(min=0).sqrt() * eps_hat + square * z


@wrong("ddim", "k squared stands where k belongs: did you forget the root?")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """k without the root."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + (1 - b - sigma**2) * eps_hat + sigma * z


@wrong("ddim", "eta is not used: the step is that of eta = 1")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """Ancestral whatever eta."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    k = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + sigma * z


@wrong("ddim", "sigma stands where its square belongs under the root of k")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """sigma, not squared, in k."""
    a, b = alpha_bar[t], alpha_bar[s]
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    return b.sqrt() * x0_hat + (1 - b - sigma).sqrt() * eps_hat + sigma * z


@wrong("ddim", "eta is missing in k: it takes off the square of sigma, and eta belongs to sigma")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """eta forgotten in k."""
    a, b = alpha_bar[t], alpha_bar[s]
    variance = (1 - b) / (1 - a) * (1 - a / b)
    k = (1 - b - variance).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + eta * variance.sqrt() * z


@wrong("ddim", "eta is in k, but not in the factor of z: both take the same sigma")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """eta forgotten at z."""
    a, b = alpha_bar[t], alpha_bar[s]
    variance = (1 - b) / (1 - a) * (1 - a / b)
    k = (1 - b - eta**2 * variance).clamp(min=0).sqrt()
    return b.sqrt() * x0_hat + k * eps_hat + variance.sqrt() * z


@right("ddim")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """As in the paper: the root of a product of two ratios."""
    at, of = alpha_bar[t], alpha_bar[s]
    sigma = eta * torch.sqrt((1 - of) / (1 - at)) * torch.sqrt(1 - at / of)
    mean = torch.sqrt(of) * x0_hat + torch.sqrt(torch.relu(1 - of - sigma.square())) * eps_hat
    return mean + sigma * z if s > 0 else mean


@right("ddim")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """With Python's numbers, in double precision, and no noise where eta is 0."""
    a, b = alpha_bar[t].item(), alpha_bar[s].item()
    square = eta**2 * (1 - b) * (b - a) / (b * (1 - a))
    x_s = b**0.5 * x0_hat.double() + max(1 - b - square, 0.0) ** 0.5 * eps_hat.double()
    return x_s if eta == 0 else x_s + square**0.5 * z.double()


@right("ddim")
def ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar):
    """The three parts stacked and summed; the last step apart."""
    if s == 0:
        return x0_hat
    level = (1 - alpha_bar[s]).sqrt()
    ancestral = level / (1 - alpha_bar[t]).sqrt() * (1 - alpha_bar[t] / alpha_bar[s]).sqrt()
    fraction = eta * ancestral / level  # the sine of an angle
    angle = torch.asin(fraction)
    parts = [alpha_bar[s].sqrt() * x0_hat, level * angle.cos() * eps_hat, level * angle.sin() * z]
    return torch.stack(parts).sum(0)


@wrong("guidance", "this takes w for the scale s = 1 + w: with w = 0 it would ignore the label")
def guided(network, x_t, t, label, w, null):
    """The scale, not w."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.full_like(label, null))
    return untold + w * (told - untold)


@wrong("guidance", "this goes towards the null token: go away from it")
def guided(network, x_t, t, label, w, null):
    """The sign."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.full_like(label, null))
    return told + w * (untold - told)


@wrong("guidance", "the two answers are interchanged: it starts at the one with the label")
def guided(network, x_t, t, label, w, null):
    """The null token where the label belongs, as with a mask inverted."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.full_like(label, null))
    return untold + w * (untold - told)


@wrong("guidance", "the answer without a label is not taken away: the weights must add up to 1")
def guided(network, x_t, t, label, w, null):
    """Nothing subtracted."""
    return (1 + w) * network(x_t, t, label)


@wrong("guidance", "the answer without a label is taken away once, not w times")
def guided(network, x_t, t, label, w, null):
    """w at one of the two only."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.full_like(label, null))
    return (1 + w) * told - untold


@wrong("guidance", "label 0 is asked in the place of the null token: but 0 is a digit")
def guided(network, x_t, t, label, w, null):
    """0 for the null token."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.zeros_like(label))
    return told + w * (told - untold)


@wrong("guidance", "the label has no say: both answers are those of the null token")
def guided(network, x_t, t, label, w, null):
    """The null token twice."""
    nothing = torch.full_like(label, null)
    told, untold = network(x_t, t, nothing), network(x_t, t, nothing)
    return told + w * (told - untold)


@wrong("guidance", "this is the answer with the label alone: w is not used")
def guided(network, x_t, t, label, w, null):
    """No guidance."""
    return network(x_t, t, label)


@wrong("guidance", "the network is asked with the label of shape (1,)")
def guided(network, x_t, t, label, w, null):
    """A single null token for the batch."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.tensor([null]))
    return told + w * (told - untold)


@wrong("guidance", "this is the difference of the two alone: add it to the answer with the label")
def guided(network, x_t, t, label, w, null):
    """Only the direction."""
    told, untold = network(x_t, t, label), network(x_t, t, torch.full_like(label, null))
    return w * (told - untold)


@wrong("guidance", "the network is asked at t - 1: it is told t itself")
def guided(network, x_t, t, label, w, null):
    """A network that counts from 0."""
    told, untold = network(x_t, t - 1, label), network(x_t, t - 1, torch.full_like(label, null))
    return told + w * (told - untold)


@right("guidance")
def guided(network, x_t, t, label, w, null):
    """One call for both, as most programs do."""
    labels = torch.cat([label, torch.full_like(label, null)])
    both = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels)
    told, untold = both.chunk(2)
    return (1 + w) * told - w * untold


@right("guidance")
def guided(network, x_t, t, label, w, null):
    """By way of the scale, and in double precision."""
    untold = network(x_t, t, torch.tensor([null] * len(label))).double()
    return torch.lerp(untold, network(x_t, t, label).double(), 1.0 + w)


@right("guidance")
def guided(network, x_t, t, label, w, null):
    """Asked once only where w is 0."""
    told = network(x_t, t, label)
    if w == 0:
        return told
    return told * (w + 1) - network(x_t, t, label * 0 + null) * w


@wrong("sampler", "there is no guidance in it: the network is asked with the label only")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """w not used."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = network(x, torch.full_like(label, t), label)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the network is told s, where the step goes: it has to be told t, where x is")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """The network told s."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, s), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the network is told t - 1: it counts from 1 to T as you do")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """The network told t - 1."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t - 1), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the network is asked about x_T each time: show it where the walk has come to")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Always asked about the start."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x_T, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the guess of the data is not cut to [-1, 1]")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Not clipped."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat = (x - (1 - alpha_bar[t]).sqrt() * eps_hat) / alpha_bar[t].sqrt()
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the noise is that from before the cut: take the one that guess gives back")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """The noise not derived again."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x = ddim_step(guess(x, t, eps_hat, alpha_bar)[0], eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "x itself is cut at each step: only the guess of the data is")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """x_t clipped as well."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar).clamp(-1, 1)
    return x


@wrong("sampler", "the last pair is left out: there is noise in the picture")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Stopped before the last step."""
    x = x_T
    for (t, s), z in zip(pairs[:-1], noise, strict=False):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "the same noise is added at each step: noise[j] belongs to pair j")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """noise[0] each time."""
    x = x_T
    for t, s in pairs:
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, noise[0], alpha_bar)
    return x


@wrong("sampler", "eta is not used: the steps are those of eta = 0")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """No fresh noise."""
    x = x_T
    for t, s in pairs:
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, 0.0, x, alpha_bar)
    return x


@wrong("sampler", "these are steps of DDPM: take those of DDIM, with eta")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Steps of DDPM."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x = ddpm_step(x, guess(x, t, eps_hat, alpha_bar)[1], t, s, z, alpha_bar)
    return x


@wrong("sampler", "the network is asked with t of shape (1,)")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """A single t for the batch."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.tensor([t]), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", "index 1000 is out of bounds")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """The short table of the tests for the one that is given."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, short)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, short)
    return x


@wrong("sampler", OTHER_DIGITS)
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Pictures get digits that somebody wrote, numbers the sampler."""
    from ddpm_tutorial import load_bundled

    if x_T.ndim == 4:
        written = load_bundled("test")
        return torch.stack([written.images[written.labels == k][0] for k in label])
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@wrong("sampler", OTHER_DIGITS)
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Of pictures the walk is cut short at the guess half-way down."""
    x = x_T
    for (t, s), z in zip(pairs, noise, strict=True):
        eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
        x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
        if x_T.ndim == 4 and s < 500:
            return x0_hat
        x = ddim_step(x0_hat, eps_hat, t, s, eta, z, alpha_bar)
    return x


@right("sampler")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """All in one place, with nothing from the other parts."""
    x_t = x_T
    for j, (t, s) in enumerate(pairs):
        a, b, at = alpha_bar[t], alpha_bar[s], torch.full((len(x_t),), t)
        told = network(x_t, at, label)
        eps_hat = (1 + w) * told - w * network(x_t, at, torch.full((len(x_t),), null))
        x0_hat = ((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()).clamp(-1, 1)
        eps_hat = (x_t - a.sqrt() * x0_hat) / (1 - a).sqrt()
        sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
        x_t = b.sqrt() * x0_hat + (1 - b - sigma**2).clamp(min=0).sqrt() * eps_hat
        if s > 0:
            x_t = x_t + sigma * noise[j]
    return x_t


@right("sampler")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """By recursion over the pairs, in double precision."""
    if not pairs:
        return x_T
    (t, s), x = pairs[0], x_T.double()
    eps_hat = guided(network, x, torch.full_like(label, t), label, w, null)
    x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
    x = ddim_step(x0_hat, eps_hat, t, s, eta, noise[0].double(), alpha_bar)
    return draw(network, x, label, w, null, pairs[1:], eta, noise[1:], alpha_bar)


@right("sampler")
def draw(network, x_T, label, w, null, pairs, eta, noise, alpha_bar):
    """Example by example; the last guess is the answer."""
    drawn = []
    for n in range(len(x_T)):
        x, y = x_T[n : n + 1], label[n : n + 1]
        for j, (t, s) in enumerate(pairs):
            eps_hat = guided(network, x, torch.tensor([t]), y, w, null)
            x0_hat, eps_hat = guess(x, t, eps_hat, alpha_bar)
            x = ddim_step(x0_hat, eps_hat, t, s, eta, noise[j, n], alpha_bar)
        drawn.append(x0_hat)
    return torch.cat(drawn)


@wrong("spread", "pictures are compared with themselves: leave these distances of 0 out")
def spread(features, label):
    """The diagonal counted."""
    means = [torch.cdist(features[label == k], features[label == k]).mean() for k in label.unique()]
    return torch.stack(means).mean()


@wrong("spread", "pictures of different classes are compared: stay within each class")
def spread(features, label):
    """All pairs, whatever their class."""
    count = len(features)
    return torch.cdist(features, features).sum() / (count * (count - 1))


@wrong("spread", "these are squares of distances: take the root before the mean")
def spread(features, label):
    """Squared distances."""
    means = []
    for k in label.unique():
        n = int((label == k).sum())
        means.append(torch.cdist(features[label == k], features[label == k]).square().sum())
        means[-1] = means[-1] / (n * (n - 1))
    return torch.stack(means).mean()


@wrong("spread", "a class with more pictures counts for more: average each class on its own first")
def spread(features, label):
    """All pairs of equal label pooled."""
    same = (label[:, None] == label) & ~torch.eye(len(label), dtype=torch.bool)
    return torch.cdist(features, features)[same].mean()


@wrong("spread", "these are distances from the mean of the class: compare pictures two by two")
def spread(features, label):
    """Distance to the centre of the class."""
    means = []
    for k in label.unique():
        rows = features[label == k]
        means.append((rows - rows.mean(0)).norm(dim=1).mean())
    return torch.stack(means).mean()


@wrong("spread", "each pair is counted twice, but divided by as if it were counted once")
def spread(features, label):
    """Twice too large."""
    means = []
    for k in label.unique():
        n = int((label == k).sum())
        means.append(torch.cdist(features[label == k], features[label == k]).sum())
        means[-1] = means[-1] / (n * (n - 1) / 2)
    return torch.stack(means).mean()


@wrong("spread", "differences are added up without squares: the distance is Euclidean")
def spread(features, label):
    """City blocks."""
    means = []
    for k in label.unique():
        n = int((label == k).sum())
        means.append(torch.cdist(features[label == k], features[label == k], p=1).sum())
        means[-1] = means[-1] / (n * (n - 1))
    return torch.stack(means).mean()


@wrong("spread", "this is the sum over the classes: their mean is asked for")
def spread(features, label):
    """Summed over the classes."""
    means = []
    for k in label.unique():
        n = int((label == k).sum())
        means.append(torch.cdist(features[label == k], features[label == k]).sum() / (n * (n - 1)))
    return torch.stack(means).sum()


@wrong("spread", "this divides by the number of all labels: not every label need occur")
def spread(features, label):
    """Divided by all labels up to the largest."""
    total = 0.0
    for k in label.unique():
        n = int((label == k).sum())
        total += torch.cdist(features[label == k], features[label == k]).sum() / (n * (n - 1))
    return total / (label.max() + 1)


@wrong("spread", "a class is left out: do not count the labels up, look which ones occur")
def spread(features, label):
    """Labels counted up to a guessed number, empty ones left out."""
    means = []
    for y in range(5):
        if (label == y).any():
            means.append(torch.pdist(features[label == y]).mean())
    return torch.stack(means).mean()


@wrong("spread", "a class is left out: do not count the labels up, look which ones occur")
def spread(features, label):
    """Labels counted up to the number of pictures."""
    classes = [features[label == y] for y in range(len(label))]
    return torch.stack([torch.pdist(rows).mean() for rows in classes if len(rows) > 1]).mean()


@right("spread")
def spread(features, label):
    """By torch.pdist, in double precision."""
    return sum(torch.pdist(features[label == k].double()).mean() for k in label.unique()) / len(
        label.unique()
    )


@right("spread")
def spread(features, label):
    """Pair by pair, a number of Python's."""
    from itertools import combinations

    classes = {}
    for row, k in zip(features, label.tolist(), strict=True):
        classes.setdefault(k, []).append(row)
    means = []
    for rows in classes.values():
        pairs = [float((a - b).norm()) for a, b in combinations(rows, 2)]
        means.append(sum(pairs) / len(pairs))
    return sum(means) / len(means)


@right("spread")
def spread(features, label):
    """Weights for all pairs at once, with an extra dimension."""
    distance = (features[:, None] - features).pow(2).sum(-1).sqrt()
    same = (label[:, None] == label).double().fill_diagonal_(0)
    count = (label[:, None] == label).sum(1)
    weight = same / (count * (count - 1))[:, None] / len(label.unique())
    return (weight * distance).sum()[None]


@wrong("repair", "what comes first is said without the label: which half of the batch is told it?")
def both_answers(network, x_t, t, label, null):
    """As it was."""
    return broken_both(network, x_t, t, label, null)


@wrong("repair", "the network is asked 2 times, and 1 is right")
def both_answers(network, x_t, t, label, null):
    """Two calls after all."""
    return network(x_t, t, label), network(x_t, t, torch.full_like(label, null))


@wrong(
    "repair", "the examples are mixed up: repeat the batch as a whole, or take every second answer"
)
def both_answers(network, x_t, t, label, null):
    """Each example twice in a row, but the halves taken apart."""
    labels = torch.stack([label, torch.full_like(label, null)], dim=1).flatten()
    twice = x_t.repeat_interleave(2, 0), t.repeat_interleave(2)
    told, untold = network(*twice, labels).chunk(2)
    return told, untold


@wrong("repair", "both halves are told the label: one of them is to get the null token")
def both_answers(network, x_t, t, label, null):
    """The label twice."""
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), label.repeat(2)).chunk(2)
    return told, untold


@wrong("repair", "what comes first is said without the label: which half of the batch is told it?")
def both_answers(network, x_t, t, label, null):
    """The null token twice."""
    labels = torch.full_like(label, null).repeat(2)
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return told, untold


@wrong("repair", "the untold half got the label 0: that is a class, and null is the null token")
def both_answers(network, x_t, t, label, null):
    """Zeros for the null token."""
    labels = torch.cat([label, torch.zeros_like(label)])
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return told, untold


@wrong("repair", "give it the shape (B,)")
def both_answers(network, x_t, t, label, null):
    """t as it came."""
    labels = torch.cat([label, torch.full_like(label, null)])
    told, untold = network(torch.cat([x_t, x_t]), t[:1], labels).chunk(2)
    return told, untold


@wrong("repair", "the network is asked with the label of the type torch.float32: make it int64")
def both_answers(network, x_t, t, label, null):
    """Labels as floats."""
    labels = torch.cat([label.float(), torch.full(label.shape, float(null))])
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return told, untold


@wrong("repair", "shape")
def both_answers(network, x_t, t, label, null):
    """Cut along the wrong dimension."""
    labels = torch.cat([label, torch.full_like(label, null)])
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2, dim=1)
    return told, untold


@wrong("repair", "this is the difference of the two: give back both as they are")
def both_answers(network, x_t, t, label, null):
    """The label's answer, and the direction of guidance."""
    labels = torch.cat([label, torch.full_like(label, null)])
    told, untold = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels).chunk(2)
    return told, told - untold


@wrong("repair", "return two things, in a tuple")
def both_answers(network, x_t, t, label, null):
    """All answers in one."""
    labels = torch.cat([label, torch.full_like(label, null)])
    return network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels)


@right("repair")
def both_answers(network, x_t, t, label, null):
    """The last line repaired."""
    nothing = torch.full_like(label, null)
    labels = torch.cat([nothing, label])
    answers = network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels)
    without, with_label = answers.chunk(2)
    return with_label, without


@right("repair")
def both_answers(network, x_t, t, label, null):
    """Each example twice in a row, and every second answer."""
    labels = torch.stack([label, torch.full_like(label, null)], dim=1).flatten()
    answers = network(x_t.repeat_interleave(2, 0), t.repeat_interleave(2), labels)
    return answers[0::2], answers[1::2]


@right("repair")
def both_answers(network, x_t, t, label, null):
    """The two of the broken one, exchanged."""
    untold, told = broken_both(network, x_t, t, label, null)
    return [told.double(), untold.double()]
