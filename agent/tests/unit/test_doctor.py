"""What the doctor finds, and that it shows no secret."""

from __future__ import annotations

import email.utils
import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ghosthands_agent.doctor import CHECKS, NO_HOOK, NO_INSTANCE, Finding, doctor, examine, table
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import API, DEPLOY_SERVER, WORKER, BootRecord, Control, Replacement
from ghosthands_agent.records import RunRecords
from ghosthands_agent.wishes import WISH_TAG
from model.agent_conf import VALUES, conf
from unit.fake_http import Reply, Request, fake_server
from unit.test_aws import activities, described
from unit.test_containers import by_compose, row
from unit.test_imds import Service
from unit.test_worker import STATUS

INSTANCE = "i-0123456789abcdef0"
SECRET = {
    key: f"canary-{key}"
    for key in (
        *(
            "SUPABASE_URL",
            "SUPABASE_SECRET_KEY",
            "SUPABASE_PUBLISHABLE_KEY",
            "DATABASE_URL",
            "DATABASE_DIRECT_URL",
            "GH_SERVICE_SECRET",
        ),
        *("GH_CREDENTIAL_KEY", "GH_DEPLOY_SECRET", "GH_ENVIRONMENT", "OPENAI_API_KEY"),
    )
}
DOCKER = """#!/bin/sh
case "$*" in
"version --format {{.Server.Version}}") echo 26.1.0 ;;
"compose version --short") echo 2.40.3 ;;
"image inspect --format {{.Id}} -- registry.internal:5000/ghosthands:1") echo sha256:00 ;;
"inspect --format {{.State.Error}} "*) echo "error setting rlimit" ;;
"ps --all --no-trunc --format "*) cat "${0%/*}/containers" ;;
*) echo "unexpected command: $*" >&2; exit 64 ;;
esac
"""


ATTACHED = {"version": 1, "attached": True, "problems": [], "job": None, "job_status": None}
GUARDED = {**STATUS, "drain_guard": ATTACHED}
RAW = row("ghosthands-worker", role="worker")  # as deploy-server starts it


@dataclass
class Aws:
    """AWS's replies on a healthy instance.

    Attributes:
        denied: actions that are not allowed.
        ahead: seconds by which AWS's clock is ahead.
        requests: actions and bodies of all requests.
    """

    secret: str = json.dumps(SECRET)
    denied: set[str] = field(default_factory=set)
    ahead: float = 0.0
    requests: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        action = request.headers.get("x-amz-target", "").rpartition(".")[2]
        action = action or dict(pair.split("=", 1) for pair in request.body.split("&") if "=" in pair).get("Action", "")
        self.requests.append(f"{action} {request.body}")
        date = {"Date": email.utils.formatdate(time.time() + self.ahead, usegmt=True)}
        if action in self.denied:
            json_protocol = "x-amz-target" in request.headers
            return Reply(
                403, json.dumps({"__type": "AccessDeniedException"}) if json_protocol else error("AccessDenied")
            )
        match action:
            case "GetCallerIdentity":
                arn = f"<Arn>arn:aws:sts::123456789012:assumed-role/gh-worker-role/{INSTANCE}</Arn>"
                return Reply(body=f"<R><GetCallerIdentityResult>{arn}</GetCallerIdentityResult></R>", headers=date)
            case "GetSecretValue":
                return Reply(body=json.dumps({"SecretString": self.secret}))
            case "SetInstanceHealth":
                return Reply(body="<R/>")
            case "DescribeAutoScalingGroups":
                return described(("i-1", "Terminating:Retained", "Healthy"), (INSTANCE, "InService", "Healthy"))
            case "DescribeAutoScalingInstances" | "DescribeLifecycleHooks":
                return Reply(body=f"<R><{action}Result/></R>")
            case "DescribeScalingActivities":
                return activities()
            case "CreateTags":
                assert "DryRun=true" in request.body
                code = "<Code>DryRunOperation</Code><Message>canary</Message>"
                return Reply(
                    412, f"<Response><Errors><Error>{code}</Error></Errors><RequestID>1</RequestID></Response>"
                )
            case "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" | "SetInstanceProtection":
                assert NO_HOOK in request.body or NO_INSTANCE in request.body, "the call could have had an effect"
                return Reply(400, error("ValidationError"))
        return Reply(599)


