"""Forged reports: what a hostile candidate could send in place of an honest report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

#: Values that no honest report has where another value belongs, by what they are.
STRANGE_VALUES: tuple[tuple[str, Any], ...] = (
    ("null", None),
    ("NaN", math.nan),
    ("infinity", math.inf),
    ("minus infinity", -math.inf),
    ("a negative number", -1),
    ("an enormous integer", 10**400),
    ("an enormous number", 1e300),
    ("zero", 0),
    ("a boolean", True),
    ("text", "x"),
    ("text with an escape sequence", "\x1b[31m"),
    ("long text", "x" * 100_000),
    ("an empty list", []),
    ("a long list", [0] * 100_000),
    ("a list of lists", [[[]], {}]),
    ("an object", {"x": 1}),
)


def forge(report: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Forgeries of an honest report.

    Yields:
        What the forgery is, the forged report, and whether it has to be refused: a report that
        lacks all that an honest one has does, a changed number may be believed.
    """
    for what, value in STRANGE_VALUES:
        if not isinstance(value, Mapping):
            yield f"{what} for a report", value, True
    if report:
        yield "an empty report", {}, True
        yield "a report of something else", {"__forged__": 1}, True
    for key, honest in report.items():
        yield f"a report without {key!r}", {k: v for k, v in report.items() if k != key}, False
        for what, value in STRANGE_VALUES:
            yield f"{what} for {key!r}", {**report, key: value}, False
        if isinstance(honest, list) and honest:
            for what, value in STRANGE_VALUES:
                yield f"{what} in {key!r}", {**report, key: [value, *honest[1:]]}, False
            yield f"{key!r} one shorter", {**report, key: honest[1:]}, False
            yield f"{key!r} one longer", {**report, key: [*honest, honest[0]]}, False
        if isinstance(honest, Mapping):
            for inner in honest:
                for what, value in STRANGE_VALUES:
                    yield (
                        f"{what} for {key!r}, {inner!r}",
                        {**report, key: {**honest, inner: value}},
                        False,
                    )
