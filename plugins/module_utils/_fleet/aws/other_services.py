# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets Manager's, ECR's, CloudWatch Logs', KMS's and Service Quotas' answers -> values.

One function per API call; each asks through a given `call`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.seconds import since_epoch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    LogGroup,
    ResourcePolicy,
    Secret,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller, KmsKey

NO_REPOSITORY = ("RepositoryNotFoundException",)


def secret(call: Call, name: str) -> Secret | None:
    """DescribeSecret: never the secret's value."""
    raw = call("secretsmanager", "describe_secret", absent=("ResourceNotFoundException",), SecretId=name)
    if raw is None:
        return None
    changed = raw.get("LastChangedDate") or raw.get("CreatedDate")
    return Secret(raw["ARN"], bool(raw.get("DeletedDate")), since_epoch(changed), _customers_key(call, raw))


def secret_text(call: Call, name: str) -> str | None:
    """GetSecretValue: the secret itself. Callers keep its keys' names alone, and hand in a call that keeps no answer.

    None: it has no value yet, or a binary one, which no worker reads.
    """
    absent = ("ResourceNotFoundException",)
    found: str | None = call("secretsmanager", "get_secret_value", "SecretString", absent=absent, SecretId=name)
    return found


def create_secret(call: Call, name: str, text: str, tags: Mapping[str, str]) -> None:
    """CreateSecret, under AWS's own key."""
    call(
        "secretsmanager",
        "create_secret",
        Name=name,
        Description="Environment of the GhostHands workers (runbook section 9)",
        SecretString=text,
        Tags=[{"Key": key, "Value": str(value)} for key, value in tags.items()],
    )


def put_secret(call: Call, name: str, text: str) -> None:
    """PutSecretValue: a new version, which is the current one."""
    call("secretsmanager", "put_secret_value", SecretId=name, SecretString=text)


def _customers_key(call: Call, secret: Mapping[str, Any]) -> str:
    """The ARN of the key in DescribeSecret's KmsKeyId: an ARN, an id, or an alias (then DescribeKey).

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html: the field is omitted where
    the key is aws/secretsmanager.
    """
    name = str(secret.get("KmsKeyId") or "")
    if not name or name.endswith("alias/aws/secretsmanager") or ":key/" in name:
        return name if ":key/" in name else ""
    if "alias/" not in name:
        _arn, partition, _service, region, account, *_rest = secret["ARN"].split(":")
        return f"arn:{partition}:kms:{region}:{account}:key/{name}"
    raw = call("kms", "describe_key", "KeyMetadata", absent=("NotFoundException",), KeyId=name)
    return "" if raw is None or raw.get("KeyManager") == "AWS" else str(raw["Arn"])


def secret_policy(call: Call, name: str) -> ResourcePolicy | None:
    """GetResourcePolicy; None: the secret has none, or there is no secret."""
    absent = ("ResourceNotFoundException",)
    text = call("secretsmanager", "get_resource_policy", "ResourcePolicy", absent=absent, SecretId=name)
    return ResourcePolicy(name, json.loads(text)) if text else None


def repository(call: Call, name: str) -> dict[str, Any] | None:
    """DescribeRepositories, with its lifecycle policy's text as `lifecycle` (GetLifecyclePolicy)."""
    found = call("ecr", "describe_repositories", "repositories", absent=NO_REPOSITORY, repositoryNames=[name])
    if not found:
        return None
    absent = ("LifecyclePolicyNotFoundException", *NO_REPOSITORY)
    lifecycle = call("ecr", "get_lifecycle_policy", "lifecyclePolicyText", absent=absent, repositoryName=name)
    return {**found[0], "lifecycle": lifecycle}


def repository_policy(call: Call, name: str) -> ResourcePolicy | None:
    """GetRepositoryPolicy; None: the repository has none, or there is no repository."""
    absent = ("RepositoryPolicyNotFoundException", *NO_REPOSITORY)
    text = call("ecr", "get_repository_policy", "policyText", absent=absent, repositoryName=name)
    return ResourcePolicy(name, json.loads(text)) if text else None


