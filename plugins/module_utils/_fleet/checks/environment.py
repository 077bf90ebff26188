# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§9: the secret, the worker's image and the log group."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Instance, ResourcePolicy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import listed as words
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.principals import (
    EVERYBODY,
    Grant,
    grants,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import listed

SERVICES = (".amazonaws.com", ".amazonaws.com.cn")  # AWS's own principals
SILENCE_SECONDS = 3600.0  # CloudWatch's own stamps may lag by that (API_LogStream, lastEventTimestamp)


@check("secret-exists", 9)
def _secret(view: View) -> str:
    """The worker's secret exists and is not scheduled for deletion."""
    name = view.settings["fleet_secret_name"]
    if view.fleet.secret is None:
        raise Failed(
            f"There is no secret {name}: no worker can boot.",
            view.run("secret.yml", "-e fleet_secret_file=worker.env", text="Write it from a file (§9):"),
        )
    if view.secret.deletion_scheduled:
        raise Failed(
            f"Secret {name} is scheduled for deletion: no worker can boot.",
            view.aws("Keep it:", f"secretsmanager restore-secret --secret-id {name}"),
        )
    return str(name)


@check("secret-policy", 9)
def _secret_policy(view: View) -> str:
    """The secret's own policy lets no stranger in: nobody but this account and fleet_trusted_account_ids."""
    policy = view.secret_policy
    if strangers := _strangers(view, policy):
        name, kept = policy.resource, _without(policy, strangers)
        put = f"put-resource-policy --resource-policy {kept}" if kept else "delete-resource-policy"
        raise Failed(
            f"The policy of secret {name} lets {_named(strangers)} use it.",
            view.aws("Remove those statements:", f"secretsmanager {put} --secret-id {name}"),
            strangers=sorted({grant.principal for grant in strangers}),
        )
    return "no stranger"


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
            view.replace_instances("Replace them, so that their workers read it:"),
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


@check("repository-policy", 9, "warning")
def _repository_policy(view: View) -> str:
    """The repository's own policy lets no stranger in; an error where it is everybody, or lets strangers push."""
    policy = view.repository_policy
    if strangers := _strangers(view, policy):
        name, kept = policy.resource, _without(policy, strangers)
        set_policy = f"set-repository-policy --policy-text {kept}" if kept else "delete-repository-policy"
        push = any(grant.writes for grant in strangers)
        raise Failed(
            f"The policy of repository {name} lets {_named(strangers)} {'push to' if push else 'pull from'} it"
            f"{': workers would run what strangers push' if push else ''}.",
            view.aws(
                "Name the account in fleet_trusted_account_ids if it is yours, or remove those statements:",
                f"ecr {set_policy} --repository-name {name}",
            ),
            severity="error" if push or any(grant.principal == EVERYBODY for grant in strangers) else "",
            strangers=sorted({grant.principal for grant in strangers}),
        )
    return "no stranger"


def _strangers(view: View, policy: ResourcePolicy) -> list[Grant]:
    """What a policy allows to others than this account, AWS's services and accounts that the operator trusts."""
    account = view.fleet.account
    if not isinstance(account, str):
        raise Skipped("this account's number could not be read")
    known = {account, *view.settings["fleet_trusted_account_ids"]}
    others = (g for g in grants(policy.document) if g.principal not in known and not g.principal.endswith(SERVICES))
    return [g for g in others if g.principal != EVERYBODY or not g.names_callers]


def _without(policy: ResourcePolicy, strangers: Iterable[Grant]) -> str:
    """The policy less the statements of those grants, quoted for a shell; empty where no statement is left."""
    bad = [grant.statement for grant in strangers]
    kept = [statement for statement in listed(policy.document["Statement"]) if statement not in bad]
    return shlex.quote(json.dumps({**policy.document, "Statement": kept})) if kept else ""


def _named(strangers: Iterable[Grant]) -> str:
    return words(sorted({f"account {p}" if (p := g.principal).isdigit() else p for g in strangers}))


@check("log-group", 9)
def _log_group(view: View) -> str:
    """The log group exists."""
    if view.fleet.log_group is None:
        name = view.settings["fleet_log_group_name"]
        raise Failed(f"There is no log group {name}: what instances log is lost.", view.run("foundation.yml"))
    return view.log_group.name


@check("log-group-retention", 9, "warning")
def _retention(view: View) -> str:
    """The log group keeps events for fleet_log_retention_days."""
    found, desired = view.log_group.retention_days, view.settings["fleet_log_retention_days"]
    if found != desired:
        raise Failed(
            f"{view.log_group.name} keeps events {f'for {found} days' if found else 'for ever'}, "
            f"but should for {desired} days.",
            view.run("foundation.yml"),
            found=found,
            wanted=desired,
        )
    return f"{found} days"


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
