"""What is refused at the edges of the package, one line a function: not finite, none, not fitting.

Each line is a call with what it should take; the tests spoil that, and expect words.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from networks import labelled, unlabelled

from ddpm_tutorial import (
    DDIM,
    DDPM,
    VAE,
    DDPMConfig,
    GaussianMixture,
    NoiseSchedule,
    TrainingConfig,
    TutorialError,
    UNetConfig,
    annealed_langevin,
    classify,
    ddim_invert,
    elbo_terms,
    frechet_distance,
    from_bytes,
    langevin,
    load_bundled,
    load_checkpoint,
    load_classifier,
    load_model,
    load_pretrained,
    measure_bound,
    measure_samples,
    metropolis_adjusted_langevin,
    nearest_neighbours,
    precision_recall,
    sample,
    save_model,
    score,
    three_term_elbo,
    timestep_pairs,
    to_bytes,
    train,
    train_vae,
)
from ddpm_tutorial.plotting import digit_sheet, save_sheet, step_slider

NETWORK = UNetConfig(channels=(8,), blocks=1)
CONFIG = DDPMConfig("cosine", 4, network=NETWORK)
LABELLED = dataclasses.replace(CONFIG, network=dataclasses.replace(NETWORK, num_classes=10))
MODEL, CLASSIFIER = CONFIG.build(), load_classifier()
IMAGES = load_bundled("train").images[:6]
FEATURES = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
MIXTURE = GaussianMixture(NoiseSchedule.cosine(4), [0.5, 0.5], [-1.0, 1.0], [0.1, 0.1])
NUMBERS = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None]


def cpu():
    return Accelerator(cpu=True, mixed_precision="no")


def train_one_step(data, model=None, labels=None):
    config = TrainingConfig(steps=1, batch_size=2)
    return next(train(model or CONFIG.build(), data, config, labels=labels, accelerator=cpu()))


TAKES_IMAGES = {
    "train": train_one_step,
    "train_vae": lambda x: next(train_vae(VAE((2,), width=8), x, 1, torch.Generator(), 2)),
    "classify": lambda x: classify(CLASSIFIER, x),
    "samples": lambda x: measure_samples(x, IMAGES, IMAGES, CLASSIFIER),
    "training images": lambda x: measure_samples(IMAGES[:2], x, IMAGES, CLASSIFIER),
    "unseen images": lambda x: measure_samples(IMAGES[:2], IMAGES, x, CLASSIFIER),
    "elbo_terms": lambda x: elbo_terms(MODEL, x),
    "three_term_elbo": lambda x: three_term_elbo(MODEL, x),
    "measure_bound": lambda x: measure_bound(MODEL, x),
    "ddim_invert": lambda x: ddim_invert(MODEL, x),
    "start": lambda x: sample(MODEL, 6, x_T=x),
    "to_bytes": to_bytes,
    "digit_sheet": digit_sheet,
    "step_slider": lambda x: step_slider(x, list("abcdef"), "six digits"),
}
TAKES_FEATURES = {
    "frechet_distance, first": lambda x: frechet_distance(x, FEATURES),
    "frechet_distance, second": lambda x: frechet_distance(FEATURES, x),
    "precision_recall, first": lambda x: precision_recall(x, FEATURES),
    "precision_recall, second": lambda x: precision_recall(FEATURES, x),
    "nearest_neighbours, first": lambda x: nearest_neighbours(x, FEATURES),
    "nearest_neighbours, second": lambda x: nearest_neighbours(FEATURES, x),
}
TAKES_NUMBERS = {
    "elbo_terms": lambda x: elbo_terms(MIXTURE, x),
    "three_term_elbo": lambda x: three_term_elbo(MIXTURE, x),
    "measure_bound": lambda x: measure_bound(MIXTURE, x),
    "ddim_invert": lambda x: ddim_invert(MIXTURE, x),
}
GROUPS = [(TAKES_IMAGES, IMAGES), (TAKES_FEATURES, FEATURES), (TAKES_NUMBERS, NUMBERS)]
every_call = pytest.mark.parametrize(
    ("call", "good"),
    [pytest.param(call, good, id=name) for calls, good in GROUPS for name, call in calls.items()],
)


@every_call
def test_what_it_should_take_is_taken(call, good):
    call(good)


@every_call
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_in_words(call, good, value):
    bad = good.clone()
    bad.view(-1)[-5] = value
    with pytest.raises(ValueError, match=r"not finite|is not on the 256 levels"):
        call(bad)


@every_call
def test_none_at_all_is_refused_in_words(call, good):
    if call is not to_bytes:
        with pytest.raises(ValueError, match=r"at least|\b0 |\(0, |2\.\.0"):
            call(good[:0])


NOT_OF_ONE_SHAPE = {"to_bytes", "digit_sheet", "step_slider", "train_vae"}  # any picture will do


@pytest.mark.parametrize("name", sorted(TAKES_IMAGES.keys() - NOT_OF_ONE_SHAPE))
def test_images_of_another_size_are_refused_in_words(name):
    large = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2), value=-1.0)
    with pytest.raises(ValueError, match=r"shapes? \(6, 1, 32, 32\)"):
        TAKES_IMAGES[name](large)


@pytest.mark.parametrize("name", ["samples", "training images", "unseen images"])
def test_images_that_were_never_scaled_are_not_measured(name):
    with pytest.raises(ValueError, match="no value is below 0"):
        TAKES_IMAGES[name]((IMAGES + 1) / 2)


def test_features_of_two_kinds_are_not_compared():
    for call in TAKES_FEATURES.values():
        with pytest.raises(ValueError, match="the two sets have shapes"):
            call(FEATURES[:, :2])
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(FEATURES[:1], FEATURES)


# What is made


@unlabelled
def broken_network(x_t, t):
    """Fine until the last step."""
    return torch.where(t[:, None, None, None] == 1, math.nan, x_t)


def broken_model():
    return DDPM(broken_network, NoiseSchedule.cosine(4), "x0")


def test_samples_that_are_not_finite_are_not_handed_out():
    message = r"samples 2\.\.3: 1,568 of 1,568 values are not finite"
    with pytest.raises(ValueError, match=message):
        sample(LateBreak(), 4, batch_size=2)
    with pytest.raises(ValueError, match=r"samples 0\.\.3"):
        sample(broken_model(), 4)
    with pytest.raises(ValueError, match="the noise that was found"):
        ddim_invert(broken_model(), IMAGES)


class LateBreak:
    """A model whose denoiser breaks in its second batch."""

    def __init__(self):
        self.calls = 0

    def denoiser(self):
        @unlabelled
        def network(x_t, t):
            self.calls += 1
            return x_t * (math.nan if self.calls > 4 else 1)

        return DDPM(network, NoiseSchedule.cosine(4), "x0").denoiser()


def test_a_bound_that_is_not_finite_is_not_handed_out():
    with pytest.raises(ValueError, match=r"the bound: 6 of 6 values are not finite"):
        measure_bound(broken_model(), IMAGES)


def test_a_picture_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        save_sheet(tmp_path / "sheet.png", IMAGES / 0)
    assert not list(tmp_path.iterdir())


def spoiled(config=CONFIG):
    model = config.build()
    with torch.no_grad():
        model.network.first.bias[2] = math.nan
    return model


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_model(path, MODEL, CONFIG, {})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"network\.first\.bias: 1 of 8 values are not finite"):
        save_model(path, spoiled(), CONFIG, {})
    assert path.read_bytes() == before
    with monkeypatch.context() as patch:  # as the first edition would have saved it
        patch.setattr("ddpm_tutorial.io.checkpoint.check_finite", lambda *_: None)
        save_model(path, spoiled(), CONFIG, {})
    for load in (load_checkpoint, load_model):
        with pytest.raises(TutorialError, match=r"is of no use: network\.first\.bias: 1 of 8"):
            load(path)


def test_a_vae_whose_loss_is_not_finite_stops():
    vae = VAE((2,), width=8)
    steps = train_vae(vae, IMAGES, 5, torch.Generator().manual_seed(0), 2)
    next(steps)
    with torch.no_grad():
        vae.decoder[0].network[0].bias[0] = math.nan
    weights = [p.clone() for p in vae.encoder.parameters()]
    with pytest.raises(ValueError, match="the loss of step 2: 1 of 1"):
        next(steps)
    assert all(torch.equal(a, b) for a, b in zip(weights, vae.encoder.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"samples: .* not finite"):
        vae.sample(2)


# What does not go together


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.arange(1, 7) + 4, r"labels run from 5 to 10: they must lie in 0\.\.9"),
        (torch.arange(6) - 1, r"labels run from -1 to 4: they must lie in 0\.\.9"),
        (torch.arange(6).float(), r"labels are torch.float32: give integers"),
        (torch.arange(5), r"labels have shape \(5,\): give one for each of the 6 images"),
        (None, "tells 10 classes apart, and there are no labels"),
    ],
    ids=str,
)
def test_labels_that_the_model_does_not_have_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        train_one_step(IMAGES, LABELLED.build(), labels)


def test_labels_for_a_model_without_classes_are_refused():
    with pytest.raises(ValueError, match="tells 0 classes apart, and there are 6 labels"):
        train_one_step(IMAGES, CONFIG.build(), torch.arange(6))
    with pytest.raises(ValueError, match="takes no label"):
        MODEL.denoiser(torch.arange(3))


@pytest.mark.parametrize("label", [torch.tensor([3, 11]), torch.tensor([-1, 3])])
def test_a_denoiser_takes_the_classes_and_the_null_token_and_no_more(label):
    model = LABELLED.build()
    with pytest.raises(ValueError, match=r"they must lie in 0\.\.10"):
        model.denoiser(label)
    model.denoiser(torch.tensor([0, 9, 10]))


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_network_with_other_outputs_than_asked_for_is_refused(outputs):
    @unlabelled
    def network(x_t, t):
        return x_t.repeat(1, outputs, 1, 1)

    model = DDPM(network, NoiseSchedule.cosine(4))
    message = rf'gave \(6, {outputs}, 28, 28\) .*"v" with reverse variance "small" needs \(6, 1,'
    with pytest.raises(ValueError, match=message):
        model(IMAGES, torch.ones(6, dtype=torch.int64), IMAGES)
    with pytest.raises(ValueError, match=message):
        sample(model, 6)


def test_frozen_weights_cannot_be_trained():
    with pytest.raises(ValueError, match=r"frozen, and model\.requires_grad_\(True\) frees them"):
        train_one_step(IMAGES, load_pretrained())
    train_one_step(IMAGES, load_pretrained().requires_grad_(True))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("schedule", {"schedule": "sigmoid"}),
        ("schedule", {"T": 5}),
        ("parameterisation", {"parameterisation": "eps"}),
        ("reverse variance", {"reverse_variance": "large"}),
        ("min_snr", {"min_snr": 5.0}),
        ("network", {"network": dataclasses.replace(NETWORK, channels=(16,))}),
        ("network", {"network": dataclasses.replace(NETWORK, num_classes=10)}),
        ("shape", {"network": dataclasses.replace(NETWORK, image_size=32)}),
    ],
    ids=str,
)
def test_a_model_is_not_saved_as_another(tmp_path, name, other):
    config = dataclasses.replace(CONFIG, **other)
    with pytest.raises(ValueError, match=f"the {name} of the model is not the one"):
        save_model(tmp_path / "model.safetensors", MODEL, config, {})
    assert not list(tmp_path.iterdir())


def test_a_shifted_schedule_is_not_saved_as_the_plain_one(tmp_path):
    shifted = DDPM(MODEL.network, NoiseSchedule.cosine(4).shifted(2.0))
    with pytest.raises(ValueError, match="the schedule of the model is not the one"):
        save_model(tmp_path / "model.safetensors", shifted, CONFIG, {})


def test_saving_a_model_leaves_the_global_generator_alone(tmp_path):
    state = torch.get_rng_state()
    save_model(tmp_path / "model.safetensors", MODEL, CONFIG, {})
    assert torch.equal(torch.get_rng_state(), state)


# What is no model


@pytest.mark.parametrize("thing", [torch.nn.DataParallel(MODEL), torch.nn.Identity(), 3])
def test_what_is_neither_model_nor_denoiser_is_named(thing):
    for call in (sample, elbo_terms, measure_bound, ddim_invert):
        with pytest.raises(TypeError, match=f"{type(thing).__name__} is neither a model nor"):
            call(thing, IMAGES if call is not sample else 2)
    with pytest.raises(TypeError, match="neither a model nor a denoiser"):
        score(thing, IMAGES, torch.ones(6, dtype=torch.int64))


def test_a_score_is_read_from_a_model_and_not_at_the_data():
    t = torch.ones(6, dtype=torch.int64)
    assert torch.equal(score(MODEL, IMAGES, t), score(MODEL.denoiser(), IMAGES, t))
    for model, x in ((MODEL, IMAGES), (MIXTURE, NUMBERS)):
        with pytest.raises(ValueError, match="t = 0: at the data there is no noise"):
            score(model, x, t - 1)


def test_pairs_may_stand_in_a_tuple():
    pairs = timestep_pairs(4, 2)
    first, second = (sample(MODEL, 2, "ddim", steps, seeded()) for steps in (pairs, tuple(pairs)))
    assert torch.equal(first, second)


@pytest.mark.parametrize("pairs", [[4, 2, 0], [(4, 2, 0)], [(4, 2)], []])
def test_what_are_no_pairs_is_refused_in_words(pairs):
    with pytest.raises(ValueError, match="pairs = "):
        sample(MODEL, 2, "ddim", pairs)


def test_a_number_of_steps_may_be_any_integer_and_nothing_else():
    first, second = (sample(MODEL, 2, "ddim", n, seeded()) for n in (2, np.int64(2)))
    assert torch.equal(first, second)
    for steps in (2.0, seeded()):
        with pytest.raises(ValueError, match=r"steps = .* must be a whole number"):
            sample(MODEL, 2, "ddim", steps)
    config = TrainingConfig(steps=np.int64(3), batch_size=np.int32(2), seed=np.uint8(1))
    assert (config.steps, config.batch_size, config.seed) == (3, 2, 1)
    assert all(type(value) is int for value in (config.steps, config.batch_size, config.seed))
    for wrong in ({"steps": 1.5}, {"steps": 1, "batch_size": 4.0}, {"steps": 1, "seed": "0"}):
        with pytest.raises(ValueError, match="must be a whole number"):
            TrainingConfig(**wrong)


@pytest.mark.parametrize(("thing", "shown"), [(DDIM, "the class DDIM"), (None, "None")])
def test_a_class_or_nothing_is_no_sampler(thing, shown):
    with pytest.raises(ValueError, match=f"sampler is {shown}: give an object, or one of ddpm"):
        sample(MODEL, 2, thing)


@pytest.mark.parametrize("label", [[1, 2], 7, np.array([1, 2])])
def test_labels_are_a_tensor(label):
    with pytest.raises(ValueError, match="give a tensor of integers"):
        LABELLED.build().denoiser(label)


@pytest.mark.parametrize("call", [elbo_terms, three_term_elbo, measure_bound])
@pytest.mark.parametrize("count", [1, 3])
def test_a_bound_needs_a_label_for_each_image(call, count):
    denoiser = LABELLED.build().denoiser(torch.zeros(count, dtype=torch.int64))
    with pytest.raises(ValueError, match=f"holds {count} labels: give one for each of the 6"):
        call(denoiser, IMAGES)


def state_of(model):
    return train_one_step(IMAGES, model).state.tensors()


def test_a_state_of_another_run_is_refused_before_anything_is_taken_over():
    frozen = CONFIG.build()
    frozen.network.first.requires_grad_(False)
    wide = dataclasses.replace(CONFIG, network=dataclasses.replace(NETWORK, channels=(16,)))
    whole = state_of(CONFIG.build())
    states = [state_of(frozen), state_of(wide.build()), {}]
    states += [
        {n: v for n, v in whole.items() if n != key} for key in ("step", "ema.network.first.bias")
    ]
    for state in states:
        model = CONFIG.build()
        before = [p.clone() for p in model.parameters()]
        config = TrainingConfig(steps=3, batch_size=2)
        with pytest.raises(ValueError, match="resume: this is not the state of a run of such"):
            next(train(model, IMAGES, config, accelerator=cpu(), resume=state))
        assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("data", [IMAGES.numpy(), list(IMAGES), "images"])
def test_data_are_a_tensor(data):
    with pytest.raises(ValueError, match=r"the data are a \w+: give a tensor"):
        train_one_step(data)


def test_a_shape_may_be_a_list_as_json_has_it():
    model = DDPM(unlabelled(lambda x, t: x), NoiseSchedule.cosine(4), shape=[1, 28, 28])
    assert model.shape == (1, 28, 28)
    sample(model, 2)


@pytest.mark.parametrize("step", [0.0, -0.1, math.nan, math.inf])
def test_a_step_of_a_chain_is_positive_and_finite(step):
    x = torch.zeros(2, 1)
    chains = [
        langevin(lambda x: -x, x, step, 2),
        metropolis_adjusted_langevin(lambda x: -x.square().sum(1), x, step, 2),
        annealed_langevin(MIXTURE, x, timestep_pairs(4), step),
    ]
    for chain in chains:
        with pytest.raises(ValueError, match=r"step = .* must be greater than 0, and finite"):
            next(chain)


def test_a_chain_needs_pairs():
    with pytest.raises(ValueError, match="pairs = "):
        next(annealed_langevin(MIXTURE, torch.zeros(2, 1), [], 0.1))
    next(annealed_langevin(MIXTURE, torch.zeros(2, 1), timestep_pairs(4)[1:], 0.1))  # from below T


@pytest.mark.parametrize("large", [1e200, 1e100])
def test_features_too_large_to_be_squared_are_refused(large):
    features = FEATURES.double() * large
    with pytest.raises(ValueError, match=r"the distance .* not finite"):
        frechet_distance(features, features)


@pytest.mark.parametrize("details", [{"loss": math.nan}, {"path": object()}])
def test_details_are_plain_values(tmp_path, details):
    with pytest.raises(ValueError, match="must be plain values"):
        save_model(tmp_path / "model.safetensors", MODEL, CONFIG, details)
    assert not list(tmp_path.iterdir())


def test_images_in_double_precision_are_measured_as_they_are_in_single():
    for one, other in zip(
        classify(CLASSIFIER, IMAGES.double()), classify(CLASSIFIER, IMAGES), strict=True
    ):
        assert torch.equal(one, other)


def seeded():
    return torch.Generator().manual_seed(0)


# Schedules


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ([0.999] * 200, r"alpha_bar\[26\] = .* so little of the data is left"),
        ([0.5] * 300, "so little of the data is left"),
        ([1e-17, 0.5], "1 - beta rounds to 1"),
        ([0.1, 1e-17, 0.5], "1 - beta rounds to 1"),
    ],
    ids=["0.999 x 200", "0.5 x 300", "first", "later"],
)
def test_a_schedule_that_loses_data_or_noise_to_rounding_is_refused(beta, message):
    with pytest.raises(ValueError, match=message):
        NoiseSchedule(torch.tensor([0.0, *beta], dtype=torch.float64))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("parameterisation", ["eps", "x0", "v"])
@pytest.mark.parametrize("beta", [[0.999] * 24, [0.5] * 240, [3e-16, 0.9, 3e-16, 0.99]])
def test_a_schedule_that_is_just_allowed_samples_finite_images(beta, parameterisation, sampler):
    schedule = NoiseSchedule(torch.tensor([0.0, *beta], dtype=torch.float64))
    model = DDPM(unlabelled(lambda x_t, t: x_t.sin()), schedule, parameterisation)
    sample(model, 2, sampler, generator=seeded())


def test_a_mixture_of_things_that_are_not_finite_is_refused():
    for means, variances in (([math.nan, 1.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, math.inf])):
        with pytest.raises(ValueError, match="all must be finite"):
            GaussianMixture(NoiseSchedule.cosine(4), [0.5, 0.5], means, variances)


# A network of one's own


@pytest.mark.parametrize("wrap", [lambda n: n, torch.nn.DataParallel], ids=["own", "wrapped"])
def test_a_network_of_ones_own_is_told_the_null_token_and_no_class_in_its_place(wrap):
    """All labels are 5, and half of them are dropped: it hears 5 and 10, never 0."""
    told = set()

    class Own(torch.nn.Module):
        num_classes = 10

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x_t, t, label):
            told.update(label.tolist())
            return self.weight * x_t

    model = DDPM(wrap(Own()), NoiseSchedule.cosine(4))
    config = TrainingConfig(steps=5, batch_size=8, label_dropout=0.5)
    for _ in train(model, IMAGES, config, labels=torch.full((6,), 5), accelerator=cpu()):
        pass
    assert told == {5, 10}


def test_a_count_of_classes_may_be_any_integer_and_nothing_else():
    for count in (3, torch.tensor(3), from_bytes(torch.zeros(3)).numpy().size):
        assert DDPM(labelled(lambda x, t, y: x, count), NoiseSchedule.cosine(4)).num_classes == 3
    for count in (None, -1, 2.0, "3"):
        with pytest.raises(ValueError, match=f"has num_classes = {count}: set it to the number"):
            DDPM(labelled(lambda x, t, y: x, count), NoiseSchedule.cosine(4))
