import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial.errors import check_finite, check_seed

BAD = [math.nan, math.inf, -math.inf]
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=20), st.data())
def test_one_value_that_is_not_finite_is_found_wherever_it_stands(values, data):
    tensor = torch.tensor(values)
    check_finite("pixels", tensor)
    tensor[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.sampled_from(BAD))
    with pytest.raises(ValueError, match=rf"pixels: 1 of {len(values)} values are not finite"):
        check_finite("pixels", tensor)


def test_integers_and_tensors_without_values_pass():
    check_finite("bytes", torch.arange(3, dtype=torch.uint8))
    check_finite("nothing", torch.empty(0))
    check_finite("meta", torch.full((2,), math.nan, device="meta"))


@given(st.integers(0, 2**64 - 1))
def test_a_seed_that_is_allowed_starts_a_generator(seed):
    check_seed(seed)
    torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [-1, 2**64, 2**64 + 5])
def test_a_seed_that_torch_cannot_take_is_refused(seed):
    with pytest.raises(ValueError, match=rf"seed = {seed}: choose 0\.\.2\^64 - 1"):
        check_seed(seed)
