"""Loading a transformers checkpoint: what can be wrong with one is found before it is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orchestrator.cache import file_sha256
from orchestrator.llm.hub import HubUnreachable, hub_answers
from orchestrator.llm.memory import available_memory
from orchestrator.llm.protocol import LLMError

#: Names for ``dtype``.
DTYPES = ("float32", "bfloat16", "float16")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
#: Memory beside the weights: activations, cache, torch itself.
_OVERHEAD = 500 * 1024**2


@dataclass(frozen=True)
class Checkpoint:
    """A model with what is needed to run it.

    Attributes:
        model: a causal language model, in evaluation mode, on its device or devices.
        tokenizer: its tokenizer.
        pad: the token that fills short rows up; masked, so which one matters little.
        ends: tokens that end a text; empty where the model has none.
        context: tokens of context; 0 if the model does not say.
        sha256: over the weight files, or None where they are not at hand as files.
    """

    model: Any
    tokenizer: Any
    pad: int
    ends: frozenset[int]
    context: int
    sha256: str | None


def load_checkpoint(source: str, dtype: str | None) -> Checkpoint:
    """Load a folder or a hub id.

    Raises:
        LLMError: says what is missing or wrong.
    """
    if dtype is not None and dtype not in DTYPES:
        raise LLMError(f"dtype should be one of {', '.join(DTYPES)}, is {dtype!r}")
    folder = Path(source).expanduser()
    local = folder.is_dir()
    options: dict[str, Any] = {}
    if local:
        _check_weights(folder)
        source = str(folder)
    else:
        options["local_files_only"] = not hub_answers(source)
    config = _part("config", source, options)
    _check_causal(source, config)
    wanted = getattr(torch, dtype) if dtype else (config.dtype or torch.float32)
    _check_memory(source, config, wanted)
    tokenizer = _part("tokenizer", source, options)
    options |= {"dtype": wanted, "device_map": "auto"}
    model = _part("weights", source, options)
    model.eval()
    ends = _ends(model, tokenizer)
    pad = tokenizer.pad_token_id
    if pad is None:
        pad = min(ends, default=0)
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        pad=pad,
        ends=ends,
        context=int(
            getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 0
        ),
        sha256=weights_sha256(folder) if local else None,
    )


def weights_sha256(folder: Path) -> str | None:
    """One SHA-256 for a folder's weights: its one file's, or that of the list of all files'."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])
    hashes = [file_sha256(file) for file in files]
    if len(hashes) < 2:
        return hashes[0] if hashes else None
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _part(what: str, source: str, options: dict[str, Any]) -> Any:
    """Load one part of a checkpoint; transformers' many errors become one."""
    import transformers

    loaders: dict[str, Any] = {
        "config": transformers.AutoConfig,
        "tokenizer": transformers.AutoTokenizer,
        "weights": transformers.AutoModelForCausalLM,
    }
    transformers.utils.logging.disable_progress_bar()
    # A local load is over in seconds; a download from the hub shows its own bars.
    quiet = contextlib.redirect_stderr(io.StringIO()) if Path(source).is_dir() else None
    try:
        with quiet or contextlib.nullcontext():
            return loaders[what].from_pretrained(source, **options)
    except Exception as error:
        reason = " ".join(str(error).split())[:400]
        if options.get("local_files_only"):
            raise HubUnreachable(
                f"the model hub does not answer, and {source} is not on this machine yet "
                f"({what}). Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give --llm a "
                f"GGUF file, a folder, or a name of `llmatic-orch llm list`"
            ) from error
        raise LLMError(f"cannot load the {what} of {source}: {reason}") from error


def _check_weights(folder: Path) -> None:
    """All weight files that the checkpoint's index names must be there, or the one file."""
    for name in _INDEXES:
        index = folder / name
        if not index.is_file():
            continue
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise LLMError(f"{index} is damaged: expected JSON with a weight_map") from error
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing:
            raise LLMError(
                f"{folder} lacks {len(missing)} of its {len(shards)} weight files: "
                f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}. Copy or download "
                f"the checkpoint again"
            )
        return
    if not any((folder / name).is_file() for name in _SINGLES):
        raise LLMError(
            f"{folder} holds no weights: expected model.safetensors, or "
            f"model.safetensors.index.json with its shards"
        )


def _check_causal(source: str, config: Any) -> None:
    """The checkpoint must have been saved as a model that continues text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    causal = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    names = causal if isinstance(causal, (tuple, list)) else (causal,)
    saved = config.architectures or []
    if causal is None or (saved and not set(saved) & set(names)):
        raise LLMError(
            f"{source} is no causal language model: it was saved as "
            f"{', '.join(saved) or config.model_type}. Expected a model that continues text, "
            f"such as Qwen2ForCausalLM or CodeGenForCausalLM"
        )


def _check_memory(source: str, config: Any, dtype: torch.dtype) -> None:
    """Refuse a model that fits neither into the GPUs nor into memory."""
    import transformers

    with torch.device("meta"):
        shape = transformers.AutoModelForCausalLM.from_config(config)
    needed = sum(p.numel() for p in shape.parameters()) * dtype.itemsize + _OVERHEAD
    room = available_memory()
    if torch.cuda.is_available():
        room += sum(
            torch.cuda.mem_get_info(device)[0] for device in range(torch.cuda.device_count())
        )
    if needed > room:
        raise LLMError(
            f"{source} needs about {needed / 1e9:.1f} GB of memory as "
            f"{str(dtype).removeprefix('torch.')}, {room / 1e9:.1f} GB are available. Take a "
            f"smaller model, or a smaller dtype"
        )


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text, by the model's own settings and by its tokenizer."""
    ends: set[int] = set()
    for given in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        if isinstance(given, int):
            ends.add(given)
        elif given is not None:
            ends.update(given)
    return frozenset(ends)
