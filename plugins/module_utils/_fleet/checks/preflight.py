# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: what has to be right before a playbook changes anything, and what its operator should know. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import path
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Failed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.key_policy import Verdict, verdict
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.settings import LEAST_MEMORY, mebibytes
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import SCHEMA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Subnet, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.internet import is_internet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import (
    DOORS,
    RULES,
    RULES_QUOTA,
    ingress_sizes,
    way_out,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    KmsKey,
    LaunchKey,
    Prerequisites,
)

T = TypeVar("T")
# What an instance calls before its worker runs, and where the worker's image is in ECR.
SERVICES = ("autoscaling", "secretsmanager", "logs")
REGISTRY = ("ecr.api", "ecr.dkr", "s3")
ECR = re.compile(r"\d+\.dkr\.ecr\.")
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


@check("subnet-ipv4", needed_by=NETWORK)
def _subnet_ipv4(inputs: Inputs) -> None:
    """The subnets have IPv4: the agent calls the metadata service and AWS by IPv4."""
    if those := [subnet.id for subnet in _subnets(inputs) if subnet.ipv6_only]:
        raise Failed(
            f"{_listed('Subnet', those)} IPv6 only, and workers need IPv4.",
            "Name subnets that have IPv4, or both, in fleet_subnet_ids.",
        )


@check("subnet-addresses", severity="warning", needed_by=NETWORK)
def _subnet_addresses(inputs: Inputs) -> None:
    """The subnets have enough free addresses for fleet_max_size instances. AWS keeps five of each subnet."""
    settings, group = inputs.settings, inputs.prerequisites.group
    usable = [subnet for subnet in _subnets(inputs) if not subnet.ipv6_only]
    known = [subnet.free_addresses for subnet in usable if subnet.free_addresses is not None]
    free, running = sum(known), len(group.instances) if group else 0
    least, most = (
        (group.min_size, group.max_size) if group else (settings["fleet_min_size"], settings["fleet_max_size"])
    )
    if known and free + running < most:
        beside = f" beside the group's {running} instances" if running else ""
        few = free + running < least
        need = f"fewer than the minimum of {least}" if few else f"and the group may grow to {most}"
        raise Failed(
            f"The subnets have {free} free addresses{beside} (AWS keeps five of each subnet), {need} instances.",
            "Name more or bigger subnets in fleet_subnet_ids, or lower the group's sizes.",
            "error" if few else "",
            free=free,
            running=running,
        )


@check("subnet-way-out", needed_by=NETWORK)
def _subnet_way_out(inputs: Inputs) -> None:
    """Instances reach AWS: by a route to the internet that answers, or by VPC endpoints.

    Through an internet gateway that takes a public address; NAT, a transit gateway and the like do without.
    """
    found, settings = inputs.prerequisites, inputs.settings
    public = settings["fleet_public_address"]
    if isinstance(found.routes, Unread):
        raise Failed(f"Whether the subnets have a way out could not be asked: {found.routes.reason}", severity="info")
    stuck = [subnet for subnet, routes in (found.routes or {}).items() if not way_out(routes, public)]
    if not stuck:
        return
    if isinstance(found.endpoints, Unread):
        reason = found.endpoints.reason
        raise Failed(
            f"{_listed('Subnet', stuck)} without a route out, endpoints could not be asked: {reason}", "", "info"
        )
    image = settings["fleet_worker_image"]
    in_ecr = not image or image.startswith((":", "@")) or ECR.match(image)
    if missing := [name for name in SERVICES + (REGISTRY if in_ecr else ()) if name not in found.endpoints]:
        gateway = any(route.target.startswith("igw-") for id in stuck for route in (found.routes or {})[id])
        raise Failed(
            f"{_listed('Subnet', stuck)} without a way out: "
            + ("its internet gateway serves public addresses only (fleet_public_address is false), " if gateway else "")
            + f"no route reaches the internet and the VPC has no endpoint for {', '.join(missing)}. "
            "No instance could boot a worker.",
            "Route 0.0.0.0/0 to a NAT gateway"
            + (", set it to true" if gateway else "")
            + ", create the endpoints, or name other subnets in fleet_subnet_ids.",
        )


