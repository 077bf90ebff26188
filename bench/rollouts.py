"""`python -m bench.rollouts`: a new image on a busy fleet, by this kit and by what its users do instead.

Each way gets a localcloud of its own with three process instances, a backlog of jobs and VALET scaling at random (the
same seed for all), and rolls out a good image and then one that does not boot. `--seed N` replays, `--only NAME` runs
one way. Where there is no Terraform on the machine its lines say so.

Times are about a tenth of real ones: jobs of 1 to 8 s and some of 15 to 30 s, the worker's own times, upstream's hook
(30 s instead of 300) and its wait for a busy worker (30 s instead of 5 minutes). An instance warms up for 2 s, and a
deployment that failed is not repeated. Not scaled: the 10 s after which Docker kills, and this machine's own times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from localcloud.testing import wait_until
from processes.fleet import deploy

from tests.fleet import handmade
from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import GROUP, LAUNCH, TEMPLATE, TERMINATE, TERMINATION
from tests.fleet.load import Load
from tests.fleet.process_fleet import BAD, SHORT, ProcessFleet
from tools.peers import terraform

#: The load alone, before a rollout begins; how long a rollout is watched at most.
LEAD_SECONDS, LIMIT_SECONDS = 10.0, 120.0
BUSY_SECONDS = 30.0
SPEED = 10.0
JOBS: dict[str, Any] = {"usual": (1.0, 8.0), "long": (15.0, 30.0)}
ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
BROKEN = next(iter(BAD))


class Way:
    """How somebody brings a new image to a fleet: the name of the line, and what is wrong with a bad one."""

    name = ""

    def __init__(self, fleet: ProcessFleet) -> None:
        self.fleet = fleet

    def build(self, image: str) -> None:
        """Make the fleet."""
        self.fleet.build(image)

    def roll(self, image: str) -> Run:
        """Run the tool; it may end before the refresh does."""
        raise NotImplementedError

    def updated(self, image: str) -> set[str]:
        """The instances in service that have the new image."""
        ids = list(self.fleet.in_service())
        found = self.fleet.cloud.client("ec2").describe_instances(InstanceIds=ids)["Reservations"] if ids else []
        return {i["InstanceId"] for made in found for i in made["Instances"] if i["ImageId"] == image}

    def launches(self) -> str:
        """The image of the next instance."""
        template = self.fleet.cloud.group()["LaunchTemplate"]
        versions = self.fleet.cloud.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=[template["Version"]]
        )
        return str(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])

    def aws_cli(self, script: str) -> Run:
        """Run a script as an operator types it."""
        return self.fleet.cloud.shell(script, self.fleet.folder, AWS_DEFAULT_REGION="us-east-1")


class Playbook(Way):
    """This kit."""

    name = "`rollout.yml`"

    def roll(self, image: str) -> Run:
        given: dict[str, Any] = {**SHORT, **self.fleet.variables, "fleet_image": image}
        return self.fleet.cloud.play("playbooks/rollout.yml", **given, fleet_rollout_bake_minutes=0.1)


class AwsCli(Way):
    """aws-cli with the API's defaults, on the fleet that site.yml made: its agents, its hooks."""

    name = "aws-cli: StartInstanceRefresh without preferences"
    preferences = ""

    def roll(self, image: str) -> Run:
        return self.aws_cli(f"""set -e
            version=$(aws ec2 create-launch-template-version --launch-template-name {TEMPLATE} \\
                --source-version '$Latest' --launch-template-data '{{"ImageId": "{image}"}}' \\
                --query LaunchTemplateVersion.VersionNumber --output text)
            sleep 5
            aws autoscaling update-auto-scaling-group --auto-scaling-group-name {GROUP} \\
                --launch-template "LaunchTemplateName={TEMPLATE},Version=$version"
            aws autoscaling start-instance-refresh --auto-scaling-group-name {GROUP} {self.preferences}""")


class CarefulAwsCli(AwsCli):
    """The same by somebody who has read the page of the preferences."""

    name = "aws-cli: the same with `ScaleInProtectedInstances=Refresh`"
    preferences = '--preferences \'{"ScaleInProtectedInstances": "Refresh"}\''


