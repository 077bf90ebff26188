# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: what has to be right before a playbook changes anything, and what its operator should know. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.precondition import (
    EVERYTHING,
    Inputs,
    Precondition,
    Problem,
    precondition,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Subnet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites

LAUNCHES = frozenset({"launch_template", "autoscaling_group"})
NETWORK = frozenset({"security_group", "autoscaling_group"})
PRECONDITIONS: list[Precondition] = []
needs = partial(precondition, PRECONDITIONS)


def before_anything(settings: Mapping[str, Any], prerequisites: Prerequisites, fly: bool) -> list[Finding]:
    """A finding for each problem; none where everything is right.

    :param fly: whether the `fly` command is installed here.
    """
    inputs = Inputs(settings, prerequisites, fly)
    return [finding for each in PRECONDITIONS for finding in each.findings(inputs)]


@needs("account", needed_by=EVERYTHING)
def _account(inputs: Inputs) -> Iterator[Problem]:
    """The credentials belong to fleet_account_id, where it is given."""
    desired, found = inputs.settings["fleet_account_id"], inputs.prerequisites.caller.account
    if desired not in ("", found):
        yield Problem(
            f"These credentials belong to account {found}, but fleet_account_id is {desired}.",
            Remedy("Use the credentials of that account (fleet_profile, AWS_PROFILE), or correct the variable."),
        )


@needs("vpc", needed_by=NETWORK)
def _vpc(inputs: Inputs) -> Iterator[Problem]:
    """The VPC exists."""
    id, region = inputs.settings["fleet_vpc_id"], inputs.settings["fleet_region"]
    if inputs.prerequisites.vpc is None and id:
        yield Problem(f"There is no VPC {id} in {region}.", Remedy("Correct fleet_vpc_id or fleet_region."))
    elif inputs.prerequisites.vpc is None:
        yield Problem(
            f"{region} has no default VPC.",
            Remedy("Name yours in fleet_vpc_id, and its subnets in fleet_subnet_ids, or correct fleet_region."),
        )


def _subnets(inputs: Inputs) -> tuple[Subnet, ...]:
    return inputs.prerequisites.subnets if inputs.prerequisites.vpc else ()


def _missing_subnets(inputs: Inputs) -> set[str]:
    desired = inputs.settings["fleet_subnet_ids"] if inputs.prerequisites.vpc else ()
    return set(desired) - {subnet.id for subnet in _subnets(inputs)}


@needs("subnet", needed_by=NETWORK)
def _subnet(inputs: Inputs) -> Iterator[Problem]:
    """The subnets exist."""
    for id in sorted(_missing_subnets(inputs)):
        detail = f"There is no subnet {id} in {inputs.settings['fleet_region']}."
        yield Problem(detail, Remedy("Correct fleet_subnet_ids."))


@needs("subnet-vpc", needed_by=NETWORK)
def _subnet_vpc(inputs: Inputs) -> Iterator[Problem]:
    """The subnets are in the VPC."""
    for subnet in _subnets(inputs):
        if subnet.vpc != inputs.prerequisites.vpc:
            yield Problem(
                f"Subnet {subnet.id} belongs to {subnet.vpc}, not to {inputs.prerequisites.vpc}.",
                Remedy("Correct fleet_subnet_ids or fleet_vpc_id."),
            )


@needs("subnet-type", needed_by=NETWORK)
def _subnet_type(inputs: Inputs) -> Iterator[Problem]:
    """The subnets' zones offer the instance type."""
    type = inputs.prerequisites.instance_type
    for subnet in _subnets(inputs):
        if type and type.zones and subnet.zone not in type.zones:
            yield Problem(
                f"Zone {subnet.zone} of subnet {subnet.id} does not offer {type.name}.",
                Remedy("Take the subnet out of fleet_subnet_ids, or choose another fleet_instance_type."),
            )


@needs("zones", needed_by=NETWORK)
def _zones(inputs: Inputs) -> Iterator[Problem]:
    """The subnets lie in two zones at least."""
    vpc, zones = inputs.prerequisites.vpc, {subnet.zone for subnet in _subnets(inputs)}
    if vpc and len(zones) < 2 and not _missing_subnets(inputs):
        detail = (
            f"All of fleet_subnet_ids lie in one zone, {min(zones, default='-')}."
            if inputs.settings["fleet_subnet_ids"]
            else f"{vpc} has default subnets in {len(zones)} zones."
        )
        remedy = "A fleet needs two zones: name subnets of at least two in fleet_subnet_ids."
        yield Problem(detail, Remedy(remedy))


