"""What can be other in assignment 1 for a class: tools/make_assignments.py --variant asks here."""


def vary(draft, draw):
    """Another number for the width of a normal distribution, and other questions in four parts."""
    width = draw("width", "log_sigma", "log_precision")
    by_precision = width == "log_precision"
    _another_width(draft, width, by_precision)
    _prior(draft, by_precision, variance=draw("variance of the prior", 2, 3, 4, 5))
    if draw("reading", "offset", "deviation") == "offset":
        _reading_with_offset(draft, draw("offset", 0.4, 0.6, -0.4, -0.6))
    else:
        _reading_with_deviation(draft)
    if draw("score", "of the mean", "of the width") == "of the width":
        _score_of_the_width(draft, by_precision)


def _another_width(draft, width, by_precision):
    """`log_variance` becomes ln sigma, or the logarithm of the precision, 1 / sigma^2."""
    said = "log-precision" if by_precision else "log-deviation"
    draft.text(
        (
            r"and `log_variance` is $\ln \sigma^2$.",
            r"its inverse $1 / \sigma^2$ is the *precision*, and `log_precision` is "
            r"$\ln (1 / \sigma^2)$: the larger it is, the narrower the distribution."
            if by_precision
            else r"and `log_sigma` is $\ln \sigma$, the logarithm of the standard deviation.",
        ),
        (
            "Networks give the logarithm of the variance, because that may be any number, while a "
            "variance must be positive.",
            "The networks of this assignment give the logarithm of the precision, because that may "
            "be any number, while a precision must be positive."
            if by_precision
            else "The networks of this assignment give the logarithm of the standard deviation, "
            "because that may be any number, while a standard deviation must be positive.",
        ),
        ("gives a mean and a log-variance for", f"gives a mean and a {said} for"),
    )
    draft.code(("its log-variance", f"its {said}"))
    public = ("given-broken", "repair-answer", "repair")  # Part 8 stays as it is
    exponential = r"exp(-log_variance\1)" if by_precision else r"exp(2 log_variance\1)"
    draft.everywhere(r"exp\(log_variance(_\d)?\)", exponential, but=public)
    root = r"(-\1 / 2).exp()" if by_precision else r"\1.exp()"
    halved = r"\((log_variance(?:_\d)?(?:\.double\(\))?) / 2\)\.exp\(\)"
    draft.pattern("density kl prior estimate score", halved, root)
    draft.pattern("reparameterise", r"\(0\.5 \* (log_variance)\)\.exp\(\)", root)
    draft.everywhere(r"\blog_variance(?=_\d\b|\b)", width, but=public)
    slope = "-0.5 * (" if by_precision else ""
    draft.change("reparameterise", ("    0.5 * (", f"    {slope}") if by_precision else
                 (f"    0.5 * {width}.exp()", f"    {width}.exp()"))  # fmt: skip
    _solve(draft, by_precision)
    if not by_precision:  # twice as far in the exponent, so half of the extremes and widths
        draft.change(
            "estimate",
            ("torch.tensor([0.3, -0.5, 0.8])", "torch.tensor([0.15, -0.25, 0.4])"),
            ("torch.tensor([-0.4, 0.6, 0.8])", "torch.tensor([-0.2, 0.3, 0.4])"),
        )
        draft.change("score", ("torch.tensor(0.7)", "torch.tensor(0.35)"))
        draft.change("density", ("torch.tensor([-80.0, 80.0])", "torch.tensor([-40.0, 40.0])"))
        draft.change("reparameterise", ("(-100.0, 0.0, 80.0)", "(-50.0, 0.0, 40.0)"))
        draft.change(
            "kl",
            ("(-40.0, 40.0)", "(-20.0, 20.0)"),
            ("(one, 50 + one, -one, 48 + one)", "(one, 25 + one, -one, 24 + one)"),
            ("(one + 100, one - 10, -one, one - 12)", "(one + 100, one - 5, -one, one - 6)"),
        )
    of_mean = f"mean, {width}"
    draft.change("density", ("[-1.13234, -0.609214, -2.13468]", f"⟦log_density(x, {of_mean})⟧"))
    draft.change(
        "reparameterise",
        ("[1.99182, -1.37041, 6.234]", f"⟦reparameterise({of_mean}, eps)⟧"),
        (
            "[0.745912, -0.185205, 2.117]",
            f"⟦gradient(reparameterise, {of_mean}, eps, of=1)⟧",
        ),
    )
    draft.change("kl", ("[0.522373, 0.392055, 0.0]", "⟦kl_normal(*arguments)⟧"))
    draft.change("prior", ("[0.905653, 1.94631]", f"⟦prior_kl({of_mean})⟧"))
    draft.change("estimate", ("[0.56522, 0.392676]", "⟦kl_estimate(*arguments)⟧"))
    draft.change("score", ("[0.291241, 0.0210439, 10.4662]", "⟦score_gradient(*arguments)⟧"))


