"""IAM, KMS, logs, secrets, the registry, quotas and STS: where moto alone would answer otherwise than AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from localcloud.testing import Cloud
from unit.resources import refused

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)


@pytest.fixture
def iam(cloud: Cloud) -> Any:
    """An IAM client."""
    return cloud.client("iam")


def test_a_caller_with_anybodys_credentials_is_a_user_of_the_account(cloud: Cloud) -> None:
    identity = cloud.client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/localcloud")


def test_the_managed_policies_that_a_fleet_attaches_exist(iam: Any) -> None:
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    iam.attach_role_policy(RoleName="worker", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonSSMManagedInstanceCore", "PolicyArn": arn}]


def test_a_managed_policy_in_use_cannot_be_deleted(iam: Any) -> None:
    arn = iam.create_policy(PolicyName="scale", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.create_user(UserName="valet")
    iam.attach_user_policy(UserName="valet", PolicyArn=arn)
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_user_policy(UserName="valet", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    with refused("NoSuchEntity"):
        iam.get_policy(PolicyArn=arn)


def test_a_permissions_boundary_must_exist(iam: Any) -> None:
    arn = "arn:aws:iam::123456789012:policy/boundary"
    with refused("NoSuchEntity", arn):
        iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=arn)
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    with refused("NoSuchEntity", arn):
        iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=arn)
    iam.create_policy(PolicyName="boundary", PolicyDocument=POLICY)
    iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=arn)
    assert iam.get_role(RoleName="worker")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn


def test_tag_keys_of_roles_and_instance_profiles_are_one_in_whatever_case(iam: Any) -> None:
    tags = [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]
    with refused("InvalidInput", "Tag keys are case insensitive"):
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=POLICY, Tags=tags)
    with refused("InvalidInput", "Tag keys are case insensitive"):
        iam.create_instance_profile(InstanceProfileName="p", Tags=tags)
    iam.create_instance_profile(InstanceProfileName="p", Tags=tags[:1])
    with refused("InvalidInput", "Tag keys are case insensitive"):
        iam.tag_instance_profile(InstanceProfileName="p", Tags=tags)


def test_a_user_has_no_service_credentials_and_an_unknown_user_is_refused(iam: Any) -> None:
    iam.create_user(UserName="valet")
    assert iam.list_service_specific_credentials(UserName="valet")["ServiceSpecificCredentials"] == []
    with refused("NoSuchEntity"):
        iam.list_service_specific_credentials(UserName="missing")


def test_grants_are_listed_by_key_id_or_arn_and_an_unknown_key_is_refused(cloud: Cloud) -> None:
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_grant(
        KeyId=key["KeyId"], GranteePrincipal="arn:aws:iam::123456789012:role/worker", Operations=["Decrypt"]
    )
    assert len(kms.list_grants(KeyId=key["KeyId"])["Grants"]) == 1
    assert len(kms.list_grants(KeyId=key["Arn"])["Grants"]) == 1
    with refused("NotFoundException"):
        kms.list_grants(KeyId="11111111-1111-1111-1111-111111111111")


def test_a_log_group_takes_only_awss_retention_days_and_an_unknown_one_has_no_tags(cloud: Cloud) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="/wekruit/worker", tags={"Project": "wekruit"})
    with refused("InvalidParameterException", "31"):
        logs.put_retention_policy(logGroupName="/wekruit/worker", retentionInDays=31)
    logs.put_retention_policy(logGroupName="/wekruit/worker", retentionInDays=30)
    group = logs.describe_log_groups(logGroupNamePrefix="/wekruit")["logGroups"][0]
    assert group["retentionInDays"] == 30
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"Project": "wekruit"}
    with refused("ResourceNotFoundException"):
        logs.list_tags_for_resource(resourceArn=group["logGroupArn"] + "x")


def test_a_secret_that_waits_for_its_deletion_cannot_be_created_again(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="worker/env", SecretString="s3cret")
    with refused("ResourceExistsException"):
        secrets.create_secret(Name="worker/env", SecretString="other")
    secrets.delete_secret(SecretId="worker/env")
    with refused("InvalidRequestException", "already scheduled for deletion"):
        secrets.create_secret(Name="worker/env", SecretString="other")
    secrets.restore_secret(SecretId="worker/env")
    assert "DeletedDate" not in secrets.describe_secret(SecretId="worker/env")


def test_the_quota_of_running_instances_can_be_read(cloud: Cloud) -> None:
    quotas = cloud.client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    assert (quota["QuotaCode"], quota["Value"]) == ("L-1216C47A", 64.0)
    with refused("NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")


def test_a_repository_keeps_scanning_mutability_tags_and_lifecycle_policy(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    with refused("RepositoryNotFoundException"):
        ecr.describe_repositories(repositoryNames=["worker"])
    tags = [{"Key": "Project", "Value": "wekruit"}]
    made = ecr.create_repository(
        repositoryName="worker",
        imageScanningConfiguration={"scanOnPush": True},
        imageTagMutability="IMMUTABLE",
        tags=tags,
    )["repository"]
    assert ecr.describe_repositories(repositoryNames=["worker"])["repositories"] == [made]
    assert (made["imageTagMutability"], made["imageScanningConfiguration"]) == ("IMMUTABLE", {"scanOnPush": True})
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == tags
    with refused("LifecyclePolicyNotFoundException"):
        ecr.get_lifecycle_policy(repositoryName="worker")


def test_a_user_has_the_permissions_boundary_that_it_was_given(iam: Any) -> None:
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.create_user(UserName="valet", PermissionsBoundary=boundary)
    assert iam.get_user(UserName="valet")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    iam.delete_user_permissions_boundary(UserName="valet")
    assert "PermissionsBoundary" not in iam.get_user(UserName="valet")["User"]
    iam.put_user_permissions_boundary(UserName="valet", PermissionsBoundary=boundary)
    assert iam.get_user(UserName="valet")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    with refused("NoSuchEntity"):
        iam.put_user_permissions_boundary(UserName="valet", PermissionsBoundary=f"{boundary}-gone")


def test_the_key_pair_of_the_runbook_is_there(cloud: Cloud) -> None:
    assert [pair["KeyName"] for pair in cloud.client("ec2").describe_key_pairs()["KeyPairs"]] == ["valet-worker"]
