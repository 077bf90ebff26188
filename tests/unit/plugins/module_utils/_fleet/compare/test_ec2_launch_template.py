# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch template's version holds beyond the task, and what it gives to the tasks after it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.ec2_launch_template import RESOURCE
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import compare


def answer(default: int = 3, **data: Any) -> dict[str, Any]:
    return {
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
def test_what_the_version_holds_beyond_the_task_differs_under_awss_name(key: str, value: Any) -> None:
    assert compare(RESOURCE, STATED, answer(**{key: value})) == ({key: value}, {})


def test_metadata_options_that_a_task_does_not_state_are_the_modules_defaults() -> None:
    defaults = {"HttpEndpoint": "enabled", "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled"}
    p = {**STATED, "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 2}}
    there = {**defaults, "HttpTokens": "required", "HttpPutResponseHopLimit": 2}
    assert compare(RESOURCE, p, answer(MetadataOptions=there)) is None
    assert compare(RESOURCE, p, answer(MetadataOptions={**there, "InstanceMetadataTags": "enabled"})) is not None
    assert compare(RESOURCE, p, answer(MetadataOptions={**there, "New": "x"})) is not None


def test_user_data_is_shown_as_text() -> None:
    encoded = [base64.b64encode(text).decode() for text in (b"a: 1\n", b"a: 2\n")]
    found = compare(RESOURCE, {**STATED, "user_data": encoded[0]}, answer(UserData=encoded[1]))
    assert found == ({"user_data": "a: 2\n"}, {"user_data": "a: 1\n"})


def test_another_default_version_is_told_by_its_number() -> None:
    p = {**STATED, "default_version": "latest"}
    assert compare(RESOURCE, p, answer(default=3)) is None
    assert compare(RESOURCE, p, answer(default=2)) == ({"default_version": "2"}, {"default_version": "latest"})


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
def test_only_what_stands_in_a_version_makes_another_one(differs: tuple[str, ...], latest: int) -> None:
    assert RESOURCE.gives(answer(), frozenset(differs)) == {"latest_version": latest}


def test_the_latest_version_is_read_whatever_the_default_is(answers: Any) -> None:
    versions = [{"VersionNumber": 2, "LaunchTemplateData": {}}, {"VersionNumber": 11, "LaunchTemplateData": {}}]
    answers.on(
        "describe_launch_templates", {"LaunchTemplates": [{"LaunchTemplateId": "lt-1"}]}, LaunchTemplateNames=["t"]
    )
    wanted = {"LaunchTemplateName": "t", "Versions": ["$Latest", "$Default"]}
    answers.on("describe_launch_template_versions", {"LaunchTemplateVersions": versions}, **wanted)
    found = RESOURCE.read(answers.call, {"template_name": "t"})
    assert (found["LaunchTemplateId"], found["Latest"]["VersionNumber"]) == ("lt-1", 11)


def test_a_template_that_is_not_there_is_none(answers: Any) -> None:
    answers.on("describe_launch_templates", None, LaunchTemplateNames=["t"])
    answers.on("describe_launch_template_versions", None, LaunchTemplateName="t", Versions=["$Latest", "$Default"])
    assert RESOURCE.read(answers.call, {"template_name": "t"}) is None
