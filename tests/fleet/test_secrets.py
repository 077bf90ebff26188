"""Secrets are never read, never printed and never created twice."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cloud import PlaybookCloud
from tests.fleet.healthy import HealthyFleet

USER: dict[str, Any] = {"fleet_valet_user_name": "gh-valet", "fleet_valet_access_key": True}
SECRET = "ghosthands/worker/env"


def secrets(cloud: PlaybookCloud) -> list[str]:
    """The names of the account's secrets."""
    return [s["Name"] for s in cloud.client("secretsmanager").list_secrets()["SecretList"]]


def test_without_fleet_secret_create_no_secret_is_created_and_a_warning_is_printed(cloud: PlaybookCloud) -> None:
    for how in (["--check"], []):
        run = cloud.play("playbooks/foundation.yml", *how, fleet_secret_create=False)
        assert run.returncode == 0, run
        assert f"warning: There is no secret {SECRET}: instances cannot boot a worker until it exists." in run.stdout
    assert secrets(cloud) == []


def test_an_existing_secret_is_neither_read_nor_written(cloud: PlaybookCloud) -> None:
    cloud.client("secretsmanager").create_secret(Name=SECRET, SecretString='{"DATABASE_URL": "the operators own"}')
    cloud.clear_trace()
    for force in (False, True):
        run = cloud.play("playbooks/foundation.yml", "--diff", "-vvv", fleet_secret_create=True, fleet_force=force)
        assert run.returncode == 0, run
        assert "the operators own" not in run.stdout + run.stderr
    assert {c["action"] for c in cloud.calls() if c["service"] == "secretsmanager"} == {"DescribeSecret"}
    value = cloud.secret_value(SECRET)
    assert value == '{"DATABASE_URL": "the operators own"}'


def test_the_placeholder_says_what_to_fill_in(cloud: PlaybookCloud) -> None:
    assert cloud.play("playbooks/foundation.yml").returncode == 0
    value = cloud.secret_value(SECRET)
    assert "fill in the keys of runbook section 9" in value


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
