"""The checks of a fleet: a healthy one passes, each planted fault fails exactly one check, and remedies repair it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.fleet.faults import FAULTS, Fault
from tests.fleet.healthy import HealthyFleet, Inputs, failed


def parameters(faults: Iterable[Fault], *, slow: bool = False) -> list[Any]:
    """Faults as parameters of a test; with `slow`, those for `make fleet` only are marked."""
    return [
        pytest.param(f, id=f"{f.check}: {f.description}", marks=pytest.mark.slow if slow and f.slow else ())
        for f in faults
    ]


def test_a_healthy_fleet_passes_every_check(fleet: HealthyFleet) -> None:
    assert failed(fleet.check()) == set()


@pytest.mark.parametrize("fault", parameters(FAULTS))
def test_a_planted_fault_fails_exactly_its_check(fault: Fault, fleet: HealthyFleet) -> None:
    fault.apply(fleet)
    found = fleet.check(fault.inputs)
    assert [f"{f.id}: {f.detail}" for f in found if not f.ok and f.id != fault.check] == []
    assert failed(found) == {fault.check}
    finding = next(f for f in found if f.id == fault.check)
    assert finding.remedy.text
    assert finding.severity == fault.expected_severity


@pytest.mark.parametrize("fault", parameters([f for f in FAULTS if not f.manual], slow=True))
def test_the_remedys_commands_repair_the_fault(fault: Fault, fleet: HealthyFleet) -> None:
    fault.apply(fleet)
    finding = next(f for f in fleet.check(fault.inputs) if f.id == fault.check)
    fault.by_hand(fleet)
    desired = Inputs(
        {**fault.inputs.variables, **(fault.remedy_variables or {})},
        registry=fault.inputs.registry,
        hosts=fault.inputs.hosts,
    )
    fleet.inventory(desired.variables)
    assert finding.remedy.commands, finding.remedy
    for command in finding.remedy.commands:
        run = fleet.run_command(command)
        assert run.returncode == 0, f"{command}\n{run}"
    fault.finish(fleet)
    left = fleet.check(desired)
    assert [f"{f.id}: {f.detail}" for f in left if not f.ok and f.id not in fault.remaining] == []
    assert failed(left) == set(fault.remaining)


@pytest.mark.slow
def test_remedies_run_one_after_the_other_repair_everything(fleet: HealthyFleet) -> None:
    """What one remedy leaves, the next one repairs."""
    fleet.relaunch_with(lambda data: data["MetadataOptions"].update(HttpTokens="optional"))
    fleet.tag_group("Project", "other")
    followed = []
    while bad := [f for f in fleet.check() if not f.ok]:
        assert bad[0].id not in followed
        followed.append(bad[0].id)
        for command in bad[0].remedy.commands:
            assert fleet.run_command(command).returncode == 0
    assert followed == ["template-metadata", "drift-autoscaling-group"]


@pytest.mark.slow
def test_a_remedy_that_replaces_instances_first_makes_the_template_right(fleet: HealthyFleet) -> None:
    fleet.version(lambda data: data.update(InstanceType="t3.large"))
    fleet.set_version("2")
    found = {f.id: f for f in fleet.check() if not f.ok}
    assert found.keys() == {"instances-current", "drift-launch-template"}
    (command,) = found["instances-current"].remedy.commands
    assert "playbooks/rollout.yml" in command
    assert fleet.run_command(command).returncode == 0
    assert failed(fleet.check()) == set()
    types = fleet.client("ec2").describe_instances(InstanceIds=fleet.in_service())["Reservations"]
    assert {i["InstanceType"] for r in types for i in r["Instances"]} == {"t3.medium"}
