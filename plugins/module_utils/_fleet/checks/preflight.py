# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: what has to be right before a playbook changes anything, and what its operator should know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Failed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import SCHEMA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Subnet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites

LAUNCHES = frozenset({"launch_template", "autoscaling_group"})
NETWORK = frozenset({"security_group", "autoscaling_group"})
EVERYTHING = LAUNCHES | NETWORK | {"foundation", "iam", "lifecycle_hook", "valet"}


@dataclass(frozen=True)
class Inputs:
    """Everything that a check of this file may look at."""

    settings: Mapping[str, Any]
    """Every fleet_* variable."""
    prerequisites: Prerequisites
    fly: bool
    """Whether the `fly` command is installed here."""


CHECKS = CheckList[Inputs]()
check = CHECKS.check


def before_anything(settings: Mapping[str, Any], prerequisites: Prerequisites, fly: bool) -> list[Finding]:
    """The findings of the checks that failed.

    :param fly: whether the `fly` command is installed here.
    """
    inputs = Inputs(settings, prerequisites, fly)
    return [finding for finding in (check.finding(inputs) for check in CHECKS) if not finding.ok]


@check("account", needed_by=EVERYTHING)
def _account(inputs: Inputs) -> None:
    """The credentials belong to fleet_account_id, where it is given."""
    desired, found = inputs.settings["fleet_account_id"], inputs.prerequisites.caller.account
    if desired not in ("", found):
        raise Failed(
            f"These credentials belong to account {found}, but fleet_account_id is {desired}.",
            "Use the credentials of that account (fleet_profile, AWS_PROFILE), or correct the variable.",
        )


@check("vpc", needed_by=NETWORK)
def _vpc(inputs: Inputs) -> None:
    """The VPC exists."""
    id, region = inputs.settings["fleet_vpc_id"], inputs.settings["fleet_region"]
    if inputs.prerequisites.vpc is None and id:
        raise Failed(f"There is no VPC {id} in {region}.", "Correct fleet_vpc_id or fleet_region.")
    if inputs.prerequisites.vpc is None:
        raise Failed(
            f"{region} has no default VPC.",
            "Name yours in fleet_vpc_id, and its subnets in fleet_subnet_ids, or correct fleet_region.",
        )


def _subnets(inputs: Inputs) -> tuple[Subnet, ...]:
    return inputs.prerequisites.subnets if inputs.prerequisites.vpc else ()


def _missing_subnets(inputs: Inputs) -> list[str]:
    desired = inputs.settings["fleet_subnet_ids"] if inputs.prerequisites.vpc else ()
    return sorted(set(desired) - {subnet.id for subnet in _subnets(inputs)})


@check("subnet", needed_by=NETWORK)
def _subnet(inputs: Inputs) -> None:
    """The subnets exist."""
    if missing := _missing_subnets(inputs):
        region = inputs.settings["fleet_region"]
        raise Failed(f"There is no subnet {', '.join(missing)} in {region}.", "Correct fleet_subnet_ids.")


@check("subnet-vpc", needed_by=NETWORK)
def _subnet_vpc(inputs: Inputs) -> None:
    """The subnets are in the VPC."""
    vpc = inputs.prerequisites.vpc
    if others := [subnet for subnet in _subnets(inputs) if subnet.vpc != vpc]:
        details = (f"Subnet {subnet.id} belongs to {subnet.vpc}, not to {vpc}." for subnet in others)
        raise Failed(" ".join(details), "Correct fleet_subnet_ids or fleet_vpc_id.")


@check("subnet-type", needed_by=NETWORK)
def _subnet_type(inputs: Inputs) -> None:
    """The subnets' zones offer the instance type."""
    type = inputs.prerequisites.instance_type
    if not type or not type.zones:
        return
    if without := [subnet for subnet in _subnets(inputs) if subnet.zone not in type.zones]:
        details = (f"Zone {subnet.zone} of subnet {subnet.id} does not offer {type.name}." for subnet in without)
        remedy = "Take the subnet out of fleet_subnet_ids, or choose another fleet_instance_type."
        raise Failed(" ".join(details), remedy)


