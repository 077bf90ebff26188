"""The whole path: `python -m localcloud up --instances container`, boto3, and a machine at the end of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers.machines import TOKEN
from localcloud.instances.docker import docker
from localcloud.testing import PROPAGATED, Cloud, wait_until
from localcloud.testing.containers import remaining, ssh_command

AMAZON_LINUX = "ami-0137112412989a002"
SUBNET = "subnet-010ca1c10d00000a1"


@pytest.fixture
def cloud(base: str) -> Iterator[Cloud]:
    """A localcloud with container instances, which leaves nothing when it is stopped."""
    with Cloud.start_process(instances="container") as cloud:
        yield cloud
    assert remaining(cloud.port) == []


def test_from_run_instances_to_ssh_and_back_to_nothing_also_after_a_kill(cloud: Cloud, tmp_path: Path) -> None:
    ec2 = cloud.client("ec2")
    key = tmp_path / "key"
    key.write_text(ec2.create_key_pair(KeyName="made-here", KeyType="ed25519")["KeyMaterial"], encoding="utf-8")
    key.chmod(0o600)

    started = time.perf_counter()
    instance = ec2.run_instances(
        ImageId=AMAZON_LINUX,
        InstanceType="t3.small",
        SubnetId=SUBNET,
        KeyName="made-here",
        MinCount=1,
        MaxCount=1,
        UserData="#!/bin/sh\necho ran >/root/ran\n",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    )["Instances"][0]

    def ssh(script: str) -> str:
        return subprocess.run(
            ssh_command(key, instance["PrivateIpAddress"], script),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        ).stdout.strip()

    wait_until(lambda: ssh("echo here") == "here")
    took = time.perf_counter() - started
    print(f"\nRunInstances to SSH: {took:.2f} s")
    assert took < 10
    assert (
        ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"][0]["State"]["Name"]
        == "running"
    )

    token = f"$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {TOKEN})"
    fetch = f'curl -fsS -H "X-aws-ec2-metadata-token: {token}" {TOKEN.removesuffix("api/token")}'
    assert ssh(f"{fetch}meta-data/instance-id") == instance["InstanceId"]
    assert ssh(f"{fetch}meta-data/local-ipv4") == instance["PrivateIpAddress"]
    assert ssh(f"{fetch}user-data") == "#!/bin/sh\necho ran >/root/ran"
    assert json.loads(ssh(f"curl -fsS http://127.0.0.1:{cloud.port}/localcloud/status"))["instances"] == "container"
    wait_until(lambda: ssh("sudo cat /root/ran") == "ran")

    assert len(remaining(cloud.port)) >= 5, "a container, two volumes, a network, a rule"
    kill(cloud)
    assert docker("inspect", "--format", "{{.State.Running}}", instance["InstanceId"]) == "true", (
        "it outlives its cloud"
    )
    cloud.run_localcloud("up", "--instances=container")
    assert remaining(cloud.port) == []


def kill(cloud: Cloud) -> None:
    """Kill the server, so that it cannot clean up."""
    pid = cloud.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or "(Z)" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    )


def test_image_of_an_instance_boots_and_terminated_instances_leave_only_the_network(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    first = ec2.run_instances(ImageId=AMAZON_LINUX, InstanceType="t3.small", SubnetId=SUBNET, MinCount=1, MaxCount=1)[
        "Instances"
    ][0]["InstanceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[first], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    docker("exec", first, "touch", "/etc/baked")
    ec2.stop_instances(InstanceIds=[first])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[first], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    image = ec2.create_image(InstanceId=first, Name="baked")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    second = ec2.run_instances(ImageId=image, InstanceType="t3.small", SubnetId=SUBNET, MinCount=1, MaxCount=1)[
        "Instances"
    ][0]["InstanceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[second], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert docker("exec", second, "ls", "/etc/baked") == "/etc/baked"

    ec2.terminate_instances(InstanceIds=[first, second])
    ec2.get_waiter("instance_terminated").wait(
        InstanceIds=[first, second], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    snapshot = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=snapshot)
    wait_until(lambda: len(remaining(cloud.port)) == 2)  # the network and its rule exist until the cloud stops
    kill(cloud)  # so that `down` has to clean up by itself


def test_a_group_replaces_a_container_that_crashed(cloud: Cloud) -> None:
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    ec2.create_launch_template(
        LaunchTemplateName="workers", LaunchTemplateData={"ImageId": AMAZON_LINUX, "InstanceType": "t3.small"}
    )
    cloud.advance(PROPAGATED)
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchTemplate={"LaunchTemplateName": "workers", "Version": "1"},
        MinSize=1,
        MaxSize=1,
        VPCZoneIdentifier=SUBNET,
    )

    def in_service() -> list[str]:
        return [id for id, state in cloud.lifecycle_states("group").items() if state == "InService"]

    [crashing] = wait_until(in_service, 30)
    docker("kill", crashing)
    wait_until(lambda: in_service() and in_service() != [crashing])
    assert docker("ps", "--all", "--quiet", "--filter", f"name={crashing}") == ""
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="group", ForceDelete=True)
    wait_until(lambda: len(remaining(cloud.port)) == 2)
