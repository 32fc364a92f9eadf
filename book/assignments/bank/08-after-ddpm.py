"""What can be other in assignment 8 for a class: tools/make_assignments.py --variant asks here."""

MIDPOINT = {
    "name": "midpoint",
    "title": "the midpoint method",
    "method": "the midpoint method",
    "row": "Midpoint",
    "step": (
        "The *midpoint method* walks to the middle of the step as Euler does, asks for the velocity "
        "there, *goes back*, and walks the whole step with that velocity alone. (The chapter looks "
        "at the end of the step, which is Heun's method, and takes the mean of both velocities. "
        "Both methods have the same order.)"
    ),
    "place": "the middle of a step",
    "compared": (
        "With ten of them the midpoint method is far ahead already. Its order is 2 in general, and "
        "here it comes out as 3: over the whole walk the largest part of its error cancels for "
        "these data. So an order that was measured on one problem is no promise for another."
    ),
    "solution": (
        "for u, s, length in zip(times, times[1:], times.diff()):\n"
        "    slope = velocity(z, u.expand(len(z)))\n"
        "    half_way = z + length / 2 * slope\n"
        "    z = z + length * velocity(half_way, ((u + s) / 2).expand(len(z)))\n"
        "return z"
    ),
    "test": (
        "        middle = times[k] + length / 2\n"
        "        z = z + length * velocity(z + length * first / 2, middle.repeat(len(z)))\n"
    ),
}
RALSTON = {
    "name": "ralston",
    "title": "Ralston's method",
    "method": "Ralston's method",
    "row": "Ralston",
    "step": (
        "*Ralston's method* walks two thirds of the step as Euler does, asks for the velocity "
        "there, *goes back*, and walks the whole step with a mean of the two, in which the first "
        "velocity counts a quarter and the second three quarters. (The chapter looks at the end of "
        "the step, which is Heun's method, and there both count a half. Both methods have the same "
        "order.)"
    ),
    "place": "the place of the second look",
    "compared": (
        "With ten of them Ralston's method is well ahead already, and with each row its lead grows. "
        "The order says how fast it grows, and not where it begins."
    ),
    "solution": (
        "for u, s, length in zip(times, times[1:], times.diff()):\n"
        "    first = velocity(z, u.expand(len(z)))\n"
        "    ahead = z + 2 / 3 * length * first\n"
        "    second = velocity(ahead, ((u + 2 * s) / 3).expand(len(z)))\n"
        "    z = z + length * (first + 3 * second) / 4\n"
        "return z"
    ),
    "test": (
        "        later = times[k] + length * 2 / 3\n"
        "        second = velocity(z + length * first * 2 / 3, later.repeat(len(z)))\n"
        "        z = z + length * 0.25 * first + length * 0.75 * second\n"
    ),
}
SOFT = "dtype=torch.float64).mul(2).sub(0.5).clamp(0, 1)"


def vary(draft, draw):
    """Another loss, other guesses, another method, another error and another mask."""
    _loss(draft, of_data=draw("loss", "of the data", "of the noise") == "of the data")
    if draw("guess", "x0", "score") == "x0":
        _guess_of_the_data(draft)
    else:
        _guess_of_the_score(draft)
    if draw("back", "time", "v first") == "time":
        _back_with_the_time(draft)
    else:
        _v_first(draft)
    method = draw("second look", "midpoint", "Ralston")
    _second_look(draft, MIDPOINT if method == "midpoint" else RALSTON)
    _error(draft, largest=draw("error", "largest", "mean") == "largest")
    if draw("mask", "of what is hidden", "soft") == "soft":
        _soft_mask(draft)
    else:
        _hidden(draft)


