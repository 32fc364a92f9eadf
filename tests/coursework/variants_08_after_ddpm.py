"""Answers to assignment 8, wrong and right."""

import torch
from variants import answer_to, right, slip, wrong


def slips(part, *those):
    """Wrong answers to one part, each as hint, name and changes of the instructor's text."""
    answer = answer_to("08-after-ddpm", part)
    answer = answer[answer.rindex("\ndef ") + 1 :] if "\ndef " in answer else answer
    return [slip(part, hint, name, answer, *changes) for hint, name, *changes in those]


@wrong("path", "return two things, in a tuple")
def straight_path(x0, eps, u):
    """The point alone."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    return (1 - share) * x0 + share * eps


@wrong("path", "these shapes do not fit each other: print the shape of each tensor in this line")
def straight_path(x0, eps, u):
    """u as it comes, (B,)."""
    return (1 - u) * x0 + u * eps, eps - x0


@wrong("path", "the answer has shape (5, 5), expected (5,)")
def straight_path(x0, eps, u):
    """One more dimension, whatever the data have."""
    return (1 - u[:, None]) * x0 + u[:, None] * eps, eps - x0


@wrong("path", "the function changes what it is given: work on a copy of argument 1")
def straight_path(x0, eps, u):
    """The data themselves are moved."""
    nu = eps - x0
    x0 += u.reshape(-1, *[1] * (x0.ndim - 1)) * nu
    return x0, nu


@right("path")
def straight_path(x0, eps, u):
    """From the data, along the velocity."""
    nu = eps - x0
    return x0 + u.view(len(u), *(1 for _ in x0.shape[1:])) * nu, nu


@right("path")
def straight_path(x0, eps, u):
    """Example by example."""
    points = [torch.lerp(a, b, s.to(a.dtype)) for a, b, s in zip(x0, eps, u, strict=True)]
    return [torch.stack(points), eps.sub(x0)]


@right("path")
def straight_path(x0, eps, u):
    """With the batch as the last dimension."""
    batch_last = torch.arange(x0.ndim).roll(-1).tolist()
    a, b = x0.permute(batch_last), eps.permute(batch_last)
    z = a * (1 - u) + b * u
    return z.permute(torch.arange(x0.ndim).roll(1).tolist()), -(x0 - eps)


@wrong("loss", "it is the mean over all entries, where each is asked for")
def flow_loss(network, x0, eps, u):
    """One number for the batch."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    guess = network((1 - share) * x0 + share * eps, u)
    return (guess - (eps - x0)).square().mean()


@wrong("loss", "no gradient reaches argument 1, the network")
def flow_loss(network, x0, eps, u):
    """The network under no_grad, as for sampling."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    with torch.no_grad():
        guess = network((1 - share) * x0 + share * eps, u)
    return (guess - (eps - x0)).square().flatten(1).mean(dim=1)


@wrong("loss", "the velocity is asked 2 times, and 1 is right")
def flow_loss(network, x0, eps, u):
    """The network asked for the square."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    z_u, nu = (1 - share) * x0 + share * eps, eps - x0
    return ((network(z_u, u) - nu) * (network(z_u, u) - nu)).flatten(1).mean(dim=1)


@right("loss")
def flow_loss(network, x0, eps, u):
    """By Part 1, and the mean over all dimensions but the first."""
    z_u, nu = straight_path(x0, eps, u)
    return (nu - network(z_u, u)).pow(2).mean(dim=tuple(range(1, x0.ndim)))


@right("loss")
def flow_loss(network, x0, eps, u):
    """With the loss of torch, row by row."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    guess = network(torch.lerp(x0, eps, share.to(x0.dtype)), u)
    rows = zip(guess, eps - x0, strict=True)
    return torch.stack([torch.nn.functional.mse_loss(a, b) for a, b in rows])


@right("loss")
def flow_loss(network, x0, eps, u):
    """With einsum."""
    share = u.reshape(-1, *[1] * (x0.ndim - 1))
    off = (network(x0 + share * (eps - x0), u) + x0 - eps).flatten(1)
    return torch.einsum("bi,bi->b", off, off) / off.shape[1]


@wrong("velocity", "x_t is taken for a point of the straight path")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """The line from x_t to the noise."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    eps = guess if kind == "eps" else sigma * x_t + signal * guess
    share = sigma / (signal + sigma)
    return (eps - x_t) / (1 - share)


@wrong("velocity", "the answer is not finite everywhere")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """v made noise first, and data of that."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    eps = guess if kind == "eps" else sigma * x_t + signal * guess
    return eps - (x_t - sigma * eps) / signal


@wrong("velocity", "a guess of v is returned as it is: v is not the velocity")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """v taken for the velocity."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    if kind == "v":
        return guess.clone()
    return guess - (x_t - (1 - kept).sqrt() * guess) / kept.sqrt()


