import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from ddpm_tutorial import (
    SOURCES,
    DataFile,
    TutorialError,
    from_bytes,
    is_on_256_levels,
    load_bundled,
    load_mnist,
    to_bytes,
)
from ddpm_tutorial.io import data

RNG = np.random.default_rng(0)
CONTENT = {
    "train-images-idx3-ubyte": bytes(16) + RNG.bytes(3 * 784),
    "train-labels-idx1-ubyte": bytes(8) + bytes([5, 0, 4]),
    "t10k-images-idx3-ubyte": bytes(16) + RNG.bytes(2 * 784),
    "t10k-labels-idx1-ubyte": bytes(8) + bytes([7, 2]),
}


PACKED = {f"{name}.gz": gzip.compress(content[::-1]) for name, content in CONTENT.items()}


def write_layout(root, folder="MNIST", content=CONTENT):
    raw = Path(root) / folder / "raw"
    raw.mkdir(parents=True)
    for name, text in content.items():
        (raw / name).write_bytes(text)
    return raw


def write_clothes(root):
    """Made-up files in the place of Fashion-MNIST, packed: those of CONTENT, turned around."""
    return write_layout(root, "FashionMNIST", PACKED)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Tiny stand-ins for the data sets, an empty cache folder, and no folder named by the user."""
    for name, content in {"mnist": CONTENT, "fashion-mnist": PACKED}.items():
        entries = [
            DataFile(file, len(text), hashlib.new(algorithm, text).hexdigest(), written)
            for file, text in content.items()
            for algorithm, written in [
                ("sha256", "SHA-256") if content is CONTENT else ("md5", "MD5")
            ]
        ]
        files = {"train": tuple(entries[:2]), "test": tuple(entries[2:])}
        monkeypatch.setitem(data.SOURCES, name, data.SOURCES[name]._replace(files=files))
    folder = tmp_path / "cache"
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda name: str(folder))
    monkeypatch.delenv(data.DATA_VARIABLE, raising=False)
    data._say_bundled_once.cache_clear()
    return folder


def set_download(monkeypatch, action, name="MNIST"):
    calls = []

    def download(root, download):
        calls.append(root)
        return action(root)

    monkeypatch.setattr(torchvision.datasets, name, download)
    return calls


def no_network(root):
    (Path(root) / "MNIST").mkdir()  # torchvision leaves such things behind
    raise RuntimeError("Error downloading the file.")


def check_train(digits):
    levels = np.frombuffer(CONTENT["train-images-idx3-ubyte"][16:], np.uint8).reshape(3, 1, 28, 28)
    expected = torch.tensor(levels.astype(np.float64) / 127.5 - 1)
    torch.testing.assert_close(digits.images.double(), expected, rtol=0, atol=1e-7)
    assert digits.labels.tolist() == [5, 0, 4]


def test_bundled_digits():
    train, test = load_bundled("train"), load_bundled("test")
    assert train.images.shape == (4000, 1, 28, 28)
    assert test.images.shape == (1000, 1, 28, 28)
    for digits in (train, test):
        assert digits.images.dtype == torch.float32
        assert digits.labels.dtype == torch.int64
        assert is_on_256_levels(digits.images)
        assert (digits.images.amin((1, 2, 3)) == -1).all()
        tens = digits.labels.view(-1, 10).sort(1).values
        assert (tens == torch.arange(10)).all()
    rows = {row.numpy().tobytes() for row in train.images}
    assert len(rows) == 4000
    assert not any(row.numpy().tobytes() in rows for row in test.images)


def test_bytes_are_rounded_not_truncated():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(levels)), levels)
    nudged = from_bytes(levels) - 0.4 / 127.5
    assert torch.equal(to_bytes(nudged), levels)
    assert to_bytes(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


def test_a_named_folder_is_read(cache, tmp_path, monkeypatch):
    calls = set_download(monkeypatch, no_network)
    write_layout(tmp_path / "mine")
    check_train(load_mnist("train", tmp_path / "mine"))
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "mine"))
    check_train(load_mnist("train"))
    assert load_mnist("test").labels.tolist() == [7, 2]
    assert not calls


def test_search_order(cache, tmp_path, monkeypatch):
    """Each place holds one thing only that place could give, and is then taken away."""
    set_download(monkeypatch, no_network)
    damaged = write_layout(tmp_path / "damaged")
    for name in CONTENT:
        (damaged / name).write_bytes(b"")
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "damaged"))
    write_layout(tmp_path / "root")
    check_train(load_mnist("train", str(tmp_path / "root")))

    write_layout(cache)
    with pytest.raises(TutorialError, match="damaged"):
        load_mnist("train")
    monkeypatch.delenv(data.DATA_VARIABLE)
    check_train(load_mnist("train"))
    (cache / "MNIST" / "raw" / "train-images-idx3-ubyte").unlink()
    assert len(load_mnist("train").images) == 4000
    assert load_mnist("test").labels.tolist() == [7, 2]


def test_a_named_folder_without_the_files_is_an_error(cache, tmp_path, monkeypatch):
    raw = write_layout(tmp_path)
    (raw / "train-labels-idx1-ubyte").unlink()
    missing = "train-labels-idx1-ubyte does not exist"
    with pytest.raises(TutorialError, match=f"{missing}.*{tmp_path} must be .*name no folder"):
        load_mnist("train", tmp_path)
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(TutorialError, match=rf"{missing}.*\${data.DATA_VARIABLE} .*unset it"):
        load_mnist("train")
    assert load_mnist("test").labels.tolist() == [7, 2]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: c[:-1], r"2,367 bytes and should have 2,368\. Copy it again"),
        (lambda c: c[:-1] + bytes([c[-1] ^ 1]), r"SHA-256 checksum is not that of MNIST\. Copy it"),
    ],
)
def test_a_damaged_file_is_named(cache, tmp_path, damage, reason):
    raw = write_layout(tmp_path / "mine")
    name = "train-images-idx3-ubyte"
    (raw / name).write_bytes(damage(CONTENT[name]))
    with pytest.raises(TutorialError, match=f"{name} is damaged.*{reason}"):
        load_mnist("train", tmp_path / "mine")
    assert (raw / name).exists()


def test_downloads_once_into_the_cache(cache, monkeypatch):
    calls = set_download(monkeypatch, write_layout)
    check_train(load_mnist("train"))
    check_train(load_mnist("train"))
    assert load_mnist("test").labels.tolist() == [7, 2]
    assert len(calls) == 1
    assert [path.name for path in cache.iterdir()] == ["MNIST"]


def test_a_damaged_file_in_the_cache_is_removed_and_fetched_again(cache, monkeypatch):
    calls = set_download(monkeypatch, write_layout)
    name = "train-labels-idx1-ubyte"
    bad = write_layout(cache) / name
    bad.write_bytes(CONTENT[name][:-1])
    with pytest.raises(TutorialError, match=rf"{name} is damaged.*removed"):
        load_mnist("train")
    assert not bad.exists()
    check_train(load_mnist("train"))
    assert len(calls) == 1


def test_a_damaged_download_leaves_nothing_behind(cache, monkeypatch):
    def damaged(root):
        (write_layout(root) / "t10k-labels-idx1-ubyte").write_bytes(b"error page")

    set_download(monkeypatch, damaged)
    with pytest.raises(TutorialError, match=r"t10k-labels-idx1-ubyte arrived damaged.*run again"):
        load_mnist("train")
    assert not list(cache.iterdir())


def test_an_interrupted_download_leaves_nothing_behind(cache, monkeypatch):
    def interrupted(root):
        (write_layout(root) / "t10k-labels-idx1-ubyte").unlink()
        raise KeyboardInterrupt

    set_download(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_mnist("train")
    assert not list(cache.iterdir())


def test_with_no_network_the_bundled_digits_stand_in_and_say_so_once(cache, monkeypatch, capsys):
    set_download(monkeypatch, no_network)
    assert torch.equal(load_mnist("train").images, load_bundled("train").images)
    assert len(load_mnist("test").images) == 1000
    said, printed = reversed(capsys.readouterr())
    assert not printed
    assert said.count("5,000 real MNIST digits") == 1
    assert said.count("\n") == 1
    assert not list(cache.iterdir())


# Fashion-MNIST


def check_clothes(digits):
    """The first 8 bytes of the labels and 16 of the images are the header."""
    levels, labels = (
        CONTENT[f"train-{n}"][::-1] for n in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    levels = np.frombuffer(levels[16:], np.uint8).reshape(3, 1, 28, 28)
    assert torch.equal(to_bytes(digits.images), torch.tensor(levels))
    assert digits.labels.tolist() == list(labels[8:])


def test_fashion_mnist_is_read_from_its_own_folder(cache, tmp_path, monkeypatch):
    set_download(monkeypatch, no_network, "FashionMNIST")
    write_layout(tmp_path)
    write_clothes(tmp_path)
    check_clothes(load_mnist("train", tmp_path, "fashion-mnist"))
    check_train(load_mnist("train", tmp_path))
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert len(load_mnist("test", dataset="fashion-mnist").images) == 2


def test_fashion_mnist_is_downloaded_into_the_cache(cache, monkeypatch):
    digits = set_download(monkeypatch, write_layout)
    calls = set_download(monkeypatch, write_clothes, "FashionMNIST")
    for _ in range(2):
        check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert len(calls) == 1
    assert not digits
    check_train(load_mnist("train"))
    assert sorted(path.name for path in cache.iterdir()) == ["FashionMNIST", "MNIST"]


def test_with_no_network_nothing_stands_in_for_fashion_mnist(cache, monkeypatch, capsys):
    def nothing(root):
        (Path(root) / "FashionMNIST").mkdir()
        raise RuntimeError("Error downloading the file.")

    set_download(monkeypatch, nothing, "FashionMNIST")
    with pytest.raises(
        TutorialError,
        match=r"Fashion-MNIST could not be downloaded, and none of it ships .*Error downloading "
        r"the file\. Try again .*FashionMNIST/raw/train-images-idx3-ubyte\.gz",
    ):
        load_mnist("train", dataset="fashion-mnist")
    assert not capsys.readouterr().err
    assert not list(cache.iterdir())


def test_a_damaged_file_of_fashion_mnist_is_named(cache, tmp_path, monkeypatch):
    calls = set_download(monkeypatch, write_clothes, "FashionMNIST")
    name = "train-images-idx3-ubyte.gz"
    bad = bytes([PACKED[name][-1] ^ 1])
    for root, reason in ((tmp_path / "mine", "Copy it again"), (cache, "removed")):
        path = write_clothes(root) / name
        path.write_bytes(PACKED[name][:-1] + bad)
        with pytest.raises(TutorialError, match=f"{name} is .*MD5.* not that of Fashion.*{reason}"):
            load_mnist("train", None if root == cache else root, "fashion-mnist")
    check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert len(calls) == 1
    (write_clothes(tmp_path / "short") / name).write_bytes(PACKED[name][:-1])
    with pytest.raises(TutorialError, match=r"bytes and should have"):
        load_mnist("train", tmp_path / "short", "fashion-mnist")


def test_a_folder_without_fashion_mnist_is_an_error(cache, tmp_path):
    write_layout(tmp_path)
    with pytest.raises(
        TutorialError,
        match=r"FashionMNIST/raw/train-images-idx3-ubyte\.gz does not exist.*with Fashion-MNIST in",
    ):
        load_mnist("train", tmp_path, "fashion-mnist")


def test_the_checksums_of_fashion_mnist_are_those_of_torchvision():
    files = [file for pair in SOURCES["fashion-mnist"].files.values() for file in pair]
    assert [(f.name, f.digest) for f in files] == torchvision.datasets.FashionMNIST.resources


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match=r'"cifar".*mnist, fashion-mnist'):
        load_mnist("train", dataset="cifar")


def test_an_unknown_split_is_refused():
    for load in (load_mnist, load_bundled):
        with pytest.raises(ValueError, match=r'"valid".*train, test'):
            load("valid")
