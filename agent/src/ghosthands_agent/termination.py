"""Terminate the worker's process, and find out what became of its job.

SIGTERM ends a worker without a job within a second. What it does to a running job depends on the process
(docs/agent.md, "What the worker does"): with a guard the first one waits for the job, and a second one returns it to
the queue. Without one, a second SIGTERM returns a job in legacy mode and loses it in queue mode, where it is
therefore never sent: the job has 10 s after the first. SIGKILL is sent only if the process outlives all that, and loses
its job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from .ports import WORKER, Flag, Journal, Level, PortError, Ports, Procedure, Service, Unavailable, WorkerStatus
from .settings import Settings

#: legacy without a guard: 30 s until the job is back in the queue, and the exit. For senders of one signal only:
#: compose, the deploy server.
REQUEUE_SECONDS = 40
#: From the second signal to the exit. A guard tries to put the job back for 10 s. Also what a queue worker without a
#: guard needs after the first: 10 s for its job, and the exit.
SECOND_SIGNAL_SECONDS = 15
#: A worker without a guard that exits 0 sooner had no job, or finished it: else it would have waited for it, in queue
#: mode 10 s after SIGTERM, in legacy mode 30 s after a drain or SIGTERM.
EARLY_EXIT_SECONDS = {"queue": 8, "legacy": 28}
#: A queue worker without a guard exits 10 s after SIGTERM at the latest. One that is there after this time got none.
SIGNAL_SHOWS_SECONDS = 12.0
ANSWER_SECONDS = 2.0  # a status may be so old when it is read
#: legacy: the row of a job that was just taken becomes `running` up to 2 s later, by id alone. A release before that
#: would be overwritten, and nobody would find the job.
CLAIM_SECONDS = 2.2
NEW_JOB_SECONDS = 3  # a job that was taken so shortly before its release does not wait for a person yet
KILL_SECONDS = 1  # from compose's SIGTERM, the last one, to its SIGKILL
OTHERS_GRACE_SECONDS = 10  # docker's own default; api and deploy server hold no jobs
MARGIN_SECONDS = 20  # docker's and compose's own time
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0

NO_HANDLER = 143  # exit code: SIGTERM came before the worker had set its handler, which it does before it takes jobs
IN_REVIEW = "awaiting_review"  # status of a job that waits, without a limit, for a person to look at it

#: `Monitor.pause`, or a plain pause in `stop`.
Pause: TypeAlias = Callable[[float], Procedure[None]]
#: What the end of the process did to its job. `none`: it had none, or finished it. `put_back`: it is in the queue
#: again. `left_for_review`: it waited for a person, who now decides. `lost`: none of these, or that is not known.
Job: TypeAlias = Literal["none", "put_back", "left_for_review", "lost"]
EVENTS: dict[Job, tuple[str, Level]] = {
    "put_back": ("job_put_back", "warning"),
    "left_for_review": ("job_left_for_review", "warning"),
    "lost": ("job_lost", "error"),
}


@dataclass
class Process:
    """What is known of the worker's process.

    Attributes:
        last: its last status, if it has answered.
        read_at: when that was read.
        idle_at: when it was last seen idle.
        busy_since: when it was first seen busy after that.
        draining_since: when it was first seen draining.
        undrained_at: when it was last seen not draining.
        released: the status that the agent released its job by a second SIGTERM upon.
        released_at: when that was.
        signals: how many SIGTERM have reached it, as far as the agent knows.
        signalled_at: when the first one did.
        answered: whether `last` is later than the first signal.
        gone: whether it had ended before the agent would have signalled it.
        replaced: whether another process answers by now.
        guarded_before: whether it had a guard when an earlier run of the agent signalled it.
    """

    last: WorkerStatus | None = None
    read_at: float = float("-inf")
    idle_at: float = float("-inf")
    busy_since: float = float("inf")
    draining_since: float = float("inf")
    undrained_at: float = float("-inf")
    released: WorkerStatus | None = None
    released_at: float = float("inf")
    signals: int = 0
    signalled_at: float = 0.0
    answered: bool = False
    gone: bool = False
    replaced: bool = False
    guarded_before: bool = False

    def read(self, status: WorkerStatus, now: float) -> None:
        """Note a status."""
        self.last, self.read_at = status, now
        if status.busy:
            self.busy_since = min(self.busy_since, now)
        else:
            self.idle_at, self.busy_since = now, float("inf")
        if status.is_draining or not status.is_running:
            self.draining_since = min(self.draining_since, now)
        else:
            self.undrained_at = now
        self.answered = self.signals > 0

    def signal(self, now: float) -> None:
        """Note a SIGTERM."""
        if self.gone:
            return
        self.signals += 1
        if self.signals == 1:
            self.signalled_at = now
        elif self.released is None:
            self.released, self.released_at = self.last, now

    def recall(self, flags: Mapping[Flag, float]) -> None:
        """Note what an earlier run of the agent did to it."""
        if "stopping" in flags:
            self.signals, self.signalled_at = 1, flags["stopping"]
            self.answered = self.last is not None
            self.guarded_before = "guarded" in flags

    def may_have_a_signal(self, flags: Mapping[Flag, float], now: float, *, answers: bool) -> bool:
        """Whether a second SIGTERM would lose its job, and it may already have received one.

        Its status shows a signal, or somebody's POST drain, as draining. The agent's record of the signal may be
        missing.
        """
        if answers:
            unsure = self.loses_released_jobs and self.draining_since < float("inf")
        else:
            unsure = "stopping" in flags and "guarded" not in flags
        since = min(self.draining_since, flags.get("stopping", float("inf")))
        return unsure and now < since + SIGNAL_SHOWS_SECONDS

    def is_replaced_by(self, status: WorkerStatus, now: float) -> bool:
        """Whether that is the status of another process: a drain cannot be undone, and the uptime goes on.

        Where it does not, the process must be younger than the last status. Otherwise the system's clock was set.
        """
        last, elapsed = self.last, now - self.read_at
        if last is None:
            return False
        if last.is_draining and not status.is_draining:
            return True
        if last.uptime is None or status.uptime is None:
            return False
        is_young = 0 <= status.uptime <= elapsed + ANSWER_SECONDS
        return is_young and abs(status.uptime - last.uptime - elapsed) > ANSWER_SECONDS

    @property
    def busy(self) -> bool:
        return self.last is not None and self.last.busy

    @property
    def surely_puts_back(self) -> bool:
        """Whether a second SIGTERM returns its job to the queue, whatever the job's state is.

        A legacy worker without a guard leaves a job that waits for a person, which none does in its first seconds.
        """
        guarded = self.last is not None and self.last.guarded
        return guarded or self.released_at <= self.idle_at + NEW_JOB_SECONDS

    @property
    def releasable_at(self) -> float:
        """When a second SIGTERM puts its job back, if it does at all."""
        if self.last is None or self.last.guarded or self.last.dispatch_mode == "queue":
            return float("-inf")
        return max(min(self.draining_since, self.signalled_at), self.busy_since) + CLAIM_SECONDS

    @property
    def loses_released_jobs(self) -> bool:
        """Whether a second SIGTERM certainly loses its job."""
        return self.last is not None and not self.last.guarded and self.last.dispatch_mode == "queue"

    def job_after_exit(self, exit_code: int | None, at: float) -> Job:
        """What became of the job, after an exit with that code (None: not known) at that time."""
        ended = exit_code in (0, 1)  # by itself: it shut down, or was forced to. Anything else cut it off.
        status = self.last
        if status is None and not self.signals:
            return "none"  # it was down before the agent looked
        if status is None or not (status.busy or self.answered):
            return self._job_of_unknown(exit_code, at)
        if not status.busy or (exit_code == 0 and self._exited_early(status, at)):
            return "none"
        if self.loses_released_jobs or not ended or not (status.is_draining or self.signals):
            return "lost"
        if status.guarded and exit_code == 0:
            return "none"  # a guarded process exits 0 only when its job has ended
        if (self.released or status).job_is_over:
            return "none"
        guard = (self.released or status).guard
        in_review = guard is not None and guard.job_status == IN_REVIEW
        return "left_for_review" if in_review else "put_back"

    def _exited_early(self, status: WorkerStatus, at: float) -> bool:
        """Whether it exited 0 before it would have given up a job.

        A drain starts that time in legacy mode only. A busy worker that was draining before may have had a signal then.
        """
        mode = status.dispatch_mode
        signalled = mode == "queue" and self.signals > 0 and self.signalled_at <= at
        first = signalled and not (status.busy and self.draining_since < self.signalled_at)
        since = self.signalled_at if first else self.undrained_at
        return not status.guarded and at < since + EARLY_EXIT_SECONDS[mode]

    def _job_of_unknown(self, exit_code: int | None, at: float) -> Job:
        """The same if the process was idle or unknown before the first signal, and did not answer after it."""
        if not self.signals or exit_code == NO_HANDLER:
            return "none"
        if self.last is not None and self.last.guarded and self.last.is_draining:
            return "none"
        if self.last is None and not self.guarded_before:
            early = at < self.signalled_at + EARLY_EXIT_SECONDS["queue"]
            return "none" if exit_code == 0 and early else "lost"
        if self.last is not None and self.loses_released_jobs:
            return "none" if exit_code == 0 and self._exited_early(self.last, at) else "lost"
        return "none" if exit_code in (0, 1) else "lost"


class Termination(NamedTuple):
    """How the worker's process was terminated.

    Attributes:
        service: its container; None if there is none.
        job: what became of its job.
        job_id: the job, where a guard reported it.
        guarded: whether a guard was attached.
        certain: whether a job that was put back is certainly in the queue.
    """

    service: Service | None
    job: Job = "none"
    job_id: str | None = None
    guarded: bool = False
    certain: bool = True

    @property
    def clean(self) -> bool:
        """Whether no job was lost or may have been."""
        return self.job != "lost" and self.certain

    def log_job(self, journal: Journal) -> None:
        """Log what became of the job, if there was one."""
        if self.job in EVENTS:
            event, level = EVENTS[self.job]
            exit_code = None if self.service is None else self.service.exit_code
            journal.step(event, level, job=self.job_id, exit_code=exit_code, guarded=self.guarded, certain=self.certain)


def terminate_worker(
    ports: Ports,
    pause: Pause,
    process: Process,
    release_at: Callable[[], float],
    grace: float,
    *,
    drains_itself: bool = False,
    signalled: Callable[[], None] = lambda: None,
) -> Procedure[Termination]:
    """Terminate the worker's process.

    :param pause: waits some seconds.
    :param process: what is known of it; kept up to date.
    :param release_at: when a second signal releases a running job, as known now: a spot notice makes it sooner. Until
        then the worker may finish the job.
    :param grace: seconds from `release_at` to SIGKILL; more after a signal to a worker with a job.
    :param drains_itself: whether the worker is one for the policy `sigterm`: a second signal loses no job then.
    :param signalled: called after the first signal.
    :raises Unavailable: docker does not report it as stopped some time after that.
    """
    clock = ports.clock
    process.gone = process.gone or (process.last is None and _is_down(ports))
    failure = ""
    began = sent_at = clock.monotonic()
    sent, busy_until = 0, began

    def ended(service: Service | None) -> Termination:
        # A container that was only created is another one, of a deployment: how this process exited is not known.
        exit_code = None if service is None or service.state == "created" else service.exit_code
        job = process.job_after_exit(exit_code, _exited_at(process, service, clock.monotonic()))
        status = process.last
        return Termination(
            service,
            job,
            job_id=status.job if status else None,
            guarded=status is not None and status.guarded,
            certain=job != "put_back" or process.surely_puts_back,
        )

    while clock.monotonic() < max(busy_until, max(release_at(), began) + grace):
        busy = (not sent or read_status(ports, process)) and process.busy
        if process.replaced:
            return ended(None)  # docker was restarted, and started the worker again
        if busy:
            busy_until = sent_at + SECOND_SIGNAL_SECONDS
        may_release = drains_itself or not process.loses_released_jobs
        released = sent and busy and may_release and clock.monotonic() >= max(release_at(), process.releasable_at)
        if sent < (2 if released else 1):
            try:
                ports.compose.terminate(WORKER)
            except PortError as error:
                if error.code != failure:
                    ports.journal.step("worker_signal_failed", "warning", call=error.call, code=error.code)
                failure = error.code
                yield from pause(RETRY_SECONDS)
                if sent or not _has_begun_to_drain(ports, process):
                    continue
            sent, sent_at = sent + 1, clock.monotonic()
            process.signal(sent_at)
            ports.journal.step("worker_signal", number=sent)
            if sent == 1:
                signalled()
        try:
            service = ports.compose.services().get(WORKER)
        except PortError:
            yield from pause(RETRY_SECONDS)
            continue
        if service is None or service.down:
            return ended(service)
        if not service.runs:
            # Between two processes: only compose's stop keeps docker from starting the next one.
            return ended((yield from _kill(ports, pause)))
        yield from pause(POLL_SECONDS)
    return ended((yield from _kill(ports, pause)))


def await_earlier_signal(ports: Ports, pause: Pause, process: Process, flags: Mapping[Flag, float]) -> Procedure[None]:
    """Read the status, and wait for the exit of a process that may have a signal, for as long as that may take."""
    while True:
        answers = read_status(ports, process)
        unsure = process.may_have_a_signal(flags, ports.clock.monotonic(), answers=answers)
        if not unsure or _is_down(ports):
            return
        yield from pause(POLL_SECONDS)


def stop_services(
    ports: Ports, pause: Pause, services: Collection[str], grace: float, timeout: float
) -> Procedure[bool]:
    """Have compose stop `services`; whether it finished within `timeout` seconds, after which it continues alone."""
    until = ports.clock.monotonic() + timeout
    try:
        task = ports.compose.stop(services, grace)
        while not task.done() and ports.clock.monotonic() < until:
            yield from pause(POLL_SECONDS)
        if task.done():
            task.result()
        return task.done()
    except PortError as error:
        ports.journal.step(
            "compose_stop_failed", "warning", services=",".join(services), call=error.call, code=error.code
        )
        return False


def _kill(ports: Ports, pause: Pause) -> Procedure[Service | None]:
    until = ports.clock.monotonic() + 3 * MARGIN_SECONDS
    code = "still running"
    while ports.clock.monotonic() < until:
        yield from stop_services(ports, pause, (WORKER,), KILL_SECONDS, MARGIN_SECONDS)
        try:
            service = ports.compose.services().get(WORKER)
            if service is None or service.down:
                return service
        except PortError as error:
            code = error.code
        yield from pause(RETRY_SECONDS)
    raise Unavailable("worker stop", code)


def read_status(ports: Ports, process: Process) -> bool:
    """Read the status; whether it answers."""
    try:
        status, now = ports.worker.status(), ports.clock.monotonic()
    except PortError:
        return False
    process.replaced = process.replaced or process.is_replaced_by(status, now)
    if not process.replaced:
        process.read(status, now)
    return not process.replaced


def _exited_at(process: Process, service: Service | None, now: float) -> float:
    """When the process exited, at the latest.

    The agent may look late. Docker knows when it was, unless the system's clock was set since.
    """
    ago = service.exited_ago if service else None
    alive_at = process.read_at if process.last is not None else process.signalled_at
    return now if ago is None or now - ago < alive_at else now - ago


def _is_down(ports: Ports) -> bool:
    """Whether the worker certainly has no process."""
    try:
        service = ports.compose.services().get(WORKER)
    except PortError:
        return False
    return service is None or service.down


def _has_begun_to_drain(ports: Ports, process: Process) -> bool:
    """Whether a signal has reached the process although docker's answer was lost."""
    before = process.last
    read_status(ports, process)
    return before is not None and not before.is_draining and process.last is not None and process.last.is_draining


def worker_stop_timeout(settings: Settings) -> int:
    """compose's stop_grace_period: seconds that the worker needs after one SIGTERM, so that its job is not lost.

    A worker with a guard, or one for the policy `sigterm`, finishes its job after the signal. Any other is down sooner.
    """
    if settings.drain_policy == "sigterm" or settings.worker_guard != "off":
        return settings.drain_limit_seconds
    return max(settings.stop_grace_seconds, REQUEUE_SECONDS)
