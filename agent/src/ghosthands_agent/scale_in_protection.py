"""Scale-in protection while the worker is busy, and only then."""

from __future__ import annotations

from .ports import IN_SERVICE, PortError, Ports, Refused

REPEAT_SECONDS = 300.0  # standby, detach and operators may change the protection
UNAVAILABLE_PAUSE = 1.0
#: The target state is InService while the instance is still in Pending:Wait, for minutes. AWS refuses until then.
REFUSED_PAUSE = 5.0


class ScaleInProtection:
    """Sets the protection on a change, retries until it worked, and repeats it every few minutes.

    What an earlier run of the agent or an operator had set is not known: the first status decides, so an idle instance
    does not stay protected.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._protected: bool | None = None  # what was set last, if that is certain
        self._repeat_at = 0.0
        self._retry_at = 0.0
        self._failure_code = ""

    def update(self, target: str | None, busy: bool | None) -> None:
        """Set the protection if it is due.

        :param target: the target state. AWS refuses protection outside InService, and a change of state may end it.
        :param busy: whether a job runs; None: not known, so nothing changes.
        """
        now = self._ports.clock.monotonic()
        if target != IN_SERVICE:
            self._protected = None
            return
        if busy is None or now < self._retry_at or (busy == self._protected and now < self._repeat_at):
            return
        try:
            self._ports.group.protect(busy)
        except PortError as error:
            self._protected = None  # it may have taken effect
            self._retry_at = now + (REFUSED_PAUSE if isinstance(error, Refused) else UNAVAILABLE_PAUSE)
            if error.code != self._failure_code:
                self._ports.journal.step("scale_in_protection_failed", "warning", busy=busy, code=error.code)
            self._failure_code = error.code
            return
        if busy != self._protected:
            self._ports.journal.step("scale_in_protection", protected=busy)
        self._protected, self._repeat_at, self._failure_code = busy, now + REPEAT_SECONDS, ""
