"""The untrusted half of the grader: runs a student's cells, and calls their functions when asked.

Started by sandbox.py in a process of its own. It speaks JSON lines over two pipes, and nothing it
says is believed but as an answer. The order of things matters: the limits of the file system are
set before the first line of the student runs.
"""

import ast
import base64
import contextlib
import ctypes
import io
import json
import os
import resource
import struct
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves it out


def restrict_files(readable: list[str], writable: list[str]) -> None:
    """Landlock: from here on this process and its children see only these folders.

    Needs Linux 5.13 or later, and does nothing elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return
    create, add, restrict = 444, 445, 446  # the numbers of the system calls
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return
    everything = (1 << 13) - 1
    if version >= 2:
        everything |= 1 << 13  # moving a file between folders
    if version >= 3:
        everything |= 1 << 14  # cutting a file short
    read = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
    on_a_file = 1 << 0 | 1 << 1 | 1 << 2
    rules = struct.pack("QQ", everything, 3 if version >= 4 else 0)  # 3: no TCP, neither way
    size = ctypes.c_size_t(16 if version >= 4 else 8)
    handle = libc.syscall(create, rules, size, ctypes.c_uint32(0))
    for paths, access in ((readable, read), (writable, everything)):
        for path in paths:
            with contextlib.suppress(OSError):
                folder = os.open(path, os.O_PATH)
                allowed = access if os.path.isdir(path) else access & on_a_file
                rule = struct.pack("=Qi", allowed, folder)
                libc.syscall(add, handle, ctypes.c_int(1), rule, ctypes.c_uint32(0))
                os.close(folder)
    no_new_privileges = 38
    libc.prctl(no_new_privileges, 1, 0, 0, 0)
    libc.syscall(restrict, handle, ctypes.c_uint32(0))
    os.close(handle)


def close_off(folder: str, size: int) -> None:
    """In this process's own mount namespace: all read-only, but `folder`, which is in memory.

    Landlock does not stop chmod or utime, nor limit how much is written. Needs CAP_SYS_ADMIN there,
    and does nothing without it.
    """
    if not sys.platform.startswith("linux") or os.getpid() != 1:  # not in namespaces of its own
        return
    libc = ctypes.CDLL(None, use_errno=True)
    files = (path for path in Path(folder).iterdir() if path.is_file())
    kept = {path.name: path.read_bytes() for path in files}
    read_only = struct.pack("QQQQ", 1, 0, 0, 0)
    everywhere, here, mount_setattr = 0x8000, -100, 442
    if libc.syscall(mount_setattr, here, b"/", everywhere, read_only, ctypes.c_size_t(32)) != 0:
        return
    options = f"size={size},nr_inodes=10000,mode=700".encode()
    if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 2 | 4, options) != 0:  # nosuid, nodev
        return
    os.chdir(folder)
    for name, content in kept.items():
        Path(name).write_bytes(content)


def drop_powers() -> None:
    """Give up all capabilities, in the namespace or (as root) outside it."""
    if sys.platform.startswith("linux"):
        header, none = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
        ctypes.CDLL(None).capset(header, none)


def run_cell(source: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Execute a cell as a notebook would: the last value as text, the open figures as PNG.

    Lines that are not Python (%magic, !shell) end in an error, as they should.
    """
    body = ast.parse(source).body
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        body.pop()
    exec(compile(ast.Module(body, []), "<cell>", "exec"), namespace)
    text = None
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
        text = None if value is None else repr(value)[:10_000]
    return {"text": text, "figures": figures()}


def figures() -> list[str]:
    """All open figures as PNG in base64; they are closed."""
    if "matplotlib.pyplot" not in sys.modules:
        return []
    pyplot = import_module("matplotlib.pyplot")
    found = []
    for number in pyplot.get_fignums()[:10]:
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, dpi=80)
        found.append(base64.b64encode(content.getvalue()).decode())
    pyplot.close("all")
    return found


def answer(request: dict[str, Any], link: Any, namespace: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked. Whatever the student's code raises, SystemExit too, is an answer."""
    try:
        if request["do"] == "run":
            return {"value": link.encode(run_cell(request["source"], namespace))}
        function = link.resolve(request["function"], namespace)
        arguments, keywords = link.decode(request["arguments"]), link.decode(request["keywords"])
        if request["do"] == "gradient":
            arguments = [function, *arguments]
            function = import_module("ddpm_tutorial.coursework").gradient
        return {"value": link.encode(function(*arguments, **keywords))}
    except BaseException as error:
        return {"error": type(error).__name__, "message": str(error)[:2000]}


def main() -> None:
    """Answer requests until the pipe closes."""
    settings = json.loads(sys.argv[1])
    sys.path.insert(0, settings["package"])
    import torch  # before the limits: they would hide where it lies
    import wire

    import_module("ddpm_tutorial")
    torch.set_num_threads(1)
    close_off(settings["writable"][0], settings["folder_size"])
    for limit, most in (
        (resource.RLIMIT_AS, settings["memory"]),
        (resource.RLIMIT_FSIZE, settings["file_size"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, settings["processes"]),
    ):
        with contextlib.suppress(ValueError, OSError):  # not every system keeps every limit
            resource.setrlimit(limit, (most, most))
    restrict_files(settings["readable"], settings["writable"])
    drop_powers()
    link = wire.Wire(os.fdopen(settings["requests"], "rb"), os.fdopen(settings["replies"], "wb"))
    link.send({"ready": True})

    namespace = types.ModuleType("__main__").__dict__
    while True:
        try:
            request = link.receive()
        except EOFError:
            return
        reply = answer(request, link, namespace)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # the student may have closed or replaced it
                stream.flush()
        link.send(reply)


if __name__ == "__main__":
    main()
