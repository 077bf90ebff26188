"""A localcloud with container instances, as Packer and its operator see it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from localcloud import seed

#: Access key that stands for the cloud's owner, who may do everything.
OPERATOR = ("localcloud-dummy-key", "localcloud-dummy-secret")


@dataclass(frozen=True)
class Cloud:
    """Where it answers, such as ``http://127.0.0.1:5566``, and the file in which it traces calls, if it does."""

    url: str
    trace: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with the cloud in place of AWS."""
        return {
            name: value for name, value in os.environ.items() if name not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")
        } | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": seed.REGION,
            "AWS_ACCESS_KEY_ID": OPERATOR[0],
            "AWS_SECRET_ACCESS_KEY": OPERATOR[1],
            "AWS_POLL_DELAY_SECONDS": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def client(self, service: str, region: str = seed.REGION, key: tuple[str, str] = OPERATOR) -> Any:
        """A boto3 client, with an access key's id and secret."""
        make: Any = boto3.client  # typed by service name, which is not known here
        return make(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
        )

    def holds(self, region: str = seed.REGION) -> set[str]:
        """Ids of all that a build makes, whether it shall stay or not."""
        ec2 = self.client("ec2", region)
        states = [
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}
        ]
        return {
            *(image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]),
            *(snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]),
            *(i["InstanceId"] for r in ec2.describe_instances(Filters=states)["Reservations"] for i in r["Instances"]),
            *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
            *(key["KeyPairId"] for key in ec2.describe_key_pairs()["KeyPairs"]),
            *(group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]),
            *(template["LaunchTemplateId"] for template in ec2.describe_launch_templates()["LaunchTemplates"]),
        }

    def image(self, image_id: str, region: str = seed.REGION) -> dict[str, Any]:
        """An image as DescribeImages shows it."""
        return dict(self.client("ec2", region).describe_images(ImageIds=[image_id])["Images"][0])
