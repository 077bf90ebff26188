# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's resources on AWS, as frozen values. Standard library only.

Points in time are seconds since the epoch, durations are seconds. Versions are those of the launch template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import COMMAND, WANT, Told, Wish
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial

#: What a group without warm pool and weights has (API_EnableMetricsCollection).
METRICS = frozenset(
    {"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupTotalInstances"}
    | {f"Group{state}Instances" for state in ("InService", "Pending", "Standby", "Terminating")}
)


@dataclass(frozen=True)
class Unread:
    """A part of the fleet that could not be read."""

    reason: str
    """one sentence, and what to do"""


@dataclass(frozen=True)
class GroupInstance:
    """An instance, as its Auto Scaling group reports it."""

    id: str
    state: str
    """LifecycleState"""
    health: str
    zone: str
    type: str
    template_version: str
    """empty: none"""
    protected: bool
    """from scale-in"""
    template_id: str = ""


@dataclass(frozen=True)
class Instance:
    """An instance, as EC2 reports it."""

    id: str
    state: str
    image: str
    type: str
    launched: float
    profile: str = ""
    """its instance profile's name; empty: none"""
    addresses: tuple[str, ...] = ()
    """the public address, then the private one"""
    profile_id: str = ""
    """the id of its instance profile, which stays that of a profile that was deleted; empty: none, or not known"""
    security_groups: frozenset[str] = frozenset()
    """ids, those of every network interface"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """MetadataOptions"""
    group: str = ""
    """the Auto Scaling group that its tag names; empty: none"""
    told: Told = field(default_factory=Told)
    """what an operator's command said last, and what its agent answered"""

    @property
    def shows_tags(self) -> bool:
        """Whether its tags are in its metadata, where its agent reads them."""
        return self.metadata.get("InstanceMetadataTags") == "enabled"


class Tag(NamedTuple):
    """A tag of a group."""

    value: str
    propagated: bool
    """whether new instances get it"""


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group. A setting is None where AWS reports none."""

    name: str
    arn: str
    min_size: int
    max_size: int
    desired_capacity: int
    template_id: str = ""
    template_name: str = ""
    """empty: the group has no launch template"""
    template_version: str = ""
    """as the group states it: a number, $Latest or $Default"""
    subnet_ids: frozenset[str] = frozenset()
    health_check_type: str | None = None
    health_check_grace_seconds: int | None = None
    cooldown_seconds: int | None = None
    warmup_seconds: int | None = None
    termination_policies: tuple[str, ...] = ()
    new_instances_protected: bool = False
    maintenance_policy: Mapping[str, int] | None = None
    """{MinHealthyPercentage, MaxHealthyPercentage}"""
    deletion_protection: str = "none"
    on_hook_abandon: str = "terminate"
    """what happens to an instance whose termination hook was abandoned: terminate or retain"""
    suspended_processes: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    """the names of those that are collected"""
    max_lifetime_seconds: int = 0
    """after which an instance is replaced; 0: never"""
    tags: Mapping[str, Tag] = field(default_factory=dict)
    warm_pool: str = ""
    """the state in which its warm pool holds instances; empty: it has none"""
    status: str = ""
    """empty unless the group is being deleted"""
    instances: tuple[GroupInstance, ...] = ()
    """by id"""

    @property
    def account(self) -> str:
        """The id of the account that it belongs to."""
        return self.arn.split(":")[4]

    @property
    def launch_wish(self) -> Wish | None:
        """What an instance that is launched now is told from its first second."""
        found = self.tags.get(WANT)
        return Wish.parse(found.value) if found and found.propagated else None

    @property
    def paused(self) -> bool:
        """Whether an operator has paused the fleet (pause.yml)."""
        return bool((wish := self.launch_wish) and wish.verb == "hold")

    @property
    def command(self) -> Wish | None:
        """The command under way for the whole fleet (renew.yml, release.yml), or interrupted."""
        found = self.tags.get(COMMAND)
        return Wish.parse(found.value) if found else None

    def in_state(self, *states: str) -> tuple[GroupInstance, ...]:
        """The instances in one of these lifecycle states."""
        return tuple(i for i in self.instances if i.state in states)


@dataclass(frozen=True)
class Hook:
    """A lifecycle hook."""

    name: str
    transition: str
    heartbeat_timeout: int
    global_timeout: int
    """how long it holds an instance at most, heartbeats or not"""
    default_result: str


@dataclass(frozen=True)
class LaunchTemplate:
    """The version of the launch template that the group uses."""

    version: int
    latest_version: int
    image: str
    type: str
    key: str
    profile: str
    metadata: Mapping[str, Any]
    """MetadataOptions"""
    unencrypted: tuple[str, ...]
    """devices whose volume is not encrypted"""
    security_groups: tuple[str, ...]
    agent_conf: Mapping[str, str]
    """agent.conf, as the user data writes it"""
    agent_conf_problem: str
    """why there is no agent.conf; empty: there is one"""
    more_user_data: str = ""
    """what the user data holds besides agent.conf"""
    id: str = ""
    """the template's"""
    released_over: tuple[str, ...] = ()
    """versions from which this one differs in the worker's image alone (release.yml)"""


