"""A fleet made by hand, as the runbook leaves it: shown, adopted on request, and no instance is ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import handmade
from tests.fleet.cloud import PlaybookCloud, Run
from tests.fleet.fleet import GROUP, ROLE, SECURITY_GROUP, TEMPLATE

ADOPT: dict[str, Any] = {"fleet_adopt": GROUP, "fleet_image": handmade.GOLDEN}
SECTIONS = "foundation iam security_group launch_template autoscaling_group lifecycle_hook valet preflight".split()


@pytest.fixture
def by_hand(empty_cloud: PlaybookCloud) -> PlaybookCloud:
    """Three instances, of an image without the agent; the trace is empty."""
    handmade.build(empty_cloud)
    empty_cloud.clear_trace()
    return empty_cloud


def assert_refused(run: Run, cloud: PlaybookCloud) -> None:
    assert run.returncode != 0, run
    assert cloud.writes() == [], run
    assert f"-e fleet_adopt={GROUP}" in run.message
    for resource in (f"group {GROUP}", f"template {TEMPLATE}", f"role {ROLE}", f"security group {SECURITY_GROUP}"):
        assert resource in run.message, run


def test_without_a_request_nothing_changes_and_the_plan_says_what_would_and_what_keeps_it(
    by_hand: PlaybookCloud,
) -> None:
    run = by_hand.play("site.yml", fleet_image=handmade.GOLDEN)
    assert_refused(run, by_hand)
    kept_by = "to keep it, add {} to fleet_{}"
    for line in (
        f"inbound tcp 22 {handmade.MANAGEMENT} would be removed; {kept_by.format(handmade.MANAGEMENT, 'ssh_cidrs')}",
        *(
            f"inbound tcp {port} {handmade.VALET_GROUP} would be removed; "
            + kept_by.format(handmade.VALET_GROUP, f"{door}_security_group_ids")
            for port, door in ((3101, "status"), (8000, "deploy"), (3100, "api"))
        ),
        f"inbound tcp 9100 {handmade.OFFICE} (monitoring) would be removed; no variable keeps it",
        "statement Screenshots would be removed",
        "statement ASGLifecycle: Action gets autoscaling:SetInstanceHealth, autoscaling:SetInstanceProtection",
        "lines that begin with '#!/bin/bash' -> ",
        f"-> {handmade.GOLDEN} (fleet_image)",
        "stays: minimum 1, maximum 10, desired capacity 3",
        "3 instances without this kit's agent",
    ):
        assert line in run.stdout, f"{line}\n{run}"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_alone_and_check_mode_refuse_as_well(section: str, by_hand: PlaybookCloud) -> None:
    assert_refused(by_hand.play(f"playbooks/{section}.yml", *(["--check"] if section < "g" else [])), by_hand)


def test_another_groups_name_adopts_nothing(by_hand: PlaybookCloud) -> None:
    run = by_hand.play("site.yml", fleet_adopt="gh-worker-asg")
    assert run.returncode != 0
    assert run.message == (
        f"fleet_adopt is 'gh-worker-asg' and the fleet's group is {GROUP}: "
        f"to adopt that one write -e fleet_adopt={GROUP}."
    )
    assert by_hand.calls() == []


def test_check_mode_shows_an_adoption_and_writes_nothing(by_hand: PlaybookCloud) -> None:
    run = by_hand.play("site.yml", "--check", "--diff", **ADOPT)
    assert run.returncode == 0, run
    assert f"inbound tcp 22 {handmade.MANAGEMENT} would be removed" in run.stdout
    assert by_hand.writes() == []


def test_an_adopted_fleet_keeps_its_instances_and_later_runs_need_nothing(by_hand: PlaybookCloud) -> None:
    before = by_hand.lifecycle_states(GROUP)
    run = by_hand.play("site.yml", fleet_ssh_cidrs=[handmade.MANAGEMENT], **ADOPT)
    assert run.returncode == 0, run
    assert by_hand.lifecycle_states(GROUP) == before
    group = by_hand.group()
    assert all(instance["ProtectedFromScaleIn"] for instance in group["Instances"])
    assert group.get("InstanceLifecyclePolicy", handmade.TERMINATE) == handmade.TERMINATE, "nobody completes their hook"
    writes = by_hand.writes()
    assert writes[0] == "SetInstanceProtection", "before anything else changes"
    by_hand.clear_trace()
    again = by_hand.play("site.yml", fleet_ssh_cidrs=[handmade.MANAGEMENT])
    assert (again.returncode, again.changed, by_hand.writes()) == (0, 0, []), again
