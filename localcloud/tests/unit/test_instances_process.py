"""Process machines: real commands, signals, directories and metadata services, alone and behind a localcloud."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from localcloud.instances import Machine
from localcloud.instances.process import ProcessHost, clean_up, find_processes, metadata_address, parse_command
from localcloud.testing import PROPAGATED, Cloud, free_port, wait_until
from unit.resources import IMAGE, SUBNETS

from localcloud import imds

#: Exits on SIGTERM, with a message.
EXITS = "trap 'echo terminated; exit 0' TERM; touch was-here; echo ready $INSTANCE_ID; while :; do sleep 0.05; done"
#: Ignores SIGTERM.
IGNORES = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


class Recorder:
    """A listener that records reports."""

    def __init__(self) -> None:
        self.reports: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()

    def running(self, instance_id: str) -> None:
        self.reports.put(("running", instance_id))

    def ended(self, instance_id: str, cause: str, reason: str) -> None:
        self.reports.put((cause, instance_id, reason))

    def image_made(self, image_id: str, problem: str | None) -> None:
        self.reports.put(("image", image_id, problem or ""))

    def next(self) -> tuple[str, ...]:
        """The next report, within ten seconds."""
        return self.reports.get(timeout=10)


class Rig:
    """Hosts of one folder, their listener and what their machines have written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = Recorder()
        self.hosts: list[ProcessHost] = []

    def host(self, script: str, **options: Any) -> ProcessHost:
        """A host that runs a shell script per machine."""
        service = imds.Service(lambda id: None)
        made = ProcessHost(
            5566,
            self.listener,
            ["/bin/sh", "-c", script],
            self.folder,
            region="us-east-1",
            serve=service.serve,
            **options,
        )
        self.hosts.append(made)
        return made

    def output(self, id: str, text: str) -> str:
        """The machine's output, once it contains this."""
        return str(
            wait_until(lambda: output if text in (output := (self.folder / "logs" / f"{id}.log").read_text()) else "")
        )


