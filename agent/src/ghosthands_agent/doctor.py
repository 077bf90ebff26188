"""Every precondition of the agent on this host, as a finding. Changes nothing and prints no value of the secret."""

from __future__ import annotations

import email.utils
import json
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from . import wiring
from .docker import Docker
from .environment import INSTANCE_KEYS, BadSecret, environment
from .files import error_name
from .paths import Paths
from .ports import (
    NOT_LISTENING,
    SERVICES,
    WAITING_PHASE,
    WORKER,
    Control,
    PortError,
    Ports,
    Refused,
    Service,
    Task,
    Unavailable,
    WorkerStatus,
)
from .registry import ecr_region
from .registry import host as registry_of
from .replacement import WINDOW_SECONDS
from .retention import RETAINED
from .settings import BadSettings, Settings, parse
from .wishes import ANSWER_TAG
from .worker import api_health

T = TypeVar("T")
Severity = Literal["error", "warning"]

NO_HOOK = "ghosthands-doctor-no-such-hook"
NO_INSTANCE = "i-00000000000000000"
#: AWS refuses a signature that is five minutes off. A clock that is one minute off has lost its time server.
CLOCK_SECONDS = 60.0
MINIMUM_BYTES, MINIMUM_INODES = 2 << 30, 20_000  # an image's layers while they are unpacked
LOGIN_SECONDS = 11 * 3600.0  # a token of ECR is valid for 12 hours
TASK_SECONDS = 30.0
RETRYING_SECONDS = 120.0  # what passes by itself does so within that time
#: A line of the `.env` as `environment.quoted` writes it.
JOB_DISPATCH_MODE = re.compile(r"^JOB_DISPATCH_MODE=[\"']?(.*?)[\"']?$", re.MULTILINE)
DISPLAY = "tmp/.X11-unix/X99"  # RUNBOOK section 8: Xvfb :99


@dataclass(frozen=True)
class Finding:
    """The result of one check. `remedy` is empty if it passed."""

    id: str
    severity: Severity
    ok: bool
    detail: str
    remedy: str


@dataclass(frozen=True)
class Host:
    """What the checks read: the agent's ports, and calls that only the doctor makes."""

    settings: Settings
    paths: Paths
    ports: Ports
    call: Callable[..., Any]
    role: Callable[[], str | None]
    shows_tags: Callable[[], bool]
    docker: Docker


