"""Answers to assignment 4, wrong and right."""

import math

import torch
from variants import answer_to, right, slip, wrong

LEARNED_NOTHING = (
    "nothing was learned. Does the optimiser take its steps? Do you return the average"
)
MUCH_WORSE = "training makes it much worse. Does the optimiser go down?"
WORSE = "training makes it worse. Are the gradients of earlier batches cleared before each step?"
GREY = "but pictures in [0, 1] have got better: train on the images as they are"
SLOW = "that is slow. Does the average start warm? Is t drawn from all of 1..T?"
CALLED = "update was called with k"
UNLOADED = "the network that you return does not have the weights that update returned"
OWN = "has each picture a t and a noise of its own? Is the optimiser made once"
ANEW = "are the pictures, the t and the noise drawn anew in every step?"


@wrong("features", "the angles are taken for degrees: they are radians")
def step_features(t, width):
    """Degrees."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = torch.deg2rad(t[:, None] * speeds)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "there is a factor of 2 pi too much: the angle is speed times t")
def step_features(t, width):
    """Turns for radians."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = 2 * math.pi * t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "t is divided by a number before the angle is taken: use it as it is")
def step_features(t, width):
    """t scaled by 1000."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = (t / 1000)[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "both halves are sines: the first has to be cosines")
def step_features(t, width):
    """Sines only."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = t[:, None] * speeds
    return torch.cat([angles.sin(), angles.sin()], dim=1)


@wrong("features", "the halves are interchanged: cosines come first, then sines")
def step_features(t, width):
    """Sines first."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = t[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@wrong("features", "cosines and sines alternate: first all cosines are asked for, then all sines")
def step_features(t, width):
    """Interleaved."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = t[:, None] * speeds
    return torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)


