"""The ARNs and tags of the resources that a call names, by the Service Authorization Reference's types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.secretsmanager.models import secretsmanager_backends

from localcloud.autoscaling.groups import GroupRecord

#: EC2's types of resource by the prefix of their ids.
EC2_PREFIXES = {
    "ami": "image",
    "eni": "network-interface",
    "i": "instance",
    "key": "key-pair",
    "lt": "launch-template",
    "pl": "prefix-list",
    "sg": "security-group",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}
#: Parameters that name EC2's resources.
EC2_PARAMETERS = {
    "image": ("ImageId",),
    "instance": ("InstanceId", "InstanceIds"),
    "prefix-list": ("PrefixListId",),
    "security-group": ("GroupId",),
    "snapshot": ("SnapshotId",),
    "vpc": ("VpcId",),
}
#: Types that an action creates: it is checked on ``TYPE/*``, whatever ids its parameters name.
EC2_MADE = {
    "CreateImage": {"image", "snapshot"},
    "CreateLaunchTemplate": {"launch-template"},
    "CreateSecurityGroup": {"security-group"},
    "RegisterImage": {"image"},
}


class NotModelled(Exception):
    """What AWS would evaluate for this call is not modelled: it must be refused."""


@dataclass(frozen=True)
class CallInAccount:
    """An API call with the account and region that it goes to.

    Attributes:
        user: name of the user who calls; None for a role's session.
    """

    service: str
    action: str
    parameters: Mapping[str, Any]
    account: str
    region: str
    partition: str = "aws"
    user: str | None = None

    def first(self, *names: str) -> Any:
        """The first of these parameters that is given; None without any."""
        return next((self.parameters[name] for name in names if self.parameters.get(name)), None)

    def arn(self, service: str, rest: str, region: str | None = None, account: str | None = None) -> str:
        """An ARN of this partition, by default in this region and account."""
        place = f"{self.region if region is None else region}:{self.account if account is None else account}"
        return f"arn:{self.partition}:{service}:{place}:{rest}"


@dataclass(frozen=True)
class Resource:
    """A resource; ``tags`` is None where they are not known, so that no condition on them can be met."""

    arn: str
    tags: Mapping[str, str] | None = None


Finder = Callable[[CallInAccount], Iterator[Resource]]


def as_list(value: Any) -> list[Any]:
    """One or many, as a list."""
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _tag_pairs(tags: Any) -> dict[str, str]:
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags or []}


# --- Auto Scaling ---------------------------------------------------------------------------------------------------


def groups(call: CallInAccount) -> Iterator[Resource]:
    """Groups by name, by one of their instances, or by tags; an unknown one has the id ``*``, as in AWS."""
    regional: Any = autoscaling_backends[call.account][call.region]
    record = regional.records
    names = as_list(call.first("AutoScalingGroupName")) or [
        tag.get("ResourceId") for tag in as_list(call.first("Tags"))
    ]
    if not names and (instance := call.first("InstanceId")):
        names = [name for name, one in record.items() if instance in one.group.instances] or ["*"]
    for name in dict.fromkeys(names):
        found: GroupRecord | None = record.get(name)
        new = call.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")
        yield Resource(found.arn, {key: tag.value for key, tag in found.tags.items()}) if found else Resource(new, {})


# --- EC2 ------------------------------------------------------------------------------------------------------------


def ec2_of(call: CallInAccount) -> Any:
    """Our EC2 of the caller's account and region."""
    return ec2_backends[call.account][call.region]


def ec2_target(call: CallInAccount, kind: str, name: str) -> Resource:
    """A resource of EC2 by its type and id (key pairs: name); images and snapshots have no account in their ARNs."""
    account = "" if kind in ("image", "snapshot") else None
    backend = ec2_of(call)
    pair = backend.key_pairs.get(name) if kind == "key-pair" else None
    tagged = pair.id if pair else name  # moto keeps a key pair's tags under its id
    return Resource(
        call.arn("ec2", f"{kind}/{name}", account=account),
        dict(backend.tags[tagged]) if tagged in backend.tags else {},
    )


def of_ec2(kind: str) -> Finder:
    """Finds the resources of a type that an EC2 call names."""

    def find(call: CallInAccount) -> Iterator[Resource]:
        if kind in EC2_MADE.get(call.action, ()):
            yield ec2_target(call, kind, "*")
            return
        for name in EC2_PARAMETERS[kind]:
            for id in as_list(call.first(name)):
                yield ec2_target(call, kind, id)

    return find


