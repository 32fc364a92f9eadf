"""Show which submissions of an assignment are alike, and which are like the public solution.

    python similarity.py ASSIGNMENT [--most N]

Reads checked/STUDENT/ASSIGNMENT/, so grade first, and writes similarity/ASSIGNMENT.html, a page
that opens in any browser. It runs nothing of what students wrote. A high figure is a reason to
look, and no proof of anything: the page and INSTRUCTORS.md say why.
"""

import argparse
import html
import re
import statistics
from pathlib import Path

from grade import course

from ddpm_tutorial.errors import needs_extra

with needs_extra("teaching"):
    import nbformat
    from grading.collect import NAME
    from grading.feedback import on_one_line
    from grading.rebuild import released
    from grading.similar import SHORTEST, Pair, own_code, pairs
    from nbgrader.coursedir import CourseDirectory

PUBLIC = Path(__file__).resolve().parent / "solutions"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Similarity: {assignment}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
  .warning {{ border-left: 0.3rem solid #d55e00; padding: 0.1rem 1rem; }}
  summary {{ cursor: pointer; padding: 0.3rem 0; }}
  summary b {{ display: inline-block; min-width: 3.5rem; }}
  .two {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }}
  @media (max-width: 50rem) {{ .two {{ grid-template-columns: minmax(0, 1fr); }} }}
  pre {{ overflow-x: auto; border: 1px solid gray; padding: 0.5rem; font-size: 0.85rem; }}
</style>
<h1>Similarity: {assignment}</h1>
<div class="warning">
<p><strong>A high figure is a reason to look, and no proof.</strong></p>
<ul>
<li>Right answers to a question of few lines look alike by nature: there are only so many ways to
write a formula down. So compare a figure with those of the class, and not with 0.</li>
<li>It cannot tell who wrote first, whether two were allowed to work together, whether both took
from the same book, or whether a program wrote for them.</li>
<li>It does not see a copy whose statements were put in another order, or which computes the same in
another way. A low figure clears nobody.</li>
<li>Before anything follows from it, read both texts, and talk with both students.</li>
</ul>
</div>
<p>{count} submissions. Each figure says how much of one text stands in the other too, in
characters of code and in runs of at least {shortest}: of the two, that of which more does.
Comments, blanks and the choice of names do not count, and neither does any line that was handed
out. Written answers are not compared. {median}</p>
<h2>Two students</h2>
{students}
<h2>A student and a solution</h2>
{solutions}
</html>
"""


def main() -> None:
    """Compare, write the page, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("--most", type=int, default=50, help="so many pairs on the page, of a kind")
    arguments = parser.parse_args()
    assignment, root = arguments.assignment, Path(CourseDirectory(config=course()).root)
    if not re.fullmatch(NAME, assignment) or not released(root, assignment).exists():
        raise SystemExit(f"{assignment} is not released: nbgrader generate_assignment {assignment}")
    release = nbformat.read(released(root, assignment), as_version=4)
    students = {
        path.parent.parent.name: own_code(path.read_bytes(), release)
        for path in sorted(root.glob(f"checked/*/{assignment}/{assignment}.ipynb"))
    }
    if not students:
        raise SystemExit(f"nothing is graded yet: python grade.py {assignment}")
    folders = {"the public solution": PUBLIC, "the solution of this variant": root / "solutions"}
    solutions = {
        name: own_code((folder / f"{assignment}.ipynb").read_bytes(), release, answers_only=True)
        for name, folder in folders.items()
        if name == "the public solution" or folder.resolve() != PUBLIC
    }
    place = root / "similarity" / f"{assignment}.html"
    place.parent.mkdir(exist_ok=True)
    found = pairs(students, solutions)
    of_two = [pair for pair in found if pair.other in students]
    of_solutions = [pair for pair in found if pair.other in solutions]
    page = PAGE.format(
        assignment=html.escape(assignment),
        count=len(students),
        shortest=SHORTEST,
        median=median(of_two),
        students=listed(of_two[: arguments.most]),
        solutions=listed(of_solutions[: arguments.most]),
    )
    place.write_text(page, encoding="utf-8")
    for pair in of_two[:5]:
        print(f"{pair.share:4.0%}  {on_one_line(pair.one)}, {on_one_line(pair.other)}")
    print("A high figure is a reason to look, and no proof.")
    print(f"The page: {place}")


def median(found: list[Pair]) -> str:
    """What is usual in this class, in a sentence."""
    if not found:
        return ""
    usual = statistics.median(pair.share for pair in found)
    return f"Half of all pairs of students have more than {usual:.0%} in common."


def listed(found: list[Pair]) -> str:
    """The pairs as HTML, each folded."""
    return "\n".join(map(_listed, found)) or "<p>There is none.</p>"


def _listed(pair: Pair) -> str:
    one, other = html.escape(pair.one), html.escape(pair.other)
    first, second = (f"{share:.0%}" for share in pair.shares)
    return (
        f"<details><summary><b>{pair.share:.0%}</b> {one}, {other}</summary>\n<div class='two'>"
        f"<div><p>{one}: {first} of it</p><pre>{pair.pages[0]}</pre></div>"
        f"<div><p>{other}: {second} of it</p><pre>{pair.pages[1]}</pre></div></div></details>"
    )


if __name__ == "__main__":
    main()
