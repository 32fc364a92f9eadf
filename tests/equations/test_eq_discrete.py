"""Chapter 19: the chain that masks, on three entries of two symbols whose joint table is known."""

import itertools
import math

import pytest
import torch
from scipy import integrate
from toys import number

from ddpm_tutorial import NoiseSchedule, is_masked, unmasking_share

SCHEDULES = [NoiseSchedule.linear(40), NoiseSchedule.cosine(40), NoiseSchedule.sigmoid(40)]
D, K, MASK = 3, 2, 2
DATA = torch.tensor([0.30, 0.05, 0.02, 0.13, 0.08, 0.12, 0.04, 0.26]).double().view(2, 2, 2)
# What the model believes in the place of DATA: its guesses are wrong, and agree with each other.
BELIEF = torch.tensor([0.20, 0.10, 0.10, 0.10, 0.15, 0.10, 0.05, 0.20]).double().view(2, 2, 2)
STATES = list(itertools.product(range(K), repeat=D))
MASKS = list(itertools.product((False, True), repeat=D))


def entropy(p):
    """In nats, of a table."""
    return -torch.special.xlogy(p, p).sum()


def guesses(table, x, masked):
    """For each entry the probability of each symbol given the visible ones, (D, K)."""
    found = torch.zeros(D, K).double()
    for state in STATES:
        if all(hidden or a == b for hidden, a, b in zip(masked, state, x, strict=True)):
            for entry in range(D):
                found[entry, state[entry]] += table[state]
    return found / found.sum(1, keepdim=True)


def surprise(x, masked):
    """-ln p_theta of the masked entries, summed."""
    p = guesses(BELIEF, x, masked)
    return sum(-p[i, x[i]].log() for i in range(D) if masked[i])


def over_masks(x, hidden):
    """The average of the surprise where each entry is masked with probability `hidden`."""
    total = number(0.0)
    for masked in MASKS:
        chance = math.prod(hidden if m else 1 - hidden for m in masked)
        total = total + chance * surprise(x, masked)
    return total


def divergence(q, p):
    """KL(q || p) of two tables."""
    return (torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum()


def back(w, guess):
    """One entry, masked before: the symbols `guess` with probability w, or the mask."""
    return torch.cat([w * guess, 1 - w[None]])


def divergences(x0, schedule, w):
    """The bound by its definition: each step from each state, over K + 1 outcomes; the prior."""
    one_hot = torch.eye(K).double()
    left = schedule.alpha_bar[-1]
    even = torch.full((K,), 1 / K).double()
    total = D * divergence(back(left, one_hot[0]), back(left, even))
    for t in range(1, schedule.T + 1):
        for masked in MASKS:
            hidden = 1 - schedule.alpha_bar[t]
            chance = math.prod(hidden if m else 1 - hidden for m in masked)
            p = guesses(BELIEF, x0, masked)
            for i in range(D):
                if masked[i]:
                    step = divergence(back(w[t], one_hot[x0[i]]), back(w[t], p[i]))
                    total = total + chance * step
    return total


def mean_of_n(x):
    """What the chapter calls ell_n, for n = 0..D."""
    found = [number(0.0)]
    for n in range(1, D + 1):
        of_n = [surprise(x, masked) / n for masked in MASKS if sum(masked) == n]
        found.append(sum(of_n) / len(of_n))
    return torch.stack(found)


@pytest.mark.equation("eq-mask-marginal", latex="dcadefb1", code=[is_masked])
def test_t_steps_at_once(claim):
    eps = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).double()
    products, values = [], []
    for schedule in SCHEDULES:
        for t in (1, 17, 40):
            products.append(claim.printed(side=1, beta=schedule.beta, t=t))
            values.append(claim.printed(alpha_bar=schedule.alpha_bar, t=t))
    printed = torch.stack(values)
    claim.equal(torch.stack(products), printed)
    t = torch.full((20_000,), 17)
    visible = torch.stack([~is_masked(schedule, t, eps) for schedule in SCHEDULES], 1)
    claim.mean(visible.double(), printed[1::3])


