# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ghosthands-agent doctor --json` printed on a host, understood or refused. Nothing in it is trusted. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

DOCTOR = (
    "/usr/local/bin/ghosthands-agent doctor --json"  # in full: sudo's own path lacks /usr/local/bin on Amazon Linux
)
HOST_SECONDS = 90.0  # the doctor itself gives the secret 30 s, and docker, compose and the worker a few each
MOST_BYTES = 256 * 1024  # two dozen findings are 6 KB
MOST_FINDINGS = 100
MOST_CHARACTERS = 400  # of a sentence
SEVERITIES = ("error", "warning", "info")
Finding = dict[str, Any]


class Answer(NamedTuple):
    """What a host printed, or why it did not."""

    text: str
    problem: str = ""


def host(instance: str, answer: Answer) -> dict[str, Any]:
    """`{instance, findings, problem}`: findings, or a problem where there are none to be had."""
    if answer.problem and not answer.text:
        return {"instance": instance, "findings": [], "problem": plain(answer.problem)}
    try:
        return {"instance": instance, "findings": understood(answer.text), "problem": ""}
    except ValueError as why:
        said = f" ({answer.problem})" if answer.problem else ""
        return {"instance": instance, "findings": [], "problem": plain(f"its answer cannot be understood: {why}{said}")}


def understood(text: str) -> list[Finding]:
    """The findings, each `{id, severity, ok, detail, remedy}`. Raises ValueError where they are not what a doctor says."""
    if not text.strip():
        raise ValueError("it is empty")
    try:
        said = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError(f"it is no JSON but {plain(text[:60])!r}") from None
    findings = said.get("findings") if isinstance(said, dict) else None
    if not isinstance(findings, list) or not findings:
        raise ValueError("it holds no list of findings")
    if len(findings) > MOST_FINDINGS:
        raise ValueError(f"it holds {len(findings)} findings")
    return [_finding(each) for each in findings]


def _finding(said: Any) -> Finding:
    if not isinstance(said, dict):
        raise ValueError("a finding is no mapping")
    if not isinstance(name := said.get("id"), str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        raise ValueError(f"a finding's id is {plain(str(name)[:60])!r}")
    if said.get("severity") not in SEVERITIES or not isinstance(said.get("ok"), bool):
        raise ValueError(f"{name} has no severity, or does not say whether it is ok")
    if not isinstance(said.get("detail"), str) or not isinstance(said.get("remedy"), str):
        raise ValueError(f"{name} has no detail or no remedy")
    return {
        "id": name,
        "severity": said["severity"],
        "ok": said["ok"],
        "detail": plain(said["detail"]),
        "remedy": plain(said["remedy"]),
    }


def plain(text: str) -> str:
    """One line for a terminal and a report: printable, and short."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * MOST_CHARACTERS])
    shown = " ".join(shown.split())
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 3]}..."
