# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance costs per month, and where that is not known."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AMERICA, hourly, monthly


def test_a_month_is_the_instance_its_volume_and_its_address(settings: dict[str, Any]) -> None:
    found = monthly(settings)
    assert found is not None
    assert (round(found.instance, 2), round(found.volume, 2), round(found.address, 2), round(found.total, 2)) == (
        30.37,
        3.20,
        3.65,
        37.22,
    )


def test_without_an_address_none_is_paid(settings: dict[str, Any]) -> None:
    change = {"fleet_region": "us-west-2", "fleet_volume_type": "gp2", "fleet_volume_size_gib": 10}
    found = monthly(settings | change | {"fleet_public_address": False}, "t3.large")
    assert found is not None
    assert (round(found.instance, 2), round(found.volume, 2), found.address) == (60.74, 1.00, 0.0)


@pytest.mark.parametrize(
    ("volume", "iops", "throughput", "price"),
    [
        ("gp3", 0, 0, 3.20),
        ("gp3", 3000, 125, 3.20),
        ("gp3", 4000, 225, 3.20 + 5.00 + 4.00),
        ("io1", 1000, 0, 5.00 + 65.00),
        ("io2", 65000, 0, 5.00 + 32000 * 0.065 + 32000 * 0.046 + 1000 * 0.032),
    ],
)
def test_provisioned_performance_is_paid_beyond_what_the_type_includes(
    settings: dict[str, Any], volume: str, iops: int, throughput: int, price: float
) -> None:
    change = {"fleet_volume_type": volume, "fleet_volume_iops": iops, "fleet_volume_throughput": throughput}
    found = monthly(settings | change)
    assert found is not None
    assert found.volume == pytest.approx(price)


@pytest.mark.parametrize("change", [{"fleet_instance_type": "m9.large"}, {"fleet_region": "eu-west-1"}])
def test_what_the_table_lacks_has_no_price(settings: dict[str, Any], change: dict[str, str]) -> None:
    assert monthly(settings | change) is None


def test_a_type_twice_as_big_costs_twice_as_much() -> None:
    sizes = ("small", "medium", "large", "xlarge", "2xlarge")
    for family in ("t3", "t4g"):
        prices = [hourly("us-east-1", f"{family}.{size}") for size in sizes]
        assert prices == pytest.approx([AMERICA[f"{family}.small"] * 2**n for n in range(len(sizes))])
