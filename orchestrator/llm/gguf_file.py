"""What the header of a GGUF file says, read fast, and whether the file is whole.

The ``gguf`` package reads the same but takes seconds over a vocabulary of 150,000 words; a start
needs six numbers. Layout: the GGUF specification, version 2 and 3 (little endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.llm.protocol import LLMError

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
#: No honest header holds a longer string or more entries; a damaged length must not eat memory.
_SANE = 1 << 27


@dataclass(frozen=True)
class GgufInfo:
    """The facts that loading needs.

    Attributes:
        architecture: as llama.cpp names it (``qwen2``).
        name: the model's own name, or ``""``.
        context: tokens of context that the model was trained for; 0 if it does not say.
        kv_bytes: bytes of key-value cache per token at 16 bits; 0 if it does not say.
        size: bytes of the file.
    """

    architecture: str
    name: str
    context: int
    kv_bytes: int
    size: int


def read_gguf(path: Path) -> GgufInfo:
    """Read and check the header.

    Raises:
        LLMError: the file is missing, no GGUF file, damaged, or shorter than its header says.
    """
    try:
        with path.open("rb") as stream:
            return _read(path, stream)
    except OSError as error:
        raise LLMError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, KeyError, _DamagedError) as error:
        raise LLMError(
            f"{path} is a damaged GGUF file: its header breaks off or makes no sense. "
            f"Fetch it again"
        ) from error


class _DamagedError(Exception):
    """A length or type that no header holds."""


def _read(path: Path, stream: BinaryIO) -> GgufInfo:
    magic = stream.read(4)
    if magic != _MAGIC:
        raise LLMError(
            f"{path} is no GGUF file: it should start with {_MAGIC!r}, starts with {magic!r}"
        )
    (version,) = _unpack(stream, "<I")
    if version not in (2, 3):
        raise LLMError(f"{path} is GGUF version {version}: 2 or 3 can be read. Convert it anew")
    tensors, entries = _unpack(stream, "<QQ")
    if entries > _SANE or tensors > _SANE:
        raise _DamagedError
    values: dict[str, Any] = {}
    for _ in range(entries):
        key = _string(stream)
        (kind,) = _unpack(stream, "<I")
        values[key] = _value(stream, kind)
    needed = _data_end(stream, tensors, int(values.get("general.alignment", 32)))
    size = path.stat().st_size
    if size < needed:
        raise LLMError(
            f"{path} is cut short: its header promises at least {needed:,} bytes, it has "
            f"{size:,}. Fetch it again"
        )
    architecture = str(values.get("general.architecture", ""))
    return GgufInfo(
        architecture=architecture,
        name=str(values.get("general.name", "")),
        context=int(values.get(f"{architecture}.context_length", 0)),
        kv_bytes=_kv_bytes(values, architecture),
        size=size,
    )


def _unpack(stream: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def _string(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "<Q")
    if length > _SANE:
        raise _DamagedError
    raw = stream.read(length)
    if len(raw) != length:
        raise _DamagedError
    return raw.decode("utf-8")


def _value(stream: BinaryIO, kind: int) -> Any:
    """One value; arrays are passed over, since nothing here needs a vocabulary."""
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _unpack(stream, _SCALARS[kind])[0]
    inner, count = _unpack(stream, "<IQ")
    if count > _SANE:
        raise _DamagedError
    if inner in _SCALARS:
        stream.seek(count * struct.calcsize(_SCALARS[inner]), 1)
        return None
    for _ in range(count):
        if inner == _STRING:
            (length,) = _unpack(stream, "<Q")
            stream.seek(length, 1)
        else:
            _value(stream, inner)
    return None


def _data_end(stream: BinaryIO, tensors: int, alignment: int) -> int:
    """The least size the file can have: where the last tensor's data begins, plus what it holds."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    ends = [0]
    for _ in range(tensors):
        _string(stream)
        (rank,) = _unpack(stream, "<I")
        elements = 1
        for length in _unpack(stream, f"<{min(rank, 8)}Q"):
            elements *= length
        kind, offset = _unpack(stream, "<IQ")
        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            block, block_bytes = 1, 0
        ends.append(offset + elements // block * block_bytes)
    start = -(-stream.tell() // alignment) * alignment
    return start + max(ends)


def _kv_bytes(values: dict[str, Any], architecture: str) -> int:
    """Two 16-bit vectors per layer and key-value head, for every token."""
    layers = values.get(f"{architecture}.block_count", 0)
    heads = values.get(f"{architecture}.attention.head_count", 0)
    kv_heads = values.get(f"{architecture}.attention.head_count_kv", heads)
    width = values.get(f"{architecture}.embedding_length", 0)
    if not all(isinstance(value, int) and value > 0 for value in (layers, heads, kv_heads, width)):
        return 0
    head_width = values.get(f"{architecture}.attention.key_length", width // heads)
    return int(2 * 2 * layers * kv_heads * head_width)
