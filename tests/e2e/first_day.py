"""An operator's first day on localcloud: container instances, IAM enforced, README's own commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.instances.docker import HostError, docker
from localcloud.testing import CREDENTIALS, PROPAGATED, wait_until
from localcloud.testing.containers import remaining

from tests.e2e import readme, worker_image
from tests.e2e.database import WorkerDatabase
from tests.image import bake, packer_1_6
from tests.image.cloud import ImageCloud

ROOT = Path(__file__).resolve().parents[2]
#: This machine's address in the seeded VPC's network.
GATEWAY = "172.28.0.1"
GROUP, SECRET = "gh-worker-asg", "ghosthands/worker/env"
RETAINED = "Terminating:Retained"
#: On an instance: the worker's container.
WORKER_CONTAINER = "docker ps --quiet --filter label=com.docker.compose.service=worker"
ACCESS = f'{{session_manager=false,cidrs=["{GATEWAY}/32"]}}'
#: The policies of docs/iam that the steps need. Together they are too long for one.
POLICIES = ("read", "operator", "secret", "teardown", "verify", "packer", "packer-options", "push", "commands")
#: What an operator writes into the inventory: the network is localcloud's, and there are no key pairs.
INVENTORY = """
fleet_endpoint_url: {url}
fleet_key_name: ""
fleet_registry_dsn: "{registry}"
fleet_protection_linger_seconds: 5
fleet_stop_grace_seconds: 10
fleet_warmup_seconds: 1
"""
WORKER = """\
SUPABASE_URL=http://supabase.invalid
SUPABASE_SECRET_KEY=supabase-secret
SUPABASE_PUBLISHABLE_KEY=supabase-publishable
DATABASE_URL={database}
DATABASE_DIRECT_URL={database}
GH_SERVICE_SECRET={secret}
GH_CREDENTIAL_KEY={key}
GH_DEPLOY_SECRET=deploy-secret
GH_ENVIRONMENT=staging
OPENAI_API_KEY=openai-key
JOB_DISPATCH_MODE={mode}
"""
#: A worker image that differs in a label alone.
PUSH = """\
registry=$(aws sts get-caller-identity --query Account --output text).dkr.ecr.us-east-1.amazonaws.com
aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin "$registry"
export DOCKER_BUILDKIT=0
printf 'FROM ghosthands:latest\\nLABEL version={tag}\\n' | docker build --quiet --tag "$registry/ghosthands:{tag}" -
docker push --quiet "$registry/ghosthands:{tag}"
"""
STEP_SECONDS = 540.0


@dataclass(frozen=True)
class Outcome:
    """What a step's commands ended with and printed, and how long they took."""

    code: int
    output: str
    seconds: float


