"""Faults on demand: throttling, errors, delays and lost answers, by operation and rate."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from localcloud.api.trace import Call

KINDS = ("throttle", "error", "latency", "lost")
#: How each service says that it is called too often (API reference, "Common Errors"; EC2's own list of error codes).
THROTTLED = {"ec2": "RequestLimitExceeded", "autoscaling": "Throttling", "iam": "Throttling", "sts": "Throttling"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with some calls.

    Attributes:
        operation: a pattern such as ``ec2:Describe*`` or ``*:CompleteLifecycleAction``.
        kind: ``throttle`` and ``error`` refuse before anything happens; ``latency`` delays; ``lost`` does what was asked
            and then breaks the connection instead of answering.
        rate: the share of calls that are struck, 0 to 1.
        milliseconds: a delay, for any kind.
        status: of an ``error``, 500 to 599.
        times: after so many strikes the fault is over; None means never.
    """

    operation: str = "*"
    kind: str = "error"
    rate: float = 1.0
    milliseconds: float = 0.0
    status: int = 503
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        if not 0 <= self.rate <= 1 or self.milliseconds < 0 or not 500 <= self.status <= 599 or (self.times is not None and self.times < 1):
            raise ValueError("rate is 0 to 1, milliseconds not negative, status 500 to 599, times at least 1")

    def answer(self, service: str) -> tuple[str, str, str]:
        """HTTP status, code and message of a refusal."""
        if self.kind == "throttle":
            code = THROTTLED.get(service, "ThrottlingException")
            return ("503 Service Unavailable" if service == "ec2" else "400 Bad Request"), code, "Rate exceeded"
        code = "InternalError" if service == "ec2" else "InternalFailure" if self.status == 500 else "ServiceUnavailable"
        return f"{self.status} Fault on demand", code, "An internal error has occurred, as was asked for"


class Faults:
    """The faults in force, first match first; the dice are seeded, so that a run can be repeated."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self.struck: list[int] = []
        self._dice = random.Random(0)

    def replace(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Put ``{"faults": [...], "seed": n}`` in force instead of whatever was.

        Raises:
            TypeError, ValueError: not a fault; the old ones stay.
        """
        rules = [Fault(**fault) for fault in wanted["faults"]]
        self._dice = random.Random(int(wanted.get("seed", 0)))
        self.rules, self.struck = rules, [0] * len(rules)
        return self.described()

    def described(self) -> dict[str, Any]:
        """The faults in force and how often each has struck."""
        return {"faults": [{**asdict(rule), "struck": struck} for rule, struck in zip(self.rules, self.struck, strict=True)]}

    def strike(self, call: Call) -> Fault | None:
        """The fault that this call meets, if any."""
        for number, rule in enumerate(self.rules):
            over = rule.times is not None and self.struck[number] >= rule.times
            if not over and fnmatchcase(f"{call.service}:{call.action}", rule.operation) and self._dice.random() < rule.rate:
                self.struck[number] += 1
                return rule
        return None
