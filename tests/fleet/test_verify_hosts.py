"""Checks on hosts by verify.yml, through SSH (here a small program) and Run Command.

tests/e2e/test_doctor.py uses real SSH.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.fleet.cloud import Run
from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet, doctor_finding

VERIFY = "playbooks/verify.yml"
LIMIT_SECONDS = 30  # of a drain: the shortest that settings allow
HEALTHY = json.dumps({"findings": [doctor_finding("disk"), doctor_finding("secret")]})
SSH = """#!/bin/sh
for word; do case $word in HostKeyAlias=*) instance=${word#*=};; esac; done
cd "$(dirname "$0")"
if [ -x "$instance" ]; then exec "./$instance"; else cat healthy; fi
"""


class Hosts:
    """The hosts of a healthy fleet, and what SSH returns for each."""

    def __init__(self, fleet: HealthyFleet, folder: Path) -> None:
        self.fleet, self.programs, self.report = fleet, folder / "programs", folder / "report"
        self.programs.mkdir()
        (self.programs / "healthy").write_text(HEALTHY)
        self._program("ssh", SSH)
        self.one, self.other = fleet.in_service()

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def set_script(self, instance: str, script: str) -> None:
        """Set the script that replaces SSH to this instance."""
        self._program(instance, f"#!/bin/sh\n{script}\n")

    def set_output(self, instance: str, text: str) -> None:
        """Set what the doctor on this instance prints."""
        (self.programs / f"{instance}.output").write_text(text)
        self.set_script(instance, f"cat {instance}.output")

    def verify(self, by: str = "ssh", *more: str, **variables: Any) -> Run:
        options = {"fleet_host_checks": by, "fleet_report_dir": str(self.report), **variables}
        return self.fleet.play(VERIFY, *more, programs=self.programs, **options)

    def findings(self) -> dict[str, dict[str, Any]]:
        """The findings of hosts, by id."""
        report = json.loads((self.report / "report.json").read_text())
        return {found["id"]: found for found in report["findings"] if found["id"].startswith("host-")}


@pytest.fixture
def hosts(fleet: HealthyFleet, tmp_path: Path) -> Hosts:
    """Two healthy hosts."""
    return Hosts(fleet, tmp_path)


def test_all_hosts_together_are_one_finding_for_each_of_the_doctors_checks(hosts: Hosts) -> None:
    hosts.set_output(
        hosts.other, json.dumps({"findings": [doctor_finding("disk", "/opt: 0.3 GiB free"), doctor_finding("secret")]})
    )
    run = hosts.verify()
    assert run.returncode == 2, run
    assert "is not right: host-disk." in run.message
    found = hosts.findings()
    assert {name: finding["ok"] for name, finding in found.items()} == {
        "host-asked": True,
        "host-disk": False,
        "host-secret": True,
    }
    assert found["host-disk"]["evidence"] == {hosts.other: "/opt: 0.3 GiB free"}
    assert hosts.fleet.writes() == []


@pytest.mark.slow
@pytest.mark.parametrize("state", ["Standby", "Terminating:Wait"])
def test_a_host_in_a_lifecycle_hook_is_checked_and_one_in_standby_is_not(state: str, hosts: Hosts) -> None:
    autoscaling = hosts.fleet.client("autoscaling")
    if state == "Standby":
        autoscaling.enter_standby(
            AutoScalingGroupName=GROUP, InstanceIds=[hosts.one], ShouldDecrementDesiredCapacity=True
        )
    else:
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=hosts.one, ShouldDecrementDesiredCapacity=True)
    hosts.verify()
    asked = 1 if state == "Standby" else 2
    assert hosts.findings()["host-disk"]["evidence"] == {"hosts": asked}


def test_a_worker_without_the_guard_and_a_long_drain_are_in_the_table_and_in_every_document(hosts: Hosts) -> None:
    doctors = [
        doctor_finding("guard", "the worker runs without the drain guard"),
        doctor_finding("workers", "two workers run on this host: ghosthands-worker-1, gh-worker"),
        doctor_finding("dispatch_mode", "JOB_DISPATCH_MODE is legacy", "warning"),
    ]
    hosts.set_output(hosts.other, json.dumps({"findings": doctors}))
    hosts.fleet.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=hosts.one, ShouldDecrementDesiredCapacity=False
    )
    time.sleep(LIMIT_SECONDS / 2 + 1)
    run = hosts.verify(fleet_drain_limit_seconds=LIMIT_SECONDS)
    assert run.returncode == 2, run
    expected = {
        "host-guard": ("error", 11),
        "host-workers": ("error", 11),
        "host-dispatch-mode": ("warning", 11),
        "instances-draining": ("warning", 11),
        "drift-launch-template": ("error", 3),  # agents have another limit than this run of verify.yml
    }
    report = json.loads((hosts.report / "report.json").read_text())["findings"]
    bad = {found["id"]: (found["severity"], found["section"]) for found in report if not found["ok"]}
    assert bad == expected
    details = {found["id"]: found["detail"] for found in report}
    assert hosts.one in details["instances-draining"]
    assert "job unknown (fleet_registry_dsn is empty)" in details["instances-draining"]
    assert "the worker runs without the drain guard" in details["host-guard"]
    cases = {case.get("name"): case for case in ElementTree.parse(hosts.report / "report.xml").iter("testcase")}
    page = (hosts.report / "report.html").read_text()
    for name, (severity, _section) in expected.items():
        assert name in run.stdout
        assert name in page
        assert cases[name].find("failure" if severity == "error" else "skipped") is not None


HOSTILE = {
    "refuses": "echo 'Permission denied (publickey).' >&2; exit 255",
    "has no agent": "echo 'sudo: /usr/local/bin/ghosthands-agent: command not found' >&2; exit 1",
    "never stops": "exec yes",
    "prints control characters": "printf '\\033[2J\\033]0;mine\\007'",
    "prints incomplete JSON": """printf '{"findings": [{"id": "disk"'""",
    "prints other JSON": """printf '{"findings": [{"id": "<script>alert(1)</script>"}]}'""",
}


@pytest.mark.parametrize(
    "what",
    [what if what in ("refuses", "never stops") else pytest.param(what, marks=pytest.mark.slow) for what in HOSTILE],
)
def test_a_host_that_cannot_be_checked_is_a_warning_and_the_others_are_checked(what: str, hosts: Hosts) -> None:
    hosts.set_script(hosts.one, HOSTILE[what])
    run = hosts.verify()
    assert run.returncode == 0, run
    found = hosts.findings()
    assert found["host-asked"]["detail"].startswith(f"1 host could not be asked: {hosts.one}: ")
    assert found["host-asked"]["severity"] == "warning"
    assert found["host-disk"]["evidence"] == {"hosts": 1}
    assert "\x1b" not in run.stdout + (hosts.report / "report.json").read_text()


def test_a_hosts_output_is_never_templated(hosts: Hosts) -> None:
    mark = hosts.report.parent / "mark"
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(mark) + "') }} \x1b[31m\u202e"
    hosts.set_output(hosts.one, json.dumps({"findings": [doctor_finding("disk", evil)]}))
    run = hosts.verify()
    assert run.returncode == 2, run
    assert "{{ lookup(" in hosts.findings()["host-disk"]["detail"]
    assert not mark.exists()
    assert "\x1b" not in run.stdout


def test_hosts_that_run_command_does_not_manage_are_a_warning(hosts: Hosts) -> None:
    run = hosts.verify("ssm")
    assert run.returncode == 0, run
    assert hosts.findings()["host-asked"]["detail"].startswith("2 hosts could not be asked: ")


def test_check_mode_sends_no_command(hosts: Hosts) -> None:
    run = hosts.verify("ssm", "--check")
    assert run.returncode == 0, run
    assert hosts.fleet.writes() == []
    assert {name: found["evidence"] for name, found in hosts.findings().items()} == {"host-asked": {"looked": False}}
