"""The procedure `boot` on a host where somebody else has started containers of the project, and the worker's guard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.boot import TAKEOVER_SECONDS, boot
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import (
    API,
    DEPLOY_SERVER,
    SERVICES,
    WORKER,
    BootRecord,
    Guard,
    Ports,
    Refused,
    Service,
    Task,
    Unavailable,
    WorkerStatus,
)
from ghosthands_agent.settings import Settings
from model.agent_conf import SETTINGS
from model.ports import SimulatedTask
from unit.simulated_instance import INSTANCE_ID, SimulatedInstance

RAW = Service("running", container="raw", name="ghosthands-worker", foreign=True)
LISTENS = replace(RAW, listens=True)
LOOPS = replace(RAW, state="restarting", container="loops", name="second")
OWN = Service("running", container="own", name="ghosthands-worker-1")
ATTACHED, BROKEN = Guard(attached=True), Guard(attached=False, problems=("No stop() there.", "No class."))


class SharedHost:
    """A host's Docker and its worker. The worker answers while a container `listens`, or compose's runs alone.

    Attributes:
        instance_id: the id that the worker answers with; empty: it does not answer.
        busy_until: until when it has a job.
        did: what was done, in order.
        guard: what the worker that compose starts reports.
        comes_back: whether somebody starts again at once what is removed.
    """

    def __init__(self, *workers: Service, api: Sequence[Service] = (), deploy_server: Sequence[Service] = ()) -> None:
        self.instance = SimulatedInstance()
        self.found = {WORKER: [*workers], API: [*api], DEPLOY_SERVER: [*deploy_server]}
        self.instance_id = INSTANCE_ID
        self.busy_until = 0.0
        self.did: list[str] = []
        self.guard: Guard | None = ATTACHED
        self.comes_back = False

    def boot(self, settings: Settings = SETTINGS) -> int:
        return self.instance.run(boot(self.ports(), settings, Paths()), 10_000)

    @property
    def record(self) -> BootRecord:
        assert self.instance.host.boot_record is not None
        return self.instance.host.boot_record

    def ports(self) -> Ports:
        return replace(self.instance.ports(), compose=self, worker=self)

    def status(self) -> WorkerStatus:
        listening = [each for each in self.found[WORKER] if each.listens] or [
            each for each in self.found[WORKER] if each.runs
        ]
        if not listening or not self.instance_id:
            raise Unavailable("worker:/worker/status", "Timeout")
        busy = self.instance.now < self.busy_until
        guard = None if listening[0].foreign else self.guard
        return WorkerStatus(self.instance_id, self.instance_id, int(busy), True, False, "queue", guard)

    def drain(self) -> None:
        raise AssertionError("it would release a job that still runs")

    def up(self, services: Collection[str] = SERVICES) -> Task[None]:
        def up() -> None:
            self.did.append(f"up {','.join(sorted(services))}")
            for name in services:
                if not any(each.runs and not each.foreign for each in self.found[name]):
                    self.found[name].append(replace(OWN, container=f"own-{name}"))
            running = [each for each in self.found[WORKER] if each.runs]
            assert len(running) <= 1, f"two workers: {running}"

        return SimulatedTask(self.instance.timeline, 1.0, up)

    def remove(self, containers: Collection[str], grace: float) -> Task[None]:
        def remove() -> None:
            gone = [each for each in self.found[WORKER] if each.container in containers]
            assert not any(each.listens for each in gone) or self.instance.now >= self.busy_until, "cut off"
            self.did.append(f"remove {','.join(sorted(containers))}")
            if self.comes_back:
                return
            for name, found in self.found.items():
                self.found[name] = [each for each in found if each.container not in containers]

        assert grace >= 40
        return SimulatedTask(self.instance.timeline, 0.5, remove)

    def containers(self) -> Mapping[str, Sequence[Service]]:
        return {name: list(found) for name, found in self.found.items() if found}

    def restarts(self, service: str) -> int:
        return 0

    def services(self) -> Mapping[str, Service]:
        return {name: found[0] for name, found in self.containers().items()}

    def terminate(self, service: str) -> None:
        raise AssertionError("boot signals nothing by service")

    def stop(self, services: Collection[str], grace: float) -> Task[None]:
        raise AssertionError("boot stops nothing by service")


ALL = "up api,deploy-server,worker"


def test_a_worker_that_somebody_else_started_is_replaced_if_it_is_idle() -> None:
    host = SharedHost(LISTENS)
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server", "remove raw", ALL]
    assert (host.record.state, host.record.guard) == ("completed", "attached")


def test_a_busy_one_is_replaced_when_its_job_has_ended() -> None:
    host = SharedHost(LISTENS)
    host.busy_until = host.instance.now + 300
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server", "remove raw", ALL]
    assert host.instance.now >= host.busy_until


def test_one_that_is_busy_for_too_long_stays_and_the_record_says_whose_it_is() -> None:
    host = SharedHost(LISTENS)
    began, host.busy_until = host.instance.now, host.instance.now + 10_000
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server"]
    assert host.record.state == "completed"
    assert host.record.guard == "absent: container ghosthands-worker was started by somebody else"
    took = host.instance.now - began
    assert SETTINGS.boot_timeout_seconds - TAKEOVER_SECONDS <= took < SETTINGS.boot_timeout_seconds
    assert host.instance.steps("foreign_worker_stays")


def test_one_whose_status_fails_for_a_moment_is_not_taken_for_idle() -> None:
    host = SharedHost(LISTENS)
    host.busy_until = host.instance.now + 300
    host.instance.after(100, setattr, host, "instance_id", "")
    host.instance.after(150, setattr, host, "instance_id", INSTANCE_ID)
    assert host.boot() == 0
    assert host.instance.now >= host.busy_until


def test_without_knowledge_of_the_port_the_one_that_runs_is_taken_for_the_worker() -> None:
    host = SharedHost(RAW)
    host.busy_until = host.instance.now + 60
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server", "remove raw", ALL]
    assert host.instance.now >= host.busy_until


def test_a_stale_second_worker_goes_before_anything_starts_and_composes_own_is_left_alone() -> None:
    host = SharedHost(replace(OWN, listens=True), LOOPS)
    host.busy_until = host.instance.now + 10_000
    assert host.boot() == 0
    assert host.did == ["remove loops", ALL]
    assert host.found[WORKER] == [replace(OWN, listens=True)]


def test_composes_own_worker_goes_first_if_it_is_the_second() -> None:
    host = SharedHost(LISTENS, replace(OWN, state="restarting"), LOOPS)
    assert host.boot() == 0
    assert host.did == ["remove loops,own", "up api,deploy-server", "remove raw", ALL]


@pytest.mark.parametrize("answer", ["", "i-00000000000000001"])
def test_a_worker_that_does_not_answer_as_this_instances_is_replaced(answer: str) -> None:
    host = SharedHost(LISTENS)
    host.instance_id = answer
    host.instance.after(30, setattr, host, "instance_id", INSTANCE_ID)  # compose's does
    assert host.boot() == 0
    assert host.did == ["remove raw", ALL]


def test_one_that_docker_has_just_started_gets_a_moment_to_answer() -> None:
    host = SharedHost(RAW)
    host.instance_id = ""
    host.busy_until = host.instance.now + 60
    host.instance.after(6, setattr, host, "instance_id", INSTANCE_ID)
    host.instance.after(6, host.found[WORKER].__setitem__, 0, LISTENS)
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server", "remove raw", ALL]
    assert host.instance.now >= host.busy_until


def test_api_and_deploy_server_are_replaced_at_once_for_they_hold_no_jobs() -> None:
    api, server = replace(RAW, container="raw-api"), replace(RAW, container="raw-server", state="exited")
    host = SharedHost(LISTENS, api=[api], deploy_server=[server])
    host.busy_until = host.instance.now + 100
    assert host.boot() == 0
    assert host.did == ["remove raw-api,raw-server", "up api,deploy-server", "remove raw", ALL]


def test_a_deployment_while_boot_waits_is_replaced_too() -> None:
    host = SharedHost(LISTENS)
    host.busy_until = host.instance.now + 100
    again = replace(LISTENS, container="again")
    host.instance.after(50, host.found[WORKER].__setitem__, 0, again)
    assert host.boot() == 0
    assert host.did == ["up api,deploy-server", "remove raw", "up api,deploy-server", "remove again", ALL]


def test_containers_that_come_back_for_ever_fail_the_boot() -> None:
    host = SharedHost(api=[replace(RAW, container="raw-api")])
    host.comes_back = True
    assert host.boot() == 1
    assert host.record.reason == "somebody starts containers of the project again and again"


def test_a_boot_that_waits_for_somebody_elses_worker_withdraws_when_the_instance_terminates() -> None:
    host = SharedHost(LISTENS)
    host.busy_until = host.instance.now + 10_000
    host.instance.after(60, host.instance.terminate)
    assert host.boot() == 0
    assert host.record.state == "withdrawn"
    assert host.did == ["up api,deploy-server"]


# --- the guard --------------------------------------------------------------------------------------------------------


def test_the_guard_is_written_before_the_worker_starts_and_what_it_reports_is_recorded() -> None:
    host = SharedHost()
    assert host.boot() == 0
    assert "guard" in host.instance.host.files
    assert host.record.guard == "attached"
    assert host.instance.steps("worker_guard") == [{"guard": "attached"}]


@pytest.mark.parametrize(
    ("guard", "reason"),
    [(BROKEN, "absent: No stop() there. No class."), (None, "absent: the worker's status has no drain_guard")],
)
def test_a_preferred_guard_that_is_absent_is_recorded_with_its_reason(guard: Guard | None, reason: str) -> None:
    host = SharedHost()
    host.guard = guard
    assert host.boot() == 0
    assert (host.record.state, host.record.guard) == ("completed", reason)
    assert host.instance.steps("worker_guard") == [{"guard": reason}]


def test_a_required_guard_that_is_absent_fails_the_boot_by_name() -> None:
    host = SharedHost()
    host.guard = BROKEN
    assert host.boot(replace(SETTINGS, worker_guard="required")) == 1
    assert (host.record.state, host.record.phase) == ("failed", "registration")
    assert host.record.reason == "worker guard absent: No stop() there. No class."
    assert host.record.guard == "absent: No stop() there. No class."


@pytest.mark.parametrize(("setting", "guard"), [("preferred", "absent: no worker answers: "), ("off", "")])
def test_a_worker_that_never_answers_has_no_guard_in_the_record(
    setting: Literal["preferred", "off"], guard: str
) -> None:
    """As one that crashes in its start."""
    host = SharedHost()
    host.instance_id = ""
    assert host.boot(replace(SETTINGS, worker_guard=setting)) == 1
    assert (host.record.state, host.record.phase) == ("failed", "registration")
    assert host.record.guard == (guard and f"{guard}{host.record.reason}")
    assert [line["guard"] for line in host.instance.steps("worker_guard")] == [host.record.guard] * bool(guard)


def test_a_boot_that_fails_before_the_worker_says_nothing_of_its_guard() -> None:
    host = SharedHost()
    host.instance.faults["secret"] = [Refused("secretsmanager:GetSecretValue", "ValidationException")] * 1000
    assert host.boot() == 1
    assert host.record.guard == ""


def test_without_a_guard_wanted_none_is_written() -> None:
    host = SharedHost()
    host.guard = None
    assert host.boot(replace(SETTINGS, worker_guard="off")) == 0
    assert "guard" not in host.instance.host.files
    assert host.record.guard == "off"
