# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§9: the secret, the worker's image and the log group."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Instance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)

SILENCE_SECONDS = 3600.0  # CloudWatch's own stamps may lag by that (API_LogStream, lastEventTimestamp)


@check("secret-exists", 9)
def _secret(view: View) -> str:
    """The worker's secret exists and is not scheduled for deletion."""
    name = view.settings["fleet_secret_name"]
    if view.fleet.secret is None:
        raise Failed(
            f"There is no secret {name}: no worker can boot.",
            view.run("foundation.yml", "-e fleet_secret_create=true", text="Create it, then fill it in (§9):"),
        )
    if view.secret.deletion_scheduled:
        raise Failed(
            f"Secret {name} is scheduled for deletion: no worker can boot.",
            view.aws("Keep it:", f"secretsmanager restore-secret --secret-id {name}"),
        )
    return str(name)


@check("secret-rotated", 9, "warning")
def _rotated(view: View) -> Passed:
    """Every instance in service booted after the secret's value last changed."""
    changed, serving = view.secret.changed, _serving(view)
    older = sorted(instance.id for instance in serving if instance.launched < changed)
    ago = f"{duration(view.now - changed)} ago"
    if view.refreshing:
        return Passed(
            f"{count(len(older), 'instance')} booted before it changed; a refresh is under way", {"older": older}
        )
    if older:
        raise Failed(
            f"The secret changed {ago}; {count(len(older), 'instance')} booted before: {first_of(older)}.",
            view.start_refresh("Replace them, so that their workers read it:"),
            instances=older,
        )
    return Passed(f"changed {ago}" if changed else "never changed")


@check("repository-image", 9)
def _repository(view: View) -> str:
    """The worker's image exists, where it is in a repository of this account."""
    image = view.agent_conf.get("IMAGE", "")
    found = view.fleet.worker_image
    if found == "":
        raise Skipped(f"{image or 'no image'} is in no repository of this account")
    if found is None:
        raise Failed(
            f"There is no image {image}: no worker can boot.", "Push it, or correct fleet_worker_image.", image=image
        )
    if not isinstance(found, str):
        raise Skipped("it could not be read")
    return found


@check("log-group", 9)
def _log_group(view: View) -> str:
    """The log group exists."""
    if view.fleet.log_group is None:
        name = view.settings["fleet_log_group_name"]
        raise Failed(f"There is no log group {name}: what instances log is lost.", view.run("foundation.yml"))
    return view.log_group.name


@check("log-group-receiving", 9, "warning")
def _receiving(view: View) -> str:
    """The log group received an event within the last hour, once an instance has been in service for that long."""
    group = view.log_group
    longest = max((view.now - instance.launched for instance in _serving(view)), default=0.0)
    if longest < SILENCE_SECONDS:
        raise Skipped(f"no instance has been in service for {duration(SILENCE_SECONDS)} yet")
    if not group.last_event:
        raise Failed(
            f"{group.name} has no event, though an instance has run for {duration(longest)}.",
            "On that instance, see: systemctl status amazon-cloudwatch-agent",
        )
    if view.now - group.last_event > SILENCE_SECONDS:
        raise Failed(
            f"{group.name} has received nothing for {duration(view.now - group.last_event)}.",
            "On an instance, see: systemctl status amazon-cloudwatch-agent",
        )
    return f"last event {duration(view.now - group.last_event)} ago"


def _serving(view: View) -> list[Instance]:
    serving = {instance.id for instance in view.group.in_state("InService")}
    return [instance for instance in view.instances.values() if instance.id in serving]
