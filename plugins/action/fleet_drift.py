# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site's own tasks would change: their arguments, filled in, compared with the account, which is read once.

Runs in the controller's own process, with its Python, credentials and environment; ../modules/fleet_drift.py is the
documentation.
"""

from __future__ import annotations

import difflib
import gc
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.modules import READERS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import (
    start_forecast,
    start_prerequisites,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import creation, preflight
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import Difference, compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import COMPARISONS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.tasks import SiteTask, site_tasks
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    repositories,
    service_principal,
    through_secrets_manager,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import (
    CONNECTION,
    FleetAction,
    Vars,
    sentence,
)

OPTIONS: dict[str, Any] = {
    "playbook": {"type": "str", "default": "site.yml"},
    "forecast": {"type": "bool", "default": False},
}
OPERATOR_POLICY = Path(__file__).parents[2] / "docs" / "iam" / "operator.json"
# The playbooks that have to run before one that runs alone.
REQUIRED_SECTIONS = {
    "launch_template": {"iam", "security_group"},
    "autoscaling_group": {"launch_template"},
    "lifecycle_hook": {"autoscaling_group"},
}


@dataclass
class Compared(SiteTask):
    """One task, or one iteration of its loop, and how it compares with the account."""

    item: Vars = field(default_factory=dict)
    """the loop variable; empty: no loop"""
    reading: Future[Any] | None = None
    found: Any = None
    """the resource; None: it does not exist, or was not read"""
    difference: Difference | None = None

    @property
    def name(self) -> str:
        """The task's name, with its loop item."""
        return f"{self.task.get('name', self.module)}" + "".join(f" ({v})" for v in self.item.values())

    @property
    def is_missing(self) -> bool:
        """Whether the task would create something that does not exist."""
        before, after = self.difference or ({}, {})
        return bool(after) and not before and self.found is None and after.get("state") != "absent"

    def variables(self, known: Vars) -> Vars:
        """What the task's arguments and conditions may use."""
        return {**known, **self.task.get("vars", {}), **self.item}

    def as_dict(self) -> Vars:
        """For the result."""
        before, after = self.difference or ({}, {})
        return {
            "section": self.section,
            "play": self.play,
            "task": self.name,
            "parameters": sorted(before | after),
            "missing": self.found is None,
        }

    def diff(self) -> Vars:
        """For `--diff`."""
        before, after = ({}, {"hidden": "no_log"}) if self.task.get("no_log") else self.difference or ({}, {})
        return {
            "before_header": self.name,
            "after_header": self.name,
            "before": _json(before),
            "after": _json(after),
        }


