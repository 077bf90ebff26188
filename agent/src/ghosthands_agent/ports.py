"""The ports that the procedures act through: one protocol for each, the values that they return, and two errors.

Every call returns within the time that its protocol states; what may take longer is started and returns a `Task`. A
call works, raises `Unavailable` (it failed and may work later; it may or may not have taken effect), or raises
`Refused` (the other side denied it). An adapter raises nothing else. Adapters clean nothing up at exit, so an agent may
be killed in any call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Yields pauses in seconds and returns a result. The caller sleeps, and may drop the generator at any moment.
Procedure: TypeAlias = Generator[float, None, T]

Scalar: TypeAlias = str | int | float | bool | None

#: Values of autoscaling/target-lifecycle-state that procedures act on.
IN_SERVICE, STANDBY, TERMINATED = "InService", "Standby", "Terminated"
#: The instance is to terminate: out of the group, or out of its warm pool.
FINAL_TARGETS = frozenset({TERMINATED, "Warmed:Terminated"})
#: Where a worker may be started. None: the instance is in no group. In all others it waits: a warm pool's states, the
#: replacement of the root volume, a detached instance (Auto Scaling User Guide, "Retrieve the target lifecycle state
#: through instance metadata", "Use lifecycle hooks with a warm pool", "Replace root volumes during instance refresh").
SERVING_TARGETS = frozenset({IN_SERVICE, STANDBY, None})


def ends_this_system(target: str | None) -> bool:
    """Whether an instance that serves loses its system, though it does not terminate.

    It goes back to a warm pool (stopped, hibernated, or running for nobody), or its root volume is replaced.
    """
    return target is not None and (target.startswith("Warmed:") or "RootVolume" in target)


#: Refused.code where AWS answers ValidationError "No active Lifecycle Action found ...".
NO_ACTIVE_ACTION = "NoActiveLifecycleAction"

#: Unavailable.code where the call was not made: the metadata service has no credentials of a role, or not yet.
NO_CREDENTIALS = "NoCredentials"

#: Unavailable.code where nothing listens on the worker's port.
NOT_LISTENING = "ConnectionRefusedError"

#: boot's phase in which it waits for a target state of SERVING_TARGETS; the ones before it are empty and `facts`.
WAITING_PHASE = "service"

Result = Literal["CONTINUE", "ABANDON"]
Level = Literal["info", "warning", "error"]


class PortError(Exception):
    """A call that failed. It carries no response body, no secret, no value of the `.env`.

    Attributes:
        call: what was called: `autoscaling:CompleteLifecycleAction`, `imds:instance-id`, `docker pull`.
        code: the failure in one word: `Throttling`, `Timeout`, `AccessDenied`, `exit 1`.
        output: the last lines that a command wrote, with secrets masked; else empty. Not part of the text.
    """

    def __init__(self, call: str, code: str, output: str = "") -> None:
        super().__init__(f"{call}: {code}")
        self.call = call
        self.code = code
        self.output = output


class Unavailable(PortError):
    """It failed and may work later.

    Time-outs, throttling, 5xx, connection refused, docker not running, disk full, an answer in an unexpected form.
    """


class Refused(PortError):
    """The other side denied it, and will again unless something changes.

    4xx, AccessDenied, ValidationError, no such secret, no such image.
    """


class Task(Protocol[T_co]):
    """Something started that may take long; `concurrent.futures.Future` has the same methods.

    Starting it raises nothing, and its methods do not block.
    """

    def done(self) -> bool:
        """Whether it has finished, successfully or not."""

    def result(self) -> T_co:
        """Its result; only once it is done. Raises Unavailable, Refused."""

    def cancel(self) -> object:
        """Cancel it as far as possible: a command's process group is killed. What it did so far stays.

        Has no effect when it is done.
        """


class Clock(Protocol):
    """Time. `monotonic` never jumps and is the same after a restart of the agent. `wall` may jump: for records only."""

    def monotonic(self) -> float:
        """Seconds since the system started (CLOCK_BOOTTIME)."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""


@dataclass(frozen=True)
class Instance:
    """This instance, from the metadata service. The adapter validates the values (i-..., IPv4)."""

    id: str
    local_ip: str
    public_ip: str | None