def security_groups(call: CallInAccount) -> Iterator[Resource]:
    """A security group by id, or by its name in the default network."""
    name = call.first("GroupName")
    if call.action == "CreateSecurityGroup" or not name or call.first("GroupId"):
        yield from of_ec2("security-group")(call)
        return
    found = ec2_of(call).get_security_group_from_name(name)
    yield ec2_target(call, "security-group", found.id if found else "*")


def key_pairs(call: CallInAccount) -> Iterator[Resource]:
    """A key pair by name or id."""
    name = call.first("KeyName")
    if id := call.first("KeyPairId"):
        name = next((key for key, pair in ec2_of(call).key_pairs.items() if pair.id == id), "*")
    if name:
        yield ec2_target(call, "key-pair", name)


def launch_templates(call: CallInAccount) -> Iterator[Resource]:
    """A launch template by id or name."""
    if call.action in EC2_MADE:
        yield ec2_target(call, "launch-template", "*")
        return
    name = call.first("LaunchTemplateName")
    id = call.first("LaunchTemplateId") or ec2_of(call).launch_template_name_to_ids.get(name, "*")
    yield ec2_target(call, "launch-template", id)


def tagged_ec2(call: CallInAccount) -> Iterator[Resource]:
    """What CreateTags and DeleteTags name, by the prefixes of the ids.

    Raises:
        NotModelled: an id of a type without a row.
    """
    for id in as_list(call.first("Resources")):
        if (kind := EC2_PREFIXES.get(id.partition("-")[0])) is None:
            raise NotModelled(f"of what type {id} is")
        yield ec2_target(call, kind, id)


# --- IAM ------------------------------------------------------------------------------------------------------------


def iam_of(call: CallInAccount) -> Any:
    """moto's IAM of the caller's account."""
    return iam_backends[call.account][call.partition]


def _iam(kind: str, entity: Any, call: CallInAccount, name: str) -> Resource:
    if entity is not None:
        tags = getattr(entity, "tags", None)
        return Resource(entity.arn, _tag_pairs(tags) if kind == "role" and isinstance(tags, list) else None)
    return Resource(call.arn("iam", f"{kind}{call.parameters.get('Path') or '/'}{name}", region=""), {})


def users(call: CallInAccount) -> Iterator[Resource]:
    """A user by name; without one, the caller itself."""
    if name := call.first("UserName") or call.user:
        yield _iam("user", iam_of(call).users.get(name), call, name)


def roles(call: CallInAccount) -> Iterator[Resource]:
    """A role by name, or by its ARN in calls of STS."""
    if arn := call.first("RoleArn"):
        yield Resource(arn)
    elif service := call.first("AWSServiceName"):  # CreateServiceLinkedRole, which makes the name itself
        yield Resource(call.arn("iam", f"role/aws-service-role/{service}/*", region=""), {})
    elif name := call.first("RoleName"):
        yield _iam("role", role_named(call, name), call, name)


def role_named(call: CallInAccount, name: str) -> Any:
    """The role of that name; None if there is none."""
    return next((role for role in iam_of(call).roles.values() if role.name == name), None)


def instance_profile_named(call: CallInAccount, name: str) -> Any:
    """The instance profile of that name, or of the name at the end of that ARN; None if there is none."""
    return next(
        (profile for profile in iam_of(call).get_instance_profiles() if profile.name == name.rpartition("/")[2]), None
    )


def instance_profiles(call: CallInAccount) -> Iterator[Resource]:
    """An instance profile by name."""
    if name := call.first("InstanceProfileName"):
        yield _iam("instance-profile", instance_profile_named(call, name), call, name)


def managed_policies(call: CallInAccount) -> Iterator[Resource]:
    """A managed policy by ARN, or by the name that it is to have."""
    if arn := call.first("PolicyArn"):
        yield Resource(arn)
    elif name := call.first("PolicyName"):
        yield _iam("policy", None, call, name)


def simulated(kind: str) -> Finder:
    """The principal whose policies are simulated, if it is of this kind."""

    def find(call: CallInAccount) -> Iterator[Resource]:
        source = str(call.first("PolicySourceArn"))
        if f":{kind}/" in source:
            yield Resource(source)

    return find


# --- the others -----------------------------------------------------------------------------------------------------