def error(code: str) -> str:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>canary</Message></Error></ErrorResponse>"


@dataclass
class HealthyHost:
    """A host without a bad finding, which tests then break."""

    paths: Paths
    aws: Aws
    metadata: Service
    worker: dict[str, Reply]

    def findings(self) -> dict[str, Finding]:
        return {finding.id: finding for finding in examine(self.paths.config, self.paths)}

    def answer(self, **changes: object) -> None:
        """What the worker's status says instead."""
        self.worker["GET /worker/status"] = Reply(body=json.dumps({**GUARDED, **changes}))

    def run_containers(self, *rows: str) -> None:
        """What `docker ps` lists."""
        (self.paths.root / "bin/containers").write_text("\n".join(rows))

    def bad(self) -> dict[str, str]:
        return {id: finding.detail for id, finding in self.findings().items() if not finding.ok}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthyHost]:
    aws, metadata = Aws(), Service()
    metadata.values["tags/instance"] = WISH_TAG
    worker = {"GET /worker/status": Reply(body=json.dumps(GUARDED)), "GET /health": Reply()}
    with (
        fake_server(aws) as api,
        fake_server(metadata) as imds,
        fake_server(lambda request: worker.get(request.method_and_path, Reply(599))) as http,
    ):
        paths = Paths(tmp_path, api_port=http.server_port, worker_port=http.server_port)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "a-key-for-tests",
            "AWS_SECRET_ACCESS_KEY": "a-secret-for-tests",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        }.items():
            monkeypatch.setenv(name, value)
        for file in (paths.config, paths.compose_file, tmp_path / "bin/docker", tmp_path / "tmp/.X11-unix/X99"):
            file.parent.mkdir(parents=True)
        paths.config.write_text(conf(GROUP="g", TERMINATION_HOOK="h", SECRET_ID="s", ENDPOINT_URL=api.url))
        paths.compose_file.write_text("services: {}\n")
        paths.environment.touch(0o600)
        paths.environment.write_text("JOB_DISPATCH_MODE='queue'\nTOKEN='canary'\n")
        (tmp_path / "bin/docker").write_text(DOCKER)
        (tmp_path / "bin/containers").write_text("\n".join(by_compose(name) for name in (WORKER, API, DEPLOY_SERVER)))
        (tmp_path / "bin/docker").chmod(0o755)
        RunRecords(paths).write_boot(BootRecord("completed", "", "", 0, 0.0, {"facts": 1.5}))
        with socket.socket(socket.AF_UNIX) as display:
            here = os.getcwd()
            os.chdir(tmp_path / "tmp/.X11-unix")  # a socket's path may have 108 bytes
            display.bind("X99")
            os.chdir(here)
            display.listen()
            yield HealthyHost(paths, aws, metadata, worker)


