"""Grading in a container: its files, the line that runs it, and the program that it starts.

There need be no Docker. What `docker run` promises is made here by hand: another user without
powers, no network, everything read-only but a folder in memory and the one that results go to.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import grade_class
import nbformat
import pytest
from conftest import COURSE, ON_LINUX, ROOT, for_others

NAME = "01-gaussians"
GUIDE = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
DOCKERFILE = (COURSE / "Dockerfile").read_text(encoding="utf-8")
USER = 54321
# As the options of `docker run` ask for it. Everything is mounted in a namespace that ends with it.
AS_DOCKER = """set -eu
mount --make-rprivate /
mount --bind "$1/submitted" "$1/in"
mount -o remount,bind,ro "$1/in"
mount --bind "$1/graded" "$1/out"
mount -t tmpfs -o nosuid,nodev,size=1g,mode=1777 tmpfs "$1/tmp"
mount -o remount,bind,ro /
cd "$1/tmp"
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --bounding-set=-all \\
  --inh-caps=-all -- env -i PATH="$PATH" HOME="$1/tmp" TMPDIR="$1/tmp" OMP_NUM_THREADS=1 \\
  PYTHONPATH="{root}" "{python}" "$1/course/grade_class.py" \\
  --submitted "$1/in" --out "$1/out" {words}
"""


def docker_run():
    """The words of the line in the guide."""
    (line,) = re.findall(r"^\$ (docker run .*)$", GUIDE, re.M)
    return shlex.split(line)


def test_the_line_gives_the_container_nothing_but_submissions_and_a_folder_for_results():
    words = docker_run()
    options = list(zip(words, [*words[1:], ""], strict=True))
    for pair in (("--network", "none"), ("--cap-drop", "ALL")):
        assert pair in options
    assert ("--security-opt", "no-new-privileges") in options
    assert {"--rm", "--read-only", "--user", "--memory", "--cpus", "--pids-limit"} <= set(words)
    assert not {"--privileged", "--volume", "-v", "--env", "--cap-add", "--pid", "--ipc"} & set(
        words
    )
    mounts = [each for option, each in options if option == "--mount"]
    assert [dict(m.partition("=")[::2] for m in each.split(",")) for each in mounts] == [
        {"type": "bind", "src": "$PWD/submitted", "dst": "/submitted", "readonly": ""},
        {"type": "bind", "src": "$PWD/graded", "dst": "/graded"},
    ]
    assert words.count("ddpm-grading") == 1
    for word in words:  # each is explained
        if word.startswith("--") and words.index(word) < words.index("ddpm-grading"):
            named = word in ("--rm", "--security-opt", "--memory-swap", "--tmpfs", "--mount")
            assert named or f"`{word}" in GUIDE, word


def test_the_image_is_of_public_registries_and_ends_with_an_ordinary_user():
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)) == {"python:3.12-slim"}
    assert set(re.findall(r"https?://[^\s/]+", DOCKERFILE)) == {"https://download.pytorch.org"}
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.M)
    assert re.findall(r"^(?:COPY|ADD) (.*)$", last, re.M) == ["--from=made /opt /opt"]
    assert 'ENTRYPOINT ["python", "/opt/course/grade_class.py"]' in last
    for named in re.findall(r"book/\S+", DOCKERFILE.replace(" .\n", "\n")):
        assert (ROOT / named).exists(), named


def solution(kl=None):
    notebook = nbformat.read(COURSE / "source" / NAME / f"{NAME}.ipynb", as_version=4)
    for cell in notebook.cells:
        if kl and cell.metadata.get("nbgrader", {}).get("grade_id") == "kl-answer":
            cell.source = kl
    return notebook


@pytest.fixture(scope="module")
def place():
    """A folder that other users reach, with what the image has, and one assignment only."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(
            COURSE, place / "clone", ignore=shutil.ignore_patterns("0[2-9]*", "__pycache__")
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            [str(place / "clone/make_course.sh"), str(place / "course")],
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
        yield place