class Metadata(Protocol):
    """The instance metadata service, IMDSv2 only. Each call: at most 2 s, with one retry.

    Raises Unavailable, also for 4xx other than 404.
    """

    def instance(self) -> Instance:
        """instance-id, local-ipv4, public-ipv4 (404: None)."""

    def target_state(self) -> str | None:
        """autoscaling/target-lifecycle-state: `InService`, `Standby`, `Detached`, `Terminated`, `Warmed:...`, ...

        None: 404, the instance is not (yet) in a group.
        """

    def spot_action(self) -> str | None:
        """spot/instance-action's `action`: `terminate`, `stop`, `hibernate`. None: 404, no notice."""

    def wish(self) -> str | None:
        """The value of the instance's tag `ghosthands:want`. None: 404, no such tag, or no tags in the metadata."""


@dataclass(frozen=True)
class Member:
    """An instance of the group.

    Attributes:
        state: its lifecycle state: `Pending:Wait`, `InService`, `Terminating:Retained`, ...
        healthy: whether its health status is Healthy.
        template: the launch template and version that it was launched with; empty: not known.
    """

    id: str
    state: str
    healthy: bool
    template: str


@dataclass(frozen=True)
class GroupState:
    """The group, as last described.

    Attributes:
        template: the launch template and version that it launches with; empty where it names none by number.
        members: its instances, ordered by id; also those that terminate or are retained.
    """

    desired: int
    template: str
    members: Sequence[Member]


class Group(Protocol):
    """The Auto Scaling group of this instance. Each call: at most 5 s, without a retry.

    The instance's role, which playbooks/iam.yml writes, allows these calls. The adapter knows the instance id and the
    group's name. Raises Unavailable, Refused (`NO_ACTIVE_ACTION`, `ValidationError`,
    `AccessDenied`, ...).
    """

    def heartbeat(self, hook: str) -> None:
        """RecordLifecycleActionHeartbeat for this instance."""

    def complete(self, hook: str, result: Result) -> None:
        """CompleteLifecycleAction for this instance."""

    def protect(self, protected: bool) -> None:
        """SetInstanceProtection. AWS refuses it (ValidationError) unless the instance is InService or in Standby."""

    def report_unhealthy(self) -> None:
        """SetInstanceHealth Unhealthy with ShouldRespectGracePeriod=False."""

    def state(self) -> GroupState:
        """DescribeAutoScalingGroups. Refused (`NotFound`) if there is no such group."""

    def launches(self, since: float) -> Sequence[float]:
        """DescribeScalingActivities, all pages: when each launch since that moment began, as seconds since 1970.

        Also those that failed. API Reference: activities are sorted by start time, those in progress come first.
        """


class Answers(Protocol):
    """The answer to wishes that operators read: the instance's own tag `ghosthands:did`."""

    def write(self, text: str) -> Task[None]:
        """Start CreateTags (at most 30 s). Tasks are worked off in the order in which they were started."""


class Secret(Protocol):
    """The worker's secret."""

    def fetch(self) -> Task[str]:
        """Start GetSecretValue (at most 30 s).

        The task raises Refused if it is denied, missing or has no SecretString.
        """


class Registry(Protocol):
    """Docker's registry logins: a directory with config.json."""

    def login(self) -> Task[None]:
        """Start writing a fresh login for the image's registry (at most 30 s). Only ECR needs one."""


class Images(Protocol):
    """Docker's images.

    Calls other than tasks: at most 5 s. Raises Unavailable (docker is down), Refused (no such image).
    """

    def present(self, reference: str) -> bool:
        """Whether docker has exactly this reference."""

    def pull(self, reference: str) -> Task[None]:
        """Start a pull."""

    def baked(self) -> str | None:
        """The reference that was baked into the machine image, if docker still has it; None: nothing was baked."""