def _loss(draft, of_data):
    """Part 2: the error of the data, or of the noise, that a guess of the velocity implies."""
    draft.text(
        ("says how this loss differs from that of a DDPM.",
         "says how the loss of a velocity differs from that of a DDPM."),
        (
            "Its loss is the squared error of this guess.",
            "With the point and the time known, such a guess says where the line begins, too: it is "
            "a guess of the data $\\mathbf{x}_0$. Here the loss is the squared error of *that* "
            "guess, and not of the velocity itself."
            if of_data
            else "With the point and the time known, such a guess says where the line ends, too: it "
            "is a guess of the noise $\\boldsymbol\\epsilon$. Here the loss is the squared error of "
            "*that* guess, and not of the velocity itself.",
        ),
        (
            "The loss is never 0, and near the data it is about 1. Nothing is wrong with that. Many "
            "lines run through one point, each with a velocity of its own, and the best guess is "
            "the mean of these.",
            "At $u = 0$ the loss is 0, because the point is the data. It rises fast, and at $u = 1$ "
            "it is 0.04, the variance of the data. Nothing is wrong with that. Many lines run "
            "through one point, each from a data point of its own, and the best guess is the mean "
            "of these."
            if of_data
            else "At $u = 1$ the loss is 0, because the point is the noise. At $u = 0$ it is about "
            "1, the variance of the noise. Nothing is wrong with that. Many lines run through one "
            "point, each to a noise of its own, and the best guess is the mean of these.",
        ),
    )  # fmt: skip
    draft.change(
        "loss-answer",
        (
            "The squared error of the network's guess of the\n"
            "    velocity, averaged over each example's entries: (B,).",
            f"The squared error of the {'data' if of_data else 'noise'} that belong"
            f"{'' if of_data else 's'} to the network's\n"
            "    guess of the velocity, averaged over each example's\n    entries: (B,).",
        ),
    )
    guess = "z - share * network(z, u)" if of_data else "z + (1 - share) * network(z, u)"
    draft.solve(
        "loss",
        "share = u.reshape(-1, *[1] * (x0.ndim - 1))\n"
        "z = (1 - share) * x0 + share * eps\n"
        f"guess = {guess}\n"
        f"return (guess - {'x0' if of_data else 'eps'}).square().flatten(1).mean(dim=1)",
    )
    draft.change(
        "loss",
        ("[2.46102, 1.1425, 0.865625]", "⟦flow_loss(plain, some_x0, some_eps, u)⟧"),
        ("check(slope, -1.44531)",
         "check(slope, ⟦through_network(flow_loss, some_x0, some_eps, u)[1]⟧)"),
        ("for row in error])", f"for row in error]) * {'time**2' if of_data else '(1 - time) ** 2'}"),
    )  # fmt: skip


def _guess_of_the_data(draft):
    """Part 3: a network that guesses x0, or v."""
    draft.text(
        ("and guesses either the noise $\\boldsymbol\\epsilon$ in it, or",
         "and guesses either the data $\\mathbf{x}_0$ in it, or"),
        ('and is `"eps"` or `"v"`.', 'and is `"x0"` or `"v"`.'),
        (
            "Where $\\bar\\alpha_t = 0$, nothing of the data is left in $\\mathbf{x}_t$, and a guess "
            "of the noise says nothing about the data. A guess of $\\mathbf{v}$ still does. So for "
            '`"v"` your function has to work at such a $t$, and also at $t = 0$, where there is no '
            "noise: divide by neither",
            "At $t = 0$ there is no noise in $\\mathbf{x}_t$, and a guess of the data says nothing "
            "about the noise. A guess of $\\mathbf{v}$ still does. So for `\"v\"` your function has "
            "to work there. For both kinds it has to work where $\\bar\\alpha_t = 0$, and nothing of "
            'the data is left. So for `"v"` divide by neither',
        ),
    )  # fmt: skip
    draft.change(
        "velocity-answer",
        ('belongs to a guess of "eps" or\n', 'belongs to a guess of "x0" or\n'),
        ("x0, eps = (x_t - sigma * guess) / signal, guess",
         "x0, eps = guess, (x_t - signal * guess) / sigma"),
    )  # fmt: skip
    draft.change(
        "velocity",
        ("[[0.598244, 1.17836], [0.134296, -4.69021], [2.36246, 0.220741]]",
         '⟦velocity_of("x0", some_eps, some_z, early, short)⟧'),
        ('("eps", some_eps, some_z, early, short), right',
         '("x0", some_eps, some_z, early, short), right'),
        ('(("eps", eps), ("v", v))', '(("x0", x0), ("v", v))'),
        ('    examine(velocity_of, ("v", v, x_t, last, short), end)\n',
         '    examine(velocity_of, ("v", v, x_t, last, short), end)\n'
         '    end = Known(x_t - x0, case="where alpha_bar is 0")\n'
         '    examine(velocity_of, ("x0", x0, x_t, last, short), end)\n'),
    )  # fmt: skip


