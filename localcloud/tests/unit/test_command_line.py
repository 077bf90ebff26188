"""``python -m localcloud`` as a user types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from localcloud.__main__ import main

ROOT = Path(__file__).parents[3]
KEYS = {"aws_access_key_id": "localcloud-access-key", "aws_secret_access_key": "localcloud-secret-key"}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def localcloud(port: int, tmp_path: Path) -> Iterator[Run]:
    """Run a command for that port, from anywhere; whatever it started is ended afterwards."""
    runtime = tmp_path / "run"
    runtime.mkdir()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "localcloud", *arguments, "--port", str(port)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    yield run
    run("down")


def test_up_serves_keeps_state_and_down_ends_it(localcloud: Run, port: int, tmp_path: Path) -> None:
    began = time.monotonic()
    started = localcloud("up", "--latency-ms", "5", "--trace", "calls.jsonl")
    assert started.returncode == 0, started.stderr
    assert time.monotonic() - began < 20  # about one second where the machine is quiet
    exports = dict(re.findall(r"(AWS_\w+)=(\S+)", started.stdout))
    assert exports["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
    ec2 = boto3.client(
        "ec2",
        endpoint_url=exports["AWS_ENDPOINT_URL"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )
    ec2.create_launch_template(LaunchTemplateName="kept", LaunchTemplateData={"InstanceType": "t3.medium"})

    again = localcloud("up")
    assert (again.returncode, "already up" in again.stdout) == (0, True)
    assert ec2.describe_launch_templates()["LaunchTemplates"][0]["LaunchTemplateName"] == "kept"
    assert "latency 5 ms" in localcloud("status").stdout
    assert json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[0])["action"] == "CreateLaunchTemplate"

    ended = localcloud("down")
    assert (ended.returncode, "stopped localcloud" in ended.stdout) == (0, True)
    assert list((tmp_path / "run" / "localcloud").glob("*.pid")) == []
    assert localcloud("down").returncode == 0
    assert localcloud("status").returncode == 3


def test_a_port_that_something_else_holds_is_named_and_left_alone(localcloud: Run, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        refused = localcloud("up")
    assert refused.returncode == 1
    assert f"port {port} is taken by something that is not localcloud" in refused.stderr


def test_serve_answers_in_the_foreground_on_loopback_only(port: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud", "serve", "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"localcloud serves http://127.0.0.1:{port}\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/localcloud/status", timeout=10) as answer:
            assert json.load(answer)["pid"] == process.pid
        listening = Path(f"/proc/{process.pid}/net/tcp").read_text()
        assert re.search(rf"0100007F:{port:04X} 00000000:0000 0A", listening)
        assert not re.search(rf"00000000:{port:04X} 00000000:0000 0A", listening)
        process.terminate()
        assert process.wait(10) == 0


def test_down_ends_a_server_that_no_longer_answers(localcloud: Run, port: int, tmp_path: Path) -> None:
    localcloud("up")
    pid = int((tmp_path / "run" / "localcloud" / f"{port}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        threading.Timer(
            4.5, os.kill, (pid, signal.SIGCONT)
        ).start()  # after `down` has given up asking and said so to the process
        began = time.monotonic()
        assert "stopped localcloud" in localcloud("down").stdout
        assert time.monotonic() - began > 4
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_events_are_followed_line_by_line_and_time_can_be_sped_up(localcloud: Run, port: int, tmp_path: Path) -> None:
    assert localcloud("events").returncode == 3
    localcloud("up", "--speed", "600")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "localcloud", "events", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        given = {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "region_name": "us-east-1",
            "aws_access_key_id": "localcloud-access-key",
            "aws_secret_access_key": "localcloud-secret-key",
        }
        data = {"ImageId": "ami-010ca1c10d000a001", "InstanceType": "t3.medium"}
        boto3.client("ec2", **given).create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=data)
        hook = {
            "LifecycleHookName": "boot",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "HeartbeatTimeout": 300,
            "DefaultResult": "CONTINUE",
        }
        boto3.client("autoscaling", **given).create_auto_scaling_group(
            AutoScalingGroupName="fleet",
            LaunchTemplate={"LaunchTemplateName": "workers"},
            MinSize=1,
            MaxSize=1,
            AvailabilityZones=["us-east-1a"],
            LifecycleHookSpecificationList=[hook],
        )
        lines = [follower.stdout.readline().split("  ")[-1].strip() for _ in range(4)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0
    assert lines == [
        "- -> Pending",
        "Pending -> Pending:Wait",
        "Pending:Wait -> Pending:Proceed",
        "Pending:Proceed -> InService",
    ]


@pytest.mark.parametrize("speed", ["0", "-1", "fast"])
def test_time_that_does_not_pass_is_refused(localcloud: Run, speed: str) -> None:
    assert localcloud("up", "--speed", speed).returncode == 2


@pytest.mark.parametrize(
    ("options", "said"),
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
    ],
)
@pytest.mark.parametrize("verb", ["up", "serve"])
def test_options_that_do_not_fit_are_refused_by_name_in_one_line(
    capsys: pytest.CaptureFixture[str], verb: str, options: tuple[str, ...], said: str
) -> None:
    assert main([verb, "--port", "1", *options]) == 2
    assert capsys.readouterr() == ("", f"localcloud: {said}\n")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["up", "--boot-seconds", seconds])
    assert ended.value.code == 2
    assert "--boot-seconds" in capsys.readouterr().err


def test_simulated_instances_take_their_time_if_told_to(localcloud: Run, port: int) -> None:
    assert (
        localcloud("up", "--boot-seconds", "60", "--agent-seconds", "5", "--speed", "60", "--enforce-iam").returncode
        == 0
    )
    said = localcloud("status").stdout
    assert ("instances are simulated" in said, "IAM enforced" in said) == (True, True)
    ec2 = boto3.client("ec2", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **KEYS)
    made = ec2.run_instances(ImageId="ami-010ca1c10d000a001", InstanceType="t3.medium", MinCount=1, MaxCount=1)
    assert made["Instances"][0]["State"]["Name"] == "pending"
    waiting = {"Delay": 1, "MaxAttempts": 10}
    ec2.get_waiter("instance_running").wait(InstanceIds=[made["Instances"][0]["InstanceId"]], WaiterConfig=waiting)


def test_a_wrong_command_is_refused(localcloud: Run) -> None:
    assert localcloud("sideways").returncode == 2
