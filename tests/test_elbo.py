import itertools
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import labelled, unlabelled
from torch.distributions import Normal, kl_divergence

from ddpm_tutorial import (
    DDPM,
    ElboTerms,
    GaussianMixture,
    NoiseSchedule,
    elbo_terms,
    kl_normal,
    load_bundled,
    measure_bound,
    p_reverse,
    q_sample,
    q_transition,
    three_term_elbo,
    to_bits_per_dim,
)
from ddpm_tutorial.algorithms import elbo as elbo_module

BUILDERS = {
    "linear": NoiseSchedule.linear,
    "cosine": NoiseSchedule.cosine,
    "sigmoid": NoiseSchedule.sigmoid,
}
MEAN, VARIANCE = 0.3, 0.25
X0 = torch.tensor([-0.7, 0.3, 1.9], dtype=torch.float64)


def gaussian(schedule, true_prior):
    return GaussianMixture(schedule, [1.0], [MEAN], [VARIANCE], true_prior=true_prior)


def expected_bound(model, x0):
    """The bound at each x0 (N,), its expectation over eps taken exactly.

    Every term is quadratic in eps, so three Gauss-Hermite nodes integrate it without error.
    """
    nodes = torch.tensor([0.0, 3**0.5, -(3**0.5)], dtype=torch.float64)
    weights = torch.tensor([2 / 3, 1 / 6, 1 / 6], dtype=torch.float64)
    rows = x0.repeat_interleave(3)[:, None]
    terms = elbo_terms(model, rows, eps=nodes.repeat(len(x0))[:, None])
    return (terms.bound().view(-1, 3) * weights).sum(1)


@pytest.mark.parametrize("T", [10, 100, 1000])
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_bound_of_gaussian_data_is_the_likelihood(name, T):
    model = gaussian(BUILDERS[name](T), true_prior=True)
    log_prob = model.log_prob(X0[:, None], torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(expected_bound(model, X0), log_prob, rtol=0, atol=1e-9)


@pytest.mark.parametrize("T", [10, 100, 1000])
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_standard_normal_prior_costs_exactly_the_mismatch(name, T):
    schedule = BUILDERS[name](T)
    alpha_bar = schedule.alpha_bar[T]
    mean_T, variance_T = alpha_bar.sqrt() * X0, 1 - alpha_bar
    true_mean = (alpha_bar.sqrt() * MEAN).expand(3)
    true_variance = alpha_bar * VARIANCE + 1 - alpha_bar

    def expected_log_density(mean, variance):
        spread = (variance_T + (mean_T - mean) ** 2) / variance
        return -0.5 * (math.log(2 * math.pi) + math.log(float(variance)) + spread)

    mismatch = expected_log_density(true_mean, true_variance) - expected_log_density(
        torch.zeros(3), torch.tensor(1.0)
    )
    short = expected_bound(gaussian(schedule, True), X0) - expected_bound(
        gaussian(schedule, False), X0
    )
    torch.testing.assert_close(short, mismatch, rtol=0, atol=1e-9)


def test_gap_of_a_mixture_is_positive_and_shrinks_with_T():
    """Averaged over noise and data by quadrature, so there is no sampling error to allow for."""
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(32))
    weights = weights / weights.sum()
    x0 = torch.linspace(-1.4, 1.3, 136, dtype=torch.float64)
    rows, eps = x0.repeat_interleave(32)[:, None], nodes.repeat(len(x0))[:, None]
    gaps = []
    for T in (4, 16, 64, 256):
        model = GaussianMixture(NoiseSchedule.cosine(T), [0.3, 0.7], [-0.6, 0.5], [0.0225] * 2)
        log_prob = model.log_prob(x0[:, None], torch.zeros(len(x0), dtype=torch.int64))
        bound = (elbo_terms(model, rows, eps=eps).bound().view(-1, 32) * weights).sum(1)
        gaps.append(float((log_prob.softmax(0) * (log_prob - bound)).sum()))
    assert all(gap > 1e-4 for gap in gaps)
    assert all(after < 0.7 * before for before, after in itertools.pairwise(gaps))


