"""A localcloud with process instances, a group whose hook is real, and workers with a common job queue."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ghosthands_agent.containers import LIST
from ghosthands_agent.wishes import ANSWER_TAG, WISH_TAG
from localcloud.testing import PROPAGATED, Cloud, wait_until
from model import agent_conf
from model.file_job_queue import FileJobQueue
from model.job_queue import Mode

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parents[1]
REGION, GROUP, HOOK, SECRET = (agent_conf.VALUES[key] for key in ("REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID"))
ROLE = "gh-worker-role"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:1"
SUBNETS = "subnet-010ca1c10d00000a1,subnet-010ca1c10d00000b2"
HEARTBEAT_TIMEOUT = 30
RAW_WORKER = "ghosthands-worker"  # deploy-server's name for the worker's container
DEPLOYMENT = ("stop", "create", "start")  # deploy-server's steps
CANARY = "canary-7f3a91"
SECRET_KEYS = (
    *("SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL"),
    *("GH_SERVICE_SECRET", "GH_ENCRYPTION_KEY", "GH_DEPLOY_SECRET", "GH_ENVIRONMENT", "OPENAI_API_KEY"),
)
VALUES = {key: f"{CANARY}-{key}" for key in SECRET_KEYS}


@dataclass(frozen=True)
class Completion:
    """A call of CompleteLifecycleAction. `at`: seconds since 1970."""

    instance: str
    result: str
    at: float


def docker(own: Path, *words: str) -> str:
    """The output of `docker` on the instance whose folder this is."""
    return subprocess.run([str(own / "bin/docker"), *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def workers(own: Path) -> list[dict[str, str]]:
    """The rows of `docker ps` of the workers' containers."""
    return [row for row in map(json.loads, docker(own, *LIST).splitlines()) if row["is"] == "worker"]


def deploy(own: Path, steps: Sequence[str] = DEPLOYMENT) -> None:
    """Replace the worker as deploy-server does: by a container without compose's labels, which restarts by itself.

    :param steps: only these, as if deploy-server had been stopped before the others.
    """
    if "stop" in steps:
        for container in [row["id"] for row in workers(own)]:
            docker(own, "stop", "-t", "30", container)
            docker(own, "rm", "--force", container)
    options = ("--name", RAW_WORKER, "--label", "gh.service=worker", "--restart", "unless-stopped")
    if "create" in steps:
        docker(own, "create", *options, "worker")
    if "start" in steps:
        docker(own, "start", RAW_WORKER)


