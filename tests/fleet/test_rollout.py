"""rollout.yml and rollback.yml on simulated instances, whose hooks are completed as agents do."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import (
    LAST_VERSION_TAG,
    TAG,
    Rollout,
)
from localcloud.testing import is_write, repeatedly, wait_until

from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import GROUP, LAUNCH, OTHERS, REPOSITORY, TEMPLATE
from tests.fleet.healthy import HealthyFleet

ROLLOUT, ROLLBACK = "playbooks/rollout.yml", "playbooks/rollback.yml"
QUICK: dict[str, Any] = {"fleet_rollout_bake_minutes": 0}
BOB = "arn:aws:iam::123456789012:user/bob"
OF_AGENTS = {"CompleteLifecycleAction"}


def versions(fleet: HealthyFleet) -> dict[str, str]:
    """Instance in service -> its launch template version."""
    return {
        i["InstanceId"]: i["LaunchTemplate"]["Version"]
        for i in fleet.group()["Instances"]
        if i["LifecycleState"] == "InService"
    }


def pinned(fleet: HealthyFleet) -> str:
    """The version that the group launches."""
    return str(fleet.group()["LaunchTemplate"]["Version"])


def tags(fleet: HealthyFleet) -> dict[str, str]:
    """The rollout's tags of the group."""
    return {t["Key"]: t["Value"] for t in fleet.group()["Tags"] if t["Key"] in (TAG, LAST_VERSION_TAG)}


def refreshes(fleet: HealthyFleet) -> list[str]:
    """The statuses of the group's refreshes, the oldest first."""
    found = fleet.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
    return [refresh["Status"] for refresh in reversed(found)]


def writes(fleet: HealthyFleet) -> list[str]:
    """What was written by others than agents."""
    return [call for call in fleet.writes() if call not in OF_AGENTS]


def worker_image(fleet: HealthyFleet, version: str) -> str:
    """The worker image of a launch template version."""
    data = fleet.client("ec2").describe_launch_template_versions(LaunchTemplateName=TEMPLATE, Versions=[version])
    return agent_conf(data["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"])[0]["IMAGE"]


def agents(fleet: HealthyFleet, *unfit: str) -> Callable[[], None]:
    """What agents do: complete the termination hook; those of an unfit version give up their boot."""

    def act() -> None:
        for instance in fleet.group().get("Instances", []):
            id, state = instance["InstanceId"], instance["LifecycleState"]
            if state == "Terminating:Wait":
                fleet.complete(id)
            elif state == "Pending:Wait" and unfit:
                result = "ABANDON" if instance["LaunchTemplate"]["Version"] in unfit else "CONTINUE"
                fleet.complete(id, result, LAUNCH)

    return act


def play(fleet: HealthyFleet, playbook: str = ROLLOUT, *more: str, **variables: Any) -> Run:
    with repeatedly(agents(fleet), every=0.2):
        return fleet.play(playbook, *more, **{**QUICK, **variables})


def assert_rolled_out(fleet: HealthyFleet, run: Run, version: str = "2", previous: str = "1") -> None:
    assert run.returncode == 0, run
    assert (set(versions(fleet).values()), pinned(fleet)) == ({version}, version), run
    assert tags(fleet) == {LAST_VERSION_TAG: f"{previous} {fleet.group()['LaunchTemplate']['LaunchTemplateId']}"}
    assert len(versions(fleet)) == fleet.group()["DesiredCapacity"]


def assert_as_before(fleet: HealthyFleet) -> None:
    with repeatedly(agents(fleet), every=0.2):
        wait_until(lambda: list(versions(fleet).values()) == ["1", "1"])
    assert (pinned(fleet), tags(fleet)) == ("1", {})


@pytest.fixture
def image(fleet: HealthyFleet) -> HealthyFleet:
    """A fleet of two, with a newer image than the one that it runs."""
    fleet.add_image()
    fleet.clear_trace()
    return fleet


def test_the_newest_image_replaces_every_instance_and_rollback_goes_back(image: HealthyFleet) -> None:
    before = versions(image)
    checked = play(image, ROLLOUT, "--check", "--diff")
    assert (checked.returncode, image.writes()) == (0, []), checked
    for text in ("launch template version 1 -> 2", "2 instances, 1 first", '"image_id"'):
        assert text in checked.stdout, checked
    assert_rolled_out(image, play(image))
    assert not set(before) & set(versions(image))
    assert refreshes(image) == ["Cancelled", "Successful"]
    assert "SetDesiredCapacity" not in image.writes()
    image.clear_trace()
    again = play(image)
    assert (again.returncode, again.changed, writes(image)) == (0, 0, []), again
    assert image.play("site.yml").differs == []

    checked = play(image, ROLLBACK, "--check")
    assert (checked.returncode, writes(image)) == (0, []), checked
    assert "launch template version 2 -> 1" in checked.stdout
    back = play(image, ROLLBACK)
    assert_rolled_out(image, back, version="1")
    image.clear_trace()
    second = play(image, ROLLBACK)
    assert "runs version 1 already" in second.message, second
    assert writes(image) == []