def _solve(draft, by_precision):
    if by_precision:
        draft.solve(
            "density",
            "squared = (x - mean) ** 2 * log_precision.exp()\n"
            "return 0.5 * (log_precision - math.log(2 * math.pi) - squared)",
        )
        draft.solve("reparameterise", "return mean + (-log_precision / 2).exp() * eps")
        draft.solve(
            "kl",
            "ratio = (log_precision_2 - log_precision_1).exp()\n"
            "distance = (mean_1 - mean_2) ** 2 * log_precision_2.exp()\n"
            "return 0.5 * (ratio - 1 + distance + log_precision_1 - log_precision_2)",
        )
    else:
        draft.solve(
            "density",
            "squared = ((x - mean) / log_sigma.exp()) ** 2\n"
            "return -0.5 * (math.log(2 * math.pi) + squared) - log_sigma",
        )
        draft.solve("reparameterise", "return mean + log_sigma.exp() * eps")
        draft.solve(
            "kl",
            "ratio = (2 * (log_sigma_1 - log_sigma_2)).exp()\n"
            "distance = ((mean_1 - mean_2) / log_sigma_2.exp()) ** 2\n"
            "return 0.5 * (ratio - 1 + distance) + log_sigma_2 - log_sigma_1",
        )
    of = "* log_precision.exp()" if by_precision else "/ (2 * log_sigma).exp()"
    draft.change(
        "score-answer", (f"/ {'log_precision' if by_precision else 'log_sigma'}.exp()", of)
    )


def _prior(draft, by_precision, variance):
    """The prior has another variance than 1."""
    draft.text(
        (
            "and the prior is standard normal.",
            f"and the prior is normal with mean 0 and variance {variance} for each of them.",
        ),
        (
            "## Part 4: the prior term of a VAE",
            "## Part 4: the prior term of a VAE with a wide prior",
        ),
    )
    draft.change("prior-answer", ("|| N(0, I))", f"|| N(0, {variance} I))"))
    width = f"-math.log({variance})" if by_precision else f"math.log({variance}) / 2"
    draft.change("prior-answer", ("zero, zero)", f"zero, zero + {width})".replace("+ -", "- ")))
    draft.change("prior", ("torch.ones_like(mean))", f"{variance}**0.5 * torch.ones_like(mean))"))


def _reading_with_offset(draft, offset):
    """The instrument reads too high, or too low, by a known number."""
    shift = f"{'+' if offset > 0 else '-'} {abs(offset)}"
    back = f"y {'-' if offset > 0 else '+'} {abs(offset)}"
    draft.text(
        (r"$y = a z + \sqrt{W}\,\epsilon$ with", rf"$y = a z {shift} + \sqrt{{W}}\,\epsilon$ with"),
        ("scaled and noisy:", f"scaled, off by a known number ({offset}), and noisy:"),
    )
    draft.change(
        "reading-answer",
        ("y = a z + N(0, W)", f"y = a z {shift} + N(0, W)"),
        ("(y - a * m)", f"({back} - a * m)"),
    )
    draft.change(
        "reading",
        ("(y - a * z)", f"({back} - a * z)"),
        ("a * readings / W", f"a * (readings{back[1:]}) / W"),
        (
            "([1.51266, -0.521519, -0.337398], [0.379747, 0.141772, 0.97561])",
            "⟦posterior(m, V, a, W, y)⟧",
        ),
    )


