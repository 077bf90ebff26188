"""How a worker is emptied and its instance let go, so that no job is lost and none runs twice.

What the worker does (docs/agent.md) makes the rules. legacy: `drain` and SIGTERM both put a running job back into the queue after 30 s while it still
runs. queue: `drain` does not unsubscribe, SIGTERM gives 10 s and then loses the job. So under `wait_idle` neither is used while a job runs: the hook is
kept alive until the worker is seen idle. All decisions are made from what the world says now, so a drain that was cut off anywhere is simply begun again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from .ending import MARGIN_SECONDS, OTHERS_GRACE_SECONDS, RELEASE_SECONDS, Ended, time_for_a_job, worker_ended
from .ports import (
    API,
    DEPLOY_SERVER,
    NO_ACTIVE_ACTION,
    WORKER,
    PortError,
    Ports,
    Refused,
    Result,
    Story,
    Task,
    Unavailable,
    WorkerStatus,
)
from .settings import Settings
from .vigil import Vigil

POLL_SECONDS = 0.25  # a worker that became idle takes a next job soon
SETTLE_SECONDS = 0.1  # between telling the worker or docker something and looking what became of it
BOOT_YIELD_SECONDS = (
    20.0  # a boot that is alive looks at the target state every second; one that was killed does not keep the instance
)
TIDY_SECONDS = 0.3  # for the services that hold no jobs, and for the logs: the shutdown that follows ends both again
NO_ACTION_SECONDS = 30.0  # IMDS may say Terminated a moment before the hook's action exists
LONGEST_PAUSE = 5.0
ROUNDS = 3  # a deployment that is under way may start a worker once more, not for ever

#: Why the worker is told to stop: it was seen idle; it has no process; the policy says so at once; a job came in after it was seen idle; time is up.
Why: TypeAlias = Literal["idle", "gone", "told", "raced", "overdue"]
Step: TypeAlias = Literal["wait", "post", "confirm", "stop"]


def next_step(policy: str, status: WorkerStatus) -> Step:
    """What to do about a worker that answers `status`: docs/agent.md, "How a drain goes".

    `post`: POST drain, then look again. `confirm`: look again at once, and stop it if it is idle still.
    """
    if policy == "sigterm":
        return "stop"
    if policy == "http":
        return "post" if not status.is_draining else "wait" if status.busy else "stop"
    if status.dispatch_mode == "legacy":
        if status.is_draining:  # with a job: the race is lost, it will be put back in 30 s while it runs; the sooner the process ends the better
            return "stop"
        return "wait" if status.busy else "post"
    return "wait" if status.busy else "confirm"


def drain(vigil: Vigil) -> Story[Result]:
    """Empty the worker and stop it; CONTINUE if no job was cut off, else ABANDON. Leaves the hook to `let_go`."""
    journal, began = vigil.ports.journal, vigil.now
    journal.step(
        "drain_began",
        causes=",".join(vigil.causes()),
        policy=vigil.settings.drain_policy,
        seconds_left=round(vigil.deadline() - began),
    )
    yield from _boot_withdrawn(vigil)
    clean = True
    for _round_number in range(ROUNDS):
        clean &= yield from _round(vigil)
        if not _is_back(vigil):
            break
        vigil.unmark("stopping")  # that was the other one
    else:
        clean = False
    journal.step("drain_ended", "info" if clean else "error", clean=clean, seconds=round(vigil.now - began, 1))
    return "CONTINUE" if clean else "ABANDON"


def let_go(vigil: Vigil, result: Result) -> Story[bool]:
    """Complete the termination hook; whether it is known to be complete.

    It has the hook's whole timeout for it, however late the drain was: afterwards the hook's default result has decided.
    """
    ports, began, pause = vigil.ports, vigil.now, 1.0
    while vigil.now < began + vigil.settings.heartbeat_timeout_seconds:
        try:
            ports.group.complete(vigil.settings.termination_hook, result)
            vigil.hook_done = True
            ports.journal.step("hook_completed", result=result)
            return True
        except Refused as error:
            if error.code == NO_ACTIVE_ACTION and (vigil.hook_seen or vigil.now >= began + NO_ACTION_SECONDS):
                vigil.hook_done = True
                ports.journal.step("hook_completed", result="already")
                return True
            vigil.complain("completion", error)
        except Unavailable as error:
            vigil.complain("completion", error)
        yield from vigil.rest(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
    vigil.hook_done = True
    ports.journal.step("hook_left_to_its_default", "error", result=result)
    return False


def ask(ports: Ports, settings: Settings) -> Story[int]:
    """An operator asks for a drain; 0 once the worker is down, 1 if it is not in time. `watch` does it, and goes on if this is interrupted."""
    began, told, asked = ports.clock.monotonic(), float("-inf"), False
    limit = settings.drain_limit_seconds + time_for_a_job(settings) + 4 * MARGIN_SECONDS
    state = ""
    while (now := ports.clock.monotonic()) < began + limit:
        try:
            if not asked:
                ports.records.set_mark("asked", began)
                asked = True
            service = ports.compose.services().get(WORKER)
            state = "absent" if service is None else service.state
            if service is None or service.down:
                ports.journal.step("drained", worker=state, seconds=round(now - began))
                return 0
        except Unavailable as error:
            state = error.code
        if now >= told + 30:
            told = now
            ports.journal.step("draining", worker=state, seconds=round(now - began), limit=limit)
        yield 1.0
    ports.journal.step("drain_unfinished", "error", worker=state, limit=limit)
    return 1


def _boot_withdrawn(vigil: Vigil) -> Story[None]:
    """Wait until boot starts nothing any more. The mark is set before boot's record is read, boot reads marks after writing it: one sees the other."""
    until = vigil.now + BOOT_YIELD_SECONDS
    while vigil.now < until:
        try:
            record = vigil.ports.records.boot()
        except Unavailable as error:
            vigil.complain("boot_record", error)
        else:
            if record is None or record.state != "running":
                return
        yield from vigil.rest(POLL_SECONDS)