@check("zones", needed_by=NETWORK)
def _zones(inputs: Inputs) -> None:
    """The subnets lie in two zones at least."""
    vpc, zones = inputs.prerequisites.vpc, {subnet.zone for subnet in _subnets(inputs)}
    if vpc and len(zones) < 2 and not _missing_subnets(inputs):
        raise Failed(
            f"All of fleet_subnet_ids lie in one zone, {min(zones, default='-')}."
            if inputs.settings["fleet_subnet_ids"]
            else f"{vpc} has default subnets in {len(zones)} zones.",
            "A fleet needs two zones: name subnets of at least two in fleet_subnet_ids.",
        )


@check("instance-type", needed_by=LAUNCHES)
def _instance_type(inputs: Inputs) -> None:
    """The region has the instance type."""
    region, type = inputs.settings["fleet_region"], inputs.settings["fleet_instance_type"]
    if inputs.prerequisites.instance_type is None:
        raise Failed(f"{region} has no instance type {type}.", "Correct fleet_instance_type.")


@check("volume-key", needed_by=LAUNCHES)
def _volume_key(inputs: Inputs) -> None:
    """The volumes' KMS key exists and is enabled, where one is given."""
    name, region = inputs.settings["fleet_volume_kms_key_id"], inputs.settings["fleet_region"]
    key = inputs.prerequisites.volume_key
    if name and key is None:
        raise Failed(f"There is no KMS key {name} in {region}.", "Correct fleet_volume_kms_key_id.")
    if name and key and not key.enabled:
        raise Failed(f"KMS key {name} is not enabled.", "Enable it, or correct fleet_volume_kms_key_id.")


@check("volume-key-grant", needed_by=LAUNCHES)
def _volume_key_grant(inputs: Inputs) -> None:
    """Auto Scaling may use the volumes' KMS key."""
    name, key = inputs.settings["fleet_volume_kms_key_id"], inputs.prerequisites.volume_key
    if name and key and key.enabled and not key.usable_by_auto_scaling:
        command = (
            f"aws kms create-grant --key-id {key.arn} "
            f"--grantee-principal {inputs.prerequisites.caller.service_linked_role} "
            "--operations Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext "
            "DescribeKey CreateGrant"
        )
        raise Failed(
            f"KMS key {name} does not let Auto Scaling use it, so every instance would fail to launch.",
            Remedy("Grant it:", (command,)),
        )


@check("image", needed_by=LAUNCHES)
def _image(inputs: Inputs) -> None:
    """There is an image to launch from."""
    settings, id = inputs.settings, inputs.prerequisites.requested_image
    if inputs.prerequisites.image is None and id:
        which = "The group's image" if settings["fleet_image"] == "keep" else "Image"
        raise Failed(
            f"{which} {id} does not exist in {settings['fleet_region']}, or is not shared with this account.",
            "Set fleet_image to one that exists, or to newest.",
        )
    if inputs.prerequisites.image is None:
        type = inputs.prerequisites.instance_type
        fits = f" for {'/'.join(type.architectures)}" if type else ""
        raise Failed(
            f"This account has no image {settings['fleet_image_name_pattern']}{fits} in {settings['fleet_region']}.",
            "Bake one (§2, make image), or name one in fleet_image.",
        )


@check("image-state", needed_by=LAUNCHES)
def _image_state(inputs: Inputs) -> None:
    """The image is available."""
    image = inputs.prerequisites.image
    if image and image.state != "available":
        raise Failed(
            f"Image {image.id} is {image.state}.", "Wait until it is available, or name another in fleet_image."
        )


@check("image-architecture", needed_by=LAUNCHES)
def _image_architecture(inputs: Inputs) -> None:
    """The instance type runs the image's architecture."""
    image, type = inputs.prerequisites.image, inputs.prerequisites.instance_type
    if image and type and image.architecture not in type.architectures:
        runs = " and ".join(type.architectures)
        raise Failed(
            f"Image {image.id} is for {image.architecture}, but {type.name} runs {runs}.",
            "Choose another fleet_image or fleet_instance_type.",
        )


