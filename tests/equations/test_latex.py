r"""The reader of LaTeX: what it understands, and that it refuses the rest."""

import math

import pytest
import torch
from latex import changes, evaluate, sides, tokens

TABLE = torch.tensor([1.0, 0.9, 0.7, 0.4], dtype=torch.float64)


def value(latex, pieces=None, **values):
    return evaluate(tokens(latex), pieces or {}, values)


@pytest.mark.parametrize(
    ("latex", "values", "expected"),
    [
        (r"-a^2 b + \tfrac12 c", {"a": 3, "b": 2, "c": 8}, -14),
        (r"\frac aB + \frac{a + 1}{2 B}", {"a": 3, "B": 4}, 1.25),
        (r"1/A + a / b\,c", {"A": 4, "a": 6, "b": 3, "c": 5}, 10.25),
        (r"2\sqrt{a}\,(b - 1)", {"a": 9, "b": 3}, 12),
        (r"\frac12 \ln\frac{a}{b}\,\Big(1 - c\Big)", {"a": 4, "b": 2, "c": 3}, -math.log(2)),
        (r"\ln 256 + \ln \sigma^2", {"sigma": 2}, math.log(1024)),
        (r"e^{-h} \pi e", {"h": 2}, math.pi / math.e),
        (r"\bar\alpha_{t-1} - \bar{\alpha}_t", {"alpha_bar": TABLE, "t": 2}, 0.2),
        (r"\mathrm{SNR}(t-1)\,(t + 1)", {"SNR": TABLE, "t": 3}, 2.8),
        (r"\hat{\mathbf{x}}_0 - x_t + \mathbf{D}'", {"x0_hat": 5, "x_t": 1, "D_prime": 2}, 6),
        (r"F_\text{data}\,C_\text{in}", {"F": 7, "F_data": 3, "C_in": 2}, 6),
        (r"\sum_{s=1}^{t} a_s \prod_{i=s+1}^{t} b + 1", {"a": [0, 2, 3], "b": 5, "t": 2}, 14),
        (r"\sum_i m_{1,i} - 1", {"m": {(1, 0): 4, (1, 1): 6}, "i": range(2)}, 9),
        (r"\frac{n!\;9!}{(n+9)!}", {"n": 2}, 1 / 55),
        (r"\min(a, 3)\,2", {"a": 5}, 6),
        (r"\frac12 \| \mathbf{a} - \mathbf{b} \|^2", {"a": torch.tensor([3.0, 4]), "b": 0}, 12.5),
        (r"\mathcal{N}(x; m, V)", {"x": 1, "m": 1, "V": 4}, 1 / math.sqrt(8 * math.pi)),
        (
            r"\underbrace{a}_{\text{one}}\ \underbrace{-\ b c}_{\text{two}}",
            {"a": 1, "b": 2, "c": 3},
            -5,
        ),
    ],
)
def test_expressions(latex, values, expected):
    assert float(value(latex, **values)) == pytest.approx(expected, rel=1e-12)


def test_pieces():
    average = r"\mathbb{E}\big[x_0 \mid x_t\big]"
    assert value(r"2\,\mathbb{E}[x_0 \mid x_t] - 1", {average: 4}) == 7
    assert value(r"\sum_{t=1}^{3} D(t)", {"D(t)": lambda t: t}) == 6


@pytest.mark.parametrize(
    ("latex", "pieces", "error"),
    [
        (r"a \mid b", {}, KeyError),
        ("a + c", {}, KeyError),
        ("a)", {}, ValueError),
        (r"\frac{a}{b", {}, ValueError),
        ("a +", {}, ValueError),
        ("a", {"b": 1}, ValueError),
    ],
)
def test_what_is_not_understood_is_refused(latex, pieces, error):
    with pytest.raises(error):
        value(latex, pieces, a=1, b=2)


def test_sides_and_clauses():
    symbols = tokens(r"f(a, b) = a \le b , \qquad a = \frac{b,c}{2} .")
    parts = [["".join(symbols[side]) for side in clause] for clause in sides(symbols)]
    assert parts == [["f(a,b)", "a", "b"], ["a", r"\frac{b,c}2"]]


def test_mistakes():
    symbols = tokens(r"\mu = \tfrac12 \sqrt{a_{t-1}} - b_t^2")
    ((_, side),) = sides(symbols)
    made = {"".join(changed) for _, changed in changes(symbols, side)}
    assert made == {
        r"\mu=2(\frac12\sqrt{a_{t-1}}-b_t^2)",
        r"\mu=-(\frac12\sqrt{a_{t-1}}-b_t^2)",
        r"\mu=\sqrt{a_{t-1}}-b_t^2",
        r"\mu=\frac12{a_{t-1}}-b_t^2",
        r"\mu=\frac12\sqrt{a_{t}}-b_t^2",
        r"\mu=\frac12\sqrt{a_{t-1}}+b_t^2",
        r"\mu=\frac12\sqrt{a_{t-1}}-b_{t-1}^2",
        r"\mu=\frac12\sqrt{a_{t-1}}-b_t",
    }
