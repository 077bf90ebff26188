"""What the agent does during every wait.

It reads the target state, sends heartbeats, keeps scale-in protection up to date, and reports to systemd's watchdog.
"""

from __future__ import annotations

from .channel import Channel
from .passing_errors import BackOff, lacks_credentials, passes
from .ports import (
    FINAL_TARGETS,
    NO_ACTIVE_ACTION,
    NOT_LISTENING,
    WAITING_PHASE,
    WORKER,
    Flag,
    PortError,
    Ports,
    Procedure,
    WorkerStatus,
    ends_this_system,
)
from .scale_in_protection import ScaleInProtection
from .settings import Settings
from .termination import SECOND_SIGNAL_SECONDS

CHECK_SECONDS = 0.5  # a check costs 0.1 % of a core, and a drain begins half of this late on average
#: EC2 User Guide, "Spot Instance interruption notices": "we recommend that you check every 5 seconds".
SPOT_SECONDS = 5.0
SERVICES_SECONDS = 5.0  # docker is asked only if the worker does not answer, since that is expensive
HEARTBEAT_RETRY_SECONDS, LONGEST_HEARTBEAT_RETRY_SECONDS = 1.0, 10.0  # the longest: at most a tenth of the interval
#: A process whose calls lack credentials so often in a row is restarted: something in it may be what fails.
NO_CREDENTIALS_LIMIT = 10
CAUSES: tuple[Flag, ...] = ("terminated", "spot", "requested")


class Monitor:
    """The state as last read. Every wait of `watch` and `drain` is a `pause` of the monitor.

    Attributes:
        target: the last target state that could be read.
        flags: those in the state file, and those that could not be written there.
        hook_seen: whether AWS accepted a heartbeat, so the hook's action has begun.
        hook_done: whether heartbeats have ended.
        without_credentials: how many calls in a row had no credentials.
        limit: the time at which a job that still runs is stopped though there is no cause for a drain.
        channel: what operators want, and what they are answered.
        port_in_use: whether something listened on the worker's port when it was last asked. That is a worker, whatever
            docker reports.
    """

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self.ports = ports
        self.settings = settings
        self.target: str | None = None
        self.flags: dict[Flag, float] = {}
        self._unwritten: dict[Flag, float] = {}
        self.hook_seen = False
        self.hook_done = False
        self.port_in_use = False
        self.without_credentials = 0
        self.limit = float("inf")
        self.channel = Channel(ports, self.answered, self.report_failure, self.report_success)
        self._protection = ScaleInProtection(ports, settings.protection_linger_seconds, self.answered)
        third = settings.heartbeat_timeout_seconds / 3
        self._heartbeat_back_off = BackOff(
            ports.random, HEARTBEAT_RETRY_SECONDS, min(LONGEST_HEARTBEAT_RETRY_SECONDS, third / 10)
        )
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
        """The time at which a job that still runs is stopped; without a cause for a drain that is `limit`.

        Counted from when the cause was first seen, by this run of the agent or an earlier one. A spot instance is gone
        after its limit, so the time to return a job to the queue is part of it; otherwise that time is added.
        """
        limits = {
            "terminated": self.settings.drain_limit_seconds,
            "requested": self.settings.drain_limit_seconds,
            "spot": max(0, self.settings.spot_limit_seconds - SECOND_SIGNAL_SECONDS),
        }
        return min([self.limit, *(self.flags[cause] + limits[cause] for cause in self.causes())])

    @property
    def needs_new_process(self) -> bool:
        """Whether this process cannot get credentials and is not between two signals, where its memory matters."""
        return self.without_credentials >= NO_CREDENTIALS_LIMIT and "stopping" not in self.flags

    def answered(self, error: PortError | None) -> None:
        """Note how a call of AWS ended."""
        self.without_credentials = self.without_credentials + 1 if error and lacks_credentials(error) else 0

    def pause(self, seconds: float) -> Procedure[None]:
        """Pause, then check if it is due."""
        yield seconds
        if self.now >= self._next_check:
            self.check()

    def check(self) -> None:
        """Read everything that may require a drain, send a heartbeat if one is due; then wishes and their answers."""
        self._next_check = self.now + CHECK_SECONDS
        self.ports.supervisor.alive()
        self._read_flags()
        self._read_target()
        if self.now >= self._next_spot:
            self._read_spot()
        self._send_heartbeat()
        self.channel.update(drains=bool(self.causes()))

    def set_flag(self, flag: Flag) -> None:
        """Set a flag: first in memory, so that the drain goes on if the file cannot be written."""
        if flag in self.flags:
            return
        self.flags[flag] = self._unwritten[flag] = self.now
        try:
            self.ports.records.set_flag(flag, self.flags[flag])
            del self._unwritten[flag]
        except PortError as error:
            self.report_failure("flag", error)

    def clear_flag(self, flag: Flag) -> None:
        """Remove a flag."""
        self.flags.pop(flag, None)
        self._unwritten.pop(flag, None)
        try:
            self.ports.records.clear_flag(flag)
        except PortError as error:
            self.report_failure("flag", error)

    def worker(self) -> WorkerStatus | None:
        """The worker's status, or None if it does not answer. Updates scale-in protection."""
        try:
            status = self.ports.worker.status()
        except PortError as error:
            self.port_in_use = error.code != NOT_LISTENING
            self.report_failure("worker_status", error)
            self._protection.update(self.target, None if self.worker_runs() else False)
            return None
        self.port_in_use = True
        self.report_success("worker_status")
        self._protection.update(self.target, status.busy)
        return status

    def worker_runs(self, *, fresh: bool = False) -> bool:
        """Whether the worker has a process; True if docker does not answer.

        Asks docker every few seconds, or now if `fresh`.
        """
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
        """Log a failure: once, until the subject works again or fails in another way."""
        if self._failures.get(subject) != error.code:
            self.ports.journal.step(f"{subject}_failed", "warning", call=error.call, code=error.code)
        self._failures[subject] = error.code

    def report_success(self, subject: str) -> None:
        """Log that the subject works again, if it had failed."""
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
        if target in FINAL_TARGETS or (ends_this_system(target) and self._boot_went_on()):
            self.set_flag("terminated")

    def _boot_went_on(self) -> bool:
        """Whether boot has done more on this system than to wait for the instance's service."""
        if "terminated" in self.flags or self.port_in_use:
            return True
        try:
            record = self.ports.records.boot()
        except PortError as error:
            self.report_failure("boot_record", error)
            return False
        return record is not None and record.phase not in ("", "facts", WAITING_PHASE)

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
        """Every third of the timeout, so that two may fail; sooner after a failure.

        The first one at once: how much of the timeout is left is not known.
        """
        if "terminated" not in self.flags or self.hook_done or self.now < self._next_heartbeat:
            return
        third = self.settings.heartbeat_timeout_seconds / 3
        try:
            self.ports.group.heartbeat(self.settings.termination_hook)
        except PortError as error:
            self.answered(error)
            self.report_failure("heartbeat", error)
            since = self.now - self.flags["terminated"]
            early = error.code == NO_ACTIVE_ACTION and not self.hook_seen and since < third
            soon = early or passes(error, since)
            self._next_heartbeat = self.now + (self._heartbeat_back_off.pause() if soon else third / 10)
            return
        self.answered(None)
        self.report_success("heartbeat")
        self._heartbeat_back_off.reset()
        self.hook_seen = True
        self._next_heartbeat = self.now + third
        self.ports.journal.step("heartbeat", hook=self.settings.termination_hook)
