# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a fleet is right, and if not, what to do. ../modules/lifecycle_check.py is the documentation."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import report
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import observe
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, Host, Place, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Look, until_done
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.summary import picture
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars, sentence

ATTEMPTS = 10  # nothing is at stake but time: a busy account is asked again
EVERY_SECONDS = 5.0
GIVEN = {"instances-shielded", "instances-idle-shielded"}  # checks that look at the registry besides its own
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
    """Look, say, and write it down."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/lifecycle_check.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        settings = self._expected(settings, args["expect"])
        if unknown := sorted(set(args["wait_for"]) - {"all", *(check.id for check in CHECKS)}):
            raise AnsibleActionFail(f"wait_for names no check: {', '.join(unknown)}. docs/checks.md lists them.")
        if given := sorted(name for name in args["wait_for"] if name.startswith("registry-") or name in GIVEN):
            raise AnsibleActionFail(
                f"wait_for cannot wait for {', '.join(given)}: the registry is handed in and read once. Repeat both tasks instead (until)."
            )
        place = Place(
            playbooks=_from_here(known["playbook_dir"]),
            inventory=_from_here(known.get("inventory_file") or known.get("inventory_dir") or "inventory"),
            fleet=known["inventory_hostname"],
        )
        registry = from_result(args["registry"]) if args["registry"] is not None else None
        hosts = None if args["hosts"] is None else tuple(_host(h) for h in args["hosts"])
        seen: dict[str, Any] = {}

        def look() -> Look:
            account = self._account(args, attempts=ATTEMPTS)
            fleet = observe(account.start, account.call, settings)
            view = View(settings, fleet, time.time(), place, registry, hosts)
            seen.update(view=view, findings=verify(view), calls=seen.get("calls", 0) + account.calls)
            missing = seen["missing"] = self._missing(seen["findings"], args)
            return Look(not missing, f"waiting for {', '.join(missing[:5])}" if missing else "as wanted")

        if args["wait_for"]:
            host = known["inventory_hostname"]
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
        """The ids that are still waited for. What is waited for by name and was not looked at is not right yet."""
        if "all" in args["wait_for"]:
            return [
                f.id
                for f in findings
                if not f.ok and (f.severity == "error" or f.severity == args["fail_on"] == "warning")
            ]
        return [f.id for f in findings if f.id in args["wait_for"] and not (f.ok and f.evidence.get("looked", True))]

    @staticmethod
    def _expected(settings: Vars, expect: Vars) -> Vars:
        """The settings with what this task expects instead. Fails where it is no variable of a fleet, or breaks a rule of theirs."""
        told = {f"fleet_{name}": value for name, value in expect.items()}
        problems = rules.unknown_names(told, settings) or rules.problems({**settings, **told})
        if problems:
            raise AnsibleActionFail(f"expect: {sentence(problems)}")
        return {**settings, **told}

    def _conclude(self, result: Vars, args: Vars, seen: dict[str, Any]) -> Vars:
        view, findings = (
            seen["view"],
            [*(f.told() for f in seen["findings"]), *([args["drill"]] if args["drill"] else [])],
        )
        fleet = picture(view)
        errors, warnings = (
            [f["id"] for f in findings if not f["ok"] and f["severity"] == severity]
            for severity in ("error", "warning")
        )
        result.update(
            changed=False, findings=findings, fleet=fleet, errors=errors, warnings_found=warnings, calls=seen["calls"]
        )
        if args["report"]:
            result["report"] = _write(Path(args["report"]), report.documents(fleet, findings))
        self._display.display(
            "\n".join([f"[{view.place.fleet}] {view.s['fleet_group_name']}", *report.table(findings)])
        )
        bad = list(dict.fromkeys([*errors, *(warnings if args["fail_on"] == "warning" else []), *seen["missing"]]))
        if bad and args["fail_on"] != "never":
            where = f" The report: {result['report']}" if args["report"] else ""
            result.update(failed=True, msg=f"{view.s['fleet_group_name']} is not right: {', '.join(bad)}.{where}")
        return result


def _host(said: Vars) -> Host:
    return Host(str(said.get("instance", "?")), str(said.get("problem") or ""), tuple(said.get("findings") or ()))


def _from_here(path: str) -> str:
    """As an operator would type it."""
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def _write(folder: Path, documents: dict[str, str]) -> str:
    """Each document whole or not at all; the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
    return str(folder / "report.html")