@check("image-origin", severity="warning", needed_by=LAUNCHES)
def _image_origin(inputs: Inputs) -> None:
    """The image was baked by this kit, so it has an agent."""
    image = inputs.prerequisites.image
    if image and image.agent_schema is None:
        raise Failed(
            f"Image {image.id} ({image.name}) does not say which agent.conf it reads: it was not baked by this kit.",
            "Its instances may not boot a worker. Bake one (§2, make image).",
        )


@check("image-schema", needed_by=LAUNCHES)
def _image_schema(inputs: Inputs) -> None:
    """The image's agent reads the schema of agent.conf that these playbooks write."""
    image = inputs.prerequisites.image
    if image and image.agent_schema not in (None, SCHEMA):
        raise Failed(
            f"The agent in image {image.id} reads schema {image.agent_schema} of agent.conf, "
            f"but these playbooks write {SCHEMA}.",
            "Bake an image with this release (make image) and adopt it (-e fleet_image=newest), "
            "or use the release that the image was baked with.",
        )


@check("key-pair", needed_by=LAUNCHES)
def _key_pair(inputs: Inputs) -> None:
    """The key pair exists, or its public key is given, or none is named."""
    name, public_key = inputs.settings["fleet_key_name"], inputs.settings["fleet_key_public"]
    if name and not inputs.prerequisites.key_pair_exists and not public_key:
        raise Failed(
            f"There is no key pair {name} in {inputs.settings['fleet_region']}.",
            "Give the public key in fleet_key_public to import it, "
            "or set fleet_key_name to '' for instances without one.",
        )


@check("secret-deleted", needed_by=frozenset({"autoscaling_group"}))
def _secret_deleted(inputs: Inputs) -> None:
    """The secret is not scheduled for deletion."""
    secret = inputs.prerequisites.secret
    if secret and secret.deletion_scheduled:
        name, region = inputs.settings["fleet_secret_name"], inputs.settings["fleet_region"]
        raise Failed(
            f"Secret {name} is scheduled for deletion: no instance can boot with it.",
            Remedy("Keep it:", (f"aws secretsmanager restore-secret --region {region} --secret-id {name}",)),
        )


@check("secret", severity="warning")
def _secret(inputs: Inputs) -> None:
    """The secret exists, or fleet_secret_create is true."""
    name = inputs.settings["fleet_secret_name"]
    if inputs.prerequisites.secret is None and not inputs.settings["fleet_secret_create"]:
        raise Failed(
            f"There is no secret {name}: instances cannot boot a worker until it exists.",
            "Create it (§9), or let -e fleet_secret_create=true make a placeholder for you to fill in.",
        )


@check("fly", needed_by=frozenset({"valet"}))
def _fly(inputs: Inputs) -> None:
    """The fly command is installed, where fleet_valet_apply is true."""
    if inputs.settings["fleet_valet_apply"] and not inputs.fly:
        raise Failed(
            "fleet_valet_apply is true, but there is no fly command here.",
            "Install flyctl and log in, or run the written command elsewhere.",
        )


@check("sizes-owned-by-valet", severity="info")
def _sizes(inputs: Inputs) -> None:
    """The group's sizes are the variables'. Where fleet_size_owner is valet, others are left as they are."""
    group, settings = inputs.prerequisites.group, inputs.settings
    desired = (settings["fleet_min_size"], settings["fleet_max_size"])
    if group and settings["fleet_size_owner"] == "valet" and (group.min_size, group.max_size) != desired:
        raise Failed(
            f"The group's sizes are {group.min_size} to {group.max_size}, "
            f"fleet_min_size and fleet_max_size say {desired[0]} to {desired[1]}. Left to VALET.",
            "To change them: -e fleet_size_owner=playbook",
        )


@check("version-pending", severity="info")
def _version(inputs: Inputs) -> None:
    """The group uses the latest launch template version. Where fleet_new_version is hold, it waits for a rollout."""
    group, latest = inputs.prerequisites.group, inputs.prerequisites.latest_version
    version = group.template_version if group else ""
    if inputs.settings["fleet_new_version"] == "hold" and version.isdigit() and latest and int(version) < latest:
        raise Failed(
            f"Launch template version {latest} is pending: "
            f"the group keeps version {version} until a rollout (fleet_new_version: hold)."
        )
