# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to exist before a fleet can be built, and what only preflight.yml reads. Asks through a given `call`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import (
    agents,
    autoscaling,
    ec2,
    iam,
    other_services,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import operator_permissions
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    Image,
    Secret,
    Subnet,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import (
    DOORS,
    RULES,
    RULES_QUOTA,
    PrefixList,
    Route,
    ingress_sizes,
    way_out,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    InstanceType,
    KmsKey,
    LaunchKey,
    Prerequisites,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial

Settings = Mapping[str, Any]
AWS_KEY = "alias/aws/ebs"  # AWS's own, which every launch may use; it does not exist before its first use


class Future(Protocol):
    """A result under way."""

    def result(self) -> Any: ...


def group(call: Call, s: Settings) -> Group | None:
    return autoscaling.group(call, s["fleet_group_name"])


def secret(call: Call, s: Settings) -> Secret | None:
    return other_services.secret(call, s["fleet_secret_name"])


def launch_template(call: Call, s: Settings) -> Mapping[str, Any] | None:
    return ec2.launch_template(call, s["fleet_launch_template_name"])


def _template_id(call: Call, s: Settings) -> str | None:
    template = launch_template(call, s)
    return template["LaunchTemplateId"] if template else None


def _latest_version(call: Call, s: Settings) -> int | None:
    template = launch_template(call, s)
    return template["Latest"]["VersionNumber"] if template else None


def subnets(call: Call, s: Settings) -> tuple[Subnet, ...]:
    """Those of the variables that exist; where they name none, the VPC's default subnets."""
    if s["fleet_subnet_ids"]:
        return ec2.subnets(call, ec2.filters(subnet_id=sorted(s["fleet_subnet_ids"])))
    vpc = ec2.filters(vpc_id=[s["fleet_vpc_id"]]) if s["fleet_vpc_id"] else []
    return ec2.subnets(call, ec2.filters(default_for_az=["true"]) + vpc)


def _used_version(call: Call, s: Settings) -> Mapping[str, Any]:
    """LaunchTemplateData of the version that the group uses; empty where there is none."""
    used = group(call, s)
    if used is None or not used.template_id:
        return {}
    template = launch_template(call, s)
    latest = template["Latest"] if template and template["LaunchTemplateId"] == used.template_id else {}
    if latest and used.template_version in ("$Latest", str(latest["VersionNumber"])):
        return dict(latest["LaunchTemplateData"])
    version = used.template_version or "$Default"
    versions = ec2.launch_template_versions(call, [version], LaunchTemplateId=used.template_id)
    return dict(versions[0]["LaunchTemplateData"]) if versions else {}


def _image_of_the_group(call: Call, s: Settings) -> str:
    """The image in the launch template version that the group uses; empty where there is none."""
    return str(_used_version(call, s).get("ImageId", ""))


def _pending(call: Call, s: Settings) -> bool:
    used, template = _used_version(call, s), launch_template(call, s)
    return bool(used and template and template["Latest"]["LaunchTemplateData"] != used)


def _worker_image(call: Call, s: Settings) -> str:
    return agent_conf(_used_version(call, s).get("UserData", ""))[0].get("IMAGE", "")


def _image(call: Call, s: Settings) -> tuple[Image | None, str]:
    """The image to use, and the id that `fleet_image` resolves to.

    `keep` is the group's image, and the newest own image only while there is no group.
    """
    requested = s["fleet_image"]
    if requested == "keep":
        requested = _image_of_the_group(call, s) or "newest"
    if requested != "newest":
        return ec2.image(call, requested), requested
    kind = ec2.instance_type(call, s["fleet_instance_type"])
    own = ec2.own_images(call, s["fleet_image_name_pattern"])
    fitting = [image for image in own if kind is None or image.architecture in kind.architectures]
    newest = max(fitting, key=lambda image: (image.created, image.name), default=None)
    return newest, newest.id if newest else ""


def without_agent(call: Call, s: Settings) -> tuple[str, ...]:
    """The group's instances that have no agent of this kit."""
    used, template = group(call, s), launch_template(call, s)
    known = [{"LaunchTemplateId": template["LaunchTemplateId"], **template["Latest"]}] if template else []
    return agents.without_agent(call, s, used, known, lambda id: ec2.image(call, id)) if used else ()


def _has_access_key(call: Call, s: Settings) -> bool:
    """Whether VALET's user has an access key: that of access-key.env, where this machine has the file.

    A user that was deleted and made anew under its name has other keys than the one in use.
    """
    if not s["fleet_valet_access_key"]:
        return False
    keys = {key.get("AccessKeyId") for key in iam.access_keys(call, s["fleet_valet_user_name"]) or ()}
    file = Path(s["fleet_valet_dir"]).expanduser() / "access-key.env"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    written = re.search(r"^AWS_ACCESS_KEY_ID=(\S+)$", text, re.MULTILINE)
    return written[1] in keys if written else bool(keys)


# attribute of Prerequisites -> how to read it; `image` is (the image, the id that was requested)
PARTS: Mapping[str, Callable[[Call, Settings], Any]] = {
    "image": _image,
    "group": group,
    "template_id": _template_id,
    "latest_version": _latest_version,
    "pending": _pending,
    "used_conf": lambda call, s: agent_conf(_used_version(call, s).get("UserData", ""))[0],
    "instance_type": lambda call, s: ec2.instance_type(call, s["fleet_instance_type"]),
    "vpc": lambda call, s: ec2.vpc(call, s["fleet_vpc_id"]),
    "subnets": subnets,
    "key_pair_exists": lambda call, s: bool(s["fleet_key_name"]) and ec2.key_pair(call, s["fleet_key_name"]),
    "secret": secret,
    "role_exists": lambda call, s: iam.role(call, s["fleet_role_name"]) is not None,
    "user_has_access_key": _has_access_key,
    "without_agent": without_agent,
    "worker_image": _worker_image,
}

# --- what an operator names, and what a launch uses: no refusal to answer stops a run ---------------------------------


def _launch_keys(call: Call, s: Settings, whole: bool) -> tuple[LaunchKey, ...]:
    """The keys that a launch uses: the named one, the image's snapshots', the account's default.

    EBS User Guide, "Encryption outcomes": without a named key a volume has that of its snapshot if the account owns it,
    else the account's default.
    """
    named, found = s["fleet_volume_kms_key_id"], list[LaunchKey]()
    if named:
        found.append(_launch_key(call, "fleet_volume_kms_key_id", named))
    image, _requested = _image(call, s)
    if image is None or not (whole or image.id != _image_of_the_group(call, s)):
        return tuple(found)
    if image.encrypted_snapshots:
        keys = ec2.snapshot_keys(call, image.encrypted_snapshots)
        for id in image.encrypted_snapshots:
            found.append(_launch_key(call, f"snapshot {id} of image {image.id}", keys.get(id, "")))
    if not named and (image.plain or image.owner != iam.caller(call).account):
        default = ec2.default_key(call)
        if not default.endswith(AWS_KEY):
            found.append(_launch_key(call, "the account's default EBS key", default))
    first = dict[str, LaunchKey]()
    for one in found:
        first.setdefault(one.key.arn if isinstance(one.key, KmsKey) else one.name or one.purpose, one)
    return tuple(first.values())


def _launch_key(call: Call, purpose: str, name: str) -> LaunchKey:
    if not name:
        return LaunchKey(purpose, name, Unread("AWS does not show this account which key it is."))
    return LaunchKey(purpose, name, unread_where_refused(other_services.kms_key, call, name))


def _routes(call: Call, s: Settings, whole: bool) -> Mapping[str, tuple[Route, ...]] | None:
    """Of the subnets; None where the group uses them already."""
    used, vpc, wanted = group(call, s), ec2.vpc(call, s["fleet_vpc_id"]), subnets(call, s)
    if vpc is None or not (whole or used is None or {subnet.id for subnet in wanted} - used.subnet_ids):
        return None
    tables = ec2.routes(call, vpc)
    known = {subnet.id: tables.get(subnet.id, tables.get("")) for subnet in wanted if subnet.vpc == vpc}
    return {subnet: routes for subnet, routes in known.items() if routes is not None}


def _endpoints(call: Call, s: Settings, whole: bool) -> frozenset[str]:
    """Read where a subnet has no way to the internet."""
    routes, vpc = _routes(call, s, whole), ec2.vpc(call, s["fleet_vpc_id"])
    stuck = [its for its in (routes or {}).values() if not way_out(its, s["fleet_public_address"])]
    return ec2.endpoints(call, vpc) if vpc and stuck else frozenset()


def _security_groups(call: Call, s: Settings) -> Mapping[str, str]:
    ids = {id for door in DOORS for id in s[f"fleet_{door}_security_group_ids"]}
    return ec2.security_group_vpcs(call, ids) if ids else {}


def _prefix_lists(call: Call, s: Settings) -> Mapping[str, PrefixList]:
    ids = {id for door in DOORS for id in s[f"fleet_{door}_prefix_list_ids"]}
    return ec2.prefix_lists(call, ids, s["fleet_ssh_prefix_list_ids"]) if ids else {}


def _rules_quota(call: Call, s: Settings) -> float | None:
    """Read where the default does not suffice."""
    if max(ingress_sizes(s, _prefix_lists(call, s))) <= RULES:
        return None
    return other_services.quota(call, "vpc", RULES_QUOTA)


def _boundary_exists(call: Call, s: Settings) -> bool:
    arn = s["fleet_permissions_boundary_arn"]
    return not arn or iam.policy_exists(call, arn)


NAMES: Mapping[str, Callable[[Call, Settings], Any]] = {
    "boundary_exists": _boundary_exists,
    "security_groups": _security_groups,
    "prefix_lists": _prefix_lists,
    "rules_quota": _rules_quota,
}
LAUNCH: Mapping[str, Callable[[Call, Settings, bool], Any]] = {
    "keys": _launch_keys,
    "routes": _routes,
    "endpoints": _endpoints,
}


def start_prerequisites(
    start: Callable[..., Future],
    call: Call,
    s: Settings,
    whole: bool = False,
    parts: Mapping[str, Callable[[Call, Settings], Any]] | None = None,
    who: Callable[[Call, Settings], Caller] = lambda call, _s: iam.caller(call),
    first: Iterable[Callable[[Call, Settings], Any]] = (group, launch_template),
) -> Callable[[], Prerequisites]:
    """Read everything at once; the function that is returned waits for it. Raises AwsError.

    :param whole: read what a launch uses also where the group uses it already.
    :param parts: others than PARTS: NAMES and LAUNCH, which only preflight judges, are not read then.
    :param first: what other parts wait for, so it is started first, after the caller.
    """
    caller = start(who, call, s)
    for read in first:
        start(read, call, s)
    reading = {name: start(read, call, s) for name, read in (PARTS if parts is None else parts).items()}
    if parts is None:
        reading |= {name: start(unread_where_refused, read, call, s) for name, read in NAMES.items()}
        reading |= {name: start(unread_where_refused, judge, call, s, whole) for name, judge in LAUNCH.items()}

    def wait() -> Prerequisites:
        found = {name: part.result() for name, part in reading.items()}
        chosen, requested = found.pop("image")
        if not s["fleet_subnet_ids"]:
            found["subnets"] = _usable(found["subnets"], found["vpc"], found["instance_type"])
        return Prerequisites(caller=caller.result(), image=chosen, requested_image=requested, **found)

    return wait


def _usable(default: tuple[Subnet, ...], vpc: str | None, kind: InstanceType | None) -> tuple[Subnet, ...]:
    """The VPC's default subnets in zones that offer the type: one of us-east-1's zones does not offer t3."""
    zones = kind.zones if kind else ()
    return tuple(subnet for subnet in default if subnet.vpc == vpc and (not zones or subnet.zone in zones))


# --- what only preflight.yml reads ----------------------------------------------------------------------------------


def _vcpu_quota(call: Call, s: Settings) -> float | None:
    if operator_permissions.family(s["fleet_instance_type"]) not in operator_permissions.STANDARD:
        return None
    return other_services.quota(call, "ec2", operator_permissions.STANDARD_QUOTA)


def _denied(call: Call, s: Settings, document: Mapping[str, Any]) -> tuple[Denial, ...]:
    """By IAM's simulator: the caller's policies, its boundary and the organization's. Raises AwsError."""
    me = iam.caller(call)
    kind, _slash, name = me.arn.split(":", 5)[5].partition("/")
    if kind == "root":
        return ()
    if kind == "assumed-role":  # its ARN lacks the role's path
        principal = iam.role(call, name.partition("/")[0])["Arn"]
    elif kind == "user":
        principal = me.arn
    else:
        raise AwsError(f"IAM cannot simulate a {kind}.")
    needed = operator_permissions.needed(document, s, me.account, me.partition)
    return iam.denied(call, principal, needed, operator_permissions.context(s))


def start_forecast(
    start: Callable[..., Future], call: Call, s: Settings, document: Mapping[str, Any]
) -> Callable[[], Forecast]:
    """Read what may stand in the fleet's way once it is built; the function that is returned waits for it.

    Nothing of it stops a run: a part that could not be read is Unread.

    :param document: docs/iam/operator.json.
    """
    parts = {
        "denied": start(unread_where_refused, _denied, call, s, document),
        "vcpus": start(unread_where_refused, ec2.vcpus, call, s["fleet_instance_type"]),
        "vcpu_quota": start(unread_where_refused, _vcpu_quota, call, s),
        "groups": start(unread_where_refused, autoscaling.account_limits, call),
    }
    return lambda: Forecast(**{name: part.result() for name, part in parts.items()})