class Terraform(Way):
    """A group of Terraform's with its `instance_refresh` block (rollouts.tf), and this kit's agents and hooks."""

    name = "Terraform: `instance_refresh`"

    def build(self, image: str) -> None:
        fleet, cloud = self.fleet, self.fleet.cloud
        fleet.build(image, fleet_desired_capacity=0, fleet_min_size=0)
        ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
        versions = ec2.describe_launch_template_versions(LaunchTemplateName=TEMPLATE)["LaunchTemplateVersions"]
        given = versions[0]["LaunchTemplateData"]
        subnets = cloud.group()["VPCZoneIdentifier"].split(",")
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=GROUP, DeletionProtection="none", InstanceLifecyclePolicy=TERMINATE
        )
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
        folder = fleet.folder / "terraform"
        folder.mkdir()
        self.terraform = terraform.prepare(folder, Path(__file__).with_suffix(".tf"), cloud.environment)
        variables = {
            "name": GROUP,
            "template": {
                "instance_type": given["InstanceType"],
                "user_data": given["UserData"],
                "security_group": given["NetworkInterfaces"][0]["Groups"][0],
                "profile": given["IamInstanceProfile"]["Arn"],
            },
            "subnets": subnets,
            "hooks": {"LAUNCHING": LAUNCH, "TERMINATING": TERMINATION},
            "desired": SHORT["fleet_desired_capacity"],
        }
        (folder / "terraform.tfvars.json").write_text(json.dumps(variables))
        for run in (self.terraform("init", "-input=false", "-no-color"), self.roll(image)):
            if run.returncode:
                raise RuntimeError(f"{run.stdout}{run.stderr}")

    def roll(self, image: str) -> Run:
        done = self.terraform("apply", "-auto-approve", "-input=false", "-no-color", f"-var=image={image}")
        return Run(done.returncode, done.stdout, done.stderr)


class RefreshAmi(Way):
    """Upstream's scripts/refresh-ami.sh (WeKruit/GHOST-HANDS), on the group of upstream's own guide: no agent.

    Its steps 4 and 5, word for word; the image that it makes of a running instance is one that exists here.
    """

    name = "upstream's `refresh-ami.sh`"

    def build(self, image: str) -> None:
        handmade.build(self.fleet.cloud, instances=SHORT["fleet_desired_capacity"])
        autoscaling = self.fleet.cloud.client("autoscaling")
        autoscaling.put_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=TERMINATION, HeartbeatTimeout=30)
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, DefaultInstanceWarmup=2)
        wait_until(lambda: len(self.fleet.jobs.registered()) == SHORT["fleet_desired_capacity"], 60)

    def roll(self, image: str) -> Run:
        template = self.fleet.cloud.group()["LaunchTemplate"]["LaunchTemplateId"]
        return self.aws_cli(f"""set -e
            current_version=$(aws ec2 describe-launch-template-versions --launch-template-id {template} \\
                --versions '$Default' --query 'LaunchTemplateVersions[0].VersionNumber' --output text)
            new_version=$(aws ec2 create-launch-template-version --launch-template-id {template} \\
                --source-version "$current_version" --launch-template-data '{{"ImageId":"{image}"}}' \\
                --version-description "AMI update: {image}" --query 'LaunchTemplateVersion.VersionNumber' --output text)
            sleep 5
            aws ec2 modify-launch-template --launch-template-id {template} --default-version "$new_version"
            aws autoscaling start-instance-refresh --auto-scaling-group-name {GROUP} \\
                --preferences '{{"MinHealthyPercentage":50,"InstanceWarmup":2}}'""")


