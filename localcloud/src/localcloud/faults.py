"""Faults on demand: rules, with a seeded random number generator, so that a run can be repeated. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with some requests; subclasses say with which.

    Attributes:
        kind: one of ``KINDS``.
        rate: the share of requests that are affected, 0 to 1.
        milliseconds: a delay.
        status: of an ``error``, 500 to 599.
        times: how many requests are affected at most; None: no limit.

    Raises:
        ValueError: a value is not valid.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("error",)

    kind: str = "error"
    rate: float = 1.0
    milliseconds: float = 0.0
    status: int = 503
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ValueError(f"kind must be one of {', '.join(self.KINDS)}")
        if (
            not 0 <= self.rate <= 1
            or self.milliseconds < 0
            or not 500 <= self.status <= 599
            or (self.times is not None and self.times < 1)
        ):
            raise ValueError("rate is 0 to 1, milliseconds not negative, status 500 to 599, times at least 1")


Rule = TypeVar("Rule", bound=Fault)


class Faults(Generic[Rule]):
    """The faults that are set; the first that matches applies.

    Args:
        kind: the class of the faults.
    """

    def __init__(self, kind: type[Rule]) -> None:
        self._kind = kind
        self.clear()

    def clear(self) -> None:
        """Remove all faults."""
        self.set({"faults": []})

    def set(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the faults by ``{"faults": [...], "seed": n}``.

        Raises:
            KeyError, TypeError, ValueError: one is not valid; the old ones stay.
        """
        rules, seed = [self._kind(**fault) for fault in values["faults"]], int(values.get("seed", 0))
        self.rules, self.struck, self._random = rules, [0] * len(rules), random.Random(seed)
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The faults and how many requests each has affected (``struck``)."""
        pairs = zip(self.rules, self.struck, strict=True)
        return {"faults": [{**asdict(rule), "struck": struck} for rule, struck in pairs]}

    def match(self, applies: Callable[[Rule], bool]) -> Rule | None:
        """The fault for a request, among those for which ``applies`` is true; None if there is none."""
        for number, rule in enumerate(self.rules):
            over = rule.times is not None and self.struck[number] >= rule.times
            if not over and applies(rule) and self._random.random() < rule.rate:
                self.struck[number] += 1
                return rule
        return None
