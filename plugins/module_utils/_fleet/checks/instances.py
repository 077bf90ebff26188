# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11, instance launch and scale-in: the group's instances, and which of them are stuck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.group_history import failed_launches
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.registry import STALE_SECONDS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    LISTED_ACTIVITIES,
    Unread,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import hourly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.retained import STATE as RETAINED

SLACK_SECONDS = 120.0  # between what an agent does last and the state that Auto Scaling shows
# Jobs run for 30 to 1800 s, and a drain begins somewhere within one: half the limit is more than most have left, and
# still leaves time to act.
LONGEST_JOB_SECONDS = 1800.0
TERMINATING = "Terminating:Wait"


@check("instances-healthy", 11)
def _healthy(view: View) -> str:
    """Every running instance in service is healthy."""
    instances = {} if isinstance(view.fleet.instances, Unread) else view.fleet.instances
    # instances-ec2 reports those that do not run.
    stopped = {instance.id for instance in instances.values() if instance.state != "running"}
    serving = view.group.in_state("InService")
    if unhealthy := [i.id for i in serving if i.health != "Healthy" and i.id not in stopped]:
        raise Failed(
            f"{count(len(unhealthy), 'instance')} unhealthy: {first_of(unhealthy)}.",
            "The group replaces them; where it does not, look at suspended processes and activities. "
            "For the reason, on the instance: ghosthands-agent doctor",
            instances=unhealthy,
        )
    return f"{count(len(serving), 'instance')} healthy"


@check("instances-serving", 11)
def _serving(view: View) -> str:
    """At least min size instances are in service, or others are launching."""
    group = view.group
    serving = len(group.in_state("InService"))
    pending = [instance for instance in group.instances if instance.state.startswith("Pending")]
    if serving < group.min_size and pending:
        raise Skipped(f"{serving} of {group.min_size} in service, {len(pending)} launching")
    if serving < group.min_size and "Launch" not in group.suspended_processes:
        if not isinstance(view.fleet.activities, Unread) and failed_launches(view):
            raise Skipped("launches fail, which activities reports")
        describe = f"autoscaling describe-scaling-activities --max-items 5 --auto-scaling-group-name {group.name}"
        raise Failed(
            f"{count(serving, 'instance')} in service, the group's min size is {group.min_size}, "
            "and none is launching.",
            view.aws("See why launches fail:", describe),
        )
    states = Counter(instance.state for instance in group.instances)
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no instances"


@check("instances-current", 11, "warning")
def _current(view: View) -> Passed:
    """Every instance was launched from the launch template version that the group uses, or was released to its image.

    Instances without the agent are left to instances-agent: a refresh would end them with their jobs.
    """
    unmanaged = () if isinstance(view.fleet.without_agent, Unread) else view.unmanaged
    desired, template = view.template.version, view.template.id
    if view.fleet.template_id not in (None, template) and not isinstance(view.fleet.template_id, Unread):
        raise Skipped("the group uses another launch template, which group-template reports")
    old = {
        instance.id: f"version {instance.template_version or '-'}"
        + (f" of {instance.template_id or 'no template'}" if instance.template_id != template else "")
        for instance in view.group.in_state("InService", "Standby")
        if not view.is_current(instance) and instance.id not in unmanaged
    }
    if rollout := view.rollout:
        state = f"a rollout of {rollout.what} is under way"
        return Passed(f"{count(len(old), 'instance')} of another version; {state}", {"old": old})
    if view.refreshing:
        return Passed(f"{count(len(old), 'instance')} of another version; a refresh is under way", {"old": old})
    if old:
        raise Failed(
            f"{count(len(old), 'instance')} of another launch template version than {desired}: {first_of(old)}.",
            view.roll_out(text="Replace them:"),
            old=old,
            wanted=desired,
        )
    return Passed(f"all of version {desired}")


@check("instances-agent", 11, "warning")
def _agent(view: View) -> str:
    """Every instance has the agent. Nothing drains the worker of one that was made by hand."""
    if ids := view.unmanaged:
        bare = [i.id for i in view.group.in_state("InService") if i.id in ids and not i.protected]
        kept = view.group.on_hook_abandon == "retain"  # nothing completes their hook
        at_risk = bool(bare) or kept
        raise Failed(
            f"{count(len(ids), 'instance')} without the agent: {first_of(ids)}. A scale-in would end them with their "
            f"jobs, and {f'{len(bare)} of them are not' if bare else 'they are'} protected from it."
            + (" The group would retain each that ends, billed." if kept else ""),
            view.run(
                "site.yml" if at_risk else "replace_unmanaged.yml",
                text="Protect them" if at_risk else "Replace them, one by one, when they are idle",
            ),
            severity="error" if at_risk else "",
            instances=ids,
            unprotected=bare,
        )
    return "all have it"


def _ages(view: View, state: str) -> dict[str, float | None]:
    """Instance in that state -> for how many seconds. None: since before the oldest activity that was read.

    An activity that is not among fewer than LISTED_ACTIVITIES began after they were read: the group is read meanwhile.
    """
    unlisted = None if len(view.activities) >= LISTED_ACTIVITIES else 0.0
    since = {instance.id: waiting_since(view.activities, instance.id) for instance in view.group.in_state(state)}
    return {id: view.now - began if began else unlisted for id, began in since.items()}


