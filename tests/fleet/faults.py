"""What may be wrong with a fleet, one thing at a time, and the one check that has to say so. `python -m tests.fleet` prints it as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, Host
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow

from tests.fleet.cloud import ROOT
from tests.fleet.mutations import (
    ANYTHING,
    GROUP,
    LAUNCH,
    LOGS,
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
)
from tests.fleet.right import AS_IT_IS, IMAGE, VPC, Right, Sight, said, worker

PAGE = ROOT / "docs/checks.md"
BEGIN, END = "<!-- planted faults: made by python -m tests.fleet --write -->\n", "<!-- end of planted faults -->\n"
SEVERITIES = {check.id: check.severity for check in CHECKS} | {"readable": "error", "host-asked": "warning"}

# Why a remedy is not run.
ON_A_HOST = "somebody has to look at a host"
A_CHOICE = "an operator's own variable or credentials"
THE_WORKERS = "a worker's own business, or VALET's"
THE_DATABASE = "the database's owner"

# What is rightly wrong once a remedy was run.
REPLACE = ("instances-current",)  # a version that is put right leaves instances of the wrong one
READ_AGAIN = ("secret-rotated",)  # a new secret is not what running workers have read

JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a right fleet."""

    says: str
    check: str
    """the one id that is to name it"""
    do: Callable[[Right], Any] = lambda fleet: None
    sight: Sight = AS_IT_IS
    human: str = ""
    """why no command of the remedy is run; empty: they are"""
    first: Callable[[Right], Any] = lambda fleet: None
    """the part of the remedy that is no command here"""
    wish: Mapping[str, Any] | None = None
    """the variables that the remedy has the operator write"""
    after: Callable[[Right], Any] = lambda fleet: None
    """what the remedy sets going, to its end"""
    leaves: tuple[str, ...] = ()
    """the ids that are rightly wrong after the remedy, until instances are replaced"""
    severity: str = ""
    """where it is not the check's own"""
    slow: bool = False
    """left to `make fleet`: the same playbook is run for another fault"""
    play: bool = False
    """also seen by verify.yml itself"""

    @property
    def bad(self) -> str:
        """The finding's severity."""
        return self.severity or SEVERITIES[self.check]


def seen(**variables: Any) -> Sight:
    """With an operator's own variables."""
    return Sight(variables)


def later(seconds: float, **variables: Any) -> Sight:
    """So much later."""
    return Sight(variables, later=seconds)


def rows(change: Callable[[tuple[WorkerRow, ...]], tuple[WorkerRow, ...]]) -> Sight:
    """With other rows in the registry."""
    return Sight({}, registry=lambda r: replace(r, rows=change(r.rows)))


def first_row(**values: Any) -> Sight:
    """With other values in the first row."""
    return rows(lambda there: (replace(there[0], **values), *there[1:]))


def registry(change: Callable[[Registry], Registry]) -> Sight:
    """With another registry."""
    return Sight({}, registry=change)


def hosts(change: Callable[[tuple[Host, ...]], tuple[Host, ...]]) -> Sight:
    """With other answers of the doctor."""
    return Sight({}, hosts=change)


def first_host(*findings: Any, problem: str = "") -> Sight:
    """With another answer of the first host's doctor."""
    return hosts(lambda there: (Host(there[0].instance, problem, findings), *there[1:]))


def link_profile(fleet: Right) -> None:
    """The instance profile, with its role."""
    fleet.aws("iam").create_instance_profile(InstanceProfileName=PROFILE)
    fleet.aws("iam").add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=ROLE)


def gone_launches(fleet: Right) -> None:
    """A launch that failed for the want of an instance profile, which is there again."""
    fleet.drop_profile()
    fleet.update(DesiredCapacity=3)
    link_profile(fleet)


def nobody_comes(fleet: Right) -> None:
    """No instance, and a launch that failed for a want that has been met."""
    fleet.drop_profile()
    fleet.roll()
    link_profile(fleet)


def retained(fleet: Right) -> None:
    """An instance whose drain failed."""
    fleet.end(fleet.serving()[0], "ABANDON")


def stuck_at_the_end(fleet: Right) -> None:
    """An instance whose drain does not end."""
    fleet.aws("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=fleet.serving()[0], ShouldDecrementDesiredCapacity=False
    )


def stuck_at_the_start(fleet: Right) -> None:
    """An instance whose worker does not come up."""
    put_launch_hook(fleet)
    fleet.update(DesiredCapacity=3)