@wrong("velocity", "the answer has shape (3, 3), expected (3,)")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """One more dimension, whatever the data have."""
    signal, sigma = alpha_bar[t][:, None].sqrt(), (1 - alpha_bar[t])[:, None].sqrt()
    if kind == "v":
        return (sigma - signal) * x_t + (signal + sigma) * guess
    return guess - (x_t - sigma * guess) / signal


@right("velocity")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """The sum and the difference of the weights."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    if kind == "v":
        return (sigma - signal) * x_t + (signal + sigma) * guess
    return ((signal + sigma) * guess - x_t) / signal


@right("velocity")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """By the angle whose cosine and sine the weights are."""
    angle = alpha_bar[t].sqrt().clamp(0, 1).acos().view(-1, *[1] * (x_t.dim() - 1))
    cos, sin = torch.cos(angle), torch.sin(angle)
    views = {
        "v": lambda: (cos * x_t - sin * guess, sin * x_t + cos * guess),
        "eps": lambda: (x_t / cos - sin / cos * guess, guess),
    }
    x0, eps = views[kind]()
    return eps - x0


@right("velocity")
def velocity_of(kind, guess, x_t, t, alpha_bar):
    """Example by example."""
    rows = []
    for each, x, step in zip(guess, x_t, t, strict=True):
        a, b = alpha_bar[step] ** 0.5, (1 - alpha_bar[step]) ** 0.5
        x0 = a * x - b * each if kind == "v" else (x - b * each) / a
        rows.append((b * x + a * each if kind == "v" else each) - x0)
    return torch.stack(rows)


@wrong("back", "the answer is not finite everywhere")
def from_velocity(nu, x_t, t, alpha_bar):
    """The noise by a division by its weight."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    x0 = (x_t - sigma * nu) / (signal + sigma)
    eps = (x_t - signal * x0) / sigma
    return x0, eps, signal * eps - sigma * x0


@wrong("back", "return three things, in a tuple")
def from_velocity(nu, x_t, t, alpha_bar):
    """Data and noise only."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    x0 = (x_t - (1 - kept).sqrt() * nu) / (kept.sqrt() + (1 - kept).sqrt())
    return x0, nu + x0


@right("back")
def from_velocity(nu, x_t, t, alpha_bar):
    """By the share of the noise."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    scale = kept**0.5 + (1 - kept) ** 0.5
    share, z = (1 - kept) ** 0.5 / scale, x_t / scale
    x0, eps = z - share * nu, z + (1 - share) * nu
    return x0, eps, kept**0.5 * eps - (1 - kept) ** 0.5 * x0


@right("back")
def from_velocity(nu, x_t, t, alpha_bar):
    """v first, which is the velocity turned and scaled."""
    kept = alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    v = (nu - (sigma - signal) * x_t) / (signal + sigma)
    return [signal * x_t - sigma * v, sigma * x_t + signal * v, v]


@right("back")
def from_velocity(nu, x_t, t, alpha_bar):
    """A linear system for each example."""
    found = []
    for velocity, x, step in zip(nu, x_t, t, strict=True):
        a, b = alpha_bar[step].sqrt().item(), (1 - alpha_bar[step]).sqrt().item()
        inverse = torch.linalg.inv(torch.tensor([[a, b], [-1.0, 1.0]], dtype=torch.float64))
        x0 = inverse[0, 0] * x + inverse[0, 1] * velocity
        eps = inverse[1, 0] * x + inverse[1, 1] * velocity
        found.append((x0, eps, a * eps - b * x0))
    return tuple(torch.stack(each) for each in zip(*found, strict=True))


@wrong("euler", "the function changes what it is given: work on a copy of argument 2")
def euler(velocity, z, times):
    """In place."""
    for u, length in zip(times, times.diff(), strict=False):
        z += length * velocity(z.clone(), u.expand(len(z)))
    return z.clone()


@wrong("euler", "the velocity is asked 4 times, and 3 is right")
def euler(velocity, z, times):
    """Asked at the last time, too."""
    for k, u in enumerate(times):
        slope = velocity(z, u.expand(len(z)))
        if k + 1 < len(times):
            z = z + (times[k + 1] - u) * slope
    return z


@wrong("euler", "all steps are taken with the velocity of the start")
def euler(velocity, z, times):
    """The velocity of each step at the place where the walk began."""
    start = z
    for u, length in zip(times, times.diff(), strict=False):
        z = z + length * velocity(start, u.expand(len(z)))
    return z


