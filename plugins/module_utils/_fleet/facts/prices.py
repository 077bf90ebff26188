# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs on demand, from a pinned table. Standard library only.

Nothing here calls AWS. The prices of t3.large, gp2, gp3 and the address are from public pages of early 2026; within t3
and t4g, a type of twice the size costs twice as much. Not included: taxes, traffic, logs, the CPU credits of a t3 that
works beyond its baseline, and discounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

AS_OF = "2026-01"
CURRENCY = "USD"
HOURS_A_MONTH = 730
# Linux, per hour, in us-east-1, us-east-2 and us-west-2, where prices are the same.
AMERICA = {"t3.small": 0.0208, "t3.medium": 0.0416, "t3.large": 0.0832, "t3.xlarge": 0.1664, "t3.2xlarge": 0.3328} | {
    "t4g.small": 0.0168,
    "t4g.medium": 0.0336,
    "t4g.large": 0.0672,
    "t4g.xlarge": 0.1344,
    "t4g.2xlarge": 0.2688,
}
HOURLY = dict.fromkeys(("us-east-1", "us-east-2", "us-west-2"), AMERICA)
# In the same regions.
GIB_MONTHLY = {"gp3": 0.08, "gp2": 0.10, "io1": 0.125, "io2": 0.125}
# Provisioned IOPS beyond each number cost so much a month, each (Amazon EBS pricing).
IOPS_MONTHLY = {
    "gp3": ((3000, 0.005),),
    "io1": ((0, 0.065),),
    "io2": ((0, 0.065), (32000, 0.046), (64000, 0.032)),
}
THROUGHPUT_MONTHLY, THROUGHPUT_INCLUDED = 0.04, 125  # gp3, per MiB/s
ADDRESS_HOURLY = 0.005  # a public IPv4 address in use, in every region since 2024-02-01


def hourly(region: str, instance_type: str) -> float | None:
    """USD per hour. None: the table lacks the type or the region."""
    return HOURLY.get(region, {}).get(instance_type)


class Monthly(NamedTuple):
    """USD per month for one instance that runs all the time."""

    instance: float
    volume: float
    address: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.instance + self.volume + self.address


def monthly(settings: Mapping[str, Any], instance_type: str = "") -> Monthly | None:
    """None where the table lacks the type or the region.

    :param settings: every fleet_* variable.
    :param instance_type: instead of the settings' own.
    """
    hour = hourly(settings["fleet_region"], instance_type or settings["fleet_instance_type"])
    if hour is None:
        return None
    address = ADDRESS_HOURLY * HOURS_A_MONTH if settings["fleet_public_address"] else 0.0
    return Monthly(hour * HOURS_A_MONTH, _volume(settings), address)


def _volume(settings: Mapping[str, Any]) -> float:
    kind, iops = settings["fleet_volume_type"], settings["fleet_volume_iops"]
    price: float = GIB_MONTHLY[kind] * settings["fleet_volume_size_gib"]
    steps = IOPS_MONTHLY.get(kind, ())
    ends = (*(start for start, _each in steps[1:]), iops)
    price += sum(each * max(0, min(iops, end) - start) for (start, each), end in zip(steps, ends, strict=False))
    beyond: int = max(0, settings["fleet_volume_throughput"] - THROUGHPUT_INCLUDED)
    return price + THROUGHPUT_MONTHLY * beyond