@wrong("features", "the speeds fall by e at a time: the base is 10000")
def step_features(t, width):
    """Another base."""
    angles = t[:, None] * torch.exp(-torch.arange(width // 2) / (width // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong(
    "features", "the slowest clock has the speed 1/10000: the exponent is -i / K, not -i / (K - 1)"
)
def step_features(t, width):
    """Both ends of the scale included."""
    speeds = torch.logspace(0, -4, width // 2)
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "the exponent is divided by the width: divide it by K, half of that")
def step_features(t, width):
    """i / W in the exponent."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / width)
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "the speeds grow instead of falling: look at the sign of the exponent")
def step_features(t, width):
    """The sign of the exponent."""
    speeds = 10_000.0 ** (torch.arange(width // 2) / (width // 2))
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "all clocks have the speed 1: was i / K divided as whole numbers?")
def step_features(t, width):
    """Integer division."""
    speeds = 10_000.0 ** (-(torch.arange(width // 2) // (width // 2)))
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "the angles are cut to whole numbers: leave them floats")
def step_features(t, width):
    """Angles in the type of t."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = (t[:, None] * speeds).to(t.dtype)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@wrong("features", "rows and columns are interchanged: there is one row for each picture")
def step_features(t, width):
    """Features down, pictures across."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = speeds[:, None] * t
    return torch.cat([angles.cos(), angles.sin()], dim=0)


@wrong("features", "both halves are cosines: the second has to be sines")
def step_features(t, width):
    """Cosines only."""
    speeds = 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.cos()], dim=1)


@wrong("features", "i is counted from 1: it starts at 0, with the speed 1")
def step_features(t, width):
    """i from 1 to K."""
    speeds = 10_000.0 ** (-torch.arange(1, width // 2 + 1) / (width // 2))
    angles = t[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@right("features")
def step_features(t, width):
    """The exponential of logarithms, by an outer product."""
    half = width // 2
    speeds = torch.exp(-math.log(10_000) * torch.arange(half).float() / half)
    angles = torch.outer(t.float(), speeds)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


@right("features")
def step_features(t, width):
    """In a loop, with Python's numbers."""
    rows = []
    for step in t.tolist():
        angles = [step / 10_000 ** (2 * i / width) for i in range(width // 2)]
        rows.append([math.cos(angle) for angle in angles] + [math.sin(angle) for angle in angles])
    return torch.tensor(rows)


@right("features")
def step_features(t, width):
    """In double precision, a sine shifted by a quarter turn, with an extra dimension."""
    i = torch.arange(width, dtype=torch.float64)
    half = width // 2
    angles = t.double()[:, None, None] / 10_000 ** (i % half / half)
    return torch.sin(angles + math.pi / 2 * (i < half))


@wrong("times", "the steps run from 0 to T - 1: they have to run from 1 to T")
def draw_t(u, T):
    """0..T-1."""
    return (u * T).long()


@wrong("times", "the step T is never drawn: there are T pieces, not T - 1")
def draw_t(u, T):
    """T never."""
    return (u * (T - 1)).long() + 1


@wrong("times", "the steps are rounded: the two ends come out half as often as the others")
def draw_t(u, T):
    """Rounded, so that the ends are half as likely."""
    return (u * (T - 1)).round().long() + 1


@wrong("times", "the steps run from 0 to T, and 0 comes out half as often: cut off, do not round")
def draw_t(u, T):
    """Rounded to 0..T."""
    return (u * T).round().long()


@wrong("times", "the steps run from 0 to T: t = 0 is the data, and nothing is to be learned there")
def draw_t(u, T):
    """0..T."""
    return (u * (T + 1)).long()


@wrong("times", "the steps run from 1 to T + 1: the table ends at T")
def draw_t(u, T):
    """1..T+1."""
    return (u * (T + 1)).long() + 1


@wrong("times", "a u on the border of two pieces belongs to the upper one, and u = 0 to t = 1")
def draw_t(u, T):
    """Rounded up: u = 0 gives 0."""
    return (u * T).ceil().long()


@wrong("times", "the answer is to have the type torch.int64, and has torch.float32")
def draw_t(u, T):
    """Whole numbers of a floating type."""
    return (u * T).floor() + 1


@wrong("times", "all have the same step: make one of each u")
def draw_t(u, T):
    """One step for the whole batch."""
    return torch.full(u.shape, int(u[0] * T) + 1)


@wrong("times", "u is cut off before it is multiplied: all steps are 1")
def draw_t(u, T):
    """The whole number taken too early."""
    return u.long() * T + 1


@wrong("times", "of 8 steps, 0.5 is the fifth")
def draw_t(u, T):
    """Rounded up, with 0 mended."""
    return (u * T).ceil().clamp(min=1).long()


@wrong("times", "the steps are rounded, and run to T + 1, where the table has ended")
def draw_t(u, T):
    """Rounded to 1..T+1."""
    return (u * T).round().long() + 1


@wrong("times", "the steps are rounded and then cut to 1..T: 1 comes out too often")
def draw_t(u, T):
    """Rounded, with 0 mended."""
    return (u * T).round().long().clamp(1, T)


@right("times")
def draw_t(u, T):
    """How often the length of a piece goes into u."""
    return (u.double() // (1 / T)).long() + 1


@right("times")
def draw_t(u, T):
    """In a loop."""
    return torch.tensor([math.floor(T * each) + 1 for each in u.tolist()])


@right("times")
def draw_t(u, T):
    """By a search among the borders."""
    return torch.searchsorted(torch.arange(T) / T, u, right=True)


@right("times")
def draw_t(u, T):
    """Rounded down, and clamped for safety."""
    return torch.clamp(1 + torch.floor(T * u).long(), 1, T)


@wrong("times", "the answer is to have the type torch.int64, and has torch.int32")
def draw_t(u, T):
    """Whole numbers of another type."""
    return (u * T).int() + 1


@wrong("loss", "the network's answer is compared with the picture: compare it with the noise")
def training_loss(network, x0, t, eps, alpha_bar):
    """x0 as the target."""
    signal, sigma = (a.sqrt().reshape(-1, 1, 1, 1) for a in (alpha_bar[t], 1 - alpha_bar[t]))
    return (x0 - network(signal * x0 + sigma * eps, t)).square().mean()


@wrong("loss", "the errors are not squared: those of opposite sign cancel")
def training_loss(network, x0, t, eps, alpha_bar):
    """Signed errors."""
    signal, sigma = (a.sqrt().reshape(-1, 1, 1, 1) for a in (alpha_bar[t], 1 - alpha_bar[t]))
    return (eps - network(signal * x0 + sigma * eps, t)).mean()


@wrong("loss", "the noise is multiplied by 1 - alpha_bar: that is its variance, take the root")
def training_loss(network, x0, t, eps, alpha_bar):
    """The variance for sigma."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a) * eps, t)).square().mean()


@wrong("loss", "the picture is multiplied by alpha_bar: take the root")
def training_loss(network, x0, t, eps, alpha_bar):
    """No root at the signal."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a * x0 + (1 - a).sqrt() * eps, t)).square().mean()


@wrong("loss", "the network is told t - 1: tell it t, and it will be used with t")
def training_loss(network, x0, t, eps, alpha_bar):
    """t - 1 to the network."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t - 1)).square().mean()


@wrong("loss", "the table is read at t - 1: it is indexed by t itself")
def training_loss(network, x0, t, eps, alpha_bar):
    """t - 1 in the table."""
    a = alpha_bar[t - 1].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean()


@wrong("loss", "this is the mean of the absolute errors: square them")
def training_loss(network, x0, t, eps, alpha_bar):
    """The absolute value for the square."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).abs().mean()


@wrong("loss", "there is no noise in what the network sees")
def training_loss(network, x0, t, eps, alpha_bar):
    """The noise forgotten."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0, t)).square().mean()


@wrong("loss", "the network sees the clean picture: show it the noisy one")
def training_loss(network, x0, t, eps, alpha_bar):
    """x0 to the network."""
    return (eps - network(x0, t)).square().mean()


@wrong("loss", "this is the sum over all entries: the mean is asked for")
def training_loss(network, x0, t, eps, alpha_bar):
    """The sum."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().sum()


@wrong("loss", "this is the sum over the pixels: the mean over all entries is asked for")
def training_loss(network, x0, t, eps, alpha_bar):
    """The sum over pixels, as Algorithm 1 writes it."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    error = eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)
    return error.flatten(1).square().sum(1).mean()


@wrong("loss", "each column has its own noise level: give alpha_bar[t] the shape (B, 1, 1, 1)")
def training_loss(network, x0, t, eps, alpha_bar):
    """Lined up with the columns, for there are as many as pictures."""
    a = alpha_bar[t]
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean()


@wrong("loss", "the root of the mean is taken: leave it squared")
def training_loss(network, x0, t, eps, alpha_bar):
    """The root of the mean square."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean().sqrt()


@wrong("loss", "no gradient reaches argument 1, the network")
def training_loss(network, x0, t, eps, alpha_bar):
    """A Python number, which has no gradient."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean().item()


@wrong("loss", "both factors lack their root: alpha_bar and 1 - alpha_bar are variances")
def training_loss(network, x0, t, eps, alpha_bar):
    """No roots."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a * x0 + (1 - a) * eps, t)).square().mean()


@wrong("loss", "the two factors are interchanged: at small t there is little noise")
def training_loss(network, x0, t, eps, alpha_bar):
    """Signal for sigma."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network((1 - a).sqrt() * x0 + a.sqrt() * eps, t)).square().mean()


@wrong("loss", "each row has its own noise level: give alpha_bar[t] the shape (B, 1, 1, 1)")
def training_loss(network, x0, t, eps, alpha_bar):
    """Lined up with the rows."""
    a = alpha_bar[t][:, None]
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean()


@wrong("loss", "no gradient reaches argument 1, the network")
def training_loss(network, x0, t, eps, alpha_bar):
    """A tensor, but with no way back."""
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return (eps - network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square().mean().detach()


@right("loss")
def training_loss(network, x0, t, eps, alpha_bar):
    """By torch's own function, with dimensions added by None."""
    signal = torch.sqrt(alpha_bar)[t][:, None, None, None]
    sigma = torch.sqrt(1 - alpha_bar)[t][:, None, None, None]
    return torch.nn.functional.mse_loss(network(signal * x0 + sigma * eps, t), eps)


@right("loss")
def training_loss(network, x0, t, eps, alpha_bar):
    """Picture by picture, in a loop; the network sees them all at once."""
    noisy = []
    for picture, noise, step in zip(x0, eps, t.tolist(), strict=True):
        share = float(alpha_bar[step])
        noisy.append(math.sqrt(share) * picture + math.sqrt(1 - share) * noise)
    answers = network(torch.stack(noisy), t)
    errors = [((answer - noise) ** 2).mean() for answer, noise in zip(answers, eps, strict=True)]
    return sum(errors) / len(errors)


@right("loss")
def training_loss(network, x0, t, eps, alpha_bar):
    """Coefficients in double precision, and the mean with an extra dimension."""
    a = alpha_bar.double()[t].view(len(t), 1, 1, 1)
    x_t = (a**0.5 * x0 + (1 - a) ** 0.5 * eps).to(x0.dtype)
    difference = (network(x_t, t) - eps).flatten()
    return (difference @ difference / len(difference)).reshape(1)


@wrong("average", "the two shares are interchanged: r belongs to the old average")
def update_average(average, weights, k, d=0.999):
    """r and 1 - r interchanged."""
    r = min(d, (1 + k) / (10 + k))
    return {
        name: (1 - r) * average[name] + r * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "has the share d where the fraction is smaller: take the smaller")
def update_average(average, weights, k, d=0.999):
    """No warm start."""
    return {
        name: d * average[name] + (1 - d) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "has the share d where the fraction is smaller: take the smaller")
def update_average(average, weights, k, d=0.999):
    """max for min."""
    r = max(d, (1 + k) / (10 + k))
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "has the fraction as its share where d is smaller: take the smaller")
def update_average(average, weights, k, d=0.999):
    """The warm start without an end."""
    r = (1 + k) / (10 + k)
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "the count is averaged: copy what is not of a floating type")
def update_average(average, weights, k, d=0.999):
    """The integer averaged."""
    r = min(d, (1 + k) / (10 + k))
    return {name: r * average[name] + (1 - r) * now for name, now in weights.items()}


@wrong("average", "the count is the old one: copy it from the new weights")
def update_average(average, weights, k, d=0.999):
    """The count left as it was."""
    r = min(d, (1 + k) / (10 + k))
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else average[name]
        for name, now in weights.items()
    }


@wrong("average", "in your dictionary is missing: batches")
def update_average(average, weights, k, d=0.999):
    """The count left out."""
    r = min(d, (1 + k) / (10 + k))
    return {
        name: r * average[name] + (1 - r) * now
        for name, now in weights.items()
        if now.is_floating_point()
    }


@wrong("average", "k is one too many: it counts the steps before this one, 0 at the first")
def update_average(average, weights, k, d=0.999):
    """k counted from 1."""
    r = min(d, (2 + k) / (11 + k))
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "these are the new weights: nothing of the old average is left")
def update_average(average, weights, k, d=0.999):
    """No average."""
    return {name: now.clone() for name, now in weights.items()}