class DeployServer(RefreshAmi):
    """Upstream's deploy-server and VALET's deploy.service.ts: one instance after the other, the worker in its place.

    Wait while the worker is busy, then go on in any case; drain, stop, remove, create, start, ask for its health.
    """

    name = "upstream's deploy-server (a worker image)"

    def __init__(self, fleet: ProcessFleet) -> None:
        super().__init__(fleet)
        self.deployed: dict[str, str] = {}

    def roll(self, image: str) -> Run:
        said = []
        for id in self.fleet.in_service():
            own = self.fleet.folder / "old" / id
            if own.exists():
                said.append(f"{id}: {self._deploy(own, image)}")
                self.deployed[id] = image
        return Run(0 if all("healthy" in line for line in said) else 1, "\n".join(said), "")

    def _deploy(self, own: Path, image: str) -> str:
        instance = json.loads((own / "instance.json").read_text())
        worker = f"http://127.0.0.1:{instance['port']}/worker"
        wait(lambda: not ask(f"{worker}/status").get("active_jobs"), BUSY_SECONDS, every=0.5)
        if (self.fleet.folder / image).exists():  # a bad one
            (own / "instance.json").write_text(json.dumps({**instance, "worker": ["false"]}))
        ask(f"{worker}/drain", b"")
        deploy(own)
        return "healthy" if wait(lambda: bool(ask(f"{worker}/status")), 30) else "failed health check"

    def updated(self, image: str) -> set[str]:
        return {id for id in self.fleet.in_service() if self.deployed.get(id) == image}


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    """A worker's answer; {}: there is none."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
            return dict(json.load(answer))
    except (OSError, urllib.error.URLError):
        return {}


def wait(condition: Callable[[], bool], seconds: float, every: float = 0.5) -> bool:
    """Whether a condition became true in time."""
    try:
        return wait_until(condition, seconds, every)
    except TimeoutError:
        return False


WAYS = (Playbook, Terraform, AwsCli, CarefulAwsCli, RefreshAmi, DeployServer)


class Line(NamedTuple):
    """One line of the table. `serving` and `updated` count instances in service at the end; `launches_new`: whether the
    group launches the new image from then on."""

    name: str
    image: str
    jobs: int
    lost: int
    doubled: int
    seconds: float | None
    below: float
    dark: float
    in_service: int
    serving: int
    updated: int
    launches_new: bool
    refresh: str

    def cells(self) -> list[str]:
        """The line as texts, one per column."""
        took = f"{self.seconds:.0f} s" if self.seconds is not None else f"not in {LIMIT_SECONDS:.0f} s"
        end = f"{self.updated} new, {self.serving} take jobs, of {self.in_service}"
        counts = [str(number) for number in (self.jobs, self.lost, self.doubled)]
        launches = "the new image" if self.launches_new else "the old image"
        lacks = [f"{seconds:.0f} s" for seconds in (self.below, self.dark)]
        return [self.name, self.image, *counts, took, *lacks, end, launches, self.refresh]


HEAD = (
    *("way", "image", "jobs", "lost", "doubled", "until it ended", "below the floor", "no worker"),
    *("at the end", "launches then", "refresh"),
)


def measure(way: Way, image: str, kind: str, seed: int) -> Line:
    """One rollout under load."""
    fleet = way.fleet
    with Load(fleet, seed, **JOBS) as load:
        time.sleep(LEAD_SECONDS)
        began = time.time()
        run = way.roll(image)
        log(f"{run}"[-1500:])

        def ended() -> bool:
            states = fleet.cloud.lifecycle_states(GROUP).values()
            leaving = any("Terminating" in state and "Retained" not in state for state in states)
            return refresh(fleet)[0] not in ACTIVE and not leaving

        in_time = wait(ended, max(5.0, LIMIT_SECONDS - (time.time() - began)))
        end = time.time()
        numbers, last = load.numbers(began, end), load.samples[-1]
        updated = len(way.updated(image))
    status, reason = refresh(fleet)
    if status in ACTIVE:  # AWS's own limit is an hour
        fleet.cloud.advance(3600)
        wait(lambda: refresh(fleet)[0] not in ACTIVE, 60)
        status, reason = refresh(fleet)
        status = f"{status} after an hour"
    verdict = load.verdict(45)
    asked = [call["parameters"].get("Preferences") for call in fleet.cloud.calls("StartInstanceRefresh")]
    log(f"lost {dict(verdict.lost)}; {status}: {reason}; VALET resized {load.resized} times; preferences {asked[-1:]}")
    seconds = end - began if in_time else None
    counts = (verdict.jobs, len(verdict.lost), len(verdict.doubled))
    line = Line(
        *(way.name, kind, *counts, seconds, numbers.below, numbers.dark),
        *(last.in_service, last.serving, updated, way.launches() == image, status),
    )
    log(table([line]))
    return line


def refresh(fleet: ProcessFleet) -> tuple[str, str]:
    """Status and reason of the last refresh."""
    client = fleet.cloud.client("autoscaling")
    found = client.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
    return (found[0]["Status"], found[0].get("StatusReason", "")) if found else ("none", "")


def lines(kind: type[Way], seed: int) -> list[Line]:
    """Both rollouts of a way, on a fleet of its own."""
    with tempfile.TemporaryDirectory(prefix="rollouts-") as folder:
        fleet = ProcessFleet(Path(folder), speed=SPEED)
        try:
            fleet.kind("old")
            way = kind(fleet)
            first, good, bad = fleet.image("first"), fleet.image("good"), fleet.image("bad", BROKEN)
            way.build(first)
            return [
                measure(way, image, what, seed + n) for n, (image, what) in enumerate(((good, "good"), (bad, BROKEN)))
            ]
        finally:
            fleet.close()


def table(found: Sequence[Line]) -> str:
    """The lines in Markdown."""
    rows = [HEAD, ["---"] * len(HEAD), *(line.cells() for line in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def log(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollouts", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--only", default="", help="a part of the name of a way")
    given = parser.parse_args()
    commit = subprocess.run(shlex.split("git rev-parse --short HEAD"), cwd=ROOT, capture_output=True, text=True).stdout
    log(f"commit {commit.strip()}, seed {given.seed}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    found: list[Line] = []
    for kind in WAYS:
        if given.only.lower() in kind.name.lower():
            log(f"... {kind.name}")
            try:
                found += lines(kind, given.seed)
            except LookupError as lacking:
                log(f"{kind.name} is left out: {lacking}")
    log(f"\n{table(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
