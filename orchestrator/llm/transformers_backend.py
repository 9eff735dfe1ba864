"""Checkpoints through ``transformers``, placed by Accelerate, several completions in one batch.

Each row of a batch has its own temperature, nucleus, seed and end. ``generate`` knows none of
that, so the sampling is a logits processor that leaves one token per row to be chosen, and the
end of each row is a stopping criterion.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from orchestrator.llm.checkpoint import Checkpoint, load_checkpoint
from orchestrator.llm.protocol import Completion, LLMError, Request, StopReason
from orchestrator.llm.sampling import sample
from orchestrator.llm.stopping import ClassEnd, finish_text

_POLL_SECONDS = 0.2
#: Tokens of the prompt that are decoded together with what is new: some tokenizers drop the
#: space in front of the first token.
_ANCHOR = 8


class Transformers:
    """One causal language model, loaded.

    The same request gives the same completion whatever else is in its batch, as far as the
    dtype carries: the sampling depends on the row alone, but a padded row's logits differ from a
    lone row's in their last bits, which is next to nothing in float32 and can decide a close call
    in bfloat16.

    Args:
        source: a folder with a checkpoint, or a hub id.
        name: what a run shows; default the source's last part.
        parallel: rows in a batch at most.
        context: tokens of context, prompt and completion together; default the model's own.
        dtype: ``float32``, ``bfloat16``, ``float16``; default as the checkpoint was saved.

    Raises:
        LLMError: no such checkpoint, no causal language model, weights missing or too large.
    """

    is_language_model = True

    def __init__(
        self,
        source: str,
        *,
        name: str | None = None,
        parallel: int = 8,
        context: int | None = None,
        dtype: str | None = None,
    ) -> None:
        for option, value in (("parallel", parallel), ("context", context)):
            if value is not None and value < 1:
                raise LLMError(f"{option} must be at least 1, is {value}")
        self._source = source
        self._name = name or source.rstrip("/").rsplit("/", 1)[-1]
        self._parallel = parallel
        self._loaded: Checkpoint | None = load_checkpoint(source, dtype)
        own = self._loaded.context
        self._context = min(context or own or 1 << 30, own or 1 << 30)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def parallel(self) -> int:
        """How many completions run side by side."""
        return self._parallel

    def describe(self) -> dict[str, Any]:
        """What runs: runtime, source, SHA-256 of the weights, dtype, device."""
        import accelerate
        import transformers

        checkpoint = self._checkpoint()
        return {
            "runtime": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "accelerate": accelerate.__version__,
            "model": self._name,
            "source": self._source,
            "sha256": checkpoint.sha256,
            "architecture": type(checkpoint.model).__name__,
            "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
            "device": str(checkpoint.model.device),
            "parallel": self._parallel,
            "context": self._context,
        }

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Complete every request once; yields each as soon as it is done.

        Raises:
            LLMError: a prompt is longer than the context, or the model failed.
        """
        checkpoint = self._checkpoint()
        rows = [self._row(checkpoint, index, request) for index, request in enumerate(requests)]
        # Rows of one length waste no padding.
        rows.sort(key=lambda row: len(row.prompt))
        done: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            try:
                for start in range(0, len(rows), self._parallel):
                    if stop.is_set():
                        return
                    _generate(checkpoint, rows[start : start + self._parallel], done, stop)
            except BaseException as error:
                done.put(error)

        worker = threading.Thread(target=work, name="llm", daemon=True)
        try:
            worker.start()
            for _ in requests:
                yield _wait(done, self._name)
        finally:
            stop.set()
            if worker.ident is not None:
                worker.join()

    def close(self) -> None:
        """Free the model. Idempotent."""
        self._loaded = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _checkpoint(self) -> Checkpoint:
        if self._loaded is None:
            raise LLMError(f"{self._name} was closed, and cannot complete any more")
        return self._loaded

    def _row(self, checkpoint: Checkpoint, index: int, request: Request) -> _Row:
        prompt = checkpoint.tokenizer(request.prompt)["input_ids"]
        room = self._context - len(prompt)
        if room < 1:
            raise LLMError(
                f"a prompt of {len(prompt)} tokens does not fit into the {self._context} tokens "
                f"of context that {self._name} has. Take a model with more context"
            )
        return _Row(index, request, prompt, min(request.max_tokens, room), checkpoint.tokenizer)


