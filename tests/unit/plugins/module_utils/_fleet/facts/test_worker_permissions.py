# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which actions policy documents allow, read as IAM reads them, and closed where a condition may decide."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Denial,
    Permission,
    denied_by_documents,
    denied_by_simulator,
    kept_image,
    needed,
    pinned_image,
    repositories,
    service_principal,
    through_secrets_manager,
    trusts,
    worker_image,
)

GROUP = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/gh"
COMPLETE = Permission("autoscaling:CompleteLifecycleAction", GROUP)


def statement(effect: str = "Allow", **other: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "autoscaling:*", "Resource": "*", **other}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


ALLOWS: dict[str, list[dict[str, Any]]] = {
    "by name": [statement(Action="autoscaling:CompleteLifecycleAction", Resource=GROUP)],
    "in a list": [statement(Action=["s3:GetObject", "autoscaling:CompleteLifecycleAction"], Resource=["x", GROUP])],
    "in other capitals": [statement(Action="AutoScaling:completelifecycleaction")],
    "by a star": [statement(Action="*")],
    "by a star within": [
        statement(Action="autoscaling:*Action", Resource="arn:aws:autoscaling:*:autoScalingGroupName/gh")
    ],
    "by question marks": [statement(Action="autoscaling:CompleteLifecycleActio?", Resource=GROUP.replace("gh", "g?"))],
    "by what is left out": [{"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::*"}],
    "beside a denial of something else": [statement(), statement("Deny", Action="autoscaling:Delete*")],
    "beside a denial that leaves it out": [
        statement(),
        {"Effect": "Deny", "NotAction": "autoscaling:*", "Resource": "*"},
    ],
}
DENIES: dict[str, list[dict[str, Any]]] = {
    "by saying nothing": [],
    "by another action": [statement(Action="autoscaling:Complete")],
    "by a question mark too many": [statement(Action="autoscaling:CompleteLifecycleAction?")],
    "by another resource": [statement(Resource=f"{GROUP}-2")],
    "by other capitals in the resource": [statement(Resource=GROUP.upper())],
    "by a condition that may not hold": [statement(Condition={"Bool": {"aws:SecureTransport": "true"}})],
    "by leaving it out": [{"Effect": "Allow", "NotAction": "autoscaling:*", "Resource": "*"}],
    "by leaving its resource out": [{"Effect": "Allow", "Action": "*", "NotResource": GROUP}],
    "by a denial": [statement(), statement("Deny", Action="autoscaling:Complete*")],
    "by a denial that may hold": [statement(), statement("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})],
    "by a denial of all but something else": [statement(), {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}],
    "because a dot is a dot": [statement(Resource=GROUP.replace("gh", "."))],
}


@pytest.mark.parametrize("how", ALLOWS)
def test_an_action_is_allowed(how: str) -> None:
    assert denied_by_documents([document(*ALLOWS[how])], [COMPLETE]) == ()


@pytest.mark.parametrize("how", DENIES)
def test_an_action_is_denied(how: str) -> None:
    assert denied_by_documents([document(*DENIES[how])], [COMPLETE]) == (COMPLETE.action,)


def test_one_statement_need_not_be_in_a_list() -> None:
    assert denied_by_documents([{"Statement": statement()}], [COMPLETE]) == ()


def test_documents_are_read_together() -> None:
    assert denied_by_documents([document(statement()), document(statement("Deny"))], [COMPLETE]) == (COMPLETE.action,)


def test_the_simulator_is_believed_for_each_resource_by_itself() -> None:
    other = Permission("autoscaling:SetInstanceHealth", GROUP)
    answer = [
        {"EvalActionName": COMPLETE.action, "EvalResourceName": GROUP, "EvalDecision": "allowed"},
        {"EvalActionName": other.action, "EvalResourceName": "arn:another", "EvalDecision": "allowed"},
        {"EvalActionName": other.action, "EvalResourceName": GROUP, "EvalDecision": "explicitDeny"},
    ]
    assert denied_by_simulator(answer, [COMPLETE, other]) == (Denial(other.action, "policy"),)


def test_the_simulators_results_by_resource_are_read() -> None:
    specific = [
        {"EvalResourceName": GROUP, "EvalResourceDecision": "allowed"},
        {"EvalResourceName": "arn:another", "EvalResourceDecision": "implicitDeny"},
    ]
    answer = [{"EvalActionName": COMPLETE.action, "EvalDecision": "implicitDeny", "ResourceSpecificResults": specific}]
    both = [COMPLETE, Permission(COMPLETE.action, "arn:another")]
    assert denied_by_simulator(answer, both) == (Denial(COMPLETE.action),)


def test_what_the_simulator_does_not_answer_is_denied() -> None:
    assert denied_by_simulator([], [COMPLETE]) == (Denial(COMPLETE.action),)


@pytest.mark.parametrize(
    ("answer", "reason", "policy"),
    [
        ({"EvalDecision": "implicitDeny"}, "missing", ""),
        ({"EvalDecision": "explicitDeny", "MatchedStatements": [{"SourcePolicyId": "guard"}]}, "policy", "guard"),
        (
            {
                "EvalDecision": "implicitDeny",
                "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
                "OrganizationsDecisionDetail": {"AllowedByOrganizations": True},
            },
            "boundary",
            "",
        ),
        (
            {
                "EvalDecision": "implicitDeny",
                "ResourceSpecificResults": [
                    {
                        "EvalResourceName": GROUP,
                        "EvalResourceDecision": "implicitDeny",
                        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
                    }
                ],
            },
            "boundary",
            "",
        ),
        (
            {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": False}},
            "organization",
            "",
        ),
    ],
)
def test_a_denial_has_the_simulators_reason(answer: dict[str, Any], reason: str, policy: str) -> None:
    result = {"EvalActionName": COMPLETE.action, "EvalResourceName": GROUP, **answer}
    assert denied_by_simulator([result], [COMPLETE]) == (Denial(COMPLETE.action, reason, policy),)


CHINA = "arn:aws-cn:autoscaling:cn-north-1:123456789012:autoScalingGroup:1:autoScalingGroupName/gh"
KEY = "arn:aws-cn:kms:cn-north-1:123456789012:key/1"


def test_what_a_worker_needs_names_its_own_group_repositories_secret_key_and_logs() -> None:
    permissions = needed(CHINA, ["arn:r", "arn:s"], "arn:secret", KEY, "/logs")
    by_service = {
        service: {n.resource for n in permissions if n.action.startswith(service) and n.resource != "*"}
        for service in ("autoscaling", "secrets", "kms", "ecr:", "ec2", "logs")
    }
    assert by_service == {
        "autoscaling": {CHINA},
        "secrets": {"arn:secret"},
        "kms": {KEY},
        "ecr:": {"arn:r", "arn:s"},
        "ec2": {"arn:aws-cn:ec2:cn-north-1:123456789012:instance/i-00000000000000000"},
        "logs": {"arn:aws-cn:logs:cn-north-1:123456789012:log-group:/logs:log-stream:any"},
    }
    assert Permission("ecr:GetAuthorizationToken", "*") in permissions
    assert not [n for n in needed(GROUP, [], "arn:secret", "", "/logs") if n.action.startswith("kms")]


def test_a_condition_on_the_service_that_decrypts_is_read() -> None:
    (decrypt,) = [n for n in needed(CHINA, [], "arn:secret", KEY, "/logs") if n.action == "kms:Decrypt"]
    for services, denied in (
        (through_secrets_manager("aws-cn", "cn-north-1"), ()),
        (through_secrets_manager("aws-cn", "cn-northwest-1"), (decrypt.action,)),
    ):
        condition = {"StringEquals": {"kms:ViaService": list(services)}}
        allow = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY, "Condition": condition}
        assert denied_by_documents([document(allow)], [decrypt]) == denied


OTHER = "arn:aws:ecr:eu-west-1:222222222222:repository/team/worker"


@pytest.mark.parametrize(
    ("image", "others"),
    [
        ("222222222222.dkr.ecr.eu-west-1.amazonaws.com/team/worker:v5", [OTHER]),
        (f"222222222222.dkr.ecr.eu-west-1.amazonaws.com/team/worker@sha256:{'0' * 64}", [OTHER]),
        (f"222222222222.dkr.ecr-fips.eu-west-1.amazonaws.com/team/worker:v5@sha256:{'0' * 64}", [OTHER]),
        ("222222222222.dkr-ecr.eu-west-1.on.aws/team/worker", [OTHER]),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:latest", []),
        ("docker.io/library/worker:1", []),
        ("222222222222.dkr.ecr.eu-west-1.amazonaws.com.evil.example/worker", []),
        ("", []),
    ],
)
def test_instances_pull_from_the_fleets_repository_and_from_the_images(image: str, others: list[str]) -> None:
    own = "arn:aws:ecr:us-east-1:123456789012:repository/ghosthands"
    assert set(repositories("aws", "us-east-1", "123456789012", "ghosthands", image)) == {own, *others}


def test_ec2_has_another_name_in_china() -> None:
    names = [service_principal("ec2", partition) for partition in ("aws", "aws-cn", "aws-us-gov")]
    assert names == ["ec2.amazonaws.com", "ec2.amazonaws.com.cn", "ec2.amazonaws.com"]


@pytest.mark.parametrize(
    ("trust", "takes"),
    [
        ({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, True),
        (
            {
                "Principal": {"Service": ["ecs.amazonaws.com", "ec2.amazonaws.com"]},
                "Action": ["sts:TagSession", "sts:AssumeRole"],
            },
            True,
        ),
        ({"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
        ({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:TagSession"}, False),
        ({"Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}, False),
        ({"Principal": "*", "Action": "sts:AssumeRole"}, False),
    ],
)
def test_a_service_may_take_a_role(trust: dict[str, Any], takes: bool) -> None:
    assert trusts(document({"Effect": "Allow", **trust}), "ec2.amazonaws.com") is takes


@pytest.mark.parametrize(
    ("deny", "takes"),
    [
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, False),
        ({"Principal": {"Service": "lambda.amazonaws.com"}}, True),
        ({"Principal": "*"}, False),
        ({"Principal": {"AWS": "*"}, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}, False),
        ({"NotPrincipal": {"Service": "lambda.amazonaws.com"}}, False),
        ({"NotPrincipal": {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}}, True),
    ],
)
def test_a_denied_service_does_not_take_a_role(deny: dict[str, Any], takes: bool) -> None:
    allow = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = document(allow, {"Effect": "Deny", "Action": "sts:AssumeRole", **deny})
    assert trusts(policy, "ec2.amazonaws.com") is takes


def test_a_role_that_trusts_no_service_cannot_be_assumed() -> None:
    assert not trusts({}, "ec2.amazonaws.com")


DIGEST = f"sha256:{'0' * 64}"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("", f"{OWN}:latest"),
        (":v2", f"{OWN}:v2"),
        (f"@{DIGEST}", f"{OWN}@{DIGEST}"),
        ("docker.io/library/worker:1", "docker.io/library/worker:1"),
    ],
)
def test_a_tag_or_digest_alone_is_one_of_the_fleets_repository(written: str, name: str) -> None:
    settings = {"fleet_worker_image": written, "fleet_region": "us-east-1", "fleet_repository_name": "ghosthands"}
    assert worker_image(settings, "123456789012", "amazonaws.com") == name


@pytest.mark.parametrize("name", [f"{OWN}:v2", f"{OWN}@sha256:{'1' * 64}", OWN, f"{OWN}:v2@sha256:{'1' * 64}"])
def test_a_digest_takes_the_place_of_a_tag(name: str) -> None:
    assert pinned_image(name, DIGEST) == f"{OWN}@{DIGEST}"


def test_a_port_is_no_tag() -> None:
    assert pinned_image("registry:5000/worker", DIGEST) == f"registry:5000/worker@{DIGEST}"


@pytest.mark.parametrize(
    ("name", "used", "kept"),
    [
        (f"{OWN}:latest", f"{OWN}@{DIGEST}", True),
        (f"{OWN}:latest", f"{OWN}:latest", False),
        (f"{OWN}:latest", "", False),
        (f"{OWN}s:latest", f"{OWN}@{DIGEST}", False),
        (f"{OWN}@sha256:{'1' * 64}", f"{OWN}@{DIGEST}", False),
    ],
    ids=["a digest", "a tag", "nothing", "of another repository", "another digest is named"],
)
def test_what_a_rollout_has_pinned_is_kept(name: str, used: str, kept: bool) -> None:
    assert kept_image(name, used) == (used if kept else name)


INSTANCES = "arn:aws:ec2:us-east-1:123456789012:instance/"
OWN_TAG = statement(
    Action="ec2:CreateTags",
    Resource=f"{INSTANCES}*",
    Condition={
        "ArnEquals": {"ec2:SourceInstanceARN": f"{INSTANCES}${{ec2:InstanceID}}"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["ghosthands:did"]},
    },
)


@pytest.mark.parametrize(
    ("source", "keys", "denied"),
    [
        ("i-1", ("ghosthands:did",), ()),
        ("i-2", ("ghosthands:did",), ("ec2:CreateTags",)),
        ("i-1", ("ghosthands:did", "x"), ("ec2:CreateTags",)),
    ],
)
def test_a_condition_with_a_variable_and_one_on_all_values_are_read(
    source: str, keys: tuple[str, ...], denied: tuple[str, ...]
) -> None:
    context = (
        ("aws:TagKeys", keys),
        ("ec2:InstanceID", ("i-1",)),
        ("ec2:SourceInstanceARN", (f"{INSTANCES}{source}",)),
    )
    assert (
        denied_by_documents([document(OWN_TAG)], [Permission("ec2:CreateTags", f"{INSTANCES}i-1", context)]) == denied
    )
