# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's answers as a fleet. A part that cannot be read says why; what AWS does not report is not taken for right."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import fleet as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import agent_conf, user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import KEYS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    LaunchTemplate,
    LogGroup,
    Rule,
    Unread,
)

Settings = dict[str, Any]
ARN = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/gh-worker-asg"
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands"
DIGEST = f"sha256:{'a' * 64}"
CONF = dict.fromkeys(KEYS[1:], "x") | {"IMAGE": f"{REPOSITORY}:v1"}
TEMPLATE = {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "gh-worker-lt", "Version": "2"}
RAW: dict[str, Any] = {
    "AutoScalingGroupName": "gh-worker-asg",
    "AutoScalingGroupARN": ARN,
    "MinSize": 1,
    "MaxSize": 4,
    "DesiredCapacity": 2,
    "LaunchTemplate": TEMPLATE,
    "VPCZoneIdentifier": "subnet-b,subnet-a",
    "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
    "Instances": [
        {"InstanceId": i, "LifecycleState": "InService", "HealthStatus": "Healthy", "AvailabilityZone": "us-east-1a"}
        for i in ("i-2", "i-1")
    ],
}


def group(answers: Any, **other: Any) -> None:
    answers.on(
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [{**RAW, **other}]},
        AutoScalingGroupNames=["gh-worker-asg"],
    )


def no_group(answers: Any) -> None:
    answers.on("describe_auto_scaling_groups", {"AutoScalingGroups": []}, AutoScalingGroupNames=["gh-worker-asg"])


def versions(
    answers: Any,
    *found: dict[str, Any],
    requested: tuple[str, ...] = ("$Default", "$Latest", "2"),
    template: tuple[str, str] = ("LaunchTemplateId", "lt-1"),
) -> None:
    answers.on(
        "describe_launch_template_versions",
        {"LaunchTemplateVersions": list(found)} if found else None,
        **dict([template]),
        Versions=list(requested),
    )


BY_NAME = {"template": ("LaunchTemplateName", "gh-worker-lt"), "requested": ("$Default", "$Latest")}


def version(number: int, default: bool = False, id: str = "lt-1", **data: Any) -> dict[str, Any]:
    return {
        "LaunchTemplateId": id,
        "VersionNumber": number,
        "DefaultVersion": default,
        "LaunchTemplateData": data,
    }


def template(answers: Any, settings: Settings) -> LaunchTemplate:
    found: LaunchTemplate | None = read.PARTS["template"](answers.call, settings)
    assert found is not None
    return found


# --- agent.conf from user data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"DRAIN_LIMIT_SECONDS": 600, "WORKER_COMPLETES_HOOK": True, "REQUIRED_KEYS": ["A", "B"]},
        {"SECRET_ID": "a=b", "LOG_GROUP": "/content: |/x"},
    ],
    ids=str,
)
def test_what_user_data_writes_is_read_back(more: dict[str, Any], answers: Any, settings: Settings) -> None:
    conf = agent_conf({**CONF, **more})
    group(answers)
    versions(answers, version(2, True, UserData=user_data(conf)))
    seen = template(answers, settings)
    assert seen.agent_conf_problem == ""
    assert "".join(f"{key}={value}\n" for key, value in seen.agent_conf.items()) == conf


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "there is no user data"),
        ("%%%", "the user data is not the base64 of a text"),
        (encoded(b"\xff\xfe"), "the user data is not the base64 of a text"),
        (encoded("#!/bin/sh\ncurl x | sh\n"), "the user data does not write /etc/ghosthands/agent.conf"),
        (encoded("#cloud-config\nruncmd: []\n"), "the user data does not write /etc/ghosthands/agent.conf"),
    ],
)
def test_user_data_of_another_kind_says_why_there_is_no_agent_conf(
    data: str, problem: str, answers: Any, settings: Settings
) -> None:
    group(answers)
    versions(answers, version(2, True, UserData=data))
    seen = template(answers, settings)
    assert (dict(seen.agent_conf), seen.agent_conf_problem) == ({}, problem)


