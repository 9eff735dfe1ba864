"""``evaluate`` on real images: 12,000 of CIFAR-10's, as one folder per class."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from plugins.classification import Cifar10

pytestmark = pytest.mark.docker

COMMAND = str(Path(sys.executable).with_name("llmatic-orch"))


@pytest.fixture(scope="module")
def images(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = shared / "data" / "cifar10-jpg-subset.tar"
    if not archive.is_file():
        pytest.skip(f"needs the images in {archive}, which is not here")
    root = tmp_path_factory.mktemp("images")
    with tarfile.open(archive) as opened:
        opened.extractall(root, filter="data")
    return root / "cifar10"


@pytest.mark.parametrize("name", ["cifar10", "image-folder"])
def test_the_seed_network_learns_real_images(images: Path, guest_image: str, name: str) -> None:
    root = images.parent
    (root / "seed.py").write_text(Cifar10().seed)
    # Both prepare the same arrays; the cache is this test's own.
    short = ["--epochs", "2", "--train-images", "6000", "--cache", str(root / "cache")]
    done = subprocess.run(
        [COMMAND, "evaluate", "seed.py", "--plugin", name, "--data", str(images), "--json", *short],
        cwd=root,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["kind"] == "ok", row["reason"]
    assert (row["flops"], row["parameters"], row["width"], row["depth"]) == (13_312, 10_254, 10, 2)
    assert (row["epochs"], row["cut"]) == (2, False)
    assert row["seconds"]["run"] > 0
    # Better than chance, after two passes; and the two thousand test images agree.
    assert row["fitness"] > 13
    assert abs(row["test"] - row["fitness"]) < 6
    assert "labels" not in row["stdout"]
