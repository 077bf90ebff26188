"""localcloud's cost grows with the size of a group, not faster: the absolute seconds are bench.scale's."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from bench import scale

SMALL, LARGE = 150, 1200
#: Eight times the instances cost eight times the CPU time where the cost is linear, 64 times where it is quadratic.
LIMIT = 24
#: CPU seconds: below this a step is fixed cost and noise, and its ratio says nothing.
FLOOR = 0.05


@pytest.fixture(scope="module")
def growth() -> dict[str, float]:
    """Each step's CPU time at the large size, as a multiple of that at the small size."""
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        scale.measure(cloud, 10)  # what is done once: imports, service models, caches
        small, large = (asdict(scale.measure(cloud, size)) for size in (SMALL, LARGE))
    return {step: large[step] / max(small[step], FLOOR) for step in small if step != "size"}


def test_no_step_of_a_groups_life_costs_more_than_linear_time(growth: dict[str, float]) -> None:
    assert {step: ratio for step, ratio in growth.items() if ratio > LIMIT} == {}
