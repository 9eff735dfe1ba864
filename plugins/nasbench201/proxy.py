"""A traced tensor, which knows its value in the graph and its real tensor."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import fx


class Tracing(Protocol):
    """What a proxy asks of the recorder that made it."""

    def attribute(self, proxy: CellProxy, name: str) -> Any:
        """An attribute of a traced tensor."""
        ...

    def failed(self, what: str) -> Exception:
        """The error to raise for what is done with a tensor."""
        ...

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Record one operation."""
        ...


class CellProxy(fx.Proxy):
    """A traced tensor that knows its value in the graph and, as far as it ran, its real tensor."""

    def __init__(self, node: fx.Node, recorder: Tracing, value: int, tensor: Any) -> None:
        super().__init__(node, recorder)  # type: ignore[arg-type]
        self.recorder = recorder
        #: Index of the value that the tensor holds now; operations in place change it.
        self.value = value
        #: The real tensor (or what else the operation gave); None where the operation failed.
        self.tensor = tensor
        self.stacked: tuple[tuple[Any, ...], int] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("tensor", "recorder", "value", "stacked"):
            raise AttributeError(name)
        return self.recorder.attribute(self, name)

    def __iadd__(self, other: Any) -> Any:
        return self.recorder.create_proxy("call_function", operator.iadd, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.recorder.create_proxy("call_function", operator.imul, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.recorder.create_proxy("call_function", operator.isub, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.recorder.create_proxy("call_function", operator.itruediv, (self, other), {})

    def __setitem__(self, key: Any, item: Any) -> None:
        self.recorder.create_proxy("call_function", operator.setitem, (self, key, item), {})

    def __len__(self) -> int:
        if isinstance(self.tensor, torch.Tensor) and self.tensor.dim():
            return len(self.tensor)
        raise self.recorder.failed("its length is asked for, which depends on its data")

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __float__(self) -> float:
        raise self.recorder.failed("it is turned into a Python number")

    def __int__(self) -> int:
        raise self.recorder.failed("it is turned into a Python number")

    def __index__(self) -> int:
        raise self.recorder.failed("it is turned into a Python number")

    def __contains__(self, item: Any) -> bool:
        raise self.recorder.failed("its data is searched with 'in'")

    def __iter__(self) -> Iterator[Any]:
        scalar = isinstance(self.tensor, torch.Tensor) and not self.tensor.dim()
        if isinstance(self.tensor, (tuple, list, torch.Tensor)) and not scalar:
            return iter([operator.getitem(self, i) for i in range(len(self.tensor))])
        raise self.recorder.failed("it is iterated over")


def real(value: Any) -> Any:
    """An argument with real tensors for proxies. Raises ValueError where one is not known."""
    if isinstance(value, CellProxy):
        if value.tensor is None:
            raise ValueError("an operation before this one failed")
        return value.tensor
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(real(v) for v in value) if type(value) in (list, tuple) else value
    if type(value) is dict:
        return {k: real(v) for k, v in value.items()}
    if isinstance(value, slice):
        return slice(real(value.start), real(value.stop), real(value.step))
    return value


def proxies_in(value: Any) -> list[CellProxy]:
    """All proxies in nested lists, tuples and dicts."""
    if isinstance(value, CellProxy):
        return [value]
    if isinstance(value, (list, tuple)):
        return [p for v in value for p in proxies_in(v)]
    if isinstance(value, Mapping):
        return [p for v in value.values() for p in proxies_in(v)]
    return []


def version_of(tensor: Any) -> int:
    """How often a tensor's memory was written in place; -1 where that is not known."""
    if not isinstance(tensor, torch.Tensor) or tensor.is_inference():
        return -1
    return tensor._version


def same_memory(one: Any, other: Any) -> bool:
    """Whether two tensors are the same view of the same memory."""
    return (
        isinstance(one, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.stride() == other.stride()
    )


def is_instance(value: Any, kinds: Any) -> bool:
    """``isinstance`` to which a traced tensor is a tensor; for the candidate's own assertions."""
    if type(value) is CellProxy:
        return isinstance(value.tensor, kinds)
    return isinstance(value, kinds)
