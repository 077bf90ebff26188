# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site's own tasks would change: their arguments, filled in, against the account, read once.

Runs in the controller's own process, with its Python, credentials and environment; ../modules/fleet_drift.py is the documentation.
"""

from __future__ import annotations

import difflib
import gc
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account, AccountError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import creation, preflight
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Difference, compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import RESOURCES
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Surroundings
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import (
    CONNECTION,
    FleetAction,
    Vars,
    sentence,
)

OPTIONS: dict[str, Any] = {
    "playbook": {"type": "str", "default": "site.yml"},
    "outlook": {"type": "bool", "default": False},
}
OPERATOR = Path(__file__).parents[2] / "docs" / "iam" / "operator.json"
KEYWORDS = set(
    "name register vars when loop loop_control no_log tags diff until retries delay throttle changed_when".split()
)  # understood
PLAY_KEYWORDS = {"name", "hosts", "gather_facts", "connection", "module_defaults", "vars", "tags", "tasks"}
CHANGES_NOTHING = {
    "ansible.builtin.meta",
    "ansible.builtin.debug",
    "ansible.builtin.assert",
    "wekruit.ghosthands.fleet_drift",
}
# What a playbook run alone needs from the ones before it.
NEEDS = {
    "launch_template": {"iam", "security_group"},
    "autoscaling_group": {"launch_template"},
    "lifecycle_hook": {"autoscaling_group"},
}


@dataclass
class Wanted:
    """One task (one round of its loop), as it stands in its playbook."""

    section: str
    """its playbook: iam, launch_template, ..."""
    play: str
    task: Mapping[str, Any]
    module: str
    """or, where the task has what cannot be compared, that"""
    item: Vars
    answer: Future[Any] | None = None
    raw: Any = None
    difference: Difference | None = None

    @property
    def name(self) -> str:
        """The task's name, with its loop item."""
        return f"{self.task.get('name', self.module)}" + "".join(f" ({v})" for v in self.item.values())


