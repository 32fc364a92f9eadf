"""Chapters 1 to 3: the best guess, the VAE, and chains of latents."""

import math

import pytest
import torch
from scipy import integrate
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from toys import AVERAGE, DATA, Chain, Step, kl, learned_chain, log_normal, nodes_of_normal, number

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


@pytest.mark.equation("eq-remove-noise", latex="e0b35674", code=[x0_from_eps])
def test_taking_the_noise_away_gives_the_data_back(claim):
    schedule = NoiseSchedule.cosine(50)
    t = torch.arange(1, 50)
    x0 = torch.linspace(-0.9, 0.8, 49).double()
    eps = torch.linspace(2.1, -1.3, 49).double()
    x_t, alpha_bar = q_sample(schedule, x0, t, eps), schedule.alpha_bar
    printed = claim.printed(alpha_bar=alpha_bar, t=t, x_t=x_t, eps=eps)
    claim.equal(x0, printed)
    claim.equal(x0_from_eps(schedule, x_t, t, eps), printed)


@pytest.mark.equation("eq-best-guess", latex="1b563f9d", code=[GaussianMixture.__call__])
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
        printed = claim.printed({r"\mathrm{Var}(x_0 \mid \mathbf{x}_t)": spread}, g=guess, m=mean)
        claim.equal(error, printed)


@pytest.mark.equation("eq-jensen", latex="5891bdc7")
def test_the_bound_lies_below_and_meets_the_evidence_at_the_posterior(claim):
    def bound(mean, variance):
        z, weights = nodes_of_normal(mean, variance)
        densities = {
            r"\mathbb{E}_q": 1,
            r"p_\theta(\mathbf{x} \mid \mathbf{z})": DECODER.log_prob(DATA, z).exp(),
            r"p(\mathbf{z})": log_normal(z, number(0.0), number(1.0)).exp(),
            r"q_\phi(\mathbf{z} \mid \mathbf{x})": log_normal(z, mean, variance).exp(),
        }
        printed = weights @ claim.printed(densities, side=1)
        return printed

    claim.at_least(log_evidence(), bound(MU, VARIANCE))
    claim.equal(log_evidence(), bound(*true_posterior()))


@pytest.mark.equation("eq-vae-gap", latex="2719c257", code=[kl_normal])
def test_the_gap_is_the_divergence_from_the_posterior(claim):
    z, weights = nodes_of_normal(MU, VARIANCE)
    bound = weights @ (log_joint(z) - log_normal(z, MU, VARIANCE))
    mean, variance = true_posterior()
    gap = kl_normal(MU, VARIANCE.log(), mean, variance.log())
    divergence = (
        r"\mathrm{KL}(q_\phi(\mathbf{z} \mid \mathbf{x})\|p_\theta(\mathbf{z} \mid \mathbf{x}))"
    )
    printed = claim.printed({divergence: gap}, ELBO=bound)
    claim.equal(log_evidence(), printed)


@pytest.mark.equation("eq-vae-terms", latex="e193364d", code=[kl_normal])
def test_the_bound_is_reconstruction_less_divergence(claim):
    z, weights = nodes_of_normal(MU, VARIANCE)
    bound = weights @ (log_joint(z) - log_normal(z, MU, VARIANCE))
    reconstruction = weights @ DECODER.log_prob(DATA, z)
    cost = kl_normal(MU, VARIANCE.log(), number(0.0), number(0.0))
    terms = {
        r"\mathbb{E}_q[\ln p_\theta(\mathbf{x} \mid \mathbf{z})]": reconstruction,
        kl(r"q_\phi(\mathbf{z} \mid \mathbf{x})", r"p(\mathbf{z})"): cost,
    }
    printed = claim.printed(terms)
    claim.equal(bound, printed)


@pytest.mark.equation("eq-reparameterise", latex="b29cf965")
def test_the_gradient_goes_through_the_noise(claim):
    """E sin z = exp(-sigma^2 / 2) sin mu, whose gradients are known."""
    mu, sigma = number(0.6), number(0.8)
    eps = torch.randn(400_000, generator=torch.Generator().manual_seed(0)).double()
    z = mu + sigma * eps
    slope = torch.cos(z)
    pieces = {r"\mathbb{E}": 1, r"f'(\mu + \sigma\epsilon)": slope}
    printed = torch.stack([claim.printed(pieces, clause=c, eps=eps) for c in (0, 1)], dim=1)
    shrink = torch.exp(-(sigma**2) / 2)
    expected = torch.stack([shrink * torch.cos(mu), -sigma * shrink * torch.sin(mu)])
    claim.mean(printed, expected)


