"""A drill adds an instance and removes one, reports and times every step, and leaves desired capacity as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing import is_write, repeatedly, wait_until

from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import IMAGE, HealthyFleet, failed

VERIFY = "playbooks/verify.yml"
STEPS = {"launch", "boot", "wait", "drain", "gone"}
DRAIN_SECONDS = 1.0


@pytest.fixture
def pending(fleet: HealthyFleet) -> HealthyFleet:
    """A fleet whose new instances stay pending: no agent completes their launch hook."""
    fleet.complete_launches(False)
    return fleet


def agents(fleet: HealthyFleet, result: str = "CONTINUE") -> Callable[[], None]:
    """What agents do: complete the termination hook DRAIN_SECONDS after it began."""
    since: dict[str, float] = {}

    def act() -> None:
        for instance in fleet.group()["Instances"]:
            if instance["LifecycleState"] == "Terminating:Wait":
                began = since.setdefault(instance["InstanceId"], time.monotonic())
                if time.monotonic() - began >= DRAIN_SECONDS:
                    fleet.complete(instance["InstanceId"], result)

    return act


def drill(fleet: HealthyFleet, kind: str = "scale_in", *more: str, agent: str = "CONTINUE", **variables: Any) -> Run:
    with repeatedly(agents(fleet, agent), every=0.2):
        return fleet.play(VERIFY, *more, fleet_drill=kind, **report_option(fleet), **variables)


def report_option(fleet: HealthyFleet) -> dict[str, Any]:
    return {"fleet_report_dir": str(fleet.folder / "report")}


def report(fleet: HealthyFleet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((fleet.folder / "report/report.json").read_text())
    return found


def finding(fleet: HealthyFleet) -> dict[str, Any]:
    """The report's finding of the drill."""
    (found,) = (f for f in report(fleet)["findings"] if f["id"] == "drill")
    return dict(found)


def written_values(fleet: HealthyFleet) -> list[Any]:
    """The desired capacity or instance of each of the drill's writes."""
    named = {"SetDesiredCapacity": "DesiredCapacity", "TerminateInstanceInAutoScalingGroup": "InstanceId"}
    writes = [
        call for call in fleet.calls() if is_write(call["action"]) and call["action"] != "CompleteLifecycleAction"
    ]
    return [call["parameters"][named[call["action"]]] for call in writes]


def log(fleet: HealthyFleet) -> list[str]:
    """The lines of drill.log, without the times."""
    return [line.partition(" ")[2] for line in (fleet.folder / "report/drill.log").read_text().splitlines()]


def test_every_step_of_scale_in_is_timed_and_reported(fleet: HealthyFleet) -> None:
    before = fleet.in_service()
    run = drill(fleet)
    assert run.returncode == 0, run
    found = finding(fleet)
    assert found["ok"]
    ended, launched, seconds = (found["evidence"][key] for key in ("ended", "launched", "seconds"))
    assert set(seconds) == STEPS
    assert DRAIN_SECONDS - 0.5 <= seconds["drain"] <= DRAIN_SECONDS + 5
    assert ended in before
    assert launched not in before
    assert fleet.in_service() == sorted({*before, launched} - {ended})
    assert ended in {drain["instance"] for drain in report(fleet)["fleet"]["drains"]}
    assert written_values(fleet) == [3, 2]
    assert fleet.group()["DesiredCapacity"] == 2
    assert "[local] drill: desired capacity 2 -> 3" in run.stdout
    assert log(fleet)[0] == "desired capacity 2 -> 3"
    assert log(fleet)[-1] == "desired capacity is 2 as before"


def test_terminate_chooses_an_idle_instance_and_never_a_protected_one(fleet: HealthyFleet) -> None:
    busy, idle = fleet.in_service()
    fleet.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[busy], ProtectedFromScaleIn=True
    )
    fleet.clear_trace()
    run = drill(fleet, "terminate")
    assert run.returncode == 0, run
    assert finding(fleet)["evidence"]["ended"] == idle
    assert written_values(fleet) == [3, idle]
    assert fleet.group()["DesiredCapacity"] == 2


def assert_retained_and_remedied(fleet: HealthyFleet, run: Run) -> None:
    """The drill's instance was retained, which is an error, and the remedy terminates it."""
    assert run.returncode == 2, run
    assert "drill" in run.message
    found = finding(fleet)
    ended = found["evidence"]["ended"]
    assert f"{ended} was retained after" in found["detail"]
    assert found["detail"].endswith("desired capacity is 2 as before")
    (command,) = found["commands"]
    done = fleet.run_command(command)
    assert done.returncode == 0, done
    wait_until(lambda: ended not in {i["InstanceId"] for i in fleet.group()["Instances"]})


def test_a_failed_drain_is_an_error_whose_remedy_terminates_the_instance(fleet: HealthyFleet) -> None:
    assert_retained_and_remedied(fleet, drill(fleet, agent="ABANDON"))
    assert failed(fleet.check()) == set()


