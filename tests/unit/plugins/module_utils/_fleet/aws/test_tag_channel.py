# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls by which operators speak to agents."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.tag_channel import TagChannel
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import Wish

WISH = Wish("hold", "0a1b2c3d")


class Account:
    """Records calls; there is no group."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, _service: str, operation: str, key: str | None = None, **request: Any) -> Any:
        self.calls.append((operation, request))
        return [] if key else None


def test_hundreds_of_instances_take_a_call_for_each_hundred() -> None:
    account, ids = Account(), [f"i-{number}" for number in range(250)]
    TagChannel(account, "g").want(ids, WISH)
    assert [operation for operation, _request in account.calls] == ["create_tags"] * 3
    assert sum((request["Resources"] for _operation, request in account.calls), []) == ids  # noqa: RUF017
    assert all(r["Tags"] == [{"Key": "ghosthands:want", "Value": "hold@0a1b2c3d"}] for _operation, r in account.calls)


def test_instances_get_the_wish_at_launch_and_never_the_record() -> None:
    account = Account()
    channel = TagChannel(account, "g")
    channel.want_of_launches(WISH)
    channel.record(WISH)
    channel.record(None)
    tagged = [request["Tags"][0] for _operation, request in account.calls]
    assert [(tag["Key"], tag.get("PropagateAtLaunch")) for tag in tagged] == [
        ("ghosthands:want", True),
        ("ghosthands:command", False),
        ("ghosthands:command", None),
    ]
    assert [operation for operation, _request in account.calls][-1] == "delete_tags"


def test_a_group_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(AwsError, match="There is no group g"):
        TagChannel(Account(), "g").group()
