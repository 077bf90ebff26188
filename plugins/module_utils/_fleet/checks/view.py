# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a check may look at. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import Told
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    GroupInstance,
    Hook,
    Image,
    Instance,
    LaunchTemplate,
    LogGroup,
    Permissions,
    Profile,
    Refresh,
    ResourcePolicy,
    RolePolicies,
    Secret,
    SecurityGroup,
    Subnet,
    Unread,
    User,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import ACTIVE, TAG, Rollout

T = TypeVar("T")
Settings = Mapping[str, Any]
#: Of a refresh for workers: another instance first, busy ones drained by their hook and never waited for.
PREFERENCES = (
    "MinHealthyPercentage=100,MaxHealthyPercentage=110,ScaleInProtectedInstances=Refresh,StandbyInstances=Ignore"
)


@dataclass(frozen=True)
class Host:
    """What `ghosthands-agent doctor --json` printed on an instance."""

    instance: str
    problem: str
    """Why it could not be asked. Empty: it was."""
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class CommandLine:
    """How the operator runs a playbook of this collection."""

    playbooks: str
    """The folder of the playbooks."""
    site: str
    """The path of site.yml."""
    inventory: str
    fleet: str
    """The host's name in the inventory."""

    def playbook(self, name: str, *options: str) -> str:
        """The command that runs that playbook for this fleet; `options` as they are typed."""
        path = self.site if name == "site.yml" else f"{self.playbooks}/{name}"
        return " ".join([shlex.join(["ansible-playbook", path, "-i", self.inventory, "-l", self.fleet]), *options])


class Part(Generic[T]):
    """A part of View.fleet, by the attribute's name. Raises Skipped where it is absent or could not be read."""

    def __init__(self, absent: str = "") -> None:
        self._absent = absent

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, view: View, owner: type) -> T:
        part: T | Unread | None = getattr(view.fleet, self._name)
        return present(part, self._absent)


def present(part: T | Unread | None, absent: str) -> T:
    """The part. Raises Skipped where it is None (with `absent` as the reason) or could not be read."""
    if isinstance(part, Unread):
        raise Skipped("it could not be read")
    if part is None:
        raise Skipped(absent)
    return part


