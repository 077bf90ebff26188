"""EC2: a network and images of our own, and instances that are what their launch template and image say."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.serialize import return_if_not_empty
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2 import urls
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidAMIIdError,
    InvalidInstanceIdError,
    InvalidPermissionNotFoundError,
    RulesPerSecurityGroupLimitExceededError,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.amis import Ami
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Reservation
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.key_pairs import KeyPair
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPC
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, convert_tag_spec, filter_iam_instance_profiles, get_prefix
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends

from localcloud import seed
from localcloud.ec2.devices import check_performance, check_sizes
from localcloud.ec2.encryption import EncryptionBackend, EncryptionResponse
from localcloud.ec2.images import ImageBackend, ImageResponse
from localcloud.ec2.instances import Cloud, InstanceBackend, InstanceResponse
from localcloud.ec2.keys import keys_of, launch_problem
from localcloud.ec2.launch_templates import LaunchTemplateBackend, LaunchTemplateResponse
from localcloud.ec2.tags import TagBackend, TagResponse, check_metadata_keys

#: How long EC2 still describes an instance after its end ("a short period, usually less than one hour").
TERMINATED_VISIBLE = timedelta(hours=1)
#: Rules of a security group in each direction, of IPv4 and of IPv6 (VPC User Guide, "Amazon VPC quotas"). One that
#: names a group counts for both, one that names a prefix list as the list's maximum of entries.
RULES = 60
#: The most instances that one DescribeInstances answers with.
PAGE = 1000


#: Names of protocols; others go by their numbers (EC2 API, IpPermission, IpProtocol).
PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}
#: The protocols whose rules have ports (of ICMP: type and code).
WITH_PORTS = frozenset({"icmp", "icmpv6", "tcp", "udp"})


class Image(Ami):
    """A seeded image: its root volume has the seed's size and encryption."""

    def __init__(self, backend: Ec2Backend, source: seed.ImageSeed) -> None:
        super().__init__(
            backend,
            source.id,
            name=source.name,
            description=source.description,
            owner_id=source.owner,
            owner_alias="amazon" if source.owner == seed.AMAZON else None,
            public=source.public,
            virtualization_type="hvm",
            hypervisor="xen",
            architecture=source.architecture,
            creation_date=datetime.fromisoformat(source.created).astimezone(UTC).replace(tzinfo=None),
            image_location=f"{source.owner}/{source.name}",
            root_device_type="ebs",
            root_device_name="/dev/xvda",
            region_name=f"{backend.region_name}a",
            boot_mode="uefi-preferred" if source.architecture == "x86_64" else "uefi",
            tags=dict(source.tags),
        )
        self.deprecation_time: str | None = None
        self.imds_support: str | None = None
        snapshot = self.ebs_snapshot
        del backend.snapshots[snapshot.id]
        snapshot.id, snapshot.encrypted, snapshot.volume.size = source.snapshot, source.encrypted, source.size
        backend.snapshots[snapshot.id] = snapshot

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """As DescribeImages shows them."""
        snapshot = self.ebs_snapshot
        return [
            {
                "DeviceName": self.root_device_name,
                "Ebs": {
                    "SnapshotId": snapshot.id,
                    "VolumeSize": snapshot.volume.size,
                    "VolumeType": "gp3",
                    "Encrypted": snapshot.encrypted,
                    "DeleteOnTermination": True,
                },
            }
        ]


