"""The end of a fleet: asked for by name, drained first, in order, as often as one likes; what is not ours to delete stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing import repeatedly

from tests.fleet.cloud import PlaybookCloud, Run

GROUP, HOOK = "gh-worker-local-asg", "gh-worker-local-termination"
CONFIRMED: dict[str, Any] = {"fleet_confirm_teardown": GROUP}
SPARED = {"§1": {"ghosthands", "valet-worker"}, "§9": {"ghosthands/worker/env", "/wekruit/gh-worker"}}


def teardown(cloud: PlaybookCloud, *more: str, **variables: Any) -> Run:
    return cloud.play("playbooks/teardown.yml", *more, **CONFIRMED, **variables)


def agent(cloud: PlaybookCloud, result: str = "CONTINUE") -> Callable[[], None]:
    """What every instance's agent does in the end: it completes the termination hook."""
    autoscaling = cloud.client("autoscaling")

    def act() -> None:
        for instance in cloud.group().get("Instances", []):
            if instance["LifecycleState"] == "Terminating:Wait":
                autoscaling.complete_lifecycle_action(
                    AutoScalingGroupName=GROUP,
                    LifecycleHookName=HOOK,
                    InstanceId=instance["InstanceId"],
                    LifecycleActionResult=result,
                )

    return act


def only_the_spared(cloud: PlaybookCloud) -> None:
    assert {section: found for section, found in cloud.existing_resources().items() if found} == SPARED
    iam, ec2 = cloud.client("iam"), cloud.client("ec2")
    assert [r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("gh-")] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert [
        g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"].startswith("gh-")
    ] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []


@pytest.mark.parametrize("said", [{}, {"fleet_confirm_teardown": "gh-worker-asg"}, {"fleet_confirm_teardown": True}])
def test_without_the_groups_name_nothing_ends(said: dict[str, Any], built: PlaybookCloud) -> None:
    run = built.play("playbooks/teardown.yml", **said, fleet_force_delete=True)
    assert run.returncode != 0
    assert (
        run.message
        == f"This would delete the fleet of local. To confirm, name its group: -e fleet_confirm_teardown={GROUP}"
    )
    assert built.writes() == []


def test_a_fleet_is_drained_and_then_ended_and_a_second_time_there_is_nothing(built: PlaybookCloud) -> None:
    assert built.existing_resources()["§4"] > {GROUP}
    busy = built.group()["Instances"][0]["InstanceId"]
    built.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[busy], ProtectedFromScaleIn=True
    )
    built.clear_trace()
    with repeatedly(agent(built), every=0.2):
        run = teardown(built)
    assert run.returncode == 0, run
    assert f"[local] {GROUP}: 1 InService, 1 Terminating:Wait (0 of 2700 s)" in run.stdout, "progress is told"
    assert "SetInstanceProtection" in built.writes(), "the busy one's shield is taken, its hook still drains it"
    deleted = next(c for c in built.calls() if c["action"] == "DeleteAutoScalingGroup")
    completed = [c for c in built.calls() if c["action"] == "CompleteLifecycleAction"]
    assert len(completed) == 2
    assert max(c["at"] for c in completed) < deleted["at"], "drained first"
    only_the_spared(built)
    built.clear_trace()
    again = teardown(built)
    assert (again.returncode, again.changed) == (0, 0), again
    assert built.writes() == []


def test_an_instance_in_standby_is_drained_and_ended_with_the_others(built: PlaybookCloud) -> None:
    autoscaling = built.client("autoscaling")
    resting = built.group()["Instances"][0]["InstanceId"]
    autoscaling.enter_standby(InstanceIds=[resting], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=True)
    with repeatedly(agent(built), every=0.2):
        run = teardown(built)
    assert run.returncode == 0, run
    assert resting in [
        call["parameters"]["InstanceId"] for call in built.calls() if call["action"] == "CompleteLifecycleAction"
    ]
    only_the_spared(built)


