"""Probes of a group with one instance, in the order of its life."""

from __future__ import annotations

import contextlib
import time
from functools import partial

from botocore.exceptions import ClientError

from tools.first_contact.account import INSTANCE_TYPE, Account, code, text
from tools.first_contact.probe import Answer, NotLookedAt, judged, probe

ROLE = "AWSServiceRoleForAutoScaling"


def heard(account: Account, instance: str, name: str, *, seconds: float) -> list[str]:
    """What an instance has written under a name. Raises NotLookedAt if that is nothing."""
    return account.until(
        f"a word of {instance} about {name} on its console", lambda: account.said(instance, name), seconds=seconds
    )


def _has_said(account: Account, instance: str, name: str, value: str) -> bool:
    return value in account.said(instance, name)


@probe(
    "service-linked-role",
    claim=f"An account's first group creates {ROLE}.",
    source='Auto Scaling User Guide, "Service-linked roles"',
    actions="iam:GetRole iam:CreateServiceLinkedRole autoscaling:CreateAutoScalingGroup ec2:CreateLaunchTemplate",
    writes=True,
    minutes=0.5,
)
def service_linked_role(account: Account) -> Answer:
    """Looked for before and after the group; not decided where it existed before. It stays: Auto Scaling needs it."""

    def exists() -> bool:
        try:
            account.client("iam").get_role(RoleName=ROLE)
        except ClientError as error:
            if code(error) != "NoSuchEntity":
                raise
            return False
        return True

    before = exists()
    _ = account.group
    if before:
        raise NotLookedAt(f"this account has {ROLE} already")
    return judged(exists(), f"{ROLE} exists now" if exists() else f"there is no {ROLE} after the first group")


@probe(
    "target-state-in-service",
    claim="autoscaling/target-lifecycle-state says InService before the instance is in service, and stays so.",
    source='Auto Scaling User Guide, "Retrieve the target lifecycle state through instance metadata"',
    actions="autoscaling:SetDesiredCapacity autoscaling:DescribeAutoScalingGroups ec2:RunInstances "
    "ec2:GetConsoleOutput ec2:CreateTags",
    writes=True,
    minutes=3,
    dollars=0.02,
)
def target_state_in_service(account: Account) -> Answer:
    """The first instance, from its launch."""
    instance = account.in_service()
    said = heard(account, instance, "target-lifecycle-state", seconds=300)
    return judged(said == ["InService"], " then ".join(said))


@probe(
    "docker-version",
    claim="Amazon Linux 2023 offers Docker Engine 25.",
    source="AL2023 release notes (2026-08)",
    actions="ec2:GetConsoleOutput",
    writes=True,
    minutes=1,
)
def docker_version(account: Account) -> Answer:
    """What dnf lists on the instance; needs a way to Amazon's repositories."""
    instance = account.in_service()
    (version,) = heard(account, instance, "package-docker", seconds=120)[:1]
    more = {name: (account.said(instance, f"package-{name}") or [""])[0] for name in ("containerd", "amazon-ssm-agent")}
    return judged(version.startswith("25."), f"docker {version}", docker=version, **more)


@probe(
    "tags-while-running",
    claim="With InstanceMetadataTags enabled, a changed tag shows at the metadata service while the instance runs.",
    source='EC2 User Guide, "View tags for your EC2 instances using instance metadata" (Nitro)',
    actions="ec2:CreateTags ec2:GetConsoleOutput",
    writes=True,
    minutes=1.5,
)
def tags_while_running(account: Account) -> Answer:
    """A way to speak to an agent without a port, a key or Systems Manager."""
    instance, ec2 = account.in_service(), account.client("ec2")
    heard(account, instance, "target-lifecycle-state", seconds=300)
    seconds = dict[str, float]()
    for value in ("one", "two"):
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "first-contact", "Value": value}])
        try:
            shown = partial(_has_said, account, instance, "tag", value)
            seconds[value] = account.seconds_until(f"the tag {value}", shown, seconds=120)
        except NotLookedAt:
            return judged(False, f"the value {value} did not show within 120 s", **seconds)
    return judged(True, f"seconds until it showed: {seconds}", **seconds)


@probe(
    "abandon-retains",
    claim="With TerminateHookAbandon retain, ABANDON leaves the instance running in Terminating:Retained, not counted"
    " in the desired capacity; while it drains its target state is Terminated.",
    source='Auto Scaling User Guide, "Instance lifecycle policy"',
    actions="autoscaling:SetDesiredCapacity autoscaling:CompleteLifecycleAction autoscaling:DescribeAutoScalingGroups "
    "ec2:DescribeInstances ec2:GetConsoleOutput",
    writes=True,
    minutes=4,
    dollars=0.02,
)
def abandon_retains(account: Account) -> Answer:
    """Scale in, ABANDON, and scale out again: a second instance has to come."""
    instance, autoscaling = account.in_service(), account.client("autoscaling")
    autoscaling.set_desired_capacity(AutoScalingGroupName=account.name, DesiredCapacity=0)
    waits = "Terminating:Wait"
    account.until(waits, lambda: account.states().get(instance) == waits, seconds=180)
    with contextlib.suppress(NotLookedAt):
        account.until(
            "the target state Terminated",
            lambda: _has_said(account, instance, "target-lifecycle-state", "Terminated"),
            seconds=60,
        )
    said = account.said(instance, "target-lifecycle-state")
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=account.name,
        LifecycleHookName="terminating",
        InstanceId=instance,
        LifecycleActionResult="ABANDON",
    )

    def settled() -> str:
        state = account.states().get(instance, "gone")
        return state if state != waits else ""

    state = account.until("the end of the hook", settled, seconds=180)
    time.sleep(account.poll)
    state = settled() or state
    if state != "Terminating:Retained":
        return judged(False, f"after ABANDON the instance is {state}", target_states=said)
    found = account.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    second = account.in_service()
    counted = account.describe_group()["DesiredCapacity"]
    seen = f"{state}, {found['State']['Name']} in EC2; desired {counted}, and another instance came"
    ok = found["State"]["Name"] == "running" and second != instance and (not said or said[-1] == "Terminated")
    return judged(ok, seen, target_states=said)


