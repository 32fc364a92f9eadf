"""What can be other in assignment 3 for a class: tools/make_assignments.py --variant asks here."""

ROOT_LINEAR = """
def kept(T, beta_1, beta_T):
    \"\"\"The table of alpha_bar where the root of beta is linear.\"\"\"
    low, high, table = beta_1**0.5, beta_T**0.5, [1.0]
    for t in range(T):
        table.append(table[-1] * (1 - (low + (high - low) * t / (T - 1)) ** 2))
    return torch.tensor(table, dtype=torch.float64)


"""


def vary(draft, draw):
    """Another table in all parts, and other questions in five."""
    table = draw("table", "noise", "signal")
    noise = table == "noise"
    made = (lambda of: f"1 - {of}") if noise else (lambda of: f"{of}.sqrt()")
    _another_table(draft, table, made, back="1 - noise" if noise else "signal**2")
    if draw("linear", "beta", "its root") == "its root":
        _root_linear(draft, made)
    _cut_elsewhere(draft, made, draw("largest beta", 0.98, 0.99, 0.995))
    if draw("ratio", "natural", "decibels") == "decibels":
        _decibels(draft)
    if draw("views", "x0 first", "v first") == "v first":
        _v_first(draft)
    if draw("posterior", "deviation", "x_t first") == "deviation":
        _deviation(draft)
    else:
        _x_t_first(draft)
    if draw("levels", "from 0 to 1", "negative") == "negative":
        _negative(draft)
    else:
        _from_0_to_1(draft)


