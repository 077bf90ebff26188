"""The adapters for Compose and images, with this machine's Docker and the real Compose plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from ghosthands_agent import compose
from ghosthands_agent.compose import DockerCompose
from ghosthands_agent.compose_override import LAUNCHER, compose_override
from ghosthands_agent.docker import Docker, DockerImages
from ghosthands_agent.files import ProjectFiles
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import API, WORKER, Refused, Service, Unavailable
from localcloud.testing import free_port
from model.agent_conf import SETTINGS
from unit.tasks import result_of

pytestmark = pytest.mark.docker

SOURCES, TESTS = Path(compose.__file__).parents[1], Path(__file__).parents[1]
#: Exits with 7, 0.3 s after SIGTERM.
EXITS = "trap '/bin/busybox sleep 0.3; exit 7' TERM; while :; do /bin/busybox sleep 0.05; done"
IGNORES_SIGTERM = "trap '' TERM; while :; do /bin/busybox sleep 0.05; done"


def write_project(paths: Paths, image: str, worker: str = EXITS, ready: str = "true") -> None:
    """The runbook's project: the worker waits for a healthy api, the image is ECR_IMAGE, values come from `.env`."""
    paths.compose_file.write_text(
        f"""
services:
  api:
    image: ${{ECR_IMAGE}}
    command: ["/bin/busybox", "sh", "-c", {_yaml(EXITS)}]
    network_mode: none
    healthcheck: {{test: ["CMD", "/bin/busybox", "sh", "-c", "{ready}"], interval: 0.2s, retries: 3}}
  worker:
    image: ${{ECR_IMAGE}}
    command: ["/bin/busybox", "sh", "-c", {_yaml(worker)}]
    network_mode: none
    env_file: .env
    depends_on: {{api: {{condition: service_healthy}}}}
"""
    )
    paths.override.write_text('{"services": {"worker": {"restart": "on-failure"}, "api": {"restart": "on-failure"}}}\n')
    paths.environment.write_text(f"ECR_IMAGE={image}\nTOKEN=canary-of-the-secret\n")


def _yaml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def states(services: Mapping[str, Service]) -> dict[str, str]:
    return {name: service.state for name, service in services.items()}


def ended(service: Service) -> tuple[str, int]:
    return service.state, service.exit_code


@pytest.fixture
def project(paths: Paths) -> DockerCompose:
    return DockerCompose(Docker(paths), paths)


def test_a_second_up_leaves_a_running_project_alone(paths: Paths, image: str, project: DockerCompose) -> None:
    write_project(paths, image)
    assert project.services() == {}
    result_of(project.up())
    services = project.services()
    assert states(services) == {"api": "running", "worker": "running"}
    assert services[API].health == "healthy"
    before = ids(paths)
    result_of(project.up())
    assert ids(paths) == before


