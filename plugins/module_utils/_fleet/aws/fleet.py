# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole fleet as it is now: at most 20 calls besides paging, whatever its size. Asks through a given `call`."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2, iam, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.agents import without_agent
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.authorization_details import (
    answered_by_details,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import (
    Future,
    Settings,
    group,
    secret,
    subnets,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf, cloud_config
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    LISTED_ACTIVITIES,
    Fleet,
    Image,
    Instance,
    LaunchTemplate,
    Permissions,
    Profile,
    ResourcePolicy,
    RolePolicies,
    SecurityGroup,
    Subnet,
    User,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.released import released_over

REFRESHES = 5
SIMULATOR = "IAM's policy simulator"
IMAGES_IN_A_FILTER = 200  # EC2's "Filtering resources": 200 values


def _account(call: Call, s: Settings) -> str | None:
    """The account of the group; where there is no group, the caller's."""
    found = group(call, s)
    return found.account if found else iam.caller(call).account


def _of_group(read: Callable[..., Any], *arguments: Any) -> Callable[[Call, Settings], Any]:
    """What `read` returns for the group's name; () where there is no group."""

    def part(call: Call, s: Settings) -> Any:
        found = group(call, s)
        return read(call, found.name, *arguments) if found else ()

    return part


def _subnets(call: Call, s: Settings) -> tuple[Subnet, ...]:
    """Those of the group's subnets that exist."""
    used = group(call, s)
    if used is None or not used.subnet_ids:
        return ()
    known = tuple(subnet for subnet in subnets(call, s) if subnet.id in used.subnet_ids)
    if len(known) == len(used.subnet_ids):
        return known
    return ec2.subnets(call, ec2.filters(subnet_id=sorted(used.subnet_ids)))


def _tagged(call: Call, s: Settings) -> dict[str, Instance]:
    """Instances with the tags that the launch template gives, in the group or not."""
    return ec2.instances(call, {"Name": s["fleet_name"], "Role": "gh-worker"})


def _instances(call: Call, s: Settings) -> dict[str, Instance]:
    """The group's instances, retained ones too.

    Auto Scaling's own tag finds them, which stays on an instance that is retained after it left the group. It is asked
    for only where the fleet's tags do not find them all.
    """
    name, used, tagged = s["fleet_group_name"], group(call, s), _tagged(call, s)
    if used and any(instance.id not in tagged for instance in used.instances):
        return ec2.instances(call, {ec2.GROUP_TAG: name})
    return {id: instance for id, instance in tagged.items() if instance.group == name}


def template(call: Call, s: Settings) -> LaunchTemplate | None:
    """The version that the group uses; without a group, the latest of the fleet's template."""
    used = group(call, s)
    stated = used.template_version if used and used.template_version else "$Latest"
    versions = _versions_in_use(call, s) if used and used.template_id else versions_of_the_fleet(call, s)
    if not versions:
        return None
    latest = max(v["VersionNumber"] for v in versions)
    default = next((v["VersionNumber"] for v in versions if v.get("DefaultVersion")), 0)
    number = int(stated) if stated.isdigit() else latest if stated == "$Latest" else default
    found = next((v for v in versions if v["VersionNumber"] == number), None)
    if found is None:
        return None
    its = launch_template_of(found["LaunchTemplateId"], number, latest, found["LaunchTemplateData"])
    return replace(its, released_over=released_over(found.get("VersionDescription", "")))


def _versions_in_use(call: Call, s: Settings) -> list[dict[str, Any]]:
    """The latest, the default and the group's own version of the template that the group uses, which is found by its
    id: a template that was deleted and made anew under its name is another one."""
    used = group(call, s)
    if used is None or not used.template_id:
        return []
    which = sorted({"$Latest", "$Default", used.template_version or "$Default"})
    return ec2.launch_template_versions(call, which, LaunchTemplateId=used.template_id)


def versions_of_the_fleet(call: Call, s: Settings) -> list[dict[str, Any]]:
    """The latest and the default version, at least, of the template that has the fleet's name."""
    name, used = s["fleet_launch_template_name"], group(call, s)
    if used and used.template_name == name and (found := _versions_in_use(call, s)):
        return found  # it exists, so the name is its
    return ec2.launch_template_versions(call, ["$Default", "$Latest"], LaunchTemplateName=name)


def _template_id(call: Call, s: Settings) -> str | None:
    found = versions_of_the_fleet(call, s)
    return str(found[0]["LaunchTemplateId"]) if found else None


def launch_template_of(id: str, number: int, latest: int, data: Mapping[str, Any]) -> LaunchTemplate:
    """A version of a launch template, of the data that AWS has of it."""
    profile, interfaces = data.get("IamInstanceProfile") or {}, data.get("NetworkInterfaces") or []
    conf, problem = agent_conf(data.get("UserData", ""))
    groups = {*data.get("SecurityGroupIds", []), *(g for card in interfaces for g in card.get("Groups", []))}
    return LaunchTemplate(
        id=id,
        version=number,
        latest_version=latest,
        image=data.get("ImageId", ""),
        type=data.get("InstanceType", ""),
        key=data.get("KeyName", ""),
        profile=profile.get("Name") or profile.get("Arn", "").rpartition("/")[2],
        metadata=data.get("MetadataOptions") or {},
        unencrypted=tuple(
            disk.get("DeviceName", "?")
            for disk in data.get("BlockDeviceMappings", [])
            if disk.get("Ebs") is not None and str(disk["Ebs"].get("Encrypted", False)).lower() != "true"
        ),
        security_groups=tuple(sorted(groups)),
        agent_conf=conf,
        agent_conf_problem=problem,
        more_user_data=_more_user_data(data["UserData"], conf) if conf else "",
    )


def _more_user_data(user_data: str, conf: Mapping[str, str]) -> str:
    """What user data holds besides the writing of agent.conf, byte for byte."""
    text = base64.b64decode(user_data).decode()
    expected = cloud_config("".join(f"{key}={value}\n" for key, value in conf.items()))
    if text == expected:
        return ""
    known = expected.splitlines()
    return " | ".join(line.strip() for line in text.splitlines() if line not in known) or "the same in another form"


def images(call: Call, s: Settings) -> dict[str, Image]:
    """The images of the launch template and of the instances, as far as they exist."""
    used = template(call, s)
    own = [used.image] if used and used.image else []
    others = sorted({instance.image for instance in _instances(call, s).values()} - set(own))
    which = own + others[: IMAGES_IN_A_FILTER - len(own)]
    return ec2.images(call, which) if which else {}


def _without_agent(call: Call, s: Settings) -> tuple[str, ...]:
    """The group's instances that have no agent of this kit."""
    used = group(call, s)
    return without_agent(call, s, used, _versions_in_use(call, s), images(call, s).get) if used else ()


def _profile(call: Call, s: Settings) -> Profile | None:
    name = s["fleet_instance_profile_name"]
    raw = iam.instance_profile(call, name)
    if raw is None:
        return None
    role: Mapping[str, Any] = next(iter(raw["Roles"]), {})
    return Profile(
        name,
        role.get("RoleName", ""),
        role.get("Arn", ""),
        role.get("AssumeRolePolicyDocument") or {},
        raw.get("InstanceProfileId", ""),
    )


def _permissions(call: Call, s: Settings) -> Permissions | None:
    """By IAM's simulator; where the caller may not use it, by our reading of the role's own policy."""
    used, found, known = _profile(call, s), group(call, s), secret(call, s)
    if used is None or not used.role or found is None:
        return None
    _arn, partition, _service, region, owner, *_rest = found.arn.split(":")
    secret_arn = f"arn:{partition}:secretsmanager:{region}:{owner}:secret:{s['fleet_secret_name']}-anyany"
    needed = worker_permissions.needed(
        found.arn,
        worker_permissions.repositories(partition, region, owner, s["fleet_repository_name"], s["fleet_worker_image"]),
        known.arn if known else secret_arn,
        known.key if known else "",
        s["fleet_log_group_name"],
    )
    try:
        denials = iam.denied(call, used.role_arn, needed)
        bounded = any(denial.reason == "boundary" for denial in denials)
        return Permissions(SIMULATOR, denials, iam.boundary(call, used.role) if bounded else "")
    except AwsError:
        policy = iam.role_policy(call, used.role, s["fleet_policy_name"])
        documents = [policy["PolicyDocument"]] if policy else []
        source = f"a reading of {s['fleet_policy_name']} alone, as {SIMULATOR} could not be used"
        missing = worker_permissions.denied_by_documents(documents, needed)
        return Permissions(source, tuple(map(worker_permissions.Denial, missing)))


def _security_groups(call: Call, s: Settings) -> dict[str, SecurityGroup]:
    """Those of the launch template, which usually are the one of the fleet's name."""
    used = template(call, s)
    if used is None or not used.security_groups:
        return {}
    named = {raw["GroupId"]: raw for raw in ec2.security_groups(call, s["fleet_security_group_name"])}
    if set(used.security_groups) <= set(named):
        return {id: ec2.security_group(call, named[id]) for id in used.security_groups}
    return ec2.security_groups_by_id(call, used.security_groups)


def _own_image(call: Call, s: Settings) -> re.Match[str] | None:
    """The image that instances run; None where it is not in a repository of this account and region."""
    used = template(call, s)
    image = worker_permissions.ECR_IMAGE.fullmatch(used.agent_conf.get("IMAGE", "")) if used else None
    return image if image and (image["account"], image["region"]) == (_account(call, s), s["fleet_region"]) else None


def _worker_image(call: Call, s: Settings) -> str | None:
    """The digest of the image that instances run; empty where it is not in this account and region."""
    image = _own_image(call, s)
    if image is None:
        return ""
    tag_or_digest = {"imageDigest": image["digest"]} if image["digest"] else {"imageTag": image["tag"] or "latest"}
    return other_services.image_digest(call, image["repository"], tag_or_digest)


def _repository_policy(call: Call, s: Settings) -> ResourcePolicy | None:
    """That of the repository of the image that instances run, or else of the fleet's."""
    image = _own_image(call, s)
    return other_services.repository_policy(call, image["repository"] if image else s["fleet_repository_name"])


def _role_policies(call: Call, s: Settings) -> RolePolicies | None:
    used = _profile(call, s)
    return iam.role_policies(call, used.role) if used and used.role else None


def _valet_user(call: Call, s: Settings) -> User | None:
    name = s["fleet_valet_user_name"]
    return iam.policies_of_user(call, name) if name else None


def _outsiders(call: Call, s: Settings) -> tuple[Instance, ...]:
    """Those with the fleet's tags that no group has: detached, or launched by hand."""
    return tuple(i for i in _tagged(call, s).values() if not i.group and i.state != "shutting-down")


def _key_pairs(call: Call, s: Settings) -> frozenset[str]:
    """The launch template's key pair, if it exists."""
    used = template(call, s)
    return frozenset([used.key]) if used and used.key and ec2.key_pair(call, used.key) else frozenset()


# attribute of Fleet -> how to read it
PARTS: Mapping[str, Callable[[Call, Settings], Any]] = {
    "account": _account,
    "group": group,
    "hooks": _of_group(autoscaling.hooks),
    "template": template,
    "template_id": _template_id,
    "instances": _instances,
    "images": images,
    "without_agent": _without_agent,
    "profile": _profile,
    "permissions": _permissions,
    "role_policies": _role_policies,
    "valet_user": _valet_user,
    "security_groups": _security_groups,
    "secret": secret,
    "secret_policy": lambda call, s: other_services.secret_policy(call, s["fleet_secret_name"]),
    "worker_image": _worker_image,
    "repository_policy": _repository_policy,
    "log_group": lambda call, s: other_services.log_group_in_use(call, s["fleet_log_group_name"]),
    "activities": _of_group(autoscaling.activities, LISTED_ACTIVITIES),
    "refreshes": _of_group(autoscaling.refreshes, REFRESHES),
    "subnets": _subnets,
    "key_pairs": _key_pairs,
    "outsiders": _outsiders,
}


def shared_call(call: Call, s: Settings) -> Call:
    """`call`, for all that is read of IAM in one call."""
    return answered_by_details(call, users=bool(s["fleet_valet_user_name"]))


def start_fleet(start: Callable[..., Future], call: Call, s: Settings) -> Callable[[], Fleet]:
    """Read everything at once; the function that is returned waits for it.

    A part that could not be read is Unread, with the reason; nothing is raised.
    """
    call = shared_call(call, s)
    parts = {name: start(unread_where_refused, read, call, s) for name, read in PARTS.items()}
    return lambda: Fleet(**{name: part.result() for name, part in parts.items()})
