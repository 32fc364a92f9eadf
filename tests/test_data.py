import contextlib
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gaierror
from ssl import SSLCertVerificationError
from urllib.error import URLError

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
PACKED = {f"{name}.gz": gzip.compress(text[::-1], mtime=0) for name, text in CONTENT.items()}


def write_layout(root, folder="MNIST", content=CONTENT):
    raw = Path(root) / folder / "raw"
    raw.mkdir(parents=True)
    for name, text in content.items():
        (raw / name).write_bytes(text)
    return raw


def write_clothes(root):
    """Made-up files in the place of Fashion-MNIST, packed: those of CONTENT, turned around."""
    return write_layout(root, "FashionMNIST", PACKED)


class Mirror(ThreadingHTTPServer):
    """A server in the place of the mirrors.

    It notes in `asked` what it is asked for, and answers while `awake` is set: with `answer`, bytes
    that include the head, or else with the file, where it has it.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {f"/MNIST/{name}.gz": gzip.compress(text) for name, text in CONTENT.items()}
        self.files |= {f"/FashionMNIST/{name}": text for name, text in PACKED.items()}
        self.asked, self.answer, self.awake = [], None, threading.Event()
        self.awake.set()

    def handle_error(self, request, client_address):
        pass  # a process that was killed or has lost patience


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.awake.wait()
        if self.server.answer is not None:
            self.wfile.write(self.server.answer)
        elif (text := self.server.files.get(self.path)) is not None:
            self.wfile.write(answer("200 OK", text))
        else:
            self.wfile.write(answer("404 Not Found", b""))

    def log_message(self, *arguments):
        pass


def answer(status, text, more=b"", length=None):
    length = len(text) if length is None else length
    return b"HTTP/1.0 %s\r\nContent-Length: %d\r\n%s\r\n" % (status.encode(), length, more) + text


NO_NETWORK = "http://127.0.0.1:1"  # nobody listens there


def use_stand_ins(patch, url):
    """Tiny files in the place of the data sets, and the server at `url` for their mirrors."""
    for name, content, algorithm, compute in (
        ("mnist", CONTENT, "SHA-256", hashlib.sha256),
        ("fashion-mnist", PACKED, "MD5", hashlib.md5),
    ):
        files = [
            DataFile(file, len(text), compute(text).hexdigest(), algorithm)
            for file, text in content.items()
        ]
        files = {"train": tuple(files[:2]), "test": tuple(files[2:])}
        source = data.SOURCES[name]._replace(files=files)
        patch.setitem(data.SOURCES, name, source)
        kind = getattr(torchvision.datasets, source.torchvision_name)
        patch.setattr(kind, "mirrors", [f"{url}/{source.torchvision_name}/"])
    patch.setenv("no_proxy", "127.0.0.1")
    patch.delenv(data.DATA_VARIABLE, raising=False)
    data._say_bundled_once.cache_clear()


def use_cache(patch, folder):
    patch.setattr(data.platformdirs, "user_cache_dir", lambda name: str(folder))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache folder, tiny data sets, no network and no folder named by the user."""
    use_stand_ins(monkeypatch, NO_NETWORK)
    use_cache(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def mirror(cache, monkeypatch):
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        use_stand_ins(monkeypatch, server.url)
        yield server
        server.awake.set()
        server.shutdown()
        thread.join()


def contents(folder):
    """What is in a cache, but for what the processes tell one another by."""
    names = [path.name for path in folder.iterdir()]
    return sorted(name for name in names if not name.endswith((".lock", ".offline")))


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


def test_a_named_folder_is_read(mirror, tmp_path, monkeypatch):
    write_layout(tmp_path / "mine")
    check_train(load_mnist("train", tmp_path / "mine"))
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "mine"))
    check_train(load_mnist("train"))
    assert load_mnist("test").labels.tolist() == [7, 2]
    assert not mirror.asked