def _reading_with_deviation(draft):
    """The widths go in and come out as standard deviations."""
    draft.text(
        (r"$z \sim \mathcal{N}(m, V)$", r"$z \sim \mathcal{N}(m, V^2)$"),
        (r"$y = a z + \sqrt{W}\,\epsilon$ with", r"$y = a z + W\,\epsilon$ with"),
        ("Find its mean and its variance, by", "Find its mean and its standard deviation, by"),
        ("(The variance depends on", "(The standard deviation depends on"),
        (
            "Here $V$ and $W$ are *variances*, not their logarithms.",
            "Here $V$ and $W$ are *standard deviations*, not their logarithms and not variances.",
        ),
    )
    draft.change(
        "reading-answer",
        ("The mean and the variance of z", "The mean and the standard deviation of z"),
        ("z ~ N(m, V) and y = a z + N(0, W)", "z ~ N(m, V^2) and y = a z + N(0, W^2)"),
    )
    draft.solve(
        "reading",
        "gain = a * V**2 / (a**2 * V**2 + W**2)\n"
        "return m + gain * (y - a * m), (1 - gain * a).sqrt() * V",
    )
    draft.change(
        "reading",
        ("/ (2 * V) -", "/ (2 * V**2) -"),
        ("/ (2 * W)", "/ (2 * W**2)"),
        ("Known((mean, variance)", "Known((mean, variance.sqrt())"),
        (
            "(m / V + a * readings / W) / (1 / V + a**2 / W)",
            "(m / V**2 + a * readings / W**2) / (1 / V**2 + a**2 / W**2)",
        ),
        (
            "([1.51266, -0.521519, -0.337398], [0.379747, 0.141772, 0.97561])",
            "⟦posterior(m, V, a, W, y)⟧",
        ),
    )


def _score_of_the_width(draft, by_precision):
    """The derivative with respect to the width, in the place of the mean."""
    width = "log_precision" if by_precision else "log_sigma"
    name = r"\lambda" if by_precision else r"\ell"
    what = r"$\lambda = \ln (1 / \sigma^2)$" if by_precision else r"$\ell = \ln \sigma$"
    draft.text(
        (
            "\\frac{\\partial}{\\partial \\mu}\\, \\mathbb{E}[f(z)] = \\mathbb{E}\\Big[ f(z)\\, "
            "\\frac{\\partial}{\\partial \\mu} \\ln p(z) \\Big] ,",
            f"\\frac{{\\partial}}{{\\partial {name}}}\\, \\mathbb{{E}}[f(z)] = \\mathbb{{E}}\\Big[ "
            f"f(z)\\, \\frac{{\\partial}}{{\\partial {name}}} \\ln p(z) \\Big] ,",
        ),
        (r"because $\partial p = p \, \partial \ln p$.", "because $\\partial p = p \\, \\partial "
         f"\\ln p$. Here {what} is what the functions above call `{width}`."),
        (r"In $\partial \ln p(z) / \partial \mu$ the draw",
         rf"In $\partial \ln p(z) / \partial {name}$ the draw"),
        ("with a growing $c$.",
         f"with a growing $c$. Here both are derivatives by `{width}`."),
    )  # fmt: skip
    draft.change(
        "score-answer", ("ln p(z) with respect to the mean", f"ln p(z) with respect to {width}")
    )
    half = "(1 - eps**2) / 2" if by_precision else "(eps**2 - 1)"
    draft.solve("score", f"z = reparameterise(mean, {width}, eps)\nreturn f(z) * {half}")
    slope = "-(-log_precision).exp()" if by_precision else "2 * (2 * log_sigma).exp()"
    draft.change(
        "score",
        ("[0.5, -1.0, 1.8]", "[0.5, -0.7, 1.8]"),  # at -1 the answer is 0
        ("* eps / sigma", f"* {half}"),
        ("    2 * mean,\n", f"    {slope},\n"),
        ("atol=0.1,", "atol=0.1," if by_precision else "atol=0.5,"),
    )
    by = "(-eps / 2)" if by_precision else "eps"
    draft.code(("2 * (reparameterise(mean, ", f"2 * {by} * (reparameterise(mean, "))
