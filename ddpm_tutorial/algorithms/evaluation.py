"""How like real digits the samples of a model are, in numbers."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.errors import check_finite, check_seed
from ddpm_tutorial.models.classifier import DigitClassifier, classify

__all__ = [
    "Nearest",
    "NeighbourFigures",
    "PrecisionRecall",
    "SampleFigures",
    "frechet_distance",
    "measure_samples",
    "nearest_neighbours",
    "nearest_sheet",
    "precision_recall",
]


@dataclass(frozen=True)
class NeighbourFigures:
    """How near samples come to their nearest training image, beside real images never seen.

    `samples` and `unseen` are median distances. `copies` is the share of samples that lie nearer
    to a training image than 99 in 100 unseen images of the same digit do: about 0.01 if samples
    are as new as the unseen images, near 1 if they are copies. Digit by digit, because one 1 is
    always near another.
    """

    samples: float
    unseen: float
    copies: float


@dataclass(frozen=True)
class SampleFigures:
    """How like real digits a set of samples is.

    `fid` compares the samples with `references` unseen real images, and `fid_floor` as many
    training images with the same. `classes` is how many samples the classifier reads as each
    digit, `confidence` its mean probability for the digit it reads, `confidence_unseen` the same
    for the unseen images. `pixels` and `features` compare nearest neighbours.
    """

    samples: int
    references: int
    fid: float
    fid_floor: float
    classes: list[int]
    confidence: float
    confidence_unseen: float
    pixels: NeighbourFigures
    features: NeighbourFigures

    def __str__(self) -> str:
        def pair(name: str, form: str, field: str) -> str:
            values = (getattr(figures, field) for figures in (self.pixels, self.features))
            return f"  {name:44}" + "".join(f"{value:>10{form}}" for value in values)

        return "\n".join(
            [
                f"{self.samples:,} samples beside {self.references:,} test images",
                f"  FID {self.fid:.3f}; of as many training images, the floor, "
                f"{self.fid_floor:.3f}",
                f"  mean confidence of the classifier {self.confidence:.3f}; for test images "
                f"{self.confidence_unseen:.3f}",
                f"  read as 0..9: {' '.join(map(str, self.classes))}",
                "Nearest training image                          pixels  features",
                pair("median distance of the samples", ".3f", "samples"),
                pair("median distance of the test images", ".3f", "unseen"),
                pair("samples nearer than 99 % of test images are", ".2%", "copies"),
            ]
        )


class Nearest(NamedTuple):
    """The training images nearest to each of N samples.

    `by_pixels` and `by_features` (N,) are their indices, `distance` (N,) is that of the first, and
    `digit` (N,) what the classifier reads the sample as.
    """

    digit: Tensor
    distance: Tensor
    by_pixels: Tensor
    by_features: Tensor


@torch.no_grad()
def measure_samples(
    samples: Tensor,
    train: Tensor,
    unseen: Tensor,
    classifier: DigitClassifier,
    seed: int = 0,
    progress: bool = False,
) -> tuple[SampleFigures, Nearest]:
    """Compare samples (N, 1, 28, 28) with the training images and with real images never seen.

    The floor of the FID is that of N training images, drawn with `seed`. All images in [-1, 1].
    `progress` shows bars. Returns, beside the figures, the training images nearest to each sample.
    Raises ValueError for fewer than two samples, more samples than training images, images of
    other shapes, or values that are not finite.
    """
    check_seed(seed)
    if not 2 <= len(samples) <= len(train):
        raise ValueError(
            f"{len(samples)} samples: give 2..{len(train)}, for the floor needs as many real ones"
        )
    for name, images in {"samples": samples, "train": train, "unseen": unseen}.items():
        if images.numel() and float(images.min()) >= 0:
            raise ValueError(f"{name}: no value is below 0, so they are not images in [-1, 1]")
    features, probabilities = classify(classifier, samples, progress=progress)
    train_features, _ = classify(classifier, train, progress=progress)
    unseen_features, unseen_probabilities = classify(classifier, unseen, progress=progress)
    digit, unseen_digit = probabilities.argmax(1), unseen_probabilities.argmax(1)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    drawn = order[: len(samples)].to(train.device)

    def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        return nearest_neighbours(queries, among, progress=progress)

    near, by_pixels = nearest(samples.flatten(1), train.flatten(1))
    usual, _ = nearest(unseen.flatten(1), train.flatten(1))
    near_features, by_features = nearest(features, train_features)
    usual_features, _ = nearest(unseen_features, train_features)
    figures = SampleFigures(
        samples=len(samples),
        references=len(unseen),
        fid=frechet_distance(features, unseen_features),
        fid_floor=frechet_distance(train_features[drawn], unseen_features),
        classes=digit.bincount(minlength=probabilities.shape[1]).tolist(),
        confidence=float(probabilities.amax(1).mean()),
        confidence_unseen=float(unseen_probabilities.amax(1).mean()),
        pixels=_compare_distances(near, usual, digit, unseen_digit),
        features=_compare_distances(near_features, usual_features, digit, unseen_digit),
    )
    return figures, Nearest(digit, near, by_pixels, by_features)


def nearest_sheet(samples: Tensor, train: Tensor, nearest: Nearest, of_each: int = 5) -> Tensor:
    """The samples of each digit that lie nearest to a training image, black where there are fewer.

    Each with its nearest by pixels and by features: (10 * of_each * 3, 1, 28, 28).
    """
    order = nearest.distance.argsort()
    digit = nearest.digit[order]
    sheet = samples.new_full((10, of_each, 3, *samples.shape[1:]), -1.0)
    for k in range(10):
        first = order[digit == k][:of_each]
        by_pixels, by_features = nearest.by_pixels[first], nearest.by_features[first]
        found = [samples[first], train[by_pixels], train[by_features]]
        sheet[k, : len(first)] = torch.stack(found, dim=1)
    return sheet.flatten(0, 2)


def frechet_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Frechet distance of two sets of features (N, D) and (M, D), each seen as a Gaussian.

    With Inception features this is known as FID. It falls as N and M grow, and is 0 only for
    equal means and covariances; so it is to be read beside that of two sets of real images.
    Raises ValueError for features that are not finite, fewer than two rows, or other D.
    Source: Heusel et al. (2017), equation 6.
    """
    _check_features(features_1, features_2, fewest=2)
    first, second = features_1.cpu().double(), features_2.cpu().double()
    _check_product(first, second)
    # Here, and not above: it takes seconds to import, and only this function needs it.
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_AlreadyFeatures(features_1.shape[1]))
    metric.update(first, real=True)
    metric.update(second, real=False)
    return float(metric.compute())


