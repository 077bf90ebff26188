"""CloudWatch, KMS, Secrets Manager, Service Quotas and STS: moto's, corrected where AWS answers differently."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, timedelta
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.cloudwatch import urls as cloudwatch_urls
from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import JsonRESTError
from moto.core.utils import utcnow
from moto.kms import urls as kms_urls
from moto.kms.exceptions import NotFoundException
from moto.kms.models import Grant, KmsBackend
from moto.kms.responses import KmsResponse
from moto.logs import urls as logs_urls
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import LogsBackend
from moto.secretsmanager import urls as secretsmanager_urls
from moto.secretsmanager.exceptions import InvalidRequestException
from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend
from moto.servicequotas import urls as servicequotas_urls
from moto.servicequotas.models import ServiceQuotasBackend
from moto.ssm import urls as ssm_urls
from moto.ssm.models import SimpleSystemManagerBackend
from moto.sts import urls as sts_urls
from moto.sts.models import AssumedRole, STSBackend

from localcloud import seed

#: Days that a log group can keep its events (API, PutRetentionPolicy).
RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
#: How often a key is rotated where nobody says so (API, EnableKeyRotation, RotationPeriodInDays).
ROTATION_DAYS = 365
#: Where Amazon's parameters name its images (EC2 UG, "Reference AMIs using Systems Manager parameters").
AMAZON_LINUX = "/aws/service/ami-amazon-linux-latest"


class CloudWatch(CloudWatchBackend):
    """CloudWatch's alarms, whose states the groups of the same account and region follow; no metric is evaluated."""

    _url_module = cloudwatch_urls

    def put_metric_alarm(self, name: str, *arguments: Any, **options: Any) -> Alarm:
        """PutMetricAlarm and PutCompositeAlarm: a new alarm has no data, another keeps its state (moto: OK)."""
        before = self.alarms.get(name)
        alarm = super().put_metric_alarm(name, *arguments, **options)
        alarm.state_value = before.state_value if before else "INSUFFICIENT_DATA"
        self._report()
        return alarm

    def set_alarm_state(self, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
        """SetAlarmState; the state stays until the next call (AWS: until the next metric)."""
        super().set_alarm_state(alarm_name, reason, reason_data, state_value)
        self._report()

    def delete_alarms(self, alarm_names: list[str]) -> None:
        """DeleteAlarms."""
        super().delete_alarms(alarm_names)
        self._report()

    def _report(self) -> None:
        groups: Any = autoscaling_backends[self.account_id][self.region_name]
        groups.alarms_changed()


class KmsActions(KmsResponse):
    """KMS's actions; each takes a key's id or ARN (moto: some)."""

    #: Answers that name the key by its ARN, however the call did (API, each operation's "Response Elements").
    SHOW_ARN = frozenset({"CancelKeyDeletion", "GenerateMac", "ScheduleKeyDeletion", "Sign", "Verify", "VerifyMac"})

    #: Answers that name the material of a symmetric key (API, KeyMaterialId; its rotation here makes no new one).
    SHOW_MATERIAL = frozenset({"GenerateDataKey", "GenerateDataKeyWithoutPlaintext"})

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        value = super()._get_param(param_name, if_none)
        if param_name not in ("KeyId", "TargetKeyId", "DestinationKeyId") or ":key/" not in str(value):
            return value
        owner, _, id = value.partition(":key/")
        if not owner.endswith(f":{self.region}:{self.current_account}"):
            raise NotFoundException(f"Key '{value}' does not exist")
        return id

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call; each list says whether it goes on (API, Truncated; moto says so in some)."""
        status, headers, body = super().call_action()
        action = self._get_action()
        if status != 200 or not (action in self.SHOW_ARN | self.SHOW_MATERIAL or action.startswith("List")):
            return status, headers, body
        answer = json.loads(body)
        if action in self.SHOW_MATERIAL:
            answer["KeyMaterialId"] = hashlib.sha256(answer["KeyId"].encode()).hexdigest()
        if action in self.SHOW_ARN:
            answer["KeyId"] = self.kms_backend.keys[self.kms_backend.any_id_to_key_id(answer["KeyId"])].arn
        if action.startswith("List"):
            answer.setdefault("Truncated", False)
        return status, headers, json.dumps(answer)

    def get_key_rotation_status(self) -> str:
        """GetKeyRotationStatus, with the key's ARN and, if it is rotated, when (moto: only whether it is)."""
        answer = json.loads(super().get_key_rotation_status())
        key = self.kms_backend.keys[self.kms_backend.any_id_to_key_id(self._get_param("KeyId"))]
        answer["KeyId"] = key.arn
        if answer["KeyRotationEnabled"]:
            rotated = getattr(key, "rotated_every", ROTATION_DAYS)
            next_time = (utcnow() + timedelta(days=rotated)).replace(tzinfo=UTC).timestamp()
            answer |= {"RotationPeriodInDays": rotated, "NextRotationDate": next_time}
        return json.dumps(answer)

    def enable_key_rotation(self) -> str:
        """EnableKeyRotation; moto forgets the period."""
        answer = super().enable_key_rotation()
        key: Any = self.kms_backend.keys[self.kms_backend.any_id_to_key_id(self._get_param("KeyId"))]
        key.rotated_every = self._get_param("RotationPeriodInDays") or ROTATION_DAYS
        return answer

    def get_public_key(self) -> str:
        """GetPublicKey; a symmetric key has none (API, UnsupportedOperationException; moto shows one)."""
        id = self.kms_backend.any_id_to_key_id(self._get_param("KeyId"))
        key = self.kms_backend.keys.get(id)
        if key is not None and key.key_spec == "SYMMETRIC_DEFAULT":
            raise JsonRESTError(
                "UnsupportedOperationException", f"{key.arn} is a symmetric key, which has no public key"
            )
        return super().get_public_key()


class Kms(KmsBackend):
    """KMS."""

    _url_module = kms_urls

    def _generate_default_keys(self, alias_name: str) -> str | None:
        """A service's own key, made at first use (UG, "AWS managed keys")."""
        id = super()._generate_default_keys(alias_name)
        if id is not None:
            service = alias_name.removeprefix("alias/aws/")
            key = self.keys[id]
            key.key_manager = "AWS"
            key.description = f"Default key that protects my {service.upper()} data when no other key is defined"
        return id

    def list_grants(self, key_id: str, grant_id: str) -> list[Grant]:
        """ListGrants; moto fails on an unknown key."""
        id = self.get_key_id(key_id)
        if id not in self.keys:
            raise JsonRESTError("NotFoundException", f"Key '{key_id}' does not exist")
        return super().list_grants(id, grant_id)


class Logs(LogsBackend):
    """CloudWatch Logs."""

    _url_module = logs_urls

    def put_retention_policy(self, log_group_name: str, retention_in_days: str) -> None:
        """PutRetentionPolicy; moto takes any number."""
        if int(retention_in_days) not in RETENTION_DAYS:
            raise JsonRESTError("InvalidParameterException", f"{retention_in_days} is not a valid retention in days")
        super().put_retention_policy(log_group_name, retention_in_days)

    def list_tags_for_resource(self, resource_arn: str) -> dict[str, str]:
        """ListTagsForResource; moto finds no tags on what is not there."""
        kind, _, name = resource_arn.partition(":log-group:")
        if name and kind and name not in self.groups:
            raise ResourceNotFoundException()
        return super().list_tags_for_resource(resource_arn)


class Secret(FakeSecret):
    """A secret that shows the day when it was last read; one that never was does not (API, DescribeSecret)."""

    last_accessed: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As DescribeSecret and ListSecrets show it."""
        return {**super().to_dict(), "LastAccessedDate": self.last_accessed}


class SecretsManager(SecretsManagerBackend):
    """Secrets Manager."""

    _url_module = secretsmanager_urls

    def get_secret_value(self, secret_id: str, version_id: str, version_stage: str) -> dict[str, Any]:
        """GetSecretValue; the day of it is shown later (API, DescribeSecret, ListSecretVersionIds)."""
        answer = super().get_secret_value(secret_id, version_id, version_stage)
        secret: Any = self.secrets[secret_id]
        today = utcnow().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC).timestamp()
        secret.last_accessed = secret.versions[answer["VersionId"]]["last_accessed"] = today
        return answer

    def list_secret_version_ids(self, secret_id: str) -> str:
        """ListSecretVersionIds; moto shows the time of this very call."""
        answer = json.loads(super().list_secret_version_ids(secret_id))
        for row in answer["Versions"]:
            version = self.secrets[secret_id].versions[row["VersionId"]]
            row |= {"CreatedDate": version["createdate"], "LastAccessedDate": version.get("last_accessed")}
        return json.dumps(answer)

    def _check_with_existing_secrets_and_versions(
        self,
        secret_name: str,
        client_request_token: str | None,
        secret_string: str | None,
        secret_binary: str | None,
        on_create: bool = False,
    ) -> FakeSecret | None:
        """CreateSecret over one that waits for its deletion has an error of its own."""
        if on_create and secret_name in self.secrets and self.secrets[secret_name].is_deleted():
            raise InvalidRequestException(
                "You can't create this secret because a secret with this name is already scheduled for deletion."
            )
        return super()._check_with_existing_secrets_and_versions(
            secret_name, client_request_token, secret_string, secret_binary, on_create
        )


class ServiceQuotas(ServiceQuotasBackend):
    """Service Quotas, with those of EC2 that a fleet meets."""

    _url_module = servicequotas_urls

    def list_aws_default_service_quotas(self, service_code: str) -> list[dict[str, Any]]:
        """ListAWSDefaultServiceQuotas."""
        if service_code == "ec2":
            return [self._quota(code) for code in seed.EC2_QUOTAS]
        return super().list_aws_default_service_quotas(service_code)

    def get_service_quota(self, service_code: str, quota_code: str) -> dict[str, Any]:
        """GetServiceQuota."""
        if service_code == "ec2" and quota_code in seed.EC2_QUOTAS:
            return self._quota(quota_code)
        return super().get_service_quota(service_code, quota_code)

    def _quota(self, code: str) -> dict[str, Any]:
        name, value = seed.EC2_QUOTAS[code]
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:ec2/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


class Ssm(SimpleSystemManagerBackend):
    """Systems Manager's parameters; Amazon's that name the newest Amazon Linux 2023 name one that is here."""

    _url_module = ssm_urls

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        if (account_id, region_name) != (seed.ACCOUNT, seed.REGION):
            return
        self._parameters._check_loading_status(AMAZON_LINUX)
        for name, versions in self._parameters.items():
            ours = [i for i in seed.IMAGES if i.owner == seed.AMAZON and name.endswith(i.architecture)]
            if name.startswith(f"{AMAZON_LINUX}/al2023-ami-") and ours:
                versions[-1].value = max(ours, key=lambda image: image.created).id


class Session(AssumedRole):
    """A role's session; of an instance's role if ``instance_arn`` is set."""

    instance_arn: str | None = None


class Sts(STSBackend):
    """STS. A caller with any credentials that are not in AWS's format is the operator, a user."""

    _url_module = sts_urls

    def instance_session(
        self, role_arn: str, instance_arn: str, lifetime: timedelta, renewed_before: timedelta
    ) -> Session:
        """The session of an instance's role, a new one where the last has less than ``renewed_before`` to live."""
        for session in reversed(self.assumed_roles):
            if isinstance(session, Session) and (session.role_arn, session.instance_arn) == (role_arn, instance_arn):
                if session.expiration - renewed_before > utcnow():
                    return session
                break
        account, key = self._create_access_key(role_arn)
        name, seconds = instance_arn.rpartition("/")[2], int(lifetime.total_seconds())
        session = Session(account, self.region_name, key, name, role_arn, "", seconds, "")
        session.instance_arn = instance_arn
        self.assumed_roles.append(session)
        return session

    def get_caller_identity(self, access_key_id: str, region: str) -> tuple[str, str, str]:
        """GetCallerIdentity."""
        user_id, arn, account = super().get_caller_identity(access_key_id, region)
        if arn.endswith(":user/moto"):
            return seed.OPERATOR_ID, f"arn:{self.partition}:iam::{account}:user/{seed.OPERATOR}", account
        return user_id, arn, account
