"""Bad input is refused with one clear message, before anything is written.

Every case is a host of one inventory, so one run covers all.
"""

from __future__ import annotations

import re
import socket
from typing import Any, NamedTuple

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import SCHEMA

from tests.fleet.cloud import PlaybookCloud, Run
from tests.fleet.healthy import HealthyFleet

SUBNET_A, SUBNET_B, FOREIGN_SUBNET = "subnet-010ca1c10d00000a1", "subnet-010ca1c10d00000b2", "subnet-010ca1c10d00000c3"
VPC, FOREIGN_VPC = "vpc-010ca1c10d0000001", "vpc-010ca1c10d0000002"


class Case(NamedTuple):
    """One wrong input."""

    variables: dict[str, Any]
    """the operator's"""
    message: tuple[str, ...]
    """parts of the message: the variable, the value, the remedy"""
    problems: int = 1
    """how many problems the message lists"""


def many_keys() -> list[str]:
    """Names that make user data longer than EC2 allows."""
    return [f"A_RATHER_LONG_NAME_OF_A_REQUIRED_KEY_{n:04}" for n in range(400)]


CASES = {
    "a typo in a name": Case({"fleet_mni_size": 2}, ("fleet_mni_size", "did you mean fleet_min_size?")),
    "a name unlike any other": Case({"fleet_zzzzzzzz": 2}, ("fleet_zzzzzzzz", "playbooks/vars/fleet_spec.yml")),
    "min above max": Case({"fleet_min_size": 11}, ("fleet_min_size (11)", "fleet_max_size (10)")),
    "a heartbeat below 30 s": Case(
        {"fleet_termination_hook_timeout": 29}, ("fleet_termination_hook_timeout is 29", "30 to 7200 s")
    ),
    "a drain that the hook cannot cover": Case(
        {"fleet_termination_hook_timeout": 30, "fleet_drain_limit_seconds": 3600},
        ("fleet_drain_limit_seconds", "3660 s", "37 or more"),
    ),
    "one subnet": Case({"fleet_subnet_ids": [SUBNET_A]}, ("fleet_subnet_ids", "two zones")),
    "subnets in one zone": Case(
        {"fleet_subnet_ids": [SUBNET_A, "SAME_ZONE"]}, ("fleet_subnet_ids", "one zone, us-east-1a", "two zones")
    ),
    "a subnet of another VPC": Case(
        {"fleet_subnet_ids": [SUBNET_B, FOREIGN_SUBNET]},
        (FOREIGN_SUBNET, f"belongs to {FOREIGN_VPC}, not to {VPC}", "fleet_subnet_ids"),
    ),
    "an unknown subnet": Case(
        {"fleet_subnet_ids": [SUBNET_A, "subnet-00000000000000000"]},
        ("There is no subnet subnet-00000000000000000 in us-east-1", "fleet_subnet_ids"),
    ),
    "a VPC that does not exist": Case(
        {"fleet_vpc_id": "vpc-00000000000000000"}, ("There is no VPC vpc-00000000000000000", "fleet_vpc_id")
    ),
    "SSH for the world": Case({"fleet_ssh_cidrs": ["0.0.0.0/0"]}, ("fleet_ssh_cidrs", "0.0.0.0/0", "Session Manager")),
    "a malformed CIDR": Case({"fleet_api_cidrs": ["10.0.0/8"]}, ("fleet_api_cidrs", "'10.0.0/8'", "203.0.113.7/32")),
    "a malformed ARN": Case(
        {"fleet_permissions_boundary_arn": "arn:aws:iam:123456789012:policy/x"},
        ("fleet_permissions_boundary_arn", "arn:aws:iam::123456789012:policy/name"),
    ),
    "a role name beyond IAM's limit": Case({"fleet_role_name": "r" * 65}, ("fleet_role_name", "1 to 64")),
    "user data over 16 KB": Case(
        {"fleet_required_keys": many_keys(), "fleet_launch_unready": True}, ("16384", "fleet_required_keys")
    ),
    "no credentials": Case(
        {"fleet_access_key": "", "fleet_secret_key": ""}, ("No AWS credentials found", "fleet_profile", "AWS_PROFILE")
    ),
    "a profile that does not exist": Case(
        {"fleet_access_key": "", "fleet_secret_key": "", "fleet_profile": "wekruit"}, ("wekruit", "fleet_profile")
    ),
    "an unknown region": Case({"fleet_region": "us-esat-1"}, ("fleet_region 'us-esat-1'", "us-east-1")),
    "a region without a default VPC": Case(
        {"fleet_region": "eu-west-1"},
        ("eu-west-1 has no default VPC", "fleet_region", "no repository ghosthands", "no secret ghosthands/worker/env"),
        5,
    ),
    "an endpoint that is down": Case(
        {"fleet_endpoint_url": "DOWN"}, ("fleet_endpoint_url is DOWN", "python -m localcloud up")
    ),
    "an endpoint without a scheme": Case(
        {"fleet_endpoint_url": "127.0.0.1:5566"}, ("fleet_endpoint_url", "http://127.0.0.1:5566")
    ),
    "a secret that is scheduled for deletion": Case(
        {"fleet_secret_name": "ghosthands/worker/leaving"},
        ("ghosthands/worker/leaving is scheduled for deletion", "aws secretsmanager restore-secret"),
    ),
    "an image that does not exist": Case(
        {"fleet_image": "ami-00000000000000000"}, ("ami-00000000000000000", "fleet_image")
    ),
    "no own image of that name": Case(
        {"fleet_image_name_pattern": "nothing-*"}, ("nothing-*", "x86_64", "fleet_image")
    ),
    "an image of another architecture": Case(
        {"fleet_image": "ami-010ca1c10d000a002"}, ("is for arm64", "t3.medium runs x86_64", "fleet_image")
    ),
    "no own image of the instance type's architecture": Case(
        {"fleet_instance_type": "t4g.medium", "fleet_image_name_pattern": "gh-worker-20260801*"},
        ("arm64", "fleet_image"),
    ),
    "an image whose agent reads another schema": Case(
        {"fleet_image": "SCHEMA_1"}, ("schema 1", "agent.conf", "make image")
    ),
    "an unknown instance type": Case({"fleet_instance_type": "t3.gigantic"}, ("t3.gigantic", "fleet_instance_type")),
    "a key pair that does not exist": Case(
        {"fleet_key_name": "no-such-key"}, ("no-such-key", "fleet_key_public", "fleet_key_name")
    ),
    "a KMS key that does not exist": Case(
        {"fleet_volume_kms_key_id": "alias/none"}, ("alias/none", "fleet_volume_kms_key_id")
    ),
    "a KMS key without a grant": Case(
        {"fleet_volume_kms_key_id": "NO_GRANT"}, ("NO_GRANT", "aws kms create-grant", "every instance")
    ),
    "an image under a KMS key without a grant": Case(
        {"fleet_image": "FOREIGN_KEY_IMAGE"}, ("snapshot snap-", "missing: kms:CreateGrant", "aws kms create-grant")
    ),
    "a volume smaller than the image's": Case(
        {"fleet_image": "BIG_IMAGE"}, ("fleet_volume_size_gib is 40", "BIG_IMAGE has 60 GiB", "Write 60 or more")
    ),
    "a device that is not the image's root": Case(
        {"fleet_volume_device": "/dev/sda1"},
        ("fleet_volume_device is /dev/sda1", "Write fleet_volume_device /dev/xvda"),
    ),
    "io1 without IOPS": Case({"fleet_volume_type": "io1"}, ("fleet_volume_iops", "write 100 to 2000 for 40 GiB")),
    "more throughput than gp3 has": Case(
        {"fleet_volume_throughput": 800}, ("fleet_volume_throughput is 800", "125 to 750", "fleet_volume_iops")
    ),
    "subnets that have IPv6 only": Case(
        {"fleet_subnet_ids": [SUBNET_B, "IPV6_ONLY"]}, ("Subnet IPV6_ONLY is IPv6 only", "fleet_subnet_ids")
    ),
    "subnets without a way out": Case(
        {"fleet_vpc_id": FOREIGN_VPC, "fleet_subnet_ids": [FOREIGN_SUBNET, "FOREIGN_B"]},
        (FOREIGN_SUBNET, "without a way out", "no endpoint for autoscaling, secretsmanager", "NAT gateway"),
    ),
    "an internet gateway and no public addresses": Case(
        {"fleet_public_address": False}, ("without a way out", "fleet_public_address is false", "set it to true")
    ),
    "subnets with fewer addresses than instances": Case(
        {"fleet_subnet_ids": ["SMALL_A", "SMALL_B"], "fleet_min_size": 23, "fleet_desired_capacity": 23}
        | {"fleet_max_size": 30},
        ("22 free addresses", "AWS keeps five of each subnet", "minimum of 23", "fleet_subnet_ids"),
    ),
    "a permissions boundary that does not exist": Case(
        {"fleet_permissions_boundary_arn": "arn:aws:iam::123456789012:policy/none"},
        ("There is no policy arn:aws:iam::123456789012:policy/none", "fleet_permissions_boundary_arn"),
    ),
    "a permissions boundary of another account": Case(
        {"fleet_permissions_boundary_arn": "arn:aws:iam::210987654321:policy/b"},
        ("belongs to account 210987654321", "fleet_permissions_boundary_arn"),
    ),
    "a security group that does not exist": Case(
        {"fleet_api_security_group_ids": ["sg-00000000000000000"]},
        ("There is no security group sg-00000000000000000", "fleet_api_security_group_ids"),
    ),
    "a prefix list that does not exist": Case(
        {"fleet_vnc_prefix_list_ids": ["pl-00000000000000000"]},
        ("There is no prefix list pl-00000000000000000", "fleet_vnc_prefix_list_ids"),
    ),
    "SSH for the world by a prefix list": Case(
        {"fleet_ssh_prefix_list_ids": ["WORLD"]}, ("fleet_ssh_prefix_list_ids holds WORLD", "Session Manager")
    ),
    "more rules than a security group has": Case(
        {"fleet_api_cidrs": [f"192.0.2.{n}/32" for n in range(61)]}, ("61 rules of IPv4", "60 of each", "L-0EA8095F")
    ),
    "tag keys that differ in case": Case(
        {"fleet_tags": {"Team": "a", "team": "b"}}, ("Team and team", "one key for IAM")
    ),
    "a tag that the metadata service cannot show": Case(
        {"fleet_tags": {"cost center": "a"}, "fleet_metadata_tags": True}, ("'cost center'", "fleet_metadata_tags")
    ),
    "another account": Case(
        {"fleet_account_id": "210987654321"}, ("123456789012", "fleet_account_id is 210987654321", "fleet_profile")
    ),
    "a newline in a tag": Case({"fleet_tags": {"Team": "a\nb"}}, ("fleet_tags.Team", "'a\\nb'")),
    "a newline in a name": Case({"fleet_group_name": "a\nrm -rf /"}, ("fleet_group_name", "'a\\nrm -rf /'")),
    "Jinja of an unknown variable": Case({"fleet_secret_name": "{{ not_there }}"}, ("fleet_secret_name", "not_there")),
    "Jinja that is cut short": Case({"fleet_secret_name": "{{ fleet_name"}, ("fleet_secret_name", "{{ fleet_name")),
    "Jinja as a value": Case({"fleet_tags": {"Team": "{{ '{{' }} 7 * 7 }}"}}, ("fleet_tags.Team",)),
    "a word for a number": Case({"fleet_min_size": "many"}, ("fleet_min_size", "'many'", "whole number")),
    "a word for a yes": Case(
        {"fleet_public_address": "perhaps"}, ("fleet_public_address", "'perhaps'", "true or false")
    ),
    "a mapping for a list": Case({"fleet_subnet_ids": {"a": "b"}}, ("fleet_subnet_ids", "list")),
    "nothing for a text": Case({"fleet_secret_name": None}, ("fleet_secret_name",)),
    "a value that is not a choice": Case(
        {"fleet_size_owner": "me"}, ("fleet_size_owner is 'me'", "one of valet, playbook")
    ),
    "fleet_valet_apply without a fly command": Case(
        {"fleet_valet_apply": True}, ("fleet_valet_apply", "no fly command", "flyctl")
    ),
    "several problems": Case(
        {"fleet_min_size": 11, "fleet_api_cidrs": ["x"], "fleet_role_name": ""},
        ("fleet_min_size", "fleet_api_cidrs", "fleet_role_name"),
        3,
    ),
    "several problems that only the account knows": Case(
        {"fleet_image": "ami-00000000000000000", "fleet_instance_type": "t3.gigantic", "fleet_key_name": "no-such-key"},
        ("fleet_image", "fleet_instance_type", "fleet_key_name"),
        3,
    ),
}
HOSTS = {name: f"case{n:02}" for n, name in enumerate(CASES)}


