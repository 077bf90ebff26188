"""A localcloud, and playbooks that are run against it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.testing import CREDENTIALS

from localcloud import testing

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
HIDDEN = "value-that-no-run-may-show"
#: What a worker needs (runbook §9): one key of each that fleet_required_keys names.
WORKER_KEYS = (
    "SUPABASE_URL SUPABASE_SECRET_KEY SUPABASE_PUBLISHABLE_KEY DATABASE_URL DATABASE_DIRECT_URL GH_SERVICE_SECRET "
    "GH_CREDENTIAL_KEY GH_DEPLOY_SECRET GH_ENVIRONMENT ANTHROPIC_API_KEY"
).split()
WORKER_SECRET = {key: f"{HIDDEN}-{key}" for key in WORKER_KEYS}


@dataclass
class Run:
    """One ansible-playbook run."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """host -> {ok, changed, failed, ...}"""
        lines = self.stdout.partition("PLAY RECAP")[2].splitlines()[1:]
        return {
            line.split()[0]: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)} for line in lines if "ok=" in line
        }

    @property
    def changed(self) -> int:
        """Number of changed tasks of all hosts; -1 if there is no recap."""
        return sum(counts["changed"] for counts in self.recap.values()) if self.recap else -1

    @property
    def changed_tasks(self) -> list[str]:
        """Names of the tasks that changed something, in order, once for each host."""
        names, task = [], ""
        for line in self.stdout.splitlines():
            if found := re.match(r"TASK \[(.*)\] \*", line):
                task = found[1]
            elif line.startswith("changed: ["):
                names.append(task)
        return names

    @property
    def messages(self) -> dict[str, str]:
        """host -> its failed task's message."""
        found = re.findall(r"^fatal: \[([^\]]+)\]: \w+! => (\{.*\})$", self.stdout, re.MULTILINE)
        return {host: str(json.loads(result).get("msg", "")) for host, result in found}

    @property
    def message(self) -> str:
        """The first failed task's message; empty if there is none."""
        return next(iter(self.messages.values()), "")

    @property
    def differs(self) -> list[tuple[str, str]]:
        """(section, task) of every difference that the comparison reported, in order."""
        return re.findall(r"^\[[\w-]+\]   (\w+): (.+?): ", self.stdout, re.MULTILINE)

    def __str__(self) -> str:
        return f"exit {self.returncode}\n{self.stdout}\n{self.stderr}"