def machine(id: str = "i-1", *, image: str = IMAGE, last: int = 5, user_data: bytes | None = None) -> Machine:
    """What a host needs to know."""
    return Machine(id, image, f"172.28.1.{last}", "172.28.1.0/24", "172.28.0.0/16", f"ip-172-28-1-{last}", user_data)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig whose hosts end with the test."""
    made = Rig(tmp_path / "host")
    yield made
    for host in made.hosts:
        host.close()
    assert not made.folder.exists()
    assert not find_processes(made.folder)


# --- machines --------------------------------------------------------------------------------------------


def test_a_machine_has_its_own_directory_environment_and_metadata_service(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    rig.host("env; pwd; stat -c %a user-data; cat user-data; echo done; sleep 60").launch(
        machine(user_data=b"configuration\n")
    )
    assert rig.listener.next() == ("running", "i-1")
    lines = rig.output("i-1", "done").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    home = str(rig.folder / "machines" / "i-1")
    assert (found["HOME"], found["INSTANCE_ID"], found["AWS_REGION"]) == (home, "i-1", "us-east-1")
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5566"
    assert lines[-4:] == [home, "600", "configuration", "done"]
    assert {name for name in found if name.startswith("AWS_")} == {
        *("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_SERVICE_ENDPOINT")
    }
    metadata = found["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    assert metadata.startswith("http://127.28.1.5:")
    with socket.create_connection(("127.28.1.5", int(metadata.rpartition(":")[2])), timeout=5):
        pass


def test_stop_asks_the_command_to_end_and_start_finds_the_same_directory(rig: Rig) -> None:
    host = rig.host(f"test -e was-here && echo again; {EXITS}")
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    host.stop("i-1")
    assert rig.listener.next() == ("stopped", "i-1", "")
    assert not find_processes(rig.folder)
    host.start("i-1")
    assert rig.listener.next() == ("running", "i-1")
    assert "terminated" in rig.output("i-1", "again")


def test_a_reboot_restarts_the_command_in_the_same_directory_and_reports_nothing(rig: Rig) -> None:
    host = rig.host(f"test -e was-here && echo again; {EXITS}")
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    host.reboot("i-1")
    rig.output("i-1", "again")
    assert rig.listener.reports.empty()


def test_a_deaf_command_is_killed_after_the_bound(rig: Rig) -> None:
    host = rig.host(IGNORES, stop_seconds=0.3)
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    began = time.monotonic()
    host.stop("i-1")
    assert rig.listener.next() == ("stopped", "i-1", "")
    assert time.monotonic() - began >= 0.3
    assert not find_processes(rig.folder)


def test_terminate_leaves_the_log_and_nothing_else(rig: Rig) -> None:
    host = rig.host(EXITS)
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    host.terminate("i-1")
    assert rig.listener.next() == ("terminated", "i-1", "")
    assert not (rig.folder / "machines" / "i-1").exists()
    assert "terminated" in (rig.folder / "logs" / "i-1.log").read_text()
    assert not find_processes(rig.folder)
    host.terminate("i-1")
    assert rig.listener.next() == ("terminated", "i-1", "")


def test_a_daemon_that_left_the_session_is_terminated_with_its_machine(rig: Rig) -> None:
    host = rig.host("setsid sh -c 'setsid sleep 1000 & sleep 1000' & echo ready; sleep 1000")
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    wait_until(lambda: len(find_processes(rig.folder)) >= 4)
    host.terminate("i-1")
    assert rig.listener.next()[0] == "terminated"
    assert not find_processes(rig.folder)


@pytest.mark.parametrize(
    ("script", "cause", "reason"),
    [
        ("exit 0", "stopped", "the command ended"),
        ("exit 3", "failed", "the command ended with status 3"),
        ("kill -9 $$", "failed", "the command was ended by signal 9"),
    ],
)
def test_a_command_that_exits_fails_its_machine(rig: Rig, script: str, cause: str, reason: str) -> None:
    rig.host(f"sleep 1000 & {script}").launch(machine())
    assert rig.listener.next() == ("running", "i-1")
    assert rig.listener.next() == (cause, "i-1", reason)
    assert not find_processes(rig.folder)


def test_a_machine_that_cannot_be_created_fails_and_the_next_one_runs(rig: Rig) -> None:
    host = rig.host(EXITS)
    (rig.folder / "machines" / "i-1").write_text("in the way")
    host.launch(machine())
    cause, id, reason = rig.listener.next()
    assert (cause, id, reason.startswith("its machine failed: ")) == ("failed", "i-1", True)
    host.launch(machine("i-2", last=6))
    assert rig.listener.next() == ("running", "i-2")


def test_an_address_that_is_taken_fails_its_machine(rig: Rig) -> None:
    def refuse(address: str, port: int, who: Callable[[str], str | None]) -> imds.Endpoint:
        raise OSError(98, "Address already in use")

    host = ProcessHost(5566, rig.listener, ["/bin/sleep", "60"], rig.folder, region="us-east-1", serve=refuse)
    rig.hosts.append(host)
    host.launch(machine())
    assert rig.listener.next()[0] == "failed"


def test_an_image_is_a_copy_of_the_directory_and_boots_again(rig: Rig) -> None:
    host = rig.host(f"test -e disk && cat disk; cat user-data; echo $INSTANCE_ID > disk; mkfifo pipe; {EXITS}")
    host.launch(machine(user_data=b"first\n"))
    rig.listener.next()
    rig.output("i-1", "ready")
    host.make_image("i-1", "ami-2", reboot=True)
    assert rig.listener.next() == ("image", "ami-2", "")
    rig.output("i-1", "terminated")
    host.launch(machine("i-2", image="ami-2", last=6, user_data=b"second\n"))
    assert rig.listener.next() == ("running", "i-2")
    assert rig.output("i-2", "ready").splitlines()[:2] == ["i-1", "second"]
    host.drop_image("ami-2")
    wait_until(lambda: not (rig.folder / "images" / "ami-2").exists())


def test_an_image_of_what_cannot_be_read_says_so(rig: Rig) -> None:
    host = rig.host(EXITS)
    host.launch(machine())
    rig.listener.next()
    rig.output("i-1", "ready")
    (rig.folder / "images" / "ami-2").mkdir()
    host.make_image("i-1", "ami-2", reboot=False)
    assert rig.listener.next()[2].startswith("the machine's directory cannot be copied")


def test_thirty_machines_run_at_once_and_all_end(rig: Rig) -> None:
    host = rig.host(EXITS)
    began = time.monotonic()
    for number in range(30):
        host.launch(machine(f"i-{number}", last=10 + number))
    assert {rig.listener.next() for _ in range(30)} == {("running", f"i-{number}") for number in range(30)}
    print(f"30 machines on: {time.monotonic() - began:.2f} s")
    for number in range(30):
        rig.output(f"i-{number}", "ready")
    began = time.monotonic()
    for number in range(30):
        host.terminate(f"i-{number}")
    assert {rig.listener.next()[:2] for _ in range(30)} == {("terminated", f"i-{number}") for number in range(30)}
    print(f"30 machines off: {time.monotonic() - began:.2f} s")
    assert not find_processes(rig.folder)


def test_close_kills_machines_that_ignore_sigterm(rig: Rig) -> None:
    host = rig.host(IGNORES, stop_seconds=0.3)
    for number in range(5):
        host.launch(machine(f"i-{number}", last=10 + number))
        rig.listener.next()
    host.close()
    assert not rig.folder.exists()
    assert not find_processes(rig.folder)


# --- marked processes -------------------------------------------------------------------------------------


def test_a_sweep_terminates_marked_processes_and_no_others(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "5566", tmp_path / "55667"
    for folder in (ours, theirs):
        (folder / "machines" / "i-1").mkdir(parents=True)
    started = [
        subprocess.Popen(["sleep", "1000"], env={**os.environ, **mark}, start_new_session=True)
        for mark in (
            {"LOCALCLOUD_MACHINE": f"{ours}/machines/i-1"},
            {"LOCALCLOUD_MACHINE": f"{theirs}/machines/i-1"},
            {"OTHER": f"{ours}/"},
        )
    ]
    try:
        wait_until(lambda: len(find_processes(ours)) == 1)
        clean_up(ours)
        assert started[0].wait(5) == -signal.SIGKILL
        assert [process.poll() for process in started[1:]] == [None, None]
        assert (ours.exists(), theirs.exists()) == (False, True)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_zombies_do_not_delay_a_sweep(tmp_path: Path) -> None:
    mark = {"LOCALCLOUD_MACHINE": f"{tmp_path}/machines/i-1"}
    with subprocess.Popen(["true"], env={**os.environ, **mark}) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        began = time.monotonic()
        clean_up(tmp_path / "machines")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(("address", "mirrored"), [("172.28.1.5", "127.28.1.5"), ("10.9.1.200", "127.9.1.200")])
def test_a_metadata_address_mirrors_the_private_one(address: str, mirrored: str) -> None:
    assert metadata_address(address) == mirrored


@pytest.mark.parametrize(
    "command", ["", "  ", "no-such-program --at all", "/nowhere/program", "'unbalanced", "/etc/passwd"]
)
def test_a_command_that_cannot_run_is_refused(command: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_command(command)


def test_a_command_is_words_and_its_program_a_path() -> None:
    assert parse_command("sh -c 'echo a b'") == [parse_command("sh")[0], "-c", "echo a b"]
    assert Path(parse_command("sh")[0]).is_absolute()


# --- behind a localcloud -------------------------------------------------------------------------------------

#: Reads its metadata and uses its role's credentials, with boto3 and nothing else.
WORKER = """
import os, time, boto3
from botocore.utils import IMDSFetcher
while not boto3.Session().get_credentials():  # a new instance has none for some seconds
    time.sleep(0.1)