@dataclass
class _Row:
    """One request on its way."""

    index: int
    request: Request
    prompt: list[int]
    limit: int
    tokenizer: Any
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    stop: StopReason | None = None

    def __post_init__(self) -> None:
        self.watch = ClassEnd(self.request.opening)
        self.generator = torch.Generator().manual_seed(self.request.seed)
        self._anchor = self.prompt[-_ANCHOR:]
        self._skip = len(self._decode(self._anchor))

    def take(self, token: int, ends: frozenset[int]) -> bool:
        """Add a token; True once the row has come to its end."""
        self.tokens.append(token)
        if token in ends:
            self.stop = StopReason.END_OF_TEXT
            return True
        text = self._decode(self._anchor + self.tokens)[self._skip :]
        # A character may take several tokens; until then its end reads as a replacement.
        if not text.endswith("\ufffd"):
            piece = text[len(self.text) :]
            self.text = text
            if self.watch.feed(piece):
                self.stop = StopReason.CLASS_END
                return True
        if len(self.tokens) >= self.limit:
            self.stop = StopReason.LENGTH
            return True
        return False

    def completion(self, seconds: float) -> Completion:
        """The row as a completion, once it has ended."""
        text, reason = finish_text(
            self.request.opening, self.text, self.watch, self.stop is StopReason.LENGTH
        )
        return Completion(
            index=self.index,
            text=text,
            stop=reason,
            tokens_in=len(self.prompt),
            tokens_out=len(self.tokens),
            seconds=seconds,
        )

    def _decode(self, tokens: list[int]) -> str:
        decoded: str = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded


class _RowSampler(LogitsProcessor):
    """Chooses each row's token by the row's own settings, and leaves nothing else to choose."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        chosen = torch.full_like(scores, -torch.inf)
        logits = scores.detach().to("cpu", torch.float32)
        for number, row in enumerate(self._rows):
            token = 0
            if row.stop is None:
                token = sample(
                    logits[number], row.request.temperature, row.request.top_p, row.generator
                )
            chosen[number, token] = 0.0
        return chosen


class _RowEnd(StoppingCriteria):
    """Ends each row on its own, and hands it over at once."""

    def __init__(
        self,
        rows: Sequence[_Row],
        ends: frozenset[int],
        done: queue.SimpleQueue[Completion | BaseException],
        stop: threading.Event,
    ) -> None:
        self._rows = rows
        self._ends = ends
        self._done = done
        self._stop = stop
        self._started = time.monotonic()

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> Any:
        for number, row in enumerate(self._rows):
            if row.stop is None and row.take(int(input_ids[number, -1]), self._ends):
                self._done.put(row.completion(time.monotonic() - self._started))
        over = [row.stop is not None or self._stop.is_set() for row in self._rows]
        return torch.tensor(over, device=input_ids.device)


def _generate(
    checkpoint: Checkpoint,
    rows: Sequence[_Row],
    done: queue.SimpleQueue[Completion | BaseException],
    stop: threading.Event,
) -> None:
    """Run one batch; its rows are handed over as they end."""
    width = max(len(row.prompt) for row in rows)
    tokens = torch.full((len(rows), width), checkpoint.pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        tokens[number, width - len(row.prompt) :] = torch.tensor(row.prompt)
        mask[number, width - len(row.prompt) :] = 1
    device = checkpoint.model.device
    with torch.inference_mode():
        checkpoint.model.generate(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            do_sample=False,
            max_new_tokens=max(row.limit for row in rows),
            logits_processor=LogitsProcessorList([_RowSampler(rows)]),
            stopping_criteria=StoppingCriteriaList([_RowEnd(rows, checkpoint.ends, done, stop)]),
            pad_token_id=checkpoint.pad,
            use_cache=True,
        )


def _wait(done: queue.SimpleQueue[Any], name: str) -> Completion:
    """The next completion. Waits in slices, so that Ctrl-C is heard on every system."""
    while True:
        with contextlib.suppress(queue.Empty):
            result = done.get(timeout=_POLL_SECONDS)
            break
    if isinstance(result, LLMError):
        raise result
    if isinstance(result, torch.OutOfMemoryError):
        raise LLMError(f"{name} ran out of GPU memory: take fewer parallel completions") from result
    if isinstance(result, Exception):
        raise LLMError(f"{name} failed: {type(result).__name__}: {result}") from result
    if isinstance(result, BaseException):
        raise result
    completion: Completion = result
    return completion
