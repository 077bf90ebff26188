"""Scale-in protection while the worker is busy, and only then."""

from __future__ import annotations

from .ports import IN_SERVICE, PortError, Ports, Refused

ASSERT_AGAIN_SECONDS = 300.0  # standby, detach and operators change it behind the agent's back
UNAVAILABLE_PAUSE = 1.0
REFUSED_PAUSE = 5.0  # the target says InService while the instance is still in Pending:Wait, for minutes: AWS refuses until it is there


class Shield:
    """Sets the protection on a change, until it worked, and again every few minutes.

    What an earlier life of the agent or somebody else had set is not known: the first reading decides, so an idle instance does not stay protected.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._held: bool | None = None  # what the group was told last, where that is certain
        self._again = 0.0
        self._not_before = 0.0
        self._refusal = ""

    def tend(self, target: str | None, busy: bool | None) -> None:
        """One look. `busy` None: not known, so what is stays. Outside InService AWS refuses protection, and a change of state may end it."""
        now = self._ports.clock.monotonic()
        if target != IN_SERVICE:
            self._held = None
            return
        if busy is None or now < self._not_before or (busy == self._held and now < self._again):
            return
        try:
            self._ports.group.protect(busy)
        except PortError as error:
            self._held = None  # it may have taken effect
            self._not_before = now + (REFUSED_PAUSE if isinstance(error, Refused) else UNAVAILABLE_PAUSE)
            if error.code != self._refusal:
                self._ports.journal.step("shield_failed", "warning", busy=busy, code=error.code)
            self._refusal = error.code
            return
        if busy != self._held:
            self._ports.journal.step("shield", protected=busy)
        self._held, self._again, self._refusal = busy, now + ASSERT_AGAIN_SECONDS, ""