@check("boundary", needed_by=frozenset({"iam", "valet"}))
def _boundary(inputs: Inputs) -> None:
    """The permissions boundary exists, where one is named."""
    exists, arn = inputs.prerequisites.boundary_exists, inputs.settings["fleet_permissions_boundary_arn"]
    if isinstance(exists, Unread):
        raise Failed(f"Whether the policy {arn} exists could not be asked: {exists.reason}", severity="info")
    owner = arn.split(":")[4] if arn else ""
    if arn and owner not in ("aws", inputs.prerequisites.caller.account):
        raise Failed(
            f"The permissions boundary {arn} belongs to account {owner}: IAM takes this account's own and AWS's.",
            "Correct fleet_permissions_boundary_arn.",
        )
    if not exists:
        raise Failed(f"There is no policy {arn}.", "Create it, or correct fleet_permissions_boundary_arn.")


@check("source-groups", needed_by=frozenset({"security_group"}))
def _source_groups(inputs: Inputs) -> None:
    """The security groups that may connect (fleet_*_security_group_ids) exist.

    One of another VPC is a warning: AWS takes it where that VPC is connected with the fleet's.
    """
    vpc = inputs.prerequisites.vpc
    found = _sources(inputs, "security group", inputs.prerequisites.security_groups)
    if elsewhere := sorted(f"{id} ({its})" for id, its in found.items() if vpc and its != vpc):
        raise Failed(
            f"Security groups of other VPCs than {vpc}: {', '.join(elsewhere)}.",
            "AWS refuses the rule unless the two VPCs are connected.",
            "warning",
        )


@check("source-lists", needed_by=frozenset({"security_group"}))
def _source_lists(inputs: Inputs) -> None:
    """The prefix lists that may connect (fleet_*_prefix_list_ids) exist, and SSH's are not the whole internet."""
    found = _sources(inputs, "prefix list", inputs.prerequisites.prefix_lists)
    ssh = [found[id] for id in inputs.settings["fleet_ssh_prefix_list_ids"]]
    if is_internet(cidr for one in ssh for cidr in one.cidrs):
        raise Failed(
            f"fleet_ssh_prefix_list_ids holds {', '.join(one.id for one in ssh)}: SSH for the whole world is refused.",
            "Name your own networks, or leave the list empty and use Session Manager.",
        )


@check("security-group-rules", needed_by=frozenset({"security_group"}))
def _security_group_rules(inputs: Inputs) -> None:
    """The security group's rules fit the account's quota, 60 in each direction by default."""
    lists, quota = inputs.prerequisites.prefix_lists, inputs.prerequisites.rules_quota
    most = int(quota) if isinstance(quota, (int, float)) else RULES
    four, six = ingress_sizes(inputs.settings, {} if isinstance(lists, Unread) else lists)
    if max(four, six) > most:
        raise Failed(
            f"The fleet_*_cidrs, _security_group_ids and _prefix_list_ids make {four} rules of IPv4 and {six} of IPv6; "
            f"a security group may have {most} of each (a prefix list counts as its maximum of entries).",
            "Join networks, use a group or a prefix list, or ask for more (Service Quotas, "
            f"Amazon Virtual Private Cloud, {RULES_QUOTA}).",
            "warning" if isinstance(quota, Unread) else "",
            ipv4=four,
            ipv6=six,
        )


def _sources(inputs: Inputs, noun: str, found: Mapping[str, T] | Unread) -> Mapping[str, T]:
    """What was found of the security groups or prefix lists that may connect. Raises Failed if any is missing."""
    if isinstance(found, Unread):
        raise Failed(f"Whether the named {noun}s exist could not be asked: {found.reason}", severity="info")
    named = {name: inputs.settings[name] for name in (f"fleet_{door}_{noun.replace(' ', '_')}_ids" for door in DOORS)}
    if missing := {name: ids for name, ids in named.items() if not set(ids) <= found.keys()}:
        ids = sorted({id for ids in missing.values() for id in ids} - found.keys())
        region = inputs.settings["fleet_region"]
        raise Failed(f"There is no {noun} {', '.join(ids)} in {region}.", f"Correct {', '.join(missing)}.")
    return found


def _listed(noun: str, ids: list[str]) -> str:
    return f"{noun}s {', '.join(ids)} are" if len(ids) > 1 else f"{noun} {ids[0]} is"


