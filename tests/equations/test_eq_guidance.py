"""Chapter 14: guidance, the learned variance, and the weights of min-SNR."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import log_normal, number, tables

from ddpm_tutorial import (
    DDPM,
    VARIATIONAL_WEIGHT,
    X0,
    Eps,
    GaussianMixture,
    LearnedVariance,
    ModelDenoiser,
    NoiseSchedule,
    SquaredError,
    V,
    kl_normal,
    p_reverse,
    posterior_variance,
    q_posterior,
    q_sample,
    v_from_x0_and_eps,
    x0_from_eps,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar, beta, snr = SCHEDULE.alpha_bar, SCHEDULE.beta, SCHEDULE.snr
TABLES = tables(SCHEDULE)
t = torch.arange(2, 41)
X_T = torch.linspace(-1.2, 1.6, 39).double()[:, None]
WEIGHTS, MEANS, VARIANCES = [0.3, 0.5, 0.2], [-0.8, 0.3, 0.9], [0.2, 0.1, 0.3]
ALL = GaussianMixture(SCHEDULE, WEIGHTS, MEANS, VARIANCES)
CLASSES = [GaussianMixture(SCHEDULE, [1.0], [m], [v]) for m, v in zip(MEANS, VARIANCES)]  # noqa: B905
NULL = len(CLASSES)
w = number(1.5)


def answer(x_t, t, label):
    """The best x0_hat for each row, given its label; the null token tells it nothing."""
    answers = torch.stack([model(x_t, t).x0_hat for model in [*CLASSES, ALL]])
    return answers[label, torch.arange(len(label))]


class Network:
    """A function as a network; it knows the classes of the mixture, unless it takes no label."""

    def __init__(self, function, num_classes=NULL):
        self.function = function
        self.num_classes = num_classes

    def __call__(self, *arguments):
        return self.function(*arguments)


MODEL = DDPM(Network(answer), SCHEDULE, "x0", shape=(1,))
LABEL = torch.arange(39) % 3


def eps_given(label):
    """The noise that the model sees in X_T, told the label of each row."""
    return MODEL.denoiser(label, clip=False)(X_T, t).eps_hat


EPS_Y, EPS_NULL = eps_given(LABEL), eps_given(torch.full((39,), NULL))
SIGMA = (1 - alpha_bar[t]).sqrt()[:, None]
SEEN = {r"\boldsymbol\epsilon(\varnothing)": EPS_NULL, r"\boldsymbol\epsilon(y)": EPS_Y}


def slope(log_density, x=X_T):
    """The derivative of a log-density, by torch."""
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(log_density(x).sum(), x)
    return found


def log_q(x):
    """Ln q(x_t)."""
    return ALL.log_prob(x, t)


def log_q_given_y(x):
    """Ln q(x_t | y), with the label of each row."""
    each = torch.stack([model.log_prob(x, t) for model in CLASSES])
    return each[LABEL, torch.arange(39)]


def log_classifier(x):
    """Ln q(y | x_t), by Bayes' rule."""
    return torch.tensor(WEIGHTS).double().log()[LABEL] + log_q_given_y(x) - log_q(x)


@pytest.mark.equation("eq-implicit-classifier", latex="3b33a6da")
def test_two_answers_are_the_slope_of_a_classifier(claim):
    printed = claim.printed(SEEN, **TABLES, t=t[:, None])
    claim.equal(slope(log_classifier), printed)


@pytest.mark.equation(
    "eq-guided-score", latex="b8544beb", code=[ModelDenoiser.__call__, ModelDenoiser._run_guided]
)
def test_guidance_is_the_score_of_a_tilted_density(claim):
    """Of q(x_t) q(y | x_t)^(1 + w); at w = 0, of q(x_t | y)."""
    printed = claim.printed(SEEN, **TABLES, t=t[:, None], w=w)
    claim.equal(slope(lambda x: log_q(x) + (1 + w) * log_classifier(x)), printed)
    guided = MODEL.denoiser(LABEL, guidance=1.5, clip=False)(X_T, t)
    claim.equal(-guided.eps_hat / SIGMA, printed)
    told = MODEL.denoiser(LABEL, clip=False)(X_T, t)
    claim.equal(-told.eps_hat / SIGMA, slope(log_q_given_y))