def test_a_worker_image_is_pinned_by_its_digest_and_the_ami_stays(image: HealthyFleet) -> None:
    image.push_image(REPOSITORY, "v2")
    (pushed,) = image.client("ecr").describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "v2"}])[
        "imageDetails"
    ]
    used = image.template_data()["ImageId"]
    assert_rolled_out(image, play(image, fleet_worker_image=":v2"))
    name = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}"
    assert worker_image(image, "2") == f"{name}@{pushed['imageDigest']}"
    assert image.template_data()["ImageId"] == used
    image.clear_trace()
    site = image.play("site.yml")
    assert (site.returncode, site.differs, writes(image)) == (0, [], []), site
    assert_rolled_out(image, play(image, ROLLBACK), version="1")
    assert worker_image(image, pinned(image)) == f"{name}:latest"


def test_a_canary_with_a_finding_is_rolled_back_and_the_line_names_it(image: HealthyFleet) -> None:
    def regroup() -> None:
        agents(image)()
        for id, version in versions(image).items():
            if version == "2":
                own = image.security_group()["GroupId"]
                image.client("ec2").modify_instance_attribute(InstanceId=id, Groups=[own, OTHERS])

    with repeatedly(regroup, every=0.2):
        run = image.play(ROLLOUT, fleet_rollout_bake_minutes=0.05)
    assert "Rolled back: instances-security-groups: 1 instance in other security groups" in run.message, run
    assert f"{GROUP} runs version 1 as before" in run.message
    assert image.writes().count("TerminateInstanceInAutoScalingGroup") == 1
    assert_as_before(image)


def test_an_image_that_does_not_boot_is_rolled_back_with_the_reason(image: HealthyFleet) -> None:
    old = set(versions(image))
    image.complete_launches(False)
    with repeatedly(agents(image, "2"), every=0.2):
        run = image.play(ROLLOUT, **QUICK)
    assert "did not come into service" in run.message, run
    assert old <= set(versions(image)), "only new instances were ended"
    image.complete_launches()
    assert_as_before(image)


def test_a_fleet_of_one_has_a_second_instance_before_the_first_one_leaves(image: HealthyFleet) -> None:
    image.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    with repeatedly(agents(image), every=0.2):
        wait_until(lambda: len(image.group()["Instances"]) == 1)
    serving = list[int]()
    with repeatedly(lambda: serving.append(len(versions(image))), every=0.1):
        run = play(image)
    assert_rolled_out(image, run)
    assert min(serving) == 1


def test_a_fleet_of_zero_moves_its_version_and_says_that_nobody_saw_it(image: HealthyFleet) -> None:
    image.update(MinSize=0, DesiredCapacity=0)
    with repeatedly(agents(image), every=0.2):
        wait_until(lambda: not image.group()["Instances"])
    run = play(image)
    assert run.returncode == 0, run
    assert (pinned(image), versions(image)) == ("2", {})
    assert "nothing can be verified" in run.stdout, run


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_valet_scales_meanwhile(image: HealthyFleet, seed: int) -> None:
    chance = random.Random(seed)

    def scale() -> None:
        wanted = chance.randint(1, 4)
        image.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=wanted)

    with repeatedly(scale, every=2):
        run = play(image, fleet_rollout_bake_minutes=0.1)
    assert (run.returncode, pinned(image)) == (0, "2"), run
    with repeatedly(agents(image), every=0.2):
        wait_until(lambda: len(versions(image)) == image.group()["DesiredCapacity"])
    assert set(versions(image).values()) == {"2"}


@pytest.mark.slow
def test_an_alarm_that_goes_off_undoes_the_rollout_and_is_named(image: HealthyFleet) -> None:
    watch = image.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="queue-stuck",
        Namespace="GhostHands",
        MetricName="waiting",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )

    watch.set_alarm_state(AlarmName="queue-stuck", StateValue="OK", StateReason="no job waits")

    alarmed = list[str]()

    def goes_off() -> None:
        """Before an instance of the second refresh is in service: that takes an agent, which acts after the alarm."""
        if len(refreshes(image)) == 2 and not alarmed:
            watch.set_alarm_state(AlarmName="queue-stuck", StateValue="ALARM", StateReason="jobs wait")
            alarmed.append("queue-stuck")
        agents(image, "no version is unfit")()

    image.complete_launches(False)
    with repeatedly(goes_off, every=0.1):
        run = image.play(ROLLOUT, **QUICK, fleet_rollout_alarms=["queue-stuck"])
    assert "Rolled back" in run.message, run
    assert "queue-stuck" in run.message, run
    assert_as_before(image)


