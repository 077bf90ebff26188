"""verify.yml and its module lifecycle_check: findings, options, waiting, missing permissions, errors and cost."""

from __future__ import annotations

import json
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from localcloud.testing import CREDENTIALS, repeatedly

from tests.fleet.cloud import ROOT, Run
from tests.fleet.faults import FAULTS, Fault, with_variables
from tests.fleet.fleet import GROUP, SECRET, TERMINATION, USER
from tests.fleet.healthy import VPC, HealthyFleet, Inputs, failed

AT_MOST_CALLS = 20
FAILED = 2  # ansible-playbook's exit code if a host failed


def verify(fleet: HealthyFleet, *more: str, **variables: Any) -> Run:
    """Run verify.yml as an operator does."""
    return fleet.run_command(
        " ".join([f"ansible-playbook playbooks/verify.yml -i {fleet.inventory(variables)}", *more])
    )


def task(fleet: HealthyFleet, folder: Path, variables: Mapping[str, Any] | None = None, **options: Any) -> Run:
    """Run an operator's own play with the module."""
    for room in ("group_vars", "vars", "collections"):
        (folder / room).symlink_to(ROOT / "playbooks" / room)
    play = {
        "hosts": "fleet",
        "gather_facts": False,
        "module_defaults": {"group/wekruit.ghosthands.fleet": "{{ __fleet_connection }}"},
        "tasks": [
            {
                "name": "Look",
                "wekruit.ghosthands.lifecycle_check": {"report": str(fleet.folder / "report"), **options},
            }
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    return fleet.run_command(f"ansible-playbook {folder}/play.yml -i {fleet.inventory(variables or {})}")


def findings(fleet: HealthyFleet) -> dict[str, Any]:
    """report.json: id -> finding."""
    report = json.loads((fleet.folder / "report/report.json").read_text())
    return {f["id"]: f for f in report["findings"]}


def reported(fleet: HealthyFleet) -> set[str]:
    """Ids of the failed findings in report.json."""
    return {id for id, finding in findings(fleet).items() if not finding["ok"]}


# --- verify.yml ---------------------------------------------------------------------


QUICK = ("group-version", "hook-retention", "instances-retained")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.check, marks=() if fault.check in QUICK else pytest.mark.slow)
        for fault in FAULTS
        if fault.playbook
    ],
)
def test_verify_reports_what_the_checks_find(fault: Fault, fleet: HealthyFleet) -> None:
    fault.apply(fleet)
    fleet.clear_trace()
    run = verify(fleet, **fault.inputs.variables)
    assert reported(fleet) == {fault.check}
    bad = findings(fleet)[fault.check]
    assert run.returncode == (FAILED if bad["severity"] == "error" else 0), run
    assert bad["commands"]
    assert [command for command in bad["commands"] if command not in run.stdout] == [], run  # unbroken, to be copied
    assert fleet.writes() == []


def test_the_registry_and_the_hosts_are_passed_as_values(fleet: HealthyFleet, tmp_path: Path) -> None:
    first, second = fleet.in_service()
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
    run = task(fleet, tmp_path, registry=registry, hosts=hosts)
    assert run.returncode == FAILED
    assert reported(fleet) == {
        *("registry-schema", "registry-read-only", "registry-beating", "registry-address", "host-asked", "host-secret"),
    }


def test_an_instance_in_standby_is_no_failure(fleet: HealthyFleet) -> None:
    fleet.client("autoscaling").enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service()[:1], ShouldDecrementDesiredCapacity=True
    )
    found = fleet.check()
    assert failed(found) == set()
    assert "1 instance in standby" in next(f.detail for f in found if f.id == "instances-standby")


def test_what_a_refresh_is_about_to_repair_is_no_failure(fleet: HealthyFleet) -> None:
    fleet.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="{}")
    fleet.version(lambda data: None)
    fleet.set_version("2")
    fleet.client("autoscaling").start_instance_refresh(AutoScalingGroupName=GROUP)
    assert failed(fleet.check()) == set()


