"""An instance, its worker, its group and its docker as the procedures see them, in virtual time; every port call can fail or kill the agent."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from example import REQUIRED_KEYS, settings
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import (
    NO_ACTIVE_ACTION,
    WORKER,
    BootRecord,
    FileName,
    Flag,
    Instance,
    Level,
    Ports,
    Procedure,
    Refused,
    Result,
    Scalar,
    Service,
    Unavailable,
    WorkerStatus,
)
from ghosthands_agent.settings import Settings

T = TypeVar("T")

INSTANCE = Instance("i-0123456789abcdef0", "10.0.0.5", "198.51.100.7")
WANTED, BAKED = f"registry/ghosthands@sha256:{'a' * 64}", f"registry/ghosthands@sha256:{'b' * 64}"
SETTINGS = settings(IMAGE=WANTED)
SECRET = "".join(f"{rule.split('|')[0]}=value\n" for rule in REQUIRED_KEYS)


class Killed(BaseException):
    """kill -9."""


class Pending(Generic[T]):
    """A task that ends at a moment of the world's time."""

    def __init__(self, world: World, seconds: float, end: Callable[[], T]) -> None:
        self._world = world
        self._end = end
        self._at = world.time + seconds
        self.cancelled = False
        self._settled = False
        self._value: Any = None
        world.at(self._at, self._settle)

    def _settle(self) -> None:
        if self.cancelled or self._settled:
            return
        self._settled = True
        try:
            self._value = self._end()
        except (Unavailable, Refused) as error:
            self._value = error

    def done(self) -> bool:
        return self._settled or self.cancelled

    def result(self) -> T:
        if isinstance(self._value, (Unavailable, Refused)):
            raise self._value
        return self._value  # type: ignore[no-any-return]

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Container:
    """The worker's container: at most one process, that runs at most one job."""

    mode: Literal["legacy", "queue"] = "queue"
    state: str = "created"
    exit_code: int = 0
    job_until: float | None = None
    draining: bool = False
    signals: int = 0
    answers: bool = True
    stubborn: bool = False  # ignores signals
    patient: bool = False  # finishes its job after the first signal, however long that takes