def put_launch_hook(fleet: Right, **other: Any) -> None:
    """The launch hook, as it is to be but for `other`."""
    settings = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "HeartbeatTimeout": 900,
        "DefaultResult": "ABANDON",
    }
    fleet.hook(LAUNCH, **{**settings, **other})


HASTY = {"fleet_warmup_seconds": 10}  # a refresh waits that long for each instance


def hasten(fleet: Right) -> None:
    """New instances are soon warm, as an operator's own variable has it."""
    fleet.update(DefaultInstanceWarmup=HASTY["fleet_warmup_seconds"])


def refresh_fails(fleet: Right) -> None:
    """A refresh whose protected instances nobody lets go for an hour."""
    hasten(fleet)
    aws = fleet.aws("autoscaling")
    aws.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=fleet.serving(), ProtectedFromScaleIn=True)
    aws.start_instance_refresh(AutoScalingGroupName=GROUP)
    fleet.control("speed", speed=4000)
    fleet.until(
        lambda: (
            aws.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]["Status"] == "Failed"
        )
    )
    fleet.control("speed", speed=1)
    aws.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=fleet.serving(), ProtectedFromScaleIn=False)


def detach_profile(fleet: Right) -> None:
    """An instance without its profile."""
    ec2 = fleet.aws("ec2")
    filters = [{"Name": "instance-id", "Values": fleet.serving()[:1]}]
    found = ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"][0]
    ec2.disassociate_iam_instance_profile(AssociationId=found["AssociationId"])


