"""A fleet with nothing wrong, checked as verify.yml checks it, and what an operator does to it."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.wekruit.ghosthands.plugins.filter.fleet import FilterModule
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import start_fleet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine, Host, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.site_comparison import start_changes
from localcloud.testing import CREDENTIALS, PROPAGATED, repeatedly, wait_until

from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import ANYTHING, GROUP, LOGS, TEMPLATE, TERMINATE, TERMINATION, Fleet

IMAGE = "ami-010ca1c10d000a001"
VPC = "vpc-010ca1c10d0000001"


class ReusableAccount(Account):
    """An account that can be read again with the same clients, whose creation takes longer than the calls."""

    def clear(self) -> None:
        """Drop all responses, and count calls from 0."""
        self._responses.clear()
        self.calls = 0


@dataclass(frozen=True)
class Inputs:
    """What the checks read besides AWS."""

    variables: Mapping[str, Any]
    """the operator's own"""
    later: float = 0.0
    """seconds that are added to the present time"""
    registry: Callable[[Registry], Registry] = lambda registry: registry
    """changes the worker registry"""
    hosts: Callable[[tuple[Host, ...]], tuple[Host, ...]] = lambda hosts: hosts
    """changes the answers of hosts"""


DEFAULT_INPUTS = Inputs({})


