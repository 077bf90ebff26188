"""Secrets are read where they must be, written on request, and never printed."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cloud import HIDDEN, WORKER_SECRET, PlaybookCloud
from tests.fleet.healthy import HealthyFleet

USER: dict[str, Any] = {"fleet_valet_user_name": "gh-valet", "fleet_valet_access_key": True}


NAME = "ghosthands/worker/env"
PLAYBOOK = "playbooks/secret.yml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with every key that a worker needs."""
    there = tmp_path / "worker.env"
    there.touch(0o600)
    there.write_text("".join(f"{key}={value}\n" for key, value in WORKER_SECRET.items()))
    return there


def values(cloud: PlaybookCloud) -> dict[str, str]:
    """The secret's keys and values."""
    return dict(json.loads(cloud.secret_value(NAME)))


def versions(cloud: PlaybookCloud) -> int:
    """How many values the secret has had."""
    found = cloud.client("secretsmanager").list_secret_version_ids(SecretId=NAME, IncludeDeprecated=True)
    return len(found["Versions"])


def test_a_secret_is_created_once_from_a_file_with_tags(empty_cloud: PlaybookCloud, file: Path) -> None:
    cloud = empty_cloud
    checked = cloud.play(PLAYBOOK, "--check", "--diff", fleet_secret_file=str(file))
    assert (checked.returncode, checked.changed, cloud.writes()) == (0, 1, []), checked
    assert "+DATABASE_URL" in checked.stdout
    made = cloud.play(PLAYBOOK, "--diff", "-vvvv", fleet_secret_file=str(file))
    assert (made.returncode, made.changed) == (0, 1), made
    assert values(cloud) == WORKER_SECRET
    found = cloud.client("secretsmanager").describe_secret(SecretId=NAME)
    assert found["Tags"] == [{"Key": "Project", "Value": "wekruit"}]
    cloud.clear_trace()
    for how in ([], ["--check"]):
        again = cloud.play(PLAYBOOK, *how, fleet_secret_file=str(file))
        assert (again.returncode, again.changed, cloud.writes()) == (0, 0, []), again
    assert versions(cloud) == 1


def test_one_changed_key_is_a_new_version_and_loses_no_other(cloud: PlaybookCloud, file: Path) -> None:
    file.write_text(json.dumps({"GH_ENVIRONMENT": f"{HIDDEN}-new", "REDIS_URL": f"{HIDDEN}-redis"}))
    run = cloud.play(PLAYBOOK, "--diff", "-vvvv", fleet_secret_file=str(file))
    assert run.changed == 1, run
    assert f"{NAME}: adds REDIS_URL; changes GH_ENVIRONMENT. Running workers see it at their next boot." in run.stdout
    assert values(cloud) == WORKER_SECRET | {"GH_ENVIRONMENT": f"{HIDDEN}-new", "REDIS_URL": f"{HIDDEN}-redis"}
    assert versions(cloud) == 2


def test_replacing_removes_what_the_file_does_not_have(cloud: PlaybookCloud, file: Path) -> None:
    with_more = json.dumps(WORKER_SECRET | {"REDIS_URL": "x"})
    cloud.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString=with_more)
    assert cloud.play(PLAYBOOK, fleet_secret_file=str(file)).changed == 0
    run = cloud.play(PLAYBOOK, fleet_secret_file=str(file), fleet_secret_replace=True)
    assert (run.changed, values(cloud)) == (1, WORKER_SECRET), run


def test_the_environment_of_this_shell_gives_the_keys(
    empty_cloud: PlaybookCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in WORKER_SECRET.items():
        monkeypatch.setenv(key, value)
    run = empty_cloud.play(PLAYBOOK, "-vvvv", fleet_secret_from="environment")
    assert (run.returncode, values(empty_cloud)) == (0, WORKER_SECRET), run


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (f"DATABASE_URL={HIDDEN}\n", 0o640, "Others than its owner may read or change it: `chmod 600 "),
        (
            f"NOT_KNOWN={HIDDEN}\n",
            0o600,
            "NOT_KNOWN is not a key of the worker; if it is, name it in fleet_secret_keys.",
        ),
        (f"GH_WORKER_ID={HIDDEN}\n", 0o600, "GH_WORKER_ID is each instance's own: take it out."),
        (f"DATABASE_URL={HIDDEN}\nbroken line {HIDDEN}\n", 0o600, "line 2 is not KEY=value"),
        ("DATABASE_URL=\n", 0o600, "DATABASE_URL is missing or empty."),
    ],
)
def test_what_cannot_be_the_secret_is_refused_by_name_before_anything_is_written(
    cloud: PlaybookCloud, file: Path, text: str, mode: int, words: str
) -> None:
    file.write_text(text)
    file.chmod(mode)
    run = cloud.play(PLAYBOOK, "-vvvv", fleet_secret_file=str(file))
    assert run.returncode != 0
    assert "Nothing was written. " in run.stdout
    assert words in run.stdout, run
    assert cloud.writes() == []