@pytest.mark.equation("eq-mask-posterior", latex="d68c3670", code=[unmasking_share])
def test_the_posterior_is_that_of_bayes_rule(claim):
    """From the matrices of the steps: state 0 is visible, state 1 is masked."""
    found, shares, values = [], [], []
    for schedule in SCHEDULES:

        def between(s, t, beta=schedule.beta):
            matrix = torch.eye(2).double()
            for step in range(s + 1, t + 1):
                matrix = matrix @ torch.tensor([[1 - beta[step], beta[step]], [0, 1]]).double()
            return matrix

        for s, t in ((0, 1), (3, 4), (2, 30), (20, 40)):
            found.append(between(0, s)[0, 0] * between(s, t)[0, 1] / between(0, t)[0, 1])
            before = None if s == t - 1 else torch.tensor([s])
            shares.append(unmasking_share(schedule, torch.tensor([t]), before)[0])
            values.append(claim.printed(alpha_bar=schedule.alpha_bar, s=s, t=t))
    printed = torch.stack(values)
    claim.equal(torch.stack(found), printed)
    claim.equal(torch.stack(shares), printed)


@pytest.mark.equation("eq-mask-no-time", latex="033f53ac")
def test_the_step_says_nothing_that_the_visible_entries_do_not(claim):
    shape = (2, len(MASKS), len(STATES), 2, 2, 2)
    posterior, of_visible = torch.zeros(shape).double(), torch.zeros(shape).double()
    for (a, alpha_bar), (m, masked), (v, x) in itertools.product(
        enumerate((0.1, 0.7)), enumerate(MASKS), enumerate(STATES)
    ):
        for x0 in STATES:
            fits = all(hidden or a == b for hidden, a, b in zip(masked, x0, x, strict=True))
            forward = math.prod(1 - alpha_bar if hidden else alpha_bar for hidden in masked) * fits
            posterior[(a, m, v, *x0)] = forward * DATA[x0]
            of_visible[(a, m, v, *x0)] = fits * DATA[x0]
    printed = of_visible / of_visible.sum((3, 4, 5), keepdim=True)
    claim.equal(posterior / posterior.sum((3, 4, 5), keepdim=True), printed)


@pytest.mark.equation("eq-mask-kl", latex="1a94589a")
def test_the_divergence_is_a_cross_entropy(claim):
    schedule = NoiseSchedule.cosine(40)
    w = torch.cat([number(0.0)[None], unmasking_share(schedule, torch.arange(1, 41))])
    p = torch.tensor([0.2, 0.5, 0.3]).double()
    found, values = [], []
    for t, x0 in itertools.product((1, 2, 25, 40), range(3)):
        found.append(divergence(back(w[t], torch.eye(3).double()[x0]), back(w[t], p)))
        guess = {r"p_\theta(x_0^i \mid \mathbf{x}_t)": p[x0]}
        values.append(claim.printed(guess, w=w, t=t))
    printed = torch.stack(values)
    claim.equal(torch.stack(found), printed)


@pytest.mark.equation("eq-mask-bound", latex="b3db7ab1")
def test_the_bound_lies_above_what_the_chain_of_the_model_gives(claim):
    """The model's p(x_0) by carrying its prior down through all states of the chain."""
    schedule = NoiseSchedule.linear(4, 0.3, 0.9)
    w = torch.cat([number(0.0)[None], unmasking_share(schedule, torch.arange(1, 5))])
    left = schedule.alpha_bar[4]
    states = list(itertools.product((*range(K), MASK), repeat=D))
    at = {s: math.prod(1 - left if e == MASK else left / K for e in s) for s in states}
    for t in range(4, 0, -1):
        before = dict.fromkeys(states, number(0.0))
        for state, chance in at.items():
            masked = [e == MASK for e in state]
            p = guesses(BELIEF, state, masked)
            for s in states:
                step = number(1.0)
                for i in range(D):
                    if not masked[i]:
                        step = step * (s[i] == state[i])
                    else:
                        step = step * (1 - w[t] if s[i] == MASK else w[t] * p[i, s[i]])
                before[s] = before[s] + chance * step
        at = before
    what = r"\mathbb{E}_q\bigg[ \sum_{i \in M_t} -\ln p_\theta(x_0^i \mid \mathbf{x}_t) \bigg]"
    larger, smaller = [], []
    for x0 in STATES:
        cost = {what: lambda t, x0=x0: over_masks(x0, 1 - schedule.alpha_bar[t])}
        known = {"T": 4, "D": D, "K": number(K), "w": w, "alpha_bar": schedule.alpha_bar}
        larger.append(claim.printed(cost, **known))
        smaller.append(-at[x0].log())
    printed = torch.stack(larger)
    claim.at_least(printed, torch.stack(smaller))
    claim.equal(printed, torch.stack([divergences(x0, schedule, w) for x0 in STATES]))


