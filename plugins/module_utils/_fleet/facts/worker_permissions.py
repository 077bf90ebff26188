# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker has to be allowed, and whether policies allow it. Pure.

The policy documents are read here for callers who may not use IAM's simulator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Context = tuple[tuple[str, tuple[str, ...]], ...]  # condition keys and their values, sorted

#: An image in Amazon ECR: ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]/NAME, or dual stack's
#: ACCOUNT.dkr-ecr[-fips].REGION.on.aws/NAME; then :TAG, @DIGEST or both (Amazon ECR User Guide, "Registry concepts").
ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(?:amazonaws\.com(?:\.cn)?|on\.(?:aws|amazonwebservices\.com\.cn))"
    r"/(?P<repository>[^@:]+)(?::(?P<tag>[^@:]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


#: The tag with which an instance's agent answers wishes (docs/agent.md), and an instance for IAM to be asked about.
ANSWER_TAG, ANY_INSTANCE = "ghosthands:did", "i-00000000000000000"


class Permission(NamedTuple):
    """An action on a resource."""

    action: str
    resource: str
    """an ARN, or *"""
    context: Context = ()
    """the condition keys of such a call that policies may ask for"""


class Denial(NamedTuple):
    """An action that may not be called, and why."""

    action: str
    reason: str = "missing"
    """missing: no policy allows it; policy: one denies it; boundary: the permissions boundary does not allow it;
    organization: a policy of the organization does not"""
    policy: str = ""
    """the policy that denies it, as the simulator names it"""


def service_principal(service: str, partition: str) -> str:
    """The name by which a policy knows EC2 and other services of compute: in China it ends in .cn.

    https://docs.amazonaws.cn/en_us/IAM/latest/UserGuide/reference_policies_elements_principal.html; IAM of cn-north-1
    refused `ec2.amazonaws.com` as an invalid principal (github.com/kubernetes/kops/issues/27).
    """
    return f"{service}.amazonaws.com.cn" if partition == "aws-cn" else f"{service}.amazonaws.com"


def through_secrets_manager(partition: str, region: str) -> tuple[str, ...]:
    """Values of kms:ViaService of Secrets Manager's requests in a region.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service has the first.
    China's pages show none, so both spellings are allowed there.
    """
    name = f"secretsmanager.{region}.amazonaws.com"
    return (name, f"{name}.cn") if partition == "aws-cn" else (name,)


def worker_image(s: Mapping[str, Any], account: str, dns_suffix: str) -> str:
    """The full name of the image that workers run.

    :param s: every fleet_* variable.
    :param dns_suffix: the partition's domain.
    """
    named = str(s["fleet_worker_image"] or ":latest")
    if named[0] not in ":@":
        return named
    return f"{account}.dkr.ecr.{s['fleet_region']}.{dns_suffix}/{s['fleet_repository_name']}{named}"


def pinned_image(name: str, digest: str) -> str:
    """The image of that name by its digest, without its tag."""
    return f"{untagged(name)}@{digest}"


def kept_image(name: str, used: str) -> str:
    """The image that a site names, or what the group runs where that is one of the same repository by its digest.

    A rollout pins a tag's digest. The site goes on naming the tag, which is no difference.

    :param used: the image of the launch template version that the group uses; empty: none.
    """
    return used if "@" in used and "@" not in name and untagged(used) == untagged(name) else name


def untagged(name: str) -> str:
    """An image's name without its tag and digest: its repository."""
    return re.sub(r":[\w.-]+$", "", name.partition("@")[0])


