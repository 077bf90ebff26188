"""What the account contains at the start: data only, so that documents and tests can name every id."""

from __future__ import annotations

from dataclasses import dataclass, field

ACCOUNT = "123456789012"
REGION = "us-east-1"
#: Amazon's own account, which publishes Amazon Linux.
AMAZON = "137112412989"


@dataclass(frozen=True)
class SubnetSeed:
    """A subnet; ``default`` marks its zone's default subnet, which hands out public addresses as AWS's does."""

    id: str
    zone: str
    cidr: str
    default: bool = False


@dataclass(frozen=True)
class VpcSeed:
    """A VPC with its default security group; ``gateway`` is its internet gateway."""

    id: str
    cidr: str
    name: str
    security_group: str
    subnets: tuple[SubnetSeed, ...]
    default: bool = False
    gateway: str | None = None


@dataclass(frozen=True)
class ImageSeed:
    """A machine image with one encrypted or plain root volume of ``size`` GiB."""

    id: str
    name: str
    owner: str
    created: str
    snapshot: str
    architecture: str = "x86_64"
    size: int = 8
    encrypted: bool = False
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def public(self) -> bool:
        return self.owner != ACCOUNT


VPCS = (
    VpcSeed(
        "vpc-010ca1c10d0000001",
        "172.28.0.0/16",
        "localcloud",
        "sg-010ca1c10d0000001",
        (
            SubnetSeed("subnet-010ca1c10d00000a1", "us-east-1a", "172.28.1.0/24", default=True),
            SubnetSeed("subnet-010ca1c10d00000b2", "us-east-1b", "172.28.2.0/24", default=True),
            SubnetSeed("subnet-010ca1c10d00001c3", "us-east-1c", "172.28.3.0/24", default=True),
            SubnetSeed("subnet-010ca1c10d00001d4", "us-east-1d", "172.28.4.0/24", default=True),
            SubnetSeed("subnet-010ca1c10d00001e5", "us-east-1e", "172.28.5.0/24", default=True),
            SubnetSeed("subnet-010ca1c10d00001f6", "us-east-1f", "172.28.6.0/24", default=True),
        ),
        default=True,
        gateway="igw-010ca1c10d0000001",
    ),
    VpcSeed(
        "vpc-010ca1c10d0000002",
        "10.9.0.0/16",
        "elsewhere",
        "sg-010ca1c10d0000002",
        (SubnetSeed("subnet-010ca1c10d00000c3", "us-east-1a", "10.9.1.0/24"),),
    ),
)

_GOLDEN = {"Name": "gh-worker-golden", "Project": "wekruit", "ghosthands:agent-schema": "4"}
_AL2023 = "Amazon Linux 2023 AMI (seeded)"

IMAGES = (
    ImageSeed(
        "ami-0137112412989a001",
        "al2023-ami-2023.9.20260101.0-kernel-6.1-x86_64",
        AMAZON,
        "2026-01-01T00:00:00.000Z",
        "snap-0137112412989a001",
        description=_AL2023,
    ),
    ImageSeed(
        "ami-0137112412989a002",
        "al2023-ami-2023.9.20260201.0-kernel-6.1-x86_64",
        AMAZON,
        "2026-02-01T00:00:00.000Z",
        "snap-0137112412989a002",
        description=_AL2023,
    ),
    ImageSeed(
        "ami-0137112412989a003",
        "al2023-ami-2023.9.20260201.0-kernel-6.1-arm64",
        AMAZON,
        "2026-02-01T00:00:00.000Z",
        "snap-0137112412989a003",
        architecture="arm64",
        description=_AL2023,
    ),
    ImageSeed(
        "ami-0999999999999a001",
        "al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64",
        "999999999999",
        "2026-03-01T00:00:00.000Z",
        "snap-0999999999999a001",
        description="Bears Amazon's name, newer than Amazon's own, and is not Amazon's",
    ),
    ImageSeed(
        "ami-010ca1c10d000a001",
        "gh-worker-20260801000000",
        ACCOUNT,
        "2026-08-01T00:00:00.000Z",
        "snap-010ca1c10d000a001",
        encrypted=True,
        description="GhostHands worker",
        tags=_GOLDEN,
    ),
    ImageSeed(
        "ami-010ca1c10d000a002",
        "gh-worker-20260901000000-arm64",
        ACCOUNT,
        "2026-09-01T00:00:00.000Z",
        "snap-010ca1c10d000a002",
        architecture="arm64",
        encrypted=True,
        description="GhostHands worker",
        tags=_GOLDEN,
    ),
)

#: The key pair that the runbook's section 1 takes for granted. Nobody holds its private half.
KEY_PAIRS = {
    "valet-worker": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKKp2kZAE0zYxmIH77rwNoZDnP54eqP3X3woqWHwozcG valet-worker"
}

#: The IAM user of callers with any other credentials than those that IAM and STS have issued here.
OPERATOR, OPERATOR_ID = "localcloud", "AIDA010CA1C10D0000001"

#: What Auto Scaling allows an account (DescribeAccountLimits).
AUTO_SCALING_LIMITS = {"MaxNumberOfAutoScalingGroups": 500, "MaxNumberOfLaunchConfigurations": 200}
#: Service quotas of EC2 by code: name and value (vCPUs, as AWS counts them).
EC2_QUOTAS = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 64.0),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 64.0),
}