@pytest.mark.equation("eq-score-function", latex="10ab01cc")
def test_the_gradient_by_the_density_whatever_the_baseline(claim):
    """E sin z as above, by quadrature: for z = mu + sigma eps, 60 nodes have converged."""
    mu, sigma = number(0.6), number(0.8)
    z, node_weights = nodes_of_normal(mu, sigma**2)
    expected = torch.exp(-(sigma**2) / 2) * torch.cos(mu)
    for baseline in (0.0, 0.3, -2.0):
        pieces = {r"\mathbb{E}": 1, "f(z)": torch.sin(z)}
        printed = claim.printed(pieces, z=z, b=number(baseline), mu=mu, sigma=sigma)
        claim.equal(expected, node_weights @ printed)
    # It is subtracted: of an f that is b everywhere, no draw has anything left.
    pieces = {r"\mathbb{E}": 1, "f(z)": torch.full_like(z, 0.3)}
    left = claim.printed(pieces, z=z, b=number(0.3), mu=mu, sigma=sigma)
    claim.equal(torch.zeros_like(z), left)


@pytest.mark.equation("eq-kl-normal", latex="62d93a65", code=[kl_normal])
def test_divergence_of_two_normals(claim):
    printed = claim.printed(mu_1=MEAN_1, mu_2=MEAN_2, sigma_1=SIGMA_1, sigma_2=SIGMA_2)
    oracle = kl_divergence(Normal(MEAN_1, SIGMA_1), Normal(MEAN_2, SIGMA_2))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(MEAN_1, 2 * SIGMA_1.log(), MEAN_2, 2 * SIGMA_2.log()), printed)


@pytest.mark.equation("eq-kl-standard", latex="57d307dd", code=[kl_normal])
def test_divergence_from_the_standard_normal(claim):
    printed = claim.printed(mu=MEAN_1, sigma=SIGMA_1)
    oracle = kl_divergence(Normal(MEAN_1, SIGMA_1), Normal(number(0.0), number(1.0)))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(MEAN_1, 2 * SIGMA_1.log(), number(0.0), number(0.0)), printed)


@pytest.mark.equation("eq-decoder-sums", latex="e3bb7432")
def test_the_256_probabilities_sum_to_one(claim):
    levels = claim.printed(clause=1, k=torch.arange(256).double())
    mean = torch.tensor([-1.02, -0.3, 0.7]).double()[:, None]
    sigma = torch.tensor([0.004, 0.05, 1.3]).double()[:, None]
    lower, upper = levels - 1 / 255, levels + 1 / 255
    lower[0], upper[255] = -math.inf, math.inf
    normal = Normal(mean, sigma)
    P = normal.cdf(upper) - normal.cdf(lower)
    printed = claim.printed({"P(x_k)": lambda k: P[:, k]}, side=0)
    claim.equal(claim.printed(side=1), printed)
    with torch.no_grad():
        ours = discretized_normal_log_prob(levels, mean, 2 * sigma.log()).exp()
    large = P > 1e-6  # further out the difference above has lost its digits; ours has not
    claim.equal(ours[large], P[large])


@pytest.mark.equation("eq-uniform-bits", latex="fae82641", code=[to_bits_per_dim])
def test_a_guess_that_knows_nothing_costs_eight_bits(claim):
    D = 784
    nats = D * torch.log(number(256.0))  # -ln p(x) of 784 pixels, each of 256 levels alike
    printed = claim.printed(side=0, D=D)
    claim.equal(claim.printed(side=1), printed)
    claim.equal(to_bits_per_dim(nats, D), printed)


@pytest.mark.equation("eq-chain-bound", latex="89e2666c")
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
    terms = AVERAGE | {
        r"\ln p_\theta(\mathbf{x} \mid \mathbf{z}_1)": p[1].log_prob(x[0], x[1]),
        r"\ln p_\theta(\mathbf{z}_{t-1} \mid \mathbf{z}_t)": lambda t: p[t].log_prob(
            x[t - 1], x[t]
        ),
        r"\ln q_\phi(\mathbf{z}_{t-1} \mid \mathbf{z}_{t-2})": (
            lambda t: q[t - 1].log_prob(x[t - 1], x[t - 2])
        ),
        kl(r"q_\phi(\mathbf{z}_T \mid \mathbf{z}_{T-1})", r"p(\mathbf{z}_T)"): top,
    }
    printed = claim.printed(terms, T=T).mean()
    claim.equal(bound, printed)


