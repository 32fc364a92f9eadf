"""The VAE and its chain of latents: each term against torch.distributions, and the training."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ddpm_tutorial import (
    LOWEST_LOG_VARIANCE,
    VAE,
    NormalLayer,
    load_bundled,
    standard_normal,
    train_vae,
)

SHAPE = (1, 4, 4)


def model_of(latents):
    torch.manual_seed(0)
    return VAE(latents, width=16, shape=SHAPE).double()


def images(n):
    levels = torch.randint(256, (n, *SHAPE), generator=torch.Generator().manual_seed(1))
    return levels.double() / 127.5 - 1


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("latents", [(3,), (5, 2), (4, 3, 2)])
def test_every_term_against_its_definition(latents):
    model, x = model_of(latents), images(6)
    with torch.no_grad():
        terms = model(x, seeded())
        generator = seeded()

        def normal(layer, given):
            mean, log_variance = layer(given)
            return Normal(mean, (0.5 * log_variance).exp())

        z, q = [x.flatten(1)], []
        for layer in model.encoder:
            q.append(normal(layer, z[-1]))
            eps = standard_normal(q[-1].mean.shape, z[-1], generator)
            z.append(q[-1].mean + q[-1].stddev * eps)
        for t in range(1, len(latents)):
            cost = q[t - 1].log_prob(z[t]) - normal(model.decoder[t], z[t + 1]).log_prob(z[t])
            torch.testing.assert_close(terms.layers[:, t - 1], cost.sum(1))
        prior = Normal(torch.zeros(latents[-1]).double(), torch.ones(latents[-1]).double())
        torch.testing.assert_close(terms.layers[:, -1], kl_divergence(q[-1], prior).sum(1))

        pixel = normal(model.decoder[0], z[1])
        upper, lower = pixel.cdf(z[0] + 1 / 255), pixel.cdf(z[0] - 1 / 255)
        inside = torch.where(z[0] > 0.999, 1, upper) - torch.where(z[0] < -0.999, 0, lower)
        torch.testing.assert_close(terms.reconstruction, inside.log().sum(1))
    assert terms.layers.shape == (6, len(latents))
    torch.testing.assert_close(terms.bound(), terms.reconstruction - terms.layers.sum(1))
    torch.testing.assert_close(
        terms.bits_per_dim(), -terms.bound() / (16 * torch.tensor(2.0).double().log())
    )


@pytest.mark.parametrize("latents", [(2,), (2, 1)])
def test_the_bound_lies_below_the_evidence(latents):
    """The evidence by drawing the latents from the prior, many times: unbiased in p(x)."""
    model, x, n = model_of(latents), images(1), 200_000
    with torch.no_grad():
        bounds = model(x.expand(2_000, *SHAPE), seeded()).bound()
        generator = seeded(3)
        z = standard_normal((n, latents[-1]), x, generator)
        for layer in reversed(list(model.decoder)[1:]):
            mean, log_variance = layer(z)
            z = mean + (0.5 * log_variance).exp() * standard_normal(mean.shape, x, generator)
        mean, log_variance = model.decoder[0](z)
        pixel = Normal(mean, (0.5 * log_variance).exp())
        flat = x.flatten(1)
        upper, lower = pixel.cdf(flat + 1 / 255), pixel.cdf(flat - 1 / 255)
        inside = torch.where(flat > 0.999, 1, upper) - torch.where(flat < -0.999, 0, lower)
        log_weights = inside.log().sum(1)
        evidence = torch.logsumexp(log_weights, 0) - torch.tensor(float(n)).log()
    assert bounds.mean() + 4 * bounds.std() / 2_000**0.5 < evidence


def test_gradients_reach_every_weight():
    model = model_of((4, 3))
    model(images(8), seeded()).bound().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_log_variance_stays_above_its_floor():
    layer = NormalLayer(2, 3, 4)
    torch.nn.init.constant_(layer.network[-1].bias, -1e4)
    _, log_variance = layer(torch.zeros(1, 2))
    assert (log_variance >= LOWEST_LOG_VARIANCE).all()
    torch.nn.init.constant_(layer.network[-1].bias, 5.0)
    torch.nn.init.zeros_(layer.network[-1].weight)
    _, log_variance = layer(torch.zeros(1, 2))
    torch.testing.assert_close(log_variance, torch.full((1, 3), 5.0), atol=1e-4, rtol=0)


def test_training_raises_the_bound_and_is_reproducible():
    data = load_bundled("train").images[:200]

    def run(elsewhere):
        torch.manual_seed(0)
        model = VAE((4,), width=32)
        torch.manual_seed(elsewhere)  # global randomness must not matter
        return model, list(train_vae(model, data, 30, seeded(), batch_size=50))

    (model, bits), (again, bits_again) = run(1), run(2)
    assert len(bits) == 30
    assert bits == bits_again
    assert sum(bits[-5:]) < 0.8 * sum(bits[:5])
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_learning_rate_falls_to_nothing():
    """The last of many steps hardly moves the weights; the first does."""
    data, model = images(50).float(), model_of((2,)).float()
    before = [p.detach().clone() for p in model.parameters()]
    moves = []
    for _ in train_vae(model, data, 100, seeded(), batch_size=10):
        after = [p.detach().clone() for p in model.parameters()]
        pairs = zip(before, after, strict=True)
        moves.append(max(float((b - a).abs().max()) for b, a in pairs))
        before = after
    assert moves[0] > 1e-3
    assert moves[-1] < 0.1 * moves[0]


def test_a_training_step_is_one_of_adam_on_the_bound():
    """Three steps by hand, with fresh gradients each, against the loop."""
    data, model, other = images(40).float(), model_of((2,)).float(), model_of((2,)).float()
    list(train_vae(model, data, 3, seeded(), batch_size=10, learning_rate=0.01))
    generator = seeded()
    optimizer = torch.optim.Adam(other.parameters(), lr=0.01)
    for step in range(3):
        batch = data[torch.randint(40, (10,), generator=generator)]
        loss = -other(batch, generator).bound().mean() / (16 * torch.tensor(2.0).log())
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        for parameter, gradient in zip(other.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 3)
        optimizer.step()
    for one, by_hand in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, by_hand, atol=1e-6, rtol=1e-4)


def test_images_stay_in_range():
    model = model_of((2,))
    torch.nn.init.constant_(model.decoder[0].network[-1].bias, 3.0)
    assert model.sample(2, seeded()).max() == 1


@pytest.mark.parametrize("latents", [(3,), (5, 2)])
def test_samples_come_from_the_prior_through_the_whole_chain(latents):
    model = model_of(latents)
    drawn = model.sample(7, seeded())
    assert drawn.shape == (7, *SHAPE)
    assert drawn.abs().max() <= 1
    assert torch.equal(drawn, model.sample(7, seeded()))
    z = standard_normal((7, latents[-1]), drawn, generator := seeded())
    for layer in reversed(list(model.decoder)[1:]):
        mean, log_variance = layer(z)
        z = mean + (0.5 * log_variance).exp() * standard_normal(mean.shape, z, generator)
    expected = model.decoder[0](z)[0].clamp(-1, 1).view(7, *SHAPE)
    torch.testing.assert_close(drawn, expected)


def test_encoding_gives_one_draw_for_each_layer():
    model = model_of((5, 2))
    z = model.encode(images(3), seeded())
    assert [tuple(one.shape) for one in z] == [(3, 5), (3, 2)]
    assert model.decode(z[1], 2, seeded()).shape == (3, *SHAPE)


def test_sampling_leaves_nothing_on_the_processor():
    with torch.device("meta"):
        drawn = VAE((3, 2), width=8, shape=SHAPE).sample(2)
    assert drawn.device.type == "meta"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"latents = \(\)"):
        VAE(())
    with pytest.raises(ValueError, match=r"latents = \(4, 0\)"):
        VAE((4, 0))
    with pytest.raises(ValueError, match="256 levels"):
        model_of((2,))(images(1) * 0.5)
    with pytest.raises(ValueError, match="n = 0"):
        model_of((2,)).sample(0)
