"""A GGUF file as a transformers checkpoint: dequantised once, then read like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.cache import cache_dir
from orchestrator.llm.gguf_file import read_gguf
from orchestrator.llm.protocol import LLMError
from orchestrator.llm.weights import fetch
from plugins.contract import Progress


def dequantised(name: str, progress: Progress | None = None) -> Path:
    """The checkpoint folder of a known model, made from its GGUF file at first use.

    The folder lies in the cache under the hash of the weights it was made from.

    Raises:
        LLMError: the weights cannot be had, or not be dequantised.
    """
    import filelock

    from orchestrator.llm.known import known_model

    gguf = fetch(name, progress)
    folder = cache_dir() / "checkpoints" / f"{name}-{known_model(name).sha256[:12]}-bfloat16"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            if progress is not None:
                progress(f"dequantising {name}", 0, None)
            dequantise(gguf, folder)
    return folder


def dequantise(gguf: Path, folder: Path) -> None:
    """Write the checkpoint of a GGUF file into a new folder, in bfloat16; all of it or nothing.

    Raises:
        LLMError: the file is damaged, or of an architecture that transformers cannot read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    read_gguf(gguf)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise LLMError(f"transformers cannot dequantise {gguf}: {error}") from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.replace(folder)
