"""Write book/equations.md from what the checks of the equations measured: `make equations`."""

import json
import math
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
BOOK, CHECKS = ROOT / "book", ROOT / "tests" / "equations"
PAGE = BOOK / "equations.md"

HEAD = """\
# Checked equations

Every numbered equation of this book is a claim, and every claim is checked by code. A check
computes both sides of the equation separately. Where both can be computed exactly, they must agree
to $10^{{-10}}$ of their size, in double precision. Where one side is an average over random draws,
it must lie within 4 standard errors of the other, with a fixed seed. Definitions and steps on the
way are not numbered.

Can the checks fail? A script changes the code of each equation on purpose: a factor of 2, a sign,
$t$ for $t - 1$, a root or a square left out. Every such change must be noticed, or the tests fail.

There are {count} equations. Open a box to see how one is checked; a line `printed = …` in it is
the right-hand side as the book prints it.
"""


def labels_in_order() -> list[tuple[str, list[str]]]:
    """For every page, in the order of the book, its file stem and the labels of its equations."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    pages = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    pages.remove(PAGE.stem)
    return [(page, found) for page in pages if (found := _labels(_text_of(page)))]


def write(measured: dict[str, dict]) -> str:
    """The page as MyST Markdown."""
    parts = [HEAD.format(count=sum(len(labels) for _, labels in labels_in_order()))]
    for page, labels in labels_in_order():
        parts.append(f"\n## {_text_of(page).splitlines()[0].removeprefix('# ')}\n")
        for label in labels:
            check = measured[label]
            sentence = check["test"].removeprefix("test_").replace("_", " ").capitalize()
            parts.append(
                f"""
(check-{label})=
**Equation {{eq}}`{label}`**: {sentence}. {_summary(check["findings"])}

````{{admonition}} The check
:class: dropdown
```{{literalinclude}} ../tests/equations/{check["file"]}
:pyobject: {check["test"]}
```
````
"""
            )
    return "".join(parts)


def _text_of(page: str) -> str:
    path = BOOK / f"{page}.ipynb"
    if not path.exists():
        return (BOOK / f"{page}.md").read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def _labels(text: str) -> list[str]:
    """The labels of the display equations in a page, in their order."""
    lines = [line.strip() for line in text.splitlines()]
    return [line[4:-1] for line in lines if line.startswith("$$ (eq-") and line.endswith(")")]


def _summary(findings: list[dict]) -> str:
    """What was measured, in a sentence or two."""
    said = []
    exact = [f for f in findings if f["kind"] == "exact"]
    if exact:
        worst = max(f["error"] for f in exact)
        # Rounded up to a power of ten: what is below it is up to the processor.
        size = "0" if worst == 0 else f"below $10^{{{math.ceil(math.log10(worst))}}}$"
        numbers = sum(f["entries"] for f in exact)
        what = "pair of numbers" if numbers == 1 else "pairs of numbers"
        said.append(f"Relative error {size} over {numbers:,} {what}.")
    for finding in findings:
        if finding["kind"] == "sampled":
            said.append(
                f"Estimate {finding['estimate']:.4f} with standard error "
                f"{finding['standard_error']:.4f} from {finding['draws']:,} draws; expected "
                f"{finding['expected']:.4f}."
            )
        if finding["kind"] == "inequality":
            said.append(f"The larger side exceeds the smaller by {finding['margin']:.3g}.")
    return " ".join(said)


if __name__ == "__main__":
    figures = json.loads((CHECKS / "measured.json").read_text(encoding="utf-8"))
    PAGE.write_text(write(figures), encoding="utf-8")
