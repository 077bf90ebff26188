"""A localcloud as Packer and its operator see it."""

from __future__ import annotations

from typing import Any

from localcloud import seed, testing


class ImageCloud(testing.Cloud):
    """A localcloud on which images are built."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment for Packer."""
        return {**super().environment, "AWS_POLL_DELAY_SECONDS": "1", "CHECKPOINT_DISABLE": "1"}

    def resources(self, region: str = seed.REGION) -> set[str]:
        """Return the ids of everything that a build creates, whether it is to stay or not."""
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
