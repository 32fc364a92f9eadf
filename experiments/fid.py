"""The Frechet distance of real digits from real digits, against their number: for chapter 13.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/fid.py

writes book/results/fid.json: training images of MNIST in disjoint sets of N, each beside all 10,000
test images, on the features of the shipped classifier. Takes some five minutes on one core.
"""

import time
from typing import Any

import torch
from _results import complete_mnist, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import classify, frechet_distance, load_classifier

SEED = 0
COUNTS, POOL, MOST_SETS = [100, 200, 500, 1000, 2000, 5000, 10_000], 20_000, 10


def main() -> None:
    started = time.monotonic()
    train, test = complete_mnist()
    classifier = load_classifier()
    test_features, _ = classify(classifier, test.images, progress=True)
    order = torch.randperm(len(train.images), generator=torch.Generator().manual_seed(SEED))
    train_features, _ = classify(classifier, train.images[order[:POOL]], progress=True)
    write_results(
        "fid", real_against_real(train_features, test_features), seed=SEED, started=started
    )


def real_against_real(train: Tensor, test: Tensor) -> dict[str, Any]:
    """The distance of disjoint sets of N training images from the test images, from features."""
    rows = []
    for count in tqdm(COUNTS, unit="N"):
        sets = train.split(count)[: min(MOST_SETS, len(train) // count)]
        apart = [float((part.mean(0) - test.mean(0)).square().sum()) for part in sets]
        rows.append(
            {
                "n": count,
                "fid": [frechet_distance(part, test) for part in sets],
                "means": apart,  # the squared distance of the means, a part of it
                "rank": int(torch.linalg.matrix_rank(sets[0].double().T.cov())),
            }
        )
    return {
        "references": len(test),
        "pool": len(train),
        "features": train.shape[1],
        "trace": float(train.var(0).sum()),  # of the covariance of all these training images
        "trace_references": float(test.var(0).sum()),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