@dataclass(frozen=True)
class Service:
    """A container that runs a service.

    Attributes:
        state: as docker reports it: `created`, `running`, `restarting`, `paused`, `removing`, `exited`, `dead`.
        exit_code: of its last process; meaningless while one runs.
        exited_ago: seconds since that process ended, at least, by the system's wall clock; None: not known.
        health: `healthy`, `unhealthy`, `starting`; empty without a health check.
        container: its id.
        name: its name, for operators.
        foreign: whether compose did not start it: deploy-server, Kamal or a person did.
        listens: whether its process listens on the worker's port. False also where that cannot be read.
    """

    state: str
    exit_code: int = 0
    exited_ago: float | None = None
    health: str = ""
    container: str = ""
    name: str = ""
    foreign: bool = False
    listens: bool = False

    @property
    def runs(self) -> bool:
        """Whether it has a process. While `restarting` it has none: docker waits before it starts the next one."""
        return self.state in ("running", "paused", "removing")

    @property
    def down(self) -> bool:
        """Whether it has no process and docker will not start one."""
        return self.state in ("created", "exited", "dead")


WORKER, API, DEPLOY_SERVER = SERVICES = "worker", "api", "deploy-server"  # the compose file's services


class Compose(Protocol):
    """`docker compose` on the project (its file, the override, the `.env`), and every container of its services.

    A container belongs to a service if it listens on the worker's port (a worker), by compose's label, by the label
    `gh.service` that deploy-server sets, or by the program that it runs. Calls other than tasks: at most 5 s. Raises
    Unavailable.
    """

    def up(self, services: Collection[str] = SERVICES) -> Task[None]:
        """Start `up --detach --wait` of these services. It changes only what differs.

        A second one waits for the first to finish.
        """

    def terminate(self, service: str) -> None:
        """Send one SIGTERM to the process of each of the service's containers (docker kill), if it has one.

        Docker does not start a process again after it exits, nor one that it was about to start again. If docker is
        unavailable, the worker that listens gets the signal without it; docker may start it again then.
        """

    def stop(self, services: Collection[str], grace: float) -> Task[None]:
        """Start `stop` of all their containers: SIGTERM to each, SIGKILL after `grace` seconds.

        Missing and stopped services are no error. An `up` in progress is killed first, also one that a killed agent
        left behind.
        """

    def remove(self, containers: Collection[str], grace: float) -> Task[None]:
        """Start the same for single containers, by id, and remove them. Missing ones are no error."""

    def services(self) -> Mapping[str, Service]:
        """The container of each service, also an exited one. A service without a container is absent.

        Of several it is the first of `containers`.
        """

    def containers(self) -> Mapping[str, Sequence[Service]]:
        """All containers of each service. For the worker the one that listens on its port comes first.

        Then those with a process, and the one that listened last before others that have exited.
        """

    def restarts(self, service: str) -> int:
        """How often docker has started the process of the service's container again (RestartCount); 0 without one."""


#: Of a job's row: its work is over. `failed` is not among them: VALET also writes it for a job that still runs.
FINAL_STATUSES = frozenset({"completed", "cancelled", "expired", "needs_human"})


@dataclass(frozen=True)
class Guard:
    """What the worker's guard reports of itself, as `drain_guard` in the worker's status.

    Attributes:
        attached: whether it fits the worker's code and everything is in place. Otherwise it changes nothing.
        problems: why not, in sentences.
        job: the id of the job that the worker has.
        job_status: of that job's row, as last read.
    """

    attached: bool
    problems: tuple[str, ...] = ()
    job: str | None = None
    job_status: str | None = None


@dataclass(frozen=True)
class WorkerStatus:
    """`GET /worker/status` (always 200), for the process that runs now.

    Attributes:
        guard: None: the process runs without one.
        uptime: seconds since the process began to answer, by the system's wall clock; None: it does not say.
    """

    worker_id: str
    instance_id: str
    active_jobs: int
    is_running: bool
    is_draining: bool
    dispatch_mode: Literal["queue", "legacy"]
    guard: Guard | None = None
    uptime: float | None = None

    @property
    def busy(self) -> bool:
        return self.active_jobs > 0

    def registered_as(self, instance_id: str) -> bool:
        """Whether it is the worker of this instance."""
        return self.instance_id == self.worker_id == instance_id

    @property
    def guarded(self) -> bool:
        """Whether a guard is attached: "draining and not busy" is then final, and a second SIGTERM returns the job."""
        return self.guard is not None and self.guard.attached

    @property
    def job_is_over(self) -> bool:
        """Whether the job's row says that it is over, as far as a guard has read it."""
        return self.guard is not None and self.guard.attached and self.guard.job_status in FINAL_STATUSES

    @property
    def guard_absence(self) -> str:
        """Why no guard is attached; empty if one is."""
        if self.guarded:
            return ""
        if self.guard is None:
            return "the worker's status has no drain_guard"
        return " ".join(self.guard.problems) or "it names no reason"

    @property
    def job(self) -> str | None:
        """The id of the job inside, where a guard reports it."""
        return self.guard.job if self.guard else None