class ActionModule(FleetAction):
    """Compare the site's tasks with the account."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_drift.py documents."""
        result: Vars = super().run(tmp, task_vars)
        began = time.monotonic()
        # This process is a fork that ends with its task; collecting garbage took a fifth of its time (104 of 530 ms).
        gc.disable()
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account, check = self._account(args), bool(self._task.check_mode)
        try:
            tasks, mine, findings, drift = self._compare_site(known, args, s, account)
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        whole_site = bool(known.get("__fleet_whole_site"))
        reported = [t for t in tasks if t.difference and (whole_site or t.section == mine)]
        if mine and not check:
            self._require_other_sections(tasks, mine)
        diffs = [t.diff() for t in reported]
        result.update(
            changed=check and bool(reported),
            plays=sorted({t.play for t in tasks if not check and (t.difference or s["fleet_force"])}),
            differs=[t.as_dict() for t in reported],
            findings=[f.as_dict() | {"needed_by": sorted(f.needed_by)} for f in findings],
            calls=account.calls,
            seconds=round(time.monotonic() - began, 2),
            **drift,
            **({"diff": diffs} if check else {}),
        )
        verdict = "Up to date." if whole_site or mine else "Nothing prevents a run."
        self._show(known["inventory_hostname"], result, reported, findings, verdict)
        if self._task.diff and not check:
            self._show_diffs(diffs)
        return result

    def _compare_site(
        self, known: Vars, args: Vars, s: Vars, account: Account
    ) -> tuple[list[Compared], str, list[Finding], Vars]:
        """(the tasks, this play's section, the findings, what the tasks use of the reading). Raises AwsError."""
        prerequisites = start_prerequisites(account.start, account.call, s, args["forecast"])
        forecast = None
        if args["forecast"]:
            policy = json.loads(OPERATOR_POLICY.read_text(encoding="utf-8"))
            forecast = start_forecast(account.start, account.call, s, policy)
        tasks = self._start_reading(account, known, Path(known["playbook_dir"]) / args["playbook"])
        secret_is_created_elsewhere = self._check_other_fleets(known, account, s)
        mine = next((t.section for t in tasks if t.play == known["ansible_play_name"]), "")
        found = prerequisites()
        more = creation.before_creation(s, found, forecast(), _valets_policy(tasks)) if forecast else []
        findings = self._findings(s, found, mine, more)
        secret_exists = found.secret is not None or secret_is_created_elsewhere
        drift: Vars = {"ids": {**_ids(s, found), "secret_exists": secret_exists}, "given": {}}
        known["__fleet_drift"] = drift
        self._compare(known, tasks)
        return tasks, mine, findings, drift

    def _check_other_fleets(self, known: Vars, account: Account, s: Vars) -> bool:
        """Whether another fleet of this run creates the secret that both use.

        Fails where another fleet of this run has a resource of this fleet.
        """
        me, hosts, created = known["inventory_hostname"], known.get("ansible_play_hosts_all", []), False
        names = (
            "fleet_region",
            "fleet_secret_name",
            "fleet_secret_create",
            *(f"fleet_{c}" for c in CONNECTION),
            *rules.UNIQUE,
        )
        for host in hosts:
            if host == me:
                continue
            try:
                other = {name: known["hostvars"][host].get(name) for name in names}
            except AnsibleError:  # one of that fleet's variables cannot be filled in, which its own run reports
                continue
            shared = rules.shared_names(s, other)
            same_secret = s["fleet_secret_create"] and all(
                other[name] == s[name] for name in ("fleet_region", "fleet_secret_name")
            )
            if not (shared or same_secret) or not self._same_account(account, other, s):
                continue
            if shared:
                what = f"{me} and {host} are in one account and share {', '.join(shared)}."
                raise AnsibleActionFail(f"{what} Give one of them another fleet_name.")
            created = created or (hosts.index(host) < hosts.index(me) and bool(other["fleet_secret_create"]))
        return created

    @staticmethod
    def _same_account(account: Account, other: Vars, s: Vars) -> bool:
        if (other["fleet_endpoint_url"] or "") != s["fleet_endpoint_url"]:
            return False
        if all((other[name] or "") == s[name] for name in ("fleet_profile", "fleet_access_key")):
            return True
        try:
            others = Account(*(str(other[f"fleet_{c}"] or "") for c in CONNECTION))
            return bool(caller(others.call).account == caller(account.call).account)
        except AwsError:  # that fleet's account cannot be read, which its own run reports
            return False

    # --- the tasks --------------------------------------------------------------------------------------------------

    def _start_reading(self, account: Account, known: Vars, playbook: Path) -> list[Compared]:
        """The site's tasks, every loop unrolled, each with its reading under way."""
        tasks = []
        for site_task in site_tasks(self._load, playbook):
            for item in self._items(known, site_task.task):
                one = Compared(**vars(site_task), item=item)
                tasks.append(one)
                if one.module in READERS and self._runs(known, one) is not False:
                    reader = READERS[one.module]
                    written = {k: v for k, v in one.task[one.module].items() if k in reader.identity}
                    identity, _unknown = self._filled(known, one, written)
                    one.reading = reader.start(account.start, account.call, identity)
        return tasks

    def _load(self, path: Path) -> Any:
        return self._loader.load_from_file(str(path), trusted_as_template=True)

    def _items(self, known: Vars, task: Mapping[str, Any]) -> Iterator[Vars]:
        if "loop" not in task:
            yield {}
            return
        name = (task.get("loop_control") or {}).get("loop_var", "item")
        for item in self._fill({**known, **task.get("vars", {})}, task["loop"]):
            yield {name: item}

    def _filled(self, known: Vars, one: Compared, arguments: Vars) -> tuple[Vars, list[str]]:
        """(the arguments whose value is known already, the names of the others). Fails where one is wrong."""
        values, unknown = dict[str, Any](), list[str]()
        for name, value in arguments.items():
            try:
                values.update(self._fill(one.variables(known), {name: value}))
            except AnsibleUndefinedVariable:
                unknown.append(name)
        return values, unknown

    def _runs(self, known: Vars, one: Compared) -> bool | None:
        """Whether the task's conditions are true; None where that is not known yet."""
        conditions = one.task.get("when", [])
        self._templar.available_variables = one.variables(known)
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            try:
                if not self._templar.evaluate_conditional(condition):
                    return False
            except AnsibleUndefinedVariable:
                return None
        return True

    # --- the comparison ---------------------------------------------------------------------------------------------

    def _compare(self, known: Vars, tasks: list[Compared]) -> None:
        given = known["__fleet_drift"]["given"]
        for one in tasks:
            runs = self._runs(known, one)
            if runs is False:
                continue
            one.difference = self._difference(known, one, runs)
            # As in a real run, later tasks use what this one registers.
            if "register" in one.task and one.found is not None and not one.item:
                before, after = one.difference or ({}, {})
                outputs = dict(COMPARISONS[one.module].outputs(one.found, frozenset(before | after)))
                given[one.task["register"]] = known[one.task["register"]] = outputs

    def _difference(self, known: Vars, one: Compared, runs: bool | None) -> Difference | None:
        if one.module not in COMPARISONS:
            return {}, {"no comparison known": one.module}
        found = one.reading.result() if one.reading else None
        if runs is None:
            return {}, {"unknown until applied": "whether it runs"}
        comparison, arguments = COMPARISONS[one.module], dict(one.task[one.module])
        try:
            p = self._fill(one.variables(known), arguments)
        except AnsibleUndefinedVariable:
            values, unknown = self._filled(known, one, arguments)
            one.found = None if isinstance(found, list) else found
            return {}, {**(values if found is None else {}), "unknown until applied": ", ".join(unknown)}
        one.found = comparison.select(found, p) if found is not None else None
        return compare(comparison, p, one.found)

    # --- what is shown ----------------------------------------------------------------------------------------------

    @staticmethod
    def _findings(s: Vars, found: Prerequisites, mine: str, more: list[Finding]) -> list[Finding]:
        """Every finding. Fails with the errors that stop this playbook; any error stops preflight and site.yml."""
        fly = shutil.which("fly") is not None or shutil.which("flyctl") is not None
        findings = [*preflight.before_anything(s, found, fly), *more]
        if errors := [str(f) for f in findings if f.severity == "error" and (not mine or mine in f.needed_by)]:
            raise AnsibleActionFail(sentence(errors))
        return findings

    @staticmethod
    def _require_other_sections(tasks: list[Compared], mine: str) -> None:
        required = REQUIRED_SECTIONS.get(mine, set())
        missing = list(dict.fromkeys(f"{t.section}.yml" for t in tasks if t.section in required and t.is_missing))
        if missing:
            create, which = ("create", "these") if len(missing) > 1 else ("creates", "that one")
            needed = f"{mine}.yml needs what {' and '.join(missing)} {create}."
            raise AnsibleActionFail(f"{needed} Run site.yml, or {which} first.")

    def _show(self, host: str, result: Vars, reported: list[Compared], findings: list[Finding], verdict: str) -> None:
        show, sections = self._display.display, list(dict.fromkeys(t.section for t in reported))
        summary = f"Differs from the account: {', '.join(sections)}." if sections else verdict
        show(f"[{host}] {result['calls']} calls, {result['seconds']} s. {summary}")
        for one in reported:
            before, after = one.difference or ({}, {})
            what = "does not exist" if not before and one.found is None else ", ".join(sorted(before | after))
            show(f"[{host}]   {one.section}: {one.name}: {what}", color=C.COLOR_CHANGED)
        for f in findings:
            show(f"[{host}] {f.severity}: {f}", color=C.COLOR_WARN if f.severity == "warning" else None)

    def _show_diffs(self, diffs: list[Vars]) -> None:
        """As a callback shows a changed task: this task changes nothing, it runs before those that do."""
        for d in diffs:
            lines = difflib.unified_diff(
                d["before"].splitlines(), d["after"].splitlines(), d["before_header"], d["after_header"], lineterm=""
            )
            self._display.display("\n".join(lines))


