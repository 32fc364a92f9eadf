import json
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from networks import unlabelled
from torch import nn

from ddpm_tutorial import (
    NETWORKS,
    SCHEDULES,
    DDPMConfig,
    NoiseSchedule,
    TransformerConfig,
    UNetConfig,
)


def test_a_word_stands_for_the_network_of_that_name() -> None:
    assert list(NETWORKS) == ["unet", "transformer"]
    for word, config in NETWORKS.items():
        assert config.name == word
        assert config().name == word


@pytest.mark.parametrize("learned", [False, True])
def test_a_configuration_builds_the_model_that_it_describes(learned: bool) -> None:
    unet = UNetConfig(image_channels=3, image_size=6, channels=(8,), blocks=1, num_classes=5)
    variance = "learned" if learned else None
    torch.manual_seed(3)
    model = DDPMConfig("sigmoid", 30, "eps", variance, unet).build()
    assert model.shape == (3, 6, 6)
    assert model.num_classes == 5
    assert model.parameterisation.name == "eps"
    assert model.reverse_variance.name == ("learned" if learned else "small")
    torch.testing.assert_close(model.schedule.beta, NoiseSchedule.sigmoid(30).beta)
    torch.manual_seed(3)
    twin = DDPMConfig(reverse_variance=variance, network=unet).build()
    torch.testing.assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "network",
    [
        UNetConfig(image_channels=2, image_size=4, channels=(8,), blocks=1),
        TransformerConfig(image_channels=2, image_size=4, patch=2, width=32, blocks=1),
    ],
    ids=["unet", "transformer"],
)
@pytest.mark.parametrize(
    ("words", "outputs", "variance"),
    [
        ({}, 1, "small"),
        ({"reverse_variance": "large"}, 1, "large"),
        ({"reverse_variance": "learned"}, 2, "learned"),
        ({"parameterisation": "levels"}, 256, "matched"),
        ({"parameterisation": "levels", "reverse_variance": "matched"}, 256, "matched"),
    ],
    ids=str,
)
def test_the_network_gets_the_outputs_that_the_words_need(
    words: dict, outputs: int, variance: str, network: UNetConfig | TransformerConfig
) -> None:
    model = DDPMConfig(T=20, network=network, **words).build()
    x_t, t = torch.zeros(3, 2, 4, 4), torch.tensor([1, 2, 20])
    assert model.network(x_t, t).shape == (3, 2 * outputs, 4, 4)
    assert model.reverse_variance.name == variance
    assert model.denoiser()(x_t, t).x0_hat.shape == (3, 2, 4, 4)


@pytest.mark.parametrize("word", SCHEDULES)
def test_the_word_for_a_schedule_makes_it(word: str) -> None:
    unet = UNetConfig(image_size=4, channels=(8,), blocks=1)
    schedule = DDPMConfig(word, 1000, network=unet).build().schedule
    torch.testing.assert_close(schedule.beta, SCHEDULES[word](1000).beta, rtol=0, atol=0)


def test_min_snr_reaches_the_model() -> None:
    assert DDPMConfig(min_snr=5.0).build().min_snr == 5.0


# Plain values


@pytest.mark.parametrize(
    "config",
    [
        DDPMConfig(),
        DDPMConfig("log-snr", 30, "levels", None, UNetConfig(channels=(8, 16))),
        DDPMConfig(reverse_variance="learned", min_snr=5.0, network=UNetConfig(num_classes=10)),
        DDPMConfig(network=TransformerConfig(patch=2, width=96, blocks=4, num_classes=10)),
    ],
    ids=["usual", "levels", "learned", "transformer"],
)
def test_json_keeps_a_configuration(config: DDPMConfig) -> None:
    values = json.loads(json.dumps(config.as_plain_values()))
    assert values["network"]["name"] == config.network.name
    before = json.dumps(values)
    assert DDPMConfig.from_plain_values(values) == config
    assert json.dumps(values) == before


def test_a_network_of_another_kind_is_built_again_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclass(frozen=True)
    class ConvConfig:
        """One convolution."""

        name: ClassVar[str] = "conv"
        size: int = 4

        @property
        def shape(self) -> tuple[int, ...]:
            return (1, self.size, self.size)

        def build(self, outputs: int) -> nn.Module:
            return unlabelled(nn.Conv2d(1, outputs, 1))

    monkeypatch.setitem(NETWORKS, "conv", ConvConfig)
    config = DDPMConfig(reverse_variance="learned", network=ConvConfig(6))
    assert DDPMConfig.from_plain_values(config.as_plain_values()) == config
    model = config.build()
    assert model.shape == (1, 6, 6)
    assert model.network.out_channels == 2


# Errors


def test_unknown_words_are_refused_and_the_choices_named() -> None:
    with pytest.raises(ValueError, match='parameterisation = "score": choose one of eps, x0, v'):
        DDPMConfig(parameterisation="score")
    with pytest.raises(ValueError, match='reverse_variance = "tiny": choose one of small, large'):
        DDPMConfig(reverse_variance="tiny")
    with pytest.raises(ValueError, match='schedule = "square": choose one of linear, cosine, sig'):
        DDPMConfig(schedule="square")
    values = DDPMConfig().as_plain_values()
    values["network"]["name"] = "perceptron"
    with pytest.raises(ValueError, match='network = "perceptron": choose one of unet, transformer'):
        DDPMConfig.from_plain_values(values)


@pytest.mark.parametrize(
    ("word", "variance"), [("levels", "small"), ("levels", "learned"), ("v", "matched")]
)
def test_words_that_do_not_go_together_are_refused(word: str, variance: str) -> None:
    message = f'parameterisation = "{word}" with reverse_variance = "{variance}": a distribution'
    with pytest.raises(ValueError, match=message):
        DDPMConfig(parameterisation=word, reverse_variance=variance)


@pytest.mark.parametrize("min_snr", [0.0, -1.0, math.inf, math.nan])
def test_a_min_snr_that_cannot_be_is_refused(min_snr: float) -> None:
    with pytest.raises(ValueError, match=f"min_snr = {min_snr}"):
        DDPMConfig(min_snr=min_snr)


def test_min_snr_does_not_go_with_levels() -> None:
    with pytest.raises(ValueError, match='weighs a squared error, and "levels" has none'):
        DDPMConfig(parameterisation="levels", min_snr=5.0)


def test_plain_values_that_no_configuration_made_are_refused() -> None:
    values = DDPMConfig().as_plain_values()
    with pytest.raises((ValueError, KeyError, TypeError)):
        DDPMConfig.from_plain_values({**values, "colour": "red"})
    del values["network"]["name"]
    with pytest.raises((ValueError, KeyError, TypeError)):
        DDPMConfig.from_plain_values(values)