print("caller", boto3.client("sts").get_caller_identity()["Arn"], flush=True)
print("secret", boto3.client("secretsmanager").get_secret_value(SecretId="worker")["SecretString"], flush=True)
fetch = IMDSFetcher(base_url=os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "/")
token = fetch._fetch_metadata_token()
while True:
    answer = fetch._get_request("latest/meta-data/autoscaling/target-lifecycle-state", None, token=token)
    print("target", answer.text, flush=True)
    time.sleep(0.1)
"""


class Localcloud(Cloud):
    """A localcloud with process instances, in a process of its own that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}", folder)
        self.state = folder / "localcloud" / self.url.rpartition(":")[2]

    def up(self, command: str, *options: str) -> None:
        """Start with instances that run this command."""
        self.run_localcloud("up", "--instances", "process", "--command", command, *options)

    def kill(self) -> None:
        """Kill the server, but not its instances."""
        os.kill(int(self.state.with_suffix(".pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not self.is_up())

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self.status())
        except OSError:
            return False

    def log(self, id: str) -> str:
        """Return the output of an instance."""
        with contextlib.suppress(FileNotFoundError):
            return (self.state / "logs" / f"{id}.log").read_text()
        return ""


@pytest.fixture
def localcloud(tmp_path: Path) -> Iterator[Localcloud]:
    """One that is down after the test, with nothing left of it."""
    made = Localcloud(tmp_path)
    yield made
    made.run_localcloud("down")
    assert not made.state.exists()
    assert not find_processes(made.state)


def make_group(localcloud: Localcloud, size: int, **template: Any) -> Any:
    """A group of so many instances with a termination hook; its client."""
    data = {"ImageId": IMAGE, "InstanceType": "t3.medium", "MetadataOptions": {"HttpTokens": "required"}, **template}
    localcloud.client("ec2").create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=data)
    localcloud.advance(PROPAGATED)
    autoscaling = localcloud.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="fleet",
        LaunchTemplate={"LaunchTemplateName": "workers"},
        MinSize=0,
        MaxSize=40,
        DesiredCapacity=size,
        VPCZoneIdentifier=",".join(SUBNETS),
        LifecycleHookSpecificationList=[
            {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
        ],
    )
    return autoscaling


def make_role(localcloud: Localcloud) -> None:
    """A role for workers that may read one secret."""
    iam = localcloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="worker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    allowed = {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "arn:aws:secretsmanager:*:*:secret:worker-*",
    }
    iam.put_role_policy(
        RoleName="worker", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    )
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")


