"""What a hostile submission may reach outside, and what it may hold that nobody counts."""

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import grade
import psutil
import pytest
from conftest import COURSE
from grading import tree
from grading.sandbox import Limits, Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason=tree.ELSEWHERE)
TRY = """import ctypes, mmap, os, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def tried(action):
    try:
        action()
        return "done"
    except (OSError, AttributeError) as error:
        return type(error).__name__
"""


@pytest.fixture(scope="module")
def box():
    """Where no walls can be raised, this fails, and says which are missing."""
    with Sandbox(Limits(call=30.0), [], 1e12) as sandbox:
        sandbox.run(TRY)
        yield sandbox


def found_by(sandbox, source):
    return ast.literal_eval(sandbox.run(source)["text"])


def python(source, **how):
    """Run a program of the grader's; what it printed, and what it said in the end."""
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, cwd=COURSE, capture_output=True, text=True, check=False, **how)
    return done.stdout, done.stderr


def test_all_walls_stand_here():
    walls = tree.walls_for(trusted=False)
    assert {"a tree of its own", "system calls"} <= set(walls.up)
    assert "NOT CONTAINED" not in walls.summary()


def listening(address):
    there = socket.socket(socket.AF_UNIX)
    there.bind(address)
    there.listen()
    there.setblocking(False)
    return there


def test_no_socket_is_reached_by_its_path_or_name(box, tmp_path):
    for path in (tmp_path, *tmp_path.parents[:-1]):
        if path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o077)
    addresses = [str(tmp_path / "agent"), f"\0agent-{os.getpid()}"]
    with listening(addresses[0]) as first, listening(addresses[1]) as second:
        os.chmod(addresses[0], 0o777)
        source = f"[tried(lambda: socket.socket(socket.AF_UNIX).connect(a)) for a in {addresses}]"
        assert found_by(box, source) == ["PermissionError"] * 2
        for there in (first, second):
            with pytest.raises(BlockingIOError):
                there.accept()


def test_a_socket_is_not_even_there(box, tmp_path):
    """So that the filter of calls is not the only wall before it."""
    with listening(str(tmp_path / "agent")):
        runtime = ["/run", "/var/run", "/var", "/tmp/.X11-unix", "/home", str(Path.home() / ".ssh")]
        paths = [str(tmp_path / "agent"), str(tmp_path), *runtime]
        assert found_by(box, f"[p for p in {paths} if os.path.lexists(p)]") == []


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_VSOCK"])
def test_there_are_no_sockets_of_any_kind(box, family):
    source = f"tried(lambda: socket.socket(socket.{family}, socket.SOCK_DGRAM))"
    assert found_by(box, source) == "PermissionError"


HELD = {
    "a file without a name": "os.memfd_create('held')",
    "the same, kept secret": "call(447, 0)",
    "shared memory": "libc.shmget(0, ctypes.c_size_t(2**20), 0o1600) < 0 and call(-1)",
    "messages": "libc.msgget(0, 0o1600) < 0 and call(-1)",
    "semaphores": "libc.semget(0, 1, 0o1600) < 0 and call(-1)",
    "memory shared with no file": "mmap.mmap(-1, 2**20)",
    "the same, from a device": "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 2**20)",
    "a folder in memory": "open('/dev/shm/held', 'w')",
    "sockets": "socket.socketpair()",
    "rings": "call(425, 8, ctypes.create_string_buffer(200))",
    "rules": "call(444, struct.pack('Q', 1), ctypes.c_size_t(8), 0)",
    "large pages in pipes": """[libc.vmsplice(os.pipe()[1],
        struct.pack('PN', ctypes.addressof(libc_buffer), 4096), 1, 8) < 0 and call(-1)
        for libc_buffer in [ctypes.create_string_buffer(4096)]]""",
}


@pytest.mark.parametrize("source", HELD.values(), ids=HELD)
def test_no_memory_is_held_that_is_nobodys(box, source):
    assert found_by(box, f"tried(lambda: {source})") != "done"


OPENED = {
    "a namespace of users": "libc.unshare(0x10000000) < 0 and call(-1)",
    "the same, with a process": "call({clone}, 0x10000000 | 17, 0, 0, 0, 0)",
    "keys": "libc.syscall({keyctl}, 0, -3, 0) < 0 and call(-1)",
    "a debugger": "libc.ptrace(0, 0, 0, 0) < 0 and call(-1)",
    "faults": "call({userfaultfd}, 1)",
    "the system's settings": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "the terminal": "os.open('/dev/tty', os.O_RDWR)",
    "the parent": "os.kill(os.getppid() or {pid}, signal.SIGCONT)",
    "the grader": "os.kill({pid}, signal.SIGCONT)",
}
NUMBERS = {
    "x86_64": {"clone": 56, "keyctl": 250, "userfaultfd": 323},
    "aarch64": {"clone": 220, "keyctl": 219, "userfaultfd": 282},
}


