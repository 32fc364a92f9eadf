"""Checks of the numbered equations: a claim compares its two sides and keeps what it found."""

import math

import pytest
import torch
from torch import Tensor

EXACT = 1e-10  # relative, in float64
STANDARD_ERRORS = 4


class Claim:
    """What one check compared. `findings` is one record for each comparison."""

    def __init__(self) -> None:
        self.findings: list[dict[str, object]] = []

    def equal(self, left: Tensor, right: Tensor) -> None:
        """Both sides agree in every entry, to 1e-10 of the larger."""
        left, right = torch.broadcast_tensors(*(torch.as_tensor(s) for s in (left, right)))
        assert left.dtype == right.dtype == torch.float64
        assert left.isfinite().all()
        assert right.isfinite().all()
        size = torch.maximum(left.abs(), right.abs())
        error = float(((left - right).abs() / size.clamp(min=1e-300)).max())
        assert error <= EXACT, f"the two sides differ by {error:.1e} of their size"
        self.findings.append({"kind": "exact", "entries": left.numel(), "error": error})

    def mean(self, draws: Tensor, expected: Tensor) -> None:
        """The mean of draws (N, ...) agrees with `expected` within 4 standard errors."""
        estimate = draws.mean(0)
        standard_error = draws.std(0) / math.sqrt(len(draws))
        distance = ((estimate - expected).abs() / standard_error).flatten()
        worst = int(distance.argmax())
        assert distance.isfinite().all()
        assert distance[worst] <= STANDARD_ERRORS, f"{distance[worst]:.1f} standard errors apart"
        self.findings.append(
            {
                "kind": "sampled",
                "draws": len(draws),
                "estimate": float(estimate.flatten()[worst]),
                "standard_error": float(standard_error.flatten()[worst]),
                "expected": float(torch.as_tensor(expected).expand_as(estimate).flatten()[worst]),
            }
        )

    def at_least(self, larger: Tensor, smaller: Tensor) -> None:
        """`larger` exceeds `smaller` in every entry."""
        margin = float((larger - smaller).min())
        assert margin > 0, f"the larger side is the smaller by {-margin:.1e}"
        self.findings.append({"kind": "inequality", "margin": margin})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "equation(label, code): checks that equation of the book")


@pytest.fixture
def claim():
    """Compares the two sides of the equation that the test's marker names."""
    found = Claim()
    yield found
    assert found.findings, "the check compared nothing"
