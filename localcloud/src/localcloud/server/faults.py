"""Faults of the API on demand: throttling, errors, delays and lost answers, by operation and rate."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from localcloud import faults
from localcloud.calls import Call

#: Each service's error code for throttling (API reference, "Common Errors"; EC2's own list of error codes).
THROTTLED = {"ec2": "RequestLimitExceeded", "autoscaling": "Throttling", "iam": "Throttling", "sts": "Throttling"}


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
            code = THROTTLED.get(service, "ThrottlingException")
            return ("503 Service Unavailable" if service == "ec2" else "400 Bad Request"), code, "Rate exceeded"
        code = (
            "InternalError" if service == "ec2" else "InternalFailure" if self.status == 500 else "ServiceUnavailable"
        )
        return f"{self.status} Fault on demand", code, "An internal error has occurred, by a fault on demand"
