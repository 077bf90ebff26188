"""localcloud handles a thousand instances."""

from __future__ import annotations

from localcloud.testing import Cloud

from bench import scale

#: A slow machine, or a busy one whose caches are cold, gets twice the CPU seconds that are the target.
TOLERANCE = 2


def test_a_thousand_instances_are_launched_described_and_terminated_in_time() -> None:
    with Cloud.start_thread() as cloud:
        times = scale.measure(cloud, 1000)
    assert times.describe_group < 0.3 * TOLERANCE
    assert times.describe_instances < 1 * TOLERANCE
    assert times.cycle < 10 * TOLERANCE
