"""JSON lines between the grader and a student's process: plain values only, nothing executable."""

import base64
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

LONGEST = 64 * 2**20  # bytes in one message
TYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    )
}


def encode(value: Any, other: Callable[[Any], dict[str, Any]]) -> Any:
    """`value` as JSON; whatever is neither plain nor a tensor is left to `other`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        value = torch.as_tensor(np.asarray(value))
    if isinstance(value, Tensor):
        if value.is_complex():
            raise TypeError("a complex number is no answer")
        value = value.detach().cpu().contiguous()
        kind = str(value.dtype).removeprefix("torch.")
        if kind not in TYPES:
            value, kind = value.float(), "float32"
        content = base64.b64encode(value.numpy().tobytes()).decode()
        return {"tensor": kind, "shape": list(value.shape), "content": content}
    if isinstance(value, (list, tuple)):
        return {"list": [encode(entry, other) for entry in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, other), encode(v, other)] for k, v in value.items()]}
    return other(value)


def decode(message: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    """The value behind what `encode` made. Raises ValueError for anything else."""
    if not isinstance(message, dict):
        if message is None or isinstance(message, (bool, int, float, str)):
            return message
        raise ValueError("not a value")
    if "tensor" in message:
        dtype, shape = TYPES[message["tensor"]], [int(size) for size in message["shape"]]
        content = bytearray(base64.b64decode(message["content"]))
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return flat.reshape(shape)
    if "list" in message:
        return [decode(entry, other) for entry in message["list"]]
    if "dict" in message:
        return {decode(k, other): decode(v, other) for k, v in message["dict"]}
    return other(message)


class Wire:
    """The student's end. Objects that are not plain stay here and go by a number."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self.requests, self.replies = requests, replies
        self.kept: list[Any] = []
        self.namespace: dict[str, Any] = {}  # of the student's cells

    def send(self, message: dict[str, Any]) -> None:
        """Write one line."""
        self.replies.write(json.dumps(message).encode() + b"\n")
        self.replies.flush()

    def receive(self) -> dict[str, Any]:
        """Read one line. Raises EOFError where there is none left."""
        line = self.requests.readline()
        if not line:
            raise EOFError
        message: dict[str, Any] = json.loads(line)
        return message

    def encode(self, value: Any) -> Any:
        """As JSON; a network, say, is kept, and its number sent."""
        return encode(value, self._keep)

    def decode(self, message: Any) -> Any:
        """From JSON; a function of the grader's becomes one that asks it, a name what it names."""
        return decode(message, self._find)

    def resolve(self, function: dict[str, Any]) -> Any:
        """The object that a request names, or that was kept."""
        return self._find(function)

    def _keep(self, value: Any) -> dict[str, Any]:
        self.kept.append(value)
        return {"kept": len(self.kept) - 1, "type": type(value).__name__}

    def _find(self, message: dict[str, Any]) -> Any:
        if "kept" in message:
            return self.kept[message["kept"]]
        if "name" in message:
            if message["name"] not in self.namespace:
                raise NameError(f"{message['name']} is not defined")
            return self.namespace[message["name"]]
        number = message["callback"]

        def ask(*arguments: Any, **keywords: Any) -> Any:
            self.send(
                {
                    "callback": number,
                    "arguments": self.encode(list(arguments)),
                    "keywords": self.encode(keywords),
                }
            )
            reply = self.receive()
            if "failed" in reply:
                raise RuntimeError(reply["failed"])
            return self.decode(reply["value"])

        return ask
