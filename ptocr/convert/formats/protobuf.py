"""The protobuf wire format, as much of it as reading Paddle's program files takes."""

from __future__ import annotations

from collections.abc import Iterator

Value = int | memoryview


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of variable length and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("integer of more than 64 bits")


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of a message; bytes, strings and messages come as views, fixed numbers as their raw bytes.

    Raises:
        ValueError: this is no protobuf message, or a part of one.
    """
    at, end = 0, len(data)
    try:
        while at < end:
            key, at = varint(data, at)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise ValueError("field number 0")
            if kind == 0:
                value, at = varint(data, at)
                yield number, value
                continue
            if kind == 2:
                size, at = varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"unknown wire type {kind}")
            if at + size > end:
                raise ValueError("ends too early")
            yield number, data[at : at + size]
            at += size
    except IndexError:
        raise ValueError("ends too early") from None


def message(data: memoryview) -> dict[int, list[Value]]:
    """All fields of a message by number."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def text(value: Value) -> str:
    """A string field."""
    if isinstance(value, int):
        raise ValueError("a number where a string belongs")
    return bytes(value).decode("utf-8")


def view(value: Value) -> memoryview:
    """A field that holds a message."""
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def signed(value: Value) -> int:
    """A 32- or 64-bit integer that may be negative."""
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(values: list[Value]) -> list[int]:
    """A repeated integer field, packed or not."""
    result: list[int] = []
    for value in values:
        if isinstance(value, int):
            result.append(signed(value))
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            result.append(signed(number))
    return result
