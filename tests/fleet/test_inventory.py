"""inventories/instances: a host for each instance of a fleet, for Ansible's own commands; not for the playbooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from tests.fleet.cloud import BIN, ROOT
from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet

INSTANCES = ROOT / "inventories/instances"
ENVIRONMENTS = ("local", "staging", "production")
#: What may differ between the files besides the fleet's name and region.
CONNECTION = {"endpoint_url", "access_key", "secret_key", "profile"}


def instances(environment: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INSTANCES / f"{environment}.aws_ec2.yml").read_text())
    return found


def listed(fleet: HealthyFleet, *sources: str) -> dict[str, Any]:
    """What ansible-inventory prints."""
    command: Sequence[str] = [str(BIN / "ansible-inventory"), "--list", *(w for s in sources for w in ("-i", s))]
    environment = {**os.environ, "AWS_ENDPOINT_URL": fleet.url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert not re.search("reserved|[Ff]ailed|[Uu]nable", done.stderr), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_instance_in_service_is_a_host_that_ssh_reaches_by_its_address(fleet: HealthyFleet) -> None:
    fleet.tag(fleet.in_service()[0], "ghosthands:did", "hold@0a1b2c3d done")
    found = listed(fleet, "inventories/instances/local.aws_ec2.yml")
    ids = set(fleet.in_service())
    assert set(found["workers"]["hosts"]) == ids
    assert set(found["version_1"]["hosts"]) == ids
    assert set(found[f"group_{GROUP.replace('-', '_')}"]["hosts"]) == ids
    assert found["held"]["hosts"] == [fleet.in_service()[0]]
    for id in ids:
        host = found["_meta"]["hostvars"][id]
        (described,) = fleet.client("ec2").describe_instances(InstanceIds=[id])["Reservations"]
        instance = described["Instances"][0]
        address = instance.get("PublicIpAddress", instance["PrivateIpAddress"])
        assert host["ansible_host"] == {"__ansible_unsafe": address}, "what AWS answers is never a template"
        assert host["ansible_user"] == "ec2-user"


def test_a_terminated_instance_and_an_instance_of_another_fleet_are_not_hosts(fleet: HealthyFleet) -> None:
    ended, stays = fleet.in_service()
    fleet.client("ec2").terminate_instances(InstanceIds=[ended])
    fleet.tag(stays, "Name", "another")
    hosts = listed(fleet, "inventories/instances/local.aws_ec2.yml").get("workers", {}).get("hosts", [])
    assert {ended, stays}.isdisjoint(hosts)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_folder_of_inventories_is_still_one_host_and_asks_aws_nothing(environment: str, fleet: HealthyFleet) -> None:
    found = listed(fleet, environment)
    assert found["fleet"]["hosts"] == [environment]
    assert set(found["_meta"]["hostvars"]) == {environment}
    assert fleet.calls() == []


def test_an_instance_is_never_a_fleet_for_a_playbook(fleet: HealthyFleet) -> None:
    run = fleet.play("playbooks/status.yml", inventory="inventories/instances/local.aws_ec2.yml")
    assert "no hosts matched" in run.stdout + run.stderr, run
    assert fleet.writes() == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_file_names_its_fleets_region_and_name_and_nothing_else_differs(environment: str) -> None:
    defaults = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())
    settings = defaults | yaml.safe_load((ROOT / f"inventories/{environment}/group_vars/fleet.yml").read_text())
    stated = instances(environment)
    assert stated["regions"] == [settings["fleet_region"]]
    assert stated["filters"]["tag:Name"] == settings["fleet_name"]
    differing = {"regions", "filters", *CONNECTION}
    same = {name: value for name, value in stated.items() if name not in differing}
    assert same == {name: value for name, value in instances("local").items() if name not in differing}
