# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets and findings for reports: right, faulty, of any size, and hostile."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy

Fleet = dict[str, Any]

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
NEW, OLD = "ami-0c2b8a5d4e6f70911", "ami-07f1e2d3c4b5a6978"

#: What a tag's value, a registry row, an instance's answer or an activity's cause may hold.
HOSTILE = (
    "</style></title></svg></pre></details><script>alert(1)</script>",
    "<img src=https://evil.example/x onerror=alert(1)>",
    '" autofocus onfocus="alert(1)" x="',
    "' onmouseover='alert(1)",
    "]]><!--<![CDATA[--><plaintext>",
    "&lt;&amp;&#0;&nonsense;",
    "\x00\x01\x08\x0b\x0c\x1b[2J\x1b]0;title\x07\x7f\x85\r\n\ttabbed",
    "user\u202egnp.exe\u2066\u200f\u2028\u2029\u200b",
    "\ud800 \udfff \ufffe\uffff \U0001f600 e\u0301\u0301\u0301",
    "w" * 10_240,
    "{{ 7 * 7 }} ${7*7} %s {0} `rm -rf /`",
    "javascript:alert(1)",
)


def finding(
    id: str,
    section: int = 4,
    severity: str = "error",
    ok: bool = True,
    detail: str = "As it should be.",
    remedy: str = "",
    commands: tuple[str, ...] = (),
    **evidence: Any,
) -> Finding:
    """A finding; evidence by name."""
    return Finding(id, severity, detail, Remedy(remedy, commands), ok=ok, section=section, evidence=evidence)


def instance(number: int, state: str = "InService", **changes: Any) -> dict[str, Any]:
    """A healthy idle instance on the desired version, its worker registered."""
    return {
        "id": f"i-0{number:016x}",
        "state": state,
        "health": "Healthy",
        "zone": ZONES[number % 3],
        "template_version": "3",
        "image": NEW,
        "type": "c5.xlarge",
        "launched_at": "2026-11-23T09:12:41Z",
        "protected": False,
        "state_seconds": 62_000.0 + 61 * number,
        "worker": worker(number),
        **changes,
    }


def worker(number: int, **changes: Any) -> dict[str, Any]:
    """An idle worker's registry row."""
    row = {
        "id": f"worker-{number}",
        "status": "active",
        "busy": False,
        "job_id": None,
        "heartbeat_age_seconds": 11.0,
        "ip": "203.0.113.7",
    }
    return {**row, **changes}


def busy(number: int) -> dict[str, Any]:
    """What makes an instance a busy one."""
    return {
        "protected": True,
        "worker": worker(number, busy=True, job_id=f"6f1c{number:04x}-02d4-4e6b-9a51-3d0c77f1b2aa"),
    }


def fleet(instances: list[dict[str, Any]], **changes: Any) -> Fleet:
    """A fleet of these instances, and no drain yet."""
    return {
        "name": "gh-worker",
        "group": "gh-worker-asg",
        "region": "us-east-1",
        "account": "123456789012",
        "endpoint": "",
        "at": "2026-11-24T02:26:31Z",
        "template_version": "3",
        "image": NEW,
        "desired": len(instances),
        "min": 1,
        "max": max(10, len(instances)),
        "hook_timeout_seconds": 300,
        "drain_limit_seconds": 2_100,
        "instances": instances,
        "drains": [],
        "monthly_price": None,
        **changes,
    }


def drain(number: int, seconds: float, outcome: str = "empty, hook completed") -> dict[str, Any]:
    """A drain that took so long."""
    return {"instance": f"i-0{number:016x}", "seconds": seconds, "ended_at": "2026-11-24T01:40:02Z", "outcome": outcome}


def right() -> tuple[Fleet, list[Finding]]:
    """A fleet of seven that is right."""
    members = [instance(n, **(busy(n) if n % 2 else {})) for n in range(1, 8)]
    price = {"currency": "USD", "at_least": 131.27, "at_most": 1_312.70, "now": 918.89, "prices_of": "2026-11-01"}
    drains = [drain(40 + n, seconds) for n, seconds in enumerate((4.1, 212.0, 803.5, 38.0, 1_466.0))]
    return fleet(members, drains=drains, monthly_price=price), HOLDING


