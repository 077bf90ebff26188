"""The checks of a fleet that stands: a right one gives no word, and each planted fault is named by exactly the check that is to name it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.fleet.faults import FAULTS, HASTY, PAGE, Fault, hasten, page
from tests.fleet.healthy import HealthyFleet, Inputs, failed


def named(faults: Iterable[Fault], *, slow: bool = False) -> list[Any]:
    """Faults as parameters; with `slow`, those that are left to `make fleet` are marked."""
    return [
        pytest.param(f, id=f"{f.check}: {f.description}", marks=pytest.mark.slow if slow and f.slow else ())
        for f in faults
    ]


def test_a_right_fleet_gives_no_word(fleet: HealthyFleet) -> None:
    assert failed(fleet.check()) == set()


def test_the_page_of_the_checks_shows_these_faults() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m tests.fleet --write"


@pytest.mark.parametrize("fault", named(FAULTS))
def test_exactly_the_one_check_names_a_planted_fault(fault: Fault, fleet: HealthyFleet) -> None:
    fault.apply(fleet)
    found = fleet.check(fault.inputs)
    assert [f"{f.id}: {f.detail}" for f in found if not f.ok and f.id != fault.check] == []
    assert failed(found) == {fault.check}
    told = next(f for f in found if f.id == fault.check)
    assert told.remedy.text
    assert told.severity == fault.expected_severity


@pytest.mark.parametrize("fault", named([f for f in FAULTS if not f.manual], slow=True))
def test_a_remedy_is_run_as_it_is_written_and_the_finding_goes(fault: Fault, fleet: HealthyFleet) -> None:
    fault.apply(fleet)
    told = next(f for f in fleet.check(fault.inputs) if f.id == fault.check)
    fault.by_hand(fleet)
    wish = Inputs(
        {**fault.inputs.variables, **(fault.remedy_variables or {})},
        registry=fault.inputs.registry,
        hosts=fault.inputs.hosts,
    )
    fleet.inventory(wish.variables)
    assert told.remedy.commands, told.remedy
    for command in told.remedy.commands:
        run = fleet.run_command(command)
        assert run.returncode == 0, f"{command}\n{run}"
    fault.finish(fleet)
    left = fleet.check(wish)
    assert [f"{f.id}: {f.detail}" for f in left if not f.ok and f.id not in fault.remaining] == []
    assert failed(left) == set(fault.remaining)


@pytest.mark.slow
def test_remedies_followed_one_after_the_other_leave_nothing_wrong(fleet: HealthyFleet) -> None:
    """What one remedy leaves, the next one mends."""
    inputs = Inputs(HASTY)
    hasten(fleet)
    fleet.relaunch_with(lambda data: data["MetadataOptions"].update(HttpTokens="optional"))
    followed = []
    while bad := [f for f in fleet.check(inputs) if not f.ok]:
        assert bad[0].id not in followed
        followed.append(bad[0].id)
        for command in bad[0].remedy.commands:
            assert fleet.run_command(command).returncode == 0
            if "start-instance-refresh" in command:
                fleet.finish_refresh()
    assert followed == ["template-metadata", "instances-current"]