class FirstDay:
    """One account, from nothing. `close` leaves nothing of it on this machine.

    Attributes:
        cloud: the account as AWS's own staff see it, for tests.
        database: the workers'.
        workspace: a copy of this checkout, in which the operator types.
        mode: how jobs are dispatched.
        boot_mark: a unit and the property that says when an instance's own boot is over: the end of cloud-init.
    """

    boot_mark = ("cloud-final", "ExecMainExitTimestamp")

    def __init__(self, folder: Path, mode: str = "queue", *, disk_gib: int = 6) -> None:
        self.folder, self.mode = folder, mode
        self.workspace = folder / "checkout"
        self._cleanup = ExitStack()
        self.times: dict[str, float] = {}
        self._valet: Any = None
        try:
            self._open(disk_gib)
        except BaseException:
            self.close()
            raise

    def _open(self, disk_gib: int) -> None:
        self._copy_checkout()
        self.database = WorkerDatabase()
        self._cleanup.callback(self.database.close)
        base = worker_image.output_of(os.fspath(ROOT / ".venv/bin/python"), "-m", "tools.images", "al2023")
        self.cloud = ImageCloud.start_process(
            self.folder,
            environment={"LOCALCLOUD_BASE_IMAGE": base},
            instances="container",
            forward=self.database.pooler_port,
            disk_gib=disk_gib,
            operator_registry=True,
        )
        self._cleanup.callback(self._check_nothing_is_left, self.cloud.port)
        self._cleanup.callback(self.cloud.stop)
        self.operator = self._user("operator", [self._policy(name) for name in POLICIES])
        self.cloud.enforce_iam()
        self._cleanup.callback(worker_image.remove)
        worker_image.build()
        self.write_inventory()
        self.write_secret("first")

    def close(self) -> None:
        """End and remove everything."""
        self._cleanup.close()

    def __enter__(self) -> FirstDay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _check_nothing_is_left(port: int) -> None:
        assert remaining(port) == []

    def _copy_checkout(self) -> None:
        """As a clone has it, with the changes that are not committed yet; its .venv is this one's."""
        self.workspace.mkdir(parents=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        packed = subprocess.run(
            ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"],
            cwd=ROOT,
            input=listed.stdout,
            check=True,
            capture_output=True,
        )
        subprocess.run(["tar", "--extract"], cwd=self.workspace, input=packed.stdout, check=True)
        (self.workspace / ".venv").symlink_to(ROOT / ".venv")
        for name in ("requirements.lock", "requirements-dev.lock", ".ci/setup"):  # older than .venv/ready
            os.utime(self.workspace / name, (0, 0))

    # --- callers ----------------------------------------------------------------------------------------------------

    def _policy(self, name: str) -> dict[str, Any]:
        return dict(json.loads((ROOT / f"docs/iam/{name}.json").read_text(encoding="utf-8")))

    def _user(self, name: str, policies: list[dict[str, Any]]) -> dict[str, str]:
        """A user with exactly these policies; the environment of their shell."""
        iam = self.cloud.client("iam")
        iam.create_user(UserName=name)
        for number, policy in enumerate(policies):
            made = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=json.dumps(policy))["Policy"]
            iam.attach_user_policy(UserName=name, PolicyArn=made["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.cloud.advance(PROPAGATED)
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @property
    def environment(self) -> dict[str, str]:
        """The operator's shell."""
        path = f"{self.workspace}/.venv/bin:{os.environ['PATH']}"
        packer = {"PKR_VAR_access": ACCESS, "PKR_VAR_ec2_endpoint": self.cloud.url}
        login = {"DOCKER_CONFIG": str(self.folder / "docker")}
        return {**self.cloud.environment, **self.operator, **packer, **login, "PATH": path}

    # --- what the operator writes -----------------------------------------------------------------------------------

    def write_inventory(self, **variables: object) -> None:
        """The environment's differences from the defaults."""
        file = self.workspace / "inventories/staging/group_vars/fleet.yml"
        original = (ROOT / "inventories/staging/group_vars/fleet.yml").read_text(encoding="utf-8")
        own = INVENTORY.format(url=self.cloud.url, registry=self.database.url_for_operator)
        others = "".join(f"{name}: {json.dumps(value)}\n" for name, value in variables.items())
        file.write_text(original + own + others, encoding="utf-8")

    def write_secret(self, secret: str, **others: str) -> None:
        """worker.env, as runbook §9 has it."""
        file = self.workspace / "worker.env"
        file.touch(0o600)
        database = self.database.url_for_workers(GATEWAY)
        text = WORKER.format(database=database, secret=secret, key="0123456789abcdef" * 4, mode=self.mode)
        file.write_text(text + "".join(f"{name}={value}\n" for name, value in others.items()), encoding="utf-8")

    # --- the path ---------------------------------------------------------------------------------------------------

    def steps(self) -> list[readme.Step]:
        """README's."""
        return readme.steps(self.workspace / "README.md")

    def step(self, title: str) -> Outcome:
        """Do the step with that word in its title; it has to succeed."""
        (step,) = (each for each in self.steps() if each.title.lower() == title.lower())
        done = (
            self._bake()
            if "make image" in step.commands and not os.environ.get("PACKER")
            else self.shell(step.commands)
        )
        self.times[step.title] = done.seconds
        assert done.code == 0, f"{step.number}. {step.title}:\n{step.commands}\n{done.output}"
        return done

    def shell(self, commands: str) -> Outcome:
        """What an operator types, in the workspace."""
        began = time.monotonic()
        done = subprocess.run(
            ["sh", "-ec", commands],
            cwd=self.workspace,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, time.monotonic() - began)

    def _bake(self) -> Outcome:
        """`make image`'s build by Debian's Packer 1.6.6, less what it cannot read (tests/image/packer_1_6.py).

        As the account's owner: docs/iam/packer.json goes by tags that current Packer sets when it makes a resource,
        and 1.6.6 sets them afterwards (tests/image/test_permissions.py holds the policy against the current one).
        """
        template = self.workspace / "packer"
        (self.workspace / "build/image").mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "packer", template, dirs_exist_ok=True)  # an earlier bake has edited it
        packer_1_6.remove_newer_texts(template)
        plugin = worker_image.output_of(".ci/compose-plugin")
        (self.folder / "image.json").write_text(
            json.dumps(
                {
                    "docker_compose_file": plugin,
                    "image_compose_sha256": worker_image.output_of("sha256sum", plugin).split()[0],
                    "ghosthands_wheels": worker_image.output_of(".ci/agent-wheels"),
                    "ghosthands_log_shipping": False,  # Amazon's agent is not among Debian's packages
                }
            )
        )
        build = template / "build.pkr.hcl"
        text, end = build.read_text(), "      })),\n    ]"
        assert text.count(end) == 1
        build.write_text(text.replace(end, f'      }})),\n      "--extra-vars", "@{self.folder}/image.json",\n    ]'))
        profile = "instance_profile=gh-worker-instance-profile"
        owner = {**self.environment, **{name.upper(): value for name, value in CREDENTIALS.items()}}
        done = bake.build(packer_1_6.executable(), template, self.cloud, profile, environment=owner)
        return Outcome(done.code, done.output, done.seconds)

    # --- the fleet --------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Lifecycle state by instance, without those that are retained."""
        return {one: state for one, state in self._lifecycle_states().items() if state != RETAINED}

    def _lifecycle_states(self) -> dict[str, str]:
        """As the cloud has them: also while its API refuses calls."""
        return dict(self.cloud.status()["groups"].get(GROUP, {}).get("instances", {}))

    def retained(self) -> list[str]:
        """Instances that the group keeps, because their agent said that a job may be lost."""
        return [one for one, state in self._lifecycle_states().items() if state == RETAINED]

    def release_retained(self) -> None:
        """End them."""
        for instance in self.retained():
            self.cloud.client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=False
            )

    def in_service(self) -> list[str]:
        """Instances in service."""
        return [instance for instance, state in self.states().items() if state == "InService"]

    def scale(self, desired: int) -> None:
        """As VALET does: by its own user, with the policy that the site made for it."""
        self.valet.update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=desired)

    @property
    def valet(self) -> Any:
        """VALET's client of Auto Scaling."""
        if self._valet is None:  # a site's own policy, so a user for each site
            iam = self.cloud.client("iam")
            (policy,) = [p for p in iam.list_policies(Scope="Local")["Policies"] if "valet" in p["PolicyName"]]
            user = f"valet-{uuid.uuid4()}"
            iam.create_user(UserName=user)
            iam.attach_user_policy(UserName=user, PolicyArn=policy["Arn"])
            key = iam.create_access_key(UserName=user)["AccessKey"]
            self.cloud.advance(PROPAGATED)
            credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
            self._valet = self.cloud.client("autoscaling", **credentials)
        return self._valet

    def instance_of(self, worker: str) -> str:
        """Where a worker runs."""
        found = self.database.own.query("SELECT ec2_instance_id FROM gh_worker_registry WHERE worker_id = %s", worker)
        return str(found[0][0])

    def pull(self, instance: str) -> None:
        """Its power is gone."""
        docker("kill", instance)

    def terminate(self, instance: str) -> None:
        """As the console's "terminate" of an instance of a group, which then gets smaller."""
        self.cloud.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )

    def restore_secret(self) -> None:
        """What `secret.yml` asks for after a teardown, which leaves the secret its recovery window."""
        client = self.cloud.client("secretsmanager")
        for found in client.list_secrets(IncludePlannedDeletion=True)["SecretList"]:
            if found["Name"] == SECRET and "DeletedDate" in found:
                client.restore_secret(SecretId=SECRET)

    def push_worker_image(self, tag: str) -> None:
        """Push another worker image under that tag."""
        pushed = self.shell(PUSH.format(tag=tag))
        assert pushed.code == 0, pushed.output

    def worker_images(self) -> set[str]:
        """The ids of the images that the workers run."""
        script = f"docker inspect --format '{{{{.Image}}}}' $({WORKER_CONTAINER})"
        return {self.run(instance, script).strip() for instance in self.in_service()}

    def put_secret(self, changed: Mapping[str, str | None]) -> None:
        """Write the secret's value as somebody does who checks nothing; None leaves a key out."""
        lines = (self.workspace / "worker.env").read_text(encoding="utf-8").splitlines()
        values = dict(line.split("=", 1) for line in lines)
        values = {key: value for key, value in {**values, **changed}.items() if value is not None}
        self.cloud.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=json.dumps(values))

    def teardown(self) -> Outcome:
        """The undo of README's steps, with everything that it keeps by default."""
        self._valet = None
        return self.shell(
            f"ansible-playbook playbooks/teardown.yml -i staging -e fleet_confirm_teardown={GROUP} "
            "-e fleet_teardown_secret=true -e fleet_teardown_repository=true -e fleet_teardown_logs=true"
        )

    def going(self) -> dict[str, float]:
        """Instances that are to go or have gone: when that was decided, in seconds since 1970.

        By this machine's clock, as in the database and in the trace: the cloud's own has been advanced.
        """
        found, lead = dict[str, float](), self.cloud.control("advance", seconds=0)["lead"]
        for event in self.cloud.events():
            if str(event["after"]).startswith("Terminating"):
                found.setdefault(event["instance_id"], float(event["at"]) - lead)
        return found

    def seconds_from_boot_to_registration(self, instance: str) -> float:
        """From the end of an instance's own boot (`boot_mark`) to its worker's entry in the registry."""
        unit, mark = self.boot_mark
        script = f"systemctl show {unit} --property {mark} --timestamp=unix"
        booted = float(self.run(instance, script).partition("@")[2])
        statement = "SELECT extract(epoch FROM registered_at) FROM gh_worker_registry WHERE ec2_instance_id = %s"
        return float(self.database.own.query(statement, instance)[0][0]) - booted

    def registered(self) -> set[str]:
        """Instances whose worker is active in the registry."""
        return set(self.database.workers().values())

    def wait_for_workers(self, count: int, seconds: float = 120) -> set[str]:
        """Wait until so many instances are in service, each with an active worker; which they are."""

        def settled() -> set[str] | None:
            instances = set(self.in_service())
            return instances if len(instances) == count and instances <= self.registered() else None

        try:
            return wait_until(settled, seconds, every=0.5) or set()
        except TimeoutError:
            raise AssertionError(
                f"no {count} workers after {seconds} s: {self.states()}, registered {self.registered()}\n"
                + "\n".join(self.journal(instance) for instance in self.states())
            ) from None

    def run(self, instance: str, script: str, *, check: bool = True) -> str:
        """What root's script prints on an instance."""
        try:
            return docker("exec", instance, "sh", "-c", script)
        except HostError:
            if check:
                raise
            return ""

    def journal(self, instance: str, lines: int = 40) -> str:
        """The end of what the agent's units wrote."""
        return self.run(instance, f"journalctl --no-pager -n {lines} -u 'ghosthands-*' -u cloud-final", check=False)

    def wait_for_jobs(self, jobs: list[str], seconds: float) -> None:
        """Wait until all are completed."""
        with suppress(TimeoutError):
            wait_until(lambda: not self.database.unfinished(jobs), seconds, every=0.5)

    @contextmanager
    def scaler(self, largest: int, every: float = 2.0) -> Iterator[list[int]]:
        """VALET's, which counts waiting jobs alone; the sizes that it has set, in order."""
        stopped, sizes = threading.Event(), list[int]()

        def look() -> None:
            while not stopped.wait(every):
                with suppress(Exception):
                    desired = max(1, min(largest, self.database.waiting()))
                    if not sizes or sizes[-1] != desired:
                        self.scale(desired)
                        sizes.append(desired)

        thread = threading.Thread(target=look, name="scaler", daemon=True)
        thread.start()
        try:
            yield sizes
        finally:
            stopped.set()
            thread.join()

    def page(self) -> str:
        """What localcloud's page shows: each group with its instances, and their lives as a picture."""
        asked = urllib.request.Request(self.cloud.url, headers={"Accept": "text/html"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=30) as answer:
            return str(answer.read().decode())

    def resources(self) -> dict[str, list[str]]:
        """What the fleet's names still have in the account, by kind; but the golden image, which no step makes."""
        client = self.cloud.client
        found = {
            "groups": [
                g["AutoScalingGroupName"]
                for g in client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            ],
            "templates": [
                t["LaunchTemplateName"] for t in client("ec2").describe_launch_templates()["LaunchTemplates"]
            ],
            "security groups": [g["GroupName"] for g in client("ec2").describe_security_groups()["SecurityGroups"]],
            "roles": [role["RoleName"] for role in client("iam").list_roles()["Roles"]],
            "profiles": [p["InstanceProfileName"] for p in client("iam").list_instance_profiles()["InstanceProfiles"]],
            "repositories": [r["repositoryName"] for r in client("ecr").describe_repositories()["repositories"]],
            "secrets": [s["Name"] for s in client("secretsmanager").list_secrets()["SecretList"]],
            "log groups": [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"]],
        }
        own = {
            kind: [name for name in names if re.search("gh-worker|ghosthands", name)] for kind, names in found.items()
        }
        return {kind: names for kind, names in own.items() if names}

    def completions(self) -> Mapping[str, tuple[str, float]]:
        """CompleteLifecycleAction by instance: the result, and when."""
        found = {}
        for call in self.cloud.calls("CompleteLifecycleAction"):
            if call["error"] is None:
                asked = call["parameters"]
                found[asked["InstanceId"]] = (asked["LifecycleActionResult"], _seconds(call["at"]))
        return found


def _seconds(at: str) -> float:
    from tools.real_worker.measures import seconds

    return seconds(at)


def until(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until something is true. Raises AssertionError that says what."""
    try:
        return wait_until(look, seconds, every=0.3)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s: {what}") from None


def remove(folder: Path) -> None:
    """Remove a folder that a first day has used."""
    shutil.rmtree(folder, ignore_errors=True)
