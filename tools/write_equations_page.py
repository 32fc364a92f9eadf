"""Write book/equations.md from what the checks of the equations measured: `make equations`.

It renews no fingerprint: whoever changes an equation reads its check, and then edits the marker.
"""

import json
import math
import re
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parent.parent
CHECKS = ROOT / "tests" / "equations"
sys.path.insert(0, str(CHECKS))

from chapters import BOOK, PAGE_OF_CHECKS, numbered_equations, text_of  # noqa: E402

PAGE = BOOK / f"{PAGE_OF_CHECKS}.md"

HEAD = """\
# Checked equations

Every numbered equation of this book is a claim, and code checks every claim. A check computes both
sides of the equation separately. Where both can be computed exactly, they must agree to
$10^{{-10}}$ of their size, in double precision. Where one side is an average over random draws, it
must lie within 4 standard errors of the other, with a fixed seed. Definitions and steps on the way
are not numbered.

## What ties a check to its equation

A check could be right and the equation on the page wrong. Two things prevent that.

**The check reads the page.** For {read} of the {count} equations, the check takes a formula from
the page, puts numbers in, and compares. In {formula} of them the formula is complete. In the other
{structure} it has parts such as an average, a divergence or a density: the check computes these,
and reads from the page how they are put together. Often only one side of the equation is a formula,
and the check computes the other side in its own way. In the code, look for `claim.printed`.

**A fingerprint.** Each check carries a fingerprint of its equation, all sides of it: eight digits
in the marker above the check. When an equation is changed and its check is not, a test fails until
someone has compared the two and written the new fingerprint by hand. Another layout of the same
formula leaves the fingerprint as it is. For {nothing} equations this is the only tie.

Can the checks fail? A script makes mistakes on purpose: a factor of 2, a sign, $t$ for $t - 1$, a
root or a square left out. It makes them in the formula from the page, in the lines `printed = …` of
the checks, and in the package. The tests fail if a single mistake goes unnoticed.

## How to read this page

There is a table for each chapter. A row shows an equation, whose number leads to its place in the
book; the claim that the check tests; the error that was measured; and a link to the check's code,
with what it reads from the page: the complete formula, or its structure, which is how the parts of
the formula are put together. The code stands below the table, each check in a box that opens.
"""

TIES = {
    "formula": "reads the formula",
    "structure": "reads its structure",
    "nothing": "fingerprint only",
}

# How the words of a function's name are written in a sentence.
WORDS = {
    "algorithm 2": "Algorithm 2",
    "bayes rule": "Bayes' rule",
    "chi square": "chi-square",
    "cross entropy": "cross-entropy",
    "ddim": "DDIM",
    "dpm solver": "DPM-Solver++",
    "dps": "DPS",
    "each steps": "each step's",
    "eps": r"$\epsilon$",
    "euler": "Euler",
    "eulers": "Euler's",
    "from v": r"from $\mathbf{v}$",
    "gaussian": "Gaussian",
    "heun": "Heun",
    "kl": "KL",
    "langevin": "Langevin",
    "min snr": "Min-SNR",
    "ode": "ODE",
    "signal to noise": "signal-to-noise",
    "t steps": "$t$ steps",
    "teachers": "teacher's",
    "v under": r"$\mathbf{v}$ under",
    "x t": "$x_t$",
    "x0": "$x_0$",
}

TABLE = """
:::{list-table}
:header-rows: 1
:class: checks

* - Equation
  - Claim
  - Measured
  - Check
"""


def write(measured: dict[str, dict]) -> str:
    """The page as MyST Markdown."""
    equations = numbered_equations().values()
    reads = Counter(measured[equation.label]["read"] for equation in equations)
    count = {"count": len(equations), "read": reads["formula"] + reads["structure"]}
    parts = [HEAD.format(**count, **{kind: reads[kind] for kind in TIES})]
    for page, of_page in groupby(equations, key=lambda equation: equation.page):
        parts.append(f"\n## {text_of(page).splitlines()[0].removeprefix('# ')}\n")
        parts.append(TABLE)
        codes = []
        for equation in of_page:
            check = measured[equation.label]
            claim = _sentence(check["test"])
            formula = indent(f"$$\n{equation.latex}\n$$", 4 * " ")
            parts.append(
                f"""\
* - (check-{equation.label})=
    {{eq}}`{equation.label}`

{formula}
  - {claim}.
  - {_summary(check["findings"])}
  - [Code](#code-{equation.label}); {TIES[check["read"]]}.
"""
            )
            codes.append(
                f"""
(code-{equation.label})=
````{{admonition}} {claim}
:class: dropdown
```{{literalinclude}} ../tests/equations/{check["file"]}
:pyobject: {check["test"]}
```
````
"""
            )
        parts += [":::\n", *codes]
    return "".join(parts)


def _sentence(test: str) -> str:
    """The claim that the name of a test makes, as one writes it, without the full stop."""
    claim = test.removeprefix("test_").replace("_", " ").capitalize()
    known = rf"\b({'|'.join(WORDS)})\b"
    return re.sub(known, lambda found: WORDS[found[0].lower()], claim, flags=re.IGNORECASE)


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
    margins = [f"{f['margin']:.3g}" for f in findings if f["kind"] == "inequality"]
    if margins:
        listed = " and ".join(filter(None, [", ".join(margins[:-1]), margins[-1]]))
        said.append(f"The larger side exceeds the smaller by {listed}.")
    return " ".join(said)


if __name__ == "__main__":
    figures = json.loads((CHECKS / "measured.json").read_text(encoding="utf-8"))
    PAGE.write_text(write(figures), encoding="utf-8")