def test_the_course_of_the_image_has_no_solutions_apart_and_no_submissions(place):
    kept = sorted(path.name for path in (place / "course").iterdir())
    assert kept == [
        *("grade.py", "grade_class.py", "gradebook.db", "grading", "header.ipynb"),
        *("nbgrader_config.py", "release", "source"),
    ]


@pytest.mark.skipif(not ON_LINUX, reason="containers are Linux's")
def test_a_class_is_graded_as_an_ordinary_user_with_everything_read_only(place):
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("only root can make these conditions, with unshare and setpriv")
    spy = (
        f"import os\nfor path in ({str(place / 'out/x')!r}, {str(place / 'in/x')!r}):\n"
        "    try:\n        open(path, 'w')\n        print('WRIT' + 'TEN')\n"
        "    except OSError:\n        pass\n"
        f"print(['BAR', 'GAP'][os.path.exists({str(place / 'course/source')!r})] + 'RED')\n"
        "raise RuntimeError('tried')"
    )
    for student, notebook in (("right", solution()), ("spy", solution(spy))):
        folder = place / "submitted" / student / NAME
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{NAME}.ipynb")
    for name in ("graded", "in", "out", "tmp"):
        (place / name).mkdir()
    os.chown(place / "graded", USER, USER)
    script = AS_DOCKER.format(
        user=USER,
        root=ROOT,
        python=sys.executable,
        words=f"{NAME} --jobs 2 --due '2027-02-01 23:59 UTC'",
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    around = "unshare --mount --pid --net --ipc --uts --fork --mount-proc --kill-child bash -c"
    command = [*around.split(), script, "container", str(place)]
    (place / "python").mkdir()
    done = subprocess.run(
        for_others(command, f"{place}/python"),
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot be contained here" in done.stderr:
        pytest.skip(f"an ordinary user cannot raise the walls here: {done.stderr}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "a tree of its own" in done.stdout
    assert "due 2027-02-01 23:59 UTC" in done.stdout
    assert re.search(r"^right +19 of 22", done.stdout, re.M)
    assert re.search(r"^spy +14 of 22", done.stdout, re.M)
    made = sorted(path.name for path in (place / "graded").iterdir())
    assert made == ["autograded", "checked", "feedback", "gradebook.db", "grades.csv"]
    assert all(path.stat().st_uid == USER for path in (place / "graded").rglob("*"))
    assert not list((place / "graded").rglob("*.py"))
    page = (place / "graded/feedback/spy" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "tried" in page
    assert "BARRED" in page
    assert "WRITTEN" not in page
    assert "GAPRED" not in page


def test_what_it_cannot_begin_with_is_said(place, tmp_path, monkeypatch):
    course, empty = place / "course", tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(grade_class.os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="this runs as root"):
        grade_class.check(empty, empty, course, NAME)
    monkeypatch.setattr(grade_class.os, "geteuid", lambda: USER)
    with pytest.raises(SystemExit, match="no assignment 99: choose of 01-gaussians"):
        grade_class.check(empty, empty, course, "99")
    with pytest.raises(SystemExit, match="run collect"):
        grade_class.check(empty, empty, course, NAME)
    (empty / "s" / NAME).mkdir(parents=True)
    with pytest.raises(SystemExit, match="can write to"):
        grade_class.check(empty, tmp_path / "none", course, NAME)
    grade_class.check(empty, empty, course, NAME)


def test_what_comes_out_takes_the_place_of_what_was_there_and_links_stay_behind(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    (a / "checked").mkdir(parents=True)
    (a / "checked/new").write_text("new")
    (b / "checked/old").mkdir(parents=True)
    grade_class.copy("checked", a, b)
    assert [path.name for path in (b / "checked").iterdir()] == ["new"]
    (a / "grades.csv").symlink_to("/etc/passwd")
    grade_class.copy("grades.csv", a, b)
    grade_class.copy("gradebook.db", a, b)
    assert [path.name for path in b.iterdir()] == ["checked"]