def _guess_of_the_score(draft):
    """Part 3: a network that guesses the score, or v."""
    draft.text(
        ("and guesses either the noise $\\boldsymbol\\epsilon$ in it, or",
         "and guesses either the *score*, which [chapter 12](../../12-scores-and-mcmc.ipynb) "
         "explains and which is $-\\boldsymbol\\epsilon / \\bar\\sigma_t$ in terms of the noise, or"),
        ('and is `"eps"` or `"v"`.', 'and is `"score"` or `"v"`.'),
        ("and a guess of the noise says nothing about the data.",
         "and a guess of the score says nothing about the data."),
        ("Part 5 uses one equation of [chapter 12](../../12-scores-and-mcmc.ipynb),",
         "Part 3 uses a definition of [chapter 12](../../12-scores-and-mcmc.ipynb), Part 5 one of its "
         "equations,"),
    )  # fmt: skip
    draft.change(
        "velocity-answer",
        ('belongs to a guess of "eps" or\n', 'belongs to a guess of "score"\n'),
        ('    "v" in x_t (B, ...);', '    or "v" in x_t (B, ...);'),
        ("x0, eps = (x_t - sigma * guess) / signal, guess",
         "x0, eps = (x_t + sigma**2 * guess) / signal, -sigma * guess"),
    )  # fmt: skip
    draft.change(
        "velocity",
        ("[[0.598244, 1.17836], [0.134296, -4.69021], [2.36246, 0.220741]]",
         '⟦velocity_of("score", some_eps, some_z, early, short)⟧'),
        ('("eps", some_eps, some_z, early, short), right',
         '("score", some_eps, some_z, early, short), right'),
        ('    for kind, guess in (("eps", eps), ("v", v)):\n',
         "    deviation = (1 - schedule.alpha_bar[t]) ** 0.5\n"
         "    score = torch.stack([-row / each for row, each in zip(eps, deviation)])\n"
         '    for kind, guess in (("score", score), ("v", v)):\n'),
    )  # fmt: skip


def _back_with_the_time(draft):
    """Part 4: the time of the straight path in the place of v."""
    draft.text(
        (
            "find the data, the noise and the $\\mathbf{v}$ that belong to it. Return the three, in "
            "this order.",
            "find the data and the noise that belong to it. Divided by some number, $\\mathbf{x}_t$ "
            "is a point of the straight path between these two. Find the time $u$ of this point, "
            "too: it is what a network of flow matching has to be told. Return the three, in this "
            "order; $u$ has the shape $(B,)$.",
        )
    )
    draft.change(
        "back-answer",
        ("The x0, eps and v that belong to the velocity nu at\n    x_t (B, ...); t int64 (B,), 0..T.",
         "The x0 and eps that belong to the velocity nu at\n"
         "    x_t (B, ...), and the time u (B,) of x_t on the\n"
         "    straight path; t int64 (B,), 0..T."),
        ("return x0, eps, signal * eps - sigma * x0",
         "return x0, eps, (sigma / (signal + sigma)).flatten()"),
    )  # fmt: skip
    draft.change(
        "back",
        ("v = [[-0.234128, 0.812439], [1.0034, 0.138488], [1.4, 0.3]]",
         "u = ⟦from_velocity(some_eps, some_z, torch.tensor([3, 1, 4]), short)[2]⟧"),
        ("(x0, eps, v))", "(x0, eps, u))"),
        ("q_sample, v_from_x0_and_eps\n", "q_sample\n"),
        ("    right = (x0, eps, v_from_x0_and_eps(schedule, t, x0, eps))\n",
         "    noise_for_signal = (1 / schedule.alpha_bar[t] - 1) ** 0.5\n"
         "    right = (x0, eps, 1 - 1 / (1 + noise_for_signal))\n"),
        ("(x0, eps, -x0 + 0 * eps)", "(x0, eps, torch.ones(len(t)))"),
        ("(x0, eps, eps)", "(x0, eps, torch.zeros(len(t)))"),
    )  # fmt: skip