@right("euler")
def euler(velocity, z, times):
    """By indices."""
    for k in range(1, len(times)):
        u = torch.full((z.shape[0],), float(times[k - 1]))
        z = z - (times[k - 1] - times[k]) * velocity(z, u)
    return z


@right("euler")
def euler(velocity, z, times):
    """By recursion."""
    if len(times) == 1:
        return z
    u, s = times[0], times[1]
    there = z + (s - u) * velocity(z, u.repeat(len(z)))
    return euler(velocity, there, times[1:])


@right("euler")
def euler(velocity, z, times):
    """On a copy that is changed in place."""
    z = z.clone()
    pairs = times.unfold(0, 2, 1).tolist()
    for u, s in pairs:
        z += (s - u) * velocity(z.clone(), z.new_full((len(z),), u))
    return z


@wrong("heun", "the velocity is asked 3 times, and 5 is right")
def heun(velocity, z, times):
    """Euler's method."""
    for u, length in zip(times, times.diff(), strict=False):
        z = z + length * velocity(z, u.expand(len(z)))
    return z


@wrong("heun", "this looks at the middle of the step")
def heun(velocity, z, times):
    """The midpoint method."""
    for u, s, length in zip(times, times[1:], times.diff(), strict=False):
        slope = velocity(z, u.expand(len(z)))
        if s > 0:
            slope = velocity(z + length / 2 * slope, ((u + s) / 2).expand(len(z)))
        z = z + length * slope
    return z


@wrong("heun", "the velocity is asked 3 times, and 4 is right")
def heun(velocity, z, times):
    """The last step without a second look, wherever it ends."""
    for k in range(len(times) - 1):
        u, s = times[k], times[k + 1]
        slope = velocity(z, u.expand(len(z)))
        if k + 2 < len(times):
            slope = (slope + velocity(z + (s - u) * slope, s.expand(len(z)))) / 2
        z = z + (s - u) * slope
    return z


@right("heun")
def heun(velocity, z, times):
    """The mean of two places."""
    for u, s in times.unfold(0, 2, 1):
        there = z + (s - u) * velocity(z, u.repeat(len(z)))
        if float(s) == 0:
            z = there
        else:
            z = (z + there + (s - u) * velocity(there, s.repeat(len(z)))) / 2
    return z


@right("heun")
def heun(velocity, z, times):
    """A correction of Euler's step."""

    def look(z, at):
        return velocity(z, torch.full((len(z),), at, dtype=torch.float64))

    walk = times.tolist()
    for k in range(1, len(walk)):
        u, s = walk[k - 1], walk[k]
        first = look(z, u)
        z = z + (s - u) * first
        if s != 0:
            z = z + (s - u) * (look(z, s) - first) / 2
    return z


@right("heun")
def heun(velocity, z, times):
    """With a generator of pairs, in whole tensors."""
    for k in torch.arange(len(times) - 1):
        u, s = (times[k + j].expand(z.shape[0]) for j in (0, 1))
        length = times[k + 1] - times[k]
        looks = [velocity(z, u)]
        if bool(times[k + 1] > 0):
            looks.append(velocity(torch.add(z, length * looks[0]), s))
        z = z + length * torch.stack(looks).mean(0)
    return z


@wrong("measure", "the same call gives another answer the second time")
def measure(walk, velocity, z_1, z_0, steps, asked=[]):  # noqa: B006
    """A count that goes on from call to call."""

    def counted(z, u):
        asked.append(u)
        return velocity(z, u)

    found = walk(counted, z_1, torch.linspace(1, 0, steps + 1, dtype=z_1.dtype))
    return (found - z_0).square().mean().sqrt(), len(asked)


@wrong("measure", "the numbers are to be whole")
def measure(walk, velocity, z_1, z_0, steps):
    """A count of floats."""
    asked = torch.zeros(())

    def counted(z, u):
        asked.add_(1)
        return velocity(z, u)

    found = walk(counted, z_1, torch.linspace(1, 0, steps + 1, dtype=z_1.dtype))
    return (found - z_0).square().mean().sqrt(), asked


@wrong("measure", "this is the number of steps: count how often the velocity is asked")
def measure(walk, velocity, z_1, z_0, steps):
    """Nothing is counted."""
    found = walk(velocity, z_1, torch.linspace(1, 0, steps + 1, dtype=z_1.dtype))
    return (found - z_0).square().mean().sqrt(), steps


@wrong("measure", "two looks are taken for granted: count how often the velocity is asked")
def measure(walk, velocity, z_1, z_0, steps):
    """Two for each step."""
    found = walk(velocity, z_1, torch.linspace(1, 0, steps + 1, dtype=z_1.dtype))
    return (found - z_0).square().mean().sqrt(), 2 * steps


