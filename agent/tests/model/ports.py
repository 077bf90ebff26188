"""The agent's ports on a modelled host: what its metadata service, group, Docker, worker and files do and answer.

What a call does is here. How long it takes, whether it fails or the agent is killed in it, the `Caller` decides.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from ghosthands_agent.ports import (
    API,
    DEPLOY_SERVER,
    NOT_LISTENING,
    SERVICES,
    WORKER,
    BootRecord,
    Control,
    FileName,
    Flag,
    GroupState,
    Instance,
    Level,
    PortError,
    Ports,
    Replacement,
    Result,
    Scalar,
    Service,
    Unavailable,
    WorkerStatus,
)
from ghosthands_agent.wishes import WISH_TAG
from ghosthands_agent.worker import _status as parse_status

from model.host import Container, Host
from model.timeline import Timeline

T = TypeVar("T")
PollForEnd = Callable[[], bool]

#: Names of calls that return at once, as a caller sees them.
CallName = Literal[
    "instance",
    "target_state",
    "spot_action",
    "wish",
    "heartbeat",
    "complete",
    "protect",
    "report_unhealthy",
    "group_state",
    "launches",
    "restarts",
    "full_disk",
    "setup_errors",
    "present",
    "baked",
    "terminate",
    "services",
    "status",
    "drain",
    "write",
    "read",
    "remove",
    "boot_record",
    "write_boot",
    "flags",
    "set_flag",
    "clear_flag",
    "control",
    "write_control",
    "host_wish",
    "write_wish",
]
TaskName = Literal["secret", "login", "pull", "up", "stop", "stop worker", "flush", "answer"]


class SimulatedTask(Generic[T]):
    """A task that takes effect after some seconds, unless it is cancelled before.

    Args:
        seconds: when `effect` happens.
        is_over: polled from then on; the task is done when this returns true. May raise PortError.
    """

    def __init__(
        self, timeline: Timeline, seconds: float, effect: Callable[[], T], is_over: PollForEnd | None = None
    ) -> None:
        self._timeline = timeline
        self._effect = effect
        self._is_over = is_over
        self._done = self._cancelled = False
        self._value: T | None = None
        self._error: PortError | None = None
        timeline.after(seconds, self._happen)

    def done(self) -> bool:
        return self._done

    def result(self) -> T:
        if not self._done:
            raise AssertionError("a procedure asked for the result of a task that is not done")
        if self._error:
            raise self._error
        return self._value  # type: ignore[return-value]  # None is T then

    def cancel(self) -> None:
        if not self._done:
            self._cancelled = True
            self._end(Unavailable("task", "cancelled"))

    def _happen(self) -> None:
        if self._cancelled:
            return
        try:
            self._value = self._effect()
        except PortError as error:
            self._end(error)
            return
        if self._is_over is None or self._is_over():
            self._end()
        else:
            self._timeline.after(0.2, self._poll, self._is_over)

    def _poll(self, is_over: PollForEnd) -> None:
        try:
            over = is_over()
        except PortError as error:
            self._end(error)
            return
        if over:
            self._timeline.after(0.1, self._end)
        elif not self._done:
            self._timeline.after(0.2, self._poll, is_over)

    def _end(self, error: PortError | None = None) -> None:
        if not self._done:
            self._done, self._error = True, error


class Caller(Protocol):
    """The agent's process, which makes the calls."""

    def monotonic(self) -> float:
        """Seconds since the system began to boot."""

    def wall(self) -> float:
        """Seconds since 1970; may jump."""

    def call(self, name: CallName, effect: Callable[[], T]) -> T:
        """Make a call that returns at once."""

    def begin(self, name: TaskName, effect: Callable[[], T], is_over: PollForEnd | None = None) -> SimulatedTask[T]:
        """Begin a task."""

    def log_step(self, event: str, fields: Mapping[str, Scalar]) -> None:
        """Write a line to the journal."""


class GroupApi(Protocol):
    """What the Auto Scaling API does for an instance. Raises Refused."""

    def heartbeat(self, host: Any, hook: str) -> None:
        """RecordLifecycleActionHeartbeat."""

    def complete(self, host: Any, hook: str, result: Result) -> None:
        """CompleteLifecycleAction."""

    def completion_answered(self, host: Any, hook: str) -> None:
        """The agent has received the answer that it has completed the hook."""

    def protect(self, host: Any, protected: bool) -> None:
        """SetInstanceProtection."""

    def report_unhealthy(self, host: Any) -> None:
        """SetInstanceHealth."""

    def group_state(self, host: Any) -> GroupState:
        """DescribeAutoScalingGroups."""

    def launches(self, since: float) -> list[float]:
        """DescribeScalingActivities, launches only."""


