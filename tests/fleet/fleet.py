"""A fleet on a localcloud, and the calls by which somebody changes it without the playbooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE

from tests.fleet.cloud import PlaybookCloud

NAME = "gh-worker-local"  # inventories/local
GROUP, TEMPLATE, SECURITY_GROUP = f"{NAME}-asg", f"{NAME}-lt", f"{NAME}-sg"
ROLE, POLICY, PROFILE = f"{NAME}-role", f"{NAME}-permissions", f"{NAME}-instance-profile"
TERMINATION, LAUNCH = f"{NAME}-termination", f"{NAME}-launch"
VALET_POLICY, USER = f"{NAME}-valet-autoscale", "valet"
REPOSITORY, SECRET, LOGS, KEY_PAIR = "ghosthands", "ghosthands/worker/env", "/wekruit/gh-worker", "drift"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
VALET_POLICY_ARN = f"arn:aws:iam::123456789012:policy/{VALET_POLICY}"
OTHERS = "sg-010ca1c10d0000001"  # the seed's default group stands for somebody else's
MARK = {"Key": KEY, "Value": VALUE}
FOREIGN_TAG = {"Key": "Owner", "Value": "somebody else"}
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f operator"
TERMINATE = {"RetentionTriggers": {"TerminateHookAbandon": "terminate"}}
# What a launch does with a volume's key (EBS User Guide, "Requirements for Amazon EBS encryption").
LAUNCH_OPERATIONS = "CreateGrant Decrypt DescribeKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo".split()
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Fleet(PlaybookCloud):
    """The fleet of inventories/local, and the calls by which somebody changes it without the playbooks."""

    # --- reads -----------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """The group's settings, without its instances and its desired capacity, which is VALET's."""
        found = {k: v for k, v in self.group().items() if k not in ("Instances", "DesiredCapacity")}
        suspended = sorted(process["ProcessName"] for process in found["SuspendedProcesses"])  # without the time
        return found | {"SuspendedProcesses": suspended}

    def security_group(self) -> dict[str, Any]:
        """The workers' security group."""
        filters = [{"Name": "group-name", "Values": [SECURITY_GROUP]}]
        return dict(self.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0])

    # --- changes ---------------------------------------------------------------------------------------------

    def update(self, **settings: Any) -> None:
        """UpdateAutoScalingGroup."""
        self.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=GROUP, **settings)

    def tag_group(self, key: str, value: str, propagate: bool = True) -> None:
        """CreateOrUpdateTags."""
        tag = {
            "ResourceId": GROUP,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": value,
            "PropagateAtLaunch": propagate,
        }
        self.client("autoscaling").create_or_update_tags(Tags=[tag])

    def hook(self, name: str, **settings: Any) -> None:
        """PutLifecycleHook."""
        self.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=name, **settings)

    def drop_hook(self, name: str) -> None:
        """DeleteLifecycleHook."""
        self.client("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=name)

    def change_role_policy(self, change: Callable[[list[dict[str, Any]]], Any]) -> None:
        """Change the statements of the worker role's policy."""
        iam = self.client("iam")
        document = iam.get_role_policy(RoleName=ROLE, PolicyName=POLICY)["PolicyDocument"]
        change(document["Statement"])
        iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(document))

    def change_trust_policy(self, *statements: Mapping[str, Any]) -> None:
        """UpdateAssumeRolePolicy."""
        document = {"Version": "2012-10-17", "Statement": statements}
        self.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(document))

    def change_valet_policy(self, change: Callable[[list[dict[str, Any]]], Any], default: bool = True) -> None:
        """Create another version of VALET's policy."""
        iam = self.client("iam")
        version = iam.get_policy(PolicyArn=VALET_POLICY_ARN)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId=version)["PolicyVersion"]["Document"]
        change(document["Statement"])
        iam.create_policy_version(PolicyArn=VALET_POLICY_ARN, PolicyDocument=json.dumps(document), SetAsDefault=default)

    def open(self, **rule: Any) -> Any:
        """AuthorizeSecurityGroupIngress or Egress, with one target such as IpRanges=[...]."""
        return self._change_rule("authorize", **rule)

    def close(self, **rule: Any) -> Any:
        """RevokeSecurityGroupIngress or Egress, like `open`."""
        return self._change_rule("revoke", **rule)

    def _change_rule(
        self,
        verb: str,
        *,
        outbound: bool = False,
        protocol: str = "tcp",
        ports: tuple[int, int] | None = (3100, 3100),
        **target: Any,
    ) -> Any:
        call = getattr(self.client("ec2"), f"{verb}_security_group_{'egress' if outbound else 'ingress'}")
        limits = {"FromPort": ports[0], "ToPort": ports[1]} if ports else {}
        return call(
            GroupId=self.security_group()["GroupId"], IpPermissions=[{"IpProtocol": protocol, **limits, **target}]
        )

    def template_data(self) -> dict[str, Any]:
        """The data of the template's latest version."""
        found = self.client("ec2").describe_launch_template_versions(LaunchTemplateName=TEMPLATE, Versions=["$Latest"])
        return dict(found["LaunchTemplateVersions"][0]["LaunchTemplateData"])

    def version(
        self, change: Callable[[dict[str, Any]], Any], description: str = "GhostHands worker", default: bool = True
    ) -> Any:
        """Create another version of the launch template."""
        data = self.template_data()
        change(data)
        ec2 = self.client("ec2")
        made = ec2.create_launch_template_version(
            LaunchTemplateName=TEMPLATE, LaunchTemplateData=data, VersionDescription=description
        )
        number = str(made["LaunchTemplateVersion"]["VersionNumber"])
        return ec2.modify_launch_template(LaunchTemplateName=TEMPLATE, DefaultVersion=number) if default else made

    def recreate_template(self) -> str:
        """Delete the launch template and create an equal one under its name; the new id."""
        ec2, data = self.client("ec2"), self.template_data()
        ec2.delete_launch_template(LaunchTemplateName=TEMPLATE)
        made = ec2.create_launch_template(
            LaunchTemplateName=TEMPLATE,
            LaunchTemplateData=data,
            VersionDescription="GhostHands worker",
            TagSpecifications=[
                {"ResourceType": "launch-template", "Tags": [{"Key": "Project", "Value": "wekruit"}, MARK]}
            ],
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def tag(self, resource: str, key: str, value: str | None) -> None:
        """CreateTags, or DeleteTags where `value` is None."""
        if value is None:
            self.client("ec2").delete_tags(Resources=[resource], Tags=[{"Key": key}])
        else:
            self.client("ec2").create_tags(Resources=[resource], Tags=[{"Key": key, "Value": value}])

    def template_id(self) -> str:
        """The launch template's id."""
        return str(
            self.client("ec2").describe_launch_templates(LaunchTemplateNames=[TEMPLATE])["LaunchTemplates"][0][
                "LaunchTemplateId"
            ]
        )

    def log_group_arn(self) -> str:
        """The log group's ARN as the tagging calls need it."""
        return f"arn:aws:logs:us-east-1:123456789012:log-group:{LOGS}"

    def set_profile_roles(self, *roles: str) -> None:
        """Let the instance profile contain `roles`, which are created, and no others."""
        iam = self.client("iam")
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.remove_role_from_instance_profile(InstanceProfileName=PROFILE, RoleName=ROLE)
        for role in roles:
            trust = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}],
            }
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
            iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=role)

    def drop_role(self) -> None:
        """Delete the role with its policy, and remove it from the profile."""
        iam = self.client("iam")
        self.set_profile_roles()
        iam.delete_role_policy(RoleName=ROLE, PolicyName=POLICY)
        iam.delete_role(RoleName=ROLE)

    def drop_profile(self) -> None:
        """Delete the instance profile."""
        self.set_profile_roles()
        self.client("iam").delete_instance_profile(InstanceProfileName=PROFILE)

    def drop_access_key(self) -> None:
        """Delete VALET's access key."""
        iam = self.client("iam")
        for key in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])

    def drop_user(self) -> None:
        """Delete VALET's user with its key."""
        iam = self.client("iam")
        self.drop_access_key()
        iam.detach_user_policy(UserName=USER, PolicyArn=VALET_POLICY_ARN)
        iam.delete_user(UserName=USER)

    def drop_valet_policy(self) -> None:
        """Detach and delete VALET's policy."""
        iam = self.client("iam")
        iam.detach_user_policy(UserName=USER, PolicyArn=VALET_POLICY_ARN)
        iam.delete_policy(PolicyArn=VALET_POLICY_ARN)

    def drop_group(self) -> None:
        """Delete the group with its instances."""
        self.update(DeletionProtection="none", InstanceLifecyclePolicy=TERMINATE)
        self.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)

    def drop_security_group(self) -> None:
        """Delete the security group, after the group with its instances."""
        self.drop_group()
        self.client("ec2").delete_security_group(GroupId=self.security_group()["GroupId"])

    def create_namesake(self) -> None:
        """Create a security group of the same name in another VPC."""
        self.client("ec2").create_security_group(
            GroupName=SECURITY_GROUP, Description="another", VpcId="vpc-010ca1c10d0000002"
        )

    def prefix_list(self, *cidrs: str, family: str = "IPv4") -> str:
        """Create a managed prefix list and return its id."""
        made = self.client("ec2").create_managed_prefix_list(
            PrefixListName="office",
            MaxEntries=max(1, len(cidrs)),
            AddressFamily=family,
            Entries=[{"Cidr": cidr} for cidr in cidrs],
        )
        return str(made["PrefixList"]["PrefixListId"])