@pytest.mark.slow
def test_a_check_of_the_teardown_changes_nothing(built: PlaybookCloud) -> None:
    run = teardown(
        built, "--check", fleet_teardown_secret=True, fleet_teardown_repository=True, fleet_teardown_logs=True
    )
    assert run.returncode == 0, run
    assert run.changed > 5
    assert built.writes() == []


@pytest.mark.slow
def test_a_drain_that_takes_too_long_fails_says_how_to_go_on_and_goes_on(built: PlaybookCloud) -> None:
    run = teardown(built, fleet_teardown_timeout=10)
    assert run.returncode != 0
    assert f"{GROUP} still has 2 Terminating:Wait after 10 s. It goes on draining: run this again" in run.message
    assert "give it longer (fleet_teardown_timeout)" in run.message
    assert "-e fleet_force_delete=true" in run.message
    assert "DeleteAutoScalingGroup" not in built.writes()
    with repeatedly(agent(built), every=0.2):
        assert teardown(built).returncode == 0
    only_the_spared(built)


def test_an_instance_whose_drain_failed_is_kept_until_somebody_forces_it(built: PlaybookCloud) -> None:
    with repeatedly(agent(built, "ABANDON"), every=0.2):
        run = teardown(built)
    assert run.returncode != 0
    assert f"{GROUP} holds 2 instances whose drain failed: i-" in run.message
    assert "a job may have been cut short" in run.message
    assert {i["LifecycleState"] for i in built.group()["Instances"]} == {"Terminating:Retained"}
    assert "DeleteAutoScalingGroup" not in built.writes()
    forced = teardown(built, fleet_force_delete=True)
    assert forced.returncode == 0, forced
    only_the_spared(built)


@pytest.mark.slow
def test_by_force_nothing_is_waited_for_not_even_with_every_protection(built: PlaybookCloud) -> None:
    protected: dict[str, Any] = {"fleet_deletion_protection": "prevent-all-deletion"}
    assert built.play("playbooks/autoscaling_group.yml", **protected).returncode == 0
    assert built.group()["DeletionProtection"] == "prevent-all-deletion"
    run = teardown(built, fleet_force_delete=True, **protected)
    assert run.returncode == 0, run
    assert "CompleteLifecycleAction" not in built.writes()
    only_the_spared(built)


@pytest.mark.slow
def test_what_is_asked_for_goes_as_well_and_the_key_pair_never(built: PlaybookCloud) -> None:
    run = teardown(
        built,
        fleet_force_delete=True,
        fleet_teardown_secret=True,
        fleet_teardown_repository=True,
        fleet_teardown_logs=True,
    )
    assert run.returncode == 0, run
    assert built.client("secretsmanager").describe_secret(SecretId="ghosthands/worker/env")["DeletedDate"]
    assert built.client("ecr").describe_repositories()["repositories"] == []
    assert built.client("logs").describe_log_groups()["logGroups"] == []
    assert built.existing_resources()["§1"] == {"valet-worker"}


@pytest.mark.slow
def test_valets_user_goes_with_its_keys(built: PlaybookCloud) -> None:
    user: dict[str, Any] = {"fleet_valet_user_name": "gh-valet", "fleet_valet_access_key": True}
    assert built.play("playbooks/valet.yml", **user).returncode == 0
    run = teardown(built, fleet_force_delete=True, **user)
    assert run.returncode == 0, run
    assert built.client("iam").list_users()["Users"] == []
    only_the_spared(built)


@pytest.mark.parametrize("books", [[], pytest.param(["foundation", "iam", "security_group"], marks=pytest.mark.slow)])
def test_a_half_built_fleet_ends_as_well(books: list[str], cloud: PlaybookCloud) -> None:
    for book in books:
        assert cloud.play(f"playbooks/{book}.yml").returncode == 0
    run = teardown(cloud)
    assert run.returncode == 0, run
    if books:
        only_the_spared(cloud)
    else:
        assert (run.changed, cloud.writes()) == (0, [])