def _waiting(view: View, state: str, allowed: float, remedy: Callable[[Sequence[str]], Remedy]) -> Passed:
    """Passes if no instance is in that state for longer than `allowed` seconds; `remedy` gets the ids of those."""
    ages = _ages(view, state)
    if stuck := {id: age for id, age in ages.items() if age is None or age > allowed}:
        listed = ", ".join(
            f"{id} for {duration(age) if age is not None else 'longer than activities are listed'}"
            f"{f' ({_job(view, id)})' if state == TERMINATING else ''}"
            for id, age in sorted(stuck.items())[:5]
        )
        raise Failed(
            f"{count(len(stuck), 'instance')} in {state} for longer than {duration(allowed)}: {listed}.",
            remedy(sorted(stuck)),
            seconds=ages,
        )
    waiting = (f"{id} for {duration(age or 0)} of {duration(allowed)}" for id, age in sorted(ages.items())[:5])
    return Passed(", ".join(waiting) or "none", {"seconds": ages})


@check("instances-pending", 11)
def _pending(view: View) -> Passed:
    """No instance waits for the launch hook for longer than a boot may take."""
    return _waiting(
        view,
        "Pending:Wait",
        view.settings["fleet_boot_timeout_seconds"] + SLACK_SECONDS,
        lambda stuck: Remedy(
            "See why it does not boot, on the instance: ghosthands-agent doctor; journalctl -u ghosthands-boot. "
            "When the hook times out, the group replaces it."
        ),
    )


@check("instances-draining", 11, "warning")
def _draining(view: View) -> Passed:
    """No drain lasts longer than half its limit, or 30 minutes; an error if its worker sends no heartbeats any more.

    A drain that exceeds its limit is left to instances-terminating.
    """
    limit = view.settings["fleet_drain_limit_seconds"]
    usual = min(limit / 2, LONGEST_JOB_SECONDS)
    ages = {id: age for id, age in _ages(view, TERMINATING).items() if age is not None and age <= _longest_drain(view)}
    workers = {id: view.registry_read.worker(id) if view.registry_read else None for id in ages}
    silent = [id for id, row in workers.items() if row and min(ages[id], row.heartbeat_age) > STALE_SECONDS]
    long = sorted({*silent, *(id for id, age in ages.items() if age > usual)})
    if not long:
        return Passed(f"{count(len(ages), 'drain')} under way", {"seconds": ages})
    listed = "; ".join(f"{id} for {duration(ages[id])} of {duration(limit)}, {_job(view, id)}" for id in long[:5])
    raise Failed(
        f"{count(len(long), 'instance')} draining for longer than usual: {listed}.",
        _terminate_now(
            view,
            long,
            "A job in review (awaiting_review in gh_automation_jobs) stays until the limit, others end by themselves. "
            "Where heartbeats have stopped, see on the instance: journalctl -u ghosthands-watch; docker logs of the "
            "worker.",
        ),
        severity="error" if silent else "",
        drains={
            id: {
                "seconds": ages[id],
                "left_seconds": max(0.0, limit - ages[id]),
                "job": row.job_id if (row := workers[id]) else None,
                "heartbeat_age_seconds": row.heartbeat_age if row else None,
            }
            for id in long
        },
    )


def _job(view: View, instance: str) -> str:
    """What the registry says about the job of an instance, for people."""
    try:
        row = view.registry.worker(instance)
    except Skipped as reason:
        return f"job unknown ({reason})"
    if row is None:
        return "no worker in the registry"
    return f"job {row.job_id or 'none'}, {row.status}, heartbeat {duration(row.heartbeat_age)} ago"


@check("instances-terminating", 11)
def _terminating(view: View) -> Passed:
    """No instance waits for the termination hook for longer than a drain may take."""
    return _waiting(
        view,
        TERMINATING,
        _longest_drain(view),
        lambda stuck: _terminate_now(
            view, stuck, "See why its drain does not end, on the instance: journalctl -u ghosthands-watch."
        ),
    )


def _longest_drain(view: View) -> float:
    return float(view.settings["fleet_drain_limit_seconds"] + view.settings["fleet_stop_grace_seconds"] + SLACK_SECONDS)


def _terminate_now(view: View, ids: Sequence[str], text: str) -> Remedy:
    """A remedy: what to do first, and how to terminate instances whose hook waits without waiting for their jobs."""
    complete = (
        "autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE "
        f"--auto-scaling-group-name {view.group.name} "
        f"--lifecycle-hook-name {view.settings['fleet_termination_hook_name']} --instance-id"
    )
    return view.aws(
        f"{text} To terminate it now (the drain guard hands its job back, without the guard it is lost):",
        *(f"{complete} {id}" for id in ids[:5]),
    )


