"""Chapters 6, 9, 10: loss, optimiser and averaged weights; the variance of a reverse step."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toys import log_normal, nodes_of_normal, number, tables

from ddpm_tutorial import (
    DDPM,
    GaussianMixture,
    NoiseSchedule,
    eps_from_x0,
    orthogonalise,
    p_reverse,
    posterior_variance,
    q_posterior,
    q_sample,
    to_bits_per_dim,
    update_ema,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha, beta, alpha_bar = SCHEDULE.alpha, SCHEDULE.beta, SCHEDULE.alpha_bar
TABLES = tables(SCHEDULE)
t = torch.arange(2, 41)
MEAN, VARIANCE = number(0.3), number(0.25)  # of normal data


def normal_data(t, count=20):
    """x0 (N, 1), eps (N, 1) and weights (N,) whose weighted sum is an average over both."""
    x0, of_x0 = nodes_of_normal(MEAN, VARIANCE, count)
    eps, of_eps = nodes_of_normal(number(0), number(1), count)
    pairs = torch.cartesian_prod(x0, eps)
    weights = torch.cartesian_prod(of_x0, of_eps).prod(1)
    return pairs[:, :1], pairs[:, 1:], weights, torch.full((len(pairs),), t)


def by_step(values):
    """Values for t = 2..T as a table with an index t."""
    return torch.cat([torch.full((2,), torch.nan).double(), values])


class Line(torch.nn.Module):
    """A noise predictor that is a straight line in x_t, and not the best one."""

    num_classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(number(0.6))

    def forward(self, x_t, t):
        return self.slope * x_t - 0.1 + 0.01 * t[:, None]


def line_model():
    return DDPM(Line(), SCHEDULE, "eps", shape=(1,)).double()


def squared_error(model, step):
    """The average squared error of the noise at one t, exactly."""
    x0, eps, weights, at = normal_data(step)
    eps_hat = model.denoiser(clip=False)(q_sample(SCHEDULE, x0, at, eps), at).eps_hat
    return weights @ (eps - eps_hat)[:, 0] ** 2


def average_term(model, step):
    """The denoising term of the bound at one t, averaged exactly."""
    x0, eps, weights, at = normal_data(step)
    x_t = q_sample(SCHEDULE, x0, at, eps)
    mean, variance = q_posterior(SCHEDULE, x0, x_t, at)
    mean_hat, log_variance = p_reverse(model.denoiser(clip=False), x_t, at)
    terms = kl_divergence(Normal(mean, variance.sqrt()), Normal(mean_hat, (log_variance / 2).exp()))
    return weights @ terms[:, 0]


@pytest.mark.equation("eq-gradient-views", latex="902d43ea", code=[eps_from_x0, v_from_x0_and_eps])
def test_one_gradient_seen_three_ways(claim):
    """The network gives v; its slope is what is trained, by the error of each view."""
    x0 = torch.linspace(-0.9, 0.8, 39).double()
    eps = torch.linspace(2.1, -1.3, 39).double()
    x_t = q_sample(SCHEDULE, x0, t, eps)

    def gradients(error):
        """Of the error at each t, with respect to the one weight."""
        slope = number(0.4).requires_grad_()
        v_hat = slope * x_t + 0.2
        return torch.stack(
            [torch.autograd.grad(e, slope, retain_graph=True)[0] for e in error(v_hat)]
        )

    def x0_hat(v_hat):
        return x0_from_v(SCHEDULE, x_t, t, v_hat)

    v = v_from_x0_and_eps(SCHEDULE, t, x0, eps)
    of_v = gradients(lambda v_hat: (v - v_hat) ** 2)
    of_eps = gradients(lambda v_hat: (eps - eps_from_x0(SCHEDULE, x_t, t, x0_hat(v_hat))) ** 2)
    of_x0 = gradients(lambda v_hat: (x0 - x0_hat(v_hat)) ** 2)
    of_noise = r"\nabla_\theta \|\boldsymbol\epsilon - \hat{\boldsymbol\epsilon}\|^2"
    of_data = r"\nabla_\theta \|\mathbf{x}_0 - \hat{\mathbf{x}}_0\|^2"
    printed = torch.stack(
        [
            claim.printed({of_noise: of_eps}, side=1, **TABLES, t=t),
            claim.printed({of_data: of_x0}, side=2, **TABLES, t=t),
        ]
    )
    claim.equal(of_v, printed)


@pytest.mark.equation("eq-simple-sum", latex="862c4e99")
def test_the_simple_loss_is_a_weighted_sum_of_the_terms_of_the_bound(claim):
    """The left side is the loss of the model itself, the terms are divergences."""
    model = line_model()
    with torch.no_grad():
        losses = []
        for step in range(1, 41):
            x0, eps, weights, at = normal_data(step)
            losses.append(weights @ model(x0, at, eps).simple)
        E_1 = squared_error(model, 1)
        D = torch.stack([average_term(model, step) for step in range(2, 41)])
        w = (SCHEDULE.snr[t - 1] / SCHEDULE.snr[t] - 1) / 2
        printed = claim.printed(E_1=E_1, D=by_step(D), w=by_step(w), T=40)
        claim.equal(torch.stack(losses).mean(), printed)


@pytest.mark.equation("eq-loss-in-bits", latex="e6c6d365", code=[p_reverse, to_bits_per_dim])
def test_the_denoising_terms_in_bits(claim):
    """Against the package's terms of the bound, as divergences."""
    model = line_model()
    with torch.no_grad():
        E = torch.stack([squared_error(model, step) for step in range(2, 41)])
        printed = claim.printed(**TABLES, E=by_step(E), T=40)
        D = torch.stack([average_term(model, step) for step in range(2, 41)])
        claim.equal(to_bits_per_dim(D.sum(), 1), printed)
        claim.equal(claim.printed(side=0, D=by_step(D), T=40), printed)


