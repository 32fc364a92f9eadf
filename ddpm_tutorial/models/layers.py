"""What networks are made of, whatever their shape: how t is told, attention, the zero start."""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "PIXEL_FEATURES",
    "Conditioned",
    "attend",
    "attention_weights",
    "check_num_classes",
    "step_features",
    "widening",
    "zero_init",
]

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)
#: Where more output channels than these are asked for, so many features of each pixel are worked
#: out in the folded picture, and one layer at full size makes the outputs of them.
PIXEL_FEATURES = 32


def check_num_classes(num_classes: int) -> None:
    """Raise ValueError unless a configuration asks for 0 classes or more."""
    if num_classes < 0:
        raise ValueError(f"num_classes = {num_classes}: use 0 for no labels, or their count")


class Conditioned(nn.Module):
    """A network that is told t, and a label if it has `num_classes`: both in one vector.

    `features` is how many sines and cosines of t it sees, `width` the length of the vector.
    """

    def __init__(self, features: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.num_classes: int = num_classes
        self.embed_step = nn.Sequential(
            nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.embed_class = nn.Embedding(num_classes + 1, width) if num_classes else None

    def embed(self, t: Tensor, label: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The vector, (B, width), for t int64 (B,) and label int64 (B,) in 0..num_classes.

        The last label is the null token. Raises ValueError where a label is missing or not wanted.
        """
        embedding: Tensor = self.embed_step(step_features(t, self.features).to(dtype))
        if self.embed_class is not None:
            if label is None:
                raise ValueError(
                    f"this network was trained with labels: pass label, one of "
                    f"0..{self.num_classes - 1} for each image, or {self.num_classes} to tell it "
                    f"nothing; model.denoiser takes it too"
                )
            embedding = embedding + self.embed_class(label)
        elif label is not None:
            raise ValueError("this network takes no label: leave label out")
        return F.silu(embedding)


def step_features(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of t at `width / 2` frequencies (Vaswani et al., 2017, section 3.5).

    `t` (B,) -> float32 (B, width).
    """
    frequencies = torch.exp(
        -math.log(10_000.0) * torch.arange(width // 2, device=t.device) / (width // 2)
    )
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention (Vaswani et al., 2017, equation 1): each position sums up the values.

    All (B, positions, width), and so is the result; each of the `heads` has its share of the width.
    """
    weights = attention_weights(query, key, heads)
    return (weights @ _by_head(value, heads)).transpose(1, 2).flatten(2)


def attention_weights(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """What share each position takes from each: (B, heads, positions, positions), rows sum to 1.

    `query` and `key` are (B, positions, width).
    """
    query, key = _by_head(query, heads), _by_head(key, heads)
    # Written out: for so few positions the fused kernel of torch is six times as slow on a CPU.
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    weights: Tensor = scores.softmax(-1)
    return weights


def _by_head(features: Tensor, heads: int) -> Tensor:
    """(B, positions, width) -> (B, heads, positions, width / heads)."""
    batch, positions, width = features.shape
    return features.view(batch, positions, heads, width // heads).transpose(1, 2)


def zero_init(layer: _Layer) -> _Layer:
    """Set the weights and the bias of `layer` to 0, in place; return it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def widening(features: int, channels: int) -> nn.Module:
    """The layer from `features` of each pixel to more channels, 0 at first; none if they suffice.

    Maps (B, features, H, W) to (B, channels, H, W).
    """
    if channels == features:
        return nn.Identity()
    return nn.Sequential(nn.SiLU(), zero_init(nn.Conv2d(features, channels, 1)))
