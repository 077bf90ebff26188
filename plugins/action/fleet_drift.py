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
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.launch import rolled_out_image, start_launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import (
    start_forecast,
    start_prerequisites,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import creation, launch, path, preflight
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.rollout import Inputs as RolloutInputs
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.rollout import before_rollout
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import adoption
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.desired import rollout_image
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.ec2_launch_template import (
    version_description,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import TAG
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import (
    CONNECTION,
    FleetAction,
    Vars,
    command_line,
    sentence,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.site_comparison import (
    Compared,
    SiteComparison,
    site_ids,
)

OPTIONS: dict[str, Any] = {
    "playbook": {"type": "str", "default": "site.yml"},
    "forecast": {"type": "bool", "default": False},
    "rollout": {"type": "bool", "default": False},
}
TEMPLATE = "amazon.aws.ec2_launch_template"
ROLLED_OUT = "launch_template"  # the section whose change a rollout brings to the instances
LOCAL = "ansible.builtin."  # modules that change this machine alone
OPERATOR_POLICY = Path(__file__).parents[2] / "docs" / "iam" / "operator.json"
# The playbooks that have to run before one that runs alone.
REQUIRED_SECTIONS = {
    "launch_template": {"iam", "security_group"},
    "autoscaling_group": {"launch_template"},
    "lifecycle_hook": {"autoscaling_group"},
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
        if args["rollout"]:
            s["fleet_image"] = known["fleet_image"] = rollout_image(s["fleet_image"], s["fleet_worker_image"])
        try:
            tasks, mine, found, findings, drift = self._compare_site(known, args, s, account)
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        whole_site = bool(known.get("__fleet_whole_site"))
        reported = [t for t in tasks if t.difference and (whole_site or t.section == mine)]
        host = known["inventory_hostname"]
        if (foreign := [t for t in tasks if t.is_foreign]) and (check or not s["fleet_adopt"]):
            self._show_plan(host, foreign, tasks, found)
        if foreign and not s["fleet_adopt"]:
            raise AnsibleActionFail(_adoption_wanted(foreign, s))
        # A rollout that is under way goes on with its own version, whatever another one would be made of.
        goes_on = args["rollout"] and found.group is not None and TAG in found.group.tags
        if not goes_on:
            self._stop(findings, mine)
        if mine and not check:
            self._require_other_sections(tasks, mine)
        diffs = [t.diff() for t in reported]
        result.update(
            changed=check and bool(reported),
            plays=sorted({t.play for t in tasks if not check and not goes_on and (t.difference or s["fleet_force"])}),
            differs=[t.as_dict() for t in reported],
            findings=[f.as_dict() | {"needed_by": sorted(f.needed_by)} for f in findings],
            calls=account.calls,
            seconds=round(time.monotonic() - began, 2),
            **drift,
            **({"diff": diffs} if check else {}),
        )
        verdict = "Up to date." if whole_site or mine else "Nothing prevents a run."
        self._show(host, result, reported, findings, verdict)
        if self._task.diff and not check:
            self._show_diffs(diffs)
        return result

    def _compare_site(
        self, known: Vars, args: Vars, s: Vars, account: Account
    ) -> tuple[list[Compared], str, Prerequisites, list[Finding], Vars]:
        """(the tasks, this play's section, what exists, the findings, what the tasks use). Raises AwsError."""
        prerequisites = start_prerequisites(account.start, account.call, s, args["forecast"])
        line = command_line(known)
        forecast = None
        if args["forecast"]:
            policy = json.loads(OPERATOR_POLICY.read_text(encoding="utf-8"))
            forecast = start_forecast(account.start, account.call, s, policy)
        site = SiteComparison(self._loader, self._templar)
        tasks = site.start(Path(known["playbook_dir"]) / args["playbook"], known, account.start, account.call)
        self._check_other_fleets(known, account, s)
        mine = next((t.section for t in tasks if t.play == known["ansible_play_name"]), "")
        mine = ROLLED_OUT if args["rollout"] else mine
        found = prerequisites()
        drift: Vars = {"ids": site_ids(s, found)}
        if args["rollout"]:
            drift["ids"]["worker_image"] = rolled_out_image(account.call, s)
        site.compare(known, tasks, drift)
        if template := next((t for t in tasks if t.module == TEMPLATE), None):
            drift["version_description"] = version_description(template.found, template.difference)
            made = drift["given"].get(template.task["register"], {}).get("latest_version", 0)
            if found.latest_version and made > found.latest_version:  # by this run
                found = replace(found, latest_version=made, pending=True)
        launching = not mine or mine in preflight.LAUNCHES
        changes = found.group is not None and any(_changes_launches(t) for t in tasks)
        ahead = launching and (changes or launch.is_first(s, found))
        read = start_launch(account.start, account.call, account.call_now, s)() if ahead or forecast else None
        if forecast and read:
            self._show_steps(known["inventory_hostname"], path.steps(s, found, read, line))
        fly = shutil.which("fly") is not None or shutil.which("flyctl") is not None
        findings = preflight.before_anything(s, found, fly)
        findings += creation.before_creation(s, found, forecast(), _valets_policy(tasks)) if forecast else []
        findings += launch.before_launch(launch.Inputs(s, found, read, ahead, line))
        if args["rollout"]:
            hooks = autoscaling.hooks(account.call, s["fleet_group_name"])
            me, bare = found.caller.account, found.without_agent
            inputs = RolloutInputs(s, me, found.group, hooks, line, new_image=found.image, without_agent=bare)
            findings += [f._replace(needed_by=frozenset({mine})) for f in before_rollout(inputs)]
        return tasks, mine, found, findings, drift

    def _check_other_fleets(self, known: Vars, account: Account, s: Vars) -> None:
        """Fails where another fleet of this run has a resource of this fleet."""
        me, hosts = known["inventory_hostname"], known.get("ansible_play_hosts_all", [])
        names = ("fleet_region", *(f"fleet_{c}" for c in CONNECTION), *rules.UNIQUE)
        for host in hosts:
            if host == me:
                continue
            try:
                other = {name: known["hostvars"][host].get(name) for name in names}
            except AnsibleError:  # one of that fleet's variables cannot be filled in, which its own run reports
                continue
            shared = rules.shared_names(s, other)
            if shared and self._same_account(account, other, s):
                what = f"{me} and {host} are in one account and share {', '.join(shared)}."
                raise AnsibleActionFail(f"{what} Give one of them another fleet_name.")

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

    # --- what is shown ----------------------------------------------------------------------------------------------

    @staticmethod
    def _stop(findings: list[Finding], mine: str) -> None:
        """Fails with the errors that stop this playbook; any error stops preflight and site.yml."""
        if errors := [str(f) for f in findings if f.severity == "error" and (not mine or mine in f.needed_by)]:
            raise AnsibleActionFail(sentence(errors))

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

    def _show_steps(self, host: str, steps: list[path.Step]) -> None:
        """README's path, and the next step's commands."""
        lines = [str(step) for step in steps]
        lines += [f"next: {command}" for step in steps if step.state == path.NEXT for command in step.commands]
        self._display.display("\n".join(f"[{host}] {line}" for line in lines))

    def _show_plan(self, host: str, foreign: list[Compared], tasks: list[Compared], found: Prerequisites) -> None:
        """What adopting would change of resources that somebody else made."""
        show, aws = self._display.display, [t for t in tasks if t.difference and not t.module.startswith(LOCAL)]
        show(f"[{host}] Not made by this kit: {_resources(foreign)}. Adopting would change:")
        for line in adoption.plan([t.planned() for t in aws], found.group, found.without_agent):
            show(f"[{host}]   {line}", color=C.COLOR_CHANGED)

    def _show_diffs(self, diffs: list[Vars]) -> None:
        """As a callback shows a changed task: this task changes nothing, it runs before those that do."""
        for d in diffs:
            lines = difflib.unified_diff(
                d["before"].splitlines(), d["after"].splitlines(), d["before_header"], d["after_header"], lineterm=""
            )
            self._display.display("\n".join(lines))


def _changes_launches(task: Compared) -> bool:
    """Whether the task changes what an existing group launches instances from."""
    before, after = task.difference or ({}, {})
    return bool(before | after if task.section == "launch_template" else "launch_template" in before | after)


def _resources(tasks: list[Compared]) -> str:
    return listed(list(dict.fromkeys(task.resource for task in tasks)))


def _adoption_wanted(foreign: list[Compared], s: Vars) -> str:
    return (
        f"This kit did not make {_resources(foreign)}: the tag {KEY}={VALUE} is missing. Nothing was changed. "
        "Above is what would change of them, and which variable keeps it. To adopt them, which ends no instance: "
        f"-e fleet_adopt={s['fleet_group_name']} (with --check --diff it only shows it). Or give this fleet another "
        "fleet_name."
    )


def _valets_policy(tasks: list[Compared]) -> Any:
    """The document of VALET's policy, as it is in force."""
    policies = [t.reading.result() for t in tasks if t.module == "amazon.aws.iam_managed_policy" and t.reading]
    return policies[0]["Document"] if policies and policies[0] else None
