"""``evaluate`` as a person runs it: files in, one line or one JSON object each, in order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plugins import registry

pytestmark = pytest.mark.docker

COMMAND = str(Path(sys.executable).with_name("llmatic-orch"))
KEYS = {"file", "kind", "reason", "fitness", "descriptors", "flops", "architecture"}


def evaluate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "evaluate", "--plugin", "nasbench201", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_each_file_comes_to_an_outcome_in_the_order_given(tmp_path: Path, guest_image: str) -> None:
    seed = registry.load("nasbench201").seed
    (tmp_path / "seed.py").write_text(seed)
    (tmp_path / "broken.py").write_text("class Net(:\n")
    (tmp_path / "nul.py").write_bytes(b"x = 1\x00\n")
    (tmp_path / "loud.py").write_text("raise ValueError('\\x1b[31mred')\n")
    names = ["broken.py", "seed.py", "nul.py", "loud.py"]
    done = evaluate(tmp_path, "--json", *names)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == names
    assert all(set(row) >= KEYS for row in rows)
    assert [row["kind"] for row in rows[:2]] == ["syntax_error", "ok"]
    assert rows[1]["architecture"] == "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    assert rows[1]["fitness"] > 50
    assert rows[2]["kind"] not in ("ok", "sandbox_error")
    assert rows[3]["kind"] == "import_error"
    plain = evaluate(tmp_path, "loud.py")
    assert plain.returncode == 0
    assert plain.stdout.startswith("loud.py: import_error:")
    assert "\x1b" not in plain.stdout


def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, guest_image: str
) -> None:
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "broken.py").write_text("class Net(:\n")
    done = evaluate(tmp_path, "--json", "none.py", "latin.py", "folder.py", "broken.py")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["kind"] for row in rows] == [None, None, None, "syntax_error"]
    assert all(set(row) >= KEYS for row in rows)
    assert "No such file" in rows[0]["reason"]
    assert "byte 0xe9 at offset 5; save it as UTF-8" in rows[1]["reason"]
    assert "Is a directory" in rows[2]["reason"]
    assert "Traceback" not in done.stderr
