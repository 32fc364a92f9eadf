"""Settings shared by all tests: reproducible examples, one thread, a new Accelerator for each."""

from collections.abc import Iterator

import hypothesis
import pytest
import torch
from accelerate.state import AcceleratorState

# The same examples in every run: a failure is a change in the code, not luck.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None)
hypothesis.settings.load_profile("reproducible")
torch.set_num_threads(1)  # the networks here are too small to share


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help="write what the equations' checks find")


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps the first precision of a process for good; here every test has its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
