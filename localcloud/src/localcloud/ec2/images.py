"""Machine images: of an instance, copied or registered, with devices, snapshots, tags, deprecation, IMDS support."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameterDependency
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.utils import convert_tag_spec, random_ami_id

#: The longest time ahead that an image can be set to be deprecated (API, EnableImageDeprecation): ten years.
LONGEST_DEPRECATION_DAYS = 3653


class CustomImage(Ami):
    """An image of this account.

    Args:
        devices: as DescribeImages shows them, a ``SnapshotId`` in each.
    """

    def __init__(self, backend: Any, id: str, devices: list[dict[str, Any]], **options: Any) -> None:
        snapshots = dict(backend.snapshots)
        super().__init__(backend, id, root_device_type="ebs", virtualization_type="hvm", hypervisor="xen", **options)
        backend.snapshots = snapshots  # without the one that moto has made
        self.devices = devices
        self.ebs_snapshot = backend.snapshots[devices[0]["Ebs"]["SnapshotId"]]
        self.deprecation_time: str | None = None
        self.imds_support: str | None = None

    @property
    def imds(self) -> str | None:
        """What moto's DescribeImageAttribute asks for."""
        return self.imds_support

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """As DescribeImages shows them."""
        return self.devices


class ImageBackend(AmiBackend):
    """Makes ``CustomImage`` values."""

    amis: dict[str, Ami]
    #: CopyImage by client token: the image that came of it.
    copies: dict[str, str]

    def custom_image(self, image_id: str) -> Any:
        """The image, if it is there and of this account.

        Raises:
            EC2ClientError: ``InvalidAMIID.NotFound`` or ``AuthFailure``.
        """
        image = self.image(image_id)  # type: ignore[attr-defined]
        if image.owner_id != self.account_id:  # type: ignore[attr-defined]
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{image_id}")
        return image

    def check_image_name(self, name: str | None) -> None:
        """Refuse a name that another image has (API, CreateImage)."""
        if not name:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter name")
        for image in self.amis.values():
            if image.name == name and image.owner_id == self.account_id:  # type: ignore[attr-defined]
                raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")

    def create_image_of(
        self, instance: Any, name: str, description: str, devices: list[dict[str, Any]], tags: dict[str, dict[str, str]]
    ) -> CustomImage:
        """CreateImage: each of the instance's volumes becomes a snapshot."""
        backend: Any = self
        id = random_ami_id()
        description_ = f"Created by CreateImage({instance.id}) for {id}"
        shown = []
        for device in devices:
            ebs = dict(device["Ebs"])
            if volume_id := ebs.pop("VolumeId", None):
                snapshot = backend.create_snapshot(volume_id, description_, from_ami=id)
                snapshot.kms_key_id = backend.get_volume(volume_id).kms_key_id
                snapshot.add_tags(tags.get("snapshot", {}))
                ebs["SnapshotId"] = snapshot.id
            shown.append({"DeviceName": device["DeviceName"], "Ebs": ebs})
        image = CustomImage(
            self,
            id,
            shown,
            instance=instance,
            name=name,
            description=description,
            root_device_name=instance.root_device_name or "/dev/xvda",
            image_location=f"{backend.account_id}/{name}",
            boot_mode=self.amis[instance.image_id].boot_mode if instance.image_id in self.amis else "uefi-preferred",
            tags=tags.get("image", {}),
        )
        image.state = "pending"
        self.amis[id] = image
        backend.disks[shown[0]["Ebs"]["SnapshotId"]] = id
        return image

    def copy_image_as(
        self, source: CustomImage | Ami, source_backend: Any, given: dict[str, Any], tags: dict[str, dict[str, str]]
    ) -> CustomImage:
        """CopyImage: another snapshot of each of the source's, here and encrypted as asked for."""
        backend: Any = self
        id = random_ami_id()
        shown = []
        for device in source.block_device_mappings:
            theirs = source_backend.get_snapshot(device["Ebs"]["SnapshotId"])
            snapshot = backend.copy_snapshot(
                theirs.id,
                source_backend.region_name,
                f"Copied for DestinationAmi {id} from SourceAmi {source.id}",
                given.get("KmsKeyId"),
            )
            snapshot.volume = copy.copy(theirs.volume)  # another region's may go
            snapshot.encrypted = snapshot.encrypted or bool(given.get("Encrypted"))
            snapshot.kms_key_id = snapshot.kms_key_id or (theirs.kms_key_id if source_backend is self else None)
            snapshot.add_tags(tags.get("snapshot", {}))
            if theirs.id in source_backend.disks:
                backend.disks[snapshot.id] = source_backend.disks[theirs.id]
            shown.append(
                {**device, "Ebs": {**device["Ebs"], "SnapshotId": snapshot.id, "Encrypted": snapshot.encrypted}}
            )
        own = {tag["key"]: tag["value"] for tag in source.get_tags()} if given.get("CopyImageTags") else {}
        image = CustomImage(
            self,
            id,
            shown,
            source_ami=source,
            name=given["Name"],
            description=given.get("Description") or "",
            root_device_name=source.root_device_name,
            image_location=f"{backend.account_id}/{given['Name']}",
            boot_mode=source.boot_mode,
            tags=own | tags.get("image", {}),
        )
        image.imds_support = getattr(source, "imds_support", None)
        self.amis[id] = image
        return image

    def register(self, given: dict[str, Any], tags: dict[str, str]) -> CustomImage:
        """RegisterImage over snapshots that are there."""
        backend: Any = self
        devices = [
            {"DeviceName": d["DeviceName"], "Ebs": dict(d["Ebs"])}
            for d in given.get("BlockDeviceMappings") or []
            if d.get("Ebs")
        ]
        root = given.get("RootDeviceName") or (devices[0]["DeviceName"] if devices else None)
        devices.sort(key=lambda device: device["DeviceName"] != root)
        if not devices or devices[0]["DeviceName"] != root or not devices[0]["Ebs"].get("SnapshotId"):
            raise EC2ClientError(
                "InvalidBlockDeviceMapping", "Missing root device: a snapshot must be mapped to the root device name"
            )
        for device in devices:
            ebs = device["Ebs"]
            if snapshot_id := ebs.get("SnapshotId"):
                snapshot = backend.get_snapshot(snapshot_id)
                ebs.setdefault("VolumeSize", snapshot.volume.size)
                ebs["Encrypted"] = snapshot.encrypted
            ebs.setdefault("VolumeType", "gp2")
            ebs.setdefault("DeleteOnTermination", True)
        image = CustomImage(
            self,
            random_ami_id(),
            devices,
            name=given["Name"],
            description=given.get("Description", ""),
            architecture=given.get("Architecture", "i386"),
            root_device_name=root,
            image_location=given.get("ImageLocation") or f"{backend.account_id}/{given['Name']}",
            boot_mode=given.get("BootMode", "legacy-bios"),
            tags=tags,
        )
        image.imds_support = given.get("ImdsSupport")
        self.amis[image.id] = image
        return image


