"""How good a model is, in numbers: the bound, and how like real digits its samples are."""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.classifier import DigitClassifier, classify
from ddpm_tutorial.ddpm import DDPM
from ddpm_tutorial.elbo import (
    ReverseProcess,
    WithLabels,
    check_levels,
    denoising_term,
    full_float32,
    prior_term,
    to_bits_per_dim,
)
from ddpm_tutorial.forward import q_sample, standard_normal

RANGES_OF_T = 10  # into which the denoising terms are gathered


@dataclass(frozen=True)
class Estimate:
    """A mean over examples, with its standard error; nan where there is only one example."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class BoundFigures:
    """The bound and its terms in bits per dimension, as code lengths: smaller is better.

    `total` is the sum of `prior`, `denoising` and `reconstruction`. `by_t` splits `denoising`
    into the shares of ranges of t, as (first t, last t, share): a sum over t, so the shares add
    up to `denoising`.
    """

    total: Estimate
    prior: Estimate
    denoising: Estimate
    reconstruction: Estimate
    by_t: list[tuple[int, int, Estimate]]


@torch.no_grad()
@full_float32()
def measure_bound(
    model: ReverseProcess,
    images: Tensor,
    generator: torch.Generator | None = None,
    terms_per_image: int | None = None,
    batch_size: int = 100,
    progress: bool = False,
    labels: Tensor | None = None,
) -> BoundFigures:
    """The bound over images (N, 1, 28, 28), averaged, with standard errors.

    The denoising terms of an image are T - 1 in number. With `terms_per_image` = K, only K of
    them are measured: one t at random in each of K equal stretches of 2..T, so that each t is as
    likely as any other and (T - 1) / K times their sum has the right mean. None measures all.
    Takes K + 1 network evaluations for each image. `labels` int64 (N,) for a class-conditional
    `DDPM`: the bound is then that of each image given its label. Raises ValueError for images that
    are not on 256 levels, a number out of range, or not one label for each image.
    """
    T = model.schedule.T
    count = T - 1 if terms_per_image is None else terms_per_image
    if terms_per_image is not None and not 1 <= count <= T - 1:
        raise ValueError(f"terms_per_image = {count}: choose 1..{T - 1}")
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: it must be at least 1")
    check_levels(model, images)
    if labels is not None and labels.shape != (len(images),):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}: give one for each of the {len(images)} "
            f"images"
        )

    edges = [round(2 + (T - 1) * k / RANGES_OF_T) for k in range(RANGES_OF_T + 1)]
    ranges = [(low, high - 1) for low, high in itertools.pairwise(edges) if low < high]
    source = "cpu" if generator is None else generator.device
    rows: dict[str, list[Tensor]] = {"prior": [], "shares": [], "reconstruction": []}
    batches = images.split(batch_size)
    models = [model] * len(batches)
    if labels is not None:
        assert isinstance(model, DDPM)  # nothing else takes a label
        models = [WithLabels(model, batch) for batch in labels.split(batch_size)]
    with tqdm(total=len(batches) * (count + 1), unit="step", disable=not progress) as bar:
        for told, x0 in zip(models, batches, strict=True):
            rows["prior"].append(prior_term(told, x0))
            first = torch.ones(len(x0), dtype=torch.int64, device=x0.device)
            x_1 = q_sample(model.schedule, x0, first, standard_normal(x0.shape, x0, generator))
            rows["reconstruction"].append(-told.decoder_log_prob(x0, x_1))
            bar.update()
            shares = x0.new_zeros(len(x0), len(ranges))
            for stretch in range(count):
                u = torch.rand(len(x0), generator=generator, device=source, dtype=torch.float64)
                t = 2 + ((stretch + u) * ((T - 1) / count)).floor().long().clamp(max=T - 2)
                t = t.to(x0.device)
                eps = standard_normal(x0.shape, x0, generator)
                term = (T - 1) / count * denoising_term(told, x0, t, eps)
                for column, (low, high) in enumerate(ranges):
                    shares[:, column] += torch.where((low <= t) & (t <= high), term, 0)
                bar.update()
            rows["shares"].append(shares)

    dimensions = images[0].numel()
    prior, shares, reconstruction = (
        to_bits_per_dim(torch.cat(rows[name]).cpu().double(), dimensions)
        for name in ("prior", "shares", "reconstruction")
    )
    denoising = shares.sum(1)
    return BoundFigures(
        total=_estimate(prior + denoising + reconstruction),
        prior=_estimate(prior),
        denoising=_estimate(denoising),
        reconstruction=_estimate(reconstruction),
        by_t=[
            (low, high, _estimate(shares[:, column])) for column, (low, high) in enumerate(ranges)
        ],
    )


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
    Raises ValueError for fewer than two samples, or more samples than training images.
    """
    if not 2 <= len(samples) <= len(train):
        raise ValueError(
            f"{len(samples)} samples: give 2..{len(train)}, for the floor needs as many real ones"
        )
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


def frechet_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Frechet distance of two sets of features (N, D) and (M, D), each seen as a Gaussian.

    With Inception features this is known as FID. It falls as N and M grow, and is 0 only for
    equal means and covariances; so it is to be read beside that of two sets of real images.
    Source: Heusel et al. (2017), equation 6.
    """
    # Here, and not above: it takes seconds to import, and only this function needs it.
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_AlreadyFeatures(features_1.shape[1]))
    metric.update(features_1.cpu().double(), real=True)
    metric.update(features_2.cpu().double(), real=False)
    return float(metric.compute())


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
    k < 1 or a set of k members or fewer.
    Source: Kynkäänniemi et al. (2019), equations 1 and 2; they take k = 3.
    """
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

    Euclidean distance. `progress` shows a bar.
    """
    batches = tqdm(queries.split(batch_size), unit="batch", desc="nearest", disable=not progress)
    pairs = [torch.cdist(batch, among).min(1) for batch in batches]
    return torch.cat([pair.values for pair in pairs]), torch.cat([pair.indices for pair in pairs])


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


def _estimate(values: Tensor) -> Estimate:
    count = len(values)
    error = float(values.std() / math.sqrt(count)) if count > 1 else math.nan
    return Estimate(float(values.mean()), error)