def image_digest(call: Call, repository: str, image: dict[str, str]) -> str | None:
    """ECR's DescribeImages.

    :param image: {imageDigest} or {imageTag}.
    """
    absent = ("ImageNotFoundException", *NO_REPOSITORY)
    found = call("ecr", "describe_images", "imageDetails", absent=absent, repositoryName=repository, imageIds=[image])
    return str(found[0]["imageDigest"]) if found else None


def log_group(call: Call, name: str) -> dict[str, Any] | None:
    """DescribeLogGroups, with its tags as `Tags` (ListTagsForResource)."""
    group = described_log_group(call, name)
    if group is None:
        return None
    tags = call("logs", "list_tags_for_resource", "tags", resourceArn=group["arn"].removesuffix(":*"))
    return {**group, "Tags": tags}


def described_log_group(call: Call, name: str) -> dict[str, Any] | None:
    """DescribeLogGroups."""
    found = call("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return next((raw for raw in found if raw["logGroupName"] == name), None)


def log_group_in_use(call: Call, name: str) -> LogGroup | None:
    """DescribeLogStreams and DescribeLogGroups.

    The latest event is the latest stream's. Its lastEventTimestamp lags by up to an hour, the ingestion does not.
    """
    found = call(
        "logs",
        "describe_log_streams",
        "logStreams",
        absent=("ResourceNotFoundException",),
        logGroupName=name,
        orderBy="LastEventTime",
        descending=True,
        PaginationConfig={"MaxItems": 1, "PageSize": 1},
    )
    if found is None:
        return None
    times = [raw.get(key, 0) for raw in found for key in ("lastEventTimestamp", "lastIngestionTime")]
    group = described_log_group(call, name) or {}
    return LogGroup(name, max(times, default=0) / 1000, group.get("retentionInDays", 0))


def last_events(call: Call, group: str, stream: str, most: int) -> tuple[str, ...]:
    """GetLogEvents: the last messages of a stream, the oldest first; none where there is no such stream."""
    found = call(
        "logs",
        "get_log_events",
        "events",
        absent=("ResourceNotFoundException",),
        logGroupName=group,
        logStreamName=stream,
        limit=most,
    )
    return tuple(str(event["message"]).rstrip() for event in found or ())


def kms_key(call: Call, name: str) -> KmsKey | None:
    """DescribeKey; of a customer's key its policy (GetKeyPolicy) and grants (ListGrants)."""
    raw = call("kms", "describe_key", "KeyMetadata", absent=("NotFoundException",), KeyId=name)
    if raw is None:
        return None
    arn, managed, me = raw["Arn"], raw.get("KeyManager") == "AWS", caller(call)
    policy: Any = {}
    granted: Any = frozenset()
    if not managed:
        policy, granted = unread_where_refused(_policy, call, arn, me), unread_where_refused(_granted, call, arn, me)
    symmetric = raw.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
    return KmsKey(arn, raw.get("KeyState", "Enabled"), symmetric, managed, policy, granted)


def _policy(call: Call, arn: str, me: Caller) -> Mapping[str, Any]:
    if (owner := arn.split(":")[4]) != me.account:  # API Reference, GetKeyPolicy: "Cross-account use: No"
        raise AwsError(f"It belongs to account {owner}, and AWS shows a key's policy to its own account only.")
    document: Mapping[str, Any] = json.loads(
        call("kms", "get_key_policy", "Policy", KeyId=arn, PolicyName="default") or "{}"
    )
    return document


def _granted(call: Call, arn: str, me: Caller) -> frozenset[str]:
    return frozenset(
        operation
        for grant in call("kms", "list_grants", "Grants", KeyId=arn) or []
        if grant.get("GranteePrincipal") == me.service_linked_role and not grant.get("Constraints")
        for operation in grant.get("Operations", [])
    )


def quota(call: Call, service: str, code: str) -> float:
    """GetServiceQuota; where no quota is applied, the default (GetAWSDefaultServiceQuota)."""
    which = {"ServiceCode": service, "QuotaCode": code}
    found = call("service-quotas", "get_service_quota", "Quota", absent=("NoSuchResourceException",), **which)
    return float((found or call("service-quotas", "get_aws_default_service_quota", "Quota", **which))["Value"])
