"""Settings shared by all tests: reproducible examples, one thread."""

import hypothesis
import pytest
import torch

# The same examples in every run: a failure is a change in the code, not luck.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None)
hypothesis.settings.load_profile("reproducible")
torch.set_num_threads(1)  # the networks here are too small to share


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help="write what the equations' checks find")
