"""Reads answers from moto's models, faster than moto: it remembers which names an attribute can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_value

#: What stands for "not there": moto's own mark need not be known.
MISSING = object()


class Picker(XFormedAttributePicker):
    """moto's picker, which remembers within one answer under which names a kind of object may hold an attribute."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._names: dict[tuple[type, str, str, str | None], tuple[str, ...]] = {}
        self._transforms: dict[tuple[str, str], Callable[[Any], Any] | None] = {}

    def __call__(self, context: AttributePickerContext) -> Any:
        """The attribute's value, or None."""
        kind = (type(context.obj), context.key, context.shape.name, context.shape.serialization.get("name"))
        names = self._names.get(kind)
        if names is None:
            names = self._names[kind] = tuple(dict.fromkeys(self.get_possible_keys(context)))
        value = None
        for name in names:
            found = get_value(context.obj, name, MISSING)
            if found is not MISSING:
                value = found
                break
        place = (context.key_path, context.key)
        if place not in self._transforms:
            path = f"{context.key_path}.{context.key}"
            self._transforms[place] = next(
                (t for end, t in self.response_transformers.items() if path.endswith(end)), None
            )
        transform = self._transforms[place]
        return transform(value) if transform else value
