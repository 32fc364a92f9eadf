"""What a network costs, counted by hand: arithmetic, and memory for the backward pass."""

from typing import NamedTuple

from ddpm_tutorial.models.layers import PIXEL_FEATURES
from ddpm_tutorial.models.transformer import HEAD_WIDTH, TransformerConfig
from ddpm_tutorial.models.unet import SelfAttention, UNetConfig

__all__ = [
    "Cost",
    "attention_activations",
    "attention_flops",
    "block_activations",
    "conv_flops",
    "transformer_cost",
    "unet_cost",
]


class Cost(NamedTuple):
    """What one image costs in a network; a batch costs as many times more as it holds images.

    `forward` and `training` are floating-point operations (FLOP) of one network evaluation and of
    one evaluation with its backward pass. Only convolutions and matrix products count, an addition
    and a multiplication each as one operation, as in torch.utils.flop_counter. `activations` is
    how many numbers the backward pass needs to find again.
    """

    forward: int
    training: int
    activations: int


def conv_flops(inputs: int, outputs: int, kernel: int, positions: int) -> int:
    """FLOP of a convolution from `inputs` to `outputs` channels, at `positions` output pixels.

    Each output is a sum of kernel^2 * inputs products. With `kernel` = 1, a linear layer.
    """
    return 2 * positions * kernel**2 * inputs * outputs


def attention_flops(width: int, positions: int) -> int:
    """FLOP of a `SelfAttention` layer; the number of heads does not matter.

    Four linear maps at each position, then, for each pair of positions, the product of query and
    key and the weighted sum of values.
    """
    return 8 * positions * width**2 + 4 * positions**2 * width


def block_activations(inputs: int, width: int, positions: int) -> int:
    """Numbers that a `ResidualBlock` without dropout keeps for its backward pass.

    The input of each normalisation, each SiLU and each convolution, and that of the scaling.
    """
    return positions * (3 * inputs + 4 * width)


def attention_activations(width: int, positions: int, heads: int) -> int:
    """Numbers that a `SelfAttention` layer keeps for its backward pass.

    Its input, before and after the normalisation; query, key and value; the weights of every pair
    of positions for each head; the heads' output.
    """
    return 6 * positions * width + heads * positions**2


def unet_cost(config: UNetConfig, outputs: int = 1) -> Cost:
    """Cost of `UNet(config, outputs)` without dropout, for one image.

    The backward pass of a layer takes two products as large as the forward one: for the gradient
    of its weights and for that of its input. The layers that see the data need no gradient of
    their input. What grows with the image is counted as activations; the embedding of t is not.
    """
    widths, blocks = config.channels, config.blocks
    embedding = 4 * widths[0]
    positions = [(config.image_size // 2 ** (level + 1)) ** 2 for level in range(len(widths))]
    pixels = config.image_size**2 * config.image_channels
    channels = outputs * config.image_channels
    features = min(channels, PIXEL_FEATURES)

    seeing_data = conv_flops(4 * config.image_channels, widths[0], 3, positions[0])
    seeing_data += conv_flops(widths[0], embedding, 1, 1)
    inner = conv_flops(embedding, embedding, 1, 1)
    activations = pixels

    def block(inputs: int, width: int, n: int) -> None:
        nonlocal inner, activations
        inner += conv_flops(inputs, width, 3, n) + conv_flops(width, width, 3, n)
        inner += conv_flops(embedding, 2 * width, 1, 1)
        inner += conv_flops(inputs, width, 1, n) if inputs != width else 0
        activations += block_activations(inputs, width, n)

    for level, (width, n) in enumerate(zip(widths, positions, strict=True)):
        for _ in range(blocks):
            block(width, width, n)  # on the way down
            block(2 * width, width, n)  # on the way up, with the skip
        if level + 1 < len(widths):
            lower, fewer = widths[level + 1], positions[level + 1]
            inner += conv_flops(width, lower, 3, fewer) + conv_flops(lower, width, 3, n)
            activations += width * n + lower * n

    width, n = widths[-1], positions[-1]
    block(width, width, n)
    inner += attention_flops(width, n)
    activations += attention_activations(width, n, SelfAttention.heads_of(width))
    block(width, width, n)

    inner += conv_flops(widths[0], 4 * features, 3, positions[0])
    activations += 3 * widths[0] * positions[0]
    if channels > features:
        inner += conv_flops(features, channels, 1, config.image_size**2)
        activations += 2 * features * config.image_size**2
    return Cost(seeing_data + inner, 2 * seeing_data + 3 * inner, activations)


def transformer_cost(config: TransformerConfig, outputs: int = 1) -> Cost:
    """Cost of `Transformer(config, outputs)` for one image; counted as in `unet_cost`."""
    width, patch, n = config.width, config.patch, (config.image_size // config.patch) ** 2
    channels = outputs * config.image_channels
    features = min(channels, PIXEL_FEATURES)

    seeing_data = conv_flops(patch**2 * config.image_channels, width, 1, n)
    seeing_data += conv_flops(width, width, 1, 1)  # t
    inner = conv_flops(width, width, 1, 1) + conv_flops(width, 2 * width, 1, 1)
    block = conv_flops(width, 6 * width, 1, 1)
    block += attention_flops(width, n) + 2 * conv_flops(width, 4 * width, 1, n)
    inner += config.blocks * block
    inner += conv_flops(width, patch**2 * features, 1, n)
    # In a block: the input of each normalisation, scaling and linear map, query, key and value, and
    # both sides of the GELU, four times as wide; and the weights of every pair of positions.
    kept = 20 * n * width + (width // HEAD_WIDTH) * n**2
    activations = n * patch**2 * config.image_channels + config.blocks * kept + 3 * n * width
    if channels > features:
        inner += conv_flops(features, channels, 1, config.image_size**2)
        activations += 2 * features * config.image_size**2
    return Cost(seeing_data + inner, 2 * seeing_data + 3 * inner, activations)
