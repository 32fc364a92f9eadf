import dataclasses
import json
import pickle
from pathlib import Path

import first_edition
import pytest
import safetensors.torch
import torch

from ddpm_tutorial import (
    ASSETS,
    PRETRAINED,
    Checkpoint,
    DDPMConfig,
    TransformerConfig,
    TutorialError,
    UNetConfig,
    classify,
    load_checkpoint,
    load_classifier,
    load_model,
    load_pretrained,
    pretrained_path,
    sample,
    save_checkpoint,
    save_model,
)

CONFIG = DDPMConfig(
    schedule="linear",
    T=30,
    parameterisation="eps",
    reverse_variance="learned",
    network=UNetConfig(image_size=4, channels=(8,), blocks=1, num_classes=3),
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.warns(UserWarning, match="alpha_bar"):
        model = CONFIG.build()
    save_model(path, model, CONFIG, {"step": 7})
    return path


@pytest.mark.filterwarnings("ignore:alpha_bar")
def test_round_trip_builds_the_same_model(path):
    saved = load_checkpoint(path)
    assert saved.config == CONFIG
    assert saved.details == {"step": 7}
    before = torch.get_rng_state()
    model = load_model(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    words = model.parameterisation.name, model.reverse_variance.name
    assert (*words, model.schedule.T) == ("eps", "learned", 30)
    assert model.num_classes == 3
    state = model.state_dict()
    assert state.keys() == saved.tensors.keys()
    assert all(torch.equal(state[name], value) for name, value in saved.tensors.items())


def test_any_truncation_is_noticed(path):
    content = path.read_bytes()
    for length in [0, 1, 7, 8, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(TutorialError, match=r"model\.safetensors"):
            load_checkpoint(path)


def test_a_changed_type_is_noticed(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(TutorialError, match="checksum does not match"):
        load_checkpoint(path)


@pytest.mark.filterwarnings("ignore:alpha_bar")
def test_any_changed_byte_is_noticed_or_harmless(path):
    """A flipped byte raises TutorialError, or it was white space between two words."""
    content = path.read_bytes()
    original = load_checkpoint(path)
    description = range(content.index(b"__metadata__"), content.index(b'"network.'))
    assert len(description) > 300
    positions = [*description, *range(0, len(content), 89)]
    noticed = 0
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 0x01  # 0 and 1, 2 and 3, ... change places: still good JSON
        path.write_bytes(changed)
        try:
            loaded = load_checkpoint(path)
        except TutorialError:
            noticed += 1
        else:
            assert (loaded.config, loaded.details) == (original.config, original.details)
            assert loaded.tensors.keys() == original.tensors.keys()
            assert all(torch.equal(loaded.tensors[k], v) for k, v in original.tensors.items())
    assert noticed > 0.98 * len(positions)


def test_what_is_not_a_checkpoint_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "pickle").write_bytes(pickle.dumps(Evil()))
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    for name, message in [
        ("pickle", "damaged"),
        ("foreign", "not written by ddpm_tutorial"),
        ("missing", "does not exist"),
        (".", "is a folder: name a file in it"),
    ]:
        with pytest.raises(TutorialError, match=message):
            load_model(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_architecture_are_refused(path):
    saved = load_checkpoint(path)
    saved.tensors.pop(next(iter(saved.tensors)))
    save_checkpoint(path, saved)
    with (
        pytest.warns(UserWarning, match="alpha_bar"),
        pytest.raises(TutorialError, match="does not fit its own configuration"),
    ):
        load_model(path)


def test_weights_of_other_shapes_are_refused(path):
    saved = load_checkpoint(path)
    saved.tensors["network.first.bias"] = torch.zeros(5)
    save_checkpoint(path, saved)
    with (
        pytest.warns(UserWarning, match="alpha_bar"),
        pytest.raises(TutorialError, match=r"does not fit its own configuration: .*first\.bias"),
    ):
        load_model(path)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"schedule": "square", "network": {"name": "unet", "channels": [8]}}, "square"),
        ({"schedule": "cosine", "network": {"name": "resnet", "depth": 8}}, "resnet"),
        ({"schedule": "cosine", "network": {"name": "unet", "depth": 8}}, "depth"),
        ({"schedule": "cosine", "network": {"channels": [8]}}, "name"),
        ({"schedule": "cosine", "colour": "blue", "network": {"name": "unet"}}, "colour"),
        ({"schedule": "cosine"}, "network"),
        ({"schedule": "square", "predicts": "v", "unet": {"channels": [8]}}, "square"),
        ({"schedule": "cosine", "unet": {"channels": [8]}}, "predicts"),
        (["cosine"], "list"),
    ],
)
def test_an_unreadable_configuration_is_refused(path, monkeypatch, values, named):
    saved = load_checkpoint(path)
    monkeypatch.setattr(DDPMConfig, "as_plain_values", lambda config: values)
    save_checkpoint(path, Checkpoint(CONFIG, saved.tensors, {}))
    with pytest.raises(TutorialError, match=rf"cannot read.*{named}"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "config",
    [
        DDPMConfig(),
        CONFIG,
        DDPMConfig("log-snr", 50, "levels", network=UNetConfig(channels=(16, 24), blocks=1)),
        DDPMConfig("sigmoid", 7, "x0", "large", UNetConfig(image_channels=3, dropout=0.2), 5.0),
        DDPMConfig(network=TransformerConfig(image_size=32, patch=8, width=64, blocks=1)),
    ],
)
def test_a_configuration_comes_back_from_plain_values(config):
    written = json.loads(json.dumps(config.as_plain_values()))
    read = DDPMConfig.from_plain_values(written)
    assert read == config
    assert hash(read) == hash(config)
    assert type(read.network) is type(config.network)
    # Every field is written down, and no field twice.
    network = written.pop("network")
    assert network.pop("name") == config.network.name
    assert network.keys() == {field.name for field in dataclasses.fields(config.network)}
    assert written.keys() == {field.name for field in dataclasses.fields(DDPMConfig)} - {"network"}