def ids(paths: Paths) -> set[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={paths.project.name}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(listed.stdout.split())


def test_a_container_that_never_gets_healthy_is_named(paths: Paths, image: str, project: DockerCompose) -> None:
    write_project(paths, image, ready="false")
    with pytest.raises(Unavailable, match=rf"^docker compose up: unhealthy {paths.project.name}-api-1$"):
        result_of(project.up())


def test_a_limit_that_the_container_runtime_refuses_is_quoted(paths: Paths, image: str, project: DockerCompose) -> None:
    """Seen for 15 minutes as "exit 1", and nothing else."""
    write_project(paths, image)
    limits = "    ulimits: {nofile: {soft: 2000000000, hard: 2000000000}}\n"
    paths.compose_file.write_text(paths.compose_file.read_text() + limits)
    with pytest.raises(Refused, match=r"^docker compose up: CannotStart") as caught:
        result_of(project.up())
    assert "rlimit" in caught.value.output
    assert "canary" not in caught.value.output


def test_sigterm_reaches_the_worker_alone_and_docker_does_not_start_it_again(
    paths: Paths, image: str, project: DockerCompose
) -> None:
    write_project(paths, image)
    result_of(project.up())
    began = time.monotonic()
    project.terminate(WORKER)
    delivered = time.monotonic() - began
    while project.services()[WORKER].runs:
        assert time.monotonic() < began + 10
    time.sleep(0.5)
    assert ended(project.services()[WORKER]) == ("exited", 7)
    assert project.services()[API].runs
    project.terminate(WORKER)  # not running: no error
    project.terminate("no-such-service")
    assert delivered < 1.0


def test_a_stop_waits_its_grace_and_then_kills(paths: Paths, image: str, project: DockerCompose) -> None:
    write_project(paths, image, worker=IGNORES_SIGTERM)
    result_of(project.up())
    result_of(project.stop([WORKER], 1))
    assert ended(project.services()[WORKER]) == ("exited", 137)
    assert project.services()[API].runs
    result_of(project.stop([WORKER, API, "deploy-server"], 1))
    assert states(project.services()) == {"api": "exited", "worker": "exited"}
    result_of(project.stop([WORKER], 1))


def test_a_stop_needs_neither_the_env_nor_a_valid_compose_file(
    paths: Paths, image: str, project: DockerCompose
) -> None:
    write_project(paths, image)
    result_of(project.up())
    paths.environment.unlink()
    paths.compose_file.write_text("services: [\n")
    result_of(project.stop([WORKER], 5))
    assert ended(project.services()[WORKER]) == ("exited", 7)


def test_a_stop_ends_an_up_that_is_under_way(paths: Paths, image: str, project: DockerCompose) -> None:
    """Also one of an agent that was killed: otherwise it would start the worker when the api gets healthy."""
    write_project(paths, image, ready="[ -e /ready ]")
    program = (
        f"import sys, time, pathlib; sys.path[:0] = [{str(SOURCES)!r}, {str(TESTS)!r}]\n"
        "from ghosthands_agent.compose import DockerCompose\n"
        "from ghosthands_agent.docker import Docker\n"
        "from processes.conftest import Project\n"
        f"paths = Project(pathlib.Path({str(paths.root)!r}))\n"
        "work = DockerCompose(Docker(paths), paths).up()\n"
        "print('begun', flush=True)\n"
        "time.sleep(60)\n"
    )
    paths.compose_file.write_text(
        paths.compose_file.read_text().replace("retries: 3", "retries: 1000, start_period: 60s")
    )
    agent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert agent.stdout is not None
    with agent.stdout:
        agent.stdout.readline()
    while API not in project.services() or not project.services()[API].runs:
        time.sleep(0.1)
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    assert up_processes(paths), "it goes on after the agent was killed"
    result_of(project.stop([WORKER, API], 2))
    until = time.monotonic() + 5
    while up_processes(paths):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not any(service.runs for service in project.services().values())


def up_processes(paths: Paths) -> list[int]:
    """The pids of `docker compose up` of this project."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", process, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"up" in words and paths.project.name.encode() in words:
            found.append(int(process))
    return found


def test_two_ups_at_once_run_one_after_the_other(paths: Paths, image: str, project: DockerCompose) -> None:
    write_project(paths, image)
    first, second = project.up(), DockerCompose(Docker(paths), paths).up()
    seen = set()
    while not (first.done() & second.done()):
        seen.add(len({os.getsid(pid) for pid in up_processes(paths) if Path(f"/proc/{pid}").exists()}))
        time.sleep(0.02)
    first.result()
    second.result()
    assert max(seen) == 1
    assert states(project.services()) == {"api": "running", "worker": "running"}


def test_a_value_of_the_env_reaches_neither_arguments_nor_errors(
    paths: Paths, image: str, project: DockerCompose
) -> None:
    write_project(paths, image)
    paths.environment.write_text(
        f"ECR_IMAGE={image}\nTOKEN=${{canary-of-the-secret\n"
    )  # Compose quotes this line when it complains
    with pytest.raises(Unavailable) as caught:
        result_of(project.up())
    assert "canary" not in repr(caught.value) + caught.value.output
    assert caught.value.output.endswith('Invalid template: "***"')
    assert str(caught.value) == "docker compose up: exit 1"


#: As deploy-server creates it: no label of compose's, and a policy by which docker starts it again.
RAW = ("--label", "gh.service=worker", "--restart", "unless-stopped", "--network", "host")


@pytest.fixture
def raw(image: str) -> Iterator[Callable[..., str]]:
    """Start a container without compose; its id."""
    started: list[str] = []

    def start(*options: str, program: str = EXITS) -> str:
        command = ["docker", "run", "--detach", *options, image, "/bin/busybox", "sh", "-c", program]
        started.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        return started[-1]

    yield start
    subprocess.run(["docker", "rm", "--force", *started], check=True, capture_output=True)


def wait(condition: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_listens_on_the_workers_port_is_the_worker_and_composes_comes_second(
    paths: Paths, image: str, raw: Callable[..., str]
) -> None:
    write_project(paths, image)
    port = free_port()
    paths = type(paths)(paths.root, worker_port=port)
    (paths.root / "proc").symlink_to("/proc")
    project = DockerCompose(Docker(paths), paths)
    result_of(project.up())
    (composes,) = project.containers()[WORKER]
    assert (composes.foreign, composes.listens) == (False, False)
    listener = raw("--network", "host", program=f"/bin/busybox nc -ll -p {port} -e /bin/busybox true & {EXITS}")
    wait(lambda: project.services()[WORKER].container == listener)
    first, second = project.containers()[WORKER]
    assert (first.foreign, first.listens, first.runs) == (True, True, True)
    assert second == composes
    project.terminate(WORKER)
    wait(lambda: all(each.down for each in project.containers()[WORKER]))
    assert project.services()[WORKER].container == listener, "the one that listened last"


@pytest.mark.parametrize("policy", ["unless-stopped", "always", "on-failure"])
def test_a_worker_that_somebody_else_started_gets_the_signal_and_stays_down(
    paths: Paths, raw: Callable[..., str], policy: str
) -> None:
    """Whatever signal its image names: docker starts a process again that exits after another one."""
    project = DockerCompose(Docker(paths), paths)
    container = raw(*RAW, "--restart", policy, "--stop-signal", "INT")
    worker = project.services()[WORKER]
    assert (worker.container, worker.foreign, worker.runs) == (container, True, True)
    project.terminate(WORKER)
    wait(lambda: project.services()[WORKER].down)
    time.sleep(0.5)
    assert ended(project.services()[WORKER]) == ("exited", 7)


def test_a_worker_that_docker_is_about_to_start_again_stays_down(paths: Paths, raw: Callable[..., str]) -> None:
    project = DockerCompose(Docker(paths), paths)
    raw(*RAW, program="exit 1")
    wait(lambda: project.services()[WORKER].state == "restarting")

    def terminates() -> bool:
        """Docker refuses changes in the moment in which it starts the container; the drain tries again, too."""
        with suppress(Unavailable):
            project.terminate(WORKER)
            return True
        return False

    wait(terminates)
    wait(lambda: project.services()[WORKER].down)
    time.sleep(1.5)
    assert project.services()[WORKER].down


def test_containers_of_others_are_stopped_and_removed(
    paths: Paths, image: str, project: DockerCompose, raw: Callable[..., str]
) -> None:
    write_project(paths, image)
    result_of(project.up())
    workers = {raw(*RAW), raw(*RAW, program=IGNORES_SIGTERM)}
    api = raw("--label", "gh.service=api", "--network", "host")
    result_of(project.remove([*workers, "0" * 64], 1))
    (left,) = project.containers()[WORKER]
    assert (left.foreign, left.runs) == (False, True)
    assert {each.container for each in project.containers()[API]} > {api}
    result_of(project.stop([API, WORKER], 1))
    assert all(each.down for found in project.containers().values() for each in found)
    result_of(project.remove([api], 1))
    assert {each.foreign for each in project.containers()[API]} == {False}


def test_up_starts_single_services_without_those_that_they_depend_on(
    paths: Paths, image: str, project: DockerCompose
) -> None:
    write_project(paths, image)
    result_of(project.up([WORKER]))
    assert states(project.services()) == {"worker": "running"}


#: In place of bun: can it read the preload, which it must not be able to replace?
BUN = """#!/bin/sh
[ "$1" = --preload ] && /bin/busybox grep -q drain_guard "$2" && ! /bin/busybox touch "${2%/*}/x" && echo "runs $3"
while :; do /bin/busybox sleep 0.1; done
"""


@pytest.fixture
def image_with_entrypoint(image: str, tmp_path: Path) -> Iterator[str]:
    """An image with bun, whose entrypoint ends at once."""
    (tmp_path / "bun").write_text(BUN)
    (tmp_path / "bun").chmod(0o755)
    name = f"{image}-entrypoint"

    def docker(*words: str | Path) -> str:
        return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()

    container = docker("create", image, "true")
    docker("cp", tmp_path / "bun", f"{container}:/bin/bun")
    docker("commit", "--change", 'ENTRYPOINT ["/bin/busybox", "false"]', container, name)
    docker("rm", container)
    yield name
    docker("image", "rm", "--force", name)


def test_the_worker_runs_the_guard_which_it_cannot_write_and_not_the_images_entrypoint(
    paths: Paths, image_with_entrypoint: str, project: DockerCompose
) -> None:
    service = f"{{image: {image_with_entrypoint}, entrypoint: [], command: [bun], network_mode: none, user: '1000'}}"
    paths.compose_file.write_text(
        f"services: {{worker: {service}, api: {service}, deploy-server: {service}}}\n", encoding="utf-8"
    )
    ProjectFiles(paths).install_guard()
    paths.override.write_text(compose_override(SETTINGS, paths))
    result_of(project.up([WORKER]))
    worker = project.services()[WORKER]
    wait(lambda: output_of(worker.container) == f"runs {LAUNCHER}\n")
    project.terminate(WORKER)
    result_of(project.stop([WORKER], 1))
    assert project.services()[WORKER].down


def output_of(container: str) -> str:
    return subprocess.run(["docker", "logs", container], check=True, stdout=subprocess.PIPE, text=True).stdout


def test_an_image_is_present_or_not(paths: Paths, image: str) -> None:
    images = DockerImages(Docker(paths), paths)
    assert images.present(image)
    assert not images.present("ghosthands-test:no-such-tag")
    assert not images.present(f"ghosthands-test@sha256:{'0' * 64}")


def test_a_baked_image_is_used_if_docker_still_holds_it(paths: Paths, image: str) -> None:
    images = DockerImages(Docker(paths), paths)
    assert images.baked() is None
    paths.baked_image.parent.mkdir(parents=True)
    paths.baked_image.write_text(f"{image}\n")
    assert images.baked() == image
    paths.baked_image.write_text("ghosthands-test:gone\n")
    assert images.baked() is None


def test_a_pull_from_a_registry_that_is_not_there_may_work_later(paths: Paths) -> None:
    with pytest.raises(Unavailable, match=r"^docker pull: NoConnection$"):
        result_of(DockerImages(Docker(paths), paths).pull("localhost:1/nothing:here"))


def test_a_docker_that_is_down_is_unavailable(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{paths.root}/no.sock")
    docker = Docker(paths)
    with pytest.raises(Unavailable, match=r"^docker image inspect: DockerDown$"):
        DockerImages(docker, paths).present("any:tag")
    with pytest.raises(Unavailable, match=r"^docker ps: DockerDown$"):
        DockerCompose(docker, paths).services()
    with pytest.raises(Unavailable, match=r"^docker ps: DockerDown$"):
        result_of(DockerCompose(docker, paths).stop([WORKER], 1))
    with pytest.raises(Unavailable, match=r"^docker ps: DockerDown$"):
        DockerCompose(docker, paths).terminate(WORKER)


def test_a_reference_is_never_taken_for_an_option(paths: Paths) -> None:
    with pytest.raises(Refused, match="InvalidReference"):
        result_of(DockerImages(Docker(paths), paths).pull("--all-tags"))
