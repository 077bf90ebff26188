"""Whether this instance can serve. What cannot is replaced, within the limit of replacement.py, and never while busy.

It covers what boot cannot report: a boot that never ran, a worker that ends again and again, a full disk. And it holds
the launch hook open meanwhile: its timeout would replace the instance without any limit.
"""

from __future__ import annotations

from collections import deque

from .monitor import Monitor
from .passing_errors import BackOff
from .ports import IN_SERVICE, NO_ACTIVE_ACTION, WORKER, BootRecord, PortError, WorkerStatus
from .replacement import Replacing

CHECK_SECONDS = 5.0
#: A boot that fails is tried again twice within that time: what passes by then needs no new instance.
FAILING_SECONDS = 60.0
NO_BOOT_SECONDS = 300.0  # of watch; systemd starts boot within seconds, once docker runs
#: disk-guard frees space every five minutes; a deployment replaces a worker within a minute.
LASTING_SECONDS = 600.0
#: Docker waits twice as long before each start of a process that ends within 10 s, a minute at most.
RESTARTS = 5
SLOW_CHECK_SECONDS = 60.0
FIRST_HEARTBEAT_SECONDS = 20.0  # an ordinary boot is over by then; the shortest timeout of a hook is 30 s


class Fitness:
    """What `watch` checks between two looks at the target state.

    Args:
        unfit: why the instance can never serve, if that is known from the start.
    """

    def __init__(self, monitor: Monitor, unfit: str = "") -> None:
        self.monitor = monitor
        self.ports = monitor.ports
        self.settings = monitor.settings
        self._unfit = unfit
        self._replacing = Replacing(self.ports, self.settings)
        self._began = monitor.now
        self._next_check = self._next_slow_check = 0.0
        self._next_heartbeat = self._began + FIRST_HEARTBEAT_SECONDS
        self._heartbeat_back_off = BackOff(self.ports.random, 1.0, self.settings.launch_hook_timeout_seconds / 10)
        self._since: dict[str, float] = {}
        self._restarts: deque[tuple[float, int]] = deque()
        self._full_disk = ""
        self._silent_since = self._began

    def check(self, status: WorkerStatus | None) -> None:
        """Pursue the replacement of an instance that cannot serve.

        :param status: the worker's, None if it does not answer.
        """
        now = self.monitor.now
        if status is not None or not self.monitor.port_in_use:
            self._silent_since = now
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        if self.monitor.target != IN_SERVICE or self.monitor.causes():
            return
        try:
            boot = self.ports.records.boot()
        except PortError as error:
            self.monitor.report_failure("boot_record", error)
            return
        if boot is None or boot.state != "completed":
            self._hold_launch_hook()
            reason = self._unfit or self._boot_problem(boot)
        else:
            self._slow_checks()
            reason = self._worker_problem(status)
        if reason and not self._may_be_busy(status):
            self._replacing.pursue(reason)
        elif not reason:
            self._replacing.withdraw()

    def _may_be_busy(self, status: WorkerStatus | None) -> bool:
        """Whether the worker has a job, or may have one: something listens on its port and has not been silent long."""
        if status is not None:
            return status.busy
        silent = self.monitor.now - self._silent_since
        return self.monitor.port_in_use and silent < self.settings.drain_limit_seconds

    def _boot_problem(self, boot: BootRecord | None) -> str:
        now = self.monitor.now
        if boot is None:
            return f"boot has not run{self._setup_errors()}" if now >= self._began + NO_BOOT_SECONDS else ""
        if not boot.failures or now < boot.failing_since + FAILING_SECONDS:
            return ""
        return f"boot fails in {boot.failure}"

    def _setup_errors(self) -> str:
        try:
            errors = self.ports.system.setup_errors()
        except PortError:
            return ""
        return f"; cloud-init: {'; '.join(errors)}" if errors else ""

    def _slow_checks(self) -> None:
        """What costs a call of docker, once a minute."""
        now = self.monitor.now
        if now < self._next_slow_check:
            return
        self._next_slow_check = now + SLOW_CHECK_SECONDS
        try:
            self._full_disk = self.ports.system.full_disk() or ""
            restarts = self.ports.compose.restarts(WORKER)
        except PortError as error:
            self.monitor.report_failure("fitness", error)
            return
        self.monitor.report_success("fitness")
        if self._restarts and restarts < self._restarts[-1][1]:
            self._restarts.clear()  # another container
        self._restarts.append((now, restarts))
        while self._restarts[0][0] < now - LASTING_SECONDS:
            self._restarts.popleft()

    def _worker_problem(self, status: WorkerStatus | None) -> str:
        times = self._restarts[-1][1] - self._restarts[0][1] if self._restarts else 0
        if times >= RESTARTS:
            return f"the worker crashes in a loop, {RESTARTS} times in {LASTING_SECONDS / 60:.0f} minutes or more often"
        if self._lasts("disk", bool(self._full_disk)):
            return f"the disk of {self._full_disk} is full"
        held = self.monitor.channel.control.held  # boot starts none then
        down = status is None and not held and not self.monitor.port_in_use and not self.monitor.worker_runs()
        if self._lasts("worker", down):
            return "no worker runs"
        return ""

    def _lasts(self, subject: str, is_bad: bool) -> bool:
        """Whether that has been so for LASTING_SECONDS."""
        if not is_bad:
            self._since.pop(subject, None)
            return False
        return self.monitor.now >= self._since.setdefault(subject, self.monitor.now) + LASTING_SECONDS

    def _hold_launch_hook(self) -> None:
        """Send a heartbeat for the launch hook every third of its timeout, until boot is completed.

        AWS ends the wait after 100 timeouts, 48 hours at most (RecordLifecycleActionHeartbeat): then it replaces the
        instance by itself.
        """
        hook, now = self.settings.launch_hook, self.monitor.now
        if hook is None or now < self._next_heartbeat:
            return
        third = self.settings.launch_hook_timeout_seconds / 3
        self._next_heartbeat = now + third
        try:
            self.ports.group.heartbeat(hook)
        except PortError as error:
            if error.code != NO_ACTIVE_ACTION:
                self.monitor.answered(error)
                self.monitor.report_failure("launch_heartbeat", error)
                self._next_heartbeat = now + min(third, self._heartbeat_back_off.pause())
            return
        self.monitor.answered(None)
        self._heartbeat_back_off.reset()
        self.monitor.report_success("launch_heartbeat")
