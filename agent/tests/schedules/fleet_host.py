"""An instance of a simulated fleet, as the rules see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.host import Host

if TYPE_CHECKING:
    from schedules.schedule import Event
    from schedules.simulated_fleet import SimulatedFleet


class FleetHost(Host):
    """One instance. What rules about an agent need is empty here, for an instance without one.

    Attributes:
        waiting_since: when the termination hook's wait began.
        completed: whether the agent has completed the termination hook.
        notice_at: when its spot notice came.
        said_lost: whether the agent has logged, at a shutdown, that a job was lost: a reboot forgets the drain.
    """

    def __init__(self, fleet: SimulatedFleet, id: str, zone: str) -> None:
        self.fleet = fleet
        self.zone = zone
        self.waiting_since: float | None = None
        self.completed = False
        self.notice_at: float | None = None
        self.said_lost = False
        super().__init__(fleet, id)

    def note_ability(self) -> None:
        """Something changed that decides whether an agent can act."""

    def wish_under_way(self) -> str:
        """What an operator wants of it and its agent has not answered to the end; empty: nothing."""
        return ""

    def wishes(self, text: str) -> None:
        """An operator tags the instance with a wish."""

    def wake_agent(self) -> None:
        """Something has changed that an agent looks at."""

    def able_for(self) -> float:
        """For how many seconds an agent has been able to act."""
        return 0.0

    def drain_began(self) -> float:
        """When the agent first had a reason to drain the worker; infinity if it has none."""
        return float("inf")

    def heartbeat_accepted(self) -> None:
        """The hook's wait began, or a heartbeat took effect."""

    def able_since_heartbeat(self) -> float:
        """Seconds since `heartbeat_accepted` in which an agent could have sent a heartbeat."""
        return 0.0

    def able_since_busy(self) -> float:
        """Seconds since `worker_took_job` in which an agent could have protected the instance."""
        return 0.0

    def completion_answered(self) -> None:
        """An agent has received the answer that it has completed the termination hook."""

    def knows_completion(self) -> bool:
        """Whether the present process of the agent has received that answer."""
        return False

    def abandons_without_reason(self) -> bool:
        """Whether there is no reason for ABANDON."""
        return False

    def stops_without_reason(self) -> bool:
        """Whether there is no reason to stop a busy worker."""
        return False

    def drained_on_request(self) -> bool:
        """Whether an operator had its worker stopped."""
        return False

    def agent_fault(self, event: Event) -> None:
        """Something happens to the agent."""

    def kill_agent_at_calls(self, pauses: list[int]) -> None:
        """Kill the agent after so many calls, and after so many more in its next lives."""
