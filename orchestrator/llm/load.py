"""From what ``--llm`` says to a model that is loaded and ready."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from orchestrator.llm.hub import HubUnreachable
from orchestrator.llm.known import KnownModel, known_models
from orchestrator.llm.memory import available_memory
from orchestrator.llm.protocol import LLM, LLMError
from orchestrator.llm.weights import fetch
from plugins.contract import Progress

#: The control backend's name.
RULES = "rules"
#: Memory to leave to the search and its sandboxes when a model is chosen by memory.
_HEADROOM = 2 * 1024**3
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def default_model() -> str:
    """The largest known model that leaves this machine room to work."""
    for model in known_models():
        if available_memory() > model.bytes + _HEADROOM:
            return model.name
    return known_models()[-1].name


def load_llm(
    spec: str,
    *,
    progress: Progress | None = None,
    parallel: int | None = None,
    context: int | None = None,
    threads: int | None = None,
    dtype: str | None = None,
) -> LLM:
    """Load a model.

    Args:
        spec: ``rules``, a known model's name (its weights are fetched at first use), a GGUF
            file, a folder with a transformers checkpoint, or a hub id (``owner/name``).
        progress: told about downloads.
        parallel: completions side by side (llama.cpp's slots, transformers' batch);
            None: the backend's default. ``rules`` takes none of these options.
        context: tokens of context per completion.
        threads: compute threads, llama.cpp only.
        dtype: ``float32``, ``bfloat16``, ``float16``; transformers only.

    Raises:
        LLMError: there is no such model, or it cannot be loaded here.
    """
    if spec == RULES:
        from orchestrator.llm.rules import Rules

        return Rules()
    options = _Options(parallel, context, threads, dtype)
    known = {model.name: model for model in known_models()}
    if spec in known:
        return _load_known(known[spec], options, progress)
    path = Path(spec).expanduser()
    if path.is_file():
        return _load_gguf(path, None, options)
    if path.is_dir():
        return _load_folder(path, options)
    if spec.endswith(".gguf") or spec.startswith(("/", "./", "../", "~")):
        raise LLMError(f"no such model: {spec} is neither a GGUF file nor a folder on this machine")
    if _HUB_ID.fullmatch(spec):
        return _load_checkpoint(spec, options)
    close = difflib.get_close_matches(spec, [*known, RULES], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise LLMError(
        f"no such model: {spec!r} is none of {', '.join([*known, RULES])}, no GGUF file, no "
        f"folder and no hub id (owner/name).{hint}"
    )


class _Options:
    """The options a person gave; each backend takes those it has and refuses the others."""

    def __init__(
        self, parallel: int | None, context: int | None, threads: int | None, dtype: str | None
    ) -> None:
        self._given = {
            name: value
            for name, value in (
                ("parallel", parallel),
                ("context", context),
                ("threads", threads),
                ("dtype", dtype),
            )
            if value is not None
        }

    def only(self, backend: str, *names: str) -> dict[str, int | str]:
        """The options given, all of which must be among ``names``."""
        foreign = sorted(set(self._given) - set(names))
        if foreign:
            raise LLMError(f"{backend} has no option {foreign[0]!r}: it has {', '.join(names)}")
        return dict(self._given)

    def without(self, name: str) -> _Options:
        """The same options less one."""
        rest = _Options(None, None, None, None)
        rest._given = {key: value for key, value in self._given.items() if key != name}
        return rest


def _load_known(model: KnownModel, options: _Options, progress: Progress | None) -> LLM:
    """With a GPU the checkpoint from the hub; without one, or without a hub, the GGUF file."""
    if gpu_available():
        try:
            return _load_checkpoint(model.checkpoint, options.without("threads"))
        except HubUnreachable:
            if progress is not None:
                progress(f"no hub answers: {model.name} runs from its GGUF file", 0, None)
    return _load_gguf(fetch(model.name, progress), model.name, options)


def gpu_available() -> bool:
    """Whether torch can compute on a GPU here. Imports torch only where a GPU may be."""
    devices = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    if not any(Path(device).exists() for device in devices):
        return False
    import torch

    return torch.cuda.is_available()


def _load_gguf(path: Path, name: str | None, options: _Options) -> LLM:
    from orchestrator.llm.llamacpp_backend import LlamaCpp

    given = options.only("llama.cpp", "parallel", "context", "threads")
    return LlamaCpp(path, name=name, **given)  # type: ignore[arg-type]


def _load_folder(path: Path, options: _Options) -> LLM:
    """A local checkpoint, after a look at whether it can be one."""
    if not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        hint = f" It holds {files[0].name}: give --llm that file" if files else ""
        raise LLMError(
            f"{path} holds no config.json, so it is no transformers checkpoint "
            f"(expected: config.json, tokenizer files, *.safetensors).{hint}"
        )
    return _load_checkpoint(str(path), options)


def _load_checkpoint(source: str, options: _Options) -> LLM:
    from orchestrator.llm.transformers_backend import Transformers

    given = options.only("transformers", "parallel", "context", "dtype")
    return Transformers(source, **given)  # type: ignore[arg-type]
