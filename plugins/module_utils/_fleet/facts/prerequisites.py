# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet stands on, as frozen values. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Who asks."""

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
        """ARN of the role by which Auto Scaling launches instances."""
        return f"arn:{self.partition}:iam::{self.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


@dataclass(frozen=True)
class Subnet:
    id: str
    vpc: str
    zone: str
    zone_default: bool


@dataclass(frozen=True)
class InstanceType:
    name: str
    architectures: tuple[str, ...]
    zones: tuple[str, ...]
    """where this region offers it"""


@dataclass(frozen=True)
class Image:
    id: str
    name: str
    architecture: str
    state: str
    created: str
    """ISO 8601"""
    agent_schema: str | None
    """the schema of /etc/ghosthands/agent.conf that the image's agent reads; None: not an image of this kit"""
    deprecated: str = ""
    """from when on EC2 calls it deprecated, ISO 8601; empty: never"""


@dataclass(frozen=True)
class Secret:
    arn: str
    being_deleted: bool


@dataclass(frozen=True)
class Key:
    """A KMS key."""

    arn: str
    usable: bool
    open_to_groups: bool
    """whether the service-linked role of Auto Scaling may use it"""


@dataclass(frozen=True)
class Group:
    min_size: int
    max_size: int
    desired_capacity: int
    template_version: str
    """as the group names it: a number, $Latest or $Default; empty where it has no launch template"""


@dataclass(frozen=True)
class Surroundings:
    """What AWS alone knows and a fleet's tasks refer to. None: it is not there."""

    caller: Caller
    vpc: str | None
    subnets: tuple[Subnet, ...]
    """the ones to use, by zone"""
    instance_type: InstanceType | None
    image: Image | None
    image_wanted: str
    """the id that `fleet_image` came down to; empty where it came to nothing"""
    key_pair: bool
    secret: Secret | None
    volume_key: Key | None
    role: bool
    user_has_key: bool
    group: Group | None
    latest_version: int | None
    """of the launch template"""
