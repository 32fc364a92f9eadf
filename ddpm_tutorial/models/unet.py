"""The noise predictor: a small U-Net that is told the step index t."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_tutorial.models.layers import (
    PIXEL_FEATURES,
    Conditioned,
    attend,
    check_num_classes,
    widening,
    zero_init,
)

__all__ = [
    "GroupNorm",
    "ResidualBlock",
    "SelfAttention",
    "UNet",
    "UNetConfig",
]


@dataclass(frozen=True)
class UNetConfig:
    """What is needed to build a `UNet` again.

    `channels` holds the width of each resolution, finest first; the resolution is halved
    between neighbours. `num_classes = 0` means that the network takes no label; otherwise the label
    `num_classes` is the null token, which says that no class is told.
    """

    name: ClassVar = "unet"

    image_channels: int = 1
    image_size: int = 28
    channels: tuple[int, ...] = (48, 96)
    blocks: int = 2
    dropout: float = 0.0
    num_classes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a file holds it as a list
        halvings = len(self.channels)  # one by the pixel unshuffle, one between neighbours
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(
                f"channels = {self.channels}: give positive multiples of 8, finest first"
            )
        if self.image_size % 2**halvings:
            raise ValueError(
                f"image_size = {self.image_size} cannot be halved {halvings} times: "
                f"use fewer entries in channels (now {self.channels})"
            )
        if self.blocks < 1:
            raise ValueError(f"blocks = {self.blocks}: use at least 1 block for each resolution")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout}: use a probability in [0, 1)")
        check_num_classes(self.num_classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return (self.image_channels, self.image_size, self.image_size)

    def build(self, outputs: int = 1) -> "UNet":
        """A freshly initialised `UNet`; the weights come from torch's global seed."""
        return UNet(self, outputs)


class UNet(Conditioned):
    """A U-Net (Ronneberger et al., 2015) conditioned on t, in the shape used by Ho et al. (2020).

    The image is first folded: each 2x2 square of pixels becomes four channels. All the
    convolutions then run on a quarter of the positions, which is most of the speed on a CPU,
    and 28x28 needs no padding. It gives `outputs` numbers for each entry of the image, and does not
    know what they mean.
    """

    def __init__(self, config: UNetConfig, outputs: int = 1) -> None:
        widths = config.channels
        embedding = 4 * widths[0]
        super().__init__(widths[0], embedding, config.num_classes)
        self.config = config
        channels = outputs * config.image_channels
        features = min(channels, PIXEL_FEATURES)

        def block(inputs: int, width: int) -> ResidualBlock:
            return ResidualBlock(inputs, width, embedding, config.dropout)

        self.fold = nn.PixelUnshuffle(2)
        self.first = nn.Conv2d(4 * config.image_channels, widths[0], 3, padding=1)
        down: list[nn.Module] = []  # in the order of use
        for width, next_width in zip(widths, (*widths[1:], None), strict=True):
            down += [block(width, width) for _ in range(config.blocks)]
            if next_width is not None:
                down.append(nn.Conv2d(width, next_width, 3, stride=2, padding=1))
        self.down = nn.ModuleList(down)

        self.middle_in = block(widths[-1], widths[-1])
        self.attention = SelfAttention(widths[-1])
        self.middle_out = block(widths[-1], widths[-1])

        up: list[nn.Module] = []
        for width, next_width in zip(reversed(widths), (*reversed(widths[:-1]), None), strict=True):
            up += [block(2 * width, width) for _ in range(config.blocks)]
            if next_width is not None:
                up.append(nn.Conv2d(width, next_width, 3, padding=1))
        self.up = nn.ModuleList(up)

        # The last layer of all starts at 0.
        last = nn.Conv2d(widths[0], 4 * features, 3, padding=1)
        if channels == features:
            zero_init(last)
        self.last = nn.Sequential(GroupNorm(8, widths[0]), nn.SiLU(), last)
        self.unfold = nn.PixelShuffle(2)
        self.widen = widening(features, channels)
        self.to(memory_format=torch.channels_last)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict from the noisy image.

        Shapes: `x_t` (B, C, H, W); `t` int64 (B,) in 1..T; `label` int64 (B,) in
        0..num_classes, the last the null token, for a class-conditional network only. Returns
        (B, outputs * C, H, W). Raises ValueError where a label is missing or not wanted.
        """
        embedding = self.embed(t, label, x_t.dtype)
        h = self.first(self.fold(x_t).contiguous(memory_format=torch.channels_last))
        skips = []
        for layer in self.down:
            if isinstance(layer, ResidualBlock):
                h = layer(h, embedding)
                skips.append(h)
            else:
                h = layer(h)

        h = self.middle_out(self.attention(self.middle_in(h, embedding)), embedding)

        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                h = layer(torch.cat([h, skips.pop()], dim=1), embedding)
            else:
                h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        output: Tensor = self.widen(self.unfold(self.last(h)))
        return output.to(x_t.dtype)

    def hidden_weights(self) -> list[nn.Parameter]:
        """The convolutions and linear maps between features; not those that see the embedding."""
        middle = [self.middle_in, self.attention, self.middle_out]
        inside = nn.ModuleList([*self.down, *middle, *self.up])
        return [
            weight
            for name, weight in inside.named_parameters()
            if weight.ndim > 1 and "modulate" not in name
        ]


class GroupNorm(nn.GroupNorm):
    """Normalisation over groups of channels, in the precision of its weights.

    Under mixed precision that is float32: more exact, and on a CPU a third faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (B, width, H, W) to the same shape and dtype."""
        # Not F.group_norm: it refuses one image where each group holds a single value.
        output = torch.group_norm(
            x.to(self.weight.dtype), self.num_groups, self.weight, self.bias, self.eps
        )
        return output.to(x.dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the embedding of t scales and shifts in between."""

    def __init__(self, inputs: int, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = GroupNorm(8, inputs)
        self.conv_1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * width)
        self.norm_2 = GroupNorm(8, width)
        self.dropout = nn.Dropout(dropout)
        # Zero: at the start every block is its own shortcut, which makes early steps tame.
        self.conv_2 = zero_init(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = nn.Identity() if inputs == width else nn.Conv2d(inputs, width, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Maps x (B, inputs, H, W) and embedding (B, E) to (B, width, H, W)."""
        h: Tensor = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.norm_2(h) * (1 + scale) + shift
        output: Tensor = self.shortcut(x) + self.conv_2(self.dropout(F.silu(h)))
        return output


class SelfAttention(nn.Module):
    """Multi-head self-attention between the positions of a feature map, with a shortcut."""

    head_width = 24

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = self.heads_of(width)
        self.norm = GroupNorm(8, width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = zero_init(nn.Linear(width, width))

    @classmethod
    def heads_of(cls, width: int) -> int:
        """How many heads share `width` channels: about 24 channels each, all the same."""
        heads = max(1, width // cls.head_width)
        while width % heads:
            heads -= 1
        return heads

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (B, width, H, W) to the same shape."""
        batch, width, height, breadth = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = self.query_key_value(h).chunk(3, dim=-1)
        h = self.output(attend(query, key, value, self.heads)).transpose(1, 2)
        output: Tensor = x + h.reshape(batch, width, height, breadth)
        return output
