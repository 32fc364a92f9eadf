"""Chapters 1 to 3: the best guess, the VAE, and chains of latents."""

import math

import pytest
import torch
from scipy import integrate
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from toys import DATA, Step, learned_chain, log_normal, nodes_of_normal, number

from ddpm_tutorial import (
    GaussianMixture,
    NoiseSchedule,
    discretized_normal_log_prob,
    kl_normal,
    q_sample,
    to_bits_per_dim,
    x0_from_eps,
)

MEAN_1, SIGMA_1 = torch.tensor([[0.4], [-1.2]]).double(), torch.tensor([[0.5], [1.7]]).double()
MEAN_2, SIGMA_2 = torch.tensor([-0.3, 0.9]).double(), torch.tensor([0.8, 0.6]).double()

# A VAE of one latent and one pixel, z ~ N(0, 1), whose decoder is `DECODER` and whose encoder gives
# N(mu, variance), not the posterior.
DECODER = Step(0.8, 0.3, 0.2)
MU, VARIANCE = number(0.45), number(0.3)


def log_joint(z):
    return DECODER.log_prob(DATA, z) + log_normal(z, number(0.0), number(1.0))


def log_evidence():
    return log_normal(DATA, number(DECODER.shift), number(DECODER.slope**2 + DECODER.variance))


def true_posterior():
    """Mean and variance of p(z | x), from the textbook rule for a normal prior and likelihood."""
    variance = 1 / (1 + DECODER.slope**2 / DECODER.variance)
    return variance * DECODER.slope * (DATA - DECODER.shift) / DECODER.variance, number(variance)


@pytest.mark.equation("eq-remove-noise", code=[x0_from_eps])
def test_taking_the_noise_away_gives_the_data_back(claim):
    schedule = NoiseSchedule.cosine(50)
    t = torch.arange(1, 50)
    x0 = torch.linspace(-0.9, 0.8, 49).double()
    eps = torch.linspace(2.1, -1.3, 49).double()
    x_t, alpha_bar = q_sample(schedule, x0, t, eps), schedule.alpha_bar
    printed = (x_t - (1 - alpha_bar[t]).sqrt() * eps) / alpha_bar[t].sqrt()
    claim.equal(x0, printed)
    claim.equal(x0_from_eps(schedule, x_t, t, eps), printed)


@pytest.mark.equation("eq-best-guess", code=[GaussianMixture.__call__])
def test_no_guess_beats_the_mean_of_what_it_could_be(claim):
    """The error of a guess g at one x_t, against that of the mean: E (x_0 - g)^2 by quadrature."""
    model = GaussianMixture(NoiseSchedule.cosine(20), [0.3, 0.7], [-0.6, 0.5], [0.04, 0.02])
    t, x_t = torch.tensor([8]), number(0.15).view(1, 1)
    signal, sigma = model.schedule.alpha_bar[8].sqrt(), (1 - model.schedule.alpha_bar[8]).sqrt()

    def weight(x0):
        data = model.log_prob(number(x0).view(1, 1), torch.tensor([0]))
        return float(torch.exp(data[0] + log_normal(x_t[0, 0], signal * x0, sigma**2)))

    def average(f):
        return number(integrate.quad(lambda x0: f(x0) * weight(x0), -3, 3, epsabs=1e-14)[0])

    total = average(lambda x0: 1.0)
    mean = average(lambda x0: x0) / total
    claim.equal(mean, model(x_t, t).x0_hat[0, 0])
    for guess in (-0.4, 0.1, 0.9):
        error = average(lambda x0: (x0 - guess) ** 2) / total  # noqa: B023 (used at once)
        spread = average(lambda x0: (x0 - mean.item()) ** 2) / total
        printed = spread + (guess - mean) ** 2
        claim.equal(error, printed)


@pytest.mark.equation("eq-jensen")
def test_the_bound_lies_below_and_meets_the_evidence_at_the_posterior(claim):
    def bound(mean, variance):
        z, weights = nodes_of_normal(mean, variance)
        printed = weights @ (log_joint(z) - log_normal(z, mean, variance))
        return printed

    claim.at_least(log_evidence(), bound(MU, VARIANCE))
    claim.equal(log_evidence(), bound(*true_posterior()))


