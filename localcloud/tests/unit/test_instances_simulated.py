"""SimulatedHost machines: nothing but time, on a clock that the test moves."""

from __future__ import annotations

import pytest
from localcloud.instances import Host, Machine
from localcloud.instances.simulated import SimulatedHost, Timetable


class Recorder:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def running(self, instance_id: str) -> None:
        self.heard.append(("running", instance_id))

    def ended(self, instance_id: str, cause: str, reason: str) -> None:
        self.heard.append((cause, instance_id))

    def image_made(self, image_id: str, problem: str | None) -> None:
        self.heard.append(("image failed" if problem else "image", image_id))


class World:
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

    def pass_(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass; what was heard since it was last asked."""
        self.now += seconds
        self.timetable.tick()
        heard, self.listener.heard = self.listener.heard, []
        return heard


def test_a_machine_without_boot_time_runs_as_soon_as_it_is_launched() -> None:
    world = World()
    world.launch()
    assert world.pass_(0) == [("running", "i-1")]


def test_a_machine_runs_after_its_boot_and_not_before() -> None:
    world = World(boot_seconds=30)
    world.launch()
    assert world.pass_(29.9) == []
    assert world.pass_(0.2) == [("running", "i-1")]


def test_a_machine_that_is_switched_off_while_it_boots_never_runs() -> None:
    for end, cause in ((SimulatedHost.stop, "stopped"), (SimulatedHost.terminate, "terminated")):
        world = World(boot_seconds=30)
        world.launch()
        end(world.host, "i-1")
        assert world.pass_(100) == [(cause, "i-1")]


def test_a_machine_that_is_started_again_boots_again() -> None:
    world = World(boot_seconds=30)
    world.launch()
    world.pass_(10)
    world.host.stop("i-1")
    world.host.start("i-1")
    assert world.pass_(20) == [("stopped", "i-1")]  # the first boot's time is up, and nothing comes of it
    assert world.pass_(10) == [("running", "i-1")]


def test_an_image_is_made_at_once() -> None:
    world = World()
    world.host.make_image("i-1", "ami-2", reboot=True)
    assert world.pass_(0) == [("image", "ami-2")]


def test_an_agent_completes_a_launch_at_once_and_a_termination_after_its_drain() -> None:
    world = World(agent_seconds=45)
    world.host.lifecycle_state_changed("i-1", "Pending:Wait")
    world.pass_(0)
    assert world.finished == ["i-1"]
    world.host.lifecycle_state_changed("i-1", "InService")
    world.host.lifecycle_state_changed("i-1", "Terminating:Wait")
    world.pass_(44)
    assert world.finished == ["i-1"]
    world.pass_(1)
    assert world.finished == ["i-1", "i-1"]


def test_without_an_agent_no_lifecycle_action_is_completed() -> None:
    world = World()
    world.host.lifecycle_state_changed("i-1", "Terminating:Wait")
    world.pass_(1e6)
    assert world.finished == []


def test_a_closed_host_has_forgotten_everything() -> None:
    world = World(boot_seconds=30, agent_seconds=5)
    world.launch()
    world.host.lifecycle_state_changed("i-2", "Terminating:Wait")
    world.host.close()
    assert world.pass_(100) == []
    assert world.finished == []


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


def test_it_is_a_host_as_the_api_wants_it() -> None:
    host: Host = World().host
    assert host.kind == "simulated"