@probe(
    "force-delete-while-retaining",
    claim="Force-delete of a group is refused while its lifecycle policy retains instances.",
    source="localcloud (derived); FACTS: unverified",
    actions="autoscaling:DeleteAutoScalingGroup autoscaling:DescribeAutoScalingGroups",
    writes=True,
    minutes=3,
)
def force_delete_while_retaining(account: Account) -> Answer:
    """teardown.yml ends retained instances and sets the policy back first. Asked while there is one, if there is."""
    retained = sorted(one for one, state in account.states().items() if state == "Terminating:Retained")
    _ = account.group
    try:
        account.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=account.name, ForceDelete=True)
    except ClientError as error:
        return judged(True, text(error), retained=len(retained))
    account.until("the group is gone", lambda: not account.describe_group(), seconds=300)
    states = {}
    if retained:
        found = account.client("ec2").describe_instances(InstanceIds=retained)["Reservations"]
        states = {i["InstanceId"]: i["State"]["Name"] for r in found for i in r["Instances"]}
    account.__dict__.pop("group", None)  # the next probe makes another
    return judged(False, f"the group is gone, and its retained instances are {states or 'none'}", retained=states)


@probe(
    "end-of-retained",
    claim="TerminateInstanceInAutoScalingGroup ends a retained instance without its hook.",
    source='Auto Scaling User Guide, "Configure instance retention"',
    actions="autoscaling:TerminateInstanceInAutoScalingGroup autoscaling:DescribeAutoScalingGroups",
    writes=True,
    minutes=2,
)
def end_of_retained(account: Account) -> Answer:
    """release_retained.yml does this."""
    retained = sorted(one for one, state in account.states().items() if state == "Terminating:Retained")
    if not retained:
        raise NotLookedAt("no instance is retained: see abandon-retains")
    account.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=retained[0], ShouldDecrementDesiredCapacity=False
    )
    seen = list[str]()

    def left() -> bool:
        state = account.states().get(retained[0], "gone")
        if state not in seen:
            seen.append(state)
        return state in ("gone", "Terminated", "Terminating:Wait")

    account.until("its end", left, seconds=300)
    return judged("Terminating:Wait" not in seen, " then ".join(seen))


@probe(
    "warm-pool-states",
    claim="In a warm pool the target states are Warmed:..., and InService only when an instance leaves the pool.",
    source='Auto Scaling User Guide, "Warm pool instance lifecycle"; what the metadata service shows there is derived',
    actions="autoscaling:PutWarmPool autoscaling:DescribeWarmPool autoscaling:DeleteWarmPool ec2:GetConsoleOutput",
    writes=True,
    minutes=5,
    dollars=0.02,
)
def warm_pool_states(account: Account) -> Answer:
    """A pool of one stopped instance; what it wrote while it ran."""
    autoscaling, group = account.client("autoscaling"), account.group
    try:
        autoscaling.put_warm_pool(
            AutoScalingGroupName=group, MinSize=1, MaxGroupPreparedCapacity=2, PoolState="Stopped"
        )
    except ClientError as error:
        raise NotLookedAt(f"no warm pool: {text(error)}") from None

    def warmed() -> str:
        pool = autoscaling.describe_warm_pool(AutoScalingGroupName=group)["Instances"]
        return next((one["InstanceId"] for one in pool if one["LifecycleState"] == "Warmed:Stopped"), "")

    instance = account.until("a stopped instance in the pool", warmed, seconds=420)
    said = heard(account, instance, "target-lifecycle-state", seconds=120)
    return judged(all(one.startswith("Warmed:") for one in said), " then ".join(said), instance_type=INSTANCE_TYPE)


# --- what this script leaves to a person ----------------------------------------------------------------------------


@probe(
    "key-policy-across-accounts",
    claim="GetKeyPolicy does not work for a key of another account, by ARN either.",
    source="KMS API Reference, GetKeyPolicy",
    actions="",
)
def key_policy_across_accounts(_account: Account) -> Answer:
    """Preflight calls such a key unknown."""
    raise NotLookedAt("needs a key of a second account: aws kms get-key-policy --policy-name default --key-id ARN")


@probe(
    "spot-notice",
    claim="A spot notice shows at spot/instance-action two minutes before the end.",
    source='EC2 User Guide, "Spot Instance interruption notices"',
    actions="",
)
def spot_notice(_account: Account) -> Answer:
    """Fault Injection Service can send one."""
    raise NotLookedAt(
        "needs a role for Fault Injection Service: aws:ec2:send-spot-instance-interruptions, 0.10 USD a minute; "
        "report.sh prints what the instance then sees"
    )


@probe(
    "longest-wait",
    claim="Heartbeats extend a hook to min(48 h, 100 x heartbeat timeout) and no further.",
    source="Auto Scaling API Reference, LifecycleHook",
    actions="",
)
def longest_wait(_account: Account) -> Answer:
    """Takes 50 minutes at the shortest heartbeat timeout."""
    raise NotLookedAt("takes at least 50 minutes (100 x 30 s)")
