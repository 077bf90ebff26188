"""What container instances find around them: a registry under ECR's name, a bounded disk, ports of this machine."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers.test_instances import busybox as busybox
from localcloud.instances import hosts_file
from localcloud.instances.docker import docker
from localcloud.testing import Cloud, wait_until
from localcloud.testing.containers import KeyPair, create_key_pair, remaining, ssh_command

IMAGE, SUBNET = "ami-0137112412989a002", "subnet-010ca1c10d00000a1"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
NAME = f"{HOST}/box:1"


class Greeting(socketserver.StreamRequestHandler):
    """In place of a database on this machine's loopback."""

    def handle(self) -> None:
        self.wfile.write(b"hello")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def cloud(base: str, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """With all of it; it leaves nothing."""
    folder = tmp_path_factory.mktemp("cloud")
    with Cloud.start_process(folder, instances="container", forward=port, disk_gib=1, operator_registry=True) as cloud:
        yield cloud
    assert remaining(cloud.port) == []
    assert HOST not in hosts_file.HOSTS.read_text()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return create_key_pair(tmp_path_factory.mktemp("login") / "id")


class Machine:
    """An instance, by SSH."""

    def __init__(self, cloud: Cloud, key: KeyPair) -> None:
        ec2 = cloud.client("ec2")
        if "k" not in {pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]}:
            ec2.import_key_pair(KeyName="k", PublicKeyMaterial=key.public_key.encode())
        launched = ec2.run_instances(ImageId=IMAGE, SubnetId=SUBNET, KeyName="k", MinCount=1, MaxCount=1)
        (instance,) = launched["Instances"]
        self.id, self.address, self._key = instance["InstanceId"], instance["PrivateIpAddress"], key
        wait_until(lambda: self.run("sudo docker version")[0] == 0, 60, every=0.5)

    def run(self, script: str) -> tuple[int, str]:
        words = ssh_command(self._key.private_key, self.address, script)
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def machine(cloud: Cloud, key: KeyPair) -> Machine:
    return Machine(cloud, key)


def password(cloud: Cloud) -> str:
    """As `aws ecr get-login-password` prints it."""
    words = ["aws", "ecr", "get-login-password"]
    return subprocess.run(words, env=cloud.environment, check=True, capture_output=True, text=True).stdout.strip()


def test_an_image_goes_from_the_operators_docker_to_an_instances_under_ecrs_name(
    cloud: Cloud, machine: Machine, busybox: bytes, tmp_path: Path
) -> None:
    cloud.client("ecr").create_repository(repositoryName="box")
    login = ["--config", str(tmp_path), "login", "--username", "AWS", "--password-stdin", HOST]
    docker("import", "-", NAME, stdin=busybox)
    try:
        docker(*login, stdin=password(cloud).encode())
        docker("--config", str(tmp_path), "push", NAME)
    finally:
        docker("rmi", "--force", NAME)
    (image,) = cloud.client("ecr").describe_images(repositoryName="box")["imageDetails"]
    assert image["imageTags"] == ["1"]

    code, said = machine.run(f"sudo docker pull {NAME}")
    assert code != 0
    assert "no basic auth credentials" in said
    code, said = machine.run(f"echo wrong | sudo docker login --username AWS --password-stdin {HOST}")
    assert (code != 0, "401" in said) == (True, True), said
    code, said = machine.run(f"echo {password(cloud)} | sudo docker login --username AWS --password-stdin {HOST}")
    assert (code, "Login Succeeded" in said) == (0, True), said
    pinned = f"{HOST}/box@{image['imageDigest']}"
    code, said = machine.run(f"sudo docker run --rm {pinned} sh -c 'echo pulled'")
    assert (code, "pulled" in said.splitlines()) == (0, True), said
    code, said = machine.run(f"sudo docker pull {HOST}/none:1")
    assert (code != 0, "The repository with name 'none' does not exist" in said) == (True, True), said


def test_a_full_disk_is_full_for_one_instance_alone(cloud: Cloud, machine: Machine, key: KeyPair) -> None:
    assert machine.run("sudo fallocate --length 2G /var/lib/docker/filler")[0] != 0
    _code, said = machine.run("sudo sh -c 'cat /dev/zero >/var/lib/docker/filler; df --output=avail /var/lib/docker'")
    assert "No space left on device" in said
    assert int(said.splitlines()[1]) < 1024, "KiB"
    other = Machine(cloud, key)
    assert other.run("sudo fallocate --length 500M /var/lib/docker/file")[0] == 0
    machine.run("sudo rm /var/lib/docker/filler")
    cloud.client("ec2").terminate_instances(InstanceIds=[other.id])
    wait_until(lambda: not any(other.id in one for one in remaining(cloud.port)), 60, every=0.5)


def test_a_port_of_this_machines_loopback_answers_at_the_gateway(machine: Machine, port: int) -> None:
    assert machine.run(f"timeout 5 bash -c 'cat </dev/tcp/172.28.0.1/{port}'") == (0, "hello")


def test_the_registrys_name_has_one_owner_on_this_machine(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"/etc/hosts has {HOST} already .localcloud.port={cloud.port}."):
        Cloud.start_process(tmp_path, instances="container", operator_registry=True)
