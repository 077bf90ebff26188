# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§5: the termination hook, and what makes it mean what the runbook says."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    span,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import DEFAULTS

BOOK = "lifecycle_hook.yml"
ENDING, BEGINNING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"


@check("hook-exists", 5)
def _exists(v: View) -> Seen:
    name = v.s["fleet_termination_hook_name"]
    if name not in {h.name for h in v.hooks}:
        others = ", ".join(h.name for h in v.hooks)
        raise Wrong(
            f"The group has no hook {name}{f', only {others}' if others else ''}: instances end with their jobs.",
            v.play(BOOK),
            found=[h.name for h in v.hooks],
        )
    return Seen(name)


@check("hook-transition", 5)
def _transition(v: View) -> str:
    if v.hook.transition != ENDING:
        raise Wrong(
            f"{v.hook.name} fires at {v.hook.transition}, not when an instance ends.",
            v.play(BOOK),
            found=v.hook.transition,
        )
    return v.hook.transition


@check("hook-timeout", 5)
def _timeout(v: View) -> str:
    found, wanted = v.hook.timeout, v.s["fleet_termination_hook_timeout"]
    if found != wanted:
        worse = (
            f" The agent beats every {span(wanted / 3)}: the hook runs out in between." if found < wanted / 3 else ""
        )
        raise Wrong(
            f"{v.hook.name} waits {found} s for a heartbeat, wanted are {wanted} s.{worse}", v.play(BOOK), found=found
        )
    return f"{found} s"


@check("hook-result", 5)
def _result(v: View) -> str:
    found, wanted = v.hook.result, v.s["fleet_termination_hook_result"]
    if found != wanted:
        raise Wrong(
            f"An instance whose agent went silent is treated as {found}, wanted is {wanted}.", v.play(BOOK), found=found
        )
    return found


@check("hook-retention", 5)
def _retention(v: View) -> str:
    if v.s["fleet_retain_on_abandon"] != v.group.retains:
        what = (
            "ABANDON ends an instance like CONTINUE: the group keeps none"
            if not v.group.retains
            else "The group keeps instances that were abandoned"
        )
        raise Wrong(
            f"{what}, and fleet_retain_on_abandon is {str(v.s['fleet_retain_on_abandon']).lower()}.", v.play(BOOK)
        )
    return "kept" if v.group.retains else "ended, as wanted"


@check("hook-budget", 5)
def _budget(v: View) -> str:
    """AWS holds an instance min(48 h, 100 x heartbeat) at most (API_LifecycleHook, GlobalTimeout)."""
    told, hook = v.told, v.hook
    try:
        drain = sum(int(told.get(key) or DEFAULTS[key]) for key in ("DRAIN_LIMIT_SECONDS", "STOP_GRACE_SECONDS"))
    except ValueError:
        raise NotLookedAt("agent.conf's limits are no numbers") from None
    if drain > hook.ceiling:
        raise Wrong(
            f"Agents may drain for {drain} s, but {hook.name} holds an instance {hook.ceiling} s at most, however often it beats.",
            f"Raise fleet_termination_hook_timeout to {-(-drain // 100)} or more, or correct fleet_drain_limit_seconds; then: {v.play('site.yml')}",
            drain_seconds=drain,
            ceiling_seconds=hook.ceiling,
        )
    return f"a drain of {span(drain)} within {span(hook.ceiling)}"


@check("hook-launch", 5)
def _launch(v: View) -> str:
    name, wanted = v.s["fleet_launch_hook_name"], v.s["fleet_launch_hook"]
    found = next((h for h in v.hooks if h.name == name), None)
    if not wanted:
        if found:
            raise Wrong(
                f"The group has a launch hook {name} that nobody completes: no instance comes to serve before it runs out.",
                v.play(BOOK),
            )
        return "none, as wanted"
    if found is None:
        raise Wrong(
            f"The group has no launch hook {name}: instances serve before their worker is registered.", v.play(BOOK)
        )
    as_is, as_wanted = (
        (found.transition, found.timeout, found.result),
        (BEGINNING, v.s["fleet_launch_hook_timeout"], "ABANDON"),
    )
    if as_is != as_wanted:
        raise Wrong(
            f"{name} is {as_is[0]}, {as_is[1]} s, {as_is[2]}; wanted is {as_wanted[0]}, {as_wanted[1]} s, {as_wanted[2]}.",
            v.play(BOOK),
        )
    return str(name)


@check("hook-strangers", 5, "warning")
def _strangers(v: View) -> str:
    known = {v.hook.name, v.s["fleet_launch_hook_name"]}
    if strange := [h.name for h in v.hooks if h.name not in known]:
        group = v.s["fleet_group_name"]
        raise Wrong(
            f"The group has hooks that no agent completes: {', '.join(strange)}. Each holds instances until it runs out.",
            " ".join(
                v.aws(
                    f"autoscaling delete-lifecycle-hook --auto-scaling-group-name {group} --lifecycle-hook-name {name}"
                )
                for name in strange
            ),
            hooks=strange,
        )
    return "none"
