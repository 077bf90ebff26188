# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a group still holds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import rest


def instance(name: str, state: str = "InService", protected: bool = False) -> dict[str, Any]:
    return {"InstanceId": name, "LifecycleState": state, "ProtectedFromScaleIn": protected}


def test_a_group_without_instances_is_drained() -> None:
    found = rest([])
    assert (found.drained, found.instances, found.says) == (True, 0, "no instances")


@pytest.mark.parametrize(
    "state", ["Pending", "InService", "Terminating:Wait", "Terminating:Proceed", "Standby", "Terminating"]
)
def test_an_instance_in_any_state_but_retained_is_waited_for(state: str) -> None:
    assert not rest([instance("i-1", state)]).drained


def test_retained_instances_go_not_by_themselves_and_are_named() -> None:
    found = rest([instance("i-2", "Terminating:Retained"), instance("i-1", "Terminating:Retained")])
    assert found.drained
    assert found.retained == ("i-1", "i-2")


def test_a_shield_counts_only_on_an_instance_that_scale_in_may_choose() -> None:
    found = rest(
        [instance("i-1", protected=True), instance("i-2", "Terminating:Wait", protected=True), instance("i-3")]
    )
    assert found.protected == ("i-1",)


def test_standby_is_named_since_no_scale_in_reaches_it() -> None:
    assert rest([instance("i-1", "Standby"), instance("i-2")]).standby == ("i-1",)


def test_states_are_told_with_their_numbers() -> None:
    found = rest([instance("i-1"), instance("i-2", "Terminating:Wait"), instance("i-3")])
    assert found.says == "2 InService, 1 Terminating:Wait"


def test_an_answer_without_protection_is_unprotected() -> None:
    assert rest([{"InstanceId": "i-1", "LifecycleState": "InService"}]).protected == ()