def test_too_few_in_service_is_not_checked_while_others_launch(fleet: HealthyFleet) -> None:
    fleet.complete_launches(False)
    fleet.update(MinSize=3, DesiredCapacity=3)
    serving = next(f for f in fleet.check() if f.id == "instances-serving")
    assert (serving.ok, serving.detail) == (True, "Not looked at: 2 of 3 in service, 1 launching.")


# --- the task's options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fail_on", "returncode", "fault"),
    [("never", 0, "error"), ("error", 0, "warning"), ("error", FAILED, "error"), ("warning", FAILED, "warning")],
)
def test_fail_on_is_the_lowest_severity_that_fails(
    fail_on: str, returncode: int, fault: str, fleet: HealthyFleet, tmp_path: Path
) -> None:
    id = {"error": "hook-exists", "warning": "group-cooldown"}[fault]
    fleet.drop_hook(TERMINATION) if fault == "error" else fleet.update(DefaultCooldown=60)
    run = task(fleet, tmp_path, fail_on=fail_on)
    assert reported(fleet) == {id}
    assert run.returncode == returncode, run


def test_expect_takes_only_names_of_fleet_variables(fleet: HealthyFleet, tmp_path: Path) -> None:
    run = task(fleet, tmp_path, expect={"cooldwn_seconds": 60})
    assert run.returncode == FAILED
    assert "fleet_cooldwn_seconds" in run.message
    assert "fleet_cooldown_seconds" in run.message


def test_expect_replaces_a_variable(fleet: HealthyFleet, tmp_path: Path) -> None:
    fleet.update(DefaultCooldown=60)
    assert task(fleet, tmp_path, expect={"cooldown_seconds": 60}, fail_on="warning").returncode == 0


def test_wait_for_refuses_an_unknown_check(fleet: HealthyFleet, tmp_path: Path) -> None:
    run = task(fleet, tmp_path, wait_for=["hook-exist"])
    assert run.returncode == FAILED
    assert "wait_for names no check: hook-exist" in run.message


def test_a_wait_ends_at_its_timeout_and_says_for_what_it_waited(fleet: HealthyFleet, tmp_path: Path) -> None:
    fleet.drop_hook(TERMINATION)
    run = task(fleet, tmp_path, wait_for=["hook-exists"], timeout=1)
    assert run.returncode == FAILED
    assert "waiting for hook-exists" in run.stdout
    assert reported(fleet) == {"hook-exists"}


def test_a_wait_ends_when_the_check_passes(fleet: HealthyFleet, tmp_path: Path) -> None:
    """Somebody creates the hook meanwhile."""
    fleet.drop_hook(TERMINATION)
    settings = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
        "DefaultResult": "ABANDON",
    }
    looked = threading.Event()

    def create_hook() -> None:
        if not looked.is_set() and any(c["action"] == "DescribeLifecycleHooks" for c in fleet.calls()):
            fleet.hook(TERMINATION, **settings)
            looked.set()

    with repeatedly(create_hook, every=0.1):
        run = task(fleet, tmp_path, wait_for=["hook-exists"], timeout=120, fail_on="warning")
    assert run.returncode == 0, run
    assert "waiting for hook-exists" in run.stdout
    assert reported(fleet) == set()


# --- errors ----------------------------------------------------------------------------------------------------


def test_a_group_that_does_not_exist_is_one_finding(fleet: HealthyFleet) -> None:
    run = verify(fleet, fleet_group_name="nobody-asg")
    assert run.returncode == FAILED
    assert reported(fleet) == {"group-exists"}
    assert (
        findings(fleet)["group-exists"]["detail"]
        == "There is no group nobody-asg in us-east-1 of account 123456789012."
    )


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
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeKeyPairs"),
    *("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy"),
    *("secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"),
    *("logs:DescribeLogGroups", "logs:DescribeLogStreams"),
}
SIMULATOR, ALL_OF_IAM = "iam:SimulatePrincipalPolicy", "iam:GetAccountAuthorizationDetails"
#: One call more where the group leaves out a default subnet, as in us-east-1: one zone of AWS's has no t3.
ZONES = "ec2:DescribeInstanceTypeOfferings"