@pytest.mark.equation("eq-mask-weight", latex="957ee6c5")
def test_every_number_of_masked_entries_has_the_same_weight(claim):
    weights = []
    for entries in (3, 8):
        for n in range(1, entries + 1):
            weight, _ = integrate.quad(
                lambda u: n / u * math.comb(entries, n) * u**n * (1 - u) ** (entries - n),  # noqa: B023
                0,
                1,
                epsabs=1e-13,
            )
            weights.append(number(weight))
    printed = claim.printed()
    claim.equal(torch.stack(weights), printed)


@pytest.mark.equation("eq-mask-continuous", latex="41235204")
def test_the_schedule_is_gone_in_continuous_time(claim):
    found, values = [], []
    for x0 in STATES:
        bound, _ = integrate.quad(lambda u: float(over_masks(x0, u) / u), 0, 1, epsabs=1e-13)  # noqa: B023
        found.append(number(bound))
        values.append(claim.printed(D=D, ell=mean_of_n(x0)))
    printed = torch.stack(values)
    claim.equal(torch.stack(found), printed)


@pytest.mark.equation("eq-mask-orders", latex="39a4cf07")
def test_the_bound_is_the_mean_over_all_orders(claim):
    sums, averages = [], []
    for x0 in STATES:
        of_orders = []
        for order in itertools.permutations(range(D)):
            code, masked = number(0.0), [True] * D
            for entry in order:
                code = code - guesses(BELIEF, x0, masked)[entry, x0[entry]].log()
                masked[entry] = False
            of_orders.append(code)
        averages.append(torch.stack(of_orders).mean())
        sums.append(claim.printed(side=0, D=D, ell=mean_of_n(x0)))
    printed = torch.stack(averages)
    claim.equal(torch.stack(sums), printed)


@pytest.mark.equation("eq-factorisation", latex="b287e71c")
def test_what_is_lost_by_drawing_entries_at_once(claim):
    for x in range(K):  # the first entry is visible, the other two are drawn
        p = DATA[x] / DATA[x].sum()
        alone = p.sum(1)[:, None] * p.sum(0)
        kl = (p * (p / alone).log()).sum()
        single, together = (
            r"\sum_{i \in S} H(x^i \mid \mathbf{x}_V)",
            r"H(\mathbf{x}_S \mid \mathbf{x}_V)",
        )
        values = {single: entropy(p.sum(1)) + entropy(p.sum(0)), together: entropy(p)}
        printed = claim.printed(values)
        claim.equal(kl, printed)


@pytest.mark.equation("eq-mask-two", latex="850c8073")
def test_the_price_of_two_pixels_in_one_step(claim):
    """The terms of the bound, for the best guesses of two pixels, averaged over data and masks."""
    p = torch.tensor([[0.5, 0.1], [0.1, 0.3]]).double()
    alone, both = entropy(p.sum(0)) + entropy(p.sum(1)), entropy(p)
    found, values = [], []
    for T in (1, 2, 7):
        for power in (1, 2):
            alpha_bar = 1 - (torch.arange(T + 1).double() / T) ** power
            hidden, step = 1 - alpha_bar[1:], alpha_bar[:-1] - alpha_bar[1:]
            given = 2 * both - alone  # the entropy of each given the other, summed
            cost = hidden**2 * alone + hidden * (1 - hidden) * given
            found.append((step / hidden * cost).sum())
            pieces = {r"H(x^1, x^2)": both, r"I(x^1; x^2)": alone - both}
            values.append(claim.printed(pieces, T=T, alpha_bar=alpha_bar))
    printed = torch.stack(values)
    claim.equal(torch.stack(found), printed)
