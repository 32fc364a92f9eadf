"""Score one final project: measure its three runs with the held-out seeds of the class.

    python score_project.py FOLDER --seeds A B C --out results/NAME.json [--data ROOT] [--n 2000]

FOLDER holds project.json and run-1.safetensors to run-3.safetensors, which are read without running
anything that is in them. Prints mean and spread of each figure. What cannot be scored is refused in
one line that says why.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grading.project import N, Refused, measured, read_result, score, spread

from ddpm_tutorial.errors import TutorialError
from ddpm_tutorial.io.files import write_atomically


def main(words: Sequence[str] | None = None) -> int:
    """Score, write and print; 1 if the project was refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs=3, required=True, help="those of the class")
    parser.add_argument("--out", type=Path, required=True, help="the result file")
    parser.add_argument("--data", type=Path, help="folder with MNIST, as for train")
    parser.add_argument("--n", type=int, default=N, help="for a trial: the leaderboard asks for N")
    arguments = parser.parse_args(words)
    try:
        found = score(arguments.folder, arguments.seeds, measured(arguments.data, arguments.n))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out, (json.dumps(found, indent=1) + "\n").encode())
        entry = read_result(arguments.out, arguments.seeds, arguments.n)
    except (Refused, TutorialError) as error:
        print(f"{arguments.folder}: refused: {error}", file=sys.stderr)
        return 1
    print(f"{entry.name}: mean and standard deviation over {len(entry.fid)} runs")
    for name, values in (
        *(("FID", entry.fid), ("its floor", entry.floor)),
        *(("bits per dimension", entry.bits), ("copies", entry.copies)),
    ):
        mean, deviation = spread(values)
        print(f"  {name:20}{mean:8.3f} ± {deviation:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
