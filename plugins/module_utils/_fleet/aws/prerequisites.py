# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's answers -> model. Asks through a given `call`, knows no client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import (
    autoscaling_group_settings,
    ec2_launch_template,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Call, CannotAsk
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import operator_permissions as permits
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions as policies
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    Group,
    Image,
    InstanceType,
    Key,
    Secret,
    Subnet,
    Surroundings,
)

AGENT_SCHEMA_TAG = "ghosthands:agent-schema"
Settings = Mapping[str, Any]


class Answer(Protocol):
    """A question under way."""

    def result(self) -> Any: ...


def _filters(**wanted: list[str]) -> list[dict[str, Any]]:
    return [{"Name": name.replace("_", "-"), "Values": values} for name, values in wanted.items()]


def caller(call: Call) -> Caller:
    me = call("sts", "get_caller_identity")
    return Caller(account=me["Account"], partition=me["Arn"].split(":")[1], arn=me["Arn"])


def vpc(call: Call, s: Settings) -> str | None:
    wanted = _filters(vpc_id=[s["fleet_vpc_id"]]) if s["fleet_vpc_id"] else _filters(is_default=["true"])
    found = call("ec2", "describe_vpcs", "Vpcs", Filters=wanted)
    return str(found[0]["VpcId"]) if found else None


def subnet_of(raw: Mapping[str, Any]) -> Subnet:
    return Subnet(raw["SubnetId"], raw["VpcId"], raw["AvailabilityZone"], bool(raw.get("DefaultForAz")))


def subnets(call: Call, s: Settings) -> tuple[Subnet, ...]:
    if s["fleet_subnet_ids"]:
        wanted = _filters(subnet_id=sorted(s["fleet_subnet_ids"]))
    else:
        wanted = _filters(default_for_az=["true"], **({"vpc_id": [s["fleet_vpc_id"]]} if s["fleet_vpc_id"] else {}))
    found = call("ec2", "describe_subnets", "Subnets", Filters=wanted)
    return tuple(
        sorted(
            map(subnet_of, found),
            key=lambda n: (n.zone, n.id),
        )
    )


def instance_type(call: Call, s: Settings) -> InstanceType | None:
    name = s["fleet_instance_type"]
    found = call(
        "ec2", "describe_instance_types", "InstanceTypes", absent=("InvalidInstanceType",), InstanceTypes=[name]
    )
    if not found:
        return None
    offered = call(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=_filters(instance_type=[name]),
    )
    return InstanceType(
        name, tuple(found[0]["ProcessorInfo"]["SupportedArchitectures"]), tuple(sorted(o["Location"] for o in offered))
    )


def image_of(raw: Mapping[str, Any]) -> Image:
    tags = {t["Key"]: t["Value"] for t in raw.get("Tags", [])}
    return Image(
        id=raw["ImageId"],
        name=raw.get("Name", ""),
        architecture=raw["Architecture"],
        state=raw["State"],
        created=raw.get("CreationDate", ""),
        agent_schema=tags.get(AGENT_SCHEMA_TAG),
        deprecated=raw.get("DeprecationTime", ""),
    )


def _raw_group(call: Call, s: Settings) -> Any:
    return autoscaling_group_settings.RESOURCE.read(call, {"name": s["fleet_group_name"]})


def group(call: Call, s: Settings) -> Group | None:
    raw = _raw_group(call, s)
    if raw is None:
        return None
    return Group(
        raw["MinSize"], raw["MaxSize"], raw["DesiredCapacity"], raw.get("LaunchTemplate", {}).get("Version", "")
    )


def latest_version(call: Call, s: Settings) -> int | None:
    raw = ec2_launch_template.RESOURCE.read(call, {"template_name": s["fleet_launch_template_name"]})
    return raw["Latest"]["VersionNumber"] if raw else None


