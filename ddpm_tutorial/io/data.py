"""MNIST and Fashion-MNIST: bytes in, images in [-1, 1] out; and pictures back to bytes."""

import functools
import gzip
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Literal, NamedTuple, get_args
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import platformdirs
import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.errors import TutorialError, check_choice, check_finite
from ddpm_tutorial.io.files import ASSETS, shortened

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

Split = Literal["train", "test"]  #: the two parts of a data set
Dataset = Literal["mnist", "fashion-mnist"]  #: the words for the data sets
BUNDLED = ASSETS / "mnist_5k.npz"  #: the digits that ship
BUNDLED_TRAIN = 4_000  #: so many of them are for training, the rest for tests
DATA_VARIABLE = "DDPM_TUTORIAL_DATA"  #: names the folder with the data


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


_SHA_256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_DIGITS = (  # unpacked
    DataFile("train-images-idx3-ubyte", 47_040_016, _SHA_256[0], "SHA-256"),
    DataFile("train-labels-idx1-ubyte", 60_008, _SHA_256[1], "SHA-256"),
    DataFile("t10k-images-idx3-ubyte", 7_840_016, _SHA_256[2], "SHA-256"),
    DataFile("t10k-labels-idx1-ubyte", 10_008, _SHA_256[3], "SHA-256"),
)
_CLOTHES = (  # packed: torchvision knows the checksums of these files
    DataFile("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "MD5"),
    DataFile("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe", "MD5"),
    DataFile("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79", "MD5"),
    DataFile("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310", "MD5"),
)
_FASHION: dict[Split, tuple[DataFile, DataFile]] = {"train": _CLOTHES[:2], "test": _CLOTHES[2:]}
#: Where each data set comes from.
SOURCES: dict[Dataset, DataSource] = {
    "mnist": DataSource("MNIST", "MNIST", {"train": _DIGITS[:2], "test": _DIGITS[2:]}),
    "fashion-mnist": DataSource("Fashion-MNIST", "FashionMNIST", _FASHION),
}


class Digits(NamedTuple):
    """Images float32 (N, 1, 28, 28) in [-1, 1], on 256 levels; labels int64 (N,), 0..9."""

    images: Tensor
    labels: Tensor


def load_mnist(split: Split, root: str | Path | None = None, dataset: Dataset = "mnist") -> Digits:
    """The images of `split`, "train" (60,000) or "test" (10,000).

    Looks in `root`, else in the folder named by $DDPM_TUTORIAL_DATA, else in the user's cache
    folder, for torchvision's layout (MNIST/raw/...). A folder that is named must hold the files.
    Where none is named and the cache is empty, they are downloaded into the cache, by one process
    where several start at once; with no network, the digits of `load_bundled` stand in and a
    sentence says so. Every file is checked against its known size and checksum. Raises
    TutorialError that names a missing or damaged file, or a folder that cannot be used, and the
    remedy; a damaged file in the cache is removed.

    `dataset` = "fashion-mnist" gives pictures of ten kinds of clothes in the place of digits (Xiao
    et al., 2017), read from the packed files in FashionMNIST/raw/... Nothing stands in for them:
    with no network and no files, TutorialError says so.
    """
    check_choice("split", split, get_args(Split))
    check_choice("dataset", dataset, get_args(Dataset))
    source = SOURCES[dataset]
    named = root or os.environ.get(DATA_VARIABLE)
    folder = _folder(named)
    if named:
        if path := _missing(folder, split, source):
            where, undo = (folder, "name no folder") if root else (f"${DATA_VARIABLE}", "unset it")
            raise TutorialError(
                f"{path} does not exist. {where} must be a folder with {source.title} in "
                f"torchvision's layout; {undo} to have {source.title} downloaded"
            )
    elif _missing(folder, split, source):
        try:
            _fill(folder, split, source)
        except ConnectionError as error:
            if dataset == "mnist":
                _say_bundled_once()
                return load_bundled(split)
            raise TutorialError(
                f"{source.title} could not be downloaded, and none of it ships with ddpm_tutorial: "
                f"{error}. Try with a network, or {_ELSEWHERE}: {source.torchvision_name}/raw/..."
            ) from None
    try:
        return _read(folder, split, source)
    except DamagedFile as error:
        if named:
            raise TutorialError(f"{error}. Copy it again, from where it is whole") from None
        try:
            error.path.unlink(missing_ok=True)  # another process may have been faster
            remedy = "It was removed: run again to download it anew"
        except OSError as refusal:
            remedy = f"It cannot be removed ({_why(refusal)}): remove it, or {_ELSEWHERE}"
        raise TutorialError(f"{error}. {remedy}") from None


def load_bundled(split: Split) -> Digits:
    """The real MNIST digits that ship with the package: 4,000 to train, 1,000 to test.

    The ten digits are equally frequent in any stretch of ten. They are the same on every machine,
    which the notebooks rely on. All 5,000 come from MNIST's training set. Raises TutorialError
    where the file is missing or damaged.
    """
    check_choice("split", split, get_args(Split))
    try:
        with np.load(BUNDLED, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise TutorialError(f"{BUNDLED} is damaged or gone: install ddpm_tutorial again") from None
    part = slice(None, BUNDLED_TRAIN) if split == "train" else slice(BUNDLED_TRAIN, None)
    return Digits(
        from_bytes(torch.from_numpy(images[part]))[:, None],
        torch.from_numpy(labels[part]).long(),
    )


def from_bytes(levels: Tensor) -> Tensor:
    """Grey levels uint8 0..255 to float32 in [-1, 1]."""
    return levels.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to grey levels uint8, rounded to the nearest; beyond the ends, cut.

    Raises ValueError for values that are not finite.
    """
    check_finite("images", images)
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class DamagedFile(TutorialError):
    """A data file whose size or checksum is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path


_ELSEWHERE = f"name a folder (--data or ${DATA_VARIABLE}) with the files in torchvision's layout"
_TIMEOUT = 20  # seconds: else a silent network would hang for ever


def _folder(named: str | Path | None) -> Path:
    """The folder that is named, else the user's cache folder."""
    try:
        return Path(named or platformdirs.user_cache_dir("ddpm_tutorial")).expanduser()
    except RuntimeError:
        raise TutorialError(f"no home folder for {named or 'the cache'}; {_ELSEWHERE}") from None


def _paths(folder: Path, split: Split, source: DataSource) -> list[Path]:
    """Images and labels of a split, where torchvision puts them."""
    return [folder / source.torchvision_name / "raw" / file.name for file in source.files[split]]


def _missing(folder: Path, split: Split, source: DataSource) -> Path | None:
    """The first file of a split that is not there; TutorialError where the system hides it."""
    for path in _paths(folder, split, source):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return path
        except (FileNotFoundError, NotADirectoryError):
            return path
        except (OSError, ValueError) as error:  # no permission, too long a name, a NUL in it
            raise TutorialError(
                f"cannot see {shortened(path)}: {_why(error)}; {_ELSEWHERE}"
            ) from None
    return None


def _read(folder: Path, split: Split, source: DataSource) -> Digits:
    contents = []
    for path, file in zip(_paths(folder, split, source), source.files[split], strict=True):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TutorialError(f"cannot read {path}: {_why(error)}; {_ELSEWHERE}") from None
        _check(path, content, file, source)
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        contents.append(torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8)))
    images, labels = contents
    return Digits(from_bytes(images[16:].reshape(-1, 1, 28, 28)), labels[8:].long())


