# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each module of the table: nothing differs, a parameter differs, the resource is missing, a parameter is unknown."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.modules import READERS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.ec2_launch_template import DATA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import COMPARISONS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    METRICS,
    Group,
    GroupInstance,
    Hook,
    Tag,
)

TAGS = {"tags": {"Project": "wekruit"}, "purge_tags": False}
FOUND_TAGS = [{"Key": "Owner", "Value": "somebody"}, {"Key": "Project", "Value": "wekruit"}]
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["a:Get"], "Resource": "*"}]}
FOUND_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "a:Get", "Resource": ["*"]}]}
RULE = {"proto": "tcp", "from_port": 22, "to_port": 22, "rule_desc": "SSH"}


class Case(NamedTuple):
    """A module, a task's parameters, the resource exactly as they state, and a change for each parameter to differ."""

    module: str
    parameters: dict[str, Any]
    answer: Any
    differing: dict[str, Callable[[Any], Any]]


def changed(**values: Any) -> Callable[[Any], Any]:
    """Another value, with these attributes."""
    return lambda answer: replace(answer, **values)


def put(*path: Any, to: Any = None) -> Callable[[Any], Any]:
    """Put `to` at the path; None removes what is there."""

    def change(answer: Any) -> None:
        for step in path[:-1]:
            answer = answer[step]
        if to is None:
            answer.pop(path[-1])
        else:
            answer[path[-1]] = to

    return change


