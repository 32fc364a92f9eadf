import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ddpm_tutorial import (
    Conditioned,
    attend,
    attention_weights,
    step_features,
    widening,
    zero_init,
)

shapes = given(
    batch=st.integers(1, 3),
    positions=st.integers(1, 7),
    heads=st.integers(1, 4),
    of=st.integers(1, 5),
)


def test_step_features_are_the_sines_and_cosines_of_vaswani() -> None:
    t, width = torch.tensor([1, 17, 1000]), 8
    rates = torch.tensor([10_000 ** (-k / 4) for k in range(4)], dtype=torch.float64)
    angles = t.double()[:, None] * rates
    expected = torch.cat([angles.cos(), angles.sin()], dim=1)
    # float32 holds an angle of 1000 to 6e-5.
    torch.testing.assert_close(step_features(t, width).double(), expected, rtol=0, atol=2e-4)


def test_step_features_tell_all_steps_apart() -> None:
    features = step_features(torch.arange(1, 1001), 8)
    distances = torch.cdist(features, features) + 10 * torch.eye(1000)
    assert distances.min() > 1e-3


@given(first=st.integers(1, 900), second=st.integers(1, 900), further=st.integers(1, 100))
def test_how_alike_two_steps_are_depends_on_their_distance_alone(
    first: int, second: int, further: int
) -> None:
    """The sum of cosines of the angles between them."""
    t = torch.tensor([first, second, first + further, second + further])
    a, b, a_later, b_later = step_features(t, 16)
    torch.testing.assert_close(a @ b, a_later @ b_later, rtol=0, atol=1e-3)
    torch.testing.assert_close(a @ a, torch.tensor(8.0))


@shapes
@settings(max_examples=30)
def test_attention_is_that_of_torch(batch: int, positions: int, heads: int, of: int) -> None:
    """With its own maps the identity, torch's module attends and does nothing else."""
    width = heads * of
    generator = torch.Generator().manual_seed(positions)
    query, key, value = torch.randn(
        3, batch, positions, width, generator=generator, dtype=torch.float64
    )
    theirs = nn.MultiheadAttention(width, heads, bias=False, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
        theirs.out_proj.weight.copy_(torch.eye(width))
        expected, weights = theirs(query, key, value, average_attn_weights=False)
    torch.testing.assert_close(attend(query, key, value, heads), expected)
    torch.testing.assert_close(attention_weights(query, key, heads), weights)


@shapes
@settings(max_examples=20)
def test_attention_does_not_know_the_order_of_positions(
    batch: int, positions: int, heads: int, of: int
) -> None:
    generator = torch.Generator().manual_seed(of)
    order = torch.randperm(positions, generator=generator)
    inputs = torch.randn(3, batch, positions, heads * of, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        attend(*inputs[:, :, order], heads), attend(*inputs, heads)[:, order]
    )


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 4, 3), nn.Linear(5, 2), nn.Linear(5, 2, bias=False)]
)
def test_a_layer_that_starts_at_zero_is_the_same_layer_and_answers_zero(layer: nn.Module) -> None:
    assert zero_init(layer) is layer
    assert not any(parameter.any() for parameter in layer.parameters())


def test_where_features_suffice_nothing_is_widened_and_elsewhere_it_starts_at_zero() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert widening(3, 3)(x) is x
    wider = widening(3, 8)(x)
    assert wider.shape == (2, 8, 4, 5)
    assert not wider.any()


def test_the_embedding_is_of_t_and_of_the_label() -> None:
    torch.manual_seed(0)
    told = Conditioned(8, 12, 3)
    t, label = torch.tensor([4, 4, 90]), torch.tensor([0, 3, 0])
    found = told.embed(t, label, torch.float32)
    assert found.shape == (3, 12)
    expected = told.embed_step(step_features(t, 8)) + told.embed_class.weight[label]
    torch.testing.assert_close(found, nn.functional.silu(expected))
    assert (found[0] - found[1]).abs().max() > 1e-2
    assert (found[0] - found[2]).abs().max() > 1e-2
