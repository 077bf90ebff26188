"""The agent's ports in virtual time: what an instance's metadata, API, Docker, worker and files answer, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from example import REQUIRED_KEYS
from ghosthands_agent.ports import (
    API,
    DEPLOY_SERVER,
    NO_ACTIVE_ACTION,
    WORKER,
    BootRecord,
    FileName,
    Flag,
    Instance,
    Level,
    PortError,
    Ports,
    Refused,
    Result,
    Scalar,
    Service,
    Unavailable,
    WorkerStatus,
)

from localcloud import fleet

if TYPE_CHECKING:
    from schedules.agent import AgentMachine, Unit

T = TypeVar("T")
SECRET = json.dumps({key.partition("|")[0]: f"value of {key}" for key in REQUIRED_KEYS})


class SimTask(Generic[T]):
    """Something begun: ``act`` happens after so many seconds, unless it is cancelled (or the agent killed) before."""

    def __init__(self, unit: Unit, seconds: float, act: Callable[[], T]) -> None:
        self._act = act
        self._over = self._cancelled = False
        self._value: T | None = None
        self._error: PortError | None = None
        unit.tasks.append(self)
        unit.machine.world.timeline.after(unit.lag + seconds, self._happen)

    def done(self) -> bool:
        return self._over

    def result(self) -> T:
        if not self._over:
            raise AssertionError("a procedure asked for the result of a task that is not done")
        if self._error:
            raise self._error
        return self._value  # type: ignore[return-value]  # None is T then

    def cancel(self) -> None:
        if not self._over:
            self._cancelled = self._over = True
            self._error = Unavailable("task", "cancelled")

    def _happen(self) -> None:
        if self._cancelled:
            return
        try:
            value = self._act()
        except PortError as error:
            self._error = error
        else:
            self._value = value
        self._over = True

    def end(self, error: PortError | None = None) -> None:
        """For what ends by something else than time."""
        if not self._over:
            self._over, self._error = True, error


class Neighbour:
    """What all ports share: the instance, the unit that calls."""

    def __init__(self, machine: AgentMachine, unit: Unit) -> None:
        self.machine = machine
        self.unit = unit
        self.world = machine.world


class SimClock(Neighbour):
    def monotonic(self) -> float:
        return self.world.timeline.now + self.unit.lag - self.machine.system_began

    def wall(self) -> float:
        return self.world.timeline.now + self.unit.lag + self.world.weather.wall_jump


class SimMetadata(Neighbour):
    def instance(self) -> Instance:
        self._call("imds:instance-id")
        return Instance(self.machine.id, "10.0.0.7", None)

    def target_state(self) -> str | None:
        self._call("imds:target-lifecycle-state")
        return self.machine.target

    def spot_action(self) -> str | None:
        self._call("imds:spot/instance-action")
        return "terminate" if self.machine.spot_noticed else None

    def _call(self, name: str) -> None:
        self.unit.count()
        if self.world.timeline.now < self.machine.metadata_down_until:
            self.unit.spend(self.world.dice.choice((0.02, 0.02, 2.0)))
            raise Unavailable(name, "http 503")


class SimGroup(Neighbour):
    def heartbeat(self, hook: str) -> None:
        self._call("autoscaling:RecordLifecycleActionHeartbeat", lambda: self.world.heartbeat(self.machine, hook))

    def complete(self, hook: str, result: Result) -> None:
        self._call("autoscaling:CompleteLifecycleAction", lambda: self.world.complete(self.machine, hook, result))
        self.world.completion_answered(self.machine, hook)

    def protect(self, protected: bool) -> None:
        self._call("autoscaling:SetInstanceProtection", lambda: self.world.protect(self.machine, protected))

    def report_unhealthy(self) -> None:
        self._call("autoscaling:SetInstanceHealth", lambda: self.world.report_unhealthy(self.machine))

    def _call(self, name: str, act: Callable[[], object]) -> None:
        self.unit.count()
        world = self.world
        slow, fault, lost = world.api_weather()
        self.unit.spend(slow / 2)
        if fault:
            raise Unavailable(name, fault)
        try:
            act()
        except fleet.Refused as refusal:
            code = NO_ACTIVE_ACTION if refusal.message.startswith("No active Lifecycle Action") else refusal.code
            self.unit.spend(slow / 2)
            raise Refused(name, code) from None
        self.unit.count_effect()
        self.unit.spend(slow / 2)
        if lost:
            raise Unavailable(name, "Timeout")


class SimSecret(Neighbour):
    def fetch(self) -> SimTask[str]:
        self.unit.count()
        return SimTask(self.unit, self.world.dice.uniform(0.1, 0.6), self._fetch)

    def _fetch(self) -> str:
        if self.world.timeline.now < self.world.weather.secret_denied:
            raise Refused("secretsmanager:GetSecretValue", "AccessDenied")
        if self.world.api_weather()[1]:
            raise Unavailable("secretsmanager:GetSecretValue", "Timeout")
        return SECRET


class SimRegistry(Neighbour):
    def login(self) -> SimTask[None]:
        self.unit.count()
        return SimTask(self.unit, self.world.dice.uniform(0.1, 0.6), self._login)

    def _login(self) -> None:
        if self.world.api_weather()[1]:
            raise Unavailable("ecr:GetAuthorizationToken", "Timeout")


class SimImages(Neighbour):
    def present(self, reference: str) -> bool:
        self._call("docker image inspect")
        return self.world.image_baked

    def pull(self, reference: str) -> SimTask[None]:
        self.unit.count()
        return SimTask(self.unit, self.world.dice.uniform(10, 60), lambda: None)

    def baked(self) -> str | None:
        self._call("docker image inspect")
        return None

    def _call(self, name: str) -> None:
        self.unit.count()
        if not self.machine.docker_up:
            raise Unavailable(name, "exit 1")


class SimCompose(Neighbour):
    def up(self) -> SimTask[None]:
        self.unit.count()
        quick = self.machine.container.state == "running"
        return SimTask(self.unit, 1.0 if quick else self.world.dice.uniform(2, 12), self._up)

    def _up(self) -> None:
        if not self.machine.docker_up:
            raise Unavailable("docker compose up", "exit 1")
        for line in self.machine.files.get("environment", "").splitlines():
            if line.startswith("AWS_LIFECYCLE_HOOK_NAME="):
                self.machine.worker_hook = line.partition("=")[2].strip("'\"")
        self.machine.compose_up()

    def terminate(self, service: str) -> None:
        self.unit.count()
        machine, takes = self.machine, self.world.dice.uniform(0.03, 0.3)
        self.unit.spend(takes / 2)
        self._reachable()
        if (
            service == WORKER and machine.container.state != "exited"
        ):  # docker kill: one that waits for its next life does not get it
            machine.container.stopped_by_hand = True
            if machine.container.state == "running":
                self.world.signalled(machine)
                machine.signal_worker(machine.stop_reason())
        self.unit.count_effect()
        self.unit.spend(takes / 2)

    def stop(self, services: Collection[str], grace: float) -> SimTask[None]:
        self.unit.count()
        delivery = self.world.dice.uniform(0.1, 0.8)
        if WORKER not in services:
            return SimTask(self.unit, delivery + 0.5, self._reachable)
        return WorkerStop(self.unit, delivery, grace)

    def _reachable(self) -> None:
        if not self.machine.docker_up:
            raise Unavailable("docker compose stop", "exit 1")

    def services(self) -> Mapping[str, Service]:
        self.unit.count()
        machine = self.machine
        if not machine.docker_up:
            raise Unavailable("docker compose ps", "exit 1")
        if not machine.containers_exist:
            return {}
        worker = Service(machine.container.state, machine.container.exit_code)
        return {WORKER: worker, API: Service("running", health="healthy"), DEPLOY_SERVER: Service("running")}


class WorkerStop(SimTask[None]):
    """``docker compose stop worker``: over when the container has ended. A killed client takes a signal already sent not back."""

    def __init__(self, unit: Unit, delivery: float, grace: float) -> None:
        self._unit = unit
        self._grace = grace
        super().__init__(unit, delivery, self._begin)

    def _begin(self) -> None:
        machine = self._unit.machine
        if not machine.docker_up:
            raise Unavailable("docker compose stop", "exit 1")
        if machine.container.state == "running":
            machine.world.signalled(machine)
            machine.stop_container(machine.stop_reason(), self._grace)
        elif machine.container.state == "restarting":
            machine.container.stopped_by_hand = True

    def _happen(self) -> None:
        super()._happen()
        if self._error is None and not self._cancelled and self._unit.machine.container.state == "running":
            self._over = False
            self._look(self._unit.machine.container.life)

    def _look(self, life: int) -> None:
        machine = self._unit.machine
        if not machine.docker_up:
            self.end(Unavailable("docker compose stop", "exit 1"))
        elif machine.container.life != life or machine.container.state != "running":
            machine.world.timeline.after(0.1, self.end)
        elif not self._over:
            machine.world.timeline.after(0.2, self._look, life)


class SimWorker(Neighbour):
    def status(self) -> WorkerStatus:
        self.unit.count()
        machine, worker = self.machine, self.machine.worker
        if worker is None:
            raise Unavailable("worker:status", "refused")
        if self.world.timeline.now < machine.worker_hangs_until:
            self.unit.spend(2.0)
            raise Unavailable("worker:status", "Timeout")
        mode = self.world.habits.mode
        status = WorkerStatus(
            machine.id, machine.id, worker.active_jobs, not worker.shutting_down, worker.is_draining, mode
        )
        if machine.target == "Terminated" and worker.job is None and self.world.seen_idle(machine):
            self.unit.spend(0.02)  # the answer is on its way, and not true any more
        return status

    def drain(self) -> None:
        self.unit.count()
        worker = self.machine.worker
        if worker is None or self.world.timeline.now < self.machine.worker_hangs_until:
            raise Unavailable("worker:drain", "refused")
        self.unit.spend(0.01)
        if worker is not self.machine.worker:
            raise Unavailable("worker:drain", "refused")
        worker.drain(self.world.timeline.now)
        self.machine.worker_acted()
        self.unit.count_effect()


class SimFiles(Neighbour):
    def write(self, name: FileName, text: str) -> bool:
        self.unit.count()
        if self.world.timeline.now < self.machine.disk_full_until:
            raise Unavailable(f"write {name}", "ENOSPC")
        changed = self.machine.files.get(name) != text
        self.machine.files[name] = text
        self.unit.count_effect()
        return changed


class SimRecords(Neighbour):
    def boot(self) -> BootRecord | None:
        self.unit.count()
        return self.machine.boot_record

    def write_boot(self, record: BootRecord) -> None:
        self._write()
        self.machine.boot_record = record
        self.unit.count_effect()

    def flags(self) -> Mapping[Flag, float]:
        self.unit.count()
        return dict(self.machine.marks)

    def set_flag(self, mark: Flag, moment: float) -> None:
        self._write()
        self.machine.marks.setdefault(mark, moment)
        self.machine.note_ability()
        self.unit.count_effect()

    def clear_flag(self, mark: Flag) -> None:
        self._write()
        self.machine.marks.pop(mark, None)
        self.machine.note_ability()
        self.unit.count_effect()

    def _write(self) -> None:
        self.unit.count()
        if self.world.timeline.now < self.machine.disk_full_until:
            raise Unavailable("write records", "ENOSPC")


class SimLogs(Neighbour):
    def flush(self) -> SimTask[None]:
        self.unit.count()
        return SimTask(self.unit, self.world.dice.uniform(0.05, 0.3), lambda: None)


class SimJournal(Neighbour):
    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        if self.world.on_step:
            self.world.tell(
                self.machine, f"{self.unit.name}: {event}", *(f"{key}={value}" for key, value in fields.items())
            )


class SimSupervisor(Neighbour):
    def ready(self) -> None:
        pass

    def alive(self) -> None:
        pass

    def status(self, text: str) -> None:
        pass


def ports(machine: AgentMachine, unit: Unit) -> Ports:
    """All neighbours of a unit's procedure."""
    return Ports(
        clock=SimClock(machine, unit),
        metadata=SimMetadata(machine, unit),
        group=SimGroup(machine, unit),
        secret=SimSecret(machine, unit),
        registry=SimRegistry(machine, unit),
        images=SimImages(machine, unit),
        compose=SimCompose(machine, unit),
        worker=SimWorker(machine, unit),
        files=SimFiles(machine, unit),
        records=SimRecords(machine, unit),
        logs=SimLogs(machine, unit),
        journal=SimJournal(machine, unit),
        supervisor=SimSupervisor(machine, unit),
    )
