# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11, instance launch and scale-in: the instances, and who of them is stuck."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.history import failed_launches
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    count,
    named,
    span,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Member, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import hourly

WAITS = {"Pending:Wait": "come up", "Terminating:Wait": "drain"}
SLACK_SECONDS = 120.0  # between an agent's last word and the state that Auto Scaling shows


@check("instances-healthy", 11)
def _healthy(v: View) -> str:
    """Those that do not run are instances-ec2's."""
    machines = {} if isinstance(v.fleet.machines, Unread) else v.fleet.machines
    off = {m.id for m in machines.values() if m.state != "running"}
    if ill := [m.id for m in v.group.in_state("InService") if m.health != "Healthy" and m.id not in off]:
        raise Wrong(
            f"{count(len(ill), 'instance')} unhealthy: {named(ill)}.",
            "The group replaces them; where it does not, look at suspended processes and activities. Why: `ghosthands-agent doctor` on the instance.",
            instances=ill,
        )
    return f"{count(len(v.group.in_state('InService')), 'instance')} healthy"


@check("instances-serving", 11)
def _serving(v: View) -> str:
    g = v.group
    serving, coming = len(g.in_state("InService")), [m for m in g.members if m.state.startswith("Pending")]
    if serving < g.min_size and coming:
        raise NotLookedAt(f"{serving} of {g.min_size} in service, {len(coming)} coming")
    if serving < g.min_size and "Launch" not in g.suspended:
        if not isinstance(v.fleet.activities, Unread) and failed_launches(v):
            raise NotLookedAt("launches fail, which is activities' to say")
        raise Wrong(
            f"{count(serving, 'instance')} in service, the group's least is {g.min_size}, and none is coming.",
            f"See why launches fail: {v.aws(f'autoscaling describe-scaling-activities --max-items 5 --auto-scaling-group-name {g.name}')}",
        )
    states: dict[str, int] = {}
    for m in g.members:
        states[m.state] = states.get(m.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no instances"


@check("instances-current", 11, "warning")
def _current(v: View) -> Seen:
    wanted = v.template
    old = {
        m.id: f"version {m.version or '-'}"
        for m in v.group.in_state("InService", "Standby")
        if m.version != str(wanted.number)
    }
    if v.refreshing:
        return Seen(f"{count(len(old), 'instance')} of another version; a refresh is under way", {"old": old})
    if old:
        raise Wrong(
            f"{count(len(old), 'instance')} of another launch template version than {wanted.number}: {named(old)}.",
            "Replace them: " + v.aws(f"autoscaling start-instance-refresh --auto-scaling-group-name {v.group.name}"),
            old=old,
            wanted=wanted.number,
        )
    return Seen(f"all of version {wanted.number}")


def _stuck(v: View, state: str, allowed: float, remedy: str) -> Seen:
    waiting = v.group.in_state(state)
    since = {m.id: began_waiting(v, m) for m in waiting}
    # What no activity tells of any more began before the oldest that is told.
    ages = {one: v.now - at if at else None for one, at in since.items()}
    long = {one: age for one, age in ages.items() if age is None or age > allowed}
    if long:
        said = ", ".join(
            f"{one} for {span(age) if age is not None else 'longer than activities tell'}"
            for one, age in sorted(long.items())[:5]
        )
        raise Wrong(
            f"{count(len(long), 'instance')} in {state} longer than the {span(allowed)} that it may take: {said}.",
            remedy,
            seconds=ages,
        )
    return Seen(
        ", ".join(f"{one} for {span(age or 0)} of {span(allowed)}" for one, age in sorted(ages.items())[:5]) or "none",
        {"seconds": ages},
    )


def began_waiting(v: View, member: Member) -> float:
    """When the activity that holds it began, seconds since the epoch; 0: none tells."""
    return next((a.began for a in v.activities if a.instance == member.id and not a.ended), 0.0)


@check("instances-pending", 11)
def _pending(v: View) -> Seen:
    return _stuck(
        v,
        "Pending:Wait",
        v.s["fleet_boot_timeout_seconds"] + SLACK_SECONDS,
        "Why it does not boot: `ghosthands-agent doctor` and `journalctl -u ghosthands-boot` on it; the hook gives it up in the end.",
    )


@check("instances-terminating", 11)
def _terminating(v: View) -> Seen:
    group, name = v.group.name, v.s["fleet_termination_hook_name"]
    first = next(iter(v.group.in_state("Terminating:Wait")), None)
    ends = v.aws(
        f"autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --auto-scaling-group-name {group} --lifecycle-hook-name {name} "
        f"--instance-id {first.id if first else 'INSTANCE'}"
    )
    allowed = v.s["fleet_drain_limit_seconds"] + v.s["fleet_stop_grace_seconds"] + SLACK_SECONDS
    return _stuck(
        v,
        "Terminating:Wait",
        allowed,
        f"Why its drain does not end: `journalctl -u ghosthands-watch` on it. To end it without its job: {ends}",
    )


@check("instances-retained", 11, "warning")
def _retained(v: View) -> str:
    kept = v.group.in_state("Terminating:Retained")
    if kept:
        price = sum(hourly(v.s["fleet_region"], m.type) or 0.0 for m in kept)
        cost = f" They cost {price * 24:.2f} USD a day." if price else ""
        ends = " ".join(
            v.aws(
                f"autoscaling terminate-instance-in-auto-scaling-group --instance-id {m.id} --no-should-decrement-desired-capacity"
            )
            for m in kept[:5]
        )
        raise Wrong(
            f"{count(len(kept), 'instance')} kept because the drain failed: {named(m.id for m in kept)}.{cost}",
            f"Look at them (a job may have been cut short), then end them: {ends}",
            instances=[m.id for m in kept],
            usd_a_day=round(price * 24, 2),
        )
    return "none"


@check("instances-standby", 11, "info")
def _standby(v: View) -> Seen:
    """ATM puts idle instances there and stops them: that is no failure."""
    aside = v.group.in_state("Standby")
    return Seen(
        f"{count(len(aside), 'instance')} set aside: {named(m.id for m in aside)}" if aside else "none",
        {"instances": [m.id for m in aside]},
    )


def _busy(v: View) -> set[str]:
    return {row.instance_id for row in v.registry.rows if row.job_id and row.status != "offline" and row.instance_id}


@check("instances-shielded", 11, "warning")
def _shielded(v: View) -> str:
    """The agent protects an instance while its worker is busy; it needs a moment to do so."""
    if bare := [m.id for m in v.group.in_state("InService") if m.id in _busy(v) and not m.protected]:
        raise Wrong(
            f"{count(len(bare), 'instance')} busy and not protected from scale-in: {named(bare)}. The drain still saves the job, at the price of its wait.",
            "See whether the agent watches: `systemctl status ghosthands-watch` on it. Until then: "
            + v.aws(
                f"autoscaling set-instance-protection --protected-from-scale-in --auto-scaling-group-name {v.group.name} --instance-ids {' '.join(bare[:50])}"
            ),
            instances=bare,
        )
    return f"{count(len(_busy(v)), 'busy instance')}"


@check("instances-idle-shielded", 11, "warning")
def _idle(v: View) -> str:
    known = {row.instance_id for row in v.registry.rows if row.status == "active"}
    if idle := [m.id for m in v.group.in_state("InService") if m.protected and m.id in known - _busy(v)]:
        lets_go = (
            f"autoscaling set-instance-protection --no-protected-from-scale-in --auto-scaling-group-name {v.group.name}"
        )
        raise Wrong(
            f"{count(len(idle), 'instance')} idle and protected from scale-in: {named(idle)}. The fleet cannot shrink below them.",
            "See whether the agent watches: `systemctl status ghosthands-watch` on it. To let it go: "
            + v.aws(f"{lets_go} --instance-ids {' '.join(idle[:50])}"),
            instances=idle,
        )
    return "none"


@check("instances-ec2", 11)
def _ec2(v: View) -> str:
    """The group's and EC2's ideas of the same instances."""
    there = v.machines
    odd = {
        m.id: there[m.id].state if m.id in there else "not there"
        for m in v.group.in_state("InService")
        if m.id not in there or there[m.id].state != "running"
    }
    if odd:
        said = ", ".join(f"{one} is {state}" for one, state in sorted(odd.items())[:5])
        raise Wrong(
            f"In service and not running: {said}.",
            "The group's health check replaces them within minutes; if not, it is suspended.",
            instances=odd,
        )
    if not there and v.group.members:
        raise NotLookedAt("EC2 shows none of them yet")
    return f"{count(len(there), 'instance')}"
