"""EC2 and groups over machines that boot slowly, fail and exit: the tests' own host decides when."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from localcloud.instances import Machine
from localcloud.testing import Cloud, wait_until
from localcloud.world import HEALTH_CHECK_SECONDS, World
from unit.resources import IMAGE, SUBNETS, make_group, refused


class SlowHost:
    """A host that only records what it is asked: the test reports what the machines do."""

    kind = "slow"

    def __init__(self, world: World) -> None:
        self.world = world
        self.machines: dict[str, Machine] = {}
        self.requests: list[tuple[str, ...]] = []

    def launch(self, machine: Machine) -> None:
        self.machines[machine.id] = machine
        self.requests.append(("launch", machine.id))

    def stop(self, instance_id: str) -> None:
        self.requests.append(("stop", instance_id))

    def start(self, instance_id: str) -> None:
        self.requests.append(("start", instance_id))

    def reboot(self, instance_id: str) -> None:
        self.requests.append(("reboot", instance_id))

    def terminate(self, instance_id: str) -> None:
        self.requests.append(("terminate", instance_id))
        if self.world.machines.clearing:
            self.world.ended(instance_id, "terminated", "")

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        self.requests.append(("make_image", instance_id, image_id, "reboot" if reboot else "as it runs"))

    def drop_image(self, image_id: str) -> None:
        self.requests.append(("drop_image", image_id))

    def close(self) -> None:
        self.requests.append(("close",))


@pytest.fixture
def host(cloud: Cloud) -> Iterator[SlowHost]:
    """Instances are machines of such a host."""
    slow = SlowHost(cloud.world)
    cloud.world.use(slow)
    yield slow
    cloud.reset()
    cloud.world.use(cloud.world.simulated())


def run(ec2: Any, **options: Any) -> str:
    """Run an instance and return its id."""
    parameters = {
        "ImageId": IMAGE,
        "InstanceType": "t3.medium",
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": SUBNETS[0],
        **options,
    }
    return str(ec2.run_instances(**parameters)["Instances"][0]["InstanceId"])


def state(ec2: Any, id: str) -> str:
    """The state of an instance."""
    return str(described_instance(ec2, id)["State"]["Name"])


def described_instance(ec2: Any, id: str) -> dict[str, Any]:
    """The instance as EC2 describes it."""
    return dict(ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0])


def skip_to_health_check(host: SlowHost) -> None:
    """Skip the time after which health checks find a failed machine."""
    entries = host.world.machines.timetable._entries
    entries[:] = [(at - HEALTH_CHECK_SECONDS, number, action) for at, number, action in entries]


# --- EC2 ----------------------------------------------------------------------------------------------------


def test_an_instance_is_pending_until_its_machine_runs(ec2: Any, host: SlowHost) -> None:
    id = run(ec2)
    assert state(ec2, id) == "pending"
    host.world.running(id)
    assert state(ec2, id) == "running"


def test_a_machine_gets_all_attributes_of_its_instance(ec2: Any, host: SlowHost) -> None:
    key = ec2.create_key_pair(KeyName="mine", KeyType="ed25519")
    options = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}
    id = run(ec2, KeyName="mine", UserData="#cloud-config\n", PrivateIpAddress="172.28.1.77", MetadataOptions=options)
    machine = host.machines[id]
    assert (machine.id, machine.image, machine.address, machine.host_name) == (
        id,
        IMAGE,
        "172.28.1.77",
        "ip-172-28-1-77",
    )
    assert (machine.subnet_cidr, machine.vpc_cidr, machine.hop_limit) == ("172.28.1.0/24", "172.28.0.0/16", 3)
    assert machine.user_data == b"#cloud-config\n"
    assert machine.public_keys["mine"].startswith("ssh-ed25519 ")
    assert key["KeyMaterial"] not in repr(machine)


def test_stopping_and_starting_show_every_state_on_the_way(ec2: Any, host: SlowHost) -> None:
    id = run(ec2)
    host.world.running(id)
    ec2.stop_instances(InstanceIds=[id])
    assert state(ec2, id) == "stopping"
    host.world.ended(id, "stopped", "")
    stopped = described_instance(ec2, id)
    assert (stopped["State"]["Name"], stopped["StateReason"]["Code"]) == ("stopped", "Client.UserInitiatedShutdown")
    ec2.start_instances(InstanceIds=[id])
    assert state(ec2, id) == "pending"
    host.world.running(id)
    again = described_instance(ec2, id)
    assert (again["State"]["Name"], again["PrivateIpAddress"]) == ("running", stopped["PrivateIpAddress"])
    ec2.reboot_instances(InstanceIds=[id])
    assert host.requests == [("launch", id), ("stop", id), ("start", id), ("reboot", id)]


def test_terminating_keeps_the_address_until_the_machine_is_terminated(ec2: Any, host: SlowHost) -> None:
    id = run(ec2)
    host.world.running(id)
    ec2.terminate_instances(InstanceIds=[id])
    terminating = described_instance(ec2, id)
    assert (terminating["State"]["Name"], terminating["PrivateIpAddress"]) == (
        "shutting-down",
        host.machines[id].address,
    )
    ec2.terminate_instances(InstanceIds=[id])
    host.world.ended(id, "terminated", "")
    terminated = described_instance(ec2, id)
    assert (terminated["State"]["Name"], terminated["StateReason"]["Code"]) == (
        "terminated",
        "Client.UserInitiatedShutdown",
    )
    assert host.requests.count(("terminate", id)) == 1
    assert ec2.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize("behaviour", ["stop", "terminate"])
def test_a_machine_that_shuts_down_stops_or_terminates_as_its_instance_says(
    ec2: Any, host: SlowHost, behaviour: str
) -> None:
    id = run(ec2, InstanceInitiatedShutdownBehavior=behaviour)
    host.world.running(id)
    host.world.ended(id, "stopped", "powered off")
    if behaviour == "terminate":
        assert state(ec2, id) == "shutting-down"
        host.world.ended(id, "terminated", "")
    terminated = described_instance(ec2, id)
    assert terminated["State"]["Name"] == {"stop": "stopped", "terminate": "terminated"}[behaviour]
    assert terminated["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


@pytest.mark.parametrize("ran", [True, False])
def test_a_failed_machine_terminates_its_instance_and_is_removed(ec2: Any, host: SlowHost, ran: bool) -> None:
    id = run(ec2)
    if ran:
        host.world.running(id)
    host.world.ended(id, "failed", "the disk is on fire")
    reason = {"Code": "Server.InternalError", "Message": "Server.InternalError: the disk is on fire"}
    assert (state(ec2, id), described_instance(ec2, id)["StateReason"]) == ("terminated", reason)
    assert host.requests[-1] == ("terminate", id)
    host.world.running(id)  # too late
    assert state(ec2, id) == "terminated"


@pytest.mark.parametrize(
    ("call", "states"),
    [
        ("start_instances", ["stopping", "shutting-down", "terminated"]),
        ("stop_instances", ["pending", "shutting-down", "terminated"]),
        ("reboot_instances", ["pending", "stopping", "stopped", "shutting-down", "terminated"]),
    ],
)
def test_calls_that_do_not_fit_the_state_are_refused(ec2: Any, host: SlowHost, call: str, states: list[str]) -> None:
    for expected in states:
        id = run(ec2)
        if expected in ("stopping", "stopped"):
            host.world.running(id)
            ec2.stop_instances(InstanceIds=[id])
        if expected == "stopped":
            host.world.ended(id, "stopped", "")
        if expected in ("shutting-down", "terminated"):
            ec2.terminate_instances(InstanceIds=[id])
        if expected == "terminated":
            host.world.ended(id, "terminated", "")
        with refused("IncorrectInstanceState", id):
            getattr(ec2, call)(InstanceIds=[id])
        assert state(ec2, id) == expected


def test_where_one_instance_is_protected_none_is_terminated(ec2: Any, host: SlowHost) -> None:
    ids = [run(ec2), run(ec2)]
    ec2.modify_instance_attribute(InstanceId=ids[1], DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=ids)
    assert [state(ec2, id) for id in ids] == ["pending", "pending"]


def test_the_same_client_token_launches_once(ec2: Any, host: SlowHost) -> None:
    first, second = (run(ec2, ClientToken="once") for _ in range(2))
    assert first == second
    assert len(host.machines) == 1
    with refused("IdempotentParameterMismatch"):
        run(ec2, ClientToken="once", InstanceType="t3.large")
    assert run(ec2, ClientToken="twice") != first


def test_as_many_are_launched_as_may_be(ec2: Any, host: SlowHost) -> None:
    run(ec2, MinCount=1, MaxCount=3)
    assert len(host.machines) == 3
    with refused("InvalidParameterValue"):
        run(ec2, MinCount=3, MaxCount=2)


def test_each_of_several_instances_has_the_profile_that_was_asked_for(cloud: Cloud, ec2: Any, host: SlowHost) -> None:
    iam = cloud.client("iam")
    iam.create_instance_profile(InstanceProfileName="workers")
    run(ec2, MinCount=3, MaxCount=3, IamInstanceProfile={"Name": "workers"})
    launched = ec2.describe_instances()["Reservations"][0]["Instances"]
    assert [i["IamInstanceProfile"]["Arn"].rpartition("/")[2] for i in launched] == ["workers"] * 3


def test_metadata_options_that_are_not_named_stay(ec2: Any, host: SlowHost) -> None:
    id = run(ec2, MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2})
    ec2.modify_instance_metadata_options(InstanceId=id, InstanceMetadataTags="enabled")
    options = described_instance(ec2, id)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"], options["InstanceMetadataTags"]) == (
        "required",
        2,
        "enabled",
    )


# --- images -------------------------------------------------------------------------------------------------


def image_state(ec2: Any, id: str) -> str:
    """The state of an image."""
    return str(ec2.describe_images(ImageIds=[id])["Images"][0]["State"])


@pytest.fixture
def builder(ec2: Any, host: SlowHost) -> str:
    """A running instance."""
    id = run(ec2)
    host.world.running(id)
    return id


def test_an_image_is_pending_until_it_is_created_and_cannot_be_launched_before(
    ec2: Any, host: SlowHost, builder: str
) -> None:
    id = ec2.create_image(InstanceId=builder, Name="golden")["ImageId"]
    assert (image_state(ec2, id), host.requests[-1]) == ("pending", ("make_image", builder, id, "reboot"))
    with refused("InvalidAMIID.Unavailable"):
        run(ec2, ImageId=id)
    host.world.image_made(id, None)
    assert image_state(ec2, id) == "available"
    assert host.machines[run(ec2, ImageId=id)].image == id


def test_an_image_that_fails_says_why(ec2: Any, host: SlowHost, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="golden")["ImageId"]
    host.world.image_made(id, "no space left")
    image = ec2.describe_images(ImageIds=[id])["Images"][0]
    assert (image["State"], image["StateReason"]) == (
        "failed",
        {"Code": "Client.InternalError", "Message": "no space left"},
    )


def test_no_reboot_is_respected_and_a_stopped_instance_is_not_rebooted(ec2: Any, host: SlowHost, builder: str) -> None:
    first = ec2.create_image(InstanceId=builder, Name="first", NoReboot=True)["ImageId"]
    assert host.requests[-1] == ("make_image", builder, first, "as it runs")
    ec2.stop_instances(InstanceIds=[builder])
    host.world.ended(builder, "stopped", "")
    second = ec2.create_image(InstanceId=builder, Name="second")["ImageId"]
    assert host.requests[-1] == ("make_image", builder, second, "as it runs")


def test_a_pending_instance_cannot_be_made_an_image(ec2: Any, host: SlowHost) -> None:
    with refused("IncorrectState"):
        ec2.create_image(InstanceId=run(ec2), Name="golden")


def test_a_disk_lives_as_long_as_a_snapshot_of_it(ec2: Any, host: SlowHost, builder: str) -> None:
    made = ec2.create_image(InstanceId=builder, Name="golden")["ImageId"]
    host.world.image_made(made, None)
    snapshot = ec2.describe_images(ImageIds=[made])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    copied = ec2.copy_image(SourceImageId=made, SourceRegion="us-east-1", Name="copy")["ImageId"]
    ec2.deregister_image(ImageId=made)
    devices = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}]
    again = ec2.register_image(
        Name="again", Architecture="x86_64", RootDeviceName="/dev/xvda", BlockDeviceMappings=devices
    )["ImageId"]
    assert [host.machines[run(ec2, ImageId=id)].image for id in (again, copied)] == [made, made]
    ec2.deregister_image(ImageId=again)
    ec2.delete_snapshot(SnapshotId=snapshot)
    assert ("drop_image", made) not in host.requests
    other = ec2.describe_images(ImageIds=[copied])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.deregister_image(ImageId=copied)
    ec2.delete_snapshot(SnapshotId=other)
    assert host.requests[-1] == ("drop_image", made)


# --- groups -------------------------------------------------------------------------------------------------


def test_an_instance_of_a_group_is_pending_until_its_machine_runs(cloud: Cloud, host: SlowHost) -> None:
    hook = {"LifecycleHookName": "boot", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    make_group(cloud, DesiredCapacity=1, LifecycleHookSpecificationList=[hook])
    ((id, first),) = cloud.lifecycle_states("fleet").items()
    assert first == "Pending"
    host.world.running(id)
    assert cloud.lifecycle_states("fleet") == {id: "Pending:Wait"}


def test_an_instance_is_in_the_group_until_its_machine_is_terminated(cloud: Cloud, host: SlowHost) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    (id,) = cloud.lifecycle_states("fleet")
    host.world.running(id)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    assert cloud.lifecycle_states("fleet") == {id: "Terminating:Proceed"}
    host.world.ended(id, "terminated", "")
    assert cloud.lifecycle_states("fleet") == {}
    activity = autoscaling.describe_scaling_activities(AutoScalingGroupName="fleet")["Activities"][0]
    assert (activity["StatusCode"], activity["Progress"]) == ("Successful", 100)


@pytest.mark.parametrize("cause", ["failed", "stopped"])
def test_an_instance_whose_machine_exits_is_replaced_a_moment_later(cloud: Cloud, host: SlowHost, cause: Any) -> None:
    make_group(cloud, DesiredCapacity=1)
    (id,) = cloud.lifecycle_states("fleet")
    host.world.running(id)
    host.world.ended(id, cause, "on purpose")
    assert cloud.lifecycle_states("fleet") == {id: "InService"}
    skip_to_health_check(host)
    after = cloud.lifecycle_states("fleet")
    (successor,) = after.keys() - {id}
    assert after[successor] == "Pending"
    if cause == "stopped":
        assert host.requests[-2] == ("terminate", id)
        host.world.ended(id, "terminated", "")
    assert cloud.lifecycle_states("fleet").keys() == {successor}


def test_an_instance_that_never_boots_is_replaced(cloud: Cloud, host: SlowHost) -> None:
    make_group(cloud, DesiredCapacity=1)
    (id,) = cloud.lifecycle_states("fleet")
    host.world.ended(id, "failed", "no room")
    skip_to_health_check(host)
    assert id not in cloud.lifecycle_states("fleet")
    assert list(cloud.lifecycle_states("fleet").values()) == ["Pending"]


def test_a_forced_delete_forgets_the_group_and_its_machines_end(cloud: Cloud, ec2: Any, host: SlowHost) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    ids = list(cloud.lifecycle_states("fleet"))
    for id in ids:
        host.world.running(id)
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet", ForceDelete=True)
    assert {state(ec2, id) for id in ids} == {"shutting-down"}
    for id in ids:
        host.world.ended(id, "terminated", "")
    done = autoscaling.describe_scaling_activities(IncludeDeletedGroups=True)["Activities"]
    assert {activity["StatusCode"] for activity in done} == {"Successful"}


def test_the_target_lifecycle_state_is_the_next_state(cloud: Cloud, ec2: Any, host: SlowHost) -> None:
    hook = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    autoscaling = make_group(cloud, DesiredCapacity=2, LifecycleHookSpecificationList=[hook])
    group = {"AutoScalingGroupName": "fleet", "ShouldDecrementDesiredCapacity": True}
    one, other = cloud.lifecycle_states("fleet")

    def target(id: str) -> str | None:
        view = cloud.world.view_of(id)
        return view.target_lifecycle_state if view else "no such instance"

    assert target(one) == "InService"
    host.world.running(one)
    host.world.running(other)
    assert target(one) == "InService"
    autoscaling.enter_standby(InstanceIds=[one], **group)
    assert target(one) == "Standby"
    autoscaling.detach_instances(InstanceIds=[one], **group)
    assert target(one) == "Detached"
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=other, ShouldDecrementDesiredCapacity=True)
    assert target(other) == "Terminated"
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName="fleet", LifecycleHookName="drain", InstanceId=other, LifecycleActionResult="CONTINUE"
    )
    assert (state(ec2, other), target(other)) == ("shutting-down", "Terminated")
    host.world.ended(other, "terminated", "")
    assert target(other) == "no such instance"
    assert target(run(ec2)) is None


# --- state ----------------------------------------------------------------------------------------------


def test_a_reset_terminates_every_machine_and_deletes_every_image(
    cloud: Cloud, ec2: Any, host: SlowHost, builder: str
) -> None:
    make_group(cloud, DesiredCapacity=2)
    image = ec2.create_image(InstanceId=builder, Name="golden")["ImageId"]
    ids = set(host.machines)
    cloud.reset()
    assert {request[1] for request in host.requests if request[0] == "terminate"} == ids
    assert ("drop_image", image) in host.requests
    assert set(host.machines) == ids  # no group has launched a replacement
    assert ec2.describe_instances()["Reservations"] == []


@pytest.mark.parametrize("control", ["snapshot", "restore"])
def test_snapshots_know_simulated_instances_only(cloud: Cloud, host: SlowHost, control: str) -> None:
    with pytest.raises(ValueError, match="simulated"):
        cloud.control(control)


def test_a_host_that_breaks_over_a_machine_fails_it_and_stops_nothing_else(
    cloud: Cloud, ec2: Any, host: SlowHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(SlowHost, "launch", lambda self, machine: 1 / 0)
        failed = run(ec2)
    assert "ZeroDivisionError" in caplog.text
    assert (state(ec2, failed), described_instance(ec2, failed)["StateReason"]["Code"]) == (
        "terminated",
        "Server.InternalError",
    )
    id = run(ec2)
    host.world.running(id)
    assert state(ec2, id) == "running"


def test_reports_about_unknown_machines_are_ignored(cloud: Cloud, host: SlowHost) -> None:
    host.world.running("i-unknown")
    host.world.ended("i-unknown", "stopped", "")
    host.world.image_made("ami-unknown", None)
    assert cloud.status()["groups"] == {}


# --- simulated machines behind the API ----------------------------------------------------------------------


@pytest.fixture
def booting(cloud: Cloud) -> Iterator[Cloud]:
    """Simulated instances that boot in 60 s and drain in 90 s; time passes 600 times as fast."""
    cloud.world.use(cloud.world.simulated(60, 90))
    cloud.set_speed(600)
    yield cloud
    cloud.reset()
    cloud.set_speed(1)
    cloud.world.use(cloud.world.simulated())


def wait_for(cloud: Cloud, states: list[str]) -> None:
    """Wait until the group's instances are in these states."""
    wait_until(lambda: sorted(cloud.lifecycle_states("fleet").values()) == states, timeout=10, every=0.02)