# --- interrupted ------------------------------------------------------------------------------------------------------


def begun(fleet: HealthyFleet, until: Callable[[], object], kill: int = signal.SIGKILL) -> tuple[str, str]:
    """Run rollout.yml until then, end it with that signal, and return its output."""
    command = fleet.command_line(ROLLOUT, fleet_rollout_bake_minutes=0.1)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=fleet.playbook_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            with repeatedly(agents(fleet), every=0.2):
                wait_until(until, timeout=90, every=0.1)
        finally:
            os.killpg(run.pid, kill)
        return run.communicate(timeout=60)


STEPS: dict[str, Callable[[HealthyFleet], object]] = {
    "tag": lambda fleet: TAG in tags(fleet),
    "canary": lambda fleet: refreshes(fleet) == ["InProgress"],
    "bake": lambda fleet: refreshes(fleet) == ["Cancelled"],
    "rest": lambda fleet: len(refreshes(fleet)) == 2,
}


@pytest.mark.parametrize(
    "step", ["canary", "rest", *(pytest.param(s, marks=pytest.mark.slow) for s in ("tag", "bake"))]
)
def test_the_same_command_goes_on_where_the_controller_was_killed(image: HealthyFleet, step: str) -> None:
    begun(image, lambda: STEPS[step](image))
    run = play(image)
    assert_rolled_out(image, run)
    assert image.latest() == 2, "no second version was made"
    assert "Goes on with the rollout of version 2 (from 1)" in run.stdout or TAG not in tags(image), run


def test_rollback_undoes_a_rollout_that_was_killed(image: HealthyFleet) -> None:
    begun(image, lambda: STEPS["bake"](image))
    run = play(image, ROLLBACK)
    assert run.returncode == 0, run
    assert "Goes back from the rollout of version 2 (from 1)" in run.stdout
    assert_as_before(image)


def test_ctrl_c_leaves_the_refresh_running_and_says_how_to_go_on(image: HealthyFleet) -> None:
    out, _err = begun(image, lambda: STEPS["canary"](image), signal.SIGINT)
    assert f"Ctrl-C leaves to AWS what AWS has begun; this goes on with it: ansible-playbook {ROLLOUT}" in out, out
    assert refreshes(image) == ["InProgress"]
    assert_rolled_out(image, play(image))


# --- somebody else's ------------------------------------------------------------------------------------------------


def test_another_operators_rollout_is_refused_before_anything_and_taken_over_on_request(image: HealthyFleet) -> None:
    image.version(lambda data: data.update(InstanceType="t3.large"))
    theirs = Rollout.begin("2", "1", BOB, "", time.time())
    image.tag_group(TAG, theirs.as_tag(), propagate=False)
    image.clear_trace()
    for playbook in (ROLLOUT, ROLLBACK):
        run = play(image, playbook)
        for text in (BOB, "version 2 (from 1)", theirs.since, "fleet_rollout_takeover=true"):
            assert text in run.message, run
    assert [call for call in image.writes() if is_write(call)] == []
    assert_rolled_out(image, play(image, fleet_rollout_takeover=True))
    assert image.latest() == 2


def test_a_refresh_by_hand_is_named_with_the_way_to_cancel_it(image: HealthyFleet) -> None:
    image.client("autoscaling").start_instance_refresh(AutoScalingGroupName=GROUP)
    image.clear_trace()
    run = play(image)
    assert "that this rollout did not start" in run.message, run
    assert "cancel-instance-refresh" in run.message
    assert image.writes() == []


@pytest.mark.slow
def test_two_fleets_roll_one_after_the_other_and_the_first_bad_one_stops_the_others(image: HealthyFleet) -> None:
    image.create_secret("ghosthands/other/env")
    hosts: dict[str, dict[str, Any]] = {
        "local": {"fleet_name": "gh-worker-local"},
        "other": {"fleet_name": "gh-worker-other", "fleet_secret_name": "ghosthands/other/env"},
    }
    built = image.play_hosts("site.yml", "-l", "other", hosts=hosts)
    assert built.returncode == 0, built
    image.complete_launches(False)
    with repeatedly(agents(image, "2"), every=0.2):
        run = image.play_hosts(ROLLOUT, hosts=hosts, **QUICK)
    assert "did not come into service" in run.messages["local"], run
    assert image.group("gh-worker-other-asg")["LaunchTemplate"]["Version"] == "1"
    names = {t["Key"] for t in image.group("gh-worker-other-asg")["Tags"]}
    assert TAG not in names
