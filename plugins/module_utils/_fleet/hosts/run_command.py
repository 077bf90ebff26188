# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask hosts for their doctors by Systems Manager's Run Command. It sends a command, which is a write; never run against AWS itself so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import CannotAsk
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.answer import DOCTOR, HOST_SECONDS, Answer
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Look, until_done

DOCUMENT = "AWS-RunShellScript"  # runs as root
BATCH = 50  # SendCommand: at most 50 InstanceIds
DELIVERY_SECONDS = 60  # SendCommand: TimeoutSeconds, 30 at least; a host that is online takes it at once
WAITING = ("Pending", "InProgress", "Delayed", "Cancelling")
MOST_CHARACTERS = 24_000  # GetCommandInvocation: StandardOutputContent
EVERY_SECONDS = 2.0
Tell = Callable[..., Any]


def ask(
    tell: Tell, instances: Sequence[str], clock: Callable[[], float], sleep: Callable[[float], None]
) -> dict[str, Answer]:
    """instance -> what its doctor says, fifty at a time. `tell` is Account.tell; a call that fails is each instance's problem."""
    answers: dict[str, Answer] = {}
    for start in range(0, len(instances), BATCH):
        batch = instances[start : start + BATCH]
        try:
            answers |= _batch(tell, batch, clock, sleep)
        except CannotAsk as problem:
            answers |= {one: Answer("", str(problem)) for one in batch if one not in answers}
    return answers


def _batch(
    tell: Tell, instances: Sequence[str], clock: Callable[[], float], sleep: Callable[[float], None]
) -> dict[str, Answer]:
    # One instance that it does not manage would make SendCommand refuse them all (InvalidInstanceId).
    known = tell("ssm", "describe_instance_information", Filters=[{"Key": "InstanceIds", "Values": list(instances)}])
    status = {i["InstanceId"]: i["PingStatus"] for i in known["InstanceInformationList"]}
    online = [one for one in instances if status.get(one) == "Online"]
    away = {
        one: Answer(
            "", f"Systems Manager says {status[one]} of it" if one in status else "Systems Manager does not manage it"
        )
        for one in instances
        if one not in online
    }
    if not online:
        return away
    sent = tell(
        "ssm",
        "send_command",
        InstanceIds=online,
        DocumentName=DOCUMENT,
        Comment="wekruit.ghosthands: what the host says of itself",
        Parameters={"commands": [DOCTOR], "executionTimeout": [f"{HOST_SECONDS:.0f}"]},
        TimeoutSeconds=DELIVERY_SECONDS,
    )
    command, ended = sent["Command"]["CommandId"], dict[str, str]()

    def look() -> Look:
        found = tell("ssm", "list_command_invocations", CommandId=command)["CommandInvocations"]
        ended.update({i["InstanceId"]: i["Status"] for i in found if i["Status"] not in WAITING})
        return Look(len(ended) == len(online), f"{len(ended)} of {len(online)} hosts have answered")

    until_done(look, DELIVERY_SECONDS + HOST_SECONDS, clock, sleep, lambda _said: None, EVERY_SECONDS)
    late = Answer("", "no answer by Run Command in time")
    return away | {
        one: _answer(tell, command, one) if ended.get(one) in ("Success", "Failed") else late for one in online
    }


def _answer(tell: Tell, command: str, instance: str) -> Answer:
    try:
        said = tell("ssm", "get_command_invocation", CommandId=command, InstanceId=instance)
    except CannotAsk as problem:
        return Answer("", str(problem))
    text = said.get("StandardOutputContent", "")
    if len(text) >= MOST_CHARACTERS:
        return Answer("", f"Run Command cuts answers off at {MOST_CHARACTERS} characters")
    return Answer(
        text, "" if text else said.get("StandardErrorContent", "") or f"Run Command: {said.get('StatusDetails', '?')}"
    )