def create_wrong_resources(cloud: PlaybookCloud) -> dict[str, str]:
    """What the cases name; their placeholders -> ids."""
    ec2, kms, secrets = (cloud.client(service) for service in ("ec2", "kms", "secretsmanager"))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{s.getsockname()[1]}"

    def subnet(zone: str, **settings: Any) -> str:
        return str(ec2.create_subnet(AvailabilityZone=zone, **{"VpcId": VPC, **settings})["Subnet"]["SubnetId"])

    placeholders = {
        "DOWN": down,
        "SAME_ZONE": subnet("us-east-1a", CidrBlock="172.28.77.0/24"),
        "SCHEMA_1": ec2.copy_image(
            SourceImageId="ami-010ca1c10d000a001", SourceRegion="us-east-1", Name="another schema"
        )["ImageId"],
        "NO_GRANT": kms.create_key()["KeyMetadata"]["KeyId"],
        "IPV6_ONLY": subnet("us-east-1a", Ipv6Native=True, Ipv6CidrBlock="2001:db8::/64"),
        "SMALL_A": subnet("us-east-1a", CidrBlock="172.28.78.0/28"),
        "SMALL_B": subnet("us-east-1b", CidrBlock="172.28.78.16/28"),
        "FOREIGN_B": subnet("us-east-1b", VpcId=FOREIGN_VPC, CidrBlock="10.9.78.0/24"),
        "WORLD": ec2.create_managed_prefix_list(
            PrefixListName="halves",
            MaxEntries=2,
            AddressFamily="IPv4",
            Entries=[{"Cidr": "0.0.0.0/1"}, {"Cidr": "128.0.0.0/1"}],
        )["PrefixList"]["PrefixListId"],
    }
    golden: dict[str, Any] = {"SourceImageId": "ami-010ca1c10d000a001", "SourceRegion": "us-east-1"}
    placeholders["FOREIGN_KEY_IMAGE"] = ec2.copy_image(
        **golden, Name="another key", Encrypted=True, KmsKeyId=placeholders["NO_GRANT"]
    )["ImageId"]
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=60)["VolumeId"]
    disk = {"SnapshotId": ec2.create_snapshot(VolumeId=volume)["SnapshotId"]}
    devices = [{"DeviceName": "/dev/xvda", "Ebs": disk}]
    placeholders["BIG_IMAGE"] = ec2.register_image(
        Name="big", Architecture="x86_64", RootDeviceName="/dev/xvda", BlockDeviceMappings=devices
    )["ImageId"]
    for name, schema in (("SCHEMA_1", "1"), ("FOREIGN_KEY_IMAGE", SCHEMA), ("BIG_IMAGE", SCHEMA)):
        ec2.create_tags(Resources=[placeholders[name]], Tags=[{"Key": "ghosthands:agent-schema", "Value": schema}])
    secrets.create_secret(Name="ghosthands/worker/leaving", SecretString="{}")
    secrets.delete_secret(SecretId="ghosthands/worker/leaving")
    return placeholders