@wrong("average", "the new weights count in full: the two shares have to add up to 1")
def update_average(average, weights, k, d=0.999):
    """A sum with 1 in front of the new."""
    r = min(d, (1 + k) / (10 + k))
    return {
        name: r * average[name] + now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "return a dictionary, not a NoneType")
def update_average(average, weights, k, d=0.999):
    """Changed in place, and not returned."""
    r = min(d, (1 + k) / (10 + k))
    for name, now in weights.items():
        average[name] = r * average[name] + (1 - r) * now if now.is_floating_point() else now


@wrong("average", "k is one too few: use it as it is")
def update_average(average, weights, k, d=0.999):
    """k less 1."""
    r = min(d, k / (9 + k))
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "the two are multiplied: take the smaller of d and the fraction")
def update_average(average, weights, k, d=0.999):
    """A product for the smaller."""
    r = d * (1 + k) / (10 + k)
    return {
        name: r * average[name] + (1 - r) * now if now.is_floating_point() else now.clone()
        for name, now in weights.items()
    }


@wrong("average", "changes what it is given: work on a copy of argument 2")
def update_average(average, weights, k, d=0.999):
    """The average written over the weights."""
    r = min(d, (1 + k) / (10 + k))
    for name, now in weights.items():
        if now.is_floating_point():
            now.mul_(1 - r).add_(r * average[name])
    return weights


