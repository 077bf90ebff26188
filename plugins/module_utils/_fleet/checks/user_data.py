# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§8: agent.conf, as the launch template's user data writes it."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import (
    KEYS,
    OPTIONAL_KEYS,
    SCHEMA,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread


@check("agent-conf", 8)
def _agent_conf(view: View) -> str:
    """The user data is an agent.conf that the agent accepts."""
    template = view.template
    if template.agent_conf_problem:
        raise Failed(f"Instances boot no worker: {template.agent_conf_problem}.", view.use_at_once())
    if (schema := template.agent_conf.get("SCHEMA")) != SCHEMA:
        images = view.fleet.images
        image = None if isinstance(images, Unread) else images.get(template.image)
        if schema and image and schema == image.agent_schema:
            raise Skipped(f"an older release wrote it (schema {schema}) for its own image, which image-schema reports")
        raise Failed(
            f"agent.conf has schema {schema or '(none)'}, not {SCHEMA}: the image's agent refuses it.",
            view.roll_out(),
        )
    present = {key for key, value in template.agent_conf.items() if value or key in OPTIONAL_KEYS}
    if missing := [key for key in KEYS if key not in present]:
        raise Failed(
            f"agent.conf lacks {', '.join(missing)}: every agent refuses it.", view.roll_out(), missing=missing
        )
    return f"{len(template.agent_conf)} keys"


def _value(view: View, key: str, desired: str, consequence: str) -> str:
    """Passes if the key has that value. That a key is missing is agent-conf's finding."""
    found = view.agent_conf.get(key, "")
    if found and found != desired:
        raise Failed(
            f"agent.conf has {key}={found}, but should have {desired}: {consequence}.",
            view.roll_out(),
            found=found,
            wanted=desired,
        )
    return found or desired


@check("agent-hook", 8)
def _hook(view: View) -> str:
    """agent.conf names the termination hook."""
    desired = view.settings["fleet_termination_hook_name"]
    return _value(view, "TERMINATION_HOOK", desired, "no drain would ever be completed")


@check("agent-group", 8)
def _group(view: View) -> str:
    """agent.conf names the group."""
    return _value(view, "GROUP", view.group.name, "no drain would ever be completed")


@check("agent-heartbeat", 8)
def _heartbeat(view: View) -> str:
    """agent.conf has the hook's heartbeat timeout."""
    desired = str(view.settings["fleet_termination_hook_timeout"])
    return _value(view, "HEARTBEAT_TIMEOUT_SECONDS", desired, "the hook may time out between two heartbeats") + " s"


@check("agent-secret", 8)
def _secret(view: View) -> str:
    """agent.conf names the worker's secret."""
    desired = view.settings["fleet_secret_name"]
    return _value(view, "SECRET_ID", desired, "workers boot with another environment, or not at all")


@check("agent-region", 8)
def _region(view: View) -> str:
    """agent.conf names the fleet's region."""
    return _value(view, "REGION", view.settings["fleet_region"], "agents look for the group in another region")


@check("agent-drain-policy", 8)
def _drain_policy(view: View) -> str:
    """agent.conf has fleet_drain_policy."""
    desired = view.settings["fleet_drain_policy"]
    return _value(view, "DRAIN_POLICY", desired, "jobs would end in another way than the operator chose")


@check("agent-worker-guard", 8)
def _worker_guard(view: View) -> str:
    """agent.conf has fleet_worker_guard. Whether a worker really runs with the guard, host-guard says."""
    desired = view.settings["fleet_worker_guard"]
    return _value(view, "WORKER_GUARD", desired, "workers would boot with another choice than the operator's")


@check("agent-launch-hook", 8)
def _launch_hook(view: View) -> str:
    """agent.conf names the launch hook exactly where the group should have it, so that an agent completes it."""
    desired = view.settings["fleet_launch_hook_name"] if view.settings["fleet_launch_hook"] else ""
    found = view.agent_conf.get("LAUNCH_HOOK", "")
    if found != desired:
        hooks = [hook.name for hook in view.hooks]
        if desired in hooks:
            consequence = f"nobody completes {desired}, and no instance comes into service"
        elif found in hooks:
            consequence = f"agents complete {found}, which the variables do not want"
        else:
            consequence = "agents complete a launch hook that the group does not have"
        raise Failed(
            f"agent.conf has LAUNCH_HOOK={found or '(none)'}, but should have {desired or 'none'}: {consequence}.",
            view.roll_out(),
            found=found,
            wanted=desired,
        )
    return found or "none, as the variables say"


@check("user-data", 8)
def _user_data(view: View) -> str:
    """The user data writes agent.conf and does nothing else: byte for byte what the playbook writes for that file."""
    more = view.template.more_user_data
    if view.agent_conf and more:
        raise Failed(
            f"The user data does more than write agent.conf, at every boot of an instance: {more}.",
            view.roll_out(),
            more=more,
        )
    return "agent.conf alone"