def _another_table(draft, table, made, back):
    """A table of 1 - alpha_bar, or of the root of alpha_bar, in the place of alpha_bar."""
    noise = table == "noise"
    holds = r"$1 - \bar\alpha_t$, the variance of the noise" if noise else r"$\sqrt{\bar\alpha_t}$"
    draft.text(
        (
            "This one table is all that the rest of the assignment needs.",
            f"The table of the rest of the assignment, `{table}`, holds {holds}, so its entry 0 is "
            f"{0 if noise else 1}.",
        ),
        (
            r"later you subtract it from 1, and $1 - \bar\alpha_1$ is as small as $10^{-4}$.",
            "its first entries are as small as $10^{-4}$."
            if noise
            else r"later you subtract its square from 1, and $1 - \bar\alpha_1$ is as small as "
            "$10^{-4}$.",
        ),
        (
            r"From these $\beta_t$, the table of $\bar\alpha_t$ is made as in Part 1.",
            rf"From these $\beta_t$, the table `{table}` is made as in Part 1.",
        ),
    )
    if noise:  # 1 - 1e-30 is 1
        draft.text(("may be as small as $10^{-30}$", "may be as small as $10^{-12}$"))
        draft.change("snr", ("[1.0, 1e-30]", "[1.0, 1e-12]"), ("-69.0776", "-27.6310"))
    of = "1 - alpha_bar" if noise else "sqrt(alpha_bar)"
    draft.everywhere(r"\b(linear|cosine)_alpha_bar\b", r"\1_table")
    for part in ("linear", "cosine"):
        draft.change(f"{part}-answer", ("The table of alpha_bar for", f"The table of {of} for"))
        draft.pattern(
            f"{part}-answer",
            r"return torch\.cat\((.*)\)\n",
            rf"alpha_bar = torch.cat(\1)\n    return {made('alpha_bar')}\n",
        )
    for part in ("snr", "sample", "views", "posterior"):
        draft.pattern(f"{part}-answer", r"(def \w+\()alpha_bar", rf"\1{table}")
        draft.pattern(
            f"{part}-answer",
            r"### BEGIN SOLUTION\n",
            f"### BEGIN SOLUTION\n    alpha_bar = {back}\n",
        )
    draft.change("snr-answer", ("    alpha_bar (T + 1,)", f"    {table} (T + 1,)"))

    one, last = ("{}", "1 - {}") if noise else ("1 - {} ** 2", "{} ** 2")
    for part in ("linear", "cosine"):
        first = f"{part}_table(1000, 1e-4, 0.02)" if part == "linear" else "cosine_table(1000)"
        draft.change(
            part,
            (f"check(1 - {first}[1],", f"check({one.format(first + '[1]')},"),
            (f"check({first}[1000],", f"check({last.format(first + '[1000]')},"),
        )
    draft.pattern(
        "linear cosine",
        r"exact = (NoiseSchedule\.\w+\(.*?\)\.alpha_bar)",
        rf"exact = {made(chr(92) + '1')}",
    )
    draft.change(
        "linear",
        ("[1.0, 0.9, 0.7425, 0.556875, 0.375891, 0.225534]", "⟦linear_table(5, 0.1, 0.4)⟧"),
    )
    draft.change(
        "cosine",
        ("[1.0, 0.786245, 0.437708, 0.175083, 0.0700332]", "⟦cosine_table(4, 0.1, 0.6)⟧"),
        ("NoiseSchedule.cosine(20).alpha_bar", made("NoiseSchedule.cosine(20).alpha_bar")),
        (
            "NoiseSchedule.cosine(30, 0.05, 0.7).alpha_bar",
            made("NoiseSchedule.cosine(30, 0.05, 0.7).alpha_bar"),
        ),
    )
    in_double = r"(torch\.tensor\(\[1\.0, 1(?:e-\d+| - 1e-\d+)[^\]]*\], dtype=torch\.float64\))"
    draft.pattern("snr sample views", in_double, made(r"\1"))
    draft.pattern(
        "snr sample views posterior",
        r"([\[(])schedule\.alpha_bar",
        rf"\g<1>{made('schedule.alpha_bar')}",
    )
    shown = r"torch\.tensor\((\[1\.0, 0\.9[^\]]*\]), dtype=torch\.float64\)"
    tables = {
        "snr": ([0.0, 0.05, 0.3, 0.6, 0.9, 0.99], [1.0, 0.98, 0.8, 0.6, 0.3, 0.1]),
        "sample": ([0.0, 0.1, 0.35, 0.6, 0.85], [1.0, 0.95, 0.8, 0.6, 0.4]),
        "views": ([0.0, 0.1, 0.35, 0.6, 0.85], [1.0, 0.95, 0.8, 0.6, 0.4]),
        "posterior": ([0.0, 0.1, 0.28, 0.55, 0.8, 0.97], [1.0, 0.95, 0.85, 0.7, 0.45, 0.2]),
    }
    for part, numbers in tables.items():
        other = f"torch.tensor({numbers[0] if noise else numbers[1]}, dtype=torch.float64)"
        draft.pattern(part, shown, other)
    draft.pattern("snr", r"right = \[math\.inf.*\]", "right = ⟦log_snr(table)⟧")
    draft.pattern(
        "sample", r"right = \[.*\]", "right = ⟦q_sample(table, x0, torch.tensor([3, 2]), eps)⟧"
    )
    draft.pattern(
        "views", r"x0, v = \[.*\]", "x0, v = ⟦views(table, x_t, torch.tensor([3, 2]), eps)⟧"
    )
    draft.pattern(
        "posterior",
        r"right = \(\[.*\]\)",
        "right = ⟦posterior(table, x0, x_t, torch.tensor([5, 4]), torch.tensor([3, 1]))⟧",
    )


def _root_linear(draft, made):
    """Part 1: the root of beta rises in a straight line."""
    draft.text(
        ("## Part 1: the linear schedule", "## Part 1: a schedule with a linear root"),
        (
            "In the linear schedule, $\\beta_t$ rises in a straight line from $\\beta_1$ at $t = 1$ "
            "to $\\beta_T$ at $t = T$.",
            "In this schedule the *root* $\\sqrt{\\beta_t}$ rises in a straight line, from "
            "$\\sqrt{\\beta_1}$ at $t = 1$ to $\\sqrt{\\beta_T}$ at $t = T$.",
        ),
    )
    draft.change(
        "linear-answer",
        ("where beta is linear", "where sqrt(beta) is linear"),
        (
            "torch.linspace(beta_1, beta_T, T, dtype=torch.float64)",
            "torch.linspace(beta_1**0.5, beta_T**0.5, T, dtype=torch.float64) ** 2",
        ),
    )
    draft.change(
        "linear",
        ("for T, beta_1, beta_T in", f"{ROOT_LINEAR}for T, beta_1, beta_T in"),
        (
            made("NoiseSchedule.linear(T, beta_1, beta_T).alpha_bar"),
            made("kept(T, beta_1, beta_T)"),
        ),
        ("4.03583e-5", "kept(1000, 1e-4, 0.02)[1000]"),
    )


