# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances have no agent, as far as their image and user data tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.agents import without_agent
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance, Image

OWN, OTHER, STRANGER = "123456789012", "210987654321", "999999999999"
ARN = f"arn:aws:autoscaling:us-east-1:{OWN}:autoScalingGroup:1:autoScalingGroupName/g"
CONF, NO_CONF = user_data("SCHEMA=4\n"), ""


def image(schema: str | None, owner: str) -> Image:
    return Image("ami-1", "golden", "x86_64", "available", "", schema, owner=owner)


@pytest.mark.parametrize(
    ("its", "conf", "has_agent"),
    [
        (image("4", OWN), CONF, True),
        (image("4", OWN), NO_CONF, False),
        (image(None, OWN), CONF, False),
        (image(None, OTHER), CONF, True),
        (image(None, OTHER), NO_CONF, False),
        (image(None, STRANGER), CONF, False),
        (None, CONF, True),
        (None, NO_CONF, False),
    ],
)
def test_the_user_data_decides_where_the_images_tag_cannot_be_seen(
    its: Image | None, conf: str, has_agent: bool, answers: Any, settings: Any
) -> None:
    one = GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.large", "2", False, "lt-1")
    version = {
        "LaunchTemplateId": "lt-1",
        "VersionNumber": 2,
        "LaunchTemplateData": {"ImageId": "ami-1", "UserData": conf},
    }
    group = Group("g", ARN, 1, 1, 1, instances=(one,))
    s = {**settings, "fleet_trusted_account_ids": [OTHER]}
    assert without_agent(answers.call, s, group, [version], lambda _id: its) == (() if has_agent else ("i-1",))


@pytest.mark.parametrize(
    ("its", "has_agent"), [(image("4", OWN), True), (image(None, OWN), False), (image(None, OTHER), False)]
)
def test_of_an_attached_instance_the_image_has_to_say_it(
    its: Image, has_agent: bool, answers: Any, settings: Any
) -> None:
    one = GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.large", "", False)
    row = {
        "InstanceId": "i-1",
        "ImageId": "ami-1",
        "State": {"Name": "running"},
        "InstanceType": "t3.large",
        "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC),
    }
    which = [{"Name": "tag:aws:autoscaling:groupName", "Values": ["g"]}]
    answers.on("describe_instances", {"Reservations": [{"Instances": [row]}]}, Filters=which)
    group = Group("g", ARN, 1, 1, 1, instances=(one,))
    assert without_agent(answers.call, settings, group, [], lambda _id: its) == (() if has_agent else ("i-1",))
