"""The calls of a trace, made again in other ways: one aws-cli process for each, or a plain boto3 script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocore import xform_name

from tests.fleet.cloud import KEYS, WRITES, Cloud

MADE = re.compile(r"\b(?:sg|lt)-[0-9a-f]{17}\b")  # ids that AWS gives out; every other name is the caller's


class Call(NamedTuple):
    """One API call as the trace shows it."""

    service: str
    action: str
    parameters: Mapping[str, Any]
    answered: bool
    """False: AWS answered with an error, as it does where something is not there yet"""

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return bool(WRITES.match(self.action))


def made_by(cloud: Cloud) -> list[Call]:
    """The calls in the cloud's trace, in order."""
    return [Call(c["service"], c["action"], c["parameters"], c["status"] < 400) for c in cloud.trace()]


def distinct(calls: Sequence[Call]) -> list[Call]:
    """Each call once, where it comes first."""
    first: dict[str, Call] = {}
    for c in calls:
        first.setdefault(json.dumps([c.service, c.action, c.parameters], sort_keys=True), c)
    return list(first.values())


def environment(cloud: Cloud) -> dict[str, str]:
    """What aws-cli and boto3 need to reach the cloud."""
    return {
        **cloud.environment(),
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        **{k.upper(): v for k, v in KEYS.items()},
    }


def by_aws_cli(cloud: Cloud, calls: Sequence[Call]) -> None:
    """Make the calls as a runbook's reader does: one `aws` process after the other.

    Ids that the account gives out are replaced by those that it gave out this time.

    Raises RuntimeError where a call is answered otherwise than in the trace.
    """
    aws = str(Path(sys.executable).with_name("aws"))
    given: dict[str, str] = {}
    for call in calls:
        parameters = MADE.sub(lambda old: given.get(old[0][:2], old[0]), json.dumps(call.parameters))
        command = [aws, call.service, xform_name(call.action, "-"), "--cli-input-json", parameters, "--output", "json"]
        done = subprocess.run(command, env=environment(cloud), capture_output=True, text=True, check=False)
        if (done.returncode == 0) != call.answered:
            raise RuntimeError(
                f"{' '.join(command[1:])} was answered otherwise than in the trace: {done.stderr or done.stdout}"
            )
        if call.action.startswith("Create"):
            given.update((new[:2], new) for new in MADE.findall(done.stdout))


def by_boto3(cloud: Cloud, calls: Sequence[Call], threads: int) -> None:
    """Make the calls in a script of their own (plain.py), which starts, makes its clients and ends.

    Raises CalledProcessError where a call is answered otherwise than in the trace.
    """
    told = json.dumps([[c.service, xform_name(c.action), c.parameters, c.answered] for c in calls])
    script = [sys.executable, str(Path(__file__).with_name("plain.py")), str(threads)]
    subprocess.run(script, env=environment(cloud), input=told, text=True, check=True)
