"""NAS-Bench-201: search a cell of four nodes and six edges; the table knows its accuracy."""

from typing import Any

__all__ = ["NasBench201"]


def __getattr__(name: str) -> Any:
    # Lazily, since this package is also imported to find the modules that go to the guest, and in
    # the guest the plugin itself does not exist.
    if name == "NasBench201":
        from plugins.nasbench201.plugin import NasBench201

        return NasBench201
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