def secrets(call: CallInAccount) -> Iterator[Resource]:
    """A secret by name, ARN or part of it; an unknown one has the name in the call.

    Raises:
        NotModelled: it has a resource policy.
    """
    store: Any = secretsmanager_backends[call.account][call.region].secrets
    name = call.first("SecretId", "Name")
    found = None if name is None or call.action == "CreateSecret" else store.get(name)
    if found is not None:
        if getattr(found, "policy", None):
            raise NotModelled(f"what the policy of secret {name} says")
        yield Resource(found.arn, _tag_pairs(found.tags))
    elif name:
        yield Resource(name if name.startswith("arn:") else call.arn("secretsmanager", f"secret:{name}"), {})


def encryption_key(call: CallInAccount) -> str | None:
    """The customer managed key of a call's secret; None for the AWS managed one."""
    store: Any = secretsmanager_backends[call.account][call.region]
    found = None if call.action == "CreateSecret" else store.secrets.get(str(call.first("SecretId")))
    key: str | None = call.first("KmsKeyId") or (found.kms_key_id if found else None)
    return None if key == store.DEFAULT_KMS_KEY_ALIAS else key


def repositories(call: CallInAccount) -> Iterator[Resource]:
    """Repositories by name or ARN; all of them where none is named.

    Raises:
        NotModelled: one has a resource policy.
    """
    backend: Any = ecr_backends[call.account][call.region]
    arn = call.first("resourceArn")
    names = (
        [arn.partition(":repository/")[2]] if arn else as_list(call.first("repositoryName", "repositoryNames")) or ["*"]
    )
    for name in names:
        found = backend.repositories.get(name)
        if found is not None and found.policy:
            raise NotModelled(f"what the policy of repository {name} says")
        tags = backend.tagger.get_tag_dict_for_resource(found.arn) if found else {}
        yield Resource(call.arn("ecr", f"repository/{name}", account=call.first("registryId")), tags)


def log_groups(call: CallInAccount) -> Iterator[Resource]:
    """A log group; policies name it with a suffix (``:*``), except for tags (CloudWatch Logs API, LogGroup)."""
    if arn := call.first("resourceArn"):
        yield Resource(arn)
    elif name := call.first("logGroupName"):
        tail = "" if call.action.endswith(("TagLogGroup", "TagsLogGroup", "tagLogGroup")) else ":log-stream:"
        yield Resource(call.arn("logs", f"log-group:{name}{tail}"))


def log_streams(call: CallInAccount) -> Iterator[Resource]:
    """A log stream."""
    if name := call.first("logGroupName"):
        yield Resource(call.arn("logs", f"log-group:{name}:log-stream:{call.first('logStreamName') or ''}"))


def keys(call: CallInAccount) -> Iterator[Resource]:
    """A key by id, ARN or alias."""
    backend: Any = kms_backends[call.account][call.region]
    id = backend.any_id_to_key_id(str(call.first("KeyId") or "*"))
    yield Resource(call.arn("kms", f"key/{id}"))


def key_of(arn: str) -> Any:
    """The key of an ARN; None if there is none."""
    _, _, _, region, account, name = arn.split(":", 5)
    backend: Any = kms_backends[account][region]
    return backend.keys.get(name.removeprefix("key/"))


def quotas(call: CallInAccount) -> Iterator[Resource]:
    """A quota."""
    yield Resource(call.arn("servicequotas", f"{call.first('ServiceCode')}/{call.first('QuotaCode')}"))


#: Type of resource -> the function that finds those that a call names.
RESOURCE_FINDERS: dict[str, Finder] = {
    "autoscaling:autoScalingGroup": groups,
    **{f"ec2:{kind}": of_ec2(kind) for kind in EC2_PARAMETERS},
    "ec2:security-group": security_groups,
    "ec2:key-pair": key_pairs,
    "ec2:launch-template": launch_templates,
    "ec2:*": tagged_ec2,
    "ecr:repository": repositories,
    "iam:group": simulated("group"),
    "iam:instance-profile": instance_profiles,
    "iam:policy": managed_policies,
    "iam:role": roles,
    "iam:user": users,
    "kms:key": keys,
    "logs:log-group": log_groups,
    "logs:log-stream": log_streams,
    "secretsmanager:Secret": secrets,
    "servicequotas:quota": quotas,
    "sts:role": roles,
}
