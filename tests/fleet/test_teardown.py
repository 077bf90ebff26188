"""Teardown: confirmed by name, drained first, repeatable; resources that may be shared stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing import repeatedly

from tests.fleet.cloud import PlaybookCloud, Run
from tests.fleet.fleet import OTHERS
from tests.fleet.healthy import HealthyFleet

GROUP, HOOK = "gh-worker-local-asg", "gh-worker-local-termination"
CONFIRMED: dict[str, Any] = {"fleet_confirm_teardown": GROUP}
KEPT = {"§1": {"ghosthands", "valet-worker"}, "§9": {"ghosthands/worker/env", "/wekruit/gh-worker"}}


def teardown(cloud: PlaybookCloud, *more: str, **variables: Any) -> Run:
    return cloud.play("playbooks/teardown.yml", *more, **CONFIRMED, **variables)


def agent(cloud: PlaybookCloud, result: str = "CONTINUE") -> Callable[[], None]:
    """What agents do when their instances terminate: complete the hook."""
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


def assert_only_kept_resources(cloud: PlaybookCloud) -> None:
    assert {section: found for section, found in cloud.existing_resources().items() if found} == KEPT
    iam, ec2 = cloud.client("iam"), cloud.client("ec2")
    assert [r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("gh-")] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert [
        g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"].startswith("gh-")
    ] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []


@pytest.mark.parametrize(
    "confirmation", [{}, {"fleet_confirm_teardown": "gh-worker-asg"}, {"fleet_confirm_teardown": True}]
)
def test_without_the_groups_name_nothing_is_deleted(confirmation: dict[str, Any], fleet: HealthyFleet) -> None:
    run = fleet.play("playbooks/teardown.yml", **confirmation, fleet_force_delete=True)
    assert run.returncode != 0
    assert (
        run.message
        == f"This would delete the fleet of local. To confirm, name its group: -e fleet_confirm_teardown={GROUP}"
    )
    assert fleet.writes() == []


def test_a_fleet_is_drained_and_then_deleted_and_a_second_run_changes_nothing(fleet: HealthyFleet) -> None:
    assert fleet.existing_resources()["§4"] > {GROUP}
    busy = fleet.group()["Instances"][0]["InstanceId"]
    fleet.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[busy], ProtectedFromScaleIn=True
    )
    fleet.clear_trace()
    with repeatedly(agent(fleet), every=0.2):
        run = teardown(fleet)
    assert run.returncode == 0, run
    assert f"[local] {GROUP}: 1 InService, 1 Terminating:Wait (0 of 2700 s)" in run.stdout, "progress is printed"
    assert "SetInstanceProtection" in fleet.writes(), (
        "protection is removed from the busy instance, its hook still drains it"
    )
    deleted = next(c for c in fleet.calls() if c["action"] == "DeleteAutoScalingGroup")
    completed = [c for c in fleet.calls() if c["action"] == "CompleteLifecycleAction"]
    assert len(completed) == 2
    assert max(c["at"] for c in completed) < deleted["at"], "drained first"
    assert_only_kept_resources(fleet)
    fleet.clear_trace()
    again = teardown(fleet)
    assert (again.returncode, again.changed) == (0, 0), again
    assert fleet.writes() == []


def test_an_instance_in_standby_is_drained_and_terminated_with_the_others(fleet: HealthyFleet) -> None:
    autoscaling = fleet.client("autoscaling")
    standby = fleet.group()["Instances"][0]["InstanceId"]
    autoscaling.enter_standby(InstanceIds=[standby], AutoScalingGroupName=GROUP, ShouldDecrementDesiredCapacity=True)
    with repeatedly(agent(fleet), every=0.2):
        run = teardown(fleet)
    assert run.returncode == 0, run
    assert standby in [
        call["parameters"]["InstanceId"] for call in fleet.calls() if call["action"] == "CompleteLifecycleAction"
    ]
    assert_only_kept_resources(fleet)


@pytest.mark.slow
def test_check_mode_changes_nothing(fleet: HealthyFleet) -> None:
    run = teardown(
        fleet, "--check", fleet_teardown_secret=True, fleet_teardown_repository=True, fleet_teardown_logs=True
    )
    assert run.returncode == 0, run
    assert run.changed > 5
    assert fleet.writes() == []


@pytest.mark.slow
def test_a_drain_beyond_the_timeout_fails_with_advice_and_another_run_continues(fleet: HealthyFleet) -> None:
    run = teardown(fleet, fleet_teardown_timeout=10)
    assert run.returncode != 0
    assert f"{GROUP} still has 2 Terminating:Wait after 10 s. It goes on draining: run this again" in run.message
    assert "wait longer (fleet_teardown_timeout)" in run.message
    assert "-e fleet_force_delete=true" in run.message
    assert "DeleteAutoScalingGroup" not in fleet.writes()
    with repeatedly(agent(fleet), every=0.2):
        assert teardown(fleet).returncode == 0
    assert_only_kept_resources(fleet)


def test_an_instance_whose_hook_was_abandoned_is_retained_unless_forced(fleet: HealthyFleet) -> None:
    with repeatedly(agent(fleet, "ABANDON"), every=0.2):
        run = teardown(fleet)
    assert run.returncode != 0
    assert f"{GROUP} retains 2 instances: i-" in run.message
    assert "A job may be lost, or the agent failed" in run.message
    assert {i["LifecycleState"] for i in fleet.group()["Instances"]} == {"Terminating:Retained"}
    assert "DeleteAutoScalingGroup" not in fleet.writes()
    forced = teardown(fleet, fleet_force_delete=True)
    assert forced.returncode == 0, forced
    assert_only_kept_resources(fleet)


@pytest.mark.slow
def test_force_waits_for_nothing_and_overrides_every_protection(fleet: HealthyFleet) -> None:
    protected: dict[str, Any] = {"fleet_deletion_protection": "prevent-all-deletion"}
    assert fleet.play("playbooks/autoscaling_group.yml", **protected).returncode == 0
    assert fleet.group()["DeletionProtection"] == "prevent-all-deletion"
    run = teardown(fleet, fleet_force_delete=True, **protected)
    assert run.returncode == 0, run
    assert "CompleteLifecycleAction" not in fleet.writes()
    assert_only_kept_resources(fleet)


@pytest.mark.slow
def test_secret_repository_and_logs_are_deleted_on_request_and_the_key_pair_never(fleet: HealthyFleet) -> None:
    run = teardown(
        fleet,
        fleet_force_delete=True,
        fleet_teardown_secret=True,
        fleet_teardown_repository=True,
        fleet_teardown_logs=True,
    )
    assert run.returncode == 0, run
    assert fleet.client("secretsmanager").describe_secret(SecretId="ghosthands/worker/env")["DeletedDate"]
    assert fleet.client("ecr").describe_repositories()["repositories"] == []
    assert fleet.client("logs").describe_log_groups()["logGroups"] == []
    assert fleet.existing_resources()["§1"] == {"valet-worker"}


@pytest.mark.slow
def test_valets_user_is_deleted_with_its_keys(fleet: HealthyFleet) -> None:
    user: dict[str, Any] = {"fleet_valet_user_name": "gh-valet", "fleet_valet_access_key": True}
    assert fleet.play("playbooks/valet.yml", **user).returncode == 0
    run = teardown(fleet, fleet_force_delete=True, **user)
    assert run.returncode == 0, run
    assert fleet.client("iam").list_users()["Users"] == []
    assert_only_kept_resources(fleet)


@pytest.mark.parametrize("books", [[], pytest.param(["foundation", "iam", "security_group"], marks=pytest.mark.slow)])
def test_a_partly_built_fleet_is_deleted(books: list[str], cloud: PlaybookCloud) -> None:
    for book in books:
        assert cloud.play(f"playbooks/{book}.yml").returncode == 0
    run = teardown(cloud)
    assert run.returncode == 0, run
    if books:
        assert_only_kept_resources(cloud)
    else:
        assert (run.changed, cloud.writes()) == (0, [])


def test_a_rule_or_an_interface_of_others_stops_the_teardown_before_anything_is_deleted(fleet: HealthyFleet) -> None:
    """AWS deletes no security group that another one names, or that a network interface is in."""
    ec2, own = fleet.client("ec2"), fleet.security_group()["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": own}]}
    ec2.authorize_security_group_ingress(GroupId=OTHERS, IpPermissions=[rule])
    subnet = fleet.group()["VPCZoneIdentifier"].split(",")[0]
    card = ec2.create_network_interface(SubnetId=subnet, Groups=[own])["NetworkInterface"]["NetworkInterfaceId"]
    fleet.clear_trace()
    run = teardown(fleet)
    assert run.returncode != 0
    assert f"Security group {OTHERS} (default) has a rule that names gh-worker-local-sg ({own})" in run.message
    assert f"Network interface {card} of no instance is in gh-worker-local-sg" in run.message
    assert fleet.writes() == []


@pytest.mark.parametrize("scaled_in", [False, True])
def test_a_group_that_terminates_nothing_stops_the_drain_at_once(fleet: HealthyFleet, scaled_in: bool) -> None:
    fleet.client("autoscaling").suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Terminate"])
    if scaled_in:
        fleet.update(MinSize=0, DesiredCapacity=0)
    fleet.clear_trace()
    run = teardown(fleet)
    assert run.returncode != 0
    assert run.message.startswith(f"{GROUP} has Terminate suspended, so it terminates no instance in service.")
    assert fleet.writes() == []
