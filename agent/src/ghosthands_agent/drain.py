"""Drain the worker and complete the hook, so that no job is lost and none runs twice.

With a guard in the worker's process (docs/agent.md) a drain is: POST drain, wait until it is idle, SIGTERM. Without one
neither of the two is safe while a job runs: in legacy mode both return the job to the queue after 30 s while it still
runs; in queue mode `drain` does not unsubscribe, and SIGTERM loses the job after 10 s. So `wait_idle` then waits until
the worker is seen idle before it uses either, and says if a job was lost all the same. Whether there is a guard is read
from the process that runs now, and every decision is made from the current state: a drain that was cut off anywhere is
simply started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .monitor import Monitor
from .passing_errors import BackOff
from .ports import (
    API,
    DEPLOY_SERVER,
    NO_ACTIVE_ACTION,
    NOT_LISTENING,
    WORKER,
    Level,
    PortError,
    Ports,
    Procedure,
    Result,
    Task,
    Unavailable,
    WorkerStatus,
)
from .settings import Settings
from .termination import (
    MARGIN_SECONDS,
    OTHERS_GRACE_SECONDS,
    SECOND_SIGNAL_SECONDS,
    Process,
    Termination,
    terminate_worker,
)

POLL_SECONDS = 0.25  # a worker that becomes idle soon takes the next job
SETTLE_SECONDS = 0.1  # between a command to the worker or docker and reading its effect
#: A running boot checks the target state every second. One that was killed does not delay the drain for longer.
BOOT_WAIT_SECONDS = 20.0
FLUSH_SECONDS = 0.3  # for the other services and the logs: the shutdown that follows stops both again
#: The same after a worker that ended by itself: it may be a deployment's, which starts the next one until its own
#: server is stopped.
DEPLOYMENT_SECONDS = OTHERS_GRACE_SECONDS + 2.0
NO_ACTION_SECONDS = 30.0  # IMDS may report Terminated a moment before the hook's action exists
LONGEST_PAUSE = 10.0  # of a completion
ATTEMPTS = 3  # a deployment in progress may start a worker once more
PROGRESS_SECONDS = 60.0  # between two lines about a job that is waited for

#: A job that was cancelled while it waits for a person keeps the worker busy for ever. One whose row has been final for
#: this long is not waited for.
JOB_OVER_SECONDS = 60.0

#: Why the worker is stopped: it was seen idle; it has no process; the policy is sigterm; a job came in after it was
#: seen idle; its job is over although it is busy; the time is up.
StopReason: TypeAlias = Literal["idle", "gone", "policy", "new_job", "job_over", "overdue"]
Step: TypeAlias = Literal["wait", "post", "confirm", "stop"]


@dataclass
class Reading:
    """What this run of the agent has read of the worker, from the start of its drain.

    Attributes:
        began: when that was.
        process: the process that runs now, or the last one.
        job_over_since: since when it has been seen with a job that is over.
    """

    began: float = 0.0
    process: Process = field(default_factory=Process)
    job_over_since: float = float("inf")


def next_step(policy: str, status: WorkerStatus) -> Step:
    """The next step for a worker with that status: docs/agent.md, "How a drain works".

    `post`: POST drain, then read the status again. `confirm`: read it again at once, and stop the worker if it is idle.
    """
    if policy == "sigterm":
        return "stop"
    if policy == "http" or status.guarded:
        return "post" if not status.is_draining else "wait" if status.busy else "stop"
    if status.dispatch_mode == "legacy":
        if status.is_draining:
            return "stop"  # also with a job: it returns to the queue in 30 s while it runs, so end the process soon
        return "wait" if status.busy else "post"
    return "wait" if status.busy else "confirm"


def drain(monitor: Monitor) -> Procedure[Result]:
    """Drain the worker and stop it; CONTINUE if no job was cut off, else ABANDON.

    The hook is left to `complete_hook`.
    """
    journal, began = monitor.ports.journal, monitor.now
    journal.step(
        "drain_began",
        causes=",".join(monitor.causes()),
        policy=monitor.settings.drain_policy,
        seconds_left=round(monitor.deadline() - began),
    )
    yield from _wait_for_boot(monitor)
    stopped = yield from stop_workers(monitor)
    clean = stopped and "unclean" not in monitor.flags
    journal.step("drain_ended", "info" if clean else "error", clean=clean, seconds=round(monitor.now - began, 1))
    return "CONTINUE" if clean else "ABANDON"


def stop_workers(monitor: Monitor) -> Procedure[bool]:
    """Drain the worker and stop it, and the other services; whether no worker runs. A deployment may start one more."""
    for _attempt in range(ATTEMPTS):
        reading = Reading()
        reason = yield from wait_until_drained(monitor, reading)
        stopped = yield from terminate(monitor, reading, reason)
        if not _is_running_again(monitor):
            return stopped
    return False


def complete_hook(monitor: Monitor, result: Result) -> Procedure[bool]:
    """Complete the termination hook; whether it is known to be complete.

    Retries for the hook's whole timeout, however late the drain was: after that the hook's default result has applied.
    """
    ports, began, back_off, tries, last = monitor.ports, monitor.now, _completion_back_off(monitor), 0, ""
    while monitor.now < began + monitor.settings.heartbeat_timeout_seconds:
        tries += 1
        try:
            ports.group.complete(monitor.settings.termination_hook, result)
            monitor.answered(None)
            monitor.hook_done = True
            ports.journal.step("hook_completed", result=result)
            return True
        except PortError as error:
            if error.code == NO_ACTIVE_ACTION and (monitor.hook_seen or monitor.now >= began + NO_ACTION_SECONDS):
                monitor.hook_done = True
                ports.journal.step("hook_completed", result="already")
                return True
            last = error.code
            monitor.answered(error)
            monitor.report_failure("completion", error)
        yield from monitor.pause(back_off.pause())
    monitor.hook_done = True
    ports.journal.step("hook_left_to_its_default", "error", result=result, code=last, tries=tries)
    return False


def _completion_back_off(monitor: Monitor) -> BackOff:
    """Shorter pauses than those of other calls: the instance is billed, and the fleet waits for its successor."""
    return BackOff(monitor.ports.random, 1.0, LONGEST_PAUSE)


def request_drain(ports: Ports, settings: Settings) -> Procedure[int]:
    """Request a drain and wait; 0 once the worker is down, 1 if it is not in time.

    `watch` drains, and goes on if this is interrupted.
    """
    began, logged, requested = ports.clock.monotonic(), float("-inf"), False
    limit = settings.drain_limit_seconds + settings.stop_grace_seconds + SECOND_SIGNAL_SECONDS + 4 * MARGIN_SECONDS
    state = ""
    while (now := ports.clock.monotonic()) < began + limit:
        try:
            if not requested:
                ports.records.set_flag("requested", began)
                requested = True
            service = ports.compose.services().get(WORKER)
            state = "absent" if service is None else service.state
            if (service is None or service.down) and not _answers(ports):
                ports.journal.step("drained", worker=state, seconds=round(now - began))
                return 0
        except Unavailable as error:
            state = error.code
        if now >= logged + 30:
            logged = now
            ports.journal.step("draining", worker=state, seconds=round(now - began), limit=limit)
        yield 1.0
    ports.journal.step("drain_unfinished", "error", worker=state, limit=limit)
    return 1


def _answers(ports: Ports) -> bool:
    try:
        ports.worker.status()
    except PortError as error:
        return error.code != NOT_LISTENING
    return True


def _wait_for_boot(monitor: Monitor) -> Procedure[None]:
    """Wait until boot can start nothing more. A worker with a guard takes no further job meanwhile.

    The flag is set before boot's record is read, and boot reads the flags after writing its record: one sees the other.
    """
    until = monitor.now + BOOT_WAIT_SECONDS
    while monitor.now < until:
        try:
            record = monitor.ports.records.boot()
        except Unavailable as error:
            monitor.report_failure("boot_record", error)
        else:
            if record is None or record.state != "running":
                return
        status = monitor.worker()
        if status is not None and status.guarded and next_step(monitor.settings.drain_policy, status) == "post":
            yield from _post_drain(monitor)
        else:
            yield from monitor.pause(POLL_SECONDS)


def terminate(monitor: Monitor, reading: Reading, reason: StopReason, *, others: bool = True) -> Procedure[bool]:
    """Stop one worker; whether it is down. Sets the flag `unclean` if that cuts off a job in a drain.

    :param others: whether the other services are stopped too.
    """
    journal = monitor.ports.journal
    journal.step("worker_stop", reason=reason, waited=round(monitor.now - reading.began, 1))
    process = reading.process
    process.recall(monitor.flags)
    process.gone = reason == "gone"
    if reason != "gone":
        if process.last is not None and process.last.guarded:
            monitor.set_flag("guarded")
        elif "guarded" in monitor.flags and process.last is not None:
            monitor.clear_flag("guarded")
        monitor.set_flag("stopping")
    other_services: list[Task[None]] = []

    def stop_other_services() -> None:
        """They hold no jobs, and the deploy server might start a worker again.

        They stop with the worker, unless it may still have a job to finish.
        """
        if others and reason != "policy":
            other_services.append(monitor.ports.compose.stop((API, DEPLOY_SERVER), OTHERS_GRACE_SECONDS))

    stopped_at = monitor.now
    try:
        termination = yield from terminate_worker(
            monitor.ports,
            monitor.pause,
            process,
            release_at=monitor.deadline if reason == "policy" else lambda: stopped_at,
            grace=_grace(monitor),
            drains_itself=reason == "policy",
            signalled=stop_other_services,
        )
    except Unavailable as error:
        journal.step("worker_stop_failed", "error", code=error.code)
        return False
    exit_code = None if termination.service is None else termination.service.exit_code
    # The worker marks itself offline in the registry before it exits 0; otherwise the registry does after 5 minutes.
    journal.step("worker_stopped", exit_code=exit_code, deregistered=exit_code == 0)
    termination.log_job(journal)
    if not termination.clean:
        _set_unclean(monitor)
    forget_signals(monitor)
    if not others:
        return True
    tasks = other_services or [monitor.ports.compose.stop((API, DEPLOY_SERVER), OTHERS_GRACE_SECONDS)]
    yield from _flush_logs(monitor, tasks, DEPLOYMENT_SECONDS if process.gone else FLUSH_SECONDS)
    return True


def _is_running_again(monitor: Monitor) -> bool:
    """Whether there is a worker after the old one stopped, as by a deployment in progress."""
    try:
        service = monitor.ports.compose.services().get(WORKER)
        if service is not None and service.runs:
            return True
    except PortError:
        pass
    monitor.worker()
    return monitor.port_in_use


def _set_unclean(monitor: Monitor) -> None:
    """Outside a drain, a lost job is in the journal, and the next drain may be clean all the same."""
    if monitor.causes():
        monitor.set_flag("unclean")


def wait_until_drained(monitor: Monitor, reading: Reading) -> Procedure[StopReason]:
    """Wait until the worker may be stopped; the reason."""
    began = logged = reading.began = monitor.now
    while True:
        status = monitor.worker()
        if status is not None:
            _note(monitor, reading, status)
        elif not monitor.port_in_use and not monitor.worker_runs(fresh=True):
            return "gone"
        if monitor.now >= logged + PROGRESS_SECONDS:
            logged = monitor.now
            _log_progress(monitor, reading, monitor.now - began)
        policy = _policy(monitor, reading)
        if policy == "wait_idle" and reading.process.may_have_a_signal(
            monitor.flags, monitor.now, answers=status is not None
        ):
            step: Step = "wait"
        elif monitor.now >= monitor.deadline():
            return "overdue"
        elif monitor.now >= reading.job_over_since + JOB_OVER_SECONDS:
            return "job_over"
        elif "stopping" in monitor.flags:
            step = _next_step_after_restart(policy, status)
        else:
            step = "wait" if status is None else next_step(policy, status)
        if step == "stop":
            if policy == "sigterm":
                return "policy"
            return "new_job" if status is None or status.busy else "idle"
        if step == "confirm":
            again = monitor.worker()
            if again is not None:
                _note(monitor, reading, again)
                if not again.busy:
                    return "idle"
        if step == "post":
            yield from _post_drain(monitor)
        else:
            yield from monitor.pause(POLL_SECONDS)


def _policy(monitor: Monitor, reading: Reading) -> str:
    """The policy for the process that runs now. One that should have a guard and has none is not trusted to drain.

    For a wish of an operator, which may be to hold the worker, a drain is posted before anything is signalled.
    """
    settings, last = monitor.settings, reading.process.last
    guarded = last.guarded if last is not None else "guarded" in monitor.flags
    if not guarded and settings.worker_guard != "off":
        return "wait_idle"
    return "http" if settings.drain_policy == "sigterm" and not monitor.causes() else settings.drain_policy


def _note(monitor: Monitor, reading: Reading, status: WorkerStatus) -> None:
    """Note a status, and whether it is another process's."""
    process, journal = reading.process, monitor.ports.journal
    if process.last is not None and process.is_replaced_by(status, monitor.now):
        journal.step("worker_replaced", "warning", busy=process.busy)
        if process.busy:
            Termination(None, "lost", process.last.job, process.last.guarded).log_job(journal)
            _set_unclean(monitor)
        forget_signals(monitor)
        process = reading.process = Process()
    if process.last is None or process.last.guard_absence != status.guard_absence:
        off = monitor.settings.worker_guard == "off"
        level: Level = "info" if status.guarded or off else "error"
        journal.step("guard", level, attached=status.guarded, reason="off" if off else status.guard_absence)
    reading.job_over_since = min(reading.job_over_since, monitor.now) if status.job_is_over else float("inf")
    process.read(status, monitor.now)


