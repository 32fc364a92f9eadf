"""Masked diffusion, beside distributions so small that everything about them is known exactly."""

import itertools
import math

import pytest
import torch
from accelerate import Accelerator
from torch.distributions import Normal

from ddpm_tutorial import (
    MaskedDiffusion,
    NoiseSchedule,
    TrainingConfig,
    UNetConfig,
    from_symbols,
    grey_levels,
    is_masked,
    to_symbols,
    train,
    unmasking_share,
)

# Three entries of two symbols, none independent of another.
JOINT = torch.tensor([0.30, 0.05, 0.02, 0.13, 0.08, 0.12, 0.04, 0.26], dtype=torch.float64)
JOINT = JOINT.view(2, 2, 2)
STATES = list(itertools.product(range(2), repeat=3))


class Exact:
    """The network that knows: p(entry | visible entries) from the table of a joint distribution."""

    num_classes = 0

    def __init__(self, joint):
        self.joint = joint

    def __call__(self, seen, t):
        assert (t == 1).all()
        value, mask = seen.chunk(2, dim=1)
        states = torch.tensor(STATES)
        fits = mask.bool() | (value == from_symbols(states, 2))  # (B, 8, 3)
        weights = fits.all(-1) * self.joint.flatten()
        of_one = weights @ states.double()  # (B, 3), for each entry the weight of symbol 1
        of_both = torch.stack([weights.sum(1, keepdim=True) - of_one, of_one], 1)
        return (of_both / of_both.sum(1, keepdim=True)).log().float()


def exact(schedule=None):
    schedule = NoiseSchedule.cosine(20) if schedule is None else schedule
    return MaskedDiffusion(Exact(JOINT), schedule, (1, 3), 2)


def all_states():
    return from_symbols(torch.tensor(STATES), 2)[:, None]


def entropy(p):
    return -(p * p.log()).sum()


def test_symbols_are_numbers_and_the_256_are_the_grey_levels():
    for K in (2, 3, 27, 256):
        index = torch.arange(K)
        numbers = from_symbols(index, K)
        assert numbers[0] == -1
        assert numbers[-1] == pytest.approx(1, abs=1e-6)
        assert torch.equal(to_symbols(numbers, K), index)
    assert torch.equal(numbers, grey_levels(numbers))


def test_what_is_no_symbol_is_refused():
    with pytest.raises(ValueError, match="which is none of the 3 numbers"):
        to_symbols(torch.tensor([0.0, 0.5]), 3)
    with pytest.raises(ValueError, match=r"holds 1.00784.* 256"):
        to_symbols(torch.tensor([1 + 1 / 127.5]), 256)


def test_each_entry_is_masked_with_probability_one_minus_alpha_bar():
    schedule = NoiseSchedule.cosine(8)
    eps = Normal(0, 1).icdf((torch.arange(10_000) + 0.5) / 10_000).expand(9, -1)
    masked = is_masked(schedule, torch.arange(9), eps)
    assert masked.double().mean(1) == pytest.approx(1 - schedule.alpha_bar, abs=1e-4)
    assert (masked[1:] >= masked[:-1]).all()  # what is masked stays masked
    assert not masked[0].any()


@pytest.mark.parametrize("pair", [(5, 4), (5, 2), (20, 19), (20, 1), (3, 0), (1, 0)])
def test_the_share_is_what_bayes_rule_gives(pair):
    """Over the chain: P(visible at s, masked at t) / P(masked at t), from transitions."""
    schedule, (t, s) = NoiseSchedule.cosine(20), pair
    visible_at_s = schedule.alpha[1 : s + 1].prod()
    lost_between = 1 - schedule.alpha[s + 1 : t + 1].prod()
    masked_at_t = 1 - schedule.alpha[1 : t + 1].prod()
    found = unmasking_share(schedule, torch.tensor([t]), torch.tensor([s]))
    assert float(found) == pytest.approx(float(visible_at_s * lost_between / masked_at_t))
    if s == t - 1:
        assert torch.equal(found, unmasking_share(schedule, torch.tensor([t])))


def test_the_surprise_is_that_of_the_masked_entries_alone():
    model, x0 = exact(), all_states()
    masked = torch.tensor([[[True, False, True]]]).expand(8, -1, -1)
    found = model.surprise(x0, masked)
    for state, nats in zip(STATES, found[:, 0], strict=True):
        given = JOINT[:, state[1], :] / JOINT[:, state[1], :].sum()
        assert float(nats[0]) == pytest.approx(-math.log(given.sum(1)[state[0]]), rel=1e-5)
        assert nats[1] == 0
        assert float(nats[2]) == pytest.approx(-math.log(given.sum(0)[state[2]]), rel=1e-5)


def test_a_perfect_model_pays_the_entropy_in_continuous_time():
    """Every draw of n and of the masked entries, so that nothing is left to chance."""
    model, x0 = exact(), all_states()
    total = torch.zeros(8)
    for n in (1, 2, 3):
        masks = [torch.tensor(m).bool() for m in itertools.product((0, 1), repeat=3) if sum(m) == n]
        for mask in masks:
            total += model.surprise(x0, mask.expand_as(x0)).sum((1, 2)) / n / len(masks)
    assert float((JOINT.flatten() * total).sum()) == pytest.approx(float(entropy(JOINT)), rel=1e-5)
    # The estimate has that mean.
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([model.bits_per_dim(x0, generator, terms=3) for _ in range(400)])
    expected = total / 3 / math.log(2)
    error = draws.std(0) / 20
    assert ((draws.mean(0) - expected).abs() < 4 * error).all()


