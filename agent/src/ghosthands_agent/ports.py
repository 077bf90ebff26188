"""What the procedures may do to the world: one small protocol per neighbour, values for what they answer, and two errors.

Every call returns within the bound that its protocol states; what may take longer is begun and comes back as a `Task`. A call either works, raises
`Unavailable` (it did not work, it may later; whether it took effect is not known) or raises `Refused` (the other side said no). Nothing else leaves an adapter.
An agent that is killed inside a call leaves the world as the call left it: adapters clean nothing up at exit.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: A procedure: yields pauses in seconds, returns what came of it. Whoever runs it sleeps, and may drop it at any moment.
Procedure: TypeAlias = Generator[float, None, T]

Scalar: TypeAlias = str | int | float | bool | None

IN_SERVICE, TERMINATED = (
    "InService",
    "Terminated",
)  # targets of autoscaling/target-lifecycle-state that procedures act on

NO_ACTIVE_ACTION = (
    "NoActiveLifecycleAction"  # Refused.code where AWS says ValidationError "No active Lifecycle Action found ..."
)

Result = Literal["CONTINUE", "ABANDON"]
Level = Literal["info", "warning", "error"]


class PortError(Exception):
    """A call that did not do what it should. Carries names and codes only: no response body, no secret, no value of the `.env`.

    Attributes:
        call: what was called, such as `autoscaling:CompleteLifecycleAction`, `imds:instance-id`, `docker pull`.
        code: what came of it in one word, such as `Throttling`, `Timeout`, `AccessDenied`, `exit 1`.
    """

    def __init__(self, call: str, code: str) -> None:
        super().__init__(f"{call}: {code}")
        self.call = call
        self.code = code


class Unavailable(PortError):
    """It did not work and may work later: time-outs, throttling, 5xx, connection refused, docker not up, disk full, an answer of the wrong shape."""


class Refused(PortError):
    """The other side said no, and will again unless something changes: 4xx, AccessDenied, ValidationError, no such secret, no such image."""


class Task(Protocol[T_co]):
    """Something begun that takes its time (a `concurrent.futures.Future` has this shape). Beginning it raises nothing, its calls do not block."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""

    def result(self) -> T_co:
        """What it came to; only once it is done. Raises Unavailable, Refused."""

    def cancel(self) -> object:
        """End it, as far as it can be ended (a command's whole process group is killed); what it did so far stays. Safe when it is done."""


class Clock(Protocol):
    """Time. `monotonic` goes on over restarts of the agent within one boot of the system; never jumps. `wall` may jump: for records only."""

    def monotonic(self) -> float:
        """Seconds since some moment of this boot (CLOCK_BOOTTIME)."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""


@dataclass(frozen=True)
class Instance:
    """What the metadata service says about this instance. Shapes are checked by the adapter (i-..., IPv4)."""

    id: str
    local_ip: str
    public_ip: str | None


class Metadata(Protocol):
    """The instance metadata service, IMDSv2 only. Each call: 2 s at most, with one retry inside. Raises Unavailable (4xx but 404 as well)."""

    def instance(self) -> Instance:
        """instance-id, local-ipv4, public-ipv4 (404: None)."""

    def target_state(self) -> str | None:
        """autoscaling/target-lifecycle-state: `InService`, `Standby`, `Detached`, `Terminated`, `Warmed:...`. None: 404, not (yet) in a group."""

    def spot_action(self) -> str | None:
        """spot/instance-action's `action`: `terminate`, `stop`, `hibernate`. None: 404, no notice."""


class Group(Protocol):
    """The own Auto Scaling group, by the role that playbooks/iam.yml writes (there is no Describe*). Each call: 5 s at most, no retry inside.

    The instance id and the group's name are the adapter's. Raises Unavailable, Refused (`NO_ACTIVE_ACTION`, `ValidationError`, `AccessDenied`, ...).
    """

    def heartbeat(self, hook: str) -> None:
        """RecordLifecycleActionHeartbeat for this instance."""

    def complete(self, hook: str, result: Result) -> None:
        """CompleteLifecycleAction for this instance."""

    def protect(self, protected: bool) -> None:
        """SetInstanceProtection. AWS refuses it (ValidationError) unless the instance is InService or in Standby."""

    def report_unhealthy(self) -> None:
        """SetInstanceHealth Unhealthy with ShouldRespectGracePeriod=False."""


class Secret(Protocol):
    """The worker's secret."""

    def fetch(self) -> Task[str]:
        """Begin GetSecretValue (30 s at most); its text. Refused where it is denied, missing, or has no SecretString."""


class Registry(Protocol):
    """Logins of docker (one directory with config.json, written by rename)."""

    def login(self) -> Task[None]:
        """Begin to write a fresh login for the wanted image's registry (30 s at most); nothing to do for a registry other than ECR."""


class Images(Protocol):
    """Docker's images. Calls that are no tasks: 5 s at most. Raises Unavailable (docker is down), Refused (no such image)."""

    def present(self, reference: str) -> bool:
        """Whether docker holds exactly this reference."""

    def pull(self, reference: str) -> Task[None]:
        """Begin to pull."""

    def baked(self) -> str | None:
        """The reference that was baked into this machine's image, if docker still holds it; None: nothing was baked."""


