"""The command ``localcloud`` as a user types it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from localcloud.__main__ import main
from localcloud.testing import Cloud, free_port
from unit.resources import IMAGE, make_group

COMMAND = [sys.executable, "-m", "localcloud"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """A cloud that is not up yet."""
    return Cloud(f"http://127.0.0.1:{free_port()}", tmp_path)


@pytest.fixture
def localcloud(cloud: Cloud) -> Iterator[Run]:
    """Runs the command for that cloud's port; what it has started is stopped after the test."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(cloud.folder)}

    def run(*arguments: str, cwd: Path = cloud.folder) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments, "--port", str(cloud.port)]
        return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60)

    yield run
    run("down")


def test_up_starts_a_server_that_keeps_its_state_until_down(localcloud: Run, cloud: Cloud) -> None:
    began = time.monotonic()
    started = localcloud("up", "--latency-ms", "5", "--trace", "trace.jsonl")
    assert started.returncode == 0, started.stderr
    assert time.monotonic() - began < 20  # about one second on a quiet machine
    exports = dict(re.findall(r"(AWS_\w+)=(\S+)", started.stdout))
    assert exports.items() <= cloud.environment.items()
    ec2 = cloud.client("ec2")
    ec2.create_launch_template(LaunchTemplateName="kept", LaunchTemplateData={"InstanceType": "t3.medium"})

    again = localcloud("up")
    assert (again.returncode, "already up" in again.stdout) == (0, True)
    assert ec2.describe_launch_templates()["LaunchTemplates"][0]["LaunchTemplateName"] == "kept"
    assert "latency 5 ms" in localcloud("status").stdout
    assert cloud.calls()[0]["action"] == "CreateLaunchTemplate"

    stopped = localcloud("down")
    assert (stopped.returncode, "stopped localcloud" in stopped.stdout) == (0, True)
    assert list((cloud.folder / "localcloud").glob("*.pid")) == []
    assert localcloud("down").returncode == 0
    assert localcloud("status").returncode == 3


def test_a_port_that_another_program_uses_is_refused(localcloud: Run, cloud: Cloud) -> None:
    with socket.create_server(("127.0.0.1", cloud.port)):
        refused = localcloud("up")
    assert refused.returncode == 1
    assert f"port {cloud.port} is taken by something that is not localcloud" in refused.stderr


def test_a_second_owner_is_refused_by_name_until_it_says_that_it_shares(localcloud: Run, cloud: Cloud) -> None:
    elsewhere = cloud.folder / "elsewhere"
    elsewhere.mkdir()
    assert localcloud("up").returncode == 0
    refused = localcloud("up", cwd=elsewhere)
    assert refused.returncode == 1
    assert f"port {cloud.port} was started in {cloud.folder} and is not shared" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert localcloud("up", "--owner", str(cloud.folder), cwd=elsewhere).returncode == 0
    assert f"started in {cloud.folder}" in localcloud("status").stdout


def test_serve_listens_in_the_foreground_on_loopback_only(cloud: Cloud) -> None:
    command = [*COMMAND, "serve", "--port", str(cloud.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"localcloud serves {cloud.url}\n"
        assert cloud.status()["pid"] == process.pid
        listening = Path(f"/proc/{process.pid}/net/tcp").read_text()
        assert re.search(rf"0100007F:{cloud.port:04X} 00000000:0000 0A", listening)
        assert not re.search(rf"00000000:{cloud.port:04X} 00000000:0000 0A", listening)
        process.terminate()
        assert process.wait(10) == 0


def test_down_stops_a_server_that_no_longer_answers(localcloud: Run, cloud: Cloud) -> None:
    localcloud("up")
    pid = int((cloud.folder / "localcloud" / f"{cloud.port}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        # Continued after `down` has waited for an answer in vain and has sent SIGTERM.
        threading.Timer(4.5, os.kill, (pid, signal.SIGCONT)).start()
        began = time.monotonic()
        assert "stopped localcloud" in localcloud("down").stdout
        assert time.monotonic() - began > 4
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_events_are_followed_line_by_line(localcloud: Run, cloud: Cloud) -> None:
    assert localcloud("events").returncode == 3
    localcloud("up", "--speed", "600")
    command = [*COMMAND, "events", "--port", str(cloud.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        hook = {
            "LifecycleHookName": "boot",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "HeartbeatTimeout": 300,
            "DefaultResult": "CONTINUE",
        }
        make_group(cloud, DesiredCapacity=1, LifecycleHookSpecificationList=[hook])
        lines = [follower.stdout.readline().split("  ")[-1].strip() for _ in range(4)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0
    assert lines == [
        "- -> Pending",
        "Pending -> Pending:Wait",
        "Pending:Wait -> Pending:Proceed",
        "Pending:Proceed -> InService",
    ]


def test_simulated_instances_take_the_time_of_the_options(localcloud: Run, cloud: Cloud) -> None:
    options = ("--boot-seconds", "60", "--agent-seconds", "5", "--speed", "60", "--enforce-iam")
    assert localcloud("up", *options).returncode == 0
    status = localcloud("status").stdout
    assert ("instances are simulated" in status, "IAM enforced" in status) == (True, True)
    ec2 = cloud.client("ec2")
    (made,) = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1)["Instances"]
    assert made["State"]["Name"] == "pending"
    waiting = {"Delay": 1, "MaxAttempts": 10}
    ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=waiting)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--instances", "process"), "--instances process needs --command"),
        (("--instances", "process", "--command", "no-such-program"), "--command: no such program: no-such-program"),
        (("--instances", "process", "--command", "'"), "--command: No closing quotation"),
        (("--command", "true"), "--command is for --instances process, not simulated"),
        (("--stop-seconds", "3"), "--stop-seconds is for --instances process, not simulated"),
        (
            ("--instances", "process", "--command", "true", "--boot-seconds", "3"),
            "--boot-seconds is for --instances simulated, not process",
        ),
        (
            ("--instances", "container", "--agent-seconds", "3"),
            "--agent-seconds is for --instances simulated, not container",
        ),
        (
            ("--instances", "container", "--complete-launch-hooks"),
            "--complete-launch-hooks is for --instances simulated, not container",
        ),
    ],
)
@pytest.mark.parametrize("command", ["up", "serve"])
def test_options_that_exclude_each_other_are_refused_by_name_in_one_line(
    capsys: pytest.CaptureFixture[str], command: str, options: tuple[str, ...], message: str
) -> None:
    assert main([command, "--port", "1", *options]) == 2
    assert capsys.readouterr() == ("", f"localcloud: {message}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("up", "--boot-seconds", seconds) for seconds in ("-1", "nan", "inf", "soon")),
        *(("up", "--speed", speed) for speed in ("0", "-1", "fast")),
        ("sideways",),
    ],
)
def test_a_wrong_command_or_value_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert (arguments[-2] if len(arguments) > 1 else arguments[0]) in capsys.readouterr().err
