# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace instances without the agent, one by one. ../modules/autoscaling_group_replacement.py is the documentation."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import ec2, fleet, prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.agents import may_have_agent
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.adoption import ADOPTED, is_foreign
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.worker import COMMAND_SECONDS, SshWorker
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.replacement import (
    Claims,
    Replacement,
    Stopped,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars, sentence
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.host_access import HostAccess

SETTINGS = next(module for module, (kind, _name) in ADOPTED.items() if kind == "Auto Scaling group")
READ_SECONDS = 5  # of the database
OPTIONS: dict[str, Any] = {"timeout": {"type": "int", "default": 2700}, "unseen": {"type": "bool", "default": False}}


class ActionModule(FleetAction):
    """One instance after another."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/autoscaling_group_replacement.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account, name, fleet_name = self._account(args), s["fleet_group_name"], known["inventory_hostname"]

        def log(line: str) -> None:
            self._display.display(f"[{fleet_name}] {line}")

        try:
            group = prerequisites.group(account.call, s)
            waiting = list(prerequisites.without_agent(account.call, s))
            if group is None or not waiting:
                return result | {"changed": False, "replaced": [], "msg": f"Every instance of {name} has the agent."}
            _check(account, group, s, args["unseen"])
            where = postgres.parameters(s["fleet_registry_dsn"], {"sslmode": s["fleet_registry_sslmode"] or None})
            claims = _claims(where, s["fleet_registry_table"])
            # Those that an earlier run has put on standby first: another one is there in their place.
            waiting.sort(key=lambda id: (id not in {i.id for i in group.in_state("Standby")}, id))
            self._announce(waiting, claims, log)
            if self._task.check_mode:
                return result | {
                    "changed": True,
                    "replaced": [],
                    "msg": f"{count(len(waiting), 'instance')} to replace.",
                }
            return result | self._replace(account, s, args["timeout"], waiting, claims, log)
        except (AwsError, postgres.RegistryError) as error:
            raise AnsibleActionFail(str(error)) from None

    @staticmethod
    def _announce(waiting: list[str], claims: Callable[[str], Claims], log: Callable[[str], None]) -> None:
        for instance in waiting:
            found = claims(instance)
            has = f"has job {', '.join(found.jobs)}" if found.jobs else "has no job"
            log(f"{instance}: without the agent, {has if found.workers else 'no worker in the registry'}")

    def _replace(
        self,
        account: Account,
        s: Vars,
        timeout: int,
        waiting: list[str],
        claims: Callable[[str], Claims],
        log: Callable[[str], None],
    ) -> Vars:
        live = LiveGroup(account.call_now, s["fleet_group_name"], s["fleet_region"], s["fleet_termination_hook_name"])
        replaced, problems = list[str](), list[str]()
        previous = signal.signal(signal.SIGTERM, _interrupt)  # Ansible ends its processes with it: see `finally`
        try:
            for instance in waiting:
                host = _host(account, s, instance)
                one = Replacement(live, instance, claims, host, time.monotonic, time.sleep, log)
                try:
                    one.run(timeout)
                    replaced.append(instance)
                except Stopped as problem:
                    problems.append(str(problem))
        finally:
            signal.signal(signal.SIGTERM, previous)
        if problems:
            raise AnsibleActionFail(sentence(problems))
        return {"changed": True, "replaced": replaced, "msg": f"{count(len(replaced), 'instance')} replaced."}


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check(account: Account, group: Group, s: Vars, unseen: bool) -> None:
    """Fails where it could not work, before anything changes."""
    name, problems = group.name, list[str]()
    if is_foreign(SETTINGS, group):
        problems.append(f"{name} was made by hand. Adopt it first: site.yml -e fleet_adopt={name} (docs/adoption.md).")
    used = fleet.template(account.call, s)
    image = ec2.image(account.call, used.image) if used else None
    if used is None or used.agent_conf_problem or image is None or not may_have_agent(image, group.account, s):
        problems.append(
            f"What {name} launches now has no agent either: run site.yml with an image of this kit "
            "(-e fleet_image=newest, after make image)."
        )
    if suspended := sorted({"Launch", "Terminate"} & group.suspended_processes):
        problems.append(f"{name} has {listed(suspended)} suspended, so nothing would be replaced: resume it.")
    if not s["fleet_registry_dsn"]:
        problems.append("fleet_registry_dsn is empty: only the database knows which jobs a worker has.")
    if s["fleet_host_checks"] == "never" and not unseen:
        problems.append(
            "fleet_host_checks is never, so no worker can be stopped before its instance ends: one that takes a job in "
            "the seconds in between loses it. Give a way to the hosts (fleet_host_checks: ssh or ssm), or accept that: "
            "-e fleet_replace_unseen=true"
        )
    if problems:
        raise AnsibleActionFail(sentence(problems))


def _claims(where: Mapping[str, str], table: str) -> Callable[[str], Claims]:
    def read(instance: str) -> Claims:
        found = postgres.jobs_of(where, table, instance, READ_SECONDS)
        return Claims(found.workers, found.claimed, found.fetched, found.waiting)

    return read


def _host(account: Account, s: Vars, instance: str) -> SshWorker | None:
    """The way to the instance that fleet_host_checks names."""
    if s["fleet_host_checks"] == "never":
        return None
    hosts = HostAccess(account, s["fleet_group_name"], s["fleet_host_checks"], s["fleet_ssh_key_file"])
    hosts.instances()
    return SshWorker(lambda command: hosts.ask([instance], command, COMMAND_SECONDS)[instance])