class CheckFailed(Exception):
    """A check that failed; the text is its detail. `remedy` is another one than the check's."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.remedy = remedy


@dataclass(frozen=True)
class Check:
    """A precondition. `run` returns the detail of the finding, or raises CheckFailed, Unavailable or Refused."""

    id: str
    severity: Severity
    run: Callable[[Host], str]
    remedy: str

    def finding(self, host: Host) -> Finding:
        """The result."""
        try:
            return Finding(self.id, self.severity, True, self.run(host), "")
        except (CheckFailed, PortError) as problem:
            remedy = problem.remedy if isinstance(problem, CheckFailed) and problem.remedy else self.remedy
            return Finding(self.id, self.severity, False, str(problem), remedy)


CHECKS: list[Check] = []


def check(
    name: str, remedy: str, severity: Severity = "error"
) -> Callable[[Callable[[Host], str]], Callable[[Host], str]]:
    """Register a check with a stable id."""

    def registered(run: Callable[[Host], str]) -> Callable[[Host], str]:
        CHECKS.append(Check(name, severity, run, remedy))
        return run

    return registered


# --- the instance and its role ---


@check(
    "metadata",
    "Enable the metadata service (launch_template.yml, http_endpoint); nothing on the host may block 169.254.169.254.",
)
def _metadata(host: Host) -> str:
    instance = host.ports.metadata.instance()
    return f"{instance.id}, {instance.public_ip or instance.local_ip}"


@check("group", "Launch it by the Auto Scaling group: an instance outside a group is never drained.")
def _group(host: Host) -> str:
    if (state := host.ports.metadata.target_state()) is None:
        raise CheckFailed("this instance is in no Auto Scaling group")
    return f"target state {state}"


@check("role", "Set the fleet's instance profile in the launch template (iam.yml, launch_template.yml).")
def _role(host: Host) -> str:
    if (role := host.role()) is None:
        raise CheckFailed("no instance profile: no credentials")
    return role


@check("credentials", "Check that the role exists and its trust policy names ec2.amazonaws.com (iam.yml).")
def _credentials(host: Host) -> str:
    return str(host.call("sts", "get_caller_identity")["Arn"])


@check("clock", "Let chronyd use 169.254.169.123: systemctl restart chronyd; chronyc tracking.")
def _clock(host: Host) -> str:
    date = host.call("sts", "get_caller_identity")["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        ahead = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        raise CheckFailed("AWS's answer has no date") from None
    if abs(ahead) > CLOCK_SECONDS:
        raise CheckFailed(f"{ahead:+.0f} s against AWS")
    return f"{ahead:+.0f} s against AWS"


# --- permissions: calls that cannot succeed, and so change nothing; IAM answers first ---

PERMISSION = "Run iam.yml: the role's policy does not allow this action on this group."


def _allowed(host: Host, operation: str, **parameters: Any) -> str:
    try:
        host.call("autoscaling", operation, **parameters)
    except Refused as refusal:
        if refusal.code.startswith(("AccessDenied", "UnauthorizedOperation")):
            raise
    return "allowed"


@check("complete_lifecycle_action", PERMISSION)
def _complete(host: Host) -> str:
    group, instance = host.settings.group, host.ports.metadata.instance().id
    action = {"AutoScalingGroupName": group, "LifecycleHookName": NO_HOOK, "InstanceId": instance}
    return _allowed(host, "complete_lifecycle_action", LifecycleActionResult="CONTINUE", **action)


@check("record_lifecycle_action_heartbeat", PERMISSION)
def _heartbeat(host: Host) -> str:
    group, instance = host.settings.group, host.ports.metadata.instance().id
    return _allowed(
        host,
        "record_lifecycle_action_heartbeat",
        AutoScalingGroupName=group,
        LifecycleHookName=NO_HOOK,
        InstanceId=instance,
    )


@check("set_instance_protection", PERMISSION)
def _protection(host: Host) -> str:
    group = host.settings.group
    return _allowed(
        host,
        "set_instance_protection",
        AutoScalingGroupName=group,
        InstanceIds=[NO_INSTANCE],
        ProtectedFromScaleIn=False,
    )


@check("set_instance_health", PERMISSION)
def _health(host: Host) -> str:
    # AWS finds the group by the instance, so it has to be this one. Healthy for a healthy instance changes nothing.
    record, replacement = host.ports.records.boot(), host.ports.records.replacement()
    if replacement is not None or (record is not None and record.state != "completed" and record.failures):
        return "not tried: this instance may have been reported unhealthy, and the call would take that back"
    return _allowed(host, "set_instance_health", InstanceId=host.ports.metadata.instance().id, HealthStatus="Healthy")


@check("describe_auto_scaling_groups", PERMISSION)
def _group_state(host: Host) -> str:
    retained = sum(each.state == RETAINED for each in host.ports.group.state().members)
    return f"allowed; {retained} retained, {host.settings.retained_max} at most"


@check("describe_scaling_activities", PERMISSION)
def _launches(host: Host) -> str:
    launches = host.ports.group.launches(time.time() - WINDOW_SECONDS)
    return f"allowed; {len(launches)} launches in the last hour"


@check("describe_auto_scaling_instances", PERMISSION)
def _own_group(host: Host) -> str:
    return _allowed(host, "describe_auto_scaling_instances", InstanceIds=[host.ports.metadata.instance().id])


@check("describe_lifecycle_hooks", PERMISSION)
def _hooks(host: Host) -> str:
    return _allowed(host, "describe_lifecycle_hooks", AutoScalingGroupName=host.settings.group)


@check("create_tags", "Run iam.yml: the role's policy does not allow the tag with which the agent answers wishes.")
def _own_tag(host: Host) -> str:
    tags = [{"Key": ANSWER_TAG, "Value": "doctor"}]
    try:
        host.call("ec2", "create_tags", DryRun=True, Resources=[host.ports.metadata.instance().id], Tags=tags)
    except Refused as refusal:
        if refusal.code != "DryRunOperation":  # EC2 API, Common parameters, DryRun
            raise
    return "allowed"


# --- what operators want ---


@check(
    "wishes",
    "Let the metadata show the instance's tags: fleet_metadata_tags, launch_template.yml; on a running instance: aws "
    "ec2 modify-instance-metadata-options --instance-metadata-tags enabled. On this host: ghosthands-agent hold, ...",
    "warning",
)
def _wishes(host: Host) -> str:
    control = _control(host)
    if control.wish:
        return f"{control.wish}, {control.phase or 'begun'}{', held' if control.held else ''}"
    if control.held:
        raise CheckFailed(
            f"held ({control.answer})", "When it is to work again: ghosthands-agent resume, or by its tag."
        )
    if " failed" in control.answer:
        raise CheckFailed(control.answer, "journalctl -u ghosthands-watch; remove the reason, then repeat the command.")
    if control.image_instead_of(host.settings.image) != host.settings.image:
        raise CheckFailed(
            f"runs {control.image}, which was released to it; the launch template names {host.settings.image}",
            "Have the template name the same image, so that new instances agree.",
        )
    if not host.shows_tags():
        raise CheckFailed("the metadata shows no tags, so wishes reach this instance by its command line only")
    return control.answer or "none so far"


def _control(host: Host) -> Control:
    """The record of what operators want of this instance."""
    found = host.ports.records.control()
    return found if found.instance == host.ports.metadata.instance().id else Control()


def _status(host: Host) -> WorkerStatus | None:
    """The worker's status; None: the instance is held, and none runs. Raises Unavailable."""
    try:
        return host.ports.worker.status()
    except Unavailable as error:
        if error.code == NOT_LISTENING and _control(host).held:
            return None
        raise


