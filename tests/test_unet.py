import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import move
from torch import Tensor

from ddpm_tutorial import SelfAttention, UNet, UNetConfig


def build(seed: int = 0, moved: bool = True, outputs: int = 1, **settings: object) -> UNet:
    """A tiny network; `moved` takes the zero-initialised layers off 0, as training does."""
    torch.manual_seed(seed)
    network = UNet(UNetConfig(**{"channels": (8,), "blocks": 1, **settings}), outputs)
    if moved:
        move(network)
    return network.eval()


def images(batch: int, size: int = 28, channels: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, size, size, generator=generator)


@pytest.mark.parametrize(
    ("size", "channels"), [(28, (8,)), (28, (8, 16)), (14, (8,)), (16, (8, 16, 24)), (2, (8,))]
)
@pytest.mark.parametrize("outputs", [1, 2, 256])
@pytest.mark.parametrize("colours", [1, 3])
def test_output_has_so_many_channels_for_each_of_the_image_as_asked_for_and_its_size(
    size: int, channels: tuple[int, ...], outputs: int, colours: int
) -> None:
    network = build(outputs=outputs, image_size=size, image_channels=colours, channels=channels)
    output = network(images(2, size, colours), torch.tensor([1, 5]))
    assert output.shape == (2, colours * outputs, size, size)
    assert output.dtype == torch.float32
    assert output.std() > 0.01


def test_28_pixels_are_never_padded_to_32() -> None:
    network = build(channels=(8, 16))
    sizes = []
    for module in network.modules():
        module.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
    network(images(1), torch.tensor([1]))
    spatial = {tuple(shape[2:]) for shape in sizes if len(shape) == 4}
    assert spatial == {(14, 14), (7, 7), (28, 28)}


def test_a_fresh_network_answers_zero_and_a_fresh_block_is_its_shortcut() -> None:
    network = build(moved=False)
    torch.testing.assert_close(
        network(images(2), torch.tensor([1, 9])), torch.zeros(2, 1, 28, 28), rtol=0, atol=0
    )
    block, h = network.down[0], images(2, size=6, channels=8)
    torch.testing.assert_close(block(h, torch.randn(2, 32)), h, rtol=0, atol=0)


def test_256_outputs_for_each_entry_start_even() -> None:
    network = build(moved=False, outputs=256, image_channels=2, image_size=8)
    output = network(images(3, 8, 2), torch.tensor([1, 2, 3]))
    assert output.shape == (3, 512, 8, 8)
    assert not output.any()


def test_a_configuration_builds_the_network_and_says_its_shape_and_its_name() -> None:
    config = UNetConfig(image_channels=3, image_size=6, channels=[8], num_classes=4)
    assert config.channels == (8,)  # as a file gives it
    assert config.shape == (3, 6, 6)
    assert config.name == "unet"
    network = config.build(2)
    assert network.num_classes == 4
    assert network(images(1, 6, 3), torch.tensor([1]), torch.tensor([4])).shape == (1, 6, 6, 6)


def test_the_answer_depends_on_t() -> None:
    network, x_t = build(), images(1).expand(3, -1, -1, -1)
    output = network(x_t, torch.tensor([1, 2, 1000]))
    assert (output[0] - output[1]).abs().max() > 1e-5
    assert (output[0] - output[2]).abs().max() > 1e-3


def test_the_answer_depends_on_the_label() -> None:
    network, x_t = build(num_classes=3), images(1).expand(3, -1, -1, -1)
    output = network(x_t, torch.full((3,), 7), torch.tensor([0, 1, 2]))
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (output[one] - output[other]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("channels", (), "multiples of 8"),
        ("channels", (12,), "multiples of 8"),
        ("channels", (8, 0), "multiples of 8"),
        ("channels", (-8,), "multiples of 8"),
        ("image_size", 27, "fewer entries"),
        ("blocks", 0, "at least 1 block"),
        ("dropout", 1.0, r"in \[0, 1\)"),
        ("dropout", -0.1, r"in \[0, 1\)"),
        ("num_classes", -1, "use 0 for no labels"),
    ],
)
def test_a_configuration_that_cannot_work_names_value_and_remedy(
    setting: str, value: object, remedy: str
) -> None:
    with pytest.raises(ValueError, match=remedy) as error:
        UNetConfig(**{setting: value})
    assert str(error.value).startswith(f"{setting} = {value}")


@given(size=st.integers(1, 40), levels=st.integers(1, 4))
@example(size=2, levels=1)  # each group of a normalisation holds one value
@settings(max_examples=25)
def test_every_accepted_size_works_and_every_other_is_refused(size: int, levels: int) -> None:
    channels = (8,) * levels
    if size % 2**levels:
        with pytest.raises(ValueError, match=f"image_size = {size} cannot be halved {levels}"):
            UNetConfig(image_size=size, channels=channels)
    else:
        network = build(moved=False, image_size=size, channels=channels)
        assert network(images(1, size), torch.tensor([1])).shape == (1, 1, size, size)


def test_the_gradient_reaches_every_parameter_once_the_zero_layers_have_moved() -> None:
    """Widths above 8, as a GroupNorm group of one channel rightly undoes the bias before it."""
    network = build(outputs=2, channels=(16, 24), num_classes=2).train()
    output = network(images(4), torch.tensor([1, 2, 30, 400]), torch.tensor([0, 1, 0, 1]))
    output.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-8, name


def test_convolution_weights_lie_in_channels_last_order() -> None:
    network = build(channels=(8, 16))
    weights = [p for p in network.parameters() if p.ndim == 4]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_dropout_acts_in_training_mode_only() -> None:
    network, x_t, t = build(dropout=0.5), images(2), torch.tensor([3, 4])
    torch.testing.assert_close(network(x_t, t), network(x_t, t), rtol=0, atol=0)
    network.train()
    assert (network(x_t, t) - network(x_t, t)).abs().max() > 1e-4


def test_attention_equals_the_formula_written_out() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(48).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    x = torch.randn(2, 48, 3, 2, dtype=torch.float64)
    h = attention.norm(x).flatten(2).transpose(1, 2)  # (B, positions, width)
    query, key, value = attention.query_key_value(h).split(48, dim=-1)
    heads = []
    for head in range(2):
        mine = slice(24 * head, 24 * (head + 1))
        weights = (query[..., mine] @ key[..., mine].transpose(1, 2) / 24**0.5).softmax(-1)
        heads.append(weights @ value[..., mine])
    change = attention.output(torch.cat(heads, -1)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(attention(x), x + change, rtol=1e-12, atol=1e-12)


def test_the_output_keeps_the_precision_of_the_input_under_autocast() -> None:
    network = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(images(1), torch.tensor([1])).dtype == torch.float32
