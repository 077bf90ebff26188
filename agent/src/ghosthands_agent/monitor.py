"""What an agent keeps doing whatever else it does: look at the target state, keep the hook alive, tend the shield, tell systemd that it lives."""

from __future__ import annotations

from .ports import (
    NO_ACTIVE_ACTION,
    TERMINATED,
    WORKER,
    Flag,
    PortError,
    Ports,
    Procedure,
    Refused,
    Unavailable,
    WorkerStatus,
)
from .scale_in_protection import ScaleInProtection
from .settings import Settings
from .termination import SECOND_SIGNAL_SECONDS

CHECK_SECONDS = 0.5  # a look costs 0.1 % of a core, and a drain begins half of this late on average
SPOT_SECONDS = (
    5.0  # EC2 User Guide, "Spot Instance interruption notices": "we recommend that you check every 5 seconds"
)
SERVICES_SECONDS = 5.0  # asking docker is dear; only where the worker does not answer
HEARTBEAT_RETRY_SECONDS = 1.0
CAUSES: tuple[Flag, ...] = ("terminated", "spot", "requested")


class Monitor:
    """The world as last seen, and the duties that go with seeing it. Every wait of `watch` and `drain` passes through `rest`.

    Attributes:
        target: the last target state that could be read.
        marks: what the state file says, and what could not be written there.
        hook_seen: whether a heartbeat was accepted, so that the hook's action is known to have begun.
        hook_done: no heartbeat any more.
    """

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self.ports = ports
        self.settings = settings
        self.target: str | None = None
        self.flags: dict[Flag, float] = {}
        self._unwritten: dict[Flag, float] = {}
        self.hook_seen = False
        self.hook_done = False
        self._protection = ScaleInProtection(ports)
        self._next_check = 0.0
        self._next_spot = 0.0
        self._next_services = 0.0
        self._next_heartbeat = 0.0
        self._runs = True
        self._failures: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self.ports.clock.monotonic()

    def causes(self) -> list[Flag]:
        """Why the worker is to be drained, if it is."""
        return [cause for cause in CAUSES if cause in self.flags]

    def deadline(self) -> float:
        """The moment at which a job that still runs is stopped; infinite where nothing asks for a drain.

        Counted from when its cause was first seen, by this life of the agent or an earlier one. A spot instance is gone after its limit, so the
        time in which a worker puts its job back lies inside it; else it comes on top.
        """
        limits = {
            "terminated": self.settings.drain_limit_seconds,
            "requested": self.settings.drain_limit_seconds,
            "spot": max(0, self.settings.spot_limit_seconds - SECOND_SIGNAL_SECONDS),
        }
        return min((self.flags[cause] + limits[cause] for cause in self.causes()), default=float("inf"))

    def pause(self, seconds: float) -> Procedure[None]:
        """Pause, then look again if it is time."""
        yield seconds
        if self.now >= self._next_check:
            self.check()

    def check(self) -> None:
        """One look at everything that may ask for a drain; a heartbeat if one is due."""
        self._next_check = self.now + CHECK_SECONDS
        self.ports.supervisor.alive()
        self._read_flags()
        self._read_target()
        if self.now >= self._next_spot:
            self._read_spot()
        self._send_heartbeat()

    def set_flag(self, flag: Flag) -> None:
        """Set a mark: first here, so that the drain goes on where the file cannot be written."""
        if flag in self.flags:
            return
        self.flags[flag] = self._unwritten[flag] = self.now
        try:
            self.ports.records.set_flag(flag, self.flags[flag])
            del self._unwritten[flag]
        except PortError as error:
            self.report_failure("flag", error)

    def clear_flag(self, flag: Flag) -> None:
        """Take a mark back."""
        self.flags.pop(flag, None)
        self._unwritten.pop(flag, None)
        try:
            self.ports.records.clear_flag(flag)
        except PortError as error:
            self.report_failure("flag", error)

    def worker(self) -> WorkerStatus | None:
        """The worker's status, None where it does not answer. The shield follows it."""
        try:
            status = self.ports.worker.status()
        except PortError as error:
            self.report_failure("worker_status", error)
            self._protection.update(self.target, None if self.worker_runs() else False)
            return None
        self.report_success("worker_status")
        self._protection.update(self.target, status.busy)
        return status

    def worker_runs(self, *, fresh: bool = False) -> bool:
        """Whether the worker has a process; True where docker does not say. Asks docker every few seconds, or now where it is to be `fresh`."""
        if fresh or self.now >= self._next_services:
            self._next_services = self.now + SERVICES_SECONDS
            try:
                service = self.ports.compose.services().get(WORKER)
                self._runs = service is not None and service.runs
                self.report_success("services")
            except PortError as error:
                self._runs = True
                self.report_failure("services", error)
        return self._runs

    def report_failure(self, subject: str, error: PortError) -> None:
        """Say that something failed: once, until it works again or fails in another way."""
        if self._failures.get(subject) != error.code:
            self.ports.journal.step(f"{subject}_failed", "warning", call=error.call, code=error.code)
        self._failures[subject] = error.code

    def report_success(self, subject: str) -> None:
        """It works (again)."""
        if self._failures.pop(subject, None) is not None:
            self.ports.journal.step(f"{subject}_works")

    def _read_flags(self) -> None:
        try:
            self.flags = {**self._unwritten, **self.ports.records.flags()}
        except PortError as error:
            self.report_failure("flags", error)

    def _read_target(self) -> None:
        try:
            target = self.ports.metadata.target_state()
        except PortError as error:
            self.report_failure("target_state", error)
            return
        self.report_success("target_state")
        if target != self.target:
            self.ports.journal.step("target_state", state=target)
        self.target = target
        if target == TERMINATED:
            self.set_flag("terminated")

    def _read_spot(self) -> None:
        self._next_spot = self.now + SPOT_SECONDS
        try:
            action = self.ports.metadata.spot_action()
        except PortError as error:
            self.report_failure("spot_action", error)
            return
        self.report_success("spot_action")
        if action is not None:
            self.set_flag("spot")

    def _send_heartbeat(self) -> None:
        """Every third of the timeout, so that two may fail; sooner after a failure. The first at once: how much of the timeout is left is not known."""
        if "terminated" not in self.flags or self.hook_done or self.now < self._next_heartbeat:
            return
        third = self.settings.heartbeat_timeout_seconds / 3
        try:
            self.ports.group.heartbeat(self.settings.termination_hook)
        except Refused as error:
            self.report_failure("heartbeat", error)
            early = (
                error.code == NO_ACTIVE_ACTION and not self.hook_seen and self.now < self.flags["terminated"] + third
            )
            self._next_heartbeat = self.now + (HEARTBEAT_RETRY_SECONDS if early else third / 10)
            return
        except Unavailable as error:
            self.report_failure("heartbeat", error)
            self._next_heartbeat = self.now + HEARTBEAT_RETRY_SECONDS
            return
        self.report_success("heartbeat")
        self.hook_seen = True
        self._next_heartbeat = self.now + third
        self.ports.journal.step("heartbeat", hook=self.settings.termination_hook)
