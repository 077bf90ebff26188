"""The whole path: `python -m localcloud up --instances container`, boto3, and a machine at the end of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from containers.conftest import ROOT
from containers.machines import SSH, TOKEN, USER, left
from localcloud.instances.docker import docker

AMAZON_LINUX = "ami-0137112412989a002"
SUBNET = "subnet-010ca1c10d00000a1"


@dataclass
class Daemon:
    """A localcloud with containers for instances, in the background, on a port of its own."""

    port: int
    folder: Path

    def __call__(self, verb: str, *options: str) -> str:
        """What a verb of the command line says."""
        words = [sys.executable, "-m", "localcloud", verb, "--port", str(self.port), *options]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        self("up", "--instances", "container")

    def client(self, service: str) -> Any:
        make: Any = boto3.client  # typed by service name
        keys = {"aws_access_key_id": "localcloud-access-key", "aws_secret_access_key": "localcloud-secret-key"}
        return make(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", **keys)

    def left(self) -> list[str]:
        return left(f"localcloud.port={self.port}")


@pytest.fixture
def daemon(base: str, tmp_path: Path) -> Iterator[Daemon]:
    """Up; down at the end, which must leave nothing."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        daemon = Daemon(probe.getsockname()[1], tmp_path)
    daemon.up()
    yield daemon
    daemon("down")
    assert daemon.left() == []


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer; fails where none comes in time."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"{what} is not so after {seconds} s"
        time.sleep(0.1)
    return answer


def test_from_run_instances_to_ssh_and_back_to_nothing_also_after_a_kill(daemon: Daemon, tmp_path: Path) -> None:
    ec2 = daemon.client("ec2")
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
        UserData="#!/bin/sh\necho told >/root/told\n",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    )["Instances"][0]

    def ssh(script: str) -> str:
        words = [*SSH, "-i", str(key), f"{USER}@{instance['PrivateIpAddress']}", script]
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
        ).stdout.strip()

    until(lambda: ssh("echo here") == "here")
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
    assert ssh(f"{fetch}user-data") == "#!/bin/sh\necho told >/root/told"
    assert json.loads(ssh(f"curl -fsS http://127.0.0.1:{daemon.port}/localcloud/status"))["instances"] == "container"
    until(lambda: ssh("sudo cat /root/told") == "told")

    assert len(daemon.left()) >= 5, "a container, two volumes, a network, a rule"
    kill(daemon)
    assert docker("inspect", "--format", "{{.State.Running}}", instance["InstanceId"]) == "true", (
        "it outlives its cloud"
    )
    daemon.up()
    assert daemon.left() == []


def kill(daemon: Daemon) -> None:
    """The cloud ends without a word."""
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/localcloud/status") as answer:
        pid = json.load(answer)["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists() or "(Z)" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))


def test_image_of_an_instance_boots_and_terminated_instances_leave_only_the_network(daemon: Daemon) -> None:
    ec2 = daemon.client("ec2")
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
    until(lambda: len(daemon.left()) == 2)  # the network and its rule stand until the cloud ends
    kill(daemon)  # `down`, which follows, finds nobody that could clean up


def test_a_group_replaces_a_container_that_crashed(daemon: Daemon) -> None:
    ec2, autoscaling = daemon.client("ec2"), daemon.client("autoscaling")
    ec2.create_launch_template(
        LaunchTemplateName="workers", LaunchTemplateData={"ImageId": AMAZON_LINUX, "InstanceType": "t3.small"}
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchTemplate={"LaunchTemplateName": "workers", "Version": "1"},
        MinSize=1,
        MaxSize=1,
        VPCZoneIdentifier=SUBNET,
    )

    def in_service() -> list[str]:
        group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["group"])["AutoScalingGroups"][0]
        return [member["InstanceId"] for member in group["Instances"] if member["LifecycleState"] == "InService"]

    [crashing] = until(in_service)
    docker("kill", crashing)
    until(lambda: in_service() and in_service() != [crashing])
    assert docker("ps", "--all", "--quiet", "--filter", f"name={crashing}") == ""
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="group", ForceDelete=True)
    until(lambda: len(daemon.left()) == 2)
