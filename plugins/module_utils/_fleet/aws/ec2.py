# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's answers -> values. One function per API call; each asks through a given `call`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.seconds import since_epoch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import told
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Image,
    Instance,
    Rule,
    SecurityGroup,
    Subnet,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import PrefixList, Route
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import InstanceType

GROUP_TAG = "aws:autoscaling:groupName"
AGENT_SCHEMA_TAG = "ghosthands:agent-schema"
NO_TEMPLATE = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")
NO_VERSION = (*NO_TEMPLATE, "InvalidLaunchTemplateId.VersionNotFound")
NO_INSTANCE_TYPE = ("InvalidInstanceType",)
NO_IMAGE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
NO_KEY_PAIR = ("InvalidKeyPair.NotFound",)
NO_TARGET = ("DestinationPrefixListId", "InstanceOwnerId")  # keys of a route that end in Id
LAST_PORT = 65535


def filters(**values: list[str]) -> list[dict[str, Any]]:
    """EC2's `Filters`; `_` in a name stands for `-`."""
    return [{"Name": name.replace("_", "-"), "Values": value} for name, value in values.items()]


def vpc(call: Call, vpc_id: str) -> str | None:
    """DescribeVpcs: the id of this VPC, of the default VPC for an empty id."""
    which = filters(vpc_id=[vpc_id]) if vpc_id else filters(is_default=["true"])
    found = call("ec2", "describe_vpcs", "Vpcs", Filters=which)
    return str(found[0]["VpcId"]) if found else None


def subnets(call: Call, which: list[dict[str, Any]]) -> tuple[Subnet, ...]:
    """DescribeSubnets, by zone."""
    found = call("ec2", "describe_subnets", "Subnets", Filters=which)
    every = (
        Subnet(
            raw["SubnetId"],
            raw["VpcId"],
            raw["AvailabilityZone"],
            free_addresses=raw.get("AvailableIpAddressCount"),
            ipv6_only=bool(raw.get("Ipv6Native")),
        )
        for raw in found
    )
    return tuple(sorted(every, key=lambda subnet: (subnet.zone, subnet.id)))


def routes(call: Call, vpc_id: str) -> dict[str, tuple[Route, ...]]:
    """DescribeRouteTables: subnet -> the routes of its table; `` -> those of the main table, which others use."""
    found = dict[str, tuple[Route, ...]]()
    for table in call("ec2", "describe_route_tables", "RouteTables", Filters=filters(vpc_id=[vpc_id])):
        its = tuple(map(_route, table["Routes"]))
        for association in table["Associations"]:
            if association.get("SubnetId") or association.get("Main"):
                found[association.get("SubnetId", "")] = its
    return found


def _route(raw: Mapping[str, Any]) -> Route:
    target = next(
        (str(raw[kind]) for kind in raw if kind.endswith(("Id", "CoreNetworkArn")) and kind not in NO_TARGET), ""
    )
    return Route(raw.get("DestinationCidrBlock", ""), target, raw.get("State", "active") == "active")


