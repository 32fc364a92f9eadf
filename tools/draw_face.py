"""Draw the pictures that stand for the book: digits that form, for its first page and for links.

Writes book/_static/forming.png and book/_static/card.png; some ten seconds on one core.
"""

from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddpm_tutorial import DDIM, load_pretrained, sample_path
from ddpm_tutorial.plotting import digit_sheet, save_sheet

STATIC = Path(__file__).parent.parent / "book" / "_static"
SEED, STEPS = 7, 200
TITLE, LINE = "Diffusion models,\nderived and checked", "A book whose every equation is tested"
CARD, GROUND, WORDS = (1200, 630), "#12284c", "#ffffff"


def forming(labels: list[int], columns: int) -> Tensor:
    """One row for each label, (rows * columns, 1, 28, 28): x_t from noise to digit, left to right.

    The columns are even in log-SNR between the two places where something is to be seen.
    """
    model = load_pretrained("mnist-labels")
    denoiser = model.denoiser(label=torch.tensor(labels))
    generator = torch.Generator().manual_seed(SEED)
    seen = [(t, x) for t, x, _ in sample_path(denoiser, len(labels), DDIM(), STEPS, generator)]
    log_snr = model.schedule.snr.log()
    wanted = torch.linspace(-5.0, 4.0, columns - 1)
    taken = [min(seen[:-1], key=lambda one: abs(log_snr[one[0]] - at))[1] for at in wanted]
    return torch.stack([*taken, seen[-1][1]], 1).flatten(0, 1)


def card(images: Tensor, columns: int) -> Image.Image:
    """The picture that a link to the book shows elsewhere."""
    picture = Image.new("RGB", CARD, GROUND)
    sheet = Image.fromarray(digit_sheet(images, columns))
    sheet = sheet.resize((CARD[0], CARD[0] * sheet.height // sheet.width), Image.Resampling.LANCZOS)
    picture.paste(sheet, (0, CARD[1] - sheet.height))
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    draw = ImageDraw.Draw(picture)
    for words, font, size, top in (
        (TITLE, "DejaVuSans-Bold", 72, 50),
        (LINE, "DejaVuSans", 34, 250),
    ):
        draw.multiline_text(
            (60, top), words, WORDS, ImageFont.truetype(fonts / f"{font}.ttf", size), spacing=14
        )
    return picture


if __name__ == "__main__":
    save_sheet(STATIC / "forming.png", forming([7, 2, 0, 9, 4, 3], 14), columns=14, zoom=2)
    card(forming([5, 8, 3], 14), 14).save(STATIC / "card.png", optimize=True)