TAG = put("Tags", 1, "Value", to="other")
CASES = [
    Case(
        "amazon.aws.cloudwatchlogs_log_group",
        {"log_group_name": "/l", "retention": "30", **TAGS},
        {"logGroupName": "/l", "retentionInDays": 30, "Tags": {"Project": "wekruit", "Owner": "somebody"}},
        {"retention": put("retentionInDays"), "tags": put("Tags", "Project")},
    ),
    Case(
        "community.aws.ecs_ecr",
        {
            "name": "r",
            "image_tag_mutability": "mutable",
            "scan_on_push": True,
            "lifecycle_policy": {"rules": [{"rulePriority": 1}]},
        },
        {
            "imageTagMutability": "MUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "lifecycle": '{"rules": [{"rulePriority": 1}]}',
        },
        {
            "image_tag_mutability": put("imageTagMutability", to="IMMUTABLE"),
            "scan_on_push": put("imageScanningConfiguration", "scanOnPush", to=False),
            "lifecycle_policy": lambda answer: answer.update(lifecycle=None),
        },
    ),
    Case(
        "amazon.aws.iam_role",
        {
            "name": "r",
            "create_instance_profile": False,
            "delete_instance_profile": False,
            "assume_role_policy_document": POLICY,
            "description": "",
            "boundary": "arn:b",
            **TAGS,
        },
        {
            "AssumeRolePolicyDocument": FOUND_POLICY,
            "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:b"},
            "Tags": FOUND_TAGS,
        },
        {
            "assume_role_policy_document": put("AssumeRolePolicyDocument", "Statement", to=[]),
            "description": put("Description", to="x"),
            "boundary": put("PermissionsBoundary"),
            "tags": TAG,
        },
    ),
    Case(
        "amazon.aws.iam_policy",
        {"iam_type": "role", "iam_name": "r", "policy_name": "p", "policy_json": POLICY},
        {"PolicyDocument": FOUND_POLICY},
        {"policy_json": put("PolicyDocument", "Statement", 0, "Action", to="a:*")},
    ),
    Case(
        "amazon.aws.iam_instance_profile",
        {"name": "p", "role": "r", **TAGS},
        {"Roles": [{"RoleName": "r"}], "Tags": FOUND_TAGS},
        {"role": put("Roles", to=[]), "tags": TAG},
    ),
    Case(
        "amazon.aws.iam_managed_policy",
        {"name": "p", "description": "d", "policy": POLICY, **TAGS},
        {"Arn": "arn:p", "Document": FOUND_POLICY, "Tags": FOUND_TAGS},
        {"policy": put("Document", "Version", to="2008-10-17"), "tags": TAG},
    ),
    Case(
        "amazon.aws.iam_user",
        {
            "name": "u",
            "state": "present",
            "managed_policies": ["arn:p"],
            "purge_policies": False,
            "boundary": "arn:b",
            **TAGS,
        },
        {
            "Attached": [{"PolicyArn": "arn:p"}, {"PolicyArn": "arn:theirs"}],
            "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:b"},
            "Tags": FOUND_TAGS,
        },
        {
            "managed_policies": put("Attached", 0),
            "boundary": put("PermissionsBoundary", "PermissionsBoundaryArn", to="arn:c"),
            "tags": TAG,
        },
    ),
    Case(
        "amazon.aws.ec2_security_group",
        {
            "name": "g",
            "description": "d",
            "vpc_id": "vpc-1",
            "rules": [
                {**RULE, "cidr_ip": "10.0.0.0/8"},
                {**RULE, "cidr_ipv6": "2001:db8::/32"},
                {**RULE, "group_id": "sg-2"},
            ],
            "rules_egress": [{"proto": "-1", "cidr_ip": "0.0.0.0/0"}],
            **TAGS,
        },
        {
            "GroupId": "sg-1",
            "IpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 22,
                    "ToPort": 22,
                    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "SSH"}],
                    "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32", "Description": "SSH"}],
                    "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": "1", "Description": "SSH"}],
                    "PrefixListIds": [],
                }
            ],
            "IpPermissionsEgress": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
            "Tags": FOUND_TAGS,
        },
        {
            "rules": put("IpPermissions", 0, "PrefixListIds", to=[{"PrefixListId": "pl-1"}]),
            "rules_egress": put("IpPermissionsEgress", 0, "IpRanges", 0, "Description", to="out"),
            "tags": TAG,
        },
    ),
    Case(
        "amazon.aws.ec2_launch_template",
        {
            "template_name": "t",
            "version_description": "d",
            "source_version": "",
            "default_version": "latest",
            "image_id": "ami-1",
            "instance_type": "t3.medium",
            "credit_specification": {"cpu_credits": "standard"},
            "key_name": "k",
            "iam_instance_profile": "p",
            "network_interfaces": [{"device_index": 0, "groups": ["sg-1"]}],
            "block_device_mappings": [{"device_name": "/dev/xvda", "ebs": {"encrypted": True, "kms_key_id": None}}],
            "metadata_options": {"http_tokens": "required"},
            "tag_specifications": [{"resource_type": "instance", "tags": {"a": "b", "c": "d"}}],
            "user_data": base64.b64encode(b"#cloud-config\n").decode(),
            **TAGS,
        },
        {
            "LaunchTemplateId": "lt-1",
            "DefaultVersionNumber": 3,
            "Tags": FOUND_TAGS,
            "Latest": {
                "VersionNumber": 3,
                "VersionDescription": "d",
                "LaunchTemplateData": {
                    "ImageId": "ami-1",
                    "InstanceType": "t3.medium",
                    "CreditSpecification": {"CpuCredits": "standard"},
                    "KeyName": "k",
                    "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/p"},
                    "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-1"]}],
                    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}],
                    "MetadataOptions": {
                        "HttpEndpoint": "enabled",
                        "HttpPutResponseHopLimit": 1,
                        "HttpTokens": "required",
                        "HttpProtocolIpv6": "disabled",
                        "InstanceMetadataTags": "disabled",
                    },
                    "TagSpecifications": [
                        {"ResourceType": "instance", "Tags": [{"Key": "c", "Value": "d"}, {"Key": "a", "Value": "b"}]}
                    ],
                    "UserData": base64.b64encode(b"#cloud-config\n").decode(),
                },
            },
        },
        {
            "default_version": put("DefaultVersionNumber", to=2),
            "tags": TAG,
            "image_id": put("Latest", "LaunchTemplateData", "ImageId", to="ami-2"),
            "instance_type": put("Latest", "LaunchTemplateData", "InstanceType", to="t3.large"),
            "credit_specification": put("Latest", "LaunchTemplateData", "CreditSpecification"),
            "key_name": put("Latest", "LaunchTemplateData", "KeyName"),
            "iam_instance_profile": put("Latest", "LaunchTemplateData", "IamInstanceProfile"),
            "network_interfaces": put("Latest", "LaunchTemplateData", "NetworkInterfaces", 0, "Groups", to=["sg-2"]),
            "block_device_mappings": put(
                "Latest", "LaunchTemplateData", "BlockDeviceMappings", 0, "Ebs", "Encrypted", to=False
            ),
            "metadata_options": put("Latest", "LaunchTemplateData", "MetadataOptions", "HttpTokens", to="optional"),
            "tag_specifications": put(
                "Latest", "LaunchTemplateData", "TagSpecifications", 0, "Tags", 0, "Value", to="x"
            ),
            "user_data": put("Latest", "LaunchTemplateData", "UserData"),
        },
    ),
    Case(
        "community.aws.autoscaling_lifecycle_hook",
        {
            "autoscaling_group_name": "g",
            "lifecycle_hook_name": "h",
            "state": "present",
            "transition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "heartbeat_timeout": "300",
            "default_result": "ABANDON",
        },
        Hook("h", "autoscaling:EC2_INSTANCE_TERMINATING", 300, 30000, "ABANDON"),
        {
            "transition": changed(transition="autoscaling:EC2_INSTANCE_LAUNCHING"),
            "heartbeat_timeout": changed(heartbeat_timeout=60),
            "default_result": changed(default_result="CONTINUE"),
        },
    ),
    Case(
        "wekruit.ghosthands.autoscaling_group_settings",
        {
            "name": "g",
            "creation": {"min_size": 0, "max_size": 1, "desired_capacity": 0, "lifecycle_hooks": []},
            "min_size": "1",
            "max_size": 10,
            "launch_template": {"id": "lt-1", "version": 3},
            "subnet_ids": ["subnet-2", "subnet-1"],
            "health_check_type": "EC2",
            "health_check_grace_seconds": 300,
            "cooldown_seconds": 300,
            "warmup_seconds": 300,
            "max_lifetime_seconds": "0",
            "termination_policies": ["Default"],
            "new_instances_protected": False,
            "maintenance_policy": {"min_healthy_percentage": 100, "max_healthy_percentage": 110},
            "deletion_protection": "none",
            "on_hook_abandon": "terminate",
            "suspended_processes": ["AZRebalance"],
            "metrics": True,
            "tags": {"Project": "wekruit"},
            "protected_instances": ["i-1"],
        },
        Group(
            name="g",
            arn="arn:g",
            min_size=1,
            max_size=10,
            desired_capacity=4,
            template_id="lt-1",
            template_name="t",
            template_version="3",
            subnet_ids=frozenset({"subnet-1", "subnet-2"}),
            health_check_type="EC2",
            health_check_grace_seconds=300,
            cooldown_seconds=300,
            warmup_seconds=300,
            termination_policies=("Default",),
            maintenance_policy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
            suspended_processes=frozenset({"AZRebalance"}),
            metrics=METRICS,
            tags={"Project": Tag("wekruit", True), "Owner": Tag("x", False)},
        ),
        {
            "min_size": changed(min_size=2),
            "max_size": changed(max_size=2),
            "launch_template": changed(template_version="$Latest"),
            "subnet_ids": changed(subnet_ids=frozenset({"subnet-1"})),
            "health_check_type": changed(health_check_type="ELB"),
            "health_check_grace_seconds": changed(health_check_grace_seconds=None),
            "cooldown_seconds": changed(cooldown_seconds=1),
            "warmup_seconds": changed(warmup_seconds=None),
            "max_lifetime_seconds": changed(max_lifetime_seconds=86400),
            "termination_policies": changed(termination_policies=("OldestInstance",)),
            "new_instances_protected": changed(new_instances_protected=True),
            "maintenance_policy": changed(maintenance_policy=None),
            "deletion_protection": changed(deletion_protection="prevent-all-deletion"),
            "on_hook_abandon": changed(on_hook_abandon="retain"),
            "suspended_processes": changed(suspended_processes=frozenset()),
            "metrics": changed(metrics=METRICS - {"GroupMinSize"}),
            "protected_instances": changed(
                instances=(GroupInstance("i-1", "InService", "Healthy", "a", "t3.medium", "3", protected=False),)
            ),
            "tags": changed(tags={"Project": Tag("wekruit", False)}),
        },
    ),
    Case(
        "ansible.builtin.copy",
        {"dest": "/f", "content": "a\n", "mode": "0600"},
        {"state": "file", "content": "a\n", "mode": "0600"},
        {"content": put("content", to="b\n"), "mode": put("mode", to="0644")},
    ),
    Case(
        "ansible.builtin.file",
        {"path": "/d", "state": "directory", "mode": "0700"},
        {"state": "directory", "mode": "0700"},
        {"state": put("state", to="file"), "mode": put("mode", to="0755")},
    ),
]
ONLY_CREATED = {
    "amazon.aws.ec2_key",
}
ACCESS_KEY = "amazon.aws.iam_access_key"


