"""What the messages of the docker command mean. Tests with a real Docker: processes/test_compose.py."""

from __future__ import annotations

import pytest
from ghosthands_agent.command import CompletedCommand
from ghosthands_agent.docker import docker_error
from ghosthands_agent.ports import PortError, Refused, Unavailable


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            Unavailable,
            "DockerDown",
        ),
        ("failed to register layer: write /x: no space left on device", Unavailable, "DiskFull"),
        ("toomanyrequests: Rate exceeded", Unavailable, "Throttling"),
        ("Error response from daemon: No such image: nosuch:1", Refused, "NoSuchImage"),
        (
            "Error response from daemon: manifest for r.io/a:1 not found: manifest unknown: Requested image not found",
            Refused,
            "NoSuchImage",
        ),
        ("name unknown: The repository with name 'a' in registry with id '1' does not exist", Refused, "NoSuchImage"),
        (
            'Error response from daemon: Head "https://r/v2/a/manifests/1": no basic auth credentials',
            Refused,
            "AccessDenied",
        ),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", Refused, "AccessDenied"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", Refused, "WrongArchitecture"),
        ('Get "https://r/v2/": net/http: TLS handshake timeout', Unavailable, "Timeout"),
        ("dial tcp: lookup r.example on 10.0.0.2:53: no such host", Unavailable, "NoConnection"),
        ("dependency failed to start: container gh-api-1 is unhealthy", Unavailable, "unhealthy gh-api-1"),
        ("container gh-worker-1 exited (137)", Unavailable, "gh-worker-1 exited 137"),
        ("listen tcp 0.0.0.0:3100: bind: address already in use", Refused, "AddressInUse"),
        ("open /opt/ghosthands/docker-compose.prod.yml: no such file or directory", Refused, "NoSuchFile"),
        (
            "env file /opt/ghosthands/.env not found: stat /opt/ghosthands/.env: no such file or directory",
            Refused,
            "NoSuchFile",
        ),
        ("Error response from daemon: Cannot kill container: ab: Container ab is not running", Refused, "NotRunning"),
        (
            "error while interpolating services.worker.environment.VNC_PW: required variable VNC_PW is missing a value:"
            " the password must be in the secret",
            Refused,
            "no VNC_PW",
        ),
        (
            "Error response from daemon: Range of CPUs is from 0.01 to 1.00, as there are only 1 CPUs available",
            Refused,
            "TooFewCPUs",
        ),
        ("something new", Unavailable, "exit 1"),
    ],
)
def test_a_message_of_docker_becomes_a_code(message: str, kind: type[PortError], code: str) -> None:
    problem = docker_error(CompletedCommand(1, "", message), "docker pull")
    assert (type(problem), problem.code, problem.call) == (kind, code, "docker pull")


@pytest.mark.parametrize(
    "message",
    [
        'failed to read /opt/ghosthands/.env: line 3: unexpected character "c" in variable name "canary=canary"',
        "invalid interpolation format for services.worker.environment.X: canary",
        "container canary$(canary) is unhealthy",
        "pull access denied for canary, repository does not exist",
    ],
)
def test_no_message_of_docker_is_quoted(message: str) -> None:
    assert "canary" not in repr(docker_error(CompletedCommand(1, "canary", message), "docker compose up"))


OCI = (
    "Error response from daemon: failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: "
)


@pytest.mark.parametrize(
    "message",
    [
        f'{OCI}runc create failed: unable to start container process: exec: "/no": stat /no: no such file or directory',
        f'{OCI}runc create failed: unable to start container process: exec: "/etc": permission denied: unknown',
        f"{OCI}runc create failed: error setting rlimit type 7: operation not permitted: unknown",
        'Error response from daemon: error gathering device information while adding custom device "/dev/kvm": none',
        'Error response from daemon: Conflict. The container name "/gh-worker-1" is already in use by container "ab"',
        'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]',
        "Error response from daemon: something that docker says tomorrow",
    ],
)
def test_a_container_that_docker_refuses_to_start_is_refused_for_good(message: str) -> None:
    problem = docker_error(CompletedCommand(1, "", message, message), "docker compose up")
    assert (type(problem), problem.code, problem.output) == (Refused, "CannotStart", message)


@pytest.mark.parametrize(
    "message",
    [
        "Error response from daemon: Get https://r/v2/: dial tcp: lookup r on 10.0.0.2:53: server misbehaving",
        "Error response from daemon: Get https://r/v2/: dial tcp 10.0.0.9:443: connect: no route to host",
        "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
        "Error response from daemon: Get https://r/v2/: unexpected EOF",
        f"{OCI}context deadline exceeded",
        f"{OCI}write /run/runc: no space left on device",
    ],
)
def test_what_is_away_passes_also_where_docker_reports_it_of_a_start(message: str) -> None:
    assert type(docker_error(CompletedCommand(1, "", message), "docker compose up")) is Unavailable
