"""The docker command, the meaning of its error messages, and its images."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .command import Command, CompletedCommand, PolledTask, Steps, name, until_completed
from .files import error_name
from .masking import masking
from .paths import Paths
from .ports import PortError, Refused, Unavailable

#: Docker may answer this late while it pulls and starts containers; ports allow 5 s.
ANSWER_SECONDS = 4.5

#: Error messages of docker and compose, their codes, and whether a retry fails again.
KNOWN_ERRORS: Sequence[tuple[str, str, bool]] = (
    (r"(?i)cannot connect to the docker daemon|is the docker daemon running", "DockerDown", False),
    (r"(?i)no space left on device", "DiskFull", False),
    (r"(?i)toomanyrequests|rate exceeded", "Throttling", False),
    (r"(?i)i/o timeout|context deadline exceeded|tls handshake timeout", "Timeout", False),
    (
        r"(?i)no such host|connection refused|connection reset|server misbehaving|no route to host"
        r"|network is unreachable|unexpected EOF|http status: 5\d\d",
        "NoConnection",
        False,
    ),
    # What runc or the kernel refuses to the container: an entrypoint that is not there, a limit above the machine's, a
    # device that is missing.
    (r"(?i)OCI runtime|failed to create (shim )?task|unable to start container process", "CannotStart", True),
    (
        r"(?i)no such image|manifest unknown|manifest for \S+ not found|repository .{1,300}(not found|not exist)",
        "NoSuchImage",
        True,
    ),
    (
        r"(?i)no basic auth credentials|unauthorized|authorization token has expired|access denied|denied: ",
        "AccessDenied",
        True,
    ),
    (r"(?i)no matching manifest|exec format error", "WrongArchitecture", True),
    (r"(?i)invalid reference format", "InvalidReference", True),
    (
        r"(?i)no such container|container \S+ is not running|removal of container \S+ is already in progress",
        "NotRunning",
        True,
    ),
    (r"(?i)address already in use|port is already allocated", "AddressInUse", True),
    (r"(?i)no configuration file provided|no such file or directory|env file \S+ not found", "NoSuchFile", True),
    (r"container ([\w.-]{1,80}) is unhealthy", r"unhealthy \1", False),
    (r"container ([\w.-]{1,80}) exited \((\d{1,3})\)", r"\1 exited \2", False),
    (r"required variable ([A-Z_]{1,40}) is missing a value", r"no \1", True),  # VNC_PW of a project with a desktop
    (r"(?i)range of CPUs is from", "TooFewCPUs", True),  # a limit above what the instance has
)
#: Every other answer of the daemon to an order to create or start a container is its refusal of that container.
REFUSES = re.compile(r"(?i)error response from daemon")
CREATING = re.compile(r"docker (compose )?(up|create|start|run)$")


class Docker:
    """Calls of the docker command with this host's logins."""

    def __init__(self, paths: Paths, program: str = "docker") -> None:
        self._program, self._logins, self._mask = program, str(paths.docker_config), masking(paths)

    def start(self, *arguments: str, pass_fds: Sequence[int] = (), end: bool = False) -> Command:
        """Start `docker ARGUMENTS`. Raises Unavailable.

        :param end: keep the end of a long output.
        """
        return Command([self._program, *arguments], {"DOCKER_CONFIG": self._logins}, pass_fds, self._mask, end)

    def run(self, *arguments: str, seconds: float = ANSWER_SECONDS) -> str:
        """The output of `docker ARGUMENTS`. Raises Unavailable, Refused."""
        return checked(self.start(*arguments).wait(seconds), arguments).output

    def steps(self, *arguments: str) -> Steps[CompletedCommand]:
        """`docker ARGUMENTS` as steps. Raises Unavailable, Refused."""
        return checked((yield from until_completed(self.start(*arguments))), arguments)


def checked(completed: CompletedCommand, arguments: Sequence[str]) -> CompletedCommand:
    """The finished `docker ARGUMENTS`, if it succeeded. Raises Unavailable, Refused."""
    if completed.code:
        raise docker_error(completed, name(["docker", *arguments]))
    return completed


def docker_error(completed: CompletedCommand, call: str) -> PortError:
    """The error for a command that failed; `exit N` where its message is not a known one."""
    for pattern, code, permanent in KNOWN_ERRORS:
        if found := re.search(pattern, completed.errors):
            return (Refused if permanent else Unavailable)(call, found.expand(code), completed.said)
    if CREATING.match(call) and REFUSES.search(completed.errors):
        return Refused(call, "CannotStart", completed.said)
    return Unavailable(call, f"exit {completed.code}", completed.said)


class DockerImages:
    """ports.Images."""

    def __init__(self, docker: Docker, paths: Paths) -> None:
        self._docker, self._baked = docker, paths.baked_image

    def present(self, reference: str) -> bool:
        """See ports.Images."""
        try:
            self._docker.run("image", "inspect", "--format", "{{.Id}}", "--", reference)
        except Refused as refusal:
            if refusal.code == "NoSuchImage":
                return False
            raise
        return True

    def pull(self, reference: str) -> PolledTask[None]:
        """See ports.Images."""
        return PolledTask(self._pull(reference))

    def _pull(self, reference: str) -> Steps[None]:
        yield from self._docker.steps("pull", "--quiet", "--", reference)

    def baked(self) -> str | None:
        """See ports.Images."""
        try:
            reference = self._baked.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as problem:
            raise Unavailable(
                "baked image", error_name(problem) if isinstance(problem, OSError) else "wrong shape"
            ) from None
        return reference if reference and self.present(reference) else None
