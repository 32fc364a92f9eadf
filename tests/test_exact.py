import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from ddpm_tutorial import GaussianMixture, NoiseSchedule, p_reverse, score

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
