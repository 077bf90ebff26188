# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance more, one less, the right way, timed. ../modules/fleet_drill.py is the documentation."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account, AccountError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drill import (
    KINDS,
    Drill,
    Limits,
    Member,
    Refused,
    Standing,
    production,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

ATTEMPTS = 10  # a drill that breaks off for a busy account leaves more to tidy up than one that asks again
SLACK_SECONDS = 60.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
ACTIVITIES = 20  # the newest first; a drill starts one or two
OPTIONS: dict[str, Any] = {
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "production": {"type": "bool", "default": False},
    "busy": {"type": "list", "elements": "str", "default": []},
    "log": {"type": "str", "default": ""},
}


class ActionModule(FleetAction):
    """Raise, wait, lower, follow, restore."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_drill.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        self._meant(known, args, settings)
        drill = Drill(
            kind=args["kind"],
            group=_Group(self._account(args, attempts=ATTEMPTS), settings),
            limits=_limits(settings),
            clock=time.monotonic,
            sleep=time.sleep,
            tell=self._teller(known["inventory_hostname"], args["log"]),
            busy=args["busy"],
            deafen=_deafen,
        )
        try:
            if self._task.check_mode:
                desired = drill.check().desired
                return result | {
                    "changed": True,
                    "msg": f"{settings['fleet_group_name']} would go from {desired} to {desired + 1} and back.",
                }
            with _interruptible():
                finding = drill.run()
        except (Refused, AccountError) as problem:
            raise AnsibleActionFail(str(problem)) from None
        return result | {
            "changed": True,
            "finding": finding.as_dict(),
            "launched": drill.launched,
            "ended": drill.ended,
            "seconds": {step: round(seconds, 1) for step, seconds in drill.seconds.items()},
            "stands": drill.stands,
            "msg": finding.detail,
        }

    def _meant(self, known: Vars, args: Vars, settings: Vars) -> None:
        """Whether exactly this fleet is meant, also where it is production."""
        fleets = known["ansible_play_hosts_all"]
        if len(fleets) > 1:
            raise AnsibleActionFail(
                f"A drill is of one fleet, these are {len(fleets)}: {', '.join(fleets)}. Name one: -l {fleets[0]}"
            )
        host = known["inventory_hostname"]
        names = [host, *known.get("group_names", []), settings["fleet_name"], settings["fleet_group_name"]]
        if (said := production([*names, Path(known.get("inventory_dir") or "").name])) and not args["production"]:
            raise AnsibleActionFail(
                f"{host} is production ({said}). To drill it all the same: -e fleet_drill_production=yes"
            )

    def _teller(self, host: str, log: str) -> Any:
        """Says it here and writes it down: Ansible shows nothing of a task that Ctrl-C ends."""
        file = Path(log) if log else None
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("", encoding="utf-8")

        def tell(said: str) -> None:
            if file:
                with file.open("a", encoding="utf-8") as lines:
                    lines.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {said}\n")
            self._display.display(f"[{host}] drill: {said}")

        return tell


def _limits(settings: Mapping[str, Any]) -> Limits:
    hook = settings["fleet_termination_hook_timeout"]
    boot = settings["fleet_boot_timeout_seconds"] + (
        settings["fleet_launch_hook_timeout"] if settings["fleet_launch_hook"] else 0
    )
    drain = max(hook, settings["fleet_drain_limit_seconds"] + settings["fleet_stop_grace_seconds"])
    return Limits(launch=boot, drain=drain + SLACK_SECONDS, hook=hook)


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first interrupt is KeyboardInterrupt here, so that the drill can tidy up; Ansible's own way would end this process at once.

    Ansible sends up to three, a moment or seconds apart: one that struck while the drill tidies up would leave it half done.
    """

    def interrupt(_number: int, _frame: Any) -> None:
        _deafen()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deafen() -> None:
    """By a handler that does nothing: Python complains of a signal that came before and finds itself ignored."""
    for number in INTERRUPTS:
        signal.signal(number, lambda _number, _frame: None)


class _Group:
    """The fleet's group on AWS."""

    def __init__(self, account: Account, settings: Mapping[str, Any]) -> None:
        self._account, self._settings, self.name = account, settings, str(settings["fleet_group_name"])

    def look(self) -> Standing:
        found = self._account.tell("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[self.name])[
            "AutoScalingGroups"
        ]
        if not found:
            raise AccountError(f"There is no group {self.name}.")
        raw = found[0]
        return Standing(
            least=raw["MinSize"],
            most=raw["MaxSize"],
            desired=raw["DesiredCapacity"],
            suspended=frozenset(p["ProcessName"] for p in raw.get("SuspendedProcesses", [])),
            members={
                i["InstanceId"]: Member(
                    i["LifecycleState"], i["HealthStatus"] == "Healthy", bool(i.get("ProtectedFromScaleIn"))
                )
                for i in raw["Instances"]
            },
        )

    def hook(self) -> bool:
        found = self._account.tell("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=self.name)[
            "LifecycleHooks"
        ]
        return any(h["LifecycleHookName"] == self._settings["fleet_termination_hook_name"] for h in found)

    def failures(self) -> Mapping[str, str]:
        page = {"MaxItems": ACTIVITIES, "PageSize": ACTIVITIES}
        found = self._account.tell(
            "autoscaling", "describe_scaling_activities", AutoScalingGroupName=self.name, PaginationConfig=page
        )
        return {
            a["ActivityId"]: a.get("StatusMessage", "no reason given")
            for a in found["Activities"]
            if a["StatusCode"] == "Failed" and a.get("Description", "").startswith("Launching")
        }

    def resize(self, desired: int) -> None:
        self._account.tell(
            "autoscaling", "set_desired_capacity", AutoScalingGroupName=self.name, DesiredCapacity=desired
        )

    def end(self, instance: str) -> None:
        self._account.tell(
            "autoscaling",
            "terminate_instance_in_auto_scaling_group",
            InstanceId=instance,
            ShouldDecrementDesiredCapacity=True,
        )

    def command(self, words: str) -> str:
        named = words if "--instance-id " in words else f"{words} --auto-scaling-group-name {shlex.quote(self.name)}"
        return f"aws autoscaling {named} --region {self._settings['fleet_region']}"
