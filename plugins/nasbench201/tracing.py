"""The guest's task for a NAS-Bench-201 candidate: build the cell, trace it, map it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from plugins.nasbench201.graph import NotRepresentable
from plugins.nasbench201.mapping import Mapped, map_graph
from plugins.nasbench201.proxy import is_instance
from plugins.nasbench201.recorder import Recorder, TracingFailed
from sandbox.guest.candidate import last_module_class
from sandbox.guest.task import Refusal, TaskContext


@dataclass(frozen=True)
class Trial:
    """One way to build and call the cell: channels, shape of the input, mode."""

    channels: int
    shape: tuple[int, int, int, int]
    training: bool

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return f"C = {self.channels}, input {self.shape}, in {mode} mode"


#: A cell has to be the same cell in both, since the benchmark stacks it with several channel
#: counts and sizes, and evaluates what it trained.
TRIALS = (Trial(16, (2, 16, 8, 8), True), Trial(32, (3, 32, 10, 6), False))


def run(source: str, params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """A task of the sandbox, see :mod:`sandbox.guest.task`. Takes no ``params``.

    Returns:
        ``cell``: six operation indices, see :mod:`.mapping`; ``normalised``: notes, a line each;
        ``parameters``: of the cell as written, with C = 16; ``mapping_seconds``.

    Raises:
        Refusal: ``wrong_shape``, ``not_representable``, ``build_error`` or ``forward_error``.
        Exception: what the candidate raised, in the phase that the context is in.
    """
    with _one_thread(), _compilers_disabled():
        namespace = context.load(source)
        namespace.setdefault("isinstance", is_instance)
        context.phase("build")
        cls = last_module_class(source, namespace, arguments=1)
        results = [_try(cls, trial, context) for trial in TRIALS]
    (first, seconds, parameters), (second, more, _) = results
    if first.cell != second.cell:
        raise Refusal(
            "not_representable",
            f"expected one cell; it is {first.cell} with {TRIALS[0]}, and {second.cell} with "
            f"{TRIALS[1]}: let forward do the same for every input, width and mode",
        )
    return {
        "cell": list(first.cell),
        "normalised": list(first.notes),
        "parameters": parameters,
        "mapping_seconds": seconds + more,
    }


def _try(cls: type[nn.Module], trial: Trial, context: TaskContext) -> tuple[Mapped, float, int]:
    """The cell of one trial, the seconds it took to trace and map, and the parameters."""
    context.phase("build")
    torch.random.default_generator.manual_seed(0)
    cell = _build(cls, trial)
    cell.train(trial.training)
    image = torch.randn(trial.shape)
    context.phase("forward")
    torch.random.default_generator.manual_seed(1)
    error: Exception | None = None
    output: Any = None
    try:
        with torch.enable_grad():
            output = cell(image.clone())
    except Exception as raised:
        error = raised
    start = time.perf_counter()
    # Another seed, so that what is drawn in forward does not look constant.
    torch.random.default_generator.manual_seed(2)
    verdict: NotRepresentable | None = None
    mapped: Mapped | None = None
    replayed: Any = None
    parameters = 0
    try:
        graph, replayed = Recorder(cell, trial.channels).record(image.clone())
        mapped = map_graph(graph)
        parameters = _count_parameters(cell)
    except TracingFailed as failed:
        verdict = failed.verdict
    except NotRepresentable as refused:
        verdict = refused
    except Exception as odd:
        # A source can make torch.fx itself stumble: no cell, and no fault of the sandbox.
        verdict = NotRepresentable(
            "untraceable",
            f"the cell cannot be traced: {_words(odd)}; write it with plain layers "
            "and sums, and leave nn.Module's own attributes alone",
            certain=False,
        )
    seconds = time.perf_counter() - start
    if verdict is not None and verdict.certain:
        raise Refusal("not_representable", verdict.reason)
    if error is not None:
        raise _forward_failed(error, trial)
    _check_shape(output, trial)
    if verdict is not None:
        raise Refusal("not_representable", verdict.reason)
    assert mapped is not None
    _check_same(output, replayed)
    return mapped, seconds, parameters


def _count_parameters(cell: nn.Module) -> int:
    lazy = nn.parameter.UninitializedParameter
    return sum(p.numel() for p in nn.Module.parameters(cell) if type(p) is not lazy)


def _build(cls: type[nn.Module], trial: Trial) -> nn.Module:
    try:
        return cls(trial.channels)
    except Exception as error:
        if trial is TRIALS[0]:
            raise
        raise Refusal(
            "build_error",
            f"{cls.__name__}({TRIALS[0].channels}) can be built, {cls.__name__}({trial.channels}) "
            f"raises {_words(error)}; take every channel count from C",
        ) from error


def _forward_failed(error: Exception, trial: Trial) -> Exception:
    if trial is TRIALS[0]:
        return error
    return Refusal(
        "forward_error",
        f"forward works with {TRIALS[0]}, but with {trial} it raises {_words(error)}; "
        f"take every channel count and size from C and from the input",
    )


def _words(error: Exception) -> str:
    """An exception on one line of sane length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _check_shape(output: Any, trial: Trial) -> None:
    expected = f"expected forward to return one tensor of the input's shape, {trial.shape}"
    if not isinstance(output, torch.Tensor):
        raise Refusal("wrong_shape", f"{expected}; found {type(output).__name__}")
    if tuple(output.shape) != trial.shape:
        raise Refusal(
            "wrong_shape", f"{expected}; found {tuple(output.shape)}: keep C, height and width"
        )


def _check_same(output: torch.Tensor, replayed: Any) -> None:
    """The trace must have computed what the cell computes; else it saw only part of it."""
    same = isinstance(replayed, torch.Tensor) and torch.allclose(
        output.detach(), replayed.detach(), rtol=1e-3, atol=1e-4, equal_nan=True
    )
    if not same:
        raise Refusal(
            "not_representable",
            "expected forward to compute the same each time; two calls with the same input "
            "differ: make every layer in __init__, and use nothing random or counted in forward",
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors are tiny here: more threads only wait for each other, for long on a busy host."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _compilers_disabled() -> Iterator[None]:
    """Makes ``torch.compile`` and ``torch.jit.script`` hand back what they are given.

    What they compile computes the same, takes minutes of compilation to do so, and cannot be
    traced. ``torch.is_tensor`` learns of traced tensors.
    """

    def plain(model: Any = None, *_args: Any, **_kwargs: Any) -> Any:
        return model if model is not None else plain

    def is_tensor(value: Any, /) -> bool:
        return is_instance(value, torch.Tensor)

    kept = torch.compile, torch.jit.script, torch.is_tensor
    torch.compile, torch.jit.script, torch.is_tensor = plain, plain, is_tensor  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile, torch.jit.script, torch.is_tensor = kept
