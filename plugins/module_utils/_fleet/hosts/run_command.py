# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the doctor on hosts with Systems Manager's Run Command. Sends a command, which is a write. Never tried on AWS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import DOCTOR, HOST_SECONDS, Output
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

DOCUMENT = "AWS-RunShellScript"  # runs as root
BATCH = 50  # SendCommand: at most 50 InstanceIds
DELIVERY_SECONDS = 60  # SendCommand: TimeoutSeconds, 30 at least; a host that is online takes it at once
WAITING = ("Pending", "InProgress", "Delayed", "Cancelling")
MOST_CHARACTERS = 24_000  # GetCommandInvocation: StandardOutputContent
EVERY_SECONDS = 2.0


def run_doctor(
    call: Call,
    instances: Sequence[str],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    command: str = DOCTOR,
) -> dict[str, Output]:
    """instance -> what its doctor, or another command, prints, fifty instances at a time.

    A call that fails is the problem of each of its instances.

    :param call: sends every request (Account.call_now).
    """
    outputs: dict[str, Output] = {}
    for start in range(0, len(instances), BATCH):
        batch = instances[start : start + BATCH]
        try:
            outputs |= _batch(call, batch, clock, sleep, command)
        except AwsError as error:
            outputs |= {one: Output("", str(error)) for one in batch if one not in outputs}
    return outputs


def _batch(
    call: Call, instances: Sequence[str], clock: Callable[[], float], sleep: Callable[[float], None], program: str
) -> dict[str, Output]:
    # One instance that Systems Manager does not manage would make SendCommand refuse them all (InvalidInstanceId).
    which = [{"Key": "InstanceIds", "Values": list(instances)}]
    managed = call("ssm", "describe_instance_information", "InstanceInformationList", Filters=which)
    status = {i["InstanceId"]: i["PingStatus"] for i in managed}
    online = [one for one in instances if status.get(one) == "Online"]
    offline = {one: Output("", _offline(status.get(one))) for one in instances if one not in online}
    if not online:
        return offline
    sent = call(
        "ssm",
        "send_command",
        "Command",
        InstanceIds=online,
        DocumentName=DOCUMENT,
        Comment=f"wekruit.ghosthands: {'ghosthands-agent doctor' if program == DOCTOR else 'a command on the host'}",
        Parameters={"commands": [program], "executionTimeout": [f"{HOST_SECONDS:.0f}"]},
        TimeoutSeconds=DELIVERY_SECONDS,
    )
    command, finished = sent["CommandId"], dict[str, str]()

    def progress() -> Progress:
        found = call("ssm", "list_command_invocations", "CommandInvocations", CommandId=command)
        finished.update({i["InstanceId"]: i["Status"] for i in found if i["Status"] not in WAITING})
        return Progress(len(finished) == len(online), f"{len(finished)} of {len(online)} hosts have answered")

    until_done(progress, DELIVERY_SECONDS + HOST_SECONDS, clock, sleep, lambda _line: None, EVERY_SECONDS)
    late = Output("", "no answer by Run Command in time")
    return offline | {
        one: _output(call, command, one) if finished.get(one) in ("Success", "Failed") else late for one in online
    }


def _offline(status: str | None) -> str:
    return f"Systems Manager reports it as {status}" if status else "Systems Manager does not manage it"


def _output(call: Call, command: str, instance: str) -> Output:
    try:
        found = call("ssm", "get_command_invocation", CommandId=command, InstanceId=instance)
    except AwsError as error:
        return Output("", str(error))
    text = found.get("StandardOutputContent", "")
    if len(text) >= MOST_CHARACTERS:
        return Output("", f"Run Command cuts answers off at {MOST_CHARACTERS} characters")
    problem = found.get("StandardErrorContent", "") or f"Run Command: {found.get('StatusDetails', '?')}"
    return Output(text, "" if text else problem)
