# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace a fleet's instances, canaries first. ../modules/instance_refresh.py is the documentation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_rollout import LiveRollout
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import without_agent
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.rollout_target import rollout_target
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.canary import problems
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.rollout import Inputs, before_rollout
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    differences,
    duration,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import BACK, Rollout
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures import rollout as procedure
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures import rollout_state
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import (
    FleetAction,
    Vars,
    command_line,
    sentence,
)

ATTEMPTS = 10  # AWS may throttle: nothing but time is lost by asking again
READ_SECONDS = 5  # of the registry
REGISTRY_EVERY_SECONDS = 10.0
GIVE_UP_SECONDS = 15  # before the agent or the launch hook gives a canary up: the procedure reads activities every 10 s
#: Checks without which no refresh can replace an instance: they stop also a rollout that is under way.
NEEDED = {"rollout-group", "rollout-hook", "rollout-processes"}
OPTIONS: dict[str, Any] = {
    "step": {"type": "str", "required": True, "choices": ["plan", "canaries", "bake", "remaining"]},
    "version": {"type": "str", "default": ""},
    "rollback": {"type": "bool", "default": False},
    "rollout": {"type": "dict"},
    "findings": {"type": "list", "elements": "dict", "default": []},
}


class ActionModule(FleetAction):
    """One step of a rollout."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/instance_refresh.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account, host = self._account(args, attempts=ATTEMPTS), known["inventory_hostname"]
        playbook = "rollback.yml" if args["rollback"] else "rollout.yml"
        again = command_line(known).playbook(playbook)

        def log(line: str) -> None:
            self._display.display(f"[{host}] {line}")

        one = procedure.Procedure(
            client=LiveRollout(
                account.call_now, s["fleet_group_name"], s["fleet_region"], s["fleet_termination_hook_name"]
            ),
            options=_options(s),
            clock=time.monotonic,
            wall=time.time,
            sleep=time.sleep,
            log=log,
            registry=_registry(s, log),
        )
        try:
            if args["step"] in ("plan", "canaries"):
                self._check(one, account, args, s, command_line(known), log)
            if args["step"] == "plan" or self._task.check_mode:
                return result | self._plan(one, account, args, log)
            # Before it begins: Ansible shows nothing of a task that Ctrl-C ends.
            if args["step"] == "canaries":
                log(f"Ctrl-C leaves to AWS what AWS has begun; this goes on with it: {again}")
            return result | self._step(one, account, args, s)
        except procedure.Refused as problem:
            raise AnsibleActionFail(str(problem)) from None
        except procedure.Undone as problem:
            raise AnsibleActionFail(str(problem)) from None
        except (procedure.Stopped, AwsError) as problem:
            raise AnsibleActionFail(f"{problem} What AWS has begun goes on; to go on with it: `{again}`") from None

    @staticmethod
    def _check(
        one: procedure.Procedure, account: Account, args: Vars, s: Vars, line: CommandLine, log: Callable[[str], None]
    ) -> None:
        """Fails where a rollout could not work, before it changes anything."""
        call, name = account.call, s["fleet_group_name"]
        group, hooks = autoscaling.group(call, name), autoscaling.hooks(call, name)
        inputs = Inputs(s, caller(call).account, group, hooks, line, without_agent=without_agent(call, s))
        findings = before_rollout(inputs)
        if stops := [finding for finding in findings if finding.id in NEEDED]:
            raise procedure.Refused(sentence(list(map(str, stops))))
        _group, under_way, version = one.plan(args["version"], args["rollback"])
        target = rollout_target(call, s, version) if version else None
        # One that rollout.yml is yet to make was checked with what makes it.
        if target and (target.template or args["rollback"] or under_way):
            findings = before_rollout(replace(inputs, target=target))
        errors = [str(finding) for finding in findings if finding.severity == "error"]
        if errors and not under_way:  # one that is under way has to come to an end, forward or back
            raise procedure.Refused(sentence(errors))
        for finding in findings:
            log(f"{finding.severity}: {finding}")

    def _step(self, one: procedure.Procedure, account: Account, args: Vars, s: Vars) -> Vars:
        if args["step"] == "canaries":
            me = caller(account.call).arn
            if not one.begin(args["version"], args["rollback"], me, s["fleet_rollout_takeover"]):
                text = f"{s['fleet_group_name']} runs version {args['version']}."
                return {"changed": False, "finished": True, "canaries": [], "tag": "", "settled_at": 0.0, "msg": text}
            one.run(until=rollout_state.BAKE)
            return _result(one)
        earlier = args["rollout"] or {}
        rollout = Rollout.parse(earlier.get("tag", ""))
        if rollout is None:
            raise AnsibleActionFail("rollout has to be the result of an earlier step of instance_refresh.")
        one.resume(rollout)
        one.settled_at = float(earlier.get("settled_at") or 0.0)
        if args["step"] == "bake":
            one.bake()
        else:
            self._judge(one, earlier.get("canaries") if s["fleet_rollout_verify"] else None, args["findings"])
            one.approved = True
            one.run()
        return _result(one)

    @staticmethod
    def _judge(one: procedure.Procedure, verified: list[str] | None, findings: list[Vars]) -> None:
        canaries = [id for id in one.state.canaries if id in (verified or ())]
        if found := problems(canaries, findings, one.registry() if verified else None):
            one.reject(found[0].id, "; ".join(f"{problem.id}: {problem.text}" for problem in found[:3]))

    def _plan(self, one: procedure.Procedure, account: Account, args: Vars, log: Callable[[str], None]) -> Vars:
        group, under_way, version = one.plan(args["version"], args["rollback"])
        before, after = _version(account, group, group.template_version), _version(account, group, version)
        lines = _lines(one.options, group, under_way, version)
        changes = list(differences("", before, after)) if before and after and version != group.template_version else []
        lines += [f"  {line.lstrip('.')}" for line in changes]
        for line in lines:
            log(line)
        result: Vars = {
            "changed": bool(version) and bool(self._task.check_mode),
            "finished": not version,
            "canaries": [],
            "tag": "",
            "settled_at": 0.0,
            "plan": lines,
            "msg": lines[0],
        }
        if before and after and changes and self._task.diff:
            result["diff"] = [{"before": _json(before), "after": _json(after), **_headers(group, version)}]
        return result


def _lines(options: rollout_state.Options, group: Group, under_way: Rollout | None, version: str) -> list[str]:
    """The plan."""
    if not version:
        return [f"{group.name} runs version {group.template_version}: nothing to roll out"]
    instances = rollout_state.counted(group)
    canary_bound, rest_bound = rollout_state.longest(options, group)
    bake_bound = options.bake + options.drain
    first = f"{group.name}: launch template version {group.template_version} -> {version}"
    if under_way:
        going = "is being undone" if under_way.going == BACK else "is under way"
        first += f"; the rollout of {under_way.what} that {under_way.by} began at {under_way.since} {going}"
    if not instances:
        return [first, "no instances: the group will launch the new version, and nothing is there to verify"]
    canary = min(options.canary, len(instances))
    return [
        first,
        f"{count(len(instances), 'instance')}, {canary} first, at work for {duration(options.bake)} before the others; "
        f"busy ones finish their job. At most {duration(canary_bound + bake_bound + rest_bound)}: "
        f"{duration(canary_bound)} for the first, {duration(bake_bound)} for their work, "
        f"{duration(rest_bound)} for the others",
    ]


def _version(account: Account, group: Group, version: str) -> Vars | None:
    """The parameters of a version of the group's launch template, its user data as agent.conf; None: it is gone."""
    found = ec2.launch_template_versions(account.call, [version], LaunchTemplateId=group.template_id) if version else []
    if not found:
        return None
    data = dict(found[0]["LaunchTemplateData"])
    conf, problem = agent_conf(data.pop("UserData", ""))
    return {**data, "agent.conf": dict(conf) or problem}


