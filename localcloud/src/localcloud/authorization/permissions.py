"""Which permissions a call requires: IAM's action names, and the resources that each is checked on.

The table follows the Service Authorization Reference (docs.aws.amazon.com/service-authorization), for the calls that
this repository makes; a test compares them. An action without a row is allowed to the operator only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.authorization.resources import (
    RESOURCE_FINDERS,
    CallInAccount,
    NotModelled,
    Resource,
    as_list,
    ec2_of,
    ec2_target,
    encryption_key,
    iam_of,
    instance_profile_named,
    role_named,
    simulated,
)


@dataclass(frozen=True)
class RequiredPermission:
    """One action on one resource.

    Attributes:
        context: condition keys of this action, in lower case.
        tags: of the resource; None if they are not known.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None


#: service -> types of resource (with ``?``: if the call names one) -> actions.
_TABLE: dict[str, dict[str, str]] = {
    "autoscaling": {
        "": """DescribeAccountLimits DescribeAutoScalingGroups DescribeAutoScalingInstances
            DescribeInstanceRefreshes DescribeLifecycleHooks DescribeScalingActivities DescribeTags""",
        "autoScalingGroup": """AttachInstances CancelInstanceRefresh CompleteLifecycleAction
            CreateAutoScalingGroup CreateOrUpdateTags DeleteAutoScalingGroup DeleteLifecycleHook DeleteTags
            DetachInstances DisableMetricsCollection EnableMetricsCollection EnterStandby ExitStandby
            PutLifecycleHook RecordLifecycleActionHeartbeat ResumeProcesses RollbackInstanceRefresh
            SetDesiredCapacity SetInstanceHealth SetInstanceProtection StartInstanceRefresh SuspendProcesses
            TerminateInstanceInAutoScalingGroup UpdateAutoScalingGroup""",
    },
    "ec2": {
        "": """DescribeAddresses DescribeAvailabilityZones DescribeImages DescribeInstances DescribeInstanceStatus
            DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeKeyPairs DescribeLaunchTemplates
            DescribeLaunchTemplateVersions DescribeManagedPrefixLists DescribeNetworkInterfaces DescribeRegions
            DescribeRouteTables DescribeSecurityGroupRules DescribeSecurityGroups DescribeSnapshots DescribeSubnets
            DescribeTags DescribeVolumes DescribeVpcEndpoints DescribeVpcs""",
        "prefix-list": "GetManagedPrefixListEntries",
        "*": "CreateTags DeleteTags",
        "image": """DeregisterImage DescribeImageAttribute DisableImageDeprecation EnableImageDeprecation
            ModifyImageAttribute RegisterImage""",
        "image instance snapshot": "CreateImage",
        "image instance network-interface security-group subnet volume? key-pair? launch-template?": "RunInstances",
        "instance": """DescribeInstanceAttribute GetConsoleOutput RebootInstances StartInstances StopInstances
            TerminateInstances""",
        "key-pair": "CreateKeyPair ImportKeyPair",
        "key-pair?": "DeleteKeyPair",
        "launch-template": """CreateLaunchTemplate CreateLaunchTemplateVersion DeleteLaunchTemplate
            DeleteLaunchTemplateVersions ModifyLaunchTemplate""",
        "security-group": """AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress DeleteSecurityGroup
            RevokeSecurityGroupEgress RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress
            UpdateSecurityGroupRuleDescriptionsIngress""",
        "security-group vpc?": "CreateSecurityGroup",
        "snapshot": "DeleteSnapshot",
    },
    "ecr": {
        "": "GetAuthorizationToken",
        "repository": """BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload
            CreateRepository DeleteLifecyclePolicy DeleteRepository DescribeImages DescribeRepositories
            GetDownloadUrlForLayer GetLifecyclePolicy GetRepositoryPolicy InitiateLayerUpload ListImages
            ListTagsForResource PutImage PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy
            TagResource UntagResource UploadLayerPart""",
    },
    "iam": {
        "": "ListAccountAliases ListInstanceProfiles ListPolicies ListRoles ListUsers SimulateCustomPolicy",
        "instance-profile": """AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile
            GetInstanceProfile ListInstanceProfileTags RemoveRoleFromInstanceProfile TagInstanceProfile
            UntagInstanceProfile""",
        "policy": """CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion
            ListEntitiesForPolicy ListPolicyTags ListPolicyVersions SetDefaultPolicyVersion TagPolicy UntagPolicy""",
        "role": """AttachRolePolicy CreateRole CreateServiceLinkedRole DeleteRole DeleteRolePermissionsBoundary
            DeleteRolePolicy DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole
            ListRolePolicies ListRoleTags PassRole PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole
            UpdateAssumeRolePolicy UpdateRole""",
        "role? user? group?": "SimulatePrincipalPolicy",
        "user": """AttachUserPolicy CreateAccessKey CreateUser DeleteAccessKey DeleteLoginProfile DeleteUser
            DeleteUserPermissionsBoundary DeleteUserPolicy DetachUserPolicy GetLoginProfile GetUser ListAccessKeys
            ListAttachedUserPolicies ListGroupsForUser ListServiceSpecificCredentials ListSigningCertificates
            ListSSHPublicKeys ListUserPolicies ListUserTags PutUserPermissionsBoundary PutUserPolicy TagUser
            UntagUser UpdateAccessKey UpdateUser""",
        "user?": "ListMFADevices",
    },
    "kms": {
        "": "ListAliases ListKeys",
        "key": "CreateGrant Decrypt DescribeKey Encrypt GenerateDataKey GetKeyPolicy ListGrants",
    },
    "logs": {
        "": "DescribeLogGroups",
        "log-group": """CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DescribeLogStreams ListTagsLogGroup
            PutRetentionPolicy TagLogGroup UntagLogGroup""",
        "log-group?": "ListTagsForResource TagResource UntagResource",
        "log-stream": "CreateLogStream GetLogEvents PutLogEvents",
    },
    "secretsmanager": {
        "": "BatchGetSecretValue GetRandomPassword ListSecrets",
        "Secret": """CreateSecret DeleteSecret DescribeSecret GetResourcePolicy GetSecretValue
            ListSecretVersionIds PutSecretValue RestoreSecret TagResource UntagResource UpdateSecret""",
    },
    "servicequotas": {
        "": "GetAWSDefaultServiceQuota ListAWSDefaultServiceQuotas ListServiceQuotas",
        "quota?": "GetServiceQuota",
    },
    "sts": {"": "GetAccessKeyInfo GetCallerIdentity", "role": "AssumeRole"},
}
#: action -> the types of resource that it is checked on.
RESOURCE_TYPES = {
    f"{service}:{action}": tuple(types.split())
    for service, rows in _TABLE.items()
    for types, actions in rows.items()
    for action in actions.split()
}
#: Creating a resource with tags requires the permission to tag as well (each service's page on tagging; EC2: "Grant
#: permission to tag resources during creation").
TAG_PERMISSIONS = {
    "autoscaling:CreateAutoScalingGroup": "autoscaling:CreateOrUpdateTags",
    "ecr:CreateRepository": "ecr:TagResource",
    "iam:CreateInstanceProfile": "iam:TagInstanceProfile",
    "iam:CreatePolicy": "iam:TagPolicy",
    "iam:CreateRole": "iam:TagRole",
    "iam:CreateUser": "iam:TagUser",
    "logs:CreateLogGroup": "logs:TagResource",
    "secretsmanager:CreateSecret": "secretsmanager:TagResource",
}
#: What Secrets Manager does with a customer managed key in its caller's name (Secrets Manager User Guide, "Secret
#: encryption and decryption").
ENCRYPTED_WITH = {
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
    **{
        f"secretsmanager:{action}": ("kms:GenerateDataKey", "kms:Decrypt")
        for action in ("CreateSecret", "PutSecretValue", "UpdateSecret")
    },
}
#: Parameters that are condition keys of IAM's and STS's actions (their pages of the Service Authorization Reference).
_KEYS = {
    "iam": {"PermissionsBoundary": "iam:permissionsboundary", "PolicyArn": "iam:policyarn"},
    "sts": {"RoleSessionName": "sts:rolesessionname", "ExternalId": "sts:externalid"},
    "secretsmanager": {"SecretId": "secretsmanager:secretid", "Name": "secretsmanager:name"},
    "autoscaling": {"MinSize": "autoscaling:minsize", "MaxSize": "autoscaling:maxsize"},
}
#: Condition keys of actions that are modelled: if absent here, they are absent in AWS's request as well.
OWN_KEYS = {key for keys in _KEYS.values() for key in keys.values()} | {
    "iam:passedtoservice",
    "iam:awsservicename",
    "kms:viaservice",
    "ec2:createaction",
    "ec2:instanceid",
    "ec2:region",
}
#: Services with a condition key of their own for a resource's tags.
OWN_TAG_KEYS = {"autoscaling", "ec2", "ecr", "iam", "secretsmanager"}