def test_search_order(cache, tmp_path, monkeypatch):
    """Each place holds one thing only that place could give, and is then taken away."""
    damaged = write_layout(tmp_path / "damaged")
    for name in CONTENT:
        (damaged / name).write_bytes(b"")
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "damaged"))
    write_layout(tmp_path / "root")
    check_train(load_mnist("train", str(tmp_path / "root")))

    write_layout(cache)
    with pytest.raises(TutorialError, match="damaged"):
        load_mnist("train")
    monkeypatch.setenv(data.DATA_VARIABLE, "")
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


def test_downloads_once_into_the_cache(cache, mirror, capsys):
    check_train(load_mnist("train"))
    assert "train-images-idx3-ubyte.gz: 100%" in capsys.readouterr().err
    check_train(load_mnist("train"))
    assert load_mnist("test").labels.tolist() == [7, 2]
    assert len(mirror.asked) == len(set(mirror.asked)) == 4
    assert contents(cache) == ["MNIST"]
    assert sorted(path.name for path in (cache / "MNIST" / "raw").iterdir()) == sorted(CONTENT)


def test_the_next_mirror_is_asked(cache, mirror, monkeypatch):
    kind = torchvision.datasets.MNIST
    dead = [f"{NO_NETWORK}/MNIST/", f"{mirror.url}/moved/"]
    monkeypatch.setattr(kind, "mirrors", [*dead, *kind.mirrors])
    check_train(load_mnist("train"))


@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_file_in_the_cache_is_removed_and_fetched_again(cache, mirror, monkeypatch, gone):
    name = "train-labels-idx1-ubyte"
    bad = write_layout(cache) / name
    bad.write_bytes(CONTENT[name][:-1])
    with monkeypatch.context() as patch:
        if gone:  # another process removes it first
            read = data._read
            patch.setattr(data, "_read", lambda *a: _read_and_remove(read, bad, *a))
        with pytest.raises(TutorialError, match=rf"{name} is damaged.*It was removed: run again"):
            load_mnist("train")
    assert not bad.exists()
    check_train(load_mnist("train"))
    assert len(mirror.asked) == 4


def _read_and_remove(read, path, *arguments):
    try:
        return read(*arguments)
    finally:
        path.unlink()


def test_a_split_that_is_there_stays_there_while_the_other_arrives(cache, mirror, monkeypatch):
    """Another process may be about to read it."""
    raw, replace, moved = write_layout(cache), os.replace, []
    (raw / "train-images-idx3-ubyte").unlink()

    def watched(source, target):
        moved.append(target)
        assert load_mnist("test").labels.tolist() == [7, 2]
        replace(source, target)

    monkeypatch.setattr(data.os, "replace", watched)
    check_train(load_mnist("train"))
    assert moved


