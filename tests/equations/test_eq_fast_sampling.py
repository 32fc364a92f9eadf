"""Chapter 11: the family that DDIM belongs to, its steps as steps of an ODE, and their inverse."""

import numpy as np
import pytest
import torch
from toys import log_normal, number, tables

from ddpm_tutorial import (
    DDIM,
    Denoiser,
    DPMSolver,
    GaussianMixture,
    NoiseSchedule,
    Prediction,
    ddim_invert,
    eps_from_x0,
    posterior_variance,
    q_posterior,
    q_sample,
    walk,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar = SCHEDULE.alpha_bar
sigma_bar = (1 - alpha_bar).sqrt()
r = sigma_bar / alpha_bar.sqrt()
log_snr = SCHEDULE.snr.log()
TABLES = tables(SCHEDULE) | {"sigma_bar": sigma_bar, "r": r}
t = torch.arange(4, 41)
s = t - 3
X0 = torch.linspace(-0.9, 0.8, 37).double()
EPS = torch.linspace(2.1, -1.3, 37).double()
X_T = q_sample(SCHEDULE, X0, t, EPS)
START = torch.linspace(-2, 2.1, 8).double()[:, None]


class Guess(Denoiser):
    """Some guess of the data."""

    schedule = SCHEDULE
    shape = (1,)

    def __call__(self, x_t, t):
        x0_hat = torch.sin(x_t + t[:, None] / 9)
        return Prediction(x0_hat, eps_from_x0(SCHEDULE, x_t, t, x0_hat))


def guess_at(x_t, t):
    return Guess()(x_t, torch.full((len(x_t),), t))


def seeded():
    return torch.Generator().manual_seed(0)


NOISE = torch.randn(8, 1, generator=seeded(), dtype=torch.float64)


def path(sampler, pairs):
    """All x_t from START on; the noise of the first step, where there is any, is NOISE."""
    return [x_t for _, x_t, _ in walk(Guess(), START, pairs, sampler, seeded())]


def quadrature(function, low, high):
    """The integral of a smooth function."""
    points, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(60))
    half = (high - low) / 2
    return half * (weights * function((high + low) / 2 + half * points)).sum()


@pytest.mark.equation("eq-family-marginal", latex="fc3c9e62")
def test_every_member_of_the_family_has_the_same_marginals(claim):
    """Once by the rules for normals that are added, once by draws."""
    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 0.5, 1.0):  # of the largest sigma there is
        sigma = share * sigma_bar[s]
        slope = (1 - alpha_bar[s] - sigma.square()).clamp(min=0).sqrt() / sigma_bar[t]
        shift = (alpha_bar[s].sqrt() - slope * alpha_bar[t].sqrt()) * X0
        mean = slope * alpha_bar[t].sqrt() * X0 + shift
        variance = slope.square() * (1 - alpha_bar[t]) + sigma.square()
        x_s = mean + torch.tensor([[-1.5], [0.5]]) * variance.sqrt()
        printed = claim.printed(**TABLES, s=s, x0=X0, x_s=x_s, I=1)
        claim.equal(log_normal(x_s, mean, variance).exp(), printed)
        eps, z = torch.randn(2, 4000, 37, generator=generator, dtype=torch.float64)
        draws = slope * q_sample(SCHEDULE, X0, t, eps) + shift + sigma * z
        moments = torch.stack([draws, (draws - mean).square()], dim=1)
        claim.mean(moments, torch.stack([mean, variance]))


@pytest.mark.equation("eq-eta-one", latex="ef538079", code=[q_posterior])
def test_with_the_posterior_variance_the_family_is_the_posterior(claim):
    variance = posterior_variance(SCHEDULE, t, s)
    printed = claim.printed(
        {r"\tilde\beta_{t \to s}": variance}, side=0, **TABLES, s=s, t=t, x0=X0, x_t=X_T
    )
    mean, of_posterior = q_posterior(SCHEDULE, X0, X_T, t, s)
    claim.equal(mean, printed)
    claim.equal(of_posterior, variance)


@pytest.mark.equation("eq-ddim-step", latex="54b50ce7", code=[DDIM.step, walk])
def test_one_step_of_ddim(claim):
    eta, t, s = 0.6, 31, 19
    x0_hat, eps_hat, *_ = guess_at(START, t)
    ratio = (1 - alpha_bar[s]) / (1 - alpha_bar[t])
    variance = ratio * (1 - alpha_bar[t] / alpha_bar[s])
    sigma = claim.printed({r"\tilde\beta_{t \to s}": variance}, clause=1, eta=eta)
    printed = claim.printed(**TABLES, s=s, x0_hat=x0_hat, eps_hat=eps_hat, sigma=sigma, z=NOISE)
    claim.equal(path(DDIM(eta), [(t, s)])[1], printed)


@pytest.mark.equation("eq-ddim-euler", latex="b538690c", code=[DDIM.step, walk])
def test_ddim_is_a_step_of_eulers_method(claim):
    pairs = [(40, 26), (26, 11), (11, 0)]
    stops = path(DDIM(), pairs)
    for (t, s), x_t, x_s in zip(pairs, stops, stops[1:], strict=False):
        eps_hat = guess_at(x_t, t).eps_hat
        y_t = x_t / alpha_bar[t].sqrt()
        printed = claim.printed(**TABLES, s=s, t=t, y_t=y_t, eps_hat=eps_hat)
        claim.equal(x_s / alpha_bar[s].sqrt(), printed)


