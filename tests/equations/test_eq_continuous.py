"""Chapter 16: the chain in continuous time, the straight path of flow matching, Heun's method."""

import math

import numpy as np
import pytest
import torch
from toys import tables

from ddpm_tutorial import (
    DDIM,
    Denoiser,
    GaussianMixture,
    Heun,
    NoiseSchedule,
    Prediction,
    Sampler,
    filled_like,
    noise_share,
    reverse_drift,
    walk,
    x0_from_velocity,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar = SCHEDULE.alpha_bar
sigma_bar = (1 - alpha_bar).sqrt()
omega = sigma_bar / (alpha_bar.sqrt() + sigma_bar)
TABLES = {**tables(SCHEDULE), "sigma_bar": sigma_bar, "omega": omega}
TOY = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
t = torch.arange(1, 41)
x0 = torch.linspace(-1, 1, 40).double()
eps = torch.linspace(2, -1, 40).double()


def density(x, u):
    """q(x) of the toy at u, for the rate 2 + 3 u; both float64 and differentiable."""
    share = torch.exp(-(2 * u + 1.5 * u**2))[:, None]
    spread = share * TOY.variances + 1 - share
    bells = torch.exp(-((x[:, None] - share.sqrt() * TOY.means) ** 2) / (2 * spread))
    return (TOY.weights * bells / (2 * math.pi * spread).sqrt()).sum(1)


def derivatives():
    """x, beta, q, and its derivatives by u, by x, and twice by x, at 40 places and times."""
    x = torch.linspace(-1.2, 1.3, 40).double().requires_grad_()
    u = torch.linspace(0.02, 0.9, 40).double().requires_grad_()
    q = density(x, u)
    by_x, by_u = torch.autograd.grad(q.sum(), (x, u), create_graph=True)
    (twice,) = torch.autograd.grad(by_x.sum(), x, create_graph=True)
    return x, 2 + 3 * u.detach(), q, by_u.detach(), by_x, twice.detach()


@pytest.mark.equation("eq-fokker-planck", latex="57e13bec")
def test_the_density_changes_as_shrinking_and_noise_have_it(claim):
    x, beta, q, by_u, by_x, twice = derivatives()
    pieces = {
        r"\frac{\partial^2 q}{\partial x^2}": twice,
        r"\frac{\partial q}{\partial x}": by_x.detach(),
    }
    printed = claim.printed(pieces, beta=beta, q=q.detach(), x=x.detach())
    claim.equal(by_u, printed)


@pytest.mark.equation("eq-reverse-family", latex="cf51cfe2", code=[reverse_drift])
def test_every_way_back_has_the_same_density(claim):
    x, beta, q, by_u, by_x, twice = derivatives()
    for eta in (0.0, 0.5, 1.0, 1.5):
        drift = reverse_drift(x, by_x / q, beta, eta)
        (flow,) = torch.autograd.grad((drift * q).sum(), x, retain_graph=True)
        pieces = {
            r"\frac{\partial (f_\eta\,q)}{\partial x}": flow,
            r"\frac{\partial^2 q}{\partial x^2}": twice,
        }
        printed = claim.printed(pieces, beta=beta, eta=eta)
        claim.equal(-by_u, printed)


@pytest.mark.equation("eq-bound-integral", latex="db7dcd53")
def test_half_the_area_below_the_error_is_information(claim):
    """The toy: averages over x by the trapezoid rule, which is exact to rounding for such bells."""
    ends = 5.0, -4.0  # of ln SNR
    x = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    weight = float(x[1] - x[0])

    def at(level):
        share = torch.special.expit(torch.as_tensor(level, dtype=torch.float64))
        spread = share * TOY.variances + 1 - share
        gap = x[:, None] - share.sqrt() * TOY.means
        parts = TOY.weights * torch.exp(-(gap**2) / (2 * spread)) / (2 * math.pi * spread).sqrt()
        q = parts.sum(1)
        means = TOY.means + share.sqrt() * TOY.variances / spread * gap
        within = TOY.variances * (1 - share) / spread
        mean = (parts * means).sum(1) / q
        second = (parts * (within + means**2)).sum(1)
        entropy = -float((q * q.log()).nansum()) * weight
        error = float((second - q * mean**2).nansum()) * weight
        return error, entropy - 0.5 * math.log(2 * math.pi * math.e * float(1 - share))

    points, weights = np.polynomial.legendre.leggauss(80)
    levels = (ends[0] + ends[1]) / 2 + (ends[0] - ends[1]) / 2 * points
    area = sum(w * math.exp(level) * at(level)[0] for level, w in zip(levels, weights, strict=True))
    area *= (ends[0] - ends[1]) / 2
    integral = r"\int_{\mathrm{SNR}(T)}^{\mathrm{SNR}(1)} E\;d\,\mathrm{SNR}"
    known = {"I(x_0; x_1)": at(ends[0])[1], "I(x_0; x_T)": at(ends[1])[1]}
    printed = claim.printed({integral: area}, side=0)
    claim.equal(claim.printed(known), printed)


@pytest.mark.equation("eq-straight-path", latex="e28c0d38", code=[noise_share])
def test_every_state_is_a_point_of_the_straight_path(claim):
    x_t = alpha_bar[t].sqrt() * x0 + sigma_bar[t] * eps
    share = claim.printed(**TABLES, clause=1, t=t)
    printed = claim.printed(
        **{**TABLES, "omega": noise_share(alpha_bar)}, x0=x0, eps=eps, t=t, clause=0
    )
    claim.equal(claim.printed(**TABLES, clause=0, side=0, x_t=x_t, t=t), printed)
    claim.equal(noise_share(alpha_bar)[t], share)
    straight = NoiseSchedule.straight(40)
    claim.equal(noise_share(straight.alpha_bar)[1:40], torch.arange(1, 40).double() / 40)


@pytest.mark.equation("eq-x0-from-velocity", latex="5d295051", code=[x0_from_velocity])
def test_the_data_behind_a_velocity(claim):
    x_t = alpha_bar[t].sqrt() * x0 + sigma_bar[t] * eps
    printed = claim.printed(**TABLES, t=t, x_t=x_t, nu=eps - x0)
    claim.equal(x0[:-1], printed[:-1])  # at T, cosine's data are lost in the rounding of x_t
    claim.equal(x0_from_velocity(SCHEDULE, x_t, t, eps - x0), printed)


@pytest.mark.equation("eq-velocity-weight", latex="a5a51560", code=[noise_share])
def test_the_error_of_the_velocity_is_that_of_the_noise_with_a_weight(claim):
    x_t = alpha_bar[t].sqrt() * x0 + sigma_bar[t] * eps
    eps_hat = torch.linspace(0, 1, 40).double()
    x0_hat = (x_t - sigma_bar[t] * eps_hat) / alpha_bar[t].sqrt()
    nu, nu_hat = eps - x0, eps_hat - x0_hat
    share = noise_share(alpha_bar)
    printed = claim.printed(omega=share, t=t, eps=eps[:, None], eps_hat=eps_hat[:, None])
    left = claim.printed(side=0, nu=nu[:, None], nu_hat=nu_hat[:, None])
    claim.equal(left[:-1], printed[:-1])


def spent(u_of_level):
    """ln SNR, and |du / d ln SNR| there."""
    level = torch.linspace(-8, 8, 32).double().requires_grad_()
    u = u_of_level(level)
    (slope,) = torch.autograd.grad(u.sum(), level)
    return level.detach(), u.detach(), slope.abs()


@pytest.mark.equation("eq-straight-weight", latex="2528f7f6")
def test_how_flow_matching_weighs_noise_levels(claim):
    level, u, time = spent(lambda level: 1 / (1 + (level / 2).exp()))
    claim.equal(2 * ((1 - u) / u).log(), level)
    left = claim.printed({r"|\frac{du}{d\ell}|": time}, side=0, u=u)
    printed = claim.printed(ell=level)
    claim.equal(left, printed)


@pytest.mark.equation("eq-cosine-weight", latex="5768d4ba")
def test_how_v_under_the_cosine_weighs_noise_levels(claim):
    level, u, time = spent(lambda level: 2 / math.pi * torch.arctan((-level / 2).exp()))
    signal = (math.pi * u / 2).cos() ** 2
    claim.equal((signal / (1 - signal)).log(), level)
    left = claim.printed({r"|\frac{du}{d\ell}|": time}, side=0, alpha_bar=signal)
    printed = claim.printed(ell=level)
    claim.equal(left, printed)


class Guess(Denoiser):
    """Some guess of the data, with the noise that belongs to it."""

    schedule, shape = SCHEDULE, (5,)

    def __call__(self, x_t, t):
        at = t[:, None].double()
        x0_hat = torch.tanh(1.3 * x_t + at / 20) - 0.2 * x_t
        eps_hat = (x_t - alpha_bar[t][:, None].sqrt() * x0_hat) / sigma_bar[t][:, None]
        return Prediction(x0_hat, eps_hat)


START = torch.linspace(-1.5, 1.5, 10).double().view(2, 5)
STEPS = [(40, 31), (31, 12), (20, 19), (2, 1)]


def step(sampler: Sampler, x_t, t, s):
    *_, (_, x_s, _) = walk(Guess(), x_t, [(t, s)], sampler)
    return x_s


@pytest.mark.equation("eq-euler-straight", latex="ea32e60c", code=[DDIM.step])
def test_euler_along_the_velocity_is_ddim(claim):
    for t, s in STEPS:
        x0_hat, eps_hat, *_ = Guess()(START, filled_like(START, t))
        printed = claim.printed(**TABLES, t=t, s=s, x_t=START, nu_hat=eps_hat - x0_hat)
        x_s = step(DDIM(), START, t, s)
        claim.equal(claim.printed(**TABLES, side=0, s=s, x_s=x_s), printed)


@pytest.mark.equation("eq-heun-step", latex="7b75980c", code=[Heun.step])
def test_a_step_of_heun(claim):
    for t, s in STEPS:
        x0_hat, eps_hat, *_ = Guess()(START, filled_like(START, t))
        euler = alpha_bar[s].sqrt() * x0_hat + sigma_bar[s] * eps_hat
        there = Guess()(euler, filled_like(euler, s))
        printed = claim.printed(
            **TABLES, t=t, s=s, x_s_prime=euler, x0_hat=x0_hat, x0_hat_prime=there.x0_hat
        )
        claim.equal(step(Heun(), START, t, s), printed)
        # The same, with the velocities at both ends of the step and their mean.
        nu, nu_there = eps_hat - x0_hat, there.eps_hat - there.x0_hat
        scale = alpha_bar.sqrt() + sigma_bar
        z = START / scale[t] + (omega[s] - omega[t]) * (nu + nu_there) / 2
        claim.equal(scale[s] * z, printed)
        # On the path of EDM, as the text says.
        r = sigma_bar / alpha_bar.sqrt()
        factor = 0.5 * alpha_bar[s].sqrt() * (1 - r[t] / r[s])
        claim.equal(step(Heun("edm"), START, t, s), euler + factor * (x0_hat - there.x0_hat))