def test_three_terms_and_kl_terms_estimate_the_same_bound():
    generator = torch.Generator().manual_seed(1)
    model = GaussianMixture(NoiseSchedule.cosine(30), [0.3, 0.7], [-0.6, 0.5], [0.01, 0.04])
    x0 = torch.full((20_000, 1), 0.4, dtype=torch.float64)
    kl_form = elbo_terms(model, x0, generator).bound()
    three = three_term_elbo(model, x0, generator)
    difference = kl_form.mean() - three.bound().mean()
    error = ((kl_form.var() + three.bound().var()) / len(x0)).sqrt()
    assert abs(difference) < 4 * error
    assert error < 0.05
    assert three.consistency.shape == (20_000, 29)


def test_consistency_terms_spread_far_more_than_kl_terms():
    """Term by term, as training draws them; along one path their errors partly cancel."""
    generator = torch.Generator().manual_seed(2)
    model = gaussian(NoiseSchedule.cosine(100), true_prior=True)
    x0 = torch.full((5000, 1), 0.4, dtype=torch.float64)
    kl = elbo_terms(model, x0, generator).denoising.var(0)
    consistency = three_term_elbo(model, x0, generator).consistency.var(0)
    assert (consistency > kl).all()
    assert consistency.sum() > 50 * kl.sum()


def test_the_often_printed_consistency_kl_is_not_the_bound():
    """-KL(q(x_t | x_{t-1}) || p(x_t | x_{t+1})), averaged over paths, falls far short of it.

    x_t depends on x_{t+1} too, so its average over the path is not one over q(x_t | x_{t-1}).
    """
    generator = torch.Generator().manual_seed(3)
    schedule = NoiseSchedule.cosine(20)
    model = gaussian(schedule, true_prior=True)
    x_before = torch.full((20_000, 1), 0.4, dtype=torch.float64)
    actual = three_term_elbo(model, x_before, generator).consistency.sum(1)
    printed = torch.zeros(20_000, dtype=torch.float64)
    for step in range(1, 20):
        t = torch.full((20_000,), step)
        mean, variance = q_transition(schedule, x_before, t)
        x_t = mean + variance.sqrt() * torch.randn(
            mean.shape, generator=generator, dtype=torch.float64
        )
        next_mean, next_variance = q_transition(schedule, x_t, t + 1)
        x_next = next_mean + next_variance.sqrt() * torch.randn(
            mean.shape, generator=generator, dtype=torch.float64
        )
        printed -= kl_normal(mean, variance.log(), *p_reverse(model, x_next, t + 1))[:, 0]
        x_before = x_t
    shortfall = actual.mean() - printed.mean()
    error = ((actual.var() + printed.var()) / 20_000).sqrt()
    assert shortfall > 10 * error


def tiny_model(schedule=None, parameterisation="eps"):
    """Four pixels, and a network that is a fixed function of what it sees."""

    @unlabelled
    def network(x_t, t):
        return x_t * (0.2 + t.view(-1, 1, 1, 1) / 60)

    return DDPM(network, schedule or NoiseSchedule.cosine(12), parameterisation, shape=(1, 2, 2))


LEVELS = torch.tensor([0, 3, 100, 255]).double().div(127.5).sub(1).view(1, 1, 2, 2)


def test_terms_have_their_shapes_and_the_bound_is_a_sum_over_t():
    terms = elbo_terms(tiny_model(), LEVELS.repeat(5, 1, 1, 1), torch.Generator().manual_seed(0))
    assert terms.prior.shape == terms.reconstruction.shape == (5,)
    assert terms.denoising.shape == (5, 11)
    by_hand = terms.reconstruction - terms.prior
    for k in range(11):
        by_hand = by_hand - terms.denoising[:, k]
    torch.testing.assert_close(terms.bound(), by_hand)
    torch.testing.assert_close(terms.bits_per_dim(), -by_hand / 4 / math.log(2))
    assert (terms.denoising > 0).all()