def test_the_training_loss_averages_to_the_bound_of_the_chain():
    """For a fine chain that is nearly the bound in continuous time, and above it."""
    schedule = NoiseSchedule.cosine(500)
    model, generator = exact(schedule), torch.Generator().manual_seed(1)
    weight, bound = JOINT.flatten(), 0.0
    for x0, p in zip(all_states(), weight, strict=True):
        t = torch.arange(1, 501)
        eps = torch.randn(500, 1, 3, generator=generator)
        bound += float(p) * float(model(x0.expand(500, -1, -1), t, eps).total.mean()) * 3
    assert bound == pytest.approx(float(entropy(JOINT)), rel=0.1)


def test_the_terms_of_the_loss_are_what_they_say():
    schedule = NoiseSchedule.cosine(20)
    model, x0 = exact(schedule), all_states()[3:5]
    t, eps = torch.tensor([4, 20]), torch.tensor([[[9.0, -9, 9]], [[9.0, 9, 9]]])
    terms = model(x0, t, eps)
    masked = torch.tensor([[[True, False, True]], [[True, True, True]]])
    cost = model.surprise(x0, masked).sum((1, 2))
    assert terms.simple.tolist() == pytest.approx((cost / torch.tensor([2, 3])).tolist())
    share = unmasking_share(schedule, t).float()
    assert terms.total.tolist() == pytest.approx((20 / 3 * share * cost).tolist())
    assert torch.equal(terms.total, terms.variational)
    nothing = model(x0, t, torch.full((2, 1, 3), -9.0))
    assert nothing.total.tolist() == nothing.simple.tolist() == [0, 0]


def test_one_entry_a_step_draws_from_the_distribution_itself():
    x = exact().sample(20_000, generator=torch.Generator().manual_seed(2))
    counts = torch.bincount(to_symbols(x, 2)[:, 0] @ torch.tensor([4, 2, 1]), minlength=8)
    error = (JOINT.flatten() * (1 - JOINT.flatten()) / 20_000).sqrt()
    assert ((counts / 20_000 - JOINT.flatten()).abs() < 4 * error).all()


def test_all_entries_at_once_draws_from_the_product_of_the_marginals():
    x = exact().sample(20_000, steps=1, generator=torch.Generator().manual_seed(3))
    counts = torch.bincount(to_symbols(x, 2)[:, 0] @ torch.tensor([4, 2, 1]), minlength=8)
    a, b, c = JOINT.sum((1, 2)), JOINT.sum((0, 2)), JOINT.sum((0, 1))
    product = (a[:, None, None] * b[:, None] * c).flatten()
    error = (product * (1 - product) / 20_000).sqrt()
    assert ((counts / 20_000 - product).abs() < 4 * error).all()


def test_each_step_reveals_as_many_and_changes_nothing_that_is_visible():
    path = list(exact().sample_path(50, steps=2, generator=torch.Generator().manual_seed(4)))
    assert [int(masked.sum()) for _, masked in path] == [150, 50, 0]
    for (x, masked), (x_next, masked_next) in itertools.pairwise(path):
        assert torch.equal(x[~masked], x_next[~masked])
        assert not (masked_next & ~masked).any()
        assert not x[masked].any()


def test_it_trains_with_the_training_of_every_other_model():
    """On pictures of one grey: what is visible says all, and the loss falls to nearly nothing."""
    torch.manual_seed(0)
    network = UNetConfig(image_channels=2, image_size=4, channels=(16,), blocks=1).build(2)
    model = MaskedDiffusion(network, NoiseSchedule.cosine(50), (1, 4, 4), 4)
    data = from_symbols(torch.arange(40) % 4, 4).view(40, 1, 1, 1).expand(40, 1, 4, 4)
    config = TrainingConfig(steps=250, warmup_steps=5, seed=1)
    records = list(train(model, data, config, accelerator=Accelerator(cpu=True)))
    assert records[0].loss > 1
    ema = records[-1].ema
    bits = ema.bits_per_dim(data, torch.Generator().manual_seed(0), terms=16).mean()
    assert float(bits) < 0.5  # of 2; a picture holds 2 bits, 1/8 of a bit for each pixel


def test_dropout_is_off_where_it_is_measured_and_where_it_draws():
    network = UNetConfig(2, 4, (8,), 1, dropout=0.5).build(2)
    model = MaskedDiffusion(network, NoiseSchedule.cosine(5), (1, 4, 4), 4).train()
    torch.nn.init.normal_(network.last[-1].weight)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight)
    x0 = from_symbols(torch.arange(16) % 4, 4).view(1, 1, 4, 4)
    once, again = (model.bits_per_dim(x0, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(once, again)
    once, again = (model.sample(2, 4, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(once, again)
    assert model.training


def test_what_cannot_work_is_refused():
    schedule = NoiseSchedule.cosine(5)
    with pytest.raises(ValueError, match="tells 10 classes apart"):
        MaskedDiffusion(UNetConfig(num_classes=10).build(), schedule)
    with pytest.raises(ValueError, match="symbols = 1"):
        MaskedDiffusion(Exact(JOINT), schedule, (1, 3), 1)
    model = MaskedDiffusion(UNetConfig(image_channels=2).build(), schedule)
    x0 = torch.ones(2, 1, 28, 28)
    with pytest.raises(ValueError, match=r"gave \(2, 2, 28, 28\).*need \(2, 256, 28, 28\)"):
        model.surprise(x0, x0.bool())
    model = exact()
    for steps in (0, 4):
        with pytest.raises(ValueError, match=rf"steps = {steps}: choose 1\.\.3"):
            model.sample(1, steps)
    with pytest.raises(ValueError, match="n = 0"):
        model.sample(0)
    with pytest.raises(ValueError, match=r"terms = 4: choose 1\.\.3"):
        model.bits_per_dim(all_states(), terms=4)