@pytest.mark.equation(
    "eq-loss-floor", latex="f810f7d6", code=[GaussianMixture.__call__, eps_from_x0]
)
def test_the_loss_of_the_best_network(claim):
    """The best guess of normal data, by the package, and its error by quadrature."""
    best = GaussianMixture(SCHEDULE, [1.0], [float(MEAN)], [float(VARIANCE)])
    floor = []
    for step in range(2, 41):
        x0, eps, weights, at = normal_data(step)
        x_t = q_sample(SCHEDULE, x0, at, eps)
        eps_hat = best(x_t, at).eps_hat
        floor.append(weights @ (eps - eps_hat)[:, 0] ** 2)
    printed = claim.printed(**TABLES, t=t, V=VARIANCE)
    claim.equal(torch.stack(floor), printed)


def some_matrix(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


@pytest.mark.equation("eq-muon-step", latex="8b53ff2d")
def test_the_step_that_lowers_the_loss_most(claim):
    """Beside 200 other steps of the same length, drawn at random."""
    G = some_matrix(4, 7)
    U, s, V_transposed = torch.linalg.svd(G, full_matrices=False)
    printed = claim.printed({r"\sum_i s_i": s.sum()})
    claim.equal((G * -(U @ V_transposed)).sum(), printed)
    others = torch.stack([some_matrix(4, 7 * 200)]).view(200, 4, 7)
    others = others / torch.linalg.matrix_norm(others, ord=2)[:, None, None]
    claim.at_least((G * others).sum((1, 2)), printed)


@pytest.mark.equation("eq-muon-polynomial", latex="c277e62b", code=[orthogonalise])
def test_an_odd_polynomial_acts_on_the_singular_values_alone(claim):
    """And five of them, one after the other, are what the package computes."""
    a, b, c = number(3.4445), number(-4.7750), number(2.0315)
    for rows, columns in [(4, 7), (7, 4)]:
        G = some_matrix(rows, columns) / 5
        U, s, V_transposed = torch.linalg.svd(G, full_matrices=False)
        printed = U @ torch.diag(a * s + b * s**3 + c * s**5) @ V_transposed
        claim.equal(a * G + b * G @ G.T @ G + c * G @ G.T @ G @ G.T @ G, printed)
        X = G / G.norm()
        for _ in range(5):
            X = a * X + b * X @ X.T @ X + c * X @ X.T @ X @ X.T @ X
        claim.equal(orthogonalise(G[None])[0], X)


class OneWeight(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(number(value))


def averaged(path, decay, first_step):
    """What the package's moving average makes of a path of weights theta_0, ..., theta_n."""
    average, model = OneWeight(float(path[0])), OneWeight(0.0)
    for step, value in enumerate(path[1:]):
        with torch.no_grad():
            model.weight.fill_(value)
        update_ema(average, model, decay, first_step + step)
    return average.weight.detach().clone()


def path_of_weights(n):
    return torch.randn(n + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.equation("eq-ema-weights", latex="58f9bedb", code=[update_ema])
def test_the_average_is_a_weighted_sum_of_all_weights_so_far(claim):
    """Far from the start, where the decay is constant."""
    n, d = 25, number(0.9)
    theta = path_of_weights(n)
    printed = claim.printed(d=d, n=n, theta=theta)
    claim.equal(averaged(theta, float(d), first_step=10_000), printed)


@pytest.mark.equation("eq-ema-age", latex="52e3ec98")
def test_how_far_back_the_average_looks(claim):
    """Mean age of the weights in it; 2,000 steps leave nothing out at this decay."""
    d = number(0.97)
    age = torch.arange(2000).double()
    share = (1 - d) * torch.exp(age * d.log())
    printed = claim.printed(d=d)
    claim.equal((share * age).sum(), printed)


@pytest.mark.equation("eq-ema-noise", latex="45cffed6")
def test_how_much_jitter_is_left(claim):
    """Variance of an average of independent jitter, from the shares."""
    d, variance = number(0.97), number(0.4)
    share = (1 - d) * torch.exp(torch.arange(2000) * d.log())
    printed = torch.stack([claim.printed(side=k, d=d, sigma=variance.sqrt()) for k in (1, 2)])
    claim.equal((share * share * variance).sum(), printed)


@pytest.mark.equation("eq-ema-warm", latex="f2fd0845", code=[update_ema])
def test_the_warm_start_forgets_the_initial_weights(claim):
    """Their share in the average: what is left of a 1 when all later weights are 0."""
    steps, shares = (1, 2, 5, 20, 60), []
    for n in steps:
        path = torch.zeros(n + 1).double()
        path[0] = 1
        shares.append(averaged(path, 0.999, first_step=0))
    printed = torch.stack([claim.printed(n=n) for n in steps])
    claim.equal(torch.stack(shares), printed)
    claim.equal(torch.stack([claim.printed(side=0, n=n) for n in steps]), printed)


# Chapter 10.

X_T = torch.linspace(-1.7, 1.4, 39).double()
EPS_HAT = torch.linspace(1.3, -0.9, 39).double()


@pytest.mark.equation("eq-reverse-mean", latex="93d4d5ca", code=[x0_from_eps])
def test_the_mean_of_algorithm_2_is_that_of_the_posterior_at_the_guess(claim):
    x0_hat = x0_from_eps(SCHEDULE, X_T, t, EPS_HAT)
    printed = claim.printed(**TABLES, t=t, x_t=X_T, eps_hat=EPS_HAT)
    claim.equal(q_posterior(SCHEDULE, x0_hat, X_T, t)[0], printed)


@pytest.mark.equation("eq-last-step", latex="e815a4eb", code=[posterior_variance])
def test_the_last_step_ends_at_the_guess(claim):
    """From any t straight to 0."""
    x0_hat = torch.linspace(0.7, -0.4, 39).double()
    x_t = q_sample(SCHEDULE, x0_hat, t, EPS_HAT)
    mean, variance = q_posterior(SCHEDULE, x0_hat, x_t, t, torch.zeros_like(t))
    printed = claim.printed(side=1, **TABLES, t=t, x_t=x_t, eps_hat=EPS_HAT)
    claim.equal(mean, printed)
    claim.equal(claim.printed(x0_hat=x0_hat), printed)
    claim.equal(1 + variance, torch.ones(39).double())


TWO_HUMPS = {"weights": [0.3, 0.7], "means": [-0.7, 0.5], "variances": [0.09, 0.06]}
GRID = torch.linspace(-9, 9, 3601, dtype=torch.float64)


def log_q_of_two_humps(x, step):
    """Ln q(x_t) of data with two humps, (N,)."""
    mixture = GaussianMixture(SCHEDULE, *TWO_HUMPS.values())
    return mixture.log_prob(x[:, None], torch.full((len(x),), step))


def reverse_step_on_grid(x_t, step):
    """q(x_{t-1} | x_t) on the grid, by Bayes' rule, as shares (N, grid) that sum to 1."""
    forward = log_normal(x_t[:, None], alpha[step].sqrt() * GRID, beta[step])
    return (forward + log_q_of_two_humps(GRID, step - 1)).softmax(1)


@pytest.mark.equation("eq-reverse-variance", latex="420f8be1", code=[posterior_variance])
def test_variance_of_the_true_reverse_step(claim):
    """Data with two humps: by brute force on a fine grid, which is exact to rounding here."""
    mixture = GaussianMixture(SCHEDULE, *TWO_HUMPS.values())
    t = torch.tensor([2, 5, 10, 20, 30])
    x_t = torch.tensor([0.1, -0.4, 0.3, -0.2, 0.5]).double()
    found = []
    for at, x in zip(t.tolist(), x_t.split(1), strict=True):
        share = reverse_step_on_grid(x, at)[0]
        mean = (share * GRID).sum()
        found.append((share * (GRID - mean) ** 2).sum())
    x0_variance = mixture._x0_moments(x_t[:, None], t)[1][:, 0]
    printed = claim.printed({r"\mathrm{Var}(x_0 \mid \mathbf{x}_t)": x0_variance}, **TABLES, t=t)
    claim.equal(torch.stack(found), printed)


def variance_of_normal_data(V):
    """Of x_{t-1} given x_t, from the joint distribution of the two: independent of the book."""
    above, below = alpha_bar[t] * V + 1 - alpha_bar[t], alpha_bar[t - 1] * V + 1 - alpha_bar[t - 1]
    return below - alpha[t] * below**2 / above


@pytest.mark.equation("eq-reverse-variance-normal", latex="11fbc7a5", code=[posterior_variance])
def test_variance_of_the_reverse_step_of_normal_data(claim):
    for V in (number(0.0), number(0.25), number(1.0), number(4.0)):
        printed = claim.printed(**TABLES, t=t, V=V)
        claim.equal(variance_of_normal_data(V), printed)
    claim.equal(variance_of_normal_data(number(0.0)), posterior_variance(SCHEDULE, t))
    claim.equal(variance_of_normal_data(number(1.0)), beta[t])


def entropy_of_two_humps(step):
    """Of x_t, in nats, by the sum over the grid."""
    log_q = log_q_of_two_humps(GRID, step)
    return -(log_q.exp() * log_q).sum() * (GRID[1] - GRID[0])


def entropy_of_reverse_step(step):
    """Of x_{t-1} given x_t, averaged over x_t, by sums over two grids."""
    width = GRID[1] - GRID[0]
    x_t = GRID[::3]
    share = reverse_step_on_grid(x_t, step)
    entropy = -torch.xlogy(share, share / width).sum(1)
    return 3 * width * (log_q_of_two_humps(x_t, step).exp() * entropy).sum()


@pytest.mark.equation("eq-entropy-turned", latex="cf0f620e")
def test_entropy_of_the_reverse_step(claim):
    for step in (5, 20, 32):
        before, after = entropy_of_two_humps(step - 1), entropy_of_two_humps(step)
        entropies = {"H(x_t)": after, "H(x_{t-1})": before}
        printed = claim.printed(entropies, **TABLES, t=step)
        claim.equal(entropy_of_reverse_step(step), printed)


@pytest.mark.equation("eq-entropy-bounds", latex="c2b4ba27")
def test_the_two_variances_bound_the_entropy(claim):
    t = torch.tensor([5, 20, 32])
    entropy = torch.stack([entropy_of_reverse_step(step) for step in t.tolist()])
    printed = torch.stack([claim.printed(side=side, **TABLES, t=t) for side in (0, 2)])
    claim.at_least(entropy, printed[0])
    claim.at_least(printed[1], entropy)
    # Both are reached, and so no closer bounds hold: by data that are one point, or N(0, 1).
    reached = torch.stack([variance_of_normal_data(number(V))[t - 2] for V in (0.0, 1.0)])
    claim.equal(torch.log(2 * torch.pi * torch.e * reached) / 2, printed)


@pytest.mark.equation("eq-best-variance", latex="6d5d95aa", code=[posterior_variance])
def test_the_variance_that_costs_least(claim):
    """A guess that is off: the cost as a function of the variance has slope 0 there."""
    model, best, E = line_model(), [], []
    t = torch.tensor([2, 5, 10, 20, 30, 40])
    for step in t.tolist():
        x0, eps, weights, at = normal_data(step)
        x_t = q_sample(SCHEDULE, x0, at, eps)
        with torch.no_grad():
            x0_hat = model.denoiser(clip=False)(x_t, at).x0_hat
        mean, variance = q_posterior(SCHEDULE, x0, x_t, at)
        mean_hat, _ = q_posterior(SCHEDULE, x0_hat, x_t, at)

        def cost(log_variance, mean=mean, variance=variance, mean_hat=mean_hat, weights=weights):
            model_step = Normal(mean_hat, (log_variance / 2).exp())
            return weights @ kl_divergence(Normal(mean, variance.sqrt()), model_step)[:, 0]

        best.append(lowest(cost))
        E.append(weights @ (x0 - x0_hat)[:, 0] ** 2)
    printed = claim.printed({r"\mathbb{E} (x_0 - \hat x_0)^2": torch.stack(E)}, **TABLES, t=t)
    claim.equal(torch.stack(best), printed)


def lowest(cost):
    """The variance at which `cost` of a log-variance is lowest, by Newton's method."""
    log_variance = number(0.0)
    for _ in range(60):
        at = log_variance.clone().requires_grad_()
        (slope,) = torch.autograd.grad(cost(at), at, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, at)
        # Short steps: far from the minimum the cost is no parabola.
        log_variance = log_variance - (slope / curvature).detach().clamp(-1, 1)
    return log_variance.exp()
