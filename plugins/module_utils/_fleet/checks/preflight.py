# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be right before anything is made (§1). Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.forecast import Outlook
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import STANDARD_QUOTA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Surroundings
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AS_OF, CURRENCY, monthly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Need, denied

AGENT_SCHEMA = "1"
Settings = Mapping[str, Any]


LAUNCHES = frozenset({"launch_template", "autoscaling_group"})
NETWORK = frozenset({"security_group", "autoscaling_group"})
EVERYTHING = frozenset(
    {"foundation", "iam", "security_group", "launch_template", "autoscaling_group", "lifecycle_hook", "valet"}
)


def before_anything(s: Settings, around: Surroundings, fly: bool) -> list[Finding]:
    """What has to be right before a playbook may change anything (§1), and what its operator should know.

    :param fly: whether the `fly` command is to be found here.
    """
    return [
        *_account(s, around),
        *_network(s, around),
        *_machine(s, around),
        *_image(s, around),
        *_needs(s, around, fly),
        *_left_alone(s, around),
    ]


def _account(s: Settings, around: Surroundings) -> Iterator[Finding]:
    if s["fleet_account_id"] not in ("", around.caller.account):
        yield Finding(
            "account",
            "error",
            f"These credentials belong to account {around.caller.account}, but fleet_account_id is {s['fleet_account_id']}.",
            "Use the credentials of that account (fleet_profile, AWS_PROFILE), or correct the variable.",
            EVERYTHING,
        )


def _network(s: Settings, around: Surroundings) -> Iterator[Finding]:
    region = s["fleet_region"]
    if around.vpc is None:
        if s["fleet_vpc_id"]:
            what = f"There is no VPC {s['fleet_vpc_id']} in {region}."
            yield Finding("vpc", "error", what, "Correct fleet_vpc_id or fleet_region.", NETWORK)
        else:
            remedy = "Name yours in fleet_vpc_id, and its subnets in fleet_subnet_ids, or correct fleet_region."
            yield Finding("vpc", "error", f"{region} has no default VPC.", remedy, NETWORK)
        return
    found = {n.id for n in around.subnets}
    for missing in sorted(set(s["fleet_subnet_ids"]) - found):
        yield Finding(
            "subnet", "error", f"There is no subnet {missing} in {region}.", "Correct fleet_subnet_ids.", NETWORK
        )
    for n in around.subnets:
        if n.vpc != around.vpc:
            what = f"Subnet {n.id} belongs to {n.vpc}, not to {around.vpc}."
            yield Finding("subnet-vpc", "error", what, "Correct fleet_subnet_ids or fleet_vpc_id.", NETWORK)
        kind = around.instance_type
        if kind and kind.zones and n.zone not in kind.zones:
            what = f"Zone {n.zone} of subnet {n.id} does not offer {kind.name}."
            yield Finding(
                "subnet-type",
                "error",
                what,
                "Take the subnet out of fleet_subnet_ids, or choose another fleet_instance_type.",
                NETWORK,
            )
    zones = {n.zone for n in around.subnets}
    if len(zones) < 2 and not set(s["fleet_subnet_ids"]) - found:
        if s["fleet_subnet_ids"]:
            what = f"All of fleet_subnet_ids lie in one zone, {min(zones, default='-')}."
        else:
            what = f"{around.vpc} has default subnets in {len(zones)} zones."
        yield Finding(
            "zones",
            "error",
            what,
            "A fleet needs two zones: name subnets of at least two in fleet_subnet_ids.",
            NETWORK,
        )


def _machine(s: Settings, around: Surroundings) -> Iterator[Finding]:
    if around.instance_type is None:
        what = f"{s['fleet_region']} knows no instance type {s['fleet_instance_type']}."
        yield Finding("instance-type", "error", what, "Correct fleet_instance_type.", LAUNCHES)
    name = s["fleet_volume_kms_key_id"]
    if name and around.volume_key is None:
        yield Finding(
            "volume-key",
            "error",
            f"There is no KMS key {name} in {s['fleet_region']}.",
            "Correct fleet_volume_kms_key_id.",
            LAUNCHES,
        )
    elif name and around.volume_key and not around.volume_key.usable:
        yield Finding(
            "volume-key",
            "error",
            f"KMS key {name} is not enabled.",
            "Enable it, or correct fleet_volume_kms_key_id.",
            LAUNCHES,
        )
    elif name and around.volume_key and not around.volume_key.open_to_groups:
        yield Finding(
            "volume-key-grant",
            "error",
            f"KMS key {name} does not let Auto Scaling use it, so every instance would die at launch.",
            f"Grant it: aws kms create-grant --key-id {around.volume_key.arn} --grantee-principal {around.caller.service_linked_role} "
            "--operations Encrypt Decrypt ReEncryptFrom "
            "ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant",
            LAUNCHES,
        )


