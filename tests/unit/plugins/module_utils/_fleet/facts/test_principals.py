# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a policy's statements let in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.principals import EVERYBODY, grants


def policy(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}}


@pytest.mark.parametrize(
    ("statement", "principals"),
    [
        ({"Principal": "*"}, [EVERYBODY]),
        ({"Principal": {"AWS": "*"}}, [EVERYBODY]),
        ({"Principal": {"AWS": "210987654321"}}, ["210987654321"]),
        ({"Principal": {"AWS": ["arn:aws:iam::210987654321:root", "arn:aws:iam::1:user/a"]}}, ["210987654321", "1"]),
        ({"Principal": {"AWS": "AROADELETED"}}, ["AROADELETED"]),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, ["ec2.amazonaws.com"]),
        ({"Principal": {"Federated": "arn:aws:iam::1:saml-provider/a"}}, ["arn:aws:iam::1:saml-provider/a"]),
        ({"NotPrincipal": {"AWS": "210987654321"}}, [EVERYBODY]),
        ({"Effect": "Deny", "Principal": "*"}, []),
    ],
)
def test_every_principal_that_is_allowed_something_is_named(statement: dict[str, Any], principals: list[str]) -> None:
    assert [grant.principal for grant in grants(policy(**statement))] == principals


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::a"}}, True),
        ({"StringNotEquals": {"aws:PrincipalAccount": "1"}}, False),
        ({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({}, False),
    ],
)
def test_a_condition_may_name_the_callers(condition: dict[str, Any], named: bool) -> None:
    (grant,) = grants(policy(Principal="*", Condition=condition))
    assert grant.names_callers is named


@pytest.mark.parametrize(
    ("action", "writes"),
    [
        ({"Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]}, False),
        ({"Action": "ecr:Describe*"}, False),
        ({"Action": "ecr:*"}, True),
        ({"Action": "*"}, True),
        ({"Action": ["ecr:BatchGetImage", "ecr:PutImage"]}, True),
    ],
)
def test_a_grant_of_more_than_reading_writes(action: dict[str, Any], writes: bool) -> None:
    (grant,) = grants(policy(Principal="*", **action))
    assert grant.writes is writes


def test_a_grant_of_all_but_some_actions_writes() -> None:
    statement = {"Effect": "Allow", "Principal": "*", "NotAction": "ecr:PutImage"}
    (grant,) = grants({"Statement": [statement]})
    assert grant.writes