class ActionModule(FleetAction):
    """Compare the site's tasks with the account."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_drift.py documents."""
        result: Vars = super().run(tmp, task_vars)
        began = time.monotonic()
        gc.disable()  # this process is a fork that ends with its task; looking for garbage took a fifth of its time (104 of 530 ms)
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account = self._account(args)
        try:
            around = read.surroundings(account.start, account.call, s)
            ahead = self._ahead(account, s) if args["outlook"] else None
            wanted = self._asked(account, known, self._site(Path(known["playbook_dir"]) / args["playbook"]))
            secret_is_made_elsewhere = self._beside_other_fleets(known, account, s)
            found = around()
            site, mine = (
                bool(known.get("__fleet_whole_site")),
                next((w.section for w in wanted if w.play == known["ansible_play_name"]), ""),
            )
            findings = self._stand(
                s, found, mine, ahead and creation.before_creation(s, found, ahead(), _valets_policy(wanted))
            )
            drift: Vars = {
                "ids": {**_ids(s, found), "secret_exists": found.secret is not None or secret_is_made_elsewhere},
                "given": {},
            }
            known["__fleet_drift"] = drift
            self._compare(known, wanted)
        except AccountError as error:
            raise AnsibleActionFail(str(error)) from None
        check, reported = (
            bool(self._task.check_mode),
            [w for w in wanted if w.difference and (site or w.section == mine)],
        )
        if mine and not check:
            self._needs_others(wanted, mine)
        plays = {w.play for w in wanted if not check and (w.difference or s["fleet_force"])}
        diffs = [_diff(w) for w in reported]
        result.update(
            changed=check and bool(reported),
            plays=sorted(plays),
            differs=[_in_words(w) for w in reported],
            findings=[f.as_dict() | {"needed_by": sorted(f.needed_by)} for f in findings],
            calls=account.calls,
            seconds=round(time.monotonic() - began, 2),
            **drift,
            **({"diff": diffs} if check else {}),
        )
        verdict = "As wanted." if site or mine else "Nothing stands in the way."
        self._tell(known["inventory_hostname"], result, reported, findings, verdict)
        if self._task.diff and not check:
            self._show(diffs)
        return result

    def _beside_other_fleets(self, known: Vars, account: Account, s: Vars) -> bool:
        """No other fleet of this run may own what this one owns. Returns whether one before this makes the secret that they share."""
        me, hosts, made = known["inventory_hostname"], known.get("ansible_play_hosts_all", []), False
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
            except AnsibleError:  # a variable of theirs cannot be filled in, and that fleet will say so itself
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
            made = made or (hosts.index(host) < hosts.index(me) and bool(other["fleet_secret_create"]))
        return made

    @staticmethod
    def _same_account(account: Account, other: Vars, s: Vars) -> bool:
        if (other["fleet_endpoint_url"] or "") != s["fleet_endpoint_url"]:
            return False
        if all((other[name] or "") == s[name] for name in ("fleet_profile", "fleet_access_key")):
            return True
        try:
            theirs = Account(*(str(other[f"fleet_{c}"] or "") for c in CONNECTION))
            return bool(read.caller(theirs.call).account == read.caller(account.call).account)
        except AccountError:  # that fleet cannot be reached, and will say so itself
            return False

    # --- the tasks -----------------------------------------------------------------------------------------------------------

    def _site(self, path: Path) -> Iterator[Wanted]:
        """Everything in the site's playbooks that may change something, in order."""
        for entry in self._loader.load_from_file(str(path), trusted_as_template=True):
            if "ansible.builtin.import_playbook" in entry:
                yield from self._site(path.parent / entry["ansible.builtin.import_playbook"])
                continue
            odd = sorted(entry.keys() - PLAY_KEYWORDS)
            if odd:
                yield Wanted(path.stem, entry.get("name", "?"), {"name": "This play"}, f"keyword {', '.join(odd)}", {})
            for task in entry.get("tasks", []):
                if task.get("ansible.builtin.import_tasks") in ("tasks/compare.yml", "tasks/read.yml"):
                    continue
                words = sorted(task.keys() - KEYWORDS)
                if words and words[0] in CHANGES_NOTHING and len(words) == 1:
                    continue
                yield Wanted(
                    path.stem, entry["name"], task, words[0] if len(words) == 1 else f"keywords {', '.join(words)}", {}
                )

    def _asked(self, account: Account, known: Vars, tasks: Iterator[Wanted]) -> list[Wanted]:
        """The tasks, every loop unrolled, each with its question to the account under way. Questions come before comparisons."""
        wanted = []
        for w in tasks:
            for item in self._items(known, w.task):
                one = Wanted(w.section, w.play, w.task, w.module, item)
                wanted.append(one)
                if one.module in RESOURCES and self._runs(known, one) is not False:
                    one.answer = account.start(_read, account, one.module, self._names(known, one))
        return wanted

    def _items(self, known: Vars, task: Mapping[str, Any]) -> list[Vars]:
        if "loop" not in task:
            return [{}]
        name = (task.get("loop_control") or {}).get("loop_var", "item")
        return [{name: x} for x in self._fill({**known, **task.get("vars", {})}, task["loop"])]

    def _names(self, known: Vars, w: Wanted) -> Vars:
        """The arguments that name the thing, as far as they can be told before the account has answered."""
        told, _unknown = self._told(
            known, w, {k: v for k, v in w.task[w.module].items() if RESOURCES[w.module].says.get(k) is None}
        )
        return told

    def _told(self, known: Vars, w: Wanted, arguments: Vars) -> tuple[Vars, list[str]]:
        """(those of the arguments that are known already, the names of the others). Fails where one is wrong, before anything is made."""
        told, unknown = dict[str, Any](), list[str]()
        for name, value in arguments.items():
            try:
                told.update(self._fill({**known, **w.task.get("vars", {}), **w.item}, {name: value}))
            except AnsibleUndefinedVariable:
                unknown.append(name)
        return told, unknown

    def _runs(self, known: Vars, w: Wanted) -> bool | None:
        """Whether the task's conditions hold; None where that cannot be told yet."""
        conditions = w.task.get("when", [])
        self._templar.available_variables = {**known, **w.task.get("vars", {}), **w.item}
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            try:
                if not self._templar.evaluate_conditional(condition):
                    return False
            except AnsibleUndefinedVariable:
                return None
        return True

    # --- the comparison --------------------------------------------------------------------------------------------------------

    def _compare(self, known: Vars, wanted: list[Wanted]) -> None:
        given = known["__fleet_drift"]["given"]
        for w in wanted:
            runs = self._runs(known, w)
            if runs is False:
                continue
            raw = w.answer.result() if w.answer else None
            w.difference = self._difference(known, w, raw, runs)
            if (
                "register" in w.task and w.raw is not None and not w.item
            ):  # later tasks name this one's result, as they would in a real run
                changed = frozenset(w.difference[0] | w.difference[1]) if w.difference else frozenset()
                given[w.task["register"]] = known[w.task["register"]] = dict(RESOURCES[w.module].gives(w.raw, changed))

    def _difference(self, known: Vars, w: Wanted, raw: Any, runs: bool | None) -> Difference | None:
        if w.module not in RESOURCES:
            return {}, {"no comparison known": w.module}
        if runs is None:
            return {}, {"unknown until applied": "whether it runs"}
        resource = RESOURCES[w.module]
        try:
            p = self._fill({**known, **w.task.get("vars", {}), **w.item}, dict(w.task[w.module]))
        except AnsibleUndefinedVariable:
            told, unknown = self._told(known, w, dict(w.task[w.module]))
            w.raw = raw if isinstance(raw, Mapping) else None
            return {}, {**(told if raw is None else {}), "unknown until applied": ", ".join(unknown)}
        w.raw = resource.among(raw, p) if raw is not None else None
        return compare(resource, p, w.raw)

    # --- what is said ------------------------------------------------------------------------------------------------------------

    @staticmethod
    def _ahead(account: Account, s: Vars) -> Callable[[], Forecast]:
        return read.outlook(account.start, account.call, s, json.loads(OPERATOR.read_text(encoding="utf-8")))

    def _stand(self, s: Vars, around: Surroundings, mine: str, more: list[Finding] | None) -> list[Finding]:
        """The findings; fails with the errors that stop this run. Preflight and the whole site heed all."""
        fly = shutil.which("fly") is not None or shutil.which("flyctl") is not None
        findings = [*preflight.before_anything(s, around, fly), *(more or [])]
        if stopping := [str(f) for f in findings if f.severity == "error" and (not mine or mine in f.needed_by)]:
            raise AnsibleActionFail(sentence(stopping))
        return findings

    @staticmethod
    def _needs_others(wanted: list[Wanted], mine: str) -> None:
        needed = NEEDS.get(mine, set())
        if missing := [
            w
            for w in wanted
            if w.section in needed
            and w.difference
            and w.raw is None
            and not w.difference[0]
            and w.difference[1].get("state") != "absent"
        ]:
            books = list(dict.fromkeys(f"{w.section}.yml" for w in missing))
            raise AnsibleActionFail(
                f"{mine}.yml needs what {' and '.join(books)} make first. Run site.yml, or {'these' if len(books) > 1 else 'that one'} before."
            )

    def _tell(self, host: str, result: Vars, reported: list[Wanted], findings: list[Finding], verdict: str) -> None:
        say, sections = self._display.display, list(dict.fromkeys(w.section for w in reported))
        said = f"Differs from the account: {', '.join(sections)}." if sections else verdict
        say(f"[{host}] {result['calls']} calls, {result['seconds']} s. {said}")
        for w in reported:
            before, after = w.difference or ({}, {})
            say(
                f"[{host}]   {w.section}: {w.name}: "
                + ("is not there" if not before and w.raw is None else ", ".join(sorted(before | after))),
                color=C.COLOR_CHANGED,
            )
        for f in findings:
            say(f"[{host}] {f.severity}: {f}", color=C.COLOR_WARN if f.severity == "warning" else None)

    def _show(self, diffs: list[Vars]) -> None:
        """What a callback shows of a changed task; this one is not changed, it is before the tasks that are."""
        for d in diffs:
            lines = difflib.unified_diff(
                d["before"].splitlines(), d["after"].splitlines(), d["before_header"], d["after_header"], lineterm=""
            )
            self._display.display("\n".join(lines))


