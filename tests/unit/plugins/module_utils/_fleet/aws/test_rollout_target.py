# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of the version that a rollout goes to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.rollout_target import rollout_target
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout_target import Target

DIGEST = "sha256:" + "a" * 64
NAME = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands@{DIGEST}"
DATA = {"ImageId": "ami-1", "InstanceType": "t3.medium", "UserData": user_data(f"SCHEMA=4\nIMAGE={NAME}\n")}
THE_IMAGE = {"repositoryName": "ghosthands", "imageIds": [{"imageDigest": DIGEST}]}


def version(number: int) -> dict[str, Any]:
    return {"LaunchTemplateId": "lt-1", "VersionNumber": number, "LaunchTemplateData": DATA}


@pytest.fixture
def account(answers: Any) -> Any:
    """An account with the version 1 of 3, and everything that its instances boot with."""
    template = {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "gh-worker-lt", "DefaultVersionNumber": 3}
    answers.on("get_caller_identity", {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"})
    answers.on(
        "describe_launch_template_versions",
        {"LaunchTemplateVersions": [{**version(3), "DefaultVersion": True}]},
        LaunchTemplateName="gh-worker-lt",
        Versions=["$Latest", "$Default"],
    )
    answers.on("describe_launch_templates", {"LaunchTemplates": [template]}, LaunchTemplateNames=["gh-worker-lt"])
    answers.on(
        "describe_launch_template_versions",
        {"LaunchTemplateVersions": [version(1)]},
        LaunchTemplateId="lt-1",
        Versions=["1"],
    )
    image = {"ImageId": "ami-1", "State": "available", "Architecture": "x86_64"}
    answers.on("describe_images", {"Images": [image]}, ImageIds=["ami-1"])
    kind = {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}, "MemoryInfo": {"SizeInMiB": 4096}}
    answers.on("describe_instance_types", {"InstanceTypes": [kind]}, InstanceTypes=["t3.medium"])
    answers.on(
        "describe_instance_type_offerings",
        {"InstanceTypeOfferings": [{"Location": "us-east-1a"}]},
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["t3.medium"]}],
    )
    return answers.on("describe_images", {"imageDetails": [{"imageDigest": DIGEST}]}, **THE_IMAGE)


def test_a_version_with_everything(account: Any, settings: dict[str, Any]) -> None:
    found = rollout_target(account.call, settings, "1")
    assert found.template is not None
    assert (found.version, found.template.version, found.template.latest_version) == ("1", 1, 3)
    assert (found.template.agent_conf["IMAGE"], found.digest) == (NAME, DIGEST)
    assert (found.image and found.image.id, found.instance_type and found.instance_type.name) == ("ami-1", "t3.medium")


def test_what_is_gone_is_none(account: Any, settings: dict[str, Any]) -> None:
    account.on("describe_images", None, ImageIds=["ami-1"])
    account.on("describe_images", None, **THE_IMAGE)
    found = rollout_target(account.call, settings, "1")
    assert (found.image, found.digest) == (None, None)
    account.on("describe_launch_template_versions", None, LaunchTemplateId="lt-1", Versions=["1"])
    assert rollout_target(account.call, settings, "1") == Target("1")


def test_a_registry_that_refuses_is_not_known(account: Any, settings: dict[str, Any]) -> None:
    def call(service: str, operation: str, *arguments: Any, **request: Any) -> Any:
        if (service, operation) == ("ecr", "describe_images"):
            raise AwsError("Not allowed.")
        return account.call(service, operation, *arguments, **request)

    assert rollout_target(call, settings, "1").digest == Unread("Not allowed.")
