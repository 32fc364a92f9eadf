"""Weights and training states as safetensors files: read without executing code."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ddpm_tutorial.errors import TutorialError, check_choice, check_finite
from ddpm_tutorial.io.files import ASSETS, check_name, shortened, write_atomically
from ddpm_tutorial.models.classifier import DigitClassifier
from ddpm_tutorial.models.config import DDPMConfig
from ddpm_tutorial.models.ddpm import DDPM

__all__ = [
    "PRETRAINED",
    "STUDENTS",
    "Checkpoint",
    "load_checkpoint",
    "load_classifier",
    "load_model",
    "load_pretrained",
    "model_of",
    "pretrained_path",
    "save_checkpoint",
    "save_model",
]

PRETRAINED = ("mnist", "mnist-bound", "mnist-labels")  #: names of the models that ship
STUDENTS = ("mnist-one-step",)  #: names of the students that ship


class Checkpoint(NamedTuple):
    """What a checkpoint file holds: the model's configuration, named tensors, and JSON details.

    The digit classifier has no configuration: None.
    """

    config: DDPMConfig | None
    tensors: dict[str, Tensor]
    details: dict[str, Any]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically.

    Raises TutorialError where the disk will not take it, and ValueError for a tensor with values
    that are not finite or details that are no plain values: what was there before is then intact.
    """
    tensors = {name: value.contiguous() for name, value in checkpoint.tensors.items()}
    for name, value in tensors.items():
        check_finite(name, value)
    config = checkpoint.config and checkpoint.config.as_plain_values()
    try:
        header = {
            "config": json.dumps(config, allow_nan=False),
            "details": json.dumps(checkpoint.details, allow_nan=False),
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"configuration and details must be plain values, finite: {error}"
        ) from None
    header["sha256"] = _digest(tensors, header)
    write_atomically(Path(path), safetensors.torch.save(tensors, metadata=header))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises TutorialError that names the file where it is missing, cannot be read, is truncated,
    changed since it was written, holds values that are not finite, or is not one of ours.
    """
    path = Path(path)
    check_name(path)
    try:
        if path.is_dir():
            raise TutorialError(f"{path} is a folder: name a file in it, such as model.safetensors")
        if not path.is_file():
            raise TutorialError(
                f"{shortened(path)} does not exist: name a checkpoint that train wrote"
            )
        with open(path, "rb"):  # safetensors does not tell a file that it may not read from others
            pass
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise TutorialError(
            f"{path} is damaged or no safetensors file ({error}): copy it again, or train anew"
        ) from None
    except OSError as error:
        raise TutorialError(
            f"cannot read {shortened(path)}: {error.strerror or error}. Ask for the right to read "
            f"it, or name another file"
        ) from None
    if not {"config", "details", "sha256"} <= header.keys():
        raise TutorialError(f"{path} was not written by ddpm_tutorial: its header has no config")
    if header["sha256"] != _digest(tensors, header):
        raise TutorialError(
            f"{path} is damaged: its checksum does not match its content. Copy it again, or train "
            f"anew"
        )
    for name, value in tensors.items():
        try:
            check_finite(name, value)
        except ValueError as error:
            raise TutorialError(f"{path} is of no use: {error}") from None
    try:
        fields = json.loads(header["config"])
        if fields is None:
            return Checkpoint(None, tensors, json.loads(header["details"]))
        if "unet" in fields:
            fields, tensors = _from_first_edition(fields, tensors)
        config = DDPMConfig.from_plain_values(fields)
        return Checkpoint(config, tensors, json.loads(header["details"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TutorialError(
            f"{path} holds a configuration that this version cannot read: {error}"
        ) from None


def save_model(path: str | Path, model: DDPM, config: DDPMConfig, details: dict[str, Any]) -> None:
    """Write the weights of `model`, which `config` can build again, for `load_model`.

    Raises ValueError where `config` builds another model, and as `save_checkpoint`.
    """
    with warnings.catch_warnings(action="ignore"):  # who built the model has been warned
        built = _build(config)
    for name, ours, theirs in (
        ("schedule", model.schedule.beta.tolist(), built.schedule.beta.tolist()),
        ("parameterisation", type(model.parameterisation), type(built.parameterisation)),
        ("reverse variance", type(model.reverse_variance), type(built.reverse_variance)),
        ("shape", model.shape, built.shape),
        ("min_snr", model.min_snr, built.min_snr),
        ("network", _shapes(model), _shapes(built)),
    ):
        if ours != theirs:
            raise ValueError(
                f"the {name} of the model is not the one that the configuration builds, so what is "
                f"saved would come back as another model: give the configuration that built it, "
                f"and of a network that something wraps, what is inside"
            )
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    save_checkpoint(path, Checkpoint(config, tensors, details))


def load_model(path: str | Path) -> DDPM:
    """Build the model that a checkpoint describes, in eval mode, on the CPU.

    Raises TutorialError as `load_checkpoint` and `model_of`.
    """
    return model_of(load_checkpoint(path), path)


def model_of(checkpoint: Checkpoint, path: str | Path) -> DDPM:
    """Build the model of a checkpoint, in eval mode, on the CPU; `path` is its name in messages.

    Raises TutorialError where it holds none, or weights that do not fit the configuration.
    """
    if checkpoint.config is None:
        raise TutorialError(f"{path} holds no diffusion model: name a model.safetensors")
    model = _build(checkpoint.config)
    wanted, found = model.state_dict().keys(), checkpoint.tensors.keys()
    if wanted != found:
        raise TutorialError(
            f"{path} does not fit its own configuration: {len(wanted - found)} tensors are missing "
            f"and {len(found - wanted)} are not known. Name a model.safetensors that train wrote; "
            f"a state.safetensors serves to --resume only"
        )
    try:
        model.load_state_dict(checkpoint.tensors)
    except RuntimeError as error:
        raise TutorialError(
            f"{path} does not fit its own configuration: {str(error).splitlines()[-1].strip()}"
        ) from None
    return model.eval().requires_grad_(False)


def load_pretrained(name: str = "mnist") -> DDPM:
    """A model that ships with the package, in eval mode, on the CPU.

    "mnist" is the unconditional model that the book samples from, "mnist-bound" the one trained
    for the bound, "mnist-labels" the one that is told which digit to draw, and "mnist-one-step" its
    student, which draws in one step. Raises ValueError for a name that is not there.
    """
    return load_model(pretrained_path(name))


def pretrained_path(name: str) -> Path:
    """The file of a model that ships. Raises ValueError for a name that is not there."""
    check_choice("name", name, (*PRETRAINED, *STUDENTS))
    return ASSETS / f"{name}.safetensors"


def load_classifier() -> DigitClassifier:
    """The digit classifier that ships with the package, in eval mode, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        classifier = DigitClassifier()
    classifier.load_state_dict(load_checkpoint(ASSETS / "classifier.safetensors").tensors)
    return classifier.eval().requires_grad_(False)


def _build(config: DDPMConfig) -> DDPM:
    """The model of a configuration; the initial weights that it draws leave no trace."""
    with torch.random.fork_rng(devices=[]):
        return config.build()


def _shapes(model: DDPM) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}


def _from_first_edition(
    fields: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A configuration and tensors as the first edition wrote them, in today's words.

    There the network knew what its output meant.
    """
    network = {"name": "unet"} | fields.pop("unet")
    levels, learned = network.pop("levels", False), network.pop("learned_variance", False)
    fields["parameterisation"] = fields.pop("predicts")
    fields["reverse_variance"] = "matched" if levels else "learned" if learned else "small"
    renamed = {name.replace("weigh_levels", "widen"): value for name, value in tensors.items()}
    return fields | {"network": network}, renamed


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 over configuration and details, and each tensor's name, type, shape and values."""
    digest = hashlib.sha256(f"{header['config']}\n{header['details']}\n".encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
