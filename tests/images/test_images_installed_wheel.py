"""The guest image can be built where only a wheel is installed: nothing needs the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from images.context import DEVICES, content_hash, image_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("images", "orchestrator", "plugins", "sandbox")
ASK = """
import json, sys, images, sandbox
from images.context import DEVICES, content_hash, image_files
hashes = {d: content_hash(image_files(d), d, "base") for d in DEVICES}
print(json.dumps({"hashes": hashes, "from": [images.__file__, sandbox.__file__]}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this tree was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheels, target = folder / "wheels", folder / "site"
    build = [*pip, "wheel", "-q", "--no-deps", "--wheel-dir", str(wheels), str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--target", str(target), str(wheel)],
        capture_output=True,
        check=True,
    )
    return target


def test_its_files_make_the_same_image_as_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert all(path.startswith(str(installed)) for path in answer["from"])
    expected = {device: content_hash(image_files(device), device, "base") for device in DEVICES}
    assert answer["hashes"] == expected
