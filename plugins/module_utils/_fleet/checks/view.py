# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check looks at, and what it may come to. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    Hook,
    LogGroup,
    Machine,
    Permissions,
    Profile,
    Refresh,
    SecurityGroup,
    Template,
    Unread,
    WorkerSecret,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Image, Subnet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry

T = TypeVar("T")
Settings = Mapping[str, Any]
NAMED = 5  # how many instances a sentence names; evidence has them all


class Wrong(Exception):
    """It is not as it should be: what was seen, what to do about it, and the values behind it."""

    def __init__(self, detail: str, remedy: str, severity: str = "", **evidence: Any) -> None:
        super().__init__(detail)
        self.remedy, self.severity, self.evidence = remedy, severity, evidence


class NotLookedAt(Exception):
    """There is nothing to look at, or nobody could: another finding says so."""


class Seen(NamedTuple):
    """It is as it should be."""

    detail: str
    evidence: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Host:
    """What `ghosthands-agent doctor --json` said on an instance."""

    instance: str
    problem: str
    """why it could not be asked; empty: it was"""
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the operator stands: how a playbook is run from there."""

    playbooks: str
    inventory: str
    fleet: str

    def run(self, playbook: str, *options: str) -> str:
        """The command line; `options` as they are typed."""
        line = shlex.join(["ansible-playbook", f"{self.playbooks}/{playbook}", "-i", self.inventory, "-l", self.fleet])
        return " ".join([line, *options])


@dataclass(frozen=True)
class View:
    """Everything that a check may look at. A part that is not there, or was not to be read, raises NotLookedAt."""

    s: Settings
    fleet: Fleet
    now: float
    """seconds since the epoch"""
    place: Place
    asked_registry: Registry | None = None
    """None: nobody was to ask it"""
    hosts: tuple[Host, ...] | None = None
    """None: nobody was to ask them"""

    @property
    def group(self) -> Group:
        return _there(self.fleet.group, "there is no group")

    @property
    def hooks(self) -> tuple[Hook, ...]:
        _there(self.fleet.group, "there is no group")
        return _there(self.fleet.hooks, "")

    @property
    def hook(self) -> Hook:
        """The termination hook of the wanted name."""
        name = self.s["fleet_termination_hook_name"]
        return _there(next((h for h in self.hooks if h.name == name), None), f"there is no hook {name}")

    @property
    def template(self) -> Template:
        return _there(self.fleet.template, "there is no launch template")

    @property
    def told(self) -> Mapping[str, str]:
        """What the agent on an instance is told (agent.conf)."""
        if self.template.agent_problem:
            raise NotLookedAt(self.template.agent_problem)
        return self.template.agent

    @property
    def machines(self) -> Mapping[str, Machine]:
        return _there(self.fleet.machines, "")

    @property
    def images(self) -> Mapping[str, Image]:
        return _there(self.fleet.images, "")

    @property
    def image(self) -> Image:
        """The template's."""
        return _there(self.images.get(self.template.image), f"image {self.template.image or '-'} is not there")

    @property
    def profile(self) -> Profile:
        return _there(self.fleet.profile, "there is no instance profile")

    @property
    def permissions(self) -> Permissions:
        return _there(self.fleet.permissions, "there is no role to ask about")

    @property
    def security_groups(self) -> Mapping[str, SecurityGroup]:
        return _there(self.fleet.security_groups, "")

    @property
    def secret(self) -> WorkerSecret:
        return _there(self.fleet.secret, "there is no secret")

    @property
    def log_group(self) -> LogGroup:
        return _there(self.fleet.log_group, "there is no log group")

    @property
    def activities(self) -> tuple[Activity, ...]:
        return _there(self.fleet.activities, "")

    @property
    def refreshes(self) -> tuple[Refresh, ...]:
        return _there(self.fleet.refreshes, "")

    @property
    def refreshing(self) -> bool:
        """Whether instances are known to be replaced just now."""
        under_way = ("Pending", "InProgress", "Baking", "RollbackInProgress")
        return not isinstance(self.fleet.refreshes, Unread) and any(r.status in under_way for r in self.fleet.refreshes)

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        return _there(self.fleet.subnets, "")

    @property
    def key_pairs(self) -> frozenset[str]:
        return _there(self.fleet.key_pairs, "")

    @property
    def registry(self) -> Registry:
        """The registry, read."""
        if self.asked_registry is None:
            raise NotLookedAt("fleet_registry_dsn is empty")
        if not self.asked_registry.reachable:
            raise NotLookedAt("the registry could not be read")
        return self.asked_registry

    def play(self, playbook: str, *options: str) -> str:
        """A remedy: run this playbook."""
        return f"Run `{self.place.run(playbook, *options)}`"

    def aws(self, command: str) -> str:
        """A remedy: aws-cli's command, in the fleet's region."""
        return f"`aws {command} --region {self.s['fleet_region']}`"


def _there(part: T | Unread | None, otherwise: str) -> T:
    if isinstance(part, Unread):
        raise NotLookedAt("it could not be read")
    if part is None:
        raise NotLookedAt(otherwise)
    return part


@dataclass(frozen=True)
class Check:
    """A stable id, and who looks."""

    id: str
    section: int
    severity: str
    look: Callable[[View], str | Seen]

    def finding(self, view: View) -> Finding:
        """How it stands; one finding, whatever it is."""
        try:
            seen = self.look(view)
        except Wrong as wrong:
            severity = wrong.severity or self.severity
            return Finding(self.id, severity, str(wrong), wrong.remedy, section=self.section, evidence=wrong.evidence)
        except NotLookedAt as why:
            return Finding(
                self.id, "info", f"Not looked at: {why}.", ok=True, section=self.section, evidence={"looked": False}
            )
        detail, evidence = seen if isinstance(seen, Seen) else (seen, {})
        return Finding(self.id, self.severity, detail, ok=True, section=self.section, evidence=evidence)


CHECKS: list[Check] = []


def check(
    name: str, section: int, severity: str = "error"
) -> Callable[[Callable[[View], str | Seen]], Callable[[View], str | Seen]]:
    """Register a check of a runbook section under a stable id."""

    def registered(look: Callable[[View], str | Seen]) -> Callable[[View], str | Seen]:
        CHECKS.append(Check(name, section, severity, look))
        return look

    return registered


def span(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def named(ids: Iterable[str]) -> str:
    """The first few, and how many more."""
    ids = sorted(ids)
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