class HealthyFleet(Fleet):
    """The fleet of inventories/local as `site.yml` builds it, with a log stream."""

    def build(self) -> None:
        """Build the fleet on an empty account and make a snapshot. Raises AssertionError with the run's output."""
        self.reset()
        self.prepare()
        made = self.run_command(f"ansible-playbook site.yml -i {self.inventory({})}")
        assert made.returncode == 0, made
        self.wait_for_launches()
        self.client("logs").create_log_stream(logGroupName=LOGS, logStreamName="worker")
        self.snapshot()

    def restore(self) -> None:
        """Restore the snapshot, and log a present event: an hour without one would be a finding."""
        super().restore()
        self.complete_launches()
        event = {"timestamp": int(time.time() * 1000), "message": "the worker is up"}
        self.client("logs").put_log_events(logGroupName=LOGS, logStreamName="worker", logEvents=[event])
        self.clear_trace()

    # --- the operator ---------------------------------------------------------------------------------------------

    def inventory(self, variables: Mapping[str, Any]) -> Path:
        """Write an inventory: inventories/local on this cloud, with `variables`."""
        file = self.folder / "inventory.yml"
        file.write_text(json.dumps({"fleet": {"hosts": {"local": self._own(variables)}}}))
        return file

    def variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Every fleet_* variable of that inventory, templated, as the actions get them."""
        defaults = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())
        found = {**{k: v for k, v in defaults.items() if k.startswith("fleet_")}, **self._own(variables)}
        for name in ("fleet_name", "fleet_secret_name"):
            value, written = found[name], f"{{{{ {name} }}}}"
            found = {k: v.replace(written, value) if isinstance(v, str) else v for k, v in found.items()}
        assert "{{" not in str(found), "a default needs more templating than is done here"
        return found

    def _own(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        local = yaml.safe_load((ROOT / "inventories/local/group_vars/fleet.yml").read_text())
        own = {
            "fleet_endpoint_url": self.url,
            "fleet_valet_dir": str(self.valet),
            "fleet_rollout_bake_minutes": 0,
            "fleet_report_dir": str(self.folder / "report"),
        }
        return {**local, **own, **variables}

    def run_command(self, command: str) -> Run:
        """Run a command in a shell at the checkout's root, with credentials for this cloud in the environment.

        Instances that are replaced drain at once.
        """
        with repeatedly(self.complete_drains, every=0.2) if "rollout.yml" in command else nullcontext():
            return self.shell(command, ROOT, AWS_PAGER="")

    # --- the checks -----------------------------------------------------------------------------------------------

    @property
    @cache  # noqa: B019 - a session has one fleet
    def account(self) -> ReusableAccount:
        """The fleet's account, as the actions read it."""
        return ReusableAccount("us-east-1", self.url, "", *CREDENTIALS.values())

    def caller_without(self, action: str) -> Account:
        """The account, read by a user who may do everything but that action."""
        iam, name = self.client("iam"), "somebody"
        iam.create_user(UserName=name)
        deny = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = {**ANYTHING, "Statement": [*ANYTHING["Statement"], deny]}
        iam.put_user_policy(UserName=name, PolicyName="but", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.advance(PROPAGATED)
        return Account("us-east-1", self.url, "", key["AccessKeyId"], key["SecretAccessKey"])

    def check(self, inputs: Inputs = DEFAULT_INPUTS, account: Account | None = None) -> list[Finding]:
        """Every finding, as lifecycle_check makes them, without running a playbook."""
        account, settings = account or self.account, self.variables(inputs.variables)
        self.account.clear()
        loader = DataLoader()
        templar = Templar(loader=loader, variables=settings)
        # A collection's filters are found by its loader, which no test starts.
        filters = {f"wekruit.ghosthands.{name}": filter for name, filter in FilterModule().filters().items()}
        templar._engine.environment.filters.update(filters)
        reading = start_fleet(account.start, account.call, settings)
        changes = start_changes(loader, templar, dict(settings), settings, account.start, account.call)
        fleet = replace(reading(), changes=changes())
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
        return self.in_state("InService")

    def in_state(self, state: str) -> list[str]:
        """Ids of the group's instances in that lifecycle state."""
        return sorted(i["InstanceId"] for i in self.group().get("Instances", []) if i["LifecycleState"] == state)

    def instance_state(self, id: str) -> str:
        """An instance's state in EC2."""
        found = self.client("ec2").describe_instances(InstanceIds=[id])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def registry(self) -> Registry:
        """Workers with a recent heartbeat: idle on instances in service, draining with a job on those that drain."""
        idle = (worker(i) for i in self.in_service())
        draining = (
            worker(i, status="draining", job_id=f"0f8fad5b-d9cb-469f-a165-{number:012d}")
            for number, i in enumerate(self.in_state("Terminating:Wait"))
        )
        return Registry(True, "", (*idle, *draining), (), may_write=False)

    def host_answers(self) -> tuple[Host, ...]:
        """What the doctor returns on each instance if nothing is wrong."""
        return tuple(Host(i, "", (doctor_finding("secret"), doctor_finding("docker"))) for i in self.in_service())

    def cpu_seconds(self) -> float:
        """CPU time that the cloud's process has used."""
        fields = Path(f"/proc/{super().status()['pid']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- changes --------------------------------------------------------------------------------------------------

    def terminate(self, instance: str, result: str = "CONTINUE") -> None:
        """Terminate an instance of the group and complete its hook as the agent does."""
        self.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=False
        )
        self.complete(instance, result)

    def complete(self, instance: str, result: str = "CONTINUE", hook: str = TERMINATION) -> None:
        """Complete a lifecycle hook as the agent does."""
        self.client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=GROUP, LifecycleHookName=hook, InstanceId=instance, LifecycleActionResult=result
        )

    def complete_drains(self) -> None:
        """Complete every termination hook, as agents do."""
        for instance in self.group().get("Instances", []):
            if instance["LifecycleState"] == "Terminating:Wait":
                self.complete(instance["InstanceId"])

    def replace_instances(self) -> None:
        """Replace every instance by one of the group's launch template version."""
        for instance in self.in_service():
            self.terminate(instance)
        self.wait_for_launches()

    def wait_for_launches(self) -> None:
        """Wait until the agents have completed the launch hooks of new instances."""
        wait_until(lambda: not self.in_state("Pending:Wait"))

    def set_version(self, version: str) -> None:
        """Set the launch template version of the group."""
        self.update(LaunchTemplate={"LaunchTemplateName": TEMPLATE, "Version": version})

    def relaunch_with(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Create another version of the launch template, set it, and replace every instance."""
        self.version(change)
        self.set_version(str(self.latest()))
        self.replace_instances()

    def latest(self) -> int:
        """The template's latest version."""
        found = self.client("ec2").describe_launch_templates(LaunchTemplateNames=[TEMPLATE])
        return int(found["LaunchTemplates"][0]["LatestVersionNumber"])

    def add_unmanaged(self, protected: bool = True) -> None:
        """Replace an instance by one without agent.conf, as a fleet that was made by hand and adopted has them."""

        def script(data: dict[str, Any]) -> None:
            data["UserData"] = base64.b64encode(b"#!/bin/bash\n").decode()

        good = self.template_data()["UserData"]
        self.version(script)
        self.set_version("2")
        before, others = set(self.in_service()), self.in_service()[1:]
        self.terminate(self.in_service()[0])
        (made,) = wait_until(lambda: set(self.in_service()) - before)
        self.version(lambda data: data.update(UserData=good))
        self.set_version("3")
        for other in others:  # of the new version
            self.terminate(other)
        self.client("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=[made], ProtectedFromScaleIn=protected
        )
        self.update(InstanceLifecyclePolicy=TERMINATE)

    def relaunch_with_agent_conf(self, change: Callable[[str], str]) -> None:
        """Replace every instance by one with another agent.conf."""

        def change_user_data(data: dict[str, Any]) -> None:
            text = base64.b64decode(data["UserData"]).decode().partition("content: |\n")[2]
            data["UserData"] = user_data(change(re.sub(r"^ +", "", text, flags=re.MULTILINE)))

        self.relaunch_with(change_user_data)

    def add_image(self) -> None:
        """Add an image of the account's own that is newer than all others, as `make image` does."""
        made = self.client("ec2").copy_image(
            SourceImageId=IMAGE, SourceRegion="us-east-1", Name="gh-worker-20261101000000"
        )["ImageId"]
        self.tag(made, "ghosthands:agent-schema", "4")

    def finish_refresh(self) -> None:
        """Let time pass faster until the instance refresh is over, and drain at once as agents do."""

        def is_over() -> bool:
            self.complete_drains()
            refreshes = self.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)
            last = refreshes["InstanceRefreshes"][0]
            assert last["Status"] in ("Pending", "InProgress", "Successful"), last
            return bool(last["Status"] == "Successful")

        self.set_speed(20)
        try:
            wait_until(is_over, timeout=60)
        finally:
            self.set_speed(1)


def worker(instance: str, **other: Any) -> WorkerRow:
    """A healthy worker's row, except for the columns in `other`."""
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
    """A finding of the doctor, failed if there is a problem."""
    return {
        "id": check,
        "severity": severity,
        "ok": not problem,
        "detail": problem or "as it should be",
        "remedy": "See docs/agent.md.",
    }


def failed(findings: list[Finding]) -> set[str]:
    """Ids of the failed findings."""
    return {f.id for f in findings if not f.ok}