HELD = "held: no worker runs"


# --- what boot needs ---


@check("secret", "Allow the role to read it (iam.yml), and add the missing keys to the secret (runbook section 9).")
def _secret(host: Host) -> str:
    text = _wait_for(host.ports.secret.fetch(), "secretsmanager:get_secret_value")
    try:
        environment(text, dict.fromkeys(INSTANCE_KEYS, "-"), host.settings.required_keys)
    except BadSecret as problem:
        raise CheckFailed(str(problem)) from None
    return f"{host.settings.secret_id}: readable, complete"


@check(
    "registry",
    "Allow the role ecr:GetAuthorizationToken (iam.yml), run refresh-registry-login, and check that its timer runs.",
)
def _registry(host: Host) -> str:
    image, file = host.settings.image, host.paths.docker_config / "config.json"
    if (region := ecr_region(image)) is None:
        return f"{registry_of(image) or 'Docker Hub'} is not ECR: no login is written"
    host.call("ecr", "get_authorization_token", region=region)
    try:
        logins = json.loads(file.read_bytes()).get("auths", {})
        age = time.time() - file.stat().st_mtime
    except OSError as problem:
        raise CheckFailed(f"{file}: {error_name(problem)}") from None
    except (ValueError, AttributeError):
        raise CheckFailed(f"{file} is not docker's config.json") from None
    if registry_of(image) not in logins:
        raise CheckFailed(f"{file} has no login for {registry_of(image)}")
    if age > LOGIN_SECONDS:
        raise CheckFailed(f"the login is {age / 3600:.0f} h old, and valid for 12 h")
    return f"{registry_of(image)}: a login, {age / 3600:.1f} h old"


@check("docker", "systemctl status docker; journalctl -u docker.")
def _docker(host: Host) -> str:
    return host.docker.run("version", "--format", "{{.Server.Version}}").strip()