def another_template(fleet: Right) -> None:
    """The group on a template of somebody else's, which says the same."""
    made = fleet.aws("ec2").create_launch_template(
        LaunchTemplateName="somebody-else", LaunchTemplateData=fleet.template_data()
    )
    fleet.update(LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"})


def version_gone(fleet: Right) -> None:
    """The version that the group pins, deleted under it."""
    fleet.version(lambda data: None)
    fleet.aws("ec2").delete_launch_template_versions(LaunchTemplateName=TEMPLATE, Versions=["1"])


def subnet_elsewhere(fleet: Right) -> str:
    """Another subnet of the fleet's network, in its first zone."""
    made = fleet.aws("ec2").create_subnet(VpcId=VPC, CidrBlock="172.28.77.0/24", AvailabilityZone="us-east-1a")
    return str(made["Subnet"]["SubnetId"])


def subnet_gone(fleet: Right) -> None:
    """One of the group's subnets, deleted."""
    extra = subnet_elsewhere(fleet)
    fleet.update(VPCZoneIdentifier=f"{fleet.group()['VPCZoneIdentifier']},{extra}")
    fleet.aws("ec2").delete_subnet(SubnetId=extra)


def open_to(source: dict[str, Any], **how: Any) -> Callable[[Right], Any]:
    """A door for somebody."""
    return lambda fleet: fleet.open(**source, **how)


def telling(key: str, value: str) -> Callable[[Right], Any]:
    """Agents that are told something else; nothing where the value is empty."""

    def change(text: str) -> str:
        lines = [line for line in text.splitlines() if not line.startswith(f"{key}=")]
        return "\n".join([*lines, *([f"{key}={value}"] if value else [])])

    return lambda fleet: fleet.agents_told(change)


def _account() -> Iterator[Fault]:
    yield Fault(
        "credentials of another account", "account", sight=seen(fleet_account_id="210987654321"), human=A_CHOICE
    )


def _images() -> Iterator[Fault]:
    def deregistered(fleet: Right) -> None:
        fleet.bake()
        fleet.aws("ec2").deregister_image(ImageId=IMAGE)

    def deregistered_and_growing(fleet: Right) -> None:
        deregistered(fleet)
        fleet.update(DesiredCapacity=3)

    def deregistered_and_emptied(fleet: Right) -> None:
        deregistered(fleet)
        fleet.roll()

    yield Fault("the image was deregistered, and nobody is left", "image-exists", deregistered_and_emptied, slow=True)
    yield Fault("the image was deregistered under the group", "image-exists", deregistered, leaves=REPLACE, play=True)
    yield Fault(
        "the image was deregistered, and launches fail",
        "image-exists",
        deregistered_and_growing,
        leaves=REPLACE,
        slow=True,
    )
    yield Fault(
        "the image was not baked by this kit",
        "image-origin",
        lambda f: f.tag(IMAGE, "ghosthands:agent-schema", None),
        first=lambda f: f.bake(),
        leaves=REPLACE,
        slow=True,
    )
    yield Fault(
        "the image's agent reads another schema",
        "image-schema",
        lambda f: f.tag(IMAGE, "ghosthands:agent-schema", "2"),
        first=lambda f: f.bake(),
        leaves=REPLACE,
        slow=True,
    )
    yield Fault(
        "the image is too old",
        "image-age",
        sight=seen(fleet_image_max_age_days=30),
        first=lambda f: f.bake(),
        leaves=REPLACE,
        slow=True,
    )

    def deprecate(fleet: Right) -> None:
        fleet.aws("ec2").enable_image_deprecation(ImageId=IMAGE, DeprecateAt=datetime.now(UTC) + timedelta(minutes=2))

    yield Fault(
        "the image is deprecated",
        "image-deprecated",
        deprecate,
        later(600),
        first=lambda f: f.bake(),
        leaves=REPLACE,
        slow=True,
    )


def _templates() -> Iterator[Fault]:
    def template(says: str, check: str, change: Callable[[dict[str, Any]], Any], **more: Any) -> Fault:
        return Fault(says, check, lambda f: f.instances_of(change), leaves=REPLACE, **more)

    def other_group(fleet: Right) -> None:
        fleet.instances_of(lambda data: data["NetworkInterfaces"][0].update(Groups=[OTHERS]))

    yield Fault("the pinned template version was deleted", "template-exists", version_gone, leaves=REPLACE, slow=True)
    yield template(
        "instances answer IMDSv1",
        "template-metadata",
        lambda d: d["MetadataOptions"].update(HttpTokens="optional"),
        play=True,
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
        lambda f: f.instances_of(lambda data: data.pop("IamInstanceProfile")),
        leaves=(*REPLACE, "instances-profile"),
        slow=True,
    )
    yield Fault(
        "the key pair was deleted",
        "template-key",
        lambda f: f.aws("ec2").delete_key_pair(KeyName="valet-worker"),
        wish={"fleet_key_public": PUBLIC_KEY},
        slow=True,
    )
    yield Fault("instances are in another security group", "security-group", other_group, leaves=REPLACE, slow=True)


def _group() -> Iterator[Fault]:
    def group(
        says: str, check: str, slow: bool = True, sight: Sight = AS_IT_IS, play: bool = False, **settings: Any
    ) -> Fault:
        return Fault(says, check, lambda f: f.update(**settings), sight, slow=slow, play=play)

    aws: Callable[[Right], Any] = lambda f: f.aws("autoscaling")  # noqa: E731
    yield Fault("the group was deleted", "group-exists", lambda f: f.drop_group(), slow=True)
    yield group("the sizes are not the operator's", "group-sizes", MaxSize=7, sight=seen(fleet_size_owner="playbook"))
    yield group("the max size is 0", "group-sizes", MinSize=0, MaxSize=0, DesiredCapacity=0)
    yield Fault("the group uses a subnet that is gone", "group-subnets", subnet_gone, slow=True)
    yield group("all subnets lie in one zone", "group-subnets", VPCZoneIdentifier="subnet-010ca1c10d00000a1")
    yield Fault("the group launches from another template", "group-template", another_template, slow=True)
    yield Fault("the group's version is $Latest", "group-version", lambda f: f.use("$Latest"), play=True)
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
    yield group("the newest instances go first", "group-termination-policies", TerminationPolicies=["NewestInstance"])
    yield group("the health check is the load balancer's", "group-health-check", HealthCheckType="ELB")
    yield group("the grace period is shorter", "group-health-check", HealthCheckGracePeriod=10)
    yield group("the cooldown is another", "group-cooldown", DefaultCooldown=60)
    yield group("new instances are warm at once", "group-warmup", DefaultInstanceWarmup=0)
    yield group(
        "maintenance may end workers first",
        "group-maintenance",
        InstanceMaintenancePolicy={"MinHealthyPercentage": 50, "MaxHealthyPercentage": 100},
    )
    yield group("new instances are protected", "group-new-instances", NewInstancesProtectedFromScaleIn=True)
    yield group("the group may be deleted with its instances", "group-deletion-protection", DeletionProtection="none")
    yield Fault(
        "a launch failed; why is mended, and none has followed",
        "activities",
        gone_launches,
        human="the group tries again by itself",
    )
    yield Fault(
        "a refresh failed",
        "refresh",
        refresh_fails,
        Sight(HASTY),
        after=lambda f: f.refreshed(),
        slow=True,
    )


def _hooks() -> Iterator[Fault]:
    def hook(says: str, check: str, **settings: Any) -> Fault:
        return Fault(says, check, lambda f: f.hook(TERMINATION, **settings), slow=True)

    def renamed(fleet: Right) -> None:
        fleet.drop_hook(TERMINATION)
        fleet.hook(
            "gh-worker-drain",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=300,
            DefaultResult="ABANDON",
        )

    def at_launch(fleet: Right) -> None:
        fleet.drop_hook(TERMINATION)
        fleet.hook(
            TERMINATION,
            LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
            HeartbeatTimeout=300,
            DefaultResult="ABANDON",
        )

    wanted = {"fleet_launch_hook": True}
    yield Fault("there is no termination hook", "hook-exists", lambda f: f.drop_hook(TERMINATION), slow=True)
    yield Fault("the hook has another name", "hook-exists", renamed, leaves=("hook-strangers",), slow=True)
    yield Fault("the hook fires at launch", "hook-transition", at_launch, slow=True)
    yield hook("the hook runs out between two heartbeats", "hook-timeout", HeartbeatTimeout=60)
    yield hook("an abandoned drain lets the instance go", "hook-result", DefaultResult="CONTINUE")
    yield Fault(
        "ABANDON keeps no instance", "hook-retention", lambda f: f.update(InstanceLifecyclePolicy=TERMINATE), play=True
    )
    yield Fault(
        "agents may drain longer than the hook can hold",
        "hook-budget",
        telling("DRAIN_LIMIT_SECONDS", "40000"),
        leaves=REPLACE,
        slow=True,
    )
    yield Fault("a launch hook that nobody completes", "hook-launch", put_launch_hook, slow=True)
    yield Fault(
        "the wanted launch hook is missing", "hook-launch", telling("LAUNCH_HOOK", LAUNCH), Sight(wanted), slow=True
    )

    def other_launch_hook(fleet: Right) -> None:
        telling("LAUNCH_HOOK", LAUNCH)(fleet)
        put_launch_hook(fleet, DefaultResult="CONTINUE")

    yield Fault("the launch hook lets every instance serve", "hook-launch", other_launch_hook, Sight(wanted), slow=True)
    yield Fault(
        "somebody else's hook",
        "hook-strangers",
        lambda f: f.hook("backup", LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING"),
    )


def _identity() -> Iterator[Fault]:
    def unlinked(fleet: Right) -> None:
        fleet.profile_carries()

    def another_role(fleet: Right) -> None:
        fleet.profile_carries("somebody")
        iam = fleet.aws("iam")
        iam.put_role_policy(RoleName="somebody", PolicyName="all", PolicyDocument=json.dumps(ANYTHING))
        trust = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
        iam.update_assume_role_policy(RoleName="somebody", PolicyDocument=json.dumps(trust))

    def trusting(service: str) -> Callable[[Right], Any]:
        return lambda f: f.trust({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})

    def forbid(fleet: Right) -> None:
        fleet.permit(lambda s: s.append({"Effect": "Deny", "Action": "autoscaling:Complete*", "Resource": "*"}))

    yield Fault("the instance profile was deleted", "profile-exists", lambda f: f.drop_profile(), slow=True)
    yield Fault("the instance profile carries no role", "profile-role", unlinked, slow=True)
    yield Fault("the instance profile carries another role", "profile-role", another_role, slow=True)
    yield Fault("EC2 may not take the role", "role-trust", trusting("lambda.amazonaws.com"), slow=True)
    yield Fault("the role lacks an action", "role-actions", lambda f: f.permit(lambda s: s.pop(0)), play=True)
    yield Fault("the role is denied an action", "role-actions", forbid, slow=True)
    yield Fault(
        "the role's policy was deleted",
        "role-actions",
        lambda f: f.aws("iam").delete_role_policy(RoleName=ROLE, PolicyName=POLICY),
        slow=True,
    )
    yield Fault("an instance has lost its profile", "instances-profile", detach_profile)


def _doors() -> Iterator[Fault]:
    everyone, everyone6 = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    yield Fault("a port is open to the world", "security-group-open", open_to(everyone), play=True)
    yield Fault("a port is open to the world by IPv6", "security-group-open", open_to(everyone6), slow=True)
    yield Fault(
        "everything is open to the world",
        "security-group-open",
        open_to(everyone, protocol="-1", ports=None),
        slow=True,
    )


def _agents() -> Iterator[Fault]:
    def told(says: str, check: str, key: str, value: str, **more: Any) -> Fault:
        return Fault(says, check, telling(key, value), leaves=REPLACE, slow=True, **more)

    def silent(fleet: Right) -> None:
        fleet.instances_of(lambda data: data.pop("UserData"))

    yield Fault("there is no user data", "agent-conf", silent, leaves=REPLACE, play=True)
    yield told("agent.conf has another schema", "agent-conf", "SCHEMA", "2")
    yield told("agent.conf lacks a key", "agent-conf", "SECRET_ID", "")
    yield told("agents complete a hook of another name", "agent-hook", "TERMINATION_HOOK", "gh-worker-termination")
    yield told("agents ask for another group", "agent-group", "GROUP", "gh-worker-asg")
    yield told(
        "agents beat for a longer timeout than the hook's", "agent-heartbeat", "HEARTBEAT_TIMEOUT_SECONDS", "3600"
    )
    yield Fault(
        "agents beat by their own default, and the hook's timeout is another",
        "agent-heartbeat",
        lambda f: f.hook(TERMINATION, HeartbeatTimeout=60),
        seen(fleet_termination_hook_timeout=60),
        leaves=REPLACE,
        slow=True,
    )
    yield told("agents read another secret", "agent-secret", "SECRET_ID", "ghosthands/worker/other")
    yield told("agents look in another region", "agent-region", "REGION", "eu-west-1")
    yield told("agents drain by another policy", "agent-drain-policy", "DRAIN_POLICY", "sigterm")


def _around() -> Iterator[Fault]:
    def secret(call: str, **more: Any) -> Callable[[Right], Any]:
        return lambda f: getattr(f.aws("secretsmanager"), call)(SecretId=SECRET, **more)

    def rotated(fleet: Right) -> None:
        hasten(fleet)
        secret("put_secret_value", SecretString="{}")(fleet)

    def no_image(fleet: Right) -> None:
        fleet.aws("ecr").batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "latest"}])

    def no_repository(fleet: Right) -> None:
        fleet.aws("ecr").delete_repository(repositoryName=REPOSITORY, force=True)

    def never_heard(fleet: Right) -> None:
        fleet.aws("logs").delete_log_stream(logGroupName=LOGS, logStreamName="worker")

    yield Fault(
        "the secret was deleted",
        "secret-exists",
        secret("delete_secret", ForceDeleteWithoutRecovery=True),
        leaves=READ_AGAIN,
        slow=True,
    )
    yield Fault("the secret is being deleted", "secret-exists", secret("delete_secret"), play=True)
    yield Fault(
        "the secret was rotated since instances booted",
        "secret-rotated",
        rotated,
        Sight(HASTY),
        after=lambda f: f.refreshed(),
        slow=True,
    )
    yield Fault(
        "the repository lacks the image", "repository-image", no_image, human="the image's own pipeline pushes it"
    )
    yield Fault("there is no repository", "repository-image", no_repository, human="the image's own pipeline pushes it")
    yield Fault("the log group was deleted", "log-group", lambda f: f.aws("logs").delete_log_group(logGroupName=LOGS))
    yield Fault("the log group has gone silent", "log-group-receiving", sight=later(7200), human=ON_A_HOST)
    yield Fault(
        "the log group has never heard an instance", "log-group-receiving", never_heard, later(7200), human=ON_A_HOST
    )