class ImageResponse(BaseResponse):
    """The image actions that moto lacks, or answers differently from AWS."""

    ec2_backend: Any
    error_on_dryrun: Any

    def create_image(self) -> ActionResult:
        """CreateImage, with tags for image and snapshots and the caller's devices laid over the instance's."""
        self.error_on_dryrun()
        name, instance = self._get_param("Name"), self.ec2_backend.get_instance(self._get_param("InstanceId"))
        self.ec2_backend.check_image_name(name)
        tags = self._tags("image", "snapshot")
        devices = self.ec2_backend.devices_of(instance, self._get_param("BlockDeviceMappings", []))
        if instance.state not in ("running", "stopping", "stopped"):
            raise EC2ClientError("IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'")
        image = self.ec2_backend.create_image_of(instance, name, self._get_param("Description", ""), devices, tags)
        reboot = instance.state == "running" and not self._get_param("NoReboot", False)
        self.ec2_backend.cloud.machines.make_image(instance.id, image.id, reboot=reboot)
        return ActionResult({"ImageId": image.id})

    def copy_image(self) -> ActionResult:
        """CopyImage, once per client token, with devices, encryption and optionally tags (moto: architecture only)."""
        self.error_on_dryrun()
        token, copies = self._get_param("ClientToken"), self.ec2_backend.copies
        if token and token in copies:
            return ActionResult({"ImageId": copies[token]})
        given = self._get_params()
        if given.get("KmsKeyId") and not given.get("Encrypted"):
            raise InvalidParameterDependency("KmsKeyId", "Encrypted")
        elsewhere = ec2_backends[self.current_account][given["SourceRegion"]]
        source: Any = elsewhere.image(given["SourceImageId"])  # type: ignore[attr-defined]
        if source.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{source.id}' is not available")
        self.ec2_backend.check_image_name(given.get("Name"))
        image = self.ec2_backend.copy_image_as(source, elsewhere, given, self._tags("image", "snapshot"))
        if token:
            copies[token] = image.id
        return ActionResult({"ImageId": image.id})

    def modify_snapshot_attribute(self) -> ActionResult:
        """ModifySnapshotAttribute in both forms (moto: the older one); not under the account's default key."""
        self.error_on_dryrun()
        permission = self._get_param("CreateVolumePermission") or {}
        older = {
            "UserId": self._get_param("UserIds", []) if not permission else [],
            "Group": self._get_param("GroupNames", []) if not permission else [],
        }
        operation = self._get_param("OperationType")
        snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
        for verb, form in (("add", "Add"), ("remove", "Remove")):
            users, groups = (
                [item[key] for item in permission.get(form) or [] if item.get(key)]
                + (older[key] if operation == verb else [])
                for key in ("UserId", "Group")
            )
            if verb == "add" and (users or groups) and snapshot.encrypted and not self._customers(snapshot.kms_key_id):
                raise EC2ClientError("InvalidParameter", "Encrypted snapshots with EBS default key cannot be shared")
            if users or groups:
                getattr(self.ec2_backend, f"{verb}_create_volume_permission")(
                    snapshot.id, user_ids=users, groups=groups
                )
        return EmptyResult()

    def _customers(self, key: str | None) -> bool:
        """Whether a key is the customer's own."""
        return key is not None and key != self.ec2_backend.default_kms_key_id

    def register_image(self) -> ActionResult:
        """RegisterImage: architecture, root device, devices and the rest are kept."""
        self.error_on_dryrun()
        self.ec2_backend.check_image_name(self._get_param("Name"))
        return ActionResult(
            {"ImageId": self.ec2_backend.register(self._get_params(), self._tags("image").get("image", {})).id}
        )

    def enable_image_deprecation(self) -> ActionResult:
        """EnableImageDeprecation, to the minute."""
        self.error_on_dryrun()
        image = self.ec2_backend.custom_image(self._get_param("ImageId"))
        at = self._get_param("DeprecateAt")
        at = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
        at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
        days = (at - datetime.now(UTC)).total_seconds() / 86_400
        if not 0 < days <= LONGEST_DEPRECATION_DAYS:
            raise EC2ClientError("InvalidParameterValue", "DeprecateAt must be in the future, and within 10 years")
        image.deprecation_time = at.strftime("%Y-%m-%dT%H:%M:00.000Z")
        return ActionResult({"Return": True})

    def disable_image_deprecation(self) -> ActionResult:
        """DisableImageDeprecation."""
        self.error_on_dryrun()
        self.ec2_backend.custom_image(self._get_param("ImageId")).deprecation_time = None
        return ActionResult({"Return": True})

    def modify_image_attribute(self) -> ActionResult:
        """ModifyImageAttribute: the description and IMDS support too (moto knows launch permissions only)."""
        self.error_on_dryrun()
        image = self.ec2_backend.custom_image(self._get_param("ImageId"))
        kind, value = self._get_param("Attribute"), self._get_param("Value")
        description = value if kind == "description" else (self._get_param("Description") or {}).get("Value")
        support = value if kind == "imdsSupport" else (self._get_param("ImdsSupport") or {}).get("Value")
        if description is not None:
            image.description = description
        if support is not None:
            if support != "v2.0":
                raise EC2ClientError(
                    "InvalidParameterValue", f"Value ({support}) for parameter imdsSupport is invalid."
                )
            image.imds_support = support
        if description is not None or support is not None:
            return EmptyResult()
        result: ActionResult = super().modify_image_attribute()  # type: ignore[misc]
        return result

    def _tags(self, *kinds: str) -> dict[str, dict[str, str]]:
        given = self._get_param("TagSpecifications", [])
        for specification in given:
            if specification["ResourceType"] not in kinds:
                raise EC2ClientError(
                    "InvalidParameterValue",
                    f"'{specification['ResourceType']}' is not a valid taggable resource type for this operation.",
                )
        tags: dict[str, dict[str, str]] = convert_tag_spec(given)
        return tags