def _valets_policy(tasks: list[Compared]) -> Any:
    """The document of VALET's policy, as it is in force."""
    policies = [t.reading.result() for t in tasks if t.module == "amazon.aws.iam_managed_policy" and t.reading]
    return policies[0]["Document"] if policies and policies[0] else None


def _ids(s: Vars, found: Prerequisites) -> Vars:
    """What the tasks use as __fleet_drift.ids.*"""
    me = found.caller
    registry = f"{me.account}.dkr.ecr.{s['fleet_region']}.{me.dns_suffix}"
    return {
        "account": me.account,
        "partition": me.partition,
        "vpc": found.vpc,
        "subnets": [subnet.id for subnet in found.subnets],
        "image": found.image.id if found.image else "",
        "repositories": list(
            repositories(
                me.partition, s["fleet_region"], me.account, s["fleet_repository_name"], s["fleet_worker_image"]
            )
        ),
        "secret_key": found.secret.key if found.secret else "",
        "secret_services": list(through_secrets_manager(me.partition, s["fleet_region"])),
        "ec2_service": service_principal("ec2", me.partition),
        "worker_image": s["fleet_worker_image"] or f"{registry}/{s['fleet_repository_name']}:latest",
        "pinned_version": found.group.template_version if found.group else "",
        "group_exists": found.group is not None,
        "role_exists": found.role_exists,
        "key_pair_exists": found.key_pair_exists,
        "user_has_key": found.user_has_access_key,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n" if value else ""
