"""A fleet of which nothing is wrong, looked at as verify.yml looks at it, and what an operator does to one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import read_fleet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine, Host, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow
from localcloud.testing import CREDENTIALS

from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import ANYTHING, GROUP, LOGS, REPOSITORY, TEMPLATE, TERMINATION, Fleet

IMAGE = "ami-010ca1c10d000a001"
VPC = "vpc-010ca1c10d0000001"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class ReusableAccount(Account):
    """An account that can read everything again with the same clients, which take longer to make than to use."""

    def clear(self) -> None:
        """What was answered, and how many calls it took."""
        self._responses.clear()
        self.calls = 0


@dataclass(frozen=True)
class Inputs:
    """What to look at, and how: the operator's own variables, how much later, and what the registry and the hosts say."""

    variables: Mapping[str, Any]
    later: float = 0.0
    """seconds: what would take that long has then taken it"""
    registry: Callable[[Registry], Registry] = lambda registry: registry
    hosts: Callable[[tuple[Host, ...]], tuple[Host, ...]] = lambda hosts: hosts


DEFAULT_INPUTS = Inputs({})


class HealthyFleet(Fleet):
    """The fleet of inventories/local as `site.yml` makes it, with what a right one has besides: a worker image and a log."""

    def build(self) -> None:
        """From nothing to that fleet, which is then kept. Raises AssertionError with what the run said."""
        self.reset()
        made = self.run_command(f"ansible-playbook site.yml -i {self.inventory({})}")
        assert made.returncode == 0, made
        self.push()
        self.aws("logs").create_log_stream(logGroupName=LOGS, logStreamName="worker")
        self.snapshot()

    def restore(self) -> None:
        """What stood at `keep`, with a word in the log of just now: an hour's silence would be a finding."""
        super().restore()
        event = {"timestamp": int(time.time() * 1000), "message": "the worker is up"}
        self.aws("logs").put_log_events(logGroupName=LOGS, logStreamName="worker", logEvents=[event])
        self.clear_trace()

    # --- the operator's side ----------------------------------------------------------------------------------------------------------

    def inventory(self, variables: Mapping[str, Any]) -> Path:
        """An operator's own inventory: inventories/local on this cloud, with `variables`."""
        at = self.folder / "inventory.yml"
        at.write_text(json.dumps({"fleet": {"hosts": {"local": self._own(variables)}}}))
        return at

    def variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Every fleet_* variable, filled in, as the actions get them of that inventory."""
        defaults = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())
        every = {**{k: v for k, v in defaults.items() if k.startswith("fleet_")}, **self._own(variables)}
        filled = {
            k: v.replace("{{ fleet_name }}", every["fleet_name"]) if isinstance(v, str) else v for k, v in every.items()
        }
        assert not [k for k, v in filled.items() if isinstance(v, str) and "{{" in v], (
            "a default knows more Jinja than this does"
        )
        return filled

    def _own(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        local = yaml.safe_load((ROOT / "inventories/local/group_vars/fleet.yml").read_text())
        own = {
            "fleet_endpoint_url": self.url,
            "fleet_valet_dir": str(self.valet),
            "fleet_report_dir": str(self.folder / "report"),
        }
        return {**local, **own, **variables}

    def run_command(self, command: str) -> Run:
        """What an operator pastes into a shell at the root of a checkout, with credentials for this cloud in the environment."""
        return self.shell(command, ROOT, AWS_PAGER="")

    # --- looking -----------------------------------------------------------------------------------------------------------------------

    @property
    @cache  # noqa: B019 - a session has one fleet
    def account(self) -> ReusableAccount:
        """The account behind the fleet."""
        return ReusableAccount("us-east-1", self.url, "", *CREDENTIALS.values())

    def caller_without(self, action: str) -> Account:
        """The account, asked by somebody who may do everything but that."""
        iam, name = self.aws("iam"), "somebody"
        iam.create_user(UserName=name)
        deny = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = {**ANYTHING, "Statement": [*ANYTHING["Statement"], deny]}
        iam.put_user_policy(UserName=name, PolicyName="but", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Account("us-east-1", self.url, "", key["AccessKeyId"], key["SecretAccessKey"])

    def check(self, inputs: Inputs = DEFAULT_INPUTS, account: Account | None = None) -> list[Finding]:
        """Every finding, as lifecycle_check comes to them."""
        asked, settings = account or self.account, self.variables(inputs.variables)
        self.account.clear()
        fleet = read_fleet(asked.start, asked.call, settings)
        command_line = CommandLine("playbooks", "site.yml", str(self.inventory(inputs.variables)), "local")
        return verify(
            View(
                settings,
                fleet,
                time.time() + inputs.later,
                command_line,
                inputs.registry(self.registry()),
                inputs.hosts(self.host_answers()),
            )
        )

    def in_service(self) -> list[str]:
        """Ids of the group's instances in service."""
        return sorted(i["InstanceId"] for i in self.group().get("Instances", []) if i["LifecycleState"] == "InService")

    def registry(self) -> Registry:
        """What the registry says where every worker in service is well: each idle, and beaten a moment ago."""
        return Registry(True, "", tuple(worker(i) for i in self.in_service()), (), may_write=False)

    def host_answers(self) -> tuple[Host, ...]:
        """What the doctor says on each instance where nothing is wrong."""
        return tuple(Host(i, "", (doctor_finding("secret"), doctor_finding("docker"))) for i in self.in_service())

    def cpu_seconds(self) -> float:
        """Seconds of processors that the cloud has used."""
        with urllib.request.urlopen(f"{self.url}/localcloud/status") as answer:
            pid = json.load(answer)["pid"]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- what is done to it ----------------------------------------------------------------------------------------------------------------

    def push(self) -> None:
        """The worker's image, to its repository."""
        empty = hashlib.sha256(b"").hexdigest()
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 0, "digest": f"sha256:{empty}"}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        self.aws("ecr").put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag="latest")

    def terminate(self, instance: str, result: str = "CONTINUE") -> None:
        """An instance, by its group, and its hook completed as the agent does."""
        self.aws("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=False
        )
        self.complete(instance, result)

    def complete(self, instance: str, result: str = "CONTINUE") -> None:
        """What the agent does once it has drained."""
        self.aws("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=GROUP, LifecycleHookName=TERMINATION, InstanceId=instance, LifecycleActionResult=result
        )

    def replace_instances(self) -> None:
        """Every instance replaced by one of the group's version."""
        for instance in self.in_service():
            self.terminate(instance)

    def set_version(self, version: str) -> None:
        """Let the group launch from that version of its template."""
        self.update(LaunchTemplate={"LaunchTemplateName": TEMPLATE, "Version": version})

    def relaunch_with(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Another version of the launch template, the group on it, and every instance made of it."""
        self.version(change)
        self.set_version(str(self.latest()))
        self.replace_instances()

    def latest(self) -> int:
        """The template's latest version."""
        found = self.aws("ec2").describe_launch_templates(LaunchTemplateNames=[TEMPLATE])
        return int(found["LaunchTemplates"][0]["LatestVersionNumber"])

    def relaunch_with_agent_conf(self, change: Callable[[str], str]) -> None:
        """Instances whose agent.conf is another."""

        def tell(data: dict[str, Any]) -> None:
            text = base64.b64decode(data["UserData"]).decode().partition("content: |\n")[2]
            data["UserData"] = user_data(change(re.sub(r"^ +", "", text, flags=re.MULTILINE)))

        self.relaunch_with(tell)

    def add_image(self) -> None:
        """Another image of one's own, newer than every other: what `make image` leaves, without the wait."""
        made = self.aws("ec2").copy_image(
            SourceImageId=IMAGE, SourceRegion="us-east-1", Name="gh-worker-20261101000000"
        )["ImageId"]
        self.tag(made, "ghosthands:agent-schema", "2")

    def finish_refresh(self) -> None:
        """Until the refresh that was started is over: agents drain at once, and time flies, though never past an agent."""

        def over() -> bool:
            for instance in self.group()["Instances"]:
                if instance["LifecycleState"] == "Terminating:Wait":
                    self.complete(instance["InstanceId"])
            last = self.aws("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][
                0
            ]
            assert last["Status"] in ("Pending", "InProgress", "Successful"), last
            return bool(last["Status"] == "Successful")

        self.set_speed(20)
        try:
            self.wait_until(over)
        finally:
            self.set_speed(1)

    @staticmethod
    def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for it. Raises AssertionError where it does not come true in time."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it has not come true"
            time.sleep(0.05)


def worker(instance: str, **other: Any) -> WorkerRow:
    """A worker that is well, but for `other`."""
    values: dict[str, Any] = {
        "worker_id": instance,
        "status": "active",
        "target_worker_id": None,
        "instance_id": instance,
        "ip": "172.28.1.10",
        "job_id": None,
        "registered_at": "2026-11-01T00:00:00Z",
        "last_heartbeat": "2026-11-01T00:00:00Z",
        "jobs_completed": 7,
        "jobs_failed": 0,
        "heartbeat_age": 12.0,
    }
    return WorkerRow(**{**values, **other})


def doctor_finding(check: str, problem: str = "", severity: str = "error") -> dict[str, Any]:
    """What the doctor says of one of its checks."""
    return {
        "id": check,
        "severity": severity,
        "ok": not problem,
        "detail": problem or "as it should be",
        "remedy": "See docs/agent.md.",
    }


def failed(findings: list[Finding]) -> set[str]:
    """Ids of what is not as it should be."""
    return {f.id for f in findings if not f.ok}
