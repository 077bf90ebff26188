# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the internet networks add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

#: IANA's registries of special-purpose addresses: what no stranger can send from.
PRIVATE = [
    IPv4Network(cidr)
    for cidr in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
    )
]
PUBLIC_V4 = 2**32 - sum(network.num_addresses for network in PRIVATE)
PUBLIC_V6 = IPv6Network("2000::/3")
OPEN = 0.5  # 0.0.0.0/1 is as open as 0.0.0.0/0; no country has so many addresses, and no provider


def is_internet(cidrs: Iterable[str]) -> bool:
    """Whether these networks together are half of all public IPv4 addresses, or of IPv6's, or more."""
    networks = [ip_network(cidr, strict=False) for cidr in cidrs]
    v4 = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    v6 = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    public = sum(n.num_addresses - sum(_common(n, private) for private in PRIVATE) for n in v4)
    return public >= OPEN * PUBLIC_V4 or sum(_common(n, PUBLIC_V6) for n in v6) >= OPEN * PUBLIC_V6.num_addresses


def _common(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> int:
    """How many addresses both have: of two networks that overlap, one is within the other."""
    return min(one.num_addresses, other.num_addresses) if one.overlaps(other) else 0
