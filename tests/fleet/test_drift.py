"""The differential test: what the drift says of one change against what the stock tasks do about it, both ways.

Each round restores a whole fleet, does one thing to it and runs the section's playbook with fleet_force, so that every stock task runs. The run's
own first task is the drift's verdict (the same reading as in check mode); each later task says whether it changed something, and the trace what it
wrote. A drift that is silent where a task changes is a false "as wanted", one that speaks where none does a false alarm. A last reading in check
mode finds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from localcloud.testing import is_write

from tests.fleet.changes import CHANGES, MISSING, TASKS, Change
from tests.fleet.cloud import Run
from tests.fleet.fleet import FullFleet

KEEPS = {task: key for key, task in TASKS.items()}
# A task that its `when` keeps out where the thing is there, because its module says changed, or writes, on every run.
ONLY_WHERE_MISSING = {"secret", "key_pair", "group", "access_key", "key_file"}


class Said(NamedTuple):
    """One run of a section."""

    drift: dict[str, str]
    """key of TASKS -> the parameters that differ, or MISSING"""
    stock: dict[str, str]
    """key of TASKS -> changed | ok | skipped | failed"""
    writes: dict[str, list[str]]
    """key of TASKS -> the calls by which it changed something"""


@pytest.fixture(scope="module")
def table() -> list[str]:
    """Lines that are shown when all is done."""
    return []


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, table: list[str]
) -> Iterator[FullFleet]:
    """Built once, with every optional part."""
    try:
        with FullFleet.start_process(tmp_path_factory.mktemp("drift")) as fleet:
            fleet.build()
            yield fleet
    finally:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print("\n" + "\n".join(table))


def _play(fleet: FullFleet, section: str, *more: str, **variables: Any) -> tuple[Run, Said]:
    fleet.clear_trace()
    fleet.record.write_text("")
    run = fleet.play(f"playbooks/{section}.yml", *more, **fleet.options | variables)
    drift: dict[str, str] = {}
    stock: dict[str, str] = {}
    writes: dict[str, list[str]] = {}
    for line in map(json.loads, fleet.record.read_text().splitlines()):
        if line["differs"] is not None:
            drift = {KEEPS[d["task"]]: MISSING if d["missing"] else " ".join(d["parameters"]) for d in line["differs"]}
        elif key := KEEPS.get(line["task"]):
            stock[key] = line["outcome"]
            if calls := [action for action in line["calls"] if is_write(action)]:
                writes[key] = calls
    return run, Said(drift, stock, writes)


@pytest.mark.parametrize(
    "m", [pytest.param(m, id=m.description, marks=() if m.quick else pytest.mark.slow) for m in CHANGES]
)
def test_the_drift_names_exactly_what_the_stock_tasks_change(fleet: FullFleet, table: list[str], m: Change) -> None:
    fleet.restore()
    group = fleet.settings()
    m.apply(fleet)
    run, said = _play(fleet, m.section, fleet_force=True, **m.variables)
    changed = {key for key, outcome in said.stock.items() if outcome == "changed"}
    drift = ", ".join(f"{key}: {what}" for key, what in said.drift.items()) or "as wanted"
    table.append(f"{m.section:18} {m.description:55} {drift:55} {', '.join(sorted(changed)) or 'nothing'}")
    assert run.returncode == 0, run
    assert said.drift == m.differs, run
    assert changed == said.drift.keys() | m.tolerated.keys(), run
    local = {"folder", "env", "script", "key_file"}
    assert said.writes.keys() == changed - local, said.writes
    if m.section == "autoscaling_group" and not m.variables and m.differs and MISSING not in m.differs.values():
        assert fleet.settings() == group  # this section's module is ours, so here the account itself is the judge
    if changed:
        again, left = _play(fleet, m.section, "--check", **m.variables)
        assert (again.returncode, again.changed, left.drift) == (0, 0, {}), again


@pytest.mark.slow
def test_a_forced_run_of_a_converged_fleet_changes_nothing(fleet: FullFleet) -> None:
    fleet.restore()
    run, said = _play(fleet, "site", fleet_force=True)
    assert (run.returncode, run.changed) == (0, 0), run
    assert said.drift == {}
    assert {key for key, outcome in said.stock.items() if outcome == "skipped"} == ONLY_WHERE_MISSING
    assert said.writes == {}
    assert said.stock.keys() == TASKS.keys()
