"""What the watch over a loaded fleet counts: instances that are missing, and no worker at all."""

from __future__ import annotations

import pytest

from tests.fleet.load import LAUNCH_SECONDS, Sample, lacking


def samples(*groups: tuple[int, int, int], start: float = 0.0) -> list[Sample]:
    """One each second: (desired capacity, in service, workers that take jobs)."""
    return [Sample(start + n, *group) for n, group in enumerate(groups)]


def test_an_instance_that_ends_before_its_replacement_serves_is_missing() -> None:
    found = samples((3, 3, 3), (3, 2, 2), (3, 1, 0), (3, 3, 2))
    assert lacking(found, 0, 3) == (2.0, 1.0, 2)
    assert lacking(found, 3, 3) == (0.0, 0.0, 0)


def test_what_valet_has_just_asked_for_has_time_to_launch_and_what_it_gave_back_is_not_missed() -> None:
    length = int(LAUNCH_SECONDS)
    grown = samples((2, 2, 2), *[(4, 2, 2)] * length, (4, 2, 2), (4, 2, 2))
    assert lacking(grown, 0, length) == (0.0, 0.0, 0)
    assert lacking(grown, 0, length + 2) == (2.0, 0.0, 2)
    assert lacking(samples((4, 4, 4), (2, 4, 4), (2, 2, 2)), 0, 2) == (0.0, 0.0, 0)


@pytest.mark.parametrize(("begin", "below"), [(0.0, 2.0), (1.0, 2.0), (1.2, 1.0), (2.0, 0.5)])
def test_only_the_time_that_was_asked_for_counts(begin: float, below: float) -> None:
    found = [Sample(at, 1, 0, 0) for at in (0.0, 1.0, 1.5, 2.0)]
    assert lacking(found, begin, 2.0) == (below, below, 1)
