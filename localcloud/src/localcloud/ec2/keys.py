"""The KMS keys of an instance's volumes, and whether they let its launch go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moto.kms.models import kms_backends

from localcloud.ec2.encryption import AWS_KEY
from localcloud.iam.key_access import decide_key
from localcloud.iam.policies import Malformed, Policies, Principal, Request

#: What EBS does with a key in the name of whoever launches (EBS User Guide, ebs-encryption-requirements, "Permissions
#: for IAM users"; ReEncrypt is two operations).
ACTIONS = tuple(
    f"kms:{action}"
    for action in (
        "CreateGrant",
        "Decrypt",
        "DescribeKey",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    )
)
#: State reasons of instances whose volumes cannot be encrypted or decrypted (UG, ts-as-instancelaunchfailure).
INACCESSIBLE = ("Client.InternalError", "Client error on launch")
NOT_ENABLED = ("Client.InvalidKMSKey.InvalidState", "The KMS key provided is in an incorrect state")


def keys_of(devices: Iterable[Mapping[str, Any]], snapshots: Mapping[str, Any], default: str) -> Iterator[str]:
    """The keys that a launch uses: those of the snapshots, and those that the volumes are to have.

    EBS User Guide, ebs-encryption: without a key of its own a volume has its snapshot's, else the account's default.
    """
    for device in devices:
        ebs = device["Ebs"]
        snapshot = snapshots.get(ebs.get("SnapshotId") or "")
        source = (snapshot.kms_key_id or AWS_KEY) if snapshot is not None and snapshot.encrypted else None
        if source:
            yield source
        if ebs.get("Encrypted"):
            yield ebs.get("KmsKeyId") or source or default or AWS_KEY


def launch_problem(keys: Iterable[str], launcher: str | None, account: str, region: str) -> tuple[str, str] | None:
    """The state reason's code and message of an instance that cannot have its volumes; None: it can.

    Args:
        launcher: the ARN of the service-linked role that launches; None: a caller, whose own rights are not looked at.
    """
    for name in keys:
        owner, place = (name.split(":")[4], name.split(":")[3]) if name.startswith("arn:") else (account, region)
        kms: Any = kms_backends[owner][place]
        alias = name.rpartition(":")[2] if ":alias/" in name else name
        if alias == AWS_KEY:
            continue
        key = kms.keys.get(kms.any_id_to_key_id(name))
        if key is None:
            return INACCESSIBLE
        if key.key_manager == "AWS" or AWS_KEY in (one.alias_name for one in key.aliases.values()):
            continue
        if not key.enabled or key.key_state != "Enabled":
            return NOT_ENABLED
        if launcher and not all(_allowed(action, key, launcher, account, region) for action in ACTIONS):
            return INACCESSIBLE
    return None


def _allowed(action: str, key: Any, launcher: str, account: str, region: str) -> bool:
    context = {
        "kms:viaservice": (f"ec2.{region}.amazonaws.com",),
        "kms:calleraccount": (account,),
        "kms:grantisforawsresource": ("true",),
        "aws:principalarn": (launcher,),
        "aws:principalaccount": (account,),
    }
    try:  # the role's own policy, AutoScalingServiceRolePolicy, has nothing of KMS
        request = Request(action, key.arn, context, lambda name: name.startswith(("aws:principal", "kms:grantis")))
        return decide_key(request, key, Principal(launcher, account), Policies(())).allowed
    except Malformed:
        return False