def _read(account: Account, module: str, told: Vars) -> Any:
    try:
        return RESOURCES[module].read(account.call, told)
    except KeyError:  # a name that is not known until applied
        return None


def _valets_policy(wanted: list[Wanted]) -> Any:
    """The document of VALET's policy, as it is in force."""
    raw = next((w.answer.result() for w in wanted if w.module == "amazon.aws.iam_managed_policy" and w.answer), None)
    return raw and raw["Document"]


def _ids(s: Vars, around: Surroundings) -> Vars:
    """What the tasks refer to as __fleet_drift.ids.*"""
    me, group = around.caller, around.group
    registry = f"{me.account}.dkr.ecr.{s['fleet_region']}.{me.dns_suffix}"
    return {
        "account": me.account,
        "partition": me.partition,
        "vpc": around.vpc,
        "subnets": [n.id for n in around.subnets],
        "image": around.image.id if around.image else "",
        "worker_image": s["fleet_worker_image"] or f"{registry}/{s['fleet_repository_name']}:latest",
        "pinned_version": group.template_version if group else "",
        "group_exists": group is not None,
        "role_exists": around.role,
        "key_pair_exists": around.key_pair,
        "user_has_key": around.user_has_key,
    }


def _in_words(w: Wanted) -> Vars:
    before, after = w.difference or ({}, {})
    return {
        "section": w.section,
        "play": w.play,
        "task": w.name,
        "parameters": sorted(before | after),
        "missing": w.raw is None,
    }


def _diff(w: Wanted) -> Vars:
    before, after = ({}, {"hidden": "no_log"}) if w.task.get("no_log") else w.difference or ({}, {})
    return {"before_header": w.name, "after_header": w.name, "before": _text(before), "after": _text(after)}


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n" if value else ""
