"""What EC2 refuses of the volumes that a launch asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError

#: Types that need Iops, take them, and take a Throughput (API, EbsBlockDevice).
NEEDS_IOPS, TAKES_IOPS, TAKES_THROUGHPUT = {"io1", "io2"}, {"io1", "io2", "gp3"}, {"gp3"}


def check_performance(devices: Iterable[Mapping[str, Any]]) -> None:
    """Refuse Iops and Throughput that are missing, or that the type does not take (EC2 API, EbsBlockDevice).

    CreateAutoScalingGroup and UpdateAutoScalingGroup refuse a template with them as well, as field reports have it.

    Raises:
        EC2ClientError: ``InvalidParameterCombination``.
    """
    for device in devices:
        ebs = device.get("Ebs") or {}
        kind, problem = ebs.get("VolumeType") or "gp2", None
        if kind in NEEDS_IOPS and not ebs.get("Iops"):
            problem = f"The parameter iops must be specified for {kind} volumes."
        elif ebs.get("Iops") and kind not in TAKES_IOPS:
            problem = f"The parameter iops is not supported for {kind} volumes."
        elif ebs.get("Throughput") and kind not in TAKES_THROUGHPUT:
            problem = f"The parameter throughput is not supported for {kind} volumes."
        if problem:
            raise EC2ClientError("InvalidParameterCombination", problem)


def check_sizes(devices: Iterable[Mapping[str, Any]], snapshots: Mapping[str, Any]) -> None:
    """Refuse a volume that is smaller than its snapshot, or that has neither a size nor a snapshot.

    EC2 API, EbsBlockDevice (VolumeSize); the words are those of field reports. A device that is not the image's root
    is another, empty disk.

    Raises:
        EC2ClientError: ``InvalidBlockDeviceMapping``, ``MissingParameter``.
    """
    for device in devices:
        ebs = device["Ebs"]
        size, snapshot = ebs.get("VolumeSize"), snapshots.get(ebs.get("SnapshotId") or "")
        if size is None and not ebs.get("SnapshotId"):
            raise EC2ClientError("MissingParameter", "The request must contain the parameter size or snapshotId")
        if size is not None and snapshot is not None and int(size) < int(snapshot.volume.size):
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', "
                f"expect size >= {snapshot.volume.size}GB",
            )