@check("instance-type", needed_by=LAUNCHES)
def _instance_type(inputs: Inputs) -> None:
    """The region has the instance type."""
    region, type = inputs.settings["fleet_region"], inputs.settings["fleet_instance_type"]
    if inputs.prerequisites.instance_type is None:
        raise Failed(f"{region} has no instance type {type}.", "Correct fleet_instance_type.")


@check("metadata-tags-live", severity="warning", needed_by=LAUNCHES)
def _metadata_tags_live(inputs: Inputs) -> None:
    """The metadata of the instance type shows new tags while an instance runs: by them wishes reach its agent."""
    type = inputs.prerequisites.instance_type
    if type and inputs.settings["fleet_metadata_tags"] and type.hypervisor != "nitro":
        raise Failed(
            f"{type.name} is not built on the Nitro System: its metadata may show a new tag only after a stop and a "
            "start, so that hold, resume, renew and release do not reach a running instance by its tag.",
            "Choose a type of the Nitro System, such as t3.medium, as fleet_instance_type; or use the agent's command "
            "line on each host.",
        )


@check("worker-memory", needed_by=LAUNCHES)
def _worker_memory(inputs: Inputs) -> None:
    """No memory limit is above the memory of the instance type: such a one limits nothing."""
    type = inputs.prerequisites.instance_type
    above = [name for name in LEAST_MEMORY if type and mebibytes(inputs.settings[name]) > type.memory_mib]
    if type and above:
        limits = ", ".join(f"{name} ({inputs.settings[name]})" for name in above)
        raise Failed(
            f"{limits}: above the {type.memory_mib} MiB of {type.name}, so the kernel ends whatever it likes.",
            "Lower the limit, or choose another fleet_instance_type.",
        )


def _keys(inputs: Inputs) -> tuple[LaunchKey, ...]:
    return () if isinstance(inputs.prerequisites.keys, Unread) else inputs.prerequisites.keys


def _in_words(key: LaunchKey) -> str:
    return f"KMS key {key.name} ({key.purpose})" if key.name else f"The KMS key of {key.purpose}"


@check("volume-key", needed_by=LAUNCHES)
def _volume_key(inputs: Inputs) -> None:
    """Every KMS key that a launch uses exists, is enabled and symmetric: the named one, the image's, the default."""
    settings, problems = inputs.settings, []
    if isinstance(keys := inputs.prerequisites.keys, Unread):
        raise Failed(f"Which KMS keys a launch uses could not be asked: {keys.reason}", severity="info")
    for one in _keys(inputs):
        if one.key is None:
            problems.append(f"There is no KMS key {one.name} ({one.purpose}) in {settings['fleet_region']}.")
        elif isinstance(one.key, KmsKey) and one.key.state != "Enabled":
            problems.append(f"{_in_words(one)} is not enabled: its state is {one.key.state}.")
        elif isinstance(one.key, KmsKey) and not one.key.symmetric:
            problems.append(f"{_in_words(one)} is not symmetric, and EBS uses no other.")
    if problems:
        raise Failed(" ".join(problems), "Enable it, name another in fleet_volume_kms_key_id, or choose another image.")


@check("volume-key-grant", needed_by=LAUNCHES)
def _volume_key_grant(inputs: Inputs) -> None:
    """Auto Scaling may use every KMS key that a launch uses.

    A key of another account, or one whose policy cannot be read, is a warning: whether it may is not known.
    """
    caller, region = inputs.prerequisites.caller, inputs.settings["fleet_region"]
    refused, unknown, commands = [], [], []
    for one in _keys(inputs):
        if one.key is None or (isinstance(one.key, KmsKey) and one.key.state != "Enabled"):
            continue
        found = Verdict(unknown=one.key.reason) if isinstance(one.key, Unread) else verdict(one.key, caller, region)
        if found.refused:
            missing = ", ".join(f"kms:{operation}" for operation in found.refused)
            refused.append(
                f"{_in_words(one)} does not let Auto Scaling use it (missing: {missing}), "
                "so every instance would fail to launch."
            )
        elif found.unknown:
            unknown.append(f"Whether {_in_words(one)} lets Auto Scaling use it is not known: {found.unknown}")
        if isinstance(one.key, KmsKey) and (found.refused or found.unknown):
            commands.append(
                f"aws kms create-grant --region {region} --key-id {one.key.arn} "
                f"--grantee-principal {caller.service_linked_role} "
                "--operations Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey "
                "GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant"
            )
    if refused:
        text = "Grant it, unless a statement of the key's policy denies it:"
        raise Failed(" ".join(refused + unknown), Remedy(text, tuple(commands)))
    if unknown:
        text = "Ask the key's owner, who can grant it:" if commands else "Ask the image's owner."
        raise Failed(" ".join(unknown), Remedy(text, tuple(commands)), "warning")


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
            Remedy("Bake one (§2), or name one in fleet_image:", path.bake(settings)),
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


