"""Clients that nobody wrote for localcloud, run unchanged against it: boto3's paginators and waiters, aws-cli's documented
walk through lifecycle hooks, and Ansible modules that no playbook of ours uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, described, make_group, make_template
from unit.test_services import POLICY, TRUST

FLEET = {"AutoScalingGroupName": "fleet"}
BIN = Path(sys.executable).parent
#: Every command here is told where AWS is and who calls in the way that all of AWS's tools share.
SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "localcloud-access-key",
    "AWS_SECRET_ACCESS_KEY": "localcloud-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_PAGER": "",
    "NO_PROXY": "127.0.0.1",
}


# --- boto3: paginators --------------------------------------------------------------------------------------


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
        ("describe_instance_types", "InstanceTypes"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_snapshots", "Snapshots"),
        ("describe_subnets", "Subnets"),
        ("describe_tags", "Tags"),
        ("describe_volumes", "Volumes"),
        ("describe_vpcs", "Vpcs"),
    ],
)
def test_a_paginator_finds_no_end_before_the_last_and_none_twice(populated: Cloud, operation: str, result: str) -> None:
    client = populated.client("ec2")
    rows = [row for page in client.get_paginator(operation).paginate() for row in page[result]]
    once = {json.dumps(row, default=str, sort_keys=True) for row in rows}
    assert len(once) == len(rows) > 0


# --- boto3: waiters -----------------------------------------------------------------------------------------


def quickly(client: Any, waiter: str, **given: Any) -> None:
    """Wait as boto3 does, but not for minutes if the answer is wrong."""
    client.get_waiter(waiter).wait(**given, WaiterConfig={"Delay": 1, "MaxAttempts": 5})


def test_ec2s_waiters_follow_an_instance_from_its_launch_to_its_end(ec2: Any) -> None:
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]
    ids = {"InstanceIds": [made["InstanceId"]]}
    for waiter in ("instance_exists", "instance_running", "instance_status_ok", "system_status_ok"):
        quickly(ec2, waiter, **ids)
    volume = ec2.describe_instances(**ids)["Reservations"][0]["Instances"][0]["BlockDeviceMappings"][0]["Ebs"][
        "VolumeId"
    ]
    quickly(ec2, "volume_in_use", VolumeIds=[volume])
    ec2.stop_instances(**ids)
    quickly(ec2, "instance_stopped", **ids)
    image = ec2.create_image(InstanceId=made["InstanceId"], Name="baked")["ImageId"]
    for waiter in ("image_exists", "image_available"):
        quickly(ec2, waiter, ImageIds=[image])
    mapping = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]
    quickly(ec2, "snapshot_completed", SnapshotIds=[mapping["Ebs"]["SnapshotId"]])
    ec2.start_instances(**ids)
    quickly(ec2, "instance_running", **ids)
    ec2.terminate_instances(**ids)
    quickly(ec2, "instance_terminated", **ids)
    quickly(ec2, "volume_deleted", VolumeIds=[volume])


def test_a_waiter_for_what_will_not_come_gives_up_at_once(ec2: Any) -> None:
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    with pytest.raises(WaiterError, match='matched expected path: "terminated"'):
        quickly(ec2, "instance_running", InstanceIds=[made["InstanceId"]])


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
        quickly(client, waiter, **given)


# --- aws-cli ------------------------------------------------------------------------------------------------


@pytest.fixture
def surroundings(cloud: Cloud, tmp_path: Path) -> dict[str, str]:
    """The environment of a command that shall find this cloud and nothing of the user's."""
    own = {"HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "AWS_ENDPOINT_URL": cloud.url}
    return {**SURROUNDINGS, **own, "LC_ALL": "C.UTF-8"}


def test_aws_clis_walk_through_the_life_of_a_drain(cloud: Cloud, ec2: Any, surroundings: dict[str, str]) -> None:
    """(UG, "Tutorial: Use data script and instance metadata to retrieve lifecycle state", and the pages on each command.)"""
    client = make_group(cloud, DesiredCapacity=3, DefaultInstanceWarmup=0)

    def aws(command: str, *more: str) -> Any:
        words = [sys.executable, str(BIN / "aws"), "autoscaling", *command.split(), *more]
        done = subprocess.run(words, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def state(id: str) -> str:
        return {i["InstanceId"]: str(i["LifecycleState"]) for i in described(client)["Instances"]}.get(id, "gone")

    hook = "--lifecycle-hook-name drain --auto-scaling-group-name fleet"
    aws(
        f"put-lifecycle-hook {hook} --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 300 --default-result CONTINUE"
    )
    hooks = aws("describe-lifecycle-hooks --auto-scaling-group-name fleet")["LifecycleHooks"]
    assert (hooks[0]["LifecycleHookName"], hooks[0]["GlobalTimeout"]) == ("drain", 30_000)
    busy, idle, spare = sorted(i["InstanceId"] for i in described(client)["Instances"])

    aws(f"set-instance-protection --instance-ids {busy} --auto-scaling-group-name fleet --protected-from-scale-in")
    aws("suspend-processes --auto-scaling-group-name fleet --scaling-processes AZRebalance")
    moved = aws(
        f"enter-standby --instance-ids {spare} --auto-scaling-group-name fleet --should-decrement-desired-capacity"
    )
    assert moved["Activities"][0]["Description"] == f"Moving EC2 instance to Standby: {spare}"
    aws("set-desired-capacity --auto-scaling-group-name fleet --desired-capacity 1 --no-honor-cooldown")
    assert [state(id) for id in (busy, idle, spare)] == ["InService", "Terminating:Wait", "Standby"]

    aws(f"record-lifecycle-action-heartbeat {hook} --instance-id {idle}")
    aws(f"complete-lifecycle-action {hook} --lifecycle-action-result CONTINUE --instance-id {idle}")
    assert state(idle) == "gone"
    back = aws(f"exit-standby --instance-ids {spare} --auto-scaling-group-name fleet")
    assert back["Activities"][0]["StatusCode"] == "PreInService"

    ended = aws(f"terminate-instance-in-auto-scaling-group --instance-id {spare} --should-decrement-desired-capacity")
    assert ended["Activity"]["Description"] == f"Terminating EC2 instance: {spare}"
    token = next(w.token for w in group_waits(cloud) if w.hook.name == "drain")
    aws(f"complete-lifecycle-action {hook} --lifecycle-action-result CONTINUE --lifecycle-action-token {token}")
    assert state(spare) == "gone"

    preferences = '{"MinHealthyPercentage": 0, "ScaleInProtectedInstances": "Refresh"}'
    started = aws("start-instance-refresh --auto-scaling-group-name fleet --preferences", preferences)[
        "InstanceRefreshId"
    ]
    refreshes = aws("describe-instance-refreshes --auto-scaling-group-name fleet")["InstanceRefreshes"]
    assert (refreshes[0]["InstanceRefreshId"], refreshes[0]["Status"]) == (started, "Successful")
    assert state(busy) == "Terminating:Wait"
    aws("resume-processes --auto-scaling-group-name fleet")
    assert described(client)["SuspendedProcesses"] == []


def group_waits(cloud: Cloud) -> Iterator[Any]:
    """Open lifecycle actions. AWS hands their tokens out in notices, which are not modelled."""
    with cloud.world.entered():
        kept = list(cloud.world.groups().records.values())
    return (wait for one in kept for i in one.group.instances.values() for wait in i.waits)


# --- Ansible modules ----------------------------------------------------------------------------------------

PLAYBOOK: list[dict[str, Any]] = [
    {
        "name": "Modules that no playbook of ours uses, against localcloud",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            {
                "name": "Run an instance and wait for it",
                "amazon.aws.ec2_instance": {
                    "name": "builder",
                    "image_id": IMAGE,
                    "instance_type": "t3.medium",
                    "vpc_subnet_id": SUBNETS[0],
                    "state": "running",
                    "wait": True,
                },
                "register": "builder",
            },
            {
                "name": "Look it up",
                "amazon.aws.ec2_instance_info": {
                    "filters": {"tag:Name": "builder", "instance-state-name": ["running"]}
                },
                "register": "found",
            },
            {
                "name": "Make an image of it",
                "amazon.aws.ec2_ami": {
                    "instance_id": "{{ found.instances[0].instance_id }}",
                    "name": "baked",
                    "wait": True,
                    "tags": {"Kind": "test"},
                },
                "register": "image",
            },
            {
                "name": "Look the image up",
                "amazon.aws.ec2_ami_info": {"image_ids": "{{ image.image_id }}"},
                "register": "images",
            },
            {
                "name": "End the instance and wait for its end",
                "amazon.aws.ec2_instance": {
                    "instance_ids": ["{{ found.instances[0].instance_id }}"],
                    "state": "terminated",
                    "wait": True,
                },
            },
            {
                "name": "Deregister the image",
                "amazon.aws.ec2_ami": {"image_id": "{{ image.image_id }}", "state": "absent", "delete_snapshot": True},
            },
            {"name": "Look the group up", "amazon.aws.autoscaling_group_info": {"name": "fleet"}},
            {
                "name": "Look the members up",
                "amazon.aws.autoscaling_instance_info": {"group_name": "fleet"},
                "register": "members",
            },
            {
                "name": "Protect one",
                "amazon.aws.autoscaling_instance": {
                    "group_name": "fleet",
                    "instance_ids": ["{{ members.auto_scaling_instances[0].instance_id }}"],
                    "protection": True,
                    "state": "present",
                },
            },
            {
                "name": "End the other and keep the size",
                "amazon.aws.autoscaling_instance": {
                    "group_name": "fleet",
                    "instance_ids": ["{{ members.auto_scaling_instances[1].instance_id }}"],
                    "state": "terminated",
                    "decrement_desired_capacity": False,
                    "wait": False,
                },
            },
            {
                "name": "Let it go",
                "community.aws.autoscaling_complete_lifecycle_action": {
                    "asg_name": "fleet",
                    "lifecycle_hook_name": "drain",
                    "lifecycle_action_result": "CONTINUE",
                    "instance_id": "{{ members.auto_scaling_instances[1].instance_id }}",
                },
            },
            {
                "name": "Start a refresh",
                "amazon.aws.autoscaling_instance_refresh": {
                    "name": "fleet",
                    "state": "started",
                    "strategy": "Rolling",
                    "preferences": {"min_healthy_percentage": 50, "instance_warmup": 300},
                },
                "register": "refresh",
            },
            {
                "name": "Look it up again",
                "amazon.aws.autoscaling_instance_refresh_info": {"name": "fleet"},
                "register": "refreshes",
            },
            {"name": "Cancel it", "amazon.aws.autoscaling_instance_refresh": {"name": "fleet", "state": "cancelled"}},
            {
                "name": "Look the template up",
                "amazon.aws.ec2_launch_template_info": {"filters": {"launch-template-name": "fleet-template"}},
                "register": "templates",
            },
            {"name": "Look the role up", "amazon.aws.iam_role_info": {"name": "worker"}, "register": "worker"},
            {
                "name": "All of it was true",
                "ansible.builtin.assert": {
                    "that": [
                        "builder.instances[0].state.name == 'running'",
                        "images.images[0].tags.Kind == 'test'",
                        "members.auto_scaling_instances | length == 2",
                        "refreshes.instance_refreshes[0].status in ['Pending', 'InProgress']",
                        "templates.launch_templates[0].latest_version_number == 1",
                        "worker.iam_roles[0].role_name == 'worker'",
                    ]
                },
            },
        ],
    }
]


def test_ansible_modules_of_others_work_unchanged(
    cloud: Cloud, ec2: Any, surroundings: dict[str, str], tmp_path: Path
) -> None:
    cloud.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    drain = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    autoscaling = make_group(cloud, DesiredCapacity=2, LifecycleHookSpecificationList=[drain])
    before = {i["InstanceId"] for i in described(autoscaling)["Instances"]}
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps(PLAYBOOK), encoding="utf-8")
    command = [str(BIN / "ansible-playbook"), str(playbook), "-i", "localhost,"]
    done = subprocess.run(
        command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = described(autoscaling)["Instances"]
    kept = [i for i in after if i["InstanceId"] in before]
    assert [(i["LifecycleState"], i["ProtectedFromScaleIn"]) for i in kept] == [("InService", True)]
    assert ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["baked"]}])["Images"] == []
