"""Length-prefixed, size-capped JSON frames: the only language that crosses the sandbox's borders.

A frame is four bytes of length (big endian), then that many bytes of UTF-8 JSON. Both sides of
both borders (host and supervisor, supervisor and child) use this module. There is no pickle
anywhere. What is read may be hostile, so decoding is stricter than :func:`json.loads`: no
duplicate keys, no NaN or infinities, integers within 64 bits, no lone surrogates, bounded depth.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

HEADER = struct.Struct(">I")
MAX_DEPTH = 64
MAX_INTEGER = 2**63 - 1


class FrameError(ValueError):
    """Bytes that are no acceptable frame; the message says why, in one line."""


class FrameTooLong(FrameError):
    """A frame that announces, or would need, more bytes than are allowed."""


def encode(value: Any, limit: int) -> bytes:
    """A value as one frame, header included.

    Raises:
        FrameTooLong: its JSON is longer than ``limit`` bytes.
        FrameError: it holds something that strict JSON cannot say.
    """
    try:
        payload = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        ).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"not a JSON value: {error}") from None
    if len(payload) > limit:
        raise FrameTooLong(f"{len(payload)} bytes of JSON, at most {limit} are allowed")
    return HEADER.pack(len(payload)) + payload


def decode(payload: bytes, depth: int = MAX_DEPTH) -> Any:
    """The value of one frame's payload, nested at most ``depth`` deep.

    Raises:
        FrameError: it is not strict JSON.
    """
    try:
        value = json.loads(
            payload.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise FrameError(f"JSON nested deeper than {depth}") from None
    except FrameError:
        raise
    except ValueError as error:
        raise FrameError(f"not JSON: {error}") from None
    _check(value, depth)
    return value


class FrameReader:
    """Cuts a stream of bytes into payloads, however the bytes are split on their way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def incomplete(self) -> bool:
        """Whether the bytes fed so far end inside a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in; yields the payloads that are complete.

        Raises:
            FrameTooLong: a header announces more than the limit. Nothing after it can be read.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer)
            if length > self._limit:
                raise FrameTooLong(f"a frame of {length} bytes, at most {self._limit} are allowed")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield payload


def _refuse_constant(name: str) -> NoReturn:
    raise FrameError(f"{name} is not a number of JSON")


def _integer(digits: str) -> int:
    # Looked at before int(): converting a long run of digits takes quadratic time.
    if len(digits) > 20 or not -MAX_INTEGER - 1 <= int(digits) <= MAX_INTEGER:
        raise FrameError(f"an integer of {len(digits)} digits does not fit 64 bits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise FrameError("a number too large for a float")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise FrameError("an object names a key twice")
    return value


def _check(value: Any, depth: int) -> None:
    """Bound the depth and refuse lone surrogates, without recursing."""
    level = [value]
    for _ in range(depth + 1):
        containers: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, (list, dict)):
                containers.append(item)
        if not containers:
            return
        level = []
        for container in containers:
            level += container
            if isinstance(container, dict):
                level += container.values()
    raise FrameError(f"JSON nested deeper than {depth}")


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise FrameError("text with a lone surrogate") from None