class Port:
    """What all ports share."""

    def __init__(self, host: Host, caller: Caller) -> None:
        self.host = host
        self.caller = caller


class SimulatedMetadata(Port):
    def __init__(self, host: Host, caller: Caller, public_ip: str | None) -> None:
        super().__init__(host, caller)
        self._public_ip = public_ip

    def instance(self) -> Instance:
        return self.caller.call("instance", lambda: Instance(self.host.id, "10.0.0.5", self._public_ip))

    def target_state(self) -> str | None:
        return self.caller.call("target_state", lambda: self.host.target)

    def spot_action(self) -> str | None:
        return self.caller.call("spot_action", lambda: self.host.spot_action)

    def wish(self) -> str | None:
        return self.caller.call("wish", lambda: self.host.tags.get(WISH_TAG))


class SimulatedGroup(Port):
    def __init__(self, host: Host, caller: Caller, api: GroupApi) -> None:
        super().__init__(host, caller)
        self._api = api

    def heartbeat(self, hook: str) -> None:
        self.caller.call("heartbeat", lambda: self._api.heartbeat(self.host, hook))

    def complete(self, hook: str, result: Result) -> None:
        self.caller.call("complete", lambda: self._api.complete(self.host, hook, result))
        self._api.completion_answered(self.host, hook)

    def protect(self, protected: bool) -> None:
        self.caller.call("protect", lambda: self._api.protect(self.host, protected))

    def report_unhealthy(self) -> None:
        self.caller.call("report_unhealthy", lambda: self._api.report_unhealthy(self.host))

    def state(self) -> GroupState:
        return self.caller.call("group_state", lambda: self._api.group_state(self.host))

    def launches(self, since: float) -> list[float]:
        return self.caller.call("launches", lambda: self._api.launches(since))


class SimulatedAnswers(Port):
    def write(self, text: str) -> SimulatedTask[None]:
        return self.caller.begin("answer", lambda: self.host.answered(text))


class SimulatedSecret(Port):
    def __init__(self, host: Host, caller: Caller, secret: Callable[[], str]) -> None:
        super().__init__(host, caller)
        self._secret = secret

    def fetch(self) -> SimulatedTask[str]:
        return self.caller.begin("secret", self._secret)


class SimulatedRegistry(Port):
    def login(self) -> SimulatedTask[None]:
        return self.caller.begin("login", lambda: None)


class SimulatedImages(Port):
    def present(self, reference: str) -> bool:
        def is_present() -> bool:
            self._check_docker()
            return reference in self.host.images

        return self.caller.call("present", is_present)

    def pull(self, reference: str) -> SimulatedTask[None]:
        return self.caller.begin("pull", lambda: self.host.keep_image(reference))

    def baked(self) -> str | None:
        def baked_image() -> str | None:
            self._check_docker()
            return self.host.baked_image

        return self.caller.call("baked", baked_image)

    def _check_docker(self) -> None:
        if not self.host.docker_up:
            raise Unavailable("docker image inspect", "exit 1")


