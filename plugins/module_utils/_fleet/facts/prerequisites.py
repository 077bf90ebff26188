# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to exist before a fleet can be built, as frozen values. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    Image,
    Secret,
    Subnet,
)


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


@dataclass(frozen=True)
class KmsKey:
    arn: str
    enabled: bool
    usable_by_auto_scaling: bool
    """whether the service-linked role of Auto Scaling may use it"""


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
    volume_key: KmsKey | None
    role_exists: bool
    user_has_access_key: bool
    group: Group | None
    latest_version: int | None
    """of the launch template"""
