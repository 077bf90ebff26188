"""boto3's paginators and waiters work unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, make_group, make_template
from unit.test_services import POLICY, TRUST

# --- paginators --------------------------------------------------------------------------------------


@pytest.fixture
def populated(cloud: Cloud, ec2: Any) -> Cloud:
    """Seven of everything that comes in pages."""
    make_template(ec2)
    for number in range(7):
        tags = [{"Key": f"k{number}", "Value": "v", "PropagateAtLaunch": False}]
        template = {"LaunchTemplateName": "workers", "Version": "1"}
        make_group(cloud, f"g{number}", template=template, DesiredCapacity=1, Tags=tags)
        if number:
            ec2.create_launch_template_version(LaunchTemplateName="workers", SourceVersion="1", LaunchTemplateData={})
            make_template(ec2, f"workers-{number}")
    return cloud


@pytest.mark.parametrize(
    ("service", "operation", "result", "given"),
    [
        ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", {}),
        ("autoscaling", "describe_auto_scaling_instances", "AutoScalingInstances", {}),
        ("autoscaling", "describe_scaling_activities", "Activities", {}),
        ("autoscaling", "describe_tags", "Tags", {}),
        ("ec2", "describe_instances", "Reservations", {}),
        ("ec2", "describe_launch_templates", "LaunchTemplates", {}),
        ("ec2", "describe_launch_template_versions", "LaunchTemplateVersions", {"LaunchTemplateName": "workers"}),
    ],
)
def test_a_paginator_gathers_in_small_pages_what_one_page_holds(
    populated: Cloud, service: str, operation: str, result: str, given: dict[str, Any]
) -> None:
    client = populated.client(service)
    pages = list(client.get_paginator(operation).paginate(**given, PaginationConfig={"PageSize": 5}))
    assert [len(page[result]) for page in pages] == [5, 2]
    assert [row for page in pages for row in page[result]] == getattr(client, operation)(**given)[result]


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ("describe_images", "Images"),
        ("describe_instance_status", "InstanceStatuses"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_snapshots", "Snapshots"),
        ("describe_subnets", "Subnets"),
        ("describe_tags", "Tags"),
        ("describe_volumes", "Volumes"),
        ("describe_vpcs", "Vpcs"),
    ],
)
def test_a_paginator_returns_each_row_once(populated: Cloud, operation: str, result: str) -> None:
    client = populated.client("ec2")
    rows = [row for page in client.get_paginator(operation).paginate() for row in page[result]]
    once = {json.dumps(row, default=str, sort_keys=True) for row in rows}
    assert len(once) == len(rows) > 0


# --- waiters -----------------------------------------------------------------------------------------


def wait(client: Any, waiter: str, **given: Any) -> None:
    """Wait as boto3 does, for some seconds instead of minutes."""
    client.get_waiter(waiter).wait(**given, WaiterConfig={"Delay": 1, "MaxAttempts": 5})


def test_ec2s_waiters_follow_an_instance_from_its_launch_to_its_end(ec2: Any) -> None:
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]
    ids = {"InstanceIds": [made["InstanceId"]]}
    for waiter in ("instance_exists", "instance_running", "instance_status_ok", "system_status_ok"):
        wait(ec2, waiter, **ids)
    volume = ec2.describe_instances(**ids)["Reservations"][0]["Instances"][0]["BlockDeviceMappings"][0]["Ebs"][
        "VolumeId"
    ]
    wait(ec2, "volume_in_use", VolumeIds=[volume])
    ec2.stop_instances(**ids)
    wait(ec2, "instance_stopped", **ids)
    image = ec2.create_image(InstanceId=made["InstanceId"], Name="baked")["ImageId"]
    for waiter in ("image_exists", "image_available"):
        wait(ec2, waiter, ImageIds=[image])
    mapping = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]
    wait(ec2, "snapshot_completed", SnapshotIds=[mapping["Ebs"]["SnapshotId"]])
    ec2.start_instances(**ids)
    wait(ec2, "instance_running", **ids)
    ec2.terminate_instances(**ids)
    wait(ec2, "instance_terminated", **ids)
    wait(ec2, "volume_deleted", VolumeIds=[volume])


def test_a_waiter_for_what_will_not_come_gives_up_at_once(ec2: Any) -> None:
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    with pytest.raises(WaiterError, match='matched expected path: "terminated"'):
        wait(ec2, "instance_running", InstanceIds=[made["InstanceId"]])


def test_the_waiters_of_networks_keys_and_identities_end(cloud: Cloud, ec2: Any) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.create_user(UserName="valet")
    policy = iam.create_policy(PolicyName="scale", PolicyDocument=POLICY)["Policy"]["Arn"]
    ec2.create_key_pair(KeyName="key")
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId="vpc-010ca1c10d0000001")["GroupId"]
    for client, waiter, given in (
        (iam, "role_exists", {"RoleName": "worker"}),
        (iam, "instance_profile_exists", {"InstanceProfileName": "worker"}),
        (iam, "user_exists", {"UserName": "valet"}),
        (iam, "policy_exists", {"PolicyArn": policy}),
        (ec2, "key_pair_exists", {"KeyNames": ["key"]}),
        (ec2, "security_group_exists", {"GroupIds": [group]}),
        (ec2, "subnet_available", {"SubnetIds": list(SUBNETS)}),
        (ec2, "vpc_available", {"VpcIds": ["vpc-010ca1c10d0000001"]}),
    ):
        wait(client, waiter, **given)
