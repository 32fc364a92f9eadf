"""What can be other in assignment 2 for a class: tools/make_assignments.py --variant asks here."""


def vary(draft, draw):
    """Other axes or another unit for the kinds, another table for the chain, another order."""
    if draw("kinds", "in columns", "in bits") == "in columns":
        _kinds_in_columns(draft)
    else:
        _kinds_in_bits(draft)
    _another_table(draft, draw("table", "noise", "signal"))
    if draw("code length", "a row for each t", "another order") == "another order":
        _terms_in_another_order(draft)
    else:
        _terms_in_rows(draft)


def _kinds_in_columns(draft):
    """Parts 1 to 3: a column for each picture, (K, B) in the place of (B, K)."""
    draft.text(
        (
            "`log_joint` has the shape $(B, K)$: for each of $B$ pictures and $K$ kinds",
            "`log_joint` has the shape $(K, B)$, with a column for each picture: for each of $K$ "
            "kinds and $B$ pictures",
        ),
        (
            "`log_joint` and `q` have the shape $(B, K)$. Each row of",
            "`log_joint` and `q` have the shape $(K, B)$. Each column of",
        ),
        (r"$\ln p(z \mid x)$, of shape $(B, K)$", r"$\ln p(z \mid x)$, of shape $(K, B)$"),
    )
    draft.change("evidence-answer", ("each row of ln p(x, z), (B, K)", "each column of (K, B)"))
    draft.solve("evidence", "return torch.logsumexp(log_joint, dim=0)")
    called = r"(log_evidence[(,] ?\[?)(log_joint|uneven)((?:\[[^\]]*\])?)"
    draft.pattern("evidence", called, r"\1\2\3.T")
    draft.pattern("evidence", r"\b([Rr])ow(s?)\b", r"column\2")

    draft.change("bound-answer", ("each row of (B, K)", "each column of (K, B)"))
    draft.change("bound-answer", ("sum(dim=1)", "sum(dim=0)"))
    both = r"\((log_joint|impossible|proposed), (q|with_zeros)\)"
    draft.pattern("bound", both, r"(\1.T, \2.T)")
    draft.change(
        "bound",
        ("(log_joint[:1].float() - 1000, q[:1].float())", "(log_joint[:1].float().T - 1000, "
         "q[:1].float().T)"),
        ("(torch.tensor([[-math.inf, -0.4, -1.0]]), tiny)",
         "(torch.tensor([[-math.inf, -0.4, -1.0]]).T, tiny.T)"),
    )  # fmt: skip

    draft.change("gap-answer", ("ln p(z | x), (B, K)", "ln p(z | x), (K, B)"),
                 ("q(z), (B, K)", "q(z), (K, B)"), ("sum(dim=1)", "sum(dim=0)"),
                 (".reshape(-1, 1)", ".reshape(1, -1)"))  # fmt: skip
    draft.pattern("gap", r"\(log_joint, (q|with_zeros)\)", r"(log_joint.T, \1.T)")
    draft.change(
        "gap",
        ("right = (log_p, [", "right = (torch.tensor(log_p).T, ["),
        ("(log_joint + shift, q)", "(log_joint.T + shift, q.T)"),
        ("(log_joint.log_softmax(1), gap)", "(log_joint.log_softmax(1).T, gap)"),
        ("(log_joint[1:2] - 2000, q[1:2])", "(log_joint[1:2].T - 2000, q[1:2].T)"),
        ("(log_joint[1:2].log_softmax(1), gap", "(log_joint[1:2].log_softmax(1).T, gap"),
        ("(log_joint, log_joint.softmax(1))", "(log_joint.T, log_joint.softmax(1).T)"),
        ("(uneven, tiny)", "(uneven.T, tiny.T)"),
    )
    draft.code(
        ("lower_bound(repeated, q)", "lower_bound(repeated.T, q.T)"),
        ("posterior_and_gap(repeated, q)", "posterior_and_gap(repeated.T, q.T)"),
        ("posterior_and_gap(log_joint, q[:1])", "posterior_and_gap(log_joint.T, q[:1].T)"),
    )


