# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms to which both sides of a comparison are brought."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import (
    TAGS,
    camel,
    document,
    tag_map,
)

READ = {"Sid": "Read", "Effect": "Allow", "Action": ["a:Get", "a:List", "b:Get"], "Resource": "*"}
WRITE = {
    "Sid": "Write",
    "Effect": "Allow",
    "Action": "a:Put",
    "Resource": ["x", "y"],
    "Condition": {"Bool": {"a:b": True}},
}
TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
POLICY: dict[str, Any] = {"Version": "2012-10-17", "Statement": [READ, WRITE, TRUST]}


def test_a_policy_is_the_same_in_every_order_of_statements_actions_resources_and_keys() -> None:
    form = document(POLICY)
    for statements in permutations(POLICY["Statement"]):
        for actions in permutations(READ["Action"]):
            ordered = [
                {**dict(reversed(s.items())), **({"Action": list(actions)} if s is READ else {})} for s in statements
            ]
            assert document({"Statement": ordered, "Version": "2012-10-17"}) == form
    assert document({**POLICY, "Statement": [READ, {**WRITE, "Resource": ["y", "x"]}, TRUST]}) == form


@pytest.mark.parametrize(
    "spelling",
    [
        json.dumps(POLICY),
        json.dumps(POLICY, indent=4).encode(),
        {**POLICY, "Statement": (READ, WRITE, TRUST)},
        {**POLICY, "Statement": [READ, {**WRITE, "Action": ["a:Put"]}, TRUST]},
        {**POLICY, "Statement": [READ, {**WRITE, "Condition": {"Bool": {"a:b": "true"}}}, TRUST]},
        {**POLICY, "Statement": [READ, {**WRITE, "Condition": {"Bool": {"a:b": ["true"]}}}, TRUST]},
        {**POLICY, "Statement": [{**READ, "Resource": ["*"]}, WRITE, TRUST]},
        {**POLICY, "Statement": [READ, WRITE, {**TRUST, "Principal": {"Service": ["ec2.amazonaws.com"]}}]},
    ],
)
def test_spellings_that_iam_treats_as_equal_are_equal(spelling: Any) -> None:
    assert document(spelling) == document(POLICY)


@pytest.mark.parametrize(
    "other",
    [
        {**POLICY, "Version": "2008-10-17"},
        {"Statement": POLICY["Statement"]},
        {**POLICY, "Id": "x"},
        {**POLICY, "Statement": [READ, WRITE]},
        {**POLICY, "Statement": [READ, WRITE, TRUST, TRUST]},
        {**POLICY, "Statement": [{**READ, "Effect": "Deny"}, WRITE, TRUST]},
        {**POLICY, "Statement": [{**READ, "Sid": "Other"}, WRITE, TRUST]},
        {**POLICY, "Statement": [{**READ, "Action": ["a:Get", "a:List"]}, WRITE, TRUST]},
        {**POLICY, "Statement": [{**READ, "Action": "*"}, WRITE, TRUST]},
        {**POLICY, "Statement": [{**READ, "Resource": "arn:x"}, WRITE, TRUST]},
        {**POLICY, "Statement": [{**READ, "NotResource": "arn:x"}, WRITE, TRUST]},
        {**POLICY, "Statement": [READ, {**WRITE, "Condition": {"Bool": {"a:b": False}}}, TRUST]},
        {**POLICY, "Statement": [READ, {k: v for k, v in WRITE.items() if k != "Condition"}, TRUST]},
        {**POLICY, "Statement": [READ, WRITE, {**TRUST, "Principal": "*"}]},
        {**POLICY, "Statement": [READ, WRITE, {**TRUST, "Principal": {"AWS": "ec2.amazonaws.com"}}]},
    ],
)
def test_policies_that_grant_something_else_differ(other: Any) -> None:
    assert document(other) != document(POLICY)


def test_one_statement_is_a_list_of_one() -> None:
    assert document({"Version": "2012-10-17", "Statement": READ}) == document(
        {"Version": "2012-10-17", "Statement": [READ]}
    )


def test_both_spellings_of_everybody_are_equal() -> None:
    assert document({"Statement": {**TRUST, "Principal": "*"}}) == document(
        {"Statement": {**TRUST, "Principal": {"AWS": "*"}}}
    )


def test_a_policy_without_a_version_has_the_first_one() -> None:
    assert document({"Statement": [READ]}) == document({"Version": "2008-10-17", "Statement": [READ]})


def test_numbers_and_their_texts_are_equal() -> None:
    assert document({"rules": [{"rulePriority": 1}]}) == document('{"rules": [{"rulePriority": "1"}]}')


def test_tags_are_a_map_without_awss_own() -> None:
    there = [{"Key": "a", "Value": "b"}, {"Key": "aws:x", "Value": "y"}, {"Key": "c"}]
    assert tag_map(there) == tag_map({"a": "b", "c": "", "aws:x": "y"}) == {"a": "b", "c": ""}
    assert tag_map(None) == {}


@pytest.mark.parametrize(("purge", "found"), [(False, {"a": "b"}), (True, {"a": "b", "c": "d"})])
def test_other_tags_count_only_where_they_would_be_removed(purge: bool, found: dict[str, str]) -> None:
    raw = {"Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]}
    assert TAGS.actual(raw, {"tags": {"a": 1}, "purge_tags": purge}) == found
    assert TAGS.desired({"a": 1}) == {"a": "1"}


def test_a_module_purges_tags_by_default() -> None:
    assert TAGS.actual({"Tags": {"c": "d"}}, {"tags": {}}) == {"c": "d"}


def test_snake_case_becomes_camel_case_all_the_way_down() -> None:
    value = [{"device_name": "/dev/xvda", "ebs": {"volume_size": 8, "kms_key_id": None}, "groups": ("sg-1",)}]
    assert camel(value) == [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}, "Groups": ["sg-1"]}]
