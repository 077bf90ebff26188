"""verify.yml asks real hosts over a real sshd: containers with the agent, without it, with another host key."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from localcloud.testing import wait_until
from localcloud.testing.containers import BOOT_RESULT, KeyPair, create_key_pair, ssh_command

from tests.fleet.cloud import ROOT, PlaybookCloud, Run

GROUP = "gh-worker-local-asg"
AGENT = ROOT / "agent/src"
#: The agent's dependencies, all of them pure Python.
LIBRARIES = ("botocore", "dateutil", "jmespath", "six.py", "urllib3")
COMMAND = '#!/bin/sh\nPYTHONPATH=/opt/agent exec /usr/bin/python3 -m ghosthands_agent "$@"\n'


@dataclass
class Hosts:
    """The two hosts of a fleet, as their operator has them."""

    cloud: PlaybookCloud
    key: KeyPair
    folder: Path
    addresses: dict[str, str]

    @property
    def known_hosts(self) -> Path:
        """Where verify.yml keeps the hosts' keys."""
        return self.cloud.folder / ".ssh/ghosthands_known_hosts"

    def ssh(self, instance: str, script: str, stdin: bytes = b"") -> str:
        """What a script of the default user prints."""
        words = ssh_command(self.key.private_key, self.addresses[instance], script)
        done = subprocess.run(words, input=stdin, capture_output=True, check=True, timeout=120)
        return done.stdout.decode()

    def booted(self, instance: str) -> bool:
        """Whether cloud-init has finished."""
        try:
            self.ssh(instance, f"test -e {BOOT_RESULT}")
        except subprocess.CalledProcessError:
            return False
        return True

    def install(self, instance: str) -> None:
        """The agent, where the role puts its command."""
        tar: list[str | Path] = [
            "tar",
            "--create",
            "--exclude=__pycache__",
            "--directory",
            AGENT,
            "ghosthands_agent",
            "--directory",
            sysconfig.get_path("purelib"),
            *LIBRARIES,
        ]
        archive = subprocess.run(tar, check=True, capture_output=True).stdout
        self.ssh(
            instance, "sudo mkdir -p /opt/agent && sudo tar --extract --no-same-owner --directory /opt/agent", archive
        )
        self.command(instance, COMMAND)

    def command(self, instance: str, text: str) -> None:
        """What `ghosthands-agent` is there."""
        self.ssh(
            instance,
            "sudo tee /usr/local/bin/ghosthands-agent >/dev/null && sudo chmod 0755 /usr/local/bin/ghosthands-agent",
            text.encode(),
        )

    def verify(self) -> Run:
        """verify.yml, with the hosts asked; whatever it finds, it ends well."""
        run = self.cloud.play(
            "playbooks/verify.yml",
            fleet_host_checks="ssh",
            fleet_ssh_key_file=str(self.key.private_key),
            fleet_report_dir=str(self.folder),
            fleet_verify_fail_on="never",
            **VARIABLES,
        )
        assert run.returncode == 0, run
        return run

    def findings(self) -> dict[str, dict[str, Any]]:
        """Those of hosts, by id."""
        report = json.loads((self.folder / "report.json").read_text())
        return {found["id"]: found for found in report["findings"] if found["id"].startswith("host-")}


