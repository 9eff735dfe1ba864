"""The header of a GGUF file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.llm.gguf_file import read_gguf
from orchestrator.llm.protocol import LLMError


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A GGUF file as the official package writes it."""
    import gguf

    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("Tiny")
    writer.add_context_length(128)
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_token_list(["a", "b", "c"])
    writer.add_array("scores", [1.0, 2.0])
    writer.add_tensor("weight", np.zeros((32, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_says_what_loading_needs(tiny: Path) -> None:
    info = read_gguf(tiny)
    assert (info.architecture, info.name, info.context) == ("qwen2", "Tiny", 128)
    # Keys and values, 2 bytes, 3 layers, 2 heads of 64 / 8 numbers.
    assert info.kv_bytes == 2 * 2 * 3 * 2 * 8
    assert info.size == tiny.stat().st_size


def test_another_file_is_no_gguf_file(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04 a zip file")
    with pytest.raises(LLMError, match="no GGUF file"):
        read_gguf(other)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LLMError, match=r"absent\.gguf: No such file"):
        read_gguf(tmp_path / "absent.gguf")


def test_wherever_a_file_is_cut_the_error_is_ours(tiny: Path) -> None:
    whole = tiny.read_bytes()
    for length in [*range(0, 700, 7), len(whole) - 1]:
        tiny.write_bytes(whole[:length])
        with pytest.raises(LLMError, match=r"no GGUF file|damaged|cut short"):
            read_gguf(tiny)


def test_a_damaged_length_eats_no_memory(tiny: Path) -> None:
    whole = bytearray(tiny.read_bytes())
    whole[24:32] = b"\xff" * 8  # the length of the first key
    tiny.write_bytes(whole)
    with pytest.raises(LLMError, match="damaged"):
        read_gguf(tiny)