@needs("instance-type", needed_by=LAUNCHES)
def _instance_type(inputs: Inputs) -> Iterator[Problem]:
    """The region has the instance type."""
    if inputs.prerequisites.instance_type is None:
        settings = inputs.settings
        detail = f"{settings['fleet_region']} has no instance type {settings['fleet_instance_type']}."
        yield Problem(detail, Remedy("Correct fleet_instance_type."))


@needs("volume-key", needed_by=LAUNCHES)
def _volume_key(inputs: Inputs) -> Iterator[Problem]:
    """The volumes' KMS key exists and is enabled, where one is given."""
    name, key = inputs.settings["fleet_volume_kms_key_id"], inputs.prerequisites.volume_key
    if name and key is None:
        detail = f"There is no KMS key {name} in {inputs.settings['fleet_region']}."
        yield Problem(detail, Remedy("Correct fleet_volume_kms_key_id."))
    elif name and key and not key.enabled:
        yield Problem(f"KMS key {name} is not enabled.", Remedy("Enable it, or correct fleet_volume_kms_key_id."))


@needs("volume-key-grant", needed_by=LAUNCHES)
def _volume_key_grant(inputs: Inputs) -> Iterator[Problem]:
    """Auto Scaling may use the volumes' KMS key."""
    name, key = inputs.settings["fleet_volume_kms_key_id"], inputs.prerequisites.volume_key
    if name and key and key.enabled and not key.usable_by_auto_scaling:
        command = (
            f"aws kms create-grant --key-id {key.arn} "
            f"--grantee-principal {inputs.prerequisites.caller.service_linked_role} "
            "--operations Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext "
            "DescribeKey CreateGrant"
        )
        yield Problem(
            f"KMS key {name} does not let Auto Scaling use it, so every instance would fail to launch.",
            Remedy("Grant it:", (command,)),
        )


@needs("image", needed_by=LAUNCHES)
def _image(inputs: Inputs) -> Iterator[Problem]:
    """There is an image to launch from."""
    settings, id = inputs.settings, inputs.prerequisites.requested_image
    if inputs.prerequisites.image is None and id:
        which = "The group's image" if settings["fleet_image"] == "keep" else "Image"
        yield Problem(
            f"{which} {id} does not exist in {settings['fleet_region']}, or is not shared with this account.",
            Remedy("Set fleet_image to one that does, or to newest."),
        )
    elif inputs.prerequisites.image is None:
        type = inputs.prerequisites.instance_type
        fits = f" for {'/'.join(type.architectures)}" if type else ""
        yield Problem(
            f"This account has no image {settings['fleet_image_name_pattern']}{fits} in {settings['fleet_region']}.",
            Remedy("Bake one (§2, make image), or name one in fleet_image."),
        )


@needs("image-state", needed_by=LAUNCHES)
def _image_state(inputs: Inputs) -> Iterator[Problem]:
    """The image is available."""
    image = inputs.prerequisites.image
    if image and image.state != "available":
        remedy = "Wait until it is available, or name another in fleet_image."
        yield Problem(f"Image {image.id} is {image.state}.", Remedy(remedy))


@needs("image-architecture", needed_by=LAUNCHES)
def _image_architecture(inputs: Inputs) -> Iterator[Problem]:
    """The instance type runs the image's architecture."""
    image, type = inputs.prerequisites.image, inputs.prerequisites.instance_type
    if image and type and image.architecture not in type.architectures:
        runs = " and ".join(type.architectures)
        yield Problem(
            f"Image {image.id} is for {image.architecture}, but {type.name} runs {runs}.",
            Remedy("Choose another fleet_image or fleet_instance_type."),
        )


@needs("image-origin", severity="warning", needed_by=LAUNCHES)
def _image_origin(inputs: Inputs) -> Iterator[Problem]:
    """The image was baked by this kit, so it has an agent."""
    image = inputs.prerequisites.image
    if image and image.agent_schema is None:
        yield Problem(
            f"Image {image.id} ({image.name}) does not say which agent.conf it reads: it was not baked by this kit.",
            Remedy("Its instances may not boot a worker. Bake one (§2, make image)."),
        )


