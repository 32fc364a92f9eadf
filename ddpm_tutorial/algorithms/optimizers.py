"""How a gradient becomes a step: AdamW, or Muon for the matrices inside a network."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = [
    "MOMENTS",
    "MUON_RATE",
    "OPTIMIZERS",
    "Muon",
    "adamw",
    "muon",
    "orthogonalise",
]

_Parameters = list[torch.nn.Parameter]
#: The rate of Muon in a run whose learning rate, AdamW's, is 1.
MUON_RATE = 10.0

# Five times s -> a s + b s^3 + c s^5 takes singular values from 0.002 to 1 to 0.68 to 1.21.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(Optimizer):
    """Momentum, made orthogonal: every direction of a weight matrix moves at the same rate.

    For weights of two or more dimensions, each seen as a matrix (outputs, everything else). `lr`
    is the length of a step in each direction; matrices with more rows than columns take one longer
    by sqrt(rows / columns). Raises ValueError for a weight with fewer than two dimensions.
    Source: Jordan et al. (2024), with Nesterov momentum as there.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(
                        f"a weight of shape {tuple(parameter.shape)} is no matrix: give it to "
                        f"another optimiser, such as AdamW"
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step down the gradients."""
        for group in self.param_groups:
            # Matrices of one shape are made orthogonal together: a network has many of few shapes.
            of_shape: dict[tuple[int, ...], _Parameters] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_shape[tuple(parameter.shape)].append(parameter)
            for shape, parameters in of_shape.items():
                ahead = self._look_ahead(parameters, group["momentum"])
                directions = orthogonalise(ahead.flatten(2))
                rows, columns = directions.shape[1:]
                step = directions * (-group["lr"] * max(1, rows / columns) ** 0.5)
                torch._foreach_add_([*parameters], list(step.view(-1, *shape)))

    def _look_ahead(self, parameters: _Parameters, momentum: float) -> Tensor:
        """The gradients after Nesterov's momentum, of weights of one shape, (N, *shape)."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - momentum)
        return torch.stack(torch._foreach_lerp(gradients, momenta, momentum))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices (N, m, n) with the same singular vectors, and singular values near 1.

    For M = U S V^T the exact answer is U V^T. Five steps of a Newton-Schulz iteration come near
    enough to it: singular values from 1 down to 0.002 times the norm end up between 0.68 and
    1.21, smaller ones grow some five hundredfold, and a matrix of zeros stays one.
    Source: Jordan et al. (2024). They iterate on the matrices. As every step is a polynomial in
    M M^T times M, here these polynomials are multiplied, which are as small as the shorter side.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonalise(matrices.mT).mT
    a, b, c = _COEFFICIENTS
    # The squares of small singular values would drown in the rounding of half precision.
    precise = torch.promote_types(matrices.dtype, torch.float32)
    lengths = matrices.norm(dim=(-2, -1), keepdim=True, dtype=precise).clamp(min=1e-30)
    wide = matrices.to(precise) / lengths
    gram = wide @ wide.mT  # M M^T after the steps so far
    product = None  # of their polynomials
    for iteration in range(_ITERATIONS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if iteration + 1 < _ITERATIONS:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    result: Tensor = (product @ wide).to(matrices.dtype)
    return result


def adamw(hidden: _Parameters, others: _Parameters, learning_rate: float) -> list[Optimizer]:
    """AdamW for all weights, without decay (Loshchilov and Hutter, 2019)."""
    parameters = [*hidden, *others]
    return [
        torch.optim.AdamW(
            parameters,
            lr=learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=parameters[0].device.type in ("cpu", "cuda"),
        )
    ]


def muon(hidden: _Parameters, others: _Parameters, learning_rate: float) -> list[Optimizer]:
    """Muon for the matrices inside a network, at ten times the rate, and AdamW for the rest."""
    optimizers = adamw([], others, learning_rate) if others else []
    return [*optimizers, Muon(hidden, MUON_RATE * learning_rate)] if hidden else optimizers


#: The optimisers by their words: of hidden matrices, other parameters and the learning rate.
OPTIMIZERS: dict[str, Callable[[_Parameters, _Parameters, float], list[Optimizer]]] = {
    "muon": muon,
    "adamw": adamw,
}
#: What each keeps for a weight, of its shape.
MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
    Muon: ("momentum",),
}