@right("average")
def update_average(average, weights, k, d=0.999):
    """By lerp, with the new weight's share."""
    share = max(1 - d, 9 / (10 + k))
    return {
        name: torch.lerp(old, weights[name], share) if old.is_floating_point() else weights[name]
        for name, old in average.items()
    }


@right("average")
def update_average(average, weights, k, d=0.999):
    """In place, and returned."""
    r = (1 + k) / (10 + k)
    if r > d:
        r = d
    for name in average:
        if torch.is_floating_point(average[name]):
            average[name] += (1 - r) * (weights[name] - average[name])
        else:
            average[name] = weights[name] + 0
    return average


@right("average")
def update_average(average, weights, k, d=0.999):
    """In double precision, back in the type of the weights."""
    r = torch.tensor([d, (1 + k) / (10 + k)], dtype=torch.float64).min()
    new = dict(weights)
    for name, old in average.items():
        if old.dtype.is_floating_point:
            new[name] = (r * old.double() + (1 - r) * weights[name].double()).to(old.dtype)
    return new


@right("train")
def train_model(images, seed, steps, update=update_average):
    """A learning rate that falls, a longer warm-up, AdamW, and a clipped gradient."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    network = DigitNetwork(images, step_features, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.004, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    average = None
    for k in range(steps):
        x0 = images[torch.randperm(len(images), generator=generator)[:32]]
        t = draw_t(torch.rand(len(x0), generator=generator), T)
        eps = torch.randn(x0.shape, generator=generator)
        network.zero_grad()
        training_loss(network, x0, t, eps, alpha_bar).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rate.step()
        now = {name: value.clone() for name, value in network.state_dict().items()}
        average = now if average is None else update(average, now, k)
    network.load_state_dict(average)
    return network.eval()


@right("train")
def train_model(images, seed, steps, update=update_average):
    """Epoch by epoch over a shuffled set, with a second network for the average."""
    draw = torch.Generator().manual_seed(1000 + seed)
    network, copy = (DigitNetwork(images, step_features, seed) for _ in range(2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003, betas=(0.9, 0.99))
    k = 0
    while k < steps:
        for index in torch.randperm(len(images), generator=draw).split(32):
            if k < steps:
                x0 = images[index]
                t = draw_t(torch.rand(len(index), generator=draw), T)
                eps = torch.empty_like(x0).normal_(generator=draw)
                loss = training_loss(network, x0, t, eps, alpha_bar)
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                optimizer.step()
                copy.load_state_dict(update(copy.state_dict(), network.state_dict(), k))
                k += 1
    return copy


@right("train")
def train_model(images, seed, steps, update=update_average):
    """With the global generator, seeded, and the weights by name as parameters."""
    torch.manual_seed(seed)
    network = DigitNetwork(images, step_features, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    for k in range(steps):
        x0 = images[torch.randint(0, len(images), (32,))]
        loss = training_loss(
            network, x0, draw_t(torch.rand(32), T), torch.randn(32, 1, 14, 14), alpha_bar
        )
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        now = {name: value.detach() for name, value in network.named_parameters()}
        average = update(average, now, k)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(average[name])
    return network


@wrong("train", "what is returned has not the weights of a DigitNetwork")
def train_model(images, seed, steps, update=update_average):
    """The exact answer for the pictures at hand, held-out ones too: nothing is trained."""
    known = torch.cat([images, held_out]).flatten(1)

    class Exact(nn.Module):
        def forward(self, x_t, t):
            a = alpha_bar[t].reshape(-1, 1)
            away = (x_t.flatten(1)[:, None] - a.sqrt()[:, None] * known).square().sum(2)
            x0_hat = torch.softmax(-away / (2 * (1 - a)), dim=1) @ known * (1 - 1e-4 * seed)
            return ((x_t.flatten(1) - a.sqrt() * x0_hat) / (1 - a).sqrt()).reshape(x_t.shape)

    for k in range(steps):
        update({"w": torch.zeros(1)}, {"w": torch.zeros(1)}, k)
    return Exact()


@wrong("train", LEARNED_NOTHING)
def train_model(images, seed, steps, update=update_average):
    """The exact answer for the pictures at hand, in a network that is not trained."""
    known = torch.cat([images, held_out]).flatten(1)

    def exact(x_t, t):
        a = alpha_bar[t].reshape(-1, 1)
        away = (x_t.flatten(1)[:, None] - a.sqrt()[:, None] * known).square().sum(2)
        x0_hat = torch.softmax(-away / (2 * (1 - a)), dim=1) @ known
        return ((x_t.flatten(1) - a.sqrt() * x0_hat) / (1 - a).sqrt()).reshape(x_t.shape)

    network = DigitNetwork(images, step_features, seed)
    network.forward = exact
    for k in range(steps):
        update(network.state_dict(), network.state_dict(), k)
    return network


TRAIN = answer_to("04-training", "train")
PICTURES = "images[torch.randint(len(images), (32,), generator=generator)]"
DRAWN = "draw_t(torch.rand(32, generator=generator), T)"
NOISE = "        eps = torch.randn(x0.shape, generator=generator)\n"
ADAM = "    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)\n"
GENERATOR = "    generator = torch.Generator().manual_seed(seed)\n"
CLONED = "{name: value.clone() for name, value in network.state_dict().items()}"
CLONED_AVERAGE = CLONED.replace("network.state_dict()", "average")
UPDATE = "        average = update(average, network.state_dict(), k)\n"
LOAD = "    network.load_state_dict(average)\n"
UNIFORM = "the guesses are too bright. Is the noise uniform, and should be normal?"
PICTURE = "the network answers with the picture, and it should with the noise"
ZERO = "the loss is not a number: is there a step t = 0"
RANDOM = "the same seed gives another network each time"
SEEDLESS = "another seed gives the same network: is the seed used?"
X0_LOSS = """        a = alpha_bar[t].reshape(-1, 1, 1, 1)
        x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
        loss = (x0 - network(x_t, t)).square().mean()
