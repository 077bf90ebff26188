# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to exist before a fleet can be built, as frozen values. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    Image,
    Secret,
    Subnet,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import PrefixList, Route
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE


@dataclass(frozen=True)
class Caller:
    """Whose credentials are used."""

    account: str
    partition: str
    """aws, aws-cn, aws-us-gov"""
    arn: str

    @property
    def dns_suffix(self) -> str:
        """The partition's domain."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def service_linked_role(self) -> str:
        """ARN of the role with which Auto Scaling launches instances."""
        role = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        return f"arn:{self.partition}:iam::{self.account}:role/{role}"


@dataclass(frozen=True)
class InstanceType:
    name: str
    architectures: tuple[str, ...]
    zones: tuple[str, ...]
    """the region's zones that offer it"""
    memory_mib: int
    hypervisor: str = "nitro"
    """nitro or xen; bare metal has none, and counts as nitro"""


@dataclass(frozen=True)
class KmsKey:
    arn: str
    state: str
    """KeyState: Enabled, Disabled, PendingDeletion, ..."""
    symmetric: bool
    """whether it encrypts and decrypts symmetrically: EBS uses no other"""
    aws_managed: bool
    policy: Mapping[str, Any] | Unread
    granted: frozenset[str] | Unread
    """the operations that grants allow the service-linked role of Auto Scaling"""

    @property
    def account(self) -> str:
        """Its owner."""
        return self.arn.split(":")[4]


@dataclass(frozen=True)
class LaunchKey:
    """A key that a launch uses."""

    purpose: str
    """such as `fleet_volume_kms_key_id` or `snapshot snap-1 of image ami-1`"""
    name: str
    """as it is named there; empty: not known"""
    key: KmsKey | Unread | None
    """None: it does not exist"""


@dataclass(frozen=True)
class Prerequisites:
    """What only AWS knows and a fleet's tasks refer to. None: it does not exist."""

    caller: Caller
    vpc: str | None
    subnets: tuple[Subnet, ...]
    """the ones to use, by zone"""
    instance_type: InstanceType | None
    image: Image | None
    requested_image: str
    """the image id that `fleet_image` resolves to; empty: to none"""
    key_pair_exists: bool
    secret: Secret | None
    role_exists: bool
    user_has_access_key: bool
    group: Group | None
    template_id: str | None
    """of the launch template"""
    latest_version: int | None
    """of the launch template"""
    pending: bool = False
    """whether the latest version says anything else than the one that the group uses"""
    used_conf: Mapping[str, str] = field(default_factory=dict)
    """the agent.conf of the version that the group uses; empty: there is none, or it has none"""
    without_agent: tuple[str, ...] = ()
    """the group's instances that have no agent of this kit"""
    worker_image: str = ""
    """that of the launch template version that the group uses; empty: none"""
    keys: tuple[LaunchKey, ...] | Unread = ()
    """the named one, and where the group does not use this image yet its snapshots' and the account's default"""
    boundary_exists: bool | Unread = True
    """whether fleet_permissions_boundary_arn exists"""
    security_groups: Mapping[str, str] | Unread = field(default_factory=dict)
    """of the fleet_*_security_group_ids those that exist: id -> VPC"""
    prefix_lists: Mapping[str, PrefixList] | Unread = field(default_factory=dict)
    """of the fleet_*_prefix_list_ids those that exist"""
    rules_quota: float | Unread | None = None
    """how many rules a direction of a security group may have; None: not read, the default is enough"""
    routes: Mapping[str, tuple[Route, ...]] | Unread | None = None
    """subnet -> its routes; None: not read, the group uses these subnets already"""
    endpoints: frozenset[str] | Unread = frozenset()
    """the services that have an endpoint in the VPC (ecr.api, ...); read where a subnet has no way out"""

    @property
    def pinned_version(self) -> str:
        """How the group states its version of the launch template; empty: there is none, or it uses another one.

        So it is for a group that this kit did not make: to adopt it is to launch from a version that has the agent.
        """
        group = self.group
        if group is None or KEY not in group.tags or group.tags[KEY].value != VALUE:
            return ""
        return group.template_version if self.template_id and group.template_id == self.template_id else ""