def _headers(group: Group, version: str) -> Vars:
    names = (group.template_version, version)
    before, after = (f"version {number} of {group.template_name or group.template_id}" for number in names)
    return {"before_header": before, "after_header": after}


def _json(data: Vars) -> str:
    return json.dumps(data, indent=1, sort_keys=True, default=str) + "\n"


def _result(one: procedure.Procedure) -> Vars:
    state, rollout = one.state, one.state.rollout
    version = rollout.previous if rollout.going == BACK else rollout.version
    return {
        "changed": one.changed,
        "finished": one.finished,
        "canaries": [] if one.finished else list(state.canaries),
        "tag": "" if one.finished else rollout.as_tag(),
        "settled_at": one.settled_at,
        "version": version,
        "msg": f"{state.group.name} {'runs' if one.finished else 'rolls out'} version {version}.",
    }


def _options(s: Vars) -> rollout_state.Options:
    launch_hook = s["fleet_launch_hook_timeout"] if s["fleet_launch_hook"] else 0
    return rollout_state.Options(
        canary=s["fleet_rollout_canary"],
        bake=s["fleet_rollout_bake_minutes"] * 60 if s["fleet_rollout_verify"] else 0.0,
        launch=s["fleet_boot_timeout_seconds"] + launch_hook,
        drain=max(s["fleet_termination_hook_timeout"], s["fleet_drain_limit_seconds"] + s["fleet_stop_grace_seconds"]),
        # With the launch hook an instance is in service once its worker is registered: there is nothing to warm up.
        warmup=0 if s["fleet_launch_hook"] else None,
        standby=s["fleet_rollout_standby"].capitalize(),
        alarms=tuple(s["fleet_rollout_alarms"]),
        give_up=min(s["fleet_boot_timeout_seconds"], launch_hook) - GIVE_UP_SECONDS if launch_hook else float("inf"),
    )


def _registry(s: Vars, log: Callable[[str], None]) -> Callable[[], registry.Registry | None]:
    """Reads the worker registry, at most every ten seconds. What cannot be read does not stop a rollout: it is said."""
    last: tuple[float, registry.Registry] | None = None
    said = set[str]()

    def read() -> registry.Registry | None:
        nonlocal last
        if not s["fleet_registry_dsn"]:
            return None
        if last is None or time.monotonic() - last[0] >= REGISTRY_EVERY_SECONDS:
            last = (time.monotonic(), found := _read_registry(s))
            for error in {found.error, found.jobs_error} - {"", *said}:
                log(f"what the canaries' workers do is not looked at: {error}")
                said.add(error)
        return last[1]

    return read


def _read_registry(s: Vars) -> registry.Registry:
    try:
        where = postgres.parameters(s["fleet_registry_dsn"], {"sslmode": s["fleet_registry_sslmode"] or None})
        found = postgres.read(where, s["fleet_registry_table"], True, READ_SECONDS, READ_SECONDS)
    except postgres.RegistryError as error:
        return registry.from_result(registry.failure(str(error)))
    known = registry.from_result(registry.result(found.now, found.rows, found.may_write, found.row_security))
    workers = [row.worker_id for row in known.rows if row.status != "offline"]
    try:
        jobs = postgres.worker_jobs(where, s["fleet_registry_table"], workers, READ_SECONDS)
    except postgres.RegistryError as error:
        return replace(known, jobs_error=str(error))
    return replace(known, jobs=jobs)