@check("instances-retained", 11, "warning")
def _retained(view: View) -> str:
    """No instance is retained: its job may be lost, or its agent failed. More than fleet_retained_max are an error."""
    retained, most = view.group.in_state(RETAINED), view.settings["fleet_retained_max"]
    if retained:
        price = 24 * sum(hourly(view.settings["fleet_region"], instance.type) or 0.0 for instance in retained)
        cost = f" They cost {price:.2f} USD a day." if price else ""
        above = f" That is more than fleet_retained_max ({most})." if len(retained) > most else ""
        ids = [instance.id for instance in retained]
        named, playbook = ",".join(ids), view.command_line.playbook
        raise Failed(
            f"{count(len(ids), 'instance')} retained, as a job may be lost or the agent failed: {first_of(ids)}."
            f"{above}{cost}",
            Remedy(
                "The first command lists their last jobs and log lines. Once you have looked at them, end them:",
                (playbook("release_retained.yml"), playbook("release_retained.yml", "-e", f"fleet_release={named}")),
            ),
            "error" if above else "",
            instances=ids,
            usd_a_day=round(price, 2),
        )
    return "none"


@check("instances-outside", 11, "warning")
def _outside(view: View) -> str:
    """No instance of the fleet runs outside of the group: detached ones are never drained, replaced or counted."""
    if outside := view.outsiders:
        ids = sorted(instance.id for instance in outside)
        attach = f"autoscaling attach-instances --auto-scaling-group-name {view.group.name} --instance-ids"
        raise Failed(
            f"{count(len(ids), 'instance')} with the fleet's tags in no group: {first_of(ids)}. "
            "Their workers take jobs, nothing drains or replaces them, and they are billed.",
            view.aws(
                "Attach them again (where max size leaves room), so that the group drains them; or terminate them once "
                "they are idle:",
                *(f"{attach} {' '.join(ids[first : first + 20])}" for first in range(0, min(len(ids), 100), 20)),
            ),
            instances=ids,
        )
    return "none"


@check("instances-standby", 11, "info")
def _standby(view: View) -> Passed:
    """Which instances are in standby. It never fails: ATM puts idle instances there and stops them."""
    ids = [instance.id for instance in view.group.in_state("Standby")]
    return Passed(f"{count(len(ids), 'instance')} in standby: {first_of(ids)}" if ids else "none", {"instances": ids})


def _busy(view: View) -> set[str]:
    rows = view.registry.rows
    return {row.instance_id for row in rows if row.job_id and row.status != "offline" and row.instance_id}


@check("instances-shielded", 11, "warning")
def _protected(view: View) -> str:
    """Every busy instance is protected from scale-in. The agent protects it a moment after its job began."""
    busy = _busy(view)
    if bare := [
        instance.id for instance in view.group.in_state("InService") if instance.id in busy and not instance.protected
    ]:
        raise Failed(
            f"{count(len(bare), 'instance')} busy and not protected from scale-in: {first_of(bare)}. "
            "The drain still saves the job, but the scale-in waits for it.",
            _set_protection(view, "--protected-from-scale-in", bare, "Until then:"),
            instances=bare,
        )
    return f"{count(len(busy), 'busy instance')}"


@check("instances-idle-shielded", 11, "warning")
def _unprotected(view: View) -> str:
    """No idle instance is protected from scale-in, unless it may have had a job a moment ago: protection lingers."""
    workers = {row.instance_id: row for row in view.registry.rows if row.status == "active"}
    idle = workers.keys() - _busy(view) - set(view.unmanaged)  # nothing protects those when they become busy
    protected = [each.id for each in view.group.in_state("InService") if each.protected and each.id in idle]
    linger = view.settings["fleet_protection_linger_seconds"]
    has_worked = [id for id in protected if linger and workers[id].jobs_completed + workers[id].jobs_failed]
    if kept := [id for id in protected if id not in has_worked]:
        raise Failed(
            f"{count(len(kept), 'instance')} idle and protected from scale-in: {first_of(kept)}. "
            "The group cannot scale in below them.",
            _set_protection(view, "--no-protected-from-scale-in", kept, "To remove the protection:"),
            instances=kept,
        )
    return f"{count(len(has_worked), 'instance')}, each for {linger} s after a job" if has_worked else "none"


def _set_protection(view: View, option: str, ids: Sequence[str], text: str) -> Remedy:
    return view.aws(
        f"See whether the agent runs, on the instance: systemctl status ghosthands-watch. {text}",
        f"autoscaling set-instance-protection {option} --auto-scaling-group-name {view.group.name} "
        f"--instance-ids {' '.join(ids[:50])}",
    )


@check("instances-ec2", 11)
def _ec2(view: View) -> str:
    """Every instance that the group has in service runs in EC2."""
    instances = view.instances
    states = {
        instance.id: instances[instance.id].state if instance.id in instances else "unknown to EC2"
        for instance in view.group.in_state("InService")
    }
    if stopped := {id: state for id, state in states.items() if state != "running"}:
        listed = ", ".join(f"{id} is {state}" for id, state in sorted(stopped.items())[:5])
        raise Failed(
            f"In service and not running: {listed}.",
            "The group's health check replaces them within minutes; if it does not, it is suspended.",
            instances=stopped,
        )
    if not instances and view.group.instances:
        raise Skipped("EC2 shows none of them yet")
    return f"{count(len(instances), 'instance')}"
