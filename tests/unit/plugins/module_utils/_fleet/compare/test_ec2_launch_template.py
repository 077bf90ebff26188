# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch template's version has beyond the task, and what later tasks use of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.ec2_launch_template import COMPARISON


def answer(default: int = 3, **data: Any) -> dict[str, Any]:
    return {
        "LaunchTemplateId": "lt-1",
        "DefaultVersionNumber": default,
        "Latest": {"VersionNumber": 3, "LaunchTemplateData": {"ImageId": "ami-1", **data}},
    }


STATED = {"template_name": "t", "source_version": "", "image_id": "ami-1"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("EbsOptimized", True),
        ("KeyName", "k"),
        ("InstanceType", "t3.medium"),
        ("SecurityGroupIds", ["sg-1"]),
        ("UserData", base64.b64encode(b"x").decode()),
        ("ANewOne", {"a": 1}),
    ],
)
def test_what_the_version_has_beyond_the_task_differs_under_awss_name(key: str, value: Any) -> None:
    assert compare(COMPARISON, STATED, answer(**{key: value})) == ({key: value}, {})


def test_metadata_options_that_a_task_does_not_state_are_the_modules_defaults() -> None:
    defaults = {"HttpEndpoint": "enabled", "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled"}
    p = {**STATED, "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 2}}
    there = {**defaults, "HttpTokens": "required", "HttpPutResponseHopLimit": 2}
    assert compare(COMPARISON, p, answer(MetadataOptions=there)) is None
    assert compare(COMPARISON, p, answer(MetadataOptions={**there, "InstanceMetadataTags": "enabled"})) is not None
    assert compare(COMPARISON, p, answer(MetadataOptions={**there, "New": "x"})) is not None


def test_user_data_is_shown_as_text() -> None:
    encoded = [base64.b64encode(text).decode() for text in (b"a: 1\n", b"a: 2\n")]
    found = compare(COMPARISON, {**STATED, "user_data": encoded[0]}, answer(UserData=encoded[1]))
    assert found == ({"user_data": "a: 2\n"}, {"user_data": "a: 1\n"})


def test_another_default_version_is_shown_by_its_number() -> None:
    p = {**STATED, "default_version": "latest"}
    assert compare(COMPARISON, p, answer(default=3)) is None
    assert compare(COMPARISON, p, answer(default=2)) == ({"default_version": "2"}, {"default_version": "latest"})


@pytest.mark.parametrize(
    ("differs", "latest"),
    [
        ((), 3),
        (("tags",), 3),
        (("default_version",), 3),
        (("image_id",), 4),
        (("EbsOptimized", "tags"), 4),
        (("version_description",), 4),
    ],
)
def test_only_what_is_part_of_a_version_creates_another_one(differs: tuple[str, ...], latest: int) -> None:
    assert COMPARISON.outputs(answer(), frozenset(differs)) == {
        "template": {"launch_template_id": "lt-1"},
        "latest_version": latest,
    }
