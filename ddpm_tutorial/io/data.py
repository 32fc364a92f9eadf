"""MNIST and Fashion-MNIST: bytes in, images in [-1, 1] out; and pictures back to bytes."""

import functools
import gzip
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
from ddpm_tutorial.io.files import ASSETS

__all__ = [
    "BUNDLED",
    "BUNDLED_TRAIN",
    "DATA_VARIABLE",
    "SOURCES",
    "DamagedFile",
    "DataFile",
    "DataSource",
    "Dataset",
    "Digits",
    "Split",
    "from_bytes",
    "load_bundled",
    "load_mnist",
    "to_bytes",
]

Split = Literal["train", "test"]
Dataset = Literal["mnist", "fashion-mnist"]
BUNDLED = ASSETS / "mnist_5k.npz"
BUNDLED_TRAIN = 4_000
DATA_VARIABLE = "DDPM_TUTORIAL_DATA"


class DataFile(NamedTuple):
    """A data file: its name, number of bytes and checksum, and the name of that checksum."""

    name: str
    size: int
    digest: str
    algorithm: Literal["SHA-256", "MD5"]


class DataSource(NamedTuple):
    """A data set: how people call it, its class in torchvision, images and labels of each split."""

    title: str
    torchvision_name: str
    files: dict[Split, tuple[DataFile, DataFile]]


SOURCES: dict[Dataset, DataSource] = {
    "mnist": DataSource(  # unpacked
        "MNIST",
        "MNIST",
        {
            "train": (
                DataFile(
                    "train-images-idx3-ubyte",
                    47_040_016,
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "SHA-256",
                ),
                DataFile(
                    "train-labels-idx1-ubyte",
                    60_008,
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "SHA-256",
                ),
            ),
            "test": (
                DataFile(
                    "t10k-images-idx3-ubyte",
                    7_840_016,
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "SHA-256",
                ),
                DataFile(
                    "t10k-labels-idx1-ubyte",
                    10_008,
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                    "SHA-256",
                ),
            ),
        },
    ),
    "fashion-mnist": DataSource(  # packed: torchvision knows the checksums of these files
        "Fashion-MNIST",
        "FashionMNIST",
        {
            "train": (
                DataFile(
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    "MD5",
                ),
                DataFile(
                    "train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe", "MD5"
                ),
            ),
            "test": (
                DataFile(
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "bef4ecab320f06d8554ea6380940ec79",
                    "MD5",
                ),
                DataFile(
                    "t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310", "MD5"
                ),
            ),
        },
    ),
}


class Digits(NamedTuple):
    """Images float32 (N, 1, 28, 28) in [-1, 1], on 256 levels; labels int64 (N,), 0..9."""

    images: Tensor
    labels: Tensor


def load_mnist(split: Split, root: str | Path | None = None, dataset: Dataset = "mnist") -> Digits:
    """The images of `split`, "train" (60,000) or "test" (10,000).

    Looks in `root`, else in the folder named by $DDPM_TUTORIAL_DATA, else in the user's cache
    folder, for torchvision's layout (MNIST/raw/...). A folder that is named must hold the files.
    Where none is named and the cache is empty, they are downloaded into the cache; with no
    network, the digits of `load_bundled` stand in and a sentence says so. Every file is checked
    against its known size and checksum. Raises TutorialError that names a missing or damaged file
    and the remedy; a damaged file in the cache is removed.

    `dataset` = "fashion-mnist" gives pictures of ten kinds of clothes in the place of digits (Xiao
    et al., 2017), read from the packed files in FashionMNIST/raw/... Nothing stands in for them:
    with no network and no files, TutorialError says so.
    """
    check_choice("split", split, get_args(Split))
    check_choice("dataset", dataset, get_args(Dataset))
    source = SOURCES[dataset]
    named = root or os.environ.get(DATA_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        for path in _paths(folder, split, source):
            if not path.is_file():
                where, remedy = (
                    (folder, "name no folder") if root else (f"${DATA_VARIABLE}", "unset it")
                )
                raise TutorialError(
                    f"{path} does not exist. {where} must be a folder with {source.title} in "
                    f"torchvision's layout; {remedy} to have {source.title} downloaded"
                )
        try:
            return _read(folder, split, source)
        except DamagedFile as error:
            raise TutorialError(f"{error}. Copy it again, from where it is whole") from None

    cache = Path(platformdirs.user_cache_dir("ddpm_tutorial"))
    if not all(path.is_file() for path in _paths(cache, split, source)):
        try:
            _download(cache, source)
        except (OSError, RuntimeError) as error:  # what torchvision raises for want of a network
            if dataset == "mnist":
                _say_bundled_once()
                return load_bundled(split)
            raise TutorialError(
                f"{source.title} could not be downloaded, and none of it ships with ddpm_tutorial: "
                f"{str(error).rstrip('.')}. Try again with a network, or name a folder that holds "
                f"{source.torchvision_name}/raw/{source.files[split][0].name} and the files beside "
                f"it"
            ) from None
    try:
        return _read(cache, split, source)
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


def _paths(folder: Path, split: Split, source: DataSource) -> list[Path]:
    """Images and labels of a split, where torchvision puts them."""
    return [folder / source.torchvision_name / "raw" / file.name for file in source.files[split]]


def _read(folder: Path, split: Split, source: DataSource) -> Digits:
    images, labels = (
        _checked_bytes(path, file, source.title)
        for path, file in zip(_paths(folder, split, source), source.files[split], strict=True)
    )
    return Digits(
        from_bytes(torch.from_numpy(images[16:].reshape(-1, 1, 28, 28))),
        torch.from_numpy(labels[8:]).long(),
    )


def _checked_bytes(path: Path, file: DataFile, title: str) -> np.ndarray:
    """The content of a data file, unpacked if it is packed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TutorialError(f"cannot read {path}: {error.strerror}") from None
    if len(content) != file.size:
        raise DamagedFile(path, f"it has {len(content):,} bytes and should have {file.size:,}")
    checksum = hashlib.new(file.algorithm.replace("-", ""), content, usedforsecurity=False)
    if checksum.hexdigest() != file.digest:
        raise DamagedFile(path, f"its {file.algorithm} checksum is not that of {title}")
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return np.frombuffer(bytearray(content), dtype=np.uint8)


def _download(cache: Path, source: DataSource) -> None:
    """Download `source` into `cache`: first beside it, and in place only once it is whole."""
    cache.mkdir(parents=True, exist_ok=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # else a silent network would hang for ever
    name = source.torchvision_name
    try:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            getattr(torchvision.datasets, name)(scratch, download=True)
            for split in get_args(Split):
                try:
                    _read(Path(scratch), split, source)
                except DamagedFile as error:
                    raise TutorialError(
                        f"the download of {source.title} failed: {error.path.name} arrived "
                        f"damaged. It was removed: run again to download it anew"
                    ) from None
            shutil.rmtree(cache / name, ignore_errors=True)
            os.replace(Path(scratch) / name, cache / name)
    finally:
        socket.setdefaulttimeout(timeout)


@functools.cache
def _say_bundled_once() -> None:
    print(
        "MNIST could not be downloaded: using the 5,000 real MNIST digits that ship with "
        "ddpm_tutorial instead (4,000 to train, 1,000 to test).",
        file=sys.stderr,
    )