def repositories(partition: str, region: str, account: str, repository: str, image: str) -> tuple[str, ...]:
    """ARNs of the ECR repositories that instances pull from.

    :param repository: the fleet's, which deploys use.
    :param image: the worker image, in whatever registry.
    """
    found = ECR_IMAGE.fullmatch(image)
    arns = {f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"}
    if found:
        arns.add(f"arn:{partition}:ecr:{found['region']}:{found['account']}:repository/{found['repository']}")
    return tuple(sorted(arns))


def needed(
    group_arn: str, repositories: Iterable[str], secret_arn: str, secret_key: str, log_group: str
) -> tuple[Permission, ...]:
    """What the agent, Docker and the log shipper call (§6). playbooks/iam.yml says which of them calls what.

    :param repositories: ARNs.
    :param secret_key: ARN of the customer's key that encrypts the secret; empty: it is AWS's own.
    """
    _arn, partition, _service, region, account, *_rest = group_arn.split(":")
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:{log_group}:log-stream:any"
    via = (("kms:ViaService", through_secrets_manager(partition, region)[:1]),)
    instance = f"arn:{partition}:ec2:{region}:{account}:instance/{ANY_INSTANCE}"
    own_tag = (
        ("aws:TagKeys", (ANSWER_TAG,)),
        ("ec2:InstanceID", (ANY_INSTANCE,)),
        ("ec2:SourceInstanceARN", (instance,)),
    )
    return (
        *(
            Permission(f"autoscaling:{action}", group_arn)
            for action in (
                "CompleteLifecycleAction",
                "RecordLifecycleActionHeartbeat",
                "SetInstanceHealth",
                "SetInstanceProtection",
            )
        ),
        *(
            Permission(f"autoscaling:{action}", "*")
            for action in (
                "DescribeAutoScalingGroups",
                "DescribeAutoScalingInstances",
                "DescribeLifecycleHooks",
                "DescribeScalingActivities",
            )
        ),
        Permission("ec2:CreateTags", instance, own_tag),
        Permission("ecr:GetAuthorizationToken", "*"),
        *(
            Permission(f"ecr:{action}", image)
            for image in repositories
            for action in ("GetDownloadUrlForLayer", "BatchGetImage", "BatchCheckLayerAvailability")
        ),
        Permission("secretsmanager:GetSecretValue", secret_arn),
        *([Permission("kms:Decrypt", secret_key, via)] if secret_key else []),
        *(Permission(f"logs:{action}", logs) for action in ("CreateLogStream", "PutLogEvents")),
    )


def denied_by_simulator(results: Iterable[Mapping[str, Any]], permissions: Iterable[Permission]) -> tuple[Denial, ...]:
    """What IAM's simulator does not allow.

    :param results: SimulatePrincipalPolicy's EvaluationResults: one for an action with its ResourceSpecificResults,
        or (until 2026) one for each resource.
    """
    denials: dict[tuple[str, str], Denial | None] = {}
    for result in results:
        for one in result.get("ResourceSpecificResults") or [result]:
            which = (result["EvalActionName"], one.get("EvalResourceName", "*"))
            denials[which] = _denial(result, one)
    found = (denials.get((p.action, p.resource), Denial(p.action)) for p in permissions)
    return tuple(dict.fromkeys(denial for denial in found if denial))


def _denial(result: Mapping[str, Any], one: Mapping[str, Any]) -> Denial | None:
    action, decision = result["EvalActionName"], one.get("EvalResourceDecision", one.get("EvalDecision"))
    if decision == "allowed":
        return None
    organization = result.get("OrganizationsDecisionDetail") or {}
    boundary = one.get("PermissionsBoundaryDecisionDetail") or result.get("PermissionsBoundaryDecisionDetail") or {}
    if organization.get("AllowedByOrganizations") is False:
        return Denial(action, "organization")
    if boundary.get("AllowedByPermissionsBoundary") is False:
        return Denial(action, "boundary")
    if decision == "explicitDeny":
        statements = one.get("MatchedStatements") or result.get("MatchedStatements") or [{}]
        return Denial(action, "policy", str(statements[0].get("SourcePolicyId", "")))
    return Denial(action)


def denied_by_documents(documents: Iterable[Mapping[str, Any]], permissions: Iterable[Permission]) -> tuple[str, ...]:
    """The actions that no statement of these policies allows, or that a statement denies.

    Fails closed: a statement with conditions that a permission's context does not meet allows nothing here, and denies.
    """
    policies = list(documents)
    return tuple(
        needed.action
        for needed in permissions
        if not any(_covers(s, needed) for s in statements(policies, "Allow"))
        or any(_denies(s, needed) for s in statements(policies, "Deny"))
    )


def trusts(document: Mapping[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service assume the role: a statement allows it, and none may deny it."""
    assume = Permission("sts:AssumeRole", "*")

    def named(effect: str) -> Iterator[Mapping[str, Any]]:
        for s in statements([document], effect):
            principal = s.get("NotPrincipal", s.get("Principal", {}))
            if principal == "*":  # whether services are meant, too, is not said: they are denied, but not allowed
                principal = {"Service": service if effect == "Deny" else "", "AWS": "*"}
            everybody = effect == "Deny" and "*" in listed(principal.get("AWS", []))
            is_listed = everybody or service in listed(principal.get("Service", []))
            if is_listed != ("NotPrincipal" in s):
                yield {**s, "Resource": "*"}

    return any(_covers(s, assume) for s in named("Allow")) and not any(_denies(s, assume) for s in named("Deny"))


def statements(documents: Iterable[Mapping[str, Any]], effect: str) -> Iterator[Mapping[str, Any]]:
    """The statements of policies that have this effect."""
    return (s for document in documents for s in listed(document.get("Statement", [])) if s.get("Effect") == effect)


def _denies(statement: Mapping[str, Any], needed: Permission) -> bool:
    # A condition may or may not hold: it is read as if it did.
    return _covers({k: v for k, v in statement.items() if k != "Condition"}, needed)


def _covers(statement: Mapping[str, Any], needed: Permission) -> bool:
    if not _holds(statement.get("Condition") or {}, dict(needed.context)):
        return False
    return _names(statement, "Action", needed.action, re.IGNORECASE) and _names(statement, "Resource", needed.resource)


def _holds(conditions: Mapping[str, Any], context: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the conditions are met; those with another operator than these are not."""

    def filled(pattern: str) -> str:  # reference_policies_variables
        return re.sub(r"\$\{([^}]+)\}", lambda found: (*context.get(found[1], ()), "")[0], pattern)

    def holds(operator: str, key: str, values: Any) -> bool:
        given, expected = context.get(key, ()), [filled(str(value)) for value in listed(values)]
        if operator in ("StringEquals", "ArnEquals"):
            return any(value in expected for value in given)
        return operator == "ForAllValues:StringEquals" and all(value in expected for value in given)

    return all(holds(operator, key, values) for operator, keys in conditions.items() for key, values in keys.items())


def _names(statement: Mapping[str, Any], element: str, text: str, flags: int = 0) -> bool:
    """Whether its Action (or Resource) names this, or its NotAction (or NotResource) does not."""
    if (others := statement.get(f"Not{element}")) is not None:
        return not any(_matches(pattern, text, flags) for pattern in listed(others))
    return any(_matches(pattern, text, flags) for pattern in listed(statement.get(element, [])))


def _matches(pattern: str, text: str, flags: int) -> bool:
    expression = ".*".join(".".join(map(re.escape, part.split("?"))) for part in pattern.split("*"))
    return re.fullmatch(expression, text, re.DOTALL | flags) is not None


def listed(value: Any) -> list[Any]:
    """A list of one for a single value: both are the same in a policy."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