@pytest.mark.parametrize("source", OPENED.values(), ids=OPENED)
def test_nothing_that_was_shut_is_opened(box, source):
    source = source.format(**NUMBERS[os.uname().machine], pid=os.getpid())
    assert found_by(box, f"tried(lambda: {source})") != "done"


def test_a_call_by_another_number_is_the_same_call(box):
    if os.uname().machine == "x86_64":
        assert found_by(box, "tried(lambda: call(0x40000000 | 41, 1, 1, 0))") == "PermissionError"


def test_work_goes_on_as_ever(box):
    source = """import subprocess, tempfile, threading, torch
x = torch.randn(9, 9, requires_grad=True)
(x @ x).sum().backward()
thread = threading.Thread(target=print)
thread.start(), thread.join()
with tempfile.NamedTemporaryFile() as file:
    file.write(b"kept")
subprocess.run(["echo", "done"], capture_output=True).stdout"""
    assert found_by(box, source) == b"done\n"


def test_it_has_inherited_only_pipes(box):
    source = """links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
[os.readlink(link).partition(":")[0] for link in links if os.path.lexists(link)]"""
    assert set(found_by(box, source)) == {"/dev/null", "pipe"}


def test_a_crash_leaves_nothing(box):
    source = """child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
    os.abort()
os.waitpid(child, 0)
[name for name in os.listdir() if "core" in name]"""
    assert found_by(box, source) == []


def test_what_it_writes_never_reaches_the_disk(box):
    box.run("open('mine', 'w').write('x'), os.symlink('/etc/passwd', 'link')")
    assert not {"mine", "link"} & set(os.listdir(box.folder))


def test_two_submissions_see_nothing_of_each_other(box):
    with Sandbox(Limits(call=30.0), [], 1e12) as other:
        other.run("open('answers', 'w').write('mine')")
        assert found_by(box, f"tried(lambda: open('{other.folder}/answers'))") != "done"
        assert found_by(box, f"os.path.exists('{other.folder}')") is False
        if os.geteuid() == 0:
            users = {
                psutil.Process(one.process.pid).children(recursive=True)[-1].uids().real
                for one in (box, other)
            }
            assert 0 not in users


CLOSED = """import os, sys
from grading import tree, walls
walls.drop_powers()
del walls.CALLS[os.uname().machine]["landlock_create_ruleset"]  # which the next wall needs
assert walls.refuse_calls()  # no namespaces, as Docker and Ubuntu have it
"""


def test_without_walls_the_grader_refuses_and_says_how_to_raise_them():
    printed, said = python(CLOSED + "tree.walls_for(trusted=False)\nprint('went on')")
    assert "went on" not in printed
    for words in ("cannot be contained", "bwrap says", "apparmor", "--trust-students"):
        assert words in said


def test_who_trusts_the_students_is_told_what_that_means():
    source = """from grading.sandbox import Limits, Sandbox
Sandbox.trusted = True
print(tree.walls_for(True).summary(), flush=True)  # before the students' code can end it
with Sandbox(Limits(), [], 1e12) as box:
    print(box.run("import os\\nos.kill(os.getppid(), 9)"))"""
    printed, said = python(CLOSED + source)
    if os.geteuid() == 0:  # without powers, it is root and stays it
        assert "Grade as an ordinary user" in said
    else:
        assert "NOT CONTAINED" in printed
        if "Landlock" in printed and int(printed.split("Landlock ")[1][0]) >= 6:
            assert "PermissionError" in said


def test_the_filter_is_there_for_threads_that_were_there_before_it():
    source = """import socket, threading
from grading import walls
shut = threading.Event()
def wait():
    shut.wait()
    try:
        print(socket.socket())
    except PermissionError:
        print("kept")
thread = threading.Thread(target=wait)
thread.start()
walls.drop_powers()
print(walls.refuse_calls())
shut.set()"""
    assert python(source)[0].split() == ["True", "kept"]


def test_landlock_keeps_signals_and_names_inside():
    source = """import os
from grading import walls
walls.drop_powers()
version = walls.restrict_files(["/"], [])
try:
    os.kill(os.getppid(), 0)
    print(version, "reached")
except PermissionError:
    print(version, "kept")"""
    version, what = python(source)[0].split()
    if int(version) < 6:
        pytest.skip(f"Landlock {version} here; signals are kept from version 6 on")
    assert what == "kept"


def test_grading_begins_with_the_walls(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("nbgrader_config.py").write_text("c = get_config()\n")
    Path("release/a").mkdir(parents=True)
    Path("release/a/a.ipynb").touch()
    Path("submitted/s/a").mkdir(parents=True)
    missing = tree.Walls((), ("a wall",), None)
    monkeypatch.setattr(tree, "survey", lambda: missing)
    monkeypatch.setattr(grade, "grade_all", lambda *_: pytest.fail("it went on"))
    monkeypatch.setattr(sys, "argv", ["grade.py", "a"])
    with pytest.raises(SystemExit, match="a wall"):
        grade.main()
