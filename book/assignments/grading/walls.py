"""The walls that a process raises around itself before a student's code runs in it.

Used by worker.py, in the untrusted half; so it needs the standard library only. The wall around
these, a tree of files of its own, is raised from outside: see tree.py. Each function says whether
its wall stands.
"""

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any

# Calls that the work needs in no case, by their numbers on the two kinds of machine. Sockets reach
# whoever listens: the network, a virtual machine's host, an ssh agent, Docker. What files, queues
# and rules without a name hold counts as nobody's memory. The keys are the instructor's. The rest
# is for debuggers, or has a history of holes.
CALLS = {
    "x86_64": {
        **{"socket": 41, "socketpair": 53},
        **{"memfd_create": 319, "memfd_secret": 447},
        **{"landlock_create_ruleset": 444, "vmsplice": 278},
        **{"shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240},
        **{"add_key": 248, "request_key": 249, "keyctl": 250},
        **{"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311},
        **{"unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298},
        **{"userfaultfd": 323, "io_uring_setup": 425, "fanotify_init": 300},
    },
    "aarch64": {
        **{"socket": 198, "socketpair": 199},
        **{"memfd_create": 279, "memfd_secret": 447},
        **{"landlock_create_ruleset": 444, "vmsplice": 75},
        **{"shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180},
        **{"add_key": 217, "request_key": 218, "keyctl": 219},
        **{"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271},
        **{"unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241},
        **{"userfaultfd": 282, "io_uring_setup": 425, "fanotify_init": 262},
    },
}
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP = {"x86_64": 317, "aarch64": 277}
CLONE, MMAP = {"x86_64": 56, "aarch64": 220}, {"x86_64": 9, "aarch64": 222}
CLONE3 = 435  # its flags are out of the filter's sight; without it, the C library takes clone
NEW_NAMESPACES = 0x7E020000
SHARED_WITHOUT_FILE = 0x21  # MAP_SHARED and MAP_ANONYMOUS: kept, if let go, while nobody has it
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446


def library() -> Any:
    """The C library."""
    return ctypes.CDLL(None, use_errno=True)


def own_folder(folder: str, size: int) -> None:
    """Mount a file system in memory on the work folder. Only in a tree of its own.

    bubblewrap can mount one too, but not limit the number of files.
    """
    kept = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    options = f"size={size},nr_inodes=10000,mode=777".encode()
    without_setuid_and_devices = 2 | 4
    place = folder.encode()
    if library().mount(b"tmpfs", place, b"tmpfs", without_setuid_and_devices, options) != 0:
        raise OSError(ctypes.get_errno(), "the work folder cannot be mounted")
    os.chdir(folder)
    for name, content in kept.items():
        Path(name).write_bytes(content)


def become(user: int) -> None:
    """Be another user for good, one that owns nothing."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def drop_powers() -> None:
    """Give up all capabilities, and the ways to new ones, while there is one thread."""
    no_new_privileges = 38
    library().prctl(no_new_privileges, 1, 0, 0, 0)
    header, none = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
    library().capset(header, none)


def limit_resources(memory: int, file_size: int, processes: int) -> None:
    """What the system counts for each process, or each user."""
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 1),  # not 0, with which a crash still starts the system's reporter
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_NPROC, processes),
    ):
        with contextlib.suppress(ValueError, OSError):  # not every system keeps every limit
            resource.setrlimit(limit, (most, most))


def restrict_files(readable: list[str], writable: list[str]) -> int:
    """Landlock: from here on this process and its children see only these folders.

    Also no TCP from version 4 on, and from 6 on no signals and no abstract sockets to the outside.
    The version; 0 where there is none.
    """
    libc = library()
    version: int = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return 0
    everything = (1 << 13) - 1
    if version >= 2:
        everything |= 1 << 13  # moving a file between folders
    if version >= 3:
        everything |= 1 << 14  # cutting a file short
    read = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
    on_a_file = 1 << 0 | 1 << 1 | 1 << 2
    rules = struct.pack("QQQ", everything, 3, 3)[: 8 * (1 + (version >= 4) + (version >= 6))]
    handle = libc.syscall(LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0))
    if handle < 0:
        return 0
    for paths, access in ((readable, read), (writable, everything)):
        for path in paths:
            with contextlib.suppress(OSError):
                folder = os.open(path, os.O_PATH)
                allowed = access if os.path.isdir(path) else access & on_a_file
                rule = struct.pack("=Qi", allowed, folder)
                libc.syscall(LANDLOCK_ADD, handle, ctypes.c_int(1), rule, ctypes.c_uint32(0))
                os.close(folder)
    done = libc.syscall(LANDLOCK_RESTRICT, handle, ctypes.c_uint32(0))
    os.close(handle)
    return version if done == 0 else 0


def refuse_calls() -> bool:
    """From here on this process and its children cannot make the system calls named above."""
    machine = platform.machine()
    if machine not in CALLS or sys.maxsize < 2**32:
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _filter(machine))
    code = ctypes.create_string_buffer(program, len(program))
    about = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    )
    set_filter, for_all_threads = 1, ctypes.c_uint(1)
    return bool(library().syscall(SECCOMP[machine], set_filter, for_all_threads, about) == 0)


def _filter(machine: str) -> list[tuple[int, int, int, int]]:
    """A program for the kernel's filter: load, jump if equal (or not), return."""
    load, equal, at_least, any_of, mask, back = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
    number, architecture, first, fourth = 0, 4, 16, 40  # where in what the filter is shown
    pass_on = (back, 0, 0, 0x7FFF0000)
    refuse, not_there = (back, 0, 0, 0x00050000 | 1), (back, 0, 0, 0x00050000 | 38)
    steps = [(load, 0, 0, architecture), (equal, 1, 0, ARCHITECTURE[machine]), refuse]
    steps.append((load, 0, 0, number))
    if machine == "x86_64":
        steps += [(at_least, 0, 1, 0x40000000), refuse]  # the same calls by other numbers
    for call in CALLS[machine].values():
        steps += [(equal, 0, 1, call), refuse]
    steps += [(equal, 0, 1, CLONE3), not_there]
    steps += [(equal, 0, 4, CLONE[machine]), (load, 0, 0, first)]
    steps += [(any_of, 0, 1, NEW_NAMESPACES), refuse, pass_on]
    steps += [(equal, 0, 5, MMAP[machine]), (load, 0, 0, fourth), (mask, 0, 0, SHARED_WITHOUT_FILE)]
    steps += [(equal, 0, 1, SHARED_WITHOUT_FILE), refuse, pass_on]
    return [*steps, pass_on]
