# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents say of their hosts comes to one finding a check, and what is no answer to a finding of its own."""

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


def found(*hosts: Host) -> dict[str, Finding]:
    return {f.id: f for f in from_hosts(cast(View, Asked(*hosts)))}


def said(
    ok: bool = True, severity: str = "error", id: str = "agent_conf", detail: str = "it is there"
) -> dict[str, Any]:
    return {"id": id, "severity": severity, "ok": ok, "detail": detail, "remedy": "" if ok else "Fix it."}


def test_where_nobody_is_to_ask_nothing_is_said() -> None:
    assert found() == {}


def test_hosts_that_are_well_agree_on_one_finding() -> None:
    both = found(Host("i-1", "", (said(),)), Host("i-2", "", (said(),)))
    assert {id: f.ok for id, f in both.items()} == {"host-asked": True, "host-agent-conf": True}
    assert both["host-agent-conf"].evidence == {"hosts": 2}


def test_one_host_that_is_not_well_is_named_with_its_remedy() -> None:
    bad = found(Host("i-1", "", (said(),)), Host("i-2", "", (said(ok=False, detail="GROUP is missing"),)))[
        "host-agent-conf"
    ]
    assert (bad.ok, bad.severity, bad.remedy) == (False, "error", Remedy("Fix it."))
    assert bad.detail == "1 of 2 hosts: i-2: GROUP is missing."
    assert bad.evidence == {"i-2": "GROUP is missing"}


@pytest.mark.parametrize(
    ("severities", "worst"), [(("warning", "warning"), "warning"), (("warning", "error"), "error")]
)
def test_of_several_hosts_the_gravest_word_counts(severities: tuple[str, str], worst: str) -> None:
    hosts = (Host(f"i-{n}", "", (said(ok=False, severity=severity),)) for n, severity in enumerate(severities))
    assert found(*hosts)["host-agent-conf"].severity == worst


def test_a_severity_that_nobody_knows_warns() -> None:
    assert found(Host("i-1", "", (said(ok=False, severity="fatal"),)))["host-agent-conf"].severity == "warning"


def test_only_three_of_many_hosts_are_told_in_words() -> None:
    bad = found(*(Host(f"i-{n}", "", (said(ok=False),)) for n in range(9)))["host-agent-conf"]
    assert bad.detail.startswith("9 of 9 hosts: i-0: ")
    assert "i-3" not in bad.detail
    assert len(bad.evidence) == 9


def test_a_host_that_cannot_be_asked_is_a_finding_and_the_others_are_heard() -> None:
    some = found(Host("i-1", "no route to it"), Host("i-2", "", (said(),)))
    assert some["host-asked"].detail == "1 host could not be asked: i-1: no route to it."
    assert some["host-agent-conf"].evidence == {"hosts": 1}


def test_an_answer_without_a_finding_is_not_understood() -> None:
    assert "i-1: its answer cannot be understood" in found(Host("i-1", ""))["host-asked"].detail


@pytest.mark.parametrize("answer", [{"id": "secret"}, "secret", None, 7, []], ids=repr)
def test_an_answer_that_is_no_finding_is_not_understood(answer: Any) -> None:
    some = found(Host("i-1", "", (answer,)))
    assert set(some) == {"host-asked"}
    assert "i-1: its answer cannot be understood" in some["host-asked"].detail