class SourceGroup(dict[str, str]):
    """A rule's source group; a rule is the same with another description, which moto overlooks for source groups."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and _without_description(self) == _without_description(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def _without_description(source: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in source.items() if key != "Description"}


class Ec2Backend(TagBackend, LaunchTemplateBackend, ImageBackend, InstanceBackend, EncryptionBackend, EC2Backend):
    """moto's EC2 with the seeded network and images instead of its own, and launch templates honoured in full."""

    _url_module = urls

    def __init__(self, region_name: str, account_id: str, cloud: Cloud) -> None:
        self.cloud = cloud
        #: Every instance by id: moto looks through all of them, each time.
        self.instances_by_id: dict[str, Any] = {}
        self.disks, self.tokens, self.copies, self.earlier_tags = {}, {}, {}, {}
        #: The volumes of the instances that are being made, one after the other.
        self._volumes: Iterator[dict[str, Any]] | None = None
        super().__init__(region_name, account_id)

    def get_instance_by_id(self, instance_id: str) -> Any:
        """The instance, or None."""
        if instance_id in self.instances_by_id:
            return self.instances_by_id[instance_id]
        newest = next(reversed(self.reservations.values()), None)  # moto asks for an instance while it makes it
        return next((i for i in newest.instances if i.id == instance_id), None) if newest else None

    def get_instance(self, instance_id: str) -> Any:
        """The instance, or EC2's refusal."""
        if (instance := self.get_instance_by_id(instance_id)) is None:
            raise InvalidInstanceIdError(instance_id)
        return instance

    def get_multi_instances_by_id(self, instance_ids: list[str], filters: Any = None) -> list[Any]:
        """The instances that pass the filters, or EC2's refusal of those that are not there."""
        if missing := [id for id in instance_ids if self.get_instance_by_id(id) is None]:
            raise InvalidInstanceIdError(missing)
        return [instance for id in instance_ids if (instance := self.get_instance(id)).applies(filters)]

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
        """DescribeTags; the tags of one resource are found without reading those of every other."""
        match filters:
            case {"resource-id": [str(id)], **others} if not others and not set(id) & set("*?\\"):
                kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(id), "")
                tags = self.tags.get(id, {})
                return [
                    {"resource_id": id, "key": key, "value": value, "resource_type": kind}
                    for key, value in tags.items()
                ]
        return super().describe_tags(filters)

    def _add_source_group(self, source_groups: list[dict[str, Any]] | None, vpc_id: str | None) -> list[dict[str, Any]]:
        return [SourceGroup(group) for group in super()._add_source_group(source_groups, vpc_id)]

    def _sg_update_description(self, security_rule: SecurityGroupRule, rule: SecurityGroupRule) -> None:
        """The description of one rule; one that is not given goes away (moto keeps it)."""
        for given, existing in (
            (security_rule.ip_range, rule.ip_range),
            (security_rule.source_group, rule.source_group),
        ):
            existing.pop("Description", None)
            if "Description" in given:
                existing["Description"] = given["Description"]

    def _iterate_security_rules(
        self, ip_protocol: str, group_id: str, from_port: Any, to_port: Any, *others: Any, **options: Any
    ) -> Iterator[SecurityGroupRule]:
        """The rules of one permission. Only TCP, UDP and ICMP have ports: for another protocol number any are allowed.

        (EC2 API, IpPermission; moto fails without ports.)
        """
        protocol = PROTOCOLS.get(str(ip_protocol).lower(), str(ip_protocol).lower())
        ported = protocol in WITH_PORTS
        if not ported and protocol != "-1" and not protocol.isdigit():
            raise EC2ClientError(
                "InvalidParameterValue", f"Invalid value '{ip_protocol}' for IP protocol. Unknown protocol."
            )
        if protocol in ("tcp", "udp") and None in (from_port, to_port):
            raise EC2ClientError(
                "InvalidParameterValue",
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            )
        low, high = (str(-1 if port is None else port) for port in (from_port, to_port))
        for rule in super()._iterate_security_rules(protocol, group_id, low, high, *others, **options):
            if not ported:
                rule.from_port = rule.to_port = None
            yield rule

    def revoke_security_group_egress(
        self,
        group_name_or_id: str,
        ip_protocol: str,
        from_port: str,
        to_port: str,
        ip_ranges: list[Any],
        source_groups: list[dict[str, Any]] | None = None,
        prefix_list_ids: list[dict[str, str]] | None = None,
        security_rule_ids: list[str] | None = None,
        vpc_id: str | None = None,
    ) -> None:
        """RevokeSecurityGroupEgress; moto overlooks IPv6 ranges in a VPC without IPv6 addresses of its own."""
        group = self.get_security_group_by_name_or_id(group_name_or_id, vpc_id)
        if security_rule_ids or group is None:
            super().revoke_security_group_egress(
                group_name_or_id, ip_protocol, from_port, to_port, ip_ranges, None, None, security_rule_ids, vpc_id
            )
            return
        sources = self._add_source_group(source_groups, vpc_id)
        lists = prefix_list_ids or []
        gone = list(
            self._iterate_security_rules(ip_protocol, group.group_id, from_port, to_port, ip_ranges, sources, lists)
        )
        if any(rule not in group.egress_rules for rule in gone):
            raise InvalidPermissionNotFoundError
        group.egress_rules = [rule for rule in group.egress_rules if rule not in gone]

    def delete_vpc(self, vpc_id: str) -> VPC:
        """DeleteVpc: with its default group, list and table, unless anything else is in it (EC2 API, DeleteVpc)."""
        self.get_vpc(vpc_id)
        inside: list[Any] = [
            *(group for group in self.groups[vpc_id].values() if not group.is_default),
            *(nic for nic in self.enis.values() if nic.subnet.vpc_id == vpc_id),
            *(gateway for gateway in self.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc_id),
            *(acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id and not acl.default),
        ]
        if inside:
            raise EC2ClientError("DependencyViolation", f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        groups = self.groups.pop(vpc_id)
        try:
            gone = super().delete_vpc(vpc_id)
        except EC2ClientError:
            self.groups[vpc_id] = groups
            raise
        self.groups.pop(vpc_id, None)
        self.network_acls = {id: acl for id, acl in self.network_acls.items() if acl.vpc_id != vpc_id}
        return gone

    def delete_managed_prefix_list(self, prefix_list_id: str) -> Any:
        """DeleteManagedPrefixList; moto fails on one that is not there."""
        self._check_prefix_list(prefix_list_id)
        return super().delete_managed_prefix_list(prefix_list_id)

    def modify_managed_prefix_list(self, *arguments: Any, **named: Any) -> Any:
        """ModifyManagedPrefixList; likewise."""
        self._check_prefix_list(named.get("prefix_list_id"))
        return super().modify_managed_prefix_list(*arguments, **named)

    def _check_prefix_list(self, prefix_list_id: str | None) -> None:
        if prefix_list_id not in self.managed_prefix_lists:
            raise EC2ClientError(
                "InvalidPrefixListID.NotFound", f"The prefix list ID '{prefix_list_id}' does not exist"
            )

    def detach_volume(self, volume_id: str, instance_id: str, device_path: str) -> Any:
        """DetachVolume: from the instance that has it, where none is named (moto fails); never the root at work."""
        attachment = self.get_volume(volume_id).attachment
        instance_id = instance_id or (attachment.instance.id if attachment else "")
        if attachment is None:
            raise EC2ClientError("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        instance = attachment.instance
        if attachment.device == instance.root_device_name and instance.state == "running":
            raise EC2ClientError(
                "OperationNotPermitted", f"Unable to detach root volume '{volume_id}' from instance '{instance.id}'"
            )
        return super().detach_volume(volume_id, instance_id, device_path)

    def delete_nat_gateway(self, nat_gateway_id: str) -> Any:
        """DeleteNatGateway; likewise."""
        if nat_gateway_id not in self.nat_gateways:
            raise EC2ClientError("NatGatewayNotFound", f"NatGateway {nat_gateway_id} was not found")
        return super().delete_nat_gateway(nat_gateway_id)

    def replace_network_acl_association(self, association_id: str, network_acl_id: str) -> Any:
        """ReplaceNetworkAclAssociation; likewise."""
        if not any(association_id in acl._associations for acl in self.network_acls.values()):
            raise EC2ClientError(
                "InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist"
            )
        return super().replace_network_acl_association(association_id, network_acl_id)

    def create_key_pair(self, name: str, key_type: str, tags: dict[str, str]) -> KeyPair:
        """CreateKeyPair."""
        return _with_fingerprint(super().create_key_pair(name, key_type, tags))

    def import_key_pair(self, key_name: str, public_key_material: bytes, tags: dict[str, str]) -> KeyPair:
        """ImportKeyPair."""
        return _with_fingerprint(super().import_key_pair(key_name, public_key_material, tags))

    def _load_amis(self) -> None:
        """None of moto's thousands of images: it asks too early for ours, which come with the network."""

    def create_default_vpc(self) -> VPC | None:  # type: ignore[override]
        """The seeds instead of moto's default VPC; regions other than the seeded one have no network and no images."""
        if self.region_name != seed.REGION or self.account_id != seed.ACCOUNT:
            return None
        for vpc in seed.VPCS:
            self._seed_vpc(vpc)
        for image in seed.IMAGES:
            self.amis[image.id] = Image(self, image)
        for name, public_key in seed.KEY_PAIRS.items():
            self.import_key_pair(name, public_key.encode(), {})
        return self.get_default_vpc()

    def _seed_vpc(self, source: seed.VpcSeed) -> None:
        vpc = _new(VPC, self, source.id, source.cidr, is_default=source.default)
        vpc.add_tag("Name", source.name)
        self.vpcs[vpc.id] = vpc
        table = self.create_route_table(vpc.id, main=True)
        self.create_network_acl(vpc.id, default=True)
        self.groups[vpc.id][source.security_group] = _new(
            SecurityGroup,
            self,
            source.security_group,
            "default",
            "default VPC security group",
            vpc_id=vpc.id,
            is_default=True,
        )
        if source.gateway:
            gateway = _new(InternetGateway, self)
            gateway.id = source.gateway
            self.internet_gateways[gateway.id] = gateway
            self.attach_internet_gateway(gateway.id, vpc.id)
            self.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
        for subnet in source.subnets:
            zone = next(z for z in RegionsAndZonesBackend.zones[self.region_name] if z.name == subnet.zone)
            self.subnets[subnet.zone][subnet.id] = _new(
                Subnet,
                self,
                subnet.id,
                vpc.id,
                subnet.cidr,
                None,
                zone,
                default_for_az=subnet.default,
                map_public_ip_on_launch=subnet.default,
            )
            self.associate_default_network_acl_with_subnet(subnet.id, vpc.id)

    def run_instances(
        self,
        image_id: str,
        count: int,
        user_data: Base64EncodedString | None,
        security_group_names: list[str],
        **kwargs: Any,
    ) -> Reservation:
        """RunInstances: what the call leaves open, its launch template decides, then the image."""
        profile: dict[str, str] = {}
        if template := kwargs.get("launch_template"):
            data = self._get_template_from_args(template).data
            image_id = image_id or data.get("ImageId", "")
            profile = data.get("IamInstanceProfile") or {}
            _fill_from_template(kwargs, data)
            if kwargs.get("is_instance_type_default"):
                kwargs["instance_type"] = data.get("InstanceType") or kwargs["instance_type"]
        image = self._image_to_launch(image_id, kwargs["instance_type"])
        self._check_profile(profile or _named_profile(kwargs))
        _check_tags(kwargs)
        if kwargs.get("key_name"):
            self.describe_key_pairs(key_names=[kwargs["key_name"]])
        devices = _merged_devices(image.block_device_mappings, kwargs.get("block_device_mappings") or [])
        check_performance(devices)
        check_sizes(devices, self.snapshots)
        keys = list(keys_of(devices, self.snapshots, self.default_kms_key_id))
        problem = launch_problem(keys, kwargs.pop("launcher", None), self.account_id, self.region_name)
        kwargs["block_device_mappings"] = devices
        self._choose_subnet(kwargs)
        _complete_primary_interface(kwargs)
        self._default_group(kwargs, security_group_names)
        if self.cloud.machines.host.kind != "simulated":  # its public address would lead nowhere
            kwargs["nics"][0].setdefault("AssociatePublicIpAddress", False)
        if getattr(image, "imds_support", None):  # what AL2023's own images bring along (UG, "Configure the AMI")
            kwargs["metadata_options"] = {"HttpTokens": "required", "HttpPutResponseHopLimit": 2} | (
                kwargs.get("metadata_options") or {}
            )
        try:
            self._volumes = itertools.cycle(device["Ebs"] for device in devices)
            reservation = super().run_instances(image_id, count, user_data, security_group_names, **kwargs)
        except StopIteration as error:  # moto's way to say that a subnet's addresses have run out
            self.reservations = OrderedDict((id, r) for id, r in self.reservations.items() if r.instances)
            message = (
                f"There are not enough free addresses in subnet '{kwargs['subnet_id']}' to satisfy the requested "
                "number of instances."
            )
            raise EC2ClientError("InsufficientFreeAddressesInSubnet", message) from error
        finally:
            self._volumes = None
        self.instances_by_id.update((instance.id, instance) for instance in reservation.instances)
        if profile and not (kwargs.get("iam_instance_profile_name") or kwargs.get("iam_instance_profile_arn")):
            for instance in reservation.instances:
                self.associate_iam_instance_profile(
                    instance.id,
                    iam_instance_profile_name=profile.get("Name"),
                    iam_instance_profile_arn=profile.get("Arn"),
                )
        if kwargs.get("instance_market_options") == "spot":
            iam: Any = iam_backends[self.account_id][self.partition]
            iam.make_linked_role("spot.amazonaws.com")
        for instance in reservation.instances:
            for interface in instance.nics.values():
                interface.add_tags((kwargs.get("tags") or {}).get("network-interface", {}))
            self.launch(instance, reservation.id, problem)
        return reservation

    def associate_iam_instance_profile(
        self,
        instance_id: str,
        iam_instance_profile_name: str | None = None,
        iam_instance_profile_arn: str | None = None,
    ) -> Any:
        """AssociateIamInstanceProfile; an instance shows its profile's id (API_IamInstanceProfile), not moto's."""
        given = {"Arn": iam_instance_profile_arn, "Name": iam_instance_profile_name}
        if named := {key: value for key, value in given.items() if value}:
            self._check_profile(named)
        association = super().associate_iam_instance_profile(
            instance_id, iam_instance_profile_name, iam_instance_profile_arn
        )
        profile = association.iam_instance_profile
        self.modify_instance_attribute(instance_id, "iam_instance_profile", {"Arn": profile.arn, "Id": profile.id})
        return association

    def _choose_subnet(self, kwargs: dict[str, Any]) -> None:
        """Where nothing names a subnet, the default one of the zone (API, RunInstances, SubnetId)."""
        if kwargs.get("subnet_id") or any(
            nic.get("SubnetId") or nic.get("NetworkInterfaceId") for nic in kwargs.get("nics") or []
        ):
            return
        zone, vpc = kwargs.get("placement") or None, self.get_default_vpc()  # Packer names an empty one
        defaults = [
            subnet
            for subnet in self.get_default_subnets().values()
            if vpc and subnet.vpc_id == vpc.id and zone in (None, subnet.availability_zone)
        ]
        if not defaults:
            raise EC2ClientError("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
        kwargs["subnet_id"] = min(defaults, key=lambda subnet: str(subnet.availability_zone)).id

    def _default_group(self, kwargs: dict[str, Any], names: list[str]) -> None:
        """Where nothing names a security group, the VPC's default one (EC2 API, RunInstances, SecurityGroupId)."""
        primary = kwargs["nics"][0]
        data = self._get_template_from_args(kwargs["launch_template"]).data if kwargs.get("launch_template") else {}
        named = kwargs.get("security_group_ids") or names or data.get("SecurityGroupIds") or data.get("SecurityGroups")
        if named or primary.get("NetworkInterfaceId") or not primary.get("SubnetId"):
            return
        vpc_id = self.get_subnet(primary["SubnetId"]).vpc_id
        kwargs["security_group_ids"] = [group.id for group in self.groups[vpc_id].values() if group.is_default]

    def image(self, image_id: str) -> Ami:
        """The image, unless it is unknown or deregistered."""
        if image_id not in self.amis:
            raise InvalidAMIIdError([image_id])
        return self.amis[image_id]

    def devices_of(self, instance: Any, overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """An instance's volumes as an image has them, with a caller's overrides; the root device comes first."""
        own = []
        for name, device in instance.block_device_mapping.items():
            volume = self.get_volume(device.volume_id)
            ebs = {
                "VolumeId": volume.id,
                "VolumeSize": volume.size,
                "VolumeType": volume.volume_type,
                "Encrypted": volume.encrypted,
            }
            own.append({"DeviceName": name, "Ebs": {**ebs, "DeleteOnTermination": device.delete_on_termination}})
        return sorted(
            _merged_devices(own, overrides), key=lambda device: device["DeviceName"] != instance.root_device_name
        )

    def _image_to_launch(self, image_id: str, instance_type: str) -> Ami:
        """The image, if it is there and runs on the instance type."""
        if not image_id:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
        image = self.image(image_id)
        if image.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
        if instance_type not in INSTANCE_TYPES:
            raise EC2ClientError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        runs = INSTANCE_TYPES[instance_type]["ProcessorInfo"]["SupportedArchitectures"]
        if image.architecture not in runs:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"The architecture '{','.join(runs)}' of the specified instance type does not match the architecture "
                f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
                "architectures, and try again.",
            )
        return image

    def create_volume(self, *arguments: Any, **options: Any) -> Volume:
        """CreateVolume, and the volumes of instances: their Iops and Throughput, which moto forgets."""
        ebs = next(self._volumes) if self._volumes else {}
        own = {"iops": ebs.get("Iops"), "throughput": ebs.get("Throughput")} if ebs else {}
        return super().create_volume(*arguments, **{**options, **own})

    def check_launch(self, data: dict[str, Any]) -> None:
        """Refuse a launch template's data as Auto Scaling does when a group is to have it: it tries a launch.

        Raises:
            ServiceException: as RunInstances would; what only a launch itself shows is not found.
        """
        devices = data.get("BlockDeviceMappings") or []
        if image_id := data.get("ImageId"):
            devices = _merged_devices(self.image(image_id).block_device_mappings, devices)
        check_performance(devices)
        self._check_profile(data.get("IamInstanceProfile") or {})

    def _check_profile(self, profile: dict[str, str]) -> None:
        """Refuse an instance profile that is not there, or that EC2 does not know of yet."""
        if not profile:
            return
        iam: Any = iam_backends[self.account_id][self.partition]
        try:
            found = filter_iam_instance_profiles(
                self.account_id, self.partition, profile.get("Arn"), profile.get("Name")
            )
            if not iam.sees_profile(found):
                raise NotFoundException("It is not known yet")
        except ServiceException as error:
            key, value = next(iter(profile.items()))
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{key.lower()} is invalid. "
                f"Invalid IAM Instance Profile {key.lower()}",
            ) from error

    def authorize_security_group_ingress(self, *arguments: Any, **named: Any) -> tuple[list[Any], SecurityGroup]:
        """AuthorizeSecurityGroupIngress; moto takes unknown prefix lists, and counts each as one rule."""
        added, group = super().authorize_security_group_ingress(*arguments, **named)
        self._check_rules(group.ingress_rules, added)
        return added, group

    def authorize_security_group_egress(self, *arguments: Any, **named: Any) -> tuple[list[Any], SecurityGroup]:
        """AuthorizeSecurityGroupEgress; likewise."""
        added, group = super().authorize_security_group_egress(*arguments, **named)
        self._check_rules(group.egress_rules, added)
        return added, group

    def _check_rules(self, rules: list[Any], added: list[Any]) -> None:
        """Take back rules that EC2 refuses: an unknown prefix list's, and those beyond the quota."""
        lists: Any = self.managed_prefix_lists
        unknown = [rule.prefix_list_id for rule in added if rule.prefix_list_id not in (None, *lists)]
        sizes = {4: 0, 6: 0}
        for rule in rules:
            size = (lists[rule.prefix_list_id].max_entries or 1) if rule.prefix_list_id in lists else 1
            v6 = bool(rule.ip_range and rule.ip_range.get("CidrIpv6"))
            for version in (6,) if v6 else (4,) if rule.ip_range else (4, 6):
                sizes[version] += int(size)
        if unknown or max(sizes.values()) > RULES:
            rules[:] = [rule for rule in rules if rule not in added]
        if unknown:
            self._check_prefix_list(unknown[0])
        if max(sizes.values()) > RULES:
            raise RulesPerSecurityGroupLimitExceededError

    def _verify_group_will_respect_rule_count_limit(self, *arguments: Any, **named: Any) -> None:
        """moto's count, of IPv4 and IPv6 together; `_check_rules` counts as EC2 does."""

    def _delete_security_group(self, vpc_id: str | None, group_id: str) -> None:
        """DeleteSecurityGroup: not the default one, nor one that an interface or another group's rule uses."""
        group = self.get_security_group_from_id(group_id)
        if group and group.is_default:
            raise EC2ClientError(
                "CannotDelete", f'the specified group: "{group_id}" name: "default" cannot be deleted by a user'
            )
        used = any(group in interface.group_set for interface in self.enis.values())
        named = any(
            rule.source_group.get("GroupId") == group_id
            for other in self.describe_security_groups()
            if other.id != group_id
            for rule in [*other.ingress_rules, *other.egress_rules]
        )
        if used or named:
            raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
        super()._delete_security_group(vpc_id, group_id)

    def forget_terminated(self) -> None:
        """Drop instances that ended longer ago than EC2 shows them."""
        before = utcnow() - TERMINATED_VISIBLE
        for id, reservation in list(self.reservations.items()):
            kept = [i for i in reservation.instances if getattr(i, "ended_at", utcnow()) > before]
            for gone in set(reservation.instances) - set(kept):
                self.instances_by_id.pop(gone.id, None)
            if not kept:
                del self.reservations[id]
            reservation.instances = kept
        self.tokens = {token: call for token, call in self.tokens.items() if call[1].instances}


def _new(kind: Any, *arguments: Any, **options: Any) -> Any:
    """A model of moto's; they are abstract for CloudFormation's sake only."""
    return kind(*arguments, **options)


def _with_fingerprint(pair: KeyPair) -> KeyPair:
    """The key pair; the fingerprint of an ED25519 key is the SHA-256 of its OpenSSH form in base64, padded.

    (EC2 API, KeyPairInfo; seen on AWS: github.com/mulgadc/spinifex/pull/571.)
    """
    if pair.key_type == "ed25519":
        blob = base64.b64decode(pair.public_key.split()[1])
        pair.key_fingerprint = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return pair


def _fill_from_template(kwargs: dict[str, Any], data: dict[str, Any]) -> None:
    """Complete moto's keyword arguments of RunInstances with what moto itself does not take from a launch template."""
    if not kwargs.get("block_device_mappings"):
        kwargs["block_device_mappings"] = data.get("BlockDeviceMappings")
    if not kwargs.get("nics") and (interfaces := data.get("NetworkInterfaces")):
        kwargs["nics"] = [dict(interface) for interface in interfaces]
    kwargs["metadata_options"] = {**(data.get("MetadataOptions") or {}), **(kwargs.get("metadata_options") or {})}
    kwargs["ebs_optimized"] = kwargs.get("ebs_optimized") or data.get("EbsOptimized", False)
    if (data.get("Monitoring") or {}).get("Enabled"):
        kwargs["monitoring_state"] = "enabled"
    if data.get("InstanceMarketOptions"):
        kwargs["instance_market_options"] = data["InstanceMarketOptions"].get("MarketType")
    tags = convert_tag_spec(data.get("TagSpecifications") or [])
    for kind, own in (kwargs.get("tags") or {}).items():
        tags[kind] = {**tags.get(kind, {}), **own}
    kwargs["tags"] = tags


def _check_tags(kwargs: dict[str, Any]) -> None:
    """Refuse tag keys that the metadata service cannot show, where it shall (UG, "View tags ... instance metadata")."""
    if (kwargs.get("metadata_options") or {}).get("InstanceMetadataTags") == "enabled":
        check_metadata_keys((kwargs.get("tags") or {}).get("instance", {}))


def _named_profile(kwargs: dict[str, Any]) -> dict[str, str]:
    """The instance profile that a call of RunInstances names itself."""
    named = {"Name": kwargs.get("iam_instance_profile_name"), "Arn": kwargs.get("iam_instance_profile_arn")}
    return {key: str(value) for key, value in named.items() if value}


def _merged_devices(image: list[dict[str, Any]], requested: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image's volumes with the caller's overrides laid over them, device by device."""
    devices = {device["DeviceName"]: dict(device["Ebs"]) for device in image}
    for device in requested:
        if device.get("NoDevice") is not None:
            devices.pop(device["DeviceName"], None)
            continue
        base = devices.get(device["DeviceName"], {"VolumeType": "gp2", "DeleteOnTermination": True})
        overrides = {key: value for key, value in (device.get("Ebs") or {}).items() if value is not None}
        encrypted = bool(base.get("Encrypted") or overrides.get("Encrypted"))
        devices[device["DeviceName"]] = {**base, **overrides, "Encrypted": encrypted}
    return [{"DeviceName": name, "Ebs": ebs} for name, ebs in devices.items()]


def _complete_primary_interface(kwargs: dict[str, Any]) -> None:
    """Give the primary interface its subnet and groups and let it end with the instance, as EC2 does."""
    nics = kwargs.get("nics") or [{"DeviceIndex": 0}]
    primary = next((nic for nic in nics if int(nic.get("DeviceIndex", 0)) == 0), nics[0])
    primary.setdefault("DeviceIndex", 0)
    primary.setdefault("DeleteOnTermination", True)
    kwargs["subnet_id"] = kwargs.get("subnet_id") or primary.get("SubnetId")
    if kwargs["subnet_id"]:
        primary["SubnetId"] = kwargs["subnet_id"]
    if groups_ := primary.pop("Groups", None):
        kwargs["security_group_ids"] = list(groups_)
    kwargs["nics"] = nics


class Ec2(TagResponse, LaunchTemplateResponse, ImageResponse, InstanceResponse, EncryptionResponse, EC2Response):
    """EC2's actions."""

    #: What is described without tags has no list of them (boto3: ``instance.tags`` is None, and so on).
    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        **EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER,
    } | {
        f"Result.{kind}.Tags": return_if_not_empty
        for kind in (
            *("Images.Image", "Reservations.Reservation.Instances.Instance", "SecurityGroups.SecurityGroup"),
            *("LaunchTemplate", "LaunchTemplates.LaunchTemplate", "Subnets.Subnet", "Volumes.Volume", "Vpcs.Vpc"),
        )
    }

    def allocate_address(self) -> ActionResult:
        """AllocateAddress, with what the address belongs to (moto leaves it out)."""
        result = cast(dict[str, Any], super().allocate_address().result)
        return ActionResult({**result, "NetworkBorderGroup": self.region, "PublicIpv4Pool": "amazon"})

    def create_volume(self) -> ActionResult:
        """CreateVolume, with the operations a second that its type has (EBS UG, "General Purpose SSD volumes")."""
        result: ActionResult = super().create_volume()
        volume = cast(Any, result.result)
        volume.snapshot_id = volume.snapshot_id or ""
        if not volume.iops and volume.volume_type in ("gp2", "gp3"):
            volume.iops = 3000 if volume.volume_type == "gp3" else min(max(100, 3 * int(volume.size)), 16000)
        return result

    def authorize_security_group_ingress(self) -> ActionResult:
        """AuthorizeSecurityGroupIngress, with all of the new rules (moto shows the last permission's)."""
        return self._authorized(self.ec2_backend.authorize_security_group_ingress)

    def authorize_security_group_egress(self) -> ActionResult:
        """AuthorizeSecurityGroupEgress; likewise."""
        return self._authorized(self.ec2_backend.authorize_security_group_egress)

    def _authorized(self, add: Callable[..., tuple[list[SecurityGroupRule], Any]]) -> ActionResult:
        self.error_on_dryrun()
        rules = [rule for permission in self._process_rules_from_querystring() for rule in add(**permission)[0]]
        return ActionResult({"Return": True, "SecurityGroupRules": rules})

    def update_security_group_rule_descriptions_ingress(self) -> ActionResult:
        """UpdateSecurityGroupRuleDescriptionsIngress; moto leaves the answer empty."""
        super().update_security_group_rule_descriptions_ingress()
        return ActionResult({"Return": True})

    def update_security_group_rule_descriptions_egress(self) -> ActionResult:
        """UpdateSecurityGroupRuleDescriptionsEgress; likewise."""
        super().update_security_group_rule_descriptions_egress()
        return ActionResult({"Return": True})

    def describe_instances(self) -> ActionResult:
        """DescribeInstances, paged by instances; those that ended long ago are gone."""
        self.error_on_dryrun()
        self.ec2_backend.forget_terminated()
        ids, size = self._get_param("InstanceIds", []), self._get_int_param("MaxResults")
        if ids and size:
            raise EC2ClientError(
                "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
            )
        if size is not None and not 5 <= size <= PAGE:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({size}) for parameter maxResults is invalid. Expecting a value between 5 and {PAGE}.",
            )
        token = self._get_param("NextToken", "0")
        if not token.isdigit():
            raise EC2ClientError("InvalidNextToken", "The token is invalid")
        filters = self._filters_from_querystring()
        backend = self.ec2_backend
        found = backend.get_reservations_by_instance_ids(ids, filters) if ids else backend.describe_instances(filters)
        start, end, room = int(token), int(token), size or PAGE
        while end < len(found) and (end == start or len(found[end].instances) <= room):
            room -= len(found[end].instances)
            end += 1
        return ActionResult({"Reservations": found[start:end], "NextToken": str(end) if end < len(found) else None})