WRONG = gzip.compress(b"error page")
ANSWERS = {  # what a server may send that is no file, and what is said of it
    "not found": (answer("404 Not Found", b""), "HTTP Error 404: Not Found"),
    "forbidden": (answer("403 Forbidden", b""), "HTTP Error 403: Forbidden"),
    "broken": (answer("500 Sorry", b""), "HTTP Error 500: Sorry"),
    "round and round": (answer("302 Found", b"", b"Location: /MNIST/x\r\n"), "HTTP Error 302"),
    "a page to log in": (answer("200 OK", b"<html>Welcome!"), "Not a gzipped file"),
    "cut off": (answer("200 OK", WRONG[:-4], length=len(WRONG)), "ended before"),
    "nothing": (answer("200 OK", b""), "it has 0 bytes and should have 2,368"),
    "scrambled": (answer("200 OK", WRONG[:10] + b"\xff" * 20), "invalid block type"),
    "another file": (answer("200 OK", WRONG), "it has 10 bytes and should have 2,368"),
    "no HTTP": (b"220 mail.example.org ESMTP\r\n", "220 mail.example.org ESMTP"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_no_file_is_an_error(cache, mirror, kind):
    mirror.answer, said = ANSWERS[kind]
    url = f"{mirror.url}/MNIST/train-images-idx3-ubyte.gz"
    with pytest.raises(
        TutorialError,
        match=rf"MNIST could not be downloaded \({url}: .*{said}.*Run again, or name a folder",
    ):
        load_mnist("train")
    assert not contents(cache)


def test_a_damaged_download_leaves_nothing_behind(cache, mirror):
    mirror.files["/MNIST/t10k-labels-idx1-ubyte.gz"] = WRONG
    with pytest.raises(TutorialError, match=r"t10k-labels-idx1-ubyte is damaged.*Run again"):
        load_mnist("train")
    assert not contents(cache)


def test_where_any_mirror_answers_there_is_a_network(cache, mirror, monkeypatch):
    kind = torchvision.datasets.MNIST
    monkeypatch.setattr(kind, "mirrors", [f"{NO_NETWORK}/MNIST/", f"{mirror.url}/moved/"])
    with pytest.raises(TutorialError, match=rf"{NO_NETWORK}.*refused; {mirror.url}.*404"):
        load_mnist("train")


def test_with_no_network_the_bundled_digits_stand_in_and_say_so_once(cache, capsys):
    assert torch.equal(load_mnist("train").images, load_bundled("train").images)
    assert len(load_mnist("test").images) == 1000
    said, printed = reversed(capsys.readouterr())
    assert not printed
    assert said.count("5,000 real MNIST digits") == 1
    assert said.count("\n") == 1
    assert not contents(cache)


@pytest.mark.parametrize("kind", ["silent", "cut short", "closed", "unknown", "reset"])
def test_a_connection_that_fails_is_no_network(cache, mirror, monkeypatch, kind):
    if kind == "silent":
        monkeypatch.setattr(data, "_TIMEOUT", 0.2)
        mirror.awake.clear()
    elif kind == "closed":
        mirror.answer = b""
    else:
        error = {
            "cut short": TimeoutError("timed out"),
            "unknown": URLError(gaierror(-2, "Name or service not known")),
            "reset": ConnectionResetError(104, "Connection reset by peer"),
        }[kind]

        def get(url):
            raise error

        monkeypatch.setattr(data, "_get", get)
    assert len(load_mnist("train").images) == 4000


def test_a_certificate_that_does_not_hold_is_an_answer(cache, monkeypatch):
    def get(url):
        raise URLError(SSLCertVerificationError("certificate has expired"))

    monkeypatch.setattr(data, "_get", get)
    with pytest.raises(TutorialError, match="certificate has expired"):
        load_mnist("train")


# Folders of every kind


@pytest.mark.parametrize("name", ["a b", "größe", "%41", "dots.gz", "-x", "a\nb"])
def test_a_cache_may_have_any_name(mirror, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name / "deep", Path(name)):
        use_cache(monkeypatch, folder)
        check_train(load_mnist("train"))
        assert "MNIST" in contents(folder)


def test_a_program_without_stderr_can_download(mirror, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    check_train(load_mnist("train"))


def test_a_tilde_is_the_home_folder_wherever_it_comes_from(cache, mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    use_cache(monkeypatch, "~/cache")
    check_train(load_mnist("train"))
    assert contents(cache) == ["MNIST"]
    check_train(load_mnist("train", "~/cache"))


def test_a_home_folder_that_is_not_known_is_an_error(cache, monkeypatch):
    with pytest.raises(
        TutorialError, match=r"no home folder for ~no-such-user/data; name .*--data"
    ):
        load_mnist("train", "~no-such-user/data")
    monkeypatch.setenv("HOME", "/")
    use_cache(monkeypatch, "~no-such-user/cache")  # what platformdirs gives who has no name
    with pytest.raises(TutorialError, match=r"no home folder for the cache; name .*\$DDPM"):
        load_mnist("train")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 5000, "File name too long"), ("a\0b", "null"), ("loop", "levels of")],
)
@pytest.mark.parametrize("place", ["root", "variable", "cache"])
def test_a_name_that_no_folder_can_have(cache, tmp_path, monkeypatch, name, reason, place):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    if place == "cache":
        use_cache(monkeypatch, name)
    elif place == "variable":
        monkeypatch.setattr(data.os, "environ", {data.DATA_VARIABLE: name})  # also one with a NUL
    root = name if place == "root" else None
    with pytest.raises(
        TutorialError, match=f"cannot see .*{reason}.*name a folder .--data or"
    ) as caught:
        load_mnist("train", root)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("in_the_way", "said"),
    [
        ("cache", r"cannot make or lock .*cache: File exists; name a folder"),
        ("cache/MNIST", r"cannot write .*cache/MNIST/raw: Not a directory\. Free some"),
        ("cache/MNIST/raw", r"cannot write .*cache/MNIST/raw: File exists\. Free some"),
        ("cache/MNIST/raw/t10k-labels-idx1-ubyte/", r"cannot write .*t10k-labels-idx1-ubyte: Is a"),
        ("cache/MNIST.lock/", r"cannot make or lock .*cache: Is a directory; name a folder"),
    ],
)
def test_something_in_the_way_of_the_cache_is_an_error(mirror, tmp_path, in_the_way, said):
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if in_the_way.endswith("/") else path.write_text("")
    with pytest.raises(TutorialError, match=said):
        load_mnist("train")
    assert path.exists()