@right("measure")
def measure(walk, velocity, z_1, z_0, steps):
    """With nonlocal."""
    count = 0

    def counting(*arguments):
        nonlocal count
        count += 1
        return velocity(*arguments)

    times = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps
    distance = (walk(counting, z_1, times) - z_0).flatten()
    return float(distance @ distance / len(distance)) ** 0.5, count


@right("measure")
def measure(walk, velocity, z_1, z_0, steps):
    """With an object that can be called."""

    class Counter:
        count = 0

        def __call__(self, z, u):
            self.count += 1
            return velocity(z, u)

    counter = Counter()
    times = torch.tensor([(steps - k) / steps for k in range(steps + 1)])
    error = torch.linalg.vector_norm(walk(counter, z_1, times) - z_0) / z_1.numel() ** 0.5
    return error, counter.count


@right("measure")
def measure(walk, velocity, z_1, z_0, steps):
    """The count as a whole tensor."""
    counter = {"asked": torch.tensor(0)}

    def counted(z, u):
        counter["asked"] = counter["asked"] + 1
        return velocity(z, u)

    found = walk(counted, z_1.clone(), torch.linspace(1.0, 0.0, steps + 1))
    return [(found - z_0).pow(2).mean().pow(0.5), counter["asked"]]


@wrong("inpaint", "what is put in is shown to the velocity only: z itself has to hold it")
def inpaint(velocity, z, y, known, times, noise):
    """Put into what the velocity sees."""
    for u, s, fresh in zip(times[:-1], times[1:], noise, strict=True):
        seen = torch.where(known, (1 - u) * y + u * fresh, z)
        z = z + (s - u) * velocity(seen, u.expand(len(z)))
    return z


@wrong("inpaint", "the known pixels are put in before the step: put them in after it, too")
def inpaint(velocity, z, y, known, times, noise):
    """Put in before each step, at its start."""
    for u, s, fresh in zip(times[:-1], times[1:], noise, strict=True):
        z = torch.where(known, (1 - u) * y + u * fresh, z)
        z = z + (s - u) * velocity(z, u.expand(len(z)))
    return z


@wrong("inpaint", "the function changes what it is given: work on a copy of argument 3")
def inpaint(velocity, z, y, known, times, noise):
    """The known pixels are noised in place."""
    clean = y.clone()
    for u, s, fresh in zip(times[:-1], times[1:], noise, strict=True):
        z = z + (s - u) * velocity(z, u.expand(len(z)))
        y.copy_((1 - s) * clean + s * fresh)
        z = torch.where(known, y, z)
    y.copy_(2 * clean - y + 1)
    return z


@wrong("inpaint", "the known pixels are put in at the end only")
def inpaint(velocity, z, y, known, times, noise):
    """After the walk."""
    for u, s in times.unfold(0, 2, 1):
        z = z + (s - u) * velocity(z, u.expand(len(z)))
    return torch.where(known, (1 - times[-1]) * y + times[-1] * noise[-1], z)


@right("inpaint")
def inpaint(velocity, z, y, known, times, noise):
    """With a mask of numbers."""
    m = known.to(z.dtype)
    for k in range(len(times) - 1):
        u, s = times[k], times[k + 1]
        z = z + (s - u) * velocity(z, torch.full((len(z),), float(u)))
        z = m * (y + s * (noise[k] - y)) + (1 - m) * z
    return z


@right("inpaint")
def inpaint(velocity, z, y, known, times, noise):
    """A step of Part 5, and then Part 1."""
    for pair, fresh in zip(times.unfold(0, 2, 1), noise, strict=True):
        z = euler(velocity, z, pair)
        there, _ = straight_path(y, fresh, pair[1].repeat(len(z)))
        z = there.where(known, z)
    return z


@right("inpaint")
def inpaint(velocity, z, y, known, times, noise):
    """Indexed, on a copy."""
    z, where = z.clone(), known.expand(z.shape)
    for k, (u, s) in enumerate(times.unfold(0, 2, 1).tolist()):
        z = z + (s - u) * velocity(z, z.new_full((len(z),), u))
        z[where] = ((1 - s) * y + s * noise[k])[where].to(z.dtype)
    return z


@wrong("repair", "the mistake is still there: how much of the data has z_s, and how much z_u?")
def repaint(velocity, z, y, known, times, visits, noise):
    """As it was."""
    return broken_repaint(velocity, z, y, known, times, visits, noise)


@wrong("repair", "the velocity is asked 3 times, and 6 is right")
def repaint(velocity, z, y, known, times, visits, noise):
    """Taken once, which was right."""
    return broken_repaint(velocity, z, y, known, times, 1, noise)


