# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to a fleet of agents in virtual time: who is told when, what stops it, and how it goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import (
    COMMAND,
    WANT,
    Answer,
    Told,
    Wish,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    GroupInstance,
    Instance,
    Tag,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.command import (
    SILENT_SECONDS,
    Command,
    Policy,
    Refused,
    Stopped,
)

DIGEST = "sha256:" + "0f" * 32
SEES = 4.0  # seconds until an agent answers "begun"


class Killed(Exception):
    """The controller is killed."""


@dataclass
class Host:
    """An instance whose agent answers: begun after SEES, then its final state `works` seconds later."""

    works: float = 10.0
    state: str = "done"
    reason: str = ""
    lifecycle: str = "InService"
    busy: bool = False
    agent: bool = True
    shows_tags: bool = True
    runs: bool = True
    wish: Wish | None = None
    told_at: float = 0.0
    answers: list[str] = field(default_factory=list)


class Fleet:
    """The group, its tags and agents: procedures.command.Channel.

    Attributes:
        restarting: how many hosts worked at once, at most.
        calls: every write.
        kill_at: the number of the write before which, or after which, the controller is killed.
    """

    def __init__(self, **hosts: Host) -> None:
        self.hosts = {f"i-{name}": host for name, host in hosts.items()}
        self.now, self.restarting = 1000.0, 0
        self.suspended = {"AZRebalance"}
        self.tags = dict[str, Tag]()
        self.calls: list[str] = []
        self.kill_at, self.kill_after = 0, False
        self.events: list[tuple[float, Callable[[], object]]] = []

    # --- time ---

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for event in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(event)
            event[1]()
        self.restarting = max(self.restarting, sum(self.told(h).state == "begun" for h in self.hosts.values()))

    def told(self, host: Host) -> Told:
        passed = self.now - host.told_at
        if host.wish is None or not host.agent or passed < SEES:
            return Told(host.wish)
        state = "begun" if passed < SEES + host.works else host.state
        return Told(host.wish, Answer(host.wish.verb, host.wish.id, state, host.reason if state != "begun" else ""))

    # --- the channel ---

    def group(self) -> Group:
        members = tuple(
            GroupInstance(id, host.lifecycle, "Healthy", "a", "t3.medium", "1", host.busy)
            for id, host in self.hosts.items()
        )
        return Group(
            "g",
            "arn:g",
            0,
            10,
            len(members),
            suspended_processes=frozenset(self.suspended),
            tags=dict(self.tags),
            instances=members,
        )

    def instances(self) -> Mapping[str, Instance]:
        shown = {True: {"InstanceMetadataTags": "enabled"}, False: {}}
        return {
            id: Instance(
                id,
                "running" if host.runs else "stopped",
                "ami",
                "t3.medium",
                0.0,
                metadata=shown[host.shows_tags],
                told=self.told(host),
            )
            for id, host in self.hosts.items()
        }

    def _write(self, what: str, change: Callable[[], None]) -> None:
        number = len(self.calls) + 1
        if number == self.kill_at and not self.kill_after:
            raise Killed
        self.calls.append(what)
        change()
        if number == self.kill_at:
            raise Killed

    def want(self, instances: Sequence[str], wish: Wish) -> None:
        def tell() -> None:
            for id in instances:
                self.hosts[id].wish, self.hosts[id].told_at = wish, self.now

        self._write(f"want {wish.verb} {' '.join(sorted(instances))}", tell)

    def _tag(self, key: str, wish: Wish | None, propagated: bool) -> None:
        def tag() -> None:
            self.tags.pop(key, None)
            if wish:
                self.tags[key] = Tag(wish.text, propagated)

        self._write(f"{'tag' if wish else 'untag'} {key}", tag)

    def want_of_launches(self, wish: Wish | None) -> None:
        self._tag(WANT, wish, True)

    def record(self, wish: Wish | None) -> None:
        self._tag(COMMAND, wish, False)

    def suspend_launch(self) -> None:
        self._write("suspend", lambda: self.suspended.add("Launch"))

    def resume_launch(self) -> None:
        self._write("resume", lambda: self.suspended.discard("Launch"))

    # --- commands ---

    def command(self, verb: str, *only: str, id: str = "0a1b2c3d", batch: int = 2, **other: bool) -> Command:
        wish = Wish(verb, id, DIGEST if verb == "release" else "")
        self.lines: list[str] = []
        job: Callable[[str], str] = lambda id: f"job of {id}"  # noqa: E731
        return Command(
            self, wish, only, Policy(1, batch), job, lambda: self.now, self.sleep, self.lines.append, **other
        )

    def run(self, verb: str, *only: str, timeout: float = 2700, **other: object) -> list[str]:
        return self.command(verb, *only, **other).run(timeout)  # type: ignore[arg-type]