def _cut_elsewhere(draft, made, largest):
    """Part 2: beta is cut to another number, unless it is given."""
    draft.text(("usually 0.999:", f"here {largest} unless it is given:"))
    draft.change("cosine-answer", ("beta_max=0.999", f"beta_max={largest}"))
    by_package = f"NoiseSchedule.cosine(1000, 0.008, {largest}).alpha_bar[1000]"
    draft.change(
        "cosine",
        ("NoiseSchedule.cosine(20)", f"NoiseSchedule.cosine(20, 0.008, {largest})"),
        ("2.4288e-9", by_package),
    )


def _decibels(draft):
    """Part 3: ten times the logarithm to base 10."""
    draft.text(
        (
            "so one looks at its natural logarithm.",
            "so one looks at it in *decibels*, as in acoustics: ten times its logarithm to base 10.",
        )
    )
    draft.change(
        "snr-answer",
        ("ln SNR(t) for", "10 log10 SNR(t) for"),
        ("(alpha_bar / (1 - alpha_bar)).log()", "10 * (alpha_bar / (1 - alpha_bar)).log10()"),
    )
    draft.change(
        "snr",
        ("schedule.snr.log()", "10 * schedule.snr.log10()"),
        ("- 10 * math.log(10))", "- 100)"),
    )
    draft.pattern("snr", r"\[math\.inf, -(?:69\.0776|27\.6310)\]",
                  "[math.inf, " + ("-120.0]" if "1e-12" in draft.cell("snr").source else "-300.0]"))  # fmt: skip
    draft.code(('set_ylabel("ln SNR")', 'set_ylabel("SNR in decibels")'),
               ("set_ylim(-12, 12)", "set_ylim(-50, 50)"))  # fmt: skip


def _v_first(draft):
    """Part 5: the two results in the other order."""
    draft.text(
        (
            r"Find the $\mathbf{x}_0$ and the $\mathbf{v}$ that belong to a guess `eps` at `x_t`.",
            r"Find the $\mathbf{v}$ and the $\mathbf{x}_0$ that belong to a guess `eps` at `x_t`.",
        )
    )
    draft.change(
        "views-answer",
        ("The x0 and the v that", "The v and the x0 that"),
        ("return x0, signal * eps - sigma * x0", "return signal * eps - sigma * x0, x0"),
    )
    draft.change(
        "views",
        ("x0, v = ", "v, x0 = "),
        ("(x0, v)", "(v, x0)"),
        (
            "(x0, v_from_x0_and_eps(schedule, t, x0, eps))",
            "(v_from_x0_and_eps(schedule, t, x0, eps), x0)",
        ),
        ("Known((x0, eps)", "Known((eps, x0)"),
        (
            "(-((1 - a) / a).sqrt() * eps, eps / a.sqrt())",
            "(eps / a.sqrt(), -((1 - a) / a).sqrt() * eps)",
        ),
    )
    draft.code(("{errors[0]:13.4f} {errors[1]:12.4f}", "{errors[1]:13.4f} {errors[0]:12.4f}"))


def _deviation(draft):
    """Part 6: the standard deviation in the place of the variance."""
    draft.text(
        (
            "Find its mean and its variance on paper, and write them so that $s = 0$ works with no "
            r"special case: there the mean is $\mathbf{x}_0$ and the variance is 0.",
            "Find its mean and its standard deviation on paper, and write them so that $s = 0$ works "
            r"with no special case: there the mean is $\mathbf{x}_0$ and the deviation is 0.",
        ),
        ("The variance is one number for each", "The standard deviation is one number for each"),
    )
    draft.change(
        "posterior-answer",
        ("Mean and variance of x_s", "Mean and deviation of x_s"),
        ("return mean, (1 - at_s) / (1 - at_t) * (1 - ratio)",
         "return mean, ((1 - at_s) / (1 - at_t) * (1 - ratio)).sqrt()"),
    )  # fmt: skip
    draft.change(
        "posterior",
        ("at s = 0 the variance is 0,", "at s = 0 the standard deviation is 0,"),
        ("(mean, variance.flatten())", "(mean, variance.flatten().sqrt())"),
        ("[centre, (weight * (grid - centre) ** 2).sum()]",
         "[centre, (weight * (grid - centre) ** 2).sum().sqrt()]"),
    )  # fmt: skip
    draft.code(
        ("mean, variance = posterior(cosine, digits", "mean, sigma = posterior(cosine, digits"),
        ("sigma = variance.reshape(-1, 1, 1, 1).sqrt()", "sigma = sigma.reshape(-1, 1, 1, 1)"),
    )


