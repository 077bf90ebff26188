"""Probes of IAM: how long its changes take, and what other services say meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import refusals
from botocore.exceptions import ClientError

from tools.first_contact.account import TRUST, Account, code, text
from tools.first_contact.probe import Answer, NotLookedAt, judged, probe

#: agent/src/ghosthands_agent/passing_errors.py: how long a boot takes AccessDenied for one that passes.
PASSES_WITHIN = 120.0
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId")


def make_role(account: Account, name: str, trust: dict[str, object]) -> str:
    """Make a role without permissions; its ARN."""
    iam = account.client("iam")
    account.will_delete(f"role {name}", lambda: iam.delete_role(RoleName=name))
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=account.tags())
    return str(made["Role"]["Arn"])


@probe(
    "policy-propagation",
    claim=f"A policy takes effect within {PASSES_WITHIN:g} s of being written, and its end within the same time.",
    source='IAM User Guide, "Changes that I make are not always immediately visible" (no number); field reports',
    actions="iam:CreateRole iam:DeleteRole iam:PutRolePolicy iam:DeleteRolePolicy iam:TagRole sts:AssumeRole "
    "sts:GetCallerIdentity",
    writes=True,
    minutes=1.5,
)
def policy_propagation(account: Account) -> Answer:
    """A role of our own asks for the Auto Scaling groups before and after its policy says that it may."""
    name = f"{account.name}-caller"
    caller = {"AWS": f"arn:{account.caller['Arn'].split(':')[1]}:iam::{account.id}:root"}
    trust = {"Effect": "Allow", "Principal": caller, "Action": "sts:AssumeRole"}
    arn = make_role(account, name, {"Version": "2012-10-17", "Statement": [trust]})
    sts, iam = account.client("sts"), account.client("iam")
    credentials = dict[str, str]()

    def assumed() -> bool:
        try:
            got = sts.assume_role(RoleArn=arn, RoleSessionName="first-contact")["Credentials"]
        except ClientError as error:
            if code(error) not in DENIED:
                raise
            return False
        credentials.update(
            aws_access_key_id=got["AccessKeyId"],
            aws_secret_access_key=got["SecretAccessKey"],
            aws_session_token=got["SessionToken"],
        )
        return True

    began = time.monotonic()
    account.until("the new role can be assumed", assumed, seconds=PASSES_WITHIN)
    role_after = time.monotonic() - began
    describe = account.client("autoscaling", retries=1, **credentials).describe_auto_scaling_groups

    def allowed() -> bool:
        try:
            describe(AutoScalingGroupNames=[account.name])
        except ClientError as error:
            if code(error) not in DENIED:
                raise
            return False
        return True

    if allowed():
        raise NotLookedAt("a role without a policy may call Auto Scaling here: permissions are not enforced")
    statement = {"Effect": "Allow", "Action": "autoscaling:DescribeAutoScalingGroups", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.will_delete(f"policy of {name}", lambda: iam.delete_role_policy(RoleName=name, PolicyName="first-contact"))
    iam.put_role_policy(RoleName=name, PolicyName="first-contact", PolicyDocument=policy)
    after = account.seconds_until("the policy takes effect", allowed, seconds=PASSES_WITHIN)
    iam.delete_role_policy(RoleName=name, PolicyName="first-contact")
    ended = account.seconds_until("its end takes effect", lambda: not allowed(), seconds=PASSES_WITHIN)
    facts = {"role": round(role_after, 1), "policy": after, "end": ended}
    return judged(max(facts.values()) <= PASSES_WITHIN, f"seconds: {facts}", **facts)


@probe(
    "new-profile",
    claim="A group refuses an instance profile that was made a moment ago in words that our list of passing errors"
    f" knows, and accepts it within {PASSES_WITHIN:g} s.",
    source="plugins/module_utils/_fleet/facts/refusals.py; IAM User Guide, eventual consistency",
    actions="iam:CreateRole iam:DeleteRole iam:TagRole iam:CreateInstanceProfile iam:DeleteInstanceProfile "
    "iam:TagInstanceProfile iam:AddRoleToInstanceProfile iam:RemoveRoleFromInstanceProfile iam:PassRole "
    "ec2:CreateLaunchTemplateVersion autoscaling:UpdateAutoScalingGroup",
    writes=True,
    minutes=1.0,
)
def new_profile(account: Account) -> Answer:
    """Update of the group to a template version with a new profile, at once and until it is accepted."""
    group = account.group
    iam, name = account.client("iam"), f"{account.name}-profile"
    make_role(account, name, dict(TRUST))
    account.will_delete(f"instance profile {name}", lambda: iam.delete_instance_profile(InstanceProfileName=name))
    iam.create_instance_profile(InstanceProfileName=name, Tags=account.tags())
    account.will_delete(
        f"role in {name}",
        lambda: iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name),
    )
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    made = account.client("ec2").create_launch_template_version(
        LaunchTemplateName=account.template,
        LaunchTemplateData=account.template_data(IamInstanceProfile={"Name": name}),
    )
    version = str(made["LaunchTemplateVersion"]["VersionNumber"])
    began = time.monotonic()
    try:
        met = account.until_accepted(
            lambda: account.client("autoscaling").update_auto_scaling_group(
                AutoScalingGroupName=group,
                LaunchTemplate={"LaunchTemplateName": account.template, "Version": version},
            ),
            seconds=PASSES_WITHIN,
        )
    except ClientError as error:
        return judged(False, f"our list does not know: {text(error)}")
    seconds = round(time.monotonic() - began, 1)
    return judged(
        seconds <= PASSES_WITHIN, f"accepted after {seconds} s and {len(met)} refusals", texts=sorted(set(met))
    )


@probe(
    "refusal-texts",
    claim="What a group says of a missing template, a missing profile and a missing hook is what we take it for.",
    source="plugins/module_utils/_fleet/facts/refusals.py; localcloud's wording of a lifecycle action (derived)",
    actions="autoscaling:UpdateAutoScalingGroup autoscaling:CompleteLifecycleAction ec2:CreateLaunchTemplateVersion "
    "iam:PassRole",
    writes=True,
)
def refusal_texts(account: Account) -> Answer:
    """Calls that cannot succeed; the texts are kept."""
    group, autoscaling = account.group, account.client("autoscaling")
    nobody = account.client("ec2").create_launch_template_version(
        LaunchTemplateName=account.template,
        LaunchTemplateData=account.template_data(IamInstanceProfile={"Name": f"{account.name}-nobody"}),
    )
    version = str(nobody["LaunchTemplateVersion"]["VersionNumber"])
    update = partial(autoscaling.update_auto_scaling_group, AutoScalingGroupName=group)
    complete = partial(
        autoscaling.complete_lifecycle_action, AutoScalingGroupName=group, LifecycleHookName="terminating"
    )
    calls: dict[str, tuple[Callable[..., object], dict[str, object]]] = {
        "template": (update, {"LaunchTemplate": {"LaunchTemplateName": f"{account.name}-none", "Version": "1"}}),
        "profile": (update, {"LaunchTemplate": {"LaunchTemplateName": account.template, "Version": version}}),
        "action": (complete, {"InstanceId": "i-00000000000000000", "LifecycleActionResult": "CONTINUE"}),
    }
    said = dict[str, str]()
    for what, (call, parameters) in calls.items():
        try:
            call(**parameters)
            said[what] = "accepted"
        except ClientError as error:
            said[what] = text(error)
    known = {what: refusals.passing(said[what]) is not None for what in ("template", "profile")}
    no_action = "ValidationError" in said["action"] and "No active Lifecycle Action" in said["action"]
    wrong = [what for what, ok in {**known, "action": no_action}.items() if not ok]
    return judged(not wrong, f"not as expected: {', '.join(wrong)}" if wrong else "as expected", **said)
