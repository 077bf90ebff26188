"""The differential test: the differences that the comparison reports, against what the stock tasks then change.

Each test restores a whole fleet, changes something behind the playbooks' back and runs a playbook with fleet_force, so
that every stock task runs. The run's first task reports the comparison's verdict, each later one whether it changed
something, and the trace what it wrote. A task that changes something without a reported difference is a false
"As desired", a difference without a change a false alarm. A comparison in check mode afterwards finds no difference.

`make test` makes the quick changes of all sections at once; `make fleet` makes each change by itself as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from localcloud.testing import is_write

from tests.fleet.changes import CHANGES, MISSING, TASKS, Change
from tests.fleet.cloud import Run
from tests.fleet.fleet import FullFleet

KEYS = {task: key for key, task in TASKS.items()}
#: Tasks with a `when` that skips them if the resource exists, because their modules write on every run.
SKIPPED_IF_EXISTING = {"key_pair", "access_key", "key_file"}
#: Tasks that write files and make no API call.
LOCAL = {"folder", "env", "script", "key_file"}


class Outcome(NamedTuple):
    """What one run of a playbook reported."""

    differences: dict[str, str]
    """key of TASKS -> the parameters that differ, or MISSING"""
    tasks: dict[str, str]
    """key of TASKS -> changed | ok | skipped | failed"""
    writes: dict[str, list[str]]
    """key of TASKS -> the writing API calls of the task"""

    @property
    def changed(self) -> set[str]:
        """Keys of the tasks that changed something."""
        return {key for key, outcome in self.tasks.items() if outcome == "changed"}


@pytest.fixture(scope="module")
def table() -> list[str]:
    """Lines that are printed at the end."""
    return []


@pytest.fixture(scope="module")
def running_fleet(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, table: list[str]
) -> Iterator[FullFleet]:
    """A fleet with every optional part, built once."""
    with FullFleet.start_process(
        tmp_path_factory.mktemp("drift"), propagation_seconds=3, complete_launch_hooks=True
    ) as fleet:
        fleet.build()
        yield fleet
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "\n".join(table))


@pytest.fixture
def fleet(running_fleet: FullFleet) -> FullFleet:
    """The fleet as it was built."""
    running_fleet.restore()
    return running_fleet


def play(fleet: FullFleet, playbook: str, *more: str, **variables: Any) -> tuple[Run, Outcome]:
    fleet.clear_trace()
    fleet.record.write_text("")
    run = fleet.play(f"playbooks/{playbook}.yml", *more, **fleet.options | variables)
    outcome = Outcome({}, {}, {})
    for line in map(json.loads, fleet.record.read_text().splitlines()):
        if line["differs"] is not None:
            for found in line["differs"]:
                outcome.differences[KEYS[found["task"]]] = (
                    MISSING if found["missing"] else " ".join(found["parameters"])
                )
        elif key := KEYS.get(line["task"]):
            outcome.tasks[key] = line["outcome"]
            if calls := [action for action in line["calls"] if is_write(action)]:
                outcome.writes[key] = calls
    return run, outcome


def assert_repaired(
    fleet: FullFleet, playbook: str, expected: Mapping[str, str], tolerated: Iterable[str] = (), **variables: Any
) -> Outcome:
    """A forced run reports and changes exactly what is expected, and afterwards nothing differs."""
    run, outcome = play(fleet, playbook, fleet_force=True, **variables)
    assert run.returncode == 0, run
    assert outcome.differences == expected, run
    assert outcome.changed == expected.keys() | set(tolerated), run
    assert outcome.writes.keys() == outcome.changed - LOCAL, outcome.writes
    if outcome.changed:
        again, after = play(fleet, playbook, "--check", **variables)
        assert (again.returncode, again.changed, after.differences) == (0, 0, {}), again
    return outcome


def together(changes: Iterable[Change]) -> dict[str, str]:
    """The differences of several changes."""
    found: dict[str, set[str]] = {}
    for key, what in (difference for change in changes for difference in change.differs.items()):
        found.setdefault(key, set()).update([what] if what == MISSING else what.split())
    return {key: MISSING if MISSING in what else " ".join(sorted(what)) for key, what in found.items()}


QUICK = [change for change in CHANGES if change.quick]


def test_changes_to_every_section_at_once_are_reported_and_repaired(fleet: FullFleet) -> None:
    changes = [change for change in QUICK if change.differs]
    for change in changes:
        change.apply(fleet)
    expected = together(changes)
    assert "template" in expected  # whose new version the group has to use
    settings = {"settings": f"launch_template {expected['settings']}"}
    assert_repaired(fleet, "site", expected | settings, fleet_new_version="adopt")


def test_harmless_changes_are_not_reported_and_a_forced_run_writes_nothing(fleet: FullFleet) -> None:
    for change in (change for change in QUICK if not change.differs):
        change.apply(fleet)
    outcome = assert_repaired(fleet, "site", {})
    assert outcome.tasks.keys() == TASKS.keys()
    assert {key for key, result in outcome.tasks.items() if result == "skipped"} == SKIPPED_IF_EXISTING
    assert len(fleet.calls()) > 2 * 25, "the stock modules made their own calls"
    assert not any("DesiredCapacity" in call["parameters"] for call in fleet.calls())


@pytest.mark.slow
@pytest.mark.parametrize("change", [pytest.param(change, id=change.description) for change in CHANGES])
def test_the_comparison_reports_exactly_what_the_stock_tasks_change(
    fleet: FullFleet, table: list[str], change: Change
) -> None:
    group = fleet.settings()
    change.apply(fleet)
    outcome = assert_repaired(fleet, change.section, change.differs, change.tolerated, **change.variables)
    drift = ", ".join(f"{key}: {what}" for key, what in outcome.differences.items()) or "as desired"
    changed = ", ".join(sorted(outcome.changed)) or "nothing"
    table.append(f"{change.section:18} {change.description:55} {drift:55} {changed}")
    if change.section == "autoscaling_group" and change.differs and not change.variables:
        # This section's module is ours, so its word is not enough.
        assert MISSING in change.differs.values() or fleet.settings() == group
