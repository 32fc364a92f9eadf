"""Put the weights of a training run into the package, with their measured figures in the header.

    python tools/ship_weights.py runs/mnist mnist --data FOLDER_WITH_MNIST

stores them in half precision as ddpm_tutorial/assets/NAME.safetensors, measures that file as
`ddpm-tutorial evaluate` does on all test images, and writes the figures into its header and into
benchmarks/NAME.json, from which benchmarks/report.py makes a page.
"""

import argparse
import json
import sys
from pathlib import Path

from ddpm_tutorial import ASSETS, PRETRAINED, Run, load_checkpoint, load_mnist, save_checkpoint
from ddpm_tutorial.cli.evaluate import Evaluate

RESULTS = Path(__file__).parent.parent / "benchmarks"
IMAGES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that train wrote")
    parser.add_argument("name", choices=PRETRAINED)
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()
    if len(load_mnist("test", arguments.data).images) < IMAGES:
        raise SystemExit(
            f"the figures are those of all {IMAGES:,} test images of MNIST: name with --data a "
            f"folder that holds them"
        )

    trained = load_checkpoint(Run(arguments.run).model)
    tensors = {name: value.half() for name, value in trained.tensors.items()}
    details = {"run": trained.details}
    held_out = arguments.run / "held-out.json"  # tools/train_pretrained.py writes it
    if held_out.exists():
        details["held_out"] = json.loads(held_out.read_text(encoding="utf-8"))
    target = ASSETS / f"{arguments.name}.safetensors"
    save_checkpoint(target, trained._replace(tensors=tensors, details=details))

    figures = RESULTS / f"{arguments.name}.json"
    name = f"pretrained:{arguments.name}"
    command = ["evaluate", "--checkpoint", name, "--n", str(IMAGES)]
    sys.argv = ["ddpm-tutorial", *command]  # what the figures will say of themselves
    Evaluate(name, n=IMAGES, json=figures, data=arguments.data).run()
    details["evaluation"] = json.loads(figures.read_text(encoding="utf-8"))
    save_checkpoint(target, trained._replace(tensors=tensors, details=details))
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