@pytest.mark.equation("eq-vae-gap", code=[kl_normal])
def test_the_gap_is_the_divergence_from_the_posterior(claim):
    z, weights = nodes_of_normal(MU, VARIANCE)
    bound = weights @ (log_joint(z) - log_normal(z, MU, VARIANCE))
    mean, variance = true_posterior()
    gap = kl_normal(MU, VARIANCE.log(), mean, variance.log())
    printed = bound + gap
    claim.equal(log_evidence(), printed)


@pytest.mark.equation("eq-vae-terms", code=[kl_normal])
def test_the_bound_is_reconstruction_less_divergence(claim):
    z, weights = nodes_of_normal(MU, VARIANCE)
    bound = weights @ (log_joint(z) - log_normal(z, MU, VARIANCE))
    reconstruction = weights @ DECODER.log_prob(DATA, z)
    printed = reconstruction - kl_normal(MU, VARIANCE.log(), number(0.0), number(0.0))
    claim.equal(bound, printed)


@pytest.mark.equation("eq-reparameterise")
def test_the_gradient_goes_through_the_noise(claim):
    """E sin z = exp(-sigma^2 / 2) sin mu, whose gradients are known."""
    mu, sigma = number(0.6), number(0.8)
    eps = torch.randn(400_000, generator=torch.Generator().manual_seed(0)).double()
    z = mu + sigma * eps
    slope = torch.cos(z)
    printed = torch.stack([slope, slope * eps], dim=1)
    shrink = torch.exp(-(sigma**2) / 2)
    expected = torch.stack([shrink * torch.cos(mu), -sigma * shrink * torch.sin(mu)])
    claim.mean(printed, expected)


@pytest.mark.equation("eq-kl-normal", code=[kl_normal])
def test_divergence_of_two_normals(claim):
    printed = (
        torch.log(SIGMA_2 / SIGMA_1)
        + (SIGMA_1**2 + (MEAN_1 - MEAN_2) ** 2) / (2 * SIGMA_2**2)
        - number(0.5)
    )
    oracle = kl_divergence(Normal(MEAN_1, SIGMA_1), Normal(MEAN_2, SIGMA_2))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(MEAN_1, 2 * SIGMA_1.log(), MEAN_2, 2 * SIGMA_2.log()), printed)


@pytest.mark.equation("eq-kl-standard", code=[kl_normal])
def test_divergence_from_the_standard_normal(claim):
    printed = (MEAN_1**2 + SIGMA_1**2 - 1 - torch.log(SIGMA_1**2)) / 2
    oracle = kl_divergence(Normal(MEAN_1, SIGMA_1), Normal(number(0.0), number(1.0)))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(MEAN_1, 2 * SIGMA_1.log(), number(0.0), number(0.0)), printed)


@pytest.mark.equation("eq-decoder-sums")
def test_the_256_probabilities_sum_to_one(claim):
    levels = torch.arange(256).double() / 127.5 - 1
    mean = torch.tensor([-1.02, -0.3, 0.7]).double()[:, None]
    sigma = torch.tensor([0.004, 0.05, 1.3]).double()[:, None]
    lower, upper = levels - 1 / 255, levels + 1 / 255
    lower[0], upper[255] = -math.inf, math.inf
    normal = Normal(mean, sigma)
    printed = normal.cdf(upper) - normal.cdf(lower)
    claim.equal(number(1.0), printed.sum(1))
    with torch.no_grad():
        ours = discretized_normal_log_prob(levels, mean, 2 * sigma.log()).exp()
    large = printed > 1e-6  # further out the difference above has lost its digits; ours has not
    claim.equal(ours[large], printed[large])


@pytest.mark.equation("eq-uniform-bits", code=[to_bits_per_dim])
def test_a_guess_that_knows_nothing_costs_eight_bits(claim):
    D = 784
    nats = D * torch.log(number(256.0))  # -ln p(x) of 784 pixels, each of 256 levels alike
    printed = nats / (D * math.log(2))
    claim.equal(number(8.0), printed)
    claim.equal(to_bits_per_dim(nats, D), printed)


