# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a fleet. ../modules/lifecycle_check.py is the documentation."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.autoscaling import as_if_launching
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import start_fleet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    CHECKS,
    Host,
    View,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.console import table
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.summary import summary
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils import fleet_report
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import (
    FleetAction,
    Vars,
    command_line,
    sentence,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.site_comparison import start_changes

ATTEMPTS = 10  # AWS may throttle: nothing but time is lost by asking again
EVERY_SECONDS = 5.0
OF_THE_REGISTRY = {"instances-shielded", "instances-idle-shielded"}  # besides those of checks/registry.py
OPTIONS: dict[str, Any] = {
    "expect": {"type": "dict", "default": {}},
    "registry": {"type": "dict"},
    "hosts": {"type": "list", "elements": "dict"},
    "drill": {"type": "dict"},
    "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
    "wait_for": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 600},
    "report": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
}


class Round(NamedTuple):
    """What came of running every check once."""

    view: View
    findings: list[Finding]
    awaited: list[str]
    """Ids of wait_for that have not passed yet."""
    calls: int
    """To AWS, with those of the rounds before."""


class ActionModule(FleetAction):
    """Runs the checks, prints the findings and writes the report."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/lifecycle_check.py documents."""
        result: Vars = super().run(tmp, task_vars)
        variables, args, settings = self._begin(task_vars or {}, OPTIONS)
        settings = _expected(settings, args["expect"])
        _refuse_impossible_wait(args["wait_for"])
        rounds = deque[Round](maxlen=1)

        def check() -> Progress:
            rounds.append(self._round(variables, args, settings, rounds[-1].calls if rounds else 0))
            awaited = ", ".join(rounds[-1].awaited[:5])
            return Progress(not awaited, f"waiting for {awaited}" if awaited else "as it should be")

        def log(text: str) -> None:
            self._display.display(f"[{variables['inventory_hostname']}] {text}")

        if args["wait_for"]:
            until_done(check, args["timeout"], time.monotonic, time.sleep, log, EVERY_SECONDS)
        else:
            check()
        return self._conclude(result, args, rounds[-1])

    def _round(self, variables: Vars, args: Vars, settings: Vars, calls: int) -> Round:
        account = self._account(args, attempts=ATTEMPTS)
        call = as_if_launching(account.call, args["version"]) if args["version"] else account.call
        reading = start_fleet(account.start, call, settings)
        changes = start_changes(self._loader, self._templar, {**variables, **settings}, settings, account.start, call)
        fleet = replace(reading(), changes=changes())
        registry = None if args["registry"] is None else from_result(args["registry"])
        hosts = None if args["hosts"] is None else tuple(_host(host) for host in args["hosts"])
        view = View(settings, fleet, time.time(), command_line(variables), registry, hosts)
        findings = verify(view)
        return Round(view, findings, _awaited(findings, args["wait_for"], args["fail_on"]), calls + account.calls)

    def _conclude(self, result: Vars, args: Vars, last: Round) -> Vars:
        view = last.view
        drill = [Finding.from_dict(args["drill"])] if args["drill"] else []
        findings = [*last.findings, *drill]
        fleet = summary(view.settings, view.fleet, view.registry_read, view.now)
        failed = [finding for finding in findings if not finding.ok]
        errors, warnings = ([f.id for f in failed if f.severity == severity] for severity in ("error", "warning"))
        result.update(
            changed=False,
            findings=[finding.as_dict() for finding in findings],
            fleet=fleet,
            errors=errors,
            warnings_found=warnings,
            calls=last.calls,
        )
        if args["report"]:
            result["report"] = _write(Path(args["report"]), fleet_report.documents(fleet, findings))
        group = view.settings["fleet_group_name"]
        shown = failed if args["version"] else findings
        self._display.display("\n".join([f"[{view.command_line.fleet}] {group}", *table(shown)]))
        bad = list(dict.fromkeys([*errors, *(warnings if args["fail_on"] == "warning" else []), *last.awaited]))
        if bad and args["fail_on"] != "never":
            where = f" The report: {result['report']}" if args["report"] else ""
            result.update(failed=True, msg=f"{group} is not right: {', '.join(bad)}.{where}")
        return result


def _refuse_impossible_wait(ids: list[str]) -> None:
    """Fails where `wait_for` names no check, or one whose values do not change while the task runs."""
    if unknown := sorted(set(ids) - {"all", *(check.id for check in CHECKS)}):
        raise AnsibleActionFail(f"wait_for names no check: {', '.join(unknown)}. docs/checks.md lists them.")
    if of_the_registry := sorted(id for id in ids if id.startswith("registry-") or id in OF_THE_REGISTRY):
        raise AnsibleActionFail(
            f"wait_for cannot wait for {', '.join(of_the_registry)}: the registry is handed in and read once. "
            "Repeat both tasks instead (until)."
        )


def _expected(settings: Vars, expect: Vars) -> Vars:
    """The settings with what this task expects instead. Fails on an unknown variable and on a broken rule."""
    expected = {f"fleet_{name}": value for name, value in expect.items()}
    problems = rules.unknown_names(expected, settings) or rules.problems({**settings, **expected})
    if problems:
        raise AnsibleActionFail(f"expect: {sentence(problems)}")
    return {**settings, **expected}


def _awaited(findings: list[Finding], wait_for: list[str], fail_on: str) -> list[str]:
    """The ids that are still waited for. A check that is waited for by name and was skipped has not passed yet."""
    if "all" in wait_for:
        failing = ("error", "warning") if fail_on == "warning" else ("error",)
        return [f.id for f in findings if not f.ok and f.severity in failing]
    return [f.id for f in findings if f.id in wait_for and not (f.ok and f.evidence.get("looked", True))]


def _host(result: Vars) -> Host:
    findings = tuple(result.get("findings") or ())
    return Host(str(result.get("instance", "?")), str(result.get("problem") or ""), findings)


def _write(folder: Path, documents: dict[str, str]) -> str:
    """Write each document whole or not at all. Returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
    return str(folder / "report.html")
