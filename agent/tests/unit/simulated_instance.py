"""One instance for unit tests of the agent's procedures: a modelled host whose every call can be made to fail.

instance = SimulatedInstance()
instance.start_worker(job_seconds=100)
instance.terminate()
instance.follow(watch(instance.ports(), SETTINGS), 110)
assert instance.completions == [("gh-worker-termination", "CONTINUE")]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from ghosthands_agent.ports import (
    NO_ACTIVE_ACTION,
    BootRecord,
    Flag,
    GroupState,
    Member,
    Ports,
    Procedure,
    Refused,
    Result,
    Scalar,
    Unavailable,
)
from ghosthands_agent.settings import Settings
from model.agent_conf import BAKED_IMAGE, IMAGE, SECRET, SETTINGS
from model.host import Container, Host
from model.job_queue import Job, MemoryJobQueue, Mode
from model.ports import CallName, PollForEnd, SimulatedTask, TaskName, simulated_ports
from model.timeline import Timeline
from model.worker import Guard, Worker, WorkerOptions

T = TypeVar("T")
Error = Unavailable | Refused
Moment = Literal["before", "after"]

INSTANCE_ID, PUBLIC_IP = "i-0123456789abcdef0", "198.51.100.7"


class Killed(BaseException):
    """kill -9 of the agent."""


class SimulatedInstance:
    """An instance in service whose system is up, without a worker, and everything around it.

    Args:
        images: references of the images that Docker holds.
        pullable: whether the registry lets the image be pulled.
        hooks: names of hooks whose wait has begun and does not end by itself.
        faults: by call or task, errors that it raises one after the other.
        lost_answers: by call, how many of its answers are lost after it took effect.
        up_seconds: how long `docker compose up` takes.

    Attributes:
        secret: the worker's secret, as it is now.
        wall_jump: how far the wall clock has jumped.
        completions: hooks that were completed, with their results.
        timed_out: hooks that were not.
        heartbeats: times of accepted heartbeats.
        protected: whether scale-in spares it.
        protection_calls: all values that this was set to.
        unhealthy: how often it was reported unhealthy.
        state: its lifecycle state in the group.
        others: the group's other instances.
        desired: the group's desired capacity.
        template: the launch template with which the group launches; instances have `lt:1`.
        began_launches: when the group's launches began, by the wall clock.
        called: the calls and tasks of the agent, in order.
        call_count: how many of them since the last `kill`.
    """

    def __init__(
        self,
        settings: Settings = SETTINGS,
        *,
        target: str | None = "InService",
        secret: str = SECRET,
        images: set[str] | None = None,
        baked_image: str | None = BAKED_IMAGE,
        pullable: bool = True,
        hooks: tuple[str, ...] = (),
        protected: bool = False,
        boot_record: BootRecord | None = None,
        flags: Mapping[Flag, float] | None = None,
        faults: Mapping[str, list[Error]] | None = None,
        lost_answers: Mapping[str, int] | None = None,
        up_seconds: float = 3.0,
    ) -> None:
        self.settings = settings
        self.timeline = Timeline(1000.0)
        self.jobs = MemoryJobQueue()
        self.worker_options = WorkerOptions("queue")
        self.up_seconds = up_seconds
        self.pullable = pullable
        self.hooks = dict.fromkeys(hooks, float("inf"))  # when the wait times out
        self.completions: list[tuple[str, Result]] = []
        self.timed_out: list[str] = []
        self.heartbeats: list[float] = []
        self.protected = protected
        self.protection_calls: list[bool] = []
        self.unhealthy = 0
        self.state = "InService"
        self.others: list[Member] = []
        self.desired = 1
        self.template = "lt:1"
        self.faults = dict(faults or {})
        self.lost_answers = dict(lost_answers or {})
        self.called: list[str] = []
        self.call_count = 0
        self.journal: list[tuple[float, str, Mapping[str, Scalar]]] = []
        self._kill_at: tuple[int, Moment] | None = None
        self.secret = secret
        self.wall_jump = 0.0
        self.host = Host(self, INSTANCE_ID)
        self.timeline.run_until(self.now)  # the system is up
        self.began_launches = [self.wall()]
        self.host.target = target
        self.host.images = {IMAGE, BAKED_IMAGE} if images is None else set(images)
        self.host.baked_image = baked_image
        self.host.boot_record = boot_record
        self.host.flags = dict(flags or {})

    @property
    def now(self) -> float:
        return self.timeline.now

    @property
    def container(self) -> Container:
        """The worker's container."""
        return self.host.container

    @property
    def worker(self) -> Worker:
        """The worker's process; there must be one."""
        assert self.host.worker, "there is no worker"
        return self.host.worker

    @property
    def job_results(self) -> list[str]:
        """What became of jobs, in order: "finished", "released" (its row is pending), or why a worker left it."""
        results, claimed = [], set()
        for event in self.jobs.events:
            match event.action:
                case "take":
                    claimed.add(event.job)
                case "finish" | "release" | "strand":
                    results.append("finished" if event.action == "finish" else "released")
                    claimed.discard(event.job)
                case "leave" if event.job in claimed:
                    results.append(event.reason)
        return results

    def steps(self, event: str) -> list[Mapping[str, Scalar]]:
        """The fields of the journal's lines for an event."""
        return [fields for _, step, fields in self.journal if step == event]

    # --- running procedures -------------------------------------------------------------------------------------------

    def ports(self) -> Ports:
        """The agent's ports on this instance."""
        return simulated_ports(self.host, self, self, secret=lambda: self.secret, public_ip=PUBLIC_IP)

    def after(self, seconds: float, action: Callable[..., object], *args: Any) -> None:
        """Schedule something."""
        self.timeline.after(seconds, action, *args)

    def advance(self, seconds: float) -> None:
        """Let time pass without the agent."""
        self.timeline.run_until(self.now + seconds)

    def run(self, procedure: Procedure[T], limit: float = 1e6) -> T:
        """Run a procedure to its end. Raises TimeoutError if that takes more than `limit` seconds."""
        end = self.now + limit
        while self.now < end:
            try:
                pause = next(procedure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            assert pause > 0, "a procedure that does not pause keeps the processor busy"
            self.advance(pause)
        raise TimeoutError

    def follow(self, procedure: Procedure[Any], seconds: float) -> None:
        """Run an endless procedure for some time."""
        try:
            self.run(procedure, seconds)
        except TimeoutError:
            return
        raise AssertionError("the procedure ended")

    def run_together(self, seconds: float, *procedures: Procedure[Any]) -> None:
        """Run several procedures side by side, as processes would run."""

        def step(procedure: Procedure[Any]) -> None:
            pause = next(procedure, None)
            if pause is not None:
                self.after(pause, step, procedure)

        for procedure in procedures:
            step(procedure)
        self.advance(seconds)

    def kill(self, procedure: Procedure[Any], call: int, moment: Moment) -> None:
        """Run a procedure until the agent is killed before or after the effect of its `call`-th call."""
        self.call_count, self._kill_at = 0, (call, moment)
        try:
            self.run(procedure, 1e5)
        except Killed:
            pass
        else:
            raise AssertionError("it was not killed")
        self._kill_at = None

    # --- events -------------------------------------------------------------------------------------------------------

    def start_worker(
        self,
        mode: Mode = "queue",
        *,
        job_seconds: float | None = None,
        drains_itself: bool = False,
        guard: Guard | None = None,
    ) -> None:
        """Have a worker running, as after a boot."""
        self.worker_options = WorkerOptions(mode, guard, drains_itself=drains_itself)
        self.host.boot_record = BootRecord("completed", "launch_hook", "", 0, 0.0, {})
        self.host.compose_up()
        self.advance(0)
        if job_seconds is not None:
            self.submit_job(job_seconds)

    def submit_job(self, seconds: float, *, review: bool = False) -> None:
        """Submit a job, which may end in a review that lasts for ever. An idle worker polls the queue at once."""
        self.jobs.submit(Job(f"job-{len(self.jobs.rows) + 1}", seconds, review=review), self.now)
        self.host.poll_queue()

    def terminate(self) -> None:
        """The group terminates this instance, and its termination hook begins to wait."""
        self.host.target = "Terminated"
        self._begin_wait(self.settings.termination_hook)

    def _begin_wait(self, hook: str) -> None:
        self.hooks[hook] = self.now + self.settings.heartbeat_timeout_seconds
        self.timeline.at(self.hooks[hook], self._time_out, hook)

    def _time_out(self, hook: str) -> None:
        if hook not in self.hooks:
            return
        if self.now >= self.hooks[hook]:
            del self.hooks[hook]
            self.timed_out.append(hook)
        else:
            self.timeline.at(self.hooks[hook], self._time_out, hook)

    # --- model.host.HostEnvironment -----------------------------------------------------------------------------------

    def delay(self, shortest: float, longest: float) -> float:
        return 0.0

    def log(self, host: Host, *words: object) -> None: ...

    def host_terminated(self, host: Host) -> None: ...

    def worker_completes_hook(self, host: Host) -> None:
        if self.hooks.pop(host.worker_hook, None):
            self.completions.append((host.worker_hook, "CONTINUE"))

    def jobs_may_wait(self) -> None:
        self.host.look_at_queue()

    # --- model.ports.GroupApi -----------------------------------------------------------------------------------------

    def heartbeat(self, host: Host, hook: str) -> None:
        self._check_wait(hook)
        self.hooks[hook] = self.now + self.settings.heartbeat_timeout_seconds
        self.heartbeats.append(self.now)

    def complete(self, host: Host, hook: str, result: Result) -> None:
        self._check_wait(hook)
        del self.hooks[hook]
        self.completions.append((hook, result))

    def completion_answered(self, host: Host, hook: str) -> None: ...

    def protect(self, host: Host, protected: bool) -> None:
        if host.target != "InService":
            raise Refused("autoscaling:SetInstanceProtection", "ValidationError")
        self.protected = protected
        self.protection_calls.append(protected)

    def report_unhealthy(self, host: Host) -> None:
        self.unhealthy += 1

    def group_state(self, host: Host) -> GroupState:
        own = Member(INSTANCE_ID, self.state, healthy=not self.unhealthy, template="lt:1")
        return GroupState(self.desired, self.template, sorted([own, *self.others], key=lambda each: each.id))

    def launches(self, since: float) -> list[float]:
        return [began for began in self.began_launches if began >= since]

    def _check_wait(self, hook: str) -> None:
        if hook not in self.hooks:
            raise Refused("autoscaling", NO_ACTIVE_ACTION)

    # --- model.ports.Caller -------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1.7e9 + self.now

    def call(self, name: CallName, effect: Callable[[], T]) -> T:
        """One call: it may fail, kill the agent before or after it took effect, or lose its answer."""
        value: T | None = None
        error = self._count(name)
        if error is None:
            try:
                value = effect()
            except (Unavailable, Refused) as answer:
                error = answer
        self._kill("after")
        if error is None and self.lost_answers.get(name):
            self.lost_answers[name] -= 1
            error = Unavailable(name, "Timeout")
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def begin(self, name: TaskName, effect: Callable[[], T], is_over: PollForEnd | None = None) -> SimulatedTask[T]:
        """Begin a task; its faults are raised when it ends. It goes on when the agent is killed."""

        def end() -> T:
            if error is not None:
                raise error
            return effect()

        error = self._count(name)
        if name == "pull" and not self.pullable and error is None:
            error = Refused("docker pull", "denied")
        seconds = {"secret": 0.3, "login": 0.4, "pull": 20.0, "up": self.up_seconds, "flush": 0.1}.get(name, 0.3)
        task = SimulatedTask(self.timeline, seconds, end, is_over)
        self._kill("after")
        return task

    def log_step(self, event: str, fields: Mapping[str, Scalar]) -> None:
        self.journal.append((self.now, event, fields))

    def _count(self, name: str) -> Error | None:
        """Count a call, kill the agent if that was planned for before it, and return the fault that the call meets."""
        self.call_count += 1
        self.called.append(name)
        self._kill("before")
        return self.faults[name].pop(0) if self.faults.get(name) else None

    def _kill(self, moment: Moment) -> None:
        if self._kill_at == (self.call_count, moment):
            raise Killed