@pytest.mark.parametrize("parameterisation", ["v", "levels"])
def test_a_transformer_comes_back_from_a_file(tmp_path, parameterisation):
    network = TransformerConfig(image_size=8, width=32, blocks=2, num_classes=3)
    config = DDPMConfig("log-snr", 20, parameterisation, network=network)
    path, model = tmp_path / "model.safetensors", config.build().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # fresh weights are 0 in the last layer
    save_model(path, model, config, {})
    found = load_model(path)
    read, written = found.state_dict(), model.state_dict()
    assert read.keys() == written.keys()
    assert all(torch.equal(read[name], written[name]) for name in written)
    inputs = torch.randn(2, 1, 8, 8), torch.tensor([1, 20]), torch.tensor([0, 3])
    # Where weights lie in memory decides on some processors in which order they are summed.
    torch.testing.assert_close(found.network(*inputs), model.network(*inputs), rtol=0, atol=1e-5)


# The first edition


@pytest.mark.parametrize(
    ("words", "variance"),
    [
        ({"parameterisation": "v"}, "small"),
        ({"parameterisation": "x0", "min_snr": 5.0}, "small"),
        ({"parameterisation": "eps", "reverse_variance": "learned"}, "learned"),
        ({"parameterisation": "levels", "schedule": "log-snr"}, "matched"),
    ],
)
def test_a_file_of_the_first_edition_gives_the_same_model(tmp_path, words, variance):
    network = UNetConfig(image_size=4, channels=(8, 16), blocks=1, num_classes=3)
    config, path = DDPMConfig(T=20, network=network, **words), tmp_path / "model.safetensors"
    model = config.build().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # fresh weights are 0 in the last layer
    save_model(path, model, config, {"step": 7})
    first_edition.turn_back(path)
    names = {name for name, _ in model.named_parameters()}
    old_names = first_edition.names_in(path)
    assert (names == old_names) == (variance != "matched")

    saved = load_checkpoint(path)
    assert saved.config == dataclasses.replace(config, reverse_variance=variance)
    assert saved.details == {"step": 7}
    assert saved.tensors.keys() == names
    found = load_model(path)
    assert found.reverse_variance.name == model.reverse_variance.name == variance
    x_t, t, label = torch.randn(2, 1, 4, 4), torch.tensor([3, 20]), torch.tensor([0, 3])
    for ours, expected in zip(
        found.denoiser(label)(x_t, t), model.denoiser(label)(x_t, t), strict=True
    ):
        assert (ours is None) == (expected is None)
        assert ours is None or torch.equal(ours, expected)

    # What is written today of it is a file of today.
    save_checkpoint(path, saved)
    assert "network" in first_edition.header_of(path)[0]
    again = load_checkpoint(path)
    assert again.config == saved.config
    assert all(torch.equal(again.tensors[name], saved.tensors[name]) for name in names)


