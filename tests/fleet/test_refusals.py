"""What AWS refuses on the way: for a while only, which passes, or for good, with AWS's reason."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from localcloud.testing import CREDENTIALS, PROPAGATED, repeatedly, wait_until

from tests.fleet.cloud import PlaybookCloud
from tests.fleet.fleet import PROFILE, ROLE
from tests.fleet.healthy import HealthyFleet

NO_SECURITY_GROUPS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ec2:CreateSecurityGroup", "Resource": "*"},
    ],
}


def test_a_first_run_waits_for_what_takes_effect_late(tmp_path: Path) -> None:
    """With all of localcloud's delays, which begin only when Auto Scaling has refused the group."""
    with PlaybookCloud.start_process(tmp_path) as cloud:
        cloud.prepare()
        cloud.set_speed(0.001)
        key: dict[str, Any] = {
            "fleet_access_key": CREDENTIALS["aws_access_key_id"],
            "fleet_secret_key": CREDENTIALS["aws_secret_access_key"],
        }

        def let_time_pass_once_it_was_refused() -> None:
            if any(call["error"] for call in cloud.calls("CreateAutoScalingGroup")):
                cloud.set_speed(1)

        with repeatedly(let_time_pass_once_it_was_refused, 0.5):
            first = cloud.play("site.yml", inventory="staging", **key)
        assert first.returncode == 0, first
        assert "AWS does not see the launch template or its version yet" in first.stdout
        again = cloud.play("site.yml", inventory="staging", **key)
        assert (again.returncode, again.changed) == (0, 0), again


def create_profile_once_it_was_missed(fleet: HealthyFleet, action: str) -> threading.Thread:
    """In a thread: create the instance profile after Auto Scaling has refused `action` twice."""

    def create() -> None:
        wait_until(lambda: sum(bool(call["error"]) for call in fleet.calls(action)) >= 2, timeout=300)
        iam = fleet.client("iam")
        iam.create_instance_profile(InstanceProfileName=PROFILE)
        iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=ROLE)

    thread = threading.Thread(target=create)
    thread.start()
    return thread


def test_an_instance_profile_that_is_not_visible_yet_delays_the_creation_of_the_group(fleet: HealthyFleet) -> None:
    fleet.drop_group()
    fleet.drop_profile()
    fleet.clear_trace()
    thread = create_profile_once_it_was_missed(fleet, "CreateAutoScalingGroup")
    run = fleet.play("playbooks/autoscaling_group.yml")
    thread.join()
    assert run.returncode == 0, run
    assert run.stdout.count("AWS does not see the instance profile yet: trying again for ") == 1
    assert run.changed_tasks[0] == "Create or update the Auto Scaling group as soon as AWS sees what it needs"


def test_an_instance_profile_that_is_not_visible_yet_delays_the_update_of_the_group(fleet: HealthyFleet) -> None:
    fleet.version(lambda data: None)
    fleet.drop_profile()
    fleet.clear_trace()
    thread = create_profile_once_it_was_missed(fleet, "UpdateAutoScalingGroup")
    run = fleet.play("playbooks/autoscaling_group.yml", fleet_new_version="adopt")
    thread.join()
    assert run.returncode == 0, run
    assert run.stdout.count("AWS does not see the instance profile yet: trying again for ") == 1
    assert run.changed_tasks == ["Create or update the Auto Scaling group as soon as AWS sees what it needs"]


def test_awss_reason_for_refusing_a_security_group_is_in_the_message(cloud: PlaybookCloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="operator")
    iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=json.dumps(NO_SECURITY_GROUPS))
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    cloud.advance(PROPAGATED)
    cloud.enforce_iam()
    try:
        run = cloud.play(
            "playbooks/security_group.yml",
            fleet_access_key=key["AccessKeyId"],
            fleet_secret_key=key["SecretAccessKey"],
        )
    finally:
        cloud.enforce_iam(False)
    assert run.returncode != 0
    assert "AWS's reason: CreateSecurityGroup: UnauthorizedOperation: " in run.message
    assert [call["error"] for call in cloud.calls("CreateSecurityGroup")] == ["UnauthorizedOperation"] * 2