def _v_first(draft):
    """Part 4: the three in another order."""
    draft.text(
        (
            "find the data, the noise and the $\\mathbf{v}$ that belong to it. Return the three, in "
            "this order.",
            "find the $\\mathbf{v}$, the data and the noise that belong to it. Return the three, in "
            "this order.",
        )
    )
    draft.change(
        "back-answer",
        ("The x0, eps and v that belong to", "The v, x0 and eps that belong to"),
        ("return x0, eps, signal * eps - sigma * x0", "return signal * eps - sigma * x0, x0, eps"),
    )
    draft.change(
        "back",
        ("(x0, eps, v))", "(v, x0, eps))"),
        ("(x0, eps, v_from_x0_and_eps(schedule, t, x0, eps))",
         "(v_from_x0_and_eps(schedule, t, x0, eps), x0, eps)"),
        ("(x0, eps, -x0 + 0 * eps)", "(-x0 + 0 * eps, x0, eps)"),
        ("(x0, eps, eps)", "(eps, x0, eps)"),
    )  # fmt: skip


def _second_look(draft, of):
    """Part 6, and what calls its function: another method of the second order."""
    draft.text(
        ("by two methods, Euler's and Heun's.", f"by two methods, Euler's and {of['method']}."),
        ("## Part 6: Heun's method (", f"## Part 6: {of['title']} ("),
        (
            "Heun's method walks to the end of the step as Euler does, asks for the velocity there, "
            "*goes back*, and walks the whole step with the mean of the two. (The equation of the "
            "book is the same step, written as a correction of DDIM in $\\mathbf{x}$. In "
            "$\\mathbf{z}$ and $u$ it needs no factors.)",
            of["step"],
        ),
        (
            "There is one exception. No network is asked at the data, where $u = 0$. A step that "
            "ends *there* takes no second look, and is a step of Euler's. So a walk of $S$ steps "
            "down to 0 asks $2S - 1$ times. A walk that ends at some $u$ above 0 asks $2S$ times.",
            "No network is asked at the data, where $u = 0$. Heun's method makes an exception for a "
            f"step that ends there. Yours needs none: {of['place']} is "
            "never at 0. So a walk of $S$ steps asks $2S$ times, down to 0 as well.",
        ),
        (
            "With about ten of them Heun's method is even the worse of the two; with a hundred it is "
            "far ahead. An order is a promise about short steps.",
            of["compared"],
        ),
    )
    draft.change(
        "heun-answer",
        ("by Heun's method; a step to 0 is one of Euler's.", f"by {of['method']}."),
    )
    draft.solve("heun", of["solution"])
    name = of["name"]
    draft.change(
        "heun",
        ("two looks for each step, but no second look where a step ends at u = 0",
         "two looks for each step"),
        ("Asked(normal_velocity, 5, why)", "Asked(normal_velocity, 6, why)"),
        ("[[0.394251, 0.53525], [0.579312, 0.649811], [0.508812, 0.447125]]",
         f"⟦{name}(normal_velocity, some_z, some_times)⟧"),
        ("[[-0.0639323, 0.487977], [0.660449, 0.936404], [0.384494, 0.143034]]",
         f"⟦{name}(normal_velocity, some_z, some_times[:3])⟧"),
        ("        there = z + length * first\n        if times[k + 1] == 0:\n"
         "            return there\n"
         "        z = (z + there + length * velocity(there, times[k + 1].repeat(len(z)))) / 2\n",
         of["test"]),
        ("2 * len(times) - 2 - int(times[-1] == 0)", "2 * len(times) - 2"),
    )  # fmt: skip
    draft.pattern("heun", r"\bby_heun\b", f"by_{name}")
    draft.code(
        ('rows["Heun, 15 evaluations"]', f'rows["{of["row"]}, 16 evaluations"]'),
        ("{walk.__name__:5}", "{walk.__name__:8}"),
    )
    draft.everywhere(r"(?<![-\w])heun(?![-\w])", name)


