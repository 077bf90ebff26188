"""What of AWS's strictness a cloud has: everything, unless it is switched off."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from localcloud.throttling import AUTO_SCALING, Limit

#: In the user agent of the harness's own clients, with which a test looks on: their calls need no tokens.
OBSERVER = "localcloud-observer"
#: Seconds after which every change of IAM has taken effect, by default.
PROPAGATED = 15.0


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """The switches; docs/localcloud.md, "As strict as AWS", has AWS's page for each.

    Attributes:
        throttling: calls of EC2 and Auto Scaling need a token (``throttling``).
        auto_scaling_limit: of the bucket that all Auto Scaling calls share.
        propagation_seconds: how long at most until a change of IAM takes effect (``iam.propagation``), and a fifth of
            it until Auto Scaling sees a new launch template; 0: at once.
        credentials_seconds: how long at most a new instance's metadata has no credentials; 0: never.
        metadata_tags_seconds: how long at most until the metadata shows a change of a running instance's tags.
        linked_roles: whether the account has had groups and Spot Instances before, and so has their services' roles.
        seed: of the delays.
    """

    throttling: bool = True
    auto_scaling_limit: Limit = AUTO_SCALING
    propagation_seconds: float = PROPAGATED
    credentials_seconds: float = 5.0
    metadata_tags_seconds: float = 1.0
    linked_roles: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("propagation_seconds", "credentials_seconds", "metadata_tags_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    def as_dict(self) -> dict[str, Any]:
        """As `GET /localcloud/status` shows it."""
        return {**asdict(self), "auto_scaling_limit": str(self.auto_scaling_limit)}

    @classmethod
    def off(cls) -> Strictness:
        """Nothing of it: a cloud that is more patient than AWS."""
        return cls(
            throttling=False, propagation_seconds=0, credentials_seconds=0, metadata_tags_seconds=0, linked_roles=True
        )


STRICT = Strictness()
