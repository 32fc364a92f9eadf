"""Write an autograder for Gradescope, as a zip, for each assignment.

    python tools/make_gradescope.py [NAME ...] [--variant VARIANT] [--out FOLDER]

_build/gradescope/NAME.zip holds what https://gradescope-autograders.readthedocs.io/en/latest/specs/
asks for: setup.sh and run_autograder, at the root of the archive. Beside them stand the grader with
the instructor's version of this one assignment, and the package as a wheel. The hidden tests are in
it, so it is for instructors. The students' versions of the other assignments tell the grader when a
file is the work for another. A variant's archives are in a folder of its name.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ddpm_tutorial.errors import needs_extra

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "book/assignments"
sys.path.insert(0, str(COURSE))

with needs_extra("teaching"):
    import nbformat

SCRIPTS = ("setup.sh", "run_autograder")
ALWAYS = (1980, 1, 1, 0, 0, 0)  # so that the same content makes the same file


def wheel(folder: Path) -> Path:
    """The package as a wheel, made in a folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


def contents(name: str, course: Path) -> dict[str, Path]:
    """The files of the archive but for the wheel: where each stands in it, and what it is."""
    source = f"source/{name}/{name}.ipynb"
    kept = ["grade.py", "nbgrader_config.py", "header.ipynb"]
    kept += [f"grading/{path.name}" for path in sorted(COURSE.glob("grading/*.py"))]
    found = {script: COURSE / "gradescope" / script for script in SCRIPTS}
    found |= {f"course/{path}": COURSE / path for path in kept}
    found[f"course/{source}"] = course / source
    for path in sorted(course.glob("student/*.ipynb")):
        if path.stem != name:
            found[f"course/release/{path.stem}/{path.name}"] = path
    return {**found, "constraints.txt": ROOT / "constraints.txt"}


def write(out: Path, name: str, package: Path, course: Path = COURSE) -> None:
    """The archive for one assignment."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, path in {**contents(name, course), package.name: package}.items():
            about = zipfile.ZipInfo(place, ALWAYS)
            about.external_attr = (0o755 if place in SCRIPTS else 0o644) << 16
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, path.read_bytes())
        archive.writestr(zipfile.ZipInfo("assignment", ALWAYS), f"{name}\n")


def points(name: str, course: Path = COURSE) -> tuple[float, float]:
    """The points that the autograder gives, and those that are given by hand."""
    notebook = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
    graded = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    graded = [about for about in graded if about.get("grade")]
    by_hand = sum(about["points"] for about in graded if about["solution"])
    return sum(about["points"] for about in graded) - by_hand, by_hand


def main() -> None:
    there = sorted(path.stem for path in COURSE.glob("source/*/*.ipynb"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=there)
    parser.add_argument("--variant", help="a class's, made by make assignments VARIANT=...")
    parser.add_argument("--out", type=Path, help="_build/gradescope, if it is not given")
    arguments = parser.parse_args()
    course, variant = COURSE, arguments.variant
    if variant is not None and not (course := COURSE / "variants" / variant).is_dir():
        parser.error(f"there is no variant {variant}: make assignments VARIANT={variant}")
    out = arguments.out or ROOT / "_build/gradescope" / (variant or "")
    if unknown := set(arguments.names) - set(there):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose of {', '.join(there)}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        package = wheel(Path(folder))
        for name in arguments.names:
            write(out / f"{name}.zip", name, package, course)
            graded, by_hand = points(name, course)
            extra = f", and {by_hand:g} by hand" if by_hand else ""
            print(f"{out / f'{name}.zip'}: {graded:g} points{extra}")


if __name__ == "__main__":
    main()
