"""A localcloud with process instances, a group whose hooks are real, and workers that keep a ledger."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import example
import yaml
from localcloud.testing import Cloud, free_port, wait_until
from schedules.shared_ledger import SharedLedger

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).parents[1]
REGION, GROUP, HOOK, SECRET, ROLE = (
    "us-east-1",
    "gh-worker-asg",
    "gh-worker-termination",
    "ghosthands/worker/env",
    "gh-worker-role",
)
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:1"
SUBNETS = "subnet-010ca1c10d00000a1,subnet-010ca1c10d00000b2"
CANARY = "canary-7f3a91"
REQUIRED = "SUPABASE_URL SUPABASE_SECRET_KEY SUPABASE_PUBLISHABLE_KEY DATABASE_URL DATABASE_DIRECT_URL GH_SERVICE_SECRET".split()
VALUES = {
    key: f"{CANARY}-{key}"
    for key in [*REQUIRED, "GH_ENCRYPTION_KEY", "GH_DEPLOY_SECRET", "GH_ENVIRONMENT", "OPENAI_API_KEY"]
}


@dataclass(frozen=True)
class Completion:
    """A CompleteLifecycleAction as AWS heard it. `at`: seconds since the epoch."""

    instance: str
    result: str
    at: float


class Fleet(Cloud):
    """A localcloud with process instances; each has a folder of its name in `folder`."""

    machine: tuple[str, ...] = ("processes.machine",)  # what an instance runs: a Python module and its arguments

    def __init__(
        self, folder: Path, mode: str = "queue", pace: float = 1.0, conf: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}", folder)
        self.ledger = SharedLedger(folder / "ledger.sqlite")
        worker = [
            sys.executable,
            "-m",
            "schedules.stand_in",
            "--ledger",
            str(folder / "ledger.sqlite"),
            "--mode",
            mode,
            "--pace",
            str(pace),
        ]
        (folder / "project.json").write_text(json.dumps({"worker": worker, "cwd": str(TESTS)}))
        (folder / "agent.conf").write_text(
            example.conf(
                **{"REGION": REGION, "GROUP": GROUP, "TERMINATION_HOOK": HOOK, "SECRET_ID": SECRET, "IMAGE": IMAGE},
                **{"ENDPOINT_URL": self.url, "HEARTBEAT_TIMEOUT_SECONDS": "30", **(conf or {})},
            )
        )

    # --- the cloud -----------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """The cloud, the role with iam.yml's policy, the secret, an empty group with its hook."""
        command = shlex.join([sys.executable, "-m", *self.machine, str(self.folder)])
        self.run_localcloud(
            *("up", "--instances=process", f"--command={command}", f"--trace={self.trace_file}", "--enforce-iam"),
            environment={"PYTHONPATH": f"{ROOT}:{TESTS}"},
        )
        iam, group = self.client("iam"), self.client("autoscaling")
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(
            RoleName=ROLE,
            PolicyName="worker",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements()}),
        )
        iam.create_instance_profile(InstanceProfileName=ROLE)
        iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
        self.client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(VALUES))
        template = {
            "ImageId": "ami-010ca1c10d000a001",
            "InstanceType": "t3.medium",
            "IamInstanceProfile": {"Name": ROLE},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
        }
        self.client("ec2").create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=template)
        group.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchTemplate={"LaunchTemplateName": "workers", "Version": "1"},
            VPCZoneIdentifier=SUBNETS,
            MinSize=0,
            MaxSize=40,
        )
        group.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AZRebalance"])
        group.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName=HOOK,
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=30,
            DefaultResult="ABANDON",
        )

    def permit(self, statements: list[dict[str, Any]]) -> None:
        """Let the role do this and nothing else."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client("iam").put_role_policy(RoleName=ROLE, PolicyName="worker", PolicyDocument=document)

    def down(self) -> None:
        """Stop the cloud and its instances."""
        self.run_localcloud("down")

    # --- the group -----------------------------------------------------------------------------------------------------------

    def group(self, name: str = GROUP) -> dict[str, Any]:
        """Return the group as AWS describes it."""
        return super().group(name)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the group's instances by id, as AWS describes them."""
        return {instance["InstanceId"]: instance for instance in self.group()["Instances"]}

    def launch(self, count: int = 1) -> list[str]:
        """So many more instances, with registered workers; their ids."""
        before = self.instances()
        self.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=GROUP, DesiredCapacity=self.group()["DesiredCapacity"] + count
        )

        def new_ones() -> list[str]:
            ids = sorted(self.instances().keys() - before.keys())
            return ids if len(ids) == count else []

        new = wait_until(new_ones)
        for instance in new:
            self.wait_for(instance, "event=boot_completed", "event=watch_began")
        return new

    def wait_for(self, instance: str, *said: str) -> None:
        """Wait until its agent has said all of this."""
        wait_until(lambda: all(words in self.log(instance) for words in said), 120)

    def wait_for_protection(self, instance: str, protected: bool) -> None:
        """Wait until the instance is protected from scale-in, or is not."""
        wait_until(lambda: self.instances()[instance]["ProtectedFromScaleIn"] == protected)

    def terminate(self, instance: str) -> None:
        """Scale in by this very instance."""
        self.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )

    def successful_calls(self, action: str) -> list[dict[str, Any]]:
        """Return the calls of an action that succeeded."""
        return [call for call in self.calls(action) if call["status"] == 200]

    def denied_calls(self) -> list[dict[str, Any]]:
        """Return the calls that IAM denied."""
        return [call for call in self.calls() if "AccessDenied" in str(call["error"])]

    def completion(self, instance: str, seconds: float = 60) -> Completion:
        """The one completion of an instance's hook."""
        found = wait_until(lambda: self.completions(instance), seconds)
        assert len(found) == 1, found
        return found[0]

    def completions(self, instance: str) -> list[Completion]:
        calls = [
            call
            for call in self.successful_calls("CompleteLifecycleAction")
            if call["parameters"].get("InstanceId") == instance
        ]
        return [
            Completion(
                instance, call["parameters"]["LifecycleActionResult"], datetime.fromisoformat(call["at"]).timestamp()
            )
            for call in calls
        ]

    # --- an instance ---------------------------------------------------------------------------------------------------------

    def watch_pid(self, instance: str) -> int:
        return int((self.folder / instance / "watch.pid").read_text())

    def worker_seconds(self, instance: str) -> float:
        """How long the worker took to end after SIGTERM. The stand-in tries to complete a hook then, as the real one does, by a second of boto3."""
        own = self.folder / instance
        return float((own / "ended").read_text()) - float((own / "told").read_text())

    def kill_watch(self, instance: str) -> None:
        """kill -9 of the agent; its machine starts another."""
        os.kill(self.watch_pid(instance), signal.SIGKILL)

    def log(self, instance: str) -> str:
        """What the agent said on this instance."""
        return "".join(
            (self.folder / instance / name).read_text()
            for name in ("boot.log", "watch.log")
            if (self.folder / instance / name).exists()
        )


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def statements() -> list[dict[str, Any]]:
    """The worker role's permissions exactly as playbooks/iam.yml grants them."""
    (play,) = yaml.safe_load((ROOT / "playbooks/iam.yml").read_text())
    (task,) = [task for task in play["tasks"] if "amazon.aws.iam_policy" in task]
    text = json.dumps(task["vars"]["__fleet_worker_statements"])
    names = {
        "fleet_group_name": GROUP,
        "fleet_repository_name": "ghosthands",
        "fleet_secret_scope": "ghosthands/worker/*",
        "fleet_log_group_name": "/wekruit/gh-worker",
    }
    for service in ("autoscaling", "ecr", "secretsmanager", "logs"):
        text = text.replace(
            f"{{{{ __fleet_arn | replace('{{service}}', '{service}') }}}}", f"arn:aws:{service}:{REGION}:123456789012"
        )
    for name, value in names.items():
        text = text.replace(f"{{{{ {name} }}}}", value)
    assert "{{" not in text, text
    return list(json.loads(text))
