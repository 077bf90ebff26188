"""First contact on localcloud: each probe says what localcloud claims, and nothing is left however a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from localcloud.testing import PROPAGATED, Cloud, wait_until

from tests.fleet.cloud import ROOT
from tools.first_contact import __main__ as first_contact
from tools.first_contact import policy
from tools.first_contact.account import Account
from tools.first_contact.catalogue import PROBES
from tools.first_contact.probe import CONFIRMED, NOT_LOOKED_AT, REFUTED, NotLookedAt

#: What localcloud does. REFUTED: it is more patient than AWS there, which docs/localcloud.md says.
ON_LOCALCLOUD = {
    "default-ebs-key": CONFIRMED,
    "source-image": CONFIRMED,
    "simulate-mixed": REFUTED,
    "volume-limits": REFUTED,
    "prices": NOT_LOOKED_AT,
    "service-linked-role": CONFIRMED,
    "target-state-in-service": CONFIRMED,
    "docker-version": NOT_LOOKED_AT,
    "tags-while-running": CONFIRMED,
    "abandon-retains": CONFIRMED,
    "force-delete-while-retaining": CONFIRMED,
    "end-of-retained": CONFIRMED,
    "warm-pool-states": NOT_LOOKED_AT,
    "key-policy-across-accounts": NOT_LOOKED_AT,
    "spot-notice": NOT_LOOKED_AT,
    "longest-wait": NOT_LOOKED_AT,
    "policy-propagation": CONFIRMED,
    "new-profile": CONFIRMED,
    "refusal-texts": CONFIRMED,
    "auto-scaling-bucket": CONFIRMED,
}
REPORT = ROOT / "tools/first_contact/report.sh"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose instances run report.sh, which here is their command."""
    with Cloud.start_process(
        tmp_path_factory.mktemp("cloud"),
        environment={"EVERY": "0.2"},
        instances="process",
        command=f"sh {REPORT}",
        enforce_iam=True,
    ) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The cloud with an empty account and trace, and an environment in which boto3 finds it."""
    running.reset()
    running.clear_trace()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in running.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return running


def console(cloud: Cloud) -> Any:
    """In place of GetConsoleOutput: the log of the instance's process."""

    def read(_account: Account, instance: str) -> str:
        return "".join(log.read_text(errors="replace") for log in cloud.folder.rglob(f"logs/{instance}.log"))

    return read


def resources(cloud: Cloud) -> set[str]:
    """What a run makes, if it exists."""
    ec2, iam, autoscaling = (cloud.client(service) for service in ("ec2", "iam", "autoscaling"))
    states = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}]
    return {
        *(group["AutoScalingGroupName"] for group in autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]),
        *(template["LaunchTemplateName"] for template in ec2.describe_launch_templates()["LaunchTemplates"]),
        *(i["InstanceId"] for r in ec2.describe_instances(Filters=states)["Reservations"] for i in r["Instances"]),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(role["RoleName"] for role in iam.list_roles()["Roles"] if "aws-service-role" not in role["Path"]),
        *(profile["InstanceProfileName"] for profile in iam.list_instance_profiles()["InstanceProfiles"]),
    }