def test_a_healthy_host_has_no_bad_finding(host: HealthyHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(host.paths.config, host.paths, as_json=False) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == f"{len(CHECKS) + 1} checks, all passed"
    assert "canary" not in output


def test_as_json_each_finding_has_an_id_a_severity_a_verdict_a_detail_and_a_remedy(
    host: HealthyHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.worker["GET /health"] = Reply(503)
    assert doctor(host.paths.config, host.paths, as_json=True) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert all(set(finding) == {"id", "severity", "ok", "detail", "remedy"} for finding in findings)
    assert [finding["id"] for finding in findings] == ["agent_conf", *(check.id for check in CHECKS)]
    (bad,) = [finding for finding in findings if not finding["ok"]]
    assert bad == {"id": "api", "severity": "error", "ok": False, "detail": "api:/health: 503", "remedy": bad["remedy"]}
    assert bad["remedy"]


@pytest.mark.parametrize(
    ("action", "id"),
    [
        ("CompleteLifecycleAction", "complete_lifecycle_action"),
        ("RecordLifecycleActionHeartbeat", "record_lifecycle_action_heartbeat"),
        ("SetInstanceProtection", "set_instance_protection"),
        ("SetInstanceHealth", "set_instance_health"),
        ("CreateTags", "create_tags"),
        ("GetSecretValue", "secret"),
        ("DescribeAutoScalingGroups", "describe_auto_scaling_groups"),
        ("DescribeScalingActivities", "describe_scaling_activities"),
        ("DescribeAutoScalingInstances", "describe_auto_scaling_instances"),
        ("DescribeLifecycleHooks", "describe_lifecycle_hooks"),
    ],
)
def test_a_permission_that_is_missing_is_named(host: HealthyHost, action: str, id: str) -> None:
    host.aws.denied.add(action)
    bad = host.bad()
    assert bad.keys() == {id}
    assert "AccessDenied" in bad[id]


def test_a_call_that_could_bring_an_unhealthy_instance_back_is_not_made(host: HealthyHost) -> None:
    RunRecords(host.paths).write_boot(BootRecord("failed", "secret", "AccessDenied", 1, 0.0, {}))
    assert host.bad() == {"boot": "failed in secret: AccessDenied; the next try follows"}
    assert not [request for request in host.aws.requests if request.startswith("SetInstanceHealth")]


def test_nor_while_a_failed_boot_is_tried_again_or_a_replacement_is_asked_for(host: HealthyHost) -> None:
    RunRecords(host.paths).write_boot(BootRecord("running", "secret", "", 1, time.time(), {}))
    assert host.findings()["set_instance_health"].detail.startswith("not tried")
    RunRecords(host.paths).write_boot(BootRecord("completed", "", "", 0, 0.0, {}))
    RunRecords(host.paths).write_replacement(Replacement("the disk is full", "asked for it", asked=1.0))
    assert host.findings()["set_instance_health"].detail.startswith("not tried")


def test_a_boot_that_failed_in_a_command_quotes_it_the_last_line_first(host: HealthyHost) -> None:
    said = "creating worker\nfailed to create task: cpu.max: invalid argument"
    RunRecords(host.paths).write_boot(
        BootRecord("failed", "start", "docker compose up: exit 1 (57 times in 880 s)", 1, 0.0, {}, output=said)
    )
    assert host.bad() == {
        "boot": "failed in start: docker compose up: exit 1 (57 times in 880 s); last lines, the last one first: "
        "failed to create task: cpu.max: invalid argument | creating worker; the next try follows"
    }


@pytest.mark.parametrize(("seconds", "bad"), [(30, False), (600, True)])
def test_a_boot_that_retries_something_for_long_is_found(host: HealthyHost, seconds: float, bad: bool) -> None:
    began = time.time() - seconds
    RunRecords(host.paths).write_boot(BootRecord("running", "start", "docker compose up: exit 1", 0, began, {}))
    found = host.bad().get("boot", "")
    assert ("in start, retries docker compose up: exit 1" in found) == bad


def test_a_boot_that_is_stuck_says_where_since_when_and_how_often_it_tried(host: HealthyHost) -> None:
    now = time.time()
    record = BootRecord(
        "running", "start", "docker compose up: exit 1", 0, now - 460, {}, tries=9, phase_began=now - 450
    )
    RunRecords(host.paths).write_boot(record)
    assert re.fullmatch(
        r"running since 46\d s, 45\d s of them in start, retries docker compose up: exit 1 \(9 times\)",
        host.bad()["boot"],
    )


def test_a_boot_that_waits_without_an_error_is_stuck_too_unless_it_pulls_an_image(host: HealthyHost) -> None:
    for phase, stuck in (("registration", True), ("image", False), ("service", False)):
        RunRecords(host.paths).write_boot(BootRecord("running", phase, "", 0, time.time() - 460, {}))
        assert ("boot" in host.bad()) == stuck, phase


def test_a_boot_that_runs_after_failures_says_what_failed(host: HealthyHost) -> None:
    record = BootRecord("running", "secret", "", 4, time.time(), {}, failure="secret: AccessDenied")
    RunRecords(host.paths).write_boot(record)
    assert host.bad()["boot"].endswith("it has failed, 4 times in a row before, in secret: AccessDenied")


def test_a_replacement_that_waits_for_the_limit_is_named_with_its_reason(host: HealthyHost) -> None:
    status = "3 of 3 launches in the last hour; next replacement at 21:14 UTC"
    RunRecords(host.paths).write_replacement(Replacement("boot fails in secret: AccessDenied", status))
    assert host.bad() == {"replacement": f"needed, {status}. Reason: boot fails in secret: AccessDenied"}
    RunRecords(host.paths).write_replacement(None)
    assert host.bad() == {}


def test_cloud_inits_errors_are_a_warning(host: HealthyHost) -> None:
    host.paths.cloud_init_result.parent.mkdir(parents=True)
    host.paths.cloud_init_result.write_text('{"v1": {"errors": ["(\'write_files\', no space)"]}}')
    assert host.bad() == {"cloud_init": "('write_files', no space)"}
    assert host.findings()["cloud_init"].severity == "warning"


def test_a_container_that_never_started_is_named_with_dockers_reason_and_not_with_its_log(host: HealthyHost) -> None:
    host.run_containers(*map(by_compose, (API, DEPLOY_SERVER)), by_compose(WORKER, state="created", status="Created"))
    finding = host.findings()["containers"]
    assert finding.detail.endswith("ghosthands-worker-1 was created and never started: error setting rlimit")
    assert "docker logs" not in finding.remedy


def test_a_key_missing_in_the_secret_is_named_without_any_value(host: HealthyHost) -> None:
    host.aws.secret = json.dumps({key: value for key, value in SECRET.items() if key != "DATABASE_URL"})
    bad = host.bad()
    assert bad.keys() == {"secret"}
    assert "DATABASE_URL" in bad["secret"]
    assert "canary" not in str(host.findings())


def test_a_wrong_clock_is_found_with_its_difference(host: HealthyHost) -> None:
    host.aws.ahead = 120
    bad = host.bad()
    assert bad.keys() == {"clock"}
    assert bad["clock"] in [
        f"-{seconds} s against AWS" for seconds in range(115, 122)
    ]  # whole seconds, of two clocks read one after the other


@pytest.mark.parametrize(
    ("path", "value", "id"),
    [("autoscaling/target-lifecycle-state", None, "group"), ("iam/security-credentials/", None, "role")],
)
def test_missing_metadata_is_found(host: HealthyHost, path: str, value: str | None, id: str) -> None:
    host.metadata.values[path] = value
    assert host.bad().keys() == {id}


def test_the_worker_of_another_instance_is_found(host: HealthyHost) -> None:
    host.answer(ec2_instance_id="i-00000000000000001")
    assert host.bad() == {"worker": f"it reports the id i-00000000000000001, this instance is {INSTANCE}"}


def test_a_docker_that_does_not_answer_is_found_wherever_it_is_needed(host: HealthyHost) -> None:
    (host.paths.root / "bin/docker").write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2; exit 1\n")
    bad = host.bad()
    assert bad.keys() == {"docker", "compose", "image", "containers", "workers"}
    assert bad["docker"] == "docker version: DockerDown"


def test_a_worker_that_somebody_else_started_is_the_worker_but_has_no_guard(host: HealthyHost) -> None:
    host.run_containers(by_compose(API), by_compose(DEPLOY_SERVER), RAW)
    host.answer(drain_guard=None)
    findings = host.findings()
    assert host.bad() == {"guard": "absent: container ghosthands-worker was started by somebody else, without it"}
    assert "worker (ghosthands-worker, running, started by somebody else)" in findings["containers"].detail
    assert "systemctl restart ghosthands-boot" in findings["guard"].remedy


def test_two_workers_are_both_named(host: HealthyHost) -> None:
    second = row("ghosthands-worker", role="worker", state="restarting", status="Restarting (1) 3 seconds ago")
    host.run_containers(second, *map(by_compose, (WORKER, API, DEPLOY_SERVER)))
    bad = host.bad()
    assert bad.keys() == {"workers"}
    assert bad["workers"].startswith(
        "2 workers on this host: ghosthands-worker-1, running, "
        "ghosthands-worker, restarting, started by somebody else. "
    )
    host.run_containers(second.replace("restarting", "exited"), *map(by_compose, (WORKER, API, DEPLOY_SERVER)))
    assert host.bad() == {}, "one that has ended and stays down is no second worker"


def test_a_guard_that_did_not_fit_is_found_with_its_reasons(host: HealthyHost) -> None:
    host.answer(drain_guard={**ATTACHED, "attached": False, "problems": ["No stop() there.", "No class."]})
    assert host.bad() == {"guard": "absent: No stop() there. No class."}
    assert host.findings()["guard"].severity == "error"


def test_a_worker_that_does_not_answer_has_no_guard(host: HealthyHost) -> None:
    del host.worker["GET /worker/status"]
    assert host.bad()["guard"] == "absent: no worker answers (599)"
    host.paths.config.write_text(host.paths.config.read_text().replace("WORKER_GUARD=preferred", "WORKER_GUARD=off"))
    assert host.findings()["guard"].ok


def test_the_workers_job_is_named_where_a_guard_reports_it(host: HealthyHost) -> None:
    host.answer(active_jobs=1, is_draining=True, drain_guard={**ATTACHED, "job": "7f", "job_status": "awaiting_review"})
    assert host.findings()["worker"].detail == "1 active jobs (job 7f, awaiting_review), queue, draining"
    host.answer(active_jobs=0, drain_guard=ATTACHED)
    assert host.findings()["worker"].detail == "0 active jobs, queue"


def test_a_worker_that_is_to_run_without_the_guard_has_no_finding(host: HealthyHost) -> None:
    host.paths.config.write_text(host.paths.config.read_text().replace("WORKER_GUARD=preferred", "WORKER_GUARD=off"))
    host.answer(drain_guard=None)
    assert host.bad() == {}


@pytest.mark.parametrize(
    ("text", "running", "said"),
    [
        ("A=1\n", "legacy", "JOB_DISPATCH_MODE is not queue in .env: in legacy mode"),
        ("JOB_DISPATCH_MODE='legacy'\n", "legacy", "JOB_DISPATCH_MODE is not queue in .env: in legacy mode"),
        ("JOB_DISPATCH_MODE='queue'\n", "legacy", "JOB_DISPATCH_MODE is queue in .env, but the worker runs in legacy"),
        ("A=1\n", "queue", "JOB_DISPATCH_MODE is not queue in .env, but the worker runs in queue mode"),
    ],
)
def test_legacy_mode_and_modes_that_disagree_are_warnings(
    host: HealthyHost, text: str, running: str, said: str
) -> None:
    host.paths.environment.write_text(text)
    host.answer(dispatch_mode=running)
    finding = host.findings()["dispatch_mode"]
    assert (finding.ok, finding.severity) == (False, "warning")
    assert finding.detail.startswith(said)
    assert "TASK_DISPATCH_MODE" in finding.remedy


def test_an_image_that_is_not_pulled_yet_is_a_warning(host: HealthyHost, capsys: pytest.CaptureFixture[str]) -> None:
    (host.paths.root / "bin/docker").write_text(DOCKER.replace("echo sha256:00", "echo No such image >&2; exit 1"))
    assert doctor(host.paths.config, host.paths, as_json=False) == 0
    assert "warn  image" in capsys.readouterr().out


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_an_env_that_others_may_read_is_found(host: HealthyHost, mode: int) -> None:
    host.paths.environment.chmod(mode)
    assert host.bad() == {
        "environment_file": f"{host.paths.environment} has mode {mode:04o}: other users may read the worker's secrets"
    }
    assert stat.S_IMODE(host.paths.environment.stat().st_mode) == mode, "it changes nothing"


def test_a_display_that_nobody_serves_is_found(host: HealthyHost) -> None:
    (host.paths.root / "tmp/.X11-unix/X99").unlink()
    assert host.bad().keys() == {"display"}


def test_without_a_valid_configuration_nothing_else_is_checked(
    host: HealthyHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.paths.config.write_text(conf() + "TYPO=x\n")
    assert doctor(host.paths.config, host.paths, as_json=False) == 1
    output = capsys.readouterr().out
    assert "TYPO" in output
    assert "Nothing else was checked" in output
    assert host.aws.requests == []


def test_the_table_has_the_remedy_below_a_bad_finding() -> None:
    findings = [
        Finding("a", "error", True, "fine", ""),
        Finding("bb", "warning", False, "odd", "Look."),
        Finding("c", "error", False, "gone", "Bring it."),
    ]
    assert table(findings).splitlines() == [
        "ok    a   fine",
        "warn  bb  odd",
        "          -> Look.",
        "FAIL  c   gone",
        "          -> Bring it.",
        "3 checks, 2 failed",
    ]


def test_ids_are_unique_lower_case_identifiers() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    assert all(check.id.isidentifier() and check.id.islower() and check.remedy for check in CHECKS)


# --- wishes -----------------------------------------------------------------------------------------------------------

DIGEST = f"sha256:{'c' * 64}"
CONTROL = Control(instance=INSTANCE, answer="hold@00000001 done")


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (replace(CONTROL, held=True), "held (hold@00000001 done)"),
        (replace(CONTROL, answer="renew@00000002 failed DATABASE_URL is missing"), "renew@00000002 failed"),
        (
            replace(CONTROL, image=f"registry.internal:5000/ghosthands@{DIGEST}", template_image=VALUES["IMAGE"]),
            "which was released to it; the launch template names",
        ),
    ],
    ids=["held", "failed", "released"],
)
def test_what_operators_wanted_and_did_not_undo_is_a_warning(host: HealthyHost, control: Control, said: str) -> None:
    RunRecords(host.paths).write_control(control)
    (finding,) = [each for each in host.findings().values() if each.id == "wishes"]
    assert (finding.severity, finding.ok) == ("warning", False)
    assert said in finding.detail


def test_a_wish_under_way_and_one_that_is_done_are_no_problem(host: HealthyHost) -> None:
    for control, said in (
        (replace(CONTROL, wish="renew@00000002", phase="switch"), "renew@00000002, switch"),
        (CONTROL, "hold@00000001 done"),
        (replace(CONTROL, instance="i-0ffffffffffffffff", held=True), "none so far"),
    ):
        RunRecords(host.paths).write_control(control)
        assert host.findings()["wishes"].detail == said
        assert host.bad() == {}


def test_where_the_metadata_shows_no_tags_wishes_have_another_way(host: HealthyHost) -> None:
    del host.metadata.values["tags/instance"]
    assert "by its command line only" in host.bad()["wishes"]


def test_a_held_instance_without_a_worker_misses_none(host: HealthyHost) -> None:
    RunRecords(host.paths).write_control(replace(CONTROL, held=True))
    host.run_containers(by_compose(API), by_compose(DEPLOY_SERVER))
    host.paths = replace(host.paths, worker_port=1)
    assert set(host.bad()) == {"wishes"}
    RunRecords(host.paths).write_control(CONTROL)
    assert {"containers", "worker", "guard"} <= set(host.bad())
