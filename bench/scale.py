"""`python -m bench.scale [N ...]`: what large groups cost localcloud, one line per size, up to 10,000 instances.

Launches, describe and terminations go through the API; hooks are completed as simulated instances complete them,
in the server's process. Seconds are CPU time of this process (server and client), so other load does not count.
The last column shows whether the cost grows faster than the group.
"""

from __future__ import annotations

import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import astuple, dataclass

from botocore.config import Config
from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from localcloud import seed

SIZES = (1000, 2000, 5000, 10_000)
IMAGE = next(image.id for image in seed.IMAGES if image.owner == seed.ACCOUNT and image.architecture == "x86_64")
HOOKS = [
    {"LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
    {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"},
]


@dataclass(frozen=True)
class Times:
    """Seconds that each step took with so many instances."""

    size: int
    launch: float
    boot: float
    describe_group: float
    describe_instances: float
    terminate: float
    drain: float

    @property
    def cycle(self) -> float:
        """From 0 to all in service and back to 0, in seconds."""
        return self.launch + self.boot + self.terminate + self.drain


def measure(cloud: Cloud, size: int) -> Times:
    """Scale a new group from 0 to `size` and back, with a launch and a termination hook."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=600)
    ec2, autoscaling = cloud.client("ec2", config=config), cloud.client("autoscaling", config=config)
    name = f"scale-{size}"
    vpc = ec2.create_vpc(CidrBlock="10.64.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.64.{third}.0/17", AvailabilityZone=f"{seed.REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for third, zone in ((0, "a"), (128, "b"))
    ]
    ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.medium"}
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "1"},
        VPCZoneIdentifier=",".join(subnets),
        MinSize=0,
        MaxSize=size,
        LifecycleHookSpecificationList=HOOKS,
    )
    with cloud.world.entered():
        backend = cloud.world.groups()
        record = backend.records[name]

    def complete(hook: str) -> None:
        with cloud.world.entered():
            for id in list(record.group.instances):
                done = record.group.complete(hook, "CONTINUE", backend.now(), instance_id=id, token=None)
                backend.perform(record, done)

    def check(state: str) -> None:
        found = {instance.state for instance in record.group.instances.values()}
        if found != {state} or len(record.group.instances) != size:
            raise RuntimeError(f"{len(record.group.instances)} instances are {found}, not {size} {state}")

    launch = timed(lambda: autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=size))
    check("Pending:Wait")
    boot = timed(lambda: complete("boot"))
    check("InService")
    group = timed(
        lambda: query(
            cloud.url, "autoscaling", {"Action": "DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1": name}
        )
    )
    instances = timed(lambda: query(cloud.url, "ec2", {"Action": "DescribeInstances"}))
    terminate = timed(lambda: autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0))
    check("Terminating:Wait")
    drain = timed(lambda: complete("drain"))
    if record.group.instances:
        raise RuntimeError(f"{len(record.group.instances)} instances are left")
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    return Times(size, launch, boot, group, instances, terminate, drain)


def query(url: str, service: str, parameters: dict[str, str]) -> bytes:
    """A query's answer, unparsed, so that only the server's work counts."""
    credential = f"localcloud-access-key/20260101/{seed.REGION}/{service}/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    version = {"ec2": "2016-11-15", "autoscaling": "2011-01-01"}[service]
    body = urllib.parse.urlencode({**parameters, "Version": version}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=60) as answer:
        return bytes(answer.read())


def timed(step: Callable[[], object]) -> float:
    """The step's CPU time, in seconds."""
    began = time.process_time()
    step()
    return time.process_time() - began


def main(sizes: list[int]) -> None:
    """Measure and print."""
    columns = ("launch", "boot", "group", "inst.", "end", "drain", "cycle")
    print(f"{'size':>7} " + " ".join(f"{column:>8}" for column in columns) + "  ms/instance")
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        for size in sizes:
            times = measure(cloud, size)
            print(f"{size:>7} " + " ".join(f"{value:>8.2f}" for value in (*astuple(times)[1:], times.cycle)), end="")
            print(f"  {1000 * times.cycle / size:.2f}", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