class Worker(Protocol):
    """The worker's HTTP server on this host. Each call: at most 2 s.

    Raises Unavailable: no answer (`NOT_LISTENING`), none in time, or one in an unexpected form.
    """

    def status(self) -> WorkerStatus:
        """GET /worker/status."""

    def drain(self) -> None:
        """POST /worker/drain: the worker takes no more jobs (legacy). It cannot be undone."""


FileName = Literal["environment", "override", "log_shipper", "next_environment", "previous_environment"]


class Files(Protocol):
    """The files that boot writes, each by a temporary file of its final mode, fsync and rename: old or new, never half.

    `environment`: the project's `.env`, 0600. `override`: docker-compose.override.yml. `log_shipper`: the configuration
    of amazon-cloudwatch-agent. `next_environment`: the `.env` that a renewal or release is about to put in place;
    `previous_environment`: the one before, until a worker has registered with the new one.
    """

    def write(self, name: FileName, text: str) -> bool:
        """Write the file unless it has this text; whether it changed. At most 2 s.

        Raises Unavailable (disk full, read-only).
        """

    def read(self, name: FileName) -> str | None:
        """The file's text; None: there is none. At most 2 s. Raises Unavailable."""

    def remove(self, name: FileName) -> None:
        """Remove the file, if there is one. At most 2 s. Raises Unavailable."""

    def install_guard(self) -> bool:
        """The same for the worker's guard, whose text is part of the agent. Everybody may read it; only root may write
        to its directory, which the worker mounts.
        """


@dataclass(frozen=True)
class BootRecord:
    """/run/ghosthands/boot.json: the progress of this instance's boot. Only boot writes it.

    Attributes:
        state: `running`; `completed`: the worker is registered; `failed`: it is not, boot may be started again;
            `withdrawn`: the instance is to terminate.
        phase: the phase in progress, or the last one.
        reason: why it failed, or what a running boot retries, in names and codes; else empty.
        output: the last lines of the command in `reason`, with secrets masked; else empty.
        tries: how often a running boot has met what `reason` names.
        failures: failed boots in a row so far, this one included.
        failure: why the last of them failed; else empty.
        failing_since: when the first of them failed, as `Clock.monotonic`; 0: none has.
        began: wall time of the start of this attempt.
        phase_began: wall time of the start of `phase`.
        seconds: how long each finished phase took.
        image: the image that was started, by digest or tag; empty until known.
        guard: `attached`, `off`, or `absent: <reason>`, of the worker that was started; empty until known.
    """

    state: Literal["running", "completed", "failed", "withdrawn"]
    phase: str
    reason: str
    failures: int
    began: float
    seconds: Mapping[str, float]
    image: str = ""
    guard: str = ""
    output: str = ""
    tries: int = 0
    failure: str = ""
    failing_since: float = 0.0
    phase_began: float = 0.0


@dataclass(frozen=True)
class Replacement:
    """/run/ghosthands/replacement.json: that this instance should be replaced. Only watch writes it.

    Attributes:
        reason: why.
        status: whether it has asked for that, or what it waits for.
        until: wall time before which it does not ask; 0: that is not known.
        asked: wall time at which it asked; 0: it has not.
    """

    reason: str
    status: str = ""
    until: float = 0.0
    asked: float = 0.0


Phase = Literal["", "prepare", "switch", "start", "back"]


