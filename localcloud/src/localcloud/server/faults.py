"""Faults of the API on demand: throttling, errors, delays and lost answers, by operation and rate."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from localcloud import faults
from localcloud.calls import Call

#: Each service's error code for throttling (API reference, "Common Errors"; EC2's own list of error codes).
THROTTLED = {"ec2": "RequestLimitExceeded", "autoscaling": "Throttling", "iam": "Throttling", "sts": "Throttling"}


def throttled(service: str) -> tuple[str, str, str]:
    """HTTP status, code and message of a call that was one too many."""
    if service == "ec2":
        return "503 Service Unavailable", THROTTLED[service], "Request limit exceeded."
    return "400 Bad Request", THROTTLED.get(service, "ThrottlingException"), "Rate exceeded"


@dataclass(frozen=True, kw_only=True)
class Fault(faults.Fault):
    """What goes wrong with some calls.

    Attributes:
        operation: a pattern such as ``ec2:Describe*`` or ``*:CompleteLifecycleAction``.
        kind: ``throttle`` and ``error`` refuse before anything happens; ``latency`` delays; ``lost`` does what was
            asked and then closes the connection instead of answering. Any kind can have a delay of ``milliseconds``.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("throttle", "error", "latency", "lost")

    operation: str = "*"

    def applies_to(self, call: Call) -> bool:
        """Whether it is a fault of this operation."""
        return fnmatchcase(f"{call.service}:{call.action}", self.operation)

    def answer(self, service: str) -> tuple[str, str, str]:
        """HTTP status, code and message of a refusal."""
        if self.kind == "throttle":
            return throttled(service)
        code = (
            "InternalError" if service == "ec2" else "InternalFailure" if self.status == 500 else "ServiceUnavailable"
        )
        return f"{self.status} Fault on demand", code, "An internal error has occurred, by a fault on demand"
