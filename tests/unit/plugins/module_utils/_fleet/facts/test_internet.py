# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the internet networks add up to."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.internet import is_internet


@pytest.mark.parametrize(
    "networks",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["0.0.0.0/1"],
        ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"],
        [f"{first}.0.0.0/8" for first in range(1, 224)],
        ["2000::/3"],
        ["2000::/4", "3000::/4", "203.0.113.7/32"],
        ["203.0.113.7/32", "0.0.0.0/1", "128.0.0.0/1", "64.0.0.0/8"],
    ],
    ids=lambda networks: " ".join(networks[:4]),
)
def test_networks_that_add_up_to_half_of_the_internet_are_the_internet(networks: list[str]) -> None:
    assert is_internet(networks)


@pytest.mark.parametrize(
    "networks",
    [
        [],
        ["203.0.113.0/24", "198.51.100.7/32"],
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"],
        ["224.0.0.0/3"],
        ["fc00::/7", "fe80::/10"],
        ["2001:db8::/32"],
        ["52.0.0.0/6", "3.0.0.0/8", "13.32.0.0/12"],  # a large provider's
        ["0.0.0.0/8", "0.0.0.0/8"],
    ],
    ids=lambda networks: " ".join(networks[:4]),
)
def test_others_are_not_however_many_private_addresses_they_have(networks: list[str]) -> None:
    assert not is_internet(networks)