@dataclass(frozen=True)
class Control:
    """/var/lib/ghosthands/control.json: what operators want of this instance, and how far it came. watch writes it.

    Unlike the other records it survives a boot of the system, and is void on another instance.

    Attributes:
        instance: the id of the instance that it is about.
        held: whether the worker is to take no jobs.
        restart: whether the worker that runs has been drained for a wish, so that it needs a successor.
        image: the worker image that was released to this instance; empty: agent.conf's. See `image_instead_of`.
        template_image: agent.conf's image at that time. Another one there means that the template has moved on.
        previous_image: `image` before the release that is under way.
        unverified: whether no worker has registered with this `.env` yet, and `previous_environment` is the last one
            with which one had.
        wish: the one under way, as it was written; empty: none.
        phase: how far that is. `prepare`: nothing is changed yet; `switch`: the worker is drained and stopped; `start`:
            the next one is started; `back`: the next one could not, so the `.env` before is put back.
        reason: why it goes back.
        answer: to the last wish, as in the tag.
        handled: ids of wishes that were begun, the last one last.
    """

    instance: str = ""
    held: bool = False
    restart: bool = False
    image: str = ""
    template_image: str = ""
    previous_image: str = ""
    unverified: bool = False
    wish: str = ""
    phase: Phase = ""
    reason: str = ""
    answer: str = ""
    handled: tuple[str, ...] = ()

    def image_instead_of(self, image: str) -> str:
        """The image to run where agent.conf names this one."""
        return self.image if self.image and self.template_image == image else image


Flag = Literal["terminated", "spot", "requested", "stopping", "guarded", "unclean"]


class Records(Protocol):
    """State that survives a restart of the agent, but not a boot of the system. Each call: at most 1 s.

    A flag is a time of `Clock.monotonic`: when the target state Terminated, a spot notice or an operator's request was
    first seen (`terminated`, `spot`, `requested`), when the worker's process was first signalled (`stopping`), if it
    had a guard then (`guarded`), and when a drain cut off a job (`unclean`). All flags are in one file; two processes
    may set flags at once and lose none. Raises Unavailable.
    """

    def boot(self) -> BootRecord | None:
        """The boot record; None if there is none or it is not valid."""

    def write_boot(self, record: BootRecord) -> None:
        """Replace the boot record."""

    def flags(self) -> Mapping[Flag, float]:
        """The flags that are set."""

    def set_flag(self, flag: Flag, moment: float) -> None:
        """Set a flag, unless it is set: the first time stays."""

    def clear_flag(self, flag: Flag) -> None:
        """Remove a flag, if it is set."""

    def replacement(self) -> Replacement | None:
        """The record of that name; None if there is none or it is not valid."""

    def write_replacement(self, replacement: Replacement | None) -> None:
        """Replace it; None removes it."""

    def control(self) -> Control:
        """The record of that name; an empty one if there is none or it is not valid."""

    def write_control(self, control: Control) -> None:
        """Replace it."""

    def wish(self) -> str | None:
        """The wish that was left on this host last, in this boot of the system."""

    def write_wish(self, text: str) -> None:
        """Replace it."""


class System(Protocol):
    """The system's disks and how its start went. Each call: at most 1 s. Raises Unavailable."""

    def full_disk(self) -> str | None:
        """The directory, of those that the agent and docker write to, whose file system is full; None: none is."""

    def setup_errors(self) -> Sequence[str]:
        """cloud-init's errors in this boot of the system, those that it recovered from left out."""


class Logs(Protocol):
    """The log shipper."""

    def flush(self) -> Task[None]:
        """Start sending what is still buffered; at most 2 s. Procedures wait briefly and ignore a failure."""


class Journal(Protocol):
    """One structured line per step. Never raises, never blocks."""

    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        """`event=... key=value`. No field may hold a secret."""


class Supervisor(Protocol):
    """systemd's notification socket, if there is one. Never raises, never blocks."""

    def ready(self) -> None:
        """READY=1."""

    def alive(self) -> None:
        """WATCHDOG=1."""

    def status(self, text: str) -> None:
        """STATUS=text."""


@dataclass(frozen=True)
class Ports:
    """All ports of a procedure. `random` gives a number from 0 to 1."""

    clock: Clock
    metadata: Metadata
    group: Group
    answers: Answers
    secret: Secret
    registry: Registry
    images: Images
    compose: Compose
    worker: Worker
    files: Files
    records: Records
    system: System
    logs: Logs
    journal: Journal
    supervisor: Supervisor
    random: Callable[[], float]