def test_instances_use_their_roles_credentials_and_learn_of_their_end(localcloud: Localcloud, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    localcloud.up(shlex.join([sys.executable, str(script)]), "--enforce-iam", "--stop-seconds", "2")
    make_role(localcloud)
    localcloud.client("secretsmanager").create_secret(Name="worker", SecretString="of the fleet")
    autoscaling = make_group(localcloud, 1, IamInstanceProfile={"Name": "worker"})
    (id,) = localcloud.lifecycle_states("fleet")
    output = wait_until(lambda: text if "target InService" in (text := localcloud.log(id)) else "", 20)
    assert f"caller arn:aws:sts::123456789012:assumed-role/worker/{id}" in output
    assert "secret of the fleet" in output
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    wait_until(lambda: "target Terminated" in localcloud.log(id))
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName="fleet", LifecycleHookName="drain", InstanceId=id, LifecycleActionResult="CONTINUE"
    )
    localcloud.client("ec2").get_waiter("instance_terminated").wait(
        InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    assert localcloud.lifecycle_states("fleet") == {}


def test_a_killed_instance_is_terminated_and_its_group_replaces_it(localcloud: Localcloud) -> None:
    localcloud.up(f"sh -c {json.dumps(EXITS.replace('$', chr(92) + '$'))}")
    make_group(localcloud, 2)
    wait_until(lambda: list(localcloud.lifecycle_states("fleet").values()) == ["InService"] * 2)
    victim, other = localcloud.lifecycle_states("fleet")
    for pid, _ in find_processes(localcloud.state / "machines" / victim):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ec2 = localcloud.client("ec2")

    def ended() -> dict[str, Any]:
        (found,) = ec2.describe_instances(InstanceIds=[victim])["Reservations"][0]["Instances"]
        return dict(found) if found["State"]["Name"] == "terminated" else {}

    assert wait_until(ended)["StateReason"]["Message"].endswith("the command was ended by signal 9")
    wait_until(
        lambda: (
            "Terminating:Wait" in localcloud.lifecycle_states("fleet").values()
            and list(localcloud.lifecycle_states("fleet").values()).count("InService") == 2
        )
    )
    assert localcloud.lifecycle_states("fleet")[other] == "InService"


def test_after_a_crash_of_localcloud_the_next_one_terminates_the_processes(localcloud: Localcloud) -> None:
    localcloud.up(f"sh -c {json.dumps(EXITS.replace('$', chr(92) + '$'))}")
    make_group(localcloud, 3)
    wait_until(lambda: len(find_processes(localcloud.state)) >= 3)
    left = find_processes(localcloud.state)
    localcloud.kill()
    assert find_processes(localcloud.state)  # they outlive it, as instances outlive a control plane
    localcloud.up("sleep 1000")
    now = find_processes(localcloud.state)
    assert not set(left) & set(now)
    assert list((localcloud.state / "machines").iterdir()) == []


def test_down_after_a_crash_leaves_nothing(localcloud: Localcloud) -> None:
    localcloud.up("sleep 1000")
    make_group(localcloud, 2)
    wait_until(lambda: len(find_processes(localcloud.state)) == 2)
    localcloud.kill()
    localcloud.run_localcloud("down")
    assert not find_processes(localcloud.state)


def test_notices_reach_instances_and_a_hung_metadata_service_hangs_no_other(localcloud: Localcloud) -> None:
    localcloud.up("sh -c 'env; exec sleep 1000'")
    make_group(localcloud, 2)
    one, other = localcloud.lifecycle_states("fleet")

    def metadata(id: str) -> str:
        found = wait_until(lambda: re.search("^AWS_EC2_METADATA.*=(.*)", localcloud.log(id), re.MULTILINE))
        assert found
        return found[1]

    def read(id: str, path: str, timeout: float = 5) -> str:
        base, headers = metadata(id), {imds.TTL_HEADER: "60"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{base}/latest/api/token", headers=headers, method="PUT"), timeout=5
        ) as answer:
            token = answer.read().decode()
        request = urllib.request.Request(f"{base}/latest/meta-data/{path}", headers={imds.TOKEN_HEADER: token})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return str(answer.read().decode())

    localcloud.control("imds", instance=one, spot="terminate", in_seconds=120)
    assert json.loads(read(one, "spot/instance-action"))["action"] == "terminate"
    localcloud.control("imds", faults=[{"instance": one, "path": "*/meta-data/*", "kind": "hang"}])
    outcome: list[BaseException] = []

    def wait_in_vain() -> None:
        try:
            read(one, "instance-id", 3.0)
        except OSError as problem:
            outcome.append(problem)

    hung = threading.Thread(target=wait_in_vain)
    hung.start()
    began = time.monotonic()
    assert read(other, "instance-id") == other
    assert localcloud.lifecycle_states("fleet")
    assert time.monotonic() - began < 2.5
    hung.join()
    assert [type(problem) for problem in outcome] == [TimeoutError]


def test_the_status_names_process_instances_and_reset_terminates_them(localcloud: Localcloud) -> None:
    localcloud.up("sleep 1000")
    make_group(localcloud, 3)
    wait_until(lambda: len(find_processes(localcloud.state)) == 3)
    assert "processes of this machine" in localcloud.run_localcloud("status")
    with pytest.raises(RuntimeError, match="exited with 1:\nlocalcloud is up with process instances"):
        localcloud.run_localcloud("up")
    localcloud.reset()
    assert not find_processes(localcloud.state)
    assert localcloud.client("ec2").describe_instances()["Reservations"] == []
