"""AWS's request rates: token buckets by account and region. Pure: the caller says what time it is.

EC2: EC2 Developer Guide, ec2-api-throttling ("Request token bucket sizes and refill rates"): each action has a bucket
of its own, whose size depends on its category. Auto Scaling: API Reference, "API request rate", and AWS re:Post,
autoscaling-api-calls-throttled: all calls of an account and region share one bucket, whose size AWS does not publish;
`AUTO_SCALING` is derived.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A bucket's size in tokens, and how many it gets each second.

    Raises:
        ValueError: the bucket could not hold one token, or never gets one.
    """

    size: float
    per_second: float

    def __post_init__(self) -> None:
        if self.size < 1 or self.per_second <= 0:
            raise ValueError("a bucket holds at least 1 token and gets more than 0 each second")

    def __str__(self) -> str:
        return f"{self.size:g}/{self.per_second:g}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """A limit as `str` writes it, ``SIZE/PER_SECOND``.

        Raises:
            ValueError: it is not.
        """
        size, slash, per_second = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is not SIZE/PER_SECOND, such as 50/10")
        return cls(float(size), float(per_second))


class Bucket:
    """A token bucket, full at first.

    Args:
        now: the time in seconds, from any beginning.
    """

    def __init__(self, limit: Limit, now: float = 0.0) -> None:
        self.limit = limit
        self._tokens, self._at = float(limit.size), now

    def take(self, now: float, tokens: float = 1.0) -> bool:
        """Take tokens; False, and nothing is taken, if there are not so many."""
        gained = max(0.0, now - self._at) * self.limit.per_second
        self._tokens, self._at = min(self.limit.size, self._tokens + gained), max(now, self._at)
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True


#: One bucket for every Auto Scaling call of an account and region (derived; see above).
AUTO_SCALING = Limit(50, 10)
NON_MUTATING, UNFILTERED, MUTATING = Limit(100, 20), Limit(50, 10), Limit(50, 5)
#: EC2's actions with a row of their own ("Uncategorized actions").
OWN_LIMITS = {
    "RunInstances": Limit(5, 2),
    "StartInstances": Limit(5, 2),
    "TerminateInstances": Limit(100, 5),
}
#: EC2's reads with a smaller bucket where they have neither a filter nor a page size.
UNFILTERED_ACTIONS = frozenset(
    f"Describe{what}"
    for what in ("Instances", "InstanceStatus", "NetworkInterfaces", "SecurityGroups", "Snapshots", "Volumes")
) | {"DescribeSpotInstanceRequests"}
_READ = re.compile("Describe|List|Search|Get")


def ec2_bucket(action: str, parameters: Collection[str]) -> tuple[str, Limit]:
    """The name and limit of the bucket that a call of EC2 takes its token from.

    Args:
        parameters: the names of the call's parameters as sent, such as ``Filter.1.Name``.
    """
    if action in OWN_LIMITS:
        return action, OWN_LIMITS[action]
    if not _READ.match(action):
        return action, MUTATING
    narrow = any(name.startswith(("Filter", "MaxResults", "NextToken")) for name in parameters)
    if action in UNFILTERED_ACTIONS and not narrow:
        return f"{action} (unfiltered)", UNFILTERED
    return action, NON_MUTATING


class Throttle:
    """The buckets of one cloud.

    Args:
        auto_scaling: the limit of Auto Scaling's bucket.
    """

    def __init__(self, on: bool = True, auto_scaling: Limit = AUTO_SCALING) -> None:
        self.on, self.auto_scaling = on, auto_scaling
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    def clear(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()

    def admits(
        self, service: str, action: str, parameters: Collection[str], account: str, region: str, now: float
    ) -> bool:
        """Whether a call has a token; it takes one. Other services than EC2 and Auto Scaling are not limited."""
        if not self.on or service not in ("ec2", "autoscaling"):
            return True
        name, limit = ec2_bucket(action, parameters) if service == "ec2" else ("autoscaling", self.auto_scaling)
        key = (account, region, name)
        if key not in self._buckets or self._buckets[key].limit != limit:
            self._buckets[key] = Bucket(limit, now)
        return self._buckets[key].take(now)
