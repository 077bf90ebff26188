"""The state of a group: its values, and counts that are kept up to date with them."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from localcloud.fleet.values import (
    COUNTED,
    PROCESSES,
    Activity,
    Extra,
    Hook,
    Instance,
    Settings,
    StateChange,
    Subnet,
    Template,
    invalid,
)


@dataclass
class GroupState:
    """One Auto Scaling group: its values, and counts that are kept up to date with them.

    Attributes:
        new_id: makes unique ids for activities and lifecycle action tokens.
        launching: subnets of launches that EC2 has not answered, by activity.
        extras: launches on top of desired capacity that are not ready yet, by activity.
        suspended: processes and since when.
        state_changes: every change of an instance's state, in order; its reader clears it.
    """

    name: str
    settings: Settings
    created_at: float
    new_id: Callable[[], str]
    hooks: dict[str, Hook] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    suspended: dict[str, float] = field(default_factory=dict)
    launching: dict[str, Subnet] = field(default_factory=dict)
    extras: dict[str, Extra] = field(default_factory=dict)
    state_changes: list[StateChange] = field(default_factory=list)
    _retry_at: float | None = None
    #: When to check what: an instance's lifecycle action by its token, or (with empty texts) the whole group.
    _deadlines: list[tuple[float, str, str]] = field(default_factory=list)
    # Updated by _put, _drop and _launch, so that no event costs more in a large group than in a small one.
    _actual: int = 0
    _zones: Counter[str] = field(default_factory=Counter)
    _subnets: Counter[str] = field(default_factory=Counter)
    _unhealthy: dict[str, None] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _ages: list[tuple[float, str]] = field(default_factory=list)

    def _processes(self, names: Iterable[str]) -> set[str]:
        chosen = set(names) or set(PROCESSES)
        if unknown := sorted(chosen - set(PROCESSES)):
            raise invalid(f"Invalid process name: {unknown[0]}")
        return chosen

    def _count(self, subnet: Subnet, by: int) -> None:
        self._actual += by
        self._zones[subnet.zone] += by
        self._subnets[subnet.id] += by

    def _put(self, instance: Instance) -> None:
        before = self.instances.get(instance.id)
        self.instances[instance.id] = instance
        if before is None or before.state != instance.state:
            self.state_changes.append(StateChange(instance.id, before.state if before else "", instance.state))
        counts = instance.state in COUNTED
        if counts != (before is not None and before.state in COUNTED):
            self._count(instance.subnet, 1 if counts else -1)
        if counts and not (instance.healthy and instance.running):
            self._unhealthy[instance.id] = None
        else:
            self._unhealthy.pop(instance.id, None)

    def _drop(self, instance_id: str, last: str) -> Instance:
        instance = self.instances.pop(instance_id)
        self.state_changes += [StateChange(instance_id, instance.state, last), StateChange(instance_id, last, "")]
        if instance.state in COUNTED:
            self._count(instance.subnet, -1)
        self._unhealthy.pop(instance_id, None)
        return instance

    def _activity(self, id: str, **changes: str | float | int | None) -> None:
        self.activities[id] = replace(self.activities[id], **changes)  # type: ignore[arg-type]

    def _begin(self, description: str, cause: str, subnet: Subnet, now: float) -> str:
        id = self.new_id()
        details = json.dumps({"Subnet ID": subnet.id, "Availability Zone": subnet.zone}, separators=(",", ":"))
        self.activities[id] = Activity(id, description, cause.strip(), now, details, "InProgress", 0)
        return id

    def _check_at(self, at: float) -> None:
        """Have ``tick`` check the whole group at that time."""
        heapq.heappush(self._deadlines, (at, "", ""))

    def _note_failure(self, launched_at: float, now: float) -> None:
        """An instance failed to launch or became unhealthy; an instance refresh counts its new ones."""

    @property
    def launch_template(self) -> Template:
        """What new instances are launched from."""
        return self.settings.template

    @property
    def warmup(self) -> int:
        """Seconds in service until a replacement is ready (UG, "Instance maintenance policies", instance warmup)."""
        return self.settings.default_instance_warmup or 0