def _instances() -> Iterator[Fault]:
    patient = {"fleet_suspended_processes": ["AZRebalance", "ReplaceUnhealthy"]}

    def patiently(fleet: Right) -> Any:
        return fleet.aws("autoscaling").suspend_processes(
            AutoScalingGroupName=GROUP, ScalingProcesses=["ReplaceUnhealthy"]
        )

    def ill(fleet: Right) -> None:
        patiently(fleet)
        fleet.aws("autoscaling").set_instance_health(
            InstanceId=fleet.serving()[0], HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
        )

    def stopped(fleet: Right) -> None:
        patiently(fleet)
        fleet.aws("ec2").stop_instances(InstanceIds=fleet.serving()[:1])

    def old_version(fleet: Right) -> None:
        hasten(fleet)
        fleet.version(lambda data: None)
        fleet.use("2")

    def shield(fleet: Right) -> None:
        fleet.aws("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=fleet.serving()[:1], ProtectedFromScaleIn=True
        )

    yield Fault("an instance is unhealthy and not replaced", "instances-healthy", ill, Sight(patient), human=ON_A_HOST)
    yield Fault(
        "an instance in service is stopped",
        "instances-ec2",
        stopped,
        Sight(patient),
        human="the group replaces it, unless told not to",
    )
    yield Fault(
        "nobody serves and nobody comes, for more than a day",
        "instances-serving",
        nobody_comes,
        later(90000),
        human="what it says of the launches decides",
    )
    yield Fault(
        "instances are of an old version",
        "instances-current",
        old_version,
        Sight(HASTY),
        after=lambda f: f.refreshed(),
        play=True,
    )
    yield Fault(
        "an instance does not come up",
        "instances-pending",
        stuck_at_the_start,
        later(1200, fleet_launch_hook=True),
        human=ON_A_HOST,
    )
    yield Fault("a drain does not end", "instances-terminating", stuck_at_the_end, later(3000))
    yield Fault("an instance is kept because its drain failed", "instances-retained", retained, play=True)
    yield Fault("a busy worker is not shielded", "instances-shielded", sight=first_row(job_id=JOB))
    yield Fault("an idle worker is shielded", "instances-idle-shielded", shield)


