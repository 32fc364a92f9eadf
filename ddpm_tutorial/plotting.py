"""Pictures of digits and of training."""

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_tutorial.io.data import to_bytes
from ddpm_tutorial.io.files import write_atomically

if TYPE_CHECKING:  # the command line saves pictures without matplotlib
    from matplotlib.axes import Axes

BLUE = "#0072B2"  #: Okabe and Ito's palette: told apart by colour-blind readers too
ORANGE = "#D55E00"  #: the second of them
#: The colours of a map, once `use_book_style` was called: the lower, the more of the ground shows
#: through, so that the map suits a dark page too.
SHADE = "shade"
Images = Tensor | np.ndarray  #: of a picture, one value for each pixel


def digit_sheet(images: Tensor, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Images (N, 1, H, W) in [-1, 1] as one sheet, uint8 (height, width), row by row.

    By default the sheet is as square as it gets. Raises ValueError for any other shape.
    """
    if images.ndim != 4 or images.shape[1] != 1 or not len(images):
        raise ValueError(f"images have shape {tuple(images.shape)}: expected (N, 1, H, W)")
    count, _, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    levels = to_bytes(images.detach().cpu()).numpy()[:, 0]
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap), dtype=np.uint8)
    for index, digit in enumerate(levels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = digit
    return sheet


def save_sheet(path: str | Path, images: Tensor, zoom: int = 2, columns: int | None = None) -> None:
    """Write `digit_sheet` as a PNG, each pixel `zoom` wide, atomically."""
    picture = Image.fromarray(digit_sheet(images, columns))
    picture = picture.resize(
        (picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST
    )
    write_atomically(Path(path), _png(np.asarray(picture)))


def step_slider(images: Tensor, captions: list[str], description: str) -> str:
    """HTML that shows one at a time of `images` (N, 1, H, W) in [-1, 1], chosen with a slider.

    For `IPython.display.HTML`. It carries its own pictures, so that it also works in the rendered
    book, with no kernel and no network. The picture is 16 rem high where the page is wide enough.
    `captions` names each image; `description` says what there is to see, for those who cannot.
    Raises ValueError unless there are N >= 2 captions.
    """
    if len(captions) != len(images) or len(images) < 2:
        raise ValueError(
            f"{len(captions)} captions for {len(images)} images: give 2 or more, and one for each"
        )
    strip = _png(digit_sheet(images, columns=len(images), gap=0))
    height, width = images.shape[2:]
    name = "slider-" + hashlib.sha256(strip).hexdigest()[:8]
    move = (
        f"this.previousElementSibling.style.backgroundPositionX="
        f"100*this.value/{len(images) - 1}+'%';"
        f"this.nextElementSibling.textContent={json.dumps(captions)}[this.value]"
    )
    return (
        f'<div class="step-slider" style="max-width:{16 * width / height:.4g}rem;'
        f'margin:1rem auto;text-align:center">'
        f'<div role="img" aria-label="{html.escape(description)}" style="width:100%;'
        f"aspect-ratio:{width}/{height};image-rendering:pixelated;background:"
        f"url(data:image/png;base64,{base64.b64encode(strip).decode()}) 0 0/"
        f'{100 * len(images)}% 100%"></div>'
        f'<input type="range" id="{name}" min="0" max="{len(images) - 1}" value="0" '
        f'style="width:100%" oninput="{html.escape(move)}">'
        f'<label for="{name}" aria-live="polite">{html.escape(captions[0])}</label></div>'
    )


def draw_digits(ax: "Axes", images: Tensor, columns: int | None = None, title: str = "") -> None:
    """Show `digit_sheet` in a matplotlib axes."""
    ax.imshow(digit_sheet(images, columns), cmap="gray", vmin=0, vmax=255)
    ax.set_title(title)
    ax.axis("off")


def picture_table(
    rows: Mapping[str, Images | Sequence[Images]], heads: Sequence[str] = ()
) -> np.ndarray:
    """Draw rows of images on a new figure, each row with its label, each column with its head.

    `rows` gives for each label its images, (columns, 1, H, W) in [-1, 1] or a list of (1, H, W).
    Returns the axes (rows, columns), one for each image, for what is to be drawn on top of it.
    Raises ValueError unless all rows are of one length, and there are as many heads, or none.
    """
    from matplotlib import pyplot as plt

    lengths = {label: len(images) for label, images in rows.items()}
    counts = {*lengths.values()} | ({len(heads)} if heads else set())
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"rows of {lengths} images under {len(heads)} heads: the numbers differ")
    (columns,) = counts
    size = (5, 0.4 + 5 / columns * len(rows))  # high enough: the layout takes out what is too much
    _, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="compressed")
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=True):
            draw_digits(ax, torch.as_tensor(image)[None])
        beside = {"xycoords": "axes fraction", "textcoords": "offset points"}
        line[0].annotate(label, (0, 0.5), (-5, 0), ha="right", va="center", size=11, **beside)
    for ax, head in zip(axes[0], heads, strict=False):
        ax.set_title(head, fontsize=11)
    return axes


def draw_loss(ax: "Axes", losses: list[float], window: int = 50) -> None:
    """Plot the loss of each step and its running mean over `window` steps."""
    steps = torch.arange(1, len(losses) + 1)
    ax.plot(steps, losses, color=BLUE, alpha=0.35, linewidth=1, label="one batch")
    if len(losses) >= window:
        means = torch.tensor(losses).unfold(0, window, 1).mean(1)
        ax.plot(steps[window - 1 :], means, color=ORANGE, label=f"mean of {window}")
    ax.set_yscale("log")
    ax.set_xlabel("training step")
    ax.set_ylabel("loss")
    ax.legend()


def use_book_style() -> None:
    """Set matplotlib up for the book: large type, colours for everyone, white ground.

    In a notebook, figures become vectors (SVG), the same bytes for the same figure.
    """
    import matplotlib
    from matplotlib import pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    if SHADE not in matplotlib.colormaps:
        shade = LinearSegmentedColormap.from_list(SHADE, ["#00000000", "#000000"])
        matplotlib.colormaps.register(shade)
    colours = [BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
    plt.rcParams.update(
        {
            "axes.facecolor": "white",
            "axes.prop_cycle": plt.cycler(color=colours),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 200,  # of what a vector figure holds as pixels
            "figure.facecolor": "white",
            "figure.figsize": (5, 3.2),
            "font.size": 12,
            "image.interpolation": "none",
            "lines.linewidth": 2,
            "svg.hashsalt": "ddpm_tutorial",
        }
    )
    if "inline" in plt.get_backend():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None})


def _png(sheet: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, format="PNG")
    return content.getvalue()