def required_permissions(call: CallInAccount) -> list[RequiredPermission]:
    """Every permission that a call requires.

    Raises:
        NotModelled: the table has no row for it, or its resources cannot be determined.
    """
    name = f"{call.service}:{call.action}"
    if name not in RESOURCE_TYPES:
        raise NotModelled(f"what {name} needs: it has no row for it")
    if name == "ec2:RunInstances":
        spot = (_merged(call, call.parameters)[1].get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
        # A group's Spot Instances are requested by Auto Scaling's own role, which may make Spot's.
        linked = _linked_role(call, "spot.amazonaws.com", "AWSServiceRoleForEC2Spot") if spot else ()
        return [*_launch(call, call.parameters), *linked]
    found = [*_of_table(call, name), *_dependent_permissions(call, name)]
    template = call.first("LaunchTemplate") or (call.first("DesiredConfiguration") or {}).get("LaunchTemplate")
    if call.service == "autoscaling" and template:
        subnets = [id for id in str(call.first("VPCZoneIdentifier") or "").replace(" ", "").split(",") if id]
        # Auto Scaling checks them when a group names a launch template (ec2-auto-scaling-launch-template-permissions),
        # and when a refresh does: AccessDenied, "You are not authorized to use launch template" (seen by users).
        found += _launch(call, {"LaunchTemplate": template, "SubnetId": subnets})
    if call.action == "CreateAutoScalingGroup" and not call.first("ServiceLinkedRoleARN"):
        found += _linked_role(call, "autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling")
    return found


def _of_table(call: CallInAccount, name: str) -> Iterator[RequiredPermission]:
    context = _context(call)
    if not RESOURCE_TYPES[name]:
        yield RequiredPermission(name, "*", context, {})
    for type in RESOURCE_TYPES[name]:
        finder = (
            simulated(type.rstrip("?"))
            if call.action == "SimulatePrincipalPolicy"
            else RESOURCE_FINDERS[f"{call.service}:{type.rstrip('?')}"]
        )
        resources = list(finder(call))
        if not resources and not type.endswith("?"):
            raise NotModelled(f"which {type} {name} is about: the call names none")
        for resource in resources:
            yield RequiredPermission(
                name, resource.arn, {**context, **_of_target(call, call.parameters, resource)}, resource.tags
            )


def _of_target(call: CallInAccount, parameters: Mapping[str, Any], resource: Resource) -> dict[str, tuple[str, ...]]:
    """Condition keys of one resource: a service's own key for its tags, and EC2's tags of what is created."""
    if call.service not in OWN_TAG_KEYS:
        return {}
    prefix = resource.arn.split(":")[2] + ":resourcetag/"
    context: dict[str, tuple[str, ...]] = {
        f"{prefix}{key}".lower(): (value,) for key, value in (resource.tags or {}).items()
    }
    kind, _slash, id = resource.arn.split(":")[5].partition("/")
    if call.service == "ec2" and kind == "instance" and id != "*":
        context["ec2:instanceid"] = (id,)
    for specification in as_list(parameters.get("TagSpecifications")):
        if resource.arn.split(":")[5].startswith(f"{specification['ResourceType']}/"):
            context |= _request_tags(specification.get("Tags"))
    return context


def _context(call: CallInAccount) -> dict[str, tuple[str, ...]]:
    """Condition keys that come from a call's parameters."""
    given = {key: call.parameters.get(parameter) for parameter, key in _KEYS.get(call.service, {}).items()}
    context = {key: (str(value),) for key, value in given.items() if value is not None}
    if call.service == "ec2":
        context["ec2:region"] = (call.region,)
    return context | _request_tags(call.first("Tags", "tags"))


def _request_tags(tags: Any) -> dict[str, tuple[str, ...]]:
    """aws:RequestTag and aws:TagKeys (reference_policies_condition-keys), out of a list or a map of tags."""
    pairs = (
        tags.items() if isinstance(tags, Mapping) else [(tag.get("Key"), tag.get("Value", "")) for tag in as_list(tags)]
    )
    context: dict[str, tuple[str, ...]] = {f"aws:requesttag/{key}".lower(): (str(value),) for key, value in pairs}
    if pairs:
        context["aws:tagkeys"] = tuple(str(key) for key, _ in pairs)
    return context


def _dependent_permissions(call: CallInAccount, name: str) -> Iterator[RequiredPermission]:
    """What AWS checks besides the action itself."""
    if name in TAG_PERMISSIONS and (tags := call.first("Tags", "tags")):
        for need in _of_table(call, name):
            yield RequiredPermission(
                TAG_PERMISSIONS[name], need.resource.removesuffix(":log-stream:"), _request_tags(tags), {}
            )
    if call.service == "ec2":
        yield from _tagging(call, call.parameters)
    if name == "iam:AddRoleToInstanceProfile":
        yield from _pass_role(call, role_named(call, str(call.first("RoleName"))))
    if name == "secretsmanager:BatchGetSecretValue":
        if not (secrets := as_list(call.first("SecretIdList"))):
            raise NotModelled("which secrets Filters would choose")
        for secret in secrets:
            yield from required_permissions(_with_parameters(call, "GetSecretValue", {"SecretId": secret}))
    if name in ENCRYPTED_WITH and (key := encryption_key(call)):
        resource = next(RESOURCE_FINDERS["kms:key"](_with_parameters(call, call.action, {"KeyId": key})))
        for action in ENCRYPTED_WITH[name]:
            yield RequiredPermission(
                action, resource.arn, {"kms:viaservice": (f"secretsmanager.{call.region}.amazonaws.com",)}
            )


def _with_parameters(call: CallInAccount, action: str, parameters: Mapping[str, Any]) -> CallInAccount:
    return CallInAccount(call.service, action, parameters, call.account, call.region, call.partition, call.user)


def _tagging(
    call: CallInAccount, parameters: Mapping[str, Any], action: str | None = None
) -> Iterator[RequiredPermission]:
    """ec2:CreateTags on what is created with tags (EC2 User Guide, "Grant permission to tag resources")."""
    for specification in as_list(parameters.get("TagSpecifications")):
        resource = ec2_target(call, specification["ResourceType"], "*")
        context = {
            **_request_tags(specification.get("Tags")),
            "ec2:createaction": (action or call.action,),
            "ec2:region": (call.region,),
        }
        yield RequiredPermission("ec2:CreateTags", resource.arn, context, {})


def _linked_role(call: CallInAccount, service: str, name: str) -> Iterator[RequiredPermission]:
    """iam:CreateServiceLinkedRole where the service's role is still to be made (id_roles_create-service-linked-role).

    UG, autoscaling-service-linked-role; EC2 User Guide, service-linked-roles-spot-instance-requests.
    """
    if iam_of(call).linked_role(service) is None:
        role = call.arn("iam", f"role/aws-service-role/{service}/{name}", region="")
        yield RequiredPermission("iam:CreateServiceLinkedRole", role, {"iam:awsservicename": (service,)}, {})


def _pass_role(call: CallInAccount, role: Any) -> Iterator[RequiredPermission]:
    """iam:PassRole on a role that EC2 is to have (id_roles_use_passrole)."""
    if role is not None:
        yield RequiredPermission("iam:PassRole", role.arn, {"iam:passedtoservice": ("ec2.amazonaws.com",)})


def _launch(call: CallInAccount, parameters: Mapping[str, Any]) -> Iterator[RequiredPermission]:
    """What a launch requires: ec2:RunInstances on every resource of it, ec2:CreateTags, iam:PassRole.

    EC2 User Guide, "Example policies to control access to the EC2 API", "Launch instances (RunInstances)".
    """
    template, merged = _merged(call, parameters)
    context = {"ec2:region": (call.region,)}
    for resource in [*template, *_launch_resources(call, merged)]:
        yield RequiredPermission(
            "ec2:RunInstances", resource.arn, {**context, **_of_target(call, merged, resource)}, resource.tags
        )
    yield from _tagging(call, merged, "RunInstances")
    if profile := merged.get("IamInstanceProfile"):
        found = instance_profile_named(call, str(profile.get("Arn") or profile.get("Name")))
        for role in found.roles if found else []:
            yield from _pass_role(call, role)


def _merged(call: CallInAccount, parameters: Mapping[str, Any]) -> tuple[list[Resource], dict[str, Any]]:
    """The launch template if one is named, and its data with the call's parameters laid over.

    Raises:
        NotModelled: there is no such template or version: what would be launched is not known.
    """
    given = {key: value for key, value in parameters.items() if value}
    if not (named := given.get("LaunchTemplate")):
        return [], given
    resource = next(RESOURCE_FINDERS["ec2:launch-template"](_with_parameters(call, "RunInstances", named)))
    try:
        template = ec2_of(call).find_launch_template(named.get("LaunchTemplateName"), named.get("LaunchTemplateId"))
        data = template.get_version(named.get("Version") or "$Default").data
    except Exception as problem:  # moto's many errors, each of which its own action words better
        raise NotModelled(f"what {call.service}:{call.action} launches: {problem}") from problem
    return [resource], {**data, **given}


def _launch_resources(call: CallInAccount, launch: Mapping[str, Any]) -> Iterator[Resource]:
    """The resources besides the launch template that RunInstances is checked on."""
    interfaces = as_list(launch.get("NetworkInterfaces"))
    subnets = as_list(launch.get("SubnetId")) + [one["SubnetId"] for one in interfaces if one.get("SubnetId")]
    security = as_list(launch.get("SecurityGroupIds")) + [id for one in interfaces for id in as_list(one.get("Groups"))]
    existing = [one["NetworkInterfaceId"] for one in interfaces if one.get("NetworkInterfaceId")]
    named = {
        "image": as_list(launch.get("ImageId")) or ["*"],
        "instance": ["*"],
        "network-interface": existing or ["*"],
        "security-group": security or ["*"],
        "subnet": subnets or ["*"],
        "volume": ["*"],
        "key-pair": as_list(launch.get("KeyName")),
    }
    for kind, names in named.items():
        for name in dict.fromkeys(names):
            yield ec2_target(call, kind, name)
