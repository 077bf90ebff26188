"""Which containers run the services, in the output of `docker ps`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ghosthands_agent.containers import containers, in_order
from ghosthands_agent.ports import API, DEPLOY_SERVER, WORKER, Service, Unavailable

LAUNCHER = '"bun packages/ghosthands/src/workers/workerLauncher.ts"'
LISTENER = "f" * 64


def row(name: str, **values: str) -> str:
    """A line of `docker ps`, for a container whose id is its name."""
    empty = dict.fromkeys(("project", "service", "role"), "")
    return json.dumps(
        {"id": name, "name": name, "state": "running", "status": "Up 1 second", "command": '"x"', **empty, **values}
    )


def by_compose(service: str, **values: str) -> str:
    return row(f"ghosthands-{service}-1", project="ghosthands", service=service, **values)


def found(*rows: str, listener: str = "") -> dict[str, str]:
    """Role by name."""
    return {each.service.name: each.role for each in containers("\n".join(rows), "ghosthands", listener)}


def test_composes_containers_are_found_by_its_labels() -> None:
    output = by_compose(WORKER, state="exited", status="Exited (137) 2 minutes ago") + "\n" + by_compose(API)
    worker, api = containers(output, "ghosthands", "")
    name = "ghosthands-worker-1"
    assert (worker.role, worker.service) == (WORKER, Service("exited", 137, 120, container=name, name=name))
    assert (api.role, api.service.state, api.service.foreign) == (API, "running", False)


def test_containers_of_others_are_found_by_deploy_servers_label_or_by_what_they_run() -> None:
    assert found(
        row("ghosthands-worker", role="worker"),
        row("ghosthands-api", role="api"),
        row("kamal", command=LAUNCHER),
        row("wrapped", command=f'"/opt/ghosthands/scripts/entrypoint-with-vnc.sh {LAUNCHER[1:]}'),
        row("old", command='"bun packages/ghosthands/src/workers/main.ts"'),
        row("server", command='"bun scripts/deploy-server.ts"'),
        row("other-project", project="elsewhere", service="worker", command=LAUNCHER),
        row("database", role="database", command='"postgres"'),
        row("unrelated", project="elsewhere", service="worker"),
    ) == {
        "ghosthands-worker": WORKER,
        "ghosthands-api": API,
        "kamal": WORKER,
        "wrapped": WORKER,
        "old": WORKER,
        "server": DEPLOY_SERVER,
        "other-project": WORKER,
    }
    (raw,) = containers(row("x", role="worker"), "ghosthands", "")
    assert raw.service.foreign


def test_what_listens_on_the_workers_port_is_a_worker_whatever_it_is_called() -> None:
    assert found(row(LISTENER), by_compose(WORKER), listener=LISTENER) == {
        LISTENER: WORKER,
        "ghosthands-worker-1": WORKER,
    }
    (unnamed,) = containers(row(LISTENER), "ghosthands", LISTENER)
    assert (unnamed.service.listens, unnamed.service.foreign) == (True, True)
    (closed,) = containers(row(LISTENER), "ghosthands", "", LISTENER)
    assert (closed.role, closed.service.listens) == (WORKER, False), "it may still have a job to finish"
    (own,) = containers(by_compose(WORKER, id=LISTENER), "ghosthands", LISTENER)
    assert (own.service.listens, own.service.foreign) == (True, False)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Up 3 hours", ("", 0)),
        ("Up 3 hours (healthy)", ("healthy", 0)),
        ("Up 3 hours (unhealthy)", ("unhealthy", 0)),
        ("Up 2 seconds (health: starting)", ("starting", 0)),
        ("Up 2 seconds (Paused)", ("", 0)),
        ("Restarting (70) 3 seconds ago", ("", 70)),
        ("Exited (0) 3 seconds ago", ("", 0)),
        ("Created", ("", 0)),
    ],
)
def test_the_status_holds_health_and_exit_code(status: str, expected: tuple[str, int]) -> None:
    (container,) = containers(by_compose(API, status=status), "ghosthands", "")
    assert (container.service.health, container.service.exit_code) == expected


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ("Exited (0) Less than a second ago", 0),
        ("Exited (0) 1 second ago", 1),
        ("Exited (137) 59 seconds ago", 59),
        ("Exited (0) About a minute ago", 60),
        ("Exited (0) 46 minutes ago", 2760),
        ("Exited (0) About an hour ago", None),
        ("Exited (0) 2 hours ago", None),
        ("Restarting (70) 3 seconds ago", None),
        ("Up 3 seconds", None),
    ],
)
def test_the_status_says_when_a_container_exited_at_the_latest(status: str, seconds: float | None) -> None:
    (container,) = containers(by_compose(API, status=status), "ghosthands", "")
    assert container.service.exited_ago == seconds


def test_of_several_the_one_that_listens_comes_first_and_of_those_that_ended_the_last_that_listened() -> None:
    up = Service("running", container="up")
    every = [
        replace(up, state="created", container="never-ran"),
        replace(up, state="exited", container="newest"),
        replace(up, state="exited", container="listened"),
        replace(up, state="restarting", container="restarting"),
        up,
        replace(up, listens=True, container="listens"),
    ]
    output = "\n".join(
        row(each.container, id=each.container, role=WORKER, state=each.state, status="") for each in every
    )
    order = in_order(containers(output, "ghosthands", "listens"), WORKER, "listened")
    assert [each.container for each in order] == ["listens", "up", "restarting", "listened", "newest", "never-ran"]
    assert in_order(containers(output, "ghosthands", ""), API, "") == []


@pytest.mark.parametrize("output", ["{", "[]", '"x"', "{}", '{"id": null}'])
def test_output_of_another_form_is_unavailable(output: str) -> None:
    with pytest.raises(Unavailable, match=r"^docker ps: wrong shape$"):
        containers(output, "ghosthands", "")