# --- the launch template ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("named", "number"), [("2", 2), ("$Latest", 3), ("$Default", 1)])
def test_the_version_that_the_group_names_is_the_one_that_is_read(
    named: str, number: int, answers: Any, settings: Settings
) -> None:
    group(answers, LaunchTemplate={**TEMPLATE, "Version": named})
    found = [version(3, ImageId="ami-3"), version(1, True, ImageId="ami-1"), version(2, ImageId="ami-2")]
    versions(answers, *found, requested=tuple(sorted({"$Default", "$Latest", named})))
    seen = template(answers, settings)
    assert (seen.version, seen.latest_version, seen.image) == (number, 3, f"ami-{number}")


def test_a_version_that_does_not_exist_is_no_template(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers)
    assert read.PARTS["template"](answers.call, settings) is None


@pytest.mark.parametrize(("raw", "state"), [({}, ""), ({"WarmPoolConfiguration": {"PoolState": "Stopped"}}, "Stopped")])
def test_a_group_names_its_warm_pool(raw: dict[str, Any], state: str, answers: Any, settings: Settings) -> None:
    group(answers, **raw)
    assert read.PARTS["group"](answers.call, settings).warm_pool == state


def test_without_a_group_the_fleets_latest_version_is_read(answers: Any, settings: Settings) -> None:
    no_group(answers)
    versions(answers, version(5, True), **BY_NAME)
    assert template(answers, settings).version == 5


def test_a_template_of_the_same_name_is_not_the_one_that_the_group_uses(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers)
    versions(answers, version(1, True, id="lt-2"), **BY_NAME)
    assert read.PARTS["template"](answers.call, settings) is None
    assert read.PARTS["template_id"](answers.call, settings) == "lt-2"


def test_a_group_with_the_fleets_template_is_read_by_one_call(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers, version(2, True))
    assert read.PARTS["template_id"](answers.call, settings) == template(answers, settings).id == "lt-1"
    assert set(answers.asked) == {"describe_auto_scaling_groups", "describe_launch_template_versions"}


def test_what_a_template_does_not_state_is_not_taken_for_right(answers: Any, settings: Settings) -> None:
    group(answers)
    disks = [
        {"DeviceName": "/dev/xvda", "Ebs": {}},
        {"DeviceName": "/dev/xvdb", "Ebs": {"Encrypted": True}},
        {"DeviceName": "/dev/xvdc", "VirtualName": "ephemeral0"},
    ]
    versions(answers, version(2, True, BlockDeviceMappings=disks))
    seen = template(answers, settings)
    assert (seen.metadata, seen.unencrypted, seen.profile, seen.security_groups) == (
        {},
        ("/dev/xvda",),
        "",
        (),
    )


def test_a_profile_may_be_named_by_its_arn_and_groups_by_card_or_by_instance(answers: Any, settings: Settings) -> None:
    group(answers)
    arn = "arn:aws:iam::123456789012:instance-profile/path/gh"
    cards = [{"Groups": ["sg-2"]}, {}]
    versions(
        answers, version(2, True, IamInstanceProfile={"Arn": arn}, NetworkInterfaces=cards, SecurityGroupIds=["sg-1"])
    )
    seen = template(answers, settings)
    assert (seen.profile, seen.security_groups) == ("gh", ("sg-1", "sg-2"))


# --- the group and its environment --------------------------------------------------------------------------------


def test_a_group_is_read_with_its_instances_in_order(answers: Any, settings: Settings) -> None:
    group(answers)
    seen = read.PARTS["group"](answers.call, settings)
    assert seen is not None
    assert [m.id for m in seen.instances] == ["i-1", "i-2"]
    assert (seen.on_hook_abandon, seen.metrics, seen.subnet_ids) == (
        "retain",
        frozenset(),
        frozenset({"subnet-a", "subnet-b"}),
    )


def test_without_a_group_nothing_else_of_it_is_read(answers: Any, settings: Settings) -> None:
    no_group(answers)
    for part in ("hooks", "activities", "refreshes", "subnets"):
        assert read.PARTS[part](answers.call, settings) == ()
    assert set(answers.asked) == {"describe_auto_scaling_groups"}


def test_the_account_is_the_groups(answers: Any, settings: Settings) -> None:
    group(answers)
    assert read.PARTS["account"](answers.call, settings) == "123456789012"


