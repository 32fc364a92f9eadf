"""What a hostile submission may try, one by one, against the process that it runs in."""

import ast
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import grade
import psutil
import pytest
import torch
from conftest import COURSE
from grading.execute import Student
from grading.feedback import markdown
from grading.sandbox import Limits, Sandbox, SandboxEnded, StandIn, StudentError
from grading.tree import ELSEWHERE

FAR = 1e12  # a deadline that no test reaches


# On Linux they run: where no walls can be raised, they fail, and say which are missing.
apart = pytest.mark.skipif(sys.platform != "linux", reason=ELSEWHERE)


def box_with(**limits):
    return Sandbox(Limits(**limits), [], FAR)


@pytest.fixture(scope="module")
def box():
    with box_with(call=20.0) as sandbox:
        yield sandbox


def found_by(sandbox, source):
    """The value of the last line of a cell, as the student's process writes it down."""
    return ast.literal_eval(sandbox.run(source)["text"])


TRY = """def tried(action):
    try:
        action()
        return "done"
    except OSError as error:
        return type(error).__name__
"""


@apart
def test_the_process_has_no_powers_and_sees_no_other(box):
    status = found_by(box, "dict(line.split(':', 1) for line in open('/proc/self/status'))")
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert int(status["NoNewPrivs"]) == 1
    source = """import os
numbers = [int(name) for name in os.listdir('/proc') if name.isdigit()]
{open(f'/proc/{number}/comm').read().strip(): number for number in numbers}, os.getpid()"""
    seen, own = found_by(box, source)
    assert seen.pop("bwrap", 1) == 1  # as root: the code is another user
    assert list(seen.values()) == [own]


@apart
def test_nothing_outside_its_folder_can_be_changed(box, tmp_path):
    target = tmp_path / "open-to-all"
    target.write_text("as it was")
    for path in (target, *target.parents[:-1]):
        if path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o077)
    before = target.stat()
    source = f"""{TRY}
path = {str(target)!r}
[tried(lambda: os.chmod(path, 0o600)), tried(lambda: os.utime(path, (1, 1))),
 tried(lambda: os.truncate(path, 0)), tried(lambda: os.remove(path)),
 tried(lambda: os.rename(path, path + '2')), tried(lambda: os.link(path, 'mine')),
 tried(lambda: os.mkdir(path + '-folder')), tried(lambda: open('/dev/shm/left', 'w'))]"""
    assert "done" not in found_by(box, "import os\n" + source)
    after = target.stat()
    assert target.read_text() == "as it was"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_what_the_grader_has_cannot_be_read(box):
    paths = [COURSE / "source/01-gaussians/01-gaussians.ipynb", COURSE / "grade.py"]
    source = f"{TRY}\n[tried(lambda: open(path).read()) for path in {[str(p) for p in paths]}]"
    assert found_by(box, source) == ["FileNotFoundError"] * 2


@apart
def test_files_are_limited_each_and_all_together():
    with box_with(file_size=2**20, folder=4 * 2**20) as sandbox:
        source = f"""{TRY}
def write(name, size):
    with open(name, "wb") as file:
        file.write(bytes(size))
large = tried(lambda: write("large", 2**21))
[large, *(tried(lambda: write(f"{{k}}", 2**20)) for k in range(8))]"""
        said = found_by(sandbox, source)
    assert said[0] == "OSError"
    assert "done" in said[1:]
    assert "OSError" in said[1:]


@apart
def test_there_is_no_network(box):
    source = f"""import socket
{TRY}
[tried(lambda: socket.create_connection(("127.0.0.1", 1), timeout=1)),
 tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))]"""
    assert "done" not in found_by(box, source)


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_end(family, within=5.0):
    """Whether all are gone soon: the system takes a moment."""
    until = time.monotonic() + within
    while any(alive(process) for process in family):
        if time.monotonic() > until:
            return False
    return True


def test_processes_that_left_the_group_end_with_it():
    with box_with(call=20.0) as sandbox:
        sandbox.run("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)")
        family = psutil.Process(sandbox.process.pid).children(recursive=True)
        assert family
    assert all_end(family)