def test_each_denoising_term_equals_torch_distributions():
    model, x0 = tiny_model(), LEVELS.repeat(3, 1, 1, 1)
    schedule = model.schedule
    eps = torch.randn(12, *x0.shape, generator=torch.Generator().manual_seed(4)).double()
    terms = elbo_terms(model, x0, eps=eps)
    for step in range(2, 13):
        x_t = q_sample(schedule, x0, torch.full((3,), step), eps[step - 1])
        beta, alpha = schedule.beta[step], schedule.alpha[step]
        before, now = schedule.alpha_bar[step - 1], schedule.alpha_bar[step]
        variance = (1 - before) / (1 - now) * beta

        def mean(x, x_t=x_t, beta=beta, alpha=alpha, before=before, now=now):
            return (
                before.sqrt() * beta / (1 - now) * x + alpha.sqrt() * (1 - before) / (1 - now) * x_t
            )

        noise = model.network(x_t, torch.full((3,), step))
        x0_hat = ((x_t - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        sigma = variance.sqrt()
        kl = kl_divergence(Normal(mean(x0), sigma), Normal(mean(x0_hat), sigma)).flatten(1).sum(1)
        torch.testing.assert_close(terms.denoising[:, step - 2], kl, rtol=1e-8, atol=1e-8)


def test_prior_term_equals_torch_distributions():
    model = tiny_model(NoiseSchedule.linear(12, beta_T=0.9))
    terms = elbo_terms(model, LEVELS, torch.Generator().manual_seed(0))
    alpha_bar = model.schedule.alpha_bar[12]
    x_T = Normal(alpha_bar.sqrt() * LEVELS, (1 - alpha_bar).sqrt())
    expected = kl_divergence(x_T, Normal(torch.zeros_like(LEVELS), 1.0)).sum()
    torch.testing.assert_close(terms.prior[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("parameterisation", ["eps", "x0", "v"])
def test_all_terms_are_finite_at_the_ends_of_the_grey_scale(parameterisation):
    x0 = torch.cat([-torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)])
    model = tiny_model(parameterisation=parameterisation)
    terms = elbo_terms(model, x0, torch.Generator().manual_seed(0))
    for values in (terms.prior, terms.denoising, terms.reconstruction):
        assert values.isfinite().all()


@pytest.mark.parametrize("wrong", [LEVELS + 0.002, LEVELS * 0.5, LEVELS * 2])
def test_images_off_the_256_levels_are_refused(wrong):
    for measure in (elbo_terms, three_term_elbo, measure_bound):
        with pytest.raises(ValueError, match="256 levels"):
            measure(tiny_model(), wrong)


# Newer torch has words in place of a yes or no.
WORDS = hasattr(torch.backends.cudnn, "conv")
SETTING, ALLOWED, REFUSED = ("fp32_precision", "tf32", "ieee") if WORDS else ("allow_tf32", 1, 0)


def tf32_settings():
    """Whether a GPU would use TF32 for matrix products, and for convolutions."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return [getattr(place, SETTING) for place in (cuda.matmul, cudnn.conv if WORDS else cudnn)]


@pytest.fixture
def tf32():
    """Allowed for matrix products; for convolutions it is anyway."""
    matmul = torch.backends.cuda.matmul
    before = getattr(matmul, SETTING)
    setattr(matmul, SETTING, ALLOWED)
    yield
    setattr(matmul, SETTING, before)


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("measure", [elbo_terms, three_term_elbo, measure_bound])
def test_a_gpu_measures_in_full_float32_and_is_left_as_it_was(measure, fails):
    seen = []

    @unlabelled
    def network(x_t, t):
        seen.append(tf32_settings())
        return x_t * (1 / (not fails))

    model = DDPM(network, NoiseSchedule.cosine(12), "eps", shape=(1, 2, 2))
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        measure(model, LEVELS)
    assert seen
    assert all(settings == [REFUSED, REFUSED] for settings in seen)
    assert tf32_settings() == [ALLOWED, ALLOWED]


def test_noise_from_the_generator_repeats():
    first, second = (
        elbo_terms(tiny_model(), LEVELS, torch.Generator().manual_seed(5)).bound() for _ in "ab"
    )
    assert torch.equal(first, second)


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.integers(1, 1000))
def test_bits_per_dimension(nats, dimensions):
    bits = float(to_bits_per_dim(torch.tensor(nats, dtype=torch.float64), dimensions))
    assert bits == pytest.approx(nats / dimensions / 0.6931471805599453)


def test_bound_uses_every_part_with_its_sign():
    terms = ElboTerms(torch.tensor([1.0]), torch.tensor([[2.0, 3.0]]), torch.tensor([-4.0]), 5)
    assert float(terms.bound()) == -10


@pytest.mark.parametrize("T", [1, 2, 30])
def test_the_three_terms_on_every_single_path_of_gaussian_data(T):
    """With ln p(x_T) - ln q(x_T | x_{T-1}) for its average, the bound is ln p(x_0) on any path."""
    model = gaussian(NoiseSchedule.cosine(T), true_prior=True)
    x0 = X0[:, None].repeat(20, 1)
    three = three_term_elbo(model, x0, torch.Generator().manual_seed(7))
    generator, x_t = torch.Generator().manual_seed(7), x0  # walk the same path again
    for step in range(1, T + 1):
        mean, variance = q_transition(model.schedule, x_t, torch.full((60,), step))
        x_t = mean + variance.sqrt() * torch.randn(60, 1, generator=generator, dtype=torch.float64)
    prior_mean, prior_log_variance = model.prior(x_t)
    log_p = Normal(prior_mean, (0.5 * prior_log_variance).exp()).log_prob(x_t)
    log_ratio = (log_p - Normal(mean, variance.sqrt()).log_prob(x_t))[:, 0]
    assert three.consistency.shape == (60, T - 1)
    torch.testing.assert_close(
        three.bound() - three.prior_matching + log_ratio,
        model.log_prob(x0, torch.zeros(60, dtype=torch.int64)),
        rtol=0,
        atol=1e-9,
    )


def test_one_step_has_no_denoising_term_and_a_tight_bound():
    model = gaussian(NoiseSchedule.cosine(1), true_prior=True)
    log_prob = model.log_prob(X0[:, None], torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(expected_bound(model, X0), log_prob, rtol=0, atol=1e-9)


# The bound over many images

NORMAL = GaussianMixture(NoiseSchedule.cosine(50), [1.0], [0.1], [0.3], true_prior=True)
ROWS = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def known_terms(monkeypatch):
    """In place of the denoising terms: t + 100 x, where x is the first entry of x0."""
    drawn = []

    def term(denoiser, x0, t, eps):
        drawn.append(t)
        return t + 100 * x0.flatten(1)[:, 0]

    monkeypatch.setattr(elbo_module, "denoising_term", term)
    return drawn


def test_all_terms_are_added_up_and_sorted_by_t(known_terms):
    figures = measure_bound(NORMAL, ROWS, seeded())
    scale = 1 / (3 * math.log(2))
    sums = [sum(t + 100 * float(x0[0]) for t in range(2, 51)) * scale for x0 in ROWS]
    mean = sum(sums) / 4
    error = math.sqrt(sum((value - mean) ** 2 for value in sums) / 3 / 4)
    assert figures.denoising.mean == pytest.approx(mean)
    assert figures.denoising.standard_error == pytest.approx(error)
    assert [low for low, _, _ in figures.by_t] == [2, 7, 12, 17, 22, 26, 31, 36, 41, 46]
    assert [high for _, high, _ in figures.by_t] == [6, 11, 16, 21, 25, 30, 35, 40, 45, 50]
    for low, high, share in figures.by_t:
        terms = [t + 100 * float(ROWS[:, 0].mean()) for t in range(low, high + 1)]
        assert share.mean == pytest.approx(sum(terms) * scale)
    assert figures.by_t[-1][2].standard_error > 0


def test_a_few_terms_stand_for_all(known_terms):
    """Each t is as likely as any other, one in each stretch, and the mean is that of all."""
    count = 4000
    x0 = torch.zeros(count, 1, dtype=torch.float64)
    figures = measure_bound(NORMAL, x0, seeded(), terms_per_image=3, batch_size=count)
    assert len(known_terms) == 3
    for stretch, t in enumerate(known_terms):
        low, high = 2 + 49 * stretch / 3, 2 + 49 * (stretch + 1) / 3
        assert float(t.min()) > low - 1
        assert float(t.max()) < high
    times = torch.cat(known_terms).bincount(minlength=51)
    assert times[:2].sum() == 0
    assert len(times) == 51
    assert float((times[2:] - 3 * count / 49).abs().max()) < 5 * math.sqrt(3 * count / 49)
    exact = sum(range(2, 51)) / math.log(2)
    assert abs(figures.denoising.mean - exact) < 4 * figures.denoising.standard_error
    assert figures.denoising.standard_error < 0.005 * exact


def test_the_other_terms_by_hand():
    figures = measure_bound(NORMAL, ROWS, seeded())
    terms = elbo_terms(NORMAL, ROWS, seeded())  # the first numbers drawn are those of x_1 here too
    scale = 1 / (3 * math.log(2))
    for name, values in [("prior", terms.prior), ("reconstruction", -terms.reconstruction)]:
        mean = sum(values.tolist()) / 4
        variance = sum((value - mean) ** 2 for value in values.tolist()) / 3
        assert getattr(figures, name).mean == pytest.approx(mean * scale)
        error = getattr(figures, name).standard_error
        assert error == pytest.approx(math.sqrt(variance / 4) * scale)


def test_the_total_is_that_of_all_terms_image_by_image(known_terms):
    """Its standard error is not the sum of theirs: an image has all its terms together."""
    model = GaussianMixture(NoiseSchedule.linear(50), [1.0], [0.1], [0.3])
    figures = measure_bound(model, ROWS, seeded())
    terms = elbo_terms(model, ROWS, seeded())
    assert float(terms.prior.min()) > 0.1  # this schedule leaves a part of the data in x_T
    denoising = sum(t + 100 * ROWS[:, 0] for t in range(2, 51))
    totals = (terms.prior + denoising - terms.reconstruction).numpy() / (3 * math.log(2))
    assert figures.total.mean == pytest.approx(totals.mean())
    assert figures.total.standard_error == pytest.approx(totals.std(ddof=1) / 2)


def test_a_bound_of_float32_images_is_averaged_in_float64():
    figures = measure_bound(NORMAL, ROWS.float(), seeded())
    parts = figures.prior.mean + figures.denoising.mean + figures.reconstruction.mean
    assert figures.total.mean == pytest.approx(parts, rel=1e-12)


def test_all_numbers_are_drawn_from_the_generator():
    untouched = torch.get_rng_state()
    first = measure_bound(NORMAL, ROWS, seeded(), terms_per_image=3)
    assert torch.equal(torch.get_rng_state(), untouched)
    assert measure_bound(NORMAL, ROWS, seeded(), terms_per_image=3) == first
    assert measure_bound(NORMAL, ROWS, seeded(1), terms_per_image=3) != first


def test_as_many_terms_as_there_are_is_all_of_them():
    assert measure_bound(NORMAL, ROWS, seeded(), 49) == measure_bound(NORMAL, ROWS, seeded())


def labelled_model():
    """A model whose answer, and so its bound, depends on the label."""

    def network(x_t, t, label):
        return torch.zeros_like(x_t) + label[:, None, None, None] / 4

    return DDPM(labelled(network, 4), NoiseSchedule.cosine(20), "x0", shape=(1, 2, 2))


def test_the_bound_given_labels_is_that_of_each_image_with_its_own():
    """Against one model for each image, whose network holds the label as a constant."""
    images = load_bundled("test").images[:7, :, 12:14, 12:14].double()
    labels = torch.tensor([0, 3, 1, 0, 2, 1, 3])
    model = labelled_model()
    expected = []  # this network's answer does not depend on x_t, and so no noise matters
    for image, label in zip(images, labels, strict=True):
        alone = DDPM(
            unlabelled(lambda x_t, t, label=label: torch.zeros_like(x_t) + label / 4),
            model.schedule,
            "x0",
            shape=(1, 2, 2),
        )
        expected.append(elbo_terms(alone, image[None], seeded()).bits_per_dim())
    figures = measure_bound(model.denoiser(labels), images, seeded(), batch_size=3)
    assert figures.total.mean == pytest.approx(float(torch.cat(expected).mean()), rel=1e-9)
    terms = elbo_terms(model.denoiser(labels), images, seeded())
    torch.testing.assert_close(terms.bits_per_dim(), torch.cat(expected), rtol=1e-9, atol=0)


def test_labels_that_do_not_fit_are_refused():
    images = load_bundled("test").images[:7, :, 12:14, 12:14]
    with pytest.raises(ValueError, match="holds 6 labels: give one for each of the 7 images"):
        measure_bound(labelled_model().denoiser(torch.zeros(6, dtype=torch.int64)), images)
    grey = images + 0.001
    with pytest.raises(ValueError, match="256 levels"):
        elbo_terms(labelled_model().denoiser(torch.zeros(7, dtype=torch.int64)), grey)


def test_the_largest_random_number_stays_within_the_last_step(known_terms, monkeypatch):
    """In float64, 48 + (1 - 2^-53) is 49: one step too far."""
    almost_one = torch.tensor([1 - 2**-53], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda count, **options: almost_one.expand(count))
    measure_bound(NORMAL, ROWS, seeded())
    assert known_terms[-1].tolist() == [50] * 4


def test_the_bar_of_the_bound_runs_to_its_end(capsys):
    measure_bound(NORMAL, ROWS, seeded(), terms_per_image=3, batch_size=3, progress=True)
    assert "100%" in capsys.readouterr().err
    measure_bound(NORMAL, ROWS, seeded(), terms_per_image=3)
    assert not capsys.readouterr().err


@given(
    count=st.integers(1, 7),
    batch_size=st.integers(1, 8),
    terms=st.one_of(st.none(), st.integers(1, 49)),
)
@settings(max_examples=25, deadline=None)
def test_terms_add_up_to_the_total(count, batch_size, terms):
    x0 = torch.linspace(-1, 1, 2 * count, dtype=torch.float64).view(count, 2)
    figures = measure_bound(NORMAL, x0, seeded(), terms, batch_size)
    parts = figures.prior.mean + figures.denoising.mean + figures.reconstruction.mean
    assert figures.total.mean == pytest.approx(parts)
    assert sum(share.mean for _, _, share in figures.by_t) == pytest.approx(figures.denoising.mean)


@pytest.mark.parametrize("terms", [None, 5])
def test_gaussian_data_are_measured_at_their_entropy(terms):
    """The bound is tight, so its mean over the data is the data's entropy."""
    generator = seeded()
    x0 = 0.1 + math.sqrt(0.3) * torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    total = measure_bound(NORMAL, x0, generator, terms, batch_size=20_000).total
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.3)
    assert abs(total.mean - entropy) < 4 * total.standard_error
    assert total.standard_error < 0.05


def test_one_image_has_no_standard_error():
    total = measure_bound(NORMAL, torch.zeros(1, 1), seeded()).total
    assert math.isfinite(total.mean)
    assert math.isnan(total.standard_error)


def test_two_images_have_a_standard_error(known_terms):
    error = measure_bound(NORMAL, ROWS[:2], seeded()).denoising.standard_error
    apart = 49 * 100 * float(ROWS[1, 0] - ROWS[0, 0]) / (3 * math.log(2))
    assert error == pytest.approx(apart / 2)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="batch_size = 0: it must be at least 1"):
        measure_bound(NORMAL, ROWS, batch_size=0)
    for terms in (0, 50):
        with pytest.raises(ValueError, match=rf"terms_per_image = {terms}: choose 1\.\.49"):
            measure_bound(NORMAL, ROWS, terms_per_image=terms)
