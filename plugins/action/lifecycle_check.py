# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a fleet. ../modules/lifecycle_check.py is the documentation."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import read_fleet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    CHECKS,
    CommandLine,
    Host,
    View,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.console import table
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.summary import summary
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils import fleet_report
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars, sentence

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
}


class ActionModule(FleetAction):
    """Runs the checks, prints the findings and writes the report."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/lifecycle_check.py documents."""
        result: Vars = super().run(tmp, task_vars)
        variables, args, settings = self._begin(task_vars or {}, OPTIONS)
        settings = self._expected(settings, args["expect"])
        if unknown := sorted(set(args["wait_for"]) - {"all", *(check.id for check in CHECKS)}):
            raise AnsibleActionFail(f"wait_for names no check: {', '.join(unknown)}. docs/checks.md lists them.")
        of_the_registry = (id for id in args["wait_for"] if id.startswith("registry-") or id in OF_THE_REGISTRY)
        if given := sorted(of_the_registry):
            raise AnsibleActionFail(
                f"wait_for cannot wait for {', '.join(given)}: the registry is handed in and read once. "
                "Repeat both tasks instead (until)."
            )
        playbooks = Path(variables["playbook_dir"])
        site = playbooks.parent / "site.yml"
        command_line = CommandLine(
            playbooks=_relative(playbooks),
            site=_relative(site if site.is_file() else playbooks / "site.yml"),
            inventory=_relative(variables.get("inventory_file") or variables.get("inventory_dir") or "inventory"),
            fleet=variables["inventory_hostname"],
        )
        registry = from_result(args["registry"]) if args["registry"] is not None else None
        hosts = None if args["hosts"] is None else tuple(_host(h) for h in args["hosts"])
        seen: dict[str, Any] = {}

        def look() -> Progress:
            account = self._account(args, attempts=ATTEMPTS)
            fleet = read_fleet(account.start, account.call, settings)
            view = View(settings, fleet, time.time(), command_line, registry, hosts)
            seen.update(view=view, findings=verify(view), calls=seen.get("calls", 0) + account.calls)
            missing = seen["missing"] = self._missing(seen["findings"], args)
            return Progress(not missing, f"waiting for {', '.join(missing[:5])}" if missing else "as wanted")

        if args["wait_for"]:
            host = variables["inventory_hostname"]
            until_done(
                look,
                args["timeout"],
                time.monotonic,
                time.sleep,
                lambda said: self._display.display(f"[{host}] {said}"),
                EVERY_SECONDS,
            )
        else:
            look()
        return self._conclude(result, args, seen)

    @staticmethod
    def _missing(findings: list[Finding], args: Vars) -> list[str]:
        """The ids that are still waited for. A check that is waited for by name and was skipped has not passed yet."""
        if "all" in args["wait_for"]:
            return [
                f.id
                for f in findings
                if not f.ok and (f.severity == "error" or f.severity == args["fail_on"] == "warning")
            ]
        return [f.id for f in findings if f.id in args["wait_for"] and not (f.ok and f.evidence.get("looked", True))]

    @staticmethod
    def _expected(settings: Vars, expect: Vars) -> Vars:
        """The settings with what this task expects instead. Fails on an unknown variable and on a broken rule."""
        expected = {f"fleet_{name}": value for name, value in expect.items()}
        problems = rules.unknown_names(expected, settings) or rules.problems({**settings, **expected})
        if problems:
            raise AnsibleActionFail(f"expect: {sentence(problems)}")
        return {**settings, **expected}

    def _conclude(self, result: Vars, args: Vars, seen: dict[str, Any]) -> Vars:
        view: View = seen["view"]
        drill = [Finding.from_dict(args["drill"])] if args["drill"] else []
        findings: list[Finding] = [*seen["findings"], *drill]
        fleet = summary(view.settings, view.fleet, view.registry_read, view.now)
        failed = [finding for finding in findings if not finding.ok]
        errors, warnings = ([f.id for f in failed if f.severity == severity] for severity in ("error", "warning"))
        result.update(
            changed=False,
            findings=[finding.as_dict() for finding in findings],
            fleet=fleet,
            errors=errors,
            warnings_found=warnings,
            calls=seen["calls"],
        )
        if args["report"]:
            result["report"] = _write(Path(args["report"]), fleet_report.documents(fleet, findings))
        group = view.settings["fleet_group_name"]
        self._display.display("\n".join([f"[{view.command_line.fleet}] {group}", *table(findings)]))
        bad = list(dict.fromkeys([*errors, *(warnings if args["fail_on"] == "warning" else []), *seen["missing"]]))
        if bad and args["fail_on"] != "never":
            where = f" The report: {result['report']}" if args["report"] else ""
            result.update(failed=True, msg=f"{group} is not right: {', '.join(bad)}.{where}")
        return result


def _host(result: Vars) -> Host:
    findings = tuple(result.get("findings") or ())
    return Host(str(result.get("instance", "?")), str(result.get("problem") or ""), findings)


def _relative(path: str | Path) -> str:
    """The path as an operator would type it: relative where it is below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _write(folder: Path, documents: dict[str, str]) -> str:
    """Write each document whole or not at all. Returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
    return str(folder / "report.html")