@apart
def test_it_ends_when_the_grader_is_killed():
    source = """from grading.sandbox import Limits, Sandbox
box = Sandbox(Limits(call=600.0), [], 1e12)
print(box.process.pid, flush=True)
box.run("while True: pass")"""
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, cwd=COURSE, stdout=subprocess.PIPE, text=True) as grader:
        there = psutil.Process(int(grader.stdout.readline()))
        family = [there, *there.children(recursive=True)]
        grader.kill()
    assert all_end(family)


def test_many_processes_are_ended():
    source = "import os, time\nfor _ in range(99):\n    os.fork() or time.sleep(600)"
    refused = pytest.raises((SandboxEnded, StudentError), match=r"processes|BlockingIOError")
    with box_with(processes=16, resident=2**40) as sandbox, refused:
        sandbox.run(source)


def test_one_that_does_not_read_holds_the_grader_up_no_longer_than_its_time():
    with box_with(call=2.0, patience=1.0) as sandbox:
        answers = b'{"value": null}\n' * 3
        source = f"""import os, time
def find():
    for number in range(3, 50):
        try:
            if os.readlink(f"/proc/self/fd/{{number}}").startswith("pipe:"):
                os.write(number, {answers!r})
        except OSError:
            pass
find()
time.sleep(600)"""
        begun = time.monotonic()
        sandbox.run(source)
        f = StandIn(sandbox, {"name": "f"})
        assert f(1) is None  # answered ahead; the question lies unread
        with pytest.raises(SandboxEnded, match="longer than 2 seconds"):
            f(torch.zeros(10**6))
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("[[]] * 10**6", SandboxEnded, "too many entries"),
        ("'x' * (70 * 2**20)", SandboxEnded, "too large"),
        ("deep", StudentError, "RecursionError"),
        ("Odd()", None, ""),
    ],
)
def test_answers_that_are_too_much(value, error, message):
    with box_with(call=20.0) as sandbox:
        sandbox.run(
            "deep = []\nfor _ in range(10**5):\n    deep = [deep]\n"
            "class Odd:\n    def __repr__(self):\n        raise SystemExit\n"
            f"def f():\n    return {value}"
        )
        f = StandIn(sandbox, {"name": "f"})
        if error is None:
            assert isinstance(f(), StandIn)
        else:
            with pytest.raises(error, match=message):
                f()


def test_a_student_is_not_started_for_ever():
    limits = Limits(call=20.0, total=60.0)
    with Student(limits, []) as student:
        said = [student.run("import os; os._exit(1)")[-1]["evalue"] for _ in range(2)]
        student.restarts = 6
        with pytest.raises(SandboxEnded, match="not started again"):
            student.run("1")
    assert all("exit status 1" in line for line in said)


def test_all_cells_together_have_their_time():
    with Student(Limits(call=20.0, total=1.5), []) as student:
        assert "all of it took longer than 2" in student.run("while True: pass")[-1]["evalue"]
        with pytest.raises(SandboxEnded, match="all of it"):
            student.run("1")


def test_nothing_in_a_text_runs_in_the_feedback():
    html = markdown(
        "# Title\n\n<script>alert(1)</script>\n\n<img src=x onerror=alert(2)> *kept*\n\n"
        "[a](javascript:alert(3)) [b](https://example.org) <svg onload=alert(4)></svg>\n\n"
        "<style>*{}</style>"
    )
    assert "<h1" in html
    assert "<em>kept</em>" in html
    assert 'href="https://example.org"' in html
    for part in ("<script", "<img", "<svg", "<style", 'href="javascript'):
        assert part not in html


@pytest.mark.parametrize("student", ["*", "[ab]", "a\nb", "%s", "..", ""])
def test_names_that_nbgrader_would_misread_are_refused(student):
    result = grade.grade_one("a", student)
    assert not result.graded
    assert "rename" in result.note


