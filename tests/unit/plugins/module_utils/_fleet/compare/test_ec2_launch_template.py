# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch template's version has beyond the task, and what later tasks use of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.ec2_launch_template import (
    COMPARISON,
    version_description,
)


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
    ],
)
def test_only_what_is_part_of_a_version_creates_another_one(differs: tuple[str, ...], latest: int) -> None:
    assert COMPARISON.outputs(answer(), frozenset(differs)) == {
        "template": {"launch_template_id": "lt-1"},
        "latest_version": latest,
    }


# --- what a version says ----------------------------------------------------------------------------------------


CONF = "#cloud-config\nwrite_files:\n  - content: |\n      SCHEMA=4\n      IMAGE={}\n      LOG_GROUP=\n"
DIGESTS = [f"1.dkr.ecr.us-east-1.amazonaws.com/wekruit/ghosthands@sha256:{letter * 64}" for letter in "ab"]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"image_id": "ami-1"}, {"image_id": "ami-2"}, "image_id ami-1 -> ami-2"),
        ({"KeyName": "k"}, {}, "KeyName k -> none"),
        (
            {"tags": {"a": "b"}, "instance_type": "t3.medium", "image_id": "ami-1"},
            {"tags": {"a": "c"}, "instance_type": "t3.large", "image_id": "ami-2"},
            "image_id ami-1 -> ami-2; instance_type t3.medium -> t3.large",
        ),
        (
            {"block_device_mappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 40}}]},
            {"block_device_mappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 50}}]},
            "VolumeSize 40 -> 50",
        ),
        (
            {"user_data": CONF.format(DIGESTS[0])},
            {"user_data": CONF.format(DIGESTS[1]).replace("LOG_GROUP=", "LOG_GROUP=/g")},
            "IMAGE ghosthands@aaaaaaaaaaaa -> ghosthands@bbbbbbbbbbbb; LOG_GROUP none -> /g",
        ),
        ({"user_data": "#!/bin/sh\n"}, {"user_data": CONF}, "user_data"),
        ({}, {"unknown until applied": "network_interfaces"}, "unknown until applied none -> network_interfaces"),
    ],
)
def test_a_versions_description_says_what_it_changes(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    assert version_description(answer(), (before, after)) == text


def test_a_description_is_never_longer_than_aws_allows() -> None:
    after = {f"parameter_{number}": "value" for number in range(30)}
    text = version_description(answer(), ({}, after))
    assert (len(text), text[-3:]) == (255, "...")


@pytest.mark.parametrize(
    "difference", [None, ({"tags": {}}, {"tags": {"a": "b"}}), ({}, {"default_version": "latest"})]
)
def test_where_no_version_is_made_it_is_the_latest_ones(difference: Any) -> None:
    there = answer()
    assert version_description(there, difference) == ""
    there["Latest"]["VersionDescription"] = "somebody's"
    assert version_description(there, difference) == "somebody's"


def test_the_first_version_says_so() -> None:
    assert version_description(None, ({}, {"image_id": "ami-1"})) == "the first version"
