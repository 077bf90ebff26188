"""collect.yml: bundles that the agent makes on hosts; SSH is a small program here, tests/e2e has real SSH."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cloud import Run
from tests.fleet.healthy import HealthyFleet
from tests.fleet.hosts_here import CANARY, HostsHere

PLAYBOOK = "playbooks/collect.yml"


class Hosts(HostsHere):
    """The hosts of a healthy fleet, and their operator."""

    def __init__(self, fleet: HealthyFleet, folder: Path) -> None:
        super().__init__(fleet, folder)
        self.fleet = fleet

    def collect(self, *more: str, **variables: Any) -> Run:
        options: dict[str, Any] = {"fleet_host_checks": "ssh", "fleet_collect_dir": str(self.bundles), **variables}
        return self.fleet.play(PLAYBOOK, *more, programs=self.programs, **options)


@pytest.fixture
def hosts(fleet: HealthyFleet, tmp_path: Path) -> Hosts:
    return Hosts(fleet, tmp_path)


def read(file: Path, name: str) -> str:
    with tarfile.open(file) as tar:
        return tar.extractfile(name).read().decode()  # type: ignore[union-attr]


def test_every_host_gives_a_bundle_that_only_its_owner_may_read(hosts: Hosts) -> None:
    plan = hosts.collect("--check")
    assert plan.returncode == 0, plan
    assert not hosts.bundles.exists()
    run = hosts.collect()
    assert run.returncode == 0, run
    files = sorted(hosts.bundles.iterdir())
    assert [file.name[:19] for file in files] == sorted(hosts.ids)
    for file, id in zip(files, sorted(hosts.ids), strict=True):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size > 150_000, "it takes more than one piece"
        assert f"host {id} logged ***" in read(file, "logs/cloud-init-output.log")
    assert not [left for id in hosts.ids for left in (hosts.programs / id).glob("ghosthands-bundle-*")]
    assert CANARY not in run.stdout
    assert hosts.fleet.writes() == []


def test_a_host_that_cannot_be_reached_is_named_after_the_others_have_theirs(hosts: Hosts) -> None:
    gone, there = hosts.ids
    (hosts.programs / gone).rename(hosts.programs / "gone")
    run = hosts.collect()
    assert f"No bundle of {gone}: " in run.message, run
    assert "Connection refused" in run.message
    assert [file.name[:19] for file in hosts.bundles.iterdir()] == [there]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"fleet_host_checks": "never"}, "fleet_host_checks=ssh"),
        ({"fleet_instances": "i-0123456789abcdef0"}, "fleet_instances: i-0123456789abcdef0 not in gh-worker-local-asg"),
        ({"fleet_instances": "web-1"}, "an instance's id such as"),
    ],
)
def test_bad_input_is_refused_before_a_host_is_asked(variables: dict[str, str], said: str, hosts: Hosts) -> None:
    run = hosts.collect(**variables)
    assert said in run.message, run
    assert not hosts.bundles.exists()


def test_only_the_named_ones_are_asked(hosts: Hosts) -> None:
    run = hosts.collect(fleet_instances=hosts.ids[0])
    assert run.returncode == 0, run
    assert [file.name[:19] for file in hosts.bundles.iterdir()] == [hosts.ids[0]]