def test_a_function_of_the_tests_is_not_kept_busy_for_ever():
    with box_with(call=2.0) as sandbox:
        sandbox.run("def f(g):\n    return g(0)")
        begun = time.thread_time()
        with pytest.raises((StudentError, SandboxEnded)):
            StandIn(sandbox, {"name": "f"})(lambda x: [sum(range(10**4)) for _ in range(10**6)])
        assert time.thread_time() - begun < 10


def test_complex_numbers_are_no_answer(box):
    box.run("import torch\ndef f():\n    return torch.tensor(1 + 5j)")
    with pytest.raises(StudentError, match="complex"):
        StandIn(box, {"name": "f"})()


def test_a_cell_that_ends_the_process_when_run_again_costs_only_itself():
    with Student(Limits(call=20.0, total=60.0), []) as student:
        student.cells = ["x = 1", "import os; os._exit(7)"]  # as if it had raised the first time
        with pytest.raises(SandboxEnded):
            student.run("x")
        assert student.run("x")[-1]["data"]["text/plain"] == "1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["01-gaussians", "--jobs", "0"], "--jobs is 0"),
        (["../source/01-gaussians"], "no name of an assignment"),
        (["99-unheard"], "not released"),
    ],
)
def test_a_command_that_cannot_work_says_so(monkeypatch, arguments, message):
    monkeypatch.chdir(COURSE)
    monkeypatch.setattr(sys, "argv", ["grade.py", *arguments])
    with pytest.raises(SystemExit, match=message):
        grade.main()


def grade_oddly(assignment, student):
    if student == "exits":
        os._exit(1)
    if student == "sleeps":
        time.sleep(600)
    if student == "starts":
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        child.start()
        Path(os.environ["STARTED"]).write_text(str(child.pid))
        time.sleep(600)
    if student == "eats":
        torch.empty(2 * grade.MEMORY, dtype=torch.uint8)
    return grade.Result(student, True, "")


def test_grading_one_harms_no_other(monkeypatch, tmp_path):
    monkeypatch.setenv("STARTED", str(tmp_path / "pid"))
    monkeypatch.setattr(grade, "grade_one", grade_oddly)
    monkeypatch.setattr(grade, "LONGEST", 3.0)
    students = ["exits", "a", "sleeps", "starts", "eats", "b"]
    results = {result.student: result for result in grade.grade_all("x", students, 2)}
    assert set(results) == set(students)
    assert {student for student, result in results.items() if result.graded} == {"a", "b"}
    assert "too much time or memory" in results["sleeps"].note
    started = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(started) or not alive(psutil.Process(started))


@pytest.mark.parametrize("note", ["a\x1b[2Jb\nc", "x" * 5000, "‮abc"])
def test_a_note_is_one_line_on_a_terminal(note):
    line = grade.one_line(note)
    assert line.isprintable()
    assert len(line) <= 600


def test_processor_time_counts_and_not_that_on_the_wall():
    with box_with(call=1.0) as sandbox:
        sandbox.run("import time\ntime.sleep(2.5)")  # as long as a busy machine would take
        assert sandbox.spent() < 1
        with pytest.raises(SandboxEnded, match="longer than 1 seconds"):
            sandbox.run("while True:\n    pass")
        assert 0.99 <= sandbox.spent() < 4  # counted in hundredths of a second


def test_what_only_waits_is_ended_too():
    with (
        box_with(call=1.0, patience=2.0) as sandbox,
        pytest.raises(SandboxEnded, match="longer than 1 seconds"),
    ):
        sandbox.run("import time\ntime.sleep(600)")


def test_the_time_of_children_counts():
    busy = "import os\nif os.fork() == 0:\n    while True:\n        pass\nos.wait()"
    with box_with(call=2.0) as sandbox, pytest.raises(SandboxEnded, match="longer than 2 seconds"):
        sandbox.run(busy)


def test_compiling_gives_back_the_function():
    with box_with(call=60.0) as sandbox:
        sandbox.run("import torch\ndef f(x):\n    return x + 1\ng = torch.compile(f)")
        assert StandIn(sandbox, {"name": "g"})(2) == 3