class FullFleet(Fleet):
    """The same fleet with every optional part."""

    options: dict[str, Any] = {}

    def build(self) -> None:
        """Build the fleet on an empty account and make a snapshot. Raises AssertionError with the run's output."""
        self.prepare()
        iam, kms = self.client("iam"), self.client("kms")
        for name in ("boundary", "other"):
            iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(ANYTHING))
        volume_key = kms.create_key()["KeyMetadata"]["Arn"]
        launcher = (
            "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        )
        kms.create_grant(KeyId=volume_key, GranteePrincipal=launcher, Operations=LAUNCH_OPERATIONS)
        self.options = {
            "fleet_key_name": KEY_PAIR,
            "fleet_key_public": PUBLIC_KEY,
            "fleet_ssh_cidrs": ["198.51.100.0/24"],
            "fleet_api_cidrs": ["203.0.113.7/32", "2001:db8::/32"],
            "fleet_status_security_group_ids": [OTHERS],
            "fleet_volume_kms_key_id": volume_key,
            "fleet_permissions_boundary_arn": BOUNDARY,
            "fleet_launch_hook": True,
            "fleet_size_owner": "playbook",
            "fleet_termination_policies": ["OldestLaunchTemplate", "OldestInstance"],
            "fleet_valet_user_name": USER,
            "fleet_valet_access_key": True,
        }
        built = self.play("site.yml", **self.options)
        assert built.returncode == 0, built
        self.snapshot()

    def playbook_environment(self) -> dict[str, str]:
        """With a callback plugin that records each task's result and calls."""
        plugins = str(Path(__file__).with_name("callback_plugins"))
        record = {"RECORD": str(self.record), "RECORD_TRACE": str(self.trace_file)}
        return {
            **super().playbook_environment(),
            **record,
            "ANSIBLE_CALLBACK_PLUGINS": plugins,
            "ANSIBLE_CALLBACKS_ENABLED": "record",
        }

    @property
    def record(self) -> Path:
        """The file of the last run's records (callback_plugins/record.py)."""
        return self.trace_file.with_name("record.jsonl")