def _image_of_the_group(call: Call, s: Settings) -> str:
    """The image in the launch template version that the group uses; empty where there is none."""
    used = (_raw_group(call, s) or {}).get("LaunchTemplate")
    if not used:
        return ""
    template = ec2_launch_template.RESOURCE.read(call, {"template_name": s["fleet_launch_template_name"]})
    latest = template["Latest"] if template and template["LaunchTemplateId"] == used["LaunchTemplateId"] else {}
    if used.get("Version") in ("$Latest", str(latest.get("VersionNumber"))) and latest:
        return str(latest["LaunchTemplateData"].get("ImageId", ""))
    versions = call(
        "ec2",
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        absent=(*ec2_launch_template.ABSENT, "InvalidLaunchTemplateId.VersionNotFound"),
        LaunchTemplateId=used["LaunchTemplateId"],
        Versions=[used.get("Version", "$Default")],
    )
    return str(versions[0]["LaunchTemplateData"].get("ImageId", "")) if versions else ""


def image(call: Call, s: Settings) -> tuple[Image | None, str]:
    """The image to use and the id that was looked for. `keep` falls back to the newest own image only while there is no group."""
    wanted = s["fleet_image"]
    if wanted == "keep":
        wanted = _image_of_the_group(call, s) or "newest"
    if wanted == "newest":
        kind = instance_type(call, s)
        found = call(
            "ec2",
            "describe_images",
            "Images",
            Owners=["self"],
            Filters=_filters(name=[s["fleet_image_name_pattern"]], state=["available"]),
        )
        fitting = [i for i in map(image_of, found) if kind is None or i.architecture in kind.architectures]
        newest = max(fitting, key=lambda i: (i.created, i.name), default=None)
        return newest, newest.id if newest else ""
    found = call(
        "ec2",
        "describe_images",
        "Images",
        absent=("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"),
        ImageIds=[wanted],
    )
    return (image_of(found[0]) if found else None), wanted


def key_pair(call: Call, s: Settings) -> bool:
    if not s["fleet_key_name"]:
        return False
    return bool(
        call(
            "ec2", "describe_key_pairs", "KeyPairs", absent=("InvalidKeyPair.NotFound",), KeyNames=[s["fleet_key_name"]]
        )
    )


def secret(call: Call, s: Settings) -> Secret | None:
    """What the secret is, never what it says (DescribeSecret)."""
    raw = call(
        "secretsmanager", "describe_secret", absent=("ResourceNotFoundException",), SecretId=s["fleet_secret_name"]
    )
    return Secret(raw["ARN"], bool(raw.get("DeletedDate"))) if raw else None


def volume_key(call: Call, s: Settings) -> Key | None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html"""
    name = s["fleet_volume_kms_key_id"]
    if not name:
        return None
    raw = call("kms", "describe_key", "KeyMetadata", absent=("NotFoundException",), KeyId=name)
    if raw is None:
        return None
    usable = raw.get("KeyState", "Enabled") == "Enabled"
    if raw.get("KeyManager") == "AWS":
        return Key(raw["Arn"], usable, True)
    role = caller(call).service_linked_role
    policy = call("kms", "get_key_policy", "Policy", KeyId=raw["Arn"], PolicyName="default")
    grants = call("kms", "list_grants", "Grants", KeyId=raw["Arn"])
    return Key(
        raw["Arn"], usable, role in (policy or "") or any(g.get("GranteePrincipal") == role for g in grants or [])
    )


def role(call: Call, s: Settings) -> bool:
    return call("iam", "get_role", "Role", absent=("NoSuchEntity",), RoleName=s["fleet_role_name"]) is not None


def user_has_key(call: Call, s: Settings) -> bool:
    if not s["fleet_valet_access_key"]:
        return False
    return bool(
        call(
            "iam",
            "list_access_keys",
            "AccessKeyMetadata",
            absent=("NoSuchEntity",),
            UserName=s["fleet_valet_user_name"],
        )
    )


def surroundings(start: Callable[..., Answer], call: Call, s: Settings) -> Callable[[], Surroundings]:
    """Ask for everything at once; what comes back waits for the answers. First what others wait for: VALET's policy for the caller, the image for the rest."""
    me = start(caller, call)
    start(_raw_group, call, s)
    start(ec2_launch_template.versions, call, s["fleet_launch_template_name"])
    asked = {
        part.__name__: start(part, call, s)
        for part in (
            image,
            group,
            latest_version,
            instance_type,
            vpc,
            subnets,
            key_pair,
            secret,
            volume_key,
            role,
            user_has_key,
        )
    }

    def wait() -> Surroundings:
        found = {name: answer.result() for name, answer in asked.items()}
        chosen, wanted = found.pop("image")
        kind, nets, home = found["instance_type"], found.pop("subnets"), found["vpc"]
        if not s["fleet_subnet_ids"]:  # not every zone offers every type: t3 is not to be had in one of us-east-1's
            nets = tuple(n for n in nets if n.vpc == home and (kind is None or not kind.zones or n.zone in kind.zones))
        return Surroundings(caller=me.result(), image=chosen, image_wanted=wanted, subnets=nets, **found)

    return wait


