"""MNIST: bytes in, images in [-1, 1] out; and pictures back to bytes."""

import functools
import hashlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import platformdirs
import torch
import torchvision
from torch import Tensor

from ddpm_tutorial.errors import TutorialError, check_choice

Split = Literal["train", "test"]
BUNDLED = Path(__file__).parent / "assets" / "mnist_5k.npz"
BUNDLED_TRAIN = 4_000
DATA_VARIABLE = "DDPM_TUTORIAL_DATA"
# Name, number of bytes and SHA-256 of the four files of MNIST, unpacked.
FILES: dict[Split, tuple[tuple[str, int, str], tuple[str, int, str]]] = {
    "train": (
        (
            "train-images-idx3-ubyte",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        (
            "t10k-images-idx3-ubyte",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}


class Digits(NamedTuple):
    """Images float32 (N, 1, 28, 28) in [-1, 1], on 256 levels; labels int64 (N,), 0..9."""

    images: Tensor
    labels: Tensor


def load_mnist(split: Split, root: str | Path | None = None) -> Digits:
    """The digits of `split`, "train" (60,000) or "test" (10,000).

    Looks in `root`, else in the folder named by $DDPM_TUTORIAL_DATA, else in the user's cache
    folder, for torchvision's layout (MNIST/raw/...). A folder that is named must hold the files.
    Where none is named and the cache is empty, MNIST is downloaded into the cache; with no
    network, the digits of `load_bundled` stand in and a sentence says so. Every file is checked
    against its known size and SHA-256. Raises TutorialError that names a missing or damaged file
    and the remedy; a damaged file in the cache is removed.
    """
    check_choice("split", split, get_args(Split))
    named = root or os.environ.get(DATA_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        for name, _, _ in FILES[split]:
            if not (path := folder / "MNIST" / "raw" / name).is_file():
                source, remedy = (
                    (folder, "name no folder") if root else (f"${DATA_VARIABLE}", "unset it")
                )
                raise TutorialError(
                    f"{path} does not exist. {source} must be a folder with MNIST in torchvision's "
                    f"layout; {remedy} to have MNIST downloaded"
                )
        try:
            return _read(folder, split)
        except DamagedFile as error:
            raise TutorialError(f"{error}. Copy it again, from where it is whole") from None

    cache = Path(platformdirs.user_cache_dir("ddpm_tutorial"))
    if not all((cache / "MNIST" / "raw" / name).is_file() for name, _, _ in FILES[split]):
        try:
            _download(cache)
        except (OSError, RuntimeError):  # what torchvision raises for want of a network
            _say_bundled_once()
            return load_bundled(split)
    try:
        return _read(cache, split)
    except DamagedFile as error:
        error.path.unlink()
        raise TutorialError(f"{error}. It was removed: run again to download it anew") from None


def load_bundled(split: Split) -> Digits:
    """The real MNIST digits that ship with the package: 4,000 to train, 1,000 to test.

    The ten digits are equally frequent in any stretch of ten. They are the same on every machine,
    which the notebooks rely on. All 5,000 come from MNIST's training set.
    """
    check_choice("split", split, get_args(Split))
    with np.load(BUNDLED, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    part = slice(None, BUNDLED_TRAIN) if split == "train" else slice(BUNDLED_TRAIN, None)
    return Digits(
        from_bytes(torch.from_numpy(images[part]))[:, None],
        torch.from_numpy(labels[part]).long(),
    )


def from_bytes(levels: Tensor) -> Tensor:
    """Grey levels uint8 0..255 to float32 in [-1, 1]."""
    return levels.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to grey levels uint8, rounded to the nearest; beyond the ends, cut."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class DamagedFile(TutorialError):
    """A data file whose size or checksum is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path


def _read(folder: Path, split: Split) -> Digits:
    images, labels = (
        _checked_bytes(folder / "MNIST" / "raw" / name, size, digest)
        for name, size, digest in FILES[split]
    )
    return Digits(
        from_bytes(torch.from_numpy(images[16:].reshape(-1, 1, 28, 28))),
        torch.from_numpy(labels[8:]).long(),
    )


def _checked_bytes(path: Path, size: int, digest: str) -> np.ndarray:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TutorialError(f"cannot read {path}: {error.strerror}") from None
    if len(content) != size:
        raise DamagedFile(path, f"it has {len(content):,} bytes and should have {size:,}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedFile(path, "its SHA-256 checksum is not that of MNIST")
    return np.frombuffer(bytearray(content), dtype=np.uint8)


def _download(cache: Path) -> None:
    """Download MNIST into `cache`: first beside it, and in place only once it is whole."""
    cache.mkdir(parents=True, exist_ok=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # else a silent network would hang for ever
    try:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            torchvision.datasets.MNIST(scratch, download=True)
            for split in get_args(Split):
                try:
                    _read(Path(scratch), split)
                except DamagedFile as error:
                    raise TutorialError(
                        f"the download of MNIST failed: {error.path.name} arrived damaged. It was "
                        f"removed: run again to download it anew"
                    ) from None
            shutil.rmtree(cache / "MNIST", ignore_errors=True)
            os.replace(Path(scratch) / "MNIST", cache / "MNIST")
    finally:
        socket.setdefaulttimeout(timeout)


@functools.cache
def _say_bundled_once() -> None:
    print(
        "MNIST could not be downloaded: using the 5,000 real MNIST digits that ship with "
        "ddpm_tutorial instead (4,000 to train, 1,000 to test).",
        file=sys.stderr,
    )
