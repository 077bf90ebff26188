# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Auto Scaling may use a key: its policy's statements, its denials and its grants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.key_policy import (
    NEEDED,
    Verdict,
    verdict,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller, KmsKey

ME = Caller("123456789012", "aws", "arn:aws:iam::123456789012:user/me")
ROLE = ME.service_linked_role
ROOT = "arn:aws:iam::123456789012:root"
KEY = KmsKey("arn:aws:kms:us-east-1:123456789012:key/k", "Enabled", True, False, {}, frozenset())
USE = {
    "Effect": "Allow",
    "Principal": {"AWS": [ROLE]},
    "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
    "Resource": "*",
}
ATTACH = {
    "Effect": "Allow",
    "Principal": {"AWS": ROLE},
    "Action": "kms:CreateGrant",
    "Resource": "*",
    "Condition": {"Bool": {"kms:GrantIsForAWSResource": True}},
}
ADMIN = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
ANYBODY_BY_EC2 = {
    **ADMIN,
    "Principal": {"AWS": "*"},
    "Condition": {
        "StringEquals": {"kms:CallerAccount": "123456789012", "kms:ViaService": "ec2.us-east-1.amazonaws.com"}
    },
}
DENY = {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}


def of(*statements: dict[str, Any], granted: frozenset[str] = frozenset()) -> KmsKey:
    return replace(KEY, policy={"Statement": list(statements)}, granted=granted)


@pytest.mark.parametrize(
    "key",
    [
        of(USE, ATTACH),
        of({**USE, "Action": "kms:*"}),
        of({**USE, "Action": "*"}),
        of({**USE, "Action": "KMS:*"}),
        of({**USE, "Action": "kms:*", "Principal": {"AWS": "*"}}),
        of({"Effect": "Allow", "Principal": {"AWS": ROLE}, "NotAction": "kms:Delete*", "Resource": "*"}),
        of(ANYBODY_BY_EC2),
        of(ADMIN, granted=frozenset(NEEDED)),
        of(USE, granted=frozenset({"CreateGrant"})),
        of(USE, ATTACH, {**DENY, "Principal": {"AWS": "arn:aws:iam::123456789012:role/other"}}),
        of(USE, ATTACH, {**DENY, "Condition": {"StringNotEquals": {"aws:PrincipalArn": ROLE}}}),
        of(
            USE,
            ATTACH,
            {
                **DENY,
                "NotPrincipal": {"AWS": [ROLE, ROOT]},
            },
        ),
        replace(KEY, aws_managed=True),
        replace(KEY, policy=Unread("Another account's."), granted=frozenset(NEEDED)),
    ],
)
def test_a_key_may_be_used_by_its_policy_or_by_a_grant(key: KmsKey) -> None:
    assert verdict(key, ME, "us-east-1") == Verdict()


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        (of(ADMIN), NEEDED),
        (of(), NEEDED),
        (of(USE), ("CreateGrant",)),
        (of(USE, granted=frozenset({"Decrypt"})), ("CreateGrant",)),
        (of(ANYBODY_BY_EC2 | {"Condition": {"StringEquals": {"kms:CallerAccount": "999999999999"}}}), NEEDED),
        (of(USE, {**ATTACH, "Condition": {"Bool": {"kms:GrantIsForAWSResource": "false"}}}), ("CreateGrant",)),
        (of(USE, ATTACH, DENY), ("Decrypt",)),
        (of(ADMIN, DENY, granted=frozenset(NEEDED)), ("Decrypt",)),
        (of(USE, ATTACH, {**DENY, "Principal": {"AWS": ROOT}}), ("Decrypt",)),
        (of(USE, ATTACH, {**DENY, "Principal": {"AWS": ROLE}, "Action": "kms:De*"}), ("Decrypt", "DescribeKey")),
        (
            of({**USE, "Action": ["kms:Decrypt", "kms:DescribeKey"]}),
            tuple(sorted({*NEEDED} - {"Decrypt", "DescribeKey"})),
        ),
    ],
)
def test_what_neither_policy_nor_grant_allows_and_what_is_denied_is_missing(
    key: KmsKey, missing: tuple[str, ...]
) -> None:
    assert verdict(key, ME, "us-east-1") == Verdict(missing)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (replace(KEY, policy=Unread("Another account's.")), "Another account's."),
        (replace(KEY, policy=Unread("Another account's."), granted=frozenset({"Decrypt"})), "Another account's."),
        (replace(of(ADMIN), granted=Unread("Grants: not allowed.")), "Grants: not allowed."),
        (of(USE, ATTACH, {**DENY, "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01"}}}), "kms:Decrypt"),
        (of(USE, {**ATTACH, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}), "kms:CreateGrant"),
    ],
)
def test_what_cannot_be_read_or_is_not_understood_is_not_known(key: KmsKey, reason: str) -> None:
    found = verdict(key, ME, "us-east-1")
    assert found.refused == ()
    assert reason in found.unknown