def test_rules_are_read_with_the_networks_of_their_prefix_lists(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers, version(2, True, SecurityGroupIds=["sg-1"]))
    ingress = [
        {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 23,
            "IpRanges": [{"CidrIp": "203.0.113.7/32"}],
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            "PrefixListIds": [{"PrefixListId": "pl-1"}, {"PrefixListId": "pl-gone"}],
            "UserIdGroupPairs": [{"GroupId": "sg-2"}],
        }
    ]
    egress = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    raw = {"GroupId": "sg-1", "GroupName": "gh", "IpPermissions": ingress, "IpPermissionsEgress": egress}
    which = [{"Name": "group-name", "Values": ["gh-worker-sg"]}]
    answers.on("describe_security_groups", {"SecurityGroups": [raw]}, Filters=which)
    answers.on("get_managed_prefix_list_entries", {"Entries": [{"Cidr": "198.51.100.0/24"}]}, PrefixListId="pl-1")
    answers.on("get_managed_prefix_list_entries", None, PrefixListId="pl-gone")
    seen = read.PARTS["security_groups"](answers.call, settings)["sg-1"]
    assert seen.inbound == (Rule("tcp", 22, 23, ("203.0.113.7/32", "2001:db8::/32", "198.51.100.0/24")),)
    assert seen.outbound == (Rule("-1", 0, 65535, ("0.0.0.0/0",)),)


def test_a_security_group_of_another_name_is_read_by_its_id(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers, version(2, True, SecurityGroupIds=["sg-2"]))
    by = "describe_security_groups"
    answers.on(by, {"SecurityGroups": []}, Filters=[{"Name": "group-name", "Values": ["gh-worker-sg"]}])
    raw = {"SecurityGroups": [{"GroupId": "sg-2", "GroupName": "other", "IpPermissions": []}]}
    answers.on(by, raw, Filters=[{"Name": "group-id", "Values": ["sg-2"]}])
    assert read.PARTS["security_groups"](answers.call, settings)["sg-2"].name == "other"


@pytest.mark.parametrize(
    ("image", "tag_or_digest"),
    [
        (f"{REPOSITORY}:v1", {"imageTag": "v1"}),
        (REPOSITORY, {"imageTag": "latest"}),
        (f"{REPOSITORY}:v1@{DIGEST}", {"imageDigest": DIGEST}),
    ],
)
def test_the_worker_image_is_found_as_docker_finds_it(
    image: str, tag_or_digest: dict[str, str], answers: Any, settings: Settings
) -> None:
    group(answers)
    versions(answers, version(2, True, UserData=user_data(agent_conf({**CONF, "IMAGE": image}))))
    answers.on(
        "describe_images",
        {"imageDetails": [{"imageDigest": DIGEST}]},
        repositoryName="ghosthands",
        imageIds=[tag_or_digest],
    )
    assert read.PARTS["worker_image"](answers.call, settings) == DIGEST


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/library/busybox:1",
        REPOSITORY.replace("123456789012", "210987654321"),
        REPOSITORY.replace("us-east-1", "eu-west-1"),
    ],
)
def test_an_image_in_another_registry_is_not_looked_up(image: str, answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers, version(2, True, UserData=user_data(agent_conf({**CONF, "IMAGE": image}))))
    assert read.PARTS["worker_image"](answers.call, settings) == ""
    assert "describe_images" not in answers.asked


def test_the_last_event_is_the_latest_of_a_streams_timestamps(answers: Any, settings: Settings) -> None:
    answers.on(
        "describe_log_streams",
        {"logStreams": [{"lastEventTimestamp": 1000, "lastIngestionTime": 5000}]},
        logGroupName="/wekruit/gh-worker",
        orderBy="LastEventTime",
        descending=True,
        PaginationConfig={"MaxItems": 1, "PageSize": 1},
    )
    names = ("/wekruit/gh-worker-old", "/wekruit/gh-worker")
    groups = [{"logGroupName": name, "retentionInDays": days} for days, name in enumerate(names, 6)]
    answers.on("describe_log_groups", {"logGroups": groups}, logGroupNamePrefix="/wekruit/gh-worker")
    assert read.PARTS["log_group"](answers.call, settings) == LogGroup("/wekruit/gh-worker", 5.0, 7)


OUR_TAGS = {"Name": "gh-worker", "Role": "gh-worker"}
GROUP_TAG = {"aws:autoscaling:groupName": "gh-worker-asg"}


