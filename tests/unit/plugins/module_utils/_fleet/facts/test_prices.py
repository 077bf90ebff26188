# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance costs per month, and where that is not known."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AMERICA, hourly, monthly


def test_a_month_is_the_instance_its_volume_and_its_address() -> None:
    found = monthly("us-east-1", "t3.medium", "gp3", 40, public_address=True)
    assert found is not None
    assert (round(found.instance, 2), round(found.volume, 2), round(found.address, 2), round(found.total, 2)) == (
        30.37,
        3.20,
        3.65,
        37.22,
    )


def test_without_an_address_none_is_paid() -> None:
    found = monthly("us-west-2", "t3.large", "gp2", 10, public_address=False)
    assert found is not None
    assert (round(found.instance, 2), round(found.volume, 2), found.address) == (60.74, 1.00, 0.0)


@pytest.mark.parametrize(
    "what", [("us-east-1", "m9.large", "gp3"), ("eu-west-1", "t3.medium", "gp3"), ("us-east-1", "t3.medium", "io2")]
)
def test_what_the_table_lacks_has_no_price(what: tuple[str, str, str]) -> None:
    assert monthly(*what, 40, public_address=True) is None


def test_a_type_twice_as_big_costs_twice_as_much() -> None:
    sizes = ("small", "medium", "large", "xlarge", "2xlarge")
    for family in ("t3", "t4g"):
        prices = [hourly("us-east-1", f"{family}.{size}") for size in sizes]
        assert prices == pytest.approx([AMERICA[f"{family}.small"] * 2**n for n in range(len(sizes))])