def _check(path: Path, content: bytes, file: DataFile, source: DataSource) -> None:
    if len(content) != file.size:
        raise DamagedFile(path, f"it has {len(content):,} bytes and should have {file.size:,}")
    checksum = hashlib.new(file.algorithm.replace("-", ""), content, usedforsecurity=False)
    if checksum.hexdigest() != file.digest:
        raise DamagedFile(path, f"its {file.algorithm} checksum is not that of {source.title}")


def _fill(cache: Path, split: Split, source: DataSource) -> None:
    """Have a split in `cache`, by one process for all; ConnectionError where no mirror answers."""
    offline = cache / f"{source.torchvision_name}.offline"  # touched where there is no network
    try:
        cache.mkdir(parents=True, exist_ok=True)
        before = offline.exists() and offline.stat().st_mtime_ns
        lock = FileLock(cache / f"{source.torchvision_name}.lock")  # a killed process frees it
        try:
            held = lock.acquire(timeout=1)
        except Timeout:
            print(f"Waiting for another process to download {source.title}.", file=sys.stderr)
            held = lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise TutorialError(f"cannot make or lock {cache}: {_why(error)}; {_ELSEWHERE}") from None
    with held:
        if not _missing(cache, split, source):
            return
        if before != (offline.exists() and offline.stat().st_mtime_ns):
            # Else each process in turn would wait for a silent network.
            raise ConnectionError("another process has just found no network")
        try:
            _download(cache, source)
        except ConnectionError:
            with suppress(OSError):
                offline.touch()
            raise