def filled(variables: dict[str, Any], placeholders: dict[str, str]) -> dict[str, Any]:
    """A case's variables with the ids of what was created."""
    return {
        name: [placeholders.get(v, v) for v in value]
        if isinstance(value, list)
        else placeholders.get(str(value), value)
        for name, value in variables.items()
    }


@pytest.fixture(scope="module")
def result(running_cloud: PlaybookCloud) -> tuple[Run, list[str], dict[str, str]]:
    """One run of the site on all cases: the run, its writes, and the values of the cases' placeholders."""
    running_cloud.reset()
    running_cloud.prepare()
    placeholders = create_wrong_resources(running_cloud)
    hosts = {
        host: {"fleet_name": f"gh-{host}"} | filled(CASES[name].variables, placeholders) for name, host in HOSTS.items()
    }
    running_cloud.clear_trace()
    run = running_cloud.play_hosts("site.yml", "--forks", "4", hosts=hosts)
    return run, running_cloud.writes(), placeholders


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_in_one_clear_message(name: str, result: tuple[Run, list[str], dict[str, str]]) -> None:
    run, _writes, placeholders = result
    message = run.messages.get(HOSTS[name], "(it was not refused)")
    for words in CASES[name].message:
        for placeholder, value in placeholders.items():
            words = words.replace(placeholder, value)
        assert words in message, message
    listed = re.match(r"(\d+) problems:", message)
    assert (int(listed[1]) if listed else 1) == CASES[name].problems, message
    assert re.search(r"Traceback|<[\w.]+ object|\bNoneType\b|Exception", message) is None, message


