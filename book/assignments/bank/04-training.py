"""What can be other in assignment 4 for a class: tools/make_assignments.py --variant asks here."""

FEATURES = '''
def exact(t, width):
    """Each number by itself."""
    half = width // 2
    angles = [[step * {base}.0 ** (-i / half) for i in range(half)] for step in t.tolist()]
    return torch.tensor([{row} for row in angles])


for steps, width in [(range(1, 40), 32), ([1, 500, 1000], 10), ([3], 2), ([1], 4)]:
    examine(step_features, (torch.tensor(steps), width), exact, atol=3e-4)
'''


def vary(draft, draw):
    """Other features, steps, arguments of the loss and numbers of the average."""
    base = draw("base of the features", 5_000, 8_000, 12_000, 20_000)
    _features(draft, base, draw("order of the features", "sines first", "in pairs"))
    if draw("steps", "from the end", "from -1 to 1") == "from the end":
        _steps_from_the_end(draft)
    else:
        _steps_from_minus_1(draft)
    _loss(draft, draw("loss", "noise before t", "table first"))
    _average(draft, *draw("warm start", (2, 12), (1, 8), (2, 15)))


def _features(draft, base, order):
    """Part 1: other speeds, and the features in another order."""
    pairs = order == "in pairs"
    draft.text(
        ("\\omega_i = 10000^{-i/K} .", f"\\omega_i = {base}^{{-i/K}} ."),
        (
            r"are first the $K$ numbers $\cos(\omega_i t)$, in the order of $i$, then the $K$ "
            r"numbers $\sin(\omega_i t)$ in the same order.",
            r"are the two hands of each clock in turn, in the order of $i$: $\cos(\omega_0 t)$, "
            r"$\sin(\omega_0 t)$, $\cos(\omega_1 t)$, $\sin(\omega_1 t)$, and so on."
            if pairs
            else r"are first the $K$ numbers $\sin(\omega_i t)$, in the order of $i$, then the $K$ "
            r"numbers $\cos(\omega_i t)$ in the same order.",
        ),
    )
    draft.change(
        "features-answer",
        (
            "Cosines, then sines, of",
            "Cosine and sine, in turn, of" if pairs else "Sines, then cosines, of",
        ),
        ("10_000.0 **", f"{base:_}.0 **"),
        (
            "torch.cat([angles.cos(), angles.sin()], dim=1)",
            "torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)"
            if pairs
            else "torch.cat([angles.sin(), angles.cos()], dim=1)",
        ),
    )
    if pairs:
        draft.text(
            (
                "The upper rows of each half are the fast clocks, which tell neighbours apart.",
                "The upper rows are the fast clocks, which tell neighbours apart.",
            )
        )
        row = "[hand(a) for a in row for hand in (math.cos, math.sin)]"
    else:
        row = "[math.sin(a) for a in row] + [math.cos(a) for a in row]"
    draft.pattern("features", r"early = \[.*\]", "early = ⟦step_features(torch.tensor([2]), 6)[0]⟧")
    draft.pattern("features", r"late = \[.*\]", "late = ⟦step_features(torch.tensor([9]), 6)[0]⟧")
    draft.hidden("features", FEATURES.format(base=base, row=row))


def _steps_from_the_end(draft):
    """Part 2: small numbers give late steps."""
    draft.text(
        (
            "A `u` in the first piece gives $t = 1$, one in the last gives $t = T$.",
            "A `u` in the first piece gives $t = T$, one in the second $t = T - 1$, and one in the "
            "last gives $t = 1$.",
        )
    )
    draft.change("times-answer", ("(u * T).long() + 1", "T - (u * T).long()"))
    draft.change(
        "times",
        ("[5, 1, 1, 8, 8]", "[4, 8, 8, 1, 1]"),
        ("right = (u_inside[:, None].double() >= borders).sum(1)",
         "right = T + 1 - (u_inside[:, None].double() >= borders).sum(1)"),
    )  # fmt: skip