@pytest.mark.parametrize(
    ("config", "levels", "first"),
    [
        (DDPMConfig(), False, {"schedule": "cosine", "predicts": "v"}),
        (
            DDPMConfig("log-snr", parameterisation="levels", reverse_variance="matched"),
            True,
            {"schedule": "log-snr", "predicts": "levels"},
        ),
    ],
    ids=["mnist", "mnist-bound"],
)
def test_files_that_are_turned_back_look_like_the_first_that_shipped(
    tmp_path, config, levels, first
):
    """Their headers, as they stood in two files that the first edition shipped."""
    path = tmp_path / "model.safetensors"
    save_model(path, config.build(), config, {})
    first_edition.turn_back(path)
    found, _ = first_edition.header_of(path)
    assert found.pop("min_snr") is None  # one of them did not have it
    unet = {"image_channels": 1, "image_size": 28, "channels": [48, 96], "blocks": 2}
    unet |= {"dropout": 0.0, "num_classes": 0, "learned_variance": False, "levels": levels}
    assert found == {**first, "T": 1000, "unet": unet}
    assert ("network.weigh_levels.1.weight" in first_edition.names_in(path)) == levels


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_shipped_models_are_what_the_book_says(name):
    model = load_pretrained(name)
    levels = name == "mnist-bound"
    assert model.parameterisation.name == ("levels" if levels else "v")
    assert model.reverse_variance.name == ("matched" if levels else "small")
    assert model.schedule.T == 1000
    assert model.num_classes == (10 if name == "mnist-labels" else 0)
    assert model.network.config == UNetConfig(num_classes=model.num_classes)


# What ships


def test_the_shipped_model_draws():
    model = load_pretrained()
    assert not model.training
    images = sample(model, 4, "ddim", steps=10, generator=torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 28, 28)
    assert images.abs().max() <= 1
    # Digits: mostly black paper, with some white ink on each.
    assert 0.6 < float((images < -0.5).float().mean()) < 0.95
    assert (images.amax((1, 2, 3)) > 0.5).all()


def test_the_shipped_model_with_labels_draws_the_digits_asked_for():
    model, label = load_pretrained("mnist-labels"), torch.arange(20) % 10
    images = sample(
        model.denoiser(label, guidance=1.0),
        20,
        "ddim",
        steps=10,
        generator=torch.Generator().manual_seed(0),
    )
    _, probabilities = classify(load_classifier(), images)
    assert (probabilities.argmax(1) == label).sum() >= 19


def test_the_student_draws_the_digits_asked_for_in_one_step():
    model, label = load_pretrained("mnist-one-step"), torch.arange(50) % 10
    generator = torch.Generator().manual_seed(0)
    images = sample(model.denoiser(label), 50, "ddim", 1, generator)
    _, probabilities = classify(load_classifier(), images)
    assert (probabilities.argmax(1) == label).sum() >= 45
    blurred = sample(load_pretrained("mnist-labels").denoiser(label), 50, "ddim", 1, generator)
    assert probabilities.amax(1).mean() > classify(load_classifier(), blurred)[1].amax(1).mean()


def test_the_student_says_what_it_scored():
    path = ASSETS.parents[1] / "book" / "results" / "few_steps.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    measured = load_checkpoint(pretrained_path("mnist-one-step")).details["evaluation"]
    for name in ("fid", "pixels", "precision", "recall", "told", "copies"):
        assert measured[name]["mean"] == figures["students"]["1"][name]["values"][0]


def test_the_shipped_models_say_how_they_were_made():
    readme = (ASSETS / "README.md").read_text(encoding="utf-8")
    for name, run in {"mnist": "mnist", "mnist-bound": "bound-0", "mnist-labels": "labels"}.items():
        details = load_checkpoint(ASSETS / f"{name}.safetensors").details
        settings, steps = details["run"]["settings"], details["run"]["step"]
        assert f"| `{name}` | {steps:,} | {details['held_out']['bits_per_dim']:.3f} |" in readme
        command = next(line for line in readme.splitlines() if f"--out runs/{run} " in line)
        for word in ("minutes", "batch_size", "ema_decay"):
            option = f"--{word.replace('_', '-')} {settings[word]:g}"
            assert option in command
        assert settings["with_labels"] == ("--with-labels" in command)
        assert settings["predicts"] == ("levels" if "--predicts levels" in command else "v")
        assert settings["dropout"] == 0
        assert settings["optimizer"] == "muon"
        assert details["run"]["data"]["images"] + details["held_out"]["images"] == 60_000


def test_the_classifier_is_no_diffusion_model():
    with pytest.raises(TutorialError, match="holds no diffusion model"):
        load_model(ASSETS / "classifier.safetensors")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r'"cifar".*mnist'):
        load_pretrained("cifar")