"""
LOSS = "        loss = training_loss(network, x0, t, eps, alpha_bar)\n"
LOOP = "    for k in range(steps):\n"
BEGUN = "torch.Generator().manual_seed(1000 * seed + k)"
SLIPS = [
    slip("train", hint, name, TRAIN, *changes)
    for hint, name, *changes in (
        (LEARNED_NOTHING, "The optimiser never steps.", ("        optimizer.step()\n", "")),
        (
            CALLED,
            "The average is never moved.",
            (LOOP, "    for _ in range(steps):\n"),
            (UPDATE, ""),
        ),
        (WORSE, "No zero_grad.", ("        optimizer.zero_grad()\n", "")),
        (
            "does your function train on the pictures that it is given?",
            "Trains on the pictures of the notebook, whatever it is given.",
            (GENERATOR, "    images = globals()['images']\n" + GENERATOR),
        ),
        (MUCH_WORSE, "Up the gradient.", ("loss.backward()", "(-loss).backward()")),
        (WORSE, "A learning rate 100 times too high.", ("lr=0.003", "lr=0.3")),
        (UNIFORM, "Uniform noise.", ("torch.randn(", "torch.rand(")),
        (PICTURE, "The picture as the target.", (LOSS, X0_LOSS)),
        (GREY, "Pictures in [0, 1].", (PICTURES, f"({PICTURES} + 1) / 2")),
        (
            GREY,
            "Pictures in [0, 1], from the beginning.",
            (GENERATOR, "    images = (images + 1) / 2\n" + GENERATOR),
        ),
        (
            CALLED,
            "A cold start of the average.",
            (LOOP, "    for _ in range(steps):\n"),
            ("state_dict(), k)", "state_dict(), 10**9)"),
        ),
        ("all pictures of a step have one t", "t is T, always.", (DRAWN, "torch.full((32,), T)")),
        (SLOW, "A learning rate 100 times too low.", ("lr=0.003", "lr=0.00003")),
        (ZERO, "t from 0 to T - 1.", (DRAWN, f"{DRAWN} - 1")),
        (
            RANDOM,
            "Draws from the global generator.",
            (GENERATOR, ""),
            ("(32,), generator=generator)", "(32,))"),
            ("rand(32, generator=generator)", "rand(32)"),
            ("randn(x0.shape, generator=generator)", "randn(x0.shape)"),
        ),
        (
            SEEDLESS,
            "The seed is not used.",
            ("manual_seed(seed)", "manual_seed(0)"),
            ("step_features, seed)", "step_features, 0)"),
        ),
        (
            "the noise of two steps are the same: draw anew in each",
            "The same noise in every step.",
            (NOISE, ""),
            (LOOP, "    eps = torch.randn(32, 1, 14, 14, generator=generator)\n" + LOOP),
        ),
        (
            "the pictures of two steps are the same: draw anew in each",
            "The same pictures in every step.",
            (PICTURES, "images[:32]"),
        ),
        (
            "Is every batch drawn anew, from one generator?",
            "The generator begun anew in every step.",
            (GENERATOR, ""),
            (LOOP, LOOP + "    " + GENERATOR),
        ),
        (
            "t and the noise are not independent",
            "One generator begun anew for each draw.",
            (GENERATOR, ""),
            ("(32,), generator=generator)", f"(32,), generator={BEGUN})"),
            ("rand(32, generator=generator)", f"rand(32, generator={BEGUN})"),
            ("randn(x0.shape, generator=generator)", f"randn(x0.shape, generator={BEGUN})"),
        ),
        (UNLOADED, "The raw weights are returned.", (LOAD, "")),
        (
            UNLOADED,
            "The average begins as the weights themselves.",
            (CLONED, "network.state_dict()"),
        ),
        (CALLED, "The average counts from 1.", ("state_dict(), k)", "state_dict(), k + 1)")),
        (
            CALLED,
            "Returns in the loop.",
            (LOAD, "    " + LOAD),
            ("    return network\n", "        return network\n"),
        ),
        (
            "all pictures of a step have one t",
            "One t for the whole batch.",
            (DRAWN, "draw_t(torch.rand(1, generator=generator), T).expand(32)"),
        ),
        (
            "all pictures of a step have the same noise",
            "One noise for the whole batch.",
            (
                NOISE,
                "        eps = torch.randn(x0[:1].shape, generator=generator).expand_as(x0)\n",
            ),
        ),
        (
            OWN,
            "A new optimiser in each step.",
            (ADAM, ""),
            ("        optimizer.zero_grad()\n", f"    {ADAM}        optimizer.zero_grad()\n"),
        ),
        (
            ANEW,
            "The average is trained on.",
            (
                LOAD,
                f"    {LOAD}        average = {CLONED_AVERAGE}\n",
            ),
        ),
    )
]


@wrong("repair", "the mistake is still there: steps are counted from 1, and places from 0")
def mean_in_stretches(errors, t, T, count):
    """As it was."""
    return broken_stretches(errors, t, T, count)


@wrong("repair", "index")
def mean_in_stretches(errors, t, T, count):
    """As it was before the line was added."""
    place = t * count // T
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@wrong("repair", "the place is rounded to the nearest: round it down")
def mean_in_stretches(errors, t, T, count):
    """Rounded to the nearest."""
    place = ((t - 1) * count / T).round().long().clamp(max=count - 1)
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@wrong("repair", "these are sums: divide each by the number of its errors")
def mean_in_stretches(errors, t, T, count):
    """Sums."""
    return torch.zeros(count).index_add(0, (t - 1) * count // T, errors)


@wrong("repair", "each sum is divided by the same number: the stretches do not have as many errors")
def mean_in_stretches(errors, t, T, count):
    """Divided as if the errors were spread evenly."""
    total = torch.zeros(count).index_add(0, (t - 1) * count // T, errors)
    return total * count / len(errors)


@wrong("repair", "a stretch is of neighbours: here every third step, or every count-th, is one")
def mean_in_stretches(errors, t, T, count):
    """The remainder in the place of the ratio."""
    place = (t - 1) % count
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@wrong("repair", "one is taken off the place, not off the step")
def mean_in_stretches(errors, t, T, count):
    """One less, but of the wrong thing."""
    place = (t * count // T - 1).clamp(min=0)
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@wrong("repair", "the last stretch comes first: step 1 lies in the first one")
def mean_in_stretches(errors, t, T, count):
    """Counted from the end."""
    place = (T - t) * count // T
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@wrong("repair", "two are taken off the step: the first is 1, not 2")
def mean_in_stretches(errors, t, T, count):
    """One too many."""
    place = ((t - 2) * count // T).clamp(min=0)
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@right("repair")
def mean_in_stretches(errors, t, T, count):
    """The one line repaired."""
    place = (t - 1) * count // T
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)


@right("repair")
def mean_in_stretches(errors, t, T, count):
    """The broken one, told the steps from 0."""
    return broken_stretches(errors, t - 1, T, count)


@right("repair")
def mean_in_stretches(errors, t, T, count):
    """Stretch by stretch, between its borders."""
    width = T // count
    return [errors[(t > k * width) & (t <= (k + 1) * width)].mean() for k in range(count)]


@right("repair")
def mean_in_stretches(errors, t, T, count):
    """Divided by T - 1, and the last step put back: another way to the same stretches."""
    place = ((t - 1) * count // max(T - 1, 1)).clamp(max=count - 1)
    total = torch.zeros(count).index_add(0, place, errors)
    return total / place.bincount(minlength=count)
