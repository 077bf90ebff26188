# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch one instance, drain and terminate one, and time each step. ../modules/fleet_drill.py is the documentation."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drill import (
    KINDS,
    Drill,
    Limits,
    Refused,
    production,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

ATTEMPTS = 10  # a drill that a throttled account ends leaves more to tidy up than one that tries again
MARGIN_SECONDS = 60.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
OPTIONS: dict[str, Any] = {
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "production": {"type": "bool", "default": False},
    "busy": {"type": "list", "elements": "str", "default": []},
    "log": {"type": "str", "default": ""},
}


class ActionModule(FleetAction):
    """Scale out, wait, scale in, follow, restore."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_drill.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        self._check_fleet(known, args, settings)
        group_name, hook_name = settings["fleet_group_name"], settings["fleet_termination_hook_name"]
        account = self._account(args, attempts=ATTEMPTS)
        drill = Drill(
            kind=args["kind"],
            group=LiveGroup(account.call_now, group_name, settings["fleet_region"], hook_name),
            limits=_limits(settings),
            clock=time.monotonic,
            sleep=time.sleep,
            log=self._log(known["inventory_hostname"], args["log"]),
            busy=args["busy"],
            ignore_interrupts=_ignore_interrupts,
        )
        try:
            if self._task.check_mode:
                desired = drill.check().desired_capacity
                return result | {
                    "changed": True,
                    "msg": f"{group_name} would go from {desired} to {desired + 1} and back.",
                }
            with _interruptible():
                finding = drill.run()
        except (Refused, AwsError) as problem:
            raise AnsibleActionFail(str(problem)) from None
        return result | {
            "changed": True,
            "finding": finding.as_dict(),
            "launched": drill.launched,
            "ended": drill.terminated,
            "seconds": {step: round(seconds, 1) for step, seconds in drill.seconds.items()},
            "stands": drill.left,
            "msg": finding.detail,
        }

    def _check_fleet(self, known: Vars, args: Vars, settings: Vars) -> None:
        """Fails unless exactly one fleet is named, and if that is production, on purpose."""
        fleets = known["ansible_play_hosts_all"]
        if len(fleets) > 1:
            raise AnsibleActionFail(
                f"A drill is of one fleet, these are {len(fleets)}: {', '.join(fleets)}. Name one: -l {fleets[0]}"
            )
        host = known["inventory_hostname"]
        names = [host, *known.get("group_names", []), settings["fleet_name"], settings["fleet_group_name"]]
        name = production([*names, Path(known.get("inventory_dir") or "").name])
        if name and not args["production"]:
            raise AnsibleActionFail(
                f"{host} is production ({name}). To drill it all the same: -e fleet_drill_production=yes"
            )

    def _log(self, host: str, path: str) -> Callable[[str], None]:
        """Shows each line and appends it to the file: Ansible shows nothing of a task that Ctrl-C ends."""
        file = Path(path) if path else None
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("", encoding="utf-8")

        def log(line: str) -> None:
            if file:
                with file.open("a", encoding="utf-8") as lines:
                    lines.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n")
            self._display.display(f"[{host}] drill: {line}")

        return log


def _limits(settings: Mapping[str, Any]) -> Limits:
    hook = settings["fleet_termination_hook_timeout"]
    launch_hook = settings["fleet_launch_hook_timeout"] if settings["fleet_launch_hook"] else 0
    drain = max(hook, settings["fleet_drain_limit_seconds"] + settings["fleet_stop_grace_seconds"])
    return Limits(
        launch=settings["fleet_boot_timeout_seconds"] + launch_hook,
        drain=drain + MARGIN_SECONDS,
        hook=hook,
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first interrupt raises KeyboardInterrupt, so that the drill can restore desired capacity.

    Ansible's own handler would end this process at once. Ansible sends up to three interrupts, a moment or seconds
    apart: the others are ignored, or restoring would stop half-way.
    """

    def interrupt(_number: int, _frame: Any) -> None:
        _ignore_interrupts()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_interrupts() -> None:
    """By a handler that does nothing: Python complains about a pending signal that is then set to SIG_IGN."""
    for number in INTERRUPTS:
        signal.signal(number, lambda _number, _frame: None)