def _check_product(first: Tensor, second: Tensor) -> None:
    """Raise ValueError where the product of the covariances may overflow: no entry is larger.

    Asked for the eigenvalues of an infinite matrix, LAPACK ends the program on some processors.
    """
    largest = first.square().sum() * second.square().sum()
    check_finite("the distance (are some features too large to be squared?)", largest)


class _AlreadyFeatures(torch.nn.Identity):
    """In place of the network that torchmetrics asks for, where the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class PrecisionRecall(NamedTuple):
    """`precision` is the share of samples that lie among the real images, `recall` the reverse."""

    precision: float
    recall: float


def precision_recall(
    real_features: Tensor, sample_features: Tensor, k: int = 3, batch_size: int = 500
) -> PrecisionRecall:
    """Precision and recall of samples, from features (N, D) of real images and (M, D) of samples.

    A set of features stands for the region within reach of its members: around each a ball whose
    radius is the distance to its k-th nearest neighbour in the set, itself not counted. Precision
    is the share of samples inside the region of the real images, recall the share of real images
    inside that of the samples; both are in [0, 1]. The balls shrink as a set grows, so compare
    only figures with the same N and M, and take N = M. Computed in float64. Raises ValueError for
    k < 1, a set of k members or fewer, features that are not finite, or other D.
    Source: Kynkäänniemi et al. (2019), equations 1 and 2; they take k = 3.
    """
    _check_features(real_features, sample_features)
    smaller = min(len(real_features), len(sample_features))
    if not 1 <= k < smaller:
        raise ValueError(f"k = {k}: choose 1..{smaller - 1}, for a set has {smaller} members")
    real, made = real_features.double(), sample_features.double()
    return PrecisionRecall(
        precision=_share_within_reach(made, real, k, batch_size),
        recall=_share_within_reach(real, made, k, batch_size),
    )


def _share_within_reach(queries: Tensor, members: Tensor, k: int, batch_size: int) -> float:
    """The share of queries (M, D) in at least one of the balls around members (N, D)."""
    radii = []
    for start in range(0, len(members), batch_size):
        distance = _distances(members[start : start + batch_size], members)
        distance.diagonal(start).fill_(torch.inf)  # a member is no neighbour of its own
        radii.append(distance.kthvalue(k, dim=1).values)
    radius = torch.cat(radii)
    inside = [(_distances(batch, members) <= radius).any(1) for batch in queries.split(batch_size)]
    return float(torch.cat(inside).double().mean())


def _distances(one: Tensor, other: Tensor) -> Tensor:
    # Not by way of a matrix product: it would give copies of a member a distance above 0.
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")


def nearest_neighbours(
    queries: Tensor, among: Tensor, batch_size: int = 500, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """The nearest of `among` (M, D) to each of `queries` (N, D): distance (N,) and index (N,).

    Euclidean distance. `progress` shows a bar. Raises ValueError for values that are not finite, an
    empty set, or other D.
    """
    _check_features(queries, among)
    batches = tqdm(queries.split(batch_size), unit="batch", desc="nearest", disable=not progress)
    pairs = [torch.cdist(batch, among).min(1) for batch in batches]
    return torch.cat([pair.values for pair in pairs]), torch.cat([pair.indices for pair in pairs])


def _check_features(one: Tensor, other: Tensor, fewest: int = 1) -> None:
    """Raise ValueError unless both are finite (N, D), with the same D and N >= fewest."""
    for features in (one, other):
        if features.ndim != 2 or len(features) < fewest or features.shape[1] != other.shape[1]:
            raise ValueError(
                f"the two sets have shapes {tuple(one.shape)} and {tuple(other.shape)}: give "
                f"(N, D) and (M, D), with N and M at least {fewest}"
            )
        check_finite("features", features)


def _compare_distances(
    near: Tensor, usual: Tensor, digit: Tensor, unseen_digit: Tensor
) -> NeighbourFigures:
    """Of samples, `near`, and of unseen images, `usual`, to their nearest training images."""
    copies = 0
    for k in digit.unique():
        of_this_digit = usual[unseen_digit == k]
        # Where no unseen image shows this digit, all of them have to do.
        threshold = (of_this_digit if len(of_this_digit) else usual).quantile(0.01)
        copies += int((near[digit == k] < threshold).sum())
    return NeighbourFigures(
        samples=float(near.median()),
        unseen=float(usual.median()),
        copies=copies / len(near),
    )
