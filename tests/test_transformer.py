import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import move
from torch import Tensor

from ddpm_tutorial import Transformer, TransformerBlock, TransformerConfig, position_features


def build(seed: int = 0, moved: bool = True, outputs: int = 1, **settings: object) -> Transformer:
    """A tiny network of two heads."""
    torch.manual_seed(seed)
    config = TransformerConfig(**{"image_size": 8, "width": 64, "blocks": 2, **settings})
    network = Transformer(config, outputs)
    if moved:
        move(network)
    return network.eval()


def images(batch: int, size: int = 8, channels: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, size, size, generator=generator)


@pytest.mark.parametrize(("size", "patch"), [(28, 4), (28, 7), (12, 2), (3, 1), (5, 5)])
@pytest.mark.parametrize("outputs", [1, 2, 256])
@pytest.mark.parametrize("colours", [1, 3])
def test_output_has_so_many_channels_for_each_of_the_image_as_asked_for_and_its_size(
    size: int, patch: int, outputs: int, colours: int
) -> None:
    network = build(outputs=outputs, image_size=size, image_channels=colours, patch=patch)
    output = network(images(2, size, colours), torch.tensor([1, 5]))
    assert output.shape == (2, colours * outputs, size, size)
    assert output.dtype == torch.float32
    assert output.std() > 0.01


@pytest.mark.parametrize("outputs", [1, 256])
def test_a_fresh_network_answers_zero(outputs: int) -> None:
    network = build(moved=False, outputs=outputs, image_channels=2)
    output = network(images(3, channels=2), torch.tensor([1, 9, 1000]))
    assert output.shape == (3, 2 * outputs, 8, 8)
    assert not output.any()


def test_a_fresh_block_passes_on_what_it_gets() -> None:
    h, embedding = torch.randn(2, 5, 64), torch.randn(2, 64)
    block = TransformerBlock(64)
    assert torch.equal(block(h, embedding), h)
    move(block)
    assert (block(h, embedding) - h).abs().max() > 0.01


def test_a_configuration_builds_the_network_and_says_its_shape_and_its_name() -> None:
    config = TransformerConfig(3, 6, patch=2, width=32, blocks=1, num_classes=4)
    assert config.shape == (3, 6, 6)
    assert config.name == "transformer"
    network = config.build(2)
    assert network.num_classes == 4
    assert network(images(1, 6, 3), torch.tensor([1]), torch.tensor([4])).shape == (1, 6, 6, 6)


def test_the_answer_depends_on_t_and_on_the_label() -> None:
    network, x_t = build(num_classes=2), images(1).expand(4, -1, -1, -1)
    t, label = torch.tensor([1, 1000, 1, 1]), torch.tensor([0, 0, 1, 2])
    output = network(x_t, t, label)
    for other in (1, 2, 3):
        assert (output[0] - output[other]).abs().max() > 1e-3, other


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("patch", 0, "a divisor of the image's side, 28"),
        ("patch", -4, "a divisor of the image's side, 28"),
        ("patch", 5, "a divisor of the image's side, 28"),
        ("width", 0, "a positive multiple of 32"),
        ("width", 48, "a positive multiple of 32"),
        ("width", -32, "a positive multiple of 32"),
        ("blocks", 0, "at least 1 block"),
        ("num_classes", -1, "use 0 for no labels"),
    ],
)
def test_a_configuration_that_cannot_work_names_value_and_remedy(
    setting: str, value: object, remedy: str
) -> None:
    with pytest.raises(ValueError, match=remedy) as error:
        TransformerConfig(**{setting: value})
    assert str(error.value).startswith(f"{setting} = {value}")


@given(size=st.integers(-3, 30), patch=st.integers(-3, 30))
@settings(max_examples=40)
def test_every_accepted_size_works_and_every_other_is_refused(size: int, patch: int) -> None:
    if size < 1 or patch < 1 or size % patch:
        with pytest.raises(ValueError, match=f"patch = {patch}: use a divisor"):
            TransformerConfig(image_size=size, patch=patch)
    else:
        network = build(moved=False, image_size=size, patch=patch, width=32, blocks=1)
        assert network(images(1, size), torch.tensor([1])).shape == (1, 1, size, size)


def test_the_gradient_reaches_every_parameter_once_the_zero_layers_have_moved() -> None:
    """But the bias of the keys: it adds the same to all scores of a query, and softmax drops it."""
    network = build(outputs=2, num_classes=2).train()
    output = network(images(4), torch.tensor([1, 2, 30, 400]), torch.tensor([0, 1, 0, 1]))
    output.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.abs().max() > 1e-8) == (not name.endswith("key.bias")), name


# Patches


