"""What the tests of an assignment's layers look at."""

import pytest
import torch

from ddpm_tutorial.coursework import Known, WatchedLayer, examine
from ddpm_tutorial.coursework_values import Wrong

X = torch.tensor([[1.0, -2.0, 0.5]])


def twice(x):
    return 2 * x


def test_a_layer_is_called_once_with_the_right_shape_and_is_a_constant_for_gradients():
    layer = WatchedLayer(torch.tanh, (1, 3))
    examine(lambda x, f: x + f(x), (X, layer), X + X.tanh(), gradients=[0])
    for wrong, message in [
        (lambda x, f: x + f(x[0]), r"with the shape \(3,\), and \(1, 3\) is right"),
        (lambda x, f: x + (f(x) + f(x)) / 2, "called 2 times, and once is right"),
        (lambda x, f: x + x.tanh(), "called 0 times"),
    ]:
        with pytest.raises(Wrong, match=message):
            examine(wrong, (X, layer), X + X.tanh())


def test_a_shape_in_the_place_of_the_answer_lets_any_numbers_pass():
    examine(twice, [X], torch.Size((1, 3)), gradients=[0])
    with pytest.raises(Wrong, match="has shape"):
        examine(twice, [X], torch.Size((1, 4)))
    with pytest.raises(Wrong, match="only a part of the gradient"):
        examine(lambda x: x + x.detach(), [X], torch.Size((1, 3)), gradients=[0])


def test_the_mistakes_of_a_test_are_named():
    with pytest.raises(Wrong) as caught:
        examine(lambda x: 3 * x, [X], Known(2 * X, {"thrice": 3 * X}))
    assert caught.value.hint == "thrice"


@pytest.mark.parametrize("start", [0.1, 3.0])
def test_what_makes_numbers_of_single_precision_is_examined_in_it(start):
    def layer(x):
        return (x @ torch.linspace(start, 1, 9).reshape(3, 3)).cos()

    with pytest.raises(Wrong, match="RuntimeError"):
        examine(layer, [X], layer(X), gradients=[0])
    examine(layer, [X], layer(X), gradients=[0], dtype=torch.float32)
    with pytest.raises(Wrong, match="only a part of the gradient"):
        examine(
            lambda x: layer(x) + layer(x.detach()),
            [X],
            2 * layer(X),
            gradients=[0],
            dtype=torch.float32,
        )