class Fleet:
    """A fleet whose instances are processes.

    Everything is under `folder`; each instance has a folder of its own there, named after its id.

    Args:
        mode: the workers' dispatch mode.
        speed: how many times as fast as real workers these are.
        guard: whether the workers have the guard in their process.
        conf: keys of agent.conf that differ.
    """

    program = "processes.instance"  # what an instance runs
    credentials_seconds: float | None = None  # a new instance has none for so long; None: as by default

    def __init__(
        self,
        folder: Path,
        mode: str = "queue",
        speed: float = 1.0,
        conf: Mapping[str, str] | None = None,
        *,
        guard: bool = False,
    ) -> None:
        self.folder = folder
        self.cloud: Cloud
        self.guard = guard
        self.dispatch_mode: Mode = "queue" if mode == "queue" else "legacy"
        self.jobs = FileJobQueue(folder / "jobs")
        self._conf = conf or {}
        options = ["--queue", str(folder / "jobs"), "--mode", mode, "--speed", str(speed)]
        options += ["--guard"] if guard else []
        worker = {"worker": [sys.executable, "-m", "model.worker_process", *options], "cwd": str(TESTS)}
        (folder / "worker.json").write_text(json.dumps(worker))

    # --- the cloud ----------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Start the cloud and create the role with iam.yml's policy, the secret, and an empty group with its hook."""
        program = shlex.join([sys.executable, "-m", self.program, str(self.folder)])
        command = shlex.join(["sh", "-c", f"cd {shlex.quote(str(TESTS))} && exec {program}"])
        self.cloud = Cloud.start_process(
            self.folder,
            environment={"PYTHONPATH": os.pathsep.join([str(TESTS), str(ROOT)])},
            instances="process",
            command=command,
            enforce_iam=True,
            credentials_seconds=self.credentials_seconds,
        )
        self.create()

    def create(self) -> None:
        """Create everything in the cloud."""
        keys = {"ENDPOINT_URL": self.cloud.url, "HEARTBEAT_TIMEOUT_SECONDS": str(HEARTBEAT_TIMEOUT), "IMAGE": IMAGE}
        (self.folder / "agent.conf").write_text(agent_conf.conf(**keys, **self._conf))
        iam, autoscaling = self.client("iam"), self.client("autoscaling")
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST_POLICY))
        self.allow(iam_statements())
        iam.create_instance_profile(InstanceProfileName=ROLE)
        iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
        self.client("secretsmanager").create_secret(
            Name=SECRET, SecretString=json.dumps({**VALUES, "JOB_DISPATCH_MODE": self.dispatch_mode})
        )
        template = {
            "ImageId": "ami-010ca1c10d000a001",
            "InstanceType": "t3.medium",
            "IamInstanceProfile": {"Name": ROLE},
            "MetadataOptions": {
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 2,
                "HttpEndpoint": "enabled",
                "InstanceMetadataTags": "enabled",
            },
        }
        self.client("ec2").create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=template)
        self.cloud.advance(PROPAGATED)
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchTemplate={"LaunchTemplateName": "workers", "Version": "1"},
            VPCZoneIdentifier=SUBNETS,
            MinSize=0,
            MaxSize=40,
        )
        autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AZRebalance"])
        autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName=HOOK,
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=HEARTBEAT_TIMEOUT,
            DefaultResult="ABANDON",
        )

    def allow(self, statements: list[dict[str, Any]]) -> None:
        """Let the role do this and nothing else."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client("iam").put_role_policy(RoleName=ROLE, PolicyName="worker", PolicyDocument=document)
        self.cloud.advance(PROPAGATED)

    def down(self) -> None:
        """Stop the cloud."""
        self.cloud.stop()

    def client(self, service: str) -> Any:
        """A boto3 client of the account owner."""
        return self.cloud.client(service)

    # --- the group ----------------------------------------------------------------------------------------------------

    def instances(self) -> dict[str, dict[str, Any]]:
        """Instances of the group by id, as AWS describes them."""
        return {instance["InstanceId"]: instance for instance in self.cloud.group(GROUP)["Instances"]}

    def launch(self, count: int = 1, *, wait: bool = True) -> list[str]:
        """Launch so many more instances, wait until their workers are registered, and return their ids."""
        before = self.instances()
        desired = self.cloud.group(GROUP)["DesiredCapacity"] + count
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=desired)

        def launched() -> list[str]:
            ids = sorted(self.instances().keys() - before.keys())
            return ids if len(ids) == count else []

        new = wait_until(launched)
        for instance in new if wait else ():
            self.wait_for_log(instance, "event=boot_completed", "event=watch_began")
        return new

    def wait_for_log(self, instance: str, *texts: str) -> None:
        """Wait until the log of its agent contains all of these texts."""
        wait_until(lambda: all(text in self.log(instance) for text in texts), 120)

    def wait_for_protection(self, instance: str, protected: bool) -> None:
        """Wait until the instance is protected from scale-in, or is not."""
        wait_until(lambda: self.instances()[instance]["ProtectedFromScaleIn"] == protected)

    def terminate(self, instance: str) -> None:
        """Scale in by this very instance."""
        self.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )

    def tag(self, value: str, *instances: str) -> None:
        """An operator's wish, in one call."""
        tags = [{"Key": WISH_TAG, "Value": value}]
        self.client("ec2").create_tags(Resources=list(instances), Tags=tags)

    def answer(self, instance: str) -> str:
        """What its agent has answered."""
        which = [{"Name": "resource-id", "Values": [instance]}, {"Name": "key", "Values": [ANSWER_TAG]}]
        tags = self.client("ec2").describe_tags(Filters=which)["Tags"]
        return str(tags[0]["Value"]) if tags else ""

    def wait_for_answer(self, instance: str, text: str | tuple[str, ...], timeout: float = 60) -> str:
        """Wait until the answer begins so, or as one of these; the answer."""
        wait_until(lambda: self.answer(instance).startswith(text), timeout)
        return self.answer(instance)

    def calls(self, action: str) -> list[dict[str, Any]]:
        """The successful calls of an action."""
        return [call for call in self.cloud.calls(action) if call["status"] == 200]

    def denied_calls(self) -> list[dict[str, Any]]:
        """The calls that IAM denied."""
        return [call for call in self.cloud.calls() if "AccessDenied" in str(call["error"])]

    def completion(self, instance: str, timeout: float = 60) -> Completion:
        """Wait for the completion of an instance's hook, which must be the only one."""
        found = wait_until(lambda: self.completions(instance), timeout)
        assert len(found) == 1, found
        return found[0]

    def completions(self, instance: str) -> list[Completion]:
        """The completions of an instance's hook so far."""
        return [
            Completion(instance, parameters["LifecycleActionResult"], datetime.fromisoformat(call["at"]).timestamp())
            for call in self.calls("CompleteLifecycleAction")
            if (parameters := call["parameters"]).get("InstanceId") == instance
        ]

    # --- an instance --------------------------------------------------------------------------------------------------

    def watch_pid(self, instance: str) -> int:
        """The process id of its agent's `watch`."""
        return int((self.folder / instance / "watch.pid").read_text())

    def worker_exit_seconds(self, instance: str) -> float:
        """How long its worker took to exit after SIGTERM; the call that completes the hook takes a second of boto3."""
        own = self.folder / instance
        return float((own / "exited").read_text()) - float((own / "signalled").read_text())

    def docker(self, instance: str, *words: str) -> str:
        """The output of `docker` on the instance."""
        return docker(self.folder / instance, *words)

    def containers(self, instance: str) -> dict[str, str]:
        """The states of the workers' containers by name."""
        return {row["name"]: row["state"] for row in self._workers(instance)}

    def _workers(self, instance: str) -> list[dict[str, str]]:
        return workers(self.folder / instance)

    def deploy(self, instance: str, *, steps: Sequence[str] = DEPLOYMENT) -> None:
        """Replace its worker as deploy-server does."""
        deploy(self.folder / instance, steps)

    def kill_watch(self, instance: str) -> None:
        """kill -9 of its agent's `watch`, which is started again."""
        os.kill(self.watch_pid(instance), signal.SIGKILL)

    def log(self, instance: str) -> str:
        """The log of its agent."""
        logs = (self.folder / instance / name for name in ("boot.log", "watch.log"))
        return "".join(log.read_text() for log in logs if log.exists())


TRUST_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def iam_statements() -> list[dict[str, Any]]:
    """The worker role's permissions exactly as playbooks/iam.yml grants them."""
    (play,) = yaml.safe_load((ROOT / "playbooks/iam.yml").read_text())
    (task,) = [task for task in play["tasks"] if "amazon.aws.iam_policy" in task]
    values = {
        "fleet_group_name": GROUP,
        "__fleet_secrets": f"{SECRET}-??????",
        "fleet_log_group_name": "/wekruit/gh-worker",
        "__fleet_arn": f"arn:aws:{{service}}:{REGION}:123456789012",
        "__fleet_drift": {"ids": {"repositories": f"arn:aws:ecr:{REGION}:123456789012:repository/ghosthands"}},
    }
    text = json.dumps(task["vars"]["__fleet_worker_statements"])
    return list(json.loads(jinja2.Template(text, undefined=jinja2.StrictUndefined).render(values)))