def endpoints(call: Call, vpc_id: str) -> frozenset[str]:
    """DescribeVpcEndpoints: the services that have an endpoint in this VPC, such as ecr.api."""
    found = call("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=filters(vpc_id=[vpc_id]))
    # com.amazonaws.REGION.SERVICE, in China cn.com.amazonaws.REGION.SERVICE
    names = (raw["ServiceName"].partition("com.amazonaws.")[2] for raw in found if raw["State"].lower() == "available")
    return frozenset(name.partition(".")[2] for name in names)


def prefix_lists(call: Call, ids: Iterable[str], with_entries: Iterable[str]) -> dict[str, PrefixList]:
    """DescribeManagedPrefixLists: those that exist, some with their networks (GetManagedPrefixListEntries)."""
    which, wanted = filters(prefix_list_id=sorted(ids)), set(with_entries)
    found = {}
    for raw in call("ec2", "describe_managed_prefix_lists", "PrefixLists", Filters=which):
        id, entries = raw["PrefixListId"], []
        if id in wanted:
            entries = call("ec2", "get_managed_prefix_list_entries", "Entries", PrefixListId=id)
        # AWS's own lists state no maximum: their weight is in the VPC User Guide alone
        found[id] = PrefixList(id, raw.get("MaxEntries", 1), tuple(entry["Cidr"] for entry in entries))
    return found


def snapshot_keys(call: Call, ids: Iterable[str]) -> dict[str, str]:
    """DescribeSnapshots: of the encrypted ones that this account may see, the ARN of each one's key."""
    found = call("ec2", "describe_snapshots", "Snapshots", Filters=filters(snapshot_id=sorted(ids)))
    return {raw["SnapshotId"]: raw["KmsKeyId"] for raw in found if raw.get("KmsKeyId")}


def default_key(call: Call) -> str:
    """GetEbsDefaultKmsKeyId."""
    return str(call("ec2", "get_ebs_default_kms_key_id", "KmsKeyId"))


def instance_type(call: Call, name: str) -> InstanceType | None:
    """DescribeInstanceTypes and DescribeInstanceTypeOfferings."""
    raw = _instance_type(call, name)
    if raw is None:
        return None
    architectures = tuple(raw["ProcessorInfo"]["SupportedArchitectures"])
    memory, hypervisor = int(raw["MemoryInfo"]["SizeInMiB"]), str(raw.get("Hypervisor", "nitro"))
    return InstanceType(name, architectures, zones(call, name), memory, hypervisor)


def zones(call: Call, instance_type: str) -> tuple[str, ...]:
    """DescribeInstanceTypeOfferings: the region's zones that offer the type."""
    offered = call(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=filters(instance_type=[instance_type]),
    )
    return tuple(sorted(offering["Location"] for offering in offered))


def vcpus(call: Call, instance_type: str) -> int | None:
    """How many vCPUs an instance of this type has; None: there is no such type."""
    raw = _instance_type(call, instance_type)
    return int(raw["VCpuInfo"]["DefaultVCpus"]) if raw else None


def _instance_type(call: Call, name: str) -> Any:
    found = call("ec2", "describe_instance_types", "InstanceTypes", absent=NO_INSTANCE_TYPE, InstanceTypes=[name])
    return found[0] if found else None


def image(call: Call, image_id: str) -> Image | None:
    """DescribeImages, by id."""
    found = call("ec2", "describe_images", "Images", absent=NO_IMAGE, ImageIds=[image_id])
    return _image(found[0]) if found else None


def images(call: Call, image_ids: list[str]) -> dict[str, Image]:
    """DescribeImages: those of these images that exist, deprecated ones too."""
    found = call("ec2", "describe_images", "Images", Filters=filters(image_id=image_ids), IncludeDeprecated=True)
    return {image.id: image for image in map(_image, found)}


def own_images(call: Call, name_pattern: str) -> list[Image]:
    """DescribeImages: the account's own available images of such a name."""
    which = filters(name=[name_pattern], state=["available"])
    return list(map(_image, call("ec2", "describe_images", "Images", Owners=["self"], Filters=which)))


def _image(raw: Mapping[str, Any]) -> Image:
    tags = {t["Key"]: t["Value"] for t in raw.get("Tags", [])}
    disks = {disk["DeviceName"]: disk["Ebs"] for disk in raw.get("BlockDeviceMappings", []) if "Ebs" in disk}
    root = raw.get("RootDeviceName", "")
    return Image(
        id=raw["ImageId"],
        name=raw.get("Name", ""),
        architecture=raw["Architecture"],
        state=raw["State"],
        created=raw.get("CreationDate", ""),
        agent_schema=tags.get(AGENT_SCHEMA_TAG),
        deprecated=raw.get("DeprecationTime", ""),
        owner=raw.get("OwnerId", ""),
        root_device=root,
        root_gib=disks.get(root, {}).get("VolumeSize", 0),
        encrypted_snapshots=tuple(
            disk["SnapshotId"] for disk in disks.values() if disk.get("Encrypted") and disk.get("SnapshotId")
        ),
        plain=any(not disk.get("Encrypted") for disk in disks.values()),
        public=bool(raw.get("Public")),
    )


def key_pair(call: Call, name: str) -> bool:
    """DescribeKeyPairs: whether there is one of this name."""
    return bool(call("ec2", "describe_key_pairs", "KeyPairs", absent=NO_KEY_PAIR, KeyNames=[name]))


def instances(call: Call, tags: Mapping[str, str]) -> dict[str, Instance]:
    """DescribeInstances: those with all of these tags that are not terminated."""
    which = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    found = call("ec2", "describe_instances", "Reservations", Filters=which)
    every = [_instance(raw) for reservation in found for raw in reservation["Instances"]]
    return {instance.id: instance for instance in every if instance.state != "terminated"}


def _instance(raw: Mapping[str, Any]) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])}
    return Instance(
        id=raw["InstanceId"],
        state=raw["State"]["Name"],
        image=raw["ImageId"],
        type=raw["InstanceType"],
        launched=since_epoch(raw["LaunchTime"]),
        profile=(raw.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2],
        addresses=tuple(raw[kind] for kind in ("PublicIpAddress", "PrivateIpAddress") if raw.get(kind)),
        profile_id=(raw.get("IamInstanceProfile") or {}).get("Id", ""),
        security_groups=frozenset(
            group["GroupId"]
            for place in (raw, *_further_interfaces(raw))
            for group in place.get("SecurityGroups", place.get("Groups", []))
        ),
        metadata=raw.get("MetadataOptions") or {},
        group=tags.get(GROUP_TAG, ""),
        told=told(tags),
    )