@right("repair")
def repaint(velocity, z, y, known, times, visits, noise):
    """The one line repaired."""
    for k in range(len(times) - 1):
        u, s = times[k], times[k + 1]
        for visit in range(visits):
            if visit > 0:
                a = (1 - u) / (1 - s)
                z = a * z + (u**2 - a**2 * s**2) ** 0.5 * noise[k, visit, 0]
            z = inpaint(velocity, z, y, known, times[k : k + 2], noise[k, visit, 1:])
    return z


@right("repair")
def repaint(velocity, z, y, known, times, visits, noise):
    """By way of the chain: scaled to it, one forward step, and back."""

    def scale(at):
        return ((1 - at) ** 2 + at**2) ** 0.5

    for k in range(len(times) - 1):
        u, s = times[k], times[k + 1]
        ratio = ((1 - u) / scale(u) / ((1 - s) / scale(s))) ** 2
        for n in range(visits):
            if n != 0:
                x_u = ratio.sqrt() * z / scale(s) + (1 - ratio).sqrt() * noise[k, n, 0]
                z = scale(u) * x_u
            z = inpaint(velocity, z, y, known, times[k : k + 2], noise[k, n, 1:])
    return z


@right("repair")
def repaint(velocity, z, y, known, times, visits, noise):
    """The variance factored out, the first visit on its own."""
    for (u, s), fresh in zip(times.unfold(0, 2, 1), noise, strict=True):

        def down(z, eps, u=u, s=s):
            z = z + (s - u) * velocity(z, u.repeat(len(z)))
            return torch.where(known, torch.lerp(y, eps, s.to(y.dtype)), z)

        z = down(z, fresh[0, 1])
        missing = (u - s) * (u + s - 2 * u * s)  # u^2 (1 - s)^2 less s^2 (1 - u)^2
        for up, eps in fresh[1:]:
            z = ((1 - u) * z + missing.sqrt() * up) / (1 - s)
            z = down(z, eps)
    return z


