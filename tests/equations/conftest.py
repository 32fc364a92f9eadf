"""Checks of the numbered equations: a claim compares its two sides and keeps what it found.

A marker names the equation, and holds the fingerprint of the LaTeX that its check was written for.

What they measured stands in measured.json, from which the book's page of checked equations is
written: `make equations` measures anew. In every other run the figures must be the same again.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from chapters import numbered_equations
from latex import evaluate, sides, tokens
from torch import Tensor

EXACT = 1e-10  # relative, in float64
STANDARD_ERRORS = 4
MEASURED = Path(__file__).parent / "measured.json"
FOUND: pytest.StashKey[dict[str, dict[str, object]]] = pytest.StashKey()


class Claim:
    """What one check compared. `findings` is one record for each comparison."""

    def __init__(self, latex: str) -> None:
        self.symbols = tokens(latex)
        self.evaluated: list[slice] = []  # the sides that the check has taken from the LaTeX
        self.given: set[str] = set()  # the parts of them whose values it has given
        self.findings: list[dict[str, object]] = []

    def printed(
        self,
        pieces: dict[str, Any] | None = None,
        /,
        *,
        clause: int = 0,
        side: int = -1,
        **values: Any,
    ) -> Tensor:
        """A side of the equation as the book prints it, evaluated: see latex.py.

        Counted from 0: `side` among what relations such as = separate, and `clause` among what
        commas do.
        """
        where = sides(self.symbols)[clause][side]
        if where not in self.evaluated:
            self.evaluated.append(where)
        self.given |= set(pieces or {})
        return evaluate(self.symbols[where], pieces or {}, values)

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
    config.addinivalue_line(
        "markers", "equation(label, latex, code): checks that equation of the book"
    )
    config.stash[FOUND] = {}


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--measure") and exitstatus == 0:
        text = json.dumps(session.config.stash[FOUND], indent=1)
        MEASURED.write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def claim(request: pytest.FixtureRequest):
    """Compares the two sides of the equation that the test's marker names."""
    (label,) = request.node.get_closest_marker("equation").args
    made = Claim(numbered_equations()[label].latex)
    yield made
    assert made.findings, "the check compared nothing"
    if request.config.getoption("--measure"):
        request.config.stash[FOUND][label] = {
            "file": request.path.name,
            "test": request.node.name,
            "read": "nothing" if not made.evaluated else "structure" if made.given else "formula",
            "findings": made.findings,
        }
    else:
        recorded = json.loads(MEASURED.read_text(encoding="utf-8"))[label]["findings"]
        assert [_what_must_stay(finding) for finding in made.findings] == [
            _what_must_stay(finding) for finding in recorded
        ], "the book prints other figures: run make equations"


def _what_must_stay(finding: dict[str, object]) -> dict[str, object]:
    """A finding without what rounding decides, which another processor may do otherwise."""
    return {
        name: f"{value:.4g}" if isinstance(value, float) else value
        for name, value in finding.items()
        if name != "error"
    }
