# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's own tasks, filled in and compared with the account. Runs on the controller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import site
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import shared_call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.modules import READERS, Reader
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import group as read_group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import adoption
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import Difference, compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import COMPARISONS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.tasks import SiteTask, site_tasks
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    kept_image,
    repositories,
    service_principal,
    through_secrets_manager,
    worker_image,
)

Vars = dict[str, Any]
UNKNOWN = "unknown until applied"
SITE = Path(__file__).parents[2] / "playbooks" / "site.yml"


@dataclass
class Compared(SiteTask):
    """One task, or one iteration of its loop, and how it compares with the account."""

    item: Vars = field(default_factory=dict)
    """the loop variable; empty: no loop"""
    reading: Future[Any] | None = None
    found: Any = None
    """the resource; None: it does not exist, or was not read"""
    difference: Difference | None = None
    parameters: Vars = field(default_factory=dict)
    """those whose value is known"""

    @property
    def name(self) -> str:
        """The task's name, with its loop item."""
        return f"{self.task.get('name', self.module)}" + "".join(f" ({v})" for v in self.item.values())

    @property
    def is_missing(self) -> bool:
        """Whether the task would create something that does not exist."""
        before, after = self.difference or ({}, {})
        return bool(after) and not before and self.found is None and after.get("state") != "absent"

    @property
    def is_secret(self) -> bool:
        """Whether its values must not be shown."""
        return bool(self.task.get("no_log"))

    def variables(self, known: Vars) -> Vars:
        """What the task's arguments and conditions may use."""
        return {**known, **self.task.get("vars", {}), **self.item}

    @property
    def is_foreign(self) -> bool:
        """Whether its resource was not made by the playbooks."""
        return adoption.is_foreign(self.module, self.found)

    @property
    def resource(self) -> str:
        """What a person calls its resource."""
        kind, name = adoption.ADOPTED[self.module]
        return f"{kind} {self.parameters[name]}"

    def planned(self) -> adoption.Planned:
        """For the plan of an adoption."""
        return adoption.Planned(self.task, self.module, self.change())

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

    def change(self) -> Change:
        """For verify.yml."""
        before, after = self.difference or ({}, {})
        return Change(
            section=self.section,
            task=self.name,
            module=self.module.rpartition(".")[2],
            missing=self.is_missing,
            parameters={
                name: (None, None) if self.is_secret else (before.get(name), after.get(name))
                for name in sorted(before | after)
            },
        )

    def diff(self) -> Vars:
        """For `--diff`."""
        before, after = ({}, {"hidden": "no_log"}) if self.is_secret else self.difference or ({}, {})
        return {
            "before_header": self.name,
            "after_header": self.name,
            "before": _json(before),
            "after": _json(after),
        }


class SiteComparison:
    """Fills in the tasks of a site and compares them.

    :param loader: Ansible's, which reads the playbooks.
    :param templar: Ansible's, which fills in values.
    :param readers: how to read what each module manages; by default all of it.
    :param unread: parameters that these readers do not read and that are therefore not compared, by module.
    """

    def __init__(
        self,
        loader: Any,
        templar: Any,
        readers: Mapping[str, Reader] | None = None,
        unread: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._loader, self._templar = loader, templar
        self._readers, self._unread = readers or READERS, unread or {}

    def start(
        self, playbook: Path, known: Vars, start: Callable[..., Any], call: Call, local: bool = True
    ) -> list[Compared]:
        """The site's tasks, every loop unrolled, each with its reading under way.

        :param local: whether tasks count that only work on this machine.
        """
        tasks = []
        for site_task in site_tasks(self._load, playbook):
            if not local and site_task.module.startswith("ansible.builtin."):
                continue
            for item in self._items(known, site_task.task):
                one = Compared(**vars(site_task), item=item)
                tasks.append(one)
                if one.module in self._readers and self._runs(known, one) is not False:
                    reader = self._readers[one.module]
                    written = {k: v for k, v in one.task[one.module].items() if k in reader.identity}
                    identity, _unknown = self._filled(known, one, written)
                    one.reading = reader.start(start, call, identity)
        return tasks

    def compare(self, known: Vars, tasks: list[Compared], drift: Vars) -> None:
        """Set each task's difference.

        :param drift: the tasks use it as `__fleet_drift`; what they register is added as `given`. Raises AwsError.
        """
        known["__fleet_drift"] = drift
        given = drift.setdefault("given", {})
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

    def _load(self, path: Path) -> Any:
        return self._loader.load_from_file(str(path), trusted_as_template=True)

    def _fill(self, variables: Vars, value: Any) -> Any:
        self._templar.available_variables = variables
        return self._templar.template(value)

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

    def _difference(self, known: Vars, one: Compared, runs: bool | None) -> Difference | None:
        if one.module not in COMPARISONS:
            return {}, {"no comparison known": one.module}
        found = one.reading.result() if one.reading else None
        if runs is None:
            return {}, {UNKNOWN: "whether it runs"}
        comparison, unread = COMPARISONS[one.module], self._unread.get(one.module, frozenset())
        arguments = {name: value for name, value in one.task[one.module].items() if name not in unread}
        try:
            p = self._fill(one.variables(known), arguments)
        except AnsibleUndefinedVariable:
            values, unknown = self._filled(known, one, arguments)
            one.parameters = values
            one.found = None if isinstance(found, list) else found
            return {}, {**(values if found is None else {}), UNKNOWN: ", ".join(unknown)}
        one.parameters = p
        one.found = comparison.select(found, p) if found is not None else None
        return compare(comparison, p, one.found)


def start_changes(
    loader: Any, templar: Any, known: Vars, settings: Vars, start: Callable[..., Any], call: Call
) -> Callable[[], tuple[Change, ...] | Unread | None]:
    """What site.yml would change in the account; the function that is returned waits for it.

    None where there is no group: then site.yml makes a fleet, or these variables are another one's.

    :param known: every variable, the settings among them.
    """
    call = shared_call(call, settings)
    group = unread_where_refused(read_group, call, settings)
    if not isinstance(group, Group):
        return lambda: group
    prerequisites = site.start_site_prerequisites(start, call, settings)
    comparison = SiteComparison(loader, templar, site.readers(settings), site.UNREAD)
    tasks = comparison.start(SITE, known, start, call, local=False)

    def wait() -> tuple[Change, ...] | Unread:
        try:
            found = prerequisites()
            comparison.compare(known, tasks, {"ids": site_ids(settings, found)})
        except AwsError as error:
            return Unread(str(error))
        return tuple(task.change() for task in tasks if task.difference)

    return wait


def site_ids(s: Vars, found: Prerequisites) -> Vars:
    """What the tasks use as __fleet_drift.ids.*"""
    me = found.caller
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
        "worker_image": kept_image(worker_image(s, me.account, me.dns_suffix), found.worker_image),
        "pinned_version": found.pinned_version,
        "group_exists": found.group is not None,
        "role_exists": found.role_exists,
        "key_pair_exists": found.key_pair_exists,
        "user_has_key": found.user_has_access_key,
        "without_agent": list(found.without_agent or ()),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n" if value else ""
