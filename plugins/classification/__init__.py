"""Image classification: generated networks are trained in the sandbox and scored on the host."""

from typing import Any

__all__ = ["Cifar10", "FashionMnist", "ImageFolder"]

_WHERE = {"Cifar10": "cifar10", "FashionMnist": "fashion_mnist", "ImageFolder": "image_folder"}


def __getattr__(name: str) -> Any:
    # Lazily, so that listing the plugins imports no reader that it does not need.
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f"plugins.classification.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