@dataclass(frozen=True)
class View:
    """A fleet as it is, what it should be, and the operator's command line. Every property may raise Skipped."""

    settings: Settings
    """Every fleet_* variable."""
    fleet: Fleet
    now: float
    """Seconds since the epoch."""
    command_line: CommandLine
    registry_read: Registry | None = None
    """None: the registry was not to be read."""
    hosts: tuple[Host, ...] | None = None
    """None: the hosts were not to be asked."""

    account = Part[str]()
    group = Part[Group]("there is no group")
    template = Part[LaunchTemplate]("there is no launch template")
    profile = Part[Profile]("there is no instance profile")
    permissions = Part[Permissions]("there is no role to ask about")
    role_policies = Part[RolePolicies]("there is no role")
    valet_user = Part[User]("the fleet names no IAM user for VALET, or there is none")
    secret = Part[Secret]("there is no secret")
    secret_policy = Part[ResourcePolicy]("the secret has none")
    repository_policy = Part[ResourcePolicy]("the worker's repository has none, or is not in this account and region")
    log_group = Part[LogGroup]("there is no log group")
    instances = Part[Mapping[str, Instance]]()
    images = Part[Mapping[str, Image]]()
    security_groups = Part[Mapping[str, SecurityGroup]]()
    activities = Part[tuple[Activity, ...]]()
    refreshes = Part[tuple[Refresh, ...]]()
    subnets = Part[tuple[Subnet, ...]]()
    key_pairs = Part[frozenset[str]]()
    outsiders = Part[tuple[Instance, ...]]()
    without_agent = Part[tuple[str, ...]]()
    """of the group's instances; see `unmanaged`"""

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The group's lifecycle hooks."""
        present(self.fleet.group, "there is no group")
        return present(self.fleet.hooks, "")

    @property
    def hook(self) -> Hook:
        """The termination hook of the name that the settings give it."""
        name = self.settings["fleet_termination_hook_name"]
        return present(next((hook for hook in self.hooks if hook.name == name), None), f"there is no hook {name}")

    @property
    def unmanaged(self) -> list[str]:
        """Instances without the agent that the next launch would not repeat: of another version than the group's.

        Where the version in use has no agent, image-origin and user-data report it.
        """
        used = (self.template.id, str(self.template.version))
        ids = set(self.without_agent)
        return [i.id for i in self.group.instances if i.id in ids and (i.template_id, i.template_version) != used]

    @property
    def agent_conf(self) -> Mapping[str, str]:
        """The agent.conf that the launch template's user data writes."""
        if self.template.agent_conf_problem:
            raise Skipped(self.template.agent_conf_problem)
        return self.template.agent_conf

    @property
    def image(self) -> Image:
        """The launch template's image."""
        name = self.template.image
        return present(self.images.get(name), f"image {name or '-'} does not exist")

    @property
    def current_instances(self) -> list[Instance]:
        """The group's instances of the template's version, in service or standby: what the template says, they have.

        instances-current reports others.
        """
        members = self.group.in_state("InService", "Standby")
        return [self.instances[one.id] for one in members if self.is_current(one) and one.id in self.instances]

    def is_current(self, one: GroupInstance) -> bool:
        """Whether it has what the group's template version says: launched from it, or released to its worker image."""
        version = str(self.template.version)
        if one.template_id != self.template.id or one.template_version == version:
            return (one.template_id, one.template_version) == (self.template.id, version)
        instances = self.fleet.instances
        told = instances[one.id].told if not isinstance(instances, Unread) and one.id in instances else Told()
        has = told.wish.digest if told.wish and told.state == "done" else ""
        image = self.template.agent_conf.get("IMAGE", "")
        return one.template_version in self.template.released_over and bool(has) and image.endswith(f"@{has}")

    @property
    def refreshing(self) -> bool:
        """Whether an instance refresh is known to be under way."""
        refreshes = self.fleet.refreshes
        return not isinstance(refreshes, Unread) and any(refresh.status in ACTIVE for refresh in refreshes)

    @property
    def registry(self) -> Registry:
        """The registry, where it could be read."""
        if self.registry_read is None:
            raise Skipped("fleet_registry_dsn is empty")
        if not self.registry_read.reachable:
            raise Skipped("the registry could not be read")
        return self.registry_read

    def run(self, playbook: str, *options: str, text: str = "Run") -> Remedy:
        """A remedy: run that playbook."""
        return Remedy(text, (self.command_line.playbook(playbook, *options),))

    @property
    def rollout(self) -> Rollout | None:
        """The rollout that is under way."""
        tag = self.group.tags.get(TAG)
        return Rollout.parse(tag.value) if tag else None

    def roll_out(self, *options: str, text: str = "Run", site: bool = False) -> Remedy:
        """A remedy: make the launch template right, and replace every instance, canaries first.

        :param site: whether something else than the template has to become right before.
        """
        group = self.fleet.group
        stopped = self.stops_refreshes if isinstance(group, Group) else []
        first = [self.command_line.playbook("site.yml")] if site else []
        first += self.resume(stopped).commands if stopped else []
        return Remedy(text, (*first, self.command_line.playbook("rollout.yml", *options)))

    def use_at_once(self, *options: str, text: str = "Run") -> Remedy:
        """A remedy where no instance has an agent that would drain it: new instances are launched rightly."""
        return self.run("site.yml", *options, "-e fleet_new_version=adopt", text=text)

    @property
    def template_differs(self) -> bool:
        """Whether site.yml is known to change the launch template, or which version of it the group uses."""
        changes = self.fleet.changes
        return isinstance(changes, tuple) and any(
            change.module == "ec2_launch_template" or "launch_template" in change.parameters for change in changes
        )

    @property
    def stops_refreshes(self) -> list[str]:
        """The suspended processes of the group without which no refresh replaces an instance."""
        return sorted({"Launch", "Terminate"} & self.group.suspended_processes)

    def resume(self, processes: list[str]) -> Remedy:
        """A remedy: resume these processes of the group."""
        name = self.settings["fleet_group_name"]
        resume = f"autoscaling resume-processes --scaling-processes {' '.join(processes)}"
        return self.aws("Resume:", f"{resume} --auto-scaling-group-name {name}")

    def replace_instances(self, text: str) -> Remedy:
        """A remedy: replace the group's instances, also by ones of the same version, which a rollout leaves.

        Busy ones are drained and not waited for, as rollout.yml does it.
        """
        if self.template_differs:
            return self.roll_out(text=text)
        name = self.settings["fleet_group_name"]
        start = f"autoscaling start-instance-refresh --auto-scaling-group-name {name} --preferences {PREFERENCES}"
        stopped = self.stops_refreshes
        return Remedy(text, (*(self.resume(stopped).commands if stopped else ()), *self.aws(text, start).commands))

    def aws(self, text: str, *commands: str) -> Remedy:
        """A remedy: run these commands of the AWS CLI (without `aws`), in the fleet's region."""
        region = self.settings["fleet_region"]
        return Remedy(text, tuple(f"aws {command} --region {region}" for command in commands))


CHECKS = CheckList[View]()
"""The checks of verify.yml."""
check = CHECKS.check
