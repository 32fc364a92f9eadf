"""What can be other in assignment 5 for a class: tools/make_assignments.py --variant asks here."""

WALK = """
import math
from fractions import Fraction


def exact(T, steps):
    \"\"\"Rounded without floats.\"\"\"
    times = [math.{rounded}(Fraction(T * j, steps)) for j in range(steps, -1, -1)]
    return torch.tensor([*zip(times[:-1], times[1:], strict=True)])


for T, steps in [(1000, 7), (1000, 25), (1000, 1000), (50, 50), (50, 1), (17, 3), (1, 1), (2, 2)]:
    examine(step_pairs, (T, steps), exact)
"""


def vary(draft, draw):
    """Another table in all steps, another walk, and another way to ask for guidance."""
    _walk(draft, down=draw("walk", "rounded down", "rounded up") == "rounded down")
    _another_table(draft, draw("table", "sigma", "signal"))
    if draw("guidance", "by a scale", "null first") == "by a scale":
        _guidance_by_a_scale(draft)
    else:
        _null_first(draft)


def _walk(draft, down):
    """Part 1: the times are rounded to one side."""
    side = "down" if down else "up"
    draft.text(
        (
            "each rounded to the nearest whole number. (The book calls this *trailing* spacing. The "
            "tests have no times half-way between two whole numbers.)",
            f"each rounded {side} to a whole number, where it is none.",
        )
    )
    rounded = "T * j // steps" if down else "-(-T * j // steps)"
    draft.change("pairs-answer", ("round(T * j / steps)", rounded))
    pairs = "[[13, 8], [8, 4], [4, 0]]" if down else "[[13, 9], [9, 5], [5, 0]]"
    draft.change("pairs", ("[[13, 9], [9, 4], [4, 0]]", pairs))
    draft.hidden("pairs", WALK.format(rounded="floor" if down else "ceil"))


def _another_table(draft, table):
    """Parts 2, 3, 4 and 6: the noise, or the share of the picture, as a factor and not a variance."""
    of_noise = table == "sigma"
    back = "1 - sigma**2" if of_noise else "signal**2"
    made = (lambda of: f"(1 - {of}).sqrt()") if of_noise else (lambda of: f"{of}.sqrt()")
    draft.text(
        (
            "`alpha_bar` is a table of length $T + 1$, indexed by $t$ itself: `alpha_bar[t]` is "
            r"$\bar\alpha_t$, and `alpha_bar[0]` is 1.",
            f"`{table}` is a table of length $T + 1$, indexed by $t$ itself: `{table}[t]` is "
            + (
                r"$\sqrt{1 - \bar\alpha_t}$, the standard deviation of the noise, and `sigma[0]` is 0."
                if of_noise
                else r"$\sqrt{\bar\alpha_t}$, the factor of the data, and `signal[0]` is 1."
            ),
        ),
        (
            r"Two entries of the table $\bar\alpha$ give this product.",
            "Two entries of the table give this product.",
        ),
        ("And `eta` and `alpha_bar` are as before.", f"And `eta` and `{table}` are as before."),
    )
    draft.change(
        "given",
        ("# The alpha_bar of a short chain", f"# The table `{table}` of a short chain"),
        ("short = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.1], dtype=torch.float64)",
         f"short = {made('torch.tensor([1.0, 0.9, 0.7, 0.4, 0.1], dtype=torch.float64)')}"),
    )  # fmt: skip
    draft.change(
        "given-toy", ("a = short[t]", "a = 1 - short[t] ** 2" if of_noise else "a = short[t] ** 2")
    )
    for part in ("guess", "ancestral", "ddim"):
        draft.pattern(f"{part}-answer", r"(def .*)alpha_bar", rf"\1{table}")
        draft.pattern(
            f"{part}-answer",
            r"### BEGIN SOLUTION\n",
            f"### BEGIN SOLUTION\n    alpha_bar = {back}\n",
        )
    draft.pattern("sampler-answer", r"\balpha_bar\b", table)
    draft.pattern("guess ancestral ddim sampler", r"schedule\.alpha_bar\)",
                  f"{made('schedule.alpha_bar')})")  # fmt: skip
    draft.change("ddim", ("0.0, picture, a)", f"0.0, picture, {made('a')})"))
    draft.change(
        "given-digits",
        ("alpha_bar, null = model.schedule.alpha_bar,",
         f"{table}, null = {made('model.schedule.alpha_bar')},"),
        ("0.0, noise, alpha_bar)", f"0.0, noise, {table})"),
    )  # fmt: skip
    draft.change("sampler", ("1.0, noise, alpha_bar)", f"1.0, noise, {table})"))
    draft.code(
        ("eta, noise, alpha_bar)", f"eta, noise, {table})"),
        ("t, s, z, table)", f"t, s, z, {made('table')})"),
        ("t, s, 0.0, z, table)", f"t, s, 0.0, z, {made('table')})"),
    )


def _guidance_by_a_scale(draft):
    """Part 5: the scale of other programs."""
    draft.text(
        (
            "*Classifier-free guidance* starts at the answer with the label, and goes on in the "
            "direction that leads there from the answer without. How far? A number $w \\ge 0$ times "
            "the difference of the two. So $w = 0$ is no guidance. That is what $w$ means in this "
            "book. (Other programs use $1 + w$ and call it the *guidance scale*.)",
            "*Classifier-free guidance* starts at the answer *without* the label, and goes in the "
            "direction of the answer with it. How far? A scale $s \\ge 1$ times the difference of "
            "the two. So $s = 1$ is no guidance. (This is the scale of many programs. The $w$ of "
            "the book is $s - 1$.)",
        ),
        (
            "- `network`, `label`, `w` and `null` are those of Part 5.",
            "- `network`, `label` and `null` are those of Part 5. `w` is the one of the book, so the "
            "scale is $s = 1 + w$.",
        ),
    )
    draft.change(
        "guidance-answer",
        ("label, w, null)", "label, scale, null)"),
        ("w = 0 is the answer", "scale 1 is the answer"),
        ("told + w * (told - untold)", "untold + scale * (told - untold)"),
    )
    draft.change(
        "guidance",
        ("label, 1.5, 3)", "label, 2.5, 3)"),
        ("label, w, 5)", "label, 1 + w, 5)"),
        ("label[1:2], w, 5)", "label[1:2], 1 + w, 5)"),
        ("label, 2.0, 10)", "label, 3.0, 10)"),
    )
    draft.change(
        "sampler-answer", ("label, w, null)\n        x0_hat", "label, 1 + w, null)\n        x0_hat")
    )


def _null_first(draft):
    """Part 5: the null token comes before w."""
    draft.text(
        (
            "`null` is a single number, the label that stands for the null token.",
            "`null` is a single number, the label that stands for the null token. It comes before "
            "`w` here.",
        )
    )
    draft.change("guidance-answer", ("label, w, null)", "label, null, w)"))
    draft.change(
        "guidance",
        ("label, 1.5, 3)", "label, 3, 1.5)"),
        ("label, w, 5)", "label, 5, w)"),
        ("label[1:2], w, 5)", "label[1:2], 5, w)"),
        ("label, 2.0, 10)", "label, 10, 2.0)"),
    )
    draft.change(
        "sampler-answer", ("label, w, null)\n        x0_hat", "label, null, w)\n        x0_hat")
    )
