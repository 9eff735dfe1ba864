"""Read pickles that hold plain containers and numbers, and refuse all others.

A pickle is a program: loading one may run anything. This unpickler knows no function but two
harmless ones of its own, so a pickle that asks for any other is refused before it runs.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any


class _Dtype:
    """Stands for ``numpy.dtype``, which pickles of numpy numbers name. Keeps its code only."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if type(state) is tuple and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]


#: numpy's type codes that a number may have, as ``struct`` writes them.
_NUMBERS = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u8": "Q", "u4": "I"}


def _scalar(dtype: Any, raw: Any) -> float | int:
    """Stands for ``numpy.core.multiarray.scalar``: the plain number of its bytes."""
    if type(dtype) is not _Dtype or dtype.code not in _NUMBERS or type(raw) is not bytes:
        raise pickle.UnpicklingError("expected a plain number, found another numpy value")
    number = struct.unpack(dtype.order + _NUMBERS[dtype.code], raw)[0]
    assert isinstance(number, float | int)
    return number


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    # A plain dictionary keeps its order as well, and has no state for a pickle to set.
    ("collections", "OrderedDict"): dict,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class PlainUnpickler(pickle.Unpickler):
    """An unpickler for containers, strings and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up what the pickle names; almost nothing is admitted."""
        found = _ADMITTED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(
                f"expected plain containers and numbers, found a reference to {module}.{name}"
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to things outside the pickle."""
        raise pickle.UnpicklingError("expected plain values, found a persistent reference")


def load_plain(data: bytes) -> Any:
    """The value that a pickle holds.

    Raises:
        ValueError: it names anything but plain containers and numbers, or is damaged.
    """
    try:
        return PlainUnpickler(io.BytesIO(data)).load()
    except Exception as error:
        # A damaged pickle can raise nearly anything: the virtual machine just misreads its bytes.
        raise ValueError(f"not a pickle of plain values: {error}") from error
