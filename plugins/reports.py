"""Read values out of a report that may be forged. For a plugin's ``evaluate``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from plugins.contract import ReportError


def integer(report: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """The integer at ``key``, low <= value <= high.

    Raises:
        ReportError: it is missing, of another type, or out of range.
    """
    value = _get(report, key)
    if type(value) is not int or not low <= value <= high:
        raise ReportError(f"expected {key!r} to be an integer from {low} to {high}")
    return value


def number(report: Mapping[str, Any], key: str, low: float, high: float) -> float:
    """The finite number at ``key``, low <= value <= high.

    Raises:
        ReportError: it is missing, of another type, NaN, infinite or out of range.
    """
    value = _get(report, key)
    if type(value) not in (int, float) or not low <= value <= high or math.isinf(value):
        raise ReportError(f"expected {key!r} to be a number from {low} to {high}")
    return float(value)


def _get(report: Mapping[str, Any], key: str) -> Any:
    if not isinstance(report, Mapping) or key not in report:
        raise ReportError(f"expected a report with {key!r}")
    return report[key]