def test_bad_input_writes_nothing_anywhere(
    result: tuple[Run, list[str], dict[str, str]], running_cloud: PlaybookCloud
) -> None:
    run, writes, _placeholders = result
    assert run.returncode != 0
    assert {host: counts["failed"] for host, counts in run.recap.items()} == dict.fromkeys(HOSTS.values(), 1)
    assert run.changed == 0
    assert "Traceback" not in run.stdout + run.stderr
    assert writes == []
    assert not running_cloud.valet.exists()


def test_two_hosts_with_the_same_group_are_refused(cloud: PlaybookCloud) -> None:
    run = cloud.play_hosts("site.yml", hosts={"one": {"fleet_name": "gh"}, "two": {"fleet_name": "gh"}})
    assert run.returncode != 0
    assert (
        "one and two are in one account and share fleet_group_name (gh-asg), fleet_launch_template_name (gh-lt)"
        in run.messages["one"]
    )
    assert "Give one of them another fleet_name." in run.messages["two"]
    assert cloud.writes() == []


def test_two_hosts_in_two_regions_may_not_share_global_resources(cloud: PlaybookCloud) -> None:
    run = cloud.play_hosts("site.yml", "--check", hosts={"one": {}, "two": {"fleet_region": "us-west-2"}})
    assert "share fleet_role_name (gh-worker-role), fleet_instance_profile_name" in run.messages["one"]
    assert "fleet_group_name" not in run.messages["one"]


def test_an_image_that_was_deregistered_under_the_group_is_one_clear_error(fleet: HealthyFleet) -> None:
    image = "ami-010ca1c10d000a001"
    fleet.client("ec2").deregister_image(ImageId=image)
    fleet.clear_trace()
    run = fleet.play("site.yml")
    assert run.returncode != 0
    assert run.message.startswith(
        f"The group's image {image} does not exist in us-east-1, or is not shared with this account."
    )
    assert run.message.endswith("Set fleet_image to one that exists, or to newest.")
    assert fleet.writes() == []