@pytest.mark.equation("eq-guided-views", latex="ab5e38a5")
def test_the_combination_is_the_same_in_every_view(claim):
    """What the combined noise says of x_0 and v; and a network of each view, guided."""
    eps = (1 + w) * EPS_Y - w * EPS_NULL
    x0 = x0_from_eps(SCHEDULE, X_T, t, eps)
    x0_y, x0_null = (x0_from_eps(SCHEDULE, X_T, t, seen) for seen in (EPS_Y, EPS_NULL))
    v_y, v_null = (
        v_from_x0_and_eps(SCHEDULE, t, *seen) for seen in ((x0_y, EPS_Y), (x0_null, EPS_NULL))
    )
    told_and_not = {
        r"\hat{\mathbf{x}}_0(y)": x0_y,
        r"\hat{\mathbf{x}}_0(\varnothing)": x0_null,
    }
    printed = claim.printed(told_and_not, w=w)
    claim.equal(x0, printed)
    told_and_not = {r"\hat{\mathbf{v}}(y)": v_y, r"\hat{\mathbf{v}}(\varnothing)": v_null}
    printed = claim.printed(told_and_not, clause=1, w=w)
    claim.equal(v_from_x0_and_eps(SCHEDULE, t, x0, eps), printed)
    answers = {"eps": (EPS_Y, EPS_NULL), "x0": (x0_y, x0_null), "v": (v_y, v_null)}
    for view, (told, untold) in answers.items():
        both = torch.cat([told, untold])  # in the order in which guidance asks
        network = Network(lambda x_t, t, label, a=both: a)
        model = DDPM(network, SCHEDULE, view, shape=(1,))
        guided = model.denoiser(LABEL, guidance=1.5, clip=False)(X_T, t)
        claim.equal(guided.x0_hat, x0)


@pytest.mark.equation("eq-guided-variance", latex="cdb76834")
def test_the_guided_process_ends_narrower_than_the_tilted_data(claim):
    """Data N(0, 1), a label that is a measurement with noise of variance r.

    The left side integrates the probability-flow ODE from alpha_bar = 0 to 1, by Gauss-Legendre:
    d ln(standard deviation) / d alpha_bar is the slope of (x + guided score) / (2 alpha_bar).
    """
    nodes, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(100))
    a, weights = (nodes + 1) / 2, weights / 2
    for r, w in [(0.5, 0.0), (0.5, 1.0), (0.2, 3.0), (2.0, 1.5)]:
        r, w = number(r), number(w)

        def log_tilted(x, a=a, r=r, w=w):
            label_given_x = log_normal(number(0.4), a.sqrt() * x, r + 1 - a)
            return log_normal(x, number(0.0), number(1.0)) + (1 + w) * label_given_x

        x = torch.full((100,), 0.7).double().requires_grad_()
        (score,) = torch.autograd.grad(log_tilted(x).sum(), x, create_graph=True)
        (stretch,) = torch.autograd.grad((x + score).sum(), x)
        guided = torch.exp(2 * (weights * stretch / (2 * a)).sum())
        printed = claim.printed(side=1, r=r, w=w)
        claim.equal(guided, printed)
        tilted = claim.printed(side=2, r=r, w=w)
        x0 = number(0.7).requires_grad_()
        (slope_at_x0,) = torch.autograd.grad(log_tilted(x0, number(1.0)), x0, create_graph=True)
        (curvature,) = torch.autograd.grad(slope_at_x0, x0)
        claim.equal(-1 / curvature, tilted)  # of a normal density
        if w > 0:
            claim.at_least(tilted, printed)


class Free(nn.Module):
    """A network whose output is its weights: (39, 2, 1), a guess and a place on the scale."""

    num_classes = 0

    def __init__(self):
        super().__init__()
        values = torch.linspace(-0.9, 0.8, 78).double().view(39, 2, 1)
        self.output = nn.Parameter(values)

    def forward(self, x_t, t):
        return self.output[t - 2]  # the first row is that of t = 2