def test_a_secret_that_is_to_be_deleted_is_not_written(cloud: PlaybookCloud, file: Path) -> None:
    cloud.client("secretsmanager").delete_secret(SecretId=NAME)
    run = cloud.play(PLAYBOOK, fleet_secret_file=str(file))
    assert "scheduled for deletion. Keep it: `aws secretsmanager restore-secret --region us-east-1" in run.message, run


def test_a_run_reads_the_secret_only_before_a_launch_and_never_writes_it(fleet: HealthyFleet) -> None:
    changes: list[tuple[dict[str, Any], int]] = [
        ({}, 0),
        ({"fleet_cooldown_seconds": 60}, 0),
        ({"fleet_volume_size_gib": 60}, 1),
    ]
    for variables, reads in changes:
        fleet.clear_trace()
        run = fleet.play("site.yml", "--diff", "-vvv", **variables)
        assert run.returncode == 0, run
        called = [call["action"] for call in fleet.calls() if call["service"] == "secretsmanager"]
        assert called.count("GetSecretValue") == reads, variables
        assert set(called) <= {"DescribeSecret", "GetSecretValue"}


def test_valets_access_key_is_created_once_readable_by_its_owner_and_never_printed(cloud: PlaybookCloud) -> None:
    first = cloud.play("playbooks/valet.yml", "--diff", "-vvv", **USER)
    assert first.returncode == 0, first
    file = cloud.valet / "access-key.env"
    written = re.fullmatch(r"AWS_ACCESS_KEY_ID=(\S+)\nAWS_SECRET_ACCESS_KEY=(\S+)\n", file.read_text())
    assert written
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(cloud.valet.stat().st_mode)) == (0o600, 0o700)
    printed = first.stdout + first.stderr
    again = cloud.play("playbooks/valet.yml", "--diff", "-vvv", **USER)
    assert (again.returncode, again.changed) == (0, 0), again
    printed += again.stdout + again.stderr
    forced = cloud.play("playbooks/valet.yml", "--diff", "-vvv", **USER, fleet_force=True)
    assert forced.returncode == 0, forced
    assert written[2] not in printed + forced.stdout + forced.stderr
    keys = cloud.client("iam").list_access_keys(UserName="gh-valet")["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in keys] == [written[1]]
    assert file.read_text() == written[0]
    attached = cloud.client("iam").list_attached_user_policies(UserName="gh-valet")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["gh-worker-local-valet-autoscale"]


def test_valets_settings_have_both_spellings(fleet: HealthyFleet) -> None:
    settings = dict(line.split("=", 1) for line in (fleet.valet / "valet.env").read_text().splitlines())
    assert settings == {
        "AUTOSCALE_ASG_ENABLED": "true",
        "AUTOSCALE_ASG_MAX": "10",
        "AUTOSCALE_ASG_MIN": "1",
        "AUTOSCALE_MAX": "10",
        "AUTOSCALE_MIN": "1",
        "AWS_ASG_NAME": "gh-worker-local-asg",
        "AWS_REGION": "us-east-1",
        "JOBS_PER_WORKER": "1",
    }


@pytest.fixture
def fly(tmp_path: Path) -> Path:
    """A `fly` program that writes its arguments to a file."""
    program = tmp_path / "bin" / "fly"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{tmp_path}/called'\necho Release v7 created\n")
    program.chmod(0o755)
    return program


def test_the_written_script_sets_valets_settings_on_fly(fleet: HealthyFleet, fly: Path, tmp_path: Path) -> None:
    awkward: dict[str, Any] = {"fleet_group_name": "gh worker=s asg"}
    assert fleet.play("playbooks/valet.yml", **awkward).returncode == 0
    assert not (tmp_path / "called").exists(), "only with fleet_valet_apply"
    applied = fleet.play("playbooks/valet.yml", **awkward, fleet_valet_apply=True, programs=fly.parent)
    assert applied.returncode == 0, applied
    assert applied.changed_tasks == ["Set VALET's settings on Fly.io"]
    called = (tmp_path / "called").read_text().splitlines()
    assert called[:4] == ["secrets", "set", "-a", "valet-api-stg"]
    assert "AWS_ASG_NAME=gh worker=s asg" in called, "one argument, blanks and all"
    assert {"AUTOSCALE_MAX=10", "AUTOSCALE_ASG_MAX=10"} < set(called)