@pytest.mark.equation("eq-ode-keeps-quantiles", latex="8aee59b6")
def test_the_ode_moves_along_quantiles(claim):
    """Where x_t = sqrt(alpha_bar) y has the quantile F(y, r), dy/dr = -(dF/dr) / (dF/dy)."""
    mixture = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.04, 0.09])
    y = torch.linspace(-3, 3, 37).double().requires_grad_()
    noise = r[t].clone().requires_grad_()
    spread = (mixture.variances + noise[:, None].square()).sqrt()
    quantile = (mixture.weights * torch.special.ndtr((y[:, None] - mixture.means) / spread)).sum(1)
    by_y, by_r = torch.autograd.grad(quantile.sum(), (y, noise))
    y = y.detach()
    x0_hat = mixture(alpha_bar[t].sqrt()[:, None] * y[:, None], t).x0_hat[:, 0]
    printed = claim.printed({r"\mathbb{E}[x_0 \mid y]": x0_hat}, y=y, r=r[t])
    slopes = {r"\partial F / \partial r": by_r, r"\partial F / \partial y": by_y}
    claim.equal(claim.printed(slopes, side=1), printed)


@pytest.mark.equation("eq-exact-solution", latex="3b90c818")
def test_exact_solution_by_variation_of_constants(claim):
    """For normal data, where quantiles give the curve in closed form."""
    mean, variance, t, s = 0.3, 0.25, 33, 9
    x_t = number(-1.1)
    y_t = x_t / alpha_bar[t].sqrt()

    def y_at(noise):
        return mean + (y_t - mean) * ((variance + noise**2) / (variance + r[t] ** 2)).sqrt()

    def integrand(lam):
        noise = torch.exp(-lam)
        x0_hat = mean + variance / (variance + noise**2) * (y_at(noise) - mean)
        return torch.exp(lam) * x0_hat

    integral = quadrature(integrand, log_snr[t] / 2, log_snr[s] / 2)
    integral_of = r"\int_{\lambda_t}^{\lambda_s} e^\lambda \hat{\mathbf{x}}_0(\lambda) d\lambda"
    printed = claim.printed({integral_of: integral}, **TABLES, s=s, t=t, x_t=x_t)
    claim.equal(alpha_bar[s].sqrt() * y_at(r[s]), printed)


@pytest.mark.equation("eq-first-order", latex="06a6851b")
def test_with_a_constant_guess_the_solution_is_ddim(claim):
    t, s = 31, 19
    x0_hat = guess_at(START, t).x0_hat
    h = (log_snr[s] - log_snr[t]) / 2
    printed = claim.printed(**TABLES, s=s, t=t, x_t=START, h=h, x0_hat=x0_hat)
    claim.equal(path(DDIM(), [(t, s)])[1], printed)
    claim.equal(path(DPMSolver(), [(t, s)])[1], printed)


@pytest.mark.equation("eq-line-integral", latex="a797365d")
def test_integral_of_a_straight_line(claim):
    t, s = 31, 19
    D, slope = number(0.4), number(-0.7)
    low, high = log_snr[t] / 2, log_snr[s] / 2
    h = high - low
    integral = quadrature(lambda lam: torch.exp(lam) * (D + slope * (lam - low)), low, high)
    printed = claim.printed(**TABLES, s=s, h=h, D=D, D_prime=slope)
    claim.equal(sigma_bar[s] * integral, printed)


@pytest.mark.equation("eq-second-order", latex="0ee92164", code=[DPMSolver.step, walk])
def test_steps_of_dpm_solver(claim):
    """The second step; the first has no guess before it, and the last ends at its guess."""
    u, t, s = 40, 31, 19
    first, x_t, x_s, last = path(DPMSolver(), [(u, t), (t, s), (s, 0)])
    before, x0_hat = guess_at(first, u).x0_hat, guess_at(x_t, t).x0_hat
    h = (log_snr[s] - log_snr[t]) / 2
    h_before = (log_snr[t] - log_snr[u]) / 2
    guesses = {r"\hat{\mathbf{x}}_0(t)": x0_hat, r"\hat{\mathbf{x}}_0(u)": before}
    printed = claim.printed(guesses, **TABLES, s=s, t=t, x_t=x_t, h=h, h_prime=h_before)
    claim.equal(x_s, printed)
    claim.equal(x_t, path(DDIM(), [(u, t)])[1])
    claim.equal(last, guess_at(x_s, s).x0_hat)


@pytest.mark.equation("eq-linear-shrinks", latex="8f23d7a9")
def test_a_mixture_of_two_noises_has_less_variance(claim):
    w = torch.linspace(0.1, 0.9, 9).double()
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 20_000, 1, generator=generator, dtype=torch.float64)
    printed = claim.printed(w=w)
    claim.mean(((1 - w) * a + w * b).square(), printed)


@pytest.mark.equation("eq-slerp-norm", latex="fd4f70be")
def test_spherical_interpolation_keeps_the_length(claim):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 784, generator=generator, dtype=torch.float64)
    b = b * a.norm() / b.norm()
    theta = torch.arccos((a * b).sum() / a.norm() / b.norm())
    w = torch.linspace(0, 1, 9).double()[:, None]
    printed = claim.printed(side=0, w=w, theta=theta, a=a, b=b)
    claim.equal(claim.printed(a=a), printed)


@pytest.mark.equation("eq-invert", latex="526575be", code=[ddim_invert])
def test_one_step_up(claim):
    """From s to t on the noise found at s; and from the data, on that found at t = 1."""
    x_s, s = START, 0
    for t in (10, 20, 30, 40):
        eps_hat = guess_at(x_s, max(s, 1)).eps_hat
        seen = {r"\hat{\boldsymbol\epsilon}(\mathbf{x}_s, s)": eps_hat}
        printed = claim.printed(seen, **TABLES, s=s, t=t, y_s=x_s / alpha_bar[s].sqrt())
        x_s, s = alpha_bar[t].sqrt() * printed, t
    claim.equal(ddim_invert(Guess(), START, 4) / alpha_bar[40].sqrt(), printed)
