# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What site.yml would change, a check for each of its sections that touch the account.

The comparison is that of `site.yml --check`. What another check reports is not reported twice: REPORTED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, View, check, present
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, differences

SECTIONS = {  # playbook -> its section of the runbook, and how severe a difference is
    "foundation": (9, "warning"),
    "iam": (6, "error"),
    "security_group": (7, "error"),
    "launch_template": (3, "error"),
    "autoscaling_group": (4, "error"),
    "lifecycle_hook": (5, "error"),
    "valet": (10, "error"),
}
# Parameters that change nothing of what instances do: a difference in these alone is a warning.
MINOR = {"tags", "default_version", "image_id", "retention", "metrics"}
GROUP, HOOK, TEMPLATE = "autoscaling_group_settings", "autoscaling_lifecycle_hook", "ec2_launch_template"
NO_AGENT = f"{GROUP}.on_hook_abandon {GROUP}.protected_instances"  # of instances without the agent
IMAGES = ("image-exists", "image-origin", "image-schema", "image-age", "image-deprecated")
AGENT_CONF = ("conf", "hook", "group", "heartbeat", "secret", "region", "drain-policy", "worker-guard", "launch-hook")
# id of a check -> what it reports when it fails: a module's whole resource, or one parameter
REPORTED: Mapping[str, frozenset[str]] = {
    id: frozenset(what.split())
    for id, what in {
        "secret-exists": "secretsmanager_secret",
        "repository-image": "ecs_ecr",
        "log-group": "cloudwatchlogs_log_group",
        "log-group-retention": "cloudwatchlogs_log_group.retention",
        "valet-user": "iam_user",
        "profile-exists": "iam_instance_profile",
        "profile-role": "iam_instance_profile.role",
        "role-trust": "iam_role.assume_role_policy_document",
        "role-trust-others": "iam_role.assume_role_policy_document",
        "role-actions": "iam_policy",
        "security-group": f"ec2_security_group {TEMPLATE}.network_interfaces",
        "security-group-open": "ec2_security_group.rules",
        "security-group-egress": "ec2_security_group.rules_egress",
        "template-exists": f"{TEMPLATE} {GROUP}.launch_template",
        "template-metadata": f"{TEMPLATE}.metadata_options",
        "template-volumes": f"{TEMPLATE}.block_device_mappings",
        "template-profile": f"{TEMPLATE}.iam_instance_profile",
        "user-data": f"{TEMPLATE}.user_data {NO_AGENT}",
        "group-sizes": f"{GROUP}.min_size {GROUP}.max_size",
        "group-subnets": f"{GROUP}.subnet_ids",
        "group-template": f"{GROUP}.launch_template",
        "group-version": f"{GROUP}.launch_template",
        "group-processes": f"{GROUP}.suspended_processes",
        "group-metrics": f"{GROUP}.metrics",
        "group-termination-policies": f"{GROUP}.termination_policies",
        "group-health-check": f"{GROUP}.health_check_type {GROUP}.health_check_grace_seconds",
        "group-cooldown": f"{GROUP}.cooldown_seconds",
        "group-warmup": f"{GROUP}.warmup_seconds",
        "group-lifetime": f"{GROUP}.max_lifetime_seconds",
        "group-maintenance": f"{GROUP}.maintenance_policy",
        "group-new-instances": f"{GROUP}.new_instances_protected",
        "group-deletion-protection": f"{GROUP}.deletion_protection",
        "hook-exists": HOOK,
        "hook-transition": f"{HOOK}.transition",
        "hook-timeout": f"{HOOK}.heartbeat_timeout",
        "hook-result": f"{HOOK}.default_result",
        "hook-retention": f"{GROUP}.on_hook_abandon",
        "hook-launch": HOOK,
        "hook-budget": f"{TEMPLATE}.user_data",
        **dict.fromkeys(IMAGES, f"{TEMPLATE}.image_id {TEMPLATE}.user_data {NO_AGENT}"),
        "image-owner": NO_AGENT,
        "instances-agent": NO_AGENT,
        **{f"agent-{name}": f"{TEMPLATE}.user_data {NO_AGENT}" for name in AGENT_CONF},
    }.items()
}


def changes(view: View, section: str) -> list[Change]:
    """What site.yml would change in a section. Raises Skipped."""
    present(view.fleet.group, "there is no group, which group-exists reports")
    found = present(view.fleet.changes, "the tasks of site.yml were not compared")
    if any(change.missing for change in found):  # what refers to something that does not exist, is not known yet
        found = tuple(change for change in found if set(change.parameters) != {"unknown until applied"})
    return [change for change in found if change.section == section]


def _unreported(view: View, found: list[Change]) -> Iterator[Change]:
    """What of it no other check reports."""
    failed = (check.id for check in CHECKS if check.id in REPORTED and not check.finding(view).ok)
    reported = {what for id in failed for what in REPORTED[id]}
    if any(change.module == TEMPLATE for change in changes(view, "launch_template")):
        reported.add(f"{GROUP}.launch_template")  # the group then moves to the new version
    for change in found:
        parameters = {k: v for k, v in change.parameters.items() if f"{change.module}.{k}" not in reported}
        if parameters and change.module not in reported:
            yield Change(change.section, change.task, change.module, change.missing, parameters)


def _section(section: str, severity: str, view: View) -> str | Passed:
    found = changes(view, section)
    evidence = {"changes": [_as_dict(change) for change in found]}
    left = list(_unreported(view, found))
    would = f"site.yml would change {count(len(found), 'thing')} here"
    if found and not left:
        return Passed(f"{would}, which other findings report", evidence)
    if left:
        text = "If the variables are right, run (with `--check --diff` it only shows the differences)"
        playbook = "site.yml" if section == "autoscaling_group" else f"{section}.yml"
        remedy = view.roll_out(text=text) if section == "launch_template" else view.run(playbook, text=text)
        minor = all(set(change.parameters) <= MINOR and not change.missing for change in left)
        raise Failed(
            f"{would}: {'; '.join(map(_words, found))}.",
            remedy,
            severity="warning" if minor else severity,
            **evidence,
        )
    return "as site.yml would make it"


def _register(section: str, number: int, severity: str) -> None:
    def look(view: View) -> str | Passed:
        return _section(section, severity, view)

    look.__doc__ = f"""site.yml would change nothing of what {section}.yml makes."""
    check(f"drift-{section.replace('_', '-')}", number, severity)(look)


for _name, (_number, _severity) in SECTIONS.items():
    _register(_name, _number, _severity)


# --- in words ---------------------------------------------------------------------------------------------------------


def _as_dict(change: Change) -> dict[str, Any]:
    return {
        "section": change.section,
        "task": change.task,
        "missing": change.missing,
        "parameters": {name: {"is": is_, "should_be": should} for name, (is_, should) in change.parameters.items()},
    }


def _words(change: Change) -> str:
    """The task, and each parameter as it is and as it should be."""
    if change.missing:
        return f"{change.task} (does not exist)"
    listed = (part for name, values in change.parameters.items() for part in differences(name, *values))
    return f"{change.task} ({', '.join(listed)})"
