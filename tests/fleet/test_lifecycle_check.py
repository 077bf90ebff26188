"""verify.yml and its task: what they say, cost, wait for and refuse, and what they bear."""

from __future__ import annotations

import json
import re
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry

from tests.fleet.cloud import KEYS, ROOT, Run, meanwhile
from tests.fleet.faults import FAULTS, Fault
from tests.fleet.mutations import GROUP, SECRET, TERMINATION
from tests.fleet.right import VPC, Right, Sight, wrong

AT_MOST_CALLS = 15
RED = 2  # what ansible-playbook ends with where a host failed


def verify(right: Right, *more: str, **variables: Any) -> Run:
    """verify.yml, as an operator runs it."""
    return right.operate(" ".join([f"ansible-playbook playbooks/verify.yml -i {right.inventory(variables)}", *more]))


def task(right: Right, folder: Path, variables: Mapping[str, Any] | None = None, **options: Any) -> Run:
    """A play of an operator's own with that task."""
    for room in ("group_vars", "vars", "collections"):
        (folder / room).symlink_to(ROOT / "playbooks" / room)
    play = {
        "hosts": "fleet",
        "gather_facts": False,
        "module_defaults": {"group/wekruit.ghosthands.fleet": "{{ __fleet_connection }}"},
        "tasks": [
            {"name": "Look", "wekruit.ghosthands.lifecycle_check": {"report": str(right.folder / "report"), **options}}
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    return right.operate(f"ansible-playbook {folder}/play.yml -i {right.inventory(variables or {})}")


def told(right: Right) -> dict[str, Any]:
    """report.json: id -> finding."""
    report = json.loads((right.folder / "report/report.json").read_text())
    return {f["id"]: f for f in report["findings"]}


def wrong_ones(right: Right) -> set[str]:
    """Ids of what report.json calls wrong."""
    return {id for id, finding in told(right).items() if not finding["ok"]}


# --- what verify.yml says, costs and leaves alone -----------------------------------------------------------------------------------------


def test_verify_of_a_right_fleet_is_green_and_changes_nothing(right: Right) -> None:
    right.forget()
    run = verify(right)
    assert run.returncode == 0, run
    assert wrong_ones(right) == set()
    assert right.writes() == []
    assert run.changed == 0
    assert len(right.trace()) <= AT_MOST_CALLS


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.check) for f in FAULTS if f.play])
def test_verify_finds_what_the_python_underneath_finds(fault: Fault, right: Right) -> None:
    fault.do(right)
    right.forget()
    run = verify(right, **fault.sight.variables)
    assert wrong_ones(right) == {fault.check}
    bad = told(right)[fault.check]
    assert run.returncode == (RED if bad["severity"] == "error" else 0), run
    commands = re.findall(r"`([^`]+)`", bad["remedy"])
    assert commands
    assert [command for command in commands if command not in run.stdout] == [], run  # unbroken, to be copied
    assert right.writes() == []


def test_the_registry_and_the_hosts_come_as_values(right: Right, tmp_path: Path) -> None:
    first, second = right.serving()
    moment = "2026-11-01T00:00:00.000+00:00"
    row = {
        "worker_id": first,
        "status": "active",
        "target_worker_id": None,
        "ec2_instance_id": first,
        "ec2_ip": None,
        "current_job_id": None,
        "registered_at": moment,
        "last_heartbeat": moment,
        "jobs_completed": 0,
        "jobs_failed": 0,
        "heartbeat_age_seconds": 900.0,
    }
    registry = {
        "reachable": True,
        "error": "",
        "now": moment,
        "rows": [row],
        "broken": ["worker 'x': status is 'busy'"],
        "may_write": True,
        "row_security": False,
    }
    lacks = {"id": "secret", "severity": "error", "ok": False, "detail": "lacks GH_API_KEY", "remedy": "Add it."}
    hosts = [{"instance": first, "findings": [lacks]}, {"instance": second, "problem": "no route"}]
    run = task(right, tmp_path, registry=registry, hosts=hosts)
    assert run.returncode == RED
    assert wrong_ones(right) == {
        *("registry-schema", "registry-read-only", "registry-beating", "registry-address", "host-asked", "host-secret"),
    }


def test_a_worker_that_stands_by_is_no_failure(right: Right) -> None:
    right.aws("autoscaling").enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=right.serving()[:1], ShouldDecrementDesiredCapacity=True
    )
    found = right.look()
    assert wrong(found) == set()
    assert "1 instance set aside" in next(f.detail for f in found if f.id == "instances-standby")


