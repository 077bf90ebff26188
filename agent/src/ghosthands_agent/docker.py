"""The docker command: how it is called, and what its complaints mean. And docker's images, as boot sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .command import Command, Ended, Steps, Work, name, until_ended
from .files import error_name
from .paths import Paths
from .ports import PortError, Refused, Unavailable

#: What docker may take to answer while it pulls and starts other things; ports allow 5 s.
ANSWER_SECONDS = 4.5

#: Complaints of docker and compose, the code by which the agent knows them, and whether they will be made again unless something changes.
#: A complaint may quote the `.env`: nothing of it but these codes goes anywhere.
COMPLAINTS: Sequence[tuple[str, str, bool]] = (
    (r"(?i)cannot connect to the docker daemon|is the docker daemon running", "DockerDown", False),
    (r"(?i)no space left on device", "DiskFull", False),
    (r"(?i)toomanyrequests|rate exceeded", "Throttling", False),
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
    (r"(?i)no such container|container \S+ is not running", "NotRunning", True),
    (r"(?i)address already in use|port is already allocated", "AddressInUse", False),
    (r"(?i)i/o timeout|context deadline exceeded|tls handshake timeout", "Timeout", False),
    (r"(?i)no such host|connection refused|connection reset", "NoConnection", False),
    (r"(?i)no configuration file provided|no such file or directory|env file \S+ not found", "NoSuchFile", True),
    (r"container ([\w.-]{1,80}) is unhealthy", r"unhealthy \1", False),
    (r"container ([\w.-]{1,80}) exited \((\d{1,3})\)", r"\1 exited \2", False),
)


class Docker:
    """Calls of the docker command with this host's logins."""

    def __init__(self, paths: Paths, program: str = "docker") -> None:
        self._program, self._logins = program, str(paths.docker_config)

    def begin(self, *words: str, keep: Sequence[int] = ()) -> Command:
        """Start `docker WORDS`. Raises Unavailable."""
        return Command([self._program, *words], {"DOCKER_CONFIG": self._logins}, keep)

    def ask(self, *words: str, seconds: float = ANSWER_SECONDS) -> str:
        """What `docker WORDS` prints. Raises Unavailable, Refused."""
        return well(self.begin(*words).wait(seconds), words).output

    def steps(self, *words: str) -> Steps[Ended]:
        """`docker WORDS` as steps. Raises Unavailable, Refused."""
        return well((yield from until_ended(self.begin(*words))), words)


def well(ended: Ended, words: Sequence[str]) -> Ended:
    """The end of `docker WORDS` if it went well. Raises Unavailable, Refused."""
    if ended.code:
        raise complaint(ended, name(["docker", *words]))
    return ended


def complaint(ended: Ended, call: str) -> PortError:
    """The error for a command that failed; `exit N` where its complaint is not known."""
    for pattern, code, again in COMPLAINTS:
        if found := re.search(pattern, ended.errors):
            return (Refused if again else Unavailable)(call, found.expand(code))
    return Unavailable(call, f"exit {ended.code}")


class DockerImages:
    """ports.Images."""

    def __init__(self, docker: Docker, paths: Paths) -> None:
        self._docker, self._baked = docker, paths.baked_image

    def present(self, reference: str) -> bool:
        """See ports.Images."""
        try:
            self._docker.ask("image", "inspect", "--format", "{{.Id}}", "--", reference)
        except Refused as refusal:
            if refusal.code == "NoSuchImage":
                return False
            raise
        return True

    def pull(self, reference: str) -> Work[None]:
        """See ports.Images."""
        return Work(self._pull(reference))

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