def differing(case: Case, name: str) -> Any:
    """The case's answer, with this parameter differing."""
    answer = copy.deepcopy(case.answer)
    return case.differing[name](answer) or answer


by_module = pytest.mark.parametrize("case", [pytest.param(c, id=c.module) for c in CASES])


def test_every_module_of_the_table_is_tried_here_and_can_be_read() -> None:
    assert {c.module for c in CASES} | ONLY_CREATED | {ACCESS_KEY} == COMPARISONS.keys() == READERS.keys()


@pytest.mark.parametrize("module", sorted(READERS))
def test_a_resource_is_identified_by_parameters_without_a_meaning(module: str) -> None:
    parameters = COMPARISONS[module].parameters
    assert [parameters[name] for name in READERS[module].identity] == [None] * len(READERS[module].identity)


@by_module
def test_every_parameter_with_a_meaning_is_tried_here(case: Case) -> None:
    assert case.differing.keys() == {name for name, meaning in COMPARISONS[case.module].parameters.items() if meaning}
    assert case.parameters.keys() == COMPARISONS[case.module].parameters.keys()


@by_module
def test_a_resource_as_desired_does_not_differ(case: Case) -> None:
    assert compare(COMPARISONS[case.module], case.parameters, case.answer) is None


@pytest.mark.parametrize(
    ("case", "name"), [pytest.param(c, n, id=f"{c.module}-{n}") for c in CASES for n in c.differing]
)
def test_one_parameter_that_differs_is_named_and_no_other(case: Case, name: str) -> None:
    answer = differing(case, name)
    found = compare(COMPARISONS[case.module], case.parameters, answer)
    assert found is not None
    before, after = found
    assert before.keys() == after.keys() == {name}
    assert before[name] != after[name]