@needs("image-schema", needed_by=LAUNCHES)
def _image_schema(inputs: Inputs) -> Iterator[Problem]:
    """The image's agent reads the schema of agent.conf that these playbooks write."""
    image = inputs.prerequisites.image
    if image and image.agent_schema not in (None, agent_conf.SCHEMA):
        yield Problem(
            f"The agent in image {image.id} reads schema {image.agent_schema} of agent.conf, "
            f"but these playbooks write {agent_conf.SCHEMA}.",
            Remedy("Bake an image with this release, or use the release that the image was baked with."),
        )


@needs("key-pair", needed_by=LAUNCHES)
def _key_pair(inputs: Inputs) -> Iterator[Problem]:
    """The key pair exists, or its public key is given, or none is named."""
    settings = inputs.settings
    if settings["fleet_key_name"] and not inputs.prerequisites.key_pair_exists and not settings["fleet_key_public"]:
        yield Problem(
            f"There is no key pair {settings['fleet_key_name']} in {settings['fleet_region']}.",
            Remedy(
                "Give the public key in fleet_key_public to import it, "
                "or set fleet_key_name to '' for instances without one."
            ),
        )


@needs("secret-deleted", needed_by=frozenset({"autoscaling_group"}))
def _secret_deleted(inputs: Inputs) -> Iterator[Problem]:
    """The secret is not scheduled for deletion."""
    secret = inputs.prerequisites.secret
    if secret and secret.deletion_scheduled:
        name, region = inputs.settings["fleet_secret_name"], inputs.settings["fleet_region"]
        yield Problem(
            f"Secret {name} is scheduled for deletion: no instance can boot with it.",
            Remedy("Keep it:", (f"aws secretsmanager restore-secret --region {region} --secret-id {name}",)),
        )


@needs("secret", severity="warning")
def _secret(inputs: Inputs) -> Iterator[Problem]:
    """The secret exists, or fleet_secret_create is true."""
    if inputs.prerequisites.secret is None and not inputs.settings["fleet_secret_create"]:
        yield Problem(
            f"There is no secret {inputs.settings['fleet_secret_name']}: "
            "instances cannot boot a worker until it exists.",
            Remedy("Create it (§9), or let -e fleet_secret_create=true make a placeholder for you to fill in."),
        )


@needs("fly", needed_by=frozenset({"valet"}))
def _fly(inputs: Inputs) -> Iterator[Problem]:
    """The fly command is installed, where fleet_valet_apply is true."""
    if inputs.settings["fleet_valet_apply"] and not inputs.fly:
        yield Problem(
            "fleet_valet_apply is true, but there is no fly command here.",
            Remedy("Install flyctl and log in, or run the written command elsewhere."),
        )


@needs("sizes-owned-by-valet", severity="info")
def _sizes(inputs: Inputs) -> Iterator[Problem]:
    """The group's sizes are the variables'. Where fleet_size_owner is valet, others are left as they are."""
    group, settings = inputs.prerequisites.group, inputs.settings
    desired = (settings["fleet_min_size"], settings["fleet_max_size"])
    if group and settings["fleet_size_owner"] == "valet" and (group.min_size, group.max_size) != desired:
        yield Problem(
            f"The group's sizes are {group.min_size} to {group.max_size}, "
            f"fleet_min_size and fleet_max_size say {desired[0]} to {desired[1]}. Left to VALET.",
            Remedy("To change them: -e fleet_size_owner=playbook"),
        )


@needs("version-pending", severity="info")
def _version(inputs: Inputs) -> Iterator[Problem]:
    """The group uses the latest launch template version. Where fleet_new_version is hold, it waits for a rollout."""
    group, latest = inputs.prerequisites.group, inputs.prerequisites.latest_version
    version = group.template_version if group else ""
    if inputs.settings["fleet_new_version"] == "hold" and version.isdigit() and latest and int(version) < latest:
        yield Problem(
            f"Launch template version {latest} is pending: "
            f"the group keeps version {version} until a rollout (fleet_new_version: hold)."
        )