class SimulatedCompose(Port):
    def up(self, services: Collection[str] = SERVICES) -> SimulatedTask[None]:
        configuration = self.host.files.get("environment", "") + self.host.files.get("override", "")

        def check() -> None:
            self._check_docker("up")
            if stops != self.host.compose_stops:
                raise Unavailable("docker compose up", "exit 143")

        def up() -> None:
            check()
            for line in self.host.files.get("environment", "").splitlines():
                if line.startswith("AWS_LIFECYCLE_HOOK_NAME="):
                    self.host.worker_hook = line.partition("=")[2].strip("'\"")
            self.host.others_run = self.host.containers_exist = True
            if WORKER in services and self.host.is_recreated_by(configuration):
                self.host.stop_container("recreated", self.host.stop_grace_seconds)

        def is_up() -> bool:
            if WORKER not in services:
                return True
            check()
            if self.host.is_recreated_by(configuration):
                return False  # its stop_grace_period is not over
            self.host.compose_up(configuration)
            return True

        stops = self.host.compose_stops
        return self.caller.begin("up", up, is_up)

    def terminate(self, service: str) -> None:
        host = self.host

        def terminate() -> None:
            if not host.docker_up and (listener := host.listener) is not None and service == WORKER:
                host.before_agent_stops_worker(listener)
                host.signal_worker(host.stop_reason(), listener)
                return
            self._check_docker("stop")
            for container in host.containers if service == WORKER else []:
                if container.state in ("created", "exited"):
                    continue
                container.stopped_by_hand = True  # one that waits to be restarted is not restarted then
                if container.state == "running":
                    host.before_agent_stops_worker(container)
                    host.signal_worker(host.stop_reason(), container)

        self.caller.call("terminate", terminate)

    def stop(self, services: Collection[str], grace: float) -> SimulatedTask[None]:
        host = self.host
        host.compose_stops += 1  # ends an `up` that is under way, also one that a killed agent has left behind

        def stop_others() -> None:
            self._check_docker("stop")
            host.others_run = False

        if WORKER not in services:
            return self.caller.begin("stop", stop_others)
        return self._stop_workers([self._id(container) for container in host.containers], grace, remove=False)

    def remove(self, containers: Collection[str], grace: float) -> SimulatedTask[None]:
        self.host.compose_stops += 1
        return self._stop_workers(containers, grace, remove=True)

    def services(self) -> Mapping[str, Service]:
        return {service: found[0] for service, found in self.containers().items()}

    def restarts(self, service: str) -> int:
        def restarts() -> int:
            self._check_docker("inspect")
            return self.host.container.restarts

        return self.caller.call("restarts", restarts)

    def containers(self) -> Mapping[str, Sequence[Service]]:
        host = self.host

        def containers() -> Mapping[str, Sequence[Service]]:
            self._check_docker("ps")
            workers = [self._service(each) for each in host.containers if each.raw or host.containers_exist]
            workers = [each for each in workers if each.state != "created"] or workers[:1]
            if not host.containers_exist:
                return {WORKER: workers} if workers else {}
            others = "running" if host.others_run else "exited"
            return {
                WORKER: sorted(workers, key=lambda each: (not each.listens, not each.runs, each.down)),
                API: [Service(others, health="healthy" if host.others_run else "")],
                DEPLOY_SERVER: [Service(others)],
            }

        return self.caller.call("services", containers)

    def _stop_workers(self, ids: Collection[str], grace: float, *, remove: bool) -> SimulatedTask[None]:
        host = self.host
        stopped: list[tuple[Container, int]] = []

        def stop() -> None:
            self._check_docker("stop")
            for container in [each for each in host.containers if self._id(each) in ids]:
                if container.state == "running":
                    host.before_agent_stops_worker(container)
                    host.stop_container(host.stop_reason(), grace, container)
                elif container.state == "restarting":
                    container.stopped_by_hand, container.state = True, "exited"
                stopped.append((container, container.life))

        def is_stopped() -> bool:
            self._check_docker("stop")
            if any(container.life == life and container.state == "running" for container, life in stopped):
                return False
            if remove:
                host.remove_containers([container for container, _ in stopped])
            return True

        return self.caller.begin("stop worker", stop, is_stopped)

    def _service(self, container: Container) -> Service:
        return Service(
            container.state,
            container.exit_code,
            exited_ago=self._exited_ago(container),
            container=self._id(container),
            name=self._id(container),
            foreign=container.raw,
            listens=container is self.host.listener,
        )

    def _exited_ago(self, container: Container) -> float | None:
        """As docker shows it: in whole seconds or minutes."""
        if container.state != "exited" or container.exited_at == -math.inf:
            return None
        seconds = max(0.0, self.host.wall - container.exited_at)
        return None if seconds > 3600 else seconds // 1 if seconds < 60 else seconds // 60 * 60

    def _id(self, container: Container) -> str:
        return "raw" if container.raw else "compose"

    def _check_docker(self, command: str) -> None:
        if not self.host.docker_up:
            raise Unavailable(f"docker compose {command}", "exit 1")


class SimulatedWorker(Port):
    def __init__(self, host: Host, caller: Caller) -> None:
        super().__init__(host, caller)
        self._parsed: dict[object, dict[str, Any]] = {}  # parsing takes longer than everything else

    def status(self) -> WorkerStatus:
        return self.caller.call("status", self._status)

    def _status(self) -> WorkerStatus:
        worker = self.host.worker
        if worker is None or self.host.now < self.host.worker_hangs_until:
            raise Unavailable("worker:status", NOT_LISTENING if worker is None else "Timeout")
        key = worker.status_key()
        if (fields := self._parsed.get(key)) is None:
            status = parse_status(json.dumps(worker.status(self.host.id)))
            fields = self._parsed[key] = {name: getattr(status, name) for name in status.__dataclass_fields__}
        return WorkerStatus(**{**fields, "uptime": self.host.wall - worker.wall_began})

    def drain(self) -> None:
        worker = self.host.worker

        def drain() -> None:
            listener = self.host.listener
            if worker is None or listener is None or worker is not listener.worker:
                raise Unavailable("worker:drain", NOT_LISTENING)
            worker.drain(self.host.now)
            self.host.worker_acted(listener)

        self.caller.call("drain", drain)


