"""Runs a candidate's forward pass under ``torch.fx`` and writes down its graph of values.

Every operation is also executed on real tensors, so that shapes are known while tracing (code
like ``n, c, h, w = x.shape`` works) and operations in place are seen for what they do: a later
use of a tensor that ``ReLU(inplace=True)`` changed is a use of the changed value.
"""

from __future__ import annotations

import operator
import random
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from plugins.nasbench201.functions import see_call
from plugins.nasbench201.graph import Graph, NotRepresentable, Value
from plugins.nasbench201.layers import Seen, see_module
from plugins.nasbench201.proxy import (
    CellProxy,
    proxies_in,
    real,
    same_memory,
    version_of,
)

#: Name under which the candidate's source is compiled; see ``sandbox.guest.task``.
CANDIDATE_FILE = "<candidate>"
#: More values than this are no cell, and not worth waiting for.
MOST_VALUES = 1000

_SHAPE_METHODS = {
    "size", "dim", "ndimension", "numel", "nelement", "element_size", "is_floating_point",
    "is_contiguous", "is_complex", "stride", "get_device", "storage_offset", "has_names",
}  # fmt: skip
_SHAPE_FUNCTIONS = {torch.numel, torch.is_floating_point, torch.is_complex}


class TracingFailed(Exception):
    """The graph cannot be recorded; carries the verdict."""

    def __init__(self, verdict: NotRepresentable) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Recorder(fx.Tracer):
    """Traces one call of a cell on one input."""

    def __init__(self, cell: nn.Module, channels: int) -> None:
        super().__init__()
        self.cell = cell
        self.channels = channels
        self.values: list[Value] = []
        self.failure: NotRepresentable | None = None
        self._proxies: list[CellProxy] = []
        # Through nn.Module, since a candidate may have an attribute named "parameters".
        self._names = {m: n for n, m in nn.Module.named_modules(cell)}
        self._parameters = {id(p) for p in nn.Module.parameters(cell)}
        self._modules_by_target: dict[str, nn.Module] = {}
        self._tensors: list[torch.Tensor] = []

    def record(self, image: torch.Tensor) -> tuple[Graph, Any]:
        """The graph of ``cell(image)``, and what the call returned on real tensors.

        Raises:
            TracingFailed: the forward pass depends on data, or does what cannot be traced.
        """
        probe = _Probe(self.cell)
        self._image = image
        drawn = _random_state()
        try:
            self.trace(probe)
        except Exception as error:
            if self.failure is None:
                # A forward pass that fails by itself fails here too; the caller knows which.
                raise TracingFailed(
                    NotRepresentable(
                        "untraceable",
                        f"forward cannot be traced{self._line()}: {type(error).__name__}: "
                        f"{_one_line(error)}; write it with plain layers and sums",
                        certain=False,
                    )
                ) from error
        if self.failure is None and _random_state() != drawn:
            self.failure = NotRepresentable(
                "random",
                "expected a forward pass that does the same each time; it draws random numbers: "
                "make layers in __init__, and use nothing random in forward",
            )
        if self.failure is not None:
            raise TracingFailed(self.failure)
        returned = probe.returned
        if isinstance(returned, CellProxy):
            return Graph(tuple(self.values), returned.value), returned.tensor
        if isinstance(returned, torch.Tensor):
            return Graph((*self.values, self._constant(returned)), len(self.values)), returned
        raise TracingFailed(
            NotRepresentable(
                "output",
                f"expected forward to return one tensor; found {type(returned).__name__}",
                certain=False,
            )
        )

    # --- what fx asks ---------------------------------------------------------------------

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers are operations; everything else is looked into."""
        if type(m) is nn.Sequential or isinstance(m, _Probe):
            return not len(m) if isinstance(m, nn.Sequential) else False
        return type(m).__module__.split(".")[0] == "torch"

    def path_of_module(self, mod: nn.Module) -> str:
        """A path also for modules that are not registered (made in forward, or in a list)."""
        path = self._names.get(mod) or f"{type(mod).__name__}_{id(mod)}"
        self._modules_by_target[path] = mod
        return path

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Parameters stay real tensors: what a candidate computes with them is just computed."""
        return attr_val

    def create_arg(self, a: Any) -> Any:
        """Real tensors, and anything else that fx would not keep, become opaque arguments."""
        if isinstance(a, torch.Tensor):
            return f"<tensor {tuple(a.shape)}>"
        try:
            return super().create_arg(a)
        except (NotImplementedError, NameError, TypeError, AttributeError):
            return f"<{type(a).__name__}>"

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """A module of the candidate that hands its input on is an explicit identity layer."""
        given = [*args, *kwargs.values()]
        before = [p.value for p in given if isinstance(p, CellProxy)]
        result = super().call_module(m, forward, args, kwargs)
        hands_on = (
            isinstance(result, CellProxy)
            and len(given) == 1
            and given[0] is result
            and [result.value] == before
        )
        if hands_on and not isinstance(m, _Probe) and m is not self.cell:
            skip = Value("skip", (result.value,), self._called(m))
            return self._proxy(result.node, skip, result.tensor)
        return result

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Refuses control flow on data."""
        raise self.failed("a branch or loop depends on its data")

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Any = None,
    ) -> Any:
        """Runs one operation, and records what it is."""
        if len(self._proxies) >= MOST_VALUES:
            self.failure = NotRepresentable(
                "too_many_nodes",
                f"expected a cell of at most 6 operations; found more than {MOST_VALUES} steps",
            )
            raise fx.proxy.TraceError(self.failure.reason)
        if kind == "placeholder":
            node = self.create_node(kind, target, (), {})
            return self._proxy(node, Value("input", name="the input"), self._image)
        if kind == "call_method" and target in _SHAPE_METHODS:
            return getattr(self._known(args[0]), target)(*args[1:], **kwargs)
        if kind == "call_function" and target in _SHAPE_FUNCTIONS:
            return target(self._known(args[0]))
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name)
        versions = [version_of(p.tensor) for p in self._proxies]
        module = self._modules_by_target.get(target) if kind == "call_module" else None
        result = self._run(kind, target, module, args, kwargs)
        if module is not None:
            called = self._called(module)
            seen = see_module(module, called, self.channels, args, kwargs)
        else:
            called = f"{getattr(target, '__name__', target)}{self._line()}"
            if target is operator.getitem:
                seen = Seen("other", problem=_indexed(called))
            elif target is getattr:
                seen = see_call(args[1], called, self.channels, args[:1], {}, result)
            else:
                seen = see_call(target, called, self.channels, args, kwargs, result)
        value = self._value(seen, called, args, kwargs)
        proxy = self._register(node, value, result, seen)
        self._note_changes(versions, proxy)
        return proxy

    # --- one operation --------------------------------------------------------------------

    def attribute(self, proxy: CellProxy, name: str) -> Any:
        """An attribute of a traced tensor: metadata is real, methods and tensors are traced."""
        known = proxy.tensor if proxy.tensor is not None else self._image
        found = getattr(known, name)
        if callable(found) and not isinstance(found, torch.Tensor):
            return lambda *args, **kwargs: self.create_proxy(
                "call_method", name, (proxy, *args), kwargs
            )
        if isinstance(found, torch.Tensor):
            return self.create_proxy("call_function", getattr, (proxy, name), {})
        if proxy.tensor is None:
            raise self.failed(f"its {name} is asked for, and the operation before it fails")
        return found

    def failed(self, what: str) -> Exception:
        """The error to raise for what forward does with a tensor, which refuses it for good."""
        verdict = NotRepresentable(
            "control_flow",
            f"expected a forward pass that does the same for every input; at a tensor"
            f"{self._line()}, {what}: remove the control flow on data",
        )
        self.failure = self.failure or verdict
        return fx.proxy.TraceError(verdict.reason)

    def _known(self, proxy: Any) -> Any:
        if isinstance(proxy, CellProxy) and proxy.tensor is not None:
            return proxy.tensor
        raise self.failed("its shape is asked for, and the operation before it fails")

    def _run(self, kind: str, target: Any, module: nn.Module | None, args: Any, kwargs: Any) -> Any:
        """The operation on real tensors; None where it fails."""
        # What an operation draws at random is its own affair: it matters if its value does.
        state = torch.random.default_generator.get_state()
        try:
            real_args = real(args)
            real_kwargs = real(kwargs)
            with torch.no_grad():
                if module is not None:
                    return module.forward(*real_args, **real_kwargs)
                if kind == "call_method":
                    return getattr(real_args[0], target)(*real_args[1:], **real_kwargs)
                return target(*real_args, **real_kwargs)
        except Exception:
            return None
        finally:
            torch.random.default_generator.set_state(state)

    def _value(self, seen: Seen, called: str, args: Any, kwargs: Any) -> Value:
        if seen.op == "sum":
            return self._sum(seen, called)
        if seen.op in ("other", "stack"):
            inputs = tuple(p.value for p in proxies_in((args, kwargs)))
            problem = seen.problem
            if seen.op == "stack":
                problem = NotRepresentable(
                    "concatenation",
                    f"{called}: expected a sum of branches; found them stacked: add them up",
                )
            return Value("other", inputs, called, problem=problem)
        (operand,) = seen.operands
        if not isinstance(operand, CellProxy):
            inputs = tuple(p.value for p in proxies_in((args, kwargs)))
            problem = NotRepresentable(
                "operand", f"{called}: expected it to work on a value of the cell", certain=False
            )
            return Value("other", inputs, called, problem=problem)
        note = seen.note
        weight: object = None
        if seen.weight is not None:
            weight = (seen.weight.untyped_storage().data_ptr(), seen.weight.storage_offset())
            if seen.op == "conv" and id(seen.weight) not in self._parameters:
                note = f"{called}: its weight is not registered with the cell, so would not be "
                note += "trained; normalised to a trained one"
        elif seen.owner is not None:
            weight = id(seen.owner)
        if seen.op in ("conv", "norm") and not torch.is_grad_enabled():
            note = f"{called}: under no_grad, so would not be trained; normalised to a trained one"
        return Value(seen.op, (operand.value,), called, seen.kernel, weight, note)

    def _sum(self, seen: Seen, called: str) -> Value:
        inputs = []
        problem = None
        for operand in seen.operands:
            if isinstance(operand, CellProxy):
                inputs.append(operand.value)
            elif not _is_nothing(operand):
                problem = NotRepresentable(
                    "constant",
                    f"{called}: expected a sum of values of the cell; found a constant "
                    f"({type(operand).__name__}) in it: leave it out",
                )
        shapes = {
            tuple(o.tensor.shape)
            for o in seen.operands
            if isinstance(o, CellProxy) and isinstance(o.tensor, torch.Tensor)
        }
        if len(shapes) > 1 and problem is None:
            problem = NotRepresentable(
                "shapes",
                f"{called}: expected summands of one shape; found {sorted(shapes)}",
                certain=False,
            )
        if problem is not None:
            return Value("other", tuple(inputs), called, problem=problem)
        return Value("sum", tuple(inputs), called)

    def _register(self, node: fx.Node, value: Value, result: Any, seen: Seen) -> CellProxy:
        if value.op == "alias" and not value.note:
            made = CellProxy(node, self, value.inputs[0], result)
            self._proxies.append(made)
        else:
            made = self._proxy(node, value, result)
        if seen.op == "stack":
            made.stacked = (seen.operands, seen.dim)
        return made

    def _proxy(self, node: fx.Node, value: Value, tensor: Any) -> CellProxy:
        self.values.append(value)
        made = CellProxy(node, self, len(self.values) - 1, tensor)
        self._proxies.append(made)
        return made

    def _note_changes(self, versions: list[int], made: CellProxy) -> None:
        """Finds the tensors that the operation changed in place, and says what they hold now."""
        for proxy, before in zip(self._proxies, versions, strict=False):
            if version_of(proxy.tensor) == before:
                continue
            if same_memory(proxy.tensor, made.tensor):
                proxy.value = made.value
                continue
            problem = NotRepresentable(
                "in_place",
                f"expected whole tensors; one is changed in part, in place{self._line()}: compute "
                "a new tensor",
            )
            self.values.append(Value("other", (proxy.value,), "a changed tensor", problem=problem))
            proxy.value = len(self.values) - 1

    def _constant(self, tensor: torch.Tensor) -> Value:
        if _is_nothing(tensor):
            return Value("zero", name="a constant 0")
        return Value(
            "other",
            name="a constant",
            problem=NotRepresentable(
                "constant",
                "expected an output that is computed from the input; found a constant tensor",
            ),
        )

    # --- names ----------------------------------------------------------------------------

    def _called(self, module: nn.Module) -> str:
        path = self._names.get(module)
        shown = f" '{path}'" if path else ""
        in_place = "(inplace=True)" if getattr(module, "inplace", False) is True else ""
        return f"{type(module).__name__}{in_place}{shown}{self._line()}"

    def _line(self) -> str:
        """Where in the source we are: ``" (line 12)"``, or empty."""
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == CANDIDATE_FILE:
                return f" (line {frame.f_lineno})"
            frame = frame.f_back  # type: ignore[assignment]
        return ""


class _Probe(nn.Module):
    """Calls the cell with one input, so that defaults of its forward stay what they are."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.returned: Any = None

    def forward(self, x: Any) -> Any:
        self.returned = self.cell(x)
        return x


def _is_nothing(operand: Any) -> bool:
    """Whether adding this constant changes nothing."""
    if isinstance(operand, torch.Tensor):
        return not operand.requires_grad and not bool(operand.any())
    return isinstance(operand, (int, float)) and operand == 0


def _indexed(called: str) -> NotRepresentable:
    return NotRepresentable(
        "indexing", f"{called}: expected whole tensors; found a part of one, by index", False
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _random_state() -> tuple[object, bytes]:
    """What torch's and Python's generators would draw next."""
    return random.getstate(), torch.random.default_generator.get_state().numpy().tobytes()
