"""A fleet in which no instance can serve: its launches in an hour, and how soon it works once the cause is gone."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from functools import partial

import pytest
from ghosthands_agent import watch
from ghosthands_agent.ports import Ports
from ghosthands_agent.settings import Settings
from model.agent_conf import IMAGE, LAUNCH_HOOK, settings

from localcloud import fleet as group
from schedules.agent_host import AgentHost, Procedures
from schedules.results import GUARD
from schedules.schedule import draw
from schedules.simulated_fleet import START, SimulatedFleet

HOUR, MINUTE = 3600.0, 60.0
DESIRED, LIMIT = 3, 3
FIRST_SECONDS = 60.0  # the first instances have been launched by then
PULL_SECONDS = 60.0  # what a pull takes at most in the model


class FailingFleet:
    """A fleet under a cause, in virtual time."""

    def __init__(self, cause: str, *, launch_hook: bool) -> None:
        self.cause = cause
        schedule = replace(draw(7, 1), jobs=(), events=(), max_size=DESIRED, launch_hook=launch_hook, retains=True)
        procedures = Procedures(boot=_no_boot, watch=_unfit) if cause == "no agent.conf" else Procedures()
        of_agent = settings(IMAGE=IMAGE, LAUNCH_HOOK=LAUNCH_HOOK if launch_hook else "")
        make_host = partial(AgentHost, procedures=procedures, settings=of_agent)
        self.fleet = SimulatedFleet(schedule, make_host, with_agent=True, guard=GUARD)
        self.fleet.image_is_baked = cause != "missing image"
        self._crashes_until = -math.inf
        self.last_until(math.inf)
        self.fleet.apply(self.fleet.group.start(START))
        desired = group.resized(self.fleet.group.settings, min_size=None, max_size=None, desired=DESIRED)
        self.fleet.apply(self.fleet.group.update(desired, START))
        self._crash()

    def last_until(self, moment: float) -> None:
        """Let the cause last until then."""
        conditions = self.fleet.conditions
        match self.cause:
            case "bad secret":
                conditions.secret_missing = moment
            case "missing image":
                conditions.image_missing = moment
            case "container refused":
                conditions.container_refused = moment
            case "crash loop":
                self._crashes_until = moment

    def _crash(self) -> None:
        if self.fleet.timeline.now < self._crashes_until:
            for host in list(self.fleet.hosts.values()):
                host.crash_worker()
            self.fleet.timeline.after(20, self._crash)

    def run(self, seconds: float) -> None:
        self.fleet.timeline.run_until(self.fleet.timeline.now + seconds)

    @property
    def launches(self) -> int:
        return len(self.fleet.launches(START))

    def most_launches_in_an_hour(self) -> int:
        """After the first ones."""
        launches = [each for each in self.fleet.launches(START) if each > START + FIRST_SECONDS]
        return max((sum(0 <= each - first < HOUR for each in launches) for first in launches), default=0)

    @property
    def registered(self) -> int:
        """How many instances have a registered worker."""
        records = [host.boot_record for host in self.fleet.hosts.values() if host.worker is not None]
        return sum(record is not None and record.state == "completed" for record in records)

    def in_state(self, state: str) -> int:
        return sum(each.state == state for each in self.fleet.group.instances.values())


def _no_boot(ports: Ports, settings: Settings) -> Generator[float, None, int]:
    """Its unit has a condition: agent.conf."""
    while True:
        yield 1e6


def _unfit(ports: Ports, settings: Settings) -> Generator[float, None, int]:
    return watch.watch(ports, settings, "agent.conf cannot be read")


@pytest.mark.parametrize("launch_hook", [True, False], ids=["launch hook", "no hook"])
@pytest.mark.parametrize("cause", ["bad secret", "missing image", "container refused", "crash loop", "no agent.conf"])
def test_a_fleet_that_cannot_serve_launches_three_instances_an_hour_at_most(cause: str, launch_hook: bool) -> None:
    failing = FailingFleet(cause, launch_hook=launch_hook)
    failing.run(5 * HOUR)
    assert failing.fleet.broken_rules == []
    assert 1 <= failing.most_launches_in_an_hour() <= LIMIT
    assert failing.launches >= DESIRED + LIMIT, "it is not left alone for ever"
    assert failing.in_state("Terminating:Retained") == 0


@pytest.mark.parametrize("launch_hook", [True, False], ids=["launch hook", "no hook"])
@pytest.mark.parametrize("cause", ["bad secret", "missing image", "container refused"])
@pytest.mark.parametrize("minutes", [7, 31, 64, 133])
def test_it_works_a_minute_after_the_cause_is_gone(cause: str, launch_hook: bool, minutes: int) -> None:
    failing = FailingFleet(cause, launch_hook=launch_hook)
    failing.run(minutes * MINUTE)
    launches = failing.launches
    failing.last_until(-math.inf)
    up = sum(host.up and host.target == "InService" for host in failing.fleet.hosts.values())
    failing.run(MINUTE + (PULL_SECONDS if cause == "missing image" else 0.0))
    assert failing.registered >= up
    failing.run(10 * MINUTE)
    assert failing.registered == DESIRED
    assert failing.launches <= launches + 1, "one may have been asked for just before"
    assert failing.fleet.broken_rules == []
