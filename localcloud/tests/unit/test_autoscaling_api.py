"""The Auto Scaling API as a boto3 client sees it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from localcloud.testing import Cloud
from unit.resources import (
    ARM_IMAGE,
    SUBNETS,
    described,
    instances,
    make_group,
    make_template,
    refused,
)

HOOK = {
    "AutoScalingGroupName": "fleet",
    "LifecycleHookName": "drain",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
}


def test_a_group_is_described_with_every_option_it_was_given(cloud: Cloud) -> None:
    options: dict[str, Any] = {
        "DesiredCapacity": 1,
        "DefaultCooldown": 100,
        "HealthCheckGracePeriod": 200,
        "TerminationPolicies": ["OldestInstance", "Default"],
        "NewInstancesProtectedFromScaleIn": True,
        "DefaultInstanceWarmup": 30,
        "MaxInstanceLifetime": 86_400,
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
        "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
        "DeletionProtection": "prevent-force-deletion",
    }
    group = described(make_group(cloud, **options))
    assert {name: group[name] for name in options} == options
    assert group["VPCZoneIdentifier"] == ",".join(SUBNETS)
    assert group["AvailabilityZones"] == ["us-east-1a", "us-east-1b"]


def test_optional_settings_are_absent_until_set_and_can_be_taken_back(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    optional = {"DefaultInstanceWarmup", "MaxInstanceLifetime", "InstanceMaintenancePolicy", "InstanceLifecyclePolicy"}
    assert not optional & set(described(autoscaling))
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName="fleet",
        DefaultInstanceWarmup=0,
        MaxInstanceLifetime=86_400,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
    )
    assert described(autoscaling)["DefaultInstanceWarmup"] == 0
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName="fleet",
        DefaultInstanceWarmup=-1,
        MaxInstanceLifetime=0,
        InstanceMaintenancePolicy={"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1},
    )
    assert not optional & set(described(autoscaling))


def test_instances_are_what_their_template_says(cloud: Cloud, ec2: Any) -> None:
    iam = cloud.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="worker")["InstanceProfile"]["Arn"]
    group_id = ec2.create_security_group(GroupName="workers", Description="d", VpcId="vpc-010ca1c10d0000001")["GroupId"]
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [group_id]}
    make_group(
        cloud,
        DesiredCapacity=2,
        Tags=[
            {"Key": "Project", "Value": "wekruit", "PropagateAtLaunch": True},
            {"Key": "Hidden", "Value": "yes", "PropagateAtLaunch": False},
        ],
        data={"IamInstanceProfile": {"Arn": profile}, "NetworkInterfaces": [interface]},
    )
    template = ec2.describe_launch_templates()["LaunchTemplates"][0]["LaunchTemplateId"]
    found = instances(ec2)
    assert [i["SubnetId"] for i in found] == list(SUBNETS)
    for instance, network in zip(found, ("172.28.1.0/24", "172.28.2.0/24"), strict=True):
        assert (instance["InstanceType"], instance["IamInstanceProfile"]["Arn"]) == ("t3.medium", profile)
        assert [g["GroupId"] for g in instance["SecurityGroups"]] == [group_id]
        assert ipaddress.ip_address(instance["PrivateIpAddress"]) in ipaddress.ip_network(network)
        assert "PublicIpAddress" in instance
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
        assert {t["Key"]: t["Value"] for t in instance["Tags"]} == {
            "Name": "worker",
            "Project": "wekruit",
            "aws:autoscaling:groupName": "fleet",
            "aws:ec2launchtemplate:id": template,
            "aws:ec2launchtemplate:version": "1",
        }
    volumes = ec2.describe_volumes()["Volumes"]
    assert [(v["Size"], v["VolumeType"], v["Encrypted"]) for v in volumes] == [(40, "gp3", True)] * 2
    assert [v["Tags"] for v in volumes] == [[{"Key": "Name", "Value": "disk"}]] * 2


def test_without_a_word_about_it_the_subnet_decides_about_a_public_address(cloud: Cloud, ec2: Any) -> None:
    private = "subnet-010ca1c10d00000c3"
    make_group(cloud).update_auto_scaling_group(AutoScalingGroupName="fleet", VPCZoneIdentifier=private, MinSize=1)
    assert "PublicIpAddress" not in instances(ec2)[0]


@pytest.mark.parametrize(
    ("pinned", "described_version"), [("2", "2"), ("$Latest", "$Latest"), ("$Default", "$Default")]
)
def test_a_group_answers_the_version_it_was_given_and_an_instance_its_number(
    cloud: Cloud, ec2: Any, pinned: str, described_version: str
) -> None:
    make_template(ec2)
    ec2.create_launch_template_version(
        LaunchTemplateName="workers", SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
    )
    template = {"LaunchTemplateName": "workers", "Version": pinned}
    group = described(make_group(cloud, template=template, DesiredCapacity=1))
    assert group["LaunchTemplate"]["Version"] == described_version
    assert group["Instances"][0]["LaunchTemplate"]["Version"] == ("1" if pinned == "$Default" else "2")
    assert group["Instances"][0]["InstanceType"] == ("t3.medium" if pinned == "$Default" else "t3.large")


def test_a_name_may_hold_any_letters(cloud: Cloud) -> None:
    assert described(
        make_group(cloud, "Flotte für Prüfung 😀", template={"LaunchTemplateId": make_template(cloud.client("ec2"))}),
        "Flotte für Prüfung 😀",
    )


def test_an_update_changes_only_what_it_names(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1, HealthCheckGracePeriod=300)
    before = described(autoscaling)
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="fleet", DefaultCooldown=77)
    assert described(autoscaling) == {**before, "DefaultCooldown": 77}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"LaunchTemplate": {"LaunchTemplateName": "missing", "Version": "1"}},
            "with template name missing, does not exist",
        ),
        ({"LaunchTemplate": {"LaunchTemplateName": "workers", "Version": "9"}}, "version 9"),
        ({"VPCZoneIdentifier": "subnet-0123456789abcdef0"}, "subnet-0123456789abcdef0"),
        ({"VPCZoneIdentifier": f"{SUBNETS[0]},subnet-010ca1c10d00000c3"}, "same VPC"),
        ({"LoadBalancerNames": ["lb"]}, "localcloud does not model LoadBalancerNames"),
    ],
    ids=str,
)
def test_what_aws_refuses_to_create_is_refused(cloud: Cloud, ec2: Any, wrong: dict[str, Any], message: str) -> None:
    make_template(ec2)
    good = {
        "AutoScalingGroupName": "fleet",
        "LaunchTemplate": {"LaunchTemplateName": "workers", "Version": "1"},
        "VPCZoneIdentifier": SUBNETS[0],
        "MinSize": 0,
        "MaxSize": 1,
    }
    with refused("ValidationError", message):
        cloud.client("autoscaling").create_auto_scaling_group(**{**good, **wrong})
    assert cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_unknown_names_are_left_out_of_descriptions(autoscaling: Any) -> None:
    assert autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["missing"])["AutoScalingGroups"] == []
    assert autoscaling.describe_auto_scaling_instances(InstanceIds=["i-1"])["AutoScalingInstances"] == []


def test_groups_are_paged_and_found_by_tag(cloud: Cloud, ec2: Any) -> None:
    make_template(ec2)
    for n in range(5):
        tags = [{"Key": "Parity", "Value": str(n % 2), "PropagateAtLaunch": False}]
        make_group(cloud, f"g{n}", template={"LaunchTemplateName": "workers"}, Tags=tags)
    autoscaling = cloud.client("autoscaling")
    pages = list(autoscaling.get_paginator("describe_auto_scaling_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [[g["AutoScalingGroupName"] for g in page["AutoScalingGroups"]] for page in pages] == [
        ["g0", "g1"],
        ["g2", "g3"],
        ["g4"],
    ]
    odd = autoscaling.describe_auto_scaling_groups(Filters=[{"Name": "tag:Parity", "Values": ["1"]}])
    assert [g["AutoScalingGroupName"] for g in odd["AutoScalingGroups"]] == ["g1", "g3"]
    with refused("ValidationError", "MaxRecords"):
        autoscaling.describe_auto_scaling_groups(MaxRecords=101)


def test_tags_are_written_described_and_removed(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    tag = {"ResourceId": "fleet", "ResourceType": "auto-scaling-group", "Key": "a"}
    autoscaling.create_or_update_tags(Tags=[{**tag, "Value": "1", "PropagateAtLaunch": True}])
    autoscaling.create_or_update_tags(Tags=[{**tag, "Value": "2", "PropagateAtLaunch": False}])
    expected = [{**tag, "Value": "2", "PropagateAtLaunch": False}]
    assert described(autoscaling)["Tags"] == expected
    filters = [{"Name": "auto-scaling-group", "Values": ["fleet"]}]
    assert autoscaling.describe_tags(Filters=filters)["Tags"] == expected
    autoscaling.delete_tags(Tags=[tag])
    assert described(autoscaling)["Tags"] == []


def test_processes_are_suspended_and_resumed(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    autoscaling.suspend_processes(AutoScalingGroupName="fleet", ScalingProcesses=["AZRebalance", "Launch"])
    assert [p["ProcessName"] for p in described(autoscaling)["SuspendedProcesses"]] == ["AZRebalance", "Launch"]
    autoscaling.resume_processes(AutoScalingGroupName="fleet", ScalingProcesses=["Launch"])
    assert [p["ProcessName"] for p in described(autoscaling)["SuspendedProcesses"]] == ["AZRebalance"]


def test_metrics_are_enabled_and_disabled_by_name_or_all_at_once(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    metrics = ["GroupDesiredCapacity", "GroupInServiceInstances"]
    autoscaling.enable_metrics_collection(AutoScalingGroupName="fleet", Granularity="1Minute", Metrics=metrics)
    assert described(autoscaling)["EnabledMetrics"] == [{"Metric": m, "Granularity": "1Minute"} for m in metrics]
    autoscaling.disable_metrics_collection(AutoScalingGroupName="fleet", Metrics=metrics[:1])
    assert [m["Metric"] for m in described(autoscaling)["EnabledMetrics"]] == metrics[1:]
    autoscaling.enable_metrics_collection(AutoScalingGroupName="fleet", Granularity="1Minute")
    assert len(described(autoscaling)["EnabledMetrics"]) == 20
    autoscaling.disable_metrics_collection(AutoScalingGroupName="fleet")
    assert described(autoscaling)["EnabledMetrics"] == []


def test_a_hook_has_aws_defaults_and_keeps_what_an_update_does_not_name(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    autoscaling.put_lifecycle_hook(**HOOK)
    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="fleet")["LifecycleHooks"]
    assert hooks == [{**HOOK, "HeartbeatTimeout": 3600, "GlobalTimeout": 172_800, "DefaultResult": "ABANDON"}]
    autoscaling.put_lifecycle_hook(AutoScalingGroupName="fleet", LifecycleHookName="drain", HeartbeatTimeout=300)
    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="fleet")["LifecycleHooks"]
    assert hooks == [{**HOOK, "HeartbeatTimeout": 300, "GlobalTimeout": 30_000, "DefaultResult": "ABANDON"}]
    autoscaling.delete_lifecycle_hook(AutoScalingGroupName="fleet", LifecycleHookName="drain")
    assert autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="fleet")["LifecycleHooks"] == []
    with refused("ValidationError", "No Lifecycle Hook found"):
        autoscaling.delete_lifecycle_hook(AutoScalingGroupName="fleet", LifecycleHookName="drain")


def test_a_hook_can_come_with_the_group_and_holds_its_first_instances(cloud: Cloud) -> None:
    hook = {"LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    autoscaling = make_group(cloud, DesiredCapacity=1, LifecycleHookSpecificationList=[hook])
    instance = described(autoscaling)["Instances"][0]
    assert instance["LifecycleState"] == "Pending:Wait"
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName="fleet",
        LifecycleHookName="boot",
        InstanceId=instance["InstanceId"],
        LifecycleActionResult="CONTINUE",
    )
    assert described(autoscaling)["Instances"][0]["LifecycleState"] == "InService"


def test_a_drain_waits_beats_and_completes(cloud: Cloud, ec2: Any, clock: Callable[[float], None]) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    autoscaling.put_lifecycle_hook(**HOOK, HeartbeatTimeout=300)
    id = described(autoscaling)["Instances"][0]["InstanceId"]
    answer = autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=id, ShouldDecrementDesiredCapacity=True)
    assert answer["Activity"]["StatusCode"] == "MidLifecycleAction"
    action = {"AutoScalingGroupName": "fleet", "LifecycleHookName": "drain", "InstanceId": id}
    for _ in range(3):
        clock(250)
        autoscaling.record_lifecycle_action_heartbeat(**action)
    instance = autoscaling.describe_auto_scaling_instances(InstanceIds=[id])["AutoScalingInstances"][0]
    assert (instance["LifecycleState"], instance["AutoScalingGroupName"]) == ("Terminating:Wait", "fleet")
    assert instances(ec2)[0]["State"]["Name"] == "running"
    autoscaling.complete_lifecycle_action(**action, LifecycleActionResult="CONTINUE")
    assert described(autoscaling)["Instances"] == []
    assert instances(ec2)[0]["State"]["Name"] == "terminated"
    with refused("ValidationError", f"No active Lifecycle Action found with instance ID {id}"):
        autoscaling.complete_lifecycle_action(**action, LifecycleActionResult="CONTINUE")


def test_a_drain_that_times_out_leaves_a_retained_instance_that_runs_on(
    cloud: Cloud, ec2: Any, clock: Callable[[float], None]
) -> None:
    retain = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
    autoscaling = make_group(cloud, DesiredCapacity=1, InstanceLifecyclePolicy=retain)
    autoscaling.put_lifecycle_hook(**HOOK, HeartbeatTimeout=300)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    clock(301)
    instance = described(autoscaling)["Instances"][0]
    assert instance["LifecycleState"] == "Terminating:Retained"
    assert instances(ec2)[0]["State"]["Name"] == "running"
    with refused("ValidationError", "retains"):
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet", ForceDelete=True)
    autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=False
    )
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet")
    assert autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_an_instance_that_is_terminated_outside_the_group_is_replaced(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    before = described(autoscaling)["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[before])
    after = described(autoscaling)["Instances"]
    assert len(after) == 1
    assert after[0]["InstanceId"] != before


def test_health_and_protection_are_set_and_unknown_instances_refused(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1, HealthCheckGracePeriod=300)
    id = described(autoscaling)["Instances"][0]["InstanceId"]
    autoscaling.set_instance_protection(AutoScalingGroupName="fleet", InstanceIds=[id], ProtectedFromScaleIn=True)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    assert described(autoscaling)["Instances"][0]["ProtectedFromScaleIn"] is True
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=1)
    autoscaling.set_instance_health(InstanceId=id, HealthStatus="Unhealthy")
    assert described(autoscaling)["Instances"][0]["InstanceId"] == id
    autoscaling.set_instance_health(InstanceId=id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    assert described(autoscaling)["Instances"][0]["InstanceId"] != id
    with refused("ValidationError", "No managed instance found for instance ID: i-1"):
        autoscaling.set_instance_health(InstanceId="i-1", HealthStatus="Healthy")
    with refused("ValidationError", "is not part of Auto Scaling group fleet"):
        autoscaling.set_instance_protection(
            AutoScalingGroupName="fleet", InstanceIds=["i-1"], ProtectedFromScaleIn=True
        )


def test_a_launch_that_ec2_refuses_is_a_failed_activity(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1, data={"ImageId": ARM_IMAGE})
    activity = autoscaling.describe_scaling_activities(AutoScalingGroupName="fleet")["Activities"][0]
    assert activity["StatusCode"] == "Failed"
    assert "does not match the architecture 'arm64'" in activity["StatusMessage"]
    assert described(autoscaling)["Instances"] == []


def test_activities_are_newest_first_paged_and_outlive_their_group_when_asked_for(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=3)
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="fleet", DesiredCapacity=0)
    pages = autoscaling.get_paginator("describe_scaling_activities").paginate(
        AutoScalingGroupName="fleet", PaginationConfig={"PageSize": 4}
    )
    descriptions = [[a["Description"].split()[0] for a in page["Activities"]] for page in pages]
    assert descriptions == [["Terminating", "Terminating", "Terminating", "Launching"], ["Launching", "Launching"]]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet")
    assert autoscaling.describe_scaling_activities()["Activities"] == []
    deleted = autoscaling.describe_scaling_activities(IncludeDeletedGroups=True)["Activities"]
    assert {a["AutoScalingGroupState"] for a in deleted} == {"Deleted"}


def test_activities_are_found_by_status_and_start(cloud: Cloud, clock: Callable[[float], None]) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    clock(3600)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)

    def found(name: str, value: str) -> list[str]:
        answer = autoscaling.describe_scaling_activities(
            AutoScalingGroupName="fleet", Filters=[{"Name": name, "Values": [value]}]
        )
        return [activity["Description"].split()[0] for activity in answer["Activities"]]

    between = datetime.now(UTC) + timedelta(seconds=1800)
    assert found("StartTimeLowerBound", between.isoformat()) == ["Terminating"]
    assert found("StartTimeUpperBound", between.replace(tzinfo=None).isoformat()) == ["Launching"]
    assert found("Status", "Successful") == ["Terminating", "Launching"]
    assert found("Status", "Failed") == []


def test_a_group_is_described_without_its_instances_if_asked(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    group = autoscaling.describe_auto_scaling_groups(IncludeInstances=False)["AutoScalingGroups"][0]
    assert "Instances" not in group
    assert len(described(autoscaling)["Instances"]) == 1


def test_what_is_not_modelled_is_refused_by_name(cloud: Cloud) -> None:
    with refused("InvalidAction", "localcloud does not model PutScalingPolicy of autoscaling"):
        make_group(cloud).put_scaling_policy(AutoScalingGroupName="fleet", PolicyName="p", PolicyType="SimpleScaling")
    autoscaling = make_group(cloud, "other")
    with refused("ValidationError", "localcloud does not model the strategy ReplaceRootVolume"):
        autoscaling.start_instance_refresh(AutoScalingGroupName="other", Strategy="ReplaceRootVolume")
    with refused("ValidationError", "localcloud does not model MixedInstancesPolicy"):
        mixed = {"MixedInstancesPolicy": {"InstancesDistribution": {"OnDemandBaseCapacity": 1}}}
        autoscaling.start_instance_refresh(AutoScalingGroupName="other", DesiredConfiguration=mixed)
