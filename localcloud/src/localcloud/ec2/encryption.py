"""The account's default EBS key, and the keys of encrypted snapshots."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.kms.models import kms_backends

#: AWS's own key, which EBS uses until an account chooses another (API, GetEbsDefaultKmsKeyId).
AWS_KEY = "alias/aws/ebs"


class EncryptionBackend:
    """Which key encrypts what no call names one for."""

    account_id: str
    region_name: str
    snapshots: dict[str, Any]
    default_kms_key_id: str

    def _create_default_encryption_key(self) -> str:
        """AWS's own key, which AWS manages; moto makes a customer's with an empty policy."""
        arn: str = super()._create_default_encryption_key()  # type: ignore[misc]
        kms: Any = kms_backends[self.account_id][self.region_name]
        kms.keys[kms.get_key_id(arn)].key_manager = "AWS"
        return arn

    @property
    def default_key(self) -> str:
        """As GetEbsDefaultKmsKeyId answers."""
        kms: Any = kms_backends[self.account_id][self.region_name]
        own = kms.alias_exists(AWS_KEY) and kms.describe_key(AWS_KEY).arn
        return AWS_KEY if self.default_kms_key_id in ("", own) else self.default_kms_key_id

    def complete_keys(self) -> None:
        """Give encrypted snapshots that name no key AWS's own, which was the default when they were made."""
        if without := [s for s in self.snapshots.values() if s.encrypted and not s.kms_key_id]:
            chosen = self.default_kms_key_id
            own = self._create_default_encryption_key()
            self.default_kms_key_id = chosen or own
            for snapshot in without:
                snapshot.kms_key_id = own


class EncryptionResponse(BaseResponse):
    """The actions that moto lacks."""

    ec2_backend: Any
    error_on_dryrun: Any

    def get_ebs_default_kms_key_id(self) -> ActionResult:
        """GetEbsDefaultKmsKeyId."""
        self.error_on_dryrun()
        return ActionResult({"KmsKeyId": self.ec2_backend.default_key})

    def reset_ebs_default_kms_key_id(self) -> ActionResult:
        """ResetEbsDefaultKmsKeyId."""
        self.error_on_dryrun()
        self.ec2_backend.default_kms_key_id = ""
        return ActionResult({"KmsKeyId": self.ec2_backend.default_key})

    def describe_snapshots(self) -> ActionResult:
        """DescribeSnapshots, each encrypted one with its key."""
        self.ec2_backend.complete_keys()
        result: ActionResult = super().describe_snapshots()  # type: ignore[misc]
        return result
