"""Faults on demand: rules, with a seeded random number generator, so that a run can be repeated. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
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
    """The faults that are set; the first that matches applies."""

    def __init__(self) -> None:
        self.replace((), 0)

    def replace(self, rules: Iterable[Rule], seed: int) -> None:
        """Replace the faults."""
        self.rules = list(rules)
        self._dice, self.struck = random.Random(seed), [0] * len(self.rules)

    def as_list(self) -> list[dict[str, Any]]:
        """The faults and how many requests each has affected (``struck``)."""
        return [{**asdict(rule), "struck": struck} for rule, struck in zip(self.rules, self.struck, strict=True)]

    def match_rule(self, meant: Callable[[Rule], bool]) -> Rule | None:
        """The fault for a request, among those for which ``meant`` is true; None if there is none."""
        for number, rule in enumerate(self.rules):
            over = rule.times is not None and self.struck[number] >= rule.times
            if not over and meant(rule) and self._dice.random() < rule.rate:
                self.struck[number] += 1
                return rule
        return None