def faulty() -> tuple[Fleet, list[Finding]]:
    """The same fleet on a bad day."""
    members = [
        *(instance(n, **(busy(n) if n % 2 else {})) for n in range(1, 5)),
        instance(5, template_version="2", image=OLD, **busy(5)),
        instance(6, template_version="2", image=OLD, health="Unhealthy", worker=None),
        instance(7, "Pending:Wait", state_seconds=340.0, worker=None),
        instance(8, "Terminating:Wait", state_seconds=1_212.0, template_version="1", image=OLD, **busy(8)),
        instance(9, "Terminating:Retained", state_seconds=190_000.0, template_version="1", image=OLD, worker=None),
        instance(10, "Standby", worker=None),
    ]
    bad = {found.id: found for found in FAILING}
    findings = [bad.pop(found.id, found) for found in HOLDING] + list(bad.values())
    findings.append(
        finding("instances-shielded", 11, "info", detail="Not looked at: fleet_registry_dsn is empty.", looked=False)
    )
    drains = [drain(40 + n, seconds) for n, seconds in enumerate((4.1, 212.0, 803.5, 38.0, 1_466.0))]
    drains.append(drain(51, 2_760.0, "the hook timed out; ABANDON kept the instance"))
    return right()[0] | {"instances": members, "desired": 9, "drains": drains}, findings


def large(number: int = 1_000) -> tuple[Fleet, list[Finding]]:
    """A thousand instances while a rollout is under way, a doctor's findings from each."""
    members = []
    for n in range(number):
        changes = busy(n) if n % 3 == 0 else {}
        if n % 10 in (3, 7):
            changes |= {"template_version": "2", "image": OLD}
        if n % 97 == 5:
            changes |= {"health": "Unhealthy"}
        state = "Terminating:Wait" if n % 41 == 9 else "Pending" if n % 53 == 20 else "InService"
        if state != "InService":
            changes |= {"state_seconds": 20.0 + n / 5}
        members.append(instance(n, state, **changes))
    hosts = [
        finding(
            f"host-{check}",
            8,
            ok=False,
            detail=f"{member['id']} has 1.1 GiB left.",
            remedy="Grow fleet_volume_size_gib.",
            instance=member["id"],
        )
        if check == "disk" and n % 90 == 0
        else finding(f"host-{check}", 8, detail="As it should be.", instance=member["id"])
        for n, member in enumerate(members)
        for check in ("disk", "clock", "display")
    ]
    drains = [drain(5_000 + n, 7.0 + (n * 7_919) % 1_900) for n in range(160)]
    return fleet(members, drains=drains), [*HOLDING, *hosts]


def none() -> tuple[Fleet, list[Finding]]:
    """A group that has just been made, with no instance and none desired."""
    return fleet([], min=0), HOLDING[:5]


def hostile(words: str) -> tuple[Fleet, list[Finding]]:
    """The faulty fleet with every text from outside replaced by these words, on which no element of a page depends."""
    like, findings = faulty()
    members = [
        member
        | dict.fromkeys(("id", "health", "zone", "type", "image", "launched_at"), words)
        | {"worker": worker(n, **dict.fromkeys(("id", "status", "ip", "job_id"), words))}
        for n, member in enumerate(like["instances"])
    ]
    members[0] |= {"state": words, "template_version": words}
    drains = [drain(n, 10.0) | {"instance": words, "outcome": words, "ended_at": words} for n in range(3)]
    names = dict.fromkeys(("name", "group", "account", "region", "endpoint", "at", "image"), words)
    replaced = [
        found._replace(detail=words, evidence={"instance": words, words: [words, {"deeper": words}]})
        for found in findings
    ]
    return like | names | {"instances": members, "drains": drains, "monthly_price": {words: words}}, replaced