@check(
    "compose", "Install the Compose plugin in one of docker's directories, such as /usr/local/lib/docker/cli-plugins."
)
def _compose(host: Host) -> str:
    version = host.docker.run("compose", "version", "--short").strip()
    if not host.paths.compose_file.exists():
        raise CheckFailed(f"{version}, but there is no {host.paths.compose_file}")
    return version


@check("image", "Run boot, or docker pull with DOCKER_CONFIG set to the agent's directory of logins.", "warning")
def _image(host: Host) -> str:
    image = _control(host).image_instead_of(host.settings.image)
    if not host.ports.images.present(image):
        raise CheckFailed(f"{image} is not pulled yet")
    return image


@check("disk", "docker image prune, or a larger volume.")
def _disk(host: Host) -> str:
    return _free(
        host,
        lambda found: found.f_bavail * found.f_frsize,
        MINIMUM_BYTES,
        lambda free: f"{free / (1 << 30):.1f} GiB free",
    )


@check("inodes", "There are very many small files: docker image prune, or find and remove them.")
def _inodes(host: Host) -> str:
    return _free(host, lambda found: found.f_favail, MINIMUM_INODES, lambda free: f"{free} inodes free")


def _free(host: Host, free: Callable[[os.statvfs_result], int], minimum: int, text: Callable[[int], str]) -> str:
    """The file system with the least free space of those that the worker fills.

    A file system without a fixed number of inodes reports 0 of them, and is never full.
    """
    places = [
        place for place in (host.paths.project, host.paths.root / "var/lib/docker", host.paths.run) if place.exists()
    ]
    try:
        scarcest = min(
            (free(found), str(place))
            for place in places
            if (found := os.statvfs(place)).f_files or minimum == MINIMUM_BYTES
        )
    except (OSError, ValueError) as problem:
        raise CheckFailed(f"{host.paths.project} cannot be read: {type(problem).__name__}") from None
    if scarcest[0] < minimum:
        raise CheckFailed(f"{scarcest[1]}: {text(scarcest[0])}")
    return f"{scarcest[1]}: {text(scarcest[0])}"


@check("display", "systemctl status xvfb: the worker's browser uses display :99.")
def _display(host: Host) -> str:
    place = host.paths.root / DISPLAY
    with socket.socket(socket.AF_UNIX) as there:
        there.settimeout(1.0)
        try:
            there.connect(str(place))
        except OSError as problem:
            raise CheckFailed(f"{place}: {error_name(problem)}") from None
    return "display :99 answers"


# --- what boot creates ---


@check("environment_file", "Run boot: it writes the file with mode 0600 and the owner of the project directory.")
def _environment_file(host: Host) -> str:
    file = host.paths.environment
    try:
        mode = stat.S_IMODE(file.lstat().st_mode)
    except OSError as problem:
        raise CheckFailed(f"{file}: {error_name(problem)}") from None
    if mode != 0o600:
        raise CheckFailed(f"{file} has mode {mode:04o}: other users may read the worker's secrets")
    return str(file)


@check(
    "cloud_init",
    "cloud-init status --long; journalctl -u cloud-init. Correct the launch template (launch_template.yml).",
    "warning",
)
def _cloud_init(host: Host) -> str:
    if errors := host.ports.system.setup_errors():
        raise CheckFailed("; ".join(errors))
    return "no errors"


@check(
    "replacement",
    "Remove the reason: boot tries again within half a minute, and no new instance is needed.",
    "warning",
)
def _replacement(host: Host) -> str:
    if (found := host.ports.records.replacement()) is None:
        return "not needed"
    raise CheckFailed(f"needed, {found.status}. Reason: {found.reason}")


