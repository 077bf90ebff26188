"""The constraints of AWS's service model, which every call is checked against first: required, length, pattern, enum.

AWS's answer is ``ValidationError`` with "1 validation error detected: Value ... at '...' failed to satisfy constraint:
..." (API reference, "Common Errors"). The model is botocore's, of which clients check only a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import ListShape, Shape, StringShape, StructureShape


def broken(shape: Shape | None, value: Any, path: str = "") -> list[str]:
    """The constraints of a shape that a value breaks, in AWS's words; an operation without input has none."""
    return [] if shape is None else list(_broken(shape, value, path))


def refusal(problems: list[str]) -> str:
    """AWS's message about them."""
    return f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: {'; '.join(problems)}"


def _broken(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape:
        case StructureShape():
            for name, member in shape.members.items():
                yield from _member(
                    member, value.get(name), f"{path}.{_lower(name)}".lstrip("."), name in shape.required_members
                )
        case ListShape():
            yield from _size(shape, value, len(value), "length", path)
            for number, item in enumerate(value, 1):
                yield from _broken(shape.member, item, f"{path}.{number}.member")
        case StringShape():
            yield from _text(shape, value, path)
        case _ if shape.type_name in ("integer", "long"):
            yield from _size(shape, value, value, "value", path)


def _member(shape: Shape, value: Any, path: str, required: bool) -> Iterator[str]:
    if value is not None:
        yield from _broken(shape, value, path)
    elif required:
        yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"


def _text(shape: StringShape, value: str, path: str) -> Iterator[str]:
    yield from _size(shape, value, len(value), "length", path)
    failed = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must"
    if shape.enum and value not in shape.enum:
        yield f"{failed} satisfy enum value set: [{', '.join(shape.enum)}]"
    pattern = _pattern(shape.metadata.get("pattern", ""))
    if pattern and not pattern.fullmatch(value):
        yield f"{failed} satisfy regular expression pattern: {pattern.pattern}"


def _size(shape: Shape, value: Any, size: int, what: str, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    of = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must have {what}"
    if low is not None and size < low:
        yield f"{of} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"{of} less than or equal to {high}"


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of the model; those that speak of surrogate pairs mean any text, and Python does not know them."""
    try:
        return re.compile(text) if text else None
    except re.error:
        return None


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
