"""Muon beside the singular value decomposition, beside its definition, and beside torch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ddpm_tutorial import (
    MUON_RATE,
    OPTIMIZERS,
    Muon,
    TrainingConfig,
    TransformerConfig,
    UNet,
    UNetConfig,
    hidden_weights_of,
    orthogonalise,
)

sizes = st.integers(1, 7)


def matrices(count: int, rows: int, columns: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, rows, columns, generator=generator, dtype=torch.float64)


def five_times(singular_values: Tensor) -> Tensor:
    """What Jordan et al. (2024) do to each singular value."""
    for _ in range(5):
        s = singular_values
        singular_values = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return singular_values


@given(count=st.integers(1, 3), rows=sizes, columns=sizes, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_singular_vectors_stay_and_singular_values_are_iterated(count, rows, columns, seed):
    given_matrices = matrices(count, rows, columns, seed)
    left, values, right = torch.linalg.svd(given_matrices, full_matrices=False)
    values = five_times(values / given_matrices.norm(dim=(1, 2))[:, None])
    expected = left @ torch.diag_embed(values) @ right
    torch.testing.assert_close(orthogonalise(given_matrices), expected, rtol=1e-7, atol=1e-7)


def test_singular_values_end_up_near_1_whatever_they_were():
    left, _, right = torch.linalg.svd(matrices(1, 30, 80), full_matrices=False)
    for smallest in (1.0, 1e-1, 1e-2):
        spread = torch.logspace(0, 0, 30, dtype=torch.float64)
        spread[::2] = smallest
        found = torch.linalg.svdvals(orthogonalise(left @ torch.diag_embed(spread[None]) @ right))
        assert 0.68 < float(found.min()) <= float(found.max()) < 1.21


@pytest.mark.parametrize("shape", [(3, 96, 864), (2, 288, 96), (4, 48, 48)])
def test_single_precision_is_enough(shape):
    exact = orthogonalise(matrices(*shape))
    single = orthogonalise(matrices(*shape).float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)


def test_half_precision_is_iterated_in_single_precision():
    half = matrices(2, 16, 40).bfloat16()
    expected = orthogonalise(half.float())
    torch.testing.assert_close(orthogonalise(half), expected.bfloat16(), rtol=0, atol=0)


def test_a_matrix_of_zeros_stays_one_and_a_tiny_gradient_counts_as_much_as_any():
    mixed = torch.stack([torch.zeros(4, 9), torch.randn(4, 9)])
    found = orthogonalise(mixed)
    assert found[0].eq(0).all()
    torch.testing.assert_close(found[1], orthogonalise(mixed[1:] * 1e-12)[0], rtol=1e-4, atol=1e-5)


def trained(optimizer_of, weights: list[nn.Parameter], gradients: list[list[Tensor]]) -> None:
    optimizer = optimizer_of(weights)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()


def some_weights(shapes) -> tuple[list[nn.Parameter], list[list[Tensor]]]:
    """Weights in float64, and the gradients of three steps."""
    generator = torch.Generator().manual_seed(1)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = [nn.Parameter(draw(shape)) for shape in shapes]
    return weights, [[draw(shape) for shape in shapes] for _ in range(3)]


def test_a_step_is_nesterov_momentum_made_orthogonal():
    shapes = [(6, 4), (4, 3, 3, 3), (6, 4), (2, 7)]
    weights, gradients = some_weights(shapes)
    expected = [weight.detach().clone() for weight in weights]
    momenta = [torch.zeros_like(weight) for weight in expected]
    for step in gradients:
        for weight, momentum, gradient in zip(expected, momenta, step, strict=True):
            momentum.copy_(0.9 * momentum + 0.1 * gradient)
            ahead = (0.9 * momentum + 0.1 * gradient).flatten(1)
            left, values, right = torch.linalg.svd(ahead, full_matrices=False)
            direction = left @ torch.diag(five_times(values / ahead.norm())) @ right
            longer = max(1, ahead.shape[0] / ahead.shape[1]) ** 0.5
            weight -= 0.3 * longer * direction.view_as(weight)
    trained(lambda each: Muon(each, lr=0.3, momentum=0.9), weights, gradients)
    for weight, wanted in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), wanted, rtol=1e-7, atol=1e-7)


def test_it_goes_where_torchs_own_muon_goes():
    """Which takes matrices only, and iterates in bfloat16."""
    weights, gradients = some_weights([(24, 60), (60, 24), (24, 24)])
    twins = copy.deepcopy(weights)
    before = [weight.detach().clone() for weight in weights]
    trained(lambda each: Muon(each, lr=0.1), weights, gradients)
    trained(
        lambda each: torch.optim.Muon(each, 0.1, weight_decay=0.0, adjust_lr_fn="original"),
        twins,
        gradients,
    )
    for start, ours, theirs in zip(before, weights, twins, strict=True):
        way, other = ((each.detach() - start).flatten() for each in (ours, theirs))
        assert torch.cosine_similarity(way, other, dim=0) > 0.999
        assert float(way.norm()) == pytest.approx(float(other.norm()), rel=0.02)


def test_a_layout_changes_nothing():
    weights, gradients = some_weights([(4, 3, 3, 3)])
    last = nn.Parameter(weights[0].detach().clone().to(memory_format=torch.channels_last))
    trained(lambda each: Muon(each, lr=0.1), weights, gradients)
    trained(lambda each: Muon(each, lr=0.1), [last], gradients)
    torch.testing.assert_close(last.detach(), weights[0].detach())
    assert last.stride() != weights[0].stride()


def test_a_weight_without_a_gradient_stays():
    weights, _ = some_weights([(3, 3)])
    before = weights[0].detach().clone()
    Muon(weights, lr=1.0).step()
    torch.testing.assert_close(weights[0].detach(), before, rtol=0, atol=0)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"a weight of shape \(3,\) is no matrix: give it to"):
        Muon([nn.Parameter(torch.zeros(3))], lr=1.0)


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match='optimizer = "sgd": choose one of muon, adamw'):
        TrainingConfig(steps=1, optimizer="sgd")


# Who trains which weight


def names_of(network: nn.Module, weights: list[nn.Parameter]) -> set[str]:
    wanted = {id(weight) for weight in weights}
    return {name for name, weight in network.named_parameters() if id(weight) in wanted}


@pytest.mark.parametrize("outputs", [1, 256])
def test_the_hidden_weights_of_the_unet_lie_between_its_first_and_its_last_layer(outputs):
    network = UNet(UNetConfig(channels=(8, 16), num_classes=3), outputs)
    hidden = names_of(network, hidden_weights_of(network))
    matrices_there = {name for name, weight in network.named_parameters() if weight.ndim > 1}
    outside = {name for name in matrices_there - hidden if "modulate" not in name}
    assert {name.split(".")[0] for name in outside} <= {
        "embed_step",
        "embed_class",
        "first",
        "last",
        "widen",
    }
    assert {name.split(".")[0] for name in hidden} == {
        "down",
        "middle_in",
        "attention",
        "middle_out",
        "up",
    }
    assert not any("modulate" in name for name in hidden)


def test_the_hidden_weights_of_the_transformer_are_six_matrices_of_each_block():
    network = TransformerConfig(width=32, blocks=2, num_classes=3).build(256)
    matrices = ["query", "key", "value", "output", "alone.0", "alone.2"]
    expected = {f"blocks.{block}.{name}.weight" for block in range(2) for name in matrices}
    assert names_of(network, hidden_weights_of(network)) == expected


def test_hidden_weights_are_seen_through_a_wrapper_and_a_network_may_have_none():
    network = UNet(UNetConfig(channels=(8,)))
    found = hidden_weights_of(nn.DataParallel(network))
    assert names_of(network, found) == names_of(network, network.hidden_weights())
    assert hidden_weights_of(nn.Linear(2, 2)) == []


def test_a_network_that_names_a_vector_is_told_so():
    class Wrong(nn.Linear):
        def hidden_weights(self):
            return [self.bias]

    with pytest.raises(ValueError, match=r"hidden_weights\(\) of Wrong names one of shape \(3,\)"):
        hidden_weights_of(Wrong(2, 3))


@pytest.mark.parametrize(
    ("word", "hidden", "others", "kinds"),
    [
        ("muon", True, True, {Muon: 10.0, torch.optim.AdamW: 1.0}),
        ("muon", True, False, {Muon: 10.0}),
        ("muon", False, True, {torch.optim.AdamW: 1.0}),
        ("adamw", True, True, {torch.optim.AdamW: 1.0}),
    ],
)
def test_each_weight_has_one_optimiser_with_its_rate(word, hidden, others, kinds):
    inside = [nn.Parameter(torch.zeros(2, 2))] if hidden else []
    rest = [nn.Parameter(torch.zeros(2))] if others else []
    optimizers = OPTIMIZERS[word](inside, rest, 0.5)
    assert MUON_RATE == 10
    assert {type(each): each.param_groups[0]["lr"] / 0.5 for each in optimizers} == kinds
    trained_weights = [p for each in optimizers for p in each.param_groups[0]["params"]]
    assert {id(p) for p in trained_weights} == {id(p) for p in (*inside, *rest)}
    assert len(trained_weights) == len(inside) + len(rest)