def instances(answers: Any, tags: dict[str, str], *found: dict[str, Any]) -> None:
    which = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    answers.on("describe_instances", {"Reservations": [{"Instances": list(found)}]}, Filters=which)


def instance(id: str, state: str = "running", tags: dict[str, str] | None = None, **other: Any) -> dict[str, Any]:
    named = [{"Key": key, "Value": value} for key, value in (OUR_TAGS if tags is None else tags).items()]
    one = {"ImageId": "ami-1", "InstanceType": "t3.medium", "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC)}
    return {"InstanceId": id, "State": {"Name": state}, "Tags": named, **one, **other}


def test_one_call_finds_the_groups_instances_and_those_outside_of_any_group(answers: Any, settings: Settings) -> None:
    group(answers)
    others = {**OUR_TAGS, "aws:autoscaling:groupName": "another-asg"}
    mine = [instance(id, tags={**OUR_TAGS, **GROUP_TAG}) for id in ("i-1", "i-2", "i-retained")]
    outside = [instance("i-detached"), instance("i-going", "shutting-down"), instance("i-gone", "terminated")]
    instances(answers, OUR_TAGS, *mine, *outside, instance("i-others", tags=others))
    assert set(read.PARTS["instances"](answers.call, settings)) == {"i-1", "i-2", "i-retained"}
    assert [i.id for i in read.PARTS["outsiders"](answers.call, settings)] == ["i-detached"]


def test_the_groups_own_tag_finds_instances_whose_tags_somebody_removed(answers: Any, settings: Settings) -> None:
    group(answers)
    instances(answers, OUR_TAGS, instance("i-1", tags={**OUR_TAGS, **GROUP_TAG}))
    instances(answers, GROUP_TAG, instance("i-1", tags=GROUP_TAG), instance("i-2", tags=GROUP_TAG))
    assert set(read.PARTS["instances"](answers.call, settings)) == {"i-1", "i-2"}


def test_an_instance_has_the_security_groups_of_all_its_network_interfaces(answers: Any, settings: Settings) -> None:
    group(answers, Instances=[])
    cards = [
        {"Attachment": {"DeviceIndex": 0}, "Groups": [{"GroupId": "sg-1"}]},
        {"Attachment": {"DeviceIndex": 1}, "Groups": [{"GroupId": "sg-2"}]},
    ]
    profile = {"Arn": "arn:aws:iam::123456789012:instance-profile/path/gh"}
    one = instance("i-1", SecurityGroups=[{"GroupId": "sg-1"}], NetworkInterfaces=cards, IamInstanceProfile=profile)
    instances(answers, OUR_TAGS, one)
    (seen,) = read.PARTS["outsiders"](answers.call, settings)
    assert (seen.security_groups, seen.profile) == ({"sg-1", "sg-2"}, "gh")


def test_the_templates_image_is_among_those_that_one_filter_takes(answers: Any, settings: Settings) -> None:
    group(answers)
    versions(answers, version(2, True, ImageId="ami-zzz"))
    one = {"State": {"Name": "running"}, "InstanceType": "t3.medium", "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC)}
    running = [{**one, "InstanceId": f"i-{n:03}", "ImageId": f"ami-{n:03}"} for n in range(300)]
    instances(answers, OUR_TAGS)
    instances(answers, GROUP_TAG, *running)
    first = ["ami-zzz", *(f"ami-{n:03}" for n in range(199))]
    answers.on(
        "describe_images", {"Images": []}, Filters=[{"Name": "image-id", "Values": first}], IncludeDeprecated=True
    )
    assert read.PARTS["images"](answers.call, settings) == {}


# --- what cannot be read ------------------------------------------------------------------------------------------


class Refusing:
    """An account that may not be read."""

    def call(self, service: str, operation: str, *_more: Any, **_request: Any) -> Any:
        raise AwsError(f"These credentials may not call {service}:{operation}.")


def test_a_part_that_may_not_be_read_is_unread_and_nothing_is_raised(answers: Any, settings: Settings) -> None:
    named = {**settings, "fleet_valet_user_name": "valet"}
    seen = read.start_fleet(answers.start, Refusing().call, named)()
    parts = {name: getattr(seen, name) for name in read.PARTS}
    assert {name for name, part in parts.items() if not isinstance(part, Unread)} == set()
    assert "may not call logs:describe_log_streams" in parts["log_group"].reason
