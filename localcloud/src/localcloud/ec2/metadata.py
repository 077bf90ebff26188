"""What the metadata service shows of an EC2 instance."""

from __future__ import annotations

import calendar
from datetime import datetime
from typing import Any

from localcloud import imds
from localcloud.ec2.instances import user_data_of
from localcloud.ec2.tags import is_nitro
from localcloud.iam.instance_roles import NotTrusted, role_session


def view(backend: Any, instance: Any, target_lifecycle_state: str | None, notice: imds.Notice) -> imds.View:
    """The instance of an EC2 backend as its metadata service shows it now."""
    nic = instance.nics[0]
    key = backend.key_pairs.get(instance.key_name)
    options = instance.metadata_options
    return imds.View(
        instance_id=instance.id,
        image=instance.image_id,
        instance_type=instance.instance_type,
        address=nic.private_ip_address,
        host_name=instance.private_dns_name,
        zone=instance.availability_zone,
        region=backend.region_name,
        account=backend.account_id,
        reservation=instance.reservation_id,
        mac=nic.mac_address,
        launched=_epoch(instance.launch_time),
        public_address=nic.public_ip,
        public_host_name=instance.public_dns_name,
        architecture=instance.architecture,
        hypervisor="nitro" if is_nitro(instance.instance_type) else "xen",
        launch_index=instance.ami_launch_index,
        spot=instance.lifecycle == "spot",
        security_groups=tuple(group.name for group in instance.security_groups),
        root_device=instance.root_device_name or "/dev/xvda",
        interface=_interface(backend, instance, nic),
        public_keys={key.key_name: key.public_key} if key else {},
        tags=backend.shown_tags(instance),
        user_data=user_data_of(instance),
        profile=_profile(backend, instance),
        target_lifecycle_state=target_lifecycle_state,
        notice=notice,
        options=imds.Options(
            tokens_required=options.http_tokens == "required",
            enabled=options.http_endpoint == "enabled",
            tags=options.instance_metadata_tags == "enabled",
            hop_limit=options.http_put_response_hop_limit,
        ),
    )


def _interface(backend: Any, instance: Any, nic: Any) -> dict[str, str]:
    subnet = backend.get_subnet(instance.subnet_id)
    return {
        "interface-id": nic.id,
        "security-group-ids": "\n".join(group.id for group in instance.security_groups),
        "subnet-id": subnet.id,
        "subnet-ipv4-cidr-block": subnet.cidr_block,
        "vpc-id": subnet.vpc_id,
        "vpc-ipv4-cidr-block": backend.vpcs[subnet.vpc_id].cidr_block,
    }


def _profile(backend: Any, instance: Any) -> imds.Profile | None:
    association = backend.iam_instance_profile_associations.get(instance.id)
    if association is None or backend.cloud.clock.now() < instance.credentials_at:
        return None  # a new instance has none for some seconds (botocore #2304)
    profile = association.iam_instance_profile
    role = next((role.name for role in profile.roles), None)
    return imds.Profile(profile.arn, profile.id, role, role and _session(backend, instance, role))


def _session(backend: Any, instance: Any, role: str) -> imds.Credentials | None:
    """The instance's session of its role; None where EC2 may not take it, or it is gone."""
    try:
        held = role_session(role, instance.id, backend.account_id, backend.region_name)
    except (LookupError, NotTrusted):
        return None
    return imds.Credentials(
        held.access_key_id,
        held.secret_access_key,
        held.token,
        held.last_updated.timestamp(),
        held.expiration.timestamp(),
    )


def _epoch(moment: datetime) -> float:
    """moto's moments are in UTC and do not say so."""
    return float(calendar.timegm(moment.utctimetuple()))
