"""The server around the services: controls, trace, latency, lock, errors of our own."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localcloud.testing import Cloud
from localcloud.world import World
from unit.resources import IMAGE, SUBNETS, described, instances, make_group, make_template, refused


def test_status_lists_groups_and_instances(cloud: Cloud) -> None:
    make_group(cloud, DesiredCapacity=1)
    status = cloud.status()
    assert (status["name"], status["account"], status["region"]) == ("wekruit-localcloud", "123456789012", "us-east-1")
    assert list(status["groups"]["fleet"]["instances"].values()) == ["InService"]


def test_a_snapshot_is_restored_exactly_as_often_as_asked(cloud: Cloud, ec2: Any) -> None:
    cloud.client("secretsmanager").create_secret(Name="kept", SecretString="s")
    cloud.client("iam").create_user(UserName="kept")
    cloud.client("ecr").create_repository(repositoryName="kept")
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    autoscaling = make_group(cloud, DesiredCapacity=2)
    before = (described(autoscaling), instances(ec2))
    cloud.snapshot()
    for _ in range(2):
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet", ForceDelete=True)
        ec2.delete_launch_template(LaunchTemplateName="fleet-template")
        cloud.client("iam").delete_user(UserName="kept")
        cloud.client("secretsmanager").delete_secret(SecretId="kept", ForceDeleteWithoutRecovery=True)
        cloud.client("ecr").delete_repository(repositoryName="kept")
        cloud.client("logs").create_log_group(logGroupName="/later")
        cloud.restore()
        assert (described(autoscaling), instances(ec2)) == before
        assert cloud.client("iam").get_user(UserName="kept")["User"]["UserName"] == "kept"
        assert cloud.client("secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "s"
        assert cloud.client("ecr").describe_repositories()["repositories"][0]["repositoryName"] == "kept"
        assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
        assert cloud.client("logs").describe_log_groups()["logGroups"] == []


def test_restoring_a_snapshot_restores_the_clock(cloud: Cloud) -> None:
    cloud.snapshot()
    lead = cloud.world.clock.lead
    cloud.set_speed(1e6)
    cloud.set_speed(1)
    assert cloud.world.clock.lead > lead + 1
    cloud.restore()
    assert abs(cloud.world.clock.lead - lead) < 0.01


def test_a_restored_group_launches_and_terminates_instances(cloud: Cloud, ec2: Any) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)
    cloud.snapshot()
    cloud.restore()
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=3)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    assert [i["State"]["Name"] for i in instances(ec2)] == ["terminated"] * 3
    addresses = ec2.describe_subnets(SubnetIds=["subnet-010ca1c10d00000a1"])["Subnets"][0]["AvailableIpAddressCount"]
    assert addresses == 251


def test_reset_leaves_the_account_as_after_start(cloud: Cloud, ec2: Any) -> None:
    make_group(cloud, DesiredCapacity=1)
    cloud.reset()
    assert cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert len(ec2.describe_vpcs()["Vpcs"]) == 2


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("latency", {"ms": -1}, 400),
        ("latency", {}, 400),
        ("trace", {"file": "/nowhere/at/all"}, 400),
        ("imds", {"spot": "x"}, 400),
        ("party", {}, 404),
    ],
)
def test_an_invalid_control_is_refused(cloud: Cloud, verb: str, body: dict[str, Any], status: int) -> None:
    request = urllib.request.Request(f"{cloud.url}/localcloud/{verb}", json.dumps(body).encode())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == status
        assert json.load(answer)["error"]


def test_metadata_faults_and_notices_have_a_control(cloud: Cloud, ec2: Any) -> None:
    id = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]["InstanceId"]
    cloud.control("imds", instance=id, spot="terminate")
    cloud.control("imds", faults=[{"path": "/latest/*", "kind": "hang"}])
    shown = cloud.control("imds")
    assert (shown["notices"][id]["spot"], shown["faults"][0]["kind"]) == ("terminate", "hang")
    cloud.reset()
    assert cloud.control("imds") == {"faults": [], "notices": {}}


def test_policies_are_enforced_once_it_is_switched_on(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="missing")
    key = iam.create_access_key(UserName="missing")["AccessKey"]
    theirs = cloud.client("ec2", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    assert theirs.describe_vpcs()["Vpcs"]
    assert cloud.control("enforce-iam", on=True) == {"enforce_iam": True}
    try:
        with refused("UnauthorizedOperation", "You are not authorized to perform this operation"):
            theirs.describe_vpcs()
    finally:
        cloud.enforce_iam(False)
    assert theirs.describe_vpcs()["Vpcs"]


def test_restoring_without_a_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        World().restore_snapshot()


def test_the_trace_holds_each_call_as_its_client_sent_it(cloud: Cloud, ec2: Any) -> None:
    filters = [{"Name": "is-default", "Values": ["true"]}]
    ec2.describe_vpcs(Filters=filters)
    make_template(ec2)
    cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["a", "b"])
    cloud.client("logs").describe_log_groups(logGroupNamePrefix="/x")
    cloud.client("lambda").list_functions(MaxItems=5)
    with refused("NoSuchEntity"):
        cloud.client("iam").get_role(RoleName="missing")
    calls = cloud.calls()
    assert [(c["service"], c["action"], c["status"], c["error"]) for c in calls] == [
        ("ec2", "DescribeVpcs", 200, None),
        ("ec2", "CreateLaunchTemplate", 200, None),
        ("autoscaling", "DescribeAutoScalingGroups", 200, None),
        ("logs", "DescribeLogGroups", 200, None),
        ("lambda", "ListFunctions", 200, None),
        ("iam", "GetRole", 404, "NoSuchEntity"),
    ]
    assert calls[0]["parameters"] == {"Filters": filters}
    assert calls[1]["parameters"]["LaunchTemplateData"]["MetadataOptions"]["HttpTokens"] == "required"
    assert calls[2]["parameters"] == {"AutoScalingGroupNames": ["a", "b"]}
    assert calls[3]["parameters"] == {"logGroupNamePrefix": "/x"}
    assert calls[4]["parameters"] == {"MaxItems": 5}
    assert all(c["ms"] > 0 and c["at"].endswith("+00:00") for c in calls)


def test_a_service_that_signs_with_another_name_than_botocores_is_read_too(cloud: Cloud) -> None:
    quota = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    cloud.client("service-quotas").get_service_quota(**quota)
    (call,) = cloud.calls()
    assert (call["service"], call["action"], call["parameters"]) == ("servicequotas", "GetServiceQuota", quota)


def test_the_trace_holds_no_secret(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="text", SecretString="hunter2", ClientRequestToken="a" * 32)
    secrets.create_secret(Name="bytes", SecretBinary=b"hunter2")
    iam = cloud.client("iam")
    iam.create_user(UserName="valet")
    iam.create_login_profile(UserName="valet", Password="hunter2")
    calls = cloud.calls()
    assert "hunter2" not in cloud.trace_file.read_text()
    assert calls[0]["parameters"] == {"Name": "text", "SecretString": "(removed)", "ClientRequestToken": "a" * 32}
    assert calls[3]["parameters"] == {"UserName": "valet", "Password": "(removed)"}


def test_errors_of_every_protocol_are_traced_by_code(cloud: Cloud) -> None:
    for service, call, parameters in (
        ("ec2", "describe_images", {"ImageIds": ["ami-0123456789abcdef0"]}),
        ("autoscaling", "describe_lifecycle_hooks", {"AutoScalingGroupName": "missing"}),
        ("secretsmanager", "describe_secret", {"SecretId": "missing"}),
        ("lambda", "get_function", {"FunctionName": "missing"}),
    ):
        with pytest.raises(ClientError):
            getattr(cloud.client(service), call)(**parameters)
    assert [c["error"] for c in cloud.calls()] == [
        "InvalidAMIID.NotFound",
        "ValidationError",
        "ResourceNotFoundException",
        "ResourceNotFoundException",
    ]


def test_latency_delays_calls_in_parallel(cloud: Cloud, ec2: Any) -> None:
    cloud.set_latency(150)
    try:
        began = time.perf_counter()
        threads = [threading.Thread(target=ec2.describe_vpcs) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
    finally:
        cloud.set_latency(0)
    assert 0.15 <= took < 8 * 0.15


def test_calls_from_many_threads_are_serialized(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, MaxSize=50)
    failures: list[Exception] = []

    def scale(number: int) -> None:
        try:
            for step in range(5):
                autoscaling.set_desired_capacity(
                    AutoScalingGroupName="fleet", DesiredCapacity=(number * 7 + step * 3) % 20
                )
                described(autoscaling)
        except Exception as problem:
            failures.append(problem)

    threads = [threading.Thread(target=scale, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    group = described(autoscaling)
    assert len(group["Instances"]) == group["DesiredCapacity"]


@pytest.mark.parametrize(("service", "call"), [("ec2", "describe_bundle_tasks"), ("kms", "describe_custom_key_stores")])
def test_an_action_that_is_not_modelled_is_refused_by_name_in_every_protocol(
    cloud: Cloud, service: str, call: str
) -> None:
    with refused("InvalidAction", f"localcloud does not model .* of {service}"):
        getattr(cloud.client(service), call)()


@pytest.mark.parametrize(("service", "call"), [("ec2", "describe_vpcs"), ("kms", "list_keys"), ("iam", "list_users")])
def test_a_crash_is_an_internal_failure_in_every_protocol_and_the_server_goes_on(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, service: str, call: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("moto.core.responses.BaseResponse.call_action", lambda self: 1 / 0)
        with refused("InternalFailure", "its log says why"):
            getattr(cloud.client(service), call)()
    assert "ZeroDivisionError" in caplog.text
    getattr(cloud.client(service), call)()


def test_a_call_whose_client_disconnects_half_way_is_ignored(cloud: Cloud) -> None:
    before = cloud.status()["calls"]
    host, port = cloud.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nAction=CreateUser&UserName=half"
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert cloud.calls() == []
    assert cloud.status()["calls"] == before
    assert cloud.client("iam").list_users()["Users"] == []
