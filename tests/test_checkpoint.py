import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ddpm_tutorial import (
    DDPMConfig,
    TutorialError,
    UNetConfig,
    checkpoint,
    load_model,
    load_pretrained,
    sample,
    save_model,
)
from ddpm_tutorial.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_classifier,
    save_checkpoint,
)
from ddpm_tutorial.classifier import classify

CONFIG = DDPMConfig(
    schedule="linear",
    T=30,
    predicts="eps",
    unet=UNetConfig(image_size=4, channels=(8,), blocks=1, num_classes=3, learned_variance=True),
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
    assert (model.predicts, model.variance, model.schedule.T) == ("eps", "learned", 30)
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


def test_an_unreadable_configuration_is_refused(path, monkeypatch):
    saved = load_checkpoint(path)
    monkeypatch.setattr(
        checkpoint.dataclasses,
        "asdict",
        lambda c: {"schedule": "square", "unet": {"channels": [8]}},
    )
    save_checkpoint(path, Checkpoint(CONFIG, saved.tensors, {}))
    with pytest.raises(TutorialError, match=r"cannot read.*square"):
        load_checkpoint(path)


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
        model,
        20,
        "ddim",
        steps=10,
        label=label,
        guidance=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    _, probabilities = classify(load_classifier(), images)
    assert (probabilities.argmax(1) == label).sum() >= 19


def test_the_shipped_models_say_how_they_were_made():
    runs = {
        name: load_checkpoint(checkpoint.ASSETS / f"{name}.safetensors").details["run"]
        for name in checkpoint.PRETRAINED
    }
    readme = (checkpoint.ASSETS / "README.md").read_text(encoding="utf-8")
    for option in ("--minutes 60", "--batch-size 64", "--ema-decay 0.9995"):
        assert option in readme
    settings = runs["mnist"]["settings"]
    assert (settings["minutes"], settings["batch_size"], settings["ema_decay"]) == (60, 64, 0.9995)
    assert f"the first took {runs['mnist']['step']:,}" in readme
    settings = runs["mnist-bound"]["settings"]
    assert f"--steps {settings['steps']} --schedule {settings['schedule']} --predicts" in readme
    assert settings["predicts"] == "levels"
    settings = runs["mnist-labels"]["settings"]
    command = f"--steps {settings['steps']} --batch-size {settings['batch_size']} --with-labels"
    assert f"{command} --ema-decay {settings['ema_decay']}" in readme
    assert settings["with_labels"]
    assert runs["mnist-labels"]["step"] == settings["steps"]


def test_the_classifier_is_no_diffusion_model():
    with pytest.raises(TutorialError, match="holds no diffusion model"):
        load_model(checkpoint.ASSETS / "classifier.safetensors")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r'"cifar".*mnist'):
        load_pretrained("cifar")
