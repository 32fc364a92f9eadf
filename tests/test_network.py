"""The contract of a network: it says how many classes it tells apart, through whatever wraps it."""

import re
from collections.abc import Callable

import pytest
import torch
from accelerate import Accelerator
from networks import SCHEDULE, labelled, move, unlabelled
from torch import Tensor, nn

from ddpm_tutorial import (
    DDPM,
    TrainingConfig,
    TransformerConfig,
    UNet,
    UNetConfig,
    num_classes_of,
    sample,
    train,
)

CLASSES = 3
SHAPE = (1, 4, 4)


class Told(nn.Module):
    """No UNet: a little of each label, the null token included, and it remembers them."""

    num_classes = CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES + 1, 1)
        self.labels: list[int] = []

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        self.labels += label.tolist()
        return x_t * self.embedding(label)[:, :, None, None]


class Wrapper(nn.Module):
    """Keeps what it wraps under `module`, and hands on nothing but the call."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*inputs)


def compiled(network: nn.Module) -> nn.Module:
    return torch.compile(network, backend="eager")


WRAPPERS = {
    "bare": lambda network: network,
    "module": Wrapper,
    "twice": lambda network: Wrapper(Wrapper(network)),
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "compiled module": lambda network: compiled(Wrapper(network)),
    "module of compiled": lambda network: Wrapper(compiled(network)),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


def small_unet(num_classes: int) -> UNet:
    return UNet(UNetConfig(image_size=4, channels=(8,), blocks=1, num_classes=num_classes))


# What the networks of the package have in common


def small(name: str, num_classes: int = 0) -> nn.Module:
    """A tiny network of each kind, as after some training."""
    torch.manual_seed(0)
    configs = {
        "unet": UNetConfig(image_size=8, channels=(8, 16), blocks=1, num_classes=num_classes),
        "transformer": TransformerConfig(image_size=8, width=64, blocks=2, num_classes=num_classes),
    }
    network = configs[name].build()
    move(network)
    return network.eval()


every_network = pytest.mark.parametrize("name", ["unet", "transformer"])


@every_network
def test_each_image_gets_its_own_t_and_label_and_sees_no_other_image(name: str) -> None:
    network = small(name, num_classes=4)
    x_t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    t, label = torch.tensor([1, 20, 300]), torch.tensor([3, 0, 1])
    together = network(x_t, t, label)
    alone = torch.cat([network(x_t[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@every_network
def test_a_missing_and_an_unwanted_label_are_refused_with_a_remedy(name: str) -> None:
    x_t, t = torch.zeros(1, 1, 8, 8), torch.tensor([1])
    with pytest.raises(ValueError, match=r"pass label, one of 0\.\.9"):
        small(name, num_classes=10)(x_t, t)
    with pytest.raises(ValueError, match="leave label out"):
        small(name)(x_t, t, torch.tensor([0]))


# What is refused


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_network_says_how_many_classes_it_tells_apart(count: int) -> None:
    for network in (labelled(lambda x_t, t: x_t, count), small_unet(count)):
        assert num_classes_of(network) == count
        assert DDPM(network, SCHEDULE, shape=SHAPE).num_classes == count


@pytest.mark.parametrize(
    "network",
    [lambda x_t, t: x_t, nn.Conv2d(1, 1, 1), Wrapper(nn.Conv2d(1, 1, 1))],
    ids=["function", "module", "wrapped"],
)
def test_a_network_that_does_not_say_is_refused_with_a_remedy(network: Callable) -> None:
    message = f"the network ({type(network).__name__}) has num_classes = None: set it to the number"
    for refuse in (num_classes_of, lambda network: DDPM(network, SCHEDULE)):
        with pytest.raises(ValueError, match=re.escape(message) + r".*0 if it takes no label"):
            refuse(network)


@pytest.mark.parametrize("count", [-1, 2.0, "3", None])
def test_a_number_of_classes_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"has num_classes = {count}: set it to")):
        DDPM(labelled(lambda x_t, t: x_t, count), SCHEDULE)


@pytest.mark.parametrize("network", [None, 3, torch.zeros(2)], ids=str)
def test_what_cannot_be_called_is_no_network(network: object) -> None:
    with pytest.raises(ValueError, match="cannot be called: give a module or a function"):
        DDPM(network, SCHEDULE)


# What is seen through a wrapper


@every_wrapper
def test_the_number_of_classes_is_seen_through_what_wraps_the_network(wrap: Callable) -> None:
    for count in (0, CLASSES):
        network = wrap(small_unet(count))
        assert num_classes_of(network) == count
        assert DDPM(network, SCHEDULE, shape=SHAPE).num_classes == count
    assert num_classes_of(wrap(Told())) == CLASSES
    assert num_classes_of(wrap(unlabelled(nn.Conv2d(1, 1, 1)))) == 0


@every_wrapper
def test_guidance_goes_away_from_the_null_token_of_a_wrapped_network(wrap: Callable) -> None:
    torch.manual_seed(0)
    model = DDPM(wrap(Told()), SCHEDULE, shape=SHAPE)
    x_t = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    t, label = torch.tensor([3, 9]), torch.tensor([0, 2])
    guided = model.denoiser(label, 1.5, clip=False)(x_t, t).x0_hat
    told, untold = (
        model.denoiser(labels, clip=False)(x_t, t).x0_hat
        for labels in (label, torch.full_like(label, CLASSES))
    )
    assert (told - untold).abs().max() > 1e-2
    torch.testing.assert_close(guided, 2.5 * told - 1.5 * untold, rtol=1e-4, atol=1e-4)
    assert sample(model.denoiser(label, 1.5), 2, "ddim", 2).shape == (2, *SHAPE)


@every_wrapper
@pytest.mark.parametrize("label_dropout", [0.0, 0.5, 1.0])
def test_training_drops_labels_for_the_null_token_of_a_wrapped_network(
    wrap: Callable, label_dropout: float
) -> None:
    network = Told()
    data = torch.linspace(-1, 1, 6 * 16).view(6, *SHAPE)
    records = train(
        DDPM(wrap(network), SCHEDULE, shape=SHAPE),
        data,
        TrainingConfig(steps=5, batch_size=20, label_dropout=label_dropout),
        labels=torch.tensor([0, 1, 1, 0, 1, 0]),
        accelerator=Accelerator(cpu=True, mixed_precision="no"),
    )
    assert len(list(records)) == 5
    assert len(network.labels) == 100
    seen = {0.0: {0, 1}, 0.5: {0, 1, CLASSES}, 1.0: {CLASSES}}[label_dropout]
    assert set(network.labels) == seen
    untold = network.labels.count(CLASSES) / 100
    assert abs(untold - label_dropout) < 4 * 0.05  # standard error of a share: at most 0.05