def _download(cache: Path, source: DataSource) -> None:
    """Put all files of `source` into `cache`, or none; the caller holds the lock."""
    contents = {f.name: _fetch(f, source) for pair in source.files.values() for f in pair}
    raw, part = cache / source.torchvision_name / "raw", f"{source.torchvision_name}.part-"
    try:
        for left_by_a_killed_process in cache.glob(f"{part}*"):
            shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
        raw.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=part, dir=cache) as scratch:
            for name, content in contents.items():
                Path(scratch, name).write_bytes(content)
            for name in contents:  # never a moment without: another process may be reading
                os.replace(Path(scratch, name), raw / name)
    except OSError as error:
        raise TutorialError(
            f"cannot write {error.filename2 or raw}: {_why(error)}. Free some space, move away "
            f"what is in its place, or {_ELSEWHERE}"
        ) from None


def _fetch(file: DataFile, source: DataSource) -> bytes:
    """The content of a data file, from the first mirror of torchvision's that gives it whole.

    torchvision's own download tells no missing network from an answer that is no file, and writes
    to the disk. Raises ConnectionError where no mirror answers, TutorialError where one does.
    """
    import torchvision  # here, since it takes as long to import as the rest of the package

    tried, answered = [], False
    for mirror in getattr(torchvision.datasets, source.torchvision_name).mirrors:
        url = f"{mirror}{file.name.removesuffix('.gz')}.gz"
        try:
            content = _get(url)
            content = content if file.name.endswith(".gz") else gzip.decompress(content)
            _check(Path(file.name), content, file, source)
            return content
        except (OSError, EOFError, HTTPException, zlib.error, DamagedFile) as error:
            # A bare URLError wraps what went wrong before any answer.
            reason = error.reason if type(error) is URLError else error
            answers = (HTTPError, SSLCertVerificationError, gzip.BadGzipFile)
            answered |= isinstance(reason, answers) or not isinstance(reason, OSError)
            tried.append(f"{url}: {_why(reason)}")
    if not answered:
        raise ConnectionError("; ".join(tried))
    raise TutorialError(
        f"{source.title} could not be downloaded ({'; '.join(tried)}). Run again, or {_ELSEWHERE}"
    )


def _get(url: str) -> bytes:
    """What a server sends, with a bar to show how much of it has come."""
    request = Request(url, headers={"User-Agent": "ddpm_tutorial"})
    name, hidden = url.rpartition("/")[2], sys.stderr is None  # Windows may have no console
    with (
        urlopen(request, timeout=_TIMEOUT) as answer,
        tqdm.wrapattr(answer, "read", answer.length, desc=name, disable=hidden) as arriving,
    ):
        return b"".join(iter(lambda: arriving.read(1 << 15), b""))


def _why(error: object) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())  # on one line


@functools.cache
def _say_bundled_once() -> None:
    print(
        "MNIST could not be downloaded: using the 5,000 real MNIST digits that ship with "
        "ddpm_tutorial instead (4,000 to train, 1,000 to test).",
        file=sys.stderr,
    )
