"""Log in to container instances, and look for what a localcloud has left in Docker."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcloud.instances import disks, hosts_file
from localcloud.instances.docker import docker

#: The default user of Amazon Linux, which localcloud's base image has too.
USER = "ec2-user"
#: Written by cloud-init's last stage, once per boot.
BOOT_RESULT = "/run/cloud-init/result.json"
SSH_OPTIONS = (
    *("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"),
    *("LogLevel=ERROR", "ConnectTimeout=2", "IdentitiesOnly=yes"),
)


@dataclass(frozen=True)
class KeyPair:
    """A key pair: the file of the private key, and the public key as a line for ImportKeyPair."""

    private_key: Path
    public_key: str


def create_key_pair(private_key: Path) -> KeyPair:
    """Write a new ed25519 key pair to a file and its `.pub`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private_key], check=True)
    return KeyPair(private_key, private_key.with_suffix(".pub").read_text(encoding="utf-8").strip())


def ssh_command(private_key: Path, address: str, script: str) -> list[str]:
    """Return the command that runs a shell script on an instance as its default user, whatever its host key."""
    options = [word for option in SSH_OPTIONS for word in ("-o", option)]
    return ["ssh", *options, "-i", str(private_key), f"{USER}@{address}", script]


def remaining(port: int) -> list[str]:
    """Return what there is of the localcloud on a port: containers, volumes, networks, images, rules, names, disks."""
    label = f"localcloud.port={port}"
    listings = (("ps", "--all"), ("volume", "ls"), ("network", "ls"), ("images", "--all"))
    found = [
        id for listing in listings for id in docker(*listing, "--quiet", "--filter", f"label={label}").splitlines()
    ]
    rules = subprocess.run(["iptables", "--wait", "-t", "nat", "-S"], capture_output=True, text=True, check=True).stdout
    names = [line for line in hosts_file.HOSTS.read_text().splitlines() if label in line.split()]
    found += [*names, *map(str, (disks.FOLDER / label.replace("=", "-")).glob("*"))]
    return [*found, *(rule for rule in rules.splitlines() if label in rule.replace('"', "").split())]