@pytest.fixture
def enforcing(fleet: HealthyFleet) -> Iterator[HealthyFleet]:
    """With IAM enforced."""
    fleet.enforce_iam()
    yield fleet
    fleet.enforce_iam(False)


@pytest.mark.parametrize("action", sorted(READS))
def test_a_missing_permission_is_one_finding(action: str, enforcing: HealthyFleet) -> None:
    found = enforcing.check(account=enforcing.caller_without(action))
    assert failed(found) == {"readable"}
    assert f"These credentials may not call {action}" in next(f.detail for f in found if f.id == "readable")


def test_these_are_all_the_calls(fleet: HealthyFleet) -> None:
    fleet.clear_trace()
    fleet.check(Inputs({}, registry=lambda _: Registry(True, "", (), (), may_write=False), hosts=lambda _: ()))
    assert {f"{c['service']}:{c['action']}" for c in fleet.calls()} == {*READS, SIMULATOR, ALL_OF_IAM, ZONES}
    print(f"verify.yml reads a fleet in {len(distinct_calls(fleet))} calls, of at most {AT_MOST_CALLS} and {ZONES}")
    assert len(distinct_calls(fleet)) <= AT_MOST_CALLS + 1


def test_valets_user_costs_one_call_and_each_prefix_list_one(fleet: HealthyFleet) -> None:
    for number in (10, 20):
        fleet.open(ports=(number, number), PrefixListIds=[{"PrefixListId": fleet.prefix_list()}])
    fleet.client("iam").create_user(UserName=USER)
    fleet.clear_trace()
    fleet.check(with_variables(fleet_valet_user_name=USER))
    more = {f"{c['service']}:{c['action']}" for c in fleet.calls()} - {*READS, SIMULATOR, ALL_OF_IAM, ZONES}
    assert more == {"iam:ListAccessKeys", "ec2:GetManagedPrefixListEntries"}
    assert len(distinct_calls(fleet)) == len(READS) + 3 + 1 + 2


def test_without_the_simulator_the_policy_is_read_and_the_finding_says_so(enforcing: HealthyFleet) -> None:
    found = enforcing.check(account=enforcing.caller_without(SIMULATOR))
    assert failed(found) == set()
    assert "a reading of gh-worker-local-permissions alone" in next(f.detail for f in found if f.id == "role-actions")


def test_credentials_that_may_not_list_all_of_iam_read_each_resource(enforcing: HealthyFleet) -> None:
    account = enforcing.caller_without(ALL_OF_IAM)
    enforcing.clear_trace()
    assert failed(enforcing.check(account=account)) == set()
    called = {c["action"] for c in enforcing.calls() if c["service"] == "iam" and c["error"] is None}
    assert called >= {"GetRole", "GetRolePolicy", "GetInstanceProfile", "GetPolicy", "GetPolicyVersion"}


def test_without_any_permission_there_is_one_finding(enforcing: HealthyFleet) -> None:
    found = enforcing.check(account=enforcing.caller_without("*"))
    assert failed(found) == {"readable"}
    of_the_account = [f for f in found if not f.id.startswith(("registry-", "host-", "readable"))]
    assert {f.evidence.get("looked") for f in of_the_account} == {False}


def test_throttled_calls_are_retried(fleet: HealthyFleet) -> None:
    fleet.set_faults({"operation": "*", "kind": "throttle", "rate": 0.5}, seed=2027)
    try:
        run = verify(fleet)
    finally:
        fleet.set_faults()
    assert run.returncode == 0, run
    assert reported(fleet) == set()
    assert sum(c["error"] is not None for c in fleet.calls()) > 3


DOWN = "http://127.0.0.1:9"


