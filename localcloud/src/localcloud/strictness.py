"""What of AWS's strictness a cloud has: everything, unless it is switched off."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from localcloud.throttling import AUTO_SCALING, Limit

#: In the user agent of the harness's own clients, with which a test looks on: their calls need no tokens.
OBSERVER = "localcloud-observer"


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """The switches; docs/localcloud.md, "As strict as AWS", has AWS's page for each.

    Attributes:
        throttling: calls of EC2 and Auto Scaling need a token (``throttling``).
        auto_scaling_limit: of the bucket that all Auto Scaling calls share.
    """

    throttling: bool = True
    auto_scaling_limit: Limit = AUTO_SCALING

    def as_dict(self) -> dict[str, Any]:
        """As `GET /localcloud/status` shows it."""
        return {**asdict(self), "auto_scaling_limit": str(self.auto_scaling_limit)}

    @classmethod
    def off(cls) -> Strictness:
        """Nothing of it: a cloud that is more patient than AWS."""
        return cls(throttling=False)


STRICT = Strictness()