@check("boot", "journalctl -u ghosthands-boot; remove the reason: boot tries again by itself, within half a minute.")
def _boot(host: Host) -> str:
    record = host.ports.records.boot()
    if record is None:
        raise CheckFailed("boot has not run since the system started")
    # The last line first: it has the cause, and a report may cut off the others.
    said = f"; last lines, the last one first: {' | '.join(reversed(record.output.splitlines()))}" * bool(record.output)
    times = f", {record.failures} times in a row" if record.failures > 1 else ""
    if record.state == "failed":
        raise CheckFailed(f"failed in {record.phase}{times}: {record.reason}{said}; the next try follows")
    if record.state != "running":
        return f"{record.state}, {sum(record.seconds.values()):.1f} s"
    since, phase_since = time.time() - record.began, time.time() - (record.phase_began or record.began)
    progress = f"running since {since:.0f} s, {phase_since:.0f} s of them in {record.phase or 'no phase yet'}"
    if record.reason:
        progress += f", retries {record.reason} ({record.tries} times)"
    if record.failures:
        raise CheckFailed(f"{progress}; it has failed{times} before, in {record.failure}{said}")
    if since > RETRYING_SECONDS and record.phase != WAITING_PHASE and (record.reason or record.phase != "image"):
        raise CheckFailed(f"{progress}{said}")
    return progress


@check("containers", "docker ps --all, and docker logs NAME of the one that does not run; start boot again.")
def _containers(host: Host) -> str:
    services = host.ports.compose.services()
    expected = [name for name in SERVICES if name != WORKER or not _control(host).held]
    down = [name for name in expected if name not in services or services[name].state != "running"]
    never = [services[name] for name in down if name in services and services[name].state == "created"]
    errors = {each.name: _error(host, each) for each in never}
    reasons = [f"{name} was created and never started: {error}" for name, error in errors.items() if error]
    if reasons:
        raise CheckFailed(
            f"not running: {', '.join(down)}; {'; '.join(reasons)}",
            "Docker refuses to start it, so it has no log. Remove what Docker names (a limit, a device, an entrypoint, "
            "a port) by the role's options and a new image, or by fleet_*_memory. Boot tries again by itself.",
        )
    if down:
        raise CheckFailed(f"not running: {', '.join(down)}")
    return ", ".join(f"{name} ({_described(service)})" for name, service in sorted(services.items()))


def _error(host: Host, container: Service) -> str:
    """Docker's own reason for a container that it could not start; empty if it has none."""
    return host.docker.run("inspect", "--format", "{{.State.Error}}", container.container).strip()


@check(
    "workers",
    "systemctl restart ghosthands-boot: it removes the worker that somebody else started, once it is idle. By hand, "
    "for one that does not listen on the worker's port: docker stop -t 60 NAME; docker rm NAME.",
)
def _workers(host: Host) -> str:
    workers = [each for each in host.ports.compose.containers().get(WORKER, ()) if not each.down]
    if len(workers) > 1:
        raise CheckFailed(
            f"{len(workers)} workers on this host: {', '.join(map(_described, workers))}. One has no port: it takes a "
            "job, ends, and docker starts it again"
        )
    return ", ".join(map(_described, workers)) or "none runs"


@check("worker", "docker logs of its container; it must answer GET /worker/status with this instance's id.")
def _worker(host: Host) -> str:
    status, instance = _status(host), host.ports.metadata.instance().id
    if status is None:
        return HELD
    if status.instance_id != instance:
        raise CheckFailed(f"it reports the id {status.instance_id}, this instance is {instance}")
    job = f" (job {status.job}, {status.guard.job_status})" if status.guard and status.job else ""
    draining = ", draining" if status.is_draining else ""
    return f"{status.active_jobs} active jobs{job}, {status.dispatch_mode}{draining}"


@check(
    "guard",
    "systemctl restart ghosthands-boot: it replaces a worker that somebody else started by compose's, which has the "
    "guard. If its code does not fit the guard: docs/worker.md (make real-worker tries a version). Until then a drain "
    "waits for an idle worker, and may lose a job.",
)
def _guard(host: Host) -> str:
    try:
        if (status := _status(host)) is None:
            return HELD
        absence = status.guard_absence
    except Unavailable as error:
        absence = f"no worker answers ({error.code})"
    if not absence:
        return "attached to the worker that runs now"
    if host.settings.worker_guard == "off":
        return "off (fleet_worker_guard)"
    worker = host.ports.compose.services().get(WORKER)
    if worker is not None and worker.foreign:
        raise CheckFailed(f"absent: container {worker.name} was started by somebody else, without it")
    raise CheckFailed(f"absent: {absence}")


