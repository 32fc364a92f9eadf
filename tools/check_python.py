"""Say what stands in the way of installing, before pip does: `make` runs it with the PYTHON given.

It runs on old versions of Python too, so that they can be told that they are old.
"""
# ruff: noqa: UP031

import os
import platform
import shutil
import sys

GPU_SPACE, CPU_SPACE = 8, 3  # GB that a new installation takes
MORE = "See README.md, Other ways in"


def obstacle(version, system, machine, release, parts, free, cpu):
    # type: (tuple, str, str, str, bool, float, bool) -> str
    """What to do about the first obstacle; empty if there is none.

    `release` is that of macOS, `parts` whether Python can make environments, `free` is in GB.
    """
    if version < (3, 11):
        return (
            "this is Python %d.%d, and 3.11 or newer is needed. Name another one, as in "
            "make book PYTHON=python3.12. %s"
        ) % (version[0], version[1], MORE)
    if not parts:
        return "this Python lacks venv. On Debian and Ubuntu: sudo apt install python3-venv"
    if system == "Darwin" and machine == "x86_64":
        return "there is no PyTorch for a Mac with an Intel processor any more. %s" % MORE
    if system == "Darwin" and int(release.split(".")[0]) < 14:
        return "PyTorch needs macOS 14 or newer, and this is %s. %s" % (release, MORE)
    gpu = system == "Linux" and not cpu  # elsewhere the libraries for GPUs do not come along
    if free < (GPU_SPACE if gpu else CPU_SPACE):
        space = "%.1f GB are free here, and about %d are needed" % (
            free,
            GPU_SPACE if gpu else CPU_SPACE,
        )
        return space + (": make book TORCH=cpu takes %d" % CPU_SPACE if gpu else "")
    return ""


def main(cpu):
    # type: (bool) -> None
    """Raise SystemExit with what to do, if there is something to do."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        parts = False
    else:
        parts = True
    free = float("inf")
    if sys.version_info >= (3, 11) and not os.path.exists(".venv"):
        free = shutil.disk_usage(".").free / 1e9
    said = obstacle(
        sys.version_info[:2],
        platform.system(),
        platform.machine(),
        platform.mac_ver()[0],
        parts,
        free,
        cpu,
    )
    if said:
        sys.exit("%s: %s" % (sys.executable, said))


if __name__ == "__main__":
    main("cpu" in sys.argv[1:])