def _registry() -> Iterator[Fault]:
    def row(says: str, check: str, sight: Sight, human: str = THE_WORKERS) -> Fault:
        return Fault(says, check, sight=sight, human=human)

    def twice(there: tuple[WorkerRow, ...]) -> tuple[WorkerRow, ...]:
        return tuple(replace(r, job_id=JOB) for r in there)

    def shield_all(fleet: Right) -> None:
        fleet.aws("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=fleet.serving(), ProtectedFromScaleIn=True
        )

    down = Registry(False, "Nobody answers at db.example:5432.", (), (), may_write=None)
    yield row("the registry cannot be read", "registry-reachable", registry(lambda r: down), THE_DATABASE)
    yield row(
        "a row breaks the schema",
        "registry-schema",
        registry(lambda r: replace(r, broken=("worker 'x': status is 'busy', none of active, draining, offline",))),
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
        sight=Sight({}, later=900, registry=lambda r: replace(r, rows=r.rows[1:])),
        human=THE_WORKERS,
    )
    yield Fault(
        "an instance's worker says that it is offline",
        "registry-registered",
        sight=Sight(
            {}, later=900, registry=lambda r: replace(r, rows=(replace(r.rows[0], status="offline"), *r.rows[1:]))
        ),
        human=THE_WORKERS,
    )
    yield row("a worker is silent", "registry-beating", first_row(heartbeat_age=301.0))
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
    yield Fault("two workers have one job", "registry-jobs", shield_all, rows(twice), human=THE_WORKERS)
    yield row("a worker has no address", "registry-address", first_row(ip=None))
    yield row("a worker drains and its instance is to stay", "registry-status", first_row(status="draining"))