# --- what preflight.yml asks besides ------------------------------------------------------------------------------------------


def _vcpus(call: Call, s: Settings) -> int | None:
    found = call(
        "ec2",
        "describe_instance_types",
        "InstanceTypes",
        absent=("InvalidInstanceType",),
        InstanceTypes=[s["fleet_instance_type"]],
    )
    return int(found[0]["VCpuInfo"]["DefaultVCpus"]) if found else None


def _vcpu_quota(call: Call, s: Settings) -> float | None:
    if permits.family(s["fleet_instance_type"]) not in permits.STANDARD:
        return None
    which = {"ServiceCode": "ec2", "QuotaCode": permits.STANDARD_QUOTA}
    # API_GetServiceQuota: "If the applied quota value is not available for a quota, the quota is not retrieved"; then the default applies.
    found = call("service-quotas", "get_service_quota", "Quota", absent=("NoSuchResourceException",), **which)
    return float((found or call("service-quotas", "get_aws_default_service_quota", "Quota", **which))["Value"])


def _groups(call: Call, _s: Settings) -> tuple[int, int]:
    found = call("autoscaling", "describe_account_limits")
    return found["NumberOfAutoScalingGroups"], found["MaxNumberOfAutoScalingGroups"]


def _denied(call: Call, s: Settings, document: Mapping[str, Any]) -> tuple[str, ...]:
    """By IAM's simulator, of the caller's own policies (not those of an organisation). Raises CannotAsk."""
    me = caller(call)
    kind, _slash, name = me.arn.split(":", 5)[5].partition("/")
    if kind == "root":
        return ()
    if kind == "assumed-role":  # its ARN lacks the role's path
        source = call("iam", "get_role", "Role", RoleName=name.partition("/")[0])["Arn"]
    elif kind == "user":
        source = me.arn
    else:
        raise CannotAsk(f"IAM simulates no {kind}.")
    wanted = permits.needs(document, s, me.account, me.partition)
    results = call(
        "iam",
        "simulate_principal_policy",
        "EvaluationResults",
        PolicySourceArn=source,
        ActionNames=sorted({need.action for need in wanted}),
        ResourceArns=sorted({need.resource for need in wanted}),
        ContextEntries=permits.context(s),
        PaginationConfig={"PageSize": 1000},
    )
    return tuple(dict.fromkeys(policies.simulated(results, wanted)))


def outlook(
    start: Callable[..., Answer], call: Call, s: Settings, document: Mapping[str, Any]
) -> Callable[[], Forecast]:
    """Ask what a fleet may meet once it is made; what comes back waits for the answers. Nothing of it stops a run: what cannot be asked is Unread.

    :param document: docs/iam/operator.json.
    """
    asked = {
        "denied": start(_unless_refused, _denied, call, s, document),
        "vcpus": start(_unless_refused, _vcpus, call, s),
        "vcpu_quota": start(_unless_refused, _vcpu_quota, call, s),
        "groups": start(_unless_refused, _groups, call, s),
    }
    return lambda: Forecast(**{name: answer.result() for name, answer in asked.items()})


def _unless_refused(part: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return part(*arguments)
    except CannotAsk as problem:
        return Unread(str(problem))