@dataclass(frozen=True)
class Image:
    id: str
    name: str
    architecture: str
    state: str
    created: str
    """ISO 8601"""
    agent_schema: str | None
    """the schema of agent.conf that the image's agent reads; None: the image was not built by this kit"""
    deprecated: str = ""
    """since when EC2 lists it as deprecated, ISO 8601; empty: never"""
    owner: str = ""
    """the account that it belongs to"""
    public: bool = False
    """whether every account may launch it"""
    root_device: str = ""
    root_gib: int = 0
    """the size of the root device's snapshot; 0: not known"""
    encrypted_snapshots: tuple[str, ...] = ()
    plain: bool = False
    """whether a snapshot of it is not encrypted"""

    def has_agent(self, account: str) -> bool | None:
        """Whether this kit baked it, so that it has an agent; None: it does not say.

        AWS shows an image's tags to its owner only (EC2 User Guide, "Share an AMI with specific AWS accounts").

        :param account: the one that asks.
        """
        if self.agent_schema is not None:
            return True
        return False if self.owner in ("", account) else None

    def is_trusted(self, settings: Mapping[str, Any]) -> bool:
        """Whether fleet_image names it, or fleet_trusted_account_ids its owner."""
        return self.id == settings["fleet_image"] or self.owner in settings["fleet_trusted_account_ids"]


@dataclass(frozen=True)
class Subnet:
    id: str
    vpc: str
    zone: str
    free_addresses: int | None = None
    """of IPv4, without the five that AWS keeps; None: not known"""
    ipv6_only: bool = False


@dataclass(frozen=True)
class Profile:
    """An instance profile."""

    name: str
    role: str
    """the role in it; empty: none"""
    role_arn: str
    trust: Mapping[str, Any]
    """the role's trust policy"""
    id: str = ""


@dataclass(frozen=True)
class Permissions:
    """Which of the agent's actions the role may not call."""

    source: str
    """who says so"""
    denied: tuple[Denial, ...]
    boundary: str = ""
    """ARN of the role's permissions boundary, where it is the reason"""


@dataclass(frozen=True)
class ResourcePolicy:
    """The policy of a secret or a repository, which may let other accounts in."""

    resource: str
    """its name"""
    document: Mapping[str, Any]


@dataclass(frozen=True)
class RolePolicies:
    """The policies of the worker role, without its boundary."""

    inline: tuple[str, ...]
    """names"""
    attached: tuple[str, ...]
    """ARNs"""


@dataclass(frozen=True)
class User:
    """VALET's IAM user."""

    name: str
    inline: tuple[str, ...]
    """names"""
    attached: tuple[str, ...]
    """ARNs"""
    groups: tuple[str, ...]
    active_keys: tuple[str, ...]
    """ids of access keys"""