def hooks() -> list[dict[str, Any]]:
    """A launch hook and a termination hook that do not time out within a test."""
    return [
        {"LifecycleHookName": name, "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{name}", "HeartbeatTimeout": 7200}
        for name in ("LAUNCHING", "TERMINATING")
    ]


def test_simulated_agents_boot_serve_drain_and_go(booting: Cloud) -> None:
    autoscaling = make_group(booting, DesiredCapacity=3, LifecycleHookSpecificationList=hooks())
    assert sorted(booting.lifecycle_states("fleet").values()) == ["Pending"] * 3
    wait_for(booting, ["InService"] * 3)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=1)
    assert sorted(booting.lifecycle_states("fleet").values()) == ["InService", "Terminating:Wait", "Terminating:Wait"]
    wait_for(booting, ["InService"])


def test_a_restored_cloud_goes_on_booting_and_draining(booting: Cloud, ec2: Any) -> None:
    autoscaling = make_group(booting, DesiredCapacity=2, LifecycleHookSpecificationList=hooks())
    wait_for(booting, ["InService"] * 2)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=1)
    alone = run(ec2)
    booting.snapshot()
    wait_for(booting, ["InService"])
    booting.restore()
    wait_for(booting, ["InService"])
    ec2.get_waiter("instance_running").wait(InstanceIds=[alone], WaiterConfig={"Delay": 1, "MaxAttempts": 5})


def test_user_data_of_a_launch_template_reaches_the_machine(cloud: Cloud, ec2: Any, host: SlowHost) -> None:
    data = {"ImageId": IMAGE, "InstanceType": "t3.medium", "UserData": base64.b64encode(b"\x00\xff").decode()}
    ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=data)
    made = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": "worker"}, MinCount=1, MaxCount=1, SubnetId=SUBNETS[0]
    )
    assert host.machines[made["Instances"][0]["InstanceId"]].user_data == b"\x00\xff"
