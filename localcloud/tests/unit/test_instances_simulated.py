"""Simulated machines, on a clock that the test moves."""

from __future__ import annotations

import pytest
from localcloud.instances import Machine
from localcloud.instances.simulated import SimulatedHost, Timetable


class Recorder:
    """A listener that records reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def running(self, instance_id: str) -> None:
        self.reports.append(("running", instance_id))

    def ended(self, instance_id: str, cause: str, reason: str) -> None:
        self.reports.append((cause, instance_id))

    def image_made(self, image_id: str, problem: str | None) -> None:
        self.reports.append(("image failed" if problem else "image", image_id))


class HostDriver:
    """A host with its clock and listener."""

    def __init__(self, boot_seconds: float = 0, agent_seconds: float | None = None) -> None:
        self.now = 1000.0
        self.timetable = Timetable(lambda: self.now)
        self.listener = Recorder()
        self.finished: list[str] = []
        self.host = SimulatedHost(
            self.listener,
            self.timetable,
            boot_seconds=boot_seconds,
            agent_seconds=agent_seconds,
            complete_hooks=self.finished.append,
        )

    def launch(self, id: str = "i-1") -> None:
        self.host.launch(Machine(id, "ami-1", "172.28.1.5", "172.28.1.0/24", "172.28.0.0/16", "ip-172-28-1-5"))

    def wait(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass, and return the reports since the last call."""
        self.now += seconds
        self.timetable.tick()
        reports, self.listener.reports = self.listener.reports, []
        return reports


def test_a_machine_without_boot_time_runs_as_soon_as_it_is_launched() -> None:
    driver = HostDriver()
    driver.launch()
    assert driver.wait(0) == [("running", "i-1")]


def test_a_machine_runs_after_its_boot_and_not_before() -> None:
    driver = HostDriver(boot_seconds=30)
    driver.launch()
    assert driver.wait(29.9) == []
    assert driver.wait(0.2) == [("running", "i-1")]


def test_a_machine_that_is_switched_off_while_it_boots_never_runs() -> None:
    for end, cause in ((SimulatedHost.stop, "stopped"), (SimulatedHost.terminate, "terminated")):
        driver = HostDriver(boot_seconds=30)
        driver.launch()
        end(driver.host, "i-1")
        assert driver.wait(100) == [(cause, "i-1")]


def test_a_machine_that_is_started_again_boots_again() -> None:
    driver = HostDriver(boot_seconds=30)
    driver.launch()
    driver.wait(10)
    driver.host.stop("i-1")
    driver.host.start("i-1")
    assert driver.wait(20) == [("stopped", "i-1")]  # the first boot's time is up, and nothing comes of it
    assert driver.wait(10) == [("running", "i-1")]


def test_an_image_is_made_at_once() -> None:
    driver = HostDriver()
    driver.host.make_image("i-1", "ami-2", reboot=True)
    assert driver.wait(0) == [("image", "ami-2")]


def test_an_agent_completes_a_launch_at_once_and_a_termination_after_its_drain() -> None:
    driver = HostDriver(agent_seconds=45)
    driver.host.lifecycle_state_changed("i-1", "Pending:Wait")
    driver.wait(0)
    assert driver.finished == ["i-1"]
    driver.host.lifecycle_state_changed("i-1", "InService")
    driver.host.lifecycle_state_changed("i-1", "Terminating:Wait")
    driver.wait(44)
    assert driver.finished == ["i-1"]
    driver.wait(1)
    assert driver.finished == ["i-1", "i-1"]


def test_without_an_agent_no_lifecycle_action_is_completed() -> None:
    driver = HostDriver()
    driver.host.lifecycle_state_changed("i-1", "Terminating:Wait")
    driver.wait(1e6)
    assert driver.finished == []


def test_launches_can_be_completed_while_terminations_wait() -> None:
    driver = HostDriver()
    driver.host.completes_launches = True
    driver.host.lifecycle_state_changed("i-1", "Terminating:Wait")
    driver.host.lifecycle_state_changed("i-2", "Pending:Wait")
    driver.wait(1e6)
    assert driver.finished == ["i-2"]


def test_a_closed_host_has_forgotten_everything() -> None:
    driver = HostDriver(boot_seconds=30, agent_seconds=5)
    driver.launch()
    driver.host.lifecycle_state_changed("i-2", "Terminating:Wait")
    driver.host.close()
    assert driver.wait(100) == []
    assert driver.finished == []


def test_due_actions_run_in_order_with_those_that_they_make_due() -> None:
    now = 0.0
    timetable, done = Timetable(lambda: now), list[str]()
    timetable.after(2, lambda: done.append("second"))
    timetable.after(1, lambda: timetable.after(0, lambda: done.append("third")))
    timetable.after(1, lambda: done.append("first"))
    now = 5.0
    timetable.tick()
    assert done == ["first", "second", "third"]


def test_an_action_that_fails_is_not_tried_again_and_keeps_no_other_from_happening() -> None:
    timetable, done = Timetable(lambda: 0.0), list[str]()

    def fail() -> None:
        raise RuntimeError("on purpose")

    timetable.after(0, fail)
    timetable.after(0, lambda: done.append("other"))
    with pytest.raises(RuntimeError):
        timetable.tick()
    timetable.tick()
    assert done == ["other"]
