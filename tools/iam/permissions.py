"""What each playbook has to be allowed: the operations that its modules can call, as IAM's permissions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from localcloud.authorization.permissions import TAG_PERMISSIONS

from tools.iam import authorization, call_sites
from tools.iam.document import Used, in_account

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("modules.yml")
OURS = "wekruit.ghosthands."
COLLECTIONS = ("amazon.aws.", "community.aws.", OURS)
#: playbook, or module of a playbook -> the phase that its calls belong to. Every other playbook builds.
PHASES = {
    "teardown.yml": "Delete",
    "verify.yml": "Verify",
    f"{OURS}fleet_drill": "Drill",
    f"{OURS}fleet_hosts": "Hosts",
    f"{OURS}fleet_bundle": "Hosts",
    f"{OURS}fleet_command": "Command",
    f"{OURS}autoscaling_group_scale": "Command",
    f"{OURS}instance_drain": "Command",
    "secret.yml": "Secret",
    f"{OURS}autoscaling_group_replacement": "Replace",
}
#: Reading the secret is no part of reading the account: these are in a policy of their own.
SECRET = {"secretsmanager:GetSecretValue"}
#: Actions beside those that the reference calls dependent.
ALSO = {
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html: who makes
    # a group with a launch template, or gives it another version, must be allowed to launch what is in it
    "autoscaling:CreateAutoScalingGroup": ("ec2:RunInstances", "autoscaling:CreateOrUpdateTags"),
    "autoscaling:UpdateAutoScalingGroup": ("ec2:RunInstances",),
    "autoscaling:StartInstanceRefresh": ("ec2:RunInstances",),  # with a desired configuration (derived)
    **{making: (tagging,) for making, tagging in TAG_PERMISSIONS.items() if not making.startswith("autoscaling")},
}
#: Dependent actions that no call of ours needs.
NOT_DEPENDENT = {
    "ssm:GetParameters": "images are named by id, not by resolve:ssm",
    "ecr:TagResource": "the repository has no tags",
}
#: Whose dependent actions are of other services' quotas.
INDEPENDENT = {"servicequotas:GetServiceQuota"}
#: action -> the types of resource that our calls name, beside those that the reference requires.
OPTIONAL = {
    "ec2:CreateSecurityGroup": ("vpc",),
    "ec2:RunInstances": ("key-pair", "launch-template", "volume"),
    "ec2:CreateTags": ("launch-template", "security-group"),
    "iam:ListMFADevices": ("user",),
    "iam:SimulatePrincipalPolicy": ("role", "user"),
    "logs:ListTagsForResource": ("log-group",),
    "logs:TagResource": ("log-group",),
    "servicequotas:GetServiceQuota": ("quota",),
    "ssm:SendCommand": ("instance",),
}
#: The same, of verify.yml, which asks the simulator about the worker role only.
VERIFYING = {**OPTIONAL, "iam:SimulatePrincipalPolicy": ("role",)}
#: The same, of commands, which tag instances alone.
COMMANDING = {**OPTIONAL, "ec2:CreateTags": ("instance",)}
#: What an action that makes resources with tags tags: CreateTags is allowed there while it makes them only.
TAGGED = {
    "ec2:CreateLaunchTemplate": (),  # tagged later as well
    "ec2:CreateSecurityGroup": (),
    "ec2:ImportKeyPair": ("key-pair",),
    "ec2:RunInstances": ("instance", "network-interface", "volume"),
    "ec2:AuthorizeSecurityGroupEgress": (),  # rules have no tags
    "ec2:AuthorizeSecurityGroupIngress": (),
}
#: Resources that are not a fleet's own: (action, type) -> ARNs.
RESOURCES = {
    ("iam:SimulatePrincipalPolicy", "user"): ("arn:aws:iam::*:user/${aws:username}",),
    ("iam:CreateServiceLinkedRole", "role"): (
        "arn:aws:iam::*:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
    ),
    ("servicequotas:GetServiceQuota", "quota"): (
        "arn:aws:servicequotas:*:*:ec2/L-1216C47A",
        "arn:aws:servicequotas:*:*:vpc/L-0EA8095F",
    ),
    ("ssm:SendCommand", "document"): ("arn:aws:ssm:*::document/AWS-RunShellScript",),
}
#: https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html,
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
CONDITIONS = {
    ("iam:CreateServiceLinkedRole", "role"): {"iam:AWSServiceName": "autoscaling.amazonaws.com"},
    ("iam:PassRole", "role"): {"iam:PassedToService": "ec2.amazonaws.com"},
    ("ssm:SendCommand", "instance"): {"aws:ResourceTag/Project": "wekruit"},
}


class Task(NamedTuple):
    """A task with a module that calls AWS."""

    playbook: str
    module: str
    parameters: Mapping[str, Any]

    @property
    def phase(self) -> str:
        return PHASES.get(self.module) or PHASES.get(self.playbook, "Build")

    @property
    def states(self) -> frozenset[str]:
        """The states that the task may ask for: both, where a variable decides."""
        state = str(self.parameters.get("state", "present"))
        return frozenset({state} & {"present", "absent"} or {"present", "absent"})


@cache
def tasks() -> tuple[Task, ...]:
    """Every such task of every playbook."""
    books = sorted((ROOT / "playbooks").glob("*.yml"))
    return tuple(one for book in books for play in _read(book) for one in _tasks(book.name, play))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _tasks(playbook: str, node: Any) -> Iterator[Task]:
    """Those of a play, a block or a file of tasks, and of the files that they include."""
    if isinstance(node, list):
        for one in node:
            yield from _tasks(playbook, one)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name.startswith(COLLECTIONS):
                yield Task(playbook, name, value or {})
            elif name.endswith(("import_tasks", "include_tasks")):
                file = value["file"] if isinstance(value, dict) else value
                places = (ROOT / "playbooks" / file, ROOT / "playbooks/tasks" / file)
                yield from _tasks(playbook, _read(next(place for place in places if place.exists())))
            elif isinstance(value, list):
                yield from _tasks(playbook, value)


@cache
def table() -> dict[str, Any]:
    """What the modules of other collections can call: modules.yml."""
    found: dict[str, Any] = _read(TABLE)
    return found


def operations(task: Task) -> frozenset[str]:
    """The operations that a task can call."""
    if task.module.startswith(OURS):
        return frozenset(map(str, call_sites.operations(call_sites.source(task.module))))
    return frozenset(name for state in task.states for name in table()[task.module].get(state, ()))


def used(several: Iterable[Task]) -> set[Used]:
    """Every permission that these tasks need."""
    found = set[Used]()
    for task in several:
        for operation in operations(task) - {"sts:GetCallerIdentity"}:  # nobody needs a permission for it
            found |= set(_permissions(task.phase, authorization.of_operation(*operation.split(":"))))
    return found


def _permissions(phase: str, name: str, made_by: str = "") -> Iterator[Used]:
    """An action on its resources, and what depends on it.

    :param made_by: the action that makes the resource which CreateTags tags.
    """
    action = authorization.action(name)
    optional = {"Verify": VERIFYING, "Command": COMMANDING}.get(phase, OPTIONAL)
    named = TAGGED[made_by] if made_by else (*sorted(action.required), *optional.get(action.name, ()))
    if not named and action.optional and not made_by:
        raise ValueError(f"{action.name} has types of resources: which of them do our calls name?")
    if action.reads and phase not in ("Hosts", "Replace"):
        phase = "Read"
    phase = "Secret" if action.name in SECRET else phase
    service = name.partition(":")[0]
    for type in named or ([] if made_by else [""]):
        conditions = dict(CONDITIONS.get((action.name, type), {}))
        if made_by:
            conditions["ec2:CreateAction"] = made_by.partition(":")[2]
        own = RESOURCES.get((action.name, type)) or (in_account(authorization.arn(service, type)) if type else "*",)
        for arn in own:
            yield Used(phase, action.name, arn, frozenset(conditions.items()))
    if action.name in INDEPENDENT:
        return
    for other in sorted({*action.dependent, *ALSO.get(action.name, ())} - NOT_DEPENDENT.keys()):
        yield from _permissions(phase, other, action.name if other == "ec2:CreateTags" else "")
