# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of `ghosthands-agent doctor --json` on a host, parsed or rejected. Nothing in it is trusted. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

DOCTOR = "/usr/local/bin/ghosthands-agent doctor --json"  # sudo's path lacks /usr/local/bin on Amazon Linux
HOST_SECONDS = 90.0  # the doctor waits 30 s for the secret, and a few each for Docker, Compose and the worker
MOST_BYTES = 256 * 1024  # two dozen findings are 6 KB
MOST_FINDINGS = 100
MOST_CHARACTERS = 400  # of a sentence
SEVERITIES = ("error", "warning", "info")
Finding = dict[str, Any]


class Output(NamedTuple):
    """What a host printed, or why it printed nothing."""

    text: str
    problem: str = ""


def host(instance: str, output: Output) -> dict[str, Any]:
    """`{instance, findings, problem}`: the findings, or the problem where there are none."""
    if output.problem and not output.text:
        return {"instance": instance, "findings": [], "problem": plain(output.problem)}
    try:
        return {"instance": instance, "findings": parsed(output.text), "problem": ""}
    except ValueError as why:
        more = f" ({output.problem})" if output.problem else ""
        return {"instance": instance, "findings": [], "problem": plain(f"its answer cannot be parsed: {why}{more}")}


def parsed(text: str) -> list[Finding]:
    """The findings, each `{id, severity, ok, detail, remedy}`. Raises ValueError for anything else."""
    if not text.strip():
        raise ValueError("it is empty")
    try:
        answer = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError(f"it is not JSON: {plain(text[:60])!r}") from None
    findings = answer.get("findings") if isinstance(answer, dict) else None
    if not isinstance(findings, list) or not findings:
        raise ValueError("it has no list of findings")
    if len(findings) > MOST_FINDINGS:
        raise ValueError(f"it has {len(findings)} findings")
    return [_finding(each) for each in findings]


def _finding(raw: Any) -> Finding:
    if not isinstance(raw, dict):
        raise ValueError("a finding is not a mapping")
    if not isinstance(name := raw.get("id"), str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        raise ValueError(f"a finding's id is {plain(str(name)[:60])!r}")
    if raw.get("severity") not in SEVERITIES or not isinstance(raw.get("ok"), bool):
        raise ValueError(f"{name} has no severity, or does not say whether it is ok")
    if not isinstance(raw.get("detail"), str) or not isinstance(raw.get("remedy"), str):
        raise ValueError(f"{name} has no detail or no remedy")
    return {
        "id": name,
        "severity": raw["severity"],
        "ok": raw["ok"],
        "detail": plain(raw["detail"]),
        "remedy": plain(raw["remedy"]),
    }


def plain(text: str) -> str:
    """One line for a terminal and a report: printable, and short."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * MOST_CHARACTERS])
    shown = " ".join(shown.split())
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 3]}..."
