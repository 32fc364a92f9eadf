import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from ddpm_tutorial import GaussianMixture, JointMixture, NoiseSchedule, p_reverse, score

SCHEDULE = NoiseSchedule.cosine(20)
MIXTURE = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.04])
GRID = torch.linspace(-9, 9, 40_001, dtype=torch.float64)


def at(t, like):
    return torch.full((len(like),), t, dtype=torch.int64)


def density(x, t):
    """q(x_t) from torch.distributions."""
    alpha_bar = SCHEDULE.alpha_bar[t]
    component = Normal(
        alpha_bar.sqrt() * MIXTURE.means, (alpha_bar * MIXTURE.variances + 1 - alpha_bar).sqrt()
    )
    return MixtureSameFamily(Categorical(MIXTURE.weights), component).log_prob(x)


@pytest.mark.parametrize("t", [0, 1, 10, 20])
def test_log_prob_equals_torch_distributions(t):
    x = GRID[::400, None]
    torch.testing.assert_close(
        MIXTURE.log_prob(x, at(t, x)), density(x, t)[:, 0], rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("t", [1, 2, 10, 19])
@pytest.mark.parametrize("x_t", [-1.1, 0.0, 0.4])
def test_reverse_step_has_the_moments_that_integration_gives(t, x_t):
    """Mean and variance of x_{t-1} given x_t, from q(x_t | x_{t-1}) q(x_{t-1}) on a fine grid."""
    alpha, beta = SCHEDULE.alpha[t], SCHEDULE.beta[t]
    log_joint = density(GRID, t - 1) + Normal(alpha.sqrt() * GRID, beta.sqrt()).log_prob(
        torch.tensor(x_t)
    )
    weight = log_joint.softmax(0)
    mean = (weight * GRID).sum()
    variance = (weight * (GRID - mean) ** 2).sum()

    x = torch.tensor([[x_t]], dtype=torch.float64)
    ours, log_variance = p_reverse(MIXTURE, x, at(t, x))
    np.testing.assert_allclose(ours.squeeze(), mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(log_variance.exp().squeeze(), variance, rtol=1e-6)
    if t == 1:
        np.testing.assert_allclose(MIXTURE(x, at(1, x)).x0_hat.squeeze(), mean, rtol=1e-7)


def test_true_prior_has_the_moments_of_x_T():
    schedule = NoiseSchedule.linear(5)
    model = GaussianMixture(schedule, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.04], true_prior=True)
    mean, log_variance = model.prior(torch.zeros(1, 1, dtype=torch.float64))
    alpha_bar = schedule.alpha_bar[5]
    component = Normal(
        alpha_bar.sqrt() * model.means, (alpha_bar * model.variances + 1 - alpha_bar).sqrt()
    )
    x_T = MixtureSameFamily(Categorical(model.weights), component)
    torch.testing.assert_close(mean.squeeze(), x_T.mean)
    torch.testing.assert_close(log_variance.exp().squeeze(), x_T.variance)
    mean, log_variance = MIXTURE.prior(torch.ones(2, 1))
    assert (mean == 0).all()
    assert (log_variance == 0).all()


@pytest.mark.parametrize(
    ("weights", "means", "variances", "named"),
    [
        ([0.5, 0.4], [0.0, 1.0], [1.0, 1.0], "weights"),
        ([1.0], [0.0], [0.0], "variances"),
        ([1.0], [0.0, 1.0], [1.0], "2 means"),
    ],
)
def test_bad_mixtures_are_refused(weights, means, variances, named):
    with pytest.raises(ValueError, match=named):
        GaussianMixture(SCHEDULE, weights, means, variances)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_data_in_low_precision_do_not_spoil_the_coefficients(dtype):
    model = GaussianMixture(NoiseSchedule.linear(), [0.3, 0.7], [-0.6, 0.5], [0.01, 0.04])
    x = torch.tensor([[-0.5], [0.25], [0.75]], dtype=dtype)
    for function in (
        model.log_prob,
        lambda x, t: model(x, t)[:2],
        lambda x, t: score(model, x, t),
        lambda x, t: p_reverse(model, x, t),
    ):
        torch.testing.assert_close(
            function(x, at(1, x)), function(x.double(), at(1, x)), rtol=1e-12, atol=0
        )


# Entries that belong together

WEIGHTS = [0.3, 0.7]
SHARES = Categorical(torch.tensor(WEIGHTS, dtype=torch.float64))
MEANS = torch.tensor([[-0.3, -0.6, 0.1], [0.3, 0.5, -0.2]], dtype=torch.float64)
ROOTS = torch.tensor(
    [
        [[0.2, 0.0, 0.1], [0.1, 0.1, 0.0], [0.0, 0.2, 0.3]],
        [[0.3, 0.1, 0.0], [0.0, 0.2, 0.1], [0.2, 0.0, 0.2]],
    ]
).double()
COVARIANCES = ROOTS @ ROOTS.mT
JOINT = JointMixture(SCHEDULE, WEIGHTS, MEANS, COVARIANCES)
POINTS = torch.linspace(-1.5, 1.6, 60, dtype=torch.float64).view(20, 3).flip(0).sin()


def joint_density(x, t):
    """q(x_t) of the joint mixture, from torch.distributions."""
    alpha_bar, eye = SCHEDULE.alpha_bar[t], torch.eye(3).double()
    covariances = alpha_bar * COVARIANCES + (1 - alpha_bar) * eye
    parts = MultivariateNormal(alpha_bar.sqrt() * MEANS, covariances)
    return MixtureSameFamily(SHARES, parts).log_prob(x)


@pytest.mark.parametrize("t", [0, 1, 10, 20])
def test_joint_density_and_score_equal_torch_distributions(t):
    x = POINTS.clone().requires_grad_()
    expected = joint_density(x, t)
    torch.testing.assert_close(JOINT.log_prob(x, at(t, x)), expected, rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(JOINT.score(POINTS, at(t, x)), slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t", [1, 10, 20])
def test_joint_guess_is_that_of_tweedie_and_its_variance_the_slope_of_it(t):
    alpha_bar = SCHEDULE.alpha_bar[t]
    x = POINTS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(joint_density(x, t).sum(), x)
    seen = JOINT(x, at(t, x))
    expected = (POINTS + (1 - alpha_bar) * slope) / alpha_bar.sqrt()
    torch.testing.assert_close(seen.x0_hat.detach(), expected, rtol=1e-6, atol=1e-6)
    guesses = enumerate(seen.x0_hat.unbind(1))
    own = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0][:, i] for i, one in guesses]
    own = torch.stack(own, 1)
    expected = (1 - alpha_bar) / alpha_bar.sqrt() * own
    torch.testing.assert_close(seen.x0_variance.detach(), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(score(JOINT, POINTS, at(t, x)), slope, rtol=1e-6, atol=1e-6)


def test_a_joint_mixture_of_one_entry_is_the_mixture():
    one = JointMixture(SCHEDULE, [0.3, 0.7], [[-0.6], [0.5]], [[[0.01]], [[0.04]]])
    x = torch.linspace(-2, 2, 20, dtype=torch.float64)[:, None]
    t = torch.arange(1, 21)
    for ours, theirs in zip(one(x, t), MIXTURE(x, t), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(p_reverse(one, x, t), p_reverse(MIXTURE, x, t), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert (one.shape, one.entry(0).weights.tolist()) == ((1,), [0.3, 0.7])


@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_given_a_measurement_it_is_bayes_rule(sigma):
    """Up to p(y), the posterior is prior times likelihood; without error, along what is free."""
    A, y = torch.tensor([[1.0, 0.5, 0.0]]).double(), torch.tensor([0.2]).double()
    given, log_evidence = JOINT.given(A, y, sigma)
    of_y = (A @ COVARIANCES @ A.T)[:, 0, 0] + sigma**2
    parts = Normal((MEANS @ A.T)[:, 0], of_y.sqrt())
    expected = MixtureSameFamily(SHARES, parts).log_prob(y)
    torch.testing.assert_close(log_evidence, expected[0], rtol=1e-10, atol=1e-10)
    if sigma:
        x = POINTS
        likelihood = Normal((x @ A.T)[:, 0], sigma).log_prob(y)
        expected = joint_density(x, 0) + likelihood - log_evidence
        torch.testing.assert_close(given.log_prob(x, at(0, x)), expected, rtol=1e-8, atol=1e-8)
        return
    # On the plane A x = y the two differ by one number alone.
    free = torch.stack([POINTS[:, 0], (y - POINTS[:, 0]) * 2, POINTS[:, 2]], 1)
    alike = given.entry(2).log_prob(free[:, 2:], at(0, free))
    grid = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    first = torch.cartesian_prod(grid, free[:, 2])
    plane = torch.stack([first[:, 0], (y - first[:, 0]) * 2, first[:, 1]], 1)
    sums = joint_density(plane, 0).exp().view(2001, 20).sum(0)
    ratio = sums.log() - alike
    torch.testing.assert_close(ratio, ratio[:1].expand(20), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        ([0.5, 0.6], MEANS, COVARIANCES, "must be positive and sum to 1"),
        ([1.0], MEANS, COVARIANCES, "give \\(K,\\), \\(K, D\\) and \\(K, D, D\\)"),
        (WEIGHTS, MEANS, COVARIANCES[:, :2, :2], "give \\(K,\\), \\(K, D\\)"),
        (WEIGHTS, MEANS, ROOTS, "must be symmetric"),
        (WEIGHTS, MEANS, -COVARIANCES, "no negative eigenvalue"),
        (WEIGHTS, torch.full((2, 3), torch.nan), COVARIANCES, "means: 6 of 6 values are not"),
    ],
)
def test_what_is_no_joint_mixture_is_refused(weights, means, covariances, message):
    with pytest.raises(ValueError, match=message):
        JointMixture(SCHEDULE, weights, means, covariances)
