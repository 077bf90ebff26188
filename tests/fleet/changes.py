"""What somebody may do to a fleet behind the playbooks' back, one thing at a time, and what the playbooks have to say to it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fleet.fleet import (
    ANYTHING,
    BOUNDARY,
    FOREIGN_TAG,
    GROUP,
    KEY_PAIR,
    LAUNCH,
    LOGS,
    OTHERS,
    POLICY,
    PROFILE,
    REPOSITORY,
    ROLE,
    SECRET,
    TEMPLATE,
    TERMINATE,
    TERMINATION,
    USER,
    VALET_POLICY_ARN,
    Fleet,
)

# section -> its tasks, by what they keep
TASKS = {
    "repository": "Create the ECR repository for the worker image",
    "secret": "Create the worker's secret with a placeholder",
    "log_group": "Create the log group",
    "key_pair": "Import the key pair",
    "role": "Create the worker role",
    "policy": "Attach the worker role's inline policy",
    "profile": "Create the instance profile",
    "security_group": "Create the security group",
    "template": "Create the launch template",
    "group": "Create the Auto Scaling group",
    "settings": "Update the Auto Scaling group",
    "termination_hook": "Create the termination lifecycle hook",
    "retention": "Set the instance lifecycle policy",
    "launch_hook": "Create or delete the launch lifecycle hook",
    "valet_policy": "Create VALET's IAM policy",
    "user": "Create VALET's IAM user",
    "folder": "Create the folder for VALET's settings",
    "access_key": "Create VALET's access key",
    "key_file": "Write VALET's access key to access-key.env",
    "env": "Write VALET's settings to valet.env",
    "script": "Write the script set-on-fly.sh",
}
MISSING = "is not there"
GONE = "autoscaling_group_name default_result heartbeat_timeout lifecycle_hook_name state transition"  # all of a hook


@dataclass(frozen=True)
class Change:
    """One thing done to a fleet."""

    description: str
    section: str
    """the playbook that has to see it"""
    apply: Callable[[Fleet], Any] = lambda fleet: None
    differs: Mapping[str, str] = field(default_factory=dict)
    """what is to be seen: a key of TASKS -> its parameters that differ, or MISSING; nothing where it is harmless"""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """where it is the operator who changes a wish"""
    quick: bool = False
    """part of `make test`"""
    tolerated: Mapping[str, str] = field(default_factory=dict)
    """a key of TASKS -> why its stock module writes although nothing that counts differs: there the drift is silent on purpose"""


QUICK = {"quick": True}


def _foundation() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "foundation", apply, differs, quick=quick)

    def policy(count: int, **more: Any) -> str:
        selection = {"countNumber": count, "countType": "imageCountMoreThan", "tagStatus": "any"}
        rule = {
            "selection": selection,
            "action": {"type": "expire"},
            "description": "Keep the last images",
            "rulePriority": 1,
        }
        return json.dumps({"rules": [{**rule, **more}]}, indent=2)

    def put(fleet: Fleet, text: str) -> None:
        fleet.client("ecr").put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=text)

    yield seen(
        "the repository's tags became immutable",
        lambda f: f.client("ecr").put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE"),
        quick=True,
        repository="image_tag_mutability",
    )
    yield seen(
        "scanning on push was turned off",
        lambda f: f.client("ecr").put_image_scanning_configuration(
            repositoryName=REPOSITORY, imageScanningConfiguration={"scanOnPush": False}
        ),
        repository="scan_on_push",
    )
    yield seen("the lifecycle policy keeps fewer images", lambda f: put(f, policy(3)), repository="lifecycle_policy")
    yield seen(
        "the lifecycle rule has another description",
        lambda f: put(f, policy(30, description="x")),
        repository="lifecycle_policy",
    )
    yield seen(
        "the lifecycle policy was removed",
        lambda f: f.client("ecr").delete_lifecycle_policy(repositoryName=REPOSITORY),
        repository="lifecycle_policy",
    )
    yield seen(
        "the repository was deleted",
        lambda f: f.client("ecr").delete_repository(repositoryName=REPOSITORY, force=True),
        repository=MISSING,
    )
    yield seen("the lifecycle policy is written in another order", lambda f: put(f, policy(30)))
    yield seen(
        "the repository bears a foreign tag",
        lambda f: f.client("ecr").tag_resource(
            resourceArn=f"arn:aws:ecr:us-east-1:123456789012:repository/{REPOSITORY}",
            tags=[{"Key": "Owner", "Value": "x"}],
        ),
        quick=True,
    )

    logs: Callable[[Fleet], Any] = lambda f: f.client("logs")  # noqa: E731
    yield seen(
        "logs are kept longer",
        lambda f: logs(f).put_retention_policy(logGroupName=LOGS, retentionInDays=365),
        quick=True,
        log_group="retention",
    )
    yield seen(
        "logs are kept for ever", lambda f: logs(f).delete_retention_policy(logGroupName=LOGS), log_group="retention"
    )
    yield seen("the log group was deleted", lambda f: logs(f).delete_log_group(logGroupName=LOGS), log_group=MISSING)
    yield seen(
        "the log group's tag says otherwise",
        lambda f: logs(f).tag_resource(resourceArn=f.log_group_arn(), tags={"Project": "other"}),
        log_group="tags",
    )
    yield seen(
        "the log group lost its tag",
        lambda f: logs(f).untag_resource(resourceArn=f.log_group_arn(), tagKeys=["Project"]),
        log_group="tags",
    )
    yield seen(
        "the log group bears a foreign tag",
        lambda f: logs(f).tag_resource(resourceArn=f.log_group_arn(), tags={"Owner": "x"}),
    )

    secret: Callable[[Fleet], Any] = lambda f: f.client("secretsmanager")  # noqa: E731
    yield seen(
        "the secret was deleted for good",
        lambda f: secret(f).delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True),
        quick=True,
        secret=MISSING,
    )
    yield seen(
        "an operator filled in the secret",
        lambda f: secret(f).put_secret_value(SecretId=SECRET, SecretString='{"A": "b"}'),
        quick=True,
    )
    yield seen(
        "an operator described the secret and tagged it",
        lambda f: (
            secret(f).update_secret(SecretId=SECRET, Description="ours"),
            secret(f).tag_resource(SecretId=SECRET, Tags=[FOREIGN_TAG]),
        ),
    )
    yield seen(
        "the key pair was deleted", lambda f: f.client("ec2").delete_key_pair(KeyName=KEY_PAIR), key_pair=MISSING
    )
    yield seen(
        "the key pair is another one of that name",
        lambda f: (
            f.client("ec2").delete_key_pair(KeyName=KEY_PAIR),
            f.client("ec2").create_key_pair(KeyName=KEY_PAIR),
        ),
    )
    yield Change(
        "fewer images are to be kept",
        "foundation",
        differs={"repository": "lifecycle_policy"},
        variables={"fleet_repository_keep_images": 5},
    )


def _iam() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "iam", apply, differs, quick=quick)

    def iam(f: Fleet) -> Any:
        return f.client("iam")

    ec2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    lambda_ = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trusts = "assume_role_policy_document"
    yield seen("another service may take the role", lambda f: f.change_trust_policy(lambda_), quick=True, role=trusts)
    yield seen("one more service may take the role", lambda f: f.change_trust_policy(ec2, lambda_), role=trusts)
    yield seen(
        "the role may be taken on a condition only",
        lambda f: f.change_trust_policy({**ec2, "Condition": {"Bool": {"a:b": "true"}}}),
        role=trusts,
    )
    yield seen("anybody may take the role", lambda f: f.change_trust_policy({**ec2, "Principal": "*"}), role=trusts)
    yield seen(
        "the trust policy is written with lists",
        lambda f: f.change_trust_policy(
            {**ec2, "Action": ["sts:AssumeRole"], "Principal": {"Service": ["ec2.amazonaws.com"]}}
        ),
    )
    yield seen(
        "the role has another boundary",
        lambda f: iam(f).put_role_permissions_boundary(
            RoleName=ROLE, PermissionsBoundary=BOUNDARY.replace("boundary", "other")
        ),
        role="boundary",
    )
    yield seen(
        "the role lost its boundary", lambda f: iam(f).delete_role_permissions_boundary(RoleName=ROLE), role="boundary"
    )
    yield Change(
        "the boundary is no longer wanted",
        "iam",
        differs={"role": "boundary"},
        variables={"fleet_permissions_boundary_arn": ""},
    )
    yield seen(
        "the role's tag says otherwise",
        lambda f: iam(f).tag_role(RoleName=ROLE, Tags=[{"Key": "Project", "Value": "other"}]),
        role="tags",
    )
    yield seen("the role lost its tag", lambda f: iam(f).untag_role(RoleName=ROLE, TagKeys=["Project"]), role="tags")
    yield seen("the role bears a foreign tag", lambda f: iam(f).tag_role(RoleName=ROLE, Tags=[FOREIGN_TAG]), quick=True)
    yield seen(
        "the role was described and may be held longer",
        lambda f: iam(f).update_role(RoleName=ROLE, Description="x", MaxSessionDuration=7200),
    )
    yield seen(
        "the role has a second policy of its own",
        lambda f: iam(f).put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(ANYTHING)),
    )
    yield seen(
        "the role has a managed policy too",
        lambda f: iam(f).attach_role_policy(
            RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
        ),
    )
    yield seen("the role was deleted", Fleet.drop_role, role=MISSING, policy=MISSING, profile="role")

    def reordered(statements: list[dict[str, Any]]) -> None:
        statements.reverse()
        for statement in statements:
            if isinstance(statement["Action"], list):
                statement["Action"].reverse()

    def spelled_out(statements: list[dict[str, Any]]) -> None:
        for s in statements:
            s["Action"] = s["Action"][0] if isinstance(s["Action"], list) and len(s["Action"]) == 1 else s["Action"]
            s["Resource"] = [s["Resource"]] if isinstance(s["Resource"], str) else s["Resource"]

    may = "policy_json"
    yield seen(
        "an action became a wildcard",
        lambda f: f.change_role_policy(lambda s: s[0].update(Action="autoscaling:*")),
        quick=True,
        policy=may,
    )
    yield seen("an action is gone", lambda f: f.change_role_policy(lambda s: s[0]["Action"].pop()), policy=may)
    yield seen(
        "a resource became everything", lambda f: f.change_role_policy(lambda s: s[2].update(Resource="*")), policy=may
    )
    yield seen("a statement denies", lambda f: f.change_role_policy(lambda s: s[3].update(Effect="Deny")), policy=may)
    yield seen(
        "a statement has a condition",
        lambda f: f.change_role_policy(lambda s: s[3].update(Condition={"Bool": {"a:b": "true"}})),
        policy=may,
    )
    yield seen(
        "a statement has another Sid", lambda f: f.change_role_policy(lambda s: s[3].update(Sid="Other")), policy=may
    )
    yield seen("a statement is gone", lambda f: f.change_role_policy(lambda s: s.pop()), policy=may)
    yield seen(
        "a statement was added",
        lambda f: f.change_role_policy(lambda s: s.append({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})),
        policy=may,
    )
    yield seen(
        "the policy was deleted", lambda f: iam(f).delete_role_policy(RoleName=ROLE, PolicyName=POLICY), policy=MISSING
    )
    yield seen("statements and actions stand in another order", lambda f: f.change_role_policy(reordered), quick=True)
    yield seen(
        "actions are written in lower case",
        lambda f: f.change_role_policy(lambda s: s[0].update(Action=[a.lower() for a in s[0]["Action"]])),
        policy=may,
    )
    yield seen("single actions are text and single resources lists", lambda f: f.change_role_policy(spelled_out))
    yield Change(
        "Session Manager is no longer wanted",
        "iam",
        differs={"policy": may},
        variables={"fleet_session_manager": False},
    )

    yield seen("the profile carries no role", lambda f: f.set_profile_roles(), quick=True, profile="role")
    yield seen("the profile carries another role", lambda f: f.set_profile_roles("theirs"), profile="role")
    yield seen("the profile was deleted", Fleet.drop_profile, profile=MISSING)
    yield seen(
        "the profile's tag says otherwise",
        lambda f: iam(f).tag_instance_profile(InstanceProfileName=PROFILE, Tags=[{"Key": "Project", "Value": "other"}]),
        profile="tags",
    )
    yield seen(
        "the profile bears a foreign tag",
        lambda f: iam(f).tag_instance_profile(InstanceProfileName=PROFILE, Tags=[FOREIGN_TAG]),
    )


def _security_group() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False) -> Change:
        return Change(description, "security_group", apply, {"security_group": what} if what else {}, quick=quick)

    world, six = [{"CidrIp": "0.0.0.0/0"}], [{"CidrIpv6": "::/0"}]
    api = [{"CidrIp": "203.0.113.7/32", "Description": "GH API"}]
    yield seen("the API was opened to the world", lambda f: f.open(IpRanges=world), "rules", quick=True)
    yield seen("the API was opened to all of IPv6", lambda f: f.open(Ipv6Ranges=six), "rules")
    yield seen(
        "the API was opened to another group",
        lambda f: f.open(UserIdGroupPairs=[{"GroupId": f.security_group()["GroupId"]}]),
        "rules",
    )
    yield seen(
        "the API was opened to a prefix list",
        lambda f: f.open(PrefixListIds=[{"PrefixListId": f.prefix_list()}]),
        "rules",
    )
    yield seen("another port was opened", lambda f: f.open(ports=(9000, 9100), IpRanges=world), "rules")
    yield seen("UDP was opened", lambda f: f.open(protocol="udp", IpRanges=world), "rules")
    yield seen("everything was opened", lambda f: f.open(protocol="-1", ports=None, IpRanges=world), "rules")
    yield seen("ping was allowed", lambda f: f.open(protocol="icmp", ports=(-1, -1), IpRanges=world), "rules")
    yield seen("a door was closed", lambda f: f.close(IpRanges=api), "rules", quick=True)
    yield seen(
        "a rule has another description",
        lambda f: (f.close(IpRanges=api), f.open(IpRanges=[{**api[0], "Description": "other"}])),
        "rules",
    )
    yield seen(
        "a source group's rule has no description",
        lambda f: (
            f.close(ports=(3101, 3101), UserIdGroupPairs=[{"GroupId": OTHERS, "Description": "Worker status"}]),
            f.open(ports=(3101, 3101), UserIdGroupPairs=[{"GroupId": OTHERS}]),
        ),
        "rules",
    )
    yield seen("rules stand in another order", lambda f: (f.close(IpRanges=api), f.open(IpRanges=api)))
    yield seen(
        "nothing goes out", lambda f: f.close(outbound=True, protocol="-1", ports=None, IpRanges=world), "rules_egress"
    )
    yield seen(
        "IPv6 goes out", lambda f: f.open(outbound=True, protocol="-1", ports=None, Ipv6Ranges=six), "rules_egress"
    )
    yield seen(
        "a port goes out",
        lambda f: f.open(outbound=True, ports=(443, 443), IpRanges=[{"CidrIp": "10.0.0.0/8"}]),
        "rules_egress",
        quick=True,
    )
    yield seen(
        "the way out has a description",
        lambda f: (
            f.close(outbound=True, protocol="-1", ports=None, IpRanges=world),
            f.open(outbound=True, protocol="-1", ports=None, IpRanges=[{**world[0], "Description": "out"}]),
        ),
        "rules_egress",
    )
    yield seen(
        "the security group's tag says otherwise",
        lambda f: f.tag(f.security_group()["GroupId"], "Project", "other"),
        "tags",
    )
    yield seen(
        "the security group lost its tag", lambda f: f.tag(f.security_group()["GroupId"], "Project", None), "tags"
    )
    yield seen("the security group was deleted", Fleet.drop_security_group, MISSING)
    yield seen(
        "the security group bears a foreign tag",
        lambda f: f.tag(f.security_group()["GroupId"], "Owner", "x"),
        quick=True,
    )
    yield seen("another VPC has a group of that name", Fleet.create_namesake)
    yield seen(
        "there is a group of somebody else, without rules",
        lambda f: f.client("ec2").create_security_group(
            GroupName="theirs", Description="x", VpcId="vpc-010ca1c10d0000001"
        ),
    )
    yield Change(
        "the API is to be closed",
        "security_group",
        differs={"security_group": "rules"},
        variables={"fleet_api_cidrs": []},
    )


def _launch_template() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False) -> Change:
        return Change(description, "launch_template", apply, {"template": what} if what else {}, quick=quick)

    def version(description: str, change: Callable[[dict[str, Any]], Any], what: str, quick: bool = False) -> Change:
        return seen(f"a version {description}", lambda f: f.version(change), what, quick)

    def disk(**settings: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda d: d["BlockDeviceMappings"][0]["Ebs"].update(settings)

    def interface(**settings: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda d: d["NetworkInterfaces"][0].update(settings)

    def metadata(**settings: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda d: d["MetadataOptions"].update(settings)

    def plain(d: dict[str, Any]) -> None:
        d["BlockDeviceMappings"][0]["Ebs"] = {
            k: v for k, v in d["BlockDeviceMappings"][0]["Ebs"].items() if k != "KmsKeyId"
        }
        d["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] = False

    yield version("has another image", lambda d: d.update(ImageId="ami-0137112412989a001"), "image_id")
    yield version("has another type", lambda d: d.update(InstanceType="t3.large"), "instance_type", quick=True)
    yield version("has no key pair", lambda d: d.pop("KeyName"), "key_name")
    yield version(
        "has another profile", lambda d: d.update(IamInstanceProfile={"Name": "theirs"}), "iam_instance_profile"
    )
    yield version("has no public address", interface(AssociatePublicIpAddress=False), "network_interfaces")
    yield version("is in another group", interface(Groups=[OTHERS]), "network_interfaces")
    yield version("keeps its interface", interface(DeleteOnTermination=False), "network_interfaces")
    yield version("has a bigger disk", disk(VolumeSize=80), "block_device_mappings")
    yield version("has an unencrypted disk", plain, "block_device_mappings")
    yield version("has another kind of disk", disk(VolumeType="gp2"), "block_device_mappings")
    yield version("keeps its disk", disk(DeleteOnTermination=False), "block_device_mappings")
    yield version("has a faster disk", disk(Iops=6000), "block_device_mappings")
    yield version(
        "has a second disk",
        lambda d: d["BlockDeviceMappings"].append({"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 8}}),
        "block_device_mappings",
    )
    yield version("has metadata in reach of one hop", metadata(HttpPutResponseHopLimit=1), "metadata_options")
    yield version("has IMDSv1", metadata(HttpTokens="optional"), "metadata_options", quick=True)
    yield version("has no metadata", metadata(HttpEndpoint="disabled"), "metadata_options")
    yield version("shows its tags in the metadata", metadata(InstanceMetadataTags="enabled"), "metadata_options")
    yield version("has no metadata options", lambda d: d.pop("MetadataOptions"), "metadata_options")
    other_data = base64.b64encode(b"#!/bin/sh\n").decode()
    yield version("has other user data", lambda d: d.update(UserData=other_data), "user_data")
    yield version("has no user data", lambda d: d.pop("UserData"), "user_data")
    yield version("is optimized for EBS", lambda d: d.update(EbsOptimized=True), "EbsOptimized", quick=True)
    yield version("is monitored in detail", lambda d: d.update(Monitoring={"Enabled": True}), "Monitoring")
    yield version(
        "is protected from termination", lambda d: d.update(DisableApiTermination=True), "DisableApiTermination"
    )
    yield version("tags its volumes otherwise", lambda d: d["TagSpecifications"][1]["Tags"].pop(), "tag_specifications")
    yield version("tags no volumes", lambda d: d["TagSpecifications"].pop(), "tag_specifications")
    yield seen("a version has another description", lambda f: f.version(lambda d: None, "test"), "version_description")
    yield seen(
        "the default version is an older one", lambda f: f.version(lambda d: None, default=False), "default_version"
    )
    yield seen(
        "a newer version is not the default",
        lambda f: f.version(lambda d: d.update(InstanceType="t3.large"), default=False),
        "default_version instance_type",
    )
    yield seen("the template's tag says otherwise", lambda f: f.tag(f.template_id(), "Project", "other"), "tags")
    yield seen("the template lost its tag", lambda f: f.tag(f.template_id(), "Project", None), "tags")
    yield seen(
        "the template was deleted",
        lambda f: f.client("ec2").delete_launch_template(LaunchTemplateName=TEMPLATE),
        MISSING,
    )
    yield seen(
        "an older version is another one",
        lambda f: (
            f.version(lambda d: d.update(InstanceType="t3.large")),
            f.version(lambda d: d.update(InstanceType="t3.medium")),
        ),
    )
    yield seen("the template bears a foreign tag", lambda f: f.tag(f.template_id(), "Owner", "x"), quick=True)
    yield Change(
        "a version lists its tags in another order",
        "launch_template",
        lambda f: f.version(lambda d: [t["Tags"].reverse() for t in d["TagSpecifications"]]),
        tolerated={"template": "the module compares tags as lists, and would make a version that says the same"},
    )
    yield Change(
        "another disk is wanted",
        "launch_template",
        differs={"template": "block_device_mappings"},
        variables={"fleet_volume_size_gib": 50},
    )
    yield Change(
        "a longer drain is wanted",
        "launch_template",
        differs={"template": "user_data"},
        variables={"fleet_drain_limit_seconds": 2400},
    )
    yield Change(
        "the key pair is no longer wanted",
        "launch_template",
        differs={"template": "KeyName"},
        variables={"fleet_key_name": "", "fleet_key_public": ""},
    )


def _group() -> Iterator[Change]:
    def seen(
        description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False, **variables: Any
    ) -> Change:
        return Change(description, "autoscaling_group", apply, {"settings": what} if what else {}, variables, quick)

    def group(f: Fleet) -> Any:
        return f.client("autoscaling")

    def drop_tag(f: Fleet) -> None:
        group(f).delete_tags(Tags=[{"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "Project"}])

    def two_subnets(f: Fleet, order: int) -> None:
        f.update(VPCZoneIdentifier=",".join(["subnet-010ca1c10d00000a1", "subnet-010ca1c10d00000b2"][::order]))

    processes = {"AutoScalingGroupName": GROUP, "ScalingProcesses": ["AZRebalance"]}
    healthy = {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 150}
    latest = {"LaunchTemplateName": TEMPLATE, "Version": "$Latest"}
    yield seen("the least size is another", lambda f: f.update(MinSize=0), "min_size")
    yield seen("the largest size is another", lambda f: f.update(MaxSize=20), "max_size")
    yield seen("sizes that VALET owns are others", lambda f: f.update(MinSize=0, MaxSize=20), fleet_size_owner="valet")
    yield seen("the group takes the latest version", lambda f: f.update(LaunchTemplate=latest), "launch_template")
    yield seen(
        "the group is in one zone", lambda f: f.update(VPCZoneIdentifier="subnet-010ca1c10d00000a1"), "subnet_ids"
    )
    yield seen("the subnets stand in another order", lambda f: two_subnets(f, -1))
    yield seen("a load balancer judges the instances", lambda f: f.update(HealthCheckType="ELB"), "health_check_type")
    yield seen(
        "the grace period is another", lambda f: f.update(HealthCheckGracePeriod=10), "health_check_grace_seconds"
    )
    yield seen("the cooldown is another", lambda f: f.update(DefaultCooldown=10), "cooldown_seconds")
    yield seen("the warmup is another", lambda f: f.update(DefaultInstanceWarmup=10), "warmup_seconds")
    yield seen(
        "the termination policies are others",
        lambda f: f.update(TerminationPolicies=["Default"]),
        "termination_policies",
        quick=True,
    )
    yield seen(
        "the termination policies stand in another order",
        lambda f: f.update(TerminationPolicies=["OldestInstance", "OldestLaunchTemplate"]),
        "termination_policies",
    )
    yield seen(
        "new instances are protected",
        lambda f: f.update(NewInstancesProtectedFromScaleIn=True),
        "new_instances_protected",
    )
    yield seen(
        "replacement goes another way", lambda f: f.update(InstanceMaintenancePolicy=healthy), "maintenance_policy"
    )
    yield seen("deletion is no longer refused", lambda f: f.update(DeletionProtection="none"), "deletion_protection")
    yield seen("zones are evened out again", lambda f: group(f).resume_processes(**processes), "suspended_processes")
    yield seen(
        "nothing is launched",
        lambda f: group(f).suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"]),
        "suspended_processes",
    )
    yield seen(
        "no metrics are collected", lambda f: group(f).disable_metrics_collection(AutoScalingGroupName=GROUP), "metrics"
    )
    yield seen("the group's tag says otherwise", lambda f: f.tag_group("Project", "other"), "tags")
    yield seen("the group's tag is not passed on", lambda f: f.tag_group("Project", "wekruit", propagate=False), "tags")
    yield seen("the group lost its tag", drop_tag, "tags")
    yield Change(
        "the group was deleted", "autoscaling_group", Fleet.drop_group, {"group": MISSING, "settings": MISSING}
    )
    yield seen("the scaler wants more", lambda f: f.update(DesiredCapacity=4), quick=True)
    yield seen("the group bears a foreign tag", lambda f: f.tag_group("Owner", "x"))
    yield seen("another warmup is wanted", lambda f: None, "warmup_seconds", fleet_warmup_seconds=60)


def _lifecycle_hook() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "lifecycle_hook", apply, differs, quick=quick)

    def again(f: Fleet, name: str, **settings: Any) -> None:
        f.drop_hook(name)
        f.hook(name, **settings)

    ending, starting = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"
    yield seen(
        "the hook lets go in the end",
        lambda f: f.hook(TERMINATION, DefaultResult="CONTINUE"),
        quick=True,
        termination_hook="default_result",
    )
    yield seen(
        "the hook holds longer",
        lambda f: f.hook(TERMINATION, HeartbeatTimeout=3600),
        termination_hook="heartbeat_timeout",
    )
    yield seen(
        "the hook holds at the wrong end",
        lambda f: again(f, TERMINATION, LifecycleTransition=starting, HeartbeatTimeout=300, DefaultResult="ABANDON"),
        termination_hook="transition",
    )
    yield seen("the hook was deleted", lambda f: f.drop_hook(TERMINATION), termination_hook=MISSING)
    yield seen(
        "the launch hook holds longer", lambda f: f.hook(LAUNCH, HeartbeatTimeout=60), launch_hook="heartbeat_timeout"
    )
    yield seen(
        "the launch hook lets go in the end",
        lambda f: f.hook(LAUNCH, DefaultResult="CONTINUE"),
        launch_hook="default_result",
    )
    yield seen(
        "the launch hook holds at the wrong end",
        lambda f: again(f, LAUNCH, LifecycleTransition=ending, HeartbeatTimeout=900, DefaultResult="ABANDON"),
        launch_hook="transition",
    )
    yield seen("the launch hook was deleted", lambda f: f.drop_hook(LAUNCH), launch_hook=MISSING)
    yield Change(
        "the launch hook is no longer wanted",
        "lifecycle_hook",
        differs={"launch_hook": GONE},
        variables={"fleet_launch_hook": False},
    )
    yield seen(
        "an abandoned instance ends",
        lambda f: f.update(InstanceLifecyclePolicy=TERMINATE),
        quick=True,
        retention="on_hook_abandon",
    )
    yield seen("somebody else has a hook", lambda f: f.hook("theirs", LifecycleTransition=ending), quick=True)


def _valet() -> Iterator[Change]:
    def seen(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "valet", apply, differs, quick=quick)

    def iam(f: Fleet) -> Any:
        return f.client("iam")

    def older_default(f: Fleet) -> None:
        f.change_valet_policy(lambda s: s.pop(), default=False)
        iam(f).set_default_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId="v2")

    yield seen("VALET's policy has another default version", older_default, quick=True, valet_policy="policy")
    yield seen(
        "VALET may do everything",
        lambda f: f.change_valet_policy(lambda s: s[1].update(Action="autoscaling:*")),
        valet_policy="policy",
    )
    yield seen(
        "VALET's policy has a version that is not in force",
        lambda f: f.change_valet_policy(lambda s: s.pop(), default=False),
    )

    def only_reordered(f: Fleet) -> None:
        f.change_valet_policy(list.reverse)
        iam(f).delete_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId="v1")

    yield seen("VALET's policy is written in another order", only_reordered)
    yield Change(
        "VALET's policy has an older version that says the same",
        "valet",
        lambda f: f.change_valet_policy(list.reverse),
        tolerated={"valet_policy": "the module puts the first version that says so in force, whichever of them is"},
    )
    yield seen(
        "VALET's policy has another tag",
        lambda f: iam(f).tag_policy(PolicyArn=VALET_POLICY_ARN, Tags=[{"Key": "Project", "Value": "other"}]),
        valet_policy="tags",
    )
    yield seen(
        "VALET's policy bears a foreign tag",
        lambda f: iam(f).tag_policy(PolicyArn=VALET_POLICY_ARN, Tags=[FOREIGN_TAG]),
    )
    yield seen(
        "VALET's policy was deleted", Fleet.drop_valet_policy, valet_policy=MISSING, user="unknown until applied"
    )

    yield seen(
        "VALET's user lost its policy",
        lambda f: iam(f).detach_user_policy(UserName=USER, PolicyArn=VALET_POLICY_ARN),
        quick=True,
        user="managed_policies",
    )
    yield seen(
        "VALET's user has another policy too",
        lambda f: iam(f).attach_user_policy(UserName=USER, PolicyArn=BOUNDARY.replace("boundary", "other")),
    )
    yield seen(
        "VALET's user has another boundary",
        lambda f: iam(f).put_user_permissions_boundary(
            UserName=USER, PermissionsBoundary=BOUNDARY.replace("boundary", "other")
        ),
        user="boundary",
    )
    yield seen(
        "VALET's user lost its boundary",
        lambda f: iam(f).delete_user_permissions_boundary(UserName=USER),
        user="boundary",
    )
    yield seen(
        "VALET's user has another tag",
        lambda f: iam(f).tag_user(UserName=USER, Tags=[{"Key": "Project", "Value": "other"}]),
        user="tags",
    )
    yield seen(
        "VALET's user bears a foreign tag", lambda f: iam(f).tag_user(UserName=USER, Tags=[FOREIGN_TAG]), quick=True
    )
    yield seen(
        "VALET's user was deleted", Fleet.drop_user, user=MISSING, access_key=MISSING, key_file="unknown until applied"
    )
    yield seen(
        "VALET's access key was deleted", Fleet.drop_access_key, access_key=MISSING, key_file="unknown until applied"
    )

    yield seen("the folder may be read by all", lambda f: f.valet.chmod(0o755), folder="mode")
    yield seen("the folder is gone", lambda f: shutil.rmtree(f.valet), folder=MISSING, env=MISSING, script=MISSING)
    yield seen(
        "VALET's settings are others", lambda f: (f.valet / "valet.env").write_text("A=b\n"), quick=True, env="content"
    )
    yield seen("VALET's settings may be read by all", lambda f: (f.valet / "valet.env").chmod(0o644), env="mode")
    yield seen("VALET's settings are gone", lambda f: (f.valet / "valet.env").unlink(), env=MISSING)
    yield seen(
        "the command is another", lambda f: (f.valet / "set-on-fly.sh").write_text("#!/bin/sh\n"), script="content"
    )
    yield seen("the command cannot be run", lambda f: (f.valet / "set-on-fly.sh").chmod(0o600), script="mode")
    yield seen("there is another file", lambda f: (f.valet / "notes").write_text("x"), quick=True)
    yield Change(
        "VALET may have more workers",
        "valet",
        differs={"env": "content", "script": "content"},
        variables={"fleet_max_size": 12},
    )


CHANGES = [
    *_foundation(),
    *_iam(),
    *_security_group(),
    *_launch_template(),
    *_group(),
    *_lifecycle_hook(),
    *_valet(),
]