def run(cloud: Cloud, file: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run it; its exit code and its document."""
    code = first_contact.main(["--json", str(file), *options], console=console(cloud), poll=0.2, patience=0.25)
    return code, json.loads(file.read_text(encoding="utf-8"))


def test_each_probe_says_what_localcloud_claims_and_nothing_is_left(cloud: Cloud, tmp_path: Path) -> None:
    before = resources(cloud)
    code, document = run(cloud, tmp_path / "facts.json", "--yes")
    found = {one["name"]: one["verdict"] for one in document["probes"]}
    assert found == ON_LOCALCLOUD, json.dumps(document, indent=2)
    assert (code, document["complete"]) == (1, True)
    assert resources(cloud) == before
    assert {entry["deleted"] for entry in document["made"]} == {"yes"}
    assert "123456789012" not in (tmp_path / "facts.json").read_text()


def test_what_was_made_is_deleted_after_a_failure_in_the_middle(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_account: Account, _instance: str) -> str:
        raise RuntimeError("the console is broken")

    monkeypatch.setitem(globals(), "console", lambda _cloud: breaks)
    before = resources(cloud)
    with pytest.raises(RuntimeError, match="the console is broken"):
        run(cloud, tmp_path / "facts.json", "--yes", "--only", "target-state-in-service")
    assert cloud.calls("CreateAutoScalingGroup")
    assert resources(cloud) == before


def test_what_cannot_be_deleted_is_named_and_a_later_run_deletes_it(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resources(cloud)
    cloud.set_faults({"operation": "ec2:DeleteLaunchTemplate", "kind": "error", "status": 503})
    code, document = run(cloud, tmp_path / "facts.json", "--yes", "--only", "refusal-texts")
    left = [entry["made"] for entry in document["made"] if entry["deleted"] != "yes"]
    assert (code, len(left)) == (1, 1)
    assert f"LEFT: {left[0]}" in capsys.readouterr().err
    cloud.set_faults()
    assert resources(cloud) - before == {left[0].split()[-1]}
    assert first_contact.main(["--clean"], poll=0.2, patience=0.25) == 0
    assert resources(cloud) == before


@pytest.mark.parametrize("signals", [1, 2], ids=["once", "twice"])
def test_an_interrupt_deletes_what_was_made(cloud: Cloud, tmp_path: Path, signals: int) -> None:
    before = resources(cloud)
    options = ["--yes", "--json", str(tmp_path / "facts.json"), "--only", "target-state-in-service"]
    running = subprocess.Popen(
        [sys.executable, "-m", "tools.first_contact", *options],
        cwd=ROOT,
        env=cloud.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # It waits for the console of an instance, which localcloud does not show.
    wait_until(lambda: cloud.calls("GetConsoleOutput"), timeout=120)
    cloud.set_latency(200)  # so that the deletion takes some seconds
    for _ in range(signals):
        running.send_signal(signal.SIGINT)
        time.sleep(0.3)
    output, _ = running.communicate(timeout=120)
    cloud.set_latency(0)
    assert running.returncode == 130, output
    assert output.count("still deleting") == signals - 1
    assert resources(cloud) == before
    assert json.loads((tmp_path / "facts.json").read_text())["complete"] is False


@pytest.mark.parametrize("options", [[], ["--plan"], ["--policy"]], ids=["none", "plan", "policy"])
def test_without_yes_and_read_nothing_is_called(
    cloud: Cloud, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.clear_trace()
    assert first_contact.main(options) == 0
    assert cloud.calls() == []
    assert capsys.readouterr().out


def test_read_changes_nothing(cloud: Cloud, tmp_path: Path) -> None:
    cloud.clear_trace()
    _code, document = run(cloud, tmp_path / "facts.json", "--read")
    assert cloud.writes() == []
    writing = {one.name for one in PROBES if one.writes}
    assert {one["name"] for one in document["probes"] if one["observed"] == "it writes: --yes"} == writing


def test_a_wrong_name_and_a_region_without_subnets_are_refused_before_anything_is_made(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        first_contact.main(["--yes", "--only", "no-such-probe"])
    assert "--only no-such-probe: there is no such probe" in capsys.readouterr().err
    monkeypatch.setattr(Account, "subnets", property(lambda _self: (_ for _ in ()).throw(NotLookedAt("no subnets"))))
    cloud.clear_trace()
    assert first_contact.main(["--yes"]) == 2
    assert cloud.writes() == []


def test_the_printed_policy_is_enough(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="visitor")
    made = iam.create_policy(PolicyName="visitor", PolicyDocument=json.dumps(policy.document()))
    iam.attach_user_policy(UserName="visitor", PolicyArn=made["Policy"]["Arn"])
    key = iam.create_access_key(UserName="visitor")["AccessKey"]
    cloud.advance(PROPAGATED)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    before = resources(cloud)
    cloud.clear_trace()
    _code, document = run(cloud, tmp_path / "facts.json", "--yes")
    # The role of policy-propagation is refused while it is new and while it has no policy, and that is all.
    refused = {call["action"] for call in cloud.calls() if call["error"] in ("AccessDenied", "UnauthorizedOperation")}
    assert refused - {"AssumeRole"} == {"DescribeAutoScalingGroups"}
    # localcloud does not know what these need: it has no row for GetEbsDefaultKmsKeyId and CreateVolume.
    expected = ON_LOCALCLOUD | {"default-ebs-key": NOT_LOOKED_AT, "volume-limits": NOT_LOOKED_AT}
    assert {one["name"]: one["verdict"] for one in document["probes"]} == expected
    assert resources(cloud) == before