@pytest.mark.equation("eq-chain-gap", latex="a6577268")
def test_gap_of_a_chain_is_the_divergence_of_its_paths(claim):
    chain = learned_chain()
    path = chain.paths(DATA)
    gap = kl_divergence(chain.encoder(DATA), chain.true_posterior(DATA))
    q, p = (
        r"q_\phi(\mathbf{z}_{1:T} \mid \mathbf{x})",
        r"p_\theta(\mathbf{z}_{1:T} \mid \mathbf{x})",
    )
    terms = AVERAGE | {
        kl(q, p): gap,
        r"p_\theta(\mathbf{x}, \mathbf{z}_{1:T})": chain.log_p(path).exp(),
        q: chain.log_q(path).exp(),
    }
    printed = claim.printed(terms).mean()
    claim.equal(chain.log_marginal(DATA), printed)


@pytest.mark.equation("eq-chain-markov", latex="6511b949")
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


@pytest.mark.equation("eq-kl-chain-rule", latex="2e577984")
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

    divergence = kl(
        r"q_\phi(\mathbf{z}_t \mid \mathbf{z}_{t-1})",
        r"p_\theta(\mathbf{z}_t \mid \mathbf{z}_{t-1})",
    )
    printed = claim.printed(AVERAGE | {divergence: layer}, T=chain.T)
    claim.equal(whole, printed)


@pytest.mark.equation("eq-chain-top-down", latex="dc865a38")
def test_bound_of_a_chain_whose_encoder_comes_down(claim):
    """Given x, q is N(0.35, 0.6) at the top, and a normal step further down for each layer."""
    chain = learned_chain()
    T, p = chain.T, chain.p
    q = [None, None, Step(0.6, -0.1, 0.3), Step(-0.4, 0.2, 0.5)]  # q[t]: q(z_{t-1} | z_t, x)
    ours = Chain([None, Step(0.0, 0.0, 1.0), *q[2:]], [None] * (T + 1), 0.35, 0.6)
    latents = MultivariateNormal(ours.joint().mean[1:], ours.joint().covariance_matrix[1:, 1:])
    reach = math.sqrt(T) * latents.scale_tril.T  # as in `Chain.paths`
    z = torch.cat([latents.mean + reach, latents.mean - reach])
    path = torch.cat([DATA.expand(len(z), 1), z], 1)
    x = path.T
    log_q = sum(q[t].log_prob(x[t - 1], x[t]) for t in range(2, T + 1)) + ours.log_prior(x[T])
    bound = (chain.log_p(path) - log_q).mean()

    def layer(t):
        """KL(q(z_{t-1} | z_t, x) || p(z_{t-1} | z_t)) at every path."""
        steps = (
            Normal(step.slope * x[t] + step.shift, math.sqrt(step.variance))
            for step in (q[t], p[t])
        )
        return kl_divergence(*steps)

    top = Normal(number(0.35), number(0.6).sqrt()), Normal(number(0.0), number(1.0))
    terms = AVERAGE | {
        r"\ln p_\theta(\mathbf{x} \mid \mathbf{z}_1)": p[1].log_prob(x[0], x[1]),
        kl(r"q_\phi(\mathbf{z}_T \mid \mathbf{x})", r"p(\mathbf{z}_T)"): kl_divergence(*top),
        kl(
            r"q_\phi(\mathbf{z}_{t-1} \mid \mathbf{z}_t, \mathbf{x})",
            r"p_\theta(\mathbf{z}_{t-1} \mid \mathbf{z}_t)",
        ): layer,
    }
    printed = claim.printed(terms, T=T).mean()
    claim.equal(bound, printed)


def test_paths_have_the_moments_of_the_encoder():
    """The averages above are exact only if the few paths have the right mean and covariance."""
    chain = learned_chain()
    latents, encoder = chain.paths(DATA)[:, 1:], chain.encoder(DATA)
    torch.testing.assert_close(latents.mean(0), encoder.mean)
    torch.testing.assert_close(latents.T.cov(correction=0), encoder.covariance_matrix)
    assert isinstance(encoder, MultivariateNormal)
