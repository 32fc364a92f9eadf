"""What the commands share: words for objects, and what a model needs to be told."""

import dataclasses
import io
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import torch
import tyro

from ddpm_tutorial.algorithms.sampling import SAMPLERS, Sampler
from ddpm_tutorial.errors import choose
from ddpm_tutorial.io.checkpoint import PRETRAINED, pretrained_path
from ddpm_tutorial.models.ddpm import DDPM


class Talk(io.TextIOBase):
    """The stream for bars and notices: where nobody can read it, the work goes on all the same."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream: tqdm draws its bar with the signs that it has."""
        return getattr(self._stream, "encoding", None) or "ascii"

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Written, or not."""
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushed, or not."""
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()


def one_of(words: Iterable[str]) -> Any:
    """Have an option take one of these words."""
    choices = tuple(words)
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(choices)}}}",
        choices=choices,
        instance_from_str=lambda given: given[0],
        is_instance=lambda value: value is None or value in choices,
        str_from_instance=lambda value: [str(value)],
    )


def path_named(checkpoint: str) -> Path:
    """Where the weights lie: a file, or those that ship, "pretrained" or "pretrained:NAME"."""
    word, _, name = checkpoint.partition(":")
    if word != "pretrained":
        return Path(checkpoint)
    return pretrained_path(name or PRETRAINED[0])


def with_options(word: str, **options: Any) -> Sampler:
    """The sampler of that name, with those of the options that are not None.

    Raises ValueError for an option that it does not have.
    """
    sampler: Any = choose("sampler", word, SAMPLERS)
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in {field.name for field in dataclasses.fields(sampler)}:
            shown = f'"{value}"' if isinstance(value, str) else value
            raise ValueError(f'{name} = {shown} goes with another sampler than "{word}"')
    chosen: Sampler = dataclasses.replace(sampler, **given)
    return chosen


def labels_for(model: DDPM, n: int, digit: int | None) -> torch.Tensor | None:
    """The label of each of n samples: `digit`, or 0..9 in turn; None for a model without labels.

    Where the model is.
    """
    classes = model.num_classes
    if digit is not None and not 0 <= digit < classes:
        raise ValueError(
            f"digit = {digit}: this model takes "
            + (f"0..{classes - 1}" if classes else "no digit, it was trained without labels")
        )
    if not classes:
        return None
    n = max(n, 0)  # who draws the samples refuses n < 1
    labels = torch.arange(n) % classes if digit is None else torch.full((n,), digit)
    return labels.to(next(model.parameters()).device)
