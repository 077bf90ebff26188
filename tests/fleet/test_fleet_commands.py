"""pause.yml, resume.yml, renew.yml and release.yml, with agents that answer; test_in_place.py has real ones."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import COMMAND, DID, WANT

from tests.fleet.agents import Agents, show_tags, tags
from tests.fleet.cloud import ROOT
from tests.fleet.fleet import GROUP, REPOSITORY, TEMPLATE
from tests.fleet.healthy import HealthyFleet, failed

PAUSE, RESUME, RENEW, RELEASE = (f"playbooks/{name}.yml" for name in ("pause", "resume", "renew", "release"))
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands"


def group_tags(fleet: HealthyFleet) -> set[str]:
    return {tag["Key"] for tag in fleet.group()["Tags"]} & {WANT, COMMAND}


def suspended(fleet: HealthyFleet) -> set[str]:
    return {process["ProcessName"] for process in fleet.group()["SuspendedProcesses"]}


@pytest.fixture
def ready(fleet: HealthyFleet) -> HealthyFleet:
    """The fleet of four instances that see their tags."""
    fleet.update(DesiredCapacity=4)
    fleet.wait_for_launches()
    show_tags(fleet)
    fleet.clear_trace()
    return fleet


# --- pause and resume -------------------------------------------------------------------------------


def test_a_paused_fleet_launches_nothing_for_valet_and_resume_brings_everything_back(ready: HealthyFleet) -> None:
    ids = ready.in_service()
    with Agents(ready) as agents:
        plan = ready.play(PAUSE, "--check")
        assert (plan.returncode, plan.changed, ready.writes()) == (0, 1, []), plan
        assert "4 instances to tell" in plan.stdout
        run = ready.play(PAUSE)
        assert (run.returncode, run.changed) == (0, 1), run
        assert all(agents.answered(id).endswith(" done") for id in ids)
        assert (suspended(ready), group_tags(ready)) == ({"AZRebalance", "Launch"}, {WANT})

        ready.update(DesiredCapacity=6)  # VALET
        ready.advance(3600)
        assert sorted(ready.in_service()) == sorted(ids)
        ready.clear_trace()
        again = ready.play(PAUSE)
        assert (again.returncode, again.changed, ready.writes()) == (0, 0, []), again
        site = ready.play("site.yml")
        assert (site.returncode, site.changed, ready.writes()) == (0, 0, []), site
        ready.update(DesiredCapacity=3)
        assert len(ready.in_service()) == 3, "a scale-in still works"
        ready.update(DesiredCapacity=5)

        began = time.monotonic()
        back = ready.play(RESUME)
        assert (back.returncode, back.changed) == (0, 1), back
        assert time.monotonic() - began < 60
        assert (suspended(ready), group_tags(ready)) == ({"AZRebalance"}, set())
        ready.wait_for_launches()
        assert len(ready.in_service()) == 5
        assert not any(tags(ready, id).get(WANT, "resume").startswith("hold") for id in ready.in_service())
        ready.clear_trace()
        once_more = ready.play(RESUME)
        assert (once_more.returncode, once_more.changed, ready.writes()) == (0, 0, []), once_more


def test_one_instance_is_held_and_resumed(ready: HealthyFleet) -> None:
    one = ready.in_service()[0]
    with Agents(ready):
        run = ready.play(PAUSE, fleet_instances=one)
        assert (run.returncode, set(ready.writes())) == (0, {"CreateTags"}), "the group is left alone"
        assert tags(ready, one)[DID].endswith(" done")
        assert ready.play(RESUME, fleet_instances=one).returncode == 0
    assert suspended(ready) == {"AZRebalance"}


def test_an_instance_that_does_not_answer_is_named_and_the_others_are_held(ready: HealthyFleet) -> None:
    silent, *others = ready.in_service()
    with Agents(ready, 0.5, None, silent):
        run = ready.play(PAUSE)
    assert f"No answer from {silent}" in run.message, run
    assert all(tags(ready, id)[DID].endswith(" done") for id in others)
    assert "Launch" in suspended(ready)


# --- renew ------------------------------------------------------------------------------------------


def test_a_renewal_goes_in_batches_and_leaves_no_record(ready: HealthyFleet) -> None:
    with Agents(ready, works=2) as agents:
        run = ready.play(RENEW, fleet_command_batch=2)
        assert (run.returncode, run.changed) == (0, 1), run
    assert agents.restarting <= 2
    assert len({text for _id, text in agents.answers if text.endswith(" done")}) == 1, "one command"
    assert group_tags(ready) == set()


def test_a_renewal_that_fails_stops_and_says_where_and_why(ready: HealthyFleet) -> None:
    first = min(ready.in_service())
    with Agents(ready, fails={first: "the secret has no key GH_SERVICE_SECRET"}) as agents:
        run = ready.play(RENEW)
        assert f"{first} has failed: the secret has no key GH_SERVICE_SECRET." in run.message, run
        assert {id for id, _text in agents.answers} == {first}
        agents.fails.clear()
        assert ready.play(RENEW).returncode == 0
    assert all(tags(ready, id)[DID].endswith(" done") for id in ready.in_service())


def test_a_killed_controller_is_picked_up_with_the_same_command(ready: HealthyFleet) -> None:
    with Agents(ready, works=4) as agents:
        command = ready.command_line(RENEW, fleet_command_batch=1)
        env = ready.playbook_environment()
        killed = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, start_new_session=True)
        while len(agents.answers) < 3:
            time.sleep(0.1)
        os.killpg(killed.pid, signal.SIGKILL)  # the task runs in a process of its own
        killed.communicate()
        assert group_tags(ready) == {COMMAND}
        other = ready.play(RELEASE, fleet_worker_image=":latest")
        assert "under way, or it was interrupted" in other.message, other
        run = ready.play(RENEW)
        assert run.returncode == 0, run
    done = [id for id, text in agents.answers if text.endswith(" done")]
    assert sorted(done) == sorted(ready.in_service()), "each of them once"


# --- release ----------------------------------------------------------------------------------------


def image_line(fleet: HealthyFleet) -> str:
    text = base64.b64decode(fleet.template_data()["UserData"]).decode()
    return next(line.strip() for line in text.splitlines() if "IMAGE=" in line and "FALLBACK" not in line)


def test_a_release_reaches_every_host_and_new_instances_and_nothing_else_changes(ready: HealthyFleet) -> None:
    ready.push_image(REPOSITORY, "v2")
    digest = ready.client("ecr").describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "v2"}])[
        "imageDetails"
    ][0]["imageDigest"]
    before = ready.template_data()
    plan = ready.play(RELEASE, "--check", fleet_worker_image=":v2")
    assert (plan.returncode, plan.changed) == (0, 1), plan
    ready.clear_trace()
    with Agents(ready):
        run = ready.play(RELEASE, fleet_worker_image=":v2")
        assert (run.returncode, run.changed) == (0, 1), run
        assert all(tags(ready, id)[WANT].startswith(f"release={digest}@") for id in ready.in_service())
        assert image_line(ready) == f"IMAGE={REGISTRY}@{digest}"
        same = {key: value for key, value in ready.template_data().items() if key != "UserData"}
        assert same == {key: value for key, value in before.items() if key != "UserData"}
        (template,) = ready.client("ec2").describe_launch_templates(LaunchTemplateNames=[TEMPLATE])["LaunchTemplates"]
        assert ready.group()["LaunchTemplate"]["Version"] == str(template["DefaultVersionNumber"]) == "2"
        assert group_tags(ready) == set()

        ready.clear_trace()
        again = ready.play(RELEASE, fleet_worker_image=f"{REGISTRY}@{digest}")
        assert (again.returncode, again.changed, ready.writes()) == (0, 0, []), again
        site = ready.play("site.yml")
        assert (site.returncode, site.changed) == (0, 0), site
        assert failed(ready.check()) == set(), "the instances of the former version have its worker"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (":never-pushed", "there is no "),
        (f"@sha256:{'0f' * 32}", "there is no "),
        ("registry.example/ghosthands:v2", "is not in "),
    ],
)
def test_an_image_that_agents_cannot_pull_is_refused_before_anyone_is_told(
    image: str, said: str, ready: HealthyFleet
) -> None:
    run = ready.play(RELEASE, fleet_worker_image=image)
    assert said in run.message, run
    assert ready.writes() == []


def test_a_release_that_fails_on_its_canary_reaches_nobody_else(ready: HealthyFleet) -> None:
    first = min(ready.in_service())
    with Agents(ready, fails={first: "the worker is not registered after 900 s"}) as agents:
        run = ready.play(RELEASE)
    assert f"{first} has failed: the worker is not registered after 900 s." in run.message, run
    assert {id for id, _text in agents.answers} == {first}
    assert ready.group()["LaunchTemplate"]["Version"] == "1"
    assert group_tags(ready) == set()


def test_instances_that_cannot_see_their_tags_are_refused_before_anyone_is_told(fleet: HealthyFleet) -> None:
    show_tags(fleet, False)
    fleet.clear_trace()
    run = fleet.play(RENEW)
    assert "2 instances cannot see wishes" in run.message, run
    assert fleet.writes() == []


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("playbook", "variables", "said"),
    [
        (PAUSE, {"fleet_instances": "i-0123456789abcdef0"}, f"not in {GROUP}"),
        (PAUSE, {"fleet_instances": "all"}, "an instance's id such as"),
        (RENEW, {"fleet_command_batch": 0}, "fleet_command_batch is 0"),
        (PAUSE, {"fleet_group_name": "no-such-group"}, "There is no group no-such-group."),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything(
    playbook: str, variables: dict[str, Any], said: str, fleet: HealthyFleet
) -> None:
    run = fleet.play(playbook, **variables)
    assert said in run.message, run
    assert fleet.writes() == []
