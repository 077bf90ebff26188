"""Scale-in protection while the worker is busy, and for a while after its last job (decision 0037)."""

from __future__ import annotations

from collections.abc import Callable

from .passing_errors import BackOff
from .ports import IN_SERVICE, PortError, Ports

#: Standby, detach and operators may change the protection, so it is set again after half to one and a half of this: the
#: calls of instances that were launched together spread out, and 1,000 instances make 1.7 a second.
REPEAT_SECONDS = 600.0
#: The longest first pause after a failure. A busy instance is in danger until it is protected; an idle one is not.
BUSY_PAUSE, IDLE_PAUSE = 1.0, 5.0


class ScaleInProtection:
    """Sets the protection on a change, retries until it worked, and repeats it every few minutes.

    A protection lingers after a job: where the next job comes before that is over, no call is made. With a call at each
    end of a job, a fleet uses up the bucket that all Auto Scaling calls of its account share, and is unprotected while
    its calls are throttled.

    What an earlier run of the agent or an operator had set is not known: the first status decides, so an idle instance
    does not stay protected.

    Args:
        linger: seconds.
        answered: called with the error of each call, None if it worked.
    """

    def __init__(self, ports: Ports, linger: float, answered: Callable[[PortError | None], None]) -> None:
        self._ports = ports
        self._linger = linger
        self._answered = answered
        self._protected: bool | None = None  # what was set last, if that is certain
        self._busy_at = float("-inf")
        self._desired: bool | None = None
        self._next_call = 0.0
        self._back_off = {True: BackOff(ports.random, BUSY_PAUSE), False: BackOff(ports.random, IDLE_PAUSE)}
        self._failure_code = ""

    def update(self, target: str | None, busy: bool | None) -> None:
        """Set the protection if it is due.

        :param target: the target state. AWS refuses protection outside InService, and a change of state may end it.
        :param busy: whether a job runs; None: not known, so nothing changes.
        """
        now = self._ports.clock.monotonic()
        if target != IN_SERVICE:
            self._protected = self._desired = None
            self._next_call, self._failure_code = 0.0, ""
            return
        if busy is None:
            return
        if busy:
            self._busy_at = now
        desired = busy or (self._protected is True and now < self._busy_at + self._linger)
        if desired and self._desired is not True:  # in danger from now on: whatever failed before, try at once
            self._back_off[True].reset()
            self._next_call = min(self._next_call, now)
        self._desired = desired
        if now < self._next_call and (desired == self._protected or self._failure_code):
            return
        self._set(desired, now)

    def _set(self, protected: bool, now: float) -> None:
        try:
            self._ports.group.protect(protected)
        except PortError as error:
            self._answered(error)
            if self._protected is not protected:
                self._protected = None  # it may have taken effect
            self._next_call = now + self._back_off[protected].pause()
            if error.code != self._failure_code:
                self._ports.journal.step("scale_in_protection_failed", "warning", busy=protected, code=error.code)
            self._failure_code = error.code
            return
        self._answered(None)
        if protected != self._protected:
            self._ports.journal.step("scale_in_protection", protected=protected)
        self._protected, self._failure_code = protected, ""
        self._back_off[protected].reset()
        self._next_call = now + REPEAT_SECONDS * (0.5 + self._ports.random())
