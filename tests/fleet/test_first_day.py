"""The first day, IAM enforced: each step names the next, and what was skipped or done wrong stops the launch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import SCHEMA

from tests.fleet.cloud import ROOT, WORKER_SECRET, PlaybookCloud, Run
from tests.fleet.healthy import HealthyFleet
from tests.fleet.test_operator_policy import User, document, user

__all__ = ["user"]

GOLDEN = "ami-010ca1c10d000a001"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
SECRET = "ghosthands/worker/env"
OPERATOR = ("read", "operator", "secret")
LAUNCHES = {"RunInstances", "CreateAutoScalingGroup", "UpdateAutoScalingGroup", "CreateLaunchTemplateVersion"}


def image(cloud: PlaybookCloud, name: str, schema: str | None = None) -> str:
    """A copy of the golden image under another name; without a schema it is one that was made by hand."""
    ec2 = cloud.client("ec2")
    id = str(ec2.copy_image(SourceImageId=GOLDEN, SourceRegion="us-east-1", Name=name)["ImageId"])
    if schema:
        ec2.create_tags(Resources=[id], Tags=[{"Key": "ghosthands:agent-schema", "Value": schema}])
    return id


def secret(name: str, text: str | None) -> Callable[[PlaybookCloud], Any]:
    """Creates a secret; without a text one that has no value."""
    value = {} if text is None else {"SecretString": text}
    return lambda cloud: cloud.client("secretsmanager").create_secret(Name=name, **value)


def delete_secret(name: str) -> Callable[[PlaybookCloud], Any]:
    """Creates a complete secret and schedules its deletion."""

    def delete(cloud: PlaybookCloud) -> None:
        secret(name, json.dumps(WORKER_SECRET))(cloud)
        cloud.client("secretsmanager").delete_secret(SecretId=name)

    return delete


@dataclass(frozen=True)
class Step:
    """A step that was skipped or done wrong, on a fleet of its own."""

    message: str
    command: str
    """what the message names as the next thing to do"""
    variables: dict[str, Any] = field(default_factory=dict)
    plant: Callable[[PlaybookCloud], Any] = lambda _cloud: None
    """what is wrong in the account; an id that it returns stands for IMAGE in the variables"""
    done: Callable[[PlaybookCloud], Any] | None = None
    """does what the command does, where this machine cannot run it"""
    then: dict[str, Any] = field(default_factory=dict)
    """the variables that the message names"""


def bad_secret(host: str, message: str, text: str | None, *, options: str = "") -> Step:
    """A secret that cannot boot a worker; the command of the message is run as it is."""
    name = f"ghosthands/worker/{host}"
    command = f"playbooks/secret.yml -i INVENTORY -l {host} -e fleet_secret_file=worker.env"
    then = {"fleet_secret_name": name}
    return Step(f"Secret {name} cannot boot a worker. {message}", command, then, secret(name, text), None, {})


NO_KEY = {key: value for key, value in WORKER_SECRET.items() if key != "DATABASE_URL"}
OTHERS = {"fleet_image": "newest"}
STEPS = {
    "wrong-tag": Step(
        f"There is no worker image {REGISTRY}/ghosthands:v9: no worker can boot.",
        f"docker push {REGISTRY}/ghosthands:v9",
        {"fleet_worker_image": f"{REGISTRY}/ghosthands:v9"},
        done=lambda cloud: cloud.push_image(tag="v9"),
    ),
    "wrong-digest": Step(
        f"There is no worker image {REGISTRY}/ghosthands@sha256:{'0' * 64}: no worker can boot.",
        "or name another in fleet_worker_image",
        {"fleet_worker_image": f"{REGISTRY}/ghosthands@sha256:{'0' * 64}"},
        then={"fleet_worker_image": ""},
    ),
    "made-by-hand": Step(
        "it was not baked by this kit, and its instances boot no worker.",
        'make image OPTIONS="-var region=us-east-1 -var instance_profile=gh-worker-made-by-hand-instance-profile"',
        {"fleet_image": "IMAGE"},
        lambda cloud: image(cloud, "golden-20260221"),
        then=OTHERS,
    ),
    "older-image": Step(
        f"reads schema 1 of agent.conf, but these playbooks write {SCHEMA}.",
        "make image OPTIONS=",
        {"fleet_image": "IMAGE"},
        lambda cloud: image(cloud, "older", "1"),
        then=OTHERS,
    ),
    "newer-image": Step(
        f"reads schema 99 of agent.conf, but these playbooks write {SCHEMA}.",
        "Use the release that the image was baked with",
        {"fleet_image": "IMAGE"},
        lambda cloud: image(cloud, "newer", "99"),
        then=OTHERS,
    ),
    "no-image": Step(
        "This account has no image first-day-* for x86_64 in us-east-1.",
        "make image OPTIONS=",
        {"fleet_image_name_pattern": "first-day-*"},
        done=lambda cloud: image(cloud, "first-day-1", SCHEMA),
    ),
    "no-secret": Step(
        "There is no secret ghosthands/worker/no-secret: no worker can boot.",
        "playbooks/secret.yml -i INVENTORY -l no-secret -e fleet_secret_file=worker.env",
        {"fleet_secret_name": "ghosthands/worker/no-secret"},
    ),
    "empty-secret": bad_secret("empty-secret", "It is empty.", None),
    "placeholder": bad_secret("placeholder", "It is still the placeholder.", '{"GH_PLACEHOLDER": "fill in"}'),
    "missing-key": bad_secret("missing-key", "DATABASE_URL is missing or empty.", json.dumps(NO_KEY)),
    "forbidden-key": bad_secret(
        "forbidden-key",
        "GH_WORKER_ID is each instance's own: take it out.",
        json.dumps(WORKER_SECRET | {"GH_WORKER_ID": "one"}),
    ),
    "malformed": bad_secret("malformed", "It is neither a JSON object nor KEY=value lines.", '{"DATABASE_URL": '),
    "leaving-secret": Step(
        "Secret ghosthands/worker/leaving is scheduled for deletion: no instance can boot with it.",
        "aws secretsmanager restore-secret --region us-east-1 --secret-id ghosthands/worker/leaving",
        {"fleet_secret_name": "ghosthands/worker/leaving"},
        delete_secret("ghosthands/worker/leaving"),
    ),
    "no-key-pair": Step(
        "There is no key pair first-day in us-east-1.",
        "set fleet_key_name to '' for instances without one",
        {"fleet_key_name": "first-day"},
        then={"fleet_key_name": ""},
    ),
    "wrong-account": Step(
        "These credentials belong to account 123456789012, but fleet_account_id is 999999999999.",
        "or correct the variable",
        {"fleet_account_id": "999999999999"},
        then={"fleet_account_id": "123456789012"},
    ),
}


def launches(cloud: PlaybookCloud) -> set[str]:
    """The calls of the trace that launch instances, or change what they are launched from."""
    return LAUNCHES & {call["action"] for call in cloud.calls()}


@pytest.fixture
def worker_env(tmp_path: Path) -> Path:
    """A file with every key that a worker needs."""
    there = tmp_path / "worker.env"
    there.touch(0o600)
    there.write_text("".join(f"{key}={value}\n" for key, value in WORKER_SECRET.items()))
    return there


def typed(command: str, worker_env: Path) -> str:
    """A message's command as an operator completes it: with the place of the file."""
    return command.replace("fleet_secret_file=worker.env", f"fleet_secret_file='{worker_env}'")


