"""Every playbook: check mode, run, run again, check mode, change one variable, run, run again."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.fleet.cloud import PlaybookCloud, Run
from tests.fleet.healthy import HealthyFleet

GROUP, TEMPLATE, HOOK = "gh-worker-local-asg", "gh-worker-local-lt", "gh-worker-local-termination"
SECTIONS = ["foundation", "iam", "security_group", "launch_template", "autoscaling_group", "lifecycle_hook", "valet"]
# Run alone in `make test`; the others run alone in `make fleet`, and all of them as part of the site.
QUICK = ["iam", "launch_template", "autoscaling_group"]


class Change(NamedTuple):
    """A changed variable, and what has to follow."""

    variables: dict[str, Any]
    task: str
    """the only task that changes something"""
    shows: tuple[str, ...]
    """texts that --diff has to print"""


CHANGES = {
    "foundation": Change(
        {"fleet_log_retention_days": 60}, "Create the log group", ('- "retention": 30', '+ "retention": 60')
    ),
    "iam": Change(
        {"fleet_session_manager": False},
        "Attach the worker role's inline policy",
        ("ssmmessages:OpenDataChannel", "SessionManager"),
    ),
    "security_group": Change(
        {"fleet_api_cidrs": ["198.51.100.0/24"]},
        "Create the security group",
        ("198.51.100.0/24", "3100"),
    ),
    "launch_template": Change(
        {"fleet_volume_size_gib": 50}, "Create the launch template", ('"VolumeSize": 40', '"VolumeSize": 50')
    ),
    "autoscaling_group": Change(
        {"fleet_cooldown_seconds": 120},
        "Create or update the Auto Scaling group",
        ('"cooldown_seconds": 300', '"cooldown_seconds": 120'),
    ),
    "lifecycle_hook": Change(
        {"fleet_termination_hook_result": "CONTINUE"},
        "Create the termination lifecycle hook",
        ('"default_result": "ABANDON"', '"default_result": "CONTINUE"'),
    ),
    "valet": Change(
        {"fleet_tags": {"Project": "wekruit", "Team": "hands"}}, "Create VALET's IAM policy", ("Team", "hands")
    ),
}


def empty_account(cloud: PlaybookCloud) -> None:
    """Reset to an empty account."""
    cloud.reset()


def prepared_account(cloud: PlaybookCloud) -> None:
    """Reset to an account with a worker image and a secret."""
    cloud.reset()
    cloud.prepare()


def no_group(cloud: PlaybookCloud) -> None:
    """Restore all but the group."""
    cloud.restore()
    autoscaling = cloud.client("autoscaling")
    terminate = {"RetentionTriggers": {"TerminateHookAbandon": "terminate"}}
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=GROUP, DeletionProtection="none", InstanceLifecyclePolicy=terminate
    )
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)


def no_template(cloud: PlaybookCloud) -> None:
    """Restore all but the group and the launch template."""
    no_group(cloud)
    cloud.client("ec2").delete_launch_template(LaunchTemplateName=TEMPLATE)


def no_hook(cloud: PlaybookCloud) -> None:
    """Restore all but the hook."""
    cloud.restore()
    cloud.client("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=HOOK)


PREPARE: dict[str, Callable[[PlaybookCloud], None]] = {
    "launch_template": no_template,
    "autoscaling_group": no_group,
    "lifecycle_hook": no_hook,
}


def finished(run: Run) -> Run:
    assert run.returncode == 0, run
    return run


@pytest.mark.parametrize("section", [s if s in QUICK else pytest.param(s, marks=pytest.mark.slow) for s in SECTIONS])
def test_a_playbook_alone_changes_only_what_differs(section: str, running_fleet: HealthyFleet) -> None:
    cloud, book, change = running_fleet, f"playbooks/{section}.yml", CHANGES[section]
    PREPARE.get(section, empty_account)(cloud)
    try:
        cloud.clear_trace()
        checked = finished(cloud.play(book, "--check"))
        assert cloud.writes() == []
        assert checked.changed == 1
        assert {of for of, _task in checked.differs} == {section}, "--check alone reports its own section only"
        would = [task for _section, task in checked.differs]

        ran = finished(cloud.play(book))
        assert ran.changed_tasks == would, "a run changes what the check announced"

        assert_no_change(cloud, book, ["run", "check"])

        cloud.clear_trace()
        checked = finished(cloud.play(book, "--check", "--diff", **change.variables))
        assert cloud.writes() == []
        assert checked.differs == [(section, change.task)]
        for words in change.shows:
            assert words in checked.stdout, checked
        ran = finished(cloud.play(book, **change.variables))
        assert ran.changed_tasks == [change.task]
        assert_no_change(cloud, book, ["run"], **change.variables)
    finally:
        cloud.restore()


def assert_no_change(cloud: PlaybookCloud, book: str, ways: list[str], **variables: Any) -> None:
    """Another run or check finds nothing to do."""
    for way in ways:
        cloud.clear_trace()
        again = finished(cloud.play(book, *(["--check"] if way == "check" else []), **variables))
        assert (again.changed, cloud.writes(), again.differs) == (0, [], []), again
        assert "Up to date." in again.stdout


def test_the_whole_site_changes_only_what_differs(cloud: PlaybookCloud) -> None:
    checked = finished(cloud.play("site.yml", "--check"))
    assert cloud.writes() == []
    assert list(dict.fromkeys(section for section, _task in checked.differs)) == SECTIONS
    assert not cloud.valet.exists()

    ran = finished(cloud.play("site.yml"))
    assert ran.changed_tasks == [task for _section, task in checked.differs]

    assert_no_change(cloud, "site.yml", ["check", "run"])
    assert len(cloud.calls()) <= 25

    cloud.clear_trace()
    change: dict[str, Any] = {"fleet_cooldown_seconds": 120, "fleet_volume_size_gib": 50}
    checked = finished(cloud.play("site.yml", "--check", **change))
    assert cloud.writes() == []
    assert checked.differs == [
        ("launch_template", "Create the launch template"),
        ("autoscaling_group", "Create or update the Auto Scaling group"),
    ]
    ran = finished(cloud.play("site.yml", **change))
    assert ran.changed_tasks == ["Create the launch template", "Create or update the Auto Scaling group"]

    assert_no_change(cloud, "site.yml", ["run"], **change)


def test_diff_shows_the_changes_of_all_sections_in_check_mode_and_in_a_run(fleet: HealthyFleet) -> None:
    changes = [CHANGES[section] for section in ("iam", "security_group", "launch_template", "autoscaling_group")]
    variables = {name: value for change in changes for name, value in change.variables.items()}
    checked = finished(fleet.play("site.yml", "--check", "--diff", **variables))
    ran = finished(fleet.play("site.yml", "--diff", **variables))
    for change in changes:
        for words in change.shows:
            assert words in checked.stdout
            assert words in ran.stdout


@pytest.mark.parametrize(
    ("section", "needs"),
    [
        (
            "launch_template",
            "launch_template.yml needs what iam.yml and security_group.yml create. Run site.yml, or these first.",
        ),
        (
            "autoscaling_group",
            "autoscaling_group.yml needs what launch_template.yml creates. Run site.yml, or that one first.",
        ),
        (
            "lifecycle_hook",
            "lifecycle_hook.yml needs what autoscaling_group.yml creates. Run site.yml, or that one first.",
        ),
    ],
)
def test_a_playbook_alone_on_an_empty_account_names_the_playbooks_it_needs(
    section: str, needs: str, cloud: PlaybookCloud
) -> None:
    checked = finished(cloud.play(f"playbooks/{section}.yml", "--check"))
    assert {of for of, _task in checked.differs} == {section}
    ran = cloud.play(f"playbooks/{section}.yml")
    assert ran.returncode != 0
    assert ran.message == needs
    assert cloud.writes() == []


@pytest.mark.parametrize("book", ["playbooks/preflight.yml", "playbooks/status.yml"])
def test_a_playbook_that_only_reads_never_writes_and_never_fails(book: str, running_fleet: HealthyFleet) -> None:
    for state in (prepared_account, HealthyFleet.restore):
        state(running_fleet)
        for how in ([], ["--check"]):
            run = finished(running_fleet.play(book, *how))
            assert (run.changed, running_fleet.writes()) == (0, []), run


def test_status_shows_missing_and_existing_resources(running_fleet: HealthyFleet) -> None:
    running_fleet.reset()
    assert {section: ids for section, ids in running_fleet.existing_resources().items() if ids} == {
        "§1": {"valet-worker"}
    }
    running_fleet.restore()
    whole = running_fleet.existing_resources()
    instances = {instance["InstanceId"] for instance in running_fleet.group()["Instances"]}
    assert len(instances) == 2
    assert whole["§4"] == {GROUP, *instances}
    assert whole["§5"] == {HOOK, "gh-worker-local-launch"}
    assert whole["§6"] == {"gh-worker-local-role", "gh-worker-local-permissions", "gh-worker-local-instance-profile"}
    assert whole["§9"] == {"ghosthands/worker/env", "/wekruit/gh-worker"}
    assert whole["§10"] == {"gh-worker-local-valet-autoscale"}


def test_status_shows_how_long_an_instance_has_been_draining(running_fleet: HealthyFleet) -> None:
    running_fleet.restore()
    instance = running_fleet.in_service()[0]
    running_fleet.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=False
    )
    run = finished(running_fleet.play("playbooks/status.yml"))
    assert re.search(rf"^§4 .* {instance} +Terminating:Wait for \d+ s, healthy", run.stdout, re.MULTILINE), run.stdout


@pytest.mark.slow
def test_unusual_but_valid_values_are_set_and_then_do_not_differ(cloud: PlaybookCloud) -> None:
    odd: dict[str, Any] = {
        "fleet_group_name": "gh worker/1 = a+b@c",
        "fleet_metadata_tags": False,
        "fleet_tags": {"Cost Center": "a = b + c / d @ e : f", "yes": "true", "nothing": ""},
        "fleet_security_group_name": "gh worker: 1/a, #b; @c = d & e!",
        "fleet_log_group_name": "/wekruit/#1.log_group",
        "fleet_ssh_cidrs": ["203.0.113.7/32", "2001:db8::/48"],
        "fleet_vnc_cidrs": ["0.0.0.0/0"],
        "fleet_required_keys": ["DATABASE_URL", "GH_ENCRYPTION_KEY|GH_CREDENTIAL_KEY"],
        "fleet_key_name": "",
        "fleet_group_metrics": False,
        "fleet_launch_hook": True,
        "fleet_worker_guard": False,  # as YAML reads an unquoted off
    }
    finished(cloud.play("site.yml", **odd))
    user_data = cloud.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=TEMPLATE, Versions=["$Latest"]
    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
    assert "WORKER_GUARD=off\n" in base64.b64decode(user_data).decode()
    assert cloud.group("gh worker/1 = a+b@c")["DesiredCapacity"] == 2
    assert_no_change(cloud, "site.yml", ["run", "check"], **odd)