@check("volume-device", needed_by=LAUNCHES)
def _volume_device(inputs: Inputs) -> None:
    """fleet_volume_device is the image's root device: another name would add a second disk."""
    image, device = inputs.prerequisites.image, inputs.settings["fleet_volume_device"]
    if image and image.root_device and image.root_device != device:
        raise Failed(
            f"fleet_volume_device is {device}, but the root device of image {image.id} is {image.root_device}: "
            "size, type and key would apply to another, empty disk.",
            f"Write fleet_volume_device {image.root_device}, or choose another fleet_image.",
        )


@check("volume-size", needed_by=LAUNCHES)
def _volume_size(inputs: Inputs) -> None:
    """fleet_volume_size_gib is not below the size of the image's root volume."""
    image, size = inputs.prerequisites.image, inputs.settings["fleet_volume_size_gib"]
    if image and size < image.root_gib:
        raise Failed(
            f"fleet_volume_size_gib is {size}, but the root volume of image {image.id} has {image.root_gib} GiB: "
            "no instance would launch.",
            f"Write {image.root_gib} or more, or choose another fleet_image.",
        )


@check("image-schema", needed_by=LAUNCHES)
def _image_schema(inputs: Inputs) -> None:
    """The image's agent reads the schema of agent.conf that these playbooks write."""
    image = inputs.prerequisites.image
    if image and image.agent_schema not in (None, SCHEMA):
        raise Failed(
            f"The agent in image {image.id} reads schema {image.agent_schema} of agent.conf, "
            f"but these playbooks write {SCHEMA}.",
            Remedy(
                "Use the release that the image was baked with, or bake one with this release and add "
                "-e fleet_image=newest:",
                path.bake(inputs.settings),
            ),
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
    """The group uses the latest launch template version, or one that says the same. Another waits for a rollout."""
    found = inputs.prerequisites
    version, latest = found.pinned_version, found.latest_version
    if _holds(inputs) and latest and int(version) < latest and found.pending:
        raise Failed(
            f"Launch template version {latest} is pending: "
            f"the group keeps version {version} until a rollout (fleet_new_version: hold)."
        )


@check("version-hooks", needed_by=frozenset({"lifecycle_hook"}))
def _version_hooks(inputs: Inputs) -> None:
    """The agents of a version that is held complete the hooks that the group is to have."""
    settings, conf = inputs.settings, inputs.prerequisites.used_conf
    hooks = {
        "TERMINATION_HOOK": settings["fleet_termination_hook_name"],
        "LAUNCH_HOOK": settings["fleet_launch_hook_name"] if settings["fleet_launch_hook"] else "",
    }
    others = [key for key, name in hooks.items() if conf.get(key, "") != name]
    if conf and others and _holds(inputs):
        said = ", ".join(f"{key}={conf.get(key) or '(none)'}" for key in others)
        wanted = ", ".join(hooks[key] or "(none)" for key in others)
        raise Failed(
            f"The group keeps launch template version {inputs.prerequisites.pinned_version} "
            f"(fleet_new_version: hold), whose agents have {said}, and its hooks are to be {wanted}: "
            "nobody would complete those of new instances.",
            "Hooks and agents change together: -e fleet_new_version=adopt",
        )


def _holds(inputs: Inputs) -> bool:
    """Whether a run leaves the group's version as it is."""
    numbered = inputs.settings["fleet_template_version"] == "numbered"
    version = inputs.prerequisites.pinned_version
    return inputs.settings["fleet_new_version"] == "hold" and numbered and version.isdigit()