def commands(message: str) -> Iterator[str]:
    """The commands of a message, in its order."""
    return (found[1] for found in re.finditer(r"`([^`]+)`", message))


def test_every_skipped_or_wrong_step_stops_before_a_launch_and_its_command_goes_on(
    cloud: PlaybookCloud, user: User, worker_env: Path
) -> None:
    planted = {host: step.plant(cloud) for host, step in STEPS.items()}
    key = user(cloud, document(*OPERATOR))

    def hosts(then: bool = False) -> dict[str, dict[str, Any]]:
        return {
            host: {"fleet_name": f"gh-worker-{host}"}
            | {name: planted[host] if value == "IMAGE" else value for name, value in step.variables.items()}
            | (step.then if then else {})
            for host, step in STEPS.items()
        }

    run = cloud.play_hosts("site.yml", "--forks", "4", hosts=hosts(), **key)
    assert (cloud.writes(), launches(cloud)) == ([], set())
    inventory = cloud.folder / "hosts.yml"
    for host, step in STEPS.items():
        message = run.messages.get(host, "(it was not stopped)")
        assert step.message in message, f"{host}: {message}"
        assert step.command.replace("INVENTORY", str(inventory)) in message, f"{host}: {message}"

    for host, step in STEPS.items():
        if step.done:
            step.done(cloud)
        for command in commands(run.messages[host]):
            if command.startswith(("ansible-playbook", "aws secretsmanager")):
                more = " -e fleet_secret_replace=true" if host in ("forbidden-key", "malformed") else ""
                followed = cloud.shell(typed(command, worker_env) + more, ROOT, AWS_PAGER="")
                assert followed.returncode == 0, followed
    cloud.clear_trace()
    again = cloud.play_hosts("site.yml", "--check", "--forks", "4", hosts=hosts(then=True), **key)
    assert again.messages == {}, again
    assert again.returncode == 0, again