WHOLE = {
    (c.module, n) for c in CASES if c.module.endswith("launch_template") for n in DATA
}  # there the answer is all of it


@pytest.mark.parametrize(
    ("case", "name"),
    [pytest.param(c, n, id=f"{c.module}-{n}") for c in CASES for n in c.differing if (c.module, n) not in WHOLE],
)
def test_what_a_task_does_not_state_is_left_alone(case: Case, name: str) -> None:
    answer = differing(case, name)
    assert compare(COMPARISONS[case.module], {k: v for k, v in case.parameters.items() if k != name}, answer) is None


@by_module
def test_a_missing_resource_differs_in_everything(case: Case) -> None:
    assert compare(COMPARISONS[case.module], case.parameters, None) == ({}, case.parameters)


@by_module
def test_an_unknown_parameter_differs_and_is_named(case: Case) -> None:
    _before, after = compare(COMPARISONS[case.module], {**case.parameters, "colour": "red"}, case.answer) or ({}, {})
    assert after == {"colour": "no comparison known"}


@by_module
def test_what_should_be_absent_differs_only_where_it_exists(case: Case) -> None:
    p = {**case.parameters, "state": "absent"}
    resource = COMPARISONS[case.module]
    if "state" in resource.parameters:
        assert compare(resource, p, None) is None
        _before, after = compare(resource, p, case.answer) or ({}, {})
        assert after == {"state": "absent"}
    else:
        assert compare(resource, p, None) == ({}, {"state": "absent"} | {"state": "no comparison known"})


@pytest.mark.parametrize("module", sorted(ONLY_CREATED))
def test_what_is_only_ever_created_differs_only_where_it_is_missing(module: str) -> None:
    p = dict.fromkeys(COMPARISONS[module].parameters, "x")
    p.pop("state", None)
    assert compare(COMPARISONS[module], p, {"any": "answer"}) is None
    assert compare(COMPARISONS[module], p, None) == ({}, p)


def test_where_the_access_key_is_not_the_one_in_use_it_differs() -> None:
    p = {"user_name": "valet", "state": "present"}
    assert compare(COMPARISONS[ACCESS_KEY], p, [{"AccessKeyId": "AKIA1"}]) == ({"access_key": ["AKIA1"]}, {})
    assert compare(COMPARISONS[ACCESS_KEY], p, None) == ({}, p)


def test_a_security_group_of_that_name_in_another_vpc_is_not_selected() -> None:
    select = COMPARISONS["amazon.aws.ec2_security_group"].select
    mine, theirs = {"GroupId": "sg-1", "VpcId": "vpc-1"}, {"GroupId": "sg-2", "VpcId": "vpc-2"}
    assert select([theirs, mine], {"vpc_id": "vpc-1"}) == mine
    assert select([theirs], {"vpc_id": "vpc-1"}) is None


def test_an_answer_with_no_ports_means_all_of_them() -> None:
    resource = COMPARISONS["amazon.aws.ec2_security_group"]
    everything = {
        "IpPermissions": [{"IpProtocol": "-1", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    }
    assert compare(resource, {"rules": [{"proto": -1, "cidr_ip": "0.0.0.0/0"}]}, everything) is None