def fleet(number: int = 5) -> Fleet:
    return Fleet(**{str(n): Host() for n in range(number)})


# --- pause and resume ---


def test_a_pause_suspends_launch_before_it_tells_everyone_at_once() -> None:
    them = fleet()
    assert them.run("hold") == [f"i-{n}" for n in range(5)]
    assert them.calls == ["suspend", f"tag {WANT}", "want hold i-0 i-1 i-2 i-3 i-4"]
    assert them.group().paused
    assert them.now - 1000 < SEES + 10 + 3


def test_a_resume_lets_go_of_everything_and_leaves_no_tag() -> None:
    them = fleet()
    them.run("hold")
    them.calls.clear()
    them.run("resume", id="11111111")
    assert them.calls == ["want resume i-0 i-1 i-2 i-3 i-4", f"untag {WANT}", "resume"]
    assert (them.tags, them.suspended) == ({}, {"AZRebalance"})


@pytest.mark.parametrize("verb", ["hold", "resume", "release"])
def test_what_is_so_already_is_left_alone(verb: str) -> None:
    them = fleet()
    them.run("hold", id="99999999")
    them.run(verb)
    them.calls.clear()
    assert them.run(verb, id="22222222") == []
    assert them.calls == []


def test_a_renewal_is_a_new_one_each_time() -> None:
    them = fleet(2)
    them.run("renew")
    assert them.run("renew", id="22222222") == ["i-0", "i-1"]


def test_launch_stays_suspended_where_the_fleet_wants_that() -> None:
    them = fleet()
    them.run("hold")
    them.run("resume", id="11111111", keep_suspended=True)
    assert "Launch" in them.suspended


def test_some_instances_are_held_without_the_group() -> None:
    them = fleet()
    assert them.run("hold", "i-1", "i-3") == ["i-1", "i-3"]
    assert them.calls == ["want hold i-1 i-3"]
    them.run("resume", "i-1", id="11111111")
    assert them.hosts["i-3"].wish == Wish("hold", "0a1b2c3d")


def test_an_instance_that_is_launched_during_a_pause_is_waited_for() -> None:
    them = fleet(1)
    late = Host(lifecycle="Pending", wish=Wish("hold", "0a1b2c3d"), told_at=1005.0)
    them.events.append((1006.0, lambda: them.hosts.update({"i-late": late})))
    them.run("hold")
    assert them.told(late).state == "done"


def test_running_jobs_are_shown_while_a_pause_waits_for_them() -> None:
    them = Fleet(a=Host(works=600))
    them.run("hold")
    assert any("1 begun, i-a has job of i-a" in line for line in them.lines)


# --- batches ---


def test_a_renewal_begins_with_a_canary_that_is_idle_and_never_exceeds_its_batch() -> None:
    them = fleet(7)
    them.hosts["i-0"].busy = True
    them.run("renew", batch=3)
    told = [call.removeprefix("want renew ").split() for call in them.calls if call.startswith("want")]
    assert told[0] == ["i-1"]
    assert them.restarting <= 3
    assert sorted(id for ids in told for id in ids) == sorted(them.hosts)
    assert COMMAND not in them.tags


def test_a_failure_stops_it_and_names_host_and_reason() -> None:
    them = fleet(6)
    them.hosts["i-2"] = Host(state="failed", reason="no key GH_SERVICE_SECRET")
    with pytest.raises(Stopped, match=r"i-2 has failed: no key GH_SERVICE_SECRET\. No further instance was told"):
        them.run("renew", batch=1)
    assert [id for id, host in them.hosts.items() if host.wish] == ["i-0", "i-1", "i-2"]
    assert them.tags == {}, "the next one begins anew"
    them.hosts["i-2"].state = "done"
    them.run("renew", id="22222222")


def test_a_bad_canary_is_the_only_one_told() -> None:
    them = fleet(6)
    them.hosts["i-0"] = Host(state="failed", reason="the worker is not registered after 900 s")
    with pytest.raises(Stopped, match="not registered"):
        them.run("release")
    assert [id for id, host in them.hosts.items() if host.wish] == ["i-0"]
    assert WANT not in them.tags, "no new instance gets it"


def test_an_agent_that_does_not_answer_stops_a_renewal_and_not_a_pause() -> None:
    them = fleet(4)
    them.hosts["i-0"].agent = False
    with pytest.raises(Stopped, match="No answer from i-0"):
        them.run("renew")
    assert them.now - 1000 < SILENT_SECONDS + 5
    with pytest.raises(Stopped, match="No answer from i-0"):
        them.run("hold")
    assert {them.told(host).state for id, host in them.hosts.items() if id != "i-0"} == {"done"}