class SimulatedFiles(Port):
    def write(self, name: FileName, text: str) -> bool:
        return self._write(name, text)

    def read(self, name: FileName) -> str | None:
        return self.caller.call("read", lambda: self.host.files.get(name))

    def remove(self, name: FileName) -> None:
        self.caller.call("remove", lambda: self.host.files.pop(name, None))

    def install_guard(self) -> bool:
        return self._write("guard", "the worker's guard")

    def _write(self, name: str, text: str) -> bool:
        def write() -> bool:
            if self.host.now < self.host.disk_full_until:
                raise Unavailable(f"write {name}", "ENOSPC")
            changed = self.host.files.get(name) != text
            self.host.files[name] = text
            return changed

        return self.caller.call("write", write)


class SimulatedRecords(Port):
    def boot(self) -> BootRecord | None:
        return self.caller.call("boot_record", lambda: self.host.boot_record)

    def write_boot(self, record: BootRecord) -> None:
        def write() -> None:
            self._check_disk()
            self.host.boot_record = record

        self.caller.call("write_boot", write)

    def flags(self) -> Mapping[Flag, float]:
        return self.caller.call("flags", lambda: dict(self.host.flags))

    def set_flag(self, flag: Flag, moment: float) -> None:
        def set_flag() -> None:
            self._check_disk()
            self.host.flags.setdefault(flag, moment)
            self.host.flags_changed()

        self.caller.call("set_flag", set_flag)

    def clear_flag(self, flag: Flag) -> None:
        def clear_flag() -> None:
            self._check_disk()
            self.host.flags.pop(flag, None)
            self.host.flags_changed()

        self.caller.call("clear_flag", clear_flag)

    def control(self) -> Control:
        return self.caller.call("control", lambda: self.host.control)

    def write_control(self, control: Control) -> None:
        def write() -> None:
            self._check_disk()
            self.host.control = control
            self.host.control_changed()

        self.caller.call("write_control", write)

    def wish(self) -> str | None:
        return self.caller.call("host_wish", lambda: self.host.wish)

    def write_wish(self, text: str) -> None:
        def write() -> None:
            self.host.wish = text
            self.host.control_changed()

        self.caller.call("write_wish", write)

    def replacement(self) -> Replacement | None:
        return self.host.replacement

    def write_replacement(self, replacement: Replacement | None) -> None:
        self.host.replacement = replacement

    def _check_disk(self) -> None:
        if self.host.now < self.host.disk_full_until:
            raise Unavailable("write records", "ENOSPC")


class SimulatedSystem(Port):
    def full_disk(self) -> str | None:
        def full_disk() -> str | None:
            return "/opt/ghosthands" if self.host.now < self.host.disk_full_until else None

        return self.caller.call("full_disk", full_disk)

    def setup_errors(self) -> list[str]:
        return self.caller.call("setup_errors", lambda: list(self.host.setup_errors))


class SimulatedLogs(Port):
    def flush(self) -> SimulatedTask[None]:
        return self.caller.begin("flush", lambda: None)


class SimulatedJournal(Port):
    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        self.caller.log_step(event, fields)


class SimulatedSupervisor:
    def ready(self) -> None: ...

    def alive(self) -> None: ...

    def status(self, text: str) -> None: ...


def simulated_ports(
    host: Host, caller: Caller, api: GroupApi, *, secret: Callable[[], str], public_ip: str | None = None
) -> Ports:
    """All ports of an agent's process on this host."""
    return Ports(
        clock=caller,
        metadata=SimulatedMetadata(host, caller, public_ip),
        group=SimulatedGroup(host, caller, api),
        answers=SimulatedAnswers(host, caller),
        secret=SimulatedSecret(host, caller, secret),
        registry=SimulatedRegistry(host, caller),
        images=SimulatedImages(host, caller),
        compose=SimulatedCompose(host, caller),
        worker=SimulatedWorker(host, caller),
        files=SimulatedFiles(host, caller),
        records=SimulatedRecords(host, caller),
        system=SimulatedSystem(host, caller),
        logs=SimulatedLogs(host, caller),
        journal=SimulatedJournal(host, caller),
        supervisor=SimulatedSupervisor(),
        random=random.Random(host.id).random,
    )