def learned():
    """A model with a free guess and a free variance at each t, and its place on the scale."""
    model = DDPM(Free(), SCHEDULE, "x0", "learned", shape=(1, 1))
    return model, (model.network.output[:, 1] + 1) / 2


@pytest.mark.equation(
    "eq-learned-variance",
    latex="de0f15fc",
    code=[LearnedVariance.fraction, LearnedVariance.log_variance],
)
def test_the_learned_variance_lies_between_on_a_log_scale(claim):
    model, nu = learned()
    printed = claim.printed(**TABLES, t=t[:, None], nu=nu)
    mean, log_variance = p_reverse(model.denoiser(clip=False), X_T[:, None], t)
    claim.equal(log_variance[:, 0].detach(), printed.detach())
    x0_hat = model.network.output[:, :1]
    claim.equal(mean.detach(), q_posterior(SCHEDULE, x0_hat, X_T[:, None], t)[0].detach())


@pytest.mark.equation("eq-variance-gradient", latex="a84cbb4b", code=[SquaredError.loss])
def test_what_moves_the_learned_variance(claim):
    """The slope of the divergence, by torch; and of the package's loss, which must agree.

    The guess must feel L_simple alone.
    """
    model, nu = learned()
    x0 = torch.linspace(0.9, -0.7, 39).double().view(39, 1, 1)
    eps = torch.linspace(-1.1, 1.6, 39).double().view(39, 1, 1)
    x_t = q_sample(SCHEDULE, x0, t, eps)
    small, large = posterior_variance(SCHEDULE, t)[:, None], beta[t][:, None]
    mean_tilde, _ = q_posterior(SCHEDULE, x0, x_t, t)
    mean, log_variance = p_reverse(model.denoiser(clip=False), x_t, t)
    mean_tilde, mean, variance = mean_tilde[:, 0], mean[:, 0], log_variance[:, 0].exp()
    means = {"mu_tilde": mean_tilde, "mu_theta": mean}
    printed = claim.printed(**TABLES, **means, t=t[:, None], sigma=variance.sqrt())
    kl = kl_normal(mean_tilde, small.log(), mean, nu * large.log() + (1 - nu) * small.log())
    (by_torch,) = torch.autograd.grad(kl.sum(), nu, retain_graph=True)
    claim.equal(by_torch, printed.detach())

    loss = model(x0, t, eps)
    (of_output,) = torch.autograd.grad(loss.total.sum(), model.network.output)
    factor = VARIATIONAL_WEIGHT * SCHEDULE.T / 2  # nu = (output + 1) / 2, and one entry
    claim.equal(of_output[:, 1], (factor * printed).detach())
    guess = model.network.output[:, 0].detach()
    claim.equal(of_output[:, 0], 2 * (guess - x0[:, 0]))


@pytest.mark.equation(
    "eq-min-snr",
    latex="5912a046",
    code=[SquaredError.loss, Eps.error_of_x0, X0.error_of_x0, V.error_of_x0],
)
def test_min_snr_is_one_loss_in_three_views(claim):
    gamma = 5.0
    x0, x0_hat = torch.linspace(-0.9, 0.8, 39).double(), torch.linspace(0.7, -0.4, 39).double()
    eps = torch.linspace(2.1, -1.3, 39).double()
    x_t = q_sample(SCHEDULE, x0, t, eps)
    signal, sigma = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    eps_hat = (x_t - signal * x0_hat) / sigma
    v, v_hat = signal * eps - sigma * x0, signal * eps_hat - sigma * x0_hat
    weights = {"SNR": snr[t], "gamma": gamma}
    left = claim.printed(side=0, **weights, x0=x0, x0_hat=x0_hat)
    printed = claim.printed(side=1, **weights, eps=eps, eps_hat=eps_hat)
    claim.equal(left, printed)
    printed = claim.printed(side=2, **weights, v=v, v_hat=v_hat)
    claim.equal(left, printed)
    for view, output in [("eps", eps_hat), ("x0", x0_hat), ("v", v_hat)]:
        network = Network(lambda x_t, t, answer=output[:, None]: answer, num_classes=0)
        model = DDPM(network, SCHEDULE, view, shape=(1,), min_snr=gamma)
        claim.equal(model(x0[:, None], t, eps[:, None]).total, left)
