"""Standby, attaching, detaching and instance refresh as a boto3 client sees them; paging; health from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, described, instances, make_group, refused

FLEET = {"AutoScalingGroupName": "fleet"}


def states(autoscaling: Any) -> dict[str, str]:
    """The group's instances by id, with their lifecycle states."""
    return {i["InstanceId"]: i["LifecycleState"] for i in described(autoscaling)["Instances"]}


def second_version(ec2: Any) -> dict[str, str]:
    """Create another version of the group's template."""
    data = {"InstanceType": "t3.large"}
    ec2.create_launch_template_version(LaunchTemplateName="fleet-template", SourceVersion="1", LaunchTemplateData=data)
    return {"LaunchTemplateName": "fleet-template", "Version": "2"}


def refresh(autoscaling: Any) -> dict[str, Any]:
    """The newest refresh."""
    return dict(autoscaling.describe_instance_refreshes(**FLEET)["InstanceRefreshes"][0])


# --- instances ----------------------------------------------------------------------------------------------


def test_an_instance_enters_and_leaves_standby(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    id = next(iter(states(autoscaling)))
    answer = autoscaling.enter_standby(**FLEET, InstanceIds=[id], ShouldDecrementDesiredCapacity=True)
    assert [(a["StatusCode"], a["Progress"]) for a in answer["Activities"]] == [("InProgress", 50)]
    assert (described(autoscaling)["DesiredCapacity"], states(autoscaling)[id]) == (1, "Standby")
    ec2.stop_instances(InstanceIds=[id])
    assert states(autoscaling)[id] == "Standby"
    ec2.start_instances(InstanceIds=[id])
    answer = autoscaling.exit_standby(**FLEET, InstanceIds=[id])
    assert answer["Activities"][0]["StatusCode"] == "PreInService"
    assert (described(autoscaling)["DesiredCapacity"], states(autoscaling)[id]) == (2, "InService")
    with refused("ValidationError", f"The instance {id} is not in Standby"):
        autoscaling.exit_standby(**FLEET, InstanceIds=[id])


def test_a_stopped_instance_in_service_is_replaced(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    id = next(iter(states(autoscaling)))
    ec2.stop_instances(InstanceIds=[id])
    assert id not in states(autoscaling)
    assert len(states(autoscaling)) == 1


def test_a_detached_instance_runs_on_and_can_be_attached_again(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    id = next(iter(states(autoscaling)))
    autoscaling.detach_instances(**FLEET, InstanceIds=[id], ShouldDecrementDesiredCapacity=True)
    assert (states(autoscaling), instances(ec2)) == ({}, [])
    assert ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    autoscaling.attach_instances(**FLEET, InstanceIds=[id])
    assert (states(autoscaling), described(autoscaling)["DesiredCapacity"]) == ({id: "InService"}, 1)
    assert "LaunchTemplate" not in described(autoscaling)["Instances"][0]
    assert [i["InstanceId"] for i in instances(ec2)] == [id]


def test_a_retained_instance_can_be_detached_unless_capacity_is_to_shrink(cloud: Cloud, ec2: Any) -> None:
    retain = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
    drain = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    autoscaling = make_group(
        cloud, DesiredCapacity=1, InstanceLifecyclePolicy=retain, LifecycleHookSpecificationList=[drain]
    )
    id = next(iter(states(autoscaling)))
    autoscaling.set_desired_capacity(**FLEET, DesiredCapacity=0)
    autoscaling.complete_lifecycle_action(
        **FLEET, LifecycleHookName="drain", InstanceId=id, LifecycleActionResult="ABANDON"
    )
    assert states(autoscaling) == {id: "Terminating:Retained"}
    with refused("ValidationError", "is not in InService or Standby"):
        autoscaling.detach_instances(**FLEET, InstanceIds=[id], ShouldDecrementDesiredCapacity=True)
    autoscaling.detach_instances(**FLEET, InstanceIds=[id], ShouldDecrementDesiredCapacity=False)
    assert (states(autoscaling), described(autoscaling)["DesiredCapacity"]) == ({}, 0)
    assert ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"


def test_a_stopped_instance_cannot_be_attached(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud)
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])
    id = made["Instances"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[id])
    with refused("ValidationError", "not in the running state"):
        autoscaling.attach_instances(**FLEET, InstanceIds=[id])


# --- refresh ------------------------------------------------------------------------------------------------


def test_a_refresh_replaces_and_adopts(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    before = set(states(autoscaling))
    configuration = {"LaunchTemplate": second_version(ec2)}
    id = autoscaling.start_instance_refresh(**FLEET, DesiredConfiguration=configuration)["InstanceRefreshId"]
    group = described(autoscaling)
    assert {i["InstanceType"] for i in group["Instances"]} == {"t3.large"}
    assert not before & {i["InstanceId"] for i in group["Instances"]}
    assert group["LaunchTemplate"]["Version"] == "2"
    newest = refresh(autoscaling)
    assert (
        newest["InstanceRefreshId"],
        newest["Status"],
        newest["PercentageComplete"],
        newest["InstancesToUpdate"],
    ) == (
        id,
        "Successful",
        100,
        0,
    )
    assert newest["DesiredConfiguration"]["LaunchTemplate"]["Version"] == "2"
    assert newest["Preferences"] == {
        "MinHealthyPercentage": 90,
        "InstanceWarmup": 0,
        "SkipMatching": False,
        "AutoRollback": False,
        "ScaleInProtectedInstances": "Wait",
        "StandbyInstances": "Wait",
    }


def test_a_refresh_that_warms_up_can_be_seen_and_cancelled(
    cloud: Cloud, ec2: Any, clock: Callable[[float], None]
) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    autoscaling.start_instance_refresh(**FLEET, Preferences={"InstanceWarmup": 100, "SkipMatching": False})
    assert refresh(autoscaling)["Status"] == "InProgress"
    assert "is warming up" in refresh(autoscaling)["StatusReason"]
    clock(101)
    assert refresh(autoscaling)["PercentageComplete"] == 50
    with refused("InstanceRefreshInProgress"):
        autoscaling.start_instance_refresh(**FLEET)
    autoscaling.cancel_instance_refresh(**FLEET)
    newest = refresh(autoscaling)
    assert (newest["Status"], newest["StatusReason"]) == ("Cancelled", "Cancelled due to user request.")
    with refused("ActiveInstanceRefreshNotFound"):
        autoscaling.cancel_instance_refresh(**FLEET)
    with refused("ActiveInstanceRefreshNotFound"):
        autoscaling.rollback_instance_refresh(**FLEET)


def test_a_refresh_can_be_rolled_back(cloud: Cloud, ec2: Any, clock: Callable[[float], None]) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    configuration = {"LaunchTemplate": second_version(ec2)}
    autoscaling.start_instance_refresh(**FLEET, DesiredConfiguration=configuration, Preferences={"InstanceWarmup": 100})
    assert refresh(autoscaling)["Status"] == "InProgress"
    clock(101)
    assert refresh(autoscaling)["PercentageComplete"] == 50
    autoscaling.rollback_instance_refresh(**FLEET)
    newest = refresh(autoscaling)
    assert (newest["Status"], newest["RollbackDetails"]["PercentageCompleteOnRollback"]) == ("RollbackInProgress", 50)
    for _ in range(3):
        clock(101)
        described(autoscaling)
    assert refresh(autoscaling)["Status"] == "RollbackSuccessful"
    assert {i["LaunchTemplate"]["Version"] for i in described(autoscaling)["Instances"]} == {"1"}


def test_an_alarm_has_to_be_ok_and_fails_a_refresh_that_names_it(
    cloud: Cloud, ec2: Any, clock: Callable[[float], None]
) -> None:
    autoscaling, watch = make_group(cloud, DesiredCapacity=2), cloud.client("cloudwatch")
    wanted: dict[str, Any] = {
        **FLEET,
        "DesiredConfiguration": {"LaunchTemplate": second_version(ec2)},
        "Preferences": {"AlarmSpecification": {"Alarms": ["errors"]}, "AutoRollback": True, "InstanceWarmup": 100},
    }
    with refused("ValidationError", "errors does not exist"):
        autoscaling.start_instance_refresh(**wanted)
    alarm: dict[str, Any] = {"AlarmName": "errors", "Namespace": "fleet", "MetricName": "failed", "Statistic": "Sum"}
    alarm |= {"Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    watch.put_metric_alarm(**alarm)
    assert watch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"][0]["StateValue"] == "INSUFFICIENT_DATA"
    with refused("ValidationError", "INSUFFICIENT_DATA"):
        autoscaling.start_instance_refresh(**wanted)
    watch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="a test")
    watch.put_metric_alarm(**alarm)  # a change leaves the state
    autoscaling.start_instance_refresh(**wanted)
    assert refresh(autoscaling)["Preferences"]["AlarmSpecification"] == {"Alarms": ["errors"]}
    watch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    newest = refresh(autoscaling)
    assert (newest["Status"], newest["Strategy"]) == ("RollbackInProgress", "Rolling")
    assert "CloudWatch alarm errors is in the ALARM state" in newest["RollbackDetails"]["RollbackReason"]
    for _ in range(3):
        clock(101)
        described(autoscaling)
    assert refresh(autoscaling)["Status"] == "RollbackSuccessful"
    watch.delete_alarms(AlarmNames=["errors"])
    assert watch.describe_alarms()["MetricAlarms"] == []


def test_a_launch_template_cannot_be_named_while_another_is_deployed(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    template = second_version(ec2)
    preferences = {"InstanceWarmup": 100}
    autoscaling.start_instance_refresh(
        **FLEET, DesiredConfiguration={"LaunchTemplate": template}, Preferences=preferences
    )
    with refused("ValidationError", "An active instance refresh with a desired configuration exists"):
        autoscaling.update_auto_scaling_group(**FLEET, LaunchTemplate=template)
    autoscaling.update_auto_scaling_group(**FLEET, DefaultCooldown=10)
    assert described(autoscaling)["LaunchTemplate"]["Version"] == "1"
    autoscaling.cancel_instance_refresh(**FLEET, WaitForTransitioningInstances=False)
    autoscaling.update_auto_scaling_group(**FLEET, LaunchTemplate=template)
    assert described(autoscaling)["LaunchTemplate"]["Version"] == "2"


def test_a_refresh_to_a_version_that_does_not_exist_is_refused(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    for wrong in ({"Version": "9"}, {"LaunchTemplateName": "elsewhere"}):
        template = {"LaunchTemplateName": "fleet-template", "Version": "1", **wrong}
        with refused("ValidationError", "You must use a valid fully-formed launch template"):
            autoscaling.start_instance_refresh(**FLEET, DesiredConfiguration={"LaunchTemplate": template})
    assert autoscaling.describe_instance_refreshes(**FLEET)["InstanceRefreshes"] == []


def test_refreshes_are_shown_for_six_weeks(cloud: Cloud, clock: Callable[[float], None]) -> None:
    autoscaling = make_group(cloud)
    autoscaling.start_instance_refresh(**FLEET)
    assert refresh(autoscaling)["Status"] == "Successful"
    clock(6 * 7 * 86_400 - 10)
    assert refresh(autoscaling)["Status"] == "Successful"
    clock(20)
    assert autoscaling.describe_instance_refreshes(**FLEET)["InstanceRefreshes"] == []


def test_refreshes_are_paged_newest_first_and_there_are_none_of_unknown_ids(cloud: Cloud) -> None:
    autoscaling = make_group(cloud)
    made = []
    for _ in range(5):
        made.append(autoscaling.start_instance_refresh(**FLEET)["InstanceRefreshId"])
        described(autoscaling)
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        page = autoscaling.describe_instance_refreshes(**FLEET, MaxRecords=2, **token)
        pages.append([r["InstanceRefreshId"] for r in page["InstanceRefreshes"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    found = autoscaling.describe_instance_refreshes(**FLEET, InstanceRefreshIds=["missing"])
    assert found["InstanceRefreshes"] == []


# --- paging -------------------------------------------------------------------------------------------------


def test_instances_come_by_fifty_and_larger_pages_are_refused(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, MaxSize=60, DesiredCapacity=55)
    pages = list(autoscaling.get_paginator("describe_auto_scaling_instances").paginate())
    assert [len(page["AutoScalingInstances"]) for page in pages] == [50, 5]
    with refused("ValidationError", "MaxRecords"):
        autoscaling.describe_auto_scaling_instances(MaxRecords=51)
    with refused("InvalidNextToken"):
        autoscaling.describe_auto_scaling_instances(NextToken="elsewhere")
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 20}))
    assert [len(page["Reservations"]) for page in pages] == [20, 20, 15]
    with refused("InvalidParameterValue"):
        ec2.describe_instances(MaxResults=4)
    with refused("InvalidNextToken"):
        ec2.describe_instances(MaxResults=5, NextToken="elsewhere")