@dataclass(frozen=True)
class Service:
    """A compose service's container.

    Attributes:
        state: docker's word: `created`, `running`, `restarting`, `paused`, `removing`, `exited`, `dead`.
        exit_code: of its last end; meaningless while it runs.
        health: `healthy`, `unhealthy`, `starting`; empty where it has no check.
    """

    state: str
    exit_code: int = 0
    health: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is a process (in `restarting` there is none: docker waits between two lives)."""
        return self.state in ("running", "paused", "removing")

    @property
    def down(self) -> bool:
        """Whether there is no process, and docker starts none by itself."""
        return self.state in ("created", "exited", "dead")


WORKER, API, DEPLOY_SERVER = "worker", "api", "deploy-server"  # the compose file's services


class Compose(Protocol):
    """`docker compose` on the project (its file, the override, the `.env`). Calls that are no tasks: 5 s at most. Raises Unavailable."""

    def up(self) -> Task[None]:
        """Begin `up --detach --wait`. A project that is as wanted is left alone; one that is being brought up is not brought up twice."""

    def terminate(self, service: str) -> None:
        """One SIGTERM to the service's process (docker kill). Without a process it is no error. Docker does not start it again when it has ended."""

    def stop(self, services: Collection[str], grace: float) -> Task[None]:
        """Begin `stop`: SIGTERM to each, SIGKILL after `grace` seconds. What is down already, or does not exist, is no error.

        An `up` that is under way is ended first, whoever began it: also one that a killed agent left behind.
        """

    def services(self) -> Mapping[str, Service]:
        """Every container of the project by service, ended ones included; a service without one is absent."""


@dataclass(frozen=True)
class WorkerStatus:
    """`GET /worker/status` (always 200)."""

    worker_id: str
    instance_id: str
    active_jobs: int
    is_running: bool
    is_draining: bool
    dispatch_mode: Literal["queue", "legacy"]

    @property
    def busy(self) -> bool:
        return self.active_jobs > 0


class Worker(Protocol):
    """The worker's own HTTP server on this host. Each call: 2 s at most. Raises Unavailable (not there, not in time, not the right shape)."""

    def status(self) -> WorkerStatus:
        """GET /worker/status."""

    def drain(self) -> None:
        """POST /worker/drain: it takes no more jobs (legacy), one-way."""


FileName = Literal["environment", "override", "shipper"]


class Files(Protocol):
    """The files that boot writes, each by a temporary file of its final mode, fsync and rename: old or new, never half.

    `environment`: the project's `.env`, 0600. `override`: docker-compose.override.yml. `shipper`: the log shipper's configuration.
    """

    def write(self, name: FileName, text: str) -> bool:
        """Write it unless it says so already; whether it changed. 2 s at most. Raises Unavailable (disk full, read-only)."""


@dataclass(frozen=True)
class BootRecord:
    """/run/ghosthands/boot.json: how the boot of this instance goes. Written by boot alone.

    Attributes:
        state: `running`; `completed`: the worker is registered; `failed`: it is not, boot may be started again; `withdrawn`: the instance is to end.
        phase: the phase under way, or the last one.
        reason: why it failed, in names and codes; else empty.
        failures: failed boots so far, this one included.
        began: wall time of this attempt, for people.
        seconds: how long each ended phase took.
        image: what ran in the end: a digest or tag; empty until known.
    """

    state: Literal["running", "completed", "failed", "withdrawn"]
    phase: str
    reason: str
    failures: int
    began: float
    seconds: Mapping[str, float]
    image: str = ""


Flag = Literal["terminated", "spot", "requested", "stopping"]


class Records(Protocol):
    """What must outlive the agent but not a boot of the system (what another boot wrote is not seen). Each call: 1 s at most, by rename. Raises Unavailable.

    Marks are moments of `Clock.monotonic`: when the target state Terminated, a spot notice, an operator's wish were first seen; when the worker was
    told to stop. All marks are one file; two processes may set marks at once and lose none.
    """

    def boot(self) -> BootRecord | None:
        """The boot record; None where there is none or it cannot be understood."""

    def write_boot(self, record: BootRecord) -> None:
        """Replace the boot record."""

    def flags(self) -> Mapping[Flag, float]:
        """The marks that are set."""

    def set_flag(self, flag: Flag, moment: float) -> None:
        """Set a mark, unless it is set already: the first one stays."""

    def clear_flag(self, flag: Flag) -> None:
        """Take a mark back, if it is set."""


class Logs(Protocol):
    """What takes the instance's logs away."""

    def flush(self) -> Task[None]:
        """Begin to hand on what is still buffered; 2 s at most. Procedures do not wait for more than a moment and do not mind if it fails."""


class Journal(Protocol):
    """One structured line per step. Never raises, never blocks."""

    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        """`event=... key=value`. Never given a secret."""


class Supervisor(Protocol):
    """systemd's notification socket; nothing where there is none. Never raises, never blocks."""

    def ready(self) -> None:
        """READY=1."""

    def alive(self) -> None:
        """WATCHDOG=1."""

    def status(self, text: str) -> None:
        """STATUS=text."""


@dataclass(frozen=True)
class Ports:
    """All neighbours of a procedure."""

    clock: Clock
    metadata: Metadata
    group: Group
    secret: Secret
    registry: Registry
    images: Images
    compose: Compose
    worker: Worker
    files: Files
    records: Records
    logs: Logs
    journal: Journal
    supervisor: Supervisor