@pytest.mark.slow
def test_an_instance_without_an_agent_is_retained_when_its_hook_times_out(fleet: HealthyFleet) -> None:
    hook = {
        "AutoScalingGroupName": GROUP,
        "LifecycleHookName": TERMINATION,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    }
    fleet.client("autoscaling").put_lifecycle_hook(**hook, HeartbeatTimeout=30, DefaultResult="ABANDON")
    assert_retained_and_remedied(fleet, fleet.play(VERIFY, fleet_drill="terminate", **report_option(fleet)))
    assert finding(fleet)["evidence"]["seconds"]["drain"] >= 28


@pytest.mark.slow
def test_a_failed_launch_is_reported_with_its_cause_and_desired_capacity_is_reset(fleet: HealthyFleet) -> None:
    fleet.client("ec2").deregister_image(ImageId=IMAGE)
    fleet.clear_trace()
    run = drill(fleet)
    assert run.returncode == 2, run
    assert "scale_in: the launch failed, the image is gone: " in finding(fleet)["detail"]
    assert written_values(fleet) == [3, 2]
    assert len(fleet.in_service()) == 2


def test_a_desired_capacity_written_by_somebody_else_meanwhile_is_kept(pending: HealthyFleet) -> None:
    scaled = list[int]()

    def valet() -> None:
        if not scaled and pending.group()["DesiredCapacity"] == 3:
            pending.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
            scaled.append(5)

    with repeatedly(valet, every=0.05):
        run = pending.play(VERIFY, fleet_drill="scale_in", fleet_verify_fail_on="never", **report_option(pending))
    assert run.returncode == 0, run
    found = finding(pending)
    assert (found["ok"], found["severity"]) == (False, "warning")
    assert "somebody else set desired capacity to 5 meanwhile (3 expected)" in found["detail"]
    assert pending.group()["DesiredCapacity"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_resets_desired_capacity_and_is_logged(number: signal.Signals, pending: HealthyFleet) -> None:
    run = subprocess.Popen(
        pending.command_line(VERIFY, fleet_drill="scale_in", **report_option(pending)),
        cwd=ROOT,
        env=pending.playbook_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal sends the signal to the whole foreground process group
    )
    wait_until(lambda: pending.group()["DesiredCapacity"] == 3)
    os.killpg(run.pid, number)
    wait_until(lambda: pending.group()["DesiredCapacity"] == 2, timeout=15)
    assert run.wait(timeout=30) != 0
    assert log(pending)[-1] == "desired capacity was set back to 2, so one instance is drained by the hook"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a drill of another kind": (
        {"fleet_drill": "reboot"},
        "value of kind must be one of: scale_in, terminate, got: reboot",
    ),
    "no room": ({"fleet_max_size": 10}, f"{GROUP} may have 2 instances and wants 2: a drill needs room for one more"),
    "the group's name": (
        {"fleet_name": "gh-worker-prod"},
        "local is production (gh-worker-prod). To drill it all the same: -e fleet_drill_production=yes",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_drill_is_refused_before_it_writes(why: str, fleet: HealthyFleet) -> None:
    variables, message = REFUSED[why]
    if why == "no room":
        fleet.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=2)
        fleet.clear_trace()
    run = fleet.play(VERIFY, **{"fleet_drill": "scale_in", **report_option(fleet), **variables})
    assert run.returncode == 2, run
    assert message in run.message
    assert fleet.writes() == []


@pytest.mark.slow
def test_a_host_named_production_needs_confirmation(fleet: HealthyFleet) -> None:
    hosts = {"production": {"fleet_name": "gh-worker-local", **report_option(fleet)}}
    run = fleet.play_hosts(VERIFY, hosts=hosts, fleet_drill="scale_in")
    assert "production is production (production)" in run.message
    assert fleet.writes() == []
    with repeatedly(agents(fleet), every=0.2):
        run = fleet.play_hosts(VERIFY, "-e", "fleet_drill_production=yes", hosts=hosts, fleet_drill="scale_in")
    assert "desired capacity is 2 as before" in run.stdout


def test_two_fleets_at_once_are_refused(fleet: HealthyFleet) -> None:
    hosts = {
        "local": {"fleet_name": "gh-worker-local", **report_option(fleet)},
        "other": {"fleet_name": "gh-worker-other", "fleet_report_dir": ""},
    }
    run = fleet.play_hosts(VERIFY, hosts=hosts, fleet_drill="terminate")
    assert run.returncode == 2, run
    assert set(run.messages.values()) == {"A drill is of one fleet, these are 2: local, other. Name one: -l local"}
    assert fleet.writes() == []


def test_check_mode_writes_nothing_and_says_what_the_drill_would_do(fleet: HealthyFleet) -> None:
    run = fleet.play(VERIFY, "--check", "-v", fleet_drill="scale_in", **report_option(fleet))
    assert run.returncode == 0, run
    assert f"{GROUP} would go from 2 to 3 and back." in run.stdout
    assert fleet.writes() == []
