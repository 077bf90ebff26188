# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§5: the lifecycle hooks."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration

PLAYBOOK = "lifecycle_hook.yml"
TERMINATING, LAUNCHING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"


@check("hook-exists", 5)
def _exists(view: View) -> str:
    """The group has the termination hook."""
    name, found = view.settings["fleet_termination_hook_name"], [hook.name for hook in view.hooks]
    if name not in found:
        others = f", only {', '.join(found)}" if found else ""
        raise Failed(
            f"The group has no hook {name}{others}: instances are terminated with their jobs.",
            view.run(PLAYBOOK),
            found=found,
        )
    return str(name)


@check("hook-transition", 5)
def _transition(view: View) -> str:
    """The termination hook holds instances that are being terminated."""
    found = view.hook.transition
    if found != TERMINATING:
        raise Failed(
            f"{view.hook.name} is for {found}, not for the termination of instances.", view.run(PLAYBOOK), found=found
        )
    return found


@check("hook-timeout", 5)
def _timeout(view: View) -> str:
    """The termination hook's heartbeat timeout is fleet_termination_hook_timeout."""
    found, desired = view.hook.heartbeat_timeout, view.settings["fleet_termination_hook_timeout"]
    if found != desired:
        late = f" The agent sends a heartbeat every {duration(desired / 3)}: the hook times out in between."
        raise Failed(
            f"{view.hook.name} waits {found} s for a heartbeat, but should wait {desired} s."
            f"{late if found < desired / 3 else ''}",
            view.run(PLAYBOOK),
            found=found,
        )
    return f"{found} s"


@check("hook-result", 5)
def _result(view: View) -> str:
    """The termination hook's default result is fleet_termination_hook_result."""
    found, desired = view.hook.default_result, view.settings["fleet_termination_hook_result"]
    if found != desired:
        raise Failed(
            f"When an agent stops sending heartbeats, the hook's result is {found}, but should be {desired}.",
            view.run(PLAYBOOK),
            found=found,
        )
    return found


@check("hook-retention", 5)
def _retention(view: View) -> str:
    """The group retains instances whose hook was abandoned exactly where fleet_retain_on_abandon says so.

    Not while it has instances without the agent: nothing completes their hook, so each would be retained.
    """
    found, desired = view.group.on_hook_abandon == "retain", view.settings["fleet_retain_on_abandon"]
    if desired and view.unmanaged:
        return "as long as an instance is without the agent, instances-agent judges it"
    if found != desired:
        what = (
            "The group keeps instances that were abandoned"
            if found
            else "ABANDON terminates an instance like CONTINUE: the group keeps none"
        )
        raise Failed(f"{what}, and fleet_retain_on_abandon is {str(desired).lower()}.", view.run(PLAYBOOK))
    return "kept" if found else "terminated, as the variables say"


@check("hook-budget", 5)
def _budget(view: View) -> str:
    """The longest drain that agents allow ends before AWS gives the hook up.

    AWS holds an instance for min(48 h, 100 x heartbeat timeout) at most (API_LifecycleHook, GlobalTimeout).
    """
    agent_conf, hook = view.agent_conf, view.hook
    try:
        drain = sum(int(agent_conf[key]) for key in ("DRAIN_LIMIT_SECONDS", "STOP_GRACE_SECONDS"))
    except (KeyError, ValueError):
        raise Skipped("agent.conf's limits are missing or not numbers") from None
    if drain > hook.global_timeout:
        raise Failed(
            f"Agents may drain for {drain} s, but {hook.name} holds an instance for {hook.global_timeout} s at most, "
            "however many heartbeats it gets.",
            view.roll_out(
                site=True,
                text=f"Raise fleet_termination_hook_timeout to {-(-drain // 100)} or more, "
                "or correct fleet_drain_limit_seconds, then run",
            ),
            drain_seconds=drain,
            ceiling_seconds=hook.global_timeout,
        )
    return f"a drain of {duration(drain)} within {duration(hook.global_timeout)}"


@check("hook-launch", 5)
def _launch(view: View) -> str:
    """The group has the launch hook exactly where fleet_launch_hook says so, with the variables' timeout."""
    name = view.settings["fleet_launch_hook_name"]
    found = next((hook for hook in view.hooks if hook.name == name), None)
    if not view.settings["fleet_launch_hook"]:
        if found:
            raise Failed(
                f"The group has a launch hook {name} that no agent completes: "
                "no instance comes into service before it times out.",
                view.run(PLAYBOOK),
            )
        return "none, as the variables say"
    if found is None:
        raise Failed(
            f"The group has no launch hook {name}: instances are in service before their worker is registered.",
            view.run(PLAYBOOK),
        )
    values = (found.transition, found.heartbeat_timeout, found.default_result)
    desired = (LAUNCHING, view.settings["fleet_launch_hook_timeout"], "ABANDON")
    if values != desired:
        raise Failed(
            f"{name} is {values[0]}, {values[1]} s, {values[2]}; "
            f"it should be {desired[0]}, {desired[1]} s, {desired[2]}.",
            view.run(PLAYBOOK),
        )
    return str(name)


@check("hook-strangers", 5, "warning")
def _others(view: View) -> str:
    """The group has no lifecycle hook that no agent completes."""
    known = {view.hook.name, view.settings["fleet_launch_hook_name"]}
    if others := [hook.name for hook in view.hooks if hook.name not in known]:
        delete = f"autoscaling delete-lifecycle-hook --auto-scaling-group-name {view.group.name} --lifecycle-hook-name"
        raise Failed(
            f"The group has hooks that no agent completes: {', '.join(others)}. "
            "Each holds instances until it times out.",
            view.aws("Delete them:", *(f"{delete} {name}" for name in others)),
            hooks=others,
        )
    return "none"