def _image(s: Settings, around: Surroundings) -> Iterator[Finding]:
    image, kind = around.image, around.instance_type
    if image is None:
        if around.image_wanted:
            whose = "The group's image" if s["fleet_image"] == "keep" else "Image"
            what = f"{whose} {around.image_wanted} is not in {s['fleet_region']}, or not shared with this account."
            yield Finding("image", "error", what, "Set fleet_image to one that is, or to newest.", LAUNCHES)
        else:
            fits = f" for {'/'.join(kind.architectures)}" if kind else ""
            what = f"This account has no image {s['fleet_image_name_pattern']}{fits} in {s['fleet_region']}."
            yield Finding("image", "error", what, "Bake one (§2, packer build), or name one in fleet_image.", LAUNCHES)
        return
    if image.state != "available":
        yield Finding(
            "image-state",
            "error",
            f"Image {image.id} is {image.state}.",
            "Wait until it is available, or name another in fleet_image.",
            LAUNCHES,
        )
    if kind and image.architecture not in kind.architectures:
        what = f"Image {image.id} is for {image.architecture}, but {kind.name} runs {' and '.join(kind.architectures)}."
        yield Finding(
            "image-architecture", "error", what, "Choose a fitting fleet_image or fleet_instance_type.", LAUNCHES
        )
    if image.agent_schema is None:
        what = f"Image {image.id} ({image.name}) does not say which agent.conf it reads: it was not baked by this kit."
        yield Finding(
            "image-origin",
            "warning",
            what,
            "Its instances may not boot a worker. Bake one (§2, packer build).",
            LAUNCHES,
        )
    elif image.agent_schema != AGENT_SCHEMA:
        what = f"The agent in image {image.id} reads schema {image.agent_schema} of agent.conf, but these playbooks write {AGENT_SCHEMA}."
        yield Finding(
            "image-schema",
            "error",
            what,
            "Bake an image with this release, or use the release that fits the image.",
            LAUNCHES,
        )


def _needs(s: Settings, around: Surroundings, fly: bool) -> Iterator[Finding]:
    if s["fleet_key_name"] and not around.key_pair and not s["fleet_key_public"]:
        what = f"There is no key pair {s['fleet_key_name']} in {s['fleet_region']}."
        remedy = "Give the public key in fleet_key_public to import it, or set fleet_key_name to '' for instances without one."
        yield Finding("key-pair", "error", what, remedy, LAUNCHES)
    if around.secret and around.secret.being_deleted:
        what = f"Secret {s['fleet_secret_name']} is scheduled for deletion: no instance can boot with it."
        remedy = f"Keep it: aws secretsmanager restore-secret --region {s['fleet_region']} --secret-id {s['fleet_secret_name']}"
        yield Finding("secret-deleted", "error", what, remedy, frozenset({"autoscaling_group"}))
    if around.secret is None and not s["fleet_secret_create"]:
        what = f"There is no secret {s['fleet_secret_name']}: instances cannot boot a worker until it exists."
        yield Finding(
            "secret",
            "warning",
            what,
            "Create it (§9), or let -e fleet_secret_create=true make a placeholder for you to fill in.",
        )
    if s["fleet_valet_apply"] and not fly:
        what = "fleet_valet_apply is true, but there is no fly command here."
        yield Finding(
            "fly",
            "error",
            what,
            "Install flyctl and log in, or run the written command elsewhere.",
            frozenset({"valet"}),
        )


def _left_alone(s: Settings, around: Surroundings) -> Iterator[Finding]:
    """Differences that are not ours to end."""
    group = around.group
    if group is None:
        return
    there, wanted = (group.min_size, group.max_size), (s["fleet_min_size"], s["fleet_max_size"])
    if s["fleet_size_owner"] == "valet" and there != wanted:
        what = f"The group's sizes are {there[0]} to {there[1]}, fleet_min_size and fleet_max_size say {wanted[0]} to {wanted[1]}. Left to VALET."
        yield Finding("sizes-owned-by-valet", "info", what, "To converge them: -e fleet_size_owner=playbook")
    version, latest = group.template_version, around.latest_version
    if s["fleet_new_version"] == "hold" and version.isdigit() and latest and int(version) < latest:
        what = f"Launch template version {latest} is pending: the group keeps version {version} until a rollout (fleet_new_version: hold)."
        yield Finding("version-pending", "info", what)


# --- what only preflight.yml tells --------------------------------------------------------------------------------------------


def before_creation(
    s: Settings, around: Surroundings, ahead: Outlook, valets_policy: Mapping[str, Any] | None
) -> list[Finding]:
    """What a fleet may meet once it is made, and what it will cost. None of it is an error but what would surely fail.

    :param valets_policy: the document of VALET's policy; None: there is none.
    """
    return [
        *_quota(s, ahead),
        *_groups(s, around, ahead),
        *_operator(ahead),
        _price(s, around),
        *_valet(s, around, valets_policy),
    ]