def _kinds_in_bits(draft):
    """Parts 1 to 3: logarithms to base 2, and all that follows from them in bits."""
    draft.text(
        (
            "All logarithms are natural, and all information is in *nats*, except where bits are "
            "asked for.",
            "In Parts 1 to 3 all logarithms are to base 2, and information is in *bits*. From Part "
            "4 on they are natural, and information is in *nats*, except where bits are asked for.",
        ),
        (r"That is $\ln p(x) \approx -1000$.", r"That is $\log_2 p(x) \approx -1400$."),
    )
    for cell in draft.notebook.cells:
        title = cell.source.lstrip()[:80] if cell.cell_type == "markdown" else ""
        if any(f"## Part {n}:" in title for n in (1, 2, 3)):
            cell.source = cell.source.replace(r"\ln ", r"\log_2 ")
    for part in ("evidence", "bound", "gap"):
        draft.pattern(f"{part}-answer", r"\bln (?=[pq]\()", "log2 ")
    draft.change("evidence-answer", ("in nats", "in bits"))
    draft.solve(
        "evidence",
        "return torch.logsumexp(log_joint * math.log(2), dim=1) / math.log(2)",
    )
    draft.change("bound-answer", ("q.log()", "q.log2()"))
    draft.change("gap-answer", ("q.log()", "q.log2()"))
    draft.pattern("evidence bound", r"\bln p\(x, z\)", "log2 p(x, z)")
    draft.change(
        "evidence",
        ("[-0.0549318, -0.139635]", "⟦log_evidence(log_joint)⟧"),
        ("[-999.687, -0.592394]", "[-999.415, -0.192645]"),
    )
    draft.change("evidence", ("log_joint.exp().sum(1).log()", "log_joint.exp2().sum(1).log2()"),
                 times=2)  # fmt: skip
    draft.change("bound", ("[-0.146988, -0.4]", "⟦lower_bound(log_joint, with_zeros)⟧"), times=2)
    draft.change(
        "bound",
        ("[-0.180347, -0.212054]", "⟦lower_bound(log_joint, q)⟧"),
        ("-0.212054)", "⟦lower_bound(log_joint, q)[1]⟧)"),
        ("math.log(b)", "math.log2(b)"),
        ("log_joint.logsumexp(1)", "log_joint.exp2().sum(1).log2()"),
    )
    in_nats = "(log_joint * math.log(2))"
    draft.pattern("gap", r"log_p = \[.*\]\]", "log_p = ⟦posterior_and_gap(log_joint, q)[0]⟧")
    draft.change(
        "gap",
        ("[0.125415, 0.0724195, 0.400828]", "⟦posterior_and_gap(log_joint, q)[1]⟧"),
        ("[0.0920566, 0.260365, 0.449616]", "⟦posterior_and_gap(log_joint, with_zeros)[1]⟧"),
        ("Categorical(logits=log_joint)\n)", f"Categorical(logits={in_nats})\n) / math.log(2)"),
        ("(log_joint.log_softmax(1), gap)", f"({in_nats}.log_softmax(1) / math.log(2), gap)"),
        (
            "(log_joint[1:2].log_softmax(1), gap",
            "((log_joint[1:2] * math.log(2)).log_softmax(1) / math.log(2), gap",
        ),
        ("(log_joint, log_joint.softmax(1))", f"(log_joint, {in_nats}.softmax(1))"),
    )
    draft.code(
        ('plt.ylabel("nats")', 'plt.ylabel("bits")'), ("q[:1])[0]).exp()", "q[:1])[0]).exp2()")
    )


