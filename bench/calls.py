"""The calls of a trace, repeated with one aws-cli process each or by a plain boto3 script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocore import xform_name
from localcloud.testing import is_write

from tests.fleet.cloud import PlaybookCloud

GENERATED_ID = re.compile(r"\b(?:sg|lt)-[0-9a-f]{17}\b")  # every other name is the caller's


class Call(NamedTuple):
    """One API call as the trace shows it."""

    service: str
    action: str
    parameters: Mapping[str, Any]
    succeeded: bool
    """False: AWS answered with an error, such as for a resource that does not exist yet"""

    @property
    def writes(self) -> bool:
        """Whether it is a write."""
        return is_write(self.action)


def made_by(cloud: PlaybookCloud) -> list[Call]:
    """The calls in the cloud's trace, in order."""
    return [Call(c["service"], c["action"], c["parameters"], c["status"] < 400) for c in cloud.calls()]


def distinct(calls: Sequence[Call]) -> list[Call]:
    """Each call once, in the order of their first occurrences."""
    first: dict[str, Call] = {}
    for c in calls:
        first.setdefault(json.dumps([c.service, c.action, c.parameters], sort_keys=True), c)
    return list(first.values())


def environment(cloud: PlaybookCloud) -> dict[str, str]:
    """The environment in which aws-cli and boto3 reach the cloud."""
    return {**cloud.environment, **cloud.playbook_environment()}


def by_aws_cli(cloud: PlaybookCloud, calls: Sequence[Call]) -> None:
    """Make the calls as a reader of the runbook does: one `aws` process after the other.

    Ids that AWS generated in the trace are replaced by those that it generates this time.

    Raises RuntimeError if a call succeeds that failed in the trace, or the reverse.
    """
    aws = str(Path(sys.executable).with_name("aws"))
    ids: dict[str, str] = {}  # prefix -> the id of this time
    for call in calls:
        parameters = GENERATED_ID.sub(lambda old: ids.get(old[0][:2], old[0]), json.dumps(call.parameters))
        command = [aws, call.service, xform_name(call.action, "-"), "--cli-input-json", parameters, "--output", "json"]
        done = subprocess.run(command, env=environment(cloud), capture_output=True, text=True, check=False)
        if (done.returncode == 0) != call.succeeded:
            raise RuntimeError(f"{' '.join(command[1:])} differs from the trace: {done.stderr or done.stdout}")
        if call.action.startswith("Create"):
            ids.update((new[:2], new) for new in GENERATED_ID.findall(done.stdout))


def by_boto3(cloud: PlaybookCloud, calls: Sequence[Call], threads: int) -> None:
    """Make the calls in a process of its own (plain.py), which starts, creates its clients and ends.

    Raises CalledProcessError if a call fails that succeeded in the trace.
    """
    given = json.dumps([[c.service, xform_name(c.action), c.parameters, c.succeeded] for c in calls])
    script = [sys.executable, str(Path(__file__).with_name("plain.py")), str(threads)]
    subprocess.run(script, env=environment(cloud), input=given, text=True, check=True)