def _round(vigil: Vigil) -> Story[bool]:
    """One worker emptied and ended; whether no job was cut off."""
    began = vigil.now
    why = yield from _emptied(vigil)
    vigil.ports.journal.step("worker_stop", why=why, waited=round(vigil.now - began, 1))
    if why != "gone":
        vigil.mark("stopping")
    others: list[Task[None]] = []

    def stop_others() -> None:
        """They hold no jobs, and the deploy server might start a worker again. With the worker, unless that may still have a job to finish."""
        if why != "told":
            others.append(vigil.ports.compose.stop((API, DEPLOY_SERVER), OTHERS_GRACE_SECONDS))

    hurry = vigil.deadline() if why == "told" else vigil.now
    try:
        ended = yield from worker_ended(vigil.ports, vigil.rest, hurry, _grace(vigil), stop_others)
    except Unavailable as error:
        vigil.ports.journal.step("worker_stop_failed", "error", code=error.code)
        return False
    exit_code = None if ended.service is None else ended.service.exit_code
    # The worker marks itself offline in the registry before it exits 0; else the registry's own limit of 5 minutes does it.
    vigil.ports.journal.step(
        "worker_stopped", exit_code=exit_code, deregistered=exit_code == 0, job_put_back=ended.hurried
    )
    yield from _tidied(vigil, others or [vigil.ports.compose.stop((API, DEPLOY_SERVER), OTHERS_GRACE_SECONDS)])
    return _is_clean(why, ended)


def _is_back(vigil: Vigil) -> bool:
    """Whether a worker was started after the old one went, as by a deployment that was under way."""
    try:
        service = vigil.ports.compose.services().get(WORKER)
    except PortError:
        return False
    return service is not None and service.runs


def _emptied(vigil: Vigil) -> Story[Why]:
    """Wait until the worker may be told to stop; why."""
    policy = vigil.settings.drain_policy
    while True:
        status = vigil.worker()
        if status is None and not vigil.worker_runs(fresh=True):
            return _why_gone(vigil)
        if vigil.now >= vigil.deadline():
            return "overdue"
        step = (
            _told_before(vigil, status)
            if "stopping" in vigil.marks
            else "wait"
            if status is None
            else next_step(policy, status)
        )
        if step == "stop":
            return "told" if policy == "sigterm" else "raced" if status is None or status.busy else "idle"
        if step == "confirm":
            again = vigil.worker()
            if again is not None and not again.busy:
                return "idle"
        if step == "post":
            yield from _posted(vigil)
        else:
            yield from vigil.rest(POLL_SECONDS)


def _why_gone(vigil: Vigil) -> Why:
    """No process: was it ended by an earlier life of the agent, and how?"""
    told_at = vigil.marks.get("stopping")
    if told_at is None:
        return "gone"
    return "overdue" if told_at >= vigil.deadline() else "told" if vigil.settings.drain_policy == "sigterm" else "gone"


def _told_before(vigil: Vigil, status: WorkerStatus | None) -> Step:
    """The same after an earlier life told the worker to stop, or was about to.

    Another SIGTERM makes the worker put its job back at once. That is wanted where it was seen idle and a job came in all the same; it must not happen
    to a worker that finishes its job after SIGTERM.
    """
    policy = vigil.settings.drain_policy
    if status is not None and not status.is_draining:
        return next_step(policy, status)  # no signal has reached it
    return "wait" if policy == "sigterm" else "stop"


def _posted(vigil: Vigil) -> Story[None]:
    try:
        vigil.ports.worker.drain()
        vigil.ports.journal.step("worker_drain")
    except PortError as error:
        vigil.complain("worker_drain", error)
    yield from vigil.rest(SETTLE_SECONDS)


def _grace(vigil: Vigil) -> float:
    """Seconds that a process which holds no job may take to end."""
    grace = vigil.settings.stop_grace_seconds
    return min(grace, RELEASE_SECONDS) if "spot" in vigil.marks else grace


def _tidied(vigil: Vigil, tasks: Sequence[Task[None]]) -> Story[None]:
    """Hand on the logs; wait a moment for that and for `tasks`, which go on by themselves."""
    tasks = [*tasks, vigil.ports.logs.flush()]
    until = vigil.now + TIDY_SECONDS
    while vigil.now < until and not all(task.done() for task in tasks):
        yield from vigil.rest(SETTLE_SECONDS)


def _is_clean(why: Why, ended: Ended) -> bool:
    """Whether no job was cut off: finished, or put back by the worker itself, counts as clean unless its time was up."""
    if why == "overdue":
        return False
    if why == "told":
        return not (ended.hurried or ended.killed)
    return not ended.killed or (why in ("idle", "gone") and not ended.hurried)
