"""What a figure was measured on: it stands beside every figure."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe_machine() -> dict[str, Any]:
    """Processor, accelerator, threads and versions, for a results file."""
    accelerator = "none"
    if torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        accelerator = "Apple GPU"
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() knows nothing on Linux
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