def test_what_a_refresh_is_about_to_mend_is_no_failure(right: Right) -> None:
    right.aws("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="{}")
    right.version(lambda data: None)
    right.use("2")
    right.aws("autoscaling").start_instance_refresh(AutoScalingGroupName=GROUP)
    assert wrong(right.look()) == set()


def test_too_few_in_service_is_not_yet_right_while_others_come(right: Right) -> None:
    right.hook("boot", LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING")
    right.update(MinSize=3, DesiredCapacity=3)
    serving = next(f for f in right.look() if f.id == "instances-serving")
    assert (serving.ok, serving.detail) == (True, "Not looked at: 2 of 3 in service, 1 coming.")


# --- the task's options -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fail_on", "returncode", "fault"),
    [("never", 0, "error"), ("error", 0, "warning"), ("error", RED, "error"), ("warning", RED, "warning")],
)
def test_fail_on_is_the_least_severity_that_fails(
    fail_on: str, returncode: int, fault: str, right: Right, tmp_path: Path
) -> None:
    id = {"error": "hook-exists", "warning": "group-cooldown"}[fault]
    right.drop_hook(TERMINATION) if fault == "error" else right.update(DefaultCooldown=60)
    run = task(right, tmp_path, fail_on=fail_on)
    assert wrong_ones(right) == {id}
    assert run.returncode == returncode, run


def test_what_is_expected_instead_is_a_fleets_own_variable(right: Right, tmp_path: Path) -> None:
    run = task(right, tmp_path, expect={"cooldwn_seconds": 60})
    assert run.returncode == RED
    assert "fleet_cooldwn_seconds" in run.message
    assert "fleet_cooldown_seconds" in run.message


def test_what_is_expected_instead_replaces_the_variable(right: Right, tmp_path: Path) -> None:
    right.update(DefaultCooldown=60)
    assert task(right, tmp_path, expect={"cooldown_seconds": 60}, fail_on="warning").returncode == 0


def test_waiting_for_no_check_is_refused(right: Right, tmp_path: Path) -> None:
    run = task(right, tmp_path, wait_for=["hook-exist"])
    assert run.returncode == RED
    assert "wait_for names no check: hook-exist" in run.message


def test_a_wait_that_is_in_vain_ends_in_time_and_says_for_what(right: Right, tmp_path: Path) -> None:
    right.drop_hook(TERMINATION)
    run = task(right, tmp_path, wait_for=["hook-exists"], timeout=1)
    assert run.returncode == RED
    assert "waiting for hook-exists" in run.stdout
    assert wrong_ones(right) == {"hook-exists"}


def test_a_wait_ends_when_what_it_waits_for_is_right(right: Right, tmp_path: Path) -> None:
    """Somebody puts the hook back meanwhile."""
    right.drop_hook(TERMINATION)
    put_back = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
        "DefaultResult": "ABANDON",
    }
    looked = threading.Event()

    def put_it_back() -> None:
        if not looked.is_set() and any(c["action"] == "DescribeLifecycleHooks" for c in right.trace()):
            right.hook(TERMINATION, **put_back)
            looked.set()

    with meanwhile(put_it_back, every=0.1):
        run = task(right, tmp_path, wait_for=["hook-exists"], timeout=120, fail_on="warning")
    assert run.returncode == 0, run
    assert "waiting for hook-exists" in run.stdout
    assert wrong_ones(right) == set()


# --- what it bears --------------------------------------------------------------------------------------------------------------------------


def test_a_group_that_is_not_there_is_one_finding(right: Right) -> None:
    run = verify(right, fleet_group_name="nobody-asg")
    assert run.returncode == RED
    assert wrong_ones(right) == {"group-exists"}
    assert told(right)["group-exists"]["detail"] == "There is no group nobody-asg in us-east-1 of account 123456789012."


READS = {
    *(
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeLifecycleHooks",
        "autoscaling:DescribeScalingActivities",
    ),
    *(
        "autoscaling:DescribeInstanceRefreshes",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeInstances",
        "ec2:DescribeImages",
    ),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeKeyPairs", "iam:GetInstanceProfile"),
    *("secretsmanager:DescribeSecret", "ecr:DescribeImages", "logs:DescribeLogStreams"),
}
SIMULATOR = "iam:SimulatePrincipalPolicy"


@pytest.fixture
def enforcing(right: Right) -> Iterator[Right]:
    """With IAM enforced."""
    right.control("enforce-iam", on=True)
    yield right
    right.control("enforce-iam", on=False)


@pytest.mark.parametrize("action", sorted(READS))
def test_what_may_not_be_read_is_one_finding_and_no_crash(action: str, enforcing: Right) -> None:
    found = enforcing.look(account=enforcing.caller_without(action))
    assert wrong(found) == {"readable"}
    assert f"These credentials may not call {action}" in next(f.detail for f in found if f.id == "readable")


