# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What instances and volumes cost on demand, from a pinned table. Standard library only."""

from __future__ import annotations

HOURS_A_MONTH = 730
# Linux, on demand, USD an hour, in us-east-1, us-east-2 and us-west-2.
AMERICA = {"t3.small": 0.0208, "t3.medium": 0.0416, "t3.large": 0.0832, "t3.xlarge": 0.1664, "t4g.medium": 0.0336, "t4g.large": 0.0672}
HOURLY = dict.fromkeys(("us-east-1", "us-east-2", "us-west-2"), AMERICA)


def hourly(region: str, instance_type: str) -> float | None:
    """USD an hour; None where the table has no such type there."""
    return HOURLY.get(region, {}).get(instance_type)
