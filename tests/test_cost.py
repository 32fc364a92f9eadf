"""The counts by hand against torch's counter and against what autograd really keeps."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from ddpm_tutorial import (
    ResidualBlock,
    SelfAttention,
    TransformerConfig,
    UNetConfig,
    attention_activations,
    attention_flops,
    block_activations,
    conv_flops,
    transformer_cost,
    unet_cost,
)

COSTS = {"unet": unet_cost, "transformer": transformer_cost}
TINY = UNetConfig(channels=(8,), blocks=1)
# Each with its number of outputs: 2 with a learned variance, 256 for levels.
CONFIGS = [
    (UNetConfig(), 1),
    (TINY, 1),
    (UNetConfig(image_channels=3, image_size=32, channels=(8, 24, 48), blocks=1), 1),
    (UNetConfig(channels=(16, 8), blocks=3, num_classes=10), 2),
    (UNetConfig(image_size=16, channels=(8, 16)), 256),
    (UNetConfig(image_size=16, image_channels=3, channels=(8, 16)), 256),
    (TINY, 32),
    (TINY, 33),
    (TransformerConfig(width=96, blocks=2), 1),
    (TransformerConfig(image_size=24, patch=2, width=64, blocks=2, num_classes=3), 2),
    (TransformerConfig(image_channels=3, image_size=20, width=32, blocks=1), 256),
]
every_config = pytest.mark.parametrize(("config", "outputs"), CONFIGS, ids=str)


def flops(function, *inputs):
    with FlopCounterMode(display=False) as counter:
        output = function(*inputs)
    return output, counter.get_total_flops()


def forward(config, outputs, batch=2, device="meta"):
    """A function that runs the network, with the backward pass where asked."""
    with torch.device(device):
        network = config.build(outputs)
        x_t = torch.zeros(batch, config.image_channels, config.image_size, config.image_size)
        t = torch.ones(batch, dtype=torch.int64)
        label = torch.zeros(batch, dtype=torch.int64) if config.num_classes else None
    return network, lambda: network(x_t, t, label)


def kept(network, run, batch, at_least):
    """How many numbers autograd keeps for each image, in tensors of `at_least` numbers or more."""
    storages = {}
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            # The tensor, not its storage, whose numbers may serve others too: q in q, k and v.
            storages[storage.data_ptr()] = (storage, storage.nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    counts = [count // batch for _, count in storages.values()]
    del output
    return sum(count for count in counts if count >= at_least)


def cost_of(config, outputs):
    return COSTS[config.name](config, outputs)


def told_by_t(name, layer):
    """Whether this linear map sees the embedding of t, not the image."""
    return isinstance(layer, torch.nn.Linear) and ("embed" in name or "modulate" in name)


@every_config
def test_arithmetic_is_what_torch_counts(config, outputs):
    _, run = forward(config, outputs)
    _, count = flops(run)
    assert count == 2 * cost_of(config, outputs).forward
    _, count = flops(lambda: run().sum().backward())
    assert count == 2 * cost_of(config, outputs).training


@every_config
def test_activations_are_what_autograd_keeps(config, outputs):
    network, run = forward(config, outputs, device="cpu")
    # The embedding of t, its scales and shifts, and statistics do not grow with the image.
    ungrowing = max(
        layer.out_features for name, layer in network.named_modules() if told_by_t(name, layer)
    )
    assert ungrowing < config.image_size**2
    assert kept(network, run, 2, ungrowing + 1) == cost_of(config, outputs).activations


@settings(max_examples=20)
@given(
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
)
def test_a_convolution(inputs, outputs, kernel, stride):
    layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, device="meta")
    output, count = flops(layer, torch.zeros(3, inputs, 10, 8, device="meta"))
    assert count == 3 * conv_flops(inputs, outputs, kernel, output[0, 0].numel())


@settings(max_examples=20)
@given(width=st.integers(1, 12), side=st.integers(1, 9))
def test_attention(width, side):
    layer = SelfAttention(8 * width).to("meta")
    _, count = flops(layer, torch.zeros(3, 8 * width, side, side, device="meta"))
    assert count == 3 * attention_flops(8 * width, side**2)


@pytest.mark.parametrize(("inputs", "width"), [(8, 8), (16, 8), (8, 24)])
def test_a_residual_block_and_attention_keep(inputs, width):
    block = ResidualBlock(inputs, width, 4, 0.0).to(memory_format=torch.channels_last)
    x, embedding = torch.randn(2, inputs, 9, 9, requires_grad=True), torch.randn(2, 4)
    x = x.contiguous(memory_format=torch.channels_last)
    assert kept(block, lambda: block(x, embedding), 2, 100) == block_activations(inputs, width, 81)
    layer = SelfAttention(inputs)
    expected = attention_activations(inputs, 81, layer.heads)
    assert kept(layer, lambda: layer(x), 2, 100) == expected


def test_a_larger_image_costs_more():
    """Four times the positions: four times the convolutions, sixteen times the pairs."""
    small, large = (unet_cost(dataclasses.replace(TINY, image_size=s)) for s in (28, 56))
    pairs = 4 * 8 * (14**4, 28**4)[0]
    fixed = sum(conv_flops(a, b, 1, 1) for a, b in [(8, 32), (32, 32), *[(32, 16)] * 4])
    assert large.forward == 4 * (small.forward - fixed - pairs) + 16 * pairs + fixed


def test_the_two_networks_cost_the_same_as_they_come():
    unet, transformer = unet_cost(UNetConfig()), transformer_cost(TransformerConfig())
    assert transformer.training == pytest.approx(unet.training, rel=1e-3)
