"""The device to compute on, and the other processes of a run, if `accelerate launch` started it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from ddpm_tutorial.errors import TutorialError

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "any_process",
    "has_fast_bfloat16",
    "in_all_processes",
    "leave_processes",
    "make_accelerator",
]

_Thing = TypeVar("_Thing")


def make_accelerator() -> "Accelerator":
    """CUDA, then MPS, then CPU, with bfloat16 autocast where the hardware is fast at it.

    Started by `accelerate launch`, it joins the other processes. If the program already made an
    Accelerator, its precision holds: Accelerate knows one in a process.
    """
    # Here, and not above: who only computes or looks at pictures need not wait for it.
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    if is_initialized():
        return Accelerator()
    return Accelerator(mixed_precision="bf16" if has_fast_bfloat16() else "no")


def has_fast_bfloat16() -> bool:
    """Whether matrix products in bfloat16 have their own instructions on the device in use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    if torch.backends.mps.is_available():
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # an older release: float32 is always right
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def in_all_processes(
    action: Callable[[], _Thing], name_of: Callable[[_Thing], object] = lambda _: None
) -> _Thing:
    """What `action()` gives, once it has succeeded in every process, with the same `name_of` it.

    An error in one process is an error in all, or the others would wait for it for ever. Raises
    TutorialError that says which process failed, or what each has found; the process that failed
    raises its own error.
    """
    from accelerate.utils import gather_object

    try:
        result, failure = action(), None
        mine = (True, str(name_of(result)))
    except Exception as error:
        failure, mine = error, (False, str(error))
    found: list[tuple[bool, str]] = gather_object([mine])
    if failure is not None:
        raise failure
    for process, (succeeded, words) in enumerate(found):
        if not succeeded:
            raise TutorialError(f"process {process} of this run failed: {words}")
    if len(set(found)) > 1:
        listed = "; ".join(f"process {index}: {words}" for index, (_, words) in enumerate(found))
        raise TutorialError(f"the processes of this run differ in what they found: {listed}")
    return result


def leave_processes() -> None:
    """Take leave of the other processes of the run, if there are any, however a program ends.

    One that ended without it would now and then abort, while they did the same.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def any_process(accelerator: "Accelerator", here: bool) -> bool:
    """Whether `here` is true in any process of the run: all get the same answer, at once."""
    if accelerator.num_processes == 1:
        return here
    said = torch.tensor(float(here), device=accelerator.device)
    return bool(accelerator.reduce(said, "sum"))
