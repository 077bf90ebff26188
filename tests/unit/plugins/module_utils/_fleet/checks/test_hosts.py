# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doctors found on hosts becomes one finding for each of their checks."""

from __future__ import annotations

from typing import Any, cast

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.hosts import from_hosts
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import Host, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy


class Asked:
    """A view of hosts alone."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts or None


def findings(*hosts: Host) -> dict[str, Finding]:
    return {f.id: f for f in from_hosts(cast(View, Asked(*hosts)))}


def doctor_finding(
    ok: bool = True, severity: str = "error", id: str = "agent_conf", detail: str = "it is there"
) -> dict[str, Any]:
    return {"id": id, "severity": severity, "ok": ok, "detail": detail, "remedy": "" if ok else "Fix it."}


def test_where_hosts_were_not_asked_one_finding_says_that_nothing_is_known_of_the_guard() -> None:
    asked = findings()["host-asked"]
    assert findings() == {"host-asked": asked}
    assert (asked.ok, asked.severity, asked.evidence) == (True, "info", {"looked": False})
    assert "(fleet_host_checks)" in asked.detail
    assert "guard" in asked.detail


def test_healthy_hosts_give_one_finding_together() -> None:
    both = findings(Host("i-1", "", (doctor_finding(),)), Host("i-2", "", (doctor_finding(),)))
    assert {id: f.ok for id, f in both.items()} == {"host-asked": True, "host-agent-conf": True}
    assert both["host-agent-conf"].evidence == {"hosts": 2}


def test_an_unhealthy_host_is_named_with_its_remedy() -> None:
    bad = findings(
        Host("i-1", "", (doctor_finding(),)), Host("i-2", "", (doctor_finding(ok=False, detail="GROUP is missing"),))
    )["host-agent-conf"]
    assert (bad.ok, bad.severity, bad.remedy) == (False, "error", Remedy("Fix it."))
    assert bad.detail == "1 of 2 hosts: i-2: GROUP is missing."
    assert bad.evidence == {"i-2": "GROUP is missing"}


@pytest.mark.parametrize(
    ("severities", "worst"), [(("warning", "warning"), "warning"), (("warning", "error"), "error")]
)
def test_of_several_hosts_the_worst_severity_counts(severities: tuple[str, str], worst: str) -> None:
    hosts = (
        Host(f"i-{n}", "", (doctor_finding(ok=False, severity=severity),)) for n, severity in enumerate(severities)
    )
    assert findings(*hosts)["host-agent-conf"].severity == worst


def test_an_unknown_severity_is_a_warning() -> None:
    assert (
        findings(Host("i-1", "", (doctor_finding(ok=False, severity="fatal"),)))["host-agent-conf"].severity
        == "warning"
    )


def test_the_detail_names_three_of_many_hosts() -> None:
    bad = findings(*(Host(f"i-{n}", "", (doctor_finding(ok=False),)) for n in range(9)))["host-agent-conf"]
    assert bad.detail.startswith("9 of 9 hosts: i-0: ")
    assert "i-3" not in bad.detail
    assert len(bad.evidence) == 9


def test_a_host_that_cannot_be_asked_is_reported_with_the_others_findings() -> None:
    some = findings(Host("i-1", "no route to it"), Host("i-2", "", (doctor_finding(),)))
    assert some["host-asked"].detail == "1 host could not be asked: i-1: no route to it."
    assert some["host-agent-conf"].evidence == {"hosts": 1}


def test_an_answer_without_findings_is_not_understood() -> None:
    assert "i-1: its answer cannot be understood" in findings(Host("i-1", ""))["host-asked"].detail


@pytest.mark.parametrize("answer", [{"id": "secret"}, "secret", None, 7, []], ids=repr)
def test_an_answer_that_is_no_finding_is_not_understood(answer: Any) -> None:
    some = findings(Host("i-1", "", (answer,)))
    assert set(some) == {"host-asked"}
    assert "i-1: its answer cannot be understood" in some["host-asked"].detail