def next_commands(run: Run) -> list[str]:
    """What preflight names as the next step."""
    return re.findall(r"^\[local\] next: (.+)$", run.stdout, re.MULTILINE)


def test_an_operator_who_follows_preflight_from_an_empty_account_arrives(
    running_cloud: HealthyFleet, user: User, worker_env: Path
) -> None:
    cloud, ec2 = running_cloud, running_cloud.client("ec2")
    cloud.reset()
    own = [one["ImageId"] for one in ec2.describe_images(Owners=["self"])["Images"]]
    ec2.delete_tags(Resources=own, Tags=[{"Key": "ghosthands:agent-schema"}])  # as the runbook makes them
    key = user(cloud, document(*OPERATOR))
    inventory = cloud.inventory({**key, "fleet_account_id": "123456789012"})

    def bake() -> None:
        image(cloud, "gh-worker-first", SCHEMA)

    here: dict[str, Callable[[], Any]] = {"docker push": cloud.push_image, "make image": bake}
    taken = list[str]()
    for _step in range(9):
        preflight = cloud.run_command(f"ansible-playbook playbooks/preflight.yml -i '{inventory}'")
        command = next_commands(preflight)[-1]
        taken.append(command)
        if "verify.yml" in command:
            break
        assert not cloud.group(), "preflight names what comes before the group"
        replaced = next((do for start, do in here.items() if command.startswith(start)), None)
        if replaced:
            replaced()
            continue
        if "site.yml" not in command:
            early = cloud.run_command(f"ansible-playbook site.yml -i '{inventory}'")
            assert early.returncode != 0, f"before {command}: {early}"
            assert not launches(cloud)
        followed = cloud.run_command(typed(command, worker_env))
        assert followed.returncode == 0, followed
    assert [next(iter(re.findall(r"(\w+\.yml|docker push|make image)", command))) for command in taken] == [
        "foundation.yml",
        "docker push",
        "iam.yml",
        "make image",
        "secret.yml",
        "site.yml",
        "verify.yml",
    ]
    assert len(cloud.group()["Instances"]) == 2


def test_with_no_instances_wanted_everything_is_built_without(empty_cloud: PlaybookCloud) -> None:
    none: dict[str, Any] = {"fleet_min_size": 0, "fleet_desired_capacity": 0}
    for changed in (True, False):
        run = empty_cloud.play("site.yml", **none)
        assert (run.returncode, run.changed > 0) == (0, changed), run
    assert (empty_cloud.group()["DesiredCapacity"], empty_cloud.group()["Instances"]) == (0, [])


def test_a_fleet_with_a_broken_secret_is_left_alone_until_its_template_would_change(fleet: HealthyFleet) -> None:
    fleet.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="{}")
    fleet.clear_trace()
    same = fleet.play("site.yml")
    assert (same.returncode, same.changed, fleet.calls("GetSecretValue")) == (0, 0, []), same
    bigger: dict[str, Any] = {"fleet_volume_size_gib": 60}
    refused = fleet.play("site.yml", **bigger)
    assert f"Secret {SECRET} cannot boot a worker." in refused.message, refused
    assert (fleet.writes(), launches(fleet)) == ([], set())
    forced = fleet.play("site.yml", **bigger, fleet_launch_unready=True)
    assert forced.returncode == 0, forced
    assert f"warning: Secret {SECRET} cannot boot a worker." in forced.stdout


def test_without_the_permission_to_read_the_secret_a_warning_says_so(cloud: PlaybookCloud, user: User) -> None:
    cloud.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="{}")
    run = cloud.play("site.yml", "--check", **user(cloud, document("read", "operator")))
    assert run.returncode == 0, run
    assert f"warning: Whether secret {SECRET} has the keys that a worker needs could not be asked" in run.stdout
    assert "docs/iam/secret.json allows it." in run.stdout