def _further_interfaces(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Network interfaces besides the first, whose groups are the instance's."""
    return [n for n in raw.get("NetworkInterfaces", []) if n.get("Attachment", {}).get("DeviceIndex")]


def launch_template(call: Call, name: str) -> dict[str, Any] | None:
    """DescribeLaunchTemplates, with the latest of its versions as `Latest`."""
    found = call("ec2", "describe_launch_templates", "LaunchTemplates", absent=NO_TEMPLATE, LaunchTemplateNames=[name])
    versions = launch_template_versions(call, ["$Latest", "$Default"], LaunchTemplateName=name)
    if not found or not versions:
        return None
    return {**found[0], "Latest": max(versions, key=lambda version: version["VersionNumber"])}


def launch_template_versions(call: Call, versions: list[str], **template: str) -> list[dict[str, Any]]:
    """DescribeLaunchTemplateVersions; none where there is no such template or version.

    :param template: LaunchTemplateName or LaunchTemplateId.
    """
    found = call(
        "ec2",
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        absent=NO_VERSION,
        **template,
        Versions=versions,
    )
    return found or []


def security_groups(call: Call, name: str) -> list[dict[str, Any]]:
    """DescribeSecurityGroups, by name: one for each VPC that has a group of this name."""
    found = call("ec2", "describe_security_groups", "SecurityGroups", Filters=filters(group_name=[name]))
    return list(found)


def security_group_vpcs(call: Call, ids: Iterable[str]) -> dict[str, str]:
    """DescribeSecurityGroups: the VPC of each of these groups that exists."""
    found = call("ec2", "describe_security_groups", "SecurityGroups", Filters=filters(group_id=sorted(ids)))
    return {raw["GroupId"]: raw["VpcId"] for raw in found}


def groups_that_name(call: Call, group_id: str, vpc_id: str) -> dict[str, str]:
    """DescribeSecurityGroups: the other security groups of the VPC with a rule that names this one, id -> name."""
    found = call("ec2", "describe_security_groups", "SecurityGroups", Filters=filters(vpc_id=[vpc_id]))
    return {
        raw["GroupId"]: raw["GroupName"]
        for raw in found
        if raw["GroupId"] != group_id
        and any(
            pair.get("GroupId") == group_id
            for rule in (*raw.get("IpPermissions", []), *raw.get("IpPermissionsEgress", []))
            for pair in rule.get("UserIdGroupPairs", [])
        )
    }


def interfaces_in(call: Call, group_id: str) -> dict[str, str]:
    """DescribeNetworkInterfaces: those in this security group, id -> the instance that has it; empty: none has."""
    which = filters(group_id=[group_id])
    found = call("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=which)
    return {raw["NetworkInterfaceId"]: (raw.get("Attachment") or {}).get("InstanceId", "") for raw in found}


def security_groups_by_id(call: Call, ids: Iterable[str]) -> dict[str, SecurityGroup]:
    """DescribeSecurityGroups: those of these groups that exist, with the networks that their rules name.

    What other security groups may reach is not listed: they are the account's own.
    """
    found = call("ec2", "describe_security_groups", "SecurityGroups", Filters=filters(group_id=list(ids)))
    return {raw["GroupId"]: security_group(call, raw) for raw in found}


def security_group(call: Call, raw: Mapping[str, Any]) -> SecurityGroup:
    """A group as DescribeSecurityGroups returns it."""
    return SecurityGroup(
        id=raw["GroupId"],
        name=raw["GroupName"],
        inbound=tuple(_rule(call, rule) for rule in raw.get("IpPermissions", [])),
        outbound=tuple(_rule(call, rule) for rule in raw.get("IpPermissionsEgress", [])),
    )


def _rule(call: Call, raw: Mapping[str, Any]) -> Rule:
    lists = [r["PrefixListId"] for r in raw.get("PrefixListIds", [])]
    every = raw["IpProtocol"] == "-1" or raw.get("FromPort") is None
    return Rule(
        protocol=raw["IpProtocol"],
        first=0 if every else raw["FromPort"],
        last=LAST_PORT if every else raw["ToPort"],
        networks=(
            *(r["CidrIp"] for r in raw.get("IpRanges", [])),
            *(r["CidrIpv6"] for r in raw.get("Ipv6Ranges", [])),
            *(cidr for id in lists for cidr in prefix_list(call, id)),
        ),
    )


def prefix_list(call: Call, id: str) -> tuple[str, ...]:
    """GetManagedPrefixListEntries: the CIDRs of a prefix list, AWS's own ones too; none where it was deleted."""
    absent = ("InvalidPrefixListID.NotFound", "InvalidPrefixListId.NotFound")
    found = call("ec2", "get_managed_prefix_list_entries", "Entries", absent=absent, PrefixListId=id)
    return tuple(entry["Cidr"] for entry in found or ())