def test_a_file_for_a_folder_is_an_error(cache, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TutorialError, match=r"does not exist\. .*file must be a folder with MNIST"):
        load_mnist("train", tmp_path / "file")


@pytest.mark.parametrize("damage", [None, b"", b"garbage", 1000, "labels"])
def test_bundled_digits_that_are_damaged_are_an_error(tmp_path, monkeypatch, damage):
    path = tmp_path / "bundled.npz"
    if damage == "labels":
        np.savez(path, images=np.zeros(3))
    elif damage is not None:
        whole = data.BUNDLED.read_bytes()
        path.write_bytes(whole[:damage] if isinstance(damage, int) else damage)
    monkeypatch.setattr(data, "BUNDLED", path)
    with pytest.raises(TutorialError, match=r"bundled\.npz is damaged or gone: install .* again"):
        load_bundled("train")


# Several processes

STARTER = """
import json
import os
import signal
import sys
import torch
torch.set_num_threads(1)
import pytest
import ddpm_tutorial
from ddpm_tutorial.io import data
from test_data import use_cache, use_stand_ins

def load(order):
    use_stand_ins(pytest.MonkeyPatch(), order["url"])
    use_cache(pytest.MonkeyPatch(), order["cache"])
    data._TIMEOUT = 2
    try:
        print(len(data.load_mnist("train", order.get("root")).images))
    except ddpm_tutorial.TutorialError as error:
        print("error:", error)
    except KeyboardInterrupt:
        print("stopped")
    sys.stdout.flush()

# What is imported late must come before the processes that may read less.
load({"url": sys.argv[1], "cache": sys.argv[2]})

for line in sys.stdin:
    order = json.loads(line)
    gate, opener = os.pipe()
    pids = []
    for number in range(order["n"]):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        try:
            for stream, name in ((1, "out"), (2, "err")):
                path = f"{order['said']}/{os.getpid()}.{name}"
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), stream)
            signal.alarm(60)
            os.close(opener)
            os.read(gate, 1)
            if "file_size" in order:
                import resource
                resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"],) * 2)
            if order.get("nobody") and not os.getuid():
                os.setuid(65534)
            load(order)
        finally:
            sys.excepthook(*sys.exc_info()) if sys.exc_info()[0] else None
            os._exit(0)
    print(json.dumps(pids), flush=True)
    os.close(opener)
    os.close(gate)
    for pid in pids:
        os.waitpid(pid, 0)
    print("all have ended", flush=True)
"""


class Starter:
    """Starts processes that load the digits, all at once: it forks, as importing takes seconds."""

    def __init__(self, process, said):
        self.process, self.said, self.pids, self.running = process, said, [], False

    def start(self, n, cache, mirror=None, **order):
        order |= {"n": n, "cache": str(cache), "said": str(self.said)}
        order["url"] = mirror.url if mirror else NO_NETWORK
        print(json.dumps(order), file=self.process.stdin, flush=True)
        self.pids, self.running = json.loads(self.process.stdout.readline()), True

    def told(self, pid):
        path = self.said / f"{pid}.err"
        return path.read_text() if path.exists() else ""

    def outcomes(self):
        """What each process printed, once all have ended; none may show a trace."""
        assert self.process.stdout.readline() == "all have ended\n"
        self.running = False
        for pid in self.pids:
            assert "Traceback" not in self.told(pid), self.told(pid)
        return [(self.said / f"{pid}.out").read_text().strip() for pid in self.pids]


