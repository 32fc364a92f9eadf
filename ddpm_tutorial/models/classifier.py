"""A digit classifier: its features are what the Frechet distance is measured on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ddpm_tutorial.errors import check_finite

__all__ = [
    "DigitClassifier",
    "classify",
]


class DigitClassifier(nn.Module):
    """A small convolutional network that reads digits.

    Two convolutions at each of three resolutions, then the mean over positions: 128 features for
    each image, and one linear layer from them to the ten logits. In eval mode an image's features
    do not depend on the batch it comes in.
    """

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width in (32, 64, self.num_features):
            for _ in range(2):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        layers.pop()  # the last resolution is averaged as it is
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(self.num_features, 10)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [-1, 1] to features (B, 128), none negative."""
        h: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
        return h.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [-1, 1] to logits (B, 10)."""
        logits: Tensor = self.head(self.features(images))
        return logits


@torch.no_grad()
def classify(
    classifier: DigitClassifier, images: Tensor, batch_size: int = 500, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and class probabilities (N, 10) of images (N, 1, 28, 28) in [-1, 1].

    `classifier` must be in eval mode: ValueError otherwise, since its features would depend on
    the batch; and for images of another shape, none, or values that are not finite. `progress`
    shows a bar.
    """
    if classifier.training:
        raise ValueError("the classifier is in training mode: call classifier.eval() first")
    if images.shape[1:] != (1, 28, 28) or not len(images):
        raise ValueError(
            f"images have shape {tuple(images.shape)}: give (N, 1, 28, 28), with N at least 1"
        )
    check_finite("images", images)
    images = images.to(classifier.head.weight.dtype)
    batches = tqdm(images.split(batch_size), unit="batch", desc="features", disable=not progress)
    features = torch.cat([classifier.features(batch) for batch in batches])
    return features, F.softmax(classifier.head(features), dim=1)