@given(row=st.integers(0, 11), column=st.integers(0, 11))
@settings(max_examples=20)
def test_a_pixel_is_in_one_patch_and_the_patches_lie_row_by_row(row: int, column: int) -> None:
    network, seen = build(image_size=12), []
    network.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x_t = images(1, 12)
    network(x_t, torch.tensor([1]))
    x_t[0, 0, row, column] += 1
    network(x_t, torch.tensor([1]))
    changed = (seen[0] - seen[1]).abs().sum(-1)[0]
    assert changed.nonzero().tolist() == [[row // 4 * 3 + column // 4]]


@pytest.mark.parametrize("colours", [1, 3])
def test_patches_that_are_cut_are_joined_where_they_were(colours: int) -> None:
    network, x = build(image_channels=colours, patch=2), images(2, 8, colours)
    assert torch.equal(network.join(network.cut(x)), x)


def shuffled(x: Tensor, order: Tensor, patch: int) -> Tensor:
    """The image with its patches in another order, cut by hand."""
    side = x.shape[-1] // patch
    patches = [
        x[..., r * patch : (r + 1) * patch, c * patch : (c + 1) * patch]
        for r in range(side)
        for c in range(side)
    ]
    patches = [patches[i] for i in order]
    rows = [torch.cat(patches[r * side : (r + 1) * side], -1) for r in range(side)]
    return torch.cat(rows, -2)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_only_the_positions_tell_where_a_patch_lies(patch: int) -> None:
    """Without them the network does with a shuffled image what it does with the image."""
    network, x_t, t = build(patch=patch), images(2), torch.tensor([3, 700])
    order = torch.randperm((8 // patch) ** 2, generator=torch.Generator().manual_seed(0))
    output = network(x_t, t)
    moved = (network(shuffled(x_t, order, patch), t) - shuffled(output, order, patch)).abs().max()
    assert moved > 0.01
    network.positions.zero_()
    output = network(x_t, t)
    torch.testing.assert_close(
        network(shuffled(x_t, order, patch), t), shuffled(output, order, patch), atol=1e-5, rtol=0
    )


def test_positions_are_the_sines_and_cosines_of_row_and_column() -> None:
    side, width = 3, 16
    found = position_features(side, width)
    assert found.shape == (9, 16)
    for row in range(side):
        for column in range(side):
            expected = [
                wave(place * 10_000 ** (-k / 4))
                for place in (row, column)
                for wave in (math.cos, math.sin)
                for k in range(4)
            ]
            torch.testing.assert_close(found[side * row + column], torch.tensor(expected))


@given(side=st.integers(2, 14))
@settings(max_examples=10)
def test_positions_tell_all_patches_apart(side: int) -> None:
    found = position_features(side, 32)
    assert (torch.cdist(found, found) + 10 * torch.eye(side**2)).min() > 0.5


def test_positions_are_neither_trained_nor_kept_in_a_file() -> None:
    network = build()
    assert "positions" not in dict(network.named_parameters())
    assert "positions" not in network.state_dict()


# A block


def test_a_block_is_what_the_paper_draws() -> None:
    """With torch's own attention, on numbers in double precision."""
    torch.manual_seed(0)
    block = TransformerBlock(64).double()
    move(block, 0.2)
    h, embedding = torch.randn(3, 5, 64).double(), torch.randn(3, 64).double()
    told = F.linear(embedding, block.modulate.weight, block.modulate.bias)
    told = told.view(3, 2, 3, 1, 64)  # image, half of the block, (scale, shift, gate)

    def normalised(h: Tensor, half: int) -> Tensor:
        centred = h - h.mean(-1, keepdim=True)
        centred = centred / (h.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
        return centred * (1 + told[:, half, 0]) + told[:, half, 1]

    x = normalised(h, 0)
    parts = [layer(x).view(3, 5, 2, 32).transpose(1, 2) for layer in (block.query, block.key)]
    value = block.value(x).view(3, 5, 2, 32).transpose(1, 2)
    x = F.scaled_dot_product_attention(*parts, value).transpose(1, 2).reshape(3, 5, 64)
    after = h + told[:, 0, 2] * block.output(x)
    inner = F.gelu(block.alone[0](normalised(after, 1)), approximate="tanh")
    expected = after + told[:, 1, 2] * block.alone[2](inner)
    torch.testing.assert_close(block(h, embedding), expected)


@given(positions=st.integers(1, 9), seed=st.integers(0, 9))
@settings(max_examples=20)
def test_a_block_does_not_know_the_order_of_positions(positions: int, seed: int) -> None:
    torch.manual_seed(seed)
    block = TransformerBlock(32).double()
    move(block, 0.2)
    h, embedding = torch.randn(2, positions, 32).double(), torch.randn(2, 32).double()
    order = torch.randperm(positions)
    torch.testing.assert_close(block(h[:, order], embedding), block(h, embedding)[:, order])


# Precision and compilation


def test_the_output_keeps_the_precision_of_the_input_and_the_sums_theirs_under_autocast() -> None:
    network, kinds = build(), []
    for block in network.blocks:
        block.register_forward_hook(lambda *called: kinds.append(called[-1].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(images(1), torch.tensor([1])).dtype == torch.float32
    assert kinds == [torch.float32, torch.float32]
    double = network.double()(images(1).double(), torch.tensor([1]))
    assert double.dtype == torch.float64


def test_it_compiles_in_one_piece() -> None:
    network, x_t, t = build(), images(2), torch.tensor([3, 40])
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x_t, t), network(x_t, t))