class PlaybookCloud(testing.Cloud):
    """A localcloud against which playbooks run."""

    @property
    def valet(self) -> Path:
        """The folder to which the playbooks write VALET's settings."""
        return self.folder / "valet"

    def group(self, name: str = "gh-worker-local-asg") -> dict[str, Any]:
        """Return an Auto Scaling group as AWS describes it; {} if there is none of this name."""
        return super().group(name)

    def route_through_nat(self) -> None:
        """Give instances without a public address in the default VPC a way out."""
        ec2 = self.client("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        own = {"Name": "vpc-id", "Values": [vpc["VpcId"]]}
        subnet = ec2.describe_subnets(Filters=[own])["Subnets"][0]["SubnetId"]
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
        main = {"Name": "association.main", "Values": ["true"]}
        (table,) = ec2.describe_route_tables(Filters=[own, main])["RouteTables"]
        ec2.replace_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)

    def prepare(self, repository: str = "ghosthands", *secrets: str) -> None:
        """Make what instances need and site.yml does not make: a pushed worker image and a complete secret."""
        self.client("ecr").create_repository(repositoryName=repository)
        self.push_image(repository)
        for secret in secrets or ("ghosthands/worker/env",):
            self.create_secret(secret)
        self.clear_trace()

    def create_secret(self, name: str) -> None:
        """Create a secret with every key that a worker needs."""
        self.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(WORKER_SECRET))

    def push_image(self, repository: str = "ghosthands", tag: str = "latest") -> None:
        """Push a worker image to a repository."""
        empty = hashlib.sha256(b"").hexdigest()
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 0, "digest": f"sha256:{empty}"}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        self.client("ecr").put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)

    def secret_value(self, name: str) -> str:
        """A secret's value."""
        return str(self.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])

    def existing_resources(self, **variables: Any) -> dict[str, set[str]]:
        """Run status.yml; runbook section -> ids of the resources that it shows as existing."""
        run = self.play("playbooks/status.yml", **variables)
        assert run.returncode == 0, run
        rows = [re.split(r" {2,}", line.strip()) for line in run.stdout.splitlines() if line.startswith("§")]
        return {
            section: {row[2] for row in rows if row[0] == section and row[3] != "missing"}
            for section in {row[0] for row in rows}
        }

    # --- playbooks --------------------------------------------------------------------------------------------------

    def play(
        self,
        playbook: str,
        *more: str,
        inventory: str = "local",
        folder: Path | None = None,
        programs: Path | None = None,
        **variables: Any,
    ) -> Run:
        """Run a playbook.

        Args:
            playbook: path from the root, or name in a collection.
            more: further options of ansible-playbook.
            folder: working directory; the root by default.
            programs: a folder that comes first on the PATH.
            variables: passed with -e, with their types.
        """
        env = self.playbook_environment()
        env["PATH"] = f"{programs}:{env['PATH']}" if programs else env["PATH"]
        return self._run(self.command_line(playbook, *more, inventory=inventory, **variables), folder or ROOT, env)

    def command_line(self, playbook: str, *more: str, inventory: str = "local", **variables: Any) -> list[str]:
        """The command line that `play` runs."""
        extra = {"fleet_endpoint_url": self.url, "fleet_valet_dir": str(self.valet), **variables}
        return [str(BIN / "ansible-playbook"), playbook, "-i", inventory, "-e", json.dumps(extra), *more]

    def shell(self, command: str, folder: Path, **environment: str) -> Run:
        """Run a command as an operator types it; environment variables set this cloud for AWS, but no region."""
        aws_cli = self.folder / "programs" / "aws"  # the venv's script does not run if its path has a blank
        aws_cli.parent.mkdir(exist_ok=True)
        aws_cli.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m awscli "$@"\n', encoding="utf-8")
        aws_cli.chmod(0o755)
        usual = {**self.environment, **self.playbook_environment()}
        del usual["AWS_DEFAULT_REGION"]
        path = f"{aws_cli.parent}:{usual['PATH']}"
        return self._run(["sh", "-c", command], folder, {**usual, "PATH": path, **environment})

    def play_hosts(self, playbook: str, *more: str, hosts: dict[str, dict[str, Any]], **variables: Any) -> Run:
        """Run a playbook on several fleets at once.

        `hosts` maps each host to its variables, which outrank `variables` for all hosts.
        """
        for_all = {
            "fleet_endpoint_url": self.url,
            "fleet_access_key": CREDENTIALS["aws_access_key_id"],
            "fleet_secret_key": CREDENTIALS["aws_secret_access_key"],
            **variables,
        }
        # On each host, because the playbooks' group_vars/all outranks an inventory file's group variables.
        own = {host: {"fleet_valet_dir": str(self.valet / host), **for_all, **values} for host, values in hosts.items()}
        inventory = self.folder / "hosts.yml"
        inventory.write_text(json.dumps({"fleet": {"hosts": own}}))
        return self._run(
            [str(BIN / "ansible-playbook"), playbook, "-i", str(inventory), *more], ROOT, self.playbook_environment()
        )

    @staticmethod
    def _run(command: list[str], folder: Path, environment: dict[str, str]) -> Run:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False
        )
        assert HIDDEN not in done.stdout + done.stderr, "a run showed a value of the secret"
        return Run(done.returncode, done.stdout, done.stderr)

    def playbook_environment(self) -> dict[str, str]:
        """The environment without the developer's AWS and Ansible settings, with this Python first on the PATH."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANSIBLE_"))}
        return {
            **kept,
            "PATH": f"{BIN}:/usr/bin:/bin",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANSIBLE_NOCOLOR": "1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    # --- states -----------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Bring the account back to its initial state; delete what playbooks wrote to this machine; clear the trace."""
        super().reset()
        shutil.rmtree(self.valet, ignore_errors=True)
        self.clear_trace()

    def snapshot(self) -> None:
        """Keep the account's present state, and what playbooks wrote to this machine, for `restore`."""
        super().snapshot()
        shutil.copytree(self.valet, self.folder / "valet of the snapshot")

    def restore(self) -> None:
        """Bring everything back to the state of the snapshot, and clear the trace."""
        super().restore()
        shutil.rmtree(self.valet, ignore_errors=True)
        shutil.copytree(self.folder / "valet of the snapshot", self.valet)
        self.clear_trace()