@dataclass(frozen=True)
class Rule:
    """A rule of a security group, for addresses: those of its prefix lists included."""

    protocol: str
    """-1: every protocol"""
    first: int
    """port (ICMP: type)"""
    last: int
    networks: tuple[str, ...]
    """CIDRs"""


@dataclass(frozen=True)
class SecurityGroup:
    id: str
    name: str
    inbound: tuple[Rule, ...]
    outbound: tuple[Rule, ...]


@dataclass(frozen=True)
class Secret:
    arn: str
    deletion_scheduled: bool
    changed: float = 0.0
    """when its value last changed; 0: not known"""
    key: str = ""
    """ARN of the customer's KMS key that encrypts it; empty: it is AWS's own, aws/secretsmanager"""


@dataclass(frozen=True)
class LogGroup:
    name: str
    last_event: float
    """0: never"""
    retention_days: int = 0
    """0: for ever"""


@dataclass(frozen=True)
class Activity:
    """A scaling activity."""

    status: str
    description: str
    message: str
    started: float
    ended: float
    """0: not yet"""
    instance: str
    """the instance that it concerns; empty: none, or not known"""
    id: str = ""
    cause: str = ""
    """why AWS began it, in AWS's words"""


@dataclass(frozen=True)
class Refresh:
    """An instance refresh."""

    id: str
    status: str
    reason: str
    percent: int
    started: float
    """0: not yet"""
    ended: float = 0.0
    """0: not yet"""
    template_id: str = ""
    """of the desired configuration's launch template; empty: it has none"""
    version: str = ""
    """of the desired configuration's launch template; empty: it has none"""
    checkpoints: tuple[int, ...] = ()
    """percentages at which it pauses"""
    bake_seconds: int = 0
    """for which it waits once everything is replaced"""
    remaining: int = 0
    """how many instances it has yet to replace"""


@dataclass(frozen=True)
class Fleet:
    """Everything that verify.yml reads. A part is None where it does not exist, Unread where it could not be read."""

    account: str | Unread | None
    group: Group | Unread | None
    hooks: tuple[Hook, ...] | Unread
    template: LaunchTemplate | Unread | None
    template_id: str | Unread | None
    """of the launch template that has the fleet's name, whether the group uses it or not"""
    instances: Mapping[str, Instance] | Unread
    images: Mapping[str, Image] | Unread
    profile: Profile | Unread | None
    permissions: Permissions | Unread | None
    role_policies: RolePolicies | Unread | None
    valet_user: User | Unread | None
    """None also where the fleet names no user"""
    security_groups: Mapping[str, SecurityGroup] | Unread
    secret: Secret | Unread | None
    secret_policy: ResourcePolicy | Unread | None
    """None: the secret has none"""
    worker_image: str | Unread | None
    """the digest of the worker's image; empty: the image is not in a repository of this account"""
    repository_policy: ResourcePolicy | Unread | None
    """that of the worker's repository; None: it has none, or it is not in this account and region"""
    log_group: LogGroup | Unread | None
    activities: tuple[Activity, ...] | Unread
    """the newest first"""
    refreshes: tuple[Refresh, ...] | Unread
    subnets: tuple[Subnet, ...] | Unread
    key_pairs: frozenset[str] | Unread
    outsiders: tuple[Instance, ...] | Unread
    """instances with the fleet's tags that are in no group"""
    without_agent: tuple[str, ...] | Unread = ()
    """instances of the group that have no agent of this kit"""
    changes: tuple[Change, ...] | Unread | None = None
    """what site.yml would change; None: that was not compared"""


LISTED_ACTIVITIES = 200
"""that are read of a group: two pages; those in progress come first"""


def waiting_since(activities: tuple[Activity, ...], instance: str) -> float:
    """When the activity that is under way for an instance began, in seconds since the epoch. 0: none is listed."""
    began = (activity.started for activity in activities if activity.instance == instance and not activity.ended)
    return next(began, 0.0)