def _another_table(draft, table):
    """Parts 4, 5 and 7: a table of 1 - alpha_bar, or of its root, in the place of alpha_bar."""
    noise = table == "noise"
    back = "1 - noise" if noise else "signal**2"
    made = (lambda of: f"1 - {of}") if noise else (lambda of: f"{of}.sqrt()")
    draft.text(
        (
            r"The table `alpha_bar` holds $\bar\alpha_t$, the share of the variance of the data "
            "that is left after $t$ steps. It has",
            r"Let $\bar\alpha_t$ be the share of the variance of the data that is left after $t$ "
            r"steps. The table `noise` holds $1 - \bar\alpha_t$, the variance of the noise. It has"
            if noise
            else r"Let $\bar\alpha_t$ be the share of the variance of the data that is left after "
            r"$t$ steps. The table `signal` holds its root, $\sqrt{\bar\alpha_t}$. It has",
        ),
        ("so `alpha_bar[0]` is 1.", "so `noise[0]` is 0." if noise else "so `signal[0]` is 1."),
    )
    for name in ("prior", "denoising", "path"):
        draft.pattern(f"{name}-answer", r"### BEGIN SOLUTION\n",
                      f"### BEGIN SOLUTION\n    alpha_bar = {back}\n")  # fmt: skip
        draft.pattern(f"{name}-answer", r"(def .*)alpha_bar", rf"\1{table}")
    draft.everywhere(r"`alpha_bar`", f"`{table}`")
    numbers = (
        ("[0.0, 0.1, 0.4, 0.8]", "[0.0, 0.06, 0.2, 0.5, 0.9]", "[0.0, 0.1, 0.5, 0.9]")
        if noise
        else ("[1.0, 0.95, 0.8, 0.5]", "[1.0, 0.97, 0.9, 0.7, 0.3]", "[1.0, 0.95, 0.7, 0.3]")
    )
    draft.change(
        "prior",
        ("alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.2]", f"{table} = torch.tensor({numbers[0]}"),
        ("(x0, alpha_bar), [0.286287, 0.307287]", f"(x0, {table}), ⟦prior_term(x0, {table})⟧"),
        ("def exact(x0, table):\n", f"def exact(x0, {table}):\n    table = {back}\n"),
        (
            "table = torch.tensor(alpha_bar, dtype=torch.float64)",
            f"table = {made('torch.tensor(alpha_bar, dtype=torch.float64)')}",
        ),
    )
    draft.code(("torch.tensor([1.0, last], dtype=torch.float64)",
                made("torch.tensor([1.0, last], dtype=torch.float64)")),
               ("path_terms(x0, eps, SIGNAL, true_step)",
                f"path_terms(x0, eps, {made('SIGNAL')}, true_step)"))  # fmt: skip
    asked = "⟦denoising_term(first, second, torch.tensor({}), table)⟧"
    draft.change(
        "denoising",
        ("torch.tensor([1.0, 0.94, 0.8, 0.5, 0.1]", f"torch.tensor({numbers[1]}"),
        ("[0.5, 0.43875]", asked.format("[3, 4]")),
        ("[0.0, 4.36429]", asked.format("[1, 2]")),
    )
    draft.change("denoising", ("schedule.alpha_bar", made("schedule.alpha_bar")), times=2)
    draft.pattern("path", r"(alpha_bar|single), (model|heard|step_back|lambda)",
                  rf"{made(chr(92) + '1')}, \2")  # fmt: skip
    draft.change("path", (f"eps, {made('alpha_bar')}, model", f"eps, {table}, model"),
                 ("alpha_bar = torch.tensor([1.0, 0.9, 0.5, 0.1])",
                  f"{table} = torch.tensor({numbers[2]})"))  # fmt: skip
    draft.pattern("path", r"right = \[.*\]\]", f"right = ⟦path_terms(x0, eps, {table}, model)⟧")


def _terms_in_another_order(draft):
    """Part 6: the arguments as the bound is read from the last state to the first."""
    draft.change(
        "bits-answer",
        ("(reconstruction, prior, denoising,", "(prior, denoising, reconstruction,"),
    )
    draft.change(
        "bits",
        ("(reconstruction, prior, denoising, 6)", "(prior, denoising, reconstruction, 6)"),
        (
            "(same_for_all_levels, nothing, nothing.reshape(1, 1), 784)",
            "(nothing, nothing.reshape(1, 1), same_for_all_levels, 784)",
        ),
        ("(terms[2], *terms[:2], 784)", "terms"),
    )
    draft.text(
        (
            "`reconstruction` and `prior` have the shape $(B,)$,",
            "The arguments come in the order in which a sampler meets them, the prior first and "
            "the reconstruction last. `reconstruction` and `prior` have the shape $(B,)$,",
        )
    )


def _terms_in_rows(draft):
    """Part 6: the denoising terms with a row for each t, and the length of a pair of entries."""
    draft.text(
        (
            "`denoising` has the shape $(B, T - 1)$, one column for each $t = 2, \\dots, T$.",
            "`denoising` has the shape $(T - 1, B)$, one row for each $t = 2, \\dots, T$ and one "
            "column for each picture.",
        )
    )
    draft.change("bits-answer", ("denoising.sum(dim=1)", "denoising.sum(dim=0)"))
    draft.change(
        "bits",
        ("(reconstruction, prior, denoising, 6)", "(reconstruction, prior, denoising.T, 6)"),
        ("(terms[2], *terms[:2], 784)", "(terms[2], terms[0], terms[1].T, 784)"),
    )
