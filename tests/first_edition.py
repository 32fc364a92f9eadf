"""Checkpoint files as the first edition of the package wrote them, byte by byte."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

AS_IT_TRAINED = ["--optimizer", "adamw", "--no-stratified"]


def write(
    path: Path, config: dict[str, Any], details: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    """Write a file with that header and those tensors; its checksum is that of both."""
    header = {"config": json.dumps(config), "details": json.dumps(details)}
    digest = hashlib.sha256(f"{header['config']}\n{header['details']}\n".encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    header["sha256"] = digest.hexdigest()
    safetensors.torch.save_file(tensors, path, metadata=header)


def header_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and details as they stand in a file."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    return json.loads(header["config"]), json.loads(header["details"])


def names_in(path: Path) -> set[str]:
    """The names of the tensors in a file."""
    return set(safetensors.torch.load_file(path))


def turn_back(path: Path) -> None:
    """Put in the place of a file of today what the first edition would have written.

    It knew one network, which held what its output meant; one optimiser, AdamW, and one way to
    draw t, each alone; and it did not note the training data.
    """
    config, details = header_of(path)
    network, predicts = config["network"], config["parameterisation"]
    assert network.pop("name") == "unet"
    unet = {
        **network,
        "learned_variance": config["reverse_variance"] == "learned",
        "levels": predicts == "levels",
    }
    config = {
        "schedule": config["schedule"],
        "T": config["T"],
        "predicts": predicts,
        "unet": unet,
        "min_snr": config["min_snr"],
    }
    details.pop("data", None)
    for name in ("optimizer", "stratified"):
        details.get("settings", {}).pop(name, None)
    tensors = {
        name.replace("network.widen.", "network.weigh_levels."): value
        for name, value in safetensors.torch.load_file(path).items()
    }
    write(path, config, details, tensors)