def test_an_unreachable_endpoint_is_one_finding(fleet: HealthyFleet) -> None:
    found = fleet.check(
        Inputs({"fleet_endpoint_url": DOWN}), Account("us-east-1", DOWN, "", *CREDENTIALS.values(), attempts=1)
    )
    assert failed(found) == {"readable"}
    detail = next(f.detail for f in found if f.id == "readable")
    assert detail.endswith(
        f'Could not connect to the endpoint URL: "{DOWN}/" fleet_endpoint_url is {DOWN}:'
        " start it (python -m localcloud up) or correct it."
    )


@pytest.mark.slow  # it is called ten times
def test_verify_with_an_unreachable_endpoint_fails_with_that_finding(fleet: HealthyFleet) -> None:
    run = verify(fleet, fleet_endpoint_url=DOWN)
    assert run.returncode == FAILED
    assert reported(fleet) == {"readable"}
    assert re.search(r"Traceback|<[\w.]+ object", run.stdout + run.stderr) is None


# --- size and speed ---------------------------------------------------------------------------------------------------


def children_cpu_seconds() -> float:
    """CPU time of this process's finished children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds_of(fleet: HealthyFleet, action: Callable[[], object]) -> float:
    """CPU time that this process, its children and the cloud spend on an action: other load does not count."""
    used = [fleet.cpu_seconds() + time.process_time() + children_cpu_seconds()]
    action()
    return fleet.cpu_seconds() + time.process_time() + children_cpu_seconds() - used[0]


def test_a_thousand_instances_and_as_many_rows_cost_no_more_calls_and_three_times_their_plain_reading(
    fleet: HealthyFleet,
) -> None:
    """Plain reading: boto3 describes the group and its instances, and nothing looks at the answers."""
    ec2 = fleet.client("ec2")
    subnets = [
        ec2.create_subnet(VpcId=VPC, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("172.28.64.0/18", "us-east-1a"), ("172.28.128.0/18", "us-east-1b"))
    ]
    fleet.update(VPCZoneIdentifier=",".join(subnets), MaxSize=1000, DesiredCapacity=1000)
    registry = fleet.registry()
    found: list[Finding] = []
    assert len(registry.rows) == 1000
    inputs = Inputs({"fleet_subnet_ids": subnets, "fleet_vpc_id": VPC}, registry=lambda _: registry)
    plain = seconds_of(fleet, lambda: (fleet.group(), ec2.describe_instances(InstanceIds=fleet.in_service())))
    answers = seconds_of(fleet, lambda: (fleet.registry(), fleet.host_answers()))  # check makes them, too
    fleet.clear_trace()
    spent = seconds_of(fleet, lambda: found.extend(fleet.check(inputs))) - answers
    assert failed(found) == set()
    assert len(distinct_calls(fleet)) <= AT_MOST_CALLS
    print(f"1,000 instances: {spent:.1f} s of CPU time, plain reading {plain:.1f} s")
    assert spent < 3 * plain, (spent, plain)


def distinct_calls(fleet: HealthyFleet) -> set[tuple[str, str]]:
    """(action, parameters) of the trace; the pages of a call count once, the simulator's services too."""
    pages = ("NextToken", "nextToken", "Marker", "MaxResults")
    return {
        (c["action"], "" if c["action"] == "SimulatePrincipalPolicy" else json.dumps(parameters))
        for c in fleet.calls()
        for parameters in [{k: v for k, v in c["parameters"].items() if k not in pages}]
    }


def test_ten_instances_cost_three_times_ansibles_own_start(fleet: HealthyFleet, tmp_path: Path) -> None:
    fleet.update(DesiredCapacity=10)
    (tmp_path / "empty.yml").write_text(json.dumps([{"hosts": "fleet", "gather_facts": False, "tasks": []}]))
    empty = f"ansible-playbook {tmp_path}/empty.yml -i {fleet.inventory({})}"
    ended: list[int] = []
    start = seconds_of(fleet, lambda: ended.append(fleet.run_command(empty).returncode))
    spent = seconds_of(fleet, lambda: ended.append(verify(fleet).returncode)) - start
    assert ended == [0, 0]
    print(f"verify.yml: {spent:.1f} s of CPU time beyond the start, {start:.1f} s")
    assert spent < 3 * start, (spent, start)