def _error(draft, largest):
    """Part 7: another mean of the distances."""
    which = "largest" if largest else "mean"
    draft.text(
        (
            "which is the root of the mean squared distance, over all entries,",
            f"which is the {which} distance, over all entries,",
        )
    )
    draft.change(
        "measure-answer",
        ("which should end at z_0.", f"which should end at z_0; the error\n"
         f"    is the {which} distance."),
        ("(found - z_0).square().mean().sqrt()", f"(found - z_0).abs().{'max' if largest else 'mean'}()"),
    )  # fmt: skip
    measured = "⟦measure(careful, normal_velocity, some_z, some_goals, {})[0]⟧"
    draft.change(
        "measure",
        ("(4, 0.0546639, 8)", f"(4, {measured.format(4)}, 8)"),
        ("(9, 0.0490718, 9)", f"(9, {measured.format(9)}, 9)"),
        (
            "((z - z_0) ** 2).sum().div(z.numel()).sqrt()",
            "torch.stack([z - z_0, z_0 - z]).max()"
            if largest
            else "((z - z_0) ** 2).sqrt().sum().div(z.numel())",
        ),
    )


def _hidden(draft):
    """Parts 8 and 9: the mask is true where a pixel is hidden."""
    draft.text(
        (
            "`known` is a tensor of truth values, shaped like `z`,",
            "`hidden` is a tensor of truth values, true where a pixel is to be filled in, shaped "
            "like `z`,",
        )
    )
    draft.change(
        "inpaint-answer",
        ("known entries are those of y, noised to that time.",
         "entries not hidden are those of y, noised to that time."),
        ("torch.where(known, (1 - s) * y + s * fresh, z)",
         "torch.where(hidden, z, (1 - s) * y + s * fresh)"),
        ("def inpaint(velocity, z, y, known, times, noise):",
         "def inpaint(velocity, z, y, hidden, times, noise):"),
    )  # fmt: skip
    draft.change(
        "given-inpaint",
        (
            "some_known = torch.tensor([[True, False]])",
            "some_hidden = torch.tensor([[False, True]])",
        ),
    )
    draft.change(
        "inpaint",
        ("some_x0, some_known,", "some_x0, some_hidden,"),
        ("def by_replacing(velocity, z, y, known, times, noise):\n",
         "def by_replacing(velocity, z, y, hidden, times, noise):\n    known = ~hidden\n"),
        ("given = (z, y, known, times, noise)", "given = (z, y, ~known, times, noise)"),
    )  # fmt: skip
    draft.pattern("given-broken repair-answer", r"\bknown\b", "hidden")
    draft.change(
        "repair",
        ("some_x0, some_known,", "some_x0, some_hidden,"),
        ("def by_visits(velocity, z, y, known, times, visits, noise):\n",
         "def by_visits(velocity, z, y, hidden, times, visits, noise):\n    known = ~hidden\n"),
        ("((z, y, known, times, visits, noise), (z, y, known & False, times, visits, noise))",
         "((z, y, ~known, times, visits, noise), (z, y, known | True, times, visits, noise))"),
    )  # fmt: skip
    draft.code(
        ("start, nothing = torch.randn(2000, 1, generator=generator), torch.zeros(1, 1) > 0",
         "start, all_hidden = torch.randn(2000, 1, generator=generator), torch.ones(1, 1) > 0"),
        ("start, start, nothing, even,", "start, start, all_hidden, even,"),
        ("known = torch.zeros(1, 1, 28, 28, dtype=torch.bool)\nknown[:, :, :14] = True",
         "hidden = torch.zeros(1, 1, 28, 28, dtype=torch.bool)\nhidden[:, :, 14:] = True"),
        ("torch.where(known, y, 0.0)", "torch.where(hidden, 0.0, y)"),
        ("start, y, known, walk, noise[:, 0, 1]", "start, y, hidden, walk, noise[:, 0, 1]"),
        ("start, y, known, walk, visits, noise", "start, y, hidden, walk, visits, noise"),
    )  # fmt: skip