def _steps_from_minus_1(draft):
    """Part 2: the numbers are uniform between -1 and 1."""
    draft.text(
        (r"drawn uniformly from $0 \le u < 1$,", r"drawn uniformly from $-1 \le u < 1$,"),
        ("Cut the interval from 0 to 1 into", "Cut the interval from $-1$ to 1 into"),
    )
    draft.change(
        "times-answer",
        ("(B,) in [0, 1).", "(B,) in [-1, 1)."),
        ("(u * T).long() + 1", "((u + 1) / 2 * T).long() + 1"),
    )
    draft.change(
        "times",
        ("[0.5, 0.0, 0.1, 0.88, 0.99]", "[0.0, -1.0, -0.8, 0.76, 0.98]"),
        ("(u_inside, T)", "(2 * u_inside - 1, T)"),
        ("(u_inside[:1], T)", "(2 * u_inside[:1] - 1, T)"),
        ("draw_t(middles, 8)", "draw_t(2 * middles - 1, 8)"),
    )
    draft.change(
        "train-answer",
        ("torch.rand(32, generator=generator)", "2 * torch.rand(32, generator=generator) - 1"),
    )


def _loss(draft, order):
    """Part 3, and what calls its function: the arguments in another order."""
    table_first = order == "table first"
    say = "(network, alpha_bar, x0, t, eps)" if table_first else "(network, x0, eps, t, alpha_bar)"
    draft.text(
        (
            "- `network` is called as `network(x_t, t)`.",
            f"The arguments come in the order `{say}`.\n\n- `network` is called as "
            "`network(x_t, t)`.",
        )
    )
    draft.change("loss-answer", ("(network, x0, t, eps, alpha_bar)", say))
    draft.change("train-answer", ("(network, x0, t, eps, alpha_bar)", say))

    def called(network, x0, t, eps, table):
        given = [network, table, x0, t, eps] if table_first else [network, x0, eps, t, table]
        return ", ".join(given)

    draft.change(
        "loss",
        (
            "training_loss, x0, torch.tensor([1, 3]), eps, short",
            called("training_loss", "x0", "torch.tensor([1, 3])", "eps", "short"),
        ),
        ("(simple, x0, t, eps, short)", f"({called('simple', 'x0', 't', 'eps', 'short')})"),
        (
            "(curved, *given, schedule.alpha_bar.float())",
            f"({called('curved', 'given[0]', 'given[1]', 'given[2]', 'schedule.alpha_bar.float()')})",
        ),
    )
    draft.change("loss", ("gradients=[3]", f"gradients=[{4 if table_first else 2}]"), times=2)
    draft.change(
        "given-network",
        (
            "loss(network, pictures, torch.arange(1, T + 1), eps, alpha_bar)",
            f"loss({called('network', 'pictures', 'torch.arange(1, T + 1)', 'eps', 'alpha_bar')})",
        ),
    )
    draft.change(
        "given-judge",
        (
            "training_loss(look, held_out, t, eps, alpha_bar)",
            f"training_loss({called('look', 'held_out', 't', 'eps', 'alpha_bar')})",
        ),
        ("for _, x0, t, eps, *_ in calls",
         f"for _, {'_, x0, t, eps' if table_first else 'x0, eps, t'}, *_ in calls"),
        ("for n in (1, 2, 3))", f"for n in {'(2, 3, 4)' if table_first else '(1, 3, 2)'})"),
    )  # fmt: skip


def _average(draft, above, below):
    """Part 4: another warm start."""
    draft.text((r"\frac{1 + k}{10 + k}", rf"\frac{{{above} + k}}{{{below} + k}}"))
    r = (above + 5) / (below + 5)
    moved = (r * old + (1 - r) * new for old, new in ((1.0, 3.0), (-2.0, 1.0), (0.5, -0.7)))
    ratio = f"({above} + k) / ({below} + k)"
    draft.change("average-answer", ("(1 + k) / (10 + k)", ratio))
    draft.change(
        "average",
        ("network_of(2.2, -0.2, -0.22, 24)",
         f"network_of({', '.join(f'{each:.6g}' for each in moved)}, 24)"),
        ("(1 + k) / (10 + k)", ratio),
    )  # fmt: skip
