"""A thousand instances are no burden."""

from __future__ import annotations

from localcloud.testing import Cloud

from bench import scale

#: Slower machines, and a busy one whose caches are cold, get twice the seconds (of this process) that are aimed at.
PATIENCE = 2


def test_a_thousand_instances_come_go_and_are_described_in_time(cloud: Cloud) -> None:
    times = scale.measure(cloud.url, 1000)
    assert times.describe_group < 0.3 * PATIENCE
    assert times.describe_instances < 1 * PATIENCE
    assert times.cycle < 10 * PATIENCE