def _hosts() -> Iterator[Fault]:
    lacks = said("secret", "the secret lacks GH_API_KEY")
    yield Fault("a host cannot be asked", "host-asked", sight=first_host(problem="no route to it"), human=ON_A_HOST)
    yield Fault("a host's answer is no doctor's", "host-asked", sight=first_host({"id": "secret"}), human=ON_A_HOST)
    yield Fault(
        "the secret lacks a key",
        "host-secret",
        sight=first_host(lacks, said("docker")),
        human="the secret's value is the operator's",
        severity="error",
    )
    yield Fault(
        "a host has not pulled the worker's image",
        "host-image",
        sight=first_host(said("secret"), said("docker"), said("image", "it is not there", "warning")),
        human=ON_A_HOST,
        severity="warning",
    )


FAULTS: tuple[Fault, ...] = tuple(
    fault
    for part in (
        _account,
        _images,
        _templates,
        _group,
        _hooks,
        _identity,
        _doors,
        _agents,
        _around,
        _instances,
        _registry,
        _hosts,
    )
    for fault in part()
)


def matrix() -> str:
    """The table of the planted faults, as it stands in docs/checks.md."""
    lines = [f"{len(FAULTS)} faults, {sum(not f.human for f in FAULTS)} of whose remedies are run.", ""]
    lines += ["| planted | found by | severity | remedy run |", "|---|---|---|---|"]
    for f in FAULTS:
        ran = f"no: {f.human}" if f.human else "; then ".join(["yes", *(f"`{id}`" for id in f.leaves)])
        lines.append(f"| {f.says} | `{f.check}` | {f.bad} | {ran} |")
    return "\n".join([*lines, ""])


def page(text: str) -> str:
    """docs/checks.md with the table between its marks. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE.name} wants a line {BEGIN.strip()} and a line {END.strip()}")
    return f"{before}{begin}\n{matrix()}\n{end}{after}"