@check(
    "dispatch_mode",
    "Put JOB_DISPATCH_MODE=queue into the fleet's secret and TASK_DISPATCH_MODE=queue into VALET, both at once, then "
    "systemctl restart ghosthands-boot (docs/worker.md, the dispatch modes).",
    "warning",
)
def _dispatch_mode(host: Host) -> str:
    try:
        found = JOB_DISPATCH_MODE.findall(host.paths.environment.read_text(encoding="utf-8", errors="replace"))
    except OSError as problem:
        raise CheckFailed(f"{host.paths.environment}: {error_name(problem)}") from None
    mode = "queue" if found and found[-1] == "queue" else "legacy"  # as the worker reads it
    said = "JOB_DISPATCH_MODE is queue in .env" if mode == "queue" else "JOB_DISPATCH_MODE is not queue in .env"
    if (status := _status(host)) is not None and status.dispatch_mode != mode:
        raise CheckFailed(f"{said}, but the worker runs in {status.dispatch_mode} mode")
    if mode == "legacy":
        raise CheckFailed(f"{said}: in legacy mode two workers may claim one job, and a worker's start stops jobs")
    return "queue, in .env and in the worker; VALET's TASK_DISPATCH_MODE has to be queue too"


@check("api", "docker logs of the api: the worker waits for it.")
def _api(host: Host) -> str:
    api_health(host.paths.api_port)
    return "answers"


def _described(container: Service) -> str:
    """A container for an operator."""
    by = ", started by somebody else" if container.foreign else ""
    return f"{container.name}, {container.state}{', has the port' if container.listens else ''}{by}"


# --- the report ---


def doctor(config: Path, paths: Paths, *, as_json: bool) -> int:
    """Run all checks and print the findings; 1 if one of severity error failed, else 0."""
    findings = list(examine(config, paths))
    print(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2) if as_json else table(findings))
    return int(any(not finding.ok and finding.severity == "error" for finding in findings))


def examine(config: Path, paths: Paths) -> Iterator[Finding]:
    """The findings, one by one. If agent.conf is not valid, it is the only one."""
    try:
        settings = parse(config.read_text(encoding="utf-8"))
        ports, account = wiring.ports(settings, paths, wiring.journal()), wiring.account(settings)
    except (OSError, ValueError) as problem:
        detail = str(problem) if isinstance(problem, BadSettings) else f"{config}: {type(problem).__name__}"
        yield Finding(
            "agent_conf",
            "error",
            False,
            f"{detail} Nothing else was checked.",
            "Run launch_template.yml and replace the instance.",
        )
        return
    yield Finding("agent_conf", "error", True, str(config), "")
    imds = wiring.metadata()
    host = Host(settings, paths, ports, account.call, imds.role, imds.shows_tags, Docker(paths))
    for each in CHECKS:
        yield each.finding(host)


def table(findings: list[Finding]) -> str:
    """The findings as text: a line each, and the remedy below those that failed."""
    width = max(len(finding.id) for finding in findings)
    lines = []
    for finding in findings:
        verdict = "ok" if finding.ok else "FAIL" if finding.severity == "error" else "warn"
        lines.append(f"{verdict:4}  {finding.id:{width}}  {finding.detail}")
        if not finding.ok:
            lines.append(f"{'':{width + 8}}-> {finding.remedy}")
    bad = sum(not finding.ok for finding in findings)
    return "\n".join(
        [
            *lines,
            f"{len(findings)} checks, {bad} failed" if bad else f"{len(findings)} checks, all passed",
        ]
    )


def _wait_for(task: Task[T], call: str) -> T:
    until = time.monotonic() + TASK_SECONDS
    while not task.done():
        if time.monotonic() > until:
            raise Unavailable(call, "Timeout")
        time.sleep(0.05)
    return task.result()