@dataclass
class World:
    """Everything outside the agent.

    Attributes:
        kill_at: the number of the port call at which the agent dies, and whether before or after it took effect.
        faults: by call, errors that it raises one after the other (after=True: once it took effect).
        jobs: what became of jobs: finished, put_back, lost.
    """

    settings: Settings = SETTINGS
    time: float = 1000.0
    target: str | None = "InService"
    spot: str | None = None
    secret: str = SECRET
    images: set[str] = field(default_factory=lambda: {WANTED, BAKED})
    baked: str | None = BAKED
    pullable: bool = True
    up_seconds: float = 3.0
    worker: Container = field(default_factory=Container)
    rest_down: bool = True
    hooks: dict[str, float] = field(default_factory=dict)  # active actions: hook -> moment of its timeout
    completions: list[tuple[str, Result]] = field(default_factory=list)
    timed_out: list[str] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)
    protected: bool = False
    protection_calls: list[bool] = field(default_factory=list)
    unhealthy: int = 0
    files: dict[str, str] = field(default_factory=dict)
    boot_record: BootRecord | None = None
    mark_file: dict[Flag, float] = field(default_factory=dict)
    log: list[tuple[float, str, dict[str, Scalar]]] = field(default_factory=list)
    calls: int = 0
    called: list[str] = field(default_factory=list)
    kill_at: tuple[int, Literal["before", "after"]] | None = None
    faults: dict[str, list[Unavailable | Refused]] = field(default_factory=dict)
    lost_answers: dict[str, int] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    starts: int = 0
    under_way: list[Pending[Any]] = field(default_factory=list)  # what `up` began, by whichever life of the agent
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)

    # --- time -----------------------------------------------------------------------------------------------------------------

    def at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.time + seconds, event)

    def advance(self, seconds: float) -> None:
        until = self.time + seconds
        while self._events and self._events[0][0] <= until:
            self.time, _, event = heapq.heappop(self._events)
            event()
        self.time = until

    def run(self, procedure: Procedure[T], limit: float = 1e6) -> T:
        """Follow a procedure to its end. Raises TimeoutError if that takes more than `limit` seconds."""
        until = self.time + limit
        while self.time < until:
            try:
                pause = next(procedure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            assert pause > 0, "a pause of nothing makes a loop that never rests"
            self.advance(pause)
        raise TimeoutError

    def follow(self, procedure: Procedure[None], seconds: float) -> None:
        """Follow an endless procedure for a while."""
        try:
            self.run(procedure, seconds)
        except TimeoutError:
            return
        raise AssertionError("the procedure ended")

    def live(self, seconds: float, *procedures: Procedure[Any]) -> None:
        """Follow several procedures side by side, as processes would run."""

        def step(procedure: Procedure[Any]) -> None:
            pause = next(procedure, None)
            if pause is not None:
                self.after(pause, lambda: step(procedure))

        for procedure in procedures:
            step(procedure)
        self.advance(seconds)

    def kill(self, procedure: Procedure[Any], call: int, moment: Literal["before", "after"]) -> None:
        """Follow a procedure until the agent dies at its `call`-th port call."""
        self.calls, self.kill_at = 0, (call, moment)
        try:
            self.run(procedure, 1e5)
        except Killed:
            pass
        else:
            raise AssertionError("it was not killed")
        self.kill_at = None

    # --- what happens by itself -----------------------------------------------------------------------------------------------

    def serve(self, mode: Literal["legacy", "queue"] = "queue", *, job_seconds: float | None = None) -> None:
        """The worker is up, as after a boot."""
        self.boot_record = BootRecord("completed", "launch_hook", "", 0, 0.0, {})
        self.rest_down = False
        self.worker = Container(mode, "running")
        self.starts += 1
        if job_seconds is not None:
            self.take_job(job_seconds)

    def take_job(self, seconds: float) -> None:
        """A job comes, if the worker would take one."""
        worker = self.worker
        if (
            worker.state == "running"
            and worker.job_until is None
            and not worker.signals
            and not (worker.draining and worker.mode == "legacy")
        ):
            worker.job_until = self.time + seconds
            self.at(worker.job_until, lambda: self._job_ends(worker))
            if worker.draining:
                self.after(30, lambda: self._requeue(worker))

    def terminate(self) -> None:
        """The group ends this instance."""
        self.target = "Terminated"
        self._begin(self.settings.termination_hook)

    def _begin(self, hook: str) -> None:
        self.hooks[hook] = self.time + self.settings.heartbeat_timeout_seconds
        self.at(self.hooks[hook], lambda: self._time_out(hook))

    def _time_out(self, hook: str) -> None:
        if hook not in self.hooks:
            return
        if self.time >= self.hooks[hook]:
            del self.hooks[hook]
            self.timed_out.append(hook)
        else:
            self.at(self.hooks[hook], lambda: self._time_out(hook))

    def _job_ends(self, worker: Container) -> None:
        if worker.job_until is not None and self.time >= worker.job_until:
            worker.job_until = None
            self.jobs.append("finished")

    def _requeue(self, worker: Container) -> None:
        """legacy: the job is put back while it still runs."""
        if worker.job_until is not None and worker.mode == "legacy":
            self.jobs.append("put_back")

    def exit(self, code: int, worker: Container | None = None, fate: str = "lost") -> None:
        """The worker's process ends; a job inside meets `fate`."""
        worker = worker or self.worker
        if worker.state not in ("running", "restarting"):
            return
        if worker.job_until is not None:
            self.jobs.append(fate)
            worker.job_until = None
        worker.state, worker.exit_code = "exited", code

    def _signalled(self) -> None:
        worker = self.worker
        if worker.state != "running" or worker.stubborn:
            return
        worker.signals += 1
        worker.draining = True
        if worker.signals == 2:
            self.exit(1, worker, fate="put_back")
        elif worker.job_until is None:
            self.after(0.2, lambda: self.exit(0, worker))
        elif worker.patient:
            self.at(worker.job_until + 0.2, lambda: self.exit(0, worker))
        elif worker.mode == "legacy":
            self.after(30, lambda: self.exit(0, worker, fate="put_back"))
        else:
            self.after(10, lambda: self.exit(0, worker))

    # --- the ports ------------------------------------------------------------------------------------------------------------

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """One port call: it may fail, kill the agent before or after it took effect, or lose its answer."""
        value: T | None = None
        error = self._counted(name)
        if error is None:
            try:
                value = effect()
            except (Unavailable, Refused) as answer:
                error = answer
        if self.kill_at == (self.calls, "after"):
            raise Killed
        if error is None and self.lost_answers.get(name):
            self.lost_answers[name] -= 1
            error = Unavailable(name, "Timeout")
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def _counted(self, name: str) -> Unavailable | Refused | None:
        """Count a call, die before it if it is the one; the fault that it meets."""
        self.calls += 1
        self.called.append(name)
        if self.kill_at == (self.calls, "before"):
            raise Killed
        return self.faults[name].pop(0) if self.faults.get(name) else None

    def begin(self, name: str, seconds: float, effect: Callable[[], T]) -> Pending[T]:
        """One port call that begins a task; its faults are the task's."""

        def end() -> T:
            if error is not None:
                raise error
            return effect()

        error = self._counted(name)
        task = Pending(self, seconds, end)
        if name == "up":
            self.under_way.append(task)
        if self.kill_at == (self.calls, "after"):
            raise Killed
        return task

    def ports(self) -> Ports:
        return Ports(
            clock=self,
            metadata=_Metadata(self),
            group=_Group(self),
            secret=_Secret(self),
            registry=_Registry(self),
            images=_Images(self),
            compose=_Compose(self),
            worker=_Worker(self),
            files=_Files(self),
            records=_Records(self),
            logs=_Logs(self),
            journal=_Journal(self),
            supervisor=_Supervisor(),
        )

    def monotonic(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1.7e9

    @property
    def paths(self) -> Paths:
        return Paths()

    def steps(self, event: str) -> list[dict[str, Scalar]]:
        return [fields for _, step, fields in self.log if step == event]


@dataclass
class _Port:
    world: World


class _Metadata(_Port):
    def instance(self) -> Instance:
        return self.world.call("instance", lambda: INSTANCE)

    def target_state(self) -> str | None:
        return self.world.call("target_state", lambda: self.world.target)

    def spot_action(self) -> str | None:
        return self.world.call("spot_action", lambda: self.world.spot)


class _Group(_Port):
    def _active(self, hook: str) -> None:
        if hook not in self.world.hooks:
            raise Refused("autoscaling", NO_ACTIVE_ACTION)

    def heartbeat(self, hook: str) -> None:
        def effect() -> None:
            self._active(hook)
            self.world.hooks[hook] = self.world.time + self.world.settings.heartbeat_timeout_seconds
            self.world.beats.append(self.world.time)

        self.world.call("heartbeat", effect)

    def complete(self, hook: str, result: Result) -> None:
        def effect() -> None:
            self._active(hook)
            del self.world.hooks[hook]
            self.world.completions.append((hook, result))

        self.world.call("complete", effect)

    def protect(self, protected: bool) -> None:
        def effect() -> None:
            if self.world.target != "InService":
                raise Refused("autoscaling:SetInstanceProtection", "ValidationError")
            self.world.protected = protected
            self.world.protection_calls.append(protected)

        self.world.call("protect", effect)

    def report_unhealthy(self) -> None:
        def effect() -> None:
            self.world.unhealthy += 1

        self.world.call("report_unhealthy", effect)


class _Secret(_Port):
    def fetch(self) -> Pending[str]:
        return self.world.begin("secret", 0.3, lambda: self.world.secret)


class _Registry(_Port):
    def login(self) -> Pending[None]:
        return self.world.begin("login", 0.4, lambda: None)


class _Images(_Port):
    def present(self, reference: str) -> bool:
        return self.world.call("present", lambda: reference in self.world.images)

    def pull(self, reference: str) -> Pending[None]:
        def effect() -> None:
            if not self.world.pullable:
                raise Refused("docker pull", "denied")
            self.world.images.add(reference)

        return self.world.begin("pull", 20.0, effect)

    def baked(self) -> str | None:
        return self.world.call("baked", lambda: self.world.baked)


class _Compose(_Port):
    def up(self) -> Pending[None]:
        text = self.world.files.get("environment", "") + self.world.files.get("override", "")

        def effect() -> None:
            if self.world.worker.state == "running" and self.world.files.get("running") == text:
                return
            self.world.files["running"] = text
            if self.world.worker.state == "running":
                self.world.exit(143)
            self.world.worker = Container(self.world.worker.mode, "running")
            self.world.rest_down = False
            self.world.starts += 1

        return self.world.begin("up", self.world.up_seconds, effect)

    def terminate(self, service: str) -> None:
        assert service == WORKER
        self.world.call("terminate", self.world._signalled)

    def stop(self, services: Collection[str], grace: float) -> Pending[None]:
        for task in self.world.under_way:
            task.cancel()

        def effect() -> None:
            if WORKER in services:
                self.world.exit(137)
            else:
                self.world.rest_down = True

        return self.world.begin("stop", 0.3, effect)

    def services(self) -> Mapping[str, Service]:
        worker = self.world.worker

        def effect() -> Mapping[str, Service]:
            return {} if not self.world.starts else {WORKER: Service(worker.state, worker.exit_code)}

        return self.world.call("services", effect)


class _Worker(_Port):
    def status(self) -> WorkerStatus:
        worker = self.world.worker

        def effect() -> WorkerStatus:
            if worker.state != "running" or not worker.answers:
                raise Unavailable("worker", "ConnectionRefused")
            jobs = 0 if worker.job_until is None else 1
            return WorkerStatus(INSTANCE.id, INSTANCE.id, jobs, not worker.draining, worker.draining, worker.mode)

        return self.world.call("status", effect)

    def drain(self) -> None:
        worker = self.world.worker

        def effect() -> None:
            if worker.state != "running":
                raise Unavailable("worker", "ConnectionRefused")
            worker.draining = True
            if worker.job_until is not None:
                self.world.after(30, lambda: self.world._requeue(worker))

        self.world.call("drain", effect)


class _Files(_Port):
    def write(self, name: FileName, text: str) -> bool:
        def effect() -> bool:
            changed = self.world.files.get(name) != text
            self.world.files[name] = text
            return changed

        return self.world.call(f"write {name}", effect)


class _Records(_Port):
    def boot(self) -> BootRecord | None:
        return self.world.call("boot_record", lambda: self.world.boot_record)

    def write_boot(self, record: BootRecord) -> None:
        def effect() -> None:
            self.world.boot_record = replace(record)

        self.world.call("write_boot", effect)

    def flags(self) -> Mapping[Flag, float]:
        return self.world.call("marks", lambda: dict(self.world.mark_file))

    def set_flag(self, mark: Flag, moment: float) -> None:
        self.world.call("set_flag", lambda: self.world.mark_file.setdefault(mark, moment))

    def clear_flag(self, mark: Flag) -> None:
        self.world.call("clear_flag", lambda: self.world.mark_file.pop(mark, None))


class _Logs(_Port):
    def flush(self) -> Pending[None]:
        return self.world.begin("flush", 0.1, lambda: None)


class _Journal(_Port):
    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        self.world.log.append((self.world.time, event, fields))


class _Supervisor:
    def ready(self) -> None: ...

    def alive(self) -> None: ...

    def status(self, text: str) -> None: ...