def _log_progress(monitor: Monitor, reading: Reading, waited: float) -> None:
    status = reading.process.last
    monitor.ports.journal.step(
        "drain_progress",
        waited=round(waited),
        seconds_left=None if monitor.deadline() == float("inf") else round(monitor.deadline() - monitor.now),
        busy=None if status is None else status.busy,
        job=None if status is None else status.job,
        job_status=None if status is None or status.guard is None else status.guard.job_status,
    )


def forget_signals(monitor: Monitor) -> None:
    """They were for a process that is gone."""
    monitor.clear_flag("stopping")
    monitor.clear_flag("guarded")


def _next_step_after_restart(policy: str, status: WorkerStatus | None) -> Step:
    """The next step after an earlier run of the agent signalled the worker, or was about to.

    Another SIGTERM makes a legacy worker return its job to the queue at once. That is right if it was seen idle and
    then took a job. It must not happen to a worker that finishes its job after SIGTERM.
    """
    if status is not None and not status.is_draining:
        return next_step(policy, status)  # no signal has reached it
    if policy == "sigterm":
        return "wait"
    if status is None or (status.dispatch_mode == "legacy" and not status.guarded):
        return "stop"
    return next_step(policy, status)


def _post_drain(monitor: Monitor) -> Procedure[None]:
    try:
        monitor.ports.worker.drain()
        monitor.ports.journal.step("worker_drain")
    except PortError as error:
        monitor.report_failure("worker_drain", error)
    yield from monitor.pause(SETTLE_SECONDS)


def _grace(monitor: Monitor) -> float:
    """Seconds that a process without a job may take to exit."""
    grace = monitor.settings.stop_grace_seconds
    return min(grace, SECOND_SIGNAL_SECONDS) if "spot" in monitor.flags else grace


def _flush_logs(monitor: Monitor, tasks: Sequence[Task[None]], seconds: float) -> Procedure[None]:
    """Flush the logs; wait so long for that and for `tasks`, which continue by themselves."""
    tasks = [*tasks, monitor.ports.logs.flush()]
    until = monitor.now + seconds
    while monitor.now < until and not all(task.done() for task in tasks):
        yield from monitor.pause(SETTLE_SECONDS)