HOLDING = [
    finding("account", 1, detail="Account 123456789012, as fleet_account_id says."),
    finding("network", 1, detail="vpc-0a1b2c3d with subnets in us-east-1a, us-east-1b and us-east-1c."),
    finding("quota", 1, "warning", detail="64 vCPUs of c5.xlarge may run; 10 instances need 40."),
    finding("image", 2, detail=f"{NEW} (gh-worker-20261120-1432) is available."),
    finding("image-age", 2, "warning", detail="Baked 4 days ago."),
    finding("image-origin", 2, "warning", detail="Baked by this kit, agent.conf schema 1."),
    finding("imds-v2", 3, detail="Metadata answers IMDSv2 only, hop limit 2.", http_tokens="required"),
    finding("volume-encrypted", 3, detail="30 GiB gp3, encrypted."),
    finding("group", 4, detail="gh-worker-asg is in three zones, 1 to 10 instances."),
    finding("group-version", 4, detail="Pinned to version 3."),
    finding("instances-version", 4, "warning", detail="All 7 run version 3."),
    finding("processes", 4, detail="AZRebalance is suspended."),
    finding("sizes-owned-by-valet", 4, "info", detail="1 to 10, as the inventory says."),
    finding("hook", 5, detail="gh-worker-termination: terminating, 300 s, ABANDON.", timeout=300),
    finding("hook-name", 5, detail="The user data names the group's hook."),
    finding("hook-retention", 5, detail="An abandoned instance is retained."),
    finding("instances-draining", 11, "warning", detail="No drain under way."),
    finding("host-guard", 11, detail="The drain guard is attached."),
    finding("role-actions", 6, detail="Simulated: the role may do all 9 actions that the agent calls."),
    finding("world-open", 7, detail="No port is open to 0.0.0.0/0 or ::/0."),
    finding("agent-conf", 8, detail="The user data is agent.conf, schema 1."),
    finding("secret", 9, detail="ghosthands/worker/env is there, rotated 12 days ago."),
    finding("log-group", 9, "warning", detail="Received 40 s ago."),
    finding("valet-policy", 10, detail="VALET may describe the group and set its sizes."),
    finding("registry-heartbeat", 11, detail="All 7 workers sent a heartbeat within 30 s."),
    finding("registry-jobs", 11, detail="No job is held by two workers."),
]
FAILING = [
    finding(
        "hook-name",
        5,
        ok=False,
        detail="The user data of version 3 gives the agent hook gh-worker-terminate, but the group's hook is "
        "gh-worker-termination: no drain is ever completed.",
        remedy="Write the template again, then replace the instances, which read it at boot:",
        commands=(
            "ansible-playbook playbooks/launch_template.yml -i staging "
            "-e fleet_termination_hook_name=gh-worker-termination",
            "ansible-playbook playbooks/rollout.yml -i staging",
        ),
        group="gh-worker-asg",
        hook="gh-worker-termination",
        found="gh-worker-terminate",
        versions=["3"],
    ),
    finding(
        "instances-draining",
        11,
        "warning",
        ok=False,
        detail="1 instance draining for longer than usual: i-00000000000000008 for 20 min of 35 min, "
        "job 6f1c0008-02d4-4e6b-9a51-3d0c77f1b2aa, draining, heartbeat 12 s ago.",
        remedy="A job in review (awaiting_review in gh_automation_jobs) stays until the limit, others end by "
        "themselves. To terminate it now (the drain guard hands its job back, without the guard it is lost):",
        commands=(
            "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE "
            "--auto-scaling-group-name gh-worker-asg --lifecycle-hook-name gh-worker-termination "
            "--instance-id i-00000000000000008 --region us-east-1",
        ),
        drains={
            "i-00000000000000008": {
                "seconds": 1_212.0,
                "left_seconds": 888.0,
                "job": "6f1c0008-02d4-4e6b-9a51-3d0c77f1b2aa",
                "heartbeat_age_seconds": 12.0,
            }
        },
    ),
    finding(
        "host-guard",
        11,
        ok=False,
        detail="1 of 8 hosts: i-00000000000000005: the worker runs without the drain guard: "
        "its process was not started with it.",
        remedy="Start boot again on an idle instance, or replace it.",
    )._replace(evidence={"i-00000000000000005": "the worker runs without the drain guard"}),
    finding(
        "instances-version",
        4,
        "warning",
        ok=False,
        detail="4 of 10 instances run an old version: 2 of version 2, 2 of version 1.",
        remedy="Roll them out when it suits:",
        commands=("ansible-playbook playbooks/rollout.yml -i staging",),
        old={"1": ["i-00000000000000008", "i-00000000000000009"], "2": ["i-00000000000000005", "i-00000000000000006"]},
    ),
    finding(
        "sizes-owned-by-valet",
        4,
        "info",
        ok=False,
        detail="The group's sizes are 1 to 10, fleet_min_size and fleet_max_size say 2 to 12. Left to VALET.",
        remedy="To converge them: -e fleet_size_owner=playbook",
    ),
    finding(
        "host-unreachable",
        8,
        "warning",
        ok=False,
        detail="i-00000000000000006 could not be asked: port 22 is closed.",
        remedy="Open it for the controller in fleet_ssh_cidrs, or set fleet_host_checks to none.",
        instance="i-00000000000000006",
    ),
]