def _quota(s: Settings, ahead: Outlook) -> Iterator[Finding]:
    kind, most, each, quota = s["fleet_instance_type"], s["fleet_max_size"], ahead.vcpus, ahead.vcpu_quota
    if isinstance(quota, Unread) or isinstance(each, Unread):
        why = " ".join(dict.fromkeys(part.why for part in (quota, each) if isinstance(part, Unread)))
        yield Finding(
            "quota-vcpus", "info", f"Whether the account's quota bears {most} x {kind} could not be asked: {why}"
        )
    elif each is None:  # `instance-type` says so
        return
    elif quota is None:
        yield Finding(
            "quota-vcpus",
            "info",
            f"{kind} is no standard instance: its quota was not looked at.",
            "See Service Quotas, EC2.",
        )
    elif most * each > quota:
        what = f"{most} x {kind} (fleet_max_size) have {most * each} vCPUs; the account's standard instances may have {quota:g} at once, all fleets together."
        remedy = f"Ask for more: `aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {STANDARD_QUOTA} --desired-value"
        yield Finding(
            "quota-vcpus",
            "warning",
            what,
            f"{remedy} {most * each} --region {s['fleet_region']}`, or lower fleet_max_size.",
            evidence={"needed": most * each, "quota": quota},
        )


def _groups(s: Settings, around: Surroundings, ahead: Outlook) -> Iterator[Finding]:
    if isinstance(ahead.groups, Unread):
        yield Finding(
            "quota-groups", "info", f"How many Auto Scaling groups there may be could not be asked: {ahead.groups.why}"
        )
    elif around.group is None and ahead.groups[0] >= ahead.groups[1]:
        there, most = ahead.groups
        what = f"The account has {there} Auto Scaling groups in {s['fleet_region']}, and may have {most}: there can be no other."
        yield Finding(
            "quota-groups",
            "error",
            what,
            "Delete one, or ask for more (Service Quotas, Auto Scaling).",
            frozenset({"autoscaling_group"}),
        )


def _operator(ahead: Outlook) -> Iterator[Finding]:
    if isinstance(ahead.denied, Unread):
        what = f"Whether these credentials may do all that site.yml does could not be asked: {ahead.denied.why}"
        yield Finding("operator-permissions", "info", what, "docs/iam/operator.json has what it needs.")
    elif ahead.denied:
        what = f"By IAM's policy simulator these credentials may not call {', '.join(ahead.denied)}."
        yield Finding(
            "operator-permissions",
            "warning",
            what,
            "docs/iam/operator.json has what site.yml needs.",
            section=1,
            evidence={"missing": list(ahead.denied)},
        )


def _price(s: Settings, around: Surroundings) -> Finding:
    kind, region, disk = (
        s["fleet_instance_type"],
        s["fleet_region"],
        f"{s['fleet_volume_size_gib']} GiB {s['fleet_volume_type']}",
    )
    least, most = (
        (around.group.min_size, around.group.max_size) if around.group else (s["fleet_min_size"], s["fleet_max_size"])
    )
    one = monthly(region, kind, s["fleet_volume_type"], s["fleet_volume_size_gib"], s["fleet_public_address"])
    if one is None:
        what = f"The table of prices ({AS_OF}) does not have {kind} with {s['fleet_volume_type']} in {region}: no estimate."
        return Finding("price", "info", what, ok=True, evidence={"as_of": AS_OF})
    address = f", public address {one.address:.2f}" if one.address else ""
    return Finding(
        "price",
        "info",
        f"About {least * one.total:.2f} to {most * one.total:.2f} {CURRENCY} a month for {least} to {most} instances that run all the time: "
        f"each {one.total:.2f} ({kind} {one.instance:.2f}, {disk} {one.volume:.2f}{address}); on demand, prices of {AS_OF}.",
        ok=True,
        evidence={
            "min": round(least * one.total, 2),
            "max": round(most * one.total, 2),
            "currency": CURRENCY,
            "as_of": AS_OF,
        },
    )


def _valet(s: Settings, around: Surroundings, document: Mapping[str, Any] | None) -> Iterator[Finding]:
    """VALET's policy, once there is a group for it to scale (§10)."""
    if around.group is None:
        return
    name, me, group = s["fleet_valet_policy_name"], around.caller, s["fleet_group_name"]
    arn = f"arn:{me.partition}:autoscaling:{s['fleet_region']}:{me.account}:autoScalingGroup:any:autoScalingGroupName/{group}"
    wanted = (Need("autoscaling:DescribeAutoScalingGroups", "*"), Need("autoscaling:UpdateAutoScalingGroup", arn))
    remedy = "Run playbooks/valet.yml."
    if document is None:
        yield Finding(
            "valet-policy", "warning", f"There is no policy {name}: VALET cannot scale {group}.", remedy, section=10
        )
    elif missing := denied([document], wanted):
        what = f"{name} does not let VALET call {', '.join(missing)} on {group}."
        yield Finding("valet-policy", "warning", what, remedy, section=10, evidence={"missing": list(missing)})