def test_these_are_all_the_calls_that_it_makes(right: Right) -> None:
    right.forget()
    right.look(Sight({}, registry=lambda _: Registry(True, "", (), (), may_write=False), hosts=lambda _: ()))
    assert {f"{c['service']}:{c['action']}" for c in right.trace()} == {*READS, SIMULATOR}


def test_who_may_not_ask_the_simulator_reads_the_policy_and_says_so(enforcing: Right) -> None:
    found = enforcing.look(account=enforcing.caller_without(SIMULATOR))
    assert wrong(found) == set()
    assert "a reading of gh-worker-local-permissions alone" in next(f.detail for f in found if f.id == "role-actions")


def test_who_may_read_nothing_is_told_so_once(enforcing: Right) -> None:
    found = enforcing.look(account=enforcing.caller_without("*"))
    assert wrong(found) == {"readable"}
    of_the_account = [f for f in found if not f.id.startswith(("registry-", "host-", "readable"))]
    assert {f.evidence.get("looked") for f in of_the_account} == {False}


def test_throttling_of_every_other_call_is_borne(right: Right) -> None:
    right.control("faults", faults=[{"operation": "*", "kind": "throttle", "rate": 0.5}], seed=2027)
    try:
        run = verify(right)
    finally:
        right.control("faults", faults=[])
    assert run.returncode == 0, run
    assert wrong_ones(right) == set()
    assert sum(c["error"] is not None for c in right.trace()) > 3


DOWN = "http://127.0.0.1:9"


def test_an_endpoint_that_is_down_is_one_clear_error(right: Right) -> None:
    found = right.look(Sight({"fleet_endpoint_url": DOWN}), Account("us-east-1", DOWN, "", *KEYS.values(), attempts=1))
    assert wrong(found) == {"readable"}
    said = next(f.detail for f in found if f.id == "readable")
    assert said.endswith(
        f'Could not connect to the endpoint URL: "{DOWN}/" fleet_endpoint_url is {DOWN}: start it (python -m localcloud up) or correct it.'
    )


@pytest.mark.slow  # it is asked ten times before it is given up
def test_verify_against_an_endpoint_that_is_down_ends_in_that_error(right: Right) -> None:
    run = verify(right, fleet_endpoint_url=DOWN)
    assert run.returncode == RED
    assert wrong_ones(right) == {"readable"}
    assert re.search(r"Traceback|<[\w.]+ object", run.stdout + run.stderr) is None


# --- size and speed ---------------------------------------------------------------------------------------------------------------------------


def of_children() -> float:
    """Seconds of processors that this process's ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_thousand_instances_and_as_many_rows_cost_no_more_calls_and_five_seconds(right: Right) -> None:
    """Seconds of both ends' processors: what else the machine does is not counted."""
    ec2 = right.aws("ec2")
    subnets = [
        ec2.create_subnet(VpcId=VPC, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("172.28.64.0/18", "us-east-1a"), ("172.28.128.0/18", "us-east-1b"))
    ]
    right.update(VPCZoneIdentifier=",".join(subnets), MaxSize=1000, DesiredCapacity=1000)
    registry = right.registry()
    assert len(registry.rows) == 1000
    right.forget()
    before = right.cpu_seconds() + time.process_time()
    found = right.look(Sight({}, registry=lambda _: registry))
    spent = right.cpu_seconds() + time.process_time() - before
    assert wrong(found) == set()
    assert len(asked(right)) <= AT_MOST_CALLS
    assert spent < 5, spent


def asked(right: Right) -> set[tuple[str, str]]:
    """The questions of the trace: (action, of what); the pages of one are one."""
    pages = ("NextToken", "nextToken", "Marker", "MaxResults")
    return {
        (c["action"], json.dumps({k: v for k, v in c["parameters"].items() if k not in pages})) for c in right.trace()
    }


def test_ten_instances_cost_two_seconds_beyond_ansibles_own_start(right: Right, tmp_path: Path) -> None:
    """Seconds of all processes' processors."""
    right.update(DesiredCapacity=10)
    (tmp_path / "empty.yml").write_text(json.dumps([{"hosts": "fleet", "gather_facts": False, "tasks": []}]))
    began = of_children()
    assert right.operate(f"ansible-playbook {tmp_path}/empty.yml -i {right.inventory({})}").returncode == 0
    start, before = of_children() - began, of_children() + right.cpu_seconds()
    assert verify(right).returncode == 0
    spent = of_children() + right.cpu_seconds() - before - start
    assert spent < 2, spent
