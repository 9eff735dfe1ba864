"""From what ``--llm`` says to a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.llm import load
from orchestrator.llm.load import default_model, load_llm
from orchestrator.llm.protocol import LLMError


def test_rules_is_no_language_model() -> None:
    assert not load_llm("rules").is_language_model


def test_rules_needs_neither_torch_nor_llama_cpp() -> None:
    code = (
        "import sys; from orchestrator.llm.load import load_llm; load_llm('rules'); "
        "print([name for name in ('torch', 'transformers', 'xllamacpp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("qwen2.5-coder-1b", r"no such model.*Did you mean qwen2\.5-coder-1\.5b\?"),
        ("rule", r"Did you mean rules\?"),
        ("./nowhere", "neither a GGUF file nor a folder"),
        ("absent.gguf", "neither a GGUF file nor a folder"),
    ],
)
def test_an_unknown_model_is_named(spec: str, says: str) -> None:
    with pytest.raises(LLMError, match=says):
        load_llm(spec)


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(LLMError, match=r"holds no config\.json"):
        load_llm(str(tmp_path))
    (tmp_path / "model.gguf").touch()
    with pytest.raises(LLMError, match=r"It holds model\.gguf: give --llm that file"):
        load_llm(str(tmp_path))


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x00" * 64)
    with pytest.raises(LLMError, match="no GGUF file"):
        load_llm(str(file))


def test_an_option_of_another_runtime_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(LLMError, match=r"llama\.cpp has no option 'dtype'"):
        load_llm(str(file), dtype="float32")


def test_an_unreachable_hub_is_said_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/{revision}/{filename}",
    )
    with pytest.raises(LLMError, match="hub does not answer, and nobody/nothing is not on this"):
        load_llm("nobody/nothing")


def test_the_default_is_the_largest_model_that_leaves_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "available_memory", lambda: 8 * 10**9)
    assert default_model() == "qwen2.5-coder-1.5b"
    monkeypatch.setattr(load, "available_memory", lambda: 2 * 10**9)
    assert default_model() == "qwen2.5-coder-0.5b"