SLIPS = [
    *slips(
        "path",
        (
            "the two weights are interchanged: at u = 0 the point is the data",
            "Noise at 0.",
            ("(1 - share) * x0 + share * eps", "share * x0 + (1 - share) * eps"),
        ),
        (
            "the velocity leads to the data: with the data at u = 0 it leads to the noise",
            "The sign of others' papers.",
            ("eps - x0", "x0 - eps"),
        ),
        (
            "the weights are roots, as in a chain: here they themselves add up to 1",
            "Weights of a chain.",
            ("(1 - share) * x0 + share * eps", "(1 - share).sqrt() * x0 + share.sqrt() * eps"),
        ),
        (
            "the velocity is multiplied by u: it is the same all along the line",
            "How far it has come.",
            ("eps - x0", "share * (eps - x0)"),
        ),
        (
            "this leads from the point to the noise: the velocity leads from the data to it",
            "From where it is.",
            ("eps - x0", "eps - ((1 - share) * x0 + share * eps)"),
        ),
        (
            "the data keep their full strength: they have the weight 1 - u",
            "Noise added.",
            ("(1 - share) * x0", "x0"),
        ),
        (
            "all examples get the time of the first: each has its own",
            "One time for all.",
            ("u.reshape", "u[:1].reshape"),
        ),
        (
            "the point comes first, then the velocity",
            "The other order.",
            (
                "(1 - share) * x0 + share * eps, eps - x0",
                "eps - x0, (1 - share) * x0 + share * eps",
            ),
        ),
        (
            "no gradient reaches argument 1: was it detached?",
            "Detached.",
            (
                "(1 - share) * x0 + share * eps, eps - x0",
                "((1 - share) * x0 + share * eps).detach(), (eps - x0).detach()",
            ),
        ),
    ),
    *slips(
        "loss",
        (
            "this is the sum over the entries: take their mean",
            "The sum.",
            ("mean(dim=1)", "sum(dim=1)"),
        ),
        (
            "the target has the other sign: the velocity is the noise less the data",
            "The sign.",
            ("(eps - x0)", "(x0 - eps)"),
        ),
        (
            "the target is the noise, as for a DDPM: here it is the velocity",
            "The noise as target.",
            ("(eps - x0)", "eps"),
        ),
        (
            "the target is the data: here it is the velocity",
            "The data as target.",
            ("(eps - x0)", "x0"),
        ),
        ("this is the absolute error: square it", "Not squared.", (".square()", ".abs()")),
        (
            "the network is shown the data: it has to see the point at u",
            "No noise in what is seen.",
            ("network((1 - share) * x0 + share * eps, u)", "network(x0, u)"),
        ),
        (
            "the network is shown the point at 1 - u",
            "Noise at 0.",
            ("(1 - share) * x0 + share * eps", "share * x0 + (1 - share) * eps"),
        ),
        (
            "the network is told 1 - u",
            "The other clock.",
            ("share * eps, u)", "share * eps, 1 - u)"),
        ),
        (
            "the velocity is asked with a u that is no tensor of floats",
            "u as a whole number.",
            ("share * eps, u)", "share * eps, (1000 * u).long())"),
        ),
        (
            "the velocity is asked with a u of another shape",
            "u in the shape of the data.",
            ("share * eps, u)", "share * eps, share)"),
        ),
        (
            "the mean is over the examples: take that over the entries of each",
            "The wrong mean.",
            (".flatten(1).mean(dim=1)", ".flatten(1).mean(dim=0)[:1].expand(len(x0))"),
        ),
        (
            "this is the root of the mean: leave the root away",
            "The root.",
            (".mean(dim=1)", ".mean(dim=1).sqrt()"),
        ),
        (
            "the error is that of the noise, by a factor: leave it as it is",
            "Weighted as noise.",
            ("(guess - (eps - x0))", "((1 - share) * (guess - (eps - x0)))"),
        ),
    ),
    *slips(
        "velocity",
        (
            "the sign is turned: the velocity is the noise less the data",
            "Data less noise.",
            ("return eps - x0", "return x0 - eps"),
        ),
        (
            "alpha_bar is taken at t - 1: it is indexed by t itself",
            "t - 1.",
            ("alpha_bar[t]", "alpha_bar[t - 1]"),
        ),
        (
            "the weights are not the roots of alpha_bar and of 1 - alpha_bar",
            "No roots.",
            ("kept.sqrt(), (1 - kept).sqrt()", "kept, 1 - kept"),
        ),
        (
            "v is read with the other sign: it is signal times noise, less sigma times data",
            "v turned.",
            (
                "x0, eps = signal * x_t - sigma * guess, sigma * x_t + signal * guess",
                "x0, eps = signal * x_t + sigma * guess, sigma * x_t - signal * guess",
            ),
        ),
        (
            "the two kinds are interchanged",
            "Interchanged.",
            ('kind == "v"', 'kind == "eps"'),
        ),
        (
            "the data are not divided by the root of alpha_bar",
            "Not divided.",
            ("(x_t - sigma * guess) / signal", "(x_t - sigma * guess)"),
        ),
        (
            "these shapes do not fit each other",
            "Not reshaped.",
            ("alpha_bar[t].reshape(-1, *[1] * (x_t.ndim - 1))", "alpha_bar[t]"),
        ),
        (
            "all examples get the step of the first: each has its own",
            "One step for all.",
            ("alpha_bar[t].reshape(-1,", "alpha_bar[t[:1]].reshape(-1,"),
        ),
        (
            "in v, signal and sigma are interchanged",
            "Weights of v interchanged.",
            (
                "x0, eps = signal * x_t - sigma * guess, sigma * x_t + signal * guess",
                "x0, eps = sigma * x_t - signal * guess, signal * x_t + sigma * guess",
            ),
        ),
        (
            "this is the noise alone: take the data away from it",
            "Noise for velocity.",
            ("return eps - x0", "return eps + 0 * x0"),
        ),
    ),
    *slips(
        "back",
        (
            "x_t is not divided by the sum of its weights",
            "Not divided.",
            ("(x_t - sigma * nu) / (signal + sigma)", "(x_t - sigma * nu)"),
        ),
        (
            "the velocity has the other sign in x0: it is the noise less the data",
            "The sign.",
            ("(x_t - sigma * nu)", "(x_t + sigma * nu)"),
        ),
        (
            "the noise is the data plus the velocity, not minus it",
            "The sign in the noise.",
            ("eps = nu + x0", "eps = x0 - nu"),
        ),
        (
            "data and noise are interchanged in v",
            "v of data and noise interchanged.",
            ("signal * eps - sigma * x0", "signal * x0 - sigma * eps"),
        ),
        (
            "v has the other sign",
            "v turned.",
            ("signal * eps - sigma * x0", "sigma * x0 - signal * eps"),
        ),
        (
            "v has a sum where it has a difference",
            "v with a plus.",
            ("signal * eps - sigma * x0", "signal * eps + sigma * x0"),
        ),
        (
            "x_t is taken for a point of the straight path",
            "x_t for z.",
            ("(x_t - sigma * nu) / (signal + sigma)", "x_t - sigma / (signal + sigma) * nu"),
        ),
        (
            "the velocity is multiplied by the weight of the data: take that of the noise",
            "The other weight.",
            ("(x_t - sigma * nu)", "(x_t - signal * nu)"),
        ),
        (
            "the order is the data, the noise, v",
            "Noise first.",
            ("return x0, eps,", "return eps, x0,"),
        ),
        (
            "the weights are not the roots of alpha_bar and of 1 - alpha_bar",
            "No roots.",
            ("kept.sqrt(), (1 - kept).sqrt()", "kept, 1 - kept"),
        ),
        (
            "alpha_bar is taken at t - 1: it is indexed by t itself",
            "t - 1.",
            ("alpha_bar[t]", "alpha_bar[t - 1]"),
        ),
        (
            "the division is by the weight of the data alone",
            "Divided as for the noise.",
            ("(signal + sigma)", "(signal + 1e-12)"),
        ),
    ),
    *slips(
        "euler",
        (
            "the velocity is asked for the end of the step: Euler takes that of its start",
            "The time of the end.",
            ("u.expand", "(u + length).expand"),
        ),
        (
            "the steps go up: the length of a step is s - u, which is negative",
            "The sign.",
            ("z + length", "z - length"),
        ),
        (
            "the velocity is not multiplied by the length of the step",
            "No length.",
            ("z + length * velocity", "z - velocity"),
        ),
        (
            "all steps have the same length here: take those of times",
            "Even steps.",
            ("z + length *", "z - 1 / (len(times) - 1) *"),
        ),
        (
            "the velocity is asked with a u that is no tensor of floats",
            "u as a number.",
            ("u.expand(len(z))", "float(u)"),
        ),
        (
            "the velocity is asked with a u of another shape",
            "u without a shape.",
            ("u.expand(len(z))", "u"),
        ),
        (
            "the velocity is asked at 1 - u: on this clock 0 is the data",
            "The other clock.",
            ("u.expand", "(1 - u).expand"),
        ),
        (
            "the velocity is asked 2 times, and 3 is right",
            "The last step is missing.",
            ("zip(times, times.diff())", "zip(times, times.diff()[:-1])"),
        ),
        (
            "these are steps of u times the velocity",
            "The time for the length.",
            ("z + length *", "z - u *"),
        ),
        (
            "z is replaced by the step: add the step to it",
            "Not added.",
            ("z + length *", "length *"),
        ),
    ),
    *slips(
        "heun",
        (
            "the second look is at the time of the start: the end of the step has the time s",
            "The time of the start, twice.",
            ("s.expand", "u.expand"),
        ),
        (
            "the second look is where the step began: it is to be where Euler would come to",
            "z not moved.",
            ("velocity(z + length * slope, s", "velocity(z, s"),
        ),
        (
            "the step goes on from where Euler came to: go back first",
            "Not gone back.",
            ("slope = (slope + ahead) / 2", "z, slope = z + length * slope, (slope + ahead) / 2"),
        ),
        (
            "only the second look counts: take the mean of the two",
            "The second alone.",
            ("(slope + ahead) / 2", "ahead"),
        ),
        (
            "the two looks are added up: take their mean",
            "The sum.",
            ("(slope + ahead) / 2", "slope + ahead"),
        ),
        (
            "the velocity is asked 6 times, and 5 is right: two looks for each step, but no "
            "second look where a step ends at u = 0",
            "A second look at the data.",
            ("s > 0", "s >= 0"),
        ),
        (
            "the correction has the wrong sign",
            "The sign of the correction.",
            ("(slope + ahead) / 2", "(3 * slope - ahead) / 2"),
        ),
        (
            "the second look is taken half-way: go to the end of the step",
            "Half-way.",
            ("velocity(z + length * slope, s", "velocity(z + length / 2 * slope, s"),
        ),
        (
            "the velocity is asked with a u of another shape",
            "s without a shape.",
            ("s.expand(len(z))", "s"),
        ),
        (
            "the steps go up: the length of a step is s - u, which is negative",
            "The sign of the whole step.",
            ("z = z + length", "z = z - length"),
        ),
        (
            "the second look has gone the wrong way: the length of a step is negative",
            "The sign of the first half.",
            ("velocity(z + length", "velocity(z - length"),
        ),
    ),
    *slips(
        "measure",
        (
            "this is the mean square: take its root",
            "No root.",
            (".mean().sqrt()", ".mean()"),
        ),
        (
            "this is the mean of the absolute distances: square them first",
            "Absolute distances.",
            (".square().mean().sqrt()", ".abs().mean()"),
        ),
        (
            "this is the largest distance: take the root of the mean square",
            "The largest.",
            (".square().mean().sqrt()", ".abs().max()"),
        ),
        (
            "the squares are added up: take their mean",
            "The sum.",
            (".mean().sqrt()", ".sum().sqrt()"),
        ),
        (
            "the walk goes up: it begins at 1 and ends at 0",
            "Upwards.",
            ("linspace(1, 0,", "linspace(0, 1,"),
        ),
        (
            "this is one step too few: S steps need S + 1 times",
            "As many times as steps.",
            ("steps + 1", "steps"),
        ),
        (
            "the error comes first, then the number of evaluations",
            "The other order.",
            (
                "(found - z_0).square().mean().sqrt(), len(asked)",
                "len(asked), (found - z_0).square().mean().sqrt()",
            ),
        ),
        (
            "each example is counted: one call is one evaluation, for all of them",
            "Examples counted.",
            ("asked.append(u)", "asked.extend(u)"),
        ),
        (
            "distances of opposite sign cancel: square them first",
            "Signed.",
            (".square().mean().sqrt()", ".mean().abs()"),
        ),
        (
            "this is the distance from the start: compare with z_0",
            "From the start.",
            ("found - z_0", "found - z_1"),
        ),
        ("return two things, in a tuple", "The error alone.", (", len(asked)", "")),
    ),
    *slips(
        "inpaint",
        (
            "the known pixels are put in clean: they need the noise of their time",
            "No noise.",
            ("(1 - s) * y + s * fresh", "y"),
        ),
        (
            "the mask is inverted: what is known is hidden, and the other way round",
            "Inverted.",
            (
                "where(known, (1 - s) * y + s * fresh, z)",
                "where(known, z, (1 - s) * y + s * fresh)",
            ),
        ),
        (
            "the noise of the first step is used in all: each step has its own",
            "One noise for all.",
            ("s * fresh", "s * noise[0]"),
        ),
        (
            "the weights are those of a chain: on the straight path they add up to 1",
            "Weights of a chain.",
            ("(1 - s) * y", "(1 - s**2).sqrt() * y"),
        ),
        (
            "the weights of pixels and noise are interchanged",
            "Weights interchanged.",
            ("(1 - s) * y + s * fresh", "s * y + (1 - s) * fresh"),
        ),
        (
            "the noise is added to the pixels at full strength: they have the weight 1 - s",
            "Full strength.",
            ("(1 - s) * y", "y"),
        ),
        (
            "nothing is put in after the last step",
            "Not after the last.",
            ("torch.where(known, (1", "torch.where(known & (s > 0), (1"),
        ),
        (
            "the known pixels are noised to where the step began: it has led to s",
            "The time of the start.",
            ("(1 - s) * y + s * fresh", "(1 - u) * y + u * fresh"),
        ),
        (
            "the velocity is asked for the end of the step",
            "The time of the end.",
            ("u.expand", "s.expand"),
        ),
        (
            "nothing is put in: this is Euler's walk",
            "Nothing known.",
            ("torch.where(known, (1", "torch.where(known & False, (1"),
        ),
    ),
    *slips(
        "repair",
        (
            "z_s brings a part of the noise along: add only what is missing",
            "As much noise as belongs to u.",
            ("added = (u**2 - (kept * s) ** 2).sqrt()", "added = u"),
        ),
        (
            "the noise in z_s is scaled as well: only (kept * s) ** 2 of its variance is left",
            "The noise of z_s not scaled.",
            ("(kept * s) ** 2", "s**2"),
        ),
        (
            "standard deviations are subtracted: of independent parts the variances add up",
            "Standard deviations subtracted.",
            ("(u**2 - (kept * s) ** 2).sqrt()", "u - kept * s"),
        ),
        (
            "the variance stands where the standard deviation belongs: take its root",
            "No root.",
            (" ** 2).sqrt()", " ** 2)"),
        ),
        (
            "this is the noise that a chain adds: there the squares of the weights add up to 1",
            "The noise of a chain.",
            ("u**2 - (kept * s) ** 2", "1 - kept**2"),
        ),
        (
            "z_s has the share 1 - s of the data already: divide by that",
            "All of z_s as though it were data.",
            ("kept = (1 - u) / (1 - s)", "kept = 1 - u"),
        ),
        (
            "the weight of the data is not changed on the way up",
            "Noise added only.",
            ("kept * z +", "z +"),
        ),
        (
            "the way up is taken before the first visit, too: this was right before",
            "Up at the first visit.",
            ("visit > 0", "visit >= 0"),
        ),
        (
            "the known pixels get the noise of the way up: this was right before",
            "The noise of the way up, twice.",
            ("fresh[1:]", "fresh[:1]"),
        ),
        (
            "the same noise is used on the way up and for the known pixels: this was right before",
            "One noise for both.",
            ("added * fresh[0]", "added * fresh[1]"),
        ),
        (
            "no fresh noise is added on the way up",
            "Scaled only.",
            ("kept * z + added * fresh[0]", "kept * z"),
        ),
    ),
]