@pytest.mark.equation("eq-chain-bound")
def test_bound_of_a_chain_in_terms_of_its_layers(claim):
    chain = learned_chain()
    T, path = chain.T, chain.paths(DATA)
    x = path.T  # x[t]: layer t of every path; x[0] is the data, and x[t] is z_t
    bound = (chain.log_p(path) - chain.log_q(path)).mean()
    p, q = chain.p, chain.q
    top = kl_divergence(
        Normal(q[T].slope * x[T - 1] + q[T].shift, math.sqrt(q[T].variance)),
        Normal(number(0.0), number(1.0)),
    )
    printed = (
        p[1].log_prob(x[0], x[1])
        + sum(
            p[t].log_prob(x[t - 1], x[t]) - q[t - 1].log_prob(x[t - 1], x[t - 2])
            for t in range(2, T + 1)
        )
        - top
    ).mean()
    claim.equal(bound, printed)


@pytest.mark.equation("eq-chain-gap")
def test_gap_of_a_chain_is_the_divergence_of_its_paths(claim):
    chain = learned_chain()
    path = chain.paths(DATA)
    bound = (chain.log_p(path) - chain.log_q(path)).mean()
    gap = kl_divergence(chain.encoder(DATA), chain.true_posterior(DATA))
    printed = bound + gap
    claim.equal(chain.log_marginal(DATA), printed)


@pytest.mark.equation("eq-chain-markov")
def test_the_true_posterior_is_a_chain_as_well(claim):
    """Given z_1, nothing more is learned about z_2 from the data: q may be a chain upwards."""
    joint = learned_chain().joint()
    mean, covariance = joint.mean, joint.covariance_matrix

    def given(known, values, what):
        """Mean and variance of one layer given others, by conditioning the joint normal."""
        known = torch.tensor(known)
        solve = torch.linalg.solve(covariance[known][:, known], covariance[known, what])
        return (
            mean[what] + solve @ (values - mean[known]),
            covariance[what, what] - solve @ covariance[known, what],
        )

    z_1, z_2 = number(0.35), number(-0.8)
    for t, below in ((2, z_1), (3, z_2)):
        with_data = given([*range(t)], torch.stack([DATA, z_1, z_2])[:t], t)
        printed = given([t - 1], below[None], t)
        claim.equal(torch.stack(with_data), torch.stack(printed))


@pytest.mark.equation("eq-kl-chain-rule")
def test_divergence_of_paths_is_the_sum_of_the_layers(claim):
    chain = learned_chain()
    posterior = chain.true_posterior(DATA)
    whole = kl_divergence(chain.encoder(DATA), posterior)
    mean, covariance = posterior.mean, posterior.covariance_matrix
    x = chain.paths(DATA).T

    def layer(t):
        """KL(q(z_t | z_{t-1}) || p(z_t | z_{t-1}, x)) at every path."""
        if t == 1:
            true = Normal(mean[0], covariance[0, 0].sqrt())
        else:
            slope = covariance[t - 2, t - 1] / covariance[t - 2, t - 2]
            variance = covariance[t - 1, t - 1] - slope * covariance[t - 2, t - 1]
            true = Normal(mean[t - 1] + slope * (x[t - 1] - mean[t - 2]), variance.sqrt())
        step = chain.q[t]
        ours = Normal(step.slope * x[t - 1] + step.shift, math.sqrt(step.variance))
        return kl_divergence(ours, true).mean()

    printed = sum(layer(t) for t in range(1, chain.T + 1))
    claim.equal(whole, printed)


def test_paths_have_the_moments_of_the_encoder():
    """The averages above are exact only if the few paths have the right mean and covariance."""
    chain = learned_chain()
    latents, encoder = chain.paths(DATA)[:, 1:], chain.encoder(DATA)
    torch.testing.assert_close(latents.mean(0), encoder.mean)
    torch.testing.assert_close(latents.T.cov(correction=0), encoder.covariance_matrix)
    assert isinstance(encoder, MultivariateNormal)
