"""The network of a VPC: a bridge of the host, on which the gateway answers for the API and for the metadata service."""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass

from localcloud.instances.docker import HostError, command, docker, inspect

METADATA_ADDRESS = "169.254.169.254"


@dataclass(frozen=True)
class Network:
    """A network of Docker's: its name, the host's bridge, and the host's own address on it."""

    name: str
    bridge: str
    gateway: str


def make_network(owner: str, cidr: str) -> Network:
    """Make the network of a VPC, for the owner that its label names.

    Raises:
        HostError: Docker cannot; where another network has the addresses, it is named.
    """
    gateway = str(next(ipaddress.ip_network(cidr).hosts()))
    name = f"{owner.replace('=', '-')}-{cidr.replace('/', '-')}"
    try:
        made = docker("network", "create", "--subnet", cidr, "--gateway", gateway, "--label", owner, name)
    except HostError as problem:
        raise HostError(f"no network for the VPC {cidr}: {_holder(cidr) or problem}") from None
    return Network(name, f"br-{made[:12]}", gateway)


def _holder(cidr: str) -> str | None:
    """The message about a Docker network that has some of these addresses; None if none has."""
    requested = ipaddress.ip_network(cidr)
    for name in docker("network", "ls", "--format", "{{.Name}}").split():
        for part in inspect("network", name)["IPAM"]["Config"] or []:
            held = ipaddress.ip_network(part["Subnet"])
            if held.version == requested.version and held.overlaps(requested):
                return (
                    f"Docker's network {name} has {held}; stop what uses it (another localcloud?) or remove it: "
                    f"docker network rm {name}"
                )
    return None


def check_iptables() -> None:
    """Find out whether iptables is there and may be used.

    Raises:
        HostError: it is not, or may not.
    """
    _iptables("--list-rules", "PREROUTING")


def redirect_metadata(owner: str, network: Network, port: int) -> None:
    """Redirect the metadata address, for calls from this network only, to a port of its gateway.

    The source address stays the same: it identifies the instance. The host's own metadata service is not affected.

    Raises:
        HostError: iptables fails.
    """
    matching = [
        "--in-interface",
        network.bridge,
        "--destination",
        METADATA_ADDRESS,
        "--protocol",
        "tcp",
        "--dport",
        "80",
    ]
    comment = ["--match", "comment", "--comment", owner]
    _iptables(
        "--insert", "PREROUTING", *matching, *comment, "--jump", "DNAT", "--to-destination", f"{network.gateway}:{port}"
    )


def drop_redirections(owner: str) -> None:
    """Remove every rule that `redirect_metadata` made for an owner.

    Raises:
        HostError: iptables fails.
    """
    for rule in _iptables("--list-rules", "PREROUTING").splitlines():
        words = shlex.split(rule)
        if "--comment" in words and words[words.index("--comment") + 1] == owner:
            _iptables("--delete", *words[1:])


def _iptables(*words: str) -> str:
    return command("iptables", "--wait", "--table", "nat", *words)