@pytest.fixture(scope="module")
def only_starter(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    said = tmp_path_factory.mktemp("said")
    path = [str(Path(__file__).parent), *sys.path]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, NO_NETWORK, str(said / "cache")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "4000\n"
        yield Starter(process, said)
        process.stdin.close()


@pytest.fixture
def starter(only_starter):
    yield only_starter
    if only_starter.running:  # a test has failed before its processes had ended
        for pid in only_starter.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        only_starter.process.stdout.readline()


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_processes_that_start_at_once_one_downloads_for_all(starter, mirror, tmp_path):
    found = []
    for number in range(10):
        folder = tmp_path / f"cache-{number}"
        starter.start(4, folder, mirror)
        found += starter.outcomes()
        assert contents(folder) == ["MNIST"]
    assert found == ["3"] * 40
    assert len(mirror.asked) == 40


def test_who_waits_for_one_that_finds_no_network_does_not_ask_again(starter, mirror, cache):
    mirror.awake.clear()
    starter.start(4, cache, mirror)
    assert starter.outcomes() == ["4000"] * 4
    assert len(mirror.asked) == 1
    told = [starter.told(pid) for pid in starter.pids]
    assert sum("Waiting for another process to download MNIST.\n" in one for one in told) == 3
    assert all(one.count("Waiting") <= 1 for one in told)

    mirror.awake.set()  # whoever starts later asks again
    starter.start(2, cache, mirror)
    assert starter.outcomes() == ["3"] * 2


def test_a_process_that_is_killed_is_in_nobodys_way(starter, mirror, cache):
    (cache / "MNIST.part-of-one-killed-earlier").mkdir(parents=True)
    mirror.awake.clear()
    starter.start(2, cache, mirror)
    wait_until(lambda: any("Waiting" in starter.told(pid) for pid in starter.pids))
    downloading = next(pid for pid in starter.pids if "Waiting" not in starter.told(pid))
    os.kill(downloading, signal.SIGKILL)
    mirror.awake.set()
    assert sorted(starter.outcomes()) == ["", "3"]
    assert contents(cache) == ["MNIST"]


def test_an_interrupted_download_leaves_nothing_behind(starter, mirror, cache):
    mirror.awake.clear()
    starter.start(1, cache, mirror)
    wait_until(lambda: mirror.asked)
    os.kill(starter.pids[0], signal.SIGINT)
    assert starter.outcomes() == ["stopped"]
    assert not contents(cache)


def test_a_disk_that_is_full_is_an_error(starter, mirror, cache):
    """As near as a test can come to it: a limit to the size of files."""
    starter.start(1, cache, mirror, file_size=1000)
    (said,) = starter.outcomes()
    assert said.startswith(
        f"error: cannot write {cache}/MNIST/raw: File too large. Free some space"
    )
    assert data.DATA_VARIABLE in said
    assert contents(cache) == ["MNIST"]
    assert not any((cache / "MNIST" / "raw").iterdir())


@pytest.fixture
def public():
    """A folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_cache_that_may_not_be_made_is_an_error(starter, mirror, public):
    public.chmod(0o555)
    starter.start(1, public / "cache", mirror, nobody=True)
    (said,) = starter.outcomes()
    assert said.startswith(f"error: cannot make or lock {public}/cache: Permission denied; name a")
    assert not any(public.iterdir())


def test_a_cache_that_may_not_be_written_is_an_error(starter, mirror, public):
    raw = write_layout(public)
    (raw / "train-labels-idx1-ubyte").unlink()
    public.chmod(0o555)
    starter.start(1, public, mirror, nobody=True)
    (said,) = starter.outcomes()
    assert said.startswith(f"error: cannot make or lock {public}: Permission denied; name a folder")

    public.chmod(0o777)
    raw.chmod(0o555)
    starter.start(1, public, mirror, nobody=True)
    (said,) = starter.outcomes()
    assert said.startswith(f"error: cannot write {raw}/train-images-idx3-ubyte: Permission denied.")
    assert contents(public) == ["MNIST"]


@pytest.mark.parametrize("place", ["cache", "root"])
def test_a_folder_that_may_not_be_looked_into_is_an_error(starter, mirror, public, place):
    write_layout(public / "hidden")
    (public / "hidden").chmod(0)
    cache = public / "hidden" if place == "cache" else public
    starter.start(
        1, cache, mirror, nobody=True, root=None if place == "cache" else f"{public}/hidden"
    )
    (said,) = starter.outcomes()
    (public / "hidden").chmod(0o700)
    assert said.startswith(f"error: cannot see {public}/hidden/MNIST/raw/train-images-idx3-ubyte: ")
    assert "Permission denied; name a folder" in said


def test_a_file_that_may_not_be_read_is_an_error(starter, mirror, public):
    path = write_layout(public) / "train-labels-idx1-ubyte"
    path.chmod(0)
    starter.start(1, public, mirror, nobody=True)
    (said,) = starter.outcomes()
    assert said.startswith(f"error: cannot read {path}: Permission denied; name a folder")


def test_a_damaged_file_in_a_cache_that_may_not_be_written_is_named(starter, mirror, public):
    path = write_layout(public) / "train-labels-idx1-ubyte"
    path.write_bytes(b"")
    path.parent.chmod(0o555)
    starter.start(1, public, mirror, nobody=True)
    (said,) = starter.outcomes()
    assert said.startswith(f"error: {path} is damaged: it has 0 bytes")
    assert "It cannot be removed (Permission denied): remove it, or name a folder" in said


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
    write_layout(tmp_path)
    write_clothes(tmp_path)
    check_clothes(load_mnist("train", tmp_path, "fashion-mnist"))
    check_train(load_mnist("train", tmp_path))
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert len(load_mnist("test", dataset="fashion-mnist").images) == 2


def test_fashion_mnist_is_downloaded_into_the_cache(cache, mirror):
    for _ in range(2):
        check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert sorted(mirror.asked) == sorted(f"/FashionMNIST/{name}" for name in PACKED)
    check_train(load_mnist("train"))
    assert contents(cache) == ["FashionMNIST", "MNIST"]


def test_with_no_network_nothing_stands_in_for_fashion_mnist(cache, capsys):
    with pytest.raises(
        TutorialError,
        match=r"Fashion-MNIST could not be downloaded, and none of it ships .*train-images-idx3-"
        r"ubyte\.gz: Connection refused\. Try with a network, or name a folder .--data or "
        r"\$DDPM_TUTORIAL_DATA. with the files in torchvision's layout: FashionMNIST/raw/",
    ):
        load_mnist("train", dataset="fashion-mnist")
    assert not capsys.readouterr().err
    assert not contents(cache)


def test_a_damaged_file_of_fashion_mnist_is_named(cache, mirror, tmp_path):
    name = "train-images-idx3-ubyte.gz"
    bad = bytes([PACKED[name][-1] ^ 1])
    for root, reason in ((tmp_path / "mine", "Copy it again"), (cache, "removed")):
        path = write_clothes(root) / name
        path.write_bytes(PACKED[name][:-1] + bad)
        with pytest.raises(TutorialError, match=f"{name} is .*MD5.* not that of Fashion.*{reason}"):
            load_mnist("train", None if root == cache else root, "fashion-mnist")
    check_clothes(load_mnist("train", dataset="fashion-mnist"))
    assert len(mirror.asked) == 4
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


def test_the_names_and_checksums_are_those_of_torchvision():
    digits, clothes = (
        [file for pair in SOURCES[name].files.values() for file in pair]
        for name in ("mnist", "fashion-mnist")
    )
    assert [(f.name, f.digest) for f in clothes] == torchvision.datasets.FashionMNIST.resources
    names = [name for name, _ in torchvision.datasets.MNIST.resources]
    assert [f"{file.name}.gz" for file in digits] == names


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match=r'"cifar".*mnist, fashion-mnist'):
        load_mnist("train", dataset="cifar")


def test_an_unknown_split_is_refused():
    for load in (load_mnist, load_bundled):
        with pytest.raises(ValueError, match=r'"valid".*train, test'):
            load("valid")
