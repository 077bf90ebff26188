"""aws-cli's own examples: each documented command as it stands there, answered by localcloud.

Ids in the examples are made up, so that AWS would refuse most of them: an error of AWS's is an answer. What is not:
an error 500, or an answer without what the example's output has at its top.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import awscli  # type: ignore[import-untyped]
from awscli.clidriver import create_clidriver  # type: ignore[import-untyped]
from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from tools.peers import report

#: The services that localcloud models, and those whose examples take seconds.
SERVICES = ("autoscaling", "ec2", "ecr", "iam", "kms", "logs", "secretsmanager", "service-quotas", "sts")
QUICK = ("secretsmanager", "service-quotas", "sts")
#: Commands of aws-cli's own, which wait, or need a terminal or files that the examples do not contain.
ELSEWHERE = re.compile(
    r"\bfile(b)?://|<[a-z-]+>|\$[A-Z(]|--cli-input|--outfile|\b(tail|wait|get-login|start-live-tail)\b"
)
_COMMAND = re.compile(r"^    (aws (?:.*\\\n)*.*)$", re.MULTILINE)
_OUTPUT = re.compile(r"Output:+\s*\n\n((?:    .*\n|\n)+)")


def run(quick: bool) -> report.Peer:
    """Run them, one after the other, in this process."""
    peer = report.Peer("aws-cli", version("awscli"), "the commands of its documented examples")
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        settings = {**cloud.environment, "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "", "AWS_EC2_METADATA_DISABLED": "true"}
        with mock.patch.dict(os.environ, settings):
            driver = create_clidriver()
            for service in QUICK if quick else SERVICES:
                cloud.control("reset")
                before = len(peer.cases)
                for name, command, output in _examples(service):
                    _try(peer, driver, name, command, output)
                here = report.Peer(f"  {service}", "", "", peer.cases[before:])
                print(here.line(), flush=True)
    return peer


def _examples(service: str) -> Iterator[tuple[str, str, Any]]:
    """Name, command and documented output of each example of a service."""
    folder = Path(awscli.__file__).parent / "examples" / service
    for page in sorted(folder.glob("*.rst")):
        text = page.read_text()
        commands = list(_COMMAND.finditer(text))
        for number, found in enumerate(commands, 1):
            after = text[found.end() : commands[number].start() if number < len(commands) else len(text)]
            documented = _OUTPUT.search(after)
            yield f"{service} {page.stem} {number}", found.group(1).replace("\\\n", " "), _json(documented)


def _json(documented: re.Match[str] | None) -> Any:
    try:
        return json.loads(documented.group(1)) if documented else None
    except ValueError:
        return None


def _try(peer: report.Peer, driver: Any, name: str, command: str, output: Any) -> None:
    if ELSEWHERE.search(command):
        peer.add(name, "absent", "needs what the example does not contain")
        return
    try:
        arguments = shlex.split(command)[1:]
    except ValueError as problem:
        peer.add(name, "absent", f"no shell command: {problem}")
        return
    for option, value in (("--region", "us-east-1"), ("--output", "json")):
        if option in arguments[:-1]:
            arguments[arguments.index(option) + 1] = value
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch("sys.stdin", io.StringIO()):
        try:
            status = driver.main(arguments)
        except SystemExit as end:
            status = end.code
        except Exception as problem:  # the client's own fault is reported as such
            status, _ = 255, err.write(f"{type(problem).__name__}: {problem}")
    peer.add(name, *_judged(status, out.getvalue(), err.getvalue(), output))


def _judged(status: int, out: str, error: str, documented: Any) -> tuple[report.Outcome, str]:
    if report.REFUSAL in error:
        return "refused", error
    if "InternalFailure" in error or "InternalError" in error or "(5" in error:
        return "fault", error
    if status == 252:  # the client itself refuses the command, before it calls
        return "absent", f"the client refuses its example: {error}"
    if status == 254:  # an error of the service
        return "passed", error
    if status:
        return "fault", error
    try:
        shown = json.loads(out) if out.strip() else {}
    except ValueError:
        return "passed", "not JSON"
    if isinstance(documented, dict) and isinstance(shown, dict) and (missing := _missing(documented, shown)):
        return "fault", f"the answer lacks {', '.join(missing)}"
    return "passed", ""


def _missing(documented: dict[str, Any], shown: dict[str, Any]) -> list[str]:
    """What the example's output has at its top and the answer not; tokens and what may be absent are not missed."""
    return sorted(key for key in documented.keys() - shown.keys() if "Token" not in key and "token" not in key)