@pytest.mark.parametrize("verb", ["hold", "renew"])
def test_a_stopped_instance_in_standby_is_told_and_not_waited_for(verb: str) -> None:
    them = fleet(3)
    them.hosts["i-0"] = Host(agent=False, runs=False, lifecycle="Standby")
    assert "i-0" in them.run(verb)
    assert them.hosts["i-0"].wish == Wish(verb, "0a1b2c3d")
    assert verb == "hold" or "want renew i-1" in them.calls, "which is no canary"


def test_one_that_drains_meanwhile_ignores_it_and_one_that_ends_is_not_waited_for() -> None:
    them = fleet(4)
    them.hosts["i-1"] = Host(state="ignored", reason="the instance drains", works=0)
    them.events.append((1030.0, lambda: them.hosts.pop("i-3")))
    them.hosts["i-3"].works = 5000
    them.hosts["i-2"].lifecycle = "Terminating:Wait"
    assert "i-2" not in them.run("renew", batch=4)


def test_a_release_tells_new_instances_once_its_canary_is_good() -> None:
    them = fleet(4)
    them.run("release", finish=False)
    assert them.calls.index("want release i-0") < them.calls.index(f"tag {WANT}")
    assert them.tags.keys() == {WANT, COMMAND}
    them.run("release", id="33333333")
    assert them.tags == {}
    assert {host.wish.id for host in them.hosts.values() if host.wish} == {"0a1b2c3d"}


def test_an_incident_takes_the_place_of_a_renewal() -> None:
    them = fleet(3)
    them.events.append((1020.0, lambda: them.run("hold", id="99999999")))
    with pytest.raises(Stopped, match="hold@99999999 took its place"):
        them.run("renew", batch=3)


# --- refusals ---


def test_another_command_under_way_is_refused_and_nothing_is_changed() -> None:
    them = fleet()
    them.record(Wish("renew", "77777777"))
    them.calls.clear()
    with pytest.raises(Refused, match="renew@77777777 under way"):
        them.run("release")
    assert them.calls == []
    them.run("resume", id="11111111")
    assert them.tags == {}, "which gives it up"


def test_instances_without_tags_in_their_metadata_are_refused_before_anyone_is_told() -> None:
    them = fleet()
    them.hosts["i-4"].shows_tags = False
    with pytest.raises(Refused, match="1 instance cannot see wishes: i-4"):
        them.run("renew")
    assert them.calls == []


def test_an_unknown_instance_is_refused() -> None:
    with pytest.raises(Refused, match="fleet_instances: i-9 not in g"):
        fleet().run("hold", "i-0", "i-9")


def test_a_plan_changes_nothing() -> None:
    them = fleet()
    assert them.command("hold").plan().untold == tuple(them.hosts)
    assert them.calls == []


# --- interruption ---


def calls_of(verb: str) -> int:
    them = fleet()
    if verb == "resume":
        them.run("hold", id="99999999")
        them.calls.clear()
    them.run(verb)
    return len(them.calls)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["hold", "resume", "renew", "release"])
def test_a_kill_at_any_write_is_picked_up_by_the_same_command(verb: str, after: bool) -> None:
    for at in range(1, calls_of(verb) + 1):
        them = fleet()
        if verb == "resume":
            them.run("hold", id="99999999")
            them.calls.clear()
        them.kill_at, them.kill_after = at, after
        with pytest.raises(Killed):
            them.run(verb)
        them.kill_at = 0
        them.sleep(3)
        them.run(verb, id="22222222")
        assert {them.told(host).state for host in them.hosts.values()} == {"done"}, at
        assert (set(them.tags), "Launch" in them.suspended) == (({WANT}, True) if verb == "hold" else (set(), False)), (
            at
        )
        if verb == "renew":
            began = {host.wish.id for host in them.hosts.values() if host.wish}
            assert len(began) == 1, "nobody is renewed twice"


def test_after_the_time_is_over_it_goes_on_and_the_same_command_follows_it() -> None:
    them = Fleet(a=Host(works=500), b=Host())
    with pytest.raises(Stopped, match=r"1 begun.*, after 60 s\. It goes on: run this again"):
        them.run("hold", timeout=60)
    them.calls.clear()
    them.run("hold", id="22222222")
    assert them.calls == []


def test_tags_that_describe_shows_late_are_not_written_again_and_again() -> None:
    them = fleet(3)
    shown = them.instances

    def late() -> Mapping[str, Instance]:
        return {
            id: replace(one, told=Told()) if them.now - them.hosts[id].told_at < 3 else one
            for id, one in shown().items()
        }

    them.instances = late  # type: ignore[method-assign]
    them.run("renew", batch=1)
    assert len([call for call in them.calls if call.startswith("want")]) == 3
