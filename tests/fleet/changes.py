"""What somebody may change on a fleet without the playbooks, and the differences that the comparison has to report."""

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

# key -> the name of a task
TASKS = {
    "repository": "Create the ECR repository for the worker image",
    "log_group": "Create the log group",
    "key_pair": "Import the key pair",
    "role": "Create the worker role",
    "policy": "Attach the worker role's inline policy",
    "profile": "Create the instance profile",
    "security_group": "Create the security group",
    "template": "Create the launch template",
    "settings": "Create or update the Auto Scaling group",
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
MISSING = "does not exist"
ALL_OF_A_HOOK = "autoscaling_group_name default_result heartbeat_timeout lifecycle_hook_name state transition"


@dataclass(frozen=True)
class Change:
    """One change of a fleet."""

    description: str
    section: str
    """the playbook that has to report it"""
    apply: Callable[[Fleet], Any] = lambda fleet: None
    differs: Mapping[str, str] = field(default_factory=dict)
    """key of TASKS -> the parameters that differ, or MISSING; empty for a harmless change"""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """variables that the operator changes"""
    quick: bool = False
    """part of `make test`"""
    tolerated: Mapping[str, str] = field(default_factory=dict)
    """key of TASKS -> why its stock module writes although no difference is reported"""


QUICK = {"quick": True}


def _foundation() -> Iterator[Change]:
    def change(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
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

    yield change(
        "the repository's tags became immutable",
        lambda f: f.client("ecr").put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE"),
        quick=True,
        repository="image_tag_mutability",
    )
    yield change(
        "scanning on push was turned off",
        lambda f: f.client("ecr").put_image_scanning_configuration(
            repositoryName=REPOSITORY, imageScanningConfiguration={"scanOnPush": False}
        ),
        repository="scan_on_push",
    )
    yield change("the lifecycle policy keeps fewer images", lambda f: put(f, policy(3)), repository="lifecycle_policy")
    yield change(
        "the lifecycle rule has another description",
        lambda f: put(f, policy(30, description="x")),
        repository="lifecycle_policy",
    )
    yield change(
        "the lifecycle policy was removed",
        lambda f: f.client("ecr").delete_lifecycle_policy(repositoryName=REPOSITORY),
        repository="lifecycle_policy",
    )
    yield change(
        "the repository was deleted",
        lambda f: f.client("ecr").delete_repository(repositoryName=REPOSITORY, force=True),
        repository=MISSING,
    )
    yield change("the lifecycle policy is written in another order", lambda f: put(f, policy(30)))
    yield change(
        "the repository has a foreign tag",
        lambda f: f.client("ecr").tag_resource(
            resourceArn=f"arn:aws:ecr:us-east-1:123456789012:repository/{REPOSITORY}",
            tags=[{"Key": "Owner", "Value": "x"}],
        ),
        quick=True,
    )

    logs: Callable[[Fleet], Any] = lambda f: f.client("logs")  # noqa: E731
    yield change(
        "logs are kept longer",
        lambda f: logs(f).put_retention_policy(logGroupName=LOGS, retentionInDays=365),
        quick=True,
        log_group="retention",
    )
    yield change(
        "logs are kept forever", lambda f: logs(f).delete_retention_policy(logGroupName=LOGS), log_group="retention"
    )
    yield change("the log group was deleted", lambda f: logs(f).delete_log_group(logGroupName=LOGS), log_group=MISSING)
    yield change(
        "the log group's tag has another value",
        lambda f: logs(f).tag_resource(resourceArn=f.log_group_arn(), tags={"Project": "other"}),
        log_group="tags",
    )
    yield change(
        "the log group lost its tag",
        lambda f: logs(f).untag_resource(resourceArn=f.log_group_arn(), tagKeys=["Project"]),
        log_group="tags",
    )
    yield change(
        "the log group has a foreign tag",
        lambda f: logs(f).tag_resource(resourceArn=f.log_group_arn(), tags={"Owner": "x"}),
    )

    secret: Callable[[Fleet], Any] = lambda f: f.client("secretsmanager")  # noqa: E731
    yield change(
        "an operator described the secret and tagged it",
        lambda f: (
            secret(f).update_secret(SecretId=SECRET, Description="ours"),
            secret(f).tag_resource(SecretId=SECRET, Tags=[FOREIGN_TAG]),
        ),
    )
    yield change(
        "the key pair was deleted", lambda f: f.client("ec2").delete_key_pair(KeyName=KEY_PAIR), key_pair=MISSING
    )
    yield change(
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
    def change(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "iam", apply, differs, quick=quick)

    def iam(f: Fleet) -> Any:
        return f.client("iam")

    ec2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    lambda_ = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trusts = "assume_role_policy_document"
    yield change(
        "another service may assume the role", lambda f: f.change_trust_policy(lambda_), quick=True, role=trusts
    )
    yield change("one more service may assume the role", lambda f: f.change_trust_policy(ec2, lambda_), role=trusts)
    yield change(
        "the role may be assumed under a condition only",
        lambda f: f.change_trust_policy({**ec2, "Condition": {"Bool": {"a:b": "true"}}}),
        role=trusts,
    )
    yield change("anybody may assume the role", lambda f: f.change_trust_policy({**ec2, "Principal": "*"}), role=trusts)
    yield change(
        "the trust policy is written with lists",
        lambda f: f.change_trust_policy(
            {**ec2, "Action": ["sts:AssumeRole"], "Principal": {"Service": ["ec2.amazonaws.com"]}}
        ),
    )
    yield change(
        "the role has another boundary",
        lambda f: iam(f).put_role_permissions_boundary(
            RoleName=ROLE, PermissionsBoundary=BOUNDARY.replace("boundary", "other")
        ),
        role="boundary",
    )
    yield change(
        "the role lost its boundary", lambda f: iam(f).delete_role_permissions_boundary(RoleName=ROLE), role="boundary"
    )
    yield Change(
        "the boundary is no longer desired",
        "iam",
        differs={"role": "boundary"},
        variables={"fleet_permissions_boundary_arn": ""},
    )
    yield change(
        "the role's tag has another value",
        lambda f: iam(f).tag_role(RoleName=ROLE, Tags=[{"Key": "Project", "Value": "other"}]),
        role="tags",
    )
    yield change("the role lost its tag", lambda f: iam(f).untag_role(RoleName=ROLE, TagKeys=["Project"]), role="tags")
    yield change("the role has a foreign tag", lambda f: iam(f).tag_role(RoleName=ROLE, Tags=[FOREIGN_TAG]), quick=True)
    yield change(
        "the role has a description and a longer session",
        lambda f: iam(f).update_role(RoleName=ROLE, Description="x", MaxSessionDuration=7200),
    )
    yield change(
        "the role has a second policy of its own",
        lambda f: iam(f).put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(ANYTHING)),
    )
    yield change(
        "the role has a managed policy too",
        lambda f: iam(f).attach_role_policy(
            RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
        ),
    )
    yield change("the role was deleted", Fleet.drop_role, role=MISSING, policy=MISSING, profile="role")

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
    yield change(
        "an action became a wildcard",
        lambda f: f.change_role_policy(lambda s: s[0].update(Action="autoscaling:*")),
        quick=True,
        policy=may,
    )
    yield change("an action is gone", lambda f: f.change_role_policy(lambda s: s[0]["Action"].pop()), policy=may)
    yield change(
        "a resource became everything", lambda f: f.change_role_policy(lambda s: s[2].update(Resource="*")), policy=may
    )
    yield change("a statement denies", lambda f: f.change_role_policy(lambda s: s[3].update(Effect="Deny")), policy=may)
    yield change(
        "a statement has a condition",
        lambda f: f.change_role_policy(lambda s: s[3].update(Condition={"Bool": {"a:b": "true"}})),
        policy=may,
    )
    yield change(
        "a statement has another Sid", lambda f: f.change_role_policy(lambda s: s[3].update(Sid="Other")), policy=may
    )
    yield change("a statement is gone", lambda f: f.change_role_policy(lambda s: s.pop()), policy=may)
    yield change(
        "a statement was added",
        lambda f: f.change_role_policy(lambda s: s.append({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})),
        policy=may,
    )
    yield change(
        "the policy was deleted", lambda f: iam(f).delete_role_policy(RoleName=ROLE, PolicyName=POLICY), policy=MISSING
    )
    yield change("statements and actions are in another order", lambda f: f.change_role_policy(reordered), quick=True)
    yield change(
        "actions are written in lower case",
        lambda f: f.change_role_policy(lambda s: s[0].update(Action=[a.lower() for a in s[0]["Action"]])),
        policy=may,
    )
    yield change("single actions are strings and single resources lists", lambda f: f.change_role_policy(spelled_out))
    yield Change(
        "Session Manager is no longer desired",
        "iam",
        differs={"policy": may},
        variables={"fleet_session_manager": False},
    )

    yield change("the profile contains no role", lambda f: f.set_profile_roles(), quick=True, profile="role")
    yield change("the profile contains another role", lambda f: f.set_profile_roles("theirs"), profile="role")
    yield change("the profile was deleted", Fleet.drop_profile, profile=MISSING)
    yield change(
        "the profile's tag has another value",
        lambda f: iam(f).tag_instance_profile(InstanceProfileName=PROFILE, Tags=[{"Key": "Project", "Value": "other"}]),
        profile="tags",
    )
    yield change(
        "the profile has a foreign tag",
        lambda f: iam(f).tag_instance_profile(InstanceProfileName=PROFILE, Tags=[FOREIGN_TAG]),
    )


def _security_group() -> Iterator[Change]:
    def change(description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False) -> Change:
        return Change(description, "security_group", apply, {"security_group": what} if what else {}, quick=quick)

    world, six = [{"CidrIp": "0.0.0.0/0"}], [{"CidrIpv6": "::/0"}]
    api = [{"CidrIp": "203.0.113.7/32", "Description": "GH API"}]
    yield change("the API was opened to the world", lambda f: f.open(IpRanges=world), "rules", quick=True)
    yield change("the API was opened to all of IPv6", lambda f: f.open(Ipv6Ranges=six), "rules")
    yield change(
        "the API was opened to another group",
        lambda f: f.open(UserIdGroupPairs=[{"GroupId": f.security_group()["GroupId"]}]),
        "rules",
    )
    yield change(
        "the API was opened to a prefix list",
        lambda f: f.open(PrefixListIds=[{"PrefixListId": f.prefix_list()}]),
        "rules",
    )
    yield change("another port was opened", lambda f: f.open(ports=(9000, 9100), IpRanges=world), "rules")
    yield change("UDP was opened", lambda f: f.open(protocol="udp", IpRanges=world), "rules")
    yield change("everything was opened", lambda f: f.open(protocol="-1", ports=None, IpRanges=world), "rules")
    yield change("ping was allowed", lambda f: f.open(protocol="icmp", ports=(-1, -1), IpRanges=world), "rules")
    yield change("a port was closed", lambda f: f.close(IpRanges=api), "rules", quick=True)
    yield change(
        "a rule has another description",
        lambda f: (f.close(IpRanges=api), f.open(IpRanges=[{**api[0], "Description": "other"}])),
        "rules",
    )
    yield change(
        "a source group's rule has no description",
        lambda f: (
            f.close(ports=(3101, 3101), UserIdGroupPairs=[{"GroupId": OTHERS, "Description": "Worker status"}]),
            f.open(ports=(3101, 3101), UserIdGroupPairs=[{"GroupId": OTHERS}]),
        ),
        "rules",
    )
    yield change("rules are in another order", lambda f: (f.close(IpRanges=api), f.open(IpRanges=api)))
    yield change(
        "outbound traffic was closed",
        lambda f: f.close(outbound=True, protocol="-1", ports=None, IpRanges=world),
        "rules_egress",
    )
    yield change(
        "outbound IPv6 was opened",
        lambda f: f.open(outbound=True, protocol="-1", ports=None, Ipv6Ranges=six),
        "rules_egress",
    )
    yield change(
        "an outbound port was opened",
        lambda f: f.open(outbound=True, ports=(443, 443), IpRanges=[{"CidrIp": "10.0.0.0/8"}]),
        "rules_egress",
        quick=True,
    )
    yield change(
        "the outbound rule has a description",
        lambda f: (
            f.close(outbound=True, protocol="-1", ports=None, IpRanges=world),
            f.open(outbound=True, protocol="-1", ports=None, IpRanges=[{**world[0], "Description": "out"}]),
        ),
        "rules_egress",
    )
    yield change(
        "the security group's tag has another value",
        lambda f: f.tag(f.security_group()["GroupId"], "Project", "other"),
        "tags",
    )
    yield change(
        "the security group lost its tag", lambda f: f.tag(f.security_group()["GroupId"], "Project", None), "tags"
    )
    yield change("the security group was deleted", Fleet.drop_security_group, MISSING)
    yield change(
        "the security group has a foreign tag",
        lambda f: f.tag(f.security_group()["GroupId"], "Owner", "x"),
        quick=True,
    )
    yield change("another VPC has a group of that name", Fleet.create_namesake)
    yield change(
        "there is another security group, without rules",
        lambda f: f.client("ec2").create_security_group(
            GroupName="theirs", Description="x", VpcId="vpc-010ca1c10d0000001"
        ),
    )
    yield Change(
        "the API is closed by a variable",
        "security_group",
        differs={"security_group": "rules"},
        variables={"fleet_api_cidrs": []},
    )


def _launch_template() -> Iterator[Change]:
    def change(description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False) -> Change:
        return Change(description, "launch_template", apply, {"template": what} if what else {}, quick=quick)

    def version(description: str, edit: Callable[[dict[str, Any]], Any], what: str, quick: bool = False) -> Change:
        return change(f"a version {description}", lambda f: f.version(edit), what, quick)

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
    yield version(
        "has CPU credits", lambda d: d.update(CreditSpecification={"CpuCredits": "standard"}), "CreditSpecification"
    )
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
    yield version("has a metadata hop limit of 1", metadata(HttpPutResponseHopLimit=1), "metadata_options")
    yield version("has IMDSv1", metadata(HttpTokens="optional"), "metadata_options", quick=True)
    yield version("has no metadata", metadata(HttpEndpoint="disabled"), "metadata_options")
    yield version("has tags in the metadata", metadata(InstanceMetadataTags="enabled"), "metadata_options")
    yield version("has no metadata options", lambda d: d.pop("MetadataOptions"), "metadata_options")
    other_data = base64.b64encode(b"#!/bin/sh\n").decode()
    yield version("has other user data", lambda d: d.update(UserData=other_data), "user_data")
    yield version("has no user data", lambda d: d.pop("UserData"), "user_data")
    yield version("is optimized for EBS", lambda d: d.update(EbsOptimized=True), "EbsOptimized", quick=True)
    yield version("has detailed monitoring", lambda d: d.update(Monitoring={"Enabled": True}), "Monitoring")
    yield version(
        "is protected from termination", lambda d: d.update(DisableApiTermination=True), "DisableApiTermination"
    )
    yield version(
        "tags its volumes differently", lambda d: d["TagSpecifications"][1]["Tags"].pop(), "tag_specifications"
    )
    yield version("tags no volumes", lambda d: d["TagSpecifications"].pop(1), "tag_specifications")
    yield version("tags no network interfaces", lambda d: d["TagSpecifications"].pop(), "tag_specifications")
    yield change("a version has another description", lambda f: f.version(lambda d: None, "test"), quick=True)
    yield change(
        "the default version is an older one", lambda f: f.version(lambda d: None, default=False), "default_version"
    )
    yield change(
        "a newer version is not the default",
        lambda f: f.version(lambda d: d.update(InstanceType="t3.large"), default=False),
        "default_version instance_type",
    )
    yield change("the template's tag has another value", lambda f: f.tag(f.template_id(), "Project", "other"), "tags")
    yield change("the template lost its tag", lambda f: f.tag(f.template_id(), "Project", None), "tags")
    yield change(
        "the template was deleted",
        lambda f: f.client("ec2").delete_launch_template(LaunchTemplateName=TEMPLATE),
        MISSING,
    )
    yield change(
        "an older version differs",
        lambda f: (
            f.version(lambda d: d.update(InstanceType="t3.large")),
            f.version(lambda d: d.update(InstanceType="t3.medium")),
        ),
    )
    yield change("the template has a foreign tag", lambda f: f.tag(f.template_id(), "Owner", "x"), quick=True)
    yield Change(
        "a version lists its tags in another order",
        "launch_template",
        lambda f: f.version(lambda d: [t["Tags"].reverse() for t in d["TagSpecifications"]]),
        tolerated={"template": "the module compares tags as lists, and would create an equal version"},
    )
    yield Change(
        "another disk size is desired",
        "launch_template",
        differs={"template": "block_device_mappings"},
        variables={"fleet_volume_size_gib": 50},
    )
    yield Change(
        "a longer drain is desired",
        "launch_template",
        differs={"template": "user_data"},
        variables={"fleet_drain_limit_seconds": 2400},
    )
    yield Change(
        "unlimited CPU credits are desired",
        "launch_template",
        differs={"template": "credit_specification"},
        variables={"fleet_cpu_credits": "unlimited"},
    )
    yield Change(
        "the key pair is no longer desired",
        "launch_template",
        differs={"template": "KeyName"},
        variables={"fleet_key_name": "", "fleet_key_public": ""},
    )


def _group() -> Iterator[Change]:
    def change(
        description: str, apply: Callable[[Fleet], Any], what: str = "", quick: bool = False, **variables: Any
    ) -> Change:
        return Change(description, "autoscaling_group", apply, {"settings": what} if what else {}, variables, quick)

    def group(f: Fleet) -> Any:
        return f.client("autoscaling")

    def drop_tag(f: Fleet) -> None:
        group(f).delete_tags(Tags=[{"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "Project"}])

    def reverse_subnets(f: Fleet) -> None:
        shown = group(f).describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
        f.update(VPCZoneIdentifier=",".join(shown["VPCZoneIdentifier"].split(",")[::-1]))

    processes = {"AutoScalingGroupName": GROUP, "ScalingProcesses": ["AZRebalance"]}
    healthy = {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 150}
    latest = {"LaunchTemplateName": TEMPLATE, "Version": "$Latest"}
    yield change("the minimum size differs", lambda f: f.update(MinSize=0), "min_size")
    yield change("the maximum size differs", lambda f: f.update(MaxSize=20), "max_size")
    yield change("sizes that VALET owns differ", lambda f: f.update(MinSize=0, MaxSize=20), fleet_size_owner="valet")
    yield change("the group uses the latest version", lambda f: f.update(LaunchTemplate=latest), "launch_template")
    yield change(
        "the group is in one zone", lambda f: f.update(VPCZoneIdentifier="subnet-010ca1c10d00000a1"), "subnet_ids"
    )
    yield change("the subnets are in another order", reverse_subnets)
    yield change(
        "the health check is the load balancer's", lambda f: f.update(HealthCheckType="ELB"), "health_check_type"
    )
    yield change(
        "the grace period differs", lambda f: f.update(HealthCheckGracePeriod=10), "health_check_grace_seconds"
    )
    yield change("the cooldown differs", lambda f: f.update(DefaultCooldown=10), "cooldown_seconds")
    yield change("the warmup differs", lambda f: f.update(DefaultInstanceWarmup=10), "warmup_seconds")
    yield change(
        "the termination policies differ",
        lambda f: f.update(TerminationPolicies=["Default"]),
        "termination_policies",
        quick=True,
    )
    yield change(
        "the termination policies are in another order",
        lambda f: f.update(TerminationPolicies=["OldestInstance", "OldestLaunchTemplate"]),
        "termination_policies",
    )
    yield change(
        "new instances are protected",
        lambda f: f.update(NewInstancesProtectedFromScaleIn=True),
        "new_instances_protected",
    )
    yield change(
        "the maintenance policy differs", lambda f: f.update(InstanceMaintenancePolicy=healthy), "maintenance_policy"
    )
    yield change("deletion protection is off", lambda f: f.update(DeletionProtection="none"), "deletion_protection")
    yield change("AZRebalance is resumed", lambda f: group(f).resume_processes(**processes), "suspended_processes")
    yield change(
        "Launch is suspended",
        lambda f: group(f).suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"]),
        "suspended_processes",
    )
    yield change(
        "no metrics are collected", lambda f: group(f).disable_metrics_collection(AutoScalingGroupName=GROUP), "metrics"
    )
    yield change(
        "one metric is not collected",
        lambda f: group(f).disable_metrics_collection(AutoScalingGroupName=GROUP, Metrics=["GroupMinSize"]),
        "metrics",
    )
    yield change("the group's tag has another value", lambda f: f.tag_group("Project", "other"), "tags")
    yield change(
        "the group's tag is not propagated", lambda f: f.tag_group("Project", "wekruit", propagate=False), "tags"
    )
    yield change("the group lost its tag", drop_tag, "tags")
    yield Change("the group was deleted", "autoscaling_group", Fleet.drop_group, {"settings": MISSING})
    yield change("an outside scaler raised desired capacity", lambda f: f.update(DesiredCapacity=4), quick=True)
    yield change("the group has a foreign tag", lambda f: f.tag_group("Owner", "x"))
    yield change(
        "instances are replaced after a week", lambda f: f.update(MaxInstanceLifetime=604800), "max_lifetime_seconds"
    )
    yield change("another warmup is desired", lambda f: None, "warmup_seconds", fleet_warmup_seconds=60)


def _lifecycle_hook() -> Iterator[Change]:
    terminating, launching = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"

    def recreate(f: Fleet, name: str, **settings: Any) -> None:
        f.drop_hook(name)
        f.hook(name, DefaultResult="ABANDON", **settings)

    def hook(key: str, name: str, timeout: int, wrong_transition: str) -> Iterator[Change]:
        def change(description: str, apply: Callable[[Fleet], Any], what: str, quick: bool = False) -> Change:
            return Change(f"the {key}'s {description}", "lifecycle_hook", apply, {key: what}, quick=quick)

        def change_transition(f: Fleet) -> None:
            recreate(f, name, LifecycleTransition=wrong_transition, HeartbeatTimeout=timeout)

        yield change("result is CONTINUE", lambda f: f.hook(name, DefaultResult="CONTINUE"), "default_result", True)
        yield change("timeout differs", lambda f: f.hook(name, HeartbeatTimeout=60), "heartbeat_timeout")
        yield change("transition is wrong", change_transition, "transition")
        yield Change(f"the {key} was deleted", "lifecycle_hook", lambda f: f.drop_hook(name), {key: MISSING})

    yield from hook("termination_hook", TERMINATION, 300, launching)
    yield from hook("launch_hook", LAUNCH, 1200, terminating)
    yield Change(
        "the launch hook is no longer desired",
        "lifecycle_hook",
        differs={"launch_hook": ALL_OF_A_HOOK},
        variables={"fleet_launch_hook": False, "fleet_new_version": "adopt"},
    )
    yield Change(
        "an abandoned instance is terminated",
        "lifecycle_hook",
        lambda f: f.update(InstanceLifecyclePolicy=TERMINATE),
        {"retention": "on_hook_abandon"},
        quick=True,
    )
    yield Change(
        "there is a foreign hook",
        "lifecycle_hook",
        lambda f: f.hook("theirs", LifecycleTransition=terminating),
        quick=True,
    )


def _valet() -> Iterator[Change]:
    def change(description: str, apply: Callable[[Fleet], Any], quick: bool = False, **differs: str) -> Change:
        return Change(description, "valet", apply, differs, quick=quick)

    def iam(f: Fleet) -> Any:
        return f.client("iam")

    def older_default(f: Fleet) -> None:
        f.change_valet_policy(lambda s: s.pop(), default=False)
        iam(f).set_default_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId="v2")

    yield change("VALET's policy has another default version", older_default, quick=True, valet_policy="policy")
    yield change(
        "VALET may do everything",
        lambda f: f.change_valet_policy(lambda s: s[1].update(Action="autoscaling:*")),
        valet_policy="policy",
    )
    yield change(
        "VALET's policy has a version that is not the default",
        lambda f: f.change_valet_policy(lambda s: s.pop(), default=False),
    )

    def only_reordered(f: Fleet) -> None:
        f.change_valet_policy(list.reverse)
        iam(f).delete_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId="v1")

    yield change("VALET's policy is written in another order", only_reordered)
    yield Change(
        "VALET's policy has an equal older version",
        "valet",
        lambda f: f.change_valet_policy(list.reverse),
        tolerated={"valet_policy": "the module makes the first equal version the default"},
    )
    yield change(
        "VALET's policy has another tag",
        lambda f: iam(f).tag_policy(PolicyArn=VALET_POLICY_ARN, Tags=[{"Key": "Project", "Value": "other"}]),
        valet_policy="tags",
    )
    yield change(
        "VALET's policy has a foreign tag",
        lambda f: iam(f).tag_policy(PolicyArn=VALET_POLICY_ARN, Tags=[FOREIGN_TAG]),
    )
    yield change(
        "VALET's policy was deleted", Fleet.drop_valet_policy, valet_policy=MISSING, user="unknown until applied"
    )

    yield change(
        "VALET's user lost its policy",
        lambda f: iam(f).detach_user_policy(UserName=USER, PolicyArn=VALET_POLICY_ARN),
        quick=True,
        user="managed_policies",
    )
    yield change(
        "VALET's user has another policy too",
        lambda f: iam(f).attach_user_policy(UserName=USER, PolicyArn=BOUNDARY.replace("boundary", "other")),
    )
    yield change(
        "VALET's user has another boundary",
        lambda f: iam(f).put_user_permissions_boundary(
            UserName=USER, PermissionsBoundary=BOUNDARY.replace("boundary", "other")
        ),
        user="boundary",
    )
    yield change(
        "VALET's user lost its boundary",
        lambda f: iam(f).delete_user_permissions_boundary(UserName=USER),
        user="boundary",
    )
    yield change(
        "VALET's user has another tag",
        lambda f: iam(f).tag_user(UserName=USER, Tags=[{"Key": "Project", "Value": "other"}]),
        user="tags",
    )
    yield change(
        "VALET's user has a foreign tag", lambda f: iam(f).tag_user(UserName=USER, Tags=[FOREIGN_TAG]), quick=True
    )
    yield change(
        "VALET's user was deleted", Fleet.drop_user, user=MISSING, access_key=MISSING, key_file="unknown until applied"
    )
    yield change(
        "VALET's access key was deleted", Fleet.drop_access_key, access_key=MISSING, key_file="unknown until applied"
    )

    def another_key(f: Fleet) -> None:
        f.drop_access_key()
        iam(f).create_access_key(UserName=USER)

    yield change(
        "VALET's user has another access key than the one that was written",
        another_key,
        access_key="access_key",
        key_file="unknown until applied",
    )
    yield change("the folder may be read by all", lambda f: f.valet.chmod(0o755), folder="mode")
    yield change("the folder is gone", lambda f: shutil.rmtree(f.valet), folder=MISSING, env=MISSING, script=MISSING)
    yield change(
        "VALET's settings file differs",
        lambda f: (f.valet / "valet.env").write_text("A=b\n"),
        quick=True,
        env="content",
    )
    yield change("VALET's settings may be read by all", lambda f: (f.valet / "valet.env").chmod(0o644), env="mode")
    yield change("VALET's settings file is gone", lambda f: (f.valet / "valet.env").unlink(), env=MISSING)
    yield change(
        "the script differs", lambda f: (f.valet / "set-on-fly.sh").write_text("#!/bin/sh\n"), script="content"
    )
    yield change("the script is not executable", lambda f: (f.valet / "set-on-fly.sh").chmod(0o600), script="mode")
    yield change("there is another file", lambda f: (f.valet / "notes").write_text("x"), quick=True)
    yield Change(
        "fleet_max_size was raised",
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
