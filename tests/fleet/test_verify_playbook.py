"""verify.yml as an operator and CI run it: a table, a report and an exit code for each fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.fleet.cloud import PlaybookCloud
from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet

VERIFY = "playbooks/verify.yml"
AT_MOST_CALLS = 20
DOCUMENTS = {"report.json", "report.xml", "report.html"}


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    """The findings of the report in a folder, by id."""
    report = json.loads((folder / "report.json").read_text())
    return {found["id"]: found for found in report["findings"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reports are written."""
    return tmp_path / "reports"


def test_a_healthy_fleet_exits_with_0_and_three_documents_and_writes_nothing_to_aws(
    fleet: HealthyFleet, folder: Path
) -> None:
    run = fleet.play(VERIFY, fleet_report_dir=str(folder))
    assert run.returncode == 0, run
    assert fleet.writes() == []
    assert run.changed == 0
    # The policy simulator is asked once for each service, as AWS wants it; us-east-1e is a default zone without t3.
    besides = ("SimulatePrincipalPolicy", "DescribeInstanceTypeOfferings")
    assert len([call for call in fleet.calls() if call["action"] not in besides]) < AT_MOST_CALLS
    assert {file.name for file in folder.iterdir()} == DOCUMENTS
    assert [f for f in findings(folder).values() if not f["ok"]] == []
    suite = ElementTree.parse(folder / "report.xml").getroot()
    assert suite.findall(".//testcase")
    assert suite.findall(".//failure") == []


def test_an_empty_account_is_reported_and_exits_with_2(cloud: PlaybookCloud, folder: Path) -> None:
    run = cloud.play(VERIFY, fleet_report_dir=str(folder))
    assert run.returncode == 2, run
    assert run.message.startswith(f"{GROUP} is not right: ")
    assert f"The report: {folder}/report.html" in run.message
    assert not findings(folder)["group-exists"]["ok"]


def test_a_failed_fleet_does_not_prevent_another_fleets_report(fleet: HealthyFleet, folder: Path) -> None:
    names = {"local": "gh-worker-local", "gone": "gh-worker-gone"}
    local = {"fleet_image_max_age_days": 3650}  # as inventories/local has it
    hosts = {
        host: {**local, "fleet_name": name, "fleet_report_dir": str(folder / host)} for host, name in names.items()
    }
    run = fleet.play_hosts(VERIFY, hosts=hosts)
    assert run.returncode == 2, run
    assert run.messages.keys() == {"gone"}
    assert not findings(folder / "gone")["group-exists"]["ok"]
    assert [f for f in findings(folder / "local").values() if not f["ok"]] == []


def test_invalid_variables_do_not_prevent_another_fleets_report(fleet: HealthyFleet, folder: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {
        "local": {"fleet_name": "gh-worker-local", "fleet_image_max_age_days": 3650, "fleet_report_dir": str(folder)},
        "wrong": {"fleet_name": "gh-worker-wrong", "fleet_min_size": 20, "fleet_report_dir": ""},
    }
    run = fleet.play_hosts(VERIFY, hosts=hosts)
    assert run.returncode == 2, run
    assert "fleet_min_size (20) is above fleet_max_size" in run.messages["wrong"]
    assert findings(folder)["group-exists"]["ok"]


def test_a_warning_fails_the_run_if_fail_on_is_warning(fleet: HealthyFleet, folder: Path) -> None:
    fleet.client("autoscaling").disable_metrics_collection(AutoScalingGroupName=GROUP)
    run = fleet.play(VERIFY, fleet_verify_fail_on="warning", fleet_report_dir=str(folder))
    assert run.returncode == 2, run
    assert findings(folder)["group-metrics"]["severity"] == "warning"
    assert "group-metrics" in run.stdout
    assert run.message == f"{GROUP} is not right: group-metrics. The report: {folder}/report.html"


def test_an_unreachable_registry_is_a_finding_beside_all_others(fleet: HealthyFleet, folder: Path) -> None:
    password = "k4n4rienvogel"
    down = f"postgresql://reader:{password}@127.0.0.1:1/gh"
    run = fleet.play(VERIFY, fleet_registry_dsn=down, fleet_registry_sslmode="disable", fleet_report_dir=str(folder))
    assert run.returncode == 2, run
    assert run.message.startswith(f"{GROUP} is not right: registry-reachable.")
    found = findings(folder)
    assert found["registry-reachable"]["detail"].startswith("The registry could not be read: ")
    assert found["instances-healthy"]["ok"]
    assert password not in run.stdout + (folder / "report.json").read_text()


def test_check_mode_checks_too(fleet: HealthyFleet, folder: Path) -> None:
    run = fleet.play(VERIFY, "--check", "--diff", fleet_report_dir=str(folder))
    assert run.returncode == 0, run
    assert findings(folder)["group-exists"]["ok"]
    assert fleet.writes() == []
