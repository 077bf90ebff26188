# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet as it stands, as frozen values. Standard library only. Moments are seconds since the epoch, times seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Image, Subnet


@dataclass(frozen=True)
class Unread:
    """A part that could not be asked for."""

    why: str
    """one sentence, and what to do"""


@dataclass(frozen=True)
class Member:
    """An instance, as its group sees it."""

    id: str
    state: str
    health: str
    zone: str
    type: str
    version: str
    """of the launch template; empty: none"""
    protected: bool


@dataclass(frozen=True)
class Machine:
    """An instance, as EC2 sees it."""

    id: str
    state: str
    image: str
    type: str
    launched: float
    profile: bool
    """whether it carries an instance profile"""


@dataclass(frozen=True)
class Group:
    name: str
    arn: str
    min_size: int
    max_size: int
    desired: int
    template: str
    version: str
    """of the launch template, as the group names it: a number, $Latest or $Default"""
    subnets: frozenset[str]
    settings: Mapping[str, Any]
    """what the group was told, in AWS's words: DefaultCooldown, HealthCheckType, ..."""
    suspended: frozenset[str]
    metrics: bool
    retains: bool
    """whether an instance whose termination hook was abandoned is kept"""
    members: tuple[Member, ...]

    def in_state(self, *states: str) -> tuple[Member, ...]:
        """The members in one of these lifecycle states."""
        return tuple(m for m in self.members if m.state in states)


@dataclass(frozen=True)
class Hook:
    name: str
    transition: str
    timeout: int
    ceiling: int
    """the longest that it holds an instance, however often it is told to wait on"""
    result: str


@dataclass(frozen=True)
class Template:
    """The version of the launch template that the group uses."""

    number: int
    latest: int
    image: str
    type: str
    key: str
    profile: str
    tokens: str
    """required: IMDSv2 only"""
    unencrypted: tuple[str, ...]
    """devices whose volume is not encrypted"""
    security_groups: tuple[str, ...]
    agent: Mapping[str, str]
    """agent.conf, as the user data writes it"""
    agent_problem: str
    """why there is none; empty: it was understood"""


@dataclass(frozen=True)
class Profile:
    """An instance profile."""

    name: str
    role: str
    """the role that it carries; empty: none"""
    role_arn: str
    trust: Mapping[str, Any]
    """the role's trust policy"""


@dataclass(frozen=True)
class Permissions:
    """Which of the agent's actions the role may call."""

    how: str
    """who says so"""
    denied: tuple[str, ...]


@dataclass(frozen=True)
class SecurityGroup:
    id: str
    name: str
    open: tuple[str, ...]
    """what the whole world may reach, in words"""


@dataclass(frozen=True)
class WorkerSecret:
    arn: str
    being_deleted: bool
    changed: float
    """when its value was last changed; 0: not known"""


@dataclass(frozen=True)
class LogGroup:
    name: str
    heard: float
    """when the last event came; 0: never"""


@dataclass(frozen=True)
class Activity:
    """A scaling activity, the newest first."""

    status: str
    description: str
    message: str
    began: float
    ended: float
    """0: not yet"""
    instance: str
    """the one it is about; empty: none, or not known"""


@dataclass(frozen=True)
class Refresh:
    id: str
    status: str
    reason: str
    percent: int
    began: float


@dataclass(frozen=True)
class Fleet:
    """Everything, each part of it None where it is not there and Unread where nobody could look."""

    account: str | Unread | None
    group: Group | Unread | None
    hooks: tuple[Hook, ...] | Unread
    template: Template | Unread | None
    machines: Mapping[str, Machine] | Unread
    images: Mapping[str, Image] | Unread
    profile: Profile | Unread | None
    permissions: Permissions | Unread | None
    security_groups: Mapping[str, SecurityGroup] | Unread
    secret: WorkerSecret | Unread | None
    worker_image: str | Unread | None
    """the digest that the agent's image comes to; empty: the image is not in this account's repository, and so nobody asked"""
    log_group: LogGroup | Unread | None
    activities: tuple[Activity, ...] | Unread
    refreshes: tuple[Refresh, ...] | Unread
    subnets: tuple[Subnet, ...] | Unread
    key_pairs: frozenset[str] | Unread


def waiting_since(activities: tuple[Activity, ...], instance: str) -> float:
    """When the activity that is under way for an instance began, in seconds since the epoch. 0: none is listed."""
    began = (activity.began for activity in activities if activity.instance == instance and not activity.ended)
    return next(began, 0.0)