#: No public addresses: the cloud's lead nowhere. No launch hook: nothing boots on these hosts that would complete it.
VARIABLES: dict[str, Any] = {"fleet_key_name": "doctor", "fleet_public_address": False, "fleet_launch_hook": False}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A fleet of two containers; the SSH client has a home directory of its own."""
    subprocess.run([ROOT / ".ci/docker"], check=True)
    folder = tmp_path_factory.mktemp("doctor")
    key = create_key_pair(folder / "id")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        with PlaybookCloud.start_process(folder, instances="container") as cloud:
            cloud.prepare()
            cloud.route_through_nat()
            made = cloud.play("site.yml", fleet_key_public=key.public_key, **VARIABLES)
            assert made.returncode == 0, made
            yield Hosts(cloud, key, folder / "report", addresses(cloud))


def addresses(cloud: PlaybookCloud) -> dict[str, str]:
    """Wait until both instances are in service; instance id -> private address."""
    wait_until(lambda: list(cloud.lifecycle_states(GROUP).values()) == ["InService"] * 2, 120, every=0.5)
    ids = list(cloud.lifecycle_states(GROUP))
    reservations = cloud.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    return {i["InstanceId"]: i["PrivateIpAddress"] for r in reservations for i in r["Instances"]}


@pytest.fixture
def hosts(running: Hosts) -> Hosts:
    """Both answer by SSH, with the agent on them as it should be, and their operator has never seen them."""
    running.known_hosts.unlink(missing_ok=True)
    for instance in running.addresses:
        wait_until(partial(running.booted, instance), 120, every=0.5)
        if "agent" not in running.ssh(instance, "ls /opt"):
            running.install(instance)
        else:
            running.command(instance, COMMAND)
    return running


def test_each_doctors_findings_are_in_the_report(hosts: Hosts) -> None:
    run = hosts.verify()
    found = hosts.findings()
    assert found["host-asked"]["detail"] == "2 hosts asked"
    assert found["host-agent-conf"]["ok"], "cloud-init has written it, and the agent understands it"
    assert found["host-metadata"]["ok"]
    assert found["host-group"]["ok"]
    assert found["host-docker"]["ok"]
    assert set(found["host-boot"]["evidence"]) == set(hosts.addresses), "no unit boots a worker here"
    assert not found["host-containers"]["ok"]
    assert "asking 2 hosts by ssh" in run.stdout


def test_a_host_without_the_agent_is_a_warning_beside_the_findings_of_the_other(hosts: Hosts) -> None:
    first, second = hosts.addresses
    hosts.ssh(first, "sudo rm /usr/local/bin/ghosthands-agent")
    hosts.verify()
    found = hosts.findings()
    assert found["host-asked"]["severity"] == "warning"
    assert found["host-asked"]["evidence"].keys() == {first}
    assert "command not found" in found["host-asked"]["evidence"][first]
    assert set(found["host-boot"]["evidence"]) == {second}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec yes", "it printed more than 256 KiB"),
        ("printf '\\033[2J{}'", "its answer cannot be parsed"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_host_whose_doctor_fails_is_a_warning_beside_the_findings_of_the_other(
    script: str, said: str, hosts: Hosts
) -> None:
    first, second = hosts.addresses
    hosts.command(first, f"#!/bin/sh\n{script}\n")
    run = hosts.verify()
    found = hosts.findings()
    assert said in found["host-asked"]["evidence"][first]
    assert set(found["host-boot"]["evidence"]) == {second}
    assert "\x1b" not in run.stdout


def test_a_host_with_another_host_key_than_before_is_not_asked(hosts: Hosts) -> None:
    first, _second = hosts.addresses
    hosts.verify()
    assert {line.split()[0] for line in hosts.known_hosts.read_text().splitlines()} == set(hosts.addresses), (
        "kept under the instances' ids"
    )
    hosts.ssh(first, "sudo sh -c 'rm /etc/ssh/ssh_host_*; ssh-keygen -A' && sudo systemctl restart ssh")
    hosts.verify()
    assert "Host key verification failed." in hosts.findings()["host-asked"]["evidence"][first]


def test_an_operator_with_a_wrong_key_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    true, hosts.key = hosts.key, create_key_pair(tmp_path / "id")
    try:
        hosts.verify()
    finally:
        hosts.key = true
    said = hosts.findings()["host-asked"]["evidence"]
    assert set(said) == set(hosts.addresses)
    assert all("Permission denied" in why for why in said.values()), said


def test_ansible_reaches_every_host_of_the_instances_inventory(hosts: Hosts) -> None:
    run = hosts.cloud.shell(
        "ansible workers -i inventories/instances/local.aws_ec2.yml --become -m ansible.builtin.command "
        f"-a 'id --user' --private-key '{hosts.key.private_key}'",
        ROOT,
        AWS_ENDPOINT_URL=hosts.cloud.url,
    )
    assert run.returncode == 0, run
    assert all(f"{instance} | CHANGED | rc=0 >>\n0" in run.stdout for instance in hosts.addresses), run
    # ssh takes the user's home from the password file, not from HOME.
    known_hosts = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh/ghosthands_known_hosts"
    lines = known_hosts.read_text().splitlines(keepends=True)
    ours = [line for line in lines if line.split()[0] in hosts.addresses]
    known_hosts.write_text("".join(line for line in lines if line not in ours))
    assert {line.split()[0] for line in ours} == set(hosts.addresses)


def test_a_bundle_of_a_real_host_arrives_whole_by_ssh(hosts: Hosts, tmp_path: Path) -> None:
    run = hosts.cloud.play(
        "playbooks/collect.yml",
        fleet_host_checks="ssh",
        fleet_ssh_key_file=str(hosts.key.private_key),
        fleet_collect_dir=str(tmp_path / "bundles"),
        **VARIABLES,
    )
    assert run.returncode == 0, run
    for file in (tmp_path / "bundles").iterdir():
        with tarfile.open(file) as tar:
            names = set(tar.getnames())
        assert {"journal.txt", "agent.conf", "doctor.txt", "logs/cloud-init-output.log", "docker/ps.txt"} <= names
    assert {file.name[:19] for file in (tmp_path / "bundles").iterdir()} == set(hosts.addresses)
