"""GGUF files through llama.cpp, in this process, several completions side by side.

``xllamacpp`` runs llama.cpp's server engine: each slot holds one running completion, all slots
share one pass over the weights, and a slot keeps its last prompt, so that a common beginning is
not computed again. The beginning that all requests share is computed in one slot and copied to
the others. The engine also opens a port on the loopback interface; it is closed to everybody else
by a random key.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.cache import file_sha256
from orchestrator.llm.dealing import Deal
from orchestrator.llm.gguf_file import GgufInfo, read_gguf
from orchestrator.llm.memory import available_memory, usable_cores
from orchestrator.llm.protocol import Completion, LLMError, Request
from orchestrator.llm.stopping import ClassEnd, finish_text

#: Bytes beyond weights and cache: compute buffers, repacked rows, the runtime itself.
_OVERHEAD = 300 * 1024**2
_POLL_SECONDS = 0.2
#: A shared beginning shorter than this is not worth the copying.
_SHARED_CHARACTERS = 400
_SLOT_SECONDS = 60.0


class LlamaCpp:
    """One GGUF model, loaded.

    The same request gives the same completion when it runs alone (8 of 8, 0.5B). Beside others,
    llama.cpp adds up in another order, and a sampled token can fall differently by the last bits:
    of 8 requests in 4 slots, 5 came out the same in a second go, and 4 the same as alone. That is
    why a run stores its completions and not only their seeds.

    Args:
        path: the GGUF file.
        name: what a run shows; default the file's name.
        parallel: slots, that is completions side by side.
        context: tokens of context for each slot, prompt and completion together.
        threads: compute threads; default the usable physical cores.

    Raises:
        LLMError: the file is not whole, or the memory is too small for it.
    """

    is_language_model = True

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        parallel: int = 4,
        context: int = 4096,
        threads: int | None = None,
    ) -> None:
        for option, value in (("parallel", parallel), ("context", context)):
            if value < 1:
                raise LLMError(f"{option} must be at least 1, is {value}")
        self._path = path
        self._info = read_gguf(path)
        self._name = name or path.stem
        self._parallel = parallel
        self._context = min(context, self._info.context or context)
        self._threads = threads or usable_cores()
        _check_memory(path, self._info, self._context * parallel)
        self._sha256 = file_sha256(path)
        self._key = secrets.token_urlsafe(32)
        self._folder = tempfile.TemporaryDirectory(prefix="llmatic-orch-slots-")
        self._warm = ""
        self._server: Any = self._start()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def parallel(self) -> int:
        """How many completions run side by side."""
        return self._parallel

    def describe(self) -> dict[str, Any]:
        """What runs: runtime, file, SHA-256 and the numbers that shape its output and speed."""
        import importlib.metadata

        return {
            "runtime": "llama.cpp",
            "xllamacpp": importlib.metadata.version("xllamacpp"),
            "model": self._name,
            "file": self._path.name,
            "sha256": self._sha256,
            "architecture": self._info.architecture,
            "device": "cpu",
            "threads": self._threads,
            "parallel": self._parallel,
            "context": self._context,
        }

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Complete every request once; yields each as soon as it is done, in any order.

        Raises:
            LLMError: a prompt is longer than the context, or the engine failed.
        """
        if self._server is None:
            raise LLMError(f"{self._name} was closed, and cannot complete any more")
        prompts = [request.prompt for request in requests]
        slots = max(1, min(self._parallel, len(requests)))
        deal = Deal(prompts, slots)
        self._share_beginning(prompts)
        done: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()
        stop = threading.Event()

        def work(slot: int) -> None:
            while not stop.is_set():
                index = deal.next(slot)
                if index is None:
                    return
                try:
                    completion = self._complete_one(index, requests[index], slot, stop)
                except BaseException as error:
                    done.put(error)
                    return
                if completion is not None:
                    done.put(completion)

        workers = [
            threading.Thread(target=work, args=(slot,), name=f"llm-{slot}", daemon=True)
            for slot in range(slots)
        ]
        try:
            for worker in workers:
                worker.start()
            for _ in requests:
                result = _wait(done)
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stop.set()
            for worker in workers:
                if worker.ident is not None:
                    worker.join()

    def close(self) -> None:
        """Free the model. Idempotent."""
        self._server = None
        self._folder.cleanup()

    def _start(self) -> Any:
        """Load the model into llama.cpp's engine."""
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.n_parallel = self._parallel
        params.n_ctx = self._context * self._parallel
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = -1
        params.ui = False
        params.offline = True
        params.n_threads_http = 1
        params.api_keys = [self._key]
        params.slot_save_path = self._folder.name + os.sep
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise LLMError(
                f"llama.cpp {xllamacpp.__version__} cannot load {self._path} "
                f"(architecture {self._info.architecture or 'unknown'}): {error} "
                f"A newer xllamacpp may know the architecture: pip install -U xllamacpp"
            ) from error

    def _share_beginning(self, prompts: Sequence[str]) -> None:
        """Compute what all prompts begin with once, and copy it into every slot."""
        beginning = _common_beginning(prompts)
        worth = len(prompts) > 1 and self._parallel > 1 and len(beginning) >= _SHARED_CHARACTERS
        if not worth or (self._warm and beginning.startswith(self._warm)):
            return
        self._warm = ""
        chunks: list[dict[str, Any]] = []
        self._server.handle_completions(
            {"prompt": beginning, "max_tokens": 1, "id_slot": 0, "cache_prompt": True},
            chunks.append,
        )
        for chunk in chunks:
            if "error" in chunk:
                raise _engine_error(self._name, chunk["error"])
        name = "beginning.bin"
        with contextlib.suppress(OSError):
            # Without the copies every slot computes the beginning itself: slower, not wrong.
            self._slot_action(0, "save", name)
            for slot in range(1, self._parallel):
                self._slot_action(slot, "restore", name)
            self._warm = beginning
            (Path(self._folder.name) / name).unlink()

    def _slot_action(self, slot: int, action: str, filename: str) -> None:
        """Save or restore a slot's cache, through the engine's own port: no other way there."""
        request = urllib.request.Request(
            f"{self._server.listening_address}/slots/{slot}?action={action}",
            data=json.dumps({"filename": filename}).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with no_proxy.open(request, timeout=_SLOT_SECONDS) as answer:
            answer.read()

    def _complete_one(
        self, index: int, request: Request, slot: int, stop: threading.Event
    ) -> Completion | None:
        """Run one request in a slot; None if everything was told to stop."""
        watch = ClassEnd(request.opening)
        pieces: list[str] = []
        counts = {"prompt_n": 0, "cache_n": 0, "predicted_n": 0}
        finish: list[str] = []
        failures: list[BaseException] = []

        def take(chunk: dict[str, Any]) -> bool:
            try:
                if "error" in chunk:
                    raise _engine_error(self._name, chunk["error"])
                counts.update({key: chunk["timings"][key] for key in counts})
                choice = chunk["choices"][0]
                pieces.append(choice["text"])
                if choice["finish_reason"]:
                    finish.append(choice["finish_reason"])
                return watch.feed(choice["text"]) or stop.is_set()
            except BaseException as error:
                # The engine swallows what a callback raises.
                failures.append(error)
                return True

        started = time.monotonic()
        self._server.handle_completions(
            {
                "prompt": request.prompt,
                "max_tokens": request.max_tokens,
                "temperature": request.temperature,
                "seed": request.seed,
                "samplers": ["temperature", "top_p"],
                "top_p": request.top_p,
                "stream": True,
                "timings_per_token": True,
                "cache_prompt": True,
                "id_slot": slot,
            },
            take,
        )
        seconds = time.monotonic() - started
        if failures:
            raise failures[0]
        if stop.is_set():
            return None
        text, reason = finish_text(request.opening, "".join(pieces), watch, finish == ["length"])
        return Completion(
            index=index,
            text=text,
            stop=reason,
            tokens_in=counts["prompt_n"] + counts["cache_n"],
            tokens_out=counts["predicted_n"],
            seconds=seconds,
        )


def _common_beginning(texts: Sequence[str]) -> str:
    """What all texts begin with, up to a line's end: a token across the cut is not found again."""
    first, last = min(texts, default=""), max(texts, default="")
    length = next(
        (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[: first.rfind("\n", 0, length) + 1]


def _wait(done: queue.SimpleQueue[Any]) -> Any:
    """The next result. Waits in slices, so that Ctrl-C is heard on every system."""
    while True:
        try:
            return done.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue


def _engine_error(name: str, error: dict[str, Any]) -> LLMError:
    """The engine's answer to a request it refuses."""
    if "n_prompt_tokens" in error:
        return LLMError(
            f"a prompt of {error['n_prompt_tokens']} tokens does not fit into the "
            f"{error['n_ctx']} tokens of context that {name} was given. Raise its context"
        )
    return LLMError(f"llama.cpp failed on {name}: {error.get('message', error)}")


def _check_memory(path: Path, info: GgufInfo, tokens: int) -> None:
    """Refuse a model before it drives the machine into its swap or its killer."""
    needed = info.size + info.kv_bytes * tokens + _OVERHEAD
    available = available_memory()
    if needed > available:
        raise LLMError(
            f"{path.name} needs about {needed / 1e9:.1f} GB of memory ({info.size / 1e9:.1f} GB "
            f"weights, {info.kv_bytes * tokens / 1e9:.1f} GB cache for {tokens} tokens), "
            f"{available / 1e9:.1f} GB are available. Take a smaller model, fewer parallel "
            f"slots or less context"
        )
