"""The other network: a small transformer on patches of the image, told the step index t."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ddpm_tutorial.models.layers import (
    PIXEL_FEATURES,
    Conditioned,
    attend,
    check_num_classes,
    step_features,
    widening,
    zero_init,
)

__all__ = [
    "HEAD_WIDTH",
    "Transformer",
    "TransformerBlock",
    "TransformerConfig",
    "position_features",
]

HEAD_WIDTH = 32  #: channels of one head of attention


@dataclass(frozen=True)
class TransformerConfig:
    """What is needed to build a `Transformer` again.

    A patch is a square of `patch` by `patch` pixels, and `width` numbers stand for it in each of
    the `blocks`. `num_classes = 0` means that the network takes no label; otherwise the label
    `num_classes` is the null token, which says that no class is told.
    """

    name: ClassVar = "transformer"

    image_channels: int = 1
    image_size: int = 28
    patch: int = 4
    width: int = 192
    blocks: int = 5
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.patch < 1 or self.image_size < 1 or self.image_size % self.patch:
            raise ValueError(
                f"patch = {self.patch}: use a divisor of the image's side, {self.image_size}"
            )
        if self.width < HEAD_WIDTH or self.width % HEAD_WIDTH:
            raise ValueError(f"width = {self.width}: use a positive multiple of {HEAD_WIDTH}")
        if self.blocks < 1:
            raise ValueError(f"blocks = {self.blocks}: use at least 1 block")
        check_num_classes(self.num_classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return (self.image_channels, self.image_size, self.image_size)

    def build(self, outputs: int = 1) -> "Transformer":
        """A freshly initialised `Transformer`; the weights come from torch's global seed."""
        return Transformer(self, outputs)


class Transformer(Conditioned):
    """A diffusion transformer, "DiT" (Peebles and Xie, 2023), with the zero start of that paper.

    The image is cut into patches. Each becomes a vector, to which is added where it lies; the
    blocks let these vectors look at each other; and in the end each is turned into a patch again.
    Nothing but the added positions says which patches are neighbours.
    """

    def __init__(self, config: TransformerConfig, outputs: int = 1) -> None:
        width, patch = config.width, config.patch
        super().__init__(width, width, config.num_classes)
        self.config = config
        channels = outputs * config.image_channels
        features = min(channels, PIXEL_FEATURES)

        self.cut = nn.PixelUnshuffle(patch)  # the fold of the U-Net: each patch in one position
        self.first = nn.Linear(patch**2 * config.image_channels, width)
        positions = position_features(config.image_size // patch, width)
        self.register_buffer("positions", positions, persistent=False)  # fixed: not kept in files
        self.positions: Tensor
        self.blocks = nn.ModuleList(TransformerBlock(width) for _ in range(config.blocks))

        self.norm = _norm(width)
        self.modulate = zero_init(nn.Linear(width, 2 * width))
        self.last = nn.Linear(width, patch**2 * features)
        if channels == features:
            zero_init(self.last)
        self.join = nn.PixelShuffle(patch)
        self.widen = widening(features, channels)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict from the noisy image.

        Shapes: `x_t` (B, C, H, W); `t` int64 (B,) in 1..T; `label` int64 (B,) in
        0..num_classes, the last the null token, for a class-conditional network only. Returns
        (B, outputs * C, H, W). Raises ValueError where a label is missing or not wanted.
        """
        embedding = self.embed(t, label, x_t.dtype)
        patches = self.cut(x_t)  # (B, patch^2 * C, rows, columns)
        h = self.first(patches.flatten(2).transpose(1, 2)) + self.positions  # (B, N, width)
        for block in self.blocks:
            h = block(h, embedding)
        scale, shift = self.modulate(embedding)[:, None].chunk(2, dim=-1)
        h = self.last(self.norm(h) * (1 + scale) + shift)
        patches = h.transpose(1, 2).unflatten(2, patches.shape[2:])
        output: Tensor = self.widen(self.join(patches))
        return output.to(x_t.dtype)

    def hidden_weights(self) -> list[nn.Parameter]:
        """The matrices between features in the blocks; not those that see the embedding."""
        return [
            weight
            for name, weight in self.blocks.named_parameters()
            if weight.ndim > 1 and "modulate" not in name
        ]


class TransformerBlock(nn.Module):
    """Attention between the positions, then two layers at each position alone, with shortcuts.

    The embedding of t scales and shifts what goes into each of the two, and scales what comes out.
    These scales start at 0, so that at first a block passes on what it gets ("adaLN-Zero").
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.modulate = zero_init(nn.Linear(width, 6 * width))
        self.norm = _norm(width)
        # Three matrices, not one of three times the height: Muon makes each orthogonal by itself.
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.alone = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Maps h (B, positions, width) and embedding (B, width) to the shape of h."""
        modulation = self.modulate(embedding)[:, None].chunk(6, dim=-1)
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = modulation
        x = self.norm(h) * (1 + scale_1) + shift_1
        x = attend(self.query(x), self.key(x), self.value(x), self.heads)
        h = h + gate_1 * self.output(x)
        x = self.norm(h) * (1 + scale_2) + shift_2
        output: Tensor = h + gate_2 * self.alone(x)
        return output


def position_features(side: int, width: int) -> Tensor:
    """Where each of side x side patches lies: sines and cosines of its row, then of its column.

    float32 (side^2, width), row by row. Row and column are told as `step_features` tells t.
    """
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    half = width // 2
    return torch.cat(
        [step_features(rows.flatten(), half), step_features(columns.flatten(), half)], 1
    )


def _norm(width: int) -> nn.LayerNorm:
    """Mean 0 and variance 1 over the features of each position; `modulate` does the scaling."""
    return nn.LayerNorm(width, elementwise_affine=False)
