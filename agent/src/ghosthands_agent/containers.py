"""The containers of the three services in the output of `docker ps`: compose's own, and those of anybody else. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from .ports import API, DEPLOY_SERVER, WORKER, Service, Unavailable

#: One object per container, in the order of docker: the newest first. Labels are asked for by name, since `docker ps`
#: does not quote them.
FORMAT = (
    '{"id":{{json .ID}},"name":{{json .Names}},"state":{{json .State}},"status":{{json .Status}},'
    '"command":{{json .Command}},"project":{{json (.Label "com.docker.compose.project")}},'
    '"service":{{json (.Label "com.docker.compose.service")}},"role":{{json (.Label "gh.service")}}}'
)
LIST = ("ps", "--all", "--no-trunc", "--format", FORMAT)
#: What the image runs for each service, in the worker's repository.
PROGRAMS = {
    "packages/ghosthands/src/workers/": WORKER,
    "packages/ghosthands/src/api/server.ts": API,
    "scripts/deploy-server.ts": DEPLOY_SERVER,
}
EXIT_CODE = re.compile(r"(?:Exited|Restarting) \((\d{1,3})\)")
#: docker/go-units, HumanDuration: seconds and minutes are rounded down, what is longer is not.
EXITED_AGO = re.compile(r"Exited \(\d{1,3}\) (?:(\d+|About a|Less than a) (second|minute)s?) ago")
HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


class Container(NamedTuple):
    """A container that runs, or ran, one of the services."""

    role: str
    service: Service


def containers(output: str, project: str, listener: str, last_listener: str = "") -> list[Container]:
    """The containers of the services.

    :param output: of `docker ps` with LIST.
    :param project: compose's name of the project.
    :param listener: the id of the container that listens on the worker's port: a worker, whatever its labels say.
    :param last_listener: the one that did before. It may still have a job to finish.
    :raises Unavailable: the output has another form.
    """
    try:
        rows = [json.loads(line) for line in output.splitlines() if line.strip()]
        return [container for row in rows if (container := _container(row, project, listener, last_listener))]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unavailable("docker ps", "wrong shape") from None


def in_order(found: Sequence[Container], role: str, last_listener: str) -> list[Service]:
    """The containers of a role, what is most likely the service first.

    That is the one that listens, then those with a process, then those that docker will start again, then the one that
    listened last, whose exit code tells how the service ended. One that never ran, of a deployment, comes last.
    """
    return sorted(
        (service for name, service in found if name == role),
        key=lambda each: (
            not each.listens,
            not each.runs,
            each.down,
            each.container != last_listener,
            each.state == "created",
        ),
    )


def _container(row: dict[str, str], project: str, listener: str, last_listener: str) -> Container | None:
    by_compose = row["project"] == project and row["service"] in PROGRAMS.values()
    listens = row["id"] == listener
    role = WORKER if listens else row["service"] if by_compose else _role(row["role"], row["command"])
    if role is None and row["id"] == last_listener:
        role = WORKER
    if role is None:
        return None
    exited, health = EXIT_CODE.match(row["status"]), HEALTH.search(row["status"])
    service = Service(
        state=row["state"],
        exit_code=int(exited[1]) if exited else 0,
        exited_ago=_exited_ago(row["status"]),
        health=health[1] if health else "",
        container=row["id"],
        name=row["name"],
        foreign=not by_compose,
        listens=listens,
    )
    return Container(role, service)


def _exited_ago(status: str) -> float | None:
    """Seconds since a container exited, at least; None: it has not, or longer than an hour ago."""
    found = EXITED_AGO.match(status)
    if not found:
        return None
    number = {"About a": 1, "Less than a": 0}.get(found[1])
    return (int(found[1]) if number is None else number) * {"second": 1.0, "minute": 60.0}[found[2]]


def _role(label: str, command: str) -> str | None:
    if label in PROGRAMS.values():
        return label
    return next((role for program, role in PROGRAMS.items() if program in command), None)