def _x_t_first(draft):
    """Part 6: the noisy picture comes before the clean one."""
    draft.text(("`t` and `s` both have the shape $(B,)$.",
                "The noisy picture is the second argument, and the clean one the third. `t` and `s` "
                "both have the shape $(B,)$."))  # fmt: skip
    draft.pattern("posterior-answer", r"x0, x_t, t, s\)", "x_t, x0, t, s)")
    draft.pattern(
        "posterior", r"(table|schedule\.alpha_bar(?:\.sqrt\(\))?), x0, x_t, t", r"\1, x_t, x0, t"
    )
    draft.change("posterior", ("for x in (value_0, value_t)", "for x in (value_t, value_0)"))
    draft.code(
        ("posterior(cosine, digits[2:3], x_t, t, s)", "posterior(cosine, x_t, digits[2:3], t, s)")
    )


def _from_0_to_1(draft):
    """Part 7: grey values from 0 to 1."""
    draft.text(
        ("x = \\frac{2k}{L - 1} - 1 ,", "x = \\frac{k}{L - 1} ,"),
        ("so that level 0 is $-1$, black, and level $L - 1$ is $1$, white.",
         "so that level 0 is $0$, black, and level $L - 1$ is $1$, white: here, as in most programs, "
         "values run from 0 to 1."),
        ("and a little of it lies outside $[-1, 1]$.", "and a little of it lies outside $[0, 1]$."),
    )  # fmt: skip
    draft.change("levels-answer", ("((images + 1) * (L - 1) / 2)", "(images * (L - 1))"))
    draft.change(
        "levels",
        ("[-1.3, -0.86, -0.12, 0.62, 1.4]", "[-0.15, 0.07, 0.44, 0.81, 1.2]"),
        ("2 * k.float() / (L - 1) - 1", "k.float() / (L - 1)"),
        ("to_bytes(noise)", "to_bytes(2 * noise - 1)"),
        ("to_bytes(far)", "to_bytes(2 * far - 1)"),
        ("[[-1.2, -0.36], [0.21, 3.0]]", "[[-0.1, 0.32], [0.605, 2.0]]"),
        ("torch.tensor([0.2])", "torch.tensor([0.6])"),
    )
    draft.code(("to_levels(digits[1:4], L)", "to_levels((digits[1:4] + 1) / 2, L)"))


def _negative(draft):
    """Part 7: the lowest level is white."""
    draft.text(
        ("x = \\frac{2k}{L - 1} - 1 ,", "x = 1 - \\frac{2k}{L - 1} ,"),
        ("so that level 0 is $-1$, black, and level $L - 1$ is $1$, white.",
         "so that level 0 is $1$, white, and level $L - 1$ is $-1$, black, as when ink is measured."),
    )  # fmt: skip
    draft.change("levels-answer", ("(images + 1)", "(1 - images)"))
    draft.change(
        "levels",
        ("[0, 0, 2, 3, 4]", "⟦to_levels(images, 5)⟧"),
        ("2 * k.float() / (L - 1) - 1", "1 - 2 * k.float() / (L - 1)"),
        ("to_bytes(noise)", "to_bytes(-noise)"),
        ("to_bytes(far)", "to_bytes(-far)"),
        ("[[0, 2], [4, 7]]", "[[7, 5], [3, 0]]"),
        ("L=2), [1])", "L=2), [0])"),
    )
    draft.code(("restored = 2 * to_levels(digits[1:4], L).float() / (L - 1) - 1",
                "restored = 1 - 2 * to_levels(digits[1:4], L).float() / (L - 1)"))  # fmt: skip