def _soft_mask(draft):
    """Parts 8 and 9: the mask says how sure one is of a pixel."""
    draft.text(
        (
            "what number it holds elsewhere must not matter",
            "what number it holds where `known` is 0 must not matter",
        ),
        (
            "`known` is a tensor of truth values, shaped like `z`, or like one example, $(1, "
            "\\dots)$, for all of them.",
            "`known` is a tensor of numbers from 0 to 1, shaped like `z`, or like one example, $(1, "
            "\\dots)$, for all of them. It says how sure one is of a pixel: 1 stands for one that is "
            "known, and 0 for one that is hidden. In general, what is put in counts with this "
            "weight, and what the step has led to with the rest.",
        ),
        (
            "the known pixels of the answer are `y`, exactly. (`torch.where` chooses entry by "
            "entry.)",
            "the pixels of the answer with a weight of 1 are `y`, exactly.",
        ),
    )
    draft.change(
        "inpaint-answer",
        ("known entries are those of y, noised to that time.",
         "entries are those of y, noised to that time, with the\n    weights `known`, 0..1."),
        ("torch.where(known, (1 - s) * y + s * fresh, z)",
         "torch.where(known > 0, known * ((1 - s) * y + s * fresh) + (1 - known) * z, z)"),
    )  # fmt: skip
    draft.change(
        "given-inpaint",
        ("some_known = torch.tensor([[True, False]])  # the first number of each example is known",
         "some_known = torch.tensor([[1.0, 0.25]])  # the second number is known by a quarter only"),
    )  # fmt: skip
    draft.change(
        "inpaint",
        ("[[0.8, 0.411725], [-1.0, 0.684718], [0.2, 0.413285]]", "⟦inpaint(coupled, *arguments)⟧"),
        ("z = z.masked_scatter(known.expand(z.shape), put_in[known.expand(z.shape)])",
         "z = torch.lerp(z, put_in, known.expand(z.shape))"),
        ("(torch.rand(size, generator=generator) < 0.5 for size in ((1, *shape[1:]), shape))",
         f"(\n        torch.rand(size, generator=generator, {SOFT}\n"
         "        for size in ((1, *shape[1:]), shape)\n    )"),
        ("(one, each, one | True, one & False)", "(one, each, 0 * one + 1, 0 * one)"),
        ("torch.where(known, y, 7.0)", "torch.where(known > 0, y, 7.0)"),
    )  # fmt: skip
    draft.change(
        "repair",
        ("[[0.8, 0.484783], [-1.0, 0.53469], [0.2, 0.405199]]", "⟦repaint(coupled, *arguments)⟧"),
        ("z = torch.where(known, y + s * (noise[k, n, 1] - y), z)",
         "z = torch.lerp(z, y + s * (noise[k, n, 1] - y), known.expand(z.shape))"),
        ("torch.rand(1, *shape[1:], generator=generator) < 0.5",
         f"torch.rand(1, *shape[1:], generator=generator, {SOFT}"),
        ("known & False", "0 * known"),
    )  # fmt: skip
    draft.code(
        ("torch.zeros(1, 1) > 0", "torch.zeros(1, 1)"),
        ("torch.zeros(1, 1, 28, 28, dtype=torch.bool)\nknown[:, :, :14] = True",
         "torch.zeros(1, 1, 28, 28)\nknown[:, :, :14] = 1"),
        ("torch.where(known, y, 0.0)", "known * y"),
    )  # fmt: skip
